"""The drivers, by the name that a bench file uses.  A new driver is one file and one line here."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from instruments.errors import BenchFileError

if TYPE_CHECKING:
    from instruments.limits_allowed import Allowed


class Entry(NamedTuple):
    """A line of the registry.

    Attributes:
        module: of ``instruments.drivers``; it is loaded when a bench file asks for it.
        name: the class in it.
        roles: keys of ``instruments:`` in a bench file that it can fill.
        unit: of the level that it sources, "A" or "V"; "": it sources nothing.
    """

    module: str
    name: str
    roles: frozenset[str]
    unit: str = ""


def _fills(*roles: str) -> frozenset[str]:
    return frozenset(roles)


# The meters of a sweep step at pulses of the trigger link, and pass them on. A 2450 has none (its
# digital lines are no part of this), so it fills neither x nor z.
DRIVERS = {
    "keithley2182a": Entry("keithley2182a", "Keithley2182A", _fills("thermometer")),
    "keithley2400": Entry("keithley2400", "Keithley2400", _fills("x", "z"), "V"),
    "keithley2450": Entry("keithley2450", "Keithley2450", _fills("bias", "polarizer"), "V"),
    "keithley6221": Entry("keithley6221", "Keithley6221", _fills("field"), "A"),
    "keithley7001": Entry("keithley7001", "Keithley7001", _fills("switch")),
    "yokogawags200": Entry("yokogawags200", "YokogawaGS200", _fills("bias"), "A"),
    "yokogawags200_volt": Entry(
        "yokogawags200", "YokogawaGS200Volt", _fills("bias", "polarizer"), "V"
    ),
}


def _entry(name: str) -> Entry:
    if name not in DRIVERS:
        raise BenchFileError(f"driver {name!r} is not known; there are {', '.join(DRIVERS)}")
    return DRIVERS[name]


def roles_of(name: str) -> frozenset[str]:
    """The keys of ``instruments:`` that a driver can fill; loads no driver.

    Raises:
        BenchFileError: there is no such driver.
    """
    return _entry(name).roles


def unit_of(name: str) -> str:
    """The unit of the level that a driver's instrument sources, "A" or "V"; "" for none.

    Raises:
        BenchFileError: there is no such driver.
    """
    return _entry(name).unit


def find_driver(name: str) -> tuple[Any, Allowed]:
    """The class of a driver, and its allow-list.

    Raises:
        BenchFileError: there is no such driver.
    """
    entry = _entry(name)
    driver = getattr(import_module(f"instruments.drivers.{entry.module}"), entry.name)
    return driver, driver.allowed
