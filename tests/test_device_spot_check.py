"""Drift, jumps, switched, shorted and open junctions in the middle of a run: found within one spot
check, reported, and no number of a bad junction is used."""

from __future__ import annotations

import numpy as np
import pytest

from device import CalibrationError, DeviceArray, TwoReferenceMTJ, calibrate, tabulate
from device.curve import make_curve
from device.neurons import LiveNeuron
from device.neurons_table import TabulatedNeuron
from device.reading import BadJunctionError, InvalidReadingError
from device.roll import Policy
from device.rules import TwoReference
from device.single import SingleReadoutMTJ, normalise
from device.spot_check import SpotCheck
from device.watch import Tolerance, Watch
from instruments import State, SweepVoidError
from instruments.errors import ComplianceError
from sim_backend.faults_kinds import parse_faults
from tests.device_benches import bench_with, simulator, strike

EVERY = 3
STRUCK = 1  # index of the junction that goes bad
NAMES = ("J1", "J2", "J3")


class Run:
    """Batches of a layer, tabulated or live, on three junctions."""

    def __init__(self, bench, policy, live, tolerance=None):
        made = [calibrate(bench, name) for name in NAMES]
        self.devices = [TwoReferenceMTJ(bench, one) for one, _ in made]
        self.tables = [tabulate(data, one) for one, data in made]
        pairs = list(zip(self.devices, self.tables, strict=True))
        if live:
            self.layer = DeviceArray(
                [LiveNeuron(d, TwoReference(d.gain), Watch(d, t, tolerance)) for d, t in pairs],
                policy=policy,
            )
        else:
            self.checks = [SpotCheck(d, t, tolerance=tolerance) for d, t in pairs]
            self.layer = TabulatedNeuron(self.checks, every=EVERY, policy=policy)
        self.rng = np.random.default_rng(0)

    def batch(self, spread=1.0):
        self.x = self.rng.normal(scale=spread, size=(8, 3))
        return self.layer.read(self.x, gradient=True)

    def within_one_check(self):
        """Batches until a check is sure to have been made."""
        return [self.batch() for _ in range(EVERY)]


def bad_notes(bench):
    return bench.recorder.texts("bad junction")


PERMANENT = {
    "open x": {"kind": "open", "device": "J2", "terminal": "x"},
    "open z": {"kind": "open", "device": "J2", "terminal": "z"},
    "open": {"kind": "open", "device": "J2"},
    "jump": {"kind": "telegraph", "device": "J2", "terminal": "x", "step": 0.5, "up_hz": 1000.0,
             "down_hz": 1e-6},
    "drift of the barrier": {"kind": "junction_drift", "device": "J2",
                             "parameter": "x.r_parallel_ohm", "relative_per_hour": -300.0},
    "drift of the layer": {"kind": "junction_drift", "device": "J2", "parameter": "layer.hz_t",
                           "per_hour": 5.0},
}  # fmt: skip


@pytest.mark.parametrize("live", [False, True], ids=["table", "live"])
@pytest.mark.parametrize("fault", PERMANENT.values(), ids=PERMANENT)
def test_a_bad_junction_is_found_within_one_check_and_left_out(tmp_path, fault, live):
    with bench_with(tmp_path, {}, {}) as bench, bench.running():
        run = Run(bench, Policy("leave out"), live)
        run.batch()
        strike(bench, fault)
        bench.transport.pause(1.0)  # for what drifts
        readings = run.within_one_check()
        run.within_one_check()
        assert list(run.layer.roll.left_out) == [STRUCK] and run.layer.neurons_left == 2
        (said,) = bad_notes(bench)  # and it is not measured again
        assert said.startswith("J2: ")
        assert bench.recorder.texts("junction left out") == ["neurons 1: 2 of 3 neurons are left"]
        last, good = run.batch(), [0, 2]
        assert (last.y[:, STRUCK] == 0).all() and (last.g[:, STRUCK] == 0).all()
        assert np.abs(last.y[:, good] - np.tanh(run.x[:, good])).max() < 0.06
        if live:  # not one number of it was used: the batch in which it was found has none
            assert all((one.y[:, STRUCK] == 0).all() for one in readings)
        else:  # and until then the table answered, from before
            used = np.concatenate([one.y[:, STRUCK] for one in readings])
            assert np.abs(used).max() <= np.abs(run.tables[STRUCK].y).max() * 1.01


@pytest.mark.parametrize("terminal", ["x", "z"])
def test_without_a_watch_too_a_magnetisation_that_cannot_be_is_no_number(tmp_path, terminal):
    with bench_with(tmp_path, {}, {}) as bench, bench.running():
        made, _ = calibrate(bench, "J2")
        neuron = TwoReferenceMTJ(bench, made)
        strike(bench, {"kind": "open", "device": "J2", "terminal": terminal})
        reading = neuron.read(np.zeros((3, 1)), gradient=True)
        assert not reading.valid.any() and np.isnan(reading.y).all() and np.isnan(reading.g).all()
        assert bench.recorder.texts("impossible reading")[0] == "J2: 3 of 3 readings"


