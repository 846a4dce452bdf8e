"""A session: a bench and its record, opened together and closed together whatever happens."""

from __future__ import annotations

import contextlib
import json
import platform
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from db import JSON, NullRecorder, Recorder, SessionDetail, transcript
from db import session as read_session
from instruments import Bench, BenchFile, DivergenceError, StoppedError, load_bench_file
from instruments.bench_file import parse_bench_file
from instruments.replay import Script
from training.judgement import Tape

_PACKAGES = (
    "spinloop", "numpy", "scipy", "scikit-learn", "torch", "pymeasure", "pyvisa", "sqlalchemy",
)  # fmt: skip


@dataclass
class Session:
    """An open session.

    Attributes:
        number: its number in the record (0: not recorded).
        bench: the open bench.
        recorder: where results go.
        arguments: what the job was asked to do, as recorded.
        result: what the job found; recorded at the end.
    """

    number: int
    bench: Bench
    recorder: Recorder | NullRecorder
    arguments: Mapping[str, JSON]
    result: dict[str, JSON] = field(default_factory=dict)


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
def live_session(
    kind: str,
    arguments: Mapping[str, JSON],
    *,
    bench_file: str | Path | None,
    database: str | Path,
    sim: Mapping[str, str | int | float] | None = None,
    operator: str = "",
    sample: str = "",
    note: str = "",
    check: Callable[[BenchFile], None] | None = None,
) -> Iterator[Session]:
    """Open the bench and the record; close both, outputs off, whatever happens.

    Args:
        kind: the job: "demo", "train", "calibrate", "sweep".
        arguments: what the job was asked to do; enough to run it again.
        bench_file: path of the bench file; None is the demonstration bench.
        database: the record's file; it is made if it is not there.
        sim: options of the simulated bench, such as its seed.
        operator, sample, note: kept with the session.
        check: raises what can be said against the job before anything is opened.

    Raises:
        BenchFileError, BenchError, DatabaseError: before anything is switched on.
    """
    file, text = load_bench_file(bench_file)
    if check is not None:
        check(file)
    settings: dict[str, JSON] = {
        "arguments": dict(arguments),
        "backend": file.backend,
        "bench": file.name,
        "bench_file": text,
        "sim": dict(sim or {}) if file.backend == "sim" else {},
    }
    with Recorder.open(database) as recorder:
        number = recorder.start_session(
            kind, settings, operator=operator, sample=sample, note=note, versions=versions()
        )
        opened: Bench | None = None
        try:
            folder = None if bench_file is None else Path(bench_file).parent
            with Bench.open(file, folder=folder, sim=sim, recorder=recorder) as bench:
                opened = bench
                session = Session(number, bench, recorder, arguments)
                yield session
            recorder.end_session("complete", session.result)
        except (KeyboardInterrupt, StoppedError) as error:
            _warn(error, opened)
            recorder.event("interrupted", str(error) or "Ctrl-C")
            recorder.end_session("interrupted")
            raise
        except BaseException as error:
            _warn(error, opened)
            with contextlib.suppress(Exception):  # the record may be what failed
                recorder.event("failed", f"{type(error).__name__}: {error}")
                recorder.end_session("failed")
            raise


def _warn(error: BaseException, bench: Bench | None) -> None:
    """Say with an error, whichever it is, that outputs may still be on."""
    if bench is not None and bench.unsafe:
        error.add_note(
            "the safe state is NOT confirmed, look at the bench: " + "; ".join(bench.unsafe)
        )


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
