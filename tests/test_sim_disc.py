"""Micromagnetic elements, response curves, presets, and the commands that show them."""

from __future__ import annotations

import errno
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from cli import physics
from cli.main import app
from sim_backend.llg import equilibrium, figures, survey, thermal
from sim_backend.llg.demag import layer_tensor
from sim_backend.llg.disc import Magnet, NotAtRestError
from sim_backend.llg.disc_response import curve, free_layer
from sim_backend.llg.element import MU0, RANGES, DiscError, Element
from sim_backend.llg.model import FreeLayer
from sim_backend.llg.presets import PRESETS
from sim_backend.llg.response import (
    Curve,
    PlanarFit,
    ResponseError,
    boltzmann_mean,
    distance,
    fit_planar,
    layer_curve,
    planar_angle,
    planar_slope,
    stability,
    unit_width_t,
)
from sim_backend.truth import TruthError, load_truth

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "reference" / "presets.md").read_text(encoding="utf-8")
DIAMETERS_NM = (40, 60, 80, 100)


def small(**changes) -> Magnet:
    """A disc of few cells."""
    return Magnet(Element(**{"diameter_m": 30e-9, "cell_m": 3e-9} | changes))


def in_plane(h_t, bias_t):
    h = np.asarray(h_t, dtype=float)
    return np.stack((h, 0 * h, 0 * h + bias_t), axis=1)


@pytest.fixture(scope="module")
def discs():
    """Magnet, curve and fit of a disc for each diameter of the page, at a bias of 10 mT."""
    found = {}
    for nm in DIAMETERS_NM:
        magnet = Magnet(Element(diameter_m=nm * 1e-9))
        one = curve(magnet, 10e-3)
        found[nm] = magnet, one, fit_planar(one)
    return found


# -- demagnetising tensor -------------------------------------------------------------------------


def prism_factor(a: float, b: float, c: float) -> float:
    """D_z of a prism of half-lengths a, b, c: A. Aharoni, J. Appl. Phys. 83, 3432 (1998), eq. 1."""
    ab, bc, ca, r = np.hypot(a, b), np.hypot(b, c), np.hypot(c, a), np.sqrt(a * a + b * b + c * c)
    total = (
        (b * b - c * c) / (2 * b * c) * np.log((r - a) / (r + a))
        + (a * a - c * c) / (2 * a * c) * np.log((r - b) / (r + b))
        + b / (2 * c) * np.log((ab + a) / (ab - a))
        + a / (2 * c) * np.log((ab + b) / (ab - b))
        + c / (2 * a) * np.log((bc - b) / (bc + b))
        + c / (2 * b) * np.log((ca - a) / (ca + a))
        + 2 * np.arctan(a * b / (c * r))
        + (a**3 + b**3 - 2 * c**3) / (3 * a * b * c)
        + (a * a + b * b - 2 * c * c) / (3 * a * b * c) * r
        + c / (a * b) * (ca + bc)
        - (ab**3 + bc**3 + ca**3) / (3 * a * b * c)
    )
    return float(total / np.pi)


def test_a_cube_has_one_third_along_every_axis():
    """Symmetry of the cube and trace 1 (to 1e-13)."""
    n_xx, n_yy, n_zz, n_xy = (part[0, 0] for part in layer_tensor(1, 1e-9, 1e-9))
    np.testing.assert_allclose((n_xx, n_yy, n_zz), 1 / 3, rtol=0, atol=1e-13)
    assert abs(n_xy) < 1e-15


@pytest.mark.parametrize("across", [None, 0.7e-9])
@pytest.mark.parametrize("thickness", [0.4e-9, 1e-9, 3e-9])
def test_the_trace_is_one_for_a_cell_and_nothing_between_two(thickness, across):
    """Maxwell: div of the mean field over a cell is its own magnetisation (1e-9)."""
    n_xx, n_yy, n_zz, _ = layer_tensor(20, 1e-9, thickness, across)
    own = np.zeros((20, 20))
    own[0, 0] = 1
    np.testing.assert_allclose(n_xx + n_yy + n_zz, own, rtol=0, atol=1e-9)


@pytest.mark.parametrize("sides", [(1, 1, 1), (2, 1, 0.5), (1, 3, 0.2), (1, 1, 4)])
def test_a_cell_is_aharonis_prism(sides):
    """Newell's self term against Aharoni's formula for a prism (1e-11)."""
    a, b, c = sides
    _, _, n_zz, _ = layer_tensor(1, a * 1e-9, c * 1e-9, b * 1e-9)
    assert n_zz[0, 0] == pytest.approx(prism_factor(a / 2, b / 2, c / 2), abs=1e-11)


