"""All six models on one bench, in whatever order: what holds after every message.

A 6221 drives the field line, which a 2182A reads; two 2400 read junctions; the first of them and a
2450 are at the two ends of a resistor; a GS200 drives the coil of a bias magnet, at the 2182A's
second channel; a 7001 has the relays.  Everything is sent through PyVISA.
"""

import itertools
import math

import pytest
import pyvisa
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from pyvisa.errors import VisaIOError

from sim_backend.models import MODELS
from sim_backend.scpi import Boolean, Choice, Number, Numbers, ScpiError, Several
from sim_backend.scpi_language import forms

ADDRESSES = {
    "field": "GPIB0::12::INSTR", "x": "GPIB0::24::INSTR", "z": "GPIB0::25::INSTR",
    "switch": "GPIB0::7::INSTR", "smu": "GPIB0::18::INSTR", "nv": "GPIB0::15::INSTR",
    "gs": "GPIB0::2::INSTR",
}  # fmt: skip
LINE_OHM, LOOP_OHM, COIL_OHM, RELAY_OHM = 50.0, 10_000.0, 12.0, 0.1
SIM = f"""
seed: 4
physics: PHYSICS
instruments:
  field:  {{address: "{ADDRESSES["field"]}", model: keithley6221}}
  x:      {{address: "{ADDRESSES["x"]}", model: keithley2400}}
  z:      {{address: "{ADDRESSES["z"]}", model: keithley2400}}
  switch: {{address: "{ADDRESSES["switch"]}", model: keithley7001}}
  smu:    {{address: "{ADDRESSES["smu"]}", model: keithley2450}}
  nv:     {{address: "{ADDRESSES["nv"]}", model: keithley2182a}}
  gs:     {{address: "{ADDRESSES["gs"]}", model: yokogawags200}}
line: {{ohm: {LINE_OHM}}}
junctions:
  preset: planar-tanh
  channels:
    J1: {{x: 1!1, z: 1!11, low: 1!21}}
devices:
  loop: {{kind: resistor, ohm: {LOOP_OHM}, most_w: 1}}
  coil: {{kind: bias_magnet, field_constant_t_per_a: 0.02, ohm: {COIL_OHM}, henry: 0.06}}
wires:
  - [loop.b, smu.front_hi]
  - [smu.front_lo, earth]
  - [gs.hi, coil.a]
  - [gs.lo, coil.b]
  - [coil.b, earth]
  - [nv.ch1_hi, line.a]
  - [nv.ch1_lo, earth]
  - [nv.ch2_hi, coil.a]
  - [nv.ch2_lo, earth]
relays:
  2!1: [x.hi, loop.a]
"""
OVERFLOW = 9e37
LOOP_NOISE_A = 6e-8  # of two readings at 0.1 NPLC, at most six deviations of 9.5 nA
COMPLIANCE_BIT, SWEEPING_BIT = 1 << 3, 1 << 3
VOID = "*ESE 0"  # as it is anyway


