"""One instrument's line: its jobs, its owner thread, and what to do when the line is lost."""

from __future__ import annotations

import contextlib
import math
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from instruments.errors import (
    BenchError,
    InstrumentError,
    InstrumentLostError,
    LimitError,
    LinkLostError,
    ReplyTimeoutError,
    StoppedError,
)
from instruments.limits import Shadow
from instruments.message import TAKES, is_no_error, units
from instruments.wire import ERROR_AVAILABLE, MESSAGE_AVAILABLE, Wire

if TYPE_CHECKING:
    from instruments.transport import Transport

REPLY_TIMEOUT_S = 5.0  # bench time that a short answer may take
_READ_S_PER_VALUE = 0.01  # and each value of a long one
_BUFFERS = frozenset({":TRAC:DATA"})  # questions of what has been measured: the same again
ERROR_QUEUE = 20  # more entries than any queue holds
_REOPEN_S = 5.0  # bench time in which a lost line may come back


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
    before: Shadow | None = None  # what was known when a set was sent,
    after: Shadow | None = None  # and what it makes of that
    future: Future[bytes] = field(default_factory=Future)


class Link:
    """One instrument's line, with its owner thread.

    Made by :class:`Transport`; drivers call :meth:`write`, :meth:`query`, :meth:`wait`.
    """

    def __init__(self, role: str, wire: Wire, transport: Transport) -> None:
        self.role = role
        #: its answer to ``*IDN?``, and the question that shows how it is set
        self.identity = self.look = ""
        #: its line was lost and opened anew, and nobody has looked at its settings since
        self.reopened = False
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

        If the line is lost meanwhile, the instrument is asked how it is set before the message is
        sent again.

        Raises:
            LimitError: refused; nothing was sent.
            InstrumentError: the instrument put an error into its queue.
            LinkLostError: the line was lost, and whether the message was obeyed does not show.
        """
        job = Job("write", message)
        try:
            self.run(job)
        except InstrumentLostError:
            raise
        except LinkLostError:
            if not self._has_acted(job):
                self.run(Job("write", message))

    def query(self, message: str, *, values: int = 1, timeout_s: float | None = None) -> bytes:
        """Send a question and read its answer, as one job.

        Args:
            message: one or more queries.
            values: numbers that the answer may hold; sets how long it may take,
            timeout_s: unless this does, s of bench time.

        A question without side effects is asked once more if its answer or the line was lost.

        Raises:
            LimitError, InstrumentError, ReplyTimeoutError, LinkLostError
        """
        if timeout_s is None:
            timeout_s = REPLY_TIMEOUT_S + values * _READ_S_PER_VALUE
        try:
            return self.run(Job("query", message, timeout_s=timeout_s))
        except InstrumentLostError:
            raise
        except (ReplyTimeoutError, LinkLostError):
            if not self._can_ask_again(message):
                raise
            if self.reopened:
                self.recognise()
            return self.run(Job("query", message, timeout_s=timeout_s))

    def _can_ask_again(self, message: str) -> bool:
        """Whether a question changes nothing, so that it may be asked twice."""
        asked = [unit.header for unit in units(message)]
        if any(header in TAKES for header in asked):
            return False
        buffers = bool(asked) and all(header in _BUFFERS for header in asked)
        return buffers or self._transport.guard.allowed[self.role].is_observation(message)

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

    def clear(self) -> None:
        """Device clear: what the instrument is at ends, and what it had to say is gone."""
        self.run(Job("clear"))

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
        most_s = self._transport.ahead_s
        if most_s is not None:
            job.stop = True
            return self.obey(job, most_s)
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

    def obey(self, job: Job, most_s: float, *, begun: bool = False) -> bytes:
        """Do a job of the stop lane, ahead of everything; once more if its line was lost.

        Args:
            job: what to do.
            most_s: wall time that it may take, s.
            begun: it is in the lane already.
        """
        if not begun:
            self.begin_stop(job)
        try:
            return self.wait_for(job, most_s)
        except InstrumentLostError:
            raise
        except LinkLostError:
            again = replace(job, future=Future())
            self.begin_stop(again)
            return self.wait_for(again, most_s)

    def begin_stop(self, job: Job) -> None:
        """Put a job into the stop lane."""
        self._stop_queue.append(job)
        self._wake.release()

    @property
    def waiting(self) -> int:
        """Jobs in the queue."""
        return len(self._queue)

    @property
    def is_alive(self) -> bool:
        """Whether the owner thread does its work."""
        return self._thread.is_alive()

    # -- a line that was lost -----------------------------------------------------------------

    def recognise(self) -> None:
        """After the line was lost: whether it leads to the same instrument, and how that is set.

        Raises:
            InstrumentLostError: another one answers.
        """
        identity = self.run(Job("query", "*IDN?")).decode("ascii", "replace").strip()
        if identity != self.identity:
            raise InstrumentLostError(
                f"{self.role}: answers {identity!r} since its line was lost, not {self.identity!r}"
            )
        if self.look:
            self.run(Job("query", self.look))
        self.reopened = False

    def _has_acted(self, job: Job) -> bool:
        """Whether a set has reached the instrument whose line was lost with it, by what the
        instrument reports now.  Nothing is sent twice blindly.

        Raises:
            LinkLostError: its settings do not tell.
            InstrumentError: they are neither those before nor those after.
        """
        self.recognise()
        now, before, after = self._transport.guard.shadows[self.role], job.before, job.after
        if before is None or after is None:  # it was lost before anything was sent
            return False
        shown = [name for name in now.confirmed if getattr(after, name) != getattr(before, name)]
        if not shown:
            raise LinkLostError(
                f"{self.role}: {job.message[:60]}: the line was lost; whether this was set does "
                "not show"
            )
        # Other settings may have followed it: a level moves a range that is on AUTO.
        if all(_same(getattr(now, name), getattr(after, name)) for name in shown):
            return True
        if all(_same(getattr(now, name), getattr(before, name)) for name in now.confirmed):
            return False
        raise InstrumentError(f"{self.role}: has lost its settings with its line; prepare it anew")

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
        elif isinstance(problem, LinkLostError):
            return self._lost(job, problem)
        elif isinstance(problem, BenchError) or not isinstance(problem, Exception):
            return problem
        error = ReplyTimeoutError if isinstance(problem, ReplyTimeoutError) else BenchError
        return error(self._said(job, problem))

    def _said(self, job: Job, problem: BaseException) -> str:
        """What went wrong, with role and message; from a record it comes with both."""
        text = str(problem)
        told = text.startswith(f"{self.role}: ")
        return text if told else f"{self.role}: {job.message[:60] or job.op}: {text}"

    def _lost(self, job: Job, problem: LinkLostError) -> LinkLostError:
        """Open a lost line anew, and say whether that worked."""
        transport = self._transport
        transport.guard.lost(self.role)
        self.reopened = True
        text = self._said(job, problem)
        if isinstance(problem, InstrumentLostError) or text == str(problem):
            return problem
        try:
            self._wire.reopen(_REOPEN_S, transport.stopping)
        except LinkLostError:
            return InstrumentLostError(f"{text}; the line does not come back")
        transport.guard.cleared(self.role)
        return LinkLostError(f"{text}; the line is open again")

    def _exchange(self, job: Job) -> None:
        wire, guard = self._wire, self._transport.guard
        interrupt = None if job.stop else self._transport.stopping
        match job.op:
            case "pause":
                self._transport.clock.begin(job.seq, job.op, job.message)
                self._transport.clock.pause(float(job.message))
            case "clear":
                wire.begin(job.seq, job.op, "")
                wire.clear()
                guard.cleared(self.role)
            case "poll":
                wire.begin(job.seq, job.op, "")
                job.status = wire.poll()
            case "wait":
                wire.begin(job.seq, job.op, "")
                job.status = wire.wait(job.mask, job.timeout_s, interrupt)
                guard.ended(self.role)
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
            if not asks:
                job.before, job.after = guard.shadows[self.role], shadow
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


def _same(one: object, other: object) -> bool:
    """Whether an instrument reports what was set, to its number of digits."""
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-5, abs_tol=1e-12)
    return one == other
