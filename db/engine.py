"""Connections to a file: how they are opened, and how transactions begin on them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from time import monotonic, sleep

from sqlalchemy import Connection, Engine, NullPool, create_engine, event, text
from sqlalchemy.exc import SQLAlchemyError

from db.errors import DatabaseError, explain
from db.schema import READABLE, VERSION, VERSION_TABLE, VERSIONS

BUSY_S = 5.0
"""How long a connection waits for another program's lock, s."""

WRITER_PRAGMAS = ["PRAGMA synchronous = NORMAL", "PRAGMA foreign_keys = ON"]
"""What is set on each connection that writes, after WAL and the busy timeout."""


def sqlite_version() -> str:
    """Version of the SQLite library in use."""
    return sqlite3.sqlite_version


def writing_engine(path: Path, *, foreign_keys: bool = True) -> Engine:
    """An engine whose connections may write; a missing file is created. `path` is absolute.

    Transactions begin with BEGIN IMMEDIATE: with sqlite3's own, which begin with a shared lock,
    two programs lose each other's updates. `foreign_keys=False` is for migrations, which drop
    and rebuild tables.
    """

    def connect() -> sqlite3.Connection:
        connection = _connect(path, "mode=rwc")
        try:
            _use_wal(connection)
            for pragma in WRITER_PRAGMAS:
                connection.execute(pragma)
            if not foreign_keys:
                connection.execute("PRAGMA foreign_keys = OFF")
        except BaseException:
            connection.close()
            raise
        return connection

    return _engine(connect, "BEGIN IMMEDIATE")


@lru_cache(maxsize=8)
def reading_engine(path: Path) -> Engine:
    """An engine whose connections cannot write and do not create the file.

    `path` is absolute. The engine is kept because a new one compiles its statements anew; it keeps
    no connection open.
    """

    def connect() -> sqlite3.Connection:
        connection = _connect(path, "mode=ro")
        try:
            connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
        except sqlite3.OperationalError as error:
            connection.close()
            # WAL wants two files beside the database. Where the folder may not be written, and no
            # program has left something in them, the database can be read as it lies there.
            said = str(error)
            may_not_write = "unable to open" in said or "readonly database" in said
            if not may_not_write or _size(Path(f"{path}-wal")) > 0:
                raise
            connection = _connect(path, "mode=ro&immutable=1")
        return connection

    return _engine(connect, "BEGIN")


def _engine(connect: Callable[[], sqlite3.Connection], begin: str) -> Engine:
    engine = create_engine("sqlite://", creator=connect, poolclass=NullPool)

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


def _connect(path: Path, options: str) -> sqlite3.Connection:
    """A connection in autocommit (transactions are begun by hand), usable from any one thread.

    The cache of statements is small because the messages' statements are large (db/messages.py).
    """
    return sqlite3.connect(
        f"{path.as_uri()}?{options}",
        uri=True,
        timeout=BUSY_S,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=16,
    )


def _use_wal(connection: sqlite3.Connection) -> None:
    """Switch to write-ahead logging, which SQLite does not wait for by itself when it is busy."""
    give_up = monotonic() + BUSY_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or monotonic() > give_up:
                raise
            sleep(0.01)


def stored_version(connection: Connection, path: Path) -> str | None:
    """The schema's version in the file, or None if the file is empty.

    Raises DatabaseError if the file belongs to another program or to a newer SpinLoop.
    """
    tables = {name for (name,) in connection.execute(text("SELECT name FROM sqlite_master"))}
    if not tables:
        return None
    if VERSION_TABLE not in tables:
        raise DatabaseError(
            f"{path} is a SQLite file of another program: give the path of a SpinLoop database, "
            "or of a new file."
        )
    found = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()
    version = None if found is None else str(found)
    if version is not None and version not in VERSIONS:
        raise DatabaseError(
            f"{path} has the schema {version}, and this SpinLoop knows them up to {VERSION}: "
            "update SpinLoop to use it."
        )
    return version


@contextmanager
def reading(path: Path) -> Iterator[Connection]:
    """A connection in one read transaction, on a file of a version that can be read.

    Raises DatabaseError if the file is missing, not ours, or of a version that cannot, and for
    whatever goes wrong while it is read.
    """
    with raw_reading(path) as connection:
        version = stored_version(connection, path)
        if version is None:
            raise DatabaseError(f"{path} is empty: nothing has been recorded in it yet.")
        if version not in READABLE:
            raise DatabaseError(
                f"{path} has the older schema {version}: bring it to {VERSION} first by recording "
                "into it once, which keeps all that it holds."
            )
        yield connection


@contextmanager
def raw_reading(path: Path) -> Iterator[Connection]:
    """As `reading`, on a file of any version or an empty one."""
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise DatabaseError(f"{path} {what}: give the path of a SpinLoop database.")
    try:
        with reading_engine(path.absolute()).connect() as connection, connection.begin():
            yield connection
    except (SQLAlchemyError, sqlite3.Error, OSError) as error:
        raise explain(path, error) from error


def _size(path: Path) -> int:
    """Bytes in a file; 0 if there is none."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def file_id(path: Path) -> tuple[int, int] | None:
    """What tells this file from another at the same path; None if there is no file."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino
