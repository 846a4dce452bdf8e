"""The planar twin: three effective parameters of a junction, from its sweeps, with uncertainty.

k, k2 and hz of the planar law (:mod:`device.planar`) are fitted to both conductances of all sweeps
of a junction together, with the offset of the current and the two straight lines from m to G:

    G_x = a_x + b_x·u(I),     G_z = a_z + b_z·sqrt(1 - u(I)²).

For given (k, k2, hz, offset) the lines follow by linear regression, so the fit has four parameters
(variable projection; Golub and Pereyra, SIAM J. Numer. Anal. 10, 413 (1973)).

Errors are those of a least-squares fit whose law may be wrong (the sandwich; White, Econometrica
50, 1 (1982)): bread·meat·bread with bread = (JᵀJ)⁻¹.

- statistical: the meat is what the noise makes of it.  It is the error against the fit to the same
  response without noise, which is what an effective parameter means.
- total: the meat is made from the residuals themselves, summed over stretches of the sweep, so that
  a misfit, which is alike in neighbouring points, counts as what it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from scipy.optimize import least_squares

from db import JSON
from device.conductance import conductances
from device.curve_smoothing import noise
from device.planar import UNIT_RANGE, fit_unit_width, solve
from device.reading import Array, CalibrationError
from instruments import SweepData

_STRETCHES = 24  # of the sweep, for the total error
_LEAST_READINGS = 40
_NO_RESPONSE = 0.5  # RMS of the residuals, in units of the magnetisation: the fit is to noise
#: of k, k2, hz and offset, in half the width of the sweep
_BOUNDS = ((1e-3, 0.0, 2e-4, -0.5), (3.0, 3.0, 3.0, 0.5))
NAMES = ("k_a", "k2_a", "hz_a", "offset_a")


@dataclass(frozen=True)
class PlanarTwin:
    """The planar law of one junction.

    Attributes:
        junction: its name.
        k_a, k2_a, hz_a, offset_a: effective parameters, A.
        statistical_a, total_a: their standard errors in that order, A.
        a_x_s, b_x_s, a_z_s, b_z_s: G_x = a_x + b_x·m_x, G_z = a_z + b_z·m_z, S.
        unit_width_a, center_a: I0 and I_off of the tanh that is closest to the twin's m_x, A.
        low_a, high_a: three unit widths to each side, as far as it was swept, A.
        sigma_x, sigma_z: noise of one reading of m_x and m_z.
        rms_x, rms_z: residuals of m_x and m_z, RMS, noise among them.
        at_bound: parameters that stand at the edge of what is tried; their errors mean nothing.
        sweeps, voltage_v, common_ohm: what it was made from.
    """

    junction: str
    k_a: float
    k2_a: float
    hz_a: float
    offset_a: float
    statistical_a: tuple[float, float, float, float]
    total_a: tuple[float, float, float, float]
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
    rms_x: float
    rms_z: float
    at_bound: tuple[str, ...]
    sweeps: int
    voltage_v: float
    common_ohm: float

    def magnetisation(self, current_a: Array) -> tuple[Array, Array]:
        """(m_x, m_z) at field-line currents, A; a unit vector in the plane by assumption."""
        u = solve(np.asarray(current_a, np.float64) - self.offset_a, self.k_a, self.k2_a, self.hz_a)
        return u, np.sqrt(1 - u * u)

    def slope(self, current_a: Array) -> Array:
        """dm_x/dI at field-line currents, 1/A."""
        _, c = self.magnetisation(current_a)
        c3 = c**3
        result: Array = c3 / (self.hz_a + self.k_a * c3 + 3 * self.k2_a * c3 * (1 - c * c))
        return result

    def misfit(self, data: SweepData) -> tuple[float, float]:
        """RMS of m_x and m_z of a sweep less the twin's, noise among them.

        Raises:
            CalibrationError: the sweep is another junction's, or was read at another voltage.
        """
        _same(self.junction, self.voltage_v, data)
        g_x, g_z = conductances(data, self.common_ohm)
        m_x, m_z = self.magnetisation(data.level_a)
        off_x = (g_x - self.a_x_s) / self.b_x_s - m_x
        off_z = (g_z - self.a_z_s) / self.b_z_s - m_z
        return _rms(off_x[data.valid]), _rms(off_z[data.valid])

    def record(self) -> Mapping[str, JSON]:
        """As a session's result keeps it."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(self).items()
        }


def _rms(values: Array) -> float:
    return float(np.sqrt(np.mean(values**2)))


def _same(junction: str, voltage_v: float, data: SweepData) -> None:
    if data.junction != junction:
        raise CalibrationError(f"the twin is of {junction} and the sweep of {data.junction}")
    if abs(data.voltage_v - voltage_v) > 1e-6:
        raise CalibrationError(
            f"{junction}: one sweep was read at {voltage_v * 1e3:g} mV and another at "
            f"{data.voltage_v * 1e3:g} mV; a twin holds for one voltage"
        )


