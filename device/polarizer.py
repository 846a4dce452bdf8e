"""One junction with one reference layer that pulses turn: the other way to both components
(Rodrigues et al., arXiv 2409.02528)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from device.calibration import Calibration
from device.calibration_make import fit
from device.calibration_sweep import calibration_levels
from device.conductance import conductances
from device.mtj import TwoReferenceMTJ
from device.reading import Array
from instruments import Bench, BenchError, SweepData
from instruments.sweep import Order

Side = Literal["x", "z"]


class Turner:
    """Turns the reference layer under meter x by pulses: positive towards x, negative towards z.

    Args:
        bench: an open bench with a polarizer.
        level: height of a pulse, in the unit of ``limits.polarizer.level``, V or A.
        width_s: length of a pulse, s.

    Raises:
        BenchError: the bench has no polarizer.
    """

    def __init__(self, bench: Bench, level: float, width_s: float) -> None:
        polarizer, limits = bench.polarizer, bench.file.limits.polarizer
        if polarizer is None or limits is None:
            raise BenchError(
                "the bench file has no instruments.polarizer: no reference layer can be turned; "
                "add it with limits.polarizer"
            )
        self._bench, self._polarizer = bench, polarizer
        self._level, self._width_s = abs(level), width_s
        self._compliance = limits.compliance.value
        self._prepared = False
        self._side: Side | None = None  # where it stands; None: nobody knows

    def to(self, side: Side) -> None:
        """Turn it, if it is not there; the junctions are at their read voltage meanwhile.

        Raises:
            InstrumentError, LimitError: from the polarizer's source; where it stands is not known.
        """
        if side == self._side:
            return
        self._side = None
        with self._bench.running():
            if not self._prepared:
                self._polarizer.prepare(largest=self._level, compliance=self._compliance)
                self._prepared = True
            level = self._level if side == "x" else -self._level
            self._polarizer.pulse(level, self._width_s, self._bench.transport.pause)
            self._polarizer.read_level()  # no relay moves unless every source reads back zero
        self._side = side


@dataclass(frozen=True)
class Prepared:
    """How well the state came back after both turns: second readings minus first, of m_x.

    Attributes:
        mean, rms: of the differences.
        noise: what ``rms`` is for readings that differ by noise alone.
        points: how many were repeated.
    """

    mean: float
    rms: float
    noise: float
    points: int

    def __str__(self) -> str:
        return (
            f"m_x after turning there and back: {self.mean:+.4f} on average, {self.rms:.4f} RMS "
            f"over {self.points} points; noise alone gives {self.noise:.4f}"
        )


class RotatablePolarizerMTJ(TwoReferenceMTJ):
    """A junction read by meter x alone: a list with its reference layer along x (y = m_x), the
    layer turned, and the same list again (m_z).

    The two readings of an element are a list apart: what has changed meanwhile is not seen.  So
    the layer is turned back, which the next list needs anyway, and some points of the first are
    repeated; their difference is the error of preparing the state again, :attr:`prepared`.

    Args:
        bench: an open bench with a polarizer.
        calibration: from :func:`calibrate_turned`.
        turner: turns the layer.
        scale_a: field-line current per unit of x, A; None: the unit width.
        repeated: points that are repeated, at least 1.
    """

    def __init__(
        self,
        bench: Bench,
        calibration: Calibration,
        turner: Turner,
        scale_a: float | None = None,
        repeated: int = 5,
    ) -> None:
        super().__init__(bench, calibration, scale_a)
        if repeated < 1:
            raise ValueError(f"repeated = {repeated}: without it the error stays unknown")
        self.turner = turner
        self.repeated = repeated
        self._common_ohm = bench.file.readout.common_resistance
        #: of the last list; None: not measured, or all readings of it in doubt
        self.prepared: Prepared | None = None

    def data(self, level_a: Array, order: Order = "sorted") -> SweepData:
        """Both passes as one sweep, and the repetition, whose points and time count."""
        self.turner.to("x")
        first = self.sweep(level_a, order)
        self.turner.to("z")
        both = joined(first, self.sweep(level_a, order), self._common_ohm)
        self.turner.to("x")
        some = np.unique(np.linspace(0, len(level_a) - 1, self.repeated).round().astype(int))
        at = np.argsort(level_a, kind="stable")[some]
        again = self.sweep(level_a[at], order)
        self._compare(first, again, at)
        return replace(both, points=both.points + again.points, bench_end_s=again.bench_end_s)

    def _compare(self, first: SweepData, again: SweepData, at: Array) -> None:
        index = at.astype(np.intp)
        sure = first.valid[index] & again.valid
        g = (
            conductances(again, self._common_ohm)[0]
            - conductances(first, self._common_ohm)[0][index]
        )
        differences = g[sure] / self.calibration.b_x_s
        if not len(differences):
            self.prepared = None
            return
        self.prepared = Prepared(
            float(differences.mean()),
            float(np.sqrt(np.mean(differences**2))),
            self.calibration.sigma_x * np.sqrt(2),
            len(differences),
        )
        self.note("prepared again", f"{self.name}: {self.prepared}")


def joined(along_x: SweepData, along_z: SweepData, common_ohm: float) -> SweepData:
    """Meter x's readings of two passes as a sweep of two layers.

    The shared electrode is taken off each pass by itself, with what flowed then: the currents are
    those that the read voltage would drive without it.
    """
    volt = along_x.voltage_v
    return SweepData(
        along_x.junction,
        along_x.level_a,
        conductances(along_x, common_ohm)[0] * volt,
        conductances(along_z, common_ohm)[0] * volt,
        along_x.valid & along_z.valid,
        volt,
        along_x.points + along_z.points,
        along_x.bench_start_s,
        along_z.bench_end_s,
    )


def calibrate_turned(bench: Bench, junction: str, turner: Turner) -> tuple[Calibration, SweepData]:
    """Sweep a junction with its layer along x and along z, and fit both; the result is recorded.

    Raises:
        CalibrationError: readings in doubt, or nothing to fit.
    """
    levels = calibration_levels(bench.file.calibration.range, bench.file.calibration.points)
    turner.to("x")
    first = bench.sweep(junction, levels, purpose="calibrate", order="given")
    turner.to("z")
    second = bench.sweep(junction, levels, purpose="calibrate", order="given")
    data = joined(first, second, bench.file.readout.common_resistance)
    found = fit(data, 0.0)
    bench.recorder.calibration(junction, found.record())
    return found, data
