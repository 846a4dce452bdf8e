"""How the bench's time passes while it is served to other programs."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from sim_backend.clock import Clock

if TYPE_CHECKING:
    from sim_backend.bench import SimBench

#: how often the bench is brought up to the wall clock while nobody says anything, wall seconds
TICK_S = 0.02
#: bench time from one poll of a program that waits to its next, s (assumed)
POLL_S = 0.01


class ServedClock(Clock):
    """A clock in whose time nobody sleeps: the server brings it up to the wall clock."""

    def wait_wall(self, bench_seconds: float) -> None:
        """Nothing: the wait is over when this is called."""


class Pace:
    """Wall time and bench time of a bench that is served.

    With ``realtime`` the bench is never behind the wall clock, and who asks for something that
    takes bench time is answered when that time is over.  Without it the bench's time is virtual:
    messages cost what they cost at once, and while an instrument is in its trigger model, whoever
    polls it or waits for its reply moves the clock to the end of what runs.

    Args:
        bench: the bench; its clock becomes one that the server moves.
        realtime: bench seconds per wall second; None: virtual time.
        wall: the wall clock, s.
    """

    def __init__(
        self,
        bench: SimBench,
        realtime: float | None,
        wall: Callable[[], float] = time.monotonic,
    ) -> None:
        self._bench, self.wall = bench, wall
        clock = ServedClock(realtime)
        clock.now_ns = bench.clock.now_ns
        bench.clock = clock
        self.realtime = realtime
        self._wall_s, self._bench_s = wall(), clock.now_s

    def _behind_s(self) -> float:
        """Bench seconds that the bench is behind the wall clock; negative: ahead."""
        assert self.realtime is not None
        due_s = self._bench_s + (self.wall() - self._wall_s) * self.realtime
        return due_s - self._bench.clock.now_s

    def follow(self) -> None:
        """Bring the bench up to the wall clock."""
        if self.realtime is not None:
            behind_s = self._behind_s()
            if behind_s > 0:
                self._bench.pause(behind_s)

    def ahead_s(self) -> float:
        """Wall seconds until the wall clock is where the bench is."""
        if self.realtime is None:
            return 0.0
        return max(0.0, -self._behind_s() / self.realtime)

    def wait(self) -> None:
        """Somebody polls, or waits for a reply that is not there yet."""
        bench = self._bench
        if self.realtime is None and (
            bench.faults.waits()
            or any(instrument.busy or instrument.pending for instrument in bench.by_name.values())
        ):
            bench.pause(POLL_S)
