"""Faults of all kinds at once: what holds whatever goes wrong, and what is refused."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim_backend.bench import SimBench
from sim_backend.faults_kinds import (
    Drift,
    Garbled,
    JunctionDrift,
    LinkDown,
    LostMessage,
    LostTrigger,
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
from sim_backend.truth import TruthError, load_truth
from tests.fault_benches import (
    NO_ERROR,
    NOISE,
    line_a,
    swept,
)
from tests.test_sim_instruments import LEVELS, SHORT, Lab

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
