"""Noise of readings: densities, what a window passes, what wanders, and the free layer's motion.

Each test names its formula and source.  Where a number is estimated from n independent values, its
tolerance is at least four standard errors (relative 4 sqrt(2/n) for a variance), and the draws are
the same every time.
"""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from sim_backend.flicker import RATIO, Flicker, flicker_rates_per_s
from sim_backend.llg import equilibrium, fluctuation, gradient
from sim_backend.llg.ensemble import Ensemble
from sim_backend.llg.fast_read import MOST_STEPS, largest_step_s, llg_reading
from sim_backend.llg.model import BOLTZMANN_J_PER_K, GAMMA_RAD_PER_S_T
from sim_backend.llg.motion import relax
from sim_backend.llg.ranges import ParameterError
from sim_backend.read_noise import (
    CHARGE_C,
    NoiseParameters,
    ReadNoise,
    barrier_density_a2_per_hz,
    conductance_deviation_s,
)
from sim_backend.readout import ReferenceLayer

few = settings(max_examples=20, deadline=None, derandomize=True, database=None)
AREA_M2 = math.pi / 4 * 250e-9**2
#: currents at which the default junction is upright, canted and near to the plane
CURRENT_A = np.array([0.0, 0.006, 0.012])


def reader(seed=0, temperature_k=300.0, **parameters):
    given_ = NoiseParameters(**parameters)
    return ReadNoise(given_, seed, "J1/x", area_m2=AREA_M2, temperature_k=temperature_k)


# -- white noise of the barrier -------------------------------------------------------------------


def test_johnson_noise_without_a_voltage():
    """S = 4kT/R (Nyquist, Phys. Rev. 32, 110 (1928)), exact at V = 0, and to (eV/2kT)²/3 near."""
    nyquist = 4 * BOLTZMANN_J_PER_K * 300 / 10e3
    for fano in (0.0, 0.5, 1.0):
        assert barrier_density_a2_per_hz(1e-4, 0.0, 300, fano) == pytest.approx(nyquist, rel=1e-12)
    assert barrier_density_a2_per_hz(1e-4, 1e-8, 300) == pytest.approx(nyquist, rel=1e-12)
    assert barrier_density_a2_per_hz(1e-4, 1e-9, 300) == pytest.approx(nyquist, rel=1e-12)


def test_shot_noise_at_large_voltages():
    """S = F 2eI for eV >> kT (Schottky, Ann. Phys. 362, 541 (1918)): to exp(-eV/kT), and the part
    (1-F) 4kT/R of Blanter and Büttiker, Phys. Rep. 336, 1 (2000), eq. 61; alone at T = 0."""
    g, v = 1e-4, 1.0
    assert barrier_density_a2_per_hz(g, v, 300) == pytest.approx(2 * CHARGE_C * g * v, rel=1e-12)
    assert barrier_density_a2_per_hz(g, -v, 0) == pytest.approx(2 * CHARGE_C * g * v, rel=1e-12)
    third = 2 * CHARGE_C * g * v / 3 + 4 * BOLTZMANN_J_PER_K * 300 * g * 2 / 3
    assert barrier_density_a2_per_hz(g, v, 300, 1 / 3) == pytest.approx(third, rel=1e-12)


@few
@given(v=st.floats(-1, 1), t=st.floats(0, 400), g=st.floats(1e-9, 1e-2))
def test_shot_and_johnson_noise_in_one(v, t, g):
    """S lies between max and sum of 2eI and 4kT/R: x coth x of Rogovin and Scalapino, Ann. Phys.
    86, 1 (1974), is between max(1, |x|) and 1 + |x|; rounding 1e-12."""
    shot, heat = 2 * CHARGE_C * abs(v) * g, 4 * BOLTZMANN_J_PER_K * t * g
    found = barrier_density_a2_per_hz(g, v, t)
    assert max(shot, heat) * (1 - 1e-12) <= found <= (shot + heat) * (1 + 1e-12)


def test_the_window_is_the_bandwidth():
    """Variance S/(2t): the bandwidth 1/(2t) of a rectangular window, and so the Allan variance
    S/(2t) that falls with 1/t (Allan, Proc. IEEE 54, 221 (1966)).  n = 20000: 4 %."""
    n = 20_000
    for window in (1e-3, 20e-3):
        noise = reader(johnson_shot=True).readings(0, window * np.arange(n), window, 1e-4, 0.02)
        variance = float(barrier_density_a2_per_hz(1e-4, 0.02, 300)) / (2 * window)
        assert noise.var() == pytest.approx(variance, rel=0.04)
        for group in (1, 16):
            means = noise.reshape(-1, group).mean(1)
            allan = (np.diff(means) ** 2).mean() / 2
            # Neighbouring differences share a value: 3 n for 2 n (Lesage and Audoin, 1973).
            assert allan == pytest.approx(variance / group, rel=4 * math.sqrt(3 * group / n))


