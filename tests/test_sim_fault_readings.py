"""Faults of readings and levels at the whole bench, for each meter and source."""

import pytest

from sim_backend.faults_kinds import Compliance, Drift, NotANumber, Overflow, Spike
from sim_backend.truth import TruthError, load_truth
from tests.fault_benches import Visa, readings
from tests.test_sim_instruments import Lab


@pytest.fixture
def visa(request):
    made = Visa(request.node.name)
    yield made
    made.manager.close()


# -- readings --------------------------------------------------------------------------------------


def test_readings_are_struck_by_number_with_the_bits_that_go_with_it(visa):
    meter = visa.meter()
    n = visa.bench.by_name["x"].taken
    visa.faults.add(
        Overflow(instrument="x", first=n + 2),
        NotANumber(instrument="x", first=n + 3),
        Compliance(instrument="x", first=n + 4),
        Spike(instrument="x", first=n + 5, height=1e-6),
    )
    meter.write(":TRIG:COUN 6")
    current, status = readings(meter)
    assert current[1] == 9.9e37 and status[1] & 1
    assert current[2] == 9.91e37
    assert current[3] == pytest.approx(105e-6) and status[3] & 8
    assert current[4] - current[0] == pytest.approx(1e-6, rel=0.1)
    assert current[5] == pytest.approx(current[0], rel=0.1)
    assert status[0] == status[4] == status[5] and not status[0] & 9
    assert len(visa.faults.struck) == 4


def test_a_meter_drifts_by_what_the_plan_says():
    lab = Lab(read_noise_a=0.0)
    lab.select()
    true = lab.read()
    lab.bench.faults.add(Drift(instrument="x", from_s=lab.now_s, offset_per_s=1e-6))
    begin_s = lab.now_s
    lab.bench.pause(2.0)
    end_s = lab.now_s + 2 * 1e-3
    moved = lab.read() - true
    assert 1e-6 * (end_s - begin_s) < moved < 1e-6 * (lab.now_s - begin_s)


# -- the other meters ------------------------------------------------------------------------------

MORE = {
    "smu": {"address": "GPIB0::18::INSTR", "model": "keithley2450"},
    "nano": {"address": "GPIB0::8::INSTR", "model": "keithley2182a"},
}
WIRES = [
    ("smu.front_hi", "dummy.a"), ("smu.front_lo", "earth"), ("dummy.b", "earth"),
    ("nano.ch1_hi", "dummy.a"), ("nano.ch1_lo", "earth"),
]  # fmt: skip
OHM, LEVEL_V = 1e4, 0.5
#: the message that reads, the true value, the error of a reading, and its setting for two readings
METERS = {
    "smu": (":READ?", LEVEL_V / OHM, 1e-8, ":SENS:COUN 2"),
    "nano": (":READ?", LEVEL_V, 1e-5, ":SAMP:COUN 2"),
}
every_meter = pytest.mark.parametrize("name", METERS)


def dummy(*faults):
    """A 2450 that holds a voltage at a resistor, and a 2182A across it."""
    lab = Lab(
        instruments=load_truth(None).model_dump()["instruments"] | MORE,
        devices={"dummy": {"kind": "resistor", "ohm": OHM}},
        wires=WIRES,
        relays={"2!1": ("x.hi", "dummy.a")},
        faults=list(faults),
    )
    lab.write("smu", f":SOUR:VOLT:ILIM 1e-3;:SOUR:VOLT {LEVEL_V};:SENS:FUNC 'CURR';:OUTP ON")
    lab.write("nano", ":SENS:VOLT:NPLC 1")
    return lab


def values(lab, name, count):
    """What so many questions are answered."""
    return [lab.numbers(name, METERS[name][0])[-1] for _ in range(count)]


@every_meter
def test_each_meter_s_readings_are_struck_by_number(name):
    _, true, noise, _ = METERS[name]
    lab = dummy(
        {"kind": "overflow", "instrument": name, "first": 2},
        {"kind": "nan", "instrument": name, "first": 3},
        {"kind": "spike", "instrument": name, "first": 4, "height": true / 2},
    )
    found = values(lab, name, 5)
    assert found[1:3] == [9.9e37, 9.91e37]
    assert [found[0], found[3], found[4]] == pytest.approx([true, 1.5 * true, true], abs=noise)
    assert [one.kind for one in lab.bench.faults.struck] == ["overflow", "nan", "spike"]
    assert not lab.errors(name)


