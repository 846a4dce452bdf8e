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
from itertools import pairwise
from typing import Any

from instruments.bench_file import BenchFile
from instruments.errors import LimitError
from instruments.message import Unit, number, units
from instruments.units import show


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
    CLOSE = "closes relays"
    OPEN = "opens relays"


@dataclass(frozen=True)
class Allowed:
    """A driver's allow-list.

    Attributes:
        commands: short header -> its effect.
        queries: short header -> the shadow's field that its reply fills, or None.
    """

    commands: Mapping[str, Effect]
    queries: Mapping[str, str | None]

    def is_observation(self, message: str) -> bool:
        """Whether a message only asks for what is set or queued (it disturbs no run)."""
        return all(
            unit.is_query and (unit.header in _WATCHED or self.queries.get(unit.header))
            for unit in units(message)
        )


_WATCHED = frozenset({"*IDN", "*STB", "*ESR", "*OPT", ":SYST:ERR", ":TRAC:POIN:ACT"})


@dataclass(frozen=True)
class Shadow:
    """What is known of one instrument; None is not known.

    ``confirmed`` holds the names of the fields that the instrument itself has reported since they
    were last set.
    """

    level: float | None = None
    output: bool | None = None
    function: str | None = None
    range: float | None = None
    compliance: float | None = None
    levels: tuple[float, ...] = ()
    list_compliance: float | None = None
    closed: frozenset[str] | None = None
    confirmed: frozenset[str] = field(default_factory=frozenset)

    def set(self, **values: Any) -> Shadow:
        """With fields as commanded: known, not yet confirmed."""
        return replace(self, confirmed=self.confirmed - values.keys(), **values)

    def reported(self, name: str, value: Any) -> Shadow:
        """With a field as the instrument reports it."""
        return replace(self, confirmed=self.confirmed | {name}, **{name: value})

    @property
    def is_dead(self) -> bool:
        """Reported to be at zero or off."""
        return ("level" in self.confirmed and self.level == 0) or (
            "output" in self.confirmed and self.output is False
        )


_ON = {"ON", "1"}


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
        for unit in units(message):
            if unit.is_query:
                if unit.header not in allowed.queries:
                    self._refuse(role, unit, f"{unit.header}? is not on the allow-list")
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
        if value is None or value != value:
            self._refuse(role, unit, f"{unit.text!r} is not a number")
        return value  # type: ignore[return-value]

    def _values(self, role: str, unit: Unit) -> tuple[float, ...]:
        return tuple(
            self._value(role, Unit(unit.header, False, part)) for part in unit.text.split(",")
        )

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
                value = max(self._values(role, unit))
                self._check_compliance(role, unit, value)
                return shadow.set(list_compliance=max(value, shadow.list_compliance or 0.0))
            case Effect.FUNCTION:
                if not unit.text.upper().startswith("VOLT"):
                    self._refuse(role, unit, "only a voltage may be sourced at a junction")
                return shadow.set(function="VOLT")
            case Effect.LIST | Effect.LIST_APPEND:
                levels = self._values(role, unit)
                for value in levels:
                    self._check_level(role, unit, value)
                before = shadow.levels[-1:] if effect is Effect.LIST_APPEND else ()
                joined = before + levels
                for one, next_one in pairwise(joined):
                    self._check_step(role, unit, one, next_one)
                kept = shadow.levels if effect is Effect.LIST_APPEND else ()
                return shadow.set(levels=kept + levels)
            case Effect.OUTPUT:
                on = unit.text.upper() in _ON
                if on:
                    self._check_output_on(role, unit, shadow)
                return shadow.set(output=on)
            case Effect.ARM:
                if not shadow.levels or shadow.list_compliance is None:
                    self._refuse(role, unit, "the list or its compliance is not known")
                self._check_range(role, unit, shadow)
                start = 0.0 if shadow.output is False else shadow.level
                self._check_step(role, unit, start, shadow.levels[0])
                return shadow.set(output=True)
            case Effect.START:
                return shadow.set(level=shadow.levels[-1]) if shadow.levels else shadow
            case Effect.CLOSE | Effect.OPEN:
                return self._relays(role, shadow, unit, effect)
        return shadow

    def _limit(self, role: str) -> tuple[float, str]:
        limits = self.file.limits
        return (limits.field_line.current, "A") if role == "field" else (
            limits.junction.voltage, "V")  # fmt: skip

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
        elif abs(value - start) > step * (1 + 1e-9):
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
        if value > most * (1 + 1e-9):
            self._refuse(role, unit, f"compliance {show(value, si)} is above {show(most, si)}")

    def _check_range(self, role: str, unit: Unit, shadow: Shadow) -> None:
        """A fixed range too small for the list would put out its maximum and say nothing."""
        largest = max(abs(value) for value in shadow.levels)
        if "range" not in shadow.confirmed or largest > 1.05 * (shadow.range or 0.0):
            self._refuse(role, unit, "the source's range is not confirmed to hold the whole list")

    def _check_output_on(self, role: str, unit: Unit, shadow: Shadow) -> None:
        """The second fuse must be in the instrument, read back, before anything goes on."""
        for name in ("range", "compliance"):
            if name not in shadow.confirmed:
                self._refuse(role, unit, f"its {name} has not been set and read back")
        if role != "field" and shadow.function != "VOLT":
            self._refuse(role, unit, "it is not known to source a voltage")
        if shadow.level is None:
            self._refuse(role, unit, "its level is not known; read it first")
        else:
            self._check_level(role, unit, shadow.level)
            self._check_step(role, unit, 0.0, shadow.level)

    def _relays(self, role: str, shadow: Shadow, unit: Unit, effect: Effect) -> Shadow:
        live = [name for name in ("field", "x", "z") if not self.shadows[name].is_dead]
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
        self.shadows[role] = Shadow(closed=None)

    def heard(self, role: str, message: str, reply: bytes) -> None:
        """A reply: what it says of the instrument's settings goes into the shadow."""
        asked = [unit for unit in units(message) if unit.is_query]
        answers = reply.decode("ascii", "replace").strip().split(";") if asked else []
        for unit, answer in zip(asked, answers, strict=False):
            name = self.allowed[role].queries.get(unit.header)
            if name is None or name == "watched":
                continue
            self.shadows[role] = self.shadows[role].reported(name, _decode(name, answer))


def _decode(name: str, answer: str) -> Any:
    """A reply as the shadow keeps it."""
    if name == "output":
        return answer.strip() in _ON
    if name == "function":
        return answer.strip().upper()[:4]
    if name == "closed":
        inside = answer.strip().removeprefix("(@").removesuffix(")")
        return frozenset(part.strip() for part in inside.split(",") if part.strip())
    return number(answer)
