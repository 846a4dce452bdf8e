"""Rest states in three dimensions and their history, against known answers and each other.

Energy as in sim_backend.llg.fields; fields in units of a few anisotropies.
"""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim_backend.llg import motion, response, secular, sphere
from sim_backend.llg.ensemble import Ensemble
from sim_backend.llg.fields import Fields
from sim_backend.llg.ranges import ParameterError

FEW = settings(max_examples=40, deadline=None, derandomize=True)
part = st.floats(-1.5, 1.5).map(lambda value: round(value, 3))
vector = st.tuples(part, part, part)


def fields(k, ky, b, k2=0.0, a=(0.0, 0.0, 0.0)):
    k, ky, k2 = (np.asarray(value, float) for value in (k, ky, k2))
    return Fields(k, k2, ky, np.asarray(b, float), np.asarray(a), np.zeros(()), np.full((), 0.1))


def unit(*shape, seed=0):
    v = np.random.default_rng(seed).normal(size=(*shape, 3))
    return v / np.linalg.norm(v, axis=-1, keepdims=True)


def many(count, seed=0, k2=False):
    """Random junctions, easy planes among them, in fields from weak to strong."""
    r = np.random.default_rng(seed)
    b = r.normal(size=(count, 3)) * r.choice([0.02, 0.1, 0.5, 1, 3], size=(count, 1))
    k, ky = r.uniform(-1, 1, (2, count))
    return fields(k, ky, b, r.uniform(-1, 1, count) if k2 else 0.0)


def torque(fields, m):
    return np.linalg.norm(np.cross(m, fields.field_t(m)), axis=-1)


def distance(a, b):
    return np.linalg.norm(a - b, axis=-1)


# -- the secular equation -------------------------------------------------------------------------


def test_no_state_lies_below_the_secular_minimum():
    """E of 500 random junctions over 4000 directions: none below the secular equation's minimum
    (Moré and Sorensen 1983), and no torque there.  To 1e-12 and 1e-14."""
    f, directions = many(500), unit(4000)
    m = secular.minimum(f)
    lowest = np.array([f[i].energy_t(directions).min() for i in range(500)])
    assert (f.energy_t(m) <= lowest + 1e-12).all()
    assert torque(f, m).max() <= 1e-14


def test_newtons_method_finds_the_two_secular_branches_and_no_other_state():
    """From random starts every rest state is the secular equation's global minimum or its other
    root (Martínez 1994), to 1e-10, and both are met."""
    f = many(3000, 1)
    rest = sphere.rest(f, unit(3000, seed=2))
    other, exists = secular.metastable(f)
    near = distance(rest.m, secular.minimum(f)) < 1e-10
    far = np.where(exists, distance(rest.m, other), 9) < 1e-10
    assert rest.at_rest.all() and (near ^ far).all()
    assert 0.1 < far.mean() < 0.5 and 0.1 < exists.mean() < 0.6
    assert np.isnan(other[~exists]).all()


@pytest.mark.parametrize("psi", [5, 20, 45, 70, 85])
def test_the_metastable_branch_ends_at_the_astroid(psi):
    """h = (cos^⅔ψ + sin^⅔ψ)^-3/2 (Stoner and Wohlfarth 1948), to 1e-6."""
    p = math.radians(psi)
    h = (math.cos(p) ** (2 / 3) + math.sin(p) ** (2 / 3)) ** -1.5
    b = np.outer([h - 1e-6, h + 1e-6], [math.sin(p), 0, math.cos(p)])
    assert secular.metastable(fields(1.0, 0.0, b))[1].tolist() == [True, False]


def test_without_a_field_along_the_easy_axis_the_caller_chooses_the_side():
    """λ = 0: m = (b_x/k, b_y/(k+ky), ± the rest) inside the ellipse, and outside the field's own
    root with m_z = 0; the other side is the metastable state.  To 1e-15."""
    f = fields(1.0, 0.25, [[0.3, 0.1, 0], [1.5, 0.1, 0], [0, 0, 0]])
    z = math.sqrt(1 - 0.3**2 - 0.08**2)
    for side in (1, -1):
        m = secular.minimum(f, (0, 0, side))
        other, exists = secular.metastable(f, (0, 0, side))
        assert m[0] == pytest.approx([0.3, 0.08, side * z], abs=1e-15)
        assert other[0] == pytest.approx([0.3, 0.08, -side * z], abs=1e-15)
        assert m[2] == pytest.approx([0, 0, side]) and m[1, 2] == 0
        assert torque(f[1], m[1]) <= 1e-15
        assert exists.tolist() == [True, False, True]


