"""From two measured currents to the conductances of the two reference layers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from instruments import SweepData

Array = NDArray[np.float64]


def conductances(data: SweepData, common_ohm: float) -> tuple[Array, Array]:
    """G_x and G_z in S, shape [N]: the shared electrode's drop (I_x + I_z)·R_c taken off.

    Args:
        data: a sweep; both meters source the same voltage against the common low.
        common_ohm: resistance R_c from the junctions' shared electrode to the low, ohm.
    """
    across = data.voltage_v - common_ohm * (data.current_x_a + data.current_z_a)
    return data.current_x_a / across, data.current_z_a / across


def resistances(data: SweepData, common_ohm: float) -> tuple[Array, Array]:
    """R_x and R_z in ohm, shape [N]; infinite where no current flows."""
    g_x, g_z = conductances(data, common_ohm)
    with np.errstate(divide="ignore"):
        return 1 / g_x, 1 / g_z
