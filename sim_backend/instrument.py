"""What all simulated instruments share: IEEE 488.2 status, error queue, output queue.

Source: IEEE 488.2-1992, chapters 5, 6, 10 and 11; SCPI-1999 volume 1, chapter 9.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, ClassVar

from sim_backend.scpi import Number, Row, ScpiError, Table, Unit, Whole, command, parse, query

if TYPE_CHECKING:
    from sim_backend.bench import SimBench

ERROR_AVAILABLE, QUESTIONABLE, MESSAGE_AVAILABLE = 4, 8, 16
EVENT_SUMMARY, MASTER_SUMMARY, OPERATION_SUMMARY, MEASUREMENT_SUMMARY = 32, 64, 128, 1
_488 = "IEEE 488.2-1992"

COMMON_ROWS: tuple[Row, ...] = (
    query("*IDN", "identify", _488, observation=True),
    query("*STB", "ask_stb", _488, observation=True),
    query("*ESR", "ask_esr", _488, observation=True),
    query("*OPC", "ask_opc", _488),
    query("*OPT", "ask_options", _488, observation=True),
    command("*OPC", "nothing", _488),
    command("*WAI", "nothing", _488),
    command("*CLS", "clear_status", _488),
    command("*RST", "reset", _488, while_busy=True),
    command("*TRG", "nothing", _488, while_busy=True),
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

    def execute(self, units: list[Unit], error: ScpiError | None) -> None:
        """Act on the units of one message; replies go to the output queue."""
        if self.output:
            self.output = b""
            self.put_error(ScpiError(-410))
        replies: list[bytes] = []
        try:
            for unit in units:
                reply = self._act(unit)
                if reply is not None:
                    replies.append(reply)
            if error is not None:
                raise error
        except ScpiError as problem:
            self.put_error(problem)
        if replies:
            self.output = b";".join(replies) + b"\n"

    def _act(self, unit: Unit) -> bytes | None:
        row = unit.row
        if unit.is_query:
            if row.kind == "query":
                answer = getattr(self, row.do)(unit.text)
                return answer if isinstance(answer, bytes) else str(answer).encode()
            assert row.argument is not None
            if unit.text:
                if not isinstance(row.argument, Number):
                    raise ScpiError(-108)
                return row.argument.show(row.argument.parse(unit.text)).encode()
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
        self.event_status |= 32 if -200 < error.number <= -100 else 16 if error.number < 0 else 8
        if len(self.errors) >= 10:
            self.errors[-1] = str(ScpiError(-350))
        else:
            self.errors.append(str(error))

    def take(self, count: int) -> tuple[bytes, bool]:
        """At most ``count`` bytes of the reply, and whether more remains."""
        data, self.output = self.output[:count], self.output[count:]
        return data, bool(self.output)

    def device_clear(self) -> None:
        """SDC: the queues' input and output are emptied, the trigger model goes idle."""
        self.output = b""
        self.abort()

    def abort(self) -> None:
        """Leave the trigger model."""

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

    def identify(self, _: str) -> str:
        return self.identity

    def ask_stb(self, _: str) -> int:
        return self.status_byte()

    def ask_esr(self, _: str) -> int:
        value, self.event_status = self.event_status, 0
        return value

    def ask_opc(self, _: str) -> int:
        return 1

    def ask_options(self, _: str) -> int:
        return 0

    def ask_error(self, _: str) -> str:
        return self.errors.popleft() if self.errors else '0,"No error"'

    def ask_version(self, _: str) -> str:
        return "1996.0"

    def ask_measurement_event(self, _: str) -> int:
        value, self.measurement_event = self.measurement_event, 0
        return value

    def ask_operation_event(self, _: str) -> int:
        value, self.operation_event = self.operation_event, 0
        return value

    def nothing(self) -> None:
        """Nothing to do: operations are over before the next message is read."""

    def clear_status(self) -> None:
        self.errors.clear()
        self.event_status = self.measurement_event = self.operation_event = 0

    def preset_status(self) -> None:
        self.state["measurement_enable"] = self.state["operation_enable"] = 0

    def reset(self) -> None:
        """``*RST``: settings as at power-on, outputs off; status and queues stay."""
        self.abort()
        self._set_defaults()
