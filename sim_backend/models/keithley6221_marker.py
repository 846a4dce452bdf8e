"""The phase marker of a Keithley 6221: pulses of its wave on a line of the trigger link.

Not simulated: pulses of the marker that get lost on their line, and other listeners than a 2400.
"""

from __future__ import annotations

import math

import numpy as np

from sim_backend.models.keithley2400 import Keithley2400
from sim_backend.models.keithley6221_delta import DeltaMode
from sim_backend.programme import Schedule


class Marker(DeltaMode):
    """What triggers those who listen to its marker's line: each takes the first pulse that comes
    when it is ready, and misses the others."""

    def _set_defaults(self) -> None:
        for schedule, _ in getattr(self, "_marked", {}).values():
            self.bench.timeline.drop(schedule)
        super()._set_defaults()
        #: readings that its pulses start, and how many the meter owed when they were found
        self._marked: dict[Keithley2400, tuple[Schedule, int]] = {}

    def _catch_up(self) -> None:
        """Whoever acts on a message may have begun, or ceased, to wait for pulses."""
        super()._catch_up()
        if self.wave_start_s is None and not self._marked:
            return
        for meter, (schedule, owed) in list(self._marked.items()):
            left = owed - schedule.taken
            if not self._marks(meter) or meter.remaining != left or schedule.over:
                self.bench.timeline.drop(schedule)
                del self._marked[meter]
        for one in self.bench.by_name.values():
            if isinstance(one, Keithley2400) and self._marks(one) and one not in self._marked:
                self._trigger(one)

    def _marks(self, meter: Keithley2400) -> bool:
        """A meter waits for the marker's pulses."""
        mine = self.wave_start_s is not None and self.state["marker_on"]
        sweep = self.bench.sweep
        swept = sweep is not None and sweep.has(meter)
        on_line = meter.state["trigger_in"] == self.state["marker_line"]
        return bool(mine and on_line and meter.awaits_trigger and not swept)

    def _trigger(self, meter: Keithley2400) -> None:
        period_s, takes_s = 1 / self.state["wave_hz"], meter.measure_time_s
        now_s = self.bench.clock.now_s
        pulses = self.marker_pulses_s(now_s, now_s + 2 * period_s)
        if not len(pulses):
            return
        stride = max(1, math.ceil(takes_s / period_s - 1e-6))
        at = pulses[0] + stride * period_s * np.arange(meter.remaining)
        done_s = at[at <= self.wave_ends_s] + takes_s
        self.bench.faults.on_schedule(meter.name, meter.taken + 1, done_s - meter.integration_s)
        schedule = Schedule(meter, 0.0, done_s, meter.own_levels(done_s - takes_s))
        self._marked[meter] = schedule, meter.remaining
        self.bench.timeline.add(schedule)
