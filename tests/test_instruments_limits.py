"""What may reach an instrument, and what may not, however it is spelled."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from instruments import Bench, LimitError
from instruments.message import number, short_header, units


@pytest.fixture
def bench() -> Iterator[Bench]:
    """Armed, with J1 joined to the meters at the read voltage."""
    with Bench.open() as bench:
        bench.sweep("J1", [0.0])
        yield bench


def _sim(bench: Bench) -> Any:
    return bench._keep.visalib.bench


def _state(bench: Bench) -> Any:
    sim = _sim(bench)
    return {name: dict(one.state) for name, one in sim.by_name.items()}, set(sim.switch.closed)


def _refused(bench: Bench, role: str, message: str) -> str:
    """The sentence of a refusal that changed nothing."""
    before, errors = _state(bench), [len(one.errors) for one in _sim(bench).by_name.values()]
    link = bench.transport.links[role]
    with pytest.raises(LimitError) as caught:
        link.query(message) if message.endswith("?") else link.write(message)
    assert _state(bench) == before
    assert errors == [len(one.errors) for one in _sim(bench).by_name.values()]
    return str(caught.value)


REFUSED = [
    # what nobody may send
    ("x", "*RST", "not on the allow-list"),
    ("x", "*RCL 0", "not on the allow-list"),
    ("x", ":SYST:PRES", "not on the allow-list"),
    ("x", ":MEAS:CURR?", "not on the allow-list"),
    ("x", ":MEAS?", "not on the allow-list"),
    ("x", ":READ? 1;:MEAS?", "not on the allow-list"),
    ("x", ":CONF:RES", "not on the allow-list"),
    ("x", ":SOUR:CURR 1e-6", "not on the allow-list"),
    ("field", ":SOUR:DELT:ARM", "not on the allow-list"),
    ("field", ":SOUR:WAVE:ARM", "not on the allow-list"),
    ("field", ":SOUR:CURR:RANG:AUTO ON", "not on the allow-list"),
    # settings with one safe value
    ("x", ":SOUR:FUNC CURR", "only a voltage"),
    ("x", ":SYST:RSEN ON", "only 0 or OFF"),
    ("x", ":SENS:FUNC 'RES'", "only"),
    ("x", ":SOUR:CLE:AUTO ON", "only 0 or OFF"),
    ("x", ":SOUR:VOLT:MODE SWE", "only FIX or LIST"),
    ("field", ":SOUR:SWE:SPAC LIN", "only LIST"),
    ("field", ":SOUR:SWE:COUN 2", "only 1"),
    ("field", ":SOUR:SWE:RANG AUTO", "only FIX"),
    # levels, steps, fuses
    ("x", ":SOUR:VOLT 0.2", "x layer of J1: 200 mV is above the limit of 100 mV"),
    ("z", ":SOUR:VOLT -0.11", "z layer of J1: -110 mV is above"),
    ("field", ":SOUR:CURR 0.036", "field line: 36 mA is above the limit of 35 mA"),
    ("field", ":SOUR:CURR 0.0061", "the step from 0 A to 6.1 mA is larger than 6 mA"),
    ("field", ":SOUR:CURR 6mA", "is not a number"),
    ("x", ":SENS:CURR:PROT 30e-6", "compliance 30 µA is above 20 µA"),
    ("x", ":SENS:CURR:PROT MAX", "is not a number"),
    ("field", ":SOUR:CURR:COMP 10", "compliance 10 V is above"),
    ("field", ":SOUR:LIST:COMP 2,10", "compliance 10 V is above"),
    ("x", ":SOUR:VOLT:RANG 2", "is no fuse"),
    ("x", ":SOUR:VOLT:RANG -20", "is no fuse"),
    # lists, as a whole
    ("field", ":SOUR:LIST:CURR 0,0.005,0.04", "40 mA is above"),
    ("field", ":SOUR:LIST:CURR 0,0.005,0.012", "the step from 5 mA to 12 mA"),
    ("field", ":SOUR:LIST:CURR 0,MAX", "'MAX' is not a number"),
    ("field", ":SOUR:LIST:CURR 0,,1", "'' is not a number"),
    # relays under voltage, and two junctions in parallel
    ("switch", ":ROUT:OPEN ALL", "x and z do not read back zero"),
    ("switch", ":ROUT:CLOS (@1!2)", "x and z do not read back zero"),
    # spellings that would hide a second message or a setting
    ("x", ":DISP:ENAB ON\n:SOUR:VOLT 5", "not printable ASCII"),
    ("x", ":SOUR:VOLT?\r\n:SOUR:VOLT 5?", "not printable ASCII"),
    ("x", ":\u017fOUR:VOLT 0", "not printable ASCII"),
    ("x", ":SOUR:VOLT\t0.5", "not printable ASCII"),
    ("field", ":DISP:ENAB 'a;:SOUR:CURR 0;:OUTP OFF'", "quoted text"),
    ("field", ":OUTP 2", "neither ON nor OFF"),
    ("field", ":OUTP", "neither ON nor OFF"),
    ("field", ":SOUR:CURR? MIN?", "no parameters"),
]  # fmt: skip


@pytest.mark.parametrize(("role", "message", "words"), REFUSED)
def test_a_refused_message_is_explained_and_changes_nothing(
    bench: Bench, role: str, message: str, words: str
) -> None:
    assert words in _refused(bench, role, message)


def test_a_refused_unit_stops_the_whole_message(bench: Bench) -> None:
    _refused(bench, "x", ":SOUR:VOLT 0.05;:SOUR:VOLT 0.5")
    assert bench.x.read_level() == pytest.approx(0.02)


def test_a_reading_is_taken_only_where_the_output_is_on_and_prepared(bench: Bench) -> None:
    x = bench.transport.links["x"]
    x.write(":ABOR;:TRIG:SOUR IMM;:TRIG:COUN 1;:FORM:DATA ASC")
    assert b"," in x.query(":READ?")
    x.write(":SOUR:VOLT 0;:SOUR:LIST:VOLT 0.05,0.1")
    x.write(":SOUR:VOLT:MODE LIST")
    assert "it would start the list" in _refused(bench, "x", "read?")
    x.write(":SOUR:VOLT:MODE FIX;:OUTP OFF")
    assert "its output is not known to be on" in _refused(bench, "x", ":READ?")
    bench.guard.lost("z")
    assert "its output is not known to be on" in _refused(bench, "z", ":READ?")


def test_a_reading_is_no_observation(bench: Bench) -> None:
    allowed = bench.guard.allowed["x"]
    assert allowed.is_observation(":SOUR:VOLT?") and not allowed.is_observation(":READ?")


def test_a_list_of_a_meter_is_checked_before_it_starts(bench: Bench) -> None:
    x = bench.transport.links["x"]
    assert "110 mV is above" in _refused(bench, "x", ":SOUR:LIST:VOLT 0.05,0.11")
    x.write(":ABOR;:SOUR:VOLT:MODE LIST")
    assert "the list or its compliance is not known" in _refused(bench, "x", ":INIT")


def test_a_question_is_asked_and_a_setting_is_written(bench: Bench) -> None:
    with pytest.raises(LimitError, match="ask with query"):
        bench.transport.links["x"].write(":SOUR:VOLT?")
    with pytest.raises(LimitError, match="ask with query"):
        bench.transport.links["x"].query(":SOUR:VOLT 0")
    assert bench.x.read_level() == pytest.approx(0.02)


# -- spelling ------------------------------------------------------------------------------------


def _case(word: str) -> st.SearchStrategy[str]:
    return st.sampled_from([word, word.lower(), word.capitalize()])


HEADERS = st.builds(
    lambda colon, source, one, current, rest: f"{colon}{source}{one}:{current}{rest}",
    st.sampled_from([":", ""]),
    st.sampled_from(["SOUR", "SOURCE"]).flatmap(_case),
    st.sampled_from(["", "1"]),
    st.sampled_from(["CURR", "CURRENT"]).flatmap(_case),
    st.sampled_from(["", ":LEV", ":LEVEL:IMM", ":IMM:AMPL", ":AMPLITUDE"]),
)
WITH_PATH = st.builds(
    lambda head, current: f"{head};{current}",
    st.sampled_from([":SOUR:DEL 1", "SOURCE:DELAY 1", ":sour:del 1;*CLS", ":SOUR:CURR 0"]),
    st.sampled_from(["CURR", "current", "Curr", ":SOUR:CURR", ":SOURCE1:CURRENT"]),
)
VALUES = st.sampled_from(
    ["MIN", "MAX", "DEF", "max", "'0'", '"0"', "nan", "inf", "-inf", "0x1", "1_0", "1e-1", ".05",
     "50E-3", "+0.05", "-.05", "5e-2 ", " 0.05", "0.05A", "50 mA", "#H1", "(0.05)", "0,0.05", "",
     "9.9e37", "1e999", "\u0660.\u0660\u0665"]
) | st.floats(0.0061, 1).map(lambda x: f"{x:e}")  # fmt: skip


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(header=HEADERS | WITH_PATH, value=VALUES)
def test_no_spelling_of_the_level_passes_its_limit(bench: Bench, header: str, value: str) -> None:
    _refused(bench, "field", f"{header} {value}")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(header=st.sampled_from(["SOUR:CURR", ":sour:curr", ":SOURCE:CURRENT"]),
       value=st.sampled_from(["0", "-0.0", "0e9", "+.0", "5E-3", ".005", "-5.0e-3"]))  # fmt: skip
def test_every_spelling_of_an_allowed_level_passes(bench: Bench, header: str, value: str) -> None:
    bench.source.set_current(0.0)
    bench.transport.links["field"].write(f"{header} {value}")
    assert bench.source.read_level() == float(value)


@pytest.mark.parametrize(
    ("message", "headers"),
    [
        (":SOURCE1:VOLTAGE:RANGE 1", [":SOUR:VOLT:RANG"]),
        ("sour:volt 1;volt:rang 2", [":SOUR:VOLT", ":SOUR:VOLT:RANG"]),
        (":SOUR:VOLT:RANG 1;*CLS;MODE FIX", [":SOUR:VOLT:RANG", "*CLS", ":SOUR:VOLT:MODE"]),
        (":SOUR:VOLT 1;:OUTP ON;STAT OFF", [":SOUR:VOLT", ":OUTP", ":STAT"]),
        (":TRAC:DATA?; ;*IDN?", [":TRAC:DATA", "*IDN"]),
        (":OUTPUT:SMODE ZERO", [":OUTP:SMOD"]),
        (":DELAY 1", [":DEL"]),
        (":SOUR2:CURR 1", [":SOUR2:CURR"]),
    ],
)
def test_headers_are_read_in_any_form(message: str, headers: list[str]) -> None:
    assert [unit.header for unit in units(message)] == headers


@settings(deadline=None)
@given(st.text(max_size=30))
def test_no_text_upsets_the_reading_of_messages(text: str) -> None:
    for unit in units(text):
        assert short_header(unit.header) == unit.header or not unit.header.isascii()
    value = number(text)
    assert value is None or value == float(text)


# -- what is not known is the worst --------------------------------------------------------------


def test_nothing_goes_on_before_its_fuse_is_set_and_read_back() -> None:
    with Bench.open() as bench:
        x, field = bench.transport.links["x"], bench.transport.links["field"]
        bench.guard.lost("x")
        assert "its range has not been set" in _refused(bench, "x", ":OUTP ON")
        x.write(":SOUR:VOLT:RANG 0.2")
        assert "its range has not been set" in _refused(bench, "x", ":OUTP ON")
        x.query(":SOUR:VOLT:RANG?")
        assert "its compliance has not been set" in _refused(bench, "x", ":OUTP ON")
        x.write(":SENS:CURR:PROT 1e-5")
        x.query(":SENS:CURR:PROT?")
        assert "must be set first" in _refused(bench, "x", ":OUTP ON")
        x.write(":SYST:RSEN OFF;:SOUR:CLE:AUTO 0;:SOUR:VOLT:MODE FIX;:OUTP:SMOD NORM")
        x.write(":SENS:FUNC:CONC OFF;:SENS:FUNC 'CURR:DC'")
        assert "not known to source a voltage" in _refused(bench, "x", ":OUTP 1")
        x.query(":SOUR:FUNC?")
        assert "its level is not known" in _refused(bench, "x", ":OUTP ON")
        bench.x.read_level()
        x.write(":OUTP ON")
        assert _sim(bench).meters["x"].state["output"] is True
        assert "the list or its compliance" in _refused(bench, "field", ":SOUR:SWE:ARM")
        field.write(":SOUR:LIST:CURR 0;:SOUR:LIST:COMP 2;:SOUR:LIST:DEL 1")
        assert "must be set first" in _refused(bench, "field", ":SOUR:SWE:ARM")


def test_an_output_that_is_off_goes_on_within_one_step_of_zero(bench: Bench) -> None:
    field = bench.transport.links["field"]
    field.write(":OUTP OFF")
    field.write(":SOUR:CURR 0.02")  # nothing flows: no step
    assert "from 0 A to 20 mA" in _refused(bench, "field", ":OUTP ON")
    field.write(":SOUR:LIST:CURR 0.005,0")
    assert "from 0 A to 20 mA" in _refused(bench, "field", ":SOUR:SWE:ARM")


def test_a_list_is_appended_to_only_where_it_is_known(bench: Bench) -> None:
    bench.guard.lost("field")
    assert "not known" in _refused(bench, "field", ":SOUR:LIST:CURR:APP 0")


def test_the_step_limit_holds_where_two_messages_of_a_list_meet(bench: Bench) -> None:
    field = bench.transport.links["field"]
    field.write(":SOUR:LIST:CURR 0,0.005")
    assert "from 5 mA to 12 mA" in _refused(bench, "field", ":SOUR:LIST:CURR:APP 0.012,0.006")
    field.write(":SOUR:LIST:CURR:APP 0.01,0.005")
    assert bench.guard.shadows["field"].levels.tolist() == [0, 0.005, 0.01, 0.005]


def test_a_list_starts_within_one_step_of_where_the_source_is(bench: Bench) -> None:
    field = bench.transport.links["field"]
    field.write(":SOUR:LIST:CURR 0.012,0.006")
    assert "from 0 A to 12 mA" in _refused(bench, "field", ":SOUR:SWE:ARM")
    field.write(":SOUR:LIST:CURR 0.006,0.012")
    field.write(":SOUR:SWE:ARM")
    field.write(":SOUR:LIST:CURR 0.006,0.005")  # another than the armed one
    assert "has not been armed" in _refused(bench, "field", ":INIT")
    field.write(":SOUR:LIST:CURR 0.006,0.012;:SOUR:SWE:ARM;:SOUR:CURR -0.005")
    assert "from -5 mA to 6 mA" in _refused(bench, "field", ":INIT")


def test_a_list_that_its_range_cannot_hold_does_not_start(bench: Bench) -> None:
    field = bench.transport.links["field"]
    field.write(":SOUR:LIST:CURR 0.005,0")
    field.write(":SOUR:CURR:RANG 0.002")
    assert "range is not confirmed" in _refused(bench, "field", ":SOUR:SWE:ARM")
    bench.transport.links["field"].query(":SOUR:CURR:RANG?")
    assert "range is not confirmed" in _refused(bench, "field", ":SOUR:SWE:ARM")


@pytest.mark.parametrize("end", [":ABOR", ":SOUR:SWE:ABOR", "device clear"])
def test_after_a_list_was_cut_off_its_level_counts_as_unknown(bench: Bench, end: str) -> None:
    field = bench.transport.links["field"]
    field.write(":SOUR:LIST:CURR 0.005,0.01,0.005,0;:SOUR:LIST:DEL 1,1,1,1")
    field.write(":SOUR:LIST:COMP 2,2,2,2")
    field.write(":SOUR:SWE:ARM;:INIT")
    if end == "device clear":
        bench.guard.cleared("field")
    else:
        field.write(end)
    assert "not known; read it first" in _refused(bench, "field", ":SOUR:CURR 0.004")
    field.write(":SOUR:CURR 0")
    field.write(":SOUR:CURR 0.004")


def test_a_current_that_somebody_left_on_holds_the_relays() -> None:
    with Bench.open() as bench:
        sim = _sim(bench)
        sim.meters["x"].state.update(source_function="CURR", i_level=1e-6, output=True)
        bench.x.look()
        bench.z.look()
        bench.source.read_level()
        assert bench.x.read_level() == 0  # volts, that is
        assert "x do not read back zero" in _refused(bench, "switch", ":ROUT:OPEN ALL")


def test_an_answer_that_says_nothing_counts_as_unknown(bench: Bench) -> None:
    guard = bench.guard
    guard.heard("field", ":OUTP?", b"")
    assert guard.shadows["field"].output is None
    guard.heard("field", ":SOUR:CURR?", b"nan")
    assert guard.shadows["field"].level is None
    assert not guard.is_dead("field")
    # Data with a semicolon in it must not move answers to other questions.
    guard.heard("x", ":TRAC:DATA?;:SOUR:VOLT?", b"#0;0;+1.0E-1")
    assert guard.shadows["x"].level == pytest.approx(0.02)


def test_relays_move_when_every_source_reads_back_zero_and_join_one_junction(bench: Bench) -> None:
    switch = bench.transport.links["switch"]
    for meter in (bench.x, bench.z):
        meter.set_voltage(0.0)
    # Commanded is not reported, and neither is where a list has ended.
    assert "field and x and z do not read back zero" in _refused(bench, "switch", ":ROUT:OPEN ALL")
    bench.source.read_level()
    assert "x and z do not read back zero" in _refused(bench, "switch", ":ROUT:OPEN ALL")
    bench.x.read_level()
    assert "at x layer" not in _refused(bench, "switch", ":ROUT:OPEN ALL")
    bench.z.read_level()
    assert "do not belong to one junction" in _refused(bench, "switch", ":ROUT:CLOS (@1!2)")
    assert "do not belong to one junction" in _refused(bench, "switch", ":ROUT:CLOS (@1!1:1!40)")
    bench.source.set_current(0.001)
    assert "field do not read back zero" in _refused(bench, "switch", ":ROUT:OPEN ALL")
    bench.source.set_current(0.0)
    bench.source.read_level()
    bench.guard.lost("switch")
    assert "switch unknown" in bench.guard.node("x")
    assert "closed relays are not known" in _refused(bench, "switch", ":ROUT:CLOS (@1!1)")
    switch.write(":ROUT:OPEN ALL")
    switch.write(":ROUT:CLOS (@1!2,1!12)")
    assert _sim(bench).switch.closed == {"1!2", "1!12"} and _sim(bench).hot_switches == 0


@pytest.mark.parametrize("role", ["field", "x", "z"])
def test_zero_and_off_are_allowed_whatever_is_not_known(bench: Bench, role: str) -> None:
    for each in bench.transport.links:
        bench.guard.lost(each)
    driver: Any = getattr(bench, "source" if role == "field" else role)
    zero, off, look = driver.stop_messages()
    for message in (*zero, *off):
        bench.transport.links[role].write(message)
    driver.ask(look)
    assert bench.guard.shadows[role].output is False
