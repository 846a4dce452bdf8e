"""Ends a session after its k-th message, in three ways, and looks at what is left of the bench.

python -m tests.killing [--every N]     all of them, or every N-th
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

import db
from db import NullRecorder, Recorder
from instruments import Bench
from instruments.link import Job, Link
from instruments.states import Terminated
from instruments.wire import VisaWire
from sim_backend.bench import SimBench
from sim_backend.server import running
from sim_backend.truth import load_truth

JUNCTION_LIMIT_V, FIELD_LIMIT_A = 0.1, 0.035  # of the demonstration's bench file
NEVER = 10**9
#: ends a process at once; Windows has no such signal, and there os.kill does it with any other
DEATH = getattr(signal, "SIGKILL", signal.SIGTERM)
REALTIME = 20.0  # bench seconds per second of the served bench
_WITHIN_S = 60.0  # wall time that a guardian gets on a busy machine
_ACTED = ("guardian", "brought the bench to the safe state")


class Killed(Exception):
    """Ends a session."""


class Peaks:
    """The most that the devices of a simulated bench have ever seen; those of a bias magnet
    ``coil`` and a resistor ``load`` too, where it has them."""

    def __init__(self, sim: SimBench) -> None:
        self.junction_v = self.field_a = self.coil_a = self.load_v = 0.0
        plant: Any = sim.plant
        coil, load = plant.devices.get("coil"), plant.devices.get("load")
        touch, run = sim.touch, plant.run

        def look(*arguments: Any) -> Any:
            seen, now = run(*arguments), plant.solution
            self.field_a = max(self.field_a, float(np.abs(plant.line.current_a(now)).max()))
            for junction in plant.junctions:
                for volt in junction.volts(now).values():
                    self.junction_v = max(self.junction_v, float(np.abs(volt).max()))
            if coil is not None:
                self.coil_a = max(self.coil_a, float(np.abs(now.current(coil._coil)).max()))
            if load is not None:
                self.load_v = max(self.load_v, float(np.abs(now.across(load._made)).max()))
            return seen

        plant.run = look
        sim.touch = lambda **_: touch(always=True)  # type: ignore[method-assign]


def problems(sim: SimBench, peaks: Peaks) -> list[str]:
    """What is not as it must be on a bench that nobody uses any more; nothing: it is safe."""
    found = []
    sources = {"field": (sim.source, "level")} | {
        name: (meter, "v_level") for name, meter in sim.meters.items()
    }
    for name, (one, level) in sources.items():
        if one.state["output"]:
            found.append(f"{name} is on")
        if one.state[level] != 0:
            found.append(f"{name} is set to {one.state[level]:g}")
    if sim.switch.closed:
        found.append(f"relays {sorted(sim.switch.closed)} are closed")
    if sim.hot_switches:
        found.append(f"{sim.hot_switches} relays moved hot")
    if any(junction.broken for junction in sim.junctions) or sim.plant.events:
        found.append(f"damage: {sim.plant.events}")
    if peaks.junction_v > JUNCTION_LIMIT_V * (1 + 1e-6):
        found.append(f"a junction saw {peaks.junction_v:g} V")
    if peaks.field_a > FIELD_LIMIT_A * (1 + 1e-6):
        found.append(f"the field line saw {peaks.field_a:g} A")
    return found


def work(bench: Bench) -> None:
    """Two junctions, and lists that are split: arming, relays, uploads, fetches."""
    bench.sweep("J1", [0.004, -0.004, 0.008], list_points=2)
    bench.sweep("J2", [0.003])


class Log(NullRecorder):
    """Keeps the events."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[tuple[str, str]] = []

    def event(self, kind: str, text: str = "") -> None:
        self.events.append((kind, text))


# -- in this process ------------------------------------------------------------------------------


@contextlib.contextmanager
def after_message(k: int, end: Callable[[], None], *, closing: bool) -> Iterator[list[int]]:
    """Call ``end`` in the caller's thread after the k-th message; how many there were by now.

    Args:
        k: counts from 1.
        end: ends the session.
        closing: the messages of the way to the safe state count too.
    """
    run, obey, count = Link.run, Link.obey, [0]

    def passed() -> None:
        count[0] += 1
        if count[0] == k:
            end()

    def counted_run(self: Link, job: Job) -> bytes:
        if self._transport.ahead_s is not None:  # it goes on to obey
            return run(self, job)
        reply = run(self, job)
        passed()
        return reply

    def counted_obey(self: Link, job: Job, most_s: float, *, begun: bool = False) -> bytes:
        reply = obey(self, job, most_s, begun=begun)
        if closing:
            passed()
        return reply

    Link.run, Link.obey = counted_run, counted_obey  # type: ignore[method-assign]
    try:
        yield count
    finally:
        Link.run, Link.obey = run, obey  # type: ignore[method-assign]


def _raise() -> None:
    raise Killed("in the middle")


def _terminate() -> None:
    signal.raise_signal(signal.SIGTERM)


WAYS: dict[str, tuple[Callable[[], None], type[BaseException], bool, str]] = {
    "exception": (_raise, Killed, False, "exception: Killed: in the middle"),
    "SIGTERM": (_terminate, Terminated, True, "terminated: Terminated: SIGTERM"),
}


