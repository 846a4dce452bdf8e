"""Bring a file to the present version of the schema."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from db.engine import raw_reading, stored_version, writing_engine
from db.errors import DatabaseError, explain
from db.schema import VERSION


def migrate(path: str | Path) -> None:
    """Bring an existing file to the present version; one that has it already is not touched.

    Raises DatabaseError if the file is missing, not ours, newer than this program, or cannot be
    written.
    """
    path = Path(path).absolute()
    with raw_reading(path) as connection:
        version = stored_version(connection, path)
    if version != VERSION:
        _upgrade_file(path)


def create_or_migrate(path: Path) -> None:
    """As `migrate`, and create the file if there is none.

    Raises DatabaseError as `migrate` does, and if the folder does not exist.
    """
    if path.exists():
        migrate(path)
    elif path.parent.is_dir():
        _upgrade_file(path)
    else:
        raise DatabaseError(f"The folder {path.parent} does not exist: create it first.")


def _upgrade_file(path: Path) -> None:
    """One transaction, so that of several programs one does the work and the others wait."""
    engine = writing_engine(path, foreign_keys=False)
    try:
        with engine.connect() as connection, connection.begin():
            if stored_version(connection, path) != VERSION:
                _upgrade(connection)
    except (SQLAlchemyError, sqlite3.Error, OSError) as error:
        raise explain(path, error) from error
    finally:
        engine.dispose()


def _upgrade(connection: Connection) -> None:
    """Run the migrations on an open transaction (`migrations/env.py` takes it from here)."""
    from alembic import command  # only here: most programs meet a file that is up to date
    from alembic.config import Config

    config = Config()
    folder = Path(__file__).parent / "migrations"
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
