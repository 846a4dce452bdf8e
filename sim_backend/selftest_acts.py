"""The selftest's second half: commands, sent while nothing is on, and undone.

Only what stands in :data:`ACTS` is ever sent, and only while every question in :data:`QUIET` is
answered with zero, or with an empty channel list.  What a command changes is put back by what the
instrument said of itself before; what the table has no row for cannot be seen, so commands that
reset more than that are left out, as are those that energise, close relays, start or lose
something.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from sim_backend.scpi import Row
from sim_backend.scpi_errors import ScpiError
from sim_backend.scpi_language import forms
from sim_backend.scpi_numbers import Number
from sim_backend.selftest import (
    ERROR_NUMBER,
    Line,
    SelftestError,
    Trial,
    drain_errors,
    judge,
    special,
    why_not,
)  # fmt: skip

#: by model and header: the parameter
ACTS: dict[str, dict[str, str]] = {
    "keithley2182a": {
        ":CONFigure[:VOLTage][:DC]": "",
        ":CONFigure:TEMPerature": "",
        ":CALCulate2:IMMediate": "",
    },
    "keithley2450": {
        ":SOURce[1]:LIST:VOLTage:APPend": "0",
        ":SOURce[1]:LIST:CURRent:APPend": "0",
    },
    "keithley6221": {
        "[:SOURce]:LIST:CURRent:APPend": "0",
        "[:SOURce]:LIST:DELay:APPend": "1",
        "[:SOURce]:LIST:COMPliance:APPend": "10",
        "[:SOURce]:WAVE:ARBitrary:APPend": "0",
    },
    "keithley7001": {"[:ROUTe]:OPEN": "ALL", ":ABORt": ""},
    "yokogawags200": {":PROGram:HOLD": "", ":PROGram:PAUSe": ""},
}
#: by model and header: why it is not sent, where that is not plain
NEVER: dict[str, dict[str, str]] = {
    "keithley2182a": {
        ":DATA:CLEar": "it would lose the readings in the buffer",
        ":SYSTem:PRESet": "it resets more than can be put back",
    },
    "keithley2450": {
        ":TRIGger:LOAD": "the trigger model that it replaces cannot be put back",
        ":SYSTem:EVENtlog:POST": "its entry would stay in the log",
    },
    "keithley6221": {"[:SOURce]:SWEep:ARM": "arming switches the output on (memory)"},
    "keithley7001": {"[:ROUTe]:CLOSe": "it closes relays"},
    "yokogawags200": {
        ":PROGram:STEP": "it runs a program",
        ":PROGram:CONTinue": "it runs a program",
        ":PROGram:DELete": "it would lose a program",
    },
}
#: by model: what has to be zero, or empty, while commands are sent
QUIET: dict[str, tuple[str, ...]] = {
    "keithley2182a": (),
    "keithley2400": (":OUTP?", ":SOUR:VOLT?", ":SOUR:CURR?"),
    "keithley2450": (":OUTP?", ":SOUR:VOLT?", ":SOUR:CURR?"),
    "keithley6221": (":OUTP?", ":SOUR:CURR?"),
    "keithley7001": (":ROUT:CLOS:STAT?",),
    "yokogawags200": (":OUTP?", ":SOUR:LEV?"),
}
#: a setting may take another with it (a range switches its AUTO off): so often all are looked at
PASSES = 3


def acts(model: str, rows: Sequence[Row]) -> dict[str, tuple[str, ...]]:
    """Headers of the commands that can be sent, each with its shortest and its longest message."""
    known = ACTS.get(model, {})
    return {
        row.header: tuple(f"{form} {known[row.header]}".rstrip() for form in _both(row))
        for row in rows
        if row.kind == "command" and row.header in known
    }


def _both(row: Row) -> tuple[str, ...]:
    every = list(forms(row.header))
    return tuple(dict.fromkeys((every[0], every[-1])))


def why_not_sent(model: str, row: Row) -> str:
    """Why a command is not among the acts; "": it is."""
    if row.header in ACTS.get(model, {}):
        return ""
    return NEVER.get(model, {}).get(row.header, "not known to be without effect while all is off")


def check_quiet(line: Line, model: str) -> None:
    """See that nothing is on.

    Raises:
        SelftestError: something is, or the instrument does not say.
    """
    for question in QUIET[model]:
        line.write(question)
        reply = line.read()
        if reply is None or not _is_zero(reply):
            raise SelftestError(
                f"{question} is answered with {'nothing' if reply is None else repr(reply)}: "
                "commands are sent only with outputs off and at zero and relays open; none was sent"
            )


def _is_zero(reply: str) -> bool:
    text = re.sub(r"\s", "", reply)
    try:
        return text == "(@)" or float(text) == 0
    except ValueError:
        return False


class Settings:
    """What an instrument is set to, asked when this is made, so that it can be put back.

    Args:
        line: to the instrument, whose error queue is empty.
        rows: of its table.

    Raises:
        SelftestError: the error queue is not answered.
    """

    def __init__(self, line: Line, rows: Sequence[Row]) -> None:
        self._line = line
        asked = [row for row in rows if row.kind == "setting" and not why_not(row)]
        self._before = [(row, reply) for row in asked if (reply := self._ask(row)) is not None]

    def _ask(self, row: Row) -> str | None:
        self._line.write(f"{_both(row)[-1]}?")
        reply = self._line.read()
        return None if drain_errors(self._line) else reply

    def put_back(self) -> list[str]:
        """Set again what has changed; what could not be, a sentence each."""
        for _ in range(PASSES):
            changed = [(row, reply) for row, reply in self._before if self._ask(row) != reply]
            if not changed:
                return []
            for row, reply in changed:
                if self._ask(row) != reply:  # another setting may have taken it along
                    self._line.write(f"{_both(row)[-1]} {_as_parameter(row, reply)}")
                    drain_errors(self._line)
        return [
            f"{row.header} was {before}, and is {now}"
            for row, before in self._before
            if (now := self._ask(row)) != before
        ]

    def can_put_back(self, row: Row) -> bool:
        """Whether what a list's command adds to can be sent as one message."""
        for setting, reply in self._before:
            if setting.argument is not None and row.header == f"{setting.header}:APPend":
                try:
                    setting.argument.parse(reply)
                except ScpiError:
                    return False
        return True


