"""Things at the bench that are no instruments: formulas, limits, and what they remember."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from sim_backend.circuit import EARTH, CurrentSource, VoltageSource, join, solve
from sim_backend.devices import (
    BenchCircuit,
    Beneath,
    BiasMagnet,
    BiasMagnetModel,
    FieldLine,
    FieldLineModel,
    Junction,
    OpenContact,
    OpenContactModel,
    Points,
    Polarizer,
    PolarizerModel,
    Resistor,
    ResistorModel,
    StateError,
    Thermometer,
    ThermometerModel,
)
from sim_backend.devices.passive import celsius, platinum
from sim_backend.llg.junction import JunctionModel
from sim_backend.llg.model import FreeLayer
from sim_backend.llg.presets import PRESETS
from sim_backend.magnet import FreeMagnet, Levels
from sim_backend.readout import ReferenceLayer
from tests.star import star_currents

MODELS = [
    ResistorModel, OpenContactModel, ThermometerModel, FieldLineModel, BiasMagnetModel,
    PolarizerModel,
]  # fmt: skip


def points(count, each_s=0.02, start_s=0.0, window_s=0.02):
    edges = start_s + each_s * np.arange(count + 1)
    return Points(edges[:-1], edges[1:], window_s)


def drive(device, values, kind=CurrentSource, each_s=0.02, start_s=0.0):
    """Terminal a at a source, b at earth; what has come to pass."""
    values = np.atleast_1d(np.asarray(values, dtype=float))
    when = points(len(values), each_s, start_s)
    source = kind(device.node("a"), EARTH, values)
    elements = [source, *device.elements(when)]
    solution = solve(elements, join([(device.node("b"), EARTH)]), len(when))
    return when, source, solution


def passes(device, values, kind=CurrentSource, **more):
    when, _, solution = drive(device, values, kind, **more)
    return device.absorb(solution, when)


# -- parameters -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "name", "value", "says"),
    [
        (ResistorModel, "ohm", 0, "0 ohm is out of range; it must be at least 0.001 ohm"),
        (ThermometerModel, "chuck_c", 900, "900 degC is out of range; it must be at least -200"),
        (FieldLineModel, "area_m2", 0, "0 m^2 is out of range; it must be above 0 m^2"),
        (FieldLineModel, "ohm", "50 ohm", "'50 ohm' is not a number; write a valid number in ohm"),
        (BiasMagnetModel, "henry", -1, "-1 H is out of range; it must be at least 0 H"),
        (PolarizerModel, "scatter_rad", math.nan, "nan rad is out of range"),
    ],
)
def test_a_bad_parameter_is_named_with_value_and_range(kind, name, value, says):
    with pytest.raises(ValidationError) as caught:
        kind(**{name: value})
    (error,) = caught.value.errors()
    assert error["loc"] == (name,)
    assert says in error["msg"]


@pytest.mark.parametrize("kind", MODELS)
def test_an_unknown_parameter_is_refused_and_every_one_is_described(kind):
    with pytest.raises(ValidationError, match="Extra inputs"):
        kind(colour=1)
    assert all(field.description for field in kind.model_fields.values())


# -- passive things -------------------------------------------------------------------------------


def test_a_resistor_has_its_resistance_until_its_power_burns_it():
    resistor = Resistor("R", ResistorModel(ohm=1e3, most_w=0.1))
    _, source, solution = drive(resistor, [1e-3, -2e-3])
    np.testing.assert_allclose(solution.across(source), [1.0, -2.0], rtol=1e-6)
    assert passes(resistor, [9.9e-3]) == []
    assert passes(resistor, [0.011]) == ["R burns open at 0.121 W; it bears 0.1 W"]
    _, source, solution = drive(resistor, [1.0], VoltageSource)
    assert abs(solution.current(source)[0]) < 1e-11
    assert passes(resistor, [0.0]) == []


def test_an_open_contact_is_a_teraohm():
    _, source, solution = drive(OpenContact("o", OpenContactModel()), [1.0], VoltageSource)
    assert solution.current(source)[0] == pytest.approx(2e-12, rel=1e-6)  # and as much leaks


@pytest.mark.parametrize(
    ("degc", "ohm"), [(0, 1000.0), (100, 1385.06), (-100, 602.56), (850, 3904.81), (-200, 185.20)]
)
def test_a_thermometer_follows_the_tables_of_iec_60751(degc, ohm):
    """Pt100 tables of IEC 60751, times ten (from memory)."""
    model = ThermometerModel(chuck_c=degc)
    _, source, solution = drive(Thermometer("t", model), [1e-4])
    assert solution.across(source)[0] / 1e-4 == pytest.approx(ohm, abs=0.06)


def test_a_resistance_gives_the_temperature_back():
    assert celsius(float(platinum(np.array(37.5)))) == pytest.approx(37.5, abs=1e-9)


def test_the_chuck_drifts_with_bench_time_and_stays_where_the_standard_holds():
    chuck = Thermometer("t", ThermometerModel(chuck_c=20, drift_c_per_s=0.5))
    np.testing.assert_allclose(chuck.temperature_c(np.array([0.0, 10.0, 1e9])), [20, 25, 850])
    _, source, solution = drive(chuck, [1e-4, 1e-4], start_s=10.0)
    # Read over the 20 ms of each point.
    expected = 1000 * platinum(np.array([25.005, 25.015]))
    np.testing.assert_allclose(solution.across(source) / 1e-4, expected, rtol=1e-7)


# -- field line -----------------------------------------------------------------------------------


@given(st.floats(-0.05, 0.05))
@settings(max_examples=25, deadline=None, derandomize=True)
def test_a_line_s_resistance_and_heat_agree_with_each_other(ampere):
    """R = R0 (1 + α ϑ I² R), that is R0/(1 - R0 α ϑ I²)."""
    model = FieldLineModel(ohm=50, alpha_per_k=3e-3, heating_k_per_w=400, most_a_per_m2=1e13)
    line = FieldLine("line", model)
    _, source, solution = drive(line, [ampere])
    ohm = 50 / (1 - 50 * 3e-3 * 400 * ampere**2)
    assert solution.across(source)[0] == pytest.approx(ohm * ampere, rel=1e-7, abs=1e-12)
    rise_k = line.temperature_rise_k(solution)[0]
    assert rise_k == pytest.approx(400 * ohm * ampere**2, rel=1e-7, abs=1e-9)
    assert ohm == pytest.approx(50 * (1 + 3e-3 * rise_k), rel=1e-7)


def test_a_line_burns_open_at_its_current_density_and_stays_so():
    line = FieldLine("line", FieldLineModel(area_m2=2e-14, most_a_per_m2=1e12))
    assert passes(line, [0.0199]) == []
    when, _, solution = drive(line, [0.0, -0.021, 0.03])
    assert line.breaks(solution, when) == 1
    (said,) = passes(line, [-0.021])
    assert said == "line burns open at 1.05e+12 A/m^2; it bears 1e+12 A/m^2"
    _, _, solution = drive(line, [1.0], VoltageSource)
    assert line.current_a(solution)[0] == 0
    assert passes(line, [1.0], VoltageSource) == []


def test_a_dielectric_breaks_at_the_end_that_has_the_voltage():
    line = FieldLine("line", FieldLineModel(ohm=50, dielectric_v=10, most_a_per_m2=1e13))
    joined = join([("line.b", "lo"), ("line.below", EARTH), ("lo", EARTH)])

    def circuit(volt):
        when = points(1)
        source = VoltageSource("line.a", "lo", volt)
        return when, source, solve([source, *line.elements(when)], joined)

    when, _, solution = circuit(9.9)
    assert line.absorb(solution, when) == []
    when, _, solution = circuit(-10.5)
    (said,) = line.absorb(solution, when)
    assert said == "line's dielectric breaks at end a at 10.5 V; it bears 10 V"
    assert (line.leaks_a, line.leaks_b) == (True, False)
    when, source, solution = circuit(1.0)
    # The line's 50 ohm beside the 50 ohm of the hole.
    assert solution.current(source)[0] == pytest.approx(0.04, rel=1e-6)
    when, _, solution = circuit(12.0)
    assert line.absorb(solution, when) == []  # it is broken already


def test_a_line_that_has_a_constant_gives_it_to_the_junctions_beneath():
    own = JunctionModel()
    assert FieldLineModel().give(own) == own
    given_ = FieldLineModel(field_constant_t_per_a=0.9, tilt_rad=0.1).give(own)
    assert given_.layer.field_constant_t_per_a == 0.9
    assert given_.layer.tilt_rad == 0.1
    assert given_.layer.k_t == own.layer.k_t


# -- bias magnet ----------------------------------------------------------------------------------


def test_the_field_of_a_coil_goes_after_its_current():
    """1 - exp(-t/τ), τ = L/R, and points that are split change nothing."""
    model = BiasMagnetModel(field_constant_t_per_a=0.02, ohm=12, henry=0.06)
    assert model.tau_s == pytest.approx(5e-3)
    coil, other = BiasMagnet("coil", model), BiasMagnet("coil", model)
    when, _, solution = drive(coil, [0.5] * 6, each_s=2e-3)
    expected = 0.01 * (1 - np.exp(-2e-3 * np.arange(1, 7) / 5e-3))
    np.testing.assert_allclose(coil.fields(solution, when), expected, rtol=1e-6)
    coil.absorb(solution, when)
    passes(other, [0.5] * 2, each_s=2e-3)
    passes(other, [0.5], each_s=8e-3)
    assert other.field_t == pytest.approx(coil.field_t, rel=1e-6)


def test_a_coil_without_iron_remembers_nothing_and_one_with_iron_its_remanence():
    loop = [0.5, 0.0, -0.5, 0.0, 0.5]
    for remanence, expected in ((0.0, [10, 0, -10, 0, 10]), (1e-3, [9, 1, -9, -1, 9])):
        coil = BiasMagnet("coil", BiasMagnetModel(remanence_t=remanence))
        when, _, solution = drive(coil, loop, each_s=10.0)
        np.testing.assert_allclose(
            coil.fields(solution, when), np.array(expected) * 1e-3, rtol=1e-5, atol=1e-12
        )


def test_a_coil_burns_open_above_its_current():
    coil = BiasMagnet("coil", BiasMagnetModel(most_a=0.2))
    assert passes(coil, [0.19, -0.2 * (1 - 1e-6)]) == []
    assert passes(coil, [-0.3]) == ["coil burns open at 0.3 A; it bears 0.2 A"]
    passes(coil, [1.0], VoltageSource, each_s=10.0)
    assert coil.field_t == pytest.approx(0.0, abs=1e-12)


# -- polarizer ------------------------------------------------------------------------------------

STIFF = PolarizerModel(threshold_v=0.5, pulse_s=1e-3, scatter_rad=0.0)


def test_a_pulse_turns_a_polarizer_if_it_is_high_and_long_enough():
    one = Polarizer("p", STIFF, seed=1)
    for volt, each_s, angle in (
        ([0.49], 1.0, 0.0),  # too low
        ([0.6, 0.0], 0.9e-3, 0.0),  # too short
        ([0.6, 0.7], 0.5e-3, math.pi / 2),  # long enough in two points
        ([-0.6, 0.6], 0.9e-3, math.pi / 2),  # neither is
        ([-0.6], 1e-3, 0.0),
    ):
        passes(one, volt, VoltageSource, each_s=each_s)
        assert one.angle_rad == angle
    assert one.pulses == 2


def test_one_pulse_turns_it_once_however_it_is_divided():
    one, other = (Polarizer("p", PolarizerModel(), seed=1) for _ in range(2))
    passes(one, [1.0], VoltageSource, each_s=10e-3)
    for _ in range(10):
        passes(other, [1.0], VoltageSource, each_s=1e-3)
    assert one.pulses == other.pulses == 1
    assert one.angle_rad == other.angle_rad


def angles(seed, count, name="p", **model):
    one = Polarizer(name, PolarizerModel(**model), seed)
    found = []
    for volt in [1.0, -1.0] * (count // 2):
        passes(one, [volt], VoltageSource, each_s=1e-3)
        found.append(one.angle_rad - (math.pi / 2 if volt > 0 else 0.0))
    return np.array(found)


def test_the_angle_scatters_by_seed_and_name_and_pulse():
    off = angles(3, 200, scatter_rad=0.02)
    # Deviation of a standard deviation from 200 numbers: 5 %.
    assert off.std() == pytest.approx(0.02, rel=0.2)
    assert abs(off.mean()) < 4 * 0.02 / math.sqrt(200)
    np.testing.assert_array_equal(off[:10], angles(3, 10, scatter_rad=0.02))
    assert not np.allclose(off[:10], angles(4, 10, scatter_rad=0.02))
    assert not np.allclose(off[:10], angles(3, 10, name="q", scatter_rad=0.02))


def test_a_worn_polarizer_misses_by_more():
    """Twice the scatter after as many pulses more as it lasts."""
    fresh, worn = angles(3, 60, wear_pulses=1e6), angles(3, 60, wear_pulses=10)
    np.testing.assert_array_equal(fresh[:10], worn[:10])
    assert worn[19] == pytest.approx(2 * fresh[19])
    assert worn[39] == pytest.approx(4 * fresh[39])


def test_too_high_a_pulse_burns_a_polarizer_and_no_pulse_turns_it_then():
    one = Polarizer("p", STIFF, seed=1)
    assert passes(one, [-2.5], VoltageSource) == ["p burns open at 2.5 V; it bears 2 V"]
    passes(one, [1.0], VoltageSource)
    assert one.angle_rad == 0.0


# -- junction -------------------------------------------------------------------------------------

CURRENT = np.linspace(-0.02, 0.02, 9)
PLAIN = JunctionModel()
LINE, COIL = FieldLineModel(), BiasMagnetModel()
#: stable without a bias, barrier 60 kT
STABLE = JunctionModel(layer=FreeLayer(k_t=8e-3, k2_t=0, hz_t=0.0, tilt_rad=0.5))
SWITCH = np.concatenate((np.linspace(0, -0.04, 21), np.linspace(-0.04, 0.0, 21)))


class Bench:
    """A junction beneath a line, two meters, a coil."""

    def __init__(self, model=PLAIN, physics="equilibrium", line=LINE, coil=COIL, polarizer=None):
        self.junction = Junction("J", model, physics, seed=5)
        self.line, self.coil = FieldLine("line", line), BiasMagnet("coil", coil)
        self.polarizer = polarizer
        beneath = Beneath(self.line, [self.coil], {"x": polarizer} if polarizer else {})
        wires = [("J.low", EARTH), ("line.b", EARTH), ("coil.b", EARTH)]
        devices = [self.junction, self.line, self.coil, *([polarizer] if polarizer else [])]
        self.circuit = BenchCircuit(devices, {"J": beneath}, join(wires))
        self.now_s = 0.0

    def read(self, line_a, v_x=0.02, v_z=0.02, coil_a=0.0, each_s=0.02):
        """Currents of both meters, A, [P, 2]; what broke."""
        line_a = np.atleast_1d(line_a)
        count = len(line_a)
        v_x, v_z = np.broadcast_to(v_x, count), np.broadcast_to(v_z, count)

        def instruments(at):
            return [
                VoltageSource("J.x", EARTH, v_x[at], most_a=1e-3),
                VoltageSource("J.z", EARTH, v_z[at], most_a=1e-3),
                CurrentSource("line.a", EARTH, line_a[at], most_v=100.0),
                CurrentSource("coil.a", EARTH, coil_a, most_v=100.0),
            ]

        parts = self.circuit.run(points(count, each_s, self.now_s, each_s), instruments)
        self.now_s += count * each_s
        i = [[part.solution.current(part.instruments[k]) for part in parts] for k in (0, 1)]
        return np.stack([np.concatenate(side) for side in i], axis=1), [
            event for part in parts for event in part.events
        ]


def readout(model, m, b_t, v=0.02):
    """The same by the star's formula; barriers have their bias less 0.1 %."""
    g = [side.conductance_s(m, b_t, v) for side in (model.x, model.z)]
    return np.stack(star_currents(*g, v, v, model.common_ohm), axis=1)


