"""The limits: what may pass on its way to an instrument.

They work by allow-list: each driver names the headers that may be sent and what each does, and a
header that is not named is refused.  A shadow of every instrument - function, range, level,
compliance, output, closed relays - gives a message its meaning ("the voltage at junction J3").
What is not known counts as the worst.  Limits refuse; they never change a message.

Zero is always allowed, and so is output off: nothing stands in the way of the safe state.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from instruments.bench_file import BenchFile
from instruments.errors import LimitError, UnsafeReportError
from instruments.limits_allowed import READING, WATCHED, Allowed, Effect
from instruments.limits_effects import EFFECTS
from instruments.limits_lists import NO_PAST
from instruments.limits_reports import contradiction, too_much
from instruments.limits_rules import Refused, Rules, Situation
from instruments.limits_shadow import Shadow, decode
from instruments.message import Unit, units

__all__ = ["WATCHED", "Allowed", "Effect", "Guard", "Shadow"]

Array = NDArray[np.float64]
_MISSING = "not on the allow-list"
_NO_FIELD = frozenset({None, WATCHED, READING})


class Guard(Situation):
    """The limits of one bench.

    Args:
        file: the bench file.
        allowed: the allow-list of each role's driver.
        now: bench time, s; without it the time between two messages counts as long enough
            (a replay, in which nothing is moved).
    """

    def __init__(
        self,
        file: BenchFile,
        allowed: Mapping[str, Allowed],
        now: Callable[[], float] | None = None,
    ) -> None:
        super().__init__(file, allowed, now)
        self._rules = {role: Rules(role, self) for role in allowed}

    def node(self, role: str) -> str:
        """What a role's output acts on, in words."""
        return self.on(role).name

    # -- before a message is sent -------------------------------------------------------------

    def check(self, role: str, message: str) -> Shadow:
        """Whether a message may be sent, all of it.

        Returns:
            The shadow that holds once it has been sent.

        Raises:
            LimitError: naming node, value, limit and message.
        """
        shadow = self.shadows[role]
        if not (message.isascii() and message.isprintable()):
            # A line end inside would begin a second message that nobody has read.
            self._refuse(role, Unit(ascii(message), False, ""), "it is not printable ASCII")
        rules = self._rules[role]
        for unit in units(message):
            try:
                shadow = _after(rules, shadow, unit)
            except Refused as refused:
                self._refuse(role, unit, str(refused))
        return shadow

    def check_lists(self, role: str, lists: Sequence[Array], delay_s: float) -> None:
        """Whether lists could run one after another, from zero and at the end back to it, each
        level on for ``delay_s`` and a reading: levels, steps, slew and duty.  Nothing is sent,
        nothing is remembered.

        Raises:
            LimitError: naming node, value, limit and list.
        """
        rules, node, past, level = self._rules[role], self.on(role), NO_PAST, 0.0
        for place, levels in enumerate(lists, 1):
            if place == len(lists):
                levels = np.append(levels, 0.0)
            try:
                rules.levels(node, np.concatenate(([level], levels)))
                rules.pause(node, level, float(levels[0]), delay_s)
                delays = np.full(len(levels), delay_s)
                past = rules.pace(node, levels, delays, past, past.end_s)
            except Refused as refused:
                self._refuse(role, Unit(f"list {place} of {len(lists)}", False, ""), str(refused))
            level = float(levels[-1])

    def _refuse(self, role: str, unit: Unit, why: str) -> NoReturn:
        sent = _short(f"{unit.header}{'?' if unit.is_query else ''} {unit.text}")
        raise LimitError(f"refused at {self.node(role)}: {why} (call: {role} '{sent}')") from None

    # -- after it was sent --------------------------------------------------------------------

    def sent(self, role: str, shadow: Shadow) -> None:
        """A checked message has reached the wire."""
        self.shadows[role] = shadow

    def lost(self, role: str) -> None:
        """It is not known what the instrument got: nothing of it is known any more."""
        self.shadows[role] = Shadow(running=self.shadows[role].running)

    def cleared(self, role: str) -> None:
        """A device clear has reached the wire: a running list ended wherever it was."""
        self.shadows[role] = self.shadows[role].aborted()

    def ended(self, role: str) -> None:
        """The instrument has reported the end of what was started."""
        self.shadows[role] = self.shadows[role].ended()

    def at_temperature(self, kelvin: float | None) -> None:
        """What the thermometer reads, K; None: nothing.  It holds until the next.

        Raises:
            LimitError: it is above the limit, or not known although there is one.
        """
        self.temperature_k = kelvin
        warm = self.too_warm()
        if warm:
            raise LimitError(f"refused at the thermometer: {warm}")

    def heard(self, role: str, message: str, reply: bytes) -> None:
        """A reply: what it says of the instrument's settings goes into the shadow.

        Raises:
            UnsafeReportError: it is above a limit, or unlike what the instrument was told.
        """
        allowed = self.allowed[role]
        asked = [unit.header for unit in units(message) if unit.is_query]
        wrong: list[str] = []
        if len(asked) == 1 and asked[0] in allowed.readings:
            wrong.append(too_much(self.on(role), allowed.readings[asked[0]](reply)))
        names = [allowed.queries.get(header) for header in asked]
        if None not in names:  # data may hold a semicolon: whose answer is whose is not certain
            answers = reply.decode("ascii", "replace").strip().split(";")
            if len(names) == len(answers):
                for name, answer in zip(names, answers, strict=True):
                    if name is not None and name not in _NO_FIELD:
                        wrong.append(self._hear(role, name, answer))
        problems = "; ".join(filter(None, wrong))
        if problems:
            raise UnsafeReportError(
                f"{self.node(role)}: {problems} (call: {role} '{_short(message)}')"
            )

    def _hear(self, role: str, name: str, answer: str) -> str:
        """One field as reported; what is wrong with it, in words."""
        value, before = decode(name, answer), self.shadows[role]
        if name == "level" and before.running:  # where it is by now, and not where it stays
            return contradiction(self.on(role), before, name, value)
        shadow = before.reported(name, value)
        if name == "level" and before.level is None and self.now is not None:
            shadow = shadow.moved(self.now())  # at the latest
        self.shadows[role] = shadow
        return contradiction(self.on(role), before, name, value)


def _after(rules: Rules, shadow: Shadow, unit: Unit) -> Shadow:
    """The shadow after one unit of a message.

    Raises:
        Refused: it may not be sent.
    """
    allowed, header = rules.allowed, unit.header
    if not unit.whole:
        raise Refused("a quoted text does not end, or holds a semicolon")
    if unit.is_query:
        fills = allowed.queries.get(header, _MISSING)
        if fills is _MISSING:
            raise Refused(f"{header}? is {_MISSING}")
        if fills == READING:
            rules.reading(shadow)
        elif unit.text and fills is not None:  # the answer would not say what is set
            raise Refused("a question has no parameters")
        return shadow
    words = allowed.fixed.get(header)
    if words is not None:
        if unit.text.upper() not in words:
            raise Refused(f"only {' or '.join(sorted(words))} may be set there")
        return shadow.set(fixed=shadow.fixed | {header})
    effect = allowed.commands.get(header)
    if effect is None:
        raise Refused(f"{header} is {_MISSING}")
    return EFFECTS[effect](rules, shadow, unit.text)


def _short(message: str) -> str:
    message = message.strip()
    return message if len(message) <= 60 else message[:57] + "..."
