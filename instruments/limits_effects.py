"""What each effect of the allow-list checks, and what is known afterwards."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from instruments.limits_allowed import Effect
from instruments.limits_rules import Refused, Rules
from instruments.limits_shadow import SWITCH, Shadow, relays
from instruments.message import number, numbers
from instruments.units import show

Array = NDArray[np.float64]
_MODES = {"FIX": "FIX", "FIXED": "FIX", "LIST": "LIST"}


def _value(text: str) -> float:
    value = number(text)
    if value is None:
        raise Refused(f"{text!r} is not a number")
    return value


def _values(text: str) -> Array:
    values = numbers(text)
    if values is None:
        bad = next(part for part in text.split(",") if number(part) is None)
        raise Refused(f"{bad!r} is not a number")
    return values


def _level(rules: Rules, shadow: Shadow, text: str) -> Shadow:
    value = _value(text)
    now = rules.now_s()
    if value == 0:  # always, whatever is not known
        return shadow.tell("level", value, moved_s=now)
    node = rules.node
    if abs(value) > node.top:
        raise Refused(node.too_high(value))
    rules.at_rest(shadow)
    if shadow.output is not False:
        rules.fuse(node, shadow)
        rules.step(node, shadow.level, value)
        rules.slew(node, shadow, shadow.level or 0.0, value)
        rules.hold(node, shadow.level or 0.0, value)
    return shadow.tell("level", value, moved_s=now)


def _range(rules: Rules, shadow: Shadow, text: str) -> Shadow:
    value, node = _value(text), rules.node
    if node.range is not None and abs(value) > node.range:
        raise Refused(f"range {show(value, 'V')} is no fuse, use 200 mV")
    return shadow.tell("range", value)


def _compliance(rules: Rules, shadow: Shadow, text: str) -> Shadow:
    value = _value(text)
    loose = rules.node.loose(value)
    if loose:
        raise Refused(loose)
    return shadow.tell("compliance", value)


def _list_compliance(rules: Rules, shadow: Shadow, text: str) -> Shadow:
    value = float(np.abs(_values(text)).max())
    loose = rules.node.loose(value)
    if loose:
        raise Refused(loose)
    return shadow.set(list_compliance=max(value, shadow.list_compliance or 0.0))


def _function(rules: Rules, shadow: Shadow, text: str) -> Shadow:
    function = rules.node.function
    if not text.upper().startswith(function):
        word = "voltage" if function == "VOLT" else "current"
        raise Refused(f"only a {word} may be sourced there")
    if shadow.output:  # an instrument may switch it off at that
        shadow = shadow.set(output=None, told=shadow.told - {"output"})
    return shadow.tell("function", function)


def _output(rules: Rules, shadow: Shadow, text: str) -> Shadow:
    on = SWITCH.get(text.upper())
    if on is None:
        raise Refused(f"{text!r} is neither ON nor OFF")
    if on:
        rules.output_on(shadow)
    if on is not shadow.output:  # the level comes or goes with it
        shadow = shadow.moved(rules.now_s())
    return shadow.tell("output", on)


def _list(rules: Rules, shadow: Shadow, text: str) -> Shadow:
    levels = _values(text)
    rules.levels(rules.node, levels)
    return _unarmed(rules, shadow.set(levels=levels))


def _unarmed(rules: Rules, shadow: Shadow) -> Shadow:
    """With another list than the armed one, which an instrument that arms may keep."""
    return shadow.set(mode=None) if Effect.ARM in rules.allowed.commands.values() else shadow


def _append(rules: Rules, shadow: Shadow, text: str) -> Shadow:
    added = _values(text)
    if not len(shadow.levels):
        raise Refused("the list that it adds to is not known")
    # Of what was there before, only the last is a neighbour.
    joined = np.concatenate((shadow.levels[-1:], added))
    rules.levels(rules.node, joined)
    return _unarmed(rules, shadow.set(levels=np.concatenate((shadow.levels, added))))


def _delay(rules: Rules, shadow: Shadow, text: str) -> Shadow:
    return shadow.set(delays=_values(text))


def _append_delay(rules: Rules, shadow: Shadow, text: str) -> Shadow:
    return shadow.set(delays=np.concatenate((shadow.delays, _values(text))))


def _arm(rules: Rules, shadow: Shadow, text: str) -> Shadow:
    # As a 2450 has it (6-85): where in the list it begins, a delay, how often.
    first, _, often, *_ = (*text.split(","), "", "")
    if any(word.strip() not in ("", "1") for word in (first, often)):
        raise Refused("a list may go from its first level and once; between two runs it would jump")
    rules.whole_list(shadow)
    if not shadow.output:
        shadow = shadow.moved(rules.now_s())
    return shadow.set(output=True, mode="LIST")


def _mode(rules: Rules, shadow: Shadow, text: str) -> Shadow:
    mode = _MODES.get(text.upper())
    if mode is None:
        raise Refused("only FIX or LIST may be set there")
    return shadow.set(mode=mode)


def _start(rules: Rules, shadow: Shadow, text: str) -> Shadow:
    if Effect.MODE in rules.allowed.commands.values() and shadow.mode != "LIST":
        rules.fixed(shadow)
        return shadow  # the level stays
    if Effect.ARM in rules.allowed.commands.values() and shadow.mode != "LIST":
        raise Refused("the list has not been armed")  # what somebody else has armed would start
    past = rules.whole_list(shadow)  # as strict as to arm: it may have been changed since
    return shadow.set(
        level=float(shadow.levels[-1]), running=True, told=shadow.told - {"level"}, moved_s=None,
        held_s=float(shadow.delays[-1]) if len(shadow.delays) else 0.0, past=past,
    )  # fmt: skip


def _abort(rules: Rules, shadow: Shadow, text: str) -> Shadow:
    return shadow.aborted()


def _open(rules: Rules, shadow: Shadow, text: str) -> Shadow:
    rules.dead()
    if text.upper() == "ALL":
        return shadow.set(closed=frozenset())
    return shadow.set(closed=None if shadow.closed is None else shadow.closed - relays(text))


def _close(rules: Rules, shadow: Shadow, text: str) -> Shadow:
    rules.dead()
    if shadow.closed is None:
        raise Refused("the closed relays are not known; read them first")
    closed = shadow.closed | relays(text)
    if not rules.bench.nodes.belong_together(closed):
        raise Refused("these relays do not belong to one junction")
    return shadow.set(closed=closed)


def _free(rules: Rules, shadow: Shadow, text: str) -> Shadow:
    return shadow


#: effect -> what it checks; from the shadow before, what is known afterwards
EFFECTS: dict[Effect, Callable[[Rules, Shadow, str], Shadow]] = {
    Effect.FREE: _free,
    Effect.LEVEL: _level,
    Effect.RANGE: _range,
    Effect.COMPLIANCE: _compliance,
    Effect.OUTPUT: _output,
    Effect.FUNCTION: _function,
    Effect.MODE: _mode,
    Effect.LIST: _list,
    Effect.LIST_APPEND: _append,
    Effect.LIST_DELAY: _delay,
    Effect.LIST_DELAY_APPEND: _append_delay,
    Effect.LIST_COMPLIANCE: _list_compliance,
    Effect.ARM: _arm,
    Effect.START: _start,
    Effect.ABORT: _abort,
    Effect.CLOSE: _close,
    Effect.OPEN: _open,
}
