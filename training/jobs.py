"""The jobs of a session: what the command line and the window run, and what a replay runs again.

A job takes everything that it is to do from the session's recorded arguments, so that a replay of
the session is the same call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from db import JSON
from device import Calibration, resistances
from device.characterise import OnTask
from instruments import BenchError, BenchFile, SweepData
from instruments.session import Session
from instruments.sweeping import OnList
from training.arms import ARMS
from training.calibrating import calibrate_all
from training.characterise_job import characterise
from training.comparison import Array, OnProgress, Tally
from training.demo import run_comparison
from training.device_jobs import gradients, twin_fit
from training.evaluate_job import evaluate
from training.judgement import Tape, judge
from training.session import ReplayNote

#: points of one list of a sweep that is watched: at 1 NPLC and 50 Hz well under a second
WATCHED_LIST_POINTS = 15


@dataclass
class Watch:
    """Who looks on, and what figures are drawn from afterwards.

    Attributes:
        on_progress: is called after each epoch of live training.
        on_list: is called with each list of a sweep as soon as it is measured.
        on_task: is called before each sweep of a characterisation.
        tally, calibrations, sweeps: filled in by the job.
        found: what else the job's picture is drawn from.
    """

    on_progress: OnProgress | None = None
    on_list: OnList | None = None
    on_task: OnTask | None = None
    tally: Tally = field(default_factory=Tally)
    calibrations: Sequence[Calibration] = ()
    sweeps: Sequence[SweepData] = ()
    found: Any = None


def sweep_levels(arguments: Mapping[str, Any]) -> Array:
    """The levels of a sweep, A: from ``start_a`` to ``stop_a`` in ``points``, and ``back``."""
    levels = np.linspace(arguments["start_a"], arguments["stop_a"], arguments["points"])
    return np.concatenate((levels, levels[::-1])) if arguments["back"] else levels


def sweep(session: Session, watch: Watch) -> dict[str, JSON]:
    """Sweep one junction; arguments ``junction``, ``start_a``, ``stop_a``, ``points``, ``back``.

    The sweep is cut into short lists, so that it can be watched; watching or not, it is the same.

    Returns:
        junction, points, measured_points (fill points among them), level_a, r_x_ohm, r_z_ohm,
        valid, bench_seconds.
    """
    data = session.bench.sweep(
        str(session.arguments["junction"]),
        sweep_levels(session.arguments),
        order="given",
        list_points=WATCHED_LIST_POINTS,
        on_list=watch.on_list,
    )
    watch.sweeps = [data]
    r_x, r_z = resistances(data, session.bench.file.readout.common_resistance)
    return {
        "junction": data.junction,
        "points": len(data.level_a),
        "measured_points": data.points,
        "level_a": data.level_a.tolist(),
        "r_x_ohm": [float(r) if np.isfinite(r) else None for r in r_x],
        "r_z_ohm": [float(r) if np.isfinite(r) else None for r in r_z],
        "valid": data.valid.tolist(),
        "bench_seconds": session.bench.clock.time_s(),
    }


def calibrate(session: Session, watch: Watch) -> dict[str, JSON]:
    """Calibrate junctions; argument ``junctions`` (an empty list is all), and where they are given
    ``mode`` and ``earlier`` (see :mod:`training.calibrating`).

    Returns:
        calibrations by junction, the junctions left out with the reason, and what became of earlier
        calibrations where they were looked for.
    """
    a: dict[str, Any] = dict(session.arguments)
    with session.bench.running():
        found = calibrate_all(session, a["junctions"] or None)
    watch.calibrations, watch.sweeps = found.calibrations, found.sweeps
    return {
        "calibrations": {one.junction: dict(one.record()) for one in watch.calibrations},
        **found.report(),
        "bench_seconds": session.bench.clock.time_s(),
    }


def compare(session: Session, watch: Watch) -> dict[str, JSON]:
    """Train all arms; arguments ``tasks``, ``seed``, ``repetitions``, ``epochs``, ``arms``, and
    where they are given ``mode`` and ``earlier`` (see :mod:`training.calibrating`).
    """
    a: dict[str, Any] = dict(session.arguments)
    report, watch.tally, watch.calibrations, watch.sweeps = run_comparison(
        session,
        tasks=a["tasks"],
        seed=a["seed"],
        repetitions=a["repetitions"],
        epochs=a["epochs"],
        arms=a["arms"] or ARMS,
        on_progress=watch.on_progress,
    )
    return report


def check(kind: str, arguments: Mapping[str, Any], file: BenchFile) -> None:
    """What can be said against a job before the bench is opened.

    Raises:
        BenchError: no such job or junction, or no bias magnet for a direct calibration.
        LimitError: a current above its limit.
    """
    if kind not in JOBS:
        raise BenchError(f"no job {kind!r}; there are {', '.join(JOBS)}")
    wanted = [arguments["junction"]] if kind == "sweep" else arguments.get("junctions", [])
    for junction in wanted:
        file.check_junction(junction)
    if arguments.get("mode") == "direct" and file.instruments.bias is None:
        raise BenchError(
            f"{file.name} has no bias magnet for a direct calibration: leave --direct out, or add "
            "instruments.bias and limits.bias to the bench file"
        )
    if kind == "sweep":
        file.check_current(max(abs(arguments["start_a"]), abs(arguments["stop_a"])))


def judge_replay(
    database: str | Path,
    session: Session,
    note: ReplayNote,
    report: Mapping[str, JSON],
    watch: Watch,
) -> dict[str, JSON]:
    """Compare a replayed job with its record (see :func:`training.judgement.judge`)."""
    assert isinstance(session.recorder, Tape)
    return judge(
        database, note.detail, note.differences, report, watch.tally.weights, session.recorder
    )


JOBS: dict[str, Callable[[Session, Watch], dict[str, JSON]]] = {
    "sweep": sweep,
    "calibrate": calibrate,
    "characterise": characterise,
    "demo": compare,
    "train": compare,
    "gradients": gradients,
    "twin": twin_fit,
    "evaluate": evaluate,
}
