"""Stored sweeps in place of a bench: devices on them give the numbers that were measured then."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from db import NullRecorder, session, sweeps, transcript
from device.devices import Device
from device.neurons import LiveNeuron
from device.reading import Array, NotMeasuredError
from device.rules import GradientRule
from device.tuning import BIASED
from instruments import SweepData
from instruments.bench_file import parse_bench_file
from instruments.derive import derive_sweep
from instruments.sweep import Order


class _NoTime:
    """Nothing takes bench time."""

    def time_s(self) -> float:
        return 0.0


class StoredBench:
    """Answers sweeps from stored ones; what was not measured is refused.

    A level that was measured several times is answered by its readings in turn, the first again
    after the last, whatever the batches are now; readings that were in doubt are left out.  Devices
    take it as their bench.

    Args:
        stored: sweeps, in the order of measuring.
        within_a: a level counts as measured if one this near was, A: half a programming step.
    """

    def __init__(self, stored: Sequence[SweepData], within_a: float = 0.0) -> None:
        self.clock = _NoTime()
        self.recorder = NullRecorder()
        self.within_a = within_a
        parts: dict[str, list[SweepData]] = defaultdict(list)
        for one in stored:
            parts[one.junction].append(one)
        self._stored = {name: _Junction(name, found) for name, found in parts.items()}

    def sweep(
        self,
        junction: str,
        levels_a: Sequence[float] | Array,
        *,
        purpose: str = "sweep",
        order: Order = "sorted",
        run: int | None = None,
    ) -> SweepData:
        """The stored readings at these levels; purpose, order and run say nothing here.

        Raises:
            NotMeasuredError: there is no sweep of the junction, or none at one of the levels.
        """
        if junction not in self._stored:
            raise NotMeasuredError(
                f"{junction}: no sweep of it is stored; there are {', '.join(self._stored)}"
            )
        return self._stored[junction].answer(np.asarray(levels_a, np.float64), self.within_a)


class _Junction:
    """All readings of one junction, by level."""

    def __init__(self, name: str, parts: Sequence[SweepData]) -> None:
        volts = sorted({one.voltage_v for one in parts})
        if len(volts) > 1:
            raise ValueError(
                f"{name}: the sweeps were read at {volts[0]:g} V and at {volts[-1]:g} V; give "
                "those of one read voltage"
            )
        self.name, self._volt = name, volts[0]
        sure = np.concatenate([one.valid for one in parts])
        level, x, z = (
            np.concatenate([getattr(one, of) for one in parts])[sure]
            for of in ("level_a", "current_x_a", "current_z_a")
        )
        self._level, which = np.unique(level, return_inverse=True)
        by_level = np.argsort(which, kind="stable")
        self._count = np.bincount(which, minlength=len(self._level))
        self._first = np.cumsum(self._count) - self._count
        self._x, self._z = x[by_level], z[by_level]
        self._turn = np.zeros(len(self._level), dtype=np.intp)

    def answer(self, wanted: Array, within_a: float) -> SweepData:
        """The next reading at each level."""
        if not len(self._level):
            raise NotMeasuredError(f"{self.name}: all of its stored readings were in doubt")
        after = np.clip(np.searchsorted(self._level, wanted), 1, len(self._level) - 1)
        after = np.minimum(after, len(self._level) - 1)
        before = np.maximum(after - 1, 0)
        nearer = wanted - self._level[before] < self._level[after] - wanted
        at = np.where(nearer, before, after)
        far = np.abs(self._level[at] - wanted) > within_a + 1e-12
        if far.any():
            first = wanted[far][0]
            raise NotMeasuredError(
                f"{self.name}: {int(far.sum())} of {len(wanted)} levels were not measured, the "
                f"first of them {first * 1e3:.6g} mA; stored sweeps answer for what they hold only"
            )
        which = np.empty(len(at), dtype=np.intp)
        for i, level in enumerate(at.tolist()):
            which[i] = self._first[level] + self._turn[level] % self._count[level]
            self._turn[level] += 1
        good = np.ones(len(at), dtype=bool)
        return SweepData(
            self.name, self._level[at], self._x[which], self._z[which], good, self._volt, 0, 0.0,
            0.0,
        )  # fmt: skip


class ReplayedNeuron(LiveNeuron):
    """A neuron on stored sweeps: the same device and rule, and its source is "replay".

    Args:
        device: made with a :class:`StoredBench`, or with a bench that replays a session.
        rule: how y and g come from its signals.

    Raises:
        ValueError: the device would measure.
    """

    def __init__(self, device: Device, rule: GradientRule) -> None:
        if device.source != "replay":
            raise ValueError(f"{device.name} is on a {device.source} bench; give it stored sweeps")
        super().__init__(device, rule)


def stored_sweeps(
    database: str | Path, number: int, purposes: Sequence[str] | None = None
) -> list[SweepData]:
    """The sweeps of a recorded session, derived from its transcript, fill points among them.

    Args:
        database: the record.
        number: of the session.
        purposes: only sweeps recorded with one of these; None: all but those in a bias field.

    Raises:
        DatabaseError: no such session.
    """
    settings = session(database, number).settings
    file = parse_bench_file(str(settings["bench_file"]), f"bench file of session {number}")
    found = []
    for one in sweeps(database, number):
        if one.purpose != BIASED if purposes is None else one.purpose in purposes:
            level, x, z, valid = derive_sweep(
                list(transcript(database, number, one.first_seq, one.last_seq))
            )
            # A characterisation reads some sweeps at another voltage than the file's.
            volt = float(str(one.settings.get("voltage_v", file.readout.voltage)))
            found.append(
                SweepData(
                    one.junction, level, x, z, valid, volt, one.points,
                    one.bench_start_s, one.bench_end_s,
                )
            )  # fmt: skip
    return found
