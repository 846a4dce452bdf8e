"""A junction's parameters: ranges, what voltage and heat do, spread."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from sim_backend.llg import fluctuation, gradient, sphere
from sim_backend.llg.ensemble import Ensemble
from sim_backend.llg.junction import JunctionModel, Population, population
from sim_backend.llg.model import FreeLayer
from sim_backend.llg.presets import PRESETS
from sim_backend.llg.ranges import RANGES, ParameterError
from sim_backend.llg.spread import Spread
from sim_backend.readout import ReferenceLayer

NOMINAL = JunctionModel()
TANH = PRESETS["planar-tanh"]


# -- ranges ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "name", "value", "says"),
    [
        (FreeLayer, "alpha", -0.02, "-0.02 is out of range; it must be above 0 and at most 1"),
        (FreeLayer, "alpha", 0, "0 is out of range; it must be above 0 and at most 1"),
        (FreeLayer, "thickness_m", 0.0, "0 m is out of range; it must be at least 1e-10 m"),
        (FreeLayer, "diameter_m", 250, "250 m is out of range; it must be at least 1e-09 m"),
        (FreeLayer, "ms_a_per_m", 0, "0 A/m is out of range; it must be above 0 A/m"),
        (FreeLayer, "k_t", math.nan, "nan T is out of range; it must be at least -10 T"),
        (FreeLayer, "k_t", math.inf, "inf T is out of range"),
        (FreeLayer, "hz_t", "1.36 mT", "'1.36 mT' is not a number; write a valid number in T, "),
        (FreeLayer, "hz_t", True, "True is not a number"),
        (FreeLayer, "temperature_k", -1, "-1 K is out of range; it must be at least 0 K"),
        (ReferenceLayer, "tmr", -0.5, "-0.5 is out of range; it must be above 0"),
        (ReferenceLayer, "h_ref_t", 0, "0 T is out of range; it must be above 0 T"),
        (ReferenceLayer, "spin_efficiency", 1.5, "1.5 is out of range; it must be at least -1"),
        (Spread, "fields", 20, "20 is out of range; it must be at least 0 and at most 0.45"),
    ],
)
def test_a_bad_parameter_is_named_with_value_and_range(make, name, value, says):
    with pytest.raises(ValidationError) as caught:
        make(**{name: value})
    (error,) = caught.value.errors()
    assert error["loc"] == (name,)
    assert says in error["msg"]


def test_a_number_that_yaml_takes_for_a_text_is_a_number():
    assert FreeLayer(ms_a_per_m="1e6").ms_a_per_m == 1e6


def test_every_parameter_is_described_with_its_unit():
    units = {"_t": "T", "_k": "K", "_m": "m", "_ohm": "ohm", "_v": "V", "_rad": "rad"}
    for kind in (FreeLayer, ReferenceLayer, Spread):
        for name, field in kind.model_fields.items():
            assert field.description, name
            unit = next((u for end, u in units.items() if name.endswith(end)), None)
            if unit and "per" not in name:
                assert f", {unit}" in field.description, name


def test_single_junctions_and_arrays_have_the_same_ranges():
    for name, value in (("alpha", 2.0), ("k_t", 11.0), ("temperature_k", -1.0)):
        with pytest.raises(ValidationError) as one:
            FreeLayer(**{name: value})
        with pytest.raises(ParameterError) as many:
            Ensemble(**{name: [value, value]})
        assert str(RANGES[name]) in str(one.value)
        assert str(RANGES[name]) in str(many.value)


# -- what voltage and heat do ---------------------------------------------------------------------


def test_voltage_control_of_anisotropy_is_that_of_its_formula():
    """2 ξ (V - V0)/(Ms t d): 0.0714 mT/mV for 50 fJ/(V m) over 1 nm, Ms t = 1.4 mA."""
    at = TANH.ensemble(0.021, 0.02).array("k_t")[0]
    assert at - TANH.layer.k_t == pytest.approx(7.142857e-5, rel=1e-6)
    assert TANH.ensemble(0.02, 0.02).array("k_t")[0] == TANH.layer.k_t
    both = TANH.ensemble(0.021, 0.021).array("k_t")[0]
    assert both - TANH.layer.k_t == pytest.approx(2 * 7.142857e-5, rel=1e-6)


def test_the_torque_is_that_of_its_current_density():
    """a = ħ η J/(2 e Ms t): 1.175 mT at 1e10 A/m², η = 0.5, Ms t = 1.4 mA."""
    volt = 1e10 * TANH.layer.area_m2 * TANH.x.r_parallel_ohm
    junction = TANH.changed({"x.vcma_j_per_v_m": 0.0})
    fields = junction.ensemble(volt, 0.0).fields([0.0])
    np.testing.assert_allclose(fields.a_t[0, 0], [1.17538e-3, 0, 0], rtol=1e-5, atol=1e-18)
    back = junction.ensemble(-volt, 0.0).fields([0.0])
    np.testing.assert_array_equal(back.a_t, -fields.a_t)


@pytest.mark.parametrize("name", PRESETS)
def test_at_the_read_voltage_the_presets_are_far_from_oscillating(name):
    """Along the curve, a/a_c = 2 |m·A|/(α tr H) < 0.1, H without the torque: where the trace of the
    linearised equation vanishes small deviations grow; off the poles (J. Z. Sun, Phys. Rev. B 62,
    570 (2000)) in general.  The torque at the curve's start is told by a_c = α (k + B_z)."""
    preset, current = PRESETS[name], np.linspace(-0.03, 0.03, 241)
    fields = preset.ensemble(0.02, 0.02).fields(current)[0]
    still = replace(fields, a_t=np.zeros(3))
    at = fluctuation.rest_near(fields, sphere.rest(still, (0.0, 0.0, 1.0)).m)
    assert at.stable.all()
    stiff = np.trace(gradient.stiffness_t(still, at.m), axis1=-2, axis2=-1)
    along = np.abs((fields.a_t * at.m).sum(-1))
    share = 2 * along / (fields.alpha * stiff)
    assert 0.02 < share.max() < 0.1
    threshold = preset.layer.alpha * (preset.layer.k_t + preset.layer.hz_t)
    # The torque along x leans m a little from z.
    assert share[120] == pytest.approx(along[120] / threshold, rel=0.01)


