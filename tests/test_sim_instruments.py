"""The simulated instruments and their bench: traps, trigger link, time, relays, observations."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim_backend.bench import SimBench
from sim_backend.devices.field_line import SHORTED_S
from sim_backend.truth import load_truth

OVERFLOW = 9.9e37
LATENCY_S = 225e-6


class Lab:
    """A bench and a hand on its instruments: ``lab.x(message)``, ``lab.ask("x", question)``."""

    def __init__(self, *, realtime=None, **changes):
        self.bench = SimBench(load_truth(None, **changes), realtime)

    def write(self, name, *messages):
        for message in messages:
            self.bench.write(self.bench.by_name[name], message)

    def raw(self, name, question=None):
        if question:
            self.write(name, question)
        taken = self.bench.take(self.bench.by_name[name], 10**7)
        return None if taken is None else taken[0].removesuffix(b"\n")

    def ask(self, name, question=None):
        raw = self.raw(name, question)
        return None if raw is None else raw.decode()

    def numbers(self, name, question):
        return np.array([float(x) for x in self.ask(name, question).split(",")])

    def fetch(self, name, question=":TRAC:DATA?"):
        """Currents and status of SREAL readings of these two elements."""
        raw = self.raw(name, question)
        table = np.frombuffer(raw[2:], ">f4").reshape(-1, 2)  # the order after *RST
        return table[:, 0].astype(float), table[:, 1].astype(int)

    def errors(self, name):
        out = []
        while (answer := self.ask(name, ":SYST:ERR?")) != '0,"No error"':
            out.append(int(answer.partition(",")[0]))
        return out

    def no_errors(self):
        assert [self.errors(name) for name in self.bench.by_name] == [[], [], [], []]

    @property
    def now_s(self):
        return self.bench.clock.now_s

    def select(self, junction="J1", sides=("x", "z", "low"), volt=0.02):
        channels = self.bench.truth.junctions.channels[junction]
        relays = ",".join(getattr(channels, side) for side in sides)
        for meter in ("x", "z"):
            self.write(meter, ":SOUR:VOLT 0")
        self.write("switch", ":OPEN ALL", *([f":CLOS (@{relays})"] if relays else []))
        for meter in ("x", "z"):
            self.write(meter, f":SOUR:VOLT:RANG 0.2;:SOUR:VOLT {volt};:OUTP ON")

    def read(self, meter="x"):
        """One current."""
        self.write(meter, ":FORM:ELEM CURR;:FORM ASC")
        return self.numbers(meter, ":READ?")[0]

    def prepare(
        self, levels_a, *, trigger="ring", settle_s=2e-3, nplc=1.0, points=None, delay_s=None
    ):
        """Everything for a list sweep, armed but for the source's INIT."""
        ring = trigger == "ring"
        points = len(levels_a) if points is None else points
        reading = nplc / 50 + LATENCY_S
        delay = settle_s if ring else settle_s + reading
        delay = delay if delay_s is None else delay_s
        for meter, line_in, line_out in (("x", 1, 2), ("z", 2 if ring else 1, 3)):
            self.write(
                meter,
                ":FORM:ELEM CURR,STAT;:FORM SRE;:SYST:AZER:STAT OFF;:SOUR:DEL 0",
                f":SENS:CURR:NPLC {nplc};:TRIG:SOUR TLIN;:TRIG:INP SENS;:TRIG:ILIN {line_in}",
                f":TRIG:OLIN {line_out};:TRIG:OUTP {'SENS' if ring else 'NONE'}",
                f":TRIG:DEL {0 if ring else settle_s};:STAT:MEAS:ENAB 512",
            )
            if points:
                self.arm(meter, points)
        self.write("field", ":SOUR:CURR:RANG 0.1;:SOUR:CURR:COMP 10;:SOUR:SWE:SPAC LIST")
        self.write("field", ":DISP:ENAB OFF")  # no jitter: times are told exactly
        self.upload(levels_a, delay)
        self.write(
            "field",
            ":SOUR:SWE:RANG FIX;:STAT:OPER:ENAB 6;:TRIG:OLIN 1;:TRIG:ILIN 3;:TRIG:DIR SOUR",
            f":TRIG:SOUR {'TLIN' if ring else 'IMM'};:TRIG:OUTP {'DEL' if ring else 'SOUR'}",
        )  # fmt: skip

    def arm(self, meter, points):
        self.write(
            meter,
            f"*CLS;:TRAC:CLE;:TRAC:POIN {points};:TRAC:FEED:CONT NEXT;:TRIG:COUN {points};:INIT",
        )

    def upload(self, levels_a, delay_s):
        n = len(levels_a)
        for name, values in (("CURR", levels_a), ("DEL", [delay_s] * n), ("COMP", [10] * n)):
            for start in range(0, n, 100):
                text = ",".join(f"{v:.7g}" for v in values[start : start + 100])
                self.write("field", f":SOUR:LIST:{name}{':APP' if start else ''} {text}")

    def start(self):
        """Arm and start; the bench time at which the list begins."""
        self.write("field", "*CLS;:SOUR:SWE:ARM;:INIT")
        assert self.bench.sweep is not None
        return self.bench.sweep.start_s

    def run(self):
        start_s = self.start()
        self.bench.pause(0.002)
        return start_s

    def poll(self, name):
        return self.bench.serial_poll(self.bench.by_name[name])


@pytest.fixture
def lab():
    return Lab()


LEVELS = np.linspace(-0.03, 0.03, 25)
SHORT = LEVELS[::6]


def expected(bench, levels_a, junction="J1", volt=0.02):
    """Noise-free currents, from the junction's truth."""
    junction = next(j for j in bench.junctions if j.name == junction)
    from sim_backend.llg import equilibrium
    from tests.star import star_currents

    ensemble = junction.model.ensemble(volt, volt)
    m = equilibrium.mean(ensemble.fields(levels_a)[0])
    b = ensemble.line_field_t(levels_a)[0]
    g_x, g_z = (r.conductance_s(m, b, volt) for r in (junction.model.x, junction.model.z))
    return star_currents(g_x, g_z, volt, volt, junction.model.common_ohm)


# -- 2400: reset, output, ranges -----------------------------------------------------------------