@pytest.mark.parametrize("count", [2, 9, 25])
def test_cells_add_up_to_aharonis_prism(count):
    """The mean of N over all pairs of cells of a square is the whole prism's (1e-10)."""
    element = Element(shape="square", diameter_m=50e-9, ku_j_per_m3=0)
    side = element.diameter_m / count
    n_xx, _, n_zz, _ = layer_tensor(count, side, element.thickness_m)
    pairs = np.full(count, 2.0)
    pairs[0] = 1
    pairs *= np.arange(count, 0, -1)  # pairs of cells so far apart
    whole = prism_factor(element.diameter_m, element.diameter_m, element.thickness_m)
    for part, known in ((n_zz, whole), (n_xx, (1 - whole) / 2)):
        assert pairs @ part @ pairs / count**2 == pytest.approx(known, abs=1e-10)


def test_a_square_has_aharonis_factor_in_its_operator():
    """<A> of the uniform state: -µ0 Ms N (1e-9 T)."""
    element = Element(shape="square", diameter_m=40e-9, ku_j_per_m3=0)
    n_z = prism_factor(40, 40, 1.4)
    known = [-MU0 * element.ms_a_per_m * n for n in ((1 - n_z) / 2, (1 - n_z) / 2, n_z)]
    np.testing.assert_allclose(Magnet(element).uniform_t, known, rtol=0, atol=1e-9)


def test_distant_cells_are_dipoles():
    """N -> V/(4π r³) (1 - 3 r r) for cells of equal size; next order (side/r)²."""
    n_xx, n_yy, n_zz, n_xy = layer_tensor(30, 1e-9, 1.2e-9)
    x, y = 29.0, 20.0
    r = np.hypot(x, y)
    point = 1.2 / (4 * np.pi * r**3)
    known = point * np.array([1 - 3 * x * x / r**2, 1 - 3 * y * y / r**2, 1, -3 * x * y / r**2])
    found = np.array([part[29, 20] for part in (n_xx, n_yy, n_zz, n_xy)])
    np.testing.assert_allclose(found, known, rtol=0, atol=2e-3 * point)


def test_the_tensor_has_the_symmetry_of_its_cells():
    """x <-> y of square cells, reciprocity (A symmetric), nothing off the diagonal on an axis."""
    n_xx, n_yy, n_zz, n_xy = layer_tensor(12, 2e-9, 1.4e-9)
    np.testing.assert_allclose(n_xx, n_yy.T, rtol=0, atol=1e-13)
    np.testing.assert_allclose(n_zz, n_zz.T, rtol=0, atol=1e-13)
    np.testing.assert_allclose(n_xy, n_xy.T, rtol=0, atol=1e-13)
    assert np.abs(n_xy[0]).max() < 1e-13
    magnet = small(shape="ellipse", diameter_m=36e-9, across_m=24e-9)
    for part in (magnet._xy, magnet._z):
        np.testing.assert_allclose(part, part.T, rtol=0, atol=1e-12)


def test_the_operator_holds_the_field_of_a_dipole():
    """µ0 Ms V (3 x y)/(4π r⁵), the y field of a distant cell magnetised along x, in every quadrant
    (3 %: cells are no points)."""
    magnet = small()
    volume = magnet.element.side_m**2 * magnet.element.thickness_m
    one = int(np.argmin(np.hypot(magnet.x_m, magnet.y_m)))
    m = np.zeros((3, magnet.cells, 1))
    m[0, one] = 1
    x, y = magnet.x_m - magnet.x_m[one], magnet.y_m - magnet.y_m[one]
    r = np.hypot(x, y)
    far = (r > 10e-9) & (np.abs(x * y) > 0.2 * r**2)
    known = MU0 * 1e6 * volume * 3 * x[far] * y[far] / (4 * np.pi * r[far] ** 5)
    assert len({(a > 0, b > 0) for a, b in zip(x[far], y[far], strict=True)}) == 4
    np.testing.assert_allclose(magnet.linear_t(m)[1, far, 0], known, rtol=0.03)


# -- exchange, energy -----------------------------------------------------------------------------


def test_exchange_of_a_uniform_state_is_zero():
    """Free edges: every row of the Laplacian adds up to 0 (1e-12 of its diagonal)."""
    exchange = small().exchange_t
    assert np.abs(exchange.sum(1)).max() < 1e-12 * np.abs(exchange).max()


def test_exchange_of_a_standing_wave_is_that_of_its_wave_number():
    """-2 A/Ms (2 - 2 cos(q a))/a² for cos(q x), q = π n/L, on a square with free edges (1e-12)."""
    magnet = small(shape="square")
    side, count = magnet.element.side_m, magnet.element.count
    q = 2 * np.pi / (count * side)
    wave = np.cos(q * (magnet.x_m + count * side / 2))
    stiffness = 2 * 15e-12 / 1e6 * (2 - 2 * np.cos(q * side)) / side**2
    np.testing.assert_allclose(magnet.exchange_t @ wave, -stiffness * wave, atol=1e-12 * stiffness)


