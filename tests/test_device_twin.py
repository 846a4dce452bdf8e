"""Planar twins: effective parameters with errors that hold, and the interface of neurons."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from device.neurons_twin import TwinNeuron
from device.planar import solve
from device.reading import CalibrationError
from device.twin import NAMES, fit_twin
from instruments import Bench, SweepData
from sim_backend.llg import equilibrium
from sim_backend.llg.model import FreeLayer

LEVELS = np.concatenate((up := np.linspace(-32e-3, 32e-3, 121), up[::-1]))
TRUE = {"k_a": 6.5e-3, "k2_a": 4.2e-3, "hz_a": 2.3e-3, "offset_a": 0.3e-3}


def sweep(m_x, m_z, sigma=0.0, seed=0, junction="J1", volt=0.02, level=LEVELS):
    """A sweep of a junction with these responses; noise in parts of the magnetisation."""
    rng = np.random.default_rng(seed)
    currents = [
        volt * (7.4e-5 + 2.4e-5 * (m + sigma * rng.normal(size=len(level)))) for m in (m_x, m_z)
    ]
    valid = np.ones(len(level), bool)
    return SweepData(junction, level, *currents, valid, volt, len(level), 0.0, 0.0)


def planar(sigma=0.0, seed=0, **changes):
    u = solve(LEVELS - TRUE["offset_a"], TRUE["k_a"], TRUE["k2_a"], TRUE["hz_a"])
    return sweep(u, np.sqrt(1 - u * u), sigma, seed, **changes)


def warm(sigma=0.0, seed=0):
    """300 K and a tilt of the field, which the twin lacks."""
    layer = FreeLayer(tilt_rad=0.01)
    return sweep(*equilibrium.average(layer, LEVELS, equilibrium.angle(layer, LEVELS)), sigma, seed)


def values(twin):
    return np.array([getattr(twin, name) for name in NAMES])


def test_without_noise_a_planar_layer_gives_its_parameters_back():
    twin = fit_twin([planar(1e-9)], 0.0)
    assert values(twin) == pytest.approx(np.array(list(TRUE.values())), rel=1e-5)
    assert twin.b_x_s == pytest.approx(2.4e-5, rel=1e-6)
    assert max(twin.rms_x, twin.rms_z) < 1e-6
    assert twin.at_bound == ()


def test_errors_are_the_scatter_of_the_fit_over_draws_of_noise():
    twins = [fit_twin([planar(0.01, seed)], 0.0) for seed in range(60)]
    off = np.array([values(twin) - list(TRUE.values()) for twin in twins])
    for which in ("statistical_a", "total_a"):
        error = np.array([getattr(twin, which) for twin in twins])
        assert (np.abs(off) < 1.96 * error).mean() > 0.88
        assert error.mean(0) == pytest.approx(off.std(0), rel=0.35)


def test_an_effective_parameter_is_the_fit_to_the_response_without_noise():
    effective = values(fit_twin([warm(1e-9)], 0.0))
    twins = [fit_twin([warm(0.01, seed)], 0.0) for seed in range(40)]
    off = np.array([values(twin) - effective for twin in twins])
    error = np.array([twin.statistical_a for twin in twins])
    assert (np.abs(off) < 1.96 * error).mean() > 0.88


def test_what_the_law_misses_is_in_the_total_error():
    m_x, m_z = np.tanh(LEVELS / 9e-3), 1 / np.cosh(LEVELS / 9e-3)
    twin = fit_twin([sweep(m_x, m_z, 0.001)], 0.0)
    assert min(np.array(twin.total_a[:3]) / np.array(twin.statistical_a[:3])) > 3
    assert twin.rms_x > 3 * twin.sigma_x


def test_both_read_outs_weigh_alike():
    data = sweep(np.tanh(LEVELS / 9e-3), 1 / np.cosh(LEVELS / 9e-3), 1e-6)
    twin = fit_twin([data], 0.0)
    least = sum(np.square(twin.misfit(data)))
    for name in NAMES[:3]:
        for factor in (0.97, 1.03):  # whichever way it is moved, both together get worse
            moved = replace(twin, **{name: factor * getattr(twin, name)})
            assert sum(np.square(moved.misfit(data))) > least


def test_more_sweeps_make_smaller_errors():
    one = fit_twin([planar(0.02, 0)], 0.0)
    four = fit_twin([planar(0.02, seed) for seed in range(4)], 0.0)
    assert np.array(one.statistical_a) / four.statistical_a == pytest.approx(np.full(4, 2), rel=0.3)
    assert four.sweeps == 4


def test_readings_in_doubt_do_not_count():
    data = planar(0.005)
    bad = np.arange(len(LEVELS)) % 7 == 0
    spoiled = replace(data, current_x_a=np.where(bad, 1e-3, data.current_x_a), valid=~bad)
    assert values(fit_twin([spoiled], 0.0)) == pytest.approx(
        values(fit_twin([data], 0.0)), rel=0.05, abs=5e-5
    )


def test_a_further_sweep_tells_the_misfit():
    twin = fit_twin([planar(0.01, 1)], 0.0)
    assert twin.misfit(planar(0.01, 2)) == pytest.approx((0.01, 0.01), rel=0.2)
    moved = sweep(np.tanh(LEVELS / 9e-3 - 0.5), 1 / np.cosh(LEVELS / 9e-3 - 0.5))
    assert min(twin.misfit(moved)) > 0.1


def test_the_slope_is_the_derivative_of_the_activation():
    twin = fit_twin([planar(0.01)], 0.0)
    current, d = np.linspace(-25e-3, 25e-3, 41), 1e-7
    high, low = (twin.magnetisation(current + s * d)[0] for s in (1, -1))
    assert twin.slope(current) == pytest.approx((high - low) / (2 * d), rel=1e-4)


@pytest.mark.parametrize(
    ("sweeps", "said"),
    [
        ([], "at least one sweep"),
        ([planar(), planar(junction="J2")], "J1 and the sweep of J2"),
        ([planar(), planar(volt=0.03)], "20 mV and another at 30 mV"),
        ([replace(planar(), valid=LEVELS > 29e-3)], "beyond doubt"),
    ],
)
def test_what_makes_no_twin_is_refused(sweeps, said):
    with pytest.raises(CalibrationError, match=said):
        fit_twin(sweeps, 0.0)


@pytest.mark.parametrize("sigma", [0.0, 0.01])
@pytest.mark.parametrize("alive", ["none", "x", "z"])
def test_a_conductance_that_does_not_change_makes_no_twin(sigma, alive):
    u = solve(LEVELS, *(TRUE[name] for name in ("k_a", "k2_a", "hz_a")))
    m_x, m_z = (m * (alive == layer) for m, layer in ((u, "x"), (np.sqrt(1 - u * u), "z")))
    with pytest.raises(CalibrationError):
        fit_twin([sweep(m_x, m_z, sigma)], 0.0)


# --- neurons -------------------------------------------------------------------------------------


def test_a_twin_neuron_has_the_interface_of_a_live_one():
    twins = [fit_twin([planar(0.01, seed)], 0.0) for seed in range(2)]
    x = np.array([[0.0, 1.0], [50.0, -0.5], [3.0, -50.0]])
    reading = TwinNeuron(twins).read(x, gradient=True)
    assert reading.y.shape == reading.g.shape == x.shape
    assert reading.clamped.tolist() == [[False, False], [True, False], [False, True]]
    assert reading.valid is None and reading.reads == 0 and reading.source == "twin"
    assert TwinNeuron(twins).read(x).g is None
    inside = np.linspace(-2, 2, 21)[:, None] * np.ones(2)
    assert np.abs(TwinNeuron(twins).read(inside).y - np.tanh(inside)).max() < 0.02


def test_its_gradient_has_the_input_scale_in_it():
    twin = fit_twin([planar(0.01)], 0.0)
    x, d = np.linspace(-1, 1, 9)[:, None], 1e-5
    for scale in (None, 4e-3):
        neuron = TwinNeuron([twin], scale_a=scale)
        slope = (neuron.read(x + d).y - neuron.read(x - d).y) / (2 * d)
        assert neuron.read(x, True).g == pytest.approx(slope, rel=1e-4)


def test_a_twin_takes_x_for_what_the_live_neuron_takes_it():
    from device import TwoReferenceMTJ, calibrate

    with Bench.open() as bench:
        calibration, data = calibrate(bench, "J4")
        twin = fit_twin([data], bench.file.readout.common_resistance)
        x = np.linspace(-4, 4, 81)[:, None]
        live = TwoReferenceMTJ(bench, calibration).read(x, gradient=True)
        reading = TwinNeuron([twin], [calibration]).read(x, gradient=True)
    assert (reading.clamped == live.clamped).all()
    assert np.sqrt(np.mean((reading.y - live.y) ** 2)) < 0.012
    with pytest.raises(ValueError, match="beside the calibration of J9"):
        TwinNeuron([twin], [replace(calibration, junction="J9")])
