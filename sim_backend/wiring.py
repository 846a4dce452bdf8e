"""Whether names, wires and relays of a ``sim.yaml`` make sense together."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from sim_backend.circuit import EARTH
from sim_backend.truth import TruthError
from sim_backend.truth_devices import PolarizerEntry

if TYPE_CHECKING:
    from sim_backend.devices import Device
    from sim_backend.models.electrical import ElectricalInstrument
    from sim_backend.truth import Truth


def check_wiring(
    truth: Truth,
    instruments: Mapping[str, ElectricalInstrument],
    devices: Mapping[str, Device],
    joined: Mapping[str, str],
) -> None:
    """Every wire ends at a terminal that there is, no two things have one name, and no output is
    shorted for good.

    Args:
        truth: the file.
        instruments, devices: by name.
        joined: the node that each terminal is a part of, by the wires.

    Raises:
        TruthError: the first mistake.
    """
    _check_names(truth, instruments, devices)
    known = {EARTH}
    known |= {one.node(t) for one in instruments.values() for t in one.terminals}
    known |= {one.node(t) for one in devices.values() for t in one.terminals}
    places = [(f"wires.{at}", ends) for at, ends in enumerate(truth.wires)]
    places += [(f"relays.{name}", ends) for name, ends in truth.relays.items()]
    for place, ends in places:
        for node in ends:
            if node not in known:
                name = node.partition(".")[0]
                near = sorted(other for other in known if other.startswith(f"{name}."))
                there = ", ".join(near or sorted({n.partition(".")[0] for n in known}))
                raise TruthError(f"{place}: no terminal {node!r}; there are {there}")
        a, b = ends
        if a == b or (place.startswith("relays.") and joined.get(a, a) == joined.get(b, b)):
            raise TruthError(f"{place}: {a} and {b} are one already; name two that are not")
    _check_outputs(instruments.values(), joined)


def _check_names(
    truth: Truth, instruments: Mapping[str, ElectricalInstrument], devices: Mapping[str, Device]
) -> None:
    mine = {"line", EARTH, *truth.junctions.channels}
    for name in truth.devices:
        if name in mine:
            raise TruthError(f"devices.{name}: the bench has something called {name!r} already")
    for name in (*instruments, *devices):
        if re.fullmatch(r"[A-Za-z_]\w*", name) is None or name == EARTH:
            raise TruthError(f"{name!r} is no name; use letters, digits and _, and not 'earth'")
    both = sorted(set(instruments) & set(devices))
    if both:
        raise TruthError(f"devices.{both[0]}: an instrument is called {both[0]!r} already")
    for name, entry in truth.devices.items():
        for junction in entry.turns if isinstance(entry, PolarizerEntry) else ():
            if junction not in truth.junctions.channels:
                raise TruthError(f"devices.{name}.turns: there is no junction {junction!r}")


def _check_outputs(instruments: Iterable[ElectricalInstrument], joined: Mapping[str, str]) -> None:
    """No wire leads from an output back to itself.  A voltmeter's input may be shorted: so its
    zero is measured."""
    for one in instruments:
        for hi in (t for t in one.terminals if t.endswith("hi")):
            lo = hi.removesuffix("hi") + "lo"
            ends = one.node(hi), one.node(lo)
            reads = "sense" in hi or hi.startswith("ch")
            if not reads and joined.get(ends[0], ends[0]) == joined.get(ends[1], ends[1]):
                raise TruthError(f"wires: they join {ends[0]} to {ends[1]}; leave one of them out")
