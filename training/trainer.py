"""The training loop: small enough to read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from db import NullRecorder, Recorder
from device import InvalidReadingError
from training.activation import DeviceActivation

OnEpoch = Callable[[int, float, float], None]


class TrainingStoppedError(Exception):
    """Too many batches had readings in doubt."""


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


@torch.no_grad()
def accuracy(model: torch.nn.Module, x: torch.Tensor, labels: torch.Tensor) -> float:
    """Share of samples whose largest logit is their label.

    Raises:
        InvalidReadingError: a reading stayed in doubt; nothing is left out of an evaluation.
    """
    return float((model(x).argmax(1) == labels).double().mean())


def train(
    model: torch.nn.Module,
    x: torch.Tensor,
    labels: torch.Tensor,
    schedule: Schedule,
    order: torch.Generator,
    *,
    recorder: Recorder | NullRecorder,
    run: int,
    on_epoch: OnEpoch | None = None,
) -> int:
    """Train with cross-entropy and Adam.

    Args:
        model: parameters with ``requires_grad`` off stay as they are.
        x: inputs [B, inputs]; labels: class numbers [B].
        schedule: epochs, learning rate, batches.
        order: draws the order of the samples in each epoch (mini-batches only).
        recorder, run: where each epoch's figures go.
        on_epoch: is called with epoch (from 1), training accuracy and loss.

    Returns:
        Batches dropped for doubtful readings.

    Raises:
        TrainingStoppedError: too many of them.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(parameters, lr=schedule.learning_rate)
    size = schedule.batch_size or len(x)
    measured = [m for m in model.modules() if isinstance(m, DeviceActivation)]
    dropped = in_a_row = 0
    for epoch in range(1, schedule.epochs + 1):
        order_now = torch.randperm(len(x), generator=order) if size < len(x) else None
        total, right, seen, dropped_now = 0.0, 0, 0, 0
        batches = range(0, len(x), size)
        for start in batches:
            chosen = slice(start, start + size) if order_now is None else (
                order_now[start : start + size])  # fmt: skip
            optimizer.zero_grad()
            try:
                logits = model(x[chosen])
            except InvalidReadingError as error:
                recorder.event("batch dropped", str(error))
                dropped_now, in_a_row = dropped_now + 1, in_a_row + 1
                most = max(2, round(schedule.drops_per_epoch * len(batches)))
                if in_a_row >= schedule.drops_in_a_row or dropped_now > most:
                    raise TrainingStoppedError(
                        f"epoch {epoch}: {in_a_row} batches in a row and {dropped_now} of "
                        f"{len(batches)} in this epoch had readings in doubt; look at the junctions"
                    ) from error
                continue
            in_a_row = 0
            loss = torch.nn.functional.cross_entropy(logits, labels[chosen])
            loss.backward()
            optimizer.step()
            total += float(loss.detach()) * len(logits)
            right += int((logits.argmax(1) == labels[chosen]).sum())
            seen += len(logits)
        dropped += dropped_now
        # An epoch that has lost all its batches has no loss and no accuracy: none is made up.
        mean, share = (total / seen, right / seen) if seen else (float("nan"), float("nan"))
        recorder.epoch(
            run,
            epoch,
            ({"loss": mean, "accuracy": share} if seen else {})
            | {
                "reads": sum(m.reads for m in measured),
                "bench_time_s": sum(m.bench_time_s for m in measured),
                "clamped_share": measured[0].last.clamped_share
                if measured and measured[0].last
                else 0.0,
                "dropped_batches": dropped_now,
            },
        )
        if on_epoch is not None:
            on_epoch(epoch, share, mean)
    return dropped
