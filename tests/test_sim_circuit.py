"""Kirchhoff's laws on the bench's wires, and sources that keep their limits."""

import dataclasses
import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim_backend.circuit import (
    EARTH,
    LEAK_S,
    CircuitError,
    Conductance,
    CurrentSource,
    Nonlinear,
    VoltageSource,
    Voltmeter,
    ends,
    join,
    relay,
    solve,
)
from sim_backend.network import Network
from tests.star import star_currents

NODES = ["a", "b", "c", "d", EARTH]
POINTS = 4
quick = settings(max_examples=60, deadline=None, derandomize=True)
pair = st.lists(st.sampled_from(NODES), min_size=2, max_size=2, unique=True)


def numbers(low, high):
    return st.lists(st.floats(low, high), min_size=POINTS, max_size=POINTS).map(np.array)


#: from an open contact to a wire of 1 mohm, also ones that are open at some points
siemens = st.one_of(
    st.sampled_from([0.0, 1e-10, 1e-4, 10.0, 1e3]),
    st.lists(st.sampled_from([0.0, 5e-5, 1e-4, 0.02]), min_size=POINTS, max_size=POINTS).map(
        np.array
    ),
)
conductances = pair.flatmap(lambda n: st.builds(Conductance, st.just(n[0]), st.just(n[1]), siemens))
meters = pair.map(lambda n: Voltmeter(*n))
unlimited = pair.flatmap(
    lambda n: st.one_of(
        st.builds(VoltageSource, st.just(n[0]), st.just(n[1]), numbers(-2, 2), ohm=st.just(50.0)),
        st.builds(CurrentSource, st.just(n[0]), st.just(n[1]), numbers(-1e-3, 1e-3)),
    )
)
limited = pair.flatmap(
    lambda n: st.one_of(
        st.builds(
            VoltageSource, st.just(n[0]), st.just(n[1]), numbers(-2, 2),
            st.sampled_from([1e-6, 1e-4, 0.1]), st.sampled_from([0.0, 50.0]),
        ),
        st.builds(
            CurrentSource, st.just(n[0]), st.just(n[1]), numbers(-1e-2, 1e-2),
            st.sampled_from([0.01, 1.0, 10.0]),
        ),
    )
)  # fmt: skip
passives = st.lists(st.one_of(conductances, meters), min_size=1, max_size=7)
circuits = st.tuples(passives, st.lists(limited, min_size=1, max_size=4)).map(
    lambda parts: [*parts[0], *parts[1]]
)


def is_source(element):
    return isinstance(element, VoltageSource | CurrentSource)


def largest(elements, quantity):
    return max(np.abs(quantity(e)).max() for e in elements)


def rounding_a(elements, solution):
    """What the last digits of voltages are worth in the best conductor, A."""
    volt = max(np.abs(solution.voltage(n)).max() for e in elements for n in ends(e))
    best = max((np.max(e.siemens) for e in elements if isinstance(e, Conductance)), default=0)
    return 1e-9 * largest(elements, solution.current) + 1e-13 * volt * best + 1e-17


# -- laws -----------------------------------------------------------------------------------------


@quick
@given(circuits)
def test_currents_into_every_node_add_up_to_none(elements):
    solution = solve(elements)
    for node in {n for e in elements for n in ends(e)} - {EARTH}:
        out = LEAK_S * solution.voltage(node)
        for e in elements:
            sign = (ends(e)[0] == node) - (ends(e)[1] == node)
            out = out + sign * solution.current(e) * (-1 if is_source(e) else 1)
        assert np.abs(out).max() <= rounding_a(elements, solution)