def _as_parameter(row: Row, reply: str) -> str:
    """A reply as what is to be sent: the number that stands for infinity is a word there."""
    if isinstance(row.argument, Number) and special(row.argument, reply):
        return "INF" if float(reply) > 0 else "NINF"
    return reply


def act(line: Line, row: Row, messages: Sequence[str], settings: Settings) -> Trial:
    """Send a command in both forms, read the errors after each, and put back what has changed.

    An execution error (-200 to -299) counts as understood: the instrument knows the header and
    takes the parameter, and could not do it in the state that it is in.

    Raises:
        SelftestError: the error queue is not answered.
    """
    if not settings.can_put_back(row):
        remark = "what it adds to is too long to be put back"
        return Trial(row.header, row.source, (), "not tried", remark=remark)
    trial = Trial(row.header, row.source, (), "understood")
    for message in messages:
        line.write(message)
        errors = drain_errors(line)
        trial = replace(trial, asked=(*trial.asked, message))
        outcome, remark = judge("", errors)
        if outcome != "understood":
            numbers = [int(found[1]) for error in errors if (found := ERROR_NUMBER.match(error))]
            known = all(-299 <= number <= -200 for number in numbers)
            trial = replace(
                trial, outcome="understood" if known else outcome, remark=f"{message}: {remark}"
            )
            if not known:
                break
    left = settings.put_back()
    return replace(
        trial, remark="; ".join([*filter(None, [trial.remark]), *left]), left=tuple(left)
    )
