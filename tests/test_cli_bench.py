"""``spinloop bench selftest``: what a real instrument says to the simulator's command tables."""

from __future__ import annotations

import json
import re
from importlib.resources import files

import pytest
import pyvisa
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import cli.bench as cli_bench
from cli.bench import VisaLine
from cli.main import app
from sim_backend.models import MODELS
from sim_backend.models.keithley2400 import Keithley2400
from sim_backend.scpi import Number, Table, Whole, query, setting
from sim_backend.scpi_language import memory_rows
from sim_backend.selftest import (
    SelftestError,
    drain_errors,
    questions,
    same_model,
    selftest,
    try_row,
    why_not,
)

runner = CliRunner()
ADDRESS = "GPIB0::24::INSTR"
NO_ERROR = '0,"No error"'
MADE_UP = setting("bogus", ":SYSTem:BOGus", Number(0, 1), 0.0, "memory")


def call(*words):
    return runner.invoke(app, ["bench", "selftest", *words])


class Told:
    """An instrument that answers from a dictionary and keeps what it was sent.

    A value is a reply, or (reply or None, errors that it leaves).
    """

    def __init__(self, answers, errors=()):
        self.answers, self.errors = answers, list(errors)
        self.sent, self.out = [], []

    def write(self, message):
        self.sent.append(message)
        if message == ":SYST:ERR?":
            self.out.append(self.errors.pop(0) if self.errors else NO_ERROR)
            return
        reply, errors = self.answers.get(message, (None, ['-113,"Undefined header"']))
        self.errors += errors
        if reply is not None:
            self.out.append(reply)

    def read(self):
        return self.out.pop(0) if self.out else None


@pytest.fixture
def simulated(request):
    """The simulated bench's library and a spy on what its instruments are sent."""
    specification = f"?instance={request.node.name}@spinloop"
    manager = pyvisa.ResourceManager(specification)
    yield specification, manager.visalib.bench
    manager.close()


# -- on the simulated bench ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def every_model(tmp_path_factory):
    """A bench with one instrument of each model; its library and their addresses."""
    data = yaml.safe_load(files("sim_backend").joinpath("demo.yaml").read_text(encoding="utf-8"))
    addresses = {model: f"GPIB0::{number}::INSTR" for number, model in enumerate(MODELS, 13)}
    for model, address in addresses.items():
        data["instruments"][f"one_{model}"] = {"model": model, "address": address}
    path = tmp_path_factory.mktemp("bench") / "sim.yaml"
    path.write_text(yaml.safe_dump(data), encoding="utf-8")
    return f"{path}@spinloop", addresses


@pytest.mark.parametrize("model", sorted(MODELS))
def test_a_model_understands_all_that_its_own_table_claims(every_model, model):
    library, addresses = every_model
    result = call(addresses[model], "--model", model, "--visa", library, "--all", "--json")
    report = json.loads(result.stdout)
    bad = [row for row in report["rows"] if row["outcome"] not in ("understood", "not tried")]
    assert bad == []
    assert result.exit_code == 0 and report["passed"] and report["identity_fits"]
    assert len(report["rows"]) == len(MODELS[model].table.rows)
    assert report["counts"]["understood"] > 15
    assert [row["header"] for row in report["rows"] if row["fits"] is False] == []


def test_by_default_only_rows_from_memory_are_tried_and_commands_are_listed(simulated):
    result = call("GPIB0::12::INSTR", "--model", "keithley6221", "--visa", simulated[0], "--json")
    rows = json.loads(result.stdout)["rows"]
    assert len(rows) == len(memory_rows(MODELS["keithley6221"].table)) > 0
    assert {row["source"] for row in rows} == {"memory"}
    commands = [row for row in rows if row["remark"] == "it would change something"]
    assert commands and all(row["outcome"] == "not tried" and not row["asked"] for row in commands)


def test_nothing_but_questions_is_sent_and_the_instrument_stays_as_it_was(simulated, monkeypatch):
    specification, bench = simulated
    meter = bench.instruments[ADDRESS]
    before, sent = dict(meter.state), []
    write = VisaLine.write
    monkeypatch.setattr(
        VisaLine, "write", lambda line, text: (sent.append(text), write(line, text))
    )
    assert call(ADDRESS, "--model", "keithley2400", "--visa", specification, "--all").exit_code == 0
    assert len(sent) > 100
    assert [text for text in sent if not re.fullmatch(r"[:*][A-Z0-9:]+\?", text)] == []
    assert meter.state == before
    assert not meter.errors and meter.taken == 0


