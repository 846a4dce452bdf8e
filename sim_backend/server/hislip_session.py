"""A HiSLIP session: one client and one instrument, over two connections."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from sim_backend import port
from sim_backend.instrument import MESSAGE_AVAILABLE, SimInstrument
from sim_backend.scpi import ScpiError
from sim_backend.server.frames import FIRST_ID, HEADER, MOST_PAYLOAD, Frame, Kind, Mistake
from sim_backend.server.talk import Desk, Talk

if TYPE_CHECKING:
    from sim_backend.server.hislip import Channel

_RMT_DELIVERED = 1  # control code: the client has read the last reply to its end
_RETRY_S = 0.005  # wall time after which a lock is tried once more
_RELEASE_S = 1.0  # longest wait for the messages that a lock still covers
_ARRIVAL_S = 0.05  # longest wait for a message that was sent before a status query
# The client of pyvisa-py 0.8 takes any message on the asynchronous channel for the answer to its
# own question: it is told of interruptions and requests for service by the status byte alone.  With
# a status query it gives the number of its next message, others that of the last one.
_PYVISA_PY = b"xx"


class HislipSession:
    """See the module's docstring.

    Args:
        number: the session's.
        desk: the instrument.
        channel: the synchronous connection.
        vendor: two letters that the client has given for its maker.
        others: see :class:`Talk`.
    """

    def __init__(
        self, number: int, desk: Desk, channel: Channel, vendor: bytes, others: Callable[[], None]
    ) -> None:
        self.number, self._desk, self._channel = number, desk, channel
        #: the asynchronous connection
        self.other: Channel | None = None
        self._told_unasked = vendor != _PYVISA_PY
        self._ahead = 2 if vendor == _PYVISA_PY else 0
        self._access = port.access_of(desk.instrument)
        self._talk = Talk(desk, self, self._reply, channel.throttle, others, channel.close)
        self._coming = port.MessageBuffer(desk.bench, desk.instrument)
        self._clearing = self._overlap = False
        self._last_id = FIRST_ID - 2
        self._unread: int | None = None  # id of a reply that the client has not read to its end
        self._most = MOST_PAYLOAD
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        self._loop = asyncio.get_running_loop()
        self._leave = port.on_service_request(desk.instrument, self._on_request)

    @property
    def full(self) -> bool:
        """The client had better wait."""
        return self._talk.full

    def close(self) -> None:
        """A connection is gone: a message that has not ended is dropped, locks are given back."""
        if self._closed:
            return
        self._closed = True
        self._leave()
        if self._timer is not None:
            self._timer.cancel()
        self._coming.clear()
        self._talk.close()
        for channel in (self._channel, self.other):
            if channel is not None:
                channel.close()

    def take(self, frame: Frame) -> None:
        """A message of the client, on the channel where it belongs."""
        if self._talk.check_link():
            _TAKES[frame.kind](self, frame)

    def _send(self, frame: Frame) -> None:
        if self.other is not None:
            self.other.send(frame)

    # -- the synchronous channel ------------------------------------------------------------------

    def _data(self, frame: Frame) -> None:
        if self._clearing:
            return
        self._arrived(frame)
        for message in self._coming.feed(frame.payload, ended=frame.kind == Kind.DATA_END):
            self._talk.say(message, frame.parameter)

    def _trigger(self, frame: Frame) -> None:
        if not self._clearing:
            self._arrived(frame)
            self._talk.say("*TRG", frame.parameter)

    def _arrived(self, frame: Frame) -> None:
        """Note the id; in synchronized mode a message before the reply has been read interrupts."""
        self._last_id = frame.parameter
        if frame.control & _RMT_DELIVERED:
            self._unread = None
        if self._unread is not None and not self._overlap:
            self._unread = None
            self._channel.send(Frame(Kind.INTERRUPTED, 0, frame.parameter))
            if self._told_unasked:
                self._send(Frame(Kind.ASYNC_INTERRUPTED, 0, frame.parameter))
            with self._desk.bench.lock:
                self._desk.instrument.put_error(ScpiError(-410))

    def _clear_complete(self, frame: Frame) -> None:
        """The client has emptied its channel, and says which mode it wants from now on."""
        self._coming.clear()
        self._clearing = False
        self._unread, self._last_id = None, FIRST_ID - 2
        self._overlap = bool(frame.control & 1)
        self._channel.send(Frame(Kind.DEVICE_CLEAR_ACKNOWLEDGE, int(self._overlap)))

    def _reply(self, data: bytes, tag: int, ended: bool) -> None:
        """A reply, in messages no larger than the client takes; ``ended``: END comes with it."""
        size = max(64, self._most - HEADER.size)
        for at in range(0, len(data), size):
            kind = Kind.DATA_END if ended and at + size >= len(data) else Kind.DATA
            self._channel.send(Frame(kind, 0, tag, data[at : at + size]))
        self._unread = tag

    # -- the asynchronous channel -----------------------------------------------------------------

    def _status(self, frame: Frame) -> None:
        """A serial poll.  What the client has sent before on the other channel comes first."""
        self._poll(frame, self._loop.time() + _ARRIVAL_S)

    def _poll(self, frame: Frame, until_s: float) -> None:
        here = (frame.parameter - self._last_id) & 0xFFFF_FFFF == self._ahead
        if not (here or self._overlap or self._clearing) and self._loop.time() < until_s:
            self._loop.call_later(_RETRY_S, self._poll, frame, until_s)
            return
        # MAV stands until the client says that it has read the reply.
        if frame.control & _RMT_DELIVERED or (self._overlap and self._unread == frame.parameter):
            self._unread = None
        self._desk.pace.follow()
        byte = port.serial_poll(self._desk.bench, self._desk.instrument)
        if self._unread is not None:
            byte |= MESSAGE_AVAILABLE
        self._send(Frame(Kind.ASYNC_STATUS_RESPONSE, byte))
        self._desk.pace.wait()
        self._desk.hand_out()

    def _clear(self, _: Frame) -> None:
        self._clearing = True
        self._coming.clear()
        self._talk.clear()
        self._send(Frame(Kind.ASYNC_DEVICE_CLEAR_ACKNOWLEDGE, int(self._overlap)))

    def _size(self, frame: Frame) -> None:
        if len(frame.payload) == 8:
            self._most = int.from_bytes(frame.payload, "big")
        size = MOST_PAYLOAD.to_bytes(8, "big")
        self._send(Frame(Kind.ASYNC_MAXIMUM_MESSAGE_SIZE_RESPONSE, 0, 0, size))

    def _remote_local(self, _: Frame) -> None:
        """Front panels are not simulated: nothing to do."""
        self._send(Frame(Kind.ASYNC_REMOTE_LOCAL_RESPONSE))

    def _lock_info(self, _: Frame) -> None:
        exclusive = int(self._access.exclusive)
        self._send(Frame(Kind.ASYNC_LOCK_INFO_RESPONSE, exclusive, self._access.holders))

    def _lock(self, frame: Frame) -> None:
        """Request (1) or release (0); the answer is 0 failure, 1 success, 2 success with a shared
        lock released, 3 error."""
        if frame.control not in (0, 1):
            if self.other is not None:
                self.other.mistake(Mistake.CONTROL_CODE, "a lock is requested (1) or released (0)")
            return
        if self._timer is not None:  # the request before this one still waits
            self._answer_lock(3)
            return
        if frame.control == 0:
            self._release(frame.parameter, self._loop.time() + _RELEASE_S)
            return
        exclusive, shared = self._access.held(self)
        if exclusive or (shared and frame.payload):
            self._answer_lock(3)
            return
        key = frame.payload.decode("latin-1")
        self._request(key, self._loop.time() + frame.parameter * 1e-3)

    def _request(self, key: str, until_s: float) -> None:
        self._timer = None
        got = self._access.share(self, key) if key else self._access.lock(self)
        if got or self._loop.time() >= until_s:
            self._answer_lock(int(got))
        else:
            self._timer = self._loop.call_later(_RETRY_S, self._request, key, until_s)

    def _release(self, last_id: int, until_s: float) -> None:
        """The lock covers what the client has sent before, which may come after this message."""
        self._timer = None
        here = last_id in (0, self._last_id) and self._talk.idle
        if here or self._loop.time() >= until_s:
            given_back = self._access.unlock(self)
            self._answer_lock({"exclusive": 1, "shared": 2}.get(given_back, 3))
        else:
            self._timer = self._loop.call_later(_RETRY_S, self._release, last_id, until_s)

    def _answer_lock(self, code: int) -> None:
        self._send(Frame(Kind.ASYNC_LOCK_RESPONSE, code))

    # -- requests for service ---------------------------------------------------------------------

    def _on_request(self, _: SimInstrument) -> None:
        """Perhaps in another thread, inside the instrument's own work."""
        if self._told_unasked:
            self._loop.call_soon_threadsafe(self._request_service)

    def _request_service(self) -> None:
        byte = self._desk.instrument.status_byte()
        self._send(Frame(Kind.ASYNC_SERVICE_REQUEST, byte))


_TAKES: dict[int, Callable[[HislipSession, Frame], None]] = {
    Kind.DATA: HislipSession._data,
    Kind.DATA_END: HislipSession._data,
    Kind.TRIGGER: HislipSession._trigger,
    Kind.DEVICE_CLEAR_COMPLETE: HislipSession._clear_complete,
    Kind.ASYNC_LOCK: HislipSession._lock,
    Kind.ASYNC_REMOTE_LOCAL_CONTROL: HislipSession._remote_local,
    Kind.ASYNC_MAXIMUM_MESSAGE_SIZE: HislipSession._size,
    Kind.ASYNC_DEVICE_CLEAR: HislipSession._clear,
    Kind.ASYNC_STATUS_QUERY: HislipSession._status,
    Kind.ASYNC_LOCK_INFO: HislipSession._lock_info,
}
