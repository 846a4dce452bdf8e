"""Motion in time and relaxation of many junctions at many field points.

All arrays are [junctions, points, ...].  The random numbers depend on the seed, the junction, the
point and the number of the step and on nothing else, so a trajectory is the same bit for bit
however the work is cut up: threads, chunks of junctions or points, and stops in between (pass on
``last`` and ``next_step``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim_backend.llg import kernel, motion_checks, thermal
from sim_backend.llg.ensemble import Ensemble
from sim_backend.llg.model import GAMMA_RAD_PER_S_T
from sim_backend.llg.ranges import check
from sim_backend.noise import stream_key

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Motion:
    """What came of a run: shapes [N, P, ...] for N junctions and P points."""

    mean: Array  #: mean unit vector over the steps, [N, P, 3]
    squares: Array | None  #: means of xx, yy, zz, xy, xz, yz, [N, P, 6]
    last: NDArray[Any]  #: the vector after the last step, [N, P, 3]
    trajectory: NDArray[Any] | None  #: the vector after every ``every`` steps, [T, N, P, 3]
    next_step: int  #: number of the step that would come next


@dataclass(frozen=True)
class Rest:
    """Where the vectors came to rest."""

    m: Array  #: unit vectors, [N, P, 3]
    at_rest: NDArray[np.bool_]  #: torque below the tolerance, and no saddle, [N, P]
    stable: NDArray[np.bool_]  #: at rest, and small deviations die out at the junction's α, [N, P]


def _table(junctions: Ensemble, dt_s: float | None) -> Array:
    """The kernel's table; without a time step in tesla, and no noise."""
    get = junctions.array
    alpha, line, tilt = get("alpha"), get("field_constant_t_per_a"), get("tilt_rad")
    scale, variance = np.ones(len(junctions)), np.zeros((2, len(junctions)))
    if dt_s is not None:
        scale = GAMMA_RAD_PER_S_T * dt_s / (1 + alpha**2)
        # σ² is linear in the temperature, and that in the line's current squared.
        per_k = (
            thermal.field_t(alpha, np.ones(len(alpha)), junctions.moment_j_per_t, dt_s) * scale
        ) ** 2
        kelvin = np.stack((get("temperature_k"), get("heating_k_per_a2")))
        variance = per_k * kelvin / kernel.NOISE_UNIT**2
    b, a = junctions.torque_t("field"), junctions.torque_t("damping")
    fields = (
        get("k_t"), get("k2_t"), get("ky_t"), b[:, 0] + get("hx_t"), b[:, 1],
        b[:, 2] + get("hz_t"), line * np.cos(tilt), line * np.sin(tilt), a[:, 0], a[:, 1], a[:, 2],
    )  # fmt: skip
    rows = dict(zip(kernel.ROWS[1:], (row * scale for row in fields), strict=False))
    rows |= {"alpha": alpha, "k_per_a2": get("k_per_a2_t") * scale}
    rows |= {"variance": variance[0], "variance_per_a2": variance[1]}
    return np.stack([rows[name] for name in kernel.ROWS])


