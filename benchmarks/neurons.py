"""What spot checks and watches cost on the demonstration bench, and what they find.

python benchmarks/neurons.py [--checks 60] [--seed 0]

Bench time is that of the simulated instruments.  A fault of J2 begins between two batches of 8 × 3;
said is in which batch after that J2 was left out, tabulated and live.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from db import NullRecorder
from device import (
    DeviceArray,
    LiveNeuron,
    Policy,
    SpotCheck,
    TabulatedNeuron,
    TwoReferenceMTJ,
    Watch,
    calibrate,
    tabulate,
)
from device.rules import TwoReference
from instruments import Bench
from sim_backend.faults_kinds import parse_faults

EVERY = 3
BARRIER = {"kind": "junction_drift", "device": "J2", "parameter": "x.r_parallel_ohm"}
FAULTS: dict[str, dict[str, Any]] = {
    "x contact opens": {"kind": "open", "device": "J2", "terminal": "x"},
    "z contact opens": {"kind": "open", "device": "J2", "terminal": "z"},
    "barrier x, -1 %/s": BARRIER | {"relative_per_hour": -36.0},
    "barrier x, -0.1 %/s": BARRIER | {"relative_per_hour": -3.6},
    "layer, 1 mT/h": {"kind": "junction_drift", "device": "J2", "parameter": "layer.hz_t",
                      "per_hour": 1e-3},
    "barrier x hops by 50 %": {"kind": "telegraph", "device": "J2", "terminal": "x", "step": 0.5,
                               "up_hz": 0.5, "down_hz": 0.5},
}  # fmt: skip


class Events(NullRecorder):
    """Keeps what spot checks say."""

    def __init__(self) -> None:
        super().__init__()
        self.checks: list[str] = []

    def event(self, kind: str, text: str) -> None:
        if kind == "spot check":
            self.checks.append(text)


@contextmanager
def devices(seed: int, names: list[str] | None = None) -> Iterator[tuple[Any, list[Any]]]:
    """A running bench, and device and table of each junction."""
    with Bench.open(sim={"seed": seed}, recorder=Events()) as bench, bench.running():
        made = [calibrate(bench, name) for name in names or bench.file.junctions]
        yield bench, [(TwoReferenceMTJ(bench, c), tabulate(data, c)) for c, data in made]


def costs(seed: int, checks: int) -> None:
    """Reads, bench time, and corrections where nothing changes."""
    x = np.random.default_rng(seed).normal(size=(120, 8))
    with devices(seed) as (bench, pairs):
        table = TabulatedNeuron([SpotCheck(device, one) for device, one in pairs])
        reads, time_s = table.check()
        print(f"spot check of 8 junctions: {reads} reads, {time_s:.1f} s")
        batch = DeviceArray([device for device, _ in pairs]).read(x, gradient=True)
        print(f"a live batch of 120 x 8:   {batch.reads} reads, {batch.bench_time_s:.1f} s")
        for _ in range(checks - 1):
            table.check()
        said = bench.recorder.checks
        made = sum(one.endswith(": corrected") for one in said)
        print(f"steady bench: {made} of {len(said)} checks corrected a table, none refused one\n")


def found(seed: int, fault: dict[str, Any], live: bool, batches: int = 24) -> str:
    """In which batch after its begin a fault is found."""
    rng = np.random.default_rng(seed)
    policy = Policy("leave out")
    with devices(seed, ["J1", "J2", "J3"]) as (bench, pairs):
        layer: Any = (
            DeviceArray(
                [LiveNeuron(d, TwoReference(d.gain), Watch(d, t)) for d, t in pairs], policy=policy
            )
            if live
            else TabulatedNeuron([SpotCheck(d, t) for d, t in pairs], every=EVERY, policy=policy)
        )
        layer.read(rng.normal(size=(8, 3)), gradient=True)
        entry = fault | {"from_s": bench.clock.time_s()}
        bench._keep.visalib.bench.faults.add(*parse_faults([entry]))
        for batch in range(1, batches + 1):
            layer.read(rng.normal(size=(8, 3)), gradient=True)
            if layer.neurons_left < 3:
                return f"batch {batch}"
        return f"not in {batches}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checks", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    costs(given.seed, given.checks)
    print(f"{'fault of J2':24} {f'table, checked every {EVERY}':24} live, watched")
    for name, fault in FAULTS.items():
        table, live = (found(given.seed, fault, one) for one in (False, True))
        print(f"{name:24} {table:24} {live}")


if __name__ == "__main__":
    main()
