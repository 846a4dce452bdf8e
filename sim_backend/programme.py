"""What an instrument does by itself, after the message that has started it: readings that are due,
levels that follow each other, steps of a sequence."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from sim_backend.seen import Seen

if TYPE_CHECKING:
    from sim_backend.instrument import SimInstrument

Array = NDArray[np.float64]
ROUNDING_S = 1e-9  #: of the clock
Result = TypeVar("Result")
#: something in steps: at each stop it says how long it waits, s, and what that time goes into
Process: TypeAlias = Generator[tuple[float, str], None, Result]
Course: TypeAlias = Process[None]


class Reader(Protocol):
    """A meter whose readings can be told in advance."""

    name: str

    @property
    def window_s(self) -> float:
        """What one conversion integrates over, s."""

    @property
    def integration_s(self) -> float:
        """What all conversions of one reading take, s."""

    def record(self, true: Seen, time_s: Array, levels: Array | None = None) -> None:
        """Take readings that end at these times."""


@dataclass(frozen=True)
class Steps:
    """Levels that an output takes one after the other.

    Attributes:
        from_s: bench time from which on each is there, s, [n].
        levels: A or V, [n].
        before: what was there before them.
    """

    from_s: Array
    levels: Array
    before: float

    def at(self, times_s: Array) -> Array:
        """The levels that are on at these times."""
        begun = np.searchsorted(self.from_s, times_s + ROUNDING_S, side="right")
        found: Array = np.concatenate(([self.before], self.levels))[begun]
        return found


@dataclass(frozen=True)
class Past:
    """Stretches of time that have passed, and what one pair of terminals has seen in each, [S]."""

    begins_s: Array
    ends_s: Array
    seen: Seen

    def then(self, later: Past) -> Past:
        return Past(
            np.concatenate((self.begins_s, later.begins_s)),
            np.concatenate((self.ends_s, later.ends_s)),
            self.seen.then(later.seen),
        )

    def after(self, time_s: float) -> Past | None:
        """What of it is not over by then."""
        kept = self.ends_s > time_s + ROUNDING_S
        if not kept.any():
            return None
        return Past(self.begins_s[kept], self.ends_s[kept], self.seen.at(kept))

    def means(self, from_s: Array, until_s: Array) -> Seen:
        """What readings between these times see, [P]: the mean over what there was.

        Each ends where a stretch does.
        """
        last = np.searchsorted(self.ends_s, until_s - ROUNDING_S)
        first = np.searchsorted(self.ends_s, from_s + ROUNDING_S, side="right")
        first = np.minimum(first, last)
        seen = self.seen.at(last)
        spans = int((last - first).max(initial=0))
        if spans == 0:
            return seen
        weights = []
        for back in range(spans + 1):
            at = np.maximum(last - back, first)
            share = np.minimum(self.ends_s[at], until_s) - np.maximum(self.begins_s[at], from_s)
            weights.append((at, np.where(last - back >= first, np.maximum(share, 0.0), 0.0)))
        total = np.sum([weight for _, weight in weights], axis=0)
        total = np.where(total > 0, total, 1.0)

        def mean(values: Array) -> Array:
            # The last one, and what the others differ from it: exact where they do not.
            newest = values[last]
            moved = sum(weight * (values[at] - newest) for at, weight in weights)
            result: Array = newest + moved / total
            return result

        limited = np.any([self.seen.limited[at] & (w > 0) for at, w in weights], axis=0)
        barriers = tuple(
            replace(
                b, volt=mean(b.volt), conductance_s=mean(b.conductance_s),
                deviation_s=mean(b.deviation_s),
            )
            for b in self.seen.barriers
        )  # fmt: skip
        return Seen(mean(self.seen.current_a), mean(self.seen.volt), limited, barriers)


@dataclass(eq=False)
class Schedule:
    """Readings that a meter takes by itself.

    Attributes:
        meter: the meter.
        start_s: bench time that the others count from, s.
        done_s: when each reading is over, from there on, s, [n].
        own: levels of the meter's own output, the n-th for the n-th reading.
        sharp: its end changes the circuit, so that nothing later may be seen before it.
        careful: each reading decides whether there is a next one.
        taken: readings that it has taken by now.
        past: what there was since the reading under way has begun.
    """

    meter: Reader
    start_s: float
    done_s: Array
    own: Steps | None = None
    sharp: bool = False
    careful: bool = False
    taken: int = 0
    past: Past | None = None

    @property
    def over(self) -> bool:
        """All readings are taken."""
        return self.taken >= len(self.done_s)

    @property
    def end_s(self) -> float:
        """Bench time of its last reading, s; none: that of its start."""
        return float(self.start_s + self.done_s[-1]) if len(self.done_s) else self.start_s

    @property
    def stop_s(self) -> float:
        """Bench time beyond which nothing may be seen before its readings are taken, s."""
        if self.careful:
            return float(self.start_s + self.done_s[self.taken])
        return self.end_s if self.sharp else np.inf

    def due(self, now_s: float) -> slice:
        """Readings that are over by now and not taken yet."""
        until = np.searchsorted(self.done_s, now_s - self.start_s + ROUNDING_S, side="right")
        return slice(self.taken, max(self.taken, int(until)))

    def _begins_s(self, number: int) -> float:
        """When a reading begins to integrate, s."""
        return float(self.start_s + self.done_s[number] - self.meter.integration_s)

    def under_way(self, number: int, now_s: float) -> bool:
        """Whether this reading has begun by now."""
        return number < len(self.done_s) and self._begins_s(number) < now_s - ROUNDING_S

    def take(self, new: slice, past: Past) -> None:
        """Hand the meter its readings.

        Args:
            new: which are due.
            past: what there was up to the end of the last of them, or further.
        """
        whole = past if self.past is None else self.past.then(past)
        self.taken, self.past = new.stop, None
        if new.stop > new.start:
            ends_s = self.start_s + self.done_s[new]
            seen = whole.means(ends_s - self.meter.integration_s, ends_s)
            if not self.over:
                self.past = whole.after(self._begins_s(self.taken))
            levels = None if self.own is None else self.own.levels[new]
            self.meter.record(seen, ends_s, levels)
        elif not self.over:
            self.past = whole.after(self._begins_s(self.taken))


class Running:
    """A sequence under way: what an instrument does step by step.

    Args:
        instrument: whose it is.
        course: its steps; the first one is done at once.
        now_s: bench time, s.
    """

    def __init__(self, instrument: SimInstrument, course: Course, now_s: float) -> None:
        self.instrument, self._course = instrument, course
        self.due_s, self.what, self.over = now_s, "settle", False
        self.step()

    def step(self) -> None:
        """Go on to the next stop."""
        try:
            wait_s, self.what = next(self._course)
        except BaseException as end:
            self.over = True
            if not isinstance(end, StopIteration):
                raise
        else:
            self.due_s += max(0.0, wait_s)

    def stop(self) -> None:
        """It ends where it is."""
        self.over = True
        self._course.close()


class _Clocked(Protocol):
    def pass_time(self, seconds: float, what: str) -> None:
        """Move the clock."""


def at_once(bench: _Clocked, process: Process[Result]) -> Result:
    """Go through all steps while the message that asks for them waits; what they lead to."""
    while True:
        try:
            wait_s, what = next(process)
        except StopIteration as end:
            result: Result = end.value
            return result
        bench.pass_time(wait_s, what)
