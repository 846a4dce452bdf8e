"""The equation of motion against known answers.

Each test names its formula and source; γ = 1.7595e11 rad/(s T) throughout.
"""

import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim_backend.llg import equilibrium, kernel, thermal
from sim_backend.llg.ensemble import Ensemble
from sim_backend.llg.model import GAMMA_RAD_PER_S_T as GAMMA
from sim_backend.llg.model import FreeLayer
from sim_backend.llg.motion import evolve, relax, stream
from sim_backend.llg.ranges import ParameterError

#: nothing but what a test adds
BARE = {"k_t": 0.0, "k2_t": 0.0, "hz_t": 0.0, "temperature_k": 0.0, "field_constant_t_per_a": 1.0}
COLD = {"seed": None}


def bare(**more):
    return Ensemble(**(BARE | more))


def energy(junctions, current, m):
    """E of sim_backend.llg.model without torques, T; m: [N, P, 3]."""
    get = lambda name: junctions.array(name)[:, None]  # noqa: E731
    x, y, z = m[..., 0], m[..., 1], m[..., 2]
    line = get("field_constant_t_per_a") * current
    b_x, b_z = line * np.cos(get("tilt_rad")), get("hz_t") + line * np.sin(get("tilt_rad"))
    return (
        -get("k_t") / 2 * z**2 + get("k2_t") / 4 * (1 - z**2) ** 2 + get("ky_t") / 2 * y**2
        - b_x * x - b_z * z
    )  # fmt: skip


def unit(*shape, seed=0):
    v = np.random.default_rng(seed).normal(size=(*shape, 3))
    return v / np.linalg.norm(v, axis=-1, keepdims=True)


# -- without noise --------------------------------------------------------------------------------


def larmor_error(turn):
    """Largest error of all components after αγBt = 1 in the field B along z, from 90 degrees."""
    b, alpha = 0.1, 0.1
    steps = round((1 + alpha**2) / alpha / turn)
    dt = turn / (GAMMA * b)
    run = evolve(
        bare(hz_t=b, alpha=alpha), [0.0], steps, dt * (1 - 1e-9), start=(1, 0, 0), **COLD
    )  # fmt: skip
    t = steps * dt * (1 - 1e-9)
    z = math.tanh(alpha * GAMMA * b * t / (1 + alpha**2))
    phi = GAMMA * b * t / (1 + alpha**2)
    across = math.sqrt(1 - z * z)
    exact = [across * math.cos(phi), across * math.sin(phi), z]
    return np.abs(run.last[0, 0] - exact).max()


def test_damped_larmor_precession():
    """m_z = tanh(αγBt/(1+α²)), φ = γBt/(1+α²) from 90 degrees: LLG in a constant field, integrated
    (Mallinson, IEEE Trans. Magn. 23, 2003 (1987)).  Fourth order: 1e-6 at γB dt = 0.05."""
    assert larmor_error(0.05) <= 1e-6


def test_the_integrator_is_of_fourth_order():
    """Error ~ dt^4 (classical Runge-Kutta), order from halving the step: 4.0 within 0.1."""
    order = math.log2(larmor_error(0.1) / larmor_error(0.05))
    assert abs(order - 4) <= 0.1


@pytest.mark.parametrize("alpha", [0.02, 0.5])
def test_uniaxial_relaxation(alpha):
    """tan θ = tan θ₀ exp(-αγkt/(1+α²)) in E = -k/2 cos²θ: θ' = -αγk sinθ cosθ/(1+α²) integrated
    (Kikuchi, J. Appl. Phys. 27, 1352 (1956)).  To 1e-7."""
    k, theta = 0.05, 1.2
    dt = 0.02 / (GAMMA * k)
    steps = 1000
    run = evolve(
        bare(k_t=k, alpha=alpha), [0.0], steps, dt,
        start=(math.sin(theta), 0, math.cos(theta)), **COLD,
    )  # fmt: skip
    x, y, z = run.last[0, 0]
    exact = math.tan(theta) * math.exp(-alpha * GAMMA * k * steps * dt / (1 + alpha**2))
    assert math.hypot(x, y) / z == pytest.approx(exact, rel=1e-7)


