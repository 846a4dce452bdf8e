"""Ranges as data: what an instrument can be set to.  Refuse, never clip."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from instruments.errors import InstrumentError
from instruments.units import show


@dataclass(frozen=True)
class Ranges:
    """The ranges of one quantity.

    Attributes:
        spans: their names, from the smallest to the largest.
        unit: of all numbers here.
        source: where they are written down.
        headroom: how far a range goes, in parts of its name.
        most: what no range goes beyond, whatever its headroom.
        steps: programming step of each range; empty for a measuring range.
    """

    spans: tuple[float, ...]
    unit: str
    source: str
    headroom: float = 1.05
    most: float = math.inf
    steps: tuple[float, ...] = ()

    def top(self, span: float) -> float:
        """The largest value on a range."""
        return min(self.headroom * span, self.most)

    def holding(self, largest: float, who: str) -> float:
        """The smallest range that holds a value.

        Raises:
            InstrumentError: none does.
        """
        for span in self.spans:
            if abs(largest) <= self.top(span) * (1 + 1e-12):
                return span
        raise InstrumentError(
            f"{who}: {show(largest, self.unit)} is above the instrument's largest range, "
            f"{show(self.spans[-1], self.unit)}"
        )

    def step(self, largest: float, who: str) -> float:
        """Programming step of the smallest range that holds a value.

        Raises:
            InstrumentError: none does.
        """
        return self.steps[self.spans.index(self.holding(largest, who))]

    def check(self, value: float, span: float, who: str) -> None:
        """Raise InstrumentError for a value that a range does not hold."""
        if not abs(value) <= self.top(span) * (1 + 1e-12):
            raise InstrumentError(
                f"{who}: {show(value, self.unit)} is beyond the {show(span, self.unit)} range, "
                f"which goes to {show(self.top(span), self.unit)}"
            )

    def check_all(self, values: Sequence[float], span: float, who: str) -> None:
        """Raise InstrumentError for the first value that a range does not hold."""
        top = self.top(span)
        for value in values:
            if not abs(value) <= top:
                self.check(value, span, who)


@dataclass(frozen=True)
class Span:
    """What a setting may be, from ``low`` to ``high``.

    Attributes:
        what: its name, for messages.
        unit: of both ends.
        source: where they are written down.
        step: if the instrument knows only multiples of it; 0: any value.
    """

    what: str
    low: float
    high: float
    unit: str
    source: str
    step: float = 0.0

    def __str__(self) -> str:
        return f"{self._show(self.low)} to {self._show(self.high)}"

    def _show(self, value: float) -> str:
        return show(value, self.unit) if self.unit else f"{value:.9g}"

    def check(self, value: float, who: str) -> None:
        """Raise InstrumentError for a value outside."""
        if not self.low <= value <= self.high:
            raise InstrumentError(
                f"{who}: {self.what} of {self._show(value)} is out of range; give {self}"
            )

    def below(self, value: float, who: str) -> float:
        """The multiple of the step at or below a value (a fuse may be tighter, never looser).

        Raises:
            InstrumentError: it is outside.
        """
        self.check(value, who)
        if not self.step:
            return value
        count, per_unit = math.floor(value / self.step * (1 + 1e-12)), round(1 / self.step)
        return count / per_unit if per_unit > 1 else count * self.step
