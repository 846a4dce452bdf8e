"""``bench.yaml``: what the lab knows of its bench.  One message with file, line and key for each
mistake."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError, field_validator, model_validator

from instruments.bench_file_limits import (
    TOLERANCE,
    JunctionLimits,
    Limits,
    OwnJunctionLimits,
    Strict,
)
from instruments.bench_file_rules import canonical, mistakes
from instruments.bench_file_text import Mistake, read, sentence, told
from instruments.drivers import DRIVERS
from instruments.errors import BenchError, BenchFileError, LimitError
from instruments.units import Ampere, Hertz, Ohm, OhmOrZero, Second, Volt, show

_LONGEST_SETTLE_S = 10.0


class Connection(Strict):
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
        if canonical(value).upper().endswith("SOCKET"):
            raise ValueError(
                "a raw socket has no serial poll and no device clear; "
                "use the instrument's GPIB, USB, HiSLIP or VXI-11 address"
            )
        return value


class Instruments(Strict):
    """The roles of the bench and who fills them."""

    field: Connection = Field(description="current source on the field line")
    x: Connection = Field(description="source-meter on the x-reference layer")
    z: Connection = Field(description="source-meter on the z-reference layer")
    switch: Connection = Field(description="switch between the meters and the junctions")
    bias: Connection | None = Field(None, description="source of a bias magnet")
    polarizer: Connection | None = Field(
        None, description="source of the pulses that turn a reference layer"
    )
    thermometer: Connection | None = Field(None, description="meter that reads the temperature")

    def connections(self) -> Iterator[tuple[str, Connection]]:
        """Role and connection of each instrument that is there."""
        for role in type(self).model_fields:
            one: Connection | None = getattr(self, role)
            if one is not None:
                yield role, one


class Readout(Strict):
    """How the junctions are read."""

    voltage: Volt = Field(description="read voltage at each reference layer")
    lowest_resistance: Ohm = Field(description="lowest resistance expected; sets the compliance")
    common_resistance: OhmOrZero = Field(
        description="from the junctions' shared electrode to the meters' low"
    )
    trip_share: Annotated[float, Field(ge=0, le=1)] = Field(
        0.5,
        description="the bench trips when more than this share of a list's readings is in "
        "compliance or above the range; 1: never",
    )
    fetch: Literal["once", "compared"] = Field(
        "once",
        description="compared: the meters' readings are fetched until two fetches are alike, at "
        "most three times",
    )

    @property
    def compliance_a(self) -> float:
        """Current compliance of the meters: half as much again as the largest expected."""
        return 1.5 * self.voltage / self.lowest_resistance


class Timing(Strict):
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


class Calibration(Strict):
    """The sweep from which a junction is calibrated."""

    range: Ampere = Field(description="largest field-line current, both signs")
    points: Annotated[int, Field(ge=21, le=1201)] = 121


class Junction(Strict):
    """One junction: the relays that join it to meter x, meter z and the common low."""

    channels: Annotated[tuple[str, ...], Field(min_length=1)]
    limits: OwnJunctionLimits | None = Field(
        None, description="what this junction stands, where it differs from limits.junction"
    )


class BenchFile(Strict):
    """The whole file."""

    name: str = "bench"
    backend: Literal["real", "sim", "replay"]
    sim: str | None = Field(None, description="the simulated bench's file, beside this one")
    visa: str = Field(
        "", description="VISA library of a real bench: '@py', a file, or '' for the installed one"
    )
    instruments: Instruments
    limits: Limits
    readout: Readout
    timing: Timing
    calibration: Calibration
    junctions: Annotated[dict[str, Junction], Field(min_length=1)]

    @model_validator(mode="after")
    def _fits_together(self) -> BenchFile:
        """However it was made, what must hold between keys holds."""
        wrong = mistakes(dict(self))
        if wrong:
            raise ValueError("; ".join(f"{key}: {text}" for key, text in wrong))
        return self

    def check_junction(self, name: str) -> None:
        """Raise BenchError if there is no such junction."""
        if name not in self.junctions:
            raise BenchError(
                f"no junction {name!r} in the bench file; there are {', '.join(self.junctions)}"
            )

    def check_current(self, largest_a: float) -> None:
        """Raise LimitError if a sweep to ``largest_a`` goes beyond the field line's limit."""
        line = self.limits.field_line
        if largest_a > line.largest_a * (1 + TOLERANCE):
            raise LimitError(
                f"refused at field line: the sweep goes to {show(largest_a, 'A')}, above the limit "
                f"of {show(line.largest_a, 'A')}{line.reason}"
            )

    def junction_limits(self, name: str) -> JunctionLimits:
        """What a junction stands: its own limits, else those of all."""
        own = self.junctions[name].limits
        return self.limits.junction if own is None else own.over(self.limits.junction)

    def read_with(self, nplc: float | None, voltage_v: float | None) -> BenchFile:
        """The same bench, read with another integration time or voltage; None: as it stands.

        Raises:
            LimitError: a limit forbids it.
        """
        line, timing = self.limits.field_line, self.timing
        if nplc is not None and nplc > timing.nplc and line.duty is not None:
            raise LimitError(
                f"refused at field line: its duty is counted with {timing.nplc:g} NPLC, and "
                f"{nplc:g} NPLC would keep it warm for longer; set timing.nplc in the bench file"
            )
        changed = self.model_copy(
            update={
                "timing": timing.model_copy(update={} if nplc is None else {"nplc": nplc}),
                "readout": self.readout.model_copy(
                    update={} if voltage_v is None else {"voltage": voltage_v}
                ),
            }
        )
        for key, text in mistakes(dict(changed)):
            raise LimitError(f"refused: {key}: {text}")
        return changed

    def connections(self) -> Iterator[tuple[str, Connection]]:
        """Role and connection of each instrument."""
        return self.instruments.connections()


def parse_bench_file(text: str, name: str = "bench.yaml") -> BenchFile:
    """Read the text of a bench file.

    Raises:
        BenchFileError: a line for each mistake.
    """
    try:
        data, lines, twice = read(text)
    except Mistake as error:
        raise BenchFileError(f"{name}{error}") from None
    if not twice:
        with contextlib.suppress(ValidationError):
            return BenchFile.model_validate(data)
    sections, found = _sections(data)
    found += [(tuple(key.split(".")), text) for key, text in mistakes(sections)]
    wrong = [sentence(name, path, text, lines) for path, text in found]
    wrong += [sentence(name, path, text, {path: line}) for path, line, text in twice]
    raise BenchFileError("\n".join(dict.fromkeys(wrong)))


def _sections(data: dict[Any, Any]) -> tuple[dict[str, Any], list[tuple[tuple[str, ...], str]]]:
    """The parts of a file that are right in themselves, and what is wrong with the others."""
    sections: dict[str, Any] = {}
    found: list[tuple[tuple[str, ...], str]] = []
    for key, field in BenchFile.model_fields.items():
        if key not in data:
            if field.is_required():
                found.append(((key,), "is missing"))
            else:
                sections[key] = field.default
            continue
        try:
            kind: TypeAdapter[Any] = TypeAdapter(
                Annotated[field.annotation, field]  # type: ignore[arg-type]  # no form for mypy
            )
            sections[key] = kind.validate_python(data[key])
        except ValidationError as error:
            found += [((key, *path), text) for path, text in told(error)]
    found += [((str(key),), "no such key") for key in data if key not in BenchFile.model_fields]
    return sections, found


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
