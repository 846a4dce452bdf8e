"""The equation of motion beside the processor's peak, NumPy's interpolation and an outside program.

python benchmarks/physics.py [--cmtj] [--junctions 10000] [--steps 1024] [--rounds 7]

--cmtj makes an environment of its own in a temporary folder and installs cmtj from the package
index there.  cmtj is GPL: an outside peer that this script runs, no part of this program.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np

from sim_backend.llg import equilibrium, kernel
from sim_backend.llg.ensemble import Ensemble
from sim_backend.llg.model import FreeLayer
from sim_backend.llg.motion import evolve

DT_S = 2e-12

FIRST_CALL = """
import time
from sim_backend.llg.ensemble import Ensemble
from sim_backend.llg.motion import evolve
start = time.perf_counter()
evolve(Ensemble(), [0.0], 1, 1e-12)
print(time.perf_counter() - start)
"""

# One junction, the same fields, torque, heat and step, by stochastic Heun (its Euler-Heun is
# biased: 0.195 for a mean of 0.274).  A/m where fields are.
CMTJ = """
import math, sys, time
from cmtj import AxialDriver, CVector, Junction, Layer, NullDriver, ScalarDriver, SolverMode
steps, dt = int(sys.argv[1]), float(sys.argv[2])
def constant(tesla):
    return ScalarDriver.getConstantDriver(tesla / (4e-7 * math.pi))
zero = [CVector(0, 0, 0)] * 3
ms = 1e6 * 4e-7 * math.pi
layer = Layer("free", CVector(0.1, 0, 0.995), CVector(0, 0, 1), ms, 1.4e-9,
              math.pi / 4 * 250e-9 ** 2, zero, 0.02)
junction = Junction([layer])
# Its anisotropies are energies, J/m3: K = k Ms/2.
junction.setLayerAnisotropyDriver("free", ScalarDriver.getConstantDriver(4e-3 * 1e6 / 2))
junction.setLayerSecondOrderAnisotropyDriver(
    "free", ScalarDriver.getConstantDriver(2.56e-3 * 1e6 / 4))
junction.setLayerExternalFieldDriver(
    "free", AxialDriver(constant(5e-3), NullDriver(), constant(1.36e-3)))
junction.setLayerReferenceLayer("free", CVector(1, 0, 0))
junction.setLayerDampingLikeTorqueDriver("free", constant(2e-5))
junction.setLayerFieldLikeTorqueDriver("free", constant(1e-5))
junction.setLayerTemperatureDriver("free", ScalarDriver.getConstantDriver(300.0))
for turn in range(int(sys.argv[3]) + 1):
    junction.clearLog()
    start = time.perf_counter()
    junction.runSimulation(steps * dt, dt, steps * dt, False, False, SolverMode.Heun)
    if turn:
        print(steps / (time.perf_counter() - start), flush=True)
