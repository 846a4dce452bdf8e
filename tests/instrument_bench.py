"""One instrument behind the transport and the limits, simulated or real; for the drivers' tests."""

from __future__ import annotations

import copy
import threading
from importlib.resources import files
from itertools import count
from pathlib import Path
from typing import Any

import yaml

from db import Message, NullRecorder
from instruments.bench_file import parse_bench_file
from instruments.drivers import find_driver
from instruments.limits import Guard
from instruments.transport import Transport
from instruments.wire import open_visa

#: driver -> the role in which it is tried, and its address and name on the simulated bench
PLACES = {
    "keithley2182a": ("thermometer", "GPIB0::8::INSTR", "nvm"),
    "keithley2400": ("x", "GPIB0::24::INSTR", "x"),
    "keithley2450": ("polarizer", "GPIB0::18::INSTR", "smu"),
    "keithley6221": ("field", "GPIB0::12::INSTR", "field"),
    "keithley7001": ("switch", "GPIB0::7::INSTR", "switch"),
    "yokogawags200": ("bias", "GPIB0::2::INSTR", "gs"),
    "yokogawags200_volt": ("polarizer", "GPIB0::2::INSTR", "gs"),
}
MODELS = {
    name: (name.removesuffix("_volt"), address, at) for name, (_, address, at) in PLACES.items()
}
_instances = count()


def sim_file(folder: Path, **more: Any) -> Path:
    """The demonstration's ``sim.yaml`` with all models on it, a coil on the GS200 and a resistor of
    1 kohm on the 2450."""
    data = yaml.safe_load(files("sim_backend").joinpath("demo.yaml").read_text("utf-8"))
    for model, address, name in MODELS.values():
        data["instruments"][name] = {"address": address, "model": model}
    data["devices"] = {
        "coil": {"kind": "bias_magnet", "ohm": 12.0, "henry": 0.06},
        "load": {"kind": "resistor", "ohm": 1000.0},
    }
    data["wires"] = [
        ["gs.hi", "coil.a"], ["gs.lo", "coil.b"], ["coil.b", "earth"],
        ["smu.front_hi", "load.a"], ["smu.front_lo", "load.b"], ["load.b", "earth"],
        ["nvm.ch1_lo", "earth"], ["nvm.ch1_hi", "load.a"],
    ]  # fmt: skip
    path = folder / "lab.sim.yaml"
    path.write_text(yaml.safe_dump(data | more), encoding="utf-8")
    return path


def bench_file(driver: str) -> Any:
    """The demonstration's bench file, with a driver in the role in which it is tried."""
    data = yaml.safe_load(files("instruments").joinpath("demo_bench.yaml").read_text("utf-8"))
    role, address, _ = PLACES[driver]
    data["instruments"][role] = {"driver": driver, "address": address}
    if role == "bias":
        data["limits"]["bias"] = {"level": "50 mA", "compliance": "10 V"}
    if role == "polarizer":
        data["limits"]["polarizer"] = {"level": "1.2 V", "compliance": "20 mA"}
    return parse_bench_file(yaml.safe_dump(data))


class Log(NullRecorder):
    """Keeps every message."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[Message] = []

    def message(self, message: Message) -> None:
        self.messages.append(message)

    @property
    def sent(self) -> list[str]:
        return [message.sent for message in self.messages]


class OneInstrument:
    """A driver and what is below it.

    Args:
        name: of the driver.
        library: for ``pyvisa.ResourceManager``.
        address: the instrument's.
    """

    def __init__(self, name: str, library: str, address: str) -> None:
        self.name = name
        self.role = PLACES[name][0]
        file = bench_file(name)
        self.log = Log()
        roles = {self.role: name} | ({} if self.role == "switch" else {"switch": "keithley7001"})
        self.guard = Guard(file, {role: find_driver(one)[1] for role, one in roles.items()})
        stopping = threading.Event()
        clock, wires, self._keep = open_visa(library, {self.role: address}, stopping)
        self.transport = Transport(wires, clock, self.guard, self.log, stopping)
        self.link = self.transport.links[self.role]
        self.driver: Any = find_driver(name)[0](self.link)

    @classmethod
    def simulated(cls, name: str, folder: Path, **more: Any) -> OneInstrument:
        """On the simulated bench."""
        path = sim_file(folder, **more)
        library = f"{path}?instance=driver-{next(_instances)}@spinloop"
        return cls(name, library, PLACES[name][1])

    @property
    def sim(self) -> Any:
        """The simulated bench; None on hardware."""
        return getattr(self._keep.visalib, "bench", None)

    @property
    def model(self) -> Any:
        """The simulated instrument."""
        return self.sim.by_name[PLACES[self.name][2]]

    def state(self) -> Any:
        """All settings of the simulated instrument; None on hardware."""
        return None if self.sim is None else copy.deepcopy(self.model.state)

    def ask(self, question: str) -> str:
        return self.link.query(question).decode("ascii").strip()

    def no_error(self) -> bool:
        """Whether the instrument's error queue is empty."""
        return self.ask(":SYST:ERR?").startswith(("0,", "+0,"))

    @property
    def shadow(self) -> Any:
        return self.guard.shadows[self.role]

    def close(self) -> None:
        """Zero and off, then let it go."""
        self.stop()
        self.transport.close()

    def stop(self) -> list[str]:
        """What the bench sends in an emergency; what did not work."""
        zero, off, look = self.driver.stop_messages()
        return self.transport.stop([(self.role, (*zero, *off, look))])
