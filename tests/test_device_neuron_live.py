"""Live neurons: edges, repeats, order of points, pairs, and what a watch refuses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device.array import DeviceArray
from device.neurons import LiveNeuron, within
from device.reading import BadJunctionError
from device.roll import Policy
from device.rules_difference import Central, Dither, Forward, Paired
from device.table import ResponseTable
from device.watch import Correction, Tolerance, Watch, agreement
from instruments import SweepVoidError
from tests.device_benches import Software

RULES = [Central(0.3), Forward(0.3), Dither(0.3), Dither(0.3, periods=1)]


def table(gain=1.0, offset=0.0):
    x = np.linspace(-3, 3, 301)
    return ResponseTable(-3.0, 3.0, gain * np.tanh(x) + offset, gain / np.cosh(x) ** 2)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_at_the_edge_of_the_range_a_difference_is_one_sided_and_right(rule):
    device = Software(lambda x: 0.2 * x**2 - 0.5 * x, reach=2.0)
    x = np.array([-2.0, -1.95, 0.0, 1.95, 2.0])
    reading = LiveNeuron(device, rule).read(x[:, None], gradient=True)
    assert all(np.abs(asked).max() <= 2.0 for asked in device.asked)
    # wrong by no more than the curvature over one step
    assert reading.g[:, 0] == pytest.approx(0.4 * x - 0.5, abs=0.4 * 0.3 / 2 + 1e-9)
    assert reading.y[:, 0] == pytest.approx(0.2 * x**2 - 0.5 * x, abs=0.2 * 0.3**2 + 1e-9)


@settings(max_examples=60)
@given(
    x=st.lists(st.floats(-3, 3), min_size=1, max_size=5),
    h=st.floats(0.01, 1.0),
    rule=st.sampled_from([Central, Forward, Dither]),
)
def test_points_stay_inside_and_keep_at_least_near_half_of_their_distance(x, h, rule):
    x = np.array(x)
    asked = rule(h).points(x)
    moved = within(x, asked, -3.0, 3.0)
    assert np.abs(moved).max() <= 3.0
    assert (np.ptp(moved, axis=1) >= 0.49 * np.ptp(asked, axis=1) - 1e-12).all()
    inside = (np.abs(asked) <= 3.0).all(axis=1)
    assert (moved[inside] == asked[inside]).all()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_signals_come_back_to_their_elements(rule):
    x = np.random.default_rng(0).uniform(-2, 2, size=(20, 1))
    device = Software()
    reading = LiveNeuron(device, rule).read(x, gradient=True)
    assert reading.g == pytest.approx(1 / np.cosh(x) ** 2, abs=0.12)  # forward: f''·h/2
    assert device.orders == [rule.order]
    assert reading.reads == 20 * rule.reads


def test_a_list_whose_order_is_given_rises_from_element_to_element():
    device = Software()
    LiveNeuron(device, Dither(0.1)).read(np.array([[2.0], [-2.0], [0.0]]), gradient=True)
    (asked,) = device.asked
    assert asked.reshape(3, -1).mean(axis=1) == pytest.approx([-2.0, 0.0, 2.0])


def test_without_a_gradient_each_element_is_measured_once_at_its_place():
    device = Software()
    reading = LiveNeuron(device, Central(0.3)).read(np.array([[0.5], [-0.5]]))
    assert reading.g is None and reading.reads == 2
    assert device.asked[0].tolist() == [0.5, -0.5]


def test_all_points_of_a_doubtful_element_are_read_again_together(monkeypatch):
    device = Software()
    real = device.measure

    def measure(x, order="sorted"):
        read = real(x, order)
        if len(device.asked) == 1:
            read.valid[4] = False  # x + h of the second element
        return read

    monkeypatch.setattr(device, "measure", measure)
    reading = LiveNeuron(device, Central(0.3)).read(np.array([[1.0], [0.0]]), gradient=True)
    assert device.asked[1].tolist() == [0.0, 0.3, -0.3]
    assert reading.valid is None and reading.reads == 9


def test_a_list_that_is_void_four_times_leaves_nothing_and_says_so(monkeypatch):
    device = Software()

    def void(x, order="sorted"):
        raise SweepVoidError("made up")

    monkeypatch.setattr(device, "measure", void)
    watched = LiveNeuron(device, Central(0.3), Watch(device, table()))
    reading = watched.read(np.zeros((3, 1)), gradient=True)
    assert not reading.valid.any() and np.isnan(reading.y).all() and np.isnan(reading.g).all()
    assert [kind for kind, _ in device.notes].count("void sweep") == 4


def test_a_pair_is_two_lists_one_a_device():
    first, second = Software(), Software(lambda x: np.tanh(x) + 0.02, reach=2.0)
    neuron = LiveNeuron(first, Paired(0.4), partner=second)
    reading = neuron.read(np.array([[0.0], [9.0]]), gradient=True)
    assert first.asked[0].tolist() == pytest.approx([0.2, 2.0])
    assert second.asked[0].tolist() == pytest.approx([-0.2, 1.8])
    assert reading.clamped[:, 0].tolist() == [False, True]
    assert reading.y[0, 0] == pytest.approx(0.01, abs=1e-9)
    assert reading.g[0, 0] == pytest.approx(np.tanh(0.2) / 0.2 - 0.02 / 0.4)
    alone = neuron.read(np.array([[0.0]]))
    assert alone.g is None and alone.y[0, 0] == pytest.approx(0.01, abs=1e-9)


# -- a watch -------------------------------------------------------------------------------------


def test_one_reading_far_from_what_is_expected_is_read_again(monkeypatch):
    device = Software(sigma=0.01)
    real = device.measure

    def measure(x, order="sorted"):
        read = real(x, order)
        if len(device.asked) == 1:
            read.y[2] += 1.0
        return read

    monkeypatch.setattr(device, "measure", measure)
    x = np.linspace(-1, 1, 9)[:, None]
    reading = LiveNeuron(device, Central(0.3), Watch(device, table())).read(x)
    assert reading.valid is None and reading.reads == 10
    assert reading.y == pytest.approx(np.tanh(x), abs=0.05)


@pytest.mark.parametrize(
    ("response", "words"),
    [
        (lambda x: 0.8 * np.tanh(x), "gain 0.8"),
        (lambda x: np.tanh(x) + 0.15, r"offset \+0.1"),
        (lambda x: np.tanh(x) + 0.05 * np.sin(4 * x), "another way"),
        (lambda x: np.zeros_like(x), "stay in doubt"),
        (lambda x: -np.tanh(x), "stay in doubt"),
    ],
    ids=["gain", "offset", "shape", "dead", "reversed"],
)
def test_a_device_that_is_not_as_expected_gives_no_number(response, words):
    device = Software(response, sigma=0.005)
    x = np.random.default_rng(1).normal(scale=1.5, size=(60, 1))
    tolerance = Tolerance(rest=0.02)
    with pytest.raises(BadJunctionError, match=rf"S1: .*{words}.*not used any more"):
        LiveNeuron(device, Central(0.3), Watch(device, table(), tolerance)).read(x)


def test_a_healthy_device_is_never_refused():
    for seed in range(20):
        device = Software(lambda x: 1.03 * np.tanh(x) - 0.02, sigma=0.02)
        neuron = LiveNeuron(device, Central(0.3), Watch(device, table()))
        x = np.random.default_rng(seed).normal(scale=2.0, size=(1 + 3 * seed, 1))
        assert neuron.read(x, gradient=True).valid is None


@settings(max_examples=30)
@given(
    gain=st.floats(0.9, 1.1), offset=st.floats(-0.1, 0.1), points=st.integers(5, 60),
    sigma=st.floats(0.0, 0.02),
)  # fmt: skip
def test_gain_and_offset_come_back_within_their_errors(gain, offset, points, sigma):
    expected = np.linspace(-0.9, 0.9, points)
    noise = sigma * np.random.default_rng(points).standard_normal(points)
    found, _ = agreement(
        expected, gain * expected + offset + noise, np.full(points, sigma), Tolerance()
    )
    # The prior pulls by less than one part in a hundred of the tolerance here.
    assert abs(found.gain - gain) < 5 * found.gain_error + 1e-3
    assert abs(found.offset - offset) < 5 * found.offset_error + 1e-3


def test_readings_at_one_x_share_the_difference_between_gain_and_offset():
    same = np.full(10, 0.8)
    found, reason = agreement(same, same + 0.05, np.full(10, 0.01), Tolerance())
    assert found.gain * 0.8 + found.offset == pytest.approx(0.85, abs=2e-3)
    assert found.gain_error > 0.05 and reason == ""


def test_a_correction_within_its_error_is_the_same_one():
    one = Correction(1.02, 0.0, 0.01, 0.01)
    assert not one.differs(Correction(1.0, 0.01))
    assert replace(one, gain=1.04).differs(Correction())


# -- arrays --------------------------------------------------------------------------------------


def test_an_array_with_a_bad_junction_stops_or_leaves_its_neurons_out():
    good, dead = Software(), Software(np.zeros_like)
    members = [LiveNeuron(one, Central(0.3), Watch(one, table())) for one in (good, dead)]
    x = np.random.default_rng(0).normal(size=(20, 3))
    for policy in (None, Policy("stop"), Policy("leave out", fewest=3)):
        array = DeviceArray(members, [0, 1, 0], policy=policy)
        with pytest.raises(BadJunctionError):
            array.read(x, gradient=True)
    array = DeviceArray(members, [0, 1, 0], policy=Policy("leave out"))
    asked = len(dead.asked)
    for _ in range(3):
        reading = array.read(x, gradient=True)
        assert (reading.y[:, 1] == 0).all() and (reading.g[:, 1] == 0).all()
        assert reading.y[:, 0] == pytest.approx(np.tanh(x[:, 0]))
    assert len(dead.asked) == asked + 4  # the first batch and its repeats, then never again
    assert array.neurons_left == 2 and list(array.roll.left_out) == [1]
    assert "2 of 3 neurons are left" in dead.notes[-1][1]
