"""The loop, end to end: what a user is promised of a session."""

from __future__ import annotations

import builtins
import json
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import db
from instruments import Bench, DivergenceError, StoppedError
from training.jobs import JOBS, Watch, judge_replay
from training.session import RecordEndedError, live_session, replay_session

SHORT = {"tasks": ["circles"], "seed": 0, "repetitions": 1, "epochs": 2, "arms": ["device", "tanh"]}


def run(database, kind="train", arguments=SHORT, seed=0, watch=None, beside=None):
    watch = watch or Watch()
    with live_session(
        kind, arguments, bench_file=None, database=database, sim={"seed": seed}
    ) as session:
        if beside:
            beside(session)
        report = JOBS[kind](session, watch)
        session.result = dict(report)
    return report, watch


def messages(database):
    return [m for m in db.transcript(database, 1) if m.seq is not None]


def test_circles_are_learned_live_and_not_with_shuffled_gradients(tmp_path):
    arguments = {
        "tasks": ["circles"], "seed": 0, "repetitions": 2, "epochs": None,
        "arms": ["device", "tanh", "shuffled"],
    }  # fmt: skip
    report, _ = run(tmp_path / "a.sqlite", arguments=arguments)
    assert report["circles"]["device"]["mean"] >= 0.95
    assert report["circles"]["shuffled"]["mean"] < 0.75
    assert report["gradient_cosine"] > 0.99
    assert report["gradient_norm_ratio"] == pytest.approx(1, abs=0.05)
    assert report["dropped_batches"] == 0


def test_another_seed_has_other_junctions_and_iris_is_learned_there_too(tmp_path):
    arguments = {
        "tasks": ["iris"], "seed": 11, "repetitions": 1, "epochs": None,
        "arms": ["device", "tanh"],
    }  # fmt: skip
    report, watch = run(tmp_path / "a.sqlite", arguments=arguments, seed=11)
    iris = report["iris"]
    assert iris["device"]["mean"] >= 0.93
    assert abs(iris["device"]["mean"] - iris["tanh"]["mean"]) <= 0.034  # one sample a fold
    _, other = run(tmp_path / "b.sqlite", "calibrate", {"junctions": ["J1"]}, seed=12)
    assert watch.calibrations[0].unit_width_a != other.calibrations[0].unit_width_a


def test_the_same_seed_gives_the_same_bytes_also_with_a_polling_thread_beside(tmp_path):
    plain, _ = run(tmp_path / "plain.sqlite")
    done = threading.Event()

    def poll(session):
        links = session.bench.transport.links

        def watcher():
            while not done.is_set():
                try:
                    for link in links.values():
                        link.poll()
                    links["x"].query(":SOUR:VOLT?")
                except StoppedError:  # the run is over and the bench is closed
                    return

        threading.Thread(target=watcher, daemon=True).start()

    try:
        polled, _ = run(tmp_path / "polled.sqlite", beside=poll)
    finally:
        done.set()
    assert polled["weights_sha256"] == plain["weights_sha256"]
    assert messages(tmp_path / "polled.sqlite") == messages(tmp_path / "plain.sqlite")
    again, _ = run(tmp_path / "other.sqlite", seed=1)
    assert again["weights_sha256"] != plain["weights_sha256"]


def test_a_replay_is_the_same_bit_for_bit(tmp_path):
    file = tmp_path / "a.sqlite"
    report, _ = run(file)
    with replay_session(file, 1) as (session, note):
        assert note.exact
        watch = Watch()
        again = JOBS["train"](session, watch)
    judged = judge_replay(file, session, note, again, watch)
    assert again["weights_sha256"] == report["weights_sha256"]
    assert again["bench_seconds"] == report["bench_seconds"]
    assert judged["same"], judged
    assert judged["largest_weight_difference"] == 0.0


def replayed(file, number=1):
    with replay_session(file, number) as (session, note):
        watch = Watch()
        report = JOBS[note.detail.info.kind](session, watch)
    return judge_replay(file, session, note, report, watch)


def tamper(file, statement, *values):
    with sqlite3.connect(file) as connection:
        changed = connection.execute(statement, values).rowcount
    connection.close()
    assert changed


TAMPERED = {
    "weights": "UPDATE weight SET data = zeroblob(length(data)) WHERE name = 'output.bias'",
    "result": "UPDATE session SET result = replace(result, '\"reads\": ', '\"reads\": 1')",
    "sweep": "UPDATE sweep SET sha256 = 'x' WHERE id = (SELECT max(id) FROM sweep)",
    "calibration": "UPDATE calibration SET content = replace(content, 'chi2\": ', 'chi2\": 1')",
}


