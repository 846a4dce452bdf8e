"""``spinloop plan``: what a run will take, before it is made."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import options
from cli.output import count, duration, errors, print_json, say, table

if TYPE_CHECKING:
    from instruments import BenchFile

_JOBS = ("network", "circles", "iris", "calibrate", "characterise")


def plan(
    job: Annotated[
        str, typer.Argument(help=f"{', '.join(_JOBS)}. Default: network, told by the options.")
    ] = "network",
    samples: Annotated[
        int | None, typer.Option(min=1, help="Training samples.", show_default=False)
    ] = None,
    batch: Annotated[
        int | None,
        typer.Option(min=1, help="Samples of a batch. Default: all.", show_default=False),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(min=1, help="Epochs. Default: the task's, or 1.", show_default=False),
    ] = None,
    neurons: Annotated[
        int | None,
        typer.Option(min=1, help="Neurons. Default: one a junction.", show_default=False),
    ] = None,
    junctions: Annotated[
        int | None,
        typer.Option(min=1, help="Junctions. Default: all of the bench file.", show_default=False),
    ] = None,
    rule: Annotated[
        str,
        typer.Option(
            help="Gradient rule: two-reference, calibrated, slope, forward, central, dither."
        ),
    ] = "two-reference",
    test: Annotated[
        int | None, typer.Option(min=0, help="Samples of the evaluation.", show_default=False)
    ] = None,
    runs: Annotated[int, typer.Option(min=1, help="Repetitions (seeds).")] = 1,
    check_every: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Batches between two spot checks of the tables. Default: no checks.",
            show_default=False,
        ),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="For characterise.")] = False,
    bench: options.Bench = None,
    db: options.Record = options.DATABASE,
    as_json: options.Json = False,
) -> None:
    """Say how many reads, sweeps, bench seconds and bytes a run will take, and what limits it.

    What sweeps cost is learned from those of this bench in the record. Nothing is sent.

    \b
    Examples:
      spinloop plan circles
      spinloop plan --samples 120 --epochs 30 --neurons 8 --rule central
      spinloop plan characterise --quick --json
    """
    if job not in _JOBS:
        raise typer.BadParameter(f"no job {job!r}; there are {', '.join(_JOBS)}", param_hint="JOB")
    from db import sessions
    from device.plan import learn, predict
    from device.plan import report as told
    from instruments import load_bench_file

    file, _ = load_bench_file(bench)
    number = junctions or len(file.junctions)
    if number > len(file.junctions):
        raise typer.BadParameter(
            f"{number} are more than the {len(file.junctions)} of {file.name}",
            param_hint="--junctions",
        )
    if db.exists():
        sessions(db)  # a file that is no record is not taken for an empty one
    costs = learn(db, file)
    ways = _ways(
        job, file, costs, number, quick,
        {"samples": samples, "batch": batch, "epochs": epochs, "neurons": neurons or number,
         "rule": rule, "test": test, "runs": runs, "check_every": check_every},
    )  # fmt: skip
    report: dict[str, Any] = {
        name: told(predict(sweeps, file, costs), costs) for name, sweeps in ways.items()
    }
    for remark in costs.remarks:
        say(remark, style="yellow", to=errors)
    if not costs.sweeps:
        first = next(iter(file.junctions))
        say(
            f"no sweep of this bench is on record in {db}: these are lower bounds from the bench "
            f"file's times. Make two first: spinloop calibrate {first}; spinloop sweep {first} "
            "--points 21",
            style="yellow", to=errors,
        )  # fmt: skip
    if as_json:
        print_json(report)
    else:
        _show(job, report, costs.sweeps)


def _ways(
    job: str, file: BenchFile, costs: Any, junctions: int, quick: bool, wanted: dict[str, Any]
) -> dict[str, Any]:
    """The sweeps of a job, by the way in which it is done."""
    from device.characterise_steps import schedule
    from device.plan import Network, calibrating, characterising, tabulated, training

    if job == "calibrate":
        return {"live": calibrating(file, junctions)}
    if job == "characterise":
        names = list(file.junctions)[:junctions]
        return {"live": characterising(file, schedule(file, names, (), quick))}
    sizes = {"samples": wanted["samples"], "test": wanted["test"], "epochs": wanted["epochs"]}
    runs = wanted["runs"]
    if job != "network":
        from training.tasks import TASKS

        task = TASKS[job]
        fold = next(task.folds(0))
        own = {
            "samples": len(fold.x_train), "test": len(fold.x_test), "epochs": task.schedule.epochs
        }  # fmt: skip
        sizes = {name: own[name] if value is None else value for name, value in sizes.items()}
        runs *= task.fold_count
    if sizes["samples"] is None:
        raise typer.BadParameter("a network needs its number of samples", param_hint="--samples")
    try:
        network = Network(
            samples=sizes["samples"], epochs=sizes["epochs"] or 1, test=sizes["test"] or 0,
            batch=wanted["batch"], neurons=wanted["neurons"], junctions=junctions,
            rule=wanted["rule"], runs=runs, check_every=wanted["check_every"],
        )  # fmt: skip
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    make: dict[str, Callable[..., Any]] = {"live": training, "tabulated": tabulated}
    return {name: way(file, network, costs) for name, way in make.items()}


def _show(job: str, report: dict[str, Any], learned: int) -> None:
    bound = "" if learned else "at least "
    table(
        f"plan: {job}",
        ("way", "sweeps", "reads", "bench time", "record", "limited by", "what it goes into"),
        [
            (way, f"{one['sweeps']:,}", f"{one['reads']:,}",
             bound + duration(one["bench_seconds"]), _size(one["bytes"]), one["limited_by"],
             ", ".join(f"{name} {duration(s)}" for name, s in
                       sorted(one["parts_s"].items(), key=lambda part: -part[1]) if s >= 0.005))
            for way, one in report.items()
        ],
    )  # fmt: skip
    if learned:
        say(f"learned from {count(learned, 'recorded sweep')} of this bench")


def _size(stored: float | None) -> str:
    if stored is None:
        return "not known"
    return f"{stored / 1e6:.1f} MB" if stored >= 1e5 else f"{stored / 1e3:.1f} kB"
