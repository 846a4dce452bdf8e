"""Characterisation: what it promises to find, and not to find."""

from __future__ import annotations

from importlib.resources import files

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from db import NullRecorder
from device.characterise import characterise, judge_all, measure_tasks
from device.characterise_judge import Scale, judge_order, judge_repeat
from device.characterise_judge_time import judge_disturb, judge_heating, judge_noise
from device.characterise_measures import (
    allan_deviation,
    jumps,
    largest_difference,
    quantiles,
    trend,
    white_noise,
)
from device.characterise_steps import PARTS, Step, lists_of, schedule, up_and_down
from device.planar import fit_unit_width
from instruments import (
    Bench,
    BenchFile,
    LimitError,
    SweepData,
    SweepVoidError,
    load_bench_file,
)
from instruments.bench_file import parse_bench_file
from sim_backend.llg import equilibrium


def bench_with(tmp_path, faults=(), bench=None, **sim):
    """A bench like the demonstration's, with faults and other things of the simulator."""
    data = yaml.safe_load(files("sim_backend").joinpath("demo.yaml").read_text("utf-8"))
    data["faults"] = list(faults)
    for key, value in sim.items():
        data[key] = data.get(key, {}) | value if isinstance(value, dict) else value
    (tmp_path / "sim.yaml").write_text(yaml.safe_dump(data), encoding="utf-8")
    own = yaml.safe_load(files("instruments").joinpath("demo_bench.yaml").read_text("utf-8"))
    own["sim"] = "sim.yaml"
    for key, value in (bench or {}).items():
        own[key] = own[key] | value
    path = tmp_path / "bench.yaml"
    path.write_text(yaml.safe_dump(own), encoding="utf-8")
    return Bench.open(path)


@pytest.fixture(scope="module")
def whole():
    """All parts, quick, on two junctions of the demonstration bench."""
    with Bench.open() as bench:
        found = characterise(bench, ["J1", "J2"], quick=True)
        layer = bench._keep.visalib.bench.junctions[0].model.layer
    return found, layer


# -- statistics of rows -----------------------------------------------------------------------


@settings(max_examples=20, deadline=None)
@given(sigma=st.floats(1e-3, 0.03), seed=st.integers(0, 1000))
def test_noise_is_told_without_the_response_that_it_sits_on(sigma, seed):
    x = np.linspace(-3.5, 3.5, 241)
    values = np.tanh(x) + sigma * np.random.default_rng(seed).normal(size=x.shape)
    assert white_noise(values) == pytest.approx(sigma, rel=0.35)


def test_the_allan_deviation_of_white_noise_falls_with_the_root_of_time():
    values = np.random.default_rng(1).normal(size=20_000)
    tau, deviation = allan_deviation(values, 0.04)
    assert tau[0] == 0.04
    assert deviation[0] == pytest.approx(1.0, rel=0.03)
    assert deviation[8] == pytest.approx(1 / 16, rel=0.25)


def test_the_allan_deviation_of_a_steady_drift_rises_with_time():
    tau, deviation = allan_deviation(np.arange(1000) * 1e-3, 1.0)
    assert deviation == pytest.approx(1e-3 * tau / np.sqrt(2))


@settings(max_examples=20, deadline=None)
@given(at=st.integers(8, 112), size=st.floats(0.12, 0.5), seed=st.integers(0, 1000))
def test_a_jump_is_found_where_the_response_bends_or_not(at, size, seed):
    noise = 0.006 * np.random.default_rng(seed).normal(size=121)
    values = np.tanh(np.linspace(-3.5, 3.5, 121)) + noise
    values[at:] += size
    count, largest = jumps(values)
    assert count == 1
    assert largest == pytest.approx(size, abs=0.05)


@settings(max_examples=20, deadline=None)
@given(at=st.integers(5, 115), size=st.floats(-0.5, 0.5), seed=st.integers(0, 1000))
def test_neither_a_bend_nor_one_wrong_reading_is_a_jump(at, size, seed):
    noise = 0.006 * np.random.default_rng(seed).normal(size=121)
    values = np.tanh(np.linspace(-3.5, 3.5, 121)) + noise
    values[at] += size
    assert jumps(values)[0] == 0


def test_rows_of_many_junctions_are_told_as_single_ones_are():
    rows = np.random.default_rng(0).normal(size=(5, 60))
    rows[2, 30:] += 20
    assert white_noise(rows) == pytest.approx([float(white_noise(r)) for r in rows])
    assert jumps(rows)[0].tolist() == [0, 0, 1, 0, 0]
    other = rows + np.r_[np.zeros(30), np.full(30, 3.0)]
    assert largest_difference(rows, other)[0] == pytest.approx(3.0)


