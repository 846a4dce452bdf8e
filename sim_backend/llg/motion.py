"""Motion in time and relaxation of many junctions at many field points.

All arrays are [junctions, points, ...].  The random numbers depend on the seed, the junction, the
point and the number of the step and on nothing else, so a trajectory is the same bit for bit
however the work is cut up: threads, chunks of junctions or points, and stops in between (pass on
``last`` and ``next_step``).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numba
import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim_backend.llg import kernel, thermal
from sim_backend.llg.ensemble import Ensemble, ParameterError, check
from sim_backend.llg.model import GAMMA_RAD_PER_S_T
from sim_backend.noise import stream_key

Array = NDArray[np.float64]
#: largest turn in a step, γ B dt/(1+α²), rad
MOST_TURN = 0.5
# numba's simplest threading layer does not bear two callers at once.
_lock = threading.Lock()


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
    """The kernel's table; without a time step in tesla."""
    get = junctions.array
    alpha, line, tilt = get("alpha"), get("field_constant_t_per_a"), get("tilt_rad")
    scale, sigma = np.ones(len(junctions)), np.zeros(len(junctions))
    if dt_s is not None:
        scale = GAMMA_RAD_PER_S_T * dt_s / (1 + alpha**2)
        sigma = thermal.field_t(alpha, get("temperature_k"), junctions.moment_j_per_t, dt_s)
    b, a = junctions.torque_t("field"), junctions.torque_t("damping")
    rows = (
        get("k_t"), get("k2_t"), get("ky_t"), b[:, 0], b[:, 1], b[:, 2] + get("hz_t"),
        line * np.cos(tilt), line * np.sin(tilt), a[:, 0], a[:, 1], a[:, 2],
        sigma / kernel.NOISE_UNIT,
    )  # fmt: skip
    return np.stack((alpha, *(row * scale for row in rows)))


def _start(start: ArrayLike, shape: tuple[int, int], dtype: Any) -> NDArray[Any]:
    """Unit vectors as the kernel wants them, [3, S]."""
    m = check("start", start, -2, 2)
    if m.shape[-1:] != (3,) or m.ndim > 3:
        raise ParameterError(
            f"start has shape {list(m.shape)}; it must be [3], [N, 1, 3] or [N, P, 3]"
        )
    try:
        full = np.broadcast_to(m, (*shape, 3))
    except ValueError:
        raise ParameterError(
            f"start has shape {list(m.shape)}; it must fit [{shape[0]}, {shape[1]}, 3]"
        ) from None
    check("length of start", np.linalg.norm(m, axis=-1), 0.999, 1.001)
    return np.array(np.moveaxis(full, -1, 0).reshape(3, -1), dtype=dtype, order="C")  # a copy


def _threads(threads: int | None) -> int:
    most = int(numba.config.NUMBA_NUM_THREADS)  # type: ignore[attr-defined]
    return most if threads is None else int(check("threads", threads, 1, most))


def _points(current_a: ArrayLike) -> Array:
    current = check("current_a", current_a, -1e3, 1e3)
    if current.ndim != 1 or not current.size:
        raise ParameterError(f"current_a has shape {list(current.shape)}; it must be [P], P >= 1")
    return current


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
            more than MOST_TURN, heat included, is refused.
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
    current = _points(current_a)
    for name, value, low in (
        ("steps", steps, 1), ("settle_steps", settle_steps, 0), ("every", every, 0),
        ("first_step", first_step, 0), ("first_junction", first_junction, 0),
        ("first_point", first_point, 0),
    ):  # fmt: skip
        check(name, value, low, 2**62 if name == "first_step" else 2**31 - 1)
    check("dt_s", dt_s, 0, 1e-6, closed=False)
    if dtype not in ("float64", "float32"):
        raise ParameterError(f"dtype is {dtype!r}; it must be 'float64' or 'float32'")
    count = _threads(threads)
    table = _table(junctions, dt_s)
    alpha = junctions.array("alpha")
    turn = GAMMA_RAD_PER_S_T * dt_s / (1 + alpha**2) * junctions.largest_t(current)
    if seed is not None:
        turn = np.hypot(turn, table[-1] * kernel.NOISE_UNIT)
    if turn.max() > MOST_TURN:
        worst = int(turn.argmax())
        raise ParameterError(
            f"dt_s is {dt_s:g}, in which junction {worst} turns by {turn[worst]:.3g} rad; it must "
            f"be at most {dt_s * MOST_TURN / turn[worst]:.3g}, and a third of that for averages"
        )
    key = None if seed is None else np.uint64(stream_key(seed, "thermal field") & (2**64 - 1))
    shape = (len(junctions), len(current))
    m = _start(start, shape, dtype)
    sums = np.zeros(m.shape)
    products = np.zeros((6, m.shape[1])) if squares else None
    rows, points = table.astype(dtype), current.astype(dtype)
    kept = np.empty((steps // every, *m.shape), dtype) if every else None

    def go(first: int, count: int) -> None:
        kernel.advance(
            m, sums, products, rows, points, first_junction, first_point, key, first, count
        )

    with _lock:
        before = numba.get_num_threads()
        numba.set_num_threads(count)
        try:
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
        finally:
            numba.set_num_threads(before)

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
    current = _points(current_a)
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
    current = _points(current_a)
    check("tolerance", tolerance, 1e-14, 1e-2)
    check("most_steps", most_steps, 16, 10**9)
    count = _threads(threads)
    shape = (len(junctions), len(current))
    m = _start(start, shape, np.float64)
    state = np.zeros(m.shape[1], np.int8)
    with _lock:
        before = numba.get_num_threads()
        numba.set_num_threads(count)
        try:
            kernel.settle(m, state, _table(junctions, None), current.copy(), tolerance, most_steps)
        finally:
            numba.set_num_threads(before)
    where = state.reshape(shape)
    at = np.moveaxis(m.reshape(3, *shape), 0, -1)
    return Rest(m=at, at_rest=where > 0, stable=where == 2)
