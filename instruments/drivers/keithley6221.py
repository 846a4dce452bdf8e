"""Keithley 6221 on the field line: list sweeps paced by the trigger link."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pymeasure.instruments.keithley import Keithley6221 as _Keithley6221

from instruments.drivers._base import GuardedMixin, LinkAdapter, smallest_range
from instruments.errors import InstrumentError
from instruments.limits import Allowed, Effect
from instruments.transport import Link

_FREE = (
    "*CLS", "*SRE", "*ESE", ":SOUR:SWE:CAB", ":SOUR:LIST:DEL", ":SOUR:LIST:DEL:APP", ":SOUR:DEL",
    ":SOUR:CURR:FILT", ":ARM:SOUR", ":TRIG:SOUR", ":TRIG:DIR", ":TRIG:ILIN", ":TRIG:OLIN",
    ":TRIG:OUTP", ":STAT:PRES", ":STAT:OPER:ENAB", ":STAT:MEAS:ENAB", ":SYST:LOC", ":DISP:ENAB",
)  # fmt: skip

ALLOWED = Allowed(
    commands={header: Effect.FREE for header in _FREE}
    | {
        ":SOUR:CURR": Effect.LEVEL,
        ":SOUR:CURR:RANG": Effect.RANGE,
        ":SOUR:CURR:COMP": Effect.COMPLIANCE,
        ":OUTP": Effect.OUTPUT,
        ":SOUR:LIST:CURR": Effect.LIST,
        ":SOUR:LIST:CURR:APP": Effect.LIST_APPEND,
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
    queries={
        ":SOUR:CURR": "level",
        ":SOUR:CURR:RANG": "range",
        ":SOUR:CURR:COMP": "compliance",
        ":OUTP": "output",
        ":SOUR:LIST:CURR:POIN": "watched",
        ":SOUR:SWE:RANG": "watched",
        "*IDN": None,
        "*OPC": None,
        "*STB": None,
        "*ESR": None,
        ":SYST:ERR": None,
    },
)

_LOOK = ":SOUR:CURR?;:SOUR:CURR:RANG?;:SOUR:CURR:COMP?;:OUTP?"
_SWEEP_DONE = 2  # operation event register, bit 1
_SWEEP_DONE_STB = 128  # its summary in the status byte
_VALUES_PER_MESSAGE = 100
_RANGES_A = (2e-9, 2e-8, 2e-7, 2e-6, 2e-5, 2e-4, 2e-3, 2e-2, 1e-1)


class Keithley6221(GuardedMixin, _Keithley6221):
    """A ``CurrentSource`` (see :mod:`instruments.roles`)."""

    model = "MODEL 6221"
    most_points = 65535

    def __init__(self, link: Link, **kwargs: Any) -> None:
        super().__init__(LinkAdapter(link), f"Keithley 6221 ({link.role})", **kwargs)
        self._delay_s = self._compliance_v = 0.0
        self._paced_points = 0  # length of the delay and compliance lists in the instrument

    def look(self) -> None:
        """Ask for what the limits must know; changes nothing."""
        self.ask(_LOOK)

    @staticmethod
    def programming_step_a(largest_a: float) -> float:
        """Programming resolution of the range that holds ``largest_a``: 10 µA of the 100 mA range,
        a 20,000th of the others (specifications, 6221)."""
        held = smallest_range(_RANGES_A, largest_a, "A", "field")
        return 1e-5 if held == 0.1 else held / 20000

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
            InstrumentError: a setting reads back otherwise.
        """
        write = self.link.write
        write(":SOUR:SWE:ABOR;:SOUR:CURR 0")
        held = smallest_range(_RANGES_A, largest_a, "A", self.link.role)
        self.set_checked(":SOUR:CURR:RANG", held, "A")
        self.set_checked(":SOUR:CURR:COMP", compliance_v, "V")
        write(":SOUR:SWE:SPAC LIST;:SOUR:SWE:COUN 1;:SOUR:SWE:CAB ON;:SOUR:SWE:RANG FIX")
        pace = f":TRIG:SOUR TLIN;:TRIG:ILIN {trigger_in}" if trigger_in else ":TRIG:SOUR IMM"
        write(f":ARM:SOUR IMM;{pace};:TRIG:DIR SOUR;:TRIG:OLIN {trigger_out}")
        write(f":TRIG:OUTP {'DEL' if pulse_after_delay else 'SOUR'}")
        write(f":STAT:OPER:ENAB {_SWEEP_DONE}")
        self._delay_s, self._compliance_v, self._paced_points = delay_s, compliance_v, 0
        self.look()
        write(":OUTP ON")
        self.look()

    def abort(self) -> None:
        """End the list where it is; its present level stays on."""
        self.link.write(":SOUR:SWE:ABOR")

    def set_current(self, level_a: float) -> None:
        """Set one current, A."""
        self.link.write(f":SOUR:CURR {level_a:.7g}")

    def read_level(self) -> float:
        """The current that the instrument reports to be set, A."""
        return float(self.ask(":SOUR:CURR?"))

    def _upload(self, name: str, texts: Sequence[str]) -> None:
        for start in range(0, len(texts), _VALUES_PER_MESSAGE):
            header = f":SOUR:LIST:{name}{':APP' if start else ''}"
            self.link.write(f"{header} {','.join(texts[start : start + _VALUES_PER_MESSAGE])}")

    def load(self, levels_a: Sequence[float]) -> None:
        """Send a list of currents, A, with its delays and compliances.

        Raises:
            InstrumentError: more points than the instrument holds.
        """
        points = len(levels_a)
        if points > self.most_points:
            raise InstrumentError(f"{self.link.role}: {points} points; it holds {self.most_points}")
        self._upload("CURR", [f"{level:.7g}" for level in levels_a])
        if points != self._paced_points:
            # The three lists must be of one length; delays and compliances change with it only.
            self._paced_points = 0  # until both are through
            self._upload("DEL", [f"{self._delay_s:.9g}"] * points)
            self._upload("COMP", [f"{self._compliance_v:.9g}"] * points)
            self._paced_points = points

    def start(self) -> None:
        """Arm and start the list."""
        self.link.write("*CLS;:SOUR:SWE:ARM;:INIT")

    def wait(self, timeout_s: float) -> None:
        """Until the list is through; its last level stays on.

        Raises:
            ReplyTimeoutError: it is not, in ``timeout_s`` of bench time.
        """
        self.link.wait(_SWEEP_DONE_STB, timeout_s)

    def stop_messages(self) -> tuple[tuple[str, ...], tuple[str, ...], str]:
        """What brings it to zero, what switches it off, and the question that shows it."""
        return (":SOUR:SWE:ABOR", ":SOUR:CURR 0"), (":OUTP OFF",), _LOOK
