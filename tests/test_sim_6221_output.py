"""The simulated Keithley 6221's output between two settings: filter, response, waves, marker.

Pages are of the 622x Reference Manual, 622X-901-01.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymeasure.instruments.keithley import Keithley6221 as Driver

from sim_backend.bench import SimBench
from sim_backend.devices import Points
from sim_backend.models.keithley6221 import Keithley6221
from sim_backend.models.keithley6221_settle import FILTER_S, SLOW_S
from sim_backend.truth import load_truth

WAVE_STARTED, WAVE_STOPPED = 1 << 4, 1 << 7  # operation register


class Lab:
    """A bench, and its field source."""

    def __init__(self, **changes):
        self.bench = SimBench(load_truth(None, read_noise_a=0, **changes))
        self.it = self.bench.source

    def write(self, *messages):
        for message in messages:
            self.bench.write(self.it, message)

    def ask(self, question):
        self.write(question)
        return self.bench.take(self.it, 10**6)[0].removesuffix(b"\n").decode()

    def errors(self):
        found = []
        while not (answer := self.ask(":SYST:ERR?")).startswith("0,"):
            found.append(int(answer.partition(",")[0]))
        return found

    def line_a(self):
        return float(self.bench.plant.line.current_a(self.bench.solve())[0])

    def after(self, seconds):
        self.bench.pass_time(seconds, "settle")
        return self.line_a()


@pytest.fixture
def lab():
    return Lab()


# -- settling --------------------------------------------------------------------------------------


def test_without_filter_a_level_is_there_at_once(lab):
    lab.write(":OUTP ON;:SOUR:CURR 0.02")
    assert lab.line_a() == pytest.approx(0.02)


@pytest.mark.parametrize(
    "setting, tau_s", [(":SOUR:CURR:FILT ON", FILTER_S), (":OUTP:RESP SLOW", SLOW_S)]
)
def test_a_slow_output_approaches_its_level(lab, setting, tau_s):
    lab.write(setting, ":OUTP ON;:SOUR:CURR 0.02")
    assert lab.line_a() == pytest.approx(0, abs=1e-9)
    assert lab.after(tau_s) == pytest.approx(0.02 * (1 - np.exp(-1)), rel=1e-4)
    assert lab.after(tau_s) == pytest.approx(0.02 * (1 - np.exp(-2)), rel=1e-4)
    assert lab.after(50 * tau_s) == pytest.approx(0.02)


def test_a_filter_that_is_switched_on_does_not_take_a_level_back(lab):
    lab.write(":OUTP ON;:SOUR:CURR 0.02", ":SOUR:CURR:FILT ON")
    assert lab.line_a() == pytest.approx(0.02)


def test_the_slow_response_is_within_1_percent_after_100_us(lab):
    """Specifications, settling time."""
    lab.write(":OUTP:RESP SLOW;:OUTP ON;:SOUR:CURR 0.02")
    assert lab.after(100e-6) == pytest.approx(0.02 * 0.99, rel=1e-4)


@settings(max_examples=20, deadline=None)
@given(
    window=st.floats(1e-5, 0.01), at=st.floats(0, 0.02), steps=st.lists(st.floats(-0.1, 0.1),
    min_size=1, max_size=4),
)  # fmt: skip
def test_a_meter_sees_the_mean_of_what_settles(window, at, steps):
    lab = Lab()
    lab.write(":SOUR:CURR:FILT ON;:SOUR:CURR:COMP 105;:OUTP ON")
    before = 0.0
    for level in steps:
        before = lab.it.reached_a()
        lab.write(f":SOUR:CURR {level:.9g}")
    since, level = lab.bench.clock.now_s, lab.it.state["level"]
    before = lab.it.reached_a()
    ends = np.array([since + at])
    mean = lab.it.levels_over(Points(ends - window, ends, window))
    times = at - window + window * (np.arange(5000) + 0.5) / 5000
    wanted = level + (before - level) * np.exp(-np.clip(times, 0, None) / FILTER_S)
    found = level if mean is None else mean[0]
    assert found == pytest.approx(np.mean(wanted), abs=1e-6)


@pytest.mark.parametrize("wait_s, burnt", [(0.3e-3, False), (0.6e-3, True)])
def test_a_level_that_is_taken_back_in_time_never_reaches_the_line(monkeypatch, wait_s, burnt):
    """The line bears 20 mA: a filtered step to 60 mA passes them after 0.4 ms."""
    monkeypatch.setattr(Keithley6221, "message_time_s", 0.0)
    line, costs = {"ohm": 50.0, "most_a_per_m2": 2e10}, {"message_s": 0.0, "byte_s": 0.0}
    lab = Lab(line=line, costs=costs)
    lab.write(":SOUR:CURR:FILT ON;:OUTP ON", ":SOUR:CURR 0.06")
    lab.bench.pass_time(wait_s, "settle")
    lab.write(":OUTP OFF")
    assert lab.bench.plant.line.burnt is burnt


# -- waves -----------------------------------------------------------------------------------------


def test_an_armed_wave_puts_out_nothing_until_it_starts(lab):
    """p. 7-30, note 12."""
    lab.write(":SOUR:WAVE:FUNC SQU;AMPL 0.001;OFFS 0.01;FREQ 1;ARM")
    assert lab.ask(":OUTP?") == "1" and lab.line_a() == 0
    lab.write(":SOUR:WAVE:INIT")
    assert lab.line_a() == pytest.approx(0.011)


def test_the_range_of_a_wave_holds_the_level_that_comes_back(lab):
    lab.write(":SOUR:CURR 0.05;:SOUR:WAVE:AMPL 1e-6;RANG BEST;ARM;ABOR")
    assert float(lab.ask(":SOUR:CURR:RANG?")) == 0.1


def test_a_wave_says_once_that_it_has_begun_and_that_it_is_over(lab):
    lab.write(":SOUR:WAVE:FREQ 10;DUR:CYCL 5;:SOUR:WAVE:ARM;INIT")
    assert int(lab.ask(":STAT:OPER?")) & (WAVE_STARTED | WAVE_STOPPED) == WAVE_STARTED
    lab.bench.pause(0.6)
    assert int(lab.ask(":STAT:OPER?")) & (WAVE_STARTED | WAVE_STOPPED) == WAVE_STOPPED
    lab.write(":SOUR:WAVE:ABOR")
    assert not int(lab.ask(":STAT:OPER?")) & WAVE_STOPPED
    lab.write(":SOUR:WAVE:DUR:TIME INF;:SOUR:WAVE:ARM;INIT", ":SOUR:WAVE:ABOR")
    assert int(lab.ask(":STAT:OPER?")) & WAVE_STOPPED


def test_pymeasures_driver_waits_for_the_end_of_a_wave():
    """The example in the driver's documentation, step by step."""
    driver = Driver("GPIB0::12::INSTR", visa_library="?instance=6221 waves@spinloop")
    driver.clear()
    driver.waveform_function = "square"
    driver.waveform_amplitude = 0.005
    driver.waveform_offset = 0
    driver.source_compliance = 10
    driver.waveform_dutycycle = 50
    driver.waveform_frequency = 347
    driver.waveform_ranging = "best"
    driver.waveform_duration_cycles = 100
    driver.operation_event_enabled = 128
    driver.srq_event_enabled = 128
    driver.waveform_arm()
    driver.waveform_start()
    driver.adapter.wait_for_srq()
    assert driver.operation_events & WAVE_STOPPED
    driver.waveform_abort()
    driver.shutdown()


