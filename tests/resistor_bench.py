"""A bench with resistors in place of junctions: its files, and itself behind HiSLIP."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from sim_backend.bench import SimBench
from sim_backend.server import running
from sim_backend.truth import load_truth

OHM = {"D1": 10e3, "D2": 9e3}
RELAYS = {"D1": ("2!1", "2!11"), "D2": ("2!2", "2!12")}


def _demo(package: str, name: str) -> Any:
    return yaml.safe_load(files(package).joinpath(name).read_text(encoding="utf-8"))


def write_files(folder: Path, **changes: Any) -> Path:
    """``sim.yaml`` and ``bench.yaml`` in a folder, the latter with sections changed; its path."""
    sim = _demo("sim_backend", "demo.yaml")
    sim["devices"] = {
        f"{name}_{layer}": {"kind": "resistor", "ohm": ohm}
        for name, ohm in OHM.items() for layer in "xz"
    }  # fmt: skip
    sim["devices"]["coil"] = {"kind": "bias_magnet", "ohm": 12.0, "henry": 0.06}
    sim["instruments"]["gs"] = {"address": "GPIB0::2::INSTR", "model": "yokogawags200"}
    sim["wires"] = [[f"{device}.b", "earth"] for device in sim["devices"]]
    sim["wires"] += [["gs.hi", "coil.a"], ["gs.lo", "coil.b"]]
    sim["relays"] = {
        relay: [f"{layer}.hi", f"{name}_{layer}.a"]
        for name, pair in RELAYS.items() for layer, relay in zip("xz", pair, strict=True)
    }  # fmt: skip
    (folder / "sim.yaml").write_text(yaml.safe_dump(sim), encoding="utf-8")
    bench = _demo("instruments", "demo_bench.yaml") | {"name": "resistors", "sim": "sim.yaml"}
    bench["junctions"] = {name: {"channels": list(pair)} for name, pair in RELAYS.items()}
    for key, value in changes.items():
        bench[key] = value if not isinstance(value, dict) else bench.get(key, {}) | value
    path = folder / "bench.yaml"
    path.write_text(yaml.safe_dump(bench), encoding="utf-8")
    return path


@contextlib.contextmanager
def served(folder: Path, realtime: float | None = None, **changes: Any) -> Iterator[Any]:
    """The same bench as instruments that outlive a program; its bench file and the simulator."""
    path = write_files(folder, **changes)
    sim = SimBench(load_truth(folder / "sim.yaml"))
    with running(sim, port=0, hislip_port=0, realtime=realtime) as server:
        bench = yaml.safe_load(path.read_text(encoding="utf-8"))
        del bench["sim"]
        bench |= {"backend": "real", "visa": "@py"}
        for one in server.served:
            if one.name in bench["instruments"]:
                bench["instruments"][one.name]["address"] = one.hislip
        path.write_text(yaml.safe_dump(bench), encoding="utf-8")
        yield path, sim


def is_safe(sim: Any) -> bool:
    """Whether every output is at zero and off, and every relay open."""
    meters = all(
        not one.state["output"] and one.state["v_level"] == 0 for one in sim.meters.values()
    )
    source = not sim.source.state["output"] and sim.source.state["level"] == 0
    return meters and source and not sim.switch.closed
