"""Keithley 2400 as a resistance meter: a fixed read voltage, triggered current readings."""

from __future__ import annotations

from typing import Any

from pymeasure.instruments.keithley import Keithley2400 as _Keithley2400

from instruments.drivers._base import GuardedMixin, LinkAdapter, smallest_range
from instruments.drivers._readings import read_buffer
from instruments.errors import SweepVoidError
from instruments.limits import Allowed, Effect
from instruments.roles import MeterReadings
from instruments.transport import Link

_FREE = (
    "*CLS", "*SRE", "*ESE", ":ABOR", ":TRIG:CLE", ":FORM:ELEM", ":FORM:DATA", ":FORM:BORD",
    ":SENS:FUNC:CONC", ":SENS:CURR:NPLC", ":SENS:CURR:RANG", ":SENS:CURR:RANG:AUTO",
    ":SENS:AVER", ":SYST:AZER:STAT", ":SYST:LFR", ":SYST:LOC", ":DISP:ENAB", ":SOUR:DEL",
    ":STAT:PRES", ":STAT:MEAS:ENAB", ":TRAC:CLE", ":TRAC:POIN", ":TRAC:FEED",
    ":TRAC:FEED:CONT", ":ARM:COUN", ":ARM:SOUR", ":TRIG:COUN", ":TRIG:DEL", ":TRIG:SOUR",
    ":TRIG:ILIN", ":TRIG:OLIN", ":TRIG:INP", ":TRIG:OUTP", ":TRIG:DIR", ":INIT",
)  # fmt: skip

ALLOWED = Allowed(
    commands={header: Effect.FREE for header in _FREE}
    | {
        ":SOUR:FUNC": Effect.FUNCTION,
        ":SOUR:VOLT": Effect.LEVEL,
        ":SOUR:VOLT:RANG": Effect.RANGE,
        ":SENS:CURR:PROT": Effect.COMPLIANCE,
        ":OUTP": Effect.OUTPUT,
    },
    fixed={
        ":SENS:FUNC": frozenset(
            {"'CURR:DC'", '"CURR:DC"'}
        ),  # 'RES' would source a current of its own
        ":OUTP:SMOD": frozenset({"NORM"}),  # off holds the junction at 0 V, never floating
        ":SOUR:CLE:AUTO": frozenset({"OFF", "0"}),  # on: INIT switches the output on
        ":SOUR:VOLT:MODE": frozenset({"FIX"}),  # a sweep left by somebody else must not run
        ":SYST:RSEN": frozenset({"OFF", "0"}),  # an open sense lead drives the output up
    },
    queries={
        ":SOUR:VOLT": "level",
        ":SOUR:VOLT:RANG": "range",
        ":SOUR:FUNC": "function",
        ":SENS:CURR:PROT": "compliance",
        ":OUTP": "output",
        ":OUTP:SMOD": "watched",
        ":SENS:CURR:NPLC": "watched",
        ":SYST:AZER:STAT": "watched",
        ":TRAC:DATA": None,
        ":TRAC:POIN:ACT": None,
        ":SENS:CURR:PROT:TRIP": None,
        "*IDN": None,
        "*OPC": None,
        "*STB": None,
        "*ESR": None,
        ":SYST:ERR": None,
    },
)

_LOOK = ":SOUR:FUNC?;:SOUR:VOLT?;:SOUR:VOLT:RANG?;:SENS:CURR:PROT?;:OUTP?"
_BUFFER_FULL = 512  # measurement event register, bit 9
_BUFFER_FULL_STB = 1  # its summary in the status byte
_V_RANGE_V = 0.2  # the smallest range: cannot pass 210 mV
_I_RANGES_A = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0)


class Keithley2400(GuardedMixin, _Keithley2400):
    """A ``SourceMeter`` (see :mod:`instruments.roles`)."""

    model = "MODEL 2400"
    most_points = 2500

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
            InstrumentError: a setting reads back otherwise.
        """
        write = self.link.write
        write(":ABOR;:SOUR:VOLT 0;:OUTP:SMOD NORM")
        write(":SOUR:FUNC VOLT;:SOUR:VOLT:MODE FIX;:SOUR:CLE:AUTO OFF;:SYST:RSEN OFF")
        write(":SENS:FUNC:CONC OFF;:SENS:FUNC 'CURR:DC'")
        self.set_checked(":SOUR:VOLT:RANG", _V_RANGE_V, "V")
        # Compliance must not be below a thousandth of the measurement range: range first.
        # The smallest range that holds the compliance resolves best.
        needed = smallest_range(_I_RANGES_A, compliance_a, "A", self.link.role)
        write(f":SENS:CURR:RANG {needed:.9g}")
        self.set_checked(":SENS:CURR:PROT", compliance_a, "A")
        write(f":SENS:CURR:NPLC {nplc:.9g};:SENS:AVER OFF;:SYST:AZER:STAT OFF;:SOUR:DEL 0")
        write(":FORM:ELEM CURR,STAT;:FORM:DATA SRE;:FORM:BORD SWAP")
        write(":ARM:COUN 1;:ARM:SOUR IMM;:TRIG:SOUR TLIN;:TRIG:DIR ACC;:TRIG:INP SENS")
        out = f":TRIG:OLIN {trigger_out};:TRIG:OUTP SENS" if trigger_out else ":TRIG:OUTP NONE"
        write(f":TRIG:ILIN {trigger_in};{out};:TRIG:DEL {delay_s:.9g}")
        write(f":STAT:MEAS:ENAB {_BUFFER_FULL}")
        self.look()
        write(":OUTP ON")
        self.look()

    def abort(self) -> None:
        """Leave the trigger model."""
        self.link.write(":ABOR")

    def set_voltage(self, volt: float) -> None:
        """Set the read voltage, V."""
        self.link.write(f":SOUR:VOLT {volt:.9g}")

    def read_level(self) -> float:
        """The voltage that the instrument reports to be set, V."""
        return float(self.ask(":SOUR:VOLT?"))

    def arm(self, points: int) -> None:
        """Get ready for ``points`` triggers."""
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

    def stop_messages(self) -> tuple[tuple[str, ...], tuple[str, ...], str]:
        """What brings it to zero, what switches it off, and the question that shows it."""
        return (":ABOR", ":SOUR:VOLT 0"), (":OUTP OFF",), _LOOK
