"""Two wells with thermal motion, the rates between them, and the chain of hops in time.

Fields in units of k where nothing else is said; T stands for kT/(Ms V).
"""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim_backend.llg import chain, equilibrium, response, sphere, thermal
from sim_backend.llg.chain import Chain
from sim_backend.llg.ensemble import Ensemble
from sim_backend.llg.fields import Fields
from sim_backend.llg.model import BOLTZMANN_J_PER_K, FreeLayer
from sim_backend.llg.model import GAMMA_RAD_PER_S_T as GAMMA
from sim_backend.llg.motion import evolve
from sim_backend.llg.ranges import ParameterError
from sim_backend.llg.wells import wells
from sim_backend.noise import stream_key

FEW = settings(max_examples=30, deadline=None, derandomize=True)


def fields(k, ky, b, k2=0.0, thermal_t=0.05, alpha=0.1):
    k, ky, k2, t, alpha = (np.asarray(value, float) for value in (k, ky, k2, thermal_t, alpha))
    return Fields(k, k2, ky, np.asarray(b, float), np.zeros(3), t, alpha)


# -- averages -------------------------------------------------------------------------------------


@FEW
@given(
    st.floats(0.2, 1), st.floats(-0.05, 1), st.floats(-0.1, 1),
    st.tuples(*[st.floats(-1, 1)] * 3), st.floats(-1.7, 0), st.booleans(),
)  # fmt: skip
def test_both_wells_together_are_boltzmanns_average(k, k2, ky, b, exponent, plane):
    """Σ Z exp(-E/T) <m> over the wells = the average over the whole sphere, by quadrature
    (thermal.boltzmann): 8e-4, for T from 0.02 to 1, one well or two, any direction."""
    b = np.array([b[0], 0.0 if plane else b[1], b[2]])
    exact, _ = thermal.boltzmann(k, k2, ky, b, 10**exponent)
    assert np.abs(wells(fields(k, ky, b, k2, 10**exponent)).mean - exact).max() <= 8e-4


def test_an_easy_plane_is_one_well():
    """k < 0, with and without an easy axis in the plane: Boltzmann's average to 1e-4, no rate."""
    for ky in (0.0, 0.3, -0.3):
        b = np.array([0.1, 0.05, 0.2])
        found = wells(fields(-1.0, ky, b))
        assert found.mean == pytest.approx(thermal.boltzmann(-1.0, 0.0, ky, b, 0.05)[0], abs=1e-4)
        assert found.exists_up and not found.exists_down and found.rate_up_down == 0


def test_the_default_junctions_curve_is_boltzmanns():
    """Against response.boltzmann_mean at 21 currents of the default layer: 1e-4; its bias empties
    the lower well, which the occupation says."""
    layer = FreeLayer()
    current = np.linspace(-0.03, 0.03, 21)
    found = wells(Ensemble.of([layer]).fields(current))
    x, z = response.boltzmann_mean(layer, current)
    assert np.abs(found.mean[0, :, 0] - x).max() <= 1e-4
    assert np.abs(found.mean[0, :, 2] - z).max() <= 1e-4
    assert found.occupation_up.min() > 0.999


def test_a_deep_wells_average_is_laplaces():
    """First order in T over the curvature (equilibrium.average, derived on its own): at
    T = 5e-4 k, by Laplace here, and at 2e-3 k, by quadrature, within (T/k)² times 20."""
    for t in (5e-4, 2e-3):
        volume = BOLTZMANN_J_PER_K * 300 / (1e6 * t * 0.05)
        layer = FreeLayer(k_t=0.05, k2_t=0.02, hz_t=0.02, ky_t=0.01, thickness_m=1e-9,
                          diameter_m=math.sqrt(volume / 1e-9 * 4 / math.pi))  # fmt: skip
        current = np.array([0.0, 0.02, 0.05, 0.1, 0.2])
        theta = equilibrium.angle(layer, current)
        x, z = equilibrium.average(layer, current, theta)
        found = wells(Ensemble.of([layer]).fields(current))
        assert np.abs(found.mean_up[0, :, 0] - x).max() <= 20 * t**2
        assert np.abs(found.mean_up[0, :, 2] - z).max() <= 20 * t**2


