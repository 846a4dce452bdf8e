"""The bench as a PyVISA library, for foreign drivers and notebooks.

``ResourceManager("bench.yaml@spinloop_guarded")`` opens the bench of that file; every message of
every session then passes its limits and its record as our own drivers' do.  What is refused is a
VISA error that carries the sentence.  Options follow a question mark: ``record=FILE`` keeps a
transcript, ``guardian=off`` goes without the guardian, and ``seed``, ``realtime`` and ``physics``
are those of a simulated bench.  Closing the manager brings every output to zero and off.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from pyvisa import VisaIOError, constants, rname
from pyvisa.constants import ResourceAttribute as A
from pyvisa.constants import StatusCode
from pyvisa.highlevel import VisaLibraryBase
from pyvisa.util import LibraryPath

from db import DatabaseError, NullRecorder, Recorder
from instruments.bench import Bench
from instruments.errors import (
    BenchError,
    HeldError,
    LinkLostError,
    ReplyTimeoutError,
    StoppedError,
)
from instruments.link import Link
from instruments.message import units
from instruments.wire import MESSAGE_AVAILABLE

_CODES = (
    (ReplyTimeoutError, StatusCode.error_timeout),
    (LinkLostError, StatusCode.error_connection_lost),
    (HeldError, StatusCode.error_resource_locked),
    (StoppedError, StatusCode.error_abort),
)
_DEMO = "demonstration bench"


class GuardedVisaError(VisaIOError):
    """A VISA error with our sentence.

    Args:
        sentence: what was refused or went wrong, and what to do.
        code: VISA's own code of it.
    """

    def __init__(self, sentence: str, code: StatusCode) -> None:
        super().__init__(code)
        self.description = sentence
        self.args = (sentence, code)

    def __str__(self) -> str:
        return self.description

    def __reduce__(self) -> tuple[type, tuple[Any, ...]]:
        return type(self), self.args


@contextmanager
def _as_visa() -> Iterator[None]:
    """Our errors as VISA errors."""
    try:
        yield
    except BenchError as error:
        code = next((c for kind, c in _CODES if isinstance(error, kind)),
                    StatusCode.error_nonsupported_operation)  # fmt: skip
        raise GuardedVisaError(str(error), code) from error


def _fail(sentence: str, code: StatusCode = StatusCode.error_nonsupported_operation) -> Any:
    raise GuardedVisaError(sentence, code)


@dataclass
class Session:
    """One opened resource.

    Attributes:
        link: the instrument's line in the bench.
        values: the attributes of VISA that it has.
        begun: of a message whose end has not come.
        reply: what can be read.
        late: the error that the next read raises instead.
    """

    link: Link
    values: dict[int, Any]
    begun: bytes = b""
    reply: bytes = b""
    late: ReplyTimeoutError | None = field(default=None)


class GuardedVisaLibrary(VisaLibraryBase):
    """``pyvisa.ResourceManager("[bench.yaml][?option=value]@spinloop_guarded")``."""

    @staticmethod
    def get_library_paths() -> Iterable[LibraryPath]:
        return (LibraryPath(_DEMO),)

    @staticmethod
    def get_debug_info() -> dict[str, str]:
        return {"Version": "a bench of SpinLoop behind its limits"}

    def _init(self) -> None:
        self._numbers = itertools.count(1)
        self._sessions: dict[int, Session | None] = {}  # None: a resource manager's
        self._bench: Bench | None = None
        self._recorder: Recorder | NullRecorder = NullRecorder()

    @property
    def bench(self) -> Bench:
        """The open bench."""
        if self._bench is None:
            _fail(
                "the bench is closed; make a new ResourceManager", StatusCode.error_invalid_object
            )
        assert self._bench is not None
        return self._bench

    def _open_bench(self) -> Bench:
        path, _, query = str(self.library_path).partition("?")
        options = dict(parse_qsl(query, keep_blank_values=True))
        record, guardian = options.pop("record", ""), options.pop("guardian", "on")
        if guardian not in ("on", "off"):
            raise BenchError(f"guardian={guardian}: give on or off")
        arguments: dict[str, Any] = {} if guardian == "on" else {"guardian": False}
        if record:
            self._recorder = Recorder.open(record)
            self._recorder.start_session("visa", {"bench_file": path, "sim": dict(options)})
        file = None if path in ("", _DEMO) else path
        return Bench.open(file, sim=options, recorder=self._recorder, **arguments)

    # -- the bench's time -------------------------------------------------------------------------

    def bench_time_s(self) -> float:
        """The bench's clock, s."""
        return self.bench.clock.time_s()

    def bench_pause(self, seconds: float) -> None:
        """Let bench time pass, s."""
        with _as_visa():
            self.bench.transport.pause(seconds)

    # -- sessions ---------------------------------------------------------------------------------

    def _keep(self, session: Session | None) -> Any:
        number = next(self._numbers)
        self._sessions[number] = session
        return number

    def _session(self, handle: Any) -> Session:
        found = self._sessions.get(handle)
        if found is None:
            self.handle_return_value(None, StatusCode.error_invalid_object)
        assert found is not None
        return found

    def _done(self, handle: Any, status: StatusCode = StatusCode.success) -> StatusCode:
        return self.handle_return_value(handle, status)

    def open_default_resource_manager(self) -> tuple[Any, StatusCode]:
        if self._bench is None:
            try:
                self._bench = self._open_bench()
            except (
                BenchError,
                DatabaseError,
            ) as error:  # PyVISA expects of a library that cannot start an OSError
                raise OSError(str(error)) from None
        return self._keep(None), self._done(None)

    def open(
        self,
        session: Any,
        resource_name: str,
        access_mode: constants.AccessModes = constants.AccessModes.no_lock,
        open_timeout: int = constants.VI_TMO_IMMEDIATE,
    ) -> tuple[Any, StatusCode]:
        if access_mode != constants.AccessModes.no_lock:
            _fail("the bench holds its instruments itself; open them without a lock")
        try:
            wanted = rname.to_canonical_name(resource_name)
        except rname.InvalidResourceName:
            return 0, self._done(session, StatusCode.error_invalid_resource_name)
        for role, one in self.bench.file.connections():
            if rname.to_canonical_name(one.address) == wanted:
                name = rname.ResourceName.from_string(wanted)
                link = self.bench.transport.links[role]
                number = self._keep(Session(link, _attributes(name, wanted)))
                return number, self._done(number)
        known = ", ".join(self.list_resources(session))
        return 0, _fail(
            f"{resource_name} is not in the bench file; it names {known}",
            StatusCode.error_resource_not_found,
        )

    def close(self, session: Any) -> StatusCode:
        if session not in self._sessions:
            return self._done(None, StatusCode.error_invalid_object)
        manager = self._sessions.pop(session) is None
        if manager and None not in self._sessions.values():
            self._close_bench()
        return self._done(None)

    def _close_bench(self) -> None:
        """The last manager is gone: outputs to zero and off."""
        bench, self._bench = self._bench, None
        self._sessions.clear()
        recorder, self._recorder = self._recorder, NullRecorder()
        try:
            if bench is not None:
                with _as_visa():
                    bench.close()
        finally:
            if isinstance(recorder, Recorder):
                recorder.end_session("complete")
                recorder.close()

    def list_resources(self, session: Any, query: str = "?*::INSTR") -> tuple[str, ...]:
        names = (rname.to_canonical_name(one.address) for _, one in self.bench.file.connections())
        return tuple(rname.filter(names, query))

    # -- messages ---------------------------------------------------------------------------------

    def write(self, session: Any, data: bytes) -> tuple[int, StatusCode]:
        """Send the messages that end in ``data``; a question is asked and answered as one job, and
        its answer kept until it is read.

        Raises:
            GuardedVisaError: a message was refused; those behind it are not sent either.
        """
        used = self._session(session)
        *whole, used.begun = (used.begun + data).split(b"\n")
        if used.values[A.send_end_enabled]:  # END comes with the last byte
            whole, used.begun = [*whole, used.begun], b""
        for message in whole:
            text = message.rstrip(b"\r").decode("latin-1")
            if text:
                self._send(used, text)
        return len(data), self._done(session)

    def _send(self, used: Session, text: str) -> None:
        used.reply, used.late = b"", None  # a new message takes the place of what nobody has read
        with _as_visa():
            if not any(unit.is_query for unit in units(text)):
                used.link.write(text)
                return
            try:
                timeout_s = used.values[A.timeout_value] * 1e-3
                used.reply = used.link.query(text, timeout_s=timeout_s) + b"\n"
            except ReplyTimeoutError as error:
                used.late = error

    def read(self, session: Any, count: int) -> tuple[bytes, StatusCode]:
        used = self._session(session)
        if not used.reply:
            late, used.late = used.late, None
            said = str(late) if late else f"{used.link.role}: there is nothing to read; ask first"
            _fail(said, StatusCode.error_timeout)
        end, status = count, StatusCode.success_max_count_read
        if used.values[A.termchar_enabled]:
            place = used.reply.find(bytes([used.values[A.termchar]]), 0, count)
            if place >= 0:
                end, status = place + 1, StatusCode.success_termination_character_read
        data, used.reply = used.reply[:end], used.reply[end:]
        return data, self._done(session, status if used.reply else StatusCode.success)

    def read_stb(self, session: Any) -> tuple[int, StatusCode]:
        used = self._session(session)
        with _as_visa():
            byte = used.link.poll()
        return byte | (MESSAGE_AVAILABLE if used.reply else 0), self._done(session)

    def clear(self, session: Any) -> StatusCode:
        used = self._session(session)
        used.begun, used.reply, used.late = b"", b"", None
        with _as_visa():
            used.link.clear()
        return self._done(session)

    def assert_trigger(self, session: Any, protocol: constants.TriggerProtocol) -> StatusCode:
        """As ``*TRG``, if the limits let that pass."""
        with _as_visa():
            self._session(session).link.write("*TRG")
        return self._done(session)

    def flush(self, session: Any, mask: constants.BufferOperation) -> StatusCode:
        used = self._session(session)
        used.begun = used.reply = b""
        return self._done(session)

    # -- attributes -------------------------------------------------------------------------------

    def get_attribute(self, session: Any, attribute: Any) -> tuple[Any, StatusCode]:
        values = _MANAGER if self._sessions.get(session) is None else self._session(session).values
        if attribute not in values:
            return None, self._done(session, StatusCode.error_nonsupported_attribute)
        return values[attribute], self._done(session)

    def set_attribute(self, session: Any, attribute: Any, attribute_state: Any) -> StatusCode:
        values = self._session(session).values
        if attribute not in values:
            return self._done(session, StatusCode.error_nonsupported_attribute)
        if attribute in _FIXED and attribute_state != values[attribute]:
            return self._done(session, StatusCode.error_attribute_read_only)
        values[attribute] = attribute_state
        return self._done(session)

    # -- events: nobody waits for a request for service here, the bench polls ----------------------

    def disable_event(self, session: Any, event_type: Any, mechanism: Any) -> StatusCode:
        return self._done(session, StatusCode.success_event_already_disabled)

    def discard_events(self, session: Any, event_type: Any, mechanism: Any) -> StatusCode:
        return self._done(session, StatusCode.success_queue_already_empty)


_MANAGER: dict[int, Any] = {A.resource_class: "MEMACC", A.resource_manufacturer_name: "SpinLoop"}
_FIXED = frozenset(
    {A.interface_type, A.resource_class, A.resource_name, A.resource_manufacturer_name}
)


def _attributes(name: rname.ResourceName, text: str) -> dict[int, Any]:
    """What a session begins with."""
    return {
        A.interface_type: name.interface_type_const,
        A.resource_class: name.resource_class,
        A.resource_name: text,
        A.resource_manufacturer_name: "SpinLoop",
        A.timeout_value: 2000,
        A.termchar: ord("\n"),
        A.termchar_enabled: False,
        A.send_end_enabled: True,
        A.suppress_end_enabled: False,
        A.io_prot: constants.IOProtocol.normal,
    }
