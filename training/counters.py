"""What a training run counts: where it is, its best weights, the measures of its steps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from db import NullRecorder, Recorder


@dataclass
class Counters:
    """Where a run is.

    Attributes:
        epoch: epochs that are over.
        batch: batches of the present epoch that are over.
        step: batches in all.
        total, right, seen: of the present epoch: sum of the losses, samples that were right,
            samples.
        dropped_now, dropped: batches dropped, in the present epoch and in those before.
        in_a_row: batches dropped one after another.
        clamped_share: of the first measured layer, in the last batch that was not dropped.
    """

    epoch: int = 0
    batch: int = 0
    step: int = 0
    total: float = 0.0
    right: int = 0
    seen: int = 0
    dropped_now: int = 0
    dropped: int = 0
    in_a_row: int = 0
    clamped_share: float = 0.0

    def next_epoch(self) -> None:
        """The present epoch is over."""
        self.dropped += self.dropped_now
        self.epoch += 1
        self.batch = self.right = self.seen = self.dropped_now = 0
        self.total = 0.0


@dataclass
class Best:
    """The best epoch by the loss on the validation part.

    Attributes:
        loss: of it.
        epochs_since: epochs without a smaller one.
        weights: of it; None if they are not asked for.
    """

    loss: float = float("inf")
    epochs_since: int = 0
    weights: dict[str, torch.Tensor] | None = None

    def look(self, loss: float, model: torch.nn.Module | None) -> None:
        """Another epoch's loss, and the model if its weights are to be kept."""
        if not loss < self.loss:
            self.epochs_since += 1
            return
        self.loss, self.epochs_since = loss, 0
        if model is not None:
            self.weights = {name: one.clone() for name, one in model.state_dict().items()}


class StepLog:
    """Measures of steps, gathered and recorded as arrays: a row for each step costs more than the
    step of a small network."""

    NAMES = ("loss", "accuracy", "reads", "clamped_share")

    def __init__(self) -> None:
        self._first = 0
        self._rows: list[tuple[float, ...]] = []

    def add(self, step: int, *values: float) -> None:
        """Measures of a step, in the order of ``NAMES``."""
        if not self._rows:
            self._first = step
        self._rows.append(values)

    def __len__(self) -> int:
        return len(self._rows)

    def flush(self, recorder: Recorder | NullRecorder, run: int) -> None:
        """Record what was gathered."""
        if self._rows:
            columns = np.array(self._rows, dtype=np.float64).T
            recorder.steps(run, self._first, dict(zip(self.NAMES, columns, strict=True)))
            self._rows = []