def fit_twin(sweeps: Sequence[SweepData], common_ohm: float) -> PlanarTwin:
    """Fit the planar law to sweeps of one junction.

    Args:
        sweeps: of one junction, at one read voltage, in any order of levels.
        common_ohm: the shared electrode's resistance, ohm.

    Raises:
        CalibrationError: sweeps of several junctions or voltages, too few readings, no response, or
            none that the law can be fitted to.
    """
    if not sweeps:
        raise CalibrationError("a twin needs at least one sweep")
    first = sweeps[0]
    for data in sweeps[1:]:
        _same(first.junction, first.voltage_v, data)
    columns = [(data.level_a, *conductances(data, common_ohm)) for data in sweeps]
    valid = np.concatenate([data.valid for data in sweeps])
    current, g_x, g_z = (np.concatenate(part)[valid] for part in zip(*columns, strict=True))
    if len(current) < _LEAST_READINGS or not all(np.isfinite(g).all() for g in (g_x, g_z)):
        raise CalibrationError(
            f"{first.junction}: {len(current)} readings beyond doubt, or one that is not finite; a "
            f"twin needs {_LEAST_READINGS}"
        )
    with np.errstate(all="ignore"):
        return _fit(first, current, g_x, g_z, len(sweeps), common_ohm)


def _line(m: Array, g: Array) -> tuple[float, float]:
    """Least squares of g = a + b·m."""
    off = m - m.mean()
    b = float((off * g).sum() / (off * off).sum())
    return float(g.mean() - b * m.mean()), b


def _fit(
    data: SweepData, current: Array, g_x: Array, g_z: Array, sweeps: int, common_ohm: float
) -> PlanarTwin:
    span = float(np.ptp(current)) / 2
    noises = np.array([noise(current, g) for g in (g_x, g_z)])
    # Both channels weigh alike in units of the magnetisation (the second time; the first finds what
    # that is), so that what is fitted to a response does not depend on its noise.
    weights = np.array([np.ptp(g_x), np.ptp(g_z)])

    def parts(p: Array) -> tuple[Array, Array, Array, Array]:
        u = solve(current - p[3] * span, *(float(q) * span for q in p[:3]))
        w = np.sqrt(1 - u * u)
        return u, w, np.array(_line(u, g_x)), np.array(_line(w, g_z))

    def miss(p: Array) -> Array:
        u, w, (a_x, b_x), (a_z, b_z) = parts(p)
        return np.concatenate(
            ((g_x - a_x - b_x * u) / weights[0], (g_z - a_z - b_z * w) / weights[1])
        )

    start = np.array([0.2, 0.125, 0.067, 0.0])
    try:
        for jac in ("2-point", "3-point"):
            found = least_squares(miss, start, jac=jac, x_scale=0.1, bounds=_BOUNDS)
            start = found.x
            if jac == "2-point":
                weights[:] = np.abs([line[1] for line in parts(start)[2:]])
        bread = np.linalg.inv(found.jac.T @ found.jac)
    except (ValueError, np.linalg.LinAlgError) as error:
        raise CalibrationError(f"{data.junction}: the sweeps cannot be fitted ({error})") from error
    u, w, (a_x, b_x), (a_z, b_z) = parts(found.x)
    shares = np.repeat((noises / weights) ** 2, len(current))
    statistical = bread @ (found.jac.T * shares) @ found.jac @ bread
    total = bread @ _residual_meat(current, found.fun, found.jac) @ bread
    k, k2, hz, offset = (float(q) * span for q in found.x)
    swept = np.linspace(float(current.min()), float(current.max()), 401)
    width, center = fit_unit_width(swept, solve(swept - offset, k, k2, hz))
    twin = PlanarTwin(
        data.junction, k, k2, hz, offset, _errors(statistical, span), _errors(total, span),
        float(a_x), float(b_x), float(a_z), float(b_z), width, center,
        max(center - UNIT_RANGE * width, float(swept[0])),
        min(center + UNIT_RANGE * width, float(swept[-1])),
        float(noises[0] / abs(b_x)), float(noises[1] / abs(b_z)),
        _rms((g_x - a_x) / b_x - u), _rms((g_z - a_z) / b_z - w),
        tuple(name for name, edge in zip(NAMES, found.active_mask, strict=True) if edge),
        sweeps, data.voltage_v, common_ohm,
    )  # fmt: skip
    numbers = [value for value in asdict(twin).values() if isinstance(value, float)]
    if not np.isfinite(numbers).all():
        raise CalibrationError(f"{data.junction}: the fit gives a number that is not finite")
    if max(twin.rms_x, twin.rms_z) > _NO_RESPONSE:
        raise CalibrationError(
            f"{data.junction}: the field changes a conductance by no more than its readings "
            "scatter; is the junction connected, and the field line driven?"
        )
    return twin


def _errors(covariance: Array, span: float) -> tuple[float, float, float, float]:
    k, k2, hz, offset = (float(e) * span for e in np.sqrt(np.diag(covariance)))
    return k, k2, hz, offset


def _residual_meat(current: Array, residuals: Array, jac: Array) -> Array:
    """Outer products of what the residuals pull at the parameters, stretch by stretch."""
    edges = np.linspace(float(current.min()), float(current.max()), _STRETCHES + 1)[1:-1]
    where = np.tile(np.searchsorted(edges, current), 2)
    pulls = np.zeros((_STRETCHES, jac.shape[1]))
    np.add.at(pulls, where, jac * residuals[:, None])
    return pulls.T @ pulls * _STRETCHES / (_STRETCHES - 1)
