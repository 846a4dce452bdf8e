"""Live neurons: a device and a gradient rule."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from device.devices import Device, JunctionDevice
from device.reading import Array, Mask, Reading, Signals, Source, as_batch
from device.rules import GradientRule, shaped, side_by_side
from device.watch import Watch
from instruments import SweepVoidError
from instruments.sweep import Order

_REPEATS = 3  # sweeps in which a doubtful element is read again
#: where less than this part of a rule's points is left inside the range, they go to the other side
_LEFT = 0.49


class LiveNeuron:
    """A neuron whose every number is measured when it is asked for.

    x outside the device's range is clamped to its edge: saturation is part of the neuron.  A rule's
    points that lie outside are moved to the edge; where that leaves less than half of the distance
    between them they are mirrored to the inner side, so that a difference is one-sided there.
    Doubtful elements are read again in new sweeps, three times at most, all points of an element
    together.  Without a gradient x alone is measured.

    Args:
        device: what is measured.
        rule: how y and g come from its signals.
        watch: what it should answer.  Readings far from that are doubtful; a device that stays far,
            or that has drifted beyond the limits, is not used.
        partner: the second device of a rule that pairs two: it is read at the second point of each
            element, in a list of its own.  A pair is not watched.
    """

    neurons = 1

    def __init__(
        self,
        device: Device,
        rule: GradientRule,
        watch: Watch | None = None,
        partner: Device | None = None,
    ) -> None:
        if watch is not None and partner is not None:
            raise ValueError(f"{device.name} and {partner.name}: a pair cannot be watched")
        self.device = device
        self.rule = rule
        self.watch = watch
        self.partner = partner
        low, high = self.x_range
        if not low < high:
            raise ValueError(f"{device.name}: there is no range of x that it and its partner share")
        #: standard error of the gradients of the last batch, [B]
        self.sigma_g: Array | None = None

    @property
    def source(self) -> Source:
        """Where its numbers come from."""
        return self.device.source

    @property
    def junctions(self) -> tuple[JunctionDevice, ...]:
        """The single junctions that it is made of."""
        return self.device.junctions + (() if self.partner is None else self.partner.junctions)

    @property
    def x_range(self) -> tuple[float, float]:
        """Where x is not clamped, dimensionless: the range of the device, or what both have."""
        ranges = [one.x_range for one in (self.device, self.partner) if one is not None]
        return max(low for low, _ in ranges), min(high for _, high in ranges)

    def note(self, kind: str, text: str) -> None:
        """An event for the record."""
        self.device.note(kind, text)

    def read(self, x: Array, gradient: bool = False) -> Reading:
        """Measure a batch in one list sweep (and more for doubtful elements).

        Args:
            x: pre-activations, dimensionless, shape [B, 1].
            gradient: also return g.

        Returns:
            The reading, [B, 1]; elements that stayed doubtful are marked invalid and hold NaN.

        Raises:
            BadJunctionError: the device is not as its watch says; none of its numbers is given.
            StoppedError, LimitError, InstrumentError: from the bench.
        """
        x = as_batch(x, 1)[:, 0]
        low, high = self.x_range
        inside = np.clip(x, low, high)
        clamped = inside != x
        start_s = self.device.time_s()
        by_rule = gradient or self.partner is not None  # a pair's activation is that of both
        points = within(inside, self.rule.points(inside), low, high) if by_rule else inside[:, None]
        order = self.rule.order if by_rule else "sorted"
        read = remeasured(self.device, points, self.watch, order, self.partner)
        if self.watch is not None:
            self.watch.judge(self.device.name, read)
        y, g = read.y[:, 0], None
        if by_rule:
            y, g, self.sigma_g = self.rule.combine(inside, read)
        valid: Mask = np.all(read.valid, axis=1)
        return Reading(
            np.where(valid, y, np.nan)[:, None],
            np.where(valid, g, np.nan)[:, None] if gradient and g is not None else None,
            None if valid.all() else valid[:, None],
            clamped[:, None] if clamped.any() else None,
            read.reads,
            self.device.time_s() - start_s,
            self.source,
        )


def remeasured(
    device: Device,
    points: Array,
    watch: Watch | None = None,
    order: Order = "sorted",
    partner: Device | None = None,
) -> Signals:
    """Signals at points [B, k] inside the range, each element read until it is beyond doubt.

    Elements that stay doubtful are not valid.

    Args:
        device: is told of what is read again.
        watch: what else is doubtful.
        order: "sorted"; or "given": the points of an element follow each other, and elements rise.
        partner: another device, which measures the second of two points.

    Raises:
        StoppedError, LimitError, InstrumentError: from the bench.
    """
    found: Signals | None = None
    valid: Mask = np.zeros(len(points), dtype=bool)
    reads = 0
    for attempt in range(1 + _REPEATS):
        wanted: NDArray[np.intp] = np.flatnonzero(~valid)
        if not len(wanted):
            break
        if attempt:
            device.note("read again", f"{device.name}: {len(wanted)} doubtful readings")
        try:
            new = _measured(device, points[wanted], order, partner)
        except SweepVoidError as error:
            device.note("void sweep", str(error))
            continue
        reads += new.reads
        if watch is not None:
            new = watch.doubt(new)
        if found is None:
            found = _nothing(points, new)
        _put(found, wanted, new)
        valid[wanted] = np.all(new.valid, axis=1)
    return replace(_nothing(points, None) if found is None else found, reads=reads)


def within(x: Array, points: Array, low: float, high: float) -> Array:
    """Points [B, k] moved into the range: to its edge, or to the other side of x [B]."""
    moved: Array = np.clip(points, low, high)
    wide = np.ptp(points, axis=1)
    narrow = np.ptp(moved, axis=1) < _LEFT * wide
    mirrored = np.clip(np.where(moved == points, points, 2 * x[:, None] - points), low, high)
    return np.where(narrow[:, None], mirrored, moved)


def _nothing(points: Array, like: Signals | None) -> Signals:
    """Signals of which none is there yet; ``like`` says whether there is an m_z."""
    two = like is None or like.m_z is not None

    def empty() -> Array:
        return np.full(points.shape, np.nan)

    return Signals(
        empty(),
        empty() if two else None,
        empty(),
        empty() if two else None,
        np.zeros(points.shape, dtype=bool),
        x=points,
    )


def _put(found: Signals, where: NDArray[np.intp], new: Signals) -> None:
    """New signals of some elements in place of the old."""
    for name in ("y", "m_z", "sigma_y", "sigma_z", "valid"):
        values = getattr(new, name)
        if values is not None:
            getattr(found, name)[where] = values


def _measured(device: Device, points: Array, order: Order, partner: Device | None) -> Signals:
    """Points [B, k] in one list, or [B, 2] in one of each device."""
    if partner is not None:
        first, second = (
            one.measure(column, order)
            for one, column in zip((device, partner), points.T, strict=True)
        )
        return side_by_side(first, second, points)
    if order == "sorted":
        return shaped(device.measure(points.ravel(), order), points.shape, points)
    # Elements that rise leave no large steps between them.
    rank = np.argsort(points.mean(axis=1), kind="stable")
    read = shaped(device.measure(points[rank].ravel(), order), points.shape, points)
    back = np.argsort(rank)
    return replace(
        read,
        y=read.y[back],
        m_z=None if read.m_z is None else read.m_z[back],
        sigma_y=read.sigma_y[back],
        sigma_z=None if read.sigma_z is None else read.sigma_z[back],
        valid=read.valid[back],
    )
