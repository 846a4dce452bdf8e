"""A bench whose program dies or hangs ends at zero and off all the same.

The bench is a simulated one behind HiSLIP; the program that is killed is another process.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import psutil
import pytest
import pyvisa

import db
from instruments import Bench, BenchError, BenchFile, Cause, State
from instruments.bench_file import parse_bench_file
from instruments.errors import GuardianError, HolderError, LatchedError, RehearsalError
from instruments.guardian import watch
from instruments.guarding import Guardian, make_plan
from instruments.state_folder import Rehearsal, addresses, find_latch, reset_latch
from sim_backend.bench import SimBench
from sim_backend.server import running
from sim_backend.truth import load_truth

DEMO = files("instruments").joinpath("demo_bench.yaml").read_text(encoding="utf-8")
WITHIN_S = 30.0
PROGRAM = """
import sys
import numpy as np
from db import Recorder
from instruments import Bench

with Recorder.open(sys.argv[2]) as recorder:
    recorder.start_session("sweep", {})
    with Bench.open(
        sys.argv[1], recorder=recorder, dummies=True, heartbeat_s=float(sys.argv[3])
    ) as bench:
        print(bench.guardian._process.pid, flush=True)
        for _ in range(100):
            bench.sweep(
                "J1", np.linspace(-0.03, 0.03, 201), list_points=10,
                on_list=lambda data: print("list", flush=True),
            )
