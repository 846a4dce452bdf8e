"""Keithley 2400 SourceMeter, as far as a voltage-sourcing resistance meter goes.

Page numbers are of the 2400 Series User's Manual, 2400S-900-01 rev. K; "memory" rows are not
checked against it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sim_backend.circuit import CurrentSource, Element, VoltageSource
from sim_backend.instrument import COMMON_ROWS
from sim_backend.models.electrical import ElectricalInstrument
from sim_backend.scpi import (
    Boolean,
    Choice,
    Number,
    Numbers,
    ScpiError,
    Table,
    Text,
    Unit,
    Whole,
    Words,
    command,
    query,
    setting,
)  # fmt: skip

if TYPE_CHECKING:
    from sim_backend.bench import SimBench
    from sim_backend.seen import Seen

NAN, OVERFLOW = 9.91e37, 9.9e37
BUFFER_FULL = 1 << 9  # measurement event register (p. 15-17)
# Bits of a reading's status word (p. 18-49).
STATUS_OVERFLOW, STATUS_COMPLIANCE = 1 << 0, 1 << 3
STATUS_I_MEASURED, STATUS_V_SOURCED, STATUS_I_SOURCED, STATUS_FRONT = 1 << 12, 1 << 14, 1 << 15, 4
V_RANGES, I_RANGES = (0.2, 2.0, 20.0, 200.0), (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0)
ELEMENTS = ("VOLTage", "CURRent", "RESistance", "TIME", "STATus")
TRIGGER_EVENTS = Words(("NONE", "SOURce", "DELay", "SENSe"))

_ROWS = (
    *COMMON_ROWS,
    setting("output", ":OUTPut[1][:STATe]", Boolean(), False, "p. 18-66", then="set_output"),
    setting("off_mode", ":OUTPut[1]:SMODe", Choice(("HIMPedance", "NORMal", "ZERO", "GUARd")),
            "NORM", "p. 18-67"),
    setting("terminals", ":ROUTe:TERMinals", Choice(("FRONt", "REAR")), "FRON", "p. 18-68"),
    setting("four_wire", ":SYSTem:RSENse", Boolean(), False, "p. 18-101"),
    setting("autozero", ":SYSTem:AZERo:STATe", Boolean(("ONCE",)), True, "p. 18-104",
            then="set_autozero"),
    setting("line_hz", ":SYSTem:LFRequency", Choice(("50", "60")), "50", "p. 18-103"),
    setting("line_auto", ":SYSTem:LFRequency:AUTO", Boolean(), True, "p. 18-103"),
    setting("display", ":DISPlay:ENABle", Boolean(), True, "p. 18-51"),
    command(":SYSTem:LOCal", "nothing", "p. 18-108"),
    command(":SYSTem:REMote", "nothing", "p. 18-108"),
    # source
    setting("source_function", ":SOURce[1]:FUNCtion[:MODE]", Choice(("VOLTage", "CURRent")),
            "VOLT", "p. 18-72", then="set_function"),
    setting("v_mode", "[:SOURce[1]]:VOLTage:MODE", Choice(("FIXed", "LIST", "SWEep")), "FIX",
            "p. 18-73"),
    setting("v_level", "[:SOURce[1]]:VOLTage[:LEVel][:IMMediate][:AMPLitude]",
            Number(-210, 210), 0.0, "p. 18-75", then="set_v_level"),
    setting("v_range", "[:SOURce[1]]:VOLTage:RANGe", Number(-210, 210, 20), 20.0, "p. 18-74",
            then="set_v_range"),
    setting("v_range_auto", "[:SOURce[1]]:VOLTage:RANGe:AUTO", Boolean(), True, "p. 18-74"),
    setting("i_level", "[:SOURce[1]]:CURRent[:LEVel][:IMMediate][:AMPLitude]",
            Number(-1.05, 1.05), 0.0, "p. 18-75"),
    # Its node is not optional: without one :CURRent:RANGe is that of :SENSe.
    setting("i_source_range", ":SOURce[1]:CURRent:RANGe", Number(-1.05, 1.05, 1e-4), 1e-4,
            "p. 18-74"),
    setting("delay", "[:SOURce[1]]:DELay", Number(0, 999.9999), 1e-3, "p. 18-81",
            then="set_delay"),
    setting("delay_auto", "[:SOURce[1]]:DELay:AUTO", Boolean(), True, "p. 18-81"),
    setting("auto_clear", "[:SOURce[1]]:CLEar:AUTO", Boolean(), False, "p. 18-71"),
    # sense
    setting("sense_functions", "[:SENSe[1]]:FUNCtion[:ON]", Text(), '"CURR:DC"', "p. 18-54"),
    setting("concurrent", "[:SENSe[1]]:FUNCtion:CONCurrent", Boolean(), True, "p. 18-53"),
    setting("i_protection", "[:SENSe[1]]:CURRent[:DC]:PROTection[:LEVel]",
            Number(1e-9, 1.05, 105e-6), 105e-6, "p. 18-59", then="set_compliance"),
    query("[:SENSe[1]]:CURRent[:DC]:PROTection:TRIPped", "ask_tripped", "p. 18-59",
          observation=True),
    setting("i_range", "[:SENSe[1]]:CURRent[:DC]:RANGe[:UPPer]", Number(-1.05, 1.05, 1.05e-4),
            1e-4, "p. 18-57", then="set_i_range"),
    setting("i_range_auto", "[:SENSe[1]]:CURRent[:DC]:RANGe:AUTO", Boolean(), True, "p. 18-57"),
    # One value for all three functions.
    setting("nplc", "[:SENSe[1]]:CURRent[:DC]:NPLCycles", Number(0.01, 10, 1), 1.0, "p. 18-60"),
    setting("nplc", "[:SENSe[1]]:VOLTage[:DC]:NPLCycles", Number(0.01, 10, 1), 1.0, "p. 18-60"),
    setting("nplc", "[:SENSe[1]]:RESistance:NPLCycles", Number(0.01, 10, 1), 1.0, "p. 18-60"),
    setting("ohms_mode", "[:SENSe[1]]:RESistance:MODE", Choice(("MANual", "AUTO")), "AUTO",
            "memory"),
    setting("v_protection", "[:SENSe[1]]:VOLTage[:DC]:PROTection[:LEVel]", Number(2e-4, 210, 21),
            21.0, "p. 18-59"),
    setting("average", "[:SENSe[1]]:AVERage[:STATe]", Boolean(), False, "p. 18-63"),
    setting("average_control", "[:SENSe[1]]:AVERage:TCONtrol", Choice(("REPeat", "MOVing")), "REP",
            "memory"),
    setting("average_count", "[:SENSe[1]]:AVERage:COUNt", Whole(1, 100, 10), 10, "memory"),
    # data
    setting("elements", ":FORMat:ELEMents[:SENSe[1]]", Words(ELEMENTS),
            ("VOLT", "CURR", "RES", "TIME", "STAT"), "p. 18-48"),
    setting("data_format", ":FORMat[:DATA]", Choice(("ASCii", "REAL", "REAL,32", "SREal")), "ASC",
            "p. 18-47"),
    setting("byte_order", ":FORMat:BORDer", Choice(("NORMal", "SWAPped")), "SWAP", "p. 18-50"),
    setting("buffer_points", ":TRACe:POINts", Whole(1, 2500, 100), 100, "p. 18-110"),
    query(":TRACe:POINts:ACTual", "ask_buffer_count", "p. 18-110", observation=True),
    setting("buffer_feed", ":TRACe:FEED", Choice(("SENSe", "CALC1")), "SENS",
            "p. 18-110"),
    setting("buffer_control", ":TRACe:FEED:CONTrol", Choice(("NEVer", "NEXT")), "NEV",
            "p. 18-111", then="set_buffer_control"),
    command(":TRACe:CLEar", "clear_buffer", "p. 18-109"),
    query(":TRACe:DATA", "ask_buffer", "p. 18-109"),
    # trigger model
    setting("arm_count", ":ARM[:SEQuence[1]][:LAYer[1]]:COUNt", Whole(1, 2500, 1), 1, "p. 18-113"),
    setting("arm_source", ":ARM[:SEQuence[1]][:LAYer[1]]:SOURce",
            Choice(("IMMediate", "TLINk", "TIMer", "MANual", "BUS")), "IMM", "p. 18-114"),
    setting("trigger_count", ":TRIGger[:SEQuence[1]]:COUNt", Whole(1, 2500, 1), 1, "p. 18-113"),
    setting("trigger_delay", ":TRIGger[:SEQuence[1]]:DELay", Number(0, 999.9999), 0.0,
            "p. 18-113"),
    setting("trigger_source", ":TRIGger[:SEQuence[1]]:SOURce", Choice(("IMMediate", "TLINk")),
            "IMM", "p. 18-114"),
    setting("trigger_in", ":TRIGger[:SEQuence[1]][:TCONfigure][:ASYNchronous]:ILINe",
            Whole(1, 4), 1, "p. 18-115"),
    setting("trigger_out", ":TRIGger[:SEQuence[1]][:TCONfigure][:ASYNchronous]:OLINe",
            Whole(1, 4), 2, "p. 18-116"),
    setting("trigger_input_events", ":TRIGger[:SEQuence[1]][:TCONfigure][:ASYNchronous]:INPut",
            TRIGGER_EVENTS, ("SOUR",), "p. 18-116"),
    setting("trigger_output_events", ":TRIGger[:SEQuence[1]][:TCONfigure][:ASYNchronous]:OUTPut",
            TRIGGER_EVENTS, ("NONE",), "p. 18-116"),
    setting("trigger_direction", ":TRIGger[:SEQuence[1]][:TCONfigure]:DIRection",
            Choice(("ACCeptor", "SOURce")), "ACC", "p. 18-115"),
    command(":TRIGger:CLEar", "nothing", "p. 18-113"),
    command(":INITiate[:IMMediate]", "initiate", "p. 18-112"),
    command(":ABORt", "abort", "p. 18-112", while_busy=True),
    # readings
    query(":READ", "ask_read", "p. 18-46"),
    query(":FETCh", "ask_fetch", "p. 18-44"),
    query(":MEASure", "ask_measure", "p. 18-46"),
    query(":MEASure:CURRent[:DC]", "ask_measure", "p. 18-46"),
    query(":MEASure:VOLTage[:DC]", "ask_measure", "p. 18-46"),
    query(":MEASure:RESistance", "ask_measure", "p. 18-46"),
    setting("sweep_points", "[:SOURce[1]]:SWEep:POINts", Whole(2, 2500, 2), 2, "p. 18-90"),
    setting("v_list", "[:SOURce[1]]:LIST:VOLTage", Numbers(-210, 210, 100), [0.0], "p. 18-91"),
)  # fmt: skip


@dataclass
class Readings:
    """What a meter has measured: one entry a reading."""

    volt: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    current_a: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    status: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    time_s: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))

    def __len__(self) -> int:
        return len(self.current_a)

    def extend(self, other: Readings, most: int) -> None:
        for name in ("volt", "current_a", "status", "time_s"):
            both = np.concatenate((getattr(self, name), getattr(other, name)))
            setattr(self, name, both[:most])


class Keithley2400(ElectricalInstrument):
    """See the module's docstring."""

    table = Table(_ROWS)
    identity = "KEITHLEY INSTRUMENTS INC.,MODEL 2400,0000000,C32 Oct  4 2010 14:20:11/A02  /S/K"
    message_time_s = 1e-3  # memory
    trigger_latency_s = 225e-6  # p. A-7 (specifications): typical trigger latency
    autozero_factor = 3  # memory: signal, reference and zero are integrated in turn

    def __init__(self, name: str, bench: SimBench) -> None:
        self.taken = 0  # number of the next reading: the noise's counter
        super().__init__(name, bench)
        self.state["line_hz"] = str(bench.truth.line_hz)

    def _set_defaults(self) -> None:
        line_hz = self.state.get("line_hz")
        super()._set_defaults()
        if line_hz is not None:  # found at power-on; *RST leaves it
            self.state["line_hz"] = line_hz
        self.buffer = Readings()
        self.last = Readings()
        self.remaining = 0  # readings that the running trigger model still owes
        self.armed = False  # past its arm layer

    def units(self, message: str) -> tuple[list[Unit], ScpiError | None]:
        """:READ? is :INITiate and :FETCh?: the answer waits for the readings (p. 18-46)."""
        found, error = super().units(message)
        split: list[Unit] = []
        for unit in found:
            split += [unit, _FETCH] if unit.row.do == "ask_read" else [unit]
        return split, error

    # -- side effects ---------------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        return self.remaining > 0

    @property
    def measure_time_s(self) -> float:
        """What one reading takes: trigger and source delay, latency and integration, s."""
        state = self.state
        before = state["trigger_delay"] + self.trigger_latency_s + state["delay"]
        return float(before + self.integration_s)

    @property
    def integration_s(self) -> float:
        """What the integration of one reading takes, s."""
        factor = self.autozero_factor if self.state["autozero"] else 1
        return factor * self.window_s

    @property
    def window_s(self) -> float:
        """What one reading integrates over, s."""
        return float(self.state["nplc"] / float(self.state["line_hz"]))

    @property
    def _immediate(self) -> bool:
        state = self.state
        return bool(state["trigger_source"] == "IMM" or state["trigger_input_events"] == ("NONE",))

    @property
    def awaits_trigger(self) -> bool:
        """Waiting for a pulse on its input line."""
        return self.remaining > 0 and self.armed and not self._immediate

    @property
    def terminal_v(self) -> float:
        """The voltage at the high terminal against low, V.  Off in NORMal or ZERO mode is 0 V."""
        sourcing = self.state["output"] and self.state["source_function"] == "VOLT"
        return float(self.state["v_level"]) if sourcing else 0.0

    def elements(self) -> Sequence[Element]:
        """A source within its limit; off: 0 V, or in HIMPedance mode nothing."""
        state = self.state
        if not state["output"] and state["off_mode"] == "HIMP":
            return [self.open()]
        hi, lo = self.node("hi"), self.node("lo")
        if state["output"] and state["source_function"] == "CURR":
            return [CurrentSource(hi, lo, state["i_level"], state["v_protection"])]
        return [VoltageSource(hi, lo, self.terminal_v, state["i_protection"])]

    def set_output(self, _: bool) -> None:
        self.bench.touch()

    def set_function(self, _: str) -> None:
        self.bench.touch()

    def set_v_level(self, value: float) -> None:
        if self.state["v_range_auto"]:
            self.state["v_range"] = next(r for r in V_RANGES if abs(value) <= 1.05 * r)
        elif abs(value) > 1.05 * self.state["v_range"]:
            raise ScpiError(-222)
        self.bench.touch()

    def set_v_range(self, value: float) -> None:
        if abs(self.state["v_level"]) > 1.05 * abs(value):
            raise ScpiError(-221)
        self.state["v_range"] = next(r for r in V_RANGES if abs(value) <= 1.05 * r)
        self.state["v_range_auto"] = False

    def set_i_range(self, value: float) -> None:
        self.state["i_range"] = next(r for r in I_RANGES if abs(value) <= 1.05 * r)
        self.state["i_range_auto"] = False

    def set_compliance(self, value: float) -> None:
        # p. 18-59: not below 0.1 % of the measurement range in use
        if not self.state["i_range_auto"] and value < 1e-3 * self.state["i_range"]:
            raise ScpiError(-221)

    def set_delay(self, _: float) -> None:
        self.state["delay_auto"] = False

    def set_autozero(self, value: bool | str) -> None:
        if value == "ONCE":
            self.state["autozero"] = False

    def clear_buffer(self) -> None:
        self.buffer = Readings()

    def set_buffer_control(self, value: str) -> None:
        if value == "NEXT":
            self.buffer = Readings()

    # -- measuring ------------------------------------------------------------------------------

    def initiate(self) -> None:
        state = self.state
        if self.remaining:
            raise ScpiError(-213)
        if not (state["output"] or state["auto_clear"]):
            raise ScpiError(803)
        count = state["arm_count"] * state["trigger_count"]
        if count > 2500:
            raise ScpiError(-221)
        self.last = Readings()
        self.remaining = count
        if state["auto_clear"]:
            state["output"] = True
            self.bench.touch()
        if state["arm_source"] == "IMM":
            self._arm()

    def trigger(self) -> None:
        if self.remaining and not self.armed and self.state["arm_source"] == "BUS":
            self._arm()

    def _arm(self) -> None:
        """Past the arm layer: readings at once, or as triggers come."""
        self.armed = True
        if self._immediate:
            count, start_s = self.remaining, self.bench.clock.now_s
            seen = self.bench.seen(self, count)
            self.bench.pass_time(count * self.measure_time_s, "integrate")
            times = start_s + self.measure_time_s * np.arange(1, count + 1, dtype=np.float64)
            self.record(seen, times)

    def _idle(self) -> None:
        self.remaining, self.armed = 0, False
        if self.state["auto_clear"] and self.state["output"]:
            self.state["output"] = False
            self.bench.touch()

    def record(self, true: Seen, time_s: NDArray[np.float64]) -> None:
        """Take readings that end at ``time_s``: noise, compliance, range, buffer."""
        current_a = true.current_a
        state, count = self.state, len(current_a)
        seen = current_a + self.bench.read_noise(self, self.taken, true, time_s)
        self.taken += count
        status = np.full(count, STATUS_I_MEASURED, dtype=np.int64)
        status |= STATUS_FRONT if state["terminals"] == "FRON" else 0
        status |= STATUS_V_SOURCED if state["source_function"] == "VOLT" else STATUS_I_SOURCED
        seen = np.where(true.limited, current_a, seen)
        status[true.limited] |= STATUS_COMPLIANCE
        if not state["i_range_auto"]:
            over = np.abs(seen) > 1.05 * state["i_range"]
            seen = np.where(over, OVERFLOW, seen)
            status[over] |= STATUS_OVERFLOW
        new = Readings(true.volt, seen, status, time_s)
        self.last.extend(new, 2500)
        self.remaining -= count
        if state["buffer_control"] == "NEXT":
            self.buffer.extend(new, state["buffer_points"])
            if len(self.buffer) == state["buffer_points"]:
                state["buffer_control"] = "NEV"
                self.measurement_event |= BUFFER_FULL
        if not self.remaining:
            self._idle()

    def abort(self) -> None:
        if self.remaining and self.bench.sweep is not None:
            self.bench.sweep.drop(self)
        self._idle()

    def _encode(self, readings: Readings) -> bytes:
        v, i = readings.volt, readings.current_a
        ohm = np.divide(v, i, out=np.full(len(i), NAN), where=i != 0)
        columns: dict[str, Any] = {
            "VOLT": v,
            "CURR": i,
            "RES": np.where(i == OVERFLOW, OVERFLOW, ohm),
            "TIME": readings.time_s,
            "STAT": readings.status.astype(float),
        }
        chosen = [name for name in columns if name in self.state["elements"]]
        flat = np.stack([columns[name] for name in chosen], axis=1).ravel()
        self.bench.pass_time(self.bench.truth.costs.reading_s * len(flat), "fetch")
        if self.state["data_format"] != "ASC":
            order = "<f4" if self.state["byte_order"] == "SWAP" else ">f4"
            return b"#0" + flat.astype(order).tobytes()
        return ",".join(f"{value:+.6E}" for value in flat).encode()

    def ask_tripped(self) -> int:
        return int(bool(len(self.last)) and bool(self.last.status[-1] & STATUS_COMPLIANCE))

    def ask_buffer_count(self) -> int:
        return len(self.buffer)

    def ask_buffer(self) -> bytes:
        if not len(self.buffer):
            raise ScpiError(-221)
        return self._encode(self.buffer)

    def ask_fetch(self) -> bytes:
        if not len(self.last):
            raise ScpiError(-221)
        return self._encode(self.last)

    def ask_read(self) -> None:
        self.initiate()

    def ask_measure(self) -> bytes:
        """:MEASure? turns the output on, and forgets the trigger counts (p. 18-46)."""
        self.state.update(
            trigger_count=1, arm_count=1, trigger_source="IMM", arm_source="IMM", output=True
        )
        self.bench.touch()
        self.initiate()
        return self.ask_fetch()


_FETCH = Unit(Keithley2400.table.find(":FETC", True), True, "")
