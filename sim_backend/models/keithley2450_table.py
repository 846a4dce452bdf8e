"""The language of a Keithley 2450 in its SCPI mode.

Page numbers are of the 2450 Reference Manual, 2450-901-01 rev. B; "driver" rows are what
pymeasure's or QCoDeS's driver sends (an instrument that does not know one would answer -113);
"memory" rows are not checked.
"""

from __future__ import annotations

from collections.abc import Iterator

from sim_backend.models.electrical import Quoted, common_rows
from sim_backend.models.keithley2450_buffer import FEWEST, MOST, Recall
from sim_backend.scpi import (
    Boolean,
    Choice,
    Number,
    Numbers,
    Row,
    Several,
    String,
    Table,
    Text,
    Whole,
    command,
    query,
    setting,
)  # fmt: skip

RANGES = {
    "VOLT": (0.02, 0.2, 2.0, 20.0, 200.0),
    "CURR": (1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0),
    "RES": (20.0, 200.0, 2e3, 2e4, 2e5, 2e6, 2e7, 2e8),
}
MOST_POINTS = 1_000_000  # of a sweep, p. 6-81
MOST_LIST = 2500  # memory
OFF_STATES = Choice(("NORMal", "HIMPedance", "ZERO", "GUARd"))
PROTECTIONS = ("PROT2", "PROT5", "PROT10", "PROT20", "PROT40", "PROT60", "PROT80", "PROT100",
               "PROT120", "PROT140", "PROT160", "PROT180", "NONE")  # fmt: skip

_BUFFER = String(31)
_OPTIONAL_BUFFER = Recall()
_DELAY = Number(0, 1e4)
_FUNCTIONS = Quoted(("CURRent[:DC]", "VOLTage[:DC]", "RESistance"), bare=True)
_SOURCE = ":SOURce[1]"


def _sweep(most: float, spacing: tuple[Number, ...]) -> Several:
    """start, stop, points or step; then delay, count, range type, fail abort, dual, buffer."""
    ends = Number(-most, most)
    more = (Number(-1, 1e4), Whole(0, 268435455), Choice(("AUTO", "BEST", "FIXed")), Boolean(),
            Boolean(), _BUFFER)  # fmt: skip
    return Several((ends, ends, *spacing, *more), optional=len(more))


def _source_rows(key: str, node: str, most: float, limit: tuple[str, str, float, float, float],
                 off_page: str) -> Iterator[Row]:  # fmt: skip
    """One source function: level, range, limit, delays, sweeps."""
    head = _SOURCE + node
    limit_node, limit_key, low, high, reset = limit
    yield setting(f"{key}_level", f"{head}[:LEVel][:IMMediate][:AMPLitude]", Number(-most, most),
                  0.0, "driver", then=f"set_{key}_level")  # fmt: skip
    yield setting(f"{key}_range", f"{head}:RANGe", Number(-most, most), RANGES[key.upper()][0],
                  "p. 6-74", then=f"set_{key}_range")  # fmt: skip
    yield setting(f"{key}_range_auto", f"{head}:RANGe:AUTO", Boolean(), True, "driver")
    yield setting(limit_key, f"{head}:{limit_node}[:LEVel]", Number(low, high), reset, "p. 6-71",
                  then="set_limit")  # fmt: skip
    yield query(f"{head}:{limit_node}[:LEVel]:TRIPped", f"ask_{key}_tripped", "p. 6-72",
                observation=True)  # fmt: skip
    yield setting(f"{key}_delay_s", f"{head}:DELay", _DELAY, 0.0, "driver", then=f"set_{key}_delay")
    yield setting(f"{key}_delay_auto", f"{head}:DELay:AUTO", Boolean(), True, "driver")
    for n in range(1, 6):
        yield setting(f"{key}_user_{n}_s", f"{head}:DELay:USER{n}", _DELAY, 0.0, "driver")
    yield setting(f"{key}_read_back", f"{head}:READ:BACK", Boolean(), True, "p. 6-77")
    yield setting(f"{key}_high_c", f"{head}:HIGH:CAPacitance", Boolean(), False, "memory")
    yield setting(f"{key}_off", f":OUTPut[1]{node}:SMODe", OFF_STATES, "NORM", off_page)
    sweep, points, step = f"{_SOURCE}:SWEep{node}", Whole(2, MOST_POINTS), Number(0, most)
    yield command(f"{sweep}:LINear", f"sweep_{key}_linear", "p. 6-81",
                  argument=_sweep(most, (points,)))  # fmt: skip
    yield command(f"{sweep}:LINear:STEP", f"sweep_{key}_step", "p. 6-83",
                  argument=_sweep(most, (step,)))  # fmt: skip
    yield command(f"{sweep}:LOG", f"sweep_{key}_log", "memory", argument=_sweep(most, (points,)))
    yield command(f"{sweep}:LIST", f"sweep_{key}_list", "memory",
                  argument=Several((Whole(1, MOST_LIST), Number(-1, 1e4), Whole(0, 268435455),
                                    Boolean(), _BUFFER), optional=4))  # fmt: skip
    values = Numbers(-most, most, 100)
    yield setting(f"{key}_list", f"{_SOURCE}:LIST{node}", values, [0.0], "memory")
    yield command(f"{_SOURCE}:LIST{node}:APPend", f"append_{key}", "memory", argument=values)
    yield query(f"{_SOURCE}:LIST{node}:POINts", f"ask_{key}_points", "memory", observation=True)


