"""Faults of messages and replies: which message is struck, and what becomes of its reply."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Any

from sim_backend.faults_chance import flipped, uniforms
from sim_backend.faults_header import names
from sim_backend.faults_kinds import Garbled, Timeout, Truncated
from sim_backend.faults_when import Begun, OfMessages


@dataclass
class Count:
    """What a fault remembers of the messages that it has seen.

    Attributes:
        fault: what was asked for.
        key: of its random numbers.
        seen: messages that fitted.
        struck: how many of them it has struck.
        begun_s: bench time at which it began, s; None: not yet.
        told: whether it stands in the log (of what is logged once).
        edges: of a relay: whether it has begun to stick (1), and moved again (2).
    """

    fault: Any
    key: int
    seen: int = 0
    struck: int = 0
    begun_s: float | None = None
    told: bool = False
    edges: int = 0

    def strikes(self, message: str, now_s: float, observation: bool) -> bool:
        """Count a message; whether it is struck."""
        fault: OfMessages | Begun = self.fault
        if self.struck == fault.times or (observation and not fault.observations):
            return False
        if now_s < fault.from_s or not (fault.header is None or names(fault.header, message)):
            return False
        self.seen += 1
        if self.seen < (fault.message or 1):
            return False
        if fault.probability < 1 and uniforms(self.key, self.seen, 1)[0] >= fault.probability:
            return False
        self.struck += 1
        return True


# -- on the way in --------------------------------------------------------------------------------


def garbled_message(message: str, fault: Garbled, key: int, number: int) -> list[str]:
    """What arrives of a message: a flip may make a newline, and so two messages."""
    data = flipped(message.encode("latin-1", "replace"), fault.bits, key, number)
    return [part for part in data.decode("latin-1").split("\n") if part.strip()]


# -- on the way out -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Reply:
    """A reply on its way to the controller.

    Args:
        data: its bytes.
        due_s: bench time from which on it can be read, s.
        ended: whether END comes with the last byte.
    """

    data: bytes
    due_s: float
    ended: bool = True


def struck_reply(reply: Reply, fault: Any, key: int, number: int) -> tuple[Reply | None, str]:
    """What a fault makes of a reply (None: it never comes), and a sentence on it."""
    if isinstance(fault, Timeout):
        if fault.late_s is None:
            return None, "the reply never comes"
        due_s = reply.due_s + fault.late_s
        return Reply(reply.data, due_s, reply.ended), f"the reply comes {fault.late_s:g} s late"
    if isinstance(fault, Truncated):
        body = reply.data.removesuffix(b"\n")
        kept = body[: fault.keep] + b"\n" * fault.terminated
        said = f"{min(fault.keep, len(body))} of {len(body)} bytes come"
        if not kept:
            return None, said
        return Reply(kept, reply.due_s, fault.terminated and reply.ended), said
    assert isinstance(fault, Garbled)
    body = reply.data.removesuffix(b"\n")
    end = reply.data[len(body) :]
    data = flipped(body, fault.bits, key, number) + end
    return Reply(data, reply.due_s, reply.ended), f"bits flipped: {fault.bits}"


class LateReplies:
    """What has left an instrument and has not been read: first in, first out.

    One that is late holds up those behind it, so that from then on each question finds the answer
    to the one before it.
    """

    def __init__(self) -> None:
        self._way: deque[Reply] = deque()
        self._told = False  # that the next one has come

    def __len__(self) -> int:
        return len(self._way)

    def put(self, reply: Reply) -> None:
        """One more, behind the others."""
        self._way.append(reply)

    @property
    def due_s(self) -> float | None:
        """When the next one can be read, s; None: there is none."""
        return self._way[0].due_s if self._way else None

    @property
    def comes_s(self) -> float:
        """When the next one comes, s; infinite: there is none, or :meth:`has_come` has told."""
        return math.inf if self._told or not self._way else self._way[0].due_s

    def has_come(self) -> None:
        """The next one has come, and is told of."""
        self._told = True

    def head(self, now_s: float) -> bytes | None:
        """The bytes that can be read; None: none yet."""
        return self._way[0].data if self._way and self._way[0].due_s <= now_s else None

    def take(self, count: int, now_s: float) -> tuple[bytes, bool] | None:
        """At most ``count`` bytes, and whether END has yet to come; None: nothing is there yet."""
        data = self.head(now_s)
        if data is None:
            return None
        reply = self._way.popleft()
        taken, left = data[:count], data[count:]
        self._told = bool(left)
        if left:
            self._way.appendleft(Reply(left, reply.due_s, reply.ended))
        return taken, bool(left) or not reply.ended

    def state(self) -> dict[str, Any]:
        """For JSON."""
        way = [[r.data.decode("latin-1"), r.due_s, r.ended] for r in self._way]
        return {"way": way, "told": self._told}

    def restore(self, state: dict[str, Any]) -> None:
        """Be what :meth:`state` has told."""
        self._way = deque(Reply(str(d).encode("latin-1"), t, e) for d, t, e in state["way"])
        self._told = bool(state["told"])
