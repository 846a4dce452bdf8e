"""The readings of a list: fetched from a meter, and judged on the whole."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np

from instruments.errors import ComplianceError, OverflowedError, SweepVoidError
from instruments.roles import MeterReadings, SourceMeter

_FETCHES = 3  # of one buffer at most, where they are compared
#: shorter lists never trip the bench: a few points that are read again say little
TRIP_POINTS = 20


def fetch(meter: SourceMeter, points: int, how: Literal["once", "compared"]) -> MeterReadings:
    """A meter's readings.

    Args:
        meter: which.
        points: as many as its buffer must hold.
        how: "compared": until two fetches are alike, to the bit; a number does not tell by itself
            that a bit of it has flipped on the way.

    Raises:
        SweepVoidError: there are not as many, or no two of three fetches are alike.
    """
    fetched = [meter.fetch(points)]
    if how == "once":
        return fetched[0]
    while len(fetched) < _FETCHES:
        again = meter.fetch(points)
        if any(_alike(again, one) for one in fetched):
            return again
        fetched.append(again)
    raise SweepVoidError(f"{_FETCHES} fetches of one buffer gave other readings each time")


def _alike(one: MeterReadings, other: MeterReadings) -> bool:
    values, words = one.current_a.tobytes(), one.status.tobytes()
    return (values, words) == (other.current_a.tobytes(), other.status.tobytes())


def check_readings(junction: str, readings: Mapping[str, MeterReadings], share: float) -> None:
    """Whether a list was, on the whole, measured: single bad readings are marked as invalid and no
    more, but a list that mostly is not says that something is wrong with the junction or its leads.

    Args:
        junction: which.
        readings: of each meter.
        share: the largest share of a meter's readings that may be in compliance or above its range.

    Raises:
        ComplianceError, OverflowedError: naming junction, meter and share.
    """
    for role, one in readings.items():
        points = len(one.valid)
        if points < TRIP_POINTS:
            continue
        if np.mean(one.compliance) > share:
            raise ComplianceError(
                f"{junction}: meter {role} was in compliance for {int(one.compliance.sum())} of "
                f"{points} readings: look for a short, or mend readout.lowest_resistance"
            )
        if np.mean(one.overflow) > share:
            raise OverflowedError(
                f"{junction}: {int(one.overflow.sum())} of {points} readings are above the range "
                f"of meter {role}: look for a short, or mend readout.lowest_resistance"
            )