def test_the_length_stays_one():
    """| |m| - 1 | <= 3 ulp (7e-16) in double, 3e-7 in single precision, after 5000 noisy steps."""
    junctions = Ensemble(k_t=np.full(64, 4e-3), damping_like_x_t=1e-4)
    for dtype, limit in (("float64", 7e-16), ("float32", 3e-7)):
        run = evolve(junctions, [0.0, 0.01], 5000, 2e-12, start=unit(64, 2), dtype=dtype)
        length = np.linalg.norm(run.last.astype(float), axis=-1)
        assert np.abs(length - 1).max() <= limit


def ringing(junctions, current, rest, steps, dt, every=1):
    """Complex frequency s (rad/s) of a small free oscillation exp(s t) about ``rest``."""
    nudge = np.asarray(rest) + np.array([0, 1e-5, 0])
    run = evolve(
        junctions, [current], steps, dt, start=nudge / np.linalg.norm(nudge), every=every, **COLD
    )
    y = run.trajectory[:, 0, 0, 1]
    # y[n+1] = p y[n] + q y[n-1]: two exponentials, found exactly by Prony's method.
    (p, q), *_ = np.linalg.lstsq(np.stack((y[1:-1], y[:-2]), 1), y[2:], rcond=None)
    root = (p + np.sqrt(complex(p * p + 4 * q))) / 2
    return np.log(root) / (dt * every)


def test_kittel_frequency_in_the_plane():
    """ω = γ sqrt((Bx - k)(Bx + ky)) with m along a field Bx > k (Kittel, Phys. Rev. 73,
    155 (1948)); damping shifts it by a relative α²: 1e-5 at α = 1e-3."""
    bx, k, ky = 0.12, 0.05, 0.02
    s = ringing(bare(k_t=k, ky_t=ky, alpha=1e-3), bx, (1, 0, 0), 3000, 2e-13, 4)
    assert abs(s.imag) == pytest.approx(GAMMA * math.sqrt((bx - k) * (bx + ky)), rel=1e-5)


def test_kittel_frequency_along_the_easy_axis_and_linewidth():
    """ω = γ sqrt((k+Bz)(k+Bz+ky)), full linewidth 2/τ = αγ(2k + 2Bz + ky)/(1+α²) with m along z
    (linearised LLG; Kittel 1948, Suhl 1955).  To 1e-4 at α = 5e-3."""
    k, bz, ky, alpha = 0.04, 0.03, 0.02, 5e-3
    s = ringing(bare(k_t=k, hz_t=bz, ky_t=ky, alpha=alpha), 0.0, (0, 0, 1), 4000, 4e-13, 4)
    assert abs(s.imag) == pytest.approx(GAMMA * math.sqrt((k + bz) * (k + bz + ky)), rel=1e-4)
    assert -2 * s.real == pytest.approx(alpha * GAMMA * (2 * k + 2 * bz + ky), rel=1e-4)


def test_canted_resonance_has_the_curvatures_of_the_energy():
    """ω = γ sqrt(E_aa E_bb) about the planar rest angle (Smit and Beljers 1955), with k2, a tilt
    and ky.  To 1e-4 at α = 1e-3."""
    layer = FreeLayer(k_t=0.04, k2_t=0.02, hz_t=0.02, ky_t=0.01, tilt_rad=0.05, temperature_k=0)
    current = 0.03 / layer.field_constant_t_per_a
    theta = float(equilibrium.angle(layer, np.array([current]))[0])
    b = current * layer.field_constant_t_per_a
    b = np.array([b * math.cos(0.05), 0.02 + b * math.sin(0.05)])

    def e(a, out):
        x, y, z = math.sin(a) * math.cos(out), math.sin(out), math.cos(a) * math.cos(out)
        return (
            -0.02 * z**2 + 0.005 * (1 - z**2) ** 2 + 0.005 * y**2 - b[0] * x - b[1] * z
        )  # fmt: skip

    d = 1e-3
    aa = (e(theta + d, 0) - 2 * e(theta, 0) + e(theta - d, 0)) / d**2
    bb = (e(theta, d) - 2 * e(theta, 0) + e(theta, -d)) / d**2
    rest = (math.sin(theta), 0, math.cos(theta))
    s = ringing(Ensemble.of([layer], alpha=1e-3), current, rest, 4000, 4e-13, 4)
    assert abs(s.imag) == pytest.approx(GAMMA * math.sqrt(aa * bb), rel=1e-4)


