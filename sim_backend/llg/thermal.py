"""Heat: the strength of the thermal field, what its random numbers are, and exact averages.

The thermal field (Brown, Phys. Rev. 130, 1677 (1963)) has, in each component and each step, the
standard deviation sigma_B = sqrt(2 α kT/(γ Ms V dt)) and stays the same within the step.  Its
numbers come from Philox4x32-7 (Salmon et al., SC11) with the key (seed) and the counter (junction,
point, step).

The noise is the number of ones among 32 random bits plus a uniform fraction of ten bits, scaled to
variance 1: its third moment vanishes like the normal one's, the excess kurtosis is -0.061, the ends
are at ±5.8, and the distribution function differs from the normal one by 3.4e-3 at most.  What
counts is the sum over many steps, whose kurtosis falls with their number; on averages it acts in
second order of s², below.

A field that stays the same within each step is of first weak order in dt: with s the root mean
square turn about one axis in a step, s² = 2αγ dt kT/((1+α²) Ms V), averages are off by up to
0.25 s² (measured against quadrature with all terms of the energy).  The bias is below 1e-3 for
s² <= 4e-3 and γ B dt <= 0.2.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray

from sim_backend.llg.model import BOLTZMANN_J_PER_K, GAMMA_RAD_PER_S_T

Array = NDArray[np.float64]


def field_t(alpha: Array, temperature_k: Array, moment_j_per_t: Array, dt_s: float) -> Array:
    """sigma_B = sqrt(2 α kT/(γ Ms V dt)), T, standard deviation of one component in one step.

    Args:
        alpha: Gilbert damping, any shape.
        temperature_k: temperature, K.
        moment_j_per_t: Ms V, J/T.
        dt_s: time step, s.
    """
    power = 2 * alpha * BOLTZMANN_J_PER_K * temperature_k
    result: Array = np.sqrt(power / (GAMMA_RAD_PER_S_T * moment_j_per_t * dt_s))
    return result


@cache
def _nodes(count: int) -> tuple[Array, Array]:
    """Gauss-Legendre's nodes and weights on [-1, 1]."""
    node, weight = np.polynomial.legendre.leggauss(count)
    return node, weight


def boltzmann(
    k_t: float, k2_t: float, ky_t: float, b_t: Array, thermal_t: float, nodes: int = 200
) -> tuple[Array, Array]:
    """Exact thermal averages over the whole sphere, weight exp(-E/kT), by quadrature.

    Gauss-Legendre in m_z, trapezoids in the azimuth (both converge faster than any power).  E as in
    :mod:`sim_backend.llg.model`, without spin torque.

    Args:
        k_t, k2_t, ky_t: anisotropy fields, T.
        b_t: field, T, shape [3].
        thermal_t: kT/(Ms V), T.
        nodes: points in each direction; E/kT may change by a few units between two of them.

    Returns:
        mean vector [3], and the means of xx, yy, zz, xy, xz, yz [6].
    """
    z, weight = _nodes(nodes)
    phi = 2 * math.pi * np.arange(nodes) / nodes
    across = np.sqrt(1 - z * z)[:, None]
    x, y = across * np.cos(phi), across * np.sin(phi)
    z = np.broadcast_to(z[:, None], x.shape)
    energy = -k_t / 2 * z**2 + k2_t / 4 * (1 - z**2) ** 2 + ky_t / 2 * y**2
    energy = energy - (b_t[0] * x + b_t[1] * y + b_t[2] * z)
    p = weight[:, None] * np.exp(-(energy - energy.min()) / thermal_t)
    p = p / p.sum()
    mean = np.array([(p * v).sum() for v in (x, y, z)])
    pairs = ((x, x), (y, y), (z, z), (x, y), (x, z), (y, z))
    return mean, np.array([(p * u * v).sum() for u, v in pairs])


def neel_brown_rate_hz(k_t: float, thermal_t: float, alpha: float) -> float:
    """Rate of leaving one of the two wells of E = -k/2 m_z², without a field, Hz.

    The inverse of the mean first passage time from m_z = 1 to the barrier, halved since half of
    those that come to the barrier go back.  Exact for axial symmetry and any barrier (the backward
    equation of Brown 1963): T = 1/D ∫₀¹ dz e^(-Δz²)/(1-z²) ∫_z¹ e^(Δu²) du with
    D = α γ kT/((1+α²) Ms V) per axis and Δ = k Ms V/2kT.  For Δ >> 1 it tends to
    α γ k/(1+α²) sqrt(Δ/π) exp(-Δ).

    Args:
        k_t: anisotropy field, T.
        thermal_t: kT/(Ms V), T.
        alpha: Gilbert damping.
    """
    delta = k_t / (2 * thermal_t)
    diffusion = alpha * GAMMA_RAD_PER_S_T * thermal_t / (1 + alpha**2)
    node, weight = _nodes(200)
    z = (node + 1) / 2
    u = z[:, None] + (1 - z[:, None]) * z[None, :]
    inner = (np.exp(delta * (u * u - z[:, None] ** 2)) * weight / 2).sum(1) * (1 - z)
    passage = float((inner / (1 - z * z) * weight / 2).sum()) / diffusion
    return 1 / (2 * passage)
