"""Gradients of the model against differences of its solvers, and against each other.

Central differences of a solver right to 1e-12 with steps of 1e-4 of the fields are right to about
1e-7; where a test says otherwise, its docstring does.
"""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sim_backend.llg import equilibrium, gradient, gradient_torch, response, thermal
from sim_backend.llg.ensemble import Ensemble
from sim_backend.llg.fields import Fields
from sim_backend.llg.gradient import NoGradientError, only
from sim_backend.llg.model import FreeLayer
from sim_backend.llg.motion import relax

few = settings(max_examples=12, deadline=None, derandomize=True, database=None)
small = st.floats(-1, 1)


@pytest.fixture(autouse=True)
def one_thread():
    """Numba and torch share OpenMP: what one sets, the other has."""
    torch.set_num_threads(1)


def fields(k, k2, ky, b, a=(0.0, 0.0, 0.0), heat=0.0):
    k, k2, ky, b, a, heat = (np.asarray(part, float) for part in (k, k2, ky, b, a, heat))
    return Fields(k, k2, ky, b, a, heat, np.full((), 0.1))


def at_rest(f, start=(0.0, 0.0, 1.0)):
    """The rest state [3] of unbatched fields, by following the motion."""
    direction = lambda v: np.asarray(v) / np.linalg.norm(v) if np.any(v) else (1.0, 0.0, 0.0)  # noqa: E731
    junction = Ensemble(
        k_t=f.k_t, k2_t=f.k2_t, ky_t=f.ky_t, hz_t=0.0, alpha=0.5, temperature_k=0.0,
        field_like_x_t=np.linalg.norm(f.b_t), direction_x=direction(f.b_t),
        damping_like_z_t=np.linalg.norm(f.a_t), direction_z=direction(f.a_t),
    )  # fmt: skip
    found = relax(junction, [0.0], start, tolerance=1e-13)
    assert found.at_rest.all()
    return found.m[0, 0]


@st.composite
def wells(draw, torque):
    """Fields with a well near +z: enough field along z to keep it away from its end."""
    k, k2 = draw(st.floats(0.01, 0.05)), 0.03 * draw(st.floats(-0.2, 1))
    ky = 0.02 * draw(st.floats(0, 1))
    b = np.array([0.03 * draw(small), 0.03 * draw(small), 0.02 + 0.02 * draw(st.floats(0, 1))])
    a = 1e-3 * np.array([draw(small) for _ in range(3)]) if torque else np.zeros(3)
    return k, k2, ky, b, a


# -- planar law -----------------------------------------------------------------------------------


@few
@given(st.floats(0.05, 1), st.floats(-0.05, 1), st.floats(-3, 3))
def test_planar_slopes_are_the_derivatives_of_the_planar_equilibrium(hz, k2, x):
    """dm_x/dh = c³/(hz + k c³ + 3 k2 c³ s²), dm_z/dh = -tan θ dm_x/dh: the law h(u) of
    sim_backend.llg.equilibrium differentiated; to 1e-6 of the slope at no field."""
    layer = FreeLayer(k_t=4e-3, hz_t=4e-3 * hz, k2_t=4e-3 * k2, field_constant_t_per_a=1.0)
    h = 4e-3 * (1 + hz) * x
    d = 1e-4 * 4e-3
    low, at, high = equilibrium.angle(layer, np.array([h - d, h, h + d]))
    found = gradient.planar_slopes(np.sin(at), np.cos(at), layer.k_t, layer.hz_t, layer.k2_t)
    expected = np.array([np.sin(high) - np.sin(low), np.cos(high) - np.cos(low)]) / (2 * d)
    assert np.abs(found - expected).max() <= 1e-6 / (layer.k_t + layer.hz_t)


