"""Means, shares and their intervals, each with its name."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import norm, t

INTERVAL = "Student's t over seeds"
POOLED_INTERVAL = "Wilson, over the pooled predictions"


def mean_ci95(values: Sequence[float]) -> tuple[float, tuple[float, float] | None]:
    """Mean and 95 % interval by Student's t; one value has no interval (None)."""
    array = np.asarray(values, dtype=np.float64)
    mean = float(array.mean())
    if len(array) < 2:
        return mean, None
    half = float(t.ppf(0.975, len(array) - 1) * array.std(ddof=1) / np.sqrt(len(array)))
    return mean, (mean - half, mean + half)


def wilson95(right: int, tested: int) -> tuple[float, float]:
    """95 % interval of a share, ``right`` of ``tested`` independent predictions.

    E. B. Wilson, J. Am. Stat. Assoc. 22, 209 (1927).  Predictions of several seeds on the same
    samples are not independent: it is then too narrow, and says what one network's test can.
    """
    if not 0 <= right <= tested or not tested:
        raise ValueError(f"{right} right of {tested}: there is no such share")
    z = float(norm.ppf(0.975))
    share, shrink = right / tested, 1 + z * z / tested
    centre = (share + z * z / (2 * tested)) / shrink
    half = z / shrink * np.sqrt(share * (1 - share) / tested + z * z / (4 * tested**2))
    low = 0.0 if right == 0 else float(centre - half)  # exactly, by the formula
    return low, 1.0 if right == tested else float(centre + half)


def equivalent(interval: tuple[float, float] | None, within: float) -> bool:
    """Whether a difference is shown to be none: its whole interval lies within ±``within``."""
    return interval is not None and max(map(abs, interval)) <= within
