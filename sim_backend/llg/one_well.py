"""Where the planar law has one well, and the refusal of what it does not hold for.

The law k u + k2 u³ + B_z u/sqrt(1 - u²) = B_x has one root for every B_x where its left side rises
with u.  Its slope times (1 - u²)^1.5 is, with q = u² in [0, 1]::

    (k + 3 k2 q)(1 - q)^1.5 + B_z

k + B_z at the one end and B_z at the other; for k2 < 0 it is least at q = (2 k2 - k)/(5 k2), if
that lies between them.  A field along y, or ky < 0, takes the layer out of the plane.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sim_backend.llg.fields import Fields

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
#: least slope of the law, of k, at which one well is told from two
LEAST = 0.02
#: field along y, of the largest field, that still counts as none
_ACROSS = 1e-9
_INSTEAD = "physics: wells or physics: llg"


class NoEquilibriumError(ValueError):
    """The planar law has no single well here."""


def has_one_well(fields: Fields, least: float = LEAST) -> Flags:
    """Where the planar law holds and has its one well, [...] of the fields' shape: no field along
    y, ky >= 0, and a slope above 0 that is nowhere below ``least`` of k.

    ``equilibrium.mean`` needs it with the default, ``equilibrium.rest`` with 0.
    """
    k, k2, bz = (np.asarray(part) for part in (fields.k_t, fields.k2_t, fields.b_t[..., 2]))
    bad = _leaves(fields.b_t[..., 1], fields.largest_t) | np.asarray(fields.ky_t < 0)
    bad = bad | _ends(k, bz, least) | _falls(k, k2, bz, least)
    return ~np.broadcast_to(bad, fields.shape)


def check(fields: Fields, least: float) -> None:
    """Refuse fields where :func:`has_one_well` is not true of all.

    Raises:
        NoEquilibriumError: one sentence with the field, its value, and what to use instead.
    """
    b_y, bz = fields.b_t[..., 1], fields.b_t[..., 2]
    scale = np.asarray(fields.largest_t if b_y.any() else 0.0)
    k, k2, ky = (np.asarray(part) for part in (fields.k_t, fields.k2_t, fields.ky_t))
    refuse(k, k2, ky, b_y, bz, scale, least)


def refuse(
    k: Array, k2: Array, ky: Array, b_y: Array, bz: Array, scale_t: Array, least: float
) -> None:
    """:func:`check` for fields in T whose shapes broadcast; ``scale_t``: the largest of them."""
    if (bad := _leaves(b_y, scale_t)).any():
        worst = np.abs(np.broadcast_to(b_y, bad.shape)[bad]).max()
        raise NoEquilibriumError(
            f"the field along y is {worst * 1e3:.3g} mT, and the planar equilibrium takes none; "
            f"use {_INSTEAD}"
        )
    if (ky < 0).any():
        raise NoEquilibriumError(
            f"ky_t is {ky.min() * 1e3:.3g} mT, and the planar equilibrium takes 0 or more; "
            f"use {_INSTEAD}"
        )
    if (bad := _ends(k, bz, least)).any():
        worst = np.broadcast_to(bz, bad.shape)[bad].min()
        raise NoEquilibriumError(
            f"the field along z falls to {worst * 1e3:.3g} mT, where the planar equilibrium has "
            f"no single well; use a larger hz_t, a smaller tilt_rad, {_INSTEAD}"
        )
    if (bad := _falls(k, k2, bz, least)).any():
        worst = np.broadcast_to(k2, bad.shape)[bad].min()
        raise NoEquilibriumError(
            f"k2_t is {worst * 1e3:.3g} mT, so far below 0 that the planar equilibrium has no "
            f"single well; use a larger k2_t or hz_t, {_INSTEAD}"
        )


def _leaves(b_y: Array, scale_t: Array) -> Flags:
    return np.asarray(np.abs(b_y) > _ACROSS * scale_t)


def _ends(k: Array, bz: Array, least: float) -> Flags:
    """Where one of the law's ends does not rise."""
    return np.asarray((bz <= 0) | (bz < least * k) | (k + bz <= 0))


def _falls(k: Array, k2: Array, bz: Array, least: float) -> Flags:
    """Where k2 < 0 makes the law fall between its ends."""
    if not (k2 < 0).any():
        return np.zeros((), bool)
    below = np.minimum(k2, -1e-300)  # no 0 to divide by
    q = np.clip((2 * below - k) / (5 * below), 0, 1)
    slope = (k + 3 * below * q) * (1 - q) ** 1.5 + bz
    return np.asarray((k2 < 0) & ((slope <= 0) | (slope < least * k)))
