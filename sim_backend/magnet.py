"""One junction at the bench: what it is, where its free layer is, and what slow readings see.

Three ways, chosen by ``physics`` in ``sim.yaml``:

- ``equilibrium``: one well, in the plane; the mean over the thermal motion in it.  No memory.
- ``wells``: two wells with their rates; which one the layer is in is a two-state chain that the
  bench's clock moves along.
- ``llg``: the rest state is followed from level to level, with the torque of the read current; a
  layer that the torque keeps turning is followed in time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sim_backend.llg import equilibrium, fluctuation, motion, sphere
from sim_backend.llg.chain import Chain
from sim_backend.llg.ensemble import Ensemble
from sim_backend.llg.fields import Fields
from sim_backend.llg.junction import JunctionModel
from sim_backend.llg.model import GAMMA_RAD_PER_S_T
from sim_backend.llg.wells import wells
from sim_backend.noise import stream_key

Array = NDArray[np.float64]
Physics = Literal["equilibrium", "wells", "llg"]
# A layer that the torque drives: turn per step in its largest field, rad; steps that it is left to
# itself, and that its mean is taken over.  Near the threshold the torque takes hundreds of turns to
# open the cone.
_TURN, _UNTIL, _OVER = 0.1, 60_000, 40_000
# Cosine between a rest state without and with the torque, above which it is the same well.
_SAME_WELL = 0.8
# kT over the well's least curvature, above which the well is integrated instead of expanded.
_SOFT = 0.05
# How far from the voltage that k is given for the one well may be gone, V.
_FAR_V = 0.05


@dataclass(frozen=True)
class Levels:
    """Levels of the field line in the order in which they come.

    Args:
        current_a: A, [P].
        begins_s, ends_s: bench time at which each comes and goes, s, [P].
        window_s: time at the end of each over which a reading integrates, s.
    """

    current_a: Array
    begins_s: Array
    ends_s: Array
    window_s: float


@dataclass(frozen=True)
class Motion:
    """The free layer during readings: mean over each, and the rest state it moves about, [P, 3]."""

    mean: Array
    rest: Array


class FreeMagnet:
    """The free layer of one junction, with its memory.

    Args:
        name: the junction's, for its random numbers.
        model: the junction's parameters.
        physics: see the module's docstring.
        seed: of the hops between wells, and of the motion of a layer that keeps turning.
    """

    def __init__(self, name: str, model: JunctionModel, physics: Physics, seed: int) -> None:
        self.name, self.physics = name, physics
        self._model = model
        self._motion_seed = stream_key(seed, f"motion/{name}") % 2**63
        self._ensembles: dict[tuple[float, float], Ensemble] = {}
        self._memos: dict[tuple[float, float], _Memo] = {}
        self._chain = Chain(stream_key(seed, f"hops/{name}"))
        self.m = np.array([0.0, 0.0, 1.0])
        self._level_a = 0.0  # the level that m and the chain have seen last
        self._now_s = 0.0  # and until when
        self._steps = 0  # of the motion in time so far, for its random numbers
        self._held = False  # m is where it is by the torque

    @property
    def remembers(self) -> bool:
        """Whether levels that nobody reads count."""
        return self.physics != "equilibrium"

    def throw(self, to: str) -> None:
        """Into the well "up", "down" or the "other" one: the mirror image across the plane."""
        is_up = self._chain.up if self.physics == "wells" else bool(self.m[2] >= 0)
        up = {"up": True, "down": False, "other": not is_up}[to]
        if up != bool(self.m[2] >= 0):
            self.m = self.m * (1.0, 1.0, -1.0)
        self._chain.up = up

    def ensemble(self, v_x: float, v_z: float) -> Ensemble:
        """The junction at these read voltages, V."""
        key = (v_x, v_z)
        if key not in self._ensembles:
            self._ensembles[key] = self._model.ensemble(v_x, v_z)
        return self._ensembles[key]

    def state(self) -> dict[str, Any]:
        """What it remembers, for JSON."""
        return {
            "m": self.m.tolist(), "level_a": self._level_a, "now_s": self._now_s,
            "up": self._chain.up, "segment": self._chain.segment, "steps": self._steps,
            "held": self._held,
        }  # fmt: skip

    def restore(self, state: Mapping[str, Any]) -> None:
        """Be what :meth:`state` has told."""
        self.m = np.array(state["m"])
        self._level_a, self._now_s = state["level_a"], state["now_s"]
        self._chain.up, self._chain.segment = state["up"], state["segment"]
        self._steps, self._held = state["steps"], state["held"]

    def pass_by(self, levels: Levels, v_x: float, v_z: float) -> None:
        """Levels that come and go without a reading of this junction."""
        if self.physics == "wells":
            self._fractions(levels, v_x, v_z)
        elif self.physics == "llg":
            self._walk(levels, self.ensemble(v_x, v_z))

    def read(self, levels: Levels, v_x: float, v_z: float) -> Motion:
        """What a reading at each level sees.

        Raises:
            NoEquilibriumError: ``equilibrium``, where there is no single well.
        """
        ensemble = self.ensemble(v_x, v_z)
        if self.physics == "equilibrium":
            return self._in_one_well(ensemble.fields(levels.current_a)[0], v_x, v_z)
        if self.physics == "wells":
            up = self._fractions(levels, v_x, v_z)[:, None]
            at = self._wells(v_x, v_z).at(levels.current_a)
            mean = up * at[:, 0:3] + (1 - up) * at[:, 3:6]
            return Motion(mean, np.where(up > 0.5, at[:, 8:11], at[:, 11:14]))
        return self._walk(levels, ensemble)

    def _in_one_well(self, fields: Fields, v_x: float, v_z: float) -> Motion:
        """The mean in the planar well.

        Far from the read voltage k is another, and that well may be gone: then the rest state that
        is reached from +z stands for the mean, level by level.
        """
        one = equilibrium.has_one_well(fields)
        x, z = self._model.x, self._model.z
        far = max(abs(v_x - x.vcma_at_v), abs(v_z - z.vcma_at_v)) > _FAR_V
        if one.all() or not far or np.any(fields.b_t[..., 2] <= 0):
            try:
                mean = equilibrium.mean(fields)
            except equilibrium.NoEquilibriumError as error:
                raise equilibrium.NoEquilibriumError(f"{self.name}: {error}") from None
            return Motion(mean, mean)
        mean = np.empty((len(one), 3))
        if one.any():
            mean[one] = equilibrium.mean(fields[one])
        mean[~one] = sphere.rest(_conservative(fields[~one]), (0.0, 0.0, 1.0), threads=1).m
        return Motion(mean, mean)

    # -- two wells --------------------------------------------------------------------------------

    def _wells(self, v_x: float, v_z: float) -> _Memo:
        key = (v_x, v_z)
        if key not in self._memos:
            self._memos[key] = _Memo(self.ensemble(v_x, v_z))
        return self._memos[key]

    def _fractions(self, levels: Levels, v_x: float, v_z: float) -> Array:
        """Part of each reading that is spent in the upper well, [P]."""
        current, starts, ends = levels.current_a, levels.begins_s, levels.ends_s
        if starts[0] > self._now_s:  # the level before stays on until then
            current = np.concatenate(([self._level_a], current))
            ends = np.concatenate((starts[:1], ends))
            starts = np.concatenate(([self._now_s], starts))
        dwell = np.maximum(ends - starts, 0.0)
        at = self._wells(v_x, v_z).at(current)
        self._level_a, self._now_s = float(current[-1]), float(ends[-1])
        up = self._chain.advance(at[:, 6], at[:, 7], dwell, np.minimum(levels.window_s, dwell))
        return up[-len(levels.current_a) :]

    # -- followed ---------------------------------------------------------------------------------

    def _walk(self, levels: Levels, ensemble: Ensemble) -> Motion:
        """From level to level, with the torque.

        Where the torque only leans the layer over, its rest states are those without a torque, and
        a whole list is followed at once.  Where it does more - it holds the layer, drives it into
        another well or never lets it rest - every level starts where the one before has left it.
        """
        current = levels.current_a
        mean, rest = np.empty((len(current), 3)), np.empty((len(current), 3))
        done = 0
        while done < len(current):
            if self._held:
                mean[done], rest[done] = self._driven(current[done : done + 1], self.m, ensemble)
                good = 1
            else:
                good = self._leant(current[done:], ensemble, mean[done:], rest[done:])
            done += good
            self._level_a = float(current[done - 1])
        return Motion(mean, rest)

    def _leant(self, current_a: Array, ensemble: Ensemble, mean: Array, rest: Array) -> int:
        """Follow the layer as far as the torque only leans it over, and one level further."""
        at = self._follow(current_a, ensemble)
        leant = motion.relax(ensemble, current_a, at.m[None], threads=1)
        same = leant.stable[0] & ((leant.m[0] * at.m).sum(1) > _SAME_WELL)
        good = len(same) if same.all() else int(same.argmin())
        if good:
            rest[:good], self.m = leant.m[0, :good], at.m[good - 1]
            fields = ensemble.fields(current_a[:good])[0]
            mean[:good] = _mean(fields, at.m[:good], at.curvature_t[:good], rest[:good])
        if good < len(same):
            one = current_a[good : good + 1]
            mean[good], rest[good] = self._driven(one, at.m[good], ensemble)
            good += 1
        return good

    def _follow(self, current_a: Array, ensemble: Ensemble) -> sphere.Rest:
        """Rest states without the torque, along history, [P]."""
        path = np.concatenate(([self._level_a], current_a))
        rest = sphere.follow(_conservative(ensemble.fields(path)[0]), self.m, threads=1)
        return sphere.Rest(rest.m[1:], rest.at_rest[1:], rest.curvature_t[1:])

    def _driven(self, current_a: Array, start: Array, ensemble: Ensemble) -> tuple[Array, Array]:
        """Mean and rest state at one level at which the torque may hold or drive the layer."""
        fields, self.m = ensemble.fields(current_a)[0], start
        mean = None
        there = motion.relax(ensemble, current_a, start, threads=1)
        if not self._rests(there):
            step_s = _TURN / (GAMMA_RAD_PER_S_T * float(ensemble.largest_t(current_a)[0]))
            run = motion.evolve(
                ensemble, current_a, _OVER, step_s, seed=self._motion_seed, start=start,
                settle_steps=_UNTIL, first_step=self._steps, threads=1,
            )  # fmt: skip
            self._steps, self.m, mean = run.next_step, run.last[0, 0], run.mean[0, 0]
            there = motion.relax(ensemble, current_a, self.m, threads=1)
        if self._rests(there):
            self.m = there.m[0, 0]
            mean = fluctuation.mean(fields, there.m[0])[0]
            mean = mean / max(1.0, float(np.linalg.norm(mean)))
        assert mean is not None
        free = sphere.rest(_conservative(fields), self.m, threads=1).m[0]
        self._held = not self._rests(there) or float(free @ self.m) <= _SAME_WELL
        return mean, there.m[0, 0]

    def _rests(self, there: motion.Rest) -> bool:
        """Whether the layer, where it is, belongs to this rest state, and stays there."""
        return bool(there.stable[0, 0] and there.m[0, 0] @ self.m > _SAME_WELL)


def _mean(fields: Fields, at: Array, curvature_t: Array, rest: Array) -> Array:
    """Mean m over the thermal motion about rest states, [P, 3].

    Args:
        fields: [P].
        at, curvature_t: rest states without the torque, and their least curvature, [P].
        rest: with the torque, [P, 3].
    """
    shape = fields.shape
    soft = np.broadcast_to(fields.thermal_t, shape) > _SOFT * curvature_t
    mean = np.empty((*shape, 3))
    if not soft.all():
        mean[~soft] = fluctuation.mean(fields[~soft], rest[~soft])
    if soft.any():
        # Near its end the well is too flat to be expanded: all of it is integrated.
        both = wells(_conservative(fields[soft]), threads=1)
        up = ((at[soft] - both.m_up) ** 2).sum(1) <= ((at[soft] - both.m_down) ** 2).sum(1)
        moved = np.where(up[:, None], both.mean_up, both.mean_down) + rest[soft] - at[soft]
        mean[soft] = moved / np.maximum(np.linalg.norm(moved, axis=1, keepdims=True), 1.0)
    return mean


def _conservative(fields: Fields) -> Fields:
    """The same without the damping-like torque, which is no part of an energy."""
    return Fields(
        fields.k_t, fields.k2_t, fields.ky_t, fields.b_t, np.zeros(3), fields.thermal_t,
        fields.alpha,
    )  # fmt: skip


class _Memo:
    """Wells by field-line level, each worked out once: a source has few levels.

    Columns: means of the upper and the lower well (3 each), rates up to down and down to up, rest
    states of both (3 each).
    """

    def __init__(self, ensemble: Ensemble) -> None:
        self._ensemble = ensemble
        self._levels = np.empty(0)
        self._rows = np.empty((0, 14))

    def at(self, current_a: Array) -> Array:
        """Rows at these currents, [P, 14]."""
        new = np.setdiff1d(current_a, self._levels)
        if len(new):
            found = wells(_conservative(self._ensemble.fields(new)[0]), threads=1)
            rows = np.concatenate(
                (found.mean_up, found.mean_down, found.rate_up_down[:, None],
                 found.rate_down_up[:, None], found.m_up, found.m_down), axis=1,
            )  # fmt: skip
            levels = np.concatenate((self._levels, new))
            order = np.argsort(levels)
            self._levels, self._rows = levels[order], np.concatenate((self._rows, rows))[order]
        result: Array = self._rows[np.searchsorted(self._levels, current_a)]
        return result
