"""The simulated instruments' command language: headers, paths, parameters, errors, tables."""

import math

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sim_backend.bench import SimBench
from sim_backend.instrument import COMMON_ROWS, SimInstrument
from sim_backend.models import MODELS
from sim_backend.scpi import (
    Block,
    Boolean,
    Choice,
    Number,
    Numbers,
    Row,
    ScpiError,
    Several,
    String,
    Table,
    Text,
    Whole,
    Words,
    _pattern,
    _short,
    command,
    parse,
    query,
    setting,
    split_units,
)
from sim_backend.scpi_data import elements, number
from sim_backend.scpi_language import forms, language, memory_rows, problems
from sim_backend.truth import load_truth


class Line:
    """One simulated instrument: ``line(message)`` sends, ``line.ask(question)`` reads too."""

    def __init__(self, name, bench=None):
        self.bench = bench or SimBench(load_truth(None))
        self.instrument = self.bench.by_name[name]

    def __call__(self, message):
        self.bench.write(self.instrument, message)

    def read(self):
        taken = self.bench.take(self.instrument, 10**7)
        return None if taken is None else taken[0].decode("latin-1").removesuffix("\n")

    def ask(self, message):
        self(message)
        return self.read()

    def errors(self):
        """Numbers of the queued errors, which it empties."""
        numbers = []
        while (answer := self.ask(":SYST:ERR?")) != '0,"No error"':
            numbers.append(int(answer.partition(",")[0]))
        return numbers

    def poll(self):
        return self.bench.serial_poll(self.instrument)


@pytest.fixture
def meter():
    return Line("x")


# -- headers --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "header",
    [
        ":SOURce1:VOLTage:LEVel:IMMediate:AMPLitude", ":SOUR:VOLT", "SOUR:VOLT", "VOLT",
        ":VOLT:LEV", ":volt:ampl", ":Source:Voltage:Imm", "sour1:volt:level",
    ],
)  # fmt: skip
def test_a_header_is_known_in_every_form(meter, header):
    meter(f"{header} 0.125")
    assert float(meter.ask(f"{header}?")) == 0.125
    assert meter.errors() == []


@pytest.mark.parametrize(
    "header",
    [":SOU:VOLT", ":SOURC:VOLT", ":VOLTS", ":VOL", ":SOUR:", ":", "::VOLT", "*FOO", ":VOLT2"],
)
def test_no_other_form_is_known(meter, header):
    meter(f"{header} 1")
    assert meter.errors() == [-113]
    assert float(meter.ask(":SOUR:VOLT?")) == 0


def variants(header):
    """Texts that a header may be written as, drawn by hypothesis."""

    @st.composite
    def build(draw, text=header):
        out, i = "", 0
        while i < len(text):
            if text[i] == "[":
                close = _closing(text, i)
                inside = text[i + 1 : close]
                if draw(st.booleans()):
                    out += inside if inside.isdigit() else draw(build(inside))
                i = close + 1
                continue
            word = ""
            while i < len(text) and (text[i].isalpha() or text[i] == "*"):
                word, i = word + text[i], i + 1
            if word:
                form = draw(st.sampled_from([word, _short(word) if word[0] != "*" else word]))
                out += draw(st.sampled_from([form, form.lower(), form.upper()]))
            else:
                out, i = out + text[i], i + 1
        return out

    return build()


def _closing(text, start):
    depth = 0
    for i in range(start, len(text)):
        depth += {"[": 1, "]": -1}.get(text[i], 0)
        if depth == 0:
            return i
    raise AssertionError(text)


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_every_row_of_a_model_is_found_by_all_its_forms(model):
    @given(st.data())
    def check(data):
        row = data.draw(st.sampled_from(model.table.rows))
        text = data.draw(variants(row.header)).upper()
        if not text.startswith((":", "*")):
            text = ":" + text
        found = model.table.find(text, row.kind == "query")
        # Two rows may share a value (one NPLC for three functions), never a header.
        assert found.header == row.header

    check()


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_every_row_names_its_source(model):
    assert all(row.source for row in model.table.rows)


def test_short_forms_keep_capitals_and_digits():
    assert _short("VOLTage") == "VOLT"
    assert _short("CALC1") == "CALC1"
    assert _pattern("[:SOURce[1]]:LIST:CURRent") == "(?::SOUR(?:CE)?1?)?:LIST:CURR(?:ENT)?"


# -- paths ----------------------------------------------------------------------------------------


