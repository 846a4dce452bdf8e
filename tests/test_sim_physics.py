"""The simulated junction: rest states, thermal averages, equation of motion, read-out, seeds."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import curve_fit
from scipy.stats import kstest

from sim_backend.clock import Clock
from sim_backend.llg import equilibrium, sphere
from sim_backend.llg.ensemble import Ensemble
from sim_backend.llg.model import FreeLayer
from sim_backend.noise import normal, stream_key
from sim_backend.readout import ReferenceLayer
from sim_backend.truth import load_truth
from tests.star import star_currents

fields = st.floats(1e-3, 50e-3)
layers = st.builds(
    lambda k, k2, hz: FreeLayer(k_t=k, k2_t=k2 * k, hz_t=hz * k, temperature_k=0),
    fields, st.floats(0, 2), st.floats(0.02, 2),
)  # fmt: skip
# Field-line currents in units of k/c: from far below to far above saturation.
reduced = st.lists(st.floats(-20, 20), min_size=1, max_size=30)


def rest(layer, current_a):
    theta = equilibrium.angle(layer, np.asarray(current_a))
    return np.sin(theta), np.cos(theta)


def energy(layer, b, m):
    """The energy of the model's docstring, T; m has shape [..., 3], b shape [3]."""
    x, y, z = m[..., 0], m[..., 1], m[..., 2]
    return (
        -layer.k_t / 2 * z**2 + layer.k2_t / 4 * (1 - z**2) ** 2 + layer.ky_t / 2 * y**2
        - (b[0] * x + b[1] * y + b[2] * z)
    )  # fmt: skip


def field_at(layer, current_a):
    bx, bz = layer.fields_t(np.array([current_a]))
    return np.array([bx[0], 0.0, bz[0]])


# -- rest states ----------------------------------------------------------------------------------


@given(layers, reduced)
def test_rest_states_obey_the_planar_law(layer, multiples):
    current = np.array(multiples) * layer.k_t / layer.field_constant_t_per_a
    u, m_z = rest(layer, current)
    bx, _ = layer.fields_t(current)
    residual = layer.k_t * u + layer.k2_t * u**3 + layer.hz_t * u / m_z - bx
    assert np.abs(residual).max() <= 1e-9 * (layer.k_t + np.abs(bx).max())
    assert np.all(m_z > 0)
    np.testing.assert_allclose(u**2 + m_z**2, 1, rtol=0, atol=1e-14)


@given(layers, reduced, st.floats(-1, 1))
def test_rest_states_are_minima_of_the_energy(layer, multiples, tilt):
    hz = layer.hz_t + 0.1 * layer.k_t
    # At most half of the bias is lost to the tilt, at 20 k.
    layer = layer.model_copy(update={"hz_t": hz, "tilt_rad": tilt * hz / 2 / (20 * layer.k_t)})
    current = np.array(multiples) * layer.k_t / layer.field_constant_t_per_a
    m_x, m_z = rest(layer, current)
    for i, x, z in zip(current, m_x, m_z, strict=True):
        b = field_at(layer, i)
        at = energy(layer, b, np.array([x, 0, z]))
        angle = math.atan2(x, z) + np.array([1e-3, -1e-3, 0, 0])
        out = np.array([0, 0, 1e-3, -1e-3])
        near = np.stack((np.sin(angle) * np.cos(out), np.sin(out), np.cos(angle) * np.cos(out)), 1)
        assert np.all(energy(layer, b, near) > at)


@given(layers, reduced)
def test_a_reversed_current_mirrors_the_rest_state(layer, multiples):
    current = np.array(multiples) * layer.k_t / layer.field_constant_t_per_a
    ahead, back = rest(layer, current), rest(layer, -current)
    np.testing.assert_array_equal(ahead[0], -back[0])
    np.testing.assert_array_equal(ahead[1], back[1])


def test_a_tilted_field_breaks_that_mirror():
    layer = FreeLayer(tilt_rad=0.02)
    assert abs(rest(layer, [0.02])[1][0] - rest(layer, [-0.02])[1][0]) > 1e-3


@given(layers)
def test_the_curve_starts_with_slope_one_over_k_plus_hz(layer):
    h = 1e-6 * layer.hz_t
    u, _ = rest(layer, [h / layer.field_constant_t_per_a])
    assert u[0] / h == pytest.approx(1 / (layer.k_t + layer.hz_t), rel=1e-6)


@given(layers)
def test_the_curve_saturates_with_a_tail_of_hz_over_field(layer):
    h = 1e4 * layer.k_t
    u, m_z = rest(layer, [h / layer.field_constant_t_per_a])
    assert u[0] == pytest.approx(1, abs=1e-6)
    assert m_z[0] == pytest.approx(layer.hz_t / h, rel=1e-3)


