"""How long and how fast a network is trained, and what may end it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

#: why a run has ended: all epochs done; no better on the validation part; or, to be gone on with,
#: it was asked to pause or has used up its reads, its bench time or its time
Ending = Literal["done", "early stop", "paused", "read budget", "bench budget", "time budget"]


@dataclass(frozen=True)
class Schedule:
    """How a network is trained.

    Attributes:
        epochs: passes over the training data, fixed beforehand; the last weights are used.
        learning_rate: of Adam (Kingma and Ba, arXiv 1412.6980).
        batch_size: None is the whole training set.
        drops_in_a_row, drops_per_epoch: batches dropped for doubtful readings before the run stops:
            this many one after another, or this share of an epoch (two are always allowed).
    """

    epochs: int
    learning_rate: float
    batch_size: int | None = None
    drops_in_a_row: int = 3
    drops_per_epoch: float = 0.01


@dataclass(frozen=True)
class Limits:
    """What ends a run before its schedule; None: nothing does.

    Attributes:
        reads: junction points, looked at before each batch.
        bench_s: bench time, s.
        wall_s: time that the run takes here, s, over all its parts.
        patience: epochs without a smaller loss on the validation part; the best weights are used.
    """

    reads: int | None = None
    bench_s: float | None = None
    wall_s: float | None = None
    patience: int | None = None