@pytest.mark.parametrize("physics", ["equilibrium", "wells", "llg"])
def test_a_junction_reads_what_its_free_layer_and_the_star_say(physics):
    found, events = Bench(physics=physics).read(CURRENT)
    magnet = FreeMagnet("J", PLAIN, physics, 5)
    when = points(len(CURRENT))
    m = magnet.read(Levels(CURRENT, when.begins_s, when.ends_s, 0.02), 0.0, 0.0).mean
    b = magnet.ensemble(0.0, 0.0).line_field_t(CURRENT)[0]
    np.testing.assert_allclose(found, readout(PLAIN, m, b), rtol=2e-5)
    assert events == []
    assert np.ptp(found[:, 0]) > 3e-7  # it responds at all


def test_a_barrier_has_the_conductance_of_its_own_voltage():
    """Driven by a current: V = I/G(V), the reference layer's own formula."""
    junction = Junction("J", PLAIN, "equilibrium", seed=0)
    when, ampere = points(3), np.array([1e-5, -2e-5, 4e-5])
    source = CurrentSource("J.x", "J.low", ampere, most_v=5.0)
    joined = join([("J.low", EARTH)])
    guess = {"x": np.ones(3), "z": np.zeros(3)}
    solution = solve([source, *junction.elements(when, CURRENT[:3], volts=guess)], joined)
    volt = junction.volts(solution)["x"]
    b = FreeMagnet("J", PLAIN, "equilibrium", 0).ensemble(0, 0).line_field_t(CURRENT[:3])[0]
    for i in range(3):
        g = PLAIN.x.conductance_s(junction.motion.mean[i], b[i], volt[i])
        assert g * volt[i] == pytest.approx(ampere[i], rel=1e-7)
    assert np.abs(volt).max() > 0.3  # where the bias counts


