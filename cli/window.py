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
        typer.Option(
            min=0.0,
            help="Bench seconds per second on a simulated bench; 0: as fast as it goes.",
        ),
    ] = 1.0,
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
        window.screenshot(screenshot, bench_file=bench)
        typer.echo(str(screenshot))
        return
    raise typer.Exit(
        window.run(
            bench, db, seed=seed, realtime=realtime or None, operator=operator, sample=sample,
            note=note,
        )
    )  # fmt: skip