def test_the_error_of_a_trend_is_its_scatter():
    time_s = np.arange(40.0)
    rows = np.random.default_rng(0).normal(size=(2000, 40)) + 0.1 * time_s
    slope, error = trend(time_s, rows)
    assert slope.mean() == pytest.approx(0.1, abs=0.001)
    assert slope.std() == pytest.approx(error.mean(), rel=0.1)


def test_statistics_leave_out_what_is_no_number():
    found = quantiles(np.array([1.0, np.nan, 3.0]))
    assert (found["n"], found["mean"], found["median"]) == (2, 2, 2)
    assert quantiles(np.array([np.nan])) == {"n": 0.0}


# -- junctions ----------------------------------------------------------------------------------


def test_a_good_junction_has_no_remark_and_every_part(whole):
    found, _ = whole
    for one in found.characters:
        assert (one.verdict, one.remarks) == ("good", [])
        assert set(one.findings) == set(PARTS) - {"field"}  # no bias magnet: no field per ampere


def test_the_unit_width_is_that_of_the_noise_free_response(whole):
    found, layer = whole
    level = np.linspace(-0.032, 0.032, 121)
    m_x, _ = equilibrium.average(layer, level, equilibrium.angle(layer, level))
    width, _ = fit_unit_width(level, m_x)
    assert found.characters[0].numbers["unit_width_a"] == pytest.approx(width, rel=0.02)


def test_noise_falls_with_the_integration_time_as_the_meters_noise_does(whole):
    numbers = whole[0].characters[0].numbers
    ratio = numbers["noise_x_0.1_nplc"] / numbers["noise_x_1_nplc"]
    assert ratio == pytest.approx(np.sqrt(10), rel=0.4)


def test_the_square_of_m_z_is_told_apart_from_the_slope_of_the_curve(whole):
    for one in whole[0].characters:
        assert 0.01 < one.numbers["squared_against_slope_rms"] < 0.04


def test_the_array_has_mean_spread_and_quantiles(whole):
    found, _ = whole
    widths = [one.numbers["unit_width_a"] for one in found.characters]
    assert found.statistics["unit_width_a"]["mean"] == pytest.approx(np.mean(widths))
    assert found.statistics["unit_width_a"]["n"] == 2
    assert found.bad == {}


def test_a_shorted_and_an_open_junction_are_bad_and_named_and_the_others_go_on(tmp_path):
    faults = [
        {"kind": "open", "device": "J2", "terminal": "z"},
        {"kind": "short", "device": "J3", "terminal": "x"},
    ]
    never = {"readout": {"voltage": "20 mV", "lowest_resistance": "5 kohm",
                         "common_resistance": "6 ohm", "trip_share": 1}}  # fmt: skip
    with bench_with(tmp_path, faults, never) as bench:
        found = characterise(bench, ["J1", "J2", "J3"], only=["repeat"], quick=True)
    assert set(found.bad) == {"J2", "J3"}
    assert all(found.bad.values())
    assert found.characters[0].verdict == "good"
    assert found.statistics["unit_width_a"]["n"] == 1
    assert "repeat" not in found.characters[1].findings  # left alone after its first sweep


def test_a_drift_is_found_and_its_size_is_right(tmp_path):
    drift = {"kind": "junction_drift", "device": "J1", "parameter": "x.r_parallel_ohm",
             "relative_per_hour": 5.0, "step_s": 0.5}  # fmt: skip
    with bench_with(tmp_path, [drift]) as bench:
        found = characterise(bench, ["J1"], only=["drift"], quick=True)
    assert any(remark.startswith("drift") for remark in found.characters[0].remarks)


def test_a_junction_that_hops_while_it_is_read_is_found(tmp_path):
    hops = {"kind": "telegraph", "device": "J1", "terminal": "z", "step": 0.15,
            "up_hz": 0.4, "down_hz": 0.4}  # fmt: skip
    with bench_with(tmp_path, [hops]) as bench:
        found = characterise(bench, ["J1"], only=["disturb", "noise"])
    one = found.characters[0]
    assert one.verdict != "good"
    assert any("jumps" in remark for remark in one.remarks)


def test_directions_that_differ_are_found(tmp_path):
    drift = {"kind": "junction_drift", "device": "J1", "parameter": "x.r_parallel_ohm",
             "relative_per_hour": 60.0, "step_s": 0.05}  # fmt: skip
    with bench_with(tmp_path, [drift]) as bench:
        found = characterise(bench, ["J1"], only=["sweep"])
    assert any("hysteresis" in remark for remark in found.characters[0].remarks)


