"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Bench = Annotated[
    Path | None,
    typer.Option(
        "--bench",
        metavar="FILE",
        help="Bench file (bench.yaml). Default: the built-in simulated bench of eight junctions.",
        show_default=False,
    ),
]
Database = Annotated[
    Path,
    typer.Option(
        "--db",
        metavar="FILE",
        envvar="SPINLOOP_DB",
        help="SQLite file that keeps the record; it is made if it is not there.",
    ),
]
Record = Annotated[
    Path,
    typer.Option("--db", metavar="FILE", envvar="SPINLOOP_DB", help="SQLite file with the record."),
]
Seed = Annotated[
    int | None,
    typer.Option(
        min=0,
        max=2**31 - 1,
        metavar="N",
        help="Seed of everything drawn: initial weights, folds and, on a simulated bench, the "
        "junctions and their noise. Default: 0, and for a simulated bench what its file says.",
        show_default=False,
    ),
]
Realtime = Annotated[
    float | None,
    typer.Option(
        metavar="X",
        help="Bench seconds per second of waiting, on a simulated bench. Default: no waiting.",
        show_default=False,
    ),
]
NoGuardian = Annotated[
    bool,
    typer.Option(
        "--no-guardian",
        help="Without the process that switches off for a program that is killed or hangs.",
    ),
]
Reuse = Annotated[
    float | None,
    typer.Option(
        "--reuse",
        metavar="HOURS",
        min=0,
        help="Take up calibrations of this bench and sample that are not older, where five "
        "readings still agree with them. Default: calibrate anew.",
        show_default=False,
    ),
]
Direct = Annotated[
    bool,
    typer.Option(
        "--direct",
        help="Calibrate with both states of the z layer, reached by the bias magnet of the bench "
        "file.",
    ),
]
Operator = Annotated[str, typer.Option(help="Who runs this; kept with the session.")]
Sample = Annotated[str, typer.Option(help="What is measured; kept with the session.")]
Note = Annotated[str, typer.Option(help="Anything else; kept with the session.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]
Figures = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Folder for the PNG figures. Default: figures/session-N beside the record.",
        show_default=False,
    ),
]
Number = Annotated[int, typer.Argument(metavar="SESSION", help="Number of a session.", min=1)]

DATABASE = Path("spinloop.sqlite")