def test_field_like_torque_is_a_field_along_the_reference_layer_and_even_in_voltage():
    junction = JunctionModel(x=ReferenceLayer(angle_rad=math.pi / 2, field_like_t_per_v2=0.5))
    still = junction.ensemble(0.0, 0.0).fields([0.01]).b_t
    for volt in (0.1, -0.1):
        pushed = junction.ensemble(volt, 0.0).fields([0.01]).b_t
        np.testing.assert_allclose(pushed - still, [[[0.5 * 0.01, 0, 0]]], atol=1e-15)


def test_stray_fields_of_both_reference_layers_add_up():
    junction = JunctionModel(
        x=ReferenceLayer(angle_rad=math.pi / 2, stray_x_t=1e-3, stray_z_t=2e-4),
        z=ReferenceLayer(stray_x_t=-3e-4, stray_z_t=4e-4),
    )
    b = junction.ensemble().fields([0.0]).b_t[0, 0]
    np.testing.assert_allclose(b, [7e-4, 0, NOMINAL.layer.hz_t + 6e-4], atol=1e-15)


def test_the_line_s_heat_goes_with_the_current_squared():
    layer = FreeLayer(heating_k_per_a2=2e4, k_slope_t_per_k=-1e-5)
    fields = JunctionModel(layer=layer).ensemble().fields(np.array([0.0, 0.01, -0.02]))
    warmer = np.array([0.0, 2.0, 8.0])
    np.testing.assert_allclose(fields.k_t[0], layer.k_t - 1e-5 * warmer, rtol=1e-12)
    kelvin = layer.thermal_field_t / layer.temperature_k
    np.testing.assert_allclose(fields.thermal_t[0], kelvin * (300 + warmer), rtol=1e-12)


