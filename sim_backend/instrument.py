"""What all simulated instruments share: messages in, replies out.

Source: IEEE 488.2-1992, chapters 5 and 6.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

from sim_backend.scpi import Number, Row, ScpiError, Unit
from sim_backend.scpi_common import COMMON_ROWS, CommonCommands
from sim_backend.scpi_errors import POWER_ON
from sim_backend.scpi_status import (
    EVENT_SUMMARY,
    MASTER_SUMMARY,
    MEASUREMENT_SUMMARY,
    MESSAGE_AVAILABLE,
    OPERATION_SUMMARY,
    STATUS_NAMES,
)  # fmt: skip

if TYPE_CHECKING:
    from sim_backend.bench import SimBench

__all__ = [
    "COMMON_ROWS", "EVENT_SUMMARY", "MASTER_SUMMARY", "MEASUREMENT_SUMMARY", "MESSAGE_AVAILABLE",
    "OPERATION_SUMMARY", "STATUS_NAMES", "SimInstrument",
]  # fmt: skip


@dataclass
class _Message:
    """A message in work.

    Attributes:
        units: still to do.
        error: at its end.
        text: as it has come.
        observation: it disturbs nothing.
        replies: so far.
    """

    units: deque[Unit]
    error: ScpiError | None
    text: str = ""
    observation: bool = False
    replies: list[bytes] = field(default_factory=list)


class SimInstrument(CommonCommands):
    """One instrument: a table of rows, the values of its settings, its queues.

    Args:
        name: what the bench calls it ("field", "x", …); the key of its noise.
        bench: the bench that it is part of: clock, trigger lines, devices.
    """

    #: bench seconds that the instrument takes to act on one message (source in the model's file)
    message_time_s: ClassVar[float] = 0.0
    #: longest message taken, and what the buffers hold on the way in and out, bytes (memory)
    message_bytes: ClassVar[int] = 1 << 20
    input_bytes: ClassVar[int] = 1 << 12
    output_bytes: ClassVar[int] = 1 << 16

    def __init__(self, name: str, bench: SimBench) -> None:
        self.name = name
        self.bench = bench
        self.state: dict[str, Any] = {}
        #: takes a reply, its message's text, and whether that is an observation; gives what can be
        #: read at once, and whether END comes with the last byte
        self.sends: Callable[[bytes, str, bool], tuple[bytes, bool]] | None = None
        super().__init__()
        self._power_on()

    def _power_on(self) -> None:
        self.inbox: deque[_Message] = deque()
        self.ended = True  # END comes with the last byte of the output queue
        self._awaits_end = False  # *OPC: tell when nothing is pending any more
        self._forget_status()
        self.state.update(
            {row.name: row.reset for row in self.table.rows if row.name in STATUS_NAMES}
        )
        self._set_defaults()
        self._event_status = POWER_ON

    def power_cycle(self) -> None:
        """Off and on again: settings, queues and status are those of power-on."""
        self.abort()
        self._power_on()

    # -- messages -----------------------------------------------------------------------------

    def units(self, message: str) -> tuple[list[Unit], ScpiError | None]:
        """The legal units at the head of a message, and the error that ends them, if one does."""
        if len(message) > self.message_bytes:
            return [], ScpiError(-363)
        return self.table.parse(message)

    def receive(self, units: list[Unit], error: ScpiError | None, text: str = "") -> None:
        """Take a message into the input buffer, and act as far as the trigger model lets."""
        message = _Message(deque(units), error, text)
        # What the trigger model obeys goes ahead of what waits for its end.
        while self.inbox and message.units and message.units[0].row.while_busy:
            self._advance(_Message(deque([message.units.popleft()]), None, text))
        self.inbox.append(message)
        self.work()

    def work(self) -> None:
        """Act on the messages of the input buffer until one has to wait."""
        self._catch_up()
        while self.inbox:
            message = self.inbox.popleft()
            if not self._advance(message):
                self.inbox.appendleft(message)
                break

    def execute(self, units: list[Unit], error: ScpiError | None, text: str = "") -> None:
        """Act on the units of one message at once, whatever waits (observations)."""
        self._advance(_Message(deque(units), error, text, observation=True), waits=False)

    def _advance(self, message: _Message, *, waits: bool = True) -> bool:
        """Act on a message; replies go to the output queue.  False: it has to wait."""
        try:
            while message.units:
                if waits and self._has_to_wait(message.units[0].row):
                    return False
                self._interrupt()
                reply = self._act(message.units.popleft())
                if reply is not None:
                    message.replies.append(reply)
                    self._check_room(message)
                self._service()
            if message.error is not None:
                self._interrupt()
                raise message.error
        except ScpiError as problem:
            self.put_error(problem)
        if message.replies:
            data, self.ended = b";".join(message.replies) + b"\n", True
            if self.sends is not None:
                data, self.ended = self.sends(data, message.text, message.observation)
            self.output = data
        return True

    def waits(self, units: list[Unit]) -> bool:
        """Whether a message of these units, that comes now, has to wait."""
        return self._has_to_wait(units[0].row) if units else self.busy

    def _has_to_wait(self, row: Row) -> bool:
        return (self.busy and not row.while_busy) or (row.awaits_pending and self.pending)

    def _interrupt(self) -> None:
        """A new message takes the place of a reply that nobody has read."""
        if self.output:
            self.output = b""
            self.put_error(ScpiError(-410))

    def _check_room(self, message: _Message) -> None:
        """Replies fill the output queue while the rest of the message fills the input buffer:
        neither side can go on, and the replies are dropped (IEEE 488.2 section 6.3.1.7)."""
        if sum(map(len, message.replies)) <= self.output_bytes:
            return
        if sum(unit.size for unit in message.units) > self.input_bytes:
            message.replies.clear()
            self.put_error(ScpiError(-430))

    def _act(self, unit: Unit) -> bytes | None:
        row = unit.row
        if unit.is_query:
            return self._answer(row, unit.text)
        if row.argument is None:
            if unit.text:
                raise ScpiError(-108)
            getattr(self, row.do)()
            return None
        if not unit.text:
            raise ScpiError(-109)
        value = self._value(row, unit.text)
        if row.kind == "command":
            getattr(self, row.do)(value)
            return None
        before = self.state[row.name]
        self.state[row.name] = value
        if row.do:
            try:
                getattr(self, row.do)(value)
            except BaseException:  # refused, or without a solution: as if it had not come
                self.state[row.name] = before
                raise
        return None

    def _answer(self, row: Row, text: str) -> bytes | None:
        argument = row.argument
        if row.kind == "query":
            if text and argument is None:
                raise ScpiError(-108)
            given = () if argument is None else (self._value(row, text) if text else None,)
            answer = getattr(self, row.do)(*given)
            if answer is None or isinstance(answer, bytes):
                return answer
            return str(answer).encode("latin-1")
        assert argument is not None
        if text:
            argument = self._limited(row)
            if not isinstance(argument, Number):
                raise ScpiError(-108)
            return argument.show(argument.named(text)).encode()
        return argument.show(self.state[row.name]).encode("latin-1")

    def _limited(self, row: Row) -> Any:
        """The row's argument, within the limits of the present state."""
        if not row.limits:
            return row.argument
        low, high = getattr(self, row.limits)()
        assert isinstance(row.argument, Number)
        return replace(row.argument, low=low, high=high)

    def _value(self, row: Row, text: str) -> Any:
        argument = self._limited(row)
        try:
            if row.kind == "setting" and isinstance(argument, Number):
                moved = argument.moved(self.state[row.name], text)
                if moved is not None:
                    return moved
            return argument.parse(text)
        except ScpiError as error:
            raise ScpiError(row.out_of_range) if error.number == -222 else error from None

    def take(self, count: int) -> tuple[bytes, bool]:
        """At most ``count`` bytes of the reply, and whether more remains."""
        data, self.output = self.output[:count], self.output[count:]
        return data, bool(self.output) or not self.ended

    def device_clear(self) -> None:
        """SDC: the queues' input and output are emptied, the trigger model goes idle, ``*OPC`` is
        forgotten; settings, status and errors stay (IEEE 488.2 section 5.8)."""
        self.output = b""
        self.inbox.clear()
        self._awaits_end = False
        self.abort()
