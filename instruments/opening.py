"""Opening a bench: its lines, and who answers on them.  Nothing is switched or set."""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from instruments.bench_file import BenchFile
from instruments.drivers import find_driver
from instruments.errors import BenchError
from instruments.limits import Allowed
from instruments.link import ERROR_QUEUE
from instruments.message import is_no_error
from instruments.replay import ReplayClock, ReplayWire, Script
from instruments.transport import Transport
from instruments.wire import BenchClock, Wire, open_visa

_instances = itertools.count()


def open_lines(
    file: BenchFile,
    folder: Path | None,
    sim: Mapping[str, str | int | float] | None,
    script: Script | None,
    stopping: threading.Event,
) -> tuple[BenchClock, dict[str, Wire], Any]:
    """A line to every instrument, by the file's backend or to a recorded session.

    Returns:
        The bench's clock, the lines by role, and what must be kept as long as they are used.

    Raises:
        BenchError: no VISA library, or an address does not answer.
    """
    where = {role: connection.address for role, connection in file.connections()}
    if script is not None:
        return ReplayClock(script), {role: ReplayWire(role, script) for role in where}, None
    return open_visa(visa_library(file, folder, sim), where, stopping)


def visa_library(
    file: BenchFile, folder: Path | None, sim: Mapping[str, str | int | float] | None
) -> str:
    """What ``pyvisa.ResourceManager`` takes to reach a bench that is there, or simulated.

    Raises:
        BenchError: it is there in a record only.
    """
    if file.backend == "replay":
        raise BenchError("a bench file with 'backend: replay' needs a session to replay")
    if file.backend == "real":
        return file.visa
    # A name of its own: this bench starts from power-on and is shared with nobody.
    options = dict(sim or {}) | {"instance": f"{os.getpid()}-{next(_instances)}"}
    path = quote(str((folder or Path()) / file.sim)) if file.sim else ""
    return f"{path}?{urlencode(options)}@spinloop"


def find_drivers(file: BenchFile) -> tuple[dict[str, Any], dict[str, Allowed]]:
    """The driver class of each role, and its allow-list."""
    found = {role: find_driver(one.driver) for role, one in file.connections()}
    return (
        {role: driver for role, (driver, _) in found.items()},
        {role: allowed for role, (_, allowed) in found.items()},
    )


def connect(file: BenchFile, transport: Transport, classes: Mapping[str, Any]) -> dict[str, Any]:
    """A driver on every line, each sure of who answers and told how that is set.

    Raises:
        BenchError: an instrument is not what the file says.
    """
    for role, connection in file.connections():
        _greet(transport, role, classes[role].model, connection.address, connection.driver)
    drivers = {role: driver(transport.links[role]) for role, driver in classes.items()}
    for role, driver in drivers.items():
        driver.look()
        transport.links[role].look = driver.stop_messages()[2]
    return drivers


def _greet(transport: Transport, role: str, model: str, address: str, driver: str) -> None:
    """Make sure of who answers, and read away the errors that somebody else left."""
    link = transport.links[role]
    identity = link.identity = link.query("*IDN?").decode("ascii", "replace").strip()
    if model.upper() not in identity.upper():
        raise BenchError(f"{role}: at {address} answers {identity!r}; the bench file says {driver}")
    for _ in range(ERROR_QUEUE):
        if is_no_error(link.query(":SYST:ERR?").decode("ascii", "replace")):
            break
