"""``sim.yaml``: what the simulated bench is made of.  Only this floor opens it."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pyvisa.rname import InvalidResourceName, ResourceName

from sim_backend.llg.junction import JunctionModel
from sim_backend.llg.presets import find_preset
from sim_backend.llg.spread import Spread
from sim_backend.magnet import FreeMagnet, Levels, Physics
from sim_backend.read_noise import NoiseParameters, ReadNoise, conductance_deviation_s
from sim_backend.readout import ReferenceLayer

Array = NDArray[np.float64]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


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
    model: Literal["keithley2400", "keithley6221", "keithley7001"]


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
    field_line_ohm: Positive = 50.0
    meter_x: str = "x"
    meter_z: str = "z"
    switch: str = "switch"
    read_noise_a: NonNegative = Field(
        3e-9, description="noise of a current reading at 1 NPLC, A; goes with 1/sqrt(NPLC)"
    )
    noise: NoiseParameters = NoiseParameters()
    costs: Costs = Costs()
    junctions: Junctions
    # The last key: it looks at the junctions.
    physics: Physics = Field("equilibrium", validate_default=True)

    @field_validator("physics")
    @classmethod
    def _one_well(cls, physics: Physics, info: ValidationInfo) -> Physics:
        junctions = info.data.get("junctions")
        if junctions is not None and physics == "equilibrium" and junctions.layer.hz_t <= 0:
            raise ValueError(
                f"hz_t is {junctions.layer.hz_t:g} T; physics: equilibrium needs it above 0 T, "
                "physics: wells or physics: llg does not"
            )
        return physics


def truth_name(path: str | Path | None) -> str:
    """What messages call the file."""
    return str(path) if path else "the demonstration bench"


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
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        why = first["msg"].removeprefix("Value error, ")
        raise TruthError(f"{name}: {key}: {why}") from None


class Junction:
    """One junction of the bench: its truth, and the state that it is in."""

    def __init__(self, name: str, model: JunctionModel, truth: Truth) -> None:
        self.name, self.model = name, model
        self.channels = truth.junctions.channels[name]
        self.magnet = FreeMagnet(name, model, truth.physics, truth.seed)
        self.broken = False
        #: by side, if there is any beside the meter's own
        self.noise: dict[str, ReadNoise] = {}
        if truth.noise.any:
            self.noise = {
                side: ReadNoise(
                    truth.noise, truth.seed, f"{name}/{side}", area_m2=model.layer.area_m2,
                    temperature_k=model.layer.temperature_k,
                )
                for side in ("x", "z")
            }  # fmt: skip

    def deviation_s(
        self, side: str, levels: Levels, rest: Array, b_t: Array, v: dict[str, float]
    ) -> Array:
        """Deviation of a reading's conductance by thermal motion, S, [P]."""
        if not self.noise[side].parameters.magnetisation:
            return np.zeros(len(rest))
        reference: ReferenceLayer = getattr(self.model, side)
        fields = self.magnet.ensemble(v["x"], v["z"]).fields(levels.current_a)[0]
        return conductance_deviation_s(reference, fields, rest, b_t, v[side], levels.window_s)


def make_junctions(truth: Truth) -> list[Junction]:
    """The junctions of a bench, drawn from its seed."""
    all_of = truth.junctions
    nominal = JunctionModel(
        layer=all_of.layer, x=all_of.x, z=all_of.z, common_ohm=all_of.common_ohm
    )
    drawn = all_of.spread.draw(nominal, len(all_of.channels), truth.seed)
    return [Junction(name, drawn.one(at), truth) for at, name in enumerate(all_of.channels)]
