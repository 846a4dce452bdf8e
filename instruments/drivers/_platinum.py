"""Platinum resistance thermometers (IEC 60751, clause 4; constants from memory)."""

from __future__ import annotations

_A_PER_C, _B_PER_C2, _C_PER_C4 = 3.9083e-3, -5.775e-7, -4.183e-12
LOWEST_C, HIGHEST_C = -200.0, 850.0


def ratio(celsius: float) -> float:
    """R/R0 at a temperature, degC."""
    t = celsius
    cold = _C_PER_C4 * (t - 100) * t**3 if t < 0 else 0.0
    return 1 + _A_PER_C * t + _B_PER_C2 * t**2 + cold


def celsius(measured: float) -> float | None:
    """The temperature, degC, of R/R0; None outside of the standard's range.

    By bisection: the ratio rises everywhere.
    """
    low, high = LOWEST_C, HIGHEST_C
    if not ratio(low) <= measured <= ratio(high):
        return None
    while high - low > 1e-6:
        middle = (low + high) / 2
        low, high = (middle, high) if ratio(middle) < measured else (low, middle)
    return (low + high) / 2
