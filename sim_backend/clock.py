"""The bench's own time."""

from __future__ import annotations

import threading


class Clock:
    """Virtual time in whole nanoseconds, moved along by what the instruments would take.

    Args:
        realtime: bench seconds that pass in a second of waiting; None: waiting takes no time.
    """

    def __init__(self, realtime: float | None = None) -> None:
        if realtime is not None and not realtime > 0:
            raise ValueError(f"realtime = {realtime:g}: give bench seconds per second, above 0")
        self.now_ns = 0
        self.realtime = realtime
        self._pause = threading.Event()  # never set: its wait() is a sleep

    @property
    def now_s(self) -> float:
        """Bench time, s."""
        return self.now_ns * 1e-9

    def advance(self, seconds: float) -> None:
        """Let ``seconds`` (>= 0) pass."""
        self.now_ns += max(0, round(seconds * 1e9))

    def wait_wall(self, bench_seconds: float) -> None:
        """Take the time off the wall clock that ``bench_seconds`` are worth in real-time mode."""
        if self.realtime is not None:
            self._pause.wait(bench_seconds / self.realtime)
