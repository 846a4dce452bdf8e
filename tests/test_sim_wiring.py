"""Wires, relays and devices of a ``sim.yaml``, seen through the instruments' own commands."""

import copy
from importlib.resources import files

import numpy as np
import pytest
import yaml

from sim_backend.bench import SimBench
from sim_backend.truth import Truth, TruthError
from sim_backend.visa import open_bench

DEMO = yaml.safe_load(files("sim_backend").joinpath("demo.yaml").read_text("utf-8"))
GS = {"gs": {"address": "GPIB0::2::INSTR", "model": "yokogawags200"}}


class Bench:
    """A bench of the demonstration's file with more keys, and its instruments by name."""

    def __init__(self, **more):
        data = copy.deepcopy(DEMO)
        data["instruments"] |= more.pop("instruments", {})
        self.sim = SimBench(Truth.model_validate(data | {"read_noise_a": 0.0} | more))

    def write(self, name, *messages):
        for message in messages:
            self.sim.write(self.sim.by_name[name], message)

    def ask(self, name, message):
        self.write(name, message)
        reply = self.sim.take(self.sim.by_name[name], 10_000)
        assert reply is not None, message
        return reply[0].decode().strip()

    def select(self, *relays):
        self.write("x", ":OUTP OFF")  # no relay moves under voltage
        self.write("switch", ":OPEN ALL", f":CLOS (@{','.join(relays)})")

    def current(self, volt=0.02):
        self.write(
            "x", f"*RST;:SOUR:VOLT {volt};:SENS:CURR:PROT 1e-3;:SENS:CURR:RANG 1e-3",
            ":FORM:ELEM CURR;:OUTP ON",
        )  # fmt: skip
        return float(self.ask("x", ":READ?"))


def test_a_dummy_resistor_on_a_relay_obeys_ohms_law():
    """0.5 V over 10 kohm and the relay's 0.1 ohm."""
    bench = Bench(
        devices={"dummy": {"kind": "resistor", "ohm": 10_000}},
        wires=[["dummy.b", "earth"]],
        relays={"2!1": ["x.hi", "dummy.a"]},
    )
    bench.select("2!1")
    assert bench.current(0.5) == pytest.approx(0.5 / 10_000.1, rel=1e-5)
    bench.write("switch", ":OPEN ALL")
    assert abs(float(bench.ask("x", ":READ?"))) < 1e-11


def test_two_junctions_on_one_meter_add_their_currents():
    bench = Bench()
    alone = []
    for relays in (("1!1", "1!21"), ("1!2", "1!22")):
        bench.select(*relays)
        alone.append(bench.current())
    bench.select("1!1", "1!21", "1!2", "1!22")
    assert bench.current() == pytest.approx(sum(alone), rel=1e-4)


def test_a_thermometer_has_the_resistance_of_its_temperature():
    """Pt1000 at 25 °C: 1097.35 ohm (IEC 60751); through 0.1 ohm of relay."""
    bench = Bench(
        devices={"pt": {"kind": "thermometer", "chuck_c": 25.0}},
        wires=[["pt.b", "earth"]],
        relays={"2!1": ["x.hi", "pt.a"]},
    )
    bench.select("2!1")
    assert 0.02 / bench.current() == pytest.approx(1097.35 + 0.1, rel=1e-4)


def coil(**more):
    return Bench(
        instruments=GS,
        devices={"coil": {"kind": "bias_magnet", "field_constant_t_per_a": 0.02} | more},
        wires=[["gs.hi", "coil.a"], ["gs.lo", "coil.b"], ["coil.b", "earth"]],
    )


def test_a_bias_magnet_driven_by_a_gs200_moves_the_curve():
    """A field along -z and back: the junction's R_x at a fixed line current goes and comes."""
    bench = coil(ohm=12.0, henry=0.012)  # 1 ms
    bench.select("1!1", "1!21")
    bench.write("field", ":SOUR:CURR:RANG 0.1;:SOUR:CURR 5e-3;:OUTP ON")
    before = bench.current()
    bench.write("gs", ":SOUR:FUNC CURR;:SOUR:RANG 0.2", ":SOUR:LEV 0.1;:OUTP ON")
    bench.sim.pause(0.1)
    stiffer = bench.current()  # 2 mT more along +z: m turns less towards x
    assert stiffer < before * 0.995
    bench.write("gs", ":SOUR:LEV 0")
    bench.sim.pause(0.1)
    assert bench.current() == pytest.approx(before, rel=1e-5)