class Bench:
    """The bench and a hand on it, which watches what must never happen."""

    _numbers = itertools.count()

    def __init__(self, file):
        # Names differ, so that no two examples share a bench.
        library = f"{file}?instance=joint{next(self._numbers)}@spinloop"
        self.manager = pyvisa.ResourceManager(library)
        self.sim = self.manager.visalib.bench
        self.to = {name: self.manager.open_resource(at) for name, at in ADDRESSES.items()}
        self.now_ns = 0
        self.seen_s = dict.fromkeys(self.sim.plant.devices, 0.0)
        self.went_back = []
        for name, device in self.sim.plant.devices.items():
            device.absorb = self._watching(name, device.absorb)

    def _watching(self, name, absorb):
        def watched(solution, points):
            for end_s in points.ends_s:
                if end_s < self.seen_s[name] - 1e-9:
                    self.went_back.append((name, self.seen_s[name], float(end_s)))
                self.seen_s[name] = max(self.seen_s[name], float(end_s))
            return absorb(solution, points)

        return watched

    def close(self):
        self.manager.close()

    def do(self, step):
        """One step: a message and its reply if it asks, or another use of the bus."""
        kind, name, what = step
        reply = None
        if kind == "send":
            self.to[name].write(what)
            if "?" in what:
                try:
                    reply = self.to[name].read()
                except VisaIOError as error:
                    assert error.error_code == pyvisa.constants.StatusCode.error_timeout
        elif kind == "pause":
            self.manager.visalib.bench_pause(what)
        elif kind == "poll":
            assert 0 <= self.to[name].read_stb() <= 255
        else:
            getattr(self.to[name], kind)()
        self.check()
        return reply

    def send(self, name, *messages):
        return [self.do(("send", name, message)) for message in messages]

    # -- what always holds --------------------------------------------------------------------

    def check(self):
        """Time does not run back, and no source is set to more than its range has."""
        now_ns = self.sim.clock.now_ns
        assert now_ns >= self.now_ns, "the bench's clock"
        self.now_ns = now_ns
        assert self.went_back == [], "a device's time"
        state = {name: one.state for name, one in self.sim.by_name.items()}
        for name, level, span, headroom in (
            ("field", "level", "range", 1.05),
            ("x", "v_level", "v_range", 1.05), ("x", "i_level", "i_source_range", 1.05),
            ("z", "v_level", "v_range", 1.05), ("z", "i_level", "i_source_range", 1.05),
            ("smu", "volt_level", "volt_range", 1.05), ("smu", "curr_level", "curr_range", 1.05),
            ("gs", "level", "range", 1.2),
        ):  # fmt: skip
            most = headroom * state[name][span] * (1 + 1e-9)
            assert abs(state[name][level]) <= most, f"{name}: {level} is above {span}"

    def errors(self, name):
        """The error queue, read empty."""
        found = []
        while (number := int(self.to[name].query(":SYST:ERR?").partition(",")[0])) != 0:
            found.append(number)
        return found

    def snapshot(self):
        """Clock, settings, relays, and what the devices remember."""
        plant = self.sim.plant
        return {
            "clock": self.sim.clock.now_ns,
            "closed": sorted(self.sim.switch.closed),
            "events": list(plant.events),
            **{name: repr(sorted(one.state.items())) for name, one in self.sim.by_name.items()},
            **{f"{name} itself": repr(one.state()) for name, one in plant.devices.items()},
        }


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """A ``sim.yaml`` by its kind of physics."""
    folder = tmp_path_factory.mktemp("joint")
    made = {}
    for physics in ("equilibrium", "wells", "llg"):
        made[physics] = folder / f"{physics}.yaml"
        made[physics].write_text(SIM.replace("PHYSICS", physics), encoding="utf-8")
    return made


# -- what is legal ---------------------------------------------------------------------------------

ONE = "{:.4g}"


def _levels(most):
    return st.floats(-most, most).map(lambda value: 0.0 if abs(value) < most / 1e3 else value)


def _texts(*templates, most=1.0):
    """Messages: those with a place for a number get one of up to ``most``."""
    plain = [text for text in templates if "{" not in text]
    filled = [text for text in templates if "{" in text]
    parts = [st.sampled_from(plain)] if plain else []
    if filled:
        parts.append(
            st.tuples(st.sampled_from(filled), _levels(most)).map(
                lambda both: both[0].format(both[1])
            )
        )
    return st.one_of(parts)


