"""The transport: everything that is said to an instrument goes through here.

One owner thread per instrument (:mod:`instruments.link`).  A question with its answer is one job;
callers wait for the job's future.  Every message has its place in one total order before it is
queued, and reaches its wire in that order: limits, wire, recorder.  Observations have no place in
the order.  The stop lane goes ahead of everything.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Protocol

from db import Message
from instruments.errors import HeldError, InstrumentLostError, StoppedError, describe
from instruments.limits import Guard
from instruments.link import Job, Link
from instruments.message import TAKES, units
from instruments.wire import BenchClock, Wire

_STOP_WAIT_S = 2.0  # wall time that one instrument gets to obey a stop


class MessageSink(Protocol):
    """Where messages are recorded."""

    def message(self, message: Message) -> None: ...


class Transport:
    """All lines of a bench.

    Args:
        wires: the line of each role.
        clock: the bench's time.
        guard: the limits; it sees every message before the wire does.
        sink: the recorder; it is told of every message after.
        stopping: the event that the wires watch.
    """

    def __init__(
        self,
        wires: dict[str, Wire],
        clock: BenchClock,
        guard: Guard,
        sink: MessageSink,
        stopping: threading.Event,
    ) -> None:
        self.clock = clock
        self.guard = guard
        self.sink = sink
        self.stopping = stopping
        self._order = threading.Condition()
        self._next = self._turn = 0
        self._holder: int | None = None
        self._ahead: int | None = None
        self.links = {role: Link(role, wire, self) for role, wire in wires.items()}

    # -- the total order ----------------------------------------------------------------------

    @property
    def position(self) -> int:
        """Place of the next message in the total order."""
        return self._next

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold the bench: until the end only this thread's messages pass, and observations.

        Raises:
            HeldError: another thread holds it.
        """
        me = threading.get_ident()
        with self._order:
            if self._holder not in (None, me):
                raise HeldError("a run holds the bench; wait for its end or stop it")
            outer, self._holder = self._holder, me
        try:
            yield
        finally:
            with self._order:
                self._holder = outer

    def place(self, job: Job, queue: deque[Job]) -> None:
        """Give a job its place in the order, and queue it in the same breath."""
        with self._order:
            if self.stopping.is_set() and not job.stop:
                raise StoppedError("the bench was stopped; nothing is sent until it is opened anew")
            if self._holder not in (None, threading.get_ident()):
                raise HeldError("a run holds the bench; wait for its end or stop it")
            # In this order, an interrupt between two lines leaves no place that nobody takes.
            job.seq = self._next
            queue.append(job)
            self._next += 1

    def watch(self, job: Job, queue: deque[Job]) -> None:
        """Queue an observation: it has no place in the order."""
        with self._order:
            if self.stopping.is_set():
                raise StoppedError("the bench was stopped")
            takes = [unit.header for unit in units(job.message) if unit.header in TAKES]
            if takes and self._holder not in (None, threading.get_ident()):
                raise HeldError(
                    f"{takes[0]}? takes away what it reads, and a run holds the bench; wait for "
                    "its end or stop it"
                )
            queue.append(job)

    @contextlib.contextmanager
    def turn(self, job: Job) -> Iterator[None]:
        """Wait for a job's turn; on leaving it is the next one's."""
        if job.seq is None:
            yield
            return
        with self._order:
            while self._turn < job.seq:
                if self.stopping.is_set():
                    raise StoppedError("the bench was stopped")
                self._order.wait(0.05)
        try:
            yield
        finally:
            with self._order:
                self._turn = max(self._turn, job.seq + 1)
                self._order.notify_all()

    def pause(self, seconds: float) -> None:
        """Let bench time pass, in its place in the order (settling)."""
        # An owner thread does it, whose does not matter: an interrupt here leaves no gap.
        until_s = self.clock.time_s() + seconds
        next(iter(self.links.values())).run(Job("pause", f"{seconds:.9g}"))
        while self.ahead_s is not None and self.clock.time_s() < until_s:
            time.sleep(0.01)  # a stop ends all pauses but this thread's

    def record(self, role: str, job: Job, error: BaseException | None) -> None:
        """Tell the recorder of one job.  On the way to the safe state it may fail."""
        message = Message(
            job.seq, "bench" if job.op == "pause" else role, job.op,
            "" if job.op == "wait" else job.message, job.reply, job.status,
            None if error is None else describe(error), self.clock.time_s(),
        )  # fmt: skip
        with contextlib.suppress(*([Exception] if job.stop else [])):
            self.sink.message(message)

    # -- stop ---------------------------------------------------------------------------------

    def stop(self, order: list[tuple[str, tuple[str, ...]]]) -> list[str]:
        """Send messages ahead of everything; what waits in the queues fails as stopped.

        Args:
            order: role and messages, one after another; before, a device clear of each.

        Returns:
            A sentence for each thing that did not work; the rest was tried all the same.
        """
        self.stopping.set()
        with self._order:
            self._order.notify_all()
        problems: list[str] = []
        # All instruments at once: a clear over HiSLIP takes pyvisa-py 100 ms.
        clears = {role: Job("clear", stop=True) for role, _ in order}
        for role, clear in clears.items():
            self.links[role].begin_stop(clear)
        first = dict(clears)
        for role, messages in order:
            link = self.links[role]
            ops = [first.pop(role)] if role in first else []
            ops += [
                Job("query" if "?" in message else "write", message, stop=True)
                for message in messages
            ]
            for job in ops:
                try:
                    link.obey(job, _STOP_WAIT_S, begun=job is clears[role])
                except FutureTimeout:
                    problems.append(f"{role}: no answer to the stop within {_STOP_WAIT_S:g} s")
                    break
                except InstrumentLostError as error:  # the rest would say the same
                    problems.append(f"{role}: {job.message or 'device clear'}: {error}")
                    break
                except Exception as error:  # whatever it is, the others must be tried
                    problems.append(f"{role}: {job.message or 'device clear'}: {error}")
        return problems

    @contextlib.contextmanager
    def ahead(self) -> Iterator[None]:
        """After a stop: what this thread sends goes through the stop lane, with its limits."""
        self._ahead = threading.get_ident()
        try:
            yield
        finally:
            self._ahead = None

    @property
    def ahead_s(self) -> float | None:
        """Wall time that a message of this thread gets in the stop lane; None: it has a place in
        the order as any other."""
        return _STOP_WAIT_S if self._ahead == threading.get_ident() else None

    def resume(self) -> None:
        """After a stop, once everything that waited has failed as stopped: messages pass again.

        Raises:
            StoppedError: an instrument's owner thread does not answer.
        """
        for role, link in self.links.items():
            # Each job of the stop lane is done between two of the queue: after the last there is
            # nothing in hand that the stop has not seen.
            waiting = True
            while waiting:
                waiting = link.waiting > 0
                try:
                    link.obey(Job("poll", stop=True), _STOP_WAIT_S)
                except Exception as error:
                    raise StoppedError(
                        f"{role}: does not answer since the stop ({error})"
                    ) from None
        with self._order:
            self._turn = self._next
            self.stopping.clear()

    def is_alive(self) -> bool:
        """Whether every owner thread does its work, and the order of messages is not locked up."""
        if not self._order.acquire(timeout=1.0):
            return False
        self._order.release()
        return all(link.is_alive for link in self.links.values())

    def close(self) -> None:
        """End the owner threads and give the lines back."""
        for link in self.links.values():
            link.end()
