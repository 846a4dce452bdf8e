"""Faults of readings, levels and trigger pulses: all of them by number or by time alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sim_backend.faults_chance import Array, uniforms
from sim_backend.faults_kinds import Compliance, Drift, LostTrigger, NotANumber, Overflow, Spike
from sim_backend.faults_messages import Count

#: time, s, and a sentence, for the log
Log = Callable[[Count, float, str], None]


class Mark(IntEnum):
    """What a reading is instead of its value."""

    NONE = 0
    OVERFLOW = 1
    NAN = 2
    COMPLIANCE = 3


class Changed(NamedTuple):
    """Readings after faults.

    Attributes:
        values: in the reading's SI unit, [P].
        marks: a :class:`Mark` each, [P]; None: no reading is marked.
    """

    values: Array
    marks: NDArray[np.int8] | None


_MARKS = {Overflow: Mark.OVERFLOW, NotANumber: Mark.NAN, Compliance: Mark.COMPLIANCE}


def changed(
    counts: Sequence[Count], first: int, values: Array, times_s: Array, log: Log
) -> Changed:
    """Readings number ``first`` (from 1) and on, that end at ``times_s``, as faults leave them."""
    numbers = np.arange(first, first + len(values))
    marks = np.zeros(len(values), dtype=np.int8)
    for count in counts:
        fault = count.fault
        if isinstance(fault, Drift):
            if fault.of != "output":
                values = drifting(count, values, times_s, log)
            continue
        hit = (numbers >= fault.first) & (numbers <= (fault.until or numbers.max(initial=0)))
        if isinstance(fault, Spike):
            if fault.probability < 1 and hit.any():
                hit &= uniforms(count.key, first, len(values)) < fault.probability
            values = np.where(hit, values + fault.height, values)
        else:
            marks[hit] = _MARKS[type(fault)]
        for at in np.flatnonzero(hit).tolist():
            log(count, float(times_s[at]), f"reading {numbers[at]}")
    return Changed(values, marks if marks.any() else None)


def drifting(count: Count, values: Array, times_s: Array, log: Log) -> Array:
    """Readings or levels at these times, after one drift."""
    fault = count.fault
    since_s = np.maximum(times_s - fault.from_s, 0.0)
    if not since_s.any():
        return values
    if not count.told:
        count.told = True
        log(count, fault.from_s, f"{fault.gain_per_s:g} and {fault.offset_per_s:g} per second")
    result: Array = values * (1 + fault.gain_per_s * since_s) + fault.offset_per_s * since_s
    return result


def lost_pulses(
    counts: Sequence[Count], line: int, first: int, number: int
) -> list[tuple[Count, NDArray[np.bool_]]]:
    """Which of the pulses number ``first`` (from 1) and on of a line each fault takes, [number]."""
    numbers = np.arange(first, first + number)
    found = []
    for count in counts:
        fault: LostTrigger = count.fault
        if fault.line != line:
            continue
        lost = numbers >= fault.pulse
        if fault.times is not None:
            lost &= numbers < fault.pulse + fault.times
        found.append((count, lost))
    return found
