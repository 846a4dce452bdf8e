"""What a neuron gives: the one interface of live, tabulated, twin and replayed neurons."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
#: where numbers come from: measured now, looked up, computed, or measured once and read back
Source = Literal["live", "table", "twin", "replay", "mixed", "unknown"]


class InvalidReadingError(Exception):
    """A reading stayed doubtful after all its repeats.  Nothing was put in its place."""


class CalibrationError(Exception):
    """A junction that cannot be calibrated, or a calibration that does not hold here."""


class BadJunctionError(CalibrationError):
    """A junction that does not answer as its calibration or table says: not to be used any more."""


class NotMeasuredError(Exception):
    """Stored sweeps are asked for a level that they do not hold."""


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
        source: where the numbers come from; "mixed": not all from one.
    """

    y: Array
    g: Array | None
    valid: Mask | None = None
    clamped: Mask | None = None
    reads: int = 0
    bench_time_s: float = 0.0
    source: Source = "unknown"

    @property
    def clamped_share(self) -> float:
        """Share of the elements that were clamped."""
        return 0.0 if self.clamped is None else float(self.clamped.mean())


@dataclass(frozen=True)
class Signals:
    """What one list sweep of a device gives, in the order in which it was asked for.

    Attributes:
        y: activation, dimensionless, [N]; NaN where it is not valid.
        m_z: second read-out, out of plane, [N]; None: the device has one read-out.
        sigma_y: standard error of one reading of y, [N].
        sigma_z: of m_z, [N]; None without it.
        valid: which readings are beyond doubt, [N].
        reads: junction points measured, fill points among them.
        bench_time_s: bench time that the sweep took, s.
        x: pre-activations at which it was measured, dimensionless, [N]; None: those asked for.  A
            live neuron gives them to its gradient rule: at the edge of the range they are others
            than the rule has asked for, and a difference goes by them.
    """

    y: Array
    m_z: Array | None
    sigma_y: Array
    sigma_z: Array | None
    valid: Mask
    reads: int = 0
    bench_time_s: float = 0.0
    x: Array | None = None


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