"""


@pytest.fixture(autouse=True)
def _state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPINLOOP_STATE", str(tmp_path / "state"))


@pytest.fixture
def sim() -> SimBench:
    return SimBench(load_truth(None))


@pytest.fixture
def path(sim: SimBench, tmp_path: Path) -> Iterator[Path]:
    """A bench file whose instruments outlive the program that uses them."""
    with running(sim, port=0, hislip_port=0, realtime=3.0) as server:
        found = tmp_path / "bench.yaml"
        found.write_text(_bench_text([one.hislip for one in server.served]))
        yield found


def _bench_text(hislip: list[str]) -> str:
    text = DEMO.replace("backend: sim ", "visa: '@py'\nbackend: real ")
    for old, new in zip(("12", "24", "25", "7"), hislip, strict=True):
        text = text.replace(f"GPIB0::{old}::INSTR", new)
    return text


@pytest.fixture
def file(path: Path) -> BenchFile:
    return parse_bench_file(path.read_text())


class Program:
    """A program in the middle of its sweeps."""

    def __init__(self, path: Path, heartbeat_s: float = 20.0) -> None:
        self.database = path.with_name("lab.sqlite")
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(path), str(self.database), str(heartbeat_s)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        first, *lists = (self.process.stdout.readline() for _ in range(4))
        if lists != ["list\n"] * 3:
            raise AssertionError(self.process.communicate()[1])
        self.guardian = int(first)

    def events(self) -> list[tuple[str, str]]:
        return [(event.kind, event.text) for event in db.session(self.database, 1).events]

    def end(self) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            psutil.Process(self.process.pid).resume()
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def start(path: Path) -> Iterator[Callable[..., Program]]:
    programs: list[Program] = []

    def begin(**options: Any) -> Program:
        programs.append(Program(path, **options))
        return programs[-1]

    yield begin
    for program in programs:
        program.end()


def _until(happened: Callable[[], bool]) -> None:
    """Poll until something has happened."""
    give_up = time.monotonic() + WITHIN_S
    while not happened():
        assert time.monotonic() < give_up, "it did not happen"
        time.sleep(0.01)


def _is_safe(sim: SimBench) -> bool:
    sources: list[Any] = [*sim.meters.values(), sim.source]
    return not any(one.state["output"] for one in sources) and not sim.switch.closed


def _assert_safe(sim: SimBench) -> None:
    assert _is_safe(sim)
    assert [meter.state["v_level"] for meter in sim.meters.values()] == [0, 0]
    assert sim.source.state["level"] == 0
    assert sim.hot_switches == 0 and not any(junction.broken for junction in sim.junctions)


def _tells_that_it_acted(program: Program) -> bool:
    return ("guardian", "brought the bench to the safe state") in program.events()


# -- a program that dies --------------------------------------------------------------------------


def test_a_program_killed_in_the_middle_leaves_every_output_at_zero_and_off(
    start: Callable[..., Program], sim: SimBench, file: BenchFile, path: Path
) -> None:
    program = start()
    assert not _is_safe(sim)
    program.process.kill()
    _until(lambda: _is_safe(sim))
    _until(lambda: _tells_that_it_acted(program))
    _assert_safe(sim)
    assert program.events()[0] == ("rehearsal", "on dummy resistors in place of junctions")
    assert program.events()[1] == (
        "tripped",
        "stale heartbeat: the process that held the bench has ended and left it as it was",
    )
    assert db.session(program.database, 1).info.status == "interrupted"
    # The next program is refused until somebody has looked.
    latch = find_latch(addresses(file))
    assert latch is not None and latch.by == "the guardian" and latch.problems == ()
    with Bench.open(path, dummies=True) as bench:
        with pytest.raises(LatchedError, match=r"tripped at .*has ended.*spinloop bench reset"):
            bench.arm()
        assert bench.state is State.IDLE
        assert reset_latch(file) == latch
        bench.arm()
        assert bench.state is State.ARMED
    _assert_safe(sim)
    assert find_latch(addresses(file)) is None


def test_the_guardian_does_its_work_though_it_was_asked_to_end(
    start: Callable[..., Program], sim: SimBench
) -> None:
    program = start()
    for request in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(program.guardian, request)
    assert os.getpgid(program.guardian) != os.getpgid(program.process.pid)
    program.process.kill()
    _until(lambda: _is_safe(sim))
    _until(lambda: _tells_that_it_acted(program))
    _assert_safe(sim)


def test_a_second_connection_finds_all_off_after_a_kill(tmp_path: Path) -> None:
    """All of it in processes of their own: server, program, guardian."""
    server = subprocess.Popen(
        [
            sys.executable, "-m", "cli", "sim", "serve", "--port", "0", "--hislip-port", "0",
            "--realtime", "3",
        ],
        stdout=subprocess.PIPE, text=True, env=os.environ | {"COLUMNS": "200"},
    )  # fmt: skip
    try:
        assert server.stdout is not None
        hislip: list[str] = []
        for line in server.stdout:
            hislip += re.findall(r"TCPIP0::127.0.0.1::hislip\d,\d+::INSTR", line)
            if len(hislip) == 4:
                break
        bench_file = tmp_path / "bench.yaml"
        bench_file.write_text(_bench_text(hislip))
        program = Program(bench_file)
        program.process.kill()
        program.process.communicate()
        manager = pyvisa.ResourceManager("@py")
        field, x, z, switch = (
            manager.open_resource(
                one, read_termination="\n", write_termination="\n", timeout=5000
            )
            for one in hislip
        )  # fmt: skip
        said: dict[str, Any] = {}

        def off() -> bool:
            said["field"] = field.query(":SOUR:CURR?;:OUTP?")  # type: ignore[attr-defined]
            said["x"], said["z"] = (
                one.query(":SOUR:VOLT?;:OUTP?")  # type: ignore[attr-defined]
                for one in (x, z)
            )
            said["switch"] = switch.query(":ROUT:CLOS:STAT?")  # type: ignore[attr-defined]
            return all(said[one].endswith(";0") for one in ("field", "x", "z")) and (
                said["switch"] == "(@)"
            )

        _until(off)
        assert [float(said[one].split(";")[0]) for one in ("field", "x", "z")] == [0, 0, 0]
        manager.close()
        _until(lambda: _tells_that_it_acted(program))
    finally:
        server.kill()
        server.communicate()


# -- a program that hangs -------------------------------------------------------------------------


def test_a_program_that_hangs_is_made_safe_and_trips_when_it_goes_on(
    start: Callable[..., Program], sim: SimBench
) -> None:
    program = start(heartbeat_s=1.0)
    psutil.Process(program.process.pid).suspend()
    _until(lambda: _is_safe(sim))
    _assert_safe(sim)
    _until(lambda: _tells_that_it_acted(program))
    psutil.Process(program.process.pid).resume()
    assert "StoppedError" in program.process.communicate(timeout=WITHIN_S)[1]
    _assert_safe(sim)
    trips = [text for kind, text in program.events() if kind == "tripped"]
    assert any(
        text.startswith("stale heartbeat: the guardian acted: no heartbeat") for text in trips
    )


def test_a_bench_without_its_guardian_trips(start: Callable[..., Program], sim: SimBench) -> None:
    program = start()
    psutil.Process(program.guardian).kill()
    assert "StoppedError" in program.process.communicate(timeout=WITHIN_S)[1]
    _assert_safe(sim)
    assert ("tripped", "stale heartbeat: the guardian has ended: nobody would switch off for a "
            "dead program") in program.events()  # fmt: skip


# -- a program that ends as it should -------------------------------------------------------------


def test_a_guardian_of_a_bench_that_closes_goes_without_doing_anything(
    path: Path, file: BenchFile, sim: SimBench
) -> None:
    with Bench.open(path, dummies=True) as bench:
        guardian = bench.guardian
        assert guardian is not None and bench.refusals == ()
        assert bench.sweep("J1", [0.0]).valid.all()
    assert guardian._process.returncode == 0
    _assert_safe(sim)
    assert find_latch(addresses(file)) is None
    with Bench.open(path, dummies=True):  # its locks are free
        pass


def test_what_the_program_could_not_switch_off_the_guardian_does(
    path: Path, file: BenchFile, sim: SimBench
) -> None:
    def broken(message: str) -> None:
        raise OSError("no listener on the bus")

    unsafe = pytest.raises(BenchError, match="the safe state was not confirmed")
    with unsafe, Bench.open(path, dummies=True) as bench:
        bench.sweep("J1", [0.0])
        wire: Any = bench.transport.links["x"]._wire
        wire.write = broken
    _assert_safe(sim)
    latch = find_latch(addresses(file))
    assert latch is not None and latch.by == "the guardian" and latch.problems == ()


def test_a_trip_that_nobody_wanted_latches_and_a_stop_does_not(path: Path, file: BenchFile) -> None:
    with Bench.open(path, dummies=True, guardian=False) as bench:
        bench.sweep("J1", [0.0])
        bench.stop("enough")
    with (
        pytest.raises(KeyboardInterrupt),
        Bench.open(path, dummies=True, guardian=False) as bench,
    ):
        bench.sweep("J1", [0.0])
        raise KeyboardInterrupt
    with pytest.raises(ValueError), Bench.open(path, dummies=True, guardian=False) as bench:
        raise ValueError("before anything was switched on")
    assert find_latch(addresses(file)) is None
    with pytest.raises(ValueError), Bench.open(path, dummies=True, guardian=False) as bench:
        bench.sweep("J1", [0.0])
        raise ValueError("in the middle")
    latch = find_latch(addresses(file))
    assert latch is not None
    assert (latch.cause, latch.reason) == ("exception", "ValueError: in the middle")


def test_a_bench_that_is_reset_takes_its_latch_off(path: Path, file: BenchFile) -> None:
    with Bench.open(path, dummies=True, guardian=False) as bench:
        bench.sweep("J1", [0.0])
        bench.stop("x: gone", Cause.LOST)
        latch = find_latch(addresses(file))
        assert latch is not None and latch.cause == "lost instrument"
        bench.reset()
        assert find_latch(addresses(file)) is None
        assert bench.sweep("J1", [0.0]).valid.all()


def test_a_second_program_gets_no_hold_of_a_bench_in_use(path: Path) -> None:
    with Bench.open(path, dummies=True, guardian=False) as bench:
        with pytest.raises(HolderError, match="until it ends you may only look at the record"):
            Bench.open(path, dummies=True, guardian=False)
        assert bench.sweep("J1", [0.0]).valid.all()


def test_a_bench_that_does_not_open_holds_nothing(path: Path) -> None:
    text = path.read_text()
    port = re.findall(r"hislip0,(\d+)", text)[0]
    swapped = text.replace(f"hislip1,{port}", f"hislip3,{port}").replace(
        f'hislip3,{port}::INSTR"}}\n\n', f'hislip1,{port}::INSTR"}}\n\n'
    )
    with pytest.raises(BenchError, match=r"x: at .*hislip3.* answers 'KEITHLEY.*7001"):
        Bench.open(parse_bench_file(swapped), dummies=True, guardian=False)
    with Bench.open(path, dummies=True, guardian=False) as bench:
        assert bench.state is State.IDLE


# -- what a real bench must have ------------------------------------------------------------------


def test_a_real_bench_arms_for_junctions_only_after_a_rehearsal(
    path: Path, file: BenchFile, tmp_path: Path
) -> None:
    with Bench.open(path, guardian=False) as bench:
        assert len(bench.refusals) == 1
        with pytest.raises(RehearsalError, match="run 'spinloop bench rehearse'"):
            bench.sweep("J1", [0.0])
        assert bench.state is State.IDLE and bench.x.read_level() == 0
    made = Rehearsal.of(file, tmp_path / "lab.sqlite", 1)
    with Bench.open(path, guardian=False, rehearsal=made) as bench:
        assert bench.sweep("J1", [0.0]).valid.all()
    made.save()
    with Bench.open(path, guardian=False) as bench:
        assert bench.sweep("J1", [0.0]).valid.all()


def test_a_guardian_that_cannot_reach_an_instrument_keeps_the_bench_from_arming(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def blind(*arguments: Any) -> dict[str, Any]:
        plan = make_plan(*arguments)
        plan["sources"][1]["identity"] = "somebody else"
        return plan

    monkeypatch.setattr("instruments.precautions.make_plan", blind)
    with Bench.open(path, dummies=True) as bench:
        assert bench.guardian is None
        with pytest.raises(GuardianError, match=r"the guardian cannot do its work: z at .*--no-gu"):
            bench.arm()
        assert bench.state is State.IDLE


def test_a_guardian_that_cannot_do_its_work_and_ends_at_once_is_no_loss(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its end may be heard before anybody has read what it said."""
    script = "import sys; sys.stdin.readline(); print('cannot: see')"
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    monkeypatch.setattr("instruments.guarding._start", lambda: process)
    say = Guardian._say

    def say_and_hear_all(self: Guardian, line: str) -> None:
        say(self, line)
        self._listener.join()

    monkeypatch.setattr(Guardian, "_say", say_and_hear_all)
    lost: list[str] = []
    with pytest.raises(GuardianError, match="cannot do its work: see"):
        Guardian({}, None, lost.append)  # type: ignore[arg-type]
    assert lost == []


