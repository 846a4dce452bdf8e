"""Thermal averages with known closed forms, by every path that has a temperature.

T stands for kT/(Ms V), Δ = k/2T for a layer with k alone.
"""

import math

import numpy as np
import pytest
from scipy.special import dawsn

from sim_backend.llg import thermal
from sim_backend.llg.ensemble import Ensemble
from sim_backend.llg.fields import Fields
from sim_backend.llg.model import BOLTZMANN_J_PER_K
from sim_backend.llg.motion import evolve
from sim_backend.llg.wells import wells


def fields(k, b, thermal_t, k2=0.0):
    values = (np.asarray(value, np.float64) for value in (k, k2, 0.0))
    return Fields(*values, np.asarray(b, np.float64), np.zeros(3), np.asarray(thermal_t),
                  np.asarray(0.02))  # fmt: skip


def dawson_z2(delta):
    """<m_z²> of E = -k/2 m_z²: (sqrt(Δ)/F(sqrt(Δ)) - 1)/2Δ with Dawson's F (W. F. Brown, Phys. Rev.
    130, 1677 (1963))."""
    root = math.sqrt(delta)
    return (root / dawsn(root) - 1) / (2 * delta)


@pytest.mark.parametrize("delta", [0.5, 3.0, 20.0, 60.0])
def test_dawsons_mean_square_by_quadrature(delta):
    """1e-10."""
    _, squares = thermal.boltzmann(1.0, 0.0, 0.0, np.zeros(3), 1 / (2 * delta))
    assert squares[2] == pytest.approx(dawson_z2(delta), abs=1e-10)


def test_dawsons_mean_square_by_the_equation_of_motion():
    """Δ = 2, 1024 layers for 400 ns after 100: within four standard errors, 6e-3."""
    k, delta = 0.02, 2.0
    moment = 2 * delta * BOLTZMANN_J_PER_K * 300 / k
    many = Ensemble(k_t=np.full(1024, k), k2_t=0, hz_t=0, alpha=0.1, ms_a_per_m=1e6,
                    volume_m3=moment / 1e6)  # fmt: skip
    run = evolve(many, [0.0], 40_000, 10e-12, settle_steps=10_000, squares=True)
    z2 = run.squares[:, 0, 2]
    error = z2.std() / math.sqrt(len(z2))
    assert error < 6e-3 / 4
    assert z2.mean() == pytest.approx(dawson_z2(delta), abs=4 * error)


@pytest.mark.parametrize("reduced", [-2.0, -0.3, 0.1, 1.0])
def test_a_stiff_layer_is_an_ising_spin(reduced):
    """<m_z> = μ tanh(μ B_z/T) with μ = 1 - 1/2Δ, the mean within a well, for Δ >> 1 and B_z << k:
    Δ = 60, to 1e-3, from the wells' occupations and from the whole sphere."""
    delta = 60.0
    t = 1 / (2 * delta)
    b = np.array([0.0, 0.0, reduced * t])
    exact, _ = thermal.boltzmann(1.0, 0.0, 0.0, b, t, nodes=300)
    inside = 1 - 1 / (2 * delta)
    ising = inside * math.tanh(inside * reduced)
    assert exact[2] == pytest.approx(ising, abs=1e-3)
    assert wells(fields(1.0, b, t)).mean[2] == pytest.approx(ising, abs=1e-3)


@pytest.mark.parametrize("reduced", [0.2, 1.0, 5.0, 30.0])
def test_without_anisotropy_every_direction_is_langevins(reduced):
    """coth(x) - 1/x along the field, x = B/T, in any direction: 1e-9 by quadrature."""
    along = np.array([2.0, -1.0, 2.0]) / 3
    mean, _ = thermal.boltzmann(0.0, 0.0, 0.0, reduced * along, 1.0)
    np.testing.assert_allclose(mean, along * (1 / math.tanh(reduced) - 1 / reduced), atol=1e-9)
