"""When writing fails, every call says so, nothing hangs, and what was written stays."""

import os
import platform
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

import db
from db import Message

ROOT = Path(__file__).parents[1]
WRITE = Message(1, "x", "write", ":INIT", None, None, None, 1.0)


def _assert_refuses_everything(recorder: db.Recorder, sentence: str) -> None:
    """Every method, in any thread; then close, which also leaves."""
    calls: list[Callable[[], object]] = [
        lambda: recorder.message(WRITE),
        lambda: recorder.event("a", "b"),
        lambda: recorder.calibration("J1", {}),
        lambda: recorder.start_run("a", "b", seed=0, fold=None, settings={}),
        lambda: recorder.start_session("check", {}),
        recorder.flush,
        lambda: recorder.end_session("complete"),
    ]
    for call in calls:
        with pytest.raises(db.DatabaseError, match=sentence):
            call()
    caught: list[BaseException] = []

    def elsewhere() -> None:
        try:
            recorder.message(WRITE)
        except db.DatabaseError as error:
            caught.append(error)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert len(caught) == 1
    with pytest.raises(db.DatabaseError, match=sentence):
        recorder.close()
    recorder.close()
    assert not any(thread.name.startswith("recorder") for thread in threading.enumerate())


def test_a_full_disk_stops_the_recorder_and_keeps_what_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pragmas = ["PRAGMA synchronous = NORMAL", "PRAGMA max_page_count = 80"]
    monkeypatch.setattr("db.engine.WRITER_PRAGMAS", pragmas)
    recorder = db.Recorder.open(tmp_path / "a.sqlite")
    recorder.start_session("check", {})
    flushed = 0
    with pytest.raises(db.DatabaseError, match="is full: free some space"):
        for place in range(100_000):
            recorder.message(replace(WRITE, seq=place, sent="x" * 100))
            if place % 100 == 99:
                recorder.flush()
                flushed = place + 1
    assert flushed > 0
    _assert_refuses_everything(recorder, "is full: free some space")
    found = [message.seq for message in db.transcript(recorder.path, 1)]
    assert found == list(range(flushed))
    assert db.sessions(recorder.path)[0].messages == flushed


