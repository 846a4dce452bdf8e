"""Faults at the whole bench: what a program that talks to it meets."""

import contextlib
import json
import math

import numpy as np
import pytest
import pyvisa
from hypothesis import given, settings
from hypothesis import strategies as st
from pyvisa.constants import StatusCode

from sim_backend.bench import SimBench
from sim_backend.faults_kinds import (
    Compliance,
    Drift,
    Garbled,
    JunctionDrift,
    LinkDown,
    LostMessage,
    LostTrigger,
    NotANumber,
    Open,
    Overflow,
    PowerCycle,
    Short,
    Spike,
    StuckRelay,
    Switched,
    Telegraph,
    Timeout,
    Truncated,
)
from sim_backend.faults_when import FaultError
from sim_backend.server import running
from sim_backend.server.frames import Kind
from sim_backend.truth import TruthError, load_truth
from tests.test_sim_instruments import LEVELS, SHORT, Lab
from tests.test_sim_server import Hislip, Raw

ADDRESSES = {"field": 12, "x": 24, "z": 25, "switch": 7}
ONE = {"J1": {"x": "1!1", "z": "1!11", "low": "1!21"}}
NO_ERROR = '0,"No error"'


def fails(call, *args):
    """The status code with which a call fails."""
    with pytest.raises(pyvisa.VisaIOError) as caught:
        call(*args)
    return caught.value.error_code


class Visa:
    """The bench through PyVISA."""

    def __init__(self, name):
        self.manager = pyvisa.ResourceManager(f"?instance={name}@spinloop")
        self.bench = self.manager.visalib.bench
        self.faults = self.bench.faults

    def open(self, name):
        made = self.manager.open_resource(f"GPIB0::{ADDRESSES[name]}::INSTR")
        made.read_termination = "\n"
        return made

    def meter(self):
        """Meter x, ready to read J1."""
        self.open("switch").write(":CLOS (@1!1,1!11,1!21)")
        made = self.open("x")
        made.write(":FORM:ELEM CURR,STAT")
        made.write(":SOUR:VOLT 0.02;:OUTP ON")
        return made


@pytest.fixture
def visa(request):
    made = Visa(request.node.name)
    yield made
    made.manager.close()


def readings(meter):
    """Currents and status of a :READ?."""
    table = np.array([float(value) for value in meter.query(":READ?").split(",")]).reshape(-1, 2)
    return table[:, 0], table[:, 1].astype(int)


# -- messages and replies --------------------------------------------------------------------------


def test_a_reply_that_never_comes_costs_nothing_but_itself(visa):
    meter = visa.meter()
    visa.faults.add(Timeout(instrument="x", message=2))
    before = readings(meter)
    assert fails(meter.query, ":READ?") == StatusCode.error_timeout
    assert readings(meter)[1] == before[1]
    assert meter.query(":SYST:ERR?") == NO_ERROR  # nobody has read in vain by mistake


def test_a_late_reply_is_taken_for_the_answer_to_the_next_question(visa):
    meter = visa.meter()
    late = Timeout(instrument="x", header="TRIGger:COUNt?", observations=True, late_s=0.01)
    visa.faults.add(late)
    meter.write(":TRIG:COUN 3")
    assert fails(meter.query, ":TRIG:COUN?") == StatusCode.error_timeout
    assert not meter.read_stb() & 16
    visa.bench.pause(0.02)
    assert meter.read_stb() & 16
    assert meter.query(":ARM:COUN?") == "3"
    assert meter.read() == "1"
    assert meter.query(":SYST:ERR?") == NO_ERROR


def test_device_clear_and_flush_get_rid_of_late_replies(visa):
    meter = visa.meter()
    asked = {"instrument": "x", "header": "TRIGger:COUNt?", "observations": True, "late_s": 0.01}
    for drop in (meter.clear, lambda: meter.flush(pyvisa.constants.BufferOperation(16))):
        visa.faults.add(Timeout(**asked))
        meter.write(":TRIG:COUN?")
        visa.bench.pause(0.02)
        drop()
        assert meter.query(":ARM:COUN?") == "1"


def test_a_truncated_reply_is_short_or_out_of_time(visa):
    meter = visa.meter()
    visa.faults.add(
        Truncated(instrument="x", keep=4),
        Truncated(instrument="x", message=2, keep=4, terminated=True),
    )
    assert fails(meter.query, ":READ?") == StatusCode.error_timeout
    assert len(meter.query(":READ?")) == 4
    assert len(readings(meter)[0]) == 1
    assert meter.query(":SYST:ERR?") == NO_ERROR


