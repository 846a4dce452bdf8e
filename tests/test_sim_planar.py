"""The planar rest state of many points at once against bisection, residuals and exact limits.

The law is k u + k2 u³ + B_z u/sqrt(1 - u²) = B_x (sim_backend.llg.equilibrium).
"""

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim_backend.llg import equilibrium, planar, response, sphere
from sim_backend.llg.ensemble import Ensemble
from sim_backend.llg.equilibrium import NoEquilibriumError
from sim_backend.llg.fields import Fields
from sim_backend.llg.model import FreeLayer
from sim_backend.llg.ranges import ParameterError


def fields(bx, bz, k, k2, thermal=0.0, ky=0.0):
    bx, bz = np.broadcast_arrays(np.asarray(bx, float), bz)
    b = np.stack((bx, np.zeros_like(bx), bz), -1)
    numbers = (np.asarray(part, float) for part in (k, k2, ky))
    return Fields(*numbers, b, np.zeros(3), np.asarray(thermal, float), np.asarray(0.02))


def relative_error(x, z, bx, bz, k, k2):
    """Error of s = tan θ, first order: residual over slope; what evaluating both costs is off it.

    Four roundings of the law's terms, 9e-16 of their sum, are no error of s."""
    u, s = np.abs(x), np.abs(x) / z
    terms = np.abs(k) * u + np.abs(k2) * u**3 + bz * s + np.abs(bx)
    residual = np.abs(k * u + k2 * u**3 + bz * s - np.abs(bx))
    slope = (k + 3 * k2 * u * u) * z**3 + bz
    return np.maximum(residual - 9e-16 * terms, 0) / (slope * s)


k_values = st.floats(-4, 0).map(lambda e: 10**e)
fast = st.tuples(k_values, st.floats(0, 5), st.floats(-1.69, 1.5).map(lambda e: 10**e))


@settings(max_examples=200, deadline=None)
@given(fast, st.lists(st.floats(-7, 1.5), min_size=1, max_size=30))
def test_rest_states_are_exact_from_weak_to_strong_fields(ratios, exponents):
    """Residual of the law over its slope: s = tan θ to a relative 1e-12 for k2/k <= 5,
    0.02 <= hz/k <= 30, and fields of 1e-7 to 30 times k + k2 + hz; |m| = 1 to 1e-14."""
    k, k2, bz = ratios[0], ratios[0] * ratios[1], ratios[0] * ratios[2]
    bx = (k + k2 + bz) * 10 ** np.array(exponents)
    x, z = equilibrium.rest(fields(bx, bz, k, k2))
    assert relative_error(x, z, bx, bz, k, k2).max() <= 1e-12
    np.testing.assert_allclose(x * x + z * z, 1, rtol=0, atol=1e-14)


@settings(max_examples=100, deadline=None)
@given(fast, st.lists(st.floats(-30, 30), min_size=1, max_size=30))
def test_rest_states_are_those_of_bisection(ratios, multiples):
    """response.planar_angle bisects the angle to 3.5e-16: m_x and m_z to 1e-12, relative where the
    bisection is exact enough."""
    k, k2, bz = ratios[0], ratios[0] * ratios[1], ratios[0] * ratios[2]
    bx = k * np.array(multiples)
    theta = response.planar_angle(bx, k, bz, k2)
    x, z = equilibrium.rest(fields(bx, bz, k, k2))
    np.testing.assert_allclose(x, np.sin(theta), rtol=1e-12, atol=2e-15)
    np.testing.assert_allclose(z, np.cos(theta), rtol=1e-12, atol=2e-15)


@settings(max_examples=200, deadline=None)
@given(
    st.floats(-1, 1), st.floats(0, 5), st.floats(-9, 0).map(lambda e: 10**e), st.floats(-6, 6),
)  # fmt: skip
def test_outside_the_fast_region_too(k, k2, bz, exponent):
    """k < 0 with k + B_z > 0, and B_z down to 1e-9: the same residual, 1e-12 relative."""
    k = max(k, -0.9 * bz)
    bx = 10**exponent
    x, z = equilibrium.rest(fields([bx, -bx], bz, k, k2))
    assert relative_error(x, z, bx, bz, k, k2).max() <= 1e-12
    assert x[0] == -x[1] > 0 and z[0] == z[1] > 0


def test_limits():
    """No field: along z.  No anisotropy: along the field, tan θ = B_x/B_z.  To round-off."""
    x, z = equilibrium.rest(fields([0.0, -0.0], 1e-3, 4e-3, 2e-3))
    assert x.tolist() == [0, 0] and z.tolist() == [1, 1]
    bx = np.array([1e-9, 1e-3, -0.3, 9.0])
    x, z = equilibrium.rest(fields(bx, 1e-3, 0.0, 0.0))
    np.testing.assert_allclose(x, bx / np.hypot(bx, 1e-3), rtol=4e-16)
    np.testing.assert_allclose(z, 1e-3 / np.hypot(bx, 1e-3), rtol=4e-15)


