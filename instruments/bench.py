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
from urllib.parse import quote, urlencode

import numpy as np
from numpy.typing import NDArray

from db import JSON, Message, NullRecorder, Recorder, Sweep
from instruments.bench_file import BenchFile, load_bench_file
from instruments.drivers import find_driver
from instruments.drivers._readings import read_buffer
from instruments.errors import BenchError, ReplyTimeoutError, StoppedError, SweepVoidError
from instruments.limits import Allowed, Guard
from instruments.message import is_no_error
from instruments.replay import ReplayClock, ReplayWire, Script
from instruments.roles import CurrentSource, MeterReadings, SourceMeter, Switch
from instruments.sweep import Order, Plan, SweepData, arrays_sha256, fill, plan, to_step
from instruments.transport import ERROR_QUEUE, Transport
from instruments.units import show
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
        self._prepared = False  # all settings of a sweep have been made and read back
        self._selected: str | None = None
        #: what did not work on the way to the safe state, a sentence each
        self.unsafe: list[str] = []
        drivers: dict[str, Any] = {}
        allowed: dict[str, Allowed] = {}
        for role, connection in file.connections():
            drivers[role], allowed[role] = find_driver(connection.driver)
        self.guard = Guard(file, allowed)
        self.transport = Transport(wires, clock, self.guard, recorder, stopping)
        try:
            for role in wires:
                self._greet(role, drivers[role].model)
            made = {role: drivers[role](self.transport.links[role]) for role in wires}
            self.source: CurrentSource = made["field"]
            self.x: SourceMeter = made["x"]
            self.z: SourceMeter = made["z"]
            self.switch: Switch = made["switch"]
            self._drivers = made
            for driver in made.values():
                driver.look()
            self._check_step()
        except BaseException:
            self.transport.close()
            raise

    @classmethod
    def open(
        cls,
        file: BenchFile | str | Path | None = None,
        *,
        folder: Path | None = None,
        sim: Mapping[str, str | int | float] | None = None,
        recorder: Recorder | NullRecorder | None = None,
        script: Script | None = None,
    ) -> Bench:
        """Open a bench.

        Args:
            file: the bench file or its path; None is the demonstration bench.
            folder: of a bench file that comes as a BenchFile: where its ``sim`` is looked for.
            sim: options of the simulated bench (``seed``, ``realtime``, ``physics``); without a
                meaning for other backends.
            recorder: where every message goes; None records nothing.
            script: a recorded session that answers in place of instruments.

        Raises:
            BenchFileError: the file is wrong.
            BenchError: an instrument does not answer or is not what the file says.
        """
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
            path = quote(str((folder or Path()) / file.sim)) if file.sim else ""
            library = f"{path}?{urlencode(options)}@spinloop"
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

    def spent_s(self) -> dict[str, float]:
        """Bench seconds since opening, by what they went into (bus, integrate, settle, ...).

        Empty where nobody keeps account: on hardware, and in a replay.
        """
        spent: Callable[[], dict[str, float]] | None = getattr(self.clock, "spent_s", None)
        return spent() if spent else {}

    # -- connecting -----------------------------------------------------------------------------

    def _greet(self, role: str, model: str) -> None:
        """Make sure of who answers, and read away the errors that somebody else left."""
        link, connection = self.transport.links[role], getattr(self.file.instruments, role)
        identity = link.query("*IDN?").decode("ascii", "replace").strip()
        if model.upper() not in identity.upper():
            raise BenchError(
                f"{role}: at {connection.address} answers {identity!r}; the bench file says "
                f"{connection.driver}"
            )
        for _ in range(ERROR_QUEUE):
            if is_no_error(link.query(":SYST:ERR?").decode("ascii", "replace")):
                break

    def _check_step(self) -> None:
        step, resolution = self.file.limits.field_line.step, self.programming_step_a
        if step < 2 * resolution:
            raise BenchError(
                f"limits.field_line.step: {show(step, 'A')} is too fine for the field source, "
                f"whose programming step is {show(resolution, 'A')}: give at least twice that"
            )

    def _enter(self, state: State) -> State:
        """Change the state, unless the bench is tripped or closed; the state before."""
        with self._safe:
            if self.state in (State.TRIPPED, State.CLOSED):
                raise StoppedError(
                    f"the bench is {self.state.value} ({self.trip_reason or 'as planned'}); "
                    "open it anew"
                )
            before, self.state = self.state, state
            return before

    def arm(self) -> None:
        """Set ranges, compliances and triggers, read them back, switch the outputs on at zero.

        Raises:
            InstrumentError: a setting reads back otherwise.
            StoppedError: the bench was stopped.
        """
        before = self._enter(self.state)
        if self._prepared:
            return
        self._selected = None
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
        self._prepared = True
        if before is State.IDLE:
            self._enter(State.ARMED)

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

    def plan(
        self,
        levels_a: Sequence[float] | Array,
        *,
        order: Order = "sorted",
        list_points: int | None = None,
    ) -> Plan:
        """The lists that :meth:`sweep` will run; sends nothing.

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
        return plan(
            wanted,
            step_a=self.file.limits.field_line.step,
            most_points=min(most, list_points or most),
            order=order,
            resolution_a=self.programming_step_a,
        )

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Hold the bench for a run: until the end only this thread's messages pass."""
        with self.transport.held():
            self.arm()
            outer = self._enter(State.RUNNING)
            try:
                yield
            finally:
                with self._safe:
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
            BenchError: no such junction, or the levels are no row of numbers.
            LimitError: a level is above its limit; nothing was sent.
            SweepVoidError: a buffer did not hold exactly the points of its list.
            StoppedError: the bench was stopped.
        """
        self.file.check_junction(junction)
        planned = self.plan(levels_a, order=order, list_points=list_points)
        with self.running():
            first, start_s = self.transport.position, self.clock.time_s()
            try:
                self._select(junction)
                parts = self._run_lists(junction, planned, on_list)
            except BaseException as error:
                self._prepared = False  # the next sweep makes all settings anew
                if isinstance(error, SweepVoidError):
                    self._home()
                elif isinstance(error, Exception):
                    with contextlib.suppress(Exception):  # the first error is the one to hear of
                        self._home()
                raise
            level, x, z, valid = (np.concatenate(column) for column in zip(*parts, strict=True))
            end_s = self.clock.time_s()
            settings: dict[str, JSON] = {"order": order, "lists": [len(p[0]) for p in parts]}
            self.recorder.sweep(
                Sweep(
                    purpose, junction, planned.measured, first, self.transport.position - 1,
                    start_s, end_s, arrays_sha256(level, x, z, valid), settings, run,
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
        """The lists of a sweep one after another.

        Raises:
            SweepVoidError: one of them lost a trigger or a reading.
        """
        parts = []
        for levels in planned.lists:
            last = levels is planned.lists[-1]
            start_s = self.clock.time_s()
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
                x, z = self.x.fetch(points), self.z.fetch(points)
            except (ReplyTimeoutError, SweepVoidError) as error:
                raise SweepVoidError(f"{junction}: {error}; this sweep is not used") from None
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
        for driver in (self.source, self.x, self.z):
            driver.abort()
        step, resolution = self.file.limits.field_line.step, self.programming_step_a
        at = self.source.read_level()
        for level in [*fill(at, 0.0, step - resolution), 0.0]:
            self.source.set_current(float(to_step(np.array(level), resolution)))
        self.source.read_level()

    # -- the end ----------------------------------------------------------------------------------

    def stop(self, reason: str = "stopped by the operator") -> list[str]:
        """Bring everything to zero and off, at once, from any thread; the bench is tripped then.

        Returns:
            What did not work, a sentence each.
        """
        with self._safe:
            if self.state is State.CLOSED or (self.state is State.TRIPPED and not self.unsafe):
                return []
            self._trip(State.TRIPPED, reason)
            return self.unsafe

    def _trip(self, state: State, reason: str) -> None:
        """Go to the safe state, remember how that went, and write it down if it can be."""
        self.unsafe = self._safe_state()
        self.state, self.trip_reason = state, self.trip_reason or reason
        with contextlib.suppress(Exception):  # a full disk must not hide the reason
            if reason:
                self.recorder.event("tripped", reason)
            for problem in self.unsafe:
                self.recorder.event("safe state", problem)

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
            problems = self.transport.stop([("switch", (self.switch.safe_message,))])
        return problems

    def close(self, reason: str = "") -> list[str]:
        """Safe state, then let the instruments go.  ``reason`` says why, if not as planned.

        Raises:
            BenchError: the safe state was not reached and no other error is on its way.
        """
        with self._safe:
            if self.state is State.CLOSED:
                return []
            interrupt: KeyboardInterrupt | None = None
            try:
                while self.state is not State.TRIPPED or self.unsafe:
                    try:
                        tripped = reason or self.state is State.TRIPPED
                        self._trip(State.TRIPPED if tripped else State.CLOSED, reason)
                        break
                    except KeyboardInterrupt as error:  # outputs off comes first
                        interrupt = error
            finally:
                self.transport.close()
        if interrupt is not None:
            raise interrupt
        if self.unsafe and not reason:
            raise BenchError("the safe state was not confirmed: " + "; ".join(self.unsafe))
        return self.unsafe


def derive_sweep(messages: Sequence[Message]) -> tuple[Array, Array, Array, NDArray[np.bool_]]:
    """The arrays of one sweep from its slice of the transcript: levels and both currents, A, and
    whether both readings are valid, every measured point in the order of measuring (what a sweep's
    sha256 is taken over).

    Works on the list sweeps of our drivers: uploads of levels, SREAL replies of current and status.
    """
    levels: list[float] = []
    loaded: list[float] = []
    read: dict[str, list[MeterReadings]] = {"x": [], "z": []}
    for message in messages:
        head, _, values = message.sent.partition(" ")
        if message.op == "write" and head in (":SOUR:LIST:CURR", ":SOUR:LIST:CURR:APP"):
            numbers = [float(value) for value in values.split(",")]
            loaded = loaded + numbers if head.endswith("APP") else numbers
        elif message.op == "query" and head == ":TRAC:DATA?" and message.reply is not None:
            readings = read_buffer(message.reply)
            read[message.instrument].append(readings)
            if message.instrument == "x":
                levels += loaded[: len(readings.valid)]
    x, z = (np.concatenate([one.current_a for one in read[role]]) for role in ("x", "z"))
    sure = [np.concatenate([one.valid for one in read[role]]) for role in ("x", "z")]
    points = min(len(x), len(z))  # the same, unless the transcript was changed
    return np.array(levels), x, z, sure[0][:points] & sure[1][:points]
