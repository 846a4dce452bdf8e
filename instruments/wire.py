"""The wire: VISA as the transport needs it, never blocking for more than 50 ms."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import pyvisa
from pyvisa.constants import InterfaceType, RENLineOperation, StatusCode

from instruments.errors import BenchError, LinkLostError, ReplyTimeoutError, StoppedError

MESSAGE_AVAILABLE, ERROR_AVAILABLE = 16, 4  # status byte, IEEE 488.2
_BLOCK_MS = 50  # no VISA call blocks longer
# But over HiSLIP a status query that runs out of time loses the session; it is answered at once by
# all but a machine that is very busy, and nothing is read before it says that something is there.
_NETWORK_MS = 1000
_PIECE_BYTES = 512  # 64 values of 8 bytes: between two pieces a stop gets through
_POLL_S = 0.002  # between two serial polls
_REOPEN_EVERY_S = 0.1  # between two tries to open a lost session
# VISA's errors of a session that has to be opened anew.
_LOST = (
    StatusCode.error_connection_lost, StatusCode.error_io, StatusCode.error_invalid_object,
    StatusCode.error_no_listeners,
)  # fmt: skip


class BenchClock(Protocol):
    """The bench's own time."""

    def begin(self, seq: int | None, op: str, message: str) -> None:
        """A job begins; ``seq`` is its place in the total order (None: it has none)."""

    def time_s(self) -> float:
        """Bench time, s."""

    def pause(self, seconds: float) -> None:
        """Let bench time pass."""


class Wire(Protocol):
    """One instrument's line."""

    def begin(self, seq: int | None, op: str, message: str) -> None:
        """A job begins; ``seq`` is its place in the total order (None: it has none)."""

    def write(self, message: str) -> None:
        """Send a message."""

    def read_reply(self, interrupt: threading.Event | None) -> bytes:
        """Read all of the reply that is there, without its terminator.

        Raises:
            StoppedError: ``interrupt`` was set meanwhile.
        """

    def poll(self) -> int:
        """The status byte."""

    def wait(self, mask: int, timeout_s: float, interrupt: threading.Event | None) -> int:
        """Wait until a bit of the status byte is set; the status byte then.

        Raises:
            StoppedError: ``interrupt`` was set meanwhile.
            ReplyTimeoutError: none is after ``timeout_s`` of bench time.
        """

    def clear(self) -> None:
        """Device clear."""

    def reopen(self, timeout_s: float, interrupt: threading.Event) -> None:
        """A new session in place of one that was lost, cleared.

        Raises:
            LinkLostError: there is none to be had in ``timeout_s`` of bench time, or before
                ``interrupt`` was set.
        """

    def close(self) -> None:
        """Give the line back."""


class VisaClock:
    """Time as the VISA library keeps it (a simulated bench), else the wall clock."""

    def __init__(self, library: Any, stopping: threading.Event) -> None:
        self._start = time.monotonic()
        self._time: Callable[[], float] | None = getattr(library, "bench_time_s", None)
        self._pause: Callable[[float], None] | None = getattr(library, "bench_pause", None)
        self._spent: Callable[[], dict[str, float]] | None = getattr(library, "bench_spent_s", None)
        self._stopping = stopping

    def begin(self, seq: int | None, op: str, message: str) -> None:
        """Nothing: hardware needs no announcement."""

    def time_s(self) -> float:
        return self._time() if self._time else time.monotonic() - self._start

    def pause(self, seconds: float) -> None:
        if self._pause:
            self._pause(seconds)
        else:
            self._stopping.wait(seconds)

    def spent_s(self) -> dict[str, float]:
        """Bench seconds by what they went into; empty: nobody keeps account (hardware)."""
        return self._spent() if self._spent else {}


