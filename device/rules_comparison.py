"""All gradient rules on the same junctions, against the slope of independent sweeps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from device.calibration import Calibration
from device.calibration_sweep import measure
from device.curve import ResponseCurve, sweep_curve
from device.mtj import TwoReferenceMTJ
from device.neurons import LiveNeuron
from device.reading import Array, InvalidReadingError, Mask
from device.rules import CalibratedTwoReference, CurveSlope, GradientRule, Ideal, TwoReference
from device.rules_difference import Central, Dither, Forward, Paired
from device.rules_step import Step, choose_step
from device.table import slope
from device.twin import PlanarTwin, fit_twin
from instruments import Bench, SweepData

_START = 0.5  # of the choice of a step
Slope = Callable[[Array], Array]


class Agreement(NamedTuple):
    """How gradients agree with a reference: cosine, ratio of norms, RMS of the difference."""

    cosine: float
    norm_ratio: float
    rms: float


def agreement(g: Array, reference: Array) -> Agreement:
    """Compare gradients with a reference, both flattened.

    Raises:
        ValueError: nothing to compare, or a reference without a slope anywhere.
    """
    g, reference = np.ravel(g), np.ravel(reference)
    size, whole = np.linalg.norm(g), np.linalg.norm(reference)
    if not whole > 0:
        raise ValueError("the reference has no slope anywhere; there is nothing to compare with")
    cosine = float(g @ reference / (size * whole)) if size > 0 else 0.0
    return Agreement(cosine, float(size / whole), float(np.sqrt(np.mean((g - reference) ** 2))))


@dataclass
class RuleResult:
    """One rule on all junctions.

    Attributes:
        rule: its name.
        hardware: what it takes.
        simultaneous: whether activation and slope come from the same instant.
        reads_per_neuron: points it wants for an element.
        agreement: with the slope of the independent sweeps.
        sigma_g: the error that its readings' noise makes, as it says itself, RMS.
        x, g, reference: what was compared, [M]; elements in doubt are left out.
        reads: junction points measured, fill points among them.
        bench_time_s: bench time, s.
        steps: chosen steps by junction.
    """

    rule: str
    hardware: str
    simultaneous: bool
    reads_per_neuron: int
    agreement: Agreement
    sigma_g: float
    x: Array
    g: Array
    reference: Array
    reads: int
    bench_time_s: float
    steps: dict[str, Step] = field(default_factory=dict)


@dataclass
class _Junction:
    """What is known of a junction before its gradients are measured."""

    device: TwoReferenceMTJ
    curve: ResponseCurve
    twin: PlanarTwin

    def twin_slope(self, x: Array) -> Array:
        c = self.device.calibration
        return self.device.scale_a * self.twin.slope(c.center_a + self.device.scale_a * x)


def step_rules(
    curve: ResponseCurve, x: Array, sigma: float, x_range: tuple[float, float]
) -> list[tuple[GradientRule, Step]]:
    """The differences that one junction can make, each with its step for these data."""
    return [
        choose_step(Central(_START, x_range), curve, x, sigma),
        choose_step(Forward(_START, x_range), curve, x, sigma),
        choose_step(Dither(_START, x_range), curve, x, sigma),
    ]


def compare_rules(
    bench: Bench, calibrations: Sequence[Calibration], sweeps: Sequence[SweepData],
    train_x: Array, x: Array, known: Callable[[int, Array], Array] | None = None,
) -> tuple[list[RuleResult], float]:  # fmt: skip
    """Measure the same batch by every rule.

    Args:
        bench: open.
        calibrations, sweeps: of usable junctions, n of them.
        train_x: pre-activations by which steps are chosen, [T, n].
        x: those at which the gradients are compared, [B, n].
        known: ∂y/∂x of neuron j at x inside its range, where it is known; None: from two sweeps
            that are made for it.

    Returns:
        A result a rule; and the RMS error of the reference itself, from the difference of its two
        sweeps.

    Raises:
        CalibrationError, CurveError: a sweep that makes no reference.
        InvalidReadingError: all readings of a rule stayed in doubt.
    """
    common = bench.file.readout.common_resistance
    junctions = [
        _Junction(TwoReferenceMTJ(bench, one), sweep_curve(data, one), fit_twin([data], common))
        for one, data in zip(calibrations, sweeps, strict=True)
    ]
    inside = np.stack(
        [np.clip(x[:, j], *one.device.x_range) for j, one in enumerate(junctions)], axis=1
    )
    checks = [] if known else [_sweep_slopes(bench, junctions) for _ in range(2)]

    def reference(j: int, at: Array) -> Array:
        return known(j, at) if known else np.mean([slopes[j](at) for slopes in checks], axis=0)

    results: dict[str, _Tally] = {}
    for j, one in enumerate(junctions):
        for rule, step in _rules(one, train_x[:, j]):
            tally = results.setdefault(rule.name, _Tally(rule))
            neuron = LiveNeuron(one.device, rule)
            tally.add(neuron, inside[:, j], reference(j, inside[:, j]), step)
    for j, one in enumerate(junctions if len(junctions) > 1 else []):
        k = (j + 1) % len(junctions)
        pair, said = _pair(one, junctions[k], train_x[:, j])
        neuron = LiveNeuron(one.device, pair, partner=junctions[k].device)
        at = np.clip(inside[:, j], *neuron.x_range)
        # A pair's y is the mean of both, and so is its slope.
        tally = results.setdefault(pair.name, _Tally(pair))
        tally.add(neuron, at, (reference(j, at) + reference(k, at)) / 2, said)
    error = 0.0
    if checks:
        pairs = zip(*checks, inside.T, strict=True)
        apart = [first(at) - second(at) for first, second, at in pairs]
        error = float(np.sqrt(np.mean(np.square(apart))) / 2)
    return [tally.result() for tally in results.values()], error


def _sweep_slopes(bench: Bench, junctions: Sequence[_Junction]) -> list[Slope]:
    """∂y/∂x of each neuron, from a sweep that is made for it."""
    return [_sweep_slope(bench, one) for one in junctions]


def _sweep_slope(bench: Bench, one: _Junction) -> Slope:
    c, scale = one.device.calibration, one.device.scale_a
    by_current = slope(measure(bench, c.junction, purpose="check"), c)
    return lambda x: np.asarray(scale * by_current(c.center_a + scale * x), dtype=np.float64)


def _rules(one: _Junction, x: Array) -> list[tuple[GradientRule, Step | None]]:
    c, scale = one.device.calibration, one.device.scale_a
    return [
        (TwoReference(scale / c.unit_width_a), None),
        (CalibratedTwoReference.of(c, scale), None),
        *step_rules(one.curve, x, c.sigma_x, one.device.x_range),
        (CurveSlope(one.curve), None),
        (Ideal(one.twin_slope, "slope of the twin"), None),
    ]


def _pair(one: _Junction, other: _Junction, x: Array) -> tuple[Paired, Step]:
    low = max(one.device.x_range[0], other.device.x_range[0])
    high = min(one.device.x_range[1], other.device.x_range[1])
    sigma = max(one.device.calibration.sigma_x, other.device.calibration.sigma_x)
    return choose_step(Paired(_START, (low, high)), one.curve, x, sigma, other.curve)


class _Tally:
    """Gradients of one rule, junction by junction."""

    def __init__(self, rule: GradientRule) -> None:
        self.rule = rule
        self.parts: list[tuple[Array, ...]] = []
        self.reads, self.bench_time_s = 0, 0.0
        self.steps: dict[str, Step] = {}

    def add(self, neuron: LiveNeuron, x: Array, reference: Array, step: Step | None) -> None:
        """Measure one neuron."""
        reading = neuron.read(x[:, None], gradient=True)
        assert reading.g is not None and neuron.sigma_g is not None
        sure: Mask = np.isfinite(reading.g[:, 0])
        self.parts.append((x[sure], reading.g[sure, 0], reference[sure], neuron.sigma_g[sure]))
        self.reads += reading.reads
        self.bench_time_s += reading.bench_time_s
        if step is not None:
            self.steps[neuron.device.name] = step

    def result(self) -> RuleResult:
        """What came of it."""
        if not any(len(part[0]) for part in self.parts):
            raise InvalidReadingError(f"{self.rule.name}: all readings stayed in doubt")
        x, g, reference, sigma = (np.concatenate(p) for p in zip(*self.parts, strict=True))
        rule = self.rule
        return RuleResult(
            rule.name, rule.hardware, rule.simultaneous, rule.reads, agreement(g, reference),
            float(np.sqrt(np.mean(sigma**2))), x, g, reference, self.reads, self.bench_time_s,
            self.steps,
        )  # fmt: skip
