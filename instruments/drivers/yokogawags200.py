"""Yokogawa GS200 as a source of a bias magnet or of a polarizer: one level, held.

Two drivers of one instrument, by what it sources: each allow-list holds the function to one word,
so that a level and its fuse always have one unit.  The program memory is left out: while one is
edited, a level on the wire is not the level of the output.  Page numbers are of IM GS210-01EN.
"""

from __future__ import annotations

from typing import Any, ClassVar

from pymeasure.instruments import Instrument
from pymeasure.instruments.yokogawa import YokogawaGS200 as _YokogawaGS200

from instruments.drivers._base import COMMON, GuardedMixin, LinkAdapter, Pulses
from instruments.drivers._ranges import Ranges, Span
from instruments.drivers._readings import StatusGS200
from instruments.limits_allowed import WATCHED, Allowed, Effect
from instruments.link import Link
from instruments.roles import StopMessages

# Settings that touch no node.
_FREE = ("*SRE", "*ESE", ":STAT:ENAB", ":SYST:BEEP", ":SYST:KLOC", ":ROUT:BNCO", ":ROUT:BNCI")
# Settings that are asked for and not set here.
_SET = (
    ":SENS:GUAR", ":SENS:REM", ":SYST:LFR", ":STAT:COND", ":PROG:INT", ":PROG:SLOP", ":PROG:REP",
    ":SOUR:PROT:VOLT", ":SOUR:PROT:CURR",
)  # fmt: skip


def _allowed(function: str, fuse: str) -> Allowed:
    """The allow-list for one function, with the fuse that acts while it is sourced."""
    return Allowed(
        commands={"*CLS": Effect.FREE}
        | dict.fromkeys(_FREE, Effect.FREE)
        | {
            ":SOUR:LEV": Effect.LEVEL,
            ":SOUR:LEV:FIX": Effect.LEVEL,
            ":SOUR:RANG": Effect.RANGE,
            fuse: Effect.COMPLIANCE,
            ":OUTP": Effect.OUTPUT,
            ":OUTP:STAT": Effect.OUTPUT,
        },
        fixed={
            ":SOUR:FUNC": frozenset({function}),
            ":SENS:REM": frozenset({"OFF", "0"}),  # an open sense lead drives the output up
        },
        queries=COMMON
        | dict.fromkeys((*_FREE, *_SET), WATCHED)
        | {
            ":SOUR:FUNC": "function",
            ":SOUR:LEV": "level",
            ":SOUR:LEV:FIX": "level",
            ":SOUR:RANG": "range",
            fuse: "compliance",
            ":OUTP": "output",
            ":OUTP:STAT": "output",
        },
    )


SOURCE_A = Ranges(
    (1e-3, 1e-2, 0.1, 0.2), "A", "memory", headroom=1.2, most=0.2, steps=(1e-8, 1e-7, 1e-6, 1e-6)
)
SOURCE_V = Ranges(
    (1e-2, 0.1, 1.0, 10.0, 30.0), "V", "memory", headroom=1.2, most=32.0,
    steps=(1e-7, 1e-6, 1e-5, 1e-4, 1e-3),
)  # fmt: skip
LIMITER_V = Span("compliance", 1, 30, "V", "13-12; its step: memory", step=1.0)
LIMITER_A = Span("compliance", 1e-3, 0.2, "A", "13-12; its step: memory", step=1e-3)
_LIMITER = StatusGS200.LOW_LIMITER | StatusGS200.HIGH_LIMITER


class _GS200(GuardedMixin, _YokogawaGS200):
    """What both have; see :class:`YokogawaGS200`."""

    model = "YOKOGAWA,GS2"
    unit: ClassVar[str]
    ranges: ClassVar[Ranges]
    limiter: ClassVar[Span]
    _function: ClassVar[str]
    _fuse: ClassVar[str]

    def __init__(self, link: Link, **kwargs: Any) -> None:
        # Past pymeasure's class, which warns that it does not know whether this speaks SCPI.
        name = f"Yokogawa GS200 ({link.role})"
        Instrument.__init__(self, LinkAdapter(link), name, includeSCPI=False, **kwargs)
        self._range = self.ranges.spans[-1]

    @classmethod
    def programming_step(cls, largest: float) -> float:
        """Programming step of the range that holds ``largest``, A or V."""
        return cls.ranges.step(largest, "GS200")

    @classmethod
    def _look(cls) -> str:
        return f":SOUR:FUNC?;:SOUR:LEV?;:SOUR:RANG?;{cls._fuse}?;:OUTP?"

    def look(self) -> None:
        """Ask for what the limits must know; changes nothing."""
        self.ask(self._look())

    def prepare(self, *, largest: float, compliance: float) -> None:
        """Source zero on a fixed range, output on.

        Args:
            largest: largest level that will be set, A or V.
            compliance: V for a current, A for a voltage; set to the limiter's step below it.

        Raises:
            InstrumentError: beyond the instrument's ranges, or a setting reads back otherwise.
        """
        who, write = self.link.role, self.link.write
        held = self.ranges.holding(largest, who)
        fuse = self.limiter.below(compliance, who)
        write(":SOUR:LEV 0;:OUTP OFF")  # in whatever function; sensing changes only when off
        write(f":SOUR:FUNC {self._function};:SENS:REM OFF")
        self.set_checked(":SOUR:RANG", held, self.unit)
        self.set_checked(self._fuse, fuse, self.limiter.unit)
        self._range = held
        self.look()
        write(":OUTP ON")
        self.look()

    def abort(self) -> None:
        """Nothing: it holds one level."""

    def set_level(self, level: float) -> None:
        """Set the level, A or V.

        Raises:
            InstrumentError: beyond the range; nothing was sent.
        """
        self.ranges.check(level, self._range, self.link.role)
        self.link.write(f":SOUR:LEV {level:.9g}")

    def read_level(self) -> float:
        """The level that the instrument reports to be set, A or V."""
        return self.ask_number(":SOUR:LEV?")

    def limited(self) -> bool:
        """Whether the limiter holds the source back now."""
        return bool(int(self.ask_number(":STAT:COND?")) & _LIMITER)

    @classmethod
    def stop_messages(cls) -> StopMessages:
        """What brings it to zero, what switches it off, and the question that shows it."""
        return (":SOUR:LEV 0",), (":OUTP OFF",), cls._look()


class YokogawaGS200(_GS200):
    """Sources a current: a ``BiasField`` (see :mod:`instruments.roles`)."""

    unit = "A"
    ranges, limiter = SOURCE_A, LIMITER_V
    _function, _fuse = "CURR", ":SOUR:PROT:VOLT"
    allowed = _allowed(_function, _fuse)


class YokogawaGS200Volt(Pulses, _GS200):
    """Sources a voltage: a ``BiasField`` or a ``Polarizer`` (see :mod:`instruments.roles`)."""

    unit = "V"
    ranges, limiter = SOURCE_V, LIMITER_A
    _function, _fuse = "VOLT", ":SOUR:PROT:CURR"
    allowed = _allowed(_function, _fuse)
