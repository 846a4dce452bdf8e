"""``spinloop characterise`` and ``spinloop plan`` as a user sees them."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

import db
from cli.main import app

runner = CliRunner()


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SPINLOOP_DB", raising=False)


def call(*words: str):
    result = runner.invoke(app, list(words))
    assert result.exit_code == 0, result.output
    return result


@pytest.mark.parametrize("command", ["characterise", "plan"])
def test_both_have_help_with_examples(command):
    text = call(command, "--help").output
    assert f"spinloop {command}" in text and "Example" in text


def test_a_characterisation_is_told_recorded_drawn_and_replayed(tmp_path):
    result = call("characterise", "J1", "J2", "--quick", "--only", "noise,repeat", "--json")
    report = json.loads(result.stdout)
    assert set(report["junctions"]) == {"J1", "J2"}
    assert report["junctions"]["J1"]["verdict"] == "good"
    assert report["statistics"]["unit_width_a"]["n"] == 2
    assert "lower bound" in result.stderr and "reads, bench time" in result.stderr
    assert [one.rsplit("/", 1)[-1] for one in report["figures"]] == [
        "transfer.png", "array.png", "noise.png",
    ]  # fmt: skip
    for file in report["figures"]:
        with open(file, "rb") as picture:
            assert picture.read(4) == b"\x89PNG"
    kept = db.sweeps("spinloop.sqlite", 1)
    assert {one.purpose for one in kept} == {"characterise"}
    assert len(kept) == 2 * (1 + 3 + 2)
    assert json.loads(call("replay", "1", "--json").stdout)["replay"]["same"]
    again = call("characterise", "J1", "--quick", "--only", "noise,repeat")
    assert "recorded sweeps of this bench" in again.stderr
    assert "unit width I0" in again.stdout and "predicted" in again.stdout


def test_a_plan_says_what_to_measure_first_and_then_learns():
    first = call("plan", "circles", "--epochs", "3", "--json")
    assert "lower bounds" in first.stderr and "spinloop calibrate J1" in first.stderr
    assert json.loads(first.stdout)["live"]["lower_bound"]
    call("calibrate", "J1", "--json")
    call("sweep", "J1", "--points", "21", "--json")
    report = json.loads(call("plan", "circles", "--epochs", "3", "--json").stdout)
    assert not report["live"]["lower_bound"]
    assert report["live"]["limited_by"] == "integration"
    assert report["live"]["bytes"] > report["tabulated"]["bytes"] > 0
    assert "learned from" in call("plan", "characterise", "--quick").stdout


@pytest.mark.parametrize(
    "words, sentence",
    [
        (("characterise", "--only", "colour"), "no part 'colour'"),
        (("characterise", "--bias-constant", "20 mT/A"), "has no bias magnet"),
        (("plan", "coffee"), "no job 'coffee'"),
        (("plan",), "needs its number of samples"),
        (("plan", "--samples", "9", "--rule", "magic"), "no rule 'magic'"),
        (("plan", "--samples", "9", "--junctions", "99"), "more than the 8"),
    ],
)
def test_a_wrong_word_gets_one_sentence(words, sentence):
    result = runner.invoke(app, list(words))
    assert result.exit_code == 2
    assert sentence in " ".join(result.output.replace("│", " ").split())


def test_a_file_that_is_no_record_is_not_taken_for_an_empty_one(tmp_path):
    (tmp_path / "notes.txt").write_text("no record")
    result = runner.invoke(app, ["plan", "circles", "--db", "notes.txt"])
    assert isinstance(result.exception, db.DatabaseError)