def test_spin_torque_threshold():
    """Growth rate γ(a - α(k + Bz + ky/2))/(1+α²) of a deviation from +z under a damping-like
    field a towards -z (linearised; Sun, Phys. Rev. B 62, 570 (2000)), to 1e-3."""
    k, bz, ky, alpha = 0.04, 0.01, 0.02, 0.01
    threshold = alpha * (k + bz + ky / 2)
    for part in (0.5, 1.0, 1.5):
        junctions = bare(
            k_t=k, hz_t=bz, ky_t=ky, alpha=alpha, damping_like_z_t=part * threshold,
            direction_z=(0, 0, -1),
        )  # fmt: skip
        s = ringing(junctions, 0.0, (0, 0, 1), 2000, 4e-13, 4)
        exact = GAMMA * (part - 1) * threshold / (1 + alpha**2)
        assert s.real == pytest.approx(exact, abs=1e-3 * GAMMA * threshold)


def test_both_torques_turn_towards_their_reference_layer():
    """In no field, a damping-like field a along p gives m·p = tanh(γ a t/(1+α²)) from 90 degrees
    and a field-like one b gives tanh(αγbt/(1+α²)): the LLG of the kernel, integrated.  To 1e-6."""
    a, alpha, dt, steps = 0.01, 0.1, 2e-12, 500
    t = steps * dt
    p = np.array([[0.6, 0, 0.8], [0, 1, 0]])
    start = np.array([[[0.8, 0, -0.6]], [[0, 0, 1]]])
    for side in "xz":
        junctions = bare(alpha=alpha, **{f"damping_like_{side}_t": [a, a], f"direction_{side}": p})
        run = evolve(junctions, [0.0], steps, dt, start=start, **COLD)
        along = (run.last[:, 0] * p).sum(1)
        np.testing.assert_allclose(along, math.tanh(GAMMA * a * t / (1 + alpha**2)), atol=1e-6)
        junctions = bare(alpha=alpha, **{f"field_like_{side}_t": [a, a], f"direction_{side}": p})
        run = evolve(junctions, [0.0], steps, dt, start=start, **COLD)
        along = (run.last[:, 0] * p).sum(1)
        exact = math.tanh(alpha * GAMMA * a * t / (1 + alpha**2))
        np.testing.assert_allclose(along, exact, atol=1e-6)


fields = st.floats(1e-3, 0.1)


@st.composite
def ensembles(draw):
    n = draw(st.integers(1, 4))
    lists = st.lists(fields, min_size=n, max_size=n)
    return bare(
        k_t=draw(lists), k2_t=draw(lists), hz_t=draw(lists), ky_t=draw(lists),
        tilt_rad=draw(st.floats(-0.1, 0.1)), alpha=draw(st.floats(0.01, 1)),
    )  # fmt: skip


@settings(max_examples=30, deadline=None)
@given(ensembles(), st.integers(0, 1000))
def test_without_noise_the_energy_never_rises(junctions, seed):
    """dE/dt = -αγ/(1+α²) |m×B|² <= 0 (LLG without torque).  Round-off: 1e-15 of the fields."""
    current = np.array([-0.05, 0.0, 0.08])
    run = evolve(
        junctions, current, 200, 1e-13, start=unit(len(junctions), 3, seed=seed), every=1, **COLD
    )
    e = np.stack([energy(junctions, current, m) for m in run.trajectory])
    assert np.diff(e, axis=0).max() <= 1e-15


