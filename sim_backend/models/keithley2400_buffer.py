"""What can be asked of a Keithley 2400's readings: buffer, statistics, formats.

Page numbers are of the 2400 Series User's Manual, 2400S-900-01 rev. K.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from sim_backend.models.keithley2400_readings import (
    MOST,
    NAN,
    S_COMPLIANCE,
    Array,
    Readings,
    Recorder,
)
from sim_backend.scpi import ScpiError

_STATISTICS: dict[str, Callable[[Array], Any]] = {
    "MEAN": np.mean,
    "SDEV": lambda x: np.std(x, ddof=min(1, len(x) - 1)),
    "MAX": np.max,
    "MIN": np.min,
    "PKPK": np.ptp,
}


class Recaller(Recorder):
    """What answers with readings."""

    def set_buffer_control(self, value: str) -> None:
        if value == "NEXT":
            self.clear_buffer()

    def _tripped(self, key: str) -> int:
        held = len(self.last) and self.last.status[-1] & S_COMPLIANCE
        return int(bool(held) and self.key == key)

    def ask_tripped(self) -> int:
        return self._tripped("v")

    def ask_v_tripped(self) -> int:
        return self._tripped("i")

    def ask_buffer_count(self) -> int:
        return len(self.buffer)

    def ask_buffer_free(self) -> str:
        """Bytes free and used: 24 a reading (memory)."""
        return f"{24 * (MOST - len(self.buffer))},{24 * len(self.buffer)}"

    def ask_statistic(self) -> str:
        """Of all that was measured: voltage, current, resistance (p. 18-43)."""
        of = {"VOLT": self.buffer.volt, "CURR": self.buffer.current_a, "RES": self.buffer.ohm}
        statistic = _STATISTICS[self.state["statistic"]]
        found = [float(statistic(of[name])) if len(self.buffer) else NAN for name in self.functions]
        return ",".join(f"{value:+.6E}" for value in found or [NAN])

    def _encode(self, readings: Readings) -> bytes:
        """Raises: ScpiError -221, there are none."""
        if not len(readings):
            raise ScpiError(-221)
        time_s = readings.time_s
        if readings is self.buffer and self.state["time_format"] == "DELT":
            time_s = np.diff(time_s, prepend=time_s[:1])
        columns: dict[str, Array] = {
            "VOLT": readings.volt, "CURR": readings.current_a, "RES": readings.ohm,
            "TIME": time_s, "STAT": readings.status.astype(float),
        }  # fmt: skip
        shown = [name for name in columns if name in self.state["elements"]]
        flat = np.stack([columns[name] for name in shown], axis=1).ravel()
        self.bench.pass_time(self.bench.truth.costs.reading_s * len(flat), "fetch")
        if self.state["data_format"] != "ASC":
            order = "<f4" if self.state["byte_order"] == "SWAP" else ">f4"
            return b"#0" + flat.astype(order).tobytes()
        return ",".join(f"{value:+.6E}" for value in flat).encode()

    def ask_buffer(self) -> bytes:
        return self._encode(self.buffer)
