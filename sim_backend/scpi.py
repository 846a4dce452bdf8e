"""The command language: rows of a table, and how a message finds its row.

A model is a table of :class:`Row`: header with its optional and short forms, argument, reset value,
and the source of the row (manual page, driver, or memory).  Headers are written as manuals write
them: ``[:SOURce[1]]:VOLTage[:LEVel][:IMMediate][:AMPLitude]`` - capitals are the short form,
brackets enclose what may be left out.  Source: SCPI-1999 volume 1, chapters 5 and 6; IEEE 488.2
chapter 7.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from sim_backend.scpi_arguments import (
    Argument,
    Block,
    Boolean,
    Channels,
    Choice,
    Several,
    String,
    Text,
    Words,
    short,
)  # fmt: skip
from sim_backend.scpi_data import WHITE, cut
from sim_backend.scpi_errors import ERRORS, ScpiError
from sim_backend.scpi_numbers import Number, Numbers, Whole

__all__ = [
    "ERRORS", "Argument", "Block", "Boolean", "Channels", "Choice", "Number", "Numbers", "Row",
    "ScpiError", "Several", "String", "Table", "Text", "Unit", "Whole", "Words", "command", "parse",
    "query", "setting", "short", "split_units",
]  # fmt: skip

# -- rows ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """One header.

    A *setting* keeps a value under ``name`` and answers its query form; a *command* does
    something; a *query* only answers.

    Attributes:
        header: as the manual writes it, without a question mark.
        source: manual page, standard and section, "driver", or "memory": not checked.
        name: the setting's key in the instrument's state.
        argument: what is given; None: nothing.  Of a query: it may be left out (None is passed).
        reset: the value at power-on and after ``*RST``.
        do: the method of the model's class that acts (for a setting: after the value is kept; it
            may raise, and then the value is as before).
        observation: asking costs no bench time and disturbs nothing.
        while_busy: what the model still obeys inside its trigger model.
        awaits_pending: waits until no operation is pending.
        limits: the model's method that gives the lowest and highest number allowed now.
        out_of_range: the error's number for a value outside.
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
    awaits_pending: bool = False
    limits: str = ""
    out_of_range: int = -222

    def __post_init__(self) -> None:
        argument = self.argument
        if self.kind == "setting" and isinstance(argument, Number) and argument.default is None:
            object.__setattr__(self, "argument", replace(argument, default=self.reset))


def setting(
    name: str,
    header: str,
    argument: Argument,
    reset: Any,
    source: str,
    *,
    then: str = "",
    observation: bool = True,
    while_busy: bool = False,
    limits: str = "",
    out_of_range: int = -222,
) -> Row:
    """A value that is kept; its query is an observation."""
    return Row(
        header, "setting", source, name, argument, reset, then, observation, while_busy,
        limits=limits, out_of_range=out_of_range,
    )  # fmt: skip


def command(
    header: str,
    do: str,
    source: str,
    *,
    argument: Argument | None = None,
    while_busy: bool = False,
    awaits_pending: bool = False,
    out_of_range: int = -222,
) -> Row:
    """Something done."""
    return Row(
        header, "command", source, argument=argument, do=do, while_busy=while_busy,
        awaits_pending=awaits_pending, out_of_range=out_of_range,
    )  # fmt: skip


def query(
    header: str,
    do: str,
    source: str,
    *,
    observation: bool = False,
    argument: Argument | None = None,
    while_busy: bool = False,
    awaits_pending: bool = False,
) -> Row:
    """Something asked; ``header`` without the question mark."""
    return Row(
        header, "query", source, argument=argument, do=do, observation=observation,
        while_busy=while_busy, awaits_pending=awaits_pending,
    )  # fmt: skip


# -- headers --------------------------------------------------------------------------------------

_short = short


def _pattern(header: str, *, any_number: bool = False) -> str:
    """The regular expression of a header, without the leading colon, in capitals.

    Args:
        header: as in a row.
        any_number: where the header has a number, any other fits too.
    """
    out = []
    for token in re.findall(r"\[\d\]|\[|\]|:|\*|[A-Za-z]+|\d+", header):
        if re.fullmatch(r"\[\d\]", token):
            out.append("[0-9]*" if any_number else token[1] + "?")
        elif token == "[":
            out.append("(?:")
        elif token == "]":
            out.append(")?")
        elif token == "*":
            out.append(r"\*")
        elif token.isalpha():
            head = short(token)
            rest = token.upper()[len(head) :]
            out.append(f"{head}(?:{rest})?" if rest else head)
        elif token.isdigit() and any_number:
            out.append("[0-9]+")
        else:
            out.append(token)
    return "".join(out)


