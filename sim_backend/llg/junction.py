"""One junction's parameters, and many of them as arrays.

What the read voltages do to the free layer is worked out here, once for one junction and for a
million:

- voltage control of anisotropy: k grows by 2 ξ (V - V0)/(Ms t d), ξ the energy per area over the
  field in a barrier of thickness d, t the free layer's (T. Maruyama et al., Nat. Nanotechnol. 4,
  158 (2009));
- damping-like torque: a = ħ η J/(2 e Ms t) along the reference layer, J = V/(R_P area): at a given
  voltage it does not depend on the angle (J. C. Slonczewski and J. Z. Sun, J. Magn. Magn. Mater.
  310, 169 (2007));
- field-like torque: a field along the reference layer that goes with V² (J. C. Sankey et al., Nat.
  Phys. 4, 67 (2008); H. Kubota et al., ibid. 37).

The field line's heat goes with the current at once: :meth:`Ensemble.fields`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field

from sim_backend.llg.ensemble import Ensemble
from sim_backend.llg.model import SPIN_FLUX_V_S, FreeLayer, Parameters, within
from sim_backend.llg.ranges import RANGES, ParameterError
from sim_backend.readout import ReferenceLayer

Array = NDArray[np.float64]
#: a parameter by its full name, such as ``layer.k_t`` or ``x.tmr``; a number or an array
Get = Callable[[str], Any]
SIDES = ("x", "z")


class JunctionModel(Parameters):
    """A three-terminal junction: free layer, two reference layers, the shared electrode."""

    layer: FreeLayer = FreeLayer()
    x: ReferenceLayer = ReferenceLayer(angle_rad=math.pi / 2)
    z: ReferenceLayer = ReferenceLayer()
    common_ohm: Annotated[float, within("common_ohm")] = Field(
        6.0, description="shared electrode to low, ohm"
    )

    def get(self, name: str) -> float:
        """A parameter by its full name."""
        part, _, last = name.rpartition(".")
        return float(getattr(getattr(self, part) if part else self, last))

    def changed(self, values: Mapping[str, float]) -> JunctionModel:
        """The same with some parameters, by full name, changed (and not checked again)."""
        parts: dict[str, dict[str, float]] = {}
        for name, value in values.items():
            part, _, last = name.rpartition(".")
            parts.setdefault(part, {})[last] = value
        own: dict[str, Any] = dict(parts.pop("", {}))
        own |= {k: getattr(self, k).model_copy(update=new) for k, new in parts.items()}
        return self.model_copy(update=own)

    def ensemble(self, v_x: float = 0.0, v_z: float = 0.0) -> Ensemble:
        """Alone, at these read voltages, V."""
        return _ensemble(self.get, v_x, v_z)


def _ensemble(get: Get, v_x: float, v_z: float) -> Ensemble:
    volts = {"x": v_x, "z": v_z}
    area = math.pi / 4 * get("layer.diameter_m") ** 2
    sheet = get("layer.ms_a_per_m") * get("layer.thickness_m")  # moment per area, A
    entries: dict[str, Any] = {
        name: get(f"layer.{name}")
        for name in ("k_t", "k2_t", "hz_t", "ky_t", "field_constant_t_per_a", "tilt_rad", "alpha",
                     "ms_a_per_m", "temperature_k", "heating_k_per_a2")
    }  # fmt: skip
    entries["hx_t"] = 0.0
    entries["k_per_a2_t"] = get("layer.k_slope_t_per_k") * get("layer.heating_k_per_a2")
    entries["volume_m3"] = area * get("layer.thickness_m")
    for side, volt in volts.items():

        def own(name: str, side: str = side) -> Any:
            return get(f"{side}.{name}")

        density = volt / (own("r_parallel_ohm") * area)
        over = volt - own("vcma_at_v")
        grown = 2 * own("vcma_j_per_v_m") * over / (sheet * own("barrier_m"))
        for name, more in (
            ("k_t", grown), ("hx_t", own("stray_x_t")), ("hz_t", own("stray_z_t"))
        ):  # fmt: skip
            entries[name] = entries[name] + more  # a new array: the old one is the population's
        entries[f"damping_like_{side}_t"] = SPIN_FLUX_V_S * own("spin_efficiency") * density / sheet
        entries[f"field_like_{side}_t"] = own("field_like_t_per_v2") * volt**2
        s, azimuth = np.sin(own("angle_rad")), own("azimuth_rad")
        entries[f"direction_{side}"] = np.stack(
            np.broadcast_arrays(s * np.cos(azimuth), s * np.sin(azimuth), np.cos(own("angle_rad"))),
            axis=-1,
        )
    return Ensemble(**entries)


class Population:
    """N junctions as arrays: what they have in common, and the parameters in which they differ.

    Args:
        nominal: every parameter that ``values`` does not name.
        values: by full name, [N] each.

    Raises:
        ParameterError: a value outside its range, arrays of different lengths, an unknown name.
    """

    def __init__(self, nominal: JunctionModel, values: Mapping[str, ArrayLike]) -> None:
        self.nominal = nominal
        self.values: dict[str, Array] = {}
        for name, given in values.items():
            try:
                nominal.get(name)
            except AttributeError:
                raise ParameterError(f"{name} is no parameter of a junction") from None
            found = RANGES[name.rpartition(".")[2]].check(name, given)
            if found.ndim != 1 or (self.values and len(found) != len(self)):
                raise ParameterError(
                    f"{name} has shape {list(found.shape)}; all must be [N], one for each junction"
                )
            self.values[name] = found
        if not self.values:
            raise ParameterError("values is empty; it must give [N] numbers of at least one name")

    def __len__(self) -> int:
        return len(next(iter(self.values.values())))

    def __getitem__(self, part: slice) -> Population:
        return Population(self.nominal, {name: v[part] for name, v in self.values.items()})

    def one(self, at: int) -> JunctionModel:
        """Junction number ``at`` for itself."""
        return self.nominal.changed({name: float(v[at]) for name, v in self.values.items()})

    def array(self, name: str) -> Array:
        """A parameter of all of them, [N]."""
        found = self.values.get(name)
        return np.full(len(self), self.nominal.get(name)) if found is None else found

    def ensemble(self, v_x: float = 0.0, v_z: float = 0.0) -> Ensemble:
        """All of them at these read voltages, V."""
        return _ensemble(self.array, v_x, v_z)


def population(junctions: list[JunctionModel]) -> Population:
    """Single junctions as one population."""
    first = junctions[0]
    names = [f"layer.{n}" for n in FreeLayer.model_fields]
    names += [f"{side}.{n}" for side in SIDES for n in ReferenceLayer.model_fields]
    values = {n: np.array([j.get(n) for j in junctions]) for n in [*names, "common_ohm"]}
    return Population(first, values)
