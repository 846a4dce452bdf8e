"""What all simulated instruments share: IEEE 488.2 status, error queue, output queue.

Source: IEEE 488.2-1992, chapters 5, 6, 10 and 11; SCPI-1999 volume 1, chapter 9.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from sim_backend.scpi import Number, Row, ScpiError, Table, Unit, Whole, command, parse, query

if TYPE_CHECKING:
    from sim_backend.bench import SimBench

ERROR_AVAILABLE, QUESTIONABLE, MESSAGE_AVAILABLE = 4, 8, 16
EVENT_SUMMARY, MASTER_SUMMARY, OPERATION_SUMMARY, MEASUREMENT_SUMMARY = 32, 64, 128, 1
# Bits of the standard event register, and the hundreds of error numbers that set them.
OPERATION_COMPLETE, QUERY_ERROR, DEVICE_ERROR, EXECUTION_ERROR, COMMAND_ERROR = 1, 4, 8, 16, 32
_EVENT_OF_HUNDRED = {1: COMMAND_ERROR, 2: EXECUTION_ERROR, 4: QUERY_ERROR}
_488 = "IEEE 488.2-1992"

COMMON_ROWS: tuple[Row, ...] = (
    query("*IDN", "identify", _488, observation=True),
    query("*STB", "ask_stb", _488, observation=True),
    query("*ESR", "ask_esr", _488, observation=True),
    query("*OPC", "ask_opc", _488),
    query("*OPT", "ask_options", _488, observation=True),
    command("*OPC", "operation_complete", _488),
    command("*WAI", "nothing", _488),
    command("*CLS", "clear_status", _488),
    command("*RST", "reset", _488, while_busy=True),
    command("*TRG", "trigger", _488, while_busy=True),
    Row("*SRE", "setting", _488, "sre", Whole(0, 255), 0, observation=True),
    Row("*ESE", "setting", _488, "ese", Whole(0, 255), 0, observation=True),
    query(":SYSTem:ERRor[:NEXT]", "ask_error", "SCPI-1999 21.8", observation=True),
    query(":SYSTem:VERSion", "ask_version", "SCPI-1999 21.21", observation=True),
    query(":STATus:QUEue[:NEXT]", "ask_error", "memory", observation=True),
    command(":STATus:PRESet", "preset_status", "SCPI-1999 20.7"),
    query(":STATus:MEASurement[:EVENt]", "ask_measurement_event", "memory"),
    query(":STATus:OPERation[:EVENt]", "ask_operation_event", "SCPI-1999 20.4"),
    Row(":STATus:MEASurement:ENABle", "setting", "memory", "measurement_enable",
        Whole(0, 65535), 0, observation=True),
    Row(":STATus:OPERation:ENABle", "setting", "SCPI-1999 20.4", "operation_enable",
        Whole(0, 65535), 0, observation=True),
    Row(":STATus:QUEStionable:ENABle", "setting", "SCPI-1999 20.6", "questionable_enable",
        Whole(0, 65535), 0, observation=True),
)  # fmt: skip

STATUS_NAMES = {"sre", "ese", "measurement_enable", "operation_enable", "questionable_enable"}


@dataclass
class _Message:
    """A message in work: the units still to do, the error at its end, the replies so far."""

    units: deque[Unit]
    error: ScpiError | None
    replies: list[bytes] = field(default_factory=list)


class SimInstrument:
    """One instrument: a table of rows, the values of its settings, its queues.

    Args:
        name: what the bench calls it ("field", "x", …); the key of its noise.
        bench: the bench that it is part of: clock, trigger lines, devices.
    """

    table: ClassVar[Table]
    identity: ClassVar[str]
    #: bench seconds that the instrument takes to act on one message (source in the model's file)
    message_time_s: ClassVar[float] = 0.0

    def __init__(self, name: str, bench: SimBench) -> None:
        self.name = name
        self.bench = bench
        self.state: dict[str, Any] = {}
        self.errors: deque[str] = deque()
        self.output = b""
        self.inbox: deque[_Message] = deque()
        self.event_status = 0
        self.measurement_event = 0
        self.operation_event = 0
        self._set_defaults()
        self.state.update(
            {row.name: row.reset for row in self.table.rows if row.name in STATUS_NAMES}
        )

    def _set_defaults(self) -> None:
        for row in self.table.rows:
            if row.kind == "setting" and row.name not in STATUS_NAMES:
                self.state[row.name] = row.reset

    # -- messages -----------------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Inside its trigger model, where most commands wait."""
        return False

    def units(self, message: str) -> tuple[list[Unit], ScpiError | None]:
        """The legal units at the head of a message, and the error that ends them, if one does."""
        found: list[Unit] = []
        try:
            parse(self.table, message, found.append)
        except ScpiError as error:
            return found, error
        return found, None

    def receive(self, units: list[Unit], error: ScpiError | None) -> None:
        """Take a message into the input buffer, and act as far as the trigger model lets."""
        message = _Message(deque(units), error)
        # What the trigger model obeys goes ahead of what waits for its end.
        while self.inbox and message.units and message.units[0].row.while_busy:
            self._advance(_Message(deque([message.units.popleft()]), None))
        self.inbox.append(message)
        self.work()

    def work(self) -> None:
        """Act on the messages of the input buffer until one has to wait."""
        while self.inbox:
            message = self.inbox.popleft()
            if not self._advance(message):
                self.inbox.appendleft(message)
                break

    def execute(self, units: list[Unit], error: ScpiError | None) -> None:
        """Act on the units of one message at once, whatever waits (observations)."""
        self._advance(_Message(deque(units), error), waits=False)

    def _advance(self, message: _Message, *, waits: bool = True) -> bool:
        """Act on a message; replies go to the output queue.  False: it has to wait."""
        try:
            while message.units:
                if waits and self.busy and not message.units[0].row.while_busy:
                    return False
                self._interrupt()
                reply = self._act(message.units.popleft())
                if reply is not None:
                    message.replies.append(reply)
            if message.error is not None:
                self._interrupt()
                raise message.error
        except ScpiError as problem:
            self.put_error(problem)
        if message.replies:
            self.output = b";".join(message.replies) + b"\n"
        return True

    def _interrupt(self) -> None:
        """A new message takes the place of a reply that nobody has read."""
        if self.output:
            self.output = b""
            self.put_error(ScpiError(-410))

    def _act(self, unit: Unit) -> bytes | None:
        row = unit.row
        if unit.is_query:
            if row.kind == "query":
                if unit.text:
                    raise ScpiError(-108)
                answer = getattr(self, row.do)()
                return (
                    answer if answer is None or isinstance(answer, bytes) else str(answer).encode()
                )
            assert row.argument is not None
            if unit.text:
                if not isinstance(row.argument, Number):
                    raise ScpiError(-108)
                return row.argument.show(row.argument.named(unit.text)).encode()
            return row.argument.show(self.state[row.name]).encode()
        if row.argument is None:
            if unit.text:
                raise ScpiError(-108)
            getattr(self, row.do)()
            return None
        if not unit.text:
            raise ScpiError(-109)
        value = row.argument.parse(unit.text)
        if row.kind == "command":
            getattr(self, row.do)(value)
            return None
        before = self.state[row.name]
        self.state[row.name] = value
        if row.do:
            try:
                getattr(self, row.do)(value)
            except ScpiError:
                self.state[row.name] = before
                raise
        return None

    def put_error(self, error: ScpiError) -> None:
        """Queue an error; ten fit (memory), the last place then says so."""
        self.event_status |= _EVENT_OF_HUNDRED.get(-error.number // 100, DEVICE_ERROR)
        if len(self.errors) >= 10:
            self.errors[-1] = str(ScpiError(-350))
            self.event_status |= DEVICE_ERROR
        else:
            self.errors.append(str(error))

    def take(self, count: int) -> tuple[bytes, bool]:
        """At most ``count`` bytes of the reply, and whether more remains."""
        data, self.output = self.output[:count], self.output[count:]
        return data, bool(self.output)

    def device_clear(self) -> None:
        """SDC: the queues' input and output are emptied, the trigger model goes idle."""
        self.output = b""
        self.inbox.clear()
        self.abort()

    def abort(self) -> None:
        """Leave the trigger model."""

    def trigger(self) -> None:
        """``*TRG``."""

    # -- status ---------------------------------------------------------------------------------

    def status_byte(self) -> int:
        """The status byte, as a serial poll reads it."""
        state = self.state
        byte = 0
        if self.measurement_event & state["measurement_enable"]:
            byte |= MEASUREMENT_SUMMARY
        if self.errors:
            byte |= ERROR_AVAILABLE
        if self.output:
            byte |= MESSAGE_AVAILABLE
        if self.event_status & state["ese"]:
            byte |= EVENT_SUMMARY
        if self.operation_event & state["operation_enable"]:
            byte |= OPERATION_SUMMARY
        if byte & state["sre"] & ~MASTER_SUMMARY:
            byte |= MASTER_SUMMARY
        return byte

    def identify(self) -> str:
        return self.identity

    def ask_stb(self) -> int:
        return self.status_byte()

    def ask_esr(self) -> int:
        value, self.event_status = self.event_status, 0
        return value

    def ask_opc(self) -> int:
        return 1

    def ask_options(self) -> int:
        return 0

    def ask_error(self) -> str:
        return self.errors.popleft() if self.errors else '0,"No error"'

    def ask_version(self) -> str:
        return "1996.0"

    def ask_measurement_event(self) -> int:
        value, self.measurement_event = self.measurement_event, 0
        return value

    def ask_operation_event(self) -> int:
        value, self.operation_event = self.operation_event, 0
        return value

    def operation_complete(self) -> None:
        self.event_status |= OPERATION_COMPLETE

    def nothing(self) -> None:
        """Nothing to do: operations are over before the next message is read."""

    def clear_status(self) -> None:
        self.errors.clear()
        self.event_status = self.measurement_event = self.operation_event = 0

    def preset_status(self) -> None:
        for name in STATUS_NAMES - {"sre", "ese"}:
            self.state[name] = 0

    def reset(self) -> None:
        """``*RST``: settings as at power-on, outputs off; status and queues stay."""
        self.abort()
        self._set_defaults()
