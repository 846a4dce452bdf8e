"""Keithley 2182A: a voltmeter, and a thermometer with a thermocouple or a platinum resistor.

Page numbers are of the 2182/2182A User's Manual, 2182A-900-01.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from pymeasure.instruments.keithley import Keithley2182 as _Keithley2182

from instruments.drivers._base import COMMON, GuardedMixin, LinkAdapter
from instruments.drivers._platinum import celsius
from instruments.drivers._ranges import Ranges, Span
from instruments.drivers._readings import is_number
from instruments.errors import InstrumentError, SweepVoidError
from instruments.limits_allowed import WATCHED, Allowed, Effect
from instruments.link import Link
from instruments.roles import StopMessages, VoltReadings

# It sources nothing: all that there is touches no node.
_ACTS = (
    "*CLS", ":ABOR", ":INIT", ":TRAC:CLE", ":STAT:PRES", ":SENS:VOLT:REF:ACQ",
    ":SENS:VOLT:CHAN:REF:ACQ", ":SENS:TEMP:CHAN:REF:ACQ",
)  # fmt: skip
_FREE = (
    "*SRE", "*ESE", ":SENS:FUNC", ":SENS:CHAN", ":SENS:VOLT:NPLC", ":SENS:TEMP:NPLC",
    ":SENS:VOLT:RANG", ":SENS:VOLT:RANG:AUTO", ":SENS:VOLT:CHAN:RANG", ":SENS:VOLT:CHAN:RANG:AUTO",
    ":SENS:VOLT:CHAN2:RANG", ":SENS:VOLT:CHAN2:RANG:AUTO", ":SENS:VOLT:LPAS", ":SENS:VOLT:DFIL",
    ":SENS:TEMP:LPAS", ":SENS:TEMP:DFIL", ":SENS:VOLT:REF:STAT", ":SENS:TEMP:REF:STAT",
    ":SENS:TEMP:TC", ":SENS:TEMP:RJUN:RSEL", ":SENS:TEMP:RJUN:SIM", ":FORM:DATA", ":FORM:BORD",
    ":FORM:ELEM", ":TRAC:POIN", ":TRAC:FEED", ":TRAC:FEED:CONT", ":INIT:CONT", ":TRIG:SOUR",
    ":TRIG:COUN", ":TRIG:DEL", ":TRIG:DEL:AUTO", ":SAMP:COUN", ":STAT:MEAS:ENAB", ":SYST:AZER",
    ":SYST:AZER:STAT", ":SYST:FAZ", ":SYST:LSYN", ":DISP:ENAB", ":STAT:OPER:ENAB",
    ":SENS:VOLT:DFIL:WIND", ":SENS:VOLT:DFIL:COUN", ":SENS:VOLT:DFIL:TCON", ":SENS:VOLT:REF",
    ":SENS:VOLT:CHAN:REF", ":SENS:VOLT:CHAN:REF:STAT", ":SENS:VOLT:CHAN2:LPAS",
    ":SENS:VOLT:CHAN2:DFIL", ":SENS:VOLT:CHAN2:REF", ":SENS:VOLT:CHAN2:REF:STAT",
    ":SENS:TEMP:DFIL:WIND", ":SENS:TEMP:DFIL:COUN", ":SENS:TEMP:DFIL:TCON", ":SENS:TEMP:REF",
    ":SENS:TEMP:CHAN:REF", ":SENS:TEMP:CHAN:REF:STAT", ":SENS:VOLT:DIG", ":CALC2:FORM",
    ":CALC2:STAT", ":TRIG:TIM", ":SYST:BEEP",
)  # fmt: skip
# Settings that are asked for and not set here, and questions of what is measured.
_SET = (":SYST:LFR", ":TRAC:POIN:ACT", ":STAT:MEAS:COND", ":STAT:OPER:COND", ":CONF")
_MEASURE = (
    ":FETC", ":READ", ":SENS:DATA", ":SENS:DATA:FRES", ":SENS:TEMP:RTEM", ":TRAC:DATA",
    ":CALC2:IMM", ":CALC2:DATA",
)  # fmt: skip

ALLOWED = Allowed(
    commands=dict.fromkeys((*_ACTS, *_FREE), Effect.FREE),
    queries=COMMON | dict.fromkeys((*_FREE, *_SET), WATCHED) | dict.fromkeys(_MEASURE),
)

RANGES_V = Ranges((0.01, 0.1, 1.0, 10.0, 100.0), "V", "specifications", headroom=1.2)
NPLC = Span("integration time in power-line cycles", 0.01, 50, "", "pymeasure; 60 at 60 Hz")
POINTS = Span("number of readings", 1, 1024, "", "6-2")
THERMOCOUPLES = ("B", "E", "J", "K", "N", "R", "S", "T")
PLATINUM_OHM = {"PT100": 100.0, "PT1000": 1000.0}
# Measurement event register (2182-900-01, 15-8), and its summary in the status byte.
_READING, _BUFFER_FULL, _MEASUREMENT_STB = 1 << 5, 1 << 9, 1
_ZERO_C_K = 273.15


class Keithley2182A(GuardedMixin, _Keithley2182):
    """A ``Voltmeter`` and a ``Thermometer`` (see :mod:`instruments.roles`), on channel 1."""

    allowed = ALLOWED
    model = "MODEL 2182"
    most_points = int(POINTS.high)

    def __init__(self, link: Link, **kwargs: Any) -> None:
        super().__init__(LinkAdapter(link), f"Keithley 2182A ({link.role})", **kwargs)
        self._nplc = NPLC.high
        #: ohm at 0 degC, and the current through it, A; None: the meter's own temperature function
        self._platinum: tuple[float, float] | None = None
        self._reads_temperature = False

    def look(self) -> None:
        """Ask for what it is set to; changes nothing."""
        self.ask(":SENS:FUNC?;:SENS:CHAN?;:SENS:VOLT:RANG?;:SENS:VOLT:NPLC?")

    def prepare(self, *, range_v: float, nplc: float) -> None:
        """Measure a voltage on a fixed range.

        Args:
            range_v: largest voltage that is expected, V.
            nplc: integration time, power-line cycles.

        Raises:
            InstrumentError: beyond the instrument's ranges, or a setting reads back otherwise.
        """
        held = RANGES_V.holding(range_v, self.link.role)
        self._prepare("VOLT", nplc)
        self.set_checked(":SENS:VOLT:RANG", held, "V")
        self._platinum, self._reads_temperature = None, False

    def prepare_temperature(
        self, *, sensor: str = "K", excitation_a: float | None = None, nplc: float = 5.0
    ) -> None:
        """Measure a temperature.

        Args:
            sensor: a thermocouple's letter, with the meter's own reference junction; or PT100 or
                PT1000, four wires, with a current from elsewhere.
            excitation_a: that current, A; for platinum only.
            nplc: integration time, power-line cycles.

        Raises:
            InstrumentError: no such sensor, a platinum resistor without its current, or a setting
                reads back otherwise.
        """
        who, name = self.link.role, sensor.upper()
        ohm = PLATINUM_OHM.get(name)
        if ohm is None and name not in THERMOCOUPLES:
            known = ", ".join((*THERMOCOUPLES, *PLATINUM_OHM))
            raise InstrumentError(f"{who}: sensor {sensor!r} is not known; give one of {known}")
        if ohm is None:
            self._prepare("TEMP", nplc)
            self.set_checked(":SENS:TEMP:TC", name)
            self.set_checked(":SENS:TEMP:RJUN:RSEL", "INT")
            self._platinum, self._reads_temperature = None, True
            return
        if not excitation_a:
            raise InstrumentError(f"{who}: a {name} needs the current through it: excitation_a")
        self.prepare(range_v=4 * ohm * abs(excitation_a), nplc=nplc)  # 3.9 at 850 degC
        self._platinum, self._reads_temperature = (ohm, excitation_a), True

    def _prepare(self, function: str, nplc: float) -> None:
        NPLC.check(nplc, self.link.role)
        write = self.link.write
        write(":ABOR;:INIT:CONT OFF;:TRIG:SOUR IMM;:TRIG:COUN 1;:SAMP:COUN 1")
        write(f":SENS:CHAN 1;:SENS:FUNC '{function}';:SENS:{function}:NPLC {nplc:.9g}")
        write(f":SENS:{function}:LPAS OFF;:SENS:{function}:DFIL OFF;:SENS:{function}:REF:STAT OFF")
        write(":FORM:ELEM READ;:FORM:DATA DRE;:FORM:BORD SWAP")
        self._nplc = nplc

    def abort(self) -> None:
        """Leave the trigger model."""
        self.link.write(":ABOR")

    def read(self, count: int = 1) -> VoltReadings:
        """Measure as prepared: V, or degC with a thermocouple.

        Args:
            count: readings, one after another; more than one go through the buffer.

        Raises:
            InstrumentError: more readings than the buffer holds.
            SweepVoidError: it gives another number.
        """
        POINTS.check(count, self.link.role)
        event = _READING if count == 1 else _BUFFER_FULL
        store = f":TRAC:CLE;:TRAC:POIN {count};:TRAC:FEED SENS;:TRAC:FEED:CONT NEXT"
        self.link.write(f"*CLS;:STAT:MEAS:ENAB {event};:SAMP:COUN {count}")
        if count > 1:
            self.link.write(store)
        self.link.write(":INIT")
        # Twice the integration with autozero, and the analog filter (memory); with room.
        self.link.wait(_MEASUREMENT_STB, 5.0 + 3.0 * count * (2 * self._nplc / 50 + 0.2))
        raw = self.link.query(":FETC?" if count == 1 else ":TRAC:DATA?", values=count)
        if raw[:2] != b"#0" or len(raw) != 2 + 8 * count:
            got = (len(raw) - 2) / 8
            raise SweepVoidError(f"{self.link.role}: expected {count} readings and got {got:g}")
        volt = np.frombuffer(raw[2:], dtype="<f8").copy()
        valid = is_number(volt)
        return VoltReadings(volt, ~valid & np.isfinite(volt), valid)

    def temperature_k(self) -> float:
        """The temperature now, K; of a thermocouple of type K, if nothing else was prepared.

        Raises:
            InstrumentError: the sensor gives none: not connected, or outside of what it is for.
        """
        if not self._reads_temperature:
            self.prepare_temperature()
        who, readings = self.link.role, self.read()
        if not readings.valid[0]:
            raise InstrumentError(f"{who}: the temperature sensor reads beyond the meter's range")
        value = float(readings.volt[0])
        if self._platinum is None:
            return value + _ZERO_C_K
        ohm, excitation_a = self._platinum
        found = celsius(value / excitation_a / ohm)
        if found is None:
            raise InstrumentError(
                f"{who}: {value / excitation_a:.6g} ohm is no temperature of the platinum resistor"
            )
        return found + _ZERO_C_K

    @classmethod
    def stop_messages(cls) -> StopMessages:
        """Nothing to bring to zero or to switch off; the question that shows that it is there."""
        return (":ABOR",), (), ":SENS:FUNC?"
