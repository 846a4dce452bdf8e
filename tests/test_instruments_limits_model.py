"""The limits against a model of the instruments: whatever passes, no node goes beyond its limits.

The model knows nothing of the limits' own shadow: it obeys every message that it gets, answers
truthfully, and keeps a history of every level with the time at which it came.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from importlib.resources import files

from hypothesis import example, given, settings
from hypothesis import strategies as st

from db import Message
from instruments import Bench, LimitError
from instruments.bench_file import BenchFile, parse_bench_file
from instruments.drivers import find_driver
from instruments.limits import Guard

STEP_A, SLEW, LARGEST_A = 0.006, 2.0, 0.02  # the density: 1e11 A/m² through 0.2 µm²
ABOVE_A, SHARE, WINDOW_S = 0.012, 0.4, 0.5
OWN_V = {"J1": 0.1, "J2": 0.05}
OWN_A = {"J1": 20e-6, "J2": 10e-6}
BIAS_A, BIAS_STEP_A, BIAS_V = 0.1, 0.02, 5.0
PULSE_V, PULSE_A = 1.5, 0.01
ROOM = 1 + 1e-6
Step = tuple[str, str]  # role and message; or "wait" and seconds


def _file() -> BenchFile:
    text = files("instruments").joinpath("demo_bench.yaml").read_text(encoding="utf-8")
    for old, new in (
        (
            "field_line: {current: 35 mA, step: 6 mA,",
            "field_line: {current: 35 mA, current_density: 1e11 A/m^2, cross_section: 0.2 um^2, "
            f"step: 6 mA, slew: {SLEW} A/s, "
            f"duty: {{above: 12 mA, share: {SHARE}, window: 500 ms}},",
        ),
        ("range: 32 mA", "range: 12 mA"),
        ("readout:", "  bias: {level: 100 mA, step: 20 mA, compliance: 5 V}\n"
                     "  polarizer: {level: 1.5 V, compliance: 10 mA}\n\nreadout:"),
        ("limits:  ", "  bias: {driver: yokogawags200, address: GPIB0::2}\n"
                      "  polarizer: {driver: keithley2450, address: GPIB0::3}\n\nlimits:  "),
        ("[1!2, 1!12, 1!22]}", "[1!2, 1!12, 1!22], limits: {voltage: 50 mV, current: 10 uA}}"),
    ):  # fmt: skip
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return parse_bench_file(text)


FILE = _file()
ALLOWED = {role: find_driver(one.driver)[1] for role, one in FILE.connections()}


@dataclass
class Model:
    """Instruments that obey.

    ``state``: what each is set to, by the header that sets it.  ``came``: time and current of
    every level of the field line.
    """

    now_s: float = 0.0
    state: dict[tuple[str, str], str] = field(default_factory=dict)
    field_list: list[float] = field(default_factory=list)
    delays: list[float] = field(default_factory=list)
    closed: set[str] = field(default_factory=set)
    came: list[tuple[float, float]] = field(default_factory=lambda: [(-1e9, 0.0)])
    bias: list[float] = field(default_factory=lambda: [0.0])
    hot: bool = False

    def get(self, role: str, header: str) -> str:
        return self.state.get((role, header), "0")

    def level(self, role: str, header: str) -> float:
        """What comes out."""
        return float(self.get(role, header)) * (self.get(role, ":OUTP") == "1")

    def live(self) -> bool:
        outputs = [self.level(r, ":SOUR:VOLT") for r in ("x", "z", "polarizer")]
        return any((*outputs, self.came[-1][1], self.bias[-1]))

    def obey(self, role: str, message: str) -> str:
        """Do it; the answer, if it is a question."""
        head, _, text = message.partition(" ")
        if head.endswith("?"):
            if head == ":ROUT:CLOS:STAT?":
                return f"(@{','.join(sorted(self.closed))})"
            return self.get(role, head[:-1])
        match head:
            case ":ROUT:OPEN" | ":ROUT:CLOS":
                self.hot |= self.live()
                named = set(text.strip("(@)").split(","))
                self.closed = set() if text == "ALL" else self.closed | named
            case ":SOUR:LIST:CURR":
                self.field_list = [float(v) for v in text.split(",")]
            case ":SOUR:LIST:DEL":
                self.delays = [float(v) for v in text.split(",")]
            case ":INIT" if role == "field":
                for level, delay in zip(self.field_list, self.delays, strict=False):
                    self.came.append((self.now_s, level))
                    self.now_s += delay + 0.04  # two readings at one cycle of 50 Hz
                self.state[role, ":SOUR:CURR"] = repr(self.came[-1][1])
            case ":SOUR:SWE:ARM":
                self.state[role, ":OUTP"] = "1"
            case _:
                self.state[role, head] = text
        if role == "field" and head in (":SOUR:CURR", ":OUTP", ":SOUR:SWE:ARM"):
            level = self.level("field", ":SOUR:CURR")
            if level != self.came[-1][1]:
                self.came.append((self.now_s, level))
        if role == "bias":
            self.bias.append(self.level("bias", ":SOUR:LEV"))
        return ""

    def check(self) -> None:
        """Nothing is beyond its limit, now and since the beginning."""
        assert not self.hot
        joined = [n for n, one in FILE.junctions.items() if self.closed & set(one.channels)]
        assert len(joined) <= 1
        for role in ("x", "z"):
            volt = abs(self.level(role, ":SOUR:VOLT"))
            for name in joined:
                assert volt <= OWN_V.get(name, 0.1) * ROOM
                fuse = float(self.get(role, ":SENS:CURR:PROT"))
                assert not volt or fuse <= OWN_A.get(name, 20e-6) * ROOM
            assert volt <= 0.1 * ROOM
        for (before, start), (at, level) in zip(self.came, self.came[1:], strict=False):
            assert abs(level) <= LARGEST_A * ROOM
            if level != 0:  # zero is always allowed
                assert abs(level - start) <= min(STEP_A, SLEW * (at - before)) * ROOM
        assert self.longest_high_s() <= SHARE * WINDOW_S * ROOM
        for start, level in zip(self.bias, self.bias[1:], strict=False):
            assert abs(level) <= BIAS_A * ROOM
            assert level == 0 or abs(level - start) <= BIAS_STEP_A * ROOM
        assert not self.bias[-1] or float(self.get("bias", ":SOUR:PROT:VOLT")) <= BIAS_V
        pulse = abs(self.level("polarizer", ":SOUR:VOLT"))
        assert pulse <= PULSE_V and (not pulse or self._fuse_of_the_polarizer() <= PULSE_A)

    def _fuse_of_the_polarizer(self) -> float:
        return float(self.get("polarizer", ":SOUR:VOLT:ILIM"))

    def longest_high_s(self) -> float:
        """Longest time above the stated current in any window, by brute force."""
        ends = [at for at, _ in self.came[1:]] + [self.now_s]
        high = [
            (at, end)
            for (at, level), end in zip(self.came, ends, strict=True)
            if abs(level) > ABOVE_A
        ]
        starts = {at for at, _ in high} | {end - WINDOW_S for _, end in high}
        return max(
            (
                sum(max(0.0, min(end, t + WINDOW_S) - max(at, t)) for at, end in high)
                for t in starts
            ),
            default=0.0,
        )


def _send(guard: Guard, model: Model, role: str, message: str) -> bool:
    """Through the limits, to the model, and back; whether it passed."""
    try:
        shadow = guard.check(role, message)
    except LimitError:
        return False
    for part in message.split(";"):
        answer = model.obey(role, part)
    guard.sent(role, shadow)
    if message == ":INIT":  # the model's lists are through at once
        guard.ended(role)
    if message.endswith("?"):
        guard.heard(role, message, answer.encode())
    return True


AMPERES = ["0", "0.003", "-0.005", "0.006", "0.009", "0.012", "0.015", "0.018", "0.0201", "0.034"]
VOLTS = ["0", "0.02", "-0.05", "0.06", "0.1", "0.11", "1.5", "2"]


def _set(headers: list[str], values: list[str]) -> st.SearchStrategy[str]:
    return st.builds("{} {}".format, st.sampled_from(headers), st.sampled_from(values))


def _ask(*headers: str) -> st.SearchStrategy[str]:
    return st.sampled_from([f"{header}?" for header in headers])


def _list(step: float, top: float, held: int, delay: float, rest: str = "0") -> list[Step]:
    """After a rest up in steps, hold, down again."""
    up = [step * i for i in range(1, round(top / step) + 1)]
    levels = [*up, *[up[-1]] * held, *up[::-1]]
    texts = (
        f":SOUR:LIST:CURR {','.join(f'{level:g}' for level in levels)}",
        f":SOUR:LIST:DEL {','.join([str(delay)] * len(levels))}",
        ":SOUR:CURR?", ":SOUR:SWE:ARM", ":INIT",
    )  # fmt: skip
    return [("wait", rest), *(("field", text) for text in texts)]


def _by_hand(wait: str, levels: list[str]) -> list[Step]:
    return [one for level in levels for one in (("wait", wait), ("field", f":SOUR:CURR {level}"))]


def _join(relays: str) -> list[Step]:
    """Everything to zero, and other relays."""
    dead = [
        (role, text)
        for role, header in (
            ("x", ":SOUR:VOLT"), ("z", ":SOUR:VOLT"), ("polarizer", ":SOUR:VOLT"),
            ("field", ":SOUR:CURR"), ("bias", ":SOUR:LEV"))
        for text in (f"{header} 0", f"{header}?")
    ]  # fmt: skip
    return [*dead, ("switch", ":ROUT:OPEN ALL"), ("switch", f":ROUT:CLOS {relays}")]


ONE = {
    "field": _set([":SOUR:CURR"], AMPERES)
    | st.lists(st.sampled_from(AMPERES), min_size=1, max_size=6).map(
        lambda levels: f":SOUR:LIST:CURR {','.join(levels)}"
    )
    | st.lists(st.sampled_from(["0.001", "0.003", "0.1"]), min_size=1, max_size=6).map(
        lambda delays: f":SOUR:LIST:DEL {','.join(delays)}"
    )
    | _set([":OUTP"], ["0", "1"])
    | st.sampled_from([":SOUR:SWE:ARM", ":INIT"])
    | _ask(":SOUR:CURR", ":OUTP"),
    "x": _set([":SOUR:VOLT"], VOLTS)
    | _set([":SENS:CURR:PROT"], ["5e-6", "15e-6", "20e-6", "1e-3"])
    | _set([":OUTP"], ["0", "1"])
    | _ask(":SOUR:VOLT", ":SENS:CURR:PROT", ":OUTP"),
    "switch": _set([":ROUT:CLOS"], ["(@1!1)", "(@1!2,1!12)", "(@1!1,1!2)", "(@1!11)"])
    | st.sampled_from([":ROUT:OPEN ALL", ":ROUT:CLOS:STAT?"]),
    "bias": _set([":SOUR:LEV"], ["0", "0.015", "0.02", "0.04", "0.1", "0.12", "-0.01"])
    | _set([":SOUR:PROT:VOLT"], ["3", "30"])
    | _set([":OUTP"], ["0", "1"])
    | _ask(":SOUR:LEV", ":SOUR:PROT:VOLT", ":OUTP"),
    "polarizer": _set([":SOUR:VOLT"], VOLTS)
    | _set([":SOUR:VOLT:ILIM"], ["0.005", "1"])
    | _set([":OUTP"], ["0", "1"])
    | _ask(":SOUR:VOLT", ":SOUR:VOLT:ILIM", ":OUTP"),
}
ONE["z"] = ONE["x"]
STEPS: st.SearchStrategy[list[Step]] = st.one_of(
    *(st.tuples(st.just(role), one).map(lambda step: [step]) for role, one in sorted(ONE.items())),
    st.builds(
        _list, st.sampled_from([0.003, 0.006]), st.sampled_from([0.006, 0.018, 0.024]),
        st.integers(0, 4), st.sampled_from([0.001, 0.005]), st.sampled_from(["0", "1"]),
    ),
    st.builds(_by_hand, st.sampled_from(["0.002", "0.1", "1"]), st.sampled_from(
        [["0.003", "0.006", "0.003"], ["0.006", "0.012", "0.018", "0.012"]])),
    st.builds(_join, st.sampled_from(["(@1!1,1!11,1!21)", "(@1!2,1!12)", "(@1!3)"])),
    st.sampled_from(["0.002", "0.1", "1"]).map(lambda seconds: [("wait", seconds)]),
)  # fmt: skip
#: what switches everything on at zero, as our drivers do
SETTINGS = [
    ("field", ":SOUR:CURR 0"), ("field", ":SOUR:CURR:RANG 0.1"), ("field", ":SOUR:CURR:RANG?"),
    ("field", ":SOUR:CURR:COMP 1"), ("field", ":SOUR:CURR:COMP?"), ("field", ":SOUR:SWE:SPAC LIST"),
    ("field", ":SOUR:SWE:COUN 1"), ("field", ":SOUR:SWE:RANG FIX"), ("field", ":SOUR:LIST:COMP 1"),
    ("field", ":OUTP 1"),
    *((role, message) for role in ("x", "z") for message in (
        ":SOUR:VOLT 0", ":SOUR:FUNC VOLT", ":SOUR:VOLT:MODE FIX", ":SOUR:CLE:AUTO 0",
        ":SYST:RSEN 0", ":OUTP:SMOD NORM", ":SENS:FUNC:CONC 0;:SENS:FUNC 'CURR:DC'",
        ":SOUR:VOLT:RANG 0.2", ":SOUR:VOLT:RANG?", ":SENS:CURR:PROT 6e-6", ":SENS:CURR:PROT?",
        ":SOUR:FUNC?", ":OUTP 1", ":OUTP?")),
    ("bias", ":SOUR:FUNC CURR"), ("bias", ":SOUR:FUNC?"), ("bias", ":SENS:REM 0"),
    ("bias", ":SOUR:LEV 0"), ("bias", ":SOUR:RANG 0.1"), ("bias", ":SOUR:RANG?"),
    ("bias", ":SOUR:PROT:VOLT 5"), ("bias", ":SOUR:PROT:VOLT?"), ("bias", ":OUTP 1"),
    ("polarizer", ":SOUR:VOLT 0"), ("polarizer", ":SOUR:VOLT:RANG 2"),
    ("polarizer", ":SOUR:VOLT:RANG?"), ("polarizer", ":SOUR:VOLT:ILIM 0.01"),
    ("polarizer", ":SOUR:VOLT:ILIM?"), ("polarizer", ":SOUR:FUNC VOLT"),
    ("polarizer", ":SOUR:FUNC?"), ("polarizer", ":OUTP 1"),
    ("switch", ":ROUT:CLOS:STAT?"),
]  # fmt: skip


def _prepared() -> tuple[Guard, Model]:
    model = Model()
    guard = Guard(FILE, ALLOWED, lambda: model.now_s)
    for role, message in SETTINGS:
        for header, words in ALLOWED[role].fixed.items():
            _send(guard, model, role, f"{header} {sorted(words)[0]}")
        assert _send(guard, model, role, message) or message == ":OUTP 1", message
    return guard, model


def test_the_settings_of_the_model_bring_every_output_on() -> None:
    guard, model = _prepared()
    assert all(model.get(r, ":OUTP") == "1" for r in ("field", "x", "z", "bias", "polarizer"))
    assert all(guard.shadows[r].output for r in ("field", "x", "z", "bias", "polarizer"))


@settings(deadline=None, max_examples=200)
@given(st.booleans(), st.lists(STEPS, min_size=10, max_size=40))
@example(True, [[("wait", "1")], *[_list(0.006, 0.018, 2, 0.005)] * 3])
@example(True, [[("wait", "1")], _list(0.006, 0.024, 0, 0.005)])
@example(True, [[("wait", "1"), ("field", ":OUTP 0"), ("field", ":SOUR:CURR 0.006"),
                 ("field", ":OUTP 1")]])  # fmt: skip
@example(True, [[("field", ":OUTP 0"), ("field", ":SOUR:CURR 0.003")],
                _list(0.006, 0.006, 0, 0.001, "1")])  # fmt: skip
@example(True, [_by_hand("1", ["0.006", "0.012", "0.018"]), [("wait", "1")]])
@example(True, [_by_hand("0.1", ["0.003"]), _by_hand("0", ["0.006"])])
@example(True, [_join("(@1!1)"), [("x", ":SENS:CURR:PROT 20e-6")], _join("(@1!2)"),
                [("x", ":SOUR:VOLT 0.02")]])  # fmt: skip
def test_whatever_passes_no_node_goes_beyond_its_limits(
    prepared: bool, steps: list[list[Step]]
) -> None:
    model = Model()
    guard = Guard(FILE, ALLOWED, lambda: model.now_s)
    if prepared:
        guard, model = _prepared()
    for role, message in itertools.chain.from_iterable(steps):
        if role == "wait":
            model.now_s += float(message)
        else:
            _send(guard, model, role, message)
        model.check()


def test_the_model_sees_what_is_too_much() -> None:
    """Each of its rules, broken."""
    for breaking in (
        [("field", ":SOUR:CURR 0.021")],
        [("field", ":SOUR:CURR 0.005"), ("field", ":SOUR:CURR 0.006")],  # at once: too fast
        [("x", ":SOUR:VOLT 0.06"), ("switch", ":ROUT:CLOS (@1!2)")],
        [("bias", ":SOUR:LEV 0.03")],
        [("polarizer", ":SOUR:VOLT 1.6")],
        [("switch", ":ROUT:CLOS (@1!1,1!2)")],
        _list(0.006, 0.018, 8, 0.01)[1:],
    ):
        _, model = _prepared()
        for role, message in breaking:
            model.obey(role, message)
        try:
            model.check()
        except AssertionError:
            continue
        raise AssertionError(f"nothing seen in {breaking}")


def test_lists_that_keep_the_limits_pass_and_end_where_they_say() -> None:
    guard, model = _prepared()
    for _ in range(3):
        model.now_s += 1.0
        assert all(_send(guard, model, *one) for one in _list(0.003, 0.015, 1, 0.002)[1:])
        model.check()


class _Everything:
    """A recorder that keeps all messages."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    def message(self, message: Message) -> None:
        self.messages.append(message)

    def event(self, kind: str, text: str) -> None:
        """Not kept."""

    def sweep(self, sweep: object) -> None:
        """Not kept."""


def test_every_message_of_our_own_drivers_passes() -> None:
    everything = _Everything()
    with Bench.open(recorder=everything) as bench:  # type: ignore[arg-type]
        for junction in ("J1", "J2"):
            bench.sweep(junction, [-0.03, 0.0, 0.02], list_points=5)
        allowed = bench.guard.allowed
        guard = Guard(bench.file, allowed)
    sent = 0
    for message in everything.messages:
        if message.op in ("write", "query"):
            guard.sent(message.instrument, guard.check(message.instrument, message.sent))
            sent += 1
            if message.reply is not None:
                guard.heard(message.instrument, message.sent, message.reply)
        elif message.op == "clear":
            guard.cleared(message.instrument)
        elif message.op == "wait":
            guard.ended(message.instrument)
    assert sent > 100
    assert not any(guard.shadows[role].output for role in ("field", "x", "z"))
