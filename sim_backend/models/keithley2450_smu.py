"""The electrical side of a Keithley 2450: source, limits, output-off states, and readings.

Page numbers are of the 2450 Reference Manual, 2450-901-01 rev. B.  From memory: noise, delays, what
autozero costs, the 20 W envelope.  The source does not make up for the leads with four wires: the
meter alone is at the sense terminals.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sim_backend.circuit import CurrentSource, Element, VoltageSource, Voltmeter, relay
from sim_backend.models.electrical import OVERFLOW, ElectricalInstrument, next_range
from sim_backend.models.keithley2450_buffer import (
    FRONT,
    LIMITED,
    OUTPUT_ON,
    PROTECTED,
    READ_BACK,
    SENSED,
    Reading,
)
from sim_backend.models.keithley2450_table import RANGES
from sim_backend.scpi import ScpiError

HEADROOM = 1.05
NOISE = 2e-6  # of the range, rms, over one power line cycle (memory)
AUTO_DELAY_S = 1e-3  # memory
AUTOZERO_FACTOR = 3  # memory: signal, reference and zero are integrated in turn
HIGH_V, LOW_A = 21.0, 0.105  # memory: above one of both, the other is the limit
OUTPUT_RELAY_S = 10e-3  # memory
_UNIT = {"VOLT": "Volt DC", "CURR": "Amp DC", "RES": "Ohm"}


@dataclass(frozen=True)
class _Seen:
    """What one conversion sees at the terminals."""

    volt: float
    ampere: float
    limited: bool


class SourceMeter(ElectricalInstrument):
    """What sources and measures."""

    terminals = tuple(
        f"{side}_{end}"
        for side in ("front", "rear")
        for end in ("hi", "lo", "sense_hi", "sense_lo")
    )

    def _set_defaults(self) -> None:
        super()._set_defaults()
        self.taken = getattr(self, "taken", 0)  # number of the next conversion: the noise's counter
        self.stack: deque[float] = deque()
        self._port: Element | None = None
        self._sense: Voltmeter | None = None

    # -- what it is -------------------------------------------------------------------------------

    @property
    def measured(self) -> str:
        """VOLT, CURR or RES."""
        return str(self.state["sense"]).partition(":")[0]

    def _key(self, name: str) -> str:
        """A setting of the active measure function."""
        return f"sense_{self.measured.lower()}_{name}"

    @property
    def four_wire(self) -> bool:
        return bool(self.state["output"] and self.state[self._key("4w")])

    @property
    def protection_v(self) -> float:
        """The overvoltage protection, V; inf: none."""
        word = str(self.state["protection"])
        return math.inf if word == "NONE" else float(word[4:])

    def span(self, function: str) -> float:
        """The present range of voltage or current, V or A: the source's for its own function."""
        if self.state["function"] == function:
            return float(self.state[f"{function.lower()}_range"])
        return float(self.state[f"sense_{function.lower()}_range"])

    def _most(self, function: str, limit: str) -> float:
        """A limit; a fixed measure range limits too (memory)."""
        fixed = not self.state[f"sense_{function.lower()}_auto"]
        most = HEADROOM * self.span(function) if fixed else math.inf
        return float(min(self.state[limit], most))

    def elements(self) -> Sequence[Element]:
        """The output, and the meter with four wires; p. 6-31 and 6-32 with the output off."""
        side = "front" if self.state["terminals"] == "FRON" else "rear"
        hi, lo = self.node(f"{side}_hi"), self.node(f"{side}_lo")
        self._sense = None
        if self.four_wire:
            self._sense = Voltmeter(self.node(f"{side}_sense_hi"), self.node(f"{side}_sense_lo"))
        self._port = self._on(hi, lo) if self.state["output"] else self._off(hi, lo)
        return [self._port] if self._sense is None else [self._port, self._sense]

    def _on(self, hi: str, lo: str) -> Element:
        state, most_v = self.state, self.protection_v
        if state["function"] == "VOLT":
            level = min(max(state["volt_level"], -most_v), most_v)
            return VoltageSource(hi, lo, level, self._most("CURR", "i_limit"))
        return CurrentSource(
            hi, lo, state["curr_level"], min(self._most("VOLT", "v_limit"), most_v)
        )

    def _off(self, hi: str, lo: str) -> Element:
        mode = self.state[f"{self.state['function'].lower()}_off"]
        if mode == "HIMP":
            return relay(hi, lo, closed=False)
        if mode == "GUAR":
            return CurrentSource(hi, lo, 0.0, 0.1 * self.span("VOLT"))
        part = 0.1 if mode == "NORM" else 1.0  # NORM: memory
        return VoltageSource(hi, lo, 0.0, part * self.span("CURR"))

    def tripped(self, function: str) -> bool:
        """Whether the output is on, sources this, and holds its limit instead."""
        if not self.state["output"] or self.state["function"] != function:
            return False
        return self._look(noisy=False).limited

    # -- readings ---------------------------------------------------------------------------------

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
        solution = self.lab.solve()
        output = self._port
        assert output is not None  # solve() has asked for it
        limited = False
        if isinstance(output, VoltageSource | CurrentSource):
            limited = bool(solution.in_compliance(output)[0])
        ampere = float(solution.current(output)[0])
        volt = float(solution.across(self._sense or output)[0])
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

    def _convert(self) -> tuple[float, _Seen]:
        """One conversion of the measure function, and what it came from."""
        state = self.state
        factor = AUTOZERO_FACTOR if state[self._key("azero")] else 1
        self.lab.pass_time(factor * self.window_s, "integrate")
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

    def measure(self) -> Reading:
        """One reading, through the filter."""
        state = self.state
        value, seen = self._convert()
        if state[self._key("average")] and value != OVERFLOW:
            count, moving = state[self._key("count")], state[self._key("control")] == "MOV"
            if not moving:
                self.stack.clear()
            self.stack.append(value)
            for _ in range(0 if moving else count - 1):
                value, seen = self._convert()
                if value == OVERFLOW:
                    break
                self.stack.append(value)
            while len(self.stack) > count:
                self.stack.popleft()
            value = value if value == OVERFLOW else float(np.mean(self.stack))
        return self._reading(value, seen)

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

    @property
    def protected(self) -> bool:
        """The overvoltage protection holds the voltage down."""
        state = self.state
        sources = state["output"] and state["function"] == "VOLT"
        return bool(sources and abs(state["volt_level"]) > self.protection_v)

    def refill(self, _: object) -> None:
        """A filter's setting has changed: its stack begins anew."""
        self.stack.clear()

    # -- source settings --------------------------------------------------------------------------

    def check_envelope(self) -> None:
        """Refuse more than about 20 W (memory).

        Raises:
            ScpiError: -221.
        """
        state = self.state
        if state["function"] == "VOLT":
            over = abs(state["volt_level"]) > HIGH_V and state["i_limit"] > LOW_A
        else:
            over = abs(state["curr_level"]) > LOW_A and state["v_limit"] > HIGH_V
        if over:
            raise ScpiError(-221)

    def _set_level(self, function: str, value: float) -> None:
        key = function.lower()
        self.check_envelope()
        if self.state[f"{key}_range_auto"]:
            self.state[f"{key}_range"] = next_range(RANGES[function], value, HEADROOM)
        elif abs(value) > HEADROOM * self.state[f"{key}_range"] * (1 + 1e-9):
            raise ScpiError(-222)
        self.lab.touch()

    def set_volt_level(self, value: float) -> None:
        self._set_level("VOLT", value)

    def set_curr_level(self, value: float) -> None:
        self._set_level("CURR", value)

    def _set_range(self, function: str, value: float) -> None:
        key = function.lower()
        span = next_range(RANGES[function], value, HEADROOM)
        assert span is not None  # the row's limits are 1.05 times the largest range
        if abs(self.state[f"{key}_level"]) > HEADROOM * span * (1 + 1e-9):
            raise ScpiError(-221)
        self.state.update({f"{key}_range": span, f"{key}_range_auto": False})

    def set_volt_range(self, value: float) -> None:
        self._set_range("VOLT", value)

    def set_curr_range(self, value: float) -> None:
        self._set_range("CURR", value)

    def _set_sense_range(self, function: str, value: float) -> None:
        key = f"sense_{function.lower()}"
        self.state[f"{key}_range"] = next_range(RANGES[function], value, HEADROOM)
        self.state[f"{key}_auto"] = False
        self.lab.touch()

    def set_sense_volt_range(self, value: float) -> None:
        self._set_sense_range("VOLT", value)

    def set_sense_curr_range(self, value: float) -> None:
        self._set_sense_range("CURR", value)

    def set_sense_res_range(self, value: float) -> None:
        self._set_sense_range("RES", value)
