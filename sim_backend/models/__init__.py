"""The instruments that the simulated bench knows, by the word used in ``sim.yaml``."""

from sim_backend.instrument import SimInstrument
from sim_backend.models.keithley2400 import Keithley2400
from sim_backend.models.keithley6221 import Keithley6221
from sim_backend.models.keithley7001 import Keithley7001

MODELS: dict[str, type[SimInstrument]] = {
    "keithley2400": Keithley2400,
    "keithley6221": Keithley6221,
    "keithley7001": Keithley7001,
}