_METER = st.one_of(
    _texts(f":SOUR:VOLT {ONE}", most=0.3),
    _texts(f":SOUR:CURR {ONE}", most=1e-5),
    _texts(
        ":OUTP ON", ":OUTP OFF", ":SOUR:FUNC VOLT", ":SOUR:FUNC CURR", ":SOUR:VOLT:RANG 0.2",
        ":SOUR:VOLT:RANG 2", ":SENS:CURR:PROT 1e-5", ":SENS:CURR:PROT 1e-3", ":SENS:VOLT:PROT 1",
        ":SENS:CURR:RANG 1e-4", ":SENS:CURR:RANG:AUTO ON", ":SENS:CURR:NPLC 0.1", ":TRIG:COUN 3",
        ":SYST:AZER:STAT OFF", ":SENS:AVER ON", ":TRAC:POIN 4;FEED:CONT NEXT", ":TRAC:DATA?",
        ":INIT", ":ABOR", ":READ?", ":FETC?", ":SENS:CURR:PROT:TRIP?", "*OPC?", "*OPC", "*WAI",
        "*RST", "*TRG", ":SOUR:DEL 0.01", ":STAT:OPER:COND?", "*SAV 1", "*RCL 1",
    ),
)  # fmt: skip
LEGAL = {
    "field": st.one_of(
        _texts(f":SOUR:CURR {ONE}", most=0.02),
        _texts(
            ":OUTP ON", ":OUTP OFF", ":SOUR:CURR:RANG 0.02", ":SOUR:CURR:RANG 0.1",
            ":SOUR:CURR:RANG:AUTO ON", ":SOUR:CURR:COMP 0.2", ":SOUR:CURR:COMP 10",
            ":SOUR:SWE:ABOR", ":ABOR", "*TRG", ":INIT", ":SOUR:SWE:ARM", "*OPC?", ":SOUR:CURR?",
            ":SOUR:WAVE:FREQ 200;AMPL 1e-3;DUR:CYCL 5;:SOUR:WAVE:ARM;:SOUR:WAVE:INIT",
            ":SOUR:WAVE:ABOR", ":SOUR:DELT:HIGH 1e-3;COUN 2;:SOUR:DELT:ARM", ":TRAC:DATA?",
            "*RST", ":STAT:OPER:COND?",
        ),
    ),
    "x": _METER,
    "z": _METER,
    "switch": _texts(
        ":OPEN ALL", ":CLOS (@1!1,1!21)", ":CLOS (@1!11)", ":CLOS (@2!1)", ":OPEN (@1!1)",
        ":OPEN (@2!1)", ":CLOS:STAT?", "*OPC?", "*RST",
    ),
    "smu": st.one_of(
        _texts(f":SOUR:VOLT {ONE}", most=0.5),
        _texts(f":SOUR:CURR {ONE}", most=1e-5),
        _texts(
            ":OUTP ON", ":OUTP OFF", ":SOUR:FUNC VOLT", ":SOUR:FUNC CURR", ":SOUR:VOLT:RANG 2",
            ":SOUR:VOLT:ILIM 1e-5", ":SOUR:VOLT:ILIM 1e-3", ":SENS:FUNC 'CURR'",
            ":SENS:FUNC 'VOLT'", ":SENS:CURR:NPLC 0.1", ":SENS:CURR:RANG 1e-3", ":READ?", ":FETC?",
            ":SOUR:SWE:VOLT:LIN -0.1,0.1,3,0.01", ":INIT", ":ABOR", ":TRIG:STAT?", "*OPC?", "*WAI",
            "*RST", ":TRAC:ACT?", ":OUTP:SMOD HIMP",
        ),
    ),
    "nv": _texts(
        ":SENS:CHAN 1", ":SENS:CHAN 2", ":SENS:VOLT:NPLC 0.1", ":SENS:VOLT:NPLC 1", ":READ?",
        ":SENS:VOLT:CHAN1:RANG:AUTO ON", ":SENS:VOLT:CHAN1:RANG 0.1", ":INIT", ":INIT:CONT ON",
        ":INIT:CONT OFF", ":FETC?", ":ABOR", ":SAMP:COUN 3", ":TRIG:SOUR BUS", ":TRIG:SOUR IMM",
        "*TRG", "*OPC?", "*RST", ":TRAC:POIN 3;FEED:CONT NEXT", ":TRAC:DATA?",
    ),
    "gs": st.one_of(
        _texts(f":SOUR:LEV {ONE}", most=0.5),
        _texts(
            ":OUTP ON", ":OUTP OFF", ":SOUR:FUNC VOLT", ":SOUR:FUNC CURR", ":SOUR:RANG 1",
            ":SOUR:RANG 0.1", ":SOUR:RANG MAX", ":SOUR:LEV:AUTO 0.05", ":SOUR:PROT:CURR 0.01",
            ":SOUR:PROT:VOLT 1", ":SOUR:LEV?", "*OPC?", "*RST",
            ":PROG:EDIT:STAR;:SOUR:LEV 0.01;:SOUR:LEV 0;:PROG:EDIT:END;:PROG:INT 0.1;:PROG:RUN",
            ":PROG:HOLD", ":PROG:CONT",
        ),
    ),
}  # fmt: skip
NAMES = st.sampled_from(sorted(ADDRESSES))
STEPS = st.one_of(
    *(st.tuples(st.just("send"), st.just(name), LEGAL[name]) for name in LEGAL),
    st.sampled_from((1e-3, 0.03, 0.5)).map(lambda seconds: ("pause", "", seconds)),
    NAMES.map(lambda name: ("poll", name, None)),
    NAMES.map(lambda name: ("clear", name, None)),
    NAMES.map(lambda name: ("assert_trigger", name, None)),
)
SEQUENCES = st.lists(STEPS, max_size=14)
#: a failure is told as it is found: to have it shrunk takes minutes; add Phase.shrink for that
PHASES = (Phase.explicit, Phase.generate)
#: closed at first: the resistor, the junction, or both at once
RELAYS = st.sampled_from(("2!1", "1!1,1!11,1!21", "1!1,1!11,1!21,2!1"))