@settings(max_examples=30, deadline=None)
@given(fields, st.floats(0, 2), st.floats(0.05, 2), st.floats(0, 0.1), st.floats(-8, 8))
def test_no_torque_at_the_planar_rest_state(k, k2, hz, ky, multiple):
    """k u + k2 u³ + hz u/sqrt(1-u²) = h (sim_backend.llg.equilibrium): the vector stays put for
    1000 steps within 1e-11."""
    layer = FreeLayer(k_t=k, k2_t=k2 * k, hz_t=hz * k, ky_t=ky, temperature_k=0)
    current = np.array([multiple * k / layer.field_constant_t_per_a])
    theta = equilibrium.angle(layer, current)[0]
    start = np.array([math.sin(theta), 0, math.cos(theta)])
    dt = 0.2 / (GAMMA * (10 * k + 2 * k2 * k + hz * k + ky))
    run = evolve(Ensemble.of([layer]), current, 1000, dt, start=start, **COLD)
    np.testing.assert_allclose(run.last[0, 0], start, atol=1e-11)


def test_a_mirrored_field_mirrors_the_motion():
    """A half turn about z, (x, y) -> (-x, -y) with the field along x reversed, is a symmetry of the
    equation of motion: bit for bit."""
    junctions = Ensemble(ky_t=1e-3, alpha=0.05)
    start = unit(1, 5)
    plain = evolve(junctions, np.linspace(0, 0.02, 5), 500, 2e-12, start=start, **COLD)
    turned = evolve(
        junctions, -np.linspace(0, 0.02, 5), 500, 2e-12, start=start * (-1, -1, 1), **COLD
    )
    np.testing.assert_array_equal(turned.last, plain.last * (-1, -1, 1))


# -- at rest --------------------------------------------------------------------------------------


def test_relaxation_finds_the_planar_law():
    """m = (sin θ, 0, cos θ) of sim_backend.llg.equilibrium, to 1e-8."""
    layers = [FreeLayer(k_t=k, tilt_rad=0.02) for k in (3e-3, 4e-3, 5e-3)]
    current = np.linspace(-0.03, 0.03, 41)
    rest = relax(Ensemble.of(layers), current)
    theta = np.stack([equilibrium.angle(layer, current) for layer in layers])
    exact = np.stack((np.sin(theta), 0 * theta, np.cos(theta)), -1)
    assert rest.at_rest.all() and rest.stable.all()
    np.testing.assert_allclose(rest.m, exact, atol=1e-8)


def test_a_saddle_is_no_rest():
    """E = -k/2 m_z² + ky/2 m_y² has its minima at ±z only: starts on the maximum (±y), on the
    saddle (±x) and on the equator all leave, and -z stays where it is."""
    start = [[[1, 0, 0]], [[-1, 0, 0]], [[0, 1, 0]], [[0.6, 0.8, 0]], [[0, 0, -1]]]
    rest = relax(bare(k_t=np.full(5, 0.02), ky_t=0.01), [0.0], start)
    assert rest.stable.all()
    np.testing.assert_allclose(np.abs(rest.m[:, 0, 2]), 1, atol=1e-12)
    assert rest.m[-1, 0, 2] < 0


def test_a_state_above_the_spin_torque_threshold_is_called_unstable():
    """a_c = α(k + Bz + ky/2) (Sun 2000) decides, though the relaxation at α = 1 comes to rest."""
    k, bz, ky, alpha = 0.04, 0.01, 0.02, 0.01
    threshold = alpha * (k + bz + ky / 2)
    rest = relax(
        bare(
            k_t=k, hz_t=bz, ky_t=ky, alpha=alpha, direction_z=(0, 0, -1),
            damping_like_z_t=threshold * np.array([0.9, 0.99, 1.01, 1.1]),
        ),
        [0.0],
    )  # fmt: skip
    assert rest.at_rest.all()
    assert rest.stable[:, 0].tolist() == [True, True, False, False]


def test_too_few_steps_are_reported():
    rest = relax(Ensemble(), [0.01], (0.6, 0.0, -0.8), most_steps=16)
    assert not rest.at_rest.any() and not rest.stable.any()


# -- heat -----------------------------------------------------------------------------------------


def averages(junctions, current, steps, dt, **more):
    """Mean over junctions of the averages, and its standard error from their scatter."""
    run = evolve(junctions, current, steps, dt, settle_steps=3000, squares=True, **more)
    both = np.concatenate((run.mean, run.squares), -1)
    return both.mean(0), both.std(0, ddof=1) / math.sqrt(len(both))


