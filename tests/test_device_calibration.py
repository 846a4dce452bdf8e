"""Calibration: what it promises of m_x and m_z."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device import CalibrationError, calibrate, fit, measure, slope
from device.calibration import calibration_levels
from device.planar import fit_unit_width, solve
from instruments import Bench, SweepData
from sim_backend.llg import equilibrium

COMMON_OHM = 6.0


def made_up(k: float, k2: float, hz: float, offset: float, noise: float, seed: int = 0):
    """A sweep of an ideal planar junction: R_P = 10 kohm, TMR 100 %; parameters in A."""
    level = calibration_levels(0.032, 121)
    u = solve(level - offset, k, k2, hz)
    rng = np.random.default_rng(seed)
    volt = 0.02
    g = [(3 + m) / 4 / 1e4 for m in (u, np.sqrt(1 - u * u))]
    node = volt * COMMON_OHM * (g[0] + g[1]) / (1 + COMMON_OHM * (g[0] + g[1]))
    x, z = (one * (volt - node) + noise * rng.standard_normal(len(level)) for one in g)
    good = np.ones(len(level), dtype=bool)
    return SweepData("J", level, x, z, good, volt, len(level), 0.0, 1.0), u


@settings(max_examples=25, deadline=None)
@given(
    k=st.floats(3e-3, 9e-3),
    k2=st.floats(0.0, 0.8),
    hz=st.floats(0.15, 0.6),
    offset=st.floats(-1e-3, 1e-3),
)
def test_a_planar_junction_gives_back_its_parameters(k, k2, hz, offset):
    data, u = made_up(k, k2 * k, hz * k, offset, 0.0)
    found = fit(data, COMMON_OHM)
    m_x, m_z = found.magnetisation(data)
    assert np.abs(m_x - u).max() < 1e-4
    assert np.abs(m_z - np.sqrt(1 - u * u)).max() < 1e-4
    assert found.k_a == pytest.approx(k, rel=1e-2, abs=2e-5)
    assert found.offset_a == pytest.approx(offset, abs=1e-6)
    assert found.verdict == "good"


def test_the_extremes_of_a_sweep_are_not_taken_as_plus_and_minus_one():
    data, u = made_up(6e-3, 3.8e-3, 2e-3, 0.0, 0.0)
    m_x, m_z = fit(data, COMMON_OHM).magnetisation(data)
    assert m_x.max() < 0.997
    assert m_x.max() == pytest.approx(u.max(), abs=1e-4)
    assert m_z.min() > 0.05  # no reachable antiparallel state


def test_the_shared_electrode_is_taken_off():
    data, u = made_up(6e-3, 3.8e-3, 2e-3, 0.0, 0.0)
    right, wrong = fit(data, COMMON_OHM), fit(data, 0.0)
    assert np.abs(right.magnetisation(data)[1] - np.sqrt(1 - u * u)).max() < 1e-5
    assert right.chi2 < wrong.chi2


def test_noise_is_estimated_from_the_two_directions():
    noise = 4e-9
    data, _ = made_up(6e-3, 3.8e-3, 2e-3, 0.0, noise, seed=3)
    found = fit(data, COMMON_OHM)
    expected = noise / 0.02 / abs(found.b_x_s)
    assert found.sigma_x == pytest.approx(expected, rel=0.25)


def test_a_response_that_is_not_planar_is_refused_with_the_reason():
    data, _ = made_up(6e-3, 3.8e-3, 2e-3, 0.0, 1e-9)
    bent = data.current_z_a * (1 + 0.5 * np.sin(2000 * data.level_a))
    other = SweepData(
        "J", data.level_a, data.current_x_a, bent, data.valid, 0.02, data.points, 0.0, 1.0
    )
    found = fit(other, COMMON_OHM)
    assert found.verdict == "refused"
    assert "not a planar response" in found.reason


def test_hysteresis_makes_a_calibration_doubtful():
    data, _ = made_up(6e-3, 3.8e-3, 2e-3, 0.0, 1e-9)
    half = len(data.level_a) // 2
    moved = data.current_x_a.copy()
    moved[half:] += 2e-9  # half the noise of one reading, all on one side
    other = SweepData(
        "J", data.level_a, moved, data.current_z_a, data.valid, 0.02, data.points, 0.0, 1.0
    )
    found = fit(other, COMMON_OHM)
    assert (found.verdict, "drift" in found.reason) == ("doubtful", True)


def test_a_sweep_that_changes_nothing_is_refused_in_one_sentence():
    level = calibration_levels(0.03, 41)
    rng = np.random.default_rng(0)
    x, z = (2e-6 + 3e-9 * rng.standard_normal(82) for _ in range(2))
    data = SweepData("J5", level, x, z, np.ones(82, bool), 0.02, 82, 0.0, 1.0)
    with pytest.raises(CalibrationError, match="J5: the field changes a conductance by less"):
        fit(data, 0.0)


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_on_the_bench_m_x_and_m_z_are_near_the_noise_free_truth(seed):
    """The truth has temperature, tilt and soft reference layers; the law has none of them."""
    with Bench.open(sim={"seed": seed}) as bench:
        truth = bench._keep.visalib.bench.junctions
        for junction in (truth[0], truth[5]):
            found, _ = calibrate(bench, junction.name)
            assert found.verdict in ("good", "doubtful")
            current = np.linspace(found.low_a, found.high_a, 201)
            theta = equilibrium.angle(junction.layer, current)
            m_x, m_z = equilibrium.average(junction.layer, current, theta)
            u = solve(current - found.offset_a, found.k_a, found.k2_a, found.hz_a)
            assert np.sqrt(np.mean((u - m_x) ** 2)) < 0.025
            assert np.sqrt(np.mean((np.sqrt(1 - u * u) - m_z) ** 2)) < 0.06


def test_the_slope_of_a_sweep_is_the_derivative_of_the_response():
    with Bench.open() as bench:
        junction = bench._keep.visalib.bench.junctions[1]
        found, _ = calibrate(bench, junction.name)
        derivative = slope(measure(bench, junction.name, purpose="check"), found)
    current = np.linspace(found.low_a, found.high_a, 801)
    m_x, _ = equilibrium.average(
        junction.layer, current, equilibrium.angle(junction.layer, current)
    )
    true = np.gradient(m_x, current)
    assert np.sqrt(np.mean((derivative(current) - true) ** 2)) < 0.03 * true.max()


def test_the_unit_width_is_that_of_the_tanh_itself():
    current = np.linspace(-0.03, 0.03, 301)
    width, center = fit_unit_width(current, np.tanh((current - 5e-4) / 8e-3))
    assert (width, center) == (pytest.approx(8e-3, rel=1e-6), pytest.approx(5e-4, rel=1e-5))


def test_an_open_junction_and_a_shorted_one_are_not_calibrated():
    with Bench.open() as bench:
        sim = bench._keep.visalib.bench
        sim.junctions[2].broken = True
        with pytest.raises(CalibrationError, match=r"J3: .* readings are in compliance"):
            calibrate(bench, "J3")
        sim.junctions[3].channels = sim.junctions[3].channels.model_copy(update={"low": "1!40"})
        with pytest.raises(CalibrationError, match=r"J4: .*is the junction connected"):
            calibrate(bench, "J4")


def test_a_calibration_holds_for_its_read_voltage_only():
    data, _ = made_up(6e-3, 3.8e-3, 2e-3, 0.0, 1e-9)
    found = fit(data, COMMON_OHM)
    other = SweepData(
        "J", data.level_a, data.current_x_a, data.current_z_a, data.valid, 0.03, 1, 0.0, 1.0
    )
    with pytest.raises(CalibrationError, match="calibrate again"):
        found.magnetisation(other)
