"""Statistics of readings in a row: noise, slow noise, jumps, hysteresis, trends.  Pure functions.

Values along the last axis are in the order of measuring, so that one junction [N] and many [M, N]
are the same call.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Array = NDArray[np.float64]

WINDOW = 9  # levels over which two directions are compared, as in a calibration
_MAD = 1.4826  # median of |value| to standard deviation, for a normal distribution
#: a step is called a jump above so many standard errors, and above this change in itself
_JUMP_SIGMA, _JUMP = 6.0, 0.05


def white_noise(values: Array) -> Array:
    """Standard deviation of one reading, from the second differences: what changes slowly along
    the row, a response or a drift, is not in it.

    Args:
        values: [..., N], N >= 3.
    """
    second = np.diff(values, 2, axis=-1)
    result: Array = _MAD * np.median(np.abs(second), axis=-1) / np.sqrt(6)
    return result


def allan_deviation(values: Array, tau0_s: float) -> tuple[Array, Array]:
    """Overlapping Allan deviation of readings taken every ``tau0_s`` (D. W. Allan, Proc. IEEE 54,
    221 (1966); overlapping estimate, IEEE Std 1139; from memory).

    White noise falls as 1/sqrt(tau), a flat part is 1/f noise, a rise is drift.

    Args:
        values: [N], N >= 2.

    Returns:
        Averaging times tau, s, in octaves up to N/4 readings, and the deviations.
    """
    n = len(values)
    sizes = [2**k for k in range(int(np.log2(max(n // 4, 1))) + 1)]
    sums = np.concatenate(([0.0], np.cumsum(values)))
    found = []
    for m in sizes:
        means = (sums[m:] - sums[:-m]) / m
        step = means[m:] - means[:-m]
        found.append(np.sqrt(0.5 * np.mean(step**2)))
    return tau0_s * np.array(sizes, dtype=np.float64), np.array(found)


def jumps(values: Array) -> tuple[Array, Array]:
    """Sudden steps along a row: three readings after against three before, the local slope taken
    off.  A single wrong reading is no step.

    Args:
        values: [..., N], N >= 8, in units in which 0.05 matters.

    Returns:
        Number of jumps and the largest step, [...]; the step is 0 where there is none.
    """
    v = sliding_window_view(_without_spikes(values), 6, axis=-1)
    rise = (v[..., 2] - v[..., 0] + v[..., 5] - v[..., 3]) / 4  # slope within the two halves
    size = np.abs(v[..., 3:].mean(-1) - v[..., :3].mean(-1) - 3 * rise)
    error = 1.71 * white_noise(values)[..., None]
    high = (size > _JUMP_SIGMA * error) & (size > _JUMP)
    # A jump shows in neighbouring windows too: it is where it is largest.
    ends = [(0, 0)] * (size.ndim - 1) + [(5, 5)]
    peak = sliding_window_view(np.pad(size, ends), 11, axis=-1).max(-1)
    count = (high & (size == peak)).sum(-1)
    return count.astype(np.float64), np.where(high, size, 0.0).max(-1)


def _without_spikes(values: Array) -> Array:
    """Single readings that stick out on the same side of both neighbours give way to their mean."""
    before, here, after = values[..., :-2], values[..., 1:-1], values[..., 2:]
    up, down = here - before, here - after
    limit = _JUMP_SIGMA * np.sqrt(2) * white_noise(values)[..., None]
    less, more = np.sort(np.abs(np.stack((up, down))), axis=0)
    wrong = (up * down > 0) & (less > limit) & (less > more / 2)
    calm = values.copy()
    calm[..., 1:-1] = np.where(wrong, (before + after) / 2, here)
    return calm


def largest_difference(one: Array, other: Array, window: int = WINDOW) -> tuple[Array, Array]:
    """Largest mean difference of two rows at the same levels, over neighbouring levels.

    Args:
        one, other: [..., N], N >= window, in the order of the levels.

    Returns:
        The difference without its sign and its standard error, both [...].
    """
    window = min(window, one.shape[-1])
    difference = one - other  # the response itself is not in it, however it bends
    means = sliding_window_view(difference, window, axis=-1).mean(-1)
    return np.abs(means).max(-1), white_noise(difference) / np.sqrt(window)


def trend(time_s: Array, values: Array) -> tuple[Array, Array]:
    """Slope of the least-squares line and its standard error from the scatter about it, 1/s.

    Args:
        time_s: [N], N >= 3, not all the same.
        values: [..., N].
    """
    t = time_s - time_s.mean()
    spread = float(t @ t)
    centred = values - values.mean(-1, keepdims=True)
    slope = centred @ t / spread
    left = centred - slope[..., None] * t
    error = np.sqrt((left**2).sum(-1) / (len(t) - 2) / spread)
    return slope, error


def quantiles(values: Array) -> dict[str, float]:
    """Mean, spread and quantiles over an array of junctions; NaN are left out.

    Returns:
        n, mean, sd (NaN for one value), low (5 %), median, high (95 %).
    """
    kept = values[np.isfinite(values)]
    if not len(kept):
        return {"n": 0.0}
    low, median, high = np.quantile(kept, (0.05, 0.5, 0.95))
    return {
        "n": float(len(kept)),
        "mean": float(kept.mean()),
        "sd": float(kept.std(ddof=1)) if len(kept) > 1 else float("nan"),
        "low": float(low),
        "median": float(median),
        "high": float(high),
    }