def test_a_bias_magnet_s_field_adds_to_the_junction_s_own():
    coil = BiasMagnetModel(field_constant_t_per_a=0.01, henry=0.0)
    found, _ = Bench(coil=coil).read(CURRENT, coil_a=0.1)
    own = PLAIN.changed({"layer.hz_t": PLAIN.layer.hz_t + 1e-3})
    expected, _ = Bench(own).read(CURRENT)
    # The field along z also turns the reference layers, by 1e-3 rad.
    np.testing.assert_allclose(found, expected, rtol=2e-3)
    assert np.abs(found - Bench().read(CURRENT)[0]).max() > 3e-8


def test_a_polarizer_turns_a_junction_s_reference_layer():
    polarizer = Polarizer("p", STIFF, seed=1)
    both = PLAIN.changed({"z.r_parallel_ohm": PLAIN.x.r_parallel_ohm})
    bench = Bench(both, polarizer=polarizer)
    as_z, _ = bench.read(CURRENT)
    passes(polarizer, [1.0], VoltageSource)
    as_x, _ = bench.read(CURRENT)
    np.testing.assert_allclose(as_z[:, 0], as_z[:, 1], rtol=1e-9)
    np.testing.assert_allclose(as_x, Bench(both).read(CURRENT)[0], rtol=1e-9)
    assert np.ptp(as_x[:, 0]) > 2 * np.ptp(as_z[:, 0])


