"""A recorded session as a bench: the transcript answers the unmodified stack.

Every message of the run is compared, in the total order, with what was recorded; the first that
differs stops the run.  Observations have no place in that order: they are answered from what the
record holds of the instrument at that point, and their number may differ.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable

from db import Message
from instruments.errors import DivergenceError, recall
from instruments.message import number

_SHOWN = 100


class Script:
    """The messages of a recorded session.

    Args:
        messages: as recorded.
        step_a: None compares letter by letter.  Else numbers in lists of levels may differ by one
            programming step, A (for a replay on another kind of machine).
    """

    def __init__(self, messages: Iterable[Message], step_a: float | None = None) -> None:
        self._run: list[Message] = []
        self._seen: dict[tuple[str, str], tuple[list[int], list[bytes]]] = defaultdict(
            lambda: ([], [])
        )
        self.step_a = step_a
        self.position = 0
        self.time_s = 0.0
        #: numbers that differed within one programming step
        self.within_step = 0
        for message in messages:
            if message.seq is not None:
                self._run.append(message)
            elif message.op == "query" and message.reply is not None:
                places, replies = self._seen[message.instrument, message.sent]
                places.append(len(self._run))
                replies.append(message.reply)

    @property
    def remaining(self) -> int:
        """Recorded messages that the run has not come to."""
        return len(self._run) - self.position

    def advance(self, role: str, op: str, sent: str) -> Message:
        """The run's next message: compare, and go on.

        Raises:
            DivergenceError: it is not the recorded one.
            BenchError: the error that was recorded with it.
        """
        came = f"{role} {op} '{sent[:_SHOWN]}'"
        if self.position >= len(self._run):
            raise DivergenceError(
                f"the record ends after {self.position} messages; the run goes on with {came}"
            )
        expected = self._run[self.position]
        same = (expected.instrument, expected.op) == (role, op) and (
            expected.sent == sent or self._within_step(expected.sent, sent)
        )
        if not same:
            raise DivergenceError(
                f"message {self.position} differs: the record has {expected.instrument} "
                f"{expected.op} '{expected.sent[:_SHOWN]}', the run sends {came}"
            )
        self.position += 1
        self.time_s = expected.bench_time_s
        if expected.error is not None:
            raise recall(expected.error)
        return expected

    def _within_step(self, recorded: str, sent: str) -> bool:
        if self.step_a is None:
            return False
        head, _, values = recorded.partition(" ")
        head_sent, _, values_sent = sent.partition(" ")
        pairs = list(zip(values.split(","), values_sent.split(","), strict=False))
        if head != head_sent or values.count(",") != values_sent.count(","):
            return False
        for one, other in pairs:
            a, b = number(one), number(other)
            if a is None or b is None or abs(a - b) > 1.001 * self.step_a:
                return False
            self.within_step += a != b
        return True

    def observe(self, role: str, sent: str) -> bytes:
        """What an observation reads at this point of the run.

        Raises:
            DivergenceError: the record never asked this.
        """
        places, replies = self._seen.get((role, sent), ([], []))
        if not replies:
            raise DivergenceError(f"the record has no answer to {role} '{sent[:_SHOWN]}'")
        return replies[max(0, bisect_right(places, self.position) - 1)]


class ReplayClock:
    """Bench time as recorded."""

    def __init__(self, script: Script) -> None:
        self._script = script

    def begin(self, seq: int | None, op: str, message: str) -> None:
        if seq is not None:
            self._script.advance("bench", op, message)

    def time_s(self) -> float:
        return self._script.time_s

    def pause(self, seconds: float) -> None:
        """Nothing: it has passed already."""


class ReplayWire:
    """One instrument of the record."""

    def __init__(self, role: str, script: Script) -> None:
        self._role, self._script = role, script
        self._message: Message | None = None
        self._asked = ""

    def begin(self, seq: int | None, op: str, message: str) -> None:
        self._message = None if seq is None else self._script.advance(self._role, op, message)

    def write(self, message: str) -> None:
        self._asked = message

    def read_reply(self, timeout_s: float, interrupt: threading.Event | None) -> bytes:
        if self._message is None:
            return self._script.observe(self._role, self._asked)
        return self._message.reply or b""

    def poll(self) -> int:
        return 0

    def wait(self, mask: int, timeout_s: float, interrupt: threading.Event | None) -> int:
        return mask if self._message is None else self._message.status or mask

    def clear(self) -> None:
        """Nothing to clear."""

    def close(self) -> None:
        """Nothing to close."""
