"""``spinloop bench``: each command on the simulated bench, and the whole way over TCP."""

from __future__ import annotations

import itertools
import json
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner, Result

import db
from cli.main import app
from instruments import LimitError, load_bench_file
from instruments.bench_file import parse_bench_file
from instruments.state_folder import Latch, Rehearsal, addresses, find_latch, set_latch
from tests.resistor_bench import is_safe, served, write_files

runner = CliRunner()


@pytest.fixture(autouse=True)
def record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SPINLOOP_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("SPINLOOP_DB", str(tmp_path / "lab.sqlite"))
    return tmp_path / "lab.sqlite"


@pytest.fixture
def bench(tmp_path: Path) -> str:
    return str(write_files(tmp_path))


@pytest.fixture
def real(tmp_path: Path) -> Iterator[tuple[str, Any]]:
    with served(tmp_path) as (path, sim):
        yield str(path), sim


def call(*words: str, answers: str | None = None) -> Result:
    return runner.invoke(app, ["bench", *words], input=answers)


def report(*words: str) -> Any:
    result = call(*words, "--json")
    assert result.exit_code == 0, (result.stderr, result.exception)
    return json.loads(result.stdout)


# -- check, scan, read ----------------------------------------------------------------------------


def test_check_shows_the_bench_and_its_problems(bench: str, tmp_path: Path) -> None:
    result = call("check", "--bench", bench)
    assert result.exit_code == 0 and "nothing would stop a run" in result.stdout
    found = report("check", "--bench", bench)
    assert found["passed"] and [one["role"] for one in found["seen"]] == ["field", "x", "z",
                                                                         "switch"]  # fmt: skip
    text = (tmp_path / "bench.yaml").read_text().replace("GPIB0::25", "GPIB0::26")
    (tmp_path / "bench.yaml").write_text(text)
    result = call("check", "--bench", bench)
    assert result.exit_code == 1
    assert "z: cannot open GPIB0::26::INSTR" in result.stdout
    assert "1 problem that would stop a run" in result.stdout


def test_scan_names_the_drivers_that_fit(tmp_path: Path, bench: str) -> None:
    library = f"{tmp_path / 'sim.yaml'}?instance=scan-cli@spinloop"
    found = report("scan", "--visa", library)
    assert {one["address"]: one["drivers"] for one in found}["GPIB0::24::INSTR"] == ["keithley2400"]
    assert "keithley7001" in call("scan", "GPIB0::7::INSTR", "--visa", library).stdout


def test_read_shows_levels_and_measures_only_with_a_junction(bench: str, record: Path) -> None:
    assert "all open" in call("read", "--bench", bench).stdout
    found = report("read", "field", "--bench", bench)
    assert [one["role"] for one in found["seen"]] == ["field"]
    assert not record.exists()
    found = report("read", "x", "--junction", "D2", "--field", "1mA", "--bench", bench)
    assert found["r_x_ohm"] == pytest.approx(9e3, rel=0.01) and found["level_a"] == 1e-3
    assert db.session(record, found["session"]).info.kind == "read"


def test_read_of_the_thermometer_is_a_temperature(tmp_path: Path) -> None:
    import yaml

    path = write_files(
        tmp_path, instruments={"thermometer": {"driver": "keithley2182a",
                                               "address": "GPIB0::8::INSTR"}}
    )  # fmt: skip
    sim = yaml.safe_load((tmp_path / "sim.yaml").read_text())
    sim["instruments"]["nvm"] = {"address": "GPIB0::8::INSTR", "model": "keithley2182a"}
    sim["wires"] += [["nvm.ch1_hi", "earth"], ["nvm.ch1_lo", "earth"]]
    (tmp_path / "sim.yaml").write_text(yaml.safe_dump(sim))
    assert 250 < report("read", "thermometer", "--bench", str(path))["temperature_k"] < 350


# -- set, monitor ---------------------------------------------------------------------------------


