"""How far a calibration may be off: from noise alone, and in total.

Everything is linear in small errors.  In units of the magnetisation, with e the error of each
reading of both channels ([2N]), the joint fit moves its eight parameters by P·e; a later reading
at the current I, converted by the calibration, is off by e(I) - A(I)·P·e, where A says what the
straight lines' errors do at I.

**Statistical.**  e is white noise, its size from the sweep's two directions.  The weights hold b,
so least squares prefers a larger b: a known shift, half a standard error on the demonstration
bench.  It is added in quadrature, which makes these errors root mean square ones.

**Total.**  e is also what the planar law misses: a smooth curve in each channel, a sum of
independent bumps one unit width wide (a Gaussian process with that correlation length), of RMS t.
Part of it stays in the residuals, where it shows by being correlated from level to level, and the
fit takes up the rest unseen; so the size of the one tells that of the other.
t² = t_seen² + MODEL_TERM², with t_seen² from the quadratic form that looks for such bumps in the
residuals, less what noise gives there (the idea of MINQUE, C. R. Rao, J. Multivariate Anal. 1, 257
(1971)).  And m_x and m_z have a common factor that no fit can see, because heat shortens the mean
vector that the law takes for one of length 1: MODEL_TERM again.

The rule knows neither which imperfections there are nor how large; it was fixed before its coverage
was counted (decision 17).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from device.calibration_fit import MODEL_TERM, Joint, law_derivatives
from device.planar import UNIT_RANGE
from device.reading import Array

_BAND_POINTS = 25  # levels at which the errors of m_x and m_z are kept


@dataclass(frozen=True)
class ParameterErrors:
    """Standard errors, named and measured as the parameters of a calibration."""

    k_a: float
    k2_a: float
    hz_a: float
    offset_a: float
    a_x_s: float
    b_x_s: float
    a_z_s: float
    b_z_s: float
    unit_width_a: float
    center_a: float


@dataclass(frozen=True)
class ErrorBand:
    """Standard errors of m_x and m_z that the calibration adds to a reading's own noise.

    Attributes:
        level_a: field-line currents, A.
        x, z: statistical.
        x_total, z_total: with the model term.
    """

    level_a: tuple[float, ...]
    x: tuple[float, ...]
    z: tuple[float, ...]
    x_total: tuple[float, ...]
    z_total: tuple[float, ...]


@dataclass(frozen=True)
class Errors:
    """All that is known of the errors of a fit.

    Attributes:
        statistical, total: of its parameters.
        band: of m_x and m_z.
        misfit: t_seen, RMS of the smooth misfit that the residuals show, in units of the
            magnetisation.
        length: statistical error of the vector's length; 0 where it is not measured.
    """

    statistical: ParameterErrors
    total: ParameterErrors
    band: ErrorBand
    misfit: float
    length: float


def errors_of(
    joint: Joint,
    current_a: Array,
    residual: tuple[Array, Array],
    sigma: tuple[float, float],
    unit: tuple[float, float],
    states: float | None = None,
) -> Errors:
    """Errors of a joint fit.

    Args:
        joint: the fit.
        current_a: field-line currents of the sweep, A, [N].
        residual: what the fit leaves of m_x and m_z, [N] each.
        sigma: noise of one reading of m_x and m_z.
        unit: unit width and centre, A.
        states: where both states of the z layer have been reached, the standard error of the mean
            and of half the difference of their conductances, over b_z.
    """
    n, u, w = len(current_a), joint.u, joint.w
    law_x, law_z = law_derivatives(u, joint.law_a)
    none = np.zeros((n, 2))
    design = np.vstack((np.hstack((law_x, _line(u), none)), np.hstack((law_z, none, _line(w)))))
    noise = np.repeat(sigma, n)
    weight = 1 / np.hypot(noise, MODEL_TERM)
    # With both states reached, a_z (column 6) is not fitted.
    fitted = np.arange(8) if states is None else np.array([0, 1, 2, 3, 4, 5, 7])
    inverse = np.zeros((8, 2 * n))
    inverse[fitted] = np.linalg.pinv(design[:, fitted] * weight[:, None])
    respond = inverse * weight  # P: parameters per error of a reading, straight lines over their b
    pull = np.zeros(8)  # minus the slope of half chi² with ln b, where the residuals are noise
    pull[5], pull[7] = (n * (s * MODEL_TERM / (s * s + MODEL_TERM**2)) ** 2 for s in sigma)
    shift = inverse @ inverse.T @ pull
    bumps = _both(_bumps(current_a, current_a, unit[0]))
    seen = _seen(np.concatenate(residual), design, respond, bumps, noise, weight)
    size = float(np.hypot(seen, MODEL_TERM))

    by_states = np.zeros((8, 0 if states is None else 2))
    length = 0.0
    if states is not None:
        length = float(np.hypot(np.linalg.norm(respond[7] * noise), states))
        by_states[:, 0] = -respond @ design[:, 6]
        by_states[6, 0] = 1
        # b_z is the states', and b_x is taken over the length, (fitted b_z)/b_z.
        swap = np.eye(8)
        swap[5, 7], swap[7, 7] = -1, 0
        respond, shift, by_states = swap @ respond, swap @ shift, swap @ by_states
        by_states[[5, 7], 1] = 1
    moved = respond @ bumps

    def error(
        by_fit: Array, by_noise: Array | float = 0.0, by_bumps: Array | float = 0.0
    ) -> tuple[Array, Array]:
        """Statistical and total errors of Q numbers, by what they change with, [Q, ...]."""
        statistical = np.square((by_fit @ respond + by_noise) * noise).sum(1)
        statistical += np.square(by_fit @ by_states * (states or 0.0)).sum(1)
        statistical += np.square(by_fit @ shift)
        model = np.square(size * (by_fit @ moved + by_bumps)).sum(1)
        return np.sqrt(statistical), np.sqrt(statistical + model)

    parameters = error(np.eye(8))
    # Unit width and centre are a fit of tanh to the converted readings of m_x.
    lift = _tanh_fit(current_a, unit)
    by_noise = np.hstack((lift, np.zeros_like(lift)))
    widths = error(-lift @ design[:n, 4:6] @ np.eye(8)[4:6], by_noise, by_noise @ bumps)
    scale = np.abs([1.0] * 4 + [joint.line_x[1]] * 2 + [joint.line_z[1]] * 2)
    statistical, total = (
        ParameterErrors(*np.concatenate((scale * p, q)).tolist())
        for p, q in zip(parameters, widths, strict=True)
    )

    level = np.linspace(current_a.min(), current_a.max(), _BAND_POINTS)
    here = _both(_bumps(current_a, level, unit[0]))
    order = np.argsort(current_a, kind="stable")
    m_x = np.interp(level, current_a[order], u[order])
    m = np.concatenate((m_x, np.sqrt(1 - m_x * m_x)))
    lines = _both(np.ones((_BAND_POINTS, 2)))
    lines[:, 1] *= m
    lines[:, 3] *= m
    readings, readings_total = error(-lines @ np.eye(8)[4:], by_bumps=here)
    if states is None:
        readings_total = np.hypot(readings_total, MODEL_TERM * m)
    band = ErrorBand(
        *(_plain(v) for v in (level, *np.split(readings, 2), *np.split(readings_total, 2)))
    )
    return Errors(statistical, total, band, seen, length)


def _line(m: Array) -> Array:
    """How a straight line over m changes with its two parameters, [N, 2]."""
    return np.column_stack((np.ones_like(m), m))


def _both(part: Array) -> Array:
    """The same for each channel, [2·N, 2·B] from [N, B]."""
    return np.kron(np.eye(2), part).astype(np.float64)


def _bumps(current_a: Array, level_a: Array, width_a: float) -> Array:
    """Bumps one unit width wide, half of one apart, at ``level_a``, [L, B].

    Independent, of size 1, they add up to a curve of RMS 1 whose correlation falls with
    exp(-d²/2) at a distance of d unit widths.
    """
    width_a = max(width_a, float(np.ptp(current_a)) / 60)  # of a fit that failed it may be 0
    step = width_a / 2
    reach = 4 * step
    centers = np.arange(current_a.min() - reach, current_a.max() + reach + step, step)
    distance = (level_a[:, None] - centers) / width_a
    bumps: Array = np.exp(-(distance**2)) * (step / (width_a * np.sqrt(np.pi / 2))) ** 0.5
    return bumps


def _seen(
    residual: Array, design: Array, respond: Array, bumps: Array, noise: Array, weight: Array
) -> float:
    """RMS of the smooth misfit that the residuals show; 0: no more than noise gives."""
    left = bumps - design @ (respond @ bumps)  # what the fit leaves of each bump
    look = left * weight[:, None] ** 2
    found = np.square(look.T @ residual).sum()
    by_noise = np.square((look - respond.T @ (design.T @ look)) * noise[:, None]).sum()
    return float(np.sqrt(max(0.0, found - by_noise) / np.square(look.T @ left).sum()))


def _tanh_fit(current_a: Array, unit: tuple[float, float]) -> Array:
    """How unit width and centre change with each reading of m_x, [2, N]."""
    width, center = unit
    x = (current_a - center) / width
    near = np.abs(x) <= UNIT_RANGE
    slope = -1 / np.cosh(x[near]) ** 2 / width
    lift = np.zeros((2, len(current_a)))
    lift[:, near] = np.linalg.pinv(np.column_stack((x[near] * slope, slope)))
    return lift


def _plain(values: Array) -> tuple[float, ...]:
    """Six digits, so that a record stays small."""
    return tuple(float(f"{value:.6g}") for value in values)
