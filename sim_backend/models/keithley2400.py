"""Keithley 2400 SourceMeter: its trigger model, and what holds the other files together.

The language is in :mod:`sim_backend.models.keithley2400_table`, the electrical side in
:mod:`~sim_backend.models.keithley2400_source`, readings in
:mod:`~sim_backend.models.keithley2400_readings` and
:mod:`~sim_backend.models.keithley2400_buffer`, own sweeps in
:mod:`~sim_backend.models.keithley2400_sweep`.  Page numbers are of the 2400 Series User's Manual,
2400S-900-01 rev. K.  Not simulated: math and limit tests, digital I/O, source memory, offset
compensation, endless arm counts, arm events of the trigger link, own sweeps on the trigger link.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sim_backend.devices import Points
from sim_backend.models.electrical import check_work
from sim_backend.models.keithley2400_readings import MOST, Array, Readings
from sim_backend.models.keithley2400_source import AUTO_DELAY_S, HEADROOM
from sim_backend.models.keithley2400_sweep import Sweeper
from sim_backend.models.keithley2400_table import TABLE, TEST_A
from sim_backend.scpi import ScpiError, Unit
from sim_backend.seen import Seen

if TYPE_CHECKING:
    from sim_backend.bench import SimBench

SWEEPING, AWAITS_TRIGGER, AWAITS_ARM, IDLE = 1 << 3, 1 << 5, 1 << 6, 1 << 10  # p. 15-13


class Keithley2400(Sweeper):
    """See the module's docstring."""

    table = TABLE
    identity = "KEITHLEY INSTRUMENTS INC.,MODEL 2400,0000000,C32 Oct  4 2010 14:20:11/A02  /S/K"
    message_time_s = 1e-3  # memory
    trigger_latency_s = 225e-6  # p. A-7 (specifications): typical trigger latency

    def __init__(self, name: str, bench: SimBench) -> None:
        super().__init__(name, bench)
        self.state["line_hz"] = str(bench.truth.line_hz)

    def _set_defaults(self) -> None:
        line_hz = self.state.get("line_hz")
        super()._set_defaults()
        if line_hz is not None:  # found at power-on; *RST leaves it
            self.state["line_hz"] = line_hz
        self.remaining = 0  # readings that the running trigger model still owes
        self.armed = False  # past its arm layer
        self.registers["operation"].condition = IDLE

    def units(self, message: str) -> tuple[list[Unit], ScpiError | None]:
        """:READ? is :INITiate and :FETCh?: the answer waits for the readings (p. 18-46)."""
        found, error = super().units(message)
        split: list[Unit] = []
        for unit in found:
            split += [unit, _FETCH] if unit.row.do in _READS else [unit]
        return split, error

    # -- trigger model, section 11 ----------------------------------------------------------------

    @property
    def busy(self) -> bool:
        return self.remaining > 0

    @property
    def measure_time_s(self) -> float:
        """What one reading takes: trigger and source delay, latency and integration, s."""
        state = self.state
        before = state["trigger_delay"] + self.trigger_latency_s + state["delay"]
        return float(before + self.integration_s)

    @property
    def _immediate(self) -> bool:
        state = self.state
        return bool(state["trigger_source"] == "IMM" or state["trigger_input_events"] == ("NONE",))

    @property
    def awaits_trigger(self) -> bool:
        """Waiting for a pulse on its input line."""
        return self.remaining > 0 and self.armed and not self._immediate

    def _show(self, bits: int) -> None:
        """The operation conditions."""
        self.set_condition("operation", SWEEPING | AWAITS_TRIGGER | AWAITS_ARM | IDLE, False)
        self.set_condition("operation", bits, True)

    def initiate(self) -> None:
        """Leave idle (p. 18-112).

        Raises:
            ScpiError: -213, it has; 803, the output is off; -221, too many readings, or a sweep
                on the trigger link, which is not simulated.
        """
        state = self.state
        if self.remaining:
            raise ScpiError(-213)
        if not (state["output"] or state["auto_clear"]):
            raise ScpiError(803)
        count = state["arm_count"] * state["trigger_count"]
        if count > MOST or (self.sweeps and not self._immediate):
            raise ScpiError(-221)
        check_work(count * self.repeats)
        self.points: Array | None = self.levels() if self.sweeps else None
        self.last = Readings()
        self.remaining, self.done = count, 0
        if state["auto_clear"]:
            state["output"] = True
            self.bench.touch()
        self._started_s = self.bench.clock.now_s
        if state["arm_source"] in ("IMM", "TIM"):
            self._arm()
        elif state["arm_direction"] == "SOUR":  # the bypass, once
            self._pass()
        else:
            self._show(AWAITS_ARM)

    def trigger(self) -> None:
        if self.remaining and not self.armed and self.state["arm_source"] == "BUS":
            self._pass()

    def _arm(self) -> None:
        """All passes of the arm layer; its timer paces them (p. 18-119)."""
        for number in range(self.state["arm_count"]):
            if self.state["arm_source"] == "TIM":
                due_s = self._started_s + number * self.state["arm_timer_s"]
                self.bench.pass_time(max(0.0, due_s - self.bench.clock.now_s), "integrate")
            self._pass()
            if not self._immediate or not self.remaining:
                return

    def _pass(self) -> None:
        """Into the trigger layer: readings at once, or as triggers come."""
        self.armed = True
        if not self._immediate:
            self._show(AWAITS_TRIGGER)
            return
        self._show(SWEEPING if self.points is not None else 0)
        count = self.state["trigger_count"]
        if self.points is None:
            self._find_range()
            self._measure_points(count, None)
        else:
            careful = self.state["sweep_abort"] != "NEV"
            for _ in range(count if careful else 1):
                each = 1 if careful else count
                at = (self.done + np.arange(each)) % len(self.points)
                if self._measure_points(each, self.points[at]):
                    self._idle()
                    return
        self.armed = self.remaining > 0 and self.state["arm_source"] in ("IMM", "TIM")
        if self.remaining and not self.armed:
            self._show(AWAITS_ARM)

    def _measure_points(self, count: int, levels: Array | None) -> bool:
        """Source, delay, measure; whether a sweep ends because of its limit."""
        bench, each = self.bench, self.measure_time_s
        start_s = bench.clock.now_s
        ends = start_s + each * np.arange(1.0, count + 1)
        points = Points(ends - each, ends, self.window_s)
        if levels is not None:
            self.held = float(levels[-1])
        bench.faults.on_schedule(self.name, self.taken + 1, ends - self.integration_s)
        sets = {} if levels is None else {self.name: levels}
        seen: Seen = bench.run(points, sets)[self.name]
        early = self.state["sweep_abort"] == "EARL" and levels is not None
        if early and seen.limited.any():
            return True
        bench.pass_time(count * each, "integrate")
        self.done += count
        self.record(seen, ends, levels)
        return bool(self.remaining and self.state["sweep_abort"] == "LATE" and levels is not None
                    and seen.limited.any())  # fmt: skip

    def _find_range(self) -> None:
        """Autorange of auto-ohms: test currents in turn, one conversion each (memory)."""
        state, ranges = self.state, tuple(TEST_A)
        if not (self.auto_ohms and state["ohm_auto"]):
            return
        for _ in ranges:
            self.bench.pass_time(self.window_s, "integrate")
            now = np.array([self.bench.clock.now_s])
            seen = self.bench.run(Points(now - self.window_s, now, self.window_s))[self.name]
            ohm = float("inf") if seen.limited[0] else abs(float(seen.volt[0] / seen.current_a[0]))
            span, at = state["ohm_range"], ranges.index(state["ohm_range"])
            step = 1 if ohm > HEADROOM * span else -1 if ohm < 0.1 * span else 0
            state["ohm_range"] = ranges[min(max(at + step, 0), len(ranges) - 1)]
            if state["ohm_range"] == span:
                break

    def record(self, true: Seen, time_s: Array, levels: Array | None = None) -> None:
        """Take readings that end at ``time_s``; the last one leads back to idle."""
        super().record(true, time_s, levels)
        self.remaining -= len(time_s)
        if not self.remaining:
            self._idle()

    def _idle(self) -> None:
        self.remaining, self.armed = 0, False
        self._show(IDLE)
        if self.state["auto_clear"] and self.state["output"]:
            self.state["output"] = False
            self.bench.touch()

    def abort(self) -> None:
        if self.remaining and self.bench.sweep is not None:
            self.bench.sweep.drop(self)
        self._idle()

    # -- readings, section 17 ---------------------------------------------------------------------

    def ask_fetch(self) -> bytes:
        return self._encode(self.last)

    def ask_latest(self) -> bytes:
        newest = Readings()
        for name in vars(newest):
            setattr(newest, name, getattr(self.last, name)[-1:])
        return self._encode(newest)

    def ask_read(self) -> None:
        self.initiate()

    def _one_shot(self) -> None:
        """One reading, at once, with the output on (p. 17-5)."""
        self.state.update(
            trigger_count=1, arm_count=1, trigger_source="IMM", arm_source="IMM", output=True
        )
        self.bench.touch()

    def _configure(self, name: str) -> None:
        """The function alone, its settings as after ``*RST`` (p. 17-2; which: memory)."""
        resets: dict[str, dict[str, Any]] = {
            "CURR": {"i_range": 1e-4, "i_range_auto": True},
            "VOLT": {"v_sense_range": 20.0, "v_sense_auto": True},
            "RES": {"ohm_range": 2e5, "ohm_auto": True, "ohms_mode": "AUTO"},
        }
        self.state.update(resets[name], nplc=1.0)
        self._measure((name,))
        self._one_shot()

    def configure_current(self) -> None:
        self._configure("CURR")

    def configure_voltage(self) -> None:
        self._configure("VOLT")

    def configure_resistance(self) -> None:
        self._configure("RES")

    def ask_configured(self) -> str:
        return str(self.state["sense_functions"])

    def ask_measure(self) -> None:
        """:MEASure? turns the output on, and forgets the trigger counts (p. 17-5)."""
        self._one_shot()
        self.initiate()

    def ask_measure_current(self) -> None:
        self._configure("CURR")
        self.initiate()

    def ask_measure_voltage(self) -> None:
        self._configure("VOLT")
        self.initiate()

    def ask_measure_resistance(self) -> None:
        self._configure("RES")
        self.initiate()

    # -- system -----------------------------------------------------------------------------------

    def preset(self) -> None:
        """``:SYSTem:PRESet``; what differs from ``*RST`` is of the front panel (memory)."""
        self.reset()
        self.state["delay"] = AUTO_DELAY_S

    def beep(self, _: object) -> None:
        """Nobody hears it."""


_READS = ("ask_read", "ask_measure", "ask_measure_current", "ask_measure_voltage",
          "ask_measure_resistance")  # fmt: skip
_FETCH = Unit(TABLE.find(":FETC", True), True, "")