def _sense_rows(key: str, node: str, low: float, high: float) -> Iterator[Row]:
    """One measure function."""
    head = "[:SENSe[1]]" + node
    name = f"sense_{key}"
    yield setting(f"{name}_range", f"{head}:RANGe[:UPPer]", Number(low, high),
                  RANGES[key.upper()][4], "driver", then=f"set_{name}_range")  # fmt: skip
    yield setting(f"{name}_auto", f"{head}:RANGe:AUTO", Boolean(), True, "driver")
    yield setting(f"{name}_nplc", f"{head}:NPLCycles", Number(0.01, 10), 1.0, "driver")
    yield setting(f"{name}_average", f"{head}:AVERage[:STATe]", Boolean(), False, "driver")
    yield setting(f"{name}_count", f"{head}:AVERage:COUNt", Whole(1, 100), 10, "driver",
                  then="refill")  # fmt: skip
    yield setting(f"{name}_control", f"{head}:AVERage:TCONtrol", Choice(("REPeat", "MOVing")),
                  "REP", "driver", then="refill")  # fmt: skip
    yield setting(f"{name}_4w", f"{head}:RSENse", Boolean(), False, "driver", then="set_sensing")
    yield setting(f"{name}_azero", f"{head}:AZERo[:STATe]", Boolean(), True, "driver")
    for n in range(1, 6):
        yield setting(f"{name}_user_{n}_s", f"{head}:DELay:USER{n}", _DELAY, 0.0, "driver")


def _statistics() -> Iterator[Row]:
    for word, do in (("AVERage", "mean"), ("MAXimum", "max"), ("MINimum", "min"),
                     ("STDDev", "deviation"), ("PK2Pk", "span")):  # fmt: skip
        yield query(f":TRACe:STATistics:{word}", f"ask_{do}", "driver", argument=_OPTIONAL_BUFFER)


