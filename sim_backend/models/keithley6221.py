"""Keithley 6221 current source: dc, staircase and list sweeps on the trigger link.

The language is in :mod:`sim_backend.models.keithley6221_table`, the points of a sweep in
:mod:`~sim_backend.models.keithley6221_sweep`, how the output settles in
:mod:`~sim_backend.models.keithley6221_settle`, waves in
:mod:`~sim_backend.models.keithley6221_wave`, their marker in
:mod:`~sim_backend.models.keithley6221_marker`, delta mode and the buffer in
:mod:`~sim_backend.models.keithley6221_delta`.  Page numbers are of the 622x Reference Manual,
622X-901-01; "memory" is not checked against it.  Not simulated: a compliance for each point of a
list (the lowest holds for all), the jitter of a sweep's steps, the arm timer, arm events of the
trigger link and of digital lines, pulse delta, differential conductance, math, averaging.
"""

from __future__ import annotations

from sim_backend.models.keithley6221_sweep import OVER_RANGE, Sweeper, smallest_range
from sim_backend.models.keithley6221_table import TABLE
from sim_backend.scpi import ScpiError

# Operation register, p. 11-3.
SWEEP_DONE, SWEEP_ABORTED, SWEEPING, AWAITS_ARM, IDLE = 1 << 1, 1 << 2, 1 << 3, 1 << 6, 1 << 10
COMPLIANCE = 1 << 3  # measurement event register, p. 11-16


class Keithley6221(Sweeper):
    """See the module's docstring."""

    table = TABLE
    identity = "KEITHLEY INSTRUMENTS INC.,MODEL 6221,0000000,D04  /700x"
    message_time_s = 1e-3  # memory

    def _set_defaults(self) -> None:
        super()._set_defaults()
        self.armed = False  # for a list
        self.waiting = False  # for its arm event
        self.sweeping = False
        self.sweeps_left: float = 0  # to be armed for, of this run
        self.registers["operation"].condition = IDLE

    @property
    def busy(self) -> bool:
        return self.sweeping or self.delta_runs

    def limited(self) -> None:
        """It holds its compliance."""
        self.measurement_event |= COMPLIANCE

    def beep(self, _: object) -> None:
        """Nobody hears it."""

    def set_output(self, on: bool) -> None:
        if not on:
            if self.settles_s:  # what it has got to has been on
                self.state["output"] = True
                self.bench.touch()
                self.state["output"] = False
            self.armed = self.waiting = False
            self.leave_wave()
            self.delta_armed = False
            self.stop_delta()
        self.bench.touch()

    def set_level(self, value: float) -> None:
        if self.state["range_auto"]:
            self.state["range"] = smallest_range(value)
        elif abs(value) > OVER_RANGE * self.state["range"]:
            raise ScpiError(-222)
        self.goes_from(self.reached_a() if self.state["output"] else value)
        self.bench.touch()

    def clear_source(self) -> None:
        """To zero, then off."""
        self.abort()
        self.state["level"] = 0.0
        self.set_level(0.0)
        self.state["output"] = False
        self.set_output(False)

    def ask_interlock(self) -> int:
        """Closed: the output may be on."""
        return 1

    def set_range(self, value: float) -> None:
        wanted = smallest_range(value)
        if abs(self.state["level"]) > OVER_RANGE * wanted:
            raise ScpiError(-221)
        self.state.update(range=wanted, range_auto=False)

    def arm_sweep(self) -> None:
        """Arming turns the output on (memory)."""
        self._check_sweep()
        self.leave_wave()  # it takes the place of wave and delta mode (p. 5-34)
        self.delta_armed = False
        self.armed = True
        self.state["output"] = True
        self._choose_range()
        self.bench.touch()

    def initiate(self) -> None:
        """Start what is armed: delta mode, or a list after its arm event."""
        if self.delta_armed and not self.delta_runs:
            self.start_delta()
            return
        if not self.armed or self.sweeping or self.waiting:
            raise ScpiError(-213)
        self._check_sweep()
        self.sweeps_left = self.state["sweep_count"]
        # The first arm event is bypassed where the direction says so.
        if not self.arms_each or self.state["arm_direction"] == "SOUR":
            self._start()
        else:
            self._await_arm()

    def _await_arm(self) -> None:
        self.waiting = True
        self._show(AWAITS_ARM)

    def trigger(self) -> None:
        """``*TRG``; with IMMediate nobody waits for it."""
        if self.waiting and self.state["arm_source"] == "BUS":
            self._start()

    def _start(self) -> None:
        self.waiting = False
        self.sweeps_left -= 1
        self.sweeps_begun += 1
        if self.state["sweep_spacing"] == "LIST":
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
            self.state["range"] = smallest_range(level_a)
        self.goes_from(self.reached_a() if self.settles_s else level_a)
        self.sweeping = False
        if done and self.arms_each and self.sweeps_left > 0:
            self._await_arm()  # the next sweep has its own arm event
            return
        self.armed = False
        self._show(IDLE)
        self.operation_event |= SWEEP_DONE if done else SWEEP_ABORTED

    def abort(self) -> None:
        self.stop_delta()
        if self.sweeping:
            self.bench.end_sweep()
        if self.waiting:
            self._show(IDLE)
        self.armed = self.waiting = self.delta_armed = False