@pytest.mark.parametrize("what", TAMPERED)
def test_a_replay_does_not_call_a_changed_record_the_same(tmp_path, what):
    file = tmp_path / "a.sqlite"
    run(file)
    assert replayed(file)["same"]
    tamper(file, TAMPERED[what])
    judged = replayed(file)
    assert not judged["same"]
    assert any(what in place or what == "result" for place in judged["not_same"]), judged
    assert "not the same" in judged["sentence"]


def test_a_changed_reading_is_noticed_though_no_result_depends_on_it(tmp_path):
    file = tmp_path / "a.sqlite"
    run(file, "sweep", {"junction": "J2", "start_a": -0.01, "stop_a": 0.01, "points": 9,
                        "back": False})  # fmt: skip
    reply = next(m for m in messages(file) if m.sent == ":TRAC:DATA?").reply
    # In the first reading, that of a fill point, which no result holds.
    changed = reply[:4] + bytes([reply[4] ^ 8]) + reply[5:]
    tamper(file, "UPDATE message SET reply = ? WHERE sent = ':TRAC:DATA?' AND reply = ?",
           changed, reply)  # fmt: skip
    assert not replayed(file)["same"]


def test_on_other_versions_a_changed_calibration_is_still_noticed(tmp_path, monkeypatch):
    file = tmp_path / "a.sqlite"
    run(file, "calibrate", {"junctions": ["J1"]})
    import training.session

    here = training.session.versions()
    monkeypatch.setattr(training.session, "versions", lambda: here | {"numpy": "1.0"})
    assert replayed(file)["same"]
    tamper(file, "UPDATE session SET result = replace(result, '\"unit_width_a\": 0.0', "
                 "'\"unit_width_a\": 0.1')")  # fmt: skip
    assert not replayed(file)["same"]


def test_an_interrupted_session_replays_up_to_where_it_was_cut(tmp_path):
    file = tmp_path / "a.sqlite"

    def interrupt(now):
        raise KeyboardInterrupt("SIGTERM")

    with pytest.raises(KeyboardInterrupt):
        run(file, watch=Watch(on_progress=interrupt))
    assert "SIGTERM" in [event.text for event in db.session(file, 1).events]
    with pytest.raises(RecordEndedError, match=r"session 1 is interrupted: all .* were the same"):
        replayed(file)


def test_outputs_that_may_still_be_on_are_said_whatever_else_went_wrong(tmp_path):
    file = tmp_path / "a.sqlite"

    def lose(session):
        def dead(*_):
            raise OSError("the instrument is gone")

        session.bench.transport.links["field"]._wire.write = dead

    def interrupt(now):
        raise KeyboardInterrupt

    for error, watch, beside in (
        (KeyboardInterrupt, None, lambda s: (lose(s), interrupt(None))),
        (Exception, None, lose),
    ):
        with pytest.raises(error) as caught:
            run(file, watch=watch, beside=beside)
        (note,) = caught.value.__notes__
        assert note.startswith("the safe state is NOT confirmed, look at the bench: field")


