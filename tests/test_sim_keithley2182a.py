"""Simulated Keithley 2182A: ranges, filters, triggers, buffer."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim_backend.circuit import VoltageSource
from sim_backend.models.keithley2182a import Keithley2182A
from sim_backend.programme import at_once
from tests.one_instrument import (
    LINE_HZ,
    OVERFLOW,
    Lab,
)

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
    assert at_once(lab, lab.instrument.read_volt()) == pytest.approx(0.03)
    assert lab.ask(":TRAC:POIN:ACT?") == "0"