def test_a_guardian_notices_that_an_instrument_is_locked_by_the_program(path: Path) -> None:
    with Bench.open(path, dummies=True, guardian=False) as bench:
        plan = make_plan(bench.file, bench.transport, bench.drivers, bench.recorder, 5.0)
        resource: Any = bench.transport.links["field"]._wire._resource  # type: ignore[attr-defined]
        # As a VISA library with locks would: that of pyvisa-py does not pass them on.
        hislip = resource.visalib.sessions[resource.session].interface
        assert hislip.async_lock_request(1.0) == "success"
        with pytest.raises(GuardianError, match="cannot do its work: field at "):
            Guardian(plan, bench.transport, lambda sentence: None)
        hislip.async_lock_release()


def test_the_record_says_that_no_guardian_was_wanted(path: Path, tmp_path: Path) -> None:
    with db.Recorder.open(tmp_path / "lab.sqlite") as recorder:
        recorder.start_session("sweep", {})
        with Bench.open(path, dummies=True, guardian=False, recorder=recorder):
            pass
        recorder.end_session("complete")
    events = db.session(tmp_path / "lab.sqlite", 1).events
    assert ("guardian", "none: it was not wanted") in [(one.kind, one.text) for one in events]


def test_the_guardian_loads_pyvisa_and_nothing_of_the_project() -> None:
    script = (
        "import runpy, sys\n"
        "import instruments.guardian as it\n"
        "path = it.__file__\n"
        "for name in [n for n in sys.modules if n.split('.')[0] in\n"
        "             ('instruments', 'db', 'numpy', 'pydantic', 'sqlalchemy')]:\n"
        "    del sys.modules[name]\n"
        "runpy.run_path(path, run_name='not main')\n"
        "print(sorted({n.split('.')[0] for n in sys.modules}\n"
        "             & {'instruments', 'db', 'pydantic', 'sqlalchemy'}))\n"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert ran.stdout == "[]\n"


# -- the watch ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "reasons"),
    [
        (["beat", "safe"], []),
        (["safe", ""], []),
        (["beat", ""], ["the process that held the bench has ended and left it as it was"]),
        ([""], ["the process that held the bench has ended and left it as it was"]),
    ],
)
def test_the_guardian_acts_unless_it_is_told_that_all_is_safe(
    lines: list[str], reasons: list[str]
) -> None:
    acted: list[str] = []
    words: queue.Queue[str] = queue.Queue()
    for line in lines:
        words.put(line)
    watch({"heartbeat_s": 10.0}, words, acted.append)
    assert acted == reasons


def test_the_guardian_acts_once_on_a_stale_heartbeat_and_again_on_the_end() -> None:
    acted: list[str] = []
    words: queue.Queue[str] = queue.Queue()

    def act(reason: str) -> None:
        acted.append(reason)
        if len(acted) == 1:
            words.put("")

    watch({"heartbeat_s": 0.01}, words, act)
    assert ["no heartbeat" in reason for reason in acted] == [True, False]


def test_the_plan_is_plain_data_and_names_every_source(path: Path) -> None:
    with Bench.open(path, dummies=True, guardian=False) as bench:
        plan = make_plan(bench.file, bench.transport, bench.drivers, bench.recorder, 5.0)
    plan = json.loads(json.dumps(plan))
    assert [part["role"] for part in plan["sources"]] == ["x", "z", "field"]
    assert [part["off"] for part in plan["sources"]] == [[":OUTP OFF"]] * 3
    assert plan["switches"][0]["off"] == [":ROUT:OPEN ALL"] and plan["record"] is None
