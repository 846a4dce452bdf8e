"""What must hold between the keys of a bench file.

Each rule takes the sections that it needs, by name, and gives a key and a sentence for each
mistake.  It is asked whenever those sections are right in themselves, so that one reading of a
wrong file tells all its mistakes.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from instruments.bench_file_limits import Limits
from instruments.drivers import DRIVERS, roles_of, unit_of
from instruments.units import show

if TYPE_CHECKING:
    from instruments.bench_file import Calibration, Instruments, Junction, Readout

Mistakes = Iterator[tuple[str, str]]


def canonical(address: str) -> str:
    """A VISA address in its full form: ``gpib::24`` is ``GPIB0::24::INSTR``.

    Raises:
        ValueError: it is no VISA address.
    """
    from pyvisa import rname

    try:
        return rname.to_canonical_name(address)
    except Exception:  # whatever PyVISA makes of it
        raise ValueError(f"{address!r} is no VISA address, such as GPIB0::24::INSTR") from None


def _drivers_fill_their_roles(instruments: Instruments) -> Mistakes:
    for role, one in instruments.connections():
        if role not in roles_of(one.driver):
            able = [name for name in DRIVERS if role in roles_of(name)]
            yield (
                f"instruments.{role}.driver",
                f"{one.driver} cannot be the {role}; {', '.join(able) or 'no driver'} can",
            )


def _each_address_once(instruments: Instruments) -> Mistakes:
    roles: dict[str, str] = {}
    for role, one in instruments.connections():
        other = roles.setdefault(canonical(one.address).upper(), role)
        if other != role:
            yield (
                f"instruments.{role}.address",
                f"{one.address} already belongs to {other}",
            )


def _each_relay_once(junctions: Mapping[str, Junction]) -> Mistakes:
    seen: dict[str, str] = {}
    for name, junction in junctions.items():
        for channel in junction.channels:
            if channel in seen:
                yield f"junctions.{name}.channels", f"{channel} already belongs to {seen[channel]}"
            seen.setdefault(channel, name)


def _density_has_its_area(limits: Limits) -> Mistakes:
    line = limits.field_line
    if (line.current_density is None) != (line.cross_section is None):
        missing = "cross_section" if line.cross_section is None else "current_density"
        yield (
            f"limits.field_line.{missing}",
            "is missing; a current density and its cross-section are given together",
        )


def _duty_is_below_the_limit(limits: Limits) -> Mistakes:
    line = limits.field_line
    if line.duty is not None and line.duty.above >= line.largest_a:
        yield (
            "limits.field_line.duty.above",
            f"{show(line.duty.above, 'A')} is not below the largest current, "
            f"{show(line.largest_a, 'A')}",
        )


def _what_is_there_has_limits(instruments: Instruments, limits: Limits) -> Mistakes:
    for role in ("bias", "polarizer"):
        there, limit = getattr(instruments, role), getattr(limits, role)
        if there is not None and limit is None:
            yield f"limits.{role}", f"is missing; instruments.{role} has none without it"
        if there is None and limit is not None:
            yield f"limits.{role}", f"limits what is not there: instruments.{role} is missing"
        if there is not None and limit is not None:
            unit = unit_of(there.driver)
            if role in roles_of(there.driver) and unit != limit.level.unit:
                yield f"limits.{role}.level", f"{there.driver} sources in {unit}, not {limit.level}"
    if limits.temperature is not None and instruments.thermometer is None:
        yield (
            "limits.temperature",
            "limits what is not measured: instruments.thermometer is missing",
        )


def _readout_is_within_limits(readout: Readout, limits: Limits) -> Mistakes:
    yield from _reads_within(readout, limits.junction.voltage, limits.junction.current, "limits")


def _readout_is_within_own_limits(
    readout: Readout, limits: Limits, junctions: Mapping[str, Junction]
) -> Mistakes:
    for name, junction in junctions.items():
        if junction.limits is not None:
            own = junction.limits.over(limits.junction)
            # What the general limits forbid is told once, by the rule above.
            if own.voltage < limits.junction.voltage or own.current < limits.junction.current:
                yield from _reads_within(readout, own.voltage, own.current, f"junctions.{name}")


def _reads_within(readout: Readout, voltage: float, current: float, where: str) -> Mistakes:
    node = "limits.junction" if where == "limits" else f"{where}.limits"
    if readout.voltage > voltage:
        yield (
            "readout.voltage",
            f"{show(readout.voltage, 'V')} is above {node}.voltage, {show(voltage, 'V')}",
        )
    elif readout.compliance_a > current:  # else it may be the voltage alone that is wrong
        yield (
            "readout.lowest_resistance",
            f"asks for a compliance of {show(readout.compliance_a, 'A')} (1.5 x voltage / "
            f"resistance), above {node}.current, {show(current, 'A')}",
        )


def _calibration_is_within_limits(calibration: Calibration, limits: Limits) -> Mistakes:
    line = limits.field_line
    if calibration.range > line.largest_a:
        node = "limits.field_line.current" + ("_density" if line.reason else "")
        yield (
            "calibration.range",
            f"{show(calibration.range, 'A')} is above {node}, {show(line.largest_a, 'A')}",
        )


RULES: tuple[Callable[..., Mistakes], ...] = (
    _readout_is_within_limits,
    _readout_is_within_own_limits,
    _calibration_is_within_limits,
    _density_has_its_area,
    _duty_is_below_the_limit,
    _what_is_there_has_limits,
    _drivers_fill_their_roles,
    _each_address_once,
    _each_relay_once,
)


def mistakes(sections: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Key and sentence of each rule that is broken, of those whose sections are all there."""
    found: list[tuple[str, str]] = []
    for rule in RULES:
        needed = inspect.signature(rule).parameters
        if needed.keys() <= sections.keys():
            found += rule(**{name: sections[name] for name in needed})
    return found
