"""Micromagnetic element: one layer of cells with demagnetising field, exchange and anisotropy.

Energy per moment, in tesla, of the cells' unit vectors m_i in a field B::

    E = <-1/2 m·(A m) - m·B>,   A = exchange - µ0 Ms N + (2 Ku/Ms) z z

where <> is the mean over cells, N the tensor of :mod:`sim_backend.llg.demag` and exchange the
five-point Laplacian (2 A_ex/Ms)/side² with free edges.  A is dense and is applied to all field
points in one matrix product.  One layer of cells: the magnetisation does not change across the
thickness, and no field mixes z with x and y.  T = 0; Ms, Ku and A_ex are those of the temperature
meant, so thermal motion is not counted twice.

The minimiser goes down the gradient on the sphere, preconditioned by (σ - exchange)⁻¹, with the
step of J. Barzilai and J. M. Borwein, IMA J. Numer. Anal. 8, 141 (1988) in that metric.  A step
that would raise the energy is cut to a quarter.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim_backend.llg.demag import dense_tensor, layer_tensor
from sim_backend.llg.element import MU0, Element

Array = NDArray[np.float64]
Watch = Callable[[NDArray[np.intp], Array], None]

_BLOCK = 96  # field points relaxed together
_ROUNDING_T = 1e-15  # of the energy, per tesla of µ0 Ms
_LARGEST_TURN = 0.5  # rad, of any cell in one step
_HAIR = 1e-4  # part along y of every start: a perfect symmetry would never break


class NotAtRestError(RuntimeError):
    """The minimiser did not come to rest."""


class Magnet:
    """An element cut into cells, with its operator.

    Arrays of states have shape [3, cells, field points].
    """

    def __init__(self, element: Element) -> None:
        self.element = element
        count, side = element.count, element.side_m
        i, j = element.cells
        self.cells = len(i)
        self.x_m, self.y_m = ((k - (count - 1) / 2) * side for k in (i, j))
        n_xx, n_yy, n_zz, n_xy = dense_tensor(i, j, layer_tensor(count, side, element.thickness_m))
        near = (np.abs(i[:, None] - i) + np.abs(j[:, None] - j)) == 1
        stiffness = 2 * element.a_exchange_j_per_m / element.ms_a_per_m / side**2
        self.exchange_t = stiffness * (near - np.diag(near.sum(1)).astype(np.float64))
        ms_t = MU0 * element.ms_a_per_m
        self._xy = np.block(
            [
                [self.exchange_t - ms_t * n_xx, -ms_t * n_xy],
                [-ms_t * n_xy, self.exchange_t - ms_t * n_yy],
            ]
        )
        self._z = self.exchange_t - ms_t * n_zz
        self._z[np.diag_indices(self.cells)] += 2 * element.ku_j_per_m3 / element.ms_a_per_m

    def linear_t(self, m: Array) -> Array:
        """A m, T: the field of exchange, demagnetisation and anisotropy in every cell."""
        _, cells, points = m.shape
        out = np.empty_like(m)
        np.matmul(self._xy, m[:2].reshape(2 * cells, points), out=out[:2].reshape(2 * cells, -1))
        np.matmul(self._z, m[2], out=out[2])
        return out

    def energy_t(self, m: Array, field_t: Array) -> Array:
        """Energy per moment at each field point, T; ``field_t`` has shape [3, points]."""
        result: Array = -(m * (self.linear_t(m) / 2 + field_t[:, None])).sum((0, 1)) / self.cells
        return result

    @cached_property
    def uniform_t(self) -> tuple[float, float, float]:
        """Mean of A over a uniform state along x, y, z, T."""
        n = self.cells
        return tuple(
            float(part.sum() / n) for part in (self._xy[:n, :n], self._xy[n:, n:], self._z)
        )  # type: ignore[return-value]

    @property
    def uniform_k_t(self) -> float:
        """Perpendicular anisotropy less demagnetisation of the uniform state along x, T."""
        return self.uniform_t[2] - self.uniform_t[0]

    @property
    def uniform_ky_t(self) -> float:
        """Hard axis in the plane of the uniform state, T: how much harder y is than x."""
        return self.uniform_t[0] - self.uniform_t[1]

    @cached_property
    def _modes(self) -> tuple[Array, Array]:
        """Exchange fields (T, from 0 up) and patterns of the exchange modes."""
        fields_t, patterns = np.linalg.eigh(-self.exchange_t)
        return fields_t, patterns

    def starts(self, field_t: Array) -> Array:
        """Uniform states, the one of least energy with m_z > 0 for each field; [3, cells, points].

        Args:
            field_t: fields in the x-z plane, T, shape [3, points].
        """
        angle = np.linspace(-1.5, 1.5, 301)[:, None]
        s, c = np.sin(angle), np.cos(angle)
        best = (-self.uniform_k_t / 2 * c**2 - field_t[0] * s - field_t[2] * c).argmin(0)
        m = np.zeros((3, self.cells, field_t.shape[1]))
        m[0], m[2] = s[best, 0], c[best, 0]
        return m

    def rest(
        self,
        field_t: ArrayLike,
        start: Array | None = None,
        *,
        tolerance_t: float = 1e-6,
        most: int = 2000,
        watch: Watch | None = None,
    ) -> Array:
        """States at rest, each field point for itself.

        Args:
            field_t: fields, T, shape [points, 3].
            start: states to start from, shape [3, cells, points]; None: ``starts``.
            tolerance_t: rest is a torque |m × B| below this in every cell, T.
            most: steps.
            watch: called before every step with the field points that still move, and their
                energies in T.

        Raises:
            NotAtRestError: a field point is not at rest after ``most`` steps.
        """
        field = np.atleast_2d(np.asarray(field_t, dtype=np.float64)).T.copy()
        out = (self.starts(field) if start is None else start).copy()
        out[1] += _HAIR
        out /= np.sqrt((out * out).sum(0))
        for at in range(0, field.shape[1], _BLOCK):
            block = slice(at, at + _BLOCK)
            out[:, :, block] = _minimise(
                self, out[:, :, block], field[:, block], tolerance_t, most, at, watch
            )
        return out

    def follow(
        self, field_t: ArrayLike, start: Array | None = None, tolerance_t: float = 1e-6
    ) -> Array:
        """States at rest, each started from the one before: history, metastable states and all.

        Args, result and errors as ``rest``; ``start`` is one state, shape [3, cells, 1].
        """
        found = []
        for one in np.atleast_2d(np.asarray(field_t, dtype=np.float64)):
            start = self.rest(one, start, tolerance_t=tolerance_t)
            found.append(start)
        return np.concatenate(found, axis=2)


def _minimise(
    magnet: Magnet,
    m: Array,
    field: Array,
    tolerance_t: float,
    most: int,
    first: int,
    watch: Watch | None,
) -> Array:
    out = m.copy()
    live = np.arange(m.shape[2])
    b = field[:, None]
    rounding = _ROUNDING_T * MU0 * magnet.element.ms_a_per_m
    stiff, patterns = magnet._modes
    # Exchange is the stiff part; the rest of the Hessian is of the order of the field along m.
    soft = max(float(np.abs((m * (magnet.linear_t(m) + b)).sum(0)).mean()), 1e-3)
    inverse = ((patterns / (stiff + soft)) @ patterns.T).astype(np.float32)

    def look(m: Array, b: Array) -> tuple[Array, Array, Array]:
        """Energy, field across m (less the gradient), and the same preconditioned."""
        own = magnet.linear_t(m)
        energy = -(m * (own / 2 + b)).sum((0, 1)) / magnet.cells
        own += b
        own -= (m * own).sum(0) * m
        way = np.matmul(inverse, own.astype(np.float32)).astype(np.float64)
        way -= (m * way).sum(0) * m
        return energy, own, way

    energy, force, way = look(m, b)
    step = np.ones(len(live))
    for _ in range(most):
        if watch is not None:
            watch(first + live, energy)
        moving = (force * force).sum(0).max(0) >= tolerance_t**2
        if not moving.all():
            out[:, :, live[~moving]] = m[:, :, ~moving]
            if not moving.any():
                return out
            m, b, force, way = (part[:, :, moving] for part in (m, b, force, way))
            energy, step, live = energy[moving], step[moving], live[moving]
        step = np.minimum(step, _LARGEST_TURN / np.sqrt((way * way).sum(0).max(0)))
        new = m + step * way
        new /= np.sqrt((new * new).sum(0))
        new_energy, new_force, new_way = look(new, b)
        change = force - new_force
        top = ((new - m) * change).sum((0, 1))
        bottom = (change * (way - new_way)).sum((0, 1))
        well = (top > 0) & (bottom > 0)
        next_step = np.where(well, top / np.where(well, bottom, 1.0), 1.0)
        rose = new_energy > energy + rounding
        if rose.any():
            new, new_force, new_way = (
                np.where(rose, old, one)
                for old, one in ((m, new), (force, new_force), (way, new_way))
            )
            new_energy = np.where(rose, energy, new_energy)
            next_step = np.where(rose, step / 4, next_step)
        m, energy, force, way, step = new, new_energy, new_force, new_way, next_step
    torque = np.sqrt((force * force).sum(0).max())
    at = field[:, live[0]] * 1e3
    raise NotAtRestError(
        f"the element is not at rest after {most} steps at ({at[0]:.4g}, {at[1]:.4g}, {at[2]:.4g})"
        f" mT: a torque of {torque:.2g} T is left, {tolerance_t:.2g} T is allowed"
    )
