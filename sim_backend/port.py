"""An instrument's bus side: what every way to it - VISA session, raw socket, HiSLIP - shares."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from sim_backend.instrument import SimInstrument
from sim_backend.scpi import ScpiError

if TYPE_CHECKING:
    from sim_backend.bench import SimBench

#: bytes that an instrument takes without the end of a message
MOST_BYTES = 1 << 20
#: the head of a definite-length block as a parameter, IEEE 488.2 section 7.7.6
_BLOCK = re.compile(rb"[\s,]#([1-9])")


def split_messages(data: bytes, *, ended: bool, ends: bytes = b"\n") -> tuple[list[str], bytes]:
    """Cut what has come into messages.

    A newline ends a message (IEEE 488.2 section 7.5), except inside a block of definite length.

    Args:
        data: bytes of an interface, from the start of a message on.
        ended: END came with the last byte: what follows the last newline is a message too.
        ends: the bytes of which each ends a message.

    Returns:
        The messages without terminators, empty ones left out, and the bytes of one not yet ended.
    """
    found: list[bytes] = []
    start = look = 0
    while True:
        places = [at for at in (data.find(bytes([end]), look) for end in ends) if at >= 0]
        if not places:
            break
        end = min(places)
        block = _BLOCK.search(data, max(start, look - 1), end)
        if block is not None:
            digits = data[block.end() : block.end() + int(block[1])]
            if len(digits) == int(block[1]) and digits.isdigit():
                look = block.end() + len(digits) + int(digits)
                if look > len(data):
                    break
            else:
                look = block.end()
            continue
        found.append(data[start:end])
        start = look = end + 1
    rest = data[start:]
    if ended:
        found.append(rest)
        rest = b""
    texts = (message.rstrip(b"\r").decode("latin-1") for message in found)
    return [text for text in texts if text], rest


class MessageBuffer:
    """What has come of messages from one client: it gives whole ones.

    A message of more than 1 MiB is dropped and told as -363, input buffer overrun.

    Args:
        bench, instrument: whose messages they are.
        ends: see :func:`split_messages`.
    """

    def __init__(self, bench: SimBench, instrument: SimInstrument, ends: bytes = b"\n") -> None:
        self._bench, self._instrument, self._ends = bench, instrument, ends
        self._begun = b""
        self._overrun = False

    def feed(self, data: bytes, *, ended: bool = False) -> list[str]:
        """Take bytes (``ended``: END came with the last one) and give the messages that end."""
        if self._overrun:  # this is the rest of a message that was too long
            places = [at for at in (data.find(bytes([end])) for end in self._ends) if at >= 0]
            self._overrun = not (places or ended)
            data = data[min(places) + 1 :] if places else b""
        messages, self._begun = split_messages(self._begun + data, ended=ended, ends=self._ends)
        if len(self._begun) > MOST_BYTES:
            self._begun, self._overrun = b"", True
            self._tell()
        short = [message for message in messages if len(message) <= MOST_BYTES]
        if len(short) < len(messages):
            self._tell()
        return short

    def clear(self) -> None:
        """Drop what has begun."""
        self._begun, self._overrun = b"", False

    def _tell(self) -> None:
        with self._bench.lock:
            self._instrument.put_error(ScpiError(-363))


def trigger(bench: SimBench, instrument: SimInstrument) -> None:
    """GET, group execute trigger: acts as ``*TRG`` does (IEEE 488.2 section 6.1.4.2.5)."""
    bench.write(instrument, "*TRG")


def serial_poll(bench: SimBench, instrument: SimInstrument) -> int:
    """The status byte; the request for service in it is answered thereby, and gone.

    An observation: it takes no bench time.
    """
    return bench.serial_poll(instrument)


def on_service_request(
    instrument: SimInstrument, call: Callable[[SimInstrument], None]
) -> Callable[[], None]:
    """Have ``call`` told whenever the instrument requests service.

    Returns:
        What ends it.
    """
    instrument.listeners.append(call)

    def leave() -> None:
        if call in instrument.listeners:
            instrument.listeners.remove(call)

    return leave


class Access:
    """Who may use an instrument: one exclusive owner, or all who share a key.

    Whoever holds a lock is known by any object of its own.  Source: VPP-4.3 section 3.6 and
    IVI-6.1 section 6.5, memory.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._owner: object = None
        self._depth = 0
        self._sharing: dict[object, int] = {}
        self.key = ""

    def allows(self, who: object) -> bool:
        """Whether ``who`` may use the instrument."""
        with self._guard:
            return self._allows(who)

    def _allows(self, who: object) -> bool:
        if self._owner is not None:
            return self._owner is who
        return not self._sharing or who in self._sharing

    @property
    def exclusive(self) -> bool:
        """Somebody has it for himself."""
        return self._owner is not None

    @property
    def holders(self) -> int:
        """How many hold a lock."""
        with self._guard:
            return len({*self._sharing, *([] if self._owner is None else [self._owner])})

    def held(self, who: object) -> tuple[int, int]:
        """How many exclusive and shared locks ``who`` has."""
        with self._guard:
            return self._depth if self._owner is who else 0, self._sharing.get(who, 0)

    def lock(self, who: object) -> bool:
        """An exclusive lock, once more if ``who`` has one; False: somebody else's is in the way."""
        with self._guard:
            if not self._allows(who):
                return False
            self._owner = who
            self._depth += 1
            return True

    def share(self, who: object, key: str) -> bool:
        """A shared lock; False: an exclusive lock or another key is in the way."""
        with self._guard:
            if self._owner not in (None, who) or (self._sharing and key != self.key):
                return False
            self._sharing[who] = self._sharing.get(who, 0) + 1
            self.key = key
            return True

    def unlock(self, who: object) -> str:
        """Give one lock back: "exclusive", "shared", or "" where ``who`` has none."""
        with self._guard:
            if self._owner is not None and self._owner is who:
                self._depth -= 1
                if self._depth == 0:
                    self._owner = None
                return "exclusive"
            if who not in self._sharing:
                return ""
            self._sharing[who] -= 1
            if self._sharing[who] == 0:
                del self._sharing[who]
            return "shared"

    def leave(self, who: object) -> None:
        """``who`` is gone, and its locks with it."""
        while self.unlock(who):
            pass


_ACCESS: WeakKeyDictionary[SimInstrument, Access] = WeakKeyDictionary()
_ACCESS_GUARD = threading.Lock()


def access_of(instrument: SimInstrument) -> Access:
    """The locks of an instrument."""
    with _ACCESS_GUARD:
        return _ACCESS.setdefault(instrument, Access())
