"""Benches and junctions for the tests of neurons."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from db import Message, NullRecorder
from device.reading import Signals
from instruments import Bench, SweepData
from instruments.bench_file import parse_bench_file
from sim_backend.faults_kinds import parse_faults

LEVELS = np.linspace(-0.032, 0.032, 81)
#: an instrument more on the simulated bench
GS = {"gs": {"address": "GPIB0::2::INSTR", "model": "yokogawags200"}}
SHAPES = {
    "tanh": lambda i: np.tanh(i / 8e-3),
    "hump": lambda i: np.exp(-((i / 1e-2) ** 2)),
    "falling": lambda i: -np.tanh(i / 8e-3),
    "waves": lambda i: np.sin(i / 5e-3),
}


class Events(NullRecorder):
    """Keeps every event and message."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[tuple[str, str]] = []
        self.messages: list[Message] = []

    def message(self, message: Message) -> None:
        self.messages.append(message)

    def event(self, kind: str, text: str) -> None:
        self.events.append((kind, text))

    def texts(self, kind: str) -> list[str]:
        return [text for one, text in self.events if one == kind]


def bench_with(folder: Path, more: dict[str, Any], sim: dict[str, Any]) -> Bench:
    """The demonstration's bench, with more in its bench file and its ``sim.yaml``; sections are
    merged."""
    made = {}
    for package, name, changes in (
        ("instruments", "demo_bench.yaml", {"sim": "sim.yaml"} | more),
        ("sim_backend", "demo.yaml", sim),
    ):
        data = yaml.safe_load(files(package).joinpath(name).read_text("utf-8"))
        for key, value in changes.items():
            both = isinstance(value, dict) and isinstance(data.get(key), dict)
            data[key] = data[key] | value if both else value
        made[name] = yaml.safe_dump(data)
    (folder / "sim.yaml").write_text(made["demo.yaml"], encoding="utf-8")
    file = parse_bench_file(made["demo_bench.yaml"])
    return Bench.open(file, folder=folder, recorder=Events())


def simulator(bench: Bench) -> Any:
    """The simulated bench behind one."""
    return bench._keep.visalib.bench


def strike(bench: Bench, *faults: dict[str, Any]) -> None:
    """Faults that begin now."""
    now_s = bench.clock.time_s()
    simulator(bench).faults.add(*parse_faults([{"from_s": now_s} | one for one in faults]))


class Software:
    """A device without a bench: a function, noise of a seed, and a record of what was asked.

    Args:
        response: y as a function of x.
        sigma: noise of a reading.
        reach: it may be asked within ±reach.
    """

    name = "S1"
    scale_a = 1e-3
    source = "twin"
    junctions = ()

    def __init__(self, response: Any = np.tanh, sigma: float = 0.0, reach: float = 3.0) -> None:
        self.response, self.sigma = response, sigma
        self.x_range = (-reach, reach)
        self.asked: list[np.ndarray] = []
        self.orders: list[str] = []
        self.notes: list[tuple[str, str]] = []
        self._rng = np.random.default_rng(0)

    def measure(self, x, order="sorted"):
        self.asked.append(np.array(x))
        self.orders.append(order)
        y = self.response(x) + self.sigma * self._rng.standard_normal(len(x))
        good = np.ones(len(x), dtype=bool)
        return Signals(y, None, np.full(len(x), self.sigma), None, good, len(x), 0.5)

    def time_s(self):
        return 0.5 * len(self.asked)

    def note(self, kind, text):
        self.notes.append((kind, text))


def swept(response, noise=0.0, levels=LEVELS, volt=0.02):
    """A sweep of a junction whose conductance x is (3 + response(I))/4 of 100 uS."""
    rng = np.random.default_rng(0)
    g = 1e-4 * (3 + response(levels)) / 4
    flat = np.full(len(levels), 1e-4 * volt)
    x = g * volt + noise * rng.standard_normal(len(levels))
    return SweepData("J1", levels, x, flat, np.ones(len(levels), bool), volt, 81, 0.0, 1.0)
