"""From magnetisation to current: tunnel magnetoresistance and the star of three terminals."""

from __future__ import annotations

import math
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

Array = NDArray[np.float64]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class ReferenceLayer(BaseModel):
    """A reference layer and the barrier above it.

    Conductance is linear in the cosine between free and reference layer:
    R = R_P 2(1 + TMR)/(2 + TMR (1 + cos)), TMR(V) = TMR_0/(1 + (V/V_h)²).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    r_parallel_ohm: Positive = Field(10.2e3, description="resistance, layers parallel, ohm")
    tmr: Positive = Field(1.0, description="(R_AP - R_P)/R_P at zero bias")
    v_half_v: Positive = Field(0.4, description="bias at which the TMR has halved, V")
    angle_rad: float = Field(0.0, description="direction, from +z towards +x, rad")
    h_ref_t: Positive = Field(1.0, description="anisotropy field that holds it, T")
    breakdown_v: Positive = Field(1.0, description="voltage that destroys the barrier, V")

    def conductance_s(self, m_x: Array, m_z: Array, b_x: Array, bias_v: float) -> Array:
        """Conductance in S where the free layer has m_x, m_z and the field along x is b_x (T).

        The reference layer gives way to the field by b_x/h_ref (first order in it).
        """
        # Rest direction (sin a, cos a), plus the field's part across it, over h_ref.
        lean = self.angle_rad + b_x * math.cos(self.angle_rad) / self.h_ref_t
        cosine = m_x * np.sin(lean) + m_z * np.cos(lean)
        tmr = self.tmr / (1 + (bias_v / self.v_half_v) ** 2)
        result: Array = (2 + tmr * (1 + cosine)) / (2 * (1 + tmr)) / self.r_parallel_ohm
        return result


def star_currents(
    g_x: Array, g_z: Array, v_x: float, v_z: float, r_common_ohm: float
) -> tuple[Array, Array]:
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
