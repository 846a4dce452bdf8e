"""The simulated instruments' command language: headers, paths, errors, status."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sim_backend.bench import SimBench
from sim_backend.models import MODELS
from sim_backend.scpi import Choice, Number, Table, _pattern, _short, command, setting
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
    [":SOU:VOLT", ":SOURC:VOLT", ":SOUR2:VOLT", ":VOLTS", ":VOL", ":SOUR:", ":", "::VOLT", "*FOO"],
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
        ("x", ":SOUR:VOLT 1_0", -104),
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
    [(":FOO", 32), (":SOUR:VOLT 999", 16), (":READ?", 8), ("*OPC", 1), ("*IDN?\n:FOO", 4 | 32)],
)
def test_the_event_register_knows_the_kind_of_error(meter, message, bit):
    for one in message.split("\n"):
        meter(one)
    meter("*ESE 255")
    assert meter.poll() & 32
    assert int(meter.ask("*ESR?")) == bit
    assert meter.ask("*ESR?") == "0"
    assert meter.poll() & 32 == 0


def test_a_queue_overflow_is_the_devices_error(meter):
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
