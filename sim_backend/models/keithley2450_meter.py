"""The measuring side of a Keithley 2450: conversions, ranges, filter, and what faults make of them.

From memory: noise, delays, what autozero costs.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, replace

import numpy as np

from sim_backend.devices import Points
from sim_backend.faults_readings import Mark
from sim_backend.models.electrical import OVERFLOW, next_range
from sim_backend.models.keithley2450_buffer import (
    FRONT,
    LIMITED,
    OUTPUT_ON,
    PROTECTED,
    READ_BACK,
    SENSED,
    Reading,
)
from sim_backend.models.keithley2450_smu import HEADROOM, SourceMeter
from sim_backend.models.keithley2450_table import RANGES
from sim_backend.programme import Process

NOISE = 2e-6  # of the range, rms, over one power line cycle (memory)
AUTO_DELAY_S = 1e-3  # memory
AUTOZERO_FACTOR = 3  # memory: signal, reference and zero are integrated in turn
NAN = 9.91e37  # SCPI-1999 volume 1, section 7.2
_UNIT = {"VOLT": "Volt DC", "CURR": "Amp DC", "RES": "Ohm"}


@dataclass(frozen=True)
class _Seen:
    """What one conversion sees at the terminals."""

    volt: float
    ampere: float
    limited: bool


class Meter(SourceMeter):
    """What measures."""

    def _set_defaults(self) -> None:
        super()._set_defaults()
        self.taken = getattr(self, "taken", 0)  # number of the next conversion: the noise's counter
        self.read = getattr(self, "read", 0)  # readings by now: the faults' counter
        self.stack: deque[float] = deque()

    def tripped(self, function: str) -> bool:
        """Whether the output is on, sources this, and holds its limit instead."""
        if not self.state["output"] or self.state["function"] != function:
            return False
        return self._look(noisy=False).limited

    @property
    def window_s(self) -> float:
        """What a conversion integrates over, s."""
        return float(self.state[self._key("nplc")] / self.lab.truth.line_hz)

    @property
    def delay_s(self) -> float:
        """From a new level to the reading, s."""
        key = self.state["function"].lower()
        return AUTO_DELAY_S if self.state[f"{key}_delay_auto"] else self.state[f"{key}_delay_s"]

    def _look(self, *, noisy: bool = True) -> _Seen:
        """The terminals now."""
        self.bench.live_through()
        now = np.array([self.lab.clock.now_s])
        seen = self.bench.run(Points(now, now))[self.name]
        limited, ampere, volt = bool(seen.limited[0]), float(seen.current_a[0]), float(seen.volt[0])
        if self.four_wire:
            solution = self.lab.solve()
            assert self._sense is not None  # solve() has asked for it
            volt = float(solution.across(self._sense)[0])
        if noisy:
            noise = self.lab.noise(self, self.taken, 2) / math.sqrt(self.state[self._key("nplc")])
            self.taken += 2
            ampere += float(noise[0]) * NOISE * self._fit("CURR", ampere)
            volt += float(noise[1]) * NOISE * self._fit("VOLT", volt)
        return _Seen(volt, ampere, limited)

    def _fit(self, function: str, value: float) -> float:
        """The range that a value is measured on; autorange may move it."""
        state, key = self.state, function.lower()
        if state["function"] != function and state[f"sense_{key}_auto"]:
            span = next_range(RANGES[function], value, HEADROOM) or RANGES[function][-1]
            state[f"sense_{key}_range"] = span
        return self.span(function)

    def _convert(self) -> Process[tuple[float, _Seen]]:
        """One conversion of the measure function, and what it came from."""
        state = self.state
        begins = np.array([self.lab.clock.now_s])
        self.bench.faults.on_schedule(self.name, self.read + 1, begins)
        factor = AUTOZERO_FACTOR if state[self._key("azero")] else 1
        yield factor * self.window_s, "integrate"
        seen = self._look()
        over_v = abs(seen.volt) > HEADROOM * self.span("VOLT") * (1 + 1e-3)
        over_a = abs(seen.ampere) > HEADROOM * self.span("CURR") * (1 + 1e-3)
        if self.measured == "VOLT":
            return OVERFLOW if over_v else seen.volt, seen
        if self.measured == "CURR":
            return OVERFLOW if over_a else seen.ampere, seen
        if over_v or over_a or seen.ampere == 0:
            return OVERFLOW, seen
        ohm = seen.volt / seen.ampere
        return OVERFLOW if abs(ohm) > self._ohm_span(ohm) * HEADROOM else ohm, seen

    def _ohm_span(self, ohm: float) -> float:
        if self.state["sense_res_auto"]:
            span = next_range(RANGES["RES"], ohm, HEADROOM) or RANGES["RES"][-1]
            self.state["sense_res_range"] = span
        return float(self.state["sense_res_range"])

    def measure(self) -> Process[Reading]:
        """One reading, through the filter."""
        state = self.state
        value, seen = yield from self._convert()
        if state[self._key("average")] and value != OVERFLOW:
            count, moving = state[self._key("count")], state[self._key("control")] == "MOV"
            if not moving:
                self.stack.clear()
            self.stack.append(value)
            for _ in range(0 if moving else count - 1):
                value, seen = yield from self._convert()
                if value == OVERFLOW:
                    break
                self.stack.append(value)
            while len(self.stack) > count:
                self.stack.popleft()
            value = value if value == OVERFLOW else float(np.mean(self.stack))
        return self._reading(*self._struck(value, seen))

    def _struck(self, value: float, seen: _Seen) -> tuple[float, _Seen]:
        """What faults leave of a reading."""
        values, times_s = np.array([value]), np.array([self.lab.clock.now_s])
        self.read += 1
        values, marks = self.bench.faults.on_readings(self.name, self.read, values, times_s)
        mark = Mark.NONE if marks is None else marks[0]
        if mark == Mark.COMPLIANCE:
            seen = replace(seen, limited=True)
            if self.measured not in (self.state["function"], "RES"):
                name, key = ("VOLT", "v_limit") if self.measured == "VOLT" else ("CURR", "i_limit")
                return math.copysign(self._most(name, key), value), seen
        if mark == Mark.NAN:
            return NAN, seen
        over = value == OVERFLOW or mark == Mark.OVERFLOW
        if not over and self.measured != "RES":
            over = abs(values[0]) > HEADROOM * self._fit(self.measured, float(values[0])) * 1.001
        return OVERFLOW if over else float(values[0]), seen

    def _reading(self, value: float, seen: _Seen) -> Reading:
        state, function = self.state, self.state["function"]
        back = state[f"{function.lower()}_read_back"]
        found = seen.volt if function == "VOLT" else seen.ampere
        status = (READ_BACK if back else 0) | (LIMITED if seen.limited else 0)
        status |= (SENSED if self.four_wire else 0) | (OUTPUT_ON if state["output"] else 0)
        status |= PROTECTED if self.protected else 0
        return Reading(
            value=value,
            unit=_UNIT[self.measured],
            source=found if back else state[f"{function.lower()}_level"],
            source_unit=_UNIT[function],
            status=FRONT if state["terminals"] == "FRON" else 0,
            source_status=status,
            time_s=self.lab.clock.now_s,
        )

    def refill(self, _: object) -> None:
        """A filter's setting has changed: its stack begins anew."""
        self.stack.clear()
