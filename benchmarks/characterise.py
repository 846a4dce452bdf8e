"""Bench time of a batch against its floor, and how long a large array takes to be judged.

python benchmarks/characterise.py [--junctions 1000] [--points 1001] [--json FILE]

First: a batch of 120 pre-activations on 8 junctions, activations and gradients, on the
demonstration bench at 1 and at 0.1 NPLC.  The floor is what settling and integration take;
everything else is told by what it went into.

Then: sweeps of many junctions, up and down, made by the simulator's physics; what is timed is
their judgement: calibration, hysteresis, jumps, shape, statistics over the array.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from device import DeviceArray, TwoReferenceMTJ, calibrate
from device.characterise import judge_one, summary
from device.characterise_steps import Step, up_and_down
from instruments import Bench, SweepData, load_bench_file
from sim_backend.llg import equilibrium
from sim_backend.llg.ensemble import Ensemble

BATCH = 120
VOLTAGE_V, COMMON_OHM, R_OHM, NOISE_A = 0.02, 6.0, 10_200.0, 3e-9


def batch(nplc: float) -> dict[str, Any]:
    """Bench time of a second batch like the first, and its floor, s."""
    x = np.random.default_rng(0).normal(size=(BATCH, 8))
    with Bench.open() as bench, bench.running():
        array = DeviceArray(
            [TwoReferenceMTJ(bench, calibrate(bench, name)[0]) for name in bench.file.junctions]
        )
        with bench.reading_with(nplc=nplc):
            array.read(x, gradient=True)
            before, start_s = bench.spent_s(), bench.clock.time_s()
            reading = array.read(x, gradient=True)
            taken_s = bench.clock.time_s() - start_s
            spent = {k: v - before.get(k, 0.0) for k, v in bench.spent_s().items()}
            timing = bench.file.timing
    floor_s = x.size * (timing.settle + 2 * nplc / timing.line_frequency)
    return {
        "nplc": nplc, "taken_s": taken_s, "floor_s": floor_s, "ratio": taken_s / floor_s,
        "reads": reading.reads, "fill_points": reading.reads - x.size,
        "fill_s": (reading.reads - x.size) * floor_s / x.size, "spent_s": spent,
    }  # fmt: skip


def sweeps(junctions: int, points: int) -> Iterator[SweepData]:
    """Sweeps of junctions that differ by 10 %, with noise; both directions together have so
    many points, or one more."""
    level = up_and_down(0.032, (points + 1) // 2)
    rng = np.random.default_rng(0)
    spread = 1 + 0.1 * rng.standard_normal((3, junctions))
    for at in range(0, junctions, 50):
        k, k2, hz = spread[:, at : at + 50]
        ensemble = Ensemble(
            k_t=4e-3 * k, k2_t=2.56e-3 * k2, hz_t=1.36e-3 * hz, field_constant_t_per_a=0.6,
            temperature_k=300.0,
        )  # fmt: skip
        m = equilibrium.mean(ensemble.fields(level))
        for j in range(len(m)):
            g = [(3 + m[j, :, axis]) / 4 / R_OHM for axis in (0, 2)]
            drop = COMMON_OHM * (g[0] + g[1])
            current = [one * VOLTAGE_V / (1 + drop) for one in g]
            x, z = (one + NOISE_A * rng.standard_normal(len(level)) for one in current)
            good = np.ones(len(level), dtype=bool)
            yield SweepData(f"J{at + j + 1}", level, x, z, good, VOLTAGE_V, len(level), 0.0, 1.0)


def judged(junctions: int, points: int) -> dict[str, Any]:
    """Time and memory of judging an array."""
    file, _ = load_bench_file(None)
    made = list(sweeps(junctions, points))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start_s, start_cpu_s = time.perf_counter(), time.process_time()
    found = summary(
        [judge_one(file, one.junction, {"sweep": [(Step(one.level_a), one)]}) for one in made]
    )
    taken_s, cpu_s = time.perf_counter() - start_s, time.process_time() - start_cpu_s
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "junctions": junctions, "points": len(made[0].level_a), "taken_s": taken_s, "cpu_s": cpu_s,
        "ms_a_junction": 1e3 * taken_s / junctions, "most_mib": after / 1024,
        "grown_mib": (after - before) / 1024, "bad": len(found.bad),
        "unit_width_a": found.statistics.get("unit_width_a", {}),
    }  # fmt: skip


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--junctions", type=int, default=1000)
    options.add_argument("--points", type=int, default=1001)
    options.add_argument("--json", type=Path)
    chosen = options.parse_args()
    batches = [batch(nplc) for nplc in (1.0, 0.1)]
    for one in batches:
        print(
            f"{BATCH} x 8 with gradients at {one['nplc']:g} NPLC: {one['taken_s']:.2f} s of bench "
            f"time, {one['ratio']:.3f} x the floor of {one['floor_s']:.2f} s; "
            f"{one['fill_points']} fill points are {one['fill_s']:.2f} s of it"
        )
        for what, s in sorted(one["spent_s"].items(), key=lambda part: -part[1]):
            print(f"  {what:10} {s:8.3f} s  {s / one['taken_s']:6.1%}")
    array = judged(chosen.junctions, chosen.points)
    print(
        f"{array['junctions']} junctions x {array['points']} points: judged in "
        f"{array['taken_s']:.1f} s ({array['cpu_s']:.1f} s of processor), "
        f"{array['ms_a_junction']:.1f} ms a junction; most memory {array['most_mib']:.0f} MiB, "
        f"{array['grown_mib']:.0f} MiB more than the sweeps alone; {array['bad']} bad"
    )
    if chosen.json:
        chosen.json.write_text(json.dumps({"batches": batches, "array": array}, indent=2))


if __name__ == "__main__":
    main()
