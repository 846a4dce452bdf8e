"""Junctions to start from, named after what they are.  None is a published device.

``preset: NAME`` under ``junctions`` in a ``sim.yaml`` takes one.  The field constants of
``disc-60nm`` and ``superparamagnetic`` are chosen so that the unit width is about 9 mA, as on the
demonstration bench; no metal line beside the junction does that, they stand for a coil.

All have a CoFeB-MgO barrier's torque and voltage control: spin efficiency 0.5, and 50 fJ/(V m) with
k given at the read voltage of 20 mV.  Their resistances keep the torque at 20 mV below a tenth of
the one that makes the layer oscillate, at every field of the line.
"""

from __future__ import annotations

import math
from typing import Any

from sim_backend.llg.junction import JunctionModel
from sim_backend.llg.model import FreeLayer
from sim_backend.readout import ReferenceLayer


class Preset(JunctionModel):
    """A kind of junction."""

    name: str
    summary: str


def _sides(x_angle_rad: float = math.pi / 2, r_parallel_ohm: float = 10.2e3) -> dict[str, Any]:
    def side(angle_rad: float) -> ReferenceLayer:
        return ReferenceLayer(
            angle_rad=angle_rad, r_parallel_ohm=r_parallel_ohm, spin_efficiency=0.5,
            vcma_j_per_v_m=50e-15,
        )  # fmt: skip

    return {"x": side(x_angle_rad), "z": side(0.0)}


_ALL = (
    Preset(
        name="planar-tanh",
        summary="bias 0.34 k and second order 0.64 k: the nearest to tanh; the default",
        layer=FreeLayer(k_t=4e-3, k2_t=2.56e-3, hz_t=1.36e-3),
        **_sides(),
    ),
    Preset(
        name="bare-perpendicular",
        summary="no second order, a bias of 0.05 k to define the sign of m_z: linear, then clipped",
        layer=FreeLayer(k_t=4e-3, k2_t=0, hz_t=0.2e-3),
        **_sides(r_parallel_ohm=12e3),
    ),
    Preset(
        name="disc-60nm",
        summary="spinloop physics disc --diameter 60nm --bz '20 mT', rounded",
        layer=FreeLayer(
            k_t=60.6e-3, k2_t=26.3e-3, hz_t=21.2e-3, field_constant_t_per_a=8.8, diameter_m=60e-9
        ),
        **_sides(r_parallel_ohm=20e3),
    ),
    Preset(
        name="superparamagnetic",
        summary="40 nm, barrier of a few kT: the free layer hops between its wells",
        layer=FreeLayer(k_t=20e-3, k2_t=0, hz_t=7e-3, field_constant_t_per_a=2.8, diameter_m=40e-9),
        **_sides(r_parallel_ohm=100e3),
    ),
    Preset(
        name="oblique-reference",
        summary="planar-tanh under an x reference layer at 45 degrees: its read-out alone rises, "
        "peaks and falls",
        layer=FreeLayer(k_t=4e-3, k2_t=2.56e-3, hz_t=1.36e-3),
        **_sides(x_angle_rad=math.pi / 4),
    ),
)

PRESETS: dict[str, Preset] = {preset.name: preset for preset in _ALL}


def find_preset(name: object) -> Preset:
    """A preset by its name.

    Raises:
        ValueError: there is none; the sentence names those that there are.
    """
    if not isinstance(name, str) or name not in PRESETS:
        raise ValueError(f"preset is {name!r}; it must be one of {', '.join(PRESETS)}")
    return PRESETS[name]
