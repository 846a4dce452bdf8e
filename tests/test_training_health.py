"""Gradient health: the network's gradient beside the exact one of the measured curves."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from device import ResponseTable, TableNeuron
from device.curve import make_curve
from training.activation import DeviceActivation
from training.convert import to_device
from training.fast_table import TableActivation
from training.health import BadGradientError, HealthCheck, Thresholds, gradient_health
from training.noise import Noise

_X = np.linspace(-4, 4, 513)
_CLIP = np.clip(_X, -1, 1)
TANH = ResponseTable(-4.0, 4.0, np.tanh(_X), 1 - np.tanh(_X) ** 2)
SHARP = ResponseTable(-4.0, 4.0, _CLIP, 1 - _CLIP**2)  # m_z² of a curve with corners


def net(layers, table=TANH, **options):
    torch.manual_seed(0)
    parts = [part for _ in range(layers) for part in (nn.Linear(16, 16), nn.Tanh())]
    model = nn.Sequential(*parts, nn.Linear(16, 3))
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(3 if p.ndim == 2 else 1)
    return to_device(model, lambda *_: table, torch.zeros(2, 16), **options)[0]


def loss_of(model):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(64, 16, generator=generator)
    labels = torch.randint(0, 3, (64,), generator=generator)
    return lambda: nn.functional.cross_entropy(model(x), labels)


def check(model, **options):
    return gradient_health(model, loss_of(model), **options)


def test_the_true_slope_is_healthy():
    health = check(net(3))
    assert health.cosine == pytest.approx(1, abs=1e-4)
    assert health.ratio == pytest.approx(1, abs=1e-2)
    assert health.verdict == "good"


def test_a_factor_on_the_last_layers_gradient_is_the_ratio_of_norms_below_it():
    twice = ResponseTable(-4.0, 4.0, TANH.y, 2 * TANH.g)
    health = check(net(1, twice))
    cosine, ratio = health.parameters["0.weight"]
    assert cosine == pytest.approx(1, abs=1e-4) and ratio == pytest.approx(2, rel=1e-2)
    assert health.parameters["2.weight"][1] == pytest.approx(1)


def test_the_exact_gradient_is_that_of_software_with_the_same_curve():
    model = net(2, SHARP)
    software = nn.Sequential(
        *(nn.Hardtanh() if isinstance(m, TableActivation) else m for m in model)
    )
    loss_of(software)().backward()
    exact = torch.cat([p.grad.ravel() for p in software.parameters()])
    loss = loss_of(model)()
    used = torch.cat([g.ravel() for g in torch.autograd.grad(loss, list(model.parameters()))])
    health = check(model)
    expected = nn.functional.cosine_similarity(used, exact, dim=0)
    assert health.cosine == pytest.approx(float(expected), abs=2e-3)
    assert health.ratio == pytest.approx(float(used.norm() / exact.norm()), rel=1e-2)


def test_what_trains_a_shallow_network_is_refused_in_a_deep_one_with_what_to_do_instead():
    assert check(net(1, SHARP)).verdict != "bad"
    deep = check(net(20, SHARP))
    assert deep.verdict == "bad"
    with pytest.raises(BadGradientError, match=r"cosine .*hybrid.* small step.*twin.*transfer"):
        deep.require()


@pytest.mark.parametrize(
    ("cosine", "ratio", "verdict"),
    [
        (0.95, 1.0, "good"),
        (0.89, 1.0, "doubtful"),
        (0.95, 2.1, "doubtful"),
        (0.95, 0.4, "doubtful"),
        (0.49, 1.0, "bad"),
        (0.95, 11.0, "bad"),
        (0.95, 0.05, "bad"),
        (float("nan"), 0.0, "bad"),
        (1.0, float("nan"), "bad"),
    ],
)
def test_the_verdict_follows_the_thresholds(cosine, ratio, verdict):
    assert Thresholds().judge(cosine, ratio) == verdict


def test_a_vanished_gradient_is_bad():
    flat = ResponseTable(-4.0, 4.0, TANH.y, np.zeros(513))
    model = nn.Sequential(nn.Linear(16, 3), TableActivation(flat))
    assert check(model).verdict == "bad"


def test_the_check_changes_nothing_of_the_run():
    noisy = net(2, noises=[Noise("additive", 0.1), Noise("input", 0.1, "time", calls=3.0)])
    model = nn.Sequential(noisy, nn.BatchNorm1d(3), nn.Dropout(0.5))
    x = torch.randn(8, 16)

    def run(with_check):
        torch.manual_seed(5)
        mine = copy.deepcopy(model)
        mine(x)
        if with_check:
            check(mine)
        assert all(p.grad is None for p in mine.parameters())
        assert all(getattr(m, "probe", None) is None for m in mine.modules())
        return [mine(x), *mine.buffers()]

    assert all(torch.equal(a, b) for a, b in zip(run(False), run(True), strict=True))


class Live:
    """A neuron that counts its readings."""

    neurons = 4

    def __init__(self):
        self.calls = 0

    def read(self, x, gradient=False):
        self.calls += 1
        return TableNeuron([SHARP] * 4).read(x, gradient)


def live_model(neuron):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(16, 4), DeviceActivation(neuron), nn.Linear(4, 3))


def test_a_measured_layer_is_compared_with_the_curves_given_and_read_once():
    neuron = Live()
    model = live_model(neuron)
    curve = make_curve(_X[::8], _CLIP[::8], 0.0)
    health = check(model, curves={"1": [curve]})
    assert neuron.calls == 1
    table = check(live_model(TableNeuron([SHARP] * 4)))
    assert health.cosine == pytest.approx(table.cosine, abs=0.02)
    assert health.cosine < 0.999


def test_a_layer_without_a_curve_and_a_curve_without_a_layer_are_errors():
    with pytest.raises(ValueError, match=r"layer '1' has no measured curve; give curves\['1'\]"):
        check(live_model(Live()))
    curve = make_curve(_X, _CLIP, 0.0)
    with pytest.raises(ValueError, match="4 neurons and 2 curves"):
        check(live_model(Live()), curves={"1": [curve, curve]})
    with pytest.raises(ValueError, match="curves for 7"):
        check(live_model(Live()), curves={"1": [curve], "7": [curve]})
    with pytest.raises(ValueError, match="no device activation"):
        check(nn.Linear(16, 3))
    with pytest.raises(ValueError, match="no parameter that is trained"):
        check(net(1).requires_grad_(False))


def test_it_is_checked_before_the_first_step_and_every_so_many():
    said = []
    model = net(2, SHARP)
    strict = Thresholds(warn_cosine=0.9999, refuse_cosine=-1, refuse_ratio=1e9)
    health = HealthCheck(model, every=3, thresholds=strict, on_doubt=said.append)
    due = [step for step in range(8) if health(step, loss_of(model)) is not None]
    assert due == [0, 3, 6]
    assert len(said) == 3 and "gradient doubtful" in said[0]
    once = HealthCheck(net(1))
    assert [once(step, loss_of(once.model)) is not None for step in range(3)] == [
        True,
        False,
        False,
    ]
    with pytest.raises(ValueError, match="None"):
        HealthCheck(model, every=0)


def test_a_bad_gradient_stops_the_run():
    model = net(20, SHARP)
    with pytest.raises(BadGradientError):
        HealthCheck(model)(0, loss_of(model))
