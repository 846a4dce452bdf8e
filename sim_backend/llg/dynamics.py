"""The Landau-Lifshitz-Gilbert equation, relaxed to rest.

ṁ = -γ/(1+α²) (m×B + α m×(m×B)) with the effective field B = -∂E/∂m of
:mod:`sim_backend.llg.model`.  The state at rest does not depend on the damping, so the relaxation
runs at α = 1, where it is quickest.  Fourth-order Runge-Kutta, fixed step.

A field line's current changes slowly against the precession (microseconds against nanoseconds), so
the free layer follows its well: the field is led from level to level in small steps.  A sudden jump
could throw it into the other one.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from sim_backend.llg.model import FreeLayer

Array = NDArray[np.float64]
_STEPS = 200_000
_LEAD = 0.02  # largest change of the field between two rests, of k + k2 + hz


class NotAtRestError(RuntimeError):
    """The relaxation did not come to rest."""


@njit(cache=True)
def _slope(m: Array, b: Array, k: float, k2: float, ky: float) -> Array:
    """dm/d(γt/2) at α = 1."""
    bx, by = b[0], b[1] - ky * m[1]
    bz = b[2] + (k + k2 * (1 - m[2] * m[2])) * m[2]
    px, py, pz = m[1] * bz - m[2] * by, m[2] * bx - m[0] * bz, m[0] * by - m[1] * bx
    qx, qy, qz = m[1] * pz - m[2] * py, m[2] * px - m[0] * pz, m[0] * py - m[1] * px
    return np.array((-px - qx, -py - qy, -pz - qz))


@njit(cache=True)
def _relax(
    m: Array,
    fields: Array,
    k: float,
    k2: float,
    ky: float,
    step: float,
    tolerance: float,
    most: int,
) -> tuple[Array, int]:
    out = np.empty((fields.shape[0], 3))
    for i in range(fields.shape[0]):
        b = fields[i]
        rest = False
        for _ in range(most):
            s1 = _slope(m, b, k, k2, ky)
            if np.abs(s1).max() < tolerance:
                rest = True
                break
            s2 = _slope(m + step / 2 * s1, b, k, k2, ky)
            s3 = _slope(m + step / 2 * s2, b, k, k2, ky)
            s4 = _slope(m + step * s3, b, k, k2, ky)
            m = m + step / 6 * (s1 + 2 * s2 + 2 * s3 + s4)
            m = m / np.sqrt((m * m).sum())
        if not rest:
            return out, i
        out[i] = m
    return out, -1


def relax(layer: FreeLayer, current_a: Array, start: Array, start_a: float | None = None) -> Array:
    """Follow the free layer through a list of currents, coming to rest at each.

    Args:
        layer: the free layer.
        current_a: field-line currents in the order in which they are applied, A, shape [N].
        start: the unit vector before the first, shape [3].
        start_a: the current at which it was at rest, A; None: the first of the list.

    Returns:
        Unit vectors at rest, shape [N, 3]; at rest means a torque below 1e-10 of the largest field.

    Raises:
        NotAtRestError: no rest within 200,000 steps at one of the currents.
    """
    if not len(current_a):
        return np.empty((0, 3))
    own = layer.k_t + layer.k2_t + layer.hz_t
    path = np.concatenate(([current_a[0] if start_a is None else start_a], current_a))
    step_a = _LEAD * own / layer.field_constant_t_per_a
    steps = np.maximum(1, np.ceil(np.abs(np.diff(path)) / step_a)).astype(np.intp)
    at = np.concatenate(([0], np.cumsum(steps)))
    led = np.interp(np.arange(1, at[-1] + 1), at, path)
    bx, bz = layer.fields_t(led)
    fields = np.zeros((len(led), 3))
    fields[:, 0], fields[:, 2] = bx, bz
    scale = np.abs(fields).max() + own + layer.ky_t
    # A hair out of the plane: a vector exactly on an unstable direction would never leave it.
    m = np.asarray(start, dtype=np.float64) + np.array([0.0, 1e-9, 0.0])
    out, failed = _relax(
        m / np.linalg.norm(m), fields / scale, layer.k_t / scale, layer.k2_t / scale,
        layer.ky_t / scale, 0.5, 1e-10, _STEPS,
    )  # fmt: skip
    if failed >= 0:
        raise NotAtRestError(
            f"the free layer is not at rest after {_STEPS} steps at {led[failed] * 1e3:.4g} mA"
        )
    result: Array = out[at[1:] - 1]
    return result