def test_the_field_is_the_gradient_of_the_energy():
    """cells · dE/dm = -(A m + B), by central differences (1e-7 T)."""
    magnet, rng = small(), np.random.default_rng(3)
    m = rng.normal(size=(3, magnet.cells, 1))
    field = np.array([[0.02], [-0.01], [0.03]])
    known = magnet.linear_t(m) + field[:, None]
    for axis, cell in ((0, 3), (1, 17), (2, 40)):
        step = np.zeros_like(m)
        step[axis, cell] = 1e-4
        slope = (magnet.energy_t(m + step, field) - magnet.energy_t(m - step, field)) / 2e-4
        assert -slope[0] * magnet.cells == pytest.approx(known[axis, cell, 0], abs=1e-7)


# -- minimiser ------------------------------------------------------------------------------------


def test_at_rest_no_cell_feels_a_torque_and_all_are_unit_vectors():
    """|m x B| below the tolerance, here 1e-7 T; |m| = 1 to 1e-14."""
    magnet, field = small(), in_plane(np.linspace(-0.2, 0.2, 7), 0.01)
    m = magnet.rest(field, tolerance_t=1e-7)
    b = magnet.linear_t(m) + field.T[:, None]
    assert np.linalg.norm(np.cross(m, b, axis=0), axis=0).max() < 1e-7
    assert np.abs(np.linalg.norm(m, axis=0) - 1).max() < 1e-14


@given(st.integers(0, 2**32 - 1), st.floats(-0.3, 0.3), st.floats(-0.1, 0.1))
@settings(max_examples=10, deadline=None)
def test_the_energy_never_rises(seed, h_t, bias_t):
    """From any start, at every step (to 2e-15 of µ0 Ms, its rounding)."""
    magnet = small()
    start = np.random.default_rng(seed).normal(size=(3, magnet.cells, 2))
    seen: list[np.ndarray] = []
    magnet.rest(in_plane([h_t, -h_t], bias_t), start,
                watch=lambda live, e: seen.append(_spread(live, e, 2)))  # fmt: skip
    rises = np.diff(np.array(seen), axis=0)
    assert len(seen) > 5
    assert np.nanmax(rises) <= 2e-15 * MU0 * 1e6


def _spread(live, energies, points):
    out = np.full(points, np.nan)
    out[live] = energies
    return out


def test_who_does_not_come_to_rest_says_so():
    with pytest.raises(NotAtRestError, match=r"after 2 steps at \(50, 0, 10\) mT"):
        small().rest([[0.05, 0, 0.01]], most=2)


def test_a_reversed_field_mirrors_every_cell():
    """Reflection in x with time reversal: (-m_x, m_y, m_z)(-x) in the field -h (1e-4)."""
    magnet, h = small(), np.array([0.03, 0.09, 0.2])
    ahead, back = (magnet.rest(in_plane(sign * h, 0.01), tolerance_t=1e-8) for sign in (1, -1))
    mirror = np.lexsort((magnet.y_m, -magnet.x_m))
    mirror = mirror[np.argsort(np.lexsort((magnet.y_m, magnet.x_m)))]
    np.testing.assert_allclose(magnet.x_m[mirror], -magnet.x_m, atol=1e-15)
    signs = np.array([-1, 1, 1])[:, None, None]
    np.testing.assert_allclose(back, signs * ahead[:, mirror], rtol=0, atol=1e-4)


def test_with_one_well_history_does_not_matter():
    """Followed and independent starts agree (2e-5, from a torque of 1e-7 T)."""
    magnet, field = small(), in_plane(np.linspace(-0.2, 0.2, 9), 0.01)
    followed, alone = (way(field, tolerance_t=1e-7) for way in (magnet.follow, magnet.rest))
    np.testing.assert_allclose(followed, alone, rtol=0, atol=2e-5)


def test_a_followed_element_keeps_its_well_and_switches_at_its_anisotropy():
    """Stoner-Wohlfarth, field along the axis: switching at -k.  Between the fields at which the
    edge bends and at which the uniform state would turn (80 to 100 % of k)."""
    magnet = small()
    k = magnet.uniform_k_t
    b_z = np.concatenate(([0.0], -np.linspace(0.8, 1.02, 12))) * k
    followed = magnet.follow(np.stack((0 * b_z, 0 * b_z, b_z), axis=1)).mean(1)[2]
    assert followed[0] > 0.999
    assert followed[1] > 0.99  # metastable: the field has long favoured -z
    assert followed[-1] < -0.99


