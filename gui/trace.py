"""What is on the plots: a sweep's points as they come in, list by list."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from device import resistances
from instruments import SweepData
from instruments.sweep import Plan

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Direction = Literal["up", "down"]


class Trace:
    """The wanted points of one sweep.  Fill points are counted and not kept.

    Args:
        plan: what the bench is going to measure.
        points: wanted points of one pass; a sweep that comes back has a second one.
        rising: the first pass goes to higher currents.
        common_ohm: resistance of the junctions' shared electrode, ohm.

    Attributes:
        total, done: points that the sweep measures, and those that it has measured by now.
        level_ma: field-line current, mA, shape [N].
        r_x_kohm, r_z_kohm: resistances, kohm; NaN until measured, [N].
        valid: measured, and no doubt about the reading, [N].
        measured: measured by now, [N].
    """

    def __init__(self, plan: Plan, points: int, rising: bool, common_ohm: float) -> None:
        self.total, self.done = plan.measured, 0
        self._common_ohm = common_ohm
        self._number = np.full(plan.measured, -1)  # of each measured point; -1: a fill point
        self._number[plan.index] = np.arange(len(plan.index))
        self.level_ma = np.concatenate(plan.lists)[plan.index] * 1e3
        self.r_x_kohm = np.full(len(plan.index), np.nan)
        self.r_z_kohm = self.r_x_kohm.copy()
        self.valid = np.zeros(len(plan.index), dtype=bool)
        self.measured = self.valid.copy()
        first = np.arange(len(plan.index)) < points
        self._rising = first if rising else ~first

    def add(self, data: SweepData) -> None:
        """Take in the next list."""
        numbers = self._number[self.done : self.done + len(data.level_a)]
        self.done += len(data.level_a)
        wanted = numbers >= 0
        at = numbers[wanted]
        r_x, r_z = resistances(data, self._common_ohm)
        self.level_ma[at] = data.level_a[wanted] * 1e3
        self.r_x_kohm[at] = r_x[wanted] * 1e-3
        self.r_z_kohm[at] = r_z[wanted] * 1e-3
        self.valid[at] = (data.valid & np.isfinite(r_x) & np.isfinite(r_z))[wanted]
        self.measured[at] = True

    def branch(self, direction: Direction) -> Mask:
        """Which points were measured on the way up, or down."""
        return self.measured & (self._rising if direction == "up" else ~self._rising)

    @property
    def invalid(self) -> Mask:
        """Which points are in doubt."""
        return self.measured & ~self.valid