@quick
@given(circuits)
def test_what_the_sources_give_is_what_the_conductors_take(elements):
    """B. D. H. Tellegen, Philips Res. Rep. 7, 259 (1952)."""
    solution = solve(elements)
    power = {e: solution.across(e) * solution.current(e) for e in elements}
    nodes = {n for e in elements for n in ends(e)}
    leaked = sum(LEAK_S * solution.voltage(n) ** 2 for n in nodes)
    given_w = sum(p for e, p in power.items() if is_source(e))
    taken_w = sum(p for e, p in power.items() if not is_source(e)) + leaked
    volt = max(np.abs(solution.voltage(n)).max() for n in nodes)
    tolerance = 1e-9 * largest(elements, power.get) + 4 * volt * rounding_a(elements, solution)
    assert np.abs(given_w - taken_w).max() <= tolerance


@quick
@given(circuits)
def test_a_source_holds_its_set_value_or_its_limit_and_never_both_or_none(elements):
    solution = solve(elements)
    for e in filter(is_source, elements):
        volt, ampere, limits = solution.across(e), solution.current(e), solution.in_compliance(e)
        is_v = isinstance(e, VoltageSource)
        if is_v:
            held, limit, set_to = ampere, e.most_a, e.volt - e.ohm * ampere
            short, least = set_to - volt, 2e-6 * np.abs(ampere) + 1e-9
        else:
            held, limit, set_to = volt, e.most_v, e.ampere
            short, least = set_to - ampere, 1e-8 * np.abs(e.ampere) + 1e-14
        assert (np.abs(short[~limits]) <= least[~limits]).all()
        # A current source at its limit has 1e-6 ohm, and up to 0.4 A from the others.
        assert (np.abs(held) <= limit * (1 + 1e-8) + (1e-18 if is_v else 1e-6)).all()
        np.testing.assert_allclose(np.abs(held[limits]), limit, rtol=1e-8, atol=0 if is_v else 1e-6)
        # At its limit it would have to give more to reach what is set, never less.
        assert (short[limits] * np.sign(held[limits]) >= -least[limits]).all()


@quick
@given(passives, st.lists(unlimited, min_size=2, max_size=3))
def test_answers_of_several_sources_add_up(conductors, sources):
    """A source set to 0 is a wire with its resistance, or open."""

    def only(at):
        return [
            type(s)(s.hi, s.lo, value if i == at else 0.0, ohm=s.ohm)
            if isinstance(s, VoltageSource)
            else CurrentSource(s.hi, s.lo, value if i == at else 0.0)
            for i, s in enumerate(sources)
            for value in [s.volt if isinstance(s, VoltageSource) else s.ampere]
        ]

    names = {n for e in (*conductors, *sources) for n in ends(e)}
    whole = solve([*conductors, *sources])
    parts = [solve([*conductors, *only(at)]) for at in range(len(sources))]
    # Voltages reach mA/pS where there is no way but the leak.
    size = max(np.abs(p.voltage(n)).max() for p in (whole, *parts) for n in names)
    for n in names:
        total = sum(p.voltage(n) for p in parts)
        np.testing.assert_allclose(whole.voltage(n), total, rtol=1e-6, atol=1e-6 * size + 1e-9)


@quick
@given(circuits, st.randoms(use_true_random=False))
def test_the_order_of_the_elements_changes_nothing_beyond_rounding(elements, random):
    mixed = random.sample(elements, len(elements))
    first, second = solve(elements), solve(mixed)
    for e in elements:
        least = rounding_a(elements, first)
        np.testing.assert_allclose(first.current(e), second.current(e), rtol=1e-6, atol=10 * least)


@quick
@given(circuits)
def test_points_together_are_what_they_are_one_by_one(elements):
    def at(value, i):
        return value if np.ndim(value) == 0 else float(value[i])

    def point(e, i):
        if isinstance(e, Conductance):
            return Conductance(e.a, e.b, at(e.siemens, i))
        if isinstance(e, VoltageSource):
            return VoltageSource(e.hi, e.lo, at(e.volt, i), e.most_a, e.ohm)
        if isinstance(e, CurrentSource):
            return CurrentSource(e.hi, e.lo, at(e.ampere, i), e.most_v)
        return e

    whole = solve(elements)
    least = 10 * rounding_a(elements, whole)
    for i in range(POINTS):
        alone = [point(e, i) for e in elements]
        one = solve(alone)
        for e, same in zip(elements, alone, strict=True):
            assert whole.current(e)[i] == pytest.approx(one.current(same)[0], rel=1e-6, abs=least)


