"""The arms of a comparison: one network, one way of getting activation and gradient each.

All arms of one seed share folds, initial weights and order of the data; they differ in this only.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
import torch

from device import Neuron, Reading
from device.reading import Array
from training.activation import DeviceActivation

Arm = Literal["device", "tanh", "linear", "shuffled", "constant", "frozen"]
ARMS: tuple[Arm, ...] = ("device", "tanh", "linear", "shuffled", "constant", "frozen")

#: where each arm's activations come from, as reports name it
SOURCE: dict[Arm, str] = {
    "device": "live",
    "tanh": "software",
    "linear": "software",
    "shuffled": "table",
    "constant": "table",
    "frozen": "table",
}


class ShuffledGradient:
    """A neuron whose gradients are permuted over the whole batch and all neurons: right sizes,
    wrong places.

    Args:
        neuron: gives activations and gradients.
        rng: the stream that permutes.
    """

    def __init__(self, neuron: Neuron, rng: np.random.Generator) -> None:
        self.neuron, self._rng = neuron, rng

    @property
    def neurons(self) -> int:
        """Number of neurons n."""
        return self.neuron.neurons

    def read(self, x: Array, gradient: bool = False) -> Reading:
        """As the neuron reads, with g permuted."""
        reading = self.neuron.read(x, gradient)
        if reading.g is None:
            return reading
        return replace(reading, g=self._rng.permutation(reading.g.ravel()).reshape(reading.g.shape))


class ConstantGradient:
    """A neuron whose gradient is 1 everywhere."""

    def __init__(self, neuron: Neuron) -> None:
        self.neuron = neuron

    @property
    def neurons(self) -> int:
        """Number of neurons n."""
        return self.neuron.neurons

    def read(self, x: Array, gradient: bool = False) -> Reading:
        """As the neuron reads, with g = 1."""
        reading = self.neuron.read(x, gradient)
        return reading if reading.g is None else replace(reading, g=np.ones_like(reading.g))


class Network(torch.nn.Module):
    """Linear - range - activation - linear, in double precision.

    Args:
        inputs, hidden, outputs: widths.
        activation: of the hidden layer; None leaves hidden layer and activation out.
        rng: draws the initial weights, uniform within ±1/sqrt(inputs of the layer).
    """

    range: torch.Tensor

    def __init__(
        self,
        inputs: int,
        hidden: int,
        outputs: int,
        activation: torch.nn.Module | None,
        rng: torch.Generator,
    ) -> None:
        super().__init__()
        self.activation: torch.nn.Module | None = activation
        if activation is not None:
            self.hidden = torch.nn.Linear(inputs, hidden, dtype=torch.float64)
            # One factor a neuron, set once from the training data (see fit_range).
            self.register_buffer("range", torch.ones(hidden, dtype=torch.float64))
        last = inputs if activation is None else hidden
        self.output = torch.nn.Linear(last, outputs, dtype=torch.float64)
        with torch.no_grad():
            for layer in self.children():
                if isinstance(layer, torch.nn.Linear):
                    bound = layer.in_features**-0.5
                    layer.weight.uniform_(-bound, bound, generator=rng)
                    layer.bias.uniform_(-bound, bound, generator=rng)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits [B, outputs] of inputs [B, inputs]."""
        if self.activation is not None:
            x = self.activation(self.hidden(x) * self.range)
        result: torch.Tensor = self.output(x)
        return result

    @torch.no_grad()
    def fit_range(self, x: torch.Tensor, reach: float) -> None:
        """Scale each neuron's input so that 99 % of the training data stay within ±``reach``.

        Set once, from the training data alone, with the initial weights; never enlarged.
        """
        if self.activation is not None:
            largest = self.hidden(x).abs().quantile(0.99, dim=0)
            self.range.copy_((reach / largest).clamp(max=1.0))


def make_activation(
    arm: Arm, live: Neuron, table: Neuron | None, rng: np.random.Generator
) -> torch.nn.Module | None:
    """The hidden layer's activation of an arm.

    Args:
        arm: which.
        live: the junctions on the bench.
        table: the same junctions from a sweep of this session; None: no arm wants it.
        rng: stream for the shuffled arm.
    """
    match arm:
        case "device":
            return DeviceActivation(live)
        case "tanh":
            return torch.nn.Tanh()
        case "linear":
            return None
    assert table is not None
    match arm:
        case "shuffled":
            return DeviceActivation(ShuffledGradient(table, rng))
        case "constant":
            return DeviceActivation(ConstantGradient(table))
        case "frozen":
            return DeviceActivation(table)
