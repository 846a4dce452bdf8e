"""Keithley 7001 between the meters and the junctions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pymeasure.instruments import Instrument, SCPIMixin

from instruments.drivers._base import COMMON, GuardedMixin, LinkAdapter
from instruments.errors import InstrumentError
from instruments.limits_allowed import WATCHED, Allowed, Effect
from instruments.link import Link
from instruments.roles import StopMessages

ALLOWED = Allowed(
    commands={
        "*CLS": Effect.FREE,
        "*ESE": Effect.FREE,
        "*SRE": Effect.FREE,
        ":ABOR": Effect.FREE,
        ":DISP:ENAB": Effect.FREE,
        ":ROUT:CLOS": Effect.CLOSE,
        ":ROUT:OPEN": Effect.OPEN,
    },
    queries=COMMON
    | {":ROUT:CLOS:STAT": "closed", ":DISP:ENAB": WATCHED, "*ESE": WATCHED, "*SRE": WATCHED},
)


class Keithley7001(GuardedMixin, SCPIMixin, Instrument):
    """A ``Switch`` (see :mod:`instruments.roles`)."""

    allowed = ALLOWED
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

    @classmethod
    def stop_messages(cls) -> StopMessages:
        """Nothing to bring to zero; what opens every relay, and the question that shows it."""
        return (), (cls.safe_message,), ":ROUT:CLOS:STAT?"
