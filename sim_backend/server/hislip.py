"""HiSLIP: one port for all instruments, each under its own name.

A client opens two connections: messages and replies go through the synchronous one; status query,
device clear, locks and requests for service through the asynchronous one, whatever the other is
busy with.  Source: IVI-6.1 revision 1.1 (memory), tried with the client of pyvisa-py 0.8.1.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sim_backend.server.frames import Fatal, FatalProblem, Frame, Kind, Mistake, Reader
from sim_backend.server.hislip_session import HislipSession

if TYPE_CHECKING:
    from sim_backend.server.serve import BenchServer

_MOST_SESSIONS = 64
_VENDOR = b"SL"
_VERSION = 0x0100  # 1.0
_SYNC_KINDS = {Kind.DATA, Kind.DATA_END, Kind.TRIGGER, Kind.DEVICE_CLEAR_COMPLETE}
_ASYNC_KINDS = {
    Kind.ASYNC_LOCK, Kind.ASYNC_REMOTE_LOCAL_CONTROL, Kind.ASYNC_MAXIMUM_MESSAGE_SIZE,
    Kind.ASYNC_DEVICE_CLEAR, Kind.ASYNC_STATUS_QUERY, Kind.ASYNC_LOCK_INFO,
}  # fmt: skip


class Channel(asyncio.Protocol):
    """One of the two connections of a client."""

    def __init__(self, server: BenchServer) -> None:
        self._server = server
        self._reader = Reader()
        self._transport: asyncio.Transport | None = None  # None: it is to be closed
        self._connection: asyncio.Transport | None = None
        self._session: HislipSession | None = None
        self._is_sync = False
        self._blocked = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = self._connection = self._server.came(transport)

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        try:
            while self._transport is not None:
                frame = self._reader.next()
                if frame is None:
                    break
                if isinstance(frame, Mistake):
                    self.mistake(frame, "payload above the maximum of 1 MiB")
                else:
                    self._take(frame)
        except FatalProblem as problem:
            self.send(Frame(Kind.FATAL_ERROR, problem.code, 0, str(problem).encode()))
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """One connection gone ends the session, and the other connection with it."""
        assert self._connection is not None
        self._server.connections.discard(self._connection)
        self._transport = None
        self.close()

    # -- towards the client -----------------------------------------------------------------------

    def send(self, frame: Frame) -> None:
        """Send a message, if the connection is still there."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(frame.encode())

    def mistake(self, code: Mistake, text: str) -> None:
        """Say that a message was dropped."""
        self.send(Frame(Kind.ERROR, code, 0, text.encode()))

    def close(self) -> None:
        """End the connection after what has been sent."""
        if self._transport is not None:
            self._transport.close()
            self._transport = None
        if self._session is not None:
            self._server.sessions.pop(self._session.number, None)
            self._session.close()

    def pause_writing(self) -> None:
        self._blocked = True
        self.throttle()

    def resume_writing(self) -> None:
        self._blocked = False
        self.throttle()

    def throttle(self) -> None:
        """A client that sends without reading has to wait."""
        if self._transport is None or self._transport.is_closing():
            return
        if self._blocked or (self._is_sync and self._session and self._session.full):
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    # -- from the client --------------------------------------------------------------------------

    def _take(self, frame: Frame) -> None:
        if frame.kind in (Kind.FATAL_ERROR, Kind.ERROR):
            if frame.kind == Kind.FATAL_ERROR:
                self.close()
            return
        if self._session is None:
            self._initialize(frame)
            return
        if frame.kind in (Kind.INITIALIZE, Kind.ASYNC_INITIALIZE):
            raise FatalProblem(Fatal.BAD_INITIALIZATION, "the connection is initialized already")
        if frame.kind in _SYNC_KINDS if self._is_sync else frame.kind in _ASYNC_KINDS:
            if self._session.other is None:
                raise FatalProblem(Fatal.ONE_CHANNEL, "the asynchronous connection is missing")
            self._session.take(frame)
        elif frame.kind >= 128:
            self.mistake(Mistake.VENDOR_MESSAGE, f"no vendor message {frame.kind} here")
        else:
            self.mistake(Mistake.MESSAGE_TYPE, f"no message of type {frame.kind} on this channel")

    def _initialize(self, frame: Frame) -> None:
        server = self._server
        if frame.kind == Kind.INITIALIZE:
            desk = server.find(frame.payload.decode("latin-1"))
            if desk is None:
                raise FatalProblem(
                    Fatal.BAD_INITIALIZATION,
                    f"no instrument {frame.payload.decode('latin-1')[:40]!r}; there are hislip0 to "
                    f"hislip{len(server.desks) - 1}",
                )
            if len(server.sessions) >= _MOST_SESSIONS:
                raise FatalProblem(Fatal.TOO_MANY_CLIENTS, f"{_MOST_SESSIONS} clients at most")
            if desk.lost():
                self.close()
                return
            number = server.new_session_number()
            vendor = (frame.parameter & 0xFFFF).to_bytes(2, "big")
            self._is_sync = True
            self._session = HislipSession(number, desk, self, vendor, server.hand_out)
            server.sessions[number] = self._session
            self.send(Frame(Kind.INITIALIZE_RESPONSE, 0, _VERSION << 16 | number))
        elif frame.kind == Kind.ASYNC_INITIALIZE:
            found = server.sessions.get(frame.parameter)
            if found is None or found.other is not None:
                raise FatalProblem(
                    Fatal.BAD_INITIALIZATION, f"no session {frame.parameter} waits for a channel"
                )
            self._session, found.other = found, self
            vendor_id = int.from_bytes(_VENDOR, "big")
            self.send(Frame(Kind.ASYNC_INITIALIZE_RESPONSE, 0, vendor_id))
        else:
            raise FatalProblem(Fatal.BAD_INITIALIZATION, "the first message initializes")
