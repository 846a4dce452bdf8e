"""Neurons of several junctions, with complex responses (as in arXiv 2603.03947)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from device.devices import Device, JunctionDevice
from device.reading import Array, Mask, Signals, Source
from device.single import SingleReadoutMTJ
from instruments.sweep import Order

#: from the activations of the parts, [parts, N], to y [N] and its slope by each of them, [parts, N]
Mixture = Callable[[Array], tuple[Array, Array]]


class Composed:
    """Several devices with one input, as one device; it has one read-out.

    Part i is measured at x + shift_i, one list each, and y is a mixture of what they answer.  So
    its gradient is a difference of y, or the slope of y's curve.

    Args:
        parts: the devices; one may stand several times, with other shifts.
        mixture: how their activations become one.
        shifts: of each part's input, dimensionless; None: none.
        name: what messages call it.
    """

    def __init__(
        self,
        parts: Sequence[Device],
        mixture: Mixture,
        shifts: Sequence[float] | None = None,
        name: str = "",
    ) -> None:
        #: may be changed between readings: they are a control of the response
        self.shifts = [0.0] * len(parts) if shifts is None else [float(s) for s in shifts]
        if not parts or len(self.shifts) != len(parts):
            raise ValueError(f"{len(parts)} parts and {len(self.shifts)} shifts: one shift each")
        self.parts = tuple(parts)
        self.mixture = mixture
        self.name = name or " and ".join(dict.fromkeys(part.name for part in parts))

    @property
    def scale_a(self) -> float:
        """That of the first part, A."""
        return self.parts[0].scale_a

    @property
    def x_range(self) -> tuple[float, float]:
        """Where all parts may be asked."""
        ends = [
            (low - shift, high - shift)
            for (low, high), shift in zip((p.x_range for p in self.parts), self.shifts, strict=True)
        ]
        low, high = max(low for low, _ in ends), min(high for _, high in ends)
        if not low < high:
            raise ValueError(f"{self.name}: shifted by {self.shifts}, its parts share no range")
        return low, high

    @property
    def source(self) -> Source:
        """That of its parts."""
        found = {part.source for part in self.parts}
        return found.pop() if len(found) == 1 else "mixed"

    @property
    def junctions(self) -> tuple[JunctionDevice, ...]:
        """The junctions of its parts."""
        return tuple(dict.fromkeys(one for part in self.parts for one in part.junctions))

    def measure(self, x: Array, order: Order = "sorted") -> Signals:
        """One list sweep of each part, one after another.

        Raises:
            SweepVoidError: from a part; nothing of any part is used then.
        """
        read = [
            part.measure(x + shift, order)
            for part, shift in zip(self.parts, self.shifts, strict=True)
        ]
        y, slopes = self.mixture(np.stack([one.y for one in read]))
        errors = slopes * np.stack([one.sigma_y for one in read])
        valid: Mask = np.all([one.valid for one in read], axis=0)
        return Signals(
            np.where(valid, y, np.nan),
            None,
            np.sqrt((errors**2).sum(axis=0)),
            None,
            valid,
            sum(one.reads for one in read),
            sum(one.bench_time_s for one in read),
        )

    def time_s(self) -> float:
        """Bench time, s."""
        return self.parts[0].time_s()

    def note(self, kind: str, text: str) -> None:
        """An event for the record."""
        self.parts[0].note(kind, text)


def weighted(weights: Sequence[float]) -> Mixture:
    """y = sum of weight · y_i: what adding or subtracting the meters' currents gives."""
    by = np.array(weights, dtype=np.float64)[:, None]

    def mix(y: Array) -> tuple[Array, Array]:
        return (by * y).sum(axis=0), np.broadcast_to(by, y.shape)

    return mix


def difference(first: Device, second: Device, shift: float = 1.0) -> Composed:
    """y = (y_1(x + shift) - y_2(x - shift))/2: for two junctions alike that rise, a hump.

    Args:
        first, second: the junctions; the same one twice is allowed.
        shift: half the width of the hump, dimensionless; ``shifts`` of what comes changes it.
    """
    return Composed(
        (first, second), weighted((0.5, -0.5)), (shift, -shift), f"{first.name} - {second.name}"
    )


def series(parts: Sequence[SingleReadoutMTJ], shifts: Sequence[float] | None = None) -> Composed:
    """The junctions' resistances in series: with different shifts a staircase.

    R = sum of 1/G_i, each G_i from its junction's own activation and normalisation; y is the
    conductance 1/R between its values with all activations at -1 and at +1.  It is computed from
    readings of the single junctions: nothing is wired in series.
    """
    middle = np.array([part.normalisation.middle_s for part in parts])[:, None]
    half = np.array([part.normalisation.half_s for part in parts])[:, None]

    def total(y: Array) -> Array:
        result: Array = 1 / (1 / (middle + half * y)).sum(axis=0)
        return result

    ends = [float(total(np.full((len(parts), 1), end))[0]) for end in (-1.0, 1.0)]
    unit = (ends[1] - ends[0]) / 2

    def mix(y: Array) -> tuple[Array, Array]:
        g = total(y)
        return (g - ends[0]) / unit - 1, g**2 * half / (middle + half * y) ** 2 / unit

    return Composed(parts, mix, shifts, " + ".join(part.name for part in parts))