@quick
@given(circuits)
def test_trying_all_ways_finds_what_the_turns_find(elements):
    # Equal limits that meet leave open how the sources share, so all differ.
    for at, e in enumerate(elements):
        if is_source(e):
            name = "most_a" if isinstance(e, VoltageSource) else "most_v"
            elements[at] = dataclasses.replace(e, **{name: getattr(e, name) * (1 + 0.1 * at)})
    whole, network = solve(elements), Network(elements, {})
    state, _ = network.turns()
    assert network.try_all(state, np.arange(network.points)).size == 0
    # Exactly at a limit both ways are right.
    for at, e in enumerate(filter(is_source, elements)):
        np.testing.assert_allclose(state.source[:, at], whole.across(e), rtol=1e-5, atol=1e-6)


# -- what the bench is made of --------------------------------------------------------------------


@pytest.mark.parametrize("common_ohm", [6.0, math.inf])
@pytest.mark.parametrize("v_z", [0.02, -0.05])
def test_the_star_of_three_terminals_is_the_one_of_the_readout(common_ohm, v_z):
    g_x, g_z = np.linspace(5e-5, 1e-4, 7), np.linspace(9e-5, 4e-5, 7)
    x, z = VoltageSource("x", "low", 0.02), VoltageSource("z", "low", v_z)
    star = [Conductance("x", "star", g_x), Conductance("z", "star", g_z)]
    solution = solve([x, z, *star, Conductance("star", "low", 1 / common_ohm)])
    i_x, i_z = star_currents(g_x, g_z, 0.02, v_z, common_ohm)
    np.testing.assert_allclose(solution.current(x), i_x, rtol=1e-6, atol=1e-13)
    np.testing.assert_allclose(solution.current(z), i_z, rtol=1e-6, atol=1e-13)


def test_what_floats_comes_to_rest_around_earth():
    meter = VoltageSource("hi", "lo", 1.0)
    solution = solve([meter, Conductance("hi", "lo", 10.0), Conductance("p", "q", 1e-4)])
    assert solution.voltage("hi")[0] == pytest.approx(0.5, rel=2e-5)
    assert solution.voltage("lo")[0] == pytest.approx(-0.5, rel=2e-5)
    assert solution.voltage("p")[0] == solution.voltage("q")[0] == 0  # no source reaches it
    assert solution.current(meter)[0] == pytest.approx(10.0, rel=2e-5)


def test_a_leak_counts_beside_the_best_conductors():
    """No current leaves what floats, so its nodes' voltages add up to none."""
    wires = [Conductance("hi", "p", 1e3), Conductance("p", "q", 1e4), Conductance("r", "lo", 3e3)]
    solution = solve([VoltageSource("hi", "lo", 2.0), *wires, Conductance("q", "r", 1e-3)])
    total = sum(solution.voltage(n)[0] for n in ("hi", "p", "q", "r", "lo"))
    assert abs(total) < 1e-9
    assert solution.voltage("hi")[0] == pytest.approx(0.8, rel=1e-5)  # three at 0.8, two at -1.2


def test_a_current_source_without_a_load_goes_to_its_limit():
    source = CurrentSource("hi", "lo", [1e-3, -1e-3, 0.0], most_v=10.5)
    solution = solve([source])
    np.testing.assert_allclose(solution.across(source), [10.5, -10.5, 0.0])
    np.testing.assert_array_equal(solution.in_compliance(source), [True, True, False])
    assert np.abs(solution.current(source)).max() < 1e-10


