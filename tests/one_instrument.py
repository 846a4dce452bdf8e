"""One instrument at a stand-in of a bench: a clock, resistors at its terminals, and noise."""

import copy
from collections import defaultdict
from types import SimpleNamespace

import numpy as np
import pytest

from sim_backend import circuit
from sim_backend.circuit import Conductance
from sim_backend.clock import Clock
from sim_backend.faults import FaultPlan
from sim_backend.models.keithley2182a import Keithley2182A
from sim_backend.models.keithley2450 import Keithley2450
from sim_backend.models.yokogawags200 import YokogawaGS200
from sim_backend.noise import normal, stream_key
from sim_backend.programme import at_once
from sim_backend.seen import Seen

MODELS = (YokogawaGS200, Keithley2182A, Keithley2450)
LINE_HZ = 50.0
OVERFLOW = 9.9e37
every_model = pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)


class Lab:
    """One instrument ``d`` at a bench with loads between its terminals."""

    def __init__(self, model, *loads, noisy=False, wires=()):
        self.clock = Clock()
        self.truth = SimpleNamespace(line_hz=LINE_HZ)
        self.spent_s = defaultdict(float)
        self.loads = list(loads)
        self.joined = circuit.join(wires)
        self.noisy = noisy
        self.faults = FaultPlan()
        self.instrument = model("d", self)

    # what a bench gives its instruments

    def pass_time(self, seconds, what):
        self.clock.advance(seconds)
        self.spent_s[what] += seconds

    def solve(self):
        return circuit.solve([*self.loads, *self.instrument.elements()], self.joined)

    def live_through(self):
        pass

    def start(self, instrument, course):
        at_once(self, course)  # nobody is there whom it would have to let in between

    def run(self, points):
        first, *others = self.instrument.elements()
        found = circuit.solve([*self.loads, first, *others], self.joined)
        source = isinstance(first, circuit.VoltageSource | circuit.CurrentSource)
        limited = found.in_compliance(first) if source else np.zeros(1, dtype=bool)
        return {"d": Seen(found.current(first), found.across(first), limited)}

    def noise(self, instrument, first, count):
        key = stream_key(1, instrument.name)
        return normal(key, first, count) if self.noisy else np.zeros(count)

    def touch(self):
        pass

    # a hand on the instrument

    def write(self, *messages):
        for message in messages:
            self.instrument.receive(*self.instrument.units(message))

    def raw(self, message):
        self.write(message)
        return self.instrument.take(10**7)[0].removesuffix(b"\n")

    def ask(self, message):
        return self.raw(message).decode()

    def numbers(self, message):
        return [float(x) for x in self.ask(message).split(",")]

    def number(self, message):
        [value] = self.numbers(message)
        return value

    def errors(self):
        found = []
        while not (answer := self.ask(":SYST:ERR?")).startswith("0,"):
            found.append(int(answer.partition(",")[0]))
        return found

    def wait(self, seconds):
        self.pass_time(seconds, "settle")
        self.instrument.work()

    @property
    def now_s(self):
        return self.clock.now_s


def resistor(ohm, hi="d.hi", lo="d.lo"):
    return Conductance(hi, lo, 1 / ohm)


def state_of(instrument):
    return copy.deepcopy(instrument.state)


def at_load(lab, ohm=1e3):
    """Voltage and current of the load."""
    solution = lab.solve()
    return float(solution.across(lab.loads[0])[0]), float(solution.current(lab.loads[0])[0])
