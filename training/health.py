"""Gradient health: how the network's gradient lies beside the exact one.

The exact gradient is that of the network whose activations have the true slope of their measured
curves, at the points that were measured.  Both come from one forward pass: what was read is the
same, and only the backward pass differs.  An error of the local gradient grows with the number of
layers, so a rule that trains three of them may turn the gradient of a hundred round.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch

from device.curve import ResponseCurve, make_curve
from device.curve_smoothing import noise
from device.reading import Array
from device.table import ResponseTable, TableNeuron
from training.activation import DeviceActivation, Probe, by_neuron, from_neuron
from training.fast_table import TableActivation
from training.noise_model import ModelNoise

Verdict = Literal["good", "doubtful", "bad"]
#: curves of the neurons of a layer, one that they share or one each
Curves = Mapping[str, Sequence[ResponseCurve]]

_INSTEAD = (
    "use devices in some layers only (hybrid), a difference rule with a small step, a calibrated "
    "law or the twin for the gradient, or train in software and transfer the weights"
)


class BadGradientError(Exception):
    """The network's gradient is too far from the exact one for training to make sense."""


@dataclass(frozen=True)
class Thresholds:
    """When to warn and when to refuse.

    Attributes:
        warn_cosine, refuse_cosine: least cosine.
        warn_ratio, refuse_ratio: largest ratio of norms, and of its inverse.
    """

    warn_cosine: float = 0.9
    refuse_cosine: float = 0.5
    warn_ratio: float = 2.0
    refuse_ratio: float = 10.0

    def judge(self, cosine: float, ratio: float) -> Verdict:
        """The verdict on a cosine and a ratio of norms."""
        # NaN, of a gradient that has vanished or is infinite, fails each comparison.
        off = max(ratio, 1 / ratio) if ratio > 0 else float("inf")
        if not (cosine >= self.refuse_cosine and off <= self.refuse_ratio):
            return "bad"
        return "good" if cosine >= self.warn_cosine and off <= self.warn_ratio else "doubtful"


@dataclass(frozen=True)
class Health:
    """How a gradient lies beside the exact one.

    Attributes:
        cosine: between the two, over all parameters; NaN: one of them is zero.
        ratio: norm of the network's over that of the exact one.
        parameters: cosine and ratio for each parameter by itself.
        verdict: "good", "doubtful" or "bad".
    """

    cosine: float
    ratio: float
    parameters: dict[str, tuple[float, float]]
    verdict: Verdict

    def __str__(self) -> str:
        said = (
            f"gradient {self.verdict}: cosine {self.cosine:.3f} with the exact one, norm "
            f"{self.ratio:.3g} of it"
        )
        if self.verdict == "good":
            return said
        name, (cosine, ratio) = min(
            self.parameters.items(), key=lambda item: np.nan_to_num(item[1][0], nan=-2.0)
        )
        return f"{said} (worst: {name}, {cosine:.3f} and {ratio:.3g}); {_INSTEAD}"

    def require(self) -> None:
        """Refuse a bad gradient.

        Raises:
            BadGradientError: it is.
        """
        if self.verdict == "bad":
            raise BadGradientError(str(self))


def agreement(one: Array, other: Array) -> tuple[float, float]:
    """Cosine between two vectors, NaN if one is zero; and the norm of the first over the second."""
    norms = float(np.linalg.norm(one)), float(np.linalg.norm(other))
    if not (norms[0] > 0 and norms[1] > 0):
        return float("nan"), 0.0 if norms[1] > 0 else float("nan")
    return float(one @ other) / (norms[0] * norms[1]), norms[0] / norms[1]


def gradient_health(
    model: torch.nn.Module,
    loss: Callable[[], torch.Tensor],
    *,
    curves: Curves | None = None,
    thresholds: Thresholds | None = None,
) -> Health:
    """Compare the gradient of a loss with the exact one.

    Nothing of the run is changed by it: buffers, gradients, torch's generator and that of the noise
    are as before.  Neurons on a bench are read once more.

    Args:
        model: with device activations.
        loss: runs the model on a batch and gives the loss.
        curves: measured curves, by the name of the layer; a layer from tables needs none, its own
            are smoothed by their noise.  Spread and noise are not part of a curve.
        thresholds: None: the usual ones.

    Raises:
        ValueError: the model has no device activation, one that has no curve, or nothing to train.
    """
    if not any(p.requires_grad for p in model.parameters()):
        raise ValueError(f"{type(model).__name__} has no parameter that is trained")
    parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
    with _probed(model, curves or {}) as probes, _as_before(model):
        value = loss()
        found = []
        for exact in (False, True):
            for probe in probes:
                probe.on = exact
            grads = torch.autograd.grad(
                value, list(parameters.values()), retain_graph=not exact, allow_unused=True
            )
            found.append(
                {
                    name: np.zeros(p.numel())
                    if g is None
                    else g.detach().double().cpu().reshape(-1).numpy()
                    for (name, p), g in zip(parameters.items(), grads, strict=True)
                }
            )
    measured, true = found
    each = {name: agreement(measured[name], true[name]) for name in parameters}
    cosine, ratio = agreement(
        np.concatenate(list(measured.values())), np.concatenate(list(true.values()))
    )
    judge = Thresholds() if thresholds is None else thresholds
    return Health(cosine, ratio, each, judge.judge(cosine, ratio))


