"""Read noise that depends on the seed, the instrument and the reading's number, and on nothing
else: not on threads, not on polling, not on how readings are grouped."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri


def stream_key(seed: int, name: str) -> int:
    """A 128-bit key for the stream ``name`` of ``seed``."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:16], "little")


def normal(key: int, first: int, count: int) -> NDArray[np.float64]:
    """Standard normal numbers of the readings ``first`` … ``first + count - 1``, shape [count].

    One block of the counter-based generator Philox (Salmon et al. 2011) per reading, through the
    inverse of the normal distribution.
    """
    # numpy steps the counter before it makes the first block, hence first - 1 (modulo 2**256).
    bits = np.random.Philox(key=key, counter=(first - 1) % 2**256).random_raw(4 * count)[::4]
    result: NDArray[np.float64] = ndtri(((bits >> np.uint64(11)) + 0.5) * 2.0**-53)
    return result


def generator(seed: int, name: str) -> np.random.Generator:
    """A generator for what is drawn once, such as the spread of the junctions."""
    return np.random.Generator(np.random.Philox(key=stream_key(seed, name)))