def test_errors_found_before_are_reported_and_not_taken_for_a_row(simulated):
    specification, bench = simulated
    bench.instruments[ADDRESS].errors.append('-222,"Parameter data out of range"')
    result = call(ADDRESS, "--model", "keithley2400", "--visa", specification, "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["errors_before"] == ['-222,"Parameter data out of range"']
    assert "-222" in result.stderr


def test_a_row_that_the_instrument_lacks_is_told_in_the_table_and_by_the_exit_code(
    simulated, monkeypatch
):
    class Wrong(Keithley2400):
        table = Table((*Keithley2400.table.rows, MADE_UP))

    monkeypatch.setattr(cli_bench, "_kind", lambda model: Wrong)
    result = call(ADDRESS, "--model", "keithley2400", "--visa", simulated[0])
    assert result.exit_code == 1
    (line,) = [line for line in result.stdout.splitlines() if ":SYSTem:BOGus" in line]
    assert "undefined header" in line
    assert "1 undefined header" in result.stdout


def test_another_model_at_the_address_is_a_warning(simulated):
    result = call("GPIB0::7::INSTR", "--model", "keithley2400", "--visa", simulated[0])
    assert "MODEL 7001" in result.stderr and "MODEL 2400" in result.stderr
    assert result.exit_code == 1  # and it does not speak the language


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((ADDRESS, "--model", "keithley9999", "--visa", "@spinloop"), "no model 'keithley9999'"),
        (("GPIB0::3::INSTR", "--model", "keithley2400", "--visa", "@spinloop"), "GPIB0::3::INSTR"),
        ((ADDRESS, "--model", "keithley2400", "--visa", "none.yaml@spinloop"), "none.yaml"),
    ],
)
def test_what_cannot_be_asked_is_one_sentence_and_exit_code_2(words, sentence):
    result = call(*words)
    assert result.exit_code == 2
    assert sentence in result.stderr
    assert "Traceback" not in result.output


def test_help_has_examples():
    for words in (["bench", "--help"], ["bench", "selftest", "--help"]):
        text = runner.invoke(app, words).output
        assert "spinloop bench selftest GPIB0::24::INSTR --model keithley2400" in text


# -- what an instrument may say --------------------------------------------------------------------

ROW = setting("level", "[:SOURce]:LEVel", Whole(0, 5), 0, "memory")
SHORT, LONG = ":LEV?", ":SOURCE:LEVEL?"


@pytest.mark.parametrize(
    ("answers", "outcome", "fits", "remark"),
    [
        ({SHORT: ("3", []), LONG: ("3", [])}, "understood", True, ""),
        ({SHORT: ("9", []), LONG: ("9", [])}, "understood", False, "-222"),
        ({SHORT: ("soft", []), LONG: ("soft", [])}, "understood", False, "not 0 … 5"),
        ({SHORT: ("3", [])}, "undefined header", None, LONG),
        ({SHORT: (None, ['-113,"Undefined header"', '-420,"Query UNTERMINATED"'])},
         "undefined header", None, SHORT),
        ({SHORT: (None, ['-221,"Settings conflict"'])}, "another error", None, "-221"),
        ({SHORT: ("3", ['-221,"Settings conflict"'])}, "another error", None, "-221"),
        ({SHORT: (None, ['-420,"Query UNTERMINATED"'])}, "no reply", None, "-420"),
        ({SHORT: (None, [])}, "no reply", None, "nothing came"),
    ],
)  # fmt: skip
def test_reply_and_errors_together_tell_what_a_row_is_worth(answers, outcome, fits, remark):
    line = Told(answers)
    trial = try_row(line, ROW)
    assert (trial.outcome, trial.fits) == (outcome, fits)
    assert remark in trial.remark
    assert line.errors == []


def test_a_late_reply_does_not_pass_for_an_error():
    line = Told({SHORT: ("3", []), LONG: ("3", [])})
    read, silent = line.read, [True]

    def slow():
        return None if silent and silent.pop() else read()

    line.read = slow
    assert try_row(line, ROW).outcome == "no reply"
    assert try_row(line, ROW).outcome == "understood"


@pytest.mark.parametrize("answer", [None, "SPINLOOP"])
def test_without_an_error_queue_nothing_is_claimed(answer):
    line = Told({})
    line.write = lambda message: line.out.extend([] if answer is None else [answer] * 2)
    with pytest.raises(SelftestError, match="SYST:ERR"):
        drain_errors(line)


def test_an_error_queue_without_end_is_left_alone():
    line = Told({}, ['-350,"Queue overflow"'] * 1000)
    with pytest.raises(SelftestError, match="not empty after 200"):
        drain_errors(line)


def test_registers_that_reading_empties_are_not_read():
    for kind in MODELS.values():
        for row in kind.table.rows:
            if row.header == "*ESR" or row.header.endswith(":EVENt]"):
                assert why_not(row), row.header
    assert why_not(query(":STATus:EXTra[:EVENt]", "ask", "memory", observation=True))


def test_models_are_told_apart_by_identity():
    mine = Keithley2400.identity
    assert same_model("KEITHLEY INSTRUMENTS INC., Model 2400 ,123,C33", mine)
    assert not same_model("KEITHLEY INSTRUMENTS INC.,MODEL 2410,123,C33", mine)
    assert not same_model("", mine)


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_whatever_a_table_holds_only_questions_are_asked(data):
    kind = data.draw(st.sampled_from(sorted(MODELS.values(), key=lambda one: one.identity)))
    row = data.draw(st.sampled_from(kind.table.rows))
    line = Told({})
    (trial,) = selftest(line, [row])
    assert all(text.endswith("?") for text in line.sent)
    if row.kind == "command":
        assert line.sent == [] and trial.outcome == "not tried"
    for text in questions(row):
        if row.kind != "command":
            assert kind.table.find(text.removesuffix("?"), True) is row
