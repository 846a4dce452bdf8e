"""What is added to a session by another program than the one that recorded it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import insert, select
from sqlalchemy.exc import SQLAlchemyError

from db import schema
from db.engine import stored_version, writing_engine
from db.errors import DatabaseError, explain
from db.values import clean_text


def add_events(path: str | Path, session: int, events: Iterable[tuple[str, str]]) -> None:
    """Add events, as pairs of kind and text, to a session whose writer is dead or hangs.

    One transaction; nothing else of the session changes.

    Raises DatabaseError if the file is missing, not ours, of another version, cannot be written,
    or has no such session.
    """
    path = Path(path).absolute()
    if not path.is_file():
        raise DatabaseError(f"{path} does not exist: give the path of a SpinLoop database.")
    at = datetime.now(UTC).isoformat(timespec="milliseconds")
    try:
        engine = writing_engine(path)
        try:
            with engine.connect() as connection, connection.begin():
                if stored_version(connection, path) != schema.VERSION:
                    raise DatabaseError(
                        f"{path} is not of the schema {schema.VERSION}: record into it once."
                    )
                known = select(schema.session.c.messages).where(schema.session.c.id == session)
                messages = connection.execute(known).scalar()
                if messages is None:
                    raise DatabaseError(f"There is no session {session} in {path}.")
                rows = [
                    {
                        "session": session, "at": at, "kind": clean_text(kind),
                        "text": clean_text(text), "messages": messages,
                    }
                    for kind, text in events
                ]  # fmt: skip
                if rows:
                    connection.execute(insert(schema.event), rows)
        finally:
            engine.dispose()
    except (SQLAlchemyError, sqlite3.Error, OSError) as error:
        raise explain(path, error) from error
