"""A recorder that stores nothing."""

from __future__ import annotations

import os
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Self

from numpy.typing import NDArray

from db.recorder import EndStatus
from db.records import JSON, Message, Sweep
from db.values import json_text, weights_sha256

_NONE: Mapping[str, Any] = MappingProxyType({})


class NullRecorder:
    """For dry runs and replays: the methods of `Recorder`, and nothing is stored.

    Sessions and runs count from 1. What is not JSON and arrays that cannot be stored are refused
    as they would be, so that a dry run shows it; whether a session is open is not checked.
    """

    path = Path(os.devnull)

    def __init__(self) -> None:
        """Store nothing."""
        self._sessions = count(1)
        self._runs = count(1)

    def start_session(
        self,
        kind: str,
        settings: Mapping[str, JSON],
        *,
        operator: str = "",
        sample: str = "",
        note: str = "",
        versions: Mapping[str, str] = _NONE,
    ) -> int:
        """Return 1, 2, ...; raises DatabaseError if a setting is not JSON."""
        json_text(settings, "settings")
        json_text(versions, "versions")
        return next(self._sessions)

    def end_session(self, status: EndStatus, result: Mapping[str, JSON] | None = None) -> None:
        """Do nothing; raises DatabaseError if the result is not JSON."""
        json_text(result or {}, "result")

    def message(self, message: Message) -> None:
        """Do nothing."""

    def sweep(self, sweep: Sweep) -> None:
        """Do nothing; raises DatabaseError if a setting is not JSON."""
        json_text(sweep.settings, "settings")

    def calibration(self, junction: str, values: Mapping[str, JSON]) -> None:
        """Do nothing; raises DatabaseError if a value is not JSON."""
        json_text(values, "values")

    def event(self, kind: str, text: str) -> None:
        """Do nothing."""

    def start_run(
        self, name: str, arm: str, *, seed: int, fold: int | None, settings: Mapping[str, JSON]
    ) -> int:
        """Return 1, 2, ...; raises DatabaseError if a setting is not JSON."""
        json_text(settings, "settings")
        return next(self._runs)

    def epoch(self, run: int, epoch: int, values: Mapping[str, float]) -> None:
        """Do nothing."""

    def steps(self, run: int, first: int, values: Mapping[str, NDArray[Any]]) -> None:
        """Do nothing."""

    def weights(self, run: int, arrays: Mapping[str, NDArray[Any]]) -> str:
        """Return the SHA-256 that `Recorder.weights` would return, and raise as it does."""
        return weights_sha256(arrays)

    def flush(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Do nothing."""
