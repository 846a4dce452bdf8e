"""Compiled code of the equation of motion: one step, its noise, and the loops over many spins.

With the effective field B = -∂E/∂m of :mod:`sim_backend.llg.model`, the torque field A = Σ a p of
the read current (a > 0 drives m towards the direction p) and the field-like part inside B, the
Landau-Lifshitz-Gilbert-Slonczewski equation ṁ = -γ m×B + α m×ṁ - γ m×(m×A) solved for ṁ is

    w = α B + A,   v = (B - α A) + m×w,   ṁ = -γ/(1+α²) m×v

(Slonczewski, J. Magn. Magn. Mater. 159, L1 (1996)).  Here every field comes multiplied by
γ dt/(1+α²), so a slope is the change over one step.  Fourth-order Runge-Kutta with a fixed step;
the thermal field stays the same within a step, and the length is mended by m (3 - |m|²)/2, the
Newton step to 1.

Layout: a *spin* is one junction at one field point; its index is junction x points + point.  Tiles
of WIDTH spins live in one flat scratch array in the first-level cache, one row a quantity, so that
the loop over a tile becomes vector instructions (the compiler sees that rows never overlap, because
their distance is a constant).  A step takes two loops, since short chains of dependent instructions
keep a core busier than long ones.  A tile is always worked on in full: the last one is filled up
with copies of the last spin, so every spin meets the same instructions wherever it stands.
Multiply and add may be contracted, but nothing may be re-ordered: results do not depend on
threads, tiles or chunks.

All compiled functions are in this one file, since numba's cache looks at nothing else for changes.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit, prange, types
from numba.extending import intrinsic

#: spins of a tile; a multiple of 64
WIDTH = 64
#: rows of the table of junctions, in this order; fields times γ dt/(1+α²), dimensionless.  The
#: line warms the junction: k + k_per_a2 I², σ² = variance + variance_per_a2 I²; σ: noise's unit
ROWS = (
    "alpha", "k", "k2", "ky", "bx", "by", "bz", "bx_per_a", "bz_per_a", "ax", "ay", "az",
    "variance", "k_per_a2", "variance_per_a2",
)  # fmt: skip
#: after so many steps the running sums move to double precision
_FLUSH = 64

_STRICT: Any = {"contract", "nsz"}
_inline: Any = njit(forceinline=True, fastmath=_STRICT, error_model="numpy")

# -- noise ----------------------------------------------------------------------------------------

_M0, _M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_W0, _W1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
_LOW, _HALF = np.uint64(0xFFFFFFFF), np.uint64(32)
_2, _3, _4, _5, _6 = (np.uint64(n) for n in range(2, 7))


def _ones(typing: Any, x: Any) -> Any:
    """Number of ones of an integer."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.uint64(types.uint64), code


_bits: Any = intrinsic(_ones)


@_inline
def _round(c0, c1, c2, c3, k0, k1):  # type: ignore[no-untyped-def]
    """One round of Philox4x32 on words kept in 64 bits; bits 32 and up come out dirty."""
    p0, p1 = _M0 * (c0 & _LOW), _M1 * (c2 & _LOW)
    return (p1 >> _HALF) ^ c1 ^ k0, p1, (p0 >> _HALF) ^ c3 ^ k1, p0


@_inline
def _start(junction, point, key, high):  # type: ignore[no-untyped-def]
    """What the first three rounds have in common for all steps with the same high word.

    The first round sees the step only in an exclusive or, and the low word of the step comes to
    only one product of the second and one of the third.
    """
    k0, k1 = key & _LOW, key >> _HALF
    p0, p1 = _M0 * junction, _M1 * point
    q1 = _M1 * (((p0 >> _HALF) ^ high ^ k1) & _LOW)
    r0 = _M0 * (((q1 >> _HALF) ^ p1 ^ (k0 + _W0)) & _LOW)
    return (
        (p1 >> _HALF) ^ k0, p0 ^ (k1 + _W1),
        q1 ^ (k0 + _W0 * _2), (r0 >> _HALF) ^ (k1 + _W1 * _2), r0,
    )  # fmt: skip


