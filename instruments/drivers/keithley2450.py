"""Keithley 2450 in its SCPI mode: a voltage source for a bias magnet or a polarizer that measures
its current, with sweeps of its own.

It has no trigger link, so it is no meter of a hardware-timed sweep.  Page numbers are of
2450-901-01 rev. B.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from pymeasure.instruments.keithley import Keithley2450 as _Keithley2450

from instruments.drivers._base import COMMON, GuardedMixin, LinkAdapter, Pulses
from instruments.drivers._ranges import Ranges, Span
from instruments.drivers._readings import Status2450, decode, largest_double
from instruments.errors import InstrumentError, SweepVoidError
from instruments.limits_allowed import READING, WATCHED, Allowed, Effect
from instruments.link import Link
from instruments.roles import MeterReadings, StopMessages

# Commands and settings that touch no node.
_ACTS = ("*CLS", "*OPC", ":STAT:CLE", ":TRAC:CLE", ":TRAC:TRIG", ":STAT:PRES", ":SYST:BEEP")
_FREE = (
    "*SRE", "*ESE", ":FORM:DATA", ":FORM:BORD", ":FORM:ASC:PREC", ":SENS:CURR:RANG",
    ":SENS:CURR:NPLC", ":SENS:CURR:AZER", ":SENS:COUN", ":SOUR:VOLT:DEL", ":TRAC:POIN",
    ":SENS:CURR:RANG:AUTO", ":SENS:CURR:AVER", ":SENS:CURR:AVER:COUN", ":SENS:CURR:AVER:TCON",
    ":STAT:MEAS:ENAB", ":STAT:OPER:ENAB", ":SOUR:VOLT:DEL:AUTO",
)  # fmt: skip
# Settings that are asked for and not set here.
_SET = (
    "*LANG", ":SENS:FUNC", ":SENS:CURR:RSEN", ":SOUR:VOLT:RANG:AUTO", ":SOUR:VOLT:ILIM:TRIP",
    ":SOUR:VOLT:PROT", ":SOUR:VOLT:READ:BACK", ":SOUR:LIST:VOLT:POIN", ":OUTP:SMOD",
    ":OUTP:VOLT:SMOD", ":ROUT:TERM", ":SYST:LFR", ":TRAC:ACT", ":TRIG:STAT", ":STAT:MEAS:COND",
    ":STAT:OPER:COND", ":SOUR:CURR", ":SOUR:CURR:RANG", ":SOUR:CURR:RANG:AUTO", ":SOUR:CURR:VLIM",
    ":SOUR:CURR:VLIM:TRIP", ":SOUR:CURR:DEL", ":SOUR:CURR:DEL:AUTO", ":SOUR:CURR:READ:BACK",
    ":OUTP:CURR:SMOD", ":SOUR:VOLT:PROT:TRIP", ":SENS:VOLT:RANG", ":SENS:VOLT:RANG:AUTO",
    ":SENS:VOLT:NPLC", ":SENS:VOLT:AVER", ":SENS:VOLT:AVER:COUN", ":SENS:VOLT:AVER:TCON",
    ":SENS:VOLT:RSEN", ":SENS:RES:RANG", ":SENS:RES:RANG:AUTO", ":SENS:RES:NPLC", ":SENS:RES:AVER",
    ":SENS:RES:RSEN", ":TRAC:FILL:MODE",
)  # fmt: skip

ALLOWED = Allowed(
    commands=dict.fromkeys((*_ACTS, *_FREE), Effect.FREE)
    | {
        ":SOUR:FUNC": Effect.FUNCTION,
        ":SOUR:FUNC:MODE": Effect.FUNCTION,
        ":SOUR:VOLT": Effect.LEVEL,
        ":SOUR:VOLT:LEV": Effect.LEVEL,
        ":SOUR:VOLT:RANG": Effect.RANGE,
        ":SOUR:VOLT:ILIM": Effect.COMPLIANCE,
        ":SOUR:VOLT:ILIM:LEV": Effect.COMPLIANCE,
        ":SOUR:LIST:VOLT": Effect.LIST,
        ":SOUR:LIST:VOLT:APP": Effect.LIST_APPEND,
        ":SOUR:SWE:VOLT:LIST": Effect.ARM,
        ":INIT": Effect.START,
        ":ABOR": Effect.ABORT,
        ":OUTP": Effect.OUTPUT,
        ":OUTP:STAT": Effect.OUTPUT,
    },
    fixed={
        # Ohms would source of their own; :DC may be left out (memory).
        ":SENS:FUNC": frozenset({"'CURR:DC'", '"CURR:DC"', "'CURR'", '"CURR"'}),
        ":OUTP:SMOD": frozenset({"NORM"}),  # off holds 0 V, never floating
        ":SENS:CURR:RSEN": frozenset({"OFF", "0"}),  # an open sense lead drives the output up
    },
    queries=COMMON
    | dict.fromkeys((*_FREE, *_SET), WATCHED)
    | {
        ":SOUR:FUNC": "function",
        ":SOUR:FUNC:MODE": "function",
        ":SOUR:VOLT": "level",
        ":SOUR:VOLT:LEV": "level",
        ":SOUR:VOLT:RANG": "range",
        ":SOUR:VOLT:ILIM": "compliance",
        ":SOUR:VOLT:ILIM:LEV": "compliance",
        ":OUTP": "output",
        ":OUTP:STAT": "output",
        ":READ": READING,
        ":FETC": None,
        ":TRAC:DATA": None,
        ":TRAC:STAT:AVER": None,
        ":TRAC:STAT:MAX": None,
        ":TRAC:STAT:MIN": None,
        ":TRAC:STAT:STDD": None,
    },
    readings={":TRAC:DATA": largest_double},
)

SOURCE_V = Ranges(
    (0.02, 0.2, 2.0, 20.0, 200.0), "V", "6-74; steps: specifications",
    steps=(5e-7, 5e-6, 5e-5, 5e-4, 5e-3),
)  # fmt: skip
MEASURE_A = Ranges((1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0), "A", "specifications")
COMPLIANCE_A = Span("compliance", 1e-9, 1.05, "A", "6-71")
NPLC = Span("integration time in power-line cycles", 0.01, 10, "", "memory")
READINGS = Span("number of readings", 1, 100_000, "", "memory: what the default buffer holds")
POINTS = Span("number of levels", 1, 2500, "", "memory")
_BUFFER = '"defbuffer1"'
_LOOK = ":SOUR:FUNC?;:SOUR:VOLT?;:SOUR:VOLT:RANG?;:SOUR:VOLT:ILIM?;:OUTP?"
_COMPLETE, _COMPLETE_STB = 1, 32  # standard event register, bit 0, and its summary (IEEE 488.2)
_VALUES_PER_MESSAGE = 100  # 6-78
_HELD = Status2450.LIMITED | Status2450.OVER_VOLTAGE | Status2450.OVER_TEMPERATURE


class Keithley2450(Pulses, GuardedMixin, _Keithley2450):
    """A ``BiasField`` in V, or a ``Polarizer`` (see :mod:`instruments.roles`)."""

    allowed = ALLOWED
    model = "MODEL 2450"
    unit = "V"
    most_points = int(POINTS.high)
    most_readings = int(READINGS.high)

    def __init__(self, link: Link, **kwargs: Any) -> None:
        super().__init__(LinkAdapter(link), f"Keithley 2450 ({link.role})", **kwargs)
        self._range_v, self._nplc = SOURCE_V.spans[-1], NPLC.high

    @staticmethod
    def programming_step(largest: float) -> float:
        """Programming step of the range that holds ``largest``, V."""
        return SOURCE_V.step(largest, "2450")

    def look(self) -> None:
        """Ask for what the limits must know; changes nothing."""
        self.ask(_LOOK)

    def prepare(self, *, largest: float, compliance: float, nplc: float = 1.0) -> None:
        """Source 0 V on a fixed range, measure current, output on.

        Args:
            largest: largest voltage that will be set, V.
            compliance: current limit, A.
            nplc: integration time of a reading, power-line cycles.

        Raises:
            InstrumentError: it is not in its SCPI mode, a value is beyond its ranges, or a setting
                reads back otherwise.
        """
        who, write = self.link.role, self.link.write
        held = SOURCE_V.holding(largest, who)
        COMPLIANCE_A.check(compliance, who)
        NPLC.check(nplc, who)
        language = self.ask("*LANG?")
        if language != "SCPI":
            raise InstrumentError(
                f"{who}: speaks {language}; choose SCPI as its command set and start it anew"
            )
        write(":ABOR;:SOUR:VOLT 0;:OUTP OFF")
        write(':SOUR:FUNC VOLT;:SENS:FUNC "CURR:DC";:SENS:CURR:RSEN OFF;:OUTP:SMOD NORM')
        self.set_checked(":SOUR:VOLT:RANG", held, "V")
        # A fixed range too small would limit too.
        write(f":SENS:CURR:RANG {MEASURE_A.holding(compliance, who):.9g}")
        self.set_checked(":SOUR:VOLT:ILIM", compliance, "A")
        write(f":SENS:CURR:NPLC {nplc:.9g};:SENS:CURR:AZER OFF;:FORM:BORD SWAP;*ESE {_COMPLETE}")
        self._range_v, self._nplc = held, nplc
        self.look()
        write(":OUTP ON")
        self.look()

    def abort(self) -> None:
        """Leave the trigger model."""
        self.link.write(":ABOR")

    def set_level(self, level: float) -> None:
        """Set the voltage, V.

        Raises:
            InstrumentError: beyond the range; nothing was sent.
        """
        SOURCE_V.check(level, self._range_v, self.link.role)
        self.link.write(f":SOUR:VOLT {level:.9g}")

    def read_level(self) -> float:
        """The voltage that the instrument reports to be set, V."""
        return self.ask_number(":SOUR:VOLT?")

    def limited(self) -> bool:
        """Whether the current limit holds the source back now."""
        return self.ask(":SOUR:VOLT:ILIM:TRIP?") == "1"

    # -- readings -----------------------------------------------------------------------------

    def read(self, count: int = 1) -> MeterReadings:
        """Measure the current.

        Args:
            count: readings, one after another.

        Raises:
            InstrumentError: more readings than the buffer holds.
            SweepVoidError: the buffer holds another number.
        """
        READINGS.check(count, self.link.role)
        self.link.write(f"*CLS;:TRAC:CLE {_BUFFER};:SENS:COUN {count}")
        self.link.write(f":TRAC:TRIG {_BUFFER};*OPC")
        self._wait(count, 0.0)
        return self._fetch(count)

    def sweep(self, levels_v: Sequence[float], delay_s: float = 0.0) -> MeterReadings:
        """Step through voltages and measure the current at each; afterwards the output is off, at
        zero, until :meth:`prepare`.

        Args:
            levels_v: V, shape [N], N <= 2500.
            delay_s: before each reading, s.

        Raises:
            InstrumentError: too many levels, or one beyond the range; nothing was sent.
            SweepVoidError: the buffer does not hold one reading a level.
        """
        who, write, points = self.link.role, self.link.write, len(levels_v)
        POINTS.check(points, who)
        SOURCE_V.check_all(levels_v, self._range_v, who)
        for start in range(0, points, _VALUES_PER_MESSAGE):
            part = ",".join(f"{v:.9g}" for v in levels_v[start : start + _VALUES_PER_MESSAGE])
            write(f":SOUR:LIST:VOLT{':APP' if start else ''} {part}")
        try:
            write(f"*CLS;:TRAC:CLE {_BUFFER};:SENS:COUN 1")
            # From the first level, once, and through to the last whatever happens (6-85).
            write(f":SOUR:SWE:VOLT:LIST 1,{delay_s:.9g},1,OFF,{_BUFFER}")
            write(":INIT;*OPC")
            self._wait(points, delay_s)
            return self._fetch(points)
        finally:
            write(":ABOR;:SOUR:VOLT 0;:OUTP OFF")
            self.look()

    def _wait(self, points: int, delay_s: float) -> None:
        each_s = delay_s + 2 * self._nplc / 50 + 0.01
        self.link.wait(_COMPLETE_STB, 5.0 + 3.0 * points * each_s)

    def _fetch(self, points: int) -> MeterReadings:
        """Currents as doubles, then their source's status, which no binary format has."""
        held = int(self.ask_number(":TRAC:ACT?"))
        if held != points:
            raise SweepVoidError(f"{self.link.role}: expected {points} readings and got {held}")
        self.link.write(":FORM:DATA REAL")
        raw = self.link.query(f":TRAC:DATA? 1,{points},{_BUFFER},READ", values=points)
        self.link.write(":FORM:DATA ASC")
        words = self.link.query(f":TRAC:DATA? 1,{points},{_BUFFER},SOURSTAT", values=points)
        if raw[:2] != b"#0" or len(raw) != 2 + 8 * points:
            raise SweepVoidError(f"{self.link.role}: the readings are not {points} doubles")
        current_a = np.frombuffer(raw[2:], dtype="<f8")
        status = np.array([int(word) for word in words.split(b",")], dtype=np.int64)
        return decode(current_a, status, _HELD, 0)

    @classmethod
    def stop_messages(cls) -> StopMessages:
        """What brings it to zero, what switches it off, and the question that shows it."""
        return (":ABOR", ":SOUR:VOLT 0"), (":OUTP OFF",), _LOOK
