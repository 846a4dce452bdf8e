"""The transport: everything that is said to an instrument goes through here.

One owner thread per instrument.  A question with its answer is one job; callers wait for the job's
future.  Every message has its place in one total order before it is queued, and reaches its wire in
that order: limits, wire, recorder.  Observations have no place in the order.  The stop lane goes
ahead of everything.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass, field
from typing import Protocol

from db import Message
from instruments.errors import (
    BenchError,
    HeldError,
    InstrumentError,
    ReplyTimeoutError,
    StoppedError,
    describe,
)  # fmt: skip
from instruments.limits import Guard
from instruments.wire import ERROR_AVAILABLE, BenchClock, Wire

REPLY_TIMEOUT_S = 5.0  # bench time that a short answer may take
_READ_S_PER_VALUE = 0.01  # and each value of a long one
_STOP_WAIT_S = 2.0  # wall time that one instrument gets to obey a stop


class MessageSink(Protocol):
    """Where messages are recorded."""

    def message(self, message: Message) -> None: ...


@dataclass
class Job:
    """One thing to do on a wire."""

    op: str
    message: str = ""
    mask: int = 0
    timeout_s: float = REPLY_TIMEOUT_S
    seq: int | None = None
    stop: bool = False
    future: Future[bytes] = field(default_factory=Future)


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

    def place(self, job: Job, queue: deque[Job] | None = None) -> None:
        """Give a job its place in the order, and queue it in the same breath."""
        with self._order:
            if self.stopping.is_set() and not job.stop:
                raise StoppedError("the bench was stopped; nothing is sent until it is opened anew")
            if self._holder not in (None, threading.get_ident()):
                raise HeldError("a run holds the bench; wait for its end or stop it")
            job.seq, self._next = self._next, self._next + 1
            if queue is not None:
                queue.append(job)

    @contextlib.contextmanager
    def turn(self, job: Job) -> Iterator[None]:
        """Wait for a job's turn; on leaving it is the next one's."""
        if job.seq is None:
            yield
            return
        with self._order:
            while self._turn != job.seq:
                if self.stopping.is_set():
                    raise StoppedError("the bench was stopped")
                self._order.wait(0.05)
        try:
            yield
        finally:
            with self._order:
                self._turn += 1
                self._order.notify_all()

    def pause(self, seconds: float) -> None:
        """Let bench time pass, in its place in the order (settling)."""
        job = Job("pause", f"{seconds:.9g}")
        self.place(job)
        with self.turn(job):
            self.clock.begin(job.seq, job.op, job.message)
            self.clock.pause(seconds)
            self.record("bench", job, None, None, None)

    def record(
        self, role: str, job: Job, reply: bytes | None, status: int | None, error: Exception | None
    ) -> None:
        """Tell the recorder of one job."""
        self.sink.message(
            Message(
                job.seq, role, job.op, job.message, reply, status,
                None if error is None else describe(error), self.clock.time_s(),
            )
        )  # fmt: skip

    # -- stop ---------------------------------------------------------------------------------

    def stop(self, order: list[tuple[str, tuple[str, ...]]]) -> list[str]:
        """Send messages ahead of everything; what waits in the queues fails as stopped.

        Args:
            order: role and messages, one after another; a role's first turn begins with a device
                clear.

        Returns:
            A sentence for each thing that did not work; the rest was tried all the same.
        """
        self.stopping.set()
        with self._order:
            self._order.notify_all()
        problems: list[str] = []
        cleared: set[str] = set()
        for role, messages in order:
            link = self.links[role]
            ops = [] if role in cleared else [Job("clear", stop=True)]
            cleared.add(role)
            ops += [
                Job("query" if "?" in message else "write", message, stop=True)
                for message in messages
            ]
            for job in ops:
                link.submit_stop(job)
                try:
                    link.wait_for(job, _STOP_WAIT_S)
                except BenchError as error:
                    problems.append(f"{role}: {job.message or 'device clear'}: {error}")
                except FutureTimeout:
                    problems.append(f"{role}: no answer to the stop within {_STOP_WAIT_S:g} s")
                    break
        return problems

    def close(self) -> None:
        """End the owner threads and give the lines back."""
        for link in self.links.values():
            link.end()


class Link:
    """One instrument's line, with its owner thread.

    Made by :class:`Transport`; drivers call :meth:`write`, :meth:`query`, :meth:`wait`.
    """

    def __init__(self, role: str, wire: Wire, transport: Transport) -> None:
        self.role = role
        self._wire = wire
        self._transport = transport
        self._queue: deque[Job] = deque()
        self._stop_queue: deque[Job] = deque()
        self._wake = threading.Semaphore(0)
        self._ended = False
        self._thread = threading.Thread(target=self._own, name=f"owner of {role}", daemon=True)
        self._thread.start()

    # -- for callers --------------------------------------------------------------------------

    def write(self, message: str) -> None:
        """Send a message.

        Raises:
            LimitError: refused; nothing was sent.
            InstrumentError: the instrument put an error into its queue.
        """
        self._run(Job("write", message))

    def query(self, message: str, *, values: int = 1) -> bytes:
        """Send a question and read its answer, as one job.

        Args:
            message: one or more queries.
            values: numbers that the answer may hold; sets how long it may take.

        Raises:
            LimitError, InstrumentError, ReplyTimeoutError
        """
        timeout_s = REPLY_TIMEOUT_S + values * _READ_S_PER_VALUE
        return self._run(Job("query", message, timeout_s=timeout_s))

    def wait(self, mask: int, timeout_s: float) -> None:
        """Wait for a bit of the status byte.

        Raises:
            ReplyTimeoutError: it is not set after ``timeout_s`` of bench time.
        """
        self._run(Job("wait", mask=mask, timeout_s=timeout_s))

    def poll(self) -> int:
        """The status byte; an observation, from any thread."""
        return self._run(Job("poll"))[0]

    def wait_for(self, job: Job, most_s: float | None = None) -> bytes:
        """Wait for a job without ever blocking an interrupt (Windows ignores it in a lock)."""
        waited = 0.0
        while True:
            try:
                return job.future.result(timeout=0.2)
            except FutureTimeout:
                waited += 0.2
                if most_s is not None and waited >= most_s:
                    raise

    def _run(self, job: Job) -> bytes:
        watching = job.op == "poll" or (
            job.op == "query"
            and self._transport.guard.allowed[self.role].is_observation(job.message)
        )
        if watching:
            if self._transport.stopping.is_set():
                raise StoppedError("the bench was stopped")
            self._queue.append(job)
        else:
            self._transport.place(job, self._queue)
        self._wake.release()
        return self.wait_for(job)

    def submit_stop(self, job: Job) -> None:
        """Queue a job of the stop lane."""
        self._stop_queue.append(job)
        self._wake.release()

    def end(self) -> None:
        """End the owner thread; it closes its line."""
        self._ended = True
        self._wake.release()
        self._thread.join(timeout=5)

    # -- the owner thread -----------------------------------------------------------------------

    def _own(self) -> None:
        while True:
            self._wake.acquire()
            if self._stop_queue:
                self._finish(self._stop_queue.popleft(), self._do)
            elif self._queue:
                self._finish(self._queue.popleft(), self._in_order)
            elif self._ended:
                break
        with contextlib.suppress(Exception):  # the line may be gone; there is nobody to tell
            self._wire.close()

    def _finish(self, job: Job, do: Callable[[Job], bytes]) -> None:
        try:
            job.future.set_result(do(job))
        except BaseException as error:  # whatever it is, the caller must hear of it
            job.future.set_exception(error)

    def _in_order(self, job: Job) -> bytes:
        transport = self._transport
        with transport.turn(job):
            if transport.stopping.is_set():
                raise StoppedError("the bench was stopped")
            return self._do(job)

    def _do(self, job: Job) -> bytes:
        reply: bytes | None = None
        status: int | None = None
        error: Exception | None = None
        interrupt = None if job.stop else self._transport.stopping
        try:
            match job.op:
                case "poll":
                    status = self._wire.poll()
                    return bytes([status])
                case "wait":
                    self._wire.begin(job.seq, job.op, "")
                    status = self._wire.wait(job.mask, job.timeout_s, interrupt)
                    self._raise_errors(status, interrupt)
                    return b""
                case "clear":
                    self._wire.clear()
                    return b""
                case "query":
                    self._send(job)
                    reply = self._wire.read_reply(job.timeout_s, interrupt)
                    self._transport.guard.heard(self.role, job.message, reply)
                    return reply
                case _:
                    self._send(job)
                    try:
                        self._raise_errors(self._wire.poll(), interrupt)
                    except InstrumentError:
                        # What of the message took effect is not known.
                        self._transport.guard.lost(self.role)
                        raise
                    return b""
        except ReplyTimeoutError as problem:
            error = ReplyTimeoutError(f"{self.role}: {job.message[:60] or job.op}: {problem}")
            with contextlib.suppress(Exception):
                self._wire.clear()  # what comes late must not be taken for the next answer
            raise error from None
        except Exception as problem:
            error = problem if isinstance(problem, BenchError) else BenchError(
                f"{self.role}: {job.message[:60] or job.op}: {problem}"
            )  # fmt: skip
            raise error from problem
        finally:
            self._transport.record(self.role, job, reply, status, error)

    def _send(self, job: Job) -> None:
        guard = self._transport.guard
        shadow = guard.check(self.role, job.message)
        try:
            self._wire.begin(job.seq, job.op, job.message)
            self._wire.write(job.message)
        except Exception:
            guard.lost(self.role)
            raise
        guard.sent(self.role, shadow)

    def _raise_errors(self, status: int, interrupt: threading.Event | None) -> None:
        """Empty the error queue, if the status byte says that there is something in it."""
        errors = []
        while status & ERROR_AVAILABLE:
            self._wire.write(":SYST:ERR?")
            reply = self._wire.read_reply(REPLY_TIMEOUT_S, interrupt)
            answer = reply.decode("ascii", "replace")
            if answer.lstrip("+").startswith("0"):
                break
            errors.append(answer)
            status = self._wire.poll()
        if errors:
            raise InstrumentError(f"{self.role}: the instrument reports {'; '.join(errors)}")
