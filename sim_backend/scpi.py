"""The command language: rows of a table, and how a message finds its row.

A model is a table of :class:`Row`: header with its optional and short forms, argument, reset value,
and the source of the row (manual page, driver, or memory).  Headers are written as manuals write
them: ``[:SOURce[1]]:VOLTage[:LEVel][:IMMediate][:AMPLitude]`` - capitals are the short form,
brackets enclose what may be left out.  Source: SCPI-1999 volume 1, chapters 5 and 6.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal


class ScpiError(Exception):
    """An error for the instrument's queue: number and text as the instrument has them."""

    def __init__(self, number: int, detail: str = "") -> None:
        super().__init__(f'{number:+d},"{ERRORS.get(number, "Device error")}{detail}"')
        self.number = number


ERRORS = {
    0: "No error",
    -101: "Invalid character",
    -102: "Syntax error",
    -104: "Data type error",
    -108: "Parameter not allowed",
    -109: "Missing parameter",
    -113: "Undefined header",
    -140: "Character data error",
    -213: "Init ignored",
    -221: "Settings conflict",
    -222: "Parameter data out of range",
    -223: "Too much data",
    -224: "Illegal parameter value",
    -350: "Queue overflow",
    -410: "Query interrupted",
    -420: "Query unterminated",
    802: "OUTPUT blocked by interlock",
    803: "Not permitted with OUTPUT off",
}


#: decimal numeric program data, IEEE 488.2 section 7.7.2
_NUMERIC = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")


# -- arguments: each turns the text of a parameter into a value, or raises --------------------


@dataclass(frozen=True)
class Number:
    """A number from ``low`` to ``high`` in the header's SI unit; MIN, MAX, DEF are understood."""

    low: float
    high: float
    default: float = 0.0

    def named(self, text: str) -> float:
        """The value that a word stands for."""
        for word, value in (
            ("MINimum", self.low), ("MAXimum", self.high), ("DEFault", self.default)
        ):  # fmt: skip
            if text.upper() in (word.upper(), _short(word)):
                return value
        raise ScpiError(-104)

    def parse(self, text: str) -> float:
        if not _NUMERIC.fullmatch(text):
            return self.named(text)
        value = float(text)
        if not self.low <= value <= self.high:
            raise ScpiError(-222)
        return value

    def show(self, value: Any) -> str:
        return f"{value:+.6E}"


@dataclass(frozen=True)
class Whole(Number):
    """A whole number."""

    def parse(self, text: str) -> float:
        return int(super().parse(text))

    def show(self, value: Any) -> str:
        return str(int(value))


@dataclass(frozen=True)
class Boolean:
    """ON, OFF, 1, 0, and the words in ``extra`` (such as ONCE) that leave the state as it is."""

    extra: tuple[str, ...] = ()

    def parse(self, text: str) -> bool | str:
        word = text.upper()
        if word in self.extra:
            return word
        if word in ("ON", "1"):
            return True
        if word in ("OFF", "0"):
            return False
        raise ScpiError(-140)

    def show(self, value: Any) -> str:
        return "1" if value else "0"


@dataclass(frozen=True)
class Choice:
    """One of several words, each in its long or short form; the value is the short form."""

    words: tuple[str, ...]

    def parse(self, text: str) -> str:
        word = text.strip("'\"").upper()
        for known in self.words:
            if word in (known.upper(), _short(known)):
                return _short(known)
        raise ScpiError(-224)

    def show(self, value: Any) -> str:
        return str(value)


@dataclass(frozen=True)
class Words:
    """Several words of a set, comma-separated."""

    words: tuple[str, ...]

    def parse(self, text: str) -> tuple[str, ...]:
        one = Choice(self.words)
        return tuple(one.parse(part.strip()) for part in text.split(","))

    def show(self, value: Any) -> str:
        return ",".join(value)


@dataclass(frozen=True)
class Numbers:
    """A list of numbers, at most ``most`` in one message."""

    low: float
    high: float
    most: int

    def parse(self, text: str) -> list[float]:
        parts = [part.strip() for part in text.split(",")]
        if not all(_NUMERIC.fullmatch(part) for part in parts):
            raise ScpiError(-104)
        values = [float(part) for part in parts]
        if len(values) > self.most:
            raise ScpiError(-223)
        if not all(self.low <= value <= self.high for value in values):
            raise ScpiError(-222)
        return values

    def show(self, value: Any) -> str:
        return ",".join(f"{x:+.6E}" for x in value)


