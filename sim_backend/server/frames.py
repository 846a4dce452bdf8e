"""HiSLIP messages on the wire.  Source: IVI-6.1 revision 1.1, tables 3 to 7 (memory, and as the
client of pyvisa-py has them)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum

HEADER = struct.Struct("!2sBBIQ")
#: the largest payload that the server takes, bytes
MOST_PAYLOAD = 1 << 20
FIRST_ID = 0xFFFF_FF00


class Kind(IntEnum):
    """Message types."""

    INITIALIZE = 0
    INITIALIZE_RESPONSE = 1
    FATAL_ERROR = 2
    ERROR = 3
    ASYNC_LOCK = 4
    ASYNC_LOCK_RESPONSE = 5
    DATA = 6
    DATA_END = 7
    DEVICE_CLEAR_COMPLETE = 8
    DEVICE_CLEAR_ACKNOWLEDGE = 9
    ASYNC_REMOTE_LOCAL_CONTROL = 10
    ASYNC_REMOTE_LOCAL_RESPONSE = 11
    TRIGGER = 12
    INTERRUPTED = 13
    ASYNC_INTERRUPTED = 14
    ASYNC_MAXIMUM_MESSAGE_SIZE = 15
    ASYNC_MAXIMUM_MESSAGE_SIZE_RESPONSE = 16
    ASYNC_INITIALIZE = 17
    ASYNC_INITIALIZE_RESPONSE = 18
    ASYNC_DEVICE_CLEAR = 19
    ASYNC_SERVICE_REQUEST = 20
    ASYNC_STATUS_QUERY = 21
    ASYNC_STATUS_RESPONSE = 22
    ASYNC_DEVICE_CLEAR_ACKNOWLEDGE = 23
    ASYNC_LOCK_INFO = 24
    ASYNC_LOCK_INFO_RESPONSE = 25


class Fatal(IntEnum):
    """Control codes of a fatal error: the connection ends."""

    UNIDENTIFIED = 0
    POOR_HEADER = 1
    ONE_CHANNEL = 2
    BAD_INITIALIZATION = 3
    TOO_MANY_CLIENTS = 4


class Mistake(IntEnum):
    """Control codes of an error: the message is dropped, and the connection goes on."""

    UNIDENTIFIED = 0
    MESSAGE_TYPE = 1
    CONTROL_CODE = 2
    VENDOR_MESSAGE = 3
    TOO_LARGE = 4


class FatalProblem(Exception):
    """What ends a connection."""

    def __init__(self, code: Fatal, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True)
class Frame:
    """One message."""

    kind: int
    control: int = 0
    parameter: int = 0
    payload: bytes = b""

    def encode(self) -> bytes:
        """Its bytes."""
        size = len(self.payload)
        return HEADER.pack(b"HS", self.kind, self.control, self.parameter, size) + self.payload


class Reader:
    """Cuts a stream of bytes into messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._skip = 0

    def feed(self, data: bytes) -> None:
        """Take what has come."""
        if self._skip:
            gone = min(self._skip, len(data))
            self._skip -= gone
            data = data[gone:]
        self._buffer += data

    def next(self) -> Frame | Mistake | None:
        """The next message; a mistake where it was too large (it is dropped); None: it has not
        come whole.

        Raises:
            FatalProblem: no message begins here.
        """
        buffer = self._buffer
        if buffer[:2] != b"HS"[: len(buffer)]:
            raise FatalProblem(Fatal.POOR_HEADER, "a message begins with HS")
        if len(buffer) < HEADER.size:
            return None
        _, kind, control, parameter, size = HEADER.unpack_from(buffer)
        whole = HEADER.size + size
        if size > MOST_PAYLOAD:
            here = min(whole, len(buffer))
            self._skip = whole - here
            del buffer[:here]
            return Mistake.TOO_LARGE
        if len(buffer) < whole:
            return None
        payload = bytes(buffer[HEADER.size : whole])
        del buffer[:whole]
        return Frame(kind, control, parameter, payload)
