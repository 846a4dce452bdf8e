"""Keithley 7001 between the meters and the junctions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pymeasure.instruments import Instrument, SCPIMixin

from instruments.drivers._base import GuardedMixin, LinkAdapter
from instruments.errors import InstrumentError
from instruments.limits import Allowed, Effect
from instruments.transport import Link

ALLOWED = Allowed(
    commands={
        "*CLS": Effect.FREE,
        ":ABOR": Effect.FREE,
        ":DISP:ENAB": Effect.FREE,
        ":ROUT:CLOS": Effect.CLOSE,
        ":ROUT:OPEN": Effect.OPEN,
    },
    queries={
        ":ROUT:CLOS:STAT": "closed",
        "*IDN": None,
        "*OPC": None,
        "*STB": None,
        "*ESR": None,
        ":SYST:ERR": None,
    },
)


class Keithley7001(GuardedMixin, SCPIMixin, Instrument):
    """A ``Switch`` (see :mod:`instruments.roles`)."""

    model = "MODEL 7001"
    safe_message = ":ROUT:OPEN ALL"

    def __init__(self, link: Link, **kwargs: Any) -> None:
        super().__init__(LinkAdapter(link), f"Keithley 7001 ({link.role})", **kwargs)

    def look(self) -> None:
        """Ask for what the limits must know; changes nothing."""
        self.closed()

    def closed(self) -> frozenset[str]:
        """The closed relays, as ``slot!channel``."""
        inside = self.ask(":ROUT:CLOS:STAT?").removeprefix("(@").removesuffix(")")
        return frozenset(part.strip() for part in inside.split(",") if part.strip())

    def open_all(self) -> None:
        """Open every relay."""
        self.link.write(self.safe_message)

    def close_relays(self, channels: Sequence[str]) -> None:
        """Close relays.

        Raises:
            InstrumentError: others are closed than these.
        """
        self.link.write(f":ROUT:CLOS (@{','.join(channels)})")
        if self.closed() != frozenset(channels):
            raise InstrumentError(
                f"{self.link.role}: closed relays read back {sorted(self.closed())}, "
                f"not {sorted(channels)}"
            )
