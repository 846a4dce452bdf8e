"""Response curves: measured points as a continuous function with a slope.

The points are smoothed by their noise (:mod:`device.curve_smoothing`) and joined by PCHIP, the
shape-preserving piecewise cubic (Fritsch and Carlson, SIAM J. Numer. Anal. 17, 238 (1980)): between
two knots it neither overshoots nor turns, and nothing assumes that the whole is monotone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.interpolate import PchipInterpolator

from device.calibration import Calibration
from device.curve_smoothing import knots, noise, smooth
from device.reading import Array
from device.table import ResponseTable
from instruments import SweepData

_COMPARED = 401  # points of a comparison
_NODES = 513  # of a table: as device.table


class CurveError(ValueError):
    """Points that make no curve, or curves without a common range."""


@dataclass(frozen=True)
class ResponseCurve:
    """A response, made by :func:`make_curve`.

    Attributes:
        x: knots, rising, [K], in ``x_unit``.
        y: smoothed response there, [K], in ``y_unit``.
        sigma_y: standard error of y, smoothing error included, [K].
        sigma_slope: standard error of dy/dx at the knots, [K].
        raw_x, raw_y: the readings that it was made from, [N].
        noise: standard error of one reading.
        freedom: effective number of parameters of the smoothing.
        x_unit, y_unit: units; "1" for a number without one.
        source: where it comes from, in words.
    """

    x: Array
    y: Array
    sigma_y: Array
    sigma_slope: Array
    raw_x: Array
    raw_y: Array
    noise: float
    freedom: float
    x_unit: str = "1"
    y_unit: str = "1"
    source: str = "arrays"

    @cached_property
    def _pieces(self) -> PchipInterpolator:
        with np.errstate(over="ignore"):  # where the slope is below the least number: it is 0
            return PchipInterpolator(self.x, self.y)

    @cached_property
    def _slopes(self) -> PchipInterpolator:
        return self._pieces.derivative()

    @property
    def low(self) -> float:
        """Least x."""
        return float(self.x[0])

    @property
    def high(self) -> float:
        """Largest x."""
        return float(self.x[-1])

    def __call__(self, x: Array) -> Array:
        """y at x, any shape; outside the range the value at its edge."""
        result: Array = self._pieces(np.clip(x, self.low, self.high))
        return result

    def slope(self, x: Array) -> Array:
        """dy/dx at x; outside the range that at its edge."""
        result: Array = self._slopes(np.clip(x, self.low, self.high))
        return result

    def slope_error(self, x: Array) -> Array:
        """Standard error of :meth:`slope` at x."""
        return np.interp(x, self.x, self.sigma_slope)

    @property
    def residuals(self) -> Array:
        """Readings less the curve, [N], in the order of ``raw_x``."""
        return self.raw_y - self(self.raw_x)

    @property
    def rms(self) -> float:
        """Root mean square of the residuals; near ``noise`` where the curve fits."""
        return float(np.sqrt(np.mean(self.residuals**2)))

    def table(self, low: float | None = None, high: float | None = None) -> ResponseTable:
        """The curve on a uniform grid, y and slope, for training; None: the curve's own range."""
        low, high = self.low if low is None else low, self.high if high is None else high
        nodes = np.linspace(low, high, _NODES)
        return ResponseTable(low, high, self(nodes), self.slope(nodes))


