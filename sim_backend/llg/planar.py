"""Compiled code of the planar rest state: many points at once, without a transcendental function.

The law k u + k2 u³ + B_z s = B_x with u = s/sqrt(1 + s²), s = tan θ, of
:mod:`sim_backend.llg.equilibrium`, by Halley's method (third order) in s.  The start is the smaller
of two upper estimates and the larger of two others: s = B_x/B_z; B_x/(k + B_z + k2); and, from
u = 1 - 1/2s² near and beyond the kink, the hyperbola through the root of B_z s - A/2s² = D,
A = k + 3 k2, D = B_x - k - k2.  Three steps in single precision leave a relative error of
some 1e-6, the fourth in double precision takes it to round-off.  Points whose last step is larger
than that explains (hz below some 0.02 k, k < 0, k2 < 0) are done again one by one, by Newton's
method within a bracket.

Tiles of WIDTH points, rows in the first-level cache, as in :mod:`sim_backend.llg.kernel`; a tile is
always worked on in full, so results do not depend on threads or chunks.  All compiled functions are
in this one file, since numba's cache looks at nothing else for changes.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

#: points of a tile
WIDTH = 256
#: rows of the table of junctions, in this order: fields in T, T/A and T/A², at no current and more
ROWS = (
    "k", "k_per_a2", "k2", "ky", "bx", "bx_per_a", "bz", "bz_per_a", "thermal", "thermal_per_a2",
)  # fmt: skip
#: largest last step, relative: what is left is its third power, times some tens
_LAST = 1e-5
#: beyond this s the start is as good as single precision
_FAR = 1000.0

_STRICT: Any = {"contract", "nsz"}
_inline: Any = njit(forceinline=True, fastmath=_STRICT, error_model="numpy")
_outer: Any = njit(cache=True, nogil=True, fastmath=_STRICT, error_model="numpy")
_THIRD, _HALF_TO_A_THIRD = np.float32(1 / 3), np.float32(1065353216 - 2796203)


@_inline
def _halley(s, h, k, k2, bz, one):  # type: ignore[no-untyped-def]
    """Numerator and denominator of Halley's step 2 f f'/(2 f'² - f f'') at s, and sqrt(1 + s²).

    f, f', f'' come multiplied by powers of n = 1 + s², so that one division is left.  ``one`` has
    the precision to work in.
    """
    ss = s * s
    n = one + ss
    r = math.sqrt(n)
    three = one + one + one
    rn = r * n
    f = (k * n + k2 * ss) * s + (bz * s - h) * rn
    steep = k * n + three * k2 * ss
    f1 = steep + bz * (rn * n)
    f2 = three * s * (k2 + k2 - steep)
    return (f + f) * (f1 * n), (f1 + f1) * f1 - f * f2, r


@_inline
def _guess(h, k, k2, bz):  # type: ignore[no-untyped-def]
    """Where to start, all in single precision."""
    four, half = np.float32(4), np.float32(0.5)
    a, least = k + np.float32(3) * k2, np.float32(1e-3) * bz
    a = a if a > least else least
    # Cube root of a/2 bz by a third of the exponents' difference, right to some per cent.
    bits = np.float32(np.float32(a).view(np.int32)) - np.float32(np.float32(bz).view(np.int32))
    width = np.int32(bits * _THIRD + _HALF_TO_A_THIRD).view(np.float32)
    all_t = k + bz + k2
    each = bz * width
    inverse = np.float32(1) / (each * all_t)
    d = (h - k - k2) * (inverse * all_t)
    s = half * width * (d + math.sqrt(d * d + four))
    low, top = h * (inverse * each), h * (inverse * all_t * width)
    s = s if s > low else low
    return s if s < top else top


@njit(cache=True)
def _bracketed(h, k, k2, bz):  # type: ignore[no-untyped-def]
    """The root s >= 0 for h >= 0 by Newton's method within a bracket; NaN of NaN."""
    low, high = 0.0, (h + abs(k) + abs(k2)) / bz
    s = h / bz
    s = s if s <= high else high
    for _ in range(300):
        c2 = 1 / (1 + s * s)
        c = math.sqrt(c2)
        u = s * c
        f = (k + k2 * u * u) * u + (bz * s - h)
        if f == 0:
            break
        if f < 0:
            low = s
        else:
            high = s
        slope = (k + 3 * k2 * u * u) * c2 * c + bz
        new = s - f / slope if slope > 0 else high
        if not low < new < high:
            new = (low + high) / 2
        if abs(new - s) <= 1e-16 * s or high - low <= 2e-16 * high:
            s = new
            break
        s = new
    return s


@_inline
def _warm(x, z, k, k2, ky, bx, bz, t):  # type: ignore[no-untyped-def]
    """Mean vector in the well around (x, 0, z), to first order in kT; see ``equilibrium.mean``."""
    xx, zz = x * x, z * z
    along, across = bx * x + bz * z, bx * z - bz * x
    aa = k * (zz - xx) + k2 * (3 * zz - xx) * xx + along
    bb = (k + k2 * xx) * zz + ky + along
    aaa = (k2 * (6 * zz - 10 * xx) - 4 * k) * (x * z) + across
    abb = (k2 * (2 * zz - 2 * xx) - 2 * k) * (x * z) + across
    a2, b2 = t / aa, t / bb
    length = 1 - (a2 + b2) / 2
    shift = -(aaa * a2 + abb * b2) / (2 * aa)
    return x * length + z * shift, z * length - x * shift


@_outer
def _tile(s, g, warm):  # type: ignore[no-untyped-def]
    """One tile.

    s: float64, rows 0 B_x, 1 B_z, 2 k, 3 k2, 4 ky, 5 kT/(Ms V); the answer goes to 6 m_x, 7 m_z.
    g: float32, five rows.  warm: the mean over thermal motion.
    """
    w = WIDTH
    one, far, none = np.float32(1), np.float32(_FAR), np.float32(0)
    for j in range(w):
        g[w + j], g[2 * w + j] = np.float32(abs(s[j])), np.float32(s[w + j])
        g[3 * w + j], g[4 * w + j] = np.float32(s[2 * w + j]), np.float32(s[3 * w + j])
    for j in range(w):
        g[j] = _guess(g[w + j], g[3 * w + j], g[4 * w + j], g[2 * w + j])
    for _ in range(3):
        for j in range(w):
            x = g[j]
            at = x if x < far else far
            up, down, _ = _halley(
                at, g[w + j], g[3 * w + j], g[4 * w + j], g[2 * w + j], one
            )  # fmt: skip
            step = up / down
            step = step if x < far else none
            g[j] = x - step
    bad = 0
    for j in range(w):
        x = np.float64(g[j])
        up, down, r = _halley(x, abs(s[j]), s[2 * w + j], s[3 * w + j], s[w + j], 1.0)
        inverse = 1 / (r * down)
        step, c = up * (inverse * r), inverse * down
        bad += not abs(step) <= _LAST * x
        # 1/sqrt(1 + s²) after the step, by its series in the small change e of 1 + s².
        e = step * (step - 2 * x) * (c * c)
        z = c * (1 + e * (-0.5 + e * (0.375 - e * 0.3125)))
        s[6 * w + j] = math.copysign((x - step) * z, s[j])
        s[7 * w + j] = z
    if bad:
        for j in range(w):
            h, x = abs(s[j]), np.float64(g[j])
            up, down, _ = _halley(x, h, s[2 * w + j], s[3 * w + j], s[w + j], 1.0)
            if not abs(up / down) <= _LAST * x:
                x = _bracketed(h, s[2 * w + j], s[3 * w + j], s[w + j])
                z = 1 / math.sqrt(1 + x * x)
                s[6 * w + j] = math.copysign(x * z, s[j])
                s[7 * w + j] = z
    if warm:
        for j in range(w):
            s[6 * w + j], s[7 * w + j] = _warm(
                s[6 * w + j], s[7 * w + j], s[2 * w + j], s[3 * w + j], s[4 * w + j],
                s[j], s[w + j], s[5 * w + j],
            )  # fmt: skip


@_inline
def _rows():  # type: ignore[no-untyped-def]
    """Scratch arrays of a tile, each from a line of the cache on."""
    s = np.empty(8 * WIDTH + 8, np.float64)
    at = (-s.ctypes.data % 64) // 8
    g = np.empty(5 * WIDTH + 16, np.float32)
    to = (-g.ctypes.data % 64) // 4
    return s[at : at + 8 * WIDTH], g[to : to + 5 * WIDTH]


@_outer
def at_points(rows, x, z, first, last):  # type: ignore[no-untyped-def]
    """m_x and m_z of the points ``first`` to ``last`` into x and z, [S].

    rows: float64, [4, S] B_x, B_z, k, k2; or [6, S], with ky and kT/(Ms V), for the mean over the
    thermal motion.
    """
    w = WIDTH
    s, g = _rows()
    for lo in range(first, last, w):
        size = min(w, last - lo)
        for r in range(rows.shape[0]):
            at = r * w
            s[at : at + size] = rows[r, lo : lo + size]
            s[at + size : at + w] = rows[r, lo + size - 1]
        _tile(s, g, rows.shape[0] == 6)
        x[lo : lo + size] = s[6 * w : 6 * w + size]
        z[lo : lo + size] = s[7 * w : 7 * w + size]


@_inline
def _line(row, current, fixed, per_a, per_a2):  # type: ignore[no-untyped-def]
    """fixed + per_a I + per_a2 I² into a row; slices and single rows make vector instructions."""
    for j in range(row.size):
        i = current[j]
        row[j] = fixed + i * (per_a + per_a2 * i)


@_outer
def on_grid(table, current, x, z, warm, first, last):  # type: ignore[no-untyped-def]
    """m_x and m_z of the numbers ``first`` to ``last`` of junctions x points, into x and z.

    x, z: [junctions x points].  table: [len(ROWS), junctions] float64.  current: [points] float64,
    A.  Work on parts of the grid may go on at the same time.
    """
    w, points = WIDTH, current.size
    s, g = _rows()
    device, point = first // points, first % points
    for lo in range(first, last, w):
        done = 0
        while done < w:
            many = min(w - done, points - point)
            d = min(device, table.shape[1] - 1)  # a last tile is filled up with the last junction
            i = current[point : point + many]
            to, end = done, done + many
            _line(s[to:end], i, table[4, d], table[5, d], 0.0)
            _line(s[w + to : w + end], i, table[6, d], table[7, d], 0.0)
            _line(s[2 * w + to : 2 * w + end], i, table[0, d], 0.0, table[1, d])
            _line(s[3 * w + to : 3 * w + end], i, table[2, d], 0.0, 0.0)
            if warm:
                _line(s[4 * w + to : 4 * w + end], i, table[3, d], 0.0, 0.0)
                _line(s[5 * w + to : 5 * w + end], i, table[8, d], 0.0, table[9, d])
            done, point = done + many, point + many
            if point == points:
                device, point = device + 1, 0
        _tile(s, g, warm)
        size = min(w, last - lo)
        x[lo : lo + size] = s[6 * w : 6 * w + size]
        z[lo : lo + size] = s[7 * w : 7 * w + size]
