"""The simulated Keithley 2400: source, limits, ranges, filters, sweeps, arm layer, status."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim_backend.bench import SimBench
from sim_backend.faults_readings import Changed, Mark
from sim_backend.models.keithley2400 import Keithley2400
from sim_backend.scpi_language import problems
from sim_backend.truth import load_truth

NAN, OVERFLOW = 9.91e37, 9.9e37
IDLE, SWEEPING, ARM = 1 << 10, 1 << 3, 1 << 6


class Lab:
    """Meter x with a resistor at its terminals."""

    def __init__(self, ohm=1e4, wires=None, devices=None, **changes):
        given_wires = [("x.hi", "r.a"), ("r.b", "earth")] if wires is None else wires
        device = {"r": {"kind": "resistor", "ohm": ohm, "most_w": 100}}
        truth = load_truth(
            None, devices=device | (devices or {}), wires=given_wires,
            **({"read_noise_a": 0} | changes),
        )  # fmt: skip
        self.bench = SimBench(truth)
        self.x = self.bench.by_name["x"]

    def write(self, *messages):
        for message in messages:
            self.bench.write(self.x, message)

    def raw(self, question):
        self.write(question)
        taken = self.bench.take(self.x, 10**7)
        return None if taken is None else taken[0].removesuffix(b"\n")

    def ask(self, question):
        return self.raw(question).decode()

    def numbers(self, question):
        return [float(value) for value in self.ask(question).split(",")]

    def errors(self):
        found = []
        while not (answer := self.ask(":SYST:ERR?")).startswith("0,"):
            found.append(int(answer.partition(",")[0]))
        return found

    def output_v(self):
        return float(self.bench.solve().voltage("x.hi")[0])


@pytest.fixture
def lab():
    return Lab()


def test_no_row_of_the_language_hides_another():
    assert problems(Keithley2400.table) == []


# -- source and measure ----------------------------------------------------------------------------


@settings(max_examples=20, deadline=None)
@given(
    ohm=st.floats(10, 1e6),
    source=st.sampled_from(["VOLT", "CURR"]),
    part=st.floats(-1, 1),
    limit=st.floats(1e-3, 1),
)
def test_ohms_law_holds_within_the_limit(ohm, source, part, limit):
    lab = Lab(ohm)
    level = part * (20 if source == "VOLT" else 0.1)
    other = "CURR" if source == "VOLT" else "VOLT"
    most = limit * (0.1 if source == "VOLT" else 20)
    lab.write(
        f":SOUR:FUNC {source};:SENS:FUNC 'VOLT','CURR'",
        f":SENS:{other}:PROT {most:.6g};:SOUR:{source} {level:.6g};:OUTP ON",
    )
    assert lab.errors() == []
    most, level = (float(lab.ask(q)) for q in (f":SENS:{other}:PROT?", f":SOUR:{source}?"))
    volt, current, _, _, status = lab.numbers(":READ?")
    assert volt == pytest.approx(current * ohm, rel=1e-3, abs=1e-3)
    free = level / ohm if source == "VOLT" else level * ohm
    measured = current if source == "VOLT" else volt
    noise = 1e-12 if source == "VOLT" else 1e-3
    assert measured == pytest.approx(math.copysign(min(abs(free), most), free), rel=1e-3, abs=noise)
    assert bool(int(status) & 8) == (abs(free) > most)
    assert int(lab.ask(":STAT:MEAS:COND?")) >> 14 & 1 == (abs(free) > most)
    assert lab.ask(f":SENS:{other}:PROT:TRIP?") == str(int(abs(free) > most))


def test_a_source_that_is_not_measured_reads_as_it_is_set(lab):
    lab.write(":SOUR:FUNC CURR;:SENS:FUNC:CONC OFF;:SENS:FUNC 'VOLT';:SENS:VOLT:PROT 2")
    lab.write(":SOUR:CURR 1e-3;:OUTP ON")
    volt, current, ohm, _, status = lab.numbers(":READ?")
    assert current == 1e-3  # the limit lets less through
    assert volt == pytest.approx(2)
    assert ohm == NAN
    assert int(status) == 8 | 4 | 1 << 11 | 1 << 15


def test_what_is_neither_sourced_nor_measured_is_not_a_number(lab):
    lab.write(":SENS:FUNC:CONC OFF;:SENS:FUNC 'VOLT';:SOUR:VOLT 0.1;:OUTP ON")
    assert lab.numbers(":READ?")[1:3] == [NAN, NAN]


def test_the_measurement_range_of_the_sourced_function_is_the_sources(lab):
    for message in (":SENS:VOLT:RANG 2", ":SENS:VOLT:RANG:AUTO ON"):
        lab.write(message)
        assert lab.errors() == [823]
    lab.write(":SOUR:FUNC CURR;:SENS:VOLT:RANG 2")
    assert lab.errors() == []
    assert lab.ask(":SENS:VOLT:RANG?;:SENS:VOLT:RANG:AUTO?") == "+2.100000E+00;0"


def test_the_200_mv_range_cannot_pass_210_mv(lab):
    lab.write(":SOUR:VOLT:RANG 0.2;:SOUR:VOLT 0.2101")
    assert lab.errors() == [-222]
    lab.write(":SOUR:VOLT 0.21;:OUTP ON;:SYST:RSEN ON")  # nothing at the sense leads
    assert lab.output_v() == pytest.approx(0.21)


def test_an_open_sense_lead_drives_the_output_up(lab):
    lab.write(":SOUR:VOLT 0.1;:SOUR:VOLT:RANG 20;:SENS:CURR:PROT 0.1;:OUTP ON")
    assert lab.output_v() == pytest.approx(0.1)
    lab.write(":SYST:RSEN ON")
    assert lab.output_v() == pytest.approx(21)


def test_four_wires_make_up_for_the_leads():
    wires = [("x.hi", "lead.a"), ("lead.b", "r.a"), ("r.b", "earth"), ("x.sense_hi", "r.a"),
             ("x.sense_lo", "earth")]  # fmt: skip
    lab = Lab(1e3, wires, {"lead": {"kind": "resistor", "ohm": 100}})
    lab.write(":SOUR:VOLT 0.11;:SENS:CURR:PROT 1e-3;:OUTP ON;:FORM:ELEM CURR")
    assert lab.numbers(":READ?") == pytest.approx([1e-4])
    lab.write(":SYST:RSEN ON")
    assert lab.numbers(":READ?") == pytest.approx([1.1e-4])


@pytest.mark.parametrize("ohm, range_ohm", [(150, 200), (1.5e4, 2e4), (1.5e6, 2e6)])
def test_auto_ohms_drives_a_test_current_of_its_own_choice(ohm, range_ohm):
    lab = Lab(ohm)
    lab.write(":FORM:ELEM CURR,RES,STAT")
    current, measured, status = lab.numbers(":MEAS:RES?")
    assert measured == pytest.approx(ohm, rel=1e-3)
    tests = {200: 1e-2, 2e4: 1e-4, 2e6: 1e-6}
    assert current == pytest.approx(tests[range_ohm])
    assert float(lab.ask(":SENS:RES:RANG?")) == pytest.approx(1.05 * range_ohm)
    assert int(status) & (1 << 10 | 1 << 13 | 1 << 15) == 1 << 10 | 1 << 13 | 1 << 15


def test_a_reading_of_resistance_can_energise_a_junction():
    lab = Lab(wires=[])
    ends = lab.bench.truth.junctions.channels["J1"]
    lab.bench.write(lab.bench.by_name["switch"], f":CLOS (@{ends.x},{ends.low})")
    assert lab.ask(":OUTP?") == "0"
    lab.write(":MEAS:RES?")
    assert lab.ask(":OUTP?") == "1"
    assert lab.bench.junctions[0].broken


def test_manual_ohms_reads_at_the_set_level_and_has_no_range(lab):
    lab.write(":SENS:RES:MODE MAN;:SENS:FUNC 'RES';:SOUR:VOLT 0.5;:OUTP ON;:FORM:ELEM CURR,RES")
    assert lab.numbers(":READ?") == pytest.approx([5e-5, 1e4])
    lab.write(":SENS:RES:RANG 2e4")
    assert lab.errors() == [-221]


def test_concurrent_functions_stay_while_ohms_read_their_source_back(lab):
    lab.write(":SENS:FUNC:ALL")
    assert lab.ask(":SENS:FUNC?;:SENS:FUNC:COUN?") == '"VOLT:DC","CURR:DC","RES";3'
    lab.write(":SENS:FUNC:CONC OFF")
    assert lab.errors() == [823]
    assert lab.ask(":SENS:FUNC:CONC?") == "1"


@pytest.mark.parametrize(
    "mode, most_a", [("NORM", 5e-7), ("ZERO", 1.05e-4), ("HIMP", 0), ("GUAR", 0.0199)]
)
def test_an_output_that_is_off_is_what_its_off_state_says(mode, most_a):
    lab = Lab(1e3, [("z.hi", "r.a"), ("r.b", "x.hi")])
    z = lab.bench.by_name["z"]
    lab.bench.write(z, ":SENS:CURR:PROT 1;:SOUR:VOLT 20;:OUTP ON;:FORM:ELEM CURR")
    lab.write(f":OUTP:SMOD {mode}")
    lab.bench.write(z, ":READ?")
    current = float(lab.bench.take(z, 100)[0])
    assert current == pytest.approx(most_a, rel=1e-3, abs=1e-9)


# -- time and filters ------------------------------------------------------------------------------


@pytest.mark.parametrize("control, conversions", [("REP", 8), ("MOV", 1)])
def test_a_filter_takes_its_time_and_averages(control, conversions):
    lab = Lab(read_noise_a=1e-7)
    lab.write(
        ":SOUR:DEL 0;:SOUR:VOLT 1;:OUTP ON;:FORM:ELEM CURR,STAT;:TRIG:COUN 200;:SYST:AZER:STAT OFF",
        f":SENS:CURR:NPLC 0.1;:SENS:AVER:COUN 8;TCON {control};:SENS:AVER ON",
    )
    before = lab.bench.spent_s["integrate"]
    values = np.array(lab.numbers(":READ?")).reshape(-1, 2)
    took = lab.bench.spent_s["integrate"] - before
    assert took == pytest.approx(200 * (conversions * 0.1 / 50 + 225e-6))
    assert np.std(values[8:, 0]) == pytest.approx(1e-7 / math.sqrt(0.1 * 8), rel=0.3)
    assert np.all(values[:, 1].astype(int) & 2)


def test_autozero_once_takes_its_time_now(lab):
    before = lab.bench.spent_s["integrate"]
    lab.write(":SYST:AZER ONCE")
    assert lab.bench.spent_s["integrate"] - before == pytest.approx(2 / 50)
    assert lab.ask(":SYST:AZER:STAT?") == "0"


def test_the_arm_timer_paces_the_readings(lab):
    lab.write(":ARM:SOUR TIM;:ARM:TIM 0.5;:ARM:COUN 4;:TRIG:COUN 2;:OUTP ON;:FORM:ELEM TIME")
    times = lab.numbers(":READ?")
    assert np.diff(times[::2]) == pytest.approx([0.5] * 3)


def test_each_pass_of_the_arm_layer_waits_for_its_bus_trigger(lab):
    lab.write(":ARM:SOUR BUS;:ARM:COUN 2;:TRIG:COUN 3;:OUTP ON;:INIT")
    for readings in (0, 3):
        assert lab.x.busy and len(lab.x.last) == readings
        assert int(lab.ask(":STAT:OPER:COND?")) == ARM
        lab.write("*TRG")
        lab.bench.pause(0)
    assert not lab.x.busy and len(lab.x.last) == 6
    assert int(lab.ask(":STAT:OPER:COND?")) == IDLE


@pytest.mark.parametrize("message", [":SYST:PRES", "*RST", ":ABOR"])
def test_inside_the_trigger_model_only_a_few_messages_act(lab, message):
    lab.write(":ARM:SOUR BUS;:OUTP ON;:INIT", ":SOUR:VOLT 1")
    assert float(lab.ask(":SOUR:VOLT?")) == 0
    lab.write(message)
    assert not lab.x.busy


# -- own sweeps ------------------------------------------------------------------------------------


def test_a_list_sweep_measures_at_each_of_its_levels(lab):
    levels = [0.0, 0.3, -0.2, 0.1]
    lab.write(":SENS:FUNC 'VOLT';:SOUR:VOLT:MODE LIST;:SOUR:LIST:VOLT 0,0.3", ":OUTP ON")
    lab.write(":SOUR:LIST:VOLT:APP -0.2,0.1;:TRIG:COUN 4;:FORM:ELEM VOLT,CURR")
    assert lab.ask(":SOUR:LIST:VOLT:POIN?") == "4"
    found = np.array(lab.numbers(":READ?")).reshape(-1, 2)
    assert found[:, 1] == pytest.approx(np.array(levels) / 1e4, abs=1e-9)
    assert found[:, 0] == pytest.approx(levels, abs=1e-4)
    assert lab.output_v() == pytest.approx(0.1)  # the last point stays on
    assert int(lab.ask(":STAT:OPER?")) & SWEEPING


def test_a_list_takes_100_values_a_message_and_2500_in_all(lab):
    hundred = ",".join(["0.1"] * 100)
    lab.write(f":SOUR:LIST:CURR {hundred},0.1")
    assert lab.errors() == [-223]
    lab.write(f":SOUR:LIST:CURR {hundred}", *24 * [f":SOUR:LIST:CURR:APP {hundred}"])
    assert lab.errors() == []
    lab.write(":SOUR:LIST:CURR:APP 0.1")
    assert lab.errors() == [-223]
    assert lab.ask(":SOUR:LIST:CURR:POIN?") == "2500"


@pytest.mark.parametrize(
    "spacing, direction, levels",
    [("LIN", "UP", [1, 40.75, 80.5, 120.25, 160]), ("LOG", "DOWN", [10, 1, 0.1, 0.01, 0.001])],
)
def test_a_staircase_has_its_spacing_and_direction(spacing, direction, levels):
    lab = Lab(1e6)
    start, stop = (levels[0], levels[-1]) if direction == "UP" else (levels[-1], levels[0])
    lab.write(f":SOUR:VOLT:STAR {start};STOP {stop};:SOUR:SWE:POIN 5;SPAC {spacing}")
    lab.write(f":SOUR:SWE:DIR {direction};:SOUR:VOLT:MODE SWE;:SENS:CURR:PROT 1e-3;:OUTP ON")
    lab.write(":TRIG:COUN 5;:FORM:ELEM CURR")
    assert lab.numbers(":READ?") == pytest.approx(np.array(levels) / 1e6, rel=1e-3, abs=1e-12)
    assert float(lab.ask(":SOUR:VOLT:SPAN?")) == pytest.approx(stop - start)


def test_step_and_points_follow_each_other(lab):
    lab.write(":SOUR:VOLT:STAR 0;STOP 1;:SOUR:SWE:POIN 11")
    assert float(lab.ask(":SOUR:VOLT:STEP?")) == pytest.approx(0.1)
    lab.write(":SOUR:VOLT:STEP 0.25")
    assert lab.ask(":SOUR:SWE:POIN?") == "5"
    lab.write(":SOUR:VOLT:CENT 1;SPAN 1")
    assert float(lab.ask(":SOUR:VOLT:STAR?")) == 0.5


def test_a_fixed_range_of_a_sweep_silently_puts_out_its_maximum(lab):
    lab.write(":SOUR:VOLT:RANG 0.2;:SOUR:SWE:RANG FIX;:SOUR:VOLT:MODE LIST;:SOUR:LIST:VOLT 0.1,2")
    lab.write(":OUTP ON;:TRIG:COUN 2;:FORM:ELEM CURR")
    assert lab.numbers(":READ?") == pytest.approx([1e-5, 2.1e-5])
    assert lab.errors() == []


@pytest.mark.parametrize("mode, readings", [("NEV", 3), ("EARL", 1), ("LATE", 2)])
def test_a_sweep_can_end_at_its_limit(lab, mode, readings):
    lab.write(f":SENS:CURR:PROT 1e-4;:SOUR:SWE:CAB {mode};:SOUR:VOLT:MODE LIST;:OUTP ON")
    lab.write(":SOUR:LIST:VOLT 0.5,2,0.5;:TRIG:COUN 3;:INIT", "*OPC?")
    assert len(lab.x.last) == readings
    assert not lab.x.busy


# -- buffer ----------------------------------------------------------------------------------------


def test_statistics_are_those_of_the_buffer():
    lab = Lab(read_noise_a=1e-7)
    lab.write(":TRAC:POIN 50;FEED:CONT NEXT;:TRIG:COUN 50;:SOUR:VOLT 1;:OUTP ON;:INIT")
    lab.bench.pause(0)
    current = lab.x.buffer.current_a
    assert int(lab.ask(":STAT:MEAS:COND?")) & 0x340 == 0x340
    wanted = {"MEAN": np.mean(current), "SDEV": np.std(current, ddof=1), "MAX": np.max(current),
              "MIN": np.min(current), "PKPK": np.ptp(current)}  # fmt: skip
    for name, value in wanted.items():
        assert lab.numbers(f":CALC3:FORM {name};:CALC3:DATA?") == pytest.approx([value], rel=1e-5)
    lab.write(":TRAC:CLE")
    assert lab.numbers(":CALC3:DATA?") == [NAN]
    assert int(lab.ask(":STAT:MEAS:COND?")) & 0x300 == 0


# -- any sequence ----------------------------------------------------------------------------------

MESSAGES = (
    ":SOUR:FUNC VOLT", ":SOUR:FUNC CURR", ":SOUR:VOLT 1.5", ":SOUR:VOLT 0.05", ":SOUR:CURR 1e-3",
    ":SOUR:CURR 5e-7", ":SOUR:VOLT:RANG 0.2", ":SOUR:VOLT:RANG 20", ":SOUR:VOLT:RANG:AUTO ON",
    ":SOUR:CURR:RANG 1e-6", ":SOUR:CURR:RANG 1e-2", ":OUTP ON", ":OUTP OFF", ":READ?",
    ":SENS:FUNC:ALL",
    ":SENS:FUNC:OFF 'RES'", ":MEAS:RES?", ":MEAS:VOLT?", ":SYST:RSEN ON", "*RST", ":OUTP:SMOD GUAR",
    ":SENS:AVER ON", ":SOUR:VOLT:MODE LIST", ":SOUR:LIST:VOLT 0.1,0.2",
)  # fmt: skip


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from(MESSAGES), max_size=8))
def test_after_any_sequence_levels_are_within_ranges_and_time_has_not_run_back(sequence):
    lab, before = Lab(), 0.0
    for message in sequence:
        lab.write(message)
        now = lab.bench.clock.now_s
        assert now >= before
        before = now
        for level, span in (("v_level", "v_range"), ("i_level", "i_source_range")):
            assert abs(lab.x.state[level]) <= 1.05 * lab.x.state[span] * (1 + 1e-9)
        assert abs(lab.output_v()) <= 210.001


ILLEGAL = (":SOUR:VOLT 211", ":SOUR:CURR 2", ":SOUR:LIST:VOLT 300", ":TRIG:COUN 0",
           ":SENS:CURR:NPLC 11", ":SENS:VOLT:RANG 2", ":SOUR:SWE:POIN 1", ":FOO", ":ARM:SOUR FOO",
           ":SOUR:VOLT:STEP 0")  # fmt: skip


@pytest.mark.parametrize("message", ILLEGAL)
def test_an_illegal_message_is_an_error_and_changes_nothing(lab, message):
    before = dict(lab.x.state)
    lab.write(message)
    assert len(lab.errors()) == 1
    assert lab.x.state == before


@pytest.mark.parametrize(
    "mark, value, bit",
    [(Mark.COMPLIANCE, 1.05e-4, 8), (Mark.NAN, NAN, 0), (Mark.OVERFLOW, OVERFLOW, 1)],
)
def test_a_fault_of_a_reading_changes_it_and_sets_its_bit(lab, monkeypatch, mark, value, bit):
    numbers = []

    def on_readings(name, first, values, times_s):
        numbers.append((name, first, len(values)))
        return Changed(values, np.array([0, mark], dtype=np.int8))

    monkeypatch.setattr(lab.bench.faults, "on_readings", on_readings)
    lab.write(":SOUR:VOLT 0.5;:OUTP ON;:FORM:ELEM CURR,STAT;:TRIG:COUN 2")
    found = np.array(lab.numbers(":READ?")).reshape(2, 2)
    assert found[:, 0] == pytest.approx([5e-5, value])
    assert [int(status) & 9 for status in found[:, 1]] == [0, bit]
    lab.ask(":READ?")
    assert numbers == [("x", 1, 2), ("x", 3, 2)]
