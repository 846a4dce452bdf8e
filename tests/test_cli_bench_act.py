"""``spinloop bench selftest --act``: commands while all is off; and the page of unchecked rows."""

import json
import re
from importlib.resources import files
from pathlib import Path

import pytest
import pyvisa
import yaml
from typer.testing import CliRunner

from cli.bench import VisaLine
from cli.main import app
from sim_backend.models import MODELS
from sim_backend.scpi import Numbers, Row, setting
from sim_backend.scpi_language import memory_rows
from sim_backend.selftest import SelftestError
from sim_backend.selftest_acts import (
    ACTS,
    NEVER,
    QUIET,
    Settings,
    act,
    acts,
    check_quiet,
    why_not_sent,
)

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "reference" / "memory-rows.md"
runner = CliRunner()
every_model = pytest.mark.parametrize("model", sorted(MODELS))


def call(*words):
    return runner.invoke(app, ["bench", "selftest", *words])


@pytest.fixture
def one_of_each(tmp_path):
    """A library with one spare instrument of each model; its bench, and their addresses."""
    data = yaml.safe_load(files("sim_backend").joinpath("demo.yaml").read_text(encoding="utf-8"))
    addresses = {model: f"GPIB0::{number}::INSTR" for number, model in enumerate(MODELS, 13)}
    for model, address in addresses.items():
        data["instruments"][f"one_{model}"] = {"model": model, "address": address}
    path = tmp_path / "sim.yaml"
    path.write_text(yaml.safe_dump(data), encoding="utf-8")
    manager = pyvisa.ResourceManager(f"{path}@spinloop")
    yield f"{path}@spinloop", manager.visalib.bench, addresses
    manager.close()


def outputs(bench):
    return [one.state.get("output", False) for one in bench.by_name.values()]


# -- what is sent ----------------------------------------------------------------------------------


@every_model
def test_commands_leave_every_setting_as_it_was_and_nothing_on(one_of_each, model, monkeypatch):
    library, bench, addresses = one_of_each
    instrument = bench.by_name[f"one_{model}"]
    if model == "keithley2182a":  # what :CONFigure resets
        bench.write(instrument, ":SENS:VOLT:CHAN1:RANG 0.1;:SENS:VOLT:NPLC 1")
        bench.write(instrument, ":SENS:CHAN 2;:TRIG:COUN INF;:SENS:VOLT:CHAN1:DFIL:COUN 30")
    if model == "keithley6221":
        bench.write(instrument, ":SOUR:LIST:CURR 1e-3,2e-3;:SOUR:LIST:DEL 0.5,0.5")
    assert not instrument.errors
    before, seen = dict(instrument.state), []
    write = VisaLine.write

    def watched(line, text):
        write(line, text)
        seen.append(text)
        assert not any(outputs(bench)) and not bench.switch.closed

    monkeypatch.setattr(VisaLine, "write", watched)
    result = call(addresses[model], "--model", model, "--visa", library, "--act", "--json")
    report = json.loads(result.stdout)
    assert result.exit_code == 0 and report["passed"] and report["not_put_back"] == []
    assert instrument.state == before
    sent = {message for row in report["rows"] for message in row["asked"] if "?" not in message}
    assert len(sent) == 2 * len(ACTS.get(model, {}))
    assert sent <= set(seen)
    for message in sent:
        assert message in result.stderr  # said before


def test_a_6221_s_list_is_longer_in_between_and_the_same_in_the_end(one_of_each, monkeypatch):
    library, bench, addresses = one_of_each
    instrument = bench.by_name["one_keithley6221"]
    bench.write(instrument, ":SOUR:LIST:CURR 1e-3,2e-3")
    lengths = []
    read = VisaLine.read
    monkeypatch.setattr(
        VisaLine,
        "read",
        lambda line: (lengths.append(len(instrument.state["list"])), read(line))[1],
    )
    call(addresses["keithley6221"], "--model", "keithley6221", "--visa", library, "--act")
    assert max(lengths) == 4
    assert instrument.state["list"] == [1e-3, 2e-3]


@pytest.mark.parametrize(
    ("model", "messages", "question"),
    [
        ("keithley6221", (":OUTP ON",), ":OUTP?"),
        ("keithley6221", (":SOUR:CURR 1e-3",), ":SOUR:CURR?"),
        ("keithley2450", (":SOUR:FUNC CURR", ":SOUR:CURR 1e-3"), ":SOUR:CURR?"),
        ("yokogawags200", (":SOUR:LEV 1",), ":SOUR:LEV?"),
        ("keithley7001", (":CLOS (@2!40)",), ":ROUT:CLOS:STAT?"),
    ],
)
def test_while_something_is_on_no_command_is_sent(
    one_of_each, model, messages, question, monkeypatch
):
    library, bench, addresses = one_of_each
    instrument = bench.by_name[f"one_{model}"]
    for message in messages:
        bench.write(instrument, message)
    assert not instrument.errors
    before, sent = dict(instrument.state), []
    write = VisaLine.write
    monkeypatch.setattr(
        VisaLine, "write", lambda line, text: (sent.append(text), write(line, text))
    )
    result = call(addresses[model], "--model", model, "--visa", library, "--act")
    assert result.exit_code == 2
    assert question in result.stderr and "none was sent" in result.stderr
    assert [text for text in sent if not text.endswith("?")] == []
    assert instrument.state == before


def test_commands_go_to_no_other_model(one_of_each):
    library, _, addresses = one_of_each
    result = call(addresses["keithley7001"], "--model", "keithley6221", "--visa", library, "--act")
    assert result.exit_code == 2 and "none was sent" in result.stderr