def switch_on(bench, relays):
    """Join the devices, then let every source be on at zero."""
    bench.send("switch", f":CLOS (@{relays})")
    for name in ("field", "x", "z", "smu", "gs"):
        bench.send(name, ":OUTP ON")


def start_sweep(bench, count=4):
    """A list of levels, each read by both 2400: they and the 6221 are in a ring of pulses."""
    for meter, line_in, line_out in (("x", 1, 2), ("z", 2, 3)):
        bench.send(
            meter,
            ":ABOR;*RST;:SYST:AZER:STAT OFF;:SOUR:DEL 0;:SOUR:VOLT:RANG 0.2;:SOUR:VOLT 0.02",
            ":OUTP ON",
            f":TRIG:SOUR TLIN;:TRIG:INP SENS;:TRIG:ILIN {line_in};:TRIG:OLIN {line_out}",
            f":TRIG:OUTP SENS;:TRIG:DEL 0;:TRIG:COUN {count}",
            f":TRAC:CLE;:TRAC:POIN {count};:TRAC:FEED:CONT NEXT;:INIT",
        )
    values = ",".join(f"{1e-3 * (at + 1):g}" for at in range(count))
    bench.send(
        "field",
        ":ABOR;*RST;:SOUR:CURR:RANG 0.1;:SOUR:CURR:COMP 10",
        f":SOUR:SWE:SPAC LIST;:SOUR:SWE:RANG FIX;:SOUR:LIST:CURR {values}",
        f":SOUR:LIST:DEL {','.join(['0.03'] * count)};:SOUR:LIST:COMP {','.join(['10'] * count)}",
        ":TRIG:OLIN 1;:TRIG:ILIN 3;:TRIG:DIR SOUR;:TRIG:SOUR TLIN;:TRIG:OUTP DEL",
        ":SOUR:SWE:ARM;:INIT",
    )
    (condition,) = bench.send("field", ":STAT:OPER:COND?")
    assert int(condition) & SWEEPING_BIT


def _rows(reply):
    """Volt, ampere and status of each reading of a 2400."""
    numbers = [float(text) for text in reply.split(",")]
    return [(*numbers[at : at + 2], int(numbers[at + 4])) for at in range(0, len(numbers), 5)]


def check_reading(bench, name):
    """A reading of a 2400 is within what it is set to."""
    state = dict(bench.sim.by_name[name].state)
    (reply,) = bench.send(name, ":READ?")
    if reply is None:  # with the output off there is none
        return None
    for volt, ampere, status in _rows(reply):
        held = bool(status & COMPLIANCE_BIT)
        if state["source_function"] == "VOLT" and abs(ampere) < OVERFLOW:
            most = state["i_protection"]
            assert abs(ampere) <= most * 1.01 + 1e-8
            assert held or abs(volt - state["v_level"]) <= 1e-3 * state["v_range"]
        elif state["source_function"] == "CURR" and abs(volt) < OVERFLOW:
            assert abs(volt) <= state["v_protection"] * 1.01 + 1e-3
    return _rows(reply)[-1]


