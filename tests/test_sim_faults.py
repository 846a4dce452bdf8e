"""Faults strike where they are scripted, leave a line in the log, and touch nothing else."""

import inspect
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from pyvisa.constants import StatusCode

from sim_backend.faults import Event, FaultPlan, Struck
from sim_backend.faults_chance import Hops, flipped, uniforms
from sim_backend.faults_devices import WHOLE
from sim_backend.faults_header import names
from sim_backend.faults_kinds import (
    KINDS,
    Compliance,
    Drift,
    FaultError,
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
    check_names,
    parse_faults,
)
from sim_backend.faults_messages import Reply
from sim_backend.faults_readings import Mark

PAGE = (Path(__file__).parents[1] / "docs/reference/faults.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^ +(- \{kind: .*\})$", PAGE, flags=re.MULTILINE)
DATA = b"+1.500000E-06\n"


def replies(plan, count, name="x", message=":READ?"):
    """What comes of ``count`` questions, one a second from 1 s on."""
    return [plan.on_reply(name, message, DATA, float(n)) for n in range(1, count + 1)]


def untouched(count):
    return [Reply(DATA, float(n)) for n in range(1, count + 1)]


def arrivals(plan, messages, name="x"):
    """What arrives of messages sent one a second from 1 s on."""
    return [plan.on_write(name, m, float(n)) for n, m in enumerate(messages, 1)]


# -- without faults --------------------------------------------------------------------------------

NOTHING = {
    "no faults": FaultPlan(),
    "faults of others": FaultPlan([
        Timeout(instrument="z"), LostMessage(instrument="z"), Garbled(instrument="z"),
        LinkDown(instrument="z"), PowerCycle(instrument="z", from_s=1e6), Overflow(instrument="z"),
        Drift(instrument="z", gain_per_s=1.0), LostTrigger(line=6), Open(device="J9"),
        StuckRelay(instrument="other", relay="1!1", closed=True), Switched(device="J9", from_s=1e6),
        Telegraph(device="J9", terminal="x", step=1.0, up_hz=1.0, down_hz=1.0),
        JunctionDrift(device="J9", parameter="layer.k_t", per_hour=1.0),
    ]),
}  # fmt: skip


@pytest.mark.parametrize("plan", NOTHING.values(), ids=NOTHING)
def test_what_no_fault_names_passes_unchanged(plan):
    values, times = np.arange(5.0), np.arange(5.0) + 1
    assert plan.on_write("x", ":OUTP ON", 1.0) == [":OUTP ON"]
    assert plan.on_reply("x", "*IDN?", DATA, 2.0) == Reply(DATA, 2.0)
    assert plan.readable("x", 2.0) is plan.take_late("x", 10, 2.0) is plan.due_s("x") is None
    assert not plan.owes("x")
    assert plan.link("x", 5.0) is plan.link("x", 5.0, 0.0) is None
    assert plan.on_pulses(1, 1, times).all() and plan.kept_pulses(1, 1, 5).all()
    plan.on_schedule("x", 1, times)
    changed = plan.on_readings("x", 1, values, times)
    assert changed.values is values and changed.marks is None
    assert plan.on_levels("x", values, times) is values
    assert plan.device("J1", 5.0) == WHOLE
    assert plan.relays("switch", {"1!1"}, 5.0) == {"1!1"}
    assert (plan.resistance("J1", "x", times, 0.02) == 1).all()
    assert plan.drifted("J1", lambda name: 1.0, 5.0) == {}
    assert plan.events(5.0) == []
    assert plan.struck == []


def test_without_faults_nothing_cuts_a_sweep():
    assert FaultPlan().cuts(np.arange(5.0)) == [slice(0, 5)]
    assert FaultPlan().cuts(np.empty(0)) == []
    assert math.isinf(FaultPlan().next_event_s())


# -- when a message is struck ----------------------------------------------------------------------


@given(message=st.integers(1, 12), times=st.integers(1, 12) | st.none(), sent=st.integers(0, 20))
@settings(max_examples=40, deadline=None)
def test_the_message_asked_for_is_lost_and_as_many_as_asked_for(message, times, sent):
    plan = FaultPlan([LostMessage(instrument="x", message=message, times=times or "always")])
    got = arrivals(plan, [f":A {n}" for n in range(1, sent + 1)])
    last = math.inf if times is None else message + times - 1
    lost = [n for n in range(1, sent + 1) if message <= n <= last]
    assert [n for n, arrived in enumerate(got, 1) if not arrived] == lost
    assert [one.time_s for one in plan.struck] == lost
    assert all(arrived in ([], [f":A {n}"]) for n, arrived in enumerate(got, 1))


def test_only_messages_to_the_instrument_count():
    plan = FaultPlan([LostMessage(instrument="x", message=2)])
    assert plan.on_write("x", "A", 0.0) and plan.on_write("z", "A", 0.0)
    assert not plan.on_write("x", "A", 0.0)


def test_only_messages_with_the_header_count():
    plan = FaultPlan([LostMessage(instrument="x", header=":INITiate", message=2)])
    got = arrivals(plan, [":INIT", ":OUTP ON", ":TRIG:COUN 2", "INITIATE:IMM", ":INIT"])
    assert [bool(arrived) for arrived in got] == [True, True, True, False, True]


