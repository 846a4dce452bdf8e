"""What a Keithley 2400 answers from its buffer, for its driver and for who reads a transcript."""

from __future__ import annotations

import numpy as np

from instruments.roles import MeterReadings

# A reading's status word: overflow, compliance, range compliance (manual 18-49; bit 16: memory).
_BAD = (1 << 0) | (1 << 3) | (1 << 16)


def read_buffer(reply: bytes) -> MeterReadings:
    """The readings in a reply to ``:TRAC:DATA?``: SREAL pairs of current and status."""
    table = np.frombuffer(reply[2:], dtype="<f4").reshape(-1, 2).astype(np.float64)
    current = table[:, 0]
    with np.errstate(invalid="ignore"):  # a transcript may hold anything
        status = table[:, 1].astype(np.int64)
    # NAN is 9.91e37 and overflow 9.9e37: numbers, so they are named here.
    valid = ((status & _BAD) == 0) & np.isfinite(current) & (np.abs(current) < 9e37)
    return MeterReadings(current, status, valid)
