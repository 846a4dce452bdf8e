"""What the drivers measure on the simulated bench: sweeps of their own, status bits, pulses,
temperatures; and pymeasure's properties, made strict."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymeasure.instruments.validators import truncated_discrete_set, truncated_range

from instruments import InstrumentError, LimitError, SweepVoidError, roles
from instruments.drivers import DRIVERS, find_driver, roles_of, unit_of
from instruments.drivers._platinum import HIGHEST_C, LOWEST_C, celsius, ratio
from instruments.drivers._readings import (
    Status2400,
    decode,
    loaded_levels,
    read_buffer,
    readings,
)
from tests.instrument_bench import OneInstrument

METER = {"compliance_a": 15e-6, "nplc": 1, "trigger_in": 1, "trigger_out": 2, "delay_s": 0.0}
NAN, OVERFLOW = 9.91e37, 9.9e37


def _load(ohm: float, at: str = "x") -> dict[str, Any]:
    """A resistor from an output to earth, whatever the relays do."""
    return {
        "devices": {"load": {"kind": "resistor", "ohm": ohm}},
        "wires": [[f"{at}.hi", "load.a"], ["load.b", "earth"]],
    }


def _tell(one: OneInstrument, name: str, *messages: str) -> None:
    """What somebody else says to another instrument of the simulated bench."""
    for message in messages:
        one.sim.write(one.sim.by_name[name], message)


# -- 2400 ----------------------------------------------------------------------------------------


def test_a_2400_sweeps_as_many_levels_as_it_holds(tmp_path: Path) -> None:
    one = OneInstrument.simulated("keithley2400", tmp_path, read_noise_a=0.0, **_load(10_000.0))
    one.driver.prepare(**METER)
    one.driver.set_voltage(0.01)
    levels = np.linspace(-0.1, 0.1, 2500)
    found = one.driver.sweep(levels.tolist(), 200.0)
    assert found.valid.all() and not found.compliance.any()
    assert found.current_a == pytest.approx(levels / 10_000.0, abs=2e-10)
    assert one.driver.read_level() == 0.01  # as it was
    assert one.model.state["v_mode"] == "FIX" and one.model.state["trigger_source"] == "TLIN"
    with pytest.raises(InstrumentError, match="number of readings"):
        one.driver.sweep([0.0] * 2501, 200.0)
    with pytest.raises(InstrumentError, match="300 mV is beyond"):
        one.driver.sweep([0.0, 0.3], 10.0)
    one.close()


def test_a_2400_says_which_readings_its_compliance_has_held_back(tmp_path: Path) -> None:
    """100 mV over 5 kohm are 20 uA; the compliance is 15 uA."""
    one = OneInstrument.simulated("keithley2400", tmp_path, **_load(5_000.0))
    one.driver.prepare(**METER)
    found = one.driver.sweep([0.02, 0.1, -0.1, 0.05], 10.0)
    assert found.compliance.tolist() == [False, True, True, False]
    assert found.valid.tolist() == [True, False, False, True]
    assert all(Status2400.CURRENT_MEASURED & int(word) for word in found.status)
    one.close()


def test_a_sweep_that_fails_leaves_the_meter_on_its_trigger_link(tmp_path: Path) -> None:
    one = OneInstrument.simulated("keithley2400", tmp_path, **_load(10_000.0))
    one.driver.prepare(**METER)
    fetch = one.driver.fetch
    one.driver.fetch = lambda points: fetch(points + 1)
    with pytest.raises(SweepVoidError):
        one.driver.sweep([0.0, 0.01], 10.0)
    assert one.model.state["v_mode"] == "FIX" and one.model.state["v_level"] == 0
    one.close()


def _word(*values: float) -> bytes:
    return b"#0" + np.array(values, dtype="<f4").tobytes()


def test_status_words_are_decoded_bit_by_bit() -> None:
    good = float(Status2400.CURRENT_MEASURED | Status2400.VOLT_SOURCED | Status2400.FRONT)
    found = read_buffer(
        _word(
            1e-6, good, 1e-6, good + Status2400.COMPLIANCE, OVERFLOW, good + Status2400.OVERFLOW,
            OVERFLOW, good, -OVERFLOW, good, NAN, good, 1e-6, good + Status2400.RANGE_COMPLIANCE,
            1e-6, good + Status2400.FILTER,
        )
    )  # fmt: skip
    assert found.compliance.tolist() == [False, True, False, False, False, False, True, False]
    assert found.overflow.tolist() == [False, False, True, True, True, False, False, False]
    assert found.valid.tolist() == [True, False, False, False, False, False, False, True]


@given(st.binary(max_size=64).map(lambda raw: raw[: len(raw) // 8 * 8]))
def test_no_reply_of_whole_readings_breaks_the_decoding(raw: bytes) -> None:
    found = read_buffer(b"#0" + raw)
    assert len(found.valid) == len(raw) // 8
    assert not (found.valid & (found.compliance | found.overflow)).any()
    assert np.isfinite(found.current_a[found.valid]).all()


@given(st.integers(0, 2**24 - 1))
def test_a_reading_is_valid_only_without_any_bit_that_says_otherwise(word: int) -> None:
    found = decode(np.array([1e-6]), np.array([word]), 0b1000, 0b1)
    assert found.valid[0] == (word & 0b1001 == 0)


def test_a_transcript_gives_the_list_and_the_readings_back() -> None:
    loaded: list[float] = [7.0]
    for sent in (":SOUR:LIST:CURR 0.001,-2e-3", ":SOUR:CURR 0", ":SOUR:LIST:CURR:APP 3E-3"):
        loaded = loaded_levels(sent, loaded) or loaded
    assert loaded == [1e-3, -2e-3, 3e-3]
    assert loaded_levels(":SOUR:LIST:DEL 1", loaded) is None
    assert readings(":TRAC:POIN:ACT?", b"3") is None and readings(":TRAC:DATA?", None) is None
    found = readings(":TRAC:DATA?", _word(1e-6, 0.0))
    assert found is not None and found.current_a == pytest.approx([1e-6])


# -- 2450 ----------------------------------------------------------------------------------------


def test_a_2450_reads_its_buffer_in_doubles_with_their_status(tmp_path: Path) -> None:
    """1 kohm at its front."""
    one = OneInstrument.simulated("keithley2450", tmp_path)
    one.driver.prepare(largest=1.0, compliance=1e-3)
    one.driver.set_level(0.5)
    found = one.driver.read(7)
    assert found.valid.tolist() == [True] * 7
    assert found.current_a == pytest.approx([0.5e-3] * 7, rel=1e-4)
    assert not one.driver.limited()
    one.driver.set_level(1.2)
    assert one.driver.limited()
    assert one.driver.read().compliance.tolist() == [True]
    one.close()


def test_a_2450_sweeps_a_list_and_ends_off_at_zero(tmp_path: Path) -> None:
    one = OneInstrument.simulated("keithley2450", tmp_path)
    one.driver.prepare(largest=1.0, compliance=1e-3)
    levels = np.linspace(-0.8, 1.1, 151)
    found = one.driver.sweep(levels.tolist())
    held = levels > 1.0 + 1e-6
    assert found.compliance.tolist() == held.tolist()
    assert found.current_a[~held] == pytest.approx(levels[~held] / 1e3, abs=1e-7)
    assert one.model.state["output"] is False and one.model.state["volt_level"] == 0
    with pytest.raises(InstrumentError, match=r"2\.2 V is beyond"):
        one.driver.sweep([2.2])
    one.close()


def test_a_2450_that_speaks_another_language_is_refused(tmp_path: Path) -> None:
    one = OneInstrument.simulated("keithley2450", tmp_path)
    _tell(one, "smu", "*LANG TSP")
    with pytest.raises(InstrumentError, match="speaks TSP; choose SCPI"):
        one.driver.prepare(largest=1.0, compliance=1e-3)
    one.close()


def test_a_2450_starts_nothing_that_somebody_else_has_loaded(tmp_path: Path) -> None:
    """A sweep to 200 V waits in it; the list that we know is another one."""
    one = OneInstrument.simulated("keithley2450", tmp_path)
    one.driver.prepare(largest=1.0, compliance=1e-3)
    one.link.write(":SOUR:LIST:VOLT 0,0.1,0")
    _tell(one, "smu", ":SOUR:SWE:VOLT:LIN 0,200,11")
    with pytest.raises(LimitError, match="has not been armed"):
        one.link.write(":INIT")
    one.close()


# -- GS200 ---------------------------------------------------------------------------------------


def test_a_gs200_says_when_its_limiter_holds_it(tmp_path: Path) -> None:
    load = _load(1_000.0, "gs")
    load["wires"] += [["gs.lo", "earth"]]
    one = OneInstrument.simulated("yokogawags200", tmp_path, **load)
    one.driver.prepare(largest=0.01, compliance=2.9)
    one.driver.set_level(1.9e-3)
    assert not one.driver.limited()
    one.driver.set_level(2.1e-3)  # 2.1 V, and the limiter stands at 2 V
    assert one.driver.limited()
    one.close()


def _polarizer(folder: Path) -> OneInstrument:
    return OneInstrument.simulated(
        "yokogawags200_volt", folder,
        devices={"turner": {"kind": "polarizer", "turns": {"J1": "z"}, "scatter_rad": 0.0}},
        wires=[["gs.hi", "turner.a"], ["gs.lo", "turner.b"], ["turner.b", "earth"]],
    )  # fmt: skip


def test_pulses_of_either_sign_turn_a_polarizer_there_and_back(tmp_path: Path) -> None:
    one = _polarizer(tmp_path)
    turner = one.sim.plant.devices["turner"]
    one.driver.prepare(largest=1.0, compliance=0.01)
    for level, angle in ((1.0, np.pi / 2), (-1.0, 0.0)):
        one.driver.pulse(level, 5e-3, one.transport.pause)
        assert turner.angle_rad == pytest.approx(angle)
        assert one.driver.read_level() == 0
    assert turner.pulses == 2 and not turner.burnt
    one.close()


def test_a_pulse_ends_at_zero_whatever_happens_in_it(tmp_path: Path) -> None:
    one = _polarizer(tmp_path)
    one.driver.prepare(largest=1.0, compliance=0.01)

    def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        one.driver.pulse(1.0, 1.0, interrupted)
    assert one.driver.read_level() == 0
    with pytest.raises(InstrumentError, match="beyond the 1 V range"):
        one.driver.pulse(2.0, 1.0, one.transport.pause)
    one.close()


# -- 2182A ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 1024])
def test_a_2182a_reads_as_many_as_its_buffer_holds(count: int, tmp_path: Path) -> None:
    one = OneInstrument.simulated("keithley2182a", tmp_path)
    _tell(one, "smu", ":SOUR:VOLT 0.05;:OUTP ON")
    one.driver.prepare(range_v=0.1, nplc=0.1)
    found = one.driver.read(count)
    assert len(found.volt) == count and found.valid.all()
    assert found.volt == pytest.approx([0.05] * count, abs=1e-6)
    with pytest.raises(InstrumentError, match="number of readings"):
        one.driver.read(1025)
    one.close()


def test_a_2182a_says_which_readings_are_above_its_range(tmp_path: Path) -> None:
    one = OneInstrument.simulated("keithley2182a", tmp_path)
    _tell(one, "smu", ":SOUR:VOLT:ILIM 0.01;:SOUR:VOLT 0.5;:OUTP ON")
    one.driver.prepare(range_v=0.1, nplc=0.1)
    found = one.driver.read(3)
    assert found.overflow.all() and not found.valid.any()
    one.driver.prepare_temperature(sensor="pt1000", excitation_a=1e-6, nplc=0.1)
    with pytest.raises(InstrumentError, match="beyond the meter's range"):
        one.driver.temperature_k()
    one.close()


def test_a_platinum_resistor_and_a_2182a_are_a_thermometer(tmp_path: Path) -> None:
    one = OneInstrument.simulated(
        "keithley2182a", tmp_path,
        devices={"pt": {"kind": "thermometer", "chuck_c": 26.85}},
        wires=[
            ["gs.hi", "pt.a"], ["gs.lo", "pt.b"], ["pt.b", "earth"],
            ["nvm.ch1_hi", "pt.a"], ["nvm.ch1_lo", "pt.b"],
        ],
    )  # fmt: skip
    _tell(one, "gs", ":SOUR:FUNC CURR;:SOUR:RANG 1E-3;:SOUR:LEV 1E-4;:OUTP ON")
    one.driver.prepare_temperature(sensor="PT1000", excitation_a=1e-4)
    assert one.driver.temperature_k() == pytest.approx(300.0, abs=0.01)
    _tell(one, "gs", ":OUTP OFF")
    with pytest.raises(InstrumentError, match="no temperature of the platinum"):
        one.driver.temperature_k()
    one.close()


def test_a_thermocouple_without_a_voltage_is_as_warm_as_the_meter(tmp_path: Path) -> None:
    one = OneInstrument.simulated("keithley2182a", tmp_path)
    assert one.driver.temperature_k() == pytest.approx(296.15, abs=0.01)  # type K
    one.driver.prepare_temperature(sensor="s", nplc=1)
    assert one.driver.temperature_k() == pytest.approx(296.15, abs=0.01)
    assert one.model.state["thermocouple"] == "S"
    for wrong, why in (("pt500", "is not known; give one of"), ("pt100", "needs the current")):
        with pytest.raises(InstrumentError, match=why):
            one.driver.prepare_temperature(sensor=wrong)
    one.close()


@given(st.floats(LOWEST_C, HIGHEST_C))
def test_platinum_goes_there_and_back(kelvin: float) -> None:
    assert celsius(ratio(kelvin)) == pytest.approx(kelvin, abs=1e-5)


def test_platinum_has_the_standard_s_values_and_an_end() -> None:
    """IEC 60751: 138.51 ohm at 100, 60.26 ohm at -100 degC of a Pt100."""
    assert [ratio(100.0), ratio(-100.0)] == pytest.approx([1.3851, 0.6026], abs=5e-5)
    assert celsius(0.1) is None and celsius(4.0) is None


# -- all of them ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", DRIVERS)
def test_no_property_of_pymeasure_clips_or_loses_digits(name: str) -> None:
    driver = find_driver(name)[0]
    for key in dir(driver):
        one = inspect.getattr_static(driver, key)
        if not isinstance(one, property) or one.fset is None:
            continue
        given = {p.name: p.default for p in inspect.signature(one.fset).parameters.values()}
        assert given.get("validator") not in (truncated_range, truncated_discrete_set), key
        assert "%g" not in str(given.get("set_command", "")), key


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("keithley6221", "source_current", 0.2),  # pymeasure alone sends 0.105
        ("keithley2400", "buffer_points", 2501),  # and here 1024
        ("keithley2450", "source_voltage_range", 300.0),
        ("yokogawags200", "voltage_limit", 40.0),
        ("keithley2182a", "voltage_nplc", 100.0),
    ],
)
def test_what_pymeasure_would_clip_is_refused_and_nothing_is_sent(
    name: str, key: str, value: float, tmp_path: Path
) -> None:
    one = OneInstrument.simulated(name, tmp_path)
    with pytest.raises(ValueError, match="not in"):
        setattr(one.driver, key, value)
    assert one.log.sent == []
    one.close()


def test_a_property_of_pymeasure_sends_nine_digits_as_one_job_through_the_limits(
    tmp_path: Path,
) -> None:
    one = OneInstrument.simulated("keithley2182a", tmp_path)
    one.driver.ch_1.voltage_range = 0.1
    one.driver.voltage_nplc = 1.2345678
    assert one.log.sent[-1] == ":SENS:VOLT:NPLC 1.2345678"
    assert one.driver.voltage_nplc == pytest.approx(1.2345678)
    one.close()


@pytest.mark.parametrize("key", ["voltage", "current", "resistance"])
def test_a_reading_of_pymeasure_s_that_energises_is_refused(key: str, tmp_path: Path) -> None:
    """It sends :MEASURE:…?, which switches the output on."""
    one = OneInstrument.simulated("keithley2400", tmp_path)
    before = one.state()
    with pytest.raises(LimitError, match="not on the allow-list"):
        getattr(one.driver, key)
    assert one.state() == before
    one.close()


_PROTOCOLS: dict[str, tuple[Any, ...]] = {
    "field": (roles.CurrentSource,),
    "x": (roles.SourceMeter,),
    "z": (roles.SourceMeter,),
    "switch": (roles.Switch,),
    "bias": (roles.BiasField,),
    "polarizer": (roles.Polarizer,),
    "thermometer": (roles.Thermometer, roles.Voltmeter),
}


def _arguments(method: Callable[..., Any]) -> list[str]:
    return list(inspect.signature(method).parameters)


@pytest.mark.parametrize("name", DRIVERS)
def test_a_driver_has_what_its_roles_ask_for(name: str) -> None:
    driver = find_driver(name)[0]
    assert roles_of(name) <= _PROTOCOLS.keys()
    for protocol in {one for role in roles_of(name) for one in _PROTOCOLS[role]}:
        for base in protocol.__mro__:
            for key in getattr(base, "__annotations__", {}):
                assert hasattr(driver, key), (protocol, key)
            for key, asked in vars(base).items():
                if inspect.isfunction(asked) and not key.startswith("_"):
                    has = getattr(driver, key)
                    needed = [one for one in _arguments(asked) if one != "self"]
                    given = [one for one in _arguments(has) if one != "self"]
                    assert given[: len(needed)] == needed, (protocol, key)
    sources = bool(roles_of(name) & {"field", "x", "z", "bias", "polarizer"})
    assert (unit_of(name) != "") is sources is driver.allowed.sources


def test_a_meter_without_a_trigger_link_is_none_of_a_sweep() -> None:
    assert not roles_of("keithley2450") & {"x", "z"}


def test_roles_are_known_without_loading_a_driver() -> None:
    program = (
        "import sys; from instruments.drivers import DRIVERS, roles_of, unit_of; "
        "[roles_of(one) and unit_of(one) for one in DRIVERS]; sys.exit('pymeasure' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
