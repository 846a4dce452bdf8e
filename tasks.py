#!/usr/bin/env python3
"""Set SpinLoop up in its own environment, then show it, check it or test it.

This file runs before anything is installed: it needs the standard library alone.
"""

from __future__ import annotations

import argparse
import ctypes
import hashlib
import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

OLDEST_PYTHON = (3, 11)
TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"

EXAMPLES = f"""\
examples:
  python3 tasks.py demo                   install what a run needs, then run `spinloop demo`
  python3 tasks.py demo --help            what the demo can be told
  python3 tasks.py check                  style, types and import rules
  python3 tasks.py test                   the checks, then every test
  python3 tasks.py test -k calibration    the checks, then some tests: pytest's own arguments
  python3 tasks.py test --torch-index {TORCH_CPU_INDEX}
                                          with PyTorch's CPU build (Linux; others have no other)
  python3 tasks.py conformance            other people's drivers on the simulated bench, in an
                                          environment of their own
  python3 tasks.py killtest               end a session after each of its messages, in three ways
"""


class Stop(Exception):
    """Ends the program with a sentence for the person, in place of a traceback."""


@dataclass(frozen=True)
class Need:
    """What a task needs installed; the numbers are for Linux with PyTorch's CPU build.

    With ``requirements``, a file of the tree, its packages alone are: not SpinLoop, not PyTorch.
    """

    extras: tuple[str, ...]
    packages: int
    download_mb: int
    disk_mb: int
    requirements: str | None = None

    @property
    def arguments(self) -> list[str]:
        """What pip is told to install."""
        if self.requirements:
            return ["--requirement", self.requirements]
        return ["--editable", f".[{','.join(self.extras)}]" if self.extras else "."]


CORE = Need(extras=(), packages=56, download_mb=360, disk_mb=1700)
DEVELOPMENT = Need(extras=("gui", "dev"), packages=76, download_mb=470, disk_mb=2000)
CONFORMANCE = Need(
    extras=(), packages=98, download_mb=250, disk_mb=1100,
    requirements="conformance/requirements.txt",
)  # fmt: skip

CHECKS = (
    ("ruff", "check"),
    ("ruff", "format", "--check"),
    ("mypy",),
    ("lint-imports", "--no-logo"),
)

# The shared libraries that Qt loads even for windows nobody sees, and the Debian packages they
# come from.
QT_LIBRARIES = {
    "libEGL.so.1": "libegl1",
    "libGL.so.1": "libgl1",
    "libxkbcommon.so.0": "libxkbcommon0",
    "libdbus-1.so.3": "libdbus-1-3",
    "libfontconfig.so.1": "libfontconfig1",
    "libglib-2.0.so.0": "libglib2.0-0",
}

# What pip or venv prints when it fails, and the sentence that says what is missing.
REASONS = (
    (
        r"No space left on device|Errno 28\b|WinError 112\b",
        "The disk is full: free some space, then run the same command again.",
    ),
    (
        r"NewConnectionError|ConnectTimeout|ReadTimeout|ProxyError|NameResolutionError"
        r"|connection broken|name resolution|Network is unreachable",
        "Pip cannot reach its package index: check the network, or pip's proxy and index settings "
        "(`python3 -m pip config list`), then run the same command again.",
    ),
    (
        r"No matching distribution found for (?P<what>\S+)",
        "Pip's package index has no {what} for this Python and machine.",
    ),
)


@dataclass(frozen=True)
class Place:
    """Where things lie: the source tree, its environment, and the record of what is in it."""

    root: Path
    folder: str = ".venv"

    @property
    def venv(self) -> Path:
        return self.root / self.folder

    @property
    def peers(self) -> Place:
        """The same tree with the environment of other people's drivers."""
        return Place(self.root, ".venv-conformance")

    @property
    def stamp(self) -> Path:
        return self.venv / "spinloop-installed.json"

    def tool(self, name: str) -> Path:
        """Return the path of a program of the environment."""
        windows = os.name == "nt"
        return self.venv / ("Scripts" if windows else "bin") / (name + ".exe" * windows)


def say(sentence: str) -> None:
    # At once, and not where a task's own output goes: that may be piped on.
    print(sentence, file=sys.stderr, flush=True)


# --- running programs ----------------------------------------------------------------------------


def start(command: list[str], cwd: Path, output: int | None = None) -> subprocess.Popen[str]:
    # Windows pipes speak the local code page unless told otherwise, which has no "Ω".
    environment = {"PYTHONUTF8": "1", **os.environ}
    return subprocess.Popen(
        command,
        cwd=cwd,
        env=environment,
        stdout=output,
        stderr=subprocess.STDOUT if output else None,
        encoding="utf-8",
        errors="replace",
    )


