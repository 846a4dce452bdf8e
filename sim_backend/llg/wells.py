"""Two wells with thermal motion: their averages, the pass between them, and the rates across it.

In polar coordinates about z every meridian φ has the energy of a planar layer,
k → k + ky sin²φ, B_x → b_x cos φ + b_y sin φ.  Where each of them has a maximum between two minima,
these maxima are a closed *ridge* that parts the sphere into an upper and a lower well; its lowest
point is the pass, a saddle of E.  Z and the averages are integrals over these two parts, so both
wells together are Boltzmann's average over the sphere.  Minima within one part count as one well.

Rates: Langer's, Ann. Phys. 54, 258 (1969), for intermediate to high damping (Brown, IEEE Trans.
Magn. 15, 1196 (1979); Coffey, Garanin and McCarthy, Adv. Chem. Phys. 117, 483 (2001))::

    Γ = λ₊ A sqrt(T/(2π|c₁|)) exp(-(E_s - E_w)/T) / Z_w,    λ₊: growth of LLG at the pass

with T = kT/(Ms V).  The integrals along the ridge (A) and across it (the square root) are done
numerically.  λ₊ takes as curvature along the ridge the c₂ that for α → 0 makes Γ the exact
transition-state rate, γ T Σ |exp(-E/T)| from each low of the ridge to the next high: at a pass
deep against T that is the pass's own, and on a level ridge 0, which leaves Brown's axial rate
αγ'k sqrt(Δ/π) exp(-Δ).  Both rates have one flux, so their ratio is that of Z exp(-E/T), exactly.

With little damping a layer that comes over the pass loses too little energy in its next turn to
stay.  That takes from λ₊ beyond its diffusive part αγ'|c₁| the factor
A(x_up) A(x_down)/A(x_up + x_down), x the loss in kT in a turn along the pass's contour of energy
(Mel'nikov, Physica A 130, 606 (1985); for spins Klik and Gunther, J. Stat. Phys. 60, 473 (1990),
and Déjardin, Crothers, Coffey and McCarthy, Phys. Rev. E 63, 021102 (2001)).  That the diffusive
part is free of it joins axial layers to all others and is a choice of ours; against the equation
of motion the rates are right to 15 % for 0.02 <= α <= 1 and barriers of 6 kT, axial or not.

Barriers below about 3 kT: the wells exchange within their own relaxation time; the rates are then
of the right order and no more, and the occupations exact as ever.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim_backend.llg import sphere, wells_kernel
from sim_backend.llg.fields import Fields
from sim_backend.llg.model import GAMMA_RAD_PER_S_T

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Wells:
    """Both wells, shapes [...] of the fields; "up" is the one on the +z side of the ridge.

    Where there is one well only it is "up" if its m_z >= 0 and "down" otherwise, its average is
    Boltzmann's, its rate out is 0, and the absent one has the same vectors, rate inf, barrier 0
    and weight 0.
    """

    m_up: Array  #: rest states, [..., 3]
    m_down: Array
    exists_up: Flags
    exists_down: Flags
    mean_up: Array  #: averages over the thermal motion in the well, [..., 3]
    mean_down: Array
    rate_up_down: Array  #: rate from up to down, Hz
    rate_down_up: Array
    barrier_up: Array  #: (E_pass - E_well)/kT; inf: no other well, or no thermal motion
    barrier_down: Array
    occupation_up: Array  #: share of "up" in the long run, of both Z exp(-E/T)

    @property
    def mean(self) -> Array:
        """The average in the long run, [..., 3]."""
        up = self.occupation_up[..., None]
        result: Array = up * self.mean_up + (1 - up) * self.mean_down
        return result


def wells(fields: Fields, threads: int | None = None) -> Wells:
    """Wells, averages and rates at each point.

    An easy plane (k or k + ky not positive), and k2 below -k/2, has no ridge of this kind: it
    counts as one well, averaged over the whole sphere; or, where kT is below a thousandth of the
    lowest minimum's curvatures, over that one's surroundings.  Rates over more than 100 kT are 0.

    Args:
        fields: shape [...]; without the read current's damping-like torque.
        threads: None: as many as there are cores, if there is work for them.

    Raises:
        ParameterError: there is a torque that belongs to no energy.
    """
    table, shape = sphere.conservative(fields)
    flat = table.reshape(-1, 6)
    # What is nothing beside the largest field is nothing: its square may be below all numbers.
    flat[np.abs(flat) < 1e-30 * np.abs(flat).max(axis=1, keepdims=True, initial=0.0)] = 0.0
    count = len(flat)
    starts, two = np.empty((count, 2, 3)), np.empty(count, np.bool_)
    sphere.in_threads(
        lambda part: wells_kernel.starts(flat[part], starts[part], two[part]),
        count, count * 5.0, threads,
    )  # fmt: skip
    m = _rest(flat, starts, threads)
    two &= np.linalg.norm(m[:, 0] - m[:, 1], axis=1) > 1e-7
    thermal = np.ascontiguousarray(np.broadcast_to(fields.thermal_t, shape)).reshape(-1)
    alpha = np.ascontiguousarray(np.broadcast_to(fields.alpha, shape)).reshape(-1)
    means, out = np.array(m), np.zeros((count, 5))
    sphere.in_threads(
        lambda part: wells_kernel.averages(
            flat[part], thermal[part], alpha[part], m[part], two[part], means[part], out[part]
        ),
        count, count * 25.0, threads,
    )  # fmt: skip
    alone, down = ~two, ~two & (m[:, 0, 2] < 0)
    rate = np.stack((out[:, 0], out[:, 1]), -1) * GAMMA_RAD_PER_S_T
    rate[alone] = np.where(down[alone, None], (np.inf, 0.0), (0.0, np.inf))
    barrier = np.array(out[:, 2:4])
    barrier[alone] = np.where(down[alone, None], (0.0, np.inf), (np.inf, 0.0))
    share = np.where(alone, np.where(down, 0.0, 1.0), out[:, 4])

    def shaped(part: Array) -> Array:
        return np.array(part.reshape(shape + part.shape[1:]))

    return Wells(
        shaped(m[:, 0]), shaped(m[:, 1]), (two | ~down).reshape(shape), (two | down).reshape(shape),
        shaped(means[:, 0]), shaped(means[:, 1]), shaped(rate[:, 0]), shaped(rate[:, 1]),
        shaped(barrier[:, 0]), shaped(barrier[:, 1]), shaped(share),
    )  # fmt: skip


def _rest(flat: Array, starts: Array, threads: int | None) -> Array:
    """Rest states below the starts [S, 2, 3]."""
    b, zero = np.repeat(flat[:, None, 3:], 2, axis=1), np.zeros(())
    k, k2, ky = flat[:, None, 0], flat[:, None, 1], flat[:, None, 2]
    return sphere.rest(Fields(k, k2, ky, b, np.zeros(3), zero, zero), starts, threads).m
