"""One order for all messages, whole questions, and observers that change nothing."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pyvisa

from db import Message, NullRecorder
from instruments import Bench, BenchError, InstrumentError, ReplyTimeoutError, StoppedError
from instruments.bench_file import parse_bench_file
from instruments.errors import HeldError

DEMO = files("instruments").joinpath("demo_bench.yaml").read_text(encoding="utf-8")
LEVELS = np.linspace(-0.01, 0.01, 5)


class Log(NullRecorder):
    """A recorder that keeps messages."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[Message] = []

    def message(self, message: Message) -> None:
        self.messages.append(message)

    @property
    def run(self) -> list[Message]:
        """Those with a place in the order."""
        return [message for message in self.messages if message.seq is not None]


def _sim(bench: Bench) -> Any:
    return bench._keep.visalib.bench


def _together(*works: Callable[[], None]) -> None:
    """Run in threads of their own; an error of any is raised here."""
    errors: list[BaseException] = []

    def guarded(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    if errors:
        raise errors[0]


# -- order and atomicity ---------------------------------------------------------------------------


def test_messages_reach_the_wires_in_their_total_order() -> None:
    log, wired = Log(), []
    with Bench.open(recorder=log) as bench:
        links = bench.transport.links
        for role, link in links.items():
            write = link._wire.write

            def noted(message: str, role: str = role, write: Any = write) -> None:
                wired.append((role, message))
                write(message)

            link._wire.write = noted  # type: ignore[method-assign]

        def chatter(roles: tuple[str, ...], marks: range) -> Callable[[], None]:
            def work() -> None:
                for mark in marks:
                    links[roles[mark % len(roles)]].write(f":STAT:MEAS:ENAB {mark}")

            return work

        _together(
            chatter(("x", "z", "field"), range(0, 900)),
            chatter(("field", "z"), range(1000, 1900)),
            chatter(("z", "x"), range(2000, 2900)),
        )
        run = log.run
    assert [message.seq for message in run] == list(range(2700))
    assert [(message.instrument, message.sent) for message in run] == wired[:2700]


def test_questions_are_whole_with_two_threads_at_one_instrument() -> None:
    with Bench.open() as bench:
        bench.x.set_voltage(0.05)
        link = bench.transport.links["x"]
        wrong: list[bytes] = []

        def ask(question: str, answer: bytes) -> Callable[[], None]:
            def work() -> None:
                wrong.extend(
                    reply for _ in range(5000) if (reply := link.query(question)) != answer
                )

            return work

        # One of them is an observation, the other has its place in the order.
        _together(ask(":SOUR:VOLT?", b"+5.000000E-02"), ask("*OPC?", b"1"))
    assert wrong == []


# -- errors ----------------------------------------------------------------------------------------


def test_an_error_surfaces_at_the_message_that_caused_it() -> None:
    with Bench.open() as bench:
        x = bench.transport.links["x"]
        x.write(":TRIG:DEL 0.1")
        with pytest.raises(InstrumentError, match=r'^x: the instrument reports -222,"Param'):
            x.write(":TRIG:DEL 5000")
        assert bench.guard.shadows["x"].level is None  # what took effect is not known
        x.write(":TRIG:DEL 0.2")
        assert x.query(":SYST:ERR?") == b'0,"No error"'


def test_a_question_that_is_answered_by_an_error_raises_it_and_not_a_timeout() -> None:
    with Bench.open() as bench:
        before = _sim(bench).clock.now_s
        with pytest.raises(InstrumentError, match=r"-221"):
            bench.transport.links["x"].query(":TRAC:DATA?")  # nothing in the buffer
        assert _sim(bench).clock.now_s - before < 0.1
        with pytest.raises(InstrumentError, match=r"-222"):  # answered, and an error behind it
            bench.transport.links["x"].query("*OPC?;:TRIG:DEL 5000")
        assert bench.transport.links["x"].query("*OPC?") == b"1"


def test_errors_that_somebody_else_left_are_read_away_on_connecting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from instruments import opening as module

    open_visa = module.open_visa

    def with_errors(*arguments: Any) -> Any:
        clock, wires, keep = open_visa(*arguments)
        wires["x"].write(":NO:SUCH:HEADER")
        wires["x"].write(":NO:SUCH:HEADER")
        return clock, wires, keep

    monkeypatch.setattr(module, "open_visa", with_errors)
    log = Log()
    with Bench.open(recorder=log) as bench:
        assert bench.sweep("J1", LEVELS).valid.all()
    replies = [m.reply for m in log.messages if m.sent == ":SYST:ERR?" and m.instrument == "x"]
    assert [reply[:4] for reply in replies if reply] == [b"-113", b"-113", b'0,"N']


def test_an_instrument_that_does_not_answer_is_told_after_its_time() -> None:
    log = Log()
    with Bench.open(recorder=log) as bench:
        sim = _sim(bench)
        wire: Any = bench.transport.links["z"]._wire
        wire.write = lambda message: None
        before = sim.clock.now_s
        with pytest.raises(ReplyTimeoutError, match=r"z: \*OPC\?: nothing after 5.01 s"):
            bench.transport.links["z"].query("*OPC?")
        assert 5 < sim.clock.now_s - before < 6
        del wire.write
        # What it may still have to say is not taken for the next answer.
        assert bench.transport.links["z"].query("*OPC?") == b"1"
    (failed,) = [message for message in log.messages if message.error]
    assert failed.error == "ReplyTimeoutError: z: *OPC?: " + failed.error.partition("?: ")[2]


def test_another_model_than_the_bench_file_says_is_refused_before_anything_is_set() -> None:
    text = DEMO.replace('keithley6221, address: "GPIB0::12', 'keithley6221, address: "GPIB0::99')
    text = text.replace("GPIB0::24", "GPIB0::12").replace("GPIB0::99", "GPIB0::24")
    log = Log()
    with pytest.raises(BenchError, match=r"field: at GPIB0::24::INSTR answers .*MODEL 2400"):
        Bench.open(parse_bench_file(text), recorder=log)
    assert [message.sent for message in log.messages] == ["*IDN?"]


def test_an_address_where_nobody_is_and_a_library_that_is_not_there_are_told() -> None:
    with pytest.raises(BenchError, match="z: cannot open GPIB0::26::INSTR"):
        Bench.open(parse_bench_file(DEMO.replace("GPIB0::25", "GPIB0::26")))
    with pytest.raises(
        BenchError, match=r"^simulated bench: no option 'seeed'; there are [a-z, ]+$"
    ):
        Bench.open(sim={"seeed": 3})


REAL = parse_bench_file(DEMO.replace("backend: sim", "backend: real"))


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ValueError("Could not locate a VISA implementation. Install either\nthe IVI binary."),
         "cannot open a VISA library (Could not locate a VISA implementation)"),
        (OSError("Could not open VISA library:\nError while accessing /no.so: no such file\nmore"),
         "cannot open a VISA library (Error while accessing /no.so: no such file)"),
        (OSError(), "cannot open a VISA library"),
    ],
)  # fmt: skip
def test_without_a_working_visa_one_sentence_leads_to_the_doctor(
    monkeypatch: pytest.MonkeyPatch, error: Exception, told: str
) -> None:
    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr(pyvisa, "ResourceManager", fail)
    with pytest.raises(BenchError) as caught:
        Bench.open(REAL)
    assert str(caught.value) == f"{told}; run 'spinloop doctor' to see what is installed"


