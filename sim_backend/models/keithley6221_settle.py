"""How a Keithley 6221's output goes from level to level: at once, or slowly.

With the slow response it is within 1 % after 100 us (6221 specifications); fast, it settles in a
few microseconds, which this bench takes for none.  How slow the filter is: memory.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from sim_backend.devices import Points
from sim_backend.models.electrical import ElectricalInstrument
from sim_backend.programme import ROUNDING_S, Steps

Array = NDArray[np.float64]
#: time constants of the output, s: with the analog filter (memory), with the slow response
FILTER_S, SLOW_S = 1e-3, 100e-6 / math.log(100)
_SETTLED = 25  # time constants, after which nothing is left of a step


class Settling(ElectricalInstrument):
    """What follows its level with a time constant.  Delta mode and waves have theirs at once."""

    def _set_defaults(self) -> None:
        super()._set_defaults()
        self._goes(Steps(np.zeros(1), np.zeros(1), 0.0))

    def _goes(self, steps: Steps) -> None:
        """Take these levels, each from where the one before has led to."""
        self._steps, tau_s = steps, self.settles_s
        now_a, self._from_a = steps.before, np.full(len(steps.levels), steps.before)
        if tau_s:
            left = np.exp(-np.diff(steps.from_s) / tau_s)
            for at, (level, share) in enumerate(zip(steps.levels[:-1], left, strict=True)):
                now_a = level + (now_a - level) * share
                self._from_a[at + 1] = now_a

    @property
    def settles_s(self) -> float:
        """Time constant with which the output follows its level, s; 0: at once."""
        slow_s = SLOW_S if self.state["response"] == "SLOW" else 0.0
        return FILTER_S if self.state["filter"] else slow_s

    def set_settling(self, _: object) -> None:
        """Filter and response are for the next level."""
        self.goes_from(float(self.state["level"]))

    def goes_from(self, level_a: float) -> None:
        """The output goes from here to the level that is set now."""
        since, to = np.array([self.lab.clock.now_s]), np.array([float(self.state["level"])])
        self._goes(Steps(since, to, level_a))

    def reached_a(self) -> float:
        """Where the output has got to, A, with the level that was set before the newest."""
        now = np.array([self.lab.clock.now_s])
        return float(self._approach(Points(now, now))[0]) if self.settles_s else self._to_a

    @property
    def _to_a(self) -> float:
        return float(self._steps.levels[-1])

    @property
    def farthest_a(self) -> float:
        """The larger of where it comes from and where it goes to, A."""
        level_a = float(self.state["level"])
        slow = self.settles_s and self._to_a == level_a
        return max(level_a, float(self._from_a[-1]), key=abs) if slow else level_a

    def settling_over(self, points: Points) -> Array | None:
        """The mean over the window at the end of each point, A, [P]; None: it holds its level."""
        if not self.settles_s:
            return None
        swept = self.bench.timeline.steps.get(self.name)
        if swept is not None:
            if swept is not self._steps:
                self._goes(swept)
            return self._approach(points)
        age_s = points.ends_s - points.window_s - self._steps.from_s[-1]
        # What has set the level by another way has it at once.
        settled = self._to_a != self.state["level"] or np.all(age_s > _SETTLED * self.settles_s)
        return None if settled else self._approach(points)

    def _approach(self, points: Points) -> Array:
        steps, tau_s, window_s = self._steps, self.settles_s, points.window_s
        at = np.searchsorted(steps.from_s, points.ends_s - ROUNDING_S, side="right") - 1
        until = points.ends_s - steps.from_s[at]
        share = np.exp(-np.clip(until, 0, None) / tau_s)
        if window_s > 0:
            gone = np.exp(-np.clip(until - window_s, 0, None) / tau_s) - share
            share = (tau_s * gone + np.clip(window_s - until, 0, window_s)) / window_s
        level, before = steps.levels[at], self._from_a[at]
        found: Array = np.where(at < 0, steps.before, level + (before - level) * share)
        return found
