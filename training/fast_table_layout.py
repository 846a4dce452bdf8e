"""Where the elements of a tensor lie in memory, and to which device each of them belongs."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from training.activation import Per
from training.fast_table_kernel import TILE


def periodic(values: torch.Tensor) -> torch.Tensor:
    """values [S], going on periodically for a tile, [S + TILE]."""
    return values[torch.arange(len(values) + TILE, device=values.device) % len(values)]


def device_count(sample: tuple[int, ...], per: Per) -> int:
    """Number of devices that samples of a shape take."""
    counts = {"layer": 1, "channel": sample[0], "last": sample[-1], "element": math.prod(sample)}
    return counts[per]


def device_index(sample: tuple[int, ...], per: Per) -> torch.Tensor:
    """Which device each element of a sample belongs to, of the sample's shape."""
    if per == "layer":
        return torch.zeros(sample, dtype=torch.int64)
    if per == "element":
        return torch.arange(math.prod(sample)).reshape(sample)
    along = 0 if per == "channel" else -1
    ones = [1] * len(sample)
    ones[along] = sample[along]
    return torch.arange(sample[along]).reshape(ones).expand(sample)


def storage_order(x: torch.Tensor) -> tuple[int, ...] | None:
    """The dimensions of x, samples first, in the order of its memory; None: it has gaps, or its
    samples lie within one another."""
    order = sorted(range(1, x.ndim), key=x.stride, reverse=True)
    return (0, *order) if x.permute(0, *order).is_contiguous() else None


@dataclass(frozen=True)
class Layout:
    """The elements of a batch in the order of the memory.

    Attributes:
        order: dimensions in that order.
        devices: number of devices.
        index: device of each element of a sample, going on periodically for a tile.
        owner: the same for the kernel.
    """

    order: tuple[int, ...]
    devices: int
    index: torch.Tensor
    owner: NDArray[np.int32]

    def flat(self, x: torch.Tensor) -> torch.Tensor:
        """x as it lies in memory, [N]; a view."""
        return x.permute(self.order).view(-1)

    def unflat(self, values: torch.Tensor, shape: torch.Size) -> torch.Tensor:
        """A tensor of that shape that lies in memory as ``values`` do; a view."""
        stored = values.view([shape[d] for d in self.order])
        back = sorted(range(len(self.order)), key=self.order.__getitem__)
        return stored.permute(back)


def make_layout(sample: tuple[int, ...], order: tuple[int, ...], per: Per) -> Layout:
    """The layout of batches of samples of one shape."""
    index = device_index(sample, per)
    stored = index.permute([d - 1 for d in order[1:]]).reshape(-1)
    whole = periodic(stored)
    return Layout(order, device_count(sample, per), whole, whole.numpy().astype(np.int32))
