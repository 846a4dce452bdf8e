"""The star of three terminals by hand: what the circuit has to come to."""

import math

import numpy as np


def star_currents(g_x, g_z, v_x, v_z, r_common_ohm):
    """Currents through two conductances that share one electrode (Kirchhoff).

    Args:
        g_x, g_z: conductances, S.
        v_x, v_z: voltages of the two high sides against the common low, V.
        r_common_ohm: resistance from the shared electrode to the low, ohm; inf: no low.

    Returns:
        i_x, i_z in A, same shape as the conductances.
    """
    if math.isinf(r_common_ohm):
        both = g_x + g_z
        node = np.divide(g_x * v_x + g_z * v_z, both, out=np.zeros_like(both), where=both > 0)
        return g_x * (v_x - node), g_z * (v_z - node)
    node = r_common_ohm * (g_x * v_x + g_z * v_z) / (1 + r_common_ohm * (g_x + g_z))
    return g_x * (v_x - node), g_z * (v_z - node)
