"""A sweep in a thread of its own.  What happens there reaches the window by signals."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from db import JSON, DatabaseError
from gui.qt import QtCore
from instruments import Bench, BenchError, BenchFile, StoppedError
from instruments.session import Session
from instruments.states import Cause, State
from instruments.sweep import Plan
from training import jobs
from training.session import live_session

_log = logging.getLogger("spinloop.gui")


@dataclass(frozen=True)
class Who:
    """What is kept with every session."""

    operator: str = ""
    sample: str = ""
    note: str = ""


@dataclass(frozen=True)
class Opened:
    """The bench is open and the session begun."""

    number: int
    file: BenchFile
    plan: Plan


@dataclass(frozen=True)
class Ended:
    """A sweep's end, whatever it was; outputs are off unless ``problems`` says otherwise.

    Attributes:
        number: the session; 0 if it never began.
        error: why it did not end as planned, a sentence; "" if it did.
        stopped: somebody stopped it.
        problems: what did not work on the way to the safe state, a sentence each.
        state: the bench's last state.
        bench_s: the bench's clock at the end, s.
    """

    number: int
    error: str
    stopped: bool
    problems: tuple[str, ...]
    state: State
    bench_s: float


class Runner(QtCore.QObject):
    """Runs one sweep after another, each a recorded session that opens the bench anew.

    Args:
        database: the record.
        sim: options of the simulated bench.
        who: kept with every session.

    Signals, all of them emitted in the window's thread:
        opened: an :class:`Opened`.
        measured: the SweepData of one list.
        ended: an :class:`Ended`.
    """

    opened = QtCore.Signal(object)
    measured = QtCore.Signal(object)
    ended = QtCore.Signal(object)
    _arrived = QtCore.Signal()

    def __init__(self, database: Path, sim: Mapping[str, str | int | float], who: Who) -> None:
        super().__init__()
        self._database, self._sim, self._who = database, dict(sim), who
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stopping: list[threading.Thread] = []
        self._stop_reason = ""
        self._stop_cause = Cause.OPERATOR
        self._bench: Bench | None = None
        self._arrivals: deque[tuple[QtCore.SignalInstance, object]] = deque()
        self._arrived.connect(self._deliver)

    @property
    def bench(self) -> Bench | None:
        """The bench of the running sweep, to look at; None while there is none."""
        return self._bench

    @property
    def running(self) -> bool:
        """Whether a sweep is under way."""
        return self._thread is not None and self._thread.is_alive()

    def start(self, bench_file: Path | None, arguments: Mapping[str, JSON]) -> None:
        """Start a sweep; :attr:`ended` says how it went."""
        self.join()
        self._stop_reason = ""
        # Not a daemon: the interpreter waits for the safe state.
        self._thread = threading.Thread(
            target=self._run, args=(bench_file, dict(arguments)), name="sweep"
        )
        self._thread.start()

    def stop(self, reason: str = "stopped by the operator", cause: Cause = Cause.OPERATOR) -> bool:
        """Bring every output to zero and off at once; whether a sweep was under way.

        Does not wait: a thread of its own stops the bench, so that an instrument which does not
        answer cannot hold up the window.  Asked again, it tries again what did not work.
        """
        with self._lock:
            if not self.running:
                return False
            self._stop_reason = self._stop_reason or reason
            self._stop_cause = cause
            if self._bench is not None:  # else it is stopped as soon as it is open
                thread = threading.Thread(
                    target=self._bench.stop, args=(reason, cause), name="stop"
                )
                thread.start()
                self._stopping.append(thread)
            return True

    def join(self) -> None:
        """Wait until the sweep has ended and its bench is safe."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    # PySide 6.11 crashes now and then when a thread emits a signal that carries a Python object.
    # So the thread leaves the object here, and the signal that it emits is empty.

    def _post(self, signal: QtCore.SignalInstance, what: object) -> None:
        self._arrivals.append((signal, what))
        self._arrived.emit()

    @QtCore.Slot()
    def _deliver(self) -> None:
        while self._arrivals:
            signal, what = self._arrivals.popleft()
            signal.emit(what)

    # -- the thread -------------------------------------------------------------------------------

    def _run(self, bench_file: Path | None, arguments: Mapping[str, JSON]) -> None:
        session: Session | None = None
        failure: BaseException | None = None
        try:
            with live_session(
                "sweep", arguments, bench_file=bench_file, database=self._database,
                sim=self._sim, operator=self._who.operator, sample=self._who.sample,
                note=self._who.note,
            ) as session:  # fmt: skip
                self._hold(session.bench)
                planned = session.bench.plan(
                    jobs.sweep_levels(arguments),
                    order="given",
                    list_points=jobs.WATCHED_LIST_POINTS,
                )
                self._post(self.opened, Opened(session.number, session.bench.file, planned))
                watch = jobs.Watch(on_list=lambda data: self._post(self.measured, data))
                session.result = dict(jobs.sweep(session, watch))
        except BaseException as error:  # whatever it is, the window must hear of it
            failure = error
        with self._lock:
            self._bench = None
            stopping, self._stopping = self._stopping, []
        for thread in stopping:
            thread.join()
        self._post(self.ended, self._end(session, failure))

    def _hold(self, bench: Bench) -> None:
        with self._lock:
            self._bench = bench
            reason = self._stop_reason
        if reason:  # asked for while it was being opened
            bench.stop(reason, self._stop_cause)

    def _end(self, session: Session | None, failure: BaseException | None) -> Ended:
        sentence = ""
        if isinstance(failure, (BenchError, DatabaseError)):
            sentence = str(failure)
        elif failure is not None:
            sentence = f"{type(failure).__name__}: {failure}"
            _log.error("a sweep failed", exc_info=failure)
        return Ended(
            number=session.number if session else 0,
            error=sentence,
            stopped=isinstance(failure, StoppedError),
            problems=tuple(session.bench.unsafe) if session else (),
            state=session.bench.state if session else State.CLOSED,
            bench_s=session.bench.clock.time_s() if session else 0.0,
        )