def test_a_failing_connection_stops_the_recorder_without_any_flush(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    recorder = db.Recorder.open(tmp_path / "a.sqlite")
    recorder.start_session("check", {})
    monkeypatch.setattr("db.messages.MessageRows.insert", fail)
    recorder.message(WRITE)
    recorder._writer._thread.join(10)
    _assert_refuses_everything(recorder, "failed .*disk I/O error")


def test_an_exception_under_way_gets_the_failure_as_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    with (
        pytest.raises(ZeroDivisionError) as caught,
        db.Recorder.open(tmp_path / "a.sqlite") as recorder,
    ):
        recorder.start_session("check", {})
        monkeypatch.setattr("db.messages.MessageRows.insert", fail)
        recorder.message(WRITE)
        _ = 1 / 0
    assert "disk I/O error" in caught.value.__notes__[0]


def test_a_file_locked_for_too_long_stops_the_recorder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.sqlite"
    db.Recorder.open(path).close()
    monkeypatch.setattr("db.engine.BUSY_S", 0.02)
    recorder = db.Recorder.open(path)
    recorder.start_session("check", {})
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(db.DatabaseError, match="locked for more than 5 s"):
        recorder.event("a", "b")
        recorder.flush()
    with pytest.raises(db.DatabaseError, match="locked for more than 5 s"):
        db.Recorder.open(path)
    _assert_refuses_everything(recorder, "locked for more than 5 s")
    other.close()


@pytest.mark.skipif(os.name == "nt", reason="an open file cannot be removed there")
@pytest.mark.parametrize("how", ["removed", "replaced"])
def test_a_file_that_was_taken_away_stops_the_recorder(tmp_path: Path, how: str) -> None:
    recorder = db.Recorder.open(tmp_path / "a.sqlite")
    recorder.start_session("check", {})
    recorder.path.rename(tmp_path / "b.sqlite")
    if how == "replaced":
        recorder.path.touch()
    recorder.message(WRITE)
    with pytest.raises(db.DatabaseError, match="deleted, moved or replaced"):
        recorder.flush()
    _assert_refuses_everything(recorder, "deleted, moved or replaced")


def test_message_waits_for_nothing_even_while_the_file_is_locked(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    with db.Recorder.open(path) as recorder:
        recorder.start_session("check", {})
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")  # no write can come through
        for place in range(10_000):
            recorder.message(replace(WRITE, seq=place))
        assert db.sessions(path)[0].messages == 0
        other.execute("ROLLBACK")
        other.close()
        recorder.flush()
        assert db.sessions(path)[0].messages == 10_000


def test_a_row_is_committed_without_being_asked_for(tmp_path: Path) -> None:
    from sqlalchemy import Engine, event

    committed = threading.Event()

    def seen(connection: object) -> None:
        committed.set()

    with db.Recorder.open(tmp_path / "a.sqlite") as recorder:
        recorder.start_session("check", {})
        event.listen(Engine, "commit", seen)
        try:
            recorder.message(WRITE)
            assert committed.wait(10)
        finally:
            event.remove(Engine, "commit", seen)
        # the file may be read from the moment at which the commit has been made
        while not db.sessions(recorder.path)[0].messages:
            pass


def test_a_recorder_is_refused_in_a_forked_child(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with db.Recorder.open(tmp_path / "a.sqlite") as recorder:
        recorder.start_session("check", {})
        with monkeypatch.context() as patch:
            patch.setattr("db.writer.os.getpid", lambda: -1)
            with pytest.raises(db.DatabaseError, match="belongs to the parent process"):
                recorder.flush()


# -- other processes ---------------------------------------------------------------------------

RECORD_UNTIL_KILLED = """
import sys
from itertools import count
from db import Message, Recorder

recorder = Recorder.open(sys.argv[1])
recorder.start_session("train", {})
for place in count():
    recorder.message(Message(place, "x", "query", ":FETC?", b"1", None, None, place * 1e-3))
    if place == 2000:
        recorder.flush()
        print("flushed", flush=True)
"""

RECORD_AND_LEAVE = """
import sys
from db import Message, Recorder

recorder = Recorder.open(sys.argv[1])
number = recorder.start_session("train", {})
for place in range(300):
    recorder.message(Message(place, sys.argv[2], "write", "", None, None, None, 0.0))
    recorder.event("count", str(place))
    if place % 20 == 0:
        recorder.flush()
if sys.argv[2] != "leaves":
    recorder.end_session("complete")
    recorder.close()
"""


def _start(code: str, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )


def test_a_killed_session_keeps_what_was_committed_and_is_interrupted(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    with _start(RECORD_UNTIL_KILLED, str(path)) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "flushed\n"
        assert db.sessions(path)[0].status == "running"
        child.kill()
    before = path.read_bytes()
    (info,) = db.sessions(path)  # from the file as the killed program left it
    assert (info.status, info.ended) == ("interrupted", None)
    assert path.read_bytes() == before
    found = [message.seq for message in db.transcript(path, 1)]
    assert found == list(range(len(found)))
    assert len(found) == info.messages > 2000
    db.Recorder.open(path).close()
    stored = sqlite3.connect(path)
    assert stored.execute("SELECT status FROM session").fetchall() == [("interrupted",)]
    stored.close()
    assert [message.seq for message in db.transcript(path, 1)] == found


def test_four_programs_that_create_and_record_into_one_file_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    names = ["one", "two", "three", "four"]
    children = [_start(RECORD_AND_LEAVE, str(path), name) for name in names]
    for child in children:
        with child:
            child.wait()
        assert child.returncode == 0
    infos = db.sessions(path)
    assert [(info.status, info.messages) for info in infos] == [("complete", 300)] * 4
    seen = []
    for info in infos:
        found = list(db.transcript(path, info.id))
        assert [message.seq for message in found] == list(range(300))
        seen.append({message.instrument for message in found}.pop())
        events = db.session(path, info.id).events
        assert [(event.text, event.messages) for event in events] == [
            (str(place), place + 1) for place in range(300)
        ]
    assert sorted(seen) == sorted(names)


def test_a_program_that_ends_without_closing_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    with _start(RECORD_AND_LEAVE, str(path), "leaves") as child:
        child.wait()
    assert child.returncode == 0
    (info,) = db.sessions(path)
    assert (info.status, info.messages) == ("interrupted", 300)
    assert info.ended is not None


@pytest.mark.parametrize(
    ("host", "pid", "age_s", "status"),
    [
        (platform.node(), os.getpid(), 0.0, "running"),
        (platform.node(), os.getpid(), 1000.0, "interrupted"),  # the pid is used again
        ("another-host", os.getpid(), 0.0, "interrupted"),  # the file was copied here
        (platform.node(), 2**22 + 1, 0.0, "interrupted"),  # no such process
    ],
    ids=["here", "pid used again", "copied", "no such process"],
)
def test_a_session_runs_only_while_its_process_is_there(
    tmp_path: Path, host: str, pid: int, age_s: float, status: str
) -> None:
    path = tmp_path / "a.sqlite"
    with db.Recorder.open(path) as recorder:
        recorder.start_session("check", {})
    connection = sqlite3.connect(path)
    created = psutil.Process().create_time() - age_s
    with connection:
        connection.execute(
            "UPDATE session SET status = 'running', host = ?, pid = ?, process_created = ?",
            (host, pid, created),
        )
    assert db.sessions(path)[0].status == status
    db.Recorder.open(path).close()
    assert connection.execute("SELECT status FROM session").fetchone() == (status,)
    connection.close()
