"""The command ``spinloop``."""

from __future__ import annotations

import io
import signal
import sys
from typing import Annotated

import typer

from cli import (
    bench,
    characterise,
    doctor,
    evaluate,
    gradients,
    jobs,
    physics,
    plan,
    record,
    sim,
    twin,
    weights,
    window,
)
from cli.output import errors, say

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"spinloop {version('spinloop')}")
        raise typer.Exit


@app.callback()
def spinloop(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Neural networks whose neurons are magnetic tunnel junctions, at a real or simulated bench.

    Start with 'spinloop demo'; every command has --help with examples.
    """


for command in (
    jobs.demo, jobs.calibrate, characterise.characterise, plan.plan, jobs.train, jobs.sweep,
    gradients.gradients, evaluate.evaluate, weights.weights, record.sessions, record.show,
    record.replay, window.gui, doctor.doctor,
):  # fmt: skip
    app.command()(command)
app.add_typer(physics.app, name="physics")
app.add_typer(sim.app, name="sim")
app.add_typer(bench.app, name="bench")
app.add_typer(twin.app, name="twin")


def _expected() -> tuple[type[Exception], ...]:
    """Errors that are told in one sentence.  Looked up only when something went wrong: the floors
    below take seconds to load."""
    found: list[type[Exception]] = []
    for module, names in (
        ("db", ("DatabaseError",)),
        ("instruments.errors", ("BenchError",)),
        ("device.reading", ("CalibrationError", "InvalidReadingError", "NotMeasuredError")),
        ("device.curve", ("CurveError",)),
        ("training.trainer", ("TrainingStoppedError",)),
        ("training.checkpoint", ("CheckpointError",)),
        ("training.data_errors", ("DataError",)),
        ("training.evaluate_job", ("NotEvaluableError",)),
    ):
        if module in sys.modules:
            found += [getattr(sys.modules[module], name) for name in names]
    return tuple(found)


def _interrupt(number: int, _: object) -> None:
    """Ctrl-C ends a run in order; a second one, and any other signal, at once."""
    name = signal.Signals(number).name
    states = sys.modules.get("instruments.states")  # not loaded: no bench is open
    if name == "SIGINT" or states is None:
        raise KeyboardInterrupt("Ctrl-C" if name == "SIGINT" else name)
    raise states.Terminated(name)


def main() -> None:
    """Entry point: one clear sentence and exit code 2 for what can go wrong."""
    # A request to end means outputs off, then out.  A shell starts jobs in
    # the background with Ctrl-C ignored; a bench must not ignore it.
    for name in ("SIGINT", "SIGTERM", "SIGBREAK"):  # the last: Windows, a console that closes
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), _interrupt)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(
            stream, io.TextIOWrapper
        ):  # a code page without a letter is no reason to fail
            stream.reconfigure(errors="replace")
    try:
        app(standalone_mode=True)
    except Exception as error:
        if not isinstance(error, _expected()):
            raise
        say(f"spinloop: {error}", style="red", to=errors)
        for warning in getattr(error, "__notes__", ()):
            say(warning, style="red", to=errors)
        sys.exit(2)
