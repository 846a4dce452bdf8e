"""What an instrument reports against its limits and what it was told; temperature; whole plans."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files

import numpy as np
import pytest

from instruments import Bench, LimitError
from instruments.bench_file import parse_bench_file
from instruments.drivers import find_driver
from instruments.errors import UnsafeReportError
from instruments.limits import Guard

DEMO = files("instruments").joinpath("demo_bench.yaml").read_text(encoding="utf-8")


def _guard(changes: Mapping[str, str] = {}) -> Guard:  # read only
    text = DEMO
    for old, new in changes.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    file = parse_bench_file(text)
    return Guard(file, {role: find_driver(one.driver)[1] for role, one in file.connections()})


def _tell(guard: Guard, role: str, *messages: str) -> None:
    for message in messages:
        guard.sent(role, guard.check(role, message))


@pytest.fixture
def live() -> Guard:
    """Meter x on at 20 mV, field source on at 0 A, J1 joined."""
    with Bench.open() as bench:
        bench.sweep("J1", [0.0])
        bench.source.read_level()
        guard = Guard(bench.file, bench.guard.allowed)
        guard.shadows.update(bench.guard.shadows)
    return guard


@pytest.mark.parametrize(
    ("role", "told", "asked", "answer", "words"),
    [
        ("x", ":SOUR:VOLT 0.02", ":SOUR:VOLT?", "+2.5E-02", "reads back 25 mV, not 20 mV"),
        ("x", "", ":SOUR:VOLT?", "+1.5E-01", "x layer of J1: its level reads back 150 mV"),
        ("x", "", ":SOUR:VOLT:RANG?", "+2.1E+01", "its range reads back 21 V"),
        ("x", "", ":SENS:CURR:PROT?", "+1.05E-04", "reads back 105 µA, not 6 µA"),
        ("x", ":OUTP ON", ":OUTP?", "0", "its output reads back off"),
        ("x", ":OUTP OFF", ":OUTP?", "1", "its output reads back on"),
        ("x", ":SOUR:FUNC VOLT;:OUTP ON", ":SOUR:FUNC?", "CURR", "to source CURR, not VOLT"),
        ("field", ":SOUR:CURR 0.004", ":SOUR:CURR?", "0.005", "reads back 5 mA, not 4 mA"),
        ("field", ":ABOR", ":SOUR:CURR?", "0.036", "36 mA is above the limit of 35 mA"),
        ("field", "", ":SOUR:CURR:COMP?", "10", "reads back 10 V, not 2.625 V"),
    ],
)
def test_what_is_reported_unlike_it_was_told_or_above_its_limit_is_an_error(
    live: Guard, role: str, told: str, asked: str, answer: str, words: str
) -> None:
    if told:
        _tell(live, role, told)
    with pytest.raises(UnsafeReportError, match="call: ") as caught:
        live.heard(role, asked, answer.encode())
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("role", "told", "asked", "answer"),
    [
        ("x", ":SOUR:VOLT 0.02", ":SOUR:VOLT?", "+2.000010E-02"),
        ("x", "", ":SOUR:VOLT:RANG?", "+2.1E-01"),
        ("x", "", ":SENS:CURR:PROT?", "+5.999E-06"),
        ("x", ":OUTP OFF;:SENS:CURR:PROT 1e-6", ":SENS:CURR:PROT?", "+2E-06"),  # off: hurts nobody
        ("field", ":SOUR:CURR 0.004123", ":SOUR:CURR?", "0.00412"),
        ("field", ":ABOR", ":SOUR:CURR?", "0.03"),  # wherever the list was
        ("x", "", ":SOUR:VOLT?", "nonsense"),
    ],
)
def test_what_is_rounded_or_off_or_says_nothing_is_none(
    live: Guard, role: str, told: str, asked: str, answer: str
) -> None:
    if told:
        _tell(live, role, told)
    live.heard(role, asked, answer.encode())


def _reply(current_a: float) -> bytes:
    return b"#0" + np.array([current_a, 0.0], dtype="<f4").tobytes()


def test_a_reading_above_the_junctions_current_is_an_error(live: Guard) -> None:
    live.heard("x", ":TRAC:DATA?", _reply(19e-6))
    live.heard("x", ":TRAC:DATA?", _reply(9.9e37))  # an overflow: no number
    live.heard("x", ":TRAC:DATA?", b"+2.5E-05,0")  # somebody's own format
    with pytest.raises(UnsafeReportError, match=r"it reads 25 µA, above the limit of 20 µA") as no:
        live.heard("x", ":TRAC:DATA?", _reply(-25e-6))
    assert "x layer of J1" in str(no.value)


def test_what_somebody_left_on_is_looked_at_and_raises_nothing() -> None:
    guard = _guard()
    look = ":SOUR:CURR?;:SOUR:CURR:RANG?;:SOUR:CURR:COMP?;:OUTP?"
    guard.heard("field", look, b"0.09;0.1;10;1")
    assert guard.shadows["field"].level == 0.09 and not guard.is_dead("field")
    _tell(guard, "field", ":SOUR:CURR 0")


def test_all_that_is_wrong_in_one_answer_is_told_and_known(live: Guard) -> None:
    with pytest.raises(UnsafeReportError, match=r"level reads back .*; its output reads back off"):
        live.heard("x", ":SOUR:VOLT?;:OUTP?", b"0.05;0")
    assert live.shadows["x"].level == 0.05 and live.is_dead("x")


WARM = {
    "\nlimits:  ": "  thermometer: {driver: keithley2182a, address: GPIB0::8}\n\nlimits:  ",
    "20 uA}\n": "20 uA}\n  temperature: 320 K\n",
}


def test_nothing_goes_on_above_the_limit_of_the_temperature() -> None:
    guard = _guard(WARM)
    guard.heard("field", ":SOUR:CURR?;:SOUR:CURR:RANG?;:SOUR:CURR:COMP?;:OUTP?", b"0;0.1;2;0")
    _tell(guard, "field", ":SOUR:SWE:SPAC LIST;:SOUR:SWE:COUN 1;:SOUR:SWE:RANG FIX")
    with pytest.raises(LimitError, match="the temperature is not known"):
        guard.check("field", ":OUTP ON")
    with pytest.raises(LimitError, match="325 K is above the limit of 320 K"):
        guard.at_temperature(325.0)
    with pytest.raises(LimitError, match="325 K is above the limit of 320 K"):
        guard.check("field", ":OUTP ON")
    guard.at_temperature(319.0)
    _tell(guard, "field", ":OUTP ON", ":SOUR:LIST:CURR 0,0.001,0", ":SOUR:LIST:COMP 2,2,2")
    guard.check("field", ":SOUR:SWE:ARM")
    with pytest.raises(LimitError, match="the temperature is not known"):
        guard.at_temperature(None)
    for message in (":SOUR:SWE:ARM", ":SOUR:SWE:ARM;:INIT"):
        with pytest.raises(LimitError, match="the temperature is not known"):
            guard.check("field", message)
    guard.check("field", ":SOUR:CURR 0;:OUTP OFF")


def test_without_a_limit_no_thermometer_is_asked_for() -> None:
    _guard().at_temperature(None)


def test_a_density_is_a_limit_of_its_own_and_says_so() -> None:
    guard = _guard({
        "resistance: 50 ohm": "resistance: 50 ohm, current_density: 1e11 A/m^2, "
                              "cross_section: 0.2 um^2",
        "range: 32 mA": "range: 20 mA",
    })  # fmt: skip
    with pytest.raises(LimitError, match=r"21 mA is above the limit of 20 mA \(current density"):
        guard.check("field", ":SOUR:LIST:CURR 0.02,0.021")
    with pytest.raises(LimitError, match=r"current density 100 GA/m²"):
        guard.file.check_current(0.021)


PACE = {
    "resistance: 50 ohm": "resistance: 50 ohm, slew: 2 A/s, "
                          "duty: {above: 10 mA, share: 0.5, window: 1 s}",
}  # fmt: skip


@pytest.mark.parametrize(
    ("lists", "delay_s", "words"),
    [
        ([[0.003, 0.006], [0.003]], 0.0015, ""),
        ([[0.003, 0.006], [0.003]], 0.0014, "the step from 0 A to 3 mA comes 1.4 ms after"),
        ([[0.001, 0.004], [0.001]], 0.0014, "list 1 of 2"),
        ([[0.003], [0.005, 0.008]], 1.0, "the step from 8 mA to 0 A is larger than 6 mA"),
        ([[0.005, 0.036]], 1.0, "36 mA is above the limit of 35 mA"),
        ([[0.005, 0.01], [0.012, 0.006]], 0.1, ""),
        ([[0.006, 0.012], [0.006]], 0.1, "the list ends at 12 mA, above 10 mA"),
        ([[0.006, *[0.012] * 4, 0.006]], 0.1, "560 ms of 1 s above 10 mA is more than a share"),
        ([[0.006, *[0.012] * 2, 0.006]] * 2, 0.1, "list 2 of 2"),
    ],
)
def test_a_whole_plan_is_checked_before_anything_is_sent(
    lists: list[list[float]], delay_s: float, words: str
) -> None:
    guard = _guard(PACE)
    arrays = [np.array(levels) for levels in lists]
    if not words:
        guard.check_lists("field", arrays, delay_s)
        return
    with pytest.raises(LimitError, match="refused at field line") as caught:
        guard.check_lists("field", arrays, delay_s)
    assert words in str(caught.value)


def test_a_list_whose_delays_are_not_known_does_not_start_where_time_is_limited() -> None:
    guard = _guard(PACE)
    guard.heard("field", ":SOUR:CURR?;:SOUR:CURR:RANG?;:SOUR:CURR:COMP?;:OUTP?", b"0;0.1;2;1")
    _tell(guard, "field", ":SOUR:SWE:SPAC LIST;:SOUR:SWE:COUN 1;:SOUR:SWE:RANG FIX")
    _tell(guard, "field", ":SOUR:LIST:CURR 0.001,0", ":SOUR:LIST:COMP 2,2", ":SOUR:LIST:DEL 0.1")
    with pytest.raises(LimitError, match="delays are not known, one for each level"):
        guard.check("field", ":SOUR:SWE:ARM")
    _tell(guard, "field", ":SOUR:LIST:DEL:APP 0.1")
    guard.check("field", ":SOUR:SWE:ARM")


def test_a_level_by_hand_that_would_stay_on_is_refused_above_the_duty_except_on_the_way_down() -> (
    None
):
    guard = _guard(PACE)
    guard.heard("field", ":SOUR:CURR?;:OUTP?", b"0.016;1")
    with pytest.raises(LimitError, match="18 mA would stay on; above 10 mA only a list may go"):
        guard.check("field", ":SOUR:CURR 0.018")
    _tell(guard, "field", ":SOUR:CURR 0.012")
    _tell(guard, "field", ":SOUR:CURR 0.008")
    with pytest.raises(LimitError, match="would stay on"):
        guard.check("field", ":SOUR:CURR 0.012")


def test_a_role_that_sources_nothing_switches_nothing_on() -> None:
    guard = _guard(WARM)
    guard.at_temperature(300.0)
    for message in (":OUTP ON", ":SOUR:VOLT 0.1", ":SOUR:DELT:ARM"):
        with pytest.raises(LimitError, match="not on the allow-list"):
            guard.check("thermometer", message)
    # Not even with an allow-list that would let it.
    meter = Guard(guard.file, dict(guard.allowed) | {"thermometer": guard.allowed["x"]})
    with pytest.raises(LimitError, match="a thermometer sources nothing"):
        meter.check("thermometer", ":OUTP ON")
    with pytest.raises(LimitError, match="above the limit of 0"):
        meter.check("thermometer", ":SOUR:VOLT 0.001")


def test_a_sweep_within_all_limits_runs_and_one_beyond_sends_nothing() -> None:
    text = DEMO
    for old, new in {
        "resistance: 50 ohm": "resistance: 50 ohm, slew: 1 A/s, current_density: 1e11 A/m^2, "
                              "cross_section: 0.33 um^2, "
                              "duty: {above: 20 mA, share: 0.6, window: 2 s}",
        "1!22]}": "1!22], limits: {voltage: 50 mV, current: 8 uA}}",
    }.items():  # fmt: skip
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    with Bench.open(parse_bench_file(text)) as bench:
        assert bench.sweep("J2", [-0.018, 0.0, 0.018]).valid.all()
        assert bench.sweep("J1", [0.03] * 3).points > 30  # 2 mA a step: 1 A/s for 2 ms
        position = bench.transport.position
        for levels, words in (([0.03] * 300, r"\(duty\)"), ([0.034], "current density")):
            with pytest.raises(LimitError, match=words):
                bench.sweep("J1", levels)
        assert bench.transport.position == position
