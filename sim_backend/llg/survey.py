"""How far presets and discs are from tanh and sech: the rows of the comparison table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sim_backend.llg.disc import Magnet
from sim_backend.llg.disc_response import best_bias_t, curve, free_layer
from sim_backend.llg.element import Element
from sim_backend.llg.model import FreeLayer
from sim_backend.llg.presets import PRESETS
from sim_backend.llg.response import Distance, distance, fit_planar, layer_curve, stability

DIAMETERS_M = (40e-9, 60e-9, 80e-9, 100e-9)
BIAS_T = 10e-3
Row = dict[str, Any]


def row(name: str, k_t: float, k2_t: float, hz_t: float, delta: float, far: Distance) -> Row:
    """Effective fields in T, stability, and the figures of :class:`Distance`, by name."""
    return {"name": name, "k_t": k_t, "k2_t": k2_t, "hz_t": hz_t, "delta": delta, **asdict(far)}


def preset_rows() -> list[Row]:
    """The presets at their temperature."""
    rows, known = [], dict[FreeLayer, Distance]()
    for preset in PRESETS.values():
        layer = preset.layer
        if layer not in known:
            found = layer_curve(layer)
            known[layer] = distance(found, fit_planar(found))
        far = known[layer]
        one = row(preset.name, layer.k_t, layer.k2_t, layer.hz_t, stability(layer), far)
        rows.append(one | {"temperature_k": layer.temperature_k, "summary": preset.summary})
    return rows


def disc_rows(diameters_m: Sequence[float] = DIAMETERS_M) -> list[Row]:
    """Discs of one film at a bias of ``BIAS_T`` and at their best one; T = 0."""
    rows = []
    for diameter_m in diameters_m:
        magnet = Magnet(Element(diameter_m=diameter_m))
        for best in (False, True):
            bias_t = best_bias_t(magnet) if best else BIAS_T
            found = curve(magnet, bias_t)
            fit = fit_planar(found)
            name = f"disc {diameter_m * 1e9:.0f} nm, bias {bias_t * 1e3:.2g} mT" + " (best)" * best
            delta = stability(free_layer(magnet.element, fit, 1.0))
            one = row(name, fit.k_t, fit.k2_t, fit.hz_t, delta, distance(found, fit))
            rows.append(one | {"fit_rms_x": fit.rms_x, "fit_rms_z": fit.rms_z})
    return rows
