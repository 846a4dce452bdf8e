"""Tabulated neurons: a measured response as plain arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.interpolate import BSpline, make_smoothing_spline

from device.array import join
from device.calibration import Calibration
from device.calibration_sweep import LEAST_READINGS, sure
from device.reading import Array, CalibrationError, Reading, as_batch
from instruments import SweepData

_NODES = 513  # linear interpolation of tanh over ±4 is then wrong by 2.4e-5


@dataclass(frozen=True)
class ResponseTable:
    """A response on a uniform grid.

    Attributes:
        low, high: range of x, dimensionless.
        y: activation at the nodes, [N].
        g: ∂y/∂x at the nodes, [N].
    """

    low: float
    high: float
    y: Array
    g: Array

    @property
    def x(self) -> Array:
        """The nodes, [N]."""
        return np.linspace(self.low, self.high, len(self.y))


def tabulate(data: SweepData, calibration: Calibration, scale_a: float | None = None) -> (
    ResponseTable
):  # fmt: skip
    """A table from a sweep, on the same footing as :class:`~device.mtj.TwoReferenceMTJ`.

    Levels that were measured more than once are averaged; between them the response is linear.

    Args:
        data: the sweep.
        calibration: of the same junction.
        scale_a: field-line current per unit of x, A; None: the unit width.

    Raises:
        CalibrationError: a reading is in doubt, or the sweep has fewer points than one that a
            calibration is made from.
    """
    sure(data)
    if len(data.level_a) < LEAST_READINGS:
        raise CalibrationError(
            f"{data.junction}: {len(data.level_a)} readings are too few for a table; give a sweep "
            f"of {LEAST_READINGS} or more"
        )
    scale = calibration.unit_width_a if scale_a is None else scale_a
    m_x, m_z = calibration.magnetisation(data)
    level, m_x, m_z = mean_by_level(data.level_a, m_x, m_z)
    low = (calibration.low_a - calibration.center_a) / scale
    high = (calibration.high_a - calibration.center_a) / scale
    x = (level - calibration.center_a) / scale
    nodes = np.linspace(low, high, _NODES)
    g = scale / calibration.unit_width_a * m_z**2
    return ResponseTable(low, high, np.interp(nodes, x, m_x), np.interp(nodes, x, g))


def mean_by_level(level_a: Array, *columns: Array) -> tuple[Array, ...]:
    """Levels that occur more than once become one, with the mean of their values."""
    unique, which, counts = np.unique(level_a, return_inverse=True, return_counts=True)
    return (
        unique,
        *(np.bincount(which, column, len(unique)) / counts for column in columns),
    )


class TableNeuron:
    """Neurons that answer from tables; the interface of live ones."""

    def __init__(self, tables: Sequence[ResponseTable]) -> None:
        self.tables = tuple(tables)

    @property
    def neurons(self) -> int:
        """Number of neurons n."""
        return len(self.tables)

    def read(self, x: Array, gradient: bool = False) -> Reading:
        """Look up a batch, x of shape [B, n]; nothing is measured."""
        x = as_batch(x, self.neurons)
        parts = []
        for column, table in zip(x.T, self.tables, strict=True):
            nodes = table.x
            clamped = (column < table.low) | (column > table.high)
            parts.append(
                Reading(
                    np.interp(column, nodes, table.y)[:, None],
                    np.interp(column, nodes, table.g)[:, None] if gradient else None,
                    clamped=clamped[:, None] if clamped.any() else None,
                    source="table",
                )
            )
        return join(parts, x.shape)


def slope(data: SweepData, calibration: Calibration) -> BSpline:
    """dm_x/dI of a sweep, 1/A, as a function of the field-line current in A.

    The derivative of a cubic smoothing spline, its smoothness chosen by generalised
    cross-validation (Woltring 1986): the noise decides, nobody tunes.

    Raises:
        CalibrationError: a reading is in doubt.
    """
    sure(data)
    m_x, _ = calibration.magnetisation(data)
    level, m_x = mean_by_level(data.level_a, m_x)
    # In milliamperes: the fit is badly conditioned where steps are 1e-4.
    spline = make_smoothing_spline(level * 1e3, m_x)
    derivative = spline.derivative()
    return BSpline(derivative.t * 1e-3, derivative.c * 1e3, derivative.k)