@_inline
def _draw(a, b, c, d, e, low, key):  # type: ignore[no-untyped-def]
    """Philox4x32-7 from ``_start`` and the step's low word; written out, since a loop within the
    loop over a tile is not vectorised.

    Seven rounds are the fewest that pass BigCrush (Salmon et al., SC11, table 2).
    """
    k0, k1 = key & _LOW, key >> _HALF
    q0 = _M0 * ((a ^ low) & _LOW)
    r1 = _M1 * (((q0 >> _HALF) ^ b) & _LOW)
    c0, c1, c2, c3 = (r1 >> _HALF) ^ c, r1, q0 ^ d, e
    c0, c1, c2, c3 = _round(c0, c1, c2, c3, k0 + _W0 * _3, k1 + _W1 * _3)
    c0, c1, c2, c3 = _round(c0, c1, c2, c3, k0 + _W0 * _4, k1 + _W1 * _4)
    c0, c1, c2, c3 = _round(c0, c1, c2, c3, k0 + _W0 * _5, k1 + _W1 * _5)
    return _round(c0, c1, c2, c3, k0 + _W0 * _6, k1 + _W1 * _6)


_FINE, _TEN, _TOP = np.uint64(1023), np.uint64(10), np.uint64(22)
#: mean and standard deviation of the whole numbers of ``_three``
NOISE_MEAN = 16 * 1024 + 511.5
NOISE_UNIT = math.sqrt(8 * 1024**2 + (1024**2 - 1) / 12)


@_inline
def _three(c0, c1, c2, c3):  # type: ignore[no-untyped-def]
    """Three independent whole numbers, near to normal: ones among 32 bits, and ten bits more."""
    c3 = c3 & _LOW
    x = (_bits(c0 & _LOW) << _TEN) | (c3 & _FINE)
    y = (_bits(c1 & _LOW) << _TEN) | ((c3 >> _TEN) & _FINE)
    z = (_bits(c2 & _LOW) << _TEN) | (c3 >> _TOP)
    return np.int32(x), np.int32(y), np.int32(z)


@njit(cache=True)
def philox(c0, c1, c2, c3, k0, k1):  # type: ignore[no-untyped-def]
    """Philox4x32-7 of four counter words and two key words, all uint64 below 2**32."""
    for _ in range(7):
        c0, c1, c2, c3 = _round(c0, c1, c2, c3, k0, k1)
        k0, k1 = k0 + _W0, k1 + _W1
    return c0 & _LOW, c1 & _LOW, c2 & _LOW, c3 & _LOW


@njit(cache=True)
def noise(key, junction, point, steps):  # type: ignore[no-untyped-def]
    """The three whole numbers behind a spin's thermal field at each of the steps, [steps, 3]."""
    out = np.empty((steps.size, 3), np.int32)
    for i in range(steps.size):
        step = np.uint64(steps[i])
        c0, c1, c2, c3 = philox(
            np.uint64(junction), step & _LOW, np.uint64(point), step >> _HALF,
            key & _LOW, key >> _HALF,
        )  # fmt: skip
        out[i, 0], out[i, 1], out[i, 2] = _three(c0, c1, c2, c3)
    return out


# -- one step -------------------------------------------------------------------------------------


@_inline
def _slope(x, y, z, vx, vy, vz, wx, al, ax, ay, az, kk, k2, ky):  # type: ignore[no-untyped-def]
    """v×m; vx, vy, vz: B - αA without anisotropy; wx: α vx + ax; a: (1+α²)A; kk: k + k2."""
    vy = vy - ky * y
    vz = vz + (kk - k2 * (z * z)) * z
    wy = al * vy + ay
    wz = al * vz + az
    ux = (vx - z * wy) + y * wz
    uy = (vy + z * wx) - x * wz
    uz = (vz - y * wx) + x * wy
    return uy * z - uz * y, uz * x - ux * z, ux * y - uy * x


