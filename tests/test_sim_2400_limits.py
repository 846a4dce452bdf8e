"""What holds a simulated Keithley 2400's output: compliance, measurement range, power envelope."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.test_sim_keithley2400 import Lab

REAL, RANGE = 1 << 3, 1 << 16
V_RANGES = (0.2, 2, 20, 200)
I_RANGES = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1)


@pytest.fixture
def lab():
    return Lab()


# -- real and range compliance ---------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(
    source=st.sampled_from(["VOLT", "CURR"]),
    ohm=st.floats(1, 1e6),
    level=st.floats(-1, 1),
    limit=st.floats(1e-2, 1),
    down=st.integers(0, 2),
)
def test_the_output_is_held_by_the_lower_of_compliance_and_fixed_range(
    source, ohm, level, limit, down
):
    lab = Lab(ohm)
    other, ranges, unit, most = (
        ("CURR", I_RANGES, 20, 0.1) if source == "VOLT" else ("VOLT", V_RANGES, 0.1, 20)
    )
    limit, level = float(f"{limit * most:.6g}"), float(f"{level * unit:.6g}")
    own = next(n for n, span in enumerate(ranges) if limit <= 1.05 * span)
    span = ranges[max(own - down, 0)]
    lab.write(
        f":SOUR:FUNC {source};:SENS:FUNC 'VOLT','CURR';:SENS:{other}:PROT {limit}",
        f":SENS:{other}:RANG {span};:SOUR:{source} {level};:OUTP ON",
    )
    volt, current, _, _, status = lab.numbers(":READ?")
    assert lab.errors() == []
    found = abs(current if source == "VOLT" else volt)
    free = abs(level) / ohm if source == "VOLT" else abs(level) * ohm
    end = min(limit, 1.05 * span)
    noise = 1e-9 if source == "VOLT" else 1e-3
    assert found <= end * (1 + 1e-6) + noise
    assert found == pytest.approx(min(free, end), rel=1e-3, abs=noise)
    kind = RANGE if 1.05 * span < limit else REAL
    if abs(free / end - 1) > 1e-6:
        assert int(status) & (REAL | RANGE | 1) == (kind if free > end else 0)


def test_range_compliance_counts_as_compliance_in_status_and_question(lab):
    lab.write(":SENS:CURR:PROT 1e-3;:SENS:CURR:RANG 1e-5;:SOUR:VOLT 1;:OUTP ON;:FORM:ELEM CURR")
    assert lab.numbers(":READ?") == pytest.approx([1.05e-5])
    assert lab.ask(":SENS:CURR:PROT:TRIP?") == "1"
    assert int(lab.ask(":STAT:MEAS:COND?")) & 1 << 14


def test_the_output_itself_is_held_not_only_its_reading(lab):
    lab.write(":SENS:CURR:PROT 1e-3;:SENS:CURR:RANG 1e-5;:SOUR:VOLT 1;:OUTP ON")
    assert lab.output_v() == pytest.approx(1.05e-5 * 1e4)
    lab.write(":SENS:CURR:RANG 1e-4")
    assert lab.output_v() == pytest.approx(1)


def test_an_automatic_range_holds_nothing(lab):
    lab.write(":SENS:CURR:PROT 1e-3;:SENS:CURR:RANG 1e-6;:SENS:CURR:RANG:AUTO ON")
    lab.write(":SOUR:VOLT 5;:OUTP ON;:FORM:ELEM CURR,STAT")
    current, status = lab.numbers(":READ?")
    assert current == pytest.approx(5e-4)
    assert int(status) & (REAL | RANGE) == 0


def test_the_range_of_what_is_not_measured_holds_nothing(lab):
    lab.write(":SENS:CURR:PROT 1e-3;:SENS:CURR:RANG 1e-6;:SENS:FUNC:CONC OFF;:SENS:FUNC 'VOLT'")
    lab.write(":SOUR:VOLT 5;:OUTP ON")
    assert lab.output_v() == pytest.approx(5)


def test_a_fixed_range_is_a_fuse_for_a_junction():
    """Driven with 1 mA it breaks at 20 V and lives on the 200 mV range."""
    broken = []
    for span in ("2e1", "0.2"):
        lab = Lab(wires=[])
        ends = lab.bench.truth.junctions.channels["J1"]
        lab.bench.write(lab.bench.by_name["switch"], f":CLOS (@{ends.x},{ends.low})")
        lab.write(f":SOUR:FUNC CURR;:SENS:FUNC 'VOLT';:SENS:VOLT:RANG {span}")
        lab.write(":SOUR:CURR 1e-3;:OUTP ON", ":READ?")
        lab.bench.take(lab.x, 1000)
        broken.append(bool(lab.bench.junctions[0].broken))
    assert broken == [True, False]


def test_a_wider_range_acts_at_once():
    """A source that the range held back goes on to its compliance, with no reading taken."""
    lab = Lab(wires=[])
    ends = lab.bench.truth.junctions.channels["J1"]
    lab.bench.write(lab.bench.by_name["switch"], f":CLOS (@{ends.x},{ends.low})")
    lab.write(":SOUR:FUNC CURR;:SENS:FUNC 'VOLT';:SENS:VOLT:RANG 0.2;:SOUR:CURR 1e-3;:OUTP ON")
    lab.bench.pause(1.0)
    assert not lab.bench.junctions[0].broken
    lab.write(":SENS:VOLT:RANG 20")
    lab.bench.pause(1.0)
    assert lab.bench.junctions[0].broken


# -- what is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "before, message, number",
    [
        ("", ":SENS:CURR:RANG 1e-3", 824),  # compliance 105 uA after *RST
        (":SENS:CURR:PROT 50e-3", ":SENS:CURR:RANG 1", 824),
        (":SOUR:FUNC CURR;:SENS:VOLT:PROT 1", ":SENS:VOLT:RANG 20", 824),
        (":SENS:CURR:RANG 1e-4", ":SENS:CURR:PROT 0.9e-7", 822),
        (":SOUR:FUNC CURR;:SENS:VOLT:RANG 20", ":SENS:VOLT:PROT 0.019", 822),
        ("", ":SENS:VOLT:RANG 2", 823),
        ("", ":SENS:VOLT:RANG:AUTO ON", 823),
        (":SOUR:FUNC CURR", ":SENS:CURR:RANG 1e-4", 823),
        (":SENS:CURR:PROT 1", ":SOUR:VOLT:RANG 200", 826),
        (":SENS:CURR:PROT 0.2", ":SOUR:VOLT 21.5", 826),
        (":SOUR:VOLT:RANG 200", ":SENS:CURR:PROT 0.106", 826),
        (":SOUR:FUNC CURR;:SENS:VOLT:PROT 22", ":SOUR:CURR 0.11", 826),
        (":SOUR:FUNC CURR;:SOUR:CURR:RANG 1", ":SENS:VOLT:PROT 21.1", 826),
    ],
)
def test_limit_and_range_are_refused_with_the_instruments_own_number(lab, before, message, number):
    if before:
        lab.write(before)
        assert lab.errors() == []
    state = dict(lab.x.state)
    lab.write(message)
    assert lab.errors() == [number]
    assert lab.x.state == state


@pytest.mark.parametrize(
    "message",
    [
        ":SENS:CURR:RANG 1e-4",
        ":SENS:CURR:PROT 50e-3;:SENS:CURR:RANG 0.1",
        ":SENS:CURR:RANG 1e-4;:SENS:CURR:PROT 1e-7",
        ":SENS:CURR:PROT 0.105;:SOUR:VOLT:RANG 200",
        ":SENS:CURR:PROT 1.05;:SOUR:VOLT 21",
        ":SENS:CURR:PROT 1;:SENS:VOLT:PROT 200;:SOUR:CURR:RANG 1",  # amperes are not sourced
    ],
)
def test_what_the_rules_allow_is_taken(lab, message):
    lab.write(message)
    assert lab.errors() == []


@pytest.mark.parametrize(
    "before",
    [
        ":SENS:CURR:PROT 1;:SOUR:SWE:RANG BEST;:SOUR:VOLT:MODE LIST;:SOUR:LIST:VOLT 100",
        ":SOUR:FUNC CURR;:SENS:CURR:PROT 1;:SOUR:VOLT:RANG 200;:SOUR:VOLT 100;:SOUR:FUNC VOLT",
    ],
    ids=["sweep", "function"],
)
def test_what_comes_to_the_200_v_range_another_way_is_held_at_105_ma(before):
    lab = Lab(10)
    lab.write(f"{before};:SENS:FUNC 'CURR';:OUTP ON;:FORM:ELEM CURR,STAT")
    current, status = lab.numbers(":READ?")
    assert lab.errors() == []
    assert current == pytest.approx(0.105)
    assert int(status) & REAL


MESSAGES = (
    ":SOUR:FUNC VOLT", ":SOUR:FUNC CURR", ":SOUR:VOLT 150", ":SOUR:VOLT 15", ":SOUR:CURR 1",
    ":SOUR:CURR 1e-3", ":SOUR:VOLT:RANG 200", ":SOUR:VOLT:RANG 20", ":SOUR:CURR:RANG 1",
    ":SOUR:CURR:RANG UP", ":SENS:CURR:PROT 1", ":SENS:CURR:PROT 0.1", ":SENS:VOLT:PROT 210",
    ":SENS:VOLT:PROT 20", ":SENS:CURR:RANG 1e-2", ":SENS:VOLT:RANG 2", ":SENS:CURR:RANG:AUTO ON",
    ":SOUR:SWE:RANG BEST;:SOUR:VOLT:MODE LIST;:SOUR:LIST:VOLT 1,200", ":SOUR:VOLT:MODE FIX",
    ":SENS:FUNC 'VOLT','CURR'", "*RST", ":OUTP ON", ":INIT;*WAI",
)  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from(MESSAGES), max_size=10), st.floats(0.1, 1e6))
def test_no_sequence_drives_more_than_the_compliance_and_22_watts(sequence, ohm):
    lab = Lab(ohm)
    for message in sequence:
        lab.write(message)
        lab.bench.pause(5.0)
        volt = lab.output_v()
        current = abs(volt) / ohm
        assert abs(volt) * current <= 22.05 * (1 + 1e-6)
        sources = lab.ask(":SOUR:FUNC?")
        if sources == "VOLT":
            assert current <= float(lab.ask(":SENS:CURR:PROT?")) * (1 + 1e-6) + 1e-12
        else:
            assert abs(volt) <= float(lab.ask(":SENS:VOLT:PROT?")) * (1 + 1e-6) + 1e-9


# -- ranges, formats, and what is left out ---------------------------------------------------------


@pytest.mark.parametrize(
    "header, names", [(":SOUR:VOLT:RANG", V_RANGES), (":SOUR:CURR:RANG", I_RANGES)]
)
def test_a_range_is_told_by_its_end_and_moves_by_neighbours(lab, header, names):
    for name in names:
        lab.write(f"{header} {name}")
        assert float(lab.ask(f"{header}?")) == pytest.approx(1.05 * name)
    lab.write(f"{header} UP")  # there is none above
    assert float(lab.ask(f"{header}?")) == pytest.approx(1.05 * names[-1])
    lab.write(f"{header} DOWN")
    assert float(lab.ask(f"{header}?")) == pytest.approx(1.05 * names[-2])
    assert lab.errors() == []


def test_what_a_range_answers_selects_it_again(lab):
    for name in I_RANGES:
        lab.write(f":SENS:CURR:PROT 1.05;:SENS:CURR:RANG {name}")
        end = lab.ask(":SENS:CURR:RANG?")
        lab.write(f":SENS:CURR:RANG {end}")
        assert lab.ask(":SENS:CURR:RANG?") == end


@pytest.mark.parametrize("order, code", [("", ">f"), (";:FORM:BORD SWAP", "<f")])
def test_binary_readings_come_in_normal_byte_order_until_it_is_swapped(lab, order, code):
    lab.write(f"*RST;:SOUR:VOLT 0.5;:OUTP ON;:FORM:ELEM VOLT;:FORM SRE{order}")
    raw = lab.raw(":READ?")
    assert raw[:2] == b"#0"
    assert struct.unpack(code, raw[2:]) == (0.5,)


def test_a_resistance_that_is_not_measured_is_not_a_number(lab):
    lab.write(":SOUR:VOLT 1;:OUTP ON;:FORM:ELEM CURR,RES")
    assert lab.numbers(":READ?") == [pytest.approx(1e-4), 9.91e37]
    lab.write(":SENS:RES:MODE MAN;:SENS:FUNC 'RES'")
    assert lab.numbers(":READ?") == pytest.approx([1e-4, 1e4])


@pytest.mark.parametrize(
    "message",
    [
        ":CALC1:STAT ON", ":CALC:MATH:EXPR?", ":CALC2:LIM2:STAT ON", ":CALC2:NULL:STAT ON",
        ":SOUR2:TTL 1", ":SOUR:MEM:SAVE 1", ":SENS:RES:OCOM ON", ":FORM:SOUR2 HEX",
    ],
)  # fmt: skip
def test_a_part_that_is_left_out_is_an_undefined_header(lab, message):
    lab.write(message)
    assert lab.errors() == [-113]


@pytest.mark.parametrize("message", [":CALC2:DATA?", ":SOUR2:CLE:AUTO ON"])
def test_its_headers_that_differ_from_others_by_their_number_say_so(lab, message):
    lab.write(message)
    assert lab.errors() == [-114]


def test_the_buffer_is_not_fed_by_what_is_left_out(lab):
    for feed in ("CALC1", "CALC2"):
        lab.write(f":TRAC:FEED {feed}")
        assert lab.errors() == [-224]
