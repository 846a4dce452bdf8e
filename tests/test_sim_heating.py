"""Heating by the field line in the equation of motion, and the counter of its random numbers.

At a field-line current I a junction has k + k_per_a2 I² and the temperature T + r I² (the line's
Joule heat at once): the compiled code must move it as one that has these numbers without heating.
"""

import math

import numpy as np
import pytest

from sim_backend.llg import kernel
from sim_backend.llg.ensemble import Ensemble
from sim_backend.llg.model import GAMMA_RAD_PER_S_T as GAMMA
from sim_backend.llg.motion import evolve, relax
from sim_backend.llg.ranges import ParameterError
from sim_backend.noise import stream_key

CURRENT = np.array([-0.02, 0.0, 0.011])
K_PER_A2, KELVIN_PER_A2 = -2.5, 2e5
PLAIN = {
    "k2_t": 2.56e-3, "ky_t": 1e-3, "hx_t": 2e-4, "tilt_rad": 0.02, "damping_like_x_t": 2e-5,
    "field_like_z_t": 3e-5,
}  # fmt: skip
K_T = np.array([3e-3, 4e-3, 5e-3])


def heated():
    return Ensemble(
        k_t=K_T, temperature_k=300, k_per_a2_t=K_PER_A2, heating_k_per_a2=KELVIN_PER_A2, **PLAIN
    )  # fmt: skip


def at(current):
    """The same junctions with k and temperature of that current, and no heating."""
    square = current**2
    return Ensemble(
        k_t=K_T + K_PER_A2 * square, temperature_k=300 + KELVIN_PER_A2 * square, **PLAIN
    )  # fmt: skip


@pytest.mark.parametrize(("dtype", "limit"), [("float64", 1e-15), ("float32", 1e-6)])
def test_a_line_heats_as_another_temperature_and_anisotropy_would(dtype, limit):
    """k + k_per_a2 I² and σ² ~ T + r I² (Brown 1963), one noisy step: to 1e-15; in single
    precision to 1e-6, some roundings of 6e-8."""
    hot = evolve(heated(), CURRENT, 1, 2e-12, start=(0.6, 0, 0.8), dtype=dtype)
    cold = evolve(heated(), 0 * CURRENT, 1, 2e-12, start=(0.6, 0, 0.8), dtype=dtype)
    for p, current in enumerate(CURRENT):
        alone = evolve(
            at(current), [current], 1, 2e-12, start=(0.6, 0, 0.8), dtype=dtype, first_point=p
        )
        np.testing.assert_allclose(hot.last[:, p], alone.last[:, 0], rtol=0, atol=limit)
    assert np.abs(hot.last[:, 0] - cold.last[:, 0]).max() > 1e-4


def test_heat_goes_on_step_after_step():
    """200 noisy steps; rounding grows to 1e-12 at most."""
    hot = evolve(heated(), CURRENT, 200, 2e-12, squares=True)
    for p, current in enumerate(CURRENT):
        alone = evolve(at(current), [current], 200, 2e-12, squares=True, first_point=p)
        np.testing.assert_allclose(hot.last[:, p], alone.last[:, 0], rtol=0, atol=1e-12)
        np.testing.assert_allclose(hot.squares[:, p], alone.squares[:, 0], rtol=0, atol=1e-12)


def test_relaxation_sees_the_warm_anisotropy():
    """Rest states at k + k_per_a2 I²; to 1e-8, the tolerance of the torque over the curvature."""
    hot = relax(heated(), CURRENT)
    for p, current in enumerate(CURRENT):
        alone = relax(at(current), [current])
        np.testing.assert_allclose(hot.m[:, p], alone.m[:, 0], rtol=0, atol=1e-8)
    assert np.abs(hot.m[:, 0] - relax(at(0.0), CURRENT).m[:, 0]).max() > 1e-3


def test_a_step_too_long_for_the_hot_line_is_refused():
    """The refusal counts the heat: a step that is good without it is refused with it."""
    wild = {"volume_m3": 1e-26, "k_t": 1e-3}
    evolve(Ensemble(**wild), [0.1], 1, 1e-12)
    with pytest.raises(ParameterError, match=r"^dt_s is 1e-12, in which junction 0 turns"):
        evolve(Ensemble(heating_k_per_a2=1e9, **wild), [0.1], 1, 1e-12)


def test_random_numbers_where_the_steps_low_word_overflows():
    """Philox's counter has the step in two words of 32 bits (Salmon et al., SC11): with alpha small
    one step from +z turns m by γ dt (b_y, -b_x), whichever steps one call takes before."""
    junctions = Ensemble(k_t=0, k2_t=0, hz_t=0, field_constant_t_per_a=1, alpha=1e-3)
    dt, first = 1e-12, 2**32 - 3
    run = evolve(junctions, [0.0], 6, dt, seed=5, first_step=first, every=1)
    path = np.concatenate(([[0, 0, 1]], run.trajectory[:, 0, 0]))
    key = np.uint64(stream_key(5, "thermal field") & (2**64 - 1))
    drawn = kernel.noise(key, 0, 0, first + np.arange(6))
    turns = np.diff(path, axis=0)[:, :2]
    g = (drawn - kernel.NOISE_MEAN) / kernel.NOISE_UNIT
    power = 2 * 1e-3 * float(junctions.thermal_t[0]) / (GAMMA * dt)
    exact = GAMMA * dt * math.sqrt(power) * np.stack((g[:, 1], -g[:, 0]), -1)
    np.testing.assert_allclose(turns, exact, atol=5e-3 * np.abs(exact).max())
    again = evolve(junctions, [0.0], 6, dt, seed=5, first_step=first)
    np.testing.assert_array_equal(again.last, run.last)