def test_without_consent_the_report_says_how_many_commands_are_not_sent(one_of_each):
    library, _, addresses = one_of_each
    words = (addresses["keithley6221"], "--model", "keithley6221", "--visa", library)
    rows = [row for row in memory_rows(MODELS["keithley6221"].table) if row.kind == "command"]
    known = acts("keithley6221", rows)
    report = json.loads(call(*words, "--json").stdout)
    assert report["commands_not_sent"] == len(rows) > report["commands_for_act"] == len(known) > 0
    text = call(*words).stdout
    assert f"{len(rows)} commands not sent; --act sends {len(known)} of them" in text


# -- what may be sent ------------------------------------------------------------------------------


@every_model
def test_every_command_that_is_named_is_one_and_none_is_both_sent_and_never_sent(model):
    assert QUIET.keys() == MODELS.keys()
    commands = {row.header for row in MODELS[model].table.rows if row.kind == "command"}
    sent, never = ACTS.get(model, {}), NEVER.get(model, {})
    assert sent.keys() | never.keys() <= commands
    assert not sent.keys() & never.keys()


def test_nothing_that_energises_starts_or_closes_is_ever_sent():
    for known in ACTS.values():
        for header, parameter in known.items():
            assert not re.search(r"OUTP|INIT|TRG|CLOS|ARM|RUN|STEP|LEV|PRES|RST|DEL[Ee]te", header)
            assert parameter in ("", "0", "1", "10", "ALL")


@every_model
def test_each_command_has_a_reason_for_not_being_sent_or_is_sent(model):
    for row in MODELS[model].table.rows:
        if row.kind == "command":
            assert bool(why_not_sent(model, row)) != bool(acts(model, [row]))


# -- what an instrument may say --------------------------------------------------------------------

LIST = setting("list", ":LIST", Numbers(0, 5, 3), [0.0], "memory")
APPEND = Row(":LIST:APPend", "command", "memory", argument=Numbers(0, 5, 3), do="append")


class Told:
    """An instrument with a list; a command leaves ``errors``; only with ``takes`` does a list that
    is sent replace the old one."""

    def __init__(self, values, errors=(), takes=True):
        self.values, self.leaves, self.takes = list(values), list(errors), takes
        self.errors, self.out = [], []

    def write(self, message):
        header, _, data = message.partition(" ")
        if header == ":SYST:ERR?":
            self.out.append(self.errors.pop(0) if self.errors else '0,"No error"')
        elif header == ":LIST?":
            self.out.append(",".join(self.values))
        elif header in (":LIST:APP", ":LIST:APPEND"):
            self.errors += self.leaves
            self.values += [data] if not self.leaves else []
        elif header == ":LIST" and self.takes:
            self.values = data.split(",")

    def read(self):
        return self.out.pop(0) if self.out else None


def acted(line):
    return act(line, APPEND, (":LIST:APP 0", ":LIST:APPEND 0"), Settings(line, [LIST]))


def test_a_change_is_put_back():
    line = Told(["1", "2"])
    trial = acted(line)
    assert (trial.outcome, trial.left, line.values) == ("understood", (), ["1", "2"])


def test_a_change_that_stays_is_told():
    trial = acted(Told(["1"], takes=False))
    assert trial.left == (":LIST was 1, and is 1,0,0",) and trial.left[0] in trial.remark


def test_what_could_not_be_put_back_is_not_touched():
    line = Told(["1", "2", "3", "4"])
    assert acted(line).outcome == "not tried"
    assert line.values == ["1", "2", "3", "4"]


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        ('-113,"Undefined header"', "undefined header"),
        ('-108,"Parameter not allowed"', "another error"),
        ('+510,"Some trouble"', "another error"),
        ('-221,"Settings conflict"', "understood"),  # the language is known, the state is wrong
    ],
)
def test_the_error_after_a_command_tells_what_its_row_is_worth(error, outcome):
    line = Told(["1"], [error])
    trial = acted(line)
    assert trial.outcome == outcome and error in trial.remark
    assert line.errors == []


@pytest.mark.parametrize("reply", [None, "1", "(@1!1)", "ON"])
def test_what_is_not_zero_is_not_quiet(reply):
    line = Told([])
    line.write, line.read = lambda message: None, lambda: reply
    with pytest.raises(SelftestError, match="none was sent"):
        check_quiet(line, "keithley7001")


# -- the page --------------------------------------------------------------------------------------


def test_the_page_of_rows_from_memory_is_what_the_command_prints():
    printed = runner.invoke(app, ["sim", "language", "--memory"])
    assert printed.exit_code == 0
    _, mark, rows = PAGE.read_text(encoding="utf-8").partition("## ")
    assert mark + rows == printed.stdout, (
        "print it again: spinloop sim language --memory, in place of all from the first ## on"
    )


def test_the_command_prints_the_rows_from_memory_of_one_model_or_of_all():
    alone = runner.invoke(app, ["sim", "language", "keithley7001", "--memory"]).stdout
    together = runner.invoke(app, ["sim", "language", "--memory"]).stdout
    assert alone in together
    assert re.findall("^## (.*)$", together, flags=re.MULTILINE) == sorted(MODELS)
    whole = runner.invoke(app, ["sim", "language", "keithley7001"]).stdout
    rows = [line for line in alone.splitlines() if line.startswith("| `")]
    assert len(rows) == len(memory_rows(MODELS["keithley7001"].table))
    assert set(rows) < set(whole.splitlines())