def test_a_points_bits_do_not_depend_on_its_company():
    """One point alone, in any cut of the list, and in threads: the same bits."""
    f, starts = many(300, 3), unit(300, seed=4)
    whole, rest = secular.minimum(f), sphere.rest(f, starts, threads=1)
    pieces = [secular.minimum(f[lo : lo + 7]) for lo in range(0, 300, 7)]
    assert np.array_equal(np.concatenate(pieces), whole)
    assert np.array_equal(secular.minimum(f[41]), whole[41])
    more = many(3000, 3)
    many_starts = unit(3000, seed=4)
    one, four = (sphere.rest(more, many_starts, threads=n).m for n in (1, 4))
    assert np.array_equal(one, four)
    assert np.array_equal(sphere.rest(f[100:], starts[100:]).m, rest.m[100:])


# -- Newton's method on the sphere ----------------------------------------------------------------


@FEW
@given(part, part, part, vector, st.integers(0, 999))
def test_energy_never_rises_and_no_torque_is_left(k, k2, ky, b, seed):
    """A rest state lies below its start, has no torque (1e-12 of the fields), and near by the
    energy rises at least as the curvature says (3e-12 of the fields, third order)."""
    f, start = fields(k, ky, b, k2), unit(seed=seed)
    rest = sphere.rest(f, start)
    if not rest.at_rest:  # a field of a thousandth on a flat direction
        assert float(f.largest_t) == 0 or np.linalg.norm(b) < 0.01
        return
    scale = float(f.largest_t)
    assert f.energy_t(rest.m) <= f.energy_t(start) + 4e-16 * scale
    assert torque(f, rest.m) <= 1e-12 * scale
    near = rest.m + 1e-4 * unit(64, seed=seed)
    near /= np.linalg.norm(near, axis=-1, keepdims=True)
    rise = f.energy_t(near) - f.energy_t(rest.m)
    lowest = rest.curvature_t / 2 * distance(near, rest.m) ** 2
    assert (rise >= lowest - 3e-12 * scale - 1e-15).all()


@FEW
@given(part, part, part, vector, st.integers(0, 999))
def test_a_mirrored_field_mirrors_the_rest_state(k, k2, ky, b, seed):
    """E(m_x, b_x) = E(-m_x, -b_x): every rest state has a mirror image at rest, to 1e-9."""
    mirror = np.array([-1.0, 1.0, 1.0])
    rest = sphere.rest(fields(k, ky, b, k2), unit(seed=seed))
    there = sphere.rest(fields(k, ky, b * mirror, k2), rest.m * mirror)
    if rest.at_rest and rest.curvature_t > 1e-3:
        assert there.m == pytest.approx(rest.m * mirror, abs=1e-9)
        assert there.curvature_t == pytest.approx(rest.curvature_t, abs=1e-8)


def test_rest_states_obey_the_planar_law():
    """h = k u + k2 u³ + hz u/sqrt(1-u²) (stationary points of E), to 1e-12 in the angle's
    components, by bisection."""
    k, k2, hz = 0.05, 0.032, 0.017
    h = np.linspace(-0.3, 0.3, 201)
    b = np.stack((h, 0 * h, 0 * h + hz), -1)
    theta = response.planar_angle(h, k, hz, k2)
    found = sphere.follow(fields(k, 0.0, b, k2), (0, 0, 1))
    exact = np.stack((np.sin(theta), 0 * h, np.cos(theta)), -1)
    assert np.abs(found.m - exact).max() <= 1e-12


def test_the_path_down_is_that_of_the_equation_of_motion():
    """From 300 random starts with two wells: the state of motion.relax (Runge-Kutta at α = 1), for
    all but the few starts that lie within a step (0.02 rad) of the border between the wells."""
    junctions = Ensemble(k_t=np.full(300, 0.05), k2_t=0.01, ky_t=0.01, hz_t=0.004)
    start = unit(300, 1, seed=5)
    slow = motion.relax(junctions, [0.02], start)
    quick = sphere.rest(junctions.fields([0.02]), start)
    apart = distance(slow.m, quick.m)
    assert ((apart < 1e-7) | (apart > 1)).all()
    assert (apart > 1).mean() <= 0.02 and 0.2 < (quick.m[..., 2] > 0).mean() < 0.8


def test_a_saddle_is_left_towards_plus_z():
    """m along x, hard axis k, without a field: the fall is to +z (sphere's rule)."""
    rest = sphere.rest(fields(1.0, 0.0, [0, 0, 0]), (1, 0, 0))
    assert rest.m == pytest.approx([0, 0, 1], abs=1e-12)
    assert rest.curvature_t == pytest.approx(1.0)


# -- history --------------------------------------------------------------------------------------