def test_a_lost_message_is_not_obeyed_and_a_garbled_one_is_an_error(visa):
    meter = visa.meter()
    visa.faults.add(LostMessage(instrument="x", header="TRIGger:COUNt"))
    meter.write(":TRIG:COUN 3")
    assert meter.query(":TRIG:COUN?") == "1"
    visa.faults.add(Garbled(instrument="x", direction="message", bits=20))
    meter.write(":TRIG:COUN 3")
    assert meter.query(":SYST:ERR?") != NO_ERROR
    visa.faults.add(Garbled(instrument="x", header="*IDN?", observations=True))
    wrong = meter.query("*IDN?")
    assert wrong != meter.query("*IDN?")


def test_watching_costs_no_time_whatever_befalls_it():
    faults = [
        {"kind": "lost_message", "instrument": "x", "observations": True, "times": 3},
        {"kind": "power_cycle", "instrument": "z", "from_s": 0.0, "off_s": 100.0},
    ]
    lab = Lab(faults=faults)
    for name in ("x", "z"):
        for _ in range(3):
            lab.write(name, ":SYST:ERR?")
    assert lab.now_s == 0
    assert lab.ask("x") is lab.ask("z") is None
    assert lab.poll("z") == 0
    assert lab.ask("x", "*IDN?")


# -- link and power --------------------------------------------------------------------------------


def test_a_lost_link_kills_the_session_and_a_new_one_finds_the_settings(visa):
    meter = visa.meter()
    visa.faults.add(LinkDown(instrument="x", from_s=visa.bench.clock.now_s + 1, for_s=1))
    meter.query("*IDN?")
    visa.bench.pause(1.5)
    lost = StatusCode.error_connection_lost
    assert fails(meter.query, "*IDN?") == fails(visa.open, "x") == lost
    visa.bench.pause(1)
    for call in (meter.read_stb, meter.clear, meter.assert_trigger, meter.read):
        assert fails(call) == lost
    meter.close()
    again = visa.open("x")
    assert "2400" in again.query("*IDN?") and again.query(":OUTP?") == "1"
    visa.faults.add(LinkDown(instrument="x", header=":READ?", error="io", for_s=1))
    assert fails(again.write, ":READ?") == StatusCode.error_io
    assert [one.kind for one in visa.faults.struck] == ["link_down"] * 2


def test_a_power_cycle_is_power_on_before_the_message_or_at_its_time(visa):
    meter = visa.meter()
    visa.faults.add(PowerCycle(instrument="x", message=1))
    meter.write(":TRIG:COUN 3")
    assert meter.query(":OUTP?") == "0" and meter.query(":TRIG:COUN?") == "3"
    assert int(meter.query("*ESR?")) & 128
    visa.faults.add(PowerCycle(instrument="x", from_s=visa.bench.clock.now_s + 1))
    meter.write(":OUTP ON")
    visa.bench.pause(2)
    assert meter.query(":OUTP?") == "0"


def test_power_that_fails_within_a_measurement_takes_the_reply_with_it(visa):
    meter = visa.meter()
    meter.write(":TRIG:COUN 50")
    visa.faults.add(PowerCycle(instrument="x", from_s=visa.bench.clock.now_s + 1, off_s=0.1))
    assert fails(meter.query, ":READ?") == StatusCode.error_timeout
    visa.bench.pause(0.2)
    assert meter.query(":OUTP?") == "0"


def test_a_switch_that_loses_its_power_under_voltage_spikes_the_junction():
    lab = Lab()
    lab.select()
    lab.bench.faults.add(PowerCycle(instrument="switch", from_s=lab.now_s + 1))
    lab.bench.pause(2)
    assert lab.bench.hot_switches == 1 and lab.bench.junctions[0].broken
    assert lab.ask("switch", ":CLOS:STAT?") == "(@)"


@given(st.floats(1e-9, 3.0), st.floats(1e-3, 1.0))
@settings(max_examples=25, deadline=None)
def test_what_is_due_happens_once_and_time_goes_on(after_s, pause_s):
    bench = SimBench(load_truth(None))
    bench.pause(1 / 3)
    at_s = bench.clock.now_s + after_s
    bench.faults.add(PowerCycle(instrument="x", from_s=at_s), Switched(device="J1", from_s=at_s))
    begin_s = bench.clock.now_s
    for _ in range(4):
        bench.pause(pause_s)
    assert bench.clock.now_s == pytest.approx(begin_s + 4 * pause_s, abs=1e-8)
    due = at_s <= bench.clock.now_s - 1e-8
    if due or at_s > bench.clock.now_s + 1e-8:  # the clock goes in nanoseconds
        assert len(bench.faults.struck) == 2 * due
    assert sum(bench.spent_s.values()) == pytest.approx(bench.clock.now_s, abs=1e-8)