def test_a_bias_magnet_takes_its_time():
    """10 s for a coil of 1 - exp(-t/τ): after one τ it has reached 63 % of its field."""
    bench = coil(ohm=1.0, henry=10.0)
    bench.write("gs", ":SOUR:FUNC CURR;:SOUR:RANG 0.2", ":SOUR:LEV 0.1;:OUTP ON")
    start = bench.sim.clock.now_s
    bench.sim.pause(10.0 - (bench.sim.clock.now_s - start))
    bench.write("gs", "*OPC")  # whoever speaks next finds what has come to pass
    magnet = bench.sim.plant.devices["coil"]
    assert magnet.field_t == pytest.approx(2e-3 * (1 - np.exp(-1)), rel=0.01)


def pulsed():
    return Bench(
        instruments=GS,
        devices={"turner": {"kind": "polarizer", "turns": {"J1": "z"}, "scatter_rad": 0.0}},
        wires=[["gs.hi", "turner.a"], ["gs.lo", "turner.b"], ["turner.b", "earth"]],
    )


@pytest.mark.parametrize(("held_s", "turned"), [(5e-3, True), (0.0, False)])
def test_a_pulse_turns_the_polarizer_if_it_lasts(held_s, turned):
    """1 ms is needed; a level that is taken back at once does nothing if no time passes."""
    bench = pulsed()
    sim = bench.sim
    bench.write("gs", ":SOUR:FUNC VOLT;:SOUR:RANG 1;:SOUR:LEV 0;:OUTP ON")
    gs = sim.by_name["gs"]
    gs.state["level"] = 1.0
    sim.touch(always=True)
    sim.pass_time(held_s, "settle")
    sim.live_through()
    gs.state["level"] = 0.0
    sim.touch(always=True)
    turner = sim.plant.devices["turner"]
    assert (turner.pulses == 1) is turned
    assert turner.angle_rad == pytest.approx(np.pi / 2 if turned else 0.0)


def test_a_turned_polarizer_reads_another_direction():
    """R_z reads m_x after the pulse: it follows the sign of the line's current."""
    bench = pulsed()
    relays = ("1!1", "1!11", "1!21")
    bench.select(*relays)

    def z_current(line_a):
        bench.write("field", f":SOUR:CURR:RANG 0.1;:SOUR:CURR {line_a};:OUTP ON")
        bench.write("z", "*RST;:SOUR:VOLT 0.02;:SENS:CURR:RANG 1e-4;:FORM:ELEM CURR;:OUTP ON")
        return float(bench.ask("z", ":READ?"))

    before = z_current(10e-3), z_current(-10e-3)
    assert before[0] == pytest.approx(before[1], rel=0.03)
    bench.write("gs", ":SOUR:FUNC VOLT;:SOUR:RANG 1;:OUTP ON", ":SOUR:LEV 1")
    bench.sim.pause(0.01)
    bench.write("gs", ":SOUR:LEV 0")
    after = z_current(10e-3), z_current(-10e-3)
    assert after[0] > after[1] * 1.3