def test_a_barrier_breaks_above_its_voltage_and_the_points_after_it_find_it_shorted():
    bench = Bench()
    v_x = np.array([0.02, 0.99, 0.02, 1.2, 0.02, 0.02])
    found, events = bench.read(np.zeros(6), v_x=v_x)
    assert bench.junction.shorted == {"x": True, "z": False}
    assert len(events) == 1
    assert events[0].startswith("J's barrier x breaks through at 1.19")
    assert events[0].endswith("it bears 1 V")
    assert found[2, 0] == pytest.approx(found[0, 0], rel=1e-9)
    # 50 ohm and the shared 6 ohm; the other meter's current makes 12 µV of it.
    np.testing.assert_allclose(found[4:, 0], 0.02 / 56, rtol=2e-3)
    again, _ = bench.read(np.zeros(1))
    assert again[0, 0] == pytest.approx(found[5, 0], rel=1e-6)


def test_a_voltage_without_a_rest_state_that_breaks_the_barrier_breaks_it():
    """At 1.2 V the anisotropy would leave no single well; the barrier is gone first."""
    side = dict(vcma_j_per_v_m=-3e-13, vcma_at_v=0.0)
    model = JunctionModel(x=ReferenceLayer(angle_rad=math.pi / 2, **side), z=ReferenceLayer(**side))
    _, events = Bench(model).read([0.0], v_x=1.2, v_z=1.2)
    assert len(events) == 2
    assert "barrier x breaks" in events[0]
    assert "barrier z breaks" in events[1]