# -- over TCP --------------------------------------------------------------------------------------


@contextlib.contextmanager
def served(*faults, **options):
    """A server in virtual time, and its bench."""
    bench = SimBench(load_truth(None))
    bench.faults.add(*faults)
    options = {"port": 0, "hislip_port": 0, "realtime": None} | options
    with running(bench, **options) as server:
        yield server


LATE = Timeout(instrument="x", header="TRIGger:COUNt?", observations=True, late_s=0.03)


def test_a_late_reply_comes_first_on_a_raw_socket():
    with served(LATE) as server, Raw(server, "x") as client:
        client.send(b":TRIG:COUN 3\n:TRIG:COUN?\n:ARM:COUN?\n:ARM:COUN?\n")
        assert [client.lines.readline() for _ in range(3)] == [b"3\n", b"1\n", b"1\n"]
        assert client.ask(":SYST:ERR?") == NO_ERROR


def test_a_late_reply_goes_to_who_has_asked_and_to_nobody_else():
    with served(LATE) as server, Raw(server, "x") as other:
        with Raw(server, "x") as client:
            client.send(b":TRIG:COUN 3\n:TRIG:COUN?\n")
            while not server.bench.faults.struck:
                assert other.ask("*IDN?")
        assert other.ask(":ARM:COUN?") == "1"
        assert "2400" in other.ask("*IDN?")


def test_hislip_tells_a_late_reply_by_its_number():
    with served(LATE) as server, Hislip(server) as client:
        client.send(":TRIG:COUN 3", rmt=1)
        asked, again = client.send(":TRIG:COUN?", rmt=1), client.send(":ARM:COUN?", rmt=1)
        while not client.status() & 16:
            pass
        came = [client.receive(client.sync) for _ in range(2)]
        assert [(one.parameter, one.payload) for one in came] == [(asked, b"3\n"), (again, b"1\n")]


def test_a_truncated_reply_has_no_end_over_hislip():
    faults = [
        Truncated(instrument="x", header="*TST?", keep=0, terminated=True),
        Truncated(instrument="x", header="*IDN?", observations=True, keep=8),
    ]
    with served(*faults) as server, Hislip(server) as client:
        client.send("*TST?", rmt=1)
        whole = client.receive(client.sync)
        assert (whole.kind, whole.payload) == (Kind.DATA_END, b"\n")
        client.send("*IDN?", rmt=1)
        cut = client.receive(client.sync)
        assert (cut.kind, cut.payload) == (Kind.DATA, b"KEITHLEY")


def test_a_lost_link_ends_every_connection_to_its_instrument_and_no_other():
    fault = LinkDown(instrument="x", header="TRIGger:COUNt", for_s=0.5)
    with served(fault) as server, Raw(server, "z") as other, Raw(server, "x") as client:
        with Raw(server, "x") as second, Hislip(server) as third:
            assert second.ask("*IDN?") and third.ask("*IDN?")
            client.send(b":TRIG:COUN 3\n")
            assert ended(client) and ended(second)
            assert Hislip.receive(third.sync) is Hislip.receive(third.other) is None
        with Raw(server, "x") as refused:
            assert ended(refused)
        assert other.ask("*IDN?")
        server.bench.pause(1.0)
        with Raw(server, "x") as again, Hislip(server) as too:
            assert again.ask(":TRIG:COUN?") == too.ask(":TRIG:COUN?") == "1"


def ended(client):
    """Whether the server has ended the connection; waits until it says something."""
    with contextlib.suppress(ConnectionResetError):
        return client.lines.readline() == b""
    return True


def test_in_real_time_the_link_of_a_silent_client_is_lost_as_well():
    wall_s = [0.0]
    options = {"realtime": 1.0, "wall": lambda: wall_s[0]}
    fault = LinkDown(instrument="x", from_s=5.0)
    with served(fault, **options) as server, Raw(server, "x") as client:
        assert client.ask("*IDN?")
        wall_s[0] = 6.0
        assert ended(client)


def test_a_question_inside_the_trigger_model_goes_with_the_power():
    fault = PowerCycle(instrument="x", from_s=0.2)
    with served(fault) as server, Raw(server, "x") as client:
        client.send(b":TRIG:SOUR TLIN;:TRIG:INP SENS;:OUTP ON;:INIT\n:FETC?\n")
        while client.ask(":OUTP?") == "1":
            pass
        assert server.bench.by_name["x"].busy is False


# -- readings --------------------------------------------------------------------------------------


