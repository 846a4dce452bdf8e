"""Keithley 2450 source meter in its SCPI mode.

Its language is in :mod:`sim_backend.models.keithley2450_table`, its electrical side in
:mod:`sim_backend.models.keithley2450_smu` and, as a meter,
:mod:`sim_backend.models.keithley2450_meter`, its readings in
:mod:`sim_backend.models.keithley2450_readings`, its sweeps in
:mod:`sim_backend.models.keithley2450_sweep`.
Readings with the output off are those of its off state (p. 6-32: zero makes it an ammeter).

Not simulated: configuration lists, trigger blocks but those that sweeps load, math, digital I/O,
the interlock, sweeps without end.
"""

from __future__ import annotations

import re

from sim_backend.models.keithley2450_readings import DEFAULT
from sim_backend.models.keithley2450_smu import OUTPUT_RELAY_S
from sim_backend.models.keithley2450_sweep import Sweeper
from sim_backend.models.keithley2450_table import TABLE
from sim_backend.scpi import ScpiError, Unit
from sim_backend.scpi_errors import ERRORS, entry

_STAMP = re.compile(r';[124],\d+,\d+"$')  # type of event, s, ns (p. 6-101)


class Keithley2450(Sweeper):
    """See the module's docstring."""

    table = TABLE
    identity = "KEITHLEY INSTRUMENTS,MODEL 2450,04000000,1.7.12b"
    message_time_s = 1e-3  # memory
    error_places = 1000  # p. 6-101

    def _set_defaults(self) -> None:
        language = self.state.get("language", "SCPI")
        super()._set_defaults()
        self.state["language"] = language  # *RST leaves it

    def units(self, message: str) -> tuple[list[Unit], ScpiError | None]:
        """Two commands may go without the buffer's name."""
        found, error = super().units(message)
        for at, unit in enumerate(found):
            if unit.row.do in ("clear_buffer", "trigger_buffer") and not unit.text:
                found[at] = Unit(unit.row, unit.is_query, f'"{DEFAULT}"', unit.size)
        return found, error

    # -- source -----------------------------------------------------------------------------------

    def set_function(self, _: str) -> None:
        """The output goes off (memory)."""
        self.check_envelope()
        self.state["output"] = False
        self.lab.touch()

    def set_limit(self, _: object) -> None:
        self.check_envelope()
        self.lab.touch()

    def set_terminals(self, _: str) -> None:
        """The output goes off (memory)."""
        self.state["output"] = False
        self.lab.pass_time(OUTPUT_RELAY_S, "relay")
        self.lab.touch()

    def set_sensing(self, _: bool) -> None:
        self.lab.touch()

    def set_volt_delay(self, _: float) -> None:
        self.state["volt_delay_auto"] = False

    def set_curr_delay(self, _: float) -> None:
        self.state["curr_delay_auto"] = False

    def set_off_state(self, mode: str) -> None:
        """Of both functions (p. 6-32)."""
        self.state.update(volt_off=mode, curr_off=mode)
        self.lab.touch()

    def ask_off_state(self) -> str:
        return str(self.state[f"{self.state['function'].lower()}_off"])

    def ask_volt_tripped(self) -> int:
        return int(self.tripped("VOLT"))

    def ask_curr_tripped(self) -> int:
        return int(self.tripped("CURR"))

    def ask_protected(self) -> int:
        return int(self.protected)

    def beep(self, _: object) -> None:
        """Nobody hears it."""

    # -- event log --------------------------------------------------------------------------------

    def put_error(self, error: ScpiError) -> None:
        """Log an error with its time (p. 6-101)."""
        super().put_error(ScpiError(error.number, error.detail + self._stamp(1)))

    def _stamp(self, kind: int) -> str:
        now_ns = self.lab.clock.now_ns
        return f";{kind},{now_ns // 10**9},{now_ns % 10**9}"

    def ask_error(self) -> str:
        return _STAMP.sub('"', super().ask_error())

    def ask_event(self, _: str | None) -> str:
        """The oldest event, whatever its type."""
        return self.errors.popleft() if self.errors else entry(0, ERRORS[0] + ";0,0,0")

    def ask_event_count(self, _: str | None) -> int:
        return len(self.errors)

    def post_event(self, given: tuple[str, str | None]) -> None:
        kind = {"ERR": 1, "WARN": 2, "INF": 4}[given[1] or "INF"]
        self.errors.append(entry(1003, f"User: {given[0]}{self._stamp(kind)}"))

    def clear_events(self) -> None:
        """``:STATus:CLEar``: the event registers, not the log."""
        self.event_status = 0
        for register in self.registers.values():
            register.event = 0
