"""The simulated bench as PyVISA sees it, and the file that describes it."""

import contextlib
from pathlib import Path

import numpy as np
import pytest
import pyvisa
import yaml
from pyvisa.constants import StatusCode

from sim_backend.truth import TruthError, load_truth
from sim_backend.visa import SpinLoopVisaLibrary, open_bench

ROOT = Path(__file__).parents[1]
ADDRESSES = {"field": 12, "x": 24, "z": 25, "switch": 7}


@pytest.fixture
def manager(request):
    """Makes resource managers, each with a bench of its own unless asked otherwise."""
    with contextlib.ExitStack() as stack:
        made = []

        def make(specification=None):
            if specification is None:
                specification = f"?instance={request.node.name}-{len(made)}"
            made.append(pyvisa.ResourceManager(f"{specification}@spinloop"))
            stack.callback(made[-1].close)
            return made[-1]

        yield make


def demo(**changes):
    """The demonstration bench's file as a dictionary, with changes."""
    text = (ROOT / "sim_backend" / "demo.yaml").read_text(encoding="utf-8")
    return yaml.safe_load(text) | changes


def write_file(folder, data):
    path = folder / "sim.yaml"
    path.write_text(data if isinstance(data, str) else yaml.safe_dump(data), encoding="utf-8")
    return path


def instrument(manager, role):
    return manager.open_resource(f"GPIB0::{ADDRESSES[role]}::INSTR")


# -- resources -------------------------------------------------------------------------------------


def test_the_bench_lists_its_instruments(manager):
    listed = manager().list_resources()
    assert set(listed) == {f"GPIB0::{n}::INSTR" for n in ADDRESSES.values()}
    assert manager().list_resources("GPIB0::2?::INSTR") == ("GPIB0::24::INSTR", "GPIB0::25::INSTR")


@pytest.mark.parametrize("address", ["GPIB0::1::INSTR", "TCPIP0::10.0.0.1::INSTR"])
def test_an_address_that_is_not_there_is_not_found(manager, address):
    with pytest.raises(pyvisa.VisaIOError) as caught:
        manager().open_resource(address)
    assert caught.value.error_code == StatusCode.error_resource_not_found


@pytest.mark.parametrize("address", ["GPIB0::24::INSTR", "gpib::24", "GPIB::24::INSTR"])
def test_an_address_is_found_in_every_spelling(manager, address):
    assert "MODEL 2400" in manager().open_resource(address).query("*IDN?")


def test_a_closed_session_is_closed(manager):
    meter = instrument(manager(), "x")
    library, session = meter.visalib, meter.session
    meter.close()
    timeout = pyvisa.constants.VI_ATTR_TMO_VALUE
    for call in (
        lambda: library.read_stb(session),
        lambda: library.close(session),
        lambda: library.set_attribute(session, timeout, 1),
    ):
        with pytest.raises(pyvisa.VisaIOError) as caught:
            call()
        assert caught.value.error_code == StatusCode.error_invalid_object


# -- messages --------------------------------------------------------------------------------------


def test_reading_without_a_question_times_out_and_takes_no_bench_time(manager):
    bench = manager()
    meter = instrument(bench, "x")
    meter.timeout = 3_600_000
    before = bench.visalib.bench_time_s()
    with pytest.raises(pyvisa.VisaIOError) as caught:
        meter.read()
    assert caught.value.error_code == StatusCode.error_timeout
    assert bench.visalib.bench_time_s() == before
    assert meter.query(":SYST:ERR?").startswith("-420")


