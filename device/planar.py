"""The planar law in amperes: what a calibration assumes of a junction.

A free layer that turns in the plane of its two reference directions obeys

    I - I_off = k·u + k2·u³ + hz·u/sqrt(1 - u²),      u = m_x,      m_z = sqrt(1 - u²)

with k, k2 and hz as field-line currents (Stoner and Wohlfarth 1948 for the first term; the second
is second-order anisotropy, the third a bias along z).  In this description m_x² + m_z² = 1 is an
assumption; it is never a result.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

Array = NDArray[np.float64]
UNIT_RANGE = 3.0  # the response is compared with tanh over this many unit widths, either side


def solve(current_a: Array, k_a: float, k2_a: float, hz_a: float) -> Array:
    """u = m_x at field-line currents (offset taken off), by Newton's method in s = m_x/m_z.

    Args:
        current_a: I - I_off, A.
        k_a, k2_a, hz_a: the law's parameters, A; hz_a > 0, the others >= 0.

    Returns:
        u in (-1, 1), same shape.
    """
    h = np.abs(current_a)
    s = np.maximum(h / (k_a + hz_a + k2_a), (h - k_a - k2_a) / hz_a)
    for _ in range(50):
        c = 1 / np.sqrt(1 + s * s)
        u = s * c
        rise = (k_a + 3 * k2_a * u * u) * c**3 + hz_a
        step = (k_a * u + k2_a * u**3 + hz_a * s - h) / rise
        s = s - step
        if np.abs(step).max(initial=0.0) < 1e-12:
            break
    result: Array = np.sign(current_a) * s / np.sqrt(1 + s * s)
    return result


def fit_unit_width(current_a: Array, m_x: Array) -> tuple[float, float]:
    """Unit width I0 and centre I_off of a response: the least-squares fit of m_x to
    tanh((I - I_off)/I0) over |I - I_off| <= 3·I0, self-consistent in that range.

    Args:
        current_a: field-line currents, A, shape [N].
        m_x: activation there, [N].

    Returns:
        (I0, I_off), A.
    """
    order = np.argsort(current_a, kind="stable")
    current, response = current_a[order], m_x[order]
    # Start: where the response crosses zero, and its slope there.
    center = float(np.interp(0.0, response, current)) if response[0] < response[-1] else 0.0
    width = float(np.ptp(current)) / 6
    for _ in range(50):
        near = np.abs(current - center) <= UNIT_RANGE * width
        if near.sum() < 5:
            break
        here, there = current[near], response[near]

        def miss(p: Array, here: Array = here, there: Array = there) -> Array:
            result: Array = np.tanh((here - p[1]) / p[0]) - there
            return result

        found = least_squares(miss, (width, center), x_scale=(width, width)).x
        done = abs(found[0] - width) <= 1e-9 * width
        width, center = abs(float(found[0])), float(found[1])
        if done:
            break
    return width, center
