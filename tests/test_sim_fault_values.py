"""Faults of triggers, readings, levels and devices, by number and time."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim_backend.faults import Event, FaultPlan, Struck
from sim_backend.faults_chance import Hops, uniforms
from sim_backend.faults_devices import WHOLE
from sim_backend.faults_kinds import (
    Compliance,
    Drift,
    JunctionDrift,
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
)
from sim_backend.faults_readings import Mark
from tests.fault_plans import arrivals

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