def test_a_reply_comes_in_pieces_of_the_size_asked_for(manager):
    meter = instrument(manager(), "x")
    meter.write("*IDN?")
    pieces = []
    with meter.ignore_warning(StatusCode.success_max_count_read):
        while True:
            data, status = meter.visalib.read(meter.session, 16)
            pieces.append(data)
            if status != StatusCode.success_max_count_read:
                break
    assert status == StatusCode.success
    assert {len(piece) for piece in pieces[:-1]} == {16}
    assert b"".join(pieces).endswith(b"\n")
    assert b"".join(pieces).decode().strip() == meter.query("*IDN?").strip()


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r", ""])
def test_any_terminator_ends_a_message(manager, end):
    meter = instrument(manager(), "x")
    meter.write_termination = end
    meter.write(":SOUR:VOLT 0.1")
    assert float(meter.query(":SOUR:VOLT?")) == 0.1
    assert meter.query(":SYST:ERR?").startswith("0,")


def test_two_messages_in_one_write_are_two(manager):
    meter = instrument(manager(), "x")
    meter.write(":SENS:CURR:NPLC 3\nNPLC 4\n:SOUR:VOLT 0.1")
    assert meter.query(":SYST:ERR?").startswith("-113")
    assert float(meter.query(":SENS:CURR:NPLC?")) == 3
    assert float(meter.query(":SOUR:VOLT?")) == 0.1


def test_serial_poll_and_device_clear_pass(manager):
    meter = instrument(manager(), "x")
    meter.write(":SOUR:VOLT?")
    assert meter.read_stb() == 16
    meter.clear()
    assert meter.read_stb() == 0


def test_binary_values_come_through_pyvisas_own_reader(manager):
    bench = manager()
    meter = instrument(bench, "x")
    meter.write(":SOUR:VOLT 0.02;:OUTP ON;:TRIG:COUN 300;:FORM SRE;:FORM:ELEM VOLT,STAT;:INIT")
    values = meter.query_binary_values(":FETC?", datatype="f", data_points=600, container=np.array)
    assert values.shape == (600,)
    np.testing.assert_allclose(values[::2], 0.02, rtol=1e-6)


def test_bench_time_passes_by_messages_and_pauses_only(manager):
    library = manager().visalib
    assert library.bench_time_s() == 0
    library.bench_pause(2.5)
    assert library.bench_time_s() == 2.5


# -- benches ---------------------------------------------------------------------------------------


def test_the_demonstration_bench_is_what_the_bare_name_gives(manager):
    bare = manager("")
    assert bare.visalib.bench.truth == load_truth(None)
    assert set(bare.list_resources()) == set(manager().list_resources())


def test_a_file_is_opened_by_its_path(manager, tmp_path):
    path = write_file(tmp_path, demo(seed=11))
    bench = manager(f"{path}?physics=llg&realtime=2").visalib.bench
    assert (bench.truth.seed, bench.truth.physics, bench.clock.realtime) == (11, "llg", 2.0)
    assert manager(f"{path}?seed=12").visalib.bench.truth.seed == 12


def test_an_instance_name_is_a_bench_of_its_own_and_one_name_is_shared(manager):
    one, same, other = (manager(f"?instance={n}") for n in ("visa-1", "visa-1", "visa-2"))
    instrument(one, "x").write(":SOUR:VOLT 0.1")
    assert float(instrument(same, "x").query(":SOUR:VOLT?")) == 0.1
    assert float(instrument(other, "x").query(":SOUR:VOLT?")) == 0


def test_the_example_of_a_simulator_file_is_the_demonstration_bench():
    assert load_truth(ROOT / "examples" / "iris" / "sim.yaml") == load_truth(None)


def test_pymeasures_own_driver_reads_a_junction(manager):
    from pymeasure.instruments.keithley import Keithley2400

    bench = manager()
    instrument(bench, "switch").write(":CLOS (@1!1,1!21)")
    meter = Keithley2400("GPIB0::24::INSTR", visa_library=bench.visalib)
    meter.source_mode = "voltage"
    meter.source_voltage = 0.02
    meter.source_enabled = True
    assert meter.current == pytest.approx(0.02 / 13.3e3, rel=0.3)
    assert meter.check_errors() == []
    meter.adapter.close()


