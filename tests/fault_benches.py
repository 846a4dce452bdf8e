"""A bench through PyVISA, for the tests of faults."""

import numpy as np
import pytest
import pyvisa

from tests.test_sim_instruments import LEVELS, Lab

ADDRESSES = {"field": 12, "x": 24, "z": 25, "switch": 7}
ONE = {"J1": {"x": "1!1", "z": "1!11", "low": "1!21"}}
NO_ERROR = '0,"No error"'


def fails(call, *args):
    """The status code with which a call fails."""
    with pytest.raises(pyvisa.VisaIOError) as caught:
        call(*args)
    return caught.value.error_code


class Visa:
    """The bench through PyVISA."""

    def __init__(self, name):
        self.manager = pyvisa.ResourceManager(f"?instance={name}@spinloop")
        self.bench = self.manager.visalib.bench
        self.faults = self.bench.faults

    def open(self, name):
        made = self.manager.open_resource(f"GPIB0::{ADDRESSES[name]}::INSTR")
        made.read_termination = "\n"
        return made

    def meter(self):
        """Meter x, ready to read J1."""
        self.open("switch").write(":CLOS (@1!1,1!11,1!21)")
        made = self.open("x")
        made.write(":FORM:ELEM CURR,STAT")
        made.write(":SOUR:VOLT 0.02;:OUTP ON")
        return made


def readings(meter):
    """Currents and status of a :READ?."""
    table = np.array([float(value) for value in meter.query(":READ?").split(",")]).reshape(-1, 2)
    return table[:, 0], table[:, 1].astype(int)


def line_a(lab):
    solution = lab.bench.solve()
    return float(lab.bench.plant.line.current_a(solution)[0])


NOISE = {"johnson_shot": True, "hooge_m2": 1e-17, "magnetisation": True}


def swept(*faults, **changes):
    """A bench after a sweep, and what both meters have."""
    lab = Lab(**changes)
    lab.bench.faults.add(*faults)
    lab.select()
    lab.prepare(LEVELS)
    lab.run()
    return lab, lab.fetch("x")[0], lab.fetch("z")[0]