def hot(thermal_t, **more):
    """Junctions alike, at kT/(Ms V) = thermal_t."""
    volume = 1.380649e-23 * 300 / (1e6 * thermal_t)
    return bare(**({"temperature_k": 300, "volume_m3": volume} | more))


def test_boltzmann_averages():
    """<m>, <m m> over exp(-E/kT) by quadrature (fluctuation-dissipation: Brown 1963), every term of
    the energy: to 1e-3 at γB dt = 0.05, s² = 2.3e-3,
    with standard errors below 4e-4."""
    b, k, k2, ky = 5e-3, 4e-3, 2e-3, 2e-3
    tilt, t = 0.3, 2e-3
    junctions = hot(
        t, k_t=np.full(2048, k), k2_t=k2, ky_t=ky, hz_t=3e-3, tilt_rad=tilt, alpha=0.2,
        field_like_x_t=1e-3,
    )  # fmt: skip
    dt = 0.05 / (GAMMA * (b + k + k2 + ky + 4e-3))
    got, error = averages(junctions, [b], 80_000, dt, seed=1)
    field = np.array([b * math.cos(tilt) + 1e-3, 0, 3e-3 + b * math.sin(tilt)])
    exact = np.concatenate(thermal.boltzmann(k, k2, ky, field, t))
    assert error.max() <= 4e-4
    np.testing.assert_allclose(got[0], exact, rtol=0, atol=1e-3)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_langevin_function(dtype):
    """<m_z> = coth ξ - 1/ξ, ξ = Ms V B/kT (Langevin 1905), to 1e-3 beside four standard errors, in
    both precisions."""
    xi = np.array([0.5, 2.0, 8.0])
    junctions = hot(2e-3, k_t=np.zeros(1024), alpha=0.5, tilt_rad=math.pi / 2)
    run = evolve(junctions, 2e-3 * xi, 20_000, 1e-11, settle_steps=3000, seed=2, dtype=dtype)
    got, error = run.mean[..., 2].mean(0), run.mean[..., 2].std(0, ddof=1) / math.sqrt(1024)
    assert error.max() <= 4e-3
    assert np.all(np.abs(got - (1 / np.tanh(xi) - 1 / xi)) <= 1e-3 + 4 * error)


@pytest.mark.parametrize(("delta", "spins"), [(4.0, 8192), (6.0, 16384)])
def test_neel_brown_rate(delta, spins):
    """Rate of leaving a well, 1/(2T) with the exact first passage time T (Brown 1963), Δ = 4 and 6:
    from <m_z(0) m_z(t)> ~ exp(-2 rate t), within 10 %."""
    k, alpha = 0.02, 0.5
    t = k / 2 / delta
    junctions = hot(t, k_t=np.full(spins, k), alpha=alpha)
    dt = 0.1 / (GAMMA * k)
    rate = thermal.neel_brown_rate_hz(k, t, alpha)
    asymptote = alpha * GAMMA * k / (1 + alpha**2) * math.sqrt(delta / math.pi) * math.exp(-delta)
    assert rate == pytest.approx(asymptote, rel=0.35)  # corrections of 1/Δ
    first = evolve(junctions, [0.0], 300, dt, seed=3)  # to quasi-equilibrium inside the well
    steps = round(0.35 / rate / dt)
    then = evolve(junctions, [0.0], steps, dt, seed=3, start=first.last, first_step=first.next_step)
    decay = np.sign(then.last[..., 2]).mean() / np.sign(first.last[..., 2]).mean()
    assert -math.log(decay) / (2 * steps * dt) == pytest.approx(rate, rel=0.1)


