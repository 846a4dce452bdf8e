"""What a bench must have whose instruments outlive the program: a guardian, and a rehearsal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from db import NullRecorder, Recorder
from instruments.bench_file import BenchFile
from instruments.errors import GuardianError, RehearsalError
from instruments.guarding import Guardian, make_plan
from instruments.safe_state import SafeState
from instruments.state_folder import Rehearsal
from instruments.states import Cause
from instruments.transport import Transport


def watch_over(
    file: BenchFile,
    transport: Transport,
    drivers: Mapping[str, Any],
    recorder: Recorder | NullRecorder,
    safety: SafeState,
    heartbeat_s: float,
) -> Guardian:
    """Start the guardian of a bench; when it acts or ends, the bench trips.

    Raises:
        GuardianError: it cannot do its work.
    """

    def on_loss(sentence: str) -> None:
        safety.stop(Cause.HEARTBEAT, sentence)

    plan = make_plan(file, transport, drivers, recorder, heartbeat_s)
    try:
        guardian = Guardian(plan, transport, on_loss)
    except GuardianError as error:
        raise GuardianError(
            f"{error}; to do without it open the bench with --no-guardian"
        ) from None
    safety.leaving.insert(0, guardian.end)  # before the locks: nobody else comes in between
    return guardian


def check_rehearsal(file: BenchFile, rehearsal: Rehearsal | None) -> None:
    """Whether a rehearsal was made with this bench file as it is.

    Args:
        file: the bench file.
        rehearsal: which; None: the one on record.

    Raises:
        RehearsalError: none was.
    """
    found = rehearsal or Rehearsal.find(file)
    if found is None or not found.holds_for(file):
        raise RehearsalError(
            f"{file.name}: no rehearsal is on record for this bench file as it is now; connect "
            "resistors in place of the junctions and run 'spinloop bench rehearse'"
        )