TABLE = Table((
    *common_rows(without=(":SYSTem:ERRor:ALL",)),
    setting("language", "*LANG", Choice(("SCPI", "TSP", "SCPI2400")), "SCPI", "driver"),
    # source
    setting("function", f"{_SOURCE}:FUNCtion[:MODE]", Choice(("VOLTage", "CURRent")), "VOLT",
            "p. 6-72", then="set_function"),
    *_source_rows("volt", ":VOLTage", 210.0, ("ILIMit", "i_limit", 1e-9, 1.05, 1.05e-4), "p. 6-32"),
    *_source_rows("curr", ":CURRent", 1.05, ("VLIMit", "v_limit", 0.02, 210.0, 21.0), "p. 6-32"),
    setting("protection", f"{_SOURCE}:VOLTage:PROTection[:LEVel]", Choice(PROTECTIONS), "NONE",
            "p. 6-73", then="set_limit"),
    query(f"{_SOURCE}:VOLTage:PROTection[:LEVel]:TRIPped", "ask_protected", "p. 6-74",
          observation=True),
    setting("output", ":OUTPut[1][:STATe]", Boolean(), False, "p. 6-34", then="set_output"),
    command(":OUTPut[1]:SMODe", "set_off_state", "p. 2-84", argument=OFF_STATES),
    query(":OUTPut[1]:SMODe", "ask_off_state", "memory", observation=True),
    setting("terminals", ":ROUTe:TERMinals", Choice(("FRONt", "REAR")), "FRON", "driver",
            then="set_terminals"),
    # measure
    setting("sense", "[:SENSe[1]]:FUNCtion[:ON]", _FUNCTIONS, "CURR:DC", "driver", then="refill"),
    *_sense_rows("curr", ":CURRent[:DC]", 1e-8, 1.05),
    *_sense_rows("volt", ":VOLTage[:DC]", 0.02, 210.0),
    *_sense_rows("res", ":RESistance", 1.0, 2e8),
    setting("ohms_offset", "[:SENSe[1]]:RESistance:OCOMpensated", Boolean(), False, "memory"),
    setting("count", "[:SENSe[1]]:COUNt", Whole(1, 300000), 1, "driver"),
    command("[:SENSe[1]]:AZERo:ONCE", "nothing", "driver"),
    # readings and buffers
    query(":READ", "ask_read", "p. 6-6", argument=_OPTIONAL_BUFFER),
    query(":FETCh", "ask_fetch", "driver", argument=_OPTIONAL_BUFFER),
    query(":MEASure", "ask_read", "driver", argument=_OPTIONAL_BUFFER),
    query(":MEASure:CURRent[:DC]", "ask_measure_curr", "memory", argument=_OPTIONAL_BUFFER),
    query(":MEASure:VOLTage[:DC]", "ask_measure_volt", "memory", argument=_OPTIONAL_BUFFER),
    query(":MEASure:RESistance", "ask_measure_res", "memory", argument=_OPTIONAL_BUFFER),
    command(":TRACe:TRIGger", "trigger_buffer", "driver", argument=_BUFFER),
    command(":TRACe:CLEar", "clear_buffer", "driver", argument=_BUFFER),
    command(":TRACe:MAKE", "make_buffer", "p. 6-114",
            argument=Several((_BUFFER, Whole(FEWEST, MOST), Text()), optional=1, empty=True)),
    command(":TRACe:DELete", "delete_buffer", "p. 6-111", argument=_BUFFER),
    command(":TRACe:POINts", "resize_buffer", "p. 6-115",
            argument=Several((Whole(FEWEST, MOST), _BUFFER), optional=1)),
    query(":TRACe:POINts", "ask_size", "p. 6-115", observation=True, argument=_OPTIONAL_BUFFER),
    query(":TRACe:ACTual", "ask_count", "p. 6-107", observation=True, argument=_OPTIONAL_BUFFER),
    query(":TRACe:ACTual:END", "ask_count", "memory", observation=True, argument=_OPTIONAL_BUFFER),
    query(":TRACe:DATA", "ask_data", "p. 6-109", argument=Recall(indexed=True)),
    command(":TRACe:FILL:MODE", "fill_buffer", "p. 6-112",
            argument=Several((Choice(("CONTinuous", "ONCE")), _BUFFER), optional=1)),
    query(":TRACe:FILL:MODE", "ask_fill", "p. 6-112", observation=True, argument=_OPTIONAL_BUFFER),
    *_statistics(),
    setting("feed", ":TRACe:FEED", Choice(("SENSe",)), "SENS", "driver"),
    setting("feed_control", ":TRACe:FEED:CONTrol", Choice(("NEXT", "NEVer")), "NEV", "driver"),
    setting("format", ":FORMat[:DATA]", Choice(("ASCii", "REAL", "SREal")), "ASC", "driver"),
    setting("digits", ":FORMat:ASCii:PRECision", Whole(0, 16), 0, "memory"),
    setting("border", ":FORMat:BORDer", Choice(("NORMal", "SWAPped")), "SWAP", "memory"),
    # trigger model
    command(":INITiate[:IMMediate]", "initiate", "driver"),
    command(":ABORt", "abort", "driver", while_busy=True),
    command(":TRIGger:LOAD", "load_trigger_model", "memory",
            argument=Several((String(), Whole(1, 268435455), _DELAY, _BUFFER), optional=3)),
    query(":TRIGger:STATe", "ask_trigger_state", "memory", observation=True),
    # system
    query(":SYSTem:EVENtlog:NEXT", "ask_event", "p. 6-101", observation=True, argument=Text()),
    query(":SYSTem:EVENtlog:COUNt", "ask_event_count", "memory", observation=True,
          argument=Text()),
    command(":SYSTem:EVENtlog:POST", "post_event", "memory",
            argument=Several((String(), Choice(("ERRor", "WARNing", "INFormational"))), 1)),
    command(":STATus:CLEar", "clear_events", "driver"),
    query(":SYSTem:LFRequency", "ask_line_hz", "driver", observation=True),
    command(":SYSTem:BEEPer[:IMMediate]", "beep", "driver",
            argument=Several((Number(20, 8000), Number(1e-3, 100)))),
))  # fmt: skip
