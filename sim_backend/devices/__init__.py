"""Things at the bench that are no instruments: what they are in a circuit, what they remember."""

from sim_backend.devices.base import Device, Points, StateError
from sim_backend.devices.bench_circuit import BenchCircuit, Beneath, Part
from sim_backend.devices.bias_magnet import BiasMagnet, BiasMagnetModel
from sim_backend.devices.field_line import FieldLine, FieldLineModel
from sim_backend.devices.junction import Junction
from sim_backend.devices.passive import (
    OpenContact,
    OpenContactModel,
    Resistor,
    ResistorModel,
    Thermometer,
    ThermometerModel,
)
from sim_backend.devices.polarizer import Polarizer, PolarizerModel

__all__ = [
    "BenchCircuit",
    "Beneath",
    "BiasMagnet",
    "BiasMagnetModel",
    "Device",
    "FieldLine",
    "FieldLineModel",
    "Junction",
    "OpenContact",
    "OpenContactModel",
    "Part",
    "Points",
    "Polarizer",
    "PolarizerModel",
    "Resistor",
    "ResistorModel",
    "StateError",
    "Thermometer",
    "ThermometerModel",
]
