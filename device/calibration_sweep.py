"""The sweep that a calibration is made from, and what its two directions say of noise and loops."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from device.reading import Array, CalibrationError
from instruments import Bench, SweepData

#: Points of the windows in which the two directions are compared, and a response is looked for.
WINDOW = 9
#: Readings that a calibration takes at least, both directions together; a table as many.
LEAST_READINGS = 4 * WINDOW
#: Least change within a direction, standard errors of a window's mean: white noise reaches 4 or 5.
_SIGNAL = 10.0


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
    sure(data)
    return data


def sure(data: SweepData) -> None:
    """Raise CalibrationError if a reading of the sweep is in doubt."""
    bad = int((~data.valid).sum())
    if bad:
        raise CalibrationError(
            f"{data.junction}: {bad} of {len(data.valid)} readings are in compliance or overflow; "
            "check the wiring and readout.lowest_resistance"
        )


@dataclass(frozen=True)
class Scatter:
    """What the directions of one conductance say.

    Attributes:
        noise: noise of one reading, S, from the differences of the directions.  Hysteresis is in
            them, so it weighs the fit and is what is recorded.
        white: the same from within each direction, S; the verdict goes by it.  A response that
            bends from level to level enlarges it, and is the same in both directions: the smaller
            one is meant.
        drift: mean difference of the directions, in standard errors.
    """

    noise: float
    white: float
    drift: float

    @classmethod
    def of(cls, g: Array) -> Scatter:
        """From a conductance, S, measured up and down."""
        up, down = pairs(g)
        noise = float(np.std(up - down, ddof=1)) / np.sqrt(2)
        white = min(_white(g), noise)
        drift = float(np.mean(up - down)) / (white * np.sqrt(2 / len(up)) + 1e-30)
        return cls(noise, white, drift)

    def loop(self, g: Array, model: float) -> float:
        """Largest mean difference of the directions in a window, in standard errors.

        Args:
            g: the conductance, S.
            model: what counts as no difference, S.
        """
        up, down = pairs(g)
        error = np.hypot(self.white * np.sqrt(2 / WINDOW), model)
        return float((np.abs(_windowed(up - down)) / error).max())

    def hides(self, g: Array) -> bool:
        """Whether the conductance changes by less than its noise."""
        change = max(np.ptp(_windowed(one)) for one in pairs(g))
        return bool(change <= _SIGNAL * self.white / np.sqrt(WINDOW))


def pairs(values: Array) -> tuple[Array, Array]:
    """The up and the down half, both by rising level."""
    half = len(values) // 2
    return values[:half], values[half:][::-1]


def _white(g: Array) -> float:
    """Noise of one reading from within the directions, so that hysteresis is not taken for noise.

    Median of the second differences' size, scaled for white noise: a response that is smooth from
    level to level, and a few jumps, do not count.
    """
    bends = np.abs(np.concatenate([np.diff(one, 2) for one in pairs(g)]))
    return float(np.median(bends) / (0.6745 * np.sqrt(6)))


def _windowed(values: Array) -> Array:
    """Means over :data:`WINDOW` neighbours."""
    means: Array = np.convolve(values, np.full(WINDOW, 1 / WINDOW), "valid")
    return means
