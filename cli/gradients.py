"""``spinloop gradients``: all gradient rules on the same junctions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli import options
from cli.output import count, duration, left_out, print_json, say, table, times
from cli.run import run
from cli.whole_file import check_writable, write_whole


def gradients(
    junction: Annotated[
        list[str] | None, typer.Argument(help="Junctions; default: all of the bench file.")
    ] = None,
    batch: Annotated[
        int, typer.Option(min=10, max=100000, help="Pre-activations a junction, standard normal.")
    ] = 120,
    plot: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Draw all gradients there (PNG, SVG or PDF).", show_default=False
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
    """Measure the same batch by every gradient rule, and compare with the slope of other sweeps.

    Steps of the differences are chosen from the measured noise and the curve's bend.

    \b
    Examples:
      spinloop gradients
      spinloop gradients J1 J2 --batch 200 --plot gradients.png
    """
    from training.jobs import Watch

    check_writable("--plot", plot)
    watch = Watch()
    report = run(
        "gradients",
        {"junctions": list(dict.fromkeys(junction or [])), "batch": batch, "seed": seed or 0},
        bench=bench, db=db, seed=seed, realtime=realtime, operator=operator, sample=sample,
        no_guardian=no_guardian,
        note=note, watch=watch,
    )  # fmt: skip
    if plot is not None:
        from training.device_figures import draw_gradients

        report["figures"] = [
            write_whole("--plot", plot, lambda path: draw_gradients(path, watch.found))
        ]
    if as_json:
        print_json(report)
        return
    table(
        f"{batch} pre-activations on {', '.join(report['junctions'])}, against the slope of "
        "independent sweeps",
        ("rule", "cosine", "norm ratio", "RMS error", "its noise", "reads", "at once", "h",
         "bench time"),
        [
            (row["rule"], f"{row['cosine']:.4f}", f"{row['norm_ratio']:.4f}",
             f"{row['rms_error']:.4f}", f"{row['sigma_g']:.4f}", row["reads_per_neuron"],
             "yes" if row["simultaneous"] else "no", _steps(row["steps"]),
             duration(row["bench_seconds"]))
            for row in report["rules"]
        ],
    )  # fmt: skip
    say(f"RMS error of the reference itself: {report['reference_error']:.4f}")
    if len(report["junctions"]) == 1:
        say("a pair takes two junctions; it was left out")
    if (doubtful := _doubtful(report)) > 0:
        say(f"{count(doubtful, 'gradient')} stayed in doubt and are left out", style="yellow")
    left_out(report)
    for file in report["figures"]:
        say(f"figure: {file}")
    say(times(report))
    say(f"session {report['session']} in {report['database']}")


def _steps(steps: dict[str, dict[str, float]]) -> str:
    """Smallest and largest step of the junctions."""
    if not steps:
        return "-"
    found = sorted(step["h"] for step in steps.values())
    low, high = f"{found[0]:.2f}", f"{found[-1]:.2f}"
    return low if low == high else f"{low} to {high}"


def _doubtful(report: dict[str, object]) -> int:
    rules, junctions, batch = report["rules"], report["junctions"], report["batch"]
    assert isinstance(rules, list) and isinstance(junctions, list) and isinstance(batch, int)
    return sum(batch * len(junctions) - int(row["elements"]) for row in rules)