@given(layers, st.floats(-8, 8))
def test_the_slope_follows_from_m_z_alone(layer, multiple):
    current = multiple * layer.k_t / layer.field_constant_t_per_a
    _, m_z = rest(layer, [current])
    step = 1e-5 * layer.hz_t
    near, _ = rest(layer, current + np.array([-1, 1]) * step / layer.field_constant_t_per_a)
    k, k2, hz, c3 = layer.k_t, layer.k2_t, layer.hz_t, m_z[0] ** 3
    law = c3 / (hz + k * c3 + 3 * k2 * c3 * (1 - m_z[0] ** 2))
    assert (near[1] - near[0]) / (2 * step) == pytest.approx(law, rel=1e-4, abs=1e-6 / layer.k_t)


def test_no_single_well_is_said_and_not_guessed():
    layer = FreeLayer(tilt_rad=0.1)
    with pytest.raises(equilibrium.NoEquilibriumError, match=r"tilt_rad.*physics: llg"):
        equilibrium.angle(layer, np.array([-0.1]))
    assert equilibrium.angle(layer, np.array([])).shape == (0,)


# -- thermal average ------------------------------------------------------------------------------


def boltzmann(layer, current_a):
    """Mean (m_x, m_z) over the sphere by quadrature, weighted with exp(-E/kT)."""
    z, weight = np.polynomial.legendre.leggauss(700)
    phi = np.linspace(0, 2 * np.pi, 1200, endpoint=False)
    r = np.sqrt(1 - z**2)[:, None]
    m = np.stack(
        np.broadcast_arrays(r * np.cos(phi), r * np.sin(phi), z[:, None] + 0 * phi), axis=-1
    )
    e = energy(layer, field_at(layer, current_a), m)
    w = weight[:, None] * np.exp(-(e - e.min()) / layer.thermal_field_t)
    return np.array([(w * m[..., 0]).sum(), (w * m[..., 2]).sum()]) / w.sum()


@pytest.mark.parametrize("current_a", [0.0, 0.004, 0.011, -0.03])
@pytest.mark.parametrize("ky_t", [0.0, 3e-3])
def test_thermal_average_is_right_to_first_order_in_kt(current_a, ky_t):
    error, first_order = [], []
    for temperature_k in (40.0, 20.0):
        layer = FreeLayer(temperature_k=temperature_k, ky_t=ky_t, hz_t=4e-3)
        at = np.array([current_a])
        theta = equilibrium.angle(layer, at)
        mean = np.concatenate(equilibrium.average(layer, at, theta))
        exact = boltzmann(layer, current_a)
        error.append(np.linalg.norm(mean - exact))
        still = np.concatenate((np.sin(theta), np.cos(theta)))
        first_order.append(np.linalg.norm(still - exact))
    assert error[0] < 0.1 * first_order[0]
    # What is left is of second order: half the temperature, a quarter of it.
    assert error[1] / error[0] == pytest.approx(0.25, abs=0.05)
    assert first_order[1] / first_order[0] == pytest.approx(0.5, abs=0.05)


def test_without_temperature_the_average_is_the_rest_state():
    layer, current = FreeLayer(temperature_k=0), np.linspace(-0.03, 0.03, 9)
    theta = equilibrium.angle(layer, current)
    m_x, m_z = equilibrium.average(layer, current, theta)
    np.testing.assert_array_equal((m_x, m_z), (np.sin(theta), np.cos(theta)))


# -- followed from level to level -----------------------------------------------------------------


def followed(layer, current_a):
    """Rest states along a list of currents, from rest near +z at none, [P, 3]."""
    path = Ensemble.of([layer]).fields(np.concatenate(([0.0], current_a)))[0]
    return sphere.follow(path, (0.0, 0.0, 1.0)).m[1:]


@given(layers, st.lists(st.floats(-5, 5), min_size=1, max_size=5), st.floats(0, 1))
@settings(deadline=None, max_examples=30)
def test_a_followed_layer_is_in_the_planar_equilibrium(layer, multiples, ky):
    layer = layer.model_copy(update={"ky_t": ky * layer.k_t})
    current = np.array(multiples) * layer.k_t / layer.field_constant_t_per_a
    m = followed(layer, current)
    m_x, m_z = rest(layer, current)
    np.testing.assert_allclose(m, np.stack((m_x, 0 * m_x, m_z), axis=1), atol=1e-7)
    np.testing.assert_allclose(np.linalg.norm(m, axis=1), 1, atol=1e-14)


def test_the_default_junction_has_no_hysteresis():
    up = np.linspace(-0.035, 0.035, 71)
    loop = followed(FreeLayer(), np.concatenate((up, up[::-1])))
    np.testing.assert_allclose(loop[:71], loop[71:][::-1], atol=1e-7)