def two(joined):
    """Two stable junctions beneath one line; only the first is read."""
    line = FieldLine("line", LINE)
    both = [Junction(name, STABLE, "wells", seed=1) for name in ("J1", "J2")]
    wires = [("line.b", EARTH), ("J1.low", EARTH), *joined]
    beneath = {j.name: Beneath(line) for j in both}
    return both, BenchCircuit([line, *both], beneath, join(wires))


def run(circuit, line_a, start_s=0.0):
    def instruments(at):
        sources = [VoltageSource(f"J1.{side}", EARTH, 0.02) for side in "xz"]
        return [*sources, CurrentSource("line.a", EARTH, line_a[at])]

    return circuit.run(points(len(line_a), start_s=start_s), instruments)


@pytest.mark.parametrize("joined", [[], [("J2.low", EARTH)]])
def test_a_junction_that_is_not_connected_sees_the_field_of_the_line_too(joined):
    (one, other), circuit = two(joined)
    run(circuit, SWITCH)
    assert not one.state()["magnet"]["up"]
    assert not other.state()["magnet"]["up"]
    assert other.motion is None  # nobody has read it


def test_junctions_in_a_row_carry_one_current():
    (one, other), circuit = two([("J1.x", "J2.x"), ("J2.low", EARTH)])
    (part,) = run(circuit, np.zeros(2))
    volts = [j.volts(part.solution)["x"] for j in (one, other)]
    assert np.abs(volts).min() > 0.019
    source = part.solution.current(part.instruments[0])
    assert (source > 1.5 * part.solution.current(part.instruments[1])).all()