def test_readings_are_struck_by_number_with_the_bits_that_go_with_it(visa):
    meter = visa.meter()
    n = visa.bench.by_name["x"].taken
    visa.faults.add(
        Overflow(instrument="x", first=n + 2),
        NotANumber(instrument="x", first=n + 3),
        Compliance(instrument="x", first=n + 4),
        Spike(instrument="x", first=n + 5, height=1e-6),
    )
    meter.write(":TRIG:COUN 6")
    current, status = readings(meter)
    assert current[1] == 9.9e37 and status[1] & 1
    assert current[2] == 9.91e37
    assert current[3] == pytest.approx(105e-6) and status[3] & 8
    assert current[4] - current[0] == pytest.approx(1e-6, rel=0.1)
    assert current[5] == pytest.approx(current[0], rel=0.1)
    assert status[0] == status[4] == status[5] and not status[0] & 9
    assert len(visa.faults.struck) == 4


def test_a_meter_drifts_by_what_the_plan_says():
    lab = Lab(read_noise_a=0.0)
    lab.select()
    true = lab.read()
    lab.bench.faults.add(Drift(instrument="x", from_s=lab.now_s, offset_per_s=1e-6))
    begin_s = lab.now_s
    lab.bench.pause(2.0)
    end_s = lab.now_s + 2 * 1e-3
    moved = lab.read() - true
    assert 1e-6 * (end_s - begin_s) < moved < 1e-6 * (lab.now_s - begin_s)


# -- devices and relays ----------------------------------------------------------------------------


def test_a_contact_opens_as_a_reading_begins_and_closes_again(visa):
    meter = visa.meter()
    whole = readings(meter)[0]
    n = visa.bench.by_name["x"].taken
    visa.faults.add(Open(device="J1", terminal="x", instrument="x", reading=n + 3, for_s=0.13))
    meter.write(":TRIG:COUN 6")
    off = np.abs(readings(meter)[0]) < 0.2 * whole
    assert off.tolist() == [False, False, True, True, False, False]


def test_a_stuck_relay_counts_and_not_what_the_switch_says():
    lab = Lab(read_noise_a=0.0)
    lab.select()
    whole, now_s = lab.read(), lab.now_s
    lab.bench.faults.add(
        StuckRelay(instrument="switch", relay="1!1", closed=False, from_s=now_s, for_s=0.5)
    )
    assert abs(lab.read()) < 1e-3 * whole
    assert "1!1," in lab.ask("switch", ":CLOS:STAT?")
    lab.bench.pause(1.0)
    assert lab.read() == pytest.approx(whole, rel=1e-6)


def test_a_relay_that_sticks_is_not_switched_hot():
    lab = Lab()
    lab.select()
    lab.bench.faults.add(*(
        StuckRelay(instrument="switch", relay=relay, closed=True)
        for relay in ("1!1", "1!11", "1!21")
    ))  # fmt: skip
    lab.write("switch", ":OPEN ALL")
    assert not lab.bench.junctions[0].broken
    assert lab.read() > 1e-6


def test_a_barrier_hops_between_two_resistances():
    lab = Lab(read_noise_a=0.0)
    lab.select()
    whole = lab.read()
    lab.bench.faults.add(Telegraph(device="J1", terminal="x", step=1.0, up_hz=3, down_hz=3))
    lab.write("x", ":TRIG:COUN 100")
    current = lab.numbers("x", ":READ?") / whole
    assert current.min() == pytest.approx(0.5, rel=1e-3) and current.max() == pytest.approx(1)
    assert 0.2 < (current < 0.6).mean() < 0.8


@pytest.mark.parametrize("fault", [{"terminal": "x"}, {}], ids=["barrier", "device"])
def test_a_bridged_barrier_takes_the_meter_to_its_limit(fault):
    lab = Lab()
    lab.select()
    lab.bench.faults.add(Short(device="J1", **fault))
    assert lab.read() == pytest.approx(105e-6, rel=1e-3)
    assert not lab.bench.junctions[0].broken


@pytest.mark.parametrize("terminal", ["x", "low", None])
def test_nothing_flows_through_what_does_not_touch(terminal):
    lab = Lab(read_noise_a=0.0)
    lab.select(sides=("x", "low"))
    assert lab.read() > 1e-6
    lab.bench.faults.add(Open(device="J1", terminal=terminal))
    assert abs(lab.read()) < 1e-10
    assert not lab.bench.junctions[0].broken


def line_a(lab):
    solution = lab.bench.solve()
    return float(lab.bench.plant.line.current_a(solution)[0])


