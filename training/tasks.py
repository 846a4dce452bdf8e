"""The small tasks: data, folds, network widths, schedule."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from training.data_small import circles, small, spirals
from training.protocol import Scaler
from training.schedule import Schedule
from training.seeds import stream_seed

Array = NDArray[np.float64]
Labels = NDArray[np.int64]


_IRIS_FOLDS = 5


@dataclass(frozen=True)
class Fold:
    """Training and test data of one fold; inputs standardised with the training part's mean and
    deviation, which ``scaler`` holds."""

    number: int | None
    x_train: torch.Tensor
    y_train: torch.Tensor
    x_test: torch.Tensor
    y_test: torch.Tensor
    scaler: Scaler


@dataclass(frozen=True)
class Task:
    """A task.

    Attributes:
        name: "circles", "spirals" or "iris".
        inputs, outputs: widths of the network.
        schedule: how it is trained.
        protocol: in words, for reports.
        fold_count: folds of one seed.
        draw: makes the folds of a seed.
    """

    name: str
    inputs: int
    outputs: int
    schedule: Schedule
    protocol: str
    fold_count: int
    draw: Callable[[int], Iterator[Fold]]

    def folds(self, seed: int) -> Iterator[Fold]:
        """The folds of a seed, the same for all arms."""
        return self.draw(seed)


def with_epochs(task: Task, epochs: int | None) -> Task:
    """The task with another number of epochs (None: as it is)."""
    return task if epochs is None else replace(task, schedule=replace(task.schedule, epochs=epochs))


def _fold(
    number: int | None, x_train: Array, y_train: Labels, x_test: Array, y_test: Labels
) -> Fold:
    scaler = Scaler.fit(x_train)
    return Fold(
        number,
        scaler(x_train),
        torch.from_numpy(y_train.astype(np.int64)),
        scaler(x_test),
        torch.from_numpy(y_test.astype(np.int64)),
        scaler,
    )


def _circles(seed: int) -> Iterator[Fold]:
    yield _fold(None, *circles(seed, "training"), *circles(seed, "fresh", 1000))


def _spirals(seed: int) -> Iterator[Fold]:
    yield _fold(None, *spirals(seed, "training"), *spirals(seed, "fresh", 1000))


def _iris(seed: int) -> Iterator[Fold]:
    from sklearn.model_selection import StratifiedKFold

    x, y = small("iris")
    split = StratifiedKFold(
        _IRIS_FOLDS, shuffle=True, random_state=stream_seed(seed, "folds") % 2**32
    )
    for number, (train, test) in enumerate(split.split(x, y)):
        yield _fold(number, x[train], y[train], x[test], y[test])


TASKS = {
    "circles": Task(
        "circles",
        2,
        2,
        Schedule(epochs=60, learning_rate=0.1),
        "two circles, 200 points, noise 0.1, factor 0.5; accuracy on 1,000 fresh points",
        fold_count=1,
        draw=_circles,
    ),
    "spirals": Task(
        "spirals",
        2,
        2,
        Schedule(epochs=300, learning_rate=0.05),
        "two spirals, 300 points, 1.5 turns, noise 0.02; accuracy on 1,000 fresh points",
        fold_count=1,
        draw=_spirals,
    ),
    "iris": Task(
        "iris",
        4,
        3,
        Schedule(epochs=30, learning_rate=0.1),
        "Iris, stratified 5-fold over all 150 samples; accuracy is the mean over the folds",
        fold_count=_IRIS_FOLDS,
        draw=_iris,
    ),
}
