"""Sweeps on the hardware: settings, relays, lists, and the way home."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instruments.bench_file import BenchFile
from instruments.errors import (
    BenchError,
    ComplianceError,
    InstrumentError,
    ReplyTimeoutError,
    SweepVoidError,
)
from instruments.fetching import check_readings, fetch
from instruments.roles import CurrentSource, SourceMeter, Switch
from instruments.sweep import Order, Plan, SweepData, fill, plan, to_step
from instruments.transport import Transport
from instruments.units import show

Array = NDArray[np.float64]
Part = tuple[Array, Array, Array, NDArray[np.bool_]]
OnList = Callable[[SweepData], None]
_READING_MARGIN_S = 1e-3  # trigger latencies of a reading, with room


class Sweeping:
    """Runs lists on one bench.

    Args:
        file: the bench file.
        transport: the lines.
        drivers: of each role.

    Raises:
        BenchError: the field source is too coarse for the step limit.
    """

    def __init__(self, file: BenchFile, transport: Transport, drivers: Mapping[str, Any]) -> None:
        self.file, self._transport = file, transport
        self.source: CurrentSource = drivers["field"]
        self.x: SourceMeter = drivers["x"]
        self.z: SourceMeter = drivers["z"]
        self.switch: Switch = drivers["switch"]
        #: all settings of a sweep have been made and read back
        self.prepared = False
        self._selected: str | None = None
        self._thermometer = drivers.get("thermometer")
        step, resolution = self._step_a, self.programming_step_a
        if step < 2 * resolution:
            raise BenchError(
                f"limits.field_line.step: {show(step, 'A')} is too fine for the field source, "
                f"whose programming step is {show(resolution, 'A')}: give at least twice that"
            )

    def forget(self) -> None:
        """Nothing is known of settings and relays: the next sweep makes all of them anew."""
        self.prepared, self._selected = False, None

    # -- settings -----------------------------------------------------------------------------

    def prepare(self) -> None:
        """Set ranges, compliances and triggers, read them back, switch the outputs on at zero.

        Raises:
            InstrumentError: a setting reads back otherwise.
        """
        if self.prepared:
            return
        self._selected = None
        self.check_temperature()
        file = self.file
        line, timing = file.limits.field_line, file.timing
        with self._transport.held():
            ring = timing.trigger == "ring"
            common = {"compliance_a": file.readout.compliance_a, "nplc": timing.nplc}
            # Ring: source 1 -> x, x 2 -> z, z 3 -> source.  Fork: source 1 -> x and z.
            self.x.prepare(
                **common, trigger_in=1, trigger_out=2 if ring else None,
                delay_s=0.0 if ring else timing.settle,
            )  # fmt: skip
            self.z.prepare(
                **common, trigger_in=2 if ring else 1, trigger_out=3 if ring else None,
                delay_s=0.0 if ring else timing.settle,
            )  # fmt: skip
            self.source.prepare(
                largest_a=line.largest_a,
                compliance_v=line.compliance_v,
                delay_s=self.delay_s,
                pulse_after_delay=ring,
                trigger_in=3 if ring else None,
                trigger_out=1,
            )
        self.prepared = True

    def check_temperature(self) -> None:
        """Read the thermometer, if there is a limit.

        Raises:
            LimitError: it is too warm.
        """
        if self._thermometer is not None and self.file.limits.temperature is not None:
            self._transport.guard.at_temperature(self._thermometer.temperature_k())

    @property
    def _step_a(self) -> float:
        """The largest step within a list, A: the step limit, or what slews no faster than its."""
        return self.file.limits.field_line.step_within(self.delay_s)

    @property
    def delay_s(self) -> float:
        """From a new level to the next, or to its pulse, s."""
        timing = self.file.timing
        return timing.settle if timing.trigger == "ring" else timing.settle + self.reading_s

    @property
    def reading_s(self) -> float:
        """What one meter takes for a reading, with room for its latencies, s."""
        return self.file.timing.nplc / self.file.timing.line_frequency + _READING_MARGIN_S

    @property
    def point_s(self) -> float:
        """What one point of a sweep takes at most, s."""
        readings = 2 if self.file.timing.trigger == "ring" else 1
        return self.file.timing.settle + readings * self.reading_s

    @property
    def programming_step_a(self) -> float:
        """The field source's programming step, A: levels are multiples of it."""
        return self.source.programming_step_a(self.file.limits.field_line.largest_a)

    # -- lists --------------------------------------------------------------------------------

    def plan(
        self, levels_a: Sequence[float] | Array, order: Order, list_points: int | None
    ) -> Plan:
        """The lists that measure these levels; sends nothing.

        Raises:
            BenchError: the levels are no row of finite numbers.
            LimitError: a level is above its limit.
        """
        wanted = np.asarray(levels_a, dtype=np.float64)
        if wanted.ndim != 1 or not wanted.size or not np.all(np.isfinite(wanted)):
            raise BenchError("a sweep needs a row of at least one level, all of them finite")
        if list_points is not None and list_points < 1:
            raise BenchError(f"list_points = {list_points}: a list has at least one point")
        self.file.check_current(float(np.abs(wanted).max()))
        most = min(self.x.most_points, self.z.most_points, self.source.most_points - 1)
        planned = plan(
            wanted,
            step_a=self._step_a,
            most_points=min(most, list_points or most),
            order=order,
            resolution_a=self.programming_step_a,
        )
        self._transport.guard.check_lists("field", planned.lists, self.delay_s)
        return planned

    def run(self, junction: str, planned: Plan, on_list: OnList | None) -> list[Part]:
        """The lists of a sweep one after another.

        Raises:
            SweepVoidError: one of them lost a trigger or a reading.
            ComplianceError, OverflowedError: most of one was beyond what the meter could do.
        """
        self.check_temperature()
        self._select(junction)
        clock, parts = self._transport.clock, []
        for levels in planned.lists:
            last = levels is planned.lists[-1]
            start_s = clock.time_s()
            points = len(levels)
            # The last list ends in one unmeasured 0; before, the field holds its last level.
            try:
                self.source.load([*levels, 0.0] if last else levels.tolist())
                self.x.arm(points)
                self.z.arm(points)
                self.source.start()
                timeout_s = 5.0 + 3.0 * points * self.point_s
                self.source.wait(timeout_s)
                self.x.wait(timeout_s)
                self.z.wait(timeout_s)
                x, z = (fetch(meter, points, self.file.readout.fetch) for meter in (self.x, self.z))
            except (ReplyTimeoutError, SweepVoidError) as error:
                self._check_source(junction)
                raise SweepVoidError(f"{junction}: {error}; this sweep is not used") from None
            check_readings(junction, {"x": x, "z": z}, self.file.readout.trip_share)
            parts.append((levels, x.current_a, z.current_a, x.valid & z.valid))
            if on_list is not None:
                on_list(
                    SweepData(
                        junction, *parts[-1], self.file.readout.voltage, points, start_s,
                        clock.time_s(),
                    )
                )  # fmt: skip
        return parts

    def _check_source(self, junction: str) -> None:
        """Why a list may have ended early.

        Raises:
            ComplianceError: the field source ran into its compliance.
        """
        try:
            held = self.source.in_compliance()
        except BenchError:  # what is told then is how the list failed
            return
        if held:
            line = show(self.file.limits.field_line.compliance_v, "V")
            raise ComplianceError(
                f"{junction}: the field source reached its compliance of {line}: look at the field "
                "line, or mend limits.field_line.resistance"
            )

    def join(self, junction: str) -> None:
        """Join the meters to a junction, at 0 V: everything at zero, open, wait, close, wait."""
        self._selected = None
        for meter in (self.x, self.z):
            meter.set_voltage(0.0)
        for driver in (self.x, self.z, self.source):
            driver.read_level()
        self.switch.open_all()
        self._transport.pause(self.file.timing.relay_settle)
        self.switch.close_relays(self.file.junctions[junction].channels)
        self._transport.pause(self.file.timing.relay_settle)

    def _select(self, junction: str) -> None:
        """Join the meters to a junction, at the read voltage."""
        if self._selected == junction:
            return
        self.join(junction)
        for meter in (self.x, self.z):
            meter.set_voltage(self.file.readout.voltage)
        for role, meter in (("x", self.x), ("z", self.z)):
            at_v = meter.read_level()  # at another voltage all currents would be of another size
            if abs(at_v - self.file.readout.voltage) > 1e-3 * self.file.readout.voltage:
                raise InstrumentError(
                    f"{role}: reads back {show(at_v, 'V')} in place of the read voltage"
                )
        self._selected = junction

    # -- the way home -------------------------------------------------------------------------

    def home(self) -> None:
        """Out of the trigger models, and the field back to 0 A in steps within the limit."""
        self._abort()
        self._ramp_down()

    def all_home(self) -> None:
        """As :meth:`home`, with the junctions at 0 V before."""
        self._abort()
        for meter in (self.x, self.z):
            meter.set_voltage(0.0)
        self._ramp_down()

    def _abort(self) -> None:
        for driver in (self.source, self.x, self.z):
            driver.abort()

    def _ramp_down(self) -> None:
        line, resolution = self.file.limits.field_line, self.programming_step_a
        at = self.source.read_level()
        for level in [*fill(at, 0.0, line.step - resolution), 0.0]:
            if line.slew is not None:
                self._transport.pause(line.step / line.slew)
            self.source.set_current(float(to_step(np.array(level), resolution)))
        self.source.read_level()
