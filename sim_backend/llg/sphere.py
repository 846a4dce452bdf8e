"""Rest states under all conservative terms, by Newton's method on the unit sphere; with history.

A small turn s of m in the tangent plane changes the energy by -H·s + s·C s/2, with the effective
field H and the curvature C = P E'' P + (H·m) P, P the projection on that plane (Absil, Mahony and
Sepulchre, Optimization Algorithms on Matrix Manifolds (2008), sec. 5.5).  Newton's steps C⁻¹H are
taken only where C has no falling direction, so they can end in no saddle.

From anywhere else the path down is that of the equation of motion at α = 1, ṁ ~ m×(H + m×H)
backwards in nothing but its speed: steps of a fixed length instead of a fixed time, so that a well
that has just vanished does not hold it up.  A saddle is left along its steepest fall, to the side
of +z (then +y, +x).

A field line's field changes slowly against the precession, so a layer follows its well: C⁻¹ ∂H/∂t
leads it, Newton's method corrects it, in steps small enough that it cannot reach another well.
Where the well ends (C loses a direction: the astroid of Stoner and Wohlfarth, Phil. Trans. R. Soc.
A 240, 599 (1948)) it falls to the next one.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from sim_backend.llg.fields import Fields
from sim_backend.llg.ranges import ParameterError, check

Array = NDArray[np.float64]
_LEAD = 0.15  # largest turn in one step of the field, and of Newton's correction, rad
_PATH = 0.02  # length of a step down, rad
_FINEST = 1e-9  # smallest part of a step of the field: so well is the end of a well found
_FLAT = 1e-10  # a curvature of this part of the largest field counts as none
_inline: Any = njit(forceinline=True, fastmath={"contract", "nsz"}, error_model="numpy")
_compiled: Any = njit(cache=True, nogil=True, fastmath={"contract", "nsz"}, error_model="numpy")


@dataclass(frozen=True)
class Rest:
    """Rest states: shapes [...] of the fields.

    ``at_rest`` False: a direction remained in which the energy falls, or the steps ran out.
    """

    m: Array  #: unit vectors, [..., 3]
    at_rest: NDArray[np.bool_]  #: no torque, and no direction down, [...]
    curvature_t: Array  #: lowest curvature of the energy over the tangent plane, T, [...]


def rest(fields: Fields, start: ArrayLike, threads: int | None = None) -> Rest:
    """The minimum to which each vector comes down from its start.

    Args:
        fields: shape [...]; without the read current's damping-like torque.
        start: unit vectors, [3] or [..., 3].
        threads: None: as many as there are cores, if there is work for them.

    Raises:
        ParameterError: there is a torque that belongs to no energy, or no unit vector.
    """
    table, shape = conservative(fields)
    m = _starts(start, shape).reshape(-1, 3)
    return _run(table.reshape(-1, 1, 6), m, shape, threads)


def follow(fields: Fields, start: ArrayLike, threads: int | None = None) -> Rest:
    """Rest states along the last axis, whose points are applied in this order, slowly.

    At the first point the vector comes to rest from ``start`` as in :func:`rest`.  To go on from an
    earlier list put its last point in front, with the last rest state as the start.

    Args:
        fields: shape [..., P]; without the read current's damping-like torque.
        start: unit vectors before the first point, [3] or [..., 3] without the axis P.
        threads: None: as many as there are cores, if there is work for them.

    Raises:
        ParameterError: there is a torque that belongs to no energy, or no unit vector.
    """
    table, shape = conservative(fields)
    if not shape:
        raise ParameterError("fields have shape []; their last axis must be the points in order")
    m = _starts(start, shape[:-1]).reshape(-1, 3)
    return _run(table.reshape(-1, shape[-1], 6), m, shape, threads)


def conservative(fields: Fields) -> tuple[Array, tuple[int, ...]]:
    """Columns k, k2, ky, b of the fields, T, [..., 6], and their shape.

    Raises:
        ParameterError: there is a damping-like torque.
    """
    if np.any(fields.a_t):
        worst = np.abs(fields.a_t).max()
        raise ParameterError(
            f"a_t is {worst:g} T; the read current's torque is no part of an energy: it must be 0 T"
        )
    shape = fields.shape
    table = np.empty((*shape, 6))
    table[..., 0], table[..., 1], table[..., 2] = fields.k_t, fields.k2_t, fields.ky_t
    table[..., 3:] = fields.b_t
    return table, shape


def in_threads(work: Callable[[slice], object], count: int, ops: float, threads: int | None) -> Any:
    """Do ``work`` on slices of ``count`` rows, in threads if ``ops`` microseconds of it are worth
    it.  The rows must not depend on each other."""
    most = os.cpu_count() or 1 if threads is None else int(check("threads", threads, 1, 1024))
    parts = int(min(most, count, 1 + ops // 2000))
    if parts <= 1:
        work(slice(0, count))
        return
    ends = [count * i // parts for i in range(parts + 1)]
    slices = [slice(lo, hi) for lo, hi in pairwise(ends)]
    with ThreadPoolExecutor(parts) as pool:
        list(pool.map(work, slices))


def _starts(start: ArrayLike, shape: tuple[int, ...]) -> Array:
    m = check("start", start, -2, 2)
    try:
        full = np.array(np.broadcast_to(m, (*shape, 3)))
    except ValueError:
        raise ParameterError(
            f"start has shape {list(m.shape)}; it must fit {[*shape, 3]}"
        ) from None
    length = np.linalg.norm(full, axis=-1, keepdims=True)
    check("length of start", length, 0.999, 1.001)
    result: Array = full / length
    return result


def _run(table: Array, m: Array, shape: tuple[int, ...], threads: int | None) -> Rest:
    rows, points = table.shape[:2]
    out, low = np.empty((rows, points, 3)), np.empty((rows, points))
    good = np.empty((rows, points), np.bool_)

    def work(part: slice) -> None:
        _follow(table[part], m[part], out[part], low[part], good[part])

    in_threads(work, rows, rows * points * 2.0, threads)
    return Rest(out.reshape(*shape, 3), good.reshape(shape), low.reshape(shape))


@_inline
def _energy(x, y, z, k, k2, ky, bx, by, bz):  # type: ignore[no-untyped-def]
    r = 1 - z * z
    return -k / 2 * z * z + k2 / 4 * r * r + ky / 2 * y * y - bx * x - by * y - bz * z


@_inline
def _frame(x, y, z):  # type: ignore[no-untyped-def]
    """Two unit vectors across m, without a pole anywhere near m (Duff et al., JCGT 6 (2017))."""
    s = 1.0 if z >= 0 else -1.0
    a = -1 / (s + z)
    b = x * y * a
    return 1 + s * x * x * a, s * b, -s * x, b, s + y * y * a, -y


@_inline
def _plane(x, y, z, k, k2, ky, bx, by, bz):  # type: ignore[no-untyped-def]
    """The tangent plane's frame e, f, the field's parts (he, hf) and C's (ee, ef, ff)."""
    ex, ey, ez, fx, fy, fz = _frame(x, y, z)
    hy = by - ky * y
    hz = bz + (k + k2 * (1 - z * z)) * z
    he, hf = bx * ex + hy * ey + hz * ez, bx * fx + hy * fy + hz * fz
    along = bx * x + hy * y + hz * z
    czz = -k + k2 * (3 * z * z - 1)
    ee = ky * ey * ey + czz * ez * ez + along
    ff = ky * fy * fy + czz * fz * fz + along
    ef = ky * ey * fy + czz * ez * fz
    return ex, ey, ez, fx, fy, fz, he, hf, ee, ef, ff