@_inline
def _first(x, y, z, vx, vy, vz, al, ax, ay, az, kk, k2, ky, c):  # type: ignore[no-untyped-def]
    """First half of a step: where the third slope is taken, and the sum so far.

    c: (1/2, 1/6, 1/3, 3/2) in the arrays' precision.
    """
    h, sixth, third, _ = c
    wx = al * vx + ax
    p, q, r = _slope(x, y, z, vx, vy, vz, wx, al, ax, ay, az, kk, k2, ky)
    sx, sy, sz = x + sixth * p, y + sixth * q, z + sixth * r
    p, q, r = _slope(x + h * p, y + h * q, z + h * r, vx, vy, vz, wx, al, ax, ay, az, kk, k2, ky)
    sx, sy, sz = sx + third * p, sy + third * q, sz + third * r
    return x + h * p, y + h * q, z + h * r, sx, sy, sz


@_inline
def _second(  # type: ignore[no-untyped-def]
    x, y, z, px, py, pz, sx, sy, sz, vx, vy, vz, al, ax, ay, az, kk, k2, ky, c
):
    """Second half of a step, from what the first one gives."""
    h, sixth, third, more = c
    wx = al * vx + ax
    p, q, r = _slope(px, py, pz, vx, vy, vz, wx, al, ax, ay, az, kk, k2, ky)
    sx, sy, sz = sx + third * p, sy + third * q, sz + third * r
    p, q, r = _slope(x + p, y + q, z + r, vx, vy, vz, wx, al, ax, ay, az, kk, k2, ky)
    x, y, z = sx + sixth * p, sy + sixth * q, sz + sixth * r
    f = more - h * (x * x + y * y + z * z)
    return x * f, y * f, z * f


@_inline
def _step(x, y, z, vx, vy, vz, al, ax, ay, az, kk, k2, ky, c):  # type: ignore[no-untyped-def]
    """One step."""
    px, py, pz, sx, sy, sz = _first(x, y, z, vx, vy, vz, al, ax, ay, az, kk, k2, ky, c)
    return _second(
        x, y, z, px, py, pz, sx, sy, sz, vx, vy, vz, al, ax, ay, az, kk, k2, ky, c
    )  # fmt: skip


#: Floating-point operations of a step and its running means, a multiply-add being two: 4 slopes of
#: 32, 15 + 24 for the stages and their sum, 10 for the length, 4 for w_x in both halves, 6 for the
#: thermal field, 3 for the means.  Whole-number work is not counted.
FLOPS_PER_STEP = 4 * 32 + 15 + 24 + 10 + 4 + 6 + 3

# -- many spins -----------------------------------------------------------------------------------


@_inline
def _vector(s, w, row, j):  # type: ignore[no-untyped-def]
    """Three rows of the tile, from ``row`` on, at spin j."""
    return s[row * w + j], s[(row + 1) * w + j], s[(row + 2) * w + j]


@_inline
def _put(s, w, row, j, vector):  # type: ignore[no-untyped-def]
    s[row * w + j], s[(row + 1) * w + j], s[(row + 2) * w + j] = vector


@_inline
def _add(s, w, row, j, x, y, z):  # type: ignore[no-untyped-def]
    s[row * w + j] += x
    s[(row + 1) * w + j] += y
    s[(row + 2) * w + j] += z


@_inline
def _terms(s, w, j):  # type: ignore[no-untyped-def]
    """What a slope needs beside the vector: the step's B - αA, α, (1+α²)A, k + k2, k2, ky."""
    return *_vector(s, w, 3, j), *_vector(s, w, 6, j), *_vector(s, w, 9, j), s[12 * w + j]


