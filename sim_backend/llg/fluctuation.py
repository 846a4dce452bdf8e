"""Thermal motion in a well as a reading sees it: mean, and covariance over any window.

About a rest state the equation of motion of :mod:`sim_backend.llg.kernel` is linear in the turn x
of m within its tangent plane, where m×· turns by a right angle, J::

    ẋ = -L x + γ'(α - J) b,   L = γ'(α - J) H,   γ' = γ/(1+α²)

with the stiffness H of :func:`sim_backend.llg.gradient.stiffness_t` (torque included) and Brown's
white thermal field, <b_i(t) b_j(0)> = 2α T/γ δ_ij δ(t), T = kT/(Ms V) (Phys. Rev. 130, 1677
(1963)).  Its covariance C = <x xᵀ> obeys L C + C Lᵀ = 2αγ' T and is T H⁻¹ without torque;
<x(s) xᵀ(0)> = exp(-L s) C.  The mean over a window t has the covariance

    2 sym ∫₀ᵗ ds (t - s)/t² exp(-L s) C   →   S/(2t),   S = 4α T/γ χ χᵀ,  χ = H⁻¹

S being the one-sided density at low frequencies (for heads: N. Smith and P. Arnett, Appl. Phys.
Lett. 78, 1448 (2001)).

In second order in T the motion shifts its own centre: m is shortened by x²/2, and the well is no
parabola, so that slowly m_i moves by xᵀM_i x/2.  The average of that is Laplace's correction of the
mean, tr(M_i C)/2; its correlation is tr(M_i Cs M_j Csᵀ)/2 with Cs = exp(-L s) C (Isserlis' theorem
for normal variables).  It goes with T²/α where the linear part goes with αT: the energy of the
motion changes slowly where the damping is small, and for small junctions it is most of the noise.
Left out are the corrections of the linear part, a few times T/(curvature) of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim_backend.llg.fields import Fields
from sim_backend.llg.gradient import stiffness_t
from sim_backend.llg.model import GAMMA_RAD_PER_S_T
from sim_backend.llg.ranges import ParameterError, check

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]
# Newton's method: steps, the largest turn in one of them (rad), the torque left (of the largest
# field) that counts as rest.
_STEPS, _REACH, _REST = 30, 0.3, 1e-9


@dataclass(frozen=True)
class Rest:
    """Rest states: shapes [...] of the fields."""

    m: Array  #: unit vectors, [..., 3]
    stable: NDArray[np.bool_]  #: at rest, and small deviations die out at the layer's α, [...]


def rest_near(fields: Fields, m: Array) -> Rest:
    """The rest states next to unit vectors m [..., 3], such as thermal averages, by Newton's method
    with the torque of the read current."""
    shape = np.broadcast_shapes(fields.shape, m.shape[:-1])
    m = np.array(np.broadcast_to(m, (*shape, 3)))
    m /= np.linalg.norm(m, axis=-1, keepdims=True)
    scale = np.broadcast_to(fields.largest_t, shape)[..., None]
    for _ in range(_STEPS):
        push = _push(fields, m)
        if (np.abs(push) <= _REST * 1e-3 * scale).all():
            break
        frame = _frame(m)
        h = _in_plane(stiffness_t(fields, m), frame)
        # Away from a well the stiffness may have no inverse: the step is cut to _REACH anyway.
        det = h[..., 0, 0] * h[..., 1, 1] - h[..., 0, 1] * h[..., 1, 0]
        det = np.where(np.abs(det) > 1e-14 * scale[..., 0] ** 2, det, 1e-14 * scale[..., 0] ** 2)
        p = np.einsum("...ia,...i->...a", frame, push)
        x = (h[..., 1, 1] * p[..., 0] - h[..., 0, 1] * p[..., 1]) / det
        y = (h[..., 0, 0] * p[..., 1] - h[..., 1, 0] * p[..., 0]) / det
        length = np.hypot(x, y)
        cut = _REACH / np.maximum(length, _REACH)
        m = m + frame[..., 0] * (x * cut)[..., None] + frame[..., 1] * (y * cut)[..., None]
        m /= np.linalg.norm(m, axis=-1, keepdims=True)
    at_rest = (np.abs(_push(fields, m)) <= _REST * scale).all(-1)
    trace, det = _trace_det(_rates(fields, m))
    return Rest(m, at_rest & (trace > 0) & (det > 0))


def window_covariance(fields: Fields, m: Array, window_s: ArrayLike) -> Array:
    """Covariance of the mean m over a window, by thermal motion in the well, [..., 3, 3].

    Against the equation of motion, windows longer than the relaxation time: variances right to 5 %
    where T is below 1e-3 of the well's least curvature, to 30 % at 1e-2 (the default junction).
    Hops to another well are not in it.

    Args:
        fields: shape [...].
        m: rest states, or unit vectors next to them, [..., 3].
        window_s: s, above 0, [...].

    Raises:
        ParameterError: no stable rest state is next to one of the vectors; a window out of range.
    """
    window = check("window_s", window_s, 0, 1e9, closed=False)
    return _covariance(fields, m, lambda rate: _phi(rate * window))


def density_per_hz(fields: Fields, m: Array) -> Array:
    """One-sided spectral density S of m at low frequencies, 1/Hz, [..., 3, 3].

    The mean over a window t that is long against the relaxation time, (αγ tr H/2)⁻¹, has the
    covariance S/(2t).  Arguments and errors as in :func:`window_covariance`.
    """
    return 2 * _covariance(fields, m, lambda rate: 1 / rate)


def mean(fields: Fields, m: Array) -> Array:
    """Mean m over the thermal motion in the well, [..., 3], to first order in T.

    As :func:`sim_backend.llg.equilibrium.mean`, in three dimensions and with the torque of the read
    current.  Arguments and errors as in :func:`window_covariance`.
    """
    m = _stable(fields, m)
    c = _spread(fields, _rates(fields, m))
    result: Array = m + np.einsum("...iab,...ab->...i", _shifts(fields, m), c) / 2
    return result


def _stable(fields: Fields, m: Array) -> Array:
    """The rest states next to ``m``, or a sentence."""
    rest = rest_near(fields, m)
    if not rest.stable.all():
        at = tuple(np.argwhere(~rest.stable)[0])
        place = f" at index {', '.join(str(int(i)) for i in at)}" if at else ""
        start = np.broadcast_to(m, rest.m.shape)[at].round(6).tolist()
        raise ParameterError(
            f"m{place} is {start}, with no stable rest state next to it; fluctuations in a well "
            "need one"
        )
    return rest.m


def _spread(fields: Fields, rates: Array) -> Array:
    """C = <x xᵀ>: the solution of L C + C Lᵀ = power in two dimensions, [..., 2, 2]."""
    power = 2 * fields.alpha * GAMMA_RAD_PER_S_T * fields.thermal_t / (1 + fields.alpha**2)
    trace, det = _trace_det(rates)
    one = np.eye(2)
    other = rates - trace[..., None, None] * one
    c = det[..., None, None] * one + other @ np.swapaxes(other, -1, -2)
    result: Array = c * (power / (2 * trace * det))[..., None, None]
    return result


def _covariance(fields: Fields, m: Array, over: Callable[[Complex], Complex]) -> Array:
    """∫ ds w(s) of both correlations, twice; ``over`` gives ∫ ds w(s) exp(-rate s)."""
    m = _stable(fields, m)
    rates = _rates(fields, m)
    trace, det = _trace_det(rates)
    c = _spread(fields, rates)
    # exp(-L s) = exp(-h s) (cosh(q s) - (L - h) sinh(q s)/q), h = tr/2, q² = h² - det; q = 0
    # (critical damping) is kept off by 1e-4 h, for an error of 1e-8.
    half = trace / 2
    square = half**2 - det
    q = np.sqrt(np.where(np.abs(square) < 1e-8 * half**2, 1e-8 * half**2, square) + 0j)
    d = (rates - half[..., None, None] * np.eye(2)) @ c
    slow, fast = (over(np.asarray(rate)) for rate in (half - q, half + q))
    even, odd = ((slow + fast) / 2).real, ((slow - fast) / (2 * q)).real
    first = even[..., None, None] * c - odd[..., None, None] * d
    first = first + np.swapaxes(first, -1, -2)
    frame = _frame(m)
    result: Array = frame @ first @ np.swapaxes(frame, -1, -2)
    slow, middle, fast = (over(np.asarray(trace + 2 * n * q)) for n in (-1, 0, 1))
    shift = _shifts(fields, m)
    both = (slow + fast) / 2
    second = _pairs(shift, c, c) * ((middle + both) / 2).real[..., None, None]
    mixed = _pairs(shift, c, d) + _pairs(shift, d, c)
    second -= mixed * ((slow - fast) / (4 * q)).real[..., None, None]
    second += _pairs(shift, d, d) * ((both - middle) / (2 * q**2)).real[..., None, None]
    result += (second + np.swapaxes(second, -1, -2)) / 2
    return result


def _pairs(shift: Array, u: Array, v: Array) -> Array:
    """tr(M_i u M_j vᵀ), [..., 3, 3]."""
    result: Array = np.einsum("...iab,...bc,...jcd,...ad->...ij", shift, u, shift, v)
    return result


def _shifts(fields: Fields, m: Array) -> Array:
    """M_i, [..., 3, 2, 2]: motion x about the rest state moves the mean of m_i by xᵀ M_i x/2."""
    frame = _frame(m)
    z = m[..., 2]
    own = np.zeros((*m.shape, 3))  # ∂B/∂m
    own[..., 1, 1] = -fields.ky_t
    own[..., 2, 2] = fields.k_t + fields.k2_t * (1 - 3 * z**2)
    flat = np.swapaxes(frame, -1, -2)
    bend = (flat @ own @ m[..., None])[..., 0]  # of B'm, in the plane
    up = frame[..., 2, :]
    a = (flat @ np.broadcast_to(fields.a_t, m.shape)[..., None])[..., 0]
    b = (flat @ fields.field_t(m)[..., None])[..., 0]
    one, turn = np.eye(2), np.array([[0.0, -1.0], [1.0, 0.0]])
    # The field that x makes in second order, F_c = xᵀ f_c x/2.
    f = -bend[..., :, None, None] * one
    sharp = np.broadcast_to(-6 * fields.k2_t * z, z.shape)[..., None, None, None]
    f = f + sharp * up[..., :, None, None] * up[..., None, :, None] * up[..., None, None, :]
    f = f - one[:, :, None] * (2 * bend + b)[..., None, None, :]
    f = f - turn[:, :, None] * a[..., None, None, :]
    f = (f + np.swapaxes(f, -1, -2)) / 2
    chi = np.linalg.inv(_in_plane(stiffness_t(fields, m), frame))
    moved = np.einsum("...ic,...cd,...dab->...iab", frame, chi, f)
    result: Array = moved - m[..., :, None, None] * one
    return result


def _phi(z: Complex) -> Complex:
    """∫₀¹ ds (1 - s) exp(-z s) = (z - 1 + exp(-z))/z²."""
    small = np.abs(z) < 0.05
    safe = np.where(small, 1.0, z)
    series = 1 / 2 - z * (1 / 6 - z * (1 / 24 - z * (1 / 120 - z * (1 / 720 - z / 5040))))
    result: Complex = np.where(small, series, (safe - 1 + np.exp(-safe)) / safe**2)
    return result


def _push(fields: Fields, m: Array) -> Array:
    """The part across m of the field and of the torque's field m×a, T, [..., 3]."""
    whole = fields.field_t(m) + np.cross(m, fields.a_t)
    result: Array = whole - (whole * m).sum(-1, keepdims=True) * m
    return result


def _frame(m: Array) -> Array:
    """Two unit vectors e, m×e across m as columns, [..., 3, 2]."""
    least = np.eye(3)[np.abs(m).argmin(-1)]
    e = least - (least * m).sum(-1, keepdims=True) * m
    e /= np.linalg.norm(e, axis=-1, keepdims=True)
    return np.stack((e, np.cross(m, e)), axis=-1)


def _in_plane(h: Array, frame: Array) -> Array:
    result: Array = np.swapaxes(frame, -1, -2) @ h @ frame
    return result


def _rates(fields: Fields, m: Array) -> Array:
    """L, 1/s, [..., 2, 2]."""
    alpha = np.asarray(fields.alpha)[..., None, None]
    turn = alpha * np.eye(2) - np.array([[0.0, -1.0], [1.0, 0.0]])
    h = _in_plane(stiffness_t(fields, m), _frame(m))
    result: Array = GAMMA_RAD_PER_S_T / (1 + alpha**2) * turn @ h
    return result


def _trace_det(a: Array) -> tuple[Array, Array]:
    return a[..., 0, 0] + a[..., 1, 1], a[..., 0, 0] * a[..., 1, 1] - a[..., 0, 1] * a[..., 1, 0]
