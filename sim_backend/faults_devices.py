"""Faults of devices and relays: what holds at a bench time."""

from __future__ import annotations

import math
from collections.abc import Callable, Set
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from sim_backend.faults_chance import Array, Hops
from sim_backend.faults_kinds import JunctionDrift, Open, Short, StuckRelay, Switched, Telegraph
from sim_backend.faults_messages import Count
from sim_backend.faults_readings import Log
from sim_backend.llg.ranges import RANGES

_ROUNDING = 1e-9
_HOUR_S = 3600.0


@dataclass(frozen=True)
class DeviceState:
    """What is wrong with a device.

    Attributes:
        opened: terminals that do not touch.
        shorted: terminals whose barrier is bridged.
        open_whole, shorted_whole: the device as a whole.
    """

    opened: frozenset[str] = frozenset()
    shorted: frozenset[str] = frozenset()
    open_whole: bool = False
    shorted_whole: bool = False

    def touches(self, terminal: str) -> bool:
        """Whether a terminal is joined to the device."""
        return not self.open_whole and terminal not in self.opened

    def bridged(self, terminal: str) -> bool:
        """Whether a terminal's barrier, or the device, is a short."""
        return self.shorted_whole or terminal in self.shorted


WHOLE = DeviceState()


def begun_s(count: Count) -> float:
    """When a fault begins, s; infinite while it waits for a message or a reading."""
    fault = count.fault
    if fault.by_message or getattr(fault, "reading", None) is not None:
        return math.inf if count.begun_s is None else count.begun_s
    return float(fault.from_s)


def holds(count: Count, now_s: float) -> bool:
    """Whether it has begun and is not over."""
    begin_s, for_s = begun_s(count), getattr(count.fault, "for_s", None)
    return begin_s <= now_s < (math.inf if for_s is None else begin_s + for_s)


def edge_s(count: Count) -> float:
    """When a relay begins to stick or moves again, whichever is next, s; infinite: never."""
    if count.edges == 0:
        return begun_s(count)
    for_s = count.fault.for_s
    return math.inf if for_s is None or count.edges > 1 else begun_s(count) + float(for_s)