# -- macrospin limit, planar law ------------------------------------------------------------------


def test_strong_exchange_makes_a_macrospin():
    """The planar law with the uniform state's k, hz the bias, k2 = 0: within 5e-4 at A = 1 nJ/m,
    ten times as far at a tenth of it (perturbation theory: the edge bends as 1/A)."""
    h, far = np.linspace(-0.4, 0.4, 15), []
    for a in (1e-9, 1e-10):
        magnet = small(a_exchange_j_per_m=a)
        mean = magnet.rest(in_plane(h, 0.03)).mean(1)
        angle = planar_angle(h, magnet.uniform_k_t, 0.03, 0.0)
        far.append(np.abs(mean - (np.sin(angle), 0 * h, np.cos(angle))).max())
    assert far[0] < 5e-4
    assert far[1] / far[0] == pytest.approx(10, rel=0.2)


@pytest.mark.parametrize("nm", DIAMETERS_NM)
def test_three_parameters_describe_a_disc(discs, nm):
    """Planar law h = k u + hz u/sqrt(1 - u²) + k2 u³: what is left, as the page says (0.02 %)."""
    magnet, _, fit = discs[nm]
    said = re.search(rf"^\| {nm} nm \| ([\d.]+) \| ([\d.]+) \|$", PAGE, re.MULTILINE)
    assert said is not None
    assert fit.rms_x * 100 == pytest.approx(float(said[1]), abs=0.02)
    assert fit.rms_z * 100 == pytest.approx(float(said[2]), abs=0.02)
    assert fit.rms_x < 0.008
    assert fit.rms_z < 0.009
    assert 0.02 < fit.k2_t < 0.032  # the edge makes a second order
    assert fit.k_t < magnet.uniform_k_t


@pytest.mark.parametrize("nm", DIAMETERS_NM)
def test_a_disc_s_curve_is_odd_and_even(discs, nm):
    """m_x(-h) = -m_x(h), m_z(-h) = m_z(h), to 1e-4 at a torque of 1e-6 T."""
    _, one, _ = discs[nm]
    np.testing.assert_allclose(one.h_t, -one.h_t[::-1], atol=1e-15)
    np.testing.assert_allclose(one.m_x, -one.m_x[::-1], rtol=0, atol=1e-4)
    np.testing.assert_allclose(one.m_z, one.m_z[::-1], rtol=0, atol=1e-4)


@given(st.floats(5e-3, 0.1), st.floats(0.1, 1.5), st.floats(0, 2))
@settings(max_examples=15, deadline=None)
def test_the_fit_finds_the_law_that_made_a_curve(k, hz, k2):
    h = np.linspace(-5, 5, 61) * (k + k * hz)
    angle = planar_angle(h, k, k * hz, k * k2)
    fit = fit_planar(Curve(h, np.sin(angle), np.cos(angle)))
    np.testing.assert_allclose((fit.k_t, fit.hz_t, fit.k2_t), (k, k * hz, k * k2), atol=2e-3 * k)
    assert max(fit.rms_x, fit.rms_z) < 1e-4


def test_the_planar_slope_is_the_slope_of_the_planar_law():
    """dm_x/dh = m_z³/(hz + k m_z³ + 3 k2 m_z³ (1 - m_z²)), by central differences (1e-6)."""
    law = (0.06, 0.02, 0.03)
    h = np.linspace(-0.3, 0.3, 13)
    up, down = (np.sin(planar_angle(h + d, *law)) for d in (1e-6, -1e-6))
    slope = planar_slope(np.cos(planar_angle(h, *law)), *law)
    np.testing.assert_allclose((up - down) / 2e-6, slope, rtol=1e-6, atol=1e-6)


def test_tanh_is_no_distance_from_tanh():
    """Unit width of a known curve, to 1e-6; distances 0 to the spline's 1e-5."""
    h = np.linspace(-0.2, 0.2, 201)
    one = Curve(h, np.tanh(h / 0.05), 1 / np.cosh(h / 0.05))
    far = distance(one, fit_planar(one))
    assert far.unit_width_t == pytest.approx(0.05, rel=1e-6)
    assert max(far.tanh_rms, far.sech_rms, far.slope_rms) < 1e-5