def everything(count=37):
    """Junctions with every term of the planar path, and their currents."""
    rng = np.random.default_rng(4)
    junctions = Ensemble(
        k_t=rng.uniform(3e-3, 5e-3, count), hz_t=rng.uniform(5e-4, 5e-3, count), hx_t=1e-4,
        ky_t=1e-3, tilt_rad=0.01, k_per_a2_t=-2.0, heating_k_per_a2=1e5,
        field_like_z_t=1e-4,
    )  # fmt: skip
    return junctions, np.linspace(-0.03, 0.03, 91)


def test_a_grid_is_what_its_fields_say():
    """grid() against rest() and mean() of Ensemble.fields(): the same law, 1e-14."""
    junctions, current = everything()
    both = junctions.fields(current)
    np.testing.assert_allclose(
        equilibrium.grid(junctions, current), equilibrium.rest(both), rtol=0, atol=1e-14
    )
    x, z = equilibrium.grid(junctions, current, warm=True)
    m = equilibrium.mean(both)
    np.testing.assert_allclose(np.stack((x, 0 * x, z), -1), m, rtol=0, atol=1e-14)


def test_the_warm_mean_is_that_of_the_formula():
    """equilibrium.average, Laplace's method written with angles: to 1e-13."""
    layer = FreeLayer(ky_t=1e-3, tilt_rad=0.02)
    current = np.linspace(-0.03, 0.03, 301)
    direct = equilibrium.average(layer, current, equilibrium.angle(layer, current))
    found = equilibrium.grid(Ensemble.of([layer]), current, warm=True)
    for one, other in zip(found, direct, strict=True):
        np.testing.assert_allclose(one[0], other, rtol=0, atol=1e-13)


def test_single_precision_is_the_rounded_answer():
    """m to one rounding of float32, 2⁻²⁴ relative."""
    junctions, current = everything()
    exact = equilibrium.grid(junctions, current)
    for one, other in zip(
        equilibrium.grid(junctions, current, dtype="float32"), exact, strict=True
    ):
        assert one.dtype == np.float32
        np.testing.assert_allclose(one, other, rtol=2**-24)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 700), st.integers(16, 19), st.booleans())
def test_chunks_and_threads_change_no_bit(points, power, warm):
    """Each piece is that of the whole grid, and stays within its memory."""
    junctions = everything(33)[0]
    current = np.linspace(-0.03, 0.03, points)
    whole = equilibrium.grid(junctions, current, warm=warm, threads=1)
    for one, other in zip(
        equilibrium.grid(junctions, current, warm=warm, threads=3), whole, strict=True
    ):
        np.testing.assert_array_equal(one, other)
    seen, limit = 0, 2**power
    for devices, place, x, z in equilibrium.stream(
        junctions, current, memory_bytes=limit, warm=warm
    ):
        np.testing.assert_array_equal(x, whole[0][devices, place])
        np.testing.assert_array_equal(z, whole[1][devices, place])
        assert x.nbytes + z.nbytes <= limit
        seen += x.size
    assert seen == whole[0].size


def test_long_grids_are_cut_along_points_too():
    junctions, current = Ensemble(), np.linspace(-0.03, 0.03, 20_000)
    whole, pieces = equilibrium.grid(junctions, current), 0
    for _, place, x, z in equilibrium.stream(junctions, current, memory_bytes=2**16):
        np.testing.assert_array_equal((x, z), np.stack(whole)[:, :, place])
        pieces += 1
    assert pieces > 4


def test_tiles_change_no_bit():
    """A point gives the same bits alone, at the end of a tile and in the middle of one."""
    bx = np.linspace(-0.02, 0.02, 3 * planar.WIDTH + 5)
    x, z = equilibrium.rest(fields(bx, 1.36e-3, 4e-3, 2.56e-3))
    for i in (0, planar.WIDTH - 1, planar.WIDTH, len(bx) - 1):
        one = equilibrium.rest(fields(bx[i], 1.36e-3, 4e-3, 2.56e-3))
        assert (float(one[0]), float(one[1])) == (x[i], z[i])


@pytest.mark.parametrize(
    ("bz", "k", "k2", "words"),
    [
        (0.0, 1.0, 0.0, "the field along z falls to 0 mT"),
        ([1.0, -0.2], 1.0, 0.0, "the field along z falls to -200 mT"),
        (0.1, -0.2, 0.0, "the field along z falls to 100 mT"),
        (0.5, 1.0, [-1.0, -2.0], "k2_t is -2e+03 mT, so far below 0"),
    ],
)
def test_no_single_well_is_refused(bz, k, k2, words):
    with pytest.raises(NoEquilibriumError, match=re.escape(words) + ".*hz_t.*physics: llg"):
        equilibrium.rest(fields(0.1, bz, k, k2))


