"""What all things at the bench have in common that are no instruments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator

from sim_backend.circuit import CONTACT_OHM, Conductance, Element, Solution
from sim_backend.faults_devices import WHOLE, DeviceState
from sim_backend.llg.ranges import Range

Array = NDArray[np.float64]


class StateError(ValueError):
    """A stored state that does not fit; one sentence."""


def number(low: float, high: float, unit: str = "", open_low: bool = False) -> BeforeValidator:
    """For pydantic: a number in this range."""
    return BeforeValidator(Range(low, high, unit, open_low).number)


@dataclass(frozen=True)
class Points:
    """P points in the order in which they come; each lasts until the next one begins.

    Args:
        begins_s, ends_s: bench time, s, [P].
        window_s: time at the end of each over which a reading integrates, s.
    """

    begins_s: Array
    ends_s: Array
    window_s: float = 0.0

    def __len__(self) -> int:
        return len(self.ends_s)

    def __getitem__(self, part: slice) -> Points:
        return Points(self.begins_s[part], self.ends_s[part], self.window_s)


class Device:
    """A thing with terminals.

    :meth:`elements` and :meth:`breaks` change nothing and may be called again and again;
    :meth:`absorb` says that these points have come to pass.

    Args:
        name: its nodes are called ``name.terminal``.
    """

    terminals: ClassVar[tuple[str, ...]] = ("a", "b")

    def __init__(self, name: str) -> None:
        self.name = name
        #: contacts and shorts that are wrong now
        self.wrong: DeviceState = WHOLE

    def node(self, terminal: str) -> str:
        """The node of a terminal; of one that does not touch, what hangs in the air behind it."""
        place = f"{self.name}.{terminal}"
        return place if self.wrong is WHOLE or self.wrong.touches(terminal) else f"{place}, open"

    def bridge(self) -> Sequence[Element]:
        """What lies across it as a whole: a short bears no more of it than a closed contact."""
        if not self.wrong.shorted_whole:
            return ()
        a, b, *_ = map(self.node, self.terminals)
        return [Conductance(a, b, 1 / CONTACT_OHM)]

    def elements(self, points: Points) -> Sequence[Element]:
        """What it is in the circuit at these points."""
        raise NotImplementedError

    def breaks(self, solution: Solution, points: Points) -> int | None:
        """The first of the points at which it takes damage; what comes after that one, it meets
        as something else."""
        return None

    def absorb(self, solution: Solution, points: Points) -> list[str]:
        """Take note of what has come to pass; a sentence for each damage.

        Args:
            solution: of a circuit with what :meth:`elements` has given last.
            points: the same that it was given.
        """
        return []

    def state(self) -> dict[str, Any]:
        """What it remembers, for JSON."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Be what :meth:`state` has told.

        Raises:
            StateError: keys that are missing or unknown.
        """
        if set(state) != set(self.state()):
            raise StateError(
                f"{self.name}: the stored state has {sorted(state)}; it must have "
                f"{sorted(self.state())}"
            )
        self._restore(state)

    def _restore(self, state: dict[str, Any]) -> None:
        """Each entry is an attribute of the same name."""
        for key, value in state.items():
            setattr(self, key, value)


def first(where: NDArray[np.bool_]) -> int | None:
    """The first True of [P]."""
    return int(where.argmax()) if where.any() else None