def test_a_meter_s_limit_clips_its_voltage_over_a_short():
    meter = VoltageSource("hi", EARTH, [0.02, -0.02, 1e-5], most_a=1e-5)
    solution = solve([meter, Conductance("hi", EARTH, 1.0)])
    np.testing.assert_allclose(solution.current(meter), [1e-5, -1e-5, 1e-5], rtol=1e-5)
    np.testing.assert_allclose(solution.across(meter), [1e-5, -1e-5, 1e-5], rtol=1e-5)
    np.testing.assert_array_equal(solution.in_compliance(meter)[:2], [True, True])


def test_two_sources_of_voltage_against_each_other_stop_at_the_lower_limit():
    strong = VoltageSource("hi", EARTH, 1.0, most_a=0.1)
    weak = VoltageSource("hi", EARTH, 0.5, most_a=1e-3)
    solution = solve([strong, weak])
    assert solution.voltage("hi")[0] == pytest.approx(1.0, abs=1e-6)
    assert solution.current(strong)[0] == pytest.approx(1e-3, rel=1e-6)
    assert solution.in_compliance(weak)[0]
    assert not solution.in_compliance(strong)[0]


def test_two_sources_of_current_in_series_stop_at_the_first_limit():
    """2 mA into a source of 1 mA: its voltage runs away to its limit, where it takes them."""
    one, two = CurrentSource("a", EARTH, 2e-3, 10.0), CurrentSource(EARTH, "b", 1e-3, 5.0)
    solution = solve([one, two, Conductance("a", "b", 1e-2)])
    assert solution.current(two)[0] == pytest.approx(2e-3, rel=1e-6)
    assert solution.voltage("b")[0] == pytest.approx(5.0, rel=1e-6)
    assert solution.voltage("a")[0] == pytest.approx(5.2, rel=1e-6)
    assert solution.in_compliance(two)[0]


def test_what_no_source_reaches_has_no_voltage():
    load = Conductance("a", EARTH, 1e-3)
    far = [Conductance("p", "q", 1e-4), Nonlinear("q", EARTH, barrier), Voltmeter("p", "q")]
    solution = solve([VoltageSource("a", EARTH, 1.0), load, *far], points=3)
    for element in far:
        np.testing.assert_array_equal(solution.current(element), np.zeros(3))
    np.testing.assert_array_equal(solution.voltage("q"), np.zeros(3))
    np.testing.assert_allclose(solution.current(load), np.full(3, 1e-3), rtol=1e-6)


def test_wires_make_nodes_one_and_earth_stands_for_what_it_touches():
    joined = join([("b", "a"), ("c", "b"), ("x", EARTH), ("y", "x")])
    assert joined == {"a": "a", "b": "a", "c": "a", EARTH: EARTH, "x": EARTH, "y": EARTH}
    source = VoltageSource("c", "y", 2.0)
    load = Conductance("a", EARTH, 1e-3)
    solution = solve([source, load], joined)
    assert solution.current(load)[0] == pytest.approx(2e-3, rel=1e-6)
    assert solution.voltage("b")[0] == solution.voltage("a")[0]
    assert solution.voltage("x")[0] == 0


def test_a_relay_is_a_contact_of_a_tenth_of_an_ohm_or_nothing():
    source = VoltageSource("hi", EARTH, 1.0)
    for closed, ampere in ((True, 1 / 10.1), (False, 0.0)):
        solution = solve([source, relay("hi", "b", closed), Conductance("b", EARTH, 0.1)])
        assert solution.current(source)[0] == pytest.approx(ampere, rel=1e-5, abs=1e-11)


# -- conductors that depend on their voltage ------------------------------------------------------


def barrier(volt, tmr=3.0, half_v=0.1):
    """Antiparallel: G = G_P/(1 + TMR(V)); its current grows faster than its voltage."""
    return 1e-4 / (1 + tmr / (1 + (volt / half_v) ** 2))


def filament(volt, r=50.0, rise_per_w=2.0):
    """R = r (1 + rise V²/R): its current ends at 1/sqrt(r rise)."""
    return 1 / (r / 2 + np.sqrt(r * r / 4 + r * rise_per_w * volt**2))