def test_only_messages_from_the_time_on_count():
    plan = FaultPlan([LostMessage(instrument="x", from_s=3.0, message=2)])
    assert [bool(arrived) for arrived in arrivals(plan, ["A"] * 5)] == [1, 1, 1, 0, 1]


@given(polls=st.lists(st.integers(0, 3), min_size=8, max_size=8), seed=st.integers(0, 9))
@settings(max_examples=20, deadline=None)
def test_observations_change_no_strike(polls, seed):
    faults = [
        LostMessage(instrument="x", message=3),
        LostMessage(instrument="x", probability=0.5, times="always"),
        Timeout(instrument="x", probability=0.3, times="always"),
    ]
    polled, alone = FaultPlan(faults, seed), FaultPlan(faults, seed)
    for n, count in enumerate(polls):
        for _ in range(count):
            assert polled.on_write("x", "*STB?", n, observation=True) == ["*STB?"]
            answer = polled.on_reply("x", "*STB?", b"0\n", n, observation=True)
            assert answer == Reply(b"0\n", n)
        assert polled.on_write("x", ":READ?", n) == alone.on_write("x", ":READ?", n)
        assert polled.on_reply("x", ":READ?", DATA, n) == alone.on_reply("x", ":READ?", DATA, n)
    assert polled.struck == alone.struck


def test_observations_count_if_the_fault_says_so():
    plan = FaultPlan([LostMessage(instrument="x", message=2, observations=True)])
    assert plan.on_write("x", "*STB?", 0.0, observation=True)
    assert not plan.on_write("x", "*STB?", 0.0, observation=True)


def struck_of(seed, probability=0.3, sent=400, others=()):
    fault = LostMessage(instrument="x", probability=probability, times="always")
    plan = FaultPlan([*others, fault], seed)
    return [n for n in range(sent) if not plan.on_write("x", "A", float(n))]


def test_chance_has_the_probability_and_belongs_to_the_seed():
    struck = struck_of(1)
    assert struck == struck_of(1)
    assert struck != struck_of(2)
    # five standard deviations of a binomial count
    assert abs(len(struck) - 120) < 5 * math.sqrt(400 * 0.3 * 0.7)
    assert struck_of(1, probability=0.0) == [] and len(struck_of(1, probability=1.0)) == 400


def test_another_fault_leaves_the_chance_of_the_first_alone():
    assert struck_of(1, others=[Garbled(instrument="x", probability=0.5)]) == struck_of(1)


def test_two_faults_that_are_alike_strike_each_for_itself():
    fault = Timeout(instrument="x", probability=0.5, times="always")
    plan = FaultPlan([fault, fault], 3)
    replies(plan, 200)
    assert len({one.time_s for one in plan.struck}) > 120  # alike they would be some hundred


def test_a_fault_that_is_added_counts_from_then_on():
    plan = FaultPlan()
    plan.on_write("x", "A", 0.0)
    plan.add(LostMessage(instrument="x", message=2))
    assert [bool(plan.on_write("x", "A", 1.0)) for _ in range(3)] == [True, False, True]


# -- headers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "message", "fits"),
    [
        (":INITiate", ":INIT", True),
        (":INITiate", "init:imm", True),
        (":INITiate", ":INITIATE", True),
        (":INITiate", ":INITI", False),
        (":INITiate", ":TRIG:INIT", False),
        (":INITiate", ":OUTP ON;:INIT", True),
        (":INITiate", ":DISP 'a;:INIT'", False),
        ("*IDN?", "*IDN?", True),
        ("*TRG", "*TRG", True),
        ("*RST", ":A:B 1;*RST", True),
        (":READ?", ":READ?", True),
        (":READ?", ":READ", False),
        (":SOURce:VOLTage", ":SOUR1:VOLT:LEV 1", True),
        (":SOURce:VOLTage", ":SOUR2:VOLT 1", False),
        (":SOURce:VOLTage", ":SOUR:FUNC VOLT;VOLT 1", True),
        (":SOURce:VOLTage", ":SOUR:FUNC VOLT;:VOLT 1", False),
        ("VOLTage", ":SOUR:VOLT 1", True),
        ("VOLTage", ":SOUR:FUNC VOLT", False),
        ("LIST:CURRent", "SOUR:LIST:CURR:APP 1,2", True),
        ("LIST:CURRent", "SOUR:LIST:DEL 1;:CURR 1", False),
        ("*IDN?", "", False),
    ],
)
def test_a_header_fits_as_an_instrument_would_read_it(header, message, fits):
    assert names(header, message) is fits


@given(st.text(max_size=30))
@settings(max_examples=60, deadline=None)
def test_any_text_can_be_compared_with_a_header(message):
    assert names(":INITiate", message) in (True, False)


# -- replies ---------------------------------------------------------------------------------------


