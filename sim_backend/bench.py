"""The simulated bench: instruments, wires, junctions and one clock.

Messages move the clock in the order in which they come.  Observations - serial polls, queries of a
set value, of the status and of the error queue - are answered from the instruments' state: they
take no time and disturb nothing, so that whoever watches a run changes nothing in it.
"""

from __future__ import annotations

import math
import threading
from collections import defaultdict
from collections.abc import Set
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from sim_backend.clock import Clock
from sim_backend.instrument import SimInstrument
from sim_backend.magnet import Levels
from sim_backend.models import MODELS
from sim_backend.models.keithley2400 import Keithley2400
from sim_backend.models.keithley6221 import Keithley6221
from sim_backend.models.keithley7001 import Keithley7001
from sim_backend.noise import normal, stream_key
from sim_backend.readout import star_currents
from sim_backend.scpi import ScpiError
from sim_backend.seen import Barrier, Seen
from sim_backend.sweep import Sweep
from sim_backend.truth import Junction, Truth, TruthError, make_junctions

Array = NDArray[np.float64]
Kind = TypeVar("Kind", bound=SimInstrument)
SHORTED_S = 1 / 50.0  # a broken barrier


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
        self.line_resistance_ohm = truth.field_line_ohm
        self.junctions = make_junctions(truth)
        self.hot_switches = 0
        self._wired = False
        self.instruments: dict[str, SimInstrument] = {}
        self.by_name: dict[str, SimInstrument] = {}
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
        self._noise_keys = {
            meter.name: stream_key(truth.seed, f"read noise/{meter.name}")
            for meter in self.meters.values()
        }
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

    def field_levels(self) -> Array:
        """The field source's present level, A, shape [1]."""
        return np.array([self.sweep.level_a() if self.sweep else self.source.state["level"]])

    def _joined(self, junction: Junction, closed: Set[str]) -> tuple[bool, bool, bool]:
        """Whether meter x, meter z and the low are joined to a junction by these relays."""
        channels = junction.channels
        return (
            channels.x in closed and self.meters["x"].connected,
            channels.z in closed and self.meters["z"].connected,
            channels.low in closed,
        )

    def _carries(self, junction: Junction, closed: Set[str]) -> bool:
        """Whether current can flow: two of the three terminals are joined."""
        return sum(self._joined(junction, closed)) >= 2

    def _junction_seen(self, junction: Junction, levels: Levels) -> dict[str, Seen]:
        """What both meters see of one junction at field-line currents applied in this order."""
        on_x, on_z, on_low = self._joined(junction, self.switch.closed)
        model, magnet, on = junction.model, junction.magnet, {"x": on_x, "z": on_z}
        v = {side: meter.terminal_v for side, meter in self.meters.items()}
        barriers: dict[str, tuple[Barrier, ...]] = {"x": (), "z": ()}
        if junction.broken:
            g_x = g_z = np.full(levels.current_a.shape, SHORTED_S)
        else:
            m = magnet.read(levels, v["x"], v["z"])
            b = magnet.ensemble(v["x"], v["z"]).line_field_t(levels.current_a)[0]
            g_x = model.x.conductance_s(m.mean, b, v["x"])
            g_z = model.z.conductance_s(m.mean, b, v["z"])
            for side, g in (("x", g_x), ("z", g_z)):
                if on[side] and side in junction.noise:
                    moved = junction.deviation_s(side, levels, m.rest, b, v)
                    barriers[side] = (Barrier(junction.noise[side], v[side], g, moved),)
        common = model.common_ohm if on_low else math.inf
        i_x, i_z = star_currents(g_x * on_x, g_z * on_z, v["x"], v["z"], common)
        return {"x": Seen(i_x, barriers["x"]), "z": Seen(i_z, barriers["z"])}

    def sweep_seen(self, levels: Levels) -> dict[str, Seen]:
        """What each meter sees at field-line currents applied in this order, by meter."""
        none = np.zeros_like(levels.current_a)
        total = {"x": Seen(none), "z": Seen(none)}
        for junction in self.junctions:
            if self._carries(junction, self.switch.closed):
                for side, seen in self._junction_seen(junction, levels).items():
                    before = total[side]
                    total[side] = Seen(
                        before.current_a + seen.current_a, before.barriers + seen.barriers
                    )
            elif junction.magnet.remembers:  # one field line: all of them see it
                junction.magnet.pass_by(levels, 0.0, 0.0)
        return {self.meters[side].name: seen for side, seen in total.items()}

    def seen(self, meter: Keithley2400, level_a: Array) -> Seen:
        """What one meter sees at the field source's levels, read from now on."""
        ends = self.clock.now_s + meter.measure_time_s * np.arange(1.0, len(level_a) + 1)
        levels = Levels(self.source.current_a(level_a), ends, meter.window_s)
        return self.sweep_seen(levels)[meter.name]

    def read_noise(self, meter: Keithley2400, first: int, seen: Seen, ends_s: Array) -> Array:
        """Noise of the meter's readings number ``first`` and on, A, at its NPLC."""
        sigma = self.truth.read_noise_a / math.sqrt(meter.state["nplc"])
        own: Array = sigma * normal(self._noise_keys[meter.name], first, len(ends_s))
        return own + seen.noise_a(first, ends_s, meter.window_s)

    def touch(self) -> None:
        """A level, an output or a relay changed: barriers above their limit break for good."""
        if not self._wired:  # instruments come to power-on before they are joined
            return
        v = {side: meter.terminal_v for side, meter in self.meters.items()}
        for junction in self.junctions:
            on_x, on_z, on_low = self._joined(junction, self.switch.closed)
            x_v, z_v = junction.model.x.breakdown_v, junction.model.z.breakdown_v
            if on_low:
                over = (on_x and abs(v["x"]) > x_v) or (on_z and abs(v["z"]) > z_v)
            else:  # both barriers in series
                over = on_x and on_z and abs(v["x"] - v["z"]) > x_v + z_v
            junction.broken = junction.broken or over
        if any(junction.magnet.remembers for junction in self.junctions):
            now = np.array([self.clock.now_s])
            levels = Levels(self.source.current_a(self.field_levels()), now, 0.0)
            for junction in self.junctions:
                on_x, on_z, _ = self._joined(junction, self.switch.closed)
                junction.magnet.pass_by(levels, v["x"] * on_x, v["z"] * on_z)

    def relays_move(self, closed: Set[str]) -> None:
        """Relays go from their present state to ``closed``: those that move under voltage spike
        the junction that they carry, before or after."""
        if all(meter.terminal_v == 0 for meter in self.meters.values()):
            return
        self.hot_switches += 1
        moved, touched = self.switch.closed ^ closed, self.switch.closed | closed
        for junction in self.junctions:
            relays = {junction.channels.x, junction.channels.z, junction.channels.low}
            if moved & relays and self._carries(junction, touched):
                junction.broken = True