@_inline
def _lowest(ee, ef, ff):  # type: ignore[no-untyped-def]
    half = np.sqrt((ee - ff) ** 2 / 4 + ef * ef)
    return (ee + ff) / 2 - half


@_inline
def _turn(x, y, z, sx, sy, sz):  # type: ignore[no-untyped-def]
    """m moved by s in its tangent plane and brought back to the sphere."""
    x, y, z = x + sx, y + sy, z + sz
    f = 1 / np.sqrt(x * x + y * y + z * z)
    return x * f, y * f, z * f


@_compiled
def _newton(x, y, z, c, scale, reach):  # type: ignore[no-untyped-def]
    """Newton's method within ``reach`` (rad): (m, found, lowest curvature)."""
    k, k2, ky, bx, by, bz = c[0], c[1], c[2], c[3], c[4], c[5]
    flat, gone = _FLAT * scale, 0.0
    last = False
    for _ in range(50):
        ex, ey, ez, fx, fy, fz, he, hf, ee, ef, ff = _plane(x, y, z, k, k2, ky, bx, by, bz)
        low = _lowest(ee, ef, ff)
        if low < -flat:
            return x, y, z, False, low
        if last:
            return x, y, z, True, low
        lift = max(0.0, flat - low)
        ee, ff = ee + lift, ff + lift
        det = ee * ff - ef * ef
        u, v = (ff * he - ef * hf) / det, (ee * hf - ef * he) / det
        size = np.sqrt(u * u + v * v)
        gone += size
        if not gone <= reach:
            return x, y, z, False, low
        x, y, z = _turn(x, y, z, u * ex + v * fx, u * ey + v * fy, u * ez + v * fz)
        last = size <= 1e-9 or he * he + hf * hf <= (2e-15 * scale) ** 2
    return x, y, z, False, low


