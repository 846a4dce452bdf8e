"""The command line: help, JSON, and one clear sentence for what goes wrong."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys

import pytest
from typer.testing import CliRunner

import db
from cli import main as cli_main
from cli.main import app

runner = CliRunner()
COMMANDS = (
    "demo", "calibrate", "train", "sweep", "sessions", "show", "replay", "gui", "doctor",
)  # fmt: skip
BENCHED = ("demo", "calibrate", "train", "sweep", "gui")


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SPINLOOP_DB", raising=False)


def call(*words: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of ``spinloop words``, as a user sees them."""
    done = subprocess.run(
        [sys.executable, "-m", "cli", *words], capture_output=True, text=True, timeout=110
    )
    return done.returncode, done.stdout, done.stderr


def quick(*words: str):
    """The same within this process, for what goes well."""
    result = runner.invoke(app, list(words))
    assert result.exit_code == 0, result.output
    return result


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_examples(command):
    text = quick(command, "--help").output
    assert "Example" in text
    assert f"spinloop {command}" in text
    if command in BENCHED:
        for option in ("--bench", "--db", "--operator", "--sample", "--note"):
            assert option in text
    if command != "gui":
        assert "--json" in text


def test_calibrate_reports_json_and_names_the_record():
    code, out, err = call("calibrate", "J1", "--json", "--operator", "Ada", "--sample", "W1")
    report = json.loads(out)
    assert code == 0
    assert report["calibrations"]["J1"]["verdict"] == "good"
    assert report["session"] == 1
    assert "spinloop.sqlite" in err
    (info,) = db.sessions("spinloop.sqlite")
    assert (info.operator, info.sample, info.status) == ("Ada", "W1", "complete")


def test_the_record_is_where_the_variable_says(tmp_path, monkeypatch):
    monkeypatch.setenv("SPINLOOP_DB", str(tmp_path / "lab.sqlite"))
    quick("sweep", "J1", "--points", "5", "--json")
    assert len(db.sessions(tmp_path / "lab.sqlite")) == 1


def test_train_show_sessions_and_replay_fit_together():
    train = json.loads(
        quick("train", "circles", "--epochs", "2", "--arm", "device", "--json").stdout
    )
    assert set(train) >= {
        "session", "circles", "gradient_cosine", "gradient_norm_ratio", "reads", "bench_seconds",
        "wall_seconds", "weights_sha256", "database", "figures",
    }  # fmt: skip
    assert all(os.path.getsize(file) > 10_000 for file in train["figures"])
    assert set(train["circles"]["device"]) >= {"mean", "ci95", "source"}
    replay = json.loads(quick("replay", "1", "--json").stdout)
    assert replay["weights_sha256"] == train["weights_sha256"]
    assert replay["replay"]["same"] is True
    shown = json.loads(quick("show", "1", "--check", "--json").stdout)
    assert shown["sweeps_differing"] == []
    assert shown["sweeps_checked"] == shown["sweeps"]
    assert json.loads(quick("sessions", "--json").stdout)[0]["id"] == 1
    assert "backend: sim" in quick("show", "1", "--bench-file").stdout
    assert ":SOUR:LIST:CURR" in quick("show", "1", "--transcript").stdout
    assert "bit for bit" in quick("replay", "1").stdout
    assert len(db.sessions("spinloop.sqlite")) == 1  # neither show nor replay records


def test_sweep_prints_both_resistances_with_units():
    text = quick(
        "sweep", "J3", "--start=-10mA", "--stop=10mA", "--points", "11", "--no-back"
    ).stdout
    assert "R_x (kohm)" in text and "current (mA)" in text
    assert "-10.000" in text


def test_another_bench_file_is_used(tmp_path):
    from importlib.resources import files

    text = files("instruments").joinpath("demo_bench.yaml").read_text(encoding="utf-8")
    (tmp_path / "b.yaml").write_text(text.replace("demonstration bench", "my bench"))
    quick("sweep", "J1", "--points", "3", "--bench", "b.yaml")
    assert db.session("spinloop.sqlite", 1).settings["bench"] == "my bench"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("sweep", "J9"), "no junction 'J9'"),
        (("sweep", "J1", "--stop", "50 mA"), "above the limit of 35 mA"),
        (("sweep", "J1", "--stop", "50"), "has no unit"),
        (("sweep", "J1", "--bench", "missing.yaml"), "missing.yaml: cannot be read"),
        (("calibrate", "--db", "no/such/folder/x.sqlite"), "does not exist"),
        (("sessions",), "does not exist"),
        (("train", "moons"), "no task 'moons'"),
        (("train", "circles", "--arm", "relu"), "no arm 'relu'"),
        (("demo", "--seed", "-1"), "--seed"),
    ],
)
def test_a_wrong_value_gets_one_sentence_and_exit_code_2(words, sentence):
    code, out, err = call(*words)
    assert code == 2
    assert sentence in " ".join(err.replace("│", " ").split())
    assert "Traceback" not in err + out


