"""A sweep's arrays from its part of a transcript."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from db import Message
from instruments.drivers._readings import loaded_levels, readings
from instruments.roles import MeterReadings

Array = NDArray[np.float64]


def derive_sweep(messages: Sequence[Message]) -> tuple[Array, Array, Array, NDArray[np.bool_]]:
    """The arrays of one sweep from its slice of the transcript: levels and both currents, A, and
    whether both readings are valid, every measured point in the order of measuring (what a sweep's
    sha256 is taken over).

    Works on the list sweeps of our drivers: uploads of levels, replies of current and status.
    """
    levels: list[float] = []
    loaded: list[float] = []
    read: dict[str, list[MeterReadings]] = {"x": [], "z": []}
    for message in messages:
        if message.op == "write":
            loaded = loaded_levels(message.sent, loaded) or loaded
            continue
        found = readings(message.sent, message.reply)
        if message.op == "query" and found is not None:
            read[message.instrument].append(found)
            if message.instrument == "x":
                levels += loaded[: len(found.valid)]
    x, z = (np.concatenate([one.current_a for one in read[role]]) for role in ("x", "z"))
    sure = [np.concatenate([one.valid for one in read[role]]) for role in ("x", "z")]
    points = min(len(x), len(z))  # the same, unless the transcript was changed
    return np.array(levels), x, z, sure[0][:points] & sure[1][:points]
