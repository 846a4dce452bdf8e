"""One level by hand: set, held and watched, and brought back; one reading; readings one after
another.  All of it through the bench, with its limits."""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from instruments.bench import Bench
from instruments.errors import BenchError, ComplianceError, LimitError
from instruments.limits_nodes import Node
from instruments.sweep import SweepData, fill, to_step
from instruments.units import show

#: the roles that can be set by hand; a polarizer is for pulses, which no hand is quick enough for
ROLES = ("field", "x", "z", "bias")
_WATCH_S = 1.0  # between two looks while a level is held

OnStep = Callable[[float, int], None]


@dataclass(frozen=True)
class Ramp:
    """The way to a level within the limits.

    Attributes:
        levels: one after another, A or V; the last is where it ends.
        pause_s: between two of them, s.
    """

    levels: tuple[float, ...]
    pause_s: float


class Hand:
    """A level of one role by hand.

    Args:
        bench: an open bench.
        role: "field", "x", "z" or "bias".
        junction: for the meters: which junction they are joined to.

    Raises:
        BenchError: the bench has no such role, or the junction is missing or unknown.
    """

    def __init__(self, bench: Bench, role: str, junction: str | None = None) -> None:
        if role not in ROLES:
            raise BenchError(f"{role!r} cannot be set by hand; give one of {', '.join(ROLES)}")
        if role not in bench.drivers:
            raise BenchError(f"the bench file has no instruments.{role}")
        if (role in ("x", "z")) != (junction is not None):
            raise BenchError(
                f"{role}: which junction? give --junction with its name in the bench file"
                if junction is None
                else f"{role} acts on all junctions; leave --junction out"
            )
        if junction is not None:
            bench.file.check_junction(junction)
        self._bench, self._role, self._junction = bench, role, junction
        self._driver: Any = bench.drivers[role]

    @property
    def unit(self) -> str:
        """Of its levels, "A" or "V"."""
        return self._node.unit

    @property
    def _node(self) -> Node:
        return self._bench.guard.on(self._role)

    def check(self, level: float) -> None:
        """Whether a level may be held at all; nothing is sent.

        Raises:
            LimitError: naming node, value and limit.
        """
        node = self._node
        if self._junction is not None:
            closed = frozenset(self._bench.file.junctions[self._junction].channels)
            node = self._bench.guard.nodes.of(self._role, closed)
        wrong = node.too_high(level)
        if not wrong and node.duty is not None and abs(level) > node.duty.above:
            above = show(node.duty.above, node.unit)
            wrong = f"{show(level, node.unit)} would stay on; above {above} only a list may go"
        if wrong:
            raise LimitError(f"refused at {node.name}: {wrong}")

    def set(self, level: float, on_step: OnStep | None = None) -> float:
        """Go to a level, in steps within the limit, from the one that the instrument has.

        Args:
            level: A or V.
            on_step: is called with each level that has been set, and the number of them.

        Returns:
            The level as the instrument reports it.

        Raises:
            LimitError: refused; nothing was switched on.
            RehearsalError, GuardianError, LatchedError: the bench does not arm.
        """
        self.check(level)
        if self._bench.refusals:
            self._bench.arm()  # raises the first
        self._leave_nothing_on()
        if self._junction is not None:
            self._bench.join(self._junction)
        with self._bench.running():
            if self._role == "bias":
                limits = self._bench.file.limits.bias
                assert limits is not None
                self._driver.prepare(largest=limits.level.value, compliance=limits.compliance.value)
            self._go(level, on_step)
            return float(self._driver.read_level())

    def _leave_nothing_on(self) -> None:
        """What somebody has left on goes to zero in steps as well: arming sets zero at once."""
        shadow = self._bench.guard.shadows[self._role]
        if self._role in ("field", "bias") and shadow.output and shadow.level:
            try:
                self._go(0.0, None)
            except LimitError:  # its fuse is none of ours: zero at once is the safer way
                return

    def ramp(self, level: float) -> Ramp:
        """The way to a level from the one that the instrument reports."""
        node, at = self._node, float(self._driver.read_level())
        if node.step is None or at == level:
            return Ramp((level,), 0.0)
        grid = self._bench.programming_step_a if self._role == "field" else 0.0
        between = fill(at, level, node.step - grid)
        if grid:
            between = [float(one) for one in to_step(np.array(between), grid)]
        pause_s = 0.0 if node.slew is None else node.step / node.slew
        return Ramp((*between, level), pause_s)

    def _go(self, level: float, on_step: OnStep | None) -> None:
        if self._role in ("x", "z"):
            way, put = Ramp((level,), 0.0), self._driver.set_voltage
        else:
            way = self.ramp(level)
            put = self._driver.set_current if self._role == "field" else self._driver.set_level
        for one in way.levels:
            if way.pause_s:
                self._bench.transport.pause(way.pause_s)
            put(one)
            if on_step is not None:
                on_step(one, len(way.levels))

    def hold(
        self,
        end: threading.Event,
        seconds: float = math.inf,
        on_look: Callable[[float], None] | None = None,
    ) -> None:
        """Keep the level, looking every second whether it is still there.

        Args:
            end: ends it when set.
            seconds: ends it after so much bench time.
            on_look: is called with the level at each look.

        Raises:
            UnsafeReportError: the instrument reports something else; the bench has tripped.
            ComplianceError: the source is held back; the bench has tripped.
        """
        until_s = self._bench.clock.time_s() + seconds
        with self._bench.running():
            while not end.is_set():
                left_s = until_s - self._bench.clock.time_s()
                if left_s <= 0:
                    return
                if math.isinf(seconds):
                    end.wait(_WATCH_S)
                else:
                    self._bench.transport.pause(min(_WATCH_S, left_s))
                self._driver.look()
                self._check_compliance()
                if on_look is not None:
                    on_look(self._bench.guard.shadows[self._role].level or 0.0)

    def _check_compliance(self) -> None:
        limited = {"field": "in_compliance", "bias": "limited"}.get(self._role)
        if limited is not None and getattr(self._driver, limited)():
            raise ComplianceError(
                f"{self._role}: the source is held back by its compliance: look at what it drives"
            )

    def home(self) -> None:
        """Back to zero, in steps within the limit."""
        with self._bench.running():
            self._go(0.0, None)


