"""What the output of each role acts on, and what that stands."""

from __future__ import annotations

from dataclasses import dataclass

from instruments.bench_file import BenchFile
from instruments.bench_file_limits import TOLERANCE, Duty, JunctionLimits, SourceLimits
from instruments.units import show

_RANGE_V = 0.2  # a meter's smallest range, V: the fixed source range of a junction is no wider


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """What a role's output acts on.

    Attributes:
        name: in words.
        unit: of its levels, "A" or "V"; "" for a role that sources nothing.
        most: largest level.
        reason: in words, where ``most`` comes from, if that is not plain.
        compliance: largest compliance that may be set, in ``other`` units.
        range: largest fixed source range; None: any that the instrument has.
        step: largest step between levels; None: any.
        slew: largest step divided by the time since the one before, 1/s; None: any.
        duty: how long it may be high; None: as long as one likes.
        reading_s: for how long a listed level stays on after its delay, s.
    """

    name: str
    unit: str
    most: float = 0.0
    reason: str = ""
    compliance: float = 0.0
    range: float | None = None
    step: float | None = None
    slew: float | None = None
    duty: Duty | None = None
    reading_s: float = 0.0

    @property
    def other(self) -> str:
        """Unit of what the compliance limits."""
        return "A" if self.unit == "V" else "V"

    @property
    def function(self) -> str:
        """What the instrument must source, as it says it itself."""
        return "VOLT" if self.unit == "V" else "CURR"

    @property
    def top(self) -> float:
        """The largest level that is not above ``most``, with room for rounding."""
        return self.most * (1 + TOLERANCE)

    def too_high(self, value: float) -> str:
        """What is wrong with a level, in words; "" if nothing is."""
        if abs(value) <= self.top:
            return ""
        return f"{show(value, self.unit)} is above the limit of {show(self.most, self.unit)}" + (
            self.reason
        )

    def loose(self, compliance: float) -> str:
        """What is wrong with a compliance, in words; "" if nothing is."""
        if abs(compliance) <= self.compliance * (1 + TOLERANCE):
            return ""
        limit = show(self.compliance, self.other)
        return f"compliance {show(compliance, self.other)} is above {limit}"


class Nodes:
    """The nodes of a bench.

    Args:
        file: the bench file.
    """

    def __init__(self, file: BenchFile) -> None:
        self._file = file
        self._channels = {n: frozenset(j.channels) for n, j in file.junctions.items()}
        timing, line = file.timing, file.limits.field_line
        # In a ring the next level waits for both meters; a fork's delay has the reading in it.
        readings = 2 if timing.trigger == "ring" else 0
        field = Node(
            name="field line", unit="A", most=line.largest_a, reason=line.reason,
            compliance=line.compliance_v, step=line.step, slew=line.slew, duty=line.duty,
            reading_s=readings * timing.nplc / timing.line_frequency,
        )  # fmt: skip
        self._constant = {"field": field}
        for role, words in (("bias", "bias magnet"), ("polarizer", "polarizer")):
            limits: SourceLimits | None = getattr(file.limits, role)
            if limits is not None:
                self._constant[role] = Node(
                    name=words, unit=limits.level.unit, most=limits.level.value,
                    compliance=limits.compliance.value,
                    step=None if limits.step is None else limits.step.value,
                )  # fmt: skip
        self._layers: dict[tuple[str, frozenset[str] | None], Node] = {}

    def of(self, role: str, closed: frozenset[str] | None) -> Node:
        """What a role's output acts on while these relays are closed (None: not known)."""
        node = self._constant.get(role)
        if node is not None:
            return node
        node = self._layers.get((role, closed))
        if node is None:
            node = self._layer(role, closed) if role in ("x", "z") else Node(name=role, unit="")
            self._layers[role, closed] = node
        return node

    def _layer(self, role: str, closed: frozenset[str] | None) -> Node:
        """A reference layer; of those that it may be, the one that stands least."""
        if closed is None:
            names, words = [], f"{role} layer of any junction (switch unknown)"
        else:
            names = [name for name, channels in self._channels.items() if channels & closed]
            words = f"{role} layer of {' and '.join(names)}" if names else f"{role} meter (open)"
        limits: list[JunctionLimits] = [
            self._file.junction_limits(name) for name in names or self._channels
        ]
        voltage = min(one.voltage for one in limits)
        return Node(
            name=words, unit="V", most=voltage, compliance=min(one.current for one in limits),
            range=max(_RANGE_V, voltage),
        )  # fmt: skip

    def belong_together(self, relays: frozenset[str]) -> bool:
        """Whether relays are all of one junction."""
        return any(relays <= channels for channels in self._channels.values())