@contextmanager
def until_it_ends(process: subprocess.Popen[str]) -> Iterator[None]:
    """At Ctrl-C, wait for the program, which got it too: it may have a bench to bring to rest.

    A second Ctrl-C ends the wait.
    """
    try:
        yield
    except KeyboardInterrupt:
        process.wait()
        raise


def run(command: list[str], cwd: Path) -> int:
    """Run a program in this terminal and return its exit code as a shell would give it."""
    with start(command, cwd) as process, until_it_ends(process):
        code = process.wait()
    return code if code >= 0 else 128 - code


def run_installer(command: list[str], cwd: Path) -> None:
    """Run venv or pip, show its large downloads only, and say in one sentence why it failed."""
    lines = []
    with start(command, cwd, output=subprocess.PIPE) as process, until_it_ends(process):
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            if re.match(r"\s*Downloading .* [MG]B\)", line):
                say("  " + line.strip())
            elif line.startswith("Installing collected packages"):
                say("  Installing")
        code = process.wait()
    if code:
        last_words = "".join(lines[-15:])
        raise Stop(
            reason_in("".join(lines)) or f"The installation failed; its last words:\n{last_words}"
        )


def reason_in(output: str) -> str | None:
    """Return the sentence for the first known trouble in the output, if there is one."""
    for pattern, sentence in REASONS:
        if found := re.search(pattern, output):
            return sentence.format(**found.groupdict())
    return None


# --- the environment -----------------------------------------------------------------------------


def version_in(place: Place) -> str | None:
    """Return the version of the environment's Python, or None if there is none that starts."""
    question = [str(place.tool("python")), "-c", "import sys; print(*sys.version_info[:2])"]
    try:
        answer = subprocess.run(question, capture_output=True, text=True)
    except OSError:
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None