def test_the_law_s_slope_is_taken_from_the_angle_of_both_readings():
    """A planar curve whose vector motion has shortened by 5 %: its angle, and so the law's slope
    dm_x/dh, is still that of the planar law, where m_z alone would be read as another angle."""
    law = (4e-3, 1.36e-3, 2.56e-3)
    h = np.linspace(-0.02, 0.02, 401)
    angle = planar_angle(h, *law)
    one = Curve(h, np.sin(angle), np.cos(angle))
    short = Curve(h, 0.95 * one.m_x, 0.95 * one.m_z)
    fit = PlanarFit(*law, 0.0, 0.0)
    assert distance(one, fit).law_rms < 1e-5
    far = distance(short, fit)
    # What is left is the slope's own 5 %: 0.05 h0 dm_x/dh.
    u = np.linspace(-3, 3, 241) * far.unit_width_t
    own = 0.05 * far.unit_width_t * planar_slope(np.cos(planar_angle(u, *law)), *law)
    assert far.law_rms == pytest.approx(np.sqrt(np.mean(own**2)), rel=1e-3)


def test_a_macrospin_may_have_effective_fields_below_0():
    fit = PlanarFit(-1e-3, 5e-3, -2e-4, 0.0, 0.0)
    layer = free_layer(Element(), fit, 1.0)
    assert (layer.k_t, layer.k2_t) == (-1e-3, -2e-4)


def test_a_curve_that_ends_too_early_has_no_unit_width():
    h = np.linspace(-0.1, 0.1, 51)
    with pytest.raises(ResponseError, match="no unit width"):
        unit_width_t(Curve(h, np.tanh(h / 0.05), 1 / np.cosh(h / 0.05)))


def test_a_field_point_of_a_60_nm_disc_takes_few_steps(discs):
    """12 products with the dense operator on average, 17 for the slowest; 25 are allowed."""
    magnet, one, _ = discs[60]
    steps = []
    magnet.rest(in_plane(one.h_t, 0.01), watch=lambda moving, _: steps.append(len(moving)))
    assert len(steps) <= 25
    assert sum(steps) <= 16 * len(one.h_t)


# -- elements that are none -----------------------------------------------------------------------


@pytest.mark.parametrize("field", RANGES)
@pytest.mark.parametrize("value", [float("nan"), -1.0, 1e12])
def test_a_value_out_of_range_is_named_with_its_range(field, value):
    with pytest.raises(DiscError, match=rf"^{field}: .* is not between .* and ") as told:
        Element(**{"shape": "ellipse", "across_m": 50e-9} | {field: value})
    assert told.value.field == field


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"shape": "star"}, r"shape: 'star' is not disc, ellipse or square"),
        ({"shape": "ellipse"}, r"across_m: an ellipse needs it"),
        ({"across_m": 30e-9}, r"across_m: a disc has none"),
        ({"shape": "ellipse", "across_m": 70e-9}, r"across_m: 70 nm .* 10 nm and 60 nm"),
        ({"cell_m": 1e-9}, r"cell_m: 1 nm is not between 1\.681 nm and 4\.886 nm"),
        ({"cell_m": 6e-9}, r"cell_m: 6 nm"),
        ({"diameter_m": 200e-9}, r"diameter_m: 200 nm is not between 10 nm and 174\.3 nm"),
    ],
)
def test_shapes_and_cells_that_do_not_fit_are_refused(changes, says):
    with pytest.raises(DiscError, match=says):
        Element(**changes)


def test_an_element_that_lies_in_the_plane_is_refused_with_the_anisotropy_it_needs():
    with pytest.raises(
        DiscError, match=r"ku_j_per_m3: 400 kJ/m\^3 is not between .* bias of 10"
    ) as e:
        curve(small(ku_j_per_m3=400e3), 0.01)
    least = float(e.value.says.split("between ")[1].split(" kJ")[0]) * 1e3
    assert small(ku_j_per_m3=least + 100).uniform_k_t + 0.01 == pytest.approx(0, abs=1e-3)
    with pytest.raises(DiscError, match="bias_t: 1 T is not between 100 µT and 500 mT"):
        curve(small(), 1.0)


def test_cells_fill_the_shape():
    """Area of the cells, to 3 %; an ellipse is as flat as it was asked to be."""
    for element in (
        Element(), Element(shape="square"),
        Element(shape="ellipse", diameter_m=80e-9, across_m=50e-9),
    ):  # fmt: skip
        magnet = Magnet(element)
        assert magnet.cells * element.side_m**2 == pytest.approx(element.area_m2, rel=0.03)
        assert 600 <= magnet.cells <= 760
    assert np.ptp(magnet.y_m) / np.ptp(magnet.x_m) == pytest.approx(50 / 80, abs=0.03)
    assert magnet.uniform_ky_t > 0  # x, the long axis, is the easier one


# -- thermal mean, stability ----------------------------------------------------------------------


def test_without_anisotropy_the_mean_is_langevins():
    """m = coth b - 1/b along the field, b = Ms V B/kT (1e-10)."""
    layer = FreeLayer(k_t=0, k2_t=0, hz_t=1e-3, diameter_m=40e-9)
    current = np.linspace(-0.02, 0.02, 7)
    b_x, b_z = layer.fields_t(current)
    size = np.hypot(b_x, b_z)
    reduced = size / layer.thermal_field_t
    langevin = 1 / np.tanh(reduced) - 1 / reduced
    found = boltzmann_mean(layer, current)
    np.testing.assert_allclose(found, (b_x / size * langevin, b_z / size * langevin), atol=1e-10)