def test_a_timed_out_reply_never_comes_and_the_others_do():
    plan = FaultPlan([Timeout(instrument="x", message=2)])
    assert replies(plan, 1) == untouched(1)
    second = plan.on_reply("x", ":READ?", DATA, 2.0)
    assert second is None and plan.owes("x") and plan.due_s("x") is None
    assert plan.readable("x", 1e6) is plan.take_late("x", 99, 1e6) is None
    assert plan.owes("x")  # reading in vain pays nothing back
    third = plan.on_reply("x", ":READ?", DATA, 3.0)
    assert third == Reply(DATA, 3.0) and not plan.owes("x")
    assert plan.struck == [Struck(2.0, "x", "timeout", "the reply never comes")]


def test_a_late_reply_is_taken_for_the_answer_to_the_next_question():
    plan = FaultPlan([Timeout(instrument="x", late_s=0.5)])
    assert plan.on_reply("x", ":A?", b"a\n", 1.0) is None
    assert plan.owes("x") and plan.due_s("x") == 1.5
    assert plan.readable("x", 1.4) is None and plan.take_late("x", 99, 1.4) is None
    assert plan.on_reply("x", ":B?", b"b\n", 2.0) is None  # behind the late one
    assert plan.readable("x", 2.0) == b"a\n"
    assert plan.take_late("x", 99, 2.0) == (b"a\n", False)
    assert plan.on_reply("x", ":C?", b"c\n", 3.0) is None
    assert plan.take_late("x", 99, 3.0) == (b"b\n", False)
    assert [one.kind for one in plan.struck] == ["timeout"]


def test_a_late_reply_holds_up_the_next_one():
    plan = FaultPlan([Timeout(instrument="x", late_s=5.0)])
    plan.on_reply("x", ":A?", b"a\n", 1.0)
    plan.on_reply("x", ":B?", b"b\n", 2.0)
    assert plan.take_late("x", 99, 5.9) is None
    assert plan.take_late("x", 1, 6.0) == (b"a", True)
    assert plan.take_late("x", 1, 6.0) == (b"\n", False)
    assert plan.take_late("x", 99, 6.0) == (b"b\n", False)
    assert not plan.owes("x") and plan.due_s("x") is None


def test_a_late_reply_that_is_cut_off_has_no_end():
    plan = FaultPlan([Timeout(instrument="x", late_s=0.5), Truncated(instrument="x", keep=3)])
    assert plan.on_reply("x", ":A?", DATA, 1.0) is None
    assert plan.take_late("x", 99, 2.0) == (DATA[:3], True)


def test_device_clear_drops_late_replies():
    plan = FaultPlan([Timeout(instrument="x", late_s=0.5)])
    plan.on_reply("x", ":A?", b"a\n", 1.0)
    plan.on_clear("x")
    assert plan.take_late("x", 99, 9.0) is None and not plan.owes("x")
    assert plan.on_reply("x", ":B?", b"b\n", 9.0) == Reply(b"b\n", 9.0)


def test_a_truncated_reply_ends_or_does_not_as_asked():
    plan = FaultPlan([
        Truncated(instrument="x", keep=3),
        Truncated(instrument="x", message=2, keep=3, terminated=True),
        Truncated(instrument="x", message=3, keep=99, terminated=True),
        Truncated(instrument="x", message=4, keep=0),
    ])  # fmt: skip
    assert replies(plan, 5) == [
        Reply(b"+1.", 1.0, ended=False),
        Reply(b"+1.\n", 2.0),
        Reply(DATA, 3.0),
        None,
        Reply(DATA, 5.0),
    ]
    assert plan.struck[0].detail == "3 of 13 bytes come"
    assert [one.time_s for one in plan.struck] == [1, 2, 3, 4]


@given(data=st.binary(min_size=1, max_size=40), bits=st.integers(1, 400), number=st.integers(1, 99))
@settings(max_examples=60, deadline=None)
def test_so_many_bits_flip_and_always_the_same(data, bits, number):
    changed = flipped(data, bits, 7, number)
    differ = sum((a ^ b).bit_count() for a, b in zip(changed, data, strict=True))
    assert differ == min(bits, 8 * len(data))
    assert flipped(data, bits, 7, number) == changed


def test_a_garbled_reply_keeps_length_and_terminator():
    plan = FaultPlan([Garbled(instrument="x", message=2, bits=3)], 1)
    first, garbled, third = replies(plan, 3)
    assert [first, third] == [Reply(DATA, 1.0), Reply(DATA, 3.0)]
    assert garbled.data != DATA and len(garbled.data) == len(DATA)
    assert garbled.data.endswith(b"\n") and garbled.ended
    assert [(one.time_s, one.kind) for one in plan.struck] == [(2.0, "garbled")]
    again = replies(FaultPlan([Garbled(instrument="x", message=2, bits=3)], 1), 3)
    other = replies(FaultPlan([Garbled(instrument="x", message=2, bits=3)], 2), 3)
    assert again[1] == garbled != other[1]