@dataclass(frozen=True)
class Unit:
    """One program message unit: its row, whether it asks, its parameter text, its length."""

    row: Row
    is_query: bool
    text: str
    size: int = 0


_KEPT = 512  # messages that a table remembers, with their units


class Table:
    """All rows of a model, found by header."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = tuple(rows)
        self._patterns = [(re.compile(_pattern(row.header)), row) for row in rows]
        self._numbered = [
            (re.compile(_pattern(row.header, any_number=True)), row)
            for row in rows
            if re.search(r"\d", row.header)
        ]
        self._found: dict[tuple[str, bool], Row] = {}
        self._parsed: dict[str, tuple[tuple[Unit, ...], int]] = {}

    def find(self, header: str, is_query: bool) -> Row:
        """The row of a full header in capitals (``:SOUR:VOLT`` or ``*RST``).

        Raises:
            ScpiError: -113, no such header or not in this form; -114, not with this number.
        """
        key = (header, is_query)
        row = self._found.get(key)
        if row is None:
            for pattern, candidate in self._patterns:
                if _has_form(candidate, is_query) and pattern.fullmatch(header):
                    row = self._found[key] = candidate
                    break
            else:
                near = (p.fullmatch(header) for p, r in self._numbered if _has_form(r, is_query))
                raise ScpiError(-114 if any(near) else -113)
        return row

    def parse(self, message: str) -> tuple[list[Unit], ScpiError | None]:
        """The units of a message up to the first that is wrong, and what is wrong with it."""
        known = self._parsed.get(message)
        if known is None:
            units: list[Unit] = []
            number = 0
            try:
                self._read(message, units)
            except ScpiError as error:
                number = error.number
            known = tuple(units), number
            if len(message) <= 80:  # questions and switches come again, data do not
                if len(self._parsed) >= _KEPT:
                    self._parsed.clear()
                self._parsed[message] = known
        return list(known[0]), ScpiError(known[1]) if known[1] else None

    def _read(self, message: str, units: list[Unit]) -> None:
        """Add the units to a list; the path rule of SCPI holds between them."""
        path = ""
        pieces, unended = cut(message, ";")
        for at, raw in enumerate(pieces, 1):
            text = raw.lstrip(WHITE)
            if not text:
                continue
            header, data = _split(text)
            is_query = header.endswith("?")
            header = header.removesuffix("?")
            if header.startswith(("*", ":*")):  # leaves the path alone
                header = header.removeprefix(":")
            else:
                header = header if header.startswith(":") else f"{path}:{header}"
                path = header.rpartition(":")[0]
            row = self.find(header, is_query)
            if unended is not None and at == len(pieces):
                raise unended
            units.append(Unit(row, is_query, data, len(raw) + 1))


_HEADER = re.compile(r"[^\x00-\x20]+")
#: words of at most twelve characters, IEEE 488.2 section 7.6.1.4
_LEGAL = re.compile(r"(?:[:*]|[A-Za-z0-9_]{1,12}(?![A-Za-z0-9_]))*\??")


def _has_form(row: Row, is_query: bool) -> bool:
    return row.kind != ("command" if is_query else "query")


def _split(text: str) -> tuple[str, str]:
    """Header in capitals and parameter of a unit.

    Raises:
        ScpiError: -101, -111 or -112, this is no header.
    """
    found = _HEADER.match(text)
    assert found is not None  # white space has been taken off
    header, data = found[0], text[found.end() :].lstrip(WHITE)
    if not _LEGAL.fullmatch(header):
        wrong = re.search(r"[^A-Za-z0-9_:*]", header.removesuffix("?"))
        if wrong is not None:
            raise ScpiError(-111 if wrong[0] in "?,'\"#(" else -101)
        raise ScpiError(-112)
    return header.upper(), data if "#" in data else data.rstrip(WHITE)


def split_units(message: str) -> list[str]:
    """The units of a message: cut at semicolons outside strings and blocks."""
    return cut(message, ";")[0]


def parse(table: Table, message: str, each: Callable[[Unit], None]) -> None:
    """Give ``each`` the units of a message in order.

    Raises:
        ScpiError: at the first unit that is wrong; later units are dropped.
    """
    units, error = table.parse(message)
    for unit in units:
        each(unit)
    if error is not None:
        raise error
