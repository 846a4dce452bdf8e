"""Whatever happens, the bench ends at zero and off, in the right order."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from importlib.resources import files
from itertools import count
from typing import Any

import numpy as np
import pytest

from db import DatabaseError, Message, NullRecorder
from instruments import (
    Bench,
    BenchError,
    InstrumentError,
    LimitError,
    StoppedError,
    SweepVoidError,
)
from instruments.bench_file import parse_bench_file
from instruments.drivers._readings import read_buffer
from instruments.drivers.keithley2400 import Keithley2400
from instruments.link import Link
from instruments.states import State

DEMO = files("instruments").joinpath("demo_bench.yaml").read_text(encoding="utf-8")
LEVELS = [-0.01, 0.0, 0.01]


class Log(NullRecorder):
    """A recorder that keeps messages and events, and does something at each message."""

    def __init__(self, at_message: Callable[[Message], None] = lambda message: None) -> None:
        super().__init__()
        self.messages: list[Message] = []
        self.events: list[tuple[str, str]] = []
        self._at_message = at_message

    def message(self, message: Message) -> None:
        self.messages.append(message)
        self._at_message(message)

    def event(self, kind: str, text: str) -> None:
        self.events.append((kind, text))


class Fault:
    """Raises at one message of the run, counted from 0, before or after it went out."""

    def __init__(self, bench: Bench, error: BaseException, at: int, *, after: bool) -> None:
        self.error, self.at, self.after, self.seen = error, at, after, 0
        for link in bench.transport.links.values():
            link._wire = self._Wire(link._wire, self)

    class _Wire:
        def __init__(self, wire: Any, fault: Fault) -> None:
            self._wire, self._fault, self._begun = wire, fault, False

        def __getattr__(self, name: str) -> Any:
            return getattr(self._wire, name)

        def begin(self, seq: int | None, op: str, message: str) -> None:
            self._begun = seq is not None
            self._wire.begin(seq, op, message)

        def _act(self, act: Callable[..., Any], *arguments: Any) -> Any:
            begun, self._begun = self._begun, False
            due = begun and self._fault.seen == self._fault.at
            self._fault.seen += begun
            if due and not self._fault.after:
                raise self._fault.error
            result = act(*arguments)
            if due:
                raise self._fault.error
            return result

        def write(self, message: str) -> None:
            self._act(self._wire.write, message)

        def wait(self, mask: int, timeout_s: float, interrupt: Any) -> int:
            if self._begun:
                return int(self._act(self._wire.wait, mask, timeout_s, interrupt))
            return int(self._wire.wait(mask, timeout_s, interrupt))


def _sim(bench: Bench) -> Any:
    return bench._keep.visalib.bench


def _assert_safe(bench: Bench) -> None:
    sim = _sim(bench)
    assert [meter.terminal_v for meter in sim.meters.values()] == [0, 0]
    assert [meter.state["v_level"] for meter in sim.meters.values()] == [0, 0]
    assert sim.source.state["level"] == 0
    assert not any(one.state["output"] for one in (*sim.meters.values(), sim.source))
    assert sim.hot_switches == 0 and sim.switch.closed == set()
    assert not any(junction.broken for junction in sim.junctions)


def _run_with(bench: Bench) -> None:
    """What a run does: two junctions, two lists."""
    bench.sweep("J1", LEVELS, list_points=4)
    bench.sweep("J2", LEVELS)


# -- leaving -------------------------------------------------------------------------------------


def test_opening_only_asks_and_closing_leaves_all_off() -> None:
    log = Log()
    with Bench.open(recorder=log) as bench:
        assert all(message.op == "query" and message.seq is None for message in log.messages)
        assert all(part.endswith("?") for m in log.messages for part in m.sent.split(";"))
        assert _sim(bench).clock.now_s == 0  # nothing but observations
        assert bench.state is State.IDLE
    assert bench.state is State.CLOSED and log.events == []
    _assert_safe(bench)


@pytest.mark.parametrize("error", [RuntimeError("oops"), KeyboardInterrupt(), SystemExit(1)])
def test_leaving_by_any_error_ends_safe_and_keeps_the_error(error: BaseException) -> None:
    log = Log()
    with pytest.raises(type(error)) as caught, Bench.open(recorder=log) as bench:
        _run_with(bench)
        assert _sim(bench).meters["x"].terminal_v == pytest.approx(0.02)
        raise error
    assert caught.value is error
    _assert_safe(bench)
    assert bench.state is State.TRIPPED
    kind = "interrupt" if isinstance(error, KeyboardInterrupt) else "exception"
    said = f"{type(error).__name__}: {error}".rstrip(": ")
    assert log.events == [("tripped", f"{kind}: {said}")]


def test_the_way_to_the_safe_state_is_junctions_field_outputs_relays() -> None:
    log = Log()
    with Bench.open(recorder=log) as bench:
        _run_with(bench)
        begun = len(log.messages)
    last = [(m.instrument, m.op if m.op == "clear" else m.sent) for m in log.messages[begun:]]
    for role in ("x", "z", "field", "switch"):  # all are cleared at once, each before its messages
        assert next(sent for instrument, sent in last if instrument == role) == "clear"
    look = Keithley2400.stop_messages()[2]
    field_look = bench.source.stop_messages()[2]
    assert [one for one in last if one[1] != "clear"] == [
        ("x", ":ABOR"), ("x", ":SOUR:VOLT 0"), ("z", ":ABOR"), ("z", ":SOUR:VOLT 0"),
        ("field", ":SOUR:SWE:ABOR"), ("field", ":SOUR:CURR 0"),
        ("x", ":OUTP OFF"), ("x", look), ("z", ":OUTP OFF"), ("z", look),
        ("field", ":OUTP OFF"), ("field", field_look),
        ("switch", ":ROUT:OPEN ALL"),
    ]  # fmt: skip


@pytest.mark.parametrize(("error", "after"), [(KeyboardInterrupt, True), (OSError, False)])
def test_an_error_at_any_message_of_a_run_ends_safe(
    error: type[BaseException], after: bool
) -> None:
    for at in count():
        bench = Bench.open()
        fault = Fault(bench, error("line lost"), at, after=after)
        try:
            with bench:
                _run_with(bench)
        except (error, BenchError):
            assert bench.state is State.TRIPPED
        else:
            assert fault.seen <= at  # the run came to its end
            break
        finally:
            _assert_safe(bench)
    assert at > 60


def test_an_interrupt_while_waiting_for_any_message_ends_safe(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wait_for = Link.wait_for
    for at in count():
        seen = count()

        def interrupted(
            link: Link, job: Any, most_s: float | None = None, seen: Any = seen, at: int = at
        ) -> bytes:
            # The job is queued and runs; only nobody waits for it any more.
            if not job.stop and next(seen) == at:
                raise KeyboardInterrupt
            return wait_for(link, job, most_s)

        monkeypatch.setattr(Link, "wait_for", wait_for)
        bench = Bench.open()
        monkeypatch.setattr(Link, "wait_for", interrupted)
        try:
            with bench:
                _run_with(bench)
        except KeyboardInterrupt:
            assert bench.state is State.TRIPPED
        else:
            break
        finally:
            _assert_safe(bench)
    assert at > 80


def test_an_interrupt_on_the_way_to_the_safe_state_comes_after_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wait_for = Link.wait_for
    for at in range(17):
        seen = count()

        def interrupted(
            link: Link, job: Any, most_s: float | None = None, seen: Any = seen, at: int = at
        ) -> bytes:
            if job.stop and next(seen) == at:
                raise KeyboardInterrupt
            return wait_for(link, job, most_s)

        monkeypatch.setattr(Link, "wait_for", interrupted)
        with pytest.raises(KeyboardInterrupt), Bench.open() as bench:
            bench.sweep("J1", [0.0])
        _assert_safe(bench)


def test_whoever_catches_an_interrupt_can_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    wait_for = Link.wait_for
    with Bench.open() as bench:
        first = bench.sweep("J1", LEVELS)

        def interrupted(link: Link, job: Any, most_s: float | None = None) -> bytes:
            if job.op == "wait":
                monkeypatch.setattr(Link, "wait_for", wait_for)
                raise KeyboardInterrupt
            return wait_for(link, job, most_s)

        monkeypatch.setattr(Link, "wait_for", interrupted)
        with pytest.raises(KeyboardInterrupt):
            bench.sweep("J1", LEVELS)
        again = bench.sweep("J1", LEVELS)
    assert np.allclose(first.current_x_a, again.current_x_a, rtol=0, atol=3e-8)
    _assert_safe(bench)


@pytest.mark.parametrize("role", ["x", "z", "field"])
def test_a_source_that_does_not_obey_does_not_save_the_others(role: str) -> None:
    log = Log()
    told = pytest.raises(BenchError, match=f"safe state was not confirmed.*{role}: ")
    with told, Bench.open(recorder=log) as bench:
        bench.sweep("J1", [0.003])
        bench.transport.links[role]._wire.write = _broken  # type: ignore[method-assign]
    sim = _sim(bench)
    roles = {"x": sim.meters["x"], "z": sim.meters["z"], "field": sim.source}
    assert {name for name, one in roles.items() if one.state["output"]} == {role}
    # Relays stay: what is still on must not be switched.
    assert sim.hot_switches == 0 and len(sim.switch.closed) == 3
    assert {kind for kind, _ in log.events} == {"safe state"}
    assert any(f"{role}: does not report its output off" in text for _, text in log.events)


def _broken(message: str) -> None:
    raise OSError("no listener on the bus")


def test_what_failed_once_is_tried_again_on_closing() -> None:
    with Bench.open() as bench:
        bench.sweep("J1", LEVELS)
        wire = bench.transport.links["x"]._wire
        write = wire.write
        wire.write = _broken  # type: ignore[method-assign]
        assert any(problem.startswith("x: ") for problem in bench.stop("test"))
        wire.write = write  # type: ignore[method-assign]
    _assert_safe(bench)


def test_a_failing_record_does_not_stand_in_the_way_of_the_safe_state() -> None:
    for at in count():

        def full(message: Message, seen: Any = count(), at: int = at) -> None:  # noqa: B008
            if message.seq is not None and next(seen) >= at:
                raise DatabaseError("the disk is full")

        def full_for_good(message: Message, log: Any, check: Any = full) -> None:
            if log.events or any(m.seq is None and m.op == "clear" for m in log.messages):
                raise DatabaseError("the disk is full")
            check(message)

        log = Log()
        log._at_message = lambda message, log=log, f=full_for_good: f(message, log)
        log.event = _no_event  # type: ignore[method-assign]
        bench = Bench.open(recorder=log)
        try:
            with bench:
                _run_with(bench)
        except DatabaseError:
            assert bench.state is State.TRIPPED
        else:
            break
        finally:
            _assert_safe(bench)
    assert at > 60


def test_a_failing_clock_does_not_stand_in_the_way_of_the_safe_state() -> None:
    def fail() -> float:
        raise ZeroDivisionError("clock")

    with pytest.raises(BenchError, match="clock"), Bench.open() as bench:
        bench.sweep("J1", LEVELS)
        bench.clock.time_s = fail  # type: ignore[method-assign]
    sim = _sim(bench)
    assert not any(one.state["output"] for one in (*sim.meters.values(), sim.source))


def _no_event(kind: str, text: str) -> None:
    raise DatabaseError("the disk is full")


# -- stop ------------------------------------------------------------------------------------------


@pytest.fixture
def in_the_middle(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Bench], None]]:
    """Makes another thread stop the bench when its next sweep waits for its end."""
    threads: list[threading.Thread] = []

    def arrange(bench: Bench) -> None:
        library = bench._keep.visalib
        pause = library.bench_pause
        problems: list[str] = []

        def paused(seconds: float) -> None:
            if _sim(bench).sweep is not None and not threads:
                threads.append(threading.Thread(target=lambda: problems.extend(bench.stop("op"))))
                threads[0].start()
                bench.transport.stopping.wait(10)
                assert _sim(bench).sweep is not None  # in the middle indeed
                return
            pause(seconds)

        monkeypatch.setattr(bench.clock, "_pause", paused)

    yield arrange
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()


def test_a_stop_from_another_thread_ends_a_running_sweep_safe(
    in_the_middle: Callable[[Bench], None],
) -> None:
    log = Log()
    with pytest.raises(StoppedError), Bench.open(recorder=log) as bench:
        bench.sweep("J1", LEVELS)
        in_the_middle(bench)
        bench.sweep("J2", np.linspace(-0.03, 0.03, 101))
    _assert_safe(bench)
    assert bench.state is State.TRIPPED and bench.trip is not None and bench.trip.reason == "op"
    assert log.events == [("tripped", "operator: op")]


def test_a_stopped_bench_stays_stopped_and_a_second_stop_does_nothing(
    in_the_middle: Callable[[Bench], None],
) -> None:
    log = Log()
    with Bench.open(recorder=log) as bench:
        in_the_middle(bench)
        with pytest.raises(StoppedError), bench.running():
            bench.sweep("J1", LEVELS)
        for act in (
            lambda: bench.sweep("J1", LEVELS),
            bench.arm,
            lambda: bench.source.set_current(0.0),
            bench.source.read_level,
            bench.transport.links["x"].poll,
        ):
            with pytest.raises(StoppedError):
                act()
        assert bench.stop("again") == []
        before = len(log.messages)
        assert bench.stop("again") == [] and len(log.messages) == before
        assert bench.trip is not None and bench.trip.reason == "op"
    _assert_safe(bench)
    assert bench.close() == []
    with pytest.raises(StoppedError):
        bench.transport.links["x"].query(":SOUR:VOLT?")


def test_a_stop_while_lists_are_shown_ends_the_sweep() -> None:
    with Bench.open() as bench:
        shown = []

        def stop(data: Any) -> None:
            shown.append(data)
            assert bench.stop("enough") == []

        with pytest.raises(StoppedError):
            bench.sweep("J1", np.linspace(-0.03, 0.03, 41), list_points=10, on_list=stop)
        assert len(shown) == 1
    _assert_safe(bench)


# -- sweeps that fail ----------------------------------------------------------------------------


def _wrong_line(monkeypatch: pytest.MonkeyPatch) -> None:
    prepare = Keithley2400.prepare

    def miswired(self: Any, **settings: Any) -> None:
        prepare(self, **settings | ({"trigger_in": 4} if self.link.role == "z" else {}))

    monkeypatch.setattr(Keithley2400, "prepare", miswired)


def test_a_lost_trigger_voids_the_sweep_and_the_bench_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with Bench.open() as bench:
        with monkeypatch.context() as patch:
            _wrong_line(patch)
            with pytest.raises(SweepVoidError, match=r"J1: field: wait: nothing after .*not used"):
                bench.sweep("J1", [0.02, 0.03])
        assert bench.source.read_level() == 0 and not _sim(bench).source.sweeping
        assert not any(meter.busy for meter in _sim(bench).meters.values())
        assert bench.state is State.ARMED
        data = bench.sweep("J1", [0.02, 0.03])
        assert data.valid.all()
    _assert_safe(bench)


def test_a_lost_trigger_in_the_last_of_several_lists_brings_the_field_home_step_by_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log = Log()
    with Bench.open(recorder=log) as bench:

        def lose(_: Any) -> None:
            _sim(bench).meters["z"].state["trigger_in"] = 4

        with pytest.raises(SweepVoidError):
            bench.sweep("J1", [0.03, 0.032], list_points=5, on_list=lose)
        home = [
            float(m.sent.split()[1])
            for m in log.messages
            if m.sent.startswith(":SOUR:CURR ") and m.seq is not None
        ]
        assert home[-1] == 0 and len(home) > 4
        assert max(abs(np.diff(home))) <= 0.006
        assert bench.sweep("J1", [0.03]).valid.all()


def test_a_buffer_that_is_short_of_a_reading_voids_the_sweep(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with Bench.open() as bench:
        bench.sweep("J1", LEVELS)
        fetch = bench.z.fetch
        monkeypatch.setattr(bench.z, "fetch", lambda points: fetch(points + 1))
        with pytest.raises(SweepVoidError, match="z: expected 8 readings and got 7"):
            bench.sweep("J1", LEVELS)
        monkeypatch.undo()
        assert bench.sweep("J1", LEVELS).valid.all()


def test_what_goes_wrong_in_a_sweep_brings_the_field_home(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Any) -> None:
        raise RuntimeError("the plot")

    with Bench.open() as bench:
        with pytest.raises(RuntimeError, match="the plot"):
            bench.sweep("J1", [0.03, 0.032], list_points=5, on_list=fail)
        assert bench.source.read_level() == 0
        # An error of the instrument: what it is set to is not known; all is set anew.
        monkeypatch.setattr(
            bench.source, "load", lambda levels: bench.transport.links["x"].write(":SOUR:DEL -1")
        )
        with pytest.raises(InstrumentError, match="-222"):
            bench.sweep("J2", [0.0])
        monkeypatch.undo()
        assert bench.sweep("J2", LEVELS).valid.all()
        with pytest.raises(LimitError):
            bench.transport.links["field"].write(":SOUR:CURR 1")
        assert bench.sweep("J1", LEVELS).valid.all()
    _assert_safe(bench)


def test_readings_in_compliance_are_marked() -> None:
    file = parse_bench_file(DEMO.replace("lowest_resistance: 5 kohm", "lowest_resistance: 17 kohm"))
    with Bench.open(file) as bench:
        data = bench.sweep("J1", np.linspace(-0.03, 0.03, 21))
    limit = file.readout.compliance_a
    above = (data.current_x_a >= 0.999 * limit) | (data.current_z_a >= 0.999 * limit)
    assert above.any() and not above.all()
    assert np.array_equal(data.valid, ~above)


@pytest.mark.parametrize(("bit", "sure"), [(0, False), (1, True), (3, False), (16, False)])
def test_status_bits_that_leave_doubt(bit: int, sure: bool) -> None:
    reply = b"#0" + np.array([1e-6, 0, 1e-6, 1 << bit], dtype="<f4").tobytes()
    assert read_buffer(reply).valid.tolist() == [True, sure]


def test_readings_at_the_end_of_the_measurement_range_are_marked() -> None:
    with Bench.open() as bench:
        assert bench.sweep("J1", LEVELS).valid.all()
        _sim(bench).meters["z"].state["i_range"] = 1e-6
        data = bench.sweep("J1", LEVELS)
    assert not data.valid.any() and np.allclose(data.current_z_a, 1.05e-6, rtol=1e-6)
    assert (data.current_x_a < 1e-5).all()