RESET_2400 = {
    ":OUTP?": "0", ":SOUR:FUNC?": "VOLT", ":SOUR:VOLT?": 0, ":SOUR:VOLT:RANG?": 21,
    ":SENS:CURR:PROT?": 105e-6, ":SENS:CURR:RANG?": 1.05e-4, ":SENS:VOLT:PROT?": 21,
    ":SENS:CURR:NPLC?": 1, ":SENS:VOLT:NPLC?": 1, ":SENS:RES:NPLC?": 1, ":SENS:RES:MODE?": "AUTO",
    ":SENS:AVER?": "0", ":SENS:AVER:TCON?": "REP", ":SENS:AVER:COUN?": "10", ":SOUR:DEL?": 1e-3,
    ":SOUR:DEL:AUTO?": "1", ":SYST:AZER:STAT?": "1", ":SYST:RSEN?": "0", ":TRIG:COUN?": "1",
    ":TRIG:SOUR?": "IMM", ":FORM:ELEM?": "VOLT,CURR,RES,TIME,STAT", ":FORM?": "ASC",
    ":FORM:BORD?": "NORM",
}  # fmt: skip


@pytest.mark.parametrize("reset", [False, True], ids=["power-on", "after *RST"])
def test_a_2400_starts_as_its_manual_says(lab, reset):
    if reset:
        lab.write(
            "x",
            ":SOUR:VOLT 5;:OUTP ON;:SENS:CURR:PROT 1e-3;NPLC 3;RANG 1e-3;:SOUR:FUNC CURR;DEL 1;"
            ":SYST:AZER:STAT OFF;:SYST:RSEN ON;:TRIG:COUN 7;SOUR TLIN;:FORM:ELEM CURR;:FORM SRE;"
            ":SENS:AVER ON;:SENS:AVER:COUN 3;TCON MOV;:SENS:RES:MODE MAN",
            "*RST",
        )
        lab.no_errors()
    for question, value in RESET_2400.items():
        answer = lab.ask("x", question)
        assert answer == value if isinstance(value, str) else float(answer) == value, question


def test_reset_leaves_the_line_frequency_that_power_on_found():
    lab = Lab(line_hz=60)
    lab.write("x", "*RST")
    assert lab.ask("x", ":SYST:LFR?") == "60"


def test_init_with_the_output_off_is_803_and_gives_no_reply(lab):
    for message in (":INIT", ":READ?"):
        lab.write("x", message)
        assert lab.poll("x") == 4
        assert lab.errors("x") == [803]


def test_measure_turns_the_output_on_by_itself(lab):
    lab.select()
    lab.write("x", ":OUTP OFF;:TRIG:COUN 9;:FORM:ELEM CURR")
    current = lab.numbers("x", ":MEAS:CURR?")
    assert len(current) == 1
    assert 1e-6 < current[0] < 2.1e-6
    assert lab.ask("x", ":OUTP?;:TRIG:COUN?") == "1;1"


def test_auto_clear_energises_for_the_reading_only(lab):
    lab.select()
    lab.write("x", ":OUTP OFF;:SOUR:CLE:AUTO ON")
    assert lab.read() > 1e-6
    assert lab.ask("x", ":OUTP?") == "0"
    assert lab.bench.by_name["x"].terminal_v == 0


def test_a_fixed_range_switches_auto_off_and_refuses_larger_levels(lab):
    assert lab.ask("x", ":SOUR:VOLT:RANG:AUTO?") == "1"
    lab.write("x", ":SOUR:VOLT 1.5")
    assert float(lab.ask("x", ":SOUR:VOLT:RANG?")) == 2.1
    lab.write("x", ":SOUR:VOLT 0.1;:SOUR:VOLT:RANG 0.15")
    assert lab.ask("x", ":SOUR:VOLT:RANG:AUTO?") == "0"
    assert float(lab.ask("x", ":SOUR:VOLT:RANG?")) == 0.21
    lab.write("x", ":SOUR:VOLT 0.21")
    lab.no_errors()
    lab.write("x", ":SOUR:VOLT 0.211")
    assert lab.errors("x") == [-222]
    assert float(lab.ask("x", ":SOUR:VOLT?")) == 0.21
    lab.write("x", ":SOUR:VOLT 0;:SOUR:VOLT:RANG 2;:SOUR:VOLT 1;:SOUR:VOLT:RANG 0.2")
    assert lab.errors("x") == [-221]


@pytest.mark.parametrize(
    ("command", "auto"),
    [(":SENS:CURR:RANG 1e-5", ":SENS:CURR:RANG:AUTO?"), (":SOUR:DEL 0", ":SOUR:DEL:AUTO?")],
)
def test_setting_a_range_or_a_delay_switches_its_auto_off(lab, command, auto):
    assert lab.ask("x", auto) == "1"
    lab.write("x", command)
    assert lab.ask("x", auto) == "0"


def test_compliance_is_not_below_a_thousandth_of_the_range(lab):
    lab.write("x", ":SENS:CURR:PROT 1e-2;:SENS:CURR:RANG 1e-2;:SENS:CURR:PROT 9e-6")
    assert lab.errors("x") == [822]
    assert float(lab.ask("x", ":SENS:CURR:PROT?")) == 1e-2
    lab.write("x", ":SENS:CURR:RANG 1e-5;:SENS:CURR:PROT 9e-6")
    lab.no_errors()


def test_compliance_clips_and_sets_its_bit(lab):
    lab.select()
    free = lab.read()
    lab.write("x", ":SENS:CURR:RANG 1e-6;:SENS:CURR:PROT 1e-6;:FORM:ELEM CURR,STAT")
    current, status = lab.numbers("x", ":READ?")
    assert free > 1.2e-6
    assert current == pytest.approx(1e-6)
    assert int(status) & 8
    assert lab.ask("x", ":SENS:CURR:PROT:TRIP?") == "1"
    lab.write("x", ":SENS:CURR:PROT 1e-5;:SENS:CURR:RANG:AUTO ON")
    current, status = lab.numbers("x", ":READ?")
    assert current == pytest.approx(free, rel=0.05)
    assert not int(status) & 8
    assert lab.ask("x", ":SENS:CURR:PROT:TRIP?") == "0"


