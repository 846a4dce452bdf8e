"""Drivers of QCoDeS, as they are."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any

import pyvisa
from qcodes.instrument_drivers.Keithley import Keithley2400, Keithley2450
from qcodes.instrument_drivers.yokogawa import YokogawaGS200
from qcodes.utils import NumpyJSONEncoder

from conformance.trial import RANGE, Setting, Skip, Station, Trial, Values, ohms_law


def settable(module: Any, before: str = "") -> dict[str, Setting]:
    """Everything of a driver and its submodules that can be set and asked for."""
    found = {
        before + name: Setting(parameter.set, parameter.get)
        for name, parameter in module.parameters.items()
        if parameter.settable and parameter.gettable and name != "timeout"
    }
    for name, part in module.submodules.items():
        found |= settable(part, f"{before}{name}.")
    return found


@contextmanager
def opened(trial: Trial, station: Station, driver: Any) -> Iterator[Any]:
    """Connect, and close at the end whatever happened."""
    with trial.step("connect", vital=True), redirect_stdout(io.StringIO()):  # it prints a greeting
        instrument = driver(
            trial.driver.split()[-1], station.address, visalib=station.library, timeout=1
        )
        assert instrument.get_idn()["model"], "no model in its identity"
    try:
        yield instrument
    finally:
        with trial.step("close"):
            instrument.close()


def take_snapshot(trial: Trial, instrument: Any) -> None:
    """Ask for everything, as QCoDeS does at the start of a measurement."""
    with trial.step("snapshot"):
        snapshot = instrument.snapshot(update=True)
        json.dumps(snapshot, cls=NumpyJSONEncoder)
        assert len(snapshot["parameters"]) > 1


# --- Keithley 2400 -------------------------------------------------------------------------------

VOLT_2400 = {
    "mode": ("CURR", "VOLT"), "sense": Values(("VOLT:DC", "CURR:DC")),
    "output": (True, False), "rangev": Values((0.2, 2.0, 20.0), RANGE),
    "compliancei": (1e-4, 1e-3), "nplcv": (0.1, 10, 1), "nplci": (0.01, 1),
    "volt": Skip("its get is a reading: see the sweep"),
    "curr": Skip("its get is a reading: see the sweep"),
}  # fmt: skip
CURR_2400 = {"rangei": Values((1e-5, 1e-4, 1e-3), RANGE), "compliancev": (1.0, 20.0)}
LOAD_X_OHM = LOAD_SMU_OHM = 10_000
LOAD_GS_OHM = 1000


def keithley_2400(trial: Trial, station: Station) -> None:
    """Source volts and read amperes, then the other way round."""
    with opened(trial, station, Keithley2400) as smu:
        with trial.step("settings", "reset"):
            smu.reset()
            smu.write(":TRIG:COUN 1;:FORM:ELEM VOLT,CURR")  # as its constructor does
        parts = settable(smu)
        trial.complete(parts, VOLT_2400, CURR_2400)
        trial.settings(parts, VOLT_2400)
        take_snapshot(trial, smu)
        with trial.step("sweep", "volts"):
            smu.mode("VOLT")
            smu.rangev(2)
            smu.compliancei(1e-3)
            smu.output(True)
            levels = [-1.0, -0.5, 0.0, 0.5, 1.0]
            volts, amperes = [], []
            for level in levels:
                smu.volt(level)
                volts.append(smu.volt())
                amperes.append(smu.curr())
            ohms_law(volts, amperes, LOAD_X_OHM)
        with trial.step("sweep", "resistance"):
            smu.volt(1.0)
            assert abs(smu.resistance() / LOAD_X_OHM - 1) < 1e-3
        with trial.step("ramp"):
            smu.volt.step, smu.volt.inter_delay = 0.25, 0
            smu.volt(0.0)
            smu.volt.step = 0
            assert abs(smu.curr()) < 1e-7
        with trial.step("sweep", "output off"):
            smu.output(False)
        with trial.step("settings", "source amperes"):
            smu.mode("CURR")
        trial.settings(parts, CURR_2400)
        with trial.step("sweep", "amperes"):
            smu.rangei(1e-4)
            smu.compliancev(5)
            smu.curr(0)
            smu.output(True)
            volts, amperes = [], []
            for level in (-1e-4, 0.0, 5e-5, 1e-4):
                smu.curr(level)
                volts.append(smu.volt())
                amperes.append(smu.curr())
            ohms_law(volts, amperes, LOAD_X_OHM)
            smu.curr(0)
            smu.output(False)


# --- Keithley 2450 -------------------------------------------------------------------------------


def _source(name: str, ranges: Any, levels: Any, limits: Any) -> dict[str, Any]:
    at = f"_source_{name}."
    return {
        at + "range": Values(ranges, RANGE), at + "auto_range": (True, False), at + "limit": limits,
        at + name: levels, at + "delay": Values((0.0, 0.01)), at + "user_number": (1, 5),
        at + "user_delay": (0.0, 0.5), at + "auto_delay": (False, True),
        at + "read_back_enabled": (False, True), at + "block_during_ramp": (True, False),
    }  # fmt: skip


def _sense(name: str, ranges: Any) -> dict[str, Any]:
    at = f"_sense_{name}."
    return {
        at + "four_wire_measurement": (True, False), at + "range": Values(ranges, RANGE),
        at + "auto_range": (False, True), at + "nplc": (0.01, 10, 1), at + "user_number": (1, 5),
        at + "user_delay": (0.0, 0.5), at + "auto_zero_enabled": (False, True),
        at + "count": (3, 1),
    }  # fmt: skip


VALUES_2450 = {
    "sense_function": ("voltage", "resistance", "current"),
    "source_function": ("current", "voltage"), "terminals": ("rear", "front"),
    "output_enabled": (True, False), "buffer_name": "defbuffer1",
    **_source("current", (1e-4, 1e-2), (0.0, 5e-3, 0.0), (5.0, 21.0)),
    **_source("voltage", (0.2, 2.0, 20.0), (0.1, 1.0, 0.0), (1e-4, 1e-3)),
    **_sense("current", (1e-5, 1e-3)), **_sense("voltage", (0.2, 20.0)),
    **_sense("resistance", (200.0, 20_000.0)),
    "_buffer_defbuffer1.size": (1000, 100_000),
    "_buffer_defbuffer1.elements": Skip("kept in the driver alone"),
}  # fmt: skip


def keithley_2450(trial: Trial, station: Station) -> None:
    """Source volts, read amperes point by point and by the instrument's own sweep."""
    with opened(trial, station, Keithley2450) as smu:
        with trial.step("settings", "reset"):
            smu.reset()
        parts = settable(smu)
        trial.complete(parts, VALUES_2450)
        trial.settings(parts, VALUES_2450)
        take_snapshot(trial, smu)
        with trial.step("sweep", "point by point"):
            smu.reset()
            smu.source_function("voltage")
            smu.sense_function("current")
            smu.source.range(2)
            smu.source.limit(1e-3)
            smu.output_enabled(True)
            levels, currents = [-1.0, 0.5, 1.0], []
            for level in levels:
                smu.source.voltage(level)
                currents.append(smu.sense.current())
            ohms_law(levels, currents, LOAD_SMU_OHM)
        with trial.step("sweep", "by the instrument"):
            smu.sense.clear_trace()
            smu.source.sweep_setup(0.1, 1.0, 10)
            smu.sense.sweep.setpoints = (smu.source.sweep_axis,)
            currents = smu.sense.sweep()
            ohms_law(smu.source.get_sweep_axis(), currents, LOAD_SMU_OHM)
        with trial.step("sweep", "a buffer of its own"):
            smu.output_enabled(True)  # a sweep of its own ends with the output off
            smu.source.voltage(1.0)
            with smu.buffer("mine", 100) as buffer:
                buffer.elements(["time", "measurement", "source_value"])
                smu.sense.current()
                assert buffer.number_of_readings() == 1
                assert len(buffer.get_data(1, 1)) == 3
                buffer.clear_buffer()
        with trial.step("ramp"):
            smu.source.block_during_ramp(True)
            smu.source.voltage.step, smu.source.voltage.inter_delay = 0.25, 0
            smu.source.voltage(0.0)
            assert abs(smu.sense.current()) < 1e-7
        with trial.step("settings", "output off"):
            smu.output_enabled(False)


