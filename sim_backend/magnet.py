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
# A layer that the torque keeps turning: turn per step in its largest field, rad; steps that it is
# left to itself, and that its mean is taken over.  Near the threshold the torque takes hundreds of
# turns to open the cone.
_TURN, _UNTIL, _OVER = 0.1, 60_000, 40_000


@dataclass(frozen=True)
class Levels:
    """Levels of the field line in the order in which they come.

    Args:
        current_a: A, [P].
        ends_s: bench time at which the reading of each is over, s, [P].
        window_s: time over which a reading integrates, s.
    """

    current_a: Array
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
        self.physics, self._seed = physics, seed
        self._model = model
        self._ensembles: dict[tuple[float, float], Ensemble] = {}
        self._memos: dict[tuple[float, float], _Memo] = {}
        self._chain = Chain(stream_key(seed, f"hops/{name}"))
        self.m = np.array([0.0, 0.0, 1.0])
        self._level_a = 0.0  # the level that m and the chain have seen last
        self._now_s = 0.0  # and until when

    @property
    def remembers(self) -> bool:
        """Whether levels that nobody reads count."""
        return self.physics != "equilibrium"

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
            "up": self._chain.up, "segment": self._chain.segment,
        }  # fmt: skip

    def restore(self, state: Mapping[str, Any]) -> None:
        """Be what :meth:`state` has told."""
        self.m = np.array(state["m"])
        self._level_a, self._now_s = state["level_a"], state["now_s"]
        self._chain.up, self._chain.segment = state["up"], state["segment"]

    def pass_by(self, levels: Levels, v_x: float, v_z: float) -> None:
        """Levels that come and go without a reading of this junction."""
        if self.physics == "wells":
            self._fractions(levels, v_x, v_z)
        elif self.physics == "llg":
            self._follow(levels, self.ensemble(v_x, v_z))

    def read(self, levels: Levels, v_x: float, v_z: float) -> Motion:
        """What a reading at each level sees.

        Raises:
            NoEquilibriumError: ``equilibrium``, where there is no single well.
        """
        ensemble = self.ensemble(v_x, v_z)
        if self.physics == "equilibrium":
            return _in_one_well(ensemble.fields(levels.current_a)[0])
        if self.physics == "wells":
            up = self._fractions(levels, v_x, v_z)[:, None]
            at = self._wells(v_x, v_z).at(levels.current_a)
            mean = up * at[:, 0:3] + (1 - up) * at[:, 3:6]
            return Motion(mean, np.where(up > 0.5, at[:, 8:11], at[:, 11:14]))
        return self._llg(levels, ensemble)

    # -- two wells --------------------------------------------------------------------------------

    def _wells(self, v_x: float, v_z: float) -> _Memo:
        key = (v_x, v_z)
        if key not in self._memos:
            self._memos[key] = _Memo(self.ensemble(v_x, v_z))
        return self._memos[key]

    def _fractions(self, levels: Levels, v_x: float, v_z: float) -> Array:
        """Part of each reading that is spent in the upper well, [P]; the time before the first of
        them at the level that was on goes before."""
        current, ends = levels.current_a, levels.ends_s
        starts = np.concatenate(([self._now_s], ends[:-1]))
        # The level before stays on until the first reading's window at most.
        waited = ends[0] - levels.window_s - self._now_s
        if waited > 0:
            current = np.concatenate(([self._level_a], current))
            starts = np.concatenate(([self._now_s, self._now_s + waited], starts[1:]))
            ends = np.concatenate(([self._now_s + waited], ends))
        dwell = np.maximum(ends - starts, 0.0)
        at = self._wells(v_x, v_z).at(current)
        self._level_a, self._now_s = float(current[-1]), float(ends[-1])
        up = self._chain.advance(at[:, 6], at[:, 7], dwell, np.minimum(levels.window_s, dwell))
        return up[-len(levels.current_a) :]

    # -- followed ---------------------------------------------------------------------------------

    def _follow(self, levels: Levels, ensemble: Ensemble) -> Array:
        """Rest states without the torque, along history, [P, 3]."""
        path = np.concatenate(([self._level_a], levels.current_a))
        rest = sphere.follow(_conservative(ensemble.fields(path)[0]), self.m, threads=1)
        self.m, self._level_a = rest.m[-1], float(levels.current_a[-1])
        return rest.m[1:]

    def _llg(self, levels: Levels, ensemble: Ensemble) -> Motion:
        start = self._follow(levels, ensemble)
        rest = motion.relax(ensemble, levels.current_a, start[None], threads=1)
        stable, turning = np.flatnonzero(rest.stable[0]), np.flatnonzero(~rest.stable[0])
        mean = np.empty_like(start)
        fields = ensemble.fields(levels.current_a)[0]
        mean[stable] = fluctuation.mean(fields[stable], rest.m[0, stable])
        if len(turning):
            current = levels.current_a[turning]
            step_s = _TURN / (GAMMA_RAD_PER_S_T * float(ensemble.largest_t(current)[0]))
            run = motion.evolve(
                ensemble, current, _OVER, step_s, seed=self._seed, start=start[None, turning],
                settle_steps=_UNTIL, threads=1,
            )  # fmt: skip
            mean[turning] = run.mean[0]
            if turning[-1] == len(mean) - 1:
                self.m = run.last[0, -1]  # it may have been switched
        return Motion(mean, rest.m[0])


def _in_one_well(fields: Fields) -> Motion:
    """The mean in the planar well; far from the read voltage, where k is another and there is no
    such well, the rest state that is reached from +z, without thermal motion."""
    try:
        mean = equilibrium.mean(fields)
    except equilibrium.NoEquilibriumError:
        if np.any(fields.b_t[..., 2] <= 0):
            raise
        mean = sphere.rest(_conservative(fields), (0.0, 0.0, 1.0), threads=1).m
    return Motion(mean, mean)


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
