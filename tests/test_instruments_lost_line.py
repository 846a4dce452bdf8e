"""A line that is lost: what was asked is asked again, what was set is never sent twice blindly."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from db import Message, NullRecorder
from instruments import Bench, InstrumentError, ReplyTimeoutError
from instruments.errors import BenchError, InstrumentLostError, LinkLostError, recall
from instruments.errors import describe as described
from sim_backend.faults_kinds import LinkDown, LostMessage, PowerCycle, Timeout, Truncated


class Log(NullRecorder):
    """A recorder that keeps messages."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[Message] = []

    def message(self, message: Message) -> None:
        self.messages.append(message)

    def sent(self, text: str) -> int:
        """How often a message was tried."""
        return sum(m.sent == text for m in self.messages)


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def bench(log: Log) -> Iterator[Bench]:
    with Bench.open(recorder=log) as bench:
        yield bench


def _sim(bench: Bench) -> Any:
    return bench._keep.visalib.bench


def _lose(bench: Bench, role: str, header: str | None = None, for_s: float | None = 0.3) -> None:
    """The line of a role (the instrument's name on this bench) is lost with the next message."""
    now_s = _sim(bench).clock.now_s
    when: dict[str, Any] = {"message": 1, "header": header, "observations": True}
    _sim(bench).faults.add(LinkDown(instrument=role, for_s=for_s, from_s=now_s, **when))


def test_a_question_is_asked_again_on_the_line_that_is_open_again(bench: Bench, log: Log) -> None:
    _lose(bench, "x")
    assert bench.transport.links["x"].query("*IDN?").startswith(b"KEITHLEY")
    (failed,) = [m for m in log.messages if m.error]
    assert failed.error is not None
    assert failed.error.startswith("LinkLostError: x: *IDN?: VI_ERROR_CONN_LOST")
    assert failed.error.endswith("; the line is open again")


def test_a_set_that_was_obeyed_before_the_line_was_lost_is_not_sent_again(
    bench: Bench, log: Log
) -> None:
    link = bench.transport.links["x"]
    wire: Any = link._wire
    write = wire.write

    def lose(message: str) -> None:  # it arrives, and then the cable is pulled
        write(message)
        if message == ":SOUR:VOLT 0.02":
            _sim(bench).faults.add(
                LinkDown(instrument="x", for_s=0.2, from_s=_sim(bench).clock.now_s)
            )

    wire.write = lose
    link.write(":SOUR:VOLT 0.02")
    del wire.write
    assert log.sent(":SOUR:VOLT 0.02") == 1
    assert _sim(bench).meters["x"].state["v_level"] == 0.02
    assert bench.guard.shadows["x"].level == 0.02
    assert "level" in bench.guard.shadows["x"].confirmed


def test_a_set_that_did_not_arrive_is_sent_again_after_a_look(bench: Bench, log: Log) -> None:
    link = bench.transport.links["x"]
    _sim(bench).faults.add(LinkDown(instrument="x", for_s=0.2, from_s=_sim(bench).clock.now_s))
    link.write(":SOUR:VOLT 0.02")
    tries = [m for m in log.messages if m.sent == ":SOUR:VOLT 0.02"]
    assert [bool(m.error) for m in tries] == [True, False]
    between = log.messages[log.messages.index(tries[0]) + 1 : log.messages.index(tries[1])]
    assert [m.sent for m in between] == ["*IDN?", link.look]  # nothing is set before the look
    assert _sim(bench).meters["x"].state["v_level"] == 0.02


def test_a_set_that_does_not_show_is_not_sent_again(bench: Bench, log: Log) -> None:
    _sim(bench).faults.add(LinkDown(instrument="x", for_s=0.2, from_s=_sim(bench).clock.now_s))
    with pytest.raises(LinkLostError, match=r"^x: :TRIG:DEL 0.1: .*whether this was set"):
        bench.transport.links["x"].write(":TRIG:DEL 0.1")
    assert log.sent(":TRIG:DEL 0.1") == 1


def test_an_instrument_that_comes_back_without_its_settings_is_not_set_blindly(
    bench: Bench, log: Log
) -> None:
    link = bench.transport.links["x"]
    link.write(":SOUR:VOLT 0.01")
    now_s = _sim(bench).clock.now_s
    _sim(bench).faults.add(PowerCycle(instrument="x", from_s=now_s, off_s=0.1))
    _sim(bench).faults.add(LinkDown(instrument="x", for_s=0.2, from_s=now_s))
    with pytest.raises(InstrumentError, match=r"^x: has lost its settings with its line"):
        link.write(":SOUR:VOLT 0.02")
    assert log.sent(":SOUR:VOLT 0.02") == 1


def test_a_line_that_stays_away_is_told_in_its_time_and_stops_the_rest_safely(log: Log) -> None:
    bench = Bench.open(recorder=log)
    bench.arm()
    sim = _sim(bench)
    sim.faults.add(LinkDown(instrument="x", from_s=sim.clock.now_s))
    before_s = sim.clock.now_s
    with pytest.raises(InstrumentLostError, match="the line does not come back"):
        bench.transport.links["x"].query("*IDN?")
    assert 5 <= sim.clock.now_s - before_s < 6
    with pytest.raises(BenchError, match=r"^the safe state was not confirmed: .*x: "):
        bench.close()
    assert not sim.meters["z"].state["output"] and not sim.source.state["output"]


def test_another_instrument_behind_the_line_is_not_taken_for_the_old_one(bench: Bench) -> None:
    link = bench.transport.links["x"]
    link.identity = link.identity.replace("0000000", "1234567")
    _lose(bench, "x")
    with pytest.raises(InstrumentLostError, match=r"^x: answers .* since its line was lost"):
        link.query(":SOUR:VOLT?")


def test_the_way_to_the_safe_state_opens_a_lost_line(log: Log) -> None:
    with Bench.open(recorder=log) as bench:
        bench.arm()
        sim = _sim(bench)
        sim.faults.add(LinkDown(instrument="x", for_s=1e-6, from_s=sim.clock.now_s))
        sim.pause(1e-3)
        assert bench.stop() == []
        assert not sim.meters["x"].state["output"]


@pytest.mark.parametrize(
    "fault",
    [
        Timeout(instrument="x", observations=True),
        Truncated(instrument="x", keep=3, observations=True),
    ],
)
def test_a_reply_that_is_lost_or_breaks_off_is_asked_for_once_more(
    bench: Bench, log: Log, fault: Any
) -> None:
    _sim(bench).faults.add(fault)
    assert bench.transport.links["x"].query(":SOUR:VOLT?") == b"+0.000000E+00"
    assert log.sent(":SOUR:VOLT?") == 2


def test_a_question_that_takes_or_starts_something_is_asked_once(bench: Bench, log: Log) -> None:
    link = bench.transport.links["x"]
    for question in ("*ESR?", "*OPC?", ":SYST:ERR?"):
        begun = len(log.messages)
        _sim(bench).faults.add(LostMessage(instrument="x", header=question, observations=True))
        with pytest.raises(ReplyTimeoutError):
            link.query(question)
        tries = [m for m in log.messages[begun:] if m.sent == question]
        assert len(tries) == 1


def test_what_happened_to_a_line_is_the_same_error_in_a_replay() -> None:
    for error in (LinkLostError("x: a; b"), InstrumentLostError("x: c")):
        again = recall(described(error))
        assert type(again) is type(error) and str(again) == str(error)
