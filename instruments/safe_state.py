"""The bench's state machine, and the way to the safe state."""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import threading
from collections.abc import Callable, Iterable
from typing import Any

from db import NullRecorder, Recorder
from instruments.errors import BenchError, LatchedError, StoppedError
from instruments.state_folder import Latch, clear_latch, find_latch, set_latch
from instruments.states import Cause, State, Trip, now
from instruments.transport import Transport

_LOG = logging.getLogger(__name__)
#: sources in the order in which they go to zero and off: junction voltages, then fields
_ORDER = ("x", "z", "polarizer", "bias", "field")


def stop_order(drivers: Iterable[str]) -> list[str]:
    """The roles that source something, in the order in which they go to zero and off."""
    return [role for role in _ORDER if role in drivers]


class SafeState:
    """State machine of one bench: idle, armed, running, tripped, closed.

    It holds the lines and the drivers, and no reference to the bench: if nobody holds the bench any
    more, or the program ends with it open, this still brings every output to zero and off.

    Args:
        transport: the lines.
        drivers: of each role.
        recorder: hears of trips.
        name: the bench's, for the latch.
        outlives: addresses of instruments that go on when this process ends; none: they end with it
            and nothing is latched.
    """

    def __init__(
        self,
        transport: Transport,
        drivers: dict[str, Any],
        recorder: Recorder | NullRecorder,
        name: str,
        outlives: tuple[str, ...] = (),
    ) -> None:
        self.state = State.IDLE
        self.trip: Trip | None = None
        #: what did not work on the way to the safe state, a sentence each
        self.unsafe: list[str] = []
        #: orderly way to zero before the safe state, after a first interrupt
        self.home: Callable[[], None] | None = None
        #: what the lines need as long as they are used
        self.keep: Any = None
        #: whoever must go when the bench is closed; told whether it is safe
        self.leaving: list[Callable[[bool], None]] = []
        self._transport, self._drivers, self._recorder = transport, drivers, recorder
        self._name, self._outlives = name, outlives
        self._lock = threading.RLock()
        self._was_armed = self._latched = self._gone = False
        self._process = os.getpid()
        atexit.register(self.abandoned)

    # -- idle, armed, running -----------------------------------------------------------------

    def enter(self, state: State) -> State:
        """Change the state, unless the bench is tripped or closed; the state before.

        Raises:
            StoppedError: it is.
            LatchedError: an earlier trip of these instruments has not been reset.
        """
        with self._lock:
            if self.state in (State.TRIPPED, State.CLOSED):
                raise StoppedError(
                    f"the bench is {self.state.value} ({self.trip or 'as planned'}); "
                    + ("reset it" if self.state is State.TRIPPED else "open it anew")
                )
            if state is not State.IDLE and not self._was_armed:
                latch = find_latch(self._outlives) if self._outlives else None
                if latch is not None:
                    raise LatchedError(str(latch))
                self._was_armed = True
            before, self.state = self.state, state
            return before

    def leave(self, state: State) -> None:
        """The end of a run: back to the state before it, unless the bench has tripped."""
        with self._lock:
            if self.state is State.RUNNING:
                self.state = state

    # -- the safe state -----------------------------------------------------------------------

    def stop(self, cause: Cause, reason: str) -> list[str]:
        """Bring everything to zero and off, at once, from any thread; the bench is tripped then.

        Returns:
            What did not work, a sentence each.
        """
        with self._lock:
            if self._gone or (self.state is State.TRIPPED and not self.unsafe):
                return []
            self._go(State.TRIPPED, cause, reason)
            return self.unsafe

    def _go(self, state: State, cause: Cause, reason: str) -> None:
        """Go to the safe state, remember how that went, and write it down if it can be."""
        self.unsafe = self._to_safe_state()
        trip = Trip(cause, reason, now()) if reason else None
        self.state, self.trip = state, self.trip or trip
        kept = ""
        try:
            self._latch()
        except Exception as error:  # a full disk must not hide the reason, nor pass unseen
            kept = f"the next program will not know of this trip ({error}): look at the bench first"
            _LOG.error("%s: %s", self._name, kept)
        with contextlib.suppress(Exception):
            if kept:
                self._recorder.event("not latched", kept)
            if trip is not None:
                self._recorder.event("tripped", str(trip))
            for problem in self.unsafe:
                self._recorder.event("safe state", problem)

    def _to_safe_state(self) -> list[str]:
        """Junction voltages to 0, field to 0, outputs off, relays last."""
        off = {role: self._drivers[role].stop_messages() for role in stop_order(self._drivers)}
        order = [(role, zero) for role, (zero, _, _) in off.items()]
        order += [(role, (*power, look)) for role, (_, power, look) in off.items()]
        problems = self._transport.stop(order)
        for role in off:
            shadow = self._transport.guard.shadows[role]
            if not ("output" in shadow.confirmed and shadow.output is False):
                problems.append(f"{role}: does not report its output off")
        if not problems:
            relays = self._drivers["switch"].stop_messages()[1]
            problems = self._transport.stop([("switch", relays)])
        return problems

    def _orderly(self) -> None:
        """After a first interrupt: end the running list, and the field to 0 in steps within its
        limit.  Whatever does not work, the safe state comes next."""
        if self.home is None or self.state not in (State.ARMED, State.RUNNING):
            return
        with contextlib.suppress(Exception):
            # What was interrupted may have left half an answer: clear before asking anything.
            if not self._transport.stop([(role, ()) for role in stop_order(self._drivers)]):
                with self._transport.ahead():
                    self.home()

    def _latch(self) -> None:
        """Keep what happened for the next program, if the instruments outlive this one."""
        trip = self.trip
        if trip is None and self.unsafe:
            trip = Trip(Cause.EXCEPTION, "it was closed", now())
        if not self._outlives or trip is None:
            return
        nobodys = self._was_armed and not trip.cause.is_a_persons
        if self.unsafe or nobodys or self._latched:
            self._latched = True
            set_latch(
                Latch(
                    self._name, self._outlives, trip.cause.value, trip.reason, trip.at,
                    tuple(self.unsafe),
                )
            )  # fmt: skip

    # -- after a trip -------------------------------------------------------------------------

    def reset(self) -> None:
        """After a trip, and a look at the bench: idle again, and the latch is off.  What did not
        work on the way to the safe state is tried again.

        Raises:
            HeldError: a run that was stopped has not ended yet.
            StoppedError: the bench is closed.
            BenchError: the safe state is still not confirmed.
        """
        with self._lock:
            if self._gone:
                raise StoppedError("the bench is closed; open it anew")
            if self.state is not State.TRIPPED:
                return
            if self.unsafe:
                self.unsafe = self._to_safe_state()
            if self.unsafe:
                raise BenchError("the safe state is not confirmed: " + "; ".join(self.unsafe))
            with self._transport.held():
                self._transport.resume()
            if self._outlives:
                clear_latch(self._outlives)
            self.state, self.trip = State.IDLE, None
            self._was_armed = self._latched = False
            self._recorder.event("reset", "after a trip")

    # -- the end ------------------------------------------------------------------------------

    def close(self, cause: Cause = Cause.EXCEPTION, reason: str = "") -> list[str]:
        """Safe state, then let the instruments go.  ``reason`` says why, if not as planned.

        Raises:
            BenchError: the safe state was not reached and no other error is on its way.
        """
        interrupt: KeyboardInterrupt | None = None
        with self._lock:
            if self._gone:
                return []
            try:
                while self.state is not State.TRIPPED or self.unsafe:
                    try:
                        if cause is Cause.INTERRUPT and interrupt is None:
                            self._orderly()
                        tripped = reason or self.state is State.TRIPPED
                        self._go(State.TRIPPED if tripped else State.CLOSED, cause, reason)
                        break
                    except KeyboardInterrupt as error:  # at once now, and outputs off comes first
                        interrupt = error
            finally:
                self._gone = True
        self.let_go()  # without the lock: the guardian's listener may wait for it
        if interrupt is not None:
            raise interrupt
        if self.unsafe and not reason:
            raise BenchError("the safe state was not confirmed: " + "; ".join(self.unsafe))
        return self.unsafe

    @property
    def is_gone(self) -> bool:
        """Whether the lines have been given back."""
        return self._gone

    def let_go(self) -> None:
        """Give the lines back as they are, and tell whoever waits for that."""
        self._gone = True
        atexit.unregister(self.abandoned)
        self._transport.close()
        while self.leaving:
            with contextlib.suppress(Exception):
                self.leaving.pop(0)(not self.unsafe)

    def abandoned(self) -> None:
        """Nobody has closed the bench, and nobody will."""
        if not self._gone and os.getpid() == self._process:  # not in a forked child
            with contextlib.suppress(Exception):
                self.close(Cause.EXCEPTION, "the bench was left open")
