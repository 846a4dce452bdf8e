"""``spinloop doctor``: is this installation fit to run a bench?"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import platform
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import typer
from rich.text import Text

from cli import options
from cli.output import print_json, table

_OURS = ("cli", "db", "device", "instruments", "sim_backend", "training", "gui")
_NEEDED = (
    "pymeasure", "pyvisa", "pint", "numpy", "scipy", "scikit-learn", "numba", "torch",
    "SQLAlchemy", "alembic", "pydantic", "PyYAML", "typer", "rich", "matplotlib", "psutil",
)  # fmt: skip
_GIGABYTE = 1e9


class Check(NamedTuple):
    """One line of the report."""

    what: str
    verdict: Literal["ok", "warning", "failed"]
    text: str


def _python() -> Iterator[Check]:
    good = sys.version_info >= (3, 11)
    text = f"{platform.python_version()} on {platform.platform(terse=True)}"
    yield Check("Python", "ok" if good else "failed", text + ("" if good else "; needs 3.11"))


def _packages() -> Iterator[Check]:
    found, missing = [], []
    for name in _NEEDED:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        yield Check(
            "packages",
            "failed",
            f"missing: {', '.join(missing)}; pip install -e . in the folder of SpinLoop",
        )
    else:
        yield Check("packages", "ok", ", ".join(found))


def _clash() -> Iterator[Check]:
    """Our packages have plain names; InstrumentKit also installs ``instruments``."""
    home = Path(__file__).resolve().parent.parent
    strangers = []
    for name in _OURS:
        spec = importlib.util.find_spec(name)
        places = [] if spec is None else list(spec.submodule_search_locations or [])
        if spec is None:
            strangers.append(f"{name} is missing")
        elif not any(Path(place).resolve().parent == home for place in places):
            strangers.append(f"{name} comes from {places[0] if places else spec.origin}")
    try:
        kit = importlib.metadata.version("instrumentkit")
        strangers.append(f"InstrumentKit {kit} is installed and has a package 'instruments' too")
    except importlib.metadata.PackageNotFoundError:
        pass
    if strangers:
        advice = "give SpinLoop a virtual environment of its own"
        yield Check("names", "failed", f"{'; '.join(strangers)}; {advice}")
    else:
        yield Check("names", "ok", "no other package shadows ours")


def _visa() -> Iterator[Check]:
    try:
        import pyvisa
        from pyvisa.ctwrapper.highlevel import IVIVisaLibrary
    except ImportError as error:
        yield Check("VISA", "failed", str(error))
        return
    libraries = [str(path) for path in IVIVisaLibrary.get_library_paths()]
    if libraries:
        yield Check("VISA library", "ok", ", ".join(libraries))
    else:
        yield Check(
            "VISA library", "warning",
            "none installed: a real bench on GPIB or USB needs one (NI-VISA, Keysight IO "
            "Libraries); the simulated bench does not",
        )  # fmt: skip
    try:
        manager = pyvisa.ResourceManager("?instance=doctor@spinloop")
        addresses = manager.list_resources()
        answer = manager.open_resource(addresses[0]).query("*IDN?").strip()  # type: ignore[attr-defined]
        yield Check("simulated bench", "ok", f"{len(addresses)} instruments; {answer}")
    except Exception as error:
        yield Check("simulated bench", "failed", str(error))


def _qt() -> Iterator[Check]:
    try:
        from gui.qt import QtCore

        yield Check("window", "ok", f"Qt {QtCore.qVersion()}")
    except ModuleNotFoundError as error:
        yield Check(
            "window",
            "warning",
            f'{error.name} is missing; for it, pip install -e ".[gui]" in the folder of SpinLoop',
        )
    except ImportError as error:
        advice = (
            "; on Debian: apt install libegl1 libgl1 libxkbcommon0 libdbus-1-3 libfontconfig1 "
            "libglib2.0-0"
            if sys.platform == "linux"
            else ""
        )
        yield Check("window", "warning", f"Qt does not load: {error}{advice}")


def _record(db: Path) -> Iterator[Check]:
    from db import sqlite_version

    yield Check("SQLite", "ok", sqlite_version())
    folder = db.absolute().parent
    if not folder.is_dir():
        yield Check("disk", "failed", f"{folder} is not a folder; give another --db")
        return
    free = shutil.disk_usage(folder).free
    text = f"{free / _GIGABYTE:.1f} GB free at {folder}; a demonstration takes about 0.1 GB"
    yield Check("disk", "ok" if free > _GIGABYTE else "warning", text)


def doctor(db: options.Database = options.DATABASE, as_json: options.Json = False) -> None:
    """Check Python, packages, VISA libraries, the simulated bench, Qt and the disk.

    The exit code is 1 if something has failed; warnings do not count.

    \b
    Examples:
      spinloop doctor
      spinloop doctor --json
    """
    checks: list[Check] = []
    for part in (_python(), _packages(), _clash(), _visa(), _qt(), _record(db)):
        checks.extend(part)
    if as_json:
        print_json([check._asdict() for check in checks])
    else:
        colours = {"ok": "green", "warning": "yellow", "failed": "red"}
        table(
            "spinloop doctor", ("what", "verdict", "found"),
            [(c.what, Text(c.verdict, style=colours[c.verdict]), c.text) for c in checks],
        )  # fmt: skip
    if any(check.verdict == "failed" for check in checks):
        raise typer.Exit(1)
