"""The junction as a neuron: calibration, activation, gradient.

calibration, _ = calibrate(bench, "J1")
neuron = TwoReferenceMTJ(bench, calibration)
reading = neuron.read(x, gradient=True)
"""

from device.array import DeviceArray, InputRange
from device.calibration import Calibration
from device.calibration_make import calibrate, fit
from device.calibration_states import States, reach_states
from device.calibration_store import Reuse, bench_fingerprint, find_calibration
from device.calibration_sweep import measure
from device.composed import Composed, difference, series, weighted
from device.conductance import conductances, resistances
from device.mtj import TwoReferenceMTJ
from device.neurons import LiveNeuron
from device.neurons_replay import ReplayedNeuron, StoredBench, stored_sweeps
from device.neurons_table import TabulatedNeuron
from device.polarizer import RotatablePolarizerMTJ, Turner, calibrate_turned
from device.reading import (
    BadJunctionError,
    CalibrationError,
    InvalidReadingError,
    Neuron,
    NotMeasuredError,
    Reading,
    Signals,
)
from device.roll import Policy
from device.single import Normalisation, SingleReadoutMTJ, normalise
from device.spot_check import SpotCheck
from device.table import ResponseTable, TableNeuron, slope, tabulate
from device.tuning import Control, Family, bias_control
from device.watch import Tolerance, Watch

__all__ = [
    "BadJunctionError",
    "Calibration",
    "CalibrationError",
    "Composed",
    "Control",
    "DeviceArray",
    "Family",
    "InputRange",
    "InvalidReadingError",
    "LiveNeuron",
    "Neuron",
    "Normalisation",
    "NotMeasuredError",
    "Policy",
    "Reading",
    "ReplayedNeuron",
    "ResponseTable",
    "Reuse",
    "RotatablePolarizerMTJ",
    "Signals",
    "SingleReadoutMTJ",
    "SpotCheck",
    "States",
    "StoredBench",
    "TableNeuron",
    "TabulatedNeuron",
    "Tolerance",
    "Turner",
    "TwoReferenceMTJ",
    "Watch",
    "bench_fingerprint",
    "bias_control",
    "calibrate",
    "calibrate_turned",
    "conductances",
    "difference",
    "find_calibration",
    "fit",
    "measure",
    "normalise",
    "reach_states",
    "resistances",
    "series",
    "slope",
    "stored_sweeps",
    "tabulate",
    "weighted",
]
