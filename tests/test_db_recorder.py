"""What is given to a recorder comes back as it was given."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

import db
from db import Message, Sweep

POLL = Message(None, "x", "poll", "", None, 0, None, 1.0)
WRITE = Message(1, "x", "write", ":INIT", None, None, None, 1.0)
SWEEP = Sweep("sweep", "J1", 5, 1, 9, 0.5, 1.5, "00" * 32, {"order": "sorted"})


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[db.Recorder]:
    """One recorder for the many examples of the property tests."""
    with db.Recorder.open(tmp_path_factory.mktemp("db") / "shared.sqlite") as recorder:
        yield recorder


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[db.Recorder]:
    """A recorder with session 1 open."""
    with db.Recorder.open(tmp_path / "record.sqlite") as recorder:
        recorder.start_session("check", {})
        yield recorder


def _without_repeats(messages: list[Message]) -> list[Message]:
    last: dict[str, Message] = {}
    kept = []
    for message in messages:
        before = last.get(message.instrument)
        last[message.instrument] = message
        poll = message.op == "poll" and message.seq is None
        if not (poll and before and replace(before, bench_time_s=message.bench_time_s) == message):
            kept.append(message)
    return kept


MESSAGES = st.builds(
    Message,
    seq=st.none() | st.integers(0, 2**62),
    instrument=st.sampled_from(["field", "x", "z", "switch", "bench"]),
    op=st.sampled_from(["write", "query", "wait", "clear", "pause", "poll"]),
    sent=st.text(),
    reply=st.none() | st.binary(),
    status=st.none() | st.integers(0, 255),
    error=st.none() | st.text(),
    bench_time_s=st.floats(allow_nan=False),
)
POLLS = st.builds(
    lambda instrument, status, time: replace(
        POLL, instrument=instrument, status=status, bench_time_s=time
    ),
    st.sampled_from(["x", "z"]),
    st.sampled_from([0, 65]),
    st.floats(0, 9),
)


@settings(deadline=None, max_examples=60)
@given(
    messages=st.lists(MESSAGES | POLLS, max_size=30), bounds=st.tuples(*[st.integers(0, 50)] * 2)
)
def test_messages_come_back_in_order_and_in_slices(
    shared: db.Recorder, messages: list[Message], bounds: tuple[int, int]
) -> None:
    number = shared.start_session("check", {})
    for message in messages:
        shared.message(message)
    shared.end_session("complete")
    kept = _without_repeats(messages)
    assert list(db.transcript(shared.path, number)) == kept
    assert db.session(shared.path, number).info.messages == len(kept)
    first, last = bounds
    placed = [message for message in kept if message.seq is not None]
    assert list(db.transcript(shared.path, number, first, last)) == [
        message for message in placed if first <= (message.seq or 0) <= last
    ]
    assert list(db.transcript(shared.path, number, first_seq=0)) == placed


DTYPES = st.sampled_from(["?", "i1", "<i4", ">i8", "u1", "<f2", "<f4", ">f4", "f8", "c8", ">c16"])
ARRAYS = st.dictionaries(
    st.text(max_size=8), npst.arrays(DTYPES, npst.array_shapes(min_dims=0, min_side=0)), max_size=4
)


@settings(deadline=None, max_examples=60)
@given(arrays=ARRAYS)
def test_arrays_come_back_bit_for_bit(
    shared: db.Recorder, arrays: dict[str, np.ndarray[Any, Any]]
) -> None:
    shared.start_session("train", {})
    run = shared.start_run("a", "b", seed=1, fold=None, settings={})
    sha256 = shared.weights(run, arrays)
    shared.end_session("complete")
    found = db.weights(shared.path, run)
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        native = array.astype(array.dtype.newbyteorder("="))
        assert found[name].dtype == native.dtype
        assert found[name].shape == array.shape
        assert found[name].tobytes() == native.tobytes()
        assert found[name].flags.writeable
    assert db.weights_sha256(found) == sha256 == db.NullRecorder().weights(1, arrays)


JSONS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None, max_examples=60)
@given(values=st.dictionaries(st.text(), JSONS, max_size=3))
def test_json_comes_back(shared: db.Recorder, values: dict[str, Any]) -> None:
    number = shared.start_session("check", values)
    shared.calibration("J1", values)
    shared.sweep(replace(SWEEP, settings=values))
    shared.end_session("complete", values)
    detail = db.session(shared.path, number)
    assert detail.settings == detail.result == detail.calibrations[0].values == values
    assert db.sweeps(shared.path, number) == [replace(SWEEP, settings=values)]


def test_the_hash_of_weights_is_stable_and_sees_names_types_shapes_and_order() -> None:
    a = np.arange(6, dtype=np.float32)
    b = np.ones(2)
    known = db.weights_sha256({"a": a, "b": b})
    assert (
        known == "68a89b2b9a283ff8b1d604f5c8b987271ebdad38afc069bc0d5ba610524cc904"
    )  # written down once
    assert db.weights_sha256({"a": a.astype(">f4"), "b": b}) == known
    assert db.weights_sha256({"a": np.arange(12, dtype=np.float32)[::2] / 2, "b": b}) == known
    others: list[dict[str, np.ndarray[Any, Any]]] = [
        {"b": b, "a": a},
        {"a": a, "c": b},
        {"a": a.reshape(2, 3), "b": b},
        {"a": a.astype(np.float64), "b": b},
        {"a": a + 1, "b": b},
        {"a": a},
    ]
    assert len({db.weights_sha256(other) for other in others} | {known}) == len(others) + 1


def test_weights_may_be_changed_after_they_are_given_and_the_last_stay(
    recorder: db.Recorder,
) -> None:
    run = recorder.start_run("a", "b", seed=1, fold=None, settings={})
    array = np.zeros(3)
    recorder.weights(run, {"old": array, "older": array})
    sha256 = recorder.weights(run, {"w": array})
    array += 1
    recorder.flush()
    np.testing.assert_array_equal(db.weights(recorder.path, run)["w"], [0, 0, 0])
    assert list(db.weights(recorder.path, run)) == ["w"]
    assert db.session(recorder.path, 1).runs[0].weights_sha256 == sha256


def test_a_run_keeps_its_epochs_as_arrays(recorder: db.Recorder) -> None:
    run = recorder.start_run("digits", "mtj", seed=3, fold=1, settings={"epochs": 3})
    recorder.epoch(run, 0, {"loss": 0.9, "accuracy": 0.1})
    recorder.epoch(run, 1, {"loss": float("nan")})
    recorder.epoch(run, 2, {"loss": float("inf")})
    recorder.epoch(run, 2, {"loss": 0.25, "reads": 40})  # after a resume
    recorder.flush()
    (found,) = db.session(recorder.path, 1).runs
    assert (found.id, found.name, found.arm, found.seed, found.fold) == (run, "digits", "mtj", 3, 1)
    assert found.settings == {"epochs": 3}
    assert found.weights_sha256 is None
    np.testing.assert_array_equal(found.epochs["epoch"], [0, 1, 2])
    np.testing.assert_array_equal(found.epochs["loss"], [0.9, np.nan, 0.25])
    np.testing.assert_array_equal(found.epochs["accuracy"], [0.1, np.nan, np.nan])
    np.testing.assert_array_equal(found.epochs["reads"], [np.nan, np.nan, 40])


def test_an_event_knows_what_was_recorded_before_it(recorder: db.Recorder) -> None:
    recorder.message(WRITE)
    recorder.event("tripped", "first")
    recorder.message(POLL)
    recorder.message(POLL)  # not stored
    recorder.event("tripped", "second")
    recorder.flush()
    events = db.session(recorder.path, 1).events
    assert [(event.text, event.messages) for event in events] == [("first", 1), ("second", 2)]


def test_repeated_polls_are_stored_once_for_each_instrument(recorder: db.Recorder) -> None:
    z = replace(POLL, instrument="z")
    ready = replace(POLL, status=65)
    given_ = [POLL, z, replace(POLL, bench_time_s=2.0), z, ready, ready, WRITE, ready, WRITE, WRITE]
    for message in given_:
        recorder.message(message)
    recorder.flush()  # also where a transaction ends between two polls
    recorder.message(z)
    recorder.flush()
    assert list(db.transcript(recorder.path, 1)) == [POLL, z, ready, WRITE, ready, WRITE, WRITE]


def test_text_that_utf_8_cannot_hold_is_escaped(recorder: db.Recorder) -> None:
    recorder.message(replace(WRITE, sent="a\udcff", error="ü\udcff"))
    recorder.event("kind", "\ud800")
    recorder.flush()
    (message,) = db.transcript(recorder.path, 1)
    assert (message.sent, message.error) == ("a\\udcff", "ü\\udcff")
    assert db.session(recorder.path, 1).events[0].text == "\\ud800"


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ({"a": [1.0, float("nan")]}, r"settings\.a\[1\] is nan"),
        ({"a": {"b": float("inf")}}, r"settings\.a\.b is inf"),
        ({"a": {1: 2}}, r"settings\.a has the key 1"),
        ({"a": np.int64(1)}, r"settings\.a is a numpy\.int64"),
        ({"a": b"bytes"}, r"settings\.a is a builtins\.bytes"),
    ],
)
def test_what_is_not_json_is_refused_with_its_place(
    recorder: db.Recorder, value: Any, sentence: str
) -> None:
    for any_recorder in (recorder, db.NullRecorder()):
        with pytest.raises(db.DatabaseError, match=sentence):
            any_recorder.start_run("a", "b", seed=0, fold=None, settings=value)
        with pytest.raises(db.DatabaseError, match=sentence):
            any_recorder.sweep(replace(SWEEP, settings=value))
    recorder.flush()  # and the recorder goes on


@pytest.mark.parametrize("array", [np.array(["a"]), np.array([object()]), np.array([b"a"])])
def test_arrays_that_are_not_of_numbers_are_refused(
    recorder: db.Recorder, array: np.ndarray[Any, Any]
) -> None:
    run = recorder.start_run("a", "b", seed=0, fold=None, settings={})
    for any_recorder in (recorder, db.NullRecorder()):
        with pytest.raises(db.DatabaseError, match="'w' has dtype"):
            any_recorder.weights(run, {"w": array})


def test_calls_out_of_place_say_what_to_do_first(tmp_path: Path) -> None:
    recorder = db.Recorder.open(tmp_path / "a.sqlite")
    too_early: list[Callable[[], object]] = [
        lambda: recorder.message(WRITE),
        lambda: recorder.sweep(SWEEP),
        lambda: recorder.event("a", "b"),
        lambda: recorder.end_session("complete"),
        lambda: recorder.epoch(1, 0, {}),
    ]
    for call in too_early:
        with pytest.raises(db.DatabaseError, match="call start_session first"):
            call()
    recorder.start_session("check", {})
    with pytest.raises(db.DatabaseError, match=r"Session 1 .* still open"):
        recorder.start_session("check", {})
    with pytest.raises(db.DatabaseError, match="Run 1 is not one of this session"):
        recorder.epoch(1, 0, {"loss": 1.0})
    with pytest.raises(db.DatabaseError, match="Run 4 is not one of this session"):
        recorder.sweep(replace(SWEEP, run=4))
    with pytest.raises(db.DatabaseError, match="cannot end as 'done'"):
        recorder.end_session("done")  # type: ignore[arg-type]
    recorder.close()
    recorder.close()
    with pytest.raises(db.DatabaseError, match="is closed"):
        recorder.message(WRITE)
    with pytest.raises(db.DatabaseError, match="is closed"):
        recorder.flush()


def test_unknown_sessions_and_runs_are_answered_with_those_there_are(
    recorder: db.Recorder,
) -> None:
    path = recorder.path
    for read in (db.session, db.transcript, db.sweeps):
        with pytest.raises(db.DatabaseError, match="no session 7: it has only session 1"):
            read(path, 7)
    with pytest.raises(db.DatabaseError, match="no run 1: it has no runs yet"):
        db.weights(path, 1)
    run = recorder.start_run("a", "b", seed=0, fold=None, settings={})
    with pytest.raises(db.DatabaseError, match="has no stored weights"):
        db.weights(path, run)
    for _ in range(15):
        recorder.end_session("complete")
        recorder.start_session("check", {})
    with pytest.raises(db.DatabaseError, match=r"sessions 1, 2, 3, 4, 5, 6, \.\.\., 12, 13"):
        db.session(path, 70)


def test_a_session_left_open_is_interrupted_and_one_under_way_is_running(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    with db.Recorder.open(path) as recorder:
        recorder.start_session("check", {})
        (info,) = db.sessions(path)
        assert (info.status, info.ended) == ("running", None)
        recorder.end_session("failed", {"why": "a wire"})
        recorder.start_session("train", {})
    first, second = db.sessions(path)
    assert (first.status, second.status) == ("failed", "interrupted")
    assert first.ended and second.ended and second.ended >= second.started


def test_an_exception_under_way_stays_the_one_that_is_raised(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), db.Recorder.open(tmp_path / "a.sqlite") as recorder:
        recorder.start_session("check", {})
        _ = 1 / 0
    assert db.sessions(tmp_path / "a.sqlite")[0].status == "interrupted"


def test_many_threads_lose_nothing_and_keep_their_order(recorder: db.Recorder) -> None:
    def record(name: str) -> None:
        for place in range(3000):
            recorder.message(replace(WRITE, seq=place, instrument=name))
            if place % 1000 == 0:
                recorder.event(name, str(place))

    names = ["field", "x", "z", "switch"]
    threads = [threading.Thread(target=record, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    recorder.flush()
    found = list(db.transcript(recorder.path, 1))
    assert len(found) == 12000
    for name in names:
        assert [m.seq for m in found if m.instrument == name] == list(range(3000))
    assert len(db.session(recorder.path, 1).events) == 12


def test_sessions_of_one_file_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    with db.Recorder.open(path) as one, db.Recorder.open(path) as two:
        assert (one.start_session("a", {}), two.start_session("b", {})) == (1, 2)
        for place in range(2500):
            one.message(replace(WRITE, seq=place, sent="one"))
            two.message(replace(WRITE, seq=place, sent="two"))
            if place % 500 == 0:
                one.flush()
                two.flush()
    for number, sent in ((1, "one"), (2, "two")):
        found = list(db.transcript(path, number))
        assert [m.seq for m in found] == list(range(2500))
        assert {m.sent for m in found} == {sent}
        assert [m.seq for m in db.transcript(path, number, 700, 702)] == [700, 701, 702]


def test_a_transcript_is_streamed_and_may_be_left_half_read(recorder: db.Recorder) -> None:
    for place in range(5000):
        recorder.message(replace(WRITE, seq=place))
    recorder.flush()
    found = db.transcript(recorder.path, 1)
    assert next(found).seq == 0
    recorder.message(replace(WRITE, seq=5000))  # what comes later is not part of it
    recorder.flush()
    assert [message.seq for message in found] == list(range(1, 5000))


def test_a_null_recorder_has_every_method_of_a_recorder_and_stores_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import inspect

    monkeypatch.chdir(tmp_path)
    for name, method in inspect.getmembers(db.Recorder, inspect.isfunction):
        if not name.startswith("_"):
            assert inspect.signature(method) == inspect.signature(getattr(db.NullRecorder, name))
    with db.NullRecorder() as recorder:
        assert [recorder.start_session("a", {}), recorder.start_session("a", {})] == [1, 2]
        runs = [recorder.start_run("a", "b", seed=0, fold=None, settings={}) for _ in range(2)]
        assert runs == [1, 2]
        recorder.message(WRITE)
        recorder.sweep(SWEEP)
        recorder.calibration("J1", {})
        recorder.epoch(1, 0, {})
        recorder.event("a", "b")
        recorder.flush()
        recorder.end_session("complete")
    assert list(tmp_path.iterdir()) == []


def test_measures_of_steps_come_back_as_one_array_each(recorder: db.Recorder) -> None:
    run = recorder.start_run("xor", "tanh", seed=0, fold=None, settings={})
    recorder.steps(run, 3, {"loss": np.array([3.0, 4.0, np.nan])})
    recorder.steps(run, 5, {"loss": np.array([5.0, 6.0]), "reads": np.array([50, 60])})
    recorder.flush()
    found = db.steps(recorder.path, run)
    np.testing.assert_array_equal(found["step"], [3, 4, 5, 6])
    np.testing.assert_array_equal(found["loss"], [3, 4, 5, 6])  # a later stretch counts
    np.testing.assert_array_equal(found["reads"], [np.nan, np.nan, 50, 60])
    recorder.steps(run, 3, {"loss": np.array([7.0])})
    recorder.flush()
    np.testing.assert_array_equal(db.steps(recorder.path, run)["loss"], [7, np.nan, 5, 6])
    with pytest.raises(db.DatabaseError, match="not one of this session"):
        recorder.steps(run + 1, 1, {"loss": np.zeros(1)})
