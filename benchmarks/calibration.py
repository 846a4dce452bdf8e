"""Whether a calibration's errors are right: how often its 95 % intervals hold the truth.

python benchmarks/calibration.py [--draws 1000] [--seed 1] [--noise 3e-9]

Junctions are drawn as on the demonstration bench, their noise-free response comes from the
simulator's physics, and each gets read noise and the program's own fit.

- `ideal`: T = 0, reference layers that neither move nor point off, no tilt.  Statistical intervals.
- `real`: the demonstration bench's junctions, 300 K, soft and misaligned reference layers, tilt.
  Total intervals.

The truth of the parameters is the planar law nearest to the noise-free m_x and m_z, that of the
unit width the tanh nearest to the noise-free m_x.  m_x and m_z, converted from a noise-free
reading, are compared with that planar law (`law`), and with the noise-free mean magnetisation
itself (`mean`), at 25 levels across the sweep.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from device import Calibration, fit
from device.calibration_sweep import calibration_levels
from device.planar import fit_unit_width, solve
from instruments import SweepData
from sim_backend.llg import equilibrium
from sim_backend.llg.junction import JunctionModel, Population
from sim_backend.truth import load_truth

Array = NDArray[np.float64]
VOLT, COMMON_OHM, NOISE_A = 0.02, 6.0, 3e-9  # of the demonstration bench
LEVELS = calibration_levels(0.032, 121)
PARAMETERS = ("k_a", "k2_a", "hz_a", "offset_a", "unit_width_a")
_COVERED = 1.959964  # standard errors to either side of a 95 % interval


@dataclass(frozen=True)
class Draw:
    """A junction's noise-free response at :data:`LEVELS`, and a sweep of it."""

    m_x: Array
    m_z: Array
    g_x: Array
    g_z: Array
    sweep: SweepData


def draws(kind: str, count: int, seed: int, noise_a: float = NOISE_A) -> Iterator[Draw]:
    """``count`` junctions of a kind, "ideal" or "real", and a noisy sweep of each."""
    truth = load_truth(None)
    given = truth.junctions
    nominal = truth.line.give(
        JunctionModel(**{name: getattr(given, name) for name in JunctionModel.model_fields})
    )
    spread = given.spread
    if kind == "ideal":
        nominal = nominal.changed({"layer.temperature_k": 0.0})
        spread = spread.model_copy(update={"tilt_rad": 0.0, "reference_rad": 0.0})
    drawn = spread.draw(nominal, count, seed)
    m_x, m_z = equilibrium.grid(drawn.ensemble(VOLT, VOLT), LEVELS, warm=kind == "real", threads=1)
    rng = np.random.default_rng(seed)
    for j in range(count):
        g_x, g_z = _conductances(kind, drawn, j, m_x[j], m_z[j])
        across = VOLT / (1 + COMMON_OHM * (g_x + g_z))
        x, z = (g * across + noise_a * rng.standard_normal(len(LEVELS)) for g in (g_x, g_z))
        sure = np.ones(len(LEVELS), dtype=bool)
        sweep = SweepData(f"{j}", LEVELS, x, z, sure, VOLT, len(LEVELS), 0.0, 1.0)
        yield Draw(m_x[j], m_z[j], g_x, g_z, sweep)


def _conductances(
    kind: str, drawn: Population, at: int, m_x: Array, m_z: Array
) -> tuple[Array, Array]:
    model = drawn.one(at)
    if kind == "ideal":
        return model.x.siemens(m_x, VOLT), model.z.siemens(m_z, VOLT)
    m = np.stack((m_x, np.zeros_like(m_x), m_z), axis=-1)
    along, up = model.layer.fields_t(LEVELS)
    b = np.stack((along, np.zeros_like(along), up - model.layer.hz_t), axis=-1)
    return model.x.conductance_s(m, b, VOLT), model.z.conductance_s(m, b, VOLT)


def nearest_law(m_x: Array, m_z: Array) -> Array:
    """(k, k2, hz, I_off) of the planar law nearest to a response at :data:`LEVELS`, A."""

    def miss(p: Array) -> Array:
        u = solve(LEVELS - p[3], p[0], p[1], p[2])
        return np.concatenate((u - m_x, np.sqrt(1 - u * u) - m_z))

    return np.asarray(
        least_squares(
            miss, (6e-3, 3e-3, 2e-3, 0.0), x_scale=[1e-3] * 4,
            bounds=([1e-4, 0, 1e-5, -0.02], [0.1, 0.1, 0.1, 0.02]),
        ).x
    )  # fmt: skip


