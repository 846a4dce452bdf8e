"""A junction with one read-out: any response, no magnetisation (as in arXiv 2603.03947)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from device.conductance import conductances
from device.curve import make_curve
from device.devices import JunctionDevice, Sweeper, signals
from device.reading import Array, CalibrationError, Signals
from instruments import SweepData
from instruments.sweep import Order

Layer = Literal["x", "z"]
_REACH = 3.0  # units of x on either side of the centre, as a tanh is used
_BEYOND, _ERRORS = 0.5, 6.0  # y beyond ±1 by more than both: not this junction's response
_LEVELS = 9  # fewest different levels of a sweep
_SIGNAL = 10.0  # least change of the conductance, in standard errors of one reading


@dataclass(frozen=True)
class Normalisation:
    """How one junction's conductance becomes an activation: y = (G - middle)/half.

    It says nothing of the magnetisation: y = ±1 are the ends of what was swept.

    Attributes:
        junction, layer: whose conductance.
        middle_s, half_s: of the smoothed conductances of the sweep, S.
        center_a: field-line current of x = 0, A: the middle of the sweep.
        scale_a: current per unit of x, A: the swept range is ±3 units.
        low_a, high_a: what was swept, A.
        sigma: standard error of one reading of y.
        voltage_v: read voltage; at another the response is another.
        common_ohm: the shared electrode's resistance that was taken off, ohm.
    """

    junction: str
    layer: Layer
    middle_s: float
    half_s: float
    center_a: float
    scale_a: float
    low_a: float
    high_a: float
    sigma: float
    voltage_v: float
    common_ohm: float

    def activation(self, data: SweepData) -> Array:
        """y of a sweep at this junction.

        Raises:
            CalibrationError: the sweep was read at another voltage.
        """
        if abs(data.voltage_v - self.voltage_v) > 1e-6:
            raise CalibrationError(
                f"{self.junction}: normalised at {self.voltage_v * 1e3:g} mV and read at "
                f"{data.voltage_v * 1e3:g} mV; sweep it at that voltage first"
            )
        both = conductances(data, self.common_ohm)
        return (both[0 if self.layer == "x" else 1] - self.middle_s) / self.half_s


def normalise(data: SweepData, common_ohm: float, layer: Layer = "x") -> Normalisation:
    """From a sweep, of any shape; levels may be measured more than once.

    The ends are those of the smoothed curve (:func:`~device.curve.make_curve`), so that noise does
    not widen them; the noise is what the readings scatter.

    Args:
        data: the sweep.
        common_ohm: the shared electrode's resistance, ohm.
        layer: whose conductance.

    Raises:
        CalibrationError: readings in doubt, fewer than 9 levels, or no response.
    """
    if not data.valid.all():
        raise CalibrationError(
            f"{data.junction}: {int((~data.valid).sum())} readings are in doubt; sweep it again"
        )
    g = conductances(data, common_ohm)[0 if layer == "x" else 1]
    levels = len(np.unique(data.level_a))
    if levels < _LEVELS:
        raise CalibrationError(f"{data.junction}: {levels} levels are too few for a response")
    curve = make_curve(data.level_a, g, x_unit="A", y_unit="S", source=data.junction)
    sigma_s, low, high = curve.noise, float(curve.y.min()), float(curve.y.max())
    if not high - low > _SIGNAL * sigma_s:
        raise CalibrationError(
            f"{data.junction}: the field changes the conductance by {high - low:.2g} S and one "
            f"reading has an error of {sigma_s:.2g} S: there is no response to use"
        )
    half = (high - low) / 2
    first, last = float(curve.x[0]), float(curve.x[-1])
    return Normalisation(
        junction=data.junction,
        layer=layer,
        middle_s=(high + low) / 2,
        half_s=half,
        center_a=(first + last) / 2,
        scale_a=(last - first) / (2 * _REACH),
        low_a=first,
        high_a=last,
        sigma=sigma_s / half,
        voltage_v=data.voltage_v,
        common_ohm=common_ohm,
    )


class SingleReadoutMTJ(JunctionDevice):
    """A junction whose one conductance is the activation, whatever its shape.

    It has no second read-out: its gradient is a difference of readings, or the slope of its curve
    (:mod:`device.rules_difference`, :class:`~device.rules.CurveSlope`).

    Args:
        bench: an open bench.
        normalisation: from a sweep of this junction.
        scale_a: field-line current per unit of x, A; None: the swept range is ±3 units.
        center_a: current of x = 0, A; None: the middle of the sweep.
    """

    def __init__(
        self,
        bench: Sweeper,
        normalisation: Normalisation,
        scale_a: float | None = None,
        center_a: float | None = None,
    ) -> None:
        super().__init__(bench, normalisation.junction)
        self.normalisation = normalisation
        self.scale_a = normalisation.scale_a if scale_a is None else scale_a
        self.center_a = normalisation.center_a if center_a is None else center_a

    @property
    def x_range(self) -> tuple[float, float]:
        """What was swept, dimensionless."""
        n = self.normalisation
        return (n.low_a - self.center_a) / self.scale_a, (n.high_a - self.center_a) / self.scale_a

    def measure(self, x: Array, order: Order = "sorted") -> Signals:
        """One list sweep; readings that this junction cannot have are not valid, and noted.

        Args:
            x: pre-activations inside the range, dimensionless, [N].
            order: of the points, as the bench takes them.

        Raises:
            SweepVoidError, StoppedError, LimitError, InstrumentError: from the bench.
        """
        n = self.normalisation
        data = self.sweep(self.center_a + self.scale_a * x, order)
        y = n.activation(data)
        possible = np.abs(y) <= 1 + max(_BEYOND, _ERRORS * n.sigma)
        if found := int((~possible & data.valid).sum()):
            self.note("impossible reading", f"{self.name}: {found} of {len(y)} readings")
        return signals(data, y, n.sigma, possible=possible)
