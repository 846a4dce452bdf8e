"""Dc circuits: the voltages and currents that wires, relays, sources and devices settle at.

Modified nodal analysis (C.-W. Ho, A. Ruehli, P. Brennan, IEEE Trans. Circuits Syst. 22, 504
(1975)), for all P levels of a sweep at once.  The numbers are worked out in
:mod:`sim_backend.network`.

What is not ideal, so that every circuit has exactly one answer:

- every node leaks to earth with ``LEAK_S``: what floats comes to rest near earth;
- a source of voltage has at least ``LEAST_OHM`` in series, and so has a current source that
  limits its voltage: two of them in parallel share the current;
- a source that reaches its limit holds the limit instead, for as long as its set value would lie
  beyond it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

EARTH = "earth"
LEAK_S = 1e-12  #: from every node to earth, S: insulation of about 1 Tohm, memory
CONTACT_OHM = 0.1  #: a closed relay, ohm: typical of a reed relay, memory
LEAST_OHM = 1e-6  #: in series with every source of voltage, ohm


class CircuitError(ValueError):
    """An element that makes no sense, or a circuit without an answer; one sentence."""


@dataclass(frozen=True, eq=False)
class Conductance:
    """A conductor between two nodes; its current counts from ``a`` to ``b``.

    Args:
        a, b: nodes.
        siemens: S, at least 0, a number or [P].
    """

    a: str
    b: str
    siemens: ArrayLike


@dataclass(frozen=True, eq=False)
class Nonlinear:
    """A conductor whose conductance depends on its own voltage; current from ``a`` to ``b``.

    Args:
        a, b: nodes.
        siemens: current over voltage, S, at voltages from a to b, V: element by element for
            [..., P], also at 0 V.  The current must grow with the voltage.
    """

    a: str
    b: str
    siemens: Callable[[Array], Array]


@dataclass(frozen=True, eq=False)
class VoltageSource:
    """Holds V(hi) - V(lo) at ``volt`` less its current times ``ohm``; current counts out of hi.

    Args:
        hi, lo: nodes.
        volt: V, a number or [P].
        most_a: limit of the current's magnitude, A.
        ohm: in series, ohm.
    """

    hi: str
    lo: str
    volt: ArrayLike
    most_a: float = math.inf
    ohm: float = 0.0


@dataclass(frozen=True, eq=False)
class CurrentSource:
    """Drives ``ampere`` out of hi and back into lo.

    Args:
        hi, lo: nodes.
        ampere: A, a number or [P].
        most_v: limit of the magnitude of V(hi) - V(lo), V.
    """

    hi: str
    lo: str
    ampere: ArrayLike
    most_v: float = math.inf


@dataclass(frozen=True, eq=False)
class Voltmeter:
    """Looks at V(hi) - V(lo) through its input resistance; current from hi to lo.

    Args:
        hi, lo: nodes.
        input_ohm: ohm; inf: an ideal one.
    """

    hi: str
    lo: str
    input_ohm: float = 10e9  # above 10 Gohm: 2182A specifications, memory


Passive = Conductance | Nonlinear | Voltmeter
Source = VoltageSource | CurrentSource
Element = Passive | Source
Found = TypeVar("Found")


def ends(element: Element) -> tuple[str, str]:
    """Its two nodes."""
    if isinstance(element, Conductance | Nonlinear):
        return element.a, element.b
    return element.hi, element.lo


def relay(a: str, b: str, closed: bool = True) -> Conductance:
    """A relay's contact."""
    return Conductance(a, b, 1 / CONTACT_OHM if closed else 0.0)


def join(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Nodes that wires make one, each with the name that stands for all: earth, else the first in
    the order of the alphabet."""
    parent: dict[str, str] = {}

    def root(node: str) -> str:
        while parent.setdefault(node, node) != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for a, b in pairs:
        first, second = sorted((root(a), root(b)), key=lambda node: (node != EARTH, node))
        parent[second] = first
    return {node: root(node) for node in sorted(parent)}


class Solution:
    """Voltages and currents at P points.

    Args:
        joined: what :func:`join` has given.
        volt: of the nodes against earth, V, [P].
        across: from each element's first node to its second, V, [P].
        ampere: of each element, A, [P].
        limits: of each source, whether it is at its limit, [P].
    """

    def __init__(
        self,
        joined: Mapping[str, str],
        volt: Mapping[str, Array],
        across: Mapping[Element, Array],
        ampere: Mapping[Element, Array],
        limits: Mapping[Element, NDArray[np.bool_]],
    ) -> None:
        self._joined = joined
        self._volt, self._across, self._ampere, self._limits = volt, across, ampere, limits

    def voltage(self, node: str) -> Array:
        """Against earth, V, [P].

        Raises:
            CircuitError: no element has this node.
        """
        name = self._joined.get(node, node)
        if name not in self._volt:
            raise CircuitError(f"node {node!r} is in no element; give one of its elements to solve")
        return self._volt[name]

    def across(self, element: Element) -> Array:
        """From an element's first to its second node, V, [P].

        Raises:
            CircuitError: the element is not in the circuit.
        """
        return _find(self._across, element)

    def current(self, element: Element) -> Array:
        """A, [P]: of a source out of hi; of anything else from its first node to its second.

        Raises:
            CircuitError: the element is not in the circuit.
        """
        return _find(self._ampere, element)

    def in_compliance(self, element: Source) -> NDArray[np.bool_]:
        """Whether a source holds its limit instead of its set value, [P]."""
        return _find(self._limits, element)


def _find(of: Mapping[Element, Found], element: Element) -> Found:
    if element not in of:
        raise CircuitError(f"{element} has no such quantity in the circuit that was solved")
    return of[element]


def finite(what: str, value: ArrayLike) -> float | Array:
    """A finite number or [P]."""
    if isinstance(value, float) and math.isfinite(value):
        return value
    found = np.asarray(value, dtype=np.float64)
    if found.ndim > 1:
        raise CircuitError(f"{what} has shape {list(found.shape)}; give a number or [P]")
    if not np.isfinite(found).all():
        bad = found[~np.isfinite(found)]
        raise CircuitError(f"{what} is {bad.flat[0]:g}; it must be finite")
    return found if found.ndim else float(found)


def conductance_s(element: Passive) -> float | Array:
    """Conductance at no voltage, S."""
    a, b = ends(element)
    if isinstance(element, Voltmeter):
        if not element.input_ohm > 0:
            raise CircuitError(
                f"input_ohm between {a} and {b} is {element.input_ohm:g}; it must be above 0"
            )
        return 1 / element.input_ohm
    if isinstance(element, Conductance):
        found = finite(f"siemens between {a} and {b}", element.siemens)
    else:
        found = called(element, np.zeros(1))
    if np.less(found, 0).any() if not isinstance(found, float) else found < 0:
        raise CircuitError(
            f"siemens between {a} and {b} is {np.min(found):g}; it must be at least 0"
        )
    return found


def called(element: Nonlinear, volt: Array) -> Array:
    """What it says it conducts, S."""
    return np.asarray(element.siemens(volt), dtype=np.float64)


def solve(
    elements: Sequence[Element], joined: Mapping[str, str] | None = None, points: int = 1
) -> Solution:
    """The circuit of these elements at P points, P being what their arrays broadcast to.

    Args:
        elements: each once.
        joined: nodes that are one, from :func:`join`.
        points: P, where all values are numbers.

    Raises:
        CircuitError: a value that makes no sense, arrays that do not fit, an element given twice,
            or a circuit without an answer.
    """
    from sim_backend.network import Network  # it needs the elements of this file

    return Network(elements, joined or {}, points).solve()
