"""The simulated Keithley 6221: levels, ranges, lists, waves, delta mode, its buffer."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim_backend.bench import SimBench
from sim_backend.devices import Points
from sim_backend.models.keithley6221 import Keithley6221
from sim_backend.scpi_language import problems
from sim_backend.truth import load_truth


class Lab:
    """The field source, and with ``ohm`` a 2182A across a resistor that a second source feeds."""

    def __init__(self, ohm=None, **changes):
        truth = load_truth(None, read_noise_a=0, **changes)
        if ohm is not None:
            instruments = truth.model_dump()["instruments"]
            instruments["second"] = {"address": "GPIB0::13::INSTR", "model": "keithley6221"}
            instruments["nano"] = {"address": "GPIB0::8::INSTR", "model": "keithley2182a"}
            wires = [("second.hi", "r.a"), ("nano.ch1_hi", "r.a"), ("second.lo", "earth"),
                     ("nano.ch1_lo", "earth"), ("r.b", "earth")]  # fmt: skip
            devices = {"r": {"kind": "resistor", "ohm": ohm, "most_w": 100}}
            truth = load_truth(None, instruments=instruments, wires=wires, devices=devices)
        self.bench = SimBench(truth)
        self.it = self.bench.by_name["field" if ohm is None else "second"]

    def write(self, *messages):
        for message in messages:
            self.bench.write(self.it, message)

    def ask(self, question):
        self.write(question)
        return self.bench.take(self.it, 10**7)[0].removesuffix(b"\n").decode()

    def numbers(self, question):
        return [float(value) for value in self.ask(question).split(",")]

    def errors(self):
        found = []
        while not (answer := self.ask(":SYST:ERR?")).startswith("0,"):
            found.append(int(answer.partition(",")[0]))
        return found

    def line_a(self):
        return float(self.bench.plant.line.current_a(self.bench.solve())[0])


@pytest.fixture
def lab():
    return Lab()


def test_no_row_of_the_language_hides_another():
    assert problems(Keithley6221.table) == []


RESET = {":OUTP?": "0", ":SOUR:CURR?": 0, ":SOUR:CURR:RANG?": 0.1, ":SOUR:CURR:COMP?": 10,
         ":SOUR:SWE:RANG?": "BEST", ":SOUR:WAVE:FUNC?": "SIN", ":SOUR:WAVE:AMPL?": 1e-3,
         ":SOUR:WAVE:OFFS?": 0, ":SOUR:WAVE:FREQ?": 1e3, ":SOUR:WAVE:DUR:TIME?": 9.9e37,
         ":UNIT:VOLT:DC?": "V", ":FORM:ELEM?": "READ,TST", ":STAT:OPER:COND?": "1024"}  # fmt: skip


def test_reset_leads_back_to_the_table(lab):
    lab.write(
        ":SOUR:CURR 0.01;:OUTP ON;:SOUR:WAVE:FUNC RAMP;AMPL 0.01;OFFS 0.002;FREQ 5;DUR:TIME 3"
    )
    lab.write(":UNIT:VOLT:DC OHMS;:FORM:ELEM READ;:SOUR:CURR:COMP 3", "*RST")
    assert lab.errors() == []
    for question, value in RESET.items():
        answer = lab.ask(question)
        assert answer == value if isinstance(value, str) else float(answer) == value, question


# -- lists -----------------------------------------------------------------------------------------


def test_a_list_has_65535_points_and_no_delay_below_1_ms(lab):
    hundred = ",".join(["0.001"] * 100)
    lab.write(f":SOUR:LIST:CURR {hundred}")
    lab.it.state["list"] = [0.001] * 65500
    lab.write(f":SOUR:LIST:CURR:APP {','.join(['0'] * 35)}")
    assert lab.errors() == []
    lab.write(":SOUR:LIST:CURR:APP 0", ":SOUR:LIST:DEL 0.0009", ":SOUR:DEL 0.0009")
    assert lab.errors() == [-223, -222, -222]
    assert lab.ask(":SOUR:LIST:CURR:POIN?") == "65535"


def test_a_list_waits_for_its_arm_event(lab):
    lab.write(":SOUR:SWE:SPAC LIST;:SOUR:LIST:CURR 0.001,0.002;DEL 1,1;COMP 10,10", ":ARM:SOUR BUS")
    lab.write(":SOUR:SWE:ARM;:INIT")
    assert not lab.it.sweeping and int(lab.ask(":STAT:OPER:COND?")) == 1 << 6
    lab.write("*TRG")
    assert lab.it.sweeping and int(lab.ask(":STAT:OPER:COND?")) == 1 << 3
    lab.bench.pause(1)
    assert lab.line_a() == pytest.approx(0.002)
    assert int(lab.ask(":STAT:OPER:COND?")) == 1 << 10


# -- waves -----------------------------------------------------------------------------------------

SHAPES = {
    "SIN": lambda u, d: np.sin(2 * np.pi * u),
    "SQU": lambda u, d: np.where(u < d, 1.0, -1.0),
    "RAMP": lambda u, d: np.where(u < d, 2 * u / d - 1, 1 - 2 * (u - d) / (1 - d)),
    "ARB0": lambda u, d: np.array([0.5, -1, 1, 0.25])[np.minimum((u * 4).astype(int), 3)],
}


@pytest.mark.parametrize("wave", SHAPES)
@settings(max_examples=15, deadline=None)
@given(
    hertz=st.floats(0.5, 100),
    duty=st.integers(5, 95),
    at=st.floats(0.02, 2),
    part=st.floats(0.01, 1),
)
def test_a_meter_sees_the_mean_of_a_wave_over_its_window(wave, hertz, duty, at, part):
    lab = Lab()
    lab.write(":SOUR:WAVE:ARB:DATA 0.5,-1,1,0.25")
    lab.write(f":SOUR:WAVE:FUNC {wave};FREQ {hertz:.9g};DCYC {duty};AMPL 0.01;OFFS 0.002;ARM;INIT")
    assert lab.errors() == []
    hertz = lab.it.state["wave_hz"]
    window = 0.02 * part
    ends = np.array([lab.it.wave_start_s + at])
    [mean] = lab.it.levels_over(Points(ends - window, ends, window))
    times = at - window + window * (np.arange(20000) + 0.5) / 20000
    wanted = 0.002 + 0.01 * np.mean(SHAPES[wave](times * hertz % 1, duty / 100))
    assert mean == pytest.approx(wanted, abs=1e-5)


def test_a_reading_follows_a_wave_through_the_magnet():
    lab = Lab()
    channels = lab.bench.truth.junctions.channels["J1"]
    lab.bench.write(
        lab.bench.by_name["switch"], f":CLOS (@{channels.x},{channels.z},{channels.low})"
    )
    meter = lab.bench.by_name["x"]
    lab.bench.write(
        meter, ":SOUR:VOLT 0.02;:OUTP ON;:SOUR:DEL 0;:SYST:AZER:STAT OFF;:FORM:ELEM CURR"
    )
    lab.write(":SOUR:WAVE:FUNC SQU;FREQ 0.5;AMPL 0.02;ARM;INIT")
    lab.bench.write(meter, ":TRIG:COUN 150;:READ?")
    found = np.array([float(v) for v in lab.bench.take(meter, 10**6)[0].split(b",")])
    steady = []
    for level in (0.02, -0.02):
        lab.write(":SOUR:WAVE:ABOR", f":SOUR:CURR {level};:OUTP ON")
        lab.bench.write(meter, ":TRIG:COUN 1;:READ?")
        steady.append(float(lab.bench.take(meter, 100)[0]))
    assert found.max() == pytest.approx(max(steady), rel=1e-4)
    assert found.min() == pytest.approx(min(steady), rel=1e-4)
    assert max(steady) > 1.05 * min(steady)


def test_a_wave_ends_when_its_time_is_over(lab):
    lab.write(":SOUR:WAVE:FUNC SQU;FREQ 10;AMPL 0.01;OFFS 0.001;DUR:CYCL 5;:SOUR:WAVE:ARM;INIT")
    assert float(lab.ask(":SOUR:WAVE:DUR:TIME?")) == pytest.approx(0.5)
    assert abs(lab.line_a() - 0.001) == pytest.approx(0.01, rel=1e-6)
    lab.bench.pass_time(0.6, "settle")
    assert lab.line_a() == pytest.approx(0.001)
    lab.write(":SOUR:WAVE:ABOR")
    assert lab.ask(":OUTP?;:SOUR:WAVE:ARM?") == "0;0"


def test_a_wave_needs_arming_and_a_range_that_holds_its_peaks(lab):
    lab.write(":SOUR:WAVE:INIT")
    assert lab.errors() == [-213]
    lab.write(":SOUR:CURR:RANG 0.002;:SOUR:WAVE:RANG FIX;AMPL 0.002;OFFS 0.001;ARM")
    assert lab.errors() == [-221]
    lab.write(":SOUR:WAVE:RANG BEST;ARM")
    assert lab.errors() == []
    assert float(lab.ask(":SOUR:CURR:RANG?")) == 0.02
    lab.write(":SOUR:WAVE:FUNC SQU")
    assert lab.errors() == [-221]


def test_arbitrary_waves_are_kept_through_a_reset(lab):
    lab.write(":SOUR:WAVE:FUNC ARB2;ARM")
    assert lab.errors() == [-221]
    lab.write(":SOUR:WAVE:ARB:DATA 0.5,0.5;APP 0.5;COPY 2", "*RST")
    lab.write(":SOUR:WAVE:FUNC ARB2;AMPL 0.01;ARM;INIT")
    assert lab.errors() == []
    assert lab.line_a() == pytest.approx(0.005)


# -- delta mode ------------------------------------------------------------------------------------


def test_without_a_nanovoltmeter_there_is_no_delta_mode(lab):
    assert lab.ask(":SOUR:DELT:NVPR?") == "0"
    lab.write(":SOUR:DELT:ARM")
    assert lab.errors() == [-241]
    assert lab.ask(":OUTP?") == "0"


@settings(max_examples=6, deadline=None)
@given(ohm=st.floats(1, 1e4), count=st.integers(1, 5))
def test_delta_mode_measures_half_the_step_of_the_voltage(ohm, count):
    lab = Lab(ohm)
    assert lab.ask(":SOUR:DELT:NVPR?") == "1"
    lab.write(
        f":SOUR:DELT:HIGH 1e-4;COUN {count};DEL 0.01;:TRAC:POIN {count}", ":SOUR:DELT:ARM;:INIT"
    )
    assert lab.errors() == []
    table = np.array(lab.numbers(":TRAC:DATA?")).reshape(-1, 2)
    assert table[:, 0] == pytest.approx([1e-4 * ohm] * count, rel=1e-3, abs=1e-6)
    assert np.all(np.diff(table[:, 1]) > 0.01)
    assert int(lab.ask(":STAT:MEAS:COND?")) & 1 << 9
    assert lab.numbers(":SENS:DATA:FRES?")[0] == pytest.approx(table[-1, 0], rel=1e-5)


def test_a_delta_reading_has_its_unit_and_is_fresh_once():
    lab = Lab(1e3)
    lab.write(
        ":SOUR:DELT:HIGH 1e-4;COUN 2;:UNIT:VOLT:DC OHMS;:FORM:ELEM READ", ":SOUR:DELT:ARM;:INIT"
    )
    for _ in range(2):  # each waits for its own
        assert lab.numbers(":SENS:DATA:FRES?") == pytest.approx([1e3], rel=1e-3)
    lab.write(":SENS:DATA:FRES?")
    assert lab.errors() == [-230]
    lab.write(":SOUR:SWE:ABOR", ":SENS:DATA?")
    assert lab.errors() == [-221]


# -- any sequence ----------------------------------------------------------------------------------

MESSAGES = (
    ":SOUR:CURR 0.05", ":SOUR:CURR 1e-6", ":SOUR:CURR:RANG 1e-6", ":SOUR:CURR:RANG 0.1", "*RST",
    ":SOUR:CURR:RANG:AUTO ON", ":OUTP ON", ":OUTP OFF", ":SOUR:WAVE:ARM", ":SOUR:WAVE:INIT",
    ":SOUR:WAVE:ABOR", ":SOUR:CURR:COMP 1", ":SOUR:WAVE:AMPL 0.05", ":SOUR:SWE:ARM", ":INIT",
)  # fmt: skip


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from(MESSAGES), max_size=8))
def test_after_any_sequence_the_level_is_within_its_range_and_time_has_not_run_back(sequence):
    lab, before = Lab(), 0.0
    for message in sequence:
        lab.write(message)
        state, now = lab.it.state, lab.bench.clock.now_s
        assert now >= before
        before = now
        current = abs(lab.line_a())
        if not lab.it.wave_armed:
            assert abs(state["level"]) <= 1.05 * state["range"] * (1 + 1e-9)
        assert current <= 1.05 * state["range"] * (1 + 1e-6)
        assert current * 50 <= state["compliance"] * (1 + 1e-6)


@pytest.mark.parametrize(
    "message",
    [":SOUR:CURR 0.2", ":SOUR:CURR:COMP 106", ":SOUR:WAVE:FREQ 2e5", ":SOUR:WAVE:ARB:DATA 2",
     ":SOUR:DELT:HIGH -1", ":FOO", ":TRAC:POIN 0"],
)  # fmt: skip
def test_an_illegal_message_is_an_error_and_changes_nothing(lab, message):
    before = dict(lab.it.state)
    lab.write(message)
    assert len(lab.errors()) == 1
    assert lab.it.state == before
