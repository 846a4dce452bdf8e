"""The response curve of a micromagnetic element, and the macrospin that stands for it."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from sim_backend.llg.disc import Magnet
from sim_backend.llg.element import BIAS_RANGE, RANGES, DiscError, Element, in_range, show
from sim_backend.llg.model import FreeLayer
from sim_backend.llg.response import Curve, PlanarFit, around, distance, fit_planar

Array = NDArray[np.float64]


def curve(magnet: Magnet, bias_t: float, points: int = 81) -> Curve:
    """Mean m_x and m_z against the field along x, to a little beyond three unit widths.

    Every field point starts for itself, with m_z > 0.

    Args:
        magnet: the element.
        bias_t: field along +z, T.
        points: of the curve, from -h to +h.

    Raises:
        DiscError: the bias is out of range, or too small to hold the element along z.
        ResponseError: the curve has no unit width.
        NotAtRestError: as ``Magnet.rest``.
    """
    in_range("bias_t", bias_t, *BIAS_RANGE)
    if magnet.uniform_k_t + bias_t <= 0:
        element = magnet.element
        lack = -(magnet.uniform_k_t + bias_t) * element.ms_a_per_m / 2
        raise DiscError(
            "ku_j_per_m3",
            f"{show(element.ku_j_per_m3, 'J/m^3')} is not between "
            f"{show(element.ku_j_per_m3 + lack, 'J/m^3')} and "
            f"{show(RANGES['ku_j_per_m3'][1], 'J/m^3')}, which hold the element along z "
            f"at a bias of {show(bias_t, 'T')}",
        )

    def sweep(h: Array) -> Curve:
        field = np.stack((h, np.zeros(len(h)), np.full(len(h), bias_t)), axis=1)
        mean = magnet.rest(field).mean(1)
        return Curve(h, mean[0], mean[2])

    return around(sweep, 5 * (abs(magnet.uniform_k_t) + bias_t), points)


def best_bias_t(magnet: Magnet) -> float:
    """The bias that brings the curve nearest to tanh and sech together (least sum of squares), T;
    to about 2 %."""

    def far(log_bias: float) -> float:
        found = curve(magnet, math.exp(log_bias), 33)
        d = distance(found, fit_planar(found))
        return d.tanh_rms**2 + d.sech_rms**2

    low = math.log(max(2e-3, -2 * magnet.uniform_k_t))
    found = minimize_scalar(far, bounds=(low, math.log(0.2)), method="bounded",
                            options={"xatol": 0.02})  # fmt: skip
    return math.exp(found.x)


def free_layer(
    element: Element, fit: PlanarFit, field_constant_t_per_a: float, ky_t: float = 0.0
) -> FreeLayer:
    """The macrospin with an element's effective fields and its volume; k or k2 may be below 0."""
    return FreeLayer(
        k_t=fit.k_t, k2_t=fit.k2_t, hz_t=fit.hz_t, ky_t=ky_t,
        field_constant_t_per_a=field_constant_t_per_a, ms_a_per_m=element.ms_a_per_m,
        diameter_m=math.sqrt(4 * element.area_m2 / math.pi), thickness_m=element.thickness_m,
    )  # fmt: skip