def test_a_short_across_the_line_takes_its_current_and_an_open_one_all_of_it():
    lab = Lab()
    lab.write("field", ":SOUR:CURR:COMP 10;:SOUR:CURR 0.01;:OUTP ON")
    assert line_a(lab) == pytest.approx(0.01)
    now_s = lab.now_s
    lab.bench.faults.add(Short(device="line", for_s=1.0), Open(device="line", from_s=now_s + 2))
    assert abs(line_a(lab)) < 1e-4
    lab.bench.pause(1.5)
    assert line_a(lab) == pytest.approx(0.01)
    lab.bench.pause(1.5)
    assert line_a(lab) == 0
    assert lab.bench.plant.solution.voltage("field.hi")[0] == pytest.approx(10)  # its compliance


def test_a_dummy_resistor_can_be_cut_off_and_bridged():
    wires = [("spare.hi", "dummy.a"), ("spare.lo", "earth"), ("dummy.b", "earth")]
    instruments = load_truth(None).model_dump()["instruments"] | {
        "spare": {"address": "GPIB0::26::INSTR", "model": "keithley2400"}
    }
    lab = Lab(instruments=instruments, devices={"dummy": {"kind": "resistor"}}, wires=wires)
    lab.write("spare", ":SOUR:VOLT 0.01;:OUTP ON")

    def ampere():
        solution = lab.bench.solve()
        return float(solution.current(lab.bench.plant.devices["dummy"]._made)[0])

    def through():
        hi = lab.bench.plant.solution.voltage("spare.hi")[0]
        return float(hi)

    assert ampere() == pytest.approx(1e-6)
    lab.bench.faults.add(Open(device="dummy", terminal="b", for_s=1.0))
    assert abs(ampere()) < 1e-12 and through() == pytest.approx(0.01)
    lab.bench.pause(2.0)
    lab.bench.faults.add(Short(device="dummy"))
    assert abs(ampere()) < 1e-8 and through() < 1e-3  # the meter holds its limit of current


@pytest.mark.parametrize("physics", ["wells", "llg"])
def test_a_thrown_layer_reads_as_the_other_well(physics):
    """Two wells 60 mT deep, which thermal motion does not leave."""
    layer = {"k_t": 60e-3, "k2_t": 0.0, "hz_t": 2e-3}
    lab = Lab(physics=physics, junctions={"layer": layer, "channels": ONE}, read_noise_a=0.0)
    lab.select()
    up = lab.read("z")
    lab.bench.faults.add(
        Switched(device="J1", instrument="z", header=":READ?"),
        Switched(device="J1", from_s=lab.now_s + 5, to="up"),
    )
    down = lab.read("z")
    assert down < 0.6 * up and lab.read("z") == down
    lab.bench.pause(6.0)
    assert lab.read("z") == pytest.approx(up, rel=1e-6)


def test_a_junction_drifts_by_its_parameter():
    lab = Lab(read_noise_a=0.0)
    lab.select()
    whole = lab.read()
    lab.bench.faults.add(
        JunctionDrift(
            device="J1", parameter="x.r_parallel_ohm", relative_per_hour=900.0, from_s=lab.now_s
        )
    )
    lab.bench.pause(2.0)
    assert whole / lab.read() == pytest.approx(1.5, rel=1e-3)  # 6 ohm in 15 kohm are shared


def test_a_free_layer_drifts_too():
    lab = Lab(read_noise_a=0.0)
    lab.select()
    lab.write("field", ":SOUR:CURR:COMP 10;:SOUR:CURR 0.003;:OUTP ON")
    before = lab.read()
    lab.bench.faults.add(
        JunctionDrift(device="J1", parameter="layer.hz_t", per_hour=3.6, from_s=lab.now_s)
    )
    assert lab.read() == before
    lab.bench.pause(2.0)
    assert abs(lab.read() / before - 1) > 0.01


# -- sweeps ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("line", "x", "z"), [(1, 2, 2), (2, 3, 2), (3, 3, 3)])
def test_a_ring_stops_at_the_pulse_that_is_lost(line, x, z):
    lab = Lab()
    lab.bench.faults.add(LostTrigger(line=line, pulse=3))
    lab.select()
    lab.prepare(SHORT)
    lab.start()
    for _ in range(100):
        lab.bench.pause(0.002)
    assert [lab.ask(name, ":TRAC:POIN:ACT?") for name in ("x", "z")] == [str(x), str(z)]
    assert lab.bench.source.busy
    assert lab.bench.sweep.level_a() == pytest.approx(SHORT[2])
    lab.write("field", ":SOUR:SWE:ABOR")
    assert [one.detail for one in lab.bench.faults.struck] == [f"pulse 3 of line {line}"]