# --- Yokogawa GS200 ------------------------------------------------------------------------------

VOLT_GS200 = {
    "voltage_range": (10e-3, 100e-3, 1.0, 30.0, 10.0), "voltage": (-5.0, 5.0, 0.0),
    "range": (1.0, 10.0), "output_level": (1.0, 0.0), "auto_range": (True, False),
    "output": ("on", "off"), "voltage_limit": (1, 30), "current_limit": (1e-3, 0.2),
    "four_wire": ("on", "off"), "guard": ("on", "off"), "BNC_in": ("output", "trigger"),
    "BNC_out": ("trigger", "output", "ready"), "ramp_mode": ("SOFTWARE", "JUMP"),
    "ramp_blocking": (True, False), "ramp_rate": 0.5, "ramp_step": (0.1, 0),
    "program.interval": (0.1, 3600.0), "program.slope": (0.0, 0.1), "program.repeat": ("ON", "OFF"),
    "program.save": Skip("kept in the driver alone: see the ramp"),
    "program.count": Skip("needs a program: see the ramp"),
    "program.load": Skip("needs a stored program: see the ramp"),
    "source_mode": ("CURR", "VOLT"),
}  # fmt: skip
#: of a GS200 with the option /MON alone
MONITOR_GS200 = {
    "measure.enabled": ("on", "off"), "measure.NPLC": (1, 25), "measure.delay": (0, 999),
    "measure.trigger": ("TIM", "IMM", "COMMUNICATE", "READ"), "measure.interval": (0.1, 10.0),
    "program.trigger": ("mend", "normal"),
}  # fmt: skip
CURR_GS200 = {
    "current_range": (1e-3, 10e-3, 200e-3, 100e-3), "current": (-0.05, 0.05, 0.0),
}  # fmt: skip


