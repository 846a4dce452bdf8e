"""All rules on the simulated bench, whose truth the rules do not know."""

from __future__ import annotations

import numpy as np
import pytest

from device import calibrate
from device.neurons import LiveNeuron
from device.reading import Signals
from device.rules import CalibratedTwoReference
from device.rules_comparison import compare_rules, step_rules
from device.rules_difference import Central, Dither, Paired
from instruments import Bench


@pytest.fixture(scope="module")
def bench():
    with Bench.open() as opened:
        yield opened


@pytest.fixture(scope="module")
def calibrated(bench):
    return [calibrate(bench, junction) for junction in ("J1", "J2")]


@pytest.fixture(scope="module")
def found(bench, calibrated):
    rng = np.random.default_rng(0)
    calibrations, sweeps = zip(*calibrated, strict=True)
    train, x = rng.normal(size=(300, 2)), rng.normal(size=(80, 2))
    results, error = compare_rules(bench, calibrations, sweeps, train, x)
    return {one.rule: one for one in results}, error


def test_every_rule_is_there_with_all_its_elements(found):
    results, _ = found
    assert set(results) == {
        "two-reference", "calibrated two-reference", "sequential central", "sequential forward",
        "dither", "slope of the curve", "slope of the twin", "paired, two lists",
    }  # fmt: skip
    for one in results.values():
        assert len(one.x) == len(one.g) == len(one.reference) == 160
        assert one.reads >= 160 * one.reads_per_neuron
        assert one.bench_time_s > 0
        assert one.agreement.cosine > 0.99
        assert one.agreement.norm_ratio == pytest.approx(1, abs=0.03)


def test_the_calibrated_rule_is_nearer_to_the_slope_than_m_z_squared(found):
    results, error = found
    plain, ours = (
        results[name].agreement for name in ("two-reference", "calibrated two-reference")
    )
    assert ours.rms < 0.75 * plain.rms
    assert ours.cosine > plain.cosine
    assert error < 0.5 * ours.rms


def test_errors_of_the_differences_are_those_that_were_said(found):
    results, error = found
    for name in ("sequential central", "sequential forward", "dither"):
        one = results[name]
        said = np.sqrt(np.mean([step.error**2 for step in one.steps.values()]))
        assert one.agreement.rms == pytest.approx(np.hypot(said, error), rel=0.35)
        assert set(one.steps) == {"J1", "J2"}


def test_a_live_neuron_takes_any_of_them_and_stays_inside_the_range(bench, calibrated):
    from device import TwoReferenceMTJ

    devices = [TwoReferenceMTJ(bench, one) for one, _ in calibrated]
    low, high = devices[0].x_range
    x = np.array([[-9.0], [low], [0.0], [high], [9.0]])
    for neuron in (
        LiveNeuron(devices[0], CalibratedTwoReference.of(calibrated[0][0])),
        LiveNeuron(devices[0], Central(0.3, (low, high))),
        LiveNeuron(devices[0], Dither(0.3, (low, high))),
        LiveNeuron(devices[0], Paired(0.3, (low, high)), partner=devices[1]),
    ):
        reading = neuron.read(x, gradient=True)
        assert reading.clamped[:, 0].tolist() == [True, False, False, False, True]
        assert np.abs(reading.y[:, 0] - np.tanh(np.clip(x[:, 0], low, high))).max() < 0.06
        assert reading.g[2, 0] == pytest.approx(1, abs=0.12)
        assert np.abs(reading.g[[0, 1, 3, 4], 0]).max() < 0.15
        assert neuron.sigma_g.shape == (5,)


def test_steps_grow_with_the_noise(calibrated):
    from device.curve import make_curve

    x = np.linspace(-3.3, 3.3, 121)
    curve = make_curve(x, np.tanh(x), 0.0)
    data = np.random.default_rng(1).normal(size=200)
    quiet, loud = (
        [rule.h for rule, _ in step_rules(curve, data, sigma, (-3, 3))] for sigma in (0.002, 0.05)
    )
    assert all(b > 1.8 * a for a, b in zip(quiet, loud, strict=True))


class Drifting:
    """A device whose activation drifts from reading to reading, in the order in which it reads."""

    name, source, junctions, scale_a, x_range = "D", "live", (), 1.0, (-3.0, 3.0)

    def measure(self, x, order="sorted"):
        rank = np.argsort(np.argsort(x, kind="stable")) if order == "sorted" else np.arange(len(x))
        error = np.full(len(x), 1e-6)
        y = np.tanh(x) + 1e-3 * rank
        return Signals(y, None, error, None, np.ones(len(x), bool), len(x))

    def time_s(self):
        return 0.0

    def note(self, kind, text):
        raise AssertionError(text)


def test_a_steady_drift_leaves_the_slope_of_a_dither_alone():
    x = np.random.default_rng(3).uniform(-2.5, 2.5, size=(100, 1))
    wrong = {}
    for rule in (Central(0.3), Dither(0.3)):
        g = LiveNeuron(Drifting(), rule).read(x, gradient=True).g
        at = rule.points(x[:, 0])
        still = rule.combine(x[:, 0], Signals(np.tanh(at), None, 0 * at, None, at < 9, x=at)).g
        wrong[rule.name] = np.abs(g[:, 0] - still).max()
    assert wrong["dither"] < 1e-9
    assert wrong["sequential central"] > 0.05
