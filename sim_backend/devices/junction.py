"""A three-terminal junction as a part of a circuit."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim_backend.circuit import Conductance, Element, Nonlinear, Solution
from sim_backend.devices.base import Array, Device, Points, first
from sim_backend.devices.field_line import SHORTED_S
from sim_backend.llg.junction import SIDES, JunctionModel
from sim_backend.magnet import FreeMagnet, Levels, Motion, Physics
from sim_backend.readout import ReferenceLayer

# Steps in which the free layer sees its surroundings: each new value costs a search for its wells.
_VOLT_STEP, _FIELD_STEP_T, _LINE_STEP_A = 1e-4, 1e-6, 1e-10
_LEAST_OHM = 1e-6  # of a shared electrode that is said to have none
_LEAST_V = 1e-12  # across a barrier that is read
_KEPT = 32  # magnets at other fields and angles


class Junction(Device):
    """Terminals x and z, the reference layers, and low, the shared electrode.

    A barrier that breaks through stays shorted.  ``open_contacts`` are terminals that do not touch;
    what :meth:`volts` gives there is across the open contact.

    Args:
        name: also of its random numbers.
        model: its parameters.
        physics, seed: see :class:`sim_backend.magnet.FreeMagnet`.
    """

    terminals = ("x", "z", "low")

    def __init__(self, name: str, model: JunctionModel, physics: Physics, seed: int) -> None:
        super().__init__(name)
        self.model = self.own = model  # now, and without drift
        self._moved: dict[str, float] = {}
        #: factor on a barrier's resistance, by side, times in s and window in s; none: 1
        self.hops: Callable[[str, Array, float], Array] | None = None
        self._physics, self._seed = physics, seed
        self._magnets: OrderedDict[tuple[float, ...], FreeMagnet] = OrderedDict()
        self._at = FreeMagnet(name, model, physics, seed).state()  # by now
        self._then = self._at  # after the points that elements has seen last
        self.shorted: dict[str, bool] = dict.fromkeys(SIDES, False)
        self.open_contacts: set[str] = set()
        #: of the free layer at the points that elements has seen last; none: nobody reads it
        self.motion: Motion | None = None
        self._made: dict[str, Element] = {}
        self._assumed: dict[str, Array] = {}
        self._feels = _feels(model)

    # -- the circuit ------------------------------------------------------------------------------

    def elements(
        self,
        points: Points,
        line_a: Array | None = None,
        bias_t: Array | None = None,
        volts: Mapping[str, Array] | None = None,
        angles_rad: Mapping[str, float] | None = None,
    ) -> Sequence[Element]:
        """At these points.

        Args:
            points: when.
            line_a: current of the field line, A, [P]; none: it is not known, and the free layer is
                left alone: barriers are as with layers parallel.
            bias_t: field of bias magnets along z, T, [P].
            volts: across each barrier, from x and z to the shared electrode, V, [P]: what the free
                layer feels of them; where there are none anywhere it is not read.
            angles_rad: of reference layers that a polarizer turns, by side.
        """
        self._then, self._assumed, self.motion = self._at, dict(volts or {}), None
        conductors: dict[str, Any] = {
            side: 1 / self._layer(side, {}).r_parallel_ohm for side in SIDES
        }
        if line_a is not None:
            conductors |= self._conductors(points, line_a, bias_t, angles_rad or {})
        self._made = {}
        for side in SIDES:
            nodes = self.node(side), self.node("star")
            if side in self.open_contacts or self._bridged(side):
                siemens = 0.0 if side in self.open_contacts else SHORTED_S
                self._made[side] = Conductance(*nodes, siemens)
            elif callable(conductors[side]):
                self._made[side] = Nonlinear(*nodes, conductors[side])
            else:
                self._made[side] = Conductance(*nodes, conductors[side])
        common_s = 1 / max(self.model.common_ohm, _LEAST_OHM)
        low = Conductance(
            self.node("star"), self.node("low"), 0.0 if "low" in self.open_contacts else common_s
        )
        return [*self._made.values(), low]

    @property
    def remembers(self) -> bool:
        """Whether fields count that nobody reads it in."""
        return self._physics != "equilibrium"

    def leave_out(self) -> None:
        """It is not in the circuit that is solved: there is no voltage across it."""
        self._made, self.motion = {}, None

    def volts(self, solution: Solution) -> dict[str, Array]:
        """Across the barriers, V, [P]; none of a junction that is left out."""
        return {side: solution.across(element) for side, element in self._made.items()}

    def unsettled(self, solution: Solution) -> bool:
        """Whether the free layer feels other voltages than it was told."""
        if not self._feels:
            return False
        return any(
            bool((np.abs(found - self._assumed.get(side, 0.0)) > _VOLT_STEP).any())
            for side, found in self.volts(solution).items()
        )

    # -- the free layer ---------------------------------------------------------------------------

    def _conductors(
        self,
        points: Points,
        line_a: Array,
        bias_t: Array | None,
        angles_rad: Mapping[str, float],
    ) -> dict[str, Any]:
        """What each barrier conducts, S, as a function of its voltage; none where none is read."""
        volts = [self._felt_v(side, len(points)) for side in SIDES]
        read = any(np.abs(volt).max(initial=0.0) > _LEAST_V for volt in volts)
        if not read and not self.remembers:
            return {}
        bias = np.zeros(len(points)) if bias_t is None else bias_t
        felt = np.stack([*volts, bias], axis=1)
        if not self._feels:
            felt[:, :2] = 0.0
        felt = np.round(felt / (_VOLT_STEP, _VOLT_STEP, _FIELD_STEP_T))
        felt *= (_VOLT_STEP, _VOLT_STEP, _FIELD_STEP_T)
        # The circuit's last digits differ from run to run.
        line_a = np.round(line_a / _LINE_STEP_A) * _LINE_STEP_A
        at, mean, rest = self._at, np.empty((len(points), 3)), np.empty((len(points), 3))
        for part in _runs(felt):
            v_x, v_z, field_t = felt[part.start].tolist()
            magnet = self._magnet(field_t, angles_rad)
            magnet.restore(at)
            now = points[part]
            levels = Levels(line_a[part], now.begins_s, now.ends_s, now.window_s)
            if read:
                seen = magnet.read(levels, v_x, v_z)
                mean[part], rest[part] = seen.mean, seen.rest
            else:  # nobody looks, but the field is there
                magnet.pass_by(levels, v_x, v_z)
            at = magnet.state()
        self._then = at
        if not read:
            return {}
        self.motion = Motion(mean, rest)
        factors = {side: self.resistance(side, points) for side in SIDES}
        b = self._magnet(0.0, angles_rad).ensemble(0.0, 0.0).line_field_t(line_a)[0].copy()
        b[:, 2] += bias

        def conductor(layer: ReferenceLayer, factor: float | Array) -> Any:
            # Linear in the cosine, which does not depend on the voltage: worked out once.
            cosine = layer.cosine(mean, b)

            def siemens(volt: Array) -> Array:
                return layer.siemens(cosine, volt) / factor

            return siemens

        return {side: conductor(self._layer(side, angles_rad), factors[side]) for side in SIDES}

    def _felt_v(self, side: str, count: int) -> Array:
        """What the free layer is told of the voltage across a barrier, V, [P].

        A barrier that is gone tells nothing, nor one that goes at this point: a voltage that breaks
        it may be one at which the free layer has no rest state.
        """
        volt = self._assumed.get(side)
        if volt is None or self._bridged(side) or side in self.open_contacts:
            return np.zeros(count)
        whole = np.abs(volt) <= self.model.get(f"{side}.breakdown_v")
        return np.where(whole, volt, 2 * _LEAST_V)  # it is read, though

    def _layer(self, side: str, angles_rad: Mapping[str, float]) -> ReferenceLayer:
        layer: ReferenceLayer = getattr(self.model, side)
        if side in angles_rad:
            layer = layer.model_copy(update={"angle_rad": angles_rad[side]})
        return layer

    def _magnet(self, bias_t: float, angles_rad: Mapping[str, float]) -> FreeMagnet:
        """The free layer at a bias field along z beside its own, and at these references."""
        angles = tuple(angles_rad.get(side, self.model.get(f"{side}.angle_rad")) for side in SIDES)
        key = (bias_t, *angles, *self._moved.values())
        if key not in self._magnets:
            new = {f"{side}.angle_rad": a for side, a in zip(SIDES, angles, strict=True)}
            new["layer.hz_t"] = self.model.layer.hz_t + bias_t
            model = self.model.changed(new)
            self._magnets[key] = FreeMagnet(self.name, model, self._physics, self._seed)
            while len(self._magnets) > _KEPT:
                self._magnets.popitem(last=False)
        self._magnets.move_to_end(key)
        return self._magnets[key]

    # -- what goes wrong --------------------------------------------------------------------------

    def _bridged(self, side: str) -> bool:
        """Whether a short lies across a barrier: it has broken through, or something bridges it."""
        return self.shorted[side] or self.wrong.bridged(side)

    def tunnels(self, side: str) -> bool:
        """Whether a barrier is one, at the points that elements has seen last."""
        return isinstance(self._made.get(side), Nonlinear)

    def resistance(self, side: str, points: Points) -> float | Array:
        """Factor on a barrier's resistance by its hops, 1 or [P]."""
        return 1.0 if self.hops is None else self.hops(side, points.ends_s, points.window_s)

    def drift(self, moved: dict[str, float]) -> None:
        """These parameters have another value now, by full name; the others their own."""
        if moved != self._moved:
            if set(moved) != set(self._moved):
                self._magnets.clear()  # their keys are of other parameters
            self._moved, self.model = moved, self.own.changed(moved)
            self._feels = _feels(self.model)

    def throw(self, to: str) -> None:
        """The free layer goes into the well "up", "down" or the "other" one."""
        magnet = self._magnet(0.0, {})
        magnet.restore(self._at)
        magnet.throw(to)
        self._at = self._then = magnet.state()

    # -- what it lives through --------------------------------------------------------------------

    def _over(self, solution: Solution) -> dict[str, NDArray[np.bool_]]:
        """Where each whole barrier has more than it bears, [P]."""
        limits = {side: self.model.get(f"{side}.breakdown_v") for side in SIDES}
        return {
            side: (np.abs(volt) > limits[side]) & (not self._bridged(side))
            for side, volt in self.volts(solution).items()
            if side not in self.open_contacts
        }

    def breaks(self, solution: Solution, points: Points) -> int | None:
        over = [np.zeros(len(points), dtype=bool), *self._over(solution).values()]
        return first(np.logical_or.reduce(over))

    def absorb(self, solution: Solution, points: Points) -> list[str]:
        self._at, said = self._then, []
        for side, over in self._over(solution).items():
            at = first(over)
            if at is not None:
                self.shorted[side] = True
                volt = abs(self.volts(solution)[side][at])
                said.append(
                    f"{self.name}'s barrier {side} breaks through at {volt:g} V; it bears "
                    f"{self.model.get(f'{side}.breakdown_v'):g} V"
                )
        return said

    def spike(self) -> None:
        """A relay has moved under voltage: both barriers are gone."""
        self.shorted = dict.fromkeys(SIDES, True)

    @property
    def broken(self) -> bool:
        """Whether a barrier is gone."""
        return any(self.shorted.values())

    def state(self) -> dict[str, Any]:
        return {
            "magnet": dict(self._at),
            "shorted": dict(self.shorted),
            "open_contacts": sorted(self.open_contacts),
        }

    def _restore(self, state: dict[str, Any]) -> None:
        self._at = self._then = dict(state["magnet"])
        self.shorted = dict(state["shorted"])
        self.open_contacts = set(state["open_contacts"])


def _feels(model: JunctionModel) -> bool:
    """Whether the free layer feels the voltages."""
    parts = [getattr(model, side) for side in SIDES]
    return any(p.vcma_j_per_v_m or p.spin_efficiency or p.field_like_t_per_v2 for p in parts)


def _runs(felt: Array) -> list[slice]:
    """Parts in which no row differs from the one before."""
    change = np.flatnonzero((felt[1:] != felt[:-1]).any(axis=1)) + 1
    edges = [0, *change.tolist(), len(felt)]
    return [slice(a, b) for a, b in pairwise(edges) if b > a]
