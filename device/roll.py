"""Who is left: what happens when a junction goes bad in the middle of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from device.reading import BadJunctionError, Reading


@dataclass(frozen=True)
class Policy:
    """What to do about a bad junction.

    Args:
        on_bad: "stop" raises; "leave out" goes on without its neurons, which give y = 0 and g = 0
            from then on: they take no part in what follows, and nothing is learned through them.
        fewest: stop all the same when fewer neurons than this would be left.
    """

    on_bad: Literal["stop", "leave out"] = "stop"
    fewest: int = 1


class Roll:
    """Which neurons of a layer are left.

    Args:
        neurons: number of neurons at the beginning.
        policy: what to do about a bad junction.
    """

    def __init__(self, neurons: int, policy: Policy) -> None:
        self.neurons = neurons
        self.policy = policy
        #: why, by neuron
        self.left_out: dict[int, str] = {}

    @property
    def left(self) -> int:
        """Number of neurons left."""
        return self.neurons - len(self.left_out)

    def bad(
        self, neurons: Iterable[int], reason: BadJunctionError, note: Callable[[str, str], None]
    ) -> None:
        """A junction has gone bad.

        Args:
            neurons: that it stands for.
            reason: why.
            note: takes an event for the record.

        Raises:
            BadJunctionError: the policy is to stop, or too few neurons are left.
        """
        gone = [j for j in neurons if j not in self.left_out]
        left = self.left - len(gone)
        note("bad junction", str(reason))
        if self.policy.on_bad == "stop":
            raise reason
        self.left_out |= dict.fromkeys(gone, str(reason))
        note(
            "junction left out",
            f"neurons {', '.join(map(str, gone))}: {left} of {self.neurons} neurons are left",
        )
        if left < self.policy.fewest:
            raise BadJunctionError(
                f"{left} of {self.neurons} neurons are left, fewer than {self.policy.fewest}; "
                f"the last to go: {reason}"
            )

    def blank(self, reading: Reading) -> Reading:
        """The reading with y = g = 0, and no doubt, where a neuron is left out."""
        if not self.left_out:
            return reading
        out = np.isin(np.arange(self.neurons), list(self.left_out))
        valid = None if reading.valid is None else reading.valid | out
        clamped = None if reading.clamped is None else reading.clamped & ~out
        return replace(
            reading,
            y=np.where(out, 0.0, reading.y),
            g=None if reading.g is None else np.where(out, 0.0, reading.g),
            valid=None if valid is None or valid.all() else valid,
            clamped=clamped,
        )