def test_overflow_is_a_number_and_sets_its_bit(lab):
    lab.write("x", ":SENS:FUNC 'RES';:SENS:RES:RANG 2e5;:OUTP ON;:FORM:ELEM RES,STAT")  # into air
    ohm, status = lab.numbers("x", ":READ?")
    assert ohm == OVERFLOW
    assert int(status) & 1
    lab.write("x", ":FORM SRE")
    assert lab.fetch("x", ":READ?")[0][0] == pytest.approx(OVERFLOW)


def test_a_reading_has_its_elements_in_the_instruments_order(lab):
    lab.select(volt=0.03)
    volt, current, ohm, time_s, status = lab.numbers("x", ":READ?")
    assert volt == 0.03
    assert ohm == 9.91e37  # not measured
    assert time_s == pytest.approx(lab.now_s, abs=0.01)
    assert int(status) == 1 << 12 | 1 << 14 | 4
    lab.write("x", ":SENS:RES:MODE MAN;:SENS:FUNC 'RES'")
    volt, current, ohm, _, _ = lab.numbers("x", ":READ?")
    assert ohm == pytest.approx(volt / current, rel=1e-5)
    lab.write("x", ":SOUR:VOLT 0;:FORM:ELEM CURR,VOLT")
    again = lab.numbers("x", ":FETC?")  # the voltage of then, not of now
    np.testing.assert_array_equal(again, [volt, current])


@pytest.mark.parametrize(("form", "order"), [("SRE", "SWAP"), ("REAL,32", "NORM")])
def test_binary_and_ascii_fetches_agree(lab, form, order):
    lab.select()
    lab.write("x", ":TRIG:COUN 5;:FORM:ELEM CURR,STAT")
    ascii_values = lab.numbers("x", ":READ?")
    lab.write("x", f":FORM {form};:FORM:BORD {order}")
    raw = lab.raw("x", ":FETC?")
    assert raw[:2] == b"#0"
    binary = np.frombuffer(raw[2:], "<f4" if order == "SWAP" else ">f4")
    np.testing.assert_allclose(binary, ascii_values, rtol=1e-6)


def test_nothing_to_fetch_is_an_error_and_no_reply(lab):
    for question in (":FETC?", ":TRAC:DATA?"):
        lab.write("x", question)
        assert lab.poll("x") == 4
        assert lab.errors("x") == [-221]


@pytest.mark.parametrize("nplc", [0.01, 1, 10])
def test_noise_goes_with_one_over_the_root_of_the_integration(lab, nplc):
    lab.select()
    lab.write("x", f":TRIG:COUN 2500;:SENS:CURR:NPLC {nplc};:FORM:ELEM CURR,STAT;:FORM SRE")
    current, _ = lab.fetch("x", ":READ?")
    assert np.std(current) == pytest.approx(3e-9 / math.sqrt(nplc), rel=0.06)
    assert np.mean(current) == pytest.approx(expected(lab.bench, np.zeros(1))[0][0], rel=1e-3)


@pytest.mark.parametrize(("autozero", "factor"), [("ON", 3), ("OFF", 1), ("ONCE", 1)])
def test_a_reading_takes_what_its_settings_imply(lab, autozero, factor):
    lab.select()
    lab.write("x", f":SYST:AZER:STAT {autozero};:SENS:CURR:NPLC 2;:SOUR:DEL 0.01;:TRIG:DEL 0.02")
    lab.write("x", ":TRIG:COUN 4")
    lab.write("x", ":INIT")
    before, begun = lab.bench.spent_s["integrate"], lab.now_s
    lab.bench.pause(0)
    took = 4 * (factor * 2 / 50 + 0.01 + 0.02 + LATENCY_S)
    assert lab.now_s - begun == pytest.approx(took)
    assert lab.bench.spent_s["integrate"] - before == pytest.approx(took)


def test_a_60_hz_line_integrates_faster():
    lab = Lab(line_hz=60)
    lab.select()
    lab.write("x", "*RST;:SOUR:DEL 0;:SYST:AZER:STAT OFF;:OUTP ON;:INIT")
    lab.bench.pause(0)
    assert lab.bench.spent_s["integrate"] == pytest.approx(1 / 60 + LATENCY_S)


def test_arm_and_trigger_count_multiply_and_stay_within_the_buffer(lab):
    lab.select()
    lab.write("x", ":ARM:COUN 3;:TRIG:COUN 4;:FORM:ELEM CURR")
    assert len(lab.numbers("x", ":READ?")) == 12
    lab.write("x", ":ARM:COUN 2500;:INIT")
    assert lab.errors("x") == [-221]


def test_off_in_high_impedance_disconnects_and_in_normal_holds_0_v():
    # The other meter's current shows it: a high side at 0 V draws from the common electrode.
    channels = {"J1": {"x": "1!1", "z": "1!2", "low": "1!3"}}
    lab = Lab(junctions={"common_ohm": 5000, "channels": channels})
    lab.write("switch", ":CLOS (@1!1,1!2,1!3)")
    lab.write("x", ":SOUR:VOLT 0.02;:OUTP ON")
    lab.write("z", ":OUTP:SMOD NORM")
    shorted = lab.read()
    lab.write("z", ":OUTP:SMOD HIMP")
    alone = lab.read()
    assert shorted > 1.05 * alone


# -- 2400: its trigger model -----------------------------------------------------------------------


def wait_for_triggers(lab):
    lab.select()
    lab.prepare(SHORT)
    assert lab.bench.by_name["x"].busy


def test_inside_the_trigger_model_a_message_waits(lab):
    wait_for_triggers(lab)
    lab.write("x", ":SOUR:VOLT 0.01", ":OUTP OFF")
    assert lab.ask("x", ":SOUR:VOLT?;:OUTP?") == "+2.000000E-02;1"
    lab.run()
    assert lab.ask("x", ":SOUR:VOLT?;:OUTP?") == "+1.000000E-02;0"
    assert len(lab.fetch("x")[0]) == len(SHORT)


def test_a_question_that_waits_is_answered_when_the_sweep_ends(lab):
    wait_for_triggers(lab)
    lab.write("x", ":TRAC:DATA?")
    assert lab.poll("x") & 16 == 0
    assert lab.ask("x") is None
    lab.run()
    assert lab.poll("x") & 16
    assert len(lab.fetch("x", None)[0]) == len(SHORT)
    lab.no_errors()  # waiting for it was no error