def look(bench):
    """Ohm's law and Kirchhoff's, on what is read when everything has settled.

    Only the instruments' own questions are used, so that what is found holds for a client too.
    """
    bench.do(("pause", "", 0.5))
    one_by_one = ":ABOR;:ARM:SOUR IMM;COUN 1;:TRIG:SOUR IMM;COUN 1"
    for name, message in (("field", ":SOUR:SWE:ABOR;:SOUR:WAVE:ABOR"), ("nv", ":ABOR"),
                          ("x", one_by_one), ("z", one_by_one), ("smu", ":ABOR")):  # fmt: skip
        bench.send(name, message)
    bench.do(("pause", "", 0.5))
    state = {name: dict(one.state) for name, one in bench.sim.by_name.items()}
    whole = not bench.sim.plant.events
    bench.send("nv", "*RST;:SENS:VOLT:NPLC 1")
    # The line, at the nanovoltmeter's first channel.
    (line_v,) = bench.send("nv", ":READ?")
    field = state["field"]
    expected = LINE_OHM * field["level"] if field["output"] else 0.0
    if abs(expected) > field["compliance"]:
        expected = math.copysign(field["compliance"], expected)
    if whole and bench.sim.by_name["field"].registers["operation"].condition & SWEEPING_BIT == 0:
        assert float(line_v) == pytest.approx(expected, rel=2e-3, abs=1e-4)
    # The coil, at its second.
    (coil_v,) = bench.send("nv", ":SENS:CHAN 2;:READ?")
    gs = state["gs"]
    most_v = gs["v_limit"] if gs["function"] == "CURR" else abs(gs["level"])
    assert abs(float(coil_v)) <= most_v + 1e-3 or abs(float(coil_v)) >= OVERFLOW
    for message in (None, ":SOUR:VOLT 0.2"):
        if message is not None:
            bench.send("x", message)
        check_loop(bench)
    check_reading(bench, "z")


def check_loop(bench):
    """x and the 2450 are at the two ends of a resistor: what one gives, the other takes."""
    closed = bench.sim.switch.closed
    joined = not bench.sim.plant.events and "2!1" in closed and "1!1" not in closed
    for function in ("CURR", "VOLT"):
        # The 2450 first comes to its range: with its output off it lets a tenth of that through.
        bench.send("smu", f":SENS:FUNC '{function}'", f":SENS:{function}:RANG:AUTO ON", ":READ?")
        x = check_reading(bench, "x")
        (other,) = bench.send("smu", ":READ?")
        if x is None or not joined or max(abs(x[0]), abs(x[1]), abs(float(other))) >= OVERFLOW:
            continue
        volt, ampere, _ = x
        if function == "CURR":
            assert float(other) == pytest.approx(-ampere, rel=2e-3, abs=LOOP_NOISE_A)
        elif bench.sim.by_name["x"].state["source_function"] == "VOLT":
            drop = (volt - float(other)) / (LOOP_OHM + RELAY_OHM)
            assert ampere == pytest.approx(drop, rel=2e-3, abs=LOOP_NOISE_A)


@pytest.mark.parametrize("physics", ["equilibrium", "wells", "llg"])
def test_after_every_message_of_any_legal_sequence_the_laws_hold_and_time_goes_on(file, physics):
    @settings(max_examples=12 if physics == "equilibrium" else 5, phases=PHASES)
    @given(relays=RELAYS, before=SEQUENCES, during=SEQUENCES)
    def sequences(relays, before, during):
        bench = Bench(file[physics])
        try:
            switch_on(bench, relays)
            for step in before:
                bench.do(step)
            start_sweep(bench)
            for step in during:
                bench.do(step)
            look(bench)
            for name in ADDRESSES:
                assert all(not -199 <= number <= -100 for number in bench.errors(name))
        finally:
            bench.close()

    sequences()


# -- what is not -----------------------------------------------------------------------------------


MODEL_OF = {
    "field": "keithley6221", "x": "keithley2400", "z": "keithley2400", "switch": "keithley7001",
    "smu": "keithley2450", "nv": "keithley2182a", "gs": "yokogawags200",
}  # fmt: skip


