"""Drivers of pymeasure, as they are."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from pymeasure.adapters import VISAAdapter
from pymeasure.instruments.keithley import (
    Keithley2182,
    Keithley2400,
    Keithley2450,
    Keithley6221,
)
from pymeasure.instruments.yokogawa import YokogawaGS200
from pyvisa.errors import VisaIOError

from conformance.trial import RANGE, Setting, Skip, Station, Trial, Values, ohms_law

LOAD_OHM = 10_000
LINE_OHM = 50.0
LOAD_GS_OHM = 1000
DEPRECATED = Skip("deprecated; the same message as another one")


def settable(instrument: Any, before: str = "") -> dict[str, Setting]:
    """Every property whose text says that it controls something."""
    return {
        before + name: Setting(
            partial(setattr, instrument, name), partial(getattr, instrument, name)
        )
        for name in dir(type(instrument))
        if isinstance(found := getattr(type(instrument), name), property)
        and found.fset is not None
        and (found.__doc__ or "").strip().startswith("Control")
    }


def adapter_at(station: Station) -> VISAAdapter:
    return VISAAdapter(station.address, visa_library=station.library, timeout=1000, **station.ends)


@contextmanager
def opened(trial: Trial, station: Station, driver: Any) -> Iterator[Any]:
    """Connect, and shut down and close at the end whatever happened."""
    with trial.step("connect", vital=True):
        adapter = adapter_at(station)
        instrument = driver(adapter)
        assert instrument.id.count(",") == 3
    try:
        if hasattr(instrument, "reset"):
            with trial.step("settings", "reset"):
                instrument.reset()
        with trial.step("snapshot"):
            silent = [name for name, setting in settable(instrument).items() if mute(name, setting)]
            assert not silent, f"no answer to {', '.join(silent)}"
        yield instrument
    finally:
        with trial.step("close"):
            instrument.shutdown()
            adapter.close()


#: what cannot be asked at all, whatever the instrument
UNASKABLE = {"standard_event_enabled"}


def mute(name: str, setting: Setting) -> bool:
    """Whether a setting cannot be read, though the driver asks for it."""
    if name in UNASKABLE:
        return False
    try:
        setting.get()
    except (KeyError, ValueError, VisaIOError):
        return True
    return False


# --- Keithley 2400 -------------------------------------------------------------------------------

VALUES_2400: dict[str, Any] = {
    "source_mode": ("current", "voltage"), "source_enabled": (True, False),
    "source_delay": (0.0, 0.5), "source_delay_auto_enabled": (False, True),
    "auto_zero_enabled": (False, True),
    "output_off_state": ("disconnected", "zero", "guard", "normal"),
    "auto_output_off_enabled": (True, False), "filter_enabled": (True, False),
    "repeat_filter_enabled": (False, True), "filter_count": (1, 100, 10),
    "current_range": Values((1e-6, 1e-5, 1e-4), RANGE),
    "current_range_auto_enabled": (False, True), "current_nplc": (0.01, 10, 1),
    "compliance_current": (1e-4, 1e-3), "source_current": (1e-5, 0.0),
    "source_current_range": Values((1e-6, 1e-2, 1e-4), RANGE),
    "source_current_range_auto_enabled": (False, True),
    "voltage_nplc": (0.1, 1), "compliance_voltage": (1.0, 20.0), "source_voltage": (0.5, 0.0),
    "source_voltage_range": Values((0.2, 20.0), RANGE),
    "source_voltage_range_auto_enabled": (False, True),
    "resistance_mode_auto_enabled": (False, True),
    "resistance_range": Values((210.0, 21_000.0), RANGE),
    "resistance_range_auto_enabled": (False, True), "resistance_nplc": (0.1, 1),
    "wires": (4, 2), "buffer_points": (2, 1000, 100),
    "trigger_count": (2, 1), "trigger_delay": (0.5, 0.0), "trigger_input_line": (4, 1),
    "trigger_output_line": (3, 2), "trigger_output_event": ("source", "none"),
    "trigger_source": ("trigger_link", "immediate"), "arm_count": (2, 1), "arm_input_line": (3, 1),
    "arm_output_line": (4, 2), "arm_output_event": ("trigger_enter", "none"),
    "arm_source": ("bus", "trigger_link", "immediate"), "arm_timer": (0.5, 0.1),
    "display_enabled": (False, True), "front_terminals_enabled": (False, True),
    "line_frequency": (60, 50), "line_frequency_auto_enabled": (False, True),
    "filter_state": DEPRECATED, "filter_type": DEPRECATED, "auto_zero": DEPRECATED,
    "auto_output_off": DEPRECATED, "source_delay_auto": DEPRECATED,
    "line_frequency_auto": DEPRECATED,
}  # fmt: skip


#: of what is measured while amperes are sourced: a range of what is sourced is the source's
CURRENT_2400 = {
    "voltage_range": Values((0.2, 20.0), RANGE), "voltage_range_auto_enabled": (False, True),
}  # fmt: skip


def keithley_2400(trial: Trial, station: Station) -> None:
    """Source volts, read amperes; take a buffer of readings."""
    with opened(trial, station, Keithley2400) as smu:
        _try(trial, smu, VALUES_2400, CURRENT_2400)
        with trial.step("settings", "source amperes"):
            smu.source_mode = "current"
        trial.settings(settable(smu), CURRENT_2400)
        with trial.step("sweep", "point by point"):
            smu.reset()
            smu.source_mode = "voltage"
            smu.compliance_current = 1e-3
            smu.enable_source()
            levels, currents = [-1.0, 0.5, 1.0], []
            for level in levels:
                smu.source_voltage = level
                currents.append(smu.current)
            ohms_law(levels, currents, LOAD_OHM)
        with trial.step("sweep", "measure_all"):
            every = smu.measure_all()
            assert abs(every["resistance"] / LOAD_OHM - 1) < 1e-3
        with trial.step("sweep", "amperes"):
            smu.source_mode = "current"
            smu.compliance_voltage = 5
            smu.source_current_range = 1e-4
            smu.enable_source()
            volts, levels = [], [-1e-4, 5e-5, 1e-4]
            for level in levels:
                smu.source_current = level
                volts.append(smu.voltage)
            ohms_law(volts, levels, LOAD_OHM)
            smu.source_current = 0
        with trial.step("ramp"):
            smu.source_mode = "voltage"
            smu.ramp_to_voltage(0.4, steps=5, pause=0)
            assert abs(smu.source_voltage - 0.4) < 1e-6
        with trial.step("sweep", "buffer"):
            smu.source_voltage = 1
            smu.enable_source()
            smu.config_buffer(10)
            smu.trigger_count = 10
            smu.start_buffer()
            smu.wait_for_buffer(timeout=5, interval=0)
            assert len(smu.buffer_data) == 50  # five elements each
            smu.disable_buffer()


# --- Keithley 2450 -------------------------------------------------------------------------------

VALUES_2450: dict[str, Any] = {
    "source_mode": ("current", "voltage"),
    "current_range": Values((1e-6, 1e-3, 1e-4), RANGE), "current_nplc": (0.01, 10, 1),
    "compliance_current": (1e-4, 1e-3), "source_current": (1e-5, 0.0),
    "source_current_range": Values((1e-6, 1e-2, 1e-4), RANGE), "source_current_delay": (0.5, 0.0),
    "source_current_delay_auto": (False, True), "voltage_range": Values((0.2, 20.0), RANGE),
    "voltage_nplc": (0.1, 1), "compliance_voltage": (1.0, 20.0), "source_voltage": (0.5, 0.0),
    "source_voltage_range": Values((0.2, 20.0), RANGE), "source_voltage_delay": (0.5, 0.0),
    "source_voltage_delay_auto": (False, True), "resistance_range": Values((200.0, 2e4), RANGE),
    "resistance_nplc": (0.1, 1), "wires": (4, 2), "buffer_points": (10, 1000),
    "current_filter_type": ("MOV", "REP"), "current_filter_count": (1, 100, 10),
    "current_filter_state": Skip("set in words, read as a number: the driver cannot compare"),
    "voltage_filter_type": ("MOV", "REP"), "voltage_filter_count": (1, 100, 10),
    "current_output_off_state": ("HIMP", "ZERO", "GUAR", "NORM"),
    "voltage_output_off_state": ("HIMP", "ZERO", "GUAR", "NORM"),
}  # fmt: skip


def keithley_2450(trial: Trial, station: Station) -> None:
    """Source volts, read amperes."""
    with opened(trial, station, Keithley2450) as smu:
        _try(trial, smu, VALUES_2450)
        with trial.step("sweep", "point by point"):
            smu.reset()
            smu.apply_voltage(compliance_current=1e-3)
            smu.measure_current()
            smu.enable_source()
            levels, currents = [-1.0, 0.5, 1.0], []
            for level in levels:
                smu.source_voltage = level
                currents.append(smu.current)
            ohms_law(levels, currents, LOAD_OHM)
        with trial.step("ramp"):
            smu.ramp_to_voltage(0.4, steps=5, pause=0)
            assert abs(smu.source_voltage - 0.4) < 1e-6


# --- Keithley 6221 -------------------------------------------------------------------------------

VALUES_6221: dict[str, Any] = {
    "source_enabled": (True, False), "shield_to_guard_enabled": (True, False),
    "source_delay": (0.5, 1e-3), "output_low_grounded": (False, True),
    "source_current": (-1e-3, 0.05, 0.0), "source_compliance": (0.1, 105, 10),
    "source_range": Values((2e-9, 2e-3, 0.1), RANGE), "source_auto_range": (True, False),
    "delta_unit": ("Ohms", "W", "Siemens", "V"), "delta_high_source": (1e-3, 1e-5),
    "delta_low_source": (-1e-3, -1e-5), "delta_delay": (0.5, 2e-3), "delta_cycles": (1, 10),
    "delta_measurement_sets": (1, 10, 1), "delta_compliance_abort_enabled": (True, False),
    "delta_cold_switch_enabled": (True, False), "delta_buffer_points": (1, 1000),
    "buffer_points": (2, 1000), "waveform_function": ("square", "ramp", "sine"),
    "waveform_frequency": (1e-3, 1e5, 1000), "waveform_amplitude": (0.105, 1e-3),
    "waveform_offset": (-1e-3, 0.0), "waveform_dutycycle": (1, 99, 50),
    "waveform_duration_time": (1e-3, 100), "waveform_duration_cycles": (1, 1e6),
    "waveform_ranging": ("fixed", "best"), "waveform_use_phasemarker": (True, False),
    "waveform_phasemarker_phase": (180, 0), "waveform_phasemarker_line": (6, 3),
    "display_enabled": (False, True), "measurement_event_enabled": (512, 0),
    "operation_event_enabled": (6, 0), "questionable_event_enabled": (16, 0),
    "srq_event_enabled": (16, 0),
    "standard_event_enabled": Skip("the driver sends ESE without its asterisk"),
}  # fmt: skip


def keithley_6221(trial: Trial, station: Station) -> None:
    """Source amperes into the field line."""
    with opened(trial, station, Keithley6221) as source:
        _try(trial, source, VALUES_6221)
        with trial.step("sweep", "levels"):
            source.reset()
            source.source_compliance = 10
            source.source_range = 0.1
            source.enable_source()
            for level in (-0.01, 0.005, 0.01):
                source.source_current = level
                assert abs(source.source_current - level) < 1e-9
        with trial.step("sweep", "waveform"):
            source.source_current = 0
            source.waveform_function = "sine"
            source.waveform_amplitude = 1e-3
            source.waveform_duration_time = 0.01
            source.waveform_arm()
            source.waveform_start()
            source.waveform_abort()
        with trial.step("ramp"):
            source.source_range = (
                0.1  # a waveform takes a range of its own, and turns the output off
            )
            source.enable_source()
            for level in (0.004, 0.002, 0.0):
                source.source_current = level
                assert abs(source.source_current - level) < 1e-9


# --- Keithley 2182 -------------------------------------------------------------------------------

VALUES_2182: dict[str, Any] = {
    "auto_zero_enabled": (False, True), "display_enabled": (False, True),
    "active_channel": (0, 2, 1), "channel_function": ("temperature", "voltage"),
    "voltage_nplc": (0.01, 5, 1), "thermocouple": ("B", "E", "J", "N", "R", "S", "T", "K"),
    "temperature_nplc": (0.01, 5, 1), "temperature_reference_junction": ("SIM", "INT"),
    "temperature_simulated_reference": (0, 60, 23), "trigger_count": (2, 9999, 1),
    "trigger_delay": (0.5, 0.0), "buffer_points": (2, 1000),
    "ch_1.voltage_range": Values((0.01, 10, 0.1, 1), 0.21),
    "ch_1.voltage_range_auto_enabled": (False, True), "ch_1.voltage_offset": (-1.0, 0.0),
    "ch_1.voltage_offset_enabled": (True, False), "ch_1.temperature_offset": (10.0, 0.0),
    "ch_1.temperature_offset_enabled": (True, False),
    "ch_2.voltage_range": Values((10, 0.1, 1), 0.21),
    "ch_2.voltage_range_auto_enabled": (False, True), "ch_2.voltage_offset": (-1.0, 0.0),
    "ch_2.voltage_offset_enabled": (True, False), "ch_2.temperature_offset": (10.0, 0.0),
    "ch_2.temperature_offset_enabled": (True, False),
}  # fmt: skip


def keithley_2182(trial: Trial, station: Station, source: Station) -> None:
    """Read the field line's voltage while a 6221 drives it."""
    with opened(trial, station, Keithley2182) as meter:
        parts = settable(meter)
        parts |= settable(meter.ch_1, "ch_1.") | settable(meter.ch_2, "ch_2.")
        trial.complete(parts, VALUES_2182)
        trial.settings(parts, VALUES_2182)
        with trial.step("sweep", "with a 6221"):
            meter.reset()
            meter.ch_1.setup_voltage(nplc=1)
            driver = Keithley6221(adapter_at(source))
            driver.source_compliance = 10
            driver.source_range = 0.1
            driver.enable_source()
            levels, volts = [-0.01, 0.002, 0.01], []
            for level in levels:
                driver.source_current = level
                volts.append(meter.voltage)
            driver.shutdown()
            # The line warms up a little: its resistance is no constant.
            ohms_law(volts, levels, LINE_OHM, relative=0.01)
        with trial.step("sweep", "buffer"):
            meter.trigger_immediately()
            meter.config_buffer(10)
            meter.trigger_count = 10
            meter.start_buffer()
            meter.wait_for_buffer(timeout=5, interval=0)
            assert len(meter.buffer_data) == 10
            assert abs(meter.mean) < 1e-3
            meter.disable_buffer()


