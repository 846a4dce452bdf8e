"""Raw sockets: one port for each instrument; a newline ends a message, and a reply ends in one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sim_backend import port
from sim_backend.server.talk import Desk, Talk

if TYPE_CHECKING:
    from sim_backend.server.serve import BenchServer


class RawClient(asyncio.Protocol):
    """One connection.

    Args:
        server: whose connection it is.
        desk: the instrument behind the port.
    """

    def __init__(self, server: BenchServer, desk: Desk) -> None:
        self._server, self._desk = server, desk
        self._coming = port.MessageBuffer(desk.bench, desk.instrument)
        self._ended = False
        self._blocked = False
        self._transport: asyncio.Transport | None = None
        self._talk = Talk(desk, self, self._reply, self._changed, server.hand_out, self._lost)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = self._server.came(transport)
        if self._desk.lost():
            self._lost()

    def _lost(self) -> None:
        """The link is down."""
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        for message in self._coming.feed(data):
            self._talk.say(message)

    def eof_received(self) -> bool:
        """The client says no more; it may still wait for replies."""
        self._ended = True
        return not self._talk.idle

    def connection_lost(self, exc: Exception | None) -> None:
        """Gone: a message that has not ended is dropped."""
        assert self._transport is not None
        self._server.connections.discard(self._transport)
        self._transport = None
        self._talk.close()

    # -- a client that sends without reading has to wait ------------------------------------------

    def pause_writing(self) -> None:
        self._blocked = True
        self._changed()

    def resume_writing(self) -> None:
        self._blocked = False
        self._changed()

    def _changed(self) -> None:
        transport = self._transport
        if transport is None:
            return
        if self._ended:
            if self._talk.idle:
                transport.close()
        elif self._blocked or self._talk.full:
            transport.pause_reading()
        else:
            transport.resume_reading()

    def _reply(self, data: bytes, _: int, __: bool) -> None:
        if self._transport is not None:
            self._transport.write(data)