def test_a_garbled_message_is_another_one_and_the_replies_are_spared():
    plan = FaultPlan([Garbled(instrument="x", message=2, direction="message")], 5)
    first, [garbled], third = arrivals(plan, [":SOUR:VOLT 0.02"] * 3)
    assert first == third == [":SOUR:VOLT 0.02"]
    assert garbled != ":SOUR:VOLT 0.02" and len(garbled) == 15
    assert replies(plan, 2) == untouched(2)
    assert plan.struck == [Struck(2.0, "x", "garbled", f"':SOUR:VOLT 0.02' arrives as {garbled!r}")]


def test_a_newline_made_by_a_flip_ends_a_message():
    # 'J' is a newline with bit 6 flipped; one seed among these flips that bit.
    found = [
        FaultPlan([Garbled(instrument="x", direction="message")], seed).on_write("x", "AJB", 0.0)
        for seed in range(200)
    ]
    assert ["A", "B"] in found


# -- link and power --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "status"),
    [("conn_lost", StatusCode.error_connection_lost), ("io", StatusCode.error_io)],
)
def test_a_link_is_down_from_its_time_to_its_end(error, status):
    plan = FaultPlan([LinkDown(instrument="x", from_s=3.0, for_s=2.0, error=error)])
    found = {now: plan.link("x", now) for now in (0.0, 2.999, 3.0, 4.999, 5.0, 9.0)}
    assert [now for now, what in found.items() if what] == [3.0, 4.999]
    assert found[3.0] == status
    assert plan.link("z", 4.0) is None
    assert plan.struck == [Struck(3.0, "x", "link_down", "the link is lost")]


def test_a_session_dies_with_its_link_and_a_new_one_lives():
    plan = FaultPlan([LinkDown(instrument="x", from_s=3.0, for_s=2.0)])
    assert plan.link("x", 2.0, since_s=1.0) is None
    assert plan.link("x", 9.0, since_s=1.0) == StatusCode.error_connection_lost
    assert plan.link("x", 9.0, since_s=6.0) is None


def test_a_link_that_is_lost_for_good_stays_so():
    assert FaultPlan([LinkDown(instrument="x")]).link("x", 1e8) is not None


def test_a_link_lost_with_a_message_takes_it_along():
    plan = FaultPlan([LinkDown(instrument="x", header=":INITiate", for_s=1.0)])
    assert plan.on_write("x", ":OUTP ON", 1.0) and plan.link("x", 1.0) is None
    assert plan.on_write("x", ":INIT", 2.0) == []
    assert plan.link("x", 2.5, since_s=0.0) is not None
    assert plan.link("x", 3.0) is None and plan.link("x", 3.0, since_s=0.0) is not None
    assert plan.on_write("x", ":INIT", 4.0) == [":INIT"]


def test_power_is_cycled_once_at_its_time():
    plan = FaultPlan([PowerCycle(instrument="x", from_s=3.0)])
    assert plan.next_event_s() == 3.0
    assert plan.events(2.9) == []
    assert plan.events(4.0) == [Event(3.0, "power_cycle", "x")]
    assert plan.events(9.0) == [] and math.isinf(plan.next_event_s())
    assert plan.struck == [Struck(3.0, "x", "power_cycle", "off for 0 s")]


def test_an_instrument_without_power_is_deaf_and_mute():
    plan = FaultPlan([PowerCycle(instrument="x", message=2, off_s=2.0)])
    assert plan.on_write("x", "A", 1.0) == ["A"] and plan.events(1.0) == []
    assert plan.on_write("x", "B", 5.0) == []
    assert plan.events(5.0) == [Event(5.0, "power_cycle", "x")]
    assert plan.on_write("x", "C", 6.9) == [] and plan.on_reply("x", "C?", DATA, 6.9) is None
    assert plan.on_write("x", "C", 7.0) == ["C"]
    assert plan.on_reply("x", "C?", DATA, 7.0) == Reply(DATA, 7.0)


def test_the_message_that_a_power_cycle_comes_with_finds_it_back_on():
    plan = FaultPlan([PowerCycle(instrument="x", message=2)])
    assert arrivals(plan, ["A", "B"]) == [["A"], ["B"]]
    assert plan.events(2.0) == [Event(2.0, "power_cycle", "x")]


def test_a_power_cycle_forgets_late_replies():
    plan = FaultPlan([Timeout(instrument="x", late_s=1.0), PowerCycle(instrument="x", from_s=1.5)])
    plan.on_reply("x", "A?", DATA, 1.0)
    plan.events(2.0)
    assert plan.take_late("x", 99, 3.0) is None and not plan.owes("x")


# -- triggers and readings -------------------------------------------------------------------------


def test_the_pulses_asked_for_are_lost_however_they_are_grouped():
    times = np.arange(1.0, 11.0)
    plan = FaultPlan([LostTrigger(line=2, pulse=4, times=2)])
    foreseen = plan.kept_pulses(2, 1, 10)
    assert plan.struck == []
    whole = plan.on_pulses(2, 1, times)
    assert (foreseen == whole).all()
    assert np.flatnonzero(~whole).tolist() == [3, 4]
    assert plan.struck == [
        Struck(n, "line 2", "lost_trigger", f"pulse {n} of line 2") for n in (4, 5)
    ]
    assert plan.on_pulses(1, 1, times).all()
    apart = [plan.on_pulses(2, first, times[first - 1 : first + 1]) for first in (1, 3, 5, 7, 9)]
    assert (np.concatenate(apart) == whole).all()
    assert (
        not FaultPlan([LostTrigger(line=2, pulse=4, times="always")]).on_pulses(2, 4, times).any()
    )


