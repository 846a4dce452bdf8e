"""Gradient rules: exact where they say so, errors as they say, steps near to the best."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device.curve import make_curve
from device.planar import solve
from device.reading import Signals
from device.rules import (
    CalibratedTwoReference,
    CurveSlope,
    Ideal,
    TwoReference,
    angle,
    spread_of,
)
from device.rules_comparison import agreement
from device.rules_difference import Central, Dither, Forward, Paired
from device.rules_step import choose_step

RANGE = (-3.0, 3.0)
X = np.linspace(-3, 3, 61)
ONE_POINT = (
    TwoReference(),
    CalibratedTwoReference(1.0, 0.64, 0.34, 1.41),
    CurveSlope(make_curve(X, np.tanh(X), 0.0)),
    Ideal(lambda x: 1 / np.cosh(x) ** 2),
)
DIFFERENCES = (Central(0.3, RANGE), Forward(0.2, RANGE), Paired(0.5, RANGE), Dither(0.3, RANGE))
rules = pytest.mark.parametrize("rule", ONE_POINT + DIFFERENCES, ids=lambda rule: rule.name)
differences = pytest.mark.parametrize("rule", DIFFERENCES, ids=lambda rule: rule.name)


def measured(rule, x, f=np.tanh, f_z=lambda x: 1 / np.cosh(x), sigma=0.0, rng=None):
    """What a device with these responses gives at a rule's points."""
    at = rule.points(x)
    y, m_z = f(at), f_z(at)
    if rng is not None:
        y, m_z = (m + sigma * rng.normal(size=at.shape) for m in (y, m_z))
    error = np.full(at.shape, sigma)
    return Signals(y, m_z, error, error, np.ones(at.shape, bool), x=at)


def rms(values):
    return float(np.sqrt(np.mean(np.square(values))))


@rules
def test_a_rule_says_what_it_takes(rule):
    assert rule.points(X).shape == (61, rule.reads)
    assert rule.hardware and rule.name
    assert rule.order in ("sorted", "given")
    assert not (rule.simultaneous and rule.reads > 1)


@rules
def test_without_noise_every_rule_gives_activation_and_slope_of_a_tanh(rule):
    x = np.linspace(-2.5, 2.5, 41)
    f, f_z = np.tanh, lambda x: 1 / np.cosh(x)
    if isinstance(rule, CalibratedTwoReference):
        x, f, f_z = planar(rule, x)
    y, g, sigma = rule.combine(x, measured(rule, x, f, f_z))
    d = 1e-4
    assert rms(y - f(x)) < 0.025  # dither and pair: a mean over the step
    assert rms(g - (f(x + d) - f(x - d)) / (2 * d)) < 0.05
    assert y.shape == g.shape == sigma.shape == x.shape


def planar(rule, x):
    def u(x):
        return solve(rule.scale_a * x, rule.k_a, rule.k2_a, rule.hz_a)

    return x, u, lambda x: np.sqrt(1 - u(x) ** 2)


@rules
def test_the_error_that_a_rule_states_is_the_scatter_that_noise_makes(rule):
    sigma, rng = 0.03, np.random.default_rng(5)
    f, f_z = np.tanh, lambda x: 1 / np.cosh(x)
    x = np.array([-1.5, -0.4, 0.0, 0.7, 3.0])
    if isinstance(rule, CalibratedTwoReference):
        x, f, f_z = planar(rule, x)
    many = np.repeat(x, 3000)
    _, g, sigma_g = rule.combine(many, measured(rule, many, f, f_z, sigma, rng))
    scatter = g.reshape(5, -1).std(1)
    if isinstance(rule, CurveSlope | Ideal):  # the slope is not measured now
        assert scatter == pytest.approx(np.zeros(5), abs=1e-12)
        return
    stated = np.sqrt((sigma_g.reshape(5, -1) ** 2).mean(1))
    assert stated == pytest.approx(scatter, rel=0.15, abs=2e-3)


