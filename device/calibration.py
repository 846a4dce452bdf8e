"""Calibration: from one field sweep of both conductances to m_x and m_z.

The sweep's extremes are never taken as ±1.  Both conductances are fitted jointly,

    G_x = a_x + b_x·u(I),    G_z = a_z + b_z·sqrt(1 - u(I)²),

with u from the planar law (:mod:`device.planar`): what fixes the scale is the shape of the two
curves together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from db import JSON
from device.conductance import conductances
from device.planar import UNIT_RANGE, fit_unit_width, solve
from device.reading import CalibrationError
from instruments import Bench, SweepData

Array = NDArray[np.float64]
Verdict = Literal["good", "doubtful", "refused"]

#: What the planar law is allowed to miss, in units of the magnetisation.  It is fixed beforehand:
#: temperature, tilt and soft reference layers are not in the law, and are real.
MODEL_TERM = 0.01
#: Largest chi²/n, noise and model term together: a misfit of 2 % and 5 % of the magnetisation.
_GOOD, _DOUBTFUL = 4.0, 25.0
_DRIFT = 6.0  # largest mean difference of the two directions over the whole sweep, standard errors
#: Points of the windows in which the two directions are compared, and a response is looked for.
_WINDOW = 9
#: Least change within a direction, standard errors of a window's mean: white noise reaches 4 or 5.
_SIGNAL = 10.0
#: Largest mean difference of the two directions in a window, in standard errors with the model term
#: in them.  5 is out of reach of noise in some 200 windows, and with little noise 5 % of the
#: magnetisation; at twice that the fit lies between two responses and describes neither.
_LOOP, _LOOP_REFUSED = 5.0, 10.0
#: Largest noise of one reading, in units of the magnetisation.  5 % is the misfit that chi²
#: refuses, here only doubtful because noise averages out; at 15 % a reading of g = m_z² has an
#: error of 30 % at its maximum.
_NOISE, _NOISE_REFUSED = 0.05, 0.15


@dataclass(frozen=True)
class Calibration:
    """How one junction's conductances turn into magnetisation.

    Attributes:
        junction: its name.
        k_a, k2_a, hz_a, offset_a: effective parameters of the planar law, A.
        a_x_s, b_x_s, a_z_s, b_z_s: G_x = a_x + b_x·m_x, G_z = a_z + b_z·m_z, S.
        unit_width_a, center_a: I0 and I_off of the tanh that is closest to m_x, A.
        low_a, high_a: calibrated range of the field-line current, A.
        sigma_x, sigma_z: noise of one reading of m_x and m_z.
        chi2: chi² per point, noise and model term together.
        voltage_v: read voltage; the calibration holds for no other.
        common_ohm: the shared electrode's resistance that was taken off, ohm.
        tanh_rms, sech_rms: distance of m_x from tanh and of m_z from sech, RMS over three unit
            widths.
        verdict, reason: whether it may be used, and why not.
    """

    junction: str
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
    low_a: float
    high_a: float
    sigma_x: float
    sigma_z: float
    chi2: float
    voltage_v: float
    common_ohm: float
    tanh_rms: float
    sech_rms: float
    verdict: Verdict
    reason: str

    def m_x(self, g_x: Array) -> Array:
        """m_x from a conductance, S."""
        return (g_x - self.a_x_s) / self.b_x_s

    def m_z(self, g_z: Array) -> Array:
        """m_z from a conductance, S."""
        return (g_z - self.a_z_s) / self.b_z_s

    def magnetisation(self, data: SweepData) -> tuple[Array, Array]:
        """(m_x, m_z) of a sweep at this junction.

        Raises:
            CalibrationError: the sweep was read at another voltage.
        """
        if abs(data.voltage_v - self.voltage_v) > 1e-6:
            raise CalibrationError(
                f"{self.junction}: calibrated at {self.voltage_v * 1e3:g} mV and read at "
                f"{data.voltage_v * 1e3:g} mV; calibrate again"
            )
        g_x, g_z = conductances(data, self.common_ohm)
        return self.m_x(g_x), self.m_z(g_z)

    def record(self) -> Mapping[str, JSON]:
        """As the record keeps it."""
        return asdict(self)


def calibration_levels(range_a: float, points: int) -> Array:
    """Up and down again: each level twice, so that noise and hysteresis show, A, [2·points]."""
    up = np.linspace(-range_a, range_a, points)
    return np.concatenate((up, up[::-1]))


def measure(bench: Bench, junction: str, *, purpose: str = "calibrate") -> SweepData:
    """The sweep that a calibration is made from, as the bench file says.

    Raises:
        CalibrationError: a reading is in doubt.
    """
    plan = bench.file.calibration
    data = bench.sweep(
        junction, calibration_levels(plan.range, plan.points), purpose=purpose, order="given"
    )
    bad = int((~data.valid).sum())
    if bad:
        raise CalibrationError(
            f"{junction}: {bad} of {len(data.valid)} readings are in compliance or overflow; "
            "check the wiring and readout.lowest_resistance"
        )
    return data


def calibrate(bench: Bench, junction: str) -> tuple[Calibration, SweepData]:
    """Sweep a junction and fit it; the result is recorded.

    Raises:
        CalibrationError: the readings are in doubt or cannot be fitted at all.
    """
    data = measure(bench, junction)
    found = fit(data, bench.file.readout.common_resistance)
    bench.recorder.calibration(junction, found.record())
    return found, data


def _pairs(values: Array) -> tuple[Array, Array]:
    """The up and the down half, both by rising level."""
    half = len(values) // 2
    return values[:half], values[half:][::-1]


def _white(g: Array) -> float:
    """Noise of one reading from within the directions, so that hysteresis is not taken for noise.

    Median of the second differences' size, scaled for white noise: a response that is smooth from
    level to level, and a few jumps, do not count.
    """
    bends = np.abs(np.concatenate([np.diff(one, 2) for one in _pairs(g)]))
    return float(np.median(bends) / (0.6745 * np.sqrt(6)))


def _windowed(values: Array) -> Array:
    """Means over :data:`_WINDOW` neighbours."""
    means: Array = np.convolve(values, np.full(_WINDOW, 1 / _WINDOW), "valid")
    return means


def _loop(g: Array, slope: float, white: float) -> float:
    """Largest mean difference of the directions in a window, standard errors and model term."""
    up, down = _pairs(g)
    error = np.hypot(white * np.sqrt(2 / _WINDOW), MODEL_TERM * slope)
    return float((np.abs(_windowed(up - down)) / error).max())


def _lines(u: Array, g: Array) -> tuple[float, float]:
    """Least squares of g = a + b·u."""
    b, a = np.polyfit(u, g, 1)
    return float(a), float(b)


def fit(data: SweepData, common_ohm: float) -> Calibration:
    """Fit a sweep made at :func:`calibration_levels`.

    Args:
        data: the sweep, up then down.
        common_ohm: the shared electrode's resistance, ohm.

    Raises:
        CalibrationError: no response to fit, or a number that is not finite.
    """
    # What overflows or divides by zero is found below, as a number that is not finite.
    with np.errstate(all="ignore"):
        found = _fit(data, common_ohm)
    if not all(np.isfinite(v) for v in asdict(found).values() if isinstance(v, float)):
        raise CalibrationError(f"{data.junction}: the fit gives a number that is not finite")
    return found


def _fit(data: SweepData, common_ohm: float) -> Calibration:
    g_x, g_z = conductances(data, common_ohm)
    if not (np.isfinite(g_x).all() and np.isfinite(g_z).all() and np.isfinite(data.level_a).all()):
        raise CalibrationError(f"{data.junction}: the sweep holds a number that is not finite")
    if len(g_x) < 4 * _WINDOW:
        raise CalibrationError(f"{data.junction}: {len(g_x)} readings are too few to calibrate")
    # `noise` weighs the fit.  It comes from the differences of the directions, so hysteresis is in
    # it; the verdict goes by `white`, from within each direction.  A response that bends from level
    # to level enlarges that one, and is the same in both directions: the smaller one is meant.
    noise, white, halves = [], [], []
    for g in (g_x, g_z):
        up, down = _pairs(g)
        noise.append(float(np.std(up - down, ddof=1)) / np.sqrt(2))
        white.append(min(_white(g), noise[-1]))
        halves.append(float(np.mean(up - down)) / (white[-1] * np.sqrt(2 / len(up)) + 1e-30))
    current = data.level_a
    span = float(np.ptp(current)) / 2
    if any(
        max(np.ptp(_windowed(one)) for one in _pairs(g)) <= _SIGNAL * sigma / np.sqrt(_WINDOW)
        for g, sigma in zip((g_x, g_z), white, strict=True)
    ):
        raise CalibrationError(
            f"{data.junction}: the field changes a conductance by less than its noise; "
            "is the junction connected, and the field line driven?"
        )

    def parts(p: Array) -> tuple[Array, Array, Array, Array]:
        u = solve(current - p[3], float(p[0]), float(p[1]), float(p[2]))
        w = np.sqrt(1 - u * u)
        return u, w, np.array(_lines(u, g_x)), np.array(_lines(w, g_z))

    def miss(p: Array) -> Array:
        u, w, line_x, line_z = parts(p)
        # In units of the magnetisation, so that both channels weigh by what they know of it.
        x = (g_x - line_x[0] - line_x[1] * u) / np.hypot(noise[0], MODEL_TERM * line_x[1])
        z = (g_z - line_z[0] - line_z[1] * w) / np.hypot(noise[1], MODEL_TERM * line_z[1])
        return np.concatenate((x, z))

    start = np.array([span / 5, span / 8, span / 15, 0.0])
    try:
        found = least_squares(
            miss,
            start,
            bounds=(
                [span * 1e-3, 0, span * 2e-4, -span / 2],
                [span * 3, span * 3, span * 3, span / 2],
            ),
            x_scale=[span / 10] * 4,
        )
    except ValueError as error:  # SciPy's word for a residual that is not finite
        raise CalibrationError(f"{data.junction}: the sweep cannot be fitted ({error})") from error
    p = found.x
    u, _, (a_x, b_x), (a_z, b_z) = parts(p)
    chi2 = float(2 * found.cost / (len(found.fun) - 8))
    m_x, m_z = (g_x - a_x) / b_x, (g_z - a_z) / b_z
    width, center = fit_unit_width(current, m_x)
    low = max(center - UNIT_RANGE * width, float(current.min()))
    high = min(center + UNIT_RANGE * width, float(current.max()))
    inside = (current >= low) & (current <= high)
    x = (current[inside] - center) / width
    verdict, reason = _judge(
        chi2,
        max(abs(half) for half in halves),
        max(_loop(g_x, b_x, white[0]), _loop(g_z, b_z, white[1])),
        max(noise[0] / abs(b_x), noise[1] / abs(b_z)),
        min(high - center, center - low) / width,
        float(np.abs(u).max()),
    )
    return Calibration(
        junction=data.junction,
        k_a=float(p[0]),
        k2_a=float(p[1]),
        hz_a=float(p[2]),
        offset_a=float(p[3]),
        a_x_s=a_x,
        b_x_s=b_x,
        a_z_s=a_z,
        b_z_s=b_z,
        unit_width_a=width,
        center_a=center,
        low_a=low,
        high_a=high,
        sigma_x=noise[0] / abs(b_x),
        sigma_z=noise[1] / abs(b_z),
        chi2=chi2,
        voltage_v=data.voltage_v,
        common_ohm=common_ohm,
        tanh_rms=float(np.sqrt(np.mean((m_x[inside] - np.tanh(x)) ** 2))),
        sech_rms=float(np.sqrt(np.mean((m_z[inside] - 1 / np.cosh(x)) ** 2))),
        verdict=verdict,
        reason=reason,
    )


def _judge(
    chi2: float, drift: float, loop: float, noise: float, widths: float, reach: float
) -> tuple[Verdict, str]:
    differ = (
        f"up and down sweeps differ by {loop:.1f} standard errors over {_WINDOW} neighbouring "
        "levels: hysteresis or drift"
    )
    noisy = f"the noise of one reading is {noise:.0%} of the magnetisation"
    poorly = f"(chi²/n = {chi2:.1f})"
    # Hysteresis first, for it spoils the fit and all that follows from it; noise after the law, for
    # a fit that fails makes a slope small and the noise large in its units.
    if loop > _LOOP_REFUSED:
        return "refused", differ
    if chi2 > _DOUBTFUL:
        return "refused", f"the planar law does not describe this response {poorly}"
    if reach < 0.8:
        return "refused", (
            f"the fit takes the sweep for {reach:.0%} of saturation: it is too short, or this is "
            "not a planar response"
        )
    if noise > _NOISE_REFUSED:
        return "refused", noisy
    if loop > _LOOP:
        return "doubtful", differ
    if noise > _NOISE:
        return "doubtful", noisy
    if chi2 > _GOOD:
        return "doubtful", f"the planar law describes this response poorly {poorly}"
    if drift > _DRIFT:
        return "doubtful", "up and down sweeps differ on the whole: hysteresis or drift"
    if widths < 2:
        return "doubtful", "the sweep does not reach two unit widths on both sides"
    return "good", ""