def make_curve(
    x: Array,
    y: Array,
    noise_y: float | None = None,
    *,
    x_unit: str = "1",
    y_unit: str = "1",
    source: str = "arrays",
) -> ResponseCurve:
    """A curve from readings.

    Args:
        x, y: readings in any order, [N]; the same x may occur again.
        noise_y: standard error of one reading of y; None: estimated from the readings; 0: they are
            exact, and the curve goes through them.
        x_unit, y_unit, source: as they are kept with the curve.

    Raises:
        CurveError: shapes that differ, a number that is not finite, fewer than 4 different x.
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if x.ndim != 1 or x.shape != y.shape:
        raise CurveError(
            f"{source}: x has shape {list(x.shape)} and y {list(y.shape)}; give two lists of the "
            "same length"
        )
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise CurveError(f"{source}: a value is not finite; leave that reading out")
    level, mean, readings = knots(x, y)
    if len(level) < 4:
        raise CurveError(f"{source}: {len(level)} different x are too few; a curve takes 4")
    error = noise(x, y) if noise_y is None else noise_y
    found = smooth(level, mean, error / np.sqrt(readings))
    return ResponseCurve(
        level, found.y, np.sqrt(np.diag(found.covariance)), _slope_error(level, found.covariance),
        x, y, error, found.freedom, x_unit, y_unit, source,
    )  # fmt: skip


def _slope_error(x: Array, covariance: Array) -> Array:
    """Standard error of the difference quotient between both neighbours of a knot, [K]."""
    at = np.arange(len(x))
    left, right = np.maximum(at - 1, 0), np.minimum(at + 1, len(x) - 1)
    variance = (
        covariance[left, left] + covariance[right, right] - 2 * covariance[left, right]
    ).clip(min=0.0)
    result: Array = np.sqrt(variance) / (x[right] - x[left])
    return result


def sweep_curve(
    data: SweepData, calibration: Calibration, scale_a: float | None = None
) -> ResponseCurve:
    """The activation m_x of a sweep against the dimensionless x of its neuron.

    Args:
        data: the sweep; readings in doubt are left out.
        calibration: of the same junction.
        scale_a: field-line current per unit of x, A; None: the unit width.

    Raises:
        CurveError: too few readings are left.
    """
    scale = calibration.unit_width_a if scale_a is None else scale_a
    m_x, _ = calibration.magnetisation(data)
    x = (data.level_a - calibration.center_a) / scale
    return make_curve(x[data.valid], m_x[data.valid], source=f"sweep of {data.junction}, m_x")


@dataclass(frozen=True)
class Difference:
    """How two curves differ over their common range.

    Attributes:
        low, high: that range, in the unit of x.
        rms, largest: root mean square and largest size of the difference.
        at: where the largest is.
        slope_rms: root mean square of the difference of the slopes.
        chi2: mean square of the difference in its standard errors: near 1 where noise explains it.
    """

    low: float
    high: float
    rms: float
    largest: float
    at: float
    slope_rms: float
    chi2: float


def _common(curves: Sequence[ResponseCurve]) -> tuple[float, float]:
    if not curves:
        raise CurveError("no curves were given")
    for unit in ("x_unit", "y_unit"):
        if len({getattr(one, unit) for one in curves}) > 1:
            raise CurveError(
                f"the curves have different units ({', '.join(getattr(c, unit) for c in curves)})"
            )
    low, high = max(one.low for one in curves), min(one.high for one in curves)
    if not low < high:
        raise CurveError("the curves have no common range")
    return low, high


def compare(one: ResponseCurve, other: ResponseCurve) -> Difference:
    """Compare two curves over their common range.

    Raises:
        CurveError: there is none, or the units differ.
    """
    low, high = _common((one, other))
    x = np.linspace(low, high, _COMPARED)
    off = one(x) - other(x)
    error = np.hypot(np.interp(x, one.x, one.sigma_y), np.interp(x, other.x, other.sigma_y))
    far = int(np.argmax(np.abs(off)))
    with np.errstate(divide="ignore", invalid="ignore"):
        square = np.where(off == 0, 0.0, (off / error) ** 2)
    return Difference(
        low, high, float(np.sqrt(np.mean(off**2))), float(np.abs(off[far])), float(x[far]),
        float(np.sqrt(np.mean((one.slope(x) - other.slope(x)) ** 2))), float(square.mean()),
    )  # fmt: skip


def average(curves: Sequence[ResponseCurve]) -> tuple[ResponseCurve, float]:
    """Mean of several curves over their common range, and how they scatter about it.

    Returns:
        The mean, its standard errors from those of the curves, on the knots of the one with most;
        and the root mean square deviation of a curve from it (0 for one curve alone).

    Raises:
        CurveError: no curves, no common range, or other units.
    """
    low, high = _common(curves)
    finest = max(curves, key=lambda one: len(one.x))
    x = np.unique(np.concatenate(([low], finest.x[(finest.x > low) & (finest.x < high)], [high])))
    values = np.stack([one(x) for one in curves])

    def joint(name: str) -> Array:
        squares = [np.interp(x, one.x, getattr(one, name)) ** 2 for one in curves]
        result: Array = np.sqrt(np.sum(squares, axis=0)) / len(curves)
        return result

    first, count = curves[0], len(curves)
    scatter = float(values.std(0, ddof=1).mean()) if count > 1 else 0.0
    raw_x = np.concatenate([one.raw_x for one in curves])
    inside = (raw_x >= low) & (raw_x <= high)
    mean = ResponseCurve(
        x, values.mean(0), joint("sigma_y"), joint("sigma_slope"),
        raw_x[inside], np.concatenate([one.raw_y for one in curves])[inside],
        float(np.sqrt(np.mean([one.noise**2 for one in curves]))),
        float(np.sum([one.freedom for one in curves])),
        first.x_unit, first.y_unit, f"mean of {count}: {'; '.join(one.source for one in curves)}",
    )  # fmt: skip
    return mean, scatter