class DeviceFaults:
    """See the module's docstring.

    Args:
        log: takes what has struck.
    """

    def __init__(self, log: Log) -> None:
        self._log = log
        self._counts: list[Count] = []
        self._hops: dict[int, Hops] = {}

    def __bool__(self) -> bool:
        return bool(self._counts)

    def add(self, count: Count) -> None:
        """One more."""
        self._counts.append(count)

    def on_schedule(self, name: str, first: int, begins_s: Array) -> None:
        """Readings number ``first`` (from 1) and on will begin at these times, unless cut off."""
        for count in self._counts:
            fault = count.fault
            at = (getattr(fault, "reading", None) or 0) - first
            if getattr(fault, "instrument", None) != name or not 0 <= at < len(begins_s):
                continue
            if count.begun_s is None or count.begun_s > begins_s[0]:  # it has not come to that
                count.begun_s = float(begins_s[at])

    def _now(self, kind: type, now_s: float, key: str, name: str) -> list[Count]:
        """Those of a kind that hold, in order; they go into the log."""
        found = [
            count
            for count in self._counts
            if isinstance(count.fault, kind)
            and getattr(count.fault, key) == name
            and holds(count, now_s)
        ]
        for count in found:
            self._tell(count)
        return found

    def _tell(self, count: Count) -> None:
        if not count.told:
            count.told = True
            self._log(count, begun_s(count), _said(count.fault))

    # -- what holds -------------------------------------------------------------------------------

    def state(self, device: str, now_s: float) -> DeviceState:
        """Contacts and shorts."""
        if not self._counts:
            return WHOLE
        opened = {c.fault.terminal for c in self._now(Open, now_s, "device", device)}
        shorted = {c.fault.terminal for c in self._now(Short, now_s, "device", device)}
        return DeviceState(
            frozenset(opened - {None}), frozenset(shorted - {None}), None in opened, None in shorted
        )

    def relays(self, switch: str, closed: Set[str], now_s: float) -> frozenset[str]:
        """The relays that are closed, of those that should be."""
        result = set(closed)
        for count in self._now(StuckRelay, now_s, "instrument", switch):
            (result.add if count.fault.closed else result.discard)(count.fault.relay)
        return frozenset(result)

    def hops(self, device: str) -> bool:
        """Whether a barrier of this junction hops, now or later."""
        faults = [count.fault for count in self._counts]
        return any(isinstance(one, Telegraph) and one.device == device for one in faults)

    def resistance(self, device: str, terminal: str, ends_s: Array, window_s: float) -> Array:
        """Factor on a barrier's resistance in readings that end at these times, [P]."""
        factor = np.ones(len(ends_s))
        last_s = float(np.max(ends_s, initial=-math.inf))
        for count in self._now(Telegraph, last_s, "device", device):
            fault: Telegraph = count.fault
            if fault.terminal == terminal:
                hops = self._hops.setdefault(id(count), Hops(count.key, fault.up_hz, fault.down_hz))
                factor *= 1 + fault.step * hops.share_up(ends_s - begun_s(count), window_s)
        return factor

    def drifted(self, device: str, value: Callable[[str], float], now_s: float) -> dict[str, float]:
        """Parameters of a junction that have moved, by full name.

        Args:
            value: a parameter's own value by its full name.
        """
        moved: dict[str, float] = {}
        for count in self._now(JunctionDrift, now_s, "device", device):
            fault: JunctionDrift = count.fault
            hours = float(_steps(count, np.array([now_s]))[0]) * fault.step_s / _HOUR_S
            own, name = value(fault.parameter), fault.parameter
            by = fault.per_hour * hours + own * fault.relative_per_hour * hours
            allowed = RANGES[name.rpartition(".")[2]]
            low = math.nextafter(allowed.low, math.inf) if allowed.open_low else allowed.low
            moved[name] = min(max(moved.get(name, own) + by, low), allowed.high)
        return moved

    def cuts(self, ends_s: Array) -> list[slice]:
        """Points in parts between which something changes (hops of a barrier apart)."""
        codes = [self._code(count, ends_s) for count in self._counts]
        if not codes or len(ends_s) < 2:
            return [slice(0, len(ends_s))] if len(ends_s) else []
        table = np.stack(codes, axis=1)
        change = np.flatnonzero((table[1:] != table[:-1]).any(axis=1)) + 1
        return [slice(a, b) for a, b in pairwise([0, *change.tolist(), len(ends_s)])]

    def _code(self, count: Count, ends_s: Array) -> Array:
        """A number a point that changes where the fault's effect does."""
        if isinstance(count.fault, JunctionDrift):
            return _steps(count, ends_s)
        if isinstance(count.fault, Telegraph):
            return np.zeros(len(ends_s))
        begin_s, for_s = begun_s(count), getattr(count.fault, "for_s", None)
        end_s = math.inf if for_s is None else begin_s + for_s
        return np.where((ends_s >= begin_s) & (ends_s < end_s), 1.0, 0.0)

    def switched(self) -> list[Count]:
        """Faults that throw a layer, struck already or not."""
        return [count for count in self._counts if isinstance(count.fault, Switched)]

    def stuck(self) -> list[Count]:
        """Relays that stick, now, before or later."""
        return [count for count in self._counts if isinstance(count.fault, StuckRelay)]


def _steps(count: Count, times_s: Array) -> Array:
    """Steps of a drift by these times, [P]."""
    begin_s = begun_s(count)
    if math.isinf(begin_s):
        return np.zeros(len(times_s))
    steps = np.floor((times_s - begin_s) / count.fault.step_s + _ROUNDING)
    result: Array = np.maximum(steps, 0.0)
    return result


def _said(fault: Any) -> str:
    """What the log says."""
    if isinstance(fault, StuckRelay):
        return f"relay {fault.relay} stays {'closed' if fault.closed else 'open'}"
    if isinstance(fault, JunctionDrift):
        return f"{fault.parameter} drifts"
    return "the whole device" if fault.terminal is None else f"terminal {fault.terminal}"
