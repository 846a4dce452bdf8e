"""Yokogawa GS200, Keithley 2182A and Keithley 2450: what holds for each of them."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim_backend.models.electrical import Quoted
from sim_backend.models.keithley2182a import Keithley2182A
from sim_backend.models.keithley2450 import Keithley2450
from sim_backend.models.yokogawags200 import YokogawaGS200
from sim_backend.scpi import Boolean, Choice, Number, Numbers, Whole, Words
from sim_backend.scpi_language import forms, problems
from tests.one_instrument import (
    MODELS,
    Lab,
    every_model,
    resistor,
    state_of,
)

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