def test_a_visa_without_the_interface_leads_to_the_doctor(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise ValueError("Please install linux-gpib. Note that it is good.\nNo module named 'gpib'")

    class Manager:
        visalib = None
        open_resource = staticmethod(fail)

    monkeypatch.setattr(pyvisa, "ResourceManager", lambda _: Manager())
    with pytest.raises(BenchError) as caught:
        Bench.open(REAL)
    assert str(caught.value) == (
        "field: cannot open GPIB0::12::INSTR (Please install linux-gpib); "
        "run 'spinloop doctor' to see what is installed"
    )


# -- where the simulated bench's file is -----------------------------------------------------------


def _with_sim(folder: Path, name: str = "sim.yaml") -> str:
    folder.mkdir(exist_ok=True)
    text = files("sim_backend").joinpath("demo.yaml").read_text(encoding="utf-8")
    (folder / name).write_text(text, encoding="utf-8")
    return DEMO.replace("backend: sim", f"backend: sim\nsim: {json.dumps(name)}")


@pytest.mark.parametrize("name", ["a#b", "50%41", "a&b=c", "you@lab", "a b+c", "why?", "größe"])
def test_any_name_will_do_for_a_bench_folder_and_its_files(tmp_path: Path, name: str) -> None:
    if "?" in name and sys.platform == "win32":
        pytest.skip("no such names there")
    text = _with_sim(tmp_path / name, f"{name}.yaml")
    path = tmp_path / name / "bench.yaml"
    path.write_text(text, encoding="utf-8")
    with Bench.open(path, sim={"seed": 3}) as bench:
        assert bench.sweep("J1", LEVELS).valid.all()


def test_a_bench_file_that_is_read_already_finds_its_simulated_bench(tmp_path: Path) -> None:
    file = parse_bench_file(_with_sim(tmp_path))
    with Bench.open(file, folder=tmp_path) as bench:
        assert bench.sweep("J1", LEVELS).valid.all()


@pytest.mark.parametrize("text", [None, "seed: [", "seed: 3\n"])
def test_a_wrong_file_of_the_simulated_bench_is_told_in_its_own_sentence(
    tmp_path: Path, text: str | None
) -> None:
    file, sim = parse_bench_file(_with_sim(tmp_path)), tmp_path / "sim.yaml"
    sim.unlink() if text is None else sim.write_text(text, encoding="utf-8")
    with pytest.raises(BenchError) as caught:
        Bench.open(file, folder=tmp_path)
    (sentence,) = str(caught.value).splitlines()
    assert sentence.startswith(f"{sim}: ") and "instance" not in sentence


def test_what_a_line_raises_reaches_the_caller_with_role_and_message() -> None:
    with Bench.open() as bench:
        wire = bench.transport.links["x"]._wire
        write = wire.write

        def fail(message: str) -> None:
            raise TimeoutError("cable")  # an error that could pass for one of waiting

        wire.write = fail  # type: ignore[method-assign]
        with pytest.raises(BenchError, match=r"^x: :TRIG:DEL 0: cable$"):
            bench.transport.links["x"].write(":TRIG:DEL 0")
        wire.write = write  # type: ignore[method-assign]
        bench.transport.links["x"].write(":TRIG:DEL 0")


@pytest.mark.parametrize("error", [RuntimeError("full"), TimeoutError("full")])
def test_a_failing_record_is_told_and_kills_no_owner_thread(error: Exception) -> None:
    log = Log()
    with Bench.open(recorder=log) as bench:
        links = bench.transport.links

        def full(message: Message) -> None:
            raise error

        log.message = full  # type: ignore[method-assign]
        for act in (
            lambda: links["x"].write(":TRIG:DEL 0"),
            lambda: links["x"].query(":SOUR:VOLT?"),
            links["x"].poll,
            lambda: bench.transport.pause(0.1),
        ):
            with pytest.raises(type(error), match="full"):
                act()
        del log.message
        links["x"].write(":TRIG:DEL 0")
        assert all(link._thread.is_alive() for link in links.values())


def test_nothing_waits_for_ever_for_a_bench_that_is_closed() -> None:
    with Bench.open() as bench:
        link = bench.transport.links["x"]
    for act in (link.poll, lambda: link.query("*IDN?"), lambda: link.write("*CLS")):
        with pytest.raises(StoppedError):
            act()
    link._ended = False  # as if it had been queued in the moment of closing
    bench.transport.stopping.clear()
    with pytest.raises(StoppedError, match="closed"):
        link.poll()


def test_a_job_that_nobody_woke_its_owner_for_does_not_hold_up_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with Bench.open() as bench:
        link = bench.transport.links["x"]

        class Interrupted(threading.Semaphore):
            def release(self, n: int = 1) -> None:
                raise KeyboardInterrupt

        wake, link._wake = link._wake, Interrupted(0)
        with pytest.raises(KeyboardInterrupt):
            link.write(":TRIG:DEL 0.1")
        link._wake = wake
        link.write(":STAT:MEAS:ENAB 3")
        assert _sim(bench).meters["x"].state["trigger_delay"] == 0.1


# -- one run, and who watches it -----------------------------------------------------------------


def test_a_run_holds_the_bench_and_others_may_only_look() -> None:
    log = Log()
    with Bench.open(recorder=log) as bench, bench.running():
        links = bench.transport.links
        seen: list[str] = []

        def other() -> None:
            for act in (
                lambda: links["x"].write(":TRIG:DEL 0"),
                lambda: links["x"].query("*OPC?"),
                lambda: links["x"].query(":TRAC:DATA?"),
                lambda: links["x"].query(":SOUR:VOLT?;*OPC?"),
                lambda: links["x"].wait(1, 1.0),
                lambda: bench.transport.pause(0.1),
                lambda: bench.sweep("J1", [0.0]),
            ):
                with pytest.raises(HeldError, match="a run holds the bench"):
                    act()
            seen.append(links["x"].query(":SOUR:VOLT?;:OUTP?").decode())
            assert links["field"].poll() & 4 == 0

        before = len(log.run)
        _together(other)
        assert seen == ["+0.000000E+00;1"] and len(log.run) == before
        assert bench.sweep("J1", LEVELS).valid.all()
        _together(lambda: seen.append(links["x"].query(":SOUR:VOLT?").decode()))
        assert seen[1] == "+2.000000E-02"


@pytest.mark.parametrize("question", ["*ESR?", ":SYST:ERR?", ":SYSTEM:ERROR?", ":SOUR:VOLT?;*ESR?"])
def test_an_observer_cannot_take_a_runs_error_away(question: str) -> None:
    log = Log()
    with Bench.open(recorder=log) as bench:
        x = bench.transport.links["x"]

        def other() -> None:
            with pytest.raises(HeldError, match=r"^(\*ESR|:SYST:ERR)\? takes away what it reads, "):
                x.query(question)
            x.query(":SOUR:VOLT?;*STB?")
            x.poll()

        with bench.running():
            before = len(log.messages)
            _together(other)
            assert len(log.messages) == before + 2
            x.query(question)  # the run itself may
        _together(lambda: x.query(question) and None)  # and anybody when there is none


def test_a_hold_ends_with_its_run() -> None:
    with Bench.open() as bench:
        with bench.running(), bench.running():
            bench.sweep("J1", [0.0])
        _together(lambda: bench.transport.links["x"].write(":TRIG:DEL 0"))


def _run(log: Log, watchers: int) -> list[Any]:
    """A run of two sweeps, with threads beside it that look all the time."""
    over = threading.Event()
    found: list[Any] = []
    looked = [0] * watchers
    with Bench.open(recorder=log, sim={"seed": 5}) as bench:
        links = bench.transport.links

        def look(me: int) -> Callable[[], None]:
            def work() -> None:
                while not over.is_set() or looked[me] < 10:
                    for role in ("x", "field", "switch"):
                        links[role].query("*STB?")
                        links[role].poll()
                    links["z"].query(":SOUR:VOLT?;:TRAC:POIN:ACT?")
                    looked[me] += 1

            return work

        def run() -> None:
            try:
                for junction in ("J1", "J2", "J1"):
                    found.append(bench.sweep(junction, np.linspace(-0.02, 0.03, 31), list_points=9))
            finally:
                over.set()

        _together(run, *(look(me) for me in range(watchers)))
    assert all(count >= 10 for count in looked)
    return found


def test_looking_on_changes_neither_transcript_nor_data() -> None:
    alone, watched = Log(), Log()
    data, same = _run(alone, 0), _run(watched, 2)
    assert len(watched.messages) > len(alone.messages) + 100
    assert alone.run == watched.run  # place, bytes, status, bench time
    for one, other in zip(data, same, strict=True):
        for name in ("level_a", "current_x_a", "current_z_a", "valid"):
            assert getattr(one, name).tobytes() == getattr(other, name).tobytes()
        assert (one.bench_start_s, one.bench_end_s) == (other.bench_start_s, other.bench_end_s)


def test_pauses_have_their_place_in_the_order() -> None:
    log = Log()
    with Bench.open(recorder=log) as bench:
        bench.transport.links["x"].write(":TRIG:DEL 0")
        before = _sim(bench).clock.now_s
        bench.transport.pause(0.25)
        assert _sim(bench).clock.now_s == pytest.approx(before + 0.25)
    first, second = log.run
    assert (second.instrument, second.op, second.sent, second.seq) == ("bench", "pause", "0.25", 1)
    assert second.bench_time_s == pytest.approx(first.bench_time_s + 0.25)


def test_every_message_of_a_run_is_recorded_with_what_came_back() -> None:
    log = Log()
    with Bench.open(recorder=log) as bench:
        data = bench.sweep("J1", LEVELS)
    fetched = [m for m in log.run if m.sent == ":TRAC:DATA?"]
    assert [m.instrument for m in fetched] == ["x", "z"]
    assert all(m.reply is not None and len(m.reply) == 2 + 8 * data.points for m in fetched)
    assert [m.status is not None for m in log.run if m.op == "wait"] == [True] * 3
    assert [m.bench_time_s for m in log.run] == sorted(m.bench_time_s for m in log.run)


def test_a_long_answer_is_read_in_pieces_of_64_values(monkeypatch: pytest.MonkeyPatch) -> None:
    with Bench.open() as bench:
        library, sizes = bench._keep.visalib, []
        read = library.read

        def noted(session: Any, count: int) -> Any:
            data, status = read(session, count)
            sizes.append(len(data))
            return data, status

        monkeypatch.setattr(library, "read", noted)
        data = bench.sweep("J1", np.linspace(-0.01, 0.01, 301))
    assert data.valid.all() and max(sizes) == 64 * 8
    assert sum(sizes) > 2 * 8 * 301


def test_two_sweeps_at_once_do_not_mix() -> None:
    with Bench.open() as bench:
        outcome: list[bool] = []

        def work() -> None:
            for _ in range(20):
                try:
                    outcome.append(bool(bench.sweep("J1", LEVELS).valid.all()))
                except HeldError:
                    outcome.append(True)

        _together(work, work, work)
    assert len(outcome) == 60 and all(outcome)
