"""``spinloop twin``: the planar law fitted to junctions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli import options
from cli.output import left_out, print_json, say, table, times
from cli.run import run
from cli.whole_file import check_writable, write_whole

app = typer.Typer(
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Planar twins: three effective parameters that stand for a junction.",
)
_NAMES = ("k_a", "k2_a", "hz_a", "offset_a")


@app.callback()
def _twin() -> None:
    """A group, though it has one command as yet."""


@app.command()
def fit(
    junction: Annotated[
        list[str] | None, typer.Argument(help="Junctions; default: all of the bench file.")
    ] = None,
    sweeps: Annotated[
        int, typer.Option(min=1, max=1000, help="Sweeps to fit; one more is the check.")
    ] = 2,
    plot: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Draw sweeps, twins and residuals there (PNG, SVG or PDF).",
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
) -> None:  # fmt: skip
    """Sweep junctions and fit the planar law: k, k2, hz and offset in mA, with their errors.

    Two errors each: that of the noise, and the total with what the law misses. Residuals are RMS,
    of the fit and of a further sweep that it has not seen.

    \b
    Examples:
      spinloop twin fit
      spinloop twin fit J1 J5 --sweeps 4 --plot twins.png
    """
    from training.jobs import Watch

    check_writable("--plot", plot)
    watch = Watch()
    report = run(
        "twin", {"junctions": list(dict.fromkeys(junction or [])), "sweeps": sweeps},
        bench=bench, db=db, seed=seed, realtime=realtime, operator=operator, sample=sample,
        no_guardian=no_guardian,
        note=note, watch=watch,
    )  # fmt: skip
    if plot is not None:
        from training.device_figures import draw_twins

        report["figures"] = [
            write_whole("--plot", plot, lambda path: draw_twins(path, watch.found))
        ]
    if as_json:
        print_json(report)
        return
    rows = []
    for name, twin in report["twins"].items():
        values = [
            f"{twin[key] * 1e3:.3f} ± {one * 1e3:.3f}, {whole * 1e3:.3f}"
            + (" (at its bound)" if key in twin["at_bound"] else "")
            for key, one, whole in zip(_NAMES, twin["statistical_a"], twin["total_a"], strict=True)
        ]
        left = (f"{twin[key]:.4f}" for key in ("rms_x", "rms_z", "check_rms_x", "check_rms_z"))
        rows.append((name, *values, ", ".join(left)))
    table(
        "planar twins: value ± error of the noise, total error (mA)",
        ("junction", "k", "k2", "hz", "offset", "RMS m_x, m_z; of the check"),
        rows,
    )
    left_out(report)
    for file in report["figures"]:
        say(f"figure: {file}")
    say(times(report))
    say(f"session {report['session']} in {report['database']}")