# -- 1/f ------------------------------------------------------------------------------------------


def density(rates, level, f):
    """One-sided, at f [F]: Σ 4 v λ/(λ² + (2πf)²)."""
    v = level * math.log(RATIO)
    return (4 * v * rates / (rates**2 + (2 * math.pi * f[:, None]) ** 2)).sum(1)


def test_a_sum_of_rates_makes_one_over_f():
    """Σ 4v λ/(λ² + ω²) = h/f (van der Ziel, Physica 16, 359 (1950)) over ten decades: within 0.6 %
    from end to end and 0.4 % a decade inside; below, level; above, as 1/f²."""
    rates = flicker_rates_per_s(1e-5, 1e5)
    f = np.geomspace(1e-5, 1e5, 4001)
    ripple = np.abs(density(rates, 2.0, f) * f / 2.0 - 1)
    assert ripple.max() <= 6e-3
    assert ripple[400:-400].max() <= 4e-3
    ends = density(rates, 2.0, np.array([1e-9, 2e-9, 1e9, 2e9]))
    assert ends[0] == pytest.approx(ends[1], rel=1e-3)
    assert ends[2] == pytest.approx(4 * ends[3], rel=1e-3)


def test_readings_have_a_spectrum_of_one_over_f():
    """S_I = α_H I²/(A f) (Hooge, Phys. Lett. A 29, 139 (1969)) of readings in a row, over five
    decades from 0.4 mHz to 60 Hz by three lengths of the window.  64 periodograms with 4 to 32 bins
    an octave: octaves within 35 to 12 % (4 errors, neighbours of Hann's window sharing a half),
    exponent -1 within 0.02 and level within 6 % (4 errors)."""
    hooge, g, v = 1e-19, 1e-4, 0.02
    octaves, ratio = [], []
    for window in (1e-3, 0.1, 10.0):
        noise = reader(hooge_m2=hooge).readings(0, window * np.arange(2**16), window, g, v)
        pieces = noise.reshape(64, 1024)
        hann = np.hanning(1024)
        pieces = (pieces - pieces.mean(1, keepdims=True)) * hann
        power = (np.abs(np.fft.rfft(pieces)) ** 2).mean(0) * 2 * window / (hann**2).sum()
        f = np.fft.rfftfreq(1024, window)
        for low in (4, 8, 16, 32):
            at = slice(low, 2 * low)
            target = hooge * (g * v) ** 2 / AREA_M2 / f[at]
            octaves.append(f[at].mean())
            ratio.append((power[at] / target).mean())
            assert abs(ratio[-1] - 1) <= 4 * math.sqrt(2 / (64 * low))
    slope, level = np.polyfit(np.log(octaves), np.log(ratio), 1)
    assert abs(slope) <= 0.02
    assert abs(level) <= 0.06


def test_longer_readings_do_not_help_against_one_over_f():
    """Allan variance 2 ln2 h at any averaging time (Allan, Proc. IEEE 54, 221 (1966)), where white
    noise falls with its inverse: within 10 % for groups of 1 to 64, 4 errors for n/64 = 2048."""
    window, n = 20e-3, 2**17
    wanders = Flicker(7, 1e-6, 1e-4, 1e5)
    delta = wanders.means(0, np.r_[np.inf, np.zeros(n - 1)], window)
    for group in (1, 4, 16, 64):
        means = delta.reshape(-1, group).mean(1)
        allan = (np.diff(means) ** 2).mean() / 2
        assert allan == pytest.approx(2 * math.log(2) * 1e-6, rel=0.1)


