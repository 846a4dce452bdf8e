"""The networks: the papers' sizes, activations where they are asked for, losses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from training.distillation import ResNet18, distillation_loss
from training.networks import (
    DENSENET_PARAMETERS,
    FASHION_CNN_PARAMETERS,
    MLP,
    DenseNet,
    FashionCNN,
    InputRange,
    Student,
    fit_ranges,
    initialise,
    parameters,
    tanh,
)


def test_the_networks_have_the_papers_numbers_of_parameters():
    assert parameters(FashionCNN()) == FASHION_CNN_PARAMETERS == 421_642
    assert parameters(DenseNet()) == DENSENET_PARAMETERS == 561_052
    assert parameters(ResNet18()) == 11_173_962
    assert parameters(Student()) == 896 + 18_496 + 73_856 + 20_490
    assert parameters(MLP([2, 8, 8, 2])) == 24 + 72 + 18


@pytest.mark.parametrize(
    ("make", "count"), [(FashionCNN, 3), (Student, 3), (DenseNet, 99), (ResNet18, 17)]
)
def test_every_activation_is_made_once_by_its_own_name(make, count):
    sites = []

    def activation(site):
        sites.append(site)
        return nn.Tanh()

    model = make(activation)
    assert len(sites) == len(set(sites)) == count
    assert sum(isinstance(one, nn.Tanh) for one in model.modules()) == count
    assert not any(isinstance(one, nn.ReLU) for one in model.modules())


def test_a_hybrid_densenet_has_both_activations_where_they_belong():
    model = DenseNet(lambda site: nn.Tanh() if site.startswith(("block1", "block2")) else nn.ReLU())
    count = {kind: sum(isinstance(one, kind) for one in model.modules())
             for kind in (nn.Tanh, nn.ReLU)}  # fmt: skip
    assert count == {nn.Tanh: 64, nn.ReLU: 35}
    assert not any(isinstance(one, nn.Tanh) for one in model.get_submodule("block3").modules())


@pytest.mark.parametrize(
    ("model", "shape", "classes"),
    [(FashionCNN(), (1, 28, 28), 10), (Student(), (3, 32, 32), 10), (DenseNet(), (3, 32, 32), 100)],
)
def test_images_become_logits(model, shape, classes):
    assert model(torch.zeros(2, *shape)).shape == (2, classes)


def test_pooling_first_is_the_same_function_of_a_monotone_activation():
    usual, first = FashionCNN(tanh), FashionCNN(tanh, pool_first=True)
    first.load_state_dict(usual.state_dict())
    x = torch.randn(3, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    assert torch.equal(usual(x), first(x))
    assert [type(one) for one in first][1:3] == [nn.MaxPool2d, nn.Tanh]


def test_initial_weights_come_from_their_stream_alone():
    one, two = FashionCNN(), FashionCNN()
    torch.rand(3)  # the global stream does not matter
    for model in (one, two):
        initialise(model, torch.Generator().manual_seed(1))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    assert one.conv2.weight.abs().max() <= (32 * 9) ** -0.5


def test_ranges_are_set_layer_by_layer_and_never_widened():
    model = MLP([2, 5, 4, 2], ranged=True)
    initialise(model, torch.Generator().manual_seed(0))
    x = 30 * torch.randn(400, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    fit_ranges(model, x, 3.0)
    for i, layer in enumerate(model):
        x = layer(x)
        if isinstance(layer, InputRange):
            assert (layer.factor <= 1).all()
            assert (x.abs() <= 3.0 + 1e-9).double().mean() >= 0.985, i
    assert (model.range1.factor < 1).any()


def test_the_distillation_loss_is_hintons():
    rng = np.random.default_rng(0)
    s, t = rng.normal(size=(2, 4, 3))
    labels = np.array([0, 1, 2, 1])
    w, temperature = 0.3, 4.0

    def soft(z, at):
        e = np.exp(z / at)
        return e / e.sum(1, keepdims=True)

    hard = -np.log(soft(s, 1)[np.arange(4), labels]).mean()
    p, q = soft(t, temperature), soft(s, temperature)
    kl = (p * np.log(p / q)).sum(1).mean()
    student = torch.from_numpy(s).requires_grad_()
    teacher = torch.from_numpy(t).requires_grad_()
    loss = distillation_loss(
        student, teacher, torch.from_numpy(labels), weight=w, temperature=temperature
    )
    assert float(loss.detach()) == pytest.approx((1 - w) * hard + w * temperature**2 * kl)
    loss.backward()
    assert teacher.grad is None and student.grad is not None
