"""Named streams of random numbers: what one is used for cannot shift another."""

from __future__ import annotations

import hashlib

import numpy as np
import torch


def stream_seed(seed: int, *names: str | int) -> int:
    """A 63-bit seed for the stream ``names`` of ``seed``."""
    text = "/".join(str(part) for part in (seed, *names))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1


def generator(seed: int, *names: str | int) -> np.random.Generator:
    """NumPy's generator for a stream."""
    return np.random.Generator(np.random.PCG64(stream_seed(seed, *names)))


def torch_generator(seed: int, *names: str | int) -> torch.Generator:
    """Torch's generator (CPU) for a stream."""
    return torch.Generator().manual_seed(stream_seed(seed, *names))