@_inline
def _heat(s, n, w, j, low, key):  # type: ignore[no-untyped-def]
    """B - αA of a step, its thermal field included."""
    number = _draw(n[j], n[w + j], n[2 * w + j], n[3 * w + j], n[4 * w + j], low, key)
    gx, gy, gz = _three(*number)
    x, y, z = _vector(s, w, 13, j)
    sigma, real = s[16 * w + j], s.dtype.type
    return x + sigma * real(gx), y + sigma * real(gy), z + sigma * real(gz)


@_inline
def _tile(  # type: ignore[no-untyped-def]
    w, lo, m, sums, squares, table, current, junction0, point0, key, first, steps
):
    """``advance`` for the spins of one tile, from number ``lo`` on.

    Rows of the scratch array: 0 m, 3 the step's B - αA, 6 α, 7 (1+α²)A, 10 k + k2, 11 k2,
    12 ky, 13 B - αA, 16 σ, 17 Σ m, 20 Σ of products, 26 where the third slope is taken, 29 the
    step's sum.
    """
    spins, points = m.shape[1], current.size
    real = m.dtype.type
    c = real(0.5), real(1 / 6), real(1 / 3), real(1.5)
    size = min(w, spins - lo)
    # Vectors that straddle lines of the cache are slow: both arrays start on one.
    s = np.empty(32 * w + 16, m.dtype)
    at = (-s.ctypes.data % 64) // m.itemsize
    s = s[at : at + 32 * w]
    n = np.empty(5 * w + 8, np.uint64)
    at = (-n.ctypes.data % 64) // 8
    n = n[at : at + 5 * w]
    for j in range(w):
        spin = lo + min(j, size - 1)
        device, i = spin // points, current[spin % points]
        al, k2 = table[0, device], table[2, device]
        ax, ay, az = table[9, device], table[10, device], table[11, device]
        sigma, more = real(0), al * al + real(1)
        if key is not None:
            sigma = math.sqrt(table[12, device] + table[14, device] * (i * i))
        middle = sigma * real(NOISE_MEAN)  # the whole numbers are not centred
        vx = table[4, device] + table[7, device] * i - al * ax - middle
        vy = table[5, device] - al * ay - middle
        vz = table[6, device] + table[8, device] * i - al * az - middle
        k = table[1, device] + table[13, device] * (i * i)
        _put(s, w, 0, j, (m[0, spin], m[1, spin], m[2, spin]))
        _put(s, w, 3, j, (vx, vy, vz))
        _put(s, w, 6, j, (al, more * ax, more * ay))
        _put(s, w, 9, j, (more * az, k + k2, k2))
        _put(s, w, 12, j, (table[3, device], vx, vy))
        _put(s, w, 15, j, (vz, sigma, real(0)))
    done = 0
    while done < steps:
        for r in range(17 * w, 26 * w):
            s[r] = real(0)
        now = np.uint64(first + done)
        turn = min(_FLUSH, steps - done, int(_LOW - (now & _LOW)) + 1)
        if key is not None:
            for j in range(w):
                spin = lo + min(j, size - 1)
                junction = np.uint64(junction0 + spin // points)
                point = np.uint64(point0 + spin % points)
                (n[j], n[w + j], n[2 * w + j], n[3 * w + j], n[4 * w + j]) = _start(
                    junction, point, key, now >> _HALF
                )
            for j in range(w):
                _put(s, w, 3, j, _heat(s, n, w, j, now & _LOW, key))
        for t in range(turn):
            for j in range(w):
                x, y, z, px, py, pz = _first(*_vector(s, w, 0, j), *_terms(s, w, j), c)
                _put(s, w, 26, j, (x, y, z))
                _put(s, w, 29, j, (px, py, pz))
            low = (now + np.uint64(t) + np.uint64(1)) & _LOW
            for j in range(w):
                x, y, z = _second(
                    *_vector(s, w, 0, j), *_vector(s, w, 26, j), *_vector(s, w, 29, j),
                    *_terms(s, w, j), c,
                )  # fmt: skip
                if key is not None:
                    _put(s, w, 3, j, _heat(s, n, w, j, low, key))
                _put(s, w, 0, j, (x, y, z))
                _add(s, w, 17, j, x, y, z)
                if squares is not None:
                    _add(s, w, 20, j, x * x, y * y, z * z)
                    _add(s, w, 23, j, x * y, x * z, y * z)
        for r in range(3):
            for j in range(size):
                sums[r, lo + j] += s[(17 + r) * w + j]
        if squares is not None:
            for r in range(6):
                for j in range(size):
                    squares[r, lo + j] += s[(20 + r) * w + j]
        done += turn
    for r in range(3):
        for j in range(size):
            m[r, lo + j] = s[r * w + j]


def build(width: int) -> Any:
    """The loop over spins for tiles of ``width`` (a multiple of 64)."""
    w = width

    @njit(parallel=True, cache=True)
    def advance(  # type: ignore[no-untyped-def]
        m, sums, squares, table, current, junction0, point0, key, first, steps
    ):
        """Take ``steps`` steps.

        m: [3, S], unit vectors, changed in place; S = junctions x points.
        sums: [3, S] float64, the vector after each step is added; squares: None or [6, S] float64,
        likewise for xx, yy, zz, xy, xz, yz.
        table: [len(ROWS), junctions]; current: [points], A.
        junction0, point0: numbers of the first ones, for the noise; key: uint64, or None for no
        noise; first: number of the first step.
        """
        spins = m.shape[1]
        for number in prange((spins + w - 1) // w):
            _tile(
                w,
                number * w,
                m,
                sums,
                squares,
                table,
                current,
                junction0,
                point0,
                key,
                first,
                steps,
            )

    return advance


advance = build(WIDTH)

# -- coming to rest -------------------------------------------------------------------------------


@_inline
def _growth(x, y, z, vx, vy, vz, wx, al, ax, ay, az, kk, k2, ky):  # type: ignore[no-untyped-def]
    """Largest growth rate of a small deviation, by central differences of the slope in the plane
    across m, and a direction in that plane along no axis of symmetry."""
    if abs(z) < 0.9:
        ex, ey, ez = -z * x, -z * y, 1 - z * z
    else:
        ex, ey, ez = 1 - x * x, -x * y, -x * z
    length = math.sqrt(ex * ex + ey * ey + ez * ez)
    ex, ey, ez = ex / length, ey / length, ez / length
    fx, fy, fz = y * ez - z * ey, z * ex - x * ez, x * ey - y * ex
    d = 1e-4
    p, q, r = _slope(x + d * ex, y + d * ey, z + d * ez, vx, vy, vz, wx, al, ax, ay, az, kk, k2, ky)
    s, t, u = _slope(x - d * ex, y - d * ey, z - d * ez, vx, vy, vz, wx, al, ax, ay, az, kk, k2, ky)
    ee = (ex * (p - s) + ey * (q - t) + ez * (r - u)) / (2 * d)
    fe = (fx * (p - s) + fy * (q - t) + fz * (r - u)) / (2 * d)
    p, q, r = _slope(x + d * fx, y + d * fy, z + d * fz, vx, vy, vz, wx, al, ax, ay, az, kk, k2, ky)
    s, t, u = _slope(x - d * fx, y - d * fy, z - d * fz, vx, vy, vz, wx, al, ax, ay, az, kk, k2, ky)
    ef = (ex * (p - s) + ey * (q - t) + ez * (r - u)) / (2 * d)
    ff = (fx * (p - s) + fy * (q - t) + fz * (r - u)) / (2 * d)
    middle, split = (ee + ff) / 2, (ee - ff) ** 2 / 4 + ef * fe
    growth = middle + math.sqrt(split) if split > 0 else middle
    return growth, ex + fx, ey + fy, ez + fz


@njit(parallel=True, cache=True, fastmath=_STRICT, error_model="numpy")
def settle(m, state, table, current, tolerance, most):  # type: ignore[no-untyped-def]
    """Relax at α = 1 and judge the state by the junction's own damping.

    m: [3, S] float64, changed in place.  state: [S] int8, 0: not at rest within ``most`` steps, 1:
    at rest, but not stable with the junction's own damping, 2: at rest and stable.
    table, current: as for ``advance``, fields in any unit; each spin has its own time step, the
    inverse of its largest field.  tolerance: torque at rest, of that field.
    """
    w = WIDTH
    spins, points = m.shape[1], current.size
    c = 0.5, 1 / 6, 1 / 3, 1.5
    for tile in prange((spins + w - 1) // w):
        lo = tile * w
        size = min(w, spins - lo)
        s = np.empty(13 * w, np.float64)
        for j in range(w):
            spin = lo + min(j, size - 1)
            device, i = spin // points, current[spin % points]
            k = table[1, device] + table[13, device] * (i * i)
            k2, ky = table[2, device], table[3, device]
            bx = table[4, device] + table[7, device] * i
            by = table[5, device]
            bz = table[6, device] + table[8, device] * i
            ax, ay, az = table[9, device], table[10, device], table[11, device]
            own = abs(k) + 3 * abs(k2) + abs(ky)
            scale = own + math.sqrt(bx * bx + by * by + bz * bz)
            scale += math.sqrt(ax * ax + ay * ay + az * az)
            g = 1 / scale if scale > 0 else 0.0
            _put(s, w, 0, j, (m[0, spin], m[1, spin], m[2, spin]))
            _put(s, w, 3, j, ((bx - ax) * g, (by - ay) * g, (bz - az) * g))
            _put(s, w, 6, j, (1.0, 2 * ax * g, 2 * ay * g))
            _put(s, w, 9, j, (2 * az * g, (k + k2) * g, k2 * g))
            s[12 * w + j] = ky * g
        for j in range(size):
            state[lo + j] = 0
        taken, moving = 0, size
        while moving > 0 and taken < most:
            for _ in range(16):
                for j in range(w):
                    _put(s, w, 0, j, _step(*_vector(s, w, 0, j), *_terms(s, w, j), c))
            taken += 16
            moving = 0
            for j in range(size):
                x, y, z = _vector(s, w, 0, j)
                vx, vy, vz, _, ax, ay, az, kk, k2, ky = _terms(s, w, j)
                p, q, r = _slope(x, y, z, vx, vy, vz, vx + ax, 1.0, ax, ay, az, kk, k2, ky)
                state[lo + j] = 0
                if p * p + q * q + r * r > tolerance * tolerance:
                    moving += 1
                    continue
                up, ex, ey, ez = _growth(x, y, z, vx, vy, vz, vx + ax, 1.0, ax, ay, az, kk, k2, ky)
                if up > 1e-6:  # a saddle or a maximum: leave it
                    x, y, z = x + 1e-3 * ex, y + 1e-3 * ey, z + 1e-3 * ez
                    f = 1 / math.sqrt(x * x + y * y + z * z)
                    _put(s, w, 0, j, (x * f, y * f, z * f))
                    moving += 1
                    continue
                # The same state with the junction's own damping: B - αA and (1+α²)A anew.
                device = (lo + j) // points
                al = table[0, device]
                hx, hy, hz = ax / 2, ay / 2, az / 2  # A
                vx, vy, vz = vx + (1 - al) * hx, vy + (1 - al) * hy, vz + (1 - al) * hz
                f = 1 + al * al
                ax, ay, az = f * hx, f * hy, f * hz
                up, ex, ey, ez = _growth(
                    x, y, z, vx, vy, vz, al * vx + ax, al, ax, ay, az, kk, k2, ky
                )
                state[lo + j] = 2 if up < -1e-9 * al else 1
        for r in range(3):
            for j in range(size):
                m[r, lo + j] = s[r * w + j]
