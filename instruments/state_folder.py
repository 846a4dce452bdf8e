"""What a bench keeps on this computer between programs: latches and rehearsals.

The folder belongs to the user; the variable SPINLOOP_STATE names another one.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import platformdirs

from instruments.bench_file import BenchFile
from instruments.bench_file_rules import canonical
from instruments.states import now


def state_folder() -> Path:
    """The folder; it need not exist."""
    given = os.environ.get("SPINLOOP_STATE")
    return Path(given) if given else platformdirs.user_state_path("spinloop", appauthor=False)


def addresses(file: BenchFile) -> tuple[str, ...]:
    """The instruments of a bench: their VISA addresses in full form, sorted."""
    return tuple(sorted(canonical(one.address).upper() for _, one in file.connections()))


def as_file_name(address: str) -> str:
    """An address as a file name."""
    return re.sub(r"[^A-Za-z0-9.-]+", "_", address)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(f"{path.name}.{os.getpid()}")
    half.write_text(json.dumps(content, indent=2), encoding="utf-8")
    half.replace(path)


# -- the latch ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Latch:
    """A bench that tripped, until somebody resets it.

    Attributes:
        bench: its name.
        addresses: its instruments; none: it may be any.
        cause, reason: why it tripped.
        since: time of day, ISO 8601, UTC.
        problems: what did not work on the way to the safe state, a sentence each.
        by: "the program" or "the guardian".
    """

    bench: str
    addresses: tuple[str, ...]
    cause: str
    reason: str
    since: str
    problems: tuple[str, ...] = ()
    by: str = "the program"

    def __str__(self) -> str:
        open_end = "; the safe state was NOT confirmed: " + "; ".join(self.problems)
        return (
            f"{self.bench} tripped at {self.since} ({self.cause}: {self.reason})"
            f"{open_end if self.problems else ''}; look at the instruments, then run "
            "'spinloop bench reset'"
        )


def latch_path(of: Sequence[str]) -> Path:
    """Where the latch of a set of instruments is kept."""
    name = hashlib.sha256("\n".join(of).encode()).hexdigest()[:16]
    return state_folder() / "latches" / f"{name}.json"


def set_latch(latch: Latch) -> None:
    """Keep a latch.  An earlier one of the same instruments keeps its time and reason, and has the
    problems of this one."""
    path = latch_path(latch.addresses)
    earlier = dict(_latches()).get(path)
    if earlier is not None:
        latch = replace(earlier, problems=latch.problems)
    write_json(path, asdict(latch))


def find_latch(of: Sequence[str]) -> Latch | None:
    """The latch on any of these instruments, the oldest if there are several."""
    found = [latch for _, latch in _latches() if _is_on(latch, of)]
    return min(found, key=lambda latch: latch.since, default=None)


def clear_latch(of: Sequence[str]) -> Latch | None:
    """Take every latch off these instruments: a person has looked at them.

    Returns:
        The oldest; None: there was none.
    """
    found = find_latch(of)
    for path, latch in _latches():
        if _is_on(latch, of):
            path.unlink(missing_ok=True)
    return found


def reset_latch(file: BenchFile) -> Latch | None:
    """As :func:`clear_latch`, for the instruments of a bench."""
    return clear_latch(addresses(file))


def _is_on(latch: Latch, of: Sequence[str]) -> bool:
    return not latch.addresses or bool(set(latch.addresses) & set(of))


def _latches() -> Iterator[tuple[Path, Latch]]:
    """All latches; a file that cannot be read counts for every bench: nobody knows whose it is."""
    for path in sorted((state_folder() / "latches").glob("*.json")):
        try:
            values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            for key in ("addresses", "problems"):
                values[key] = tuple(values[key])
            latch = Latch(**values)
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            latch = Latch("a bench", (), "unknown", f"{path} cannot be read", "an unknown time")
        yield path, latch


# -- rehearsals -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rehearsal:
    """A whole procedure that went well on dummy resistors.

    Attributes:
        fingerprint: of the bench file that it was made with.
        at: time of day, ISO 8601, UTC.
        database, session: where it is recorded.
    """

    fingerprint: str
    at: str
    database: str
    session: int

    @classmethod
    def of(cls, file: BenchFile, database: Path, session: int) -> Rehearsal:
        """The rehearsal of a bench, made now."""
        return cls(fingerprint(file), now(), str(database), session)

    @classmethod
    def find(cls, file: BenchFile) -> Rehearsal | None:
        """The rehearsal on record for a bench file as it is; None: there is none."""
        try:
            values = json.loads(_rehearsal_path(fingerprint(file)).read_text(encoding="utf-8"))
            found = cls(**values)
        except (OSError, ValueError, TypeError):
            return None
        return found if found.holds_for(file) else None

    def save(self) -> None:
        """Put it on record."""
        write_json(_rehearsal_path(self.fingerprint), asdict(self))

    def holds_for(self, file: BenchFile) -> bool:
        """Whether it was made with this bench file."""
        return self.fingerprint == fingerprint(file)


def _rehearsal_path(of: str) -> Path:
    return state_folder() / "rehearsals" / f"{of[:16]}.json"


def fingerprint(file: BenchFile) -> str:
    """Hash of what can hurt a junction: instruments, limits, read-out, timing and relays.

    Names, the calibration's range (within the limits) and the VISA library have no part in it.
    """
    parts = file.model_dump(
        mode="json",
        include={"instruments", "limits", "readout", "timing", "junctions"},
        exclude_defaults=True,  # a key that comes with a later version changes nothing
    )
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
