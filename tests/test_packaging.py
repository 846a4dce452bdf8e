"""What is installed is what is meant to be; the floors hold; nothing of this machine leaks."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
FLOORS = PYPROJECT["tool"]["importlinter"]["root_packages"]
PACKAGES = PYPROJECT["tool"]["setuptools"]["packages"]


def tree() -> list[Path]:
    """Return the project's files: those that git would take or, without git, the visible ones."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    try:
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout
        files = [ROOT / os.fsdecode(name) for name in listed.split(b"\0") if name]
    except (OSError, subprocess.CalledProcessError):  # no git, or a tree without its history
        parts = {path: path.relative_to(ROOT).parts for path in ROOT.rglob("*")}
        files = [
            path
            for path, names in parts.items()
            if not any(name.startswith(".") or "__pycache__" in name for name in names)
        ]
    return [path for path in files if path.is_file()]


def requirements() -> list[Requirement]:
    project = PYPROJECT["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    return [Requirement(line) for group in groups for line in group]


def pins() -> list[Requirement]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


# --- versions ------------------------------------------------------------------------------------


def test_every_direct_dependency_is_pinned_once_and_nothing_else_is() -> None:
    pinned = [canonicalize_name(pin.name) for pin in pins()]
    assert sorted(pinned) == sorted(canonicalize_name(each.name) for each in requirements())


def test_every_pin_is_one_version_and_within_the_range_declared() -> None:
    declared = {canonicalize_name(each.name): each.specifier for each in requirements()}
    for pin in pins():
        [version] = pin.specifier
        assert version.operator == "==", pin
        assert Version(version.version) in declared[canonicalize_name(pin.name)], pin


def test_the_qt_that_aborts_on_python_3_11_is_out_of_range() -> None:
    [qt] = [each for each in requirements() if each.name == "PySide6-Essentials"]
    assert "6.11.3" in qt.specifier
    assert "6.12.0" not in qt.specifier


# --- what is installed ---------------------------------------------------------------------------


def test_the_packages_listed_are_the_folders_that_are_there() -> None:
    markers = [path for path in tree() if path.name == "__init__.py"]
    folders = [path.parent.relative_to(ROOT) for path in markers]
    found = [".".join(folder.parts) for folder in folders if folder.parts[0] != "tests"]
    assert sorted(found) == sorted(PACKAGES)


def test_the_root_modules_listed_are_those_that_are_there() -> None:
    found = {path.stem for path in tree() if path.suffix == ".py" and path.parent == ROOT}
    assert found - {"tasks"} == set(PYPROJECT["tool"]["setuptools"]["py-modules"])


def test_the_wheel_holds_every_file_of_the_packages_and_no_test(tmp_path: Path) -> None:
    pytest.importorskip("setuptools", minversion="77", reason="builds the wheel")
    copy = tmp_path / "tree"
    for path in tree():
        (copy / path.relative_to(ROOT)).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy / path.relative_to(ROOT))
    build = "from setuptools import build_meta; build_meta.build_wheel('out')"
    subprocess.run([sys.executable, "-c", build], cwd=copy, check=True, capture_output=True)
    [wheel] = (copy / "out").glob("*.whl")
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}

    folders = {package.partition(".")[0] for package in PACKAGES}
    ours = {path.relative_to(ROOT).as_posix() for path in tree()}
    modules = {f"{name}.py" for name in PYPROJECT["tool"]["setuptools"]["py-modules"]}
    assert held == modules | {name for name in ours if name.partition("/")[0] in folders}


def test_the_command_starts_at_a_function_that_is_there() -> None:
    name, target = next(iter(PYPROJECT["project"]["scripts"].items()))
    assert callable(importlib.metadata.EntryPoint(name, target, "console_scripts").load())


# --- the floors of the house ---------------------------------------------------------------------


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    command = "from importlinter.cli import lint_imports_command as lint; lint()"
    return subprocess.run(
        [sys.executable, "-c", command, "--no-cache", "--no-logo"],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONUTF8": "1"},
    )


@pytest.fixture
def empty_house(tmp_path: Path) -> Path:
    """Return a tree with our contracts and with packages that hold nothing yet."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for floor in FLOORS:
        (tmp_path / floor).mkdir()
        (tmp_path / floor / "__init__.py").touch()
    return tmp_path


def test_the_import_contracts_hold() -> None:
    result = lint_imports(ROOT)
    assert result.returncode == 0, result.stdout


def test_imports_that_go_down_are_allowed(empty_house: Path) -> None:
    (empty_house / "cli" / "a.py").write_text(
        "def window():\n    import gui, sim_backend, training"
    )
    (empty_house / "gui" / "a.py").write_text("import PySide6, sim_backend, db, device")
    (empty_house / "db" / "a.py").write_text("import sqlalchemy")
    result = lint_imports(empty_house)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize(
    ("floor", "imported"),
    [
        ("db", "instruments"),
        ("device", "training"),
        ("gui", "cli"),
        ("sim_backend", "instruments"),
        ("training", "sim_backend"),
        ("instruments", "pyvisa_spinloop"),
        ("cli", "PySide6.QtWidgets"),
        ("gui", "sqlalchemy"),
    ],
)
def test_a_forbidden_import_is_found(empty_house: Path, floor: str, imported: str) -> None:
    # Hidden in a function, for a lazy import breaks a floor as well as any other.
    (empty_house / floor / "a.py").write_text(f"def f():\n    import {imported}")
    result = lint_imports(empty_house)
    assert result.returncode == 1, result.stdout
    assert f"{floor}.a -> {imported.partition('.')[0]}" in result.stdout


# --- what does not belong in the tree ------------------------------------------------------------


def paths_of_this_machine() -> set[str]:
    """Return folders whose names mean nothing anywhere else."""
    anywhere = {Path("/", name) for name in ("", "home", "opt", "root", "srv", "tmp", "usr", "var")}
    folders = {ROOT, ROOT.parent, Path.home(), Path(sys.prefix), Path(sys.base_prefix)}
    folders |= {Path(name) for name in os.environ.get("PIP_FIND_LINKS", "").split()}
    return {str(folder) for folder in folders - anywhere if folder.parent != Path("/usr")}


def test_no_file_names_a_path_of_this_machine() -> None:
    # A boundary on both sides: "/src" is not meant where "lib/src" or "/srcs" stands.
    names = "|".join(map(re.escape, paths_of_this_machine()))
    homes = r"/home/\w+/|/Users/\w+/|[A-Z]:\\Users\\\w"
    pattern = re.compile(rf"(?<![\w.$}}-])(?:(?:{names})(?![\w-])|{homes})".encode())
    leaks = {
        str(path.relative_to(ROOT)): found.group().decode()
        for path in tree()
        if (found := pattern.search(path.read_bytes()))
    }
    assert leaks == {}


# --- how tests run -------------------------------------------------------------------------------


def test_tests_see_no_screen_and_torch_uses_one_thread() -> None:
    torch = pytest.importorskip("torch")
    assert torch.get_num_threads() == 1
    assert os.environ["QT_QPA_PLATFORM"] == "offscreen"
