"""Rest states in three dimensions where the energy is a square form: k, ky and any field.

A stationary point of E (see :mod:`sim_backend.llg.fields`, k2 = 0) on the unit sphere obeys
m_i = b_i/(λ + d_i) with d = (k, k + ky, 0), less the smallest of the three, and Σ m_i² = 1: the
trust-region problem of optimisation (Moré and Sorensen, SIAM J. Sci. Stat. Comput. 4, 553 (1983)).

- The global minimum is the root with λ >= 0.  1/|m(λ)| is concave, so Newton's method on it rises
  to the root without ever passing it, from λ = max(|b_i| - d_i, |b| - max d).
- The one other minimum there can be is the root in (-d', 0), d' the second smallest d, at which
  |m| rises with λ (Martínez, SIAM J. Optim. 4, 159 (1994)).  It vanishes at the astroid.

Without a field along the easiest axis λ is 0 and the rest of the length goes to that axis, to
either side.  A point's result has the same bits in whatever company it is computed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from sim_backend.llg.fields import Fields
from sim_backend.llg.ranges import ParameterError

Array = NDArray[np.float64]
_TILE = 64
_MOST = 200  # Newton steps; 6 to 8 are usual, a few tens at a cusp or at the astroid
_inline: Any = njit(forceinline=True, fastmath={"contract", "nsz"}, error_model="numpy")


def minimum(fields: Fields, toward: ArrayLike = (1.0, 0.0, 1.0)) -> Array:
    """The global minimum of the energy.

    Args:
        fields: with k2 = 0 and without the read current's torque, shape [...].
        toward: which of several equal minima, the one nearest to this direction: [3] or [..., 3].

    Returns:
        unit vectors, [..., 3].

    Raises:
        ParameterError: there is a term that is no square form.
    """
    out, hard, shape = _minimum(fields)
    if hard.any():
        out[hard] = _side(fields, hard.reshape(shape), toward, 1.0)
    return out.reshape(*shape, 3)


def metastable(
    fields: Fields, toward: ArrayLike = (1.0, 0.0, 1.0)
) -> tuple[Array, NDArray[np.bool_]]:
    """The minimum that is not the global one.

    Args:
        fields: as for :func:`minimum`, shape [...].
        toward: of two equal minima :func:`minimum` gives the one nearest to this, and this
            function the other.

    Returns:
        unit vectors [..., 3], NaN where there is no such minimum, and whether there is, [...].

    Raises:
        ParameterError: there is a term that is no square form.
    """
    kinds, b, shape = _arrays(fields)
    out, state = np.empty_like(b), np.empty(len(b), np.int8)
    _second(*kinds, b, out, state)
    if (state == 2).any():
        at = state == 2
        out[at] = _side(fields, at.reshape(shape), toward, -1.0)
    return out.reshape(*shape, 3), (state > 0).reshape(shape)


def _minimum(fields: Fields) -> tuple[Array, NDArray[np.bool_], tuple[int, ...]]:
    kinds, b, shape = _arrays(fields)
    out, hard = np.empty_like(b), np.empty(len(b), np.bool_)
    _global(*kinds, b, out, hard)
    return out, hard, shape


def _arrays(fields: Fields) -> tuple[tuple[Array, Array], Array, tuple[int, ...]]:
    if np.any(fields.k2_t):
        worst = np.abs(fields.k2_t).max()
        raise ParameterError(f"k2_t is {worst:g} T; the secular equation has none: it must be 0 T")
    if np.any(fields.a_t):
        worst = np.abs(fields.a_t).max()
        raise ParameterError(
            f"a_t is {worst:g} T; the read current's torque is no part of an energy: it must be 0 T"
        )
    shape = fields.shape
    kinds = tuple(
        np.ascontiguousarray(np.broadcast_to(part, shape), np.float64).reshape(-1)
        for part in (fields.k_t, fields.ky_t)
    )
    b = np.ascontiguousarray(np.broadcast_to(fields.b_t, (*shape, 3)), np.float64).reshape(-1, 3)
    return (kinds[0], kinds[1]), b, shape


def _side(fields: Fields, at: NDArray[np.bool_], toward: ArrayLike, sign: float) -> Array:
    """Where no field acts along the easiest directions: the length left goes along ``toward``."""
    part = fields[at]
    d = np.stack((part.k_t, part.k_t + part.ky_t, np.zeros_like(part.k_t)), axis=-1)
    d = d - d.min(axis=-1, keepdims=True)
    easy = d == 0
    m = np.where(easy, 0.0, part.b_t / np.where(easy, 1.0, d))
    full = np.broadcast_to(np.asarray(toward, np.float64), (*at.shape, 3))[at]
    along = np.where(easy, full, 0.0)
    lost = ~along.any(axis=-1)
    along[lost] = np.where(easy[lost], 1.0, 0.0)
    along = along / np.linalg.norm(along, axis=-1, keepdims=True)
    left = np.sqrt(np.maximum(0.0, 1 - (m * m).sum(-1, keepdims=True)))
    result: Array = m + sign * left * along
    return result


@_inline
def _newton(l, d0, d1, d2, p0, p1, p2):  # type: ignore[no-untyped-def]
    """Step of λ towards 1/|m| = 1, and |m|' up to a positive factor; p: squares of the field."""
    r0, r1, r2 = 1 / (l + d0), 1 / (l + d1), 1 / (l + d2)
    s0, s1, s2 = p0 * r0 * r0, p1 * r1 * r1, p2 * r2 * r2
    square = s0 + s1 + s2
    slope = s0 * r0 + s1 * r1 + s2 * r2
    return (np.sqrt(square) - 1) * square / slope, slope