def test_a_unit_without_colon_stays_on_the_path_of_the_one_before(meter):
    meter(":SENS:CURR:PROT 1e-5;NPLC 2;:SOUR:VOLT 0.1")
    assert meter.errors() == []
    assert meter.ask(":SENS:CURR:PROT?;NPLC?;:SOUR:VOLT?") == "+1.000000E-05;+2.000000E+00;" + (
        "+1.000000E-01"
    )


def test_a_path_does_not_go_up_by_itself(meter):
    meter(":SENS:CURR:NPLC 2;CURR:PROT 1e-5")
    assert meter.errors() == [-113]


def test_common_commands_leave_the_path_alone(meter):
    meter(":SENS:CURR:PROT 1e-5;*CLS;NPLC 3")
    assert meter.errors() == []
    assert float(meter.ask(":SENS:CURR:NPLC?")) == 3


def test_each_message_starts_at_the_root(meter):
    meter(":SENS:CURR:PROT 1e-5")
    meter("NPLC 3")
    assert meter.errors() == [-113]


def test_empty_units_are_nothing(meter):
    meter("; ;;:SOUR:VOLT 0.1; ;")
    meter("")
    assert meter.errors() == []
    assert float(meter.ask(":SOUR:VOLT?")) == 0.1


def test_a_semicolon_inside_quotes_does_not_end_a_unit(meter):
    meter(":SENS:FUNC 'CURR;DC';:SOUR:VOLT 0.1")
    assert meter.errors() == []
    assert meter.ask(":SENS:FUNC?") == "'CURR;DC'"
    assert float(meter.ask(":SOUR:VOLT?")) == 0.1


@pytest.mark.parametrize("between", [" ", "   ", "\t", " \t "])
def test_any_white_space_parts_header_and_parameter(meter, between):
    meter(f"  :SOUR:VOLT{between}0.1  ")
    assert float(meter.ask(":SOUR:VOLT?")) == 0.1


# -- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "message", "number"),
    [
        ("x", ":NO:SUCH 1", -113),
        ("x", ":READ", -113),
        ("x", ":INIT?", -113),
        ("x", ":SOUR:VOLT", -109),
        ("x", "*RST 1", -108),
        ("x", ":READ? 1", -108),
        ("x", ":SOUR:VOLT? 1", -104),
        ("x", ":SOUR:VOLT volt", -104),
        ("x", ":SOUR:VOLT 1_0", -121),
        ("x", ":SOUR:VOLT nan", -104),
        ("x", ":SOUR:VOLT inf", -104),
        ("x", ":SOUR:VOLT 1e999", -222),
        ("x", ":SOUR:VOLT 211", -222),
        ("x", ":TRIG:COUN 2501", -222),
        ("x", ":OUTP MAYBE", -140),
        ("x", ":SOUR:FUNC MEM", -224),
        ("x", ":FORM:ELEM VOLT,AMPS", -224),
        ("field", ":SOUR:LIST:CURR 0,,1e-3", -104),
        ("field", ":SOUR:LIST:CURR 0,1", -222),
        ("field", f":SOUR:LIST:CURR {','.join(['0'] * 101)}", -223),
        ("switch", ":ROUT:CLOS 1!1", -102),
        ("switch", ":ROUT:CLOS (@1!)", -102),
        ("switch", ":ROUT:CLOS (@3!1)", -222),
        ("switch", ":ROUT:CLOS (@1!41)", -222),
        ("switch", f":ROUT:CLOS (@1!{'1' * 5000})", -102),
        ("switch", ":ROUT:CLOS ALL", -102),
    ],
)
def test_a_wrong_message_has_its_number_and_no_reply(name, message, number):
    line = Line(name)
    line(message)
    assert line.poll() & 16 == 0
    assert line.errors() == [number]


def test_an_error_drops_the_rest_of_the_message_and_keeps_what_came_before(meter):
    meter(":SOUR:VOLT 0.1;:FOO;:SOUR:VOLT 0.2")
    assert meter.errors() == [-113]
    assert float(meter.ask(":SOUR:VOLT?")) == 0.1
    assert meter.ask(":SOUR:VOLT?;:OUTP 5;:OUTP?") == "+1.000000E-01"
    assert meter.errors() == [-140]


def test_a_reply_that_is_not_read_is_lost_to_the_next_message(meter):
    meter(":SOUR:VOLT?")
    meter("*IDN?")
    assert "MODEL 2400" in meter.read()
    assert meter.errors() == [-410]


