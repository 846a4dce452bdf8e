"""What one free layer feels, in tesla: the numbers that every path to a rest state works on.

Energy per moment of the unit vector m, x along the field line's field and z out of the plane::

    E(m) = -k/2 m_z² + k2/4 (1 - m_z²)² + ky/2 m_y² - b·m

The damping-like torque of the read current is no part of an energy: the field ``a`` drives m
towards the direction it points to, ṁ = … - γ m×(m×a).  Field-like torque and stray fields are
in ``b``, voltage control of anisotropy and heating in ``k``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Fields:
    """Fields on free layers; all shapes broadcast against each other.

    Args:
        k_t: perpendicular anisotropy less demagnetisation, first order, T, [...].
        k2_t: second order, T, [...].
        ky_t: extra hard axis in the plane, T, [...].
        b_t: field, T, [..., 3].
        a_t: damping-like torque of the read current, T, [..., 3].
        thermal_t: kT/(Ms V), what one kT is worth in E, T, [...].
        alpha: Gilbert damping, [...].
    """

    k_t: Array
    k2_t: Array
    ky_t: Array
    b_t: Array
    a_t: Array
    thermal_t: Array
    alpha: Array

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape that all of them broadcast to."""
        scalars = (self.k_t, self.k2_t, self.ky_t, self.thermal_t, self.alpha)
        vectors = (self.b_t[..., 0], self.a_t[..., 0])
        return np.broadcast_shapes(*(np.shape(part) for part in (*scalars, *vectors)))

    def __getitem__(self, at: Any) -> Fields:
        """The fields at some places of ``shape``; the vectors keep their last axis."""
        shape = self.shape

        def scalar(part: Array) -> Array:
            return np.asarray(np.broadcast_to(part, shape)[at])

        def vector(part: Array) -> Array:
            full = np.broadcast_to(part, (*shape, 3))
            return np.stack([np.asarray(full[..., i][at]) for i in range(3)], axis=-1)

        return Fields(
            scalar(self.k_t), scalar(self.k2_t), scalar(self.ky_t), vector(self.b_t),
            vector(self.a_t), scalar(self.thermal_t), scalar(self.alpha),
        )  # fmt: skip

    def energy_t(self, m: Array) -> Array:
        """E at unit vectors m [..., 3], T, [...]."""
        y, z = m[..., 1], m[..., 2]
        own = -self.k_t / 2 * z**2 + self.k2_t / 4 * (1 - z**2) ** 2 + self.ky_t / 2 * y**2
        result: Array = own - (self.b_t * m).sum(-1)
        return result

    def field_t(self, m: Array) -> Array:
        """The effective field -∂E/∂m at m [..., 3], T, [..., 3]."""
        out: Array = np.array(
            np.broadcast_to(self.b_t, np.broadcast_shapes(m.shape, self.b_t.shape))
        )
        y, z = m[..., 1], m[..., 2]
        out[..., 1] -= self.ky_t * y
        out[..., 2] += self.k_t * z + self.k2_t * z * (1 - z**2)
        return out

    @property
    def largest_t(self) -> Array:
        """A bound of all of them together, T, [...]: the scale of torques and of steps."""
        own = np.abs(self.k_t) + 3 * np.abs(self.k2_t) + np.abs(self.ky_t)
        result: Array = own + np.linalg.norm(self.b_t, axis=-1) + np.linalg.norm(self.a_t, axis=-1)
        return result
