"""Traps of a Keithley 2400 that a lab falls into, with the drivers that spring them."""

import itertools

import pytest
import pyvisa

from tests.test_sim_keithley2400 import NAN, Lab

_NUMBERS = itertools.count()


@pytest.fixture
def lab():
    return Lab()


@pytest.fixture
def smu(monkeypatch):
    """pymeasure's own driver of meter x, and the simulated instrument behind it."""
    from pymeasure.instruments.keithley import Keithley2400

    manager = pyvisa.ResourceManager(f"?instance=traps2400-{next(_NUMBERS)}@spinloop")
    monkeypatch.setattr("pymeasure.instruments.keithley.keithley2400.time.sleep", lambda s: None)
    meter = Keithley2400("GPIB0::24::INSTR", visa_library=manager.visalib)
    meter.simulated = manager.visalib.bench.by_name["x"]
    yield meter
    meter.adapter.close()
    manager.close()


# -- the instrument --------------------------------------------------------------------------------


def test_integration_time_is_one_for_all_functions(lab):
    for set_by in ("CURR", "VOLT", "RES"):
        for read_by in ("CURR", "VOLT", "RES"):
            lab.write(f":SENS:{set_by}:NPLC 3", f":SENS:{read_by}:NPLC 0.5")
            assert float(lab.ask(f":SENS:{set_by}:NPLC?")) == 0.5


def test_a_second_clients_elements_break_the_first_ones_readings(lab):
    lab.write(":FORM:ELEM CURR,STAT;:OUTP ON")
    assert len(lab.numbers(":READ?")) == 2
    lab.write(":FORM:ELEM VOLT,CURR,RES,TIME,STAT")  # another program connects
    assert len(lab.numbers(":FETC?")) == 5


def test_output_off_waits_for_the_end_of_the_trigger_model(lab):
    lab.write(":OUTP ON;:ARM:SOUR BUS;:INIT", ":OUTP OFF")
    assert lab.ask(":OUTP?") == "1"
    lab.write("*TRG")
    lab.bench.pause(10.0)
    assert lab.ask(":OUTP?") == "0"


@pytest.mark.parametrize("way", [":ABOR", "clear"])
def test_abort_and_device_clear_end_what_output_off_waits_for(lab, way):
    lab.write(":OUTP ON;:ARM:SOUR BUS;:INIT", ":OUTP OFF")
    if way == "clear":
        lab.bench.device_clear(lab.x)
    else:
        lab.write(way)
    assert not lab.x.busy
    assert lab.ask(":OUTP?") == ("1" if way == "clear" else "0")  # a clear forgets what waits


def test_not_a_number_and_overflow_come_as_numbers(lab):
    lab.write(":SENS:FUNC 'RES';:SENS:RES:RANG 2e3;:OUTP ON;:FORM:ELEM RES,STAT")  # 10 kohm
    ohm, status = lab.numbers(":READ?")
    assert ohm == 9.9e37 and int(status) & 1
    lab.write(":SENS:FUNC:CONC OFF;:SENS:FUNC 'CURR';:OUTP ON")
    assert lab.numbers(":READ?")[0] == NAN


def test_a_trigger_count_below_the_lists_length_leaves_its_end_out(lab):
    lab.write(":SOUR:VOLT:MODE LIST;:SOUR:LIST:VOLT 0.1,0.2,0.3;:TRIG:COUN 2;:OUTP ON")
    lab.write(":FORM:ELEM VOLT")
    assert lab.numbers(":READ?") == pytest.approx([0.1, 0.2])
    assert lab.output_v() == pytest.approx(0.2)


def test_a_long_list_comes_in_pieces_or_not_at_all(lab):
    lab.write(":SOUR:LIST:VOLT " + ",".join(["0.1"] * 101))
    assert lab.errors() == [-223]
    assert lab.ask(":SOUR:LIST:VOLT:POIN?") == "1"  # what was there


# -- pymeasure's driver ----------------------------------------------------------------------------


def test_pymeasure_makes_1024_of_2500_buffer_points(smu):
    smu.buffer_points = 2500
    assert smu.simulated.state["buffer_points"] == 1024
    smu.write(":TRAC:POIN 2500")
    assert smu.simulated.state["buffer_points"] == 2500


def test_pymeasure_rounds_set_points_to_six_digits(smu):
    smu.source_voltage = 0.123456789
    assert smu.simulated.state["v_level"] == 0.123457


def test_pymeasures_reading_turns_the_output_on_and_drops_the_trigger_count(smu):
    smu.trigger_count = 7
    assert not smu.source_enabled
    assert smu.current is not None
    assert smu.source_enabled
    assert smu.trigger_count == 1


def test_pymeasures_resistance_takes_the_source_over(smu):
    smu.compliance_current = 1e-5
    smu.resistance_mode_auto_enabled = False
    assert smu.resistance is not None
    assert smu.simulated.state["ohms_mode"] == "AUTO"
    assert smu.simulated.key == "i"


def test_pymeasure_finds_the_full_buffer_in_two_bits_of_the_status_byte(smu):
    smu.enable_source()
    smu.config_buffer(3)
    assert not smu.is_buffer_full()
    smu.start_buffer()
    smu.adapter.connection.visalib.bench_pause(5.0)
    assert smu.ask("*STB?").strip() == "65"
    assert smu.is_buffer_full()


def test_pymeasures_shutdown_ramps_before_it_aborts_so_that_its_ramp_waits(smu, monkeypatch):
    smu.source_voltage = 0.5
    smu.enable_source()
    smu.write(":ARM:SOUR BUS;:INIT")
    abort, at_abort = smu.stop_buffer, []

    def stop_buffer():
        at_abort.append(smu.simulated.level)
        abort()

    monkeypatch.setattr(smu, "stop_buffer", stop_buffer)
    smu.shutdown()
    assert at_abort == [0.5]
    assert smu.simulated.level == 0 and not smu.source_enabled


def test_a_question_for_readings_is_not_answered_while_the_run_waits(smu):
    smu.enable_source()
    smu.write(":ARM:SOUR BUS;:INIT")
    with pytest.raises(pyvisa.errors.VisaIOError):
        smu.ask(":FETC?")
    assert smu.simulated.busy and smu.source_enabled


def test_fetching_less_takes_less_of_the_bus(lab):
    costs = []
    for elements in ("VOLT,CURR,RES,TIME,STAT", "CURR,STAT"):
        lab.write(f":FORM:ELEM {elements};:TRIG:COUN 100;:OUTP ON")
        lab.numbers(":READ?")
        before = lab.bench.spent_s["fetch"]
        lab.numbers(":FETC?")
        costs.append(lab.bench.spent_s["fetch"] - before)
    assert costs[1] == pytest.approx(costs[0] * 2 / 5)


# -- our own driver --------------------------------------------------------------------------------


@pytest.mark.parametrize("compliance_a, range_a", [(1e-9, 1e-6), (1.0, 1.0), (1.0, 1e-6)])
def test_our_driver_finds_its_way_from_any_compliance_and_range(compliance_a, range_a):
    """By way of the smallest range, from which every compliance can be set."""
    from instruments import Bench

    with Bench.open() as bench:
        for meter in bench._keep.visalib.bench.meters.values():
            meter.state.update(i_protection=compliance_a, i_range=range_a, i_range_auto=False)
        bench.arm()
        for meter in bench._keep.visalib.bench.meters.values():
            limit, by_range = meter.compliance
            assert limit <= bench.file.limits.junction.current
            assert not by_range and not meter.state["i_range_auto"]
            assert meter.state["i_range"] == 1e-5  # the smallest that holds it