def test_reading_without_a_question_is_an_unterminated_query(meter):
    assert meter.read() is None
    assert meter.errors() == [-420]


def test_ten_errors_fit_and_the_last_place_tells_of_the_overflow(meter):
    for _ in range(9):
        meter(":FOO")
    for _ in range(3):
        meter(":OUTP 5")
    assert meter.errors() == 9 * [-113] + [-350]
    assert meter.errors() == []


def test_min_max_and_def_are_numbers(meter):
    assert float(meter.ask(":SENS:CURR:NPLC? MIN")) == 0.01
    assert float(meter.ask(":SENS:CURR:NPLC? maximum")) == 10
    meter(":SENS:CURR:NPLC MAX")
    assert float(meter.ask(":SENS:CURR:NPLC?")) == 10
    meter(":SENS:CURR:NPLC DEF")
    assert float(meter.ask(":SENS:CURR:NPLC?")) == 1
    meter(":SENS:CURR:NPLC MAXI")
    assert meter.errors() == [-104]


def test_words_are_answered_in_their_short_form(meter):
    meter(":SOUR:FUNC CURRENT;:FORM:ELEM status,current")
    assert meter.ask(":SOUR:FUNC?") == "CURR"
    assert meter.ask(":FORM:ELEM?") == "STAT,CURR"
    meter(":OUTP ON")
    assert meter.ask(":OUTP?") == "1"


@pytest.mark.parametrize(
    ("text", "same"), [("(@1!1,1!01)", "(@1!1)"), ("(@ 2!3 , 1!9 )", "(@1!9,2!3)")]
)
def test_a_relay_has_one_name(text, same):
    switch = Line("switch")
    switch(f":ROUT:CLOS {text}")
    assert switch.ask(":ROUT:CLOS:STAT?") == same


# -- what is wrong changes nothing -----------------------------------------------------------------

VALUES = st.one_of(
    st.sampled_from(
        ["", "MIN", "MAX", "1", "0", "ON", "OFF", "1e-3", "-5", "1e30", "nan", "VOLT", "CURR,STAT",
         "0,0.01,0.02", "(@1!1)", "(@9!9)", "ALL", "?", "TLIN", "IMM", "NEXT", "LIST", "2500"]
    ),
    st.floats().map(repr),
    st.text(st.characters(max_codepoint=255), max_size=8),
)  # fmt: skip


def headers(name):
    return st.sampled_from(
        [row.header.translate(str.maketrans("", "", "[]")).replace("1:", ":") for row in
         Line(name).instrument.table.rows]
    )  # fmt: skip


@pytest.mark.parametrize("name", ["x", "field", "switch"])
def test_a_message_that_is_refused_changes_no_setting(name):
    @given(headers(name), VALUES, st.lists(st.tuples(headers(name), VALUES), max_size=2))
    def check(header, value, before):
        line = Line(name)
        for one, with_value in before:
            line(f"{one} {with_value}")
        line("*CLS")
        state = {**line.instrument.state}
        relays = set(getattr(line.instrument, "closed", ()))
        line(f"{header} {value}".replace(";", ""))
        if line.errors():
            changed = {key for key in state if line.instrument.state[key] != state[key]}
            assert not changed
            assert relays == set(getattr(line.instrument, "closed", ()))

    check()


@pytest.mark.parametrize("name", ["x", "field", "switch"])
@given(message=st.binary(max_size=60).map(lambda b: b.decode("latin-1")))
@example(message="\x85\xa0?;:\xdf 1;'")
@example(message=":SOUR:LIST:CURR " + "9" * 400)
@example(message='?;*?;:?;\'";"')
def test_no_bytes_crash_an_instrument(name, message):
    line = Line(name, BENCH)
    line(message)
    line("*CLS")
    line.read()
    assert line.ask("*IDN?").startswith("KEITHLEY")


BENCH = SimBench(load_truth(None))


@pytest.mark.parametrize("name", ["x", "field", "switch"])
def test_no_sequence_of_legal_words_crashes_an_instrument(name):
    @given(st.lists(st.tuples(headers(name), st.sampled_from(" ?"), VALUES), max_size=8))
    def check(units):
        bench = SimBench(load_truth(None))
        line = Line(name, bench)
        line(";".join(f"{h}{q} {v}" for h, q, v in units))
        bench.pause(1.0)
        bench.device_clear(line.instrument)
        assert line.ask("*IDN?").startswith("KEITHLEY")

    check()


