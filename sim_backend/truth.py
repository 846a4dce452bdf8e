"""``sim.yaml``: what the simulated bench is made of.  Only this floor opens it."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pyvisa.rname import InvalidResourceName, ResourceName

from sim_backend.circuit import EARTH
from sim_backend.devices import Device, FieldLineModel, Junction
from sim_backend.faults_kinds import Faults, relay_name
from sim_backend.llg.equilibrium import mean
from sim_backend.llg.junction import JunctionModel
from sim_backend.llg.one_well import NoEquilibriumError
from sim_backend.llg.presets import find_preset
from sim_backend.llg.ranges import ParameterError
from sim_backend.llg.spread import Spread
from sim_backend.magnet import Physics
from sim_backend.read_noise import NoiseParameters
from sim_backend.truth_devices import DeviceEntry
from sim_backend.truth_yaml import read_yaml
from sim_backend.wording import why


def _no_word(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError(f"{value} is not a number; write it in SI units, without the unit")
    return value


NonNegative = Annotated[float, BeforeValidator(_no_word), Field(ge=0, le=1e6, allow_inf_nan=False)]


class TruthError(ValueError):
    """A ``sim.yaml`` that cannot be used; one sentence with file and key."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


#: what can be simulated: interface and class of resource
_KINDS = ("GPIB INSTR", "USB INSTR", "TCPIP INSTR", "TCPIP SOCKET", "ASRL INSTR")
_MOST_GPIB = 30  # primary addresses of IEEE 488.1


def _address(text: str) -> str:
    try:
        name = ResourceName.from_string(text)
    except InvalidResourceName:
        raise ValueError(f"{text!r} is no VISA address, such as GPIB0::24::INSTR") from None
    if f"{name.interface_type} {name.resource_class}" not in _KINDS:
        raise ValueError(f"{text!r} is not simulated; write one of {', '.join(_KINDS)}")
    for key, most in (("primary_address", _MOST_GPIB), ("port", 65535)):
        number = getattr(name, key, "0")
        if re.fullmatch(r"[0-9]{1,5}", number) is None or int(number) > most:
            what = key.replace("_", " ")
            raise ValueError(f"{text!r} has the {what} {number!r}; write 0 to {most}")
    return str(name)


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


Relay = Annotated[str, AfterValidator(relay_name)]


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

    seed: Annotated[int, BeforeValidator(_no_word)] = Field(0, ge=0)
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

    @model_validator(mode="before")
    @classmethod
    def _nothing_is_the_default(cls, data: Any) -> Any:
        """A key with nothing under it is as if it were not there."""
        return {k: v for k, v in data.items() if v is not None} if isinstance(data, dict) else data

    @model_validator(mode="after")
    def _each_relay_once(self) -> Truth:
        used: dict[str, str] = {}
        places = [
            (f"junctions.channels.{name}.{key}", getattr(channels, key))
            for name, channels in self.junctions.channels.items()
            for key in ("x", "z", "low")
        ]
        for place, relay in [*places, *((f"relays.{relay}", relay) for relay in self.relays)]:
            if relay in used:
                raise TruthError(f"{place}: relay {relay} is that of {used[relay]}; write another")
            used[relay] = place
        return self

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
        models = {name: drawn.one(at) for at, name in enumerate(given.channels)}
        for name, model in models.items() if self.physics == "equilibrium" else ():
            at_rest = model.ensemble(model.x.vcma_at_v, model.z.vcma_at_v).fields(np.zeros(1))[0]
            try:
                mean(at_rest)
            except NoEquilibriumError as error:
                raise TruthError(f"junctions: {name}: {error}") from None
        return [Junction(name, one, self.physics, self.seed) for name, one in models.items()]

    def make_devices(self) -> dict[str, Device]:
        """All else, by name."""
        return {name: entry.make(name, self.seed) for name, entry in self.devices.items()}


def truth_name(path: str | Path | None) -> str:
    """What messages call the file."""
    return str(path) if path else "the demonstration bench"


def _told(error: ValidationError) -> str:
    """The first mistake as one sentence, with its key and value."""
    first = error.errors()[0]
    place = [str(part) for part in first["loc"]]
    if place[:1] == ["devices"] and len(place) > 2:
        del place[2]  # pydantic names the kind too
    return ": ".join(part for part in (".".join(place), why(first)) if part)


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
        data = read_yaml(text)
    except OSError as error:
        raise TruthError(f"{name}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError as error:
        raise TruthError(f"{name}: not a YAML file ({error})") from None
    except ValueError as error:
        raise TruthError(f"{name}: {error}") from None
    if not isinstance(data, dict):
        raise TruthError(f"{name}: expected keys such as 'instruments' and 'junctions'")
    try:
        return Truth.model_validate(data | changes)
    except TruthError as error:
        raise TruthError(f"{name}: {error}") from None
    except ValidationError as error:
        raise TruthError(f"{name}: {' '.join(_told(error).split())}") from None
