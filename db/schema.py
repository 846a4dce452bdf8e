"""The tables, as they are in the newest version.

`migrations/` holds the way from each older version to this one; a test compares the two.
"""

from __future__ import annotations

from sqlalchemy import (
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
)

VERSIONS = ("0001", "0002")
"""Every version of the schema, oldest first: the names of the migrations."""

VERSION = VERSIONS[-1]
"""The version that this program writes."""

READABLE = VERSIONS
"""The versions that it reads as they are: 0002 only adds a table."""

VERSION_TABLE = "spinloop_version"
"""Where a file keeps its version; a SQLite file without this table is not ours."""

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}

metadata = MetaData(naming_convention=NAMING)

session = Table(
    "session",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("started", Text, nullable=False),  # ISO 8601, UTC
    Column("ended", Text),
    Column("operator", Text, nullable=False),
    Column("sample", Text, nullable=False),
    Column("note", Text, nullable=False),
    Column("settings", Text, nullable=False),  # JSON
    Column("versions", Text, nullable=False),  # JSON
    Column("result", Text),  # JSON
    Column("messages", Integer, nullable=False),  # rows of the transcript so far
    Column("host", Text, nullable=False),  # the process that records it:
    Column("pid", Integer, nullable=False),
    Column("process_created", Double, nullable=False),  # s since 1970, as psutil gives it
    CheckConstraint(
        "status IN ('running', 'complete', 'interrupted', 'failed')", name="known_status"
    ),
)

message = Table(
    "message",
    metadata,
    Column("id", Integer, primary_key=True),  # row order
    Column("session", ForeignKey("session.id"), nullable=False),
    Column("seq", Integer),
    Column("instrument", Text, nullable=False),
    Column("op", Text, nullable=False),
    Column("sent", Text, nullable=False),
    Column("reply", LargeBinary),
    Column("status", Integer),
    Column("error", Text),
    Column("bench_time_s", Double, nullable=False),
    Index(None, "session", "seq"),
)

run = Table(
    "run",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("session", ForeignKey("session.id"), nullable=False, index=True),
    Column("name", Text, nullable=False),
    Column("arm", Text, nullable=False),
    Column("seed", Integer, nullable=False),
    Column("fold", Integer),
    Column("settings", Text, nullable=False),  # JSON
    Column("weights_sha256", Text),
)

epoch = Table(  # one row for each value of each epoch
    "epoch",
    metadata,
    Column("run", ForeignKey("run.id"), primary_key=True),
    Column("epoch", Integer, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("value", Double),  # NULL is NaN
)

step = Table(  # one row for each measure of a stretch of steps
    "step",
    metadata,
    Column("run", ForeignKey("run.id"), primary_key=True),
    Column("first", Integer, primary_key=True),  # from 1
    Column("name", Text, primary_key=True),
    Column("data", LargeBinary, nullable=False),  # float64, little-endian, one for each step
)

weight = Table(  # one row for each array
    "weight",
    metadata,
    Column("run", ForeignKey("run.id"), primary_key=True),
    Column("place", Integer, primary_key=True),
    Column("name", Text, nullable=False),
    Column("dtype", Text, nullable=False),
    Column("shape", Text, nullable=False),  # JSON
    Column("data", LargeBinary, nullable=False),  # C order, little-endian
)

sweep = Table(
    "sweep",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("session", ForeignKey("session.id"), nullable=False, index=True),
    Column("run", ForeignKey("run.id"), index=True),
    Column("purpose", Text, nullable=False),
    Column("junction", Text, nullable=False),
    Column("points", Integer, nullable=False),
    Column("first_seq", Integer, nullable=False),
    Column("last_seq", Integer, nullable=False),
    Column("bench_start_s", Double, nullable=False),
    Column("bench_end_s", Double, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("settings", Text, nullable=False),  # JSON
)

calibration = Table(
    "calibration",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("session", ForeignKey("session.id"), nullable=False, index=True),
    Column("junction", Text, nullable=False),
    Column("content", Text, nullable=False),  # JSON
)

event = Table(
    "event",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("session", ForeignKey("session.id"), nullable=False, index=True),
    Column("at", Text, nullable=False),  # ISO 8601, UTC
    Column("kind", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("messages", Integer, nullable=False),  # rows of the transcript before it
)
