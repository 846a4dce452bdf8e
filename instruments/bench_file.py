"""``bench.yaml``: what the lab knows of its bench.  One message with file, line and key for each
mistake."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from instruments.drivers import DRIVERS
from instruments.errors import BenchError, BenchFileError, LimitError
from instruments.units import Ampere, Hertz, Ohm, OhmOrZero, Second, Volt, show

_LONGEST_SETTLE_S = 10.0


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Connection(_Model):
    """One instrument: its driver and its VISA address."""

    driver: str = Field(description="name of the driver, such as keithley2400")
    address: str = Field(description="VISA address, such as GPIB0::24::INSTR")

    @field_validator("driver")
    @classmethod
    def _is_known(cls, value: str) -> str:
        if value not in DRIVERS:
            raise ValueError(f"driver {value!r} is not known; there are {', '.join(DRIVERS)}")
        return value

    @field_validator("address")
    @classmethod
    def _has_serial_poll(cls, value: str) -> str:
        if _canonical(value).upper().endswith("SOCKET"):
            raise ValueError(
                "a raw socket has no serial poll and no device clear; "
                "use the instrument's GPIB, USB, HiSLIP or VXI-11 address"
            )
        return value


def _canonical(address: str) -> str:
    """A VISA address in its full form: ``gpib::24`` is ``GPIB0::24::INSTR``."""
    from pyvisa import rname

    try:
        return rname.to_canonical_name(address)
    except ValueError:
        raise ValueError(f"{address!r} is no VISA address, such as GPIB0::24::INSTR") from None


class Instruments(_Model):
    """The roles of the bench and who fills them."""

    field: Connection = Field(description="current source on the field line")
    x: Connection = Field(description="source-meter on the x-reference layer")
    z: Connection = Field(description="source-meter on the z-reference layer")
    switch: Connection = Field(description="switch between the meters and the junctions")


class FieldLineLimits(_Model):
    """What the field line stands."""

    current: Ampere = Field(description="largest current")
    step: Ampere = Field(description="largest step between two currents that follow each other")
    resistance: Ohm = Field(description="resistance of the line, for the voltage compliance")

    @property
    def compliance_v(self) -> float:
        """Voltage compliance of the source: what the limit drives through the line, and a half."""
        return 1.5 * self.current * self.resistance


class JunctionLimits(_Model):
    """What a junction stands."""

    voltage: Volt = Field(description="largest voltage across a barrier")
    current: Ampere = Field(description="largest current through a barrier")


class Limits(_Model):
    """Limits per node.  What is above them is refused, never clipped."""

    field_line: FieldLineLimits
    junction: JunctionLimits


class Readout(_Model):
    """How the junctions are read."""

    voltage: Volt = Field(description="read voltage at each reference layer")
    lowest_resistance: Ohm = Field(description="lowest resistance expected; sets the compliance")
    common_resistance: OhmOrZero = Field(
        description="from the junctions' shared electrode to the meters' low"
    )

    @property
    def compliance_a(self) -> float:
        """Current compliance of the meters: half as much again as the largest expected."""
        return 1.5 * self.voltage / self.lowest_resistance


class Timing(_Model):
    """Timing of a reading."""

    nplc: Annotated[float, Field(ge=0.01, le=10)] = Field(
        1.0, description="integration time, power-line cycles"
    )
    line_frequency: Hertz = Field(description="mains frequency")
    settle: Second = Field(description="from a new field to the reading")
    relay_settle: Second = Field(description="after relays have moved")
    trigger: Literal["ring", "fork"] = Field(
        "ring",
        description="ring: source, x, z, source; fork: both meters at once, paced by the settle "
        "time and the time of a reading",
    )

    @field_validator("line_frequency")
    @classmethod
    def _is_mains(cls, value: float) -> float:
        if value not in (50, 60):
            raise ValueError(f"{show(value, 'Hz')} is no mains frequency; give 50 Hz or 60 Hz")
        return value

    @field_validator("settle", "relay_settle")
    @classmethod
    def _is_short(cls, value: float) -> float:
        if value > _LONGEST_SETTLE_S:
            longest = show(_LONGEST_SETTLE_S, "s")
            raise ValueError(f"{show(value, 's')} is too long; give at most {longest}")
        return value


class Calibration(_Model):
    """The sweep from which a junction is calibrated."""

    range: Ampere = Field(description="largest field-line current, both signs")
    points: Annotated[int, Field(ge=21, le=1201)] = 121


class Junction(_Model):
    """One junction: the relays that join it to meter x, meter z and the common low."""

    channels: Annotated[tuple[str, ...], Field(min_length=1)]


class BenchFile(_Model):
    """The whole file."""

    name: str = "bench"
    backend: Literal["real", "sim", "replay"]
    sim: str | None = Field(None, description="the simulated bench's file, beside this one")
    instruments: Instruments
    limits: Limits
    readout: Readout
    timing: Timing
    calibration: Calibration
    junctions: Annotated[dict[str, Junction], Field(min_length=1)]

    @model_validator(mode="after")
    def _fits_together(self) -> BenchFile:
        limits = self.limits
        if self.readout.voltage > limits.junction.voltage:
            raise ValueError(
                f"readout.voltage: {show(self.readout.voltage, 'V')} is above "
                f"limits.junction.voltage, {show(limits.junction.voltage, 'V')}"
            )
        if self.readout.compliance_a > limits.junction.current:
            raise ValueError(
                f"readout.lowest_resistance: asks for a compliance of "
                f"{show(self.readout.compliance_a, 'A')} (1.5 x voltage / resistance), above "
                f"limits.junction.current, {show(limits.junction.current, 'A')}"
            )
        if self.calibration.range > limits.field_line.current:
            raise ValueError(
                f"calibration.range: {show(self.calibration.range, 'A')} is above "
                f"limits.field_line.current, {show(limits.field_line.current, 'A')}"
            )
        roles: dict[str, str] = {}
        for role, one in self.connections():
            other = roles.setdefault(_canonical(one.address), role)
            if other != role:
                raise ValueError(
                    f"instruments.{role}.address: {one.address} already belongs to {other}"
                )
        seen: dict[str, str] = {}
        for name, junction in self.junctions.items():
            for channel in junction.channels:
                if channel in seen:
                    raise ValueError(
                        f"junctions.{name}.channels: {channel} already belongs to {seen[channel]}"
                    )
                seen[channel] = name
        return self

    def check_junction(self, name: str) -> None:
        """Raise BenchError if there is no such junction."""
        if name not in self.junctions:
            raise BenchError(
                f"no junction {name!r} in the bench file; there are {', '.join(self.junctions)}"
            )

    def check_current(self, largest_a: float) -> None:
        """Raise LimitError if a sweep to ``largest_a`` goes beyond the field line's limit."""
        limit = self.limits.field_line.current
        if largest_a > limit * (1 + 1e-9):
            raise LimitError(
                f"refused at field line: the sweep goes to {show(largest_a, 'A')}, above the limit "
                f"of {show(limit, 'A')}"
            )

    def connections(self) -> Iterator[tuple[str, Connection]]:
        """Role and connection of each instrument."""
        for role in Instruments.model_fields:
            yield role, getattr(self.instruments, role)