def test_pulses_are_counted_from_sweep_to_sweep():
    lab = Lab()
    lab.bench.faults.add(LostTrigger(line=2, pulse=len(SHORT) + 2))
    lab.select()
    lab.prepare(SHORT)
    lab.run()
    assert len(lab.fetch("z")[0]) == len(SHORT)
    for meter in ("x", "z"):
        lab.arm(meter, len(SHORT))
    lab.start()
    lab.bench.pause(1.0)
    assert [lab.ask(name, ":TRAC:POIN:ACT?") for name in ("x", "z")] == ["2", "1"]


def test_a_pulse_that_an_abort_has_prevented_is_not_counted():
    lab = Lab()
    lab.bench.faults.add(LostTrigger(line=1, pulse=len(SHORT) + 2))
    lab.select()
    lab.prepare(SHORT, delay_s=1.0)
    lab.start()
    lab.write("field", ":SOUR:SWE:ABOR")  # within the delay before the first pulse
    for meter in ("x", "z"):
        lab.write(meter, ":ABOR")
        lab.arm(meter, len(SHORT))
    lab.run()
    assert [len(lab.fetch(name)[0]) for name in ("x", "z")] == [len(SHORT)] * 2
    for meter in ("x", "z"):
        lab.arm(meter, len(SHORT))
    lab.start()
    lab.bench.pause(9.0)
    assert lab.ask("x", ":TRAC:POIN:ACT?") == "1"


def test_a_fork_lacks_one_reading():
    lab = Lab()
    lab.bench.faults.add(LostTrigger(line=1, pulse=3))
    lab.select()
    lab.prepare(SHORT, trigger="fork")
    lab.run()
    lab.bench.pause(1.0)
    assert lab.ask("x", ":TRAC:POIN:ACT?") == lab.ask("z", ":TRAC:POIN:ACT?") == "4"
    assert [one.detail for one in lab.bench.faults.struck] == ["pulse 3 of line 1"]


def swept(*faults, **changes):
    """A bench after a sweep, and what both meters have."""
    lab = Lab(**changes)
    lab.bench.faults.add(*faults)
    lab.select()
    lab.prepare(LEVELS)
    lab.run()
    return lab, lab.fetch("x")[0], lab.fetch("z")[0]


NOISE = {"johnson_shot": True, "hooge_m2": 1e-17, "magnetisation": True}


@pytest.mark.parametrize("noise", [{}, NOISE], ids=["meter", "barriers"])
def test_a_contact_that_opens_within_a_sweep_changes_those_points_alone(noise):
    _, x0, _ = swept(noise=noise)
    fault = Open(device="J1", terminal="x", instrument="x", reading=11, for_s=0.19)
    _, x, _ = swept(fault, noise=noise)
    off = np.flatnonzero(np.abs(x) < 1e-7)
    assert off.tolist() == [10, 11, 12, 13]
    assert np.array_equal(x[:10], x0[:10])
    assert np.abs(x[14:] - x0[14:]).max() < (1e-9 if noise else 1e-30)


def test_damage_within_a_noisy_sweep_cuts_it_there():
    line = {"ohm": 50.0, "most_a_per_m2": 2e10}
    lab, x, _ = swept(noise={"johnson_shot": True}, line=line)
    whole, x0, _ = swept(noise={"johnson_shot": True})
    assert lab.bench.plant.line.burnt and not whole.bench.plant.line.burnt
    assert x[0] == x0[0] and np.ptp(x[1:]) < 2e-8 < np.ptp(x0[1:])  # it burns at the first level
    assert np.ptp(x[1:]) > 0


def test_a_source_that_drifts_moves_the_field_and_not_what_it_says():
    _, x0, _ = swept(read_noise_a=0.0)
    lab, x, _ = swept(Drift(instrument="field", gain_per_s=-0.5), read_noise_a=0.0)
    assert np.abs(x - x0).max() > 1e-7
    lab.write("field", ":SOUR:CURR 0.01")
    assert float(lab.ask("field", ":SOUR:CURR?")) == 0.01
    assert abs(line_a(lab)) < 0.01 * max(0.0, 1 - 0.5 * lab.now_s) + 0.01 * 0.5 * lab.now_s


def test_a_meter_that_loses_power_within_a_sweep_leaves_it():
    lab = Lab()
    lab.select()
    lab.prepare(LEVELS)
    start_s = lab.start()
    lab.bench.faults.add(PowerCycle(instrument="x", from_s=start_s + 0.2))
    for _ in range(2):
        lab.bench.pause(0.5)
    assert lab.ask("x", ":OUTP?") == "0" and lab.ask("x", ":TRAC:POIN:ACT?") == "0"
    assert lab.ask("z", ":TRAC:POIN:ACT?") in ("4", "5")
    assert lab.bench.source.busy


