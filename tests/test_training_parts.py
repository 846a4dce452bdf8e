"""The parts of training: activation, arms, loop, statistics, data."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from db import NullRecorder
from device import InvalidReadingError, Reading
from training.activation import DeviceActivation
from training.arms import ConstantGradient, Network, ShuffledGradient
from training.comparison import gradient_agreement
from training.evaluation import accuracy
from training.schedule import Schedule
from training.seeds import generator, stream_seed, torch_generator
from training.statistics import mean_ci95
from training.tasks import TASKS
from training.trainer import TrainingStoppedError, train


class Tanh:
    """A neuron of software that can be told to doubt its readings."""

    def __init__(self, neurons=3, doubt=()):
        self.neurons, self.calls, self.doubt = neurons, [], set(doubt)

    def read(self, x, gradient=False):
        self.calls.append(gradient)
        y = np.tanh(x)
        valid = np.ones(x.shape, bool)
        if len(self.calls) - 1 in self.doubt:
            valid[0, 0] = False
        return Reading(
            y, 1 - y * y if gradient else None, None if valid.all() else valid, None, x.size
        )


def test_forward_is_the_measurement_and_backward_the_gradient_measured_with_it():
    neuron = Tanh()
    x = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    y = DeviceActivation(neuron)(x)
    y.sum().backward()
    assert neuron.calls == [True]  # once, for both
    assert torch.allclose(x.grad, 1 - torch.tanh(x.detach()) ** 2, atol=1e-14)


def test_the_gradient_is_measured_only_when_it_is_needed():
    neuron = Tanh()
    activation = DeviceActivation(neuron)
    with torch.no_grad():
        activation(torch.zeros(2, 3))
    activation(torch.zeros(2, 3))
    assert neuron.calls == [False, False]


def test_shape_and_type_of_the_input_are_kept_and_readings_are_counted():
    activation = DeviceActivation(Tanh())
    y = activation(torch.zeros(2, 4, 3, dtype=torch.float32))
    assert (y.shape, y.dtype) == ((2, 4, 3), torch.float32)
    assert activation.reads == 24


def test_a_second_derivative_is_refused():
    x = torch.zeros(2, 3, requires_grad=True)
    y = DeviceActivation(Tanh())(x)
    (g,) = torch.autograd.grad((y**2).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        g.sum().backward()


def test_a_doubtful_reading_is_an_error_and_no_number():
    with pytest.raises(InvalidReadingError, match="1 of 6"):
        DeviceActivation(Tanh(doubt=[0]))(torch.zeros(2, 3))


def test_the_shuffled_arm_permutes_over_batch_and_neurons():
    x = np.random.default_rng(0).normal(size=(50, 3))
    true = Tanh().read(x, True).g
    g = ShuffledGradient(Tanh(), np.random.default_rng(1)).read(x, True).g
    assert sorted(g.ravel()) == sorted(true.ravel())
    assert abs(np.corrcoef(g.ravel(), true.ravel())[0, 1]) < 0.3
    assert any(set(g[:, j]) != set(true[:, j]) for j in range(3))  # not within columns only


def test_the_constant_arm_has_gradient_one():
    assert (ConstantGradient(Tanh()).read(np.zeros((2, 3)), True).g == 1).all()


def network(neuron, seed=0):
    return Network(2, 3, 2, DeviceActivation(neuron), torch_generator(seed, "initial weights"))


def spots(n=30):
    x = torch.randn(n, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return x, (x[:, 0] > 0).long()


def run(neuron, schedule, seed=0):
    model = network(neuron, seed)
    dropped = train(
        model, *spots(), schedule, torch_generator(seed, "order"), recorder=NullRecorder(), run=1
    )
    return model, dropped


def test_a_batch_with_a_doubtful_reading_is_dropped_without_a_step_and_counted():
    model, dropped = run(Tanh(doubt=[0, 1]), Schedule(2, 0.1))
    assert dropped == 2
    fresh = network(Tanh())
    assert all(
        torch.equal(a, b) for a, b in zip(model.parameters(), fresh.parameters(), strict=True)
    )


def test_three_dropped_batches_in_a_row_stop_the_run():
    with pytest.raises(TrainingStoppedError, match="3 batches in a row"):
        run(Tanh(doubt=[1, 2, 3]), Schedule(10, 0.1))


def test_more_than_two_dropped_batches_of_a_short_epoch_stop_the_run():
    with pytest.raises(TrainingStoppedError, match="3 of 6 in this epoch"):
        run(Tanh(doubt=[0, 2, 4]), Schedule(2, 0.1, batch_size=5))


def test_an_evaluation_leaves_nothing_out():
    with pytest.raises(InvalidReadingError):
        accuracy(network(Tanh(doubt=[0])), *spots())


def test_training_with_exact_gradients_is_training_with_tanh():
    schedule = Schedule(15, 0.1, batch_size=8)
    model, _ = run(Tanh(), schedule)
    software = Network(2, 3, 2, torch.nn.Tanh(), torch_generator(0, "initial weights"))
    train(software, *spots(), schedule, torch_generator(0, "order"), recorder=NullRecorder(), run=1)
    for a, b in zip(model.parameters(), software.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-9)


def test_frozen_parameters_stay_as_they_are():
    model = network(Tanh())
    before = model.hidden.weight.clone()
    model.hidden.requires_grad_(False)
    train(model, *spots(), Schedule(3, 0.1), torch_generator(0), recorder=NullRecorder(), run=1)
    assert torch.equal(model.hidden.weight, before)


def test_the_input_range_is_fitted_once_and_never_widened():
    model = network(Tanh())
    x = torch.randn(500, 2, dtype=torch.float64) * 20
    model.fit_range(x, 3.0)
    inside = ((model.hidden(x) * model.range).abs() <= 3.0).double().mean()
    assert inside >= 0.985
    assert (model.range <= 1).all()
    model.fit_range(x / 1000, 3.0)
    assert (model.range == 1).all()


def test_named_streams_do_not_shift_each_other():
    assert stream_seed(0, "a", 1) == stream_seed(0, "a", 1)
    assert len({stream_seed(0, "a"), stream_seed(0, "b"), stream_seed(1, "a")}) == 3
    assert generator(0, "x").integers(100) == generator(0, "x").integers(100)


def test_arms_of_a_seed_share_folds_and_initial_weights():
    one, two = list(TASKS["iris"].folds(3)), list(TASKS["iris"].folds(3))
    assert all(torch.equal(a.x_test, b.x_test) for a, b in zip(one, two, strict=True))
    assert torch.equal(network(Tanh()).hidden.weight, network(Tanh()).hidden.weight)
    assert not torch.equal(network(Tanh()).hidden.weight, network(Tanh(), seed=1).hidden.weight)


def test_iris_folds_are_stratified_disjoint_and_cover_all_samples():
    folds = list(TASKS["iris"].folds(0))
    assert [len(f.y_test) for f in folds] == [30] * 5
    assert all(f.y_test.bincount().tolist() == [10, 10, 10] for f in folds)


def test_scalers_know_the_training_part_only():
    for task in TASKS.values():
        for fold in task.folds(1):
            assert fold.x_train.mean(0).abs().max() < 1e-12
            assert torch.allclose(
                fold.x_train.std(0, correction=0), torch.ones(task.inputs, dtype=torch.float64)
            )
            assert fold.x_test.mean(0).abs().max() > 1e-6


def test_the_circles_are_tested_on_fresh_points_of_another_seed():
    (fold,) = TASKS["circles"].folds(0)
    assert (len(fold.y_train), len(fold.y_test)) == (200, 1000)


def test_the_interval_is_students_t():
    mean, (low, high) = mean_ci95([0.9, 0.92, 0.94, 0.96, 0.98])
    assert mean == pytest.approx(0.94)
    # t(0.975, 4) = 2.7764, deviation 0.031623
    assert high - mean == pytest.approx(2.7764 * 0.0316228 / 5**0.5, rel=1e-4)
    assert mean_ci95([0.5]) == (0.5, None)
    assert low < mean < high


def test_gradient_agreement_is_cosine_and_ratio_of_norms():
    a = np.array([[1.0, 0.0], [0.0, 1.0]])
    assert gradient_agreement(2 * a, a) == (pytest.approx(1.0), pytest.approx(2.0))
    assert gradient_agreement(a, a[::-1]) == (pytest.approx(0.0), pytest.approx(1.0))