# -- status ---------------------------------------------------------------------------------------


def test_message_available_is_set_while_a_reply_waits(meter):
    assert meter.poll() == 0
    meter(":SOUR:VOLT?")
    assert meter.poll() == 16
    meter.bench.take(meter.instrument, 3)
    assert meter.poll() == 16
    meter.read()
    assert meter.poll() == 0


def test_error_available_is_set_until_the_queue_is_empty(meter):
    meter(":FOO;:BAR")
    assert meter.poll() & 4
    meter(":FOO")
    meter.ask(":SYST:ERR?")
    assert meter.poll() & 4
    assert meter.ask("*STB?") == "4"
    meter.errors()
    assert meter.poll() == 0


@pytest.mark.parametrize(
    ("message", "bit"),
    [(":FOO", 32), (":SOUR:VOLT 999", 16), (":READ?", 16), ("*OPC", 1), ("*IDN?\n:FOO", 4 | 32)],
)
def test_the_event_register_knows_the_kind_of_error(meter, message, bit):
    meter("*CLS")
    for one in message.split("\n"):
        meter(one)
    meter("*ESE 255")
    assert meter.poll() & 32
    assert int(meter.ask("*ESR?")) == bit
    assert meter.ask("*ESR?") == "0"
    assert meter.poll() & 32 == 0


def test_a_queue_overflow_is_the_devices_error(meter):
    meter("*CLS")
    for _ in range(11):
        meter(":FOO")
    assert int(meter.ask("*ESR?")) == 32 | 8


def test_events_are_summed_only_where_enabled(meter):
    meter(":FOO")
    assert meter.poll() & 32 == 0
    meter("*ESE 16")
    assert meter.poll() & 32 == 0
    meter("*ESE 32")
    assert meter.poll() & 32


def test_service_request_follows_its_enable_register(meter):
    meter("*SRE 4;:FOO")
    assert meter.poll() == 4 | 64
    meter("*SRE 32")
    assert meter.poll() == 4


def test_clear_status_clears_events_and_keeps_enables(meter):
    meter("*SRE 4;*ESE 32;:STAT:MEAS:ENAB 512;:FOO")
    meter("*CLS")
    assert meter.poll() == 0
    assert meter.ask("*SRE?;*ESE?;:STAT:MEAS:ENAB?;*ESR?") == "4;32;512;0"


def test_reset_keeps_status_and_preset_clears_the_enables(meter):
    meter("*ESE 32;:STAT:MEAS:ENAB 512;:STAT:QUES:ENAB 1;:FOO")
    meter("*RST")
    assert meter.ask("*ESE?;:STAT:MEAS:ENAB?") == "32;512"
    assert meter.errors() == [-113]
    meter(":STAT:PRES")
    assert meter.ask("*ESE?;:STAT:MEAS:ENAB?;:STAT:QUES:ENAB?") == "32;0;0"


def test_device_clear_drops_the_reply_and_nothing_else(meter):
    meter(":SOUR:VOLT 0.1")
    meter(":SOUR:VOLT?")
    meter.bench.device_clear(meter.instrument)
    assert meter.poll() == 0
    assert float(meter.ask(":SOUR:VOLT?")) == 0.1


# -- the table by itself --------------------------------------------------------------------------


def test_a_query_form_does_not_find_a_command_and_a_command_no_query():
    table = Table([command(":GO", "go", "here"), setting("n", ":N", Number(0, 1), 0, "here")])
    assert table.find(":GO", False).do == "go"
    assert table.find(":N", True).name == "n"
    with pytest.raises(Exception, match="-113"):
        table.find(":GO", True)


def test_a_word_of_a_choice_may_stand_in_quotes():
    assert Choice(("VOLTage", "CURRent")).parse("'voltage'") == "VOLT"


# -- syntax of IEEE 488.2 -------------------------------------------------------------------------


