"""Every mistake in a bench file gets one line that says where it is and what it is."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instruments import Bench, BenchError, BenchFileError, load_bench_file
from instruments.bench_file import parse_bench_file
from instruments.units import show, to_si

DEMO = files("instruments").joinpath("demo_bench.yaml").read_text(encoding="utf-8")


def _line_of(text: str, part: str) -> int:
    return next(n for n, line in enumerate(text.splitlines(), 1) if part in line)


def _mistake(old: str, new: str) -> str:
    assert DEMO.count(old) == 1, old
    return DEMO.replace(old, new)


MISTAKES = [
    # what is changed, into what, the line that is named, the key, words of the sentence
    ("  settle: 2 ms\n", "", "timing:", "timing.settle", "is missing"),
    ("calibration: {range: 32 mA, points: 121}", "", "name:", "calibration", "is missing"),
    ("  nplc: 1\n", "  nplcs: 1\n", "nplcs", "timing.nplcs", "no such key"),
    ("voltage: 20 mV", "voltage: 0.02", "voltage: 0.02", "readout.voltage", "has no unit"),
    ("voltage: 20 mV", "voltage: '0.02'", "voltage: '0.02'", "readout.voltage", "has no unit"),
    ("voltage: 20 mV", "voltage: 20 mA", "voltage: 20 mA", "readout.voltage", "quantity in V"),
    ("voltage: 20 mV", "voltage: 20 mfoo", "20 mfoo", "readout.voltage", "is not a quantity"),
    ("voltage: 20 mV", "voltage: 10 mV + 10 mV", "+", "readout.voltage", "is not a quantity"),
    ("voltage: 20 mV", "voltage: true", "true", "readout.voltage", "is not a quantity"),
    ("voltage: 20 mV", "voltage: nan V", "nan V", "readout.voltage", "is not a quantity"),
    ("voltage: 20 mV", "voltage: .inf", ".inf", "readout.voltage", "has no unit"),
    ("voltage: 20 mV", "voltage: 1e999 V", "1e999", "readout.voltage", "is not finite"),
    ("voltage: 20 mV", "voltage: -20 mV", "-20 mV", "readout.voltage", "greater than 0"),
    ("  nplc: 1\n", "  nplc: .nan\n", ".nan", "timing.nplc", "or equal to"),
    ("voltage: 20 mV", "voltage: 120 mV", "120 mV", "readout.voltage", "limits.junction.voltage"),
    ("lowest_resistance: 5 kohm", "lowest_resistance: 1 kohm", "1 kohm",
     "readout.lowest_resistance", "above limits.junction.current"),
    ("range: 32 mA", "range: 36 mA", "36 mA", "calibration.range", "above"),
    ("GPIB0::25::INSTR", "GPIB0::24::INSTR", "  z:", "instruments.z.address", "belongs to x"),
    ("GPIB0::25::INSTR", "gpib::24", "  z:", "instruments.z.address", "already belongs to x"),
    ("GPIB0::25::INSTR", "TCPIP0::10.0.0.1::5025::SOCKET", "SOCKET", "instruments.z.address",
     "no serial poll"),
    ("GPIB0::25::INSTR", "somewhere", "somewhere", "instruments.z.address", "no VISA address"),
    ("keithley6221", "keithley6220", "keithley6220", "instruments.field.driver",
     "there are keithley2400"),
    ("  J2: {channels: [1!2,", "  J2: {channels: [1!1,", "  J2:", "junctions.J2.channels",
     "1!1 already belongs to J1"),
    ("  J2:", "  J1:", "1!22", "junctions.J1", "given twice"),
    ("channels: [1!3, 1!13, 1!23]", "channels: []", "channels: []", "junctions.J3.channels",
     "at least 1"),
    ("line_frequency: 50 Hz", "line_frequency: 55 Hz", "55 Hz", "timing.line_frequency",
     "55 Hz is no mains frequency; give 50 Hz or 60 Hz"),
    ("  settle: 2 ms\n", "  settle: 11 s\n", "11 s", "timing.settle",
     "11 s is too long; give at most 10 s"),
    ("relay_settle: 5 ms", "relay_settle: 1 ks", "1 ks", "timing.relay_settle", "at most 10 s"),
    ("trigger: ring", "trigger: star", "star", "timing.trigger", "'ring' or 'fork'"),
    ("trigger: ring", "trigger: [", "", "", ""),
    ("trigger: ring", "trigger: !!python/object:os.system x", "python", "", "constructor"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "line", "key", "words"), MISTAKES)
def test_a_mistake_is_told_in_one_line_with_file_line_and_key(
    tmp_path: Path, old: str, new: str, line: str, key: str, words: str
) -> None:
    path = tmp_path / "bench.yaml"
    text = _mistake(old, new)
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BenchFileError) as caught:
        load_bench_file(path)
    (sentence,) = str(caught.value).splitlines()
    start = f"{path}, line {_line_of(text, line)}: " if line else f"{path}, line "
    assert sentence.startswith(start + (f"{key}: " if key else ""))
    assert words in sentence


def test_each_of_several_mistakes_gets_its_line() -> None:
    text = _mistake("voltage: 20 mV", "voltage: 20 mA").replace("settle: 2 ms", "settle: 2 mV", 1)
    with pytest.raises(BenchFileError) as caught:
        parse_bench_file(text)
    first, second = str(caught.value).splitlines()
    assert "readout.voltage" in first and "timing.settle" in second


def _missing(path: Path) -> None:
    """Nothing is there."""


def _binary(path: Path) -> None:
    path.write_bytes(b"\x89PNG\r\n\x1a\n\xff\xfe\x00")


def _empty(path: Path) -> None:
    path.write_text("", encoding="utf-8")


def _endless(path: Path) -> None:
    path.write_text("a: &a [*a]\n", encoding="utf-8")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (_missing, "cannot be read"),
        (Path.mkdir, "cannot be read"),
        (_binary, "not a text file"),
        (_empty, "expected keys such as"),
        (_endless, "without end"),
    ],
)
def test_what_is_no_bench_file_is_told_in_one_line(
    tmp_path: Path, make: Callable[[Path], None], words: str
) -> None:
    path = tmp_path / "bench.yaml"
    make(path)
    with pytest.raises(BenchFileError) as caught:
        load_bench_file(path)
    (sentence,) = str(caught.value).splitlines()
    assert str(path) in sentence and words in sentence


@settings(deadline=None)
@given(st.text(max_size=60))
def test_no_text_brings_anything_but_a_bench_file_error(text: str) -> None:
    with pytest.raises(BenchFileError, match=r"bench\.yaml"):
        parse_bench_file(text)


def test_the_demonstration_bench_reads_as_written() -> None:
    file, text = load_bench_file(None)
    assert text == DEMO
    assert file.limits.field_line.current == pytest.approx(35e-3)
    assert file.limits.field_line.compliance_v == pytest.approx(1.5 * 35e-3 * 50)
    assert file.readout.compliance_a == pytest.approx(1.5 * 20e-3 / 5e3)
    assert list(file.junctions) == [f"J{n}" for n in range(1, 9)]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("step: 6 mA", "step: 15 uA", "field source, whose programming step is 10 µA"),
        ("current: 35 mA", "current: 0.2 A", "largest range, 100 mA"),
    ],
)
def test_limits_that_an_instrument_cannot_keep_are_told_on_opening(
    old: str, new: str, words: str
) -> None:
    with pytest.raises(BenchError, match=words):
        Bench.open(parse_bench_file(_mistake(old, new)))


@settings(deadline=None)
@given(
    st.floats(1e-15, 1e13) | st.floats(-1e13, -1e-15) | st.just(0.0),
    st.sampled_from(["A", "V", "ohm", "s", "Hz"]),
)
def test_what_is_shown_reads_back(value: float, unit: str) -> None:
    assert to_si(show(value, unit), unit) == pytest.approx(value, rel=6e-6, abs=0)


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [
        ("10 mA", "A", 0.01),
        ("10mA", "A", 0.01),
        ("2.5 µs", "s", 2.5e-6),  # micro sign
        ("2.5 μs", "s", 2.5e-6),  # Greek letter
        ("5 kΩ", "ohm", 5e3),
        (".5e3 mV", "V", 0.5),
        ("0.05 kHz", "Hz", 50),
    ],
)
def test_quantities_read_as_people_write_them(text: str, unit: str, value: float) -> None:
    assert to_si(text, unit) == pytest.approx(value)
