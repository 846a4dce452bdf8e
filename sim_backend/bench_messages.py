"""The message side of the bench: what comes over the bus, when, and what befalls it on the way."""

from __future__ import annotations

import math
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING

from sim_backend.clock import Clock
from sim_backend.faults import FaultPlan
from sim_backend.instrument import MESSAGE_AVAILABLE, SimInstrument
from sim_backend.scpi import ScpiError, Unit

if TYPE_CHECKING:
    from sim_backend.models.electrical import ElectricalInstrument
    from sim_backend.plant import Plant
    from sim_backend.sweep import Sweep
    from sim_backend.truth import Truth


class MessageSide(ABC):
    """Messages, replies, and the time that they take; :class:`sim_backend.bench.SimBench` is the
    whole."""

    truth: Truth
    lock: threading.RLock
    clock: Clock
    spent_s: dict[str, float]
    sweep: Sweep | None
    faults: FaultPlan
    plant: Plant
    by_name: Mapping[str, ElectricalInstrument]

    def write(self, instrument: SimInstrument, message: str) -> None:
        """Deliver a message."""
        with self.lock:
            units, error = instrument.units(message)
            watches = error is None and all(u.is_query and u.row.observation for u in units)
            arriving = [message]
            if self.faults.any:
                arriving = self.faults.on_write(instrument.name, message, self.clock.now_s, watches)
                self._befall()
            if watches and arriving in ([message], []):
                if arriving:
                    instrument.execute(units, error, message)
                return
            self._elapse(self.truth.costs.message_s, "bus")
            self._elapse(len(message) * self.truth.costs.byte_s, "upload")
            for text in arriving:
                if text != message:
                    units, error = instrument.units(text)
                self._deliver(instrument, units, error, text)

    def _deliver(
        self, instrument: SimInstrument, units: list[Unit], error: ScpiError | None, text: str
    ) -> None:
        """A message has arrived at an instrument."""
        self._elapse(instrument.message_time_s, "bus")
        self._settle()
        if self.sweep is not None:
            waits = instrument.busy and not (units and units[0].row.while_busy)
            if waits and self.clock.realtime is None and math.isfinite(self.sweep.end_s):
                # Inside the trigger model the message waits in the input buffer until it ends.
                self._elapse(self.sweep.end_s - self.clock.now_s, "integrate")
                self._settle()
            elif not waits:
                # What was due before the message is not touched by it.
                self.sweep.catch_up()
        self.live_through()
        instrument.receive(units, error, text)
        self._befall()  # in the time that the instrument has taken by itself
        self._work()

    def _reply(self, name: str, data: bytes, text: str, watches: bool) -> tuple[bytes, bool]:
        """What can be read at once of a reply that is ready, and whether END ends it."""
        if not self.faults.any:
            return data, True
        reply = self.faults.on_reply(name, text, data, self.clock.now_s, watches)
        return (reply.data, reply.ended) if reply is not None else (b"", True)

    def _work(self) -> None:
        """Let the instruments act on what has waited in their input buffers."""
        for instrument in self.by_name.values():
            instrument.work()

    def readable(self, instrument: SimInstrument) -> bytes:
        """The bytes that a read would find."""
        late = self.faults.readable(instrument.name, self.clock.now_s)
        return instrument.output if late is None else late

    def take(self, instrument: SimInstrument, count: int) -> tuple[bytes, bool] | None:
        """At most ``count`` bytes of a reply and whether more follows; None: there is none."""
        with self.lock:
            owes = False
            if self.faults.any:
                late = self.faults.take_late(instrument.name, count, self.clock.now_s)
                if late is not None:
                    return late
                owes = self.faults.owes(instrument.name)
            if not instrument.output and not instrument.inbox and not owes:
                instrument.put_error(ScpiError(-420))
            return instrument.take(count) if instrument.output else None

    def serial_poll(self, instrument: SimInstrument) -> int:
        """The status byte; an observation.  An instrument without power answers 0."""
        with self.lock:
            if self.faults.dark(instrument.name, self.clock.now_s):
                return 0
            late = self.faults.readable(instrument.name, self.clock.now_s)
            return instrument.serial_poll() | (MESSAGE_AVAILABLE if late is not None else 0)

    def device_clear(self, instrument: SimInstrument) -> None:
        """Selected device clear."""
        with self.lock:
            self.faults.on_clear(instrument.name)
            instrument.device_clear()
            self._work()

    def pause(self, seconds: float) -> None:
        """Let the controller wait: to the end of a running sweep at once, or for ``seconds``.

        In real-time mode the wait takes its time, and is never longer than ``seconds``.
        """
        self.clock.wait_wall(seconds)
        with self.lock:
            running = self.sweep is not None
            if self.sweep is not None and self.clock.realtime is None:
                end = self.sweep.end_s - self.clock.now_s
                seconds = end if math.isfinite(end) else seconds
            self._elapse(seconds, "integrate" if running else "settle")
            self._settle()
            self._work()

    # -- time -------------------------------------------------------------------------------------

    def pass_time(self, seconds: float, what: str) -> None:
        """Move the clock and book the time."""
        self.clock.advance(seconds)
        self.spent_s[what] += max(0.0, seconds)

    def _elapse(self, seconds: float, what: str) -> None:
        """Let time pass, and let happen what befalls the bench in it."""
        if not self.faults.any:
            self.pass_time(seconds, what)
            return
        end_s = self.clock.now_s + seconds
        while (at_s := self.faults.next_event_s()) <= end_s:
            before_s = max(0.0, at_s - self.clock.now_s)
            self.pass_time(before_s, what)
            seconds -= before_s
            self._settle()
            if self.sweep is not None:
                self.sweep.catch_up()
            self._befall(at_s)
        self.pass_time(seconds, what)

    def _befall(self, until_s: float = -math.inf) -> None:
        """What is due by now happens: power cycles, layers that are thrown.

        Args:
            until_s: what is due by then too, s: the clock's last digits differ.
        """
        if not self.faults.any:
            return
        for event in self.faults.events(max(self.clock.now_s, until_s)):
            if event.kind == "power_cycle":
                self.before_power_cycle(self.by_name[event.name])
                self.by_name[event.name].power_cycle()
            self.touch()
            if event.kind == "switched":
                self.plant.throw(event)

    # -- of the other side ------------------------------------------------------------------------

    @abstractmethod
    def _settle(self) -> None:
        """End the sweep if it is over by now."""

    @abstractmethod
    def live_through(self) -> None:
        """What has held until now has its effect."""

    @abstractmethod
    def touch(self, *, always: bool = False) -> None:
        """Something changed: devices take note of it."""

    @abstractmethod
    def before_power_cycle(self, instrument: ElectricalInstrument) -> None:
        """An instrument loses its power."""
