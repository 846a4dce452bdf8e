"""Status reporting: registers, status byte, service request, error queue.

Source: IEEE 488.2-1992 chapter 11; SCPI-1999 volume 2, chapter 20 and section 21.8; the Keithley
2400's status structure (2400S-900-01 rev. K, section 15), whose questions, error queue and bits of
the status byte the other Keithleys share.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from sim_backend.scpi import Row, Whole, command, query, setting
from sim_backend.scpi_errors import DEVICE_ERROR, ERRORS, ScpiError, entry, event_bit

if TYPE_CHECKING:
    from sim_backend.instrument import SimInstrument

# Bits of the status byte (2400: figure 15-1).
MEASUREMENT_SUMMARY, ERROR_AVAILABLE, QUESTIONABLE, MESSAGE_AVAILABLE = 1, 4, 8, 16
EVENT_SUMMARY, MASTER_SUMMARY, OPERATION_SUMMARY = 32, 64, 128
_ALL = 0x7FFF  # bit 15 is never used, so that no answer is negative (SCPI-1999 volume 2, 20.1)
_SUMMARIES = {
    "measurement": MEASUREMENT_SUMMARY,
    "questionable": QUESTIONABLE,
    "operation": OPERATION_SUMMARY,
}
STATUS_NAMES = {"sre", "ese"} | {
    f"{group}_{part}" for group in _SUMMARIES for part in ("enable", "ptr", "ntr")
}


def _group_rows(node: str, name: str, source: str) -> tuple[Row, ...]:
    return (
        query(f":STATus:{node}[:EVENt]", f"ask_{name}_event", source),
        query(f":STATus:{node}:CONDition", f"ask_{name}_condition", source, observation=True),
        setting(f"{name}_enable", f":STATus:{node}:ENABle", Whole(0, 65535), 0, source),
    )


STATUS_ROWS: tuple[Row, ...] = (
    query("*STB", "ask_stb", "IEEE 488.2 10.36", observation=True),
    query("*ESR", "ask_esr", "IEEE 488.2 10.12", observation=True),
    command("*CLS", "clear_status", "IEEE 488.2 10.3"),
    setting("sre", "*SRE", Whole(0, 255), 0, "IEEE 488.2 10.34", then="set_sre"),
    setting("ese", "*ESE", Whole(0, 255), 0, "IEEE 488.2 10.10"),
    query(":SYSTem:ERRor[:NEXT]", "ask_error", "SCPI-1999 21.8", observation=True),
    query(":SYSTem:ERRor:ALL", "ask_errors", "2400 p. 18-109", observation=True),
    query(":SYSTem:ERRor:COUNt", "ask_error_count", "2400 p. 18-109", observation=True),
    query(":SYSTem:ERRor:CODE[:NEXT]", "ask_error_code", "2400 p. 18-109", observation=True),
    query(":SYSTem:ERRor:CODE:ALL", "ask_error_codes", "2400 p. 18-109", observation=True),
    command(":SYSTem:CLEar", "clear_errors", "2400 p. 18-109"),
    query(":STATus:QUEue[:NEXT]", "ask_error", "2400 p. 18-109", observation=True),
    command(":STATus:QUEue:CLEar", "clear_errors", "2000 manual p. 5-59"),
    command(":STATus:PRESet", "preset_status", "SCPI-1999 20.7"),
    *_group_rows("MEASurement", "measurement", "2400 p. 15-14"),
    *_group_rows("OPERation", "operation", "SCPI-1999 20.4"),
    *_group_rows("QUEStionable", "questionable", "SCPI-1999 20.6"),
)

#: for a model that has them: which edge of a condition is an event
TRANSITION_ROWS: tuple[Row, ...] = tuple(
    setting(f"{name}_{part}", f":STATus:{node}:{long}", Whole(0, 65535), reset, source)
    for node, name, source in (
        ("OPERation", "operation", "SCPI-1999 20.4"),
        ("QUEStionable", "questionable", "SCPI-1999 20.6"),
    )
    for part, long, reset in (("ptr", "PTRansition", _ALL), ("ntr", "NTRansition", 0))
)


@dataclass
class Register:
    """A condition register and the event register behind its transition filters."""

    condition: int = 0
    event: int = 0

    def set_condition(self, value: int, rising: int, falling: int) -> None:
        """New conditions; edges that the filters let through are events."""
        self.event |= (value & ~self.condition & rising) | (self.condition & ~value & falling)
        self.condition = value


class StatusModel:
    """The status side of an instrument, which holds its settings and its output queue too."""

    #: errors that fit into the queue (2400 p. 15-19)
    error_places: ClassVar[int] = 10
    #: texts and numbers that this model has for an error instead of the usual ones
    error_texts: ClassVar[Mapping[int, str]] = {}
    error_numbers: ClassVar[Mapping[int, int]] = {}

    state: dict[str, Any]

    def __init__(self) -> None:
        #: called with the instrument whenever it begins to request service
        self.listeners: list[Callable[[SimInstrument], None]] = []
        self._forget_status()

    def _forget_status(self) -> None:
        self.errors: deque[str] = deque()
        self.registers = {name: Register() for name in _SUMMARIES}
        self._event_status = 0
        self._output = b""
        self._late = False
        self._requesting = False
        self._reasons = 0

    # -- what has a place in the status byte ------------------------------------------------------

    @property
    def output(self) -> bytes:
        """The reply that nobody has read yet."""
        return self._output

    @output.setter
    def output(self, value: bytes) -> None:
        self._output = value
        self._service()

    @property
    def late(self) -> bool:
        """A reply that was late can be read; it is not in the output queue any more."""
        return self._late

    @late.setter
    def late(self, value: bool) -> None:
        self._late = value
        self._service()

    @property
    def event_status(self) -> int:
        """The standard event register."""
        return self._event_status

    @event_status.setter
    def event_status(self, value: int) -> None:
        self._event_status = value
        self._service()

    @property
    def measurement_event(self) -> int:
        """The measurement event register."""
        return self.registers["measurement"].event

    @measurement_event.setter
    def measurement_event(self, value: int) -> None:
        self.registers["measurement"].event = value
        self._service()

    @property
    def operation_event(self) -> int:
        """The operation event register."""
        return self.registers["operation"].event

    @operation_event.setter
    def operation_event(self, value: int) -> None:
        self.registers["operation"].event = value
        self._service()

    @property
    def questionable_event(self) -> int:
        """The questionable event register."""
        return self.registers["questionable"].event

    @questionable_event.setter
    def questionable_event(self, value: int) -> None:
        self.registers["questionable"].event = value
        self._service()

    def set_condition(self, group: str, bits: int, on: bool) -> None:
        """Set or clear conditions of ``measurement``, ``operation`` or ``questionable``; what
        rises is an event, unless the model has transition filters that say otherwise."""
        register = self.registers[group]
        value = register.condition | bits if on else register.condition & ~bits
        rising = self.state.get(f"{group}_ptr", _ALL)
        register.set_condition(value, rising, self.state.get(f"{group}_ntr", 0))
        self._service()

    def _catch_up(self) -> None:
        """Take note of what has ended by now: before the status is read."""

    def put_error(self, error: ScpiError) -> None:
        """Queue an error; the last place says that more came (2400 p. 15-19)."""
        number = self.error_numbers.get(error.number, error.number)
        if len(self.errors) >= self.error_places:
            self.errors[-1] = entry(-350, self.error_texts.get(-350, ERRORS[-350]))
            self.event_status |= event_bit(number) | DEVICE_ERROR
            return
        text = self.error_texts.get(number) or ERRORS.get(number, "Device error")
        self.errors.append(entry(number, text + error.detail))
        self.event_status |= event_bit(number)

    # -- status byte and service request ----------------------------------------------------------

    def _summary(self) -> int:
        state = self.state
        byte = ERROR_AVAILABLE if self.errors else 0
        if self._output or self._late:
            byte |= MESSAGE_AVAILABLE
        if self._event_status & state["ese"]:
            byte |= EVENT_SUMMARY
        for name, bit in _SUMMARIES.items():
            if self.registers[name].event & state[f"{name}_enable"]:
                byte |= bit
        return byte

    def status_byte(self) -> int:
        """The status byte as ``*STB?`` reads it: bit 6 is the master summary (MSS)."""
        self._catch_up()
        byte = self._summary()
        return byte | MASTER_SUMMARY if byte & self.state["sre"] else byte

    def serial_poll(self) -> int:
        """The status byte as a serial poll reads it: bit 6 is the request for service (RQS), which
        the poll clears (IEEE 488.2 section 11.2.2)."""
        self._catch_up()
        self._service()
        byte = self._summary() | (MASTER_SUMMARY if self._requesting else 0)
        self._requesting = False
        return byte

    def _service(self) -> None:
        """Request service for each new reason (IEEE 488.2 section 11.3.3)."""
        sre = self.state.get("sre", 0)
        if not sre and not self._reasons:
            return
        reasons = self._summary() & sre & ~MASTER_SUMMARY
        new, self._reasons = reasons & ~self._reasons, reasons
        if not reasons:
            self._requesting = False
        elif new and not self._requesting:
            self._requesting = True
            for listener in list(self.listeners):
                listener(self)  # type: ignore[arg-type]  # it is the instrument

    def set_sre(self, value: int) -> None:
        """Bit 6 of the enable register is always 0 (IEEE 488.2 section 11.3.2)."""
        self.state["sre"] = value & ~MASTER_SUMMARY

    # -- what the rows do -------------------------------------------------------------------------

    def ask_stb(self) -> int:
        return self.status_byte()

    def ask_esr(self) -> int:
        self._catch_up()
        value, self.event_status = self.event_status, 0
        return value

    def ask_error(self) -> str:
        return self.errors.popleft() if self.errors else entry(0, ERRORS[0])

    def ask_errors(self) -> str:
        return ",".join([self.ask_error() for _ in range(max(1, len(self.errors)))])

    def ask_error_code(self) -> str:
        return self.ask_error().partition(",")[0]

    def ask_error_codes(self) -> str:
        return ",".join([self.ask_error_code() for _ in range(max(1, len(self.errors)))])

    def ask_error_count(self) -> int:
        return len(self.errors)

    def clear_errors(self) -> None:
        self.errors.clear()

    def _ask_event(self, group: str) -> int:
        value, self.registers[group].event = self.registers[group].event, 0
        return value

    def ask_measurement_event(self) -> int:
        return self._ask_event("measurement")

    def ask_operation_event(self) -> int:
        return self._ask_event("operation")

    def ask_questionable_event(self) -> int:
        return self._ask_event("questionable")

    def ask_measurement_condition(self) -> int:
        return self.registers["measurement"].condition

    def ask_operation_condition(self) -> int:
        return self.registers["operation"].condition

    def ask_questionable_condition(self) -> int:
        return self.registers["questionable"].condition

    def clear_status(self) -> None:
        """``*CLS``: events and errors, not the enables."""
        self.errors.clear()
        self.event_status = 0
        for register in self.registers.values():
            register.event = 0

    def preset_status(self) -> None:
        """``:STATus:PRESet``: enables off, every rising edge an event (SCPI-1999 20.7)."""
        for name in (STATUS_NAMES - {"sre", "ese"}) & self.state.keys():
            self.state[name] = _ALL if name.endswith("_ptr") else 0
