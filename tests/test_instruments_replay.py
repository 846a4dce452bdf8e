"""A recorded session answers the unmodified stack, message by message."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pyvisa

import db
from db import Message
from instruments import (
    Bench,
    DivergenceError,
    InstrumentError,
    LimitError,
    ReplyTimeoutError,
    StoppedError,
    SweepData,
    SweepVoidError,
    load_bench_file,
)
from instruments.derive import derive_sweep
from instruments.replay import Script
from instruments.states import State
from instruments.sweep import arrays_sha256

LEVELS = np.linspace(-0.03, 0.03, 31)
FILE = load_bench_file(None)[0]
Work = Callable[[Bench], Any]


@pytest.fixture(autouse=True)
def no_visa_in_replay(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Called, it makes every opening of a VISA library an error."""

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a replay opens no VISA library")

    yield lambda: monkeypatch.setattr(pyvisa, "ResourceManager", refuse)


def _record(path: Path, work: Work, seed: int = 3) -> tuple[Any, list[Message]]:
    with db.Recorder.open(path) as recorder:
        number = recorder.start_session("check", {})
        with Bench.open(FILE, sim={"seed": seed}, recorder=recorder) as bench:
            result = work(bench)
        recorder.end_session("complete")
    return result, list(db.transcript(path, number))


def _replay(messages: list[Message], work: Work, step_a: float | None = None) -> Any:
    script = Script(messages, step_a)
    with Bench.open(FILE, script=script) as bench:
        result = work(bench)
        assert script.remaining == 0
    assert bench.state is State.CLOSED
    return result


def _sweeps(bench: Bench) -> list[SweepData]:
    found = [bench.sweep("J1", LEVELS), bench.sweep("J1", LEVELS[::3], order="given")]
    with bench.running():
        found += [bench.sweep(junction, LEVELS, list_points=17) for junction in ("J2", "J8")]
    return found


def _same(one: SweepData, other: SweepData) -> bool:
    return all(
        np.asarray(getattr(one, name)).tobytes() == np.asarray(getattr(other, name)).tobytes()
        for name in SweepData.__dataclass_fields__
        if name != "junction"
    )


def test_a_session_replays_bit_for_bit_without_any_visa(
    tmp_path: Path, no_visa_in_replay: Callable[[], None]
) -> None:
    live, messages = _record(tmp_path / "r.sqlite", _sweeps)
    no_visa_in_replay()
    again = _replay(messages, _sweeps)
    assert all(_same(one, other) for one, other in zip(live, again, strict=True))
    other, _ = [d.current_x_a.tobytes() for d in live], again
    assert len(set(other)) == len(other)  # sweeps that could be told apart


