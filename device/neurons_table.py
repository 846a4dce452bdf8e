"""Tabulated neurons that look at the bench now and then."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from device.reading import Array, BadJunctionError, Reading
from device.roll import Policy, Roll
from device.spot_check import SpotCheck
from device.table import TableNeuron


class TabulatedNeuron:
    """Neurons that answer from tables, each beside the junction that it was made from.

    Before the first batch and every ``every`` batches each junction's reference points are
    measured.  What has changed by a gain and an offset within limits is corrected; a junction
    beyond them is refused, before the batch is answered: of a bad junction no number is used that
    was measured after the last good check, since tables are older.

    Args:
        checks: one a neuron; neurons that share a junction may share a check.
        every: batches from check to check.
        policy: whether a bad junction stops the run or is left out.
    """

    def __init__(
        self, checks: Sequence[SpotCheck], *, every: int = 50, policy: Policy | None = None
    ) -> None:
        if not checks or every < 1:
            raise ValueError(f"{len(checks)} checks, every {every} batches: at least one of each")
        self.checks = tuple(checks)
        self.every = every
        self.roll = Roll(len(checks), Policy() if policy is None else policy)
        self._tables = TableNeuron([check.table for check in checks])
        self._batches = 0

    @property
    def neurons(self) -> int:
        """Number of neurons n, those left out among them."""
        return len(self.checks)

    @property
    def neurons_left(self) -> int:
        """Number of neurons that are left."""
        return self.roll.left

    def check(self) -> tuple[int, float]:
        """Check every junction that is left, now.

        Returns:
            Points measured, and the bench time that it took, s.

        Raises:
            BadJunctionError: one is bad and the policy is to stop, or too few are left.
        """
        reads, time_s = 0, 0.0
        for check in dict.fromkeys(self.checks):
            mine = [j for j, one in enumerate(self.checks) if one is check]
            if mine[0] in self.roll.left_out:
                continue
            try:
                more_reads, more_s = check.run()
            except BadJunctionError as error:
                self.roll.bad(mine, error, check.device.note)
            else:
                reads, time_s = reads + more_reads, time_s + more_s
        return reads, time_s

    def read(self, x: Array, gradient: bool = False) -> Reading:
        """Look up a batch, x of shape [B, n], after a check if one is due.

        Raises:
            BadJunctionError: see :meth:`check`; the batch is not answered.
        """
        reads, time_s = self.check() if self._batches % self.every == 0 else (0, 0.0)
        self._batches += 1
        found = self._tables.read(x, gradient)
        of_y = np.array([[one.of_y.gain, one.of_y.offset] for one in self.checks]).T
        of_g = np.array([[one.of_g.gain, one.of_g.offset] for one in self.checks]).T
        unit = np.array([np.abs(one.table.g).max() for one in self.checks])
        return self.roll.blank(
            replace(
                found,
                y=of_y[0] * found.y + of_y[1],
                g=None if found.g is None else of_g[0] * found.g + of_g[1] * unit,
                reads=reads,
                bench_time_s=time_s,
                source="table",
            )
        )