def test_a_source_that_loses_power_within_a_sweep_leaves_no_field():
    lab = Lab()
    lab.select()
    lab.prepare(LEVELS)
    start_s = lab.start()
    lab.bench.faults.add(PowerCycle(instrument="field", from_s=start_s + 0.2))
    lab.bench.pause(0.5)
    assert lab.bench.sweep is None and not lab.bench.source.busy
    assert lab.ask("field", ":OUTP?") == "0" and line_a(lab) == 0
    assert lab.ask("x", ":TRAC:POIN:ACT?") in ("4", "5")


# -- the whole -------------------------------------------------------------------------------------

LATER = 1e8
NEVER = [
    Timeout(instrument="x", from_s=LATER), Truncated(instrument="x", from_s=LATER, keep=1),
    Garbled(instrument="z", from_s=LATER), LostMessage(instrument="field", from_s=LATER),
    LostTrigger(line=2, pulse=10**9), LinkDown(instrument="x", from_s=LATER),
    PowerCycle(instrument="x", from_s=LATER), Overflow(instrument="x", first=10**9),
    Drift(instrument="field", from_s=LATER, gain_per_s=1.0),
    Open(device="J1", terminal="x", from_s=LATER), Short(device="line", from_s=LATER),
    StuckRelay(instrument="switch", relay="1!1", closed=False, from_s=LATER),
    Switched(device="J1", from_s=LATER),
    JunctionDrift(device="J1", parameter="layer.k_t", per_hour=1.0, from_s=LATER),
    Telegraph(device="J1", terminal="x", step=0.5, up_hz=1, down_hz=1, from_s=LATER),
]  # fmt: skip


@pytest.mark.parametrize("physics", ["equilibrium", "wells"])
def test_faults_that_do_not_strike_change_no_bit(physics):
    plain, faulty = (swept(*faults, physics=physics, noise=NOISE) for faults in ([], NEVER))
    assert np.array_equal(plain[1], faulty[1]) and np.array_equal(plain[2], faulty[2])
    assert plain[0].bench.clock.now_ns == faulty[0].bench.clock.now_ns
    assert plain[0].bench.spent_s == faulty[0].bench.spent_s
    assert not faulty[0].bench.faults.struck


def life(seed, watches):
    """A sweep with chance in it, and the log; ``watches``: somebody polls all the time."""
    faults = [
        {"kind": "spike", "instrument": "x", "height": 1e-6, "probability": 0.3},
        {"kind": "telegraph", "device": "J1", "terminal": "z", "step": 0.3, "up_hz": 5,
         "down_hz": 5},
        {"kind": "open", "device": "J1", "terminal": "x", "instrument": "x", "reading": 9,
         "for_s": 0.1},
    ]  # fmt: skip
    lab = Lab(seed=seed, faults=faults)
    lab.select()
    lab.prepare(LEVELS)
    lab.start()
    if watches:
        for name in ("x", "z", "field") * 5:
            lab.poll(name)
            assert lab.ask(name, ":SYST:ERR?") == NO_ERROR
    lab.bench.pause(0.002)
    seen = [lab.fetch(name)[0].tolist() for name in ("x", "z")]
    return seen, lab.bench.faults.struck, lab.bench.clock.now_ns


def test_the_same_seed_gives_the_same_faults_whoever_watches():
    assert life(3, watches=False) == life(3, watches=True) != life(4, watches=False)


names = st.sampled_from(["field", "x", "z", "switch"])
meters = st.sampled_from(["x", "z"])
times = st.floats(0.0, 2.5)
some = st.integers(1, 40)
devices = {"device": st.just("J1"), "from_s": times}
ANY = st.one_of(
    st.builds(Timeout, instrument=names, message=some, late_s=st.none() | st.floats(1e-3, 0.5)),
    st.builds(Truncated, instrument=names, message=some, keep=some, terminated=st.booleans()),
    st.builds(
        Garbled, instrument=names, message=some, bits=some,
        direction=st.sampled_from(["reply", "message"]),
    ),
    st.builds(LostMessage, instrument=names, message=some),
    st.builds(LostTrigger, line=st.integers(1, 3), pulse=some, times=st.integers(1, 3)),
    st.builds(PowerCycle, instrument=names, from_s=times, off_s=st.floats(0.0, 0.5)),
    st.builds(PowerCycle, instrument=names, message=some),
    st.builds(Overflow, instrument=meters, first=some),
    st.builds(Spike, instrument=meters, first=some, height=st.floats(-1.0, 1.0)),
    st.builds(
        Drift, instrument=st.sampled_from(["field", "x"]), from_s=times,
        gain_per_s=st.floats(-0.1, 0.1),
    ),
    st.builds(Open, terminal=st.sampled_from(["x", "z", "low", None]), **devices),
    st.builds(Open, device=st.just("line"), from_s=times, for_s=st.floats(0.0, 0.5)),
    st.builds(Short, terminal=st.sampled_from(["x", "z", None]), **devices),
    st.builds(
        StuckRelay, instrument=st.just("switch"), relay=st.sampled_from(["1!1", "1!21", "1!2"]),
        closed=st.booleans(), from_s=times,
    ),
    st.builds(Switched, **devices),
    st.builds(
        Telegraph, terminal=meters, step=st.floats(-0.5, 1.0), up_hz=st.floats(0.1, 50),
        down_hz=st.floats(0.1, 50), **devices,
    ),
    st.builds(JunctionDrift, parameter=st.just("z.tmr"), per_hour=st.floats(-99, 99), **devices),
)  # fmt: skip


