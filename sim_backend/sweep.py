"""A hardware-timed sweep: who triggers whom, and when each reading is due."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from sim_backend.bench import SimBench
    from sim_backend.models.keithley2400 import Keithley2400
    from sim_backend.models.keithley6221 import Keithley6221


@dataclass(frozen=True)
class Part:
    """A meter's part: its reading of each point is done ``done_s`` after the point begins; it
    takes every ``every``-th trigger (more than 1: it is still busy when the next one comes)."""

    meter: Keithley2400
    done_s: float
    every: int


class Sweep:
    """One run of the source's list, from its start until it has ended or is cut off.

    The Trigger Link is one bundle of lines that all instruments share: who puts a pulse on a line
    triggers whoever listens there.
    """

    def __init__(self, bench: SimBench, source: Keithley6221, meters: list[Keithley2400]) -> None:
        self.bench, self.source = bench, source
        self.levels = source.sweep_levels()
        self.start_s = bench.clock.now_s
        self.parts: list[Part] = []
        state = source.state
        delay = float(state["list_delay"][0])
        paced = state["trigger_source"] == "IMM"
        pulses = [] if state["trigger_output_event"] == "NONE" else [
            (state["trigger_out"], delay if state["trigger_output_event"] == "DEL" else 0.0)
        ]  # fmt: skip
        waiting = [meter for meter in meters if meter.busy]
        back: float | None = None  # when the pulse that releases the source's next point comes
        most = min((meter.remaining for meter in waiting), default=0)
        while pulses:
            line, at = pulses.pop(0)
            if not paced and line == state["trigger_in"]:
                back = at
            for meter in [m for m in waiting if m.state["trigger_in"] == line]:
                waiting.remove(meter)
                done = at + meter.measure_time_s
                every = max(1, int(np.ceil((done - at) / delay - 1e-9))) if paced else 1
                self.parts.append(Part(meter, done, every))
                if "SENS" in meter.state["trigger_output_events"]:
                    pulses.append((meter.state["trigger_out"], done))
        count = len(self.levels)
        if paced:
            self.period_s, self.points = delay, count
        elif back is None:
            self.period_s, self.points = np.inf, 1
        else:
            # A point waits for the pulse of the one before; meters that are done send none.
            self.period_s, self.points = back, min(count, most + 1)
        self.complete = self.points == count
        most_a = state["compliance"] / bench.line_resistance_ohm
        over = np.flatnonzero(np.abs(self.levels) > most_a)
        if state["sweep_abort"] and len(over):
            # The source gives up at the first point that it cannot drive.
            self.points, self.complete = min(self.points, int(over[0]) + 1), False
        self.end_s = self.start_s + (self.points - 1) * (0 if count == 1 else self.period_s) + delay
        for part in self.parts:
            taken = min(part.meter.remaining, -(-self.points // part.every))
            last = (taken - 1) * part.every * (self.period_s if self.points > 1 else 0)
            self.end_s = max(self.end_s, self.start_s + last + part.done_s)

    def levels_until(self, now_s: float) -> NDArray[np.float64]:
        """The points that have begun by ``now_s``."""
        if self.points == 1 or not np.isfinite(self.period_s):
            return self.levels[:1]
        begun = int(np.floor((now_s - self.start_s) / self.period_s + 1e-9)) + 1
        return self.levels[: min(self.points, begun)]

    def finish(self) -> None:
        """Take the readings due by now and tell all parts that the sweep is over."""
        now = self.bench.clock.now_s
        done = self.complete and now >= self.end_s - 1e-9
        levels = self.levels if done else self.levels_until(now)
        through = self.source.current_a(levels)
        currents = self.bench.sweep_currents(through)
        for part in self.parts:
            at = np.arange(0, len(levels), part.every)
            begins = np.float64(self.start_s) + at * (self.period_s if len(levels) > 1 else 0.0)
            due = begins + part.done_s <= now + 1e-9
            at, begins = at[due][: part.meter.remaining], begins[due][: part.meter.remaining]
            if len(at):
                part.meter.record(currents[part.meter.name][at], begins + part.done_s)
        self.source.sweep_ended(float(levels[-1]), done=done)
