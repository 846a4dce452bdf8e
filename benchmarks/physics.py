"""The junction's physics beside the processor's peak, NumPy's interpolation and an outside program.

python benchmarks/physics.py [--cmtj] [--memory] [--junctions 10000] [--steps 1024] [--rounds 7]

--cmtj makes an environment of its own in a temporary folder and installs cmtj from the package
index there.  cmtj is GPL: an outside peer that this script runs, no part of this program.  It runs
with the same terms and step, by its own solver that is unbiased for heat (stochastic Heun).

--memory instead runs grids of 10⁶ junctions and 10³ field points through both streams, each in a
process of its own, and prints the most memory that it held: the planar rest states whole, the
equation of motion, two steps of it, for a minute.
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
from sim_backend.llg.response import layer_curve, unit_width_t

DT_S = 2e-12

#: compiled paths; each is called for the first time in a process of its own
FIRST_CALLS = {
    "motion, float64": "motion.evolve(one, [0.0], 1, 1e-12)",
    "motion, float32": "motion.evolve(one, [0.0], 1, 1e-12, dtype='float32')",
    "motion, no noise": "motion.evolve(one, [0.0], 1, 1e-12, seed=None)",
    "motion, second moments": "motion.evolve(one, [0.0], 1, 1e-12, squares=True)",
    "relaxation": "motion.relax(one, [0.0])",
    "planar, a grid": "equilibrium.grid(one, [0.0])",
    "planar, any points": "equilibrium.mean(one.fields([0.0]))",
    "sphere, from a start": "sphere.rest(one.fields([0.0]), (0, 0, 1))",
    "sphere, wells and rates": "wells.wells(one.fields([0.0]))",
}
FIRST_CALL = """
import time
from sim_backend.llg import equilibrium, motion, sphere, wells
from sim_backend.llg.ensemble import Ensemble
one = Ensemble()
start = time.perf_counter()
{}
print(time.perf_counter() - start)
"""

MEMORY = """
import resource, sys, time
import numpy as np
from sim_backend.llg import equilibrium, motion
from sim_backend.llg.ensemble import Ensemble
count, points, limit_s = 10**6, 10**3, 60.0
junctions = Ensemble(
    k_t=np.random.default_rng(0).uniform(3e-3, 5e-3, count), alpha=np.linspace(0.01, 0.03, count)
)
current = np.linspace(-0.027, 0.027, points)
start, done, total = time.perf_counter(), 0, 0.0
if sys.argv[1] == "planar":
    for _, _, x, z in equilibrium.stream(junctions, current):
        total += float(x.sum()) + float(z.sum())
        done += x.size
else:
    for _, _, run in motion.stream(junctions, current, 2, 2e-12):
        total += float(run.mean[..., 2].sum())
        done += run.mean[..., 2].size
        if time.perf_counter() - start > limit_s:
            break
