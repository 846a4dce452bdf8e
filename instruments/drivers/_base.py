"""What our drivers add to pymeasure's classes.

pymeasure asks with a write, a wait and a read, between which another thread may come; here a
question is one job.  Settings that matter are read back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pymeasure.adapters import Adapter

from instruments.errors import InstrumentError
from instruments.units import show

if TYPE_CHECKING:
    from instruments.transport import Link


class LinkAdapter(Adapter):
    """pymeasure's way to a :class:`~instruments.transport.Link`."""

    def __init__(self, link: Link) -> None:
        super().__init__()
        self.link = link

    def _write(self, command: str, **_: Any) -> None:
        self.link.write(command)

    def _read(self, **_: Any) -> str:
        raise InstrumentError(
            f"{self.link.role}: a bare read is not one job; ask the question with ask() or values()"
        )


def smallest_range(ranges: Sequence[float], largest: float, unit: str, role: str) -> float:
    """The smallest range that holds a value (ranges hold 5 % more than their name).

    Raises:
        InstrumentError: none does.
    """
    for one in ranges:
        if largest <= 1.05 * one:
            return one
    raise InstrumentError(
        f"{role}: {show(largest, unit)} is above the instrument's largest range, "
        f"{show(ranges[-1], unit)}"
    )


class GuardedMixin:
    """Atomic questions and settings that are read back.  Comes before pymeasure's class."""

    adapter: LinkAdapter

    @property
    def link(self) -> Link:
        """The way to the instrument."""
        return self.adapter.link

    def ask(self, command: str, query_delay: float | None = None) -> str:
        """A question and its answer, as one job."""
        return self.link.query(command).decode("ascii").strip()

    def set_checked(self, header: str, value: float | str, unit: str = "") -> None:
        """Set, read back, compare.

        Raises:
            InstrumentError: the instrument reports something else.
        """
        text = value if isinstance(value, str) else f"{value:.9g}"
        self.link.write(f"{header} {text}")
        answer = self.ask(f"{header}?")
        same = (
            answer.upper() == value.upper()
            if isinstance(value, str)
            else abs(float(answer) - value) <= 1e-5 * abs(value) + 1e-15
        )
        if not same:
            raise InstrumentError(
                f"{self.link.role}: {header} was set to {text} {unit} and reads back {answer}"
            )

    def shutdown(self) -> None:
        """Nothing: the bench takes its instruments to the safe state, in one order for all."""