# --- two reference layers ------------------------------------------------------------------------


@settings(max_examples=40)
@given(st.floats(0.3, 3), st.floats(0, 2), st.floats(0.05, 2), st.floats(0.5, 3), st.floats(-3, 3))
def test_the_calibrated_rule_is_exact_for_every_planar_layer(k, k2, hz, scale, x):
    rule = CalibratedTwoReference(k, k2, hz, scale)
    at, u, m_z = planar(rule, np.array([x]))
    d = 1e-5
    _, g, _ = rule.combine(at, measured(rule, at, u, m_z))
    assert g == pytest.approx((u(at + d) - u(at - d)) / (2 * d), rel=1e-4, abs=1e-6)


def test_m_z_squared_carries_the_gain_of_the_input_scale():
    x = np.linspace(-1, 1, 11)
    signals = measured(TwoReference(), x)
    assert TwoReference(0.5).combine(x, signals).g == pytest.approx(0.5 / np.cosh(x) ** 2)


def test_noise_does_not_reach_the_pole_of_the_law():
    rule = CalibratedTwoReference(1.0, 0.64, 0.34, 1.41)
    x, u, m_z = planar(rule, np.tile(np.linspace(-3, 3, 61), 200))
    noisy = measured(rule, x, u, m_z, 0.10, np.random.default_rng(0))
    exact = rule.combine(x, measured(rule, x, u, m_z)).g
    assert rms(rule.combine(x, noisy).g - exact) < 0.09
    c = noisy.m_z[:, 0]  # the law as a function of m_z alone
    raw = 1.41 * c**3 / (0.34 + c**3 + 3 * 0.64 * c**3 * (1 - c**2))
    assert rms(raw - exact) > 1


def test_the_calibrated_error_holds_for_readings_that_are_not_equally_sure():
    rule, rng = CalibratedTwoReference(1.0, 0.64, 0.34, 1.41), np.random.default_rng(4)
    for s_x, s_z in ((0.01, 0.06), (0.06, 0.01)):
        x, u, m_z = planar(rule, np.repeat([-1.2, -0.5, 0.8, 1.6], 4000))
        signals = measured(rule, x, u, m_z)
        noisy = replace(
            signals,
            y=signals.y + s_x * rng.normal(size=signals.y.shape),
            m_z=signals.m_z + s_z * rng.normal(size=signals.y.shape),
            sigma_y=np.full(signals.y.shape, s_x),
            sigma_z=np.full(signals.y.shape, s_z),
        )
        _, g, sigma = rule.combine(x, noisy)
        stated = np.sqrt((sigma.reshape(4, -1) ** 2).mean(1))
        assert stated == pytest.approx(g.reshape(4, -1).std(1), rel=0.2)


def test_an_error_goes_to_second_order_where_the_slope_of_the_law_is_zero():
    at, sigma = np.array([0.0, 1.0]), np.array([0.1, 0.1])
    exact = np.sqrt(4 * at**2 * sigma**2 + 2 * sigma**4)  # of the square of a normal variable
    assert spread_of(np.square, at, sigma) == pytest.approx(exact)


@settings(max_examples=60)
@given(st.floats(-2, 2), st.floats(-2, 2), st.floats(0.01, 1), st.floats(0.01, 1))
def test_the_angle_is_that_of_the_nearest_unit_vector_above_the_plane(m_x, m_z, s_x, s_z):
    [phi] = angle(*(np.array([v]) for v in (m_x, m_z, s_x, s_z)))
    assert 0 <= phi <= np.pi

    def far(phi):
        return ((m_x - np.cos(phi)) / s_x) ** 2 + ((m_z - np.sin(phi)) / s_z) ** 2

    if m_z > 0.3 and np.hypot(m_x, m_z) > 0.5 and 0.2 < s_x / s_z < 5:
        grid = far(np.linspace(0, np.pi, 2001))
        assert far(phi) <= grid.min() + 1e-3 * (1 + grid.min())