# -- one sentence for each mistake -----------------------------------------------------------------


def refusal(specification):
    with pytest.raises(TruthError) as caught:
        open_bench(str(specification))
    sentence = str(caught.value)
    assert "\n" not in sentence
    return sentence


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("sed=3", ["'sed'", "instance, physics, realtime, seed"]),
        ("seed=three", ["seed='three'"]),
        ("seed=-1", ["seed", "greater than or equal to 0"]),
        ("realtime=fast", ["realtime='fast'"]),
        ("realtime=0", ["realtime=0", "above 0"]),
        ("realtime=-2", ["realtime=-2", "above 0"]),
        ("realtime=nan", ["realtime=nan"]),
        ("realtime=inf", ["realtime=inf"]),
        ("physics=magic", ["physics", "'equilibrium' or 'llg'"]),
    ],
)
def test_a_wrong_option_is_named_in_one_sentence(options, words):
    sentence = refusal(f"?{options}")
    assert all(word in sentence for word in words)


def changed(path, value):
    """The demonstration bench with one place changed; None takes it away."""
    data = demo()
    *way, last = path
    at = data
    for key in way:
        at = at[key]
    if value is None:
        del at[last]
    else:
        at[last] = value
    return data


MISTAKES = {
    "junctions.layer.k_t": (("junctions", "layer", "k_t"), -1e-3, "greater than or equal to 0"),
    "junctions.layer.hz_t": (("junctions", "layer", "hz_t"), 0, "greater than 0"),
    "junctions.layer.kt": (("junctions", "layer", "kt"), 1, "Extra inputs"),
    "junctions.x.tmr": (("junctions", "x", "tmr"), "high", "valid number"),
    "junctions.channels": (("junctions", "channels"), None, "required"),
    "junctions.channels.J2.z": (("junctions", "channels", "J2", "z"), "1-12", "'1-12' is no relay"),
    "junctions.channels.J3.x": (("junctions", "channels", "J3", "x"), "1!41", "'1!41' is no relay"),
    "instruments.x.address": (("instruments", "x", "address"), "GPIB0", "no VISA address"),
    "instruments.z.model": (("instruments", "z", "model"), "keithley9", "keithley2400"),
    "instruments.z": (("instruments", "z", "address"), "GPIB::24::INSTR", "given twice"),
    "meter_x": (("meter_x",), "y", "no keithley2400 named 'y'"),
    "meter_z": (("meter_z",), "x", "is meter_x already"),
    "switch": (("switch",), "field", "no keithley7001 named 'field'"),
    "field_source": (("instruments", "field"), None, "no keithley6221 named 'field'"),
    "line_hz": (("line_hz",), 55, "50 or 60"),
}


@pytest.mark.parametrize("key", MISTAKES)
def test_a_mistake_in_the_file_is_one_sentence_with_file_and_key(tmp_path, key):
    path, value, why = MISTAKES[key]
    file = write_file(tmp_path, changed(path, value))
    sentence = refusal(file)
    assert sentence.startswith(f"{file}: {key}: ")
    assert why in sentence


@pytest.mark.parametrize(
    ("content", "why"),
    [("a: [1", "not a YAML file"), ("", "expected keys"), ("- 1", "expected keys")],
)
def test_a_file_that_is_no_description_says_so(tmp_path, content, why):
    file = write_file(tmp_path, content)
    assert refusal(file).startswith(f"{file}: {why}")


def test_a_missing_file_says_so(tmp_path):
    file = tmp_path / "none.yaml"
    assert refusal(file) == f"{file}: cannot be read (No such file or directory)"


def test_pyvisa_passes_the_sentence_on(tmp_path):
    with pytest.raises(ValueError, match="no option 'sed'"):
        pyvisa.ResourceManager("?sed=3@spinloop")


def test_the_library_says_what_it_is():
    assert "simulated bench" in SpinLoopVisaLibrary.get_debug_info()["Version"]