angle = st.floats(0, math.pi)


@given(angle, st.floats(-math.pi, math.pi))
def test_a_reference_direction_is_a_unit_vector(polar, azimuth):
    layer = ReferenceLayer(angle_rad=polar, azimuth_rad=azimuth)
    assert np.linalg.norm(layer.direction) == pytest.approx(1)
    entry = JunctionModel(x=layer).ensemble().array("direction_x")[0]
    np.testing.assert_allclose(entry, layer.direction, atol=1e-15)


@given(angle, st.floats(-0.3, 0.3), st.floats(-0.3, 0.3))
def test_a_reference_layer_lies_along_the_field_that_holds_it_and_the_other(polar, b_x, b_z):
    """It is where its energy -(h_ref p + B)·r is least, so every other direction's is higher."""
    layer = ReferenceLayer(angle_rad=polar, h_ref_t=1.0)
    b = np.array([b_x, 0.0, b_z])
    total = np.array(layer.direction) + b
    # The cosine with a free layer along any direction e is r·e.
    r = np.array([layer.cosine(e, b) for e in np.eye(3)])
    assert np.linalg.norm(r) == pytest.approx(1)
    trial = np.random.default_rng(0).normal(size=(200, 3))
    trial /= np.linalg.norm(trial, axis=1, keepdims=True)
    assert np.all(trial @ total <= r @ total + 1e-12)


# -- many -----------------------------------------------------------------------------------------


def test_a_population_is_its_junctions():
    drawn = Spread(alpha=0.1, stray_t=1e-4).draw(TANH, 5, seed=3)
    current = np.linspace(-0.02, 0.02, 7)
    together = drawn.ensemble(0.02, 0.03).fields(current)
    for at in range(5):
        alone = drawn.one(at).ensemble(0.02, 0.03).fields(current)
        for name in ("k_t", "k2_t", "b_t", "a_t", "thermal_t", "alpha"):
            np.testing.assert_array_equal(
                np.broadcast_to(getattr(together, name), getattr(together, name).shape)[at],
                getattr(alone, name)[0], name,
            )  # fmt: skip
    again = population([drawn.one(at) for at in range(5)]).ensemble(0.02, 0.03)
    np.testing.assert_array_equal(again.array("k_t"), drawn.ensemble(0.02, 0.03).array("k_t"))


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"layer.k_t": [1.0, math.nan]}, "layer.k_t is nan T at index 1; it must be at least -10"),
        ({"layer.k_t": [1.0], "x.tmr": [1.0, 2.0]}, r"x.tmr has shape \[2\]"),
        ({"layer.size": [1.0]}, "layer.size is no parameter"),
        ({}, "values is empty"),
    ],
)
def test_a_population_that_is_none_is_refused(values, says):
    with pytest.raises(ParameterError, match=says):
        Population(NOMINAL, values)


# -- spread ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("distribution", ["normal", "uniform", "lognormal"])
def test_twenty_percent_is_the_standard_deviation(distribution):
    """The normal one loses 4 % by the cut at two deviations."""
    spread = Spread(distribution=distribution, resistance=0.2, fields=0, each_field=0)
    r = spread.draw(NOMINAL, 20_000, seed=0).array("x.r_parallel_ohm") / 10.2e3
    assert r.mean() == pytest.approx(1, abs=5e-3)
    assert r.std() == pytest.approx(0.2 * (0.96 if distribution == "normal" else 1), rel=0.02)
    if distribution != "lognormal":
        edge = 2 if distribution == "normal" else math.sqrt(3)
        assert abs(r - 1).max() <= 0.2 * edge + 1e-12