def test_the_random_numbers_are_as_stated():
    """Philox4x32-7 on zeros gives the words of Random123's known answers; the noise has the exact
    mean and variance, excess kurtosis -0.0613, and is at most 3.4e-3 off the normal one."""
    zero = np.uint64(0)
    words = [int(c) for c in kernel.philox(*[zero] * 6)]
    assert words == [0x5F6FB709, 0x0D893F64, 0x4F121F81, 0x4F730A48]
    ones = np.array([math.comb(32, i) for i in range(33)]) / 2.0**32
    value = (1024 * np.arange(33)[:, None] + np.arange(1024)).ravel()
    p = np.repeat(ones / 1024, 1024)
    z = (value - kernel.NOISE_MEAN) / kernel.NOISE_UNIT
    assert (p * z).sum() == pytest.approx(0, abs=1e-12)
    assert (p * z**2).sum() == pytest.approx(1, abs=1e-12)
    assert (p * z**4).sum() - 3 == pytest.approx(-0.0613, abs=1e-4)
    normal = np.array([0.5 * math.erfc(-x / math.sqrt(2)) for x in z[::16]])
    assert np.abs(np.cumsum(p)[::16] - normal).max() <= 3.4e-3
    drawn = kernel.noise(np.uint64(7), 3, 5, np.arange(200_000)).astype(float)
    drawn = (drawn - kernel.NOISE_MEAN) / kernel.NOISE_UNIT
    assert np.abs(drawn.mean(0)).max() <= 5 / math.sqrt(2e5)
    assert np.abs(np.cov(drawn.T) - np.eye(3)).max() <= 5 * math.sqrt(2 / 2e5)
    assert np.abs((drawn[1:] * drawn[:-1]).mean(0)).max() <= 5 / math.sqrt(2e5)


def test_the_kernel_draws_the_noise_that_is_described():
    """Brown's field: with alpha small, one step from +z turns m by γ dt (b_y, -b_x) to first order,
    b = sigma_B g with sigma_B = sqrt(2αkT/(γ Ms V dt)).  To 1e-3 of it."""
    junctions = hot(np.full(3, 1e-4), alpha=1e-3)
    dt, point, first = 1e-12, 4, 2**33 + 1
    run = evolve(
        junctions, np.zeros(2), 1, dt, seed=5, first_junction=10, first_point=point,
        first_step=first, every=1,
    )  # fmt: skip
    from sim_backend.noise import stream_key

    key = np.uint64(stream_key(5, "thermal field") & (2**64 - 1))
    sigma = math.sqrt(2 * 1e-3 * 1e-4 / (GAMMA * dt))
    for j in range(3):
        for p in range(2):
            g = kernel.noise(key, 10 + j, point + p, np.array([first]))[0]
            b = sigma * (g - kernel.NOISE_MEAN) / kernel.NOISE_UNIT
            turn = GAMMA * dt * np.array([b[1], -b[0]])
            np.testing.assert_allclose(run.last[j, p, :2], turn, atol=3e-3 * GAMMA * dt * sigma)


# -- the same whatever the cut --------------------------------------------------------------------


def everything():
    """Junctions with every term, more than two tiles with a rest, their currents and starts."""
    rng = np.random.default_rng(4)
    junctions = Ensemble(
        k_t=rng.uniform(3e-3, 5e-3, 41), ky_t=1e-3, tilt_rad=0.01, damping_like_x_t=2e-5,
        damping_like_z_t=1e-5, field_like_x_t=1e-5, field_like_z_t=3e-5,
        direction_x=unit(41, seed=5), volume_m3=2e-23,
    )  # fmt: skip
    return junctions, np.linspace(-0.02, 0.02, 7), unit(41, 7, seed=6)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_threads_change_no_bit(dtype):
    junctions, current, start = everything()
    runs = [
        evolve(junctions, current, 300, 2e-12, start=start, dtype=dtype, threads=n)
        for n in (1, None)
    ]
    for name in ("mean", "last"):
        np.testing.assert_array_equal(getattr(runs[0], name), getattr(runs[1], name))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_chunks_change_no_bit(dtype):
    """The pieces under a small memory limit are those of one run, and each stays within it."""
    junctions, current, start = everything()
    whole = evolve(junctions, current, 100, 2e-12, start=start, dtype=dtype)
    limit, pieces = 2**16, 0
    for devices, points, piece in stream(
        junctions, current, 100, 2e-12, start=start, memory_bytes=limit, dtype=dtype
    ):
        np.testing.assert_array_equal(piece.mean, whole.mean[devices, points])
        np.testing.assert_array_equal(piece.last, whole.last[devices, points])
        assert piece.mean.nbytes + piece.last.nbytes < limit
        pieces += 1
    long, odd = np.linspace(-0.02, 0.02, 1001), junctions[:2]
    whole = evolve(odd, long, 20, 2e-12, dtype=dtype)
    for devices, points, piece in stream(odd, long, 20, 2e-12, memory_bytes=limit, dtype=dtype):
        np.testing.assert_array_equal(piece.last, whole.last[devices, points])
        pieces += 1
    assert pieces > 3


