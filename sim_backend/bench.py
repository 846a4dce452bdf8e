"""The simulated bench: instruments, wires, junctions and one clock.

Messages move the clock in the order in which they come.  Observations - serial polls, queries of a
set value, of the status and of the error queue - are answered from the instruments' state: they
take no time and disturb nothing, so that whoever watches a run changes nothing in it.
"""

from __future__ import annotations

import math
import threading
from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from dataclasses import replace
from functools import partial
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim_backend.bench_messages import MessageSide
from sim_backend.circuit import CurrentSource, Element, Solution, VoltageSource
from sim_backend.clock import Clock
from sim_backend.devices import Junction, Points
from sim_backend.faults import FaultPlan
from sim_backend.faults_names import check_faults
from sim_backend.faults_when import FaultError
from sim_backend.instrument import SimInstrument
from sim_backend.models import MODELS
from sim_backend.models.electrical import ElectricalInstrument
from sim_backend.models.keithley2182a import Keithley2182A
from sim_backend.models.keithley2400 import Keithley2400
from sim_backend.models.keithley2450 import Keithley2450
from sim_backend.models.keithley6221 import Keithley6221
from sim_backend.models.keithley7001 import Keithley7001
from sim_backend.models.yokogawags200 import YokogawaGS200
from sim_backend.noise import normal, stream_key
from sim_backend.plant import Plant
from sim_backend.seen import Seen
from sim_backend.sweep import Sweep
from sim_backend.timeline import Timeline
from sim_backend.truth import Truth, TruthError

Array = NDArray[np.float64]
Kind = TypeVar("Kind", bound=ElectricalInstrument)
# Whose output can drift, and whose readings can be struck.
_SOURCES = (Keithley6221, YokogawaGS200, Keithley2400, Keithley2450)
_METERS = (Keithley2400, Keithley2450, Keithley2182A)


