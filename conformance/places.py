"""The bench of the trials: in this process, and served over TCP by a program of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyvisa
import yaml

from conformance.trial import Station

SIM = Path(__file__).with_name("sim.yaml")
ADDRESSES = {
    name: entry["address"]
    for name, entry in yaml.safe_load(SIM.read_text(encoding="utf-8"))["instruments"].items()
}
_MOST_ERRORS = 20


def error_queue(library: str, address: str, **termination: str) -> Any:
    """What takes an instrument's error queue; the library lives as long as it does."""
    manager: Any = pyvisa.ResourceManager(library)
    session = manager.open_resource(address, **termination)

    def errors() -> list[str]:
        found: list[str] = []
        while len(found) < _MOST_ERRORS:
            answer = session.query(":SYST:ERR?").strip()
            if int(answer.partition(",")[0]) == 0:
                break
            found.append(answer)
        return found

    return errors


def in_process(bench: str, name: str) -> Station:
    """An instrument of a bench of its own: one for each name of a bench."""
    library = f"{SIM}?instance={quote(bench)}@spinloop"
    return Station(library, ADDRESSES[name], error_queue(library, ADDRESSES[name]))


@contextmanager
def served() -> Iterator[dict[str, tuple[str, str]]]:
    """Serve the bench: raw-socket and HiSLIP address of each instrument."""
    command = [sys.executable, "-m", "cli", "sim", "serve", str(SIM), "--virtual"]
    command += ["--port", "0", "--hislip-port", "0"]
    with subprocess.Popen(
        command, cwd=SIM.parent.parent, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        encoding="utf-8", env=_wide(),
    ) as process:  # fmt: skip
        try:
            yield _read_addresses(process)
        finally:
            process.terminate()


def _wide() -> dict[str, str]:
    # Tables are as wide as the terminal is said to be.
    return {**os.environ, "COLUMNS": "200", "PYTHONUNBUFFERED": "1", "NO_COLOR": "1"}


def _read_addresses(process: subprocess.Popen[str]) -> dict[str, tuple[str, str]]:
    """Wait until the server has said where each instrument is."""
    assert process.stdout is not None
    found: dict[str, tuple[str, str]] = {}
    said: list[str] = []
    for line in process.stdout:
        said.append(line)
        addresses = re.findall(r"TCPIP\S+", line)
        name = next((name for name in ADDRESSES if re.search(rf"\b{name}\b", line)), None)
        if name and len(addresses) == 2:
            raw, hislip = sorted(addresses, key=lambda a: "hislip" in a)
            found[name] = raw, hislip
        if found.keys() == ADDRESSES.keys():
            return found
    raise RuntimeError(f"the server ended: {''.join(said)}")


def over_tcp(address: str) -> Station:
    """An instrument of a served bench, by pyvisa-py."""
    ends = {"read_termination": "\n", "write_termination": "\n"}
    return Station("@py", address, error_queue("@py", address, **ends), ends)
