"""How a replay is judged: everything that was recorded, against what the replay found."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from db import JSON, NullRecorder, SessionDetail, Sweep
from db import sweeps as read_sweeps
from db import weights as read_weights

TOLERANCE = 1e-6  # between machines whose arithmetic differs in the last bits
_NOT_COMPARED = {"wall_seconds"}
_HASHES = {"weights_sha256"}  # compared only where the bits must be the same


class Tape(NullRecorder):
    """Keeps what a replay would have recorded."""

    def __init__(self) -> None:
        super().__init__()
        self.sweeps: list[Sweep] = []
        self.calibrations: dict[str, Mapping[str, JSON]] = {}
        self.epochs: list[Mapping[str, float]] = []

    def sweep(self, sweep: Sweep) -> None:
        super().sweep(sweep)
        self.sweeps.append(sweep)

    def calibration(self, junction: str, values: Mapping[str, JSON]) -> None:
        super().calibration(junction, values)
        self.calibrations[junction] = values

    def epoch(self, run: int, epoch: int, values: Mapping[str, float]) -> None:
        super().epoch(run, epoch, values)
        self.epochs.append({"epoch": epoch, **values})


def differing(recorded: Any, found: Any, tolerance: float, path: str = "") -> Iterator[str]:
    """The places where ``found`` is not what was recorded.  What is only in ``found`` is new."""
    if isinstance(recorded, Mapping):
        for key, value in recorded.items():
            if key in _NOT_COMPARED or (tolerance and key in _HASHES):
                continue
            other = found.get(key) if isinstance(found, Mapping) else None
            yield from differing(value, other, tolerance, f"{path}.{key}" if path else str(key))
    elif isinstance(recorded, (list, tuple)):
        if not isinstance(found, (list, tuple)) or len(found) != len(recorded):
            yield path
            return
        for index, (one, other) in enumerate(zip(recorded, found, strict=True)):
            yield from differing(one, other, tolerance, f"{path}[{index}]")
    elif isinstance(recorded, float) and isinstance(found, (int, float)):
        same = recorded == found or (math.isnan(recorded) and math.isnan(found))
        if not same and not abs(recorded - found) <= tolerance * max(1.0, abs(recorded)):
            yield path
    elif recorded != found and (recorded, found) != ("live", "replay"):  # the source of readings
        yield path


def judge(
    database: str | Path,
    detail: SessionDetail,
    version_differences: tuple[str, ...],
    report: Mapping[str, JSON],
    weights: Mapping[str, NDArray[np.float64]],
    tape: Tape,
) -> dict[str, JSON]:
    """Compare a replay with its record: result, weights, sweeps, calibrations, epochs.

    On the same versions and kind of processor all of it must be the same, bit for bit; elsewhere
    numbers may differ by ``TOLERANCE`` (relative, absolute below 1), and the sweeps' hashes are not
    compared, since levels may differ by a programming step.

    Args:
        database: the record.
        detail: of the session.
        version_differences: what is not as it was when the session was recorded.
        report: the job's report, from the replay.
        weights: final weights of the live runs, by run and name.
        tape: what the replay would have recorded.

    Returns:
        exact, differences (versions), same, largest_weight_difference, not_same, sentence.
    """
    exact = not version_differences
    tolerance = 0.0 if exact else TOLERANCE
    wrong: list[str] = []
    if not detail.result:
        wrong.append("the session has no result")
    wrong += differing(dict(detail.result or {}), dict(report), tolerance)
    stored = {
        f"{run.name}/{run.seed}/{run.fold}/{name}": value
        for run in detail.runs
        if run.arm == "device"
        for name, value in read_weights(database, run.id).items()
    }
    largest = 0.0
    if stored.keys() != weights.keys():
        wrong.append("weights: not the recorded ones")
    else:
        for name, value in stored.items():
            apart = float(np.abs(value - weights[name]).max(initial=0.0))
            largest = max(largest, apart)
            if not apart <= tolerance:  # NaN is not
                wrong.append(f"weights {name}")
    sweeps = read_sweeps(database, detail.info.id)
    if len(sweeps) != len(tape.sweeps):
        wrong.append("sweeps: not as many")
    elif exact:
        wrong += [
            f"sweep {number} of {one.junction}"
            for number, (one, other) in enumerate(zip(sweeps, tape.sweeps, strict=True), 1)
            if one.sha256 != other.sha256
        ]
    for one in detail.calibrations:
        found = tape.calibrations.get(one.junction)
        wrong += differing(one.values, found, tolerance, f"calibration {one.junction}")
    epochs = [
        {name: float(values[i]) for name, values in run.epochs.items()}
        for run in detail.runs
        for i in range(len(run.epochs.get("epoch", ())))
    ]
    wrong += differing(epochs, tape.epochs, tolerance, "epochs")
    return {
        "exact": exact,
        "differences": list(version_differences),
        "same": not wrong,
        "largest_weight_difference": largest,
        "not_same": wrong[:20],
        "sentence": _sentence(exact, wrong, bool(stored), largest),
    }


def _sentence(exact: bool, wrong: list[str], has_weights: bool, largest: float) -> str:
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        return f"not the same: {', '.join(wrong[:3])}{more}"
    if exact:
        weights = ", every weight" if has_weights else ""
        return f"the same bit for bit: every message{weights} and every number of the result"
    weights = f"; weights within {largest:.1e}" if has_weights else ""
    return f"the same within one programming step, numbers within {TOLERANCE:g}{weights}"
