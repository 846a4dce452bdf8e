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
    LimitError,
    ReplyTimeoutError,
    StoppedError,
    describe,
)  # fmt: skip
from instruments.limits import Guard
from instruments.message import is_no_error, units
from instruments.wire import ERROR_AVAILABLE, MESSAGE_AVAILABLE, BenchClock, Wire

REPLY_TIMEOUT_S = 5.0  # bench time that a short answer may take
_READ_S_PER_VALUE = 0.01  # and each value of a long one
_TAKES = frozenset({"*ESR", ":SYST:ERR"})  # questions whose answer is gone once it is read
ERROR_QUEUE = 20  # more entries than any queue holds
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
    reply: bytes | None = None
    status: int | None = None
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
            takes = [unit.header for unit in units(job.message) if unit.header in _TAKES]
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
        next(iter(self.links.values())).run(Job("pause", f"{seconds:.9g}"))

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
                except FutureTimeout:
                    problems.append(f"{role}: no answer to the stop within {_STOP_WAIT_S:g} s")
                    break
                except Exception as error:  # whatever it is, the others must be tried
                    problems.append(f"{role}: {job.message or 'device clear'}: {error}")
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
        self.run(Job("write", message))

    def query(self, message: str, *, values: int = 1) -> bytes:
        """Send a question and read its answer, as one job.

        Args:
            message: one or more queries.
            values: numbers that the answer may hold; sets how long it may take.

        Raises:
            LimitError, InstrumentError, ReplyTimeoutError
        """
        timeout_s = REPLY_TIMEOUT_S + values * _READ_S_PER_VALUE
        return self.run(Job("query", message, timeout_s=timeout_s))

    def wait(self, mask: int, timeout_s: float) -> None:
        """Wait for a bit of the status byte.

        Raises:
            ReplyTimeoutError: it is not set after ``timeout_s`` of bench time.
        """
        self.run(Job("wait", mask=mask, timeout_s=timeout_s))

    def poll(self) -> int:
        """The status byte; an observation, from any thread."""
        job = Job("poll")
        self.run(job)
        return job.status or 0

    def wait_for(self, job: Job, most_s: float | None = None) -> bytes:
        """Wait for a job without ever blocking an interrupt (Windows ignores it in a lock)."""
        waited = 0.0
        while True:
            try:
                return job.future.result(timeout=0.2)
            except FutureTimeout:
                if job.future.done():  # by now, or with a timeout of its own
                    return job.future.result()
                if not self._thread.is_alive():
                    raise StoppedError(f"{self.role}: the bench is closed") from None
                waited += 0.2
                if most_s is not None and waited >= most_s:
                    raise

    def run(self, job: Job) -> bytes:
        """Queue a job and wait until it is done."""
        if self._ended:
            raise StoppedError(f"{self.role}: the bench is closed")
        watching = job.op == "poll" or (
            job.op == "query"
            and self._transport.guard.allowed[self.role].is_observation(job.message)
        )
        if watching:
            self._transport.watch(job, self._queue)
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
            # All there is: whoever was interrupted between queueing and waking left one more.
            while self._stop_queue or self._queue:
                if self._stop_queue:
                    self._finish(self._stop_queue.popleft(), self._do)
                else:
                    self._finish(self._queue.popleft(), self._in_order)
            if self._ended:
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
        """Do a job and record it."""
        try:
            self._exchange(job)
        except BaseException as problem:
            error = self._explained(job, problem)
            with contextlib.suppress(Exception):  # the first error is the one to hear of
                self._transport.record(self.role, job, error)
            if error is problem:
                raise
            raise error from problem
        self._transport.record(self.role, job, None)
        return job.reply or b""

    def _explained(self, job: Job, problem: BaseException) -> BaseException:
        """An error with the role and message that it belongs to, as a BenchError."""
        if isinstance(problem, ReplyTimeoutError):
            with contextlib.suppress(Exception):
                # What comes late must not be taken for the next answer.
                self._wire.clear()
                self._transport.guard.cleared(self.role)
        elif isinstance(problem, BenchError) or not isinstance(problem, Exception):
            return problem
        text = str(problem)
        if not text.startswith(f"{self.role}: "):  # from a record it comes explained
            text = f"{self.role}: {job.message[:60] or job.op}: {text}"
        error = ReplyTimeoutError if isinstance(problem, ReplyTimeoutError) else BenchError
        return error(text)

    def _exchange(self, job: Job) -> None:
        wire, guard = self._wire, self._transport.guard
        interrupt = None if job.stop else self._transport.stopping
        match job.op:
            case "pause":
                self._transport.clock.begin(job.seq, job.op, job.message)
                self._transport.clock.pause(float(job.message))
            case "clear":
                wire.clear()
                guard.cleared(self.role)
            case "poll":
                wire.begin(job.seq, job.op, "")
                job.status = wire.poll()
            case "wait":
                wire.begin(job.seq, job.op, "")
                job.status = wire.wait(job.mask, job.timeout_s, interrupt)
                self._raise_errors(job.status, interrupt)
            case _:
                self._send(job, interrupt)

    def _send(self, job: Job, interrupt: threading.Event | None) -> None:
        guard = self._transport.guard
        try:
            self._wire.begin(job.seq, job.op, job.message)
            shadow = guard.check(self.role, job.message)
            asks = any(unit.is_query for unit in units(job.message))
            if asks != (job.op == "query"):
                raise LimitError(
                    f"{self.role}: '{job.message[:60]}': ask with query, set with write"
                )
            self._wire.write(job.message)
            guard.sent(self.role, shadow)
            if asks:
                self._answer(job, interrupt)
            else:
                self._raise_errors(self._wire.poll(), interrupt)
        except LimitError:  # nothing was sent
            raise
        except BaseException:
            if job.seq is not None or job.stop:  # a question of an observer sets nothing
                guard.lost(self.role)
            raise

    def _answer(self, job: Job, interrupt: threading.Event | None) -> None:
        """Read a reply.  Instead of one there may be an error; an observer leaves it to the run."""
        errors = 0 if job.seq is None else ERROR_AVAILABLE
        status = self._wire.wait(MESSAGE_AVAILABLE | errors, job.timeout_s, interrupt)
        if not status & MESSAGE_AVAILABLE:
            self._raise_errors(status, interrupt)
            self._wire.wait(MESSAGE_AVAILABLE, job.timeout_s, interrupt)
        job.reply = self._wire.read_reply(interrupt)
        self._transport.guard.heard(self.role, job.message, job.reply)
        self._raise_errors(status & errors, interrupt)

    def _raise_errors(self, status: int, interrupt: threading.Event | None) -> None:
        """Empty the error queue, if the status byte says that there is something in it."""
        errors: list[str] = []
        while status & ERROR_AVAILABLE and len(errors) < ERROR_QUEUE:
            self._wire.write(":SYST:ERR?")
            self._wire.wait(MESSAGE_AVAILABLE, REPLY_TIMEOUT_S, interrupt)
            answer = self._wire.read_reply(interrupt).decode("ascii", "replace")
            if is_no_error(answer):
                break
            errors.append(answer)
            status = self._wire.poll()
        if errors:
            raise InstrumentError(f"{self.role}: the instrument reports {'; '.join(errors)}")
