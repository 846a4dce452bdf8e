"""What a meter sees at the levels of a sweep: the current, and what makes it noisy."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim_backend.read_noise import ReadNoise

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Barrier:
    """A barrier that the meter's current flows through, [P] each.

    Args:
        noise: of this barrier.
        volt: across it, V.
        conductance_s: S.
        deviation_s: of the conductance, by thermal motion of the free layer, S.
    """

    noise: ReadNoise
    volt: float
    conductance_s: Array
    deviation_s: Array


@dataclass(frozen=True)
class Seen:
    """Current, A, [P], and the barriers behind it."""

    current_a: Array
    barriers: tuple[Barrier, ...] = ()

    def at(self, points: Any) -> Seen:
        """At some of the levels, in this order; or at one, over and over."""
        return Seen(
            self.current_a[points],
            tuple(
                replace(b, conductance_s=b.conductance_s[points], deviation_s=b.deviation_s[points])
                for b in self.barriers
            ),
        )

    def then(self, later: Seen) -> Seen:
        """These levels, and later ones through the same barriers."""
        return Seen(
            np.concatenate((self.current_a, later.current_a)),
            tuple(
                replace(
                    new,
                    conductance_s=np.concatenate((old.conductance_s, new.conductance_s)),
                    deviation_s=np.concatenate((old.deviation_s, new.deviation_s)),
                )
                for old, new in zip(self.barriers, later.barriers, strict=True)
            )
            if self.barriers
            else later.barriers,
        )

    def noise_a(self, first: int, ends_s: Array, window_s: float) -> Array:
        """Noise of the readings number ``first`` and on, one at each level, A, [P].

        Args:
            first: number of the first reading of this meter.
            ends_s: bench time at which each is over, s, [P].
            window_s: integration time, s.
        """
        total = np.zeros(len(self.current_a))
        for b in self.barriers:
            total = total + b.noise.readings(
                first, ends_s - window_s, window_s, b.conductance_s, b.volt, b.deviation_s
            )
        return total
