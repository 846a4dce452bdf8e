"""The plan of what goes wrong at a bench, and the log of what did.

The bench, its instruments and VISA ask the plan at a few places (``on_...``, ``link``, ``events``
and what follows them); without faults each gives back what it got.  The answers depend on the
faults, the seed, the order of messages and the numbers of readings and pulses.  Observations count
for nothing unless a fault says so, so that whoever polls changes nothing.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim_backend import faults_readings
from sim_backend.faults_chance import Array
from sim_backend.faults_devices import WHOLE, DeviceFaults, DeviceState, begun_s, edge_s
from sim_backend.faults_kinds import AnyFault, Drift, LostTrigger, PowerCycle, StuckRelay, Switched
from sim_backend.faults_messages import Count
from sim_backend.faults_readings import Changed
from sim_backend.faults_ways import Struck, Ways
from sim_backend.faults_when import OfDevice, OfReadings
from sim_backend.noise import stream_key

_EVENT_OF: dict[type, str] = {PowerCycle: "power_cycle", StuckRelay: "relays", Switched: "switched"}


@dataclass(frozen=True)
class Event:
    """Something that the bench has to do once.

    Args:
        time_s: bench time, s.
        kind: "power_cycle" (of an instrument), "late_reply" (it can be read now), "relays" (some
            of a switch begin to stick, or move again) or "switched" (of a junction).
        name: of the instrument, switch or junction.
        to: "switched": "up", "down" or "other".
    """

    time_s: float
    kind: str
    name: str
    to: str = ""


class FaultPlan(Ways):
    """Faults, and what they remember.

    Args:
        faults: in the order in which they act on the same thing.
        seed: of the random ones.
    """

    def __init__(self, faults: Iterable[AnyFault] = (), seed: int = 0) -> None:
        super().__init__()
        #: refuses faults that do not fit the bench, and fills in what the bench alone can tell;
        #: None: all are taken as they are
        self.check: Callable[[Sequence[AnyFault]], Sequence[AnyFault]] | None = None
        self._seed = seed
        #: whether there is any fault: without one nothing else need be asked
        self.any = False
        self._all: list[Count] = []
        self._devices = DeviceFaults(self._log)
        self._readings: dict[str, list[Count]] = defaultdict(list)
        self._pulses: list[Count] = []
        self.add(*faults)

    def add(self, *faults: AnyFault) -> None:
        """More faults; their counts of messages begin now.

        Raises:
            FaultError: the bench has no such instrument, device or terminal.
        """
        for fault in self.check(faults) if self.check is not None else faults:
            alike = sum(count.fault == fault for count in self._all)
            name = json.dumps(fault.model_dump(mode="json"), sort_keys=True)
            count = Count(fault, stream_key(self._seed, f"fault/{name}/{alike}"))
            self._all.append(count)
            self.any = True
            self._sort_in(count)

    def _sort_in(self, count: Count) -> None:
        fault = count.fault
        if isinstance(fault, OfDevice | StuckRelay):
            self._devices.add(count)
            if fault.by_message and fault.instrument is not None:
                self._ways_in[fault.instrument].append(count)
        elif isinstance(fault, LostTrigger):
            self._pulses.append(count)
        elif isinstance(fault, OfReadings | Drift):
            self._readings[fault.instrument].append(count)
        else:
            self.add_way(count)

    # -- what happens once ------------------------------------------------------------------------

    def _events(self) -> list[tuple[float, Count]]:
        """What has not been given yet, and when it is due, s."""
        power = [count for counts in self._power.values() for count in counts]
        once = [count for count in (*power, *self._devices.switched()) if not count.told]
        return [
            *((begun_s(count), count) for count in once),
            *((edge_s(count), count) for count in self._devices.stuck()),
        ]

    def next_event_s(self) -> float:
        """When the next event is due, s; infinite: none is known."""
        next_s = min((late.comes_s for late in self._late.values()), default=math.inf)
        if not self._power and not self._devices:
            return next_s
        return min([next_s, *(due_s for due_s, _ in self._events())])

    def events(self, now_s: float, kind: str | None = None) -> list[Event]:
        """What has come due and was not given yet, by time; ``kind``: only of this one."""
        found = []
        if self._power or self._devices:
            due = [(due_s, count) for due_s, count in self._events() if due_s <= now_s]
            for due_s, count in sorted(due, key=lambda one: one[0]):
                if kind in (None, _EVENT_OF[type(count.fault)]):
                    found.append(self._give(count, due_s))
        if kind is None:
            found += self._come(now_s)
            found.sort(key=lambda event: event.time_s)
        return found

    def _give(self, count: Count, time_s: float) -> Event:
        """The event of a fault that is due."""
        fault, kind = count.fault, _EVENT_OF[type(count.fault)]
        if isinstance(fault, StuckRelay):
            count.edges += 1
            return Event(time_s, kind, fault.instrument)
        count.told = True
        if isinstance(fault, PowerCycle):
            self.on_clear(fault.instrument)
            self._log(count, time_s, f"off for {fault.off_s:g} s")
            return Event(time_s, kind, fault.instrument)
        self._log(count, time_s, f"the free layer goes {fault.to}")
        return Event(time_s, kind, fault.device, fault.to)

    def _come(self, now_s: float) -> list[Event]:
        """Late replies that have come."""
        found = []
        for name, late in self._late.items():
            if late.comes_s <= now_s:
                found.append(Event(late.comes_s, "late_reply", name))
                late.has_come()
        return found

    # -- pulses, readings, levels -----------------------------------------------------------------

    def kept_pulses(self, line: int, first: int, number: int) -> NDArray[np.bool_]:
        """Which of the pulses number ``first`` (from 1) and on of a line will be noticed,
        [number]; nothing has struck yet."""
        kept = np.ones(number, dtype=bool)
        for _, lost in faults_readings.lost_pulses(self._pulses, line, first, number):
            kept &= ~lost
        return kept

    def on_pulses(self, line: int, first: int, times_s: Array) -> NDArray[np.bool_]:
        """The same of pulses that have come, at these times."""
        for count, lost in faults_readings.lost_pulses(self._pulses, line, first, len(times_s)):
            for at in np.flatnonzero(lost).tolist():
                self._log(count, float(times_s[at]), f"pulse {first + at} of line {line}")
        return self.kept_pulses(line, first, len(times_s))

    def on_schedule(self, name: str, first: int, begins_s: Array) -> None:
        """Before the physics: readings number ``first`` (from 1) and on will begin then, s, [P]."""
        if self._devices:
            self._devices.on_schedule(name, first, begins_s)

    def on_readings(self, name: str, first: int, values: Array, times_s: Array) -> Changed:
        """Readings number ``first`` (from 1) and on, in SI units, that end at these times."""
        if name not in self._readings:
            return Changed(values, None)
        return faults_readings.changed(self._readings[name], first, values, times_s, self._log)

    def on_levels(self, name: str, levels: Array, times_s: Array) -> Array:
        """What a source puts out at these times for the levels that it is set to."""
        for count in self._output_drifts(name):
            levels = faults_readings.drifting(count, levels, times_s, self._log)
        return levels

    def drifting(self, names: Iterable[str]) -> list[str]:
        """Those of the instruments whose output drifts."""
        return [name for name in names if self._output_drifts(name)] if self._readings else []

    def _output_drifts(self, name: str) -> list[Count]:
        counts = self._readings.get(name, ())
        return [c for c in counts if isinstance(c.fault, Drift) and c.fault.of != "readings"]

    # -- devices ----------------------------------------------------------------------------------

    @property
    def of_devices(self) -> bool:
        """Whether any fault is of a device or a relay."""
        return bool(self._devices)

    def device(self, name: str, now_s: float) -> DeviceState:
        """Open contacts and shorts of a device."""
        return self._devices.state(name, now_s) if self._devices else WHOLE

    def relays(self, switch: str, closed: Set[str], now_s: float) -> Set[str]:
        """The relays that are closed, of those that should be."""
        if not self._devices:
            return closed
        return self._devices.relays(switch, closed, now_s)

    def hops(self, device: str) -> bool:
        """Whether a barrier of a junction hops: :meth:`resistance` is asked only then."""
        return bool(self._devices) and self._devices.hops(device)

    def resistance(self, device: str, terminal: str, ends_s: Array, window_s: float) -> Array:
        """Factor on a barrier's resistance, the mean over windows that end at these times, [P]."""
        return self._devices.resistance(device, terminal, ends_s, window_s)

    def drifted(self, device: str, value: Callable[[str], float], now_s: float) -> dict[str, float]:
        """Parameters of a junction that have moved, by full name; ``value`` gives the own ones."""
        return self._devices.drifted(device, value, now_s)

    def cuts(self, ends_s: Array) -> list[slice]:
        """Parts of points, ending at these times, within which :meth:`device`, :meth:`relays`,
        :meth:`drifted` and the wells that layers are thrown into do not change."""
        return self._devices.cuts(ends_s)

    # -- a bench that is put away -----------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """What it remembers, for JSON."""
        own = ("seen", "struck", "begun_s", "told", "edges")
        return {
            "counts": [{key: getattr(count, key) for key in own} for count in self._all],
            "late": {name: late.state() for name, late in self._late.items() if late},
            "owing": sorted(self._owing),
            "struck": [vars(one) for one in self.struck],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Be what :meth:`state` of a plan with the same faults and seed has told.

        Raises:
            ValueError: it was another number of faults.
        """
        if len(state["counts"]) != len(self._all):
            raise ValueError(
                f"the stored state is of {len(state['counts'])} faults; there are {len(self._all)}"
            )
        for count, kept in zip(self._all, state["counts"], strict=True):
            vars(count).update(vars(replace(count, **kept)))
        self._late.clear()
        for name, late in state["late"].items():
            self._late[name].restore(late)
        self._owing = set(state["owing"])
        self.struck[:] = [Struck(**one) for one in state["struck"]]
