"""One VISA session to an instrument: its bytes, its termination, its events."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from pyvisa import rname
from pyvisa.constants import (
    AccessModes,
    BufferOperation,
    EventMechanism,
    InterfaceType,
    IOProtocol,
    SerialTermination,
    StatusCode,
)  # fmt: skip
from pyvisa.constants import ResourceAttribute as A

from sim_backend import port
from sim_backend.instrument import SimInstrument
from sim_backend.visa_attributes import attributes_of

if TYPE_CHECKING:
    from sim_backend.bench import SimBench

_DROP_READ = (
    BufferOperation.discard_read_buffer
    | BufferOperation.discard_receive_buffer
    | BufferOperation.discard_receive_buffer2
)
_DROP_WRITE = BufferOperation.discard_write_buffer | BufferOperation.discard_transmit_buffer
_CALLS = EventMechanism.handler | EventMechanism.suspend_handler


class Manager:
    """A resource manager's session."""

    def __init__(self) -> None:
        self.attributes: dict[int, Any] = {
            A.resource_class: "MEMACC",
            A.timeout_value: 2000,
            A.resource_manufacturer_name: "SpinLoop",
            A.resource_spec_version: 0x0050_0800,
        }


class Session:
    """What VISA keeps for one opened resource.

    GPIB, USB and TCPIP INSTR carry END with the last byte of a message; a socket and a serial line
    do not, and know the end of a message by its terminator alone.

    Args:
        bench: where the instrument is.
        instrument: what the resource is.
        name: the resource's name.
        manager: number of the resource manager's session.
    """

    def __init__(
        self, bench: SimBench, instrument: SimInstrument, name: rname.ResourceName, manager: int
    ) -> None:
        self.bench, self.instrument = bench, instrument
        self.access = port.access_of(instrument)
        self.serial = name.interface_type_const == InterfaceType.asrl
        self.has_end = name.resource_class == "INSTR" and not self.serial
        self.attributes: dict[int, Any] = attributes_of(name, instrument, manager)
        self._coming = port.MessageBuffer(bench, instrument, b"\r\n" if self.serial else b"\n")
        #: how service requests are told: a sum of EventMechanism
        self.mechanisms = 0
        self.queued = 0
        #: service requests for the handlers: not told yet
        self.untold = 0
        self.handlers: deque[tuple[Any, Any]] = deque()
        self.opened_s = bench.clock.now_s
        self._leave = port.on_service_request(instrument, self._on_request)

    @property
    def lost(self) -> StatusCode | None:
        """The error of a session that has lost its link."""
        return self.bench.faults.link(self.instrument.name, self.bench.clock.now_s, self.opened_s)

    @property
    def lock_state(self) -> AccessModes:
        """Whether somebody has locked the instrument, and how."""
        if self.access.exclusive:
            return AccessModes.exclusive_lock
        return AccessModes.shared_lock if self.access.holders else AccessModes.no_lock

    @property
    def lock_status(self) -> StatusCode:
        """What a lock or an unlock is told: the locks that the session has besides."""
        exclusive, shared = self.access.held(self)
        if exclusive:
            return StatusCode.success_nested_exclusive
        return StatusCode.success_nested_shared if shared else StatusCode.success

    @property
    def shared_key(self) -> str:
        """The key of the shared lock that the session has; "": none."""
        return self.access.key if self.access.held(self)[1] else ""

    def close(self) -> None:
        """Locks and what was under way are gone."""
        self._leave()
        self.access.leave(self)

    # -- bytes ------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Deliver the messages that end in ``data``; the start of one waits for its end."""
        ended = self.has_end and bool(self.attributes[A.send_end_enabled])
        for message in self._coming.feed(data, ended=ended):
            self.bench.write(self.instrument, message)

    def read(self, count: int) -> tuple[bytes, StatusCode]:
        """At most ``count`` bytes of a reply, up to what ends a read.

        END ends it first of all (VPP-4.3 rule 6.1.4), unless it is suppressed.  Without more bytes
        and an end the time is out at once, and what has been read is lost, as it is through PyVISA.
        """
        values = self.attributes
        serial_end = self.serial and values[A.asrl_end_in] == SerialTermination.termination_char
        stops = serial_end or bool(values[A.termchar_enabled])
        with self.bench.lock:
            self.bench.await_reply(self.instrument)
            at = -1
            if stops:
                waiting = self.bench.readable(self.instrument)
                at = waiting.find(bytes([values[A.termchar]]), 0, count)
            taken = self.bench.take(self.instrument, at + 1 if at >= 0 else count)
        if taken is None:
            return b"", StatusCode.error_timeout
        data, more = taken
        ends = not more and not values[A.suppress_end_enabled] and not self.serial
        if ends and (self.has_end or at < 0):  # a socket's packet ends where nothing follows
            return data, StatusCode.success
        if at >= 0:
            told = bool(values[A.termchar_enabled])
            return data, (
                StatusCode.success_termination_character_read if told else StatusCode.success
            )
        if len(data) == count:
            return data, StatusCode.success_max_count_read
        return b"", StatusCode.error_timeout

    def flush(self, mask: int) -> None:
        """Drop what the mask names; nothing is held back that would have to be sent."""
        if mask & _DROP_WRITE:
            self._coming.clear()
        if mask & _DROP_READ:
            self._drop_reply()

    def _drop_reply(self) -> None:
        with self.bench.lock:
            while waiting := self.bench.readable(self.instrument):
                self.bench.take(self.instrument, len(waiting))

    def clear(self) -> None:
        """Device clear; a socket and a serial line have none: their buffers are emptied."""
        self._coming.clear()
        if self.has_end:
            self.bench.device_clear(self.instrument)
        else:
            self._drop_reply()

    @property
    def has_bus_lines(self) -> bool:
        """Whether there are serial poll and trigger; without a bus, by IEEE 488.2 strings only."""
        return self.has_end or self.attributes[A.io_prot] == IOProtocol.protocol4882_strs

    def serial_poll(self) -> int:
        """The status byte."""
        return port.serial_poll(self.bench, self.instrument)

    def trigger(self) -> None:
        """Group execute trigger."""
        port.trigger(self.bench, self.instrument)

    # -- events -----------------------------------------------------------------------------------

    def _on_request(self, _: SimInstrument) -> None:
        """The instrument requests service: perhaps in another thread, inside its own work."""
        if self.lost is not None:
            return
        if self.mechanisms & EventMechanism.queue:
            self.queued = min(self.queued + 1, self.attributes[A.max_queue_length])
        if self.mechanisms & _CALLS:
            self.untold += 1

    def enable(self, mechanism: int) -> StatusCode:
        """Tell service requests this way too."""
        if mechanism & EventMechanism.handler and not self.handlers:
            return StatusCode.error_handler_not_installed
        had = self.mechanisms
        if mechanism & _CALLS:  # handlers are either called or held
            self.mechanisms &= ~_CALLS
        self.mechanisms |= mechanism
        if self.mechanisms == had:
            return StatusCode.success_event_already_enabled
        return StatusCode.success

    def disable(self, mechanism: int) -> StatusCode:
        """Tell them this way no more."""
        had = self.mechanisms
        self.mechanisms &= ~mechanism
        if self.mechanisms == had:
            return StatusCode.success_event_already_disabled
        return StatusCode.success

    def discard(self, mechanism: int) -> StatusCode:
        """Forget what has not been told."""
        had = 0
        if mechanism & EventMechanism.queue:
            had, self.queued = had + self.queued, 0
        if mechanism & EventMechanism.suspend_handler:
            had, self.untold = had + self.untold, 0
        return StatusCode.success if had else StatusCode.success_queue_already_empty