@pytest.mark.parametrize(
    ("kind", "mark"),
    [(Overflow, Mark.OVERFLOW), (NotANumber, Mark.NAN), (Compliance, Mark.COMPLIANCE)],
)
def test_readings_asked_for_are_marked_and_no_other(kind, mark):
    plan = FaultPlan([kind(instrument="x", first=3, last=4)])
    values, times = np.arange(6.0), np.arange(6.0) + 10
    got = plan.on_readings("x", 1, values, times)
    assert got.marks.tolist() == [0, 0, mark, mark, 0, 0]
    assert (got.values == values).all()
    later = plan.on_readings("x", 7, values, times)
    assert later.marks is None
    assert [(one.time_s, one.detail) for one in plan.struck] == [
        (12.0, "reading 3"), (13.0, "reading 4")
    ]  # fmt: skip
    single = FaultPlan([kind(instrument="x", first=3)]).on_readings("x", 1, values, times)
    assert np.flatnonzero(single.marks).tolist() == [2]


@given(cut=st.integers(1, 39), seed=st.integers(0, 5))
@settings(max_examples=20, deadline=None)
def test_spikes_belong_to_numbers_of_readings_not_to_groups(cut, seed):
    faults = [Spike(instrument="x", first=5, height=2.0, probability=0.4)]
    values, times = np.zeros(40), np.arange(40.0)
    whole = FaultPlan(faults, seed)
    got = whole.on_readings("x", 1, values, times).values
    parts = FaultPlan(faults, seed)
    first = parts.on_readings("x", 1, values[:cut], times[:cut]).values
    second = parts.on_readings("x", 1 + cut, values[cut:], times[cut:]).values
    assert (np.concatenate((first, second)) == got).all()
    assert set(got) <= {0.0, 2.0} and not got[:4].any() and got.any()
    assert parts.struck == whole.struck
    assert [one.time_s for one in whole.struck] == np.flatnonzero(got).tolist()


def test_a_certain_spike_is_one_reading():
    got = FaultPlan([Spike(instrument="x", first=2, height=-1.0)]).on_readings(
        "x", 1, np.ones(3), np.arange(3.0)
    )
    assert got.values.tolist() == [1.0, 0.0, 1.0] and got.marks is None


def test_a_drift_grows_with_time_from_its_beginning():
    plan = FaultPlan([Drift(instrument="x", from_s=10.0, gain_per_s=0.1, offset_per_s=0.5)])
    times = np.array([0.0, 10.0, 12.0])
    assert plan.on_readings("x", 1, np.full(3, 2.0), times).values.tolist() == [2.0, 2.0, 3.4]
    assert plan.on_levels("x", np.full(3, 2.0), times).tolist() == [2.0, 2.0, 3.4]
    assert [(one.time_s, one.kind) for one in plan.struck] == [(10.0, "drift")]


# -- devices ---------------------------------------------------------------------------------------


def test_contacts_open_and_barriers_short_for_their_time():
    plan = FaultPlan([
        Open(device="J1", terminal="x", from_s=2.0, for_s=1.0),
        Short(device="J1", terminal="z", from_s=2.5),
        Open(device="line", from_s=4.0),
    ])  # fmt: skip
    seen = {now: plan.device("J1", now) for now in (1.9, 2.0, 2.9, 3.0)}
    assert [state.opened for state in seen.values()] == [set(), {"x"}, {"x"}, set()]
    assert [state.shorted for state in seen.values()] == [set(), set(), {"z"}, {"z"}]
    assert plan.device("line", 3.9) == plan.device("J2", 9.0) == WHOLE
    assert [seen[2.9].touches(t) for t in ("x", "z", "low")] == [False, True, True]
    assert [seen[2.9].bridged(t) for t in ("x", "z")] == [False, True]
    assert not plan.device("line", 4.0).touches("a") and not plan.device("line", 4.0).bridged("a")
    assert plan.device("line", 4.0).open_whole and not plan.device("line", 4.0).shorted_whole
    assert plan.struck == [
        Struck(2.0, "J1", "open", "terminal x"),
        Struck(2.5, "J1", "short", "terminal z"),
        Struck(4.0, "line", "open", "the whole device"),
    ]
    assert plan.cuts(np.array([1.0, 2.0, 2.2, 2.5, 3.0, 3.5, 4.0])) == [
        slice(0, 1), slice(1, 3), slice(3, 4), slice(4, 6), slice(6, 7)
    ]  # fmt: skip


def test_a_device_fault_begins_with_a_message():
    plan = FaultPlan([Short(device="J1", instrument="field", header=":INITiate", message=2)])
    for now, message in ((1.0, ":INIT"), (2.0, ":OUTP ON")):
        assert plan.on_write("field", message, now) == [message]
    assert plan.device("J1", 2.0) == WHOLE
    assert plan.on_write("field", ":INIT", 3.0) == [":INIT"]
    assert plan.device("J1", 2.9) == WHOLE and plan.device("J1", 3.0).shorted_whole


