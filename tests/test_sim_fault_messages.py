"""Faults of messages, replies, link and power: which are struck, and what comes of them."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyvisa.constants import StatusCode

from sim_backend.faults import Event, FaultPlan, Struck
from sim_backend.faults_chance import flipped
from sim_backend.faults_header import names
from sim_backend.faults_kinds import (
    Garbled,
    LinkDown,
    LostMessage,
    PowerCycle,
    Timeout,
    Truncated,
)
from sim_backend.faults_messages import Reply
from tests.fault_plans import DATA, arrivals, replies, untouched

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
