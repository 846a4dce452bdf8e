"""The measuring side of a Keithley 2182A: conversions, ranges, filters, references.

Page numbers are of the 2182/2182A User's Manual, 2182A-900-01.  From memory: noise, the time that
autozero takes, how window and filter work together, thermocouples as straight lines.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

import numpy as np

from sim_backend.circuit import Element, Voltmeter
from sim_backend.faults_readings import Mark
from sim_backend.models.electrical import NAN, OVERFLOW, ElectricalInstrument, next_range
from sim_backend.models.keithley2182a_table import HEADROOM, RANGES_V
from sim_backend.programme import Process, at_once
from sim_backend.scpi import ScpiError

#: noise of a reading over one power line cycle, by range, V rms (memory)
NOISE_V = {0.01: 1e-8, 0.1: 5e-8, 1.0: 5e-7, 10.0: 5e-6, 100.0: 5e-5}
#: voltage per degree near room temperature, V/K (NIST monograph 175, memory)
SEEBECK_V_K = {"J": 51e-6, "K": 40e-6, "T": 40e-6, "E": 61e-6, "R": 6e-6, "S": 6e-6, "B": 0.2e-6,
               "N": 27e-6}  # fmt: skip
INSIDE_C = 23.0  # memory: the meter's own temperature
MOST_REFILLS = 20  # memory: a repeating filter gives up after so many times its count
READING_OVERFLOW = 1 << 0  # measurement event register (memory)
KEYS = ("v1", "v2", "t1", "t2")  # function and channel


class Nanovoltmeter(ElectricalInstrument):
    """What reads voltages and temperatures."""

    terminals = ("ch1_hi", "ch1_lo", "ch2_hi", "ch2_lo")
    analog_settle_s = 0.125  # p. 3-8: the analog filter, between conversions
    autozero_factor = 2  # memory: signal and zero are integrated in turn

    def _set_defaults(self) -> None:
        super()._set_defaults()
        self.taken = getattr(self, "taken", 0)  # number of the next conversion: the noise's counter
        self.read = getattr(self, "read", 0)  # readings by now: the faults' counter
        self.stacks: dict[str, deque[float]] = {}
        self._meters: dict[int, Voltmeter] = {}

    # -- electrical side --------------------------------------------------------------------------

    def elements(self) -> Sequence[Element]:
        self._meters = {
            channel: Voltmeter(self.node(f"ch{channel}_hi"), self.node(f"ch{channel}_lo"))
            for channel in RANGES_V
        }
        return list(self._meters.values())

    @property
    def window_s(self) -> float:
        """What a conversion integrates over, s."""
        return float(self.state["nplc"] / self.lab.truth.line_hz)

    def _convert(self, channel: int, key: str) -> Process[float]:
        """One conversion, V; :data:`OVERFLOW` above the range."""
        state, lab = self.state, self.lab
        if state["line_sync"]:  # it begins where the line passes zero
            period_s = 1 / lab.truth.line_hz
            yield -lab.clock.now_s % period_s, "integrate"
        if state[f"{key}_analog"]:
            yield self.analog_settle_s, "settle"
        begins = np.array([lab.clock.now_s])
        self.bench.faults.on_schedule(self.name, self.read + 1, begins)
        factor = self.autozero_factor if state["autozero"] else 1
        yield factor * self.window_s, "integrate"
        volt = float(lab.solve().across(self._meters[channel])[0])
        span = next_range(RANGES_V[channel], volt, HEADROOM)
        if not state[f"v{channel}_auto"]:
            fixed = state[f"v{channel}_range"]
            span = fixed if span is not None and span <= fixed else None
        elif span is not None:
            state[f"v{channel}_range"] = span
        noise = float(lab.noise(self, self.taken, 1)[0])
        self.taken += 1
        if span is None:
            self.measurement_event |= READING_OVERFLOW
            return OVERFLOW
        return volt + noise * NOISE_V[span] / math.sqrt(state["nplc"])

    def conversions(self, readings: float) -> float:
        """How many conversions so many readings of the selected channel take."""
        key = f"{'v' if self.state['function'] == 'VOLT:DC' else 't'}{self.state['channel'] or 1}"
        repeats = self.state[f"{key}_digital"] and self.state[f"{key}_control"] == "REP"
        return readings * (self.state[f"{key}_count"] if repeats else 1)

    def _filtered(self, channel: int, key: str) -> Process[float]:
        """One reading through the digital filter, V (p. 3-8): the stack begins anew when a
        conversion lies outside its window."""
        state = self.state
        if not state[f"{key}_digital"]:
            return (yield from self._convert(channel, key))
        count, moving = state[f"{key}_count"], state[f"{key}_control"] == "MOV"
        stack = self.stacks.setdefault(key, deque(maxlen=count))
        if not moving:
            stack.clear()
        for _ in range(1 if moving else MOST_REFILLS * count):
            volt = yield from self._convert(channel, key)
            if volt == OVERFLOW:
                stack.clear()
                return OVERFLOW
            width = state[f"{key}_window"] / 100 * state[f"v{channel}_range"]
            if stack and width and abs(volt - np.mean(stack)) > width:
                stack.clear()
            stack.append(volt)
            if len(stack) == count:
                break
        return float(np.mean(stack))

    def read_volt(self, channel: int | None = None) -> Process[float]:
        """Measure the voltage of a channel now (default: the selected one), V; :data:`OVERFLOW`
        above its range.  It is not stored."""
        channel = channel or self.state["channel"] or 1
        value = yield from self._filtered(channel, f"v{channel}")
        return self._struck(value, self._most_v(channel))

    def _most_v(self, channel: int) -> float:
        """The largest voltage that does not overflow, V."""
        auto, fixed = self.state[f"v{channel}_auto"], self.state[f"v{channel}_range"]
        return HEADROOM * float(RANGES_V[channel][-1] if auto else fixed)

    def _struck(self, value: float, most: float = math.inf) -> float:
        """What faults leave of a reading, V or °C; above ``most`` it overflows."""
        values, times_s = np.array([value]), np.array([self.lab.clock.now_s])
        self.read += 1
        values, marks = self.bench.faults.on_readings(self.name, self.read, values, times_s)
        mark = Mark.NONE if marks is None else marks[0]
        if mark == Mark.NAN:
            return NAN
        if value == OVERFLOW or mark == Mark.OVERFLOW or abs(values[0]) > most * (1 + 1e-9):
            self.measurement_event |= READING_OVERFLOW
            return OVERFLOW
        return float(values[0])

    def _measured(self, channel: int) -> Process[float]:
        """What the selected function reads on a channel, V or °C."""
        state = self.state
        if channel == 0:
            yield self.window_s, "integrate"
            return self._struck(INSIDE_C)
        key = f"v{channel}" if state["function"] == "VOLT:DC" else f"t{channel}"
        value = yield from self._filtered(channel, key)
        if value == OVERFLOW:
            return self._struck(OVERFLOW)
        if key[0] == "t":
            start = state["junction_c"] if state["junction"] == "SIM" else INSIDE_C
            value = start + value / SEEBECK_V_K[state["thermocouple"]]
        value = self._struck(value, self._most_v(channel) if key[0] == "v" else math.inf)
        if value in (OVERFLOW, NAN):
            return value
        return value - (state[f"{key}_ref"] if state[f"{key}_ref_on"] else 0.0)

    # -- settings ---------------------------------------------------------------------------------

    def _set_range(self, channel: int, value: float) -> None:
        span = next_range(RANGES_V[channel], value, HEADROOM)
        assert span is not None  # the row's limits are 1.2 times the largest range
        self.state.update({f"v{channel}_range": span, f"v{channel}_auto": False})

    def set_v1_range(self, value: float) -> None:
        self._set_range(1, value)

    def set_v2_range(self, value: float) -> None:
        self._set_range(2, value)

    def _acquire(self, key: str) -> None:
        """The present reading becomes the reference."""
        on, self.state[f"{key}_ref_on"] = self.state[f"{key}_ref_on"], False
        before = self.state["function"]
        self.state["function"] = "VOLT:DC" if key[0] == "v" else "TEMP"
        value: float = at_once(self.lab, self._measured(int(key[1])))
        self.state["function"] = before
        self.state[f"{key}_ref_on"] = on
        if value in (OVERFLOW, NAN):
            raise ScpiError(-221)
        self.state[f"{key}_ref"] = value

    def acquire_v1(self) -> None:
        self._acquire("v1")

    def acquire_v2(self) -> None:
        self._acquire("v2")

    def acquire_t1(self) -> None:
        self._acquire("t1")

    def acquire_t2(self) -> None:
        self._acquire("t2")

    def refill(self, _: object) -> None:
        """A filter's setting has changed: its stack begins anew."""
        self.stacks.clear()
