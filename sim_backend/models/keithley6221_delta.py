"""Delta mode of a Keithley 6221 with a 2182A on its serial relay, and the buffer of its readings.

A bench's 2182A is taken to hang on the relay: the first one in its file.  A finite count runs by
itself, and an endless one measures whenever it is asked.  Page numbers are of the 622x Reference
Manual, 622X-901-01.  From memory: which errors are queued, what is obeyed while a finite count
runs, and that its last level stays on.
"""

from __future__ import annotations

import math
from collections import deque

import numpy as np

from sim_backend.models.electrical import NAN, OVERFLOW, check_work
from sim_backend.models.keithley2182a_meter import Nanovoltmeter
from sim_backend.models.keithley6221_wave import WaveSource
from sim_backend.programme import Course, Process, Running, at_once
from sim_backend.scpi import Row, ScpiError

# Measurement register, p. 11-16.
READING, BUFFER_AVAILABLE, BUFFER_HALF, BUFFER_FULL = 1 << 5, 1 << 7, 1 << 8, 1 << 9


class DeltaMode(WaveSource):
    """What alternates its current, and lets a nanovoltmeter read."""

    stored: list[tuple[float, float]]

    def _set_defaults(self) -> None:
        super()._set_defaults()
        self.delta_armed = False
        self.clear_buffer()
        self._forget()

    def _forget(self) -> None:
        self.seen_v: deque[float] = deque(maxlen=3)
        self.cycle = 0
        self.latest: tuple[float, float] | None = None  #: reading and time since the start, s
        self.fresh = False
        self.delta_start_s: float | None = None
        self.delta_run: Running | None = None

    @property
    def delta_runs(self) -> bool:
        """A finite count is under way."""
        return self.delta_run is not None and not self.delta_run.over

    def stop_delta(self) -> None:
        """The readings by now are kept."""
        if self.delta_run is not None:
            self.delta_run.stop()

    def _has_to_wait(self, row: Row) -> bool:
        """Meanwhile it tells its readings as they come."""
        if self.delta_runs and row.do in ("ask_latest", "ask_fresh"):
            return not self.fresh if row.do == "ask_fresh" else self.latest is None
        return super()._has_to_wait(row)

    @property
    def meter(self) -> Nanovoltmeter | None:
        """The 2182A on the serial relay."""
        found = (one for one in self.bench.by_name.values() if isinstance(one, Nanovoltmeter))
        return next(found, None)

    def ask_meter(self) -> int:
        return int(self.meter is not None)

    def set_delta_high(self, value: float) -> None:
        """LOW follows, with the other sign (memory)."""
        self.state["delta_low_a"] = -value

    def arm_delta(self) -> None:
        """Raises: ScpiError -241, there is no 2182A."""
        if self.meter is None:
            raise ScpiError(-241)
        self.abort()
        self._forget()
        self.leave_wave()
        self.delta_armed = True
        self.state["output"] = True
        self.bench.touch()

    def ask_delta_armed(self) -> int:
        return int(self.delta_armed)

    def start_delta(self) -> None:
        count = self.state["delta_count"]
        self._forget()
        self.delta_start_s = self.bench.clock.now_s
        if count < math.inf:
            check_work(3 * count)
            self.clear_buffer()
            self.delta_run = self.lab.start(self, self._cycles(int(count)))

    def _cycles(self, count: int) -> Course:
        while self.cycle < count:
            if (yield from self._cycle()):
                break

    def _convert(self) -> Process[bool]:
        """One level and its voltage; whether the source held its compliance."""
        meter = self.meter
        assert meter is not None  # delta mode is armed
        state, high = self.state, (self.cycle + len(self.seen_v)) % 2 == 0
        if len(self.seen_v) == 3:
            high = self.cycle % 2 == 0
        state["level"] = state["delta_high_a" if high else "delta_low_a"]
        self.bench.touch()
        yield state["delta_delay_s"], "settle"
        before, self.measurement_event = self.measurement_event, 0
        self.seen_v.append((yield from meter.read_volt()))
        held = bool(self.measurement_event & 8)
        self.measurement_event |= before
        return held

    def _cycle(self) -> Process[bool]:
        """One more reading, of the last three voltages (p. 5-22); whether it aborts the run."""
        held = yield from self._convert()
        while len(self.seen_v) < 3:
            held |= yield from self._convert()
        x, y, z = self.seen_v
        value = (x - 2 * y + z) / 4 * (-1) ** self.cycle
        for bad in (NAN, OVERFLOW):
            value = bad if bad in self.seen_v else value
        self.cycle += 1
        assert self.delta_start_s is not None
        self.latest = self._in_unit(value), self.bench.clock.now_s - self.delta_start_s
        self.fresh = True
        self.set_condition("measurement", READING, False)
        self.set_condition("measurement", READING, True)
        self._store()
        return held and bool(self.state["delta_abort"])

    def _in_unit(self, volt: float) -> float:
        """V, ohm, W or S of half the step of the current."""
        ampere = float(self.state["delta_high_a"] - self.state["delta_low_a"]) / 2
        kind = self.state["unit"]
        if volt in (OVERFLOW, NAN) or kind == "V":
            return volt
        if kind == "W":
            return volt * ampere
        top, bottom = (volt, ampere) if kind == "OHMS" else (ampere, volt)
        return top / bottom if bottom else OVERFLOW

    def ask_latest(self) -> bytes:
        """Raises: ScpiError -221, delta mode does not run."""
        if self.delta_start_s is None or not self.delta_armed:
            raise ScpiError(-221)
        if self.state["delta_count"] == math.inf:
            at_once(self.lab, self._cycle())
        if self.latest is None:  # the count was changed under a run that has not measured yet
            raise ScpiError(-230)
        self.fresh = False
        return self._shown([self.latest])

    def ask_fresh(self) -> bytes:
        if self.delta_armed and self.state["delta_count"] < math.inf and not self.fresh:
            raise ScpiError(-230)
        return self.ask_latest()

    # -- buffer -----------------------------------------------------------------------------------

    def _store(self) -> None:
        state = self.state
        if state["buffer_control"] == "NEV" or state["buffer_feed"] == "NONE":
            return
        most = state["buffer_points"]
        if len(self.stored) >= most:
            if state["buffer_control"] == "NEXT":
                return
            self.stored = self.stored[1:]
        assert self.latest is not None
        self.stored.append(self.latest)
        self.set_condition("measurement", BUFFER_AVAILABLE, len(self.stored) >= 2)
        self.set_condition("measurement", BUFFER_HALF, 2 * len(self.stored) >= most)
        self.set_condition("measurement", BUFFER_FULL, len(self.stored) >= most)

    def clear_buffer(self) -> None:
        self.stored = []
        bits = BUFFER_AVAILABLE | BUFFER_HALF | BUFFER_FULL
        self.set_condition("measurement", bits, False)

    def set_buffer_points(self, _: int) -> None:
        self.clear_buffer()

    def ask_stored(self) -> int:
        return len(self.stored)

    def ask_buffer(self) -> bytes:
        return self._shown(self.stored)

    def _shown(self, readings: list[tuple[float, float]]) -> bytes:
        """Raises: ScpiError -230, there are none."""
        if not readings:
            raise ScpiError(-230)
        state = self.state
        columns = [at for at, name in enumerate(("READ", "TST")) if name in state["elements"]]
        flat = np.array(readings)[:, columns].ravel()
        self.bench.pass_time(self.bench.truth.costs.reading_s * len(flat), "fetch")
        if state["format"] == "ASC":
            return ",".join(f"{value:+.6E}" for value in flat).encode()
        order = "<" if state["border"] == "SWAP" else ">"
        return b"#0" + flat.astype(order + ("f8" if state["format"] == "REAL" else "f4")).tobytes()