def test_windows_and_gaps_have_the_exact_covariance():
    """Each process e^(-λ|s|) v: variance of the mean over a window t, 2v (u - 1 + e^-u)/u², and
    covariance of two windows a gap g apart, v e^(-λg) ((1 - e^-u)/u)² with u = λt (Gillespie, Phys.
    Rev. E 54, 2084 (1996)), summed over rates from far below to far above 1/t.  n = 40000 pairs,
    each begun afresh: 3 % of the variance."""
    window, gap, n = 0.3, 0.5, 40_000
    wanders = Flicker(3, 1.0, 1e-3, 1e3)
    delta = wanders.means(0, np.tile([np.inf, gap], n), window).reshape(n, 2)
    rates = flicker_rates_per_s(1e-3, 1e3)
    u, v = rates * window, math.log(RATIO)
    variance = (2 * v * (u + np.expm1(-u)) / u**2).sum()
    covariance = (v * np.exp(-rates * gap) * (np.expm1(-u) / u) ** 2).sum()
    found = np.cov(delta.T)
    assert found[0, 0] == pytest.approx(variance, rel=0.03)
    assert found[1, 1] == pytest.approx(variance, rel=0.03)
    assert found[0, 1] == pytest.approx(covariance, abs=0.03 * variance)


# -- telegraph noise ------------------------------------------------------------------------------


def test_a_defect_switches_the_conductance():
    """Slow against the window: two levels a ``telegraph_step`` apart, with the mean 0 and the
    variance step² p(1-p), p = on/(on + off) (Machlup, J. Appl. Phys. 25, 341 (1954)).  n = 4000,
    every 10 correlation times: 4 errors of the share are 0.028."""
    slow = reader(telegraph_step=0.01, telegraph_on_hz=3.0, telegraph_off_hz=1.0)
    noise = slow.readings(0, 2.5 * np.arange(4000), 1e-6, 1e-4, 0.02) / 2e-6
    low, high = noise.min(), noise.max()
    assert high - low == pytest.approx(0.01, rel=1e-9)
    assert (np.isclose(noise, low) | np.isclose(noise, high)).mean() >= 0.99
    assert np.isclose(noise, high).mean() == pytest.approx(0.75, abs=0.028)
    assert high == pytest.approx(0.01 * 0.25, rel=1e-9)


def test_a_fast_defect_is_white_noise():
    """Fast against the window: variance 2 step² p(1-p)/((on + off) t), the density at f = 0
    (Machlup 1954) through the window.  n = 4000: 9 %."""
    fast = reader(telegraph_step=0.01, telegraph_on_hz=3e4, telegraph_off_hz=1e4)
    noise = fast.readings(0, 0.1 * np.arange(4000), 20e-3, 1e-4, 0.02) / 2e-6
    variance = 2 * 0.01**2 * 0.75 * 0.25 / (4e4 * 20e-3)
    assert noise.var() == pytest.approx(variance, rel=0.09)


# -- a barrier's readings -------------------------------------------------------------------------

EVERYTHING = {
    "johnson_shot": True, "hooge_m2": 1e-20, "telegraph_step": 1e-3, "telegraph_on_hz": 20.0,
    "telegraph_off_hz": 500.0, "magnetisation": True,
}  # fmt: skip


def test_without_a_word_there_is_no_noise():
    """All zeros, exactly, whatever the layer does; and none of a barrier that is not joined."""
    times = np.arange(50.0)
    assert np.array_equal(reader().readings(0, times, 0.02, 1e-4, 0.02, 1e-6), np.zeros(50))
    silent = reader(**EVERYTHING).readings(0, times, 0.02, 0.0, 0.02)
    assert np.array_equal(silent, np.zeros(50))


@few
@given(cuts=st.lists(st.integers(0, 60), max_size=6), seed=st.integers(0, 5))
def test_noise_does_not_depend_on_how_readings_are_grouped(cuts, seed):
    """Bit for bit, for any cuts of 60 readings at uneven times, with every source on."""
    rng = np.random.default_rng(seed)
    start = np.cumsum(0.02 + rng.exponential(0.1, 60))
    conductance, deviation = rng.uniform(5e-5, 1e-4, 60), rng.uniform(0, 1e-8, 60)
    whole = reader(seed, **EVERYTHING).readings(9, start, 0.02, conductance, 0.02, deviation)
    edges = [0, *sorted(cuts), 60]
    cut = reader(seed, **EVERYTHING)
    parts = [
        cut.readings(9 + a, start[a:b], 0.02, conductance[a:b], 0.02, deviation[a:b])
        for a, b in pairwise(edges)
    ]
    assert np.array_equal(np.concatenate(parts), whole)