def test_set_goes_there_and_back_and_is_recorded(bench: str, record: Path) -> None:
    found = report("set", "field", "20", "mA", "--seconds", "2", "--bench", bench)
    assert found["reached"] == 0.02 and found["unit"] == "A"
    detail = db.session(record, found["session"])
    assert (detail.info.kind, detail.info.status) == ("set", "complete")
    assert detail.result is not None and detail.result["reached"] == 0.02
    sent = [one.sent for one in db.transcript(record, found["session"])]
    levels = [float(text[len(":SOUR:CURR ") :]) for text in sent if text.startswith(":SOUR:CURR ")]
    assert max(levels) == 0.02 and levels[-1] == 0
    way = levels[levels.index(max(levels)) :]
    assert max(abs(a - b) for a, b in itertools.pairwise(way)) <= 6e-3 * (1 + 1e-9)


@pytest.mark.parametrize(
    "words",
    [["field", "-2 mA"], ["field", "-2", "mA"], ["x", "20 mV", "--junction", "D1"],
     ["z", "20mV", "--junction", "D2"]],
)  # fmt: skip
def test_set_holds_until_enter(bench: str, words: list[str]) -> None:
    result = call("set", *words, "--bench", bench, answers="\n")
    assert result.exit_code == 0, result.stderr
    assert f"{words[0]} was at" in result.stdout
    assert "everything is at zero and off" in result.stdout
    assert "Enter or Ctrl-C" in result.stderr


def test_set_refuses_with_the_limits_own_sentence(bench: str, record: Path) -> None:
    result = call("set", "field", "40 mA", "--bench", bench)
    assert isinstance(result.exception, LimitError)
    assert str(result.exception) == "refused at field line: 40 mA is above the limit of 35 mA"
    assert db.session(record, 1).info.status == "failed"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["set", "field", "2"], "has no unit"),
        (["set", "x", "2 mA", "--junction", "D1"], "is not a quantity in V"),
        (["monitor", "D1", "--field", "2 mV"], "is not a quantity in A"),
        (["monitor", "D1", "--count", "2", "--seconds", "1"], "not both"),
        (["rehearse", "--ohm", "D9=1 kohm"], "no junction 'D9'"),
        (["rehearse", "--ohm", "0 ohm"], "is not above 0"),
    ],
)
def test_what_is_typed_wrong_is_told_before_anything_is_opened(
    bench: str, record: Path, words: list[str], sentence: str
) -> None:
    result = call(*words, "--bench", bench)
    told = " ".join(re.sub(r"[│╭╮╰╯─]", " ", result.stderr).split())
    assert result.exit_code == 2 and sentence in told
    assert not record.exists()


def test_monitor_reads_at_a_held_field(bench: str, record: Path) -> None:
    found = report("monitor", "D1", "--field", "8mA", "--seconds", "2", "--rate", "2", "--bench",
                   bench)  # fmt: skip
    assert [one["level_a"] for one in found["readings"]] == [8e-3] * 4
    assert all(one["r_z_ohm"] == pytest.approx(10e3, rel=0.01) for one in found["readings"])
    detail = db.session(record, found["session"])
    assert detail.result is not None and detail.result["readings"] == found["readings"]
    assert "8.000 mA" in call("monitor", "D1", "--field", "8mA", "--count", "1", "--bench",
                              bench).stdout  # fmt: skip


