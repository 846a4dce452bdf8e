"""Rest states as differentiable functions, in torch: exact gradients of first and second order.

The state is found without a record of how.  From there two Newton steps are taken with one.  A
Newton step squares the distance to the root, as it does with a change of the parameters: after one
step the first derivative is that of the implicit function theorem, after two all up to the third.
Double precision throughout.
"""

from __future__ import annotations

import numpy as np
import torch

from sim_backend.llg import response
from sim_backend.llg.gradient import LEAST, NoGradientError

Tensor = torch.Tensor
#: Newton steps that the record sees
_STEPS = 2
#: Newton steps to the state at most
_MOST = 50


def _double(*values: Tensor | float) -> list[Tensor]:
    return [torch.as_tensor(value, dtype=torch.float64) for value in values]


def planar(
    h_t: Tensor | float, k_t: Tensor | float, hz_t: Tensor | float, k2_t: Tensor | float
) -> tuple[Tensor, Tensor]:
    """(m_x, m_z) of the planar law h = k u + k2 u³ + hz s, u = m_x, s = tan θ, differentiable.

    Args:
        h_t: field along x, T.
        k_t, hz_t, k2_t: T; all four broadcast.  hz > 0, and h must rise with u for all u
            (k + hz > 0 and k + 3 k2 + hz > 0 suffice).

    Raises:
        NoGradientError: hz is not positive, or the law has another branch at one of the states.
    """
    h, k, hz, k2 = _double(h_t, k_t, hz_t, k2_t)
    if not bool((hz > 0).all()):
        raise NoGradientError(f"hz_t is {float(hz.min()):g}; it must be above 0")

    def newton(s: Tensor) -> Tensor:
        c2 = 1 / (1 + s * s)
        c = c2.sqrt()
        u = s * c
        rise = (k + 3 * k2 * u * u) * c2 * c + hz
        if not bool((rise > LEAST * (hz + k.abs() + k2.abs())).all()):
            raise NoGradientError(
                f"dh/dtan θ of the planar law is {float(rise.min()):.3g} T; it must be above 0"
            )
        return s - (k * u + k2 * u**3 + hz * s - h) / rise

    with torch.no_grad():
        parts = torch.broadcast_tensors(h, k, hz, k2)
        field, *others = (part.cpu().numpy() for part in parts)
        angle = response.planar_angle(field, *others)
        s = torch.as_tensor(np.tan(angle), device=h.device)
        s = newton(newton(s))  # an angle near 90 degrees holds its tangent badly
    for _ in range(_STEPS):
        s = newton(s)
    c = 1 / (1 + s * s).sqrt()
    return s * c, c


def rest(
    k_t: Tensor | float, k2_t: Tensor | float, ky_t: Tensor | float,
    b_t: Tensor, a_t: Tensor | float = 0.0, *, near: Tensor,
) -> Tensor:  # fmt: skip
    """The rest state near ``near`` of all terms, differentiable in every argument but that one.

    Whether it is a minimum is not looked at.

    Terms as in :class:`sim_backend.llg.fields.Fields`; they broadcast.

    Args:
        k_t, k2_t, ky_t: anisotropy fields, T, [...].
        b_t: field, T, [..., 3].
        a_t: damping-like torque, T, [..., 3]; 0: none.
        near: unit vectors, [..., 3], such as those of :func:`sim_backend.llg.motion.relax`.

    Returns:
        unit vectors, [..., 3].

    Raises:
        NoGradientError: Newton's method finds no rest state from there, or the state found ends or
            branches there.
    """
    k, k2, ky, b, a = _double(k_t, k2_t, ky_t, b_t, a_t)
    a = a if a.ndim else a.expand(3)
    with torch.no_grad():
        own = k.abs() + 3 * k2.abs() + ky.abs()
        scale = own + b.norm(dim=-1) + a.norm(dim=-1)

    def torque(m: Tensor) -> Tensor:
        """P(B + m×a), T."""
        y, z = m[..., 1], m[..., 2]
        anisotropy = torch.stack(
            torch.broadcast_tensors(torch.zeros_like(y), -ky * y, (k + k2 * (1 - z * z)) * z), -1
        )
        a_, m_ = torch.broadcast_tensors(a, m)
        field = anisotropy + b + torch.linalg.cross(m_, a_)
        across: Tensor = field - (field * m).sum(-1, keepdim=True) * m
        return across

    def newton(m: Tensor) -> Tensor:
        """The linearised torque is that of gradient.stiffness_t, with 1 (times scale) along m."""
        y, z = m[..., 1], m[..., 2]
        along = m[..., :, None] * m[..., None, :]
        p = torch.eye(3, dtype=m.dtype, device=m.device) - along
        slope = torch.stack(
            torch.broadcast_tensors(torch.zeros_like(y), -ky, k + k2 * (1 - 3 * z * z)), -1
        )
        work = (b * m).sum(-1) - ky * y * y + (k + k2 * (1 - z * z)) * z * z
        x, zero = m[..., 0], torch.zeros_like(y)
        cross = torch.stack((zero, -z, y, z, zero, -x, -y, x, zero), -1)
        cross = cross.reshape(*m.shape[:-1], 3, 3)
        h = work[..., None, None] * p - p @ (slope[..., :, None] * p)
        h = h + (a * m).sum(-1)[..., None, None] * cross
        whole = h + scale[..., None, None] * along
        with torch.no_grad():
            bad = ~(torch.linalg.det(whole).abs() > LEAST * scale**3)
            if bool(bad.any()):
                raise NoGradientError("the state ends or branches here, without a derivative")
        moved: Tensor = m + torch.linalg.solve(whole, torque(m)[..., None])[..., 0]
        moved = moved / moved.norm(dim=-1, keepdim=True)
        return moved

    with torch.no_grad():
        shape = torch.broadcast_shapes(scale.shape, near.shape[:-1])
        m = near.to(torch.float64).expand(*shape, 3)
        m = m / m.norm(dim=-1, keepdim=True)
        for _ in range(_MOST):
            left = (torque(m).norm(dim=-1) / scale).max()
            if left <= 1e-13:
                break
            m = newton(m)
        else:
            raise NoGradientError(
                f"no rest state near: a torque of {float(left):.3g} of the largest field is left "
                f"after {_MOST} Newton steps"
            )
    for _ in range(_STEPS):
        m = newton(m)
    return m
