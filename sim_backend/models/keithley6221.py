"""Keithley 6221 current source: dc and list sweeps on the trigger link.

Page numbers are of the 622x Reference Manual, 622X-901-01; "memory" rows are not checked
against it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim_backend.circuit import CurrentSource, Element
from sim_backend.instrument import COMMON_ROWS
from sim_backend.models.electrical import ElectricalInstrument
from sim_backend.scpi import (
    Boolean,
    Choice,
    Number,
    Numbers,
    ScpiError,
    Table,
    Whole,
    command,
    query,
    setting,
)  # fmt: skip

RANGES_A = (2e-9, 2e-8, 2e-7, 2e-6, 2e-5, 2e-4, 2e-3, 2e-2, 1e-1)
SWEEP_DONE, SWEEP_ABORTED = 1 << 1, 1 << 2  # operation event register (memory)
COMPLIANCE = 1 << 3  # measurement event register (memory)
MOST_POINTS = 65535  # memory

_ROWS = (
    *COMMON_ROWS,
    setting("output", ":OUTPut[:STATe]", Boolean(), False, "driver", then="set_output"),
    setting("low_to_earth", ":OUTPut:LTEarth", Boolean(), False, "driver"),
    setting("inner_shield", ":OUTPut:ISHield", Choice(("OLOW", "GUARd")), "OLOW", "driver"),
    setting("display", ":DISPlay:ENABle", Boolean(), True, "driver"),
    setting("level", "[:SOURce]:CURRent[:LEVel][:IMMediate][:AMPLitude]",
            Number(-0.105, 0.105), 0.0, "driver", then="set_level"),
    setting("range", "[:SOURce]:CURRent:RANGe", Number(-0.105, 0.105), 0.1, "driver",
            then="set_range"),
    setting("range_auto", "[:SOURce]:CURRent:RANGe:AUTO", Boolean(), False, "driver"),
    setting("compliance", "[:SOURce]:CURRent:COMPliance", Number(0.1, 105, 10), 10.0, "driver"),
    setting("filter", "[:SOURce]:CURRent:FILTer[:STATe]", Boolean(), False, "memory"),
    setting("delay", "[:SOURce]:DELay", Number(1e-3, 999999.999, 1), 1.0, "driver"),
    # list sweep
    setting("list", "[:SOURce]:LIST:CURRent", Numbers(-0.105, 0.105, 100), [0.0], "memory"),
    command("[:SOURce]:LIST:CURRent:APPend", "append_list", "memory",
            argument=Numbers(-0.105, 0.105, 100)),
    query("[:SOURce]:LIST:CURRent:POINts", "ask_list_points", "memory", observation=True),
    setting("list_delay", "[:SOURce]:LIST:DELay", Numbers(1e-3, 999999.999, 100), [1.0], "memory"),
    command("[:SOURce]:LIST:DELay:APPend", "append_delay", "memory",
            argument=Numbers(1e-3, 999999.999, 100)),
    query("[:SOURce]:LIST:DELay:POINts", "ask_delay_points", "memory", observation=True),
    setting("list_compliance", "[:SOURce]:LIST:COMPliance", Numbers(0.1, 105, 100), [10.0],
            "memory"),
    command("[:SOURce]:LIST:COMPliance:APPend", "append_compliance", "memory",
            argument=Numbers(0.1, 105, 100)),
    query("[:SOURce]:LIST:COMPliance:POINts", "ask_compliance_points", "memory", observation=True),
    setting("sweep_spacing", "[:SOURce]:SWEep:SPACing", Choice(("LINear", "LOGarithmic", "LIST")),
            "LIN", "memory"),
    setting("sweep_range", "[:SOURce]:SWEep:RANGing", Choice(("AUTO", "BEST", "FIXed")), "BEST",
            "p. 4-9"),
    setting("sweep_count", "[:SOURce]:SWEep:COUNt", Whole(1, 9999, 1), 1, "driver"),
    setting("sweep_abort", "[:SOURce]:SWEep:CABort", Boolean(), False, "memory"),
    command("[:SOURce]:SWEep:ARM", "arm_sweep", "memory"),
    command("[:SOURce]:SWEep:ABORt", "abort", "driver", while_busy=True),
    # trigger model
    setting("arm_source", ":ARM[:SEQuence[1]][:LAYer[1]]:SOURce",
            Choice(("IMMediate", "TIMer", "BUS", "TLINk", "MANual")), "IMM", "driver"),
    setting("trigger_source", ":TRIGger[:SEQuence[1]]:SOURce",
            Choice(("IMMediate", "TLINk", "BUS")), "IMM", "driver"),
    setting("trigger_direction", ":TRIGger[:SEQuence[1]]:DIRection",
            Choice(("ACCeptor", "SOURce")), "ACC", "memory"),
    setting("trigger_in", ":TRIGger[:SEQuence[1]]:ILINe", Whole(1, 6, 1), 1, "driver"),
    setting("trigger_out", ":TRIGger[:SEQuence[1]]:OLINe", Whole(1, 6, 2), 2, "driver"),
    setting("trigger_output_event", ":TRIGger[:SEQuence[1]]:OUTPut",
            Choice(("NONE", "SOURce", "DELay")), "NONE", "driver"),
    command(":INITiate[:IMMediate]", "initiate", "driver"),
    command(":ABORt", "abort", "driver", while_busy=True),
)  # fmt: skip


class Keithley6221(ElectricalInstrument):
    """See the module's docstring."""

    table = Table(_ROWS)
    identity = "KEITHLEY INSTRUMENTS INC.,MODEL 6221,0000000,D04  /700x"
    message_time_s = 1e-3  # memory

    def _set_defaults(self) -> None:
        super()._set_defaults()
        self.armed = False
        self.sweeping = False

    @property
    def busy(self) -> bool:
        return self.sweeping

    @property
    def most_a(self) -> float:
        """What the compliance drives through the line, A."""
        return float(self.state["compliance"] / self.bench.line_resistance_ohm)

    def elements(self) -> Sequence[Element]:
        """A current source within its compliance; off: nothing."""
        return self.swept(self.state["level"])

    def swept(self, level: ArrayLike) -> Sequence[Element]:
        """The same at levels, A."""
        if not self.state["output"]:
            return [self.open()]
        return [CurrentSource(self.node("hi"), self.node("lo"), level, self.state["compliance"])]

    def limited(self) -> None:
        """It holds its compliance."""
        self.measurement_event |= COMPLIANCE

    def set_output(self, on: bool) -> None:
        if not on:
            self.armed = False
        self.bench.touch()

    def set_level(self, value: float) -> None:
        if self.state["range_auto"]:
            self.state["range"] = next(r for r in RANGES_A if abs(value) <= 1.05 * r)
        elif abs(value) > 1.05 * self.state["range"]:
            raise ScpiError(-222)
        self.bench.touch()

    def set_range(self, value: float) -> None:
        wanted = next(r for r in RANGES_A if abs(value) <= 1.05 * r)
        if abs(self.state["level"]) > 1.05 * wanted:
            raise ScpiError(-221)
        self.state.update(range=wanted, range_auto=False)

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

    def _check_lists(self) -> None:
        state = self.state
        points = len(state["list"])
        if state["sweep_spacing"] != "LIST" or not (
            points == len(state["list_delay"]) == len(state["list_compliance"])
        ):
            raise ScpiError(-221)

    def arm_sweep(self) -> None:
        """Arming turns the output on (memory)."""
        state = self.state
        self._check_lists()
        self.armed = True
        state["output"] = True
        if state["sweep_range"] == "BEST":
            largest = max(abs(value) for value in state["list"])
            largest = max(largest, abs(state["level"]))
            state["range"] = next(r for r in RANGES_A if largest <= 1.05 * r)
        self.bench.touch()

    def sweep_levels(self) -> NDArray[np.float64]:
        """The levels that come out, point by point.  FIXed range puts out its maximum for what is
        larger, and says nothing (p. 4-9)."""
        levels = np.asarray(self.state["list"], dtype=np.float64)
        if self.state["sweep_range"] == "FIX":
            levels = np.clip(levels, -1.05 * self.state["range"], 1.05 * self.state["range"])
        result: NDArray[np.float64] = levels
        return result

    def initiate(self) -> None:
        if not self.armed or self.sweeping:
            raise ScpiError(-213)
        self._check_lists()
        self.state["compliance"] = min(self.state["list_compliance"])
        self.sweeping = True
        self.bench.start_sweep(self)

    def sweep_ended(self, level_a: float, *, done: bool) -> None:
        """The bench tells how the sweep ended; its last level stays on (p. 4-4)."""
        self.state["level"] = level_a
        if self.state["sweep_range"] == "AUTO":
            self.state["range"] = next(r for r in RANGES_A if abs(level_a) <= 1.05 * r)
        self.sweeping = self.armed = False
        self.operation_event |= SWEEP_DONE if done else SWEEP_ABORTED

    def abort(self) -> None:
        if self.sweeping:
            self.bench.end_sweep()
        self.armed = False
