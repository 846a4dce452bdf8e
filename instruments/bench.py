"""The bench: instruments in their roles, sweeps, and a safe end whatever happens."""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from db import JSON, NullRecorder, Recorder, Sweep
from instruments.bench_file import BenchFile, load_bench_file
from instruments.errors import (
    BenchError,
    ComplianceError,
    GuardianError,
    InstrumentLostError,
    OverflowedError,
    RehearsalError,
    SweepVoidError,
    UnsafeReportError,
)
from instruments.guarding import HEARTBEAT_S, Guardian
from instruments.holder import Holder
from instruments.limits import Guard
from instruments.opening import connect, find_drivers, open_lines
from instruments.precautions import check_rehearsal, watch_over
from instruments.replay import ReplayClock, Script
from instruments.roles import BiasField, CurrentSource, Polarizer, SourceMeter, Switch, Thermometer
from instruments.safe_state import SafeState
from instruments.state_folder import Rehearsal, addresses
from instruments.states import Cause, State, Trip, cause_of
from instruments.sweep import Order, Plan, SweepData, arrays_sha256
from instruments.sweeping import OnList, Sweeping
from instruments.transport import Transport
from instruments.wire import BenchClock, Wire

Array = NDArray[np.float64]
# What a run does not survive, even if its caller catches the error.
_TRIPS = (ComplianceError, InstrumentLostError, OverflowedError, UnsafeReportError)


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
        outlives: tuple[str, ...] = (),
    ) -> None:
        self.file = file
        self.clock = clock
        self.recorder = recorder
        self._keep = keep  # PyVISA holds a library only as long as somebody does
        #: the process that watches over this one; None: there is none
        self.guardian: Guardian | None = None
        #: what :meth:`reading_with` has changed, for the record
        self._settings: dict[str, JSON] = {}
        #: why :meth:`arm` refuses
        self._refusals: list[BenchError] = []
        classes, allowed = find_drivers(file)
        # In a replay nothing moves, and the record has passed the limits on time already.
        replayed = isinstance(clock, ReplayClock)
        self.guard = Guard(file, allowed, None if replayed else clock.time_s)
        self.transport = Transport(wires, clock, self.guard, recorder, stopping)
        try:
            drivers = connect(file, self.transport, classes)
            self._sweeping = Sweeping(file, self.transport, drivers)
        except BaseException:
            self.transport.close()
            raise
        self.drivers: Mapping[str, Any] = drivers
        self.source: CurrentSource = drivers["field"]
        self.x: SourceMeter = drivers["x"]
        self.z: SourceMeter = drivers["z"]
        self.switch: Switch = drivers["switch"]
        self.bias: BiasField | None = drivers.get("bias")
        self.polarizer: Polarizer | None = drivers.get("polarizer")
        self.thermometer: Thermometer | None = drivers.get("thermometer")
        self._safety = SafeState(self.transport, drivers, recorder, file.name, outlives)
        self._safety.home, self._safety.keep = self._sweeping.all_home, keep
        # A bench that nobody holds any more, because an interrupt fell between two lines, is closed
        # all the same; not in the thread that happens to collect it, which may be an owner.
        weakref.finalize(self, _close_elsewhere, self._safety).atexit = False

    @classmethod
    def open(
        cls,
        file: BenchFile | str | Path | None = None,
        *,
        folder: Path | None = None,
        sim: Mapping[str, str | int | float] | None = None,
        recorder: Recorder | NullRecorder | None = None,
        script: Script | None = None,
        guardian: bool = True,
        heartbeat_s: float = HEARTBEAT_S,
        dummies: bool = False,
        rehearsal: Rehearsal | None = None,
    ) -> Bench:
        """Open a bench.

        The last four matter with ``backend: real`` alone, whose instruments outlive this process.

        Args:
            file: the bench file or its path; None is the demonstration bench.
            folder: of a bench file that comes as a BenchFile: where its ``sim`` is looked for.
            sim: options of the simulated bench (``seed``, ``realtime``, ``physics``); without a
                meaning for other backends.
            recorder: where every message goes; None records nothing.
            script: a recorded session that answers in place of instruments.
            guardian: start the process that watches over this one.  Without it the bench says so
                in the record, and nobody switches off for a program that is killed.
            heartbeat_s: for so long this process may hang until the guardian acts.
            dummies: resistors are connected in place of junctions: no rehearsal is needed.
            rehearsal: the rehearsal that was made with this file; None: the one on record.

        Raises:
            BenchFileError: the file is wrong.
            HolderError: another program holds an instrument.
            BenchError: an instrument does not answer or is not what the file says.
        """
        if not isinstance(file, BenchFile):
            folder = Path(file).parent if file is not None else folder
            file, _ = load_bench_file(file)
        recorder = NullRecorder() if recorder is None else recorder
        stopping = threading.Event()
        real = file.backend == "real" and script is None
        outlives = addresses(file) if real else ()
        holder = Holder(outlives)
        try:
            clock, wires, keep = open_lines(file, folder, sim, script, stopping)
            bench = cls(file, clock, wires, recorder, stopping, keep, outlives)
        except BaseException:
            holder.release()
            raise
        bench._safety.leaving.append(lambda safe: holder.release())
        if real:
            try:
                bench._take_precautions(guardian, heartbeat_s, dummies, rehearsal)
            except BaseException:
                bench._safety.let_go()
                raise
        return bench

    def _take_precautions(
        self, guarded: bool, heartbeat_s: float, dummies: bool, rehearsal: Rehearsal | None
    ) -> None:
        """What a real bench must have; without it :meth:`arm` refuses, and looking is allowed."""
        try:
            if guarded:
                self.guardian = watch_over(
                    self.file, self.transport, self.drivers, self.recorder, self._safety,
                    heartbeat_s,
                )  # fmt: skip
            else:
                self.recorder.event("guardian", "none: it was not wanted")
        except GuardianError as error:
            self._refusals.append(error)
        try:
            if dummies:
                self.recorder.event("rehearsal", "on dummy resistors in place of junctions")
            else:
                check_rehearsal(self.file, rehearsal)
        except RehearsalError as error:
            self._refusals.append(error)

    def __enter__(self) -> Bench:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.close()
        else:
            self._safety.close(cause_of(error), f"{type(error).__name__}: {error}".rstrip(": "))

    # -- how it stands --------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """Idle, armed, running, tripped or closed."""
        return self._safety.state

    @property
    def trip(self) -> Trip | None:
        """What brought it to the safe state before its time; None: nothing has."""
        return self._safety.trip

    @property
    def unsafe(self) -> list[str]:
        """What did not work on the way to the safe state, a sentence each."""
        return self._safety.unsafe

    @property
    def refusals(self) -> tuple[str, ...]:
        """Why it does not arm: no guardian that can do its work, no rehearsal."""
        return tuple(str(error) for error in self._refusals)

    def spent_s(self) -> dict[str, float]:
        """Bench seconds since opening, by what they went into (bus, integrate, settle, ...).

        Empty where nobody keeps account: on hardware, and in a replay.
        """
        spent: Callable[[], dict[str, float]] | None = getattr(self.clock, "spent_s", None)
        return spent() if spent else {}

    @property
    def reading_s(self) -> float:
        """What one meter takes for a reading, with room for its latencies, s."""
        return self._sweeping.reading_s

    @property
    def point_s(self) -> float:
        """What one point of a sweep takes at most, s."""
        return self._sweeping.point_s

    @property
    def programming_step_a(self) -> float:
        """The field source's programming step, A: levels are multiples of it."""
        return self._sweeping.programming_step_a

    # -- runs -------------------------------------------------------------------------------------

    def arm(self) -> None:
        """Set ranges, compliances and triggers, read them back, switch the outputs on at zero.

        Raises:
            GuardianError, RehearsalError: what a real bench must have is missing.
            LatchedError: an earlier trip of these instruments has not been reset.
            InstrumentError: a setting reads back otherwise.
            LimitError: it is too warm.
            StoppedError: the bench was stopped.
        """
        for refusal in self._refusals:
            raise refusal
        idle = self.state is State.IDLE
        self._safety.enter(State.ARMED if idle else self.state)
        self._sweeping.prepare()

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
        return self._sweeping.plan(levels_a, order, list_points)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Hold the bench for a run: until the end only this thread's messages pass."""
        with self.transport.held():
            self.arm()
            outer = self._safety.enter(State.RUNNING)
            try:
                yield
            except _TRIPS as error:
                self._safety.stop(cause_of(error), str(error))
                raise
            finally:
                self._safety.leave(outer)

    @contextlib.contextmanager
    def reading_with(
        self, *, nplc: float | None = None, voltage_v: float | None = None
    ) -> Iterator[None]:
        """Sweeps inside are read with another integration time or voltage than the bench file's.

        The next sweep, and the first one afterwards, make all settings and the way to their
        junction anew.

        Raises:
            LimitError: a limit forbids it.
        """
        before, self._settings = self.file, {}
        self.use(before.read_with(nplc, voltage_v))
        if nplc is not None:
            self._settings["nplc"] = nplc
        if voltage_v is not None:
            self._settings["voltage_v"] = voltage_v
        try:
            yield
        finally:
            self._settings = {}
            self.use(before)

    def use(self, file: BenchFile) -> None:
        """Prepare and sweep by another file; the limits stay those of the one it was opened with.
        All settings, and the way to a junction, are made anew."""
        self.file = self._sweeping.file = file
        self._sweeping.forget()

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
            ComplianceError, OverflowedError, InstrumentLostError: the bench has tripped.
            StoppedError: the bench was stopped.
        """
        self.file.check_junction(junction)
        planned = self.plan(levels_a, order=order, list_points=list_points)
        with self.running():
            first, start_s = self.transport.position, self.clock.time_s()
            try:
                parts = self._sweeping.run(junction, planned, on_list)
            except BaseException as error:
                self._sweeping.prepared = False  # the next sweep makes all settings anew
                if isinstance(error, SweepVoidError):
                    self._sweeping.home()
                elif isinstance(error, Exception) and not isinstance(error, _TRIPS):
                    with contextlib.suppress(Exception):  # the first error is the one to hear of
                        self._sweeping.home()
                raise
            level, x, z, valid = (np.concatenate(column) for column in zip(*parts, strict=True))
            end_s = self.clock.time_s()
            settings: dict[str, JSON] = {
                "order": order, "lists": [len(p[0]) for p in parts], **self._settings,
            }  # fmt: skip
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

    def join(self, junction: str) -> None:
        """Arm, and join the meters to a junction at 0 V, by relays that move with all at zero.

        Raises:
            BenchError: no such junction; what :meth:`arm` raises.
            LimitError: a source does not read back zero.
        """
        self.file.check_junction(junction)
        with self.running():
            self._sweeping.join(junction)

    # -- the end ----------------------------------------------------------------------------------

    def stop(
        self, reason: str = "stopped by the operator", cause: Cause = Cause.OPERATOR
    ) -> list[str]:
        """Bring everything to zero and off, at once, from any thread; the bench is tripped then.

        Returns:
            What did not work, a sentence each.
        """
        return self._safety.stop(cause, reason)

    def reset(self) -> None:
        """After a trip, and a look at the bench: idle again, and the latch is off.

        Raises:
            HeldError: the run that was stopped has not ended yet.
            StoppedError: the bench is closed.
            BenchError: the safe state is still not confirmed.
        """
        self._safety.reset()
        self._sweeping.forget()

    def close(self, reason: str = "") -> list[str]:
        """Safe state, then let the instruments go.  ``reason`` says why, if not as planned.

        Raises:
            BenchError: the safe state was not reached and no other error is on its way.
        """
        return self._safety.close(Cause.EXCEPTION, reason)


def _close_elsewhere(safety: SafeState) -> None:
    if not safety.is_gone:
        threading.Thread(target=safety.abandoned, name="closing a bench").start()