@pytest.mark.parametrize("name", PRESETS)
def test_the_nodes_are_close_enough(name):
    """thermal.boltzmann with 256 nodes each way: the same to 1e-12, at any current."""
    layer = PRESETS[name].layer
    for current in (np.zeros(1), np.linspace(-0.03, 0.03, 5)):
        b_x, b_z = layer.fields_t(current)
        for at, (x, z) in enumerate(np.broadcast(b_x, b_z)):
            exact = thermal.boltzmann(
                layer.k_t, layer.k2_t, layer.ky_t, np.array([x, 0, z]), layer.thermal_field_t, 256
            )[0]
            found = np.array(boltzmann_mean(layer, current))[:, at]
            np.testing.assert_allclose(found, exact[::2], rtol=0, atol=1e-12)


@pytest.mark.parametrize(("name", "most"), [("planar-tanh", 1.2e-3), ("disc-60nm", 1.2e-3)])
def test_the_bench_s_mean_inside_a_well_agrees_with_quadrature(name, most):
    layer, current = PRESETS[name].layer, np.linspace(-0.027, 0.027, 13)
    first = equilibrium.average(layer, current, equilibrium.angle(layer, current))
    np.testing.assert_allclose(boltzmann_mean(layer, current), first, rtol=0, atol=most)


def test_stability_is_the_barrier_between_the_poles():
    """Δ: largest less smallest energy over θ without field, in kT."""
    layer = FreeLayer()
    z = np.linspace(-1, 1, 2001)
    e = -layer.k_t / 2 * z**2 + layer.k2_t / 4 * (1 - z**2) ** 2
    assert stability(layer) == pytest.approx(np.ptp(e) / layer.thermal_field_t, rel=1e-12)
    assert stability(FreeLayer(temperature_k=0)) == np.inf


# -- presets --------------------------------------------------------------------------------------


def bench(tmp_path, **junctions):
    demo = (ROOT / "sim_backend" / "demo.yaml").read_text(encoding="utf-8")
    data = yaml.safe_load(demo)
    data["junctions"] = {"channels": data["junctions"]["channels"]} | junctions
    path = tmp_path / "sim.yaml"
    path.write_text(yaml.safe_dump(data), encoding="utf-8")
    return path


@pytest.mark.parametrize("name", PRESETS)
def test_a_bench_is_made_of_a_preset(tmp_path, name):
    junctions = load_truth(bench(tmp_path, preset=name)).junctions
    preset = PRESETS[name]
    assert (junctions.layer, junctions.x, junctions.z) == (preset.layer, preset.x, preset.z)


def test_the_default_is_planar_tanh(tmp_path):
    assert PRESETS["planar-tanh"].layer == FreeLayer()
    plain = load_truth(bench(tmp_path)).junctions
    assert load_truth(bench(tmp_path, preset="planar-tanh")).junctions.layer == plain.layer


def test_what_is_written_beside_a_preset_counts(tmp_path):
    path = bench(tmp_path, preset="disc-60nm", layer={"temperature_k": 0}, z={"tmr": 1.5})
    junctions = load_truth(path).junctions
    disc = PRESETS["disc-60nm"]
    assert junctions.layer == disc.layer.model_copy(update={"temperature_k": 0})
    assert junctions.z.tmr == 1.5
    assert junctions.x == disc.x


@pytest.mark.parametrize("name", ["mtj-2000", 3, ["planar-tanh"]])
def test_a_preset_that_is_none_is_told_with_those_that_are(tmp_path, name):
    with pytest.raises(TruthError, match=r"preset is .*; it must be one of planar-tanh, bare-"):
        load_truth(bench(tmp_path, preset=name))


def test_presets_are_what_their_names_say(discs):
    bare, hops = PRESETS["bare-perpendicular"].layer, PRESETS["superparamagnetic"].layer
    assert (bare.k2_t, bare.hz_t) == (0, pytest.approx(0.05 * bare.k_t))
    assert stability(hops) < 6
    magnet = discs[60][0]
    fit = fit_planar(curve(magnet, 20e-3))
    solved, kept = free_layer(magnet.element, fit, 8.8), PRESETS["disc-60nm"].layer
    for field, value in kept.model_dump().items():
        assert getattr(solved, field) == pytest.approx(value, rel=5e-3), field


