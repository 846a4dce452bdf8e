"""PyVISA looks here for ``@spinloop``: the simulated bench."""

from sim_backend.visa import SpinLoopVisaLibrary as WRAPPER_CLASS

__all__ = ["WRAPPER_CLASS"]
