"""The language of a Keithley 2400.

Page numbers are of the 2400 Series User's Manual, 2400S-900-01 rev. K; "driver" rows are what
pymeasure's driver sends; "memory" rows are not checked.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sim_backend.instrument import COMMON_ROWS
from sim_backend.models.electrical import next_range
from sim_backend.scpi import (
    Boolean,
    Choice,
    Number,
    Numbers,
    Row,
    Several,
    Table,
    Text,
    Whole,
    Words,
    command,
    query,
    setting,
)  # fmt: skip

FULL_SCALE = 1.05  # of a range's name: compliance and source go so far (p. 6-3, 18-74)
RANGES = {"v": (0.2, 2.0, 20.0, 200.0), "i": (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0)}
#: test currents of auto-ohms by range, A (p. 4-4, table 4-1)
TEST_A = {20.0: 0.1, 200.0: 1e-2, 2e3: 1e-3, 2e4: 1e-4, 2e5: 1e-5, 2e6: 1e-6, 2e7: 1e-6, 2e8: 1e-7}
ELEMENTS = ("VOLTage", "CURRent", "RESistance", "TIME", "STATus")
TRIGGER_EVENTS = Words(("NONE", "SOURce", "DELay", "SENSe"))


@dataclass(frozen=True)
class Range(Number):
    """The smallest range that takes a value, by its name; it is told by its end: 21 V for the 20 V
    range (defaults on p. 18-11 to 18-16; 0.21 V for 200 mV seen on a 2401)."""

    names: tuple[float, ...] = ()

    def parse(self, text: str) -> float:
        found = next_range(self.names, super().parse(text), FULL_SCALE)
        assert found is not None  # the row's limits are the largest range's end
        return found

    def moved(self, value: float, word: str) -> float | None:
        """To a neighbour, if there is one (p. 18-66)."""
        step = {"UP": 1, "DOWN": -1}.get(word.upper())
        if step is None:
            return None
        last = len(self.names) - 1
        return self.names[min(max(self.names.index(value) + step, 0), last)]

    def show(self, value: float) -> str:
        return super().show(FULL_SCALE * value)

    def describe(self) -> str:
        return f"{super().describe()}, UP or DOWN"


V_RANGE = Range(-210, 210, 21, names=RANGES["v"])
I_RANGE = Range(-1.05, 1.05, 1.05e-4, names=RANGES["i"])
OHM_RANGE = Range(0, 2.1e8, 2.1e5, names=tuple(TEST_A))


def _sweep_rows(key: str, node: str, most: float) -> Iterator[Row]:
    """List and staircase of one function, p. 18-83 to 18-92."""
    source = "[:SOURce[1]]:"
    values = Numbers(-most, most, 100)
    yield setting(f"{key}_list", f"{source}LIST:{node}", values, [0.0], "p. 18-91")
    yield command(f"{source}LIST:{node}:APPend", f"append_{key}", "p. 18-92", argument=values)
    yield query(f"{source}LIST:{node}:POINts", f"ask_{key}_points", "p. 18-92", observation=True)
    for word, does in (("STARt", "ends"), ("STOP", "ends"), ("CENTer", "middle"),
                       ("SPAN", "middle"), ("STEP", "step")):  # fmt: skip
        low, high = (-2 * most, 2 * most) if word in ("SPAN", "STEP") else (-most, most)
        yield setting(f"{key}_{word.lower()}", f"{source}{node}:{word}", Number(low, high), 0.0,
                      "p. 18-84", then=f"set_{key}_{does}")  # fmt: skip


TABLE = Table((
    *COMMON_ROWS,
    setting("output", ":OUTPut[1][:STATe]", Boolean(), False, "p. 18-66", then="set_output"),
    setting("off_mode", ":OUTPut[1]:SMODe", Choice(("HIMPedance", "NORMal", "ZERO", "GUARd")),
            "NORM", "p. 18-67", then="set_off_mode"),
    setting("terminals", ":ROUTe:TERMinals", Choice(("FRONt", "REAR")), "FRON", "p. 18-68"),
    setting("four_wire", ":SYSTem:RSENse", Boolean(), False, "p. 18-101",
            then="set_sensing"),
    setting("autozero", ":SYSTem:AZERo[:STATe]", Boolean(("ONCE",)), True, "p. 18-104",
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
            "p. 18-73", then="set_mode"),
    setting("i_mode", "[:SOURce[1]]:CURRent:MODE", Choice(("FIXed", "LIST", "SWEep")), "FIX",
            "p. 18-73", then="set_mode"),
    setting("v_level", "[:SOURce[1]]:VOLTage[:LEVel][:IMMediate][:AMPLitude]",
            Number(-210, 210), 0.0, "p. 18-75", then="set_v_level"),
    setting("v_range", "[:SOURce[1]]:VOLTage:RANGe", V_RANGE, 20.0, "p. 18-74",
            then="set_v_range"),
    setting("v_range_auto", "[:SOURce[1]]:VOLTage:RANGe:AUTO", Boolean(), True, "p. 18-74"),
    setting("i_level", "[:SOURce[1]]:CURRent[:LEVel][:IMMediate][:AMPLitude]",
            Number(-1.05, 1.05), 0.0, "p. 18-75", then="set_i_level"),
    # Its node is not optional: without one :CURRent:RANGe is that of :SENSe.
    setting("i_source_range", ":SOURce[1]:CURRent:RANGe", I_RANGE, 1e-4,
            "p. 18-74", then="set_i_source_range"),
    setting("i_source_auto", ":SOURce[1]:CURRent:RANGe:AUTO", Boolean(), True, "p. 18-74"),
    setting("delay", "[:SOURce[1]]:DELay", Number(0, 999.9999), 1e-3, "p. 18-81",
            then="set_delay"),
    setting("delay_auto", "[:SOURce[1]]:DELay:AUTO", Boolean(), True, "p. 18-81",
            then="set_delay_auto"),
    setting("auto_clear", "[:SOURce[1]]:CLEar:AUTO", Boolean(), False, "p. 18-71"),
    # sense
    setting("sense_functions", "[:SENSe[1]]:FUNCtion[:ON]", Text(), '"CURR:DC"', "p. 18-54",
            then="set_functions"),
    command("[:SENSe[1]]:FUNCtion[:ON]:ALL", "all_functions", "p. 18-54"),
    command("[:SENSe[1]]:FUNCtion:OFF", "drop_functions", "p. 18-54", argument=Text()),
    command("[:SENSe[1]]:FUNCtion:OFF:ALL", "no_functions", "p. 18-54"),
    query("[:SENSe[1]]:FUNCtion[:ON]:COUNt", "ask_function_count", "p. 18-55", observation=True),
    setting("concurrent", "[:SENSe[1]]:FUNCtion:CONCurrent", Boolean(), True, "p. 18-53",
            then="set_concurrent"),
    setting("i_protection", "[:SENSe[1]]:CURRent[:DC]:PROTection[:LEVel]",
            Number(1e-9, 1.05, 105e-6), 105e-6, "p. 18-68", then="set_i_compliance"),
    query("[:SENSe[1]]:CURRent[:DC]:PROTection:TRIPped", "ask_tripped", "p. 18-59",
          observation=True),
    setting("i_range", "[:SENSe[1]]:CURRent[:DC]:RANGe[:UPPer]", I_RANGE,
            1e-4, "p. 18-57", then="set_i_range"),
    setting("i_range_auto", "[:SENSe[1]]:CURRent[:DC]:RANGe:AUTO", Boolean(), True, "p. 18-57",
            then="set_i_range_auto"),
    # Their node is not optional: without one :VOLTage:RANGe is that of :SOURce.
    setting("v_sense_range", ":SENSe[1]:VOLTage[:DC]:RANGe[:UPPer]", V_RANGE, 20.0,
            "p. 18-62", then="set_v_sense_range"),
    setting("v_sense_auto", ":SENSe[1]:VOLTage[:DC]:RANGe:AUTO", Boolean(), True, "p. 18-62",
            then="set_v_sense_auto"),
    setting("ohm_range", "[:SENSe[1]]:RESistance:RANGe[:UPPer]", OHM_RANGE, 2e5,
            "p. 18-13", then="set_ohm_range"),
    setting("ohm_auto", "[:SENSe[1]]:RESistance:RANGe:AUTO", Boolean(), True, "p. 18-13"),
    # One value for all three functions.
    setting("nplc", "[:SENSe[1]]:CURRent[:DC]:NPLCycles", Number(0.01, 10, 1), 1.0, "p. 18-60"),
    setting("nplc", "[:SENSe[1]]:VOLTage[:DC]:NPLCycles", Number(0.01, 10, 1), 1.0, "p. 18-60"),
    setting("nplc", "[:SENSe[1]]:RESistance:NPLCycles", Number(0.01, 10, 1), 1.0, "p. 18-60"),
    setting("ohms_mode", "[:SENSe[1]]:RESistance:MODE", Choice(("MANual", "AUTO")), "AUTO",
            "p. 18-61", then="set_ohms_mode"),
    setting("v_protection", "[:SENSe[1]]:VOLTage[:DC]:PROTection[:LEVel]", Number(2e-4, 210, 21),
            21.0, "p. 18-68", then="set_v_compliance"),
    query("[:SENSe[1]]:VOLTage[:DC]:PROTection:TRIPped", "ask_v_tripped", "p. 18-13",
          observation=True),
    setting("average", "[:SENSe[1]]:AVERage[:STATe]", Boolean(), False, "p. 18-63",
            then="refill"),
    setting("average_control", "[:SENSe[1]]:AVERage:TCONtrol", Choice(("REPeat", "MOVing")), "REP",
            "p. 18-70", then="refill"),
    setting("average_count", "[:SENSe[1]]:AVERage:COUNt", Whole(1, 100, 10), 10, "p. 18-70",
            then="refill"),
    # data
    setting("elements", ":FORMat:ELEMents[:SENSe[1]]", Words(ELEMENTS),
            ("VOLT", "CURR", "RES", "TIME", "STAT"), "p. 18-48"),
    setting("data_format", ":FORMat[:DATA]", Choice(("ASCii", "REAL", "REAL,32", "SREal")), "ASC",
            "p. 18-47"),
    setting("byte_order", ":FORMat:BORDer", Choice(("NORMal", "SWAPped")), "NORM", "p. 18-9"),
    setting("buffer_points", ":TRACe:POINts", Whole(1, 2500, 100), 100, "p. 18-110"),
    query(":TRACe:POINts:ACTual", "ask_buffer_count", "p. 18-110", observation=True),
    setting("buffer_feed", ":TRACe:FEED", Choice(("SENSe", "SENSe1")), "SENS",
            "p. 18-110"),
    setting("buffer_control", ":TRACe:FEED:CONTrol", Choice(("NEVer", "NEXT")), "NEV",
            "p. 18-111", then="set_buffer_control"),
    command(":TRACe:CLEar", "clear_buffer", "p. 18-109"),
    query(":TRACe:DATA", "ask_buffer", "p. 18-109"),
    query(":TRACe:FREE", "ask_buffer_free", "memory", observation=True),
    setting("time_format", ":TRACe:TSTamp:FORMat", Choice(("ABSolute", "DELTa")), "ABS",
            "p. 18-116"),
    setting("statistic", ":CALCulate3:FORMat",
            Choice(("MEAN", "SDEViation", "MAXimum", "MINimum", "PKPK")), "MEAN", "p. 18-43"),
    query(":CALCulate3:DATA", "ask_statistic", "p. 18-43"),
    query("[:SENSe[1]]:DATA[:LATest]", "ask_latest", "memory"),
    # trigger model
    setting("arm_count", ":ARM[:SEQuence[1]][:LAYer[1]]:COUNt", Whole(1, 2500, 1), 1, "p. 18-113"),
    setting("arm_source", ":ARM[:SEQuence[1]][:LAYer[1]]:SOURce",
            Choice(("IMMediate", "TLINk", "TIMer", "MANual", "BUS")), "IMM", "p. 18-114"),
    setting("arm_timer_s", ":ARM[:SEQuence[1]][:LAYer[1]]:TIMer", Number(1e-3, 99999.99, 0.1), 0.1,
            "p. 14-8"),
    setting("arm_direction", ":ARM[:SEQuence[1]][:LAYer[1]][:TCONfigure]:DIRection",
            Choice(("ACCeptor", "SOURce")), "ACC", "p. 11-18"),
    setting("arm_in", ":ARM[:SEQuence[1]][:LAYer[1]][:TCONfigure][:ASYNchronous]:ILINe",
            Whole(1, 4), 1, "p. 11-18"),
    setting("arm_out", ":ARM[:SEQuence[1]][:LAYer[1]][:TCONfigure][:ASYNchronous]:OLINe",
            Whole(1, 4), 2, "p. 11-18"),
    setting("arm_output_events",
            ":ARM[:SEQuence[1]][:LAYer[1]][:TCONfigure][:ASYNchronous]:OUTPut",
            Words(("TENTer", "TEXit", "NONE")), ("NONE",), "p. 11-18"),
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
    query(":MEASure:CURRent[:DC]", "ask_measure_current", "p. 18-46"),
    query(":MEASure:VOLTage[:DC]", "ask_measure_voltage", "p. 18-46"),
    query(":MEASure:RESistance", "ask_measure_resistance", "p. 18-46"),
    query(":CONFigure", "ask_configured", "p. 17-2", observation=True),
    command(":CONFigure:CURRent[:DC]", "configure_current", "p. 17-2"),
    command(":CONFigure:VOLTage[:DC]", "configure_voltage", "p. 17-2"),
    command(":CONFigure:RESistance", "configure_resistance", "p. 17-2"),
    # own sweeps
    setting("sweep_points", "[:SOURce[1]]:SWEep:POINts", Whole(2, 2500, 2500), 2500, "p. 18-18",
            then="set_sweep_points"),
    setting("sweep_spacing", "[:SOURce[1]]:SWEep:SPACing", Choice(("LINear", "LOGarithmic")),
            "LIN", "p. 18-83"),
    setting("sweep_direction", "[:SOURce[1]]:SWEep:DIRection", Choice(("UP", "DOWN")), "UP",
            "p. 18-18"),
    setting("sweep_range", "[:SOURce[1]]:SWEep:RANGing", Choice(("BEST", "AUTO", "FIXed")),
            "BEST", "p. 18-83"),
    setting("sweep_abort", "[:SOURce[1]]:SWEep:CABort", Choice(("NEVer", "EARLy", "LATE")), "NEV",
            "p. 18-18"),
    *_sweep_rows("v", "VOLTage", 210.0),
    *_sweep_rows("i", "CURRent", 1.05),
    command(":SYSTem:PRESet", "preset", "p. 16-3", while_busy=True),
    command(":SYSTem:BEEPer[:IMMediate]", "beep", "driver",
            argument=Several((Number(65, 2e6), Number(0, 7.9)))),
    setting("beeper", ":SYSTem:BEEPer:STATe", Boolean(), True, "memory"),
))  # fmt: skip
