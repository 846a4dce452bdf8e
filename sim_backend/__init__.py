"""The simulated bench: instruments that answer in their own command language, one magnet behind.

This floor stands apart.  It imports nothing else of SpinLoop, and everything else reaches it the
way it reaches hardware: through PyVISA, by the library name ``@spinloop``::

    pyvisa.ResourceManager("@spinloop")                    # the demonstration bench
    pyvisa.ResourceManager("path/to/sim.yaml@spinloop")    # another one
    pyvisa.ResourceManager("path/to/sim.yaml?seed=3&realtime=1@spinloop")

Options: ``seed`` (other junctions, other noise), ``realtime`` (bench seconds per second of waiting;
without it waiting takes no time), ``physics`` (equilibrium or llg), ``instance`` (PyVISA shares one
library among all who ask for the same name; a name of one's own is a bench of one's own).

What the simulator knows of the junctions (the truth) stands in ``sim.yaml``, which nothing above
this floor opens.
"""
