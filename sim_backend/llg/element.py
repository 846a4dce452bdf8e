"""Shape and film of a micromagnetic element: parameters, ranges, cells."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Shape = Literal["disc", "ellipse", "square"]

MU0 = 4e-7 * math.pi
MOST_CELLS = 1000
LEAST_ACROSS = 6  # cells
_CELLS = 716  # about that many when no cell size is given: a disc of 60 nm gets cells of 2 nm

# Field: lowest and highest value, and their unit.
RANGES = {
    "diameter_m": (10e-9, 250e-9, "m"),
    "across_m": (10e-9, 250e-9, "m"),
    "thickness_m": (0.3e-9, 5e-9, "m"),
    "ms_a_per_m": (1e5, 2e6, "A/m"),
    "ku_j_per_m3": (0.0, 5e6, "J/m^3"),
    "a_exchange_j_per_m": (1e-12, 1e-9, "J/m"),
}
BIAS_RANGE = (0.1e-3, 0.5, "T")


class DiscError(ValueError):
    """Parameters that make no element; one sentence with field, value and allowed range.

    ``field`` is the parameter's name, ``says`` the sentence without it.
    """

    def __init__(self, field: str, says: str) -> None:
        super().__init__(f"{field}: {says}")
        self.field, self.says = field, says


def show(value: float, unit: str) -> str:
    """A value with an engineering prefix: 6e-8, "m" is "60 nm"."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g} {unit}"
    power = max(-4, min(3, math.floor(math.log10(abs(value) * (1 + 1e-9)) / 3)))
    return f"{value / 1000.0**power:.4g} {('p', 'n', 'µ', 'm', '', 'k', 'M', 'G')[power + 4]}{unit}"


def in_range(name: str, value: float, low: float, high: float, unit: str) -> None:
    """Refuse a value outside [low, high], NaN among them."""
    if not low <= value <= high:
        raise DiscError(
            name, f"{show(value, unit)} is not between {show(low, unit)} and {show(high, unit)}"
        )


@dataclass(frozen=True)
class Element:
    """A free layer's shape and film.

    Args:
        shape: ``disc``, ``ellipse`` or ``square`` (edges along x and y).
        diameter_m: extent along x, the direction of the field, m.
        across_m: extent along y of an ellipse, at most ``diameter_m``, m; None: as along x.
        thickness_m: m.
        ms_a_per_m: saturation magnetisation, A/m.
        ku_j_per_m3: perpendicular anisotropy, J/m³; of an interface: its energy per area over the
            thickness.
        a_exchange_j_per_m: exchange stiffness, J/m.
        cell_m: largest edge of a square cell, m; None: about 700 cells.
    """

    shape: Shape = "disc"
    diameter_m: float = 60e-9
    across_m: float | None = None
    thickness_m: float = 1.4e-9
    ms_a_per_m: float = 1e6
    ku_j_per_m3: float = 600e3
    a_exchange_j_per_m: float = 15e-12
    cell_m: float | None = None

    def __post_init__(self) -> None:
        if self.shape not in ("disc", "ellipse", "square"):
            raise DiscError("shape", f"{self.shape!r} is not disc, ellipse or square")
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in RANGES and value is not None:
                in_range(field.name, value, *RANGES[field.name])
        if self.across_m is None and self.shape == "ellipse":
            raise DiscError("across_m", "an ellipse needs it, and at most its extent along x")
        if self.across_m is not None:
            if self.shape != "ellipse":
                raise DiscError("across_m", f"a {self.shape} has none; it is for an ellipse")
            in_range("across_m", self.across_m, RANGES["across_m"][0], self.diameter_m, "m")
        finest = math.sqrt(self.area_m2 / MOST_CELLS)
        if finest > self.exchange_length_m:
            most = self.diameter_m * self.exchange_length_m / finest
            raise DiscError(
                "diameter_m",
                f"{show(self.diameter_m, 'm')} is not between {show(RANGES['diameter_m'][0], 'm')} "
                f"and {show(most, 'm')}, which {MOST_CELLS} cells no larger than the exchange "
                f"length ({show(self.exchange_length_m, 'm')}) can fill",
            )
        if self.cell_m is not None:
            least = min(self.diameter_m, self.across_m or self.diameter_m)
            coarsest = min(self.exchange_length_m, least / LEAST_ACROSS)
            in_range("cell_m", self.cell_m, finest, coarsest, "m")

    @property
    def area_m2(self) -> float:
        """Area of the shape, m² (not of its cells)."""
        across = self.across_m or self.diameter_m
        return self.diameter_m * across * (1.0 if self.shape == "square" else math.pi / 4)

    @property
    def exchange_length_m(self) -> float:
        """sqrt(2 A_ex/(µ0 Ms²)), m."""
        return math.sqrt(2 * self.a_exchange_j_per_m / MU0) / self.ms_a_per_m

    @property
    def count(self) -> int:
        """Cells along x."""
        if self.cell_m is None:
            fine = int(self.diameter_m / math.sqrt(self.area_m2 / _CELLS))
            return max(fine, math.ceil(self.diameter_m / self.exchange_length_m))
        return math.ceil(self.diameter_m / self.cell_m - 1e-9)

    @property
    def side_m(self) -> float:
        """Edge of a square cell, m."""
        return self.diameter_m / self.count

    @property
    def cells(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Column and row of every cell whose centre lies inside the shape."""
        count = self.count
        i, j = (part.ravel() for part in np.indices((count, count)))
        if self.shape == "square":
            return i, j
        across = (self.across_m or self.diameter_m) / self.diameter_m
        x, y = ((2 * k + 1 - count) / count for k in (i, j))
        inside = x**2 + (y / across) ** 2 <= 1
        return i[inside], j[inside]
