"""Before a run: how many reads, sweeps, bench seconds and bytes it will take, and what limits it.

costs = learn(Path("spinloop.sqlite"), file)
job = Network(samples=120, batch=120, epochs=30, neurons=8, junctions=8)
print(predict(training(file, job, costs), file, costs).seconds)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from db import JSON
from device.characterise_steps import Task, lists_of, up_and_down
from device.plan_costs import Costs, learn, lower_bound, readings_per_point, record
from device.rules import CalibratedTwoReference, CurveSlope, TwoReference
from device.rules_difference import Central, Dither, Forward
from instruments import BenchFile
from instruments.sweep import Order

__all__ = [
    "RULES",
    "Costs",
    "Forecast",
    "Network",
    "Sweeps",
    "calibrating",
    "characterising",
    "learn",
    "lower_bound",
    "predict",
    "report",
    "tabulated",
    "training",
]

#: points per element and their order, by rule
RULES: dict[str, tuple[int, Order]] = {
    "two-reference": (TwoReference.reads, TwoReference.order),
    "calibrated": (CalibratedTwoReference.reads, CalibratedTwoReference.order),
    "slope": (CurveSlope.reads, CurveSlope.order),
    "forward": (Forward.reads, Forward.order),
    "central": (Central.reads, Central.order),
    "dither": (2 * Dither.periods, Dither.order),
}


@dataclass(frozen=True)
class Sweeps:
    """Sweeps that are alike.

    Attributes:
        count: how many.
        lists: measured points of each list of one of them, fill points among them.
        selects: how many of them change the junction or the settings.
        changes: how many of them change the settings.
        nplc: integration time; None: the bench file's.
        pause_s: before all of them together, s.
    """

    count: int
    lists: tuple[int, ...]
    selects: int = 0
    changes: int = 0
    nplc: float | None = None
    pause_s: float = 0.0


@dataclass(frozen=True)
class Network:
    """A training with a hidden layer on junctions.

    Attributes:
        samples: training samples.
        batch: of them in a batch; None: all.
        epochs: passes over them.
        neurons: of the layer.
        junctions: that they are read from; neurons beyond their number share them in time.
        rule: name of the gradient rule (:data:`RULES`).
        test: samples of the evaluation at the end, read forward alone.
        runs: trainings, one after another (seeds, folds).
        check_every: batches between two spot checks of a tabulated layer; None: none are made.
        check_points: readings of one spot check, a junction.
    """

    samples: int
    epochs: int
    neurons: int
    junctions: int
    batch: int | None = None
    rule: str = "two-reference"
    test: int = 0
    runs: int = 1
    check_every: int | None = None
    check_points: int = 10

    def __post_init__(self) -> None:
        for name in ("samples", "epochs", "neurons", "junctions", "runs"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} = {getattr(self, name)}: give at least 1")
        if self.batch is not None and self.batch < 1:
            raise ValueError(f"batch = {self.batch}: give at least 1")
        if self.rule not in RULES:
            raise ValueError(f"no rule {self.rule!r}; there are {', '.join(RULES)}")

    @property
    def batches(self) -> Counter[int]:
        """How many batches of which size an epoch has."""
        size = min(self.batch or self.samples, self.samples)
        sizes = Counter({size: self.samples // size})
        if self.samples % size:
            sizes[self.samples % size] += 1
        return sizes

    @property
    def used(self) -> int:
        """Junctions that have a neuron."""
        return min(self.junctions, self.neurons)

    @property
    def shares(self) -> Counter[int]:
        """How many junctions stand for how many neurons."""
        each, more = divmod(self.neurons, self.used)
        return Counter({each + 1: more, each: self.used - more}) + Counter()


@dataclass(frozen=True)
class Forecast:
    """What sweeps will take.

    Attributes:
        reads: points measured, fill points among them.
        sweeps: how many.
        parts: bench seconds by what they go into.
        stored: bytes of the record; None: nothing is known of it.
        lower_bound: only what the bench file asks for is in it.
    """

    reads: int
    sweeps: int
    parts: dict[str, float]
    stored: float | None
    lower_bound: bool

    @property
    def seconds(self) -> float:
        """Bench time, s."""
        return sum(self.parts.values())

    @property
    def limited_by(self) -> str:
        """The largest part."""
        return max(self.parts, key=lambda name: self.parts[name])


def predict(sweeps: Iterable[Sweeps], file: BenchFile, costs: Costs) -> Forecast:
    """Bench time, reads and bytes of sweeps on this bench."""
    parts = dict.fromkeys(
        ("integration", "settling", "triggers", "upload", "fetch", "relays", "messages", "pauses"),
        0.0,
    )
    reads = count = 0
    stored = 0.0
    per_point = readings_per_point(file) * costs.integration / file.timing.line_frequency
    for one in sweeps:
        nplc = file.timing.nplc if one.nplc is None else one.nplc
        points, lists = one.count * sum(one.lists), one.count * len(one.lists)
        reads += points
        count += one.count
        parts["integration"] += points * per_point * nplc
        parts["settling"] += points * file.timing.settle
        for name, line in (
            ("triggers", costs.measure), ("upload", costs.upload), ("fetch", costs.fetch)
        ):  # fmt: skip
            parts[name] += one.count * sum(line.of(n) for n in one.lists)
        parts["relays"] += one.selects * costs.select_s
        parts["messages"] += lists * costs.arm_s + one.changes * costs.change_s
        parts["messages"] += (one.count - one.changes) * costs.gap_s
        parts["pauses"] += one.pause_s
        stored += one.count * sum(costs.stored.of(n) for n in one.lists)
    if count:
        parts["messages"] += costs.start_s
    return Forecast(reads, count, parts, stored if costs.sweeps else None, not costs.sweeps)


def calibrating(file: BenchFile, junctions: int, *, checks: int = 0) -> list[Sweeps]:
    """The calibration of junctions, and ``checks`` more sweeps of each like it."""
    levels = up_and_down(file.calibration.range, file.calibration.points)
    count = junctions * (1 + checks)
    selects = count if junctions > 1 else 1
    return [Sweeps(count, _lists(file, levels, "given"), selects)]


def characterising(file: BenchFile, tasks: Sequence[Task]) -> list[Sweeps]:
    """A characterisation's schedule."""
    found = []
    settings = [(None, None), *((t.step.nplc, t.step.voltage_v) for t in tasks)]
    names = ["", *(t.junction for t in tasks)]
    for at, task in enumerate(tasks):
        change = settings[at] != settings[at + 1]
        found.append(
            Sweeps(
                1, _lists(file, task.step.levels_a, task.step.order),
                int(change or names[at] != names[at + 1]), int(change), task.step.nplc,
                task.step.pause_s,
            )
        )  # fmt: skip
    return found