def test_a_field_line_with_too_much_current_burns_open():
    bench = Bench(line={"ohm": 50, "area_m2": 5e-13, "most_a_per_m2": 1e11})  # 50 mA
    bench.write("field", ":SOUR:CURR:RANG 0.1;:SOUR:CURR 0.049;:OUTP ON")
    assert not bench.sim.plant.line.burnt
    bench.write("field", ":SOUR:CURR 0.051")
    assert bench.sim.plant.line.burnt
    (when, what) = bench.sim.plant.events[-1]
    assert when == pytest.approx(bench.sim.clock.now_s, abs=0.01)
    assert "burns open" in what
    # A source that has lost its load goes to its compliance.
    assert int(bench.ask("field", ":STAT:MEAS?")) & 8


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"wires": [["y.hi", "earth"]]}, "wires.0: no terminal 'y.hi'; there are J1, J2"),
        ({"wires": [["x.high", "earth"]]}, "wires.0: no terminal 'x.high'; there are x.hi, x.lo"),
        (
            {"wires": [["x", "earth"]]},
            "wires.0.0: 'x' is no terminal; write earth or NAME.TERMINAL",
        ),
        ({"relays": {"3!1": ["x.hi", "earth"]}}, "'3!1' is no relay"),
        (
            {"devices": {"x": {"kind": "resistor"}}},
            "devices.x: an instrument is called 'x' already",
        ),
        ({"devices": {"d": {"kind": "capacitor"}}}, "devices.d: kind capacitor is not one of"),
        (
            {"devices": {"d": {"kind": "resistor", "ohm": -1}}},
            "devices.d.ohm: -1 ohm is out",
        ),
        (
            {"devices": {"p": {"kind": "polarizer", "turns": {"J9": "x"}}}},
            "devices.p.turns: there is no junction 'J9'",
        ),
    ],
)
def test_a_wire_that_leads_nowhere_is_one_sentence(tmp_path, more, says):
    file = tmp_path / "sim.yaml"
    file.write_text(yaml.safe_dump(DEMO | more), "utf-8")
    with pytest.raises(TruthError) as caught:
        open_bench(str(file))
    assert str(caught.value).startswith(f"{file}: ")
    assert says in str(caught.value)


def test_relays_that_move_under_any_source_spike_the_junction():
    """A GS200 at 0.3 V on a relay of its own."""
    bench = Bench(instruments=GS, wires=[["gs.lo", "earth"]], relays={"2!1": ["gs.hi", "J1.x"]})
    bench.write("gs", ":SOUR:FUNC VOLT;:SOUR:RANG 1;:SOUR:LEV 0;:OUTP ON")
    bench.select("1!21", "2!1")
    assert bench.sim.hot_switches == 0
    bench.write("gs", ":SOUR:LEV 0.3")
    bench.write("switch", ":OPEN (@2!1)")
    assert bench.sim.hot_switches == 1
    assert bench.sim.junctions[0].broken


def test_a_burst_of_readings_in_a_sweep_sees_every_level():
    """50 readings over a list of five levels of 0.2 s: as the meter alone would see each level."""
    levels = np.linspace(-0.02, 0.02, 5)

    def prepared():
        bench = Bench()
        bench.select("1!1", "1!21")
        bench.write("x", ":SOUR:VOLT 0.02;:SENS:CURR:RANG 1e-5;:SENS:CURR:PROT 1e-5",
                    ":FORM:ELEM CURR;:SYST:AZER:STAT OFF;:OUTP ON")  # fmt: skip
        bench.write("field", ":SOUR:CURR:RANG 0.1;:OUTP ON")
        return bench

    alone = prepared()
    still = []
    for level in levels:
        alone.write("field", f":SOUR:CURR {level}")
        still.append(float(alone.ask("x", ":READ?")))
    swept = prepared()
    listed = ",".join(f"{level:g}" for level in levels)
    swept.write("field", ":SOUR:SWE:SPAC LIST;:SOUR:SWE:RANG FIX", f":SOUR:LIST:CURR {listed}",
                ":SOUR:LIST:DEL .2,.2,.2,.2,.2;:SOUR:LIST:COMP 10,10,10,10,10",
                ":SOUR:SWE:ARM;:INIT")  # fmt: skip
    seen = [float(v) for v in swept.ask("x", ":TRIG:COUN 50;:READ?").split(",")]
    assert len(seen) == 50
    near = np.abs(np.array(seen)[:, None] - still).argmin(axis=1)
    off = np.abs(np.array(still)[near] / seen - 1) > 1e-4
    assert off.sum() <= len(levels) - 1  # those in which the level changes see the mean
    assert np.all(np.diff(np.flatnonzero(off)) > 1)
    assert sorted(set(near.tolist())) == list(range(len(still)))
    assert np.all(np.diff(near) >= 0)


@pytest.mark.parametrize("name", ["J1", "line", "a.b"])
def test_a_device_cannot_take_the_name_of_another_thing(name):
    with pytest.raises(TruthError, match=r"already|is no name"):
        Bench(devices={name: {"kind": "resistor"}})