def test_a_device_fault_begins_with_a_reading_wherever_sweeps_end():
    plan = FaultPlan([Open(device="J1", instrument="x", reading=5)])
    plan.on_schedule("z", 1, np.arange(10.0))
    plan.on_schedule("x", 1, np.arange(10.0, 13.0))
    assert plan.device("J1", 1e6) == WHOLE
    plan.on_schedule("x", 4, np.array([20.0, 30.0, 40.0]))  # cut off before it comes to that
    plan.on_schedule("x", 4, np.array([25.0, 26.0]))
    assert plan.device("J1", 25.9) == WHOLE and plan.device("J1", 26.0).open_whole
    plan.on_schedule("x", 5, np.array([50.0]))  # what has begun has begun
    assert plan.device("J1", 26.0).open_whole
    assert plan.struck == [Struck(26.0, "J1", "open", "the whole device")]


def test_a_stuck_relay_is_as_it_is_whatever_the_switch_is_told():
    plan = FaultPlan([
        StuckRelay(instrument="switch", relay="1!1", closed=True, from_s=2.0, for_s=4.0),
        StuckRelay(instrument="switch", relay="1!2", closed=False, message=2),
    ])  # fmt: skip
    assert plan.relays("switch", {"1!2"}, 1.0) == {"1!2"}
    assert plan.relays("switch", {"1!2"}, 2.0) == {"1!1", "1!2"}
    arrivals(plan, [":OPEN ALL", ":CLOS (@1!2)", ":CLOS (@1!3)"], "switch")  # the second at 2 s
    assert plan.relays("switch", {"1!2", "1!3"}, 5.0) == {"1!1", "1!3"}
    assert plan.relays("switch", {"1!2"}, 6.0) == set()
    assert plan.relays("other", {"1!2"}, 5.0) == {"1!2"}
    assert [one.detail for one in plan.struck] == [
        "relay 1!1 stays closed", "relay 1!2 stays open"
    ]  # fmt: skip


def test_a_layer_is_thrown_once_and_the_sweep_is_cut_there():
    plan = FaultPlan([Switched(device="J2", from_s=8.0, to="down"), Switched(device="J1")])
    assert plan.cuts(np.array([7.0, 8.0, 9.0])) == [slice(0, 1), slice(1, 3)]
    assert plan.events(1.0) == [Event(0.0, "switched", "J1", "other")]
    assert plan.next_event_s() == 8.0
    assert plan.events(9.0) == [Event(8.0, "switched", "J2", "down")]
    assert plan.events(9.0) == []
    assert [(one.time_s, one.name) for one in plan.struck] == [(0.0, "J1"), (8.0, "J2")]


def test_events_come_in_the_order_of_their_times():
    plan = FaultPlan([PowerCycle(instrument="x", from_s=5.0), Switched(device="J1", from_s=2.0)])
    assert [event.time_s for event in plan.events(9.0)] == [2.0, 5.0]


def test_events_of_one_kind_leave_those_of_another():
    plan = FaultPlan([Switched(device="J1", from_s=5.0), PowerCycle(instrument="x", from_s=2.0)])
    assert [event.name for event in plan.events(9.0, "switched")] == ["J1"]
    assert [event.name for event in plan.events(9.0)] == ["x"]


def telegraph(seed=1, **changes):
    keys = {"terminal": "x", "step": 0.5, "up_hz": 2.0, "down_hz": 6.0, "from_s": 3.0} | changes
    return FaultPlan([Telegraph(device="J1", **keys)], seed)


def test_a_telegraph_steps_by_its_part_after_its_beginning_on_its_barrier_only():
    times = np.linspace(0, 60, 3001)
    factor = telegraph().resistance("J1", "x", times, 0.0)
    assert set(factor) == {1.0, 1.5} and (factor[times < 3] == 1).all()
    assert (telegraph().resistance("J1", "z", times, 0.0) == 1).all()
    assert (telegraph().resistance("J2", "x", times, 0.0) == 1).all()
    assert (telegraph(seed=2).resistance("J1", "x", times, 0.0) != factor).any()


@given(st.permutations(range(6)), st.floats(0, 5))
@settings(max_examples=20, deadline=None)
def test_a_telegraph_is_a_function_of_time_whoever_asks_in_which_order(order, window_s):
    times = np.linspace(4, 3000, 600)
    whole = telegraph().resistance("J1", "x", times, window_s)
    plan, parts = telegraph(), np.array_split(np.arange(600), 6)
    for part in order:
        got = plan.resistance("J1", "x", times[parts[part]], window_s)
        assert (got == whole[parts[part]]).all()
    assert len(plan.struck) == 1


