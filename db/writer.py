"""The thread that writes: a queue in, transactions out."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Lock, Thread
from time import monotonic
from typing import Any, TypeVar

from sqlalchemy import Connection

from db.engine import file_id, writing_engine
from db.errors import DatabaseError, explain
from db.messages import MessageRows
from db.records import Message

T = TypeVar("T")

_ROWS_PER_TRANSACTION = 5_000  # keeps the file's lock short for other programs
_COLLECTING_SHARE = 0.25  # of the time until a row is committed; the rest is for writing


@dataclass(slots=True)
class _Job:
    """Statements to run in the writer's thread; the future is resolved after the commit."""

    work: Callable[[Connection], Any]
    future: Future[Any] = field(default_factory=Future)
    result: Any = None


class Writer:
    """Owns the one writing connection of a recorder, in a thread of its own.

    Messages and jobs share one queue, and are written in its order. The first failure ends the
    thread, and every call from then on raises it; nothing waits for a thread that has ended.
    """

    def __init__(self, path: Path, commit_every_s: float) -> None:
        """Start the thread. A row is committed within about `commit_every_s`, in s."""
        self.path = path
        self.failure: DatabaseError | None = None
        self._file = file_id(path)
        self._process = os.getpid()
        self._collect_s = commit_every_s * _COLLECTING_SHARE
        self._queue: deque[tuple[int, Message] | _Job] = deque()
        self._in_hand: list[tuple[int, Message] | _Job] = []
        self._rows = MessageRows()
        self._work = Event()  # something is in the queue
        self._hurry = Event()  # somebody waits for it
        self._lock = Lock()  # between adding a job and ending the thread
        self._ended = False
        self._thread = Thread(target=self._run, name=f"recorder {path.name}", daemon=True)
        self._thread.start()

    # -- called from any thread ----------------------------------------------------------------

    def message(self, session: int, message: Message) -> None:
        """Queue one message; costs about a microsecond and waits for nothing.

        Raises DatabaseError if an earlier write failed.
        """
        if self.failure is not None:
            self.refuse()
        self._queue.append((session, message))
        if not self._work.is_set():
            self._work.set()

    def put(self, work: Callable[[Connection], object]) -> None:
        """Queue a job. Raises DatabaseError if an earlier write failed."""
        self._add(_Job(work))

    def do(self, work: Callable[[Connection], T]) -> T:
        """Queue a job, and return its result when it and all before it are committed.

        Raises DatabaseError if an earlier write or this one failed.
        """
        job = self._add(_Job(work), hurry=True)
        job.future.result()
        result: T = job.result
        return result

    def refuse(self) -> None:
        """Raise why nothing can be written any more, if so."""
        if self.failure is not None:
            raise DatabaseError(str(self.failure)) from self.failure

    def stop(self) -> None:
        """Write what is queued and end the thread; raises nothing."""
        with self._lock:
            self._ended = True
            self._hurry.set()
            self._work.set()
        if os.getpid() == self._process:
            self._thread.join()

    def _add(self, job: _Job, *, hurry: bool = False) -> _Job:
        with self._lock:
            self.refuse()
            if os.getpid() != self._process:
                raise DatabaseError(
                    f"The recorder of {self.path} belongs to the parent process: open one in this "
                    "process."
                )
            if self._ended:
                raise DatabaseError(f"The recorder of {self.path} is closed: open a new one.")
            self._queue.append(job)
            if hurry:
                self._hurry.set()
            self._work.set()
        return job

    # -- the thread ----------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            engine = writing_engine(self.path)
            try:
                with engine.connect() as connection:
                    taken = monotonic()
                    while not self._ended or self._queue:
                        self._work.wait()
                        self._hurry.wait(max(0.0, taken + self._collect_s - monotonic()))
                        taken = monotonic()  # no row that waits is older than this
                        self._work.clear()  # before taking: what comes now is seen next time
                        self._hurry.clear()
                        # What is there now; what comes meanwhile is collected for the next time,
                        # or a busy bench would have a transaction for every few rows.
                        left = len(self._queue)
                        while left > 0:
                            left -= self._write_some(connection, left)
            finally:
                engine.dispose()
        except BaseException as error:
            self._fail(error)

    def _write_some(self, connection: Connection, most: int) -> int:
        """One transaction with at most ``most`` of what is queued; how many it was."""
        count = min(most, _ROWS_PER_TRANSACTION)
        self._in_hand = [self._queue.popleft() for _ in range(count)]
        with connection.begin():
            messages: list[tuple[int, Message]] = []
            for item in self._in_hand:
                if isinstance(item, _Job):
                    self._rows.insert(connection, messages)
                    messages = []
                    item.result = item.work(connection)
                else:
                    messages.append(item)
            self._rows.insert(connection, messages)
            if file_id(self.path) != self._file:
                raise DatabaseError(
                    f"{self.path} was deleted, moved or replaced while it was recorded into: leave "
                    "it in its place and start a new session."
                )
        for item in self._in_hand:
            if isinstance(item, _Job):
                item.future.set_result(None)
        self._in_hand = []
        return count

    def _fail(self, error: BaseException) -> None:
        """From here on every call is refused; those who wait are told."""
        with self._lock:
            self.failure = explain(self.path, error)
            waiting = [*self._in_hand, *self._queue]
            self._in_hand = []
            self._queue.clear()
        for item in waiting:
            if isinstance(item, _Job):
                item.future.set_exception(self.failure)
