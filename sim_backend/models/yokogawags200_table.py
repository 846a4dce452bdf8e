"""The language of a Yokogawa GS200: its table, and how it shows numbers.

Page numbers are of IM GS210-01EN; "driver" rows are what pymeasure's or QCoDeS's driver sends;
"memory" rows are not checked.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from sim_backend.models.electrical import common_rows
from sim_backend.models.yokogawags200_program import PROGRAM_ROWS
from sim_backend.scpi import Boolean, Choice, Number, Table, Text, Whole, command, query, setting

LIMITS = {"VOLT": 32.0, "CURR": 0.2}  # memory


def engineering(value: float) -> str:
    """``+30E+0`` for 30, ``+200E-3`` for 0.2 (p. 13-12)."""
    power = 0 if value == 0 else 3 * math.floor(math.log10(abs(value)) / 3 + 1e-12)
    return f"{value / 10.0**power:+.6g}E{power:+d}"


@dataclass(frozen=True)
class Engineering(Number):
    """A number that replies in engineering notation."""

    def show(self, value: Any) -> str:
        return engineering(value)


@dataclass(frozen=True)
class Quantity(Number):
    """A level or a range: a number, or the word MIN, MAX, UP or DOWN as it stands."""

    def parse(self, text: str) -> Any:
        word = text.strip().upper()
        for long in ("MINIMUM", "MAXIMUM"):
            if word in (long, long[:3]):
                return long[:3]
        return word if word in ("UP", "DOWN") else super().parse(text)


_ANY = Quantity(-LIMITS["VOLT"], LIMITS["VOLT"])

TABLE = Table((
    *common_rows(without=("*OPT", ":STATus", ":SYSTem:ERRor", ":SYSTem:CLEar")),
    query("*OPT", "ask_installed", "driver", observation=True),
    query(":SYSTem:ERRor[:NEXT]", "ask_error", "driver", observation=True),
    query(":SYSTem:LFRequency", "ask_line_hz", "driver", observation=True),
    setting("local_lockout", ":SYSTem:KLOCk", Boolean(), False, "memory"),
    setting("beeper", ":SYSTem:BEEPer", Boolean(), True, "memory"),
    # source
    setting("output", ":OUTPut[:STATe]", Boolean(), False, "p. 13-1", then="set_output"),
    command(":SOURce:FUNCtion", "set_function", "p. 13-1", argument=Choice(("VOLTage", "CURRent"))),
    query(":SOURce:FUNCtion", "ask_function", "driver", observation=True),
    command(":SOURce:RANGe", "set_range", "p. 13-1", argument=_ANY),
    query(":SOURce:RANGe", "ask_range", "driver", observation=True, argument=_ANY),
    command(":SOURce:LEVel[:FIXed]", "set_level", "driver", argument=_ANY),
    query(":SOURce:LEVel[:FIXed]", "ask_level", "driver", observation=True, argument=_ANY),
    command(":SOURce:LEVel:AUTO", "set_level_auto", "p. 13-12", argument=_ANY),
    query(":SOURce:LEVel:AUTO", "ask_level_auto", "p. 13-12", observation=True, argument=_ANY),
    setting("v_limit", ":SOURce:PROTection:VOLTage", Engineering(1, 30, unit="V"), 30.0,
            "p. 13-12", then="set_v_limit"),
    setting("i_limit", ":SOURce:PROTection:CURRent", Engineering(1e-3, 0.2, unit="A"), 0.2,
            "p. 13-12", then="set_i_limit"),
    # terminals
    setting("remote_sense", ":SENSe:REMote", Boolean(), False, "driver", then="set_remote_sense"),
    setting("guard", ":SENSe:GUARd", Boolean(), False, "driver"),
    setting("bnc_out", ":ROUTe:BNCO", Choice(("TRIGger", "OUTPut", "READy")), "TRIG", "driver"),
    setting("bnc_in", ":ROUTe:BNCI", Choice(("TRIGger", "OUTPut")), "TRIG", "driver"),
    # status
    query(":STATus:CONDition", "ask_condition", "p. 13-30", observation=True),
    query(":STATus[:EVENt]", "ask_event", "p. 13-30"),
    setting("questionable_enable", ":STATus:ENABle", Whole(0, 65535), 0, "memory"),
    query(":STATus:ERRor", "ask_error", "memory", observation=True),
    *PROGRAM_ROWS,
    # the monitor option
    command(":SENSe[:STATe]", "no_monitor", "driver", argument=Boolean()),
    query(":SENSe[:STATe]", "ask_monitor", "driver"),
    *(command(f":SENSe:{word}", "no_monitor", "driver", argument=Text())
      for word in ("NPLC", "DELay", "TRIGger", "INTerval")),
    *(query(f":SENSe:{word}", "ask_monitor", "driver")
      for word in ("NPLC", "DELay", "TRIGger", "INTerval")),
    query(":MEASure", "ask_monitor", "driver"),
    query(":FETCh", "ask_monitor", "memory"),
    query(":READ", "ask_monitor", "memory"),
))  # fmt: skip
