"""Faults of devices and relays at the whole bench."""

import numpy as np
import pytest

from sim_backend.faults_kinds import (
    JunctionDrift,
    Open,
    Short,
    StuckRelay,
    Switched,
    Telegraph,
)
from sim_backend.truth import load_truth
from tests.fault_benches import (
    ONE,
    Visa,
    line_a,
    readings,
)
from tests.test_sim_instruments import Lab


@pytest.fixture
def visa(request):
    made = Visa(request.node.name)
    yield made
    made.manager.close()


# -- devices and relays ----------------------------------------------------------------------------


def test_a_contact_opens_as_a_reading_begins_and_closes_again(visa):
    meter = visa.meter()
    whole = readings(meter)[0]
    n = visa.bench.by_name["x"].taken
    visa.faults.add(Open(device="J1", terminal="x", instrument="x", reading=n + 3, for_s=0.13))
    meter.write(":TRIG:COUN 6")
    off = np.abs(readings(meter)[0]) < 0.2 * whole
    assert off.tolist() == [False, False, True, True, False, False]


def stuck(relay, closed, **when):
    return StuckRelay(instrument="switch", relay=relay, closed=closed, **when)


def test_a_stuck_relay_counts_and_not_what_the_switch_says():
    lab = Lab(read_noise_a=0.0)
    lab.select()
    lab.write("z", ":OUTP OFF")
    whole = lab.read()
    lab.write("x", ":OUTP OFF")
    lab.bench.faults.add(stuck("1!1", False, from_s=lab.now_s, for_s=0.5))
    lab.write("x", ":OUTP ON")
    assert abs(lab.read()) < 1e-3 * whole
    assert "1!1," in lab.ask("switch", ":CLOS:STAT?")
    lab.write("x", ":OUTP OFF")
    lab.bench.pause(1.0)
    lab.write("x", ":OUTP ON")
    assert lab.read() == pytest.approx(whole, rel=1e-6)
    assert lab.bench.hot_switches == 0 and not any(j.broken for j in lab.bench.junctions)


@pytest.mark.parametrize(
    ("relay", "closed", "broken"),
    [
        ("1!1", False, ["J1"]),  # it opens under its junction
        ("1!21", False, ["J1"]),
        ("1!2", True, []),  # J2 is joined at one end alone: no current
    ],
)
def test_a_relay_that_moves_by_itself_under_voltage_spikes_what_carries_current(
    relay, closed, broken
):
    lab = Lab()
    lab.select()
    lab.bench.faults.add(stuck(relay, closed, from_s=lab.now_s + 1))
    assert not any(j.broken for j in lab.bench.junctions)
    lab.bench.pause(2)
    assert [j.name for j in lab.bench.junctions if j.broken] == broken
    assert lab.bench.hot_switches == 1


@pytest.mark.parametrize(("relay", "closed"), [("1!1", True), ("1!2", False)])
def test_a_relay_that_sticks_as_it_is_does_not_move(relay, closed):
    lab = Lab()
    lab.select()
    lab.bench.faults.add(stuck(relay, closed, from_s=lab.now_s + 1))
    lab.bench.pause(2)
    assert lab.bench.hot_switches == 0 and not lab.bench.junctions[0].broken


def test_a_relay_that_comes_free_under_voltage_spikes_its_junction():
    lab = Lab()
    lab.bench.faults.add(stuck("1!1", False, for_s=5.0))
    lab.select()
    assert abs(lab.read()) < 1e-9 * 20 + 1e-8 and not lab.bench.junctions[0].broken
    lab.bench.pause(10.0 - lab.now_s)
    assert lab.bench.junctions[0].broken and lab.bench.hot_switches == 1
    assert lab.read() == pytest.approx(105e-6, rel=1e-3)


def test_a_relay_that_moves_with_a_message_does_so_before_it():
    lab = Lab()
    lab.select()
    lab.bench.faults.add(stuck("1!1", False, header="DISPlay:ENABle"))
    lab.read()
    assert not lab.bench.junctions[0].broken
    lab.write("switch", ":DISP:ENAB ON")
    assert lab.bench.junctions[0].broken


def test_relays_that_move_without_voltage_harm_nothing():
    lab = Lab()
    lab.select(volt=0)
    lab.bench.faults.add(stuck("1!1", False, from_s=lab.now_s + 1, for_s=1.0))
    lab.bench.pause(3)
    assert lab.bench.hot_switches == 0 and not lab.bench.junctions[0].broken


def test_a_welded_relay_leaves_its_junction_at_the_meter_beside_the_next_one():
    alone = Lab(read_noise_a=0.0)
    apart = {}
    for name in ("J1", "J2"):
        alone.select(name)
        apart[name] = alone.read()
        for meter in ("x", "z"):
            alone.write(meter, ":OUTP OFF")
    lab = Lab(read_noise_a=0.0)
    for relay in ("1!1", "1!21"):
        lab.bench.faults.add(stuck(relay, True))
    lab.select("J2")
    assert lab.ask("switch", ":CLOS:STAT?") == "(@1!2,1!12,1!22)"
    # J1 conducts between meter x and its low: both currents through one meter, by Kirchhoff, less
    # what flows back through J1's z barrier, which no meter holds.
    assert lab.read() == pytest.approx(sum(apart.values()), rel=1e-2)
    assert lab.read("z") == pytest.approx(alone_z(alone), rel=1e-3)
    assert lab.bench.hot_switches == 0


def alone_z(lab):
    lab.select("J2")
    return lab.read("z")


def test_a_welded_relay_carries_the_voltage_that_destroys_its_junction_with_the_other():
    lab = Lab()
    for relay in ("1!1", "1!21"):
        lab.bench.faults.add(stuck(relay, True))
    lab.select("J2")
    lab.write("x", ":SOUR:VOLT:RANG 20;:SOUR:VOLT 5;:SENS:CURR:PROT 0.01")
    lab.read()
    assert [j.name for j in lab.bench.junctions if j.broken] == ["J1", "J2"]


def test_a_welded_relay_is_not_opened_hot_and_the_others_are():
    lab = Lab()
    lab.select()
    lab.bench.faults.add(stuck("1!1", True))
    lab.write("switch", ":OPEN (@1!1)")
    assert lab.bench.hot_switches == 0 and not lab.bench.junctions[0].broken
    lab.write("switch", ":OPEN (@1!11)")
    assert lab.bench.hot_switches == 1 and lab.bench.junctions[0].broken


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
