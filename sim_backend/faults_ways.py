"""The way from the controller to an instrument and back: messages, replies, link, power."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from pyvisa.constants import StatusCode

from sim_backend.faults_devices import begun_s, holds
from sim_backend.faults_kinds import Garbled, LinkDown, LostMessage, PowerCycle
from sim_backend.faults_messages import (
    Count,
    LateReplies,
    Reply,
    garbled_message,
    struck_reply,
)

_ERRORS = {"conn_lost": StatusCode.error_connection_lost, "io": StatusCode.error_io}


@dataclass(frozen=True)
class Struck:
    """A fault has struck.

    Args:
        time_s: bench time, s.
        name: of the instrument or device, or of the trigger line ("line 2").
        kind, detail: which fault, and a few words.
    """

    time_s: float
    name: str
    kind: str
    detail: str


class Ways:
    """All instruments' ways, and what is on them."""

    def __init__(self) -> None:
        #: all that has struck, in the order in which it was noticed
        self.struck: list[Struck] = []
        self._ways_in: dict[str, list[Count]] = defaultdict(list)
        self._ways_out: dict[str, list[Count]] = defaultdict(list)
        self._links: dict[str, list[Count]] = defaultdict(list)
        self._power: dict[str, list[Count]] = defaultdict(list)
        self._late: dict[str, LateReplies] = defaultdict(LateReplies)
        self._owing: set[str] = set()

    def add_way(self, count: Count) -> None:
        """One more fault of a way."""
        fault = count.fault
        if isinstance(fault, LinkDown | PowerCycle):
            kept = self._links if isinstance(fault, LinkDown) else self._power
            kept[fault.instrument].append(count)
            if fault.by_message:
                self._ways_in[fault.instrument].append(count)
            return
        inwards = isinstance(fault, LostMessage) or (
            isinstance(fault, Garbled) and fault.direction == "message"
        )
        (self._ways_in if inwards else self._ways_out)[fault.instrument].append(count)

    def _log(self, count: Count, time_s: float, detail: str) -> None:
        fault: Any = count.fault
        name = getattr(fault, "device", None) or getattr(fault, "instrument", None)
        name = name or f"line {fault.line}"
        self.struck.append(Struck(time_s, name, fault.kind, detail))

    # -- messages and replies ---------------------------------------------------------------------

    def on_write(
        self, name: str, message: str, now_s: float, observation: bool = False
    ) -> list[str]:
        """A message is sent: the messages that arrive.  Ask for :meth:`events` before acting on
        them, and for :meth:`link` after."""
        if name not in self._ways_in and name not in self._power:
            return [message]
        arriving = [message]
        for count in self._ways_in.get(name, ()):
            fault = count.fault
            if not count.strikes(message, now_s, observation):
                continue
            if isinstance(fault, LostMessage):
                self._log(count, now_s, f"the instrument never gets {message!r}")
                arriving = []
            elif isinstance(fault, Garbled):
                arriving = [
                    part
                    for one in arriving
                    for part in garbled_message(one, fault, count.key, count.seen)
                ]
                self._log(count, now_s, f"{message!r} arrives as {';'.join(arriving)!r}")
            else:
                count.begun_s = now_s
                if isinstance(fault, LinkDown):
                    arriving = []
        return [] if self.dark(name, now_s) else arriving

    def dark(self, name: str, now_s: float) -> bool:
        """Whether an instrument is without power."""
        return any(
            begun_s(count) <= now_s < begun_s(count) + count.fault.off_s
            for count in self._power.get(name, ())
        )

    def on_reply(
        self, name: str, message: str, data: bytes, now_s: float, observation: bool = False
    ) -> Reply | None:
        """A reply with its terminator is ready: what there is to read now.  None: nothing is; it
        never comes, or it is late and :meth:`take_late` has it when it is due."""
        late = self._late.get(name)
        reply: Reply | None = Reply(data, now_s)
        if name not in self._ways_out and name not in self._power and not late:
            return reply
        for count in self._ways_out.get(name, ()):
            if count.strikes(message, now_s, observation) and reply is not None:
                reply, said = struck_reply(reply, count.fault, count.key, count.seen)
                self._log(count, now_s, said)
        if reply is None or self.dark(name, now_s):
            self._owing.add(name)
            return None
        if reply.due_s > now_s or late:
            self._late[name].put(reply)
            self._owing.add(name)
            return None
        self._owing.discard(name)
        return reply

    def readable(self, name: str, now_s: float) -> bytes | None:
        """The bytes of the late reply that is next; None: there is none by now."""
        late = self._late.get(name)
        return late.head(now_s) if late else None

    def take_late(self, name: str, count: int, now_s: float) -> tuple[bytes, bool] | None:
        """At most ``count`` of these bytes, and whether END has yet to come; None: see above."""
        late = self._late.get(name)
        taken = late.take(count, now_s) if late else None
        if taken is not None and not late:  # the last one has been read
            self._owing.discard(name)
        return taken

    def due_s(self, name: str) -> float | None:
        """When the next late reply can be read, s; None: there is none."""
        late = self._late.get(name)
        return late.due_s if late else None

    def waits(self) -> bool:
        """Whether a reply is late anywhere."""
        return any(self._late.values())

    def late(self, name: str) -> int:
        """How many replies of an instrument are late and not read yet."""
        return len(self._late[name]) if name in self._late else 0

    def breaks_links(self, name: str) -> bool:
        """Whether an instrument's link may go down: :meth:`link` is asked only then."""
        return name in self._links

    def owes(self, name: str) -> bool:
        """Whether a reply is lost or late: a read in vain is then no fault of the reader's."""
        return name in self._owing

    def on_clear(self, name: str) -> None:
        """Device clear: late replies are gone."""
        self._late.pop(name, None)
        self._owing.discard(name)

    # -- the link ---------------------------------------------------------------------------------

    def link(self, name: str, now_s: float, since_s: float | None = None) -> StatusCode | None:
        """The error that a VISA call gets; None: the link is there.

        Args:
            since_s: when the session was opened, s: it dies with the first link that it loses.
                None: the session is about to be opened.
        """
        if name not in self._links:
            return None
        for count in self._links[name]:
            begin_s = begun_s(count)
            dead = since_s is not None and since_s <= begin_s <= now_s
            if dead or holds(count, now_s):
                if not count.told:
                    count.told = True
                    self._log(count, begin_s, "the link is lost")
                return _ERRORS[count.fault.error]
        return None