def test_each_source_has_numbers_of_its_own():
    """Sources add up, so that switching one on leaves the others as they are: to rounding.  Another
    barrier or seed has other noise."""
    times = 0.1 * np.arange(40)
    alone = [
        {"johnson_shot": True}, {"magnetisation": True}, {"hooge_m2": 1e-20},
        {n: EVERYTHING[n] for n in ("telegraph_step", "telegraph_on_hz", "telegraph_off_hz")},
    ]  # fmt: skip
    parts = [reader(**one).readings(0, times, 0.02, 1e-4, 0.02, 1e-9) for one in alone]
    assert all(np.any(part) for part in parts)
    whole = reader(**EVERYTHING).readings(0, times, 0.02, 1e-4, 0.02, 1e-9)
    np.testing.assert_allclose(whole, sum(parts), rtol=0, atol=1e-12 * np.abs(whole).max())
    other = ReadNoise(
        NoiseParameters(**EVERYTHING), 0, "J2/x", area_m2=AREA_M2, temperature_k=300
    ).readings(0, times, 0.02, 1e-4, 0.02, 1e-9)
    assert not np.any(other == whole)
    assert not np.any(
        reader(1, **EVERYTHING).readings(0, times, 0.02, 1e-4, 0.02, 1e-9) == whole
    )  # fmt: skip


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"hooge_m2": -1e-20}, "-1e-20 m^2 is out of range; it must be at least 0 m^2"),
        ({"telegraph_step": 1.5}, "1.5 is out of range; it must be at least 0 and at most 1"),
        ({"telegraph_on_hz": 0.0}, "0 Hz is out of range; it must be at least 1e-06 Hz"),
        ({"fano": math.nan}, "nan is out of range"),
        ({"hooge_low_hz": 1.0, "hooge_high_hz": 2.0}, "it must be at least 10 times hooge_low_hz"),
    ],
)
def test_bad_parameters_get_a_sentence(wrong, words):
    """Field, value and range."""
    with pytest.raises(ValidationError) as error:
        NoiseParameters(**wrong)
    first = error.value.errors()[0]
    assert words in first["msg"]
    assert first["loc"] == (next(iter(wrong)),) if len(wrong) == 1 else first["loc"] == ()


def test_a_meter_reads_one_thing_at_a_time():
    """A window that begins before the last has ended is refused, and changes nothing."""
    one = reader(**EVERYTHING)
    one.readings(0, [0.0, 0.02], 0.02, 1e-4, 0.02)
    with pytest.raises(ParameterError, match=r"start_s is 0\.03 s at index 0; it must be at least"):
        one.readings(2, [0.03], 0.02, 1e-4, 0.02)
    other = reader(**EVERYTHING)
    other.readings(0, [0.0, 0.02], 0.02, 1e-4, 0.02)
    last = [r.readings(2, [0.04], 0.02, 1e-4, 0.02) for r in (one, other)]
    assert np.array_equal(*last)


# -- thermal motion in a well ---------------------------------------------------------------------

#: so large that kT is below 1e-3 of the well's curvature
LARGE = {"volume_m3": math.pi / 4 * 1e-6**2 * 1.4e-9, "alpha": 0.1}
TORQUE = {"ky_t": 3e-3, "damping_like_x_t": 2e-4, "damping_like_z_t": 1e-4}


@pytest.mark.parametrize("more", [{}, TORQUE])
def test_rest_states_near_an_average(more):
    """Newton's method from 0.1 rad off comes to where the equation of motion rests, to 1e-9, and
    knows a well from a saddle: with k = 4 mT and no field, (1, 0, 0) is none."""
    one = Ensemble(**more)
    exact = relax(one, CURRENT_A, tolerance=1e-12).m
    off = exact + np.array([0.05, 0.08, -0.03])
    rest = fluctuation.rest_near(one.fields(CURRENT_A), off)
    assert rest.stable.all()
    np.testing.assert_allclose(rest.m, exact, rtol=0, atol=1e-9)
    bare = Ensemble(hz_t=0.0, k2_t=0.0).fields(np.zeros(1))
    assert not fluctuation.rest_near(bare, np.array([1.0, 0.0, 0.0])).stable.any()
    with pytest.raises(ParameterError, match="no stable rest state next to it"):
        fluctuation.density_per_hz(bare, np.array([1.0, 0.0, 0.0]))


