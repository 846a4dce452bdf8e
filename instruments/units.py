"""Quantities with their units, as people write them: ``10 mA``, ``0.5 V``, ``2 ms``."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from functools import cache
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema


@cache
def _registry() -> Any:
    import pint  # a second to load: only who reads quantities pays for it

    return pint.UnitRegistry()


# A number and a unit.  pint itself would also work sums out.
_QUANTITY = re.compile(
    r"\s*([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)\s*([^\W\d_]*)\s*"
)


def to_si(text: str, unit: str) -> float:
    """The number of ``unit`` (an SI unit) in a text such as ``10 mA``.

    Raises:
        ValueError: no number, no unit, or a unit of another kind.
    """
    import pint

    found = _QUANTITY.fullmatch(str(text))
    example = f"write a number and its unit, such as '10 m{unit}'"
    if found is None:
        raise ValueError(f"{text!r} is not a quantity; {example}")
    if not found[2]:
        raise ValueError(f"{text!r} has no unit; {example}")
    try:
        value = float(_registry().Quantity(float(found[1]), found[2]).to(unit).magnitude)
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


def _parser(unit: str) -> Callable[[Any], float]:
    def parse(value: Any) -> float:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            raise ValueError(f"{value} has no unit; write it with one, such as '10 m{unit}'")
        return to_si(value, unit)

    return parse


def _schema(unit: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "description": f"a quantity in {unit}, with its unit"})


Ampere = Annotated[float, BeforeValidator(_parser("A")), _schema("A"), Field(gt=0)]
Volt = Annotated[float, BeforeValidator(_parser("V")), _schema("V"), Field(gt=0)]
Ohm = Annotated[float, BeforeValidator(_parser("ohm")), _schema("ohm"), Field(gt=0)]
OhmOrZero = Annotated[float, BeforeValidator(_parser("ohm")), _schema("ohm"), Field(ge=0)]
Second = Annotated[float, BeforeValidator(_parser("s")), _schema("s"), Field(gt=0)]
Hertz = Annotated[float, BeforeValidator(_parser("Hz")), _schema("Hz"), Field(gt=0)]
