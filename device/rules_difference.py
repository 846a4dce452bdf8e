"""Gradient rules that take the difference of readings at neighbouring pre-activations.

All of them fit a straight line through their readings.  Points keep inside the range, so at its
edge a difference is one-sided.  With noise sigma of one reading, without drift:

=========  =====================  ===================  ================
rule       points                 standard error of g  wrong by, h small
=========  =====================  ===================  ================
central    x, x + h, x - h        sigma/(h·√2)         f'''·h²/6
forward    x, x + h               sigma·√2/h           f''·h/2
paired     x + h/2 | x - h/2      sigma·√2/h           f'''·h²/24, and the junctions' mismatch/h
dither     n times x + h, x - h   sigma/(h·√(2n))      f'''·h²/6
=========  =====================  ===================  ================

The step that these errors ask for: :mod:`device.rules_step`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from device.reading import Array, Signals
from device.rules import Estimate
from instruments.sweep import Order

_EVERYWHERE = (-np.inf, np.inf)


def _line(rule: _Difference, x: Array, signals: Signals) -> tuple[Array, Array, Array]:
    """Value at x, slope and its standard error of the straight line through the readings, [B]."""
    at = rule.points(x) if signals.x is None else signals.x
    off = at - at.mean(1, keepdims=True)
    square = (off**2).sum(1)
    if not (square > 0).all():
        raise ValueError(f"the rule {rule.name!r} was read at one point; its step has no room")
    weight = off / square[:, None]
    g = (weight * signals.y).sum(1)
    value = signals.y.mean(1) + g * (x - at.mean(1))
    return value, g, np.sqrt(((weight * signals.sigma_y) ** 2).sum(1))


@dataclass(frozen=True)
class _Difference:
    """A step h, and the range that points keep to; both dimensionless."""

    h: float
    x_range: tuple[float, float] = _EVERYWHERE
    name: ClassVar[str]
    simultaneous: ClassVar[bool] = False
    order: ClassVar[Order] = "sorted"
    #: error of g is noise·sigma/h and bend·h**power times a derivative: for the choice of h
    noise: ClassVar[float]
    power: ClassVar[int]

    def __post_init__(self) -> None:
        if not 0 < self.h < np.inf:
            raise ValueError(f"the step h is {self.h:g}; it has to be above 0")

    def points(self, x: Array) -> Array:
        raise NotImplementedError

    def _inside(self, *columns: Array) -> Array:
        return np.clip(np.stack(columns, axis=1), *self.x_range)


@dataclass(frozen=True)
class Central(_Difference):
    """One junction, three reads one after another: y at x, g from x + h and x - h."""

    name: ClassVar[str] = "sequential central"
    reads: ClassVar[int] = 3
    hardware: ClassVar[str] = "one meter"
    noise: ClassVar[float] = 1 / np.sqrt(2)
    power: ClassVar[int] = 2

    def points(self, x: Array) -> Array:
        """x, x + h, x - h."""
        return self._inside(x, x + self.h, x - self.h)

    def combine(self, x: Array, signals: Signals) -> Estimate:
        """y as read at x."""
        _, g, sigma = _line(self, x, signals)
        return Estimate(signals.y[:, 0], g, sigma)


@dataclass(frozen=True)
class Forward(_Difference):
    """One junction, two reads one after another: y at x, g from there to x + h."""

    name: ClassVar[str] = "sequential forward"
    reads: ClassVar[int] = 2
    hardware: ClassVar[str] = "one meter"
    noise: ClassVar[float] = np.sqrt(2)
    power: ClassVar[int] = 1

    def points(self, x: Array) -> Array:
        """x, x + h; where that is outside the range, x - h."""
        return self._inside(x, np.where(x + self.h > self.x_range[1], x - self.h, x + self.h))

    def combine(self, x: Array, signals: Signals) -> Estimate:
        """y as read at x."""
        _, g, sigma = _line(self, x, signals)
        return Estimate(signals.y[:, 0], g, sigma)


@dataclass(frozen=True)
class Paired(_Difference):
    """Two junctions made alike, the first at x + h/2 and the second at x - h/2; y is their mean.

    Under one field line both points are two lists, one after the other.  A difference of the
    junctions at the same x, m, becomes an error m/h of g.

    Args:
        second_source: each junction has a field line with a source of its own, and both are read
            at once.
    """

    second_source: bool = False
    reads: ClassVar[int] = 2
    noise: ClassVar[float] = np.sqrt(2)
    power: ClassVar[int] = 2

    @property
    def name(self) -> str:  # type: ignore[override]
        """Says whether it is two lists."""
        return "paired, two sources" if self.second_source else "paired, two lists"

    @property
    def simultaneous(self) -> bool:  # type: ignore[override]
        """Only with a source each."""
        return self.second_source

    @property
    def hardware(self) -> str:
        """What it takes."""
        sources = ", a field line and a source each" if self.second_source else ", one field line"
        return f"two junctions made alike{sources}"

    def points(self, x: Array) -> Array:
        """x + h/2 of the first junction, x - h/2 of the second."""
        return self._inside(x + self.h / 2, x - self.h / 2)

    def combine(self, x: Array, signals: Signals) -> Estimate:
        """y is the mean of both, at the edge of the range moved to x along the slope."""
        return Estimate(*_line(self, x, signals))


@dataclass(frozen=True)
class Dither(_Difference):
    """One junction, x + h and x - h in turn within the list, demodulated afterwards.

    The points of an element follow each other: what drifts more slowly than that falls out.  y is
    the mean, which a bend of the response moves by f''·h²/2.

    Args:
        periods: how often.
    """

    periods: int = 2
    name: ClassVar[str] = "dither"
    hardware: ClassVar[str] = "one meter"
    order: ClassVar[Order] = "given"
    power: ClassVar[int] = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.periods < 1:
            raise ValueError(f"a dither has at least one period, not {self.periods}")

    @property
    def reads(self) -> int:
        """Two a period."""
        return 2 * self.periods

    @property
    def noise(self) -> float:  # type: ignore[override]
        """Falls with the root of the periods."""
        return float(1 / np.sqrt(2 * self.periods))

    def points(self, x: Array) -> Array:
        """x + h and x - h, in turn; every other period the other way round.

        So the field turns half as often, and of a drift that is steady nothing is left with an
        even number of periods.
        """
        pairs = [(x + self.h, x - self.h), (x - self.h, x + self.h)]
        return self._inside(*(one for at in range(self.periods) for one in pairs[at % 2]))

    def combine(self, x: Array, signals: Signals) -> Estimate:
        """y is the mean, at the edge of the range moved to x along the slope."""
        return Estimate(*_line(self, x, signals))
