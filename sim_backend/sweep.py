"""A hardware-timed sweep: who triggers whom, and when each reading is due."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sim_backend.programme import ROUNDING_S, Array, Schedule, Steps

if TYPE_CHECKING:
    from sim_backend.bench import SimBench
    from sim_backend.models.keithley2400 import Keithley2400
    from sim_backend.models.keithley6221 import Keithley6221


@dataclass(eq=False)
class Part(Schedule):
    """A meter's part, times in s from the sweep's start.

    Attributes:
        upstream: the meter whose pulses trigger it; None: the source.
        offset_s: from the source's pulse to its trigger, if nobody is late.
        trigger_s: when the triggers come that it takes, shape [n].
        point: the point of the list in which each reading begins, [n].
    """

    meter: Keithley2400
    upstream: Part | None = None
    offset_s: float = 0.0
    trigger_s: Array = field(default_factory=lambda: np.empty(0))
    point: NDArray[np.intp] = field(default_factory=lambda: np.empty(0, dtype=np.intp))

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
        self.levels, self._zeros_s = source.sweep_levels(), source.sweep_zeros()
        delay = self._zeros_s + source.sweep_delays()
        pulse = delay if source.state["trigger_output_event"] == "DEL" else self._zeros_s
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
                early = np.flatnonzero(period < delay - ROUNDING_S)
                points = min(count, most + 1, int(early[0]) + 1 if len(early) else count)
                points = min(points, *(self._until_lost(line, count) for line in self._lines))
        self.done = ends = points == count and not source.sweep_endless
        if source.state["sweep_abort"]:
            over = np.flatnonzero(bench.held_at_limit(source.name, self.levels[:points]))
            if len(over):  # the source gives up at the first point that it cannot drive
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
            bench.timeline.add(part)
        self._step()

    def has(self, instrument: object) -> bool:
        """Whether it has a part in this."""
        return instrument is self.source or any(part.meter is instrument for part in self.parts)

    def _step(self) -> None:
        """The source takes its levels by itself; before some of them it is at zero."""
        points, before = len(self.begins), float(self.source.state["level"])
        zeros_s = self._zeros_s[:points]
        zero = np.flatnonzero(zeros_s)
        from_s = np.insert(self.begins + zeros_s, zero, self.begins[zero])
        levels = np.insert(self.levels[:points], zero, 0.0)
        self.steps = Steps(self.start_s + from_s, levels, before)
        self.bench.timeline.step(self.source.name, self.steps)

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
                part = Part(
                    meter, self.start_s, np.empty(0), upstream=way[-1] if way else None, offset_s=at
                )
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
        if np.any(np.diff(triggers) < takes - ROUNDING_S):
            kept: list[float] = []
            for at in triggers.tolist():
                if not kept or at >= kept[-1] + takes - ROUNDING_S:
                    kept.append(at)
            triggers = np.array(kept)
        part.trigger_s = triggers[: meter.remaining]
        part.done_s = part.trigger_s + takes
        part.own = meter.own_levels(self.start_s + part.trigger_s)
        part.careful, part.sharp = meter.decides, bool(meter.state["auto_clear"])
        begins_to_see = part.trigger_s + takes - meter.integration_s
        part.point = np.searchsorted(self.begins, begins_to_see + ROUNDING_S, side="right") - 1

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
        since = self.bench.clock.now_s - self.start_s + ROUNDING_S
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

    def level_a(self) -> float:
        """The level that is on now, A."""
        return float(self.steps.at(np.array([self.bench.clock.now_s]))[0])

    def drop(self, meter: Keithley2400) -> None:
        """A meter leaves: whoever waits for its pulses from now on waits in vain."""
        since = self.bench.clock.now_s - self.start_s
        begun = int(np.searchsorted(self.begins, since + ROUNDING_S, side="right"))
        gone = [part for part in self.parts if part.meter is meter]
        for part in self.parts:
            if part.upstream in gone:
                gone.append(part)
                part.cut(np.searchsorted(part.trigger_s, since + ROUNDING_S, side="right"))
            elif part in gone:
                part.cut(part.taken)
        paced = self.source.state["trigger_source"] == "IMM"
        if not paced and begun < len(self.begins) and any(p in self.ring for p in gone):
            # The source has begun its last point: it waits for the next trigger in vain.
            self.begins = self.begins[:begun]
            self._source_end_s, self.done = np.inf, False
            self._step()
            for part in self.parts:
                part.cut(np.searchsorted(part.point, begun))
        for part in self.parts:
            if part.over:
                self.bench.timeline.drop(part)

    def finish(self) -> None:
        """Tell the source that the sweep is over; nobody takes another reading of it."""
        self._count_pulses()
        for part in self.parts:
            self.bench.timeline.drop(part)
        self.bench.timeline.steps.pop(self.source.name, None)
        done = self.done and self.bench.clock.now_s >= self.end_s - ROUNDING_S
        self.source.sweep_ended(self.level_a(), done=done)
