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
    volt: Array
    conductance_s: Array
    deviation_s: Array


@dataclass(frozen=True)
class Seen:
    """What one pair of terminals sees, [P].

    Args:
        current_a: out of the high side, A.
        volt: between the terminals, V.
        limited: whether a source holds its limit instead of its level.
        barriers: behind it.
    """

    current_a: Array
    volt: Array
    limited: NDArray[np.bool_]
    barriers: tuple[Barrier, ...] = ()

    @classmethod
    def nothing(cls, count: int) -> Seen:
        """Of terminals that lead nowhere."""
        none = np.zeros(count)
        return cls(none, none, np.zeros(count, dtype=bool))

    def at(self, points: Any) -> Seen:
        """At some of the levels, in this order; or at one, over and over."""
        return Seen(
            self.current_a[points], self.volt[points], self.limited[points],
            tuple(
                replace(
                    b, volt=b.volt[points], conductance_s=b.conductance_s[points],
                    deviation_s=b.deviation_s[points],
                )
                for b in self.barriers
            ),
        )  # fmt: skip

    def then(self, later: Seen) -> Seen:
        """These levels, and later ones: a barrier that only one of the two has adds no noise to
        the other."""

        def both(old: Any, new: Any, name: str) -> Any:
            return np.concatenate((getattr(old, name), getattr(new, name)))

        before = {id(b.noise): b for b in self.barriers}
        after = {id(b.noise): b for b in later.barriers}
        barriers = []
        for key, any_one in (before | after).items():
            old = before.get(key) or _absent(any_one, len(self.current_a))
            new = after.get(key) or _absent(any_one, len(later.current_a))
            names = ("volt", "conductance_s", "deviation_s")
            barriers.append(replace(new, **{name: both(old, new, name) for name in names}))
        return Seen(
            both(self, later, "current_a"), both(self, later, "volt"),
            both(self, later, "limited"), tuple(barriers),
        )  # fmt: skip

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


def _absent(barrier: Barrier, count: int) -> Barrier:
    """It is not there: no current flows through it."""
    none = np.zeros(count)
    return replace(barrier, volt=none, conductance_s=none, deviation_s=none)
