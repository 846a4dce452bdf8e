"""Commands that run a job at the bench: demo, train, calibrate, sweep."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from cli import options
from cli.calibrating import calibration_table, how_to_calibrate
from cli.output import (
    comparison_tables,
    count,
    duration,
    follow,
    left_out,
    print_json,
    progress_bar,
    say,
    table,
    times,
)  # fmt: skip
from cli.quantity import ampere
from cli.run import run


def _run_comparison(kind: str, arguments: Mapping[str, Any], as_json: bool, **common: Any) -> None:
    from training.jobs import Watch

    with progress_bar() as bar:
        task = bar.add_task("calibrating", total=None, figures="")
        watch = Watch(on_progress=follow(bar, task))
        report = run(kind, arguments, watch=watch, wants_figures=True, **common)
    if as_json:
        print_json(report)
        return
    if "earlier" in report or "mode" in arguments:
        calibration_table(watch.calibrations, report)
    comparison_tables(report)
    for file in report["figures"]:
        say(f"figure: {file}")
    say(
        f"session {report['session']} in {report['database']}; run it again from its record with\n"
        f"  spinloop replay {report['session']} --db {report['database']}"
    )


def demo(
    bench: options.Bench = None,
    db: options.Database = options.DATABASE,
    seed: options.Seed = None,
    realtime: options.Realtime = None,
    no_guardian: options.NoGuardian = False,
    figures: options.Figures = None,
    reuse: options.Reuse = None,
    direct: options.Direct = False,
    operator: options.Operator = "",
    sample: options.Sample = "",
    note: options.Note = "",
    as_json: options.Json = False,
) -> None:
    """Train circles and Iris with junctions as hidden neurons, against all controls.

    Five seeds each. The device arm is live: every activation and every gradient is read from the
    junctions, about 1.3 million readings. Takes one to two minutes on the simulated bench.

    \b
    Examples:
      spinloop demo
      spinloop demo --seed 7 --db lab.sqlite --json
    """
    arguments = {
        "tasks": ["circles", "iris"], "seed": seed or 0, "repetitions": 5, "epochs": None,
        "arms": None,
    } | how_to_calibrate(reuse, direct, bench=bench, db=db, seed=seed, sample=sample)  # fmt: skip
    _run_comparison(
        "demo", arguments, as_json, bench=bench, db=db, seed=seed, realtime=realtime,
        operator=operator, sample=sample, note=note, figures=figures,
        no_guardian=no_guardian,
    )  # fmt: skip


def train(
    task: Annotated[str, typer.Argument(help="circles, spirals or iris.")],
    bench: options.Bench = None,
    db: options.Database = options.DATABASE,
    seed: options.Seed = None,
    realtime: options.Realtime = None,
    no_guardian: options.NoGuardian = False,
    repetitions: Annotated[
        int,
        typer.Option(
            min=1,
            max=100,
            help="Paired repetitions; repetition r uses seed + r, so that "
            "seeds closer than this share some of them.",
        ),
    ] = 1,
    epochs: Annotated[
        int | None, typer.Option(min=1, max=10000, help="Epochs in place of the task's own.")
    ] = None,
    arm: Annotated[
        list[str] | None,
        typer.Option(
            help="Arm to train; may be given several times. device, tanh, linear, shuffled, "
            "constant, frozen; default: device and tanh.",
            show_default=False,
        ),
    ] = None,
    figures: options.Figures = None,
    reuse: options.Reuse = None,
    direct: options.Direct = False,
    operator: options.Operator = "",
    sample: options.Sample = "",
    note: options.Note = "",
    as_json: options.Json = False,
) -> None:
    """Train one small network with the junctions in the loop.

    \b
    Examples:
      spinloop train circles
      spinloop train iris --repetitions 3 --arm device --arm tanh --arm shuffled
      spinloop train circles --bench bench.yaml --operator Ada --sample W12-J3
    """
    from training.arms import ARMS
    from training.tasks import TASKS

    if task not in TASKS:
        raise typer.BadParameter(
            f"no task {task!r}; there are {', '.join(TASKS)}", param_hint="TASK"
        )
    arms = arm or ["device", "tanh"]
    for one in arms:
        if one not in ARMS:
            raise typer.BadParameter(
                f"no arm {one!r}; there are {', '.join(ARMS)}", param_hint="--arm"
            )
    arguments = {
        "tasks": [task], "seed": seed or 0, "repetitions": repetitions, "epochs": epochs,
        "arms": list(dict.fromkeys(arms)),
    } | how_to_calibrate(reuse, direct, bench=bench, db=db, seed=seed, sample=sample)  # fmt: skip
    _run_comparison(
        "train", arguments, as_json, bench=bench, db=db, seed=seed, realtime=realtime,
        operator=operator, sample=sample, note=note, figures=figures,
        no_guardian=no_guardian,
    )  # fmt: skip


def calibrate(
    junction: Annotated[
        list[str] | None, typer.Argument(help="Junctions; default: all of the bench file.")
    ] = None,
    bench: options.Bench = None,
    db: options.Database = options.DATABASE,
    seed: options.Seed = None,
    realtime: options.Realtime = None,
    no_guardian: options.NoGuardian = False,
    reuse: options.Reuse = None,
    direct: options.Direct = False,
    operator: options.Operator = "",
    sample: options.Sample = "",
    note: options.Note = "",
    as_json: options.Json = False,
) -> None:
    """Sweep junctions and fit how their conductances turn into magnetisation.

    I0 is the unit width: the current that makes one unit of tanh.

    \b
    Examples:
      spinloop calibrate
      spinloop calibrate J1 J5 --bench bench.yaml --json
      spinloop calibrate --reuse 24 --sample W12-J3
    """
    from training.jobs import Watch

    watch = Watch()
    names = list(dict.fromkeys(junction or []))
    how = how_to_calibrate(
        reuse, direct, bench=bench, db=db, seed=seed, sample=sample, junctions=names
    )
    report = run(
        "calibrate", {"junctions": names} | how, bench=bench, db=db, seed=seed, realtime=realtime,
        operator=operator, sample=sample, note=note, watch=watch, no_guardian=no_guardian,
    )  # fmt: skip
    if as_json:
        print_json(report)
        return
    calibration_table(watch.calibrations, report)
    left_out(report)
    say(times(report))
    say(f"session {report['session']} in {report['database']}")


def sweep(
    junction: Annotated[str, typer.Argument(help="Junction of the bench file.")],
    start: Annotated[str, typer.Option(help="First field-line current.")] = "-25 mA",
    stop: Annotated[str, typer.Option(help="Last field-line current.")] = "25 mA",
    points: Annotated[
        int, typer.Option(min=2, max=100000, help="Points from start to stop.")
    ] = 101,
    back: Annotated[bool, typer.Option(help="Sweep back as well.")] = True,
    bench: options.Bench = None,
    db: options.Database = options.DATABASE,
    seed: options.Seed = None,
    realtime: options.Realtime = None,
    no_guardian: options.NoGuardian = False,
    operator: options.Operator = "",
    sample: options.Sample = "",
    note: options.Note = "",
    as_json: options.Json = False,
) -> None:
    """Sweep the field line and read both reference layers of one junction.

    \b
    Examples:
      spinloop sweep J1
      spinloop sweep J3 --start=-10mA --stop=10mA --points 41 --no-back --json
    """
    from training.jobs import Watch

    arguments = {
        "junction": junction, "start_a": ampere("--start", start),
        "stop_a": ampere("--stop", stop), "points": points,
        "back": back,
    }  # fmt: skip
    total = points * (2 if back else 1)
    with progress_bar() as bar:
        task = bar.add_task(junction, total=total, figures="")

        def on_list(data: Any) -> None:
            bar.update(task, advance=data.points, figures=f"bench {duration(data.bench_end_s)}")

        report = run(
            "sweep", arguments, bench=bench, db=db, seed=seed, realtime=realtime,
            operator=operator, sample=sample, note=note, watch=Watch(on_list=on_list),
            no_guardian=no_guardian,
        )  # fmt: skip
        bar.update(task, completed=total)
    if as_json:
        print_json(report)
        return
    rows = list(zip(report["level_a"], report["r_x_ohm"], report["r_z_ohm"], strict=True))
    shown = rows if len(rows) <= 40 else rows[:: len(rows) // 40 + 1]
    table(
        f"{junction}: {len(rows)} points" + ("" if shown is rows else f", {len(shown)} shown"),
        ("current (mA)", "R_x (kohm)", "R_z (kohm)"),
        [
            (f"{i * 1e3:.3f}", *("-" if r is None else f"{r / 1e3:.4f}" for r in (x, z)))
            for i, x, z in shown
        ],
    )
    doubtful = report["valid"].count(False)
    if doubtful:
        say(f"{count(doubtful, 'reading')} in compliance or overflow", style="red")
    say(times(report))
    say(f"session {report['session']} in {report['database']}")
