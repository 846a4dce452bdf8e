"""From two measured currents to the conductances of the two reference layers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from instruments import SweepData

Array = NDArray[np.float64]


def conductances(data: SweepData, common_ohm: float, lead_ohm: float = 0.0) -> tuple[Array, Array]:
    """G_x and G_z in S, shape [N]: the voltage is what is left across each barrier.

    The shared electrode takes (I_x + I_z)·R_c off, each barrier's own lead I·R_lead.

    Args:
        data: a sweep; both meters source the same voltage against the common low.
        common_ohm: resistance R_c from the junctions' shared electrode to the low, ohm.
        lead_ohm: resistance between each meter's high and its barrier (two-wire leads), ohm.
    """
    across = data.voltage_v - common_ohm * (data.current_x_a + data.current_z_a)
    x, z = data.current_x_a, data.current_z_a
    return x / (across - lead_ohm * x), z / (across - lead_ohm * z)


def resistances(data: SweepData, common_ohm: float) -> tuple[Array, Array]:
    """R_x and R_z in ohm, shape [N]; infinite where no current flows."""
    g_x, g_z = conductances(data, common_ohm)
    with np.errstate(divide="ignore"):
        return 1 / g_x, 1 / g_z
