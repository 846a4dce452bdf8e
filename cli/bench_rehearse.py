"""``spinloop bench rehearse``: the whole procedure on dummy resistors."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import options
from cli.bench_session import bench_file, by_hand, quantity
from cli.output import count, errors, print_json, progress_bar, say, table

if TYPE_CHECKING:
    from instruments import BenchFile
    from instruments.rehearsal import Step

_STYLES = {"passed": "green", "failed": "red", "not tried": "yellow"}


def rehearse(
    ohm: Annotated[
        list[str] | None,
        typer.Option(
            metavar="R",
            help="Resistor in place of both layers: '10 kohm' for all junctions, 'J1=9.8 kohm' for "
            "one. May be given several times. Default: 10 kohm.",
            show_default=False,
        ),
    ] = None,
    line_ohm: Annotated[
        str | None,
        typer.Option(
            metavar="R",
            help="Resistor in place of the field line. Default: limits.field_line.resistance.",
            show_default=False,
        ),
    ] = None,
    tolerance: Annotated[
        float, typer.Option(min=1e-4, max=0.5, help="How far a reading may be off, as a share.")
    ] = 0.05,
    heartbeat: Annotated[
        float,
        typer.Option(min=1, max=60, metavar="S", help="How long the hanging program may hang, s."),
    ] = 3.0,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="No junction is connected: do not ask.")
    ] = False,
    bench: options.Bench = None,
    db: options.Database = options.DATABASE,
    no_guardian: options.NoGuardian = False,
    operator: options.Operator = "",
    note: options.Note = "",
    as_json: options.Json = False,
) -> None:
    """Run the whole procedure on resistors, and show that the bench protects what comes after.

    Every junction's relays, what the limits refuse, the compliances in the instruments, a stop in
    the middle of a sweep, and the guardian of a program that hangs. A bench with 'backend: real'
    arms for junctions only when this has passed with its bench file as it is. The exit code is 1 if
    a step has failed.

    \b
    Examples:
      spinloop bench rehearse --bench bench.yaml
      spinloop bench rehearse --bench bench.yaml --ohm "10 kohm" --ohm "J3=9.8 kohm" --yes
    """
    from instruments.checking import check
    from instruments.rehearsal import Dummies
    from instruments.rehearsal import rehearse as run_rehearsal

    file, folder = bench_file(bench)
    dummies = Dummies(
        _resistors(file, ohm or []),
        None if line_ohm is None else quantity(line_ohm, "ohm", "--line-ohm"),
        tolerance,
    )
    before = check(file, folder, guardian=not no_guardian, dummies=True)
    if before.problems:
        for problem in before.problems:
            say(problem, style="red", to=errors)
        raise typer.Exit(1)
    if not yes:
        _confirm(dummies.ohm)
    arguments = {"ohm": dict(dummies.ohm), "line_ohm": dummies.line_ohm, "tolerance": tolerance}
    with by_hand(
        "rehearse", arguments, bench=bench, db=db, guardian=not no_guardian, dummies=True,
        operator=operator, note=note,
    ) as session, progress_bar() as bar:  # fmt: skip
        task = bar.add_task("rehearsing", total=None, figures="")

        def on_step(one: Step, total: int) -> None:
            bar.update(task, advance=1, total=total, figures=one.name)

        steps = run_rehearsal(session.bench, dummies, on_step)
        number = session.number
        session.result = {"steps": [asdict(one) for one in steps]}
    steps.append(_guardian(steps, bench, file, db, heartbeat, no_guardian))
    passed = all(one.outcome != "failed" for one in steps)
    if passed and file.backend == "real":
        from instruments.state_folder import Rehearsal

        Rehearsal.of(file, db.absolute(), number).save()
    _show(file, steps, number, db, passed, as_json)
    if not passed:
        raise typer.Exit(1)


def _resistors(file: BenchFile, given: list[str]) -> dict[str, float]:
    """The resistor of each junction, ohm."""
    found = dict.fromkeys(file.junctions, 10e3)
    for text in sorted(given, key=lambda one: "=" in one):  # those for one come last
        name, equals, value = text.rpartition("=")
        if equals and name not in found:
            raise typer.BadParameter(
                f"no junction {name!r}; there are {', '.join(found)}", param_hint="--ohm"
            )
        resistance = quantity(value, "ohm", "--ohm")
        if resistance <= 0:
            raise typer.BadParameter(f"{value!r} is not above 0", param_hint="--ohm")
        found |= {name: resistance} if equals else dict.fromkeys(found, resistance)
    return found


def _confirm(ohm: dict[str, float] | Any) -> None:
    from instruments.units import show

    listed = ", ".join(f"{name} {show(value, 'ohm')}" for name, value in ohm.items())
    say(f"resistors in place of the junctions: {listed}", to=errors)
    if not typer.confirm("no junction is connected?", err=True):
        raise typer.Exit(1)


def _guardian(
    steps: list[Step], bench: Path | None, file: BenchFile, db: Path, heartbeat_s: float, no: bool
) -> Step:
    """The guardian's step; nobody holds the bench any more."""
    from instruments.rehearsal import Step
    from instruments.rehearsal_guardian import NAME, rehearse_guardian

    if file.backend != "real" or bench is None:
        return Step(NAME, "not tried", "the instruments end with the program")
    if no:
        return Step(NAME, "not tried", "it was not wanted")
    if steps[-1].outcome == "failed":
        return Step(NAME, "not tried", "a step before has failed")
    say("a program hangs with everything on; its guardian has to switch off", to=errors)
    return rehearse_guardian(bench, file, db, heartbeat_s)


def _show(
    file: BenchFile, steps: list[Step], number: int, db: Path, passed: bool, as_json: bool
) -> None:
    if as_json:
        print_json({
            "session": number, "passed": passed, "database": str(db.absolute()),
            "steps": [asdict(one) for one in steps],
        })  # fmt: skip
        return
    from rich.text import Text

    table(
        f"{file.name}: rehearsal",
        ("step", "outcome", "seen"),
        [(one.name, Text(one.outcome, style=_STYLES[one.outcome]), one.text) for one in steps],
    )
    failed = sum(one.outcome == "failed" for one in steps)
    kept = "; junctions may be connected" if file.backend == "real" else ""
    say(f"passed{kept}" if passed else f"{count(failed, 'step')} failed")
    say(f"session {number} in {db.absolute()}")
