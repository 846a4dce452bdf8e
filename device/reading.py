"""What a neuron gives: the one interface of live, tabulated and replayed neurons."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


class InvalidReadingError(Exception):
    """A reading stayed doubtful after all its repeats.  Nothing was put in its place."""


class CalibrationError(Exception):
    """A junction that cannot be calibrated, or a calibration that does not hold here."""


@dataclass(frozen=True)
class Reading:
    """Activation and local gradient of a batch.

    Attributes:
        y: activation, dimensionless, shape [B, n].
        g: ∂y/∂x at the same x, shape [B, n]; None if it was not asked for.
        valid: which elements are beyond doubt, [B, n]; None: all.
        clamped: which x lay outside the calibrated range (y and g are those at its edge); None:
            none.
        reads: junction points measured; x and z together are one, repeats and fill points count.
        bench_time_s: bench time that the reading took, s.
    """

    y: Array
    g: Array | None
    valid: Mask | None = None
    clamped: Mask | None = None
    reads: int = 0
    bench_time_s: float = 0.0

    @property
    def clamped_share(self) -> float:
        """Share of the elements that were clamped."""
        return 0.0 if self.clamped is None else float(self.clamped.mean())


class Neuron(Protocol):
    """Something that turns pre-activations into activations."""

    @property
    def neurons(self) -> int:
        """Number of neurons n."""

    def read(self, x: Array, gradient: bool = False) -> Reading:
        """Activations (and gradients) at pre-activations x, dimensionless, shape [B, n]."""


def as_batch(x: Array, neurons: int) -> Array:
    """x as float64 [B, n].

    Raises:
        ValueError: another shape, or a value that is not finite.
    """
    x = np.asarray(x, dtype=np.float64)
    if x.ndim != 2 or x.shape[1] != neurons or not len(x):
        raise ValueError(f"x has shape {list(x.shape)}; expected [batch, {neurons}]")
    if not np.isfinite(x).all():
        raise ValueError("x holds a value that is not finite")
    return x
