"""Arrays: neurons to junctions, input ranges, and who is left."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from device import DeviceArray, TwoReferenceMTJ, calibrate, tabulate
from device.array import InputRange
from device.neurons import LiveNeuron
from device.reading import BadJunctionError
from device.roll import Policy
from device.rules import TwoReference
from device.rules_difference import Central
from device.watch import Watch
from tests.device_benches import Software, bench_with, strike
from training.activation import DeviceActivation


def members(*devices):
    return [LiveNeuron(device, Central(0.1)) for device in devices]


def switched(bench):
    """Messages to the switch so far."""
    return [one for one in bench.recorder.messages if one.instrument == "switch"]


def test_neurons_that_share_a_junction_are_read_in_one_list():
    one, two = Software(), Software(lambda x: -np.tanh(x))
    array = DeviceArray(members(one, two), [0, 1, 0, 0])
    x = np.random.default_rng(0).normal(size=(7, 4))
    reading = array.read(x, gradient=True)
    assert [len(asked) for asked in one.asked] == [3 * 7 * 3]
    assert [len(asked) for asked in two.asked] == [3 * 7]
    sign = np.array([1, -1, 1, 1])
    assert reading.y == pytest.approx(sign * np.tanh(x))
    assert reading.g == pytest.approx(sign / np.cosh(x) ** 2, abs=5e-3)
    assert reading.reads == 3 * 7 * 4 and reading.bench_time_s == 1.0
    assert array.neurons == 4 and array.neurons_left == 4


def test_one_junction_may_be_all_neurons_on_the_bench(tmp_path):
    with bench_with(tmp_path, {}, {}) as bench, bench.running():
        made, _ = calibrate(bench, "J1")
        array = DeviceArray([TwoReferenceMTJ(bench, made)], [0] * 5)
        x = np.random.default_rng(0).normal(size=(12, 5))
        before = len(switched(bench))
        reading = array.read(x, gradient=True)
        assert np.abs(reading.y - np.tanh(x)).max() < 0.06
        assert reading.source == "live" and reading.reads >= 60
        assert len(switched(bench)) == before > 0


def test_an_array_is_checked():
    with pytest.raises(ValueError, match="at least one junction"):
        DeviceArray([])
    for wrong in ([0, 2], [-1], []):
        with pytest.raises(ValueError, match="give each neuron a device, 0 to 1"):
            DeviceArray(members(Software(), Software()), wrong)
    with pytest.raises(ValueError, match="1 inputs for 2 devices"):
        DeviceArray(members(Software(), Software()), inputs=[InputRange()])


# -- input ranges --------------------------------------------------------------------------------


@given(
    seed=st.integers(0, 1000), center=st.floats(-20, 20), width=st.floats(0.01, 50),
    share=st.sampled_from([0.9, 0.99, 1.0]),
)  # fmt: skip
def test_the_wanted_share_of_the_training_data_fits_and_nothing_is_enlarged(
    seed, center, width, share
):
    x = center + width * np.random.default_rng(seed).standard_normal(500)
    made = InputRange.of(x, -3.0, 2.5, share)
    given_x = made.scale * (x - made.offset)
    inside = np.mean((given_x >= -3.0 - 1e-9) & (given_x <= 2.5 + 1e-9))
    assert inside >= share - 2 / len(x)
    assert 0 < made.scale <= 1


def test_data_that_fit_as_they_are_are_not_touched():
    x = np.linspace(-2, 2.4, 50)
    assert InputRange.of(x, -3.0, 2.5) == InputRange(1.0, 0.0)
    assert InputRange.of(np.zeros(5), -3.0, 2.5) == InputRange(1.0, 0.0)
    moved = InputRange.of(x + 1, -3.0, 3.0, share=1.0)  # it fits, a little to the left
    assert moved.scale == 1.0 and moved.offset == pytest.approx(0.4)


def test_the_gradient_has_the_input_scale_in_it():
    inputs = [InputRange(0.5, 1.0), InputRange()]
    array = DeviceArray(members(Software(), Software()), inputs=inputs)
    x = np.random.default_rng(0).normal(size=(9, 2))
    reading = array.read(x, gradient=True)
    seen = np.stack((0.5 * (x[:, 0] - 1.0), x[:, 1]), axis=1)
    assert reading.y == pytest.approx(np.tanh(seen))
    assert reading.g == pytest.approx(np.array([0.5, 1.0]) / np.cosh(seen) ** 2, abs=5e-3)


def test_ranges_are_set_once_from_all_neurons_of_a_junction():
    array = DeviceArray(members(Software(), Software(), Software()), [0, 1, 0])
    x = np.random.default_rng(0).normal(scale=[1.0, 0.1, 30.0], size=(400, 3))
    array.fit_inputs(x, share=0.9)
    assert array.inputs[0] == InputRange.of(x[:, [0, 2]], -3.0, 3.0, 0.9)
    assert array.inputs[0].scale < 0.2 and array.inputs[1:] == (InputRange(), InputRange())
    for taken in (array, DeviceArray(members(Software()), inputs=[InputRange()])):
        with pytest.raises(ValueError, match="they are set once"):
            taken.fit_inputs(x[:, : taken.neurons])


# -- who is left ---------------------------------------------------------------------------------


def half_dead(share):
    """A device of whose readings this share is never valid."""
    device = Software()
    real = device.measure

    def measure(x, order="sorted"):
        read = real(x, order)
        read.valid[x < np.quantile(np.linspace(-3, 3, 101), share)] = False
        return read

    device.measure = measure
    return device


def test_a_junction_that_mostly_stays_in_doubt_is_bad_without_a_watch_too():
    x = np.linspace(-2.9, 2.9, 40)[:, None]
    kept = DeviceArray(members(half_dead(0.1)), policy=Policy("stop")).read(x)
    assert 0 < (~kept.valid).mean() < 0.2
    with pytest.raises(BadJunctionError, match="of its readings stay in doubt"):
        DeviceArray(members(half_dead(0.5)), policy=Policy("stop")).read(x)
    # without a policy it is the trainer's to judge
    assert (~DeviceArray(members(half_dead(0.5))).read(x).valid).mean() > 0.4


def test_training_goes_on_without_the_neurons_of_a_bad_junction(tmp_path):
    with bench_with(tmp_path, {}, {}) as bench, bench.running():
        made = [calibrate(bench, name) for name in ("J1", "J2", "J3")]
        devices = [TwoReferenceMTJ(bench, one) for one, _ in made]
        tables = [tabulate(data, one) for one, data in made]
        array = DeviceArray(
            [
                LiveNeuron(device, TwoReference(), Watch(device, table))
                for device, table in zip(devices, tables, strict=True)
            ],
            policy=Policy("leave out"),
        )
        torch.manual_seed(0)
        network = torch.nn.Sequential(
            torch.nn.Linear(2, 3), DeviceActivation(array), torch.nn.Linear(3, 1)
        ).double()
        x = torch.randn(10, 2, dtype=torch.float64)
        for batch in range(3):
            if batch == 1:
                strike(bench, {"kind": "open", "device": "J2"})
            network.zero_grad()
            network(x).square().mean().backward()
            assert all(torch.isfinite(p.grad).all() for p in network.parameters())
            into, out = network[0].weight.grad, network[2].weight.grad
            # nothing is learned through a neuron that is left out
            assert bool((into[1] != 0).any()) == bool(out[0, 1] != 0) == (batch == 0)
            assert (into[[0, 2]] != 0).any()
        assert array.neurons_left == 2
