"""What is known of an instrument from what was sent to it and what it answered."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instruments.limits_lists import NO_PAST, Past
from instruments.message import number

Array = NDArray[np.float64]
_NONE = np.empty(0)

#: words that switch, and what they mean
SWITCH = {"ON": True, "1": True, "OFF": False, "0": False}


@dataclass(frozen=True, eq=False)
class Shadow:
    """What is known of one instrument; None is not known.

    Attributes:
        levels, delays: the list in the instrument, A or V, and its delays, s.
        list_compliance: the largest compliance of that list.
        mode: what the trigger starts, "FIX" or "LIST", where that can be chosen.
        running: a list was started, and neither its end nor an abort has been seen.
        closed: the closed relays of a switch.
        fixed: settings with one safe value that have been sent.
        told: names of the fields that were set and must read back so.
        confirmed: names of the fields that the instrument itself has reported since they were
            last set.
        moved_s: bench time of the last change of level; None: a list has changed it since.
        held_s: for how long the last level of that list is on before the list ends, s.
        past: how long the listed levels before were high.
    """

    level: float | None = None
    output: bool | None = None
    function: str | None = None
    range: float | None = None
    compliance: float | None = None
    mode: str | None = None
    running: bool = False
    levels: Array = field(default_factory=lambda: _NONE)
    delays: Array = field(default_factory=lambda: _NONE)
    list_compliance: float | None = None
    closed: frozenset[str] | None = None
    fixed: frozenset[str] = frozenset()
    told: frozenset[str] = frozenset()
    confirmed: frozenset[str] = frozenset()
    moved_s: float | None = None
    held_s: float = 0.0
    past: Past = NO_PAST

    def set(self, **values: Any) -> Shadow:
        """With fields as they must be by now; the instrument has not said so yet."""
        return self._with(confirmed=self.confirmed.difference(values), **values)

    def tell(self, name: str, value: Any, **values: Any) -> Shadow:
        """With a field as commanded: it must read back so."""
        return self.set(told=self.told | {name}, **{name: value}, **values)

    def moved(self, now_s: float | None) -> Shadow:
        """With the time of the last change of level."""
        return self._with(moved_s=now_s)

    def aborted(self) -> Shadow:
        """With a list ended wherever it was; where none can have run, nothing has changed."""
        if not self.running and (not len(self.levels) or self.mode == "FIX"):
            return self
        return self.set(level=None, running=False, told=self.told - {"level"})

    def ended(self) -> Shadow:
        """With a list that is through, at its last level."""
        return self._with(running=False)

    def reported(self, name: str, value: Any) -> Shadow:
        """With a field as the instrument reports it."""
        return self._with(confirmed=self.confirmed | {name}, **{name: value})

    def _with(self, **values: Any) -> Shadow:
        # As dataclasses.replace, which is ten times slower: every message passes here.
        new = object.__new__(Shadow)
        new.__dict__.update(self.__dict__, **values)
        return new


def decode(name: str, answer: str) -> Any:
    """A reply as the shadow keeps it."""
    if name == "output":
        return SWITCH.get(answer.strip().upper())
    if name == "function":
        return answer.strip().upper()[:4]
    if name == "closed":
        return relays(answer)
    return number(answer)


def relays(text: str) -> frozenset[str]:
    """The relays of ``(@1!1,1!11)``."""
    inside = text.strip().removeprefix("(@").removesuffix(")")
    return frozenset(part.strip() for part in inside.split(",") if part.strip())
