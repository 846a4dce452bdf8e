"""Noise and spread of tabulated activations: drawn where, on what, in which mode, and again."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from device import ResponseTable
from training.checkpoint import Stateful, load, save
from training.fast_table import TableActivation
from training.noise import (
    LayerNoise,
    Noise,
    NoisePool,
)
from training.noise_model import ModelNoise

# y = 2x with g = 5, whatever the slope: what is drawn on either can be told apart.
TABLE = ResponseTable(-1.0, 1.0, np.linspace(-2, 2, 9), np.full(9, 5.0))
N = 40_000


def layer(*noises, per="layer", seed=0, size=100_003):
    return TableActivation(TABLE, per, LayerNoise(noises, NoisePool(seed, size), "a"))


def deviations(module, x):
    """What noise adds to activation and gradient."""
    y, g = module.look_up(x, gradient=True)
    clean_y, clean_g = TableActivation(TABLE).look_up(x, gradient=True)
    return (y - clean_y).double(), (g - clean_g).double()


@pytest.mark.parametrize(
    ("kind", "at", "of_y", "of_g"),
    [
        ("additive", 0.25, 0.1 * 2.0, 0.1 * 5.0),  # of the largest |y| and |g|
        ("multiplicative", 0.25, 0.1 * 0.5, 0.1 * 5.0),  # of the values there
        ("input", 0.25, 0.1 * 2.0, 0.0),  # through the slope of y, and of g, which is level
    ],
)
def test_the_size_is_the_standard_deviation_in_the_unit_stated(kind, at, of_y, of_g):
    d_y, d_g = deviations(layer(Noise(kind, 0.1)), torch.full((N, 1), at))
    assert float(d_y.std()) == pytest.approx(of_y, rel=0.02)
    assert float(d_g.std()) == pytest.approx(of_g, rel=0.02, abs=1e-6)
    assert abs(float(d_y.mean())) < 5 * of_y / N**0.5


@pytest.mark.parametrize("kind", ["additive", "multiplicative"])
@pytest.mark.parametrize("drawn", ["read", "device"])
def test_on_both_channels_the_draws_are_two(kind, drawn):
    d_y, d_g = deviations(layer(Noise(kind, 0.1, drawn), per="element"), torch.full((1, N), 0.25))
    together = torch.corrcoef(torch.stack([d_y.ravel(), d_g.ravel()]))[0, 1]
    assert abs(float(together)) < 5 / N**0.5


def test_at_the_input_both_channels_see_one_field():
    table = ResponseTable(-1.0, 1.0, np.linspace(-2, 2, 9), np.linspace(-3, 3, 9))
    module = TableActivation(table, noise=LayerNoise([Noise("input", 0.1)], NoisePool(0), "a"))
    y, g = module.look_up(torch.zeros(50, 1, dtype=torch.float64), gradient=True)
    assert torch.allclose(1.5 * y, g)
    assert y.std() > 0.1


@pytest.mark.parametrize("on", ["activation", "gradient"])
@pytest.mark.parametrize("kind", ["additive", "multiplicative", "input"])
def test_what_is_on_one_channel_leaves_the_other_alone(on, kind):
    table = ResponseTable(-1.0, 1.0, np.linspace(-2, 2, 9), np.linspace(-3, 3, 9))
    noisy = TableActivation(table, noise=LayerNoise([Noise(kind, 0.1, on=on)], NoisePool(0), "a"))
    x = torch.full((100, 1), 0.3)
    clean = TableActivation(table).look_up(x, gradient=True)
    got = noisy.look_up(x, gradient=True)
    changed = [not torch.equal(a, b) for a, b in zip(got, clean, strict=True)]
    assert changed == [on == "activation", on == "gradient"]


@pytest.mark.parametrize("when", ["training", "evaluation", "both"])
def test_noise_is_on_in_the_mode_that_it_names(when):
    module, x = layer(Noise("additive", 0.1, when=when)), torch.zeros(10, 1)
    on = {
        mode: bool(deviations(module.train(mode == "training"), x)[0].any())
        for mode in ("training", "evaluation")
    }
    assert on == {mode: when in (mode, "both") for mode in on}


def test_a_reading_is_drawn_for_each_element_and_each_call():
    module, x = layer(Noise("additive", 0.1)), torch.zeros(100, 3)
    one, two = deviations(module, x)[0], deviations(module, x)[0]
    assert len(one.unique()) == one.numel()
    assert not torch.equal(one, two)


@pytest.mark.parametrize("per", ["layer", "channel", "last", "element"])
def test_a_device_is_what_it_is_in_every_sample_call_and_layout(per):
    module = layer(Noise("multiplicative", 0.1, "device"), per=per)
    x = torch.full((4, 3, 2, 5), 0.5)
    one = deviations(module, x)[0]
    two = deviations(module, x.to(memory_format=torch.channels_last))[0]
    assert torch.equal(one, two)
    assert (one == one[:1]).all()
    assert len(one.unique()) == {"layer": 1, "channel": 3, "last": 5, "element": 30}[per]


def test_a_device_wanders_with_the_memory_and_the_size_stated():
    module = layer(Noise("additive", 0.1, "time", on="activation", calls=4.0), per="element")
    x = torch.zeros(1, N)
    walk = torch.stack([deviations(module, x)[0][0] for _ in range(9)])
    assert float(walk[-1].std()) == pytest.approx(0.2, rel=0.02)
    for steps in (1, 8):
        together = torch.corrcoef(torch.stack([walk[0], walk[steps]]))[0, 1]
        assert float(together) == pytest.approx(np.exp(-steps / 4), abs=5 / N**0.5)


def test_off_is_no_noise_and_a_size_of_zero_is_refused():
    for size in (0.0, -0.1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="leave it out"):
            Noise("additive", size)
    with pytest.raises(ValueError, match="memory"):
        Noise("additive", 0.1, "time")
    with pytest.raises(ValueError, match="memory"):
        Noise("additive", 0.1, calls=3.0)
    with pytest.raises(ValueError, match="one of additive"):
        Noise("loud", 0.1)


def a_model(seed=0):
    pool = NoisePool(seed, 5000)
    noises = [
        Noise("additive", 0.1),
        Noise("multiplicative", 0.2, "device", when="training"),
        Noise("input", 0.05, "time", calls=7.0),
    ]
    return torch.nn.Sequential(
        TableActivation(TABLE, "channel", LayerNoise(noises, pool, "0")),
        torch.nn.Linear(4, 3),
        TableActivation(TABLE, "channel", LayerNoise(noises[:1], pool, "2")),
    )


def test_the_state_goes_through_a_checkpoint_and_on_exactly(tmp_path):
    model, x = a_model(), torch.randn(30, 4)
    noise = ModelNoise(model)
    assert isinstance(noise, Stateful)
    model(x)
    noise.renew()
    model(x)
    save(tmp_path / "c.pt", {"noise": noise.state_dict()})
    expected = [model(x) for _ in range(3)]
    other = a_model()
    other.load_state_dict(model.state_dict())
    ModelNoise(other).load_state_dict(load(tmp_path / "c.pt")["noise"])
    assert all(torch.equal(other(x), one) for one in expected)


def test_a_state_of_another_model_is_refused():
    with pytest.raises(ValueError, match="in no layer, and this one has it in layer 0, layer 2"):
        ModelNoise(a_model()).load_state_dict({})


def test_a_copied_model_draws_what_the_first_one_draws_from_one_pool():
    model, x = a_model(), torch.randn(30, 4)
    model(x)
    other = copy.deepcopy(model)
    assert other[0].noise.pool is other[2].noise.pool
    assert torch.equal(other(x), model(x))


def test_another_seed_has_other_devices_and_a_new_pool_other_numbers():
    x = torch.full((5, 4), 0.25)
    assert not torch.equal(a_model(0)[0](x), a_model(1)[0](x))
    pool = NoisePool(0, 5000)
    before = pool.values(torch.device("cpu"), torch.float32).clone()
    pool.renew()
    assert not torch.equal(pool.values(torch.device("cpu"), torch.float32), before)


def test_a_table_says_what_is_on():
    model = a_model()
    assert [(row["layer"], row["kind"], row["drawn"]) for row in ModelNoise(model).rows()] == [
        ("0", "additive", "read"),
        ("0", "multiplicative", "device"),
        ("0", "input", "time"),
        ("2", "additive", "read"),
    ]
    assert "0: input 0.05 units of x, drawn per time (memory 7 calls)" in str(ModelNoise(model))
    assert str(ModelNoise(torch.nn.Tanh())) == "noise: none"
