"""What was tried with a driver, and what came of it."""

from __future__ import annotations

import math
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from pyvisa.constants import StatusCode
from pyvisa.errors import VisaIOError

#: the columns of the report
STEPS = ("connect", "snapshot", "settings", "sweep", "ramp", "close")


class Ended(BaseException):
    """Nothing more can be tried with this driver: no failure of one step, so not an Exception."""


@contextmanager
def at_most(seconds: int) -> Iterator[None]:
    """End what takes longer: pyvisa-py's clear of a raw socket never returns if the link is down.

    Raises:
        Ended: the time is over.  On Windows there is no such alarm.
    """

    def too_long(*_: object) -> None:
        raise Ended(f"nothing for {seconds} s")

    if not hasattr(signal, "SIGALRM"):
        yield
        return
    before = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@dataclass(frozen=True)
class Station:
    """Where a driver finds its instrument.

    Attributes:
        library: PyVISA's library, such as ``sim.yaml@spinloop``.
        address: the instrument's.
        errors: takes the instrument's error queue, by a session of its own.
        ends: terminations that pyvisa-py has to be told, by PyVISA's names.
    """

    library: str
    address: str
    errors: Callable[[], list[str]]
    ends: dict[str, str] = field(default_factory=dict)


@dataclass
class Step:
    """How often one kind of thing was tried, and a sentence for each time that it failed."""

    tried: int = 0
    failures: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        if not self.tried:
            return "-"
        good = self.tried - len(self.failures)
        if self.tried == 1:
            return "passed" if good else "FAILED"
        return f"{good} of {self.tried}"


@dataclass
class Trial:
    """A driver's trial.

    Attributes:
        driver: its name.
        way: how it reached the bench.
        steps: by name.
    """

    driver: str
    way: str
    station: Station
    steps: dict[str, Step] = field(default_factory=lambda: {name: Step() for name in STEPS})

    @property
    def failures(self) -> list[str]:
        return [f"{name}: {text}" for name, step in self.steps.items() for text in step.failures]

    @contextmanager
    def step(self, name: str, what: str = "", *, vital: bool = False) -> Iterator[None]:
        """Try something: it fails if it raises, or if the instrument then reports an error.

        Args:
            name: one of :data:`STEPS`.
            what: said of a failure.
            vital: without it nothing else can be tried.

        Raises:
            Ended: something vital failed.
        """
        step = self.steps[name]
        step.tried += 1
        why = None
        try:
            yield
        except Ended as ended:
            step.failures.append(str(ended))
            raise
        except Exception as error:
            why = sentence(error)
        said = self.station.errors()
        if said:
            why = "; ".join([*([why] if why else []), *dict.fromkeys(said)])
        if why:
            step.failures.append(f"{what}: {why}" if what else why)
            if vital:
                raise Ended(why)

    @contextmanager
    def whole(self) -> Iterator[None]:
        """What goes wrong outside of the steps ends this driver's trial, not the others'."""
        try:
            yield
        except Exception as error:
            self.steps["close"].tried += 1
            self.steps["close"].failures.append(sentence(error))

    def complete(self, settable: Mapping[str, Setting], *tables: Mapping[str, Any]) -> None:
        """Check that every setting has its row in a table, and every row its setting."""
        rows = {name for table in tables for name in table}
        step = self.steps["settings"]
        step.tried += 1
        lost = [f"{name} has no values to try" for name in sorted(settable.keys() - rows)]
        lost += [f"the driver has no {name}" for name in sorted(rows - settable.keys())]
        if lost:
            step.failures.append("; ".join(lost))

    def settings(self, settable: Mapping[str, Setting], rows: Mapping[str, Any]) -> None:
        """Set every setting of a table to its values and read each back."""
        for name, row in rows.items():
            if name not in settable or isinstance(row, Skip):
                continue
            values = row if isinstance(row, Values) else Values(row)
            for value in values.given:
                with self.step("settings", f"{name} = {value!r}"):
                    settable[name].put(value)
                    got = settable[name].get()
                    assert same(value, got, values.relative), f"reads back {got!r}"


def sentence(error: Exception) -> str:
    """What went wrong, in short."""
    timed_out = StatusCode.error_timeout
    if isinstance(error, VisaIOError) and error.error_code == timed_out:
        return "no reply"
    text = " ".join(str(error).split())
    return text if isinstance(error, AssertionError) else f"{type(error).__name__}: {text[:160]}"


@dataclass(frozen=True)
class Setting:
    """How a driver sets something and reads it back."""

    put: Callable[[Any], Any]
    get: Callable[[], Any]


@dataclass(frozen=True)
class Skip:
    """Why a setting gets no values."""

    why: str


class Values:
    """Values for a setting.

    Args:
        given: one, or a tuple of them.
        relative: how far what is read back may be off.
    """

    def __init__(self, given: Any, relative: float = 1e-5) -> None:
        self.given = given if isinstance(given, tuple) else (given,)
        self.relative = relative


#: a range answers with its full scale, which may be a tenth above its name
RANGE = 0.11


def same(value: Any, got: Any, relative: float) -> bool:
    """Whether what was read back is what was set.

    Words may come back in their short form, and among others: a 2400 adds a function to those that
    it measures already.
    """
    if isinstance(value, str) and isinstance(got, str):
        parts = [part.strip('" ').upper() for part in got.split(",")]
        return any(part and value.upper().startswith(part) for part in parts)
    if isinstance(value, str | bool) or isinstance(got, bool):
        return bool(value == got)
    return math.isclose(float(value), float(got), rel_tol=relative, abs_tol=1e-12)


def ohms_law(volts: Any, amperes: Any, ohm: float, relative: float = 1e-3) -> None:
    """Check pairs against a resistor; a thousandth of the largest current may be noise.

    Raises:
        AssertionError: a pair is off.
    """
    pairs = [(float(v), float(i)) for v, i in zip(volts, amperes, strict=True)]
    assert len(pairs) > 1, "the sweep has no points"
    most = max(abs(v) for v, _ in pairs) / ohm
    assert most > 0, "the sweep stayed at zero"
    for volt, ampere in pairs:
        assert abs(ampere - volt / ohm) <= relative * most, (
            f"{ampere:.6g} A at {volt:.6g} V through {ohm:g} ohm"
        )


def table(trials: list[Trial]) -> str:
    """The report."""
    rows: list[tuple[str, ...]] = [("driver", "way", *STEPS)]
    rows += [(t.driver, t.way, *(str(t.steps[name]) for name in STEPS)) for t in trials]
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    for trial in trials:
        lines += [f"\n{trial.driver}, {trial.way}:"] if trial.failures else []
        lines += [f"  {failure}" for failure in trial.failures]
    return "\n".join(lines)