def test_a_bench_file_with_a_mistake_is_named_with_line_and_key(tmp_path):
    from importlib.resources import files

    text = files("instruments").joinpath("demo_bench.yaml").read_text(encoding="utf-8")
    (tmp_path / "b.yaml").write_text(text.replace("voltage: 20 mV", "voltage: 20"))
    line = text[: text.index("voltage: 20 mV")].count("\n") + 1
    code, _, err = call("calibrate", "--bench", "b.yaml")
    assert code == 2
    assert f"b.yaml, line {line}: readout.voltage:" in err
    assert not (tmp_path / "spinloop.sqlite").exists()  # nothing was begun


def test_a_session_that_is_not_there_is_refused_with_what_there_is():
    quick("sweep", "J1", "--points", "3")
    code, _, err = call("replay", "7")
    assert code == 2
    assert "has no session 7" in err and "1" in err


def test_a_file_that_is_no_record_is_refused(tmp_path):
    (tmp_path / "spinloop.sqlite").write_text("this is no database, however long the text is" * 50)
    for words in (("sessions",), ("sweep", "J1")):
        code, _, err = call(*words)
        assert code == 2
        assert "Traceback" not in err
    assert (tmp_path / "spinloop.sqlite").read_text().startswith("this is no database")


def test_doctor_reports_every_part():
    code, out, _ = call("doctor", "--json")
    checks = {check["what"]: check for check in json.loads(out)}
    assert code == 0
    assert set(checks) >= {"Python", "packages", "names", "VISA library", "simulated bench",
                           "window", "SQLite", "disk"}  # fmt: skip
    assert checks["simulated bench"]["verdict"] == "ok"


def test_doctor_sees_a_package_that_shadows_ours(tmp_path, monkeypatch):
    (tmp_path / "instruments").mkdir()
    (tmp_path / "instruments" / "__init__.py").write_text("")
    from cli import doctor

    class Spec:
        submodule_search_locations = (str(tmp_path / "instruments"),)
        origin = None

    real = doctor.importlib.util.find_spec
    monkeypatch.setattr(
        doctor.importlib.util, "find_spec", lambda n: Spec() if n == "instruments" else real(n)
    )
    (check,) = doctor._clash()
    assert check.verdict == "failed"
    assert "virtual environment of its own" in check.text


def test_doctor_sees_instrumentkit(monkeypatch):
    from cli import doctor

    real = doctor.importlib.metadata.version
    monkeypatch.setattr(
        doctor.importlib.metadata,
        "version",
        lambda name: "0.6.0" if name == "instrumentkit" else real(name),
    )
    (check,) = doctor._clash()
    assert check.verdict == "failed" and "InstrumentKit 0.6.0" in check.text


def test_ctrl_c_says_that_outputs_are_off_and_marks_the_session(tmp_path):
    flags = {}
    if sys.platform == "win32":  # a console event needs a process group of its own
        flags["creationflags"] = subprocess.CREATE_NEW_PROCESS_GROUP
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "cli", "demo", "--db", "a.sqlite"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **flags,
    )  # fmt: skip
    assert process.stderr is not None
    try:
        for line in process.stderr:
            if line.startswith("session 1"):
                break
        process.send_signal(signal.CTRL_BREAK_EVENT if flags else signal.SIGINT)
        rest = process.communicate(timeout=60)[1]
    finally:
        process.kill()
    assert process.returncode == 130, rest
    assert "outputs are off" in rest
    assert "Traceback" not in rest
    assert db.session("a.sqlite", 1).info.status == "interrupted"


def test_an_error_of_ours_never_shows_a_traceback_and_one_that_is_a_bug_does(monkeypatch, capsys):
    from instruments.errors import LimitError

    def refuse(**_):
        raise LimitError("refused at field line: made up")

    monkeypatch.setattr(cli_main, "app", refuse)
    with pytest.raises(SystemExit) as left:
        cli_main.main()
    assert left.value.code == 2
    assert capsys.readouterr().err.strip() == "spinloop: refused at field line: made up"

    def bug(**_):
        raise ZeroDivisionError

    monkeypatch.setattr(cli_main, "app", bug)
    with pytest.raises(ZeroDivisionError):
        cli_main.main()


def test_a_folder_for_figures_that_cannot_be_made_is_refused_before_the_work(tmp_path):
    (tmp_path / "file").write_text("")
    code, _, err = call("train", "circles", "--epochs", "1", "--figures", "file/x")
    assert code == 2
    assert "--figures" in err and "Traceback" not in err
    assert not (tmp_path / "spinloop.sqlite").exists()


