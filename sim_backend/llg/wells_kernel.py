"""Compiled code of :mod:`sim_backend.llg.wells`: the meridians' ridges and minima, and integrals.

On the meridian φ, with k' = k + ky sin²φ and b' = b_x cos φ + b_y sin φ,

    E(θ)  = -k/2 cos²θ + k2/4 sin⁴θ + (k' - k)/2 sin²θ - b' sin θ - b_z cos θ,
    E'(θ) = (k' + k2 sin²θ) sin θ cos θ - b' cos θ + b_z sin θ.

For b_z >= 0 (else the mirror image) the ridge is in π/2 <= θ <= π, the upper minimum in
0 <= θ <= π/2, the lower one below the ridge.  In a = π - θ, E' = -G(a) with G > 0 only between the
lower minimum and the ridge; for k2 = 0, G/(sin a cos a) has its top at tan³a = b'/b_z, which is 0
on the astroid.

All of it is in this one file, since numba's cache looks at nothing else for changes.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

_compiled: Any = njit(cache=True, nogil=True, fastmath={"contract", "nsz"}, error_model="numpy")
_NODE, _WEIGHT = np.polynomial.legendre.leggauss(16)
_CUT = 20.0  # what lies so many kT above the bottom of a well counts as nothing
_DEEP = 100.0  # barriers above so many kT have rate 0
_LOOK = 24  # meridians of a first look
_STIFF = 1e-3  # of kT over the curvature: below, Laplace's method, unless there is a rate


@_compiled
def _e(t, k, k2, kp, bp, bz):  # type: ignore[no-untyped-def]
    s, c = math.sin(t), math.cos(t)
    s2 = s * s
    return -k / 2 * c * c + k2 / 4 * s2 * s2 + (kp - k) / 2 * s2 - bp * s - bz * c


@_compiled
def _slopes(t, k2, kp, bp, bz):  # type: ignore[no-untyped-def]
    """E' and E''."""
    s, c = math.sin(t), math.cos(t)
    s2 = s * s
    first = (kp + k2 * s2) * s * c - bp * c + bz * s
    return first, kp * (1 - 2 * s2) + k2 * s2 * (3 - 4 * s2) + bp * s + bz * c


@_compiled
def _zero(lo, hi, near, small, sign, k2, kp, bp, bz):  # type: ignore[no-untyped-def]
    """Zero of E', sign E' < 0 at lo and > 0 at hi: Newton's method from ``near`` kept in the
    bracket, until a step is below ``small`` (which leaves an error of about its square)."""
    t = near if lo < near < hi else (lo + hi) / 2
    for _ in range(60):
        f, g = _slopes(t, k2, kp, bp, bz)
        if sign * f < 0:
            lo = t
        else:
            hi = t
        step = f / g
        t -= step
        if not lo <= t <= hi:
            t = (lo + hi) / 2
        elif abs(step) < small:
            break
    return t


@_compiled
def _meridian(k2, kp, bp, bz, at):  # type: ignore[no-untyped-def]
    """Whether there is a ridge; at [3]: θ of upper minimum, ridge and lower minimum, before the
    call those of a meridian near by.  Without a ridge all three are the one minimum."""
    flip = bz < 0
    z = -bz if flip else bz
    pi = math.pi
    n0, n1, n2 = (pi - at[2], pi - at[1], pi - at[0]) if flip else (at[0], at[1], at[2])
    up = _zero(0.0, pi / 2, n0, 1e-3, 1.0, k2, kp, bp, z) if bp > 0 else 0.0
    ridge, down = pi / 2, pi - up
    if z == 0:
        has = kp + k2 > bp
        up = up if has else pi / 2
    else:
        top, has = 0.0, True
        if bp > 0:
            top = math.atan((bp / z) ** (1 / 3))
            has = _slopes(pi - top, k2, kp, bp, z)[0] < 0
            if not has and k2 != 0:
                top = _top(top, k2, bp, z)
                has = _slopes(pi - top, k2, kp, bp, z)[0] < 0
        elif bp == 0:
            top = 1e-6
            has = _slopes(pi - top, k2, kp, bp, z)[0] < 0
        if has:
            ridge = _zero(pi / 2, pi - top, n1, 1e-4, -1.0, k2, kp, bp, z)
            down = _zero(pi - top, pi, n2, 1e-3, 1.0, k2, kp, bp, z) if bp > 0 else pi
    if not has:
        ridge = down = up
    if flip:
        up, ridge, down = pi - down, pi - ridge, pi - up
    at[0], at[1], at[2] = up, ridge, down
    return has


