"""1/f noise as it wanders from reading to reading: a sum of processes with one rate each."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from sim_backend.noise import normal

Array = NDArray[np.float64]
#: ratio of neighbouring rates of the sum, and how many of them lie beyond its ends
RATIO, BEYOND = 4.0, 3


def flicker_rates_per_s(low_hz: float, high_hz: float) -> Array:
    """Rates λ of the Ornstein-Uhlenbeck processes whose sum is 1/f from ``low_hz`` to ``high_hz``.

    With one process in every factor r of λ, each of the variance h ln r and so of the density
    4 h ln r λ/(λ² + (2πf)²), the sum is h/f (A. van der Ziel, Physica 16, 359 (1950)) with a ripple
    of 2/cosh(π²/ln r): 0.33 % for r = 4.  Three rates beyond either end keep it within 0.6 % at the
    ends too.
    """
    steps = math.ceil(math.log(high_hz / low_hz) / math.log(RATIO))
    number = np.arange(-BEYOND, steps + BEYOND + 1, dtype=np.float64)
    result: Array = 2 * math.pi * low_hz * np.power(RATIO, number)
    return result


@njit(cache=True)
def _wander(state, rates, variance, gaps, window, random):  # type: ignore[no-untyped-def]
    """Means over windows of a sum of Ornstein-Uhlenbeck processes, one reading after the other.

    The exact update over any time (D. T. Gillespie, Phys. Rev. E 54, 2084 (1996)).  Given both ends
    x0, x1 of a window, u = λt, the mean over it is (x0 + x1) tanh(u/2)/u, give or take the variance
    2v (u - 2 tanh(u/2))/u²; the latter of all processes is drawn as one.

    state: [K], changed in place; gaps: [P], s, before each window; random: [P, 2K + 1].
    """
    means = np.empty(gaps.size)
    for i in range(gaps.size):
        total, rest = 0.0, 0.0
        for k in range(rates.size):
            g, u = rates[k] * gaps[i], rates[k] * window
            before = math.exp(-g) * state[k]
            before += math.sqrt(-variance * math.expm1(-2 * g)) * random[i, 2 * k]
            after = math.exp(-u) * before
            after += math.sqrt(-variance * math.expm1(-2 * u)) * random[i, 2 * k + 1]
            half = math.tanh(u / 2)
            total += (before + after) * half / u
            if u < 0.05:
                rest += u / 6 * (1 - u * u / 10 + 17 * u**4 / 1680)
            else:
                rest += 2 * (u - 2 * half) / (u * u)
            state[k] = after
        means[i] = total + math.sqrt(variance * rest) * random[i, 2 * rates.size]
    return means


class Flicker:
    """A relative deviation δ that wanders with the one-sided density ``level``/f.

    Args:
        key: of its random numbers, from :func:`sim_backend.noise.stream_key`.
        level: h; for Hooge's noise α_H/A.
        low_hz, high_hz: where 1/f ends.
    """

    def __init__(self, key: int, level: float, low_hz: float, high_hz: float) -> None:
        self._key = key
        self._rates = flicker_rates_per_s(low_hz, high_hz)
        self._variance = level * math.log(RATIO)
        self._state = np.zeros(len(self._rates))

    def means(self, first: int, gaps_s: Array, window_s: float) -> Array:
        """Mean δ over the windows of the readings number ``first`` and on, [P].

        Args:
            first: number of the first reading.
            gaps_s: time between the end of the window before and each window, s, [P]; before the
                very first one: inf.
            window_s: s, above 0.
        """
        each = 2 * len(self._rates) + 1
        random = normal(self._key, first * each, len(gaps_s) * each).reshape(-1, each)
        result: Array = _wander(
            self._state, self._rates, self._variance, np.asarray(gaps_s, np.float64), window_s,
            random,
        )  # fmt: skip
        return result
