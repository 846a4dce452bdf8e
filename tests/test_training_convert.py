"""Existing models with devices in place of their activations."""

from __future__ import annotations

import io
import pickle

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from device import ResponseTable, TableNeuron
from training.activation import DeviceActivation
from training.convert import to_device
from training.fast_table import TableActivation
from training.noise import Noise
from training.noise_model import ModelNoise

_X = np.linspace(-6, 6, 2001)
TABLE = ResponseTable(-6.0, 6.0, np.tanh(_X), 1 - np.tanh(_X) ** 2)


class Net(nn.Module):
    """A user's model: modules, a call, a shared activation and a method."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.Tanh(), nn.MaxPool2d(2), nn.BatchNorm2d(4)
        )
        self.act = nn.Tanh()
        self.again = self.act
        self.one, self.two = nn.Linear(36, 5), nn.Linear(5, 5)

    def forward(self, x):
        x = self.features(x).flatten(1)
        x = self.act(self.one(x))
        return F.relu(self.again(self.two(x)))

    def classify(self, x):
        return self(x).argmax(1)


def images(n=6):
    return torch.randn(n, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def share(_name, _devices):
    return TABLE


def test_activations_become_devices_and_the_rest_stays():
    model = Net()
    keys = list(model.state_dict())
    converted, report = to_device(model, share, images())
    assert isinstance(converted, Net)
    assert [s.name for s in report.converted] == ["features.1", "act"]
    assert isinstance(converted.features[1], TableActivation)
    assert converted.again is converted.act
    assert list(converted.state_dict()) == keys
    assert isinstance(model.act, nn.Tanh)  # the given one is as it was
    x = images()
    assert torch.allclose(converted(x), model(x), atol=1e-4)
    assert torch.equal(converted.classify(x), model.classify(x))


def test_looking_at_the_shapes_changes_no_buffer_and_no_mode():
    model = Net()
    model.features[3].eval()
    converted, _ = to_device(model, share, images())
    assert converted.training and converted.act.training and not converted.features[3].training
    assert converted.features[3].num_batches_tracked == 0


def test_weights_travel_both_ways_with_weights_only_and_the_model_pickles():
    model = Net()
    converted, _ = to_device(Net(), share, images(), noises=[Noise("additive", 0.1)])
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    converted.load_state_dict(torch.load(io.BytesIO(file.getvalue()), weights_only=True))
    back = io.BytesIO()
    torch.save(converted.state_dict(), back)
    model.load_state_dict(torch.load(io.BytesIO(back.getvalue()), weights_only=True))
    copy = pickle.loads(pickle.dumps(converted))
    assert torch.equal(copy(images()), converted(images()))


def test_the_report_counts_devices_and_readings():
    _, report = to_device(Net(), share, images())
    first, second = report.converted
    assert (first.shapes, first.neurons, first.elements) == (((4, 6, 6),), 4, 144)
    assert (second.shapes, second.neurons, second.elements) == (((5,), (5,)), 5, 10)
    assert second.shared == ("again",)
    assert (report.devices, report.elements) == (9, 154)
    assert "features.1: Tanh of 4x6x6, 4 devices (per channel), 144 readings" in str(report)


class Live:
    """A neuron with a rule, as those on a bench have."""

    class rule:
        reads = 3

    def __init__(self, neurons):
        self.neurons = neurons

    def read(self, x, gradient=False):
        return TableNeuron([TABLE] * self.neurons).read(x, gradient)


def test_a_live_neuron_is_measured_where_its_devices_are():
    model = Net()
    converted, report = to_device(model, lambda _name, n: Live(n), images())
    assert isinstance(converted.features[1], DeviceActivation)
    assert [s.reads for s in report.converted] == [432, 30]
    assert torch.allclose(converted(images()), model(images()), atol=1e-4)


def test_tables_a_device_are_evaluated_fast():
    converted, _ = to_device(Net(), lambda _name, n: TableNeuron([TABLE] * n), images())
    assert len(converted.features[1].tables) == 4


def test_a_call_is_reported_with_its_line_and_left():
    _, report = to_device(Net(), share, images())
    (left,) = report.left
    assert left.what == "relu()"
    file, line = left.where.rsplit(":", 1)
    assert file == __file__
    with open(file) as code:
        assert "F.relu" in code.readlines()[int(line) - 1]


class Branches(nn.Module):
    def __init__(self):
        super().__init__()
        self.act = nn.ReLU()

    def forward(self, x):
        return self.act(x) if x.sum() > 0 else torch.tanh(x)


def test_a_model_that_cannot_be_looked_through_says_so():
    _, report = to_device(Branches(), share, torch.ones(2, 3))
    assert "torch.fx cannot look through it" in str(report)


def test_activations_inside_other_modules_are_reported():
    model = nn.Sequential(nn.ReLU(), nn.PReLU(), nn.Linear(3, 3))
    _, report = to_device(model, share, torch.ones(2, 3))
    assert [one.what for one in report.left] == ["1"]

    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell, self.act = nn.GRU(3, 3), nn.Tanh()

        def forward(self, x):
            return self.act(self.cell(x)[0])

    _, report = to_device(Recurrent(), share, torch.ones(2, 3))
    assert "cell: the activations are inside GRU" in map(str, report.left)


def test_a_hybrid_keeps_what_is_excluded():
    converted, report = to_device(Net(), share, images(), exclude=["features.*"])
    assert isinstance(converted.features[1], nn.Tanh)
    assert report.excluded == ["features.1"]
    converted, _ = to_device(Net(), share, images(), layers=["features.1"])
    assert isinstance(converted.act, nn.Tanh)


@pytest.mark.parametrize("names", [{"layers": ["fatures.*"]}, {"exclude": ["fatures.*"]}])
def test_a_name_that_fits_nothing_is_an_error_with_the_names_there_are(names):
    with pytest.raises(ValueError, match=r"'fatures\.\*' fits no.*features\.1, act, again"):
        to_device(Net(), share, images(), **names)


def test_a_model_without_activation_modules_is_refused_with_the_reason():
    class Calls(nn.Module):
        def forward(self, x):
            return torch.tanh(x)

    with pytest.raises(ValueError, match=r"nothing of Calls was converted: tanh\(\)"):
        to_device(Calls(), share, torch.ones(1, 2))
    with pytest.raises(ValueError, match="has no activation modules"):
        to_device(nn.Linear(2, 2), share, torch.ones(1, 2))


def test_a_wrong_number_of_neurons_is_refused():
    with pytest.raises(ValueError, match=r"features\.1 takes 4 devices .* gave 2 neurons"):
        to_device(Net(), lambda _name, _n: Live(2), images())


def test_pooling_first_gives_the_same_outputs_and_gradients_with_a_quarter_of_the_readings():
    model = Net()
    after, full = to_device(model, share, images())
    first, few = to_device(model, share, images(), pool_first=True)
    assert few.swapped == ["features.2"]
    assert few.converted[0].elements * 4 == full.converted[0].elements
    assert list(first.state_dict()) == list(after.state_dict())
    results = []
    for one in (after, first):
        one(images()).square().sum().backward()
        results.append([p.grad for p in one.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_noises_are_put_on_the_tabulated_layers_from_one_pool():
    converted, _ = to_device(Net(), share, images(), noises=[Noise("additive", 0.1)], seed=3)
    assert [row["layer"] for row in ModelNoise(converted).rows()] == ["features.1", "act"]
    assert converted.act.noise.pool is converted.features[1].noise.pool
    quiet, _ = to_device(Net(), share, images())
    assert ModelNoise(quiet).rows() == []
    with pytest.raises(ValueError, match="noise of its own"):
        to_device(Net(), lambda _name, n: Live(n), images(), noises=[Noise("additive", 0.1)])
