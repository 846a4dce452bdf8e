"""The numbers behind :func:`sim_backend.circuit.solve`.

Unknowns: the nodes' voltages against earth and the sources' currents.  A source has one row,
cv (V(hi) - V(lo)) + ci I = set, which changes with what it holds: its set value or its limit.
Which of them hold what is found as for linear complementarity problems: every source that
contradicts itself changes over, all at once; from some turn on only the first of them (K. G. Murty,
Opsearch 11, 128 (1974)), and at last by trying all there are.  Conductors that depend on their
voltage are followed by Newton's method in the same turns.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim_backend.circuit import (
    EARTH,
    LEAST_OHM,
    Array,
    CircuitError,
    Element,
    Nonlinear,
    Passive,
    Solution,
    Source,
    VoltageSource,
    called,
    conductance_s,
    ends,
    finite,
)
from sim_backend.nodal import GOOD_S, linear, reached, shape_of

Modes = NDArray[np.int8]
Points = NDArray[np.intp]
_CLOSE = 1e-10  # Newton's method ends here: relative error of a conductor's current
_LEAST_A = 1e-20  # ... or here
_SAME = 1e-9  # how far beyond a limit is beyond it, relative
_ENDLESS = 1e300  # no limit
_AT_ONCE, _ONE_BY_ONE, _FIXED = 20, 40, 60  # turns
_MOST_SOURCES = 6  # 3**6 ways are tried


@dataclass
class _State:
    """Some points of a circuit.

    Attributes:
        at: their numbers, [Q].
        volt: of the nodes, V, [Q, nodes].
        passive, source: across the elements, V, [Q, elements].
        ampere: of the sources, A, [Q, sources].
        modes: what the sources hold: 0 the set value, ±1 the limit, [Q, sources].
    """

    at: Points
    volt: Array
    passive: Array
    source: Array
    ampere: Array
    modes: Modes

    @classmethod
    def blank(cls, at: Points, nodes: int, passive: int, sources: int) -> _State:
        """Nothing known, no limit reached."""
        volt, across = np.zeros((len(at), nodes)), np.zeros((len(at), passive))
        two = np.zeros((2, len(at), sources))
        return cls(at, volt, across, two[0], two[1], np.zeros((len(at), sources), dtype=np.int8))

    def rows(self, rows: Any) -> _State:
        """Some of them, copied."""
        return _State(*(value[rows].copy() for value in vars(self).values()))

    def put(self, rows: Any, part: _State) -> None:
        """Take over what ``rows`` had given."""
        for mine, new in zip(vars(self).values(), vars(part).values(), strict=True):
            mine[rows] = new


class Network:
    """A circuit made ready.

    Args:
        elements, joined, points: see :func:`sim_backend.circuit.solve`.
    """

    def __init__(
        self, elements: Sequence[Element], joined: Mapping[str, str], points: int = 1
    ) -> None:
        if len(set(elements)) != len(elements):
            raise CircuitError("an element is given twice; give each once")
        self._joined = joined
        self._sources = [e for e in elements if isinstance(e, Source)]
        passive = [e for e in elements if isinstance(e, Passive)]
        pairs = tuple(_named(e, joined) for e in passive)
        sources = tuple(_named(e, joined) for e in self._sources)
        live = reached(pairs, sources)
        self._passive = [e for e, lives in zip(passive, live, strict=True) if lives]
        #: what no source has a way to: nothing happens there
        self._idle = [e for e, lives in zip(passive, live, strict=True) if not lives]
        self._pairs = tuple(p for p, lives in zip(pairs, live, strict=True) if lives), sources
        self._nodes = shape_of(*self._pairs, (False,) * len(self._passive)).nodes
        self._values(points)

    def _values(self, points: int) -> None:
        """Numbers of the elements, [P, ...]; P is what they broadcast to."""
        self._curved = [
            (at, e) for at, e in enumerate(self._passive) if isinstance(e, Nonlinear)
        ]  # fmt: skip
        siemens = [conductance_s(e) for e in self._passive]
        given = [e.volt if isinstance(e, VoltageSource) else e.ampere for e in self._sources]
        sets = [finite("a source's value", value) for value in given]
        idle = [conductance_s(e) for e in self._idle]
        arrays = [value for value in (*siemens, *sets, *idle) if not isinstance(value, float)]
        sizes = {points, *(value.size for value in arrays)} - {1}
        if len(sizes) > 1:
            raise CircuitError(f"arrays of {sorted(sizes)} points do not fit; give all the same P")
        self.points = (sizes or {1}).pop()
        self._siemens, self._set = _columns(siemens, self.points), _columns(sets, self.points)
        self._is_v = np.array([isinstance(e, VoltageSource) for e in self._sources], dtype=bool)
        limits = [e.most_a if isinstance(e, VoltageSource) else e.most_v for e in self._sources]
        ohms = [e.ohm if isinstance(e, VoltageSource) else 0.0 for e in self._sources]
        for name, values in (("a source's limit", limits), ("a source's ohm", ohms)):
            if not all(value >= 0 for value in values):
                raise CircuitError(f"{name} is {min(values):g}; it must be at least 0")
        self._limit = np.minimum(np.array(limits, dtype=np.float64), _ENDLESS)
        # Limits and set values are passed where the rounding cannot have done it, V or A.
        self._most = self._limit * (1 + _SAME) + np.where(self._is_v, 1e-18, 1e-12)
        self._margin = np.where(self._is_v, 1e-12, 1e-18)
        self._ohm = np.maximum(np.array(ohms, dtype=np.float64), LEAST_OHM)

    # -- one linear circuit -----------------------------------------------------------------------

    def _linear(self, state: _State, siemens: Array, extra_a: Array) -> None:
        """Voltages and currents of a state, in place.

        Args:
            siemens, extra_a: see :func:`sim_backend.nodal.linear`, [Q, passive].
        """
        good = siemens >= GOOD_S
        alike = np.concatenate((state.modes, good), axis=1)
        if (alike == alike[:1]).all():
            self._alike(state, slice(None), siemens, extra_a, good[0])
            return
        for way in np.unique(alike, axis=0):
            same = (alike == way).all(axis=1)
            self._alike(state, same, siemens[same], extra_a[same], good[same][0])

    def _alike(
        self, state: _State, same: Any, siemens: Array, extra_a: Array, good: NDArray[np.bool_]
    ) -> None:
        """The points ``same``, at which sources hold and conductors join alike."""
        way = state.modes[same][0]
        holds_v = (way == 0) == self._is_v
        given = self._set[state.at[same]]
        # A current source at its limit: its small resistance counts from its set current on.
        held = way * self._limit + np.where(self._is_v, 0.0, LEAST_OHM * given)
        given = np.where(way == 0, given, held)
        ci = np.where(holds_v, self._ohm, 1.0)
        shape = shape_of(*self._pairs, tuple(good.tolist()))
        unknown, ampere = linear(shape, siemens, extra_a, holds_v.astype(np.float64), ci, given)
        state.volt[same], state.ampere[same] = unknown @ shape.volt.T, ampere
        state.passive[same] = unknown @ shape.passive.T
        state.source[same] = unknown @ shape.source.T

    # -- limits and curved conductors -------------------------------------------------------------

    def _wanted(self, state: _State) -> Modes:
        """What each source should hold by the rules, [Q, sources]."""
        given = self._set[state.at]
        limited = np.where(self._is_v, state.ampere, state.source)
        over = np.where(self._is_v, state.source + self._ohm * state.ampere, state.ampere) - given
        margin, most = _SAME * np.abs(given) + self._margin, self._most
        beyond = np.where(limited > most, 1, np.where(limited < -most, -1, 0))
        kept = np.where(state.modes * over > margin, 0, state.modes)
        return np.where(state.modes == 0, beyond, kept).astype(np.int8)

    def _tangents(self, state: _State, siemens: Array, extra_a: Array) -> NDArray[np.bool_]:
        """Lay tangents of the curved conductors; True where the old ones were good, [Q]."""
        at, good = state.at, np.ones(len(state.at), dtype=bool)
        for e, element in self._curved:
            volt = np.zeros(self.points)  # the conductor wants all points
            volt[at] = state.passive[:, e]
            step = 1e-4 * np.abs(volt) + 1e-6
            three = np.stack((volt, volt + step, volt - step))
            ampere = (called(element, three) * three)[:, at]
            volt, step = volt[at], step[at]
            error = np.abs(ampere[0] - siemens[:, e] * volt - extra_a[:, e])
            good &= error <= _CLOSE * np.abs(ampere[0]) + _LEAST_A
            siemens[:, e] = np.maximum((ampere[1] - ampere[2]) / (2 * step), 0.0)
            extra_a[:, e] = ampere[0] - siemens[:, e] * volt
        return good

    def _run(self, state: _State, changes: bool) -> Points:
        """Let a state come to rest, in place; the numbers of its points that do not.

        Args:
            changes: whether sources may change over.
        """
        rows = np.arange(len(state.at))
        siemens = self._siemens[state.at]
        extra_a = np.zeros_like(siemens)
        for turn in range(_AT_ONCE + _ONE_BY_ONE if changes else _FIXED):
            part = state if len(rows) == len(state.at) else state.rows(rows)
            self._linear(part, siemens, extra_a)
            if part is not state:
                state.put(rows, part)
            unsettled = np.zeros(len(rows), dtype=bool)
            if self._curved:
                unsettled |= ~self._tangents(part, siemens, extra_a)
            if changes:
                wanted = self._wanted(part)
                wrong = wanted != part.modes
                unsettled |= wrong.any(axis=1)
                if turn >= _AT_ONCE:
                    wrong &= np.cumsum(wrong, axis=1) == 1
                state.modes[rows] = np.where(wrong, wanted, part.modes)
            rows, siemens, extra_a = rows[unsettled], siemens[unsettled], extra_a[unsettled]
            if not rows.size:
                break
        return rows

    def turns(self) -> tuple[_State, Points]:
        """All points as the turns leave them, and those that they do not bring to rest."""
        state = _State.blank(np.arange(self.points), len(self._nodes), *map(len, self._pairs))
        return state, self._run(state, changes=True)

    def try_all(self, state: _State, rows: Points) -> Points:
        """Try every way in which the sources may hold, in place; the points that none fits."""
        if len(self._sources) > _MOST_SOURCES:
            return rows
        ways = [(0, 1, -1) if most < _ENDLESS else (0,) for most in self._limit]
        for way in itertools.product(*ways):
            if not rows.size:
                break
            part = state.rows(rows)
            part.modes[:] = way
            lost = self._run(part, changes=False)
            fits = (self._wanted(part) == part.modes).all(axis=1)
            fits[lost] = False
            state.put(rows[fits], part.rows(fits))
            rows = rows[~fits]
        return rows

    def solve(self) -> Solution:
        """See :func:`sim_backend.circuit.solve`."""
        state, left = self.turns()
        if left.size:
            left = self.try_all(state, left)
        if left.size:
            names = sorted({n for e in (*self._sources, *dict(self._curved).values())
                            for n in ends(e)})  # fmt: skip
            raise CircuitError(
                f"the circuit has no rest state at point {int(left[0])}; look at the sources' "
                f"limits and the conductors at {', '.join(names)}"
            )
        through = self._siemens * state.passive
        for at, element in self._curved:
            through[:, at] = called(element, state.passive[:, at]) * state.passive[:, at]
        ampere: dict[Element, Array] = dict(zip(self._passive, through.T, strict=True))
        ampere |= zip(self._sources, state.ampere.T, strict=True)
        across: dict[Element, Array] = dict(zip(self._passive, state.passive.T, strict=True))
        across |= zip(self._sources, state.source.T, strict=True)
        nothing = np.zeros(self.points)
        across |= dict.fromkeys(self._idle, nothing)
        ampere |= dict.fromkeys(self._idle, nothing)
        limits: dict[Element, NDArray[np.bool_]]
        limits = dict(zip(self._sources, (state.modes != 0).T, strict=True))
        volt = {name: state.volt[:, at] for name, at in self._nodes.items()}
        idle = {name for e in self._idle for name in _named(e, self._joined)}
        volt |= dict.fromkeys((EARTH, *sorted(idle - set(volt))), nothing)
        return Solution(self._joined, volt, across, ampere, limits)


def _named(element: Element, joined: Mapping[str, str]) -> tuple[str, str]:
    a, b = ends(element)
    return joined.get(a, a), joined.get(b, b)


def _columns(values: Sequence[float | Array], points: int) -> Array:
    table = np.empty((points, len(values)))
    for at, value in enumerate(values):
        table[:, at] = value
    return table
