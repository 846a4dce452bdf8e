"""Which of two wells a junction is in: a two-state chain in time, and what a slow reading sees.

A reading averages over a window at the end of its level's time.  With the rates Γ_ud and Γ_du out
of the upper and the lower well, Γ = Γ_ud + Γ_du and π = Γ_du/Γ:

- P(up at t) = π + (P(up at 0) - π) exp(-Γt): exact, for the time before the window;
- few switches in the window: the path itself, dwell times being exponential;
- many: the share of the window spent in "up" is drawn from the beta distribution that has its exact
  mean and variance, given the state before (moments of the random telegraph signal: Machlup,
  J. Appl. Phys. 25, 341 (1954)), and the state after it with its exact mean and covariance.

Numbers come from Philox (Salmon et al., SC11) with the key of the chain and the number of the
segment: how segments are grouped in calls changes no bit.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaincinv, ndtri

from sim_backend.llg.ranges import ParameterError, check

Array = NDArray[np.float64]
#: expected switches in a window, above which the share is drawn and the path is not
_MANY = 40.0


class Chain:
    """One junction's wells in time.

    Args:
        key: of its random numbers; :func:`sim_backend.noise.stream_key` with a name that holds the
            junction's number.
        up: the state it starts in.
        segment: the number of the segment that comes next.
    """

    def __init__(self, key: int, up: bool = True, segment: int = 0) -> None:
        self._key = key
        self.up = up
        self.segment = segment

    def advance(
        self, up_down_hz: ArrayLike, down_up_hz: ArrayLike, dwell_s: ArrayLike, window_s: ArrayLike
    ) -> Array:
        """Pass through P levels, one segment each, and read at the end of each.

        Args:
            up_down_hz: rate from up to down at each level, [P] or a number; inf: there is no
                upper well.
            down_up_hz: rate from down to up.
            dwell_s: the time that each level is on, s.
            window_s: the last part of it, over which the reading averages, s; 0: the state at
                its end.

        Returns:
            the share of the window spent in the upper well, [P], in [0, 1].

        Raises:
            ParameterError: something is outside its range.
        """
        for name, value in (("up_down_hz", up_down_hz), ("down_up_hz", down_up_hz)):
            check(name, value, 0, math.inf)
        check("dwell_s", dwell_s, 0, 1e9)
        check("window_s", window_s, 0, 1e9)
        given = [np.atleast_1d(part) for part in (up_down_hz, down_up_hz, dwell_s, window_s)]
        try:
            parts = np.broadcast_arrays(*given)
        except ValueError:
            shapes = [list(part.shape) for part in given]
            raise ParameterError(f"rates and times have shapes {shapes}; they must fit") from None
        out, back, dwell, window = (np.asarray(part, dtype=np.float64) for part in parts)
        if out.ndim != 1:
            raise ParameterError(f"rates have shape {list(out.shape)}; it must be [P]")
        if (window > dwell).any():
            at = int((window > dwell).argmax())
            raise ParameterError(
                f"window_s is {window[at]:g} s at index {at}; it must be at most dwell_s, "
                f"{dwell[at]:g} s"
            )
        both = np.isinf(out) & np.isinf(back)
        if both.any():
            raise ParameterError(
                f"up_down_hz and down_up_hz are both inf at index {int(both.argmax())}; one of "
                "them must be finite"
            )
        return self._levels(out, back, dwell, window)

    def _levels(self, out: Array, back: Array, dwell: Array, window: Array) -> Array:
        count = len(out)
        random = _uniforms(self._key, self.segment, count)
        total = out + back
        # Without any rate the state stays, whatever the share; one inf: all in the other well.
        with np.errstate(invalid="ignore"):
            share = np.where(total > 0, np.where(np.isinf(back), 1.0, back / total), 0.5)
            switches = 2 * share * (1 - share) * total * window
            before = np.where(total > 0, np.exp(-total * (dwell - window)), 1.0)
        before[np.isinf(total)] = 0.0
        fast = np.isinf(total) | (switches > _MANY)
        result = np.empty(count)
        for i in range(count):
            p = share[i]
            self.up = bool(random[i, 0] < p + (float(self.up) - p) * before[i])
            if math.isinf(total[i]):
                self.up = bool(p == 1.0)
                result[i] = p
            elif fast[i]:
                result[i], after = _occupation(self.up, total[i], p, window[i], random[i, 1])
                self.up = bool(random[i, 2] < after)
            else:
                result[i], self.up = self._path(
                    out[i], back[i], window[i], random[i, 1], self.segment + i
                )
        self.segment += count
        return result

    def _path(
        self, out: float, back: float, window: float, first: float, segment: int
    ) -> tuple[float, bool]:
        """Share of "up" and last state on a path; ``first``: the number of the first dwell time."""
        up, left, spent = self.up, window, 0.0
        more: np.random.Generator | None = None
        wait = -math.log(first)
        while True:
            rate = out if up else back
            dwell = wait / rate if rate > 0 else math.inf
            if dwell >= left:
                spent += left * up
                break
            spent += dwell * up
            left -= dwell
            up = not up
            if more is None:
                more = np.random.Generator(
                    np.random.Philox(key=self._key, counter=(segment << 64) + (1 << 192))
                )
            wait = more.standard_exponential()
        if window == 0:
            return float(up), up
        return min(spent / window, 1.0), up


def _uniforms(key: int, first: int, count: int) -> Array:
    """Four numbers in (0, 1) for each segment, [count, 4]: one block of Philox each."""
    # numpy steps the counter before it makes the first block.
    bits = np.random.Philox(key=key, counter=(first - 1) % 2**256).random_raw(4 * count)
    words = bits.reshape(count, 4) >> np.uint64(11)
    result: Array = (words.astype(np.float64) + 0.5) * 2.0**-53
    return result


def moments(up: bool, total: float, share: float, window: float) -> tuple[float, float, float]:
    """Mean and variance of the share of a window spent in "up", and the mean of its product with
    the state after the window (1: up), given the state before it.

    Args:
        up: the state before.
        total: Γ, Hz, above 0.
        share: π, the share in the long run.
        window: s, above 0.
    """
    d, g = float(up) - share, total * window
    decay = -math.expm1(-g)  # 1 - exp(-Γt)
    mean = share + d * decay / g
    # Double integrals over s < t of exp(-Γ(t-s)), exp(-Γs) and exp(-Γt), over the window squared.
    one = (1 - decay / g) / g
    two = (decay / g - (1 - decay)) / g
    a = share * (1 - share)
    # 2 ∬ <x_s x_t> - mean², written without the two large terms that cancel.
    variance = 2 * a * one + 2 * d * share * one + 2 * d * (1 - share) * two
    variance -= 2 * share * d * decay / g + (d * decay / g) ** 2
    product = share * mean + (1 - share) * (share * decay / g + d * (1 - decay))
    return mean, max(variance, 0.0), product


def _occupation(
    up: bool, total: float, share: float, window: float, random: float
) -> tuple[float, float]:
    """A share of the window, and the probability of "up" after it."""
    mean, variance, product = moments(up, total, share, window)
    sigma = math.sqrt(variance)
    if sigma < 1e-3 * min(mean, 1 - mean):
        spent = mean + sigma * float(ndtri(random))
    else:
        weight = mean * (1 - mean) / variance - 1
        spent = float(betaincinv(mean * weight, (1 - mean) * weight, random))
    spent = min(max(spent, 0.0), 1.0)
    last = share + (float(up) - share) * math.exp(-total * window)
    after = last + (product - mean * last) / variance * (spent - mean) if variance > 0 else last
    return spent, min(max(after, 0.0), 1.0)
