"""``spinloop gradients`` and ``spinloop twin``: tables, JSON, pictures, record, replay."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from cli.main import app

runner = CliRunner()


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SPINLOOP_DB", raising=False)


def call(*words: str):
    result = runner.invoke(app, list(words))
    assert result.exit_code == 0, result.output
    return result.stdout


def test_gradients_tells_every_rule_with_its_step_and_its_price(tmp_path):
    report = json.loads(call("gradients", "J1", "J4", "--batch", "40", "--plot", "g.png", "--json"))
    rules = {row["rule"]: row for row in report["rules"]}
    assert rules["calibrated two-reference"]["cosine"] > 0.998
    assert rules["dither"]["reads_per_neuron"] == 4
    assert (
        rules["sequential central"]["bench_seconds"] > 2 * rules["two-reference"]["bench_seconds"]
    )
    assert 0.1 < rules["sequential central"]["steps"]["J1"]["h"] < 0.5
    assert rules["paired, two lists"]["simultaneous"] is False
    assert report["junctions"] == ["J1", "J4"] and report["left_out"] == {}
    assert (tmp_path / "g.png").stat().st_size > 10_000
    assert "the same bit for bit" in call("replay", "1")


def test_gradients_on_one_junction_leaves_the_pair_out_and_says_so():
    out = call("gradients", "J2", "--batch", "20")
    assert "a pair takes two junctions" in out
    assert "paired" not in out.replace("a pair takes", "")
    assert "RMS error of the reference itself" in out


def test_twin_fit_tells_parameters_with_errors_and_the_misfit(tmp_path):
    report = json.loads(call("twin", "fit", "J1", "--plot", "t.svg", "--json"))
    twin = report["twins"]["J1"]
    assert twin["k_a"] == pytest.approx(7.3e-3, rel=0.1)
    assert 0 < twin["statistical_a"][0] < twin["total_a"][0] < 0.5e-3
    assert twin["check_rms_x"] == pytest.approx(twin["rms_x"], rel=0.3)
    assert twin["sweeps"] == 2
    assert (tmp_path / "t.svg").read_text(encoding="utf-8").startswith("<?xml")
    assert "the same bit for bit" in call("replay", "1")


def test_twin_fit_prints_a_table():
    out = call("twin", "fit", "J1", "--sweeps", "1")
    assert "J1" in out and "±" in out and "offset" in out


@pytest.mark.parametrize("command", [("gradients",), ("twin", "fit")])
@pytest.mark.parametrize(
    ("words", "said"),
    [(("J99",), "J99"), (("--plot", "nowhere/x.png"), "nowhere")],
)
def test_what_is_wrong_is_told_before_anything_is_measured(command, words, said, tmp_path):
    result = runner.invoke(app, [*command, *words])
    assert result.exit_code != 0
    assert said in result.output + str(result.exception)
    assert not list(tmp_path.glob("*.sqlite"))


@pytest.mark.parametrize("command", [("gradients",), ("twin", "fit")])
def test_the_help_shows_examples(command):
    text = call(*command, "--help")
    assert "Examples" in text and f"spinloop {' '.join(command)}" in text