def test_read_waits_for_its_triggers(lab):
    wait_for_triggers(lab)
    lab.write("x", ":ABOR", f":TRIG:COUN {len(SHORT)}", ":READ?")
    assert lab.poll("x") & 16 == 0
    lab.run()
    assert len(lab.fetch("x", None)[0]) == len(SHORT)


@pytest.mark.parametrize("message", [":ABOR;:SOUR:VOLT 0", "*RST", ":ABORT;*RST"])
def test_abort_and_reset_act_inside_the_trigger_model_and_what_follows_them_too(lab, message):
    wait_for_triggers(lab)
    lab.write("x", message)
    assert not lab.bench.by_name["x"].busy
    assert float(lab.ask("x", ":SOUR:VOLT?")) == 0
    lab.no_errors()


def test_abort_goes_ahead_of_what_waits(lab):
    wait_for_triggers(lab)
    lab.write("x", ":SOUR:VOLT 0.01", ":ABOR")
    assert float(lab.ask("x", ":SOUR:VOLT?")) == 0.01


def test_device_clear_forgets_what_waits(lab):
    wait_for_triggers(lab)
    lab.write("x", ":SOUR:VOLT 0.01")
    lab.bench.device_clear(lab.bench.by_name["x"])
    assert not lab.bench.by_name["x"].busy
    assert float(lab.ask("x", ":SOUR:VOLT?")) == 0.02


def test_a_second_init_waits_like_everything_else(lab):
    wait_for_triggers(lab)
    lab.write("x", ":INIT")
    lab.run()
    assert lab.bench.by_name["x"].busy
    lab.no_errors()


def test_an_arm_layer_on_the_bus_waits_for_its_trigger(lab):
    lab.select()
    lab.write("x", ":ARM:SOUR BUS;:INIT")
    assert lab.bench.by_name["x"].busy
    lab.write("x", "*TRG")
    assert len(lab.ask("x", ":FETC?").split(",")) == 5
    assert not lab.bench.by_name["x"].busy


# -- 6221 ------------------------------------------------------------------------------------------


def test_a_source_puts_out_nothing_when_off_and_no_more_than_its_compliance_drives(lab):
    def line_a(level):
        lab.write("field", f":SOUR:CURR {level}")
        return lab.bench.plant.line.current_a(lab.bench.solve())[0]

    assert line_a(0.05) == 0
    lab.write("field", ":SOUR:CURR:COMP 4;:OUTP ON")  # 4 V over 50 ohm: 80 mA
    assert line_a(0.05) == pytest.approx(0.05)
    assert not int(lab.ask("field", ":STAT:MEAS?")) & 8
    assert line_a(-0.1) == pytest.approx(-0.08)
    assert int(lab.ask("field", ":STAT:MEAS?")) & 8


def test_a_level_above_the_fixed_range_is_refused(lab):
    lab.write("field", ":SOUR:CURR:RANG 0.002;:SOUR:CURR 0.02")
    assert lab.errors("field") == [-222]
    lab.write("field", ":SOUR:CURR:RANG:AUTO ON;:SOUR:CURR 0.03")
    assert float(lab.ask("field", ":SOUR:CURR:RANG?")) == 0.1


def test_arming_turns_the_output_on(lab):
    lab.prepare(SHORT, points=0)
    assert lab.ask("field", ":OUTP?") == "0"
    lab.write("field", ":SOUR:SWE:ARM")
    assert lab.ask("field", ":OUTP?") == "1"


@pytest.mark.parametrize("other", ["DEL", "COMP"])
def test_lists_of_unequal_length_do_not_arm(lab, other):
    lab.prepare(SHORT, points=0)
    lab.write("field", f":SOUR:LIST:{other}:APP 1", ":SOUR:SWE:ARM")
    assert lab.errors("field") == [-221]
    assert lab.ask("field", ":OUTP?") == "0"
    lab.write("field", ":INIT")
    assert lab.errors("field") == [-213]


def test_a_list_longer_than_a_message_is_appended(lab):
    lab.upload(np.zeros(350), 0.01)
    questions = (":SOUR:LIST:CURR:POIN?", ":SOUR:LIST:DEL:POIN?", ":SOUR:LIST:COMP:POIN?")
    assert lab.ask("field", ";".join(questions)) == "350;350;350"


def test_the_last_level_stays_on_when_a_sweep_is_done(lab):
    lab.select()
    lab.prepare([0.001, 0.02, 0.013])
    lab.run()
    assert lab.poll("field") & 128
    assert float(lab.ask("field", ":SOUR:CURR?")) == pytest.approx(0.013)
    assert lab.ask("field", ":OUTP?") == "1"
    lab.write("x", ":TRIG:SOUR IMM;:TRIG:COUN 1")
    truth = expected(lab.bench, np.array([0.013]))[0][0]
    assert lab.read() == pytest.approx(truth, abs=2e-8)


def test_a_fixed_range_silently_puts_out_its_maximum(lab):
    lab.select()
    lab.prepare([0.0, 0.03])
    lab.write("field", ":SOUR:CURR:RANG 0.01")  # that is the 20 mA range
    lab.run()
    lab.no_errors()
    assert float(lab.ask("field", ":SOUR:CURR?")) == pytest.approx(0.021)
    truth = expected(lab.bench, np.array([0.0, 0.021]))[0]
    np.testing.assert_allclose(lab.fetch("x")[0], truth, atol=2e-8)


def test_a_best_range_holds_the_whole_list(lab):
    lab.prepare([0.0, 0.03], points=0)
    lab.write("field", ":SOUR:CURR:RANG 0.001;:SOUR:SWE:RANG BEST;:SOUR:SWE:ARM")
    assert float(lab.ask("field", ":SOUR:CURR:RANG?")) == 0.1