def fingerprint(place: Place, need: Need) -> str:
    """Return what the installed packages depend on, as one short text."""
    # The path is part of it: an editable install points to the folder that it was made in.
    parts = [str(place.root).encode(), str(version_in(place)).encode()]
    names = [need.requirements or "pyproject.toml", "constraints.txt"]
    parts += [(place.root / name).read_bytes() for name in names]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def read_stamp(place: Place) -> dict[str, object]:
    try:
        stamp = json.loads(place.stamp.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def write_stamp(place: Place, **content: object) -> None:
    place.stamp.write_text(json.dumps(content), encoding="utf-8")


def is_installed(place: Place, need: Need) -> bool:
    stamp = read_stamp(place)
    extras = stamp.get("extras")
    return (
        isinstance(extras, list)
        and set(need.extras) <= set(extras)
        and stamp.get("fingerprint") == fingerprint(place, need)
    )


def announce(place: Place, need: Need, torch_index: str | None) -> None:
    """Say what is going to be downloaded, how much of it and where to, before it is."""
    say(
        f"This needs about {need.packages} packages, {need.download_mb} MB to download and "
        f"{need.disk_mb / 1000:.1f} GB on disk; pip now fetches those that are not there yet "
        f"from its package index into {place.venv}."
    )
    settled = torch_index or need.requirements  # a file of requirements has no PyTorch in it
    has_torch = any(place.venv.glob("lib/python*/site-packages/torch"))
    if sys.platform == "linux" and not settled and not has_torch:
        say(
            "On Linux pip may find PyTorch's CUDA build only, about 3 GB more; to take the CPU "
            f"build, stop here with Ctrl-C and add --torch-index {TORCH_CPU_INDEX}"
        )


def make_venv(place: Place) -> None:
    """Make the environment unless a sound one is there."""
    version = version_in(place)
    old = version is None or tuple(map(int, version.split())) < OLDEST_PYTHON
    # A process that was killed while it installed may have left half a package behind.
    if not old and "unfinished" not in read_stamp(place) and has_pip(place):
        return
    missing = [name for name in ("venv", "ensurepip") if importlib.util.find_spec(name) is None]
    if missing:
        raise Stop(
            f"This Python lacks its module {missing[0]}: on Debian or Ubuntu, "
            "`sudo apt-get install python3-venv` brings it."
        )
    run_installer([sys.executable, "-m", "venv", "--clear", str(place.venv)], place.root)


def has_pip(place: Place) -> bool:
    question = [str(place.tool("python")), "-m", "pip", "--version"]
    return subprocess.run(question, capture_output=True).returncode == 0


def install(place: Place, need: Need, torch_index: str | None) -> None:
    """Install what a task needs, SpinLoop from its source tree, once."""
    if is_installed(place, need):
        return
    make_venv(place)
    announce(place, need, torch_index)
    command = [str(place.tool("python")), "-m", "pip", "install", "--disable-pip-version-check"]
    command += ["--progress-bar", "off", "--constraint", "constraints.txt"]
    command += ["--extra-index-url", torch_index] if torch_index else []
    command += need.arguments
    write_stamp(place, unfinished=True)
    try:
        run_installer(command, place.root)
    except Stop:
        place.stamp.unlink()  # pip ended by itself and left things in order
        raise
    write_stamp(place, fingerprint=fingerprint(place, need), extras=list(need.extras))


# --- Qt's shared libraries -----------------------------------------------------------------------


def missing_qt_libraries() -> list[str]:
    """Return the shared libraries that Qt would look for in vain; a question for Linux alone."""
    return [name for name in QT_LIBRARIES if sys.platform == "linux" and not loads(name)]


def missing_qt_packages() -> list[str]:
    return [QT_LIBRARIES[name] for name in missing_qt_libraries()]


def loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def require_qt_libraries() -> None:
    if missing := missing_qt_libraries():
        raise Stop(
            f"The window's tests need shared libraries that are missing here "
            f"({', '.join(missing)}): on Debian or Ubuntu, "
            f"`sudo apt-get install {' '.join(missing_qt_packages())}` brings them."
        )


# --- tasks ---------------------------------------------------------------------------------------


def demo(place: Place, torch_index: str | None, arguments: list[str]) -> int:
    install(place, CORE, torch_index)
    return run([str(place.tool("spinloop")), "demo", *arguments], Path.cwd())


def check(place: Place, torch_index: str | None, arguments: list[str]) -> int:
    if arguments:
        raise Stop(f"check takes no arguments, and got {' '.join(arguments)}.")
    install(place, DEVELOPMENT, torch_index)
    codes = {
        " ".join(command): run([str(place.tool(command[0])), *command[1:]], place.root)
        for command in CHECKS
    }
    failed = [command for command, code in codes.items() if code]
    if failed:
        say(f"Not in order: {', '.join(failed)}.")
    return codes[failed[0]] if failed else 0


def test(place: Place, torch_index: str | None, arguments: list[str]) -> int:
    require_qt_libraries()
    code = check(place, torch_index, [])
    # A file stays with one worker: what its tests share is made once.
    workers = ["-n", str(min(4, os.cpu_count() or 1)), "--dist", "loadfile"]
    command = [str(place.tool("python")), "-m", "pytest", *workers, *arguments]
    return code or run(command, place.root)


def conformance(place: Place, torch_index: str | None, arguments: list[str]) -> int:
    if {"-h", "--help"} & set(arguments):
        print(
            "usage: tasks.py conformance [DRIVER ...]\n\nRun unmodified QCoDeS and pymeasure "
            "drivers on the simulated bench, all or those named,\nin an environment of their own "
            "(docs/how-to/conformance.md)."
        )
        return 0
    install(place.peers, CONFORMANCE, torch_index)
    return run([str(place.peers.tool("python")), "-m", "conformance", *arguments], place.root)


def killtest(place: Place, torch_index: str | None, arguments: list[str]) -> int:
    install(place, DEVELOPMENT, torch_index)
    return run([str(place.tool("python")), "-m", "tests.killing", *arguments], place.root)


TASKS = {
    "demo": demo, "check": check, "test": test, "conformance": conformance, "killtest": killtest,
}  # fmt: skip


def parse(argv: list[str]) -> tuple[str, str | None, list[str]]:
    """Return the task, PyTorch's index, and the arguments that are the task's own."""
    parser = argparse.ArgumentParser(
        prog="tasks.py",
        description="Set SpinLoop up in .venv, once, then show it, check it or test it; "
        "conformance has an environment of its own, .venv-conformance.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    index = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for each in (parser, index):
        each.add_argument(
            "--torch-index", metavar="URL", help="one more package index, to take PyTorch from"
        )
    parser.add_argument("task", choices=TASKS, help="what to do")
    parser.add_argument(
        "arguments",
        nargs=argparse.REMAINDER,
        help="handed on to `spinloop demo`, to pytest, or which drivers to try",
    )
    options = parser.parse_args(argv)
    # The index may stand behind the task too; all else there belongs to the task.
    later, arguments = index.parse_known_args(options.arguments)
    return options.task, later.torch_index or options.torch_index, arguments


def python_is_too_old(version: tuple[int, ...]) -> str | None:
    if version[:2] >= OLDEST_PYTHON:
        return None
    needed, found = (".".join(map(str, v[:2])) for v in (OLDEST_PYTHON, version))
    return f"SpinLoop needs Python {needed} or newer, and this is Python {found}."


def main(argv: list[str], place: Place) -> int:
    """Do one task and return its exit code; whatever goes wrong here is told in one sentence."""
    try:
        if sentence := python_is_too_old(sys.version_info[:3]):
            raise Stop(sentence)
        task, torch_index, arguments = parse(argv)
        return TASKS[task](place, torch_index, arguments)
    except KeyboardInterrupt:
        print("Stopped by Ctrl-C; run the same command to start again.", file=sys.stderr)
        return 130
    except Stop as stop:
        print(stop, file=sys.stderr)
    except OSError as error:
        print(reason_in(str(error)) or error, file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], Place(Path(__file__).resolve().parent)))
