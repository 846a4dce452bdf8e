"""How fast the simulated bench answers, and what a batch takes on its clock.

    .venv-conformance/bin/python benchmarks/simulator.py [--rounds 15] [--queries 300]

Needs an environment that has pyvisa-sim too: `python3 tasks.py conformance` makes it.  In another
one pyvisa-sim is left out.
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pyvisa

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # where SpinLoop is not installed, PyVISA finds @spinloop here

METER = "GPIB0::24::INSTR"
QUESTIONS = {"*IDN?": "*IDN?", "a setting": ":SENS:CURR:NPLC?"}
SET = ":SENS:CURR:NPLC 1"
FIRST = "@spinloop, in process"

SIM = """\
spec: "1.1"
devices:
  meter:
    eom:
      GPIB INSTR: {q: "\\r\\n", r: "\\n"}
    error: ERROR
    dialogues:
      - {q: "*IDN?", r: "KEITHLEY INSTRUMENTS INC.,MODEL 2400,0000000,C32"}
    properties:
      nplc:
        default: 1.0
        getter: {q: ":SENS:CURR:NPLC?", r: "{:.6E}"}
        setter: {q: ":SENS:CURR:NPLC {}"}
        specs: {min: 0.01, max: 10, type: float}
resources:
  GPIB0::24::INSTR: {device: meter}
"""


# --- queries a second ----------------------------------------------------------------------------


@contextmanager
def served() -> Iterator[tuple[str, str]]:
    """The demonstration bench in a program of its own: meter x by raw socket and by HiSLIP."""
    command = [sys.executable, "-u", "-m", "cli", "sim", "serve", "--virtual"]
    command += ["--port", "0", "--hislip-port", "0"]
    with subprocess.Popen(
        ["env", "COLUMNS=200", *command] if sys.platform != "win32" else command,
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8",
    ) as process:  # fmt: skip
        assert process.stdout is not None
        said = []
        try:
            for line in process.stdout:
                said.append(line)
                found = re.findall(r"TCPIP\S+", line)
                if len(found) == 2 and re.search(r"\bx\b", line):
                    yield found[0], found[1]
                    break
            else:
                raise RuntimeError("the server ended: " + "".join(said))
        finally:
            process.terminate()


def answers(stack: ExitStack) -> dict[str, Any]:
    """The meter's sessions, by the way to it."""
    found = {FIRST: pyvisa.ResourceManager("?instance=speed@spinloop").open_resource(METER)}
    if find_spec("pyvisa_sim"):
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (folder / "meter.yaml").write_text(SIM, encoding="utf-8")
        manager = pyvisa.ResourceManager(f"{folder / 'meter.yaml'}@sim")
        found["pyvisa-sim, in process"] = manager.open_resource(
            METER, read_termination="\n", write_termination="\r\n"
        )
    else:
        print("pyvisa-sim is not installed here; `python3 tasks.py conformance` brings it")
    raw, hislip = stack.enter_context(served())
    py: Any = pyvisa.ResourceManager("@py")
    ends = {"read_termination": "\n", "write_termination": "\n"}
    found["raw socket, pyvisa-py"] = py.open_resource(raw, **ends)
    found["HiSLIP, pyvisa-py"] = py.open_resource(hislip, **ends)
    return found


def ask(question: str, to: Any) -> object:
    """One query."""
    return to.query(question)


def speed(rounds: int, count: int) -> None:
    """Queries and sets a second, in turn."""
    with ExitStack() as stack:
        sessions = answers(stack)
        jobs: dict[str, Callable[[Any], object]] = {
            name: partial(ask, question) for name, question in QUESTIONS.items()
        }
        jobs["a set"] = lambda to: to.write(SET)
        rates: dict[tuple[str, str], list[float]] = defaultdict(list)
        for turn in range(rounds + 2):
            for job, do in jobs.items():
                for way, to in sessions.items():
                    start = time.perf_counter()
                    for _ in range(count):
                        do(to)
                    to.query("*IDN?")  # what was only sent has arrived and was acted on
                    if turn >= 2:
                        rates[way, job].append((count + 1) / (time.perf_counter() - start))
        print(f"messages a second, median of {rounds} rounds of {count} taken in turn (x {FIRST})")
        print(f"  {'':26}" + "".join(f"{job:>20}" for job in jobs))
        for way in sessions:
            cells = ""
            for job in jobs:
                rate = statistics.median(rates[way, job])
                ratio = rate / statistics.median(rates[FIRST, job])
                cells += f"{rate:>12,.0f} {ratio:6.2f}x"
            print(f"  {way:26}{cells}")
        for to in sessions.values():
            to.close()


# --- a batch -------------------------------------------------------------------------------------

ADDRESSES = {"field": "GPIB0::12::INSTR", "x": METER, "z": "GPIB0::25::INSTR",
             "switch": "GPIB0::7::INSTR"}  # fmt: skip
SETTLE_S = 2e-3


