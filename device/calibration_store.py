"""Calibrations from session to session: found again in the record, and checked for drift.

A calibration belongs to a junction, a read voltage and a bench: instruments, read-out, timing and
relays as the bench file has them, and the options of a simulated bench.  Its age is that of the
session that recorded it; one that was taken up again keeps the age of the sweep it was made from.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

import numpy as np
from scipy.special import chdtrc

import db
from device.calibration import Calibration, Mode
from device.calibration_sweep import pairs, sure
from device.planar import solve
from device.reading import Array, CalibrationError
from instruments import Bench, BenchError, BenchFile, SweepData
from instruments.bench_file import parse_bench_file

#: Unit widths from the centre at which drift is looked for: both ends, both slopes, the middle.
_CHECK_AT = (-2.0, -1.0, 0.0, 1.0, 2.0)
#: Drift of m_x or m_z that ends a calibration: the misfit that chi² calls doubtful.
DRIFT_LIMIT = 0.02
_BY_CHANCE = 1e-3  # share of sound calibrations whose noise alone is taken for drift


def bench_fingerprint(file: BenchFile, sim: Mapping[str, object] | None = None) -> str:
    """Hash of what a calibration depends on, beside the junction itself.

    Args:
        file: the bench file; its limits, name and calibration sweep have no part in it.
        sim: options of a simulated bench, such as its seed.
    """
    parts = file.model_dump(
        mode="json",
        include={"backend", "sim", "instruments", "readout", "timing", "junctions"},
        exclude={"junctions": {"__all__": {"limits"}}},
        exclude_defaults=True,  # a key that comes with a later version changes nothing
    )
    options = {"seed": 0, **(sim or {})} if file.backend == "sim" else {}
    options.pop("realtime", None)  # how long a window waits
    text = json.dumps([parts, options], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Reuse:
    """Where an earlier calibration may be found, and which.

    Attributes:
        database: the record.
        fingerprint: of the bench (:func:`bench_fingerprint`).
        max_age_s: an older one is not taken, s.
        sample: as the sessions have it; another sample has other junctions.
    """

    database: Path
    fingerprint: str
    max_age_s: float = 24 * 3600.0
    sample: str = ""


@dataclass(frozen=True)
class Found:
    """A calibration out of the record.

    Attributes:
        calibration: itself.
        session: number of the session in which it was measured.
        age_s: since that session began, s: at least its own age.
    """

    calibration: Calibration
    session: int
    age_s: float

    def record(self) -> Mapping[str, db.JSON]:
        """As a session's arguments keep it, so that a replay does not look for it again."""
        return {
            "session": self.session,
            "age_s": self.age_s,
            "calibration": self.calibration.record(),
        }

    @classmethod
    def from_record(cls, values: Mapping[str, Any]) -> Self:
        """From what :meth:`record` gave.

        Raises:
            CalibrationError: another version wrote it.
        """
        calibration = Calibration.from_record(values["calibration"])
        return cls(calibration, values["session"], values["age_s"])


def find_calibration(
    reuse: Reuse,
    junction: str,
    voltage_v: float,
    *,
    mode: Mode = "planar",
    now: datetime | None = None,
) -> Found | str:
    """The newest usable calibration of a junction; or the reason why there is none, as a sentence.

    Args:
        reuse: where to look.
        junction: its name.
        voltage_v: read voltage, V.
        mode: how it was made.
        now: time of day, with its zone; None: now.

    Raises:
        DatabaseError: the record cannot be read.
    """
    now = datetime.now(UTC) if now is None else now
    oldest: Found | None = None
    reason = "no calibration in the record of this bench, sample, read voltage and mode"
    for past in db.calibrations(reuse.database, junction, sample=reuse.sample):
        if _fingerprint_of(past.settings) != reuse.fingerprint:
            continue
        try:
            calibration = Calibration.from_record(past.values)
        except CalibrationError as error:
            return str(error)
        if abs(calibration.voltage_v - voltage_v) > 1e-6 or calibration.mode != mode:
            continue
        if oldest is not None and calibration != oldest.calibration:
            break
        # The same numbers in an earlier session: this one had only taken them up again.
        age_s = (now - datetime.fromisoformat(past.started)).total_seconds()
        oldest = Found(calibration, past.session, age_s)
    if oldest is None:
        return reason
    if oldest.calibration.verdict == "refused":
        return f"the last calibration, of session {oldest.session}, is refused"
    if oldest.age_s > reuse.max_age_s:
        return (
            f"the last calibration, of session {oldest.session}, is {oldest.age_s / 3600:.1f} h "
            f"old, and {reuse.max_age_s / 3600:.1f} h are allowed"
        )
    return oldest


