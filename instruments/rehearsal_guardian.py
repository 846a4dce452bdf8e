"""The last step of a rehearsal: a program that hangs with everything on, and the guardian.

The program is this module, run in a process of its own; it is stopped by the operating system as
soon as its outputs are on, so that its heartbeat ends.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from instruments.bench_file import BenchFile
from instruments.checking import look
from instruments.errors import BenchError
from instruments.guardian import AT_WORK
from instruments.rehearsal import Step
from instruments.session import live_session
from instruments.state_folder import addresses, clear_latch, find_latch
from instruments.units import show

NAME = "guardian"
_READY = "everything is on"
_ACTS_S = 30.0  # wall time that the guardian gets once the heartbeat is stale
_POLL_S = 0.02


def rehearse_guardian(
    bench_file: Path, file: BenchFile, database: Path, heartbeat_s: float
) -> Step:
    """Let a program hang with everything on, and see whether its guardian switches off.

    Nobody may hold the bench meanwhile.

    Args:
        bench_file: path of the bench file.
        file: what stands in it.
        database: where that program records its session.
        heartbeat_s: how long it may hang.
    """
    command = [sys.executable, "-m", __name__, str(bench_file), str(database), str(heartbeat_s)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as program:
        assert program.stdout is not None
        try:
            if program.stdout.readline().strip() != _READY:
                return Step(NAME, "failed", _last_line(program.communicate()[1]))
            hanging = psutil.Process(program.pid)
            guardians = hanging.children(recursive=True)
            hanging.suspend()
            acted = _until(lambda: _has_acted(file), heartbeat_s + _ACTS_S)
        finally:
            program.kill()
    psutil.wait_procs(guardians, timeout=_ACTS_S)
    if not acted:
        return Step(NAME, "failed", "it did not act on a program that hangs")
    return _judge(file, heartbeat_s)


def _judge(file: BenchFile, heartbeat_s: float) -> Step:
    latch = find_latch(addresses(file))
    wrong = [] if latch is None else list(latch.problems)
    seen, problems = look(file)
    wrong += problems
    wrong += [f"{one.role}: its output is not off" for one in seen if one.unit and one.output]
    wrong += [f"{one.role}: its level is {show(one.level, one.unit)}" for one in seen if one.level]
    wrong += [f"{one.role}: {', '.join(one.closed)} are closed" for one in seen if one.closed]
    if wrong:
        return Step(NAME, "failed", "; ".join(wrong))
    clear_latch(addresses(file))
    text = f"a program that hung for {heartbeat_s:g} s: every output at zero and off, relays open"
    return Step(NAME, "passed", text)


def _has_acted(file: BenchFile) -> bool:
    latch = find_latch(addresses(file))
    return latch is not None and latch.problems != (AT_WORK,)


def _until(happened: Callable[[], bool], seconds: float) -> bool:
    give_up_s = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > give_up_s:
            return False
        time.sleep(_POLL_S)
    return True


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else "the program that should have hung has ended"


def main(bench_file: str, database: str, heartbeat_s: str) -> None:
    """Switch everything on, say so, and wait to be stopped."""
    with live_session(
        "rehearse guardian", {"heartbeat_s": float(heartbeat_s)}, bench_file=bench_file,
        database=database, dummies=True, heartbeat_s=float(heartbeat_s),
    ) as session:  # fmt: skip
        bench = session.bench
        bench.join(next(iter(bench.file.junctions)))
        for meter in (bench.x, bench.z):
            meter.set_voltage(bench.file.readout.voltage)
        line = bench.file.limits.field_line
        bench.source.set_current(min(line.step, bench.file.calibration.range) / 2)
        print(_READY, flush=True)
        sys.stdin.read()
        raise BenchError("nobody has stopped it")


if __name__ == "__main__":
    main(*sys.argv[1:])
