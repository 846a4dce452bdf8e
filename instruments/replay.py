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
from itertools import zip_longest

from db import Message
from instruments.drivers._readings import FIELD_CURRENTS
from instruments.errors import DivergenceError, recall
from instruments.message import number, numbers
from instruments.wire import ERROR_AVAILABLE

_SHOWN = 100
_POLL = "status byte"  # what a serial poll asks


class Script:
    """The messages of a recorded session.

    Args:
        messages: as recorded.
        step_a: None compares letter by letter.  Else currents of the field line may differ by one
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
                self._note(message, message.sent, message.reply)
            elif message.op == "poll" and message.status is not None:
                self._note(message, _POLL, bytes([message.status]))

    def _note(self, message: Message, asked: str, reply: bytes) -> None:
        places, replies = self._seen[message.instrument, asked]
        places.append(len(self._run))
        replies.append(reply)

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
            then, now = f"'{expected.sent[:_SHOWN]}'", came
            if (expected.instrument, expected.op) == (role, op):
                then, now = self._apart(expected.sent, sent) or (then, now)
            raise DivergenceError(
                f"message {self.position} differs: the record has {expected.instrument} "
                f"{expected.op} {then}, the run sends {now}"
            )
        self.position += 1
        self.time_s = expected.bench_time_s
        if expected.error is not None:
            raise recall(expected.error)
        return expected

    def _apart(self, recorded: str, sent: str) -> tuple[str, str] | None:
        """The first place where two texts differ, then and now; None: both are short enough."""
        head, _, values = recorded.partition(" ")
        head_sent, _, values_sent = sent.partition(" ")
        lists = numbers(values) is not None and numbers(values_sent) is not None
        if lists and head == head_sent and "," in values + values_sent:
            pairs = zip_longest(values.split(","), values_sent.split(","), fillvalue="nothing")
            for place, (then, now) in enumerate(pairs, 1):
                if then != now and not self._near(head, then, now):
                    return f"'{head}' with {then} as number {place}", f"{now} there"
        if max(len(recorded), len(sent)) <= _SHOWN:
            return None
        place = next(i for i, (a, b) in enumerate(zip_longest(recorded, sent)) if a != b)
        then, now = (f"'{text[place : place + _SHOWN]}'" for text in (recorded, sent))
        return f"{then} from character {place + 1} on", f"{now} there"

    def _near(self, head: str, then: str, now: str) -> bool:
        """Whether two numbers are currents of the field line within one programming step."""
        a, b = number(then), number(now)
        if self.step_a is None or head not in FIELD_CURRENTS or a is None or b is None:
            return False
        return abs(a - b) <= 1.001 * self.step_a

    def _within_step(self, recorded: str, sent: str) -> bool:
        head, _, values = recorded.partition(" ")
        head_sent, _, values_sent = sent.partition(" ")
        then, now = values.split(","), values_sent.split(",")
        if head != head_sent or len(then) != len(now):
            return False
        if not all(self._near(head, a, b) for a, b in zip(then, now, strict=True)):
            return False
        self.within_step += sum(number(a) != number(b) for a, b in zip(then, now, strict=True))
        return True

    def status(self, role: str) -> int:
        """The status byte that an observer last saw at this point of the run; 0 if none did."""
        return self.observe(role, _POLL)[0] if (role, _POLL) in self._seen else 0

    def observe(self, role: str, sent: str, *, at_end: bool = False) -> bytes:
        """What an observation reads at this point of the run, or at the end of the record.

        Raises:
            DivergenceError: the record never asked this.
        """
        places, replies = self._seen.get((role, sent), ([], []))
        if not replies:
            raise DivergenceError(f"the record has no answer to {role} '{sent[:_SHOWN]}'")
        return replies[-1 if at_end else max(0, bisect_right(places, self.position) - 1)]


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
        self._op = self._asked = ""
        self._leaving = False

    def begin(self, seq: int | None, op: str, message: str) -> None:
        self._op = op
        self._leaving &= seq is None
        self._message = None if seq is None else self._script.advance(self._role, op, message)

    def write(self, message: str) -> None:
        self._asked = message

    def read_reply(self, interrupt: threading.Event | None) -> bytes:
        if self._message is None:
            return self._script.observe(self._role, self._asked, at_end=self._leaving)
        return self._message.reply or b""

    def poll(self) -> int:
        # After a message there is no error to see: a recorded one was raised before.
        return self._script.status(self._role) if self._op == "poll" else 0

    def wait(self, mask: int, timeout_s: float, interrupt: threading.Event | None) -> int:
        recorded = None if self._message is None else self._message.status
        return (recorded or mask) & ~ERROR_AVAILABLE

    def clear(self) -> None:
        """What is asked from here on, up to the next message of a run, is on the way to the safe
        state; where a run ends early, the record's own end says how that went."""
        self._leaving = True

    def reopen(self, timeout_s: float, interrupt: threading.Event) -> None:
        """Nothing: a record has no line to lose."""

    def close(self) -> None:
        """Nothing to close."""
