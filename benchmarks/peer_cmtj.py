"""The equation of motion beside cmtj, an outside program, and beside exact answers.

python benchmarks/peer_cmtj.py [--steps 3000000] [--write tests/data/cmtj_trajectories.csv]

Makes an environment of its own in a temporary folder and installs cmtj from the package index
there.  cmtj is GPL: an outside peer that this script runs, no part of this program.  --write keeps
its vectors, which tests/test_sim_peer.py compares with ours.

What cmtj 1.15 means by its words, found by experiment against exact formulas:

- γ = 220880 m/(A s) with fields in A/m, fields in T over 4π·10⁻⁷: its clock runs slower than ours
  by 0.1 %.  Steps are scaled so that γ dt is the same.
- The log's time is one step behind its vector, which is that of time + dt.
- Anisotropies are energies in J/m³: the fields are 2 K1/Ms m_z + 4 K2/Ms m_z³, so that our energy
  is K1 = (k + k2) Ms/2, K2 = -k2 Ms/4.
- The demagnetising field uses 12.566·10⁻⁷ for the magnetic constant.
- Damping-like and field-like fields at a reference layer have our signs.
- With a temperature it changes Runge-Kutta to Euler-Heun on its own.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import subprocess
import tempfile
import venv
from pathlib import Path
from typing import Any

import numpy as np

from sim_backend.llg import thermal
from sim_backend.llg.ensemble import Ensemble
from sim_backend.llg.model import BOLTZMANN_J_PER_K, GAMMA_RAD_PER_S_T
from sim_backend.llg.motion import Rest, evolve, relax

VERSION = "1.15.0"
#: γ of cmtj in our units over ours
CLOCK = 220880 / (4e-7 * math.pi) / GAMMA_RAD_PER_S_T
MS_A_PER_M = 1e6

#: start, fields in T, the time step in s, steps, and after how many a vector is kept
BASE: dict[str, Any] = {
    "start": [0.6, 0.0, 0.8], "b": [0.02, 0.01, 0.015], "k": 0.04, "k2": 0.02, "ky": 0.0,
    "alpha": 0.05, "p": [0.6, 0.64, 0.48], "damping_like": 0.0, "field_like": 0.0,
    "dt": 1e-12, "steps": 4001, "every": 100,
}  # fmt: skip
TRAJECTORIES: dict[str, dict[str, Any]] = {
    "oblique field, k and k2": BASE,
    "hard axis y and demagnetisation": BASE | {"ky": 0.025},
    "field-like torque": BASE | {"field_like": 2e-3},
    "both torques": BASE | {"damping_like": 1e-3, "field_like": 2e-3},
    # Damping-like torque along -p above its threshold, from near rest: a precession that grows.
    "torque that overcomes the damping": BASE
    | {"start": [0.28, 0.0, 0.96], "alpha": 0.01, "damping_like": -3e-3},
}
#: relaxation to rest at fields along x, T
SWEEP: dict[str, Any] = BASE | {
    "start": [0.0, 0.0, 1.0], "b": [0.0, 0.0, 1.36e-3], "k": 4e-3, "k2": 2.56e-3, "ky": 1e-3,
    "alpha": 0.5, "dt": 2e-12, "steps": 100_000, "x": [i * 1.4e-3 for i in range(-12, 13)],
}  # fmt: skip
#: thermal averages; kT/(Ms V) in T.  γ B dt is 0.04 in the first, 0.3 in the second:
#: more than our own averages bear (see sim_backend.llg.thermal), to show what a coarse step does.
HOT: dict[str, dict[str, Any]] = {
    "fine step": BASE | {"b": [0.03, 0.0, 0.06], "alpha": 0.1, "thermal": 0.06, "dt": 2e-12},
    "coarse step": BASE | {"b": [0.06, 0.0, 0.12], "alpha": 0.02, "thermal": 0.12, "dt": 1e-11},
}

PEER = """
import json, math, sys
from cmtj import AxialDriver, CVector, Junction, Layer, ScalarDriver, SolverMode
MU0, MS = 4e-7 * math.pi, 1e6
def constant(value):
    return ScalarDriver.getConstantDriver(value)
def tesla(value):
    return constant(value / MU0)
