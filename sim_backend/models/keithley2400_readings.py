"""Readings of a Keithley 2400: noise, ranges, filter, status word.

Page numbers are of the 2400 Series User's Manual, 2400S-900-01 rev. K.  From memory: the noise of
voltages, what autozero costs, how a moving filter begins.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, fields

import numpy as np
from numpy.typing import NDArray

from sim_backend.faults_readings import Mark
from sim_backend.models.electrical import OVERFLOW, next_range
from sim_backend.models.keithley2400_source import FUNCTIONS, HEADROOM, SourceSide
from sim_backend.models.keithley2400_table import RANGES
from sim_backend.scpi import ScpiError
from sim_backend.seen import Seen

Array = NDArray[np.float64]
NAN = 9.91e37
MOST = 2500  # p. 18-110
NOISE_V = 2e-6  # of the range, rms, over one power line cycle (memory)
VOLT_STREAM = 1 << 40  # the voltages' noise has numbers of its own
# Measurement register, p. 15-13 and 15-14.
READING, READING_OVERFLOW, BUFFER_AVAILABLE, BUFFER_FULL = 1 << 6, 1 << 7, 1 << 8, 1 << 9
IN_COMPLIANCE = 1 << 14
# Bits of a reading's status word, p. 18-49 to 18-51.
S_OVERFLOW, S_FILTER, S_FRONT, S_AUTO_OHMS = 1, 2, 4, 1 << 10
S_REAL, S_RANGE = 1 << 3, 1 << 16
S_COMPLIANCE = S_REAL | S_RANGE
S_MEASURED = {"VOLT": 1 << 11, "CURR": 1 << 12, "RES": 1 << 13}
S_SOURCED = {"v": 1 << 14, "i": 1 << 15}
S_FOUR_WIRE = 1 << 22

_NAMES = {
    "VOLT": "VOLT", "VOLTAGE": "VOLT", "VOLT:DC": "VOLT", "VOLTAGE:DC": "VOLT", "CURR": "CURR",
    "CURRENT": "CURR", "CURR:DC": "CURR", "CURRENT:DC": "CURR", "RES": "RES", "RESISTANCE": "RES",
}  # fmt: skip


def _none() -> Array:
    return np.empty(0)


@dataclass
class Readings:
    """What a meter has measured: one entry a reading."""

    volt: Array = field(default_factory=_none)
    current_a: Array = field(default_factory=_none)
    ohm: Array = field(default_factory=_none)
    status: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    time_s: Array = field(default_factory=_none)

    def __len__(self) -> int:
        return len(self.current_a)

    def extend(self, other: Readings, most: int) -> None:
        for one in fields(self):
            both = np.concatenate((getattr(self, one.name), getattr(other, one.name)))
            setattr(self, one.name, both[:most])


class Recorder(SourceSide):
    """What measures and keeps readings."""

    autozero_factor = 3  # memory: signal, reference and zero are integrated in turn

    def _set_defaults(self) -> None:
        super()._set_defaults()
        self.taken = getattr(self, "taken", 0)  # readings by now: the faults' counter
        self.converted = getattr(self, "converted", 0)  # conversions: the noise's counter
        self.stack: deque[tuple[float, float]] = deque()
        self.last = Readings()
        self.clear_buffer()

    # -- time -------------------------------------------------------------------------------------

    @property
    def window_s(self) -> float:
        """What one conversion integrates over, s."""
        return float(self.state["nplc"] / float(self.state["line_hz"]))

    @property
    def repeats(self) -> int:
        """Conversions of one reading: a repeating filter takes all of them anew."""
        repeating = self.state["average"] and self.state["average_control"] == "REP"
        return int(self.state["average_count"]) if repeating else 1

    @property
    def integration_s(self) -> float:
        """What all conversions of one reading take, s."""
        factor = self.autozero_factor if self.state["autozero"] else 1
        return self.repeats * factor * self.window_s

    def set_autozero(self, value: bool | str) -> None:
        """ONCE measures reference and zero now, and leaves it off."""
        if value == "ONCE":
            self.state["autozero"] = False
            self.bench.pass_time((self.autozero_factor - 1) * self.window_s, "integrate")

    def refill(self, _: object) -> None:
        """A filter's setting has changed: its stack begins anew."""
        self.stack.clear()

    # -- functions --------------------------------------------------------------------------------

    def _named(self, text: str) -> list[str]:
        words = [word.strip(" \"'").upper() for word in text.split(",")]
        return [_NAMES[word] for word in words if word in _NAMES]

    def set_functions(self, text: str) -> None:
        """Added to what is measured, or with concurrent functions off in its place (p. 18-53)."""
        names = self._named(text)
        if names:
            kept = self.functions if self.state["concurrent"] else ()
            self._measure((*kept, *names) if self.state["concurrent"] else (names[-1],))

    def _measure(self, names: tuple[str, ...]) -> None:
        self.functions = tuple(name for name in FUNCTIONS if name in names)
        full = {"VOLT": '"VOLT:DC"', "CURR": '"CURR:DC"', "RES": '"RES"'}
        self.state["sense_functions"] = ",".join(full[n] for n in self.functions) or '""'
        self.refill(None)
        self.bench.touch()  # auto-ohms takes the source over

    def all_functions(self) -> None:
        if not self.state["concurrent"]:
            raise ScpiError(-221)
        self._measure(FUNCTIONS)

    def drop_functions(self, text: str) -> None:
        gone = self._named(text)
        self._measure(tuple(name for name in self.functions if name not in gone))

    def no_functions(self) -> None:
        self._measure(())

    def ask_function_count(self) -> int:
        return len(self.functions)

    def set_concurrent(self, on: bool) -> None:
        """Off: one function is left (which: memory).  Not while ohms read their source back."""
        if not on and len(self.functions) == len(FUNCTIONS):
            raise ScpiError(823)
        if not on and len(self.functions) > 1:
            self._measure(self.functions[:1])

    # -- measuring --------------------------------------------------------------------------------

    def _fit(self, key: str, value: Array) -> Array:
        """Whether values are above the range; autorange moves it."""
        auto = self.state["i_range_auto" if key == "i" else "v_sense_auto"]
        if auto and (key != self.key or self.auto_ohms) and len(value):
            span = next_range(RANGES[key], float(value[-1]), HEADROOM) or RANGES[key][-1]
            self.state["i_range" if key == "i" else "v_sense_range"] = span
            return np.zeros(len(value))
        return (np.abs(value) > HEADROOM * self.span(key) * (1 + 1e-3)).astype(np.float64)

    def _filtered(self, volt: Array, ampere: Array) -> tuple[Array, Array]:
        """Readings of conversions."""
        if self.repeats > 1:
            volt, ampere = (x.reshape(-1, self.repeats).mean(axis=1) for x in (volt, ampere))
            return volt, ampere
        if not self.state["average"] or self.state["average_control"] != "MOV":
            return volt, ampere
        found = []
        for pair in zip(volt.tolist(), ampere.tolist(), strict=True):
            self.stack.append(pair)
            while len(self.stack) > self.state["average_count"]:
                self.stack.popleft()
            found.append(np.mean(self.stack, axis=0))
        both = np.array(found).reshape(-1, 2)
        return both[:, 0], both[:, 1]

    def record(self, true: Seen, time_s: Array, levels: Array | None = None) -> None:
        """Take readings that end at ``time_s``: noise, filter, faults, limits, ranges, buffer.

        Args:
            true: what the terminals see.
            time_s: bench time of the ends, s, [P].
            levels: of the source at each, V or A, [P]; None: its own.
        """
        state, count, n = self.state, len(time_s), self.repeats
        sees = true.at(np.repeat(np.arange(count), n))
        left = np.tile(np.arange(n - 1, -1, -1), count)
        ends = np.repeat(time_s, n) - left * self.integration_s / n
        first, self.converted = self.converted, self.converted + count * n
        noise_a: Array = self.bench.read_noise(self, first, sees, ends)  # type: ignore[arg-type]
        ampere: Array = sees.current_a + noise_a
        own = self.bench.noise(self, VOLT_STREAM + first, count * n) / np.sqrt(state["nplc"])
        volt = sees.volt + NOISE_V * self.span("v") * own
        volt, ampere = self._filtered(volt, ampere)
        ampere = np.where(true.limited & (self.key == "v"), true.current_a, ampere)
        volt = np.where(true.limited & (self.key == "i"), true.volt, volt)
        sourced = np.full(count, self.level) if levels is None else levels
        # What is sourced and not measured is what the source is set to (p. 18-51).
        if self.key == "v" and "VOLT" not in self.functions:
            volt = sourced
        if self.key == "i" and "CURR" not in self.functions:
            ampere = sourced
        value = ampere if self.key == "v" else volt
        value, marks = self.bench.faults.on_readings(self.name, self.taken + 1, value, time_s)
        self.taken += count
        held = true.limited
        if marks is not None:
            held = held | (marks == Mark.COMPLIANCE)
            limit, _ = self.compliance
            stuck = np.where(value < 0, -limit, limit)
            value = np.where(marks == Mark.COMPLIANCE, stuck, value)
        measured = "i" if self.key == "v" else "v"
        over = self._fit(measured, value) > 0
        value = np.where(over, OVERFLOW, value)
        if marks is not None:
            value = np.where(marks == Mark.NAN, NAN, value)
            over = over | (marks == Mark.OVERFLOW)
            value = np.where(over, OVERFLOW, value)
        volt, ampere = (volt, value) if self.key == "v" else (value, ampere)
        ohm = self._ohm(volt, ampere)
        status = self._status(held, over | (ohm == OVERFLOW))
        new = Readings(volt, ampere, ohm, status, time_s)
        self._hide(new)
        self._keep(new)

    def _ohm(self, volt: Array, ampere: Array) -> Array:
        ohm = np.divide(volt, ampere, out=np.full(len(ampere), NAN), where=ampere != 0)
        bad = (volt == NAN) | (ampere == NAN)
        over = (volt == OVERFLOW) | (ampere == OVERFLOW)
        if self.auto_ohms:
            over = over | (np.abs(ohm) > HEADROOM * self.state["ohm_range"] * (1 + 1e-3))
        return np.where(over, OVERFLOW, np.where(bad, NAN, ohm))

    def _hide(self, new: Readings) -> None:
        """What is neither sourced nor measured is no number (p. 18-51)."""
        if "RES" not in self.functions:
            new.ohm = np.full(len(new), NAN)
        if self.key == "v" and "CURR" not in self.functions:
            new.current_a = np.full(len(new), NAN)
        if self.key == "i" and "VOLT" not in self.functions:
            new.volt = np.full(len(new), NAN)

    def _status(self, held: NDArray[np.bool_], over: NDArray[np.bool_]) -> NDArray[np.int64]:
        state = self.state
        word = S_SOURCED[self.key] | sum(S_MEASURED[name] for name in self.functions)
        word |= S_FRONT if state["terminals"] == "FRON" else 0
        word |= S_FILTER if state["average"] else 0
        word |= S_AUTO_OHMS if self.auto_ohms else 0
        word |= S_FOUR_WIRE if state["four_wire"] else 0
        kind = S_RANGE if self.compliance[1] else S_REAL
        found: NDArray[np.int64] = word | held * kind | over * S_OVERFLOW
        return found

    def _keep(self, new: Readings) -> None:
        state = self.state
        self.last.extend(new, MOST)
        if state["buffer_control"] == "NEXT":
            self.buffer.extend(new, state["buffer_points"])
            full = len(self.buffer) == state["buffer_points"]
            self.set_condition("measurement", BUFFER_AVAILABLE, len(self.buffer) >= 2)
            if full:
                state["buffer_control"] = "NEV"
            self.set_condition("measurement", BUFFER_FULL, full)
        if len(new):
            last = int(new.status[-1])
            self.set_condition("measurement", READING, False)
            self.set_condition("measurement", READING, True)
            self.set_condition("measurement", IN_COMPLIANCE, bool(last & S_COMPLIANCE))
            self.set_condition("measurement", READING_OVERFLOW, bool(last & S_OVERFLOW))

    def clear_buffer(self) -> None:
        self.buffer = Readings()
        self.set_condition("measurement", BUFFER_AVAILABLE | BUFFER_FULL, False)