@_compiled
def _top(a, k2, bp, z):  # type: ignore[no-untyped-def]
    """Where k' + k2 sin²a - b'/sin a - b_z/cos a is largest."""
    for _ in range(30):
        s, c = math.sin(a), math.cos(a)
        f = 2 * k2 * s * c + bp * c / (s * s) - z * s / (c * c)
        g = 2 * k2 * (c * c - s * s) - bp * (1 + c * c) / s**3 - z * (1 + s * s) / c**3
        step = -f / g if g < 0 else (0.1 if f > 0 else -0.1)
        new = min(max(a + step, a / 2), (a + math.pi / 2) / 2)
        moved = abs(new - a)
        a = new
        if moved < 1e-9:
            break
    return a


@_compiled
def _regular(c):  # type: ignore[no-untyped-def]
    least = min(c[0], c[0] + c[2])
    return least > 0 and c[1] > -least / 2


@_compiled
def _azimuth(c, f):  # type: ignore[no-untyped-def]
    """cos φ, sin φ, k', b' at φ = f from the field's own azimuth."""
    across = math.sqrt(c[3] * c[3] + c[4] * c[4])
    p = c[3] / across if across > 0 else 1.0
    q = c[4] / across if across > 0 else 0.0
    u, v = math.cos(f), math.sin(f)
    x, y = p * u - q * v, p * v + q * u
    return x, y, c[0] + c[2] * y * y, c[3] * x + c[4] * y


