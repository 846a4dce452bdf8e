"""A hardware-timed sweep: who triggers whom, and when each reading is due."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sim_backend.devices import Points
from sim_backend.seen import Seen

if TYPE_CHECKING:
    from sim_backend.bench import SimBench
    from sim_backend.models.keithley2400 import Keithley2400
    from sim_backend.models.keithley6221 import Keithley6221

Array = NDArray[np.float64]
_ROUNDING_S = 1e-9  # of the clock


@dataclass(eq=False)
class Part:
    """A meter's part, times in s from the sweep's start.

    Attributes:
        meter: the meter.
        upstream: the meter whose pulses trigger it; None: the source.
        offset_s: from the source's pulse to its trigger, if nobody is late.
        trigger_s: when the triggers come that it takes, shape [n].
        done_s: when the reading of each is done, [n].
        point: the point of the list that each reading sees, [n].
        taken: readings that it has taken by now.
    """

    meter: Keithley2400
    upstream: Part | None
    offset_s: float
    trigger_s: Array = field(default_factory=lambda: np.empty(0))
    done_s: Array = field(default_factory=lambda: np.empty(0))
    point: NDArray[np.intp] = field(default_factory=lambda: np.empty(0, dtype=np.intp))
    taken: int = 0

    def cut(self, left: int | np.intp) -> None:
        """Only the first ``left`` triggers come."""
        self.trigger_s, self.done_s = self.trigger_s[:left], self.done_s[:left]
        self.point = self.point[:left]


class Sweep:
    """One run of the source's list, from its start until it has ended or is cut off.

    The Trigger Link is one bundle of lines that all instruments share: who puts a pulse on a line
    triggers whoever listens there.  A trigger that comes while its listener is busy is lost.
    """

    def __init__(self, bench: SimBench, source: Keithley6221, meters: list[Keithley2400]) -> None:
        self.bench, self.source = bench, source
        self.start_s = bench.clock.now_s
        self.levels = source.sweep_levels()
        delay = np.asarray(source.state["list_delay"], dtype=np.float64)
        pulse = delay if source.state["trigger_output_event"] == "DEL" else np.zeros_like(delay)
        self.parts, ring = self._walk(meters)
        #: meters whose pulses release the source's next point
        self.ring = ring or []
        self._lines = self._pulse_lines()
        count = points = len(self.levels)
        if source.state["trigger_source"] == "IMM":
            period = delay
        else:
            # The list's first point comes without a trigger where the source bypasses it.
            points = min(count, int(source.state["trigger_direction"] == "SOUR"))
            period = pulse
            if ring is not None and points:
                # Each further point waits for the pulse that the one before has sent round; a
                # pulse that is back before the source's own delay has ended is lost.
                last = ring[-1] if ring else None
                period = pulse + (last.offset_s + last.meter.measure_time_s if last else 0.0)
                most = min((part.meter.remaining for part in ring), default=count)
                early = np.flatnonzero(period < delay - _ROUNDING_S)
                points = min(count, most + 1, int(early[0]) + 1 if len(early) else count)
                points = min(points, *(self._until_lost(line, count) for line in self._lines))
        over = np.flatnonzero(np.abs(self.levels) > source.most_a)
        self.done = points == count
        ends = self.done
        if source.state["sweep_abort"] and len(over) and over[0] < points:
            # The source gives up at the first point that it cannot drive.
            points, ends, self.done = int(over[0]) + 1, True, False
        self.begins = np.concatenate(([0.0], np.cumsum(period)))[:points]
        #: when the source is through with its list; never, if it waits for a trigger in vain
        self._source_end_s = float(self.begins[-1] + delay[points - 1]) if ends else np.inf
        pulses = source.state["trigger_output_event"] != "NONE"
        #: of the source
        self._pulses_s = self.begins + pulse[:points] if pulses else np.empty(0)
        for part in self.parts:
            self._time(part, self._pulses_s)
            begins = self.start_s + part.done_s - part.meter.integration_s
            bench.faults.on_schedule(part.meter.name, part.meter.taken + 1, begins)
        self._seen: dict[str, Seen] = {meter.name: Seen.nothing(0) for meter in meters}
        self._begun = 0
        #: when the time of each level is over
        self._ends_s = self.begins + period[:points]

    def _walk(self, meters: list[Keithley2400]) -> tuple[list[Part], list[Part] | None]:
        """Follow a pulse of the source along the lines.

        Returns:
            The parts in the order in which it reaches them, and those through which it comes back
            to the source (None: it does not).
        """
        state = self.source.state
        waiting = [meter for meter in meters if meter.awaits_trigger]
        parts: list[Part] = []
        ring: list[Part] | None = None
        lines: deque[tuple[int, float, list[Part]]] = deque([(state["trigger_out"], 0.0, [])])
        while lines and state["trigger_output_event"] != "NONE":
            line, at, way = lines.popleft()
            if line == state["trigger_in"] and ring is None:
                ring = way
            for meter in [m for m in waiting if m.state["trigger_in"] == line]:
                waiting.remove(meter)
                part = Part(meter, way[-1] if way else None, at)
                parts.append(part)
                if "SENS" in meter.state["trigger_output_events"]:
                    out = meter.state["trigger_out"]
                    lines.append((out, at + meter.measure_time_s, [*way, part]))
        return parts, ring

    def _time(self, part: Part, pulses_s: Array) -> None:
        """Which triggers a meter takes, and when."""
        meter = part.meter
        triggers = pulses_s if part.upstream is None else part.upstream.done_s
        triggers = triggers[self._noticed(meter.state["trigger_in"], len(triggers))]
        takes = meter.measure_time_s
        if np.any(np.diff(triggers) < takes - _ROUNDING_S):
            kept: list[float] = []
            for at in triggers.tolist():
                if not kept or at >= kept[-1] + takes - _ROUNDING_S:
                    kept.append(at)
            triggers = np.array(kept)
        part.trigger_s = triggers[: meter.remaining]
        part.done_s = part.trigger_s + takes
        begins_to_see = part.trigger_s + takes - meter.integration_s
        part.point = np.searchsorted(self.begins, begins_to_see + _ROUNDING_S, side="right") - 1

    # -- pulses that nobody notices ---------------------------------------------------------------

    def _noticed(self, line: int, count: int) -> NDArray[np.bool_]:
        """Which of the sweep's pulses on a line listeners will notice, [count]."""
        return self.bench.faults.kept_pulses(line, self.bench.pulses[line] + 1, count)

    def _until_lost(self, line: int, count: int) -> int:
        """Points until the source waits in vain for a pulse that is lost on a line."""
        kept = self._noticed(line, count)
        return count if kept.all() else int(kept.argmin()) + 1

    def _pulse_lines(self) -> list[int]:
        """The lines that a pulse goes along on its way round the ring."""
        meters = [part.meter for part in self.ring]
        return [one.state["trigger_out"] for one in (self.source, *meters)]

    def _count_pulses(self) -> None:
        """The pulses that the lines have had by now."""
        since = self.bench.clock.now_s - self.start_s + _ROUNDING_S
        given = [(self.source.state["trigger_out"], self._pulses_s[self._pulses_s <= since])]
        for part in self.parts:
            if "SENS" in part.meter.state["trigger_output_events"]:
                given.append((part.meter.state["trigger_out"], part.done_s[: part.taken]))
        for line, times_s in given:
            self.bench.faults.on_pulses(line, self.bench.pulses[line] + 1, self.start_s + times_s)
            self.bench.pulses[line] += len(times_s)

    # -- time -------------------------------------------------------------------------------------

    @property
    def last_reading_s(self) -> float:
        """Bench time of the last reading, s."""
        last = max((part.done_s[-1] for part in self.parts if len(part.done_s)), default=0.0)
        return float(self.start_s + last)

    @property
    def end_s(self) -> float:
        """Bench time at which source and meters are through, s; infinite where they never are."""
        return max(self.start_s + self._source_end_s, self.last_reading_s)

    def _begun_by_now(self) -> int:
        since = self.bench.clock.now_s - self.start_s
        return int(np.searchsorted(self.begins, since + _ROUNDING_S, side="right"))

    def levels_at(self, times_s: Array) -> Array:
        """The levels that are on at these bench times, A."""
        begun = np.searchsorted(self.begins, times_s - self.start_s + _ROUNDING_S, side="right")
        before = float(self.source.state["level"])
        found: Array = np.concatenate(([before], self.levels))[begun]
        return found

    def level_a(self) -> float:
        """The level that is on now, A."""
        return float(self.levels_at(np.array([self.bench.clock.now_s]))[0])

    def catch_up(self) -> None:
        """Take the readings that are due by now."""
        begun = self._begun_by_now()
        if begun > self._begun:
            new = slice(self._begun, begun)
            begins, ends = self.start_s + self.begins[new], self.start_s + self._ends_s[new]
            window = min((part.meter.window_s for part in self.parts), default=0.0)
            levels = {self.source.name: self.levels[new]}
            through = self.bench.run(Points(begins, ends, window), levels)
            for name in self._seen:
                self._seen[name] = self._seen[name].then(through[name])
            self._begun = begun
        since = self.bench.clock.now_s - self.start_s
        for part in self.parts:
            due = int(np.searchsorted(part.done_s, since + _ROUNDING_S, side="right"))
            if due > part.taken:
                new = slice(part.taken, due)
                part.taken = due
                seen = self._seen[part.meter.name].at(part.point[new])
                part.meter.record(seen, self.start_s + part.done_s[new])

    def drop(self, meter: Keithley2400) -> None:
        """A meter leaves: whoever waits for its pulses from now on waits in vain."""
        self.catch_up()
        since = self.bench.clock.now_s - self.start_s
        gone = [part for part in self.parts if part.meter is meter]
        for part in self.parts:
            if part.upstream in gone:
                gone.append(part)
                part.cut(np.searchsorted(part.trigger_s, since + _ROUNDING_S, side="right"))
            elif part in gone:
                part.cut(part.taken)
        paced = self.source.state["trigger_source"] == "IMM"
        if not paced and self._begun < len(self.begins) and any(p in self.ring for p in gone):
            # The source has begun its last point: it waits for the next trigger in vain.
            self.begins = self.begins[: self._begun]
            self._source_end_s, self.done = np.inf, False
            for part in self.parts:
                part.cut(np.searchsorted(part.point, self._begun))

    def finish(self) -> None:
        """Take the readings due by now and tell the source that the sweep is over."""
        self.catch_up()
        self._count_pulses()
        done = self.done and self.bench.clock.now_s >= self.end_s - _ROUNDING_S
        self.source.sweep_ended(self.level_a(), done=done)
