"""The command ``spinloop evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from cli import options
from cli.output import count, print_json, say, times
from cli.run import run as run_job
from cli.weights import Run


def evaluate(
    run: Run,
    neuron: Annotated[
        str,
        typer.Option(help="live: every activation is measured; table: from one sweep each."),
    ] = "live",
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder of arrays whose x_test and y_test are used, unscaled. Default: the run's "
            "own test data.",
            show_default=False,
        ),
    ] = None,
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
    """Test stored weights on today's junctions, calibrated again.

    The junctions are those that the network was trained with; --seed draws a simulated bench's.
    Beside the accuracy stands that of the same weights with tanh in software.

    \b
    Examples:
      spinloop evaluate 3
      spinloop evaluate 3 --neuron table --bench bench.yaml --json
    """
    from training.evaluate_job import stored_run
    from training.jobs import Watch

    if neuron not in ("live", "table"):
        raise typer.BadParameter(f"no neuron {neuron!r}; there are live, table",
                                 param_hint="--neuron")  # fmt: skip
    arguments: dict[str, Any] = {**stored_run(db, run), "neuron": neuron}
    if data is not None:
        from training.data import load_arrays

        found = load_arrays(data)
        arguments |= {"x": found.x_test.tolist(), "y": found.y_test.tolist()}
    report = run_job(
        "evaluate", arguments, bench=bench, db=db, seed=seed, realtime=realtime,
        no_guardian=no_guardian,
        operator=operator, sample=sample, note=note, watch=Watch(),
    )  # fmt: skip
    if as_json:
        print_json(report)
        return
    shown = report["accuracy"]
    low, high = shown["ci95"]
    say(f"run {run}: {report['task']}, arm {report['arm']}, seed {report['seed']}"
        + ("" if report["fold"] is None else f", fold {report['fold'] + 1}"))  # fmt: skip
    say(f"{neuron}: accuracy {shown['share']:.4f}, 95 % interval {low:.4f} … {high:.4f} "
        f"({report['interval']}, n = {shown['tested']:,})")  # fmt: skip
    say(f"the same weights with tanh in software: {report['software_accuracy']:.4f}")
    say(f"{count(report['reads'], 'read')}; {times(report)}")
    say(f"session {report['session']} in {report['database']}")
