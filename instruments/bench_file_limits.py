"""The part ``limits`` of a bench file: what each node stands."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator

from instruments.units import (
    Ampere,
    AmpereOrVolt,
    AmperePerM2,
    AmperePerSecond,
    Kelvin,
    Ohm,
    Quantity,
    Second,
    SquareMetre,
    Volt,
    show,
)

#: The output's own rounding, and floating point: what is above a limit by less is at the limit.
TOLERANCE = 1e-9


class Strict(BaseModel):
    """A part of the bench file: no other keys than these, and never changed."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Duty(Strict):
    """How long the field line may be warm.

    In any window of a list, each point counted as long as ``timing`` says a point takes, the
    current may be above ``above`` for ``share`` of the window at most.
    """

    above: Ampere = Field(description="current above which the time counts, of either sign")
    share: Annotated[float, Field(gt=0, lt=1)] = Field(
        description="largest part of the window that may be above it"
    )
    window: Second = Field(description="the time over which the share is taken")


class FieldLineLimits(Strict):
    """What the field line stands."""

    current: Ampere = Field(description="largest current")
    current_density: AmperePerM2 | None = Field(
        None, description="largest current density; with cross_section, and the stricter one holds"
    )
    cross_section: SquareMetre | None = Field(
        None, description="cross-section of the line, for the current density"
    )
    step: Ampere = Field(description="largest step between two currents that follow each other")
    slew: AmperePerSecond | None = Field(
        None, description="largest step divided by the time since the step before"
    )
    duty: Duty | None = Field(None, description="how long the line may be warm")
    resistance: Ohm = Field(description="resistance of the line, for the voltage compliance")

    @property
    def largest_a(self) -> float:
        """Largest current, A: by ``current`` or by ``current_density``, the stricter one."""
        if self.current_density is None or self.cross_section is None:
            return self.current
        return min(self.current, self.current_density * self.cross_section)

    @property
    def reason(self) -> str:
        """In words, which limit the largest current comes from, if not from ``current``."""
        if self.current_density is None or self.largest_a == self.current:
            return ""
        return f" (current density {show(self.current_density, 'A/m²')})"

    @property
    def compliance_v(self) -> float:
        """Voltage compliance of the source: what the limit drives through the line, and a half."""
        return 1.5 * self.largest_a * self.resistance

    def step_within(self, seconds: float) -> float:
        """Largest step, A, that may follow ``seconds`` after the step before: step or slew."""
        return self.step if self.slew is None else min(self.step, self.slew * seconds)


class JunctionLimits(Strict):
    """What a junction stands."""

    voltage: Volt = Field(description="largest voltage across a barrier")
    current: Ampere = Field(description="largest current through a barrier")


class OwnJunctionLimits(Strict):
    """What one junction stands, where it differs from the others."""

    voltage: Volt | None = Field(None, description="largest voltage across this barrier")
    current: Ampere | None = Field(None, description="largest current through this barrier")

    def over(self, general: JunctionLimits) -> JunctionLimits:
        """With what the others stand where nothing is said."""
        own = self.model_dump(exclude_none=True)
        return general.model_copy(update=own) if own else general


class SourceLimits(Strict):
    """What a bias magnet or a polarizer stands, as a current or as a voltage."""

    level: AmpereOrVolt = Field(
        description="largest level; a current is sourced if it is in A, a voltage if in V"
    )
    step: AmpereOrVolt | None = Field(
        None, description="largest step between two levels that follow each other"
    )
    compliance: AmpereOrVolt = Field(
        description="largest compliance that may be set: in V for a current, in A for a voltage"
    )

    @field_validator("step", "compliance")
    @classmethod
    def _has_the_unit(cls, value: Quantity | None, info: object) -> Quantity | None:
        level = getattr(info, "data", {}).get("level")
        if level is None or value is None:
            return value
        own = getattr(info, "field_name", "") == "step"
        unit = level.unit if own else "VA"["AV".index(level.unit)]
        if value.unit != unit:
            raise ValueError(f"{value} is not a quantity in {unit}, with a level of {level}")
        return value


class Limits(Strict):
    """Limits per node.  What is above them is refused, never clipped."""

    field_line: FieldLineLimits
    junction: JunctionLimits
    bias: SourceLimits | None = Field(None, description="of the bias magnet")
    polarizer: SourceLimits | None = Field(None, description="of the polarizer")
    temperature: Kelvin | None = Field(
        None, description="of the thermometer: above it nothing is armed and no list starts"
    )