@pytest.mark.parametrize("points", [31, 3001])
@pytest.mark.parametrize("psi", [1, 10, 45, 80, 89])
def test_a_layer_switches_at_the_astroid(psi, points):
    """h = (cos^⅔ψ + sin^⅔ψ)^-3/2 (Stoner and Wohlfarth 1948): within one step of the list, be it
    1e-3 k or as coarse as 0.1 k; before it the metastable state, else the global one, to 1e-9."""
    p = math.radians(psi)
    h = np.linspace(-1.5, 1.5, points)
    b = np.outer(h, [math.sin(p), 0, math.cos(p)])
    m = sphere.follow(fields(1.0, 0.0, b), (0, 0, -1)).m
    at = int(np.abs(np.diff(m, axis=0)).max(axis=1).argmax())
    astroid = (math.cos(p) ** (2 / 3) + math.sin(p) ** (2 / 3)) ** -1.5
    assert h[at] <= astroid + 1e-9 and h[at + 1] >= astroid
    before, lower = secular.metastable(fields(1.0, 0.0, b))
    expected = secular.minimum(fields(1.0, 0.0, b))
    up = (h > 0) & (h < astroid)
    expected[up] = before[up]
    clear = (np.abs(h) > 1e-9) & (np.abs(h - astroid) > 1e-9)  # no field, and the cusp itself
    assert lower[up].all()
    assert distance(m, expected)[clear].max() <= 1e-9


def test_a_loop_closes_and_has_both_branches():
    """Up and down over ±1.5 k at 30 degrees: the branches are images of each other under m → -m,
    b → -b (E is even), differ between the switching fields and meet outside; 1e-9."""
    h = np.concatenate((np.linspace(-1.5, 1.5, 301), np.linspace(1.5, -1.5, 301)))
    b = np.outer(h, [math.sin(0.5), 0, math.cos(0.5)])
    m = sphere.follow(fields(1.0, 0.0, b), (0, 0, -1)).m
    rising, falling = m[:301], m[:300:-1]
    assert distance(m[0], m[-1]) <= 1e-9
    assert distance(rising, -falling[::-1]).max() <= 1e-9
    open_ = distance(rising, falling) > 1e-6
    assert open_[np.abs(h[:301]) < 0.5].all() and not open_[np.abs(h[:301]) > 0.6].any()


def test_a_list_cut_in_two_is_followed_as_one():
    """With its last point put in front and its last state as the start: the same to 1e-12."""
    h = np.linspace(-1.5, 1.5, 100)
    b = np.stack((0.4 * h, 0.1 + 0 * h, h), -1)
    f = fields(1.0, 0.2, b, 0.3)
    whole = sphere.follow(f, (0, 0, -1))
    first = sphere.follow(f[:40], (0, 0, -1))
    second = sphere.follow(f[39:], first.m[-1])
    assert np.abs(np.concatenate((first.m, second.m[1:])) - whole.m).max() <= 1e-12


def test_many_junctions_are_followed_side_by_side():
    """Each of 200 random ones as if it were alone: the same bits, in any number of threads."""
    r = np.random.default_rng(6)
    b = np.linspace(-2, 2, 50)[:, None] * r.normal(size=(200, 1, 3))
    f = fields(r.uniform(0.2, 1, (200, 1)), 0.1, b, r.uniform(0, 0.5, (200, 1)))
    one, four = (sphere.follow(f, (0, 0, 1), threads=n) for n in (1, 4))
    assert np.array_equal(one.m, four.m) and one.at_rest.all()
    assert np.array_equal(sphere.follow(f[17], (0, 0, 1)).m, one.m[17])
    assert torque(f, one.m).max() <= 1e-12


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: secular.minimum(fields(1, 0, [0, 0, 1], 0.5)), "k2_t is 0.5 T.*must be 0 T"),
        (lambda: secular.metastable(fields(1, 0, [0, 0, 1], a=(0, 0, 1e-3))), "a_t is 0.001 T"),
        (lambda: sphere.rest(fields(1, 0, [0, 0, 1], a=(0, 0, 1e-3)), (0, 0, 1)), "a_t is 0.001 T"),
        (lambda: sphere.rest(fields(1, 0, [0, 0, 1]), (0, 0, 0.5)), "length of start is 0.5"),
        (lambda: sphere.rest(fields(1, 0, [0, 0, 1]), np.zeros((4, 3))), "must fit"),
        (lambda: sphere.follow(fields(1, 0, [0, 0, 1]), (0, 0, 1)), "last axis"),
    ],
)
def test_what_has_no_answer_is_refused_in_a_sentence(call, words):
    """Field, value and range in the message."""
    with pytest.raises(ParameterError, match=words):
        call()