#: a coil along z on a source of its own, in ``sim.yaml`` and in the bench file
COIL = {
    "instruments": {"gs": {"address": "GPIB0::2::INSTR", "model": "yokogawags200"}},
    "devices": {"coil": {"kind": "bias_magnet", "field_constant_t_per_a": 0.02, "ohm": 12.0}},
    "wires": [["gs.hi", "coil.a"], ["gs.lo", "coil.b"], ["coil.b", "earth"]],
}
BIAS = {
    "instruments": {"bias": {"driver": "yokogawags200", "address": "GPIB0::2::INSTR"}},
    "limits": {"bias": {"level": "100 mA", "step": "20 mA", "compliance": "5 V"}},
}


def test_the_field_per_ampere_comes_from_the_bias_magnet(tmp_path):
    with bench_with(tmp_path, (), BIAS, **COIL) as bench:
        found = characterise(bench, ["J1"], only=["field"], bias_t=0.02)
        truth = bench._keep.visalib.bench.junctions[0].model.layer.field_constant_t_per_a
    assert found.characters[0].numbers["field_t_per_a"] == pytest.approx(truth, rel=0.05)


def test_after_a_void_sweep_the_magnet_is_at_zero_too(tmp_path, monkeypatch):
    with bench_with(tmp_path, (), BIAS, **COIL) as bench:
        sweep, levels, purposes = bench.sweep, [], []

        def void_at_full_bias(*args, **options):
            levels.append(bench.bias.read_level() if levels else 0.0)
            purposes.append(options["purpose"])
            if levels[-1] == 0.1:
                raise SweepVoidError("a trigger was lost")
            return sweep(*args, **options)

        monkeypatch.setattr(bench, "sweep", void_at_full_bias)
        found = characterise(bench, ["J1"], only=["field", "drift"], quick=True)
    assert levels == [0.0, 0.0, 0.05, 0.1] + [0.0] * 4
    assert purposes == ["bias" if level else "characterise" for level in levels]
    assert "a trigger was lost" in found.characters[0].remarks[0]


def test_the_unit_width_follows_the_read_voltage_as_the_anisotropy_does():
    with Bench.open() as bench:
        found = characterise(bench, ["J1"], only=["disturb"])
        model = bench._keep.visalib.bench.junctions[0].model
    level = np.linspace(-0.032, 0.032, 121)
    low, high = (
        fit_unit_width(level, equilibrium.mean(model.ensemble(v, v).fields(level))[0, :, 0])[0]
        for v in (0.01, 0.04)
    )
    expected = 2 * (high - low) / (high + low) / 30  # per mV
    assert found.characters[0].numbers["unit_width_per_mv"] == pytest.approx(expected, rel=0.15)


def made_up(level, m_x, m_z, seed=0, start_s=0.0):
    """A sweep with m_x and m_z and a noise of 0.005, in the units of SCALE."""
    rng = np.random.default_rng(seed)
    x, z = (m + 0.005 * rng.standard_normal(len(level)) for m in (m_x, m_z))
    good = np.ones(len(level), dtype=bool)
    return SweepData("J", level, x, z, good, 1.0, len(level), start_s, start_s + len(level))


#: currents in A are m_x and m_z
SCALE = Scale(None, (0.0, 1.0, 0.0, 1.0), 0.01, 0.0, 0.0)


@pytest.mark.parametrize("size, found", [(0.0, 0), (0.1, 1)])
def test_heat_that_outlasts_a_stay_at_high_field_is_found(size, found):
    level = np.r_[np.zeros(20), np.full(60, 0.03), np.zeros(40)]
    m_x = np.r_[np.zeros(20), np.ones(60), size * np.exp(-np.arange(40) / 15)]
    data = made_up(level, m_x, np.zeros(120))
    remarks = judge_heating([(Step(level), data)], SCALE).remarks
    assert len(remarks) == found


def test_a_response_that_no_calibration_describes_has_no_unit_width_by_voltage():
    level = up_and_down(0.03, 61)
    sweeps = [
        (Step(level, voltage_v=volt), made_up(level, m_x, 1 / np.cosh(level / 0.01), seed=1))
        for volt, m_x in ((0.01, np.tanh(level / 0.01)), (0.04, np.sin(level / 0.005)))
    ]
    found = judge_disturb(sweeps, SCALE, 0.02)
    assert found.curves["volt"].tolist() == [0.01]
    assert "unit_width_per_mv" not in found.numbers
    assert found.remarks[0].startswith("read at 40 mV: ")


