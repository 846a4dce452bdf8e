"""Entries of ``devices`` in a ``sim.yaml``: things at the bench beside junctions and field line."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from sim_backend.devices import (
    BiasMagnet,
    BiasMagnetModel,
    Device,
    OpenContact,
    OpenContactModel,
    Polarizer,
    PolarizerModel,
    Resistor,
    ResistorModel,
    Thermometer,
    ThermometerModel,
)


class ResistorEntry(ResistorModel):
    """``kind: resistor``."""

    kind: Literal["resistor"]

    def make(self, name: str, seed: int) -> Device:
        """The device."""
        return Resistor(name, self)


class OpenContactEntry(OpenContactModel):
    """``kind: open_contact``."""

    kind: Literal["open_contact"]

    def make(self, name: str, seed: int) -> Device:
        """The device."""
        return OpenContact(name, self)


class ThermometerEntry(ThermometerModel):
    """``kind: thermometer``."""

    kind: Literal["thermometer"]

    def make(self, name: str, seed: int) -> Device:
        """The device."""
        return Thermometer(name, self)


class BiasMagnetEntry(BiasMagnetModel):
    """``kind: bias_magnet``: it acts on all junctions."""

    kind: Literal["bias_magnet"]

    def make(self, name: str, seed: int) -> Device:
        """The device."""
        return BiasMagnet(name, self)


class PolarizerEntry(PolarizerModel):
    """``kind: polarizer``: it turns one reference layer of some junctions."""

    kind: Literal["polarizer"]
    turns: dict[str, Literal["x", "z"]] = Field(
        description="the reference layer that it turns, by junction"
    )

    def make(self, name: str, seed: int) -> Device:
        """The device."""
        return Polarizer(name, self, seed)


DeviceEntry = Annotated[
    ResistorEntry | OpenContactEntry | ThermometerEntry | BiasMagnetEntry | PolarizerEntry,
    Field(discriminator="kind"),
]