class Toy(SimInstrument):
    """An instrument with one row of every kind."""

    identity = "TOY"
    table = Table(
        [
            *COMMON_ROWS,
            setting("level", ":LEVel", Number(-10, 10, unit="V", step=0.5), 0.0, "here",
                    limits="level_limits"),
            setting("range", ":RANGe", Number(1e-3, 10, unit="V", values=(1e-3, 0.1, 10)), 0.1,
                    "here"),
            setting("count", ":COUNt", Whole(1, 100, special=("INF",)), 1, "here",
                    out_of_range=-221),
            setting("label", ":LABel", String(8), "", "here"),
            setting("wave", ":WAVE", Block(40), b"", "here"),
            setting("beep", ":BEEP", Several((Number(1, 2e4, unit="HZ"), Number(0, 8, unit="S"))),
                    (1000.0, 1.0), "here"),
            setting("mode", ":MODE", Choice(("FIXed", "SWEep")), "FIX", "here"),
            query(":DATA", "ask_data", "here",
                  argument=Several((Whole(1, 9), String(), Words(("READ", "SOURce"))), 1)),
            query(":CHANnel2:VOLT", "ask_test", "here"),
            command(":SEND", "send", "here", argument=Text()),
        ]
    )  # fmt: skip

    def level_limits(self):
        return -self.state["range"], self.state["range"]

    def ask_data(self, given):
        return repr(given)

    def send(self, text):
        self.sent = text


class Talk:
    """A toy and what is said to it."""

    def __init__(self):
        self.toy = Toy("toy", None)

    def __call__(self, message):
        """Send, and read the reply if there is one."""
        self.toy.receive(*self.toy.units(message))
        return self.toy.take(10**6)[0].decode("latin-1").removesuffix("\n")

    def errors(self):
        return [int(code) for code in self(":SYST:ERR:CODE:ALL?").split(",") if code != "0"]


@pytest.fixture
def toy():
    return Talk()


WRONG = [
    (":LEV&EL 1", -101), ("\xe9 1", -101), (":L\xdfVEL 1", -101), (":LEV,1", -111),
    (":LAB'a'", -111), (":LEV#H1", -111), (":LEV?1", -111), (":LEVELLLLLLLLL 1", -112),
    (":LEV2 1", -113), (":LEV1 1", -113), (":LEV ?", -104), (":CHAN1:VOLT?", -114),
    (":CHAN:VOLT?", -113), (":LEV 1 2", -103), (":LEV 1,2", -108), (":LEV 1,", -108),
    (":LAB 'a'b", -103), (":LEV", -109), (":BEEP 1", -109), (":BEEP ,1", -109),
    (":BEEP 1,1,1", -108), (":LEV '1'", -158), (":LEV #13abc", -168), (":LEV #0abc", -168),
    (":LEV (1)", -178), (":LEV #H1G", -121), (":LEV #B12", -121), (":LEV #Q8", -121),
    (":LEV 1.2.3", -121), (":LEV .", -121), (":LEV 1E", -131), (":LEV 1e32001", -123),
    (f":LEV {'9' * 256}", -124), (":LEV 1A", -131), (":LEV 1XV", -131),
    (":LEV 1MILLIVOLTSSSS", -134), (":COUN 1S", -138), (":MODE 1", -128), (":MODE #H1", -168),
    (":MODE 'FIX',1", -108), (":MODE LIST", -224), (":LAB abc", -148), (":LAB 1", -128),
    (":LAB 'abcdefghi'", -223), (":LAB 'abc", -151), (':LAB "a""', -151), (":WAVE #15abc", -161),
    (":WAVE #3a", -161), (":WAVE abc", -104), (f":WAVE #241{'x' * 41}", -223), (":COUN 0", -221),
    (":COUN NINF", -104), (":RANG 2", -224), (":RANG 20", -222), (":LEV 0.2", -222),
    (":MODE? MAX", -108), (":DATA? 1", -109), (":DATA? 0,'a'", -222), (":*RST 1", -108),
    ("*SAV", -109), ("*RCL 5", -222), (":COUN UP", -104),
]  # fmt: skip


@pytest.mark.parametrize(("message", "number"), WRONG)
def test_what_is_wrong_with_a_message_has_its_own_number(toy, message, number):
    before = dict(toy.toy.state)
    assert toy(message) == ""
    assert toy.errors() == [number]
    assert toy.toy.state == before


def test_common_commands_have_two_forms_and_leave_the_path_alone(toy):
    toy(":*CLS;:BEEP 5,1;*ESE 4;:*SRE 8;LEV 0.05")
    assert toy.errors() == []
    assert toy("*ESE?;:*SRE?;LEV?") == "4;8;+5.000000E-02"


def test_a_number_in_a_header_may_be_left_out_where_it_is_one(meter):
    meter(":SOUR:FUNC VOLT;:SOUR1:FUNC CURR;:SENS1:FUNC 'RES'")
    assert meter.errors() == []
    for wrong in (":SOUR2:FUNC VOLT", ":SOUR0:FUNC VOLT", ":SOUR11:FUNC?", ":OUTP3 ON"):
        meter(wrong)
        assert meter.errors() == [-114]