@dataclass(frozen=True)
class Channels:
    """A channel list, ``(@1!2, 1!12)``, or ALL (None); the value is a list of ``slot!channel``."""

    allow_all: bool = False

    def parse(self, text: str) -> list[str] | None:
        if self.allow_all and text.upper() == "ALL":
            return None
        one = r"\s*[0-9]{1,4}!\s*[0-9]{1,4}\s*"
        if re.fullmatch(rf"\(@(?:{one}(?:,{one})*|\s*)\)", text) is None:
            raise ScpiError(-102)
        return [f"{int(a)}!{int(b)}" for a, b in re.findall(r"([0-9]+)!\s*([0-9]+)", text)]

    def show(self, value: Any) -> str:
        return f"(@{','.join(value)})"


@dataclass(frozen=True)
class Text:
    """Whatever stands there."""

    def parse(self, text: str) -> str:
        return text

    def show(self, value: Any) -> str:
        return str(value)


Argument = Number | Boolean | Choice | Words | Numbers | Channels | Text


# -- rows ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """One header.

    A *setting* keeps a value under ``name`` and answers its query form; a *command* does
    something; a *query* only answers.  ``do`` names the method of the model's class that acts (for
    a setting: after the value is kept).  ``observation``: asking costs no bench time and disturbs
    nothing.  ``while_busy``: what the model still obeys inside its trigger model.
    """

    header: str
    kind: Literal["setting", "command", "query"]
    source: str
    name: str = ""
    argument: Argument | None = None
    reset: Any = None
    do: str = ""
    observation: bool = False
    while_busy: bool = False


def setting(
    name: str, header: str, argument: Argument, reset: Any, source: str, *, then: str = ""
) -> Row:
    """A value that is kept; its query is an observation."""
    return Row(header, "setting", source, name, argument, reset, then, observation=True)


def command(
    header: str, do: str, source: str, *, argument: Argument | None = None, while_busy: bool = False
) -> Row:
    """Something done."""
    return Row(header, "command", source, argument=argument, do=do, while_busy=while_busy)


def query(header: str, do: str, source: str, *, observation: bool = False) -> Row:
    """Something asked; ``header`` without the question mark."""
    return Row(header, "query", source, do=do, observation=observation)


def _short(word: str) -> str:
    return "".join(c for c in word if c.isupper() or not c.isalpha())


def _pattern(header: str) -> str:
    """The regular expression of a header, without the leading colon, in capitals."""
    out = []
    for token in re.findall(r"\[\d\]|\[|\]|:|\*|[A-Za-z]+|\d+", header):
        if re.fullmatch(r"\[\d\]", token):
            out.append(token[1] + "?")
        elif token == "[":
            out.append("(?:")
        elif token == "]":
            out.append(")?")
        elif token == "*":
            out.append(r"\*")
        elif token.isalpha():
            short = _short(token)
            rest = token.upper()[len(short) :]
            out.append(f"{short}(?:{rest})?" if rest else short)
        else:
            out.append(token)
    return "".join(out)


class Table:
    """All rows of a model, found by header."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = tuple(rows)
        self._patterns = [(re.compile(_pattern(row.header)), row) for row in rows]
        self._found: dict[tuple[str, bool], Row] = {}

    def find(self, header: str, is_query: bool) -> Row:
        """The row of a full header in capitals (``:SOUR:VOLT`` or ``*RST``).

        Raises:
            ScpiError: -113, no such header or not in this form.
        """
        key = (header, is_query)
        row = self._found.get(key)
        if row is None:
            for pattern, candidate in self._patterns:
                fits = candidate.kind != ("command" if is_query else "query")
                if fits and pattern.fullmatch(header):
                    row = self._found[key] = candidate
                    break
            else:
                raise ScpiError(-113)
        return row


@dataclass(frozen=True)
class Unit:
    """One program message unit: its row, whether it asks, its parameter text."""

    row: Row
    is_query: bool
    text: str


def split_units(message: str) -> list[str]:
    """The units of a message: cut at semicolons outside quotes."""
    if "'" not in message and '"' not in message:
        return message.split(";")
    return [part for part in re.findall(r"""(?:'[^']*'|"[^"]*"|[^;'"])+""", message)]


def parse(table: Table, message: str, each: Callable[[Unit], None]) -> None:
    """Give ``each`` the units of a message in order; the path rule of SCPI holds between them.

    Raises:
        ScpiError: at the first unit that is wrong; later units are dropped.
    """
    path = ""
    for raw in split_units(message):
        text = raw.strip()
        if not text:
            continue
        header, *rest = text.split(None, 1)
        header, parameter = header.upper(), rest[0] if rest else ""
        is_query = header.endswith("?")
        if is_query:
            header = header[:-1]
        if not header.startswith("*"):
            if not header.startswith(":"):
                header = f"{path}:{header}"
            path = header.rpartition(":")[0]
        each(Unit(table.find(header, is_query), is_query, parameter))
