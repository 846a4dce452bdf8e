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
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from sim_backend.circuit import Element, Solution
from sim_backend.clock import Clock
from sim_backend.devices import Junction, Points
from sim_backend.instrument import SimInstrument
from sim_backend.models import MODELS
from sim_backend.models.electrical import ElectricalInstrument
from sim_backend.models.keithley2400 import Keithley2400
from sim_backend.models.keithley6221 import Keithley6221
from sim_backend.models.keithley7001 import Keithley7001
from sim_backend.noise import normal, stream_key
from sim_backend.plant import Plant
from sim_backend.scpi import ScpiError
from sim_backend.seen import Seen
from sim_backend.sweep import Sweep
from sim_backend.truth import Truth, TruthError

Array = NDArray[np.float64]
Kind = TypeVar("Kind", bound=ElectricalInstrument)


class SimBench:
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
        self._wired = False
        self.instruments: dict[str, ElectricalInstrument] = {}
        self.by_name: dict[str, ElectricalInstrument] = {}
        for name, entry in truth.instruments.items():
            if entry.address in self.instruments:
                raise TruthError(f"instruments.{name}: {entry.address} is given twice")
            self.by_name[name] = MODELS[entry.model](name, self)
            self.instruments[entry.address] = self.by_name[name]
        self.source = self._part("field_source", truth.field_source, Keithley6221)
        self.meters = {
            side: self._part(f"meter_{side}", name, Keithley2400)
            for side, name in (("x", truth.meter_x), ("z", truth.meter_z))
        }
        if truth.meter_x == truth.meter_z:
            raise TruthError(f"meter_z: {truth.meter_z!r} is meter_x already")
        self.switch = self._part("switch", truth.switch, Keithley7001)
        self.plant = Plant(truth, self.by_name)
        self._noise_keys = {
            name: stream_key(truth.seed, f"read noise/{name}") for name in self.by_name
        }
        self._seen_until_s = 0.0
        self._wired = True

    def _part(self, key: str, name: str, kind: type[Kind]) -> Kind:
        found = self.by_name.get(name)
        if not isinstance(found, kind):
            raise TruthError(f"{key}: no {kind.__name__.lower()} named {name!r} in instruments")
        return found

    # -- messages, from the VISA library ----------------------------------------------------------

    def write(self, instrument: SimInstrument, message: str) -> None:
        """Deliver a message."""
        with self.lock:
            units, error = instrument.units(message)
            if error is None and all(unit.is_query and unit.row.observation for unit in units):
                instrument.execute(units, error)
                return
            self.pass_time(self.truth.costs.message_s, "bus")
            self.pass_time(len(message) * self.truth.costs.byte_s, "upload")
            self.pass_time(instrument.message_time_s, "bus")
            self._settle()
            if self.sweep is not None:
                waits = instrument.busy and not (units and units[0].row.while_busy)
                if waits and self.clock.realtime is None and math.isfinite(self.sweep.end_s):
                    # Inside the trigger model the message waits in the input buffer until it ends.
                    self.pass_time(self.sweep.end_s - self.clock.now_s, "integrate")
                    self._settle()
                elif not waits:
                    # What was due before the message is not touched by it.
                    self.sweep.catch_up()
            instrument.receive(units, error)
            self._work()

    def _work(self) -> None:
        """Let the instruments act on what has waited in their input buffers."""
        for instrument in self.instruments.values():
            instrument.work()

    def take(self, instrument: SimInstrument, count: int) -> tuple[bytes, bool] | None:
        """At most ``count`` bytes of a reply and whether more follows; None: there is none."""
        with self.lock:
            if not instrument.output and not instrument.inbox:
                instrument.put_error(ScpiError(-420))
            return instrument.take(count) if instrument.output else None

    def serial_poll(self, instrument: SimInstrument) -> int:
        """The status byte; an observation."""
        with self.lock:
            return instrument.serial_poll()

    def device_clear(self, instrument: SimInstrument) -> None:
        """Selected device clear."""
        with self.lock:
            instrument.device_clear()
            self._work()

    def pause(self, seconds: float) -> None:
        """Let the controller wait: to the end of a running sweep at once, or for ``seconds``.

        In real-time mode the wait takes its time, and is never longer than ``seconds``.
        """
        self.clock.wait_wall(seconds)
        with self.lock:
            running = self.sweep is not None
            if self.sweep is not None and self.clock.realtime is None:
                end = self.sweep.end_s - self.clock.now_s
                seconds = end if math.isfinite(end) else seconds
            self.pass_time(seconds, "integrate" if running else "settle")
            self._settle()
            self._work()

    # -- time -----------------------------------------------------------------------------------

    def pass_time(self, seconds: float, what: str) -> None:
        """Move the clock and book the time."""
        self.clock.advance(seconds)
        self.spent_s[what] += max(0.0, seconds)

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
        if self.sweep is not None:  # its source's level is the sweep's, whoever asks
            held = self.sweep.level_a()
            level.setdefault(self.source.name, np.full(len(points), held))

        def elements(at: slice) -> dict[str, Sequence[Element]]:
            return {
                name: one.swept(level[name][at]) if name in level else one.elements()
                for name, one in self.by_name.items()
            }

        seen = self.plant.run(points, elements, self.switch.closed)
        self._seen_until_s = max(self._seen_until_s, float(points.ends_s[-1]))
        if seen[self.source.name].limited.any():
            self.source.limited()
        return seen

    def seen(self, meter: Keithley2400, count: int) -> Seen:
        """What a meter sees in readings one after another, from now on."""
        each = meter.measure_time_s
        ends = self.clock.now_s + each * np.arange(1.0, count + 1)
        return self.run(Points(ends - each, ends, meter.window_s))[meter.name]

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
        """Relays go from their present state to ``closed``: those that move under voltage spike
        the junction that they carry, before or after."""
        if all(meter.terminal_v == 0 for meter in self.meters.values()):
            return
        self.hot_switches += 1
        for junction in self.plant.touched(self.switch.closed, closed):
            junction.spike()
