"""A session: a bench and its record, opened together and closed together whatever happens."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from db import JSON, NullRecorder, Recorder
from instruments.bench import Bench
from instruments.bench_file import BenchFile, load_bench_file
from instruments.errors import StoppedError

_NONE: Mapping[str, str] = MappingProxyType({})


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
    versions: Mapping[str, str] = _NONE,
    check: Callable[[BenchFile], None] | None = None,
    **opening: Any,
) -> Iterator[Session]:
    """Open the bench and the record; close both, outputs off, whatever happens.

    Args:
        kind: the job: "demo", "train", "calibrate", "sweep".
        arguments: what the job was asked to do; enough to run it again.
        bench_file: path of the bench file; None is the demonstration bench.
        database: the record's file; it is made if it is not there.
        sim: options of the simulated bench, such as its seed.
        operator, sample, note: kept with the session.
        versions: of the packages that the result depends on, kept with the session.
        check: raises what can be said against the job before anything is opened.
        opening: what else :meth:`instruments.Bench.open` takes.

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
            kind, settings, operator=operator, sample=sample, note=note, versions=versions
        )
        opened: Bench | None = None
        try:
            folder = None if bench_file is None else Path(bench_file).parent
            with Bench.open(file, folder=folder, sim=sim, recorder=recorder, **opening) as bench:
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
    """Say with an error why the bench was stopped, and that outputs may still be on."""
    if bench is None:
        return
    if isinstance(error, StoppedError) and bench.trip and str(bench.trip) not in str(error):
        error.add_note(str(bench.trip))
    if bench.unsafe:
        error.add_note(
            "the safe state is NOT confirmed, look at the bench: " + "; ".join(bench.unsafe)
        )
