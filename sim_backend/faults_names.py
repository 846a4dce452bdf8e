"""Whether the faults of a list fit a bench: names, terminals, relays."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from sim_backend.devices import Device, Junction
from sim_backend.faults_kinds import (
    AnyFault,
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
from sim_backend.llg.junction import SIDES


def check_faults(
    faults: Sequence[AnyFault],
    instruments: Collection[str],
    meters: Collection[str],
    sources: Collection[str],
    switch: str,
    devices: Mapping[str, Device],
) -> None:
    """Whether everything that is named is there, and can be struck so.

    Args:
        faults: in the order of the list.
        instruments: names of all.
        meters: of those whose readings can be struck.
        sources: of those whose levels can drift.
        switch: name of the instrument whose relays join the junctions.
        devices: by name.

    Raises:
        FaultError: the first that does not fit; one sentence.
    """
    check_names(faults, instruments, devices)
    for at, fault in enumerate(faults, 1):
        where = f"number {at} ({fault.kind})"
        if isinstance(fault, OfReadings | Drift) or getattr(fault, "reading", None) is not None:
            known = [*meters, *(sources if isinstance(fault, Drift) else ())]
            name = getattr(fault, "instrument", None)
            if name not in known:
                raise FaultError(
                    f"{where}: instrument: faults of readings do not strike {name!r}; there are "
                    f"{', '.join(known)}"
                )
        if isinstance(fault, StuckRelay) and fault.instrument != switch:
            raise FaultError(
                f"{where}: instrument: {fault.instrument!r} is no switch; write {switch}"
            )
        if isinstance(fault, Switched | Telegraph | JunctionDrift):
            if not isinstance(devices[fault.device], Junction):
                raise FaultError(f"{where}: device: {fault.device!r} is no junction; name one")
        elif isinstance(fault, Open | Short) and fault.terminal is not None:
            _check_terminal(where, fault, devices[fault.device])


def _check_terminal(where: str, fault: Open | Short, device: Device) -> None:
    known: Sequence[str] = device.terminals
    if isinstance(fault, Short):
        known = SIDES if isinstance(device, Junction) else ()
    if fault.terminal not in known:
        there = f"there are {', '.join(known)}" if known else "leave it out"
        raise FaultError(
            f"{where}: terminal: {fault.device!r} has no such terminal {fault.terminal!r}; {there}"
        )