@pytest.mark.parametrize("size, found", [(0.0, 0), (0.06, 1)])
def test_an_order_that_matters_is_found(size, found):
    level = np.linspace(-0.03, 0.03, 61)
    other = np.random.default_rng(1).permutation(level)
    sweeps = [
        (Step(one), made_up(one, np.tanh(one / 0.01) + shift, 1 / np.cosh(one / 0.01), seed))
        for seed, (one, shift) in enumerate(((level, 0.0), (other, size)))
    ]
    assert len(judge_order(sweeps, SCALE).remarks) == found


@pytest.mark.parametrize("spread, found", [(0.0, 0), (0.05, 1)])
def test_sweeps_that_scatter_are_found(spread, found):
    level = np.linspace(-0.03, 0.03, 61)
    shifts = spread * np.array([-1.0, 1.0, 0.5, -0.5, 0.0])
    sweeps = [
        (Step(level), made_up(level, np.tanh(level / 0.01) + shift, 1 / np.cosh(level / 0.01), at))
        for at, shift in enumerate(shifts)
    ]
    finding = judge_repeat(sweeps, SCALE)
    assert len(finding.remarks) == found
    assert finding.numbers["repeat_x_offset_sd"] == pytest.approx(shifts.std(ddof=1), abs=0.002)


@pytest.mark.parametrize("step, found", [(0.0, 0), (0.003, 1)])
def test_slow_noise_is_told_from_white_noise(step, found):
    walk = np.cumsum(step * np.random.default_rng(3).standard_normal(256))
    data = made_up(np.zeros(256), walk, np.zeros(256))
    finding = judge_noise([(Step(np.zeros(256)), data)], SCALE, 1.0, 0.042)
    assert len(finding.remarks) == found
    assert finding.curves["tau_s"][:2] == pytest.approx([0.042, 0.084])


# -- the schedule -------------------------------------------------------------------------------


def test_the_schedule_says_what_is_measured(tmp_path):
    points = []
    with Bench.open() as bench:
        tasks = schedule(bench.file, ["J1"], ["order", "noise", "heating"], quick=True)
        for task in tasks:
            data, _ = measure_tasks(bench, [task])
            ((_, sweep),) = data[task.junction, task.part]
            points.append(sweep.points)
    file = load_bench_file(None)[0]
    assert points == [lists_of(file, t.step.levels_a, t.step.order).measured for t in tasks]


def test_only_chosen_parts_are_measured_and_an_unknown_one_is_refused():
    file = load_bench_file(None)[0]
    parts = {task.part for task in schedule(file, ["J1"], ["noise"])}
    assert parts == {"sweep", "noise"}
    with pytest.raises(ValueError, match="no part 'colour'; there are sweep, order"):
        schedule(file, ["J1"], ["colour"])


def test_a_read_voltage_beyond_the_limits_is_not_in_the_schedule():
    text = files("instruments").joinpath("demo_bench.yaml").read_text("utf-8")
    file: BenchFile = parse_bench_file(text.replace("voltage: 100 mV", "voltage: 30 mV"))
    volts = {task.step.voltage_v for task in schedule(file, ["J1"], ["disturb"])}
    assert volts == {None, 0.01}


def test_no_longer_integration_is_scheduled_where_the_field_line_may_be_warm_only_for_a_while():
    text = files("instruments").joinpath("demo_bench.yaml").read_text("utf-8")
    duty = "resistance: 50 ohm, duty: {above: 20 mA, share: 0.5, window: 10 s}"
    file = parse_bench_file(text.replace("resistance: 50 ohm", duty))
    assert max(t.step.nplc or 1.0 for t in schedule(file, ["J1"], ["noise"])) == 1.0
    with pytest.raises(LimitError, match="duty"):
        file.read_with(10.0, None)


def test_the_bench_is_read_as_its_file_says_after_a_part_that_was_not():
    with Bench.open() as bench:
        before = bench.file
        measure_tasks(bench, schedule(bench.file, ["J1"], ["noise", "disturb"], quick=True))
        assert bench.file == before
        assert bench.sweep("J1", [0.0]).voltage_v == before.readout.voltage


def test_settings_that_differ_from_the_file_are_in_the_record():
    class Tape(NullRecorder):
        kept: list = []  # noqa: RUF012

        def sweep(self, sweep):
            self.kept.append(sweep)

    with Bench.open(recorder=Tape()) as bench:
        measure_tasks(bench, schedule(bench.file, ["J1"], ["noise"], quick=True))
    assert [one.settings.get("nplc") for one in Tape.kept] == [None, 0.1, None]
    assert {one.purpose for one in Tape.kept} == {"characterise"}


def test_what_was_not_measured_is_said():
    file = load_bench_file(None)[0]
    found = judge_all(file, ["J1"], {}, {"J1": ["sweep: it was refused"]})
    assert found.bad == {"J1": "sweep: it was refused"}
