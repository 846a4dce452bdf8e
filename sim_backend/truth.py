"""``sim.yaml``: what the simulated bench is made of.  Only this floor opens it."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pyvisa.rname import InvalidResourceName, ResourceName

from sim_backend.llg.model import FreeLayer
from sim_backend.llg.presets import find_preset
from sim_backend.noise import generator
from sim_backend.readout import ReferenceLayer

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


class Spread(_Model):
    """How junctions differ: standard deviations, cut off at two of them.

    Relative ones multiply the nominal value by 1 + spread·N(0, 1); ``*_rad`` ones add.
    """

    fields: NonNegative = Field(0.10, description="k, k2 and hz together")
    each_field: NonNegative = Field(0.05, description="k, k2 and hz, each for itself")
    field_constant: NonNegative = Field(0.03, description="field line's constant")
    tilt_rad: NonNegative = Field(0.006, description="tilt of the field, rad")
    resistance: NonNegative = Field(0.10, description="R_P of each barrier")
    tmr: NonNegative = Field(0.05, description="TMR of each barrier")
    reference_rad: NonNegative = Field(0.02, description="direction of each reference layer, rad")


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


class Junctions(_Model):
    """The junctions: nominal values, spread, wiring.

    In the file, ``preset: NAME`` stands for a preset's layers; what is written beside it counts.
    """

    layer: FreeLayer = FreeLayer()
    x: ReferenceLayer = ReferenceLayer(angle_rad=np.pi / 2)
    z: ReferenceLayer = ReferenceLayer()
    common_ohm: NonNegative = Field(6.0, description="shared electrode to low, ohm")
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
    physics: Literal["equilibrium", "llg"] = "equilibrium"
    instruments: dict[str, InstrumentEntry]
    field_source: str = "field"
    field_line_ohm: Positive = 50.0
    meter_x: str = "x"
    meter_z: str = "z"
    switch: str = "switch"
    read_noise_a: NonNegative = Field(
        3e-9, description="noise of a current reading at 1 NPLC, A; goes with 1/sqrt(NPLC)"
    )
    costs: Costs = Costs()
    junctions: Junctions


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

    def __init__(self, name: str, truth: Truth, rng: np.random.Generator) -> None:
        nominal, spread = truth.junctions, truth.junctions.spread

        def draw() -> float:
            return float(np.clip(rng.standard_normal(), -2, 2))

        def near(value: float, relative: float) -> float:
            return value * (1 + relative * draw())

        common = 1 + spread.fields * draw()
        layer = nominal.layer
        self.name = name
        self.layer = layer.model_copy(
            update={
                "k_t": common * near(layer.k_t, spread.each_field),
                "k2_t": common * near(layer.k2_t, spread.each_field),
                "hz_t": common * near(layer.hz_t, spread.each_field),
                "field_constant_t_per_a": near(layer.field_constant_t_per_a, spread.field_constant),
                "tilt_rad": layer.tilt_rad + spread.tilt_rad * draw(),
            }
        )
        self.x, self.z = (
            reference.model_copy(
                update={
                    "r_parallel_ohm": near(reference.r_parallel_ohm, spread.resistance),
                    "tmr": near(reference.tmr, spread.tmr),
                    "angle_rad": reference.angle_rad + spread.reference_rad * draw(),
                }
            )
            for reference in (nominal.x, nominal.z)
        )
        self.channels = nominal.channels[name]
        self.common_ohm = nominal.common_ohm
        self.m = np.array([0.0, 0.0, 1.0])
        self.rests_at_a = 0.0  # the field-line current that goes with m
        self.broken = False


def make_junctions(truth: Truth) -> list[Junction]:
    """The junctions of a bench, drawn from the stream "junctions" of its seed."""
    rng = generator(truth.seed, "junctions")
    return [Junction(name, truth, rng) for name in truth.junctions.channels]