def test_the_two_methods_for_a_well_join():
    """Just above and below the change from quadrature to Laplace's method (T = 1e-3 of the
    curvature): averages within 1e-5."""
    for b in ([0.2, 0, 0.1], [0.2, 0.1, -0.1]):
        rest = wells(fields(1.0, 0.1, b, 0.1, 1e-6)).m_up
        edge = 1e-3 * sphere.rest(fields(1.0, 0.1, b, 0.1), rest).curvature_t
        below, above = (wells(fields(1.0, 0.1, b, 0.1, f * edge)) for f in (0.9999, 1.0001))
        assert np.abs(below.mean_up - above.mean_up).max() <= 1e-5


def test_without_temperature_there_are_rest_states_and_no_rates():
    """T = 0: means are the rest states, rates 0, barriers infinite, "up" where it is lower."""
    found = wells(fields(1.0, 0.0, [[0.2, 0, 0.1], [0.2, 0, -0.1], [0.2, 0, 2]], thermal_t=0.0))
    assert np.array_equal(found.mean_up, found.m_up)
    assert np.array_equal(found.mean_down, found.m_down)
    assert found.rate_up_down.tolist() == [0, 0, 0] and found.rate_down_up[:2].tolist() == [0, 0]
    assert found.occupation_up.tolist() == [1, 0, 1]
    assert found.exists_down.tolist() == [True, True, False]


def test_the_wells_end_at_the_astroid():
    """h = (cos^⅔ψ + sin^⅔ψ)^-3/2 (Stoner and Wohlfarth 1948), to 1e-4; beyond it the absent well
    empties at once."""
    for psi in (0.2, 0.8, 1.4):
        h = (math.cos(psi) ** (2 / 3) + math.sin(psi) ** (2 / 3)) ** -1.5
        b = np.outer([h - 1e-4, h + 1e-4], [math.sin(psi), 0, math.cos(psi)])
        found = wells(fields(1.0, 0.0, b))
        assert found.exists_down.tolist() == [True, False] and found.exists_up.all()
        assert found.rate_down_up[1] == np.inf and found.rate_up_down[1] == 0
        assert found.occupation_up[1] == 1


@FEW
@given(st.floats(0, 0.5), st.floats(-0.5, 0.5), st.floats(0, 0.5), st.floats(0, 0.5))
def test_images_have_the_images_wells(bx, bz, k2, ky):
    """x → -x mirrors both wells, z → -z swaps them, rates and all: to 1e-9 and 1e-6."""
    one = wells(fields(1.0, ky, [bx, 0, bz], k2))
    left = wells(fields(1.0, ky, [-bx, 0, bz], k2))
    under = wells(fields(1.0, ky, [bx, 0, -bz], k2))
    assert left.mean_up == pytest.approx(one.mean_up * [-1, 1, 1], abs=1e-9)
    assert left.rate_up_down == pytest.approx(one.rate_up_down, rel=1e-6)
    if one.exists_up and one.exists_down:
        assert under.mean_down == pytest.approx(one.mean_up * [1, 1, -1], abs=1e-6)
        assert under.rate_down_up == pytest.approx(one.rate_up_down, rel=1e-4)


def test_threads_and_company_change_no_bit():
    """200 random points: alone, in any cut, in 1 or 4 threads."""
    r = np.random.default_rng(3)
    f = fields(1.0, r.uniform(0, 1, 200), r.normal(size=(200, 3)) / 2, r.uniform(0, 1, 200))
    one, four = wells(f, threads=1), wells(f, threads=4)
    for name in ("mean_up", "mean_down", "rate_up_down", "occupation_up", "barrier_down"):
        whole = getattr(one, name)
        assert np.array_equal(whole, getattr(four, name))
        assert np.array_equal(whole[37:50], getattr(wells(f[37:50]), name))


