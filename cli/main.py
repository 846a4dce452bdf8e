"""The command ``spinloop``."""

from __future__ import annotations

import typer

app = typer.Typer(no_args_is_help=True, add_completion=False)


@app.callback()
def spinloop() -> None:
    """Neural networks whose neurons are magnetic tunnel junctions, at a real or simulated bench."""


def main() -> None:
    """Entry point."""
    app()