def evolve(
    junctions: Ensemble,
    current_a: ArrayLike,
    steps: int,
    dt_s: float,
    *,
    seed: int | None = 0,
    start: ArrayLike = (0.0, 0.0, 1.0),
    settle_steps: int = 0,
    first_step: int = 0,
    first_junction: int = 0,
    first_point: int = 0,
    squares: bool = False,
    every: int = 0,
    dtype: Literal["float64", "float32"] = "float64",
    threads: int | None = None,
) -> Motion:
    """Follow every junction at every field-line current, with all terms.

    Args:
        junctions: N junctions.
        current_a: field-line currents, A, shape [P].
        steps: steps to average over.
        dt_s: time step, s.  Averages are right to 1e-3 while γ B dt <= 0.2 with B the largest
            field, and 2αγ dt kT/(Ms V) <= 4e-3 (see :mod:`sim_backend.llg.thermal`); a turn of
            more than motion_checks.MOST_TURN, heat included, is refused.
        seed: of the thermal field; None: no thermal field.
        start: unit vectors before the first step, [3], [N, 1, 3] or [N, P, 3].
        settle_steps: steps before the averaging starts.
        first_step, first_junction, first_point: numbers of the first ones, for the thermal field.
        squares: also average the products of components.
        every: keep the vector after every so many steps of the average; 0: keep none.
        dtype: precision of the step.  Sums are in double precision.
        threads: None: all.

    Raises:
        ParameterError: something is outside its range.
    """
    current = motion_checks.points(current_a)
    motion_checks.counts(
        dtype, dt_s, steps=steps, settle_steps=settle_steps, every=every, first_step=first_step,
        first_junction=first_junction, first_point=first_point,
    )  # fmt: skip
    motion_checks.turn(junctions, current, dt_s, seed is not None)
    table = _table(junctions, dt_s)
    key = None if seed is None else np.uint64(stream_key(seed, "thermal field") & (2**64 - 1))
    shape = (len(junctions), len(current))
    m = motion_checks.vectors(start, shape, dtype)
    sums = np.zeros(m.shape)
    products = np.zeros((6, m.shape[1])) if squares else None
    rows, points = table.astype(dtype), current.astype(dtype)
    kept = np.empty((steps // every, *m.shape), dtype) if every else None

    def go(first: int, count: int) -> None:
        kernel.advance(
            m, sums, products, rows, points, first_junction, first_point, key, first, count
        )

    with motion_checks.in_threads(threads):
        at = first_step + settle_steps
        if settle_steps:
            go(first_step, settle_steps)
            sums[:] = 0
            if products is not None:
                products[:] = 0
        end = at + steps
        if kept is not None:
            for row in kept:
                go(at, every)
                row[:] = m
                at += every
        if at < end:
            go(at, end - at)

    def shaped(x: NDArray[Any]) -> NDArray[Any]:  # [..., c, S] -> [..., N, P, c], a view
        return np.moveaxis(x.reshape(*x.shape[:-1], *shape), -3, -1)

    sums /= steps
    if products is not None:
        products /= steps
    return Motion(
        mean=shaped(sums),
        squares=None if products is None else shaped(products),
        last=shaped(m),
        trajectory=None if kept is None else shaped(kept),
        next_step=end,
    )


def stream(
    junctions: Ensemble,
    current_a: ArrayLike,
    steps: int,
    dt_s: float,
    *,
    memory_bytes: int = 2**28,
    start: ArrayLike = (0.0, 0.0, 1.0),
    squares: bool = False,
    every: int = 0,
    **more: Any,
) -> Iterator[tuple[slice, slice, Motion]]:
    """:func:`evolve` by chunks of junctions and points, for runs that do not fit into memory.

    A chunk's arrays take at most ``memory_bytes``; keep no more than you need of each.  The pieces
    are the same bit for bit as those of one large run.

    Yields:
        the junctions, the points, and the motion of these.
    """
    current = motion_checks.points(current_a)
    check("memory_bytes", memory_bytes, 2**16, 2**50)
    size = 4 if more.get("dtype") == "float32" else 8
    # Vectors (and their copy while the start is laid out), sums, products, kept vectors; of a
    # junction besides: its entries, the table and what makes it.
    spin = 3 * (size + 8) + 24 + 48 * squares + (3 * size * (steps // every) if every else 0)
    wide = max(1, min(len(current), memory_bytes // 2 // spin))
    tall = max(1, min(len(junctions), memory_bytes // (spin * wide + 1024)))
    origin = check("start", start, -2, 2)
    for j in range(0, len(junctions), tall):
        devices = slice(j, min(j + tall, len(junctions)))
        part = junctions[devices]
        for p in range(0, len(current), wide):
            points = slice(p, min(p + wide, len(current)))
            begin = origin
            if begin.ndim == 3:
                begin = begin[devices] if begin.shape[0] > 1 else begin
                begin = begin[:, points] if begin.shape[1] > 1 else begin
            yield (
                devices,
                points,
                evolve(
                    part, current[points], steps, dt_s, start=begin, squares=squares, every=every,
                    first_junction=j, first_point=p, **more,
                ),
            )  # fmt: skip


def relax(
    junctions: Ensemble,
    current_a: ArrayLike,
    start: ArrayLike = (0.0, 0.0, 1.0),
    *,
    tolerance: float = 1e-10,
    most_steps: int = 200_000,
    threads: int | None = None,
) -> Rest:
    """Bring every junction to rest at every current, from ``start``, without noise.

    Where a vector rests does not depend on the damping, so the relaxation runs at α = 1, each spin
    with its own time step.  A spin is at rest when its torque is below ``tolerance`` of its largest
    field and no small deviation grows; a saddle or a maximum it leaves by a push of
    1e-3 rad, always the same one.  Whether the state is stable is judged with the junction's own
    damping: above the threshold α(k + Bz + ky/2) the spin torque makes it precess.

    Args:
        junctions: N junctions.
        current_a: field-line currents, A, shape [P].
        start: unit vectors, [3], [N, 1, 3] or [N, P, 3].
        tolerance: torque at rest, of the largest field.  The angle is off by that, times the
            largest field over the well's curvature.
        most_steps: after so many a spin counts as not at rest.
        threads: None: all.
    """
    current = motion_checks.points(current_a)
    check("tolerance", tolerance, 1e-14, 1e-2)
    check("most_steps", most_steps, 16, 10**9)
    shape = (len(junctions), len(current))
    m = motion_checks.vectors(start, shape, np.float64)
    state = np.zeros(m.shape[1], np.int8)
    with motion_checks.in_threads(threads):
        kernel.settle(m, state, _table(junctions, None), current.copy(), tolerance, most_steps)
    where = state.reshape(shape)
    at = np.moveaxis(m.reshape(3, *shape), 0, -1)
    return Rest(m=at, at_rest=where > 0, stable=where == 2)
