"""Where the macrospin comes to rest in the plane, and what a slow reading sees of it.

Source of the planar law: stationary points of the energy in :mod:`sim_backend.llg.fields` for
m = (sin θ, 0, cos θ).  With s = tan θ it reads k u + k2 u³ + B_z s = B_x, u = s/sqrt(1 + s²), which
has one root where its left side rises with s.  :mod:`sim_backend.llg.planar` finds it, many at
once, to a relative 1e-12.

What the law does not hold for is refused (:mod:`sim_backend.llg.one_well`): fields along y, ky < 0,
two wells.  The damping-like torque of the read current alone is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim_backend.llg import one_well, planar, sphere
from sim_backend.llg.ensemble import Ensemble
from sim_backend.llg.fields import Fields
from sim_backend.llg.model import BOLTZMANN_J_PER_K, FreeLayer
from sim_backend.llg.one_well import LEAST, NoEquilibriumError, has_one_well
from sim_backend.llg.ranges import ParameterError, check

__all__ = [
    "NoEquilibriumError", "angle", "average", "grid", "has_one_well", "mean", "rest", "stream",
]  # fmt: skip

Array = NDArray[np.float64]
Precision = Literal["float64", "float32"]
#: microseconds that a point takes
_POINT_US = 0.005


def rest(fields: Fields, *, threads: int | None = None) -> tuple[Array, Array]:
    """(m_x, m_z) at rest, T = 0, each of the fields' shape [...].

    Args:
        fields: in the x-z plane.
        threads: None: as many as there are cores, if there is work for them.

    Raises:
        NoEquilibriumError: no single well in the plane at one of the points.
    """
    one_well.check(fields, 0.0)
    return _at_points(fields, False, threads)


def mean(fields: Fields, *, threads: int | None = None) -> Array:
    """Mean m over the thermal motion in the one planar well, [..., 3]; see :func:`average`.

    Raises:
        NoEquilibriumError: no single well at one of the points.
    """
    one_well.check(fields, LEAST)
    x, z = _at_points(fields, True, threads)
    return np.stack((x, np.zeros_like(x), z), axis=-1)


def angle(layer: FreeLayer, current_a: Array) -> Array:
    """Angle θ of the free layer from +z towards +x at rest, T = 0.

    Args:
        layer: the free layer.
        current_a: field-line currents, A, any shape.

    Returns:
        θ in rad, same shape.

    Raises:
        NoEquilibriumError: no single well in the plane at one of the currents.
    """
    bx, bz = (np.asarray(b, np.float64) for b in layer.fields_t(np.asarray(current_a)))
    zero = np.zeros(())
    b = np.stack(np.broadcast_arrays(bx, zero, bz), axis=-1)
    k, k2, ky = np.asarray(layer.k_t), np.asarray(layer.k2_t), np.asarray(layer.ky_t)
    fields = Fields(k, k2, ky, b, np.zeros(3), zero, zero)
    one_well.check(fields, LEAST)
    x, z = _at_points(fields, False, 1)
    result: Array = np.arctan2(x, z)
    return result


def average(layer: FreeLayer, current_a: Array, theta: Array) -> tuple[Array, Array]:
    """Mean (m_x, m_z) over the thermal motion in the well around θ, to first order in kT.

    Gaussian fluctuations a (in the plane) and b (out of it) of the energy's quadratic part shorten
    the vector; the cubic part shifts the angle by <a> = -(E_aaa <a²> + E_abb <b²>)/(2 E_aa)
    (Laplace's method; the next order is (kT/E_aa)²).

    Args:
        layer: the free layer.
        current_a: field-line currents, A.
        theta: the well's angle at each of them, rad.

    Returns:
        m_x, m_z, dimensionless, same shape as ``theta``.
    """
    s, c = np.sin(theta), np.cos(theta)
    t = layer.thermal_field_t
    if t == 0:
        return s, c
    bx, bz = layer.fields_t(current_a)
    k, k2 = layer.k_t, layer.k2_t
    along = bx * s + bz * c
    e_aa = k * (c * c - s * s) + k2 * (3 * s * s * c * c - s**4) + along
    e_bb = k * c * c + k2 * s * s * c * c + layer.ky_t + along
    across = bx * c - bz * s
    e_aaa = -4 * k * s * c + k2 * (6 * s * c**3 - 10 * s**3 * c) + across
    e_abb = -2 * k * s * c + k2 * (2 * s * c**3 - 2 * s**3 * c) + across
    a2, b2 = t / e_aa, t / e_bb
    length = 1 - (a2 + b2) / 2
    shift = -(e_aaa * a2 + e_abb * b2) / (2 * e_aa)
    return s * length + c * shift, c * length - s * shift


def grid(
    junctions: Ensemble,
    current_a: ArrayLike,
    *,
    warm: bool = False,
    dtype: Precision = "float64",
    threads: int | None = None,
) -> tuple[NDArray[Any], NDArray[Any]]:
    """(m_x, m_z) of every junction at every field-line current, each [N, P].

    Args:
        junctions: N junctions.
        current_a: field-line currents, A, [P].
        warm: the mean over the thermal motion in the well, as :func:`mean`; else at rest, T = 0.
        dtype: of the answers, which are found in double precision.
        threads: None: as many as there are cores, if there is work for them.

    Raises:
        NoEquilibriumError: no single well at one of the points.
        ParameterError: an argument is outside its range.
    """
    current = np.ascontiguousarray(check("current_a", current_a, -1e3, 1e3))
    if current.ndim != 1 or not current.size:
        raise ParameterError(f"current_a has shape {list(current.shape)}; it must be [P], P >= 1")
    if dtype not in ("float64", "float32"):
        raise ParameterError(f"dtype is {dtype!r}; it must be 'float64' or 'float32'")
    table = _table(junctions)
    rows = dict(zip(planar.ROWS, table, strict=True))
    # k is linear in I² and the field along z in I: the ends of both ranges tell.
    ends = np.array([current.min(), current.max()])[:, None]
    square = np.array([np.square(current).min(), np.square(current).max()])[:, None]
    low_k = (rows["k"] + rows["k_per_a2"] * square).min(0)
    high_k = (rows["k"] + rows["k_per_a2"] * square).max(0)
    low_z = (rows["bz"] + rows["bz_per_a"] * ends).min(0)
    b_y, k2, ky = junctions.torque_t("field")[:, 1], rows["k2"], rows["ky"]
    scale = np.abs(rows["k"]) + np.abs(k2) + np.abs(low_z)
    for k in (low_k, high_k):
        one_well.refuse(k, k2, ky, b_y, low_z, scale, LEAST * warm)
    points = len(current)
    x, z = np.empty((2, len(junctions), points), dtype)
    flat_x, flat_z = x.reshape(-1), z.reshape(-1)

    def work(part: slice) -> None:
        first, last = part.start * points, part.stop * points
        planar.on_grid(table, current, flat_x, flat_z, warm, first, last)

    sphere.in_threads(work, len(junctions), x.size * _POINT_US, threads)
    return x, z


def stream(
    junctions: Ensemble, current_a: ArrayLike, *, memory_bytes: int = 2**26, **more: Any
) -> Iterator[tuple[slice, slice, NDArray[Any], NDArray[Any]]]:
    """:func:`grid` by chunks of junctions and points, for grids that do not fit into memory.

    A chunk's arrays take at most ``memory_bytes``; keep no more than you need of each.  The pieces
    are the same bit for bit as those of one large grid.

    Yields:
        the junctions, the points, and m_x and m_z of these.
    """
    current = np.atleast_1d(check("current_a", current_a, -1e3, 1e3))
    check("memory_bytes", memory_bytes, 2**16, 2**50)
    # Of a point two numbers; of a junction its entries, their check, and the table.
    wide = max(1, min(len(current), memory_bytes // 2 // 16))
    tall = max(1, min(len(junctions), memory_bytes // (16 * wide + 1024)))
    for j in range(0, len(junctions), tall):
        devices = slice(j, min(j + tall, len(junctions)))
        part = junctions[devices]
        for p in range(0, len(current), wide):
            points = slice(p, min(p + wide, len(current)))
            yield devices, points, *grid(part, current[points], **more)


def _at_points(fields: Fields, warm: bool, threads: int | None) -> tuple[Array, Array]:
    shape = fields.shape
    parts: tuple[Array, ...] = fields.b_t[..., 0], fields.b_t[..., 2], fields.k_t, fields.k2_t
    if warm:
        parts = *parts, fields.ky_t, fields.thermal_t
    rows = np.empty((len(parts), *shape))
    for i, part in enumerate(parts):
        rows[i, ...] = part
    flat = rows.reshape(len(parts), -1)
    x, z = np.empty((2, flat.shape[1]))

    def work(part: slice) -> None:
        planar.at_points(flat, x, z, part.start, part.stop)

    sphere.in_threads(work, len(x), len(x) * _POINT_US, threads)
    return x.reshape(shape), z.reshape(shape)


def _table(junctions: Ensemble) -> Array:
    """The compiled code's table, [len(ROWS), N]."""
    get = junctions.array
    line, tilt, b = get("field_constant_t_per_a"), get("tilt_rad"), junctions.torque_t("field")
    kelvin_t = BOLTZMANN_J_PER_K / junctions.moment_j_per_t
    rows = {
        "k": get("k_t"), "k_per_a2": get("k_per_a2_t"), "k2": get("k2_t"), "ky": get("ky_t"),
        "bx": get("hx_t") + b[:, 0], "bx_per_a": line * np.cos(tilt),
        "bz": get("hz_t") + b[:, 2], "bz_per_a": line * np.sin(tilt),
        "thermal": kelvin_t * get("temperature_k"),
        "thermal_per_a2": kelvin_t * get("heating_k_per_a2"),
    }  # fmt: skip
    return np.stack([rows[name] for name in planar.ROWS])