def _wrong_of(row):
    """Kind and text of messages that the row does not allow, made from what the table says."""
    header, argument = next(forms(row.header)), row.argument
    if row.kind == "query":
        yield "header", f"{header} 1"
        if argument is None:
            yield "number of parameters", f"{header}? 1"
        return
    if row.kind == "command":
        yield "header", f"{header}?"
    if argument is None:
        yield "number of parameters", f"{header} 1"
        return
    if header not in (":TRAC:CLE", ":TRAC:TRIG"):  # a 2450 takes its first buffer
        yield "number of parameters", header
    if isinstance(argument, Number | Boolean | Choice | Several):
        yield "number of parameters", f"{header} {','.join('1' * 12)}"
    if isinstance(argument, Number | Numbers | Boolean | Choice):
        yield "type", f"{header} NONSENSE"
        yield "type", f"{header} (@1)"
    if isinstance(argument, Number | Numbers):
        most = 2 * max(abs(argument.low), abs(argument.high)) + 1
        yield "range", f"{header} {most:g}"
        yield "range", f"{header} {-most:g}"


def _claimed(table, message):
    """Whether a header in this form is another row's."""
    header = message.split()[0]
    try:
        table.find(header.removesuffix("?"), header.endswith("?"))
    except ScpiError:
        return False
    return True


def _wrong(name):
    """Illegal messages to an instrument, by kind."""
    found = {"header": [":BOGUS 1", "*XYZ", ":OUTP:NOPE?", ":SOUR 'a"]}
    table = MODELS[MODEL_OF[name]].table
    for row in table.rows:
        for kind, text in _wrong_of(row):
            if kind != "header" or not _claimed(table, text):
                found.setdefault(kind, []).append(text)
    return found


ILLEGAL = st.one_of(
    *(st.tuples(st.just(name), st.sampled_from(texts))
      for name in ADDRESSES for texts in _wrong(name).values())
)  # fmt: skip


@pytest.mark.parametrize("physics", ["equilibrium", "llg"])
def test_an_illegal_message_leaves_an_error_and_otherwise_what_a_void_one_leaves(file, physics):
    """Two benches: one gets the illegal message, the other one of the same length that sets what is
    set already.  From then on they cannot be told apart."""

    @settings(max_examples=20 if physics == "equilibrium" else 5, phases=PHASES)
    @given(
        relays=RELAYS, before=SEQUENCES, sweeps=st.booleans(), illegal=ILLEGAL, after=SEQUENCES
    )  # fmt: skip
    def sequences(relays, before, sweeps, illegal, after):
        benches = [Bench(file[physics]) for _ in range(2)]
        wrong, right = benches
        name, message = illegal
        length = max(len(message), len(VOID))
        try:
            for bench in benches:
                switch_on(bench, relays)
                for step in before:
                    bench.do(step)
                if sweeps:
                    start_sweep(bench)
                bench.send(name, "*CLS")
                assert bench.errors(name) == []
            assert wrong.snapshot() == right.snapshot()
            wrong.to[name].write(message.rjust(length))
            right.to[name].write(VOID.ljust(length))
            for bench in benches:
                bench.check()
            if not wrong.sim.by_name[name].inbox:  # where it waits, its error waits too
                assert wrong.errors(name), "no error"
                assert right.errors(name) == []
            assert wrong.snapshot() == right.snapshot()
            replies = [bench.send(name, "*CLS", "*ESE?") for bench in benches]
            assert replies[0] == replies[1]
            for step in after:
                assert wrong.do(step) == right.do(step)
                assert wrong.snapshot() == right.snapshot()
        finally:
            for bench in benches:
                bench.close()

    sequences()


@pytest.mark.parametrize("name", sorted(ADDRESSES))
def test_each_illegal_message_by_itself_gives_one_error_of_its_kind(file, name):
    numbers = {
        "header": {-113, -151}, "number of parameters": {-108, -109},
        "type": {-104, -140, -178, -224}, "range": {-222},
    }  # fmt: skip
    wrong, bench = {}, Bench(file["equilibrium"])
    try:
        for kind, texts in _wrong(name).items():
            for text in texts:
                bench.to[name].write(text)
                found = bench.errors(name)
                if len(found) != 1 or found[0] not in numbers[kind]:
                    wrong[text] = found
        assert wrong == {}
    finally:
        bench.close()
