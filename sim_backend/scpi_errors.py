"""Errors as instruments queue them: numbers, texts, and the event bit that each sets.

Negative numbers are SCPI's (SCPI-1999 volume 2, chapter 21.8), positive ones the maker's.  The
positive ones here are the Keithley 2400's (2400S-900-01 rev. K, pp. B-6 and B-7).
"""

from __future__ import annotations


class ScpiError(Exception):
    """An error for the instrument's queue: number and text as the instrument has them.

    Args:
        number: as in :data:`ERRORS`; a model may have another number or text for it.
        detail: appended to the text.
    """

    def __init__(self, number: int, detail: str = "") -> None:
        super().__init__(entry(number, ERRORS.get(number, "Device error") + detail))
        self.number = number
        self.detail = detail


def entry(number: int, text: str) -> str:
    """A line of the error queue: ``-113,"Undefined header"``."""
    return f'{number:+d},"{text}"' if number else f'0,"{text}"'


ERRORS = {
    0: "No error",
    -101: "Invalid character",
    -102: "Syntax error",
    -103: "Invalid separator",
    -104: "Data type error",
    -108: "Parameter not allowed",
    -109: "Missing parameter",
    -111: "Header separator error",
    -112: "Program mnemonic too long",
    -113: "Undefined header",
    -114: "Header suffix out of range",
    -120: "Numeric data error",
    -121: "Invalid character in number",
    -123: "Exponent too large",
    -124: "Too many digits",
    -128: "Numeric data not allowed",
    -131: "Invalid suffix",
    -134: "Suffix too long",
    -138: "Suffix not allowed",
    -140: "Character data error",
    -141: "Invalid character data",
    -144: "Character data too long",
    -148: "Character data not allowed",
    -150: "String data error",
    -151: "Invalid string data",
    -158: "String data not allowed",
    -160: "Block data error",
    -161: "Invalid block data",
    -168: "Block data not allowed",
    -178: "Expression data not allowed",
    -200: "Execution error",
    -211: "Trigger ignored",
    -213: "Init ignored",
    -220: "Parameter error",
    -221: "Settings conflict",
    -222: "Parameter data out of range",
    -223: "Too much data",
    -224: "Illegal parameter value",
    -225: "Out of memory",
    -230: "Data corrupt or stale",
    -241: "Hardware missing",
    -300: "Device-specific error",
    -350: "Queue overflow",
    -363: "Input buffer overrun",
    -410: "Query INTERRUPTED",
    -420: "Query UNTERMINATED",
    -430: "Query DEADLOCKED",
    800: "Illegal with storage active",
    802: "OUTPUT blocked by output enable",
    803: "Not permitted with OUTPUT off",
    810: "OUTPUT blocked by Over Temp",
    822: "Too small for sense range",
    823: "Invalid with source read-back on",
    824: "Cannot exceed compliance range",
    825: "Invalid with auto-ohms on",
    826: "Attempt to exceed power limit",
    830: "Invalid with INF ARM:COUNT",
}

# Bits of the standard event register, IEEE 488.2 section 11.5.1.
OPERATION_COMPLETE, QUERY_ERROR, DEVICE_ERROR, EXECUTION_ERROR, COMMAND_ERROR = 1, 4, 8, 16, 32
POWER_ON = 128
_OF_HUNDRED = {-1: COMMAND_ERROR, -2: EXECUTION_ERROR, -4: QUERY_ERROR, 8: EXECUTION_ERROR}


def event_bit(number: int) -> int:
    """The bit of the standard event register that an error sets (2400: table B-1)."""
    hundred = abs(number) // 100
    return _OF_HUNDRED.get(hundred if number > 0 else -hundred, DEVICE_ERROR)