class Hands:
    """The demonstration bench, in plain SCPI."""

    def __init__(self, instance: str) -> None:
        self.manager = pyvisa.ResourceManager(f"?instance={instance}@spinloop")
        self.library: Any = self.manager.visalib
        self.to: dict[str, Any] = {
            name: self.manager.open_resource(at) for name, at in ADDRESSES.items()
        }
        for meter in ("x", "z"):
            self.write(meter, "*RST;:FORM:ELEM CURR,STAT;:FORM SRE;:SYST:AZER:STAT OFF;:SOUR:DEL 0")
            self.write(meter, ":SENS:CURR:NPLC 1;:SOUR:VOLT:RANG 0.2;:OUTP ON")
        self.write("field", ":SOUR:CURR:RANG 0.1;:SOUR:CURR:COMP 10;:OUTP ON")

    def write(self, name: str, *messages: str) -> None:
        for message in messages:
            self.to[name].write(message)

    def read(self, meter: str, question: str, count: int = 1) -> list[float]:
        """Currents, A; a block of a 2400 does not say how long it is."""
        values: list[float] = self.to[meter].query_binary_values(
            question, datatype="f", data_points=2 * count
        )
        return values[::2]

    def join(self, junction: str) -> None:
        """Relays at no voltage, then the read voltage."""
        channels = self.library.bench.truth.junctions.channels[junction]
        for meter in ("x", "z"):
            self.write(meter, ":SOUR:VOLT 0")
        self.write("switch", f":OPEN ALL;:CLOS (@{channels.x},{channels.z},{channels.low})")
        for meter in ("x", "z"):
            self.write(meter, ":SOUR:VOLT 0.02")

    def list_sweep(self, levels_a: np.ndarray) -> np.ndarray:
        """A ring: source, x, z, and back."""
        count = len(levels_a)
        for meter, line_in, line_out in (("x", 1, 2), ("z", 2, 3)):
            self.write(
                meter,
                f":TRIG:SOUR TLIN;:TRIG:INP SENS;:TRIG:ILIN {line_in};:TRIG:OLIN {line_out}",
                f":TRIG:OUTP SENS;:TRIG:COUN {count};:TRAC:CLE;:TRAC:POIN {count}",
                ":TRAC:FEED:CONT NEXT;:INIT",
            )
        for name, values in (
            ("CURR", levels_a), ("DEL", [SETTLE_S] * count), ("COMP", [10] * count),
        ):  # fmt: skip
            for at in range(0, count, 100):
                text = ",".join(f"{value:.7g}" for value in values[at : at + 100])
                self.write("field", f":SOUR:LIST:{name}{':APP' if at else ''} {text}")
        self.write(
            "field",
            ":SOUR:SWE:SPAC LIST;:SOUR:SWE:RANG FIX;:TRIG:OLIN 1;:TRIG:ILIN 3;:TRIG:DIR SOUR",
            ":TRIG:SOUR TLIN;:TRIG:OUTP DEL;:SOUR:SWE:ARM;:INIT",
        )
        self.library.bench_pause(1e-3)
        return np.array([self.read(meter, ":TRAC:DATA?", count) for meter in ("x", "z")])

    def points(self, levels_a: np.ndarray) -> np.ndarray:
        """A level, a wait, and a reading of each meter."""
        found = []
        for meter in ("x", "z"):
            self.write(meter, ":TRIG:SOUR IMM;:TRIG:COUN 1")
        for level in levels_a:
            self.write("field", f":SOUR:CURR {level:.7g}")
            self.library.bench_pause(SETTLE_S)
            found.append([self.read(meter, ":READ?")[0] for meter in ("x", "z")])
        return np.array(found).T


def batch(levels: int) -> None:
    """A batch on all junctions, both ways: bench time by what it went into, and wall time."""
    levels_a = np.random.default_rng(0).uniform(-0.02, 0.02, levels)
    spent: dict[str, dict[str, float]] = {}
    total: dict[str, tuple[float, float]] = {}
    for name in ("list sweep", "point by point"):
        hands = Hands(name.replace(" ", "-"))
        bench = hands.library.bench
        measure = hands.list_sweep if name == "list sweep" else hands.points
        hands.join("J1")
        measure(levels_a[:4])  # compile what is compiled at its first call
        before, bench_s, start = dict(bench.spent_s), bench.clock.now_s, time.perf_counter()
        for junction in bench.truth.junctions.channels:
            hands.join(junction)
            read = measure(levels_a)
            assert read.shape == (2, levels), f"{read.shape}"
        wall_s = time.perf_counter() - start
        total[name] = bench.clock.now_s - bench_s, wall_s
        spent[name] = {what: s - before.get(what, 0.0) for what, s in bench.spent_s.items()}
        junctions = len(bench.truth.junctions.channels)
    print(
        f"\na batch of {levels} levels x {junctions} junctions: bench time by what it went into, s"
    )
    kinds = sorted({what for each in spent.values() for what in each})
    print(f"  {'':16}" + "".join(f"{kind:>11}" for kind in (*kinds, "all", "wall")))
    for name, each in spent.items():
        cells = [each.get(kind, 0.0) for kind in kinds]
        print(f"  {name:16}" + "".join(f"{cell:11.3f}" for cell in (*cells, *total[name])))
    ratio = total["point by point"][0] / total["list sweep"][0]
    wall = total["point by point"][1] / total["list sweep"][1]
    print(f"  point by point takes {ratio:.2f} x the bench time and {wall:.2f} x the wall time")


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=15)
    options.add_argument("--queries", type=int, default=300)
    options.add_argument("--levels", type=int, default=120)
    chosen = options.parse_args()
    speed(chosen.rounds, chosen.queries)
    batch(chosen.levels)


if __name__ == "__main__":
    main()