def test_a_missing_space_is_an_undefined_header(meter):
    """2400 manual p. B-8."""
    for message in (":SENS:VOLT:DC:NPLC1", ":SYST :ERR?", ":SYST:ERR ?"):
        meter(message)
        assert meter.errors() == [-113]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("50 mV", 0.05), ("50MV", 0.05), ("5E-2V", 0.05), ("5 e -2 v", 0.05), ("+.05", 0.05),
        ("-50000 uV", -0.05), ("0.00005KV", 0.05), ("#H0", 0), ("#b0", 0), ("5.E-2", 0.05),
        ("MIN", -0.1), ("maximum", 0.1), ("DEF", 0),
    ],
)  # fmt: skip
def test_numbers_are_understood_in_every_notation(toy, text, value):
    toy(f":LEV {text}")
    assert toy.errors() == []
    assert toy.toy.state["level"] == value


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [
        ("10 MA", "A", 0.01), ("1 MAA", "A", 1e6), ("3MHZ", "HZ", 3e6), ("3 MAHZ", "HZ", 3e6),
        ("2MOHM", "OHM", 2e6), ("2 MS", "S", 2e-3), ("1EXHZ", "HZ", 1e18), ("1aA", "A", 1e-18),
        ("#HfF", "", 255), ("#Q17", "", 15), ("#B101", "", 5), ("1E3", "", 1000),
    ],
)  # fmt: skip
def test_m_is_milli_except_before_hertz_and_ohm(text, unit, value):
    assert number(text, unit) == value


@given(st.decimals(allow_nan=False, allow_infinity=False, places=6), st.integers(-18, 18))
def test_a_multiplier_is_exact(value, _):
    for multiplier, power in (("M", -3), ("U", -6), ("N", -9), ("K", 3), ("G", 9)):
        assert number(f"{value:f} {multiplier}V", "V") == float(value.scaleb(power))


def test_up_and_down_go_by_the_step_or_to_the_next_value_and_no_further(toy):
    toy(":RANG UP;:LEV UP;:LEV UP;:LEV DOWN")
    assert toy(":RANG?;:LEV?") == "+1.000000E+01;+5.000000E-01"
    toy(":RANG UP")
    assert toy.errors() == [-222]
    toy(":LEV DOWN;:RANG DOWN;:LEV DOWN")
    assert toy.errors() == [-222]
    assert toy.toy.state["range"] == 0.1


def test_limits_may_depend_on_the_state(toy):
    assert toy(":LEV? MAX;:RANG MAX;:LEV? MAX;:LEV? MIN") == (
        "+1.000000E-01;+1.000000E+01;-1.000000E+01"
    )
    toy(":LEV 9")
    assert toy.errors() == []


def test_infinity_is_a_number_where_the_row_says_so(toy):
    assert toy(":COUN INF;:COUN?") == "+9.900000E+37"
    assert toy.toy.state["count"] == math.inf
    assert toy(":COUN infinity;:COUN? INF;:COUN 2.5;:COUN?") == "+9.900000E+37;3"


@pytest.mark.parametrize(
    ("text", "value"),
    [("'a;b'", "a;b"), ('"it""s"', 'it"s'), ("'it''s'", "it's"), ('"a\'"', "a'"), ("''", "")],
)
def test_strings_hold_anything_but_their_own_quote_once(toy, text, value):
    toy(f":LAB {text} ;:LEV 0.05")
    assert toy.errors() == []
    assert toy.toy.state["label"] == value
    assert toy(":LAB?;:LEV?") == '"' + value.replace('"', '""') + '";+5.000000E-02'


@pytest.mark.parametrize(
    ("text", "value"),
    [("#15a;b'\n;:LEV 0.05", b"a;b'\n"), ("#206#0#1\x00 ;:LEV 0.05", b"#0#1\x00 "), ("#10", b""),
     ("#0a;:LEV 9 ", b"a;:LEV 9 ")],
)  # fmt: skip
def test_blocks_hold_anything(toy, text, value):
    toy(f":WAVE {text}")
    assert toy.errors() == []
    assert toy.toy.state["wave"] == value
    assert toy.toy.state["level"] == (0.05 if ";:LEV 0.05" in text else 0)
    assert toy(":WAVE?").encode("latin-1") == b"#%d%d" % (len(str(len(value))), len(value)) + value


