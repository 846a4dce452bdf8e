"""The roles of a bench, as small protocols.  A driver fills one or more; which ones stands in the
registry (:func:`instruments.drivers.roles_of`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

#: what brings an instrument to zero, what switches it off, and the question that shows both
StopMessages = tuple[tuple[str, ...], tuple[str, ...], str]


@dataclass(frozen=True)
class MeterReadings:
    """Readings of a source-meter, one a point.

    Attributes:
        current_a: measured current, A, shape [N].
        status: the instrument's status word of each, [N].
        compliance: the source was held back by its compliance or range, [N].
        overflow: the current was above the meter's range, [N].
        valid: a number, and neither of the two, [N].
    """

    current_a: NDArray[np.float64]
    status: NDArray[np.int64]
    compliance: NDArray[np.bool_]
    overflow: NDArray[np.bool_]
    valid: NDArray[np.bool_]


@dataclass(frozen=True)
class VoltReadings:
    """Readings of a voltmeter.

    Attributes:
        volt: measured voltage, V, shape [N].
        overflow: above the range, [N].
        valid: a number within the range, [N].
    """

    volt: NDArray[np.float64]
    overflow: NDArray[np.bool_]
    valid: NDArray[np.bool_]


class Driver(Protocol):
    """What every driver has."""

    model: str

    @classmethod
    def stop_messages(cls) -> StopMessages:
        """What brings it to zero, what switches it off, and the question that shows it."""

    def look(self) -> None:
        """Ask for what the limits must know; changes nothing."""

    def ask(self, command: str) -> str:
        """A question and its answer, as one job."""


class Source(Driver, Protocol):
    """What can hurt: it is brought to zero and off."""

    def abort(self) -> None:
        """Leave the trigger model, wherever it is."""

    def read_level(self) -> float:
        """The level that it reports to be set, A or V."""


class CurrentSource(Source, Protocol):
    """``field``: sources a current along a list and paces the sweep."""

    most_points: int

    @staticmethod
    def programming_step_a(largest_a: float) -> float: ...

    def prepare(
        self,
        *,
        largest_a: float,
        compliance_v: float,
        delay_s: float,
        pulse_after_delay: bool,
        trigger_in: int | None,
        trigger_out: int,
    ) -> None: ...

    def set_current(self, level_a: float) -> None: ...

    def load(self, levels_a: Sequence[float]) -> None: ...

    def start(self) -> None: ...

    def in_compliance(self) -> bool:
        """Whether it has been in compliance since the last start."""

    def wait(self, timeout_s: float) -> None: ...


class SourceMeter(Source, Protocol):
    """``x``, ``z``: sources a read voltage and measures the current at each trigger."""

    most_points: int

    def prepare(
        self,
        *,
        compliance_a: float,
        nplc: float,
        trigger_in: int,
        trigger_out: int | None,
        delay_s: float,
    ) -> None: ...

    def set_voltage(self, volt: float) -> None: ...

    def arm(self, points: int) -> None: ...

    def wait(self, timeout_s: float) -> None: ...

    def fetch(self, points: int) -> MeterReadings: ...


class BiasField(Source, Protocol):
    """``bias``: drives a magnet with a current or a voltage."""

    unit: str  # "A" or "V"

    @staticmethod
    def programming_step(largest: float) -> float:
        """Programming step of the range that holds ``largest``, A or V."""

    def prepare(self, *, largest: float, compliance: float) -> None:
        """Source zero on a fixed range, output on.

        Args:
            largest: largest level that will be set, A or V.
            compliance: of the other quantity, V or A; set to the instrument's step below it.

        Raises:
            InstrumentError: beyond the instrument's ranges, or a setting reads back otherwise.
        """

    def set_level(self, level: float) -> None:
        """Set the level, A or V.

        Raises:
            InstrumentError: beyond the range; nothing was sent.
        """

    def limited(self) -> bool:
        """Whether the source is held back by its compliance now."""


class Polarizer(BiasField, Protocol):
    """``polarizer``: turns a reference layer by pulses of either sign."""

    def pulse(self, level: float, width_s: float, pause: Callable[[float], None]) -> None:
        """One pulse from zero and back to zero.

        Args:
            level: its height, V or A.
            width_s: its length, s; the time that messages take comes on top.
            pause: lets so many seconds of bench time pass.
        """


class Switch(Driver, Protocol):
    """``switch``: joins the meters to one junction at a time."""

    safe_message: str  # opens every relay

    def closed(self) -> frozenset[str]: ...

    def open_all(self) -> None: ...

    def close_relays(self, channels: Sequence[str]) -> None: ...


class Voltmeter(Driver, Protocol):
    """Measures a voltage and sources nothing."""

    most_points: int

    def prepare(self, *, range_v: float, nplc: float) -> None: ...

    def read(self, count: int = 1) -> VoltReadings: ...


class Thermometer(Driver, Protocol):
    """``thermometer``: reads a temperature."""

    def prepare_temperature(
        self, *, sensor: str, excitation_a: float | None, nplc: float
    ) -> None: ...

    def temperature_k(self) -> float:
        """The temperature now, K.

        Raises:
            InstrumentError: the sensor gives no temperature (broken, or out of range).
        """
