"""Neurons: one interface, live and tabulated."""

from __future__ import annotations

import numpy as np
import pytest

from device import (
    CalibrationError,
    DeviceArray,
    TableNeuron,
    TwoReferenceMTJ,
    calibrate,
    tabulate,
)
from instruments import Bench, SweepVoidError
from instruments.bench import Bench as BenchClass


@pytest.fixture(scope="module")
def bench():
    with Bench.open() as opened:
        yield opened


@pytest.fixture(scope="module")
def calibrated(bench):
    return [calibrate(bench, junction) for junction in ("J1", "J2", "J3")]


@pytest.fixture
def array(bench, calibrated):
    return DeviceArray([TwoReferenceMTJ(bench, one) for one, _ in calibrated])


def test_a_reading_has_the_shape_of_its_batch_and_is_near_tanh(array):
    x = np.random.default_rng(0).normal(size=(40, 3))
    reading = array.read(x, gradient=True)
    assert reading.y.shape == reading.g.shape == (40, 3)
    assert np.abs(reading.y - np.tanh(x)).max() < 0.06
    assert reading.valid is None
    assert reading.bench_time_s > 0


def test_rows_come_back_in_the_callers_order(array):
    x = np.array([[2.0, -1.0, 0.0], [-2.0, 1.0, 0.5], [0.1, 0.0, -0.5], [2.0, -1.0, 0.0]])
    y = array.read(x).y
    assert np.abs(y - np.tanh(x)).max() < 0.06
    assert y[0] == pytest.approx(y[3], abs=0.04)  # the same x twice: the same but for noise


def test_without_gradient_there_is_none(array):
    assert array.read(np.zeros((1, 3))).g is None


def test_g_is_the_derivative_of_y_by_x_with_the_input_scale_in_it(bench, calibrated):
    one, _ = calibrated[0]
    for factor in (1.0, 0.5):
        neuron = TwoReferenceMTJ(bench, one, scale_a=factor * one.unit_width_a)
        x = np.repeat(np.linspace(-1.5, 1.5, 7), 60)[:, None]
        h = 0.3
        slope = (neuron.read(x + h).y - neuron.read(x - h).y).reshape(7, 60).mean(1) / (2 * h)
        g = neuron.read(x, gradient=True).g.reshape(7, 60).mean(1)
        assert g == pytest.approx(slope, abs=0.08 * factor)
        assert g.max() == pytest.approx(factor, abs=0.07 * factor)


def test_outside_the_calibrated_range_x_is_clamped_to_its_edge_and_said_so(bench, calibrated):
    neuron = TwoReferenceMTJ(bench, calibrated[0][0])
    low, high = neuron.x_range
    reading = neuron.read(np.array([[-50.0], [0.0], [50.0], [high]]), gradient=True)
    assert reading.clamped[:, 0].tolist() == [True, False, True, False]
    assert reading.clamped_share == 0.5
    assert reading.y[2, 0] == pytest.approx(reading.y[3, 0], abs=0.04)
    assert reading.g[2, 0] > 0  # a neuron can come back
    assert (low, high) == (pytest.approx(-3, abs=0.35), pytest.approx(3, abs=0.35))


def test_every_measured_point_is_counted(bench, calibrated):
    neuron = TwoReferenceMTJ(bench, calibrated[0][0])
    step = bench.file.limits.field_line.step
    edge = calibrated[0][0].high_a
    reading = neuron.read(np.full((5, 1), 50.0))
    # five wanted, and fill points on the way out and back
    assert reading.reads == 5 + 2 * (int(np.ceil(edge / step)) - 1)


@pytest.mark.parametrize("x", [np.zeros((2, 2)), np.zeros(3), np.array([[np.nan] * 3])])
def test_a_batch_of_the_wrong_shape_or_with_nan_is_refused(array, x):
    with pytest.raises(ValueError, match="x h"):
        array.read(x)