def test_the_surer_reading_counts_more():
    m_x, m_z = np.array([0.9]), np.array([0.9])  # the angle says 45 degrees, each reading another
    [sure_x] = angle(m_x, m_z, np.array([0.001]), np.array([0.1]))
    [sure_z] = angle(m_x, m_z, np.array([0.1]), np.array([0.001]))
    assert np.cos(sure_x) == pytest.approx(0.9, abs=0.01)
    assert np.sin(sure_z) == pytest.approx(0.9, abs=0.01)


@pytest.mark.parametrize("rule", ONE_POINT[:2], ids=lambda rule: rule.name)
def test_a_device_with_one_read_out_cannot_use_two(rule):
    x = np.zeros(3)
    signals = replace(measured(rule, x), m_z=None, sigma_z=None)
    with pytest.raises(ValueError, match=f"{rule.name}.*one read-out"):
        rule.combine(x, signals)


# --- differences ---------------------------------------------------------------------------------


@differences
@pytest.mark.parametrize("at", [-3.0, -2.95, 2.95, 3.0])
def test_at_the_edge_of_the_range_a_difference_is_one_sided(rule, at):
    x = np.array([at])
    points = rule.points(x)
    assert points.min() >= RANGE[0] and points.max() <= RANGE[1]
    line = measured(rule, x, lambda x: 0.2 + 0.7 * x)
    y, g, _ = rule.combine(x, line)
    assert g == pytest.approx([0.7])
    assert y == pytest.approx(0.2 + 0.7 * x)


@differences
@settings(max_examples=20)
@given(st.floats(-2, 2), st.floats(-5, 5), st.floats(0.01, 1), st.floats(-3, 3))
def test_a_straight_line_has_its_slope_whatever_the_step(rule, a, b, h, x):
    rule, x = replace(rule, h=h), np.array([x])
    y, g, _ = rule.combine(x, measured(rule, x, lambda x: a + b * x))
    assert g == pytest.approx([b], abs=1e-9)
    assert y == pytest.approx(a + b * x, abs=1e-9)


@pytest.mark.parametrize(
    ("rule", "error"),
    [(Central(0.2), 1 / np.sqrt(2)), (Forward(0.2), np.sqrt(2)), (Paired(0.2), np.sqrt(2)),
     (Dither(0.2, periods=3), 1 / np.sqrt(6))],
    ids=lambda value: getattr(value, "name", ""),
)  # fmt: skip
def test_the_noise_of_a_difference_goes_with_one_over_its_step(rule, error):
    x = np.zeros(1)
    assert rule.noise == pytest.approx(error)
    for h in (0.1, 0.4):
        one = replace(rule, h=h)
        assert one.combine(x, measured(one, x, sigma=0.01)).sigma_g == pytest.approx(
            [error * 0.01 / h]
        )


def test_a_dither_takes_an_even_drift_out_of_the_slope_and_a_sorted_pair_does_not():
    rule, x = Dither(0.3, periods=2), np.zeros(1)
    drift = 0.02 * np.arange(4.0)  # reading by reading
    signals = measured(rule, x)
    assert rule.order == "given"
    moved = replace(signals, y=signals.y + drift)
    assert rule.combine(x, moved).g == pytest.approx(rule.combine(x, signals).g)
    one = Central(0.3)
    signals = measured(one, x)
    moved = replace(signals, y=signals.y + 0.02 * np.array([[1.0, 2.0, 0.0]]))  # by rising level
    assert one.combine(x, moved).g - one.combine(x, signals).g == pytest.approx([0.02 / 0.3])


def test_a_mismatch_of_a_pair_becomes_an_error_over_the_step():
    rule, x = Paired(0.4), np.linspace(-1, 1, 5)
    signals = measured(rule, x)
    moved = replace(signals, y=signals.y + np.array([0.01, -0.01]))
    assert rule.combine(x, moved).g - rule.combine(x, signals).g == pytest.approx(
        np.full(5, 0.02 / 0.4)
    )


