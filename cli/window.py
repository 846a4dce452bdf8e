"""``spinloop gui``: the window."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli import options


def gui(
    bench: options.Bench = None,
    db: options.Database = options.DATABASE,
    seed: options.Seed = None,
    realtime: Annotated[
        float,
        typer.Option(min=0.001, help="Bench seconds per second on a simulated bench."),
    ] = 1.0,
    fast: Annotated[
        bool, typer.Option("--fast", help="Do not wait on a simulated bench at all.")
    ] = False,
    screenshot: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write a picture (PNG) of the window after a simulated sweep, and leave.",
            show_default=False,
        ),
    ] = None,
    operator: options.Operator = "",
    sample: options.Sample = "",
    note: options.Note = "",
) -> None:
    """Open the window: sweep a junction, watch both layers, stop at any time.

    \b
    Examples:
      spinloop gui
      spinloop gui --bench bench.yaml --db lab.sqlite --operator Ada
      spinloop gui --screenshot window.png
    """
    try:
        import gui as window
    except ImportError as error:
        raise typer.BadParameter(
            f"the window needs Qt ({error}); pip install -e '.[gui]' in the folder of SpinLoop, "
            "then see spinloop doctor"
        ) from None
    if screenshot is not None:
        if not screenshot.absolute().parent.is_dir():
            raise typer.BadParameter(
                f"the folder {screenshot.absolute().parent} does not exist",
                param_hint="--screenshot",
            )
        window.screenshot(screenshot, bench_file=bench)
        typer.echo(str(screenshot))
        return
    raise typer.Exit(
        window.run(
            bench, db, seed=seed, realtime=None if fast else realtime, operator=operator,
            sample=sample, note=note,
        )
    )  # fmt: skip
