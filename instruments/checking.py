"""Looking at a bench: every line is opened and asked, nothing is set, reset, cleared or moved."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from db import NullRecorder
from instruments.bench_file import BenchFile
from instruments.errors import BenchError, GuardianError, HolderError, LinkLostError
from instruments.guarding import HEARTBEAT_S, Guardian, make_plan
from instruments.holder import Holder
from instruments.limits import Guard
from instruments.opening import find_drivers, visa_library
from instruments.state_folder import Rehearsal, addresses, find_latch
from instruments.sweeping import Sweeping
from instruments.transport import Transport
from instruments.units import show
from instruments.wire import BenchClock, VisaClock, Wire, open_visa

Simulated = Mapping[str, str | int | float]


@dataclass(frozen=True)
class Seen:
    """What one instrument says.

    Attributes:
        role, address, driver: as in the bench file.
        identity: its answer to ``*IDN?``; "": none.
        output: whether its output is on; None: it has none, or does not say.
        level, range: as set, in ``unit``.
        fuse: its compliance, in the other unit.
        unit: "A" or "V"; "": it sources nothing.
        limit, fuse_limit: what the bench file allows now.
        closed: the closed relays of a switch.
    """

    role: str
    address: str
    driver: str
    identity: str = ""
    output: bool | None = None
    level: float | None = None
    range: float | None = None
    fuse: float | None = None
    unit: str = ""
    limit: float | None = None
    fuse_limit: float | None = None
    closed: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Check:
    """A bench as it stands.

    Attributes:
        seen: every instrument, in the order of the bench file.
        problems: what would stop a run, a sentence each.
        remarks: what somebody should know.
        guardian, rehearsal: in words.
    """

    bench: str
    backend: str
    seen: tuple[Seen, ...]
    problems: tuple[str, ...]
    remarks: tuple[str, ...]
    guardian: str
    rehearsal: str


class Lookout:
    """Open lines to as many instruments of a bench as answer.  Use it as a context manager.

    Only questions that any observer may ask are sent.  No device clear follows an answer that does
    not come, and a line that is lost stays so.

    Args:
        file: the bench file.
        folder: where its ``sim`` is looked for.
        sim: options of the simulated bench.

    Attributes:
        problems: a sentence for each line that is of no use.
        drivers: of the others.

    Raises:
        BenchError: there is nothing to open.
    """

    def __init__(
        self, file: BenchFile, folder: Path | None = None, sim: Simulated | None = None
    ) -> None:
        self.file = file
        self.problems: list[str] = []
        self.drivers: dict[str, Any] = {}
        self._keep: list[Any] = []  # PyVISA holds a library only as long as somebody does
        self._classes, allowed = find_drivers(file)
        stopping = threading.Event()
        clock, wires = self._open(visa_library(file, folder, sim), stopping)
        self.guard = Guard(file, allowed)
        self.transport = Transport(wires, clock, self.guard, NullRecorder(), stopping)
        for role, one in file.connections():
            if role in wires:
                try:
                    self._greet(role, one.address, one.driver)
                except BenchError as error:
                    self._note(role, one.address, error)

    def _open(self, library: str, stopping: threading.Event) -> tuple[BenchClock, dict[str, Wire]]:
        clock: BenchClock = VisaClock(None, stopping)
        wires: dict[str, Wire] = {}
        for role, one in self.file.connections():
            try:
                clock, opened, keep = open_visa(library, {role: one.address}, stopping)
            except BenchError as error:
                self._note(role, one.address, error)
            else:
                wires[role] = _OnlyAsking(opened[role])
                self._keep.append(keep)
        return clock, wires

    def _greet(self, role: str, address: str, driver: str) -> None:
        link, kind = self.transport.links[role], self._classes[role]
        link.identity = link.query("*IDN?").decode("ascii", "replace").strip()
        if kind.model.upper() not in link.identity.upper():
            raise BenchError(
                f"{role}: at {address} answers {link.identity!r}; the bench file says {driver}: "
                "mend the address or the driver"
            )
        made = kind(link)
        made.look()
        self.drivers[role] = made

    def _note(self, role: str, address: str, error: BenchError) -> None:
        text = str(error)
        if address not in text:
            text = f"{text} (at {address}: is it switched on and connected?)"
        self.problems.append(text if role in text else f"{role}: {text}")

    def seen(self) -> tuple[Seen, ...]:
        """What each instrument says."""
        return tuple(self._seen(role, one.address, one.driver)
                     for role, one in self.file.connections())  # fmt: skip

    def _seen(self, role: str, address: str, driver: str) -> Seen:
        link = self.transport.links.get(role)
        identity = link.identity if link is not None else ""
        if role not in self.drivers:
            return Seen(role, address, driver, identity)
        shadow, node = self.guard.shadows[role], self.guard.on(role)
        if not node.unit:
            closed = None if shadow.closed is None else tuple(sorted(shadow.closed))
            return Seen(role, address, driver, identity, closed=closed)
        return Seen(
            role, address, driver, identity, shadow.output, shadow.level, shadow.range,
            shadow.compliance, node.unit, node.most, node.compliance,
        )  # fmt: skip

    def __enter__(self) -> Lookout:
        return self

    def __exit__(self, *_: object) -> None:
        self.transport.close()


class _OnlyAsking:
    """A wire without what would change something behind the back of its user."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self.begin, self.write, self.poll = wire.begin, wire.write, wire.poll
        self.read_reply, self.wait, self.close = wire.read_reply, wire.wait, wire.close

    def clear(self) -> None:
        """Nothing: a device clear would end what the instrument is at."""

    def reopen(self, timeout_s: float, interrupt: threading.Event) -> None:
        """Not here: it is told that the line was lost."""
        raise LinkLostError("the line was lost")


