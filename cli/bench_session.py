"""What the commands at a bench share: its file, a recorded session by hand, the operator's end."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from cli.output import errors, say
from cli.run import interrupted

if TYPE_CHECKING:
    from instruments import BenchFile
    from instruments.session import Session


def bench_file(bench: Path | None) -> tuple[BenchFile, Path | None]:
    """A bench file, and the folder that its ``sim`` is looked for in."""
    from instruments import load_bench_file

    file, _ = load_bench_file(bench)
    return file, None if bench is None else bench.parent


def quantity(text: str, unit: str, hint: str) -> float:
    """A quantity that somebody typed, in ``unit``."""
    from instruments.units import to_si

    try:
        return to_si(text, unit)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=hint) from None


@contextlib.contextmanager
def by_hand(
    kind: str,
    arguments: Mapping[str, Any],
    *,
    bench: Path | None,
    db: Path,
    sim: Mapping[str, Any] | None = None,
    **opening: Any,
) -> Iterator[Session]:
    """A recorded session on a bench."""
    from instruments.session import live_session

    say(f"record: {db.absolute()}", to=errors)
    given = {key: value for key, value in (sim or {}).items() if value is not None}
    number = 0
    try:
        with live_session(
            kind, arguments, bench_file=bench, database=db, sim=given, **opening
        ) as session:
            number, file = session.number, session.bench.file
            say(f"session {number} on {file.name} (backend: {file.backend})", to=errors)
            yield session
    except KeyboardInterrupt as error:
        raise interrupted(error, number) from None


@contextlib.contextmanager
def until_the_operator_ends(*, enter: bool) -> Iterator[threading.Event]:
    """An event that the first Ctrl-C sets, and Enter too; a second Ctrl-C interrupts.

    Args:
        enter: wait for Enter; the end of the standard input counts as one.
    """
    end = threading.Event()

    def first(number: int, frame: Any) -> None:
        if end.is_set():
            raise KeyboardInterrupt("Ctrl-C")
        end.set()

    def wait_for_enter() -> None:
        with contextlib.suppress(ValueError, OSError):  # it is closed
            sys.stdin.readline()
        end.set()

    before = signal.signal(signal.SIGINT, first)
    try:
        if enter:
            threading.Thread(target=wait_for_enter, name="waits for Enter", daemon=True).start()
        yield end
    finally:
        signal.signal(signal.SIGINT, before)
