"""The limits: what may pass on its way to an instrument.

They work by allow-list: each driver names the headers that may be sent and what each does, and a
header that is not named is refused.  A shadow of every instrument - function, range, level,
compliance, output, closed relays - gives a message its meaning ("the voltage at junction J3").
What is not known counts as the worst.  Limits refuse; they never change a message.

Zero is always allowed, and so is output off: nothing stands in the way of the safe state.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instruments.bench_file import BenchFile
from instruments.errors import LimitError
from instruments.message import Unit, number, numbers, units
from instruments.units import show

Array = NDArray[np.float64]


class Effect(Enum):
    """What a header does, as far as the limits care."""

    FREE = "touches no node"
    LEVEL = "sets the output level"
    RANGE = "sets a fixed source range"
    COMPLIANCE = "sets the second fuse"
    OUTPUT = "switches the output"
    FUNCTION = "chooses what is sourced"
    LIST = "replaces the list of levels"
    LIST_APPEND = "adds to the list of levels"
    LIST_COMPLIANCE = "the list's compliances"
    ARM = "arms the list; turns the output on"
    START = "starts the list"
    ABORT = "ends the list, wherever it is"
    CLOSE = "closes relays"
    OPEN = "opens relays"


@dataclass(frozen=True)
class Allowed:
    """A driver's allow-list.

    Attributes:
        commands: short header -> its effect.
        queries: short header -> the shadow's field that its reply fills, or None.
        fixed: short header -> the only words that may be set there.  All of them must have been
            sent before the output goes on.
    """

    commands: Mapping[str, Effect]
    queries: Mapping[str, str | None]
    fixed: Mapping[str, frozenset[str]] = field(default_factory=dict)

    @property
    def chooses_function(self) -> bool:
        """Whether the instrument may source something else than its ``level`` says."""
        return "function" in self.queries.values()

    def is_observation(self, message: str) -> bool:
        """Whether a message only asks for what is set or queued (it disturbs no run)."""
        asked = units(message)
        return bool(asked) and all(
            unit.is_query and (unit.header in _WATCHED or self.queries.get(unit.header))
            for unit in asked
        )


_WATCHED = frozenset({"*IDN", "*STB", "*ESR", "*OPT", ":SYST:ERR", ":TRAC:POIN:ACT"})


@dataclass(frozen=True, eq=False)
class Shadow:
    """What is known of one instrument; None is not known.

    ``confirmed`` holds the names of the fields that the instrument itself has reported since they
    were last set; ``fixed`` the settings with one safe value that have been sent.
    """

    level: float | None = None
    output: bool | None = None
    function: str | None = None
    range: float | None = None
    compliance: float | None = None
    levels: Array = field(default_factory=lambda: np.empty(0))
    list_compliance: float | None = None
    closed: frozenset[str] | None = None
    fixed: frozenset[str] = frozenset()
    confirmed: frozenset[str] = frozenset()

    def set(self, **values: Any) -> Shadow:
        """With fields as commanded: known, not yet confirmed."""
        return replace(self, confirmed=self.confirmed - frozenset(values), **values)

    def reported(self, name: str, value: Any) -> Shadow:
        """With a field as the instrument reports it."""
        return replace(self, confirmed=self.confirmed | {name}, **{name: value})


_SWITCH = {"ON": True, "1": True, "OFF": False, "0": False}


class Guard:
    """The limits of one bench.

    Args:
        file: the bench file.
        allowed: the allow-list of each role's driver.
    """

    def __init__(self, file: BenchFile, allowed: Mapping[str, Allowed]) -> None:
        self.file = file
        self.allowed = allowed
        self.shadows: dict[str, Shadow] = {role: Shadow() for role in allowed}
        self._widest_step = file.limits.field_line.step * (1 + 1e-9)
        self._channels = {n: frozenset(j.channels) for n, j in file.junctions.items()}

    # -- what is connected ------------------------------------------------------------------------

    def node(self, role: str) -> str:
        """What a role's output acts on, in words."""
        if role == "field":
            return "field line"
        closed = self.shadows["switch"].closed
        if closed is None:
            return f"{role} layer of any junction (switch unknown)"
        names = [name for name, channels in self._channels.items() if channels & closed]
        return f"{role} layer of {' and '.join(names)}" if names else f"{role} meter (open)"

    def is_dead(self, role: str) -> bool:
        """Whether a source is reported to be at zero or off."""
        shadow = self.shadows[role]
        sources = not self.allowed[role].chooses_function or (
            "function" in shadow.confirmed and shadow.function == "VOLT"
        )
        at_zero = sources and "level" in shadow.confirmed and shadow.level == 0
        return at_zero or ("output" in shadow.confirmed and shadow.output is False)

    # -- before a message is sent -------------------------------------------------------------

    def check(self, role: str, message: str) -> Shadow:
        """Whether a message may be sent.

        Returns:
            The shadow that holds once it has been sent.

        Raises:
            LimitError: naming node, value, limit and message.
        """
        shadow = self.shadows[role]
        allowed = self.allowed[role]
        if not (message.isascii() and message.isprintable()):
            # A line end inside would begin a second message that nobody has read.
            self._refuse(role, Unit(ascii(message), False, ""), "it is not printable ASCII")
        for unit in units(message):
            if unit.text.count("'") % 2 or unit.text.count('"') % 2:
                self._refuse(role, unit, "a quoted text does not end, or holds a semicolon")
            if unit.is_query:
                if unit.header not in allowed.queries:
                    self._refuse(role, unit, f"{unit.header}? is not on the allow-list")
                if unit.text:  # the answer would not say what is set
                    self._refuse(role, unit, "a question has no parameters")
                continue
            words = allowed.fixed.get(unit.header)
            if words is not None:
                if unit.text.upper() not in words:
                    self._refuse(role, unit, f"only {' or '.join(sorted(words))} may be set there")
                shadow = shadow.set(fixed=shadow.fixed | {unit.header})
                continue
            effect = allowed.commands.get(unit.header)
            if effect is None:
                self._refuse(role, unit, f"{unit.header} is not on the allow-list")
            shadow = self._effect(role, shadow, unit, effect)
        return shadow

    def _refuse(self, role: str, unit: Unit, why: str) -> Any:
        sent = f"{unit.header}{'?' if unit.is_query else ''} {unit.text}".strip()
        if len(sent) > 60:
            sent = sent[:57] + "..."
        raise LimitError(f"refused at {self.node(role)}: {why} (call: {role} '{sent}')")

    def _value(self, role: str, unit: Unit) -> float:
        value = number(unit.text)
        if value is None:
            self._refuse(role, unit, f"{unit.text!r} is not a number")
        return value  # type: ignore[return-value]

    def _values(self, role: str, unit: Unit) -> Array:
        values = numbers(unit.text)
        if values is None:
            bad = next(part for part in unit.text.split(",") if number(part) is None)
            self._refuse(role, unit, f"{bad!r} is not a number")
        return values  # type: ignore[return-value]

    def _effect(self, role: str, shadow: Shadow, unit: Unit, effect: Effect | None) -> Shadow:
        match effect:
            case Effect.LEVEL:
                value = self._value(role, unit)
                self._check_level(role, unit, value)
                if value != 0 and shadow.output is not False:
                    self._check_step(role, unit, shadow.level, value)
                return shadow.set(level=value)
            case Effect.RANGE:
                value = self._value(role, unit)
                if role != "field" and abs(value) > max(0.2, self.file.limits.junction.voltage):
                    self._refuse(role, unit, f"range {show(value, 'V')} is no fuse, use 200 mV")
                return shadow.set(range=value)
            case Effect.COMPLIANCE:
                value = self._value(role, unit)
                self._check_compliance(role, unit, value)
                return shadow.set(compliance=value)
            case Effect.LIST_COMPLIANCE:
                value = float(np.abs(self._values(role, unit)).max())
                self._check_compliance(role, unit, value)
                return shadow.set(list_compliance=max(value, shadow.list_compliance or 0.0))
            case Effect.FUNCTION:
                if not unit.text.upper().startswith("VOLT"):
                    self._refuse(role, unit, "only a voltage may be sourced at a junction")
                return shadow.set(function="VOLT")
            case Effect.LIST | Effect.LIST_APPEND:
                levels = self._values(role, unit)
                self._check_levels(role, unit, levels)
                if effect is Effect.LIST_APPEND:
                    if not len(shadow.levels):
                        self._refuse(role, unit, "the list that it adds to is not known")
                    levels = np.concatenate((shadow.levels, levels))
                # Where two neighbours are too far apart; of what was there before only the last
                # can be one of them.
                for place in np.flatnonzero(np.abs(np.diff(levels)) > self._widest_step):
                    self._check_step(role, unit, float(levels[place]), float(levels[place + 1]))
                return shadow.set(levels=levels)
            case Effect.OUTPUT:
                on = _SWITCH.get(unit.text.upper())
                if on is None:
                    self._refuse(role, unit, f"{unit.text!r} is neither ON nor OFF")
                if on:
                    self._check_output_on(role, unit, shadow)
                return shadow.set(output=on)
            case Effect.ARM:
                self._check_list(role, unit, shadow)
                return shadow.set(output=True)
            case Effect.START:  # as strict as to arm: the list may have been changed since
                self._check_list(role, unit, shadow)
                return shadow.set(level=float(shadow.levels[-1]))
            case Effect.ABORT:
                return self._aborted(shadow)
            case Effect.CLOSE | Effect.OPEN:
                return self._relays(role, shadow, unit, effect)
        return shadow

    def _limit(self, role: str) -> tuple[float, str]:
        limits = self.file.limits
        return (limits.field_line.current, "A") if role == "field" else (
            limits.junction.voltage, "V")  # fmt: skip

    def _check_levels(self, role: str, unit: Unit, values: Array) -> None:
        for value in values[np.abs(values) > self._limit(role)[0]]:
            self._check_level(role, unit, float(value))

    def _check_level(self, role: str, unit: Unit, value: float) -> None:
        limit, si = self._limit(role)
        if abs(value) > limit * (1 + 1e-9):
            self._refuse(role, unit, f"{show(value, si)} is above the limit of {show(limit, si)}")

    def _check_step(self, role: str, unit: Unit, start: float | None, value: float) -> None:
        if role != "field":
            return
        step = self.file.limits.field_line.step
        if start is None:
            self._refuse(role, unit, "the present level is not known; read it first")
        elif abs(value - start) > self._widest_step:
            self._refuse(
                role, unit,
                f"the step from {show(start, 'A')} to {show(value, 'A')} is larger than "
                f"{show(step, 'A')}",
            )  # fmt: skip

    def _check_compliance(self, role: str, unit: Unit, value: float) -> None:
        if role == "field":
            most, si = self.file.limits.field_line.compliance_v, "V"
        else:
            most, si = self.file.limits.junction.current, "A"
        if abs(value) > most * (1 + 1e-9):
            self._refuse(role, unit, f"compliance {show(value, si)} is above {show(most, si)}")

    def _check_list(self, role: str, unit: Unit, shadow: Shadow) -> None:
        """Whether the list may start from where the source is, with the second fuse set."""
        if not len(shadow.levels) or shadow.list_compliance is None:
            self._refuse(role, unit, "the list or its compliance is not known")
        if shadow.output is not True:
            self._check_output_on(role, unit, shadow)
        self._check_fixed(role, unit, shadow)
        # A fixed range too small for the list would put out its maximum and say nothing.
        largest = float(np.abs(shadow.levels).max())
        if "range" not in shadow.confirmed or largest > 1.05 * (shadow.range or 0.0):
            self._refuse(role, unit, "the source's range is not confirmed to hold the whole list")
        self._check_step(role, unit, shadow.level, float(shadow.levels[0]))

    def _check_fixed(self, role: str, unit: Unit, shadow: Shadow) -> None:
        missing = sorted(self.allowed[role].fixed.keys() - shadow.fixed)
        if missing:
            self._refuse(role, unit, f"{' and '.join(missing)} must be set first")

    def _check_output_on(self, role: str, unit: Unit, shadow: Shadow) -> None:
        """The second fuse must be in the instrument, read back, before anything goes on."""
        for name in ("range", "compliance"):
            if name not in shadow.confirmed:
                self._refuse(role, unit, f"its {name} has not been set and read back")
        self._check_fixed(role, unit, shadow)
        if role != "field" and shadow.function != "VOLT":
            self._refuse(role, unit, "it is not known to source a voltage")
        if shadow.level is None:
            self._refuse(role, unit, "its level is not known; read it first")
        else:
            self._check_level(role, unit, shadow.level)
            self._check_step(role, unit, 0.0, shadow.level)

    def _relays(self, role: str, shadow: Shadow, unit: Unit, effect: Effect) -> Shadow:
        live = [name for name in ("field", "x", "z") if not self.is_dead(name)]
        if live:
            self._refuse(role, unit, f"{' and '.join(live)} do not read back zero")
        if effect is Effect.OPEN and unit.text.upper() == "ALL":
            return shadow.set(closed=frozenset())
        named = frozenset(part.strip() for part in unit.text.strip("(@) ").split(","))
        if effect is Effect.OPEN:
            left = None if shadow.closed is None else shadow.closed - named
            return shadow.set(closed=left)
        if shadow.closed is None:
            self._refuse(role, unit, "the closed relays are not known; read them first")
            return shadow
        closed = shadow.closed | named
        if not any(closed <= channels for channels in self._channels.values()):
            self._refuse(role, unit, "these relays do not belong to one junction")
        return shadow.set(closed=closed)

    # -- after it was sent --------------------------------------------------------------------

    def sent(self, role: str, shadow: Shadow) -> None:
        """A checked message has reached the wire."""
        self.shadows[role] = shadow

    def lost(self, role: str) -> None:
        """It is not known what the instrument got: nothing of it is known any more."""
        self.shadows[role] = Shadow()

    def cleared(self, role: str) -> None:
        """A device clear has reached the wire: a running list ended wherever it was."""
        self.shadows[role] = self._aborted(self.shadows[role])

    @staticmethod
    def _aborted(shadow: Shadow) -> Shadow:
        return shadow.set(level=None) if len(shadow.levels) else shadow

    def heard(self, role: str, message: str, reply: bytes) -> None:
        """A reply: what it says of the instrument's settings goes into the shadow."""
        names = [self.allowed[role].queries.get(u.header) for u in units(message) if u.is_query]
        answers = reply.decode("ascii", "replace").strip().split(";")
        if None in names or len(names) != len(answers):
            return  # data may hold a semicolon: it is not certain whose answer is whose
        for name, answer in zip(names, answers, strict=True):
            if name is not None and name != "watched":
                self.shadows[role] = self.shadows[role].reported(name, _decode(name, answer))


def _decode(name: str, answer: str) -> Any:
    """A reply as the shadow keeps it."""
    if name == "output":
        return _SWITCH.get(answer.strip().upper())
    if name == "function":
        return answer.strip().upper()[:4]
    if name == "closed":
        inside = answer.strip().removeprefix("(@").removesuffix(")")
        return frozenset(part.strip() for part in inside.split(",") if part.strip())
    return number(answer)
