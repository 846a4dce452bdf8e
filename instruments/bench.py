"""The bench: instruments in their roles, sweeps, and a safe end whatever happens."""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlencode

import numpy as np
from numpy.typing import NDArray

from db import JSON, Message, NullRecorder, Recorder, Sweep
from instruments.bench_file import BenchFile, load_bench_file
from instruments.drivers import find_driver
from instruments.errors import BenchError, ReplyTimeoutError, StoppedError, SweepVoidError
from instruments.limits import Allowed, Guard
from instruments.replay import ReplayClock, ReplayWire, Script
from instruments.roles import CurrentSource, SourceMeter, Switch
from instruments.sweep import Order, Plan, SweepData, arrays_sha256, fill, plan, to_step
from instruments.transport import Transport
from instruments.wire import BenchClock, Wire, open_visa

Array = NDArray[np.float64]
_READING_MARGIN_S = 1e-3  # trigger latencies of a reading, with room
_instances = itertools.count()
OnList = Callable[[SweepData], None]


class State(Enum):
    """State of a bench."""

    IDLE = "idle"
    ARMED = "armed"
    RUNNING = "running"
    TRIPPED = "tripped"
    CLOSED = "closed"


class Bench:
    """An open bench.  Use it as a context manager: leaving it, by whatever way, brings every
    output to zero and off.

    Opening connects and looks; it changes no output and moves no relay.  The first sweep arms.
    """

    def __init__(
        self,
        file: BenchFile,
        clock: BenchClock,
        wires: dict[str, Wire],
        recorder: Recorder | NullRecorder,
        stopping: threading.Event,
        keep: Any = None,
    ) -> None:
        self.file = file
        self.clock = clock
        self.recorder = recorder
        self.state = State.IDLE
        self.trip_reason = ""
        self._keep = keep  # PyVISA holds a library only as long as somebody does
        self._safe = threading.RLock()
        self._selected: str | None = None
        drivers: dict[str, Any] = {}
        allowed: dict[str, Allowed] = {}
        for role, connection in file.connections():
            drivers[role], allowed[role] = find_driver(connection.driver)
        self.guard = Guard(file, allowed)
        self.transport = Transport(wires, clock, self.guard, recorder, stopping)
        try:
            made = {role: drivers[role](self.transport.links[role]) for role in wires}
            self.source: CurrentSource = made["field"]
            self.x: SourceMeter = made["x"]
            self.z: SourceMeter = made["z"]
            self.switch: Switch = made["switch"]
            self._drivers = made
            self._connect()
        except BaseException:
            self.transport.close()
            raise

    @classmethod
    def open(
        cls,
        file: BenchFile | str | Path | None = None,
        *,
        sim: Mapping[str, str | int | float] | None = None,
        recorder: Recorder | NullRecorder | None = None,
        script: Script | None = None,
    ) -> Bench:
        """Open a bench.

        Args:
            file: the bench file or its path; None is the demonstration bench.
            sim: options of the simulated bench (``seed``, ``realtime``, ``physics``); without a
                meaning for other backends.
            recorder: where every message goes; None records nothing.
            script: a recorded session that answers in place of instruments.

        Raises:
            BenchFileError: the file is wrong.
            BenchError: an instrument does not answer or is not what the file says.
        """
        folder = Path()
        if not isinstance(file, BenchFile):
            folder = Path(file).parent if file is not None else folder
            file, _ = load_bench_file(file)
        stopping = threading.Event()
        recorder = NullRecorder() if recorder is None else recorder
        roles = [role for role, _ in file.connections()]
        if script is not None:
            wires: dict[str, Wire] = {role: ReplayWire(role, script) for role in roles}
            return cls(file, ReplayClock(script), wires, recorder, stopping)
        if file.backend == "replay":
            raise BenchError("a bench file with 'backend: replay' needs a session to replay")
        library = ""
        if file.backend == "sim":
            # A name of its own: this bench starts from power-on and is shared with nobody.
            options = dict(sim or {}) | {"instance": f"{os.getpid()}-{next(_instances)}"}
            library = f"{folder / file.sim if file.sim else ''}?{urlencode(options)}@spinloop"
        addresses = {role: connection.address for role, connection in file.connections()}
        clock, wires, keep = open_visa(library, addresses, stopping)
        return cls(file, clock, wires, recorder, stopping, keep)

    def __enter__(self) -> Bench:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        reason = "" if error is None else f"{type(error).__name__}: {error}".rstrip(": ")
        self.close(reason)

    # -- connecting -----------------------------------------------------------------------------

    def _connect(self) -> None:
        for role, driver in self._drivers.items():
            identity = driver.ask("*IDN?")
            if driver.model.upper() not in identity.upper():
                address = getattr(self.file.instruments, role).address
                raise BenchError(
                    f"{role}: at {address} answers {identity!r}; the bench file says "
                    f"{getattr(self.file.instruments, role).driver}"
                )
            driver.look()

    def arm(self) -> None:
        """Set ranges, compliances and triggers, read them back, switch the outputs on at zero.

        Raises:
            InstrumentError: a setting reads back otherwise.
        """
        if self.state in (State.ARMED, State.RUNNING):
            return
        if self.state in (State.TRIPPED, State.CLOSED):
            raise StoppedError(
                f"the bench is {self.state.value} ({self.trip_reason or 'as planned'}); "
                "open it anew"
            )
        file = self.file
        line, timing = file.limits.field_line, file.timing
        with self.transport.held():
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
                largest_a=line.current,
                compliance_v=line.compliance_v,
                delay_s=timing.settle if ring else timing.settle + self.reading_s,
                pulse_after_delay=ring,
                trigger_in=3 if ring else None,
                trigger_out=1,
            )
        self.state = State.ARMED

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
        return self.source.programming_step_a(self.file.limits.field_line.current)

    # -- sweeping ---------------------------------------------------------------------------------

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Hold the bench for a run: until the end only this thread's messages pass."""
        with self.transport.held():
            self.arm()
            outer, self.state = self.state, State.RUNNING
            try:
                yield
            finally:
                if self.state is State.RUNNING:
                    self.state = outer

    def sweep(
        self,
        junction: str,
        levels_a: Sequence[float] | Array,
        *,
        purpose: str = "sweep",
        order: Order = "sorted",
        list_points: int | None = None,
        on_list: OnList | None = None,
        run: int | None = None,
    ) -> SweepData:
        """Sweep the field line and read both reference layers of one junction at every level.

        Args:
            junction: its name in the bench file.
            levels_a: field-line currents, A, shape [N]; rounded to the programming step.
            purpose: "calibrate", "train", "evaluate", "check" or "sweep", for the record.
            order: "sorted" or "given".
            list_points: most points of one list; shorter lists show results sooner.
            on_list: is called with the data of each list as soon as it is measured.
            run: the recorded run that this sweep belongs to.

        Raises:
            BenchError: no such junction.
            LimitError: a level or a step is above its limit; nothing was sent of the list.
            SweepVoidError: a buffer did not hold exactly the points of its list.
            StoppedError: the bench was stopped.
        """
        if junction not in self.file.junctions:
            known = ", ".join(self.file.junctions)
            raise BenchError(f"no junction {junction!r} in the bench file; there are {known}")
        if len(levels_a) == 0:
            raise BenchError("a sweep needs at least one level")
        most = min(self.x.most_points, self.z.most_points, self.source.most_points - 1)
        planned = plan(
            levels_a,
            step_a=self.file.limits.field_line.step,
            most_points=min(most, list_points or most),
            order=order,
            resolution_a=self.programming_step_a,
        )
        with self.running():
            first, start_s = self.transport.position, self.clock.time_s()
            self._select(junction)
            try:
                parts = self._run_lists(junction, planned, on_list)
            except (ReplyTimeoutError, SweepVoidError) as error:
                self._home()
                raise SweepVoidError(f"{junction}: {error}; this sweep is not used") from None
            self.source.read_level()
            level, x, z, valid = (np.concatenate(column) for column in zip(*parts, strict=True))
            end_s = self.clock.time_s()
            settings: dict[str, JSON] = {"order": order, "lists": [len(p[0]) for p in parts]}
            self.recorder.sweep(
                Sweep(
                    purpose, junction, planned.measured, first, self.transport.position - 1,
                    start_s, end_s, arrays_sha256(level, x, z), settings, run,
                )
            )  # fmt: skip
        at = planned.index
        return SweepData(
            junction, level[at], x[at], z[at], valid[at], self.file.readout.voltage,
            planned.measured, start_s, end_s,
        )  # fmt: skip

    def _run_lists(
        self, junction: str, planned: Plan, on_list: OnList | None
    ) -> list[tuple[Array, Array, Array, NDArray[np.bool_]]]:
        parts = []
        for levels in planned.lists:
            last = levels is planned.lists[-1]
            start_s = self.clock.time_s()
            points = len(levels)
            # The last list ends in one unmeasured 0; before, the field holds its last level.
            self.source.load([*levels, 0.0] if last else levels.tolist())
            self.x.arm(points)
            self.z.arm(points)
            self.source.start()
            timeout_s = 5.0 + 3.0 * points * self.point_s
            self.source.wait(timeout_s)
            self.x.wait(timeout_s)
            self.z.wait(timeout_s)
            x, z = self.x.fetch(points), self.z.fetch(points)
            parts.append((levels, x.current_a, z.current_a, x.valid & z.valid))
            if on_list is not None:
                on_list(
                    SweepData(
                        junction, *parts[-1], self.file.readout.voltage, points, start_s,
                        self.clock.time_s(),
                    )
                )  # fmt: skip
        return parts

    def _select(self, junction: str) -> None:
        """Join the meters to a junction: everything at zero, open, wait, close, wait."""
        if self._selected == junction:
            return
        self._selected = None
        for meter in (self.x, self.z):
            meter.set_voltage(0.0)
        for driver in (self.x, self.z, self.source):
            driver.read_level()
        self.switch.open_all()
        self.transport.pause(self.file.timing.relay_settle)
        self.switch.close_relays(self.file.junctions[junction].channels)
        self.transport.pause(self.file.timing.relay_settle)
        for meter in (self.x, self.z):
            meter.set_voltage(self.file.readout.voltage)
        self._selected = junction

    def _home(self) -> None:
        """After a sweep that failed: out of the trigger models, and the field back to 0 A."""
        links = self.transport.links
        for role in ("field", "x", "z"):
            links[role].write(":SOUR:SWE:ABOR" if role == "field" else ":ABOR")
        step, resolution = self.file.limits.field_line.step, self.programming_step_a
        at = self.source.read_level()
        for level in [*fill(at, 0.0, step - resolution), 0.0]:
            links["field"].write(f":SOUR:CURR {to_step(level, resolution):.7g}")
        self.source.read_level()

    # -- the end ----------------------------------------------------------------------------------

    def stop(self, reason: str = "stopped by the operator") -> list[str]:
        """Bring everything to zero and off, at once, from any thread; the bench is tripped then.

        Returns:
            What did not work, a sentence each.
        """
        with self._safe:
            if self.state in (State.TRIPPED, State.CLOSED):
                return []
            self.trip_reason = reason
            problems = self._safe_state()
            self.state = State.TRIPPED
            self.recorder.event("tripped", reason)
            for problem in problems:
                self.recorder.event("safe state", problem)
            return problems

    def _safe_state(self) -> list[str]:
        """Junction voltages to 0, field to 0, outputs off, relays last."""
        off = {role: self._drivers[role].stop_messages() for role in ("x", "z", "field")}
        order = [(role, zero) for role, (zero, _, _) in off.items()]
        order += [(role, (*power, look)) for role, (_, power, look) in off.items()]
        problems = self.transport.stop(order)
        for role in off:
            shadow = self.guard.shadows[role]
            if not ("output" in shadow.confirmed and shadow.output is False):
                problems.append(f"{role}: does not report its output off")
        if not problems:
            problems = self.transport.stop([("switch", (":ROUT:OPEN ALL",))])
        return problems

    def close(self, reason: str = "") -> list[str]:
        """Safe state, then let the instruments go.  ``reason`` says why, if not as planned.

        Raises:
            BenchError: the safe state was not reached and no other error is on its way.
        """
        with self._safe:
            try:
                done = self.state in (State.TRIPPED, State.CLOSED)
                problems = [] if done else self._leave(reason)
            finally:
                self.transport.close()
        if problems and not reason:
            raise BenchError("the safe state was not confirmed: " + "; ".join(problems))
        return problems

    def _leave(self, reason: str) -> list[str]:
        while True:
            try:
                problems = self._safe_state()
                break
            except KeyboardInterrupt:  # outputs off comes first; then the interrupt has its way
                continue
        self.state, self.trip_reason = (State.TRIPPED if reason else State.CLOSED), reason
        with contextlib.suppress(Exception):  # a full disk must not hide the reason
            if reason:
                self.recorder.event("tripped", reason)
            for problem in problems:
                self.recorder.event("safe state", problem)
        return problems


def derive_sweep(messages: Sequence[Message]) -> tuple[Array, Array, Array]:
    """The arrays of one sweep from its slice of the transcript: levels and both currents, A, every
    measured point in the order of measuring (what a sweep's sha256 is taken over).

    Works on the list sweeps of our drivers: uploads of levels, SREAL replies of current and status.
    """
    levels: list[float] = []
    loaded: list[float] = []
    currents: dict[str, list[Array]] = {"x": [], "z": []}
    for message in messages:
        head, _, values = message.sent.partition(" ")
        if message.op == "write" and head in (":SOUR:LIST:CURR", ":SOUR:LIST:CURR:APP"):
            numbers = [float(value) for value in values.split(",")]
            loaded = loaded + numbers if head.endswith("APP") else numbers
        elif message.op == "query" and head == ":TRAC:DATA?" and message.reply is not None:
            table = np.frombuffer(message.reply[2:], dtype="<f4").reshape(-1, 2)
            currents[message.instrument].append(table[:, 0].astype(np.float64))
            if message.instrument == "x":
                levels += loaded[: len(table)]
    return np.array(levels), np.concatenate(currents["x"]), np.concatenate(currents["z"])