def test_a_large_step_of_the_current_does_not_throw_a_junction_into_its_other_well():
    layer = FreeLayer(k_t=0.03125, k2_t=0, hz_t=0.03125**2, temperature_k=0)
    current = np.array([-2.0, 0.5]) * layer.k_t / layer.field_constant_t_per_a
    assert followed(layer, current)[1, 2] > 0.8


def test_a_tilted_field_switches_a_weakly_biased_junction_and_it_remembers():
    layer = FreeLayer(k2_t=0, hz_t=2e-4, tilt_rad=0.1, temperature_k=0)
    m = followed(layer, np.array([0.0, -0.03, 0.0]))
    assert m[0, 2] > 0.99
    assert m[2, 2] < -0.99


# -- distance from tanh ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("temperature_k", "k2_t", "most_x", "most_z"),
    [(0, 2.56e-3, 0.006, 0.012), (300, 2.56e-3, 0.008, 0.02)],
)
def test_the_default_preset_is_close_to_tanh(temperature_k, k2_t, most_x, most_z):
    x_rms, z_rms = distance_from_tanh(FreeLayer(temperature_k=temperature_k, k2_t=k2_t))
    assert x_rms < most_x
    assert z_rms < most_z


def test_it_is_the_second_order_anisotropy_that_makes_it_tanh():
    x_rms, z_rms = distance_from_tanh(FreeLayer(k2_t=0))
    assert x_rms > 0.012
    assert z_rms > 0.03


def distance_from_tanh(layer):
    """RMS of m_x - tanh and m_z - sech over three unit widths, the width fitted there."""
    width = 0.009
    for _ in range(30):
        current = np.linspace(-3 * width, 3 * width, 801)
        m_x, m_z = equilibrium.average(layer, current, equilibrium.angle(layer, current))
        (width,), _ = curve_fit(lambda i, w: np.tanh(i / w), current, m_x, p0=[width])
    return (
        np.sqrt(np.mean((m_x - np.tanh(current / width)) ** 2)),
        np.sqrt(np.mean((m_z - 1 / np.cosh(current / width)) ** 2)),
    )


# -- read-out -------------------------------------------------------------------------------------

X, Z = np.eye(3)[0], np.eye(3)[2]
NOTHING = np.zeros(3)


def test_tmr_comes_back_from_the_two_collinear_resistances_and_parallel_is_low():
    layer = ReferenceLayer(r_parallel_ohm=8e3, tmr=1.3, angle_rad=0)
    parallel = 1 / layer.conductance_s(Z, NOTHING, 0.0)
    against = 1 / layer.conductance_s(-Z, NOTHING, 0.0)
    assert parallel == pytest.approx(8e3)
    assert (against - parallel) / parallel == pytest.approx(1.3)


def test_conductance_and_not_resistance_is_linear_in_the_cosine():
    layer = ReferenceLayer(angle_rad=np.pi / 2)
    g = layer.conductance_s(np.array([-X, NOTHING, X]), NOTHING, 0.0)
    assert g[1] == pytest.approx((g[0] + g[2]) / 2)
    # 12.5 % is the error of the other reading of "linear" at TMR 100 %.
    assert (1 / g[0] + 1 / g[2]) / 2 * g[1] == pytest.approx(1.125)


@given(st.floats(0, 2 * np.pi), st.floats(0, 2 * np.pi), st.floats(0.1, 3))
def test_only_the_angle_between_the_layers_counts(free, reference, tmr):
    layer = ReferenceLayer(angle_rad=reference, tmr=tmr)
    g = layer.conductance_s(np.array([math.sin(free), 0, math.cos(free)]), NOTHING, 0.0)
    r = layer.r_parallel_ohm * 2 * (1 + tmr) / (2 + tmr * (1 + math.cos(free - reference)))
    assert g == pytest.approx(1 / r)


def test_tmr_halves_at_v_half_and_the_parallel_state_does_not_care():
    layer = ReferenceLayer(tmr=1.0, v_half_v=0.3)
    against = layer.r_parallel_ohm * layer.conductance_s(-Z, NOTHING, 0.3)
    assert against == pytest.approx(1 / 1.5)
    for bias in (0.0, 0.3, -0.3):
        parallel = layer.r_parallel_ohm * layer.conductance_s(Z, NOTHING, bias)
        assert parallel == pytest.approx(1)


def test_a_soft_reference_layer_leans_into_the_field():
    z_layer, x_layer = ReferenceLayer(h_ref_t=0.5), ReferenceLayer(h_ref_t=0.5, angle_rad=np.pi / 2)
    b = np.array([0.01, 0, 0])
    stiff = z_layer.conductance_s(X, NOTHING, 0.0)
    leaning = z_layer.conductance_s(X, b, 0.0)
    slope = (leaning - stiff) * 2 * 2 * z_layer.r_parallel_ohm  # TMR 1: G = (3 + cos)/(4 R_P)
    assert slope == pytest.approx(0.01 / 0.5, rel=1e-3)
    along = x_layer.conductance_s(X, b, 0.0)
    assert along == pytest.approx(1 / x_layer.r_parallel_ohm)


