"""Keithley 6221 current source: dc and list sweeps on the trigger link.

The language is in :mod:`sim_backend.models.keithley6221_table`, waves in
:mod:`~sim_backend.models.keithley6221_wave`, delta mode and the buffer in
:mod:`~sim_backend.models.keithley6221_delta`.  Page numbers are of the 622x Reference Manual,
622X-901-01; "memory" is not checked against it.  Not simulated: staircase sweeps, a count of
sweeps, the zero between two ranges of an AUTO sweep, pulse delta, differential conductance, math
and filters, pulses of the phase marker, arm events of the trigger link.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sim_backend.models.keithley6221_delta import DeltaMode
from sim_backend.models.keithley6221_table import TABLE
from sim_backend.models.keithley6221_wave import RANGES_A
from sim_backend.scpi import ScpiError

# Operation register, p. 11-3.
SWEEP_DONE, SWEEP_ABORTED, SWEEPING, AWAITS_ARM, IDLE = 1 << 1, 1 << 2, 1 << 3, 1 << 6, 1 << 10
COMPLIANCE = 1 << 3  # measurement event register, p. 11-16
MOST_POINTS = 65535  # memory


class Keithley6221(DeltaMode):
    """See the module's docstring."""

    table = TABLE
    identity = "KEITHLEY INSTRUMENTS INC.,MODEL 6221,0000000,D04  /700x"
    message_time_s = 1e-3  # memory

    def _set_defaults(self) -> None:
        super()._set_defaults()
        self.armed = False  # for a list
        self.waiting = False  # for its arm event
        self.sweeping = False
        self.registers["operation"].condition = IDLE

    @property
    def busy(self) -> bool:
        return self.sweeping

    @property
    def most_a(self) -> float:
        """What the compliance drives through the line, A."""
        return float(self.state["compliance"] / self.bench.line_resistance_ohm)

    def limited(self) -> None:
        """It holds its compliance."""
        self.measurement_event |= COMPLIANCE

    def beep(self, _: object) -> None:
        """Nobody hears it."""

    def set_output(self, on: bool) -> None:
        if not on:
            self.armed = self.waiting = False
            self.wave_armed, self.wave_start_s = False, None
            self.delta_armed = False
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
        if state["sweep_count"] != 1:
            raise ScpiError(-221)
        self.delta_armed = self.wave_armed = False  # it takes their place (p. 5-34)
        self.wave_start_s = None
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
        """Start what is armed: delta mode, or a list after its arm event."""
        if self.delta_armed:
            self.start_delta()
            return
        if not self.armed or self.sweeping or self.waiting:
            raise ScpiError(-213)
        self._check_lists()
        if self.state["arm_source"] in ("IMM", "TIM"):
            self._start()
            return
        self.waiting = True
        self._show(AWAITS_ARM)

    def trigger(self) -> None:
        """``*TRG``; with IMMediate nobody waits for it."""
        if self.waiting and self.state["arm_source"] == "BUS":
            self._start()

    def _start(self) -> None:
        self.waiting = False
        self.state["compliance"] = min(self.state["list_compliance"])
        self.sweeping = True
        self._show(SWEEPING)
        self.bench.start_sweep(self)

    def _show(self, bits: int) -> None:
        """The operation conditions."""
        self.set_condition("operation", SWEEPING | AWAITS_ARM | IDLE, False)
        self.set_condition("operation", bits, True)

    def sweep_ended(self, level_a: float, *, done: bool) -> None:
        """The bench tells how the sweep ended; its last level stays on (p. 4-4)."""
        self.state["level"] = level_a
        if self.state["sweep_range"] == "AUTO":
            self.state["range"] = next(r for r in RANGES_A if abs(level_a) <= 1.05 * r)
        self.sweeping = self.armed = False
        self._show(IDLE)
        self.operation_event |= SWEEP_DONE if done else SWEEP_ABORTED

    def abort(self) -> None:
        if self.sweeping:
            self.bench.end_sweep()
        if self.waiting:
            self._show(IDLE)
        self.armed = self.waiting = self.delta_armed = False
