"""Keithley 2400 SourceMeter: its trigger model, and what holds the other files together.

The language is in :mod:`sim_backend.models.keithley2400_table`, the electrical side in
:mod:`~sim_backend.models.keithley2400_source`, readings in
:mod:`~sim_backend.models.keithley2400_readings` and
:mod:`~sim_backend.models.keithley2400_buffer`, own sweeps in
:mod:`~sim_backend.models.keithley2400_sweep`.  Page numbers are of the 2400 Series User's Manual,
2400S-900-01 rev. K.  Not simulated: math and limit tests, digital I/O, source memory, offset
compensation, endless arm counts, arm events of the trigger link.
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
from sim_backend.programme import Schedule, Steps
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
        self.points: Array | None = None  # of a sweep of its own
        self.schedule: Schedule | None = None  # readings that come by themselves
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
            ScpiError: -213, it has; 803, the output is off; -221, too many readings.
        """
        state = self.state
        if self.remaining:
            raise ScpiError(-213)
        if not (state["output"] or state["auto_clear"]):
            raise ScpiError(803)
        count = state["arm_count"] * state["trigger_count"]
        if count > MOST:
            raise ScpiError(-221)
        check_work(count * self.repeats)
        self.points = self.levels() if self.sweeps else None
        self.last = Readings()
        self.remaining, self.done = count, 0
        if state["auto_clear"]:
            state["output"] = True
            self.bench.touch()
        if state["arm_source"] in ("IMM", "TIM"):
            self._pass(state["arm_count"])
        elif state["arm_direction"] == "SOUR":  # the bypass, once
            self._pass()
        else:
            self._show(AWAITS_ARM)

    def trigger(self) -> None:
        if self.remaining and not self.armed and self.state["arm_source"] == "BUS":
            self._pass()

    def _pass(self, times: int = 1) -> None:
        """Into the trigger layer: readings follow each other, or come with triggers.

        Args:
            times: passes of the arm layer; its timer paces them (p. 18-119).
        """
        self.armed = True
        if not self._immediate:
            self._show(AWAITS_TRIGGER)
            return
        self._show(SWEEPING if self.points is not None else 0)
        if self.points is None:
            self._find_range()
        begins_s, count, each = [], self.state["trigger_count"], self.measure_time_s
        timer_s = self.state["arm_timer_s"] if self.state["arm_source"] == "TIM" else 0.0
        start_s = free_s = self.bench.clock.now_s
        for number in range(times):
            begins_s.append(max(free_s, start_s + number * timer_s))
            free_s = begins_s[-1] + count * each
        done_s = np.add.outer(begins_s, each * np.arange(1.0, count + 1)).ravel()
        self.bench.faults.on_schedule(self.name, self.taken + 1, done_s - self.integration_s)
        self.schedule = Schedule(
            self, 0.0, done_s, self.own_levels(done_s - each), bool(self.state["auto_clear"]),
            self.decides,
        )  # fmt: skip
        self.bench.timeline.add(self.schedule)

    @property
    def decides(self) -> bool:
        """Each reading of a sweep of its own decides whether there is a next one."""
        return self.points is not None and self.state["sweep_abort"] != "NEV"

    def own_levels(self, from_s: Array) -> Steps | None:
        """What a sweep of its own puts out from these times on, bench time, s; None: none runs."""
        if self.points is None:
            return None
        levels = self.points[(self.done + np.arange(len(from_s))) % len(self.points)]
        return Steps(from_s, levels, self.level)

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
        ends = self.state["sweep_abort"] if levels is not None and true.limited.any() else "NEV"
        if levels is not None:
            self.held = float(levels[-1])
        if ends == "EARL":
            self.abort()
            return
        super().record(true, time_s, levels)
        self.remaining, self.done = self.remaining - len(time_s), self.done + len(time_s)
        if not self.remaining:
            self._idle()
        elif ends == "LATE":
            self.abort()
        elif self.schedule is not None and self.schedule.over:
            self.armed = False  # the next pass has an arm event of its own
            self._show(AWAITS_ARM)

    def _leave(self) -> None:
        """What it would still measure, it does not; a sweep's level stays on."""
        if self.schedule is not None:
            steps = self.bench.timeline.steps.get(self.name)
            if steps is not None and not self.schedule.over:
                self.held = float(steps.at(np.array([self.bench.clock.now_s]))[0])
            self.bench.timeline.drop(self.schedule)
            self.schedule = None

    def _idle(self) -> None:
        self._leave()
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
        """``:SYSTem:PRESet``: as ``*RST``, but bytes are SWAPped (p. 18-9); what else differs is of
        the front panel (memory)."""
        self.reset()
        self.state.update(delay=AUTO_DELAY_S, byte_order="SWAP")

    def beep(self, _: object) -> None:
        """Nobody hears it."""


_READS = ("ask_read", "ask_measure", "ask_measure_current", "ask_measure_voltage",
          "ask_measure_resistance")  # fmt: skip
_FETCH = Unit(TABLE.find(":FETC", True), True, "")