def test_a_question_may_have_parameters_of_which_the_last_are_optional(toy):
    assert toy(":DATA? 1, 'defbuffer;1' , READ") == "(1, 'defbuffer;1', ('READ',))"
    assert toy(':DATA? 2,"b"') == "(2, 'b', None)"
    assert toy(":DATA?") == "None"


def test_a_list_of_parameters_is_kept_and_shown(toy):
    assert toy(":BEEP 2kHz, 250ms;:BEEP?") == "+2.000000E+03,+2.500000E-01"


@given(st.lists(st.text("ab'\"#1;(),\\ ", max_size=12), max_size=4))
def test_cutting_a_message_loses_nothing(parts):
    message = ";".join(parts)
    assert ";".join(split_units(message)) == message


def test_parse_gives_the_legal_units_before_it_raises():
    seen = []
    with pytest.raises(ScpiError, match="-113"):
        parse(Toy.table, ":LEV 1;RANG?;:FOO;:LEV 2", lambda unit: seen.append(unit))
    assert [(unit.row.name, unit.is_query, unit.text) for unit in seen] == [
        ("level", False, "1"), ("range", True, ""),
    ]  # fmt: skip


def test_elements_are_bare():
    text = " 1 , 'a,b' ,(@1,2), #12,, ,, x "
    assert elements(text) == ["1", "'a,b'", "(@1,2)", "#12,,", "", "x"]


# -- every table ----------------------------------------------------------------------------------

models = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)


@models
def test_a_table_contradicts_itself_nowhere(model):
    assert problems(model.table) == []


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ([setting("a", ":A[:B]", Number(0, 1), 0, "x"), command(":A:B", "b", "x")], "is also"),
        ([setting("a", ":A", Number(0, 1), 2, "x")], "reset value"),
        ([setting("a", ":A", Number(2, 1), 2, "x")], "lowest 2 is above highest 1"),
        ([setting("a", ":A", Number(0, 1, default=3), 1, "x")], "default 3 is not in its range"),
        ([setting("a", ":A", Choice(("ONe",)), "TWO", "x")], "reset value TWO"),
        ([setting("a", ":A", Whole(0, 9), 0.5, "x")], "not one that can be set"),
        ([command(":A", "do", "")], "no source"),
        ([command(":A", "", "x")], "names the method"),
        ([Row(":A", "setting", "x")], "a setting has a name"),
    ],
)
def test_what_is_wrong_with_a_table_is_said(rows, why):
    assert any(why in sentence for sentence in problems(Table(rows)))
    assert problems(Toy.table) == []


@models
def test_the_language_of_a_model_lists_every_row_with_its_source(model):
    lines = language(model.table).splitlines()[2:]
    assert len(lines) == len(model.table.rows)
    for line, row in zip(lines, model.table.rows, strict=True):
        assert line.startswith(f"| `{row.header}")
        assert line.endswith(f"| {row.source} |")
    assert memory_rows(model.table) == [r for r in model.table.rows if r.source == "memory"]


@models
def test_every_method_that_a_row_names_is_there(model):
    for row in model.table.rows:
        for method in (row.do, row.limits):
            assert not method or callable(getattr(model, method)), row.header


@models
def test_two_units_on_one_path_are_two_messages(model):
    """``:A:B 1;C 2`` is ``:A:B 1`` and ``:A:C 2``."""
    asked = [(form, row) for row in model.table.rows if row.kind != "command"
             for form in set(forms(row.header)) if ":" in form]  # fmt: skip
    by_path = {}
    for form, row in asked:
        head, _, tail = form.rpartition(":")
        by_path.setdefault(head, []).append((tail, row))
    pairs = 0
    for path, several in by_path.items():
        for tail, row in several:
            for other, second in several:
                units, error = model.table.parse(f"{path}:{tail}?;{other}?;*STB?;{tail}?")
                assert error is None
                assert [unit.row for unit in units if unit.row.header != "*STB"] == [
                    row, second, row,
                ]  # fmt: skip
                pairs += 1
    assert pairs > 20


