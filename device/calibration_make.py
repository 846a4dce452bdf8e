"""Making a calibration: sweep a junction, or take an earlier calibration up again."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from device.calibration import Calibration, Mode
from device.calibration_errors import errors_of
from device.calibration_fit import MODEL_TERM, joint_fit
from device.calibration_judge import judge
from device.calibration_states import States, reach_states
from device.calibration_store import Drift, Found, Reuse, check_drift, find_calibration
from device.calibration_sweep import LEAST_READINGS, Scatter, measure, sure
from device.conductance import conductances
from device.planar import UNIT_RANGE, fit_unit_width
from device.reading import CalibrationError
from instruments import Bench, SweepData


def calibrate(
    bench: Bench,
    junction: str,
    *,
    reuse: Reuse | None = None,
    mode: Mode = "planar",
    lead_ohm: float = 0.0,
) -> tuple[Calibration, SweepData]:
    """Sweep a junction and fit it; the result is recorded.

    Args:
        bench: an open bench.
        junction: its name.
        reuse: where an earlier calibration may be found.  It is taken up again if it is young
            enough and five readings still agree with it; the record says so, or why not.
        mode: "direct" first reaches both states of the z layer with the bias magnet.
        lead_ohm: resistance of each meter's own lead, ohm.

    Returns:
        The calibration, and the sweep that it was made from; of one that is taken up again, the
        readings that agree with it.

    Raises:
        CalibrationError: the readings are in doubt or cannot be fitted at all.
        BenchError: direct mode without a bias magnet.
    """
    earlier = None
    if reuse is not None:
        earlier = find_calibration(reuse, junction, bench.file.readout.voltage, mode=mode)
    made = obtain(bench, junction, earlier, mode=mode, lead_ohm=lead_ohm)
    return made.calibration, made.data


@dataclass(frozen=True)
class Obtained:
    """A calibration, and how it has come about.

    Attributes:
        calibration: itself.
        data: the sweep that it was made from; where it is taken up again, the readings that agree
            with it.
        drift: of an earlier one that was looked at; None: there was none.
        reads: junction points measured.
    """

    calibration: Calibration
    data: SweepData
    drift: Drift | None
    reads: int

    @property
    def reused(self) -> bool:
        """Whether an earlier calibration is taken up again."""
        return self.drift is not None and self.drift.holds


def obtain(
    bench: Bench,
    junction: str,
    earlier: Found | str | None = None,
    *,
    mode: Mode = "planar",
    lead_ohm: float = 0.0,
) -> Obtained:
    """Take an earlier calibration up again if it still holds, or make one; the result is recorded.

    Args:
        bench: an open bench.
        junction: its name.
        earlier: what :func:`find_calibration` gave: the earlier one, or why there is none; None:
            none is wanted.
        mode, lead_ohm: as in :func:`calibrate`.

    Raises:
        CalibrationError: the readings are in doubt or cannot be fitted at all.
        BenchError: direct mode without a bias magnet.
    """
    drift, reads = None, 0
    if isinstance(earlier, str):
        bench.recorder.event("calibration", f"{junction}: {earlier}; made anew")
    elif earlier is not None:
        drift, data = check_drift(bench, earlier.calibration)
        reads = data.points
        said = f"{junction}: that of session {earlier.session} ({earlier.age_s / 3600:.1f} h)"
        if drift.holds:
            bench.recorder.event("calibration", f"{said} is used again: {drift}")
            bench.recorder.calibration(junction, earlier.calibration.record())
            return Obtained(earlier.calibration, data, drift, reads)
        bench.recorder.event("calibration", f"{said} does not hold: {drift}; made anew")
    states = reach_states(bench, junction, lead_ohm=lead_ohm) if mode == "direct" else None
    data = measure(bench, junction)
    found = fit(data, bench.file.readout.common_resistance, lead_ohm=lead_ohm, states=states)
    bench.recorder.calibration(junction, found.record())
    reads += data.points + (0 if states is None else states.reads)
    return Obtained(found, data, drift, reads)


def _numbers(value: Any) -> list[float]:
    """All floats in nested data."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return [number for one in value for number in _numbers(one)]
    return [value] if isinstance(value, float) else []


