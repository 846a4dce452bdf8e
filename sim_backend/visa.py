"""The simulated bench as a PyVISA library.

Nothing blocks here: a read without a reply times out at once, a lock that somebody else holds is
refused at once, and time passes only by ``bench_pause`` and by waiting for an event.  Three methods
go beyond VISA, for who wants the bench's own time: ``bench_time_s``, ``bench_pause`` and
``bench_spent_s``.  A library that lacks them (hardware) is timed by the wall clock.  A program that
calls none of them knows nothing of that time: when it looks at a status twice in a row while
something runs, it is taken to wait, and time goes on to the next end.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from typing import Any

from pyvisa import constants, rname
from pyvisa.constants import EventMechanism, EventType, Lock, ResourceAttribute, StatusCode
from pyvisa.errors import VisaIOError
from pyvisa.highlevel import VisaLibraryBase
from pyvisa.util import LibraryPath

from sim_backend.opening import DEMO, open_bench
from sim_backend.visa_attributes import refusal
from sim_backend.visa_sessions import Manager, Session

__all__ = ["SpinLoopVisaLibrary", "open_bench"]

#: what a program asks over and over until something has ended: status, trigger model, buffer
_STATUS = re.compile(
    rb"\s*(\*(STB|ESR)|:?STAT\w*:\S*|:?TRIG\w*:STAT\w*|:?(TRAC|DATA)\w*:(POIN\w*:)?ACT[\w:]*)"
    rb"\?[^;]*",
    re.IGNORECASE,
)
_STEP_S = 0.02  # bench time after which a wait in real time looks for what has happened


class SpinLoopVisaLibrary(VisaLibraryBase):
    """``pyvisa.ResourceManager("[sim.yaml][?option=value]@spinloop")``."""

    @staticmethod
    def get_library_paths() -> Iterable[LibraryPath]:
        return (LibraryPath(DEMO),)

    @staticmethod
    def get_debug_info() -> dict[str, str]:
        return {"Version": "simulated bench of SpinLoop"}

    def _init(self) -> None:
        self.bench = open_bench(str(self.library_path))
        self._numbers = itertools.count(1)
        #: what each handle stands for; a type of event is the context of one that happened
        self._handles: dict[int, Session | Manager | EventType] = {}
        self._keeps_time = False  # somebody asks for the bench's own time
        self._looked_ns = -1  # the clock when a status was last looked at

    # -- the bench's time -------------------------------------------------------------------------

    def bench_time_s(self) -> float:
        """The bench's clock, s."""
        self._keeps_time = True
        with self.bench.lock:  # meanwhile the clock may stand where something is due
            return self.bench.clock.now_s

    def bench_pause(self, seconds: float) -> None:
        """Wait ``seconds`` of bench time; with a sweep running, to its end."""
        self._keeps_time = True
        self._pause(seconds)

    def _pause(self, seconds: float) -> None:
        self.bench.pause(seconds)
        self._tell()

    def _look(self) -> None:
        """Somebody is about to look at a status."""
        if self._keeps_time:
            return
        if self._looked_ns == self.bench.clock.now_ns and not self.bench.timeline.idle:
            self._pause(0.0)
        self._looked_ns = self.bench.clock.now_ns

    def bench_spent_s(self) -> dict[str, float]:
        """Bench seconds by what they went into: bus, upload, integrate, settle, fetch, relay."""
        with self.bench.lock:
            return dict(self.bench.spent_s)

    # -- sessions ---------------------------------------------------------------------------------

    def _keep(self, thing: Session | Manager | EventType) -> Any:
        number = next(self._numbers)
        self._handles[number] = thing
        return number

    def _done(self, handle: Any, status: StatusCode = StatusCode.success) -> StatusCode:
        """Raise what is an error; otherwise call the handlers of requests for service."""
        status = self.handle_return_value(handle, status)
        self._tell()
        return status

    def _session(self, handle: Any, *, uses: bool = True) -> Session:
        """The session; ``uses``: somebody else's lock is in the way."""
        found = self._handles.get(handle)
        if not isinstance(found, Session):
            self.handle_return_value(None, StatusCode.error_invalid_object)
        assert isinstance(found, Session)
        if uses and not found.access.allows(found):
            self.handle_return_value(handle, StatusCode.error_resource_locked)
        if uses and (lost := found.lost) is not None:
            self.handle_return_value(handle, lost)
        return found

    def open_default_resource_manager(self) -> tuple[Any, StatusCode]:
        return self._keep(Manager()), self.handle_return_value(None, StatusCode.success)

    def open(
        self,
        session: Any,
        resource_name: str,
        access_mode: constants.AccessModes = constants.AccessModes.no_lock,
        open_timeout: int = constants.VI_TMO_IMMEDIATE,
    ) -> tuple[Any, StatusCode]:
        try:
            name = rname.ResourceName.from_string(resource_name)
        except rname.InvalidResourceName:
            self.handle_return_value(session, StatusCode.error_invalid_resource_name)
            raise
        instrument = self.bench.instruments.get(str(name))
        if instrument is None:
            self.handle_return_value(session, StatusCode.error_resource_not_found)
        assert instrument is not None
        if (lost := self.bench.faults.link(instrument.name, self.bench.clock.now_s)) is not None:
            self.handle_return_value(session, lost)
        made = Session(self.bench, instrument, name, session)
        number = self._keep(made)
        if access_mode != constants.AccessModes.no_lock:
            kind = (
                Lock.exclusive
                if access_mode == constants.AccessModes.exclusive_lock
                else Lock.shared
            )
            try:
                self.lock(number, kind, open_timeout, "")
            except VisaIOError:
                self.close(number)
                raise
        return number, self._done(number)

    def close(self, session: Any) -> StatusCode:
        gone = self._handles.pop(session, None)
        if gone is None:
            return self.handle_return_value(None, StatusCode.error_invalid_object)
        if isinstance(gone, Session):
            gone.close()
        return self.handle_return_value(None, StatusCode.success)

    def list_resources(self, session: Any, query: str = "?*::INSTR") -> tuple[str, ...]:
        return tuple(rname.filter(self.bench.instruments, query))

    # -- messages ---------------------------------------------------------------------------------

    def write(self, session: Any, data: bytes) -> tuple[int, StatusCode]:
        used = self._session(session)
        if _STATUS.fullmatch(data):
            self._look()
        used.write(data)
        return len(data), self._done(session, used.lost or StatusCode.success)

    def read(self, session: Any, count: int) -> tuple[bytes, StatusCode]:
        data, status = self._session(session).read(count)
        return data, self._done(session, status)

    def read_stb(self, session: Any) -> tuple[int, StatusCode]:
        used = self._session(session)
        if not used.has_bus_lines:
            self.handle_return_value(session, StatusCode.error_nonsupported_operation)
        self._look()
        byte = used.serial_poll()
        return byte, self._done(session)

    def assert_trigger(self, session: Any, protocol: constants.TriggerProtocol) -> StatusCode:
        used = self._session(session)
        if not used.has_bus_lines:
            self.handle_return_value(session, StatusCode.error_nonsupported_operation)
        if protocol != constants.TriggerProtocol.default:
            self.handle_return_value(session, StatusCode.error_invalid_protocol)
        used.trigger()
        return self._done(session)

    def clear(self, session: Any) -> StatusCode:
        self._session(session).clear()
        return self._done(session)

    def flush(self, session: Any, mask: constants.BufferOperation) -> StatusCode:
        self._session(session).flush(int(mask))
        return self._done(session)

    # -- attributes -------------------------------------------------------------------------------

    def get_attribute(self, session: Any, attribute: Any) -> tuple[Any, StatusCode]:
        found = self._handles.get(session)
        values: dict[int, Any] = {}
        if isinstance(found, Session):
            values = found.attributes
            if attribute == ResourceAttribute.resource_lock_state:
                return found.lock_state, self.handle_return_value(session, StatusCode.success)
        elif isinstance(found, EventType):
            values = {constants.EventAttribute.event_type: found}
        elif isinstance(found, Manager):
            values = found.attributes
        else:
            self.handle_return_value(None, StatusCode.error_invalid_object)
        if attribute not in values:
            self.handle_return_value(session, StatusCode.error_nonsupported_attribute)
        return values[attribute], self.handle_return_value(session, StatusCode.success)

    def set_attribute(
        self, session: Any, attribute: ResourceAttribute, attribute_state: Any
    ) -> StatusCode:
        found = self._handles.get(session)
        if not isinstance(found, Session | Manager):
            return self.handle_return_value(None, StatusCode.error_invalid_object)
        if attribute not in found.attributes:
            return self.handle_return_value(session, StatusCode.error_nonsupported_attribute)
        refused = refusal(attribute, attribute_state)
        if refused is not None:
            return self.handle_return_value(session, refused)
        found.attributes[attribute] = attribute_state
        return self.handle_return_value(session, StatusCode.success)

    # -- locks ------------------------------------------------------------------------------------

    def lock(
        self, session: Any, lock_type: Lock, timeout: int, requested_key: str | None = None
    ) -> tuple[str, StatusCode]:
        """Nothing blocks in process: a lock that somebody else holds is refused at once."""
        used = self._session(session, uses=False)
        before, key = used.lock_status, ""
        if lock_type == Lock.exclusive:
            got = used.access.lock(used)
        else:
            key = requested_key or used.shared_key or f"spinloop-{session}"
            got = used.access.share(used, key)
        if not got:
            self.handle_return_value(session, StatusCode.error_resource_locked)
        return key, self.handle_return_value(session, before)

    def unlock(self, session: Any) -> StatusCode:
        used = self._session(session, uses=False)
        if not used.access.unlock(used):
            return self.handle_return_value(session, StatusCode.error_session_not_locked)
        return self.handle_return_value(session, used.lock_status)

    # -- events -----------------------------------------------------------------------------------

    def _requests(self, session: Any, event_type: Any, *, all_enabled: bool = True) -> Session:
        """The session, if it has such events: requests for service, on a bus that carries them."""
        used = self._session(session, uses=False)
        known = event_type == EventType.service_request and used.has_end
        if not known and not (all_enabled and event_type == EventType.all_enabled):
            self.handle_return_value(session, StatusCode.error_invalid_event)
        return used

    def enable_event(
        self, session: Any, event_type: Any, mechanism: Any, context: None = None
    ) -> StatusCode:
        return self._done(session, self._requests(session, event_type).enable(int(mechanism)))

    def disable_event(self, session: Any, event_type: Any, mechanism: Any) -> StatusCode:
        return self._done(session, self._requests(session, event_type).disable(int(mechanism)))

    def discard_events(self, session: Any, event_type: Any, mechanism: Any) -> StatusCode:
        return self._done(session, self._requests(session, event_type).discard(int(mechanism)))

    def wait_on_event(
        self, session: Any, in_event_type: EventType, timeout: int
    ) -> tuple[EventType, Any, StatusCode]:
        """A request for service that is queued; otherwise the bench's time passes as by
        ``bench_pause(timeout)``, and then there is one or the time is out."""
        used = self._requests(session, in_event_type)
        if not used.mechanisms & EventMechanism.queue:
            self.handle_return_value(session, StatusCode.error_not_enabled)
        # Without an end nobody can say for how long; a running sweep ends in any case.
        forever = timeout in (None, constants.VI_TMO_INFINITE)
        left_s = 0.0 if forever else timeout * 1e-3
        while not used.queued:
            clock = self.bench.clock
            real, before_s = clock.realtime is not None, clock.now_s
            step_s = min(left_s, _STEP_S) if real else left_s
            self._pause(step_s)  # without a wall clock perhaps only to the end of a run
            passed_s = step_s if real else clock.now_s - before_s
            left_s -= passed_s
            if left_s <= 0 or passed_s <= 0:
                break
        if not used.queued:
            self.handle_return_value(session, StatusCode.error_timeout)
        used.queued -= 1
        status = StatusCode.success_queue_not_empty if used.queued else StatusCode.success
        happened = EventType.service_request
        return happened, self._keep(happened), self._done(session, status)

    def install_handler(
        self, session: Any, event_type: EventType, handler: Any, user_handle: Any
    ) -> tuple[Any, Any, Any, StatusCode]:
        used = self._requests(session, event_type, all_enabled=False)
        used.handlers.appendleft((handler, user_handle))  # the latest is called first
        return handler, user_handle, handler, self.handle_return_value(session, StatusCode.success)

    def uninstall_handler(
        self, session: Any, event_type: EventType, handler: Any, user_handle: Any = None
    ) -> StatusCode:
        used = self._session(session, uses=False)
        if (handler, user_handle) in used.handlers:
            used.handlers.remove((handler, user_handle))
        return self.handle_return_value(session, StatusCode.success)

    def _tell(self) -> None:
        """Call the handlers: after the operation that made an instrument request service, outside
        of the instrument's own work, so that they may write and read."""
        for number, used in list(self._handles.items()):
            if not isinstance(used, Session) or not used.mechanisms & EventMechanism.handler:
                continue
            while used.untold:
                used.untold -= 1
                event = self._keep(EventType.service_request)
                for handler, user_handle in list(used.handlers):
                    handler(number, EventType.service_request, event, user_handle)
                self._handles.pop(event, None)
