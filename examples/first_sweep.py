"""Sweep one junction of the simulated bench and print both resistances.  Leaves no file.

Give the path of a bench file to use another bench:  python first_sweep.py bench.yaml
"""

import sys

import numpy as np

from device import resistances
from instruments import Bench

levels_a = np.linspace(-20e-3, 20e-3, 9)
with Bench.open(sys.argv[1] if len(sys.argv) > 1 else None) as bench:
    name = next(iter(bench.file.junctions))
    data = bench.sweep(name, levels_a)  # outputs are at zero and off when the block ends
    r_x, r_z = resistances(data, bench.file.readout.common_resistance)

print(f"{name} on {bench.file.name}, {data.points} points measured")
print("current (mA)   R_x (kohm)   R_z (kohm)")
for level, x, z in zip(data.level_a, r_x, r_z, strict=True):
    print(f"{level * 1e3:12.3f}   {x / 1e3:10.3f}   {z / 1e3:10.3f}")
print(f"bench time {data.bench_end_s - data.bench_start_s:.2f} s")