@dataclass(frozen=True)
class Count:
    """Errors over standard errors of many calibrations, and the standard errors.

    Attributes:
        parameters: [D, 5] statistical and total, in the order of :data:`PARAMETERS`.
        law, mean: of m_x and m_z, [D, 2, 25], against the nearest law and the mean magnetisation.
        widths: standard errors of the parameters, A, [D, 5], and of m_x and m_z, [D, 2, 25].
        verdicts: of each.
    """

    parameters: dict[str, Array]
    law: dict[str, Array]
    mean: dict[str, Array]
    widths: dict[str, tuple[Array, Array]]
    verdicts: list[str]

    def covered(self, what: str, errors: str) -> Array:
        """Share of the 95 % intervals that hold the truth: [5], or [2, 25]."""
        share: Array = np.mean(np.abs(getattr(self, what)[errors]) < _COVERED, axis=0)
        return share


def count(kind: str, number: int, seed: int, noise_a: float = NOISE_A) -> Count:
    """Calibrate ``number`` junctions of a kind."""
    rows: list[dict[str, Any]] = []
    for draw in draws(kind, number, seed, noise_a):
        found = fit(draw.sweep, COMMON_OHM)
        law = nearest_law(draw.m_x, draw.m_z)
        true = np.array([*law, fit_unit_width(LEVELS, draw.m_x)[0]])
        row: dict[str, Any] = {"verdict": found.verdict}
        level = np.array(found.band.level_a)
        nearest = solve(level - law[3], law[0], law[1], law[2])
        truths = {"law": (nearest, np.sqrt(1 - nearest**2)), "mean": _at(level, draw)}
        read = _at(level, draw, found)
        off = np.array([getattr(found, name) for name in PARAMETERS]) - true
        for errors, one in (("statistical", found.statistical), ("total", found.total)):
            sigma = np.array([getattr(one, name) for name in PARAMETERS])
            band = np.array(found.errors(level, total=errors == "total"))
            row[errors] = {
                "parameters": off / sigma,
                "widths": (sigma, band),
                **{name: (np.array(read) - np.array(m)) / band for name, m in truths.items()},
            }
        rows.append(row)

    def stack(what: str) -> dict[str, Array]:
        return {e: np.array([row[e][what] for row in rows]) for e in ("statistical", "total")}

    widths = {
        e: tuple(np.array([row[e]["widths"][i] for row in rows]) for i in (0, 1))
        for e in ("statistical", "total")
    }
    return Count(
        stack("parameters"), stack("law"), stack("mean"), widths,  # type: ignore[arg-type]
        [row["verdict"] for row in rows],
    )  # fmt: skip


def _at(level: Array, draw: Draw, found: Calibration | None = None) -> tuple[Array, Array]:
    """m_x and m_z at some levels: the mean, or what a calibration makes of the conductances."""
    half = len(LEVELS) // 2
    x, z = (draw.m_x, draw.m_z) if found is None else (found.m_x(draw.g_x), found.m_z(draw.g_z))
    return np.interp(level, LEVELS[:half], x[:half]), np.interp(level, LEVELS[:half], z[:half])


def show(kind: str, errors: str, counted: Count) -> None:
    """Print coverage and mean width of the 95 % intervals."""
    usable = sum(one != "refused" for one in counted.verdicts)
    print(
        f"\n{kind}: {len(counted.verdicts)} calibrations, {usable} not refused; {errors} intervals"
    )
    print(f"{'':14}{'covered':>9}{'mean width: statistical':>26}{'total':>12}")
    wide = {e: 2 * _COVERED * w[0].mean(0) for e, w in counted.widths.items()}
    for i, name in enumerate(PARAMETERS):
        share = counted.covered("parameters", errors)[i]
        s, t = (wide[e][i] * 1e3 for e in ("statistical", "total"))
        print(f"{name.removesuffix('_a'):14}{share:9.1%}{s:23.4f} mA{t:9.4f} mA")
    wide = {e: 2 * _COVERED * w[1].mean((0, 2)) for e, w in counted.widths.items()}
    for i, channel in enumerate(("m_x", "m_z")):
        for against in ("law", "mean"):
            share = counted.covered(against, errors)[i]
            s, t = (wide[e][i] for e in ("statistical", "total"))
            name = f"{channel}, {against}"
            print(f"{name:14}{share.mean():9.1%}{s:26.4f}{t:12.4f}"
                  f"   (least covered level {share.min():.1%})")  # fmt: skip


def main() -> None:
    """Count and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--noise", type=float, default=NOISE_A, help="of one reading, A")
    given = parser.parse_args()
    for kind, errors in (("ideal", "statistical"), ("real", "statistical"), ("real", "total")):
        start = time.perf_counter()
        if errors == "statistical":
            counted = count(kind, given.draws, given.seed, given.noise)
            took = time.perf_counter() - start
        show(kind, errors, counted)
    print(f"\nthe last {given.draws} took {took:.1f} s")


if __name__ == "__main__":
    main()