class VisaWire:
    """A VISA session.  Used by its owner thread only.

    Every call raises LinkLostError where VISA says that the session is dead.

    Args:
        connect: opens a message-based PyVISA resource; once more if the session is lost.
        clock: the bench's time.
    """

    def __init__(self, connect: Callable[[], Any], clock: BenchClock) -> None:
        self._connect, self._clock = connect, clock
        self._open()

    def _open(self) -> None:
        self._resource = self._connect()
        self._library = self._resource.visalib
        network = self._resource.interface_type == InterfaceType.tcpip
        self._resource.timeout = _NETWORK_MS if network else _BLOCK_MS

    def _call(self, do: Callable[..., Any], *arguments: Any) -> Any:
        """Do something on the session."""
        try:
            return do(*arguments)
        except pyvisa.VisaIOError as error:
            if error.error_code in _LOST:
                raise LinkLostError(str(error)) from error
            raise
        # pyvisa-py lets a socket's errors through, and says with a RuntimeError that a HiSLIP
        # server has hung up.
        except (OSError, RuntimeError, pyvisa.InvalidSession) as error:
            raise LinkLostError(str(error) or type(error).__name__) from error

    def begin(self, seq: int | None, op: str, message: str) -> None:
        """Nothing: hardware needs no announcement."""

    def write(self, message: str) -> None:
        self._call(self._library.write, self._resource.session, f"{message}\n".encode("ascii"))

    def poll(self) -> int:
        return int(self._call(self._library.read_stb, self._resource.session)[0])

    def clear(self) -> None:
        self._call(self._resource.clear)

    def reopen(self, timeout_s: float, interrupt: threading.Event) -> None:
        until_s = self._clock.time_s() + timeout_s
        while True:
            with contextlib.suppress(Exception):  # the old one is of no use any more
                self._resource.close()
            try:
                self._open()
                self._resource.clear()  # what the lost session had to say is nobody's answer
            except Exception as error:  # whatever it is, there is no line yet
                if interrupt.is_set() or self._clock.time_s() >= until_s:
                    raise LinkLostError(str(error)) from error
                self._clock.pause(_REOPEN_EVERY_S)
            else:
                return

    def close(self) -> None:
        with contextlib.suppress(Exception):  # the front panel belongs to people again
            self._resource.control_ren(RENLineOperation.address_gtl)
        self._resource.close()

    def wait(self, mask: int, timeout_s: float, interrupt: threading.Event | None) -> int:
        deadline = self._clock.time_s() + timeout_s
        while True:
            status = self.poll()
            if status & mask:
                return status
            if interrupt is not None and interrupt.is_set():
                raise StoppedError("the bench was stopped")
            if self._clock.time_s() > deadline:
                raise ReplyTimeoutError(
                    f"nothing after {timeout_s:.3g} s of bench time (status byte {status})"
                )
            self._clock.pause(_POLL_S)

    def read_reply(self, interrupt: threading.Event | None) -> bytes:
        more = StatusCode.success_max_count_read
        pieces = []
        status = more
        with self._resource.ignore_warning(more):
            while status == more:
                if interrupt is not None and interrupt.is_set():
                    raise StoppedError("the bench was stopped")
                data, status = self._read_piece()
                pieces.append(data)
        return b"".join(pieces).removesuffix(b"\n").removesuffix(b"\r")

    def _read_piece(self) -> tuple[bytes, StatusCode]:
        try:
            data, status = self._call(self._library.read, self._resource.session, _PIECE_BYTES)
        except pyvisa.VisaIOError as error:
            if error.error_code == StatusCode.error_timeout:
                raise ReplyTimeoutError("the reply breaks off") from error
            raise
        return data, status


def _no_visa(what: str, error: Exception) -> BenchError:
    """What does not work without a suitable VISA, with the first sentence of the reason."""
    text = str(error).replace("Could not open VISA library:", "").strip()
    reason = re.split(r"\.(?=\s|$)|\n", text)[0]
    why = f" ({reason})" if reason else ""
    return BenchError(f"{what}{why}; run 'spinloop doctor' to see what is installed")


def open_visa(
    specification: str, addresses: dict[str, str], stopping: threading.Event
) -> tuple[BenchClock, dict[str, Wire], Any]:
    """Open a VISA library and one line for each role.

    Args:
        specification: for ``pyvisa.ResourceManager``; "" is the installed VISA.
        addresses: role -> VISA address.
        stopping: set when the bench is stopped: pauses end.

    Returns:
        Clock, lines by role, and the resource manager (whoever holds it keeps the library alive).

    Raises:
        BenchError: no VISA library, or an address does not answer.
    """
    try:
        manager = pyvisa.ResourceManager(specification)
    except (pyvisa.Error, OSError, ValueError) as error:
        if specification:  # a simulated bench says itself, in one sentence, what is wrong
            raise BenchError(str(error)) from None
        raise _no_visa("cannot open a VISA library", error) from None
    clock = VisaClock(manager.visalib, stopping)
    wires: dict[str, Wire] = {}
    try:
        for role, address in addresses.items():
            wires[role] = VisaWire(partial(manager.open_resource, address), clock)
    except (pyvisa.Error, ValueError, OSError) as error:
        for wire in wires.values():
            wire.close()
        what = f"{role}: cannot open {address}"
        if not isinstance(error, pyvisa.Error):  # the library cannot do it at all
            raise _no_visa(what, error) from None
        raise BenchError(f"{what} ({error})") from None
    return clock, wires, manager
