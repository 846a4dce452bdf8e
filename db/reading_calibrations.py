"""Reading calibrations of a junction over all sessions of a record."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from sqlalchemy import func, select

from db import schema
from db.engine import reading
from db.records import PastCalibration
from db.values import json_value


def calibrations(
    path: str | Path, junction: str, *, sample: str | None = None
) -> Iterator[PastCalibration]:
    """The last calibration of a junction in each session that has one, newest session first.

    With `sample`, only of sessions of that sample. They are read one at a time as they are asked
    for, so a search that ends early reads little of a long record.
    """
    path = Path(path)
    calibration, session = schema.calibration, schema.session
    wanted = [calibration.c.junction == junction]
    if sample is not None:
        wanted.append(session.c.sample == sample)
    with reading(path) as connection:
        found = connection.execute(
            select(func.max(calibration.c.id))
            .join(session, session.c.id == calibration.c.session)
            .where(*wanted)
            .group_by(calibration.c.session)
            .order_by(calibration.c.session.desc())
        ).scalars()
        rows = list(found)
    return _one_by_one(path, rows)


def _one_by_one(path: Path, rows: Sequence[int]) -> Iterator[PastCalibration]:
    """Each in a transaction of its own: a search that stops half-way leaves nothing open."""
    calibration, session = schema.calibration, schema.session
    for row in rows:
        with reading(path) as connection:
            number, started, settings, content = connection.execute(
                select(session.c.id, session.c.started, session.c.settings, calibration.c.content)
                .join(session, session.c.id == calibration.c.session)
                .where(calibration.c.id == row)
            ).one()
        yield PastCalibration(number, started, json_value(settings), json_value(content))
