"""One bench, one holder; and what the state folder keeps between programs."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import pytest

from instruments import Bench, BenchFile
from instruments.bench_file import parse_bench_file
from instruments.errors import HolderError
from instruments.holder import Holder, who_holds
from instruments.state_folder import (
    Latch,
    Rehearsal,
    addresses,
    find_latch,
    fingerprint,
    latch_path,
    reset_latch,
    set_latch,
    state_folder,
)

DEMO = files("instruments").joinpath("demo_bench.yaml").read_text(encoding="utf-8")
FILE = parse_bench_file(DEMO)
X, Z = "GPIB0::24::INSTR", "GPIB0::25::INSTR"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SPINLOOP_STATE", str(tmp_path / "state"))
    return tmp_path / "state"


def _elsewhere(*held: str) -> subprocess.Popen[str]:
    """Another program that holds instruments until its input ends."""
    script = (
        "import sys\n"
        "from instruments.holder import Holder\n"
        f"holder = Holder({held!r})\n"
        "print('held', flush=True)\n"
        "sys.stdin.read()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


def test_a_second_program_is_told_who_holds_the_bench_and_since_when() -> None:
    with _elsewhere(X, Z) as other:
        said = rf"{X} is held by .* since \d{{4}}-.* \(process {other.pid}: -c\); until it ends"
        with pytest.raises(HolderError, match=said):
            Holder((X,))
        assert len(who_holds((X, Z, "GPIB0::7::INSTR"))) == 2
        Holder(("GPIB0::7::INSTR",)).release()  # nobody holds this one
        other.communicate()
    Holder((X, Z)).release()
    assert who_holds((X, Z)) == []


def test_what_a_killed_program_held_is_free() -> None:
    with _elsewhere(X) as other:
        other.kill()
        other.wait()
        assert who_holds((X,)) == []
        Holder((X,)).release()


def test_whoever_gets_half_of_the_bench_gives_it_back() -> None:
    with _elsewhere(Z) as other:
        with pytest.raises(HolderError, match=Z):
            Holder((X, Z))
        Holder((X,)).release()
        other.communicate()


def test_two_benches_of_one_program_do_not_share_an_instrument() -> None:
    first = Holder((X, Z))
    with pytest.raises(HolderError, match="is held by"):
        Holder((Z,))
    first.release()
    first.release()
    Holder((Z,)).release()


def test_a_bench_that_ends_with_its_program_leaves_nothing_behind(folder: Path) -> None:
    Holder(()).release()
    with pytest.raises(ValueError), Bench.open() as bench:
        bench.sweep("J1", [0.0])
        raise ValueError
    assert not folder.exists()


def test_a_holder_that_has_not_said_who_it_is_is_another_program(folder: Path) -> None:
    first = Holder((X,))
    next(folder.glob("locks/*.json")).write_text("{")
    with pytest.raises(HolderError, match="is held by another program; until it ends"):
        Holder((X,))
    first.release()


def test_a_folder_that_cannot_be_written_is_said(folder: Path) -> None:
    folder.write_text("a file in its place")
    with pytest.raises(HolderError, match="SPINLOOP_STATE"):
        Holder((X,))


def test_the_folder_is_the_users_unless_the_variable_names_another(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert state_folder() == folder
    monkeypatch.delenv("SPINLOOP_STATE")
    assert state_folder().name == "spinloop" and state_folder().is_absolute()


def test_an_address_is_the_same_instrument_however_it_is_written() -> None:
    other = parse_bench_file(DEMO.replace("GPIB0::24::INSTR", "gpib::24"))
    assert addresses(other) == addresses(FILE)


# -- the latch -------------------------------------------------------------------------------------


def _latch(file: BenchFile, since: str = "2026-05-01T10:00:00+00:00") -> Latch:
    return Latch(file.name, addresses(file), "lost instrument", "x: gone", since)


def test_a_latch_holds_until_it_is_reset_and_says_why() -> None:
    assert find_latch(addresses(FILE)) is None and reset_latch(FILE) is None
    set_latch(_latch(FILE))
    later = "2026-05-02T10:00:00+00:00"  # the first reason is the one to know
    set_latch(replace(_latch(FILE, later), cause="exception", problems=("x: silent",)))
    found = find_latch(addresses(FILE))
    assert found is not None and (found.since, found.cause) == (
        _latch(FILE).since,
        "lost instrument",
    )
    assert "the safe state was NOT confirmed: x: silent; look at" in str(found)
    set_latch(_latch(FILE, later))
    found = find_latch(addresses(FILE))
    assert found == _latch(FILE)
    assert str(found) == (
        "demonstration bench tripped at 2026-05-01T10:00:00+00:00 (lost instrument: x: gone); look "
        "at the instruments, then run 'spinloop bench reset'"
    )
    assert reset_latch(FILE) == found
    assert find_latch(addresses(FILE)) is None


def test_a_latch_binds_every_bench_that_shares_an_instrument() -> None:
    other = parse_bench_file(DEMO.replace("GPIB0::12", "GPIB0::13").replace("GPIB0::7", "GPIB0::8"))
    apart = parse_bench_file(DEMO.replace("GPIB0", "GPIB1"))
    set_latch(_latch(FILE))
    assert find_latch(addresses(other)) is not None
    assert find_latch(addresses(apart)) is None
    assert reset_latch(apart) is None and find_latch(addresses(FILE)) is not None
    assert reset_latch(other) is not None and find_latch(addresses(FILE)) is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"bench": 3}', "null"])
def test_a_latch_that_cannot_be_read_binds_every_bench(text: str) -> None:
    path = latch_path(("somebody's",))
    path.parent.mkdir(parents=True)
    path.write_text(text)
    found = find_latch(addresses(FILE))
    assert found is not None and "cannot be read" in str(found)
    assert reset_latch(FILE) is not None and find_latch(addresses(FILE)) is None


# -- rehearsals ------------------------------------------------------------------------------------


def test_a_rehearsal_holds_for_the_file_that_it_was_made_with(tmp_path: Path) -> None:
    assert Rehearsal.find(FILE) is None
    made = Rehearsal.of(FILE, tmp_path / "lab.sqlite", 3)
    made.save()
    assert Rehearsal.find(FILE) == made and made.session == 3
    renamed = parse_bench_file(
        DEMO.replace("demonstration bench\n", "lab 2\n").replace("121", "61")
    )
    assert Rehearsal.find(renamed) == made


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("GPIB0::24", "GPIB0::26"),
        ("step: 6 mA", "step: 5 mA"),
        ("voltage: 20 mV", "voltage: 21 mV"),
        ("trigger: ring", "trigger: fork"),
        ("1!11", "1!19"),
    ],
)
def test_a_change_that_can_hurt_wants_a_new_rehearsal(old: str, new: str, tmp_path: Path) -> None:
    Rehearsal.of(FILE, tmp_path / "lab.sqlite", 1).save()
    changed = parse_bench_file(DEMO.replace(old, new))
    assert changed != FILE and Rehearsal.find(changed) is None


def test_a_rehearsal_record_that_was_changed_counts_for_nothing(
    tmp_path: Path, folder: Path
) -> None:
    Rehearsal.of(FILE, tmp_path / "lab.sqlite", 1).save()
    (path,) = folder.glob("rehearsals/*.json")
    values = json.loads(path.read_text())
    path.write_text(json.dumps(values | {"fingerprint": "0" * 64}))
    assert Rehearsal.find(FILE) is None
    path.write_text("{")
    assert Rehearsal.find(FILE) is None
    assert len(fingerprint(FILE)) == 64
