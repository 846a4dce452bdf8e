"""What holds for every test."""

import os

import pytest
from hypothesis import settings

# Set before anything loads the libraries that read it: no screen, one Qt binding, and one thread,
# since two threads of torch on two busy cores are several times slower than one. As variables they
# also reach the processes that a test starts.
os.environ.update(
    QT_QPA_PLATFORM="offscreen",
    QT_API="pyside6",
    PYQTGRAPH_QT_LIB="PySide6",
    MPLBACKEND="Agg",
    OMP_NUM_THREADS="1",
)

# The same examples every time, and no limit on a call that may compile first.
settings.register_profile("spinloop", derandomize=True, deadline=None)
settings.load_profile("spinloop")


def pytest_addoption(parser: pytest.Parser) -> None:
    """The drivers' contract, tried on an instrument instead of the simulated bench."""
    group = parser.getgroup("instrument", "one instrument, with nothing connected to it")
    group.addoption("--driver", default="", help="its driver, such as keithley2400")
    group.addoption("--address", default="", help="its VISA address, such as GPIB0::24::INSTR")
    group.addoption("--visa", default="", help="the VISA library, as in --visa=@py")
