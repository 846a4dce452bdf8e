"""A coil that makes a field along z for all junctions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from sim_backend.circuit import Conductance, Element, Solution
from sim_backend.devices.base import Array, Device, Points, first, number
from sim_backend.llg.model import Parameters


class BiasMagnetModel(Parameters):
    """A coil, and the iron in it if it remembers."""

    field_constant_t_per_a: Annotated[float, number(-1e3, 1e3, "T/A")] = Field(
        0.02, description="field along z per ampere, T/A"
    )
    ohm: Annotated[float, number(1e-3, 1e6, "ohm")] = Field(12.0, description="resistance, ohm")
    henry: Annotated[float, number(0, 1e3, "H")] = Field(0.06, description="inductance, H")
    remanence_t: Annotated[float, number(0, 1, "T")] = Field(
        0.0, description="field that is left without a current after a large one, T"
    )
    most_a: Annotated[float, number(0, 1e3, "A", True)] = Field(
        1.0, description="current above which the coil burns open, A"
    )

    @property
    def tau_s(self) -> float:
        """Time constant, s: L/R."""
        return self.henry / self.ohm


class BiasMagnet(Device):
    """Terminals a and b.

    The field goes after its current as 1 - exp(-t/τ).  Remanence is a play operator (M. A.
    Krasnosel'skii and A. V. Pokrovskii, Systems with Hysteresis, 1989; memory): the field stays
    until the current has gone back by twice remanence over constant, so going up it is too low by
    the remanence, and going down too high.
    """

    def __init__(self, name: str, model: BiasMagnetModel) -> None:
        super().__init__(name)
        self.model = model
        self.field_t = 0.0  # reached by now
        self.played_t = 0.0  # where it is going
        self.burnt = False

    def elements(self, points: Points) -> Sequence[Element]:
        siemens = 0.0 if self.burnt else 1 / self.model.ohm
        self._coil = Conductance(self.node("a"), self.node("b"), siemens)
        return [self._coil]

    def _path(self, solution: Solution, points: Points) -> tuple[Array, float]:
        """Field at the end of each point, and where the last of them is going."""
        aim = self.model.field_constant_t_per_a * solution.current(self._coil)
        lasts_s = points.ends_s - points.begins_s
        tau, width = self.model.tau_s, self.model.remanence_t
        field, played, path = self.field_t, self.played_t, np.empty(len(aim))
        for i, (to, time_s) in enumerate(zip(aim.tolist(), lasts_s.tolist(), strict=True)):
            played = min(max(played, to - width), to + width)
            field = played + (field - played) * (math.exp(-time_s / tau) if tau > 0 else 0.0)
            path[i] = field
        return path, played

    def fields(self, solution: Solution, points: Points) -> Array:
        """At the end of each point, along z, T, [P]."""
        return self._path(solution, points)[0]

    def breaks(self, solution: Solution, points: Points) -> int | None:
        return first(np.abs(solution.current(self._coil)) > self.model.most_a)

    def absorb(self, solution: Solution, points: Points) -> list[str]:
        path, self.played_t = self._path(solution, points)
        self.field_t = float(path[-1]) if len(path) else self.field_t
        at = self.breaks(solution, points)
        if at is None:
            return []
        self.burnt = True
        ampere = abs(solution.current(self._coil)[at])
        return [f"{self.name} burns open at {ampere:g} A; it bears {self.model.most_a:g} A"]

    def state(self) -> dict[str, Any]:
        return {"field_t": self.field_t, "played_t": self.played_t, "burnt": self.burnt}
