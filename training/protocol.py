"""The evaluation protocol, in one place: what is fitted, what is paired, and what is said of it.

Scalers and ranges know the training part only; epochs are fixed beforehand; all arms of a seed
share folds, initial weights and order of the data; differences are formed seed by seed.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from db import JSON
from training.seeds import generator
from training.statistics import INTERVAL, POOLED_INTERVAL, equivalent, mean_ci95, wilson95

#: within this a device is called equivalent: the largest difference that does not matter
EQUIVALENCE = 0.003
ArmName = TypeVar("ArmName", bound=str)
FoldType = TypeVar("FoldType")
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Scaler:
    """Standardises inputs with mean and deviation of the training part.

    Attributes:
        mean, deviation: [inputs], or [channels, 1, 1] for images.
    """

    mean: Array
    deviation: Array

    @classmethod
    def fit(cls, x: NDArray[Any]) -> Scaler:
        """From training inputs [N, inputs], or images [N, channels, height, width] by channel.

        What never varies is left as it is but for its mean.
        """
        if x.ndim == 4 and x.dtype == np.uint8:  # by counting: sets of images are large
            counts = np.stack([np.bincount(one.ravel(), minlength=256) for one in x.swapaxes(0, 1)])
            levels, number = np.arange(256.0), counts.sum(1)
            mean = counts @ levels / number
            deviation = np.sqrt((counts * (levels - mean[:, None]) ** 2).sum(1) / number)
        else:
            over = (0, 2, 3) if x.ndim == 4 else 0
            mean, deviation = x.mean(over), x.std(over)
        shape = (-1, 1, 1) if x.ndim == 4 else mean.shape
        deviation = np.where(deviation > 0, deviation, 1.0)
        return cls(mean.reshape(shape), deviation.reshape(shape))

    def __call__(self, x: NDArray[Any], dtype: torch.dtype = torch.float64) -> torch.Tensor:
        """x, standardised, as a tensor of ``dtype``."""
        mean, deviation = (torch.from_numpy(one).to(dtype) for one in (self.mean, self.deviation))
        return (torch.from_numpy(np.ascontiguousarray(x)).to(dtype) - mean) / deviation


def hold_out(
    labels: NDArray[np.int64], share: float, seed: int, *names: str | int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Split training data into a part to train on and a validation part, each class in its share.

    Args:
        labels: of the training data [N]; test data have no place here.
        share: of the validation part, 0 to 1; at least one sample of each class goes to it.
        seed, names: of the stream that draws.

    Returns:
        Indices of both parts, each rising.
    """
    if not 0 < share < 1:
        raise ValueError(f"a validation part of {share:g} is none: give a share between 0 and 1")
    rng = generator(seed, "validation part", *names)
    held: list[NDArray[np.intp]] = []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        if len(members) < 2:
            raise ValueError(f"class {label} has one sample: it cannot be split")
        count = min(max(1, round(share * len(members))), len(members) - 1)
        held.append(rng.permutation(members)[:count])
    validation = np.sort(np.concatenate(held))
    return np.setdiff1d(np.arange(len(labels)), validation), validation


@dataclass(frozen=True)
class Score:
    """Predictions on test data: how many were right, of how many."""

    right: int
    tested: int


@dataclass(frozen=True)
class Plan(Generic[ArmName, FoldType]):
    """A paired comparison.

    Attributes:
        arms: what differs.
        seeds: one paired repetition each.
        folds: gives the folds of a seed, the same for all arms.
        fold_count: folds of one seed.
        source: where each arm's activations come from.
    """

    arms: Sequence[ArmName]
    seeds: Sequence[int]
    folds: Callable[[int], Iterable[FoldType]]
    fold_count: int
    source: Callable[[ArmName], str]

    def run(self, one: Callable[[ArmName, int, FoldType], Score]) -> dict[ArmName, list[Score]]:
        """Scores of every arm, seed by seed and fold by fold."""
        found: dict[ArmName, list[Score]] = {arm: [] for arm in self.arms}
        for seed in self.seeds:
            for fold in self.folds(seed):
                for arm in self.arms:
                    found[arm].append(one(arm, seed, fold))
        return found

    def report(
        self, scores: dict[ArmName, list[Score]], reference: Hashable = "device"
    ) -> dict[str, JSON]:
        """What is said of the scores.

        Folds of a seed share training data and are averaged first; the seeds are counted.

        Returns:
            For each arm mean, ci95 (low, high; None for one seed), by_seed, source and pooled
            (share, ci95); under ``<reference>_minus`` the same of the differences, paired by seed;
            and the names of the intervals.
        """
        by_seed = {
            arm: [
                float(np.mean([one.right / one.tested for one in ones[i : i + self.fold_count]]))
                for i in range(0, len(ones), self.fold_count)
            ]
            for arm, ones in scores.items()
        }
        report: dict[str, JSON] = {
            arm: {
                **_with_interval(values),
                "by_seed": list(values),
                "source": self.source(arm),
                "pooled": pooled(scores[arm]),
            }
            for arm, values in by_seed.items()
        }
        if reference in self.arms:
            own = next(values for arm, values in by_seed.items() if arm == reference)
            report[f"{reference}_minus"] = {
                arm: difference(own, values) for arm, values in by_seed.items() if arm != reference
            }
        of_folds = f" of the {self.fold_count}-fold mean" if self.fold_count > 1 else ""
        report["interval"] = INTERVAL + of_folds
        report["pooled_interval"] = POOLED_INTERVAL
        report["seeds"] = list(self.seeds)
        return report


def difference(one: Sequence[float], other: Sequence[float]) -> dict[str, JSON]:
    """Mean and interval of paired differences, and whether they are shown to be equivalent."""
    values = [float(value) for value in np.subtract(one, other)]
    return {
        **_with_interval(values),
        "equivalent": equivalent(mean_ci95(values)[1], EQUIVALENCE),
    }


def pooled(scores: Sequence[Score]) -> dict[str, JSON]:
    """Share of all predictions together, and its interval."""
    right, tested = sum(one.right for one in scores), sum(one.tested for one in scores)
    return {"share": right / tested, "tested": tested, "ci95": list(wilson95(right, tested))}


def _with_interval(values: Sequence[float]) -> dict[str, JSON]:
    mean, interval = mean_ci95(values)
    return {"mean": mean, "ci95": None if interval is None else list(interval)}
