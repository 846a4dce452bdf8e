"""Sessions of jobs: recorded ones on a bench, and their replay."""

from __future__ import annotations

import contextlib
import json
import platform
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from db import JSON, SessionDetail, transcript
from db import session as read_session
from instruments import Bench, DivergenceError, session
from instruments.bench_file import parse_bench_file
from instruments.replay import Script
from instruments.session import Session
from training.judgement import Tape

_PACKAGES = (
    "spinloop", "numpy", "scipy", "scikit-learn", "torch", "pymeasure", "pyvisa", "sqlalchemy",
)  # fmt: skip


def versions() -> dict[str, str]:
    """What the bits of a result depend on: package versions, Python, kind of processor."""
    import torch

    found = {"python": platform.python_version(), "machine": platform.machine()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    found["cpu_capability"] = torch.backends.cpu.get_cpu_capability()
    found["system"] = sys.platform
    return found


@contextlib.contextmanager
def live_session(kind: str, arguments: Mapping[str, JSON], **how: Any) -> Iterator[Session]:
    """:func:`instruments.session.live_session`, with the versions that a training depends on."""
    with session.live_session(kind, arguments, versions=versions(), **how) as opened:
        yield opened


@dataclass(frozen=True)
class ReplayNote:
    """How a replay compares with its original."""

    detail: SessionDetail
    exact: bool
    differences: tuple[str, ...]


def compare_versions(detail: SessionDetail) -> ReplayNote:
    """Whether a replay here can be bit-identical, and if not, what differs."""
    here = versions()
    differences = tuple(
        f"{name} {there} then, {here.get(name)} now"
        for name, there in detail.versions.items()
        if here.get(name) != there
    )
    return ReplayNote(detail, not differences, differences)


class RecordEndedError(DivergenceError):
    """A session that was cut short has been replayed to its end."""


@contextlib.contextmanager
def replay_session(database: str | Path, number: int) -> Iterator[tuple[Session, ReplayNote]]:
    """Open a recorded session as a bench: its transcript answers, nothing is recorded.

    On the same versions and kind of processor every message is compared letter by letter; elsewhere
    levels may differ by one programming step.

    Raises:
        DatabaseError: no such session.
        DivergenceError: the run asked for something else than was recorded, or for less.
        RecordEndedError: the session was cut short, and was the same up to there.
    """
    note = compare_versions(read_session(database, number))
    settings = note.detail.settings
    file = parse_bench_file(str(settings["bench_file"]), f"bench file of session {number}")
    file = file.model_copy(update={"backend": "replay"})
    script = Script(transcript(database, number))
    arguments = settings["arguments"]
    assert isinstance(arguments, dict), json.dumps(settings)
    with Bench.open(file, script=script, recorder=Tape()) as bench:
        if not note.exact:
            script.step_a = bench.programming_step_a
        try:
            yield Session(0, bench, bench.recorder, arguments), note
        except DivergenceError:
            status = note.detail.info.status
            if status == "complete" or script.remaining:
                raise
            raise RecordEndedError(
                f"session {number} is {status}: all {script.position:,} recorded messages were the "
                "same, then the record ends"
            ) from None
        if script.remaining:
            raise DivergenceError(
                f"the run ended {script.remaining} messages before the record of session {number}"
            )
