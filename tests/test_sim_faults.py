"""Faults strike where they are scripted, leave a line in the log, and touch nothing else."""

import inspect
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from pydantic import ValidationError

from sim_backend.faults import FaultPlan
from sim_backend.faults_devices import WHOLE
from sim_backend.faults_kinds import (
    KINDS,
    Drift,
    FaultError,
    Garbled,
    JunctionDrift,
    LinkDown,
    LostMessage,
    LostTrigger,
    Open,
    Overflow,
    PowerCycle,
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
from tests.fault_plans import DATA

PAGE = (Path(__file__).parents[1] / "docs/reference/faults.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^ +(- \{kind: .*\})$", PAGE, flags=re.MULTILINE)


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
    assert {event.name for event in plan.events(5.0)} <= {"other"}
    assert plan.struck == []


def test_without_faults_nothing_cuts_a_sweep():
    assert FaultPlan().cuts(np.arange(5.0)) == [slice(0, 5)]
    assert FaultPlan().cuts(np.empty(0)) == []
    assert math.isinf(FaultPlan().next_event_s())


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
            {"kind": "stuck_relay", "instrument": "s", "relay": "1!41", "closed": True},
            r"number 1 \(stuck_relay\): relay: '1!41' is no relay; .* slot 1 or 2 and channel 1 .*",
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
