"""Simulated Yokogawa GS200: levels, limits, programs."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymeasure.adapters import Adapter
from pymeasure.instruments.yokogawa import YokogawaGS200 as PymeasureGS200

from sim_backend.models.yokogawags200 import YokogawaGS200
from tests.one_instrument import (
    Lab,
    at_load,
    resistor,
)

# --- Yokogawa GS200 ------------------------------------------------------------------------------


def gs200(ohm=1e3):
    return Lab(YokogawaGS200, resistor(ohm))


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
