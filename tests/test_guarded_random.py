"""Whatever is said to a bench, by its transport or by PyVISA: no node goes beyond its limits."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pyvisa
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from db import Message, NullRecorder
from instruments import Bench, BenchError, BenchFile, LimitError
from instruments.bench_file import parse_bench_file
from instruments.drivers import find_driver
from tests.instrument_bench import sim_file
from tests.killing import Peaks, work

BIAS_A, PULSE_V = 0.05, 1.2
EXAMPLES, MESSAGES = 20, 50  # of them each, by each way: a thousand messages
ROOM = 1 + 1e-6


def _text() -> str:
    """The demonstration with a bias magnet, a polarizer and a thermometer."""
    text = files("instruments").joinpath("demo_bench.yaml").read_text(encoding="utf-8")
    for old, new in (
        ("backend: sim ", "sim: lab.sim.yaml\nbackend: sim "),
        ("limits:  ", '  bias: {driver: yokogawags200, address: "GPIB0::2::INSTR"}\n'
                      '  polarizer: {driver: keithley2450, address: "GPIB0::18::INSTR"}\n'
                      '  thermometer: {driver: keithley2182a, address: "GPIB0::8::INSTR"}\n\n'
                      "limits:  "),
        ("readout:", "  bias: {level: 50 mA, compliance: 10 V}\n"
                     "  polarizer: {level: 1.2 V, compliance: 20 mA}\n\nreadout:"),
    ):  # fmt: skip
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


FILE: BenchFile = parse_bench_file(_text())
ALLOWED = {role: find_driver(one.driver)[1] for role, one in FILE.connections()}
#: what no driver of ours says
FOREIGN = (
    "*RST", "*RCL 1", "*TRG", ":SYST:PRES", ":SOUR:FUNC CURR", ":SOUR:CURR 0.01", ":SOUR:VOLT 1",
    ":SOUR:VOLT:RANG:AUTO ON", ":SOUR:CURR:RANG:AUTO ON", ":SOUR:VOLT:PROT 200", ":SOUR:CLE:AUTO 1",
    ":OUTP:SMOD HIMP", ":ROUT:TERM REAR", ":SENS:FUNC 'RES'", ":SOUR:WAVE:AMPL 0.1",
    ":SOUR:SWE:COUN 2", ":SOUR:SWE:SPAC LIN", ":SOUR:SWE:RANG AUTO", ":SOUR:DELT:HIGH 0.1",
    ":ROUT:CLOS (@1!1,1!2)", ":ROUT:CLOS ALL", ":ROUT:MEM:REC 1", ":SOUR:LEV 0.2", "OUTPUT 1",
    "SOURCE:VOLTAGE:LEVEL:IMMEDIATE:AMPLITUDE 0.15", ":SOUR2:VOLT 0.15", ":SOUR:VOLT\t0.15",
    ":SOUR:VOLT 0.02\n:SOUR:VOLT 0.15", ";;:SOUR:VOLT 0.15", ":SOUR:LEV:AUTO 0.2",
)  # fmt: skip
NUMBERS = (
    "0", "0.001", "0.02", "-0.02", "0.005", "-0.01", "0.035", "0.05", "0.1", "-0.1", "0.1001",
    "0.2", "1", "1.2", "5", "21", "-200", "2E-2", "20e-6", "1e-3", "1e400", "nan", "MAX", "MIN",
    "DEF", "UP", "", "ON", "OFF", "VOLT", "CURR", "LIST", "FIX", "20 mV", "#HFF",
)  # fmt: skip
CHANNELS = (
    "(@1!1)", "(@1!1,1!11,1!21)", "(@1!2,1!12,1!22)", "(@1!1:1!8)", "ALL", "(@2!1)", "(@ 1!21)", "",
)  # fmt: skip
#: what it takes to get somewhere; random headers alone would leave all outputs off
USUAL = {
    "x": (":SOUR:VOLT 0.02", ":SOUR:VOLT 0.1", ":OUTP ON", ":OUTP OFF", ":SOUR:VOLT 0",
          ":SENS:CURR:PROT 20e-6", ":INIT", ":READ?", ":ABOR"),
    "field": (":SOUR:CURR 0.005", ":SOUR:CURR -0.005", ":SOUR:CURR 0", ":OUTP ON", ":SOUR:SWE:ARM",
              ":INIT", ":SOUR:LIST:CURR 0.005,0.01,0.005", ":SOUR:LIST:DEL 0.01,0.01,0.01",
              ":SOUR:LIST:COMP 2,2,2", ":ABOR", ":SOUR:CURR:RANG 0.1"),
    "switch": (":ROUT:OPEN ALL", ":ROUT:CLOS (@1!1,1!11,1!21)", ":ROUT:CLOS (@1!3,1!13,1!23)"),
    "bias": (":SOUR:LEV 0.02", ":SOUR:LEV 0", ":OUTP ON", ":OUTP OFF", ":SOUR:RANG 0.1"),
    "polarizer": (":SOUR:VOLT 1", ":SOUR:VOLT 0", ":OUTP ON", ":SOUR:VOLT:ILIM 0.01"),
    "thermometer": (":READ?", ":INIT", ":SENS:FUNC 'VOLT'"),
}  # fmt: skip
#: what would do harm, if it passed where the usual has led
BEYOND = {
    "x": (":SOUR:VOLT 0.15", ":SOUR:VOLT 0.1001", ":SOUR:VOLT -0.2", ":SENS:CURR:PROT 1e-3"),
    "field": (":SOUR:CURR 0.05", ":SOUR:CURR 0.0351", ":SOUR:LIST:CURR 0.02,0.05"),
    "switch": (":ROUT:CLOS (@1!2)", ":ROUT:OPEN (@1!1)"),
    "bias": (":SOUR:LEV 0.06", ":SOUR:RANG 0.2"),
    "polarizer": (":SOUR:VOLT 1.5", ":SOUR:VOLT 2"),
    "thermometer": ("*RST",),
}  # fmt: skip
USUAL["z"], BEYOND["z"] = USUAL["x"], BEYOND["x"]
HARM = [(role, message) for role, messages in BEYOND.items() for message in messages]
Step = tuple[str, str]  # role and message; or "pause" and seconds


@st.composite
def _steps(draw: st.DrawFn) -> Step:
    """A message for an instrument, legal or not."""
    role = draw(st.sampled_from((*ALLOWED, "pause")))
    if role == "pause":
        return role, draw(st.sampled_from(("0.01", "0.2")))
    one, parts = ALLOWED[role], []
    headers = sorted({*one.commands, *one.fixed})
    asked = sorted(f"{header}?" for header in one.queries)
    values = CHANNELS if role == "switch" else NUMBERS
    for _ in range(draw(st.sampled_from((1, 1, 1, 2, 3)))):
        kind = draw(st.sampled_from(("usual", "usual", "set", "set", "ask", "foreign", "beyond")))
        if kind == "set":
            count = draw(st.sampled_from((1, 1, 1, 2, 4)))
            listed = ",".join(draw(st.sampled_from(values)) for _ in range(count))
            parts.append(f"{draw(st.sampled_from(headers))} {listed}")
        else:
            words = {"usual": USUAL[role], "ask": asked, "foreign": FOREIGN,
                     "beyond": BEYOND[role]}[kind]  # fmt: skip
            parts.append(draw(st.sampled_from(words)))
    said = ";".join(parts)
    return role, said.lower() if draw(st.sampled_from((False, False, True))) else said


def _check(sim: Any, peaks: Peaks) -> None:
    """No node is beyond its limit, and none has been."""
    limits = FILE.limits
    assert peaks.junction_v <= limits.junction.voltage * ROOM
    assert peaks.field_a <= limits.field_line.largest_a * ROOM
    assert peaks.coil_a <= BIAS_A * ROOM and peaks.load_v <= PULSE_V * ROOM
    assert not sim.hot_switches and not sim.plant.events


def _sim(bench: Bench) -> Any:
    """The simulated bench behind one."""
    return bench._keep.visalib.bench


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("random")
    sim_file(made)
    (made / "bench.yaml").write_text(_text(), encoding="utf-8")
    return made


class Lines:
    """A bench that takes messages by its transport."""

    Refused = LimitError
    Failed = BenchError

    def __init__(self, folder: Path, recorder: NullRecorder | None = None) -> None:
        self.bench = Bench.open(folder / "bench.yaml", recorder=recorder)

    def say(self, role: str, message: str) -> None:
        link = self.bench.transport.links[role]
        if "?" in message:
            link.query(message)
        else:
            link.write(message)

    def close(self) -> None:
        self.bench.close()


class Sessions:
    """The same by PyVISA."""

    Refused = Failed = pyvisa.VisaIOError

    def __init__(self, folder: Path) -> None:
        self._manager = pyvisa.ResourceManager(f"{folder / 'bench.yaml'}@spinloop_guarded")
        library: Any = self._manager.visalib
        self.bench: Bench = library.bench
        self._sessions: dict[str, Any] = {
            role: self._manager.open_resource(one.address) for role, one in FILE.connections()
        }

    def say(self, role: str, message: str) -> None:
        session = self._sessions[role]
        session.write(message)
        if "?" in message:
            session.read_raw()

    def close(self) -> None:
        self._manager.close()


@contextlib.contextmanager
def _opened(way: type[Lines | Sessions], folder: Path) -> Iterator[Lines | Sessions]:
    one = way(folder)
    try:
        yield one
    finally:
        one.close()


@pytest.mark.parametrize("way", [Lines, Sessions])
def test_a_thousand_random_messages_take_no_node_beyond_its_limits(
    way: type[Lines | Sessions], folder: Path
) -> None:
    told: Counter[str] = Counter()

    # Not shrunk: a failure shows the messages that led to it, and not after minutes.
    @settings(max_examples=EXAMPLES, phases=[Phase.generate],
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(st.lists(_steps(), min_size=MESSAGES, max_size=MESSAGES))
    def run(steps: list[Step]) -> None:
        with _opened(way, folder) as one:
            peaks = Peaks(sim := _sim(one.bench))
            one.bench.sweep("J1", [0.004])  # on, at the read voltage, with a junction at the meters
            for role, message in (*HARM, *steps):  # all that first while everything is on
                try:
                    if role == "pause":
                        one.bench.transport.pause(float(message))
                    else:
                        one.say(role, message)
                    told["passed"] += 1
                except one.Failed as error:
                    told["refused" if "refused" in str(error) else "failed"] += 1
                _check(sim, peaks)
        _check(sim, peaks)

    run()
    assert told.total() >= 1000 and min(told["passed"], told["refused"]) > 200, told


class Log(NullRecorder):
    """Keeps what was sent."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[Message] = []

    def message(self, message: Message) -> None:
        self.messages.append(message)


def test_every_message_of_our_own_drivers_passes_from_a_foreign_program_too(folder: Path) -> None:
    log = Log()
    with Bench.open(folder / "bench.yaml", recorder=log) as bench:
        work(bench)
        bench.drivers["z"].sweep(np.linspace(-0.1, 0.1, 5).tolist(), 5.0)
    assert len(log.messages) > 100 and not [one for one in log.messages if one.error]
    with _opened(Sessions, folder) as again:
        peaks = Peaks(sim := _sim(again.bench))
        for one in log.messages:
            if one.op in ("write", "query"):
                again.say(one.instrument, one.sent)
            elif one.op == "pause":
                again.bench.transport.pause(float(one.sent))
            elif one.op == "wait":
                again.bench.transport.links[one.instrument].wait(one.status or 0, 10.0)
        _check(sim, peaks)
        assert peaks.field_a > 0.004 and peaks.junction_v > 0.01
