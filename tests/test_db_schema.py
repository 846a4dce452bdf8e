"""The file: its schema, its versions, and what is refused as not ours."""

import hashlib
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

import db
from db import schema
from db.engine import writing_engine

V1 = Path(__file__).parent / "data" / "db_v1.sqlite"

READERS: dict[str, Callable[[Path], object]] = {
    "sessions": db.sessions,
    "session": lambda path: db.session(path, 1),
    "calibrations": lambda path: list(db.calibrations(path, "J1")),
    "transcript": lambda path: list(db.transcript(path, 1)),
    "sweeps": lambda path: db.sweeps(path, 1),
    "weights": lambda path: db.weights(path, 1),
    "run": lambda path: db.run(path, 1),
    "steps": lambda path: db.steps(path, 1),
}


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """A copy of the stored file of version 1."""
    return Path(shutil.copy(V1, tmp_path / "stored.sqlite"))


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _run(path: Path, sql: str) -> None:
    connection = sqlite3.connect(path)
    with connection:
        connection.execute(sql)
    connection.close()


def test_the_migrations_lead_to_the_tables_that_the_code_uses(tmp_path: Path) -> None:
    from alembic.autogenerate import compare_metadata

    path = tmp_path / "new.sqlite"
    db.Recorder.open(path).close()
    engine = writing_engine(path)
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "version_table": schema.VERSION_TABLE,
                "compare_type": True,
                "compare_server_default": True,
            },
        )
        assert compare_metadata(context, schema.metadata) == []
        created = {
            str(name): str(sql)
            for name, sql in connection.exec_driver_sql("SELECT name, sql FROM sqlite_master")
        }
    assert "ck_session_known_status" in created["session"]  # Alembic does not compare these
    assert "fk_message_session_session" in created["message"]


def test_the_list_of_versions_is_the_list_of_migrations() -> None:
    config = Config()
    folder = Path(schema.__file__).parent / "migrations"
    config.set_main_option("script_location", str(folder))
    scripts = ScriptDirectory.from_config(config)
    found = [script.revision for script in scripts.walk_revisions()]
    assert list(schema.VERSIONS) == found[::-1]


def test_a_file_of_version_1_can_be_read(stored: Path) -> None:
    first, second = db.sessions(stored)
    assert (first.id, first.kind, first.status, first.messages) == (1, "train", "complete", 4)
    assert (first.operator, first.sample, first.note) == ("A. Person", "wafer 3", "Ω and µ")
    assert (second.kind, second.status) == ("check", "interrupted")
    detail = db.session(stored, 1)
    assert detail.settings == {"bench": {"backend": "sim"}, "nplc": 0.1}
    assert detail.versions == {"spinloop": "0.1.0"}
    assert detail.result == {"accuracy": 0.5}
    assert detail.calibrations == [db.Calibration("J1", {"i0_a": 1.5e-3, "valid": True})]
    (run,) = detail.runs
    assert (run.name, run.arm, run.seed, run.fold) == ("xor", "mtj", 7, 2)
    np.testing.assert_array_equal(run.epochs["loss"], [0.7, np.nan])
    np.testing.assert_array_equal(run.epochs["accuracy"], [0.5, np.nan])
    (event,) = detail.events
    assert (event.kind, event.text, event.messages) == ("tripped", "The operator pressed stop.", 4)
    assert [message.seq for message in db.transcript(stored, 1)] == [1, None, 2, 3]
    assert [message.reply for message in db.transcript(stored, 1, 3)] == [b"\x00\xff1"]
    assert db.sweeps(stored, 1)[0].settings == {"order": "sorted"}
    number, found = db.run(stored, run.id)
    assert (number, found.id, found.settings) == (1, run.id, run.settings)
    assert list(db.steps(stored, run.id)) == ["step"]
    arrays = db.weights(stored, run.id)
    assert list(arrays) == ["w", "b"]
    np.testing.assert_array_equal(arrays["w"], [[0, 1, 2], [3, 4, 5]])
    assert db.weights_sha256(arrays) == run.weights_sha256


