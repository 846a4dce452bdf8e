"""What the electrical side of a model needs: its terminals, its bench, and two kinds of rows.

A model says with :meth:`ElectricalInstrument.elements` what it is between its terminals, and reads
by letting the bench solve the whole circuit.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim_backend import scpi_data
from sim_backend.circuit import Element, Solution, relay
from sim_backend.clock import Clock
from sim_backend.devices import Points
from sim_backend.instrument import COMMON_ROWS, SimInstrument
from sim_backend.programme import Course, Running
from sim_backend.scpi import Row, ScpiError
from sim_backend.scpi_arguments import one
from sim_backend.scpi_language import forms
from sim_backend.truth import Truth

Array = NDArray[np.float64]

#: what a reading above its range answers, and one that is no number (SCPI-1999 volume 1, 7.2)
OVERFLOW, NAN = 9.9e37, 9.91e37
#: conversions that one message may start: a limit of this simulator, which works them out at once
MOST_CONVERSIONS = 100_000


class ElectricalBench(Protocol):
    """What a model asks of its bench."""

    clock: Clock
    truth: Truth

    def pass_time(self, seconds: float, what: str) -> None:
        """Move the clock; ``what``: bus, integrate, settle, fetch, relay or upload."""

    def start(self, instrument: SimInstrument, course: Course) -> Running:
        """The instrument goes through these steps by itself; the first one is done at once."""

    def solve(self) -> Solution:
        """Voltages and currents of the whole circuit now, at one point.  It asks all instruments
        for their elements."""

    def noise(self, instrument: SimInstrument, first: int, count: int) -> Array:
        """Standard normal numbers for the instrument's readings number ``first`` and on."""

    def touch(self) -> None:
        """A level, an output or a relay has changed."""


class ElectricalInstrument(SimInstrument):
    """An instrument with terminals.

    Attributes:
        terminals: their names; terminal t of instrument n is the node ``n.t``.
    """

    terminals: ClassVar[tuple[str, ...]] = ("hi", "lo")

    @property
    def lab(self) -> ElectricalBench:
        """The bench, as this side of the model sees it."""
        return cast(ElectricalBench, self.bench)

    def node(self, terminal: str) -> str:
        """The node of a terminal."""
        return f"{self.name}.{terminal}"

    def elements(self) -> Sequence[Element]:
        """What it is between its terminals now.  Changes nothing that a reply would show."""
        raise NotImplementedError

    def swept(self, level: ArrayLike) -> Sequence[Element]:
        """The same for a source at other levels than its own, A or V, [P]."""
        raise NotImplementedError

    def levels_over(self, points: Points) -> Array | None:
        """Levels of a source whose output changes by itself, as means over each reading's window,
        A or V, [P]; None: it holds its level."""
        return None

    def open(self, hi: str = "hi", lo: str = "lo") -> Element:
        """An open relay between two terminals."""
        return relay(self.node(hi), self.node(lo), closed=False)

    def ask_line_hz(self) -> str:
        """The line's frequency, Hz."""
        return f"{self.lab.truth.line_hz:g}"


def common_rows(without: Iterable[str] = ()) -> tuple[Row, ...]:
    """The rows that all instruments have, but those whose header begins with one of ``without``."""
    gone = tuple(without)
    return tuple(row for row in COMMON_ROWS if not row.header.startswith(gone))


@dataclass(frozen=True)
class Quoted:
    """One of several names in quotes, such as ``"VOLT:DC"``, each with its short and long forms;
    the value is the longest short form.

    Attributes:
        names: as headers are written, ``VOLTage[:DC]``.
        bare: understood without quotes too.
    """

    names: tuple[str, ...]
    bare: bool = False

    def parse(self, text: str) -> str:
        given = one(text)
        if given[:1] in ("'", '"'):
            given = scpi_data.string(given)
        elif not self.bare:
            raise ScpiError(-148 if given[:1].isalpha() else -104)
        for name in self.names:
            if given.upper() in set(forms(name)):
                return max((form for form in forms(name)), key=_short_and_full)
        raise ScpiError(-224)

    def show(self, value: Any) -> str:
        return f'"{value}"'

    def describe(self) -> str:
        return " or ".join(f'"{name}"' for name in self.names)


def _short_and_full(form: str) -> tuple[int, int]:
    """Most nodes first, then the fewest letters."""
    return form.count(":"), -len(re.sub(":", "", form))


def check_work(conversions: float) -> None:
    """Refuse what would keep the simulator busy for minutes.

    Raises:
        ScpiError: -225, more than :data:`MOST_CONVERSIONS`.
    """
    if conversions > MOST_CONVERSIONS:
        raise ScpiError(-225)


def next_range(ranges: Sequence[float], value: float, headroom: float) -> float | None:
    """The smallest range that takes a value; None: none does.

    Args:
        ranges: in order, all above 0.
        value: of either sign.
        headroom: how much of a range may be used, such as 1.05.
    """
    return next((r for r in ranges if abs(value) <= headroom * r * (1 + 1e-9)), None)
