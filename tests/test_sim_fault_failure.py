"""What a model or the physics cannot do becomes an error in the instrument's queue."""

import pytest
from pyvisa.constants import StatusCode

from sim_backend.circuit import CircuitError
from sim_backend.faults_kinds import JunctionDrift
from sim_backend.llg.one_well import NoEquilibriumError
from tests.fault_benches import NO_ERROR, Visa, fails
from tests.test_sim_instruments import LEVELS, Lab


@pytest.fixture
def visa(request):
    made = Visa(request.node.name)
    yield made
    made.manager.close()


def broken(bench, monkeypatch, problem):
    """The physics of this bench fails from now on."""

    def run(*_):
        raise problem

    monkeypatch.setattr(bench.plant, "run", run)


def test_a_junction_without_an_equilibrium_is_an_error_of_who_reads_it(visa):
    meter = visa.meter()
    visa.faults.add(JunctionDrift(device="J1", parameter="layer.hz_t", per_hour=-1e6))
    visa.manager.visalib.bench_pause(10.0)
    meter.query("*CLS;*OPC?")
    assert fails(meter.query, ":READ?") == StatusCode.error_timeout
    error = meter.query(":SYST:ERR?")
    assert error.startswith('-300,"Device-specific error;J1: ') and "single well" in error
    assert int(meter.query("*ESR?")) & 8  # device-dependent error
    # The bench goes on: the junction is let go of, and another one is read.
    for name in ("x", "z"):
        visa.open(name).write(":OUTP OFF")
    visa.open("switch").write(":OPEN ALL;:CLOS (@1!2,1!12,1!22)")
    meter.write("*CLS;:OUTP ON")
    assert 1e-7 < float(meter.query(":READ?").split(",")[0]) < 1e-4
    assert meter.query(":SYST:ERR?") == NO_ERROR


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        (CircuitError("the circuit has no answer"), "the circuit has no answer"),
        (NoEquilibriumError('no "well"'), "no 'well'"),
        (ZeroDivisionError("float division by zero"), "float division by zero"),
        (KeyError(), "KeyError"),
        (RuntimeError("two\nlines µ " + "y" * 400), "two lines ? yyy"),
    ],
)
def test_any_exception_becomes_one_error_that_can_be_read(monkeypatch, problem, text):
    lab = Lab()
    lab.select()
    broken(lab.bench, monkeypatch, problem)
    lab.write("x", ":READ?")
    assert lab.ask("x") is None
    error = lab.ask("x", ":SYST:ERR?")
    assert error.startswith(f'-300,"Device-specific error;{text}')
    assert len(error) < 255 and error.isascii() and error.count('"') == 2


def test_nothing_escapes_through_pyvisa_and_the_bench_goes_on_when_it_can(visa, monkeypatch):
    meter, source = visa.meter(), visa.open("field")
    whole = meter.query(":READ?")
    with monkeypatch.context() as patch:
        broken(visa.bench, patch, CircuitError("no answer"))
        meter.write(":SOUR:VOLT 0.02;:READ?")
        for call in (meter.read, source.read):
            assert fails(call) == StatusCode.error_timeout
        source.write(":SOUR:CURR 0.01;:OUTP ON")
        meter.read_stb()
        meter.assert_trigger()
        meter.clear()
        visa.manager.visalib.bench_pause(1.0)
        assert "no answer" in meter.query(":SYST:ERR?")
    for one in (meter, source):
        one.write("*CLS")
    source.write(":OUTP OFF")
    assert meter.query(":READ?").split(",")[1] == whole.split(",")[1]
    assert meter.query(":SYST:ERR?") == source.query(":SYST:ERR?") == NO_ERROR


def test_a_sweep_whose_physics_fails_leaves_the_source_outside_of_it(monkeypatch):
    lab = Lab()
    lab.select()
    lab.prepare(LEVELS)
    lab.start()
    with monkeypatch.context() as patch:
        broken(lab.bench, patch, CircuitError("no answer"))
        for _ in range(3):
            lab.bench.pause(10.0)
    lab.write("field", ":SOUR:SWE:ABOR")
    lab.write("x", ":ABOR")
    lab.write("z", ":ABOR")
    assert -300 in [number for name in ("field", "x", "z") for number in lab.errors(name)]
    lab.write("field", "*RST")
    lab.write("x", "*RST;:SOUR:VOLT 0.02;:OUTP ON")
    assert lab.read() > 1e-7


def test_an_instrument_that_cannot_act_answers_the_others(monkeypatch):
    lab = Lab()

    def fail(*_):
        raise ValueError("the display is dark")

    monkeypatch.setattr(type(lab.bench.by_name["x"]), "set_sre", fail)
    lab.write("x", "*SRE 1")
    assert lab.ask("x", ":SYST:ERR?") == '-300,"Device-specific error;the display is dark"'
    assert lab.ask("z", "*IDN?") and lab.ask("x", "*IDN?")


def test_the_log_of_a_2450_has_the_time_of_such_an_error(monkeypatch):
    instruments = {"smu": {"address": "GPIB0::18::INSTR", "model": "keithley2450"}}
    lab = Lab(instruments=Lab().bench.truth.model_dump()["instruments"] | instruments)
    broken(lab.bench, monkeypatch, CircuitError("no answer"))
    lab.write("smu", ":READ?")
    assert lab.ask("smu", ":SYST:EVEN:NEXT?").startswith('-300,"Device-specific error;no answer;1,')