def fit(
    data: SweepData,
    common_ohm: float,
    *,
    lead_ohm: float = 0.0,
    states: States | None = None,
) -> Calibration:
    """Fit a sweep made at :func:`calibration_levels`.

    The shared electrode's resistance cannot be fitted: what it mixes of one conductance into the
    other is what a reference layer does that points a little off.  So it has to be given.

    Args:
        data: the sweep, up then down.
        common_ohm: the shared electrode's resistance, ohm.
        lead_ohm: resistance of each meter's own lead, ohm.
        states: both states of the z layer; the calibration is direct then.

    Raises:
        CalibrationError: a reading in doubt, no response to fit, or a number that is not finite.
    """
    sure(data)
    # What overflows or divides by zero is found below, as a number that is not finite.
    with np.errstate(all="ignore"):
        found = _fit(data, common_ohm, lead_ohm, states)
    if not np.isfinite(_numbers(asdict(found))).all():
        raise CalibrationError(f"{data.junction}: the fit gives a number that is not finite")
    return found


def _fit(data: SweepData, common_ohm: float, lead_ohm: float, states: States | None) -> Calibration:
    g_x, g_z = conductances(data, common_ohm, lead_ohm)
    if not (np.isfinite(g_x).all() and np.isfinite(g_z).all() and np.isfinite(data.level_a).all()):
        raise CalibrationError(f"{data.junction}: the sweep holds a number that is not finite")
    if len(g_x) < LEAST_READINGS:
        raise CalibrationError(f"{data.junction}: {len(g_x)} readings are too few to calibrate")
    scatter = Scatter.of(g_x), Scatter.of(g_z)
    if any(one.hides(g) for one, g in zip(scatter, (g_x, g_z), strict=True)):
        raise CalibrationError(
            f"{data.junction}: the field changes a conductance by less than its noise; "
            "is the junction connected, and the field line driven?"
        )
    current = data.level_a
    noise = scatter[0].noise, scatter[1].noise
    middle = None if states is None else (states.up_s + states.down_s) / 2
    joint = joint_fit(data.junction, current, g_x, g_z, noise, middle)
    (a_x, b_x), (a_z, b_z) = joint.line_x, joint.line_z
    sigma = noise[0] / abs(b_x), noise[1] / abs(b_z)
    residual = (g_x - a_x) / b_x - joint.u, (g_z - a_z) / b_z - joint.w
    length = None
    if states is not None:
        half = (states.up_s - states.down_s) / 2
        length = b_z / half
        b_x, b_z = b_x / length, half
    m_x, m_z = (g_x - a_x) / b_x, (g_z - a_z) / b_z
    width, center = fit_unit_width(current, m_x)
    if not np.isfinite([width, center, joint.chi2, *joint.law_a, a_x, b_x, a_z, b_z, *sigma]).all():
        raise CalibrationError(f"{data.junction}: the fit gives a number that is not finite")
    low = max(center - UNIT_RANGE * width, float(current.min()))
    high = min(center + UNIT_RANGE * width, float(current.max()))
    inside = (current >= low) & (current <= high)
    x = (current[inside] - center) / width
    verdict, reason = judge(
        chi2=joint.chi2,
        drift=max(abs(one.drift) for one in scatter),
        loop=max(
            one.loop(g, MODEL_TERM * b)
            for one, g, b in zip(scatter, (g_x, g_z), (b_x, b_z), strict=True)
        ),
        noise=max(sigma),
        widths=min(high - center, center - low) / width,
        reach=float(np.abs(joint.u).max()),
    )
    try:
        errors = errors_of(
            joint, current, residual, sigma, (width, center),
            None if states is None else abs(states.sigma_s / np.sqrt(2) / b_z),
        )  # fmt: skip
    except np.linalg.LinAlgError:
        raise CalibrationError(f"{data.junction}: the fit has no errors, it is singular") from None
    return Calibration(
        junction=data.junction,
        k_a=float(joint.law_a[0]),
        k2_a=float(joint.law_a[1]),
        hz_a=float(joint.law_a[2]),
        offset_a=float(joint.law_a[3]),
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
        chi2=joint.chi2,
        voltage_v=data.voltage_v,
        common_ohm=common_ohm,
        tanh_rms=float(np.sqrt(np.mean((m_x[inside] - np.tanh(x)) ** 2))),
        sech_rms=float(np.sqrt(np.mean((m_z[inside] - 1 / np.cosh(x)) ** 2))),
        verdict=verdict,
        reason=reason,
        mode="planar" if states is None else "direct",
        length=length,
        length_error=None if states is None else errors.length,
        lead_ohm=lead_ohm,
        misfit=errors.misfit,
        statistical=errors.statistical,
        total=errors.total,
        band=errors.band,
        level_a=tuple(current.tolist()),
        residual_x=tuple(np.round(residual[0], 6).tolist()),
        residual_z=tuple(np.round(residual[1], 6).tolist()),
    )
