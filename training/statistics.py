"""Means and their intervals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import t

INTERVAL = "Student's t over seeds"


def mean_ci95(values: Sequence[float]) -> tuple[float, tuple[float, float] | None]:
    """Mean and 95 % interval by Student's t; one value has no interval (None)."""
    array = np.asarray(values, dtype=np.float64)
    mean = float(array.mean())
    if len(array) < 2:
        return mean, None
    half = float(t.ppf(0.975, len(array) - 1) * array.std(ddof=1) / np.sqrt(len(array)))
    return mean, (mean - half, mean + half)
