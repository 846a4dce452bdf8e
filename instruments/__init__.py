"""The bench: bench file, limits, transport, drivers, sweeps, safe state.

:class:`Bench` is the way in::

    with Bench.open("bench.yaml") as bench:
        data = bench.sweep("J1", levels_a)
"""

from instruments.bench import Bench
from instruments.bench_file import BenchFile, load_bench_file
from instruments.errors import (
    BenchError,
    BenchFileError,
    DivergenceError,
    InstrumentError,
    LimitError,
    ReplyTimeoutError,
    StoppedError,
    SweepVoidError,
)
from instruments.states import Cause, State
from instruments.sweep import SweepData

__all__ = [
    "Bench",
    "BenchError",
    "BenchFile",
    "BenchFileError",
    "Cause",
    "DivergenceError",
    "InstrumentError",
    "LimitError",
    "ReplyTimeoutError",
    "State",
    "StoppedError",
    "SweepData",
    "SweepVoidError",
    "load_bench_file",
]
