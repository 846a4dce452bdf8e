"""What the sweeps of a characterisation say of a junction.

Changes are told in units of the magnetisation ("m"): of the calibration where there is one, else
with the extremes of the sweep as ±1, and that is said.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from device.calibration import Calibration
from device.calibration_make import fit
from device.characterise_measures import (
    Array,
    jumps,
    largest_difference,
    white_noise,
)
from device.characterise_steps import Step
from device.conductance import conductances
from device.curve import make_curve
from device.planar import UNIT_RANGE, fit_unit_width
from device.reading import CalibrationError
from instruments import SweepData

#: what is remarked: a difference above so many of its standard errors and above this change
SIGMA, CHANGE = 5.0, 0.02
#: about so many levels carry the slope of a response: 0.06 of a unit width apart
_KNOTS = 120
Sweeps = Sequence[tuple[Step, SweepData]]


@dataclass
class Finding:
    """What one part has found.

    Attributes:
        numbers: by name, the unit in the name; NaN: not to be had from these readings.
        curves: for figures, by name.
        remarks: sentences about what is not as it should be.
    """

    numbers: dict[str, float] = field(default_factory=dict)
    curves: dict[str, Array] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Scale:
    """From conductances to m_x and m_z.

    Attributes:
        calibration: None: the extremes of the sweep count as ±1.
        lines: (a_x, b_x, a_z, b_z), S: G = a + b·m.
        unit_width_a, center_a: of the response, A.
        common_ohm: the shared electrode's resistance, ohm.
    """

    calibration: Calibration | None
    lines: tuple[float, float, float, float]
    unit_width_a: float
    center_a: float
    common_ohm: float

    @property
    def source(self) -> str:
        """Where the unit m comes from, in words."""
        return "extremes of the sweep" if self.calibration is None else "calibration"

    def m(self, data: SweepData) -> Array:
        """m_x and m_z, [2, N]; NaN where a reading is in doubt."""
        g_x, g_z = conductances(data, self.common_ohm)
        a_x, b_x, a_z, b_z = self.lines
        both = np.stack(((g_x - a_x) / b_x, (g_z - a_z) / b_z))
        return np.where(data.valid, both, np.nan)


def make_scale(data: SweepData, common_ohm: float) -> tuple[Scale | None, str]:
    """The scale of a junction from its sweep, and why it has no calibration ("": it has one).

    None: nothing can be said of this junction.
    """
    bad = int((~data.valid).sum())
    if bad:
        return None, f"{bad} of {len(data.valid)} readings are in compliance or overflow"
    try:
        found = fit(data, common_ohm)
    except CalibrationError as error:
        reason = str(error).removeprefix(f"{data.junction}: ")
    else:
        lines = (found.a_x_s, found.b_x_s, found.a_z_s, found.b_z_s)
        return Scale(found, lines, found.unit_width_a, found.center_a, common_ohm), ""
    lines_of = []
    for g in conductances(data, common_ohm):
        low, high = float(g.min()), float(g.max())
        if not (np.isfinite(low) and high > low) or high - low < 10 * float(white_noise(g)):
            return None, reason
        lines_of += [(low + high) / 2, (high - low) / 2]
    first = Scale(None, tuple(lines_of), 1.0, 0.0, common_ohm)  # type: ignore[arg-type]
    width, center = fit_unit_width(data.level_a, first.m(data)[0])
    return Scale(None, first.lines, width, center, common_ohm), reason


def sure(sweeps: Sweeps, finding: Finding) -> list[tuple[Step, SweepData]]:
    """The sweeps without a doubtful reading; the others are named."""
    bad = sum(not data.valid.all() for _, data in sweeps)
    if bad:
        finding.remarks.append(f"{bad} of {len(sweeps)} sweeps hold readings in doubt: left out")
    return [(step, data) for step, data in sweeps if data.valid.all()]


def above(value: float, error: float) -> bool:
    return bool(np.isfinite(value) and abs(value) > max(SIGMA * error, CHANGE))


def judge_sweep(sweeps: Sweeps, scale: Scale) -> Finding:
    """Hysteresis, jumps, unit width, distance from tanh, sech and the curve's own slope."""
    data = sweeps[0][1]
    found = Finding()
    m = scale.m(data)
    half = m.shape[1] // 2
    up, down = m[:, :half], m[:, half:][:, ::-1]
    loop, error = largest_difference(up, down)
    count, size = jumps(np.stack((up, down)))
    x = (data.level_a - scale.center_a) / scale.unit_width_a
    near = np.abs(x) <= UNIT_RANGE
    off = [m[0] - np.tanh(x), m[1] - 1 / np.cosh(x)]
    noise = white_noise(np.stack((up, down))).mean(0)
    found.numbers = {
        "unit_width_a": scale.unit_width_a,
        "center_a": scale.center_a,
        "noise_x": float(noise[0]),
        "noise_z": float(noise[1]),
        "hysteresis_x": float(loop[0]),
        "hysteresis_z": float(loop[1]),
        "hysteresis_x_error": float(error[0]),
        "hysteresis_z_error": float(error[1]),
        "jumps": float(count.sum()),
        "largest_jump": float(size.max()),
        "tanh_rms": float(np.sqrt(np.mean(off[0][near] ** 2))),
        "sech_rms": float(np.sqrt(np.mean(off[1][near] ** 2))),
        "squared_against_slope_rms": float("nan"),
        "squared_against_slope_largest": float("nan"),
    }
    found.curves = {"x": x, "m_x": m[0], "m_z": m[1]}
    if scale.calibration is not None:
        # Up and down averaged, and neighbours where levels are many: a slope needs no more.
        own = _slope(x[:half], (up[0] + down[0]) / 2)
        squared = ((up[1] + down[1]) / 2) ** 2
        miss = (squared - own)[near[:half]]
        found.numbers["squared_against_slope_rms"] = float(np.sqrt(np.mean(miss**2)))
        found.numbers["squared_against_slope_largest"] = float(np.abs(miss).max())
        found.curves["slope"] = np.concatenate((own, own[::-1]))
    for side, value, se in zip("xz", loop, error, strict=True):
        if above(float(value), float(se)):
            found.remarks.append(f"hysteresis: m_{side} differs by {value:.3f} between directions")
    if count.sum():
        found.remarks.append(f"{int(count.sum())} jumps, the largest of {size.max():.2f}")
    return found


