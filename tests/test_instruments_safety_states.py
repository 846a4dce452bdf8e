"""Idle, armed, running, tripped: what trips the bench, how it gets there, and how it comes back."""

from __future__ import annotations

import gc
import signal
import subprocess
import sys
import threading
from importlib.resources import files
from itertools import count
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest

import db
from cli.main import _interrupt
from db import Message, NullRecorder
from instruments import Bench, BenchError, Cause, LimitError, State, StoppedError
from instruments.bench_file import parse_bench_file
from instruments.errors import (
    ComplianceError,
    HeldError,
    InstrumentLostError,
    OverflowedError,
    UnsafeReportError,
)
from instruments.fetching import check_readings
from instruments.link import Link
from instruments.roles import MeterReadings
from instruments.safe_state import stop_order
from instruments.states import Terminated, cause_of
from sim_backend.faults_kinds import LinkDown

DEMO = files("instruments").joinpath("demo_bench.yaml").read_text(encoding="utf-8")
LEVELS = [-0.01, 0.0, 0.01]
STEP_A = 0.006


class Log(NullRecorder):
    """A recorder that keeps messages and events."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[Message] = []
        self.events: list[tuple[str, str]] = []

    def message(self, message: Message) -> None:
        self.messages.append(message)

    def event(self, kind: str, text: str) -> None:
        self.events.append((kind, text))

    def currents(self) -> list[float]:
        """The currents that were set on the field line one by one, A."""
        return [float(m.sent.split()[1]) for m in self.messages if m.sent.startswith(":SOUR:CURR ")]


def _sim(bench: Bench) -> Any:
    return bench._keep.visalib.bench


def _assert_safe(sim: Any) -> None:
    assert [meter.state["v_level"] for meter in sim.meters.values()] == [0, 0]
    assert sim.source.state["level"] == 0
    assert not any(one.state["output"] for one in (*sim.meters.values(), sim.source))
    assert sim.hot_switches == 0 and sim.switch.closed == set()


# -- causes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (RuntimeError("oops"), Cause.EXCEPTION),
        (BenchError("oops"), Cause.EXCEPTION),
        (KeyboardInterrupt(), Cause.INTERRUPT),
        (Terminated("SIGTERM"), Cause.TERMINATED),
        (InstrumentLostError("gone"), Cause.LOST),
        (ComplianceError("short"), Cause.COMPLIANCE),
        (OverflowedError("short"), Cause.OVERFLOW),
        (LimitError("refused"), Cause.LIMITS),
        (UnsafeReportError("reports"), Cause.LIMITS),
    ],
)
def test_every_error_has_its_cause(error: BaseException, cause: Cause) -> None:
    assert cause_of(error) is cause
    log = Log()
    with pytest.raises(type(error)), Bench.open(recorder=log) as bench:
        bench.sweep("J1", LEVELS)
        raise error
    assert bench.trip is not None and bench.trip.cause is cause
    assert log.events[0][0] == "tripped" and log.events[0][1].startswith(cause.value)


def test_only_what_somebody_wanted_is_a_persons_doing() -> None:
    wanted = {Cause.INTERRUPT, Cause.TERMINATED, Cause.WINDOW, Cause.OPERATOR}
    assert {cause for cause in Cause if cause.is_a_persons} == wanted


@pytest.mark.parametrize("error", [InstrumentLostError, UnsafeReportError])
def test_a_lost_instrument_or_an_unsafe_report_trips_though_the_caller_goes_on(
    error: type[BenchError], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(levels: Any) -> None:
        raise error("field: gone")

    with Bench.open() as bench:
        bench.sweep("J1", LEVELS)
        monkeypatch.setattr(bench.source, "load", fail)
        with pytest.raises(error):
            bench.sweep("J1", LEVELS)
        assert bench.state is State.TRIPPED
        _assert_safe(_sim(bench))
        with pytest.raises(StoppedError, match=r"tripped.*field: gone.*reset it"):
            bench.sweep("J1", LEVELS)


def test_an_instrument_that_is_lost_in_a_sweep_trips_and_the_others_go_off() -> None:
    with pytest.raises(InstrumentLostError, match="z: "), Bench.open() as bench:
        bench.sweep("J1", LEVELS)
        _sim(bench).faults.add(LinkDown(instrument="z", from_s=_sim(bench).clock.now_s, message=1))
        bench.sweep("J1", LEVELS)
    sim = _sim(bench)
    assert bench.trip is not None and bench.trip.cause is Cause.LOST
    assert any(problem.startswith("z: ") for problem in bench.unsafe)
    assert not sim.meters["x"].state["output"] and not sim.source.state["output"]
    assert len(sim.switch.closed) == 3 and sim.hot_switches == 0  # not while z may be on


def test_fields_go_to_zero_after_junctions_whatever_is_on_the_bench() -> None:
    roles = ["field", "switch", "bias", "thermometer", "z", "polarizer", "x"]
    assert stop_order(roles) == ["x", "z", "polarizer", "bias", "field"]
    assert stop_order(["switch", "field", "x", "z"]) == ["x", "z", "field"]


def test_a_list_that_is_mostly_in_compliance_trips_and_a_single_point_does_not() -> None:
    text = DEMO.replace("lowest_resistance: 5 kohm", "lowest_resistance: 100 kohm")
    with Bench.open(parse_bench_file(text)) as bench:
        data = bench.sweep("J1", LEVELS)  # few points: marked, and that is all
        assert not data.valid.any() and bench.state is State.ARMED
        with pytest.raises(ComplianceError, match=r"J1: meter x was in compliance for 3\d of 3\d"):
            bench.sweep("J1", np.linspace(-0.03, 0.03, 21))
        assert bench.trip is not None and bench.trip.cause is Cause.COMPLIANCE
        _assert_safe(_sim(bench))


@pytest.mark.parametrize(
    ("above", "points", "trips"), [(16, 31, True), (15, 31, False), (19, 19, False)]
)
def test_a_list_that_is_mostly_above_the_range_trips(above: int, points: int, trips: bool) -> None:
    overflow = np.arange(points) < above
    no, zeros = np.zeros(points, dtype=bool), np.zeros(points)
    readings = MeterReadings(zeros, zeros.astype(np.int64), no, overflow, ~overflow)
    if trips:
        with pytest.raises(OverflowedError, match=r"J1: 16 of 31 readings .* range of meter z"):
            check_readings("J1", {"z": readings}, 0.5)
    else:
        check_readings("J1", {"z": readings}, 0.5)


def test_the_share_that_trips_is_a_setting() -> None:
    text = DEMO.replace("lowest_resistance: 5 kohm", "lowest_resistance: 100 kohm\n  trip_share: 1")
    with Bench.open(parse_bench_file(text)) as bench:
        data = bench.sweep("J1", np.linspace(-0.03, 0.03, 21))
        assert not data.valid.any() and bench.state is State.ARMED


def test_the_field_sources_compliance_trips_and_says_so() -> None:
    text = DEMO.replace("resistance: 50 ohm}", "resistance: 10 ohm}")  # the line has 50
    with Bench.open(parse_bench_file(text)) as bench:
        with pytest.raises(ComplianceError, match="field source reached its compliance of 525 mV"):
            bench.sweep("J1", np.linspace(-0.03, 0.03, 21))
        assert bench.trip is not None and bench.trip.cause is Cause.COMPLIANCE
        _assert_safe(_sim(bench))


# -- interrupts ------------------------------------------------------------------------------------


def _interrupted_high(log: Log, error: BaseException, text: str = DEMO) -> Bench:
    def interrupt(data: Any) -> None:
        if data.level_a[-1] > 0.02:
            raise error

    file = parse_bench_file(text)
    with pytest.raises(type(error)), Bench.open(file, recorder=log) as bench:
        bench.sweep("J1", [0.03, 0.032], list_points=5, on_list=interrupt)
    return bench


def test_the_first_interrupt_brings_the_field_home_step_by_step() -> None:
    log = Log()
    bench = _interrupted_high(log, KeyboardInterrupt())
    levels = [level for level in log.currents() if level] + [0.0]
    assert len(levels) > 4 and levels == sorted(levels, reverse=True)
    assert max(abs(np.diff(levels))) <= STEP_A * (1 + 1e-9)
    _assert_safe(_sim(bench))
    assert bench.trip is not None and bench.trip.cause is Cause.INTERRUPT


def test_the_way_home_keeps_the_slew_limit() -> None:
    log = Log()
    text = DEMO.replace("step: 6 mA,", "step: 6 mA, slew: 1 A/s,")
    bench = _interrupted_high(log, KeyboardInterrupt(), text)
    ramp = [m for m in log.messages if m.sent.startswith(":SOUR:CURR ") and m.seq is None]
    times = [m.bench_time_s for m in ramp]
    currents = [float(m.sent.split()[1]) for m in ramp]
    home = currents.index(0.0)
    assert home > 3 and not any(m.error for m in ramp)
    assert all(
        abs(currents[i + 1] - currents[i]) <= (times[i + 1] - times[i]) * 1.0 + 1e-9
        for i in range(home)
    )
    _assert_safe(_sim(bench))


def test_a_request_to_end_brings_the_field_to_zero_at_once() -> None:
    log = Log()
    bench = _interrupted_high(log, Terminated("SIGTERM"))
    assert set(log.currents()) == {0.0}
    _assert_safe(_sim(bench))
    assert bench.trip is not None and bench.trip.cause is Cause.TERMINATED


def test_the_command_line_tells_ctrl_c_from_a_request_to_end() -> None:
    with pytest.raises(KeyboardInterrupt) as first:
        _interrupt(signal.SIGINT, None)
    assert not isinstance(first.value, Terminated)
    with pytest.raises(Terminated, match="SIGTERM"):
        _interrupt(signal.SIGTERM, None)


def test_the_second_interrupt_ends_the_way_home_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    wait_for = Link.wait_for
    for at in range(30):
        seen, at_once = count(), []

        def interrupted(
            link: Link, job: Any, most_s: float | None = None, seen: Any = seen, at: int = at,
            at_once: Any = at_once,
        ) -> bytes:  # fmt: skip
            reply = wait_for(link, job, most_s)
            if job.stop and next(seen) == at:
                at_once.append(job.message)
                raise KeyboardInterrupt
            return reply

        monkeypatch.setattr(Link, "wait_for", interrupted)
        log = Log()
        bench = _interrupted_high(log, KeyboardInterrupt())
        assert at_once
        _assert_safe(_sim(bench))
        assert bench.trip is not None and bench.trip.cause is Cause.INTERRUPT


def test_an_interrupt_of_a_bench_that_is_not_armed_moves_nothing_step_by_step() -> None:
    log = Log()
    with pytest.raises(KeyboardInterrupt), Bench.open(recorder=log):
        raise KeyboardInterrupt
    assert log.currents() == [0.0]


def test_an_interrupt_between_the_run_and_the_first_line_of_its_end_is_no_way_out() -> None:
    sims: list[Any] = []

    def interrupt(frame: FrameType, event: str, _: Any) -> Any:
        if frame.f_code is Bench.__exit__.__code__:
            sys.settrace(None)
            raise KeyboardInterrupt

    def run() -> None:
        with Bench.open() as bench:
            sims.append(_sim(bench))
            bench.sweep("J1", LEVELS)
            sys.settrace(interrupt)

    before = sys.gettrace()
    try:
        run()
        raise AssertionError("there was no interrupt")
    except KeyboardInterrupt:
        pass
    finally:
        sys.settrace(before)
    _wait_for_closing()
    _assert_safe(sims[0])


def test_an_interrupt_between_opening_and_entering_is_no_way_out() -> None:
    bench = Bench.open()
    bench.sweep("J1", LEVELS)
    sim = _sim(bench)
    del bench
    _wait_for_closing()
    _assert_safe(sim)


def _wait_for_closing() -> None:
    gc.collect()
    for thread in threading.enumerate():
        if thread.name == "closing a bench":
            thread.join(20)


def test_a_program_that_ends_with_its_bench_open_ends_safe(tmp_path: Path) -> None:
    path = tmp_path / "lab.sqlite"
    script = (
        "from db import Recorder\n"
        "from instruments import Bench\n"
        f"recorder = Recorder.open({str(path)!r})\n"
        "recorder.start_session('sweep', {})\n"
        "bench = Bench.open(recorder=recorder)\n"
        "bench.sweep('J1', [0.0])\n"
        "raise KeyboardInterrupt\n"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=100)
    assert b"KeyboardInterrupt" in ended.stderr
    events = [(event.kind, event.text) for event in db.session(path, 1).events]
    assert events == [("tripped", "exception: the bench was left open")]
    last = [(m.instrument, m.sent) for m in list(db.transcript(path, 1))[-3:]]
    assert last[-1] == ("switch", ":ROUT:OPEN ALL")


# -- reset -----------------------------------------------------------------------------------------


def test_a_bench_that_was_stopped_measures_again_after_a_reset() -> None:
    log = Log()
    with Bench.open(recorder=log) as bench:
        first = bench.sweep("J1", LEVELS)
        bench.stop("enough")
        bench.reset()
        assert bench.state is State.IDLE and bench.trip is None
        again = bench.sweep("J1", LEVELS)
        bench.reset()  # nothing to do
        assert bench.state is State.ARMED
    assert np.allclose(first.current_x_a, again.current_x_a, rtol=0, atol=3e-8)
    assert [kind for kind, _ in log.events] == ["tripped", "reset"]
    _assert_safe(_sim(bench))
    with pytest.raises(StoppedError, match="open it anew"):
        bench.reset()


def test_a_reset_waits_for_nobody_who_was_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    with Bench.open() as bench:
        bench.sweep("J1", LEVELS)
        pause, told = bench._keep.visalib.bench_pause, threading.Event()
        found: list[BaseException] = []

        def paused(seconds: float) -> None:
            told.set()
            bench.transport.stopping.wait(10)
            pause(seconds)

        def sweep() -> None:
            try:
                bench.sweep("J2", LEVELS)
            except StoppedError as error:
                found.append(error)

        monkeypatch.setattr(bench.clock, "_pause", paused)
        thread = threading.Thread(target=sweep)
        thread.start()
        assert told.wait(20)
        bench.stop("enough")
        thread.join(20)
        assert len(found) == 1
        monkeypatch.undo()
        bench.reset()
        assert bench.sweep("J2", LEVELS).valid.all()


def test_a_reset_while_a_stopped_run_has_not_ended_is_refused() -> None:
    with Bench.open() as bench:
        errors: list[BaseException] = []

        def reset() -> None:
            try:
                bench.reset()
            except HeldError as error:
                errors.append(error)

        with pytest.raises(StoppedError), bench.running():
            bench.stop("enough")
            thread = threading.Thread(target=reset)
            thread.start()
            thread.join(20)
            assert len(errors) == 1 and bench.state is State.TRIPPED
            bench.sweep("J1", LEVELS)
        bench.reset()
        assert bench.sweep("J1", LEVELS).valid.all()


def test_a_reset_wants_the_safe_state_confirmed() -> None:
    def broken(message: str) -> None:
        raise OSError("no listener on the bus")

    with Bench.open() as bench:
        bench.sweep("J1", LEVELS)
        wire: Any = bench.transport.links["x"]._wire
        wire.write = broken
        assert bench.stop("test")
        with pytest.raises(BenchError, match="the safe state is not confirmed: x: "):
            bench.reset()
        assert bench.state is State.TRIPPED
        del wire.write
        bench.reset()
        assert bench.sweep("J1", LEVELS).valid.all()


def test_a_trip_that_cannot_be_kept_for_the_next_program_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from instruments import safe_state
    from instruments.states import Cause

    def full(_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(safe_state, "set_latch", full)
    log = Log()
    with Bench.open(recorder=log) as bench:
        bench.arm()
        bench._safety._outlives = ("GPIB0::1::INSTR",)  # as instruments do that keep their power
        assert bench.stop("a short", Cause.COMPLIANCE) == []
        _assert_safe(_sim(bench))
        bench._safety._outlives = ()
    assert [kind for kind, _ in log.events] == ["not latched", "tripped"]
    assert "will not know of this trip (no space left)" in caplog.text
