"""What all devices have: a response that is measured in one list sweep."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from device.reading import Array, Mask, Signals, Source
from instruments import SweepData
from instruments.sweep import Order


class Clock(Protocol):
    """Bench time."""

    def time_s(self) -> float: ...


class Events(Protocol):
    """The part of a recorder that devices use."""

    def event(self, kind: str, text: str) -> None: ...


class Sweeper(Protocol):
    """What a device needs of a bench: `instruments.Bench`, or stored sweeps that answer for one."""

    @property
    def clock(self) -> Clock: ...

    @property
    def recorder(self) -> Events: ...

    def sweep(
        self,
        junction: str,
        levels_a: Sequence[float] | Array,
        *,
        purpose: str = "sweep",
        order: Order = "sorted",
        run: int | None = None,
    ) -> SweepData: ...


class Device(Protocol):
    """One or more junctions with one response y(x)."""

    @property
    def name(self) -> str:
        """What messages call it."""

    @property
    def scale_a(self) -> float:
        """Field-line current per unit of x, A."""

    @property
    def x_range(self) -> tuple[float, float]:
        """Where it may be asked, dimensionless."""

    @property
    def source(self) -> Source:
        """Where its numbers come from."""

    @property
    def junctions(self) -> tuple[JunctionDevice, ...]:
        """The single junctions that it is made of."""

    def measure(self, x: Array, order: Order = "sorted") -> Signals:
        """One list sweep at pre-activations inside the range, dimensionless, [N].

        Raises:
            SweepVoidError: nothing of it may be used.
        """

    def time_s(self) -> float:
        """Bench time, s."""

    def note(self, kind: str, text: str) -> None:
        """An event for the record."""


class JunctionDevice:
    """One junction of a bench, and what its sweeps are recorded as.

    Args:
        bench: an open bench.
        name: of the junction.
    """

    def __init__(self, bench: Sweeper, name: str) -> None:
        self.bench = bench
        self.name = name
        #: for the record: what the next sweeps are for, and the run that they belong to
        self.purpose = "sweep"
        self.run: int | None = None

    @property
    def junction(self) -> str:
        """Name of the junction."""
        return self.name

    @property
    def junctions(self) -> tuple[JunctionDevice, ...]:
        """Itself."""
        return (self,)

    @property
    def source(self) -> Source:
        """ "live", or "replay" where a record answers."""
        file = getattr(self.bench, "file", None)
        return "live" if file is not None and file.backend != "replay" else "replay"

    def sweep(self, level_a: Array, order: Order = "sorted") -> SweepData:
        """A recorded sweep of this junction at field-line currents, A.

        Raises:
            SweepVoidError, StoppedError, LimitError, InstrumentError: from the bench.
        """
        return self.bench.sweep(self.name, level_a, purpose=self.purpose, order=order, run=self.run)

    def time_s(self) -> float:
        """Bench time, s."""
        return self.bench.clock.time_s()

    def note(self, kind: str, text: str) -> None:
        """An event for the record."""
        self.bench.recorder.event(kind, text)


def signals(
    data: SweepData,
    y: Array,
    sigma_y: float,
    m_z: Array | None = None,
    sigma_z: float | None = None,
    possible: Mask | None = None,
) -> Signals:
    """The signals of a sweep; what is not valid, or not ``possible``, [N], becomes NaN."""
    valid = data.valid if possible is None else data.valid & possible
    return Signals(
        np.where(valid, y, np.nan),
        None if m_z is None else np.where(valid, m_z, np.nan),
        np.full(len(y), sigma_y),
        None if sigma_z is None else np.full(len(y), sigma_z),
        valid,
        data.points,
        data.bench_end_s - data.bench_start_s,
    )