@_compiled
def _down(x, y, z, c, scale):  # type: ignore[no-untyped-def]
    """Down from m to a minimum: (m, found, lowest curvature)."""
    k, k2, ky, bx, by, bz = c[0], c[1], c[2], c[3], c[4], c[5]
    step, low = _PATH, 0.0
    e = _energy(x, y, z, k, k2, ky, bx, by, bz)
    for _ in range(5000):
        p, q, r, found, low = _newton(x, y, z, c, scale, 2 * _LEAD)
        if found and _energy(p, q, r, k, k2, ky, bx, by, bz) <= e + 4e-16 * scale:
            return p, q, r, True, low
        ex, ey, ez, fx, fy, fz, he, hf, ee, ef, ff = _plane(x, y, z, k, k2, ky, bx, by, bz)
        size = np.sqrt(he * he + hf * hf)
        low = _lowest(ee, ef, ff)
        if size <= 1e-10 * scale:
            if low >= -_FLAT * scale:
                return x, y, z, True, low
            # A saddle or a maximum: the direction of its steepest fall.
            u, v = (ef, low - ee) if abs(low - ee) > abs(low - ff) else (low - ff, ef)
            if u == 0 and v == 0:
                u, v = 1.0, 0.0
            f = 1 / np.sqrt(u * u + v * v)
            u, v = u * f, v * f
            px, py, pz = u * ex + v * fx, u * ey + v * fy, u * ez + v * fz
            lead = pz if abs(pz) > 1e-9 else (py if abs(py) > 1e-9 else px)
            f = 1e-3 if lead > 0 else -1e-3
            x, y, z = _turn(x, y, z, f * px, f * py, f * pz)
            e = _energy(x, y, z, k, k2, ky, bx, by, bz)
            continue
        # Along the path of α = 1, by the midpoint rule: half the field's part, half its cross.
        g = step / 2 / (size * np.sqrt(2.0))
        u, v = g * (he + hf), g * (hf - he)
        p, q, r = _turn(x, y, z, u * ex + v * fx, u * ey + v * fy, u * ez + v * fz)
        gx, gy, gz, ix, iy, iz, he, hf, ee, ef, ff = _plane(p, q, r, k, k2, ky, bx, by, bz)
        size = np.sqrt(he * he + hf * hf)
        g = step / (max(size, 1e-300) * np.sqrt(2.0))
        u, v = g * (he + hf), g * (hf - he)
        sx, sy, sz = u * gx + v * ix, u * gy + v * iy, u * gz + v * iz
        p, q, r = _turn(x, y, z, sx, sy, sz)
        after = _energy(p, q, r, k, k2, ky, bx, by, bz)
        if after < e:
            x, y, z, e = p, q, r, after
            step = min(_PATH, 2 * step)
        else:
            step /= 2
            if step < 1e-12:
                return x, y, z, low >= -_FLAT * scale, low
    return x, y, z, False, low


@_compiled
def _scale(c):  # type: ignore[no-untyped-def]
    own = abs(c[0]) + 3 * abs(c[1]) + abs(c[2])
    return own + np.sqrt(c[3] * c[3] + c[4] * c[4] + c[5] * c[5]) + 1e-300


@_compiled
def _follow(table, start, out, low, good):  # type: ignore[no-untyped-def]
    """table: [N, P, 6]; start: [N, 3]; out: [N, P, 3]; low, good: [N, P]."""
    c, d = np.empty(6), np.empty(6)
    for n in range(table.shape[0]):
        x, y, z = start[n, 0], start[n, 1], start[n, 2]
        for p in range(table.shape[1]):
            new = table[n, p]
            scale = _scale(new)
            if p == 0:
                x, y, z, found, bottom = _down(x, y, z, new, scale)
            else:
                old = table[n, p - 1]
                for i in range(6):
                    d[i] = new[i] - old[i]
                t, part, finest = 0.0, 1.0, _FINEST
                while t < 1:
                    # Where the well goes: C s = ∂H/∂t.
                    for i in range(6):
                        c[i] = old[i] + t * d[i]
                    ex, ey, ez, fx, fy, fz, he, hf, ee, ef, ff = _plane(
                        x, y, z, c[0], c[1], c[2], c[3], c[4], c[5]
                    )
                    hy = d[4] - d[2] * y
                    hz = d[5] + (d[0] + d[1] * (1 - z * z)) * z
                    he = d[3] * ex + hy * ey + hz * ez
                    hf = d[3] * fx + hy * fy + hz * fz
                    det = ee * ff - ef * ef
                    u = v = 0.0
                    if det > 0 and ee + ff > 0:
                        u, v = (ff * he - ef * hf) / det, (ee * hf - ef * he) / det
                    size = np.sqrt(u * u + v * v)
                    take = min(part, 1 - t)
                    if take * size > _LEAD:
                        take = max(_LEAD / size, min(take, 1e-3))
                    if t + take > 1 - finest:
                        take = 1 - t
                    led = take if take * size <= 2 * _LEAD else 0.0
                    u, v = led * u, led * v
                    for i in range(6):
                        c[i] = new[i] if take == 1 - t else old[i] + (t + take) * d[i]
                    px, py, pz = _turn(x, y, z, u * ex + v * fx, u * ey + v * fy, u * ez + v * fz)
                    px, py, pz, found, bottom = _newton(px, py, pz, c, scale, _LEAD)
                    if not found:
                        if take > 2 * finest:
                            part = take / 2
                            continue
                        px, py, pz, found, bottom = _down(x, y, z, c, scale)
                        finest *= 16  # a well that ends again and again must not take for ever
                    x, y, z = px, py, pz
                    t = 1.0 if take == 1 - t else t + take
                    part = min(1.0, 2 * take)
            out[n, p, 0], out[n, p, 1], out[n, p, 2] = x, y, z
            low[n, p], good[n, p] = bottom, found
