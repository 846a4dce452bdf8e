"""Dummy resistors, open contacts, thermometers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from sim_backend.circuit import Conductance, Element, Solution
from sim_backend.devices.base import Array, Device, Points, first, number
from sim_backend.llg.model import Parameters

# IEC 60751, clause 4 (constants from memory, the same in every table of platinum resistors)
PLATINUM_A_PER_C, PLATINUM_B_PER_C2, PLATINUM_C_PER_C4 = 3.9083e-3, -5.775e-7, -4.183e-12


class ResistorModel(Parameters):
    """A dummy resistor, for rehearsals."""

    ohm: Annotated[float, number(1e-3, 1e12, "ohm")] = Field(10e3, description="resistance, ohm")
    most_w: Annotated[float, number(0, 1e3, "W", True)] = Field(
        0.25, description="power above which it burns open, W"
    )


class Resistor(Device):
    """Terminals a and b."""

    def __init__(self, name: str, model: ResistorModel) -> None:
        super().__init__(name)
        self.model, self.burnt = model, False

    def elements(self, points: Points) -> Sequence[Element]:
        siemens = 0.0 if self.burnt else 1 / self.model.ohm
        self._made = Conductance(self.node("a"), self.node("b"), siemens)
        return [self._made]

    def breaks(self, solution: Solution, points: Points) -> int | None:
        power_w = solution.across(self._made) * solution.current(self._made)
        return first(power_w > self.model.most_w)

    def absorb(self, solution: Solution, points: Points) -> list[str]:
        at = self.breaks(solution, points)
        if at is None:
            return []
        self.burnt = True
        power_w = (solution.across(self._made) * solution.current(self._made))[at]
        return [f"{self.name} burns open at {power_w:g} W; it bears {self.model.most_w:g} W"]

    def state(self) -> dict[str, Any]:
        return {"burnt": self.burnt}


class OpenContactModel(Parameters):
    """A needle that does not touch."""

    ohm: Annotated[float, number(1e3, 1e15, "ohm")] = Field(
        1e12, description="what is left of the contact, ohm"
    )


class OpenContact(Device):
    """Terminals a and b."""

    def __init__(self, name: str, model: OpenContactModel) -> None:
        super().__init__(name)
        self.model = model

    def elements(self, points: Points) -> Sequence[Element]:
        return [Conductance(self.node("a"), self.node("b"), 1 / self.model.ohm)]


class ThermometerModel(Parameters):
    """A platinum resistor on the chuck."""

    r0_ohm: Annotated[float, number(1, 1e5, "ohm")] = Field(
        1000.0, description="resistance at 0 degC, ohm"
    )
    chuck_c: Annotated[float, number(-200, 850, "degC")] = Field(
        22.0, description="temperature of the chuck at time 0, degC"
    )
    drift_c_per_s: Annotated[float, number(-1, 1, "degC/s")] = Field(
        0.0, description="its drift, degC/s"
    )


class Thermometer(Device):
    """Terminals a and b; for four wires, join two to each."""

    def __init__(self, name: str, model: ThermometerModel) -> None:
        super().__init__(name)
        self.model = model

    def temperature_c(self, time_s: Array) -> Array:
        """Of the chuck, degC; it stops where the standard does, at -200 and 850."""
        result: Array = np.clip(
            self.model.chuck_c + self.model.drift_c_per_s * time_s, -200.0, 850.0
        )
        return result

    def elements(self, points: Points) -> Sequence[Element]:
        middle_s = points.ends_s - points.window_s / 2
        ohm = self.model.r0_ohm * platinum(self.temperature_c(middle_s))
        return [Conductance(self.node("a"), self.node("b"), 1 / ohm)]


def platinum(temperature_c: Array) -> Array:
    """R/R0 at temperatures in degC: 1 + A T + B T², below 0 also C (T - 100) T³ (IEC 60751)."""
    t = temperature_c
    cold = np.where(t < 0, PLATINUM_C_PER_C4 * (t - 100) * t**3, 0.0)
    result: Array = 1 + PLATINUM_A_PER_C * t + PLATINUM_B_PER_C2 * t**2 + cold
    return result


def celsius(ratio: float) -> float:
    """The temperature in degC of R/R0 at or above 1 (the quadratic's inverse)."""
    a, b = PLATINUM_A_PER_C, PLATINUM_B_PER_C2
    return (-a + math.sqrt(a * a - 4 * b * (1 - ratio))) / (2 * b)
