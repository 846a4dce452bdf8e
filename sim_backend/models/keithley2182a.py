"""Keithley 2182A nanovoltmeter: two channels of dc voltage, and thermocouples.

Its language is in :mod:`sim_backend.models.keithley2182a_table`, its measuring side in
:mod:`sim_backend.models.keithley2182a_meter`.  What is answered when is from memory.  Not
simulated: ratio, delta and scan functions, math, drift between autozeros, the output trigger.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim_backend.models.electrical import NAN, OVERFLOW, check_work
from sim_backend.models.keithley2182a_meter import INSIDE_C, KEYS, Nanovoltmeter
from sim_backend.models.keithley2182a_table import MOST_POINTS, TABLE
from sim_backend.programme import Course, Process, Running, at_once
from sim_backend.scpi import ScpiError, Unit

# Measurement event register (memory).
READING_AVAILABLE, BUFFER_AVAILABLE, BUFFER_HALF, BUFFER_FULL = 1 << 5, 1 << 7, 1 << 8, 1 << 9
_STATISTICS: dict[str, Callable[[NDArray[np.float64]], np.floating]] = {
    "MEAN": np.mean,
    "MAX": np.max,
    "MIN": np.min,
    "PKPK": np.ptp,
    "SDEV": lambda x: np.std(x, ddof=min(1, len(x) - 1)),
}


@dataclass(frozen=True)
class Reading:
    """What a reading is: V or °C, its channel, function and bench time, s."""

    value: float
    channel: int
    function: str
    time_s: float


class Keithley2182A(Nanovoltmeter):
    """See the module's docstring."""

    table = TABLE
    identity = "KEITHLEY INSTRUMENTS INC.,MODEL 2182A,0000000,C06  /A02"
    message_time_s = 1e-3  # memory

    def _set_defaults(self) -> None:
        super()._set_defaults()
        self.buffer: list[Reading] = getattr(self, "buffer", [])
        self.batch: list[Reading] = []  # since the last start
        self.last: Reading | None = None
        self.fresh = False
        self.triggers_left: float = 0
        self.running: Running | None = None  # readings that it takes by itself

    def power_cycle(self) -> None:
        """The buffer is volatile (p. 6-2)."""
        self.buffer = []
        super().power_cycle()

    def set_trigger_delay(self, _: float) -> None:
        self.state["trigger_delay_auto"] = False

    def preset(self) -> None:
        """``:SYSTem:PRESet``: as for the front panel, filters on and always measuring (memory)."""
        self.reset()
        for key in KEYS:
            self.state.update({f"{key}_digital": True, f"{key}_control": "MOV"})
        self.state["continuous"] = True

    # -- trigger model, p. 7-13 -------------------------------------------------------------------

    @property
    def pending(self) -> bool:
        """It measures, or waits for triggers."""
        return self._measures or 0 < self.triggers_left < math.inf

    @property
    def _measures(self) -> bool:
        return self.running is not None and not self.running.over

    @property
    def awaits_trigger(self) -> bool:
        """A pulse on its external trigger line starts a reading."""
        waits = self.triggers_left > 0 or self.state["continuous"]
        return bool(waits and self.state["trigger_source"] == "EXT")

    @property
    def _free_running(self) -> bool:
        """It measures on and on."""
        endless = self.state["continuous"] or self.triggers_left == math.inf
        return bool(endless and self.state["trigger_source"] in ("IMM", "TIM"))

    def initiate(self) -> None:
        if self.state["continuous"] or self.triggers_left:
            raise ScpiError(-213)
        by_itself = self.state["trigger_source"] in ("IMM", "TIM")
        count = self.state["trigger_count"]
        if by_itself and count < math.inf:
            check_work(self.conversions(count * self.state["sample_count"]))
        self.batch = []
        self.triggers_left = count
        if by_itself and not self._free_running:
            self.running = self.lab.start(self, self._all(int(count)))

    def _all(self, count: int) -> Course:
        """As many triggers as it does not have to wait for."""
        start_s, interval_s = self.lab.clock.now_s, self.state["timer_s"]
        for number in range(count):
            if self.state["trigger_source"] == "TIM":
                yield start_s + number * interval_s - self.lab.clock.now_s, "settle"
            yield from self._once()

    def _once(self) -> Course:
        """What one trigger starts: the delay, and the samples."""
        if not self.state["trigger_delay_auto"]:
            yield self.state["trigger_delay_s"], "settle"
        for _ in range(self.state["sample_count"]):
            yield from self._sample()
        self.triggers_left = max(0, self.triggers_left - 1)

    def _trigger_once(self) -> None:
        """A trigger that comes while it measures is lost."""
        if not self._measures:
            self.running = self.lab.start(self, self._once())

    def _waiting(self, *sources: str) -> bool:
        waits = self.triggers_left > 0 or self.state["continuous"]
        return bool(waits and self.state["trigger_source"] in sources)

    def trigger(self) -> None:
        """``*TRG`` and GET."""
        if not self._waiting("BUS"):
            raise ScpiError(-211)
        self._trigger_once()

    def pulse(self) -> None:
        """A pulse on the external trigger line; one that nothing waits for is lost."""
        if self.awaits_trigger:
            self._trigger_once()

    def signal(self) -> None:
        """``:TRIGger:SIGNal``: goes past the control source."""
        if not self._waiting("BUS", "EXT", "MAN", "TIM"):
            raise ScpiError(-211)
        self._trigger_once()

    def set_continuous(self, _: bool) -> None:
        self.abort()

    def abort(self) -> None:
        self.triggers_left = 0
        if self.running is not None:
            self.running.stop()

    def _sample(self) -> Process[Reading]:
        """Take a reading, and put it where readings go."""
        channel = self.state["channel"]
        value = yield from self._measured(channel)
        reading = Reading(value, channel, self.state["function"], self.lab.clock.now_s)
        self.last, self.fresh = reading, True
        self.batch = [*self.batch[1 - MOST_POINTS :], reading]
        self.measurement_event |= READING_AVAILABLE
        if self.state["feed_control"] == "NEXT" and self.state["feed"] != "NONE":
            self._store(reading)
        return reading

    # -- buffer -----------------------------------------------------------------------------------

    def _store(self, reading: Reading) -> None:
        self.buffer.append(reading)
        stored, most = len(self.buffer), self.state["points"]
        if stored >= 2:
            self.measurement_event |= BUFFER_AVAILABLE
        if stored == most // 2:
            self.measurement_event |= BUFFER_HALF
        if stored >= most:
            self.measurement_event |= BUFFER_FULL
            self.state["feed_control"] = "NEV"

    def clear_buffer(self) -> None:
        self.buffer = []

    def clear_buffer_of(self, _: int) -> None:
        self.buffer = []

    def set_feed_control(self, value: str) -> None:
        if value == "NEXT":
            self.buffer = []

    def ask_stored(self) -> int:
        return len(self.buffer)

    def ask_buffer(self) -> bytes:
        return self._shown(self.buffer)

    def ask_statistic(self) -> str:
        """Of the buffer; not with an overflow in it (p. 6-2)."""
        kind = self.state["statistic"]
        values = [reading.value for reading in self.buffer]
        bad = not values or not {OVERFLOW, NAN}.isdisjoint(values)
        if bad or kind == "NONE" or not self.state["statistic_on"]:
            raise ScpiError(-230)
        return f"{float(_STATISTICS[kind](np.array(values))):+.8E}"

    # -- replies ----------------------------------------------------------------------------------

    def units(self, message: str) -> tuple[list[Unit], ScpiError | None]:
        """:READ? is :ABORt, :INITiate and :FETCh?: the answer waits for the readings."""
        found, error = super().units(message)
        split: list[Unit] = []
        for unit in found:
            split += [unit, _FETCH] if unit.row.do in _READS else [unit]
        return split, error

    def ask_read(self) -> None:
        self.abort()
        self.initiate()

    def ask_fetch(self) -> bytes:
        """All readings since the start; while it measures on and on, a new one."""
        if self._free_running:
            return self._shown([at_once(self.lab, self._sample())])
        return self._shown(self.batch)

    def ask_latest(self) -> bytes:
        """The last reading, again and again."""
        if self._free_running:
            at_once(self.lab, self._sample())
        self.fresh = False
        return self._shown([] if self.last is None else [self.last])

    def ask_fresh(self) -> bytes:
        """A reading that no :DATA? has answered yet."""
        if not self._free_running and not self.fresh:
            raise ScpiError(-230)
        return self.ask_latest()

    def _configure(self, function: str) -> None:
        self.abort()
        self.state.update(
            function=function, continuous=False, trigger_source="IMM", trigger_count=1,
            sample_count=1, trigger_delay_auto=True,
        )  # fmt: skip
        for key in KEYS:
            self.state[f"{key}_ref_on"] = False

    def configure_v(self) -> None:
        self._configure("VOLT:DC")

    def configure_t(self) -> None:
        self._configure("TEMP")

    def ask_measure_v(self) -> None:
        """:MEASure? is :CONFigure and :READ?."""
        self._configure("VOLT:DC")
        self.initiate()

    def ask_measure_t(self) -> None:
        self._configure("TEMP")
        self.initiate()

    def ask_configured(self) -> str:
        return f'"{self.state["function"]}"'

    def ask_inside(self) -> str:
        return f"{INSIDE_C:+.8E}"

    def _shown(self, readings: Sequence[Reading]) -> bytes:
        """Readings as the format and its elements have them.

        Raises:
            ScpiError: -230, there is none.
        """
        if not readings:
            raise ScpiError(-230)
        state = self.state
        chosen = [name for name in ("READ", "CHAN", "UNIT", "TST") if name in state["elements"]]
        if state["format"] == "ASC":
            return ",".join(_text(r, name) for r in readings for name in chosen).encode()
        flat = [_number(r, name) for r in readings for name in chosen if name != "UNIT"]
        kind = "f8" if state["format"] == "DRE" else "f4"
        order = "<" if state["border"] == "SWAP" else ">"
        return b"#0" + np.array(flat).astype(order + kind).tobytes()


def _number(reading: Reading, element: str) -> float:
    values = {"READ": reading.value, "CHAN": reading.channel, "TST": reading.time_s}
    return float(values[element])


def _text(reading: Reading, element: str) -> str:
    if element == "UNIT":
        return "VDC" if reading.function == "VOLT:DC" else "C"
    if element == "CHAN":
        return f"{reading.channel:02d}"
    return f"{_number(reading, element):+.8E}"


_READS = ("ask_read", "ask_measure_v", "ask_measure_t")
_FETCH = Unit(TABLE.find(":FETC", True), True, "")
