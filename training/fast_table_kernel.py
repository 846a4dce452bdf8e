"""Compiled code of tabulated activations: one pass over the memory gives activation and gradient.

A tile of :data:`TILE` elements stays in the first-level cache while it is looked up and while noise
and spread are put on it.  Every element is worked on alike, so the result does not depend on the
tiles.  A value that is not a number stays one; an infinite one is clamped like any other.  All
compiled functions are in this one file, since numba's cache looks at nothing else for changes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

#: elements of a tile
TILE = 1024
#: what an effect acts on: pre-activation of the activation and of the gradient, and both results
X_OF_Y, X_OF_G, X_OF_BOTH, Y, G = 1, 2, 3, 4, 8

_options: Any = {"fastmath": {"contract", "nsz"}, "error_model": "numpy"}
_inline: Any = njit(forceinline=True, **_options)


@_inline
def _place(u, k, scale, shift, last):  # type: ignore[no-untyped-def]
    """Cell of u[k] and place in it; the comparisons are such that NaN has a cell, 0."""
    zero = u.dtype.type(0)
    t = u[k] * scale + shift
    t = last if t > last else t
    t = zero if t < zero else t
    i = np.int32(t if t > zero else zero)
    return i, t - u.dtype.type(i)


@_inline
def _read(u, out, column, tables, scale, shift, owner, at):  # type: ignore[no-untyped-def]
    """One result of a tile: column 0 is the activation, column 2 the gradient."""
    last = u.dtype.type(tables.shape[1] - 1)
    for k in range(len(u)):
        j = owner[at + k] if len(owner) else 0
        i, f = _place(u, k, scale[j], shift[j], last)
        out[k] = tables[j, i, column] + f * tables[j, i, column + 1]


@_inline
def _read_both(u, y, g, tables, scale, shift, owner, at):  # type: ignore[no-untyped-def]
    """Both results of a tile, with one place for both."""
    last = u.dtype.type(tables.shape[1] - 1)
    if len(owner):
        for k in range(len(u)):
            j = owner[at + k]
            i, f = _place(u, k, scale[j], shift[j], last)
            y[k] = tables[j, i, 0] + f * tables[j, i, 1]
            g[k] = tables[j, i, 2] + f * tables[j, i, 3]
    else:
        table, a, b = tables[0], scale[0], shift[0]
        for k in range(len(u)):
            i, f = _place(u, k, a, b, last)
            y[k] = table[i, 0] + f * table[i, 1]
            g[k] = table[i, 2] + f * table[i, 3]


@_inline
def _put(out, multiply, amount, values):  # type: ignore[no-untyped-def]
    """out + amount·values, or out·(1 + amount·values)."""
    if multiply:
        for k in range(len(out)):
            out[k] += out[k] * (amount * values[k])
    else:
        for k in range(len(out)):
            out[k] += amount * values[k]


@_inline
def _slice(pool, start, m):  # type: ignore[no-untyped-def]
    """m numbers of the pool from ``start`` on, which may lie beyond its end."""
    start %= len(pool) - TILE
    return pool[start : start + m]


_outer: Any = njit(cache=True, nogil=True, **_options)


@_outer
def look_up(  # type: ignore[no-untyped-def]
    x, y, g, tables, scale, shift, owner, period, pool, vectors, which, amount
):
    """Activations (and gradients) of x, in the order of the memory.

    Args:
        x, y, g: pre-activations and results, [N] each; g empty: it is not wanted.
        tables: activation, its rise to the next node, gradient, its rise; [T, nodes, 4].
        scale, shift: x·scale + shift is the place on the grid, [T].
        owner: table of each element of a sample, [period + TILE], going on periodically; empty: all
            have the first.
        period: elements of a sample.
        pool: normal numbers, [P + TILE], going on periodically.
        vectors: normal numbers of the elements of a sample, [V, period + TILE], likewise.
        which: for each effect what it acts on, whether it multiplies, its row of ``vectors`` (-1:
            the pool) and where in the pool it starts, [E, 4].
        amount: of each effect, [E].
    """
    a, b = np.empty(TILE, x.dtype), np.empty(TILE, x.dtype)
    at_input = apart = False
    for e in range(len(which)):
        at_input |= which[e, 0] < Y
        apart |= which[e, 0] < X_OF_BOTH
    for s in range(0, len(x), TILE):
        m = min(TILE, len(x) - s)
        at = s % period
        to_y, to_g = x[s : s + m], x[s : s + m]
        if at_input:
            to_y = a[:m]
            to_y[:] = x[s : s + m]
        if apart:
            to_g = b[:m]
            to_g[:] = x[s : s + m]
        for turn in range(2):  # the effects before the look-up, and those after it
            if turn == 1:
                if not len(g):
                    _read(to_y, y[s : s + m], 0, tables, scale, shift, owner, at)
                elif apart:
                    _read(to_y, y[s : s + m], 0, tables, scale, shift, owner, at)
                    _read(to_g, g[s : s + m], 2, tables, scale, shift, owner, at)
                else:
                    _read_both(to_y, y[s : s + m], g[s : s + m], tables, scale, shift, owner, at)
                to_y, to_g = y[s : s + m], g[s : s + m]
            for e in range(len(which)):
                on, multiply, row, start = which[e]
                if (on < Y) != (turn == 0):
                    continue
                values = vectors[row, at : at + m] if row >= 0 else _slice(pool, start + s, m)
                if on & (X_OF_Y | Y):
                    _put(to_y, multiply, amount[e], values)
                if len(to_g) and (on & G or (apart and on & X_OF_G)):
                    _put(to_g, multiply, amount[e], values)