def test_figures_that_cannot_be_drawn_do_not_cost_the_result(monkeypatch):
    import training.figures

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(training.figures, "draw", full)
    result = quick("train", "circles", "--epochs", "1", "--arm", "tanh", "--json")
    assert json.loads(result.stdout)["figures"] == []
    assert "no figures" in result.stderr


def test_a_picture_of_the_window_goes_to_a_folder_that_is_there():
    code, _, err = call("gui", "--screenshot", "no/such/w.png")
    assert code == 2
    assert "does not exist" in " ".join(err.replace("│", " ").split())
    assert "Traceback" not in err


def test_a_record_with_a_missing_message_is_told_so():
    quick("sweep", "J1", "--points", "3")
    import sqlite3

    with sqlite3.connect("spinloop.sqlite") as connection:
        connection.execute("DELETE FROM message WHERE seq = (SELECT max(first_seq) FROM sweep) + 1")
    connection.close()
    result = runner.invoke(app, ["show", "1", "--check"])
    assert result.exit_code == 1
    assert "messages are missing" in result.stdout


def test_letters_that_a_code_page_lacks_are_no_error():
    done = subprocess.run(
        [sys.executable, "-m", "cli", "physics", "presets"], capture_output=True, timeout=110,
        env={**os.environ, "PYTHONIOENCODING": "cp1252", "PYTHONUTF8": "0"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


# -- bench time ------------------------------------------------------------------------------------


def test_a_run_tells_what_its_bench_time_went_into():
    for words in (("sweep", "J1", "--points", "5"), ("calibrate", "J1")):
        report = json.loads(quick(*words, "--json").stdout)
        spent = report["bench_spent_s"]
        assert set(spent) == {"bus", "upload", "integrate", "settle", "fetch", "relay"}
        assert sum(spent.values()) == pytest.approx(report["bench_seconds"], abs=1e-6)
        assert "wall_seconds" in report
    text = quick("sweep", "J1", "--points", "5").stdout
    (line,) = [line for line in text.splitlines() if line.startswith("bench time")]
    assert "integrate" in line and "wall time" in line
    shares = [int(found) for found in re.findall(r"(\d+) %", line)]
    assert shares == sorted(shares, reverse=True)


def test_a_comparison_tells_it_and_its_replay_still_agrees():
    train = quick("train", "circles", "--epochs", "1", "--arm", "device").stdout
    assert re.search(r"reads; bench time .*: \w+ \d+ %, .*; wall time", train)
    replay = quick("replay", "1").stdout
    assert "bit for bit" in replay
    assert re.search(r"reads; bench time [^:]*; wall time", replay)  # nobody keeps account there


def test_hardware_keeps_no_account_of_its_time():
    import threading

    from instruments.wire import VisaClock

    assert VisaClock(object(), threading.Event()).spent_s() == {}


def test_realtime_waits_bench_seconds_by_the_factor_and_changes_no_reading(monkeypatch):
    waited = []
    monkeypatch.setattr(
        "sim_backend.clock.Clock.wait_wall",
        lambda clock, s: waited.append(0.0 if clock.realtime is None else s / clock.realtime),
    )
    words = ("sweep", "J1", "--points", "5", "--json")
    plain = json.loads(quick(*words).stdout)
    assert not any(waited)
    slow = json.loads(quick(*words, "--realtime", "4").stdout)
    assert 0.1 < sum(waited) * 4 <= slow["bench_seconds"] + 1e-6
    assert (slow["r_x_ohm"], slow["r_z_ohm"]) == (plain["r_x_ohm"], plain["r_z_ohm"])
    assert db.session("spinloop.sqlite", 2).settings["sim"] == {"realtime": 4.0}


@pytest.mark.parametrize("command", [("sweep", "J1"), ("calibrate",), ("train", "iris"), ("demo",)])
def test_realtime_is_refused_where_time_is_not_ours_or_the_number_is_wrong(tmp_path, command):
    from importlib.resources import files

    text = files("instruments").joinpath("demo_bench.yaml").read_text(encoding="utf-8")
    for backend in ("real", "replay"):
        (tmp_path / f"{backend}.yaml").write_text(
            text.replace("backend: sim", f"backend: {backend}"), encoding="utf-8"
        )
        wrong = runner.invoke(app, [*command, "--realtime", "2", "--bench", f"{backend}.yaml"])
        assert wrong.exit_code == 2
        said = " ".join(wrong.stderr.replace("│", " ").split())
        assert "--realtime" in said and f"'backend: {backend}'" in said
    for number in ("0", "-1", "inf", "nan"):
        wrong = runner.invoke(app, [*command, "--realtime", number])
        assert wrong.exit_code == 2
        assert "has to be above 0" in " ".join(wrong.stderr.replace("│", " ").split())
    assert not (tmp_path / "spinloop.sqlite").exists()  # nothing was begun
