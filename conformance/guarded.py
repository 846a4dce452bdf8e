"""Drivers of QCoDeS, as they are, through the limits of a bench."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyvisa
from qcodes.instrument_drivers.Keithley import Keithley2400
from qcodes.instrument_drivers.yokogawa import YokogawaGS200

from conformance.places import error_queue
from conformance.qcodes_drivers import opened
from conformance.trial import Station, Trial

BENCH = Path(__file__).with_name("bench.yaml")
LIBRARY = f"{BENCH}@spinloop_guarded"
#: instruments of ``bench.yaml``, by role
ADDRESSES = {"x": "GPIB0::24::INSTR", "z": "GPIB0::25::INSTR", "bias": "GPIB0::2::INSTR",
             "switch": "GPIB0::7::INSTR"}  # fmt: skip
VOLTAGE_V, BIAS_A, ROOM = 0.1, 0.05, 1 + 1e-6  # limits of ``bench.yaml``


def station(role: str) -> Station:
    """An instrument of the bench, behind the limits."""
    return Station(LIBRARY, ADDRESSES[role], error_queue(LIBRARY, ADDRESSES[role]))


class Watched:
    """What the devices behind the limits have seen at most."""

    def __init__(self) -> None:
        self._manager: Any = pyvisa.ResourceManager(LIBRARY)
        self.sim: Any = self._manager.visalib.bench._keep.visalib.bench
        self.junction_v = self.coil_a = 0.0
        plant = self.sim.plant
        run, touch = plant.run, self.sim.touch

        def look(*arguments: Any) -> Any:
            seen, now = run(*arguments), plant.solution
            for volt in plant.junctions[0].volts(now).values():
                self.junction_v = max(self.junction_v, float(np.abs(volt).max()))
            coil = now.current(plant.devices["coil"]._coil)
            self.coil_a = max(self.coil_a, float(np.abs(coil).max()))
            return seen

        plant.run = look
        self.sim.touch = lambda **_: touch(always=True)

    def say(self, role: str, *messages: str) -> None:
        """Messages of the person who uses the driver."""
        session = self._manager.open_resource(ADDRESSES[role])
        for message in messages:
            session.write(message)
        session.close()

    def ask(self, role: str, message: str) -> None:
        """The limits trust what has been read back, and the drivers do not ask for all of it."""
        session = self._manager.open_resource(ADDRESSES[role])
        session.query(message)
        session.close()

    def check(self) -> None:
        """Nothing is above its limit, and nothing is broken."""
        assert self.junction_v <= VOLTAGE_V * ROOM, f"the junction saw {self.junction_v:g} V"
        assert self.coil_a <= BIAS_A * ROOM, f"the coil saw {self.coil_a:g} A"
        assert not self.sim.plant.events and not self.sim.hot_switches


def refused(what: Callable[[], Any], *words: str) -> None:
    """Whether the limits refuse something with their sentence."""
    try:
        what()
    except pyvisa.VisaIOError as error:
        missing = [word for word in ("refused at", *words) if word not in str(error)]
        assert not missing, f"refused, and without {missing}: {error}"
        return
    raise AssertionError("it passed")


def keithley_2400(trial: Trial, station: Station) -> None:
    """Source volts into a junction: what is legal passes, what is not is refused."""
    watched = Watched()
    with opened(trial, station, Keithley2400) as smu:
        with trial.step("settings"):
            # What QCoDeS's driver does not set and the limits want before the output goes on.
            smu.mode("VOLT")
            watched.say("x", ":SENS:FUNC:CONC OFF", ":SOUR:VOLT:MODE FIX", ":OUTP:SMOD NORM",
                        ":SOUR:CLE:AUTO OFF", ":SYST:RSEN OFF")  # fmt: skip
            watched.say("switch", ":ROUT:CLOS (@1!1,1!11,1!21)")
            smu.rangev(0.2)
            smu.nplci(1)
            smu.compliancei(20e-6)
            watched.ask("x", ":SOUR:FUNC?;:SOUR:VOLT?;:SOUR:VOLT:RANG?;:SENS:CURR:PROT?")
            smu.output(True)
            assert smu.mode() == "VOLT" and smu.output()
        with trial.step("sweep"):
            for level in (0.01, 0.05, -0.1, 0.1, 0.0):
                smu.volt(level)
                smu.curr()
            assert watched.junction_v > 0.09, "the junction saw nothing"
        for name, what, words in (
            ("0.11 V", lambda: smu.volt(0.11), ("above the limit of 100 mV",)),
            ("-20 V", lambda: smu.volt(-20), ("above the limit",)),
            ("1 A", lambda: smu.compliancei(1e-3), ("compliance",)),
            ("20 V range", lambda: smu.rangev(20), ()),
            ("amperes", lambda: smu.mode("CURR"), ()),
            ("a current", lambda: smu.curr(1e-3), ()),
            ("a reset", smu.reset, ()),
        ):
            with trial.step("settings", f"{name} is refused"):
                refused(what, *words)
                watched.check()
        with trial.step("sweep", "output off"):
            smu.volt(0)
            smu.output(False)
            watched.check()


def yokogawa_gs200(trial: Trial, station: Station) -> None:
    """Source amperes into a coil."""
    watched = Watched()
    with opened(trial, station, YokogawaGS200) as source:
        with trial.step("settings"):
            source.source_mode("CURR")
            watched.say("bias", ":SENS:REM OFF")
            source.current_range(0.1)
            source.voltage_limit(10)
            source.current(0)
            watched.ask("bias", ":SOUR:FUNC?;:SOUR:LEV?;:SOUR:RANG?;:SOUR:PROT:VOLT?")
            source.output("on")
        with trial.step("ramp"):
            source.ramp_mode("SOFTWARE")
            source.ramp_rate(1.0)
            source.ramp_step(0.01)
            source.current(0.05)
            source.ramp_mode("JUMP")
            assert abs(source.current() - 0.05) < 1e-6
            source.current(-0.02)
        for name, what, words in (
            ("60 mA", lambda: source.current(0.06), ("above the limit of 50 mA",)),
            ("30 V", lambda: source.voltage_limit(30), ("compliance",)),
            ("a reset", source.reset, ()),
        ):
            with trial.step("settings", f"{name} is refused"):
                refused(what, *words)
                watched.check()
        with trial.step("sweep", "output off"):
            source.current(0)
            source.output("off")
            assert watched.coil_a > 0.04, "the coil saw nothing"
            watched.check()
