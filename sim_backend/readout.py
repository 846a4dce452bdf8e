"""From magnetisation to conductance: tunnel magnetoresistance."""

from __future__ import annotations

import math
from typing import Annotated

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field

from sim_backend.llg.model import Parameters, within

Array = NDArray[np.float64]


class ReferenceLayer(Parameters):
    """A reference layer, and the barrier between it and the free layer.

    A voltage above 0 sends electrons from the reference layer into the free layer: its damping-like
    torque turns the free layer towards the reference layer.
    """

    r_parallel_ohm: Annotated[float, within("r_parallel_ohm")] = Field(
        10.2e3, description="resistance, layers parallel, ohm"
    )
    tmr: Annotated[float, within("tmr")] = Field(1.0, description="(R_AP - R_P)/R_P at zero bias")
    v_half_v: Annotated[float, within("v_half_v")] = Field(
        0.4, description="bias at which the TMR has halved, V"
    )
    angle_rad: Annotated[float, within("angle_rad")] = Field(
        0.0, description="direction without a field, from +z towards +x, rad"
    )
    azimuth_rad: Annotated[float, within("azimuth_rad")] = Field(
        0.0, description="turn of that direction about z, from +x towards +y, rad"
    )
    h_ref_t: Annotated[float, within("h_ref_t")] = Field(
        1.0, description="field that holds it in its direction, T"
    )
    stray_x_t: Annotated[float, within("stray_x_t")] = Field(
        0.0, description="its stray field in the free layer, along x, T"
    )
    stray_z_t: Annotated[float, within("stray_z_t")] = Field(
        0.0, description="its stray field in the free layer, along z, T"
    )
    barrier_m: Annotated[float, within("barrier_m")] = Field(
        1e-9, description="thickness of the barrier, m"
    )
    breakdown_v: Annotated[float, within("breakdown_v")] = Field(
        1.0, description="voltage that destroys the barrier, V"
    )
    vcma_j_per_v_m: Annotated[float, within("vcma_j_per_v_m")] = Field(
        0.0, description="voltage control of anisotropy: energy per area over field, J/(V m)"
    )
    vcma_at_v: Annotated[float, within("vcma_at_v")] = Field(
        0.02, description="voltage for which the free layer's k is given, V"
    )
    spin_efficiency: Annotated[float, within("spin_efficiency")] = Field(
        0.0, description="spin polarisation that the damping-like torque carries over"
    )
    field_like_t_per_v2: Annotated[float, within("field_like_t_per_v2")] = Field(
        0.0, description="field-like torque along its direction over voltage squared, T/V²"
    )

    @property
    def direction(self) -> tuple[float, float, float]:
        """Unit vector without a field."""
        s = math.sin(self.angle_rad)
        azimuth = self.azimuth_rad
        return s * math.cos(azimuth), s * math.sin(azimuth), math.cos(self.angle_rad)

    def cosine(self, m: Array, b_t: Array) -> Array:
        """Cosine of the angle between free and reference layer, [...].

        A reference layer held by an exchange bias (energy -(h_ref p + B)·r, W. H. Meiklejohn and
        C. P. Bean, Phys. Rev. 102, 1413 (1956)) points along h_ref p + B.

        Args:
            m: mean unit vector of the free layer, [..., 3].
            b_t: field on the reference layer, T, [..., 3].
        """
        h = self.h_ref_t * np.array(self.direction)
        x, y, z = (h[i] + b_t[..., i] for i in range(3))
        along = m[..., 0] * x + m[..., 1] * y + m[..., 2] * z
        result: Array = along / np.sqrt(x * x + y * y + z * z)
        return result

    def siemens(self, cosine: Array, bias_v: ArrayLike) -> Array:
        """Conductance, S: R = R_P 2(1 + TMR)/(2 + TMR (1 + cos)), linear in the cosine.

        J. C. Slonczewski, Phys. Rev. B 39, 6995 (1989); TMR(V) = TMR_0/(1 + (V/V_h)²).

        Args:
            cosine: of the angle between the layers, [...].
            bias_v: voltage across the barrier, V, [...].
        """
        tmr = self.tmr / (1 + (np.asarray(bias_v) / self.v_half_v) ** 2)
        result: Array = (2 + tmr * (1 + cosine)) / (2 * (1 + tmr)) / self.r_parallel_ohm
        return result

    def conductance_s(self, m: Array, b_t: Array, bias_v: ArrayLike) -> Array:
        """Conductance, S, [...], from the free layer and the field.

        Args:
            m: mean unit vector of the free layer, [..., 3].
            b_t: field on the reference layer, T, [..., 3].
            bias_v: voltage across the barrier, V.
        """
        return self.siemens(self.cosine(m, b_t), bias_v)
