"""A recorded session on a bench: what its errors say."""

from __future__ import annotations

from pathlib import Path

import pytest

from instruments import StoppedError
from instruments.session import live_session
from instruments.states import Cause


def test_who_is_told_that_the_bench_was_stopped_is_told_why(tmp_path: Path) -> None:
    with (
        pytest.raises(StoppedError, match="the bench was stopped") as caught,
        live_session("sweep", {}, bench_file=None, database=tmp_path / "a.sqlite") as session,
    ):
        session.bench.arm()
        session.bench.stop("the guardian has ended", Cause.HEARTBEAT)
        raise StoppedError("the bench was stopped")
    assert caught.value.__notes__ == ["stale heartbeat: the guardian has ended"]


def test_a_reason_is_not_told_twice(tmp_path: Path) -> None:
    with (
        pytest.raises(StoppedError, match="operator: enough") as caught,
        live_session("sweep", {}, bench_file=None, database=tmp_path / "a.sqlite") as session,
    ):
        session.bench.stop("enough")
        session.bench.sweep("J1", [0.0])
    assert not hasattr(caught.value, "__notes__")
