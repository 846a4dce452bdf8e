"""What VISA sees: addresses, who answers there, and the drivers that fit."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from instruments.bench_file_rules import canonical
from instruments.drivers import DRIVERS, find_driver
from instruments.errors import BenchError
from instruments.holder import who_holds
from instruments.wire import open_visa


@dataclass(frozen=True)
class Answer:
    """Who answers at an address.

    Attributes:
        address: VISA address.
        identity: the answer to ``*IDN?``; "": none.
        drivers: names for a bench file, those whose instrument it is.
        remark: why there is no answer.
    """

    address: str
    identity: str = ""
    drivers: tuple[str, ...] = ()
    remark: str = ""


def scan(
    visa: str = "",
    addresses: Sequence[str] = (),
    *,
    serial: bool = False,
    timeout_s: float = 2.0,
    on_each: Callable[[Answer, int], None] | None = None,
) -> list[Answer]:
    """Ask ``*IDN?`` at every address that VISA lists; nothing else is sent.

    Args:
        visa: VISA library; "" is the installed one.
        addresses: ask at these and list nothing.
        serial: ask at serial ports as well, which are not always instruments.
        timeout_s: how long an answer may take, s.
        on_each: is called with each answer and the number of addresses.

    Raises:
        BenchError: no VISA library.
    """
    _, _, manager = open_visa(visa, {}, threading.Event())
    listed = tuple(addresses) or tuple(manager.list_resources("?*"))
    found = []
    for address in listed:
        answer = _ask(manager, address, serial or bool(addresses), timeout_s)
        found.append(answer)
        if on_each is not None:
            on_each(answer, len(listed))
    return found


def _ask(manager: Any, address: str, serial: bool, timeout_s: float) -> Answer:
    if address.upper().startswith("ASRL") and not serial:
        return Answer(address, remark="serial port: not asked")
    try:
        held = who_holds([canonical(address).upper()])
    except ValueError as error:
        raise BenchError(str(error)) from None
    if held:
        return Answer(address, remark=held[0])
    try:
        resource = manager.open_resource(address, open_timeout=int(timeout_s * 1e3))
    except Exception as error:  # whatever the library makes of it
        return Answer(address, remark=f"cannot be opened ({_words(error)})")
    try:
        resource.timeout = timeout_s * 1e3
        resource.write_termination = "\n"
        if address.upper().startswith("ASRL") or address.upper().endswith("SOCKET"):
            resource.read_termination = "\n"  # nothing else ends a reply there
        identity = str(resource.query("*IDN?")).strip()
    except Exception as error:
        return Answer(address, remark=f"no answer to *IDN? ({_words(error)})")
    finally:
        with contextlib.suppress(Exception):
            resource.close()
    drivers = fitting(identity)
    return Answer(address, identity, drivers, "" if drivers else "no driver for it")


def fitting(identity: str) -> tuple[str, ...]:
    """The drivers whose instrument answers so to ``*IDN?``."""
    return tuple(name for name in DRIVERS if find_driver(name)[0].model.upper() in identity.upper())


def _words(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
