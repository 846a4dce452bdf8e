"""While a list may run, nobody knows where its source is; and what a list may not be told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from instruments import Bench
from instruments.errors import LimitError
from tests.device_benches import bench_with, simulator

UP = ":SOUR:LIST:CURR 0,.005,.01,.015,0.02,.025"
PACE = ":SOUR:LIST:DEL .5,.5,.5,.5,.5,.5;:SOUR:LIST:COMP 2,2,2,2,2,2"
WAITING = ":TRIG:SOUR TLIN;:TRIG:COUN 3;:SOUR:VOLT:MODE LIST;:INIT"


@pytest.fixture
def bench() -> Iterator[Bench]:
    with Bench.open() as bench:
        bench.sweep("J1", [0.003])
        yield bench


@pytest.fixture
def biased(tmp_path: Path) -> Iterator[Bench]:
    """A bench with a 2450 that may step by 0.5 V."""
    more: dict[str, Any] = {
        "instruments": {"bias": {"driver": "keithley2450", "address": "GPIB0::3::INSTR"}},
        "limits": {"bias": {"level": "2 V", "step": "0.5 V", "compliance": "100 mA"}},
    }
    there = {"bias": {"address": "GPIB0::3::INSTR", "model": "keithley2450"}}
    with bench_with(tmp_path, more, {"instruments": there}) as bench:
        assert bench.bias is not None
        bench.bias.prepare(largest=2.0, compliance=0.1)
        bench.transport.links["bias"].write(":SOUR:LIST:VOLT 0.5,1,1.5,2")
        yield bench


def test_a_level_asked_while_a_list_runs_is_no_start_of_a_step(bench: Bench) -> None:
    field = bench.transport.links["field"]
    for message in (":TRIG:SOUR IMM", UP, PACE, ":SOUR:SWE:ARM;:INIT"):
        field.write(message)
    assert float(field.query(":SOUR:CURR?")) == 0
    assert not bench.guard.is_dead("field")
    with pytest.raises(LimitError, match="may still run; abort it first"):
        field.write(":SOUR:CURR 0.005")  # the list ends at 25 mA: 20 mA in one step
    bench.transport.pause(4)
    field.write(":SOUR:SWE:ABOR")
    assert float(field.query(":SOUR:CURR?")) == 0.025
    with pytest.raises(LimitError, match="larger than 6 mA"):
        field.write(":SOUR:CURR 0.005")
    field.write(":SOUR:CURR 0.02")


def test_no_relay_moves_while_a_meters_list_waits_for_its_trigger(bench: Bench) -> None:
    x = bench.transport.links["x"]
    x.write(":SOUR:LIST:VOLT 0.09,0.1,0.08")
    x.write(":SOUR:VOLT 0")
    x.write(WAITING)
    for role in ("x", "z", "field"):
        link = bench.transport.links[role]
        link.write(":SOUR:CURR 0" if role == "field" else ":SOUR:VOLT 0")
        link.query(":SOUR:CURR?" if role == "field" else ":SOUR:VOLT?")
    with pytest.raises(LimitError, match="x do not read back zero"):
        bench.transport.links["switch"].write(":ROUT:OPEN ALL")
    x.write(":ABOR")
    x.query(":SOUR:VOLT?")
    bench.transport.links["switch"].write(":ROUT:OPEN ALL")


def test_a_list_runs_on_for_the_limits_when_its_line_was_lost(bench: Bench) -> None:
    field = bench.transport.links["field"]
    for message in (":TRIG:SOUR IMM", UP, PACE, ":SOUR:SWE:ARM;:INIT"):
        field.write(message)
    bench.guard.lost("field")
    field.query(":SOUR:CURR?")
    with pytest.raises(LimitError, match="abort it first"):
        field.write(":SOUR:CURR 0.001")


@pytest.mark.parametrize("how", ["1,0.1,3,OFF", "1,0.1,0", "4,0.1,1", "1,0.1,MAX", "2"])
def test_a_list_is_armed_from_its_first_level_and_once(biased: Bench, how: str) -> None:
    with pytest.raises(LimitError, match="from its first level and once"):
        biased.transport.links["bias"].write(f":SOUR:SWE:VOLT:LIST {how}")
    assert simulator(biased).by_name["bias"].sweep is None


def test_a_list_that_came_after_the_armed_one_is_not_started_in_its_name(biased: Bench) -> None:
    bias = biased.transport.links["bias"]
    bias.write(":SOUR:SWE:VOLT:LIST 1,0.1,1,OFF")
    bias.write(":SOUR:LIST:VOLT 0.1")
    with pytest.raises(LimitError, match="has not been armed"):
        bias.write(":INIT")


def test_a_meter_that_was_left_in_ohms_is_not_switched_on(bench: Bench) -> None:
    """With several functions measured at once, ohms would go on sourcing a current of its own."""
    x, sim = bench.transport.links["x"], simulator(bench)
    x.write(":SOUR:VOLT 0;:OUTP OFF")
    sim.write(sim.meters["x"], ":SENS:FUNC:CONC ON;:SENS:FUNC 'RES'")
    bench.guard.lost("x")
    x.query(bench.x.stop_messages()[2])
    x.write(":OUTP:SMOD NORM;:SOUR:CLE:AUTO OFF;:SYST:RSEN OFF;:SOUR:VOLT:MODE FIX")
    x.write(":SENS:FUNC 'CURR:DC'")
    with pytest.raises(LimitError, match=":SENS:FUNC:CONC must be set first"):
        x.write(":OUTP ON")
    with pytest.raises(LimitError, match="only 0 or OFF"):
        x.write(":SENS:FUNC:CONC ON")
    x.write(":SENS:FUNC:CONC OFF;:SENS:FUNC 'CURR:DC'")
    x.write(":OUTP ON")
    assert abs(sim.meters["x"].terminal_v) < 1e-3
