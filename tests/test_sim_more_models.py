"""Simulated Yokogawa GS200, Keithley 2182A and Keithley 2450: source, read, refuse, remember.

The bench is a stand-in: a clock, a circuit of the instruments and some resistors, and noise.
"""

import copy
import json
import math
import re
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymeasure.adapters import Adapter
from pymeasure.instruments.yokogawa import YokogawaGS200 as PymeasureGS200

from sim_backend import circuit
from sim_backend.circuit import Conductance, VoltageSource
from sim_backend.clock import Clock
from sim_backend.models.electrical import Quoted
from sim_backend.models.keithley2182a import Keithley2182A
from sim_backend.models.keithley2450 import Keithley2450
from sim_backend.models.yokogawags200 import YokogawaGS200
from sim_backend.noise import normal, stream_key
from sim_backend.scpi import Boolean, Choice, Number, Numbers, Whole, Words
from sim_backend.scpi_language import forms, problems

MODELS = (YokogawaGS200, Keithley2182A, Keithley2450)
LINE_HZ = 50.0
OVERFLOW = 9.9e37
every_model = pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)


class Lab:
    """One instrument ``d`` at a bench with loads between its terminals."""

    def __init__(self, model, *loads, noisy=False, wires=()):
        self.clock = Clock()
        self.truth = SimpleNamespace(line_hz=LINE_HZ)
        self.spent_s = defaultdict(float)
        self.loads = list(loads)
        self.joined = circuit.join(wires)
        self.noisy = noisy
        self.instrument = model("d", self)

    # what a bench gives its instruments

    def pass_time(self, seconds, what):
        self.clock.advance(seconds)
        self.spent_s[what] += seconds

    def solve(self):
        return circuit.solve([*self.loads, *self.instrument.elements()], self.joined)

    def noise(self, instrument, first, count):
        key = stream_key(1, instrument.name)
        return normal(key, first, count) if self.noisy else np.zeros(count)

    def touch(self):
        pass

    # a hand on the instrument

    def write(self, *messages):
        for message in messages:
            self.instrument.receive(*self.instrument.units(message))

    def raw(self, message):
        self.write(message)
        return self.instrument.take(10**7)[0].removesuffix(b"\n")

    def ask(self, message):
        return self.raw(message).decode()

    def numbers(self, message):
        return [float(x) for x in self.ask(message).split(",")]

    def number(self, message):
        [value] = self.numbers(message)
        return value

    def errors(self):
        found = []
        while not (answer := self.ask(":SYST:ERR?")).startswith("0,"):
            found.append(int(answer.partition(",")[0]))
        return found

    def wait(self, seconds):
        self.pass_time(seconds, "settle")
        self.instrument.work()

    @property
    def now_s(self):
        return self.clock.now_s


def resistor(ohm, hi="d.hi", lo="d.lo"):
    return Conductance(hi, lo, 1 / ohm)


def state_of(instrument):
    return copy.deepcopy(instrument.state)


# --- all of them ---------------------------------------------------------------------------------


@every_model
def test_a_table_can_be_right(model):
    assert problems(model.table) == []
    assert [row.do for row in model.table.rows if row.do and not hasattr(model, row.do)] == []


@every_model
def test_a_model_says_who_it_is_and_has_no_error_at_power_on(model):
    lab = Lab(model)
    assert lab.ask("*IDN?").count(",") == 3
    assert lab.errors() == []


@every_model
def test_reset_brings_back_the_settings_of_power_on(model):
    lab = Lab(model)
    at_power_on = state_of(lab.instrument)
    lab.write(*CHANGES[model], "*RST")
    assert lab.errors() == []
    assert lab.instrument.state == at_power_on


CHANGES = {
    YokogawaGS200: (":SOUR:FUNC CURR;RANG 0.1;LEV 0.05", ":OUTP ON", ":SOUR:PROT:VOLT 5"),
    Keithley2182A: (":SENS:VOLT:NPLC 1", ":SENS:VOLT:CHAN1:RANG 0.1", ":TRIG:COUN 5"),
    Keithley2450: (":SOUR:VOLT 0.5", ":OUTP ON", ":SENS:FUNC 'VOLT'", ":SENS:COUN 4"),
}

