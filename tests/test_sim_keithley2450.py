"""Simulated Keithley 2450: source, readings, sweeps, event log."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim_backend import circuit
from sim_backend.models.keithley2450 import Keithley2450
from tests.one_instrument import LINE_HZ, Lab, at_load, resistor

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
