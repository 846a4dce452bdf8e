"""One bench, one holder: a lock on every instrument, gone with the process that holds it."""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import platform
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from filelock import FileLock, Timeout

from instruments.errors import HolderError
from instruments.state_folder import as_file_name, state_folder, write_json
from instruments.states import now


class Holder:
    """Holds instruments for this process until it is released.

    The locks are the operating system's: a process that is killed has none any more.  Beside each
    stands who holds it.  They bind only programs that ask; the guardian does not.

    Args:
        addresses: VISA addresses in full form.

    Raises:
        HolderError: another program holds one of them, or the locks cannot be made.
    """

    def __init__(self, addresses: Sequence[str]) -> None:
        self._locks: list[tuple[FileLock, Path]] = []
        if not addresses:  # nothing that outlives this process
            return
        folder = state_folder() / "locks"
        me = _myself()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for address in addresses:  # in one order for all, so that two never hold half each
                about = folder / f"{as_file_name(address)}.json"
                # Not bound to a thread: whoever closes the bench gives it back.
                lock = FileLock(about.with_suffix(".lock"), timeout=0, thread_local=False)
                try:
                    lock.acquire()
                except Timeout:
                    raise HolderError(f"{address} is held by {_whom(about)}") from None
                self._locks.append((lock, about))
                write_json(about, me)
        except OSError as error:
            self.release()
            raise HolderError(
                f"the locks in {folder} cannot be made ({error.strerror or error}): name a folder "
                "that can be written in the variable SPINLOOP_STATE"
            ) from None
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Give the instruments back; twice is allowed."""
        while self._locks:
            lock, about = self._locks.pop()
            with contextlib.suppress(OSError):
                about.unlink(missing_ok=True)
            lock.release(force=True)


def _myself() -> dict[str, str | int]:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user without a name
        user = "somebody"
    return {
        "user": user,
        "host": platform.node(),
        "pid": os.getpid(),
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])[:200],
        "since": now(),
    }


def _whom(about: Path) -> str:
    """Who holds an instrument, in words."""
    end = "; until it ends you may only look at the record"
    try:
        who = json.loads(about.read_text(encoding="utf-8"))
        return (
            f"{who['user']} on {who['host']} since {who['since']} (process {who['pid']}: "
            f"{who['command']}){end}"
        )
    except (OSError, ValueError, KeyError, TypeError):  # it has not said so yet
        return f"another program{end}"


def who_holds(addresses: Sequence[str]) -> list[str]:
    """A sentence for each instrument that another program holds; takes nothing."""
    return [f"{address} is held by {_whom(about)}" for address, about in _held(addresses)]


def holding_processes(addresses: Sequence[str]) -> list[tuple[str, int]]:
    """Host and process number of the programs that hold any of these; takes nothing."""
    found = []
    for _, about in _held(addresses):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            who = json.loads(about.read_text(encoding="utf-8"))
            found.append((str(who["host"]), int(who["pid"])))
    return list(dict.fromkeys(found))


def _held(addresses: Sequence[str]) -> Iterator[tuple[str, Path]]:
    """Each address that another program holds, and where that has said who it is."""
    for address in addresses:
        about = state_folder() / "locks" / f"{as_file_name(address)}.json"
        if not about.exists():  # whoever holds it has said so
            continue
        lock = FileLock(about.with_suffix(".lock"), timeout=0, thread_local=False)
        try:
            lock.acquire()
        except Timeout:
            yield address, about
        else:
            lock.release(force=True)
