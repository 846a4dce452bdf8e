"""``sim.yaml``: what the simulated bench is made of.  Only this floor opens it."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pyvisa.rname import InvalidResourceName, ResourceName

from sim_backend.circuit import EARTH
from sim_backend.devices import Device, FieldLineModel, Junction
from sim_backend.faults_kinds import Faults
from sim_backend.llg.junction import JunctionModel
from sim_backend.llg.presets import find_preset
from sim_backend.llg.ranges import ParameterError
from sim_backend.llg.spread import Spread
from sim_backend.magnet import Physics
from sim_backend.read_noise import NoiseParameters
from sim_backend.truth_devices import DeviceEntry

NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class TruthError(ValueError):
    """A ``sim.yaml`` that cannot be used; one sentence with file and key."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _address(text: str) -> str:
    try:
        return str(ResourceName.from_string(text))
    except InvalidResourceName:
        raise ValueError(f"{text!r} is no VISA address, such as GPIB0::24::INSTR") from None


class InstrumentEntry(_Model):
    """One instrument on the bus."""

    address: Annotated[str, AfterValidator(_address)]
    model: Literal[
        "keithley2182a", "keithley2400", "keithley2450", "keithley6221", "keithley7001",
        "yokogawags200",
    ]  # fmt: skip


class Costs(_Model):
    """Bench time that the bus takes; GPIB figures, from memory of comparable instruments."""

    message_s: NonNegative = Field(1e-3, description="one message or reply, s")
    byte_s: NonNegative = Field(20e-6, description="one byte of it, s")
    reading_s: NonNegative = Field(0.6e-3, description="one value of a buffer, s")
    settle_s: NonNegative = Field(1e-3, description="a source after a change of level, s")


def _relay(text: str) -> str:
    if re.fullmatch(r"[12]!([1-9]|[123][0-9]|40)", text) is None:
        raise ValueError(f"{text!r} is no relay: slot 1 or 2, '!', channel 1 to 40")
    return text


Relay = Annotated[str, AfterValidator(_relay)]


def _terminal(text: str) -> str:
    if text != EARTH and re.fullmatch(r"[^.\s]+\.[^.\s]+", text) is None:
        raise ValueError(f"{text!r} is no terminal; write earth or NAME.TERMINAL, such as x.hi")
    return text


Terminal = Annotated[str, AfterValidator(_terminal)]


class Channels(_Model):
    """Relays (``slot!channel``) that join a junction to meter x, meter z and the common low."""

    x: Relay
    z: Relay
    low: Relay


class Junctions(JunctionModel):
    """The junctions: nominal values, spread, wiring.

    In the file, ``preset: NAME`` stands for a preset's layers; what is written beside it counts.
    """

    spread: Spread = Spread()
    channels: dict[str, Channels]

    @model_validator(mode="before")
    @classmethod
    def _from_preset(cls, data: Any) -> Any:
        if not isinstance(data, dict) or "preset" not in data:
            return data
        written = {key: value for key, value in data.items() if key != "preset"}
        layers = find_preset(data["preset"]).model_dump(include={"layer", "x", "z"})
        for key, nominal in layers.items():
            given = written.get(key, {})
            written[key] = nominal | given if isinstance(given, dict) else given
        return written