def test_correlations_are_as_stated():
    drawn = Spread(barriers=0.1, resistance=0.05).draw(NOMINAL, 20_000, seed=1)

    def correlation(one, other):
        return np.corrcoef(drawn.array(one), drawn.array(other))[0, 1]

    assert correlation("layer.k_t", "layer.k2_t") == pytest.approx(0.8, abs=0.02)
    assert correlation("layer.k_t", "layer.hz_t") == pytest.approx(0.8, abs=0.02)
    assert correlation("x.r_parallel_ohm", "z.r_parallel_ohm") == pytest.approx(0.8, abs=0.02)
    for one, other in (
        ("layer.k_t", "x.r_parallel_ohm"), ("x.tmr", "z.tmr"), ("x.angle_rad", "z.angle_rad"),
        ("layer.tilt_rad", "layer.field_constant_t_per_a"),
    ):  # fmt: skip
        assert correlation(one, other) == pytest.approx(0, abs=0.03), (one, other)


def test_a_junction_does_not_depend_on_how_many_there_are_or_on_other_spreads():
    few, many = (Spread().draw(NOMINAL, count, seed=5) for count in (3, 1000))
    more = Spread(alpha=0.1, stray_t=1e-3, breakdown=0.1, moment=0.02).draw(NOMINAL, 3, seed=5)
    assert few.one(2) == many.one(2)
    for name in ("layer.k_t", "x.tmr", "z.angle_rad", "layer.tilt_rad"):
        np.testing.assert_array_equal(few.array(name), more.array(name))
    assert few.one(0) != Spread().draw(NOMINAL, 3, seed=6).one(0)


def test_no_spread_is_the_nominal_junction():
    none = Spread(**{n: 0 for n in Spread.model_fields if n != "distribution"})
    assert none.draw(TANH, 2, seed=9).one(1) == TANH


MORE = {
    "ms": ["layer.ms_a_per_m"], "ky": ["layer.ky_t"], "heating": ["layer.heating_k_per_a2"],
    "common": ["common_ohm"], "h_ref": ["x.h_ref_t", "z.h_ref_t"],
    "v_half": ["x.v_half_v", "z.v_half_v"], "vcma": ["x.vcma_j_per_v_m", "z.vcma_j_per_v_m"],
    "spin_efficiency": ["x.spin_efficiency", "z.spin_efficiency"],
    "azimuth_rad": ["x.azimuth_rad", "z.azimuth_rad"],
}  # fmt: skip


@pytest.mark.parametrize("name", MORE)
def test_a_spread_moves_its_own_parameters_alone(name):
    """Standard deviation 0.1, less 4 % by the cut at two, of the value (or of itself, in rad); each
    side for itself; every other parameter bit for bit as before."""
    nominal = TANH.changed({"layer.ky_t": 1e-3, "layer.heating_k_per_a2": 1e4})
    before = Spread().draw(nominal, 4000, seed=2)
    after = Spread(**{name: 0.1}).draw(nominal, 4000, seed=2)
    moved = []
    for parameter in {**before.values, **after.values}:
        if np.array_equal(before.array(parameter), after.array(parameter)):
            continue
        moved.append(parameter)
        unit = 1.0 if name.endswith("_rad") else nominal.get(parameter)
        assert after.array(parameter).std() == pytest.approx(0.096 * unit, rel=0.05)
    assert sorted(moved) == MORE[name]
    if len(moved) == 2:
        both = np.corrcoef(*(after.array(parameter) for parameter in moved))
        assert abs(both[0, 1]) < 0.06


@pytest.mark.parametrize("distribution", ["normal", "uniform", "lognormal"])
def test_the_widest_spread_draws_no_zero(distribution):
    """A tenth is left of a value cut at two deviations of 0.45; each product of two above 0."""
    widest = dict.fromkeys(
        (n for n, f in Spread.model_fields.items() if n != "distribution" and "_" not in n), 0.45
    )
    drawn = Spread(distribution=distribution, tilt_rad=0, reference_rad=0, **widest)
    for name, values in drawn.draw(TANH, 2000, seed=1).values.items():
        nominal = TANH.get(name)
        assert np.all(values * np.sign(nominal) >= 0), name
        assert nominal == 0 or "angle" in name or np.all(values != 0), name
    with pytest.raises(ValidationError, match=r"at most 0\.45"):
        Spread(resistance=0.5)
