"""What a run of the equation of motion may be asked for, and the threads that it gets."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numba
import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim_backend.llg import thermal
from sim_backend.llg.ensemble import Ensemble
from sim_backend.llg.model import GAMMA_RAD_PER_S_T
from sim_backend.llg.ranges import ParameterError, check

Array = NDArray[np.float64]
#: largest turn in a step, γ B dt/(1+α²), rad
MOST_TURN = 0.5
# numba's simplest threading layer does not bear two callers at once.
_lock = threading.Lock()


def points(current_a: ArrayLike) -> Array:
    """Field-line currents, A, [P]."""
    current = check("current_a", current_a, -1e3, 1e3)
    if current.ndim != 1 or not current.size:
        raise ParameterError(f"current_a has shape {list(current.shape)}; it must be [P], P >= 1")
    return current


def vectors(start: ArrayLike, shape: tuple[int, int], dtype: Any) -> NDArray[Any]:
    """Unit vectors as the kernel wants them, a copy, [3, S]."""
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
    return np.array(np.moveaxis(full, -1, 0).reshape(3, -1), dtype=dtype, order="C")


def counts(dtype: str, dt_s: float, **numbers: int) -> None:
    """Steps and numbers of a run, by the names of :func:`sim_backend.llg.motion.evolve`."""
    for name, value in numbers.items():
        low, high = int(name == "steps"), 2**62 if name == "first_step" else 2**31 - 1
        check(name, value, low, high)
    check("dt_s", dt_s, 0, 1e-6, closed=False)
    if dtype not in ("float64", "float32"):
        raise ParameterError(f"dtype is {dtype!r}; it must be 'float64' or 'float32'")


def turn(junctions: Ensemble, current_a: Array, dt_s: float, heat: bool) -> None:
    """Refuse a step in which a vector would turn by more than MOST_TURN."""
    alpha, field = junctions.array("alpha"), junctions.largest_t(current_a)
    if heat:
        rise = junctions.array("heating_k_per_a2") * np.square(current_a).max()
        kelvin = junctions.array("temperature_k") + rise
        field = np.hypot(field, thermal.field_t(alpha, kelvin, junctions.moment_j_per_t, dt_s))
    angle = GAMMA_RAD_PER_S_T * dt_s / (1 + alpha**2) * field
    if angle.max() > MOST_TURN:
        worst = int(angle.argmax())
        raise ParameterError(
            f"dt_s is {dt_s:g}, in which junction {worst} turns by {angle[worst]:.3g} rad; it must "
            f"be at most {dt_s * MOST_TURN / angle[worst]:.3g}, and a third of that for averages"
        )


@contextmanager
def in_threads(threads: int | None) -> Iterator[None]:
    """So many threads for compiled code, all if None; one caller at a time.

    numba may share its number of threads with torch, whose own is kept.
    """
    most = int(numba.config.NUMBA_NUM_THREADS)  # type: ignore[attr-defined]
    count = most if threads is None else int(check("threads", threads, 1, most))
    torch: Any = sys.modules.get("torch")
    with _lock:
        before, torch_before = numba.get_num_threads(), torch and torch.get_num_threads()
        numba.set_num_threads(count)
        try:
            yield
        finally:
            numba.set_num_threads(before)
            if torch:
                torch.set_num_threads(torch_before)