def test_tiles_change_no_bit(monkeypatch):
    junctions, current, start = everything()
    plain = evolve(junctions, current, 100, 2e-12, start=start)
    monkeypatch.setattr(kernel, "advance", kernel.build(128))
    again = evolve(junctions, current, 100, 2e-12, start=start)
    np.testing.assert_array_equal(plain.last, again.last)
    np.testing.assert_array_equal(plain.mean, again.mean)


def test_another_process_finds_the_compiled_code():
    """numba's cache tells closures apart by what they enclose, and a compiled function in there is
    another one in each process: only numbers may be enclosed."""
    cells = kernel.advance.py_func.__closure__
    assert [type(cell.cell_contents) for cell in cells] == [int]


def test_stops_in_between_change_no_bit():
    junctions, current, start = everything()
    whole = evolve(junctions, current, 100, 2e-12, start=start, every=25)
    first = evolve(junctions, current, 37, 2e-12, start=start)
    second = evolve(junctions, current, 63, 2e-12, start=first.last, first_step=first.next_step)
    np.testing.assert_array_equal(second.last, whole.last)
    np.testing.assert_array_equal(whole.trajectory[-1], whole.last)
    assert whole.trajectory.shape == (4, 41, 7, 3)
    again = evolve(junctions, current, 60, 2e-12, start=start, settle_steps=40)
    np.testing.assert_array_equal(again.last, whole.last)


def test_seeds_junctions_and_points_differ():
    alike = Ensemble(k_t=np.full(3, 4e-3))
    run = evolve(alike, [0.0, 0.0], 50, 2e-12, seed=1)
    other = evolve(alike, [0.0, 0.0], 50, 2e-12, seed=2)
    z = np.concatenate((run.last[..., 0].ravel(), other.last[..., 0].ravel()))
    assert len(set(z.tolist())) == 12


# -- bad arguments --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"alpha": -0.1}, "alpha is -0.1; it must be above 0 and at most 1"),
        ({"alpha": [0.1, float("nan")]}, "alpha is nan at index 1; it must be above 0"),
        ({"volume_m3": 0}, "volume_m3 is 0 m^3; it must be above 0 m^3 and at most 1e-15 m^3"),
        ({"k_t": 40}, "k_t is 40 T; it must be at least -10 T and at most 10 T"),
        ({"temperature_k": -1}, "temperature_k is -1 K; it must be at least 0 K"),
        ({"direction_x": (1, 1, 0)}, "length of direction_x is 1.41421"),
        ({"direction_x": (1, 0)}, "direction_x has shape"),
        ({"k_t": [1, 2], "ky_t": [1, 2, 3]}, "ky_t has shape"),
    ],
)
def test_bad_parameters_are_named(more, words):
    with pytest.raises(ParameterError, match="^" + re.escape(words)):
        Ensemble(**more)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"dt_s": 1e-9}, "dt_s is 1e-09, in which junction 0 turns by"),
        ({"dt_s": 0.0}, "dt_s is 0; it must be above 0"),
        ({"steps": 0}, "steps is 0; it must be at least 1"),
        ({"current_a": [[0.0]]}, "current_a has shape"),
        ({"current_a": [float("nan")]}, "current_a is nan at index 0"),
        ({"start": (1, 1, 0)}, "length of start is 1.41421"),
        ({"start": (1, 0)}, "start has shape"),
        ({"threads": 0}, "threads is 0; it must be at least 1"),
        ({"dtype": "int8"}, "dtype is 'int8'; it must be"),
    ],
)
def test_bad_arguments_are_named(more, words):
    with pytest.raises(ParameterError, match="^" + re.escape(words)):
        evolve(Ensemble(), **({"current_a": [0.0], "steps": 10, "dt_s": 1e-12} | more))
