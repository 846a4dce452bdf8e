"""Gradient rules on three kinds of junctions, with noise and spread: one Markdown table.

python benchmarks/gradients.py [--junctions 8] [--batch 120] [--json FILE]

The simulator's physics makes the responses, without instruments between: the bench would take hours
for all of this.  What follows is the real thing: calibration, steps, rules, live neurons.

- planar: the law itself, at T = 0, near to tanh;
- disc: micromagnetics of a disc of 60 nm with a bias of 20 mT, at T = 0;
- bare: the preset bare-perpendicular at 300 K, averaged over the sphere.

Noise is normal, of each reading of m_x and m_z, in parts of the full magnetisation (0 stands for
1e-6); sweeps have it too.  Spread is the standard deviation of k, k2 and hz, each for itself, and
for the disc of its bias and of the field per ampere.  The reference is the exact slope of y.
A cell holds cosine / ratio of norms / RMS error of g.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from scipy.interpolate import CubicSpline

from db import NullRecorder
from device import fit
from device.reading import CalibrationError
from device.rules_comparison import RuleResult, compare_rules
from instruments import SweepData
from sim_backend.llg.disc import Magnet
from sim_backend.llg.element import Element
from sim_backend.llg.presets import find_preset
from sim_backend.llg.response import boltzmann_mean, planar_angle

NOISES, SPREADS = (0.0, 0.01, 0.03, 0.10), (0.0, 0.10, 0.30)
_WIDTH_A, _RANGE_A = 9e-3, 40e-3  # nominal unit width, and what is swept to each side
_CENTER_S, _SWING_S = 7.4e-5, 2.4e-5  # G = centre + swing·m
_VOLT = 0.02
Response = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


def _factors(rng: np.random.Generator, spread: float, count: int) -> np.ndarray:
    return np.maximum(1 + spread * np.clip(rng.normal(size=count), -2, 2), 0.2)


def planar(rng: np.random.Generator, spread: float) -> Response:
    """The planar law; unit width of the nominal one 1.41 k."""
    k, k2, hz = np.array([1.0, 0.64, 0.34]) * _factors(rng, spread, 3) * _WIDTH_A / 1.41
    half = np.linspace(0, 1.05 * _RANGE_A, 1201)
    angle = planar_angle(half, k, hz, k2)
    return _mirrored(half, np.sin(angle), np.cos(angle))


_MAGNET: list[Magnet] = []
_DISCS: dict[float, Response] = {}


def disc(rng: np.random.Generator, spread: float) -> Response:
    """A micromagnetic disc, its bias and its field per ampere spread."""
    bias, per_a = np.array([20e-3, 83e-3 / _WIDTH_A]) * _factors(rng, spread, 2)
    if not _MAGNET:
        _MAGNET.append(Magnet(Element("disc", 60e-9, None, 1.4e-9, 1e6, 6e5, 15e-12, None)))
    if bias not in _DISCS:
        half = np.linspace(0, 0.6, 61)
        field = np.stack((half, np.zeros(61), np.full(61, bias)), axis=1)
        mean = _MAGNET[0].rest(field).mean(1)
        _DISCS[bias] = _mirrored(half, mean[0], mean[2])
    response = _DISCS[bias]
    return lambda current: response(np.clip(current * per_a, -0.6, 0.6))


def bare(rng: np.random.Generator, spread: float) -> Response:
    """The preset bare-perpendicular; its field per ampere makes the unit width the nominal one."""
    nominal = find_preset("bare-perpendicular").layer
    k, hz = _factors(rng, spread, 2)
    layer = nominal.model_copy(
        update={"k_t": nominal.k_t * k, "hz_t": nominal.hz_t * hz,
                "field_constant_t_per_a": 3.28e-3 / _WIDTH_A}
    )  # fmt: skip
    half = np.linspace(0, 1.05 * _RANGE_A, 241)
    return _mirrored(half, *boltzmann_mean(layer, half))


def _mirrored(half: np.ndarray, m_x: np.ndarray, m_z: np.ndarray) -> Response:
    whole = np.concatenate((-half[:0:-1], half))
    x = CubicSpline(whole, np.concatenate((-m_x[:0:-1], m_x)))
    z = CubicSpline(whole, np.concatenate((m_z[:0:-1], m_z)))
    return lambda current: (x(current), z(current))


class Bench:
    """Answers as a bench does, from responses and normal noise."""

    def __init__(self, responses: dict[str, Response], noise: float, seed: int) -> None:
        self.file = SimpleNamespace(
            backend="sim", readout=SimpleNamespace(common_resistance=0.0),
            calibration=SimpleNamespace(range=_RANGE_A, points=121),
        )  # fmt: skip
        self.clock = SimpleNamespace(time_s=lambda: 0.0)
        self.recorder = NullRecorder()
        self._responses, self._noise = responses, max(noise, 1e-6)
        self._rng = np.random.default_rng(seed)

    def sweep(self, junction: str, levels: np.ndarray, **_: object) -> SweepData:
        level = np.asarray(levels, np.float64)
        parts = [
            _VOLT * (_CENTER_S + _SWING_S * (m + self._noise * self._rng.normal(size=len(level))))
            for m in self._responses[junction](level)
        ]
        return SweepData(
            junction, level, *parts, np.ones(len(level), bool), _VOLT, len(level), 0.0, 0.0
        )


def cell(
    make: Callable[[np.random.Generator, float], Response], noise: float, spread: float,
    junctions: int, batch: int,
) -> tuple[list[RuleResult], int]:  # fmt: skip
    """All rules on one set of junctions, and how many calibrations were refused."""
    rng = np.random.default_rng(7)  # the same junctions and inputs for every noise
    responses = {f"J{j + 1}": make(rng, spread) for j in range(junctions)}
    x = rng.normal(size=(500 + batch, junctions))
    bench = Bench(responses, noise, 11)
    calibrations, sweeps, refused = [], [], 0
    up = np.linspace(-_RANGE_A, _RANGE_A, 121)
    for name in responses:
        data = bench.sweep(name, np.concatenate((up, up[::-1])))
        try:
            one = fit(data, 0.0)
        except CalibrationError:
            refused += 1
            continue
        refused += one.verdict == "refused"
        calibrations.append(replace(one, verdict="doubtful"))  # compared all the same
        sweeps.append(data)

    def known(j: int, at: np.ndarray) -> np.ndarray:
        c = calibrations[j]
        current, step = c.center_a + c.unit_width_a * at, 1e-6
        high, low = (responses[c.junction](current + s * step)[0] for s in (1, -1))
        # y is what the calibration makes of m_x.
        return c.unit_width_a * (high - low) / (2 * step) * _SWING_S / c.b_x_s

    n = len(calibrations)
    found, _ = compare_rules(bench, calibrations, sweeps, x[:500, :n], x[500:, :n], known)  # type: ignore[arg-type]
    return found, refused


def main() -> None:
    """Compare and print."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--junctions", type=int, default=8)
    options.add_argument("--batch", type=int, default=120)
    options.add_argument("--json", type=Path)
    chosen = options.parse_args()
    rows: list[dict[str, object]] = []
    start = time.perf_counter()
    refused = 0
    for name, make in (("planar", planar), ("disc", disc), ("bare", bare)):
        for spread in SPREADS:
            for noise in NOISES:
                found, bad = cell(make, noise, spread, chosen.junctions, chosen.batch)
                refused += bad
                if not rows:
                    heads = ("truth", "spread", "noise", *(one.rule for one in found))
                    print(f"| {' | '.join(heads)} |\n{'|---' * len(heads)}|")
                cells = (
                    f"{a.cosine:.4f} / {a.norm_ratio:.3f} / {a.rms:.3f}"
                    for a in (one.agreement for one in found)
                )
                print(f"| {name} | {spread:.0%} | {noise:.0%} | {' | '.join(cells)} |", flush=True)
                rows += [
                    {"truth": name, "noise": noise, "spread": spread, "rule": one.rule,
                     **one.agreement._asdict(), "sigma_g": one.sigma_g,
                     "steps": [step.h for step in one.steps.values()]}
                    for one in found
                ]  # fmt: skip
    print(f"\n{refused} calibrations were refused and used all the same")
    print(f"{time.perf_counter() - start:.0f} s of wall time")
    if chosen.json is not None:
        chosen.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
