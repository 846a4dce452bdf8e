"""Looking at a bench changes nothing, and tells everything that would stop a run."""

from __future__ import annotations

import copy
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml

from instruments import load_bench_file
from instruments.checking import Lookout, check, look
from instruments.errors import HolderError
from instruments.holder import Holder
from instruments.scanning import _ask, fitting, scan
from instruments.state_folder import Latch, Rehearsal, addresses, set_latch
from instruments.wire import VisaWire
from sim_backend.visa import SpinLoopVisaLibrary
from tests.resistor_bench import served, write_files

FIELD = "GPIB0::12::INSTR"


@pytest.fixture(autouse=True)
def _state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPINLOOP_STATE", str(tmp_path / "state"))


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """All that reaches a VISA line, device clears too."""
    kept: list[str] = []
    write, clear = VisaWire.write, VisaWire.clear

    def spy_write(wire: VisaWire, text: str) -> None:
        kept.append(text)
        write(wire, text)

    def spy_clear(wire: VisaWire) -> None:
        kept.append("clear")
        clear(wire)

    monkeypatch.setattr(VisaWire, "write", spy_write)
    monkeypatch.setattr(VisaWire, "clear", spy_clear)
    return kept


def _settings(sim: Any) -> Any:
    return {name: copy.deepcopy(one.state) for name, one in sim.by_name.items()}, set(
        sim.switch.closed
    )


# -- looking --------------------------------------------------------------------------------------


def test_only_questions_are_sent_and_no_setting_changes(tmp_path: Path, sent: list[str]) -> None:
    with served(tmp_path) as (path, sim):
        file, _ = load_bench_file(path)
        sim.source.state |= {"output": True, "level": 0.002}
        sim.switch.closed.add("1!1")
        before = _settings(sim)
        found = check(file, guardian=False)
        assert _settings(sim) == before
    assert len(sent) >= 8
    assert [text for text in sent if "?" not in text] == []
    assert not any("ERR" in text or "ESR" in text for text in sent)  # these take away
    by_role = {one.role: one for one in found.seen}
    assert (by_role["field"].output, by_role["field"].level) == (True, 0.002)
    assert by_role["switch"].closed == ("1!1",)
    assert by_role["x"].limit == 0.1 and by_role["x"].unit == "V"
    assert any(text.startswith("field: its output is on, at 2 mA") for text in found.remarks)
    assert any(text.startswith("switch: 1!1 are closed") for text in found.remarks)


