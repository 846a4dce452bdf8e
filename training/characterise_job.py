"""The job of a characterisation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from db import JSON
from device.characterise import characterise as run_characterisation
from device.characterise import report
from instruments.session import Session

if TYPE_CHECKING:
    from training.jobs import Watch


def characterise(session: Session, watch: Watch) -> dict[str, JSON]:
    """Characterise junctions; arguments ``junctions`` (an empty list is all), ``only``, ``quick``,
    ``bias_t`` (T for one unit of the bias magnet's level, or None).

    Returns:
        junctions (verdict, remarks, numbers of each), statistics, bad, bench_seconds.
    """
    a: dict[str, Any] = dict(session.arguments)
    watch.found = run_characterisation(
        session.bench,
        a["junctions"] or list(session.bench.file.junctions),
        only=a["only"],
        quick=a["quick"],
        bias_t=a["bias_t"],
        on_task=watch.on_task,
    )
    for junction, reason in watch.found.bad.items():
        session.recorder.event("bad junction", f"{junction}: {reason}")
    return {**report(watch.found), "bench_seconds": session.bench.clock.time_s()}