def yokogawa_gs200(trial: Trial, station: Station, meter: Station) -> None:
    """Source volts and amperes into a resistor whose voltage a 2182A reads; ramp in three ways."""
    with opened(trial, station, YokogawaGS200) as source, reader(meter) as volts_at_load:
        with trial.step("settings", "reset"):
            source.output("off")
            source.source_mode("VOLT")  # the driver does not notice what a reset changes
            source.reset()
        parts = settable(source)
        monitor = MONITOR_GS200 if source.measure.present else {}
        trial.complete(parts, VOLT_GS200, CURR_GS200, monitor)
        trial.settings(parts, VOLT_GS200 | monitor)
        take_snapshot(trial, source)
        with trial.step("sweep", "volts"):
            source.voltage_range(10)
            source.voltage(0)
            source.output("on")
            levels, volts = [-8.0, -2.0, 2.0, 8.0], []
            for level in levels:
                source.voltage(level)
                volts.append(volts_at_load())
            ohms_law(volts, [level / LOAD_GS_OHM for level in levels], LOAD_GS_OHM)
        for mode, target in (("JUMP", 0.0), ("SOFTWARE", 1.0), ("HARDWARE", 3.0)):
            with trial.step("ramp", mode):
                source.ramp_mode(mode)
                source.ramp_rate(100.0)
                source.ramp_step(0.2)
                source.ramp_blocking(True)
                source.voltage(target)
                assert abs(volts_at_load() - target) < 0.01, f"at {source.voltage()} V"
        with trial.step("ramp", "program"):
            source.ramp_mode("JUMP")
            source.program.start()
            for level in (1.0, 2.0, 0.0):
                source.voltage(level)
            source.program.end()
            source.program.interval(0.1)
            source.program.slope(0.1)
            source.program.count(2)
            assert source.program.count() == 2
            source.program.save("prog.csv")
            source.program.load("prog.csv")
        with trial.step("settings", "output off, source amperes"):
            source.voltage(0)
            source.output("off")
            source.source_mode("CURR")
        trial.settings(parts, CURR_GS200)
        with trial.step("sweep", "amperes"):
            source.current_range(10e-3)
            source.voltage_limit(30)
            source.output("on")
            levels, volts = [-5e-3, 2e-3, 5e-3], []
            for level in levels:
                source.current(level)
                volts.append(volts_at_load())
            ohms_law(volts, levels, LOAD_GS_OHM)
            source.current(0)
            source.output("off")


@contextmanager
def reader(meter: Station) -> Iterator[Callable[[], float]]:
    """Readings of a 2182A's channel 2, V, by plain SCPI: QCoDeS has no driver for it."""
    manager: Any = pyvisa.ResourceManager(meter.library)
    session = manager.open_resource(meter.address, **meter.ends)
    session.write("*RST;:SENS:FUNC 'VOLT';:SENS:CHAN 2;:SENS:VOLT:NPLC 1")
    session.write(":INIT:CONT OFF;:TRIG:SOUR IMM;:TRIG:COUN 1")
    try:
        yield lambda: float(session.query(":READ?"))
    finally:
        session.close()
