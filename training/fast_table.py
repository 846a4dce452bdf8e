"""Tabulated device activations, as fast as ``torch.tanh``.

On the CPU one compiled pass gives activation and gradient (:mod:`training.fast_table_kernel`); it
is compiled at the first call on a machine and cached beside the code.  It uses one thread, as each
worker does.  Elsewhere torch's operations do the same (:mod:`training.fast_table_torch`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.autograd.function import once_differentiable

from device.reading import Array
from device.table import ResponseTable
from training.activation import Per, Probe, back, keep
from training.fast_table_kernel import TILE, look_up
from training.fast_table_layout import Layout, make_layout, storage_order
from training.fast_table_torch import look_up_torch
from training.noise import Effect, LayerNoise

_EXACT = (torch.float32, torch.float64)  # types that the look-up works in
_NO_OWNER = np.empty(0, np.int32)


def _as_array(effects: Sequence[Effect]) -> NDArray[np.int64]:
    """What the kernel reads of effects, [E, 4]."""
    rows, row = [], 0
    for effect in effects:
        rows.append(
            (effect.on, effect.multiply, -1 if effect.values is None else row, effect.start)
        )
        row += effect.values is not None
    return np.array(rows, np.int64).reshape(-1, 4)


class _LookUp(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, module: TableActivation) -> torch.Tensor:
        y, g = module.look_up(x.detach(), gradient=ctx.needs_input_grad[0])
        if g is not None:
            keep(ctx, x, g, module.probe)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None]:
        return back(ctx, grad), None


class TableActivation(torch.nn.Module):
    """An activation function from tables, for any shape, type, memory format and device.

    Activation and gradient are two columns that were measured separately; the backward pass takes
    the second, which need not be the slope of the first.  Outside a table's range both are those at
    its edge.  Nothing is added to the state dict.

    Args:
        tables: one that all devices share, or one for each device; all with as many nodes.
        per: which elements are one device, see :data:`training.activation.Per`.
        noise: what is put on, None: nothing.
        own_slope: take the slope of the first column, between its nodes, for the second.

    Attributes:
        probe: see :class:`training.activation.Probe`.
    """

    def __init__(
        self,
        tables: ResponseTable | Sequence[ResponseTable],
        per: Per = "layer",
        noise: LayerNoise | None = None,
        own_slope: bool = False,
    ) -> None:
        super().__init__()
        self.tables = (tables,) if isinstance(tables, ResponseTable) else tuple(tables)
        if len({len(one.y) for one in self.tables}) != 1:
            raise ValueError("the tables of a layer have other numbers of nodes; give all the same")
        self.per = per
        self.noise = noise
        self.own_slope = own_slope
        self.probe: Probe | None = None
        self._prepare()

    def _prepare(self) -> None:
        nodes = len(self.tables[0].y)
        low = np.array([one.low for one in self.tables])
        high = np.array([one.high for one in self.tables])
        scale = (nodes - 1) / (high - low)

        def rise(values: Array) -> Array:
            return np.append(np.diff(values), 0.0)

        rows = [np.stack([t.y, rise(t.y), t.g, rise(t.g)], axis=1) for t in self.tables]
        parts = np.stack(rows)
        if self.own_slope:
            slope = parts[:, :, 1] * scale[:, None]
            slope[:, -1] = slope[:, -2]  # from the last node on: as in the last cell
            parts[:, :, 2], parts[:, :, 3] = slope, 0.0
        self._parts = (parts, scale, -low * scale)
        largest = np.abs(parts).max(axis=(0, 1))
        self.largest = float(largest[0]), float(largest[2])
        self._typed: dict[tuple[torch.device, torch.dtype], tuple[torch.Tensor, ...]] = {}
        self._layouts: dict[tuple[tuple[int, ...], tuple[int, ...]], Layout] = {}

    def __getstate__(self) -> dict[str, Any]:
        made = ("_parts", "_typed", "_layouts")
        return {key: value for key, value in self.__dict__.items() if key not in made}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self._prepare()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """y, with the shape, type and memory format of x."""
        result: torch.Tensor = _LookUp.apply(x, self)  # type: ignore[no-untyped-call]
        return result

    def look_up(self, x: torch.Tensor, gradient: bool) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Activation, and gradient if it is wanted, of x; without autograd."""
        if not x.numel():
            return x.clone(), x.clone() if gradient else None
        work = x if x.dtype in _EXACT else x.float()
        if work.ndim < 2:
            work = work.reshape(1, -1)
        order = storage_order(work)
        if order is None:
            work, order = work.contiguous(), tuple(range(work.ndim))
        layout = self._layout(tuple(work.shape[1:]), order)
        effects = (
            []
            if self.noise is None
            else self.noise.effects(self.training, layout.devices, self.largest, gradient)
        )
        flat = layout.flat(work)
        if work.device.type == "cpu":
            y, g = self._compiled(flat, gradient, layout, effects)
        else:
            tables, scale, shift = self._arrays(work)
            y, g = look_up_torch(
                flat, gradient, tables, scale, shift, layout.index.to(work.device), effects,
                self._pool(work, effects),
            )  # fmt: skip

        def as_input(values: torch.Tensor) -> torch.Tensor:
            return layout.unflat(values, work.shape).reshape(x.shape).to(x.dtype)

        return as_input(y), None if g is None else as_input(g)

    def _compiled(
        self, x: torch.Tensor, gradient: bool, layout: Layout, effects: Sequence[Effect]
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        y = torch.empty_like(x)
        g = torch.empty_like(x) if gradient else x.new_empty(0)
        of_devices = [e.values[layout.index] for e in effects if e.values is not None]
        vectors = torch.stack(of_devices).to(x) if of_devices else x.new_empty(0, TILE)
        owner = layout.owner if len(self.tables) > 1 else _NO_OWNER
        whole = max(len(layout.owner) - TILE if of_devices or len(owner) else len(x), 1)
        pool = self._pool(x, effects)
        amount = np.array([e.amount for e in effects])
        look_up(
            x.numpy(), y.numpy(), g.numpy(), *(part.numpy() for part in self._arrays(x)), owner,
            whole, (x.new_empty(TILE + 1) if pool is None else pool).numpy(), vectors.numpy(),
            _as_array(effects), amount.astype(y.numpy().dtype),
        )  # fmt: skip
        return y, g if gradient else None

    def _pool(self, x: torch.Tensor, effects: Sequence[Effect]) -> torch.Tensor | None:
        if self.noise is None or all(effect.values is not None for effect in effects):
            return None
        return self.noise.pool.values(x.device, x.dtype)

    def _arrays(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Tables, scale and shift, with the type and on the device of x."""
        key = (x.device, x.dtype)
        if key not in self._typed:
            self._typed[key] = tuple(torch.from_numpy(part).to(x) for part in self._parts)
        return self._typed[key]

    def _layout(self, sample: tuple[int, ...], order: tuple[int, ...]) -> Layout:
        key = (sample, order)
        if key not in self._layouts:
            made = make_layout(sample, order, self.per)
            if len(self.tables) not in (1, made.devices):
                raise ValueError(
                    f"{len(self.tables)} tables for {made.devices} devices (per = {self.per!r}, "
                    f"samples of shape {list(sample)}); give one, or one for each"
                )
            self._layouts[key] = made
        return self._layouts[key]

    def extra_repr(self) -> str:
        noises = 0 if self.noise is None else len(self.noise.noises)
        return f"tables={len(self.tables)}, per={self.per!r}, noises={noises}"
