"""The pictures that explain the physics."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim_backend.llg import equilibrium, sphere
from sim_backend.llg.ensemble import Ensemble
from sim_backend.llg.fast_read import llg_reading
from sim_backend.llg.fields import Fields
from sim_backend.llg.gradient import planar_slopes
from sim_backend.llg.junction import JunctionModel, population
from sim_backend.llg.model import FreeLayer
from sim_backend.llg.presets import PRESETS
from sim_backend.llg.response import (
    WIDTHS,
    Curve,
    Distance,
    PlanarFit,
    boltzmann_mean,
    distance,
    fit_planar,
    layer_curve,
    planar_angle,
)  # fmt: skip
from sim_backend.llg.wells import wells
from sim_backend.read_noise import barrier_density_a2_per_hz, conductance_deviation_s

Array = NDArray[np.float64]
READ_V = 0.02  # for which the presets are given
RED, BLUE, GREEN, GREY = "#c1272d", "#0b6e99", "#3b7d3b", "#6b6b6b"


def _axes(columns: int, rows: int = 1) -> tuple[Any, Any]:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    size = (4.2 * columns + 0.6, 3.4 * rows + 0.2)
    return pyplot.subplots(rows, columns, figsize=size, layout="constrained", squeeze=False)


def _save(figure: Any, path: Path) -> None:
    from matplotlib import pyplot

    figure.savefig(path, dpi=130)
    pyplot.close(figure)


def draw_disc(path: Path, curve: Curve, fit: PlanarFit, far: Distance) -> None:
    """A disc's curve, the planar law fitted to it, tanh and sech."""
    u = curve.h_t / far.unit_width_t
    angle = planar_angle(curve.h_t, fit.k_t, fit.hz_t, fit.k2_t)
    figure, ((axes,),) = _axes(1)
    for values, law, ideal, colour, name in (
        (curve.m_x, np.sin(angle), np.tanh(u), RED, "m_x"),
        (curve.m_z, np.cos(angle), 1 / np.cosh(u), BLUE, "m_z"),
    ):
        axes.plot(u, values, "o", ms=3, color=colour, label=name)
        axes.plot(u, law, color=colour, lw=1, label=f"{name}, planar law")
        axes.plot(u, ideal, ":", color=GREY, label="tanh, sech" if name == "m_x" else None)
    axes.set(xlabel=f"field along x / {far.unit_width_t * 1e3:.1f} mT", ylabel="mean magnetisation")
    axes.legend(frameon=False)
    _save(figure, path)


def draw_response(path: Path) -> None:
    """m_x and m_z of three presets over the field, beside tanh and sech."""
    names = ("planar-tanh", "disc-60nm", "bare-perpendicular")
    figure, (row,) = _axes(len(names))
    for axes, name in zip(row, names, strict=True):
        curve = layer_curve(PRESETS[name].layer)
        far = distance(curve, fit_planar(curve))
        u = curve.h_t / far.unit_width_t
        axes.plot(u, curve.m_x, color=RED, label="m_x")
        axes.plot(u, curve.m_z, color=BLUE, label="m_z")
        axes.plot(u, np.tanh(u), ":", color=GREY, label="tanh, sech")
        axes.plot(u, 1 / np.cosh(u), ":", color=GREY)
        axes.set(
            title=f"{name}, 300 K\nRMS {far.tanh_rms:.1%} and {far.sech_rms:.1%}",
            xlabel=f"field along x / {far.unit_width_t * 1e3:.3g} mT",
        )
    row[0].set_ylabel("mean magnetisation")
    row[0].legend(frameon=False)
    _save(figure, path)


def draw_gradient(path: Path) -> None:
    """m_z² and the planar law's slope from both readings, less the slope of the curve."""
    names = ("planar-tanh", "bare-perpendicular")
    figure, (row,) = _axes(len(names))
    for axes, name in zip(row, names, strict=True):
        curve = layer_curve(PRESETS[name].layer, 241)
        fit = fit_planar(curve)
        h0 = distance(curve, fit).unit_width_t
        u = curve.h_t / h0
        slope = np.gradient(curve.m_x, u)
        law = planar_slopes(curve.m_x, curve.m_z, fit.k_t, fit.hz_t, fit.k2_t)[:, 0] * h0
        shown = np.abs(u) <= WIDTHS
        axes.plot(u[shown], (curve.m_z**2 - slope)[shown], color=RED, label="m_z² − slope")
        axes.plot(u[shown], (law - slope)[shown], color=BLUE, label="law (2) − slope")
        axes.axhline(0, color=GREY, lw=0.6)
        axes.set(title=f"{name}, 300 K", xlabel=f"field along x / {h0 * 1e3:.3g} mT")
    row[0].set_ylabel("error of the gradient, in units of 1/width")
    row[0].legend(frameon=False)
    _save(figure, path)


def draw_hysteresis(path: Path) -> None:
    """Switching fields of a uniaxial layer on the astroid, and the loop of a tilted field."""
    figure, ((left, right),) = _axes(2)
    psi = np.linspace(0.02, np.pi / 2 - 0.02, 41)
    exact = (np.cos(psi) ** (2 / 3) + np.sin(psi) ** (2 / 3)) ** -1.5
    left.plot(np.degrees(psi), exact, color=GREY, label="astroid")
    left.plot(np.degrees(psi), _switching(psi), "o", ms=3, color=RED, label="followed")
    left.set(xlabel="field from the easy axis (degrees)", ylabel="switching field / k")
    left.legend(frameon=False)
    layer = FreeLayer(k2_t=0.0, hz_t=0.2e-3, tilt_rad=0.15, temperature_k=0.0)
    current = np.linspace(-0.03, 0.03, 401)
    loop = np.concatenate((current[::-1], current))
    m = sphere.follow(Ensemble.of([layer]).fields(loop)[0], (0.0, 0.0, 1.0)).m
    for part, colour, name in (
        (slice(0, 401), BLUE, "down"), (slice(401, None), GREEN, "up")
    ):  # fmt: skip
        right.plot(loop[part] * 1e3, m[part, 2], color=colour, label=f"m_z, {name}")
    right.set(xlabel="field-line current (mA)", title="k = 4 mT, hz = 0.2 mT, tilt 0.15 rad")
    right.legend(frameon=False)
    _save(figure, path)


