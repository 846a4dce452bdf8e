"""Waves of a Keithley 6221: its output as a function of bench time, and what it does on average.

Duty cycles and where a wave starts: 622x User's Manual, p. 7-5.  From memory: arming turns the
output on, aborting turns it off, a wave whose time is over leaves its offset on, an arbitrary wave
holds each of its points, the marker puts out one pulse a cycle.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim_backend.circuit import CurrentSource, Element
from sim_backend.devices import Points
from sim_backend.models.keithley6221_settle import Settling
from sim_backend.scpi import ScpiError

Array = NDArray[np.float64]
RANGES_A = (2e-9, 2e-8, 2e-7, 2e-6, 2e-5, 2e-4, 2e-3, 2e-2, 1e-1)
MOST_A = 0.105
MOST_WAVE = 65536  # points of an arbitrary wave (memory)
WAVE_STARTED, WAVE_STOPPED = 1 << 4, 1 << 7  # operation register; the first is from memory


class WaveSource(Settling):
    """What drives a current, steady or as a wave."""

    def _set_defaults(self) -> None:
        super()._set_defaults()
        #: kept at places 1 to 4; they outlast ``*RST`` and power
        self.kept_waves: dict[int, list[float]] = getattr(self, "kept_waves", {})
        self.wave_armed = False
        self.wave_start_s: float | None = None
        self.wave_over = True  # and the operation register has said so

    # -- what it is -------------------------------------------------------------------------------

    def elements(self) -> Sequence[Element]:
        """A current source within its compliance; off: nothing.  While it settles, the larger of
        where it comes from and where it goes to: whoever asks wants to know what could break."""
        if not self.wave_armed:
            return self.swept(self.farthest_a)
        now = np.array([self.lab.clock.now_s])
        return self.swept(float(self._wave_over(Points(now, now))[0]))

    def swept(self, level: ArrayLike) -> Sequence[Element]:
        """The same at levels, A."""
        if not self.state["output"]:
            return [self.open()]
        return [CurrentSource(self.node("hi"), self.node("lo"), level, self.state["compliance"])]

    def levels_over(self, points: Points) -> Array | None:
        """The mean over the window at the end of each point, A, [P]; None: it holds its level."""
        return self._wave_over(points) if self.wave_armed else self.settling_over(points)

    # -- waves ------------------------------------------------------------------------------------

    def _wave_over(self, points: Points) -> Array:
        offset_a, start_s = float(self.state["wave_offset_a"]), self.wave_start_s
        if start_s is None:
            return np.zeros(len(points))  # armed (p. 7-30, note 12)
        last_s = float(self.state["wave_time_s"])
        until = np.minimum(points.ends_s - start_s, last_s)
        since = np.clip(points.ends_s - points.window_s - start_s, 0.0, until)
        least_s = 1e-9 / self.state["wave_hz"]
        over = points.ends_s - start_s > last_s
        share = np.ones(len(points))
        if points.window_s > 0:
            share = (until - since) / points.window_s
        else:
            since, share = np.maximum(until - least_s, 0.0), np.where(over, 0.0, 1.0)
        width = np.maximum(until - since, least_s) * self.state["wave_hz"]
        at = since * self.state["wave_hz"]
        mean = (self._integral(at + width) - self._integral(at)) / width
        result: Array = offset_a + self.state["wave_a"] * mean * share
        return result

    def _integral(self, cycles: Array) -> Array:
        """Of the wave of amplitude 1 from its start, in cycles."""
        kind, duty = self.state["wave"], self.state["wave_duty"] / 100
        whole, part = np.floor(cycles), cycles % 1
        if kind == "SIN":
            found: Array = (1 - np.cos(2 * math.pi * part)) / (2 * math.pi)
        elif kind == "SQU":
            found = whole * (2 * duty - 1) + np.where(part < duty, part, 2 * duty - part)
        elif kind == "RAMP":
            rise = part**2 / duty - part if duty else np.zeros(len(part))
            left = 1 - part
            fall = left - left**2 / (1 - duty) if duty < 1 else np.zeros(len(part))
            found = np.where(part < duty, rise, fall)
        else:
            values = np.array(self._arbitrary(int(kind[3:])))
            sums = np.concatenate(([0.0], np.cumsum(values))) / len(values)
            found = whole * sums[-1] + np.interp(part, np.linspace(0, 1, len(sums)), sums)
        return found

    def _arbitrary(self, place: int) -> list[float]:
        """Raises: ScpiError -221, nothing is kept there."""
        values: list[float] = self.kept_waves.get(place, []) if place else self.state["arbitrary"]
        if not values:
            raise ScpiError(-221)
        return values

    # -- settings ---------------------------------------------------------------------------------

    def set_wave(self, _: str) -> None:
        if self.wave_armed:
            raise ScpiError(-221)

    def append_wave(self, values: list[float]) -> None:
        longer = self.state["arbitrary"] + values
        if len(longer) > MOST_WAVE:
            raise ScpiError(-223)
        self.state["arbitrary"] = longer

    def ask_wave_points(self) -> int:
        return len(self.state["arbitrary"])

    def copy_wave(self, place: int) -> None:
        if self.wave_armed:
            raise ScpiError(-221)
        self.kept_waves[place] = list(self.state["arbitrary"])

    def keep_time(self, _: float) -> None:
        """The time stays, the cycles follow."""
        self.set_wave_time(self.state["wave_time_s"])

    def set_wave_time(self, seconds: float) -> None:
        self.state["wave_cycles"] = seconds * self.state["wave_hz"]

    def set_wave_cycles(self, cycles: float) -> None:
        self.state["wave_time_s"] = cycles / self.state["wave_hz"]

    # -- running ----------------------------------------------------------------------------------

    def _peaks(self) -> tuple[float, float]:
        offset_a, amplitude_a = self.state["wave_offset_a"], self.state["wave_a"]
        return offset_a - amplitude_a, offset_a + amplitude_a

    def arm_wave(self) -> None:
        """Raises: ScpiError -221, the peaks do not fit into the range, or there is no wave."""
        state = self.state
        if state["wave"].startswith("ARB"):
            self._arbitrary(int(state["wave"][3:]))
        peak = max(map(abs, self._peaks()))
        if peak > (1.05 * state["range"] if state["wave_range"] == "FIX" else MOST_A):
            raise ScpiError(-221)
        if state["marker_on"]:
            self.set_marker_line(state["marker_line"])
        if state["wave_range"] == "BEST":  # for the level too, which is there again afterwards
            peak = max(peak, abs(state["level"]))
            state["range"] = next(r for r in RANGES_A if peak <= 1.05 * r)
        self.abort()
        self.leave_wave()
        self.wave_armed = True
        state["output"] = True
        self.bench.touch()

    @property
    def wave_ends_s(self) -> float:
        """Bench time, s; infinite where no wave runs that has an end."""
        if self.wave_start_s is None:
            return math.inf
        return float(self.wave_start_s + self.state["wave_time_s"])

    def _catch_up(self) -> None:
        """A wave whose time is over tells so once."""
        if not self.wave_over and self.lab.clock.now_s >= self.wave_ends_s:
            self._wave_stops()
        super()._catch_up()

    def _wave_stops(self) -> None:
        self.wave_over = True
        self.operation_event |= WAVE_STOPPED

    def marker_pulses_s(self, after_s: float, until_s: float) -> Array:
        """Bench times of the phase marker's pulses, s: one a cycle, at its phase.

        Args:
            after_s: bench time, not included, s.
            until_s: bench time, included, s.
        """
        if self.wave_start_s is None or not self.state["marker_on"]:
            return np.empty(0)
        period_s = 1 / self.state["wave_hz"]
        first_s = self.wave_start_s + self.state["marker_deg"] / 360 % 1 * period_s
        until_s = min(until_s, self.wave_ends_s)
        begin = max(0, math.floor((after_s - first_s) / period_s) - 1)
        end = max(begin, math.ceil((until_s - first_s) / period_s) + 2)
        found: Array = first_s + period_s * np.arange(begin, end)
        return found[(found > after_s) & (found <= until_s)]

    def set_marker_line(self, line: int) -> None:
        """Raises: ScpiError -221, the trigger's output has that line (p. 7-29, note 7)."""
        if line == self.state["trigger_out"]:
            raise ScpiError(-221)

    def ask_wave_armed(self) -> int:
        return int(self.wave_armed)

    def start_wave(self) -> None:
        """From its first phase on; what its peaks break is broken now."""
        if not self.wave_armed or self.wave_start_s is not None:
            raise ScpiError(-213)
        self.wave_start_s, self.wave_over = self.bench.clock.now_s, False
        self.operation_event |= WAVE_STARTED
        now = np.full(2, self.wave_start_s)
        self.bench.run(Points(now, now), {self.name: np.array(self._peaks())})

    def abort_wave(self) -> None:
        if self.wave_armed:
            self.leave_wave()
            self.state["output"] = False
            self.bench.touch()

    def leave_wave(self) -> None:
        """No wave is armed any more."""
        if not self.wave_over:
            self._wave_stops()
        self.wave_armed, self.wave_start_s = False, None
