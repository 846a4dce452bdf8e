"""Where the macrospin comes to rest, and what a slow reading sees of it.

Source of the planar law: stationary points of the energy in :mod:`sim_backend.llg.model` for
m = (sin θ, 0, cos θ).  With s = tan θ it reads k u + k2 u³ + B_z s = B_x, u = s/sqrt(1 + s²), whose
left side rises with s as long as B_z > 0: one root, found by Newton's method.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sim_backend.llg.model import FreeLayer

Array = NDArray[np.float64]


class NoEquilibriumError(ValueError):
    """The planar law has no single well here."""


def angle(layer: FreeLayer, current_a: Array) -> Array:
    """Angle θ of the free layer from +z towards +x at rest, T = 0.

    Args:
        layer: the free layer.
        current_a: field-line currents, A, any shape.

    Returns:
        θ in rad, same shape.

    Raises:
        NoEquilibriumError: the bias along z vanishes or changes sign at one of the currents.
    """
    bx, bz = layer.fields_t(current_a)
    sign, h = np.sign(bx), np.abs(bx)
    if h.size and bz.min() < 0.02 * layer.k_t:
        raise NoEquilibriumError(
            f"the field along z falls to {bz.min() * 1e3:.3g} mT, where the planar equilibrium has "
            "no single well; use a larger hz_t, a smaller tilt_rad or physics: llg"
        )
    k, k2 = layer.k_t, layer.k2_t
    s = np.maximum(h / (k + bz + k2), (h - k - k2) / bz)
    for _ in range(60):
        c2 = 1.0 / (1.0 + s * s)
        c = np.sqrt(c2)
        u = s * c
        step = (k * u + k2 * u**3 + bz * s - h) / ((k + 3 * k2 * u * u) * c2 * c + bz)
        s = s - step
        if not s.size or np.abs(step).max() <= 1e-13 * (1 + np.abs(s).max()):
            break
    result: Array = sign * np.arctan(s)
    return result


def average(layer: FreeLayer, current_a: Array, theta: Array) -> tuple[Array, Array]:
    """Mean (m_x, m_z) over the thermal motion in the well around θ, to first order in kT.

    Gaussian fluctuations a (in the plane) and b (out of it) of the energy's quadratic part shorten
    the vector; the cubic part shifts the angle by <a> = -(E_aaa <a²> + E_abb <b²>)/(2 E_aa)
    (Laplace's method; the next order is (kT/E_aa)²).

    Args:
        layer: the free layer.
        current_a: field-line currents, A.
        theta: the well's angle at each of them, rad.

    Returns:
        m_x, m_z, dimensionless, same shape as ``theta``.
    """
    s, c = np.sin(theta), np.cos(theta)
    t = layer.thermal_field_t
    if t == 0:
        return s, c
    bx, bz = layer.fields_t(current_a)
    k, k2 = layer.k_t, layer.k2_t
    along = bx * s + bz * c
    e_aa = k * (c * c - s * s) + k2 * (3 * s * s * c * c - s**4) + along
    e_bb = k * c * c + k2 * s * s * c * c + layer.ky_t + along
    across = bx * c - bz * s
    e_aaa = -4 * k * s * c + k2 * (6 * s * c**3 - 10 * s**3 * c) + across
    e_abb = -2 * k * s * c + k2 * (2 * s * c**3 - 2 * s**3 * c) + across
    a2, b2 = t / e_aa, t / e_bb
    length = 1 - (a2 + b2) / 2
    shift = -(e_aaa * a2 + e_abb * b2) / (2 * e_aa)
    return s * length + c * shift, c * length - s * shift