def _switching(psi: Array) -> Array:
    """Size of the field, at psi from -z, at which a layer of k = 1 T near +z switches, T."""
    size = np.linspace(0.4, 1.05, 2601)
    b = np.zeros((len(psi), len(size), 3))
    b[..., 0], b[..., 2] = size * np.sin(psi)[:, None], -size * np.cos(psi)[:, None]
    none = np.zeros(1)
    m = sphere.follow(Fields(np.ones(1), none, none, b, np.zeros(3), none, none), (0, 0, 1.0)).m
    # The jump is the largest step of m.
    step = np.linalg.norm(np.diff(m, axis=1), axis=-1)
    result: Array = size[step.argmax(1) + 1]
    return result


def draw_wells(path: Path) -> None:
    """Rates and slow means of the superparamagnetic preset."""
    figure, ((left, right),) = _axes(2)
    preset = PRESETS["superparamagnetic"]
    bare = preset.changed({"layer.hz_t": 0.0})
    bias = np.linspace(-8e-3, 8e-3, 161)
    fields = bare.ensemble(READ_V, READ_V).fields([0.0])[0, 0]
    b = np.zeros((len(bias), 3))
    b[:, 2] = bias
    found = wells(replace(fields, a_t=np.zeros(3), b_t=b))
    left.semilogy(bias * 1e3, found.rate_up_down, color=RED, label="up to down")
    left.semilogy(bias * 1e3, found.rate_down_up, color=BLUE, label="down to up")
    left.set(xlabel="bias along z (mT)", ylabel="rate (Hz)", title="no field along x")
    left.legend(frameon=False)
    current = np.linspace(-0.027, 0.027, 121)
    at = wells(replace(preset.ensemble(READ_V, READ_V).fields(current)[0], a_t=np.zeros(3)))
    field = current * preset.layer.field_constant_t_per_a * 1e3
    right.plot(field, at.mean[:, 0], color=RED, label="m_x, both wells")
    right.plot(field, at.mean[:, 2], color=BLUE, label="m_z, both wells")
    right.plot(field, at.mean_up[:, 2], "--", color=BLUE, lw=1, label="m_z, upper well alone")
    m_x, m_z = boltzmann_mean(preset.layer, current[::6])
    right.plot(field[::6], m_x, "o", ms=3, color=GREY, label="quadrature over the sphere")
    right.plot(field[::6], m_z, "o", ms=3, color=GREY)
    right.set(xlabel="field along x (mT)", ylabel="slow mean", title="superparamagnetic, 300 K")
    right.legend(frameon=False, fontsize="small")
    _save(figure, path)


def draw_noise(path: Path) -> None:
    """Standard deviation of a reading's R_x against its integration time, by source; 5 mT."""
    figure, ((axes,),) = _axes(1)
    preset = PRESETS["planar-tanh"]
    ensemble = preset.ensemble(READ_V, READ_V)
    current = np.array([5e-3 / preset.layer.field_constant_t_per_a])
    fields, line = ensemble.fields(current)[0], ensemble.line_field_t(current)[0]
    m = equilibrium.mean(fields)
    g = preset.x.conductance_s(m, line, READ_V)
    window = np.geomspace(1e-7, 1, 29)
    shot = barrier_density_a2_per_hz(g, READ_V, preset.layer.temperature_k)
    moving = [
        float(conductance_deviation_s(preset.x, fields, m, line, READ_V, t)[0]) for t in window
    ]
    axes.loglog(
        window, np.sqrt(shot / (2 * window)) / READ_V / g, color=BLUE, label="shot, Johnson"
    )
    axes.loglog(window, np.array(moving) / g, color=RED, label="motion in the well")
    for t in (2e-7, 5e-7, 1e-6):
        axes.loglog(t, _followed_deviation(preset, t, current) / g, "o", ms=4, color=RED)
    axes.loglog([], [], "o", ms=4, color=RED, label="the same by the equation of motion")
    axes.loglog(window, 3e-9 / np.sqrt(window / 0.02) / (READ_V * g), "--", color=GREY,
                label="the meter: 3 nA at 20 ms")  # fmt: skip
    axes.set(xlabel="integration time (s)", ylabel="standard deviation of R_x / R_x",
             title="planar-tanh at 5 mT, 20 mV, 300 K")  # fmt: skip
    axes.legend(frameon=False, fontsize="small")
    _save(figure, path)


def _followed_deviation(preset: JunctionModel, window_s: float, current_a: Array) -> float:
    """Standard deviation of G_x over windows of the equation of motion, S."""
    many = population([preset] * 512).ensemble(READ_V, READ_V)
    run = llg_reading(many, current_a, window_s, settle_s=100e-9)
    line = many.line_field_t(current_a)
    return float(preset.x.conductance_s(run.mean, line, READ_V).std())


#: file name and what draws it
FIGURES: dict[str, Callable[[Path], None]] = {
    "physics-response.png": draw_response,
    "physics-gradient.png": draw_gradient,
    "physics-hysteresis.png": draw_hysteresis,
    "physics-wells.png": draw_wells,
    "physics-noise.png": draw_noise,
}
