"""The macrospin's parameters.

Energy per moment, in tesla, of the unit vector m of the free layer, with x along the field line's
field and z out of the plane::

    E(m) = -k/2 m_z² + k2/4 (1 - m_z²)² + ky/2 m_y² - B·m
    B    = I c (cos t, 0, sin t) + (0, 0, hz)

so that a field along x meets the hard axis with k u + k2 u³ + hz u/sqrt(1 - u²), u = m_x.  k and
k2 are effective fields: perpendicular anisotropy less the demagnetising field, first and second
order.  All of them hold for one temperature and one read voltage.
"""

from __future__ import annotations

import math
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

BOLTZMANN_J_PER_K = 1.380649e-23
GAMMA_RAD_PER_S_T = 1.7595e11  # gyromagnetic ratio of CoFeB, g = 2.0

Array = NDArray[np.float64]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class FreeLayer(BaseModel):
    """One free layer.  The defaults are the preset ``planar-tanh``: a design whose response is
    close to tanh, not any published device."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    k_t: NonNegative = Field(4e-3, description="effective perpendicular anisotropy, T")
    k2_t: NonNegative = Field(2.56e-3, description="second-order perpendicular anisotropy, T")
    hz_t: Positive = Field(1.36e-3, description="bias field along z, T")
    ky_t: NonNegative = Field(0.0, description="extra hard axis in the plane, T")
    field_constant_t_per_a: Positive = Field(0.6, description="field line's field per ampere, T/A")
    tilt_rad: float = Field(0.0, ge=-0.1, le=0.1, description="tilt of that field towards z, rad")
    temperature_k: NonNegative = Field(300.0, description="temperature, K; 0 switches it off")
    ms_a_per_m: Positive = Field(1e6, description="saturation magnetisation, A/m")
    diameter_m: Positive = Field(250e-9, description="diameter, m")
    thickness_m: Positive = Field(1.4e-9, description="free layer's thickness, m")

    @property
    def moment_j_per_t(self) -> float:
        """Magnetic moment Ms·V, J/T."""
        return self.ms_a_per_m * math.pi / 4 * self.diameter_m**2 * self.thickness_m

    @property
    def thermal_field_t(self) -> float:
        """kT/(Ms·V), T: what a fluctuation of one kT is worth in the energy above."""
        return BOLTZMANN_J_PER_K * self.temperature_k / self.moment_j_per_t

    def fields_t(self, current_a: Array) -> tuple[Array, Array]:
        """(B_x, B_z) in T at field-line currents in A."""
        b = self.field_constant_t_per_a * current_a
        return b * math.cos(self.tilt_rad), self.hz_t + b * math.sin(self.tilt_rad)