def _fingerprint_of(settings: Mapping[str, db.JSON]) -> str | None:
    """Of a recorded session's bench; None: it has no bench file that this version reads."""
    text, sim = settings.get("bench_file"), settings.get("sim")
    file = _parsed(text) if isinstance(text, str) else None
    if file is None:
        return None
    return bench_fingerprint(file, sim if isinstance(sim, Mapping) else None)


@lru_cache(maxsize=64)
def _parsed(text: str) -> BenchFile | None:
    """A recorded bench file: read once, for hundreds of sessions have the same."""
    try:
        return parse_bench_file(text)
    except BenchError:
        return None


@dataclass(frozen=True)
class Drift:
    """How far a junction has moved from its calibration.

    Attributes:
        x, z: RMS change of m_x and m_z at the points looked at, noise taken off.
        chance: share of unchanged junctions that would look moved at least as far.
        limit: of x and z.
    """

    x: float
    z: float
    chance: float
    limit: float

    @property
    def holds(self) -> bool:
        """Whether the calibration may be used: the change is small, or no more than noise."""
        return max(self.x, self.z) <= self.limit or self.chance > _BY_CHANCE

    def __str__(self) -> str:
        return (
            f"m_x has changed by {self.x:.4f} and m_z by {self.z:.4f} (RMS of {len(_CHECK_AT)} "
            f"points, limit {self.limit:g})"
        )


def check_drift(
    bench: Bench, calibration: Calibration, *, limit: float = DRIFT_LIMIT
) -> tuple[Drift, SweepData]:
    """Read a few points again and compare them with what was measured for the calibration.

    Args:
        bench: an open bench.
        calibration: of one of its junctions.
        limit: largest RMS change of m_x and of m_z.

    Raises:
        CalibrationError: a reading is in doubt, or the read voltage is another.
    """
    c = calibration
    levels = np.clip(c.center_a + np.array(_CHECK_AT) * c.unit_width_a, c.low_a, c.high_a)
    data = bench.sweep(c.junction, levels, purpose="check")
    return drift_of(data, c, limit), data


def drift_of(data: SweepData, calibration: Calibration, limit: float = DRIFT_LIMIT) -> Drift:
    """How far a sweep's readings lie from what was measured for the calibration.

    Raises:
        CalibrationError: a reading is in doubt, or the read voltage is another.
    """
    sure(data)
    c = calibration
    expected = _expected(c, data.level_a)
    read = c.magnetisation(data)
    changes, chances = [], []
    for one, other, sigma in zip(read, expected, (c.sigma_x, c.sigma_z), strict=True):
        # Of the calibration's sweep two readings count at each level.
        square, noise = float(np.mean((one - other) ** 2)), 1.5 * sigma**2
        changes.append(float(np.sqrt(max(0.0, square - noise))))
        chances.append(float(chdtrc(len(one), len(one) * square / max(noise, 1e-30))))
    return Drift(changes[0], changes[1], min(1.0, 2 * min(chances)), limit)


def _expected(c: Calibration, level_a: Array) -> tuple[Array, Array]:
    """m_x and m_z as the calibration's sweep found them: the law and what it left."""
    u = solve(level_a - c.offset_a, c.k_a, c.k2_a, c.hz_a)
    at = pairs(np.array(c.level_a))[0]
    left = [np.mean(pairs(np.array(one)), axis=0) for one in (c.residual_x, c.residual_z)]
    length = 1.0 if c.length is None else c.length
    x = length * (u + np.interp(level_a, at, left[0]))
    z = length * (np.sqrt(1 - u * u) + np.interp(level_a, at, left[1]))
    return x, z
