"""What a response curve (m_x, m_z against the field along x) amounts to.

Fields in T; curves are symmetric in the field and have m_z > 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.optimize import brentq, least_squares

from sim_backend.llg import equilibrium
from sim_backend.llg.model import FreeLayer
from sim_backend.llg.thermal import boltzmann

Array = NDArray[np.float64]
WIDTHS = 3.0  # distances are taken over this many unit widths to each side


class ResponseError(ValueError):
    """A curve without the figures asked for."""


@dataclass(frozen=True)
class Curve:
    """Mean magnetisation against the field along x; ``h_t`` in T, rising."""

    h_t: Array
    m_x: Array
    m_z: Array


@dataclass(frozen=True)
class PlanarFit:
    """The planar law nearest to a curve: h(u) = k u + hz u/sqrt(1 - u²) + k2 u³, u = m_x.

    ``rms_x`` and ``rms_z`` are what is left in m_x and m_z.
    """

    k_t: float
    hz_t: float
    k2_t: float
    rms_x: float
    rms_z: float


@dataclass(frozen=True)
class Distance:
    """How far a curve is from tanh: RMS over three unit widths to each side.

    Args:
        unit_width_t: h0 of the least-squares fit of m_x to tanh(h/h0) over |h| <= 3 h0, T.
        tanh_rms: of m_x - tanh(h/h0).
        sech_rms: of m_z - sech(h/h0).
        slope_rms: of m_z² - h0 dm_x/dh: the paper's gradient against the curve's own slope.
        law_rms: of the slope by the planar law from the angle of (m_x, m_z), in place of m_z²; with
            the curve's fit.
    """

    unit_width_t: float
    tanh_rms: float
    sech_rms: float
    slope_rms: float
    law_rms: float


def planar_angle(h_t: Array, k_t: float, hz_t: float, k2_t: float) -> Array:
    """Angle θ from +z towards +x of the planar law's well with m_z > 0, rad; by bisection."""
    low, high = np.zeros(h_t.shape), np.full(h_t.shape, np.pi / 2)
    for _ in range(52):
        middle = (low + high) / 2
        u = np.sin(middle)
        below = k_t * u + hz_t * np.tan(middle) + k2_t * u**3 < np.abs(h_t)
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    result: Array = np.sign(h_t) * (low + high) / 2
    return result


def planar_slope(m_z: Array, k_t: float, hz_t: float, k2_t: float) -> Array:
    """dm_x/dh of the planar law as a function of m_z alone, 1/T."""
    c3 = m_z**3
    result: Array = c3 / (hz_t + k_t * c3 + 3 * k2_t * c3 * (1 - m_z**2))
    return result


def fit_planar(curve: Curve) -> PlanarFit:
    """Least squares of (k, hz, k2) on m_x and m_z together."""
    # Start: the initial slope is 1/(k + hz).
    scale = float(np.interp(0.5, curve.m_x, curve.h_t)) / 0.5

    def left(x: Array) -> Array:
        angle = planar_angle(curve.h_t / scale, *x)
        return np.concatenate((np.sin(angle) - curve.m_x, np.cos(angle) - curve.m_z))

    found = least_squares(left, (0.8, 0.2, 0.2), bounds=((-5, 1e-6, -5), (20, 20, 20)),
                          diff_step=1e-5, xtol=1e-9, ftol=1e-10)  # fmt: skip
    rms_x, rms_z = (float(np.sqrt(np.mean(part**2))) for part in np.split(left(found.x), 2))
    k, hz, k2 = (float(value) * scale for value in found.x)
    return PlanarFit(k, hz, k2, rms_x, rms_z)


def unit_width_t(curve: Curve) -> float:
    """h0 of the least-squares fit of m_x to tanh(h/h0) over |h| <= 3 h0, T.

    Window and fit belong together, so h0 is the root of the fit's normal equation.

    Raises:
        ResponseError: no such h0, or the curve does not reach three of them.
    """
    m_x = CubicSpline(curve.h_t, curve.m_x)
    u = np.linspace(0, WIDTHS, 121)
    weight = u / np.cosh(u) ** 2

    def normal(h0: float) -> float:
        return float(((m_x(h0 * u) - np.tanh(u)) * weight).sum())

    widest = float(min(curve.h_t[-1], -curve.h_t[0])) / WIDTHS
    narrowest = widest / 200
    if not normal(narrowest) < 0 < normal(widest):
        raise ResponseError(
            f"the curve has no unit width up to {widest * 1e3:.4g} mT, a third of its largest field"
        )
    return float(brentq(normal, narrowest, widest, xtol=1e-12))


