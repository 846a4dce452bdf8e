"""The electrical side of a Keithley 2450: source, limits and output-off states.

Page numbers are of the 2450 Reference Manual, 2450-901-01 rev. B.  From memory: the 20 W envelope
and the output relay's time.  The source does not make up for the leads with four wires: the
meter alone is at the sense terminals.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from sim_backend.circuit import CurrentSource, Element, VoltageSource, Voltmeter, relay
from sim_backend.models.electrical import ElectricalInstrument, next_range
from sim_backend.models.keithley2450_table import RANGES
from sim_backend.scpi import ScpiError

HEADROOM = 1.05
HIGH_V, LOW_A = 21.0, 0.105  # memory: above one of both, the other is the limit
OUTPUT_RELAY_S = 10e-3  # memory


class SourceMeter(ElectricalInstrument):
    """What sources."""

    terminals = tuple(
        f"{side}_{end}"
        for side in ("front", "rear")
        for end in ("hi", "lo", "sense_hi", "sense_lo")
    )

    def _set_defaults(self) -> None:
        super()._set_defaults()
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
        port = self._on(hi, lo) if self.state["output"] else self._off(hi, lo)
        return [port] if self._sense is None else [port, self._sense]

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

    @property
    def protected(self) -> bool:
        """The overvoltage protection holds the voltage down."""
        state = self.state
        sources = state["output"] and state["function"] == "VOLT"
        return bool(sources and abs(state["volt_level"]) > self.protection_v)

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
