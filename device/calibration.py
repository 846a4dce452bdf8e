"""A calibration: how one junction's conductances turn into m_x and m_z, and how sure they are.

It is made in :mod:`device.calibration_make` from a sweep (:mod:`device.calibration_sweep`), by a
joint fit (:mod:`device.calibration_fit`) with its errors (:mod:`device.calibration_errors`) and a
verdict (:mod:`device.calibration_judge`); :mod:`device.calibration_store` finds it again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, Self

import numpy as np

from db import JSON
from device.calibration_errors import ErrorBand, ParameterErrors
from device.calibration_judge import Verdict
from device.conductance import conductances
from device.reading import Array, CalibrationError
from instruments import SweepData

Mode = Literal["planar", "direct"]


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
        mode: "planar" assumes m_x² + m_z² = 1; "direct" has the states of the z layer.
        length, length_error: direct: sqrt(m_x² + m_z²) by the states, and its statistical error.
            Planar: None, for there it is an assumption and never a finding.
        lead_ohm: resistance of each meter's own lead that was taken off, ohm.
        misfit: RMS of the smooth misfit that the residuals show, in units of the magnetisation.
        statistical, total: standard errors of the parameters, by noise alone and with the model
            term.
        band: standard errors of m_x and m_z along the sweep.
        level_a, residual_x, residual_z: the sweep's levels as measured, A, and what the fit leaves
            of m_x and m_z there, to 1e-6.
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
    mode: Mode
    length: float | None
    length_error: float | None
    lead_ohm: float
    misfit: float
    statistical: ParameterErrors
    total: ParameterErrors
    band: ErrorBand = field(repr=False)
    level_a: tuple[float, ...] = field(repr=False)
    residual_x: tuple[float, ...] = field(repr=False)
    residual_z: tuple[float, ...] = field(repr=False)

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
        g_x, g_z = conductances(data, self.common_ohm, self.lead_ohm)
        return self.m_x(g_x), self.m_z(g_z)

    def errors(self, level_a: Array, *, total: bool = True) -> tuple[Array, Array]:
        """Standard errors of m_x and m_z that the calibration adds to a reading's own noise.

        Args:
            level_a: field-line currents, A; beyond the sweep the errors are those at its ends.
            total: with the model term; else statistical.
        """
        band = self.band
        x, z = (band.x_total, band.z_total) if total else (band.x, band.z)
        return np.interp(level_a, band.level_a, x), np.interp(level_a, band.level_a, z)

    def record(self) -> Mapping[str, JSON]:
        """As the record keeps it."""
        return asdict(self)

    @classmethod
    def from_record(cls, values: Mapping[str, JSON]) -> Self:
        """From what :meth:`record` gave.

        Raises:
            CalibrationError: it has other fields: another version wrote it.
        """
        given: dict[str, Any] = dict(values)
        parts = {"statistical": ParameterErrors, "total": ParameterErrors, "band": ErrorBand}
        try:
            for name, kind in parts.items():
                given[name] = kind(**{k: _hashable(v) for k, v in given[name].items()})
            if set(given) != {one.name for one in fields(cls)}:
                raise TypeError
        except (AttributeError, KeyError, TypeError):
            raise CalibrationError(
                f"the recorded calibration of {given.get('junction', 'a junction')} was written by "
                "another version; calibrate again"
            ) from None
        return cls(**{name: _hashable(value) for name, value in given.items()})


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