def test_a_refused_calibration_makes_no_neuron(bench, calibrated):
    from dataclasses import replace

    bad = replace(calibrated[0][0], verdict="refused", reason="made up")
    with pytest.raises(CalibrationError, match="J1: made up"):
        TwoReferenceMTJ(bench, bad)


def test_doubtful_elements_are_read_again_and_nothing_is_put_in_their_place(
    bench, calibrated, monkeypatch
):
    neuron = TwoReferenceMTJ(bench, calibrated[0][0])
    sizes = []
    real = BenchClass.sweep

    def sweep(self, junction, levels, **rest):
        data = real(self, junction, levels, **rest)
        sizes.append(len(levels))
        from dataclasses import replace

        bad = np.zeros(len(levels), bool)
        bad[0] = len(sizes) <= 2  # one element is doubtful in the first two sweeps
        return replace(data, valid=~bad)

    monkeypatch.setattr(BenchClass, "sweep", sweep)
    x = np.linspace(-1, 1, 6)[:, None]
    reading = neuron.read(x)
    assert sizes == [6, 1, 1]
    assert reading.valid is None
    assert np.abs(reading.y - np.tanh(x)).max() < 0.06


def test_after_three_repeats_the_element_is_invalid(bench, calibrated, monkeypatch):
    neuron = TwoReferenceMTJ(bench, calibrated[0][0])
    calls = []

    def void(self, junction, levels, **rest):
        calls.append(len(levels))
        raise SweepVoidError("made up")

    monkeypatch.setattr(BenchClass, "sweep", void)
    reading = neuron.read(np.zeros((4, 1)), gradient=True)
    assert calls == [4, 4, 4, 4]
    assert not reading.valid.any()
    assert np.isnan(reading.y).all() and np.isnan(reading.g).all()


def test_an_element_that_stays_doubtful_holds_nan_and_the_others_their_reading(
    bench, calibrated, monkeypatch
):
    from dataclasses import replace

    neuron = TwoReferenceMTJ(bench, calibrated[0][0])
    real = BenchClass.sweep

    def sweep(self, junction, levels, **rest):
        bad = np.arange(len(levels)) == len(levels) // 2
        return replace(real(self, junction, levels, **rest), valid=~bad & (len(levels) > 1))

    monkeypatch.setattr(BenchClass, "sweep", sweep)
    x = np.linspace(-1, 1, 5)[:, None]
    reading = neuron.read(x, gradient=True)
    sure = reading.valid[:, 0]
    assert sure.tolist() == [True, True, False, True, True]
    assert np.isnan(reading.y[~sure]).all() and np.isnan(reading.g[~sure]).all()
    assert np.abs(reading.y[sure] - np.tanh(x[sure])).max() < 0.06


def test_invalid_elements_of_one_neuron_stay_its_own(array, monkeypatch):
    real = BenchClass.sweep

    def sweep(self, junction, levels, **rest):
        if junction == "J2":
            raise SweepVoidError("made up")
        return real(self, junction, levels, **rest)

    monkeypatch.setattr(BenchClass, "sweep", sweep)
    assert array.read(np.zeros((2, 3))).valid.all(axis=0).tolist() == [True, False, True]


def test_a_table_agrees_with_the_junction_it_was_made_from(bench, calibrated, array):
    tables = TableNeuron([tabulate(data, one) for one, data in calibrated])
    x = np.random.default_rng(1).uniform(-4, 4, size=(300, 3))
    live, table = array.read(x, gradient=True), tables.read(x, gradient=True)
    assert np.sqrt(np.mean((live.y - table.y) ** 2)) < 0.012
    assert np.sqrt(np.mean((live.g - table.g) ** 2)) < 0.015
    assert (live.clamped == table.clamped).all()
    assert table.reads == 0


def test_sweeps_are_recorded_with_their_purpose(array):
    with array.recording("train", 7):
        assert {(d.purpose, d.run) for d in array.devices} == {("train", 7)}
    assert {(d.purpose, d.run) for d in array.devices} == {("sweep", None)}
