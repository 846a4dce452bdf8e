"""What an instrument reports, against what it was told and what its node stands.

Only what is live counts: an output that is off hurts nobody, and is not switched on before its
settings are right.  And only where the bench has set something itself: what somebody else left is
looked at, and set right before anything goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from instruments.limits_nodes import Node
from instruments.limits_shadow import Shadow
from instruments.units import show

_LEVEL_SHARE = 1e-3  # of the largest level: instruments round to their programming step
_COMPLIANCE_SHARE = 0.01  # a compliance is rounded more coarsely
_RANGE_SHARE = 0.06  # ranges hold 5 % more than their name, and some say so
_READING_SHARE = 0.1  # a reading has an error of its own


def contradiction(node: Node, shadow: Shadow, name: str, value: Any) -> str:
    """What is wrong with a field of the shadow as it is reported now; "" if nothing is.

    Args:
        node: what the output acts on.
        shadow: what was known before.
        name: of the field.
        value: as reported; None if the answer says nothing.
    """
    look = _LOOKS.get(name)
    if look is None or value is None or not shadow.told or not node.unit:
        return ""
    if name != "output" and shadow.output is False:
        return ""
    return look(node, shadow, value)


def _output(node: Node, shadow: Shadow, value: bool) -> str:
    if "output" in shadow.told and value is not shadow.output:
        return f"its output reads back {'on' if value else 'off'}, unlike it was told"
    return ""


def _function(node: Node, shadow: Shadow, value: str) -> str:
    if "function" in shadow.told and value != shadow.function:
        return f"it reads back to source {value}, not {shadow.function}"
    return ""


def _level(node: Node, shadow: Shadow, value: float) -> str:
    if shadow.function not in (None, node.function):
        return ""  # this level is not what it puts out
    told = shadow.level if "level" in shadow.told else None
    if told is not None and abs(value - told) > _LEVEL_SHARE * node.most:
        return f"its level reads back {show(value, node.unit)}, not {show(told, node.unit)}"
    if abs(value) > node.most * (1 + _LEVEL_SHARE):
        return f"its level reads back {node.too_high(value)}"
    return ""


def _compliance(node: Node, shadow: Shadow, value: float) -> str:
    told = shadow.compliance if "compliance" in shadow.told else None
    if told is not None and abs(value - told) > _COMPLIANCE_SHARE * abs(told):
        back, was = show(value, node.other), show(told, node.other)
        return f"its compliance reads back {back}, not {was}"
    if value > node.compliance * (1 + _COMPLIANCE_SHARE):
        return f"its {node.loose(value)}, as it reads back"
    return ""


def _range(node: Node, shadow: Shadow, value: float) -> str:
    if node.range is not None and value > node.range * (1 + _RANGE_SHARE):
        return f"its range reads back {show(value, node.unit)}, which is no fuse"
    return ""


_LOOKS: Mapping[str, Callable[[Node, Shadow, Any], str]] = {
    "output": _output, "function": _function, "level": _level, "compliance": _compliance,
    "range": _range,
}  # fmt: skip


def too_much(node: Node, reading: float | None) -> str:
    """What is wrong with a reading of what the compliance limits; "" if nothing is."""
    if reading is None or not node.unit or abs(reading) <= node.compliance * (1 + _READING_SHARE):
        return ""
    limit = show(node.compliance, node.other)
    return f"it reads {show(reading, node.other)}, above the limit of {limit}"