@contextlib.contextmanager
def held_to_look(file: BenchFile) -> Iterator[None]:
    """Hold a real bench while it is looked at: another program's run must not be asked in between.

    Raises:
        HolderError: another program holds it.
    """
    holder = Holder(addresses(file) if file.backend == "real" else ())
    try:
        yield
    finally:
        holder.release()


def look(
    file: BenchFile, folder: Path | None = None, sim: Simulated | None = None
) -> tuple[tuple[Seen, ...], tuple[str, ...]]:
    """What every instrument is set to, and a sentence for each that does not say.

    Raises:
        HolderError: another program holds one of them.
    """
    with held_to_look(file), Lookout(file, folder, sim) as lookout:
        return lookout.seen(), tuple(lookout.problems)


def not_off(file: BenchFile) -> tuple[str, ...]:
    """The sources that do not report their outputs off, a sentence each.

    The caller holds the bench (:func:`held_to_look`).
    """
    with Lookout(file) as lookout:
        seen = {one.role: one for one in lookout.seen() if one.unit}
        problems = list(lookout.problems)
    return (*(f"{role}: its output is on" for role, one in seen.items() if one.output), *problems)


def check(
    file: BenchFile,
    folder: Path | None = None,
    sim: Simulated | None = None,
    *,
    guardian: bool = True,
    dummies: bool = False,
) -> Check:
    """A bench as it stands, and what would stop a run on it.

    Args:
        file: the bench file.
        folder: where its ``sim`` is looked for.
        sim: options of the simulated bench.
        guardian: try whether a guardian can address every instrument.
        dummies: resistors are connected in place of junctions: no rehearsal is needed.
    """
    real = file.backend == "real"
    own = addresses(file)
    problems = _latch(own) if real else []
    rehearsal = _rehearsal(file) if real else "not needed: the bench is simulated"
    if real and not dummies and Rehearsal.find(file) is None:
        problems.append(f"{rehearsal}: connect resistors and run 'spinloop bench rehearse'")
    words = "not wanted" if real else "not needed: the instruments end with the program"
    seen: tuple[Seen, ...] = ()
    remarks: list[str] = []
    try:
        with held_to_look(file), Lookout(file, folder, sim) as lookout:
            seen = lookout.seen()
            problems += lookout.problems
            remarks += [text for one in seen for text in _remarks(one)]
            if not lookout.problems:
                try:
                    Sweeping(file, lookout.transport, lookout.drivers)
                except BenchError as error:
                    problems.append(str(error))
            if real and guardian:
                words, problem = _guardian(file, lookout)
                problems += problem
    except HolderError as error:
        problems.append(str(error))
        words = "not tried"
        seen = tuple(Seen(role, one.address, one.driver) for role, one in file.connections())
    return Check(file.name, file.backend, seen, tuple(problems), tuple(remarks), words, rehearsal)


def _latch(own: tuple[str, ...]) -> list[str]:
    latch = find_latch(own)
    return [] if latch is None else [str(latch)]


def _rehearsal(file: BenchFile) -> str:
    found = Rehearsal.find(file)
    if found is None:
        return f"{file.name}: no rehearsal is on record for this bench file as it is now"
    return f"made {found.at} with this bench file (session {found.session} in {found.database})"


def _remarks(one: Seen) -> Iterator[str]:
    if one.output:
        level = "an unknown level" if one.level is None else show(one.level, one.unit)
        yield (
            f"{one.role}: its output is on, at {level}; 'spinloop bench off' brings it to zero and "
            "off"
        )
    if one.closed:
        yield (
            f"{one.role}: {', '.join(one.closed)} are closed; 'spinloop bench off' opens them when "
            "all is off"
        )


def _guardian(file: BenchFile, lookout: Lookout) -> tuple[str, list[str]]:
    """Whether a second process can address every instrument beside this one."""
    if lookout.problems:
        return "not tried: not every instrument answers", []
    recorder = NullRecorder()
    plan = make_plan(file, lookout.transport, lookout.drivers, recorder, HEARTBEAT_S)
    try:
        Guardian(plan, lookout.transport, lambda sentence: None).end(True)
    except GuardianError as error:
        return str(error), [
            f"{error}: use a VISA library that lets two programs open one address, or do without "
            "the guardian: --no-guardian"
        ]
    return "can address every instrument beside this program", []
