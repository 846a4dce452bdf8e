"""The command ``spinloop weights``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli import options
from cli.output import count, say
from cli.whole_file import check_writable, write_whole

Run = Annotated[int, typer.Argument(metavar="RUN", help="Number of a run.", min=1)]


def weights(
    run: Run,
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FILE", help="File to write, .safetensors.")
    ],
    db: options.Record = options.DATABASE,
) -> None:
    """Write the final weights of a recorded run as a safetensors file.

    Names and shapes are those of the network's state dict. The file says where they come from:
    run, session, task, arm, seed, fold and the SHA-256 of the weights. The runs of a session and
    their numbers: 'spinloop show SESSION --json'.

    \b
    Examples:
      spinloop weights 3 -o circles.safetensors
    """
    from db import run as read_run
    from db import weights as read_weights
    from training.weights_file import write_safetensors

    check_writable("--output", output)
    session, found = read_run(db, run)
    arrays = read_weights(db, run)
    notes = {
        "spinloop_run": run, "session": session, "task": found.name, "arm": found.arm,
        "seed": found.seed, "fold": "" if found.fold is None else found.fold,
        "weights_sha256": found.weights_sha256,
    }  # fmt: skip
    texts = {name: str(value) for name, value in notes.items()}
    write_whole("--output", output, lambda path: write_safetensors(path, arrays, texts))
    values = sum(one.size for one in arrays.values())
    say(f"{count(len(arrays), 'array')} with {count(values, 'value')} of run {run}: {output}")
