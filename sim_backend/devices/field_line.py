"""The line whose current makes the field of the junctions beneath it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from sim_backend.circuit import EARTH, Conductance, Element, Nonlinear, Solution
from sim_backend.devices.base import Array, Device, Points, first, number
from sim_backend.llg.junction import JunctionModel
from sim_backend.llg.model import Parameters, within

SHORTED_S = 1 / 50.0  #: what has broken through, S
_DIELECTRIC_S = 1e-15  # of a whole dielectric: it gives the terminal beneath a place


class FieldLineModel(Parameters):
    """A strip of metal over a dielectric."""

    ohm: Annotated[float, number(1e-3, 1e6, "ohm")] = Field(
        50.0, description="resistance without a current, ohm"
    )
    alpha_per_k: Annotated[float, number(0, 0.1, "1/K")] = Field(
        3e-3, description="temperature coefficient of the resistance, 1/K"
    )
    heating_k_per_w: Annotated[float, number(0, 1e7, "K/W")] = Field(
        0.0, description="temperature rise over power, K/W"
    )
    area_m2: Annotated[float, number(0, 1e-3, "m^2", True)] = Field(
        1e-12, description="cross-section, m²"
    )
    most_a_per_m2: Annotated[float, number(0, 1e14, "A/m^2", True)] = Field(
        1e12, description="current density above which it burns open, A/m²"
    )
    dielectric_v: Annotated[float, number(0, 1e5, "V", True)] = Field(
        20.0, description="voltage between line and what is beneath that breaks the dielectric, V"
    )
    field_constant_t_per_a: Annotated[float, within("field_constant_t_per_a")] | None = Field(
        None, description="field per ampere, T/A; none: each junction has its own"
    )
    tilt_rad: Annotated[float, within("tilt_rad")] | None = Field(
        None, description="tilt of the field towards z, rad; none: each junction has its own"
    )

    @property
    def most_a(self) -> float:
        """The current that burns it, A."""
        return self.most_a_per_m2 * self.area_m2

    def give(self, junction: JunctionModel) -> JunctionModel:
        """A junction beneath this line: its field per ampere where the line has one."""
        given = {"field_constant_t_per_a": self.field_constant_t_per_a, "tilt_rad": self.tilt_rad}
        return junction.changed({f"layer.{k}": v for k, v in given.items() if v is not None})

    def siemens(self, volt: Array) -> Array:
        """Conductance at a voltage along the line, S: R = R0 (1 + α ϑ V²/R), solved for R."""
        half = self.ohm / 2
        rise = self.ohm * self.alpha_per_k * self.heating_k_per_w
        result: Array = 1 / (half + np.sqrt(half * half + rise * volt * volt))
        return result


class FieldLine(Device):
    """Terminals a and b, and ``below``, the low of the junctions: wire it to theirs.

    A broken dielectric shorts the end that broke it to earth, for good.
    """

    terminals = ("a", "b", "below")

    def __init__(self, name: str, model: FieldLineModel) -> None:
        super().__init__(name)
        self.model = model
        self.burnt = False
        self.leaks_a = self.leaks_b = False  # ends with a broken dielectric

    def elements(self, points: Points) -> Sequence[Element]:
        a, b, below = map(self.node, self.terminals)
        # Without heat the line is straight, which is quicker.
        if self.burnt or not self.model.heating_k_per_w * self.model.alpha_per_k:
            self._line: Element = Conductance(a, b, 0.0 if self.burnt else 1 / self.model.ohm)
        else:
            self._line = Nonlinear(a, b, self.model.siemens)
        self._under = [Conductance(end, below, _DIELECTRIC_S) for end in (a, b)]
        shorts = [
            Conductance(end, EARTH, SHORTED_S)
            for end, leaks in ((a, self.leaks_a), (b, self.leaks_b))
            if leaks
        ]
        return [self._line, *self._under, *shorts]

    def current_a(self, solution: Solution) -> Array:
        """From a to b, A, [P]."""
        return solution.current(self._line)

    def temperature_rise_k(self, solution: Solution) -> Array:
        """By its own heat, K, [P]."""
        return self.model.heating_k_per_w * solution.across(self._line) * self.current_a(solution)

    def _over(self, solution: Solution) -> tuple[Array, Array, Array]:
        """Current and voltages of both ends over what is borne, [P] each."""
        stress = [np.abs(solution.across(e)) / self.model.dielectric_v for e in self._under]
        return np.abs(self.current_a(solution)) / self.model.most_a, stress[0], stress[1]

    def breaks(self, solution: Solution, points: Points) -> int | None:
        current, a, b = self._over(solution)
        over = (current > 1) | ((a > 1) & (not self.leaks_a)) | ((b > 1) & (not self.leaks_b))
        return first(over)

    def absorb(self, solution: Solution, points: Points) -> list[str]:
        said = []
        current, a, b = (part.max(initial=0.0) for part in self._over(solution))
        if current > 1:
            self.burnt = True
            said.append(
                f"{self.name} burns open at {current * self.model.most_a_per_m2:g} A/m^2; it bears "
                f"{self.model.most_a_per_m2:g} A/m^2"
            )
        for end, over in (("a", a), ("b", b)):
            if over > 1 and not getattr(self, f"leaks_{end}"):
                setattr(self, f"leaks_{end}", True)
                said.append(
                    f"{self.name}'s dielectric breaks at end {end} at "
                    f"{over * self.model.dielectric_v:g} V; it bears {self.model.dielectric_v:g} V"
                )
        return said

    def state(self) -> dict[str, Any]:
        return {"burnt": self.burnt, "leaks_a": self.leaks_a, "leaks_b": self.leaks_b}
