"""Points of a noisy curve, smoothed by their own noise.

The natural cubic smoothing spline at the points x_i is the linear map (Green and Silverman,
"Nonparametric Regression and Generalized Linear Models", 1994, chapter 2)

    H = (1 + lambda W⁻¹ K)⁻¹,      W = diag(1/sigma_i²),      K = Q R⁻¹ Qᵀ,

K being the integral of the squared second derivative as a form in the values.  lambda is the one
with the least expected error of prediction: Mallows' C_L (Technometrics 15, 661 (1973)),

    sum (y - H y)²/sigma² + 2·1.4·trace H,

which needs to know the noise and nothing else; nobody tunes.  The 1.4 (Kim and Gu, J. R. Stat.
Soc. B 66, 337 (2004)) is against draws of noise for which C_L by itself hardly smooths: for a tanh
it takes 30 % off the mean error of the slope and half off that of the worst tenth.

H W⁻¹ is the covariance of the smoothed values (Wahba, J. R. Stat. Soc. B 45, 133 (1983)): noise and
smoothing error together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
#: More points than this are merged by neighbours first: the cost goes with the third power.
MOST_KNOTS = 400
_SAME = 1e-9
_STRENGTHS = 121  # values of lambda that are tried
_COSTLY = 1.4  # what a parameter of the smoothing costs, in units of C_L's
_ENOUGH = 20  # repeated readings from which a noise is taken


@dataclass(frozen=True)
class Smoothed:
    """Smoothed values.

    Attributes:
        y: at the points, [K].
        covariance: of y, [K, K].
        freedom: effective number of parameters, trace of H.
    """

    y: Array
    covariance: Array
    freedom: float


def smooth(x: Array, y: Array, sigma: Array) -> Smoothed:
    """Smooth values at rising x by their standard errors.

    Args:
        x: points, rising, [K]; any unit.
        y: values, [K].
        sigma: their standard errors, [K]; all 0: the values are exact and stay as they are.
    """
    if len(x) < 4 or not sigma.any():
        return Smoothed(y, np.diag(sigma**2), float(len(x)))
    t = (x - x[0]) / (x[-1] - x[0])
    d, vectors = np.linalg.eigh(sigma[:, None] * _roughness(t) * sigma)
    d = np.maximum(d, 0.0)
    d[:2] = 0.0  # straight lines are not rough
    z = vectors.T @ (y / sigma)
    lam = np.geomspace(1e-3 / d[-1], 1e3 / d[2], _STRENGTHS)[:, None]
    kept = 1 / (1 + lam * d)
    risk = (((1 - kept) * z) ** 2).sum(1) + 2 * _COSTLY * kept.sum(1)
    best = kept[int(np.argmin(risk))]
    back = sigma[:, None] * vectors
    return Smoothed(back @ (best * z), (back * best) @ back.T, float(best.sum()))


def _roughness(t: Array) -> Array:
    """K: yᵀ K y is the integral of the squared second derivative of the natural spline, [K, K]."""
    h = np.diff(t)
    inner = np.arange(len(h) - 1)
    q = np.zeros((len(t), len(inner)))
    q[inner, inner] = 1 / h[:-1]
    q[inner + 1, inner] = -1 / h[:-1] - 1 / h[1:]
    q[inner + 2, inner] = 1 / h[1:]
    r = np.diag((h[:-1] + h[1:]) / 3)
    r[inner[1:], inner[:-1]] = r[inner[:-1], inner[1:]] = h[1:-1] / 6
    rough: Array = q @ np.linalg.solve(r, q.T)
    return (rough + rough.T) / 2


def noise(x: Array, y: Array) -> float:
    """Standard error of one reading, from the readings alone.

    The smaller of two: the scatter of readings at the same x, in which hysteresis and drift are as
    well, and the median distance from the straight line through both neighbours (after Gasser,
    Sroka and Jennen-Steinmetz, Biometrika 73, 625 (1986)), in which the curve's bend is.

    Args:
        x, y: readings in any order, [N].
    """
    found = []
    level, which, counts = levels(x)
    mean = np.bincount(which, y) / counts
    spare = len(x) - len(level)
    if spare >= _ENOUGH:
        found.append(float(np.sqrt(((y - mean[which]) ** 2).sum() / spare)))
    if len(level) >= 5:
        left = (level[2:] - level[1:-1]) / (level[2:] - level[:-2])
        off = mean[1:-1] - left * mean[:-2] - (1 - left) * mean[2:]
        share = 1 / counts[1:-1] + left**2 / counts[:-2] + (1 - left) ** 2 / counts[2:]
        found.append(float(np.median(np.abs(off) / np.sqrt(share))) / 0.6745)
    return min(found, default=0.0)


def levels(x: Array) -> tuple[Array, NDArray[np.intp], NDArray[np.intp]]:
    """Different x, rising, which of them each x is, and how many readings each has.

    What is closer than :data:`_SAME` of the range is the same level, written with another last
    digit.
    """
    order = np.argsort(x, kind="stable")
    gaps = np.diff(x[order])
    new = np.concatenate(([True], gaps > _SAME * (x.max() - x.min())))
    which = np.empty(len(x), np.intp)
    which[order] = np.cumsum(new) - 1
    counts = np.bincount(which)
    return np.bincount(which, x) / counts, which, counts


def knots(x: Array, y: Array) -> tuple[Array, Array, Array]:
    """Levels, mean values there and number of readings; at most :data:`MOST_KNOTS` levels.

    Readings of one level are averaged; beyond that number so are neighbours, in parts of equal
    count.
    """
    level, which, counts = levels(x)
    total = np.bincount(which, y)
    if len(level) <= MOST_KNOTS:
        return level, total / counts, counts.astype(np.float64)
    cuts = np.linspace(0, len(level), MOST_KNOTS + 1).astype(np.intp)[:-1]
    readings = np.add.reduceat(counts, cuts)
    return (
        np.add.reduceat(level * counts, cuts) / readings,
        np.add.reduceat(total, cuts) / readings,
        readings.astype(np.float64),
    )