def test_hot_switching_takes_both_barriers_and_an_open_contact_its_current():
    bench = Bench()
    bench.junction.open_contacts.add("z")
    found, _ = bench.read(np.zeros(1))
    assert found[0, 0] > 1e-6
    assert abs(found[0, 1]) < 1e-12
    bench.junction.open_contacts.clear()
    bench.junction.spike()
    found, _ = bench.read(np.zeros(1))
    np.testing.assert_allclose(found[0], 0.02 / (50 + 12), rtol=1e-5)


def test_a_line_that_burns_in_a_sweep_makes_no_field_from_there_on():
    line = FieldLineModel(area_m2=1e-14, most_a_per_m2=1e12)
    bench, whole = Bench(line=line), Bench()
    path = np.array([0.0, 0.005, 0.011, 0.008, -0.009])
    found, events = bench.read(path)
    np.testing.assert_allclose(found[:3], whole.read(path[:3])[0], rtol=1e-9)
    np.testing.assert_allclose(found[3:], whole.read(np.zeros(2))[0], rtol=1e-9)
    assert events[0] == "line burns open at 1.1e+12 A/m^2; it bears 1e+12 A/m^2"
    # The source has lost its load and goes to its limit of 100 V.
    assert events[1].startswith("line's dielectric breaks at end a at 99.9")
    assert events[1].endswith("it bears 20 V")


@pytest.mark.parametrize("physics", ["wells", "llg"])
def test_fields_that_nobody_reads_switch_a_junction_all_the_same(physics):
    read, unread = Bench(STABLE, physics), Bench(STABLE, physics)
    before, _ = unread.read([0.0])
    read.read(SWITCH)
    unread.read(SWITCH, v_x=0.0, v_z=0.0)
    after = [bench.read([0.0])[0] for bench in (read, unread)]
    np.testing.assert_allclose(*after, rtol=1e-6)
    assert after[0][0, 1] < 0.6 * before[0, 1]  # antiparallel to z now


