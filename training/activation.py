"""A measured activation as a torch module."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.autograd.function import once_differentiable

from device import InvalidReadingError, Neuron, Reading


class _Measure(torch.autograd.Function):
    """The forward pass is the measurement; the gradient is measured with it, if it is needed."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, module: DeviceActivation) -> torch.Tensor:
        wanted = ctx.needs_input_grad[0]
        batch = x.detach().to("cpu", torch.float64).reshape(-1, x.shape[-1]).numpy()
        reading = module.neuron.read(batch, gradient=wanted)
        module.note(batch, reading)
        if reading.valid is not None:
            doubtful = int((~reading.valid).sum())
            raise InvalidReadingError(
                f"{doubtful} of {reading.valid.size} readings are in doubt after all repeats"
            )
        if wanted:
            assert reading.g is not None
            ctx.save_for_backward(torch.from_numpy(reading.g).to(x).reshape(x.shape))
        return torch.from_numpy(reading.y).to(x).reshape(x.shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None]:
        (g,) = ctx.saved_tensors
        return grad * g, None


class DeviceActivation(torch.nn.Module):
    """An activation function that is measured at a neuron.

    The last dimension of the input is the neurons.  The gradient is taken in the same measurement
    as the activation, and only when autograd needs it; a second derivative is refused.

    Args:
        neuron: live, tabulated or replayed; anything with the interface of ``device.Neuron``.

    Attributes:
        reads: junction points measured so far.
        bench_time_s: bench time that they took, s.
        last_x, last: the last batch of inputs [B, n] beyond doubt, and its reading.

    Raises:
        InvalidReadingError: (when called) a reading stayed in doubt.
    """

    def __init__(self, neuron: Neuron) -> None:
        super().__init__()
        self.neuron = neuron
        self.reads = 0
        self.bench_time_s = 0.0
        self.last_x: np.ndarray[Any, Any] | None = None
        self.last: Reading | None = None

    def note(self, x: np.ndarray[Any, Any], reading: Reading) -> None:
        """Keep account of a measurement."""
        self.reads += reading.reads
        self.bench_time_s += reading.bench_time_s
        if reading.valid is None:
            self.last_x, self.last = x, reading

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """y, same shape and type as x."""
        result: torch.Tensor = _Measure.apply(x, self)  # type: ignore[no-untyped-call]
        return result

    def extra_repr(self) -> str:
        return f"{type(self.neuron).__name__}, neurons={self.neuron.neurons}"
