"""Sweeps of a Keithley 6221: staircases and lists, what comes out at which point, and for how long.

Page numbers are of the 622x Reference Manual, 622X-901-01.  From memory: when a setting is
refused, how long the output is at zero while the range changes, and that a step which does not
divide the span ends before STOP.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from sim_backend.faults_chance import uniforms
from sim_backend.models.electrical import MOST_CONVERSIONS, check_work
from sim_backend.models.keithley6221_marker import Marker
from sim_backend.models.keithley6221_wave import MOST_A, RANGES_A
from sim_backend.noise import stream_key
from sim_backend.scpi import ScpiError

Array = NDArray[np.float64]
MOST_POINTS = 65535  # PROGRAM MEMORY, 6221 specifications: 64K points
OVER_RANGE = 1.05  # of a range can be used (specifications)
RANGE_CHANGE_S = 5e-3  # memory: the output is at zero while the range changes (p. 4-9)
DISPLAY_S = 1e-3  # how much later a point may come with the display on (p. 4-4)
_HELD_A = OVER_RANGE * np.array(RANGES_A) * (1 + 1e-9)


def smallest_range(level_a: float) -> float:
    """The smallest range that holds a level, A."""
    return RANGES_A[int(np.searchsorted(_HELD_A, abs(level_a)))]


class Sweeper(Marker):
    """What sweeps: the engine asks for all points of all sweeps of one run.

    START and STOP set CENTER and SPAN and the other way round; points set the step, and the step
    the points (p. 4-22).
    """

    def _set_defaults(self) -> None:
        super()._set_defaults()
        self.sweeps_begun = getattr(self, "sweeps_begun", 0)  # counts on through resets: chance

    # -- the points of a run ----------------------------------------------------------------------

    def _once(self) -> Array:
        """The levels of one sweep as they are programmed, A.

        Raises:
            ScpiError: -221, no logarithmic sweep has these ends.
        """
        state = self.state
        if state["sweep_spacing"] == "LIST":
            return np.asarray(state["list"], dtype=np.float64)
        start, stop, points = state["start"], state["stop"], state["sweep_points"]
        if state["sweep_spacing"] == "LOG":
            if start * stop <= 0:
                raise ScpiError(-221)
            levels: Array = np.geomspace(start, stop, points)
            return levels
        end = start + math.copysign(state["step"], state["span"]) * (points - 1)
        levels = np.linspace(start, end, points)
        return levels

    def _again(self, once: Array) -> Array:
        """Over and over, as often as it sweeps; what has no end for as long as it is worked out."""
        count = 1 if self.arms_each else self.state["sweep_count"]
        if self.sweep_endless:
            count = max(1, MOST_CONVERSIONS // len(once))
        return np.tile(once, int(count))

    @property
    def arms_each(self) -> bool:
        """Each sweep has to wait for an arm event of its own."""
        return self.state["arm_source"] not in ("IMM", "TIM")

    @property
    def sweep_endless(self) -> bool:
        """The points come again and again until it is aborted."""
        return bool(self.state["sweep_count"] == math.inf and not self.arms_each)

    def sweep_levels(self) -> Array:
        """The levels that come out, A, point by point.  On a FIXed range what is larger comes out
        as the range's maximum, and nothing says so (p. 4-9)."""
        levels = self._again(self._once())
        if self.state["sweep_range"] == "FIX":
            most = OVER_RANGE * self.state["range"]
            levels = np.clip(levels, -most, most)
        return levels

    def sweep_delays(self) -> Array:
        """How long each of them stays on once it is set (p. 4-9), s: a list has its own delays.
        With the display on it takes up to 1 ms longer (p. 4-4)."""
        if self.state["sweep_spacing"] == "LIST":
            delays = self._again(np.asarray(self.state["list_delay"], dtype=np.float64))
        else:
            delays = np.full(len(self.sweep_levels()), float(self.state["delay"]))
        if not self.state["display"]:
            return delays
        key = stream_key(self.lab.truth.seed, f"display/{self.name}/{self.sweeps_begun}")
        jittered: Array = delays + DISPLAY_S * uniforms(key, 1, len(delays))
        return jittered

    def sweep_zeros(self) -> Array:
        """How long the output is at zero before each of them, s: on AUTO while the range changes
        (p. 4-9)."""
        levels = self.sweep_levels()
        if self.state["sweep_range"] != "AUTO":
            return np.zeros(len(levels))
        ranges = np.array(RANGES_A)[np.searchsorted(_HELD_A, np.abs(levels))]
        before = np.concatenate(([self.state["range"]], ranges[:-1]))
        zeros: Array = np.where(ranges != before, RANGE_CHANGE_S, 0.0)
        return zeros

    def _check_sweep(self) -> None:
        """Whether it can run.

        Raises:
            ScpiError: -221, lists of different lengths, or no logarithmic sweep has these ends;
                -225, more points than the simulator works out.
        """
        state = self.state
        points = len(self._once())
        if state["sweep_spacing"] == "LIST" and not (
            points == len(state["list_delay"]) == len(state["list_compliance"])
        ):
            raise ScpiError(-221)
        if not self.sweep_endless:
            check_work(points * (1 if self.arms_each else state["sweep_count"]))

    def _choose_range(self) -> None:
        """BEST: one range for all points (p. 4-9)."""
        state = self.state
        if state["sweep_range"] == "BEST":
            state["range"] = smallest_range(max(np.abs(self._once()).max(), abs(state["level"])))

    # -- lists ------------------------------------------------------------------------------------

    def _append(self, name: str, values: list[float]) -> None:
        if len(self.state[name]) + len(values) > MOST_POINTS:
            raise ScpiError(-223)
        self.state[name] = self.state[name] + values

    def append_list(self, values: list[float]) -> None:
        self._append("list", values)

    def append_delay(self, values: list[float]) -> None:
        self._append("list_delay", values)

    def append_compliance(self, values: list[float]) -> None:
        self._append("list_compliance", values)

    def ask_list_points(self) -> int:
        return len(self.state["list"])

    def ask_delay_points(self) -> int:
        return len(self.state["list_delay"])

    def ask_compliance_points(self) -> int:
        return len(self.state["list_compliance"])

    # -- staircases -------------------------------------------------------------------------------

    def set_ends(self, _: float) -> None:
        start, stop = self.state["start"], self.state["stop"]
        self.state.update(center=(start + stop) / 2, span=stop - start)
        self._set_step()

    def set_middle(self, _: float) -> None:
        """Raises: ScpiError -222, the ends would be out of range."""
        center, half = self.state["center"], self.state["span"] / 2
        if abs(center) + abs(half) > MOST_A * (1 + 1e-9):
            raise ScpiError(-222)
        self.state.update(start=center - half, stop=center + half)
        self._set_step()

    def set_sweep_points(self, _: int) -> None:
        self._set_step()

    def set_step(self, step: float) -> None:
        """Raises: ScpiError -222, more points than it holds."""
        points = math.floor(abs(self.state["span"]) / step * (1 + 1e-9)) + 1
        if points > MOST_POINTS:
            raise ScpiError(-222)
        self.state["sweep_points"] = points

    def _set_step(self) -> None:
        points = self.state["sweep_points"]
        self.state["step"] = abs(self.state["span"]) / (points - 1) if points > 1 else 0.0
