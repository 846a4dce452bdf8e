"""pymeasure's own driver, unmodified, behind SpinLoop's limits.

What is above a limit is refused before it is sent, and every message can be recorded.  Leaves no
file.
"""

import pyvisa
from pymeasure.instruments.keithley import Keithley6221

# The demonstration bench; your own: "bench.yaml?record=lab.sqlite@spinloop_guarded".
bench = pyvisa.ResourceManager("@spinloop_guarded")
print(*bench.list_resources())
field = Keithley6221("GPIB0::12::INSTR", visa_library=bench.visalib)
print(field.id)
try:
    field.source_current = 0.2  # the driver makes 105 mA of this and says nothing
except pyvisa.VisaIOError as refusal:
    print(refusal)
print(f"the source is at {field.source_current:g} A")
bench.close()  # every output to zero and off
