"""What a question and a sweep cost in software: the whole stack against its parts, in turn.

python benchmarks/loop.py [--points 1000] [--rounds 30] [--queries 200]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyvisa
from pymeasure.instruments.keithley import Keithley2400

from db import NullRecorder, Recorder
from instruments import Bench
from sim_backend.llg import equilibrium


class Tape(NullRecorder):
    """Keeps the messages of a sweep, to send them again without our stack."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[tuple[str, str, str]] = []

    def message(self, message) -> None:  # type: ignore[no-untyped-def]
        self.messages.append((message.instrument, message.op, message.sent))


def bare(points: np.ndarray, tape: Tape, first: int) -> Callable[[], None]:
    """The same messages by PyVISA alone, polls and pauses included."""
    manager: Any = pyvisa.ResourceManager("?instance=bare@spinloop")
    library = manager.visalib
    addresses = {
        "field": "GPIB0::12::INSTR", "x": "GPIB0::24::INSTR", "z": "GPIB0::25::INSTR",
        "switch": "GPIB0::7::INSTR",
    }  # fmt: skip
    lines = {role: manager.open_resource(address) for role, address in addresses.items()}

    def send(messages: list[tuple[str, str, str]]) -> None:
        for role, op, sent in messages:
            if op == "pause":
                library.bench_pause(float(sent))
            elif op == "wait":
                library.bench_pause(0.002)
                lines[role].read_stb()
            elif op == "query":
                lines[role].write(sent)
                with lines[role].ignore_warning(pyvisa.constants.StatusCode.success_max_count_read):
                    library.read(lines[role].session, 100_000)
            elif op == "write":
                lines[role].write(sent)

    before, sweep = tape.messages[:first], tape.messages[first:]
    send(before)
    return lambda: send(sweep)


def questions(recorded: Bench, plain: Bench, count: int) -> dict[str, Callable[[], object]]:
    """One question, asked ``count`` times in each way; the answer is the same."""
    manager: Any = pyvisa.ResourceManager("?instance=question@spinloop")
    session = manager.open_resource("GPIB0::24::INSTR")
    other = Keithley2400("GPIB0::24::INSTR", visa_library=manager.visalib)
    asked = ":SENS:CURR:PROT?"

    def repeat(ask: Callable[[str], object]) -> Callable[[], None]:
        def run() -> None:
            for _ in range(count):
                ask(asked)

        return run

    return {
        "transport, limits, record": repeat(recorded.transport.links["x"].query),
        "transport, limits": repeat(plain.transport.links["x"].query),
        "the limits alone": repeat(lambda text: plain.guard.check("x", text)),
        "bare PyVISA": repeat(session.query),
        "bare pymeasure": repeat(other.ask),
    }


def in_turn(jobs: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median wall time of each, s; two rounds go before."""
    times: dict[str, list[float]] = {name: [] for name in jobs}
    for turn in range(rounds + 2):
        for name, job in jobs.items():
            start = time.perf_counter()
            job()
            if turn >= 2:
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def show(times: dict[str, float], base: str, count: int, what: str) -> None:
    """Print times of so many things, and each as a multiple of one of them."""
    for name, middle in times.items():
        print(
            f"  {name:32} {middle * 1e3:8.3f} ms  {middle / count * 1e6:7.2f} us {what}"
            f"  {middle / times[base]:6.2f} x bare"
        )


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--points", type=int, default=1000)
    options.add_argument("--rounds", type=int, default=30)
    options.add_argument("--queries", type=int, default=200)
    chosen = options.parse_args()
    points = np.random.default_rng(0).uniform(-0.02, 0.02, chosen.points)

    tape = Tape()
    with Bench.open(recorder=tape) as taped:
        taped.sweep("J1", points)
        first = len(tape.messages)
        taped.sweep("J1", points)
        again = bare(points, tape, first)

    with (
        tempfile.TemporaryDirectory() as folder,
        Recorder.open(Path(folder) / "b.sqlite") as recorder,
    ):
        recorder.start_session("benchmark", {})
        with Bench.open(recorder=recorder) as recorded, Bench.open() as plain:
            layer = recorded._keep.visalib.bench.junctions[0].model.layer

            def physics() -> None:
                equilibrium.average(layer, points, equilibrium.angle(layer, points))

            jobs: dict[str, Callable[[], object]] = {
                "whole stack, recorded": lambda: recorded.sweep("J1", points),
                "whole stack, no record": lambda: plain.sweep("J1", points),
                "bare PyVISA, the same messages": again,
                "physics of the points alone": physics,
            }
            sweeps = in_turn(jobs, chosen.rounds)
            queries = in_turn(questions(recorded, plain, chosen.queries), chosen.rounds)
        recorder.end_session("complete")
    print(f"a sweep of {chosen.points} points, median of {chosen.rounds} rounds taken in turn")
    show(sweeps, "bare PyVISA, the same messages", chosen.points, "a point")
    print(f"a question, median of {chosen.rounds} rounds of {chosen.queries}")
    show(queries, "bare PyVISA", chosen.queries, "a question")


if __name__ == "__main__":
    main()
