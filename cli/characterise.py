"""``spinloop characterise``: all that can be measured of junctions before they become neurons."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import options
from cli.output import duration, errors, print_json, progress_bar, say, table, times
from cli.run import run

if TYPE_CHECKING:
    from instruments import BenchFile

#: a row of the table over the array: number, heading, factor
_ROWS = (
    ("unit_width_a", "unit width I0 (mA)", 1e3),
    ("center_a", "centre (mA)", 1e3),
    ("tanh_rms", "m_x from tanh, RMS", 1),
    ("sech_rms", "m_z from sech, RMS", 1),
    ("squared_against_slope_rms", "m_z² from own slope, RMS", 1),
    ("noise_x", "noise of m_x in the sweep", 1),
    ("noise_z", "noise of m_z in the sweep", 1),
    ("hysteresis_x", "hysteresis of m_x", 1),
    ("hysteresis_z", "hysteresis of m_z", 1),
    ("order_x", "order of points, m_x", 1),
    ("repeat_x_over_noise", "repeatability of m_x over noise", 1),
    ("allan_x_over_white", "Allan deviation over white noise", 1),
    ("heating_after_x", "after high field, m_x", 1),
    ("read_change_x", "by reading, m_x", 1),
    ("unit_width_per_mv", "unit width by read voltage (%/mV)", 100),
    ("drift_x_per_hour", "drift of m_x (1/h)", 1),
    ("field_t_per_a", "field per ampere (mT/mA)", 1),
)


def characterise(
    junction: Annotated[
        list[str] | None, typer.Argument(help="Junctions; default: all of the bench file.")
    ] = None,
    only: Annotated[
        str,
        typer.Option(
            metavar="PARTS",
            help="Parts, with commas: order, repeat, noise, heating, disturb, field, drift. "
            "Default: all. The sweep that gives the scale is always made.",
            show_default=False,
        ),
    ] = "",
    quick: Annotated[
        bool, typer.Option("--quick", help="Fewer points and shorter pauses.")
    ] = False,
    bias_constant: Annotated[
        str | None,
        typer.Option(
            metavar="T/A",
            help="Field of the bias magnet per ampere (or volt) of its source, such as '20 mT/A': "
            "with it, the field line's field per ampere is found.",
            show_default=False,
        ),
    ] = None,
    bench: options.Bench = None,
    db: options.Database = options.DATABASE,
    seed: options.Seed = None,
    realtime: options.Realtime = None,
    no_guardian: options.NoGuardian = False,
    figures: options.Figures = None,
    operator: options.Operator = "",
    sample: options.Sample = "",
    note: options.Note = "",
    as_json: options.Json = False,
) -> None:
    """Hysteresis, jumps, repeatability, noise, drift, heat, read disturb and shape of junctions.

    Says how long it will take before it starts; every sweep is recorded.

    \b
    Examples:
      spinloop characterise
      spinloop characterise J1 J2 --quick
      spinloop characterise --only noise,drift --json
    """
    from device.characterise_steps import check_parts, schedule
    from instruments import load_bench_file
    from training.jobs import Watch

    parts = [part.strip() for part in only.split(",") if part.strip()]
    try:
        check_parts(parts)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--only") from None
    file, _ = load_bench_file(bench)
    names = list(dict.fromkeys(junction or file.junctions))
    for name in names:
        file.check_junction(name)
    bias_t = None if bias_constant is None else _bias_t(bias_constant, file)
    tasks = schedule(file, names, parts, quick)
    ends_s = _forecast(file, tasks, db)
    with progress_bar() as bar:
        bar_task = bar.add_task("characterising", total=ends_s[-1], figures="")

        def on_task(place: int, task: Any) -> None:
            done = ends_s[place - 1] if place else 0.0
            bar.update(
                bar_task, completed=done, description=f"{task.junction} {task.part}",
                figures=f"bench {duration(ends_s[-1] - done)} left",
            )  # fmt: skip

        watch = Watch(on_task=on_task)
        report = run(
            "characterise",
            {"junctions": list(dict.fromkeys(junction or [])), "only": parts, "quick": quick,
             "bias_t": bias_t},
            bench=bench, db=db, seed=seed, realtime=realtime, operator=operator, sample=sample,
        no_guardian=no_guardian,
            note=note, watch=watch,
        )  # fmt: skip
    report["predicted_bench_seconds"] = ends_s[-1]
    folder = figures or db.absolute().parent / "figures" / f"session-{report['session']}"
    report["figures"] = _draw(watch.found, folder)
    if as_json:
        print_json(report)
    else:
        _show(report)


def _bias_t(text: str, file: BenchFile) -> float:
    """Tesla per unit of the bias magnet's level."""
    from instruments.units import to_si

    if file.limits.bias is None:
        raise typer.BadParameter(
            f"{file.name} has no bias magnet: leave the option out, or add instruments.bias and "
            "limits.bias to the bench file",
            param_hint="--bias-constant",
        )
    try:
        return to_si(text, f"T/{file.limits.bias.level.unit}")
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--bias-constant") from None


def _forecast(file: BenchFile, tasks: Sequence[Any], db: Path) -> list[float]:
    """Say what it will take; the bench time at the end of each sweep, s."""
    from device.plan import characterising, learn, predict

    costs = learn(db, file)
    sweeps = characterising(file, tasks)
    whole = predict(sweeps, file, costs)
    source = (
        f"by {costs.sweeps} recorded sweeps of this bench" if costs.sweeps else "at least: a lower "
        "bound from the bench file, for no sweep of this bench is on record"
    )  # fmt: skip
    say(
        f"{whole.sweeps:,} sweeps, {whole.reads:,} reads, bench time {duration(whole.seconds)} "
        f"({source})",
        to=errors,
    )
    ends_s, at_s = [], 0.0
    for one in sweeps:
        at_s += predict([one], file, costs).seconds - costs.start_s
        ends_s.append(at_s)
    return ends_s


def _draw(found: Any, folder: Path) -> list[str]:
    from training.characterise_figures import draw

    try:
        return [str(file) for file in draw(found, folder)]
    except OSError as error:  # the result is worth more than its pictures
        say(f"no figures: {error}", style="yellow", to=errors)
        return []


def _show(report: dict[str, Any]) -> None:
    table(
        "junctions",
        ("junction", "verdict", "I0 (mA)", "m_x from tanh", "m_z² from slope", "remarks"),
        [
            (name, one["verdict"], _value(one["numbers"], "unit_width_a", 1e3),
             _value(one["numbers"], "tanh_rms"),
             _value(one["numbers"], "squared_against_slope_rms"),
             "; ".join(one["remarks"]) or "-")
            for name, one in report["junctions"].items()
        ],
    )  # fmt: skip
    statistics = report["statistics"]
    table(
        "array: junctions that are not bad",
        ("number", "n", "mean", "spread (SD)", "5 %", "median", "95 %"),
        [
            (heading, f"{statistics[name]['n']:.0f}",
             *(_value(statistics[name], key, factor)
               for key in ("mean", "sd", "low", "median", "high")))
            for name, heading, factor in _ROWS if name in statistics
        ],
    )  # fmt: skip
    for name, reason in report["bad"].items():
        say(f"bad: {name}: {reason}", style="yellow")
    for file in report["figures"]:
        say(f"figure: {file}")
    say(f"{times(report)}; predicted {duration(report['predicted_bench_seconds'])}")
    say(f"session {report['session']} in {report['database']}")


def _value(values: dict[str, float | None], name: str, factor: float = 1) -> str:
    value = values.get(name)
    return "-" if value is None else f"{value * factor:.4g}"
