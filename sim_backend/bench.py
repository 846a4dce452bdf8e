"""The simulated bench: instruments, wires, junctions and one clock.

Messages move the clock in the order in which they come.  Observations - serial polls, queries of a
set value, of the status and of the error queue - are answered from the instruments' state: they
take no time and disturb nothing, so that whoever watches a run changes nothing in it.
"""

from __future__ import annotations

import math
import threading
from collections import defaultdict
from collections.abc import Mapping, Sequence
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
from sim_backend.models.keithley2400 import Keithley2400
from sim_backend.models.keithley6221 import Keithley6221
from sim_backend.models.keithley7001 import Keithley7001
from sim_backend.models.yokogawags200 import YokogawaGS200
from sim_backend.noise import normal, stream_key
from sim_backend.plant import Plant
from sim_backend.seen import Seen
from sim_backend.sweep import Sweep
from sim_backend.truth import Truth, TruthError

Array = NDArray[np.float64]
Kind = TypeVar("Kind", bound=ElectricalInstrument)
# What drifts of a source is its output, and of a meter its readings.
_SOURCES, _METERS = (Keithley6221, YokogawaGS200), (Keithley2400,)


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
        self._seen_until_s = 0.0
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
        self.sweep = Sweep(self, source, list(self.meters.values()))

    def _settle(self) -> None:
        """End the sweep if it is over by now."""
        if self.sweep is None:
            return
        if self.clock.now_s >= self.sweep.end_s - 1e-9:
            self.end_sweep()
        elif math.isinf(self.sweep.end_s) and self.clock.now_s >= self.sweep.last_reading_s:
            self.sweep.catch_up()

    def end_sweep(self) -> None:
        """Close the running sweep with what it has measured by now."""
        if self.sweep is not None:
            try:
                self.sweep.finish()
            finally:  # physics that has no solution must not leave the source inside its sweep
                self.sweep = None
                self.source.sweeping = False
            self.touch()

    # -- the physical side ------------------------------------------------------------------------

    @property
    def junctions(self) -> list[Junction]:
        """The junctions, in the order of the file."""
        return self.plant.junctions

    @property
    def line_resistance_ohm(self) -> float:
        """Of the field line, ohm."""
        return self.truth.line.ohm

    def run(self, points: Points, levels: Mapping[str, Array] | None = None) -> dict[str, Seen]:
        """Let points come to pass; what each instrument sees.

        Args:
            points: in their order.
            levels: of sources that sweep, by name, A or V, [P]; the others keep their level.
        """
        level = dict(levels or {})
        if self.sweep is not None and self.source.name not in level:
            # Whoever measures while it sweeps sees the level at the start of each integration.
            level[self.source.name] = self.sweep.levels_at(points.ends_s - points.window_s)
        for name, one in self.by_name.items():
            mean = one.levels_over(points)
            if mean is not None:
                level.setdefault(name, mean)

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
        self._seen_until_s = max(self._seen_until_s, end_s)
        if seen[self.source.name].limited.any():
            self.source.limited()
        if len(self.plant.events) > damages:  # what has broken at the last point shows at once
            self.run(Points(np.array([end_s]), np.array([end_s])))
        return seen

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

    def live_through(self) -> None:
        """What has held until now has had its effect: on magnets, pulses and layers that hop."""
        now_s = self.clock.now_s
        if self.sweep is None and self.plant.takes_time and now_s > self._seen_until_s:
            self.run(Points(np.array([self._seen_until_s]), np.array([now_s])))

    def touch(self, *, always: bool = False) -> None:
        """A level, an output or a relay changed: devices take note of it.

        Args:
            always: also where nothing could break and nothing remembers.
        """
        if not self._wired:  # instruments come to power-on before they are joined
            return
        if always or self.plant.remembers or self.plant.could_break(self.by_name.values()):
            now = np.array([self.clock.now_s])
            self.run(Points(np.minimum(self._seen_until_s, now), now))

    def relays_move(self, closed: set[str]) -> None:
        """Relays go from their present state to ``closed``: those that move while a source is on
        spike the junction that they carry, before or after."""
        if not self.plant.live(self.by_name.values()):
            return
        self.hot_switches += 1
        name, now_s = self.switch.name, self.clock.now_s
        before, after = (self.faults.relays(name, c, now_s) for c in (self.switch.closed, closed))
        for junction in self.plant.touched(before, after):
            junction.spike()

    def before_power_cycle(self, instrument: ElectricalInstrument) -> None:
        """A switch without power lets go of its relays."""
        if instrument is self.switch and self.switch.closed:
            self.relays_move(set())