def test_planar_slopes_take_only_the_angle_of_noisy_readings():
    """Readings of any common length give the slopes of their angle, and behind the plane 0."""
    law = (4e-3, 1.36e-3, 2.56e-3)
    angle = np.array([-1.2, 0.0, 0.7])
    right = gradient.planar_slopes(np.sin(angle), np.cos(angle), *law)
    longer = gradient.planar_slopes(1.3 * np.sin(angle), 1.3 * np.cos(angle), *law)
    assert np.allclose(longer, right, rtol=1e-12, atol=0)
    assert np.abs(gradient.planar_slopes(0.8, -0.6, *law)).max() == 0
    assert np.abs(gradient.planar_slopes(1.0, 0.0, *law)).max() <= 1e-20


# -- rest states on the sphere --------------------------------------------------------------------


@few
@given(wells(torque=True))
def test_susceptibility_is_the_derivative_of_the_relaxed_state(well):
    """dm/db, dm/da, dm/dk, dm/dk2, dm/dky by the implicit function theorem, against central
    differences of relaxation with all terms; to 2e-5 of the whole.  The relaxed states are right
    to 1e-12 over a step of 1e-4 of k + |b|."""
    k, k2, ky, b, a = well
    f = fields(*well)
    m = at_rest(f)
    scale = k + np.linalg.norm(b)
    d = 1e-4 * scale

    def difference(change):
        ends = [
            at_rest(
                fields(
                    k + s * change.k_t, k2 + s * change.k2_t, ky + s * change.ky_t,
                    b + s * change.b_t, a + s * change.a_t,
                ),
                m,
            )
            for s in (-d, d)
        ]  # fmt: skip
        return (ends[1] - ends[0]) / (2 * d)

    chi = gradient.susceptibility_per_t(f, m)
    size = np.abs(chi).max()
    along_b = np.stack([difference(only(b=e)) for e in np.eye(3)], axis=-1)
    assert np.abs(chi - along_b).max() <= 2e-5 * size
    for change in (only(k=1), only(k2=1), only(ky=1), *(only(a=e) for e in np.eye(3))):
        assert np.abs(gradient.derivative(f, m, change) - difference(change)).max() <= 2e-5 * size


@few
@given(wells(torque=False))
def test_susceptibility_without_torque_is_symmetric_and_positive(well):
    """dm_i/db_j = dm_j/db_i (Onsager, Phys. Rev. 37, 405 (1931)): second derivatives of the well's
    energy; in a minimum it is positive across m, and nothing happens along m.  To 1e-9."""
    f = fields(*well)
    m = at_rest(f)
    chi = gradient.susceptibility_per_t(f, m)
    size = np.abs(chi).max()
    assert np.abs(chi - chi.T).max() <= 1e-9 * size
    assert np.abs(chi @ m).max() <= 1e-9 * size
    assert np.linalg.eigvalsh((chi + chi.T) / 2)[1] > 0.01 / f.largest_t


def test_torque_makes_the_susceptibility_one_sided():
    """For m along z with a along z, H = [[s, -a], [a, s]], s = k + b: χ_xy = a/(s² + a²), the
    solution by hand; to 1e-12."""
    k, b, a = 0.03, 0.01, 2e-3
    m = np.array([0.0, 0.0, 1.0])
    chi = gradient.susceptibility_per_t(fields(k, 0, 0, (0, 0, b), (0, 0, a)), m)
    s = k + b
    assert np.allclose(chi[:2, :2], np.array([[s, a], [-a, s]]) / (s**2 + a**2), rtol=1e-12, atol=0)


@few
@given(st.floats(0.05, 1), st.floats(0, 1), st.floats(-2, 2))
def test_susceptibility_on_the_planar_law(hz, k2, x):
    """χ_xx is dm_x/dh of the planar law, χ_zx dm_z/dh; to 1e-9 of the largest."""
    h = 0.04 * x
    theta = response.planar_angle(np.array([h]), 0.04, 0.04 * hz, 0.04 * k2)[0]
    m = np.array([math.sin(theta), 0, math.cos(theta)])
    chi = gradient.susceptibility_per_t(fields(0.04, 0.04 * k2, 0, (h, 0, 0.04 * hz)), m)
    slopes = gradient.planar_slopes(m[0], m[2], 0.04, 0.04 * hz, 0.04 * k2)
    assert np.abs(chi[[0, 2], 0] - slopes).max() <= 1e-9 * np.abs(chi).max()


