"""Whether the faults of a list fit a bench: names, terminals, relays."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sim_backend.devices import Device, Junction
from sim_backend.faults_header import names
from sim_backend.faults_kinds import (
    AnyFault,
    Compliance,
    Drift,
    JunctionDrift,
    Open,
    Short,
    StuckRelay,
    Switched,
    Telegraph,
    check_names,
)
from sim_backend.faults_when import FaultError, OfReadings
from sim_backend.instrument import SimInstrument
from sim_backend.llg.junction import SIDES
from sim_backend.scpi_language import forms


def check_faults(
    faults: Sequence[AnyFault],
    instruments: Mapping[str, SimInstrument],
    meters: Collection[str],
    sources: Collection[str],
    switch: str,
    devices: Mapping[str, Device],
) -> list[AnyFault]:
    """Whether everything that is named is there, and can be struck so.

    Args:
        faults: in the order of the list.
        instruments: by name.
        meters: of those whose readings can be struck.
        sources: of those whose levels can drift.
        switch: name of the instrument whose relays join the junctions.
        devices: by name.

    Returns:
        The faults; a drift says of what.

    Raises:
        FaultError: the first that does not fit; one sentence.
    """
    check_names(faults, instruments, devices)
    found = list(faults)
    for at, fault in enumerate(faults, 1):
        where = f"number {at} ({fault.kind})"
        header, name = getattr(fault, "header", None), getattr(fault, "instrument", None)
        if header is not None and name is not None:
            _check_header(where, header, instruments[name])
        if isinstance(fault, Drift):
            found[at - 1] = _drift(where, fault, meters, sources)
        elif isinstance(fault, OfReadings) or getattr(fault, "reading", None) is not None:
            _check_struck(where, fault, meters)
        if isinstance(fault, Compliance):  # what cannot source has none
            _check_struck(where, fault, [name for name in meters if name in sources])
        if isinstance(fault, StuckRelay) and fault.instrument != switch:
            raise FaultError(
                f"{where}: instrument: {fault.instrument!r} is no switch; write {switch}"
            )
        if isinstance(fault, Switched | Telegraph | JunctionDrift):
            if not isinstance(devices[fault.device], Junction):
                raise FaultError(f"{where}: device: {fault.device!r} is no junction; name one")
        elif isinstance(fault, Open | Short) and fault.terminal is not None:
            _check_terminal(where, fault, devices[fault.device])
    return found


def _check_header(where: str, header: str, instrument: SimInstrument) -> None:
    asks = header.endswith("?")
    for row in instrument.table.rows:
        has = (form + "?" * asks for form in forms(row.header))
        if not (asks and row.kind == "command") and any(names(header, form) for form in has):
            return
    raise FaultError(
        f"{where}: header: {instrument.name} has no command {header!r}; write one that `spinloop "
        f"sim language {type(instrument).__name__.lower()}` prints"
    )


def _check_struck(where: str, fault: Any, known: Collection[str]) -> None:
    if fault.instrument not in known:
        raise FaultError(
            f"{where}: instrument: faults of this kind do not strike {fault.instrument!r}; there "
            f"are {', '.join(known) or 'none'}"
        )


def _drift(where: str, fault: Drift, meters: Collection[str], sources: Collection[str]) -> Drift:
    """The same, with what drifts."""
    of = fault.of or ("readings" if fault.instrument in meters else "output")
    either = [*meters, *(name for name in sources if name not in meters)]
    _check_struck(where, fault, {"readings": meters, "output": sources}[of] if fault.of else either)
    return fault.model_copy(update={"of": of})


def _check_terminal(where: str, fault: Open | Short, device: Device) -> None:
    known: Sequence[str] = device.terminals
    if isinstance(fault, Short):
        known = SIDES if isinstance(device, Junction) else ()
    if fault.terminal not in known:
        there = f"there are {', '.join(known)}" if known else "leave it out"
        raise FaultError(
            f"{where}: terminal: {fault.device!r} has no such terminal {fault.terminal!r}; {there}"
        )