def test_a_pair_is_simultaneous_only_with_a_second_source_and_its_name_says_so():
    assert Paired(0.2).name == "paired, two lists" and not Paired(0.2).simultaneous
    second = Paired(0.2, second_source=True)
    assert second.name == "paired, two sources" and second.simultaneous


@pytest.mark.parametrize("kind", [Central, Forward, Paired, Dither])
@pytest.mark.parametrize("h", [0.0, -0.1, np.inf, np.nan])
def test_a_step_that_is_none_is_refused(kind, h):
    with pytest.raises(ValueError, match="step h"):
        kind(h)


# --- the choice of a step ------------------------------------------------------------------------

FINE = np.concatenate((np.linspace(-3.3, 3.3, 121), np.linspace(3.3, -3.3, 121)))
DATA = np.clip(np.random.default_rng(9).normal(size=400), *RANGE)


@differences
@pytest.mark.parametrize("sigma", [0.001, 0.01, 0.1])
@pytest.mark.parametrize(
    ("f", "slope"),
    [(np.tanh, lambda x: 1 / np.cosh(x) ** 2),
     (lambda x: np.clip(x / 1.4, -1, 1), lambda x: (np.abs(x) < 1.4) / 1.4)],
    ids=["tanh", "kinked"],
)  # fmt: skip
def test_the_chosen_step_is_within_a_tenth_of_the_least_error(rule, sigma, f, slope):
    curve = make_curve(FINE, f(FINE) + sigma * np.random.default_rng(2).normal(size=242), sigma)
    chosen, step = choose_step(rule, curve, DATA, sigma)

    def error(h):
        one = replace(rule, h=h)
        bias = one.combine(DATA, measured(one, DATA, f)).g - slope(DATA)
        return np.hypot(rule.noise * sigma / h, rms(bias))

    best = min(error(h) for h in np.geomspace(0.02, 2, 60))
    assert error(chosen.h) < 1.15 * best
    if f is np.tanh:
        assert step.error == pytest.approx(error(chosen.h), rel=0.15)
    assert f"h = {chosen.h:.3f}" in str(step)


def test_the_step_of_a_cubic_is_that_of_the_formula():
    cubic = make_curve(FINE, FINE**3 / 6, 0.0)  # f''' = 1 everywhere
    sigma = 0.01
    chosen, step = choose_step(Central(0.5), cubic, np.linspace(-1, 1, 50), sigma)
    assert chosen.h == pytest.approx((3 * sigma) ** (1 / 3), rel=0.01)
    assert step.noise_error == pytest.approx(np.sqrt(2) * step.bend_error, rel=0.01)


def test_a_pair_that_differs_takes_a_larger_step():
    one = make_curve(FINE, np.tanh(FINE), 0.0)
    other = make_curve(FINE, np.tanh(1.1 * FINE), 0.0)
    alike, _ = choose_step(Paired(0.5, RANGE), one, DATA, 0.005, one)
    unlike, step = choose_step(Paired(0.5, RANGE), one, DATA, 0.005, other)
    assert unlike.h > 1.2 * alike.h
    assert step.mismatch == pytest.approx(rms(np.tanh(DATA) - np.tanh(1.1 * DATA)), rel=0.01)
    assert "mismatch" in str(step)


def test_agreement_tells_direction_size_and_error_apart():
    g = np.array([1.0, 2.0, 3.0])
    assert agreement(2 * g, g) == pytest.approx((1, 2, rms(g)))
    assert agreement(np.array([2.0, -1.0, 0.0]), g).cosine == pytest.approx(0, abs=1e-12)
    assert agreement(0 * g, g) == pytest.approx((0, 0, rms(g)))
    with pytest.raises(ValueError, match="no slope"):
        agreement(g, 0 * g)