def test_the_torque_at_its_threshold_ends_the_well():
    """a_c = α(k + Bz + ky/2) for a torque away from +z (Sun, Phys. Rev. B 62, 570 (2000)): a layer
    along z is stable 0.1 % below and unstable 0.1 % above."""
    threshold = 0.02 * (4e-3 + 1.36e-3 + 1e-3)
    for part, stable in ((0.999, True), (1.001, False)):
        one = Ensemble(ky_t=2e-3, damping_like_z_t=-part * threshold)
        rest = fluctuation.rest_near(one.fields(np.zeros(1)), np.array([0.0, 0.0, 1.0]))
        assert rest.stable.all() == stable


def test_the_mean_in_the_well_is_laplace_s():
    """Mean to first order in T, from second-order motion about the rest state: the same as the
    planar expansion of the energy, to 1e-9."""
    f = Ensemble(ky_t=2e-3).fields(np.array([-0.02, 0.0, 0.006, 0.012]))
    exact = equilibrium.mean(f)
    np.testing.assert_allclose(fluctuation.mean(f, exact), exact, rtol=0, atol=1e-9)


def test_short_windows_see_equipartition():
    """t → 0: covariance T χ, χ = dm/db (static fluctuation theorem; Kubo, Rep. Prog. Phys. 29, 255
    (1966)), at 1e-6 of a kelvin, where all is linear: to 1e-6."""
    f = Ensemble(ky_t=2e-3, temperature_k=1e-6).fields(CURRENT_A)
    m = equilibrium.mean(f)
    expected = f.thermal_t[..., None, None] * gradient.susceptibility_per_t(f, m)
    found = fluctuation.window_covariance(f, m, 1e-15)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6 * np.abs(expected).max())


@pytest.mark.parametrize("more", [{"ky_t": 2e-3}, TORQUE, {"alpha": 0.9}])
def test_long_windows_see_the_thermal_field_through_the_susceptibility(more):
    """S = 4α T/γ χ χᵀ (Brown, Phys. Rev. 130, 1677 (1963), through χ; Smith and Arnett, Appl. Phys.
    Lett. 78, 1448 (2001)), one-sided, and S/(2t): at 1e-6 of a kelvin, with and without torque, to
    1e-5."""
    one = Ensemble(temperature_k=1e-6, **more)
    f = one.fields(CURRENT_A)
    m = relax(one, CURRENT_A, tolerance=1e-12).m
    chi = gradient.susceptibility_per_t(f, m)
    noise = 4 * f.alpha * f.thermal_t / GAMMA_RAD_PER_S_T
    expected = noise[..., None, None] * chi @ np.swapaxes(chi, -1, -2)
    near = {"rtol": 0, "atol": 1e-5 * np.abs(expected).max()}
    np.testing.assert_allclose(fluctuation.density_per_hz(f, m), expected, **near)
    window = 0.02
    found = fluctuation.window_covariance(f, m, window) * 2 * window
    np.testing.assert_allclose(found, expected, **near)


@few
@given(
    ky=st.floats(0, 5e-3), current=st.floats(-0.02, 0.02), alpha=st.floats(0.005, 1.0),
    window=st.floats(-9, -3),
)  # fmt: skip
def test_longer_windows_see_less(ky, current, alpha, window):
    """Covariances are positive, and the variance falls with the window (which passes
    less and less of the density); rounding 1e-9."""
    f = Ensemble(ky_t=ky, alpha=alpha).fields(np.array([current]))
    m = equilibrium.mean(f)
    short = fluctuation.window_covariance(f, m, 10**window)
    long = fluctuation.window_covariance(f, m, 3 * 10**window)
    top = np.linalg.eigvalsh(short).max()
    assert np.linalg.eigvalsh(long).min() >= -1e-9 * top
    assert np.trace(long[0, 0]) <= np.trace(short[0, 0]) * (1 + 1e-9)


def blocks(junctions, windows, window_s, settle_s):
    """Readings one after the other by the equation of motion: [windows, N, P, 3]; fields, rest."""
    one = junctions[:1]
    m = start = relax(one, CURRENT_A).m
    step, means = 0, []
    for number in range(windows):
        run = llg_reading(
            junctions, CURRENT_A, window_s, seed=11, start=start, first_step=step,
            settle_s=0.0 if number else settle_s,
        )  # fmt: skip
        start, step = run.last, run.next_step
        means.append(run.mean)
    return np.array(means), one.fields(CURRENT_A), m


