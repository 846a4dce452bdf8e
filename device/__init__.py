"""The junction as a neuron: calibration, activation, gradient.

calibration, _ = calibrate(bench, "J1")
neuron = TwoReferenceMTJ(bench, calibration)
reading = neuron.read(x, gradient=True)
"""

from device.array import DeviceArray
from device.calibration import Calibration, calibrate, fit, measure
from device.conductance import conductances, resistances
from device.mtj import TwoReferenceMTJ
from device.reading import CalibrationError, InvalidReadingError, Neuron, Reading
from device.table import ResponseTable, TableNeuron, slope, tabulate

__all__ = [
    "Calibration",
    "CalibrationError",
    "DeviceArray",
    "InvalidReadingError",
    "Neuron",
    "Reading",
    "ResponseTable",
    "TableNeuron",
    "TwoReferenceMTJ",
    "calibrate",
    "conductances",
    "fit",
    "measure",
    "resistances",
    "slope",
    "tabulate",
]
