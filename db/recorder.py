"""The one writer of a file."""

from __future__ import annotations

import atexit
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from threading import RLock
from types import MappingProxyType, TracebackType
from typing import Any, Literal, Self, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Table, bindparam, delete, insert, select, update
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from db import schema
from db.errors import DatabaseError
from db.process import ProcessId, is_gone, this_process
from db.records import JSON, Message, Sweep
from db.upgrade import create_or_migrate
from db.values import clean_text, json_text, pack_arrays, packed_sha256
from db.writer import Writer

EndStatus: TypeAlias = Literal["complete", "interrupted", "failed"]
"""How a session can end."""

_NONE: Mapping[str, Any] = MappingProxyType({})


class Recorder:
    """Records sessions into one file, one after the other.

    Every method may be called from any thread. What is given is written in that order by a thread
    of its own and committed within `commit_every_s`; only `start_session`, `start_run`,
    `end_session`, `flush` and `close` wait for it. When a write fails (disk full, file removed,
    locked), the next call of any method raises DatabaseError, and so does every one after it: a
    record is never continued with a gap.

    Several recorders, also of several programs, may record into the same file.
    """

    path: Path

    def __init__(self, path: Path, commit_every_s: float) -> None:
        """Use `Recorder.open`."""
        self.path = path
        self._process = this_process()
        self._writer = Writer(path, commit_every_s)
        self._lock = RLock()  # for what follows; not needed for messages
        self._session: int | None = None
        self._runs: set[int] = set()
        self._begun: set[int] = set()  # sessions that have no end; the writer's thread only
        self._closed = False
        atexit.register(self._at_exit)

    @classmethod
    def open(cls, path: str | Path, *, commit_every_s: float = 0.1) -> Recorder:
        """Open a file for recording; a missing one is created, an older one migrated.

        Sessions whose process is gone without ending them are marked as interrupted.
        `commit_every_s`: a row is on disk after at most about this time, in s.

        Raises DatabaseError if the file cannot be written, is not a SpinLoop database, or was
        written by a newer SpinLoop.
        """
        path = Path(path).absolute()
        create_or_migrate(path)
        recorder = cls(path, commit_every_s)
        try:
            recorder._writer.do(_mark_interrupted)
        except BaseException:
            recorder._closed = True
            recorder._end()
            raise
        return recorder

    # -- sessions ------------------------------------------------------------------------------

    @property
    def session(self) -> int | None:
        """Number of the open session; None: none is open."""
        return self._session

    def start_session(
        self,
        kind: str,
        settings: Mapping[str, JSON],
        *,
        operator: str = "",
        sample: str = "",
        note: str = "",
        versions: Mapping[str, str] = _NONE,
    ) -> int:
        """Begin a session and return its number, when it is on disk.

        Raises DatabaseError if one is open already or a setting is not JSON.
        """
        row = {
            "kind": clean_text(kind),
            "status": "running",
            "started": _now(),
            "operator": clean_text(operator),
            "sample": clean_text(sample),
            "note": clean_text(note),
            "settings": json_text(settings, "settings"),
            "versions": json_text(versions, "versions"),
            "messages": 0,
            "host": self._process.host,
            "pid": self._process.pid,
            "process_created": self._process.created,
        }

        def work(connection: Connection) -> int:
            number = _insert(connection, schema.session, row)
            self._begun.add(number)
            return number

        with self._lock:
            self._check()
            if self._session is not None:
                raise DatabaseError(
                    f"Session {self._session} in {self.path} is still open: end it first."
                )
            self._session = self._writer.do(work)
            return self._session

    def end_session(self, status: EndStatus, result: Mapping[str, JSON] | None = None) -> None:
        """End the session; returns when it is on disk.

        Raises DatabaseError if none is open, the result is not JSON, or a session cannot end so.
        """
        if status not in get_args(EndStatus):
            raise DatabaseError(
                f"A session cannot end as {status!r}: give one of {', '.join(get_args(EndStatus))}."
            )
        text = None if result is None else json_text(result, "result")
        with self._lock:
            number = self._open_session()
            self._session = None
            self._runs.clear()
            self._writer.do(lambda connection: self._write_end(connection, number, status, text))

    def _write_end(
        self, connection: Connection, number: int, status: EndStatus, result: str | None
    ) -> None:
        values = {"status": status, "ended": _now(), "result": result}
        connection.execute(
            update(schema.session).where(schema.session.c.id == number).values(values)
        )
        self._begun.discard(number)

    # -- what happens in a session -------------------------------------------------------------

    def message(self, message: Message) -> None:
        """Add one message to the transcript; costs microseconds and waits for nothing.

        A poll outside the order that equals the last row of its instrument is not stored again.
        Raises DatabaseError if no session is open.
        """
        session = self._session
        if session is None:
            session = self._open_session()
        self._writer.message(session, message)

    def sweep(self, sweep: Sweep) -> None:
        """Add a sweep whose messages were given before.

        Raises DatabaseError if no session is open, its run is not of this session, or a setting
        is not JSON.
        """
        row: dict[str, object] = {
            "run": sweep.run,
            "purpose": clean_text(sweep.purpose),
            "junction": clean_text(sweep.junction),
            "points": int(sweep.points),  # sqlite3 does not take NumPy's integers
            "first_seq": int(sweep.first_seq),
            "last_seq": int(sweep.last_seq),
            "bench_start_s": float(sweep.bench_start_s),
            "bench_end_s": float(sweep.bench_end_s),
            "sha256": sweep.sha256,
            "settings": json_text(sweep.settings, "settings"),
        }
        with self._lock:
            row["session"] = self._open_session()
            if sweep.run is not None:
                self._check_run(sweep.run)
            self._writer.put(lambda connection: _insert(connection, schema.sweep, row))

    def calibration(self, junction: str, values: Mapping[str, JSON]) -> None:
        """Add the calibration of a junction.

        Raises DatabaseError if no session is open or a value is not JSON.
        """
        row: dict[str, object] = {
            "junction": clean_text(junction),
            "content": json_text(values, "values"),
        }
        with self._lock:
            row["session"] = self._open_session()
            self._writer.put(lambda connection: _insert(connection, schema.calibration, row))

    def event(self, kind: str, text: str) -> None:
        """Add an event: "tripped", "interrupted", "invalid reading", ...

        Raises DatabaseError if no session is open.
        """
        row: dict[str, object] = {"at": _now(), "kind": clean_text(kind), "text": clean_text(text)}
        with self._lock:
            row["session"] = number = self._open_session()
            row["messages"] = (
                select(schema.session.c.messages)
                .where(schema.session.c.id == number)
                .scalar_subquery()
            )
            self._writer.put(
                lambda connection: connection.execute(insert(schema.event).values(row))
            )

    # -- training runs -------------------------------------------------------------------------

    def start_run(
        self, name: str, arm: str, *, seed: int, fold: int | None, settings: Mapping[str, JSON]
    ) -> int:
        """Begin a training run in the session and return its number, when it is on disk.

        Raises DatabaseError if no session is open or a setting is not JSON.
        """
        row: dict[str, object] = {
            "name": clean_text(name),
            "arm": clean_text(arm),
            "seed": int(seed),
            "fold": None if fold is None else int(fold),
            "settings": json_text(settings, "settings"),
        }
        with self._lock:
            row["session"] = self._open_session()
            number = self._writer.do(lambda connection: _insert(connection, schema.run, row))
            self._runs.add(number)
            return number

    def epoch(self, run: int, epoch: int, values: Mapping[str, float]) -> None:
        """Add an epoch's values (loss, accuracy, reads, bench_time_s, ...); NaN is allowed.

        Given again for the same epoch, a value replaces the earlier one. Raises DatabaseError if
        the run is not of this session.
        """
        rows = [
            {"run": run, "epoch": int(epoch), "name": clean_text(name), "value": float(value)}
            for name, value in values.items()
        ]
        with self._lock:
            self._check_run(run)
            self._writer.put(lambda connection: _replace_epoch(connection, rows))

    def steps(self, run: int, first: int, values: Mapping[str, NDArray[Any]]) -> None:
        """Add measures of a stretch of steps, the first of them step `first` (from 1).

        Given again from the same first step, a measure replaces the earlier one. Raises
        DatabaseError if the run is not of this session.
        """
        rows = [
            {"run": run, "first": int(first), "name": clean_text(name),
             "data": np.asarray(one, dtype="<f8").tobytes()}
            for name, one in values.items()
        ]  # fmt: skip
        with self._lock:
            self._check_run(run)
            self._writer.put(lambda connection: _replace_steps(connection, rows))

    def weights(self, run: int, arrays: Mapping[str, NDArray[Any]]) -> str:
        """Store a run's weights, in place of any earlier ones, and return their SHA-256.

        The hash is over names, dtypes, shapes and bytes in the given order. The arrays may be
        changed as soon as this returns. Raises DatabaseError if the run is not of this session, or
        an array is not of numbers.
        """
        packed = pack_arrays(arrays)
        sha256 = packed_sha256(packed)
        rows = [
            {
                "run": run,
                "place": place,
                "name": clean_text(array.name),
                "dtype": array.dtype,
                "shape": array.shape,
                "data": array.data,
            }
            for place, array in enumerate(packed)
        ]
        with self._lock:
            self._check_run(run)
            self._writer.put(lambda connection: _replace_weights(connection, run, sha256, rows))
        return sha256

    # -- the end -------------------------------------------------------------------------------

    def flush(self) -> None:
        """Return when everything given so far is committed.

        Raises DatabaseError if a write failed.
        """
        self._check()
        self._writer.do(lambda connection: None)

    def close(self) -> None:
        """Write what is left and close the file; a session still open becomes interrupted.

        Raises DatabaseError if a write failed. Closing twice is allowed.
        """
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._session = None
            try:
                self._writer.do(self._interrupt_open_sessions)
            finally:
                self._end()

    def _interrupt_open_sessions(self, connection: Connection) -> None:
        for number in sorted(self._begun):
            self._write_end(connection, number, "interrupted", None)

    def _end(self) -> None:
        self._writer.stop()
        atexit.unregister(self._at_exit)

    def _at_exit(self) -> None:
        if os.getpid() == self._process.pid:  # not in a forked child
            self.close()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close; an exception that is under way stays the one that is raised."""
        try:
            self.close()
        except DatabaseError as failure:
            if error is None:
                raise
            error.add_note(str(failure))

    # -- checks --------------------------------------------------------------------------------

    def _check(self) -> None:
        self._writer.refuse()
        if self._closed:
            raise DatabaseError(f"The recorder of {self.path} is closed: open a new one.")

    def _open_session(self) -> int:
        self._check()
        if self._session is None:
            raise DatabaseError(f"No session is open in {self.path}: call start_session first.")
        return self._session

    def _check_run(self, run: int) -> None:
        self._open_session()
        if run not in self._runs:
            known = ", ".join(map(str, sorted(self._runs))) or "none"
            raise DatabaseError(
                f"Run {run} is not one of this session in {self.path} (it has {known}): call "
                "start_run first."
            )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _insert(connection: Connection, table: Table, row: Mapping[str, object]) -> int:
    key = connection.execute(insert(table).values(row)).inserted_primary_key
    assert key is not None  # every INSERT of one row has one
    return int(key[0])


def _replace_epoch(connection: Connection, rows: list[dict[str, object]]) -> None:
    if rows:
        statement = sqlite_insert(schema.epoch)
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=["run", "epoch", "name"], set_={"value": statement.excluded.value}
            ),
            rows,
        )


def _replace_steps(connection: Connection, rows: list[dict[str, object]]) -> None:
    if rows:
        statement = sqlite_insert(schema.step)
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=["run", "first", "name"], set_={"data": statement.excluded.data}
            ),
            rows,
        )


def _replace_weights(
    connection: Connection, run: int, sha256: str, rows: list[dict[str, object]]
) -> None:
    connection.execute(delete(schema.weight).where(schema.weight.c.run == run))
    if rows:
        connection.execute(insert(schema.weight), rows)
    connection.execute(
        update(schema.run).where(schema.run.c.id == run).values(weights_sha256=sha256)
    )


def _mark_interrupted(connection: Connection) -> None:
    """Give sessions that were killed their status; when they ended is not known."""
    table = schema.session
    running = connection.execute(
        select(table.c.id, table.c.host, table.c.pid, table.c.process_created).where(
            table.c.status == "running"
        )
    ).all()
    gone = [{"number": number} for number, *process in running if is_gone(ProcessId(*process))]
    if gone:
        connection.execute(
            update(table).where(table.c.id == bindparam("number")).values(status="interrupted"),
            gone,
        )