def rough(faults):
    """What a program that does not look where it goes has at the end, and what it met."""
    lab = Lab(physics="wells")
    lab.bench.faults.add(*faults)
    lab.select()
    lab.prepare(SHORT)
    lab.write("field", "*CLS;:SOUR:SWE:ARM;:INIT")
    times_s, seen = [lab.now_s], []
    for _ in range(4):
        lab.bench.pause(0.3)
        seen += [lab.raw(name, ":TRAC:DATA?") for name in ("x", "z")]
        times_s.append(lab.now_s)
    lab.write("field", ":SOUR:SWE:ABOR", ":SOUR:CURR 0;:OUTP OFF")
    return seen, times_s, lab


@given(st.lists(ANY, min_size=1, max_size=4))
@settings(max_examples=40, deadline=None)
def test_the_bench_lives_through_whatever_befalls_it_and_the_same_way_again(faults):
    seen, times_s, lab = rough(faults)
    again, times_again_s, other = rough(faults)
    assert (seen, times_s) == (again, times_again_s)
    assert lab.bench.faults.struck == other.bench.faults.struck
    assert times_s == sorted(times_s)
    assert sum(lab.bench.spent_s.values()) == pytest.approx(lab.now_s, abs=1e-6)
    assert np.isfinite(line_a(lab))
    assert json.loads(json.dumps(lab.bench.faults.state()))


def test_faults_of_the_file_are_checked_with_the_bench():
    nan = {"kind": "nan", "instrument": "y"}
    with pytest.raises(TruthError, match=r"number 1 \(nan\): instrument: no instrument named 'y'"):
        SimBench(load_truth(None, faults=[nan]))
    with pytest.raises(TruthError, match=r"bench: faults: number 1 \(nan\): fist: no such"):
        load_truth(None, faults=[nan | {"fist": 1}])


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (Overflow(instrument="y"), "no instrument named 'y'; there are field, x, z, switch"),
        (Open(device="J9"), "no device named 'J9'"),
        (Open(device="J1", terminal="a"), "'J1' has no such terminal 'a'; there are x, z, low"),
        (Short(device="J1", terminal="low"), "no such terminal 'low'; there are x, z"),
        (Short(device="line", terminal="a"), "no such terminal 'a'; leave it out"),
        (Switched(device="line"), "'line' is no junction"),
        (Spike(instrument="field", height=1.0), "do not strike 'field'; there are x, z"),
        (Open(device="J1", instrument="field", reading=3), "do not strike 'field'"),
        (Drift(instrument="switch"), "do not strike 'switch'; there are x, z, field"),
        (StuckRelay(instrument="x", relay="1!1", closed=True), "'x' is no switch; write switch"),
    ],
)
def test_a_fault_that_does_not_fit_the_bench_is_refused_when_it_is_added(fault, why):
    bench = SimBench(load_truth(None))
    with pytest.raises(FaultError) as caught:
        bench.faults.add(fault)
    assert f"number 1 ({fault.kind}): " in str(caught.value) and why in str(caught.value)
    assert bench.faults.state()["counts"] == []


def test_the_plan_of_a_bench_can_be_put_away():
    lab = Lab(faults=[{"kind": "timeout", "instrument": "x", "header": "*TST?", "late_s": 5.0}])
    lab.write("x", "*TST?")
    kept = json.loads(json.dumps(lab.bench.faults.state()))
    other = Lab(faults=lab.bench.truth.model_dump()["faults"])
    other.bench.faults.restore(kept)
    assert other.ask("x") is None
    other.bench.pause(6.0)
    assert other.ask("x") == "0"
    assert math.isclose(other.bench.faults.struck[0].time_s, lab.bench.faults.struck[0].time_s)
