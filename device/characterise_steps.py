"""What a characterisation measures: for each part, the sweeps that it takes.

Everything here follows from the bench file alone, so that the time can be said before the bench is
touched.  How a part is judged stands in :mod:`device.characterise_judge`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from device.characterise_measures import Array
from instruments import BenchFile, LimitError
from instruments.sweep import Order, Plan, plan

#: source-meters' longest list
MOST_POINTS = 2500
_SHUFFLE = 20240904  # any fixed number: the shuffled order is the same for every junction and run


@dataclass(frozen=True)
class Step:
    """One sweep.

    Attributes:
        levels_a: field-line currents in the order of measuring, A, [N].
        order: "given" or "sorted".
        nplc, voltage_v: integration time and read voltage, V; None: the bench file's.
        pause_s: field at zero for so long before it, s.
        bias: level of the bias magnet, in its source's unit; None: none is set.
    """

    levels_a: Array
    order: Order = "given"
    nplc: float | None = None
    voltage_v: float | None = None
    pause_s: float = 0.0
    bias: float | None = None


class Part(NamedTuple):
    """A part of a characterisation.

    Attributes:
        what: in words.
        steps: the sweeps of a bench; second argument: quick.
        in_rounds: each step is made on all junctions before the next one.
    """

    what: str
    steps: Callable[[BenchFile, bool], list[Step]]
    in_rounds: bool = False


def up_and_down(range_a: float, points: int) -> Array:
    """From one end to the other and back, A, [2·points]."""
    up = np.linspace(-range_a, range_a, points)
    return np.concatenate((up, up[::-1]))


def _sweep(file: BenchFile, quick: bool) -> list[Step]:
    return [Step(up_and_down(file.calibration.range, file.calibration.points))]


def _levels(file: BenchFile, quick: bool) -> Array:
    return np.linspace(-file.calibration.range, file.calibration.range, 31 if quick else 61)


def _order(file: BenchFile, quick: bool) -> list[Step]:
    levels = _levels(file, quick)
    return [Step(levels), Step(np.random.default_rng(_SHUFFLE).permutation(levels))]


def _repeat(file: BenchFile, quick: bool) -> list[Step]:
    return [Step(_levels(file, quick)) for _ in range(3 if quick else 5)]


def _noise(file: BenchFile, quick: bool) -> list[Step]:
    wanted = {0.1: 64, 1.0: 64} if quick else {0.01: 256, 0.1: 256, 1.0: 256, 10.0: 64}
    own = file.timing.nplc
    wanted.setdefault(own, 64 if quick else 256)
    steps = [Step(np.zeros(wanted[nplc]), nplc=nplc) for nplc in sorted(wanted)]
    return [replace(s, nplc=None) if s.nplc == own else s for s in steps if _allowed(file, s)]


def _drift(file: BenchFile, quick: bool) -> list[Step]:
    half = file.calibration.range / 2
    levels = np.repeat(np.linspace(-half, half, 5), 2 if quick else 4)
    rounds, pause_s = (4, 5.0) if quick else (8, 30.0)
    return [Step(levels, pause_s=pause_s if at else 0.0) for at in range(rounds)]


def _heating(file: BenchFile, quick: bool) -> list[Step]:
    before, stay, after = (10, 20, 20) if quick else (20, 60, 40)
    top = file.calibration.range
    levels = np.concatenate((np.zeros(before), np.full(stay, top), np.zeros(after)))
    return [Step(levels)]


def _disturb(file: BenchFile, quick: bool) -> list[Step]:
    """Reads at rest, sweeps at other read voltages, and the first reads again."""
    own, reads = file.readout.voltage, np.zeros(30 if quick else 100)
    sweep = up_and_down(file.calibration.range, 31 if quick else 61)
    volts = [v for v in ((own / 2, 2 * own) if quick else (own / 2, own, 2 * own))]
    at = [replace(Step(sweep), voltage_v=None if v == own else v) for v in volts]
    high = Step(reads, voltage_v=2 * own)
    return [s for s in (Step(reads), *at, high, Step(reads)) if _allowed(file, s)]


def _field(file: BenchFile, quick: bool) -> list[Step]:
    """The response at three levels of the bias magnet; none without one."""
    if file.limits.bias is None:
        return []
    top = file.limits.bias.level.value
    sweep = up_and_down(file.calibration.range, 61)
    return [Step(sweep, bias=level) for level in (0.0, top / 2, top)]


def _allowed(file: BenchFile, step: Step) -> bool:
    try:
        file.read_with(step.nplc, step.voltage_v)
    except LimitError:
        return False
    return True


#: the first one is always made: it gives the scale in which the others are told
PARTS: dict[str, Part] = {
    "sweep": Part("response up and down: hysteresis, jumps, unit width, shape", _sweep),
    "order": Part("the same levels sorted and shuffled", _order),
    "repeat": Part("the same sweep again and again", _repeat),
    "noise": Part("noise against integration time, slow noise", _noise),
    "heating": Part("before, during and after a stay at the highest field", _heating),
    "disturb": Part("repeated reads and other read voltages", _disturb),
    "field": Part("field per ampere, from the bias magnet", _field),
    "drift": Part("reference levels over time", _drift, in_rounds=True),
}


class Task(NamedTuple):
    """One sweep of a characterisation, and where it belongs."""

    junction: str
    part: str
    number: int
    step: Step


def check_parts(only: Sequence[str]) -> None:
    """Raise ValueError if there is no such part."""
    for one in only:
        if one not in PARTS:
            raise ValueError(f"no part {one!r}; there are {', '.join(PARTS)}")


def schedule(
    file: BenchFile, junctions: Sequence[str], only: Sequence[str] = (), quick: bool = False
) -> list[Task]:
    """All sweeps in the order in which they are made.

    Args:
        file: the bench file.
        junctions: by name.
        only: parts; none: all.  "sweep" is always among them.
        quick: fewer points and shorter pauses.

    Raises:
        ValueError: no such part.
    """
    check_parts(only)
    wanted = [name for name in PARTS if not only or name in only or name == "sweep"]
    steps = {name: PARTS[name].steps(file, quick) for name in wanted}
    alone = [name for name in wanted if not PARTS[name].in_rounds]
    tasks = [
        Task(junction, part, number, step)
        for junction in junctions
        for part in alone
        for number, step in enumerate(steps[part])
    ]
    for part in (name for name in wanted if PARTS[name].in_rounds):
        for number, step in enumerate(steps[part]):
            for place, junction in enumerate(junctions):  # one pause for all of them
                own = step if place == 0 else replace(step, pause_s=0.0)
                tasks.append(Task(junction, part, number, own))
    return tasks


def lists_of(file: BenchFile, levels_a: Array, order: Order = "given") -> Plan:
    """The lists of a sweep, fill points among them, without a bench; a programming step of 1 µA is
    assumed, which changes no count that matters."""
    delay_s = file.timing.settle
    if file.timing.trigger == "fork":
        delay_s += file.timing.nplc / file.timing.line_frequency
    return plan(
        levels_a,
        step_a=file.limits.field_line.step_within(delay_s),
        most_points=MOST_POINTS,
        order=order,
        resolution_a=1e-6,
    )