class SimBench(MessageSide):
    """A bench as ``sim.yaml`` describes it, at power-on.

    Args:
        truth: the file's content.
        realtime: bench seconds per second of waiting, or None (waiting takes no time).
    """

    def __init__(self, truth: Truth, realtime: float | None = None) -> None:
        self.truth = truth
        self.lock = threading.RLock()
        self.clock = Clock(realtime)
        #: bench seconds by what they went into
        self.spent_s: dict[str, float] = defaultdict(float)
        self.sweep: Sweep | None = None
        #: until when the devices have lived, bench time, s
        self.seen_until_s = 0.0
        #: what the instruments do by themselves
        self.timeline = Timeline(self)
        self.hot_switches = 0
        #: what goes wrong; a test may add to it
        self.faults = FaultPlan(seed=truth.seed)
        #: pulses that the trigger lines have had
        self.pulses: dict[int, int] = defaultdict(int)
        self._wired = False
        self.instruments: dict[str, ElectricalInstrument] = {}
        self.by_name: dict[str, ElectricalInstrument] = {}
        for name, entry in truth.instruments.items():
            if entry.address in self.instruments:
                raise TruthError(f"instruments.{name}: {entry.address} is given twice")
            self.by_name[name] = MODELS[entry.model](name, self)
            self.by_name[name].sends = partial(self._reply, name)
            self.instruments[entry.address] = self.by_name[name]
        self.source = self._part("field_source", truth.field_source, Keithley6221)
        self.meters = {
            side: self._part(f"meter_{side}", name, Keithley2400)
            for side, name in (("x", truth.meter_x), ("z", truth.meter_z))
        }
        if truth.meter_x == truth.meter_z:
            raise TruthError(f"meter_z: {truth.meter_z!r} is meter_x already")
        self.switch = self._part("switch", truth.switch, Keithley7001)
        self.plant = Plant(truth, self.by_name, self.faults)
        self.faults.check = partial(
            check_faults, instruments=self.by_name, meters=self._names(_METERS),
            sources=self._names(_SOURCES), switch=truth.switch, devices=self.plant.devices,
        )  # fmt: skip
        try:
            self.faults.add(*truth.faults)
        except FaultError as error:
            raise TruthError(f"faults: {error}") from None
        self._noise_keys = {
            name: stream_key(truth.seed, f"read noise/{name}") for name in self.by_name
        }
        self._wired = True

    def _names(self, kinds: tuple[type, ...]) -> list[str]:
        return [name for name, one in self.by_name.items() if isinstance(one, kinds)]

    def _part(self, key: str, name: str, kind: type[Kind]) -> Kind:
        found = self.by_name.get(name)
        if not isinstance(found, kind):
            raise TruthError(f"{key}: no {kind.__name__.lower()} named {name!r} in instruments")
        return found

    # -- sweeps ----------------------------------------------------------------------------------

    def start_sweep(self, source: Keithley6221) -> None:
        """The field source's list starts."""
        self.pass_time(self.truth.costs.settle_s, "settle")
        self.sweep = Sweep(self, source, self._listeners())

    def _listeners(self) -> list[Keithley2400]:
        """Who may wait for pulses of the trigger link, the bench's own meters first."""
        own = list(self.meters.values())
        others = [one for one in self.by_name.values() if isinstance(one, Keithley2400)]
        return own + [one for one in others if one not in own]

    def end_sweep(self) -> None:
        """Close the running sweep with what it has measured by now."""
        if self.sweep is not None:
            sweep = self.sweep
            self.forget_sweep()
            sweep.finish()
            self.touch()

    def forget_sweep(self) -> None:
        """It is over, however it has ended."""
        self.sweep, self.source.sweeping = None, False

    # -- the physical side ------------------------------------------------------------------------

    @property
    def junctions(self) -> list[Junction]:
        """The junctions, in the order of the file."""
        return self.plant.junctions

    def run(self, points: Points, levels: Mapping[str, Array] | None = None) -> dict[str, Seen]:
        """Let points come to pass; what each instrument sees.

        Args:
            points: in their order.
            levels: of sources that sweep, by name, A or V, [P]; the others keep their level.
        """
        self.timeline.catch_up(changes=True)  # no reading under way misses what comes before
        begins_s, ends_s = (np.maximum(t, self.seen_until_s) for t in
                            (points.begins_s, points.ends_s))  # fmt: skip
        points = Points(begins_s, ends_s, points.window_s)  # the clock's last digits differ
        level = dict(levels or {})
        for name, one in self.by_name.items():
            mean = one.levels_over(points)
            if mean is not None:
                level.setdefault(name, mean)
        for name, steps in self.timeline.steps.items():
            if name not in level:  # whoever measures sees the level at the start of integration
                level[name] = steps.at(points.ends_s - points.window_s)

        def elements(at: slice) -> dict[str, Sequence[Element]]:
            found = {
                name: one.swept(level[name][at]) if name in level else one.elements()
                for name, one in self.by_name.items()
            }
            for name in self.faults.drifting(found):
                if isinstance(self.by_name[name], _SOURCES):
                    found[name] = self._drifted(name, found[name], points.ends_s[at])
            return found

        damages = len(self.plant.events)
        seen = self.plant.run(points, elements, self.switch.closed)
        end_s = float(points.ends_s[-1])
        self.seen_until_s = end_s
        if seen[self.source.name].limited.any():
            self.source.limited()
        if len(self.plant.events) > damages:  # what has broken at the last point shows at once
            self.run(Points(np.array([end_s]), np.array([end_s])))
        return seen

    def held_at_limit(self, name: str, levels: Array) -> NDArray[np.bool_]:
        """At which levels a source would hold its limit, with the circuit as it is now, [P];
        nothing comes to pass.

        The more it drives the more it needs: where it holds its limit neither at the lowest nor at
        the highest level, it does at none.

        Args:
            name: of the source.
            levels: A or V, [P].
        """

        def limited(at: Array) -> NDArray[np.bool_]:
            elements = {other: one.elements() for other, one in self.by_name.items()}
            elements[name] = self.by_name[name].swept(at)
            now_s = np.full(len(at), self.clock.now_s)
            return self.plant.limited(name, Points(now_s, now_s), elements, self.switch.closed)

        if not len(levels) or not limited(np.array([levels.min(), levels.max()])).any():
            return np.zeros(len(levels), dtype=bool)
        return limited(levels)

    def _drifted(self, name: str, elements: Sequence[Element], ends_s: Array) -> list[Element]:
        """What a source puts out by now for what it is set to."""

        def moved(level: ArrayLike) -> Array:
            whole = np.broadcast_to(np.asarray(level, dtype=np.float64), ends_s.shape)
            return self.faults.on_levels(name, whole, ends_s)

        return [
            replace(one, volt=moved(one.volt)) if isinstance(one, VoltageSource)
            else replace(one, ampere=moved(one.ampere)) if isinstance(one, CurrentSource)
            else one
            for one in elements
        ]  # fmt: skip

    def solve(self) -> Solution:
        """The circuit as it is now."""
        self.touch(always=True)
        assert self.plant.solution is not None
        return self.plant.solution

    def read_noise(self, meter: Keithley2400, first: int, seen: Seen, ends_s: Array) -> Array:
        """Noise of the meter's readings number ``first`` and on, A, at its NPLC."""
        sigma = self.truth.read_noise_a / math.sqrt(meter.state["nplc"])
        own: Array = sigma * self.noise(meter, first, len(ends_s))
        return own + seen.noise_a(first, ends_s, meter.window_s)

    def noise(self, instrument: SimInstrument, first: int, count: int) -> Array:
        """Standard normal numbers for an instrument's readings number ``first`` and on."""
        return normal(self._noise_keys[instrument.name], first, count)

    @property
    def still(self) -> bool:
        """Nothing that readings see depends on time, but for the levels of the sources."""
        now = np.array([self.clock.now_s])
        moves = (one.levels_over(Points(now, now)) is not None for one in self.by_name.values())
        return not (
            self.plant.takes_time or self.faults.of_devices or any(moves)
            or self.faults.drifting(self._names(_SOURCES))
        )  # fmt: skip

    def live_through(self) -> None:
        """What has held until now has had its effect: on magnets, pulses and layers that hop."""
        now_s = self.clock.now_s
        if self.plant.takes_time and now_s > self.seen_until_s:
            self.run(Points(np.array([self.seen_until_s]), np.array([now_s])))

    def touch(self, *, always: bool = False) -> None:
        """A level, an output or a relay changed: devices take note of it.

        Args:
            always: also where nothing could break and nothing remembers.
        """
        if not self._wired:  # instruments come to power-on before they are joined
            return
        if always or self.plant.remembers or self.plant.could_break(self.by_name.values()):
            now = np.array([self.clock.now_s])
            self.run(Points(np.minimum(self.seen_until_s, now), now))

    def relays_move(self, closed: set[str]) -> None:
        """Relays go from their present state to ``closed``: those that move while a source is on
        spike the junction that they carry, before or after."""
        name, now_s = self.switch.name, self.clock.now_s
        self._move(*(self.faults.relays(name, c, now_s) for c in (self.switch.closed, closed)))

    def relays_stick(self, time_s: float) -> None:
        """Relays move without being told, as they begin to stick and as they come free."""
        name, closed = self.switch.name, self.switch.closed
        before_s = math.nextafter(time_s, -math.inf)
        self._move(*(self.faults.relays(name, closed, at_s) for at_s in (before_s, time_s)))

    def _move(self, before: Set[str], after: Set[str]) -> None:
        if before != after and self.plant.live(self.by_name.values()):
            self.hot_switches += 1
            for junction in self.plant.touched(before, after):
                junction.spike()

    def before_power_cycle(self, instrument: ElectricalInstrument) -> None:
        """A switch without power lets go of its relays."""
        if instrument is self.switch and self.switch.closed:
            self.relays_move(set())
