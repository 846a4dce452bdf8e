"""All devices of a bench through some points: circuit, fields, damage, in this order again until
they agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from sim_backend.circuit import EARTH, Element, Solution, ends, solve
from sim_backend.devices.base import Array, Device, Points
from sim_backend.devices.bias_magnet import BiasMagnet
from sim_backend.devices.field_line import FieldLine
from sim_backend.devices.junction import Junction
from sim_backend.devices.polarizer import Polarizer

_MOST_TURNS = 4
_CURRENT_STEP = 1e-6  # of a line's current, relative: what it may change in the last turn


@dataclass(frozen=True)
class Beneath:
    """What a junction lies beneath.

    Args:
        line: the field line.
        bias: the bias magnets.
        polarizers: what turns its reference layers, by side.
    """

    line: FieldLine | None = None
    bias: Sequence[BiasMagnet] = ()
    polarizers: Mapping[str, Polarizer] = field(default_factory=dict)


@dataclass(frozen=True)
class Part:
    """Points that have passed without a change of any device, and what there was.

    Attributes:
        at: which of the points.
        instruments: the elements that were asked for.
        solution: the circuit.
        events: a sentence for each damage, all at the last of them.
    """

    at: slice
    instruments: Sequence[Element]
    solution: Solution
    events: list[str]


class BenchCircuit:
    """Devices and what joins them.

    Args:
        devices: all of them.
        beneath: by the name of the junction.
        joined: nodes that wires make one, from :func:`sim_backend.circuit.join`.
    """

    def __init__(
        self, devices: Sequence[Device], beneath: Mapping[str, Beneath], joined: Mapping[str, str]
    ) -> None:
        self.devices, self._beneath, self._joined = devices, beneath, joined

    def run(self, points: Points, instruments: Callable[[slice], Sequence[Element]]) -> list[Part]:
        """Let points come to pass; see :meth:`parts`."""
        return list(self.parts(points, instruments))

    def parts(
        self, points: Points, instruments: Callable[[slice], Sequence[Element]]
    ) -> Iterator[Part]:
        """Let points come to pass, part by part: the devices are as in the part given last.

        Args:
            points: in their order.
            instruments: sources, meters and closed relays for some of the points.  Leave open
                relays out: what they cut off costs no time then.
        """
        done = 0
        while done < len(points):
            at = slice(done, len(points))
            elements = instruments(at)
            solution = self.settle(points[at], elements)
            broken = [device.breaks(solution, points[at]) for device in self.devices]
            last = min((b for b in broken if b is not None), default=None)
            if last is not None and done + last + 1 < len(points):
                at = slice(done, done + last + 1)
                elements = instruments(at)
                solution = self.settle(points[at], elements)
            events = [
                event for device in self.devices for event in device.absorb(solution, points[at])
            ]
            yield Part(at, elements, solution, events)
            done = at.stop

    def settle(self, points: Points, instruments: Sequence[Element]) -> Solution:
        """Circuit and free layers that agree; nothing has come to pass yet."""
        junctions = [device for device in self.devices if isinstance(device, Junction)]
        others = [
            element
            for device in self.devices
            if not isinstance(device, Junction)
            for element in (*device.elements(points), *device.bridge())
        ]
        live = self._live(junctions, [*instruments, *others])
        # Barriers as they are with layers parallel: enough for the lines' currents.
        mine = [element for junction in live for element in junction.elements(points)]
        solution = solve([*instruments, *others, *mine], self._joined, len(points))
        for _ in range(_MOST_TURNS):
            lines = [self._line_a(j, solution, len(points)) for j in live]
            mine = [
                element
                for j, line_a in zip(live, lines, strict=True)
                for element in self._elements(j, solution, points, line_a)
            ]
            solution = solve([*instruments, *others, *mine], self._joined, len(points))
            now = (self._line_a(j, solution, len(points)) for j in live)
            moved = any(
                (np.abs(new - old) > _CURRENT_STEP * np.abs(old) + 1e-12).any()
                for new, old in zip(now, lines, strict=True)
            )
            if not moved and not any(j.unsettled(solution) for j in live):
                break
        for j in junctions:
            if j not in live:
                j.leave_out()
                if j.remembers:
                    self._elements(j, solution, points, self._line_a(j, solution, len(points)))
                    j.leave_out()
        return solution

    def _live(self, junctions: list[Junction], elements: Sequence[Element]) -> list[Junction]:
        """Junctions of which two terminals lead somewhere."""

        def names(junction: Junction) -> list[str]:
            nodes = map(junction.node, junction.terminals)
            return [self._joined.get(node, node) for node in nodes]

        outside = Counter(self._joined.get(n, n) for e in elements for n in ends(e))
        outside[EARTH] = len(junctions) + 1
        live = junctions
        while True:
            uses = outside + Counter(name for junction in live for name in names(junction))
            still = [j for j in live if sum(uses[name] > 1 for name in names(j)) >= 2]
            if len(still) == len(live):
                return live
            live = still

    def _line_a(self, junction: Junction, solution: Solution, count: int) -> Array:
        line = self._beneath.get(junction.name, Beneath()).line
        return np.zeros(count) if line is None else line.current_a(solution)

    def _elements(
        self, junction: Junction, solution: Solution, points: Points, line_a: Array
    ) -> Sequence[Element]:
        """A junction's, in the fields that the currents of this solution make."""
        beneath = self._beneath.get(junction.name, Beneath())
        bias_t = np.zeros(len(points))
        for magnet in beneath.bias:
            bias_t = bias_t + magnet.fields(solution, points)
        angles = {side: polarizer.angle_rad for side, polarizer in beneath.polarizers.items()}
        return junction.elements(points, line_a, bias_t, junction.volts(solution), angles)

    def state(self) -> dict[str, dict[str, object]]:
        """What all devices remember, by name, for JSON."""
        return {device.name: device.state() for device in self.devices}

    def restore(self, state: Mapping[str, dict[str, object]]) -> None:
        """Be what :meth:`state` has told.

        Raises:
            StateError: a device's part does not fit.
        """
        for device in self.devices:
            device.restore(state.get(device.name, {}))