def junction(c, b):
    # Some of the perpendicular anisotropy comes and goes as demagnetisation, for the sake of test.
    plate = 1.0 if c["ky"] else 0.0
    scale = 12.566e-7 / MU0 / (MS * MU0)
    tensor = [CVector(0, 0, 0), CVector(0, c["ky"] * scale, 0), CVector(0, 0, plate * scale)]
    volume = 1.380649e-23 * 300 / (c["thermal"] * MS) if "thermal" in c else 1e-25
    layer = Layer("free", CVector(*c["start"]), CVector(0, 0, 1), MS * MU0, 1e-9, volume / 1e-9,
                  tensor, c["alpha"])
    made = Junction([layer])
    made.setLayerAnisotropyDriver("free", constant((c["k"] + plate + c["k2"]) * MS / 2))
    made.setLayerSecondOrderAnisotropyDriver("free", constant(-c["k2"] * MS / 4))
    made.setLayerExternalFieldDriver("free", AxialDriver(*(tesla(x) for x in b)))
    if c["damping_like"] or c["field_like"]:
        made.setLayerReferenceLayer("free", CVector(*c["p"]))
        made.setLayerDampingLikeTorqueDriver("free", tesla(c["damping_like"]))
        made.setLayerFieldLikeTorqueDriver("free", tesla(c["field_like"]))
    if "thermal" in c:
        made.setLayerTemperatureDriver("free", constant(300.0))
        made.setLayerSeed("free", 1)
    return made
def run(made, c, mode, every):
    # Half a step more, so that rounding decides nothing.
    made.runSimulation((c["steps"] - 0.5) * c["dt"], c["dt"], every * c["dt"], False, False, mode)
    log = made.getLog()
    at = [round(t / c["dt"]) + 1 for t in log["time"]]
    return [list(row) for row in zip(at, log["free_mx"], log["free_my"], log["free_mz"])]
asked = json.load(sys.stdin)
out = {"trajectories": {}, "hot": {}, "sweep": []}
for name, c in asked["trajectories"].items():
    out["trajectories"][name] = run(junction(c, c["b"]), c, SolverMode.RK4, c["every"])
