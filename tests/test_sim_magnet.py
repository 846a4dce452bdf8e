"""What slow readings see of a free layer with a memory, a torque, a voltage."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim_backend.llg.junction import JunctionModel
from sim_backend.llg.model import FreeLayer
from sim_backend.llg.motion import evolve
from sim_backend.llg.presets import PRESETS
from sim_backend.llg.response import boltzmann_mean
from sim_backend.magnet import FreeMagnet, Levels
from sim_backend.readout import ReferenceLayer

READ_V = 0.02


def magnet(model, physics, seed=0, name="J1"):
    return FreeMagnet(name, model, physics, seed)


def levels(current_a, start_s=0.0, each_s=0.02, window_s=0.02):
    current = np.asarray(current_a, dtype=np.float64)
    edges = start_s + each_s * np.arange(len(current) + 1.0)
    return Levels(current, edges[:-1], edges[1:], window_s)


def read(one, current_a, volt=READ_V, **more):
    return one.read(levels(current_a, **more), volt, volt).mean


CURRENT = np.linspace(-0.027, 0.027, 13)


def test_a_layer_that_hops_reads_boltzmann_s_mean():
    """Readings of 20 ms against dwell times below a microsecond: to 1e-3, by quadrature."""
    preset = PRESETS["superparamagnetic"]
    m = read(magnet(preset, "wells"), CURRENT)
    m_x, m_z = boltzmann_mean(preset.layer, CURRENT)
    np.testing.assert_allclose(m[:, 0], m_x, atol=1e-3)
    np.testing.assert_allclose(m[:, 2], m_z, atol=1e-3)
    assert np.abs(m[:, 1]).max() < 1e-9


def test_the_first_order_mean_is_the_mean_of_the_wells_where_only_one_is_occupied():
    """planar-tanh at 300 K: to 1.2e-3."""
    preset = PRESETS["planar-tanh"]
    plain, wells = (read(magnet(preset, p), CURRENT) for p in ("equilibrium", "wells"))
    np.testing.assert_allclose(plain, wells, atol=1.2e-3)


#: a stable layer without a bias, barrier 60 kT: it stays where it was
STABLE = JunctionModel(layer=FreeLayer(k_t=8e-3, k2_t=0, hz_t=0.0, tilt_rad=0.5))


@pytest.mark.parametrize("physics", ["wells", "llg"])
def test_a_stable_layer_remembers_which_well_it_is_in(physics):
    one = magnet(STABLE, physics)
    up = read(one, [0.0])
    # A large field with a part along -z, and back.
    switched = read(one, np.linspace(0, -0.04, 41), start_s=1.0)
    down = read(one, np.linspace(-0.04, 0.0, 41), start_s=3.0)[-1:]
    assert up[0, 2] > 0.9
    assert switched[-1, 2] < 0
    assert down[0, 2] < -0.9
    other = magnet(STABLE, physics)
    assert read(other, np.linspace(0, 0.04, 41))[-1, 2] > 0
    assert read(other, [0.0], start_s=1.0)[0, 2] > 0.9


@pytest.mark.parametrize("physics", ["wells", "llg"])
def test_levels_that_nobody_reads_count(physics):
    one = magnet(STABLE, physics)
    one.pass_by(levels(np.concatenate((np.linspace(0, -0.04, 41), [0.0]))), 0.0, 0.0)
    assert read(one, [0.0], start_s=1.0)[0, 2] < -0.9


#: slow enough to be found in either well: barrier 21 kT
SLOW = JunctionModel(layer=FreeLayer(k_t=60e-3, k2_t=0, hz_t=0.0, diameter_m=40e-9))
#: twenty times the torque of the presets: it switches the layer at small fields
STRONG = PRESETS["planar-tanh"].changed({"x.r_parallel_ohm": 100.0, "z.spin_efficiency": 0.0})


@pytest.mark.parametrize(
    ("model", "physics"),
    [
        (PRESETS["superparamagnetic"], "wells"), (SLOW, "wells"), (STABLE, "llg"),
        (STRONG, "llg"), (PRESETS["planar-tanh"], "equilibrium"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("each_s", [0.02, 0.03])
def test_how_levels_are_grouped_in_lists_changes_nothing(model, physics, each_s):
    """Six levels at once, and three and three: the same bits for wells and equilibrium, rounding
    of the rest states for llg."""
    current = np.linspace(-4e-3, 2e-3, 6)
    whole = read(magnet(model, physics), current, each_s=each_s)
    one = magnet(model, physics)
    first = read(one, current[:3], each_s=each_s)
    last = read(one, current[3:], each_s=each_s, start_s=3 * each_s)
    parts = np.concatenate((first, last))
    np.testing.assert_allclose(parts, whole, atol=1e-9 if physics == "llg" else 0)


@pytest.mark.parametrize("physics", ["equilibrium", "wells", "llg"])
@given(
    st.floats(1e-3, 8e-3), st.floats(0, 1), st.floats(0.05, 1), st.floats(-0.02, 0.02),
    st.lists(st.floats(-0.03, 0.03), min_size=1, max_size=5),
)  # fmt: skip
@settings(max_examples=15)
def test_a_mean_is_never_longer_than_one(physics, k, k2, hz, tilt, current):
    layer = FreeLayer(k_t=k, k2_t=k2 * k, hz_t=hz * k + 0.6 * 0.03 * abs(tilt), tilt_rad=tilt)
    model = PRESETS["planar-tanh"].changed(
        {f"layer.{n}": getattr(layer, n) for n in ("k_t", "k2_t", "hz_t", "tilt_rad")}
    )
    m = read(magnet(model, physics), current)
    assert np.linalg.norm(m, axis=1).max() <= 1


def test_where_a_well_ends_its_mean_stays_a_mean():
    """A layer without a bias through the end of its well at h = k: expanded there, it would be
    longer than the sphere."""
    layer = FreeLayer(k_t=4e-3, k2_t=0, hz_t=0.0)
    m = read(magnet(JunctionModel(layer=layer), "llg"), np.linspace(6e-3, 7e-3, 101))
    assert np.linalg.norm(m, axis=1).max() <= 1
    assert np.abs(np.diff(m[:, 0])).max() < 0.05


def test_seed_and_name_give_the_hops():
    """A layer with a barrier of 22 kT hops a few times in a minute: readings are telegraph-like."""
    layer = FreeLayer(k_t=23.5e-3, k2_t=0, hz_t=0.0, diameter_m=80e-9)
    slow = JunctionModel(layer=layer)

    def z(**more):
        return read(magnet(slow, "wells", **more), np.zeros(400), each_s=1.0)[:, 2]

    first = z()
    assert 5 < np.count_nonzero(np.diff(np.sign(first))) < 395
    assert np.array_equal(first, z())
    assert not np.array_equal(first, z(seed=1))
    assert not np.array_equal(first, z(name="J2"))


def test_another_read_voltage_is_another_anisotropy():
    """k grows by 2 x 0.0714 mT for each mV at both barriers; the slope at 0 is 1/(k + hz)."""
    preset = PRESETS["planar-tanh"].changed({"layer.temperature_k": 0.0})
    small = np.array([1e-6])
    for volt in (0.02, 0.025):
        k = preset.layer.k_t + 2 * 7.142857e-5 * (volt - 0.02) * 1e3
        slope = read(magnet(preset, "equilibrium"), small, volt)[0, 0] / (0.6 * small[0])
        assert slope == pytest.approx(1 / (k + preset.layer.hz_t), rel=1e-5)


def test_the_line_s_heat_softens_the_layer():
    layer = FreeLayer(temperature_k=0.0, heating_k_per_a2=1e5, k_slope_t_per_k=-2e-5)
    warm = JunctionModel(layer=layer)
    current = np.array([0.01])
    k = layer.k_t - 2e-5 * 1e5 * 0.01**2
    cold = JunctionModel(layer=FreeLayer(temperature_k=0.0, k_t=k))
    # At T = 0 heating would add thermal motion; take it away by comparing rest states.
    seen = magnet(warm, "llg")
    np.testing.assert_allclose(
        seen._follow(current, seen.ensemble(0, 0)).m, read(magnet(cold, "llg"), current, 0.0),
        atol=1e-9,
    )  # fmt: skip


def test_a_small_torque_moves_the_rest_state_as_its_linear_response_says():
    """Torque along y at m = z: dm = a (α-independent) across the well, to 1 %.

    At rest m×B = -m×(m×a), so a damping-like torque towards x turns m = z towards y by
    a/(k + hz) (ky = 0).
    """
    a_t = 2e-5
    layer = FreeLayer(temperature_k=0.0)
    volt = 0.02
    plain = ReferenceLayer(angle_rad=math.pi / 2, r_parallel_ohm=4e3)
    density = volt / (plain.r_parallel_ohm * layer.area_m2)
    efficiency = a_t / (3.2910598e-16 * density / (layer.ms_a_per_m * layer.thickness_m))
    assert efficiency <= 1
    model = JunctionModel(layer=layer, x=plain.model_copy(update={"spin_efficiency": efficiency}))
    m = read(magnet(model, "llg"), [0.0], volt)[0]
    assert abs(m[1]) == pytest.approx(a_t / (layer.k_t + layer.hz_t), rel=0.01)
    assert m[0] == pytest.approx(0, abs=1e-4)


def under_torque(layer, torque_t):
    """A cold layer under a torque away from +z, by the voltage at the z reference."""
    z = ReferenceLayer(r_parallel_ohm=500.0, spin_efficiency=1.0)
    per_volt = 3.2910598e-16 / (z.r_parallel_ohm * layer.area_m2) / 1.4e-3
    one = magnet(JunctionModel(layer=layer, z=z), "llg")
    volt = -torque_t / per_volt
    assert abs(volt) < z.breakdown_v
    return one, one.read(levels([0.0]), 0.0, volt).mean[0]


def test_a_layer_that_the_torque_keeps_turning_reads_its_mean():
    """Precession about z where α ((k + k2 sin²θ) cos θ + hz) = a: cos θ = 0.87, to 2 %."""
    layer = FreeLayer(k_t=2e-3, k2_t=6e-3, hz_t=4e-3, temperature_k=1.0)
    _, mean = under_torque(layer, layer.alpha * 7e-3)
    roots = np.roots([-6, 0, 8, 4 - 7])
    cosine = max(roots[np.abs(roots) < 1])
    assert mean[2] == pytest.approx(cosine, rel=0.02)
    assert np.hypot(mean[0], mean[1]) < 0.02


def test_a_torque_far_above_the_threshold_switches_the_layer_for_good():
    """No angle balances 2 α (k + hz) where k2 = 0, and -z is a well without the torque."""
    layer = FreeLayer(k2_t=0.0, hz_t=0.5e-3, temperature_k=1.0)
    one, mean = under_torque(layer, 2 * layer.alpha * (layer.k_t + layer.hz_t))
    assert mean[2] < -0.99
    assert read(one, [0.0], 0.0, start_s=1.0)[0, 2] < -0.99


def test_a_layer_that_the_torque_switched_into_a_stable_state_stays_there():
    """Far above the threshold, no bias: it rests at -z under the torque, and without it."""
    layer = FreeLayer(k2_t=0.0, hz_t=0.0)
    one, mean = under_torque(layer, 20 * layer.alpha * layer.k_t)
    assert mean[2] < -0.97
    assert read(one, [0.0], 0.0, start_s=1.0)[0, 2] < -0.97


def test_a_driven_layer_goes_on_from_where_the_level_before_has_left_it():
    """The reading at the second level, in one list, against the equation of motion from the end of
    the first one: to 0.02."""
    one = magnet(STRONG, "llg")
    seen = read(one, [-3e-3, -1e-3])
    ensemble = STRONG.ensemble(READ_V, READ_V)
    step = 0.1 / (1.7595e11 * float(ensemble.largest_t(np.array([-3e-3]))[0]))
    at, mean = (0.0, 0.0, 1.0), []
    for current in (-3e-3, -1e-3):
        run = evolve(ensemble, [current], 40_000, step, seed=7, start=at, settle_steps=60_000)
        at = run.last[0]
        mean.append(run.mean[0, 0])
    np.testing.assert_allclose(seen, mean, atol=0.02)


def test_two_junctions_do_not_shake_alike_nor_one_in_two_readings():
    layer = FreeLayer(k_t=2e-3, k2_t=6e-3, hz_t=4e-3)
    z = ReferenceLayer(r_parallel_ohm=500.0, spin_efficiency=1.0)
    model = JunctionModel(layer=layer, z=z)
    volt = -layer.alpha * 7e-3 * z.r_parallel_ohm * layer.area_m2 * 1.4e-3 / 3.2910598e-16

    def means(name):
        one = magnet(model, "llg", name=name)
        return [one.read(levels([0.0], start_s=at), 0.0, volt).mean for at in (0.0, 1.0)]

    assert len({mean.tobytes() for name in ("J1", "J2") for mean in means(name)}) == 4
    assert np.array_equal(means("J1"), means("J1"))
