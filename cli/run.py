"""Running a job in a recorded session, as every command does that measures."""

from __future__ import annotations

import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from cli.output import errors, say

if TYPE_CHECKING:
    from instruments import BenchFile


def _check(
    kind: str, arguments: Mapping[str, Any], file: BenchFile, realtime: float | None
) -> None:
    """What can be said against a job before anything is opened."""
    from training.jobs import check

    if realtime is not None and not 0 < realtime < float("inf"):
        raise typer.BadParameter(f"{realtime:g} has to be above 0", param_hint="--realtime")
    if realtime is not None and file.backend != "sim":
        raise typer.BadParameter(
            f"{file.name} has 'backend: {file.backend}', and only a simulated bench has a time of "
            "its own; leave the option out",
            param_hint="--realtime",
        )
    check(kind, arguments, file)


def interrupted(error: KeyboardInterrupt, number: int) -> typer.Exit:
    """Say how an interrupt has ended a session (0: none was begun)."""
    for request in (signal.SIGINT, signal.SIGTERM):  # all is done that an interrupt can ask for
        signal.signal(request, signal.SIG_IGN)
    marked = f"session {number} is marked interrupted" if number else "no session was begun"
    warnings = getattr(error, "__notes__", ())
    say(f"interrupted: {'; '.join(warnings) or 'outputs are off'}; {marked}", to=errors)
    return typer.Exit(130)


def run(
    kind: str,
    arguments: Mapping[str, Any],
    *,
    bench: Path | None,
    db: Path,
    seed: int | None,
    realtime: float | None,
    operator: str,
    sample: str,
    note: str,
    watch: Any,
    no_guardian: bool = False,
    figures: Path | None = None,
    wants_figures: bool = False,
) -> dict[str, Any]:
    """Run a job in a recorded session; returns its report with session, database and figures."""
    from training.figures import draw
    from training.jobs import JOBS
    from training.session import live_session

    folder = figures or db.absolute().parent / "figures"
    if wants_figures:  # now, and not when the work is done
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise typer.BadParameter(
                f"{folder} cannot be made ({error.strerror})", param_hint="--figures"
            ) from None
    simulated = {"seed": seed, "realtime": realtime}
    say(f"record: {db.absolute()}", to=errors)
    number, start_s = 0, time.perf_counter()
    try:
        with live_session(
            kind, arguments, bench_file=bench, database=db,
            sim={key: value for key, value in simulated.items() if value is not None},
            operator=operator, sample=sample, note=note, guardian=not no_guardian,
            check=lambda file: _check(kind, arguments, file, realtime),
        ) as session:  # fmt: skip
            number = session.number
            file = session.bench.file
            say(f"session {number} on {file.name} (backend: {file.backend})", to=errors)
            report = JOBS[kind](session, watch)
            session.result = dict(report)
            spent_s = session.bench.spent_s()
            wall_s = time.perf_counter() - start_s
    except KeyboardInterrupt as error:
        raise interrupted(error, number) from None
    drawn: list[Path] = []
    if wants_figures:
        try:
            into = folder if figures else folder / f"session-{number}"
            drawn = draw(report, watch.tally, watch.calibrations, watch.sweeps, into)
        except OSError as error:  # the result is worth more than its pictures
            say(f"no figures: {error}", style="yellow", to=errors)
    return {
        "session": number,
        "wall_seconds": wall_s,
        **report,
        "bench_spent_s": spent_s,
        "database": str(db.absolute()),
        "figures": [str(file) for file in drawn],
    }
