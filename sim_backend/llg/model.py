"""The free layer's parameters.

Energy per moment, in tesla, of the unit vector m of the free layer, with x along the field line's
field and z out of the plane::

    E(m) = -k/2 m_z² + k2/4 (1 - m_z²)² + ky/2 m_y² - B·m
    B    = I c (cos t, 0, sin t) + (0, 0, hz)

so that a field along x meets the hard axis with k u + k2 u³ + hz u/sqrt(1 - u²), u = m_x.  k and
k2 are effective fields: perpendicular anisotropy less the demagnetising field, first and second
order.  All of them hold for one temperature and one read voltage; what a warmer line or another
voltage adds is in :mod:`sim_backend.llg.junction`.
"""

from __future__ import annotations

import math
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from sim_backend.llg.ranges import RANGES

BOLTZMANN_J_PER_K = 1.380649e-23
GAMMA_RAD_PER_S_T = 1.7595e11  # gyromagnetic ratio of CoFeB, g = 2.0
SPIN_FLUX_V_S = 3.2910598e-16  # hbar/(2 e)

Array = NDArray[np.float64]


def within(name: str) -> BeforeValidator:
    """For pydantic: a number in the range of this name."""
    return BeforeValidator(RANGES[name].number)


class Parameters(BaseModel):
    """Parameters by name; none that is not known, none that changes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class FreeLayer(Parameters):
    """One free layer.  The defaults are the preset ``planar-tanh``: a design whose response is
    close to tanh, not any published device."""

    k_t: Annotated[float, within("k_t")] = Field(
        4e-3, description="effective perpendicular anisotropy, T; negative: the plane is easy"
    )
    k2_t: Annotated[float, within("k2_t")] = Field(
        2.56e-3, description="second-order perpendicular anisotropy, T"
    )
    hz_t: Annotated[float, within("hz_t")] = Field(1.36e-3, description="bias field along z, T")
    ky_t: Annotated[float, within("ky_t")] = Field(
        0.0, description="extra hard axis in the plane, T"
    )
    alpha: Annotated[float, within("alpha")] = Field(0.02, description="Gilbert damping")
    field_constant_t_per_a: Annotated[float, within("field_constant_t_per_a")] = Field(
        0.6, description="field line's field per ampere, T/A"
    )
    tilt_rad: Annotated[float, within("tilt_rad")] = Field(
        0.0, description="tilt of that field towards z, rad"
    )
    temperature_k: Annotated[float, within("temperature_k")] = Field(
        300.0, description="temperature at no current, K; 0: no thermal motion"
    )
    ms_a_per_m: Annotated[float, within("ms_a_per_m")] = Field(
        1e6, description="saturation magnetisation, A/m"
    )
    diameter_m: Annotated[float, within("diameter_m")] = Field(
        250e-9, description="diameter of the disc of the same area, m"
    )
    thickness_m: Annotated[float, within("thickness_m")] = Field(1.4e-9, description="thickness, m")
    heating_k_per_a2: Annotated[float, within("heating_k_per_a2")] = Field(
        0.0, description="heating by the field line: temperature rise over current squared, K/A²"
    )
    k_slope_t_per_k: Annotated[float, within("k_slope_t_per_k")] = Field(
        0.0, description="change of k with temperature, T/K"
    )

    @property
    def area_m2(self) -> float:
        """Area, m²."""
        return math.pi / 4 * self.diameter_m**2

    @property
    def moment_j_per_t(self) -> float:
        """Magnetic moment Ms·V, J/T."""
        return self.ms_a_per_m * self.area_m2 * self.thickness_m

    @property
    def thermal_field_t(self) -> float:
        """kT/(Ms·V), T: what a fluctuation of one kT is worth in the energy above."""
        return BOLTZMANN_J_PER_K * self.temperature_k / self.moment_j_per_t

    def fields_t(self, current_a: Array) -> tuple[Array, Array]:
        """(B_x, B_z) in T at field-line currents in A."""
        b = self.field_constant_t_per_a * current_a
        return b * math.cos(self.tilt_rad), self.hz_t + b * math.sin(self.tilt_rad)
