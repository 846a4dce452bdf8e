"""pymeasure's properties, made strict.

As they come, many clip what is out of range without a word and send six digits.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from pymeasure.instruments.common_base import DynamicProperty
from pymeasure.instruments.validators import (
    strict_discrete_set,
    strict_range,
    truncated_discrete_set,
    truncated_range,
)

_STRICT = {truncated_range: strict_range, truncated_discrete_set: strict_discrete_set}
_DIGITS = "%.9g"


def _strict(one: property) -> property | None:
    """The property with a strict validator and enough digits; None: it has both."""
    if one.fset is None:
        return None
    given = {
        name: parameter.default
        for name, parameter in inspect.signature(one.fset).parameters.items()
    }
    command, validator = given.get("set_command"), given.get("validator")
    changed: dict[str, Any] = {}
    if validator in _STRICT:
        changed["validator"] = _STRICT[validator]
    if isinstance(command, str) and "%g" in command:
        changed["set_command"] = command.replace("%g", _DIGITS)
    if not changed:
        return None
    send: Callable[..., None] = one.fset

    def fset(self: object, value: object, **more: Any) -> None:
        send(self, value, **changed | more)

    if isinstance(one, DynamicProperty):
        dynamic: property = DynamicProperty(
            one.fget, fset, one.fdel, one.__doc__, one.fget_params_list, one.fset_params_list,
            one.prefix,
        )  # fmt: skip
        return dynamic
    return property(one.fget, fset, one.fdel, one.__doc__)


def make_strict(driver: type) -> None:
    """Give a driver strict properties in place of those that it inherits."""
    for name in dir(driver):
        one = inspect.getattr_static(driver, name)
        strict = _strict(one) if isinstance(one, property) else None
        if strict is not None:
            if isinstance(strict, DynamicProperty):
                strict.__set_name__(driver, name)
            setattr(driver, name, strict)
