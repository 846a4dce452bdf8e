"""The record: sessions, transcripts, sweeps, runs and weights in one SQLite file.

Writing goes through one `Recorder` per program; reading through plain functions that open the
file read-only. Everything that can go wrong is a `DatabaseError` with one sentence that says what
to do.
"""

from db.aftermath import add_events
from db.engine import sqlite_version
from db.errors import DatabaseError
from db.null import NullRecorder
from db.reading import run, session, sessions, steps, sweeps, transcript, weights
from db.reading_calibrations import calibrations
from db.recorder import EndStatus, Recorder
from db.records import (
    JSON,
    Calibration,
    Event,
    Message,
    PastCalibration,
    Run,
    SessionDetail,
    SessionInfo,
    Status,
    Sweep,
)
from db.upgrade import migrate
from db.values import weights_sha256

__all__ = [
    "JSON",
    "Calibration",
    "DatabaseError",
    "EndStatus",
    "Event",
    "Message",
    "NullRecorder",
    "PastCalibration",
    "Recorder",
    "Run",
    "SessionDetail",
    "SessionInfo",
    "Status",
    "Sweep",
    "add_events",
    "calibrations",
    "migrate",
    "run",
    "session",
    "sessions",
    "sqlite_version",
    "steps",
    "sweeps",
    "transcript",
    "weights",
    "weights_sha256",
]