def test_slope_per_ampere_with_heating_and_torque():
    """dm/dI of junctions whose k follows the current's square, against relaxation at I ± dI where
    k stands for each current; to 1e-6 of the largest."""
    current = np.array([-6e-3, 2e-3, 9e-3])
    same = {
        "k2_t": 2e-3, "ky_t": 5e-4, "tilt_rad": 0.05, "damping_like_x_t": 2e-5,
        "field_like_z_t": 1e-4, "alpha": 0.5, "temperature_k": 0.0,
    }  # fmt: skip
    junctions = Ensemble(k_t=[4e-3, 5e-3], k_per_a2_t=[-6.0, 3.0], **same)

    def state(i):
        """Each junction at each current, with its k there and no heating."""
        rows = [
            [relax(Ensemble(k_t=k + more * x**2, **same), [x], tolerance=1e-13).m[0, 0] for x in i]
            for k, more in ((4e-3, -6.0), (5e-3, 3.0))
        ]
        return np.array(rows)

    d = 1e-6
    expected = (state(current + d) - state(current - d)) / (2 * d)
    found = gradient.slope_per_a(junctions, current, state(current))
    assert found.shape == (2, 3, 3)
    assert np.abs(found - expected).max() <= 1e-6 * np.abs(expected).max()


def test_where_there_is_no_gradient_it_says_so():
    """Off rest, and at the end of the metastable state at h = k (Stoner and Wohlfarth, Phil. Trans.
    A 240, 599 (1948)), where the slope is infinite."""
    tilted = np.array([0.6, 0.0, 0.8])
    with pytest.raises(NoGradientError, match=r"at index 1 .* is not at rest"):
        gradient.susceptibility_per_t(
            fields(0.04, 0, 0, (0, 0, 0.01)), np.array([[0.0, 0.0, 1.0], tilted])
        )
    up = np.array([0.0, 0.0, 1.0])
    for k, b in ((0.04, -0.04), (0.0, 0.0)):
        with pytest.raises(NoGradientError, match="ends or branches"):
            gradient.susceptibility_per_t(fields(k, 0, 0, (0, 0, b)), up)


@few
@given(wells(torque=False), st.floats(0.005, 0.05))
def test_thermal_susceptibility_is_the_covariance(well, heat):
    """d<m_i>/db_j = (<m_i m_j> - <m_i><m_j>)/(kT/Ms V) (Kubo, Rep. Prog. Phys. 29, 255 (1966)),
    against differences of the quadrature's means; to 1e-6 of the largest."""
    k, k2, ky, b, _ = well
    mean, squares = thermal.boltzmann(k, k2, ky, b, heat)
    found = gradient.thermal_susceptibility_per_t(mean, squares, heat)
    d = 1e-4 * heat
    ends = [[thermal.boltzmann(k, k2, ky, b + s * e, heat)[0] for e in np.eye(3)] for s in (-d, d)]
    expected = (np.array(ends[1]) - np.array(ends[0])).T / (2 * d)
    assert np.abs(found - expected).max() <= 1e-6 * np.abs(found).max()


def test_thermal_susceptibility_of_free_moments_is_curies_law():
    """No anisotropy, no field: <m_i m_j> = δ_ij/3, so χ = 1/(3 kT/Ms V) (Langevin); to 1e-10."""
    heat = np.array([0.01, 0.02])
    mean, squares = thermal.boltzmann(0, 0, 0, np.zeros(3), 0.01)
    found = gradient.thermal_susceptibility_per_t(mean[None], squares[None], heat)
    assert np.allclose(found, np.eye(3) / (3 * heat[:, None, None]), rtol=1e-10, atol=1e-10)


# -- torch ----------------------------------------------------------------------------------------


def leaf(x):
    return torch.tensor(x, dtype=torch.float64, requires_grad=True)