def test_compliance_abort_ends_the_list_at_the_point_that_cannot_be_driven(lab):
    lab.select()
    levels = [0.0, 0.01, 0.03, 0.01, 0.0]
    lab.prepare(levels)
    lab.write("field", ":SOUR:LIST:COMP 1,1,1,1,1;:SOUR:SWE:CAB ON")  # 1 V drives 20 mA
    lab.run()
    assert int(lab.ask("field", ":STAT:OPER?")) & 6 == 4
    assert float(lab.ask("field", ":SOUR:CURR?")) == 0.03
    assert int(lab.ask("x", ":TRAC:POIN:ACT?")) == 3
    assert lab.bench.by_name["x"].busy


def test_without_compliance_abort_the_current_is_clipped_and_the_list_goes_on(lab):
    lab.select()
    lab.prepare([0.0, 0.03, 0.0])
    lab.write("field", ":SOUR:LIST:COMP 1,1,1")
    lab.run()
    truth = expected(lab.bench, np.array([0, 0.02, 0]))[0]
    np.testing.assert_allclose(lab.fetch("x")[0], truth, atol=2e-8)


# -- trigger link ----------------------------------------------------------------------------------


def test_in_a_ring_the_times_add(lab):
    lab.select()
    settle, nplc = 3e-3, 0.5
    lab.prepare(LEVELS, settle_s=settle, nplc=nplc)
    start = lab.run()
    reading, n = nplc / 50 + LATENCY_S, len(LEVELS)
    period = settle + 2 * reading
    assert lab.now_s == pytest.approx(start + n * period, abs=1e-8)
    for meter, own in (("x", settle + reading), ("z", period)):
        times = lab.bench.by_name[meter].buffer.time_s
        np.testing.assert_allclose(times, start + own + period * np.arange(n), atol=1e-8)


def test_in_a_fork_both_read_at_once(lab):
    lab.select()
    settle, nplc = 3e-3, 0.5
    lab.prepare(LEVELS, trigger="fork", settle_s=settle, nplc=nplc)
    start = lab.run()
    period, n = settle + nplc / 50 + LATENCY_S, len(LEVELS)
    assert lab.now_s == pytest.approx(start + n * period, abs=1e-8)
    for meter in ("x", "z"):
        times = lab.bench.by_name[meter].buffer.time_s
        np.testing.assert_allclose(times, start + period * np.arange(1, n + 1), atol=1e-8)


@pytest.mark.parametrize("trigger", ["ring", "fork"])
def test_each_reading_sees_its_own_level(lab, trigger):
    lab.select()
    levels = np.random.default_rng(1).permutation(LEVELS)
    lab.prepare(levels, trigger=trigger)
    lab.run()
    for meter, truth in zip(("x", "z"), expected(lab.bench, levels), strict=True):
        assert lab.poll(meter) & 1
        current, status = lab.fetch(meter)
        np.testing.assert_allclose(current, truth, atol=5 * 3e-9)
        assert np.all(status & 9 == 0)
    lab.no_errors()


def test_delays_of_a_list_need_not_be_equal(lab):
    lab.select()
    lab.prepare(SHORT)
    delays = np.array([0.01, 0.02, 0.03, 0.04, 0.05])
    lab.write("field", f":SOUR:LIST:DEL {','.join(map(str, delays))}")
    start = lab.run()
    reading = 1 / 50 + LATENCY_S
    begins = np.concatenate(([0], np.cumsum(delays + 2 * reading)))[:-1]
    times = lab.bench.by_name["x"].buffer.time_s
    np.testing.assert_allclose(times, start + begins + delays + reading, atol=1e-8)


def test_a_fork_that_is_too_fast_loses_triggers(lab):
    lab.select()
    lab.prepare(LEVELS, trigger="fork", settle_s=0, nplc=1, delay_s=0.015)  # a reading: 20.2 ms
    lab.run()
    assert lab.poll("field") & 128
    lost = lab.bench.by_name["x"]
    assert lost.busy
    assert lab.poll("x") & 1 == 0
    lab.bench.device_clear(lost)
    current, _ = lab.fetch("x")
    truth = expected(lab.bench, LEVELS)[0]
    # The level goes on 15 ms after the trigger; the reading ends 20.2 ms after it.
    late = (0.02 + LATENCY_S - 0.015) / 0.02
    mixed = (1 - late) * truth[:-1:2] + late * truth[1::2]
    np.testing.assert_allclose(current, np.append(mixed, truth[-1]), atol=5 * 3e-9)


def test_a_meter_behind_one_that_loses_triggers_gets_only_what_is_left(lab):
    lab.select()
    lab.prepare(LEVELS, trigger="fork", settle_s=0, nplc=1, delay_s=0.015, points=0)
    lab.write("x", ":TRIG:OUTP SENS;:TRIG:OLIN 2")
    lab.write("z", ":TRIG:ILIN 2;:SENS:CURR:NPLC 0.01")
    lab.arm("x", len(LEVELS))
    lab.arm("z", len(LEVELS))
    lab.run()
    assert lab.ask("z", ":TRAC:POIN:ACT?") == "13"
    lab.bench.device_clear(lab.bench.by_name["z"])
    # x is done 20.2 ms after its trigger: the source is at the next level by then.
    truth = expected(lab.bench, np.append(LEVELS[1::2], LEVELS[-1]))[1]
    np.testing.assert_allclose(lab.fetch("z")[0], truth, atol=5 * 3e-8)


@pytest.mark.parametrize("trigger", ["ring", "fork"])
def test_a_trigger_on_the_wrong_line_never_fills_the_buffer(lab, trigger):
    lab.select()
    lab.prepare(SHORT, trigger=trigger, points=0)
    lab.write("z", ":TRIG:ILIN 4")
    lab.arm("x", len(SHORT))
    lab.arm("z", len(SHORT))
    lab.run()
    for _ in range(50):
        lab.bench.pause(0.002)
    assert lab.poll("z") & 1 == 0
    assert lab.ask("z", ":TRAC:POIN:ACT?") == "0"
    if trigger == "ring":  # the source waits at its first point for ever
        assert lab.ask("x", ":TRAC:POIN:ACT?") == "1"
        assert lab.poll("field") & 128 == 0
        assert lab.bench.source.busy
        lab.write("field", ":SOUR:SWE:ABOR")
        assert float(lab.ask("field", ":SOUR:CURR?")) == pytest.approx(SHORT[0])
    else:
        assert lab.poll("x") & 1
        assert lab.poll("field") & 128


