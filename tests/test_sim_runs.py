"""What instruments do by themselves: it takes its time, and others can reach into it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim_backend.bench import SimBench
from sim_backend.truth import load_truth
from tests.test_sim_instruments import LEVELS, SHORT, Lab, expected

READING_S = 0.02 + 225e-6  # without autozero and delay
FAST = ":SYST:AZER:STAT OFF;:SOUR:DEL 0;:FORM:ELEM CURR"


def burst(count, **truth):
    """A bench whose meter x is ready for ``count`` readings of 20.225 ms."""
    lab = Lab(read_noise_a=0, **truth)
    lab.select()
    lab.write("field", ":SOUR:CURR:RANG 0.1;:OUTP ON")
    lab.write("x", f"{FAST};:TRIG:COUN {count}")
    return lab


# -- Keithley 2400 ---------------------------------------------------------------------------------


def test_init_returns_at_once_and_the_readings_take_their_time():
    lab = burst(50)
    lab.write("x", ":INIT")
    begun = lab.now_s
    assert lab.bench.by_name["x"].busy
    assert lab.ask("x", ":SYST:ERR?") == '0,"No error"'  # an observation moves no clock
    assert lab.now_s == begun and len(lab.bench.by_name["x"].last) == 0
    assert len(lab.numbers("x", ":FETC?")) == 50
    assert not lab.bench.by_name["x"].busy
    np.testing.assert_allclose(
        lab.bench.by_name["x"].last.time_s, begun + READING_S * np.arange(1, 51), atol=1e-8
    )


def test_read_takes_its_time_on_the_clock_when_it_is_read():
    lab = burst(50)
    lab.write("x", ":READ?")
    asked = lab.now_s
    assert lab.poll("x") & 16 == 0
    assert len(lab.raw("x").split(b",")) == 50
    assert lab.now_s == pytest.approx(asked + 50 * READING_S, abs=0.04)


def test_in_real_time_a_read_waits_as_long_as_the_readings_take(monkeypatch):
    lab, waited = burst(50, realtime=4.0), []
    monkeypatch.setattr(lab.bench.clock._pause, "wait", waited.append)
    lab.write("x", ":READ?")
    assert waited == [] and lab.bench.by_name["x"].busy
    assert len(lab.raw("x").split(b",")) == 50
    assert sum(waited) == pytest.approx(50 * READING_S / 4)


def test_two_meters_that_are_asked_before_either_is_read_measure_at_the_same_time():
    lab = burst(50)
    lab.write("z", f"{FAST};:TRIG:COUN 50")
    begun = lab.now_s
    lab.write("x", ":READ?")
    lab.write("z", ":READ?")
    assert len(lab.raw("x").split(b",")) == len(lab.raw("z").split(b",")) == 50
    assert lab.now_s - begun < 50 * READING_S + 0.1


@settings(max_examples=12, deadline=None)
@given(part=st.floats(0, 1.1), way=st.sampled_from([":ABOR", "*RST", "clear"]))
def test_a_stop_in_the_middle_of_a_run_keeps_what_was_due_and_nothing_else(part, way):
    lab = burst(40)
    lab.write("x", ":TRAC:POIN 40;FEED:CONT NEXT;:INIT")
    begun = lab.now_s
    lab.bench.pass_time(part * 40 * READING_S, "settle")
    if way == "clear":
        lab.bench.device_clear(lab.bench.by_name["x"])
    else:
        lab.write("x", way)
    stopped, x = lab.now_s, lab.bench.by_name["x"]
    assert not x.busy
    if way != "*RST":
        due = min(40, int((stopped - begun + 1e-9) / READING_S))
        assert len(x.buffer) == len(x.last) == due
    lab.bench.pause(5.0)
    assert lab.now_s == pytest.approx(stopped + 5.0)  # nothing goes on
    assert way == "*RST" or len(x.last) == due


def test_what_another_instrument_sets_meanwhile_reaches_the_readings_that_are_left():
    lab = burst(20)
    lab.write("x", ":INIT")
    begun = lab.now_s
    lab.bench.pass_time(10.2 * READING_S, "settle")
    lab.write("field", ":SOUR:CURR 0.03")
    changed = lab.now_s
    seen = lab.numbers("x", ":FETC?")
    low, high = expected(lab.bench, np.array([0.0, 0.03]))[0]
    ends = begun + READING_S * np.arange(1, 21)
    before, after = ends <= changed, ends - 0.02 >= changed
    np.testing.assert_allclose(seen[before], low, rtol=5e-5)
    np.testing.assert_allclose(seen[after], high, rtol=5e-5)
    [mixed] = seen[~(before | after)]  # sees both, each for its time
    late = (ends[~(before | after)] - changed) / 0.02
    assert mixed == pytest.approx(low + late[0] * (high - low), rel=1e-4)


def test_a_relay_that_opens_meanwhile_cuts_off_the_readings_that_are_left():
    lab = burst(20)
    low = lab.bench.truth.junctions.channels["J1"].low
    lab.write("z", ":OUTP OFF;:OUTP:SMOD HIMP")
    lab.write("x", ":INIT")
    lab.bench.pass_time(10.5 * READING_S, "settle")
    lab.write("switch", f":OPEN (@{low})")
    seen = lab.numbers("x", ":FETC?")
    assert np.all(np.abs(seen[:10]) > 1e-6)
    assert np.all(np.abs(seen[11:]) < 1e-9)


@pytest.mark.parametrize("mode, readings", [("NEV", 6), ("EARL", 2), ("LATE", 3)])
def test_a_sweep_of_its_own_ends_where_its_limit_says(mode, readings):
    lab = burst(6)
    lab.write("x", ":SENS:CURR:PROT 2.5e-6;:SOUR:VOLT:MODE LIST;:SOUR:LIST:VOLT .01,.02,.1,.02")
    lab.write("x", f":SOUR:VOLT:RANG 0.2;:SOUR:SWE:CAB {mode};:INIT")
    assert lab.bench.by_name["x"].busy
    lab.bench.pause(0)
    assert len(lab.bench.by_name["x"].last) == readings
    assert not lab.bench.by_name["x"].busy


def test_a_sweep_that_is_stopped_leaves_the_level_that_it_had_reached():
    lab = burst(4)
    lab.write("x", ":SOUR:VOLT:RANG 0.2;:SOUR:VOLT:MODE LIST;:SOUR:LIST:VOLT .01,.02,.03,.04;:INIT")
    lab.bench.pass_time(2.5 * READING_S, "settle")
    lab.write("x", ":ABOR")
    assert lab.bench.by_name["x"].level == 0.03
    assert float(lab.bench.solve().voltage("x.hi")[0]) == pytest.approx(0.03)


def test_the_output_of_auto_clear_goes_off_when_the_last_reading_is_done_and_not_later():
    lab = burst(3)
    lab.write("x", ":OUTP OFF;:SOUR:CLE:AUTO ON;:INIT")
    assert lab.ask("x", ":OUTP?") == "1"
    lab.write("z", f"{FAST};:TRIG:COUN 10;:INIT")
    z = lab.numbers("z", ":FETC?")
    assert lab.ask("x", ":OUTP?") == "0"
    # Meter x at 20 mV lifts the shared electrode; off it holds it down.
    assert z[-1] != pytest.approx(z[0], rel=1e-6) and z[-1] == pytest.approx(z[5], rel=1e-9)


def test_a_sweep_of_its_own_goes_on_with_the_pulses_of_the_source():
    lab = Lab(read_noise_a=0)
    lab.select()
    lab.prepare(SHORT, points=0)
    volts = [0.01, 0.02, 0.03, 0.04, 0.05]
    lab.write("x", ":SOUR:VOLT:MODE LIST;:SOUR:LIST:VOLT .01,.02,.03,.04,.05;:FORM:ELEM VOLT,CURR")
    lab.write("x", ":FORM ASC")
    for meter in ("x", "z"):
        lab.arm(meter, len(SHORT))
    lab.run()
    table = lab.numbers("x", ":TRAC:DATA?").reshape(-1, 2)
    np.testing.assert_allclose(table[:, 0], volts)
    assert np.all(np.diff(table[:, 1] / table[:, 0]) > 0)  # and the field turns the layer
    assert lab.bench.by_name["x"].level == 0.05


@pytest.mark.parametrize(
    ("model", "ready"),
    [
        ("keithley2182a", ":SENS:VOLT:NPLC 1"),
        ("keithley2450", ":OUTP ON"),
        ("keithley2400", ":SENS:FUNC 'RES';:OUTP ON"),  # looks for its range first
        (None, ""),
    ],
)
def test_a_message_that_takes_long_leaves_no_gap_in_what_another_meter_integrates(model, ready):
    """Closed contact until the relay opens, then nothing: its part is the time before."""
    more = {"other": {"model": model, "address": "GPIB0::30::INSTR"}} if model else {}
    truth = load_truth(None)
    known = {name: one.model_dump() for name, one in truth.instruments.items()}
    lab = Lab(
        read_noise_a=0,
        instruments=known | more,
        devices={"dummy": {"kind": "resistor", "ohm": 1e4}},
        relays={"2!1": ["x.hi", "dummy.a"]},
        wires=[["dummy.b", "earth"]],
    )
    lab.write("switch", ":CLOS (@2!1)")
    lab.write("x", f"{FAST};:SENS:CURR:PROT 1e-3;:SENS:CURR:NPLC 10;:SOUR:VOLT 1;:OUTP ON;:INIT")
    begun_s = lab.now_s + 225e-6
    if model:
        lab.write("other", ready)
        lab.ask("other", ":READ?")
    lab.write("switch", ":OPEN ALL")
    open_s = lab.now_s - 3e-3  # the relay's own time
    share = (open_s - begun_s) / 0.2
    assert 0 < share < 1
    assert lab.numbers("x", ":FETC?")[0] == pytest.approx(share * 1 / 10000.1, rel=1e-5)


def test_who_reads_in_an_endless_sweep_is_waited_for_though_the_sweep_never_ends():
    lab = Lab(read_noise_a=0)
    lab.select()
    lab.prepare(SHORT, trigger="fork", points=0)
    lab.arm("x", 12)
    lab.write("field", ":OUTP ON;:SOUR:SWE:COUN INF;:SOUR:SWE:ARM;:INIT")
    assert lab.ask("x", "*OPC?") == "1"  # waits for its last reading
    x, field = lab.bench.by_name["x"], lab.bench.by_name["field"]
    assert len(x.last) == 12 and not x.busy and field.sweeping
    assert lab.now_s == pytest.approx(x.last.time_s[-1], abs=1e-3)


# -- within a point of a list sweep ----------------------------------------------------------------


def test_a_relay_that_opens_within_a_point_shows_in_the_reading_that_begins_later():
    lab = Lab(read_noise_a=0)
    lab.select()
    lab.prepare(SHORT)
    lab.start()
    lab.bench.pass_time(0.0235, "settle")  # x has read the first point, z has just begun to
    channels = lab.bench.truth.junctions.channels["J1"]
    lab.write("switch", f":OPEN (@{channels.z})")
    lab.bench.pause(0.002)
    x, z = (lab.fetch(meter)[0] for meter in ("x", "z"))
    assert np.all(np.abs(z[1:]) < 1e-9)
    assert x[0] == pytest.approx(expected(lab.bench, SHORT)[0][0], rel=5e-5)
    assert np.all(x[1:] > 1e-5)  # it was opened hot: what it carried is shorted


def test_a_level_that_changes_within_a_point_shows_in_the_reading_that_begins_later():
    def swept(advance_s):
        lab = Lab(read_noise_a=0)
        lab.select()
        lab.prepare(SHORT, points=0)
        lab.write("field", ":TRIG:SOUR IMM;OUTP DEL;:SOUR:LIST:DEL .1,.1,.1,.1,.1")
        lab.write("z", ":TRIG:ILIN 1")
        lab.arm("z", len(SHORT))
        lab.start()
        if advance_s:
            lab.bench.pass_time(advance_s, "settle")
            lab.write("x", ":ABOR", ":SOUR:VOLT 0")
        lab.bench.pause(1.0)
        return lab.fetch("z")[0]

    whole, cut = swept(0.0), swept(0.03)
    assert np.all(cut != whole)  # the first reading too: its pulse comes after 0.1 s
    late = swept(0.25)
    np.testing.assert_array_equal(late[:2] == whole[:2], True)
    assert np.all(late[2:] == cut[2:])


# -- the other models ------------------------------------------------------------------------------

MORE = {
    "instruments": {
        "field": {"model": "keithley6221", "address": "GPIB0::12::INSTR"},
        "x": {"model": "keithley2400", "address": "GPIB0::24::INSTR"},
        "z": {"model": "keithley2400", "address": "GPIB0::25::INSTR"},
        "switch": {"model": "keithley7001", "address": "GPIB0::7::INSTR"},
        "smu": {"model": "keithley2450", "address": "GPIB0::18::INSTR"},
        "nano": {"model": "keithley2182a", "address": "GPIB0::8::INSTR"},
        "bias": {"model": "yokogawags200", "address": "GPIB0::3::INSTR"},
    },
    "devices": {
        "magnet": {"kind": "bias_magnet", "field_constant_t_per_a": 0.02, "ohm": 10},
        "load": {"kind": "resistor", "ohm": 1000},
    },
    "wires": [
        ["bias.hi", "magnet.a"], ["bias.lo", "earth"], ["magnet.b", "earth"],
        ["smu.front_hi", "load.a"], ["smu.front_lo", "earth"], ["load.b", "earth"],
        ["nano.ch1_hi", "line.a"], ["nano.ch1_lo", "earth"],
    ],
}  # fmt: skip


ONE = {"J1": {"x": "1!1", "z": "1!11", "low": "1!21"}}


class Six(Lab):
    """A bench of all six models."""

    def __init__(self, **changes):
        self.bench = SimBench(load_truth(None, **(MORE | changes)))


def test_a_2450_sweep_takes_its_time_and_obeys_a_stop_in_the_middle():
    lab = Six()
    lab.write("smu", ":SENS:FUNC 'CURR';:SENS:CURR:AZER OFF;:SOUR:VOLT:ILIM 0.01")
    lab.write("smu", ":SOUR:SWE:VOLT:LIN 0.1,1,10,0.03", ":INIT")
    begun = lab.now_s
    assert lab.ask("smu", ":OUTP?;:TRIG:STAT?") == "1;RUNNING;RUNNING;1"
    lab.bench.pass_time(0.2, "settle")
    assert lab.ask("smu", ":TRAC:ACT?") == "3"
    lab.write("smu", ":INIT")
    assert lab.errors("smu") == [-213]
    lab.write("smu", ":ABOR")
    stopped = lab.now_s
    lab.bench.pause(1.0)
    assert lab.now_s == pytest.approx(stopped + 1.0)
    assert lab.ask("smu", ":TRAC:ACT?;:TRIG:STAT?").startswith("3;IDLE")
    lab.write("smu", ":TRAC:CLE", ":INIT", "*WAI")
    assert lab.ask("smu", ":TRAC:ACT?;:OUTP?") == "10;0"
    assert lab.now_s - begun > 0.2 + 1.0 + 10 * 0.05


def test_a_2450_whose_output_is_switched_off_half_way_reads_no_current_from_there():
    lab = Six()
    lab.write("smu", ":SENS:FUNC 'CURR';:SENS:CURR:AZER OFF;:SOUR:VOLT:ILIM 0.01")
    lab.write("smu", ":SOUR:SWE:VOLT:LIN 1,2,6,0.03", ":INIT")
    lab.bench.pass_time(0.17, "settle")
    lab.write("smu", ":OUTP OFF", "*WAI")
    seen = lab.numbers("smu", ":TRAC:DATA? 1, 6, 'defbuffer1'")
    np.testing.assert_allclose(seen[:3], [1e-3, 1.2e-3, 1.4e-3], rtol=1e-3)
    assert np.all(np.abs(seen[4:]) < 1e-6)


def test_a_finite_delta_run_takes_its_time_and_keeps_what_was_due_when_it_is_stopped():
    lab = Six()
    lab.write("nano", ":SYST:AZER OFF;:SENS:VOLT:NPLC 1")
    lab.write("field", ":SOUR:DELT:HIGH 1e-3;COUN 20;DEL 0.01;:TRAC:POIN 20;:SOUR:DELT:ARM;:INIT")
    begun = lab.now_s
    assert lab.bench.source.busy
    lab.bench.pass_time(0.03 * 7.5, "settle")
    lab.write("field", ":SOUR:SWE:ABOR")
    assert not lab.bench.source.busy
    due = int((lab.now_s - begun) / 0.03) - 2  # three voltages make the first one
    assert int(lab.ask("field", ":TRAC:POIN:ACT?")) == due >= 5
    stopped = lab.now_s
    lab.bench.pause(1.0)
    assert lab.now_s == pytest.approx(stopped + 1.0)


def test_readings_of_a_2182a_come_one_by_one_and_a_stop_keeps_them():
    lab = Six()
    lab.write("nano", ":SYST:AZER OFF;:SENS:VOLT:NPLC 1;:SAMP:COUN 20;:TRAC:POIN 20;FEED SENS")
    lab.write("nano", ":TRAC:FEED:CONT NEXT;:INIT")
    begun = lab.now_s
    lab.bench.pass_time(0.11, "settle")
    lab.write("nano", ":ABOR")
    due = int((lab.now_s - begun) / 0.02)
    assert lab.ask("nano", ":TRAC:POIN:ACT?") == str(due) and due >= 5
    assert len(lab.numbers("nano", ":SAMP:COUN 3;:READ?")) == 3


# -- time ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("physics", ["equilibrium", "wells", "llg"])
def test_however_the_waiting_is_cut_up_the_readings_are_the_same(physics):
    """Meter x reads while delta mode and a ramp of the bias move the field under it, and other
    meters run as well."""

    def waited(*steps_s):
        lab = Six(physics=physics, junctions={"channels": ONE})
        lab.select()
        for meter in ("x", "z"):
            lab.write(meter, f"{FAST};:TRIG:COUN 20")
        lab.write("nano", ":SYST:AZER OFF")
        lab.write("field", ":SOUR:DELT:HIGH 2e-2;COUN 6;DEL 0.01;:TRAC:POIN 6;:SOUR:DELT:ARM")
        lab.write("smu", ":SENS:CURR:AZER OFF;:SOUR:VOLT:ILIM 0.1;:SOUR:SWE:VOLT:LIN 0.1,1,5,.01")
        lab.write("bias", ":SOUR:FUNC CURR;RANG 0.1;:OUTP ON;:PROG:INT 0.4;SLOP 0.4")
        lab.write("bias", ":PROG:EDIT:STAR", ":SOUR:LEV 0.1", ":PROG:EDIT:END", ":PROG:RUN")
        for name in ("x", "field", "smu", "z"):
            lab.write(name, ":INIT")
        for step_s in steps_s:
            lab.bench.pass_time(step_s, "settle")
        replies = [lab.ask(*one) for one in (
            ("x", ":FETC?"), ("z", ":FETC?"), ("field", ":TRAC:DATA?"),
            ("smu", ":TRAC:DATA? 1, 5, 'defbuffer1', READ, SOUR, REL"),
        )]  # fmt: skip
        return replies, np.ptp([float(value) for value in replies[0].split(",")])

    (at_once, moved), (bit_by_bit, _) = waited(1.0), waited(*[0.0137] * 72, 0.0136)
    assert at_once == bit_by_bit and None not in at_once
    assert moved > 1e-7  # by the field


TALK = (
    ("x", ":INIT"), ("x", ":READ?"), ("z", ":INIT"), ("x", ":ABOR"), ("z", "*RST"),
    ("x", ":SOUR:VOLT 0.01"), ("z", ":OUTP ON"), ("x", ":TRIG:COUN 3"), ("z", ":TRIG:COUN 2"),
    ("x", ":SENS:CURR:NPLC 0.1"), ("x", ":SENS:CURR:NPLC 1"), ("x", ":SOUR:CLE:AUTO ON"),
    ("x", ":SOUR:VOLT:MODE LIST;:SOUR:LIST:VOLT 0.01,0.02;:SOUR:SWE:CAB LATE"),
    ("field", ":SOUR:CURR 0.02"), ("field", ":SOUR:CURR 0"), ("field", ":SOUR:SWE:ARM;:INIT"),
    ("field", ":SOUR:SWE:ABOR"), ("field", ":SOUR:DELT:COUN 3;ARM;:INIT"),
    ("switch", ":CLOS (@1!1,1!11,1!21)"), ("switch", ":OPEN ALL"), ("smu", ":INIT"),
    ("smu", ":READ?"), ("smu", ":ABOR"), ("nano", ":INIT"), ("nano", ":READ?"), ("nano", ":ABOR"),
    ("bias", ":OUTP ON"), ("bias", ":SOUR:LEV 0.1"), ("bias", ":PROG:RUN"), ("nano", "*OPC?"),
)  # fmt: skip
STEPS = st.one_of(
    st.sampled_from(TALK),
    st.tuples(st.just("clock"), st.floats(0, 0.08)),
    st.tuples(st.just("pause"), st.floats(0, 0.05)),
    st.tuples(st.sampled_from(["x", "smu", "nano", "field"]), st.just("")),  # read what is there
    st.tuples(st.sampled_from(["x", "z", "field", "smu", "nano"]), st.just("clear")),
)


@pytest.mark.parametrize("physics", ["equilibrium", "wells", "llg"])
@settings(max_examples=12, deadline=None)
@given(steps=st.lists(STEPS, max_size=14))
def test_whoever_says_what_when_the_devices_see_each_moment_once_and_in_order(physics, steps):
    lab = Six(physics=physics, junctions={"channels": ONE})
    lab.write("field", ":SOUR:CURR:RANG 0.1;:SOUR:CURR:COMP 10;:SOUR:SWE:SPAC LIST")
    lab.upload(LEVELS[::8], 0.03)
    lab.write("field", ":SOUR:SWE:RANG FIX;:SOUR:DELT:HIGH 1e-3;DEL 0.01;:OUTP ON")
    lab.write("switch", ":CLOS (@1!1,1!11,1!21)")
    for meter in ("x", "z"):
        lab.write(meter, f"{FAST};:SOUR:VOLT:RANG 0.2;:SOUR:VOLT 0.02;:OUTP ON")
    lab.write("z", ":TRIG:SOUR TLIN;:TRIG:INP SENS;:TRIG:ILIN 1;:INIT")
    lab.write("field", ":TRIG:OLIN 1;:TRIG:OUTP SOUR")
    lab.write("smu", ":SOUR:SWE:VOLT:LIN 0.1,1,3,0.01")
    lab.write("nano", ":SENS:VOLT:NPLC 1;:SAMP:COUN 2")
    lab.write("bias", ":SOUR:FUNC CURR;RANG 0.1;:PROG:INT 0.1;SLOP 0.1", ":PROG:EDIT:STAR",
              ":SOUR:LEV 0.1", ":SOUR:LEV 0", ":PROG:EDIT:END")  # fmt: skip
    plant, bench = lab.bench.plant.run, lab.bench.run

    def asked(points, *others):
        """Nothing is asked for that is over, but for the clock's last digit."""
        assert np.all(points.ends_s >= lab.bench.seen_until_s - 2e-9)
        assert points.ends_s[-1] <= lab.now_s + 2e-9
        return bench(points, *others)

    def lived(points, *others):
        """What the devices see follows what they have seen, without a gap where they take time."""
        until_s = lab.bench.seen_until_s
        edges = np.stack((points.begins_s, points.ends_s), 1).ravel()
        assert np.all(np.diff(np.append(until_s, edges)) >= 0)
        if lab.bench.plant.takes_time:
            assert points.begins_s[0] == until_s or points.begins_s[0] == points.ends_s[-1]
        return plant(points, *others)

    lab.bench.plant.run, lab.bench.run = lived, asked
    before = lab.now_s
    for name, what in steps:
        if name == "clock":
            lab.bench.pass_time(what, "settle")
        elif name == "pause":
            lab.bench.pause(what)
        elif what == "":
            lab.raw(name)
        elif what == "clear":
            lab.bench.device_clear(lab.bench.by_name[name])
        else:
            lab.write(name, what)
        assert lab.now_s >= before
        before = lab.now_s
    for one in lab.bench.by_name.values():
        assert not any("-300" in error for error in one.errors)
    for meter in ("x", "z"):
        assert np.all(np.diff(lab.bench.by_name[meter].last.time_s) >= 0)
