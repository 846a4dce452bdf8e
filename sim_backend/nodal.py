"""One linear circuit at many points: voltages and the currents of the sources.

*Clusters.*  A leak of 1e-12 S is lost when it is added to a wire's 1e3 S, and with it the place
where a floating part comes to rest.  So nodes that good conductors join are a cluster; one with no
such way to earth has one unknown for all of it, the voltage of its first node, and the others count
from there.  Conductors inside the cluster then have no part in that unknown, exactly.

*Points.*  From point to point few conductances differ, most often those of the junctions.  The
matrix is inverted once, for the largest value of each, and each point is a correction by as many
unknowns as conductances differ (W. W. Hager, SIAM Review 31, 221 (1989), eq. 2).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from sim_backend.circuit import EARTH, LEAK_S, Array, join

GOOD_S = 1e-7  #: from here on a conductor makes a cluster, S
_MILD = 1e-3  # least share of the largest value, for which a correction is exact enough
Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Shape:
    """What a circuit's numbers have no part in; *unknowns* are those of the clusters.

    Attributes:
        nodes: column of each.
        volt: voltages against earth from the unknowns, [nodes, nodes].
        passive, source: voltages across the elements from the unknowns, [elements, nodes].
        stamps: what a siemens of each passive element adds to the matrix, [passive, size²].
        rest: the matrix without them and without the sources' rows, [size, size].
    """

    nodes: dict[str, int]
    volt: Array
    passive: Array
    source: Array
    stamps: Array
    rest: Array


@lru_cache(maxsize=128)
def shape_of(passive: Pairs, sources: Pairs, good: tuple[bool, ...]) -> Shape:
    """Of elements between these nodes; ``good``: passive elements that make clusters."""
    named = (*passive, *sources)
    names = sorted({name for pair in named for name in pair} - {EARTH})
    nodes, size = len(names), len(names) + len(sources)
    column = {name: at for at, name in enumerate(names)}
    first = join(pair for pair, makes in zip(passive, good, strict=True) if makes)
    volt = np.eye(nodes)
    for name in names:
        head = first.get(name, name)
        if head != EARTH:
            volt[column[name], column[head]] = 1.0
    incidence = np.zeros((len(named), nodes))
    for row, pair in enumerate(named):
        for sign, name in zip((1.0, -1.0), pair, strict=True):
            if name != EARTH:
                incidence[row] += sign * volt[column[name]]
    part, source = incidence[: len(passive)].copy(), incidence[len(passive) :].copy()
    stamps = np.zeros((len(passive), size, size))
    stamps[:, :nodes, :nodes] = part[:, :, None] * part[:, None, :]
    rest = np.zeros((size, size))
    rest[:nodes, :nodes] = LEAK_S * volt.T @ volt
    rest[:nodes, nodes:] = -source.T
    return Shape(column, volt, part, source, stamps.reshape(len(passive), size * size), rest)


@lru_cache(maxsize=128)
def reached(passive: Pairs, sources: Pairs) -> tuple[bool, ...]:
    """Which passive elements a source has a way to, through elements of any value, but not through
    earth."""
    own = [pair for pair in (*passive, *sources) if EARTH not in pair]
    first = join(own)
    ends = {first.get(name, name) for pair in sources for name in pair} - {EARTH}
    return tuple(any(first.get(name, name) in ends for name in pair) for pair in passive)


def linear(
    shape: Shape, siemens: Array, extra_a: Array, cv: Array, ci: Array, given: Array
) -> tuple[Array, Array]:
    """Unknowns of the clusters, [P, nodes], and currents of the sources, A, [P, sources].

    Args:
        shape: the circuit's.
        siemens, extra_a: a passive element's current is siemens V + extra_a, [P, passive].
        cv, ci: a source's row is cv (V(hi) - V(lo)) + ci I = given, [sources].
        given: [P, sources].
    """
    nodes, size = len(shape.nodes), len(shape.rest)

    def matrix(conductances: Array) -> Array:
        whole = (conductances @ shape.stamps).reshape(len(conductances), size, size)
        whole += shape.rest
        whole[:, nodes:, :nodes] = cv[:, None] * shape.source
        whole[:, range(nodes, size), range(nodes, size)] = ci
        return whole

    most, least = siemens.max(axis=0), siemens.min(axis=0)
    differ = np.flatnonzero(most != least)
    if (least < _MILD * most).any():
        inverses = np.linalg.inv(matrix(siemens))

        def solved(right: Array) -> Array:
            result: Array = (inverses @ right[:, :, None])[:, :, 0]
            return result

    else:
        inverse = np.linalg.inv(matrix(most[None])[0])
        less = siemens[:, differ] - most[differ]
        part = shape.passive[differ]
        # What a current through each of the differing elements makes.
        made = inverse[:, :nodes] @ part.T
        inner = np.eye(len(differ)) + less[:, :, None] * (part @ made[:nodes])
        inner = np.linalg.inv(inner) if len(differ) else inner

        def solved(right: Array) -> Array:
            x = right @ inverse.T
            if len(differ):
                back = inner @ (less * (x[:, :nodes] @ part.T))[:, :, None]
                x = x - back[:, :, 0] @ made.T
            return x

    leak = shape.rest[:nodes, :nodes]
    x = solved(np.concatenate((-extra_a @ shape.passive, given), axis=1))
    # What the rounding leaves over in every cluster and row.
    volt, ampere = x[:, :nodes], x[:, nodes:]
    through = siemens * (volt @ shape.passive.T) + extra_a
    kirchhoff = ampere @ shape.source - through @ shape.passive - volt @ leak
    rows = given - cv * (volt @ shape.source.T) - ci * ampere
    x = x + solved(np.concatenate((kirchhoff, rows), axis=1))
    return x[:, :nodes], x[:, nodes:]
