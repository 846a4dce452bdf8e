"""Faults of messages, link and power at the whole bench: what a program meets."""

import pytest
import pyvisa
from hypothesis import given, settings
from hypothesis import strategies as st
from pyvisa.constants import EventMechanism, EventType, StatusCode

from sim_backend.bench import SimBench
from sim_backend.faults_kinds import (
    Garbled,
    LinkDown,
    LostMessage,
    PowerCycle,
    Switched,
    Timeout,
    Truncated,
)
from sim_backend.truth import load_truth
from tests.fault_benches import (
    NO_ERROR,
    Visa,
    fails,
    readings,
)
from tests.test_sim_instruments import Lab


@pytest.fixture
def visa(request):
    made = Visa(request.node.name)
    yield made
    made.manager.close()


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


SRQ, QUEUE = EventType.service_request, EventMechanism.queue


def late_question(visa, *, late_s=0.5, mask=16):
    """Meter x, which tells of a reply, and whose next one is late."""
    meter = visa.meter()
    meter.write(f"*SRE {mask}")
    meter.enable_event(SRQ, QUEUE)
    visa.faults.add(Timeout(instrument="x", header=":READ?", late_s=late_s))
    meter.write(":READ?")
    return meter


def test_a_late_reply_requests_service_when_it_comes(visa):
    meter = late_question(visa)
    assert not meter.read_stb() & 16
    assert meter.wait_on_event(SRQ, 100, capture_timeout=True).timed_out
    meter.wait_on_event(SRQ, 1000)
    assert meter.read_stb() == 16 + 64  # message available, and it has requested service
    assert meter.wait_on_event(SRQ, 1000, capture_timeout=True).timed_out  # once


def test_a_late_reply_calls_the_handler_once(visa):
    meter = late_question(visa)
    came = []
    handler = meter.wrap_handler(lambda resource, event, handle: came.append(resource.read_stb()))
    meter.install_handler(SRQ, handler)
    meter.enable_event(SRQ, EventMechanism.handler)
    for _ in range(3):
        visa.manager.visalib.bench_pause(1.0)
    assert came == [16 + 64]
    assert len(meter.read().split(",")) == 2
    assert not meter.read_stb() & 16


def test_a_late_reply_that_nobody_asked_to_be_told_of_requests_no_service(visa):
    meter = late_question(visa, mask=0)
    assert meter.wait_on_event(SRQ, 1000, capture_timeout=True).timed_out
    assert meter.read_stb() == 16


def test_the_reply_behind_a_late_one_keeps_message_available(visa):
    meter = late_question(visa)
    meter.write(":READ?")
    meter.wait_on_event(SRQ, 1000)
    first = meter.read()
    assert meter.read_stb() & 16
    assert meter.read() != first
    assert not meter.read_stb() & 16


def test_device_clear_takes_back_what_a_late_reply_has_said(visa):
    meter = late_question(visa)
    meter.wait_on_event(SRQ, 1000)
    assert meter.read_stb() & 16
    meter.clear()
    assert not meter.read_stb() & 16
    visa.faults.add(Timeout(instrument="x", header=":READ?", late_s=0.5))
    meter.write(":READ?")
    meter.clear()
    meter.discard_events(SRQ, QUEUE)
    assert meter.wait_on_event(SRQ, 1000, capture_timeout=True).timed_out


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
