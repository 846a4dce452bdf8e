"""Characterisation of junctions: every sweep of the schedule, then what it says.

for one in characterise(bench, ["J1", "J2"], quick=True).characters:
    print(one.junction, one.verdict, one.remarks)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from db import JSON
from device.characterise_judge import (
    Finding,
    Scale,
    Sweeps,
    judge_order,
    judge_repeat,
    judge_sweep,
    make_scale,
)
from device.characterise_judge_time import (
    judge_disturb,
    judge_drift,
    judge_field,
    judge_heating,
    judge_noise,
)
from device.characterise_measures import quantiles
from device.characterise_steps import Step, Task, schedule
from device.plan_costs import readings_per_point
from device.tuning import BIASED, bias_control
from instruments import Bench, BenchFile, LimitError, SweepData, SweepVoidError

Measured = dict[tuple[str, str], list[tuple[Step, SweepData]]]
#: is called before each sweep with its place in the schedule
OnTask = Callable[[int, Task], None]
#: what is told of a calibration
_KEPT = ("verdict", "reason", "chi2", "k_a", "k2_a", "hz_a", "offset_a", "low_a", "high_a")


@dataclass
class Character:
    """What is known of one junction.

    Attributes:
        junction: its name.
        verdict: "good"; "doubtful": there are remarks; "bad": no calibration, or a refused one.
        scale: what the unit m of all changes is.
        findings: by part.
        remarks: sentences, those of the parts among them.
        calibration: its effective parameters and its verdict; None: there is none.
    """

    junction: str
    verdict: Literal["good", "doubtful", "bad"] = "good"
    scale: str = ""
    findings: dict[str, Finding] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    calibration: Mapping[str, JSON] | None = None

    @property
    def numbers(self) -> dict[str, float]:
        """The numbers of all parts."""
        return {k: v for one in self.findings.values() for k, v in one.numbers.items()}

    def record(self) -> dict[str, JSON]:
        """As the record keeps it: numbers that are none are null."""
        return {
            "verdict": self.verdict,
            "remarks": list(self.remarks),
            "scale": self.scale,
            "numbers": {k: v if np.isfinite(v) else None for k, v in self.numbers.items()},
            "calibration": self.calibration,
        }


@dataclass
class Characterisation:
    """All junctions of a bench.

    Attributes:
        characters: in the order of measuring.
        statistics: by number: n, mean, sd and quantiles over the junctions that are not bad.
        bad: why, by junction.
    """

    characters: list[Character]
    statistics: dict[str, dict[str, float]]
    bad: dict[str, str]


def characterise(
    bench: Bench,
    junctions: Sequence[str],
    *,
    only: Sequence[str] = (),
    quick: bool = False,
    bias_t: float | None = None,
    on_task: OnTask | None = None,
) -> Characterisation:
    """Measure and judge junctions; every sweep is recorded, with the purpose "characterise", or
    "bias" where the bias magnet is on.

    Args:
        bench: an open bench.
        junctions: by name.
        only: parts (:data:`~device.characterise_steps.PARTS`); none: all.
        quick: fewer points and shorter pauses.
        bias_t: field of the bias magnet for one unit of its level, T.
        on_task: is called before each sweep.

    Raises:
        ValueError: no such part.
        BenchError: no such junction; a limit, a trip, a lost instrument.
    """
    tasks = schedule(bench.file, junctions, only, quick)
    for junction in junctions:
        bench.file.check_junction(junction)
    measured, failed = measure_tasks(bench, tasks, on_task)
    return judge_all(bench.file, junctions, measured, failed, bias_t)


def measure_tasks(
    bench: Bench, tasks: Sequence[Task], on_task: OnTask | None = None
) -> tuple[Measured, dict[str, list[str]]]:
    """Make the sweeps; a junction whose first one is no good is left alone from then on.

    Returns:
        Sweeps by junction and part, and by junction what was not measured and why.
    """
    measured: Measured = {}
    failed: dict[str, list[str]] = {}
    gone: set[str] = set()
    common = bench.file.readout.common_resistance
    with bench.running():
        for place, task in enumerate(tasks):
            if on_task is not None:
                on_task(place, task)
            bench.transport.pause(task.step.pause_s)
            if task.junction in gone:
                continue
            try:
                data = _one(bench, task)
            except (LimitError, SweepVoidError) as error:
                failed.setdefault(task.junction, []).append(f"{task.part}: {error}")
                continue
            measured.setdefault((task.junction, task.part), []).append((task.step, data))
            if task.part == "sweep" and make_scale(data, common)[0] is None:
                gone.add(task.junction)
    return measured, failed


def _one(bench: Bench, task: Task) -> SweepData:
    step = task.step
    purpose = BIASED if step.bias else "characterise"

    def sweep() -> SweepData:
        return bench.sweep(task.junction, step.levels_a, purpose=purpose, order=step.order)

    if step.bias is not None:
        top = bench.file.limits.bias
        most = step.bias if top is None else top.level.value  # without one, the control refuses
        control = bias_control(bench, -most, most, most)
        try:
            control.value = step.bias
            return sweep()
        finally:  # what comes next, after a void sweep too, is measured without the magnet
            control.value = 0.0
    if step.nplc is None and step.voltage_v is None:
        return sweep()
    with bench.reading_with(nplc=step.nplc, voltage_v=step.voltage_v):
        return sweep()


def judge_all(
    file: BenchFile,
    junctions: Sequence[str],
    measured: Measured,
    failed: Mapping[str, Sequence[str]],
    bias_t: float | None = None,
) -> Characterisation:
    """What sweeps say; no bench is needed."""
    characters = [
        judge_one(file, junction, {p: s for (j, p), s in measured.items() if j == junction},
                  failed.get(junction, ()), bias_t)
        for junction in junctions
    ]  # fmt: skip
    return summary(characters)


def summary(characters: list[Character]) -> Characterisation:
    """Junctions with their statistics, the bad ones named and left out of them."""
    kept = [one.numbers for one in characters if one.verdict != "bad"]
    names = list(dict.fromkeys(name for numbers in kept for name in numbers))
    statistics = {
        name: quantiles(np.array([numbers.get(name, np.nan) for numbers in kept])) for name in names
    }
    bad = {one.junction: "; ".join(one.remarks) for one in characters if one.verdict == "bad"}
    return Characterisation(characters, statistics, bad)


def judge_one(
    file: BenchFile,
    junction: str,
    sweeps: Mapping[str, Sweeps],
    failed: Sequence[str] = (),
    bias_t: float | None = None,
) -> Character:
    """What the sweeps of one junction, by part, say of it."""
    one = Character(junction, remarks=list(failed))
    if "sweep" not in sweeps:
        one.verdict = "bad"
        one.remarks = one.remarks or ["it was not measured"]
        return one
    scale, reason = make_scale(sweeps["sweep"][0][1], file.readout.common_resistance)
    if reason:
        one.verdict = "bad"
        one.remarks.insert(0, reason)
    if scale is None:
        return one
    one.scale = scale.source
    if scale.calibration is not None:
        one.calibration = {name: getattr(scale.calibration, name) for name in _KEPT}
        if scale.calibration.verdict != "good":
            one.remarks.insert(0, scale.calibration.reason)
        if scale.calibration.verdict == "refused":
            one.verdict = "bad"
    for part, made in sweeps.items():
        found = _judge(part, made, scale, file, bias_t)
        one.findings[part] = found
        one.remarks += found.remarks
    if one.remarks and one.verdict == "good":
        one.verdict = "doubtful"
    return one


def _judge(
    part: str, sweeps: Sweeps, scale: Scale, file: BenchFile, bias_t: float | None
) -> Finding:
    match part:
        case "sweep":
            return judge_sweep(sweeps, scale)
        case "order":
            return judge_order(sweeps, scale)
        case "repeat":
            return judge_repeat(sweeps, scale)
        case "noise":
            t = file.timing
            spacing_s = t.settle + readings_per_point(file) * t.nplc / t.line_frequency
            return judge_noise(sweeps, scale, t.nplc, spacing_s)
        case "drift":
            return judge_drift(sweeps, scale)
        case "heating":
            return judge_heating(sweeps, scale)
        case "disturb":
            return judge_disturb(sweeps, scale, file.readout.voltage)
        case _:
            return judge_field(sweeps, scale, bias_t)


def report(found: Characterisation) -> dict[str, JSON]:
    """As the record and ``--json`` give it."""
    finite = {
        name: {k: v if np.isfinite(v) else None for k, v in values.items()}
        for name, values in found.statistics.items()
    }
    return {
        "junctions": {one.junction: one.record() for one in found.characters},
        "statistics": finite,
        "bad": dict(found.bad),
    }