@pytest.mark.parametrize("most_v", [2.0, 0.3])
def test_a_current_through_a_barrier_is_the_one_that_is_set_or_the_limit(most_v):
    ampere = np.linspace(-1e-4, 1e-4, 41)
    source, load = CurrentSource("a", "b", ampere, most_v), Nonlinear("a", "b", barrier)
    solution = solve([source, load])
    volt = solution.across(load)
    limits = solution.in_compliance(source)
    # The leak takes 1e-12 S of 2.5e-5 S.
    np.testing.assert_allclose((barrier(volt) * volt)[~limits], ampere[~limits], rtol=1e-7)
    np.testing.assert_allclose(np.abs(volt[limits]), most_v, rtol=1e-9)
    assert limits.any() == (most_v < 1)
    np.testing.assert_allclose(solution.current(load), barrier(volt) * volt, rtol=1e-12)


def test_a_current_that_no_voltage_can_drive_ends_at_the_limit():
    """The filament takes no more than 0.1 A: 1/sqrt(50 ohm · 2/W)."""
    ampere = np.array([0.05, 0.0999, 0.11, 1.0])
    source, load = CurrentSource("a", "b", ampere, 1e3), Nonlinear("a", "b", filament)
    solution = solve([source, load])
    np.testing.assert_array_equal(solution.in_compliance(source), [False, True, True, True])
    volt = solution.across(load)
    assert volt[0] == pytest.approx(0.05 * 50 / (1 - 50 * 2 * 0.05**2), rel=1e-9)
    np.testing.assert_allclose(volt[1:], 1e3, rtol=1e-9)


def test_curved_and_straight_conductors_share_a_current_by_kirchhoff():
    source = VoltageSource("a", EARTH, np.linspace(-1, 1, 9))
    parts = [Nonlinear("a", "m", barrier), Conductance("m", EARTH, 3e-5)]
    solution = solve([source, *parts])
    np.testing.assert_allclose(
        solution.current(parts[0]), solution.current(parts[1]), rtol=1e-7, atol=1e-11
    )


# -- mistakes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("elements", "says"),
    [
        ([Conductance("a", "b", -1.0)], "siemens between a and b is -1; it must be at least 0"),
        ([Conductance("a", "b", math.nan)], "siemens between a and b is nan; it must be finite"),
        ([VoltageSource("a", "b", math.inf)], "a source's value is inf; it must be finite"),
        ([VoltageSource("a", "b", 1.0, -1.0)], "a source's limit is -1; it must be at least 0"),
        ([VoltageSource("a", "b", 1.0, ohm=-1.0)], "a source's ohm is -1; it must be at least 0"),
        ([Voltmeter("a", "b", 0.0)], "input_ohm between a and b is 0; it must be above 0"),
        ([CurrentSource("a", "b", [[1.0]])], "a source's value has shape [1, 1]"),
        (
            [CurrentSource("a", "b", [1.0, 2.0]), Conductance("a", "b", [1.0, 2.0, 3.0])],
            "arrays of [2, 3] points do not fit",
        ),
    ],
)
def test_a_value_that_makes_no_sense_is_named(elements, says):
    with pytest.raises(CircuitError, match=re.escape(says)):
        solve(elements)


def test_what_is_not_in_the_circuit_is_named():
    load, stranger = Conductance("a", "b", 1.0), VoltageSource("a", "b", 1.0)
    solution = solve([load])
    for ask in (
        lambda: solution.voltage("q"),
        lambda: solution.current(stranger),
        lambda: solution.in_compliance(stranger),
        lambda: solve([load, load]),
    ):
        with pytest.raises(CircuitError, match=r"in no element|no such quantity|given twice"):
            ask()


def test_a_circuit_without_a_rest_state_is_refused():
    def torn(volt):
        return np.where(volt > 0.5, math.nan, 0.1)

    with pytest.raises(CircuitError, match=r"no rest state at point 1; look at .* a, b"):
        solve([VoltageSource("a", "b", [0.2, 0.7]), Nonlinear("a", "b", torn)])