def test_an_answer_that_does_not_come_is_told_and_followed_by_no_device_clear(
    tmp_path: Path, sent: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("instruments.link.REPLY_TIMEOUT_S", 0.05)
    with served(tmp_path) as (path, _):
        monkeypatch.setattr(VisaWire, "poll", lambda wire: 0)
        found = check(load_bench_file(path)[0], guardian=False, dummies=True)
    assert "clear" not in sent
    assert len(found.problems) == 4
    assert all("is it switched on and connected?" in text for text in found.problems)


def test_one_wrong_instrument_hides_no_other(tmp_path: Path) -> None:
    there = {"driver": "keithley2400", "address": "GPIB0::2::INSTR"}
    gone = {"driver": "keithley2400", "address": "GPIB0::9::INSTR"}
    path = write_files(tmp_path, instruments={"x": there, "z": gone})
    found = check(load_bench_file(path)[0], tmp_path)
    x, z = found.problems if found.problems[0].startswith("x") else reversed(found.problems)
    assert x.startswith("x: at GPIB0::2::INSTR answers 'YOKOGAWA")
    assert x.endswith("mend the address or the driver")
    assert z.startswith("z: cannot open GPIB0::9::INSTR")
    assert [one.role for one in found.seen if one.identity and one.level is not None] == ["field"]


def test_the_demonstration_bench_has_no_problem() -> None:
    found = check(load_bench_file(None)[0])
    assert found.problems == () and found.remarks == ()
    assert found.guardian.startswith("not needed") and found.rehearsal.startswith("not needed")
    assert [one.role for one in found.seen] == ["field", "x", "z", "switch"]


def test_a_step_limit_below_the_programming_step_is_a_problem(tmp_path: Path) -> None:
    data = yaml.safe_load(files("instruments").joinpath("demo_bench.yaml").read_text())
    line = data["limits"]["field_line"] | {"step": "5 uA"}
    path = write_files(tmp_path, limits={"field_line": line})
    found = check(load_bench_file(path)[0], tmp_path)
    assert len(found.problems) == 1 and "too fine for the field source" in found.problems[0]


# -- a real bench ---------------------------------------------------------------------------------


def test_a_latch_and_a_missing_rehearsal_would_stop_a_run(tmp_path: Path) -> None:
    with served(tmp_path) as (path, _):
        file, _ = load_bench_file(path)
        set_latch(Latch(file.name, addresses(file), "compliance", "a short", "noon"))
        found = check(file, guardian=False)
        assert ["spinloop bench re" in text for text in found.problems] == [True, True]
        assert "tripped at noon (compliance: a short)" in found.problems[0]
        assert "run 'spinloop bench rehearse'" in found.problems[1]
        assert len(check(file, guardian=False, dummies=True).problems) == 1
        Rehearsal.of(file, tmp_path / "lab.sqlite", 7).save()
        found = check(file, guardian=False)
    assert len(found.problems) == 1 and "(session 7 in" in found.rehearsal


def test_a_bench_that_another_program_holds_is_not_asked(tmp_path: Path, sent: list[str]) -> None:
    with served(tmp_path) as (path, _):
        file, _ = load_bench_file(path)
        holder = Holder(addresses(file))
        try:
            found = check(file, dummies=True)
            with pytest.raises(HolderError, match="is held by"):
                look(file)
        finally:
            holder.release()
        assert sent == [] and found.guardian == "not tried"
        assert len(found.problems) == 1 and "is held by" in found.problems[0]
        assert look(file)[1] == ()  # and it holds nothing afterwards


def test_the_guardian_shows_that_it_can_address_every_instrument(tmp_path: Path) -> None:
    with served(tmp_path, realtime=20.0) as (path, sim):
        file, _ = load_bench_file(path)
        before = _settings(sim)
        found = check(file, dummies=True)
        assert found.problems == () and found.guardian.startswith("can address every instrument")
        assert _settings(sim) == before


def test_a_guardian_that_cannot_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("instruments.guarding.sys.executable", sys.executable + ".not-there")
    with served(tmp_path) as (path, _):
        found = check(load_bench_file(path)[0], dummies=True)
    assert len(found.problems) == 1
    assert found.problems[0].startswith("the guardian cannot be started")
    assert "--no-guardian" in found.problems[0]


def test_a_lookout_knows_each_instruments_settings(tmp_path: Path) -> None:
    file, _ = load_bench_file(write_files(tmp_path))
    with Lookout(file, tmp_path) as lookout:
        assert set(lookout.drivers) == {"field", "x", "z", "switch"} and lookout.problems == []
        assert lookout.guard.shadows["x"].output is False


# -- scanning -------------------------------------------------------------------------------------


def test_a_scan_asks_who_is_there_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[bytes] = []
    write = SpinLoopVisaLibrary.write

    def spy(library: Any, session: Any, data: bytes) -> Any:
        heard.append(data.strip())
        return write(library, session, data)

    monkeypatch.setattr(SpinLoopVisaLibrary, "write", spy)
    write_files(tmp_path)
    seen: list[int] = []
    answers = scan(
        f"{tmp_path / 'sim.yaml'}?instance=scan@spinloop",
        on_each=lambda answer, total: seen.append(total),
    )
    found = {one.address: one for one in answers}
    assert heard == [b"*IDN?"] * 5 and seen == [5] * 5
    assert found[FIELD].drivers == ("keithley6221",)
    assert found["GPIB0::2::INSTR"].drivers == ("yokogawags200", "yokogawags200_volt")


def test_a_scan_leaves_serial_ports_and_held_instruments_alone() -> None:
    holder = Holder((FIELD,))
    try:
        found = scan("?instance=scan-2@spinloop", [FIELD, "GPIB0::99::INSTR"])
        listed = {one.address: one for one in found}
    finally:
        holder.release()
    assert listed[FIELD].identity == "" and "is held by" in listed[FIELD].remark
    assert listed["GPIB0::99::INSTR"].remark.startswith("cannot be opened")
    assert _ask(None, "ASRL1::INSTR", False, 1.0).remark == "serial port: not asked"


def test_an_identity_fits_the_drivers_of_its_model() -> None:
    assert fitting("KEITHLEY INSTRUMENTS INC.,MODEL 2400,1,C32") == ("keithley2400",)
    assert fitting("ACME,MODEL 1,1,1") == ()
