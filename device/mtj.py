"""One junction with two reference layers (Rodrigues et al., arXiv 2409.02528)."""

from __future__ import annotations

import numpy as np

from device.calibration import Calibration
from device.devices import JunctionDevice, Sweeper, signals
from device.neurons import LiveNeuron
from device.reading import Array, CalibrationError, Mask, Reading, Signals
from device.rules import TwoReference
from instruments import SweepData
from instruments.sweep import Order

#: How far a component of the magnetisation may seem to lie outside [-1, 1], and m_z below 0: this,
#: or so many standard errors.  Misaligned and soft reference layers account for 0.1; an open
#: junction reads -3, a shorted one 600.
_BEYOND, _ERRORS = 0.2, 6.0


class TwoReferenceMTJ(JunctionDevice):
    """A junction whose x-reference layer gives the activation y = m_x; its z-reference layer gives
    m_z at the same time.

    As a neuron (:meth:`read`) its gradient is g = (s/I0)·m_z²: for m_x = tanh((I - I_off)/I0) and
    I = I_off + s·x that is ∂y/∂x.  Other rules: :class:`~device.neurons.LiveNeuron`.

    Args:
        bench: an open bench.
        calibration: of this junction; "refused" ones are not accepted.
        scale_a: field-line current per unit of x, s, A; None: the unit width I0.
    """

    neurons = 1

    def __init__(
        self, bench: Sweeper, calibration: Calibration, scale_a: float | None = None
    ) -> None:
        if calibration.verdict == "refused":
            raise CalibrationError(f"{calibration.junction}: {calibration.reason}")
        super().__init__(bench, calibration.junction)
        self.calibration = calibration
        self.scale_a = calibration.unit_width_a if scale_a is None else scale_a

    @property
    def x_range(self) -> tuple[float, float]:
        """The calibrated range of x, dimensionless."""
        c = self.calibration
        return (c.low_a - c.center_a) / self.scale_a, (c.high_a - c.center_a) / self.scale_a

    @property
    def gain(self) -> float:
        """Scale over unit width, s/I0: slope of m_x by x at the centre."""
        return self.scale_a / self.calibration.unit_width_a

    def measure(self, x: Array, order: Order = "sorted") -> Signals:
        """One list sweep: y = m_x and m_z.

        A magnetisation that no junction can have, and an m_z of the wrong sign (a layer that has
        switched), are not valid, and noted.

        Args:
            x: pre-activations inside the range, dimensionless, [N].
            order: of the points, as the bench takes them.

        Raises:
            SweepVoidError, StoppedError, LimitError, InstrumentError: from the bench.
        """
        c = self.calibration
        data = self.data(c.center_a + self.scale_a * x, order)
        m_x, m_z = c.magnetisation(data)
        return signals(data, m_x, c.sigma_x, m_z, c.sigma_z, self._possible(data.valid, m_x, m_z))

    def data(self, level_a: Array, order: Order = "sorted") -> SweepData:
        """Both currents at field-line currents, A: one list, both layers at once."""
        return self.sweep(level_a, order)

    def _possible(self, valid: Mask, m_x: Array, m_z: Array) -> Mask:
        c = self.calibration
        beyond_x, beyond_z = (max(_BEYOND, _ERRORS * s) for s in (c.sigma_x, c.sigma_z))
        outside = (np.abs(m_x) > 1 + beyond_x) | (m_z > 1 + beyond_z)
        switched = m_z < -max(_BEYOND / 2, 3 * c.sigma_z)
        for what, where in (
            ("impossible reading", outside | (m_z < -1 - beyond_z)),
            ("switched", switched & (m_z >= -1 - beyond_z)),
        ):
            if found := int((where & valid).sum()):
                self.note(what, f"{self.name}: {found} of {len(valid)} readings")
        return ~(outside | switched)

    def gradient(self, read: Signals) -> tuple[Array, Array]:
        """g = (s/I0)·m_z² of signals that :meth:`measure` gave, and its standard error."""
        assert read.m_z is not None and read.sigma_z is not None
        return self.gain * read.m_z**2, 2 * self.gain * np.abs(read.m_z) * read.sigma_z

    def read(self, x: Array, gradient: bool = False) -> Reading:
        """Measure a batch in one list sweep, as :class:`~device.neurons.LiveNeuron` does.

        Args:
            x: pre-activations, dimensionless, shape [B, 1].
            gradient: also return g.
        """
        return LiveNeuron(self, TwoReference(self.gain)).read(x, gradient)