spent = time.perf_counter() - start
held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(f"{done / count / points:.1%} of {count:.0e} x {points:.0e} in {spent:.1f} s, {held:.0f} MiB")
"""

# One junction, the same fields, torque, heat and step, by stochastic Heun (the Euler-Heun that it
# takes on its own is biased: 0.195 for a mean of 0.274).  A/m where fields are.
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
# Its anisotropies are energies, J/m3: K1 = (k + k2) Ms/2, K2 = -k2 Ms/4.
junction.setLayerAnisotropyDriver(
    "free", ScalarDriver.getConstantDriver((4e-3 + 2.56e-3) * 1e6 / 2))
junction.setLayerSecondOrderAnisotropyDriver(
    "free", ScalarDriver.getConstantDriver(-2.56e-3 * 1e6 / 4))
junction.setLayerExternalFieldDriver(
    "free", AxialDriver(constant(5e-3), NullDriver(), constant(1.36e-3)))
junction.setLayerReferenceLayer("free", CVector(1, 0, 0))
junction.setLayerDampingLikeTorqueDriver("free", constant(2e-5))
junction.setLayerFieldLikeTorqueDriver("free", constant(1e-5))
junction.setLayerTemperatureDriver("free", ScalarDriver.getConstantDriver(300.0))
for turn in range(int(sys.argv[3]) + 1):
    junction.clearLog()
    start = time.process_time()
    junction.runSimulation(steps * dt, dt, steps * dt, False, False, SolverMode.Heun)
    if turn:
        print(steps / (time.process_time() - start), flush=True)
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


def rate(job: Callable[[], object], work: float, threads: int = 1) -> float:
    """Work per second of one call; on one thread of that thread's own time, so that what else the
    machine does counts less."""
    clock = time.thread_time if threads == 1 else time.perf_counter
    start = clock()
    job()
    return work / (clock() - start)


def all_terms(count: int) -> Ensemble:
    """The default junction, many times, with the torques of both reference layers."""
    return Ensemble(
        k_t=np.full(count, 4e-3), ky_t=1e-4, tilt_rad=0.01,
        damping_like_x_t=2e-5, damping_like_z_t=1e-5, field_like_x_t=1e-5, field_like_z_t=5e-6,
    )  # fmt: skip


def first_calls() -> None:
    """Seconds of each path's first call, without and with the compiled code cached."""
    print("first call in a new process, s: compiled, and from the cache")
    for name, call in FIRST_CALLS.items():
        with tempfile.TemporaryDirectory() as folder:
            environment = os.environ | {"NUMBA_CACHE_DIR": folder}
            command = [sys.executable, "-c", FIRST_CALL.format(call)]
            cold, warm = (
                float(subprocess.check_output(command, env=environment)) for _ in range(2)
            )
        print(f"  {name:34} {cold:6.1f} {warm:6.2f}")


def memory() -> None:
    """The most memory of both streams."""
    for name in ("planar", "motion"):
        out = subprocess.check_output([sys.executable, "-c", MEMORY, name], text=True)
        print(f"  {name:8} {out.strip()}")


def cmtj_python(folder: str) -> str:
    """An interpreter that has cmtj and nothing of ours."""
    venv.create(folder, with_pip=True)
    python = str(Path(folder) / "bin" / "python")
    subprocess.check_call([python, "-m", "pip", "install", "--quiet", "cmtj", "numpy"])
    return python


def planar(rounds: int) -> None:
    """The planar rest states beside np.interp, one thread, one junction."""
    layer, rng = FreeLayer(), np.random.default_rng(0)
    junction = Ensemble.of([layer])
    width_a = unit_width_t(layer_curve(layer)) / layer.field_constant_t_per_a
    nodes = np.linspace(-3.3, 3.3, 1000) * width_a
    table = np.sin(equilibrium.angle(layer, nodes))
    print("planar equilibrium, one thread, one junction, +-3 unit widths; np.interp: 1000 nodes")
    for count in (10**5, 10**6):
        row = np.linspace(-3, 3, count) * width_a
        # Pre-activations of a batch come in no order, which np.interp's search has to pay for.
        for order, points in (("in no order", rng.permutation(row)), ("sorted", row)):

            def interpolate(points: Any = points) -> object:
                return np.interp(points, nodes, table)

            def rest(points: Any = points, **more: Any) -> object:
                return equilibrium.grid(junction, points, threads=1, **more)

            jobs: dict[str, Callable[[], object]] = {
                "np.interp, m_x alone": interpolate,
                "m_x and m_z": rest,
                "m_x and m_z, float32": lambda rest=rest: rest(dtype="float32"),  # type: ignore[misc]
                "means over the thermal motion": lambda rest=rest: rest(warm=True),  # type: ignore[misc]
            }
            rates: dict[str, list[float]] = {name: [] for name in jobs}
            for turn in range(rounds + 1):
                for name, job in jobs.items():
                    value = rate(job, float(count))
                    if turn:
                        rates[name].append(value)
            middle = {name: statistics.median(values) for name, values in rates.items()}
            print(f"  {count} points {order}")
            for name, value in middle.items():
                ratio = middle["np.interp, m_x alone"] / value
                print(f"    {name:32} {1e9 / value:7.2f} ns a point  {ratio:6.3f} x np.interp")