@pytest.mark.parametrize("more", [{}, TORQUE])
def test_slow_readings_agree_with_the_equation_of_motion(more):
    """Means within 4 standard errors and second-order terms of 3e-5, variances of x, y, z within
    8 % for windows of 0.1 µs (8192 of them: 4 errors 6 %, and second order 2 %), where windows of
    0.4 µs fall by a factor of 4 to within 14 %; kT below 1e-3 of the curvature, with and without
    torque.  The relaxation time is 20 ns."""
    got, f, m = blocks(Ensemble(k_t=np.full(512, 4e-3), **(LARGE | more)), 16, 0.1e-6, 0.2e-6)
    error = got.mean(0).std(0) / math.sqrt(512)
    assert (np.abs(got.mean((0, 1)) - fluctuation.mean(f, m)[0]) <= 4 * error + 3e-5).all()
    for group, tolerance in ((1, 0.08), (4, 0.14)):
        means = got.reshape(-1, group, 512, 3, 3).mean(1).reshape(-1, 3, 3)
        exact = fluctuation.window_covariance(f, m, 0.1e-6 * group)[0]
        variance = np.diagonal(exact, axis1=-2, axis2=-1)
        np.testing.assert_allclose(means.var(0), variance, rtol=tolerance)


def test_slow_readings_of_the_default_junction():
    """Its kT is 1 % of the curvature and its motion anharmonic: means within 1.5e-3, standard
    deviations of x, y, z within 17 % at 1 µs, where the linear part alone is off by 5 for
    z near the plane (8192 readings: 4 errors 3 %)."""
    got, f, m = blocks(Ensemble(alpha=np.full(512, 0.02)), 16, 1e-6, 0.5e-6)
    assert np.abs(got.mean((0, 1)) - fluctuation.mean(f, m)[0]).max() <= 1.5e-3
    covariance = fluctuation.window_covariance(f, m, 1e-6)[0]
    expected = np.sqrt(np.diagonal(covariance, axis1=-2, axis2=-1))
    found = got.reshape(-1, 3, 3).std(0)
    np.testing.assert_allclose(found, expected, rtol=0.17)
    chi = gradient.susceptibility_per_t(f, m)[0]
    noise = 4 * f.alpha * f.thermal_t / GAMMA_RAD_PER_S_T / 2e-6
    linear = np.sqrt(noise[0, :, None] * (chi**2).sum(-1))
    assert found[2, 2] > 5 * linear[2, 2]


def test_slow_readings_by_the_equation_of_motion_are_refused():
    """More than 1e7 steps: a sentence that names the way to go, and the longest window."""
    one = Ensemble()
    longest = MOST_STEPS * largest_step_s(one, CURRENT_A)
    with pytest.raises(ParameterError, match=r"window_s is 0\.02 s .*window_covariance"):
        llg_reading(one, CURRENT_A, 0.02)
    assert 1e-5 < longest < 0.02


def test_the_step_of_a_fast_reading_keeps_the_averages():
    """γ' B dt <= 0.2 and 2αγ' T dt <= 4e-3, one of them met exactly."""
    for one in (Ensemble(), Ensemble(volume_m3=1e-25, alpha=1.0)):
        step = largest_step_s(one, CURRENT_A)
        alpha = one.array("alpha")
        scale = GAMMA_RAD_PER_S_T * step / (1 + alpha**2)
        turn = (scale * one.largest_t(CURRENT_A)).item() / 0.2
        heat = (2 * alpha * scale * one.thermal_t).item() / 4e-3
        assert max(turn, heat) == pytest.approx(1, rel=1e-12)


def test_the_motion_is_seen_through_the_magnetoresistance():
    """A stiff reference layer along p: dG = TMR/(2(1 + TMR) R_P) d(m·p) (Slonczewski, Phys. Rev. B
    39, 6995 (1989)); to 1e-6.  Without a stable rest state: 0."""
    layer = ReferenceLayer(angle_rad=math.pi / 2, h_ref_t=10.0, tmr=1.0, v_half_v=100.0)
    f = Ensemble().fields(CURRENT_A)[0]
    m = equilibrium.mean(f)
    found = conductance_deviation_s(layer, f, m, np.zeros(3), 0.0, 20e-3)
    covariance = fluctuation.window_covariance(f, m, 20e-3)
    np.testing.assert_allclose(
        found, np.sqrt(covariance[:, 0, 0]) / (4 * layer.r_parallel_ohm), rtol=1e-6
    )
    flat = Ensemble(hz_t=0.0, k2_t=0.0).fields(np.zeros(1))[0]
    along = np.array([[1.0, 0.0, 0.0]])
    assert conductance_deviation_s(layer, flat, along, np.zeros(3), 0.0, 20e-3)[0] == 0
