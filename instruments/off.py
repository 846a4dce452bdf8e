"""The safe state at once, from any program, whoever holds the bench."""

from __future__ import annotations

import contextlib
import os
import platform
import signal
import time
from dataclasses import dataclass
from functools import partial

import pyvisa

from instruments.bench_file import BenchFile
from instruments.errors import BenchError, HolderError
from instruments.guardian import TIMEOUT_MS, Line, to_safe_state
from instruments.guarding import stop_plan
from instruments.holder import Holder, holding_processes, who_holds
from instruments.limits_shadow import relays
from instruments.opening import find_drivers
from instruments.state_folder import addresses

_ENDS_S = 5.0  # wall time that a program gets to go to the safe state and end
_POLL_S = 0.02


@dataclass(frozen=True)
class Off:
    """How switching off went.

    Attributes:
        said: what was done about the program that held the bench, a sentence each.
        problems: what did not work, a sentence each; the rest was tried all the same.
    """

    said: tuple[str, ...]
    problems: tuple[str, ...]


def switch_off(file: BenchFile, ends_s: float = _ENDS_S) -> Off:
    """Levels to zero, outputs off, relays open last.

    A program on this computer that holds the bench is asked to end (SIGTERM), which is the safe
    state at once; of one that is killed by that, the guardian takes care.  Then, and also if it
    does not end, the same is sent on a way of its own, as a guardian does, and every source is
    asked whether it is off.

    Args:
        file: the bench file; of a simulated bench nothing outlives its program.
        ends_s: how long the program may take, s.

    Raises:
        BenchError: there is no VISA library.
    """
    if file.backend != "real":
        return Off(("a simulated bench ends with its program: nothing is on",), ())
    own = addresses(file)
    said = _ask_to_end(own, ends_s)
    with contextlib.ExitStack() as stack:
        # Over the head of one that did not end: outputs off comes first.
        with contextlib.suppress(HolderError):
            stack.callback(Holder(own).release)
        return Off(tuple(said), tuple(_own_way(file)))


def _ask_to_end(own: tuple[str, ...], ends_s: float) -> list[str]:
    held = who_holds(own)
    if not held:
        return []
    said = [held[0].partition("; until")[0]]
    here = platform.node()
    for host, pid in holding_processes(own):
        if host != here or pid == os.getpid():
            continue
        try:
            os.kill(pid, signal.SIGTERM)
        except OSError as error:
            said.append(f"process {pid} cannot be asked to end ({error.strerror}): stop it")
    give_up_s = time.monotonic() + ends_s
    while who_holds(own) and time.monotonic() < give_up_s:
        time.sleep(_POLL_S)
    if who_holds(own):
        said.append("it still holds the bench and may switch on again: stop it")
    else:
        said.append("it was asked to end, and has")
    return said


def _own_way(file: BenchFile) -> list[str]:
    """As the guardian does it, with sessions of this program's own."""
    try:
        manager = pyvisa.ResourceManager(file.visa)
    except (pyvisa.Error, OSError, ValueError) as error:
        raise BenchError(
            f"cannot open a VISA library ({' '.join(str(error).split())}): switch off at the "
            "instruments' front panels; 'spinloop doctor' says what is installed"
        ) from None
    plan = stop_plan(file, *find_drivers(file))
    lines: list[Line] = []
    problems: list[str] = []
    for part in [*plan["sources"], *plan["switches"]]:
        connect = partial(
            manager.open_resource, part["address"], read_termination="\n", write_termination="\n",
            timeout=TIMEOUT_MS, open_timeout=TIMEOUT_MS,
        )  # fmt: skip
        try:
            lines.append(Line(connect, part))
        except Exception as error:  # whatever it is, the others must be tried
            problems.append(f"{part['role']} at {part['address']}: {error}")
    there = {line.role for line in lines}
    for kind in ("sources", "switches"):
        plan[kind] = [part for part in plan[kind] if part["role"] in there]
    if problems:
        plan["switches"] = []  # no relay moves unless every source is known to be off
    problems += to_safe_state(lines, plan)
    problems = problems or _closed(file, lines)
    for line in lines:
        line.close()
    return problems


def _closed(file: BenchFile, lines: list[Line]) -> list[str]:
    """What is wrong with the relays, now that they should be open."""
    question = find_drivers(file)[0]["switch"].stop_messages()[2]
    [line] = [line for line in lines if line.role == "switch"]
    try:
        left = relays(line.query(question))
    except Exception as error:  # it may have been lost just now
        return [f"switch: {error}"]
    return [f"switch: {', '.join(sorted(left))} are still closed"] if left else []
