"""The motion of :mod:`sim_backend.llg.motion` in torch: the same equation, step and random numbers.

For a CUDA device; on a processor it serves the tests, the numba code being many times faster there.
Trajectories differ from numba's by rounding alone, since a compiler may contract a multiply and an
add: a damped junction stays within 1e-12 (f64) and 2e-5 (f32) over a thousand steps.  Where the
motion has a choice (two wells, a limit cycle) rounding grows with it.

On one device the result is the same bit for bit for a seed, however the junctions, points and steps
are cut up: every operation is elementwise.  Not tried on a GPU.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from sim_backend.llg import kernel, motion, motion_checks
from sim_backend.llg.ensemble import Ensemble
from sim_backend.llg.fields import Fields
from sim_backend.llg.model import GAMMA_RAD_PER_S_T
from sim_backend.llg.motion import Motion
from sim_backend.noise import stream_key

Tensor = torch.Tensor
Triple = tuple[Tensor, Tensor, Tensor]

# -- noise ----------------------------------------------------------------------------------------

_LOW = 0xFFFFFFFF
_M0, _M1 = 0xD2511F53, 0xCD9E8D57
_W0, _W1 = 0x9E3779B9, 0xBB67AE85


@dataclass(frozen=True)
class Counter:
    """Whose random numbers: key and counter of Philox4x32-7 (Salmon et al., SC11), all int64."""

    keys: tuple[tuple[Tensor, Tensor], ...]  # of each round
    junction: Tensor
    point: Tensor

    @classmethod
    def of(cls, key: int, junction: Tensor, point: Tensor) -> Counter:
        """key: below 2**64; junction, point: numbers that broadcast, on one device."""
        weyl = [
            [((key & _LOW) + turn * _W0) & _LOW, ((key >> 32) + turn * _W1) & _LOW]
            for turn in range(7)
        ]
        rows = torch.tensor(weyl, dtype=torch.int64, device=junction.device)
        return cls(tuple((row[0], row[1]) for row in rows), junction, point)


def philox(
    words: tuple[Tensor, ...], keys: tuple[tuple[Tensor, Tensor], ...]
) -> tuple[Tensor, ...]:
    """The four words that come of four counter words below 2**32.

    A product wraps to the same low 64 bits with or without a sign; the shift drags the sign along,
    which the mask of the next round takes away.
    """
    c0, c1, c2, c3 = words
    for k0, k1 in keys:
        p0, p1 = (c0 & _LOW) * _M0, (c2 & _LOW) * _M1
        c0, c1, c2, c3 = (p1 >> 32) ^ c1 ^ k0, p1, (p0 >> 32) ^ c3 ^ k1, p0
    return c0 & _LOW, c1 & _LOW, c2 & _LOW, c3 & _LOW


def ones(x: Tensor) -> Tensor:
    """Number of ones of words below 2**32 in int64 (Warren, Hacker's Delight, section 5-1)."""
    x = x - ((x >> 1) & 0x55555555)
    x = (x & 0x33333333) + ((x >> 2) & 0x33333333)
    x = (x + (x >> 4)) & 0x0F0F0F0F
    return ((x * 0x01010101) & _LOW) >> 24


def noise(counter: Counter, step: Tensor) -> Triple:
    """The three whole numbers behind the thermal field in a step, as
    :func:`sim_backend.llg.kernel.noise` has them."""
    words = counter.junction, step & _LOW, counter.point, step >> 32
    c0, c1, c2, c3 = philox(words, counter.keys)
    return (
        (ones(c0) << 10) | (c3 & 1023),
        (ones(c1) << 10) | ((c3 >> 10) & 1023),
        (ones(c2) << 10) | (c3 >> 22),
    )


# -- one step -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Terms:
    """What a step needs beside m, [N, P] or [N, 1]; fields times γ dt/(1+α²), see the kernel."""

    v: Triple  # B - αA, less the mean of the uncentred noise
    alpha: Tensor
    a: Triple  # (1+α²) A
    kk: Tensor  # k + k2
    k2: Tensor
    ky: Tensor
    sigma: Tensor

    @classmethod
    def of(cls, fields: Fields, dt_s: float, noisy: bool, like: Tensor) -> _Terms:
        """In the precision of ``like`` and where it is."""
        alpha = fields.alpha
        scale = GAMMA_RAD_PER_S_T * dt_s / (1 + alpha**2)
        sigma = scale * _sigma_t(fields, dt_s) / kernel.NOISE_UNIT
        a = [scale * fields.a_t[..., i] for i in range(3)]
        v = [scale * fields.b_t[..., i] - alpha * a[i] for i in range(3)]
        if noisy:
            v = [part - sigma * kernel.NOISE_MEAN for part in v]
        k, k2, ky = (scale * part for part in (fields.k_t, fields.k2_t, fields.ky_t))

        def put(x: NDArray[Any]) -> Tensor:
            return torch.tensor(x, dtype=like.dtype, device=like.device)

        return cls(
            (put(v[0]), put(v[1]), put(v[2])), put(alpha),
            (put((1 + alpha**2) * a[0]), put((1 + alpha**2) * a[1]), put((1 + alpha**2) * a[2])),
            put(k + k2), put(k2), put(ky), put(sigma),
        )  # fmt: skip


def _sigma_t(fields: Fields, dt_s: float) -> NDArray[np.float64]:
    """sigma_B of :mod:`sim_backend.llg.thermal`, T."""
    power: NDArray[np.float64] = 2 * fields.alpha * fields.thermal_t / (GAMMA_RAD_PER_S_T * dt_s)
    return np.sqrt(power)


def _slope(m: Triple, v: Triple, wx: Tensor, c: _Terms) -> Triple:
    """v×m with v = (B - αA) + m×w, w = αB + A, as in the kernel."""
    (x, y, z), (vx, vy, vz) = m, v
    vy = vy - c.ky * y
    vz = (vz + c.kk * z) - (c.k2 * z) * (z * z)
    wy, wz = c.alpha * vy + c.a[1], c.alpha * vz + c.a[2]
    ux = vx + y * wz - z * wy
    uy = vy + z * wx - x * wz
    uz = vz + x * wy - y * wx
    return uy * z - uz * y, uz * x - ux * z, ux * y - uy * x


def _add(m: Triple, s: Triple, part: float) -> Triple:
    return m[0] + s[0] * part, m[1] + s[1] * part, m[2] + s[2] * part


def _step(m: Triple, v: Triple, c: _Terms) -> Triple:
    """One Runge-Kutta step and the Newton step to length 1."""
    wx = c.alpha * v[0] + c.a[0]
    first = _slope(m, v, wx, c)
    second = _slope(_add(m, first, 0.5), v, wx, c)
    third = _slope(_add(m, second, 0.5), v, wx, c)
    fourth = _slope(_add(m, third, 1.0), v, wx, c)
    x, y, z = _add(_add(m, _add(first, fourth, 1.0), 1 / 6), _add(second, third, 1.0), 1 / 3)
    f = 1.5 - (x * x + y * y + z * z) * 0.5
    return x * f, y * f, z * f


# -- many steps -----------------------------------------------------------------------------------


def _advance(
    m: Triple, sums: Tensor, step: Tensor, terms: _Terms, counter: Counter | None
) -> Triple:
    """The vectors after a step, added to the sums: [3, N, P], or with the products [9, N, P]."""
    v = terms.v
    if counter is not None:
        gx, gy, gz = (g.to(terms.sigma.dtype) for g in noise(counter, step))
        s = terms.sigma
        v = v[0] + s * gx, v[1] + s * gy, v[2] + s * gz
    x, y, z = _step(m, v, terms)
    parts = (x, y, z, x * x, y * y, z * z, x * y, x * z, y * z)
    for total, part in zip(sums.unbind(), parts, strict=False):
        total += part
    return x, y, z


@functools.cache
def _one_graph(function: Any) -> Any:
    return torch.compile(function, fullgraph=True)


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
    device: str | torch.device | None = None,
    compiled: bool = False,
) -> Motion:
    """:func:`sim_backend.llg.motion.evolve` on a torch device; arguments and errors as there.

    Args:
        device: where; None: CUDA if torch sees it, else the processor.
        compiled: make one piece of code of a step by ``torch.compile``, which takes 4 to 20 s the
            first time and needs a compiler.  On a processor it is then ten times faster, with the
            same bits; on a GPU rounding may differ from the other's.
    """
    current = motion_checks.points(current_a)
    motion_checks.counts(
        dtype, dt_s, steps=steps, settle_steps=settle_steps, every=every, first_step=first_step,
        first_junction=first_junction, first_point=first_point,
    )  # fmt: skip
    motion_checks.turn(junctions, current, dt_s, seed is not None)
    place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    fields = junctions.fields(current)
    shape = (len(junctions), len(current))
    begin = motion_checks.vectors(start, shape, dtype).reshape(3, *shape)
    origin = torch.as_tensor(begin, device=place)
    m: Triple = (origin[0], origin[1], origin[2])
    terms = _Terms.of(fields, dt_s, seed is not None, origin)
    counter = None
    if seed is not None:
        counter = Counter.of(
            stream_key(seed, "thermal field") & (2**64 - 1),
            torch.arange(shape[0], device=place)[:, None] + first_junction,
            torch.arange(shape[1], device=place)[None, :] + first_point,
        )
    sums = torch.zeros((9 if squares else 3, *shape), dtype=torch.float64, device=place)
    step = torch.tensor(first_step, dtype=torch.int64, device=place)
    advance = _one_graph(_advance) if compiled else _advance

    def vectors() -> NDArray[Any]:
        result: NDArray[Any] = torch.stack(m, dim=-1).cpu().numpy()
        return result

    kept = np.empty((steps // every, *shape, 3), dtype) if every else None
    with torch.no_grad():
        for number in range(1 - settle_steps, steps + 1):
            m = advance(m, sums, step, terms, counter)
            step += 1
            if number == 0:
                sums.zero_()
            if kept is not None and number > 0 and number % every == 0:
                kept[number // every - 1] = vectors()
    mean = np.moveaxis(sums.cpu().numpy(), 0, -1) / steps
    return Motion(
        mean=mean[..., :3],
        squares=mean[..., 3:] if squares else None,
        last=vectors(),
        trajectory=kept,
        next_step=first_step + settle_steps + steps,
    )


def evolve_anywhere(
    junctions: Ensemble,
    current_a: ArrayLike,
    steps: int,
    dt_s: float,
    *,
    device: str = "auto",
    **more: Any,
) -> Motion:
    """The motion by the fastest way there is.

    Args:
        device: "numba": this processor; "auto": CUDA if torch sees it, else numba; else a device by
            torch's name, such as "cuda:1".
        more: what both take; besides ``threads``, for numba alone, and ``compiled``, for torch.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "numba"
    if device == "numba":
        more.pop("compiled", None)
        return motion.evolve(junctions, current_a, steps, dt_s, **more)
    more.pop("threads", None)
    return evolve(junctions, current_a, steps, dt_s, device=device, **more)
