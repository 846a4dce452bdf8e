"""The junctions of a job, calibrated: anew, or by earlier calibrations that still hold.

What a job may take up again is looked for before it begins, and stands in its arguments: a replay
takes the same and does not search a record that has grown since.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from db import JSON
from device import Calibration, CalibrationError, Reuse, find_calibration, measure
from device.calibration_make import Obtained, obtain
from device.calibration_store import Found
from instruments import BenchFile, SweepData
from instruments.session import Session


def find_earlier(
    reuse: Reuse, file: BenchFile, junctions: Sequence[str], mode: str
) -> dict[str, JSON]:
    """What a job's argument ``earlier`` holds.

    Args:
        reuse: where earlier calibrations may be found; the record need not be there yet.
        file: the bench file.
        junctions: their names; none: all of the bench file.
        mode: "planar" or "direct".

    Returns:
        For each junction session, age_s and calibration; or why there is none, as a sentence.

    Raises:
        DatabaseError: the record cannot be read.
    """
    found: dict[str, JSON] = {}
    for junction in junctions or file.junctions:
        one: Found | str = "there is no record yet"
        if reuse.database.exists():
            one = find_calibration(
                reuse, junction, file.readout.voltage,
                mode="direct" if mode == "direct" else "planar",
            )  # fmt: skip
        found[junction] = one if isinstance(one, str) else one.record()
    return found


@dataclass
class Calibrated:
    """Junctions that may be used, and those that may not.

    Attributes:
        calibrations, sweeps: of each usable junction, in order.
        left_out: the reasons of the others.
        earlier: what became of the earlier calibrations that were looked for, by junction:
            ``reason`` why there is none; or ``session``, ``age_s``, ``used`` and the ``drift`` that
            was found (``x``, ``z``, ``chance``, ``limit``).
        reads: junction points measured.
    """

    calibrations: list[Calibration] = field(default_factory=list)
    sweeps: list[SweepData] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    earlier: dict[str, JSON] = field(default_factory=dict)
    reads: int = 0

    def report(self) -> dict[str, JSON]:
        """left_out, and earlier where any were looked for."""
        said: dict[str, JSON] = {"left_out": dict(self.left_out)}
        return said | {"earlier": dict(self.earlier)} if self.earlier else said


def calibrate_all(
    session: Session, junctions: Sequence[str] | None = None, *, tables: bool = False
) -> Calibrated:
    """Calibrate junctions, by the session's arguments ``mode`` ("planar" if it is not there) and
    ``earlier`` (see :func:`find_earlier`; without it nothing is taken up again).

    Args:
        session: open.
        junctions: their names; None: every one of the bench file.
        tables: tables are made from the sweeps: a junction whose calibration is taken up again is
            swept all the same.

    Raises:
        CalibrationError: none is usable.
    """
    bench, found = session.bench, Calibrated()
    arguments: dict[str, Any] = dict(session.arguments)
    given: Mapping[str, Any] = arguments.get("earlier", {})
    for junction in junctions or bench.file.junctions:
        earlier = _earlier(given.get(junction))
        try:
            made = obtain(bench, junction, earlier, mode=arguments.get("mode", "planar"))
            found.reads += made.reads
            data = made.data
            if made.reused and tables:
                data = measure(bench, junction, purpose="table")
                found.reads += data.points
        except CalibrationError as error:
            found.left_out[junction] = str(error).removeprefix(f"{junction}: ")
            continue
        if earlier is not None:
            found.earlier[junction] = _told(earlier, made)
        if made.calibration.verdict == "refused":
            found.left_out[junction] = made.calibration.reason
        else:
            found.calibrations.append(made.calibration)
            found.sweeps.append(data)
    for junction, reason in found.left_out.items():
        session.recorder.event("junction left out", f"{junction}: {reason}")
    if not found.calibrations:
        reasons = "; ".join(f"{junction}: {reason}" for junction, reason in found.left_out.items())
        raise CalibrationError(f"no junction can be used: {reasons}")
    return found


def _earlier(given: Any) -> Found | str | None:
    return Found.from_record(given) if isinstance(given, Mapping) else given


def _told(earlier: Found | str, made: Obtained) -> JSON:
    if isinstance(earlier, str):
        return {"reason": earlier}
    assert made.drift is not None
    return {
        "session": earlier.session,
        "age_s": earlier.age_s,
        "used": made.reused,
        "drift": asdict(made.drift),
    }