conductance = st.floats(0, 1e-3).map(lambda g: np.array([g]))
volt = st.floats(-0.2, 0.2)


@given(conductance, conductance, volt, volt, st.floats(0, 1e4))
def test_the_star_obeys_kirchhoff(g_x, g_z, v_x, v_z, r):
    i_x, i_z = star_currents(g_x, g_z, v_x, v_z, r)
    node = r * (i_x + i_z)  # what leaves through the common electrode
    np.testing.assert_allclose(i_x, g_x * (v_x - node), rtol=1e-9, atol=1e-18)
    np.testing.assert_allclose(i_z, g_z * (v_z - node), rtol=1e-9, atol=1e-18)


@given(conductance, conductance, volt, volt)
def test_a_star_without_its_low_is_two_barriers_in_series(g_x, g_z, v_x, v_z):
    i_x, i_z = star_currents(g_x, g_z, v_x, v_z, math.inf)
    series = g_x * g_z / (g_x + g_z) if g_x + g_z > 0 else np.zeros(1)
    np.testing.assert_allclose(i_x, (v_x - v_z) * series, rtol=1e-6, atol=1e-17)
    np.testing.assert_allclose(i_x + i_z, 0, atol=1e-17)


# -- noise and seeds ------------------------------------------------------------------------------


@given(st.integers(0, 2**128 - 1), st.integers(0, 2**40), st.lists(st.integers(0, 9), max_size=6))
def test_noise_depends_on_the_readings_number_and_not_on_its_group(key, first, groups):
    whole = normal(key, first, sum(groups))
    at, pieces = first, []
    for count in groups:
        pieces.append(normal(key, at, count))
        at += count
    np.testing.assert_array_equal(whole, np.concatenate([np.empty(0), *pieces]))


def test_a_seeds_noise_is_the_same_in_every_version():
    """What was recorded once can be measured again."""
    known = [-0.5960524089540317, 0.8386551628104476, -0.4494728504505325]
    np.testing.assert_allclose(normal(stream_key(0, "read noise/x"), 0, 3), known, rtol=1e-12)


def test_noise_is_normal_white_and_of_its_own_for_each_stream():
    one, other = (normal(stream_key(0, name), 0, 20_000) for name in ("a", "b"))
    assert kstest(one, "norm").pvalue > 1e-3
    for a, b in ((one, other), (one[1:], one[:-1])):
        assert abs(np.corrcoef(a, b)[0, 1]) < 0.03
    assert not np.array_equal(one, normal(stream_key(1, "a"), 0, 20_000))


def test_a_seed_names_its_junctions():
    def drawn(seed):
        junctions = load_truth(None, seed=seed).make_junctions()
        return [(j.model.layer, j.model.x, j.model.z) for j in junctions]

    assert drawn(3) == drawn(3)
    assert drawn(3) != drawn(4)
    for name in ("k_t", "k2_t", "hz_t", "field_constant_t_per_a", "tilt_rad"):
        assert len({getattr(layer, name) for layer, _, _ in drawn(3)}) == 8, name
    for name in ("r_parallel_ohm", "tmr", "angle_rad"):
        assert len({getattr(side, name) for _, *both in drawn(3) for side in both}) == 16, name


def test_junctions_spread_about_their_nominal_value():
    k = [j.model.layer.k_t for s in range(60) for j in load_truth(None, seed=s).make_junctions()]
    assert np.mean(k) == pytest.approx(4e-3, rel=0.02)
    assert np.std(k) / 4e-3 == pytest.approx(math.hypot(0.10, 0.05), rel=0.15)


# -- the clock ------------------------------------------------------------------------------------


def test_virtual_waiting_takes_no_time_and_real_time_takes_its_share(monkeypatch):
    waited = []
    for factor in (None, 10.0):
        clock = Clock(factor)
        monkeypatch.setattr(clock._pause, "wait", waited.append)
        clock.wait_wall(0.5)
        clock.advance(0.5)
        assert clock.now_s == 0.5
    assert waited == [0.05]


@given(st.lists(st.floats(0, 1e3), max_size=20))
def test_the_clock_never_goes_back_and_keeps_whole_nanoseconds(steps):
    clock = Clock()
    for step in [*steps, -1.0]:
        before = clock.now_ns
        clock.advance(step)
        assert clock.now_ns - before == max(0, round(step * 1e9))


@pytest.mark.parametrize("factor", [0.0, -1.0, math.nan])
def test_a_clock_that_stands_still_is_refused(factor):
    with pytest.raises(ValueError, match="realtime"):
        Clock(factor)
