"""The whole procedure on dummy resistors, before a junction may be connected.

Each step is a promise of the bench that is tried: that every junction's relays lead to its
resistors, that what is above a limit is refused, that the instruments' own fuses act, that a stop
ends with everything off.  The guardian's part is in :mod:`instruments.rehearsal_guardian`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from instruments.bench import Bench
from instruments.errors import BenchError
from instruments.rehearsal_fuses import field_fuse, meter_fuses, meter_trip
from instruments.rehearsal_steps import (
    Dummies,
    FailedError,
    NotTriedError,
    Work,
    arm,
    refusals,
    stop,
    sweep_of,
)

__all__ = ["Dummies", "Step", "rehearse"]


@dataclass(frozen=True)
class Step:
    """One step of a rehearsal.

    Attributes:
        name: what is tried.
        outcome: "passed", "failed" or "not tried".
        text: what was seen.
    """

    name: str
    outcome: str
    text: str


def rehearse(
    bench: Bench, dummies: Dummies, on_step: Callable[[Step, int], None] | None = None
) -> list[Step]:
    """All steps on an open bench with resistors in place of its junctions.

    Args:
        bench: opened with ``dummies=True``.
        dummies: the resistors.
        on_step: is called with each step and the number of steps.

    Returns:
        The steps up to the first that has failed; after that one the bench is at zero and off.
    """
    steps: list[tuple[str, Work]] = [("arm", arm)]
    steps += [(f"resistors at {name}", sweep_of(name)) for name in bench.file.junctions]
    steps += [
        ("values above the limits", refusals),
        ("fuses of the meters", meter_fuses),
        ("trip of the meters", meter_trip),
        ("fuse of the field source", field_fuse),
        ("stop during a sweep", stop),
    ]
    done: list[Step] = []
    for name, work in steps:
        try:
            step = Step(name, "passed", work(bench, dummies))
        except NotTriedError as why:
            step = Step(name, "not tried", str(why))
        except (FailedError, BenchError) as why:
            step = Step(name, "failed", str(why))
        done.append(step)
        bench.recorder.event("rehearsal", f"{step.name}: {step.outcome}: {step.text}")
        if on_step is not None:
            on_step(step, len(steps))
        if step.outcome == "failed":
            bench.stop(f"the rehearsal has failed: {step.name}")
            break
    return done
