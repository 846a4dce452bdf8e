"""A measured activation as a torch module."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import torch
from torch.autograd.function import once_differentiable

from device import InvalidReadingError, Neuron, Reading

#: which elements of a sample share a device: all of them; those of one index of its first
#: dimension (channels); those of one index of its last; none
Per = Literal["layer", "channel", "last", "element"]


class Probe:
    """Asks a layer's backward pass for another gradient than the measured one.

    A layer with a probe keeps the inputs of the forward pass; while ``on`` is set its backward pass
    takes ``slope`` of them.

    Args:
        slope: gradient at inputs, of their shape and type.
    """

    def __init__(self, slope: Callable[[torch.Tensor], torch.Tensor]) -> None:
        self.slope = slope
        self.on = False


def keep(ctx: Any, x: torch.Tensor, g: torch.Tensor, probe: Probe | None) -> None:
    """Keep for :func:`back` what a forward pass has measured."""
    ctx.probe = probe
    ctx.save_for_backward(*([g] if probe is None else [g, x]))


def back(ctx: Any, grad: torch.Tensor) -> torch.Tensor:
    """The backward pass of an activation."""
    g = ctx.saved_tensors[0]
    if ctx.probe is not None and ctx.probe.on:
        g = ctx.probe.slope(ctx.saved_tensors[1])
    result: torch.Tensor = grad * g
    return result


class _Measure(torch.autograd.Function):
    """The forward pass is the measurement; the gradient is measured with it, if it is needed."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, module: DeviceActivation) -> torch.Tensor:
        wanted = ctx.needs_input_grad[0]
        moved = by_neuron(x.detach(), module.per)
        batch = moved.to("cpu", torch.float64).reshape(-1, moved.shape[-1]).numpy()
        reading = module.neuron.read(batch, gradient=wanted)
        module.note(batch, reading)
        if reading.valid is not None:
            doubtful = int((~reading.valid).sum())
            raise InvalidReadingError(
                f"{doubtful} of {reading.valid.size} readings are in doubt after all repeats"
            )

        def as_input(values: np.ndarray[Any, Any]) -> torch.Tensor:
            there = torch.from_numpy(values).to(x).reshape(moved.shape)
            return from_neuron(there, module.per, x.shape)

        if wanted:
            assert reading.g is not None
            keep(ctx, x, as_input(reading.g), module.probe)
        return as_input(reading.y)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None]:
        return back(ctx, grad), None


def by_neuron(x: torch.Tensor, per: Per) -> torch.Tensor:
    """x with the neurons in its last dimension; a view, where there is one."""
    if per == "last":
        return x
    if per == "channel":
        return x.movedim(1, -1)
    return x.reshape(-1, 1) if per == "layer" else x.flatten(1)


def from_neuron(values: torch.Tensor, per: Per, shape: torch.Size) -> torch.Tensor:
    """Values of :func:`by_neuron`'s shape, in the shape of the input."""
    return values.movedim(-1, 1) if per == "channel" else values.reshape(shape)


class DeviceActivation(torch.nn.Module):
    """An activation function that is measured at a neuron.

    The gradient is taken in the same measurement as the activation, and only when autograd needs
    it; a second derivative is refused.

    Args:
        neuron: live, tabulated or replayed; anything with the interface of ``device.Neuron``.
        per: where its neurons are: "last": in the last dimension of the input; "channel": in the
            second; "element": every element of a sample is one; "layer": one is all.

    Attributes:
        reads: junction points measured so far.
        bench_time_s: bench time that they took, s.
        last_x, last: the last batch of inputs [B, n] beyond doubt, and its reading.
        probe: see :class:`Probe`.

    Raises:
        InvalidReadingError: (when called) a reading stayed in doubt.
    """

    def __init__(self, neuron: Neuron, per: Per = "last") -> None:
        super().__init__()
        self.neuron = neuron
        self.per = per
        self.probe: Probe | None = None
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
