"""Does a junction still answer as it should?  One judgement for spot checks and live readings."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import hypot
from typing import Protocol

import numpy as np

from device.devices import Device
from device.reading import Array, BadJunctionError, Mask, Signals

_ERRORS = 6.0  # standard errors that no reading is off by chance
_SIGNIFICANT = 3.0  # errors by which a correction has to differ from the one in use
_LEAST_SIGMA = 1e-3  # of the expectation itself: it was measured too


class Response(Protocol):
    """An expectation on a uniform grid of x; :class:`~device.table.ResponseTable` is one."""

    @property
    def x(self) -> Array: ...

    @property
    def y(self) -> Array: ...

    @property
    def g(self) -> Array: ...


@dataclass(frozen=True)
class Tolerance:
    """How far a junction may be from what is expected of it; y is dimensionless.

    Args:
        gain: largest |gain - 1|.
        offset: largest |offset|.
        rest: largest RMS of what gain and offset do not explain, noise taken off.
        jump: a reading further off than this, and than 6 of its standard errors, is doubtful.
        doubtful: largest share of readings that may stay doubtful.
    """

    gain: float = 0.1
    offset: float = 0.1
    rest: float = 0.05
    jump: float = 0.25
    doubtful: float = 0.25


@dataclass(frozen=True)
class Correction:
    """measured = gain · expected + offset."""

    gain: float = 1.0
    offset: float = 0.0
    gain_error: float = 0.0
    offset_error: float = 0.0

    def differs(self, other: Correction) -> bool:
        """Whether it is another than one found earlier, beyond the errors of both."""
        gain, offset = self.gain - other.gain, self.offset - other.offset
        return abs(gain) > _SIGNIFICANT * hypot(self.gain_error, other.gain_error) or abs(
            offset
        ) > _SIGNIFICANT * hypot(self.offset_error, other.offset_error)

    def __str__(self) -> str:
        return (
            f"gain {self.gain:.4f} ± {self.gain_error:.4f}, "
            f"offset {self.offset:+.4f} ± {self.offset_error:.4f}"
        )


def agreement(
    expected: Array, measured: Array, sigma: Array, tolerance: Tolerance
) -> tuple[Correction, str]:
    """Gain and offset of readings against an expectation, and why they are too much ("": are not).

    Weighted least squares with the tolerance as prior, (gain - 1)/tolerance.gain and
    offset/tolerance.offset of standard deviation 1: readings at one x alone, which do not tell a
    gain from an offset, share the difference between them.

    Args:
        expected, measured, sigma: values and their standard errors, [N], N >= 1.
    """
    sigma = np.hypot(sigma, _LEAST_SIGMA)
    design = np.stack((expected, np.ones_like(expected)), axis=1) / sigma[:, None]
    prior = np.diag([tolerance.gain**-2, tolerance.offset**-2])
    covariance = np.linalg.inv(design.T @ design + prior)
    gain, offset = covariance @ design.T @ ((measured - expected) / sigma)
    left = measured - (1 + gain) * expected - offset
    rest = float(np.sqrt(max(np.mean(left**2 - sigma**2), 0.0)))
    errors = np.sqrt(np.diag(covariance))
    found = Correction(1 + float(gain), float(offset), float(errors[0]), float(errors[1]))
    reason = ""
    if abs(gain) > tolerance.gain or abs(offset) > tolerance.offset:
        reason = (
            f"{found} against what is expected; the limits are 1 ± {tolerance.gain:g} and "
            f"0 ± {tolerance.offset:g}"
        )
    elif rest > tolerance.rest:
        reason = (
            f"its readings are off by {rest:.3f} RMS in another way than by gain and offset; the "
            f"limit is {tolerance.rest:g}"
        )
    return found, reason


class Watch:
    """What a device should answer.

    Args:
        device: the one that is watched.
        expected: its response, as measured before.
        tolerance: how far it may be from that.
        second: watch the gradient of its second read-out too, if it has one; not where the expected
            g is the slope of y, which is another number.
    """

    def __init__(
        self,
        device: Device,
        expected: Response,
        tolerance: Tolerance | None = None,
        *,
        second: bool = True,
    ) -> None:
        self._gradient = getattr(device, "gradient", None) if second else None
        self._expected = expected
        self.tolerance = Tolerance() if tolerance is None else tolerance

    def channels(self, read: Signals) -> list[tuple[Array, Array, Array]]:
        """Expected, measured and standard error of y, and of g where the device measures it.

        g is in units of its largest expected value, so that one tolerance fits both.
        """
        assert read.x is not None
        nodes, g = self._expected.x, self._expected.g
        found = [(np.interp(read.x, nodes, self._expected.y), read.y, read.sigma_y)]
        if self._gradient is not None and read.m_z is not None:
            unit = float(np.abs(g).max())
            measured, sigma = self._gradient(read)
            found.append((np.interp(read.x, nodes, g) / unit, measured / unit, sigma / unit))
        return found

    def doubt(self, read: Signals) -> Signals:
        """The same signals; those that are far from what is expected are not valid."""
        valid: Mask = read.valid.copy()
        for expected, measured, sigma in self.channels(read):
            far = np.abs(measured - expected) > np.maximum(self.tolerance.jump, _ERRORS * sigma)
            valid &= ~far
        return replace(read, valid=valid)

    def judge(self, name: str, read: Signals) -> list[Correction]:
        """Gain and offset of each channel.

        Raises:
            BadJunctionError: too much is in doubt, or beyond the tolerance.
        """
        share = 1 - float(read.valid.mean())
        if share > self.tolerance.doubtful and read.reads:
            raise BadJunctionError(
                f"{name}: {share:.0%} of its readings stay in doubt; it is not used any more"
            )
        found = []
        for what, channel in zip(("activation", "gradient"), self.channels(read), strict=False):
            expected, measured, sigma = (column[read.valid] for column in channel)
            if not len(expected):
                return [Correction()] * 2  # nothing was read at all
            correction, reason = agreement(expected, measured, sigma, self.tolerance)
            if reason:
                raise BadJunctionError(f"{name}: {what}: {reason}; it is not used any more")
            found.append(correction)
        return found
