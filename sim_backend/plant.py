"""What stands behind the instruments' terminals: wires, relays, devices, and what meters see."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sim_backend.circuit import (
    EARTH,
    CurrentSource,
    Element,
    Solution,
    VoltageSource,
    join,
    relay,
)
from sim_backend.devices import (
    BenchCircuit,
    Beneath,
    BiasMagnet,
    FieldLine,
    Junction,
    Part,
    Points,
    Polarizer,
)
from sim_backend.faults import Event, FaultPlan
from sim_backend.llg.junction import SIDES
from sim_backend.read_noise import ReadNoise, conductance_deviation_s
from sim_backend.seen import Barrier, Seen
from sim_backend.truth_devices import PolarizerEntry
from sim_backend.wiring import check_wiring

if TYPE_CHECKING:
    from sim_backend.models.electrical import ElectricalInstrument
    from sim_backend.truth import Truth

Array = NDArray[np.float64]
#: elements of the instruments at some of the points, by instrument; the first one is what it reads
Elements = Callable[[slice], Mapping[str, Sequence[Element]]]
_QUIET_V = 1e-9  # a terminal that holds less than this holds nothing


class Plant:
    """Everything between the terminals.

    Args:
        truth: the content of ``sim.yaml``.
        instruments: by name.
        faults: what goes wrong.

    Raises:
        TruthError: a wire ends nowhere.
    """

    def __init__(
        self, truth: Truth, instruments: Mapping[str, ElectricalInstrument], faults: FaultPlan
    ) -> None:
        self.truth, self._faults = truth, faults
        self.line = FieldLine("line", truth.line)
        self.junctions = truth.make_junctions()
        others = truth.make_devices()
        self.devices = {d.name: d for d in (self.line, *self.junctions, *others.values())}
        field, x, z = truth.field_source, truth.meter_x, truth.meter_z
        wires = [
            (f"{field}.hi", "line.a"), (f"{field}.lo", EARTH), ("line.b", EARTH),
            ("line.below", EARTH), (f"{x}.lo", EARTH), (f"{z}.lo", EARTH), *truth.wires,
        ]  # fmt: skip
        self.joined = join(wires)
        #: the two nodes that each relay joins
        self.relays: dict[str, list[tuple[str, str]]] = {}
        for junction in self.junctions:
            channels = truth.junctions.channels[junction.name]
            for channel, node, terminal in (
                (channels.x, f"{x}.hi", "x"), (channels.z, f"{z}.hi", "z"),
                (channels.low, EARTH, "low"),
            ):  # fmt: skip
                self.relays.setdefault(channel, []).append((node, junction.node(terminal)))
        for channel, ends in truth.relays.items():
            self.relays.setdefault(channel, []).append(ends)
        check_wiring(truth, instruments, self.devices, self.joined)
        magnets = [device for device in others.values() if isinstance(device, BiasMagnet)]
        polarizers: dict[str, dict[str, Polarizer]] = {}
        for name, entry in truth.devices.items():
            device = others[name]
            if isinstance(entry, PolarizerEntry) and isinstance(device, Polarizer):
                for turned, of in entry.turns.items():
                    polarizers.setdefault(turned, {})[of] = device
        beneath = {
            j.name: Beneath(self.line, magnets, polarizers.get(j.name, {})) for j in self.junctions
        }
        #: nothing but the field source is wired to the field line
        self._line_alone = not any("line." in node for wire in truth.wires for node in wire)
        self._circuit = BenchCircuit(list(self.devices.values()), beneath, self.joined)
        self.noise: dict[tuple[str, str], ReadNoise] = {}
        if truth.noise.any:
            for junction in self.junctions:
                layer = junction.model.layer
                for side in SIDES:
                    self.noise[junction.name, side] = ReadNoise(
                        truth.noise, truth.seed, f"{junction.name}/{side}",
                        area_m2=layer.area_m2, temperature_k=layer.temperature_k,
                    )  # fmt: skip
        self.solution: Solution | None = None  #: of the last points
        #: a sentence for each damage, with its bench time
        self.events: list[tuple[float, str]] = []

    # -- relays -----------------------------------------------------------------------------------

    def contacts(self, closed: Set[str]) -> list[Element]:
        """The closed relays."""
        return [relay(*ends) for channel in sorted(closed) for ends in self.relays.get(channel, ())]

    def touched(self, before: Set[str], after: Set[str]) -> list[Junction]:
        """Junctions that carry current, before or after, through a relay that moves."""
        moved, ever = before ^ after, before | after

        def of(junction: Junction, channels: Set[str]) -> int:
            nodes = {junction.node(t) for t in junction.terminals}
            return sum(bool(nodes & set(ends)) for c in channels for ends in self.relays.get(c, ()))

        return [j for j in self.junctions if of(j, moved) and of(j, ever) >= 2]

    # -- points -----------------------------------------------------------------------------------

    @property
    def remembers(self) -> bool:
        """Whether points that nobody reads count."""
        return any(junction.remembers for junction in self.junctions)

    @property
    def takes_time(self) -> bool:
        """Whether anything changes by itself while nothing is set."""
        timed = any(isinstance(d, BiasMagnet | Polarizer) for d in self.devices.values())
        return timed or self.remembers

    def live(self, instruments: Iterable[ElectricalInstrument]) -> bool:
        """Whether a source holds anything, but for one that only feeds the field line."""
        for one in instruments:
            for element in one.elements():
                if isinstance(element, VoltageSource) and np.any(element.volt):
                    return True
                feeds = isinstance(element, CurrentSource) and not (
                    self._line_alone and element.hi == f"{self.truth.field_source}.hi"
                )
                if feeds and isinstance(element, CurrentSource) and np.any(element.ampere):
                    return True
        return False

    def could_break(self, instruments: Iterable[ElectricalInstrument]) -> bool:
        """Whether what the sources are set to could damage anything: an upper bound, by their sum.

        Current sources count with their compliance, but for one that only feeds the field line.
        """
        volt = ampere = 0.0
        for one in instruments:
            for element in one.elements():
                if isinstance(element, VoltageSource):
                    volt += float(np.abs(element.volt).max())
                elif isinstance(element, CurrentSource):
                    level = float(np.abs(element.ampere).max())
                    alone = element.hi == f"{self.truth.field_source}.hi"
                    ampere += level
                    volt += 0.0 if alone and self._line_alone else element.most_v
        bears = [getattr(j.model, s).breakdown_v for j in self.junctions for s in SIDES]
        model = self.line.model
        if ampere > model.most_a or ampere * model.ohm + volt > model.dielectric_v:
            return True
        return len(self.devices) > 1 + len(self.junctions) or volt > min(bears)

    def run(self, points: Points, elements: Elements, closed: Set[str]) -> dict[str, Seen]:
        """Let points come to pass.

        Args:
            points: in their order.
            elements: of the instruments.
            closed: relays, as far as the switch knows.

        Returns:
            What each instrument with elements sees.
        """
        if not self._faults.of_devices:
            return self._run(points, elements, closed)
        seen: dict[str, Seen] = {}
        for at in self._faults.cuts(points.ends_s):
            now_s = float(points.ends_s[at.start])
            self._befall(now_s)
            really = self._faults.relays(self.truth.switch, closed, now_s)

            def of(part: slice, begin: int = at.start) -> Mapping[str, Sequence[Element]]:
                return elements(slice(begin + part.start, begin + part.stop))

            for name, one in self._run(points[at], of, really).items():
                seen[name] = seen[name].then(one) if name in seen else one
        return seen

    def _befall(self, now_s: float) -> None:
        """What is wrong at this time."""
        for event in self._faults.events(now_s, "switched"):
            self.throw(event)
        for device in self.devices.values():
            device.wrong = self._faults.device(device.name, now_s)
        for junction in self.junctions:
            junction.drift(self._faults.drifted(junction.name, junction.own.get, now_s))
            hops = self._faults.hops(junction.name)
            junction.hops = partial(self._faults.resistance, junction.name) if hops else None

    def throw(self, event: Event) -> None:
        """A free layer goes into another well."""
        [junction] = [one for one in self.junctions if one.name == event.name]
        junction.throw(event.to)

    def _run(self, points: Points, elements: Elements, closed: Set[str]) -> dict[str, Seen]:
        """The same of points within which nothing new goes wrong."""
        contacts = self.contacts(closed)
        first: dict[int, Mapping[str, Element]] = {}

        def asked(at: slice) -> list[Element]:
            mine = elements(at)
            flat = [e for parts in mine.values() for e in parts] + contacts
            first[id(flat)] = {name: parts[0] for name, parts in mine.items() if parts}
            kept.append(flat)  # so that no other list gets its id
            return flat

        kept: list[list[Element]] = []
        seen: dict[str, Seen] = {}
        for part in self._circuit.parts(points, asked):
            now, self.solution = points[part.at], part.solution
            self.events += [(float(now.ends_s[-1]), event) for event in part.events]
            barriers = self._barriers(part, now, closed)
            for name, element in first[id(part.instruments)].items():
                one = self._seen(part, element, len(now), barriers.get(name, ()))
                seen[name] = seen[name].then(one) if name in seen else one
        return seen

    def limited(
        self,
        name: str,
        points: Points,
        elements: Mapping[str, Sequence[Element]],
        closed: Set[str],
    ) -> NDArray[np.bool_]:
        """At which points a source would hold its limit, [P]; nothing comes to pass."""
        really = self._faults.relays(self.truth.switch, closed, float(points.ends_s[0]))
        flat = [e for parts in elements.values() for e in parts] + self.contacts(really)
        source = elements[name][0]
        assert isinstance(source, VoltageSource | CurrentSource)
        return self._circuit.settle(points, flat).in_compliance(source)

    def _seen(
        self, part: Part, element: Element, count: int, barriers: tuple[Barrier, ...]
    ) -> Seen:
        solution = part.solution
        limited = np.zeros(count, dtype=bool)
        if isinstance(element, VoltageSource | CurrentSource):
            limited = solution.in_compliance(element)
        return Seen(solution.current(element), solution.across(element), limited, barriers)

    def _barriers(
        self, part: Part, points: Points, closed: Set[str]
    ) -> dict[str, tuple[Barrier, ...]]:
        """Noisy barriers by the instrument whose current flows through them."""
        found: dict[str, tuple[Barrier, ...]] = {}
        if not self.noise or not points.window_s:  # without a window nobody reads
            return found
        meters = {"x": self.truth.meter_x, "z": self.truth.meter_z}
        line_a = self.line.current_a(part.solution)
        for junction in self.junctions:
            channels = self.truth.junctions.channels[junction.name]
            for side in SIDES:
                if junction.motion is None or getattr(channels, side) not in closed:
                    continue
                volt = junction.volts(part.solution).get(side)
                if volt is None or not np.any(np.abs(volt) > _QUIET_V):
                    continue
                if not junction.tunnels(side):
                    continue
                layer = getattr(junction.model, side)
                ensemble = junction.model.ensemble(*self._mean_volts(junction, part))
                b = ensemble.line_field_t(line_a)[0]
                moved = np.zeros(len(points))
                if self.truth.noise.magnetisation:
                    moved = conductance_deviation_s(
                        layer, ensemble.fields(line_a)[0], junction.motion.rest, b,
                        float(volt.mean()), points.window_s,
                    )  # fmt: skip
                factor = junction.resistance(side, points)
                one = Barrier(
                    self.noise[junction.name, side], volt,
                    layer.conductance_s(junction.motion.mean, b, volt) / factor, moved / factor,
                )  # fmt: skip
                found[meters[side]] = (*found.get(meters[side], ()), one)
        return found

    def _mean_volts(self, junction: Junction, part: Part) -> tuple[float, float]:
        volts = junction.volts(part.solution)
        x, z = (float(volts[side].mean()) if side in volts else 0.0 for side in SIDES)
        return x, z
