"""How junctions that were made alike differ.

What a number means: a spread of 0.20 is a standard deviation of 20 % of the nominal value, whatever
the distribution (a spread in ``*_rad`` or ``*_t`` is that standard deviation itself).

- ``normal``: 1 + s N(0, 1), and what lies further out than two deviations is set to two (which
  takes 4 % off the standard deviation, and with at most 0.45 leaves a tenth of the value);
- ``uniform``: between 1 - √3 s and 1 + √3 s;
- ``lognormal``: exp(w N(0, 1) - w²/2) with w² = ln(1 + s²), which never changes the sign.

Correlation: ``fields`` moves k, k2 and hz of a junction together and ``each_field`` each for
itself, so two of them correlate with fields²/(fields² + each_field²): 0.8 by default.
``barriers`` and ``resistance`` do the same for the resistances of both barriers.  All else is
independent.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field
from scipy.special import ndtr

from sim_backend.llg.junction import SIDES, JunctionModel, Population
from sim_backend.llg.model import Parameters
from sim_backend.llg.ranges import Range
from sim_backend.noise import generator

Array = NDArray[np.float64]
_Relative = Annotated[float, BeforeValidator(Range(0.0, 0.45).number)]
_Angle = Annotated[float, BeforeValidator(Range(0.0, 0.5, "rad").number)]
_Stray = Annotated[float, BeforeValidator(Range(0.0, 1.0, "T").number)]
_CUT = 2.0
#: parameters with no part in a correlation, by their spread: of the free layer and the whole ...
_ALONE = {
    "alpha": "layer.alpha", "moment": "layer.thickness_m", "ms": "layer.ms_a_per_m",
    "ky": "layer.ky_t", "heating": "layer.heating_k_per_a2", "common": "common_ohm",
}  # fmt: skip
#: ... and of each side
_SIDE = {
    "h_ref": "h_ref_t", "v_half": "v_half_v", "vcma": "vcma_j_per_v_m",
    "spin_efficiency": "spin_efficiency", "azimuth_rad": "azimuth_rad",
}  # fmt: skip


class Spread(Parameters):
    """Standard deviations; 0 switches one off."""

    distribution: Literal["normal", "uniform", "lognormal"] = Field(
        "normal", description="of the relative ones; those in rad and T are normal, cut at two"
    )
    fields: _Relative = Field(0.10, description="k, k2 and hz together")
    each_field: _Relative = Field(0.05, description="k, k2 and hz, each for itself")
    field_constant: _Relative = Field(0.03, description="field line's constant")
    tilt_rad: _Angle = Field(0.006, description="tilt of the field, rad")
    resistance: _Relative = Field(0.10, description="R_P, each barrier for itself")
    tmr: _Relative = Field(0.05, description="TMR, each barrier for itself")
    reference_rad: _Angle = Field(0.02, description="direction of each reference layer, rad")
    barriers: _Relative = Field(0.0, description="R_P of both barriers together")
    alpha: _Relative = Field(0.0, description="Gilbert damping")
    moment: _Relative = Field(0.0, description="thickness, and with it the moment")
    ms: _Relative = Field(0.0, description="saturation magnetisation, and with it the moment")
    ky: _Relative = Field(0.0, description="hard axis in the plane")
    heating: _Relative = Field(0.0, description="heating by the field line")
    common: _Relative = Field(0.0, description="shared electrode's resistance")
    breakdown: _Relative = Field(0.0, description="breakdown voltage, each barrier for itself")
    h_ref: _Relative = Field(0.0, description="stiffness of each reference layer")
    v_half: _Relative = Field(
        0.0, description="voltage that halves the TMR, each barrier for itself"
    )
    vcma: _Relative = Field(0.0, description="voltage control, each barrier for itself")
    spin_efficiency: _Relative = Field(0.0, description="torque, each barrier for itself")
    azimuth_rad: _Angle = Field(0.0, description="azimuth of each reference layer, rad")
    stray_t: _Stray = Field(0.0, description="stray field along x and z of each reference layer, T")

    def draw(self, nominal: JunctionModel, count: int, seed: int) -> Population:
        """Junctions 0 to ``count`` - 1 of a seed.

        A junction is the same whatever the count, and a spread that is switched on changes no
        other parameter.

        Raises:
            ParameterError: a drawn value is outside its range.
        """
        # The first twelve numbers of every junction come from one stream, the rest from their own.
        first = iter(generator(seed, "junctions").standard_normal((count, 12)).T)

        def own(name: str) -> Array:
            return generator(seed, f"junctions/{name}").standard_normal(count)

        fields = self._factor(self.fields, next(first))
        values: dict[str, Array] = {}

        def near(name: str, factor: Array) -> None:
            values[name] = values.get(name, nominal.get(name)) * factor

        def off(name: str, deviation: float, normal: Array) -> None:
            values[name] = nominal.get(name) + deviation * np.clip(normal, -_CUT, _CUT)

        for name in ("k_t", "k2_t", "hz_t"):
            near(f"layer.{name}", fields * self._factor(self.each_field, next(first)))
        near("layer.field_constant_t_per_a", self._factor(self.field_constant, next(first)))
        off("layer.tilt_rad", self.tilt_rad, next(first))
        barriers = self._factor(self.barriers, own("barriers"))
        for side in SIDES:
            near(f"{side}.r_parallel_ohm", barriers * self._factor(self.resistance, next(first)))
            near(f"{side}.tmr", self._factor(self.tmr, next(first)))
            off(f"{side}.angle_rad", self.reference_rad, next(first))
            near(f"{side}.breakdown_v", self._factor(self.breakdown, own(f"{side} breakdown")))
            for axis in ("x", "z"):
                off(f"{side}.stray_{axis}_t", self.stray_t, own(f"{side} stray {axis}"))
        alone = [(name, parameter, name) for name, parameter in _ALONE.items()]
        alone += [
            (name, f"{side}.{last}", f"{side} {name}")
            for name, last in _SIDE.items()
            for side in SIDES
        ]
        for name, parameter, stream in alone:
            if name.endswith("_rad"):
                off(parameter, getattr(self, name), own(stream))
            else:
                near(parameter, self._factor(getattr(self, name), own(stream)))
        return Population(nominal, values)

    def _factor(self, spread: float, normal: Array) -> Array:
        """What the nominal value is multiplied by; ``normal`` are standard normal numbers."""
        factor: Array
        if self.distribution == "uniform":
            factor = 1 + math.sqrt(3) * spread * (2 * ndtr(normal) - 1)
        elif self.distribution == "lognormal":
            w2 = math.log1p(spread**2)
            factor = np.exp(math.sqrt(w2) * normal - w2 / 2)
        else:
            factor = 1 + spread * np.clip(normal, -_CUT, _CUT)
        return factor
