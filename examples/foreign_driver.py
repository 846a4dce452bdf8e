"""A program that knows nothing of SpinLoop: plain PyVISA and pymeasure at the simulated bench.

It bypasses limits and record.  Leaves no file.
"""

import pyvisa
from pymeasure.instruments.keithley import Keithley2400, Keithley6221

bench = pyvisa.ResourceManager("@spinloop")  # keep it: the bench lives as long as somebody does
print(*bench.list_resources())
switch = bench.open_resource("GPIB0::7::INSTR")
print(switch.query("*IDN?").strip())
switch.write(":ROUT:CLOS (@1!1,1!11,1!21)")  # junction J1: x, z, low

field = Keithley6221("GPIB0::12::INSTR", visa_library="@spinloop")
meter = Keithley2400("GPIB0::24::INSTR", visa_library="@spinloop")
meter.source_mode = "voltage"
meter.source_voltage_range = 0.2
meter.compliance_current = 6e-6
meter.source_voltage = 0.02
meter.enable_source()
field.source_current = 0
field.enable_source()
for level in (-10e-3, 0.0, 10e-3):
    field.source_current = level
    print(f"{level * 1e3:6.1f} mA: {0.02 / meter.current / 1e3:.2f} kohm at the x-reference layer")

field.source_current = 0
field.disable_source()
meter.source_voltage = 0
meter.disable_source()
switch.write(":ROUT:OPEN ALL")
