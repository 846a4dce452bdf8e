"""The rules that a message must keep, for one role.  Each raises :class:`Refused`, in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from instruments.bench_file import BenchFile
from instruments.bench_file_limits import TOLERANCE
from instruments.limits_allowed import Allowed, Effect
from instruments.limits_lists import (
    Past,
    continued,
    first_fast_step,
    first_wide_step,
    forget,
    longest_high_s,
)
from instruments.limits_nodes import Node, Nodes
from instruments.limits_shadow import Shadow
from instruments.units import show

Array = NDArray[np.float64]


class Refused(Exception):
    """Why a unit of a message may not be sent."""


class Situation:
    """What is known of the whole bench.

    Args:
        file: the bench file.
        allowed: the allow-list of each role's driver.
        now: bench time, s; without it the time between two messages counts as long enough
            (a replay, in which nothing is moved).
    """

    def __init__(
        self,
        file: BenchFile,
        allowed: Mapping[str, Allowed],
        now: Callable[[], float] | None = None,
    ) -> None:
        self.file = file
        self.allowed = allowed
        self.nodes = Nodes(file)
        self.shadows: dict[str, Shadow] = {role: Shadow() for role in allowed}
        self.now = now
        self.temperature_k: float | None = None
        self._sources = tuple(role for role, one in allowed.items() if one.sources)

    def on(self, role: str) -> Node:
        """What a role's output acts on, as the relays are now."""
        return self.nodes.of(role, self.shadows["switch"].closed)

    def is_dead(self, role: str) -> bool:
        """Whether a source is reported to be at zero or off."""
        shadow = self.shadows[role]
        sources = not self.allowed[role].chooses_function or (
            "function" in shadow.confirmed and shadow.function == self.on(role).function
        )
        at_zero = sources and "level" in shadow.confirmed and shadow.level == 0
        return at_zero or ("output" in shadow.confirmed and shadow.output is False)

    def live(self) -> list[str]:
        """The sources that are not reported to be at zero or off."""
        return [role for role in self._sources if not self.is_dead(role)]

    def too_warm(self) -> str:
        """What is wrong with the temperature, in words; "" if nothing is."""
        limit = self.file.limits.temperature
        if limit is None:
            return ""
        if self.temperature_k is None:
            return "the temperature is not known; read the thermometer first"
        if self.temperature_k > limit:
            return f"{show(self.temperature_k, 'K')} is above the limit of {show(limit, 'K')}"
        return ""


