"""The language of a Keithley 2182A nanovoltmeter.

"driver" rows are what pymeasure's driver sends; page numbers are of the 2182/2182A User's Manual,
2182A-900-01; "memory" rows are not checked.
"""

from __future__ import annotations

from collections.abc import Iterator

from sim_backend.models.electrical import Quoted, common_rows
from sim_backend.scpi import (
    Boolean,
    Choice,
    Number,
    Row,
    Table,
    Whole,
    Words,
    command,
    query,
    setting,
)  # fmt: skip

#: full scale of each channel, V
RANGES_V = {1: (0.01, 0.1, 1.0, 10.0, 100.0), 2: (0.1, 1.0, 10.0)}
HEADROOM = 1.2
MOST_POINTS = 1024  # p. 6-2
ELEMENTS = ("READing", "CHANnel", "UNITs", "TSTamp")
THERMOCOUPLES = ("J", "K", "T", "E", "R", "S", "B", "N")

_SENSE = "[:SENSe[1]]"
_NPLC = Number(0.01, 60)


def _filter_rows(name: str, header: str) -> Iterator[Row]:
    """Filters and reference of one channel of one function."""
    most = 120.0 if name == "v1" else 12.0 if name == "v2" else 1800.0
    for node, key in ((":LPASs[:STATe]", "analog"), (":DFILter[:STATe]", "digital")):
        yield setting(f"{name}_{key}", header + node, Boolean(), False, "memory")
    yield setting(f"{name}_window", f"{header}:DFILter:WINDow", Number(0, 10), 0.01, "memory",
                  then="refill")  # fmt: skip
    yield setting(f"{name}_count", f"{header}:DFILter:COUNt", Whole(1, 100), 10, "p. 3-8",
                  then="refill")  # fmt: skip
    yield setting(f"{name}_control", f"{header}:DFILter:TCONtrol", Choice(("MOVing", "REPeat")),
                  "REP", "p. 3-8", then="refill")  # fmt: skip
    yield setting(f"{name}_ref", f"{header}:REFerence", Number(-most, most), 0.0, "driver")
    yield setting(f"{name}_ref_on", f"{header}:REFerence:STATe", Boolean(), False, "driver")
    yield command(f"{header}:REFerence:ACQuire", f"acquire_{name}", "driver")


def _store_rows(root: str, source: str) -> Iterator[Row]:
    """The buffer; :TRACe and :DATA are the same root."""
    yield setting("points", f"{root}:POINts", Whole(2, MOST_POINTS), 100, source,
                  then="clear_buffer_of")  # fmt: skip
    yield query(f"{root}:POINts:ACTual", "ask_stored", "memory", observation=True)
    yield setting("feed", f"{root}:FEED", Choice(("SENSe", "SENSe1", "CALCulate1", "NONE")),
                  "SENS", source)  # fmt: skip
    yield setting("feed_control", f"{root}:FEED:CONTrol", Choice(("NEXT", "NEVer")), "NEV",
                  source, then="set_feed_control")  # fmt: skip
    yield command(f"{root}:CLEar", "clear_buffer", source)
    yield query(f"{root}:DATA", "ask_buffer", source)