def test_hops_have_their_rates():
    # Within five standard errors: dwell times are exponential, so one mean has mean/sqrt(n).
    hops = Hops(11, 2.0, 6.0)
    hops.share_up(np.array([2000.0]), 0.0)
    dwell = np.diff(hops._edges_s)
    down, up = dwell[0::2], dwell[1::2]
    for found, rate in ((down, 2.0), (up, 6.0)):
        assert abs(found.mean() * rate - 1) < 5 / math.sqrt(len(found))
        assert abs(found.std() * rate - 1) < 10 / math.sqrt(len(found))
    # variance of the share: 2 p (1-p) / (total rate * time), Machlup 1954
    share = hops.share_up(np.array([2000.0]), 2000.0)[0]
    assert abs(share - 0.25) < 5 * math.sqrt(2 * 0.25 * 0.75 / (8.0 * 2000.0))


def test_the_share_of_a_window_is_the_mean_of_the_path():
    hops = Hops(5, 3.0, 2.0)
    fine = np.linspace(10, 12, 200_001)
    mean = hops.share_up(fine, 0.0).mean()
    assert abs(hops.share_up(np.array([12.0]), 2.0)[0] - mean) < 1e-4
    parts = hops.share_up(np.array([11.0, 12.0]), 1.0).mean()
    assert abs(hops.share_up(np.array([12.0]), 2.0)[0] - parts) < 1e-12


def test_uniform_numbers_belong_to_their_count():
    whole = uniforms(3, 1, 50)
    assert (np.concatenate((uniforms(3, 1, 20), uniforms(3, 21, 30))) == whole).all()
    assert ((whole > 0) & (whole < 1)).all() and len(set(whole)) == 50


def test_a_junction_drifts_in_steps_from_its_beginning():
    plan = FaultPlan([
        JunctionDrift(device="J1", parameter="layer.hz_t", per_hour=3.6e-3, from_s=100.0),
        JunctionDrift(device="J1", parameter="x.tmr", relative_per_hour=0.5, step_s=3600.0),
    ])  # fmt: skip
    own = {"layer.hz_t": 1e-3, "x.tmr": 0.8}.__getitem__
    assert plan.drifted("J1", own, 99.0) == {"x.tmr": 0.8}
    got = plan.drifted("J1", own, 110.9)  # ten steps of a second, 1e-6 T each
    assert got["layer.hz_t"] == pytest.approx(1.01e-3, rel=1e-12) and got["x.tmr"] == 0.8
    assert plan.drifted("J1", own, 7200.0)["x.tmr"] == pytest.approx(1.6, rel=1e-12)
    assert plan.drifted("J2", own, 110.0) == {}
    assert plan.cuts(np.array([100.5, 100.9, 101.0, 101.5])) == [slice(0, 2), slice(2, 4)]
    assert [one.detail for one in plan.struck] == ["x.tmr drifts", "layer.hz_t drifts"]


def test_a_drift_stops_at_the_end_of_its_range():
    plan = FaultPlan([
        JunctionDrift(device="J1", parameter="x.tmr", per_hour=1e4, step_s=1.0),
        JunctionDrift(device="J1", parameter="z.tmr", per_hour=-1e4, step_s=1.0),
    ])  # fmt: skip
    got = plan.drifted("J1", lambda name: 1.0, 7200.0)
    assert got["x.tmr"] == 100.0 and 0 < got["z.tmr"] < 1e-300


# -- the whole plan --------------------------------------------------------------------------------

ALL = [
    Timeout(instrument="x", late_s=0.7, probability=0.4, times="always"),
    Truncated(instrument="x", probability=0.3, times=4, keep=5, terminated=True),
    Garbled(instrument="x", probability=0.3, times="always"),
    Garbled(instrument="x", probability=0.3, times="always", direction="message"),
    LostMessage(instrument="x", probability=0.2, times="always"),
    LinkDown(instrument="x", message=7, for_s=1.5),
    PowerCycle(instrument="x", message=11, off_s=1.0),
    Overflow(instrument="x", first=4), Spike(instrument="x", height=1.0, probability=0.3),
    Switched(device="J1", instrument="x", message=5),
    Open(device="J1", terminal="x", instrument="x", reading=6),
    Telegraph(device="J1", terminal="x", step=0.1, up_hz=1.0, down_hz=1.0),
    JunctionDrift(device="J1", parameter="layer.k_t", per_hour=1e-3),
]  # fmt: skip


def live(plan, seconds):
    """A life with everything in it, second by second; what was seen of it."""
    seen = []
    for second in seconds:
        now = float(second)
        seen.append(plan.on_write("x", ":READ?", now))
        seen.append(plan.events(now))
        seen.append(plan.link("x", now, 0.0))
        plan.on_schedule("x", second, np.array([now]))
        got = plan.on_readings("x", second, np.ones(1), np.array([now]))
        seen.append((got.values.tolist(), None if got.marks is None else got.marks.tolist()))
        seen.append(plan.on_reply("x", ":READ?", DATA, now))
        seen.append(plan.take_late("x", 9, now))
        seen.append(plan.device("J1", now))
        seen.append(plan.resistance("J1", "x", np.array([now]), 0.5).tolist())
        seen.append(plan.drifted("J1", lambda name: 1e-3, now))
    return seen


def test_the_same_seed_gives_the_same_life():
    one, same, other = (FaultPlan(ALL, seed) for seed in (4, 4, 5))
    lives = [live(plan, range(1, 40)) for plan in (one, same, other)]
    assert lives[0] == lives[1] != lives[2]
    assert one.struck == same.struck != other.struck
    assert {struck.kind for struck in one.struck} == {fault.kind for fault in ALL}