@njit(cache=True, nogil=True, fastmath={"contract", "nsz"}, error_model="numpy")
def _global(k, ky, b, out, hard):  # type: ignore[no-untyped-def]
    """k, ky: [S]; b, out: [S, 3]; hard: [S], no field along the easiest directions."""
    n = k.size
    tile = np.empty(7 * _TILE)  # rows in one array: the compiler sees that they do not overlap
    w = _TILE
    for lo in range(0, n, w):
        size = min(w, n - lo)
        for j in range(w):
            i = lo + min(j, size - 1)
            d0, d1 = k[i], k[i] + ky[i]
            least = min(d0, d1, 0.0)
            d0, d1, d2 = d0 - least, d1 - least, -least
            x, y, z = abs(b[i, 0]), abs(b[i, 1]), abs(b[i, 2])
            start = max(x - d0, y - d1, z - d2, np.sqrt(x * x + y * y + z * z) - max(d0, d1, d2))
            tile[j], tile[w + j], tile[2 * w + j] = d0, d1, d2
            tile[3 * w + j], tile[4 * w + j], tile[5 * w + j] = x * x, y * y, z * z
            if not start > 0:
                # No field along the easiest directions; λ > 0 only if the others ask for more.
                s = 0.0
                s += (x / d0) ** 2 if d0 > 0 else 0.0
                s += (y / d1) ** 2 if d1 > 0 else 0.0
                s += (z / d2) ** 2 if d2 > 0 else 0.0
                start = 1e-14 * max(d0, d1, d2) if s > 1 + 1e-13 else 0.0
            if start == 0:  # settled outside; any regular numbers do here
                tile[j] = tile[w + j] = tile[2 * w + j] = 0.0
                tile[3 * w + j] = tile[4 * w + j] = 0.0
                tile[5 * w + j] = 1.0
                start = -1.0
            tile[6 * w + j] = start
        for j in range(size):
            hard[lo + j] = tile[6 * w + j] < 0
        for j in range(w):
            tile[6 * w + j] = abs(tile[6 * w + j])
        for _ in range(_MOST):
            moving = 0
            for j in range(w):
                l = tile[6 * w + j]
                step, _slope = _newton(
                    l, tile[j], tile[w + j], tile[2 * w + j], tile[3 * w + j], tile[4 * w + j],
                    tile[5 * w + j],
                )  # fmt: skip
                # A step too small to count is never taken, so the neighbours do not matter.
                more = step > 4e-16 * l
                tile[6 * w + j] = l + step if more else l
                moving += 1 if more else 0
            if moving == 0:
                break
        for j in range(size):
            i, l = lo + j, tile[6 * w + j]
            x = b[i, 0] / (l + tile[j])
            y = b[i, 1] / (l + tile[w + j])
            z = b[i, 2] / (l + tile[2 * w + j])
            f = 1 / np.sqrt(x * x + y * y + z * z) if not hard[i] else 0.0
            out[i, 0], out[i, 1], out[i, 2] = x * f, y * f, z * f


@njit(cache=True, nogil=True, fastmath={"contract", "nsz"}, error_model="numpy")
def _second(k, ky, b, out, state):  # type: ignore[no-untyped-def]
    """state: [S], 0: no second minimum, 1: found, 2: the mirror image of the global one."""
    for i in range(k.size):
        d0, d1 = k[i], k[i] + ky[i]
        least = min(d0, d1, 0.0)
        d0, d1, d2 = d0 - least, d1 - least, -least
        x, y, z = b[i, 0], b[i, 1], b[i, 2]
        if d0 == 0:
            (
                easy,
                next_,
            ) = abs(x), min(d1, d2)
        elif d1 == 0:
            easy, next_ = abs(y), min(d0, d2)
        else:
            easy, next_ = abs(z), min(d0, d1)
        out[i, :] = np.nan
        state[i] = 0
        if next_ == 0:
            continue
        if easy == 0:
            s = 0.0
            s += (x / d0) ** 2 if d0 > 0 else 0.0
            s += (y / d1) ** 2 if d1 > 0 else 0.0
            s += (z / d2) ** 2 if d2 > 0 else 0.0
            state[i] = 2 if s < 1 else 0
            continue
        l = -easy  # |m| >= 1 here; the root is below
        found = False
        for _ in range(_MOST):
            if l <= -next_:
                break
            step, slope = _newton(l, d0, d1, d2, x * x, y * y, z * z)
            if slope >= 0:  # |m| no longer falls on the way down: it stays above 1
                break
            if not step < 4e-16 * l:
                found = True
                break
            l += step
        if found:
            p, q, r = x / (l + d0), y / (l + d1), z / (l + d2)
            f = 1 / np.sqrt(p * p + q * q + r * r)
            out[i, 0], out[i, 1], out[i, 2] = p * f, q * f, r * f
            state[i] = 1
