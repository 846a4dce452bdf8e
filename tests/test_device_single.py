"""Junctions with one read-out, and layers that are turned."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from device import CalibrationError, DeviceArray
from device.neurons import LiveNeuron
from device.neurons_replay import StoredBench
from device.polarizer import RotatablePolarizerMTJ, Turner, calibrate_turned
from device.rules_difference import Central
from device.single import SingleReadoutMTJ, normalise
from instruments import Bench, BenchError
from tests.device_benches import GS, LEVELS, SHAPES, bench_with, simulator, strike, swept

COMMON_OHM = 6.0
POLARIZER = (
    {"instruments": {"polarizer": {"driver": "yokogawags200_volt", "address": "GPIB0::2::INSTR"}},
     "limits": {"polarizer": {"level": "1.2 V", "compliance": "20 mA"}}},
    {"instruments": GS, "devices": {"turner": {"kind": "polarizer", "turns": {"J1": "x"}}},
     "wires": [["gs.hi", "turner.a"], ["gs.lo", "turner.b"], ["turner.b", "earth"]]},
)  # fmt: skip


# -- one read-out --------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_any_response_is_normalised_to_what_was_swept(shape):
    found = normalise(swept(shape, 2e-9, np.concatenate((LEVELS, LEVELS[::-1]))), 0.0)
    y = found.activation(swept(shape))
    true = shape(LEVELS)
    middle, half = (true.max() + true.min()) / 2, np.ptp(true) / 2
    assert y == pytest.approx((true - middle) / half, abs=0.02)
    assert found.sigma == pytest.approx(2e-9 / 0.02 / (1e-4 * half / 4), rel=0.25)
    assert (found.low_a, found.high_a) == (LEVELS[0], LEVELS[-1])


def test_the_z_layer_may_be_the_one_that_is_read():
    data = swept(SHAPES["tanh"])
    other = replace(data, current_x_a=data.current_z_a, current_z_a=data.current_x_a)
    one, two = normalise(data, 0.0), normalise(other, 0.0, "z")
    assert (one.middle_s, one.half_s) == (two.middle_s, two.half_s)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (swept(lambda i: 0 * i, noise=2e-9), "there is no response to use"),
        (swept(SHAPES["tanh"], levels=LEVELS[:5]), "5 levels are too few"),
        (replace(swept(SHAPES["tanh"]), valid=LEVELS > -0.03), "readings are in doubt"),
    ],
    ids=["flat", "few", "doubtful"],
)
def test_what_is_no_response_is_refused(data, words):
    with pytest.raises(CalibrationError, match=f"J1: .*{words}"):
        normalise(data, 0.0)


def test_another_read_voltage_is_another_response():
    found = normalise(swept(SHAPES["tanh"]), 0.0)
    with pytest.raises(CalibrationError, match="normalised at 20 mV and read at 30 mV"):
        found.activation(swept(SHAPES["tanh"], volt=0.03))


def test_x_is_what_scale_and_centre_make_of_the_current():
    found = normalise(swept(SHAPES["tanh"]), 0.0)
    bench = StoredBench([swept(SHAPES["tanh"])], within_a=0.5e-3)
    assert SingleReadoutMTJ(bench, found).x_range == pytest.approx((-3.0, 3.0))
    moved = SingleReadoutMTJ(bench, found, scale_a=8e-3, center_a=8e-3)
    assert moved.x_range == pytest.approx((-5.0, 3.0))
    assert moved.measure(np.array([-1.0, 0.0])).y == pytest.approx(
        np.tanh([0.0, 1.0]) / np.tanh(4), abs=1e-3
    )


def test_on_the_bench_a_difference_gives_the_slope_and_a_dead_junction_no_number(tmp_path):
    with bench_with(tmp_path, {}, {}) as bench, bench.running():
        made = normalise(bench.sweep("J1", LEVELS), COMMON_OHM)
        neuron = LiveNeuron(SingleReadoutMTJ(bench, made), Central(0.4))
        x = np.linspace(-3, 3, 25)[:, None]
        reading = neuron.read(x, gradient=True)
        assert reading.valid is None and reading.source == "live"
        true = np.gradient(neuron.read(x).y[:, 0], x[:, 0])
        assert reading.g[:, 0] == pytest.approx(true, abs=0.12)
        assert neuron.sigma_g.max() < 0.05
        strike(bench, {"kind": "open", "device": "J1", "terminal": "x"})
        dead = neuron.read(x[:6], gradient=True)
        assert not dead.valid.any() and np.isnan(dead.y).all()
        assert bench.recorder.texts("impossible reading")


# -- a layer that is turned ----------------------------------------------------------------------


def test_a_turned_layer_gives_both_components_and_the_error_of_preparing_again(tmp_path):
    with bench_with(tmp_path, *POLARIZER) as bench:
        turner = Turner(bench, 1.0, 5e-3)
        made, _ = calibrate_turned(bench, "J1", turner)
        assert made.verdict in ("good", "doubtful")
        device = RotatablePolarizerMTJ(bench, made, turner)
        x = np.random.default_rng(0).uniform(-2.5, 2.5, size=(20, 1))
        reading = device.read(x, gradient=True)
        assert np.abs(reading.y - np.tanh(x)).max() < 0.08
        assert np.abs(reading.g - 1 / np.cosh(x) ** 2).max() < 0.08
        assert reading.reads > 2 * 20 + 5
        error = device.prepared
        assert error.points == 5 and 0.2 * error.noise < error.rms < 10 * error.noise
        assert bench.recorder.texts("prepared again") == [f"J1: {error}"]
        assert simulator(bench).plant.devices["turner"].pulses == 5  # x, z; x, z, x
        assert DeviceArray([device]).read(x).valid is None


def test_a_layer_that_does_not_come_back_shows_in_the_error(tmp_path):
    with bench_with(tmp_path, *POLARIZER) as bench:
        turner = Turner(bench, 1.0, 5e-3)
        made, _ = calibrate_turned(bench, "J1", turner)
        device = RotatablePolarizerMTJ(bench, made, turner)
        x = np.linspace(-1, 1, 9)
        device.measure(x)
        good = device.prepared.rms
        real = turner.to

        def lazy(side):  # the last turn of a list, back to x, does not happen
            if not (side == "x" and turner._side == "z"):
                real(side)

        turner.to = lazy
        device.measure(x)
        assert device.prepared.rms > 10 * good


def test_a_bench_without_polarizer_says_so():
    with Bench.open() as bench, pytest.raises(BenchError, match=r"no instruments\.polarizer"):
        Turner(bench, 1.0, 1e-3)
