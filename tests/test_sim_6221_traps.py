"""What goes wrong with a Keithley 6221 on a bench goes wrong here.

The sweeps' own traps are in ``test_sim_6221_sweeps.py``: a FIXed range that cuts levels off, AUTO
through zero, the last level that stays on.
"""

import itertools

import numpy as np
import pytest
from pymeasure.instruments.keithley import Keithley6221 as Driver

from sim_backend.bench import SimBench
from sim_backend.truth import load_truth

_numbers = itertools.count()


def line_a(bench):
    return float(bench.plant.line.current_a(bench.solve())[0])


@pytest.fixture
def driver():
    return Driver("GPIB0::12::INSTR", visa_library=f"?instance=trap{next(_numbers)}@spinloop")


def test_pymeasures_driver_sends_105_ma_for_200_ma_and_nobody_says_so(driver):
    driver.source_compliance = 10
    driver.enable_source()
    driver.source_current = 0.2
    assert driver.check_errors() == []
    assert driver.source_current == pytest.approx(0.105)
    assert line_a(driver.adapter.manager.visalib.bench) == pytest.approx(0.105)


def test_pymeasures_shutdown_goes_from_full_current_to_off_in_one_step(driver):
    bench = driver.adapter.manager.visalib.bench
    driver.enable_source()
    driver.source_current = 0.02
    sent, write = [], bench.write

    def note(instrument, message):
        sent.append(message)
        write(instrument, message)

    bench.write = note
    driver.shutdown()
    assert sent == ["OUTPUT OFF"]
    assert bench.source.state["level"] == 0.02  # and there it is again when it is switched on


def test_the_instrument_itself_refuses_200_ma():
    bench = SimBench(load_truth(None))
    bench.write(bench.source, ":SOUR:CURR 0.2;:SYST:ERR?")
    bench.write(bench.source, ":SYST:ERR?")
    assert bench.take(bench.source, 100)[0].startswith(b"-222")
    assert bench.source.state["level"] == 0


@pytest.mark.parametrize("compliance_v, breaks", [(105, True), (15, False)])
def test_a_compliance_above_what_the_dielectric_bears_breaks_it(compliance_v, breaks):
    """20 V are borne; 40 mA through 500 ohm are 20 V, 100 mA would be 50 V."""
    bench = SimBench(load_truth(None, line={"ohm": 500.0, "dielectric_v": 20.0}))
    bench.write(bench.source, f":SOUR:CURR:COMP {compliance_v};:OUTP ON;:SOUR:CURR 0.1")
    bench.solve()
    assert any("dielectric" in what for _, what in bench.plant.events) is breaks


def test_a_source_that_loses_its_load_goes_to_its_compliance():
    instruments = load_truth(None).model_dump()["instruments"]
    instruments["second"] = {"address": "GPIB0::13::INSTR", "model": "keithley6221"}
    instruments["nano"] = {"address": "GPIB0::8::INSTR", "model": "keithley2182a"}
    wires = [("second.hi", "nano.ch1_hi"), ("second.lo", "earth"), ("nano.ch1_lo", "earth")]
    bench = SimBench(load_truth(None, instruments=instruments, wires=wires))
    bench.write(bench.by_name["second"], ":SOUR:CURR:COMP 7;:OUTP ON;:SOUR:CURR 1e-3")
    nano = bench.by_name["nano"]
    bench.write(nano, ":READ?")
    bench.pause(1)
    assert float(bench.take(nano, 100)[0]) == pytest.approx(7, rel=1e-3)


def test_a_level_survives_the_output_and_a_reset_clears_both():
    bench = SimBench(load_truth(None))
    source = bench.source
    bench.write(source, ":SOUR:CURR 0.01;:OUTP ON;:OUTP OFF;:OUTP ON")
    assert line_a(bench) == pytest.approx(0.01)
    bench.write(source, "*RST")
    assert not source.state["output"] and source.state["level"] == 0
    assert line_a(bench) == 0


def test_after_a_reset_an_armed_sweep_goes_up_to_100_ma():
    """Who forgets SPACing LIST gets the staircase, whatever the list says."""
    bench = SimBench(load_truth(None))
    source = bench.source
    bench.write(source, ":SOUR:LIST:CURR 0,1e-3;DEL .01,.01;COMP 10,10;:SOUR:DEL 0.01")
    assert np.max(source.sweep_levels()) == pytest.approx(0.1)
    bench.write(source, ":SOUR:SWE:ARM;:INIT")
    bench.pause(1)
    assert line_a(bench) == pytest.approx(0.1)


def test_with_its_display_on_points_come_up_to_a_millisecond_late_and_the_same_each_time():
    def ends(display):
        bench = SimBench(load_truth(""))
        source = bench.source
        bench.write(source, f":DISP:ENAB {display};:SOUR:SWE:SPAC LIST")
        bench.write(source, ":SOUR:LIST:CURR 0.001,0.002,0.003;DEL 0.1,0.1,0.1;COMP 10,10,10")
        found = []
        for _ in range(2):
            start_s = bench.clock.now_s
            bench.write(source, ":SOUR:SWE:ARM;:INIT")
            bench.pause(1.0)
            found.append(bench.clock.now_s - start_s)
        return found

    steady, late = ends("OFF"), ends("ON")
    assert steady[0] == pytest.approx(steady[1], abs=1e-9)
    assert all(0 < one - steady[0] < 3e-3 for one in late) and late[0] != late[1]
    assert ends("ON") == late
