"""The message side of the bench: what comes over the bus, when, and what befalls it on the way."""

from __future__ import annotations

import math
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from sim_backend.clock import Clock
from sim_backend.failure import told_by
from sim_backend.faults import FaultPlan
from sim_backend.instrument import SimInstrument
from sim_backend.scpi import ScpiError, Unit

if TYPE_CHECKING:
    from sim_backend.models.electrical import ElectricalInstrument
    from sim_backend.plant import Plant
    from sim_backend.programme import Course, Running
    from sim_backend.timeline import Timeline
    from sim_backend.truth import Truth


class MessageSide(ABC):
    """Messages, replies, and the time that they take; :class:`sim_backend.bench.SimBench` is the
    whole."""

    truth: Truth
    lock: threading.RLock
    clock: Clock
    spent_s: dict[str, float]
    timeline: Timeline
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
                with told_by(instrument):
                    self._befall()
            if watches and arriving in ([message], []):
                if arriving:
                    with told_by(instrument):
                        instrument.execute(units, error, message)
                return
            with told_by(instrument):
                self._elapse(self.truth.costs.message_s, "bus")
                self._elapse(len(message) * self.truth.costs.byte_s, "upload")
            for text in arriving:
                if text != message:
                    units, error = instrument.units(text)
                self._deliver(instrument, units, error, text)

    def _deliver(
        self, instrument: SimInstrument, units: list[Unit], error: ScpiError | None, text: str
    ) -> None:
        """A message has arrived at an instrument: whatever fails before, it may mend the bench."""
        with told_by(instrument):
            self._elapse(instrument.message_time_s, "bus")
            if instrument.waits(units):  # in its input buffer, until its trigger model is idle
                self._wait(lambda: not instrument.waits(units), instrument)
            self._catch_up()
        with told_by(instrument):
            instrument.receive(units, error, text)
        with told_by(instrument):
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
            with told_by(instrument):
                instrument.work()

    def _note_late(self, instrument: SimInstrument) -> None:
        """Whether a late reply can be read by now has a place in the status byte."""
        instrument.late = self.faults.readable(instrument.name, self.clock.now_s) is not None

    def _wait(
        self,
        until: Callable[[], bool],
        instrument: SimInstrument | None = None,
        *,
        real: bool = False,
    ) -> None:
        """Let time go on while something ends by itself, until something holds.

        Args:
            until: what is waited for.
            instrument: whose doings are waited for; none: those of all.
            real: in real-time mode too.
        """
        while (real or self.clock.realtime is None) and not until():
            wake = self.timeline.wake(instrument)
            if wake is None:
                break
            left_s = max(0.0, wake[0] - self.clock.now_s)
            self.clock.wait_wall(left_s)
            self._elapse(left_s, wake[1])
            self.timeline.catch_up()
            self._work()

    def await_reply(self, instrument: SimInstrument) -> None:
        """Somebody reads: the reply to a question that waits comes in its time."""
        with self.lock, told_by(instrument):
            there = partial(self._replies, instrument)
            self._wait(there, instrument, real=True)

    def _replies(self, instrument: SimInstrument) -> bool:
        """Nothing has to be waited for."""
        return bool(instrument.output) or not instrument.inbox

    def _catch_up(self) -> None:
        """What has been due is not touched by what comes now, and what holds has its effect."""
        self.timeline.catch_up(changes=True)
        self.live_through()

    def start(self, instrument: SimInstrument, course: Course) -> Running:
        """An instrument goes through the steps of a sequence by itself."""
        return self.timeline.start(instrument, course)

    def readable(self, instrument: SimInstrument) -> bytes:
        """The bytes that a read would find."""
        late = self.faults.readable(instrument.name, self.clock.now_s)
        return instrument.output if late is None else late

    def take(self, instrument: SimInstrument, count: int) -> tuple[bytes, bool] | None:
        """At most ``count`` bytes of a reply and whether more follows; None: there is none."""
        with self.lock:
            owes = bool(instrument.inbox)
            self.await_reply(instrument)
            if self.faults.any:
                late = self.faults.take_late(instrument.name, count, self.clock.now_s)
                if late is not None:
                    self._note_late(instrument)
                    return late
                owes = owes or self.faults.owes(instrument.name)
            if not instrument.output and not owes:
                instrument.put_error(ScpiError(-420))
            return instrument.take(count) if instrument.output else None

    def serial_poll(self, instrument: SimInstrument) -> int:
        """The status byte; an observation.  An instrument without power answers 0."""
        with self.lock:
            if self.faults.dark(instrument.name, self.clock.now_s):
                return 0
            return instrument.serial_poll()

    def device_clear(self, instrument: SimInstrument) -> None:
        """Selected device clear."""
        with self.lock:
            self.faults.on_clear(instrument.name)
            self._note_late(instrument)
            with told_by(instrument):
                self._catch_up()
            with told_by(instrument):
                instrument.device_clear()
            self._work()

    def pause(self, seconds: float) -> None:
        """Let the controller wait: to the end of what runs at once, or for ``seconds``.

        In real-time mode the wait takes its time, and is never longer than ``seconds``.
        """
        self.clock.wait_wall(seconds)
        with self.lock:
            before_ns = self.clock.now_ns
            with told_by(self.by_name[self.truth.field_source]):
                self._wait(lambda: False)
                if self.clock.now_ns == before_ns:
                    self._elapse(seconds, "settle" if self.timeline.idle else "integrate")
                self.timeline.catch_up()
            self._work()

    # -- time -------------------------------------------------------------------------------------

    def pass_time(self, seconds: float, what: str) -> None:
        """Move the clock, book the time, and let come to pass what is due in it."""
        self.clock.advance(seconds)
        self.spent_s[what] += max(0.0, seconds)
        self.timeline.catch_up()

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
            self.timeline.catch_up(changes=True)
            self._befall(at_s)
        self.pass_time(seconds, what)

    def _befall(self, until_s: float = -math.inf) -> None:
        """What is due by now happens: late replies, power cycles, relays and layers that move.

        Args:
            until_s: what is due by then too, s: the clock's last digits differ.
        """
        if not self.faults.any:
            return
        for event in self.faults.events(max(self.clock.now_s, until_s)):
            if event.kind == "late_reply":
                self._note_late(self.by_name[event.name])
                continue
            if event.kind == "relays":
                self.relays_stick(event.time_s)
            if event.kind == "power_cycle":
                self.before_power_cycle(self.by_name[event.name])
                self.by_name[event.name].power_cycle()
            self.touch()
            if event.kind == "switched":
                self.plant.throw(event)

    # -- of the other side ------------------------------------------------------------------------

    @abstractmethod
    def live_through(self) -> None:
        """What has held until now has its effect."""

    @abstractmethod
    def touch(self, *, always: bool = False) -> None:
        """Something changed: devices take note of it."""

    @abstractmethod
    def relays_stick(self, time_s: float) -> None:
        """Relays of the switch begin to stick at this bench time, s, or move again."""

    @abstractmethod
    def before_power_cycle(self, instrument: ElectricalInstrument) -> None:
        """An instrument loses its power."""
