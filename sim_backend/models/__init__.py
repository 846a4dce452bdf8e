"""The instruments that the simulated bench knows, by the word used in ``sim.yaml``."""

from sim_backend.models.electrical import ElectricalInstrument
from sim_backend.models.keithley2182a import Keithley2182A
from sim_backend.models.keithley2400 import Keithley2400
from sim_backend.models.keithley2450 import Keithley2450
from sim_backend.models.keithley6221 import Keithley6221
from sim_backend.models.keithley7001 import Keithley7001
from sim_backend.models.yokogawags200 import YokogawaGS200

MODELS: dict[str, type[ElectricalInstrument]] = {
    "keithley2182a": Keithley2182A,
    "keithley2400": Keithley2400,
    "keithley2450": Keithley2450,
    "keithley6221": Keithley6221,
    "keithley7001": Keithley7001,
    "yokogawags200": YokogawaGS200,
}