def test_the_oblique_reference_s_read_out_is_not_monotonic():
    """Conductance over the field has its largest value inside, where m lies at 45 degrees."""
    preset = PRESETS["oblique-reference"]
    one = layer_curve(preset.layer)
    still = np.zeros_like(one.m_x)
    m, b = (np.stack((x, still, z), axis=-1) for x, z in ((one.m_x, one.m_z), (one.h_t, still)))
    g = preset.x.conductance_s(m, b, 0.02)
    top = int(g.argmax())
    assert 10 < top < len(g) - 10
    assert one.m_x[top] == pytest.approx(one.m_z[top], abs=0.05)
    assert np.all(np.diff(g[:top]) > 0)
    assert np.all(np.diff(g[top:]) < 0)


# -- commands -------------------------------------------------------------------------------------

runner = CliRunner()
QUICK = ("physics", "disc", "--diameter", "60nm", "--cell", "4 nm", "--points", "41")


def call(*words):
    result = runner.invoke(app, [*words])
    assert result.exit_code == 0, result.output
    return result.stdout


def refused(*words):
    result = runner.invoke(app, [*words], terminal_width=400, env={"COLUMNS": "400"})
    assert result.exit_code == 2, result.output
    return " ".join(result.stderr.split())


def test_disc_writes_a_preset_that_a_bench_can_be_made_of(tmp_path):
    file, picture = tmp_path / "preset.yaml", tmp_path / "curve.png"
    report = json.loads(
        call(*QUICK, "--bz", "20 mT", "-o", str(file), "--plot", str(picture), "--json")
    )
    layer = load_truth(
        bench(tmp_path, layer=yaml.safe_load(file.read_text("utf-8")))
    ).junctions.layer
    assert layer.model_dump() == pytest.approx(report["layer"], rel=1e-5)
    assert layer.k_t == pytest.approx(report["fit"]["k_t"], rel=1e-5)
    unit_width_a = report["distance"]["unit_width_t"] / layer.field_constant_t_per_a
    assert unit_width_a == pytest.approx(9e-3, rel=1e-5)
    assert len(report["h_t"]) == len(report["m_x"]) == len(report["m_z"]) == 41
    assert report["element"]["cell_m"] == pytest.approx(4e-9)
    assert report["files"] == {"preset": str(file), "plot": str(picture)}
    assert picture.read_bytes().startswith(b"\x89PNG")
    # The macrospin's own curve is the disc's, within what the fit left.
    cold = layer_curve(layer.model_copy(update={"temperature_k": 0}))
    m_x = np.interp(report["h_t"], cold.h_t, cold.m_x)
    assert np.sqrt(np.mean((m_x - report["m_x"]) ** 2)) < 0.004


def test_disc_prints_its_figures():
    text = call(*QUICK, "--ku", "0.84 mJ/m²", "--field-constant", "0.6 mT/mA")
    assert "planar law: RMS 0." in text
    assert "unit width" in text
    by_volume = call(*QUICK, "--ku", "600 kJ/m^3", "--field-constant", "0.6 T/A")
    assert text.splitlines()[-2] == by_volume.splitlines()[-2]


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("--diameter", "5 nm", "5 nm is not between 10 nm and 250 nm"),
        ("--diameter", "60", "'60' has no unit"),
        ("--diameter", "60 mA", "'60 mA' is not"),
        ("--thickness", "0 nm", "0 m is not between 300 pm and 5 nm"),
        ("--ms", "1 MA", "'1 MA' is not in A/m; write it such as '1 A/m'"),
        ("--ms", "9 MA/m", "9 MA/m is not between 100 kA/m and 2 MA/m"),
        ("--ku", "1 J/m^4", "'1 J/m^4' is not in J/m^3"),
        ("--ku", "100 kJ/m^3", "100 kJ/m^3 is not between"),
        ("--a-exchange", "15 pN", "'15 pN' is not in J/m"),
        ("--bz", "2 T", "2 T is not between 100 µT and 500 mT"),
        ("--shape", "star", "'star' is not disc, ellipse or square"),
        ("--across", "20 nm", "a disc has none"),
        ("--cell", "20 nm", "20 nm is not between"),
        ("--points", "3", "3 is not between 21 and 2001"),
        ("--field-constant", "0.6 T", "'0.6 T' is not in T/A"),
        ("--field-constant", "-1 T/A", "-1 T/A is not above 0 T/A"),
        ("--field-constant", "1e9T/A", "1e9T/A is not above 0 T/A and at most 1e+06 T/A"),
        ("--output", "no/such/folder/p.yaml", "cannot be written (No such file or directory)"),
        ("--plot", "curve.nothing", "cannot be written (Format 'nothing' is not supported"),
    ],
)
def test_a_bad_value_gets_a_sentence_with_option_value_and_range(option, value, says):
    text = refused(*QUICK, f"{option}={value}")
    assert f"Invalid value for {option}: " in text
    assert says in text


