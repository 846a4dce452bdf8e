"""Jobs on single junctions: gradient rules compared, planar twins fitted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from db import JSON
from device import CalibrationError, measure
from device.rules_comparison import RuleResult, compare_rules
from device.twin import PlanarTwin, fit_twin
from instruments import SweepData
from instruments.session import Session
from training.calibrating import calibrate_all

if TYPE_CHECKING:
    from training.jobs import Watch

#: pre-activations by which steps are chosen, a neuron; as many as a small training set has
_TRAIN = 500


@dataclass(frozen=True)
class TwinFit:
    """A twin, the sweeps that it was made from, and its misfit of a sweep that it was not."""

    twin: PlanarTwin
    sweeps: Sequence[SweepData]
    check_rms: tuple[float, float]


def gradients(session: Session, watch: Watch) -> dict[str, JSON]:
    """Compare gradient rules; arguments ``junctions`` (an empty list is all), ``batch``, ``seed``.

    Pre-activations are standard normal: what a layer sees whose inputs are scaled.

    Returns:
        rules (a row each), reference_error, junctions, left_out, batch, reads, bench_seconds.
    """
    a: dict[str, Any] = dict(session.arguments)
    bench = session.bench
    with bench.running():
        calibrated = calibrate_all(session, a["junctions"] or None)
        watch.calibrations, watch.sweeps = calibrated.calibrations, calibrated.sweeps
        drawn = np.random.default_rng(a["seed"]).normal(
            size=(_TRAIN + a["batch"], len(watch.calibrations))
        )
        found, error = compare_rules(
            bench, watch.calibrations, watch.sweeps, drawn[:_TRAIN], drawn[_TRAIN:]
        )
    watch.found = found
    return {
        "rules": [_row(one) for one in found],
        "reference_error": error,
        "junctions": [one.junction for one in watch.calibrations],
        **calibrated.report(),
        "batch": a["batch"],
        "bench_seconds": bench.clock.time_s(),
    }


def _row(one: RuleResult) -> Mapping[str, JSON]:
    return {
        "rule": one.rule,
        "cosine": one.agreement.cosine,
        "norm_ratio": one.agreement.norm_ratio,
        "rms_error": one.agreement.rms,
        "sigma_g": one.sigma_g,
        "reads_per_neuron": one.reads_per_neuron,
        "simultaneous": one.simultaneous,
        "hardware": one.hardware,
        "elements": len(one.g),
        "reads": one.reads,
        "bench_seconds": one.bench_time_s,
        "steps": {name: {**asdict(step), "error": step.error} for name, step in one.steps.items()},
    }


def twin_fit(session: Session, watch: Watch) -> dict[str, JSON]:
    """Fit planar twins; arguments ``junctions`` (an empty list is all) and ``sweeps`` of each.

    One sweep more is the check: the fit does not see it.

    Returns:
        twins by junction, left_out, bench_seconds.
    """
    a: dict[str, Any] = dict(session.arguments)
    bench = session.bench
    common = bench.file.readout.common_resistance
    found: list[TwinFit] = []
    left_out: dict[str, JSON] = {}
    with bench.running():
        for junction in a["junctions"] or bench.file.junctions:
            try:
                sweeps = [measure(bench, junction, purpose="twin") for _ in range(a["sweeps"])]
                twin = fit_twin(sweeps, common)
                check = measure(bench, junction, purpose="check")
            except CalibrationError as error:
                left_out[junction] = str(error).removeprefix(f"{junction}: ")
                session.recorder.event("junction left out", f"{junction}: {left_out[junction]}")
                continue
            found.append(TwinFit(twin, sweeps, twin.misfit(check)))
    if not found:
        reasons = "; ".join(f"{junction}: {reason}" for junction, reason in left_out.items())
        raise CalibrationError(f"no junction can be used: {reasons}")
    watch.found = found
    return {
        "twins": {
            one.twin.junction: {
                **one.twin.record(),
                "check_rms_x": one.check_rms[0],
                "check_rms_z": one.check_rms[1],
            }
            for one in found
        },
        "left_out": left_out,
        "bench_seconds": bench.clock.time_s(),
    }
