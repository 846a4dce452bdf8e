"""A sweep as lists: pure functions, no instrument.

Wanted points are put in order, gaps larger than the step limit are filled with points that are
measured and dropped, and the whole is cut into lists that the instruments can hold.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Order = Literal["sorted", "given"]


@dataclass(frozen=True)
class Plan:
    """Lists to run one after another.

    Attributes:
        lists: levels of each list, A; all measured.
        index: where in the joined lists each wanted point stands, shape [N].
    """

    lists: tuple[Array, ...]
    index: NDArray[np.intp]

    @property
    def measured(self) -> int:
        """Points measured in all."""
        return sum(len(one) for one in self.lists)


def fill(start: float, end: float, step: float) -> list[float]:
    """Levels strictly between two, so that no step is larger than ``step``."""
    count = math.ceil(abs(end - start) / step * (1 - 1e-9)) - 1
    return [start + (end - start) * i / (count + 1) for i in range(1, count + 1)]


def to_step(level_a: Array, resolution_a: float) -> Array:
    """Levels on the grid of the programming step, A, each as it reads when written in decimals.

    ``resolution_a`` is one over a whole number: a whole number divided by it is the closest double
    to the decimal number.
    """
    per_ampere = round(1 / resolution_a)
    return np.round(np.asarray(level_a) * per_ampere) / per_ampere


def plan(
    levels_a: Sequence[float] | Array,
    *,
    step_a: float,
    most_points: int,
    order: Order = "sorted",
    resolution_a: float,
) -> Plan:
    """Lists that measure all levels, starting from 0 A and ending where 0 A is one step away.

    Args:
        levels_a: wanted levels, A, shape [N], N >= 1; rounded to the programming step.
        step_a: largest step between neighbours, A; at least twice the programming step.
        most_points: longest list.
        order: "sorted" measures by rising level; "given" as they stand.
        resolution_a: programming step, A.
    """
    wanted = to_step(np.asarray(levels_a, dtype=np.float64), resolution_a)
    sequence = np.argsort(wanted, kind="stable") if order == "sorted" else np.arange(len(wanted))
    path = np.concatenate(([0.0], wanted[sequence], [0.0]))
    # Rounding moves a fill point by half a resolution: plan inside the limit by a whole.
    wide = np.flatnonzero(np.abs(np.diff(path)) > step_a * (1 + 1e-9))
    between = {
        int(gap): to_step(
            np.array(fill(path[gap], path[gap + 1], step_a - resolution_a)), resolution_a
        )
        for gap in wide
    }
    added = np.zeros(len(path) - 1, dtype=np.intp)
    for gap, levels in between.items():
        added[gap] = len(levels)
    # Each wanted point stands behind all fill points of the gaps before it.
    index = np.empty(len(wanted), dtype=np.intp)
    index[sequence] = np.arange(len(wanted)) + np.cumsum(added)[:-1]
    joined = np.insert(
        path[1:-1],
        np.repeat(np.arange(len(added)), added),
        np.concatenate([*between.values(), []]),
    )
    lists = tuple(joined[i : i + most_points] for i in range(0, len(joined), most_points))
    return Plan(lists, index)


@dataclass(frozen=True)
class SweepData:
    """What a sweep measured, in the order in which its levels were asked for.

    Attributes:
        junction: its name.
        level_a: field-line current, A, shape [N].
        current_x_a, current_z_a: currents through the two reference layers, A, [N].
        valid: no doubt about either reading, [N].
        voltage_v: read voltage of both meters, V.
        points: points measured in all, fill points among them.
        bench_start_s, bench_end_s: bench clock, s.
    """

    junction: str
    level_a: Array
    current_x_a: Array
    current_z_a: Array
    valid: NDArray[np.bool_]
    voltage_v: float
    points: int
    bench_start_s: float
    bench_end_s: float


def arrays_sha256(
    level_a: Array, current_x_a: Array, current_z_a: Array, valid: NDArray[np.bool_]
) -> str:
    """Hash of what a sweep measured: every measured point, in the order of measuring."""
    digest = hashlib.sha256()
    for array in (level_a, current_x_a, current_z_a):
        digest.update(np.ascontiguousarray(array, dtype="<f8").tobytes())
    digest.update(np.packbits(valid).tobytes())
    return digest.hexdigest()