def _slope(x: Array, y: Array) -> Array:
    """dy/dx of a smooth curve through readings at rising x, [N]."""
    each = max(1, len(x) // _KNOTS)
    whole = len(x) // each * each
    parts = (v[:whole].reshape(-1, each).mean(-1) for v in (x, y))
    found: Array = make_curve(*parts).slope(x)
    return found


def judge_order(sweeps: Sweeps, scale: Scale) -> Finding:
    """Whether a level's reading depends on what was measured before it."""
    found = Finding()
    kept = sure(sweeps, found)
    if len(kept) < 2:
        return found
    one, other = (scale.m(data)[:, np.argsort(data.level_a, kind="stable")] for _, data in kept[:2])
    difference, error = largest_difference(one, other)
    chi2 = np.mean((one - other) ** 2, axis=-1) / white_noise(one - other) ** 2
    for at, side in enumerate("xz"):
        found.numbers |= {
            f"order_{side}": float(difference[at]),
            f"order_{side}_error": float(error[at]),
            f"order_{side}_chi2": float(chi2[at]),
        }
        if above(float(difference[at]), float(error[at])):
            found.remarks.append(
                f"order of points: m_{side} differs by {difference[at]:.3f} between sorted and "
                "shuffled levels"
            )
    return found


def judge_repeat(sweeps: Sweeps, scale: Scale) -> Finding:
    """Scatter between sweeps beside the noise within one, and that of gain and offset."""
    found = Finding()
    rows = np.array([scale.m(data) for _, data in sure(sweeps, found)])  # [R, 2, N]
    if len(rows) < 3:
        return found
    mean = rows.mean(0)
    within = white_noise(np.diff(rows, axis=0)).mean(0) / np.sqrt(2)
    between = np.sqrt(rows.var(0, ddof=1).mean(-1))
    for at, side in enumerate("xz"):
        gains, offsets = np.array([np.polyfit(mean[at], row[at], 1) for row in rows]).T
        found.numbers |= {
            f"repeat_{side}": float(between[at]),
            f"repeat_{side}_over_noise": float(between[at] / within[at]),
            f"repeat_{side}_gain_sd": float(gains.std(ddof=1)),
            f"repeat_{side}_offset_sd": float(offsets.std(ddof=1)),
        }
        if between[at] > 2 * within[at] and between[at] > CHANGE:
            found.remarks.append(
                f"repeatability: sweeps of m_{side} scatter by {between[at]:.3f}, "
                f"{between[at] / within[at]:.1f} times the noise within one"
            )
    return found
