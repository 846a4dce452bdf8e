"""Keithley 7001 switch system with two 40-channel cards.  Rows from memory of the 7001 manual."""

from __future__ import annotations

from collections.abc import Sequence

from sim_backend.circuit import Element
from sim_backend.instrument import COMMON_ROWS
from sim_backend.models.electrical import ElectricalInstrument
from sim_backend.scpi import Boolean, Channels, ScpiError, Table, command, query, setting

SLOTS, CHANNELS = 2, 40

_ROWS = (
    *COMMON_ROWS,
    setting("display", ":DISPlay:ENABle", Boolean(), True, "memory"),
    command("[:ROUTe]:CLOSe", "close_channels", "memory", argument=Channels()),
    command("[:ROUTe]:OPEN", "open_channels", "memory", argument=Channels(allow_all=True)),
    query("[:ROUTe]:CLOSe", "ask_channels", "memory", argument=Channels(), observation=True),
    query("[:ROUTe]:CLOSe:STATe", "ask_closed", "memory", observation=True),
    command(":ABORt", "nothing", "memory"),
)


class Keithley7001(ElectricalInstrument):
    """See the module's docstring."""

    table = Table(_ROWS)
    identity = "KEITHLEY INSTRUMENTS INC.,MODEL 7001,0000000,B04  /A02"
    message_time_s = 1e-3  # memory
    relay_time_s = 3e-3  # memory: actuation of the 7011 card's relays

    terminals = ()

    def _set_defaults(self) -> None:
        super()._set_defaults()
        self.closed: set[str] = set()

    def elements(self) -> Sequence[Element]:
        """None: what its relays join stands with the wires."""
        return ()

    def reset(self) -> None:
        self.open_channels(None)
        super().reset()

    def _check(self, channels: list[str]) -> None:
        for channel in channels:
            slot, _, number = channel.partition("!")
            if not (1 <= int(slot) <= SLOTS and 1 <= int(number) <= CHANNELS):
                raise ScpiError(-222)

    def _move(self, closed: set[str]) -> None:
        if closed != self.closed:
            self.bench.relays_move(closed)
            self.closed = closed
            self.bench.pass_time(self.relay_time_s, "relay")
            self.bench.touch()

    def close_channels(self, channels: list[str]) -> None:
        self._check(channels)
        self._move(self.closed | set(channels))

    def open_channels(self, channels: list[str] | None) -> None:
        if channels is not None:
            self._check(channels)
        self._move(set() if channels is None else self.closed - set(channels))

    def ask_channels(self, channels: list[str] | None) -> str:
        """1 or 0 for each: whether it is closed.  Raises: ScpiError -109, none is named."""
        if channels is None:
            raise ScpiError(-109)
        self._check(channels)
        return ",".join(str(int(channel in self.closed)) for channel in channels)

    def ask_closed(self) -> str:
        def place(channel: str) -> tuple[int, ...]:
            return tuple(int(part) for part in channel.split("!"))

        return f"(@{','.join(sorted(self.closed, key=place))})"
