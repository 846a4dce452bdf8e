"""A model's command table against an instrument that speaks for itself, without changing it.

Only questions are asked: the query forms of settings, and queries that are observations.  Nothing
is set, reset or cleared (commands: :mod:`sim_backend.selftest_acts`).  What cannot be avoided: a
question that the instrument does not know leaves an error, which is read away again, and the
command-error bit of the event status register (IEEE 488.2 section 11.5.1).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from sim_backend.scpi import Channels, Row, ScpiError
from sim_backend.scpi_language import forms
from sim_backend.scpi_numbers import INFINITY, Number

Outcome = Literal["understood", "undefined header", "another error", "no reply", "not tried"]

MOST_ERRORS = 200  # entries of a queue; the longest here holds 60
ERROR_NUMBER = re.compile(r'\s*([+-]?\d+)\s*,\s*"')
#: what a time-out itself leaves: nothing to send, reply not fetched (SCPI-1999 21.8.11)
_OF_THE_QUEUES = (-410, -420, -430, -440)
#: reading them empties them: event registers and the log (IEEE 488.2 11.5.1.2, SCPI-1999 20)
_EMPTIES = re.compile(r"\*ESR|.*:EVENt\]?|.*:EVENtlog:NEXT")
_ERROR_QUERY = ":SYST:ERR?"
CHANGES = "it would change something"  # why a command is not tried


class SelftestError(Exception):
    """The instrument does not even answer the question for its errors."""


class Line(Protocol):
    """An instrument's line."""

    def write(self, message: str) -> None:
        """Send a message."""

    def read(self) -> str | None:
        """The reply without its terminator; None: there is none in time."""


@dataclass(frozen=True)
class Trial:
    """What came of a row.

    Attributes:
        header: as in the table, a query with its question mark.
        source: as in the table.
        asked: the messages that were sent.
        outcome: of all of them together: the first that was not understood counts.
        reply: to the last message.
        fits: whether the reply is a value that the row allows; None: the table does not say.
        remark: the error, why it does not fit, or why it was not tried.
        left: what a command has changed and could not be put back.
    """

    header: str
    source: str
    asked: tuple[str, ...]
    outcome: Outcome
    reply: str = ""
    fits: bool | None = None
    remark: str = ""
    left: tuple[str, ...] = ()


def why_not(row: Row) -> str:
    """Why a row is not tried; "": it is."""
    if row.kind == "command":
        return CHANGES
    if not row.observation:
        return "asking it measures, waits or takes something away"
    if row.kind == "query" and _EMPTIES.fullmatch(row.header):
        return "reading it empties it"
    return ""


def questions(row: Row) -> tuple[str, ...]:
    """The row's header at its shortest and at its longest, as questions."""
    both = list(forms(row.header))
    of = " (@1!1)" if row.kind == "query" and isinstance(row.argument, Channels) else ""
    return tuple(dict.fromkeys(f"{form}?{of}" for form in (both[0], both[-1])))


def drain_errors(line: Line) -> list[str]:
    """The error queue, read empty.

    Raises:
        SelftestError: it is not answered, or has no end.
    """
    found: list[str] = []
    late = False
    for _ in range(MOST_ERRORS):
        line.write(_ERROR_QUERY)
        reply = line.read()
        number = None if reply is None else ERROR_NUMBER.match(reply)
        if reply is not None and number is None and not late:  # of the question before
            late, reply = True, line.read()
            number = None if reply is None else ERROR_NUMBER.match(reply)
        if reply is None or number is None:
            heard = "nothing" if reply is None else repr(reply)
            raise SelftestError(
                f"{_ERROR_QUERY} is answered with {heard}: without the error queue nothing can be "
                "checked; is the address right, and is the instrument set to SCPI?"
            )
        if int(number[1]) == 0:
            return found
        found.append(reply)
    raise SelftestError(f"the error queue is not empty after {MOST_ERRORS} entries")


def try_row(line: Line, row: Row) -> Trial:
    """Ask for a row in its shortest and longest form; read reply and errors after each.

    Raises:
        SelftestError: the error queue is not answered.
    """
    header = row.header + ("?" if row.kind == "query" else "")
    reason = why_not(row)
    if reason:
        return Trial(header, row.source, (), "not tried", remark=reason)
    asked: list[str] = []
    reply = ""
    for question in questions(row):
        asked.append(question)
        line.write(question)
        came = line.read()
        errors = drain_errors(line)
        outcome, remark = judge(came, errors)
        if outcome != "understood":
            remark = f"{question}: {remark}"
            return Trial(header, row.source, tuple(asked), outcome, came or "", remark=remark)
        reply = came or ""
    fits, remark = _fits(row, reply)
    return Trial(header, row.source, tuple(asked), "understood", reply, fits, remark)


def selftest(line: Line, rows: Sequence[Row]) -> Iterator[Trial]:
    """Each row's trial, in order; the error queue is to be empty (:func:`drain_errors`).

    Raises:
        SelftestError: the error queue is not answered.
    """
    for row in rows:
        yield try_row(line, row)


def same_model(reply: str, identity: str) -> bool:
    """Whether two answers to ``*IDN?`` name the same model."""
    return _model(reply) == _model(identity)


def _model(identity: str) -> str:
    fields = [field.strip().upper() for field in identity.split(",")]
    return fields[1].removeprefix("MODEL ").strip() if len(fields) > 1 else ""


def judge(reply: str | None, errors: Sequence[str]) -> tuple[Outcome, str]:
    """What a question's reply and the errors after it mean."""
    found = [match for error in errors if (match := ERROR_NUMBER.match(error))]
    numbers = [int(match[1]) for match in found]
    if -113 in numbers:
        return "undefined header", errors[numbers.index(-113)]
    if reply is not None and not errors:
        return "understood", ""
    others = [e for e, n in zip(errors, numbers, strict=True) if n not in _OF_THE_QUEUES]
    if reply is None and not others:
        return "no reply", "; ".join(errors) or "nothing came in time"
    return "another error", "; ".join(others or errors)


def _fits(row: Row, reply: str) -> tuple[bool | None, str]:
    """Whether a setting's reply is one of its values, and why not."""
    argument = row.argument
    if row.kind != "setting" or argument is None:
        return None, ""
    try:
        argument.parse(reply)
    except ScpiError as error:
        if isinstance(argument, Number) and special(argument, reply):
            return True, ""
        return False, f"not {argument.describe()} ({error})"
    return True, ""


def special(argument: Number, reply: str) -> bool:
    """Whether a reply is what stands for infinity or no number, where that is a value."""
    try:
        value = float(reply)
    except ValueError:
        return False
    return bool(argument.special) and (math.isnan(value) or abs(value) >= INFINITY)