def _lines(node: yaml.Node | None, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], int]:
    """Line number of each key path of a YAML document; the empty path is where it begins.

    Raises:
        yaml.MarkedYAMLError: a key is given twice (YAML would take the last and say nothing).
    """
    found: dict[tuple[str, ...], int] = {}
    if node is not None and not path:
        found[path] = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            here = (*path, str(key.value))
            if here in found:
                problem = f"{'.'.join(here)}: is given twice, first in line {found[here]}"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
            found[here] = key.start_mark.line + 1
            found |= _lines(value, here)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            here = (*path, str(index))
            found[here] = value.start_mark.line + 1
            found |= _lines(value, here)
    return found


def _explain(error: ValidationError, lines: dict[tuple[str, ...], int], name: str) -> str:
    messages = []
    for one in error.errors():
        path = tuple(str(part) for part in one["loc"])
        text = one["msg"].removeprefix("Value error, ")
        if not path and ": " in text:  # a rule between keys names its key itself
            key, _, text = text.partition(": ")
            path = tuple(key.split("."))
        if one["type"] == "extra_forbidden":
            text = "no such key"
        elif one["type"] == "missing":
            text = "is missing"
        known = path
        while known not in lines and known:
            known = known[:-1]
        line = f", line {lines[known]}" if known in lines else ""
        messages.append(f"{name}{line}: {'.'.join(path)}: {text}")
    return "\n".join(messages)


def parse_bench_file(text: str, name: str = "bench.yaml") -> BenchFile:
    """Read the text of a bench file.

    Raises:
        BenchFileError: a line for each mistake.
    """
    try:
        data: Any = yaml.safe_load(text)
        lines = _lines(yaml.compose(text, Loader=yaml.SafeLoader))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "not YAML"
        raise BenchFileError(f"{name}{where}: {problem}") from None
    except RecursionError:
        raise BenchFileError(f"{name}: refers to itself without end") from None
    if not isinstance(data, dict):
        raise BenchFileError(f"{name}: expected keys such as 'backend' and 'instruments'")
    try:
        return BenchFile.model_validate(data)
    except ValidationError as error:
        raise BenchFileError(_explain(error, lines, name)) from None


def load_bench_file(path: str | Path | None) -> tuple[BenchFile, str]:
    """Read a bench file and its text; None is the demonstration bench.

    Raises:
        BenchFileError: missing, unreadable or wrong.
    """
    if path is None:
        text = files("instruments").joinpath("demo_bench.yaml").read_text(encoding="utf-8")
        return parse_bench_file(text, "the demonstration bench"), text
    try:
        text = Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise BenchFileError(f"{path}: not a text file") from None
    except OSError as error:
        raise BenchFileError(f"{path}: cannot be read ({error.strerror})") from None
    return parse_bench_file(text, str(path)), text