def test_a_ring_stops_when_a_meter_has_all_its_points(lab):
    lab.select()
    lab.prepare(SHORT, points=0)
    lab.arm("x", 2)
    lab.arm("z", 5)
    lab.start()
    for _ in range(100):
        lab.bench.pause(0.002)
    assert lab.poll("x") & 1
    assert lab.ask("z", ":TRAC:POIN:ACT?") == "2"
    assert lab.bench.source.busy
    assert lab.bench.sweep.level_a() == pytest.approx(SHORT[2])


def test_a_pulse_that_is_back_before_the_source_is_ready_is_lost(lab):
    lab.select()
    lab.prepare(SHORT, settle_s=0.1)  # both readings take 40 ms
    lab.write("field", ":TRIG:OUTP SOUR")
    lab.run()
    for _ in range(300):
        lab.bench.pause(0.002)
    assert lab.ask("z", ":TRAC:POIN:ACT?") == "1"
    assert lab.bench.source.busy


def test_a_ring_whose_source_waits_for_a_first_trigger_never_begins(lab):
    lab.select()
    lab.prepare(SHORT)
    lab.write("field", ":TRIG:DIR ACC")
    lab.run()
    assert lab.ask("x", ":TRAC:POIN:ACT?") == "0"
    lab.bench.device_clear(lab.bench.source)
    assert float(lab.ask("field", ":SOUR:CURR?")) == 0


@pytest.mark.parametrize("trigger", ["ring", "fork"])
@given(part=st.floats(0, 1.1))
@settings(max_examples=25, deadline=None)
def test_a_stop_in_the_middle_keeps_the_completed_readings_and_no_others(trigger, part):
    whole, cut = (Lab() for _ in range(2))
    for lab in (whole, cut):
        lab.select()
        lab.prepare(SHORT, trigger=trigger)
    start = whole.run()
    due = {meter: whole.bench.by_name[meter].buffer.time_s for meter in ("x", "z")}
    cut.start()
    cut.bench.clock.advance(part * (whole.now_s - start))
    cut.bench.device_clear(cut.bench.source)
    stopped = cut.now_s
    for meter in ("x", "z"):
        done = int((due[meter] <= stopped + 1e-9).sum())
        assert int(cut.ask(meter, ":TRAC:POIN:ACT?")) == done
        cut.bench.device_clear(cut.bench.by_name[meter])
        if done:
            np.testing.assert_allclose(cut.fetch(meter)[0], whole.fetch(meter)[0][:done], rtol=1e-6)
    assert not cut.bench.source.busy
    assert part < 1 or cut.poll("field") & 128


def test_a_meter_that_leaves_a_ring_stops_it_and_in_a_fork_the_others_go_on(lab):
    for trigger, others in (("ring", 1), ("fork", len(SHORT))):
        lab = Lab()
        lab.select()
        lab.prepare(SHORT, trigger=trigger)
        lab.start()
        lab.bench.clock.advance(0.03)
        lab.bench.device_clear(lab.bench.by_name["z"])
        for _ in range(200):
            lab.bench.pause(0.002)
        assert int(lab.ask("x", ":TRAC:POIN:ACT?")) == others
        assert lab.bench.source.busy == (trigger == "ring")


def test_a_sweep_and_the_same_points_one_by_one_agree_within_noise(lab):
    lab.select()
    lab.prepare(SHORT)
    lab.run()
    swept = [lab.fetch(meter)[0] for meter in ("x", "z")]
    single = []
    for level in SHORT:
        lab.write("field", f":SOUR:CURR {level:.7g}")
        row = []
        for meter in ("x", "z"):
            lab.write(meter, ":TRIG:SOUR IMM;:TRIG:COUN 1")
            row.append(lab.fetch(meter, ":READ?")[0][0])
        single.append(row)
    difference = np.array(swept) - np.array(single).T
    assert np.abs(difference).max() < 5 * math.sqrt(2) * 3e-9
    assert np.abs(difference).max() > 0  # and the noise goes on


def test_a_reading_during_a_sweep_sees_the_level_of_then(lab):
    lab.select()
    lab.prepare([-0.03, 0.03], trigger="fork", points=0, delay_s=1.0)
    lab.write("x", ":TRIG:SOUR IMM;:FORM ASC;:FORM:ELEM CURR")
    lab.start()
    low = lab.numbers("x", ":READ?")[0]
    lab.bench.clock.advance(1.0)
    high = lab.numbers("x", ":READ?")[0]
    np.testing.assert_allclose(
        [low, high], expected(lab.bench, np.array([-0.03, 0.03]))[0], atol=2e-8
    )


# -- 7001 and what it does to junctions ------------------------------------------------------------


TOPOLOGIES = {
    (): (0, 0),
    ("x",): (0, 0),
    ("low",): (0, 0),
    ("x", "z"): (0, 0),  # equal voltages, no low: nothing flows
    ("x", "low"): (1, 0),
    ("z", "low"): (0, 1),
    ("x", "z", "low"): (1, 1),
}


@pytest.mark.parametrize(
    ("sides", "flows"), TOPOLOGIES.items(), ids=lambda v: "-".join(map(str, v))
)
def test_current_flows_only_where_a_circuit_is_closed(lab, sides, flows):
    lab.select(sides=sides)
    truth = [side[0] for side in expected(lab.bench, np.zeros(1))]
    for meter, flow, current in zip(("x", "z"), flows, truth, strict=True):
        assert lab.read(meter) == pytest.approx(flow * current, abs=3e-8)


def test_without_the_low_a_difference_of_voltages_drives_through_both_barriers(lab):
    lab.select(sides=("x", "z"))
    lab.write("z", ":SOUR:VOLT 0")
    currents = [lab.read(meter) for meter in ("x", "z")]
    assert currents[0] > 5e-7
    assert currents[0] == pytest.approx(-currents[1], abs=3e-8)


def test_two_junctions_on_the_same_meters_add(lab):
    truth = [expected(lab.bench, np.zeros(1), name)[0][0] for name in ("J1", "J2")]
    lab.write("switch", ":CLOS (@1!1,1!11,1!21,1!2,1!12,1!22)")
    for meter in ("x", "z"):
        lab.write(meter, ":SOUR:VOLT 0.02;:OUTP ON")
    assert lab.read() == pytest.approx(sum(truth), abs=2e-8)
    assert truth[0] != truth[1]


