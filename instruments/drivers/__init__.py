"""The drivers, by the name that a bench file uses.  A new driver is one file and one line here."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from instruments.errors import BenchFileError

if TYPE_CHECKING:
    from instruments.limits import Allowed

#: name -> module and class; a module is loaded when a bench file asks for it
DRIVERS = {
    "keithley2400": ("instruments.drivers.keithley2400", "Keithley2400"),
    "keithley6221": ("instruments.drivers.keithley6221", "Keithley6221"),
    "keithley7001": ("instruments.drivers.keithley7001", "Keithley7001"),
}


def find_driver(name: str) -> tuple[Callable[..., Any], Allowed]:
    """The class of a driver, and its allow-list.

    Raises:
        BenchFileError: there is no such driver.
    """
    if name not in DRIVERS:
        raise BenchFileError(f"driver {name!r} is not known; there are {', '.join(DRIVERS)}")
    module_name, class_name = DRIVERS[name]
    module = import_module(module_name)
    return getattr(module, class_name), module.ALLOWED