TABLE = Table((
    *common_rows(),
    # sense
    setting("function", f"{_SENSE}:FUNCtion", Quoted(("VOLTage[:DC]", "TEMPerature")), "VOLT:DC",
            "driver"),
    setting("channel", f"{_SENSE}:CHANnel", Whole(0, 2), 1, "driver"),
    setting("nplc", f"{_SENSE}:VOLTage[:DC]:NPLCycles", _NPLC, 5.0, "driver"),
    setting("nplc", f"{_SENSE}:TEMPerature:NPLCycles", _NPLC, 5.0, "driver"),
    setting("v1_range", f"{_SENSE}:VOLTage[:DC][:CHANnel1]:RANGe[:UPPer]", Number(0, 120), 100.0,
            "driver", then="set_v1_range"),
    setting("v1_auto", f"{_SENSE}:VOLTage[:DC][:CHANnel1]:RANGe:AUTO", Boolean(), True, "driver"),
    setting("v2_range", f"{_SENSE}:VOLTage[:DC]:CHANnel2:RANGe[:UPPer]", Number(0, 12), 10.0,
            "driver", then="set_v2_range"),
    setting("v2_auto", f"{_SENSE}:VOLTage[:DC]:CHANnel2:RANGe:AUTO", Boolean(), True, "driver"),
    *_filter_rows("v1", f"{_SENSE}:VOLTage[:DC][:CHANnel1]"),
    *_filter_rows("v2", f"{_SENSE}:VOLTage[:DC]:CHANnel2"),
    *_filter_rows("t1", f"{_SENSE}:TEMPerature[:CHANnel1]"),
    *_filter_rows("t2", f"{_SENSE}:TEMPerature:CHANnel2"),
    setting("digits", f"{_SENSE}:VOLTage[:DC]:DIGits", Number(3.5, 8), 7.5, "memory"),
    setting("thermocouple", f"{_SENSE}:TEMPerature:TCouple[:TYPE]", Choice(THERMOCOUPLES), "J",
            "driver"),
    setting("junction", f"{_SENSE}:TEMPerature:RJUNction:RSELect",
            Choice(("INTernal", "SIMulated")), "INT", "driver"),
    setting("junction_c", f"{_SENSE}:TEMPerature:RJUNction:SIMulated", Number(0, 60), 23.0,
            "driver"),
    query(f"{_SENSE}:TEMPerature:RTEMperature", "ask_inside", "driver"),
    # readings
    query(f"{_SENSE}:DATA[:LATest]", "ask_latest", "memory"),
    query(f"{_SENSE}:DATA:FRESh", "ask_fresh", "memory"),
    query(":FETCh", "ask_fetch", "memory", awaits_pending=True),
    query(":READ", "ask_read", "driver"),
    query(":MEASure[:VOLTage][:DC]", "ask_measure_v", "memory"),
    query(":MEASure:TEMPerature", "ask_measure_t", "memory"),
    command(":CONFigure[:VOLTage][:DC]", "configure_v", "memory"),
    command(":CONFigure:TEMPerature", "configure_t", "memory"),
    query(":CONFigure", "ask_configured", "memory", observation=True),
    setting("format", ":FORMat[:DATA]", Choice(("ASCii", "SREal", "DREal", "REAL")), "ASC",
            "driver"),
    setting("border", ":FORMat:BORDer", Choice(("NORMal", "SWAPped")), "SWAP", "memory"),
    setting("elements", ":FORMat:ELEMents", Words(ELEMENTS), ("READ",), "memory"),
    # buffer and its statistics
    *_store_rows(":TRACe", "driver"),
    *_store_rows(":DATA", "memory"),
    setting("statistic", ":CALCulate2:FORMat",
            Choice(("MEAN", "SDEViation", "MAXimum", "MINimum", "PKPK", "NONE")), "NONE", "driver"),
    setting("statistic_on", ":CALCulate2:STATe", Boolean(), False, "driver"),
    query(":CALCulate2:IMMediate", "ask_statistic", "driver"),
    command(":CALCulate2:IMMediate", "nothing", "memory"),
    query(":CALCulate2:DATA", "ask_statistic", "memory"),
    # trigger model, p. 7-13
    command(":INITiate[:IMMediate]", "initiate", "p. 7-13"),
    setting("continuous", ":INITiate:CONTinuous", Boolean(), False, "p. 7-13",
            then="set_continuous"),
    command(":ABORt", "abort", "p. 7-13"),
    setting("trigger_source", ":TRIGger:SOURce",
            Choice(("IMMediate", "TIMer", "MANual", "BUS", "EXTernal")), "IMM", "p. 7-13"),
    setting("trigger_count", ":TRIGger:COUNt", Whole(1, 9999, special=("INF",)), 1, "p. 7-13"),
    setting("trigger_delay_s", ":TRIGger:DELay", Number(0, 999999.999), 0.0, "p. 7-13",
            then="set_trigger_delay"),
    setting("trigger_delay_auto", ":TRIGger:DELay:AUTO", Boolean(), True, "p. 7-13"),
    setting("timer_s", ":TRIGger:TIMer", Number(0, 999999.999), 0.1, "memory"),
    command(":TRIGger:SIGNal", "signal", "p. 7-13"),
    setting("sample_count", ":SAMPle:COUNt", Whole(1, MOST_POINTS), 1, "p. 7-13"),
    # system
    setting("autozero", ":SYSTem:AZERo[:STATe]", Boolean(), True, "driver"),
    setting("front_autozero", ":SYSTem:FAZero[:STATe]", Boolean(), True, "memory"),
    setting("line_sync", ":SYSTem:LSYNc[:STATe]", Boolean(), False, "memory"),
    query(":SYSTem:LFRequency", "ask_line_hz", "driver", observation=True),
    command(":SYSTem:PRESet", "preset", "memory"),
    setting("beeper", ":SYSTem:BEEPer[:STATe]", Boolean(), True, "memory"),
    setting("display", ":DISPlay:ENABle", Boolean(), True, "driver"),
))  # fmt: skip