def test_a_plan_goes_on_where_it_was_put_away():
    whole, before, after = (FaultPlan(ALL, 4) for _ in range(3))
    expected = live(whole, range(1, 40))
    half = live(before, range(1, 20))
    kept = json.loads(json.dumps(before.state()))
    after.restore(kept)
    assert half + live(after, range(20, 40)) == expected
    assert after.struck == whole.struck
    with pytest.raises(ValueError, match=r"of 13 faults; there are 0"):
        FaultPlan().restore(kept)


# -- the file --------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", EXAMPLES)
def test_the_examples_of_the_page_are_faults(text):
    [entry] = yaml.safe_load(text)
    [fault] = parse_faults([entry])
    assert type(fault) is KINDS[entry["kind"]]
    for key, value in entry.items():
        assert getattr(fault, key) == (None if value == "always" else value)


def test_every_kind_has_an_example_and_every_key_is_on_the_page():
    assert {yaml.safe_load(text)[0]["kind"] for text in EXAMPLES} == set(KINDS)
    named = set(re.findall(r"`([a-z_]+)\b[^`]*`", PAGE))
    assert {key for kind in KINDS.values() for key in kind.model_fields} - {"kind"} <= named
    assert set(KINDS) <= named


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        ({"kind": "fire"}, r"number 1: 'fire' is no kind of fault; there are timeout, .*"),
        ({}, r"number 1: a fault has a kind; write kind: and one of timeout, .*"),
        ("timeout", r"number 1: a fault has a kind; .*"),
        ({"kind": "timeout"}, r"number 1 \(timeout\): instrument: missing; give it \(name .*\)"),
        (
            {"kind": "timeout", "instrument": "x", "late": 1},
            r"number 1 \(timeout\): late: no such key; there are instrument, .*late_s",
        ),
        (
            {"kind": "timeout", "instrument": "x", "late_s": 0},
            r"number 1 \(timeout\): late_s: 0 s is out of range; it must be above 0 s and .*",
        ),
        (
            {"kind": "timeout", "instrument": "x", "probability": math.nan},
            r"number 1 \(timeout\): probability: nan is out of range; .*",
        ),
        (
            {"kind": "lost_message", "instrument": "x", "times": 0},
            r"number 1 \(lost_message\): times: 0 is no number of times; write 1 or more, .*",
        ),
        (
            {"kind": "lost_message", "instrument": "x", "message": True},
            r"number 1 \(lost_message\): message: True is no number to count to; .*",
        ),
        (
            {"kind": "lost_message", "instrument": "x", "header": "a b"},
            r"number 1 \(lost_message\): header: 'a b' is no header; .*",
        ),
        (
            {"kind": "overflow", "instrument": "x", "first": 3, "last": 2},
            r"number 1 \(overflow\): last is 2; it must be at least first, 3",
        ),
        (
            {"kind": "open", "device": "J1", "message": 2},
            r"number 1 \(open\): a message or reading is counted at an instrument; name it",
        ),
        (
            {"kind": "open", "device": "J1", "instrument": "x"},
            r"number 1 \(open\): instrument 'x' is given without a message, .*",
        ),
        (
            {"kind": "open", "device": "J1", "instrument": "x", "message": 1, "reading": 1},
            r"number 1 \(open\): it begins with a message or with a reading; .*",
        ),
        (
            {"kind": "stuck_relay", "instrument": "s", "relay": "11", "closed": True},
            r"number 1 \(stuck_relay\): relay: '11' is no relay; write slot!channel, .*",
        ),
        (
            {"kind": "junction_drift", "device": "J1", "parameter": "k"},
            r"number 1 \(junction_drift\): parameter: 'k' is no parameter of a junction; .*",
        ),
    ],
)
def test_a_mistake_is_told_in_one_sentence(entry, sentence):
    with pytest.raises(FaultError) as caught:
        parse_faults([entry])
    assert re.fullmatch(sentence, str(caught.value))


def test_a_list_that_is_none_is_told():
    with pytest.raises(FaultError, match="no list; write one entry a fault"):
        parse_faults({"kind": "timeout"})


def test_a_name_that_is_not_there_is_told():
    faults = parse_faults([{"kind": "nan", "instrument": "x"}, {"kind": "open", "device": "J1"}])
    check_names(faults, ["x", "z"], ["J1"])
    with pytest.raises(FaultError, match=r"number 1 \(nan\): .* named 'x'; there are a, b"):
        check_names(faults, ["a", "b"], ["J1"])
    with pytest.raises(FaultError, match=r"number 2 \(open\): .* named 'J1'; there are none"):
        check_names(faults, ["x"], [])


def test_a_fault_cannot_be_changed():
    with pytest.raises(ValidationError):
        Timeout(instrument="x").message = 2


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_every_key_is_described(kind):
    assert inspect.getdoc(kind)
    described = {key for key, field in kind.model_fields.items() if field.description}
    assert described == set(kind.model_fields) - {"kind"}
