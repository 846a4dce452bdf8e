"""What is recorded and what is read back, as plain frozen data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

JSON: TypeAlias = "bool | int | float | str | Sequence[JSON] | Mapping[str, JSON] | None"
"""A value that JSON can hold. NaN and infinity are refused when it is stored."""

Status: TypeAlias = Literal["running", "complete", "interrupted", "failed"]
"""How a session stands."""


@dataclass(frozen=True, slots=True)
class Message:
    """One job on the wire; one row of the transcript."""

    seq: int | None
    """Place in the bench's total order; None for an observation."""
    instrument: str
    """Role name: "field", "x", "z", "switch", ..., or "bench" (e.g. for pauses)."""
    op: str
    """"write", "query", "wait", "clear", "pause" or "poll"."""
    sent: str
    """Message text without terminator; "" for wait, clear, pause and poll."""
    reply: bytes | None
    """Raw reply bytes without their terminator; None if there was none."""
    status: int | None
    """Status byte, for wait and poll."""
    error: str | None
    """A sentence, if the job failed."""
    bench_time_s: float
    """Bench clock after the job, in s."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """One sweep: where its replies are in the transcript, and the hash of what they say."""

    purpose: str
    """"calibrate", "table", "train", "evaluate", "check", "sweep", ..."""
    junction: str
    points: int
    """Measured points, fill points included."""
    first_seq: int
    """Place of its first message in the bench's total order."""
    last_seq: int
    """Place of its last message in the bench's total order."""
    bench_start_s: float
    """Bench clock at its start, in s."""
    bench_end_s: float
    """Bench clock at its end, in s."""
    sha256: str
    """Hash of the arrays derived from the replies."""
    settings: Mapping[str, JSON]
    """Order of points, lists, ..."""
    run: int | None = None
    """The training run it belongs to, if any."""


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """One session, as a list of sessions shows it."""

    id: int
    kind: str
    status: Status
    """"running" only while the process that records it is there."""
    started: str
    """Time of day, ISO 8601, UTC."""
    ended: str | None
    """Time of day, ISO 8601, UTC; None while it runs, or where it was killed."""
    operator: str
    sample: str
    note: str
    messages: int
    """Rows of the transcript."""
    sweeps: int
    runs: int


@dataclass(frozen=True, slots=True)
class Calibration:
    """One calibration of one junction."""

    junction: str
    values: Mapping[str, JSON]


@dataclass(frozen=True, slots=True)
class PastCalibration:
    """A junction's calibration in one of many sessions, with what that session was made on."""

    session: int
    started: str
    """When the session began: time of day, ISO 8601, UTC."""
    settings: Mapping[str, JSON]
    """Of the session."""
    values: Mapping[str, JSON]


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened in a session."""

    at: str
    """Time of day, ISO 8601, UTC."""
    kind: str
    text: str
    messages: int
    """Rows of the transcript that were recorded before it."""


@dataclass(frozen=True, slots=True)
class Run:
    """One training run: one arm of an experiment with one seed and, perhaps, one fold."""

    id: int
    name: str
    arm: str
    seed: int
    fold: int | None
    settings: Mapping[str, JSON]
    epochs: Mapping[str, NDArray[np.float64]]
    """One array for each recorded name and "epoch" itself, one entry for each epoch, in order;
    NaN where an epoch has no such value."""
    weights_sha256: str | None
    """Hash of the stored weights; None if none are stored."""


@dataclass(frozen=True, slots=True)
class SessionDetail:
    """All of a session but its transcript, its sweeps and its weights."""

    info: SessionInfo
    settings: Mapping[str, JSON]
    versions: Mapping[str, str]
    result: Mapping[str, JSON] | None
    calibrations: Sequence[Calibration]
    runs: Sequence[Run]
    events: Sequence[Event]
