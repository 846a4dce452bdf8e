"""The roles of a bench, as small protocols.  A driver fills one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class MeterReadings:
    """One reading a point.

    Attributes:
        current_a: measured current, A, shape [N].
        status: the instrument's status word of each, [N].
        valid: whether the status word leaves no doubt (no compliance, no overflow), [N].
    """

    current_a: NDArray[np.float64]
    status: NDArray[np.int64]
    valid: NDArray[np.bool_]


class Driver(Protocol):
    """What every driver has."""

    model: str

    def look(self) -> None:
        """Ask for what the limits must know; changes nothing."""

    def ask(self, command: str) -> str:
        """A question and its answer, as one job."""


class Source(Driver, Protocol):
    """What can hurt: it is brought to zero and off."""

    def stop_messages(self) -> tuple[tuple[str, ...], tuple[str, ...], str]:
        """What brings it to zero, what switches it off, and the question that shows it."""

    def abort(self) -> None:
        """Leave the trigger model, wherever it is."""

    def read_level(self) -> float:
        """The level that it reports to be set, A or V."""


class CurrentSource(Source, Protocol):
    """Sources a current along a list and paces the sweep."""

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

    def wait(self, timeout_s: float) -> None: ...


class SourceMeter(Source, Protocol):
    """Sources a read voltage and measures the current at each trigger."""

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


class Switch(Driver, Protocol):
    """Joins the meters to one junction at a time."""

    safe_message: str  # opens every relay

    def closed(self) -> frozenset[str]: ...

    def open_all(self) -> None: ...

    def close_relays(self, channels: Sequence[str]) -> None: ...