def around(sweep: Callable[[Array], Curve], reach_t: float, points: int) -> Curve:
    """A curve to a little beyond three unit widths.

    Args:
        sweep: measures the curve at given fields, T.
        reach_t: largest field of a first look, T; doubled up to four times.
        points: of the curve, from -h to +h.

    Raises:
        ResponseError: no unit width was found.
    """
    for doubled in range(5):
        try:
            width = unit_width_t(sweep(np.linspace(-1, 1, 33) * reach_t * 2**doubled))
            break
        except ResponseError:
            if doubled == 4:
                raise
    return sweep(np.linspace(-1, 1, points) * 1.05 * WIDTHS * width)


def distance(curve: Curve, fit: PlanarFit) -> Distance:
    """Distance of a curve from tanh, sech, and of m_z² from the slope."""
    h0 = unit_width_t(curve)
    u = np.linspace(-WIDTHS, WIDTHS, 241)
    spline = CubicSpline(curve.h_t, curve.m_x)
    m_x, slope = spline(h0 * u), spline(h0 * u, 1) * h0
    m_z = CubicSpline(curve.h_t, curve.m_z)(h0 * u)
    # The angle of both readings, as gradient.planar_slopes: motion shortens them alike.
    c = np.cos(np.arctan2(m_x, m_z))
    law = planar_slope(c, fit.k_t, fit.hz_t, fit.k2_t) * h0

    def rms(error: Array) -> float:
        return float(np.sqrt(np.mean(error**2)))

    return Distance(
        h0, rms(m_x - np.tanh(u)), rms(m_z - 1 / np.cosh(u)), rms(m_z**2 - slope), rms(law - slope)
    )


def boltzmann_mean(layer: FreeLayer, current_a: Array) -> tuple[Array, Array]:
    """Mean (m_x, m_z) over the whole sphere, weighted with exp(-E/kT), by quadrature.

    What a slow reading sees of a layer that hops between its wells; and of one that does not, if
    its bias empties the other well: hz of 3 kT/(Ms V) leaves it 0.2 %.  Nodes as close as the
    narrowest peak asks for, to 1e-12; at most 256 each way, for barriers of some hundred kT.
    """
    b_x, b_z = layer.fields_t(current_a)
    layers, t = (layer.k_t, layer.k2_t, layer.ky_t), layer.thermal_field_t
    reach = np.abs(layers).sum() + 2 * np.hypot(b_x, b_z).max(initial=0.0)
    nodes = int(np.clip(6 * np.sqrt(reach / t), 64, 256))
    mean = np.empty((2, len(current_a)))
    for at, (x, z) in enumerate(zip(b_x, b_z, strict=True)):
        mean[:, at] = boltzmann(*layers, np.array([x, 0.0, z]), t, nodes)[0][::2]
    return mean[0], mean[1]


def layer_curve(layer: FreeLayer, points: int = 121) -> Curve:
    """A macrospin's curve at its temperature, by quadrature; at T = 0 its rest states."""

    def sweep(h: Array) -> Curve:
        current = h / layer.field_constant_t_per_a
        if layer.temperature_k > 0:
            return Curve(h, *boltzmann_mean(layer, current))
        angle = equilibrium.angle(layer, current)
        return Curve(h, np.sin(angle), np.cos(angle))

    own = layer.k_t + layer.k2_t + layer.hz_t + layer.thermal_field_t
    return around(sweep, 5 * own, points)


def stability(layer: FreeLayer) -> float:
    """Δ = Ms V (k/2 + k2/4)/kT: the macrospin's barrier between +z and -z without any field, in kT.

    An element that reverses by nucleation has a lower one.
    """
    if layer.thermal_field_t == 0:
        return float("inf")
    return (layer.k_t / 2 + layer.k2_t / 4) / layer.thermal_field_t
