"""The guardian: a process of its own that brings the bench to the safe state when the main process
dies or hangs.

Run as a script by :mod:`instruments.guarding`.  It imports PyVISA and the standard library alone,
and knows nothing of drivers: what to send comes as a plan, one line of JSON on its standard input.
Then come lines of one word:

    beat   the main process is well
    safe   the bench is at zero and off, and the guardian may go

It acts, once each, when no line comes for the plan's ``heartbeat_s``, and when the input ends
without ``safe``.  On its standard output it says ``ready``, ``cannot: ...`` and ``acted: ...``.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyvisa

TIMEOUT_MS = 1000  # of one VISA call
AT_WORK = "the guardian is at work"  # the latch's problem until it has done what it can
_END = ""  # the input has ended


class Line:
    """The guardian's own way to one instrument.

    Args:
        connect: opens a session.
        part: of the plan.
    """

    def __init__(self, connect: Callable[[], Any], part: dict[str, Any]) -> None:
        self._connect, self._part = connect, part
        self.role: str = part["role"]
        self._resource = connect()

    def query(self, message: str) -> str:
        """A question and its answer."""
        self._resource.write(message)
        return str(self._resource.read()).strip()

    def greet(self) -> None:
        """Make sure that the right instrument answers.

        Raises:
            ValueError: it is another one.
        """
        answer = self.query("*IDN?")
        if answer != self._part["identity"]:
            raise ValueError(f"answers {answer!r}, not {self._part['identity']!r}")

    def send(self, messages: list[str]) -> None:
        """Send messages; once more on a new session if the first try fails."""
        try:
            self._send(messages)
        except Exception:
            self.close()
            self._resource = self._connect()
            self._send(messages)

    def _send(self, messages: list[str]) -> None:
        self._resource.clear()
        for message in messages:
            self._resource.write(message)

    def close(self) -> None:
        """Let it go."""
        with contextlib.suppress(Exception):
            self._resource.close()

    def check(self) -> None:
        """Ask whether it is off.

        Raises:
            ValueError: it does not say so.
        """
        look, place = self._part["look"], self._part["output_at"]
        if look:
            answer = self.query(look)
            if answer.split(";")[place].strip().upper() not in ("0", "OFF"):
                raise ValueError(f"does not report its output off ({answer})")


def to_safe_state(paths: list[Line], plan: dict[str, Any]) -> list[str]:
    """Levels to zero, outputs off, and relays last, if all outputs are off.

    Returns:
        What did not work, a sentence each; the rest was tried all the same.
    """
    by_role = {path.role: path for path in paths}
    problems: list[str] = []

    def attempt(part: dict[str, Any], messages: list[str], *, check: bool) -> None:
        try:
            path = by_role[part["role"]]
            path.send(messages)
            if check:
                path.check()
        except Exception as error:  # whatever it is, the others must be tried
            text = str(error) or type(error).__name__
            problems.append(f"{part['role']}: {text}")

    for part in plan["sources"]:
        attempt(part, part["zero"], check=False)
    for part in plan["sources"]:
        attempt(part, part["off"], check=True)
    if not problems:
        for part in plan["switches"]:
            attempt(part, part["off"], check=False)
    return list(dict.fromkeys(problems))  # of a line that is gone, once


def main() -> None:
    """Watch until the main process has ended."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK"):  # the main process is asked, not this
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    plan = json.loads(sys.stdin.readline())
    try:
        manager = pyvisa.ResourceManager(plan["visa"])
    except Exception as error:
        tell(f"cannot: open the VISA library ({_sentence(error)})")
        return
    paths: list[Line] = []
    for part in [*plan["sources"], *plan["switches"]]:
        try:
            path = Line(_opener(manager, part["address"]), part)
            paths.append(path)
            path.greet()
        except Exception as error:
            tell(f"cannot: {part['role']} at {part['address']}: {_sentence(error)}")
            return
    tell("ready")
    watch(plan, _lines(), lambda reason: act(paths, plan, reason))


def _sentence(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _opener(manager: Any, address: str) -> Callable[[], Any]:
    def connect() -> Any:
        return manager.open_resource(
            address, read_termination="\n", write_termination="\n", timeout=TIMEOUT_MS,
            open_timeout=TIMEOUT_MS,
        )  # fmt: skip

    return connect


def tell(line: str) -> None:
    """A line for the main process, if it still listens."""
    with contextlib.suppress(OSError, ValueError):
        print(line, flush=True)


def _lines() -> queue.Queue[str]:
    """The lines of the standard input as they come; ``_END`` when there are no more."""
    lines: queue.Queue[str] = queue.Queue()

    def read() -> None:
        for line in sys.stdin:
            lines.put(line.strip())
        lines.put(_END)

    threading.Thread(target=read, daemon=True).start()
    return lines


def watch(plan: dict[str, Any], lines: queue.Queue[str], act: Callable[[str], None]) -> None:
    """Wait for the end of the main process, or of its heartbeat."""
    stale = False
    while True:
        try:
            line = lines.get(timeout=None if stale else plan["heartbeat_s"])
        except queue.Empty:
            stale = True
            act(f"no heartbeat of process {os.getppid()} for {plan['heartbeat_s']:g} s")
            continue
        if line == "safe":
            return
        if line == _END:
            act("the process that held the bench has ended and left it as it was")
            return


def act(paths: list[Line], plan: dict[str, Any], reason: str) -> None:
    """Bring the bench to the safe state, and say so wherever somebody may look."""
    latch(plan, reason, [AT_WORK])  # before: nobody else begins meanwhile
    problems = to_safe_state(paths, plan)
    latch(plan, reason, problems)
    ended = "; ".join(problems) or "every output is at zero and off"
    tell(f"acted: {reason}: {ended}")
    record(plan, f"stale heartbeat: {reason}", problems)


def latch(plan: dict[str, Any], reason: str, problems: list[str]) -> None:
    """The latch, as :class:`instruments.state_folder.Latch` has it.  One that is there keeps its
    reason: it came first."""
    path = Path(plan["latch"]["path"])
    content = {
        "cause": "stale heartbeat",
        "reason": reason,
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        there = json.loads(path.read_text(encoding="utf-8"))
        content = {key: there[key] for key in content}
    content = plan["latch"]["content"] | content | {"problems": problems, "by": "the guardian"}
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        half = path.with_name(f"{path.name}.{os.getpid()}")
        half.write_text(json.dumps(content, indent=2), encoding="utf-8")
        half.replace(path)


def record(plan: dict[str, Any], reason: str, problems: list[str]) -> None:
    """Events on the session that was interrupted.  Its library is loaded now, and not before."""
    if plan["record"] is None:
        return
    with contextlib.suppress(Exception):  # the bench is safe; the latch says the same
        from db import add_events

        events = [("tripped", reason), ("guardian", "brought the bench to the safe state")]
        events += [("safe state", problem) for problem in problems]
        add_events(plan["record"]["path"], plan["record"]["session"], events)


if __name__ == "__main__":
    main()
