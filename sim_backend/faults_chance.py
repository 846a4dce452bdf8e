"""Chance in faults: numbers that belong to a fault and a count, and to nothing else.

Each comes from Philox (Salmon et al., SC11) with the fault's key and the number of the message,
reading or hop: who asks, when and how often changes no bit.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
_WORDS = 4  # of a block of Philox
_AT_ONCE = 1024  # hops


def uniforms(key: int, first: int, count: int) -> Array:
    """Numbers in (0, 1), one for each of ``first`` … ``first + count - 1``, [count]."""
    # numpy steps the counter before it makes the first block.
    bits = np.random.Philox(key=key, counter=(first - 1) % 2**256).random_raw(_WORDS * count)
    result: Array = ((bits[::_WORDS] >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    return result


def flipped(data: bytes, bits: int, key: int, number: int) -> bytes:
    """``data`` with ``bits`` of its bits flipped, each another one; all of them if it has fewer.

    Args:
        key, number: of the random numbers.
    """
    # Far from the counters of uniforms, which are numbers themselves.
    chance = np.random.Generator(np.random.Philox(key=key, counter=(number << 64) + (1 << 192)))
    places = chance.permutation(8 * len(data))[:bits]
    changed = bytearray(data)
    for place in places.tolist():
        changed[place // 8] ^= 1 << place % 8
    return bytes(changed)


class Hops:
    """Something that hops up and down: the path itself, as a function of time.

    Dwell times are exponential.  It begins down, at time 0.

    Args:
        key: of its random numbers.
        up_hz, down_hz: rates at which it hops up and down, Hz.
    """

    def __init__(self, key: int, up_hz: float, down_hz: float) -> None:
        self._key = key
        self._means_s = np.tile([1 / up_hz, 1 / down_hz], _AT_ONCE // 2)
        self._edges_s = np.zeros(1)  # 0, then the time of each hop: up, down, up, …
        self._spent_s = np.zeros(1)  # up, until each edge

    def _follow(self, until_s: float) -> None:
        """Make the path long enough."""
        edges, spent = [self._edges_s], [self._spent_s]
        made, end = len(self._edges_s) - 1, float(self._edges_s[-1])
        while end <= until_s:
            dwell = -np.log(uniforms(self._key, made, _AT_ONCE)) * self._means_s
            edges.append(end + np.cumsum(dwell))
            up = np.where(np.arange(_AT_ONCE) % 2 == 1, dwell, 0.0)
            spent.append(spent[-1][-1] + np.cumsum(up))
            made, end = made + _AT_ONCE, float(edges[-1][-1])
        if len(edges) > 1:
            self._edges_s, self._spent_s = np.concatenate(edges), np.concatenate(spent)

    def share_up(self, ends_s: Array, window_s: float) -> Array:
        """The share of windows spent up, [P], in [0, 1]; 0 before time 0.

        Args:
            ends_s: ends of the windows, s, [P].
            window_s: their length, s; 0: the state at their end.
        """
        self._follow(float(np.max(ends_s, initial=0.0)))
        if window_s == 0:
            hops = np.maximum(np.searchsorted(self._edges_s, ends_s, side="right") - 1, 0)
            return np.where(hops % 2 == 1, 1.0, 0.0)
        begins = np.interp(ends_s - window_s, self._edges_s, self._spent_s)
        ends = np.interp(ends_s, self._edges_s, self._spent_s)
        result: Array = np.clip((ends - begins) / window_s, 0.0, 1.0)
        return result
