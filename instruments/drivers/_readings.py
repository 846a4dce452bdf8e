"""What our drivers' own messages say, for the drivers and for who reads a transcript.

Free of pymeasure, so that a record is read without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntFlag

import numpy as np
from numpy.typing import NDArray

from instruments.roles import MeterReadings

_NO_NUMBER = 9e37  # NAN is 9.91e37 and overflow 9.9e37 (SCPI-1999 volume 1, 7.2.1): numbers


class Status2400(IntFlag):
    """A reading's status word of a Keithley 2400 (2400S-900-01 rev. K, 18-49 to 18-51; those from
    RANGE_COMPLIANCE on: memory)."""

    OVERFLOW = 1 << 0
    FILTER = 1 << 1
    FRONT = 1 << 2
    COMPLIANCE = 1 << 3
    OVER_VOLTAGE = 1 << 4
    MATH = 1 << 5
    NULL = 1 << 6
    LIMITS = 1 << 7
    AUTO_OHMS = 1 << 10
    VOLT_MEASURED = 1 << 11
    CURRENT_MEASURED = 1 << 12
    OHM_MEASURED = 1 << 13
    VOLT_SOURCED = 1 << 14
    CURRENT_SOURCED = 1 << 15
    RANGE_COMPLIANCE = 1 << 16
    OFFSET_COMPENSATED = 1 << 17
    CONTACT_FAILED = 1 << 18
    FOUR_WIRE = 1 << 22


class Status2450(IntFlag):
    """A reading's source status of a Keithley 2450 (2450-901-01 rev. B, 8-29)."""

    OVER_VOLTAGE = 1 << 2
    READ_BACK = 1 << 3
    OVER_TEMPERATURE = 1 << 4
    LIMITED = 1 << 5
    FOUR_WIRE = 1 << 6
    OUTPUT_ON = 1 << 7


class StatusGS200(IntFlag):
    """The extended event register of a Yokogawa GS200 (IM GS210-01EN, 13-30)."""

    SOURCE_CHANGED = 1 << 5
    END_OF_STEP = 1 << 6
    END_OF_PROGRAM = 1 << 7
    LOW_LIMITER = 1 << 10
    HIGH_LIMITER = 1 << 11


def is_number(value: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether a reading is one: neither SCPI's NAN nor an overflow."""
    number: NDArray[np.bool_] = np.isfinite(value) & (np.abs(value) < _NO_NUMBER)
    return number


def decode(current_a: NDArray[np.float64], status: NDArray[np.int64],
           compliance: int, overflow: int) -> MeterReadings:  # fmt: skip
    """Readings with their status words.

    Args:
        current_a, status: as the instrument gives them, [N].
        compliance, overflow: the bits of the word that say so.
    """
    held = (status & compliance) != 0
    above = ((status & overflow) != 0) | (np.abs(np.abs(current_a) - 9.9e37) < 5e34)
    return MeterReadings(current_a, status, held, above, ~held & ~above & is_number(current_a))


_HELD_2400 = (
    Status2400.COMPLIANCE | Status2400.OVER_VOLTAGE | Status2400.RANGE_COMPLIANCE
)  # of any of the three the junction's voltage is not the one that was set


def read_buffer(reply: bytes) -> MeterReadings:
    """The readings in a 2400's reply to ``:TRAC:DATA?``: SREAL pairs of current and status."""
    table = np.frombuffer(reply[2:], dtype="<f4").reshape(-1, 2).astype(np.float64)
    with np.errstate(invalid="ignore"):  # a transcript may hold anything
        status = table[:, 1].astype(np.int64)
    return decode(table[:, 0], status, _HELD_2400, Status2400.OVERFLOW)


def largest_current(reply: bytes) -> float | None:
    """The largest current in a 2400's reply to ``:TRAC:DATA?``, A; None: it is not in the form of
    our driver, or holds no number."""
    if reply[:2] != b"#0" or len(reply) % 8 != 2:
        return None
    return _largest(read_buffer(reply).current_a)


def largest_double(reply: bytes) -> float | None:
    """The largest reading of a binary reply of doubles; None: it is none, or holds no number."""
    if reply[:2] != b"#0" or len(reply) % 8 != 2:
        return None
    return _largest(np.frombuffer(reply[2:], dtype="<f8"))


def _largest(value: NDArray[np.float64]) -> float | None:
    found = np.abs(value[is_number(value)])
    return float(found.max()) if len(found) else None


#: headers that carry currents of the field line
LIST, APPEND = ":SOUR:LIST:CURR", ":SOUR:LIST:CURR:APP"
FIELD_CURRENTS = frozenset({":SOUR:CURR", LIST, APPEND})


def loaded_levels(sent: str, loaded: Sequence[float] = ()) -> list[float] | None:
    """The list that a field source holds after a message, A; None: it uploads none.

    Args:
        sent: a message of our drivers.
        loaded: the list that it held before.
    """
    head, _, values = sent.partition(" ")
    if head not in (LIST, APPEND):
        return None
    new = [float(value) for value in values.split(",")]
    return [*loaded, *new] if head == APPEND else new


def readings(sent: str, reply: bytes | None) -> MeterReadings | None:
    """The readings that a meter of a sweep has answered; None: this question fetches none."""
    return read_buffer(reply) if sent == ":TRAC:DATA?" and reply is not None else None