def full(*_args, **_more):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def half(path, *_args, **_more):
    """A picture on a disk that is full by the middle of it."""
    path.write_bytes(b"half of it")
    full()


@pytest.mark.parametrize("before", [None, "what was there"])
def test_a_full_disk_leaves_no_part_of_a_file(tmp_path, monkeypatch, before):
    """Nothing, or what was there before, and a sentence with the option."""
    files = {"-o": tmp_path / "preset.yaml", "--plot": tmp_path / "curve.png"}
    for file in files.values():
        if before is not None:
            file.write_text(before)
    monkeypatch.setattr(figures, "draw_disc", half)
    text = refused(*QUICK, "--plot", str(files["--plot"]))
    assert "Invalid value for --plot: " in text
    assert "curve.png cannot be written (No space left on device)" in text
    monkeypatch.setattr(physics, "_preset_text", lambda *_: "half of it")
    monkeypatch.setattr(Path, "replace", full)
    assert "preset.yaml cannot be written (No space left" in refused(*QUICK, "-o", str(files["-o"]))
    left = {file.name: file.read_text() for file in tmp_path.iterdir()}
    assert left == ({} if before is None else {f.name: before for f in files.values()})


def test_a_full_device_is_told_and_stays_a_device():
    device = Path("/dev/full")
    assert "/dev/full cannot be written (No space left on device)" in refused(
        *QUICK, "-o", str(device)
    )
    assert device.is_char_device()


def test_a_file_that_cannot_be_written_is_told_before_solving(tmp_path, monkeypatch):
    def solved(*_args):
        raise AssertionError("it was solved first")

    monkeypatch.setattr("sim_backend.llg.disc_response.curve", solved)
    for option in ("-o", "--plot"):
        missing, here = str(tmp_path / "none" / "a.png"), str(tmp_path)
        assert "(No such file or directory)" in refused(*QUICK, option, missing)
        assert "(Is a directory)" in refused(*QUICK, option, here)
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert "(Permission denied)" in refused(*QUICK, "-o", str(tmp_path / "preset.yaml"))


def test_figures_are_whole_or_not_there(tmp_path, monkeypatch):
    def one(path):
        assert path.suffix == ".png"
        path.write_bytes(b"a picture")

    monkeypatch.setattr(figures, "FIGURES", {"one.png": one, "two.png": half})
    assert "two.png cannot be written (No space left" in refused(
        "physics", "figures", "-o", str(tmp_path)
    )
    assert [file.name for file in tmp_path.iterdir()] == ["one.png"]


def test_presets_are_listed_with_their_figures():
    listed = json.loads(call("physics", "presets", "--json"))["presets"]
    assert [row["name"] for row in listed] == list(PRESETS)
    fields = ("k_t", "k2_t", "hz_t", "delta", "unit_width_t", "tanh_rms", "sech_rms", "slope_rms")
    assert all(np.isfinite([row[field] for field in fields]).all() for row in listed)
    rows = {row["name"]: row for row in listed}
    assert rows["planar-tanh"]["tanh_rms"] < 0.006
    assert rows["bare-perpendicular"]["sech_rms"] > 0.1
    text = call("physics", "presets")
    assert all(name in text for name in PRESETS)


def test_the_page_s_table_is_what_the_command_prints(discs):
    """Presets and discs at 10 mT, as printed; the best biases only by being there."""
    said = [line.strip("| ").split(" | ") for line in PAGE.splitlines() if line.startswith("| ")]
    rows = {cells[0]: tuple(cells[1:]) for cells in said if len(cells) == 10}
    assert tuple(rows["junction"]) == physics._HEAD
    for row in survey.preset_rows():
        assert_close(rows[row["name"]], physics._cells(row))
    for nm, (magnet, one, fit) in discs.items():
        delta = stability(free_layer(magnet.element, fit, 1.0))
        row = survey.row("", fit.k_t, fit.k2_t, fit.hz_t, delta, distance(one, fit))
        assert_close(rows[f"disc {nm} nm, bias 10 mT"], physics._cells(row))
        assert sum(f"disc {nm} nm" in name for name in rows) == 2
    assert '"quasi-exact"' in rows["arXiv 2409.02528"]


def assert_close(said, printed):
    """Equal within one unit of the second digit: another machine rounds differently."""
    for a, b in zip(said, printed, strict=True):
        assert float(a) == pytest.approx(float(b), rel=0.06)


@pytest.mark.parametrize("command", ["disc", "presets", "compare", "figures"])
def test_every_command_has_help_with_examples(command):
    text = call("physics", command, "--help")
    assert f"spinloop physics {command}" in text
    assert "Example" in text
