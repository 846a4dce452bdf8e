"""Response curves: smoothed by their noise, shape kept, nothing assumed monotone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device.curve import CurveError, average, compare, make_curve, sweep_curve
from device.curve_smoothing import MOST_KNOTS, noise, smooth

X = np.linspace(-3.3, 3.3, 121)
TWICE = np.concatenate((X, X[::-1]))
INSIDE = np.linspace(-3, 3, 301)
SHAPES = {
    "tanh": (np.tanh, lambda x: 1 / np.cosh(x) ** 2),
    "peak": (lambda x: 1 / np.cosh(x), lambda x: -np.tanh(x) / np.cosh(x)),
    "wave": (lambda x: np.sin(2 * x), lambda x: 2 * np.cos(2 * x)),
}
shapes = pytest.mark.parametrize("shape", SHAPES)


def noisy(f, sigma, seed=0, x=TWICE):
    return f(x) + sigma * np.random.default_rng(seed).normal(size=len(x))


def rms(values):
    return float(np.sqrt(np.mean(np.square(values))))


@shapes
def test_exact_points_are_met_exactly_and_their_slope_closely(shape):
    f, slope = SHAPES[shape]
    curve = make_curve(X, f(X), 0.0)
    assert np.abs(curve(X) - f(X)).max() < 1e-12
    assert rms(curve.slope(INSIDE) - slope(INSIDE)) < 0.02
    assert curve.rms < 1e-12


@shapes
@pytest.mark.parametrize("sigma", [0.003, 0.03, 0.1])
def test_smoothing_takes_off_most_of_the_noise_and_its_errors_say_what_is_left(shape, sigma):
    f, slope = SHAPES[shape]
    wrong, slopes, chi2, chi2_slope = [], [], [], []
    for seed in range(20):
        curve = make_curve(TWICE, noisy(f, sigma, seed), sigma)
        off = curve(INSIDE) - f(INSIDE)
        wrong.append(rms(off))
        off_slope = curve.slope(INSIDE) - slope(INSIDE)
        slopes.append(rms(off_slope))
        chi2_slope.append(rms(off_slope / curve.slope_error(INSIDE)) ** 2)
        chi2.append(rms(off / np.interp(INSIDE, curve.x, curve.sigma_y)) ** 2)
    assert np.mean(wrong) < 0.5 * sigma  # a mean of two readings has 0.7
    assert np.mean(slopes) < 2.0 * sigma**0.75
    assert 0.5 < np.mean(chi2) < 2
    if sigma > 0.01:  # below, what PCHIP makes between two points is as large
        assert 0.3 < np.mean(chi2_slope) < 2.5


def test_a_curve_knows_the_noise_that_nobody_told_it():
    for sigma in (0.002, 0.02, 0.1):
        found = [noise(TWICE, noisy(np.tanh, sigma, seed)) for seed in range(20)]
        assert np.mean(found) == pytest.approx(sigma, rel=0.15)
    once = [noise(X, noisy(np.tanh, 0.02, seed, X)) for seed in range(20)]
    assert np.mean(once) == pytest.approx(0.02, rel=0.15)


def test_hysteresis_is_not_taken_for_noise():
    loop = np.concatenate((np.tanh(X - 0.3), np.tanh(X[::-1] + 0.3)))
    assert noise(TWICE, loop + noisy(lambda x: 0 * x, 0.003)) < 0.006


@settings(max_examples=30)
@given(st.lists(st.floats(-5, 5), min_size=4, max_size=12))
def test_between_two_exact_points_a_curve_neither_overshoots_nor_turns(values):
    x = np.arange(len(values), dtype=float)
    curve = make_curve(x, np.array(values), 0.0)
    for left in range(len(values) - 1):
        part = curve(np.linspace(left, left + 1, 41))
        low, high = sorted(values[left : left + 2])
        assert part.min() >= low - 1e-9 and part.max() <= high + 1e-9
        steps = np.diff(part) * np.sign(values[left + 1] - values[left])
        assert steps.min() >= -1e-9


def test_a_jump_stays_a_jump():
    curve = make_curve(TWICE, noisy(np.sign, 0.005), 0.005)
    assert rms(curve(INSIDE[np.abs(INSIDE) > 0.15]) ** 2 - 1) < 0.01
    assert curve(np.array([0.06]))[0] - curve(np.array([-0.06]))[0] > 1.8


@settings(max_examples=20)
@given(st.floats(1e-9, 1e6), st.floats(1e-6, 1e6), st.floats(-100, 100))
def test_a_curve_does_not_depend_on_the_units_of_x_and_y(scale_x, scale_y, shift):
    x = X + shift
    y = noisy(np.tanh, 0.02, 3, X)
    one = make_curve(x, y, 0.02)
    other = make_curve(x * scale_x, y * scale_y, 0.02 * scale_y)
    assert other.y == pytest.approx(one.y * scale_y, rel=1e-3, abs=1e-3 * scale_y)
    assert other.freedom == pytest.approx(one.freedom, rel=1e-2)


def test_a_straight_line_is_not_rough():
    found = smooth(X, 2 + 3 * X, np.full(121, 0.1))
    assert found.y == pytest.approx(2 + 3 * X, abs=1e-6)
    assert found.freedom < 3


def test_more_points_than_it_can_smooth_are_merged_and_nothing_is_lost():
    x = np.linspace(-3, 3, 5001)
    curve = make_curve(x, noisy(np.tanh, 0.05, x=x), 0.05)
    assert len(curve.x) == MOST_KNOTS
    assert rms(curve(INSIDE) - np.tanh(INSIDE)) < 0.006
    assert len(curve.residuals) == 5001
    assert curve.rms == pytest.approx(0.05, rel=0.05)


def test_outside_its_range_a_curve_is_what_it_is_at_the_edge():
    curve = make_curve(X, np.tanh(X), 0.0)
    assert curve(np.array([-9.0, 9.0])) == pytest.approx(np.tanh([-3.3, 3.3]))
    assert curve.slope(np.array([9.0])) == curve.slope(np.array([3.3]))


def test_a_table_for_training_is_the_curve_on_a_uniform_grid():
    curve = make_curve(TWICE, noisy(np.sin, 0.01), 0.01)
    table = curve.table(-3, 2)
    assert (table.low, table.high) == (-3, 2)
    assert table.y == pytest.approx(curve(table.x))
    assert table.g == pytest.approx(curve.slope(table.x))
    assert np.diff(table.x) == pytest.approx(5 / (len(table.x) - 1))


def test_curves_of_the_same_response_differ_by_their_noise_alone():
    one, two = (make_curve(TWICE, noisy(np.tanh, 0.02, seed), 0.02) for seed in (1, 2))
    same = compare(one, two)
    assert 0.1 < same.chi2 < 4
    assert same.rms < 0.02
    other = compare(one, make_curve(TWICE, noisy(lambda x: np.tanh(x - 0.2), 0.02, 3), 0.02))
    assert other.chi2 > 30
    assert other.largest == pytest.approx(0.2, abs=0.03)
    assert abs(other.at) < 0.5


def test_the_mean_of_several_curves_is_nearer_and_says_how_they_scatter():
    shifts = (-0.1, 0.0, 0.1)
    curves = [
        make_curve(TWICE, noisy(lambda x, s=s: np.tanh(x - s), 0.03, i), 0.03)
        for i, s in enumerate(shifts)
    ]
    mean, scatter = average(curves)
    assert rms(mean(INSIDE) - np.tanh(INSIDE)) < 0.012
    assert mean.sigma_y.mean() < 0.75 * curves[0].sigma_y.mean()
    assert 0.02 < scatter < 0.06
    assert len(mean.raw_x) == 3 * len(TWICE)
    assert average(curves[:1])[1] == 0


def test_the_mean_keeps_to_the_common_range():
    wide = make_curve(X, np.tanh(X), 0.0)
    narrow = make_curve(X / 2, np.tanh(X / 2), 0.0)
    mean, _ = average([wide, narrow])
    assert (mean.low, mean.high) == (narrow.low, narrow.high)


@pytest.mark.parametrize(
    ("x", "y", "said"),
    [
        ([0, 1, 2, 3], [0, 1, 2], "same length"),
        ([0, 1, 2, np.nan], [0, 1, 2, 3], "not finite"),
        ([0, 0, 1, 1, 2], [0, 1, 2, 3, 4], "3 different x"),
    ],
)
def test_points_that_make_no_curve_are_refused(x, y, said):
    with pytest.raises(CurveError, match=said):
        make_curve(np.array(x, float), np.array(y, float))


def test_curves_without_a_common_range_or_with_other_units_are_not_compared():
    one = make_curve(X, np.tanh(X), 0.0)
    with pytest.raises(CurveError, match="common range"):
        compare(one, make_curve(X + 100, np.tanh(X), 0.0))
    with pytest.raises(CurveError, match="different units"):
        compare(one, make_curve(X, np.tanh(X), 0.0, y_unit="ohm"))
    with pytest.raises(CurveError, match="no curves"):
        average([])


def test_a_sweep_makes_a_curve_of_its_activation():
    from device import calibrate
    from instruments import Bench

    with Bench.open() as bench:
        calibration, data = calibrate(bench, "J1")
    curve = sweep_curve(data, calibration, scale_a=2 * calibration.unit_width_a)
    x = np.linspace(-1.4, 1.4, 51)
    assert rms(curve(x) - np.tanh(2 * x)) < 0.02
    assert curve.noise == pytest.approx(calibration.sigma_x, rel=0.3)
    assert "J1" in curve.source