def training(file: BenchFile, job: Network, costs: Costs) -> list[Sweeps]:
    """A live training: calibration, every batch on every junction, the evaluation, the check."""
    reads, order = RULES[job.rule]
    found = calibrating(file, job.junctions, checks=1)
    for neurons, junctions in job.shares.items():
        for size, batches in job.batches.items():
            lists = _batch(file, costs, size * neurons, reads, order)
            count = job.runs * job.epochs * batches * junctions
            found.append(Sweeps(count, lists, count if job.used > 1 else 0))
        if job.test:
            count = job.runs * junctions
            lists = _batch(file, costs, job.test * neurons, 1, "sorted")
            found.append(Sweeps(count, lists, count if job.used > 1 else 0))
    return found


def tabulated(file: BenchFile, job: Network, costs: Costs) -> list[Sweeps]:
    """The same on tables: calibration, the spot checks, the check sweep at the end."""
    found = calibrating(file, job.junctions, checks=1)
    if job.check_every:
        # The first before the first batch, of each run.
        checks = -(-job.epochs * sum(job.batches.values()) // job.check_every)
        count = job.runs * checks * job.used
        lists = _batch(file, costs, job.check_points, 1, "sorted")
        found.append(Sweeps(count, lists, count if job.used > 1 else 0))
    return found


def _batch(
    file: BenchFile, costs: Costs, elements: int, reads: int, order: Order
) -> tuple[int, ...]:
    """Lists of a batch; its pre-activations are normal, and three deviations fill the range."""
    reach = costs.reach_a or file.calibration.range
    quantile = (np.arange(elements) + 0.5) / elements
    at = reach * np.clip(ndtri(quantile) / 3, -1, 1)
    if order == "given":  # as samples come
        at = np.random.default_rng(0).permutation(at)
    return _lists(file, np.repeat(at, reads), order)


def _lists(file: BenchFile, levels_a: np.ndarray, order: Order) -> tuple[int, ...]:
    return tuple(len(one) for one in lists_of(file, levels_a, order).lists)


def report(forecast: Forecast, costs: Costs) -> dict[str, JSON]:
    """As ``--json`` gives it."""
    return {
        "sweeps": forecast.sweeps,
        "reads": forecast.reads,
        "bench_seconds": forecast.seconds,
        "bytes": forecast.stored,
        "parts_s": dict(forecast.parts),
        "limited_by": forecast.limited_by,
        "lower_bound": forecast.lower_bound,
        "costs": dict(record(costs)),
    }