# --- Yokogawa GS200 ------------------------------------------------------------------------------

VALUES_GS200: dict[str, Any] = {
    "source_enabled": (True, False), "source_mode": ("current", "voltage"),
    "source_range": (0.01, 0.1, 1, 30, 10), "source_level": (-5.0, 12.0, 0.0),
    "voltage_limit": (1, 30), "current_limit": (1e-3, 0.2),
}  # fmt: skip


def yokogawa_gs200(trial: Trial, station: Station, meter: Station) -> None:
    """Source volts into a resistor whose voltage a 2182A reads; ramp by a program."""
    with opened(trial, station, YokogawaGS200) as source:
        _try(trial, source, VALUES_GS200)
        with trial.step("sweep", "with a 2182A"):
            volt = Keithley2182(adapter_at(meter))
            volt.ch_2.setup_voltage(nplc=1)
            source.source_range = 10
            source.source_level = 0
            source.source_enabled = True
            levels, volts = [-8.0, 2.0, 8.0], []
            for level in levels:
                source.source_level = level
                volts.append(volt.voltage)
            ohms_law(volts, [level / LOAD_GS_OHM for level in levels], LOAD_GS_OHM)
        with trial.step("ramp"):
            source.trigger_ramp_to_level(1.0, 0.2)
            for _ in range(1000):  # the program takes its bench time
                if abs(source.source_level - 1.0) < 1e-6:
                    break
                volt.voltage  # noqa: B018 - a reading takes time
                time.sleep(0)
            assert abs(source.source_level - 1.0) < 1e-6, f"at {source.source_level} V"
        with trial.step("settings", "output off"):
            source.source_level = 0
            source.source_enabled = False


def _try(trial: Trial, instrument: Any, values: dict[str, Any], *others: dict[str, Any]) -> None:
    """Set the values, now; ``others`` come later."""
    parts = settable(instrument)
    trial.complete(parts, values, *others)
    trial.settings(parts, values)
