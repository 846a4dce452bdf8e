"""Reading buffers of a Keithley 2450, and what can be asked of them.

Page numbers are of the 2450 Reference Manual, 2450-901-01 rev. B.
"""

from __future__ import annotations

import datetime
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim_backend.scpi import Choice, ScpiError, String, Whole
from sim_backend.scpi_data import elements

#: a reading's status, p. 8-33; its source's status, p. 8-29 (2 and 3: 2470 manual, p. 14-32)
FRONT = 8
PROTECTED, READ_BACK, LIMITED, SENSED, OUTPUT_ON = 4, 8, 32, 64, 128
FEWEST, MOST = 10, 6_875_000  # memory: sizes of a buffer
DEFAULT_SIZE = 100_000  # memory
_ORIGIN = datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)  # bench time 0 by the meter's clock


@dataclass(frozen=True)
class Reading:
    """What was measured, the source's value, their units, and their status."""

    value: float
    unit: str
    source: float
    source_unit: str
    status: int
    source_status: int
    time_s: float


def _clock(reading: Reading) -> datetime.datetime:
    return _ORIGIN + datetime.timedelta(seconds=reading.time_s)


#: what an element shows of a reading, given the time of the buffer's first one, s
_SHOW: dict[str, Callable[[Reading, float], Any]] = {
    "DATE": lambda r, _: f"{_clock(r):%m/%d/%Y}",
    "FORM": lambda r, _: f"{r.value:+.6E} {r.unit}",
    "FRAC": lambda r, _: r.time_s % 1,
    "READ": lambda r, _: r.value,
    "REL": lambda r, first_s: r.time_s - first_s,
    "SEC": lambda r, _: str(int(_clock(r).timestamp())),
    "SOUR": lambda r, _: r.source,
    "SOURFORM": lambda r, _: f"{r.source:+.6E} {r.source_unit}",
    "SOURSTAT": lambda r, _: str(r.source_status),
    "SOURUNIT": lambda r, _: r.source_unit,
    "STAT": lambda r, _: str(r.status),
    "TIME": lambda r, _: f"{_clock(r):%H:%M:%S}",
    "TST": lambda r, _: f"{_clock(r):%m/%d/%Y %H:%M:%S.%f}",
    "UNIT": lambda r, _: r.unit,
}
#: p. 6-6
_ELEMENT = Choice((
    "DATE", "FORMatted", "FRACtional", "READing", "RELative", "SEConds", "SOURce", "SOURFORMatted",
    "SOURSTATus", "SOURUNIT", "STATus", "TIME", "TSTamp", "UNIT",
))  # fmt: skip
MOST_ELEMENTS = 14
_NAME = String(31)
_INDEX = Whole(1, MOST)


@dataclass(frozen=True)
class Recall:
    """``[start, end, ]["buffer"[, element, …]]``; the value is (start, end, name, elements).

    Attributes:
        indexed: start and end are given.
    """

    indexed: bool = False

    def parse(self, text: str) -> tuple[int, int, str, tuple[str, ...]]:
        found = elements(text)
        start = end = 0
        if self.indexed:
            if len(found) < 2:
                raise ScpiError(-109)
            start, end = int(_INDEX.parse(found[0])), int(_INDEX.parse(found[1]))
            found = found[2:]
        name = _NAME.parse(found[0]) if found else "defbuffer1"
        chosen = tuple(_ELEMENT.parse(word) for word in found[1:]) or ("READ",)
        if len(chosen) > MOST_ELEMENTS:
            raise ScpiError(-223)
        return start, end, name, chosen

    def show(self, value: Any) -> str:
        return str(value)

    def describe(self) -> str:
        head = "start, end, " if self.indexed else ""
        return f'{head}"buffer", up to {MOST_ELEMENTS} of {", ".join(_ELEMENT.words)}'


class ReadingBuffer:
    """Readings, oldest first.

    Args:
        size: how many fit.
        once: full means full; otherwise the oldest make room.
    """

    def __init__(self, size: int, once: bool) -> None:
        self.once = once
        self.readings: deque[Reading] = deque()
        self.resize(size)

    def __len__(self) -> int:
        return len(self.readings)

    def resize(self, size: int) -> None:
        """Another size; the readings are gone (memory)."""
        self.size = size
        self.readings = deque(maxlen=size)

    def add(self, reading: Reading) -> None:
        if not (self.once and len(self) == self.size):
            self.readings.append(reading)

    def statistic(self, of: Callable[[NDArray[np.float64]], np.floating]) -> float:
        """Of all readings.

        Raises:
            ScpiError: -230, there are none.
        """
        if not self.readings:
            raise ScpiError(-230)
        return float(of(np.array([reading.value for reading in self.readings])))

    def between(self, start: int, end: int) -> list[Reading]:
        """Readings number ``start`` to ``end``, from 1.

        Raises:
            ScpiError: -222, there are not so many.
        """
        if not start <= end <= len(self):
            raise ScpiError(-222)
        return list(self.readings)[start - 1 : end]

    def columns(self, readings: Sequence[Reading], chosen: Sequence[str]) -> list[Any]:
        """Numbers and texts, reading by reading.

        Raises:
            ScpiError: -230, there are none.
        """
        if not readings:
            raise ScpiError(-230)
        first_s = self.readings[0].time_s
        return [_SHOW[name](reading, first_s) for reading in readings for name in chosen]
