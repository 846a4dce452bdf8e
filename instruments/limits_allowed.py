"""A driver's allow-list: which headers may be sent to its instrument, and what each does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from instruments.message import units


class Effect(Enum):
    """What a header does, as far as the limits care."""

    FREE = "touches no node"
    LEVEL = "sets the output level"
    RANGE = "sets a fixed source range"
    COMPLIANCE = "sets the second fuse"
    OUTPUT = "switches the output"
    FUNCTION = "chooses what is sourced"
    MODE = "chooses what the trigger starts: a fixed level, or the list"
    LIST = "replaces the list of levels"
    LIST_APPEND = "adds to the list of levels"
    LIST_DELAY = "replaces the list's delays"
    LIST_DELAY_APPEND = "adds to the list's delays"
    LIST_COMPLIANCE = "the list's compliances"
    ARM = "arms the list; turns the output on"
    START = "starts the list"
    ABORT = "ends the list, wherever it is"
    CLOSE = "closes relays"
    OPEN = "opens relays"


#: what a query may be instead of a field of the shadow
WATCHED, READING = "watched", "reading"


@dataclass(frozen=True)
class Allowed:
    """A driver's allow-list.

    Attributes:
        commands: short header -> its effect.
        queries: short header -> the shadow's field that its reply fills; "watched" for another
            set value; "reading" for one that makes the instrument measure with its output on
            (``:READ?``); None for any other that changes nothing.
        fixed: short header -> the only words that may be set there.  All of them must have been
            sent before the output goes on.
        readings: short header of a query -> what finds in its reply the largest reading of what
            the compliance limits, A or V; None if the reply is not in a form that it knows.
    """

    commands: Mapping[str, Effect]
    queries: Mapping[str, str | None]
    fixed: Mapping[str, frozenset[str]] = field(default_factory=dict)
    readings: Mapping[str, Callable[[bytes], float | None]] = field(default_factory=dict)

    @property
    def chooses_function(self) -> bool:
        """Whether the instrument may source something else than its ``level`` says."""
        return "function" in self.queries.values()

    @property
    def sources(self) -> bool:
        """Whether it has an output at all."""
        return Effect.OUTPUT in self.commands.values()

    def is_observation(self, message: str) -> bool:
        """Whether a message only asks for what is set or queued (it disturbs no run)."""
        asked = units(message)
        return bool(asked) and all(
            unit.is_query
            and (unit.header in _WATCHED or self.queries.get(unit.header) not in (None, READING))
            for unit in asked
        )


_WATCHED = frozenset({"*IDN", "*STB", "*ESR", "*OPT", ":SYST:ERR", ":TRAC:POIN:ACT"})
