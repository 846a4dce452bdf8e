"""Fast readings: m over a window by the equation of motion itself.

Slow ones, of microseconds and more, are the well's average and its covariance over the window:
:mod:`sim_backend.llg.fluctuation`.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from sim_backend.llg.ensemble import Ensemble
from sim_backend.llg.model import GAMMA_RAD_PER_S_T
from sim_backend.llg.motion import Motion, evolve
from sim_backend.llg.ranges import ParameterError, check

#: steps of the equation of motion that one reading may take
MOST_STEPS = 10**7
# Averages are right to 1e-3 up to this turn in the largest field, rad, and this mean square turn by
# heat (see sim_backend.llg.thermal); half of the latter.
_TURN, _HEAT = 0.2, 2e-3
_LONGEST_S = 1e-9  # of a step, where no field asks for a shorter one


def largest_step_s(junctions: Ensemble, current_a: ArrayLike) -> float:
    """Largest time step with averages right to 1e-3, s: a turn of 0.2 rad in the largest field, and
    of 0.063 rad (root mean square, each axis) by heat; see :mod:`sim_backend.llg.thermal`."""
    current = np.atleast_1d(np.asarray(current_a, dtype=np.float64))
    alpha = junctions.array("alpha")
    scale = GAMMA_RAD_PER_S_T / (1 + alpha**2)
    turn = scale * junctions.largest_t(current)
    heat = scale * alpha * junctions.fields(current).thermal_t.max(axis=1)
    with np.errstate(divide="ignore"):
        steps = np.minimum(_TURN / turn, _HEAT / heat)
    return float(min(steps.min(), _LONGEST_S))


def llg_reading(
    junctions: Ensemble,
    current_a: ArrayLike,
    window_s: float,
    *,
    seed: int | None = 0,
    start: ArrayLike = (0.0, 0.0, 1.0),
    settle_s: float = 0.0,
    first_step: int = 0,
    threads: int | None = None,
) -> Motion:
    """Readings of every junction at every current by the equation of motion: ``mean`` is the m that
    a reading over the window sees, [N, P, 3].

    For fast readings; :func:`sim_backend.llg.fluctuation.window_covariance` with the averages of
    :mod:`sim_backend.llg.wells` is the way to slow ones.

    Args:
        junctions: N junctions.
        current_a: field-line currents, A, [P].
        window_s: the window, s.
        seed: of the thermal field; None: no thermal field.
        start: unit vectors before, [3], [N, 1, 3] or [N, P, 3]; ``last`` of the reading before.
        settle_s: time before the window, s.
        first_step: ``next_step`` of the reading before.
        threads: None: all.

    Raises:
        ParameterError: something is out of range, or the window takes more than MOST_STEPS.
    """
    window = float(check("window_s", window_s, 0, 1e9, closed=False))
    settle = float(check("settle_s", settle_s, 0, 1e9))
    largest = largest_step_s(junctions, current_a)
    if window + settle > MOST_STEPS * largest:
        steps = (window + settle) / largest
        raise ParameterError(
            f"window_s is {window:g} s and settle_s {settle:g} s, {steps:.2g} steps of "
            f"{largest:.2g} s; both must be at most {MOST_STEPS * largest:.2g} s together: slower "
            "readings have fluctuation.window_covariance about the well's average"
        )
    steps = max(1, math.ceil(window / largest))
    step = window / steps
    return evolve(
        junctions, current_a, steps, step, seed=seed, start=start, first_step=first_step,
        settle_steps=math.ceil(settle / step), threads=threads,
    )  # fmt: skip
