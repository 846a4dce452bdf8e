"""Exact gradients of the model: how a rest state, or a thermal average, follows its parameters.

Planar law, T = 0.  h = k u + k2 u³ + hz tan θ with u = m_x = sin θ, differentiated::

    dm_x/dh = c³ / (hz + k c³ + 3 k2 c³ (1 - c²)),   c = m_z = cos θ

Rest states on the sphere.  At rest m × (B(m) + m×a) = 0.  With the projection P = 1 - m mᵀ, the
change of the field with the vector B' = ∂B/∂m and λ = m·B, a small change of the field b gives
(implicit function theorem on the sphere)::

    dm/db = χ = H⁻¹ on the tangent plane,   H = λ P - P B' P + (m·a) [m]×

Without torque H is the second derivative of the energy along the sphere, and χ is symmetric
(Onsager, Phys. Rev. 37, 405 (1931)); the torque adds the antisymmetric part.  All other parameters
act through the field that they make: dm/da = χ [m]×, dm/dk = χ m_z e_z, and so on.

Thermal averages over the whole sphere, without torque, by differentiating Boltzmann's weight (the
static fluctuation theorem; Kubo, Rep. Prog. Phys. 29, 255 (1966))::

    d<m_i>/db_j = (<m_i m_j> - <m_i><m_j>) / (kT/Ms V)

Gradients with torch are in :mod:`sim_backend.llg.gradient_torch`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim_backend.llg.ensemble import Ensemble
from sim_backend.llg.fields import Fields
from sim_backend.llg.response import planar_slope

Array = NDArray[np.float64]
#: torque, of the largest field, that still counts as rest
REST = 1e-6
#: least product of both curvatures, of the largest field's square, that has an inverse
LEAST = 1e-9


class NoGradientError(ValueError):
    """The vector is not at rest, or the rest state ends or branches here."""


def planar_slopes(m_x: ArrayLike, m_z: ArrayLike, k_t: float, hz_t: float, k2_t: float) -> Array:
    """(dm_x/dh, dm_z/dh) of the planar law from both readings, 1/T, [..., 2].

    The readings may be noisy: their angle counts alone, atan2(m_x, m_z), so that neither has to
    have length 1 with the other.  Beyond the plane, m_z < 0, the law has no such state, and the
    slopes are those at its end, 0.
    """
    m_x, m_z = np.asarray(m_x, np.float64), np.asarray(m_z, np.float64)
    angle = np.arctan2(m_x, m_z)
    c = np.where(m_z <= 0, 0.0, np.cos(angle))
    slope = planar_slope(c, k_t, hz_t, k2_t)
    # dm_z/dh = -(m_x/m_z) dm_x/dh, with one m_z of the slope's three taken out.
    across = -np.sin(angle) * c**2 / (hz_t + k_t * c**3 + 3 * k2_t * c**3 * (1 - c**2))
    return np.stack(np.broadcast_arrays(slope, across), axis=-1)


def _cross(v: Array) -> Array:
    """[v]×, the matrix of the cross product v × ·, [..., 3, 3]."""
    out = np.zeros((*v.shape, 3))
    for i, j, k in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        out[..., i, j], out[..., j, i] = -v[..., k], v[..., k]
    return out


def stiffness_t(fields: Fields, m: Array) -> Array:
    """H of the module's text at unit vectors m [..., 3], T, [..., 3, 3]; H m = 0.

    Without torque: the energy's second derivative along the sphere, whose positive eigenvalues
    make a minimum.
    """
    shape = np.broadcast_shapes(fields.shape, m.shape[:-1])
    m = np.broadcast_to(m, (*shape, 3))
    z = m[..., 2]
    own = np.zeros((*shape, 3, 3))
    own[..., 1, 1] = -fields.ky_t
    own[..., 2, 2] = fields.k_t + fields.k2_t * (1 - 3 * z**2)
    p = np.eye(3) - m[..., :, None] * m[..., None, :]
    along = (fields.field_t(m) * m).sum(-1)[..., None, None]
    torque = (fields.a_t * m).sum(-1)[..., None, None]
    result: Array = along * p - p @ own @ p + torque * _cross(m)
    return result


def susceptibility_per_t(fields: Fields, m: Array) -> Array:
    """χ_ij = dm_i/db_j of rest states m [..., 3], 1/T, [..., 3, 3].

    Raises:
        NoGradientError: a vector is not at rest (torque above REST of the largest field), or its
            state ends or branches here.
    """
    shape = np.broadcast_shapes(fields.shape, m.shape[:-1])
    m = np.broadcast_to(m, (*shape, 3))
    scale = np.broadcast_to(fields.largest_t, shape)
    torque = np.linalg.norm(np.cross(m, fields.field_t(m) + np.cross(m, fields.a_t)), axis=-1)
    _refuse(torque > REST * scale, m, "is not at rest")
    h = stiffness_t(fields, m)
    # The plane's determinant is that of the whole with 1 (times scale) along m.
    along = m[..., :, None] * m[..., None, :]
    whole = h + scale[..., None, None] * along
    _refuse(
        ~(np.abs(np.linalg.det(whole)) > LEAST * scale**3), m,
        "is where its state ends or branches, without a derivative",
    )  # fmt: skip
    result: Array = np.linalg.inv(whole) - along / scale[..., None, None]
    return result


def _refuse(bad: NDArray[np.bool_], m: Array, text: str) -> None:
    if bad.any():
        at = tuple(np.argwhere(bad)[0])
        place = f" at index {', '.join(str(int(i)) for i in at)}" if at else ""
        raise NoGradientError(f"m{place} is {m[at].round(6).tolist()}, which {text}")


def derivative(fields: Fields, m: Array, change: Fields) -> Array:
    """dm/dp of rest states m [..., 3] for any parameter p, [..., 3], per unit of p.

    Args:
        fields: the fields at p.
        m: rest states.
        change: their derivatives with respect to p, T per unit of p (``thermal_t`` and ``alpha``
            do not move a rest state).  ``only`` makes one with zeros for the rest.

    Raises:
        NoGradientError: as :func:`susceptibility_per_t`.
    """
    # The field that the change makes at m.
    made = change.field_t(m) + np.cross(m, change.a_t)
    result: Array = np.einsum("...ij,...j->...i", susceptibility_per_t(fields, m), made)
    return result


def only(
    k: ArrayLike = 0.0, k2: ArrayLike = 0.0, ky: ArrayLike = 0.0,
    b: ArrayLike = (0.0, 0.0, 0.0), a: ArrayLike = (0.0, 0.0, 0.0),
) -> Fields:  # fmt: skip
    """Derivatives of fields with respect to one parameter; those not named are zero.

    ``only(k=1)`` is for k itself, ``only(b=(0, 0, 1))`` for hz.
    """
    k, k2, ky, b, a = (np.asarray(part, np.float64) for part in (k, k2, ky, b, a))
    return Fields(k, k2, ky, b, a, np.zeros(()), np.zeros(()))


def slope_per_a(junctions: Ensemble, current_a: ArrayLike, m: Array) -> Array:
    """dm/dI of rest states m [N, P, 3] at field-line currents I [P], 1/A, [N, P, 3].

    The field follows the current, and k the line's heat.

    Raises:
        NoGradientError: as :func:`susceptibility_per_t`.
    """
    current = np.asarray(current_a, np.float64)
    change = only(
        k=2 * junctions.array("k_per_a2_t")[:, None] * current,
        b=junctions.line_field_t(np.ones(1)),
    )
    return derivative(junctions.fields(current), m, change)


def thermal_susceptibility_per_t(mean: Array, squares: Array, thermal_t: ArrayLike) -> Array:
    """d<m_i>/db_j of averages over the whole sphere without torque, 1/T, [..., 3, 3].

    Args:
        mean: <m>, [..., 3].
        squares: <xx>, <yy>, <zz>, <xy>, <xz>, <yz>, [..., 6].
        thermal_t: kT/(Ms V), T, [...]: above 0.
    """
    at = np.array([[0, 3, 4], [3, 1, 5], [4, 5, 2]])
    moved = squares[..., at] - mean[..., :, None] * mean[..., None, :]
    result: Array = moved / np.asarray(thermal_t)[..., None, None]
    return result
