"""Every mistake in a bench file gets one line that says where it is and what it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from instruments import Bench, BenchError, BenchFileError, bench_schema, load_bench_file
from instruments.bench_file import BenchFile, Calibration, Instruments, parse_bench_file
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
     "there are keithley2182a, keithley2400"),
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


BIAS = '  bias: {driver: yokogawags200, address: "GPIB0::2::INSTR"}'
ALL = DEMO
for _old, _new in (
    ("\nlimits:  ", f"{BIAS}\n"
     '  polarizer: {driver: keithley2450, address: "GPIB0::3::INSTR"}\n'
     '  thermometer: {driver: keithley2182a, address: "GPIB0::8::INSTR"}\n\nlimits:  '),
    ("backend: sim", 'backend: real\nvisa: "@py"'),
    ("resistance: 50 ohm}", "resistance: 50 ohm, current_density: 1e11 A/m^2, "
     "cross_section: 0.35 um^2, slew: 3 A/s,\n"
     "    duty: {above: 20 mA, share: 0.5, window: 10 s}}"),
    ("20 uA}\n", "20 uA}\n  temperature: 45 °C\n"
     "  bias: {level: 100 mA, step: 5 mA, compliance: 5 V}\n"
     "  polarizer: {level: 1.5 V, compliance: 10 mA}\n"),
    ("1!28]}", "1!28], limits: {voltage: 50 mV}}"),
):  # fmt: skip
    assert ALL.count(_old) == 1, _old
    ALL = ALL.replace(_old, _new)


def test_every_optional_key_reads_as_written() -> None:
    file = parse_bench_file(ALL)
    line, limits = file.limits.field_line, file.limits
    assert file.visa == "@py" and [role for role, _ in file.connections()] == [
        "field", "x", "z", "switch", "bias", "polarizer", "thermometer"]  # fmt: skip
    assert line.largest_a == pytest.approx(35e-3) and line.slew == 3
    assert line.step_within(1e-3) == pytest.approx(3e-3) and line.step_within(1) == line.step
    assert line.duty is not None and line.duty.above == pytest.approx(0.02)
    assert limits.temperature == pytest.approx(318.15)
    assert limits.bias is not None and limits.bias.level == (0.1, "A")
    assert limits.bias.compliance == (5, "V")
    assert limits.polarizer is not None and limits.polarizer.step is None
    assert file.junction_limits("J8").voltage == pytest.approx(0.05)
    assert file.junction_limits("J8").current == file.limits.junction.current
    assert file.junction_limits("J1") is file.limits.junction


OPTIONAL = [
    ("0.35 um^2", "0.3 um^2", "calibration.range", "above limits.field_line.current_density, 30"),
    ("cross_section: 0.35 um^2, ", "", "limits.field_line.cross_section", "are given together"),
    ("0.35 um^2", "0.35 um", "limits.field_line.cross_section", "such as '0.2 um^2'"),
    ("1e11 A/m^2", "1e11 A/m", "limits.field_line.current_density", "a quantity in A/m²"),
    ("3 A/s", "3 A", "limits.field_line.slew", "a quantity in A/s"),
    ("3 A/s", "0 A/s", "limits.field_line.slew", "greater than 0"),
    ("share: 0.5", "share: 1", "limits.field_line.duty.share", "less than 1"),
    ("above: 20 mA", "above: 35 mA", "limits.field_line.duty.above", "not below the largest"),
    ("step: 5 mA", "step: 5 mV", "limits.bias.step", "5 mV is not a quantity in A"),
    ("compliance: 5 V", "compliance: 5 A", "limits.bias.compliance", "is not a quantity in V"),
    ("level: 100 mA", "level: 100 ohm", "limits.bias.level", "a quantity in A or V"),
    ("level: 100 mA", "level: -1 mA", "limits.bias.level", "greater than 0"),
    ("level: 100 mA, step: 5 mA, compliance: 5 V", "level: 1 V, compliance: 1 mA",
     "limits.bias.level", "yokogawags200 sources in A, not 1 V"),
    (BIAS, "", "limits.bias", "instruments.bias is missing"),
    ("  bias: {level: 100 mA, step: 5 mA, compliance: 5 V}\n", "", "limits.bias",
     "instruments.bias has none without it"),
    ('  thermometer: {driver: keithley2182a, address: "GPIB0::8::INSTR"}\n', "",
     "limits.temperature", "instruments.thermometer is missing"),
    ("driver: yokogawags200", "driver: keithley7001", "instruments.bias.driver",
     "keithley7001 cannot be the bias; keithley2450, yokogawags200, yokogawags200_volt can"),
    ("z:      {driver: keithley2400", "z:      {driver: keithley2450", "instruments.z.driver",
     "keithley2450 cannot be the z; keithley2400 can"),
    ("GPIB0::8::INSTR", "GPIB0::2::INSTR", "instruments.thermometer.address", "belongs to bias"),
    ("limits: {voltage: 50 mV}", "limits: {voltage: 15 mV}", "readout.voltage",
     "above junctions.J8.limits.voltage, 15 mV"),
    ("limits: {voltage: 50 mV}", "limits: {current: 5 uA}", "readout.lowest_resistance",
     "above junctions.J8.limits.current, 5 µA"),
    ("limits: {voltage: 50 mV}", "limits: {ampere: 5 uA}", "junctions.J8.limits.ampere",
     "no such key"),
    ("temperature: 45 °C", "temperature: 45", "limits.temperature", "such as '300 K'"),
    ("temperature: 45 °C", "temperature: -300 °C", "limits.temperature", "greater than 0"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "key", "words"), OPTIONAL)
def test_a_mistake_in_an_optional_key_is_told_in_one_line(
    old: str, new: str, key: str, words: str
) -> None:
    assert ALL.count(old) == 1, old
    with pytest.raises(BenchFileError) as caught:
        parse_bench_file(ALL.replace(old, new))
    (sentence,) = str(caught.value).splitlines()
    assert f": {key}: " in sentence and sentence.startswith("bench.yaml, line ")
    assert words in sentence


def test_a_wrong_file_tells_all_its_mistakes_at_once() -> None:
    text = ALL
    for old, new in (
        ("settle: 2 ms\n  relay", "settle: 2 mV\n  relay"),
        ("range: 32 mA", "range: 36 mA"),
        ("GPIB0::8::INSTR", "GPIB0::2::INSTR"),
        ("[1!2, 1!12", "[1!1, 1!12"),
        ("limits: {voltage: 50 mV}", "limits: {voltage: 10 mV}"),
        ("  J3:", "  J4:"),
        ("name: demo", "nme: demo"),
    ):
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    with pytest.raises(BenchFileError) as caught:
        parse_bench_file(text)
    told = str(caught.value)
    for key in (
        "timing.settle", "calibration.range", "instruments.thermometer.address",
        "junctions.J2.channels", "readout.voltage", "junctions.J4", "nme",
    ):  # fmt: skip
        assert told.count(f": {key}: ") == 1, key
    assert len(told.splitlines()) == 7


def test_a_bench_made_in_python_keeps_the_rules_too() -> None:
    data = parse_bench_file(ALL)
    with pytest.raises(ValueError, match=r"calibration\.range"):
        BenchFile.model_validate(
            dict(data) | {"calibration": Calibration.model_construct(range=1.0, points=121)}
        )


def test_the_schema_for_editors_is_current() -> None:
    assert bench_schema.PATH.read_text(encoding="utf-8") == bench_schema.schema()


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | (
    st.sampled_from(["10 mA", "1 V", "keithley2400", "GPIB0::1::INSTR", "1!1", "5 mA/s", "fork"])
)  # fmt: skip
MORE_KEYS = ("driver", "address", "limits", "channels", "level", "J1", "duty")
KEYS = st.sampled_from([*BenchFile.model_fields, *Instruments.model_fields, *MORE_KEYS])
TREES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | SCALARS, inner, max_size=5),
    max_leaves=15,
)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 40), TREES), min_size=1, max_size=3))
def test_no_value_in_any_place_brings_anything_but_sentences(
    changes: list[tuple[int, object]],
) -> None:
    data = yaml.safe_load(ALL)
    places = list(_places(data))
    for place, value in changes:
        where, key = places[place % len(places)]
        where[key] = value
    try:
        parse_bench_file(yaml.safe_dump(data, allow_unicode=True))
    except BenchFileError as error:
        assert all(line.startswith("bench.yaml") for line in str(error).splitlines())


def _places(data: object) -> Iterator[tuple[Any, Any]]:
    items = data.items() if isinstance(data, dict) else enumerate(data)  # type: ignore[arg-type]
    for key, value in list(items):
        yield data, key
        if isinstance(value, (dict, list)):
            yield from _places(value)


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
        ("1 kOhm/s", "ohm/s", 1e3),
        ("5 mA / s", "A/s", 5e-3),
        ("1e11 A/m^2", "A/m²", 1e11),
        ("10 MA/cm²", "A/m²", 1e11),
        ("0.2 um**2", "m²", 2e-13),
        ("-5 degC", "K", 268.15),
    ],
)
def test_quantities_read_as_people_write_them(text: str, unit: str, value: float) -> None:
    assert to_si(text, unit) == pytest.approx(value)
