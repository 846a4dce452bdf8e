"""The simulated bench as a server: raw sockets, HiSLIP, and the bench's time."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from sim_backend.server.hislip import Channel
from sim_backend.server.hislip_session import HislipSession
from sim_backend.server.pace import TICK_S, Pace
from sim_backend.server.raw import RawClient
from sim_backend.server.talk import Desk

if TYPE_CHECKING:
    from sim_backend.bench import SimBench


class ServerError(ValueError):
    """The bench cannot be served like this; one sentence."""


@dataclass(frozen=True)
class Served:
    """An instrument's addresses, as a client gives them to VISA."""

    name: str
    model: str
    raw: str
    hislip: str


def is_loopback(host: str) -> bool:
    """Whether only programs on this machine reach ``host``."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class BenchServer:
    """Every instrument of a bench on a port of its own, and all of them on a HiSLIP port.

    There is no authentication: who reaches the ports has the bench.

    Args:
        bench: the bench; others may use it at the same time.
        host: where to listen; by default only programs on this machine get in.
        port: of the first instrument; the others follow.  0: any free ports.
        hislip_port: for all instruments.  0: any free port.
        realtime: bench seconds per wall second; None: virtual time (see :class:`Pace`).
        wall: the wall clock, s.
    """

    def __init__(
        self,
        bench: SimBench,
        *,
        host: str = "127.0.0.1",
        port: int = 5025,
        hislip_port: int = 4880,
        realtime: float | None = 1.0,
        wall: Callable[[], float] = time.monotonic,
    ) -> None:
        self.bench, self._host = bench, host
        self._port, self._hislip_port = port, hislip_port
        self.pace = Pace(bench, realtime, wall)
        self.desks = [
            Desk(bench, self.pace, instrument, number)
            for number, instrument in enumerate(bench.by_name.values())
        ]
        self.sessions: dict[int, HislipSession] = {}
        #: of all clients
        self.connections: set[asyncio.Transport] = set()
        #: connections since the start
        self.served_clients = 0
        #: addresses, once the server has started
        self.served: list[Served] = []
        self._last_session = 0
        self._listening: list[asyncio.Server] = []
        self._ticker: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen.

        Raises:
            ServerError: a port cannot be had.
        """
        last = self._port + len(self.desks) - 1
        if self._port and last > 65535:
            raise ServerError(f"port {last} is above 65535; give a lower --port")
        if self._port and self._port <= self._hislip_port <= last:
            raise ServerError(
                f"--hislip-port {self._hislip_port} is one of the instruments' ports "
                f"{self._port} to {last}; give another"
            )
        try:
            hislip = await self._listen(partial(Channel, self), self._hislip_port, "--hislip-port")
            host = self._host
            if host in ("", "0.0.0.0", "::"):  # every interface: a client needs a name
                host = socket.gethostname()
            for desk in self.desks:
                wanted = self._port + desk.number if self._port else 0
                raw = await self._listen(partial(RawClient, self, desk), wanted, "--port")
                name = desk.instrument.name
                self.served.append(
                    Served(
                        name,
                        type(desk.instrument).__name__.lower(),
                        f"TCPIP0::{host}::{raw}::SOCKET",
                        f"TCPIP0::{host}::hislip{desk.number},{hislip}::INSTR",
                    )
                )
        except BaseException:
            await self.close()
            raise
        if self.pace.realtime is not None:
            self._ticker = asyncio.get_running_loop().create_task(self._tick())

    async def _listen(self, make: Callable[[], Any], port: int, option: str) -> int:
        """Open a port.  Returns its number."""
        loop = asyncio.get_running_loop()
        try:
            server = await loop.create_server(make, self._host, port)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                why = f"port {port} is in use: end the program that has it, or give another"
                raise ServerError(f"{why} {option}") from None
            if error.errno == errno.EACCES:
                raise ServerError(
                    f"port {port} is not for ordinary users; give {option} above 1023"
                ) from None
            raise ServerError(
                f"--host {self._host}: cannot be listened on ({error.strerror or error}); "
                "127.0.0.1 serves this machine alone"
            ) from None
        self._listening.append(server)
        return int(server.sockets[0].getsockname()[1])

    async def _tick(self) -> None:
        """Bring the bench up to the wall clock, and let replies go that are there by now."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(TICK_S)
            try:
                self.pace.follow()
                self.hand_out()
            except Exception as error:  # physics without a solution must not stop the clock
                context = {"message": "the bench could not go on in time", "exception": error}
                loop.call_exception_handler(context)

    async def close(self) -> None:
        """Stop listening and end all connections."""
        if self._ticker is not None:
            self._ticker.cancel()
        for server in self._listening:
            server.close()
        self._listening.clear()
        for transport in list(self.connections):
            transport.abort()
        while self.connections:  # each leaves when the loop has told it
            await asyncio.sleep(0)

    # -- for the connections ----------------------------------------------------------------------

    def came(self, transport: asyncio.BaseTransport) -> asyncio.Transport:
        """A client is there."""
        assert isinstance(transport, asyncio.Transport)
        self.connections.add(transport)
        self.served_clients += 1
        return transport

    def hand_out(self) -> None:
        """Give replies to who waits for them."""
        for desk in self.desks:
            desk.hand_out()

    def find(self, name: str) -> Desk | None:
        """The instrument of a HiSLIP sub-address: ``hislip0`` and so on, or its name."""
        wanted = name.lower()
        for desk in self.desks:
            if wanted in (f"hislip{desk.number}", desk.instrument.name.lower()):
                return desk
        return self.desks[0] if not wanted else None

    def new_session_number(self) -> int:
        """A number that no open session has; 16 bits."""
        while True:
            self._last_session = self._last_session % 0xFFFF + 1
            if self._last_session not in self.sessions:
                return self._last_session


@contextmanager
def running(bench: SimBench, **options: Any) -> Iterator[BenchServer]:
    """A server in a thread of its own, for as long as the block lasts.

    Args:
        bench: the bench.
        options: of :class:`BenchServer`.

    Raises:
        ServerError: a port cannot be had.
    """
    server = BenchServer(bench, **options)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="spinloop bench server", daemon=True)
    thread.start()

    def run(what: Any) -> None:
        asyncio.run_coroutine_threadsafe(what, loop).result()

    try:
        run(server.start())
        try:
            yield server
        finally:
            run(server.close())
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
