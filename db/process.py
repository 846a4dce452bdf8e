"""Which process records a session, and whether it is still there."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass

import psutil

_SAME_S = 2.0  # two readings of one process's creation time agree within this, s


@dataclass(frozen=True, slots=True)
class ProcessId:
    """A process for good: a pid alone is used again after a while."""

    host: str
    pid: int
    created: float
    """s since 1970."""


def this_process() -> ProcessId:
    """The process that calls."""
    return ProcessId(platform.node(), os.getpid(), psutil.Process().create_time())


def is_gone(process: ProcessId) -> bool:
    """True if the process has ended.

    One of another host counts as gone: SQLite's WAL works on one host only, so a file that names
    another host has been copied here.
    """
    if process.host != platform.node():
        return True
    try:
        found = psutil.Process(process.pid)
        if found.status() == psutil.STATUS_ZOMBIE:  # ended, and nobody has asked how
            return True
        return bool(abs(found.create_time() - process.created) > _SAME_S)
    except psutil.NoSuchProcess:
        return True
    except psutil.AccessDenied:  # it exists, and belongs to somebody else
        return False
