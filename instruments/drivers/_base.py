"""What our drivers add to pymeasure's classes.

pymeasure asks with a write, a wait and a read, between which another thread may come; here a
question is one job.  Settings that matter are read back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from pymeasure.adapters import Adapter

from instruments.drivers._strict import make_strict
from instruments.errors import InstrumentError
from instruments.message import number

if TYPE_CHECKING:
    from instruments.limits_allowed import Allowed
    from instruments.link import Link


#: questions that every instrument answers and that change nothing
COMMON: dict[str, str | None] = dict.fromkeys(
    ("*IDN", "*OPC", "*STB", "*ESR", "*OPT", ":SYST:ERR", ":SYST:VERS")
)


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


class GuardedMixin:
    """Atomic questions, settings that are read back, strict properties.  Comes before pymeasure's
    class.

    Attributes:
        allowed: what may be said to the instrument.
        model: what its answer to ``*IDN?`` must contain.
    """

    allowed: ClassVar[Allowed]
    model: ClassVar[str]
    adapter: LinkAdapter

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        make_strict(cls)

    @property
    def link(self) -> Link:
        """The way to the instrument."""
        return self.adapter.link

    def ask(self, command: str, query_delay: float | None = None) -> str:
        """A question and its answer, as one job."""
        return self.link.query(command).decode("ascii", "replace").strip()

    def ask_number(self, command: str) -> float:
        """A question whose answer is a number.

        Raises:
            InstrumentError: it is none.
        """
        answer = self.ask(command)
        found = number(answer)
        if found is None:
            raise InstrumentError(f"{self.link.role}: {command} is answered {answer!r}: no number")
        return found

    def set_checked(self, header: str, value: float | str, unit: str = "") -> None:
        """Set, read back, compare.

        Raises:
            InstrumentError: the instrument reports something else.
        """
        text = value if isinstance(value, str) else f"{value:.9g}"
        self.link.write(f"{header} {text}")
        answer: str | float
        if isinstance(value, str):
            answer = self.ask(f"{header}?")
            same = answer.upper() == value.upper()
        else:
            answer = self.ask_number(f"{header}?")
            same = abs(answer - value) <= 1e-5 * abs(value) + 1e-15
        if not same:
            raise InstrumentError(
                f"{self.link.role}: {header} was set to {text} {unit} and reads back {answer}"
            )

    def shutdown(self) -> None:
        """Nothing: the bench takes its instruments to the safe state, in one order for all."""


class Pulses:
    """Pulses of a source that holds one level.  Comes before the driver."""

    set_level: Callable[[float], None]

    def pulse(self, level: float, width_s: float, pause: Callable[[float], None]) -> None:
        """One pulse from zero and back to zero.

        Args:
            level: its height, V or A.
            width_s: its length, s; the time that messages take comes on top.
            pause: lets so many seconds of bench time pass.

        Raises:
            InstrumentError: beyond the range; nothing was sent.
        """
        try:
            self.set_level(level)
            pause(width_s)
        finally:
            self.set_level(0.0)
