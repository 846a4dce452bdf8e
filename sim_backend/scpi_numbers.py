"""Numbers as parameters: with ranges, units, steps, and the words that stand for numbers.

Source: SCPI-1999 volume 1, sections 7.2 and 7.3.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from sim_backend import scpi_data
from sim_backend.scpi_arguments import is_word, one, short
from sim_backend.scpi_data import elements
from sim_backend.scpi_errors import ScpiError

#: what stands for numbers that are none
INFINITY, NOT_A_NUMBER = 9.9e37, 9.91e37


@dataclass(frozen=True)
class Number:
    """A number from ``low`` to ``high`` in the header's SI unit; MIN, MAX, DEF are understood.

    Attributes:
        default: what DEF means; None: the row's reset value.
        unit: in capitals (``V``, ``A``, ``OHM``, ``HZ``, ``S``), if it may follow the number.
        step: by how much UP and DOWN move it; None: not understood.
        values: where only these count, in order: UP and DOWN go to the next.
        special: which of INF, NINF and NAN are values too.
    """

    low: float
    high: float
    default: float | None = None
    unit: str = ""
    step: float | None = None
    values: tuple[float, ...] = ()
    special: tuple[str, ...] = ()

    def named(self, text: str) -> float:
        """The value that a word stands for."""
        default = min(max(0.0, self.low), self.high) if self.default is None else self.default
        words = {"MINimum": self.low, "MAXimum": self.high, "DEFault": default}
        specials = {"INFinity": math.inf, "NINFinity": -math.inf, "NAN": math.nan}
        for word, value in specials.items():
            if short(word) in self.special:
                words[word] = value
        for word, value in words.items():
            if is_word(text, word):
                return value
        raise ScpiError(-104)

    def parse(self, text: str) -> float:
        text = one(text)
        if text[:1].isalpha():
            return self.named(text)
        return self.within(scpi_data.number(text, self.unit))

    def within(self, value: float) -> float:
        """The value, or -222 (-224 where only some values are there)."""
        if self.values and value not in self.values:
            raise ScpiError(-222 if not self.low <= value <= self.high else -224)
        if not self.low <= value <= self.high:
            raise ScpiError(-222)
        return value

    def moved(self, value: float, word: str) -> float | None:
        """The value after UP or DOWN; None: ``word`` is neither, or not understood."""
        if word.upper() not in ("UP", "DOWN") or (self.step is None and not self.values):
            return None
        up = word.upper() == "UP"
        if self.values:
            beyond = [x for x in self.values if (x > value if up else x < value)]
            if not beyond:
                raise ScpiError(-222)
            return min(beyond) if up else max(beyond)
        assert self.step is not None
        return self.within(value + (self.step if up else -self.step))

    def show(self, value: Any) -> str:
        if not math.isfinite(value):
            value = NOT_A_NUMBER if math.isnan(value) else math.copysign(INFINITY, value)
        return f"{value:+.6E}"

    def describe(self) -> str:
        unit = f" {self.unit}" if self.unit else ""
        if self.values:
            text = ", ".join(f"{value:g}" for value in self.values)
        else:
            text = f"{self.low:.9g} to {self.high:.9g}"
        return text + unit + "".join(f", {word}" for word in self.special)


@dataclass(frozen=True)
class Whole(Number):
    """A whole number: what is given is rounded (IEEE 488.2 section 10, <NRf>)."""

    def within(self, value: float) -> float:
        return int(super().within(math.floor(value + 0.5) if math.isfinite(value) else value))

    def show(self, value: Any) -> str:
        return str(int(value)) if math.isfinite(value) else super().show(value)

    def describe(self) -> str:
        return super().describe().replace(" to ", " … ", 1)


@dataclass(frozen=True)
class Numbers:
    """A list of numbers, at most ``most`` in one message."""

    low: float
    high: float
    most: int
    unit: str = ""

    def parse(self, text: str) -> list[float]:
        values = [scpi_data.number(part, self.unit) for part in elements(text)]
        if len(values) > self.most:
            raise ScpiError(-223)
        if not all(self.low <= value <= self.high for value in values):
            raise ScpiError(-222)
        return values

    def show(self, value: Any) -> str:
        return ",".join(f"{x:+.6E}" for x in value)

    def describe(self) -> str:
        unit = f" {self.unit}" if self.unit else ""
        return f"up to {self.most} numbers from {self.low:.9g} to {self.high:.9g}{unit}"
