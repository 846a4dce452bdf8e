"""The tabulated look-up in torch's own operations, for what is not in the CPU's memory.

The same arithmetic, in the same order of elements, as :mod:`training.fast_table_kernel`.  It is
tested on the CPU; on a GPU it is untested.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from training.fast_table_kernel import TILE, X_OF_G, X_OF_Y, G, Y
from training.noise import Effect


def look_up_torch(
    x: torch.Tensor,
    gradient: bool,
    tables: torch.Tensor,
    scale: torch.Tensor,
    shift: torch.Tensor,
    index: torch.Tensor,
    effects: Sequence[Effect],
    pool: torch.Tensor | None,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Activations (and gradients) of x, [N] each, in the order of the memory.

    Args:
        x: pre-activations, [N].
        gradient: whether the gradient is wanted.
        tables, scale, shift: as the kernel has them.
        index: device of each element of a sample, going on for a tile.
        effects: noises of this call.
        pool: normal numbers, going on for a tile; None: no effect takes any.
    """
    nodes = tables.shape[1]
    rows = tables.reshape(-1, 4)
    at = torch.arange(len(x), device=x.device)
    period = len(index) - TILE
    device = index[at % period]
    owner = device if len(tables) > 1 else torch.zeros_like(device)

    def put(values: torch.Tensor, flag: int) -> torch.Tensor:
        for effect in effects:
            if not effect.on & flag:
                continue
            if effect.values is None:
                assert pool is not None
                drawn = pool[(effect.start + at) % (len(pool) - TILE)]
            else:
                drawn = effect.values.to(x)[device]
            change = effect.amount * drawn
            values = values + (values * change if effect.multiply else change)
        return values

    def read(u: torch.Tensor, column: int) -> torch.Tensor:
        t = (u * scale[owner] + shift[owner]).clamp(0, nodes - 1)
        cell = t.nan_to_num(0.0).long()
        found = rows[owner * nodes + cell, column : column + 2]
        return found[:, 0] + (t - cell) * found[:, 1]

    y = put(read(put(x, X_OF_Y), 0), Y)
    return y, put(read(put(x, X_OF_G), 2), G) if gradient else None