def test_planar_law_in_torch_is_right_and_has_right_derivatives():
    """The values are those of equilibrium.angle to 1e-12; first and second derivatives against
    differences by torch's own check, in units of k."""
    h, k = np.linspace(-4, 4, 9), 1.0
    m_x, m_z = gradient_torch.planar(torch.tensor(h), k, 0.34, 0.64)
    layer = FreeLayer(k_t=1.0, hz_t=0.34, k2_t=0.64, field_constant_t_per_a=1.0)
    theta = equilibrium.angle(layer, h)
    assert np.abs(m_x.numpy() - np.sin(theta)).max() <= 1e-12
    assert np.abs(m_z.numpy() - np.cos(theta)).max() <= 1e-12
    given_ = leaf(h[::2]), leaf([1.0]), leaf([0.34]), leaf([0.64])
    assert torch.autograd.gradcheck(gradient_torch.planar, given_)
    assert torch.autograd.gradgradcheck(gradient_torch.planar, given_)


def test_planar_law_in_torch_gives_the_analytic_slope_in_tesla():
    """Backward through the default junction's law is the derivative law, to 1e-10 of it, at fields
    to 0.2 T."""
    h = leaf(np.linspace(-0.2, 0.2, 41))
    law = (4e-3, 1.36e-3, 2.56e-3)
    m_x, m_z = gradient_torch.planar(h, *law)
    slopes = gradient.planar_slopes(m_x.detach().numpy(), m_z.detach().numpy(), *law)
    for part, expected in zip((m_x, m_z), slopes.T, strict=True):
        (found,) = torch.autograd.grad(part.sum(), h, retain_graph=True)
        assert np.allclose(found.numpy(), expected, rtol=1e-10, atol=1e-10)


def test_rest_states_in_torch_have_right_first_and_second_derivatives():
    """torch's own check of both derivatives in k, k2, ky, b and a, on a batch of two wells with
    torque, in units of k."""
    b = [[0.5, 0.2, 0.6], [-0.3, 0.4, 0.5]]
    a = [[0.02, 0.01, -0.03], [0.0, 0.0, 0.02]]
    states = [at_rest(fields(1.0, 0.5, 0.3, x, y)) for x, y in zip(b, a, strict=True)]
    near = torch.tensor(np.array(states))
    given_ = leaf([1.0, 1.0]), leaf([0.5]), leaf([0.3]), leaf(b), leaf(a)
    rest = lambda *x: gradient_torch.rest(*x, near=near)  # noqa: E731
    assert np.abs((rest(*given_) - near).detach().numpy()).max() <= 1e-10
    assert torch.autograd.gradcheck(rest, given_)
    assert torch.autograd.gradgradcheck(rest, given_)


@few
@given(wells(torque=True))
def test_rest_states_in_torch_carry_the_susceptibility(well):
    """Backward is χ of the implicit function theorem, to 1e-9 of the largest."""
    k, k2, ky, b, a = well
    m = at_rest(fields(*well))
    near = torch.tensor(m)
    jacobian = torch.autograd.functional.jacobian(
        lambda x: gradient_torch.rest(k, k2, ky, x, torch.tensor(a), near=near), torch.tensor(b)
    )
    chi = gradient.susceptibility_per_t(fields(*well), m)
    assert np.abs(jacobian.numpy() - chi).max() <= 1e-9 * np.abs(chi).max()


def test_torch_refuses_states_without_a_derivative():
    """No bias, no planar law; no curvature, no derivative; nothing at rest, no state."""
    with pytest.raises(NoGradientError, match="hz_t is 0; it must be above 0"):
        gradient_torch.planar(0.1, 1.0, 0.0, 0.5)
    up = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    for k, b in ((0.04, -0.04), (0.0, 0.0)):
        with pytest.raises(NoGradientError, match="ends or branches"):
            gradient_torch.rest(k, 0.0, 0.0, b * up, near=up)
    with pytest.raises(NoGradientError, match="above 0"):  # the plane is easy: h falls with u
        gradient_torch.planar(0.0, -1.0, 0.5, 0.0)
