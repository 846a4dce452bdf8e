"""A session: a bench and its record, opened together and closed together whatever happens."""

from __future__ import annotations

import contextlib
import json
import platform
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from db import JSON, NullRecorder, Recorder, SessionDetail, transcript
from db import session as read_session
from db import weights as read_weights
from instruments import Bench, DivergenceError, StoppedError, load_bench_file
from instruments.bench_file import parse_bench_file
from instruments.replay import Script

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
) -> Iterator[Session]:
    """Open the bench and the record; close both, outputs off, whatever happens.

    Args:
        kind: the job: "demo", "train", "calibrate", "sweep".
        arguments: what the job was asked to do; enough to run it again.
        bench_file: path of the bench file; None is the demonstration bench.
        database: the record's file; it is made if it is not there.
        sim: options of the simulated bench, such as its seed.
        operator, sample, note: kept with the session.

    Raises:
        BenchFileError, BenchError, DatabaseError: before anything is switched on.
    """
    file, text = load_bench_file(bench_file)
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
        try:
            with Bench.open(bench_file, sim=sim, recorder=recorder) as bench:
                session = Session(number, bench, recorder, arguments)
                yield session
            recorder.end_session("complete", session.result)
        except (KeyboardInterrupt, StoppedError) as error:
            recorder.event("interrupted", str(error) or "Ctrl-C")
            recorder.end_session("interrupted")
            raise
        except BaseException as error:
            with contextlib.suppress(Exception):  # the record may be what failed
                recorder.event("failed", f"{type(error).__name__}: {error}")
                recorder.end_session("failed")
            raise


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


WEIGHTS_TOLERANCE = 1e-6  # between machines whose arithmetic differs in the last bits


def judge_replay(
    database: str | Path,
    note: ReplayNote,
    report: Mapping[str, JSON],
    weights: Mapping[str, NDArray[np.float64]],
) -> dict[str, JSON]:
    """Compare what a replay found with what was recorded.

    Args:
        database: the record.
        note: as :func:`replay_session` gave it.
        report: the job's report, from the replay.
        weights: final weights of the live runs, in order.

    Returns:
        exact, differences (versions), same, largest_weight_difference, sentence.
    """
    recorded = dict(note.detail.result or {})
    stored = [
        value
        for run in note.detail.runs
        if run.arm == "device"
        for value in read_weights(database, run.id).values()
    ]
    found = list(weights.values())
    largest = max(
        (float(np.abs(a - b).max()) for a, b in zip(stored, found, strict=False)), default=0.0
    )
    if note.exact:
        kept = {key for key in recorded if key != "wall_seconds"}
        differing = sorted(key for key in kept if report.get(key) != recorded[key])
        same = bool(recorded) and not differing
        sentence = (
            "the same bit for bit: every message"
            + (", every weight" if stored else "")
            + " and every number of the result"
            if same
            else f"not the same: {', '.join(differing) or 'the session has no result to compare'}"
        )
    else:
        same = len(stored) == len(found) and largest <= WEIGHTS_TOLERANCE
        sentence = (
            f"the same within one programming step; weights within {largest:.1e}"
            if same
            else f"not the same: weights differ by {largest:.1e} (tolerance {WEIGHTS_TOLERANCE:g})"
        )
    return {
        "exact": note.exact,
        "differences": list(note.differences),
        "same": same,
        "largest_weight_difference": largest,
        "sentence": sentence,
    }


@contextlib.contextmanager
def replay_session(database: str | Path, number: int) -> Iterator[tuple[Session, ReplayNote]]:
    """Open a recorded session as a bench: its transcript answers, nothing is recorded.

    On the same versions and kind of processor every message is compared letter by letter; elsewhere
    levels may differ by one programming step.

    Raises:
        DatabaseError: no such session.
        DivergenceError: the run asked for something else than was recorded, or for less.
    """
    note = compare_versions(read_session(database, number))
    settings = note.detail.settings
    file = parse_bench_file(str(settings["bench_file"]), f"bench file of session {number}")
    file = file.model_copy(update={"backend": "replay"})
    script = Script(transcript(database, number))
    arguments = settings["arguments"]
    assert isinstance(arguments, dict), json.dumps(settings)
    with Bench.open(file, script=script) as bench:
        if not note.exact:
            script.step_a = bench.programming_step_a
        yield Session(0, bench, bench.recorder, arguments), note
        if script.remaining:
            raise DivergenceError(
                f"the run ended {script.remaining} messages before the record of session {number}"
            )
