"""What values a parameter may have, said once for single junctions and for arrays of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


class ParameterError(ValueError):
    """A parameter outside its range; one sentence with field, value and range."""


@dataclass(frozen=True)
class Range:
    """From ``low`` to ``high``; ``open_low``: above ``low``.  ``unit`` is an SI unit, or ""."""

    low: float
    high: float
    unit: str = ""
    open_low: bool = False

    def __str__(self) -> str:
        unit = f" {self.unit}" * bool(self.unit)
        first = "above" if self.open_low else "at least"
        return f"{first} {self.low:g}{unit} and at most {self.high:g}{unit}"

    def check(self, name: str, value: ArrayLike) -> Array:
        """``value`` as an array of float64.

        Raises:
            ParameterError: one of its numbers is outside the range, or NaN.
        """
        found = np.asarray(value, dtype=np.float64)
        good = (found > self.low if self.open_low else found >= self.low) & (found <= self.high)
        if not good.all():  # False for NaN
            where = np.argwhere(~good)[0]
            place = f" at index {', '.join(str(int(i)) for i in where)}" if found.ndim else ""
            unit = f" {self.unit}" * bool(self.unit)
            raise ParameterError(
                f"{name} is {found[tuple(where)]:g}{unit}{place}; it must be {self}"
            )
        return found

    def number(self, value: Any) -> float:
        """The one number of a parameter file, for pydantic, which adds the parameter's name.

        Raises:
            ValueError: no number, or one outside the range.
        """
        if isinstance(value, str):
            try:
                value = float(value)  # YAML takes 1e6 for a text
            except ValueError:
                unit = f" in {self.unit}, without the unit" * bool(self.unit)
                raise ValueError(f"{value!r} is not a number; write a valid number{unit}") from None
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ValueError(f"{value!r} is not a number; write a valid number")
        try:
            self.check("value", value)
        except ParameterError:
            unit = f" {self.unit}" * bool(self.unit)
            raise ValueError(f"{value:g}{unit} is out of range; it must be {self}") from None
        return float(value)


FIELD = Range(-10.0, 10.0, "T")
_POSITIVE_FIELD = Range(0.0, 10.0, "T", open_low=True)

#: by the last part of a parameter's name
RANGES = {
    # the free layer
    "k_t": FIELD,
    "k2_t": FIELD,
    "hz_t": FIELD,
    "ky_t": FIELD,
    "alpha": Range(0.0, 1.0, "", open_low=True),
    "field_constant_t_per_a": Range(0.0, 1e6, "T/A"),
    "tilt_rad": Range(-math.pi, math.pi, "rad"),
    "temperature_k": Range(0.0, 2000.0, "K"),
    "ms_a_per_m": Range(0.0, 1e7, "A/m", open_low=True),
    "diameter_m": Range(1e-9, 1e-4, "m"),
    "thickness_m": Range(1e-10, 1e-6, "m"),
    "volume_m3": Range(0.0, 1e-15, "m^3", open_low=True),
    "heating_k_per_a2": Range(0.0, 1e9, "K/A^2"),
    "k_slope_t_per_k": Range(-0.1, 0.1, "T/K"),
    # a reference layer and its barrier
    "r_parallel_ohm": Range(0.0, 1e12, "ohm", open_low=True),
    "tmr": Range(0.0, 100.0, "", open_low=True),
    "v_half_v": Range(0.0, 100.0, "V", open_low=True),
    "angle_rad": Range(-2 * math.pi, 2 * math.pi, "rad"),
    "azimuth_rad": Range(-2 * math.pi, 2 * math.pi, "rad"),
    "h_ref_t": _POSITIVE_FIELD,
    "stray_x_t": FIELD,
    "stray_z_t": FIELD,
    "barrier_m": Range(1e-10, 1e-7, "m"),
    "breakdown_v": Range(0.0, 1e3, "V", open_low=True),
    "vcma_j_per_v_m": Range(-1e-11, 1e-11, "J/(V m)"),
    "vcma_at_v": Range(-10.0, 10.0, "V"),
    "spin_efficiency": Range(-1.0, 1.0),
    "field_like_t_per_v2": Range(-1e3, 1e3, "T/V^2"),
    # the star
    "common_ohm": Range(0.0, 1e9, "ohm"),
    # torques and fields of an ensemble
    "hx_t": FIELD,
    "damping_like_x_t": FIELD,
    "damping_like_z_t": FIELD,
    "field_like_x_t": FIELD,
    "field_like_z_t": FIELD,
    "k_per_a2_t": Range(-1e9, 1e9, "T/A^2"),
}


def check(name: str, value: ArrayLike, low: float, high: float, closed: bool = True) -> Array:
    """``value`` as an array of float64, or a :class:`ParameterError`."""
    return Range(low, high, "", not closed).check(name, value)
