"""The step of a difference, from measured noise and curvature.

For a rule whose slope has the standard error a·sigma/h and is wrong by c·hᵖ (the table in
:mod:`device.rules_difference`), the mean square error over the training data is

    E(h) = (a² sigma² + m²)/h² + C² h^(2p),      C² = mean of c² over the data,

m being what a pair of junctions differs by.  dE/dh = 0 gives

    h^(2p + 2) = (a² sigma² + m²)/(p C²).

Central: a = 1/√2, c = f'''/6, p = 2, so h³ = 3·sigma/F with F² = mean f'''²; at that step the
squared error of the noise is twice that of the curvature.

C is measured at the step itself: a difference over h and one over h/2 differ by C hᵖ (1 - 2⁻ᵖ), so
no third derivative of noisy data is taken, and a kink, which has none, counts as what it does to a
difference of this size.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np

from device.curve import ResponseCurve
from device.reading import Array
from device.rules_difference import Paired, _Difference

#: No step below this part of a unit of x, above two of them, or above a quarter of the range:
#: a source has a programming step, and a difference over the whole curve is none.
_LEAST, _MOST, _SHARE = 0.02, 2.0, 0.25
_ROUNDS = 20

Rule = TypeVar("Rule", bound=_Difference)


@dataclass(frozen=True)
class Step:
    """A step and why.

    Attributes:
        h: the step, dimensionless.
        sigma: standard error of one reading.
        mismatch: what a pair differs by, RMS; 0 for one junction.
        noise_error, bend_error: what they make of g at this step, RMS over the data.
        power: p, the power of h that the bend's error goes with.
    """

    h: float
    sigma: float
    mismatch: float
    noise_error: float
    bend_error: float
    power: int

    @property
    def error(self) -> float:
        """RMS error of g that is expected."""
        return float(np.hypot(self.noise_error, self.bend_error))

    def __str__(self) -> str:
        pair = f" and a mismatch of {self.mismatch:.4f}" if self.mismatch else ""
        return (
            f"h = {self.h:.3f}: noise of {self.sigma:.4f}{pair} makes an error of g of "
            f"{self.noise_error:.4f}, the bend of the curve {self.bend_error:.4f}"
        )


def choose_step(
    rule: Rule,
    curve: ResponseCurve,
    x: Array,
    sigma: float,
    other: ResponseCurve | None = None,
) -> tuple[Rule, Step]:
    """The rule with the step of least error on the data.

    Args:
        rule: any step; its range is kept.
        curve: measured response of this neuron against the dimensionless x.
        x: pre-activations of training data, any shape; clamped to the rule's range.
        sigma: standard error of one reading of y.
        other: for a pair, the response of the other junction.
    """
    low, high = np.clip(rule.x_range, curve.low, curve.high)
    x = np.clip(np.ravel(x), low, high)
    mismatch = 0.0
    if isinstance(rule, Paired) and other is not None:
        mismatch = float(np.sqrt(np.mean((curve(x) - other(x)) ** 2)))
    least, most = _LEAST, min(_MOST, _SHARE * (high - low))
    noise = float(np.hypot(rule.noise * sigma, mismatch))

    def bend(h: float) -> float:
        """C of the formula, measured at h."""
        wide, narrow = _slope(rule, curve, x, h), _slope(rule, curve, x, h / 2)
        far = np.sqrt(np.mean((wide - narrow) ** 2)) / (1 - 2.0**-rule.power)
        return float(far / h**rule.power)

    h = min(0.5, most)
    for _ in range(_ROUNDS):
        c = bend(h)
        power = 2 * rule.power + 2
        wanted = most if c == 0 else float((noise**2 / (rule.power * c**2)) ** (1 / power))
        # Half the way, in the logarithm: where C falls with h, a whole step would swing about.
        h = float(np.clip(np.sqrt(h * max(wanted, least)), least, most))
    found = Step(h, sigma, mismatch, noise / h, bend(h) * h**rule.power, rule.power)
    changes: dict[str, Any] = {"h": h}
    return replace(rule, **changes), found


def _slope(rule: _Difference, curve: ResponseCurve, x: Array, h: float) -> Array:
    """The rule's slope on the curve itself, without noise."""
    changes: dict[str, Any] = {"h": h}
    at = replace(rule, **changes).points(x)
    off = at - at.mean(1, keepdims=True)
    result: Array = (off * curve(at)).sum(1) / (off**2).sum(1)
    return result
