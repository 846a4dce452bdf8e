"""Keithley 6221 on the field line: list sweeps paced by the trigger link."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from pymeasure.instruments.keithley import Keithley6221 as _Keithley6221

from instruments.drivers._base import COMMON, GuardedMixin, LinkAdapter
from instruments.drivers._ranges import Ranges, Span
from instruments.drivers._readings import APPEND, LIST
from instruments.errors import InstrumentError
from instruments.limits_allowed import WATCHED, Allowed, Effect
from instruments.link import Link
from instruments.message import numbers
from instruments.roles import StopMessages

# Commands and settings that touch no node.
_ACTS = ("*CLS", ":STAT:PRES", ":SYST:BEEP")
_FREE = (
    "*SRE", "*ESE", ":SOUR:SWE:CAB", ":SOUR:DEL", ":SOUR:CURR:FILT", ":ARM:SOUR", ":TRIG:SOUR",
    ":TRIG:DIR", ":TRIG:ILIN", ":TRIG:OLIN", ":TRIG:OUTP", ":STAT:OPER:ENAB", ":STAT:MEAS:ENAB",
    ":DISP:ENAB", ":ARM:DIR", ":ARM:TIM", ":ARM:ILIN", ":ARM:OLIN",
)  # fmt: skip
# Settings that are asked for and not set here.
_SET = (
    ":SOUR:CURR:RANG:AUTO", LIST, ":SOUR:LIST:CURR:POIN", ":SOUR:LIST:DEL", ":SOUR:LIST:DEL:POIN",
    ":SOUR:LIST:COMP:POIN", ":OUTP:LTE", ":OUTP:ISH", ":SOUR:DELT:NVPR", ":STAT:MEAS:COND",
    ":STAT:OPER:COND", ":SOUR:CURR:STAR", ":SOUR:CURR:STOP", ":SOUR:SWE:POIN", ":SOUR:WAVE:FUNC",
    ":SOUR:WAVE:FREQ", ":SOUR:WAVE:AMPL", ":SOUR:WAVE:OFFS", ":SOUR:WAVE:DCYC", ":SOUR:WAVE:RANG",
    ":SOUR:WAVE:ARM", ":SOUR:DELT:HIGH", ":SOUR:DELT:LOW", ":SOUR:DELT:DEL", ":SOUR:DELT:COUN",
    ":SOUR:DELT:CAB", ":SOUR:DELT:CSW", ":SOUR:DELT:ARM", ":UNIT:VOLT:DC", ":TRAC:POIN",
    ":FORM:ELEM",
)  # fmt: skip

ALLOWED = Allowed(
    commands=dict.fromkeys((*_ACTS, *_FREE), Effect.FREE)
    | {
        ":SOUR:CURR": Effect.LEVEL,
        ":SOUR:CURR:RANG": Effect.RANGE,
        ":SOUR:CURR:LEV": Effect.LEVEL,
        ":SOUR:CURR:COMP": Effect.COMPLIANCE,
        ":OUTP": Effect.OUTPUT,
        ":OUTP:STAT": Effect.OUTPUT,
        LIST: Effect.LIST,
        APPEND: Effect.LIST_APPEND,
        ":SOUR:LIST:DEL": Effect.LIST_DELAY,
        ":SOUR:LIST:DEL:APP": Effect.LIST_DELAY_APPEND,
        ":SOUR:LIST:COMP": Effect.LIST_COMPLIANCE,
        ":SOUR:LIST:COMP:APP": Effect.LIST_COMPLIANCE,
        ":SOUR:SWE:ARM": Effect.ARM,
        ":INIT": Effect.START,
        ":INIT:IMM": Effect.START,
        ":ABOR": Effect.ABORT,
        ":SOUR:SWE:ABOR": Effect.ABORT,
    },
    fixed={
        ":SOUR:SWE:SPAC": frozenset({"LIST"}),  # else it goes from START to STOP, not by the list
        ":SOUR:SWE:COUN": frozenset(
            {"1"}
        ),  # again from the last level to the first: one large step
        ":SOUR:SWE:RANG": frozenset({"FIX"}),  # AUTO goes through zero at each range change
    },
    queries=COMMON
    | dict.fromkeys((*_FREE, *_SET, ":SOUR:SWE:SPAC", ":SOUR:SWE:COUN", ":SOUR:SWE:RANG"), WATCHED)
    | {
        ":SOUR:CURR": "level",
        ":SOUR:CURR:LEV": "level",
        ":SOUR:CURR:RANG": "range",
        ":SOUR:CURR:COMP": "compliance",
        ":OUTP": "output",
        ":OUTP:STAT": "output",
        ":STAT:MEAS": None,
    },
)

_COMPLIANCE = 8  # measurement event register, bit 3 (622X-901-01, 11-16)
_LOOK = ":SOUR:CURR?;:SOUR:CURR:RANG?;:SOUR:CURR:COMP?;:OUTP?"
_SWEEP_DONE = 2  # operation event register, bit 1
_SWEEP_DONE_STB = 128  # its summary in the status byte
_VALUES_PER_MESSAGE = 100
SOURCE_A = Ranges(
    (2e-9, 2e-8, 2e-7, 2e-6, 2e-5, 2e-4, 2e-3, 2e-2, 1e-1), "A", "622x specifications",
    # A 20,000th of the range, but 10 uA on the largest.
    steps=(1e-13, 1e-12, 1e-11, 1e-10, 1e-9, 1e-8, 1e-7, 1e-6, 1e-5),
)  # fmt: skip
COMPLIANCE_V = Span("compliance", 0.1, 105, "V", "622x specifications")
DELAY_S = Span("delay", 1e-3, 999999.999, "s", "622X-901-01, 4-4")
POINTS = Span("number of points", 1, 65535, "", "memory")


class Keithley6221(GuardedMixin, _Keithley6221):
    """A ``CurrentSource`` (see :mod:`instruments.roles`)."""

    allowed = ALLOWED
    model = "MODEL 6221"
    most_points = int(POINTS.high)

    def __init__(self, link: Link, **kwargs: Any) -> None:
        super().__init__(LinkAdapter(link), f"Keithley 6221 ({link.role})", **kwargs)
        self._range_a = SOURCE_A.spans[-1]
        self._delay_s = self._compliance_v = 0.0
        self._paced_points = 0  # length of the delay and compliance lists in the instrument

    def look(self) -> None:
        """Ask for what the limits must know; changes nothing."""
        self.ask(_LOOK)

    @staticmethod
    def programming_step_a(largest_a: float) -> float:
        """Programming step of the range that holds ``largest_a``, A."""
        return SOURCE_A.step(largest_a, "field")

    def prepare(
        self,
        *,
        largest_a: float,
        compliance_v: float,
        delay_s: float,
        pulse_after_delay: bool,
        trigger_in: int | None,
        trigger_out: int,
    ) -> None:
        """Source 0 A on a fixed range wide enough for all lists, output on.

        Args:
            largest_a: largest current of any list, A.
            compliance_v: voltage compliance, V.
            delay_s: from a new level to the next, or to its pulse, s.
            pulse_after_delay: the pulse comes after the delay; else with the new level.
            trigger_in: line whose pulse releases the next point; None: the delay alone paces.
            trigger_out: line of the pulse of each point.

        Raises:
            InstrumentError: beyond the instrument's ranges, or a setting reads back otherwise.
        """
        who, write = self.link.role, self.link.write
        held = SOURCE_A.holding(largest_a, who)
        COMPLIANCE_V.check(compliance_v, who)
        DELAY_S.check(delay_s, who)
        write(":SOUR:SWE:ABOR;:SOUR:CURR 0;:DISP:ENAB OFF")  # its display costs up to 1 ms a point
        self.set_checked(":SOUR:CURR:RANG", held, "A")
        self.set_checked(":SOUR:CURR:COMP", compliance_v, "V")
        write(":SOUR:SWE:SPAC LIST;:SOUR:SWE:COUN 1;:SOUR:SWE:CAB ON;:SOUR:SWE:RANG FIX")
        pace = f":TRIG:SOUR TLIN;:TRIG:ILIN {trigger_in}" if trigger_in else ":TRIG:SOUR IMM"
        write(f":ARM:SOUR IMM;{pace};:TRIG:DIR SOUR;:TRIG:OLIN {trigger_out}")
        write(f":TRIG:OUTP {'DEL' if pulse_after_delay else 'SOUR'}")
        write(f":STAT:OPER:ENAB {_SWEEP_DONE}")
        self._range_a, self._delay_s, self._compliance_v = held, delay_s, compliance_v
        self._paced_points = 0
        self.look()
        write(":OUTP ON")
        self.look()

    def abort(self) -> None:
        """End the list where it is; its present level stays on."""
        self.link.write(":SOUR:SWE:ABOR")

    def set_current(self, level_a: float) -> None:
        """Set one current, A.

        Raises:
            InstrumentError: beyond the range; nothing was sent.
        """
        SOURCE_A.check(level_a, self._range_a, self.link.role)
        self.link.write(f":SOUR:CURR {level_a:.7g}")

    def read_level(self) -> float:
        """The current that the instrument reports to be set, A."""
        return self.ask_number(":SOUR:CURR?")

    def _upload(self, name: str, texts: Sequence[str]) -> None:
        for start in range(0, len(texts), _VALUES_PER_MESSAGE):
            header = f":SOUR:LIST:{name}{':APP' if start else ''}"
            self.link.write(f"{header} {','.join(texts[start : start + _VALUES_PER_MESSAGE])}")

    def load(self, levels_a: Sequence[float]) -> None:
        """Send a list of currents, A, with its delays and compliances.

        Raises:
            InstrumentError: more points than the instrument holds, or a level beyond the range
                (which it would put out as the range's maximum); nothing was sent.  Or the list
                reads back otherwise.
        """
        points = len(levels_a)
        POINTS.check(points, self.link.role)
        SOURCE_A.check_all(levels_a, self._range_a, self.link.role)
        self._upload("CURR", [f"{level:.7g}" for level in levels_a])
        if points != self._paced_points:
            # The three lists must be of one length; delays and compliances change with it only.
            self._paced_points = 0  # until both are through
            self._upload("DEL", [f"{self._delay_s:.9g}"] * points)
            self._upload("COMP", [f"{self._compliance_v:.9g}"] * points)
            self._paced_points = points
        self._check_list(levels_a)

    def _check_list(self, levels_a: Sequence[float]) -> None:
        """Whether the instrument has this list: a part that was lost on the way would leave the
        levels of the list before, in its place and of its length.

        Raises:
            InstrumentError: it has another.
        """
        back = numbers(self.ask(f"{LIST}?"))
        # A step of tolerance: a record is run again with levels that are as far off.
        most_a = 1.001 * self.programming_step_a(self._range_a)
        if (
            back is None
            or len(back) != len(levels_a)
            or np.abs(back - np.asarray(levels_a)).max() > most_a
        ):
            raise InstrumentError(
                f"{self.link.role}: the list reads back otherwise than it was sent; sweep again"
            )

    def start(self) -> None:
        """Arm and start the list."""
        self.link.write("*CLS;:SOUR:SWE:ARM;:INIT")

    def wait(self, timeout_s: float) -> None:
        """Until the list is through; its last level stays on.

        Raises:
            ReplyTimeoutError: it is not, in ``timeout_s`` of bench time.
        """
        self.link.wait(_SWEEP_DONE_STB, timeout_s)

    def in_compliance(self) -> bool:
        """Whether it has been in compliance since the last start; asked twice it says no."""
        return bool(int(self.ask_number(":STAT:MEAS?")) & _COMPLIANCE)

    @classmethod
    def stop_messages(cls) -> StopMessages:
        """What brings it to zero, what switches it off, and the question that shows it."""
        return (":SOUR:SWE:ABOR", ":SOUR:CURR 0"), (":OUTP OFF",), _LOOK