ILLEGAL = {
    YokogawaGS200: (
        ":SOUR:LEV 1.3", ":SOUR:LEV:AUTO 33", ":SOUR:RANG 31", ":SOUR:PROT:CURR 0.3",
        ":SOUR:PROT:VOLT 0.5", ":SOUR:FUNC OHMS", ":PROG:RUN", ":PROG:EDIT:END", ":PROG:LOAD 'no'",
        ":PROG:INT 0", ":MEAS?", ":SENS:NPLC 3", ":SOUR:LEV", ":SOUR:LEVE 1", ":OUTP MAYBE",
    ),
    Keithley2182A: (
        ":SENS:FUNC 'CURR'", ":SENS:CHAN 3", ":SENS:VOLT:NPLC 61", ":SENS:VOLT:CHAN2:RANG 13",
        ":SENS:VOLT:CHAN3:RANG 1", ":TRAC:POIN 1", ":TRAC:DATA?", ":CALC2:IMM?", "*TRG",
        ":TRIG:SIGN", ":SENS:DATA:FRES?", ":FETC?", ":SENS:VOLT:DFIL:COUN 101", ":SAMP:COUN 0",
    ),
    Keithley2450: (
        ":SOUR:VOLT 211", ":SOUR:VOLT:ILIM 2", ":SOUR:CURR:VLIM 0.01", ":SOUR:FUNC OHMS",
        ":TRAC:DATA? 1,2", ":TRAC:DATA?", ":FETC?", ":READ? 'nobuffer'", ":TRAC:DEL 'defbuffer1'",
        ":INIT", ":SOUR:SWE:VOLT:LIN 0,1,1", ":SOUR:SWE:VOLT:LIN 0,1,5,1e-6", ":TRAC:MAKE '1x',99",
        ":SOUR:SWE:VOLT:LIN 0,1,5,0,0", ":SENS:FUNC 'OHMS'", ":OUTP:SMOD SOFT", ":TRAC:POIN 9",
        ":TRIG:LOAD 'Nothing',3", ":TRAC:STAT:AVER?", ":SENS:CURR:NPLC 11",
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("model", "messages"),
    [
        (Keithley2182A, (":TRIG:COUN 9999", ":SAMP:COUN 1024", ":READ?")),
        (Keithley2182A, (":SAMP:COUN 1024", ":SENS:VOLT:DFIL:COUN 100;STAT ON", ":INIT")),
        (Keithley2450, (":SENS:COUN 200000", ":READ?")),
        (Keithley2450, (":SENS:COUN 2", ":SOUR:SWE:VOLT:LIN 0,1,60000", ":INIT")),
    ],
)
def test_what_would_keep_the_simulator_busy_for_minutes_is_refused(model, messages):
    lab = Lab(model)
    lab.write(*messages)
    assert lab.errors() == [-225]
    assert lab.now_s == 0


@pytest.mark.parametrize(
    ("model", "message"), [(model, text) for model, texts in ILLEGAL.items() for text in texts]
)
def test_an_illegal_message_gives_one_error_and_changes_nothing(model, message):
    lab = Lab(model)
    before = state_of(lab.instrument)
    lab.write(message)
    assert len(lab.errors()) == 1
    assert lab.instrument.state == before


def legal_text(argument):
    """Texts that an argument takes, drawn by hypothesis."""
    if isinstance(argument, Whole):
        return st.integers(int(argument.low), int(argument.high)).map(str)
    if isinstance(argument, Number):
        plain = st.floats(argument.low, argument.high).map(lambda x: f"{x:.6E}")
        return plain.filter(lambda text: argument.low <= float(text) <= argument.high)
    if isinstance(argument, Numbers):
        return st.lists(st.floats(-0.9, 0.9), min_size=1, max_size=4).map(
            lambda values: ",".join(f"{x:.5E}" for x in values)
        )
    if isinstance(argument, Boolean):
        return st.sampled_from(["ON", "OFF"])
    if isinstance(argument, Quoted):
        return st.sampled_from([f"'{form}'" for name in argument.names for form in forms(name)])
    assert isinstance(argument, Choice | Words)
    return st.sampled_from(argument.words)


@every_model
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_setting_that_was_set_is_answered_and_one_that_was_refused_is_as_before(model, data):
    lab = Lab(model, resistor(1e3), resistor(1e3, "d.front_hi", "d.front_lo"))
    row = data.draw(st.sampled_from([row for row in model.table.rows if row.kind == "setting"]))
    header = data.draw(st.sampled_from(sorted(set(forms(row.header)))))
    text = data.draw(legal_text(row.argument))
    before = state_of(lab.instrument)
    lab.write(f"{header} {text}")
    refused = lab.errors()
    reply = lab.ask(f"{header}?")
    assert reply == row.argument.show(lab.instrument.state[row.name])
    if refused:
        assert refused in ([-221], [-222]) and row.do
        assert lab.instrument.state == before
    elif not row.do:
        assert reply == row.argument.show(row.argument.parse(text))


WORDS = st.sampled_from(
    [":", ";", "?", "*", ",", " ", "'", '"', "#", "#0", "#15", "(@", ")", "SOUR", "SENS", "CURR",
     "VOLT", "LEV", "RANG", "AUTO", "*IDN", "*RST", "OUTP", "1", "-2e3", "1e-3", "MAX", "ON", "\n",
     "\x00", "\xff", "TRAC", "DATA", "INIT", "READ", "ABOR", "SYST:ERR", "PROG", "RUN", "SWE",
     "LIN", "defbuffer1", "FUNC", "CHAN1", "CALC2:IMM", "*TRG", "SYST:EVEN:NEXT"]
)  # fmt: skip


@every_model
@settings(max_examples=100, deadline=None)
@given(message=st.lists(WORDS, max_size=20).map("".join))
def test_no_shuffled_words_crash_a_model(model, message):
    lab = Lab(model)
    lab.write(message)
    lab.instrument.device_clear()
    lab.write("*CLS")
    assert lab.ask("*IDN?") == model.identity
    assert lab.errors() == []


SENT = json.loads(
    (Path(__file__).parent / "data/pymeasure_commands.json").read_text(encoding="utf-8")
)


@pytest.mark.parametrize(
    ("model", "driver"),
    [(YokogawaGS200, "YokogawaGS200"), (Keithley2182A, "Keithley2182"),
     (Keithley2450, "Keithley2450")],
)  # fmt: skip
def test_what_a_pymeasure_driver_sends_does_no_more_than_queue_an_error(model, driver):
    for message in SENT[driver]:
        if not message.startswith("#"):
            lab = Lab(model)
            lab.write(message)
            lab.instrument.take(10**7)
            assert set(lab.errors()) <= {-109, -211, -221, -222, -230}, message


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_sequence_of_legal_settings_keeps_levels_in_range_and_time_going_on(data):
    model = data.draw(st.sampled_from(MODELS))
    lab = Lab(model, resistor(1e3), resistor(1e3, "d.front_hi", "d.front_lo"))
    for text in data.draw(st.lists(st.sampled_from(LEGAL[model]), max_size=12)):
        value = data.draw(st.floats(-2, 2), label=text) if "{}" in text else 0
        before_s = lab.now_s
        lab.write(text.format(f"{value:.4g}"))
        lab.instrument.take(10**7)
        assert lab.now_s >= before_s
        check_levels(lab)
    assert -113 not in lab.errors()


LEGAL = {
    YokogawaGS200: (
        ":SOUR:FUNC VOLT", ":SOUR:FUNC CURR", ":SOUR:RANG {}", ":SOUR:RANG UP", ":SOUR:RANG DOWN",
        ":SOUR:LEV {}", ":SOUR:LEV:AUTO {}", ":SOUR:LEV MAX", ":SOUR:LEV MIN", ":OUTP ON",
        ":OUTP OFF", ":PROG:EDIT:STAR;:SOUR:LEV {};LEV 0;:PROG:EDIT:END", ":PROG:SLOP 0.5",
        ":PROG:RUN", ":PROG:HOLD", ":SOUR:PROT:VOLT 2", ":SOUR:PROT:CURR 0.002", "*RST",
    ),
    Keithley2182A: (
        ":SENS:CHAN 1", ":SENS:CHAN 2", ":SENS:VOLT:CHAN1:RANG 0.01", ":SENS:VOLT:RANG:AUTO ON",
        ":SENS:VOLT:NPLC 0.1", ":READ?", ":INIT", ":ABOR", ":SENS:VOLT:DFIL ON", ":TRIG:COUN 3",
        ":SENS:FUNC 'TEMP'", ":INIT:CONT ON", ":FETC?", "*RST", ":SYST:PRES", ":SYST:LSYN ON",
    ),
    Keithley2450: (
        ":SOUR:FUNC VOLT", ":SOUR:FUNC CURR", ":SOUR:VOLT {}", ":SOUR:CURR {}", ":OUTP ON",
        ":OUTP OFF", ":SOUR:VOLT:RANG {}", ":SOUR:VOLT:RANG:AUTO ON", ":SOUR:CURR:RANG {}",
        ":SOUR:VOLT:ILIM 0.01", ":SOUR:CURR:VLIM 2", ":READ?", ":SENS:FUNC 'RES'",
        ":SENS:CURR:RANG 1e-3", ":SENS:CURR:NPLC 0.01", ":SOUR:SWE:VOLT:LIN 0,{},3", ":INIT",
        "*RST",
    ),
}  # fmt: skip


def check_levels(lab):
    """What must hold whatever was sent."""
    state, instrument = lab.instrument.state, lab.instrument
    if isinstance(instrument, YokogawaGS200):
        assert abs(instrument.level) <= 1.2 * instrument.now.range + 1e-9
    elif isinstance(instrument, Keithley2450):
        for key, most in (("volt", 210), ("curr", 1.05)):
            assert abs(state[f"{key}_level"]) <= min(1.05 * state[f"{key}_range"], most) + 1e-9
    [*elements] = instrument.elements()
    assert elements


# --- Yokogawa GS200 ------------------------------------------------------------------------------


def gs200(ohm=1e3):
    return Lab(YokogawaGS200, resistor(ohm))


def at_load(lab, ohm=1e3):
    """Voltage and current of the load."""
    solution = lab.solve()
    return float(solution.across(lab.loads[0])[0]), float(solution.current(lab.loads[0])[0])


def test_the_gs200_makes_its_level_only_with_the_output_on():
    lab = gs200()
    lab.write(":SOUR:FUNC VOLT;RANG 1;LEV 0.5")
    assert at_load(lab)[0] == 0
    lab.write(":OUTP ON")
    assert at_load(lab)[0] == pytest.approx(0.5, rel=1e-6)
    lab.write(":OUTP OFF")
    assert at_load(lab)[0] == 0
    assert lab.errors() == []


def test_the_gs200_refuses_a_level_above_1_2_times_its_range():
    lab = gs200()
    lab.write(":SOUR:RANG 1;LEV 1.2")
    assert lab.errors() == []
    lab.write(":SOUR:LEV 1.21")
    assert lab.errors() == [-222]
    assert lab.number(":SOUR:LEV?") == pytest.approx(1.2)
    assert lab.number(":SOUR:LEV? MAX") == pytest.approx(1.2)


def test_the_gs200_rounds_a_level_to_its_range_s_steps():
    lab = gs200()
    lab.write(":SOUR:RANG 1;LEV 0.1234567")
    assert lab.number(":SOUR:LEV?") == pytest.approx(0.12346, abs=1e-9)


@given(level=st.floats(-32, 32), current=st.booleans())
@settings(max_examples=30, deadline=None)
def test_the_gs200_s_automatic_range_is_the_smallest_that_takes_the_level(level, current):
    lab = gs200()
    ranges = (0.001, 0.01, 0.1, 0.2) if current else (0.01, 0.1, 1, 10, 30)
    level = level / 160 if current else level
    lab.write(f":SOUR:FUNC {'CURR' if current else 'VOLT'};LEV:AUTO {level:.5e}")
    assert lab.errors() == []
    span = lab.number(":SOUR:RANG?")
    most = 0.2 if current else 32
    smallest = next(r for r in ranges if abs(float(f"{level:.5e}")) <= min(1.2 * r, most) + 1e-12)
    assert span == pytest.approx(smallest)
    assert lab.number(":SOUR:LEV?") == pytest.approx(level, abs=2e-5 * span + 1e-9)


@given(volt=st.floats(-12, 12), ohm=st.floats(1, 1e5), limit_ma=st.integers(1, 200))
@settings(max_examples=30, deadline=None)
def test_the_gs200_keeps_ohm_s_law_and_its_current_limit(volt, ohm, limit_ma):
    lab = gs200(ohm)
    lab.write(f":SOUR:RANG 10;LEV {volt:.4f};PROT:CURR {limit_ma}e-3", ":OUTP ON")
    seen_v, seen_a = at_load(lab)
    wanted_v, limit_a = lab.number(":SOUR:LEV?"), limit_ma / 1000
    assert seen_v == pytest.approx(seen_a * ohm)
    assert abs(seen_a) <= limit_a * (1 + 1e-6)
    limited = int(lab.ask(":STAT:COND?")) & 0xC00
    if abs(wanted_v) > ohm * limit_a * 1.001:
        assert abs(seen_a) == pytest.approx(limit_a)
        assert limited == (0x800 if wanted_v > 0 else 0x400)
    elif abs(wanted_v) < ohm * limit_a * 0.999:
        assert seen_v == pytest.approx(wanted_v, rel=1e-5, abs=1e-9)
        assert limited == 0


def test_the_gs200_as_a_current_source_clips_at_its_voltage_limit():
    lab = gs200(1e3)
    lab.write(":SOUR:FUNC CURR;RANG 0.01;LEV 0.01;PROT:VOLT 3", ":OUTP ON")
    assert at_load(lab) == pytest.approx((3, 3e-3))
    assert int(lab.ask(":STAT:EVEN?")) & 0x800


def test_another_function_switches_the_gs200_s_output_off():
    lab = gs200()
    lab.write(":SOUR:LEV 1", ":OUTP ON", ":SOUR:FUNC CURR")
    assert lab.ask(":OUTP?;:SOUR:FUNC?") == "0;CURR"
    assert lab.number(":SOUR:LEV?") == 0


RAMP = ":PROG:EDIT:STAR;:SOUR:LEV 1;LEV -1;:PROG:EDIT:END;:PROG:INT 10;SLOP 4;REP {};RUN"


def level_after(lab, seconds):
    lab.wait(seconds)
    return lab.number(":SOUR:LEV?")


def test_a_program_takes_bench_time_and_goes_in_straight_lines_and_steps():
    lab = gs200()
    lab.write(":OUTP ON", RAMP.format(0))
    assert lab.errors() == []
    start_s = lab.now_s
    expected = {1: 0.25, 3.9: 0.975, 4: 1, 9: 1, 11: 0.5, 13: -0.5, 14: -1, 19: -1}
    for time_s, level in expected.items():
        lab.wait(start_s + time_s - lab.now_s)
        assert lab.number(":SOUR:LEV?") == pytest.approx(level, abs=1e-6)
        assert at_load(lab)[0] == pytest.approx(level, rel=1e-5, abs=1e-6)
    assert int(lab.ask(":STAT:EVEN?")) & 0xC0 == 0x40  # a step is over, the program is not
    lab.wait(2)
    assert int(lab.ask(":STAT:EVEN?")) & 0xC0 == 0xC0
    lab.write(":SOUR:LEV 0.2")  # it is over: levels may be set again
    assert lab.errors() == []


def test_a_running_program_refuses_a_level_and_a_held_one_stays_where_it_is():
    lab = gs200()
    lab.write(":OUTP ON", RAMP.format(1))
    lab.write(":SOUR:LEV 0.3")
    assert lab.errors() == [-221]
    assert level_after(lab, 2) == pytest.approx(0.5)
    lab.write(":PROG:HOLD")
    assert level_after(lab, 100) == pytest.approx(0.5)
    lab.write(":PROG:CONT")
    assert level_after(lab, 1) == pytest.approx(0.75)
    assert level_after(lab, 19) == pytest.approx(0, abs=1e-6)  # again from -1, on its way to 1
    lab.write("*RST")
    assert lab.ask(":OUTP?;:PROG:POIN?") == "0;2"  # the memory outlasts a reset


def test_a_program_needs_the_output_and_editing_leaves_the_output_alone():
    lab = gs200()
    lab.write(":SOUR:LEV 0.1", RAMP.format(0))
    assert lab.errors() == [-221]
    assert lab.number(":SOUR:LEV?") == pytest.approx(0.1)
    lab.write(":PROG:SAVE 'a.csv'", ":PROG:EDIT:STAR;:PROG:EDIT:END", ":PROG:LOAD 'a.csv'")
    assert lab.ask(":PROG:POIN?;LOAD?") == '2;"a.csv"'


class Wire(Adapter):
    """What pymeasure's driver talks through."""

    def __init__(self, lab):
        super().__init__()
        self.lab = lab

    def _write(self, command, **kwargs):
        self.lab.write(command)

    def _read(self, **kwargs):
        return self.lab.instrument.take(10**6)[0].decode().removesuffix("\n")


def test_pymeasure_s_driver_ramps_the_gs200():
    lab = gs200()
    with pytest.warns(FutureWarning, match="SCPI"):
        driver = PymeasureGS200(Wire(lab))
    driver.source_mode = "voltage"
    driver.source_range = 1
    driver.current_limit = 0.1
    driver.source_enabled = True
    driver.trigger_ramp_to_level(0.8, 2.0)
    lab.wait(1.0)
    assert driver.source_level == pytest.approx(0.4)
    lab.wait(1.0)
    assert driver.source_level == pytest.approx(0.8)
    assert driver.source_enabled and driver.source_mode == "VOLT" and driver.source_range == 1
    assert lab.errors() == []


# --- Keithley 2182A ------------------------------------------------------------------------------


def nanovoltmeter(volt=0.05, noisy=False, volt2=0.0):
    return Lab(
        Keithley2182A,
        VoltageSource("d.ch1_hi", "d.ch1_lo", volt, ohm=1.0),
        VoltageSource("d.ch2_hi", "d.ch2_lo", volt2, ohm=1.0),
        noisy=noisy,
    )


@given(volt=st.floats(-115, 115))
@settings(max_examples=30, deadline=None)
def test_the_2182a_reads_the_voltage_across_it_on_the_smallest_range(volt):
    lab = nanovoltmeter(volt)
    assert lab.number(":READ?") == pytest.approx(volt, rel=1e-6, abs=1e-9)
    span = next(r for r in (0.01, 0.1, 1, 10, 100) if abs(volt) <= 1.2 * r + 1e-9)
    assert lab.number(":SENS:VOLT:CHAN1:RANG?") == pytest.approx(span)


def test_the_2182a_s_channels_are_apart():
    lab = nanovoltmeter(0.05, volt2=-2.0)
    assert lab.number(":READ?") == pytest.approx(0.05)
    assert lab.number(":SENS:CHAN 2;:READ?") == pytest.approx(-2)
    lab.write(":FORM:ELEM READ,CHAN,UNIT")
    assert lab.ask(":READ?").split(",")[1:] == ["02", "VDC"]


def test_a_2182a_reading_above_a_fixed_range_is_an_overflow_with_its_bit():
    lab = nanovoltmeter(0.05)
    lab.write(":SENS:VOLT:CHAN1:RANG 0.01")
    assert lab.ask(":SENS:VOLT:CHAN1:RANG:AUTO?") == "0"
    assert lab.number(":READ?") == OVERFLOW
    assert int(lab.ask(":STAT:MEAS?")) & 1


def test_a_2182a_reading_takes_its_integration_twice_with_autozero():
    lab = nanovoltmeter()
    lab.write(":SENS:VOLT:NPLC 5")
    lab.number(":READ?")
    assert lab.spent_s["integrate"] == pytest.approx(2 * 5 / LINE_HZ)
    lab.spent_s.clear()
    lab.write(":SYST:AZER OFF", ":SENS:VOLT:LPAS ON")
    lab.number(":READ?")
    assert lab.spent_s["integrate"] == pytest.approx(5 / LINE_HZ)
    assert lab.spent_s["settle"] == pytest.approx(0.125)


def test_line_synchronisation_lets_a_2182a_reading_begin_with_the_line():
    lab = nanovoltmeter()
    lab.write(":SYST:LSYN ON;AZER OFF", ":SENS:VOLT:NPLC 1")
    lab.wait(0.0073)
    lab.number(":READ?")
    assert lab.now_s == pytest.approx(0.04)


def test_the_2182a_s_repeating_filter_averages_and_takes_the_time_for_it():
    lab = nanovoltmeter(0.005, noisy=True)
    lab.write(":SENS:VOLT:NPLC 1", ":SAMP:COUN 64", ":SYST:AZER OFF", ":SENS:VOLT:CHAN1:RANG 0.01")
    plain = np.std(lab.numbers(":READ?"))
    lab.spent_s.clear()
    lab.write(":SENS:VOLT:DFIL:COUN 16;TCON REP;STAT ON")
    filtered = np.std(lab.numbers(":READ?"))
    assert lab.spent_s["integrate"] == pytest.approx(64 * 16 / LINE_HZ)
    assert 2.5 < plain / filtered < 6  # four, as sixteen readings give


def test_the_2182a_s_moving_filter_begins_anew_after_a_step():
    lab = nanovoltmeter(0.001)
    lab.write(":SENS:VOLT:DFIL:COUN 10;TCON MOV;WIND 1;STAT ON", ":SENS:VOLT:CHAN1:RANG 0.01")
    assert lab.number(":READ?") == pytest.approx(0.001)
    lab.loads[0] = VoltageSource("d.ch1_hi", "d.ch1_lo", 0.00105, ohm=1.0)  # within the window
    assert lab.number(":READ?") == pytest.approx(0.001025)
    lab.loads[0] = VoltageSource("d.ch1_hi", "d.ch1_lo", 0.002, ohm=1.0)
    assert lab.number(":READ?") == pytest.approx(0.002)


def test_fetch_answers_again_and_fresh_only_once():
    lab = nanovoltmeter()
    lab.write(":INIT")
    assert lab.number(":FETC?") == lab.number(":FETC?") == pytest.approx(0.05)
    lab.write(":INIT")
    assert lab.number(":SENS:DATA:FRES?") == pytest.approx(0.05)
    lab.write(":SENS:DATA:FRES?")
    assert lab.errors() == [-230]
    before_s = lab.now_s
    assert lab.number(":DATA?") == pytest.approx(0.05)  # the last one, again
    assert lab.now_s == before_s
    lab.write(":INIT:CONT ON")
    assert lab.number(":DATA:FRES?") == pytest.approx(0.05)
    assert lab.now_s > before_s  # a new one takes its time
    lab.write(":INIT")
    assert lab.errors() == [-213]


def test_measure_sets_the_2182a_s_trigger_model_back():
    lab = nanovoltmeter()
    lab.write(":TRIG:SOUR EXT;COUN 7;:SAMP:COUN 3")
    assert lab.number(":MEAS:VOLT?") == pytest.approx(0.05)
    assert lab.ask(":TRIG:SOUR?;COUN?;:SAMP:COUN?") == "IMM;1;1"


def test_the_2182a_takes_one_reading_a_pulse_and_its_answer_waits_for_the_last():
    lab = nanovoltmeter()
    lab.write(":TRIG:SOUR EXT;COUN 3", ":READ?")
    assert lab.instrument.awaits_trigger
    for _ in range(2):
        lab.instrument.pulse()
        lab.instrument.work()
        assert lab.instrument.output == b""
    lab.instrument.pulse()
    lab.instrument.work()
    assert len(lab.instrument.take(10**4)[0].split(b",")) == 3
    assert not lab.instrument.awaits_trigger
    taken = lab.instrument.taken
    lab.instrument.pulse()  # nothing waits for it
    assert lab.instrument.taken == taken


def test_a_full_2182a_buffer_sets_its_bits_and_stops():
    lab = nanovoltmeter()
    lab.write("*SRE 1;:STAT:MEAS:ENAB 512", ":TRAC:POIN 4;FEED SENS;FEED:CONT NEXT")
    lab.write(":TRIG:SOUR BUS;COUN 6", ":INIT")
    for number in range(6):
        assert (lab.instrument.status_byte() & 65 == 65) == (number >= 4)
        lab.write("*TRG")
    assert lab.ask(":TRAC:POIN:ACT?;:TRAC:FEED:CONT?") == "4;NEV"
    assert lab.numbers(":TRAC:DATA?") == pytest.approx([0.05] * 4)
    assert lab.number(":CALC2:FORM MEAN;STAT ON;IMM?") == pytest.approx(0.05)
    lab.write("*TRG")
    assert lab.errors() == [-211]


def test_the_2182a_s_binary_buffer_is_the_text_s_numbers():
    lab = nanovoltmeter(noisy=True)
    lab.write(":TRAC:POIN 5;FEED:CONT NEXT;:SAMP:COUN 5;:INIT")
    text = lab.numbers(":TRAC:DATA?")
    raw = lab.raw(":FORM DRE;:TRAC:DATA?")
    assert np.frombuffer(raw[2:], "<f8") == pytest.approx(text, rel=1e-8)
    raw = lab.raw(":FORM SRE;:FORM:BORD NORM;:TRAC:DATA?")
    assert np.frombuffer(raw[2:], ">f4") == pytest.approx(text, rel=1e-6)


def test_a_thermocouple_reads_degrees_above_its_reference_junction():
    lab = nanovoltmeter(400e-6)
    lab.write(":SENS:FUNC 'TEMP';:SENS:TEMP:TC K;RJUN:RSEL SIM;SIM 20")
    assert lab.number(":READ?") == pytest.approx(30)


def test_an_acquired_reference_is_taken_off():
    lab = nanovoltmeter(0.05)
    lab.write(":SENS:VOLT:CHAN1:REF:ACQ;STAT ON")
    assert lab.number(":READ?") == pytest.approx(0, abs=1e-9)
    assert lab.number(":SENS:VOLT:REF?") == pytest.approx(0.05)


def test_a_reading_for_the_serial_relay_is_not_stored():
    lab = nanovoltmeter(0.03)
    lab.write(":TRAC:POIN 2;FEED:CONT NEXT")
    assert lab.instrument.read_volt() == pytest.approx(0.03)
    assert lab.ask(":TRAC:POIN:ACT?") == "0"


# --- Keithley 2450 -------------------------------------------------------------------------------


def smu(ohm=1e3, *more, side="front", noisy=False, wires=()):
    load = resistor(ohm, f"d.{side}_hi", f"d.{side}_lo")
    return Lab(Keithley2450, load, *more, noisy=noisy, wires=wires)


@given(volt=st.floats(-20, 20), ohm=st.floats(1, 1e7), limit_a=st.floats(1e-6, 1))
@settings(max_examples=40, deadline=None)
def test_the_2450_keeps_ohm_s_law_and_its_current_limit(volt, ohm, limit_a):
    lab = smu(ohm)
    lab.write(f":SOUR:VOLT {volt:.6e};:SOUR:VOLT:ILIM {limit_a:.6e}", ":OUTP ON")
    current = lab.number(":READ?")
    seen_v, seen_a = at_load(lab)
    assert current == pytest.approx(seen_a, rel=1e-5, abs=1e-10)
    assert seen_v == pytest.approx(seen_a * ohm, rel=1e-5)
    tripped = lab.ask(":SOUR:VOLT:ILIM:TRIP?")
    if abs(volt) > 1.001 * ohm * limit_a:
        assert tripped == "1"
        assert abs(current) == pytest.approx(limit_a, rel=1e-4)
        assert int(lab.ask(":FETC? 'defbuffer1', SOURSTAT")) & 32
    elif abs(volt) < 0.999 * ohm * limit_a:
        assert tripped == "0"
        assert seen_v == pytest.approx(volt, rel=1e-4, abs=1e-9)
        assert not int(lab.ask(":FETC? 'defbuffer1', SOURSTAT")) & 32
    assert lab.errors() == []


@given(ampere=st.floats(-0.1, 0.1), ohm=st.floats(1, 1e5), limit_v=st.floats(0.02, 20))
@settings(max_examples=30, deadline=None)
def test_the_2450_as_a_current_source_clips_at_its_voltage_limit(ampere, ohm, limit_v):
    lab = smu(ohm)
    lab.write(":SOUR:FUNC CURR", f":SOUR:CURR {ampere:.6e};:SOUR:CURR:VLIM {limit_v:.6e}")
    lab.write(":SENS:FUNC 'VOLT'", ":OUTP ON")
    volt = lab.number(":READ?")
    assert abs(volt) <= limit_v * 1.0001
    if abs(ampere * ohm) < 0.999 * limit_v:
        assert volt == pytest.approx(ampere * ohm, rel=1e-4, abs=1e-8)
    assert lab.errors() == []


def test_the_2450_measures_resistance_as_voltage_over_current():
    lab = smu(4700)
    lab.write(":SOUR:VOLT 1;:SOUR:VOLT:ILIM 0.1", ":SENS:FUNC 'RES'", ":OUTP ON")
    assert lab.number(":READ?") == pytest.approx(4700, rel=1e-5)
    assert lab.ask(":FETC? 'defbuffer1', UNIT, SOURUNIT") == "Ohm,Volt DC"


def test_a_fixed_measure_range_limits_the_2450_s_current():
    lab = smu(100)
    lab.write(":SOUR:VOLT 1;:SOUR:VOLT:ILIM 0.1;:SENS:CURR:RANG 1e-3", ":OUTP ON")
    assert lab.number(":READ?") == pytest.approx(1.05e-3, rel=1e-3)
    assert lab.ask(":SOUR:VOLT:ILIM:TRIP?") == "1"


def test_more_than_twenty_watts_are_refused():
    lab = smu()
    lab.write(":SOUR:VOLT:ILIM 1;:SOUR:VOLT 30")
    assert lab.errors() == [-221]
    assert lab.number(":SOUR:VOLT?") == 0


def test_the_overvoltage_protection_holds_the_2450_down():
    lab = smu()
    lab.write(":SOUR:VOLT:PROT PROT5;:SOUR:VOLT:ILIM 0.1;:SOUR:VOLT 9", ":OUTP ON")
    assert at_load(lab)[0] == pytest.approx(5)
    assert lab.ask(":SOUR:VOLT:PROT:TRIP?") == "1"


def test_four_wires_leave_the_leads_out():
    leads = resistor(50, "d.front_hi", "junction"), resistor(1e3, "junction", "d.front_lo")
    wires = (("junction", "d.front_sense_hi"), ("d.front_lo", "d.front_sense_lo"))
    lab = Lab(Keithley2450, *leads, wires=wires)
    lab.write(":SOUR:VOLT 1;:SOUR:VOLT:ILIM 0.1", ":SENS:FUNC 'RES'", ":OUTP ON")
    assert lab.number(":READ?") == pytest.approx(1050, rel=1e-4)
    lab.write(":SENS:RES:RSEN ON")
    assert lab.number(":READ?") == pytest.approx(1000, rel=1e-4)


def test_the_2450_is_at_its_front_or_its_rear():
    lab = smu(1e3, side="rear")
    lab.write(":SOUR:VOLT 1;:SOUR:VOLT:ILIM 0.1", ":OUTP ON")
    assert lab.number(":READ?") == pytest.approx(0, abs=1e-9)
    lab.write(":ROUT:TERM REAR")
    assert lab.ask(":OUTP?") == "0"
    lab.write(":OUTP ON")
    assert lab.number(":READ?") == pytest.approx(1e-3, rel=1e-4)


@pytest.mark.parametrize(
    ("mode", "ampere"),
    [("NORM", 1e-5), ("HIMP", 0), ("ZERO", 1e-4), ("GUAR", 0)],
)
def test_each_off_state_of_the_2450_is_what_the_manual_says(mode, ampere):
    """Another source of 1 mA at the terminals: what goes through the 2450, not the 1 kohm."""
    other = circuit.CurrentSource("d.front_hi", "d.front_lo", 1e-3, most_v=1.0)
    lab = smu(1e3, other)
    lab.write(f":SOUR:VOLT 5;:OUTP:SMOD {mode}")
    solution = lab.solve()
    through_load = float(solution.current(lab.loads[0])[0])
    from_other = float(solution.current(other)[0])
    limit = {"NORM": 1e-5, "ZERO": 1e-4}.get(mode, 0)
    assert from_other - through_load == pytest.approx(limit, abs=1e-8)
    assert ampere == limit


def test_a_zero_2450_is_an_ammeter():
    other = circuit.CurrentSource("d.front_hi", "d.front_lo", 5e-5)
    lab = smu(1e6, other)
    lab.write(":OUTP:SMOD ZERO")
    assert lab.number(":READ?") == pytest.approx(-5e-5, rel=1e-4)


def test_a_reading_takes_delay_and_three_integrations_and_one_without_autozero():
    lab = smu()
    lab.write(":SENS:CURR:NPLC 2", ":SOUR:VOLT:DEL 0.3", ":OUTP ON")
    lab.spent_s.clear()
    lab.number(":READ?")
    assert lab.spent_s == pytest.approx({"integrate": 3 * 2 / LINE_HZ, "settle": 0.3})
    lab.write(":SENS:CURR:AZER OFF", ":SENS:COUN 5")
    lab.spent_s.clear()
    lab.number(":READ?")
    assert lab.spent_s["integrate"] == pytest.approx(5 * 2 / LINE_HZ)
    assert lab.ask(":TRAC:ACT?") == "6"


def test_the_2450_s_filter_averages():
    lab = smu(noisy=True)
    lab.write(":SOUR:VOLT 1;:SOUR:VOLT:ILIM 0.1;:SENS:CURR:AZER OFF;:SENS:COUN 64", ":OUTP ON")
    lab.write(":TRAC:TRIG 'defbuffer1'", ":SENS:CURR:AVER:COUN 16;:SENS:CURR:AVER ON")
    lab.write(":TRAC:TRIG 'defbuffer2'")
    noise = [lab.number(f":TRAC:STAT:STDD? 'defbuffer{n}'") for n in (1, 2)]
    assert 2.5 < noise[0] / noise[1] < 6


def test_readings_go_to_the_buffer_that_was_named():
    lab = smu()
    lab.write(":TRAC:MAKE 'mine', 10", ":SENS:COUN 12", ":SOUR:VOLT 0.1;:OUTP ON")
    lab.number(":READ? 'mine'")
    assert lab.ask(":TRAC:ACT? 'mine';:TRAC:ACT?;:TRAC:POIN? 'mine'") == "10;0;10"
    pairs = lab.numbers(":TRAC:DATA? 1, 3, 'mine', SOUR, READ")
    assert pairs == pytest.approx([0.1, 1e-4] * 3, rel=1e-4)
    lab.write(":TRAC:CLE 'mine'", ":TRAC:DEL 'mine'", ":TRAC:ACT? 'mine'")
    assert lab.errors() == [-224]


def test_a_linear_sweep_measures_each_level_and_ends_with_the_output_off():
    lab = smu(1e3)
    lab.write(":SOUR:VOLT:ILIM 0.1", ":SOUR:SWE:VOLT:LIN 0, 1, 11, 0.01, 1, AUTO, ON, OFF")
    lab.write(":INIT", "*WAI")
    data = np.array(lab.numbers(":TRAC:DATA? 1, 11, 'defbuffer1', SOUR, READ, REL")).reshape(11, 3)
    assert data[:, 0] == pytest.approx(np.linspace(0, 1, 11), abs=1e-6)
    assert data[:, 1] == pytest.approx(np.linspace(0, 1e-3, 11), abs=1e-8)
    assert np.diff(data[:, 2]) == pytest.approx(0.01 + 3 / LINE_HZ, rel=1e-5)
    assert lab.ask(":OUTP?") == "0"
    assert lab.errors() == []


def test_a_dual_sweep_comes_back_and_a_counted_one_runs_again():
    lab = smu(1e3)
    lab.write(":SOUR:SWE:VOLT:LIN 0, 0.02, 3, 0, 2, BEST, ON, ON", ":INIT")
    levels = lab.numbers(":TRAC:DATA? 1, 10, 'defbuffer1', SOUR")
    assert levels == pytest.approx([0, 0.01, 0.02, 0.01, 0] * 2, abs=1e-6)


def test_a_list_sweep_goes_through_the_list_and_stops_at_the_limit():
    lab = smu(1e3)
    lab.write(":SOUR:LIST:VOLT 0.01,0.02", ":SOUR:LIST:VOLT:APP 0.5,0.01")
    assert lab.ask(":SOUR:LIST:VOLT:POIN?") == "4"
    lab.write(":SOUR:SWE:VOLT:LIST 1, 0, 1, OFF", ":INIT")
    assert lab.ask(":TRAC:ACT?") == "4"
    lab.write(":TRAC:CLE", ":SOUR:SWE:VOLT:LIST 1, 0, 1, ON", ":INIT")
    assert lab.ask(":TRAC:ACT?") == "3"  # 0.5 V would be 0.5 mA, above 105 µA
    assert lab.number(":FETC?") == pytest.approx(1.05e-4, rel=1e-3)


def test_a_sweep_beyond_a_fixed_range_is_refused_before_it_starts():
    lab = smu()
    lab.write(":SOUR:VOLT:RANG 0.2", ":SOUR:SWE:VOLT:LIN 0, 1, 5, 0, 1, FIX", ":INIT")
    assert lab.errors() == [-222]
    assert lab.ask(":OUTP?;:TRAC:ACT?") == "0;0"


def test_the_2450_s_event_log_has_the_time_and_its_error_queue_has_not():
    lab = smu()
    lab.wait(3.5)
    lab.write(":SOUR:VOLT", ":SOUR:NOTHING 1")
    assert lab.ask(":SYST:EVEN:COUN? ALL") == "2"
    assert lab.ask(":SYST:EVEN:NEXT?") == '-109,"Missing parameter;1,3,500000000"'
    assert lab.ask(":SYST:ERR?") == '-113,"Undefined header"'
    assert lab.ask(":SYST:EVEN:NEXT?") == '0,"No error;0,0,0"'


def test_the_language_outlasts_a_reset():
    lab = smu()
    assert lab.ask("*LANG?") == "SCPI"
    lab.write("*LANG SCPI2400", "*RST")
    assert lab.ask("*LANG?") == "SCPI2400"


def test_what_qcodes_sends_to_a_2450_is_understood():
    """One message of each kind that its driver sends."""
    lab = smu()
    for message in (
        ":SENSe:voltage:RSENse 1", ":SENSe:current:RANGe 0.001", ":SENSe:resistance:RANGe:AUTO 0",
        ":SENSe:current:NPLCycles 0.1", ":SENSe:voltage:DELay:USER3 0.1", ":SENSe:voltage:AZERo 1",
        ":SENSe:COUNt 2", ":SENSe:AZERo:ONCE", ":SOUR:voltage:RANGe 2", "SOUR:voltage 0.1",
        ":SOURce:voltage:RANGe:AUTO 1", "SOUR:voltage:ILIM 0.01", ":SOURce:current:DELay 0.1",
        ":SOURce:current:DELay:AUTO 1", ":SOURce:voltage:READ:BACK 1", ":SOUR:FUNC VOLT",
        ":SENS:FUNC \"CURR:DC\"", "ROUTe:TERMinals front", ":OUTP 1", ":TRACe:CLEar 'defbuffer1'",
        ":TRACe:MAKE 'b', 100, FULL", ":TRACe:POINts 200, 'b'", ":TRACe:TRIGger 'b'",
        ":SOURce:SWEep:voltage:LINear 0,0.1,3,0,1,AUTO,ON,OFF,'b'", ":INITiate", "*WAI", ":ABORt",
        ":TRACe:DELete 'b'", ":STATus:CLEar", ":SYSTem:CLEar", "*RST",
    ):  # fmt: skip
        lab.write(message)
        assert lab.errors() == [], message
    lab.write(":OUTP 1")
    for question in (
        ":SENSe:current:RANGe?", ":SOUR:voltage:ILIM:TRIPped?", ":TRACe:POINts? 'defbuffer1'",
        ":TRACe:ACTual? 'defbuffer1'", ":MEASure? 'defbuffer1'", ":SYSTem:LFRequency?",
        ":FETCh? 'defbuffer1', DATE,FORMatted,SOURFORMatted,SOURSTATus,TSTamp,UNIT", "*LANG?",
        ":SOURce:voltage:DELay:USER2?", ":TRACe:DATA? 1, 1, 'defbuffer1'", ":OUTP?", "*OPC?",
    ):  # fmt: skip
        assert lab.ask(question) != "", question
    assert lab.ask(":SENS:FUNC?") == '"CURR:DC"'
    assert lab.ask(":SOUR:FUNC?") == "VOLT"
    assert lab.errors() == []


def test_what_qcodes_sends_to_a_gs200_is_understood():
    lab = gs200()
    assert "/MON" not in lab.ask("*OPT?")
    for message in (
        "SOUR:FUNC CURR", ":SOUR:RANG 0.01", ":SOUR:PROT:VOLT 5", ":SOUR:PROT:CURR 0.100",
        ":SENS:REM 1", ":SENS:GUAR 0", "OUTPUT 1", ":SOUR:LEV 1.00000e-03",
        ":SOUR:LEV:AUTO 2.00000e-02", ":PROG:EDIT:STAR", ":SOUR:LEV 0.01", ":PROG:EDIT:END",
        ":PROG:INT 1.0", ":PROG:SLOP 0.5", ":PROG:TRIG normal", ":PROG:REP 1", ":PROG:SAVE 'p.csv'",
        ":PROG:LOAD 'p.csv'", ":PROG:COUN 1", ":ROUT:BNCO trigger", ":ROUT:BNCI output",
        ":PROG:RUN", "OUTPUT 0", "*RST",
    ):  # fmt: skip
        lab.write(message)
        assert lab.errors() == [], message
    for question in (
        ":SOUR:FUNC?", ":SOUR:RANG?", ":SOUR:LEV?", ":SOUR:PROT:VOLT?", ":SENS:REM?", "SYST:LFR?",
        ":PROG:INT?", ":PROG:LOAD?", ":PROG:COUN?", ":PROG:REP?", ":ROUT:BNCO?", "OUTPUT?",
        ":SYSTem:ERRor?",
    ):  # fmt: skip
        assert lab.ask(question) != "", question
    assert math.isclose(float(lab.ask(":SOUR:RANG?")), 1.0)


# --- the how-to page -----------------------------------------------------------------------------


def test_the_example_of_the_how_to_page_runs_as_it_stands():
    page = Path(__file__).parent.parent / "docs/how-to/add-a-simulated-instrument.md"
    blocks = re.findall(
        r"^```python\n(.*?)^```$", page.read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    assert len(blocks) == 3
    space = {"__name__": "page"}
    exec("\n".join(blocks), space)  # the last line of the page calls its own test
    assert space["AcmeV1"].identity == "ACME,V1,0001,1.0"
