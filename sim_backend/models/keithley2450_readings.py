"""Readings of a Keithley 2450: questions that measure, and the buffers they go to.

Page numbers are of the 2450 Reference Manual, 2450-901-01 rev. B.  Which errors are queued is from
memory.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim_backend.models.electrical import check_work
from sim_backend.models.keithley2450_buffer import DEFAULT_SIZE, Reading, ReadingBuffer
from sim_backend.models.keithley2450_meter import Meter
from sim_backend.programme import Process, at_once
from sim_backend.scpi import ScpiError

Array = NDArray[np.float64]
DEFAULT = "defbuffer1"
_Recalled = tuple[int, int, str, tuple[str, ...]] | None


class Recorder(Meter):
    """What measures into buffers."""

    def _set_defaults(self) -> None:
        super()._set_defaults()
        self.buffers = {
            "defbuffer1": ReadingBuffer(DEFAULT_SIZE, once=False),
            "defbuffer2": ReadingBuffer(DEFAULT_SIZE, once=False),
        }

    # -- readings ---------------------------------------------------------------------------------

    def _buffer(self, name: str) -> ReadingBuffer:
        """Raises: ScpiError -224, no buffer has this name."""
        if name not in self.buffers:
            raise ScpiError(-224)
        return self.buffers[name]

    def conversions(self, points: int) -> int:
        """How many conversions so many points take."""
        repeats = self.state[self._key("average")] and self.state[self._key("control")] == "REP"
        each = self.state[self._key("count")] if repeats else 1
        return int(points * self.state["count"] * each)

    def _measure_into(self, name: str, delay_s: float) -> Process[list[Reading]]:
        """As many readings as ``:SENSe:COUNt`` says."""
        buffer = self._buffer(name)
        check_work(self.conversions(1))
        yield delay_s, "settle"
        readings = []
        for _ in range(self.state["count"]):
            readings.append((yield from self.measure()))
            buffer.add(readings[-1])
        return readings

    def _measure_now(self, name: str) -> list[Reading]:
        """The same, while the message waits."""
        return at_once(self.lab, self._measure_into(name, self.delay_s))

    def ask_read(self, recalled: _Recalled) -> bytes:
        """The last of the readings (p. 6-6)."""
        _, _, name, chosen = recalled or (0, 0, DEFAULT, ("READ",))
        readings = self._measure_now(name)
        return self._shown(self._buffer(name), readings[-1:], chosen)

    def ask_fetch(self, recalled: _Recalled) -> bytes:
        """The last reading of a buffer."""
        _, _, name, chosen = recalled or (0, 0, DEFAULT, ("READ",))
        buffer = self._buffer(name)
        return self._shown(buffer, list(buffer.readings)[-1:], chosen)

    def ask_measure_curr(self, recalled: _Recalled) -> bytes:
        return self._measure_as("CURR:DC", recalled)

    def ask_measure_volt(self, recalled: _Recalled) -> bytes:
        return self._measure_as("VOLT:DC", recalled)

    def ask_measure_res(self, recalled: _Recalled) -> bytes:
        return self._measure_as("RES", recalled)

    def _measure_as(self, sense: str, recalled: _Recalled) -> bytes:
        """A reading of another quantity, which stays chosen unless it was refused."""
        before, self.state["sense"] = self.state["sense"], sense
        try:
            return self.ask_read(recalled)
        except ScpiError:
            self.state["sense"] = before
            raise

    def trigger_buffer(self, name: str) -> None:
        self._measure_now(name)

    def ask_data(self, recalled: _Recalled) -> bytes:
        if recalled is None:
            raise ScpiError(-109)
        start, end, name, chosen = recalled
        buffer = self._buffer(name)
        return self._shown(buffer, buffer.between(start, end), chosen)

    def _shown(self, buffer: ReadingBuffer, readings: Sequence[Reading], names: Any) -> bytes:
        """Elements as the format has them.

        Raises:
            ScpiError: -230, no readings; -224, texts in a binary format.
        """
        found = buffer.columns(readings, names)
        state = self.state
        if state["format"] == "ASC":
            digits = (state["digits"] or 7) - 1
            return ",".join(x if isinstance(x, str) else f"{x:.{digits}E}" for x in found).encode()
        if any(isinstance(x, str) for x in found):
            raise ScpiError(-224)
        order = "<" if state["border"] == "SWAP" else ">"
        kind = "f8" if state["format"] == "REAL" else "f4"
        return b"#0" + np.array(found).astype(order + kind).tobytes()

    # -- buffers ----------------------------------------------------------------------------------

    def make_buffer(self, given: tuple[str, int, str | None]) -> None:
        """A buffer of one's own fills once (memory); the style makes no difference here."""
        name, size, _ = given
        if name in self.buffers or not re.fullmatch(r"[A-Za-z_]\w*", name):
            raise ScpiError(-224)
        self.buffers[name] = ReadingBuffer(size, once=True)

    def delete_buffer(self, name: str) -> None:
        if name.startswith("defbuffer"):
            raise ScpiError(-221)
        self._buffer(name)
        del self.buffers[name]

    def clear_buffer(self, name: str) -> None:
        self._buffer(name).readings.clear()

    def resize_buffer(self, given: tuple[int, str | None]) -> None:
        self._buffer(given[1] or DEFAULT).resize(given[0])

    def fill_buffer(self, given: tuple[str, str | None]) -> None:
        self._buffer(given[1] or DEFAULT).once = given[0] == "ONCE"

    def _asked(self, recalled: _Recalled) -> ReadingBuffer:
        return self._buffer(recalled[2] if recalled else DEFAULT)

    def ask_size(self, recalled: _Recalled) -> int:
        return self._asked(recalled).size

    def ask_count(self, recalled: _Recalled) -> int:
        return len(self._asked(recalled))

    def ask_fill(self, recalled: _Recalled) -> str:
        return "ONCE" if self._asked(recalled).once else "CONT"

    def _statistic(self, recalled: _Recalled, of: Callable[[Array], np.floating]) -> str:
        return f"{self._asked(recalled).statistic(of):.6E}"

    def ask_mean(self, recalled: _Recalled) -> str:
        return self._statistic(recalled, np.mean)

    def ask_max(self, recalled: _Recalled) -> str:
        return self._statistic(recalled, np.max)

    def ask_min(self, recalled: _Recalled) -> str:
        return self._statistic(recalled, np.min)

    def ask_span(self, recalled: _Recalled) -> str:
        return self._statistic(recalled, np.ptp)

    def ask_deviation(self, recalled: _Recalled) -> str:
        return self._statistic(recalled, lambda x: np.std(x, ddof=min(1, len(x) - 1)))