class Rules:
    """The rules of one role.

    Args:
        role: as in the bench file.
        bench: what is known of the whole bench.
    """

    def __init__(self, role: str, bench: Situation) -> None:
        self.role, self.bench = role, bench
        self.allowed = bench.allowed[role]
        effects = self.allowed.commands
        self._needs_compliance = Effect.LIST_COMPLIANCE in effects.values()
        self._modes = [header for header, effect in effects.items() if effect is Effect.MODE]

    @property
    def node(self) -> Node:
        """What the output acts on now."""
        return self.bench.on(self.role)

    def now_s(self) -> float | None:
        """Bench time, s; None: nobody keeps it."""
        return None if self.bench.now is None else self.bench.now()

    def at_rest(self, shadow: Shadow) -> None:
        """No list runs, or waits for its trigger: its levels would come on top."""
        if shadow.running:
            raise Refused("its list may still run; abort it first")

    def dead(self) -> None:
        """No relay moves unless every source reads back zero or off."""
        live = self.bench.live()
        if live:
            raise Refused(f"{' and '.join(live)} do not read back zero")

    def levels(self, node: Node, levels: Array) -> None:
        """Every level, and every step between neighbours."""
        high = levels[np.abs(levels) > node.top]
        if len(high):
            raise Refused(node.too_high(float(high[0])))
        if node.step is not None:
            place = first_wide_step(levels, node.step)
            if place is not None:
                start, value = float(levels[place]), float(levels[place + 1])
                self.step(node, start, value)

    def step(self, node: Node, start: float | None, value: float) -> None:
        """From one level to the next, as far as it may go at once."""
        if node.step is None:
            return
        if start is None:
            raise Refused("the present level is not known; read it first")
        if abs(value - start) > node.step * (1 + TOLERANCE):
            raise Refused(
                f"the step from {show(start, node.unit)} to {show(value, node.unit)} is larger "
                f"than {show(node.step, node.unit)}"
            )

    def slew(self, node: Node, shadow: Shadow, start: float, value: float) -> None:
        """Whether enough bench time has passed since the last change for this one."""
        now = self.now_s()
        if node.slew is None or now is None:
            return
        passed = shadow.held_s if shadow.moved_s is None else now - shadow.moved_s
        self.pause(node, start, value, passed)

    def pause(self, node: Node, start: float, value: float, passed: float) -> None:
        """Whether a step may come ``passed`` seconds after the one before."""
        if node.slew is not None and abs(value - start) > node.slew * passed * (1 + TOLERANCE):
            raise Refused(
                f"the step from {show(start, node.unit)} to {show(value, node.unit)} comes "
                f"{show(passed, 's')} after the one before, faster than "
                f"{show(node.slew, f'{node.unit}/s')}"
            )

    def hold(self, node: Node, start: float, value: float) -> None:
        """A level that stays on for as long as nobody sets another."""
        if node.duty is None or abs(value) <= node.duty.above * (1 + TOLERANCE):
            return
        if abs(value) < abs(start) and value * start > 0:
            return  # on the way down
        above = show(node.duty.above, node.unit)
        raise Refused(
            f"{show(value, node.unit)} would stay on; above {above} only a list may go (duty)"
        )

    def pace(self, node: Node, levels: Array, delays: Array, past: Past, now: float | None) -> Past:
        """Slew within a list, and how long it is high; the past that includes it."""
        if node.slew is not None:
            place = first_fast_step(levels, delays, node.slew)
            if place is not None:
                start, value = float(levels[place]), float(levels[place + 1])
                self.pause(node, start, value, float(delays[place]))
        duty = node.duty
        if duty is None:
            return past
        if abs(levels[-1]) > duty.above * (1 + TOLERANCE):
            # Between two lists the last level stays on, nobody knows for how long.
            last, above = show(float(levels[-1]), node.unit), show(duty.above, node.unit)
            raise Refused(f"the list ends at {last}, above {above} (duty)")
        past = continued(past, levels, delays + node.reading_s, duty, now)
        spent = longest_high_s(past.dwell_s, past.high, duty.window)
        if spent > duty.share * duty.window * (1 + TOLERANCE):
            raise Refused(
                f"{show(spent, 's')} of {show(duty.window, 's')} above "
                f"{show(duty.above, node.unit)} is more than a share of {duty.share:g} (duty)"
            )
        return forget(past, duty.window)

    def whole_list(self, shadow: Shadow) -> Past:
        """Whether the list may start from where the source is, with the second fuse set."""
        self.at_rest(shadow)
        levels, node = shadow.levels, self.node
        if not len(levels) or (self._needs_compliance and shadow.list_compliance is None):
            raise Refused("the list or its compliance is not known")
        if shadow.output is not True:
            self.output_on(shadow)
        self.fixed(shadow)
        self.fuse(node, shadow)
        self.temperature()
        # A fixed range too small for the list would put out its maximum and say nothing.
        largest = float(np.abs(levels).max())
        if "range" not in shadow.confirmed or largest > 1.05 * (shadow.range or 0.0):
            raise Refused("the source's range is not confirmed to hold the whole list")
        if largest > node.top:  # the node may be another by now
            self.levels(node, levels)
        self.step(node, shadow.level, float(levels[0]))
        self.slew(node, shadow, shadow.level or 0.0, float(levels[0]))
        if node.slew is None and node.duty is None:
            return shadow.past
        if len(shadow.delays) != len(levels):
            raise Refused("the list's delays are not known, one for each level")
        return self.pace(node, levels, shadow.delays, shadow.past, self.now_s())

    def fixed(self, shadow: Shadow) -> None:
        """The settings with one safe value have been sent, and what the trigger starts."""
        missing = sorted(self.allowed.fixed.keys() - shadow.fixed)
        missing += self._modes if shadow.mode is None else []
        if missing:
            raise Refused(f"{' and '.join(missing)} must be set first")

    def reading(self, shadow: Shadow) -> None:
        """A question that measures with the output as it is: that must be on, prepared by us."""
        if self.allowed.sources and shadow.output is not True:
            raise Refused("its output is not known to be on")
        self.fixed(shadow)
        if shadow.mode == "LIST":
            raise Refused("it would start the list")

    def fuse(self, node: Node, shadow: Shadow) -> None:
        """Whether the second fuse, as far as it is known, is one for this node."""
        loose = "" if shadow.compliance is None else node.loose(shadow.compliance)
        if loose:
            raise Refused(loose)
        if node.range is not None and (shadow.range or 0.0) > node.range * 1.05:
            raise Refused(f"range {show(shadow.range or 0.0, 'V')} is no fuse")

    def output_on(self, shadow: Shadow) -> None:
        """The second fuse must be in the instrument, read back, before anything goes on."""
        node = self.node
        if not node.unit:
            raise Refused(f"a {self.role} sources nothing")
        self.at_rest(shadow)
        for name in ("range", "compliance"):
            if name not in shadow.confirmed:
                raise Refused(f"its {name} has not been set and read back")
        self.fixed(shadow)
        self.fuse(node, shadow)
        self.temperature()
        if self.allowed.chooses_function and shadow.function != node.function:
            word = "voltage" if node.unit == "V" else "current"
            raise Refused(f"it is not known to source a {word}")
        if shadow.level is None:
            raise Refused("its level is not known; read it first")
        high = node.too_high(shadow.level)
        if high:
            raise Refused(high)
        self.step(node, 0.0, shadow.level)
        self.slew(node, shadow, 0.0, shadow.level)
        self.hold(node, 0.0, shadow.level)

    def temperature(self) -> None:
        """The thermometer reads no more than its limit."""
        warm = self.bench.too_warm()
        if warm:
            raise Refused(warm)
