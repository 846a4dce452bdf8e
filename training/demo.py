"""The demonstration: circles and Iris with junctions as hidden neurons, live, against controls."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from db import JSON, weights_sha256
from device import (
    Calibration,
    DeviceArray,
    TableNeuron,
    TwoReferenceMTJ,
    measure,
    slope,
    tabulate,
)  # fmt: skip
from instruments import SweepData
from instruments.session import Session
from training.arms import ARMS, SOURCE, Arm
from training.calibrating import calibrate_all
from training.comparison import (
    Array,
    Layer,
    OnProgress,
    Progress,
    Tally,
    compare,
    gradient_agreement,
    live_epochs,
    one_thread,
)  # fmt: skip
from training.tasks import TASKS, with_epochs


def run_comparison(
    session: Session,
    *,
    tasks: Sequence[str] = ("circles", "iris"),
    seed: int = 0,
    repetitions: int = 5,
    epochs: int | None = None,
    arms: Sequence[Arm] = ARMS,
    on_progress: OnProgress | None = None,
) -> tuple[dict[str, JSON], Tally, list[Calibration], list[SweepData]]:
    """Calibrate, train every arm of every task, and judge the measured gradients.

    Args:
        session: open.
        tasks: names out of ``training.tasks.TASKS``.
        seed: first of the seeds; repetition r uses seed + r.
        repetitions: paired seeds.
        epochs: in place of the tasks' own.
        arms: which arms; the gradients can be judged only if "device" is among them.
        on_progress: is called after each live epoch.

    Returns:
        The report, and what figures are drawn from.
    """
    one_thread()
    started = time.monotonic()
    bench = session.bench
    with bench.running():
        tabled = any(SOURCE[arm] == "table" for arm in arms)
        found = calibrate_all(session, tables=tabled)
        calibrations, sweeps = found.calibrations, found.sweeps
        layer = Layer(
            DeviceArray([TwoReferenceMTJ(bench, one) for one in calibrations]),
            TableNeuron([tabulate(*pair) for pair in zip(sweeps, calibrations, strict=True)])
            if tabled
            else None,
        )
        chosen = [with_epochs(TASKS[name], epochs) for name in tasks]
        seeds = list(range(seed, seed + repetitions))
        total = sum(live_epochs(task, seeds) for task in chosen)
        tally = Tally(reads=found.reads)

        def on_epoch(label: str, share: float) -> None:
            if on_progress is not None:
                on_progress(
                    Progress(
                        label, tally.epochs_done, total, share, tally.reads, bench.clock.time_s()
                    )
                )

        report: dict[str, JSON] = {}
        for task in chosen:
            report[task.name] = compare(
                session, task, layer, seeds, tally, arms=arms, on_epoch=on_epoch
            )
        # A second sweep, independent of all that was trained on, judges the gradients.
        checks = [measure(bench, one.junction, purpose="check") for one in calibrations]
    tally.reads += sum(data.points for data in checks)
    if tally.g:
        reference = reference_gradient(np.concatenate(tally.x), calibrations, checks)
        cosine, ratio = gradient_agreement(np.concatenate(tally.g), reference)
        report |= {"gradient_cosine": cosine, "gradient_norm_ratio": ratio}
    report |= {
        "junctions": [one.junction for one in calibrations],
        **found.report(),
        "dropped_batches": tally.dropped,
        "reads": tally.reads,
        "bench_seconds": bench.clock.time_s(),
        "wall_seconds": round(time.monotonic() - started, 3),
        "weights_sha256": weights_sha256(tally.weights),
    }
    return report, tally, calibrations, sweeps


def reference_gradient(
    x: Array, calibrations: Sequence[Calibration], checks: Sequence[SweepData]
) -> Array:
    """∂y/∂x at inputs x [B, n] from the slopes of sweeps, one junction a column."""
    columns = []
    for j, (one, data) in enumerate(zip(calibrations, checks, strict=True)):
        current = np.clip(one.center_a + one.unit_width_a * x[:, j], one.low_a, one.high_a)
        columns.append(one.unit_width_a * slope(data, one)(current))
    return np.stack(columns, axis=1)