def test_a_replay_does_not_know_the_simulator(tmp_path: Path) -> None:
    path = tmp_path / "r.sqlite"
    _record(path, lambda bench: bench.sweep("J1", [0.0, 0.01]))
    code = (
        "import sys, db\n"
        "from instruments import Bench\n"
        "from instruments.replay import Script\n"
        f"with Bench.open(script=Script(db.transcript({str(path)!r}, 1))) as bench:\n"
        "    assert bench.sweep('J1', [0.0, 0.01]).valid.all()\n"
        "found = [name for name in sys.modules if name.startswith(('sim_backend', 'pyvisa_'))]\n"
        "assert not found, found\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_each_sweep_derives_from_its_slice_of_the_transcript(tmp_path: Path) -> None:
    path = tmp_path / "r.sqlite"
    live, _ = _record(path, _sweeps)
    recorded = db.sweeps(path, 1)
    assert len(recorded) == len(live) == 4
    for sweep, data in zip(recorded, live, strict=True):
        messages = list(db.transcript(path, 1, sweep.first_seq, sweep.last_seq))
        level, x, z, valid = derive_sweep(messages)
        assert len(level) == len(x) == len(z) == len(valid) == sweep.points == data.points
        assert valid.all() and arrays_sha256(level, x, z, valid) == sweep.sha256
        assert set(data.current_x_a) <= set(x) and set(data.level_a) <= set(level)
        assert (sweep.bench_start_s, sweep.bench_end_s) == (data.bench_start_s, data.bench_end_s)
    changed = replace(messages[-1], reply=b"#0" + bytes(8))
    assert arrays_sha256(*derive_sweep([*messages[:-1], changed])) != sweep.sha256
    # A compliance bit, and nothing else.
    reply = messages[-1].reply
    assert reply is not None
    table = np.frombuffer(reply[2:], dtype="<f4").copy()
    table[1] += 8
    changed = replace(messages[-1], reply=b"#0" + table.tobytes())
    level, x, z, valid = derive_sweep([*messages[:-1], changed])
    assert valid.tolist().count(False) == 1
    assert arrays_sha256(level, x, z, valid) != sweep.sha256


# -- what differs ------------------------------------------------------------------------------


def test_the_first_message_that_differs_is_shown_with_the_recorded_one(tmp_path: Path) -> None:
    _, messages = _record(tmp_path / "r.sqlite", lambda bench: bench.sweep("J1", LEVELS))
    script = Script(messages)
    with Bench.open(FILE, script=script) as bench:
        with pytest.raises(DivergenceError) as caught:
            bench.sweep("J2", LEVELS)
        assert script.position == next(
            m.seq for m in messages if m.sent.startswith(":ROUT:CLOS (@") and m.seq is not None
        )
    sentence = str(caught.value)
    assert f"message {script.position} differs" in sentence
    assert "switch write ':ROUT:CLOS (@1!1,1!11,1!21)'" in sentence
    assert "sends switch write ':ROUT:CLOS (@1!2,1!12,1!22)'" in sentence


LIST = ",".join(f"{level:.7g}" for level in LEVELS)


@pytest.mark.parametrize(
    ("then", "now", "told"),
    [
        (f":SOUR:LIST:CURR {LIST}", f":SOUR:LIST:CURR {LIST},0.1",
         "field write ':SOUR:LIST:CURR' with nothing as number 32, the run sends 0.1 there"),
        (f":SOUR:LIST:CURR {LIST}", f":SOUR:LIST:CURR {LIST.replace('0.028', '0.029', 2)}",
         "field write ':SOUR:LIST:CURR' with -0.028 as number 2, the run sends -0.029 there"),
        ("*CLS" + 120 * ";*CLS", "*CLS" + 119 * ";*CLS" + ";*RST",
         "field write 'CLS' from character 602 on, the run sends 'RST' there"),
        (":SOUR:CURR 0.1", ":SOUR:CURR 0.2",
         "field write ':SOUR:CURR 0.1', the run sends field write ':SOUR:CURR 0.2'"),
    ],
)  # fmt: skip
def test_of_long_messages_the_first_place_that_differs_is_shown(
    then: str, now: str, told: str
) -> None:
    script = Script([Message(0, "field", "write", then, None, None, None, 0.0)])
    with pytest.raises(DivergenceError) as caught:
        script.advance("field", "write", now)
    assert str(caught.value) == f"message 0 differs: the record has {told}"


def test_levels_within_a_step_are_not_the_place_that_differs() -> None:
    then, now = ":SOUR:LIST:CURR 0.01,0.02,0.03", ":SOUR:LIST:CURR 0.01001,0.02,0.031"
    script = Script([Message(0, "field", "write", then, None, None, None, 0.0)], step_a=1e-5)
    with pytest.raises(DivergenceError, match=r"with 0\.03 as number 3, the run sends 0\.031 "):
        script.advance("field", "write", now)
    assert script.within_step == 0


def test_a_run_longer_than_its_record_is_told(tmp_path: Path) -> None:
    _, messages = _record(tmp_path / "r.sqlite", lambda bench: bench.sweep("J1", LEVELS))
    script = Script(messages)
    with Bench.open(FILE, script=script) as bench:
        bench.sweep("J1", LEVELS)
        with pytest.raises(DivergenceError, match=r"the record ends after \d+ messages; .* field"):
            bench.sweep("J1", LEVELS)


def test_a_run_shorter_than_its_record_leaves_messages(tmp_path: Path) -> None:
    _, messages = _record(tmp_path / "r.sqlite", _sweeps)
    script = Script(messages)
    with Bench.open(FILE, script=script) as bench:
        bench.sweep("J1", LEVELS)
        assert script.remaining > 40


def test_levels_that_differ_by_a_programming_step_are_told_or_counted(tmp_path: Path) -> None:
    _, messages = _record(tmp_path / "r.sqlite", lambda bench: bench.sweep("J1", LEVELS))
    step = 1e-5

    def shifted(steps: int) -> Work:
        levels = LEVELS.copy()
        levels[3] += steps * step
        levels[20] -= steps * step
        return lambda bench: bench.sweep("J1", levels)

    for work, step_a in ((shifted(1), None), (shifted(2), step)):
        told = pytest.raises(DivergenceError, match=":SOUR:LIST:CURR")
        with Bench.open(FILE, script=Script(messages, step_a)) as bench, told:
            work(bench)
    script = Script(messages, step)
    with Bench.open(FILE, script=script) as bench:
        shifted(1)(bench)
    assert script.within_step == 2


def test_only_levels_may_differ_by_a_step() -> None:
    def script(sent: str) -> Script:
        return Script([Message(0, "x", "write", sent, None, None, None, 0.0)], step_a=1e-5)

    with pytest.raises(DivergenceError):
        script(":SOUR:LIST:DEL 0.002").advance("x", "write", ":SOUR:LIST:DEL 0.002001")
    with pytest.raises(DivergenceError):
        script(":SOUR:LIST:CURR 0,0.1").advance("x", "write", ":SOUR:LIST:CURR 0")
    with pytest.raises(DivergenceError):
        script(":SOUR:LIST:CURR 0").advance("x", "write", ":SOUR:LIST:CURR a")
    script(":SOUR:LIST:CURR 0").advance("x", "write", ":SOUR:LIST:CURR 1e-5")


# -- recorded errors -----------------------------------------------------------------------------


def _told(error: type[Exception], work: Callable[[], Any]) -> str:
    with pytest.raises(error) as caught:
        work()
    return str(caught.value)


def test_recorded_errors_come_again_at_their_place(tmp_path: Path) -> None:
    def work(bench: Bench) -> list[Any]:
        links = bench.transport.links
        return [
            _told(LimitError, lambda: links["field"].write(":SOUR:CURR 1")),
            bench.sweep("J1", LEVELS[:5]),
            _told(LimitError, lambda: bench.sweep("J1", [0.05])),
            _told(InstrumentError, lambda: links["x"].write(":TRIG:DEL 5000")),
            _told(LimitError, lambda: links["x"].write(":OUTP ON")),  # x is not known now
            _told(InstrumentError, lambda: links["z"].query(":TRAC:CLE;:TRAC:DATA?")),
            _told(ReplyTimeoutError, lambda: links["z"].wait(2, 2.0)),
        ]

    live, messages = _record(tmp_path / "r.sqlite", work)
    assert sum(message.error is not None for message in messages) == 5
    again = _replay(messages, work)
    assert _same(live.pop(1), again.pop(1))
    assert live == again


def test_a_void_sweep_and_its_recovery_come_again(tmp_path: Path) -> None:
    def lose(bench: Bench) -> None:
        if bench._keep is not None:  # live
            bench._keep.visalib.bench.meters["z"].state["trigger_in"] = 4

    def work(bench: Bench) -> list[Any]:
        lost = _told(
            SweepVoidError,
            lambda: bench.sweep("J1", LEVELS, list_points=9, on_list=lambda _: lose(bench)),
        )
        return [lost, bench.sweep("J1", LEVELS)]

    live, messages = _record(tmp_path / "r.sqlite", work)
    again = _replay(messages, work)
    assert live[0] == again[0] and live[0].startswith("J1: field: wait: nothing after")
    assert _same(live[1], again[1])


def test_a_run_that_was_stopped_is_stopped_again(tmp_path: Path) -> None:
    path = tmp_path / "r.sqlite"

    def stop(bench: Bench) -> None:
        library = bench._keep.visalib if bench._keep else None
        if library is None:
            return
        thread = threading.Thread(target=bench.stop)

        def paused(_: float) -> None:
            thread.start()
            bench.transport.stopping.wait(10)

        bench.clock._pause = paused  # type: ignore[attr-defined]

    def work(bench: Bench) -> list[Any]:
        first = bench.sweep("J1", LEVELS)
        stop(bench)
        return [first, _told(StoppedError, lambda: bench.sweep("J1", LEVELS))]

    live, messages = _record(path, work)
    script = Script(messages)
    with Bench.open(FILE, script=script) as bench:
        again = work(bench)
    assert _same(live[0], again[0]) and script.remaining == 0


# -- observations --------------------------------------------------------------------------------


def test_observations_are_answered_and_their_number_may_differ(tmp_path: Path) -> None:
    asked: list[tuple[bytes, int]] = []

    def looks(times: int) -> Work:
        def work(bench: Bench) -> SweepData:
            links = bench.transport.links
            bench.sweep("J1", LEVELS)
            for _ in range(times):
                asked.append((links["x"].query(":SOUR:VOLT?;:OUTP?"), links["z"].poll()))
            data = bench.sweep("J2", LEVELS)
            asked.append((links["x"].query(":SOUR:VOLT?"), 0))
            return data

        return work

    live, messages = _record(tmp_path / "r.sqlite", looks(2))
    assert asked[0] == (b"+2.000000E-02;1", 1)  # the buffer is full
    for times in (1, 2, 5):
        asked.clear()
        assert _same(_replay(messages, looks(times)), live)
        assert asked == [(b"+2.000000E-02;1", 1)] * times + [(b"+2.000000E-02", 0)]
    told = pytest.raises(DivergenceError, match=r"no answer to z ':SENS:CURR:NPLC\?'")
    with Bench.open(FILE, script=Script(messages)) as bench, told:
        bench.transport.links["z"].query(":SENS:CURR:NPLC?")


def test_a_watched_session_replays_unwatched(tmp_path: Path) -> None:
    over = threading.Event()

    def watched(bench: Bench) -> list[SweepData]:
        def look() -> None:
            while not over.is_set():
                bench.transport.links["x"].query(":SOUR:VOLT?")
                bench.transport.links["field"].poll()

        thread = threading.Thread(target=look)
        thread.start()
        try:
            return _sweeps(bench)
        finally:
            over.set()
            thread.join(10)

    live, messages = _record(tmp_path / "r.sqlite", watched)
    again = _replay(messages, _sweeps)
    assert all(_same(one, other) for one, other in zip(live, again, strict=True))


def test_a_bench_file_for_replay_needs_a_session() -> None:
    from instruments import BenchError

    with pytest.raises(BenchError, match="needs a session"):
        Bench.open(FILE.model_copy(update={"backend": "replay"}))
