"""Calibrations from session to session, and direct ones, from the command line."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

import db
from cli import main as cli_main
from cli.main import app
from device import NotMeasuredError

runner = CliRunner()
RECORD = "spinloop.sqlite"


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SPINLOOP_DB", raising=False)


def quick(*words):
    result = runner.invoke(app, [*words, "--no-guardian"] if words[0] != "replay" else list(words))
    assert result.exit_code == 0, result.output
    return result


def told(*words):
    return json.loads(quick(*words, "--json").stdout)


def purposes(number):
    return [one.purpose for one in db.sweeps(RECORD, number)]


def demonstration():
    """Bench file and simulated bench of the demonstration."""
    return (
        yaml.safe_load(files(package).joinpath(name).read_text("utf-8"))
        for package, name in (("instruments", "demo_bench.yaml"), ("sim_backend", "demo.yaml"))
    )


def written(bench, sim):
    """Both in the current folder; the bench file's name."""
    for name, data in (("bench.yaml", bench | {"sim": "sim.yaml"}), ("sim.yaml", sim)):
        Path(name).write_text(yaml.safe_dump(data), encoding="utf-8")
    return "bench.yaml"


def test_without_the_options_a_session_s_arguments_and_report_are_as_ever():
    report = told("calibrate", "J1")
    assert db.session(RECORD, 1).settings["arguments"] == {"junctions": ["J1"]}
    assert "earlier" not in report
    assert report["calibrations"]["J1"]["mode"] == "planar"


def test_a_calibration_is_taken_up_again_and_its_replay_does_not_search_a_record_that_has_grown():
    first = told("calibrate", "J1")
    again = told("calibrate", "J1", "--reuse", "24")
    assert again["calibrations"] == first["calibrations"]
    earlier = again["earlier"]["J1"]
    assert (earlier["session"], earlier["used"]) == (1, True)
    assert 0 <= earlier["age_s"] < 600
    assert max(earlier["drift"]["x"], earlier["drift"]["z"]) < earlier["drift"]["limit"]
    assert purposes(2) == ["check"]
    kept = db.session(RECORD, 2).settings["arguments"]["earlier"]["J1"]
    assert kept["session"] == 1
    newer = told("calibrate", "J2", "J1")  # which a search would find
    assert newer["calibrations"]["J1"] != first["calibrations"]["J1"]
    replay = told("replay", "2")["replay"]
    assert replay["same"] and replay["exact"]
    assert told("calibrate", "J1", "--reuse", "24")["earlier"]["J1"]["session"] == 3


def test_the_table_says_where_a_calibration_is_from_and_how_sure_it_is():
    text = " ".join(quick("calibrate", "J1", "J2", "--reuse", "1").stdout.split())
    assert "this session: there is no record yet" in text.replace("│ ", "")
    report = db.session(RECORD, 1).calibrations[0].values
    error = f"{report['unit_width_a'] * 1e3:.3f} ± {report['total']['unit_width_a'] * 1e3:.3f}"
    assert error in text
    text = quick("calibrate", "J1", "--reuse", "1").stdout
    assert "session 1," in text
    assert "ago: moved 0.0" in text


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--sample", "W2"), "no calibration in the record"),
        (("--seed", "1"), "no calibration in the record"),
        (("--reuse", "0"), "0.0 h are allowed"),
    ],
    ids=["sample", "bench", "age"],
)
def test_one_that_does_not_belong_here_is_made_anew_and_the_reason_told(words, reason):
    told("calibrate", "J1", "--sample", "W1")
    report = told("calibrate", "J1", "--sample", "W1", "--reuse", "1", *words)
    assert reason in report["earlier"]["J1"]["reason"]
    assert purposes(2) == ["calibrate"]
    assert report["calibrations"]["J1"]["level_a"]


def test_training_takes_them_up_and_sweeps_anew_only_for_the_tables_of_controls():
    bench, sim = demonstration()
    bench["junctions"] = {name: bench["junctions"][name] for name in ("J1", "J2")}
    here = ("--bench", written(bench, sim))
    told("calibrate", *here)
    words = ("train", "circles", *here, "--epochs", "1", "--reuse", "24", "--arm", "device")
    live = told(*words)
    assert live["circles"]["device"]["source"] == "live"
    assert not {"calibrate", "table"} & set(purposes(2))
    both = told(*words, "--arm", "frozen")
    assert both["circles"]["frozen"]["source"] == "table"
    assert purposes(3).count("table") == 2
    assert "calibrate" not in purposes(3)
    assert {one["session"] for one in both["earlier"].values()} == {1}
    assert both["reads"] == sum(one.points for one in db.sweeps(RECORD, 3))
    for number, report in ((2, live), (3, both)):
        replay = told("replay", str(number))
        assert replay["replay"]["same"], replay["replay"]
        assert replay["weights_sha256"] == report["weights_sha256"]
        assert replay["circles"]["device"]["source"] == "replay"


def with_a_magnet():
    """The demonstration's bench with a bias magnet along z, in the current folder."""
    bench, sim = demonstration()
    bench["instruments"]["bias"] = {"driver": "yokogawags200", "address": "GPIB0::2::INSTR"}
    bench["limits"]["bias"] = {"level": "100 mA", "compliance": "10 V", "step": "20 mA"}
    sim["physics"] = "wells"
    sim["instruments"]["gs"] = {"address": "GPIB0::2::INSTR", "model": "yokogawags200"}
    coil = {"kind": "bias_magnet", "ohm": 12.0, "henry": 0.06, "field_constant_t_per_a": 1.0}
    sim["devices"] = {"coil": coil}
    sim["wires"] = [["gs.hi", "coil.a"], ["gs.lo", "coil.b"], ["coil.b", "earth"]]
    return written(bench, sim)


def test_with_a_bias_magnet_direct_calibrations_are_made_reused_and_replayed():
    bench = with_a_magnet()
    words = ("calibrate", "J1", "--bench", bench)
    told(*words)
    direct = told(*words, "--direct", "--reuse", "1")
    assert "no calibration" in direct["earlier"]["J1"]["reason"]  # the planar one is none
    made = direct["calibrations"]["J1"]
    assert made["mode"] == "direct"
    text = quick(*words, "--direct", "--reuse", "1").stdout
    assert f"{made['length']:.4f} ±" in text
    assert "session 2," in text
    for number in ("2", "3"):
        assert told("replay", number)["replay"]["same"]


@pytest.mark.parametrize("command", [("calibrate",), ("demo",), ("train", "iris")])
def test_without_one_direct_is_refused_before_a_session_begins(command, tmp_path):
    result = runner.invoke(app, [*command, "--direct"])
    assert result.exit_code != 0
    assert "has no bias magnet for a direct calibration" in str(result.exception)
    assert not (tmp_path / RECORD).exists()


def test_a_level_that_stored_sweeps_do_not_hold_is_told_in_one_sentence(monkeypatch, capsys):
    def fails(**_):
        raise NotMeasuredError("J1: no stored sweep holds 3 mA")

    monkeypatch.setattr(cli_main, "app", fails)
    monkeypatch.setattr(cli_main.signal, "signal", lambda *_: None)
    with pytest.raises(SystemExit) as ended:
        cli_main.main()
    assert ended.value.code == 2
    assert "spinloop: J1: no stored sweep holds 3 mA" in capsys.readouterr().err