# -- rates ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("alpha", [0.01, 0.3])
@pytest.mark.parametrize("delta", [8, 12, 20])
def test_an_axial_layers_rate_is_neels_and_browns(delta, alpha):
    """Mean first passage time of Brown's equation (thermal.neel_brown_rate_hz), for any damping:
    0.5 % for Δ >= 8."""
    found = wells(fields(1.0, 0.0, [0, 0, 0], thermal_t=0.5 / delta, alpha=alpha))
    exact = thermal.neel_brown_rate_hz(1.0, 0.5 / delta, alpha)
    assert found.rate_up_down == pytest.approx(exact, rel=5e-3)
    assert found.rate_down_up == pytest.approx(exact, rel=5e-3)
    assert found.barrier_up == pytest.approx(delta, rel=1e-9)


@pytest.mark.parametrize("h, delta", [(0.3, 40), (0.92, 12500)])
def test_an_axial_field_has_browns_rates(h, delta):
    """Γ = αγ'k sqrt(Δ/π) (1-h²)(1∓h) exp(-Δ(1∓h)²) (Brown 1963, eq. 4.38): 5 % for a barrier of 20
    and of 80 kT, the next order being about its inverse; also next to the astroid."""
    found = wells(fields(1.0, 0.0, [0, 0, h], thermal_t=0.5 / delta, alpha=0.1))
    brown = 0.1 * GAMMA / 1.01 * math.sqrt(delta / math.pi) * (1 - h * h) * (1 - h)
    exponent = -delta * (1 - h) ** 2
    assert found.rate_down_up == pytest.approx(brown * math.exp(exponent), rel=0.05)
    assert found.barrier_down == pytest.approx(-exponent, rel=1e-9)


def test_barriers_in_an_axial_field():
    """E_s - E_w = k/2 (1 ± h/k)² (Stoner-Wohlfarth, along the easy axis): to 1e-9."""
    found = wells(fields(1.0, 0.0, [0, 0, 0.3], thermal_t=0.02))
    assert found.barrier_up == pytest.approx(0.5 * 1.3**2 / 0.02, rel=1e-9)
    assert found.barrier_down == pytest.approx(0.5 * 0.7**2 / 0.02, rel=1e-9)


def test_a_deep_pass_has_langers_rate():
    """Γ = λ₊/2π sqrt(c₁c₂ of the well/|c₁c₂| of the pass) exp(-ΔE/T) (Langer 1969), twice for the
    two passes at ±x of E = -k/2 z² + ky/2 y²: wells k, k + ky; passes -k, ky.  5 % at Δ = 30 (the
    next order is about 1/Δ), α = 1 (no turnover)."""
    k, ky, t, alpha = 1.0, 0.6, 1 / 60, 1.0
    trace, det = ky - k, -k * ky
    plus = (-alpha * trace + math.sqrt((alpha * trace) ** 2 - 4 * (1 + alpha**2) * det)) / 2
    plus *= GAMMA / (1 + alpha**2)
    langer = 2 * plus / (2 * math.pi) * math.sqrt(k * (k + ky) / -det) * math.exp(-k / 2 / t)
    found = wells(fields(k, ky, [0, 0, 0], thermal_t=t, alpha=alpha))
    assert found.rate_up_down == pytest.approx(langer, rel=0.05)


def test_little_damping_brings_kramers_rate_proportional_to_it():
    """Γ → α S x transition-state rate, S T the energy lost in a turn over α (Kramers 1940; Klik and
    Gunther 1990): halving α = 1e-4 halves the rate, to 3 %."""
    slow, slower = (
        wells(fields(1.0, 0.0, [0.3, 0, 0], thermal_t=1 / 24, alpha=a)).rate_up_down
        for a in (1e-4, 5e-5)
    )
    assert slow / slower == pytest.approx(2, rel=0.03)


@FEW
@given(st.floats(0, 0.4), st.floats(-0.3, 0.3), st.floats(0, 0.5), st.floats(-1.5, 0))
def test_detailed_balance(bx, bz, ky, damping):
    """Γ_ud p_up = Γ_du p_down with p ~ Z exp(-E/T), to rounding: 1e-9."""
    found = wells(fields(1.0, ky, [bx, 0.1, bz], thermal_t=0.06, alpha=10**damping))
    if found.exists_up and found.exists_down:
        up = found.occupation_up
        assert found.rate_up_down * up == pytest.approx(found.rate_down_up * (1 - up), rel=1e-9)


