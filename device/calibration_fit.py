"""One joint fit of both conductances over a field sweep.

    G_x = a_x + b_x·u(I),    G_z = a_z + b_z·sqrt(1 - u(I)²),

with u from the planar law (:mod:`device.planar`): what fixes the scale is the shape of the two
curves together.  The barriers' bias dependence needs no term: their voltage is the read voltage
less what the shared electrode and the leads take, and TMR(V) at the read voltage is in a and b.
While the drop changes by a share d of the voltage, the TMR changes by 2·d·(V/V_h)² of itself:
5e-6 on the demonstration bench (d = 0.1 %, V_h = 0.4 V).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares

from device.planar import solve
from device.reading import Array, CalibrationError

#: What the planar law is allowed to miss, in units of the magnetisation.  It is fixed beforehand:
#: temperature, tilt and soft reference layers are not in the law, and are real.
MODEL_TERM = 0.01


@dataclass(frozen=True)
class Joint:
    """A fit.

    Attributes:
        law_a: k, k2, hz and I_off of the planar law, A, [4].
        line_x, line_z: (a, b) of the two straight lines, S.
        u: m_x by the law at each level, [N].
        chi2: chi² per point, noise and model term together.
    """

    law_a: Array
    line_x: tuple[float, float]
    line_z: tuple[float, float]
    u: Array
    chi2: float

    @property
    def w(self) -> Array:
        """m_z by the law, [N]."""
        w: Array = np.sqrt(1 - self.u * self.u)
        return w


def _lines(u: Array, g: Array, intercept: float | None = None) -> tuple[float, float]:
    """Least squares of g = a + b·u; with a given intercept, of b alone."""
    if intercept is not None:
        return intercept, float(u @ (g - intercept) / (u @ u))
    b, a = np.polyfit(u, g, 1)
    return float(a), float(b)


def joint_fit(
    name: str,
    current_a: Array,
    g_x: Array,
    g_z: Array,
    noise_s: tuple[float, float],
    middle_z_s: float | None = None,
) -> Joint:
    """Least squares of both conductances.

    Args:
        name: the junction's, for messages.
        current_a: field-line current, A, [N].
        g_x, g_z: conductances, S, [N].
        noise_s: noise of one reading of each, S.
        middle_z_s: G_z at m_z = 0, S, where both states of the z layer have been reached.

    Raises:
        CalibrationError: it breaks down.
    """
    span = float(np.ptp(current_a)) / 2

    def parts(p: Array) -> tuple[Array, Array, Array, Array]:
        u = solve(current_a - p[3], float(p[0]), float(p[1]), float(p[2]))
        w = np.sqrt(1 - u * u)
        return u, w, np.array(_lines(u, g_x)), np.array(_lines(w, g_z, middle_z_s))

    def miss(p: Array) -> Array:
        u, w, line_x, line_z = parts(p)
        # In units of the magnetisation, so that both channels weigh by what they know of it.
        x = (g_x - line_x[0] - line_x[1] * u) / np.hypot(noise_s[0], MODEL_TERM * line_x[1])
        z = (g_z - line_z[0] - line_z[1] * w) / np.hypot(noise_s[1], MODEL_TERM * line_z[1])
        return np.concatenate((x, z))

    start = np.array([span / 5, span / 8, span / 15, 0.0])
    try:
        found = least_squares(
            miss,
            start,
            bounds=(
                [span * 1e-3, 0, span * 2e-4, -span / 2],
                [span * 3, span * 3, span * 3, span / 2],
            ),
            x_scale=[span / 10] * 4,
        )
    except ValueError as error:  # SciPy's word for a residual that is not finite
        raise CalibrationError(f"{name}: the sweep cannot be fitted ({error})") from error
    u, _, line_x, line_z = parts(found.x)
    chi2 = float(2 * found.cost / (len(found.fun) - 8 + (middle_z_s is not None)))
    return Joint(
        found.x,
        (float(line_x[0]), float(line_x[1])),
        (float(line_z[0]), float(line_z[1])),
        u,
        chi2,
    )


def law_derivatives(u: Array, law_a: Array) -> tuple[Array, Array]:
    """How m_x and m_z of the planar law change with (k, k2, hz, I_off), each [N, 4], 1/A.

    From the law itself: I - I_off = k·u + k2·u³ + hz·u/w, so du/dk = -u·(du/dI) and so on, with
    du/dI = w³/(hz + k·w³ + 3·k2·w³·u²); and dw = -(u/w)·du.
    """
    k, k2, hz, _ = law_a
    w = np.sqrt(1 - u * u)
    slope = w**3 / (hz + k * w**3 + 3 * k2 * w**3 * u * u)
    x = np.stack((-u * slope, -(u**3) * slope, -u / w * slope, -slope), axis=1)
    return x, -(u / w)[:, None] * x
