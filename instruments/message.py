"""Messages as the limits read them: cut into units, every header in its short form.

This reading is our own and strict; it knows nothing of how an instrument (or its simulation) reads.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

#: questions whose answer is gone once it is read
TAKES = frozenset({"*ESR", ":SYST:ERR"})


@dataclass(frozen=True, slots=True)
class Unit:
    """One command or query: ``:SOUR:VOLT`` with its parameter text.

    ``whole``: every quoted text ends in it (a semicolon inside one cuts it in two).
    """

    header: str
    is_query: bool
    text: str
    whole: bool = True


def _short(node: str) -> str:
    """SCPI's short form: four letters, or three if the fourth is a vowel (SCPI-1999, 6.2.1)."""
    word = node.rstrip("0123456789")
    if len(word) <= 4:
        return word + node[len(word) :]
    return (word[:3] if word[3] in "AEIOU" else word[:4]) + node[len(word) :]


@lru_cache(maxsize=1000)
def short_header(header: str) -> str:
    """``SOURCE1:VOLTAGE`` becomes ``:SOUR:VOLT``: short forms, leading colon, no suffix 1."""
    upper = header.upper()
    if upper.startswith("*"):
        return upper
    nodes = upper.removeprefix(":").split(":")
    return ":" + ":".join(_short(node).removesuffix("1") for node in nodes)


@lru_cache(maxsize=1000)
def units(message: str) -> tuple[Unit, ...]:
    """The units of a message, with SCPI's path rule: a header without a leading colon goes on
    where the one before it left off."""
    found: list[Unit] = []
    path = ""
    for part in message.split(";"):
        text = part.strip()
        if not text:
            continue
        header, _, parameter = text.partition(" ")
        is_query = header.endswith("?")
        header = header.rstrip("?")
        if not header.startswith(("*", ":")) and path:
            header = f"{path}:{header}"
        if not header.startswith("*"):
            path = header.rpartition(":")[0]
        whole = not (parameter.count("'") % 2 or parameter.count('"') % 2)
        found.append(Unit(short_header(header), is_query, parameter.strip(), whole))
    return tuple(found)


_DECIMAL = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
_NUMBER = re.compile(_DECIMAL)
_OF_NUMBERS = "0123456789+-.eE, "  # of these float() reads decimal numbers and nothing else


def is_no_error(answer: str) -> bool:
    """Whether an answer to ``:SYST:ERR?`` says that the queue is empty."""
    return number(answer.partition(",")[0]) == 0


def number(text: str) -> float | None:
    """The number in a parameter or reply, None if there is none.

    Decimal numbers only: no NaN, no infinity, and nothing that Python reads and an instrument does
    not (``1_0``).
    """
    text = text.strip()
    return float(text) if _NUMBER.fullmatch(text) else None


def numbers(text: str) -> NDArray[np.float64] | None:
    """The numbers of a comma-separated list, None if one of them is none."""
    if text.strip(_OF_NUMBERS):
        return None
    try:
        return np.array([float(part) for part in text.split(",")])
    except ValueError:
        return None