@pytest.mark.parametrize(
    "alpha, h, delta, ky",
    [(1.0, 0.3, 12, 0), (0.1, 0.3, 12, 0), (0.03, 0.3, 12, 0), (0.1, 0.02, 6, 0), (0.1, 0, 5, 0.5)],
)
def test_rates_are_those_of_the_equation_of_motion(alpha, h, delta, ky):
    """Share of 3000 noisy LLG spins that have changed sides after a time of 0.35/Γ, with
    2 p_up - 1 ~ exp(-2Γt): 20 % (statistics 4.5 %, the rate's own error up to 15 % at a barrier of
    5 to 6 kT), where Langer's rate alone is off by 2.4 at α = 0.03."""
    k, volume = 0.05, 1e-24
    kelvin = k / 2 / delta * 1e6 * volume / BOLTZMANN_J_PER_K
    spins = Ensemble(
        k_t=np.full(3000, k), k2_t=0.0, hz_t=0.0, ky_t=ky * k, alpha=alpha, temperature_k=kelvin,
        volume_m3=volume, field_constant_t_per_a=1.0,
    )  # fmt: skip
    found = wells(spins[:1].fields([h * k]))
    rate, dt = float(found.rate_up_down[0, 0]), 1.2e-11
    settle = int(3 * (1 + alpha**2) / (alpha * GAMMA * k) / dt)
    steps = int(0.35 / rate / dt)
    start = evolve(spins, [h * k], settle, dt, start=found.m_up[0, 0])
    end = evolve(spins, [h * k], steps, dt, start=start.last, first_step=start.next_step)
    p0, p1 = ((run.last[:, 0, 2] > 0).mean() for run in (start, end))
    assert -math.log((2 * p1 - 1) / (2 * p0 - 1)) / (2 * steps * dt) == pytest.approx(rate, rel=0.2)


# -- the chain ------------------------------------------------------------------------------------


def readings(count, out, back, window, up=True, dwell=None):
    """First readings of many junctions: shares [count] and states after them."""
    shares, after = np.empty(count), np.empty(count)
    for n in range(count):
        one = Chain(stream_key(5, f"test/{n}"), up)
        shares[n] = one.advance(out, back, window if dwell is None else dwell, window)[0]
        after[n] = one.up
    return shares, after


@pytest.mark.parametrize("up", [True, False])
@pytest.mark.parametrize("window", [0.3, 3.0, 60.0])
def test_mean_variance_and_the_state_after_a_window(window, up):
    """A telegraph signal with rates 2 and 1 /s (Machlup 1954): <share> = π + d (1-e)/Γw, its
    variance from the double integral of exp(-Γ|t-s|) and its product with the next state, which
    ``moments`` gives, against 4000 paths or draws: 4 standard errors."""
    shares, after = readings(4000, 2.0, 1.0, window, up)
    mean, variance, product = chain.moments(up, 3.0, 1 / 3, window)
    assert mean == pytest.approx(
        1 / 3 + (up - 1 / 3) * (1 - math.exp(-3 * window)) / (3 * window), rel=1e-12
    )
    n = math.sqrt(len(shares))
    assert abs(shares.mean() - mean) <= 4 * math.sqrt(variance) / n
    spread = ((shares - mean) ** 2).std() / n
    assert abs(((shares - mean) ** 2).mean() - variance) <= 4 * spread
    assert abs((shares * after).mean() - product) <= 4 * (shares * after).std() / n
    assert shares.min() >= 0 and shares.max() <= 1