def test_a_replay_touches_no_instrument_and_no_physics(tmp_path):
    file = tmp_path / "a.sqlite"
    run(file)
    code = f"""
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("sim_backend", "pyvisa_spinloop", "pyvisa_py"):
            raise AssertionError("a replay imports " + name)
sys.meta_path.insert(0, Refuse())
import pyvisa
def refuse(*a, **k): raise AssertionError("a replay opens VISA")
pyvisa.ResourceManager.__new__ = refuse
from training.jobs import JOBS, Watch
from training.session import replay_session
with replay_session({str(file)!r}, 1) as (session, note):
    print(JOBS["train"](session, Watch())["weights_sha256"])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == db.session(file, 1).result["weights_sha256"]


def test_a_replay_that_asks_for_something_else_stops_at_the_first_difference(tmp_path):
    file = tmp_path / "a.sqlite"
    run(file, "sweep", {"junction": "J2", "start_a": -0.01, "stop_a": 0.01, "points": 9,
                        "back": False})  # fmt: skip
    with (
        pytest.raises(DivergenceError, match=r"message \d+ differs: the record has .* sends "),
        replay_session(file, 1) as (session, _),
    ):
        session.bench.sweep("J2", np.linspace(-0.01, 0.011, 9), order="given", list_points=15)
    with (
        pytest.raises(DivergenceError, match="before the record"),
        replay_session(file, 1) as (session, _),
    ):
        pass


def test_on_other_versions_the_replay_says_so_and_runs_within_one_programming_step(
    tmp_path, monkeypatch
):
    file = tmp_path / "a.sqlite"
    run(file)
    import training.session

    here = training.session.versions()
    monkeypatch.setattr(training.session, "versions", lambda: here | {"numpy": "1.0"})
    with replay_session(file, 1) as (session, note):
        assert not note.exact
        assert any("numpy" in difference for difference in note.differences)
        watch = Watch()
        again = JOBS["train"](session, watch)
    judged = judge_replay(file, session, note, again, watch)
    assert judged["same"]
    assert "within one programming step" in judged["sentence"]


def test_ctrl_c_leaves_outputs_off_and_the_session_interrupted(tmp_path):
    file = tmp_path / "a.sqlite"
    benches = []

    def interrupt(now):
        if now.done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(file, watch=Watch(on_progress=interrupt), beside=lambda s: benches.append(s.bench))
    sim = benches[0]._keep.visalib.bench
    assert [m.state["output"] for m in (sim.source, *sim.meters.values())] == [False] * 3
    assert sim.source.state["level"] == 0
    assert sim.switch.closed == set()
    assert sim.hot_switches == 0
    detail = db.session(file, 1)
    assert detail.info.status == "interrupted"
    assert {"tripped", "interrupted"} <= {event.kind for event in detail.events}


def test_an_error_leaves_outputs_off_and_the_session_failed(tmp_path):
    file = tmp_path / "a.sqlite"
    benches = []

    def fail(now):
        raise RuntimeError("made up")

    with pytest.raises(RuntimeError):
        run(file, watch=Watch(on_progress=fail), beside=lambda s: benches.append(s.bench))
    sim = benches[0]._keep.visalib.bench
    assert [m.state["output"] for m in (sim.source, *sim.meters.values())] == [False] * 3
    assert db.session(file, 1).info.status == "failed"


def test_every_sweep_can_be_derived_from_the_transcript(tmp_path):
    from instruments.derive import derive_sweep
    from instruments.sweep import arrays_sha256

    file = tmp_path / "a.sqlite"
    run(file)
    all_messages = {m.seq: m for m in messages(file)}
    found = db.sweeps(file, 1)
    assert {one.purpose for one in found} == {"calibrate", "train", "evaluate", "check"}
    for one in found:
        part = [all_messages[i] for i in range(one.first_seq, one.last_seq + 1)]
        arrays = derive_sweep(part)
        assert len(arrays[0]) == one.points
        assert arrays_sha256(*arrays) == one.sha256


def test_runs_epochs_and_weights_are_recorded(tmp_path):
    file = tmp_path / "a.sqlite"
    report, watch = run(file)
    detail = db.session(file, 1)
    device = [r for r in detail.runs if r.arm == "device"]
    assert [r.arm for r in detail.runs] == ["device", "tanh"]
    assert device[0].epochs["epoch"].tolist() == [1, 2]
    weights = db.weights(file, device[0].id)
    for name, value in watch.tally.weights.items():
        assert np.array_equal(weights[name.rpartition("/")[2]], value)
    assert detail.result["weights_sha256"] == report["weights_sha256"]
    assert len(detail.calibrations) == 8


def test_nothing_above_the_simulator_opens_the_truth(tmp_path, monkeypatch):
    """Only sim_backend reads sim.yaml: the file is named in bench.yaml and handed on."""
    example = Path(__file__).parent.parent / "examples" / "iris"
    readers = []
    real_open, real_read = builtins.open, Path.read_text

    def caller():
        frame = sys._getframe(2)
        while frame is not None:
            package = frame.f_globals.get("__name__", "").partition(".")[0]
            if package in ("sim_backend", "instruments", "device", "training", "db", "cli", "gui"):
                return package
            frame = frame.f_back
        return "somebody else"

    def watched_open(file, *args, **kwargs):
        if str(file).endswith("sim.yaml"):
            readers.append(caller())
        return real_open(file, *args, **kwargs)

    def watched_read(self, *args, **kwargs):
        if self.name == "sim.yaml":
            readers.append(caller())
        return real_read(self, *args, **kwargs)

    monkeypatch.setattr(builtins, "open", watched_open)
    monkeypatch.setattr(Path, "read_text", watched_read)
    with Bench.open(example / "bench.yaml") as bench:
        bench.sweep("J1", [0.0])
    assert set(readers) == {"sim_backend"}


def test_the_example_bench_is_the_demonstration_bench():
    from instruments.bench_file import load_bench_file

    example = Path(__file__).parent.parent / "examples" / "iris" / "bench.yaml"
    theirs, _ = load_bench_file(example)
    ours, _ = load_bench_file(None)
    assert theirs.model_copy(update={"sim": None}) == ours


def test_the_command_line_loads_no_heavy_library_at_its_start():
    code = (
        "import sys, cli.main; "
        "print([n for n in ('torch', 'PySide6', 'pymeasure', 'pyvisa', 'scipy', 'sqlalchemy',"
        " 'matplotlib') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr


def test_the_result_is_plain_json(tmp_path):
    report, _ = run(tmp_path / "a.sqlite")
    assert json.loads(json.dumps(report, allow_nan=False)) == json.loads(json.dumps(report))
