"""Many junctions side by side: what the equation of motion needs to know of each, checked."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim_backend.llg.fields import Fields
from sim_backend.llg.model import BOLTZMANN_J_PER_K, FreeLayer
from sim_backend.llg.ranges import RANGES, ParameterError, check

Array = NDArray[np.float64]


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
    hz_t: ArrayLike = 1.36e-3  #: constant field along z, T
    hx_t: ArrayLike = 0.0  #: constant field along x, T
    ky_t: ArrayLike = 0.0  #: extra hard axis in the plane, T
    field_constant_t_per_a: ArrayLike = 0.6  #: field line's field per ampere, T/A
    tilt_rad: ArrayLike = 0.0  #: tilt of that field from x towards z, rad
    alpha: ArrayLike = 0.02  #: Gilbert damping
    ms_a_per_m: ArrayLike = 1e6  #: saturation magnetisation, A/m
    volume_m3: ArrayLike = math.pi / 4 * 250e-9**2 * 1.4e-9  #: free layer's volume, m³
    temperature_k: ArrayLike = 300.0  #: temperature without a current, K
    heating_k_per_a2: ArrayLike = 0.0  #: temperature rise over the line's current squared, K/A²
    k_per_a2_t: ArrayLike = 0.0  #: change of k over the line's current squared, T/A²
    damping_like_x_t: ArrayLike = 0.0  #: damping-like torque at the reference layer x, T
    damping_like_z_t: ArrayLike = 0.0  #: damping-like torque at the reference layer z, T
    field_like_x_t: ArrayLike = 0.0  #: field-like torque at the reference layer x, T
    field_like_z_t: ArrayLike = 0.0  #: field-like torque at the reference layer z, T
    direction_x: ArrayLike = (1.0, 0.0, 0.0)  #: direction of the reference layer x, unit vector
    direction_z: ArrayLike = (0.0, 0.0, 1.0)  #: direction of the reference layer z, unit vector

    def __post_init__(self) -> None:
        fields = [field.name for field in dataclasses.fields(self)]
        names = [name for name in fields if not name.startswith("direction")]
        values = {name: RANGES[name].check(name, getattr(self, name)) for name in names}
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
        """The free layers as they are; other entries, such as ``damping_like_x_t``, by name."""
        names = (
            "k_t", "k2_t", "hz_t", "ky_t", "alpha", "field_constant_t_per_a", "tilt_rad",
            "ms_a_per_m", "temperature_k", "heating_k_per_a2",
        )  # fmt: skip
        values: dict[str, Any] = {n: np.array([getattr(f, n) for f in layers]) for n in names}
        values["k_per_a2_t"] = np.array([f.k_slope_t_per_k * f.heating_k_per_a2 for f in layers])
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
        """kT/(Ms V) without a current, T, [N]."""
        return BOLTZMANN_J_PER_K * self.array("temperature_k") / self.moment_j_per_t

    def torque_t(self, kind: str) -> Array:
        """Both reference layers' part, "damping" or "field", T, [N, 3]."""
        x, z = self.array(f"{kind}_like_x_t"), self.array(f"{kind}_like_z_t")
        result: Array = x[:, None] * self.array("direction_x")
        return result + z[:, None] * self.array("direction_z")

    def line_field_t(self, current_a: ArrayLike) -> Array:
        """Field of the line alone at currents [P], A: T, [N, P, 3]."""
        tilt = self.array("tilt_rad")
        along = np.stack((np.cos(tilt), np.zeros(len(self)), np.sin(tilt)), axis=-1)
        per_a = self.array("field_constant_t_per_a")[:, None] * along
        result: Array = np.asarray(current_a)[:, None] * per_a[:, None, :]
        return result

    def fields(self, current_a: ArrayLike) -> Fields:
        """What every free layer feels at field-line currents [P], A; shape [N, P].

        The line's heat follows the current at once: temperature + r I², and k with it.
        """
        current = np.asarray(current_a, dtype=np.float64)

        def column(name: str) -> Array:
            return self.array(name)[:, None]

        b = self.line_field_t(current) + self.torque_t("field")[:, None, :]
        b[..., 0] += column("hx_t")
        b[..., 2] += column("hz_t")
        kelvin_t = BOLTZMANN_J_PER_K / self.moment_j_per_t[:, None]
        temperature = column("temperature_k") + column("heating_k_per_a2") * current**2
        return Fields(
            column("k_t") + column("k_per_a2_t") * current**2, column("k2_t"), column("ky_t"), b,
            self.torque_t("damping")[:, None, :], kelvin_t * temperature, column("alpha"),
        )  # fmt: skip

    def largest_t(self, current_a: Array) -> Array:
        """Bound of all fields on each junction at any of these currents, without noise, T, [N]."""
        most = np.abs(current_a).max(initial=0.0)
        own = np.abs(self.array("k_t")) + np.abs(self.array("k2_t")) + np.abs(self.array("ky_t"))
        own = own + np.abs(self.array("k_per_a2_t")) * most**2
        line = self.array("field_constant_t_per_a") * most + np.abs(self.array("hx_t"))
        read = np.linalg.norm(self.torque_t("damping"), axis=1)
        read = read + np.linalg.norm(self.torque_t("field"), axis=1)
        result: Array = own + line + read + np.abs(self.array("hz_t"))
        return result