"""


@numba.njit(fastmath={"contract"})
def multiply_adds(x: Any, rounds: int) -> None:
    """16 multiply-adds on each element, in the first-level cache: independent vectors."""
    a, b = x.dtype.type(0.999999), x.dtype.type(1e-7)
    for _ in range(rounds):
        for j in range(x.size):
            v = x[j]
            for _ in range(16):
                v = v * a + b
            x[j] = v


def rate(job: Callable[[], object], work: float) -> float:
    """Work per second of one call."""
    start = time.perf_counter()
    job()
    return work / (time.perf_counter() - start)


def all_terms(count: int) -> Ensemble:
    """The default junction, many times, with the torques of both reference layers."""
    return Ensemble(
        k_t=np.full(count, 4e-3), ky_t=1e-4, tilt_rad=0.01,
        damping_like_x_t=2e-5, damping_like_z_t=1e-5, field_like_x_t=1e-5, field_like_z_t=5e-6,
    )  # fmt: skip


def first_call_s() -> list[float]:
    """Seconds of the first call without and with the compiled code cached."""
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"NUMBA_CACHE_DIR": folder}
        return [
            float(subprocess.check_output([sys.executable, "-c", FIRST_CALL], env=environment))
            for _ in range(2)
        ]


def cmtj_python(folder: str) -> str:
    """An interpreter that has cmtj and nothing of ours."""
    venv.create(folder, with_pip=True)
    python = str(Path(folder) / "bin" / "python")
    subprocess.check_call([python, "-m", "pip", "install", "--quiet", "cmtj", "numpy"])
    return python


def main() -> None:
    """Measure in turn and print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--cmtj", action="store_true")
    options.add_argument("--junctions", type=int, default=10_000)
    options.add_argument("--steps", type=int, default=1024)
    options.add_argument("--rounds", type=int, default=7)
    chosen = options.parse_args()
    junctions = all_terms(chosen.junctions)
    current = np.array([5e-3 / 0.6])
    work = float(chosen.junctions * chosen.steps)

    def motion(dtype: str, threads: int, **more: Any) -> Callable[[], object]:
        return lambda: evolve(
            junctions, current, chosen.steps, DT_S, dtype=dtype, threads=threads,  # type: ignore[arg-type]
            **more,
        )  # fmt: skip

    def adds(dtype: str) -> Callable[[], object]:
        lane = np.ones(256, dtype)
        return lambda: multiply_adds(lane, 20_000)

    flops = 2.0 * 16 * 256 * 20_000
    layer, points = FreeLayer(), np.linspace(-0.02, 0.02, 100_000)
    grid = np.linspace(-0.03, 0.03, 1000)
    table = np.sin(equilibrium.angle(layer, grid))
    jobs: dict[str, tuple[Callable[[], object], float]] = {}
    for dtype in ("float64", "float32"):
        jobs[f"peak {dtype}"] = adds(dtype), flops
        jobs[f"{dtype}, all terms, 1 thread"] = motion(dtype, 1), work
        jobs[f"{dtype}, and second moments"] = motion(dtype, 1, squares=True), work
        jobs[f"{dtype}, no noise"] = motion(dtype, 1, seed=None), work
        if numba.config.NUMBA_NUM_THREADS > 1:  # type: ignore[attr-defined]
            jobs[f"{dtype}, all terms, 2 threads"] = motion(dtype, 2), work
    jobs["planar equilibrium"] = (lambda: equilibrium.angle(layer, points)), float(len(points))
    jobs["np.interp"] = (lambda: np.interp(points, grid, table)), float(len(points))

    rates: dict[str, list[float]] = {name: [] for name in jobs}
    peer: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        python = cmtj_python(folder) if chosen.cmtj else ""
        for turn in range(chosen.rounds + 1):
            for name, (job, amount) in jobs.items():
                value = rate(job, amount)
                if turn:  # the first one compiles
                    rates[name].append(value)
            if chosen.cmtj and turn:
                out = subprocess.check_output(
                    [python, "-c", CMTJ, "200000", str(DT_S), "1"], cwd=folder, text=True
                )
                peer.append(float(out.split()[-1]))
    middle = {name: statistics.median(values) for name, values in rates.items()}
    print(f"{chosen.junctions} junctions, {chosen.steps} steps, median of {chosen.rounds} turns")
    print(f"{kernel.FLOPS_PER_STEP} floating-point operations a spin-step (a multiply-add is two)")
    for dtype in ("float64", "float32"):
        peak = middle[f"peak {dtype}"]
        print(f"  {f'multiply-add peak, {dtype}':34} {peak:9.3g} operations/s")
        for name, value in middle.items():
            if name.startswith(dtype):
                line = f"  {name:34} {value:9.3g} spin-steps/s"
                # Two threads have two cores' peak; second moments are 6 multiply-adds more.
                count = kernel.FLOPS_PER_STEP + 12 * ("moments" in name) - 6 * ("no noise" in name)
                cores = 2 if "2 threads" in name else 1
                line += f"  {value * count / peak / cores:5.2f} of the peak"
                if peer:
                    line += f"  {value / statistics.median(peer):6.1f} x cmtj"
                print(line)
    if peer:
        print(f"  {'cmtj, stochastic Heun, 1 thread':34} {statistics.median(peer):9.3g} steps/s")
    ratio = middle["np.interp"] / middle["planar equilibrium"]
    print(f"  planar equilibrium takes {ratio:.1f} x the time of np.interp on the same points")
    cold, warm = first_call_s()
    print(f"  first call: {cold:.1f} s to compile, {warm:.2f} s from the cache")


if __name__ == "__main__":
    main()