@_compiled
def starts(table, out, two):  # type: ignore[no-untyped-def]
    """A point in each well: table [S, 6]; out [S, 2, 3]; two [S]: there is a ridge."""
    for i in range(len(table)):
        c = table[i]
        regular = _regular(c)
        two[i] = regular
        low, at = np.full(2, np.inf), np.zeros(3)
        for j in range(_LOOK // 2 + 1 if c[4] == 0 else _LOOK):
            x, y, kp, bp = _azimuth(c, 2 * math.pi * j / _LOOK)
            tries = 2
            if regular:
                two[i] &= _meridian(c[1], kp, bp, c[5], at)
            else:
                tries = 33
            for r in range(tries):
                t = at[2 * r] if regular else r * math.pi / 32
                e = _e(t, c[0], c[1], kp, bp, c[5])
                w = r if regular else 0
                if e < low[w]:
                    low[w] = e
                    s = math.sin(t)
                    out[i, w, 0], out[i, w, 1], out[i, w, 2] = s * x, s * y, math.cos(t)
        if not two[i]:
            best = 1 if low[1] < low[0] else 0
            out[i, 1 - best] = out[i, best]


@_compiled
def _curvature(m, e, f, c):  # type: ignore[no-untyped-def]
    """The tangent plane's curvatures ee, ef, ff along the unit vectors e, f."""
    z = m[2]
    along = c[3] * m[0] + (c[4] - c[2] * m[1]) * m[1]
    along += (c[5] + (c[0] + c[1] * (1 - z * z)) * z) * z
    czz = -c[0] + c[1] * (3 * z * z - 1)
    ee = c[2] * e[1] * e[1] + czz * e[2] * e[2] + along
    ff = c[2] * f[1] * f[1] + czz * f[2] * f[2] + along
    return ee, c[2] * e[1] * f[1] + czz * e[2] * f[2], ff


@_compiled
def _polar(m):  # type: ignore[no-untyped-def]
    """Unit vectors of growing θ and φ at m, and sin θ."""
    s = math.sqrt(m[0] * m[0] + m[1] * m[1])
    p, q = (m[0] / s, m[1] / s) if s > 1e-12 else (1.0, 0.0)
    return np.array((m[2] * p, m[2] * q, -s)), np.array((-q, p, 0.0)), s


@_compiled
def _laplace(m, c, t, mean):  # type: ignore[no-untyped-def]
    """Z and the average in a stiff well, to first order in T over the curvature."""
    e, f, _s = _polar(m)
    ee, ef, ff = _curvature(m, e, f, c)
    det = ee * ff - ef * ef
    push = np.empty(2)  # the curvature's derivative along e and f, traced with its inverse
    h = 1e-4
    for i in range(2):
        push[i] = 0.0
        for sign in (-1.0, 1.0):
            v, w = (e, f) if i == 0 else (f, e)
            n = math.cos(h) * m + sign * math.sin(h) * v
            turned = math.cos(h) * v - sign * math.sin(h) * m
            if i == 0:
                a, b, d = _curvature(n, turned, w, c)
            else:
                a, b, d = _curvature(n, w, turned, c)
            push[i] += sign * (a * ff - 2 * b * ef + d * ee) / det / (2 * h)
    u = -t / 2 * (ff * push[0] - ef * push[1]) / det
    v = -t / 2 * (ee * push[1] - ef * push[0]) / det
    mean[:] = m * (1 - t / 2 * (ee + ff) / det) + u * e + v * f
    return 2 * math.pi * t / math.sqrt(det)


@_compiled
def _end(least, far, e0, cut, curve, t, k, k2, kp, bp, bz):  # type: ignore[no-untyped-def]
    """Where on the way from a meridian's minimum to ``far`` E has risen by about _CUT kT."""
    h = math.sqrt(2 * cut * t / max(curve, cut * t / 5))
    sign = 1.0 if far > least else -1.0
    reach = abs(far - least)
    h = min(h, reach)
    base = (_CUT - cut) * t - e0
    for _ in range(40):
        rise = (_e(least + sign * h, k, k2, kp, bp, bz) + base) / t
        if rise < 15 and h < reach:
            h = min(1.4 * h, reach)
        elif rise > 28:
            h *= 0.75
        else:
            break
    return least + sign * h


@_compiled
def _piece(lo, least, hi, bottom, panels, x, y, t, c, kp, bp, sums):  # type: ignore[no-untyped-def]
    """Add the integrals of exp(-(E - bottom)/T) times 1, m over θ from lo to hi: sums [4]."""
    k, k2, bz = c[0], c[1], c[5]
    if panels == 1:
        e0 = _e(least, k, k2, kp, bp, bz)
        cut = _CUT - (e0 - bottom) / t
        if cut <= 0:
            return
        curve = _slopes(least, k2, kp, bp, bz)[1]
        lo, hi = (
            _end(least, lo, e0, cut, curve, t, k, k2, kp, bp, bz) if lo < least else lo,
            _end(least, hi, e0, cut, curve, t, k, k2, kp, bp, bz) if hi > least else hi,
        )
    half = (hi - lo) / panels / 2
    w0 = wx = wz = 0.0
    for p in range(panels):
        middle = lo + (2 * p + 1) * half
        for i in range(_NODE.size):
            th = middle + half * _NODE[i]
            s, z = math.sin(th), math.cos(th)
            s2 = s * s
            e = -k / 2 * z * z + k2 / 4 * s2 * s2 + (kp - k) / 2 * s2 - bp * s - bz * z
            w = half * _WEIGHT[i] * s * math.exp((bottom - e) / t)
            w0 += w
            wx += w * s
            wz += w * z
    sums[0] += w0
    sums[1] += wx * x
    sums[2] += wx * y
    sums[3] += wz


@_compiled
def _across(up, ridge, down, peak, t, c, kp, bp):  # type: ignore[no-untyped-def]
    """sin(ridge) over the integral of exp((E - peak)/T) sin(ridge)/sin θ across the ridge."""
    k, k2, bz = c[0], c[1], c[5]
    curve = -_slopes(ridge, k2, kp, bp, bz)[1]
    h = math.sqrt(24 * t / max(curve, 1e-12 * k))
    lo = max(ridge - h, ridge - 0.9 * (ridge - up))
    hi = min(ridge + h, ridge + 0.9 * (down - ridge))
    half, middle, total = (hi - lo) / 2, (hi + lo) / 2, 0.0
    for i in range(_NODE.size):
        th = middle + half * _NODE[i]
        total += half * _WEIGHT[i] * math.exp((_e(th, k, k2, kp, bp, bz) - peak) / t) / math.sin(th)
    return 1 / total


@_compiled
def _level(lo, hi, sign, level, k, k2, kp, bp, bz):  # type: ignore[no-untyped-def]
    """Where E = level, sign (E - level) < 0 at lo and >= 0 at hi; lo, hi: on one flank."""
    t = (lo + hi) / 2
    for _ in range(40):
        f = _e(t, k, k2, kp, bp, bz) - level
        if sign * f < 0:
            lo = t
        else:
            hi = t
        step = f / _slopes(t, k2, kp, bp, bz)[0]
        t -= step
        if not lo <= t <= hi:
            t = (lo + hi) / 2
        elif abs(step) < 1e-4:
            break
    return t


@_compiled
def _bulge(lo, least, hi, level, y, c, kp, bp):  # type: ignore[no-untyped-def]
    """Integral of the sphere's Laplacian of E, sin θ dθ, over E < level on a piece of a meridian.

    Summed over a well it is the line integral of |∇E| around it (Gauss's theorem): α times that
    is the energy lost in one turn along the contour.
    """
    k, k2, bz = c[0], c[1], c[5]
    if _e(least, k, k2, kp, bp, bz) >= level:
        return 0.0
    a, b = lo, hi
    if _e(lo, k, k2, kp, bp, bz) > level:
        a = _level(lo, least, -1.0, level, k, k2, kp, bp, bz)
    if _e(hi, k, k2, kp, bp, bz) > level:
        b = _level(least, hi, 1.0, level, k, k2, kp, bp, bz)
    total = bp * (b - a - math.sin(b) * math.cos(b) + math.sin(a) * math.cos(a))
    for t, sign in ((a, 1.0), (b, -1.0)):
        z = math.cos(t)
        z3 = z * z * z
        total += sign * (
            -k * (z - z3) - k2 * (z - 2 * z3 + z3 * z * z) + c[2] * (z - y * y * (3 * z - z3))
            + bz * z * z
        )  # fmt: skip
    return total


@_compiled
def _hindrance(x):  # type: ignore[no-untyped-def]
    """Mel'nikov's A(x), x: energy lost in a turn along the pass's contour, in kT (J. Chem. Phys.
    85, 1018 (1986)): exp of 1/π ∫₀^∞ ln(1 - exp(-x(u² + 1/4)))/(u² + 1/4) du, u = tan(v)/2."""
    total = 0.0
    for i in range(_NODE.size):
        v = math.pi / 4 * (1 + _NODE[i])
        total += _WEIGHT[i] * math.log(-math.expm1(-x / 4 / math.cos(v) ** 2))
    return math.exp(total / 2)


@_compiled
def _pass(c, f, at):  # type: ignore[no-untyped-def]
    """The saddle near azimuth f (from the field's): (E, |c across|, det/|c across|, trace, sin)."""
    m, e = np.empty(3), 0.0
    for _ in range(60):
        x, y, kp, bp = _azimuth(c, f)
        _meridian(c[1], kp, bp, c[5], at)
        th = at[1]
        s = math.sin(th)
        m[0], m[1], m[2] = s * x, s * y, math.cos(th)
        e = _e(th, c[0], c[1], kp, bp, c[5])
        a, b, _s = _polar(m)
        ee, ef, ff = _curvature(m, a, b, c)
        # Along the ridge: dE/df and d²E/df², where E' = 0 on every meridian.
        first = c[2] * s * s * x * y + s * (c[3] * y - c[4] * x)
        second = s * s * (ff - ef * ef / ee)
        if not second > 0:
            break
        step = min(max(-first / second, -0.1), 0.1)
        if abs(step) < 1e-7:
            break
        f += step
    along = ff - ef * ef / ee
    return e, -ee, along, ee + ff, s


@_compiled
def _nodes(m, c, t):  # type: ignore[no-untyped-def]
    """How many meridians a well needs, and its lowest curvature."""
    a, b, s = _polar(m)
    ee, ef, ff = _curvature(m, a, b, c)
    half = math.sqrt((ee - ff) ** 2 / 4 + ef * ef)
    low, high = (ee + ff) / 2 - half, (ee + ff) / 2 + half
    width = math.sqrt(t / max(ff - ef * ef / ee, 1e-3 * t)) / max(s, 1e-9)
    ratio = min(high / max(low, 1e-3 * high), 64.0)
    return max(16 * math.sqrt(ratio), 2 * math.pi / (0.75 * width)), low


@_compiled
def averages(table, thermal, alpha, m, two, means, out):  # type: ignore[no-untyped-def]
    """means [S, 2, 3] over each well; out [S, 5]: both rates over γ, barriers, weight of "up".

    table [S, 6]; thermal, alpha [S]; m [S, 2, 3] rest states; two [S]: there are two wells.
    """
    for i in range(len(table)):
        t = thermal[i]
        if t <= 0:
            energy = np.empty(2)
            for w in range(2):
                y, z, c = m[i, w, 1], m[i, w, 2], table[i]
                energy[w] = -c[0] / 2 * z * z + c[1] / 4 * (1 - z * z) ** 2 + c[2] / 2 * y * y
                energy[w] -= c[3] * m[i, w, 0] + c[4] * y + c[5] * z
            gap = energy[0] - energy[1]
            out[i, 2] = out[i, 3] = np.inf
            out[i, 4] = 0.5 if abs(gap) < 1e-15 * abs(energy[0]) else (1.0 if gap < 0 else 0.0)
            continue
        if not _point(table[i], t, alpha[i], m[i], two[i], means[i], out[i]):
            two[i] = False  # a ridge with a gap between the meridians of the first look
            _point(table[i], t, alpha[i], m[i], False, means[i], out[i])


@_compiled
def _point(c, t, al, m, two, means, out):  # type: ignore[no-untyped-def]
    """One point of :func:`averages`; False: the ridge is not closed."""
    bottom, low, stiff, need = np.empty(2), np.empty(2), np.zeros(2, np.bool_), 16.0
    regular, mirror, at = _regular(c), c[4] == 0, np.zeros(3)
    for w in range(2):
        y, z = m[w, 1], m[w, 2]
        bottom[w] = -c[0] / 2 * z * z + c[1] / 4 * (1 - z * z) ** 2 + c[2] / 2 * y * y
        bottom[w] -= c[3] * m[w, 0] + c[4] * y + c[5] * z
    if not two:
        best = 1 if bottom[1] < bottom[0] else 0
        m[1 - best], bottom[1 - best] = m[best], bottom[best]
    peak, hard, along, trace, flat = np.inf, 1.0, 1.0, 1.0, True
    if two:
        first = 0.0
        for j in range(_LOOK // 2 + 1 if mirror else _LOOK):
            _x, _y, kp, bp = _azimuth(c, 2 * math.pi * j / _LOOK)
            _meridian(c[1], kp, bp, c[5], at)
            e = _e(at[1], c[0], c[1], kp, bp, c[5])
            if e < peak:
                peak, first = e, 2 * math.pi * j / _LOOK
        peak, hard, along, trace, s = _pass(c, first, at)
        out[2], out[3] = max(0.0, (peak - bottom[0]) / t), max(0.0, (peak - bottom[1]) / t)
        flat = min(out[2], out[3]) > _DEEP
        if not flat:
            width = math.sqrt(t / max(along, 1e-3 * t)) / s
            need = max(need, 2 * math.pi / (0.75 * width))
    z = np.zeros(2)
    for w in range(2 if two else 1):
        nodes, low[w] = _nodes(m[w], c, t)
        stiff[w] = t < _STIFF * low[w] and (not two or out[2 + w] > _DEEP)
        if stiff[w]:
            z[w] = _laplace(m[w], c, t, means[w])
        else:
            need = max(need, nodes)
    n = 2 * int(min(need, 2048.0) / 2 + 1)
    panels = 1
    if not regular:
        size = abs(c[0]) + abs(c[1]) + abs(c[2]) + math.sqrt(c[3] ** 2 + c[4] ** 2 + c[5] ** 2)
        width = math.sqrt(t / (size + t))
        panels = int(min(math.pi / 8 / width, 31.0)) + 1
        n = 2 * int(min(max(need, 2 * math.pi / (0.75 * width)), 512.0) / 2 + 1)
    sums, part = np.zeros((2, 4)), np.zeros(4)
    ridge, flux, turn = np.empty(n), 0.0, np.zeros(2)
    if not (flat and stiff[0] and (stiff[1] or not two)):
        for j in range(n // 2 + 1 if mirror else n):
            x, y, kp, bp = _azimuth(c, 2 * math.pi * j / n)
            weight = 2 * math.pi / n * (2.0 if mirror and j % (n // 2) else 1.0)
            if not regular:
                part[:] = 0
                _piece(0.0, 0.0, math.pi, bottom[0], panels, x, y, t, c, kp, bp, part)
                sums[0] += weight * part
                continue
            has = _meridian(c[1], kp, bp, c[5], at)
            up, th, down = at[0], at[1], at[2]
            if two and not has:
                return False
            for r in range(2 if has else 1):
                w = r if two else 0
                if stiff[w]:
                    continue
                part[:] = 0
                lo = 0.0 if r == 0 else th
                hi = th if has and r == 0 else math.pi
                _piece(lo, up if r == 0 else down, hi, bottom[w], 1, x, y, t, c, kp, bp, part)
                sums[w] += weight * part
            if two and not flat:
                e = _e(th, c[0], c[1], kp, bp, c[5])
                ridge[j] = e
                if mirror and j > 0:
                    ridge[n - j] = e
                turn[0] += weight * _bulge(0.0, up, th, peak, y, c, kp, bp)
                turn[1] += weight * _bulge(th, down, math.pi, peak, y, c, kp, bp)
                if (e - peak) / t < 25:
                    g = _across(up, th, down, e, t, c, kp, bp)
                    flux += weight * g * math.exp((peak - e) / t)
    for w in range(2 if two else 1):
        if not stiff[w]:
            z[w] = sums[w, 0]
            for r in range(3):
                means[w, r] = sums[w, 1 + r] / z[w]
            if mirror:
                means[w, 1] = 0.0
    if not two:
        means[1] = means[0]
        return True
    out[4] = 1 / (1 + z[1] / z[0] * math.exp(min((bottom[0] - bottom[1]) / t, 700.0)))
    if flat:
        return True
    # The curvature along the ridge that gives the transition-state flux; see the module wells.
    total = 0.0
    for j in range(n):
        e0, e1, e2 = ridge[j - 1], ridge[j], ridge[(j + 1) % n]
        bend = e0 - 2 * e1 + e2
        if (e1 <= e0 and e1 < e2) or (e1 >= e0 and e1 > e2):
            e1 -= (e2 - e0) ** 2 / (8 * bend)
            total += math.exp((peak - e1) / t) * (1.0 if bend > 0 else -1.0)
    soft = hard * (total / flux) ** 2
    trace = trace - along + soft
    grow = al * trace
    det = hard * soft
    rate = (-grow + math.sqrt(grow * grow + 4 * (1 + al * al) * det)) / 2
    # Turns that lose less than kT come back before they fall; diffusion over the ridge remains.
    lost = np.maximum(al * turn / t / max(1.0, total), 1e-12)
    if min(lost[0], lost[1]) < 12:
        hindrance = _hindrance(lost[0]) * _hindrance(lost[1]) / _hindrance(lost[0] + lost[1])
        straight = min(al * hard, rate)
        rate = straight + hindrance * (rate - straight)
    flux *= rate / (1 + al * al) * t / hard
    out[0], out[1] = flux / z[0] * math.exp(-out[2]), flux / z[1] * math.exp(-out[3])
    return True
