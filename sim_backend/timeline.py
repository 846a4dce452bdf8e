"""What goes on at the bench by itself, in the order of time.

The clock moves by messages and waits; :meth:`Timeline.catch_up` then brings to pass what has been
due, with the circuit as it has been.  It comes before anything changes, so that each moment is
lived through once: the devices' time never runs back.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from sim_backend.devices import Points
from sim_backend.failure import told_by
from sim_backend.programme import ROUNDING_S, Array, Course, Past, Running, Schedule, Steps
from sim_backend.scpi_errors import ScpiError
from sim_backend.seen import Seen

if TYPE_CHECKING:
    from sim_backend.bench import SimBench
    from sim_backend.instrument import SimInstrument


class Timeline:
    """All programmes of a bench that are under way."""

    def __init__(self, bench: SimBench) -> None:
        self._bench = bench
        self.schedules: list[Schedule] = []
        #: levels that outputs take by themselves, by instrument
        self.steps: dict[str, Steps] = {}
        self._running: list[Running] = []
        self._at_work = False

    # -- what goes on -----------------------------------------------------------------------------

    def add(self, schedule: Schedule) -> None:
        """Readings are due from now on."""
        if not schedule.over:
            self.schedules.append(schedule)
            if schedule.own is not None:
                self.step(schedule.meter.name, schedule.own)

    def step(self, name: str, steps: Steps) -> None:
        """An output takes levels by itself from now on."""
        self.steps[name] = steps
        if self._bench.still:  # what has been so far leaves no trace
            self._bench.seen_until_s = max(self._bench.seen_until_s, self._bench.clock.now_s)

    def drop(self, schedule: Schedule) -> None:
        """What is left of them is not taken."""
        if schedule in self.schedules:
            self.schedules.remove(schedule)
            if schedule.own is not None:
                self.steps.pop(schedule.meter.name, None)

    def start(self, instrument: SimInstrument, course: Course) -> Running:
        """Go through the steps of a sequence as they come due; the first one is done now."""
        running = Running(instrument, course, self._bench.clock.now_s)
        if not running.over:
            self._running.append(running)
        return running

    @property
    def idle(self) -> bool:
        """Nothing goes on."""
        return not (self.schedules or self.steps or self._running)

    def wake(self, instrument: SimInstrument | None = None) -> tuple[float, str] | None:
        """When to look again for something that has ended, bench time, s, and what goes on until
        then; None: nothing ends by itself.

        Args:
            instrument: only what this one does; none: all.
        """
        mine = [r for r in self._running if not r.over and instrument in (None, r.instrument)]
        if mine:
            first = min(mine, key=lambda running: running.due_s)
            return first.due_s, first.what
        sweep = self._bench.sweep
        if sweep is not None and not math.isfinite(sweep.end_s):
            sweep = None  # it goes on for ever, but who reads in it may be through before
        ends_s = [sweep.end_s] if sweep and (instrument is None or sweep.has(instrument)) else []
        ends_s += [
            schedule.end_s
            for schedule in self.schedules
            if (instrument is None or schedule.meter.name == instrument.name)
            and not (sweep and sweep.has(schedule.meter))
        ]
        known = [end_s for end_s in ends_s if math.isfinite(end_s)]
        return (max(known), "integrate") if known else None

    # -- time -------------------------------------------------------------------------------------

    def _stop_s(self) -> float:
        """When something changes that all later moments meet, s."""
        stops = [running.due_s for running in self._running]
        stops += [schedule.stop_s for schedule in self.schedules]
        if self._bench.sweep is not None:
            stops.append(self._bench.sweep.end_s)
        return min(stops, default=math.inf)

    def catch_up(self, *, changes: bool = False) -> None:
        """Bring to pass what is due by now.

        Args:
            changes: something may change now: devices live up to this moment.
        """
        if self._at_work or self.idle:
            return
        clock = self._bench.clock
        now_ns = clock.now_ns
        self._running = [running for running in self._running if not running.over]
        self._at_work = True
        try:
            while (stop_s := self._stop_s()) <= now_ns * 1e-9 + ROUNDING_S:
                clock.now_ns = min(now_ns, max(0, round(stop_s * 1e9)))
                self._live(stop_s, changes=True)
                self._pass(stop_s)
            clock.now_ns = now_ns
            self._live(clock.now_s, changes=changes)
        except Exception:
            self._give_up()
            raise
        finally:
            clock.now_ns = now_ns
            self._at_work = False

    def _give_up(self) -> None:
        """Physics that has no solution must not leave anybody inside what he does."""
        for running in self._running:
            running.stop()
        meters = [self._bench.by_name[schedule.meter.name] for schedule in self.schedules]
        self.schedules, self.steps, self._running = [], {}, []
        self._bench.forget_sweep()
        for meter in meters:
            with told_by(meter):
                meter.abort()

    def _pass(self, stop_s: float) -> None:
        """Sequences go on, and a sweep ends."""
        for running in [r for r in self._running if r.due_s <= stop_s + ROUNDING_S]:
            try:
                if not running.over:
                    running.step()
            except ScpiError as error:
                running.instrument.put_error(error)
            finally:
                self._running = [one for one in self._running if not one.over]
        sweep = self._bench.sweep
        if sweep is not None and sweep.end_s <= stop_s + ROUNDING_S:
            self._bench.end_sweep()

    def _live(self, until_s: float, *, changes: bool = False) -> None:
        """Live on until then, and take the readings that are over by then."""
        due = [(schedule, schedule.due(until_s)) for schedule in self.schedules]
        under_way = any(schedule.under_way(new.stop, until_s) for schedule, new in due)
        ends = [schedule.start_s + schedule.done_s[new] for schedule, new in due]
        seen_s = self._bench.seen_until_s
        for steps in self.steps.values():
            since, by = np.searchsorted(steps.from_s, (seen_s + ROUNDING_S, until_s + ROUNDING_S),
                                        side="right")  # fmt: skip
            ends.append(steps.from_s[since:by])
        if changes and (self._bench.plant.takes_time or under_way):
            ends.append(np.array([until_s]))
        at = _stretches(ends, seen_s)
        if at is None:
            return
        begins_s, ends_s = at
        seen = self._see(begins_s, ends_s, due)
        for schedule, new in due:
            if schedule in self.schedules:
                schedule.take(new, Past(begins_s, ends_s, seen[schedule.meter.name]))
                if schedule.over:
                    self.drop(schedule)

    def _see(
        self, begins_s: Array, ends_s: Array, due: list[tuple[Schedule, slice]]
    ) -> dict[str, Seen]:
        """What all instruments see in stretches of time that follow each other."""
        levels = {name: steps.at(begins_s) for name, steps in self.steps.items()}
        meters = [schedule.meter for schedule, new in due if new.stop > new.start]
        if not self._bench.still:
            return self._see_each(begins_s, ends_s, self._windows(begins_s, ends_s, due), {})
        # Where nothing depends on time, what has the same levels is worked out once.
        begins = np.ones(len(ends_s), dtype=bool)
        begins[1:] = False
        for level in levels.values():
            begins[1:] |= level[1:] != level[:-1]
        first = np.flatnonzero(begins)
        last = np.append(first[1:], len(ends_s)) - 1
        window_s = min((meter.window_s for meter in meters), default=0.0)
        points = Points(begins_s[first], ends_s[last], window_s)
        seen = self._bench.run(points, {name: level[first] for name, level in levels.items()})
        group = np.cumsum(begins) - 1
        return {meter.name: seen[meter.name].at(group) for meter in {s.meter for s, _ in due}}

    def _windows(self, begins_s: Array, ends_s: Array, due: list[tuple[Schedule, slice]]) -> Array:
        """Over which part at the end of each stretch anybody integrates, s, [S]."""
        found = np.zeros(len(ends_s))
        for schedule, new in due:
            done = schedule.start_s + schedule.done_s[new.start : new.stop + 1]
            from_s = done - schedule.meter.integration_s
            last = np.searchsorted(ends_s, done - ROUNDING_S)
            first = np.searchsorted(ends_s, from_s + ROUNDING_S, side="right")
            whole = (first >= last) & (last < len(ends_s))
            at = last[whole]
            inside = np.minimum(schedule.meter.window_s, ends_s[at] - begins_s[at])
            found[at] = np.maximum(found[at], inside)
            for a, b, since in zip(first[~whole], last[~whole], from_s[~whole], strict=True):
                part = slice(a, min(b + 1, len(ends_s)))
                inside = ends_s[part] - np.maximum(begins_s[part], since)
                found[part] = np.maximum(found[part], inside)
        # Where nobody looks: that of who looks next, so that both go together.
        unread = np.flatnonzero(found == 0)
        next_s = np.full(len(unread), np.inf)
        for schedule, _ in due:
            at = np.searchsorted(schedule.start_s + schedule.done_s, ends_s[unread] - ROUNDING_S)
            done_s = np.append(schedule.start_s + schedule.done_s, np.inf)[at]
            found[unread[done_s < next_s]] = schedule.meter.window_s
            next_s = np.minimum(next_s, done_s)
        return found

    def _see_each(
        self, begins_s: Array, ends_s: Array, windows_s: Array, levels: dict[str, Array]
    ) -> dict[str, Seen]:
        """The same, together what has the same window."""
        seen: dict[str, Seen] = {}
        cuts = [0, *(np.flatnonzero(np.diff(windows_s)) + 1).tolist(), len(ends_s)]
        for a, b in pairwise(cuts):
            points = Points(begins_s[a:b], ends_s[a:b], float(windows_s[a]))
            part = self._bench.run(points, {name: level[a:b] for name, level in levels.items()})
            seen = {name: seen[name].then(one) if seen else one for name, one in part.items()}
        return seen


def _stretches(ends: list[Array], since_s: float) -> tuple[Array, Array] | None:
    """Begins and ends of the stretches between these times; None: there are none."""
    times = np.unique(np.concatenate(ends)) if ends else np.empty(0)
    if not len(times):
        return None
    times = times[np.append(np.diff(times) > ROUNDING_S, True)]
    return np.concatenate(([min(since_s, float(times[0]))], times[:-1])), times
