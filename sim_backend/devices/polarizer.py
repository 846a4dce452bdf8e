"""A reference layer that pulses turn."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from sim_backend.circuit import Conductance, Element, Solution
from sim_backend.devices.base import Array, Device, Points, first, number
from sim_backend.llg.model import Parameters
from sim_backend.noise import normal, stream_key

TURNED_RAD = {"x": math.pi / 2, "z": 0.0}  #: from +z towards +x


class PolarizerModel(Parameters):
    """What a pulse must be, and how well it turns.  Made up: no published device."""

    ohm: Annotated[float, number(1e-3, 1e9, "ohm")] = Field(
        1e3, description="resistance between its terminals, ohm"
    )
    threshold_v: Annotated[float, number(0, 1e3, "V", True)] = Field(
        0.5, description="voltage that turns it: to +x if positive, to +z if negative, V"
    )
    pulse_s: Annotated[float, number(0, 1e3, "s")] = Field(
        1e-3, description="time for which it has to be on, s"
    )
    scatter_rad: Annotated[float, number(0, 1, "rad")] = Field(
        0.01, description="standard deviation of the angle reached, rad"
    )
    wear_pulses: Annotated[float, number(1, 1e15)] = Field(
        1e6, description="pulses after which the scatter grows, and in which it grows by itself"
    )
    breakdown_v: Annotated[float, number(0, 1e3, "V", True)] = Field(
        2.0, description="voltage that burns it open, V"
    )


class Polarizer(Device):
    """Terminals a and b.

    Args:
        name: also of its random numbers, which depend on seed, name and number of the pulse alone.
        model: its parameters.
        seed: of the bench.
    """

    def __init__(self, name: str, model: PolarizerModel, seed: int) -> None:
        super().__init__(name)
        self.model = model
        self._key = stream_key(seed, f"polarizer/{name}")
        self.angle_rad = TURNED_RAD["z"]
        self.pulses = 0
        self.held_s = 0.0  # time for which the pulse has been on; negative for one to z
        self.done = False  # whether that pulse has turned it
        self.burnt = False

    def elements(self, points: Points) -> Sequence[Element]:
        siemens = 0.0 if self.burnt else 1 / self.model.ohm
        self._body = Conductance(self.node("a"), self.node("b"), siemens)
        return [self._body]

    def _reached(self, side: str, pulse: int) -> float:
        """The angle after pulse number ``pulse``, rad."""
        worn = max(0.0, (pulse - self.model.wear_pulses) / self.model.wear_pulses)
        scatter = self.model.scatter_rad * (1 + worn)
        return TURNED_RAD[side] + scatter * float(normal(self._key, pulse, 1)[0])

    def breaks(self, solution: Solution, points: Points) -> int | None:
        over = np.abs(solution.across(self._body)) > self.model.breakdown_v
        return None if self.burnt else first(over)

    def absorb(self, solution: Solution, points: Points) -> list[str]:
        volt = solution.across(self._body)
        for level, time_s in zip(
            self._signs(volt).tolist(), (points.ends_s - points.begins_s).tolist(), strict=True
        ):
            self._hold(level, time_s)
        at = self.breaks(solution, points)
        if at is None:
            return []
        self.burnt = True
        return [
            f"{self.name} burns open at {abs(volt[at]):g} V; it bears {self.model.breakdown_v:g} V"
        ]

    def _signs(self, volt: Array) -> NDArray[np.intp]:
        """1 above the threshold, -1 below its negative, else 0."""
        signs: NDArray[np.intp] = np.where(
            np.abs(volt) >= self.model.threshold_v, np.sign(volt), 0
        ).astype(np.intp)
        return signs

    def _hold(self, level: int, time_s: float) -> None:
        if level == 0 or level * self.held_s < 0:  # the pulse has ended
            self.held_s, self.done = 0.0, False
        if level == 0 or self.burnt:
            return
        self.held_s += level * time_s
        # A billionth for the rounding of times.
        if not self.done and abs(self.held_s) >= self.model.pulse_s * (1 - 1e-9):
            self.pulses, self.done = self.pulses + 1, True
            self.angle_rad = self._reached("x" if level > 0 else "z", self.pulses)

    def state(self) -> dict[str, Any]:
        names = ("angle_rad", "pulses", "held_s", "done", "burnt")
        return {name: getattr(self, name) for name in names}
