"""Calibrations of a junction over all sessions of a record."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest

import db


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five sessions: two calibrations of J1 in the first, J2 alone in the third."""
    path = tmp_path_factory.mktemp("db") / "record.sqlite"
    with db.Recorder.open(path) as recorder:
        for number, (sample, made) in enumerate(
            [("W1", "J1 J2 J1"), ("W2", "J1"), ("W1", "J2"), ("W1", ""), ("W1", "J1")], 1
        ):
            recorder.start_session("calibrate", {"number": number}, sample=sample)
            for place, junction in enumerate(made.split()):
                recorder.calibration(junction, {"place": place, "i0_a": [number * 1e-3, 0.1]})
            recorder.end_session("complete")
    return path


def test_the_last_calibration_of_each_session_comes_newest_session_first(record: Path) -> None:
    found = list(db.calibrations(record, "J1"))
    assert [one.session for one in found] == [5, 2, 1]
    assert [one.values["place"] for one in found] == [0, 0, 2]
    assert [one.settings for one in found] == [{"number": 5}, {"number": 2}, {"number": 1}]
    assert [one.values["i0_a"] for one in found] == [[5e-3, 0.1], [2e-3, 0.1], [1e-3, 0.1]]
    started = {one.id: one.started for one in db.sessions(record)}
    assert all(one.started == started[one.session] for one in found)


def test_only_those_of_the_sample_come_and_of_an_unknown_junction_none(record: Path) -> None:
    assert [one.session for one in db.calibrations(record, "J1", sample="W1")] == [5, 1]
    assert [one.session for one in db.calibrations(record, "J2", sample="W1")] == [3, 1]
    assert list(db.calibrations(record, "J1", sample="")) == []
    assert list(db.calibrations(record, "J9")) == []


def test_a_search_that_ends_early_leaves_the_record_free(record: Path) -> None:
    begun = db.calibrations(record, "J1")
    assert [one.session for one in islice(begun, 1)] == [5]
    with db.Recorder.open(record) as recorder:
        recorder.start_session("calibrate", {})
        recorder.calibration("J3", {})
        recorder.end_session("complete")
    assert [one.session for one in begun] == [2, 1]


def test_a_missing_record_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(db.DatabaseError, match="does not exist"):
        db.calibrations(tmp_path / "none.sqlite", "J1")
