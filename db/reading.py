"""Reading a record. Nothing here writes, creates or migrates a file.

Every function raises DatabaseError if the file is missing, not a SpinLoop database or of a version
that cannot be read, or if what is asked for is not in it.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, Connection, Row, Select, Table, func, inspect, select

from db import schema
from db.engine import reading
from db.errors import DatabaseError
from db.process import ProcessId, is_gone
from db.records import (
    Calibration,
    Event,
    Message,
    Run,
    SessionDetail,
    SessionInfo,
    Status,
    Sweep,
)
from db.values import json_value, unpack_array

_MESSAGES_AT_ONCE = 1000


def sessions(path: str | Path) -> list[SessionInfo]:
    """All sessions, oldest first.

    One that is marked as running but whose process is gone is given as interrupted.
    """
    with reading(Path(path)) as connection:
        rows = connection.execute(_session_rows().order_by(schema.session.c.id))
        return [_info(row) for row in rows]


def session(path: str | Path, id: int) -> SessionDetail:
    """One session with its settings, calibrations, runs and events."""
    path = Path(path)
    with reading(path) as connection:
        _check_session(connection, path, id)
        row = connection.execute(_session_rows().where(schema.session.c.id == id)).one()
        calibration, event = schema.calibration, schema.event
        return SessionDetail(
            info=_info(row),
            settings=json_value(row.settings),
            versions=cast(dict[str, str], json_value(row.versions)),
            result=None if row.result is None else json_value(row.result),
            calibrations=[
                Calibration(junction, json_value(content))
                for junction, content in connection.execute(
                    select(calibration.c.junction, calibration.c.content)
                    .where(calibration.c.session == id)
                    .order_by(calibration.c.id)
                )
            ],
            runs=_runs(connection, id),
            events=[
                Event(*found)
                for found in connection.execute(
                    select(event.c.at, event.c.kind, event.c.text, event.c.messages)
                    .where(event.c.session == id)
                    .order_by(event.c.id)
                )
            ],
        )


def transcript(
    path: str | Path, id: int, first_seq: int | None = None, last_seq: int | None = None
) -> Iterator[Message]:
    """The messages of a session, in the order in which they were recorded.

    With `first_seq` or `last_seq`, only those whose place in the bench's order lies between them,
    both included; observations have no place, and are left out then. The messages are read in
    pieces as they are asked for, so a session of any length takes the same memory.
    """
    path = Path(path)
    table = schema.message
    indexed = _wanted(table.c.session, table.c.seq, id, first_seq, last_seq)
    # A session's rows lie together in the table: read it along its rows, from the first wanted to
    # the last. "+ 0" keeps SQLite from going through the index, and sorting, for each piece.
    along = _wanted(table.c.session + 0, table.c.seq + 0, id, first_seq, last_seq)
    with reading(path) as connection:
        _check_session(connection, path, id)
        first, last = connection.execute(
            select(func.min(table.c.id), func.max(table.c.id)).where(*indexed)
        ).one()
        if first is None:
            return iter(())
        piece = _piece(connection, along, first, last)
    return _messages(path, along, piece, last)


def _wanted(
    session: ColumnElement[int],
    seq: ColumnElement[int | None],
    id: int,
    first_seq: int | None,
    last_seq: int | None,
) -> list[ColumnElement[bool]]:
    wanted = [session == id]
    if first_seq is not None:
        wanted.append(seq >= first_seq)
    if last_seq is not None:
        wanted.append(seq <= last_seq)
    return wanted


def _messages(
    path: Path, wanted: list[ColumnElement[bool]], piece: Sequence[Row[Any]], last: int
) -> Iterator[Message]:
    """The messages of `piece`, and of those that follow it up to the row `last`.

    Each piece is read in a transaction of its own, so that a slow reader does not hold up the
    writer, and one that stops half-way leaves nothing open.
    """
    while True:
        for row in piece:
            fields: Sequence[Any] = row[1:]
            yield Message(*fields)
        if len(piece) < _MESSAGES_AT_ONCE:
            return
        with reading(path) as connection:
            piece = _piece(connection, wanted, piece[-1][0] + 1, last)


def _piece(
    connection: Connection, wanted: list[ColumnElement[bool]], first: int, last: int
) -> Sequence[Row[Any]]:
    """The next wanted rows: their id, and the fields of a Message in order."""
    table = schema.message
    fields = [table.c[field.name] for field in dataclasses.fields(Message)]
    return connection.execute(
        select(table.c.id, *fields)
        .where(*wanted, table.c.id.between(first, last))
        .order_by(table.c.id)
        .limit(_MESSAGES_AT_ONCE)
    ).all()


def sweeps(path: str | Path, id: int) -> list[Sweep]:
    """The sweeps of a session, in the order in which they were recorded."""
    path = Path(path)
    table = schema.sweep
    with reading(path) as connection:
        _check_session(connection, path, id)
        rows = connection.execute(
            select(table).where(table.c.session == id).order_by(table.c.id)
        ).all()
    return [
        Sweep(
            purpose=row.purpose,
            junction=row.junction,
            points=row.points,
            first_seq=row.first_seq,
            last_seq=row.last_seq,
            bench_start_s=row.bench_start_s,
            bench_end_s=row.bench_end_s,
            sha256=row.sha256,
            settings=json_value(row.settings),
            run=row.run,
        )
        for row in rows
    ]


def weights(path: str | Path, run: int) -> dict[str, NDArray[Any]]:
    """The stored weights of a run, in the order in which they were given.

    Raises DatabaseError also if the run has none.
    """
    path = Path(path)
    table = schema.weight
    with reading(path) as connection:
        _check_run(connection, path, run)
        found = connection.execute(
            select(schema.run.c.weights_sha256).where(schema.run.c.id == run)
        ).one()
        if found.weights_sha256 is None:
            raise DatabaseError(
                f"Run {run} in {path} has no stored weights: choose one that was trained to its "
                "end."
            )
        rows = connection.execute(
            select(table.c.name, table.c.dtype, table.c.shape, table.c.data)
            .where(table.c.run == run)
            .order_by(table.c.place)
        ).all()
    return {name: unpack_array(dtype, shape, data) for name, dtype, shape, data in rows}


def run(path: str | Path, id: int) -> tuple[int, Run]:
    """A run, and the number of its session."""
    path = Path(path)
    table = schema.run
    with reading(path) as connection:
        _check_run(connection, path, id)
        number = connection.execute(select(table.c.session).where(table.c.id == id)).scalar_one()
        return number, next(one for one in _runs(connection, number) if one.id == id)


def steps(path: str | Path, run: int) -> dict[str, NDArray[np.float64]]:
    """The measures of a run's steps: one array for each name, and "step" itself, from 1.

    NaN where a step has no such measure; where stretches overlap, the one that begins later counts.
    """
    path = Path(path)
    table = schema.step
    with reading(path) as connection:
        _check_run(connection, path, run)
        if not inspect(connection).has_table(table.name):  # a file of version 0001
            return {"step": np.empty(0)}
        rows = connection.execute(
            select(table.c.first, table.c.name, table.c.data)
            .where(table.c.run == run)
            .order_by(table.c.first, table.c.name)
        ).all()
    stretches = [(first, name, np.frombuffer(data, "<f8")) for first, name, data in rows]
    begin = min((first for first, _, _ in stretches), default=1)
    end = max((first + len(values) for first, _, values in stretches), default=1)
    found = {"step": np.arange(begin, end, dtype=np.float64)}
    for first, name, values in stretches:
        column = found.setdefault(name, np.full(end - begin, np.nan))
        column[first - begin : first - begin + len(values)] = values
    return found


# -- parts -------------------------------------------------------------------------------------


def _session_rows() -> Select[Any]:
    table = schema.session

    def number_of(other: Table) -> ColumnElement[int]:
        return (
            select(func.count())
            .select_from(other)
            .where(other.c.session == table.c.id)
            .scalar_subquery()
        )

    return select(
        table,
        number_of(schema.sweep).label("sweeps"),
        number_of(schema.run).label("runs"),
    )


def _check_session(connection: Connection, path: Path, id: int) -> None:
    table = schema.session
    if connection.execute(select(table.c.id).where(table.c.id == id)).one_or_none() is None:
        have = connection.execute(select(table.c.id).order_by(table.c.id)).scalars()
        raise DatabaseError(f"{path} has no session {id}: {_list('session', have)}.")


def _check_run(connection: Connection, path: Path, id: int) -> None:
    table = schema.run
    if connection.execute(select(table.c.id).where(table.c.id == id)).one_or_none() is None:
        have = connection.execute(select(table.c.id).order_by(table.c.id)).scalars()
        raise DatabaseError(f"{path} has no run {id}: {_list('run', have)}.")


def _list(what: str, numbers: Iterable[int]) -> str:
    """What there is instead: "it has the sessions 1, 2, 3", shortened in the middle."""
    have = [str(number) for number in numbers]
    if not have:
        return f"it has no {what}s yet"
    if len(have) == 1:
        return f"it has only {what} {have[0]}"
    if len(have) > 12:
        have[6:-5] = ["..."]
    return f"it has the {what}s {', '.join(have)}"


def _info(row: Row[Any]) -> SessionInfo:
    status: Status = row.status
    if status == "running" and is_gone(ProcessId(row.host, row.pid, row.process_created)):
        status = "interrupted"
    return SessionInfo(
        id=row.id,
        kind=row.kind,
        status=status,
        started=row.started,
        ended=row.ended,
        operator=row.operator,
        sample=row.sample,
        note=row.note,
        messages=row.messages,
        sweeps=row.sweeps,
        runs=row.runs,
    )


def _runs(connection: Connection, id: int) -> list[Run]:
    run, epoch = schema.run, schema.epoch
    values: dict[int, dict[int, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
    for number, place, name, value in connection.execute(
        select(epoch.c.run, epoch.c.epoch, epoch.c.name, epoch.c.value)
        .join(run, run.c.id == epoch.c.run)
        .where(run.c.session == id)
        .order_by(epoch.c.run, epoch.c.epoch)
    ):
        values[number][place][name] = np.nan if value is None else value
    return [
        Run(
            id=row.id,
            name=row.name,
            arm=row.arm,
            seed=row.seed,
            fold=row.fold,
            settings=json_value(row.settings),
            epochs=_columns(values[row.id]),
            weights_sha256=row.weights_sha256,
        )
        for row in connection.execute(select(run).where(run.c.session == id).order_by(run.c.id))
    ]


def _columns(epochs: dict[int, dict[str, float]]) -> dict[str, NDArray[np.float64]]:
    """One array for each name, in the order of the names, and "epoch" first."""
    names = sorted({name for values in epochs.values() for name in values})
    columns = {"epoch": np.array(list(epochs), dtype=np.float64)}
    for name in names:
        columns[name] = np.array(
            [values.get(name, np.nan) for values in epochs.values()], dtype=np.float64
        )
    return columns
