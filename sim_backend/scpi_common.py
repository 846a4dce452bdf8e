"""The common commands of IEEE 488.2, chapter 10, and what they need of an instrument.

Those that a model may lack are those that the Keithley 2400 has (2400S-900-01 rev. K, section 16).
"""

from __future__ import annotations

from typing import Any, ClassVar

from sim_backend.scpi import Row, Table, Whole, command, query
from sim_backend.scpi_errors import OPERATION_COMPLETE
from sim_backend.scpi_status import STATUS_NAMES, STATUS_ROWS, StatusModel

_PLACES = Whole(0, 4)  # 2400 p. 16-3

COMMON_ROWS: tuple[Row, ...] = (
    query("*IDN", "identify", "IEEE 488.2 10.14", observation=True),
    query("*OPT", "ask_options", "IEEE 488.2 10.20", observation=True),
    query("*TST", "ask_test", "IEEE 488.2 10.38"),
    query("*OPC", "ask_opc", "IEEE 488.2 10.19", awaits_pending=True),
    command("*OPC", "operation_complete", "IEEE 488.2 10.18"),
    command("*WAI", "nothing", "IEEE 488.2 10.39", awaits_pending=True),
    command("*RST", "reset", "IEEE 488.2 10.32", while_busy=True),
    command("*TRG", "trigger", "IEEE 488.2 10.37", while_busy=True),
    command("*SAV", "save", "2400 p. 16-3", argument=_PLACES),
    command("*RCL", "recall", "2400 p. 16-3", argument=_PLACES, while_busy=True),
    query(":SYSTem:VERSion", "ask_version", "SCPI-1999 21.21", observation=True),
    *STATUS_ROWS,
)


class CommonCommands(StatusModel):
    """What the rows above do."""

    table: ClassVar[Table]
    identity: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        #: setups that ``*SAV`` has put away; they outlast a power cycle
        self.saved: dict[int, dict[str, Any]] = {}
        self._awaits_end = False  # *OPC: tell when nothing is pending any more

    def _set_defaults(self) -> None:
        for row in self.table.rows:
            if row.kind == "setting" and row.name not in STATUS_NAMES:
                self.state[row.name] = row.reset

    @property
    def busy(self) -> bool:
        """Inside its trigger model, where only rows with ``while_busy`` are obeyed."""
        return False

    @property
    def pending(self) -> bool:
        """An operation has been started that is not over, while commands are obeyed: ``*OPC``,
        ``*OPC?`` and ``*WAI`` wait for its end."""
        return False

    def abort(self) -> None:
        """Leave the trigger model."""

    def trigger(self) -> None:
        """``*TRG``."""

    def _catch_up(self) -> None:
        """``*OPC`` has been sent, and nothing is pending any more."""
        if self._awaits_end and not self.busy and not self.pending:
            self._awaits_end = False
            self.event_status |= OPERATION_COMPLETE

    def identify(self) -> str:
        return self.identity

    def ask_options(self) -> int:
        return 0

    def ask_test(self) -> int:
        """Passed."""
        return 0

    def ask_opc(self) -> int:
        return 1

    def ask_version(self) -> str:
        return "1996.0"

    def operation_complete(self) -> None:
        self._awaits_end = True
        self._catch_up()

    def clear_status(self) -> None:
        """``*CLS`` forgets ``*OPC`` too (IEEE 488.2 section 10.3)."""
        self._awaits_end = False
        super().clear_status()

    def nothing(self) -> None:
        """Nothing to do."""

    def reset(self) -> None:
        """``*RST``: settings as at power-on, outputs off; status and queues stay."""
        self._awaits_end = False
        self.abort()
        self._set_defaults()

    def save(self, place: int) -> None:
        """``*SAV``."""
        kept = {key: value for key, value in self.state.items() if key not in STATUS_NAMES}
        self.saved[place] = kept

    def recall(self, place: int) -> None:
        """``*RCL``: the setup as it was saved, or the reset state; the output is off (memory)."""
        self.reset()
        self.state.update(self.saved.get(place, {}))
        if "output" in self.state:
            self.state["output"] = False