def test_a_file_of_version_1_can_be_recorded_into(stored: Path) -> None:
    before = list(db.transcript(stored, 1))
    with db.Recorder.open(stored) as recorder:
        assert recorder.start_session("check", {}) == 3
        recorder.end_session("complete")
    assert [info.status for info in db.sessions(stored)] == ["complete", "interrupted", "complete"]
    assert list(db.transcript(stored, 1)) == before


def test_reading_leaves_every_byte_of_the_file_as_it_was(stored: Path) -> None:
    before = _digest(stored)
    for read in READERS.values():
        read(stored)
    assert _digest(stored) == before


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_a_missing_file_is_named_and_not_created(
    tmp_path: Path, read: Callable[[Path], object]
) -> None:
    path = tmp_path / "missing.sqlite"
    with pytest.raises(db.DatabaseError, match=r"missing\.sqlite does not exist"):
        read(path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("read", [*READERS.values(), db.Recorder.open], ids=[*READERS, "open"])
def test_what_is_not_ours_is_refused_and_left_alone(
    tmp_path: Path, stored: Path, read: Callable[[Path], object]
) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("not a database, but long enough to look at" * 40)
    other = tmp_path / "other.sqlite"
    _run(other, "CREATE TABLE theirs (a)")
    _run(stored, f"UPDATE {schema.VERSION_TABLE} SET version_num = '9999'")
    for path, sentence in (
        (text, r"notes\.txt is not a SQLite database"),
        (other, r"other\.sqlite is a SQLite file of another program"),
        (stored, r"stored\.sqlite has the schema 9999, .* update SpinLoop"),
        (tmp_path, "is a folder"),
    ):
        before = None if path.is_dir() else _digest(path)
        with pytest.raises(db.DatabaseError, match=sentence):
            read(path)
        assert before is None or _digest(path) == before


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_an_empty_file_and_an_older_one_say_so(
    tmp_path: Path, stored: Path, monkeypatch: pytest.MonkeyPatch, read: Callable[[Path], object]
) -> None:
    empty = tmp_path / "empty.sqlite"
    empty.touch()
    with pytest.raises(db.DatabaseError, match="nothing has been recorded"):
        read(empty)
    monkeypatch.setattr("db.engine.READABLE", (schema.VERSION,))
    with pytest.raises(db.DatabaseError, match=r"older schema 0001: .* recording into it once"):
        read(stored)


def test_an_empty_file_can_be_recorded_into(tmp_path: Path) -> None:
    path = tmp_path / "empty.sqlite"
    path.touch()
    with db.Recorder.open(path) as recorder:
        assert recorder.start_session("check", {}) == 1


def test_a_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(db.DatabaseError, match=r"The folder .*nowhere does not exist"):
        db.Recorder.open(tmp_path / "nowhere" / "a.sqlite")


def test_a_path_may_have_any_characters(tmp_path: Path) -> None:
    folder = tmp_path / "a %20 #b ü"
    folder.mkdir()
    path = folder / "50% done#1.sqlite"
    with db.Recorder.open(path) as recorder:
        recorder.start_session("check", {})
    assert len(db.sessions(path)) == 1


def test_a_migration_that_fails_leaves_the_file_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from alembic import op

    def fail(*arguments: object, **options: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    path = tmp_path / "new.sqlite"
    with monkeypatch.context() as patch:
        patch.setattr(op, "create_index", fail)
        with pytest.raises(db.DatabaseError, match="free some space"):
            db.Recorder.open(path)
    with pytest.raises(db.DatabaseError, match="is empty"):
        db.sessions(path)
    db.Recorder.open(path).close()
    assert db.sessions(path) == []


@pytest.mark.parametrize(
    "said", ["unable to open database file", "attempt to write a readonly database"]
)
def test_a_read_only_folder_can_be_read_from(
    stored: Path, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    from db import engine

    asked = []
    connect = engine._connect

    class NoShm(sqlite3.Connection):
        def execute(self, *arguments: object) -> sqlite3.Cursor:
            self.close()
            raise sqlite3.OperationalError(said)

    def refuse(path: Path, options: str) -> sqlite3.Connection:
        asked.append(options)
        if "immutable" in options:
            return connect(path, options)
        return sqlite3.connect(path, factory=NoShm)

    monkeypatch.setattr(engine, "_connect", refuse)
    assert len(db.sessions(stored)) == 2
    assert asked == ["mode=ro", "mode=ro&immutable=1"]