class HealthCheck:
    """Gradient health before a run and every so many steps.

    Args:
        model, curves, thresholds: see :func:`gradient_health`.
        every: steps from check to check; None: only before the first.
        on_doubt: takes the sentence about a doubtful gradient.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        *,
        every: int | None = None,
        curves: Curves | None = None,
        thresholds: Thresholds | None = None,
        on_doubt: Callable[[str], None] = print,
    ) -> None:
        if every is not None and every < 1:
            raise ValueError(f"every = {every}: at least 1 step, or None for the first step alone")
        self.model, self.every, self.curves, self.thresholds = model, every, curves, thresholds
        self.on_doubt = on_doubt

    def __call__(self, step: int, loss: Callable[[], torch.Tensor]) -> Health | None:
        """The health at a step, counted from 0; None: no check is due.

        Raises:
            BadGradientError: the gradient is bad.
        """
        if step != 0 and (self.every is None or step % self.every != 0):
            return None
        health = gradient_health(self.model, loss, curves=self.curves, thresholds=self.thresholds)
        health.require()
        if health.verdict == "doubtful":
            self.on_doubt(str(health))
        return health


def _smoothed(table: ResponseTable) -> ResponseTable:
    """The table with its activation smoothed by its own noise, if it has any."""
    if noise(table.x, table.y) == 0:
        return table
    return replace(table, y=make_curve(table.x, table.y, source="table")(table.x))


def _slope(
    name: str,
    layer: DeviceActivation | TableActivation,
    curves: Curves,
    smoothed: dict[int, ResponseTable],
) -> Callable[[torch.Tensor], torch.Tensor]:
    owner = layer if isinstance(layer, TableActivation) else layer.neuron
    if isinstance(owner, TableActivation | TableNeuron) and name not in curves:
        for table in owner.tables:
            if id(table) not in smoothed:
                smoothed[id(table)] = _smoothed(table)
        exact = TableActivation([smoothed[id(t)] for t in owner.tables], layer.per, own_slope=True)

        def of_tables(x: torch.Tensor) -> torch.Tensor:
            g = exact.look_up(x, gradient=True)[1]
            assert g is not None
            return g

        return of_tables
    if name not in curves:
        raise ValueError(f"layer {name!r} has no measured curve; give curves[{name!r}]")
    mine, per = curves[name], layer.per

    def of_curves(x: torch.Tensor) -> torch.Tensor:
        moved = by_neuron(x, per)
        columns = moved.to("cpu", torch.float64).reshape(-1, moved.shape[-1]).numpy()
        if len(mine) not in (1, columns.shape[1]):
            raise ValueError(
                f"layer {name!r} has {columns.shape[1]} neurons and {len(mine)} curves; give one, "
                "or one for each"
            )
        slopes = np.stack(
            [mine[j if len(mine) > 1 else 0].slope(c) for j, c in enumerate(columns.T)], axis=1
        )
        return from_neuron(torch.from_numpy(slopes).to(x).reshape(moved.shape), per, x.shape)

    return of_curves


@contextmanager
def _probed(model: torch.nn.Module, curves: Curves) -> Iterator[list[Probe]]:
    layers = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, DeviceActivation | TableActivation)
    }
    if not layers:
        raise ValueError(f"{type(model).__name__} has no device activation")
    unknown = sorted(set(curves) - set(layers))
    if unknown:
        raise ValueError(f"curves for {', '.join(unknown)}, which are no device activations")
    probes: list[Probe] = []
    smoothed: dict[int, ResponseTable] = {}  # layers may share tables, and smoothing takes a while
    try:
        for name, layer in layers.items():
            layer.probe = Probe(_slope(name, layer, curves, smoothed))
            probes.append(layer.probe)
        yield probes
    finally:
        for layer in layers.values():
            layer.probe = None


@contextmanager
def _as_before(model: torch.nn.Module) -> Iterator[None]:
    buffers = {name: value.clone() for name, value in model.named_buffers()}
    noises, random = ModelNoise(model), torch.get_rng_state()
    drawn = noises.state_dict()
    try:
        yield
    finally:
        with torch.no_grad():
            for name, value in model.named_buffers():
                value.copy_(buffers[name])
        noises.load_state_dict(drawn)
        torch.set_rng_state(random)