def main() -> None:
    """Measure in turn and print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--cmtj", action="store_true")
    options.add_argument("--memory", action="store_true")
    options.add_argument("--junctions", type=int, default=10_000)
    options.add_argument("--steps", type=int, default=1024)
    options.add_argument("--rounds", type=int, default=7)
    chosen = options.parse_args()
    if chosen.memory:
        memory()
        return
    motion(chosen)
    planar(chosen.rounds)
    first_calls()


def _threads(name: str) -> int:
    return int(name.split()[-2]) if name.endswith("threads") else 1


def motion(chosen: argparse.Namespace) -> None:
    """The equation of motion beside the peak and cmtj."""
    junctions = all_terms(chosen.junctions)
    current = np.array([5e-3 / 0.6])
    work = float(chosen.junctions * chosen.steps)

    def run(dtype: str, threads: int, **more: Any) -> Callable[[], object]:
        return lambda: evolve(
            junctions, current, chosen.steps, DT_S, dtype=dtype, threads=threads,  # type: ignore[arg-type]
            **more,
        )  # fmt: skip

    def adds(dtype: str) -> Callable[[], object]:
        lane = np.ones(256, dtype)
        return lambda: multiply_adds(lane, 20_000)

    flops = 2.0 * 16 * 256 * 20_000
    most = int(numba.config.NUMBA_NUM_THREADS)  # type: ignore[attr-defined]
    jobs: dict[str, tuple[Callable[[], object], float]] = {}
    for dtype in ("float64", "float32"):
        jobs[f"peak {dtype}"] = adds(dtype), flops
        jobs[f"{dtype}, all terms, 1 thread"] = run(dtype, 1), work
        jobs[f"{dtype}, and second moments"] = run(dtype, 1, squares=True), work
        jobs[f"{dtype}, no noise"] = run(dtype, 1, seed=None), work
    threads = [n for n in (2, 4, 8, 16, 32, 64) if n < most] + [most] * (most > 1)
    for n in threads:
        jobs[f"float64, all terms, {n} threads"] = run("float64", n), work

    rates: dict[str, list[float]] = {name: [] for name in jobs}
    peer: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        python = cmtj_python(folder) if chosen.cmtj else ""
        for turn in range(chosen.rounds + 1):
            for name, (job, amount) in jobs.items():
                value = rate(job, amount, _threads(name))
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
    print("one thread by its own time, more by the clock on the wall")
    bits = {"zmm": 512, "ymm": 256, "xmm": 128}
    code = "".join(multiply_adds.inspect_asm().values())
    width = next((str(n) for name, n in bits.items() if name in code), "unknown")
    for dtype in ("float64", "float32"):
        peak = middle[f"peak {dtype}"]
        name = f"multiply-add peak, {dtype}"
        print(f"  {name:34} {peak:9.3g} operations/s, vectors of {width} bits")
        for name, value in middle.items():
            if name.startswith(dtype):
                line = f"  {name:34} {value:9.3g} spin-steps/s"
                # n threads have n cores' peak; second moments are 6 multiply-adds more.
                count = kernel.FLOPS_PER_STEP + 12 * ("moments" in name) - 6 * ("no noise" in name)
                cores = _threads(name)
                line += f"  {value * count / peak / cores:5.2f} of the peak"
                if cores > 1:
                    line += f"  {value / middle['float64, all terms, 1 thread']:5.2f} x one thread"
                if peer:
                    line += f"  {value / statistics.median(peer):6.1f} x cmtj"
                print(line)
    if peer:
        print(f"  {'cmtj, stochastic Heun, 1 thread':34} {statistics.median(peer):9.3g} steps/s")


if __name__ == "__main__":
    main()