c = asked["sweep"]
for x in c["x"]:
    made = junction(c, [x, *c["b"][1:]])
    out["sweep"].append([x, *run(made, c, SolverMode.RK4, c["steps"] // 2)[-1][1:]])
for name, c in asked["hot"].items():
    out["hot"][name] = {}
    for solver, mode in (("Heun", SolverMode.Heun), ("its default", SolverMode.RK4)):
        rows = run(junction(c, c["b"]), c, mode, 10)
        rows = rows[len(rows) // 50:]
        size = len(rows) // 20
        out["hot"][name][solver] = [
            [sum(row[i] for row in rows[n * size:(n + 1) * size]) / size for i in (1, 2, 3)]
            for n in range(20)
        ]
print("DATA" + json.dumps(out))
"""


def ensemble(case: dict[str, Any], count: int = 1) -> Ensemble:
    """The case's junction; the field line makes the field along x, 1 T/A."""
    p = np.array(case["p"])
    # A field along y comes in with the field-like torque of a layer x that points there.
    other = np.array([0.0, case["b"][1], 0.0]) + case["field_like"] * p
    size = float(np.linalg.norm(other))
    kelvin = 300.0 if "thermal" in case else 0.0
    return Ensemble(
        k_t=np.full(count, case["k"]), k2_t=case["k2"], ky_t=case["ky"], hz_t=case["b"][2],
        alpha=case["alpha"], field_constant_t_per_a=1.0, temperature_k=kelvin,
        ms_a_per_m=MS_A_PER_M,
        volume_m3=BOLTZMANN_J_PER_K * 300.0 / (case.get("thermal", 1.0) * MS_A_PER_M),
        field_like_x_t=size, direction_x=other / size if size else (1.0, 0.0, 0.0),
        damping_like_z_t=case["damping_like"], direction_z=p,
    )  # fmt: skip


def trajectory(case: dict[str, Any], at: np.ndarray) -> np.ndarray:
    """Our vectors after ``at`` steps of the peer's γ dt, [T, 3]."""
    run = evolve(
        ensemble(case), [case["b"][0]], int(at.max()), case["dt"] * CLOCK, seed=None,
        start=case["start"], every=1, threads=1,
    )  # fmt: skip
    assert run.trajectory is not None
    result: np.ndarray = run.trajectory[at - 1, 0, 0]
    return result


def sweep(case: dict[str, Any]) -> Rest:
    """Where we come to rest at the fields of the sweep, [1, P, 3]."""
    return relax(ensemble(case), case["x"], case["start"], tolerance=1e-13)


def read(file: Path) -> dict[str, np.ndarray]:
    """The peer's rows by case: [T, 4], the first column steps, or the field of a sweep in T."""
    with file.open() as lines:
        rows = list(csv.reader(line for line in lines if not line.startswith("#")))
    out: dict[str, list[list[float]]] = {}
    for name, *numbers in rows[1:]:
        out.setdefault(name, []).append([float(n) for n in numbers])
    return {name: np.array(values) for name, values in out.items()}


def write(file: Path, found: dict[str, Any]) -> None:
    """The peer's vectors, with what made them."""
    with file.open("w", newline="") as out:
        print(f"# cmtj {VERSION}, Runge-Kutta of fourth order; written by:", file=out)
        print(f"# python benchmarks/peer_cmtj.py --write {file}", file=out)
        print(
            "# at: steps taken; in 'rest' the field along x, T.  Fields in T, times in s:", file=out
        )
        for name, case in (TRAJECTORIES | {"rest": SWEEP}).items():
            short = {key: value for key, value in case.items() if key != "x"}
            print(f"# {name}: {json.dumps(short)}", file=out)
        table = csv.writer(out, lineterminator="\n")
        table.writerow(("case", "at", "m_x", "m_y", "m_z"))
        for name, rows in (found["trajectories"] | {"rest": found["sweep"]}).items():
            for at, *m in rows:
                table.writerow((name, f"{at:.12g}", *(f"{x:.15f}" for x in m)))


def ask(cases: dict[str, Any]) -> dict[str, Any]:
    """Run the peer in an environment of its own."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = str(Path(folder) / "bin" / "python")
        subprocess.check_call([python, "-I", "-m", "pip", "install", "--quiet", f"cmtj=={VERSION}"])
        text = subprocess.check_output(
            [python, "-I", "-c", PEER], cwd=folder, text=True, input=json.dumps(cases)
        )
    answer: dict[str, Any] = json.loads(text.partition("DATA")[2])
    return answer


def main() -> None:
    """Ask, compare and print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--steps", type=int, default=3_000_000, help="of a thermal average")
    options.add_argument("--write", type=Path)
    chosen = options.parse_args()
    hot = {name: case | {"steps": chosen.steps} for name, case in HOT.items()}
    found = ask({"trajectories": TRAJECTORIES, "sweep": SWEEP, "hot": hot})
    print(f"cmtj {VERSION}: largest difference of a component")
    for name, rows in found["trajectories"].items():
        theirs = np.array(rows)
        off = np.abs(trajectory(TRAJECTORIES[name], theirs[:, 0].astype(int)) - theirs[:, 1:])
        print(f"  {name:36} {off.max():9.1e}  over {len(rows)} vectors")
    off = np.abs(sweep(SWEEP).m[0] - np.array(found["sweep"])[:, 1:])
    print(f"  {'rest over a sweep of the field':36} {off.max():9.1e}  at {len(off)} fields")
    print("thermal averages of m_x and m_z, with standard errors")
    for name, case in hot.items():
        b, heat = np.array(case["b"]) * [1, 0, 1], case["thermal"]
        exact, _ = thermal.boltzmann(case["k"], case["k2"], case["ky"], b, heat)
        count = 1000
        run = evolve(
            ensemble(case | {"b": b.tolist()}, count), [b[0]], chosen.steps // 100,
            case["dt"] * CLOCK, settle_steps=2000,
        )  # fmt: skip
        answers = {"ours": run.mean[:, 0]} | {
            f"cmtj, {solver}": np.array(parts) for solver, parts in found["hot"][name].items()
        }
        print(f"  {f'{name}, exact':30} {exact[0]:.4f}            {exact[2]:.4f}")
        for who, parts in answers.items():
            mean, error = parts.mean(0), parts.std(0) / math.sqrt(len(parts))
            x, z = (f"{mean[i]:.4f} +- {error[i]:.4f}" for i in (0, 2))
            print(f"  {f'{name}, {who}':30} {x}  {z}")
    if chosen.write:
        write(chosen.write, found)


if __name__ == "__main__":
    main()