class Truth(_Model):
    """The whole file."""

    seed: int = Field(0, ge=0)
    line_hz: Literal[50, 60] = 50
    instruments: dict[str, InstrumentEntry]
    field_source: str = "field"
    line: FieldLineModel = FieldLineModel()
    meter_x: str = "x"
    meter_z: str = "z"
    switch: str = "switch"
    read_noise_a: NonNegative = Field(
        3e-9, description="noise of a current reading at 1 NPLC, A; goes with 1/sqrt(NPLC)"
    )
    noise: NoiseParameters = NoiseParameters()
    costs: Costs = Costs()
    faults: Faults = Field((), description="what goes wrong, and when")
    junctions: Junctions
    devices: dict[str, DeviceEntry] = {}
    wires: list[tuple[Terminal, Terminal]] = Field(
        [], description="terminals that are joined for good, such as [gs.hi, coil.a]"
    )
    relays: dict[Relay, tuple[Terminal, Terminal]] = Field(
        {}, description="terminals that a relay joins, beside those of the junctions"
    )
    physics: Physics = "equilibrium"

    @model_validator(mode="after")
    def _one_well(self) -> Truth:
        hz_t = self.junctions.layer.hz_t
        if self.physics == "equilibrium" and hz_t <= 0:
            raise TruthError(
                f"junctions.layer.hz_t: {hz_t:g} T is out of range; physics: equilibrium needs it "
                "above 0 T, physics: wells or physics: llg does not"
            )
        return self

    def make_junctions(self) -> list[Junction]:
        """The junctions, drawn from the seed, under the field line."""
        given = self.junctions
        parts = {name: getattr(given, name) for name in JunctionModel.model_fields}
        nominal = self.line.give(JunctionModel(**parts))
        try:
            drawn = given.spread.draw(nominal, len(given.channels), self.seed)
        except ParameterError as error:
            raise TruthError(f"junctions.spread: it draws a junction whose {error}") from None
        return [
            Junction(name, drawn.one(at), self.physics, self.seed)
            for at, name in enumerate(given.channels)
        ]

    def make_devices(self) -> dict[str, Device]:
        """All else, by name."""
        return {name: entry.make(name, self.seed) for name, entry in self.devices.items()}


def truth_name(path: str | Path | None) -> str:
    """What messages call the file."""
    return str(path) if path else "the demonstration bench"


#: what to say in place of pydantic's words, by the type of its error
_WORDS = {
    "extra_forbidden": "there is no such key",
    "missing": "is missing; it is required",
    "model_type": "{input} is not a group of keys",
    "dict_type": "{input} is not a group of keys",
    "list_type": "{input} is not a list",
    "literal_error": "{input} is not one of {expected}",
    "union_tag_invalid": "kind {tag} is not one of {expected_tags}",
    "union_tag_not_found": "kind is missing; it is required",
    "int_parsing": "{input} is not a whole number",
    "int_type": "{input} is not a whole number",
    "float_parsing": "{input} is not a number; write it in SI units, without the unit",
    "float_type": "{input} is not a number; write it in SI units, without the unit",
    "greater_than": "{input} is out of range; it must be above {gt}",
    "greater_than_equal": "{input} is out of range; it must be at least {ge}",
    "finite_number": "{input} is not a finite number",
}


def _told(error: ValidationError) -> str:
    """The first mistake as one sentence, with its key and value."""
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    words = _WORDS.get(first["type"])
    if words is None:
        why = first["msg"].removeprefix("Value error, ")
        return f"{key}: {why}" if key else why
    given = repr(first["input"])
    given = given if len(given) <= 60 else f"{given[:57]}..."
    return f"{key}: {words.format(input=given, **first.get('ctx', {}))}"


def load_truth(path: str | Path | None, **changes: Any) -> Truth:
    """Read a ``sim.yaml``.

    Args:
        path: the file; None is the demonstration bench.
        changes: values that take the place of the file's (``seed``, ``physics``).

    Raises:
        TruthError: the file is missing, not YAML, or a value is wrong.
    """
    name = truth_name(path)
    try:
        text = (
            Path(path).read_text(encoding="utf-8")
            if path
            else files("sim_backend").joinpath("demo.yaml").read_text(encoding="utf-8")
        )
        data = yaml.safe_load(text)
    except OSError as error:
        raise TruthError(f"{name}: cannot be read ({error.strerror})") from None
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise TruthError(f"{name}: not a YAML file ({' '.join(str(error).split())})") from None
    if not isinstance(data, dict):
        raise TruthError(f"{name}: expected keys such as 'instruments' and 'junctions'")
    try:
        return Truth.model_validate(data | changes)
    except TruthError as error:
        raise TruthError(f"{name}: {error}") from None
    except ValidationError as error:
        raise TruthError(f"{name}: {_told(error)}") from None