def in_process(way: str, k: int) -> tuple[bool, list[str]]:
    """End a session after its k-th message.

    Returns:
        Whether there was such a message, and what is wrong with the bench afterwards.
    """
    end, kind, closing, told = WAYS[way]

    def terminated(*_: object) -> None:
        raise Terminated("SIGTERM")

    before = signal.signal(signal.SIGTERM, terminated)
    log, ended = Log(), False
    try:
        bench = Bench.open(recorder=log)
        sim: SimBench = bench._keep.visalib.bench
        peaks = Peaks(sim)
        with contextlib.suppress(kind), after_message(k, end, closing=closing):
            ended = True
            with bench:
                work(bench)
                ended = False  # from here on it ends as planned
            # A signal on the way to the safe state is told once all is off.
    finally:
        signal.signal(signal.SIGTERM, before)
    found = problems(sim, peaks)
    if ended and ("tripped", told) not in log.events:
        found.append(f"the record says {log.events}")
    return ended, found


def messages_of(way: str) -> int:
    """Messages of an undisturbed session."""
    with after_message(NEVER, _raise, closing=WAYS[way][2]) as count, Bench.open() as bench:
        count[0] = 0
        work(bench)
    return count[0]


# -- in a process of its own, with a guardian -----------------------------------------------------


def victim(bench_file: str, folder: str, k: int) -> None:
    """A program that ends itself with SIGKILL right after its k-th message has left; it writes
    down how many there were if it lives."""
    os.environ["SPINLOOP_STATE"] = str(Path(folder, "state"))
    write, count = VisaWire.write, [0]

    def counted(self: VisaWire, message: str) -> None:
        write(self, message)
        count[0] += 1
        if count[0] == k:
            os.kill(os.getpid(), DEATH)

    with Recorder.open(Path(folder, "lab.sqlite")) as recorder:
        recorder.start_session("sweep", {})
        with Bench.open(bench_file, recorder=recorder, dummies=True, heartbeat_s=60.0) as bench:
            VisaWire.write = counted  # type: ignore[method-assign]
            work(bench)
        recorder.end_session("complete")
    Path(folder, "count").write_text(str(count[0]))


class Served:
    """A simulated bench behind HiSLIP, whose programs are killed one after another."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._number = folder, 0
        self.sim = SimBench(load_truth(None))
        self.peaks = Peaks(self.sim)
        self._context: Any = multiprocessing.get_context(
            "spawn" if os.name == "nt" else "forkserver"
        )
        if os.name != "nt":
            self._context.set_forkserver_preload(["instruments", "sim_backend.server"])
        self._server = running(self.sim, port=0, hislip_port=0, realtime=REALTIME)

    def __enter__(self) -> Served:
        served = self._server.__enter__().served
        text = files("instruments").joinpath("demo_bench.yaml").read_text(encoding="utf-8")
        text = text.replace("backend: sim ", "visa: '@py'\nbackend: real ")
        for old, new in zip(("12", "24", "25", "7"), served, strict=True):
            text = text.replace(f"GPIB0::{old}::INSTR", new.hislip)
        self._file = self._folder / "bench.yaml"
        self._file.write_text(text, encoding="utf-8")
        return self

    def __exit__(self, *error: Any) -> None:
        self._server.__exit__(*error)

    def kill_after(self, k: int) -> tuple[int, list[str]]:
        """Run the program until its k-th message.

        Returns:
            How many messages it sent if it was not killed, else 0; what is wrong afterwards.
        """
        self._number += 1
        folder = self._folder / str(self._number)
        folder.mkdir()
        one = self._context.Process(target=victim, args=(str(self._file), str(folder), k))
        one.start()
        one.join()
        if one.exitcode == 0:
            return int((folder / "count").read_text()), problems(self.sim, self.peaks)
        if one.exitcode not in (-DEATH, DEATH):
            return 0, [f"the program ended with {one.exitcode}"]
        give_up = time.monotonic() + _WITHIN_S
        while _ACTED not in _events(folder) and time.monotonic() < give_up:
            time.sleep(0.02)
        found = problems(self.sim, self.peaks)
        said = _events(folder)
        if _ACTED not in said or not any(
            kind == "tripped" and "has ended and left it as it was" in text for kind, text in said
        ):
            found.append(f"the record says {said}")
        return 0, found


def _events(folder: Path) -> list[tuple[str, str]]:
    return [(one.kind, one.text) for one in db.session(folder / "lab.sqlite", 1).events]


# -- all of it ------------------------------------------------------------------------------------


def main() -> int:
    """Print how many sessions were ended, and each that did not end safely."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--every", type=int, default=1, metavar="N")
    every, bad = options.parse_args().every, 0
    for way in WAYS:
        tried = range(1, messages_of(way) + 1, every)
        bad += _told(way, len(tried), {k: in_process(way, k)[1] for k in tried})
    with tempfile.TemporaryDirectory() as folder, Served(Path(folder)) as served:
        count, found = served.kill_after(NEVER)
        tried = range(1, count + 1, every)
        results = {0: found} | {k: served.kill_after(k)[1] for k in tried}
        bad += _told("SIGKILL, with guardian", len(tried), results)
    return int(bad > 0)


def _told(way: str, count: int, results: dict[int, list[str]]) -> int:
    wrong = {k: found for k, found in results.items() if found}
    print(f"{way}: {count} sessions ended, {len(wrong)} of them not safe", flush=True)
    for k, found in wrong.items():
        print(f"  after message {k}: {'; '.join(found)}")
    return len(wrong)


if __name__ == "__main__":
    sys.exit(main())
