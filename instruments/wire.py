"""The wire: VISA as the transport needs it, never blocking for more than 50 ms."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

import pyvisa

from instruments.errors import BenchError, ReplyTimeoutError, StoppedError

MESSAGE_AVAILABLE, ERROR_AVAILABLE = 16, 4  # status byte, IEEE 488.2
_BLOCK_MS = 50  # no VISA call blocks longer
_PIECE_BYTES = 512  # 64 values of 8 bytes: between two pieces a stop gets through
_POLL_S = 0.002  # between two serial polls


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

    Args:
        resource: an open message-based PyVISA resource.
        clock: the bench's time.
    """

    def __init__(self, resource: Any, clock: BenchClock) -> None:
        self._resource = resource
        self._library = resource.visalib
        self._clock = clock
        resource.timeout = _BLOCK_MS

    def begin(self, seq: int | None, op: str, message: str) -> None:
        """Nothing: hardware needs no announcement."""

    def write(self, message: str) -> None:
        self._library.write(self._resource.session, f"{message}\n".encode("ascii"))

    def poll(self) -> int:
        return int(self._library.read_stb(self._resource.session)[0])

    def clear(self) -> None:
        self._resource.clear()

    def close(self) -> None:
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
        more = pyvisa.constants.StatusCode.success_max_count_read
        pieces = []
        status = more
        with self._resource.ignore_warning(more):
            while status == more:
                if interrupt is not None and interrupt.is_set():
                    raise StoppedError("the bench was stopped")
                data, status = self._library.read(self._resource.session, _PIECE_BYTES)
                pieces.append(data)
        return b"".join(pieces).removesuffix(b"\n").removesuffix(b"\r")


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
            wires[role] = VisaWire(manager.open_resource(address), clock)
    except (pyvisa.Error, ValueError, OSError) as error:
        for wire in wires.values():
            wire.close()
        what = f"{role}: cannot open {address}"
        if not isinstance(error, pyvisa.Error):  # the library cannot do it at all
            raise _no_visa(what, error) from None
        raise BenchError(f"{what} ({error})") from None
    return clock, wires, manager
