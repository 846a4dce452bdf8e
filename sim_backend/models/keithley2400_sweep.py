"""Own sweeps of a Keithley 2400: list and staircase (2400S-900-01 rev. K, p. 18-83 to 18-92)."""

from __future__ import annotations

import numpy as np

from sim_backend.models.electrical import next_range
from sim_backend.models.keithley2400_buffer import Recaller
from sim_backend.models.keithley2400_readings import MOST, Array
from sim_backend.models.keithley2400_source import HEADROOM, SOURCE_RANGE
from sim_backend.models.keithley2400_table import RANGES
from sim_backend.scpi import ScpiError


class Sweeper(Recaller):
    """What sweeps.  START and STOP set CENTER and SPAN and the other way round; points set the
    step, and the step the points."""

    @property
    def sweeps(self) -> bool:
        return self.state[f"{self.key}_mode"] != "FIX" and not self.auto_ohms

    def levels(self) -> Array:
        """The points, V or A, as they come out: on a FIXed range what is larger comes out as the
        range's maximum (p. 18-83).

        Raises:
            ScpiError: -221, no logarithmic sweep has these ends.
        """
        state, key = self.state, self.key
        if state[f"{key}_mode"] == "LIST":
            found = np.array(state[f"{key}_list"])
        else:
            ends = state[f"{key}_start"], state[f"{key}_stop"]
            if state["sweep_spacing"] == "LOG":
                if ends[0] * ends[1] <= 0:
                    raise ScpiError(-221)
                found = np.geomspace(*ends, state["sweep_points"])
            else:
                found = np.linspace(*ends, state["sweep_points"])
            found = found if state["sweep_direction"] == "UP" else found[::-1]
        if state["sweep_range"] == "FIX":
            most = HEADROOM * state[SOURCE_RANGE[key]]
            clipped: Array = np.clip(found, -most, most)
            return clipped
        largest = float(np.max(np.abs(found)))
        if state["sweep_range"] == "AUTO":
            largest = float(found[-1])
        state[SOURCE_RANGE[key]] = next_range(RANGES[key], largest, HEADROOM)
        return found

    def _append(self, key: str, values: list[float]) -> None:
        longer = self.state[key] + values
        if len(longer) > MOST:
            raise ScpiError(-223)
        self.state[key] = longer

    def append_v(self, values: list[float]) -> None:
        self._append("v_list", values)

    def append_i(self, values: list[float]) -> None:
        self._append("i_list", values)

    def ask_v_points(self) -> int:
        return len(self.state["v_list"])

    def ask_i_points(self) -> int:
        return len(self.state["i_list"])

    def _step(self, key: str) -> None:
        state = self.state
        state[f"{key}_step"] = state[f"{key}_span"] / (state["sweep_points"] - 1)

    def _ends(self, key: str) -> None:
        state = self.state
        start, stop = state[f"{key}_start"], state[f"{key}_stop"]
        state.update({f"{key}_center": (start + stop) / 2, f"{key}_span": stop - start})
        self._step(key)

    def _middle(self, key: str, most: float) -> None:
        state = self.state
        center, half = state[f"{key}_center"], state[f"{key}_span"] / 2
        if abs(center) + abs(half) > most:
            raise ScpiError(-222)
        state.update({f"{key}_start": center - half, f"{key}_stop": center + half})
        self._step(key)

    def _points(self, key: str, step: float) -> None:
        points = round(abs(self.state[f"{key}_span"] / step)) + 1 if step else 0
        if not 2 <= points <= MOST:
            raise ScpiError(-221)
        self.state["sweep_points"] = points

    def set_v_ends(self, _: float) -> None:
        self._ends("v")

    def set_i_ends(self, _: float) -> None:
        self._ends("i")

    def set_v_middle(self, _: float) -> None:
        self._middle("v", 210.0)

    def set_i_middle(self, _: float) -> None:
        self._middle("i", 1.05)

    def set_v_step(self, step: float) -> None:
        self._points("v", step)

    def set_i_step(self, step: float) -> None:
        self._points("i", step)

    def set_sweep_points(self, _: int) -> None:
        self._step("v")
        self._step("i")