@dataclass(frozen=True)
class Reading:
    """One reading of a junction.

    Attributes:
        at_s: bench time since opening, s.
        level_a: field-line current, A.
        r_x_ohm, r_z_ohm: resistances of the two layers, ohm; None: no current flowed.
        valid: neither was in compliance or above its range.
    """

    at_s: float
    level_a: float
    r_x_ohm: float | None
    r_z_ohm: float | None
    valid: bool


def _readings(data: SweepData) -> list[Reading]:
    def ohm(current_a: float) -> float | None:
        return data.voltage_v / current_a if current_a and math.isfinite(current_a) else None

    columns = (data.level_a, data.current_x_a, data.current_z_a, data.valid)
    return [
        Reading(data.bench_end_s, float(level), ohm(float(x)), ohm(float(z)), bool(valid))
        for level, x, z, valid in zip(*columns, strict=True)
    ]


def read_junction(bench: Bench, junction: str, level_a: float = 0.0) -> Reading:
    """One reading of both layers at a field-line current, A; it goes there and back."""
    return _readings(bench.sweep(junction, [level_a], purpose="check"))[0]


class _EnoughError(Exception):
    """The end of a monitor, as wished."""


def monitor(
    bench: Bench,
    junction: str,
    level_a: float,
    *,
    count: int,
    rate_hz: float,
    on_reading: Callable[[Reading], None],
    end: threading.Event,
) -> list[Reading]:
    """Read both layers of a junction again and again while the field stays where it is.

    It is one sweep of lists of one point, so the limits see all of it before its first message;
    to its end the field goes back to 0 A in steps within the limit.

    Args:
        bench: an open bench.
        junction: its name in the bench file.
        level_a: field-line current, A.
        count: readings.
        rate_hz: readings a second of bench time, at most.
        on_reading: is called with each.
        end: ends it when set.
    """
    found: list[Reading] = []
    wanted = float(to_step(np.array(level_a), bench.programming_step_a))

    def on_list(data: SweepData) -> None:
        if data.level_a[0] == wanted:
            found.append(_readings(data)[0])
            on_reading(found[-1])
        if end.is_set():
            raise _EnoughError
        if 0 < len(found) < count:
            rest_s = 1 / rate_hz - (bench.clock.time_s() - data.bench_start_s)
            if rest_s > 0:
                bench.transport.pause(rest_s)

    with contextlib.suppress(_EnoughError):  # the sweep has gone home by then
        bench.sweep(
            junction, np.full(count, level_a), purpose="check", order="given", list_points=1,
            on_list=on_list,
        )  # fmt: skip
    return found
