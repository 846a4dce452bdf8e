"""PyVISA looks here for ``@spinloop_guarded``: a bench behind its limits."""

from instruments.guarded_visa import GuardedVisaLibrary as WRAPPER_CLASS

__all__ = ["WRAPPER_CLASS"]
