"""Faults within a list sweep."""

import numpy as np
import pytest

from sim_backend.faults_kinds import (
    Drift,
    LostTrigger,
    Open,
    PowerCycle,
)
from tests.fault_benches import NOISE, line_a, swept
from tests.test_sim_instruments import LEVELS, SHORT, Lab

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


@pytest.mark.parametrize("noise", [{}, NOISE], ids=["meter", "barriers"])
def test_a_contact_that_opens_within_a_sweep_changes_those_points_alone(noise):
    _, x0, _ = swept(noise=noise)
    fault = Open(device="J1", terminal="x", instrument="x", reading=11, for_s=0.19)
    _, x, _ = swept(fault, noise=noise)
    off = np.flatnonzero(np.abs(x) < 1e-7)
    assert off.tolist() == [10, 11, 12, 13, 14]  # the last ends 0.1898 s after it has opened
    assert np.array_equal(x[:10], x0[:10])
    assert np.abs(x[15:] - x0[15:]).max() < (1e-9 if noise else 1e-30)


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