# -- phase marker ----------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(
    hertz=st.floats(0.5, 1e3), degrees=st.floats(0, 360), cycles=st.floats(0.5, 50),
    part=st.floats(0, 1),
)  # fmt: skip
def test_the_phase_marker_puts_out_one_pulse_a_cycle(hertz, degrees, cycles, part):
    lab = Lab()
    lab.write(f":SOUR:WAVE:FREQ {hertz:.9g};DUR:CYCL {cycles:.9g};:SOUR:WAVE:PMAR {degrees:.9g}")
    lab.write(":SOUR:WAVE:PMAR:STAT ON;:SOUR:WAVE:ARM;INIT")
    assert lab.errors() == []
    state, start = lab.it.state, lab.it.wave_start_s
    pulses = lab.it.marker_pulses_s(start - 1, start + 1e4)
    at = (pulses - start) * state["wave_hz"]
    assert at - np.arange(len(at)) == pytest.approx(state["marker_deg"] / 360 % 1, abs=1e-4)
    assert len(at) == pytest.approx(state["wave_cycles"], abs=1)
    # Asked in two parts, each comes once.
    middle = start + part * state["wave_time_s"]
    first = lab.it.marker_pulses_s(start - 1, middle)
    second = lab.it.marker_pulses_s(middle, start + 1e4)
    assert np.concatenate((first, second)) == pytest.approx(pulses)


def test_a_marker_that_is_off_or_has_no_wave_is_silent(lab):
    lab.write(":SOUR:WAVE:PMAR:STAT ON;:SOUR:WAVE:ARM")
    assert not len(lab.it.marker_pulses_s(0, 10))
    lab.write(":SOUR:WAVE:PMAR:STAT OFF;:SOUR:WAVE:INIT")
    assert not len(lab.it.marker_pulses_s(0, 10))


def test_the_marker_cannot_have_the_line_of_the_trigger(lab):
    """p. 7-29, note 7."""
    lab.write(":TRIG:OLIN 2", ":SOUR:WAVE:PMAR:OLIN 2")
    assert lab.errors() == [-221]
    assert lab.ask(":SOUR:WAVE:PMAR:OLIN?") == "3"
    lab.write(":TRIG:OLIN 3", ":SOUR:WAVE:PMAR:STAT ON;:SOUR:WAVE:ARM")
    assert lab.errors() == [-221]
    assert lab.ask(":OUTP?") == "0"


