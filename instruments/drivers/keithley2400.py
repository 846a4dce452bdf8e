"""Keithley 2400 as a resistance meter: a fixed read voltage, triggered current readings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pymeasure.instruments.keithley import Keithley2400 as _Keithley2400

from instruments.drivers._base import COMMON, GuardedMixin, LinkAdapter
from instruments.drivers._ranges import Ranges, Span
from instruments.drivers._readings import largest_current, read_buffer
from instruments.errors import InstrumentError, SweepVoidError
from instruments.limits_allowed import READING, WATCHED, Allowed, Effect
from instruments.link import Link
from instruments.message import number
from instruments.roles import MeterReadings, StopMessages

# Commands and settings that touch no node.
_ACTS = ("*CLS", ":TRIG:CLE", ":TRAC:CLE", ":STAT:PRES", ":SYST:LOC", ":SYST:BEEP")
_FREE = (
    "*SRE", "*ESE", ":FORM:ELEM", ":FORM:DATA", ":FORM:BORD", ":SENS:CURR:NPLC",
    ":SENS:CURR:RANG", ":SENS:CURR:RANG:AUTO", ":SENS:AVER", ":SYST:AZER:STAT", ":SYST:LFR",
    ":DISP:ENAB", ":SOUR:DEL", ":STAT:MEAS:ENAB", ":TRAC:POIN", ":TRAC:FEED", ":TRAC:FEED:CONT",
    ":ARM:COUN", ":ARM:SOUR", ":TRIG:COUN", ":TRIG:DEL", ":TRIG:SOUR", ":TRIG:ILIN", ":TRIG:OLIN",
    ":TRIG:INP", ":TRIG:OUTP", ":TRIG:DIR", ":SOUR:SWE:RANG", ":ARM:TIM", ":ARM:DIR", ":ARM:ILIN",
    ":ARM:OLIN", ":ARM:OUTP", ":SENS:VOLT:NPLC", ":SENS:RES:NPLC", ":SENS:AVER:COUN",
    ":SENS:AVER:TCON", ":CALC3:FORM", ":SYST:BEEP:STAT",
)  # fmt: skip
# Settings that are asked for and not set here.
_SET = (
    ":SOUR:CURR", ":SOUR:CURR:LEV", ":SOUR:CURR:RANG", ":SOUR:CURR:MODE", ":SOUR:VOLT:MODE",
    ":SOUR:VOLT:RANG:AUTO", ":SOUR:DEL:AUTO", ":SOUR:CLE:AUTO", ":SOUR:LIST:VOLT:POIN",
    ":SENS:FUNC", ":SENS:VOLT:RANG", ":SENS:VOLT:PROT", ":SENS:RES:MODE", ":SENS:RES:RANG",
    ":OUTP:SMOD", ":ROUT:TERM", ":SYST:RSEN", ":SENS:CURR:PROT:TRIP", ":STAT:MEAS:COND",
    ":STAT:OPER:COND", ":STAT:OPER:ENAB", ":SYST:LFR:AUTO", ":SOUR:CURR:RANG:AUTO",
    ":SENS:FUNC:COUN", ":SENS:VOLT:RANG:AUTO", ":SENS:RES:RANG:AUTO", ":SENS:VOLT:PROT:TRIP",
    ":TRAC:FREE", ":CONF", ":SOUR:SWE:POIN", ":SOUR:SWE:SPAC", ":SOUR:SWE:DIR", ":SOUR:SWE:CAB",
    ":SENS:FUNC:CONC",
)  # fmt: skip

ALLOWED = Allowed(
    commands=dict.fromkeys((*_ACTS, *_FREE), Effect.FREE)
    | {
        ":SOUR:FUNC": Effect.FUNCTION,
        ":SOUR:FUNC:MODE": Effect.FUNCTION,
        ":SOUR:VOLT": Effect.LEVEL,
        ":SOUR:VOLT:LEV": Effect.LEVEL,
        ":SOUR:VOLT:MODE": Effect.MODE,
        ":SOUR:VOLT:RANG": Effect.RANGE,
        ":SOUR:LIST:VOLT": Effect.LIST,
        ":SOUR:LIST:VOLT:APP": Effect.LIST_APPEND,
        ":SENS:CURR:PROT": Effect.COMPLIANCE,
        ":OUTP": Effect.OUTPUT,
        ":OUTP:STAT": Effect.OUTPUT,
        ":INIT": Effect.START,
        ":ABOR": Effect.ABORT,
    },
    fixed={
        # 'RES' would source a current of its own; :DC may be left out (18-53: memory).
        ":SENS:FUNC": frozenset({"'CURR:DC'", '"CURR:DC"', "'CURR'", '"CURR"'}),
        # On: a function comes to those that are measured, and 'RES' may be left among them.
        ":SENS:FUNC:CONC": frozenset({"OFF", "0"}),
        ":OUTP:SMOD": frozenset({"NORM"}),  # off holds the junction at 0 V, never floating
        ":SOUR:CLE:AUTO": frozenset({"OFF", "0"}),  # on: INIT switches the output on
        ":SYST:RSEN": frozenset({"OFF", "0"}),  # an open sense lead drives the output up
    },
    queries=COMMON
    | dict.fromkeys((*_FREE, *_SET), WATCHED)
    | {
        ":SOUR:VOLT": "level",
        ":SOUR:VOLT:LEV": "level",
        ":SOUR:VOLT:RANG": "range",
        ":SOUR:FUNC": "function",
        ":SOUR:FUNC:MODE": "function",
        ":SENS:CURR:PROT": "compliance",
        ":OUTP": "output",
        ":OUTP:STAT": "output",
        ":READ": READING,
        ":FETC": None,
        ":CALC3:DATA": None,
        ":TRAC:DATA": None,
        ":TRAC:POIN:ACT": None,
    },
    readings={":TRAC:DATA": largest_current},
)

_LOOK = ":SOUR:FUNC?;:SOUR:VOLT?;:SOUR:VOLT:RANG?;:SENS:CURR:PROT?;:OUTP?"
_BUFFER_FULL = 512  # measurement event register, bit 9
_BUFFER_FULL_STB = 1  # its summary in the status byte
_VALUES_PER_MESSAGE = 100  # 18-91
SOURCE_V = Ranges(
    (0.2, 2.0, 20.0, 200.0), "V", "2400S-900-01 rev. K, 18-74; steps: specifications",
    steps=(5e-6, 5e-5, 5e-4, 5e-3),
)  # fmt: skip
MEASURE_A = Ranges((1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0), "A", "2400S-900-01 rev. K, 18-57")
COMPLIANCE_A = Span("compliance", 1e-9, 1.05, "A", "2400S-900-01 rev. K, 18-59")
NPLC = Span("integration time in power-line cycles", 0.01, 10, "", "2400S-900-01 rev. K, 18-60")
DELAY_S = Span("delay", 0, 999.9999, "s", "2400S-900-01 rev. K, 18-113")
POINTS = Span("number of readings", 1, 2500, "", "2400S-900-01 rev. K, 18-110")
_V_RANGE_V = SOURCE_V.spans[0]  # the smallest: cannot pass 210 mV


class Keithley2400(GuardedMixin, _Keithley2400):
    """A ``SourceMeter`` (see :mod:`instruments.roles`)."""

    allowed = ALLOWED
    model = "MODEL 2400"
    most_points = int(POINTS.high)

    def __init__(self, link: Link, **kwargs: Any) -> None:
        super().__init__(LinkAdapter(link), f"Keithley 2400 ({link.role})", **kwargs)

    def reset_data_format(self) -> None:
        """Nothing: connecting only asks; ``prepare`` sets the format."""

    def look(self) -> None:
        """Ask for what the limits must know; changes nothing."""
        self.ask(_LOOK)

    def prepare(
        self,
        *,
        compliance_a: float,
        nplc: float,
        trigger_in: int,
        trigger_out: int | None,
        delay_s: float,
    ) -> None:
        """Source 0 V, measure current on the trigger link, output on.

        Args:
            compliance_a: current compliance, A.
            nplc: integration time, power-line cycles.
            trigger_in, trigger_out: lines of the trigger link; None: no pulse when done.
            delay_s: from the trigger to the reading, s.

        Raises:
            InstrumentError: beyond the instrument's ranges, or a setting reads back otherwise.
        """
        who, write = self.link.role, self.link.write
        COMPLIANCE_A.check(compliance_a, who)
        NPLC.check(nplc, who)
        DELAY_S.check(delay_s, who)
        needed = MEASURE_A.holding(compliance_a, who)
        write(":ABOR;:SOUR:VOLT 0;:OUTP:SMOD NORM")
        write(":SOUR:FUNC VOLT;:SOUR:VOLT:MODE FIX;:SOUR:CLE:AUTO OFF;:SYST:RSEN OFF")
        write(":SENS:FUNC:CONC OFF;:SENS:FUNC 'CURR:DC'")
        self._set_source_range()
        self._set_compliance(compliance_a, needed)
        write(f":SENS:CURR:NPLC {nplc:.9g};:SENS:AVER OFF;:SYST:AZER:STAT OFF;:SOUR:DEL 0")
        write(":FORM:ELEM CURR,STAT;:FORM:DATA SRE;:FORM:BORD SWAP")
        write(":ARM:COUN 1;:ARM:SOUR IMM;:TRIG:SOUR TLIN;:TRIG:DIR ACC;:TRIG:INP SENS")
        out = f":TRIG:OLIN {trigger_out};:TRIG:OUTP SENS" if trigger_out else ":TRIG:OUTP NONE"
        write(f":TRIG:ILIN {trigger_in};{out};:TRIG:DEL {delay_s:.9g}")
        write(f":STAT:MEAS:ENAB {_BUFFER_FULL}")
        self.look()
        write(":OUTP ON")
        self.look()

    def _set_source_range(self) -> None:
        """The smallest: it is told by its end, 5 % above its name (seen on a 2401).

        Raises:
            InstrumentError: it is on another.
        """
        self.link.write(f":SOUR:VOLT:RANG {_V_RANGE_V:.9g}")
        answer = self.ask(":SOUR:VOLT:RANG?")
        if not 0.999 <= (number(answer) or 0.0) / _V_RANGE_V <= 1.051:
            raise InstrumentError(
                f"{self.link.role}: the {_V_RANGE_V} V range was set and it reads back {answer}"
            )

    def _set_compliance(self, most_a: float, range_a: float) -> None:
        """With the smallest measurement range that holds it, which resolves best.

        A range above the compliance's is refused, and so is a compliance below a thousandth of the
        range (p. 18-62 and 18-68): from the smallest range every compliance can be set.

        Raises:
            InstrumentError: another compliance reads back.
        """
        self.link.write(f":SENS:CURR:RANG {MEASURE_A.spans[0]:.9g}")
        self.set_checked(":SENS:CURR:PROT", most_a, "A")
        self.link.write(f":SENS:CURR:RANG {range_a:.9g}")

    def abort(self) -> None:
        """Leave the trigger model."""
        self.link.write(":ABOR")

    def set_voltage(self, volt: float) -> None:
        """Set the read voltage, V.

        Raises:
            InstrumentError: beyond the range; nothing was sent.
        """
        SOURCE_V.check(volt, _V_RANGE_V, self.link.role)
        self.link.write(f":SOUR:VOLT {volt:.9g}")

    def read_level(self) -> float:
        """The voltage that the instrument reports to be set, V."""
        return self.ask_number(":SOUR:VOLT?")

    def arm(self, points: int) -> None:
        """Get ready for ``points`` triggers.

        Raises:
            InstrumentError: more points than the buffer holds.
        """
        POINTS.check(points, self.link.role)
        self.link.write(
            f"*CLS;:TRAC:CLE;:TRAC:POIN {points};:TRAC:FEED SENS;:TRAC:FEED:CONT NEXT;"
            f":TRIG:COUN {points};:INIT"
        )

    def wait(self, timeout_s: float) -> None:
        """Until the buffer is full.

        Raises:
            ReplyTimeoutError: it is not, in ``timeout_s`` of bench time.
        """
        self.link.wait(_BUFFER_FULL_STB, timeout_s)

    def fetch(self, points: int) -> MeterReadings:
        """The readings of the last arm.

        Raises:
            SweepVoidError: the buffer does not hold exactly ``points``.
        """
        raw = self.link.query(":TRAC:DATA?", values=2 * points)
        if raw[:2] != b"#0" or len(raw) != 2 + 8 * points:
            raise SweepVoidError(
                f"{self.link.role}: expected {points} readings and got {(len(raw) - 2) / 8:g}"
            )
        return read_buffer(raw)

    def sweep(self, levels_v: Sequence[float], timeout_s: float) -> MeterReadings:
        """Step through voltages and measure the current at each, on the meter's own clock.

        The trigger link is left out meanwhile; afterwards the meter is as :meth:`prepare` made it,
        at the voltage that it had.

        Args:
            levels_v: V, shape [N], N <= 2500.
            timeout_s: bench time that it may take, s.

        Raises:
            InstrumentError: too many levels, or one beyond the range; nothing was sent.
            SweepVoidError: the buffer does not hold one reading a level.
        """
        who, write, points = self.link.role, self.link.write, len(levels_v)
        POINTS.check(points, who)
        SOURCE_V.check_all(levels_v, _V_RANGE_V, who)
        before_v = self.read_level()
        for start in range(0, points, _VALUES_PER_MESSAGE):
            part = ",".join(f"{v:.9g}" for v in levels_v[start : start + _VALUES_PER_MESSAGE])
            write(f":SOUR:LIST:VOLT{':APP' if start else ''} {part}")
        # On a fixed range a larger level would come out as the range's maximum (18-83).
        write(":SOUR:SWE:RANG FIX;:TRIG:SOUR IMM;:SOUR:VOLT:MODE LIST")
        try:
            self.arm(points)
            self.wait(timeout_s)
            return self.fetch(points)
        finally:
            write(f":ABOR;:SOUR:VOLT:MODE FIX;:TRIG:SOUR TLIN;:SOUR:VOLT {before_v:.9g}")

    @classmethod
    def stop_messages(cls) -> StopMessages:
        """What brings it to zero, what switches it off, and the question that shows it."""
        return (":ABOR", ":SOUR:VOLT 0"), (":OUTP OFF",), _LOOK