def test_ctrl_c_ends_a_monitor_in_order(
    bench: str, record: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import cli.bench_manual as manual

    line = manual._line

    def interrupted_once(one: Any) -> str:
        if one.at_s > 2.0:
            signal.raise_signal(signal.SIGINT)
        return line(one)

    monkeypatch.setattr(manual, "_line", interrupted_once)
    before = signal.getsignal(signal.SIGINT)
    result = call("monitor", "D1", "--field", "8mA", "--count", "100", "--bench", bench)
    assert result.exit_code == 0, result.exception
    assert 2 <= result.stdout.count(" mA") < 10
    assert db.session(record, 1).info.status == "complete"
    assert signal.getsignal(signal.SIGINT) is before


# -- rehearse, off, reset -------------------------------------------------------------------------


def test_rehearse_asks_whether_a_junction_is_connected(bench: str, record: Path) -> None:
    result = call("rehearse", "--bench", bench, answers="n\n")
    assert result.exit_code == 1 and not record.exists()
    assert "resistors in place of the junctions: D1 10 kohm, D2 10 kohm" in result.stderr


def test_a_rehearsal_on_a_simulated_bench_is_recorded_and_counts_for_no_real_one(
    bench: str, record: Path
) -> None:
    found = report("rehearse", "--ohm", "D2=9 kohm", "--ohm", "10 kohm", "--bench", bench, "--yes")
    assert found["passed"] and found["steps"][-1]["outcome"] == "not tried"
    detail = db.session(record, found["session"])
    assert detail.result is not None and len(detail.result["steps"]) == 8  # type: ignore[arg-type]
    file, _ = load_bench_file(bench)
    assert Rehearsal.find(file) is None


def test_a_rehearsal_that_fails_has_exit_code_1(bench: str) -> None:
    result = call("rehearse", "--ohm", "12 kohm", "--bench", bench, "--yes")
    assert result.exit_code == 1 and "1 step failed" in result.stdout


def test_off_and_reset_have_nothing_to_do_on_a_simulated_bench(bench: str) -> None:
    assert "nothing is on" in call("off", "--bench", bench).stdout
    assert "has not tripped" in call("reset", "--bench", bench).stdout


def test_over_tcp_a_rehearsal_with_a_guardian_lets_the_bench_arm(
    tmp_path: Path, record: Path
) -> None:
    # A line that drops too little for its fuse to act: that step waits out a time-out of 5 s.
    small = {"current": "2 mA", "step": "1 mA", "resistance": "50 ohm"}
    calibration = {"range": "2 mA", "points": 41}
    with served(tmp_path, limits={"field_line": small}, calibration=calibration) as (file, sim):
        path = str(file)
        words = ["--ohm", "10 kohm", "--ohm", "D2=9 kohm", "--bench", path, "--yes"]
        assert "no rehearsal is on record" in call("check", "--bench", path).stdout
        found = report("rehearse", *words, "--heartbeat", "1")
        outcomes = {one["name"]: one["outcome"] for one in found["steps"]}
        assert outcomes.pop("fuse of the field source") == "not tried"
        assert set(outcomes.values()) == {"passed"} and "guardian" in outcomes
        assert is_safe(sim) and find_latch(addresses(load_bench_file(file)[0])) is None
        hung = db.session(record, found["session"] + 1)
        assert hung.info.kind == "rehearse guardian" and hung.info.status == "interrupted"
        assert {"tripped", "guardian"} <= {one.kind for one in hung.events}
        assert report("set", "field", "2 mA", "--seconds", "0", "--bench", path)["reached"] == 2e-3
        assert is_safe(sim)


def test_a_run_without_a_guardian_is_wanted_so_and_recorded(
    real: tuple[str, Any], record: Path
) -> None:
    path, sim = real
    Rehearsal.of(load_bench_file(path)[0], record, 1).save()
    for number, words in enumerate(
        (["sweep", "D1", "--points", "2", "--no-back"], ["bench", "read", "--junction", "D2"]), 1
    ):
        result = runner.invoke(app, [*words, "--bench", path, "--no-guardian"])
        assert result.exit_code == 0, result.exception
        events = [(one.kind, one.text) for one in db.session(record, number).events]
        assert ("guardian", "none: it was not wanted") in events
    assert is_safe(sim)


def test_over_tcp_off_brings_everything_to_zero(real: tuple[str, Any]) -> None:
    path, sim = real
    sim.source.state |= {"output": True, "level": 0.003}
    found = report("off", "--bench", path)
    assert found == {"said": [], "problems": [], "off": True} and is_safe(sim)


def test_reset_shows_the_reason_and_wants_an_answer(real: tuple[str, Any]) -> None:
    path, _ = real
    file, _ = load_bench_file(path)
    set_latch(Latch(file.name, addresses(file), "compliance", "D1: a short", "noon"))
    result = call("reset", "--bench", path, answers="n\n")
    assert result.exit_code == 1 and find_latch(addresses(file)) is not None
    assert "resistors tripped at noon (compliance: D1: a short)\n" in result.stdout
    result = call("reset", "--bench", path, "--yes")
    assert result.exit_code == 0 and find_latch(addresses(file)) is None
    assert "may be used again" in result.stdout


def test_after_an_unconfirmed_safe_state_reset_asks_the_instruments_first(
    real: tuple[str, Any],
) -> None:
    path, sim = real
    file, _ = load_bench_file(path)
    latch = Latch(file.name, addresses(file), "exception", "x", "noon", ("x: no answer",))
    set_latch(latch)
    sim.write(sim.source, ":OUTP ON")
    result = call("reset", "--bench", path, "--yes")
    assert result.exit_code == 1 and find_latch(addresses(file)) is not None
    assert "field: its output is on" in result.stderr
    assert call("reset", "--bench", path, "--yes", "--anyway").exit_code == 0
    set_latch(latch)
    sim.write(sim.source, ":OUTP OFF")
    assert call("reset", "--bench", path, "--yes").exit_code == 0
    assert find_latch(addresses(file)) is None


# -- new ------------------------------------------------------------------------------------------


def test_new_takes_every_default_and_never_overwrites(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    assert call("new", str(path), "--yes").exit_code == 0
    file, text = load_bench_file(path)
    assert file.backend == "real" and list(file.junctions) == ["J1"]
    result = call("new", str(path), "--yes")
    assert "is not overwritten" in str(result.exception) and path.read_text() == text


def test_new_asks_checks_units_and_offers_what_answers(tmp_path: Path, bench: str) -> None:
    path = tmp_path / "mine.yaml"
    library = f"{tmp_path / 'sim.yaml'}?instance=new-cli@spinloop"
    answers = [
        "1", "1", "", "GPIB0::nonsense::", "GPIB0::9::INSTR",  # field, x, z by default, switch
        "it's mine", "3", "3 mA", *[""] * 12, "2", "1!1, 1!11",  # a current without its unit
    ]  # fmt: skip
    result = call("new", str(path), "--visa", library, answers="\n".join(answers) + "\n")
    assert result.exit_code == 0, (result.stderr, result.exception)
    assert "'3' has no unit" in result.stderr and "is no VISA address" in result.stderr
    file, _ = load_bench_file(path)
    assert file.name == "it's mine" and file.limits.field_line.current == 3e-3
    addresses = [one.address for _, one in file.connections()]
    assert addresses == [f"GPIB0::{number}::INSTR" for number in (12, 24, 25, 9)]
    assert file.junctions["J2"].channels == ("1!2", "1!12") and file.visa == library


def test_new_asks_again_when_answers_do_not_go_together(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    library = "?instance=new-cli-2@spinloop"
    first = ["", "", "", "", "", "1 mA", *[""] * 14]  # the calibration goes to 2 mA
    second = ["", "3 mA", *[""] * 14]
    result = call("new", str(path), "--visa", library, answers="\n".join(first + second) + "\n")
    assert result.exit_code == 0, (result.stderr, result.exception)
    assert "calibration.range: 2 mA is above limits.field_line.current" in result.stderr
    assert load_bench_file(path)[0].limits.field_line.current == 3e-3


# -- help -----------------------------------------------------------------------------------------

COMMANDS: Any = typer.main.get_command(app)


@pytest.mark.parametrize("command", sorted(COMMANDS.commands["bench"].commands))
def test_every_command_has_help_with_examples(command: str) -> None:
    result = call(command, "--help")
    assert result.exit_code == 0 and f"spinloop bench {command}" in result.stdout


def test_the_text_of_a_new_file_is_read_by_the_parser() -> None:
    from instruments.new_file import bench_text

    assert parse_bench_file(bench_text({"junctions": "8"})).junctions.keys() == {
        f"J{number}" for number in range(1, 9)
    }
