"""Tabulated activations in every layout, against the tables that they come from."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from device import ResponseTable, TableNeuron
from training.activation import DeviceActivation
from training.fast_table import TableActivation
from training.fast_table_torch import look_up_torch
from training.noise import LayerNoise, Noise, NoisePool


def a_table(seed=0, nodes=513):
    """Activation and gradient that are not each other's integral or slope."""
    rng = np.random.default_rng(seed)
    low, high = -4 + rng.uniform(-0.5, 0.5), 4 + rng.uniform(-0.5, 0.5)
    x = np.linspace(low, high, nodes)
    a, b = rng.uniform(0.5, 1.5, 2)
    return ResponseTable(low, high, np.tanh(a * x), b / np.cosh(x) ** 2)


def both(module, x):
    """Activation and gradient through autograd."""
    x = x.clone().requires_grad_()
    y = module(x)
    (g,) = torch.autograd.grad(y.sum(), x)
    return y.detach(), g


def inputs(*shape, dtype=torch.float32, seed=0):
    return (3 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))).to(dtype)


@settings(max_examples=30)
@given(
    batch=st.integers(1, 40), neurons=st.integers(1, 70), seed=st.integers(0, 99), one=st.booleans()
)
def test_it_reads_what_the_tabulated_neuron_reads(batch, neurons, seed, one):
    tables = [a_table(seed)] * neurons if one else [a_table(seed + j) for j in range(neurons)]
    x = inputs(batch, neurons, seed=seed)
    reading = TableNeuron(tables).read(x.numpy(), gradient=True)
    module = TableActivation(tables[0]) if one else TableActivation(tables, per="channel")
    y, g = both(module, x)
    assert np.abs(y.numpy() - reading.y).max() <= 1e-6
    assert np.abs(g.numpy() - reading.g).max() <= 1e-6
    y, g = both(module, x.double())
    assert np.abs(y.numpy() - reading.y).max() <= 1e-12
    assert np.abs(g.numpy() - reading.g).max() <= 1e-12


@pytest.mark.parametrize("per", ["layer", "channel", "last", "element"])
def test_the_memory_format_is_kept_and_changes_no_number(per):
    shape = (3, 5, 6, 7)
    tables = [a_table(j) for j in range({"layer": 1, "channel": 5, "last": 7, "element": 210}[per])]
    module = TableActivation(tables, per=per)
    plain = inputs(*shape)
    y, g = both(module, plain)
    last = plain.to(memory_format=torch.channels_last)
    for other in (last, plain.permute(0, 3, 1, 2).contiguous().permute(0, 2, 3, 1)):
        y_there, g_there = both(module, other)
        assert torch.equal(y_there, y) and torch.equal(g_there, g)
        assert module(other).stride() == other.stride()