def test_moving_relays_takes_time_and_standing_ones_none(lab):
    lab.write("switch", ":CLOS (@1!1)", ":CLOS (@1!1)", ":OPEN (@1!2)")
    assert lab.bench.spent_s["relay"] == pytest.approx(3e-3)
    assert lab.ask("switch", ":CLOS:STAT?") == "(@1!1)"


def test_a_7001_tells_of_each_channel_whether_it_is_closed(lab):
    lab.write("switch", ":CLOS (@1!2,2!3)")
    assert lab.ask("switch", ":CLOS? (@1!1,1!2,2!3)") == "0,1,1"
    for message, error in ((":CLOS? (@3!1)", -222), (":CLOS?", -109)):
        lab.write("switch", message)
        assert lab.ask("switch", ":SYST:ERR?").startswith(f"{error},")


def close(lab, volt):
    lab.write("switch", ":OPEN ALL")
    lab.write("x", f":SOUR:VOLT {volt};:OUTP ON")
    lab.write("switch", ":CLOS (@1!1,1!21)")


def drop(lab, volt):
    close(lab, 0)
    lab.write("x", f":SOUR:VOLT {volt}")
    lab.write("switch", ":OPEN ALL")


def reset(lab, volt):
    close(lab, 0)
    lab.write("x", f":SOUR:VOLT {volt}")
    lab.write("switch", "*RST")


@pytest.mark.parametrize("move", [close, drop, reset])
def test_relays_that_move_under_voltage_break_the_junction_that_they_carry(lab, move):
    move(lab, 0)
    assert lab.bench.hot_switches == 0
    assert not any(j.broken for j in lab.bench.junctions)
    lab = Lab()
    move(lab, 0.02)
    assert lab.bench.hot_switches == 1
    assert [j.broken for j in lab.bench.junctions] == [True] + 7 * [False]


def test_other_relays_than_its_own_do_a_junction_no_harm(lab):
    lab.select("J1")
    lab.write("switch", ":CLOS (@2!40)")
    assert not lab.bench.junctions[0].broken


def test_too_much_voltage_breaks_a_barrier_for_good(lab):
    lab.select()
    lab.write("x", ":SOUR:VOLT:RANG 2;:SOUR:VOLT 0.99")
    assert not lab.bench.junctions[0].broken
    lab.write("x", ":SOUR:VOLT 1.01")
    assert lab.bench.junctions[0].broken
    lab.write("x", "*RST", ":SENS:CURR:PROT 1e-2;:SOUR:VOLT 0.02;:OUTP ON")
    assert lab.read() == pytest.approx(0.02 * SHORTED_S, rel=0.6)  # less what the star takes
    lab.write("x", ":SENS:CURR:PROT 1e-5;:FORM:ELEM STAT")
    assert int(lab.numbers("x", ":READ?")[0]) & 8


@pytest.mark.parametrize("where", ["output off", "relay open"])
def test_voltage_that_does_not_reach_a_junction_does_not_break_it(lab, where):
    lab.select(sides=("x", "low") if where == "output off" else ("x",))
    if where == "output off":
        lab.write("x", ":OUTP OFF")
    lab.write("x", ":SOUR:VOLT:RANG 2;:SOUR:VOLT 2")
    assert not lab.bench.junctions[0].broken


# -- observations ----------------------------------------------------------------------------------


WATCH = {
    "field": ("*IDN?", "*STB?", "*ESR?", ":SYST:ERR?", ":SOUR:CURR?;:SOUR:LIST:CURR:POIN?"),
    "x": ("*STB?", ":SYST:ERR?", ":SOUR:VOLT?", ":TRAC:POIN:ACT?", ":SENS:CURR:PROT:TRIP?"),
    "z": ("*STB?", "*OPT?", ":SENS:CURR:NPLC?;:OUTP?"),
    "switch": ("*STB?", ":CLOS:STAT?", ":SYST:ERR?"),
}  # fmt: skip


def watched_sweep(watch):
    """A sweep's bytes and times, with ``watch(lab)`` called between any two messages."""
    lab = Lab()
    plain = lab.write
    busy = False

    def write(name, *messages):
        nonlocal busy
        for message in messages:
            plain(name, message)
            if not busy and not lab.bench.by_name[name].output:
                busy = True
                watch(lab)
                busy = False

    lab.write = write
    lab.select()
    lab.prepare(LEVELS)
    lab.start()
    watch(lab)
    lab.bench.pause(0.002)
    watch(lab)
    replies = [lab.raw(meter, ":TRAC:DATA?") for meter in ("x", "z")]
    watch(lab)
    return replies, lab.now_s, dict(lab.bench.spent_s), [m.taken for m in lab.bench.meters.values()]


@given(st.lists(st.tuples(st.sampled_from(sorted(WATCH)), st.integers(0, 7)), max_size=6))
@settings(max_examples=20, deadline=None)
def test_watching_moves_neither_clock_nor_physics_nor_noise(choices):
    def watch(lab):
        for name, number in choices:
            lab.bench.serial_poll(lab.bench.by_name[name])
            assert lab.ask(name, WATCH[name][number % len(WATCH[name])]) is not None

    assert watched_sweep(watch) == UNWATCHED


UNWATCHED = watched_sweep(lambda lab: None)


@pytest.mark.parametrize("question", [":READ?", ":FETC?", ":STAT:OPER?", "*OPC?"])
def test_what_is_no_observation_takes_time(lab, question):
    name = "x" if question[1] in "RF" else "field"
    lab.select()
    before = lab.now_s
    lab.write(name, question)
    assert lab.now_s > before


def test_costs_are_those_of_the_file():
    costs = {"message_s": 0.1, "byte_s": 0.01, "reading_s": 0.5, "settle_s": 0}
    lab = Lab(costs=costs)
    lab.write("x", ":SOUR:VOLT 0")  # 12 bytes
    assert lab.now_s == pytest.approx(0.1 + 12 * 0.01 + 1e-3)
    for form in ("ASC", "SRE"):
        lab.write("x", f":OUTP ON;:TRIG:COUN 3;:FORM {form};:FORM:ELEM CURR,STAT;:INIT")
        before = lab.bench.spent_s["fetch"]
        lab.write("x", ":FETC?")
        assert lab.bench.spent_s["fetch"] - before == pytest.approx(6 * 0.5)
        lab.raw("x")


