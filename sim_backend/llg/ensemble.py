"""Many junctions side by side: what the equation of motion needs to know of each, checked."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim_backend.llg.model import BOLTZMANN_J_PER_K, FreeLayer

Array = NDArray[np.float64]


class ParameterError(ValueError):
    """A parameter outside its range; one sentence with field, value and range."""


# field: (lowest, highest, whether the lowest itself is admitted)
_RANGES = {
    "k_t": (-10.0, 10.0, True),
    "k2_t": (-10.0, 10.0, True),
    "hz_t": (-10.0, 10.0, True),
    "ky_t": (-10.0, 10.0, True),
    "field_constant_t_per_a": (0.0, 1e6, True),
    "tilt_rad": (-math.pi, math.pi, True),
    "alpha": (0.0, 1.0, False),
    "ms_a_per_m": (0.0, 1e7, False),
    "volume_m3": (0.0, 1e-15, False),
    "temperature_k": (0.0, 2000.0, True),
    "damping_like_x_t": (-10.0, 10.0, True),
    "damping_like_z_t": (-10.0, 10.0, True),
    "field_like_x_t": (-10.0, 10.0, True),
    "field_like_z_t": (-10.0, 10.0, True),
}


def check(name: str, value: ArrayLike, low: float, high: float, closed: bool = True) -> Array:
    """``value`` as an array of float64, or a :class:`ParameterError`."""
    found = np.asarray(value, dtype=np.float64)
    good = (found >= low if closed else found > low) & (found <= high)  # False for NaN
    if not good.all():
        where = np.argwhere(~good)[0]
        place = f" at index {', '.join(str(int(i)) for i in where)}" if found.ndim else ""
        first = "at least" if closed else "above"
        raise ParameterError(
            f"{name} is {found[tuple(where)]:g}{place}; it must be {first} {low:g} and at most "
            f"{high:g}"
        )
    return found


@dataclass(frozen=True)
class Ensemble:
    """N junctions.  Each entry is a number or N numbers; directions are [3] or [N, 3].

    The torques of the read current are given as fields: ``damping_like_x_t`` > 0 drives the free
    layer towards the reference layer x, whose direction is ``direction_x``; ``field_like_x_t`` acts
    as a field along it.  Both belong to one read voltage.  With a voltage across the barrier the
    damping-like field does not depend on the angle (Slonczewski and Sun, J. Magn. Magn. Mater. 310,
    169 (2007)), and so it is here.
    """

    k_t: ArrayLike = 4e-3  #: effective perpendicular anisotropy, T
    k2_t: ArrayLike = 2.56e-3  #: second-order perpendicular anisotropy, T
    hz_t: ArrayLike = 1.36e-3  #: bias field along z, T
    ky_t: ArrayLike = 0.0  #: extra hard axis in the plane, T
    field_constant_t_per_a: ArrayLike = 0.6  #: field line's field per ampere, T/A
    tilt_rad: ArrayLike = 0.0  #: tilt of that field from x towards z, rad
    alpha: ArrayLike = 0.02  #: Gilbert damping
    ms_a_per_m: ArrayLike = 1e6  #: saturation magnetisation, A/m
    volume_m3: ArrayLike = math.pi / 4 * 250e-9**2 * 1.4e-9  #: free layer's volume, m³
    temperature_k: ArrayLike = 300.0  #: temperature, K
    damping_like_x_t: ArrayLike = 0.0  #: damping-like torque at the reference layer x, T
    damping_like_z_t: ArrayLike = 0.0  #: damping-like torque at the reference layer z, T
    field_like_x_t: ArrayLike = 0.0  #: field-like torque at the reference layer x, T
    field_like_z_t: ArrayLike = 0.0  #: field-like torque at the reference layer z, T
    direction_x: ArrayLike = (1.0, 0.0, 0.0)  #: direction of the reference layer x, unit vector
    direction_z: ArrayLike = (0.0, 0.0, 1.0)  #: direction of the reference layer z, unit vector

    def __post_init__(self) -> None:
        values = {name: check(name, getattr(self, name), *r) for name, r in _RANGES.items()}
        for name in ("direction_x", "direction_z"):
            vector = check(name, getattr(self, name), -1 - 1e-6, 1 + 1e-6)
            if vector.shape[-1:] != (3,):
                raise ParameterError(
                    f"{name} has shape {list(vector.shape)}; it must be [3] or [N, 3]"
                )
            check(f"length of {name}", np.linalg.norm(vector, axis=-1), 1 - 1e-6, 1 + 1e-6)
            values[name] = vector
        count = 1
        for name, value in values.items():
            size = value.shape[:-1] if name.startswith("direction") else value.shape
            if len(size) > 1 or (size and count not in (1, size[0])) or size == (0,):
                raise ParameterError(
                    f"{name} has shape {list(value.shape)}; there are {count} junctions: give one "
                    "value, or one for each"
                )
            count = max(count, *size) if size else count
        for name, value in values.items():
            full = (count, 3) if name.startswith("direction") else (count,)
            object.__setattr__(self, name, np.broadcast_to(value, full))

    @classmethod
    def of(cls, layers: Sequence[FreeLayer], **more: Any) -> Ensemble:
        """The free layers as they are, with the other entries (such as ``alpha``) by name."""
        names = (
            "k_t", "k2_t", "hz_t", "ky_t", "field_constant_t_per_a", "tilt_rad", "ms_a_per_m",
            "temperature_k",
        )  # fmt: skip
        values: dict[str, Any] = {n: np.array([getattr(f, n) for f in layers]) for n in names}
        values["volume_m3"] = np.array([f.moment_j_per_t / f.ms_a_per_m for f in layers])
        return cls(**(values | more))

    def __len__(self) -> int:
        return len(self.array("k_t"))

    def __getitem__(self, part: slice) -> Ensemble:
        names = (field.name for field in dataclasses.fields(self))
        return Ensemble(**{name: self.array(name)[part] for name in names})

    def array(self, name: str) -> Array:
        """One entry, for all junctions: [N] or [N, 3]."""
        result: Array = getattr(self, name)
        return result

    @property
    def moment_j_per_t(self) -> Array:
        """Ms V, J/T, [N]."""
        return self.array("ms_a_per_m") * self.array("volume_m3")

    @property
    def thermal_t(self) -> Array:
        """kT/(Ms V), T, [N]."""
        return BOLTZMANN_J_PER_K * self.array("temperature_k") / self.moment_j_per_t

    def torque_t(self, kind: str) -> Array:
        """Both reference layers' part, "damping" or "field", T, [N, 3]."""
        x, z = self.array(f"{kind}_like_x_t"), self.array(f"{kind}_like_z_t")
        result: Array = x[:, None] * self.array("direction_x")
        return result + z[:, None] * self.array("direction_z")

    def largest_t(self, current_a: Array) -> Array:
        """Bound of all fields on each junction at any of these currents, without noise, T, [N]."""
        own = np.abs(self.array("k_t")) + np.abs(self.array("k2_t")) + np.abs(self.array("ky_t"))
        line = self.array("field_constant_t_per_a") * np.abs(current_a).max(initial=0.0)
        read = np.linalg.norm(self.torque_t("damping"), axis=1)
        read = read + np.linalg.norm(self.torque_t("field"), axis=1)
        result: Array = own + line + read + np.abs(self.array("hz_t"))
        return result
