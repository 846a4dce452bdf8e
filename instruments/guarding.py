"""The main process' side of the guardian: start it, keep it told, hear when it has acted."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from db import NullRecorder, Recorder
from instruments import guardian
from instruments.bench_file import BenchFile
from instruments.errors import GuardianError
from instruments.limits_allowed import Allowed
from instruments.message import units
from instruments.safe_state import stop_order
from instruments.state_folder import Latch, addresses, latch_path
from instruments.transport import Transport

HEARTBEAT_S = 10.0  # without a beat for so long, the guardian acts
_START_S = 20.0  # it loads PyVISA and opens every address
_END_S = 20.0  # it may have to go to the safe state first
_BEATS = 10  # in the time that makes a heartbeat stale


def stop_plan(
    file: BenchFile, drivers: Mapping[str, Any], allowed: Mapping[str, Allowed]
) -> dict[str, Any]:
    """What to send to whom, in which order, to come to the safe state; plain data.

    Args:
        file: the bench file.
        drivers: of each role, or their classes.
        allowed: their allow-lists.
    """
    where = {role: connection.address for role, connection in file.connections()}
    sources = []
    for role in stop_order(drivers):
        zero, off, look = drivers[role].stop_messages()
        shown = [allowed[role].queries.get(unit.header) for unit in units(look)]
        sources.append(
            {
                "role": role, "address": where[role], "zero": zero, "off": off, "look": look,
                "output_at": shown.index("output"),
            }
        )  # fmt: skip
    relays = drivers["switch"].stop_messages()[1]
    switch = {
        "role": "switch", "address": where["switch"], "zero": (), "off": relays, "look": "",
        "output_at": 0,
    }  # fmt: skip
    return {"sources": sources, "switches": [switch]}


def make_plan(
    file: BenchFile,
    transport: Transport,
    drivers: Mapping[str, Any],
    recorder: Recorder | NullRecorder,
    heartbeat_s: float,
) -> dict[str, Any]:
    """What the guardian must know, as plain data."""
    plan = stop_plan(file, drivers, transport.guard.allowed)
    for part in [*plan["sources"], *plan["switches"]]:
        part["identity"] = transport.links[part["role"]].identity
    own = addresses(file)
    recorded = isinstance(recorder, Recorder) and recorder.session is not None
    return {
        **plan,
        "visa": file.visa,
        "heartbeat_s": heartbeat_s,
        "latch": {
            "path": str(latch_path(own)),
            "content": asdict(Latch(file.name, own, cause="", reason="", since="")),
        },
        "record": {"path": str(recorder.path), "session": recorder.session}
        if isinstance(recorder, Recorder) and recorded
        else None,
    }


class Guardian:
    """A running guardian process.

    A beat says: this process runs Python code, every instrument's owner thread is alive, and the
    order of messages is not locked up.  It does not say that the program does anything sensible.

    Args:
        plan: from :func:`make_plan`.
        transport: whose owner threads must be alive.
        on_loss: is called in a thread of its own with a sentence when the guardian has acted on its
            own account, or has ended.

    Raises:
        GuardianError: it cannot address every instrument, or cannot be started.
    """

    def __init__(
        self, plan: dict[str, Any], transport: Transport, on_loss: Callable[[str], None]
    ) -> None:
        self._transport, self._on_loss = transport, on_loss
        self._over = threading.Event()
        self._write = threading.Lock()
        self._process = _start()
        self._first: list[str] = []
        answered = threading.Event()
        self._listener = threading.Thread(
            target=self._listen, args=(answered,), name="guardian's words", daemon=True
        )
        self._listener.start()
        try:
            self._say(json.dumps(plan))
            answered.wait(_START_S)
            if self._first != ["ready"]:
                said = (self._first or ["cannot: it does not answer"])[0]
                raise GuardianError(
                    f"the guardian {said.replace('cannot: ', 'cannot do its work: ', 1)}"
                )
        except BaseException:
            self._over.set()
            self._process.kill()
            self._release()
            raise
        self._beater = threading.Thread(
            target=self._beat, args=(plan["heartbeat_s"] / _BEATS,), name="heartbeat", daemon=True
        )
        self._beater.start()

    def end(self, safe: bool) -> None:
        """Let it go: the bench is in the safe state; if not, the guardian tries on its own way."""
        self._over.set()
        if safe:
            with contextlib.suppress(GuardianError):
                self._say("safe")
        self._release()

    def _release(self) -> None:
        with contextlib.suppress(OSError):
            assert self._process.stdin is not None
            self._process.stdin.close()
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._listener.join()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        try:
            with self._write:
                self._process.stdin.write(f"{line}\n")
                self._process.stdin.flush()
        except (OSError, ValueError) as error:
            raise GuardianError(f"the guardian has ended ({error})") from None

    def _beat(self, every_s: float) -> None:
        while not self._over.wait(every_s):
            if self._transport.is_alive():
                with contextlib.suppress(GuardianError):  # the listener hears of its end as well
                    self._say("beat")

    def _listen(self, answered: threading.Event) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if answered.is_set() and not self._over.is_set():
                self._on_loss(f"the guardian {line.strip()}")
            elif not answered.is_set():
                self._first.append(line.strip())
                answered.set()
        answered.set()
        if self._first == ["ready"] and not self._over.is_set():
            self._on_loss("the guardian has ended: nobody would switch off for a dead program")


def _start() -> subprocess.Popen[str]:
    """Run the script in a group of its own, so that Ctrl-C does not reach it."""
    # By its path, not as a module of this package, which would load all of it.
    command = [sys.executable, "-P", str(Path(guardian.__file__).resolve())]
    group: dict[str, Any] = (
        {"creationflags": getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)}
        if os.name == "nt"
        else {"start_new_session": True}
    )
    try:
        return subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            text=True, encoding="utf-8", **group,
        )  # fmt: skip
    except OSError as error:
        raise GuardianError(f"the guardian cannot be started ({error})") from None
