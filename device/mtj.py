"""One junction with two reference layers, as a neuron (Rodrigues et al., arXiv 2409.02528)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from device.calibration import Calibration
from device.reading import Array, CalibrationError, Mask, Reading, as_batch
from instruments import Bench, SweepVoidError

_REPEATS = 3  # sweeps in which a doubtful element is read again


class TwoReferenceMTJ:
    """A junction whose x-reference layer gives the activation and whose z-reference layer its
    gradient.

    y = m_x, and g = (s/I0)·m_z²: for m_x = tanh((I - I_off)/I0) and I = I_off + s·x that is
    ∂y/∂x.  x outside the calibrated range is clamped to its edge: saturation is part of the neuron.

    Args:
        bench: an open bench.
        calibration: of this junction; "refused" ones are not accepted.
        scale_a: field-line current per unit of x, s, A; None: the unit width I0.
    """

    neurons = 1

    def __init__(
        self, bench: Bench, calibration: Calibration, scale_a: float | None = None
    ) -> None:
        if calibration.verdict == "refused":
            raise CalibrationError(f"{calibration.junction}: {calibration.reason}")
        self.bench = bench
        self.calibration = calibration
        self.scale_a = calibration.unit_width_a if scale_a is None else scale_a
        #: for the record: what the next sweeps are for, and the run that they belong to
        self.purpose = "sweep"
        self.run: int | None = None

    @property
    def junction(self) -> str:
        """Name of the junction."""
        return self.calibration.junction

    @property
    def x_range(self) -> tuple[float, float]:
        """The calibrated range of x, dimensionless."""
        c = self.calibration
        return (c.low_a - c.center_a) / self.scale_a, (c.high_a - c.center_a) / self.scale_a

    def read(self, x: Array, gradient: bool = False) -> Reading:
        """Measure the batch in one list sweep.

        Args:
            x: pre-activations, dimensionless, shape [B, 1].
            gradient: also return g.

        Returns:
            The reading, [B, 1]; elements that stayed doubtful are marked invalid and
            hold NaN.

        Raises:
            StoppedError, LimitError, InstrumentError: from the bench.
        """
        x = as_batch(x, 1)[:, 0]
        low, high = self.x_range
        inside = np.clip(x, low, high)
        clamped = inside != x
        current = self.calibration.center_a + self.scale_a * inside
        y, m_z = np.full(len(x), np.nan), np.full(len(x), np.nan)
        valid: Mask = np.zeros(len(x), dtype=bool)
        reads, start_s = 0, self.bench.clock.time_s()
        for attempt in range(1 + _REPEATS):
            wanted: NDArray[np.intp] = np.flatnonzero(~valid)
            if not len(wanted):
                break
            if attempt:
                self.bench.recorder.event(
                    "read again", f"{self.junction}: {len(wanted)} doubtful readings"
                )
            try:
                data = self.bench.sweep(
                    self.junction, current[wanted], purpose=self.purpose, run=self.run
                )
            except SweepVoidError as error:
                self.bench.recorder.event("void sweep", str(error))
                continue
            reads += data.points
            sure = wanted[data.valid]
            m_x, m_z_read = self.calibration.magnetisation(data)
            y[sure], m_z[sure] = m_x[data.valid], m_z_read[data.valid]
            valid[sure] = True
        g = self.scale_a / self.calibration.unit_width_a * m_z**2
        return Reading(
            y[:, None],
            g[:, None] if gradient else None,
            None if valid.all() else valid[:, None],
            clamped[:, None] if clamped.any() else None,
            reads,
            self.bench.clock.time_s() - start_s,
        )