def test_what_leaves_the_plane_is_refused():
    """A field along y, by its value, unless it is round-off; and an easy axis along y."""
    inside, b = fields(0.1, 0.5, 1.0, 0.0, ky=[0.0, -0.3]), np.array([[0.1, 0.0, 0.5]] * 2)
    b[1, 1] = -2e-3
    for call in (equilibrium.rest, equilibrium.mean):
        with pytest.raises(NoEquilibriumError, match=r"ky_t is -300 mT.*use physics: wells or"):
            call(inside)
        with pytest.raises(NoEquilibriumError, match=r"the field along y is 2 mT.*physics: wells"):
            call(replace(inside, ky_t=np.zeros(1), b_t=b))
    assert equilibrium.has_one_well(inside).tolist() == [True, False]
    b[1, 1] = 1e-12
    assert equilibrium.has_one_well(replace(inside, ky_t=np.zeros(1), b_t=b)).all()
    with pytest.raises(NoEquilibriumError, match="ky_t is -300 mT"):
        equilibrium.angle(FreeLayer(ky_t=-0.3), np.zeros(1))
    for more, words in (
        ({"ky_t": -0.3}, "ky_t is -300 mT"),
        ({"field_like_x_t": 1e-4, "direction_x": (0, 1, 0)}, "the field along y is 0.1 mT"),
        ({"k2_t": -0.02}, "k2_t is -20 mT"),
    ):
        with pytest.raises(NoEquilibriumError, match=words):
            equilibrium.grid(Ensemble(**more), [0.0, 0.01])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-1, 1), min_size=4, max_size=4), st.floats(0, 0.5))
def test_where_there_is_one_well_it_is_that_of_the_sphere(numbers, least):
    """At T = 0 the mean is sphere.rest, Newton's method on the sphere, to 1e-9, with k2 < 0 and
    k < 0 too; the rest state changes by leaps nowhere, so a start from either side ends in it."""
    k, k2, bz, ky = numbers
    some = fields(np.linspace(-3, 3, 25), bz, k, 2 * k2, ky=abs(ky))
    one = equilibrium.has_one_well(some)
    assert np.all(one >= equilibrium.has_one_well(some, 0.02 + least))
    if one.all():
        m = equilibrium.mean(some)
        np.testing.assert_allclose(m, sphere.rest(some, (0, 0, 1.0)).m, rtol=0, atol=1e-9)
        side = np.where(some.b_t[..., :1] > 0, (1.0, 0, 0.01), (-1.0, 0, 0.01))
        np.testing.assert_allclose(m, sphere.rest(some, side).m, rtol=0, atol=1e-9)
    else:
        assert not one.any()
        with pytest.raises(NoEquilibriumError):
            equilibrium.mean(some)


@settings(max_examples=200, deadline=None)
@given(st.floats(-1, 1), st.floats(-2, 0), st.floats(0, 1))
def test_one_well_is_told_from_two_by_the_slope(k, k2, bz):
    """Slope of the law on 2000 points, dh/du = k + 3 k2 u² + bz/(1 - u²)^1.5, above 0 on all where
    there is one well, and not much above 0 (1e-3) where there is none."""
    u = np.linspace(0, 1, 2001)[:-1]
    slope = ((k + 3 * k2 * u**2) * (1 - u**2) ** 1.5 + bz).min()
    slope = min(slope, bz)
    if equilibrium.has_one_well(fields(0.1, bz, k, k2), 0.0):
        assert slope > 0
    else:
        assert slope <= 1e-3


def test_a_tilt_or_heat_that_ends_the_well_is_refused():
    equilibrium.grid(Ensemble(tilt_rad=0.05), [-0.03, 0.03])
    for more in ({"tilt_rad": 0.1}, {"k_t": -1e-3, "k_per_a2_t": -1.0}):
        with pytest.raises(NoEquilibriumError, match="no single well"):
            equilibrium.grid(Ensemble(**more), [-0.03, 0.03])


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"current_a": [[0.0]]}, r"current_a has shape \[1, 1\]"),
        ({"current_a": [float("nan")]}, "current_a is nan at index 0"),
        ({"dtype": "int8"}, "dtype is 'int8'; it must be"),
        ({"threads": 0}, "threads is 0; it must be at least 1"),
    ],
)
def test_bad_arguments_are_named(more, words):
    with pytest.raises(ParameterError, match="^" + words):
        equilibrium.grid(Ensemble(), **({"current_a": [0.0]} | more))
