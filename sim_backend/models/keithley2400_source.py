"""The electrical side of a Keithley 2400: levels, ranges, limits, output-off states, auto-ohms.

Page numbers are of the 2400 Series User's Manual, 2400S-900-01 rev. K.  From memory: which of the
errors on p. B-7 a rule queues, what an open sense lead does, that a new source function turns the
output off, and that then the power envelope holds the output without an error.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from sim_backend.circuit import CurrentSource, Element, VoltageSource
from sim_backend.models.electrical import ElectricalInstrument, next_range
from sim_backend.models.keithley2400_table import FULL_SCALE, RANGES, TEST_A
from sim_backend.scpi import Row, ScpiError

if TYPE_CHECKING:
    from sim_backend.bench import SimBench

HEADROOM = FULL_SCALE
AUTO_DELAY_S = 1e-3  # p. 6-7, figure 6-1
OFF_PART = 0.005  # of the range: the limit while the output is off, p. 18-57
FUNCTIONS = ("VOLT", "CURR", "RES")
SOURCE_RANGE = {"v": "v_range", "i": "i_source_range"}
SENSE_RANGE = {"i_range": "i", "v_sense_range": "v"}
SOURCE_AUTO = {"v": "v_range_auto", "i": "i_source_auto"}
SENSE_OF = {
    "v": ("VOLT", "v_sense_range", "v_sense_auto"),
    "i": ("CURR", "i_range", "i_range_auto"),
}
LIMITED_BY = {"v": "i", "i": "v"}  # the one is sourced, the other limited
#: 22 W: on the largest source range a limit is at most this, A or V (p. 18-62, specifications)
POWER = {"v": (200.0, 0.105), "i": (1.0, 21.0)}
LEAST_LIMIT = 1e-3  # of the measurement range, p. 18-68


class SourceSide(ElectricalInstrument):
    """What sources.  The keys of voltage and current are v and i."""

    terminals = ("hi", "lo", "sense_hi", "sense_lo")

    bench: SimBench

    def _set_defaults(self) -> None:
        super()._set_defaults()
        #: measured, in the order of a reading
        self.functions: tuple[str, ...] = ("CURR",)
        #: what is on in the list and sweep modes: the last point of the last sweep
        self.held: float | None = None

    # -- what it is -------------------------------------------------------------------------------

    @property
    def key(self) -> str:
        """v or i: what it sources."""
        if self.auto_ohms:
            return "i"
        return "v" if self.state["source_function"] == "VOLT" else "i"

    @property
    def auto_ohms(self) -> bool:
        """Ohms are measured with a test current of the meter's own choice (p. 18-61)."""
        return "RES" in self.functions and self.state["ohms_mode"] == "AUTO"

    @property
    def level(self) -> float:
        """What it is set to source now, V or A."""
        if self.auto_ohms:
            return TEST_A[self.state["ohm_range"]]
        if self.state[f"{self.key}_mode"] != "FIX" and self.held is not None:
            return self.held
        return float(self.state[f"{self.key}_level"])

    def span(self, key: str) -> float:
        """The measurement range, V or A: of what it sources, the source's (p. 18-62)."""
        if key == self.key and not self.auto_ohms:
            return float(self.state[SOURCE_RANGE[key]])
        return float(self.state["i_range" if key == "i" else "v_sense_range"])

    @property
    def terminal_v(self) -> float:
        """A bound of the voltage at the high terminal against low, V.  Off is 0 V."""
        if not self.state["output"]:
            return 0.0
        if self.key == "v":
            return self.level
        return float(np.sign(self.level) * self.compliance[0])

    @property
    def compliance(self) -> tuple[float, bool]:
        """What the output is held at, A or V, and whether that is the end of a fixed measurement
        range ("range compliance") and not the setting ("real"): the lower counts (p. 6-2)."""
        state, key = self.state, LIMITED_BY[self.key]
        name, span, auto = SENSE_OF[key]
        most, (largest, held) = float(state[f"{key}_protection"]), POWER[self.key]
        if not self.auto_ohms:
            most = min(most, held) if state[SOURCE_RANGE[self.key]] == largest else most
            end = HEADROOM * state[span]
            if not state[auto] and {name, "RES"} & set(self.functions) and end < most:
                return end, True
        return most, False

    @property
    def sense_open(self) -> bool:
        """Four-wire, and a sense lead is wired to nothing."""
        joined = self.bench.plant.joined
        leads = (self.node("sense_hi"), self.node("sense_lo"))
        return bool(self.state["four_wire"]) and any(lead not in joined for lead in leads)

    def elements(self) -> Sequence[Element]:
        """A source within its limit; off, what its off state is (p. 18-57)."""
        return self.swept(self.level) if self.state["output"] else [self._off()]

    def swept(self, level: ArrayLike) -> Sequence[Element]:
        """The same at levels, V or A.  With four wires it holds them where the sense leads end; an
        open lead drives it to the end of its range."""
        state = self.state
        if not state["output"]:
            return [self._off()]
        hi, lo = self.node("hi"), self.node("lo")
        runaway = state["four_wire"] and self.sense_open
        if state["four_wire"] and not runaway:
            hi, lo = self.node("sense_hi"), self.node("sense_lo")
        if self.key == "i":
            return [CurrentSource(hi, lo, level, 210.0 if runaway else self.compliance[0])]
        if runaway:
            level = np.copysign(HEADROOM * state["v_range"], level)
        return [VoltageSource(hi, lo, level, self.compliance[0])]

    def _off(self) -> Element:
        state, hi, lo = self.state, self.node("hi"), self.node("lo")
        if state["off_mode"] == "HIMP":
            return self.open()
        if state["off_mode"] == "GUAR":
            return CurrentSource(hi, lo, 0.0, OFF_PART * self.span("v"))
        most_a = OFF_PART * self.span("i")
        if state["off_mode"] == "ZERO":
            sourced_a = abs(state["i_level"])
            most_a = state["i_protection"] if self.key == "v" else max(most_a, sourced_a)
        return VoltageSource(hi, lo, 0.0, most_a)

    def _answer(self, row: Row, text: str) -> bytes | None:
        """The measurement range of what it sources is the source's (memory)."""
        if row.name in SENSE_RANGE and not text and row.argument is not None:
            shown: str = row.argument.show(self.span(SENSE_RANGE[row.name]))
            return shown.encode()
        return super()._answer(row, text)

    # -- settings ---------------------------------------------------------------------------------

    def set_output(self, _: bool) -> None:
        self.bench.touch()

    def set_off_mode(self, _: str) -> None:
        self.bench.touch()

    def set_sensing(self, _: bool) -> None:
        self.bench.touch()

    def set_function(self, _: str) -> None:
        self.state["output"] = False
        self.held = None
        self.bench.touch()

    def set_mode(self, _: str) -> None:
        self.held = None
        self.bench.touch()

    def _set_level(self, key: str, value: float) -> None:
        span, auto = SOURCE_RANGE[key], SOURCE_AUTO[key]
        if self.state[auto]:
            larger = next_range(RANGES[key], value, HEADROOM)
            self._check_power(key, larger)
            self.state[span] = larger
        elif abs(value) > HEADROOM * self.state[span] * (1 + 1e-9):
            raise ScpiError(-222)
        self.bench.touch()

    def set_v_level(self, value: float) -> None:
        self._set_level("v", value)

    def set_i_level(self, value: float) -> None:
        self._set_level("i", value)

    def _set_source_range(self, key: str, span: float) -> None:
        if abs(self.state[f"{key}_level"]) > HEADROOM * span * (1 + 1e-9):
            raise ScpiError(-221)
        self._check_power(key, span)
        self.state[SOURCE_AUTO[key]] = False

    def _check_power(self, key: str, span: float | None) -> None:
        """Not more than 22 W of what is sourced.

        Raises:
            ScpiError: 826, the limit in force is above what goes with the range.
        """
        largest, most = POWER[key]
        limit = self.state[f"{LIMITED_BY[key]}_protection"]
        if key == self.key and span == largest and limit > most * (1 + 1e-9):
            raise ScpiError(826)

    def set_v_range(self, value: float) -> None:
        self._set_source_range("v", value)

    def set_i_source_range(self, value: float) -> None:
        self._set_source_range("i", value)

    def _set_sense_range(self, key: str, span: float) -> None:
        """Not of what it sources: there the source's range counts; and not above the range that the
        compliance is on (p. 18-62; 823 and 824 seen on a 2401)."""
        if key == self.key:
            raise ScpiError(823)
        most = next_range(RANGES[key], self.state[f"{key}_protection"], HEADROOM)
        if most is not None and span > most:
            raise ScpiError(824)
        self.state[SENSE_OF[key][2]] = False
        self.bench.touch()  # it may hold the output

    def set_i_range(self, value: float) -> None:
        self._set_sense_range("i", value)

    def set_v_sense_range(self, value: float) -> None:
        self._set_sense_range("v", value)

    def _set_sense_auto(self, key: str, on: bool) -> None:
        if on and key == self.key:
            raise ScpiError(823)
        self.bench.touch()

    def set_i_range_auto(self, on: bool) -> None:
        self._set_sense_auto("i", on)

    def set_v_sense_auto(self, on: bool) -> None:
        self._set_sense_auto("v", on)

    def set_ohm_range(self, _: float) -> None:
        """Not in manual ohms (p. 18-62)."""
        if self.state["ohms_mode"] == "MAN":
            raise ScpiError(-221)
        self.state["ohm_auto"] = False
        self.bench.touch()

    def set_ohms_mode(self, _: str) -> None:
        self.bench.touch()

    def _set_compliance(self, key: str, value: float) -> None:
        _, span, auto = SENSE_OF[key]
        if not self.state[auto] and value < LEAST_LIMIT * self.state[span] * (1 - 1e-9):
            raise ScpiError(822)
        source = LIMITED_BY[key]
        self._check_power(source, self.state[SOURCE_RANGE[source]])
        self.bench.touch()

    def set_i_compliance(self, value: float) -> None:
        self._set_compliance("i", value)

    def set_v_compliance(self, value: float) -> None:
        self._set_compliance("v", value)

    def set_delay(self, _: float) -> None:
        self.state["delay_auto"] = False

    def set_delay_auto(self, on: bool) -> None:
        if on:
            self.state["delay"] = AUTO_DELAY_S
