"""Making the bench that a library path names."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote

from sim_backend.bench import SimBench
from sim_backend.truth import TruthError, load_truth, truth_name

DEMO = "demo bench"
_OPTIONS = {"seed": int, "realtime": float, "physics": str, "instance": str}


def open_bench(specification: str) -> SimBench:
    """The bench behind a library path such as ``sim.yaml?seed=3`` ("" is the demonstration bench).

    In the path, ``%3F`` stands for ``?``, and so on.

    Raises:
        TruthError: the file or an option is wrong.
    """
    path, _, query = specification.partition("?")
    options: dict[str, Any] = {}
    for key, value in parse_qsl(query, keep_blank_values=True):
        if key not in _OPTIONS:
            known = ", ".join(sorted(_OPTIONS))
            raise TruthError(f"simulated bench: no option {key!r}; there are {known}")
        try:
            options[key] = _OPTIONS[key](value)
        except ValueError:
            raise TruthError(f"simulated bench: {key}={value!r} is no number") from None
    realtime = options.pop("realtime", None)
    options.pop("instance", None)
    if realtime is not None and not 0 < realtime < math.inf:
        raise TruthError(f"simulated bench: realtime={realtime:g} has to be above 0")
    file = "" if path == DEMO else unquote(path)
    return bench_of(file, realtime, **options)


def bench_of(file: str | Path | None, realtime: float | None = None, **changes: Any) -> SimBench:
    """The bench that a file describes, whatever is wrong told with the file's name.

    Args:
        file: a ``sim.yaml``; None or "" is the demonstration bench.
        realtime: see :class:`SimBench`.
        changes: of single keys, such as ``seed``.

    Raises:
        TruthError: the file or a change is wrong.
    """
    truth = load_truth(file, **changes)
    try:
        return SimBench(truth, realtime)
    except TruthError as error:
        raise TruthError(f"{truth_name(file)}: {error}") from None