def test_working_out_what_would_be_changes_nothing():
    bench = Bench(STABLE, "wells")
    was = json.dumps(bench.junction.state())
    when = points(len(SWITCH))
    for _ in range(2):
        bench.junction.elements(when, SWITCH, volts={"x": np.ones(len(SWITCH))})
    assert json.dumps(bench.junction.state()) == was


def test_a_free_layer_that_feels_its_voltage_gets_the_one_that_is_there():
    """Voltage control of anisotropy, at 0.2 V: k grows by 2 ξ (V - V0)/(Ms t d) on both sides."""
    side = dict(vcma_j_per_v_m=-1e-15, vcma_at_v=0.0)
    model = JunctionModel(x=ReferenceLayer(angle_rad=math.pi / 2, **side), z=ReferenceLayer(**side))
    found, _ = Bench(model).read(CURRENT, v_x=0.2, v_z=0.2)
    magnet = FreeMagnet("J", model, "equilibrium", 5)
    when = points(len(CURRENT))
    # The star takes 0.24 mV off; the layer sees steps of 0.1 mV.
    m = magnet.read(Levels(CURRENT, when.begins_s, when.ends_s, 0.02), 0.1998, 0.1998).mean
    b = magnet.ensemble(0, 0).line_field_t(CURRENT)[0]
    np.testing.assert_allclose(found, readout(model, m, b, 0.2), rtol=5e-4)
    plain, _ = Bench(PLAIN.changed({})).read(CURRENT, v_x=0.2, v_z=0.2)
    assert np.abs(found / plain - 1).max() > 5e-3


# -- state ----------------------------------------------------------------------------------------


def test_a_bench_goes_on_from_its_stored_state_as_if_nothing_had_been():
    def bench():
        return Bench(PRESETS["superparamagnetic"], "wells",
                     polarizer=Polarizer("p", PolarizerModel(), seed=2))  # fmt: skip

    def first(one):
        passes(one.polarizer, [1.0], VoltageSource)
        one.read(CURRENT, coil_a=0.3, each_s=1e-3)
        return one

    whole, stored = first(bench()), first(bench())
    text = json.dumps(stored.circuit.state())
    later = bench()
    later.circuit.restore(json.loads(text))
    later.now_s = stored.now_s
    assert json.dumps(later.circuit.state()) == text
    for one in (whole, later):
        one.result = one.read(CURRENT, coil_a=-0.1, each_s=1e-3)[0]
    np.testing.assert_array_equal(whole.result, later.result)
    assert json.dumps(whole.circuit.state()) == json.dumps(later.circuit.state())


def test_a_junction_stays_switched_in_another_field_and_in_another_session():
    bench, later = Bench(STABLE, "wells"), Bench(STABLE, "wells")
    up, _ = bench.read([0.0])
    bench.read(SWITCH)
    down, _ = bench.read([0.0], coil_a=0.05)  # 1 mT, far from what switches it back
    later.circuit.restore(json.loads(json.dumps(bench.circuit.state())))
    later.now_s = bench.now_s
    again, _ = later.read([0.0])
    assert down[0, 1] < 0.6 * up[0, 1]
    assert again[0, 1] < 0.6 * up[0, 1]


@pytest.mark.parametrize(
    "make",
    [
        lambda: Resistor("d", ResistorModel(most_w=1e-9)),
        lambda: FieldLine("d", FieldLineModel(most_a_per_m2=1.0)),
        lambda: BiasMagnet("d", BiasMagnetModel(most_a=1e-3)),
        lambda: Polarizer("d", PolarizerModel(breakdown_v=0.1), seed=0),
    ],
)
def test_damage_is_part_of_the_state(make):
    broken, fresh = make(), make()
    assert passes(broken, [0.5], VoltageSource)
    fresh.restore(json.loads(json.dumps(broken.state())))
    assert passes(fresh, [0.5], VoltageSource) == []
    assert fresh.state() != make().state()


def test_a_state_that_does_not_fit_is_refused():
    with pytest.raises(StateError, match=r"R: the stored state has \['colour'\]; it must have"):
        Resistor("R", ResistorModel()).restore({"colour": 1})
