"""How good a network is."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import torch

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@contextlib.contextmanager
def evaluating(model: torch.nn.Module) -> Iterator[None]:
    """The model in evaluation mode, without gradients; afterwards as it was."""
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(was_training)


def right(
    model: torch.nn.Module, x: torch.Tensor, labels: torch.Tensor, batch_size: int | None = None
) -> int:
    """Samples whose largest logit is their label.

    Raises:
        InvalidReadingError: a reading stayed in doubt; nothing is left out of an evaluation.
    """
    size = batch_size or len(x)
    with evaluating(model):
        return sum(
            int((model(x[i : i + size]).argmax(1) == labels[i : i + size]).sum())
            for i in range(0, len(x), size)
        )


def accuracy(model: torch.nn.Module, x: torch.Tensor, labels: torch.Tensor) -> float:
    """Share of samples that are right; raises as :func:`right` does."""
    return right(model, x, labels) / len(x)


def mean_loss(
    model: torch.nn.Module, x: torch.Tensor, labels: torch.Tensor, loss: Loss, batch_size: int
) -> float:
    """Mean loss over samples; raises as :func:`right` does."""
    with evaluating(model):
        total = 0.0
        for i in range(0, len(x), batch_size):
            part = labels[i : i + batch_size]
            total += float(loss(model(x[i : i + batch_size]), part)) * len(part)
    return total / len(x)
