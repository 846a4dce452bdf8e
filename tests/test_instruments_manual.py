"""A level by hand stays within the limits on its whole way, and never stays on alone."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from instruments import Bench, BenchError, LimitError, State
from instruments.errors import ComplianceError, RehearsalError, UnsafeReportError
from instruments.manual import Hand, Reading, monitor, read_junction
from tests.instrument_bench import Log
from tests.resistor_bench import OHM, is_safe, served, write_files

LINE = {"current": "35 mA", "step": "6 mA", "resistance": "50 ohm"}
BIAS = {"driver": "yokogawags200", "address": "GPIB0::2::INSTR"}
BIAS_LIMITS = {"level": "50 mA", "step": "8 mA", "compliance": "10 V"}


class Open:
    """A simulated bench, and all that is said on it."""

    def __init__(self, folder: Path, **changes: Any) -> None:
        self.log = Log()
        path = write_files(folder, **changes)
        self.bench = Bench.open(path, recorder=self.log)
        self.sim: Any = self.bench._keep.visalib.bench

    def levels(self, role: str, header: str) -> list[float]:
        """What a role was set to, one after another."""
        found = []
        for message in self.log.messages:
            if message.instrument == role and message.op == "write" and message.error is None:
                found += re.findall(rf"(?:^|;){header} (\S+?)(?:;|$)", message.sent)
        return [float(one) for one in found]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Any]:
    benches: list[Bench] = []

    def make(**changes: Any) -> Open:
        one = Open(tmp_path, **changes)
        benches.append(one.bench)
        return one

    yield make
    for bench in benches:
        bench.close()


# -- set ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level_a", [20e-3, -20e-3, 6e-3, 0.0])
def test_the_field_goes_to_its_level_in_steps_and_back(opened: Any, level_a: float) -> None:
    one = opened()
    steps: list[tuple[float, int]] = []
    hand = Hand(one.bench, "field")
    assert hand.set(level_a, lambda level, total: steps.append((level, total))) == level_a
    assert one.sim.source.state["level"] == level_a and one.sim.source.state["output"]
    assert steps[-1][0] == level_a and {total for _, total in steps} == {len(steps)}
    hand.home()
    levels = np.array([0.0, *one.levels("field", ":SOUR:CURR")])
    assert np.abs(np.diff(levels)).max() <= 6e-3 * (1 + 1e-9)
    assert one.sim.source.state["level"] == 0 and level_a in levels


def test_what_somebody_left_on_goes_home_in_steps_before_the_bench_arms(opened: Any) -> None:
    one = opened()
    one.sim.source.state |= {"output": True, "level": 0.02, "compliance": 1.0}
    one.bench.drivers["field"].look()
    Hand(one.bench, "field").set(1e-3)
    levels = np.array([0.02, *one.levels("field", ":SOUR:CURR")])
    assert np.abs(np.diff(levels)).max() <= 6e-3 * (1 + 1e-9)


def test_what_was_left_on_with_a_fuse_that_is_none_goes_to_zero_at_once(opened: Any) -> None:
    one = opened()
    one.sim.source.state |= {"output": True, "level": 0.02, "compliance": 100.0}
    one.bench.drivers["field"].look()
    assert Hand(one.bench, "field").set(1e-3) == 1e-3
    assert one.levels("field", ":SOUR:CURR")[0] == 0


def test_a_slew_limit_sets_the_pace(opened: Any) -> None:
    line = LINE | {"slew": "60 mA/s"}
    one = opened(limits={"field_line": line}, timing={"settle": "50 ms"})
    start_s = one.bench.clock.time_s()
    Hand(one.bench, "field").set(18e-3)
    assert one.bench.clock.time_s() - start_s >= 18e-3 / 60e-3


def test_what_is_above_a_limit_switches_nothing_on(opened: Any) -> None:
    duty = {"above": "10 mA", "share": 0.5, "window": "10 s"}
    one = opened(limits={"field_line": LINE | {"duty": duty}})
    tries = [
        ("field", 36e-3, None, "refused at field line: 36 mA is above the limit of 35 mA"),
        ("field", -12e-3, None, "refused at field line: -12 mA would stay on; above 10 mA only"),
        ("x", 0.12, "D1", "refused at x layer of D1: 120 mV is above the limit of 100 mV"),
    ]
    for role, level, junction, sentence in tries:
        with pytest.raises(LimitError, match=re.escape(sentence)):
            Hand(one.bench, role, junction).set(level)
    assert one.bench.state is State.IDLE and not any("OUTP ON" in text for text in one.log.sent)


@pytest.mark.parametrize("role", ["x", "z"])
def test_a_meter_is_joined_to_its_junction_and_the_other_stays_at_zero(
    opened: Any, role: str
) -> None:
    one = opened()
    assert Hand(one.bench, role, "D1").set(0.02) == 0.02
    assert one.sim.switch.closed == {"2!1", "2!11"}
    other = "z" if role == "x" else "x"
    assert one.sim.by_name[role].state["v_level"] == 0.02
    assert one.sim.by_name[other].state["v_level"] == 0


def test_the_bias_goes_in_its_own_steps(opened: Any) -> None:
    one = opened(instruments={"bias": BIAS}, limits={"bias": BIAS_LIMITS})
    hand = Hand(one.bench, "bias")
    assert hand.unit == "A" and hand.set(-20e-3) == -20e-3
    hand.home()
    levels = np.array([0.0, *one.levels("bias", ":SOUR:LEV")])
    assert np.abs(np.diff(levels)).max() <= 8e-3 * (1 + 1e-9) and levels[-1] == 0
    with pytest.raises(LimitError, match="refused at bias magnet: 60 mA is above"):
        hand.set(60e-3)


@pytest.mark.parametrize(
    ("role", "junction", "sentence"),
    [
        ("switch", None, "cannot be set by hand; give one of field, x, z, bias"),
        ("bias", None, "the bench file has no instruments.bias"),
        ("x", None, "x: which junction?"),
        ("field", "D1", "field acts on all junctions"),
        ("z", "D9", "no junction 'D9'"),
    ],
)
def test_what_cannot_be_set_says_why(opened: Any, role: str, junction: Any, sentence: str) -> None:
    with pytest.raises(BenchError, match=re.escape(sentence)):
        Hand(opened().bench, role, junction)


def test_a_bench_that_does_not_arm_is_told_before_anything_is_set(tmp_path: Path) -> None:
    with served(tmp_path) as (path, sim), Bench.open(path, guardian=False) as bench:
        sim.source.state |= {"output": True, "level": 0.01}
        with pytest.raises(RehearsalError):
            Hand(bench, "field").set(1e-3)
        assert sim.source.state["level"] == 0.01


# -- hold -----------------------------------------------------------------------------------------


def test_a_level_is_held_for_its_time_and_looked_at(opened: Any) -> None:
    one = opened()
    hand = Hand(one.bench, "field")
    looks: list[float] = []
    hand.set(2e-3)
    start_s = one.bench.clock.time_s()
    hand.hold(threading.Event(), 3.5, looks.append)
    assert 3.5 <= one.bench.clock.time_s() - start_s < 4.5
    assert looks == [2e-3] * 4


def test_the_operator_ends_the_hold(opened: Any) -> None:
    one = opened()
    hand, end = Hand(one.bench, "field"), threading.Event()
    hand.set(2e-3)
    hand.hold(end, 1e9, lambda level: end.set())
    hand.hold(end)
    assert one.sim.source.state["level"] == 2e-3


def test_a_level_that_is_not_there_any_more_trips_the_bench(opened: Any) -> None:
    one = opened()
    hand = Hand(one.bench, "field")
    hand.set(2e-3)
    one.sim.source.state["level"] = 5e-3
    with pytest.raises(UnsafeReportError, match="reads back 5 mA, not 2 mA"):
        hand.hold(threading.Event(), 5.0)
    assert one.bench.state is State.TRIPPED and is_safe(one.sim)


def test_a_source_that_is_held_back_trips_the_bench(
    opened: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = opened()
    hand = Hand(one.bench, "field")
    hand.set(2e-3)
    monkeypatch.setattr(one.bench.drivers["field"], "in_compliance", lambda: True)
    with pytest.raises(ComplianceError, match="field: the source is held back"):
        hand.hold(threading.Event(), 5.0)
    assert one.bench.state is State.TRIPPED and is_safe(one.sim)


# -- readings -------------------------------------------------------------------------------------


def test_a_reading_is_that_of_the_junctions_resistors(opened: Any) -> None:
    for name, ohm in OHM.items():
        found = read_junction(opened().bench, name, 3e-3)
        assert found.valid and found.level_a == 3e-3
        assert found.r_x_ohm == pytest.approx(ohm, rel=0.01)
        assert found.r_z_ohm == pytest.approx(ohm, rel=0.01)


def test_a_monitor_keeps_the_field_and_its_pace(opened: Any) -> None:
    one = opened()
    at: list[float] = []

    def on_reading(reading: Reading) -> None:
        at.append(one.sim.source.state["level"])

    found = monitor(
        one.bench, "D1", 20e-3, count=5, rate_hz=4.0, on_reading=on_reading, end=threading.Event()
    )
    assert len(found) == 5 and {one.level_a for one in found} == {20e-3}
    assert at[:4] == [20e-3] * 4  # the last list ends at 0 A by itself or one step above
    assert np.diff([one.at_s for one in found]) == pytest.approx([0.25] * 4, abs=0.02)
    assert all(one.valid for one in found)


def test_a_monitor_that_is_ended_goes_home_in_steps_and_keeps_its_readings(opened: Any) -> None:
    one, end, found = opened(), threading.Event(), []

    def on_reading(reading: Reading) -> None:
        found.append(reading)
        if len(found) == 2:
            end.set()

    kept = monitor(one.bench, "D1", 20e-3, count=100, rate_hz=10.0, on_reading=on_reading, end=end)
    assert kept == found and len(kept) == 2
    levels = np.array(one.levels("field", ":SOUR:CURR"))
    home = np.array([20e-3, *levels[np.flatnonzero(levels)[0] :]])  # before it: 0 A, armed
    assert len(home) >= 4 and np.abs(np.diff(home)).max() <= 6e-3 * (1 + 1e-9) and home[-1] == 0
    assert one.sim.source.state["level"] == 0 and one.bench.state is State.ARMED
