"""The states of a bench, and what can bring it to the safe state."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum

from instruments.errors import ComplianceError, InstrumentLostError, LimitError, OverflowedError


class State(Enum):
    """State of a bench."""

    IDLE = "idle"
    ARMED = "armed"
    RUNNING = "running"
    TRIPPED = "tripped"
    CLOSED = "closed"


class Cause(Enum):
    """Why a bench went to the safe state before its time."""

    EXCEPTION = "exception"
    INTERRUPT = "interrupt"
    TERMINATED = "terminated"
    WINDOW = "window closed"
    LOST = "lost instrument"
    COMPLIANCE = "compliance"
    OVERFLOW = "overflow"
    HEARTBEAT = "stale heartbeat"
    LIMITS = "limits"
    OPERATOR = "operator"

    @property
    def is_a_persons(self) -> bool:
        """Whether somebody wanted the end, and so knows of it."""
        return self in (Cause.INTERRUPT, Cause.TERMINATED, Cause.WINDOW, Cause.OPERATOR)


class Terminated(KeyboardInterrupt):
    """A request to end that leaves no time: SIGTERM, a console that closes."""


@dataclass(frozen=True)
class Trip:
    """What brought a bench to the safe state.

    Attributes:
        cause: the kind.
        reason: a sentence or an error.
        at: time of day, ISO 8601, UTC.
    """

    cause: Cause
    reason: str
    at: str

    def __str__(self) -> str:
        return f"{self.cause.value}: {self.reason}"


_CAUSES: tuple[tuple[type[BaseException], Cause], ...] = (
    (Terminated, Cause.TERMINATED),
    (KeyboardInterrupt, Cause.INTERRUPT),
    (InstrumentLostError, Cause.LOST),
    (ComplianceError, Cause.COMPLIANCE),
    (OverflowedError, Cause.OVERFLOW),
    (LimitError, Cause.LIMITS),
)


def cause_of(error: BaseException) -> Cause:
    """Why a bench trips that is left by this error."""
    return next((cause for kind, cause in _CAUSES if isinstance(error, kind)), Cause.EXCEPTION)


def now() -> str:
    """Time of day, ISO 8601, UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")
