"""What another program adds to a session whose own program is gone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import db
from db import DatabaseError, Recorder, add_events


def test_events_reach_a_session_whose_writer_was_killed(tmp_path: Path) -> None:
    path = tmp_path / "lab.sqlite"
    script = (
        "import os, signal\n"
        "from db import Message, Recorder\n"
        f"recorder = Recorder.open({str(path)!r})\n"
        "recorder.start_session('sweep', {})\n"
        "recorder.message(Message(0, 'x', 'write', ':OUTP ON', None, None, None, 0.0))\n"
        "recorder.flush()\n"
        "os.kill(os.getpid(), signal.SIGTERM)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=False)
    add_events(path, 1, [("tripped", "it was killed"), ("guardian", "all is off")])
    add_events(path, 1, [])
    detail = db.session(path, 1)
    assert detail.info.status == "interrupted"
    assert [(one.kind, one.text, one.messages) for one in detail.events] == [
        ("tripped", "it was killed", 1), ("guardian", "all is off", 1),
    ]  # fmt: skip


def test_events_reach_a_session_whose_writer_is_still_there(tmp_path: Path) -> None:
    path = tmp_path / "lab.sqlite"
    with Recorder.open(path) as recorder:
        assert recorder.session is None
        number = recorder.start_session("sweep", {})
        assert recorder.session == number
        recorder.event("first", "of the writer")
        recorder.flush()
        add_events(path, number, [("tripped", "it hangs")])
        recorder.event("last", "of the writer")
        recorder.end_session("complete")
        assert recorder.session is None
    assert [one.kind for one in db.session(path, number).events] == ["first", "tripped", "last"]


def test_what_cannot_be_added_is_said(tmp_path: Path) -> None:
    path = tmp_path / "lab.sqlite"
    with pytest.raises(DatabaseError, match="does not exist"):
        add_events(path, 1, [("a", "b")])
    assert not path.exists()
    with Recorder.open(path) as recorder:
        recorder.start_session("sweep", {})
        recorder.end_session("complete")
    with pytest.raises(DatabaseError, match="no session 7"):
        add_events(path, 7, [("a", "b")])
    path.with_name("other").write_text("not a database, and long enough to be seen as none")
    with pytest.raises(DatabaseError):
        add_events(path.with_name("other"), 1, [("a", "b")])
    assert db.session(path, 1).events == []
