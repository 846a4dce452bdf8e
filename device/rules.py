"""Gradient rules: from a neuron's readings to its activation and its slope.

A rule says at which pre-activations each element is measured, and turns what was read there into y,
g = ∂y/∂x and the standard error of g.  Rules know nothing of benches; a live neuron
(:mod:`device.neurons`) measures for them, all points of a batch in one list.

This page holds the rules that take one point: two reference layers, the slope of a curve, ideal.
Differences are in :mod:`device.rules_difference`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np

from device.calibration import Calibration
from device.curve import ResponseCurve
from device.reading import Array, Signals
from instruments.sweep import Order


class Estimate(NamedTuple):
    """Activation, slope and the slope's standard error as the rule knows it, all [B].

    The error is that of the readings' noise; what a rule is wrong by without noise is not in it.
    """

    y: Array
    g: Array
    sigma_g: Array


class GradientRule(Protocol):
    """How a slope is made.

    Attributes:
        name: as tables call it.
        reads: points per element.
        simultaneous: whether activation and slope come from the same instant.
        hardware: what it takes, in words.
        order: in which a list is measured: "sorted" by level, or "given": an element's points one
            after another.
    """

    @property
    def name(self) -> str: ...
    @property
    def reads(self) -> int: ...
    @property
    def simultaneous(self) -> bool: ...
    @property
    def hardware(self) -> str: ...
    @property
    def order(self) -> Order: ...

    def points(self, x: Array) -> Array:
        """Pre-activations to measure for elements at x [B], dimensionless, [B, k]."""

    def combine(self, x: Array, signals: Signals) -> Estimate:
        """What the signals at the points, arrays [B, k], say of the elements at x [B]."""


class _OnePoint:
    """A rule that measures at x itself."""

    reads: ClassVar[int] = 1
    simultaneous: ClassVar[bool] = True
    order: ClassVar[Order] = "sorted"

    def points(self, x: Array) -> Array:
        """x itself, [B, 1]."""
        return x[:, None]


def spread_of(function: Callable[[Array], Array], at: Array, sigma: Array) -> Array:
    """Standard deviation of a function of a normal variable, to second order in sigma.

    f'² sigma² + f''² sigma⁴/2, both derivatives as differences over ±sigma.
    """
    high, low, middle = function(at + sigma), function(at - sigma), function(at)
    result: Array = np.hypot((high - low) / 2, (high + low - 2 * middle) / np.sqrt(2))
    return result


def _second(rule: str, signals: Signals) -> tuple[Array, Array]:
    if signals.m_z is None or signals.sigma_z is None:
        raise ValueError(
            f"the rule {rule!r} needs a z reference layer, and this device has one read-out; "
            "choose a difference or the slope of the curve"
        )
    return signals.m_z[:, 0], signals.sigma_z[:, 0]


@dataclass(frozen=True)
class TwoReference(_OnePoint):
    """g = gain·m_z² (arXiv 2409.02528): exact for a tanh.

    For a response near to it g is off by some 0.02 RMS, for a bare perpendicular layer by 0.2.  Its
    mean is too large by gain·sigma_z², which is 0.01 at 10 % noise.

    Args:
        gain: scale over unit width, s/I0.
    """

    gain: float = 1.0
    name: ClassVar[str] = "two-reference"
    hardware: ClassVar[str] = "x and z reference layers, two meters"

    def combine(self, x: Array, signals: Signals) -> Estimate:
        """Squares of m_z."""
        m_z, sigma = _second(self.name, signals)

        def law(m: Array) -> Array:
            return self.gain * m**2

        return Estimate(signals.y[:, 0], law(m_z), spread_of(law, m_z, sigma))


def angle(m_x: Array, m_z: Array, sigma_x: Array, sigma_z: Array) -> Array:
    """Angle from +x towards +z of the unit vector nearest to both readings, rad, in [0, pi].

    Nearest in the readings' standard errors: by Newton's method from atan2, which it is for equal
    errors (Gauss and Newton's where the square of the distance is not convex).  Below the plane,
    m_z < 0, it is the nearer end of the range.
    """
    both = sigma_x**2 + sigma_z**2
    weigh_x = np.divide(sigma_z**2, both, out=np.full_like(both, 0.5), where=both > 0)
    phi = np.arctan2(m_z, m_x)
    for _ in range(30):
        c, s = np.cos(phi), np.sin(phi)
        pull = (1 - weigh_x) * c * (m_z - s) - weigh_x * s * (m_x - c)
        straight = weigh_x * s**2 + (1 - weigh_x) * c**2
        bend = weigh_x * c * (m_x - c) + (1 - weigh_x) * s * (m_z - s)
        step = pull / (straight + np.maximum(bend, 0.0) + 1e-12)
        phi = phi + np.clip(step, -0.3, 0.3)
        if np.abs(step).max(initial=0.0) < 1e-9:
            break
    phi = np.mod(phi + np.pi / 2, 2 * np.pi) - np.pi / 2  # [-pi/2, 3 pi/2)
    result: Array = np.clip(phi, 0.0, np.pi)
    return result


@dataclass(frozen=True)
class CalibratedTwoReference(_OnePoint):
    """The planar law's slope at the angle of both readings: exact for a planar layer at T = 0.

        g = s·c³/(hz + k·c³ + 3·k2·c³·(1 - c²)),     c = sin(angle) = m_z

    Both readings count by their errors, and the angle stays in [0, pi]: as a function of m_z alone
    the law has a pole at m_z near -(hz/k)^(1/3), which noise reaches.

    Args:
        k_a, k2_a, hz_a: of the planar law, fitted to this junction, A.
        scale_a: field-line current per unit of x, s, A.
    """

    k_a: float
    k2_a: float
    hz_a: float
    scale_a: float
    name: ClassVar[str] = "calibrated two-reference"
    hardware: ClassVar[str] = "x and z reference layers, two meters"

    @classmethod
    def of(cls, calibration: Calibration, scale_a: float | None = None) -> CalibratedTwoReference:
        """With the parameters that a calibration has found; scale None: the unit width."""
        scale = calibration.unit_width_a if scale_a is None else scale_a
        return cls(calibration.k_a, calibration.k2_a, calibration.hz_a, scale)

    def law(self, phi: Array) -> Array:
        """Slope at an angle; outside [0, pi] that at the nearer end, which is 0."""
        c = np.sin(np.clip(phi, 0.0, np.pi))
        c3 = c**3
        down = self.hz_a + self.k_a * c3 + 3 * self.k2_a * c3 * (1 - c**2)
        result: Array = self.scale_a * c3 / down
        return result

    def combine(self, x: Array, signals: Signals) -> Estimate:
        """The law at the angle of both readings."""
        m_z, sigma_z = _second(self.name, signals)
        m_x, sigma_x = signals.y[:, 0], signals.sigma_y[:, 0]
        phi = angle(m_x, m_z, sigma_x, sigma_z)
        across = np.hypot(np.sin(phi) * sigma_z, np.cos(phi) * sigma_x)
        sigma = np.divide(
            sigma_x * sigma_z, across, out=np.maximum(sigma_x, sigma_z), where=across > 0
        )
        return Estimate(m_x, self.law(phi), spread_of(self.law, phi, sigma))


@dataclass(frozen=True)
class CurveSlope(_OnePoint):
    """g is the slope of a curve that was measured beforehand; y is read now.

    It knows nothing of what the junction has done since.

    Args:
        curve: y against the dimensionless x of the neuron.
    """

    curve: ResponseCurve
    name: ClassVar[str] = "slope of the curve"
    hardware: ClassVar[str] = "one meter, and a sweep beforehand"
    simultaneous: ClassVar[bool] = False

    def combine(self, x: Array, signals: Signals) -> Estimate:
        """The curve's slope at x."""
        return Estimate(signals.y[:, 0], self.curve.slope(x), self.curve.slope_error(x))


@dataclass(frozen=True)
class Ideal(_OnePoint):
    """g from a slope that is known: for tests, twins and what a rule could be at best.

    Args:
        slope: ∂y/∂x as a function of x.
        name: as tables call it.
    """

    slope: Callable[[Array], Array]
    name: str = "ideal"
    hardware: ClassVar[str] = "a response that is known"
    simultaneous: ClassVar[bool] = False

    def combine(self, x: Array, signals: Signals) -> Estimate:
        """The known slope at x."""
        return Estimate(signals.y[:, 0], self.slope(x), np.zeros(len(x)))


def shaped(signals: Signals, shape: tuple[int, ...], x: Array | None = None) -> Signals:
    """Signals with other array shapes, as a rule takes them; x: where they were measured."""
    arrays: dict[str, Any] = {
        name: None if (value := getattr(signals, name)) is None else np.reshape(value, shape)
        for name in ("y", "m_z", "sigma_y", "sigma_z", "valid")
    }
    return Signals(
        **arrays, reads=signals.reads, bench_time_s=signals.bench_time_s,
        x=None if x is None else np.reshape(x, shape),
    )  # fmt: skip


def side_by_side(first: Signals, second: Signals, x: Array) -> Signals:
    """Activations of two junctions, [B] each, as two columns at points x [B, 2]."""
    return Signals(
        np.stack((first.y, second.y), 1), None,
        np.stack((first.sigma_y, second.sigma_y), 1), None,
        np.stack((first.valid, second.valid), 1),
        first.reads + second.reads, first.bench_time_s + second.bench_time_s, x,
    )  # fmt: skip
