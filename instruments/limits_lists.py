"""Whole lists of levels: steps, slew, and how long they stay high.  Pure functions.

A list holds each level for its delay, and then for as long as the instruments take to read.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from instruments.bench_file_limits import TOLERANCE, Duty

Array = NDArray[np.float64]


class Past(NamedTuple):
    """The points of earlier lists, as long as they still count.

    Attributes:
        dwell_s: how long each was on, s.
        high: whether it counts.
        end_s: bench time at which the last of them ended, as planned.
    """

    dwell_s: Array
    high: NDArray[np.bool_]
    end_s: float


NO_PAST = Past(np.empty(0), np.empty(0, dtype=np.bool_), 0.0)


def first_wide_step(levels: Array, widest: float) -> int | None:
    """Where the first step larger than ``widest`` begins; None: there is none."""
    return _first_above(levels, widest * (1 + TOLERANCE))


def first_fast_step(levels: Array, delays_s: Array, slew: float) -> int | None:
    """Where the first step begins that is larger than ``slew`` times the delay before it."""
    return _first_above(levels, slew * delays_s[:-1] * (1 + TOLERANCE))


def _first_above(levels: Array, most: Array | float) -> int | None:
    steps = np.abs(levels[1:] - levels[:-1])
    above = np.flatnonzero(steps > most)
    return int(above[0]) if len(above) else None


def longest_high_s(dwell_s: Array, high: NDArray[np.bool_], window_s: float) -> float:
    """Longest time, s, for which the level is high in any window of that length.

    It is reached by a window that begins or ends where a point does.
    """
    edges = np.concatenate(([0.0], np.cumsum(dwell_s)))
    spent = np.concatenate(([0.0], np.cumsum(np.where(high, dwell_s, 0.0))))
    starts = np.concatenate((edges, edges - window_s))
    within = np.interp(starts + window_s, edges, spent) - np.interp(starts, edges, spent)
    return float(within.max())


def continued(past: Past, levels: Array, dwell_s: Array, duty: Duty, now_s: float | None) -> Past:
    """The past with one list more, which begins now; between the two nothing was high.

    Without a clock the list stands alone.
    """
    high = np.abs(levels) > duty.above * (1 + TOLERANCE)
    if now_s is None:
        return Past(dwell_s, high, 0.0)
    rest_s = max(0.0, now_s - past.end_s)
    dwell = np.concatenate((past.dwell_s, [rest_s], dwell_s))
    return Past(
        dwell, np.concatenate((past.high, [False], high)), now_s + float(dwell_s.sum())
    )  # fmt: skip


def forget(past: Past, window_s: float) -> Past:
    """The past without what lies further back than the window."""
    back = np.cumsum(past.dwell_s[::-1])[::-1]
    keep = back - past.dwell_s < window_s
    return Past(past.dwell_s[keep], past.high[keep], past.end_s)
