"""Neurons on stored sweeps: the numbers that were measured, and no others."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from device import DeviceArray, TableNeuron, TwoReferenceMTJ, calibrate, tabulate
from device.neurons import LiveNeuron
from device.neurons_replay import ReplayedNeuron, StoredBench, stored_sweeps
from device.reading import NotMeasuredError
from device.rules import TwoReference
from device.rules_difference import Central
from instruments import Bench, SweepData
from instruments.session import live_session
from tests.device_benches import Software


def stored(levels=(0.0, 1e-3, 2e-3), x=(1e-6, 2e-6, 3e-6), valid=True, volt=0.02):
    n = len(levels)
    x = np.array(x[:n])
    good = np.full(n, valid)
    return SweepData("J1", np.array(levels), x, x, good, volt, n, 0.0, 1.0)


def test_each_level_gives_its_readings_in_turn_and_then_the_first_again():
    bench = StoredBench([stored((1e-3, 1e-3)), stored((1e-3,), (9e-6,))])
    got = [bench.sweep("J1", [1e-3]).current_x_a[0] for _ in range(4)]
    assert got == [1e-6, 2e-6, 9e-6, 1e-6]
    assert bench.sweep("J1", [1e-3, 1e-3]).current_x_a.tolist() == [2e-6, 9e-6]


@pytest.mark.parametrize("level", [-1e-3, 0.4e-3, 1.5e-3, 3e-3])
def test_a_level_that_was_not_measured_is_refused(level):
    bench = StoredBench([stored()], within_a=0.3e-3)
    near = bench.sweep("J1", [1.2e-3, 0.2e-3, 1.8e-3])
    assert near.level_a.tolist() == [1e-3, 0.0, 2e-3]
    with pytest.raises(NotMeasuredError, match="J1: 1 of 2 levels were not measured"):
        bench.sweep("J1", [0.0, level])


def test_what_was_in_doubt_is_not_there():
    with pytest.raises(NotMeasuredError, match="all of its stored readings were in doubt"):
        StoredBench([stored(valid=False)]).sweep("J1", [0.0])
    with pytest.raises(NotMeasuredError, match="J9: no sweep of it is stored; there are J1"):
        StoredBench([stored()]).sweep("J9", [0.0])
    with pytest.raises(ValueError, match="give those of one read voltage"):
        StoredBench([stored(), stored(volt=0.03)])


def test_a_live_device_makes_no_replayed_neuron():
    with pytest.raises(ValueError, match="S1 is on a twin bench"):
        ReplayedNeuron(Software(), Central(0.1))


@pytest.mark.parametrize("rule", [TwoReference(), Central(0.25)], ids=lambda rule: rule.name)
def test_a_recorded_session_answers_bit_for_bit(tmp_path, rule):
    path = tmp_path / "record.db"
    x = np.random.default_rng(0).normal(size=(15, 1))
    with live_session("calibrate", {}, bench_file=None, database=path) as session:
        made, _ = calibrate(session.bench, "J1")
        neuron = LiveNeuron(TwoReferenceMTJ(session.bench, made), rule)
        live = [neuron.read(x, gradient=True), neuron.read(x, gradient=True)]
        number, half_a = session.number, session.bench.programming_step_a / 2
    bench = StoredBench(stored_sweeps(path, number, ["sweep"]), within_a=half_a)
    again = ReplayedNeuron(TwoReferenceMTJ(bench, made), rule)
    for one in live:
        replayed = again.read(x, gradient=True)
        assert (replayed.y == one.y).all() and (replayed.g == one.g).all()
        assert (replayed.source, one.source) == ("replay", "live")
        assert replayed.reads == 0 and replayed.bench_time_s == 0
    with pytest.raises(NotMeasuredError):
        again.read(x + 0.01)


def test_a_stored_sweep_has_the_voltage_that_it_was_read_at(tmp_path):
    path = tmp_path / "record.db"
    levels = np.linspace(-0.02, 0.02, 9)
    with live_session("sweep", {}, bench_file=None, database=path) as session:
        with session.bench.reading_with(voltage_v=0.01):
            live = [session.bench.sweep("J1", levels)]
        live.append(session.bench.sweep("J1", levels))
    stored = stored_sweeps(path, session.number)
    assert [one.voltage_v for one in stored] == [0.01, 0.02] == [one.voltage_v for one in live]


def test_sweeps_in_a_bias_field_do_not_answer_for_those_without(tmp_path):
    path = tmp_path / "record.db"
    with live_session("sweep", {}, bench_file=None, database=path) as session:
        for purpose, level in (("sweep", 0.001), ("bias", 0.002)):
            session.bench.sweep("J1", [level], purpose=purpose)
    levels = [
        [one.level_a[-1] for one in stored_sweeps(path, session.number, purposes)]
        for purposes in (None, ["bias"])
    ]
    assert levels == [[0.001], [0.002]]


def test_every_reading_says_where_it_comes_from():
    with Bench.open() as bench:
        made, data = calibrate(bench, "J1")
        live = TwoReferenceMTJ(bench, made)
        table = TableNeuron([tabulate(data, made)])
        x = np.zeros((2, 1))
        assert live.read(x).source == "live"
        assert table.read(x).source == "table"
        assert DeviceArray([live, live]).read(np.zeros((2, 2))).source == "live"
        old = TwoReferenceMTJ(StoredBench([data]), made)
        level = data.level_a[60]
        at = np.array([[(level - made.center_a) / old.scale_a]])
        assert old.read(at).source == "replay"
        mixed = DeviceArray([live, old]).read(np.hstack((at, at)))
        assert mixed.source == "mixed"
        assert replace(mixed, g=None).source == "mixed"  # what wraps a neuron keeps it