@pytest.mark.parametrize("live", [False, True], ids=["table", "live"])
def test_where_the_policy_is_to_stop_the_batch_is_not_answered(tmp_path, live):
    with bench_with(tmp_path, {}, {}) as bench, bench.running():
        run = Run(bench, Policy("stop"), live)
        run.batch()
        strike(bench, PERMANENT["open x"])
        with pytest.raises(BadJunctionError, match=r"J2: .*stay in doubt; it is not used any more"):
            run.within_one_check()
        assert len(bad_notes(bench)) == 1
        assert issubclass(BadJunctionError, CalibrationError)  # what faces already report


def test_too_few_neurons_left_stop_the_run_all_the_same(tmp_path):
    with bench_with(tmp_path, {}, {}) as bench, bench.running():
        run = Run(bench, Policy("leave out", fewest=2), live=True)
        strike(bench, {"kind": "open", "device": "J1"}, {"kind": "open", "device": "J3"})
        with pytest.raises(BadJunctionError, match="1 of 3 neurons are left, fewer than 2"):
            run.batch()


def test_a_short_trips_the_bench_and_no_policy_goes_on_after_that(tmp_path):
    with bench_with(tmp_path, {}, {}) as bench:
        with pytest.raises(ComplianceError, match="J2: meter z was in compliance"):  # noqa: SIM117
            with bench.running():
                run = Run(bench, Policy("leave out"), live=False)
                run.batch()
                strike(bench, {"kind": "short", "device": "J2", "terminal": "z"})
                run.within_one_check()
        assert bench.state is State.TRIPPED


@pytest.mark.parametrize("live", [False, True], ids=["table", "live"])
def test_where_the_bench_file_leaves_it_a_short_is_left_out(tmp_path, live):
    with bench_with(tmp_path, {"readout": {"trip_share": 1}}, {}) as bench, bench.running():
        run = Run(bench, Policy("leave out"), live)
        run.batch()
        strike(bench, {"kind": "short", "device": "J2"})
        assert (run.within_one_check()[-1].y[:, STRUCK] == 0).all()
        assert list(run.layer.roll.left_out) == [STRUCK]


def test_a_switched_layer_is_known_by_the_sign_of_m_z(tmp_path):
    layer = {"k_t": 4e-3, "k2_t": 2.56e-3, "hz_t": 3e-4, "field_constant_t_per_a": 0.6,
             "temperature_k": 300}  # fmt: skip
    sim = {"physics": "wells", "junctions": {"layer": layer}}
    with bench_with(tmp_path, {}, sim) as bench, bench.running():
        found, data = calibrate(bench, "J2")
        device = TwoReferenceMTJ(bench, found)
        neuron = LiveNeuron(device, TwoReference(), Watch(device, tabulate(data, found)))
        x = np.linspace(-0.2, 0.2, 8)[:, None]
        assert neuron.read(x).valid is None
        # Small fields alone: a large one brings the layer back, and the sweep with it.
        strike(bench, {"kind": "switched", "device": "J2", "to": "down"})
        with pytest.raises(BadJunctionError, match="J2: 100% of its readings"):
            neuron.read(x)
        assert bench.recorder.texts("switched")[0] == "J2: 8 of 8 readings"
        high = np.array([[device.x_range[1]]])
        assert neuron.read(high, gradient=True).valid is None
        assert neuron.read(x, gradient=True).valid is None


def test_spikes_are_read_again_and_nobody_is_left_out(tmp_path):
    with bench_with(tmp_path, {}, {}) as bench, bench.running():
        run = Run(bench, Policy("leave out"), live=True)
        spike = {"kind": "spike", "instrument": "x", "height": 2e-6, "probability": 0.1}
        simulator(bench).faults.add(*parse_faults([spike]))  # 4 units of y
        for _ in range(5):
            reading = run.batch()
            assert reading.valid is None
            assert np.abs(reading.y - np.tanh(run.x)).max() < 0.06
        assert bench.recorder.texts("read again") and run.layer.neurons_left == 3


def test_a_slow_drift_is_corrected_and_the_correction_is_logged(tmp_path):
    with bench_with(tmp_path, {}, {}) as bench, bench.running():
        run = Run(bench, Policy("stop"), live=False)
        run.batch()
        before = run.checks[STRUCK].of_y
        strike(bench, {"kind": "junction_drift", "device": "J2", "parameter": "x.r_parallel_ohm",
                       "relative_per_hour": -0.003 * 3600})  # fmt: skip
        bench.transport.pause(5.0)  # 1.5 %, that is 0.05 of y
        reading = run.within_one_check()[-1]
        found = run.checks[STRUCK].of_y
        assert found != before and found.offset > 0.02
        assert bench.recorder.texts("spot check")[-2].endswith(": corrected")
        live = run.devices[STRUCK].measure(np.clip(run.x[:, STRUCK], -2.9, 2.9))
        assert reading.y[:, STRUCK] == pytest.approx(live.y, abs=0.04)