@pytest.mark.parametrize("per", ["layer", "channel", "last", "element"])
def test_devices_are_where_the_measured_layer_has_them(per):
    x = inputs(4, 3, 2, 5, dtype=torch.float64)
    tables = [a_table(j) for j in range({"layer": 1, "channel": 3, "last": 5, "element": 30}[per])]
    fast = both(TableActivation(tables, per=per), x)
    measured = both(DeviceActivation(TableNeuron(tables), per=per), x)
    assert torch.allclose(fast[0], measured[0], atol=1e-12)
    assert torch.allclose(fast[1], measured[1], atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_short_types_are_looked_up_in_single_precision(dtype):
    module = TableActivation(a_table())
    x = inputs(9, 4).to(dtype)
    y, g = module.look_up(x, gradient=True)
    exact, slope = module.look_up(x.float(), gradient=True)
    assert y.dtype == g.dtype == dtype
    assert torch.equal(y, exact.to(dtype)) and torch.equal(g, slope.to(dtype))


@pytest.mark.parametrize(
    "x",
    [
        torch.tensor(0.3),
        torch.tensor([0.1, -0.7]),
        torch.zeros(0, 3),
        torch.zeros(2, 0, 3),
        torch.arange(24.0).reshape(2, 3, 4)[:, ::2] - 9,
        torch.tensor([[0.5]]).expand(4, 3),
        torch.arange(12.0).reshape(3, 4).T - 6,
    ],
)
def test_any_shape_and_stride_is_taken(x):
    table = a_table()
    y = TableActivation(table)(x)
    assert y.shape == x.shape
    assert np.allclose(y.numpy(), np.interp(x.numpy(), table.x, table.y), atol=1e-6)


def test_outside_the_table_activation_and_gradient_are_those_at_its_edge():
    table = a_table()
    y, g = both(TableActivation(table), torch.tensor([[-1e30, 1e30, float("inf")]]))
    assert y[0].tolist() == pytest.approx([table.y[0], table.y[-1], table.y[-1]], rel=1e-6)
    assert g[0].tolist() == pytest.approx([table.g[0], table.g[-1], table.g[-1]], rel=1e-6)


def test_what_is_not_a_number_stays_one():
    y, g = both(TableActivation(a_table()), torch.tensor([[float("nan"), 0.0]]))
    assert y.isnan().tolist() == [[True, False]]
    assert g.isnan().tolist() == [[True, False]]


def test_the_gradient_is_a_column_of_its_own_and_a_second_derivative_is_refused():
    table = ResponseTable(-1.0, 1.0, np.linspace(-1, 1, 5), np.full(5, 7.0))
    x = torch.zeros(1, 1, requires_grad=True)
    (g,) = torch.autograd.grad((TableActivation(table)(x) ** 2).sum(), x, create_graph=True)
    assert g.item() == 0.0  # 2·y·7 at y = 0
    with pytest.raises(RuntimeError, match="once_differentiable"):
        g.sum().backward()


def test_its_own_slope_is_that_between_the_nodes():
    table = ResponseTable(0.0, 4.0, np.array([0.0, 1.0, 4.0, 9.0, 16.0]), np.zeros(5))
    x = torch.tensor([[-1.0, 0.5, 1.5, 3.5, 9.0]])
    module = TableActivation(table, own_slope=True)
    assert both(module, x)[1].tolist() == [[1, 1, 3, 7, 7]]
    assert both(pickle.loads(pickle.dumps(module)), x)[1].tolist() == [[1, 1, 3, 7, 7]]


def test_a_backward_pass_can_be_repeated():
    x = inputs(3, 2).requires_grad_()
    y = TableActivation(a_table())(x).sum()
    (first,) = torch.autograd.grad(y, x, retain_graph=True)
    (again,) = torch.autograd.grad(y, x)
    assert torch.equal(first, again)


def test_nothing_is_added_to_the_state_dict_and_a_pickle_answers_the_same():
    module = TableActivation(
        [a_table(j) for j in range(3)], "channel", LayerNoise([Noise("additive", 0.1)],
        NoisePool(0, 5000), "a")
    )  # fmt: skip
    assert module.state_dict() == {}
    x = inputs(8, 3)
    module(x)
    copy = pickle.loads(pickle.dumps(module))
    assert torch.equal(copy(x), module(x))


def test_a_wrong_number_of_tables_is_refused():
    with pytest.raises(ValueError, match="2 tables for 3 devices"):
        TableActivation([a_table(), a_table(1)], per="channel")(torch.zeros(1, 3))
    with pytest.raises(ValueError, match="numbers of nodes"):
        TableActivation([a_table(), a_table(1, nodes=9)])


@pytest.mark.parametrize(
    "noises",
    [
        [],
        [Noise("additive", 0.1), Noise("multiplicative", 0.3)],
        [Noise("input", 0.2), Noise("input", 0.2, on="gradient")],
        [Noise("additive", 0.2, "device"), Noise("input", 0.1, "time", calls=3.0)],
    ],
)
def test_torchs_operations_give_the_kernels_numbers(noises):
    tables = [a_table(j) for j in range(3)]
    module = TableActivation(tables, "channel", LayerNoise(noises, NoisePool(1, 3000), "a"))
    x = inputs(40, 3, 5, 7, dtype=torch.float64).to(memory_format=torch.channels_last)
    module.look_up(x, True)
    state = module.noise.state_dict(), module.noise.pool.state_dict()
    y, g = module.look_up(x, True)
    module.noise.load_state_dict(state[0])
    module.noise.pool.load_state_dict(state[1])
    effects = module.noise.effects(True, 3, module.largest, True)
    layout = module._layout((3, 5, 7), (0, 2, 3, 1))
    got = look_up_torch(
        layout.flat(x), True, *module._arrays(x)[:3], layout.index, effects,
        module.noise.pool.values(x.device, x.dtype),
    )  # fmt: skip
    assert torch.allclose(got[0], layout.flat(y), atol=1e-12)
    assert torch.allclose(got[1], layout.flat(g), atol=1e-12)
