"""Sweeps of a Keithley 2450: what ``:SOURce:SWEep`` loads, and what ``:INITiate`` does with it.

Page numbers are of the 2450 Reference Manual, 2450-901-01 rev. B.  From memory: a sweep turns the
output on when it starts and off when it ends; a list has at most 2500 levels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sim_backend.models.electrical import check_work, next_range
from sim_backend.models.keithley2450_buffer import LIMITED
from sim_backend.models.keithley2450_readings import DEFAULT, Array, Recorder
from sim_backend.models.keithley2450_smu import HEADROOM, OUTPUT_RELAY_S
from sim_backend.models.keithley2450_table import MOST_LIST, MOST_POINTS, RANGES
from sim_backend.programme import Course, Running
from sim_backend.scpi import ScpiError

SHORTEST_DELAY_S = 50e-6  # p. 6-81


@dataclass(frozen=True)
class Sweep:
    """What ``:INITiate`` does.

    Args:
        function: VOLT or CURR; "": the source stays as it is.
        levels: one a point, V or A.
        delay_s: before each measurement, s; -1: the source's own.
        span: AUTO, BEST or FIX.
        fail_abort: the first point at the limit is the last.
        buffer: where the readings go.
    """

    function: str
    levels: Array
    delay_s: float
    span: str
    fail_abort: bool
    buffer: str


class Sweeper(Recorder):
    """What sweeps its source and measures at each point."""

    def _set_defaults(self) -> None:
        super()._set_defaults()
        self.sweep: Sweep | None = None
        self.running: Running | None = None  # what is under way of it

    @property
    def pending(self) -> bool:
        """Its trigger model runs; meanwhile it obeys (memory)."""
        return self.running is not None and not self.running.over

    def abort(self) -> None:
        """The readings by now are kept; the output stays as it is (memory)."""
        if self.running is not None:
            self.running.stop()

    def _load(self, function: str, levels: Array, options: tuple[Any, ...]) -> None:
        """Make this the next sweep.

        Args:
            function: VOLT or CURR.
            levels: of one run, V or A.
            options: delay, count, range type, fail abort, dual, buffer; None: as p. 6-81 has it.

        Raises:
            ScpiError: -222, a delay that cannot be; -221, no end; -223, too many points; -224, no
                such buffer.
        """
        delay_s, count, span, fail_abort, dual, name = options
        delay_s = -1.0 if delay_s is None else delay_s
        if delay_s not in (-1.0, 0.0) and delay_s < SHORTEST_DELAY_S:
            raise ScpiError(-222)
        if count == 0:
            raise ScpiError(-221)
        run = np.concatenate((levels, levels[-2::-1])) if dual else levels
        if len(run) * (count or 1) > MOST_POINTS:
            raise ScpiError(-223)
        self._buffer(name or DEFAULT)
        self.sweep = Sweep(
            function, np.tile(run, count or 1), delay_s, span or "BEST", fail_abort is not False,
            name or DEFAULT,
        )  # fmt: skip

    def _linear(self, function: str, given: tuple[Any, ...]) -> None:
        start, stop, points, *options = given
        self._load(function, np.linspace(start, stop, points), tuple(options))

    def _step(self, function: str, given: tuple[Any, ...]) -> None:
        start, stop, step, *options = given
        if step == 0 or abs(stop - start) / step >= MOST_POINTS:
            raise ScpiError(-222)
        points = int(abs(stop - start) / step + 1e-9) + 1
        levels = start + np.sign(stop - start) * step * np.arange(points)
        self._load(function, levels, tuple(options))

    def _log(self, function: str, given: tuple[Any, ...]) -> None:
        start, stop, points, *options = given
        if start * stop <= 0:
            raise ScpiError(-222)
        levels = np.sign(start) * np.geomspace(abs(start), abs(stop), points)
        self._load(function, levels, tuple(options))

    def _list(self, function: str, given: tuple[Any, ...]) -> None:
        first, delay_s, count, fail_abort, name = given
        levels = np.array(self.state[f"{function.lower()}_list"][first - 1 :])
        if not len(levels):
            raise ScpiError(-222)
        self._load(function, levels, (delay_s, count, "AUTO", fail_abort, False, name))

    def sweep_volt_linear(self, given: tuple[Any, ...]) -> None:
        self._linear("VOLT", given)

    def sweep_curr_linear(self, given: tuple[Any, ...]) -> None:
        self._linear("CURR", given)

    def sweep_volt_step(self, given: tuple[Any, ...]) -> None:
        self._step("VOLT", given)

    def sweep_curr_step(self, given: tuple[Any, ...]) -> None:
        self._step("CURR", given)

    def sweep_volt_log(self, given: tuple[Any, ...]) -> None:
        self._log("VOLT", given)

    def sweep_curr_log(self, given: tuple[Any, ...]) -> None:
        self._log("CURR", given)

    def sweep_volt_list(self, given: tuple[Any, ...]) -> None:
        self._list("VOLT", given)

    def sweep_curr_list(self, given: tuple[Any, ...]) -> None:
        self._list("CURR", given)

    def _append(self, key: str, values: list[float]) -> None:
        longer = self.state[key] + values
        if len(longer) > MOST_LIST:
            raise ScpiError(-223)
        self.state[key] = longer

    def append_volt(self, values: list[float]) -> None:
        self._append("volt_list", values)

    def append_curr(self, values: list[float]) -> None:
        self._append("curr_list", values)

    def ask_volt_points(self) -> int:
        return len(self.state["volt_list"])

    def ask_curr_points(self) -> int:
        return len(self.state["curr_list"])

    def load_trigger_model(self, given: tuple[str, int, float | None, str | None]) -> None:
        """``SimpleLoop``: as many measurements, with a delay before each."""
        name, count, delay_s, buffer = given
        if name.upper() != "SIMPLELOOP":
            raise ScpiError(-224)
        self._load("", np.zeros(1), (delay_s or 0.0, count, "FIX", False, False, buffer))

    def initiate(self) -> None:
        """Run what is loaded, from its first point to its last.

        Raises:
            ScpiError: -213, it runs; -221, nothing is loaded.
        """
        sweep = self.sweep
        if self.pending:
            raise ScpiError(-213)
        if sweep is None:
            raise ScpiError(-221)
        self._buffer(sweep.buffer)
        check_work(self.conversions(len(sweep.levels)))
        if sweep.function:
            self._prepare(sweep)
        self.running = self.lab.start(self, self._run(sweep))

    def _run(self, sweep: Sweep) -> Course:
        yield from self._switch(True)
        for level in sweep.levels:
            if sweep.function:
                self._go_to(sweep, float(level))
            delay_s = self.delay_s if sweep.delay_s < 0 else sweep.delay_s
            readings = yield from self._measure_into(sweep.buffer, delay_s)
            if sweep.fail_abort and readings[-1].source_status & LIMITED:
                break
        yield from self._switch(False)

    def set_output(self, _: bool) -> None:
        self.lab.pass_time(OUTPUT_RELAY_S, "relay")
        self.lab.touch()

    def _switch(self, on: bool) -> Course:
        if self.state["output"] != on:
            self.state["output"] = on
            yield OUTPUT_RELAY_S, "relay"
            self.lab.touch()

    def _prepare(self, sweep: Sweep) -> None:
        """The function, and a range for all levels.

        Raises:
            ScpiError: -222, the present range is too small; -221, too much power.
        """
        state, key = self.state, sweep.function.lower()
        most = float(np.max(np.abs(sweep.levels)))
        if sweep.span == "FIX" and most > HEADROOM * state[f"{key}_range"] * (1 + 1e-9):
            raise ScpiError(-222)
        before = state["function"], state[f"{key}_level"]
        state["function"], state[f"{key}_level"] = sweep.function, most
        try:
            self.check_envelope()
        except ScpiError:
            state["function"], state[f"{key}_level"] = before
            raise
        state[f"{key}_level"] = float(sweep.levels[0])
        if before[0] != sweep.function:
            state["output"] = False
        if sweep.span == "BEST":
            state[f"{key}_range"] = next_range(RANGES[sweep.function], most, HEADROOM)

    def _go_to(self, sweep: Sweep, level: float) -> None:
        key = sweep.function.lower()
        self.state[f"{key}_level"] = level
        if sweep.span == "AUTO":
            self.state[f"{key}_range"] = next_range(RANGES[sweep.function], level, HEADROOM)
        self.lab.touch()

    def ask_trigger_state(self) -> str:
        """Its state, that of a block, and the block's number (memory)."""
        return "RUNNING;RUNNING;1" if self.pending else "IDLE;IDLE;0"