def test_checks_on_a_steady_bench_change_nothing_but_by_their_errors(tmp_path):
    with bench_with(tmp_path, {}, {}) as bench, bench.running():
        run = Run(bench, Policy("stop"), live=False)
        for _ in range(5):
            run.layer.check()
        for one in run.checks:
            assert abs(one.of_y.gain - 1) < 0.02 and abs(one.of_y.offset) < 0.02
        notes = bench.recorder.texts("spot check")
        assert len(notes) == 15
        assert sum(note.endswith(": as before") for note in notes) >= 12


def test_a_check_that_reads_nothing_is_no_check(tmp_path, monkeypatch):
    with bench_with(tmp_path, {}, {}) as bench, bench.running():
        run = Run(bench, Policy("leave out"), live=False)

        def void(*_, **__):
            raise SweepVoidError("a trigger was lost")

        with monkeypatch.context() as lost:
            lost.setattr(bench, "sweep", void)
            with pytest.raises(InvalidReadingError, match="no reading beyond doubt"):
                run.batch()
        assert run.layer.neurons_left == 3
        assert not bench.recorder.texts("spot check")
        run.batch()  # is checked before it is answered
        assert len(bench.recorder.texts("spot check")) == 3


def test_reads_and_time_of_a_check_are_in_its_batch(tmp_path):
    with bench_with(tmp_path, {}, {}) as bench, bench.running():
        run = Run(bench, Policy("stop"), live=False)
        readings = [run.batch() for _ in range(EVERY + 1)]
        assert [bool(one.reads) for one in readings] == [True, False, False, True]
        assert readings[0].bench_time_s > 0 and readings[1].bench_time_s == 0
        assert {one.source for one in readings} == {"table"}


def test_neurons_that_share_a_junction_share_its_check_and_its_end(tmp_path):
    with bench_with(tmp_path, {}, {}) as bench, bench.running():
        run = Run(bench, Policy("leave out"), live=False)
        one, two = run.checks[:2]
        layer = TabulatedNeuron([one, two, one, two], every=1, policy=Policy("leave out"))
        strike(bench, PERMANENT["open x"])
        layer.read(np.zeros((2, 4)))
        assert sorted(layer.roll.left_out) == [1, 3] and layer.neurons_left == 2
        assert len(bad_notes(bench)) == 1


def test_with_one_read_out_the_gradient_follows_the_gain_of_the_activation(tmp_path):
    with bench_with(tmp_path, {}, {}) as bench, bench.running():
        data = bench.sweep("J1", np.linspace(-0.032, 0.032, 121))
        made = normalise(data, 6.0)
        device = SingleReadoutMTJ(bench, made)
        x = (data.level_a - device.center_a) / device.scale_a
        table = make_curve(x, made.activation(data)).table()
        check = SpotCheck(device, table)
        layer = TabulatedNeuron([check], every=1)
        at = np.linspace(-2, 2, 9)[:, None]
        healthy = layer.read(at, gradient=True)
        assert healthy.g == pytest.approx(np.interp(at, table.x, table.g) * check.of_y.gain)
        strike(bench, {"kind": "junction_drift", "device": "J1", "parameter": "x.tmr",
                       "relative_per_hour": -0.02 * 3600})  # fmt: skip
        bench.transport.pause(2.0)
        drifted = layer.read(at, gradient=True)
        assert check.of_g.gain == check.of_y.gain < 0.99
        assert drifted.g == pytest.approx(np.interp(at, table.x, table.g) * check.of_y.gain)


def test_how_a_check_is_made_is_checked(tmp_path):
    with bench_with(tmp_path, {}, {}) as bench, bench.running():
        run = Run(bench, None, live=False)
        with pytest.raises(ValueError, match="3, 4 or 5 points"):
            SpotCheck(run.devices[0], run.tables[0], points=2)
        with pytest.raises(ValueError, match="every 0 batches"):
            TabulatedNeuron(run.checks, every=0)
        for points in (3, 4, 5):
            made = SpotCheck(run.devices[0], run.tables[0], points=points, repeats=1)
            assert len(made.x) == points
            made.run()
        tight = SpotCheck(run.devices[0], run.tables[0], tolerance=Tolerance(offset=1e-4))
        tight.table.y[:] += 0.05
        with pytest.raises(BadJunctionError, match=r"limits are 1 ± 0.1 and 0 ± 0.0001"):
            tight.run()
