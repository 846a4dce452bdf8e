"""How a job calibrates, by its options; and what is shown of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.output import duration, table

if TYPE_CHECKING:
    from device import Calibration


def how_to_calibrate(
    reuse: float | None,
    direct: bool,
    *,
    bench: Path | None,
    db: Path,
    seed: int | None,
    sample: str,
    junctions: Sequence[str] = (),
) -> dict[str, Any]:
    """A job's arguments beside its own: none where it calibrates anew, in planar mode.

    Args:
        reuse: largest age of an earlier calibration, h; None: none is taken up again.
        direct: with both states of the z layer.
        bench, db, seed, sample: as the job's.
        junctions: their names; none: all of the bench file.
    """
    how: dict[str, Any] = {"mode": "direct"} if direct else {}
    if reuse is None:
        return how
    from device import Reuse, bench_fingerprint
    from instruments import load_bench_file
    from training.calibrating import find_earlier

    file, _ = load_bench_file(bench)
    fingerprint = bench_fingerprint(file, None if seed is None else {"seed": seed})
    where = Reuse(db, fingerprint, 3600 * reuse, sample)
    return how | {"earlier": find_earlier(where, file, junctions, "direct" if direct else "planar")}


def calibration_table(calibrations: Sequence[Calibration], report: Mapping[str, Any]) -> None:
    """The calibrations that are used; where earlier ones were looked for, what became of them."""
    earlier: Mapping[str, Any] = report.get("earlier", {})
    direct = any(c.length is not None for c in calibrations)
    table(
        "calibration",
        ("junction", "verdict", "I0 (mA)", "centre (mA)", "noise m_x, m_z", "chi²/n",
         "RMS from tanh, sech", *["length"] * direct, *["from"] * bool(earlier), "remark"),
        [
            (c.junction, c.verdict,
             f"{c.unit_width_a * 1e3:.3f} ± {c.total.unit_width_a * 1e3:.3f}",
             f"{c.center_a * 1e3:.3f}", f"{c.sigma_x:.4f}, {c.sigma_z:.4f}", f"{c.chi2:.2f}",
             f"{c.tanh_rms:.4f}, {c.sech_rms:.4f}", *[_length(c)] * direct,
             *[_origin(earlier.get(c.junction))] * bool(earlier), c.reason or "-")
            for c in calibrations
        ],
    )  # fmt: skip


def _length(c: Calibration) -> str:
    return "-" if c.length is None else f"{c.length:.4f} ± {c.length_error:.4f}"


def _origin(earlier: Mapping[str, Any] | None) -> str:
    if earlier is None:
        return "this session"
    if "reason" in earlier:
        return f"this session: {earlier['reason']}"
    moved = f"{earlier['drift']['x']:.4f}, {earlier['drift']['z']:.4f}"
    there = f"session {earlier['session']}, {duration(earlier['age_s'])} ago"
    return f"{there}: moved {moved}" if earlier["used"] else f"this session; {there}, moved {moved}"
