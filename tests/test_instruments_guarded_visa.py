"""Foreign drivers reach the bench through the same limits, order and record as our own."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import pyvisa
from pyvisa.constants import StatusCode

import db
from instruments.guarded_visa import GuardedVisaError

FIELD, X, SWITCH = "GPIB0::12::INSTR", "GPIB0::24::INSTR", "GPIB0::7::INSTR"


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[pyvisa.ResourceManager]:
    path = tmp_path / "bench.yaml"
    path.write_bytes(files("instruments").joinpath("demo_bench.yaml").read_bytes())
    made = pyvisa.ResourceManager(f"{path}@spinloop_guarded")
    yield made
    made.close()


def _sim(manager: pyvisa.ResourceManager) -> Any:
    library: Any = manager.visalib
    return library.bench._keep.visalib.bench


def test_a_session_asks_and_sets_as_on_any_visa(manager: pyvisa.ResourceManager) -> None:
    assert set(manager.list_resources()) >= {FIELD, X, SWITCH}
    meter: Any = manager.open_resource("gpib::24")
    assert meter.query("*IDN?").startswith("KEITHLEY INSTRUMENTS INC.,MODEL 2400")
    meter.write(":SOUR:VOLT 0.02")
    assert float(meter.query(":SOUR:VOLT?")) == 0.02
    assert meter.read_stb() & 16 == 0
    meter.write(":SOUR:VOLT?")
    assert meter.read_stb() & 16
    assert meter.read_bytes(5) == b"+2.00"
    meter.clear()
    with pytest.raises(pyvisa.VisaIOError) as caught:
        meter.read()
    assert caught.value.error_code == StatusCode.error_timeout


def test_a_refusal_is_a_visa_error_with_our_sentence(manager: pyvisa.ResourceManager) -> None:
    meter: Any = manager.open_resource(X)
    with pytest.raises(pyvisa.VisaIOError) as caught:
        meter.write(":SOUR:VOLT 2")
    assert str(caught.value).startswith("refused at x ")
    assert "2 V is above the limit of" in str(caught.value)
    assert caught.value.error_code == StatusCode.error_nonsupported_operation
    again = pickle.loads(pickle.dumps(caught.value))
    assert isinstance(again, GuardedVisaError) and str(again) == str(caught.value)
    assert float(meter.query(":SOUR:VOLT?")) == 0


def test_nothing_behind_a_refused_message_is_sent(manager: pyvisa.ResourceManager) -> None:
    meter: Any = manager.open_resource(X)
    with pytest.raises(pyvisa.VisaIOError, match="refused"):
        meter.write_raw(b":SOUR:VOLT 2\n:SOUR:VOLT 0.01\n")
    assert float(meter.query(":SOUR:VOLT?")) == 0


def test_an_error_of_the_instrument_is_told_at_the_message(
    manager: pyvisa.ResourceManager,
) -> None:
    meter: Any = manager.open_resource(X)
    with pytest.raises(pyvisa.VisaIOError, match=r'x: the instrument reports -222,"Param'):
        meter.write(":TRIG:DEL 5000")


def test_a_reply_that_does_not_come_is_a_timeout_of_the_read(
    manager: pyvisa.ResourceManager,
) -> None:
    from sim_backend.faults_kinds import Timeout

    meter: Any = manager.open_resource(X)
    _sim(manager).faults.add(Timeout(instrument="x", header="*OPC?"))
    meter.write("*OPC?")
    with pytest.raises(pyvisa.VisaIOError, match="nothing after 2 s of bench time") as caught:
        meter.read()
    assert caught.value.error_code == StatusCode.error_timeout
    assert meter.query("*OPC?").strip() == "1"


def test_an_address_that_the_bench_file_does_not_name_is_not_there(
    manager: pyvisa.ResourceManager,
) -> None:
    with pytest.raises(pyvisa.VisaIOError, match="GPIB0::3::INSTR is not in the bench file") as e:
        manager.open_resource("GPIB0::3::INSTR")
    assert e.value.error_code == StatusCode.error_resource_not_found


def test_the_record_holds_what_a_foreign_program_said(tmp_path: Path) -> None:
    path, record = tmp_path / "bench.yaml", tmp_path / "r.sqlite"
    path.write_bytes(files("instruments").joinpath("demo_bench.yaml").read_bytes())
    manager = pyvisa.ResourceManager(f"{path}?record={record}@spinloop_guarded")
    sim = _sim(manager)
    meter: Any = manager.open_resource(X)
    meter.write(":SOUR:VOLT 0.02")
    with pytest.raises(pyvisa.VisaIOError):
        meter.write(":SOUR:VOLT 2")
    manager.close()
    assert sim.meters["x"].state["v_level"] == 0 and not sim.meters["x"].state["output"]
    (session,) = db.sessions(record)
    assert (session.kind, session.status) == ("visa", "complete")
    said = [(m.sent, bool(m.error)) for m in db.transcript(record, session.id)]
    assert (":SOUR:VOLT 0.02", False) in said and (":SOUR:VOLT 2", True) in said


def test_a_bench_that_cannot_be_opened_is_told_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"nobench\.yaml: cannot be read"):
        pyvisa.ResourceManager(f"{tmp_path / 'nobench.yaml'}@spinloop_guarded")


def test_pymeasures_own_driver_reads_a_junction_through_the_limits(
    manager: pyvisa.ResourceManager,
) -> None:
    from pymeasure.instruments.keithley import Keithley6221

    source = Keithley6221(FIELD, visa_library=manager.visalib)
    source.source_compliance = 1
    with pytest.raises(pyvisa.VisaIOError, match="above the limit"):
        source.source_current = 0.2  # which the driver clips to 105 mA and sends
    assert source.source_current == 0