def test_variance_by_direct_integration():
    """The closed form against the double sum of <x_s x_t> - <x_s><x_t> on a grid: 1e-3."""
    g, share, window, up = 3.0, 0.3, 1.7, True
    t = (np.arange(800) + 0.5) / 800 * window
    p = share + (up - share) * np.exp(-g * t)
    first = np.where(np.less.outer(t, t), p[:, None], p[None, :])  # p at the earlier time
    gap = np.abs(np.subtract.outer(t, t))
    joint = first * (share + (1 - share) * np.exp(-g * gap))
    _, variance, _ = chain.moments(up, g, share, window)
    assert (joint - np.outer(p, p)).mean() == pytest.approx(variance, rel=1e-3)


def test_the_state_forgets_as_exp_of_rate_times_time():
    """P(up at t) = π + (1 - π) exp(-Γt) from "up": at Γt = 0.3 and 2, 4 standard errors."""
    for time in (0.1, 2 / 3):
        _, after = readings(4000, 2.0, 1.0, 0.0, dwell=time)
        exact = 1 / 3 + 2 / 3 * math.exp(-3 * time)
        assert abs(after.mean() - exact) <= 4 * math.sqrt(exact * (1 - exact) / 4000)


def test_a_fast_chain_reads_the_occupation_and_a_slow_one_remembers():
    """Γw = 3e9: the share is π to 1e-4.  Γw = 3e-9: the state before.  No rate at all: for ever."""
    one = Chain(stream_key(1, "test"))
    assert one.advance(2e9, 1e9, np.full(50, 1.0), 1.0) == pytest.approx(1 / 3, abs=2e-4)
    for up in (True, False):
        one.up = up
        assert (one.advance(2e-9, 1e-9, np.full(50, 1.0), 1.0) == up).all()
        assert (one.advance(0.0, 0.0, np.full(50, 1e6), 1e6) == up).all() and one.up == up


def test_an_absent_well_is_left_at_once():
    """A rate of inf out of it, as Wells gives: the whole window in the other one."""
    one = Chain(stream_key(1, "test"), up=True)
    assert one.advance([np.inf, 0.0], [0.0, np.inf], 1e-6, 1e-6).tolist() == [0, 1]
    assert one.up


@FEW
@given(st.lists(st.integers(1, 6), min_size=1, max_size=8), st.integers(0, 2**127))
def test_grouping_changes_no_bit(groups, key):
    """A list in one call, or in pieces, even by another object told the state and the number."""
    count = sum(groups)
    rates = 10 ** np.random.default_rng(count).uniform(1, 8, (2, count))
    dwell = np.full(count, 1e-3)
    whole = Chain(key)
    expected = whole.advance(*rates, dwell, dwell / 2)
    part, got, at = Chain(key), [], 0
    for size in groups:
        cut = slice(at, at + size)
        got.append(part.advance(*rates[:, cut], dwell[cut], dwell[cut] / 2))
        part = Chain(key, part.up, part.segment)
        at += size
    assert np.array_equal(np.concatenate(got), expected)
    assert part.up == whole.up and part.segment == whole.segment == count


@FEW
@given(
    st.floats(-9, 12), st.floats(-9, 12), st.floats(-9, 3), st.floats(0, 1), st.integers(0, 2**64)
)
def test_a_share_is_never_outside_zero_and_one(out, back, time, part, key):
    """Rates from 1e-9 to 1e12 Hz, times from 1 ns to 1000 s."""
    one = Chain(key)
    shares = one.advance(10**out, 10**back, np.full(5, 10**time), part * 10**time)
    assert (shares >= 0).all() and (shares <= 1).all()


@pytest.mark.parametrize(
    "arguments, words",
    [
        ((-1.0, 1.0, 1.0, 1.0), "up_down_hz is -1.*at least 0"),
        ((1.0, math.nan, 1.0, 1.0), "down_up_hz is nan"),
        ((1.0, 1.0, 1.0, 2.0), "window_s is 2 s at index 0.*at most dwell_s, 1 s"),
        ((math.inf, math.inf, 1.0, 1.0), "both inf at index 0"),
        (([1.0, 2.0], [1.0, 2.0, 3.0], 1.0, 1.0), "must fit"),
    ],
)
def test_bad_arguments_are_named(arguments, words):
    """Field, value and range in the message."""
    with pytest.raises(ParameterError, match=words):
        Chain(1).advance(*arguments)
