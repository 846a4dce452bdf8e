"""Yokogawa GS200 dc source, without the monitor option: it measures nothing.

From memory: levels go to 1.2 times the range (±32 V and ±200 mA at most), their resolutions, and
which errors are queued (SCPI's numbers are used).  Its language is in
:mod:`sim_backend.models.yokogawags200_table`, its program memory in
:mod:`sim_backend.models.yokogawags200_program`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import ArrayLike

from sim_backend.circuit import CurrentSource, Element, VoltageSource
from sim_backend.models.electrical import next_range
from sim_backend.models.yokogawags200_program import ProgramMemory, Step
from sim_backend.models.yokogawags200_table import LIMITS, TABLE, engineering
from sim_backend.scpi import ScpiError

RANGES = {"VOLT": (0.01, 0.1, 1.0, 10.0, 30.0), "CURR": (0.001, 0.01, 0.1, 0.2)}
HEADROOM = 1.2
#: level steps per range: 1 mV at 30 V, 1 µA at 200 mA
STEPS = {0.01: 1e5, 0.1: 1e5, 1.0: 1e5, 10.0: 1e5, 30.0: 3e4, 0.001: 1e5, 0.2: 2e5}
# Extended event register, p. 13-30; its summary is bit 3 of the status byte (memory).
SOURCE_CHANGED, LOW_LIMITER, HIGH_LIMITER = 1 << 5, 1 << 10, 1 << 11


class YokogawaGS200(ProgramMemory):
    """See the module's docstring."""

    table = TABLE
    identity = "YOKOGAWA,GS210,91XXXXXXX,2.02"
    message_time_s = 1e-3  # memory
    relay_time_s = 10e-3  # memory: output relay

    def _set_defaults(self) -> None:
        super()._set_defaults()
        for group in ("measurement", "operation"):  # Keithley's registers, which it lacks
            self.state[f"{group}_enable"] = 0
        self.state.update(function="VOLT", range=1.0, level=0.0)
        self._source: VoltageSource | CurrentSource | None = None

    # -- electrical side --------------------------------------------------------------------------

    @property
    def level(self) -> float:
        """The level that it makes now, V or A: on a ramp it is on its way."""
        return self.now.level

    def elements(self) -> Sequence[Element]:
        return self.swept(self.level)

    def swept(self, level: ArrayLike) -> Sequence[Element]:
        """The same at levels, V or A."""
        hi, lo = self.node("hi"), self.node("lo")
        self._source = None
        if not self.state["output"]:
            return [self.open()]
        if self.state["function"] == "VOLT":
            self._source = VoltageSource(hi, lo, level, self.state["i_limit"])
        else:
            self._source = CurrentSource(hi, lo, level, self.state["v_limit"])
        return [self._source]

    def limited(self) -> int:
        """The limiter: 1 at its high side, -1 at its low side, 0 if it does not act."""
        solution = self.lab.solve()
        if self._source is None or not solution.in_compliance(self._source)[0]:
            return 0
        return 1 if self.level > 0 else -1

    def _changed(self) -> None:
        self.lab.touch()
        self.questionable_event |= SOURCE_CHANGED
        self._watch_limiter()

    def _watch_limiter(self) -> None:
        side = self.limited()
        self.set_condition("questionable", LOW_LIMITER, side < 0)
        self.set_condition("questionable", HIGH_LIMITER, side > 0)

    # -- source -----------------------------------------------------------------------------------

    def set_output(self, _: bool) -> None:
        if not self.state["output"]:
            self.stop_program()
        self.lab.pass_time(self.relay_time_s, "relay")
        self._changed()

    def _setup(self) -> Step:
        """What the next level is meant for: the edited step, or the output."""
        return self.edited or Step(self.state["function"], self.state["range"], 0.0)

    def _take(self, function: str, span: float, level: float) -> None:
        """A whole setup for the output.

        Raises:
            ScpiError: -221, a program is running.
        """
        self._refuse_while_running()
        self.state.update(function=function, range=span, level=level)
        self._changed()

    def set_function(self, function: str) -> None:
        """Another function begins at zero, with the output off (memory)."""
        if function == self._setup().function:
            return
        span = RANGES[function][-2] if function == "VOLT" else RANGES[function][0]
        if self.edited:
            self.edited = Step(function, span, 0.0)
            return
        self._refuse_while_running()
        self.state["output"] = False
        self._take(function, span, 0.0)

    def ask_function(self) -> str:
        return self._setup().function

    def set_range(self, given: float | str) -> None:
        """The smallest range that takes the value; not one that the present level is beyond
        (memory)."""
        setup = self._setup()
        span = self._range(setup, given)
        if self.edited:
            self.edited = Step(setup.function, span, 0.0)
        elif abs(self.state["level"]) > self._most(setup.function, span):
            raise ScpiError(-221)
        else:
            self._take(setup.function, span, self.state["level"])

    def _range(self, setup: Step, given: float | str) -> float:
        ranges = RANGES[setup.function]
        at = ranges.index(setup.range)
        if given in ("UP", "DOWN"):
            at += 1 if given == "UP" else -1
            return ranges[min(max(at, 0), len(ranges) - 1)]
        if isinstance(given, str):
            return ranges[0 if given == "MIN" else -1]
        found = next_range(ranges, given, 1.0)
        if found is None:
            raise ScpiError(-222)
        return found

    def ask_range(self, word: str | float | None) -> str:
        setup = self._setup()
        if word is None:
            return engineering(setup.range)
        return engineering(self._range(setup, _extreme(word)))

    @staticmethod
    def _most(function: str, span: float) -> float:
        return min(HEADROOM * span, LIMITS[function])

    def _level(self, setup: Step, given: float | str) -> float:
        """A level of the setup's range, at its resolution.

        Raises:
            ScpiError: -222, beyond the range.
        """
        most = self._most(setup.function, setup.range)
        if isinstance(given, str):
            return most if _extreme(given) == "MAX" else -most
        if abs(given) > most * (1 + 1e-9):
            raise ScpiError(-222)
        step = setup.range / STEPS[setup.range]
        return round(given / step) * step

    def set_level(self, given: float | str) -> None:
        setup = self._setup()
        level = self._level(setup, given)
        if self.edited:
            self.add_step(Step(setup.function, setup.range, level))
        else:
            self._take(setup.function, setup.range, level)

    def set_level_auto(self, given: float | str) -> None:
        """The level in the smallest range that takes it (p. 13-12)."""
        setup = self._setup()
        ranges = RANGES[setup.function]
        span: float | None = ranges[-1]
        if not isinstance(given, str):
            span = next((r for r in ranges if abs(given) <= self._most(setup.function, r)), None)
        if span is None:
            raise ScpiError(-222)
        wide = Step(setup.function, span, 0.0)
        wide = Step(setup.function, span, self._level(wide, given))
        if self.edited:
            self.add_step(wide)
        else:
            self._take(wide.function, wide.range, wide.level)

    def ask_level(self, word: str | float | None) -> str:
        if word is not None:
            return engineering(self._level(self._setup(), _extreme(word)))
        return f"{self.level:+.6E}"

    def ask_level_auto(self, word: str | float | None) -> str:
        if word is None:
            return self.ask_level(None)
        most = LIMITS[self._setup().function]
        return engineering(most if _extreme(word) == "MAX" else -most)

    def set_v_limit(self, value: float) -> None:
        self.state["v_limit"] = float(round(value))  # resolution 1 V, memory
        self._changed()

    def set_i_limit(self, value: float) -> None:
        self.state["i_limit"] = round(value, 3)  # resolution 1 mA, memory
        self._changed()

    def set_remote_sense(self, _: bool) -> None:
        if self.state["output"]:  # only with the output off, memory
            raise ScpiError(-221)

    # -- status and options -----------------------------------------------------------------------

    def ask_condition(self) -> int:
        self._watch_limiter()
        return self.ask_questionable_condition()

    def ask_event(self) -> int:
        self._catch_up()
        self._watch_limiter()
        return self.ask_questionable_event()

    def ask_installed(self) -> str:
        return "NONE"

    def no_monitor(self, _: Any = None) -> None:
        raise ScpiError(-241, "; option /MON")

    def ask_monitor(self) -> None:
        self.no_monitor()

    def abort(self) -> None:
        """Device clear and reset end the program where it is."""
        self.stop_program()


def _extreme(word: float | str) -> str:
    """MIN or MAX, as a question may have it.

    Raises:
        ScpiError: -224, something else.
    """
    if word not in ("MIN", "MAX"):
        raise ScpiError(-224)
    return str(word)