def one_of(argument):
    """Texts that an argument takes, drawn by hypothesis."""
    if isinstance(argument, Whole):
        return st.integers(int(argument.low), int(argument.high)).map(str)
    if isinstance(argument, Number):
        plain = st.floats(argument.low, argument.high).map(lambda x: f"{x:.6E}")
        fits = plain.filter(lambda text: argument.low <= float(text) <= argument.high)
        return fits | st.sampled_from(["MIN", "MAX", "DEF"])
    if isinstance(argument, Boolean):
        return st.sampled_from(["ON", "OFF", "1", "0", "on"])
    if isinstance(argument, Choice):
        return st.sampled_from([w for word in argument.words for w in (word, _short(word))])
    if isinstance(argument, Words):
        return st.lists(st.sampled_from(argument.words), min_size=1, unique=True).map(",".join)
    if isinstance(argument, Numbers):
        each = st.floats(argument.low, argument.high).map(lambda x: f"{x:.5E}")
        fits = each.filter(lambda text: argument.low <= float(text) <= argument.high)
        return st.lists(fits, min_size=1, max_size=5).map(",".join)
    assert isinstance(argument, Text | String)
    return st.text("ab;'", max_size=5).map(lambda text: '"' + text + '"')


def settings_of(name):
    return [row for row in Line(name, BENCH).instrument.table.rows if row.kind == "setting"]


@pytest.mark.parametrize("name", ["x", "field", "switch"])
def test_a_setting_that_was_set_is_answered(name):
    bench = SimBench(load_truth(None))

    @given(st.data())
    @settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
    def check(data):
        line = Line(name, bench)
        line("*RST;*CLS")
        row = data.draw(st.sampled_from(settings_of(name)))
        header = data.draw(st.sampled_from(sorted(set(forms(row.header)))))
        text = data.draw(one_of(row.argument))
        line(f"{header} {text}")
        refused = line.errors()
        reply = line.ask(f"{header}?")
        state = line.instrument.state[row.name]
        assert reply == row.argument.show(state)
        if row.do:  # what is coupled to others may be refused or changed
            assert refused in ([], [-221], [-222], [822], [823], [824], [826])
        else:
            assert refused == []
            wanted = row.argument.parse(text)
            assert row.argument.show(wanted) == reply

    check()


ILLEGAL = [":NO:SUCH 1", "*RST 1", ":OUTP MAYBE", "\x01 \xff", "*ESE", "*ESE 1e9", ":SYST:ERR",
           "*SRE 'a'", "*ESE #15", "*ESE 1,2", ":DISP:ENAB 'a", ":STAT:MEAS:ENAB 1X"]  # fmt: skip


@pytest.mark.parametrize("name", ["x", "field", "switch"])
def test_an_illegal_unit_gives_one_error_and_only_what_stands_before_it_acts(name):
    plain = [row for row in settings_of(name) if not row.do and row.name != "line_hz"]
    bench = SimBench(load_truth(None))

    @given(st.data())
    @settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
    def check(data):
        def units():
            rows = data.draw(st.lists(st.sampled_from(plain), max_size=3))
            texts = [f"{next(forms(r.header))} {data.draw(one_of(r.argument))}" for r in rows]
            return [text if text[0] == "*" else f":{text.lstrip(':')}" for text in texts]

        before, after = units(), units()
        line, same = Line(name, bench), Line(name)
        for each, message in ((line, [*before, data.draw(st.sampled_from(ILLEGAL)), *after]),
                              (same, before)):  # fmt: skip
            each("*RST;*CLS;*ESE 0;:STAT:PRES;*SRE 0")
            each(";".join(message))
        assert len(line.instrument.errors) == 1
        assert not same.instrument.errors
        assert line.instrument.state == same.instrument.state

    check()


WORDS = st.sampled_from(
    [":", ";", "?", "*", ",", " ", "'", '"', "#", "#0", "#15", "(@", ")", "1!1", "SOUR", "SENS",
     "CURR", "VOLT", "LIST", "RANG", "AUTO", "*IDN", "*RST", "*CLS", "OUTP", "1", "-2e3", "1e-3",
     "MAX", "ON", "\n", "\x00", "\xff", "\xdf", "TRAC", "FEED", "INIT", "READ", "ABOR", "SYST:ERR"]
)  # fmt: skip


@pytest.mark.parametrize("name", ["x", "field", "switch"])
@given(message=st.lists(WORDS, max_size=25).map("".join))
def test_no_shuffled_words_crash_an_instrument(name, message):
    line = Line(name, BENCH)
    line(message)
    BENCH.device_clear(line.instrument)
    line("*CLS")
    assert line.ask("*IDN?").startswith("KEITHLEY")
    assert line.errors() == []