@every_meter
def test_a_spike_above_the_range_is_an_overflow_as_any_voltage_is(name):
    lab = dummy({"kind": "spike", "instrument": name, "first": 2, "height": 1e3})
    found = values(lab, name, 3)
    assert found[1] == 9.9e37 and max(found[0], found[2]) < 1


@every_meter
def test_each_meter_s_readings_drift_and_the_circuit_does_not(name):
    _, true, noise, _ = METERS[name]
    lab = dummy({"kind": "drift", "instrument": name, "from_s": 100.0, "gain_per_s": 0.01})
    other = next(one for one in METERS if one != name)
    before = values(lab, name, 1)
    lab.bench.pause(200.0 - lab.now_s)
    assert before == pytest.approx([true], abs=noise)
    assert values(lab, name, 1) == pytest.approx([2 * true], rel=0.01)
    assert values(lab, other, 1) == pytest.approx([METERS[other][1]], abs=METERS[other][2])


@pytest.mark.parametrize("name", ["smu", "x"])
def test_the_output_of_a_source_meter_drifts_if_that_is_what_is_asked_for(name):
    lab = dummy({"kind": "drift", "instrument": name, "of": "output", "offset_per_s": 1e-3})
    if name == "x":
        lab.write("smu", ":OUTP OFF;:OUTP:SMOD HIMP")
        lab.write("switch", ":CLOS (@2!1)")
        lab.write("x", f":SOUR:VOLT {LEVEL_V};:OUTP ON")
    lab.bench.pause(100.0 - lab.now_s)
    [volt] = values(lab, "nano", 1) if name == "smu" else [terminal_v(lab, "x.hi")]
    assert volt == pytest.approx(LEVEL_V + 0.1, rel=1e-2)
    assert float(lab.ask(name, ":SOUR:VOLT?")) == LEVEL_V  # it says what it is set to


def terminal_v(lab, node):
    return float(lab.bench.solve().voltage(node)[0])


def test_a_reading_of_a_2450_at_its_compliance_has_the_limit_and_its_bit():
    lab = dummy({"kind": "compliance", "instrument": "smu", "first": 2})
    found = [lab.ask("smu", ':READ? "defbuffer1",READ,SOURSTAT').split(",") for _ in range(3)]
    assert [float(value) for value, _ in found] == pytest.approx([5e-5, 1e-3, 5e-5], rel=0.05)
    assert [int(status) & 32 for _, status in found] == [0, 32, 0]


@every_meter
def test_a_contact_opens_as_a_reading_of_any_meter_begins(name):
    _, true, noise, _ = METERS[name]
    lab = dummy({"kind": "open", "device": "dummy", "instrument": name, "reading": 2})
    found = values(lab, name, 3)
    assert found[0] == pytest.approx(true, abs=noise)
    left = true if name == "nano" else 0.0  # the source holds its voltage at an open end
    assert found[1:] == pytest.approx([left, left], abs=noise)
    [struck] = lab.bench.faults.struck
    assert struck.kind == "open"


@every_meter
def test_readings_are_counted_whatever_message_asks_for_them(name):
    lab = dummy({"kind": "nan", "instrument": name, "first": 2, "last": 3})
    lab.write(name, METERS[name][3])
    first, second = (lab.numbers(name, ":READ?") for _ in range(2))
    data = ':TRAC:DATA? 1,4,"defbuffer1"' if name == "smu" else None
    both = lab.numbers(name, data) if data else [*first, *second]
    assert [value == 9.91e37 for value in both] == [False, True, True, False]


def test_a_2182a_has_no_compliance_that_a_fault_could_bring():
    with pytest.raises(TruthError, match=r"number 1 \(compliance\): .* do not strike 'nano'"):
        dummy({"kind": "compliance", "instrument": "nano"})


@pytest.mark.parametrize(("name", "of"), [("nano", "output"), ("field", "readings")])
def test_what_an_instrument_has_not_cannot_drift(name, of):
    with pytest.raises(TruthError, match=r"number 1 \(drift\): .* do not strike"):
        dummy({"kind": "drift", "instrument": name, "of": of})
