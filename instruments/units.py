"""Quantities with their units, as people write them: ``10 mA``, ``5 mA/s``, ``0.2 um^2``."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from functools import cache
from typing import Annotated, Any, NamedTuple

from pydantic import BeforeValidator, Field, InstanceOf, WithJsonSchema


@cache
def _registry() -> Any:
    import pint  # a second to load: only who reads quantities pays for it

    return pint.UnitRegistry()


# A number and a unit: words, each with a power, one over or times another.  pint itself would also
# work sums out.
_WORD = r"°?[^\W\d_]+(?:(?:\^|\*\*)[1-9])?"
_NUMBER = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
_QUANTITY = re.compile(rf"\s*({_NUMBER})\s*((?:{_WORD}(?:\s*[/*·]\s*{_WORD})*)?)\s*")
# As people write them -> as pint reads them.
_SPELLED = (("²", "**2"), ("³", "**3"), ("Ohm", "ohm"), ("°C", "degC"))


_EXAMPLES = {"K": "300 K", "A/m²": "1e11 A/m^2", "m²": "0.2 um^2"}


def _spelled(unit: str) -> str:
    for written, read in _SPELLED:
        unit = unit.replace(written, read)
    return unit


def to_si(text: str, unit: str) -> float:
    """The number of ``unit`` (an SI unit) in a text such as ``10 mA``.

    Raises:
        ValueError: no number, no unit, or a unit of another kind.
    """
    import pint

    found = _QUANTITY.fullmatch(str(text))
    example = f"write a number and its unit, such as '{_EXAMPLES.get(unit, f'10 m{unit}')}'"
    if found is None:
        raise ValueError(f"{text!r} is not a quantity; {example}")
    if not found[2]:
        raise ValueError(f"{text!r} has no unit; {example}")
    try:
        quantity = _registry().Quantity(float(found[1]), _spelled(found[2]))
        value = float(quantity.to(_spelled(unit)).magnitude)
    except pint.DimensionalityError:
        raise ValueError(f"{text!r} is not a quantity in {unit}; {example}") from None
    except Exception:  # whatever pint makes of a unit that it does not know
        raise ValueError(f"{text!r} is not a quantity; {example}") from None
    if not math.isfinite(value):
        raise ValueError(f"{text!r} is not finite; {example}")
    return value


def show(value: float, unit: str) -> str:
    """A value with an engineering prefix: ``show(0.012, "A")`` is ``12 mA``."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g} {unit}"
    prefixes = {-12: "p", -9: "n", -6: "µ", -3: "m", 0: "", 3: "k", 6: "M", 9: "G"}
    power = max(-12, min(9, 3 * math.floor(math.log10(abs(value) * (1 + 1e-12)) / 3)))
    return f"{value / 10.0**power:.6g} {prefixes[power]}{unit}"


class Quantity(NamedTuple):
    """A value with its SI unit, where a key takes more than one kind."""

    value: float
    unit: str

    def __str__(self) -> str:
        return show(self.value, self.unit)


def _parser(unit: str) -> Callable[[Any], float]:
    def parse(value: Any) -> float:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            example = f"such as '{_EXAMPLES.get(unit, f'10 m{unit}')}'"
            raise ValueError(f"{value} has no unit; write it with one, {example}")
        return to_si(value, unit)

    return parse


def _ampere_or_volt(value: Any) -> Quantity:
    if isinstance(value, Quantity):
        return value
    problem = ""
    for unit in ("A", "V"):
        try:
            found = Quantity(_parser(unit)(value), unit)
        except ValueError as error:
            problem = str(error)
            continue
        if found.value <= 0:
            raise ValueError("Input should be greater than 0")
        return found
    raise ValueError(problem.replace("in V;", "in A or V;"))


def _schema(unit: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "description": f"a quantity in {unit}, with its unit"})


Ampere = Annotated[float, BeforeValidator(_parser("A")), _schema("A"), Field(gt=0)]
Volt = Annotated[float, BeforeValidator(_parser("V")), _schema("V"), Field(gt=0)]
Ohm = Annotated[float, BeforeValidator(_parser("ohm")), _schema("ohm"), Field(gt=0)]
OhmOrZero = Annotated[float, BeforeValidator(_parser("ohm")), _schema("ohm"), Field(ge=0)]
Second = Annotated[float, BeforeValidator(_parser("s")), _schema("s"), Field(gt=0)]
Kelvin = Annotated[float, BeforeValidator(_parser("K")), _schema("K"), Field(gt=0)]
AmperePerSecond = Annotated[float, BeforeValidator(_parser("A/s")), _schema("A/s"), Field(gt=0)]
AmperePerM2 = Annotated[float, BeforeValidator(_parser("A/m²")), _schema("A/m²"), Field(gt=0)]
SquareMetre = Annotated[float, BeforeValidator(_parser("m²")), _schema("m²"), Field(gt=0)]
AmpereOrVolt = Annotated[
    InstanceOf[Quantity], BeforeValidator(_ampere_or_volt), _schema("A or in V")
]
Hertz = Annotated[float, BeforeValidator(_parser("Hz")), _schema("Hz"), Field(gt=0)]