# -- time and physics modes ------------------------------------------------------------------------


def test_waiting_goes_straight_to_a_sweeps_end_and_no_further(lab):
    lab.select()
    lab.prepare(LEVELS)
    start = lab.start()
    end = lab.bench.sweep.end_s
    lab.bench.pause(1e-6)
    assert lab.now_s == pytest.approx(end)
    assert end - start > 0.5
    lab.bench.pause(0.25)
    assert lab.now_s == pytest.approx(end + 0.25)


def test_in_real_time_each_wait_takes_its_own_time_only(monkeypatch):
    lab, waited = Lab(realtime=4.0), []
    monkeypatch.setattr(lab.bench.clock._pause, "wait", waited.append)
    lab.select()
    lab.prepare(SHORT)
    lab.start()
    begun, end = lab.now_s, lab.bench.sweep.end_s
    polls = 0
    while not lab.poll("field") & 128:
        lab.bench.pause(0.002)
        polls += 1
    assert polls == math.ceil((end - begun) / 0.002 - 1e-6)
    assert waited == polls * [0.0005]
    fast = Lab()
    fast.select()
    fast.prepare(SHORT)
    fast.run()
    for meter in ("x", "z"):
        assert lab.raw(meter, ":TRAC:DATA?") == fast.raw(meter, ":TRAC:DATA?")


def test_in_real_time_a_message_that_waits_does_not_hurry_the_clock(monkeypatch):
    lab = Lab(realtime=4.0)
    monkeypatch.setattr(lab.bench.clock._pause, "wait", lambda seconds: None)
    lab.select()
    lab.prepare(SHORT)
    lab.start()
    before = lab.now_s
    lab.write("x", ":SOUR:VOLT 0.01")
    assert lab.now_s - before < 3e-3
    assert float(lab.ask("x", ":SOUR:VOLT?")) == 0.02
    lab.bench.pause(1.0)
    assert float(lab.ask("x", ":SOUR:VOLT?")) == 0.01


def swept(**truth):
    """Noise-free currents of both meters over ``LEVELS``, A."""
    lab = Lab(read_noise_a=0, **truth)
    lab.select()
    lab.prepare(LEVELS)
    lab.run()
    return np.array([lab.fetch(meter)[0] for meter in ("x", "z")])


COLD = {"channels": load_truth(None).junctions.model_dump()["channels"],
        "layer": {"temperature_k": 0}}  # fmt: skip


@pytest.mark.parametrize("physics", ["llg", "wells"])
def test_all_ways_to_the_physics_give_the_same_sweep(physics):
    """At T = 0 to 1e-6; at 300 K the first-order mean is off from the quadrature by 3e-4."""
    for truth, most in (({"junctions": COLD}, 1e-6), ({}, 4e-4)):
        plain, other = swept(**truth), swept(physics=physics, **truth)
        np.testing.assert_allclose(plain, other, rtol=most)
        assert np.ptp(plain) > 5e-7


def noisy(count=400, **noise):
    """Currents of ``count`` readings of meter x one after another at rest, A."""
    lab = Lab(read_noise_a=0, noise=noise)
    lab.select()
    lab.write("x", ":FORM:ELEM CURR,STAT;:FORM SRE;:SYST:AZER:STAT OFF;:SENS:CURR:NPLC 1")
    lab.arm("x", count)
    return lab, np.array(lab.fetch("x")[0])


def test_shot_and_johnson_noise_are_in_the_readings():
    """Standard deviation sqrt(2 e I coth(eV/2kT)/2t), t = 20 ms (1 NPLC at 50 Hz), to 10 %."""
    _, current = noisy(johnson_shot=True)
    volt, kelvin = 0.02, 300
    x = 1.602176634e-19 * volt / (2 * 1.380649e-23 * kelvin)
    density = 2 * 1.602176634e-19 * current.mean() / math.tanh(x)
    assert current.std() == pytest.approx(math.sqrt(density / (2 * 0.02)), rel=0.1)
    assert np.array_equal(current, noisy(johnson_shot=True)[1])


@pytest.mark.parametrize(
    "noise", [{"hooge_m2": 1e-19}, {"telegraph_step": 0.01}, {"magnetisation": True}]
)
def test_every_noise_of_the_junction_reaches_the_readings(noise):
    still = noisy()[1]
    assert np.ptp(still) == 0
    shaken = noisy(**noise)[1]
    assert shaken.std() > 0
    assert shaken.mean() == pytest.approx(still.mean(), rel=0.02)


def test_all_junctions_follow_the_one_field_line():
    """A junction that the meters do not see remembers what the field did to it."""
    channels = load_truth(None).junctions.model_dump()["channels"]
    layer = {"k2_t": 0, "hz_t": 2e-4, "tilt_rad": 0.1}
    lab = Lab(physics="llg", junctions={"layer": layer, "channels": channels})
    lab.select("J1")
    lab.prepare([0.0, -0.03, 0.0])
    lab.run()
    assert all(j.state()["magnet"]["m"][2] < -0.9 for j in lab.bench.junctions)


def test_physics_without_a_solution_does_not_leave_the_source_in_its_sweep():
    channels = {"J1": {"x": "1!1", "z": "1!2", "low": "1!3"}}
    lab = Lab(junctions={"layer": {"tilt_rad": 0.1}, "channels": channels})
    lab.select()
    lab.prepare([0.0, -0.1])
    lab.start()
    lab.bench.pause(0.002)
    assert "planar equilibrium" in lab.ask("field", ":SYST:ERR?")
    assert lab.bench.sweep is None
    lab.write("field", ":OUTP OFF")
    assert lab.ask("field", ":OUTP?") == "0"


def test_a_seed_names_the_readings():
    def swept(seed):
        lab = Lab(seed=seed)
        lab.select()
        lab.prepare(SHORT)
        lab.run()
        return lab.raw("x", ":TRAC:DATA?")

    assert swept(5) == swept(5)
    assert swept(5) != swept(6)
