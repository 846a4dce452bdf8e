"""Off means off at once, from any program, whoever holds the bench."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pyvisa

from instruments import BenchFile, load_bench_file
from instruments.holder import who_holds
from instruments.off import switch_off
from instruments.state_folder import addresses
from tests.resistor_bench import is_safe, served, write_files

PROGRAM = """
import signal, sys, time
from instruments import Bench
{how}
with Bench.open(sys.argv[1], dummies=True, guardian=False) as bench:
    bench.join("D1")
    bench.x.set_voltage(0.02)
    bench.source.set_current(0.003)
    print("on", flush=True)
    time.sleep(600)
"""
ORDERLY = """
from instruments.states import Terminated
def end(*_):
    raise Terminated("SIGTERM")
signal.signal(signal.SIGTERM, end)
"""
DEAF = "signal.signal(signal.SIGTERM, signal.SIG_IGN)"


@pytest.fixture
def real(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, Any]]:
    monkeypatch.setenv("SPINLOOP_STATE", str(tmp_path / "state"))
    with served(tmp_path, realtime=20.0) as both:
        yield both


@pytest.fixture
def file(real: tuple[Path, Any]) -> BenchFile:
    return load_bench_file(real[0])[0]


@pytest.fixture
def start(real: tuple[Path, Any]) -> Iterator[Callable[[str], Any]]:
    programs: list[subprocess.Popen[str]] = []

    def begin(how: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", PROGRAM.format(how=how), str(real[0])]
        program = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        programs.append(program)
        assert program.stdout is not None
        assert program.stdout.readline() == "on\n", program.communicate()[1]
        return program

    yield begin
    for program in programs:
        program.kill()
        program.communicate()


def _leave_on(sim: Any) -> None:
    sim.source.state |= {"output": True, "level": 0.003}
    sim.by_name["x"].state |= {"output": True, "v_level": 0.02}
    sim.switch.closed.add("2!1")


def test_what_somebody_left_on_is_off_afterwards(real: tuple[Path, Any], file: BenchFile) -> None:
    _leave_on(real[1])
    found = switch_off(file)
    assert found.said == () and found.problems == ()
    assert is_safe(real[1])
    assert who_holds(addresses(file)) == []


def test_a_program_that_holds_the_bench_is_asked_to_end(
    real: tuple[Path, Any], file: BenchFile, start: Callable[[str], Any]
) -> None:
    program = start(ORDERLY)
    found = switch_off(file, ends_s=20.0)
    assert found.problems == () and is_safe(real[1])
    assert "is held by" in found.said[0] and found.said[1] == "it was asked to end, and has"
    program.communicate(timeout=20)
    assert program.returncode != 0


def test_a_program_that_does_not_end_is_passed_over(
    real: tuple[Path, Any], file: BenchFile, start: Callable[[str], Any]
) -> None:
    program = start(DEAF)
    found = switch_off(file, ends_s=0.1)
    assert found.problems == () and is_safe(real[1])
    assert found.said[-1] == "it still holds the bench and may switch on again: stop it"
    assert program.poll() is None


def test_an_instrument_that_is_gone_hinders_no_other_and_keeps_the_relays(
    real: tuple[Path, Any], file: BenchFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    _leave_on(real[1])
    connect = pyvisa.ResourceManager.open_resource

    def gone(manager: Any, address: str, **options: Any) -> Any:
        if address == file.instruments.z.address:
            raise OSError("connection refused")
        return connect(manager, address, **options)

    monkeypatch.setattr(pyvisa.ResourceManager, "open_resource", gone)
    found = switch_off(file)
    assert found.problems == (f"z at {file.instruments.z.address}: connection refused",)
    assert not real[1].source.state["output"] and not real[1].by_name["x"].state["output"]
    assert real[1].switch.closed == {"2!1"}


def test_relays_that_stay_closed_are_told(
    real: tuple[Path, Any], file: BenchFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    _leave_on(real[1])
    monkeypatch.setattr("instruments.drivers.keithley7001.Keithley7001.safe_message", ":ABOR")
    assert switch_off(file).problems == ("switch: 2!1 are still closed",)


def test_a_simulated_bench_has_nothing_to_switch_off(tmp_path: Path) -> None:
    found = switch_off(load_bench_file(write_files(tmp_path))[0])
    assert found.said == ("a simulated bench ends with its program: nothing is on",)
