"""Composed neurons, controls, and families of responses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from device import DeviceArray
from device.composed import Composed, difference, series, weighted
from device.neurons import LiveNeuron
from device.neurons_replay import StoredBench
from device.rules_difference import Central
from device.single import SingleReadoutMTJ, normalise
from device.tuning import Control, Family, bias_control
from instruments import Bench, BenchError, LimitError
from tests.device_benches import GS, LEVELS, SHAPES, Software, bench_with, swept

COMMON_OHM = 6.0
MAGNET = (
    {"instruments": {"bias": {"driver": "yokogawags200", "address": "GPIB0::2::INSTR"}},
     "limits": {"bias": {"level": "100 mA", "compliance": "10 V", "step": "20 mA"}}},
    {"instruments": GS, "devices": {"coil": {"kind": "bias_magnet", "ohm": 12.0, "henry": 0.06}},
     "wires": [["gs.hi", "coil.a"], ["gs.lo", "coil.b"], ["coil.b", "earth"]]},
)  # fmt: skip


# -- several junctions ---------------------------------------------------------------------------


def test_the_difference_of_two_junctions_is_a_hump_on_the_bench():
    with Bench.open() as bench, bench.running():
        one, two = (
            SingleReadoutMTJ(bench, normalise(bench.sweep(name, LEVELS), COMMON_OHM))
            for name in ("J1", "J2")
        )
        neuron = LiveNeuron(difference(one, two, 1.0), Central(0.3))
        x = np.linspace(-2, 2, 21)[:, None]
        reading = neuron.read(x, gradient=True)
        y, g = reading.y[:, 0], reading.g[:, 0]
        assert y[8:13].min() > 0.5 and max(y[0], y[-1]) < 0.3  # neither rising nor falling
        assert g[:6].mean() > 0.1 and g[-6:].mean() < -0.1
        assert [part.name for part in neuron.junctions] == ["J1", "J2"]
        array = DeviceArray([neuron])
        with array.recording("train", 3):
            assert {(part.purpose, part.run) for part in (one, two)} == {("train", 3)}
        assert {(part.purpose, part.run) for part in (one, two)} == {("sweep", None)}


@given(weights=st.lists(st.floats(-2, 2), min_size=1, max_size=4), shift=st.floats(-1, 1))
def test_a_mixture_and_its_error_are_those_of_its_parts(weights, shift):
    parts = [Software(sigma=0.0) for _ in weights]
    for part in parts:
        part.sigma = 0.01
        part.response = np.tanh
        part._rng = np.random.default_rng(1)
    shifts = [shift * k for k in range(len(parts))]
    device = Composed(parts, weighted(weights), shifts)
    low, high = device.x_range if len(parts) * abs(shift) < 5 else (0.0, 0.0)
    x = np.linspace(low, high, 7)
    read = device.measure(x)
    exact = sum(w * np.tanh(x + s) for w, s in zip(weights, shifts, strict=True))
    error = 0.01 * np.sqrt(np.square(weights).sum())
    assert read.sigma_y == pytest.approx(error)
    assert read.y == pytest.approx(exact, abs=5 * 0.01 * np.abs(weights).sum() + 1e-12)
    assert read.reads == 7 * len(parts)


def test_resistances_in_series_add():
    made = normalise(swept(SHAPES["tanh"]), 0.0)
    bench = StoredBench([swept(SHAPES["tanh"])], within_a=0.5e-3)
    parts = [SingleReadoutMTJ(bench, made) for _ in range(2)]
    level = LEVELS[[5, 40, 60]]
    x = level / made.scale_a
    alone, both = parts[0].measure(x), series(parts).measure(x)
    assert both.y == pytest.approx(alone.y, abs=1e-9)  # twice the same: the same shape
    stairs = series(parts, [1.2, -1.2])
    y = stairs.measure(np.linspace(-1.8, 1.8, 31)).y
    rise = np.diff(y)
    assert y[0] < -0.8 and y[-1] > 0.8
    assert rise[13:17].mean() < 0.8 * max(rise[5:9].mean(), rise[21:25].mean())


def test_a_bad_part_spoils_the_composed_reading_and_shifts_must_leave_a_range():
    good, bad = Software(), Software(lambda x: x * np.nan)
    real = bad.measure
    bad.measure = lambda x, order="sorted": replace(real(x), valid=x > 0)
    device = Composed([good, bad], weighted([1, 1]))
    read = device.measure(np.array([-1.0, 1.0]))
    assert read.valid.tolist() == [False, True] and np.isnan(read.y[0])
    device.shifts[:] = [5.0, -5.0]
    with pytest.raises(ValueError, match="share no range"):
        _ = device.x_range


# -- controls ------------------------------------------------------------------------------------


def shift_control(device, low=0.2, high=2.5, step=0.1):
    def set_shift(value):
        device.shifts[:] = [value, -value]

    return Control("shift", lambda: device.shifts[0], set_shift, low, high, step)


def test_the_gradient_by_a_control_is_its_derivative_and_leaves_it_where_it_was():
    device = difference(Software(), Software(), 1.0)
    neuron, control = LiveNeuron(device, Central(0.1)), shift_control(device)
    x = np.linspace(-0.4, 0.4, 5)[:, None]
    for value in (1.0, 0.2, 2.5):
        control.value = value
        found, reading = control.gradient(neuron.read, x)
        exact = (1 / np.cosh(x + value) ** 2 + 1 / np.cosh(x - value) ** 2) / 2
        assert found == pytest.approx(exact, abs=0.05)
        assert control.value == value and reading.reads == 4 * len(x)
    with pytest.raises(ValueError, match=r"shift: 9 is outside its range, 0.2 to 2.5"):
        control.value = 9.0


def test_a_control_is_learned_by_its_own_gradient():
    device = difference(Software(sigma=0.01), Software(sigma=0.01), 0.4)
    neuron, control = LiveNeuron(device, Central(0.1)), shift_control(device)
    x = np.linspace(-0.5, 0.5, 21)[:, None]
    wanted = (np.tanh(x + 1.1) - np.tanh(x - 1.1)) / 2
    for _ in range(40):
        by_control, _ = control.gradient(neuron.read, x)
        control.move(-2.0 * float(np.mean((neuron.read(x).y - wanted) * by_control)))
    assert control.value == pytest.approx(1.1, abs=0.05)
    assert control.move(99.0) == 2.5


def test_a_family_gives_the_value_for_a_width():
    x = np.linspace(-3, 3, 241)
    values = np.array([1.0, 1.5, 2.0, 3.0])
    family = Family(values, x, np.tanh(x / values[:, None]))
    assert family.width(1.0) == pytest.approx(1.0, abs=0.05)
    # the span that ±3 reaches shrinks with the width; it is the width as it is measured
    wanted = (family.width(1.5) + family.width(2.0)) / 2
    assert family.value_for(wanted) == pytest.approx(1.75, abs=1e-9)
    assert family.response(1.25) == pytest.approx((family.y[0] + family.y[1]) / 2)
    with pytest.raises(ValueError, match="gives the width 9; they give"):
        family.value_for(9.0)
    with pytest.raises(ValueError, match="lies outside the values that were measured"):
        family.response(0.5)
    with pytest.raises(ValueError, match="rising values"):
        Family(values[::-1], x, family.y)


def test_a_bias_field_widens_the_response_on_the_bench(tmp_path):
    with bench_with(tmp_path, *MAGNET) as bench, bench.running():
        made = normalise(bench.sweep("J1", LEVELS), COMMON_OHM)
        neuron = LiveNeuron(SingleReadoutMTJ(bench, made), Central(0.3))
        control = bias_control(bench, -0.04, 0.1, 0.01)
        x = np.linspace(-3, 3, 61)
        family = Family.measured(control, np.array([-0.04, 0.0, 0.05, 0.1]), neuron.read, x)
        widths = [family.width(value) for value in family.values]
        assert (np.diff(widths) > 0.02).all() and control.value == 0.0
        value = family.value_for(1.05)
        control.value = value
        again = Family(np.array([0.0, 1.0]), x, np.stack([neuron.read(x[:, None]).y[:, 0]] * 2))
        assert again.width(0.0) == pytest.approx(1.05, abs=0.04)
        with pytest.raises(LimitError, match="switch"):  # no relay moves while it is on
            bench.sweep("J2", LEVELS[:5])
        control.value = 0.0


def test_another_read_voltage_gives_another_curve_of_the_family(tmp_path):
    curves = []
    for volt in ("20 mV", "60 mV"):
        with bench_with(tmp_path, {"readout": {"voltage": volt}}, {}) as bench:
            made = normalise(bench.sweep("J1", LEVELS), COMMON_OHM)
            reading = LiveNeuron(SingleReadoutMTJ(bench, made), Central(0.3)).read(
                np.linspace(-3, 3, 61)[:, None]
            )
            curves.append(reading.y[:, 0])
    assert 0.01 < np.abs(curves[0] - curves[1]).max() < 0.5


def test_a_bench_without_magnet_says_so():
    with Bench.open() as bench, pytest.raises(BenchError, match=r"no instruments\.bias"):
        bias_control(bench, 0.0, 0.05, 0.01)