class Marked(Lab):
    """A square wave of 2 Hz, and a meter on its marker's line 3."""

    def __init__(self, count, degrees=90, cycles=20):
        super().__init__()
        channels = self.bench.truth.junctions.channels["J1"]
        self.meter = self.bench.by_name["x"]
        closed = f"{channels.x},{channels.z},{channels.low}"
        self.bench.write(self.bench.by_name["switch"], f":CLOS (@{closed})")
        self.tell(":SOUR:VOLT 0.02;:OUTP ON;:SOUR:DEL 0;:FORM:ELEM CURR,TIME;:SENS:CURR:NPLC 0.1")
        self.tell(f":TRIG:SOUR TLIN;ILIN 3;COUN {count}")
        self.write(
            f":SOUR:WAVE:FUNC SQU;AMPL 0.02;FREQ 2;DUR:CYCL {cycles};:SOUR:WAVE:PMAR:STAT ON"
        )
        self.write(f":SOUR:WAVE:PMAR {degrees};:SOUR:WAVE:ARM")

    def tell(self, message):
        self.bench.write(self.meter, message)

    def readings(self):
        self.tell(":FETC?")
        values = self.bench.take(self.meter, 10**5)[0].decode().split(",")
        return np.array([float(value) for value in values]).reshape(-1, 2)


@pytest.mark.parametrize("meter_first", [True, False])
def test_a_meter_on_the_markers_line_reads_at_the_same_phase_of_each_cycle(meter_first):
    found = {}
    for degrees in (90, 270):  # the middle of the high half, and of the low half
        lab = Marked(4, degrees)
        if meter_first:
            lab.tell(":INIT")
        lab.write(":SOUR:WAVE:INIT")
        if not meter_first:
            lab.tell(":INIT")
        assert lab.meter.busy
        lab.bench.pause(1)
        assert not lab.meter.busy
        currents, times = lab.readings().T
        assert np.diff(times) == pytest.approx(0.5, abs=1e-3)
        assert len(times) == 4
        found[degrees] = currents
    assert np.ptp(found[90]) < 1e-9 and np.ptp(found[270]) < 1e-9
    assert abs(found[90].mean() / found[270].mean() - 1) > 0.05


def test_a_meter_that_is_busy_misses_pulses_of_the_marker():
    lab = Marked(3)
    lab.tell(":SOUR:DEL 0.6")  # more than a cycle
    lab.tell(":INIT")
    lab.write(":SOUR:WAVE:INIT")
    lab.bench.pause(1)
    assert np.diff(lab.readings()[:, 1]) == pytest.approx(1.0, abs=1e-3)


def test_when_the_wave_is_over_the_meter_waits_on():
    lab = Marked(10, cycles=3)
    lab.tell(":INIT")
    lab.write(":SOUR:WAVE:INIT")
    lab.bench.pause(5)
    assert lab.meter.busy and lab.meter.remaining == 7
    lab.write(":SOUR:WAVE:ABOR;ARM;INIT")
    lab.bench.pause(5)
    assert lab.meter.busy and lab.meter.remaining == 4
    lab.write(":SOUR:WAVE:ABOR;ARM;INIT", ":SOUR:WAVE:ABOR")
    lab.bench.pass_time(5, "settle")
    assert lab.meter.remaining == 4
    lab.tell(":ABOR")
    assert not lab.meter.busy


def test_a_meter_that_leaves_takes_no_more_pulses():
    lab = Marked(10)
    lab.tell(":INIT")
    lab.write(":SOUR:WAVE:INIT")
    lab.bench.pass_time(1.2, "settle")
    lab.tell(":ABOR")
    lab.bench.pass_time(3, "settle")
    assert len(lab.readings()) == 3
    assert not lab.meter.busy and lab.meter.remaining == 0


# -- front panel -----------------------------------------------------------------------------------


def test_the_display_keeps_its_two_lines(lab):
    lab.write(":DISP:TEXT 'field line';:DISP:WIND2:TEXT 'do not touch'", ":DISP:TEXT:STAT ON")
    assert lab.ask(":DISP:WIND1:TEXT:DATA?;STAT?") == '"field line";1'
    assert lab.ask(":DISP:WIND2:TEXT?") == '"do not touch"'
    lab.write(":DISP:TEXT 'twenty-one characters'")
    assert lab.errors() == [-223]


def test_clear_goes_to_zero_and_then_off(lab):
    lab.write(":SOUR:CURR 0.02;:OUTP ON", ":SOUR:CLE")
    assert lab.ask(":OUTP?;:SOUR:CURR?") == "0;+0.000000E+00"
    assert lab.line_a() == 0
    assert lab.ask(":OUTP:INT:TRIP?") == "1"
