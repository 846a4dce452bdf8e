"""Figures of a characterisation, as PNG."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from device.characterise import Character, Characterisation
from device.characterise_measures import Array

_STYLE: Any = {
    "font.size": 10, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True,
    "grid.color": "#e6e6e6", "axes.axisbelow": True, "legend.frameon": False,
}  # fmt: skip
#: what the array figure shows, its factor and its label
_SHOWN = (
    ("unit_width_a", 1e3, "unit width I₀ (mA)"),
    ("center_a", 1e3, "centre I_off (mA)"),
    ("tanh_rms", 1, "m_x from tanh, RMS"),
    ("sech_rms", 1, "m_z from sech, RMS"),
    ("squared_against_slope_rms", 1, "m_z² from own slope, RMS"),
    ("noise_x", 1, "noise of m_x"),
)


def draw(found: Characterisation, folder: Path) -> list[Path]:
    """Transfer curves with their gradients, noise, drift, and the array.

    Args:
        found: what was measured.
        folder: where the PNG files go; it is made if it is not there.

    Returns:
        The files; none of a part that was not measured.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    usable = [one for one in found.characters if "sweep" in one.findings]
    if not usable:
        return []
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    with pyplot.rc_context(_STYLE):
        drawings: list[tuple[str, Callable[[Any, list[Character]], Any]]] = [
            ("transfer.png", _transfer), ("array.png", _array),
        ]  # fmt: skip
        if any("noise" in one.findings for one in usable):
            drawings.append(("noise.png", _noise))
        if any("drift_time_s" in _curves(one, "drift") for one in usable):
            drawings.append(("drift.png", _drift))
        for name, make in drawings:
            figure = make(pyplot, usable)
            figure.savefig(folder / name, dpi=130)
            pyplot.close(figure)
            files.append(folder / name)
    return files


def _curves(one: Character, part: str) -> dict[str, Array]:
    return one.findings[part].curves if part in one.findings else {}


def _colours(pyplot: Any, count: int) -> Any:
    return pyplot.get_cmap("viridis")(np.linspace(0.05, 0.9, count))


def _transfer(pyplot: Any, usable: list[Character]) -> Any:
    """Activation, its square-rooted gradient and the gradient, each beside the ideal."""
    figure, axes = pyplot.subplots(1, 3, figsize=(13, 4.2), layout="constrained")
    for one, colour in zip(usable, _colours(pyplot, len(usable)), strict=True):
        curves = one.findings["sweep"].curves
        x, m_x, m_z = (curves[name] for name in ("x", "m_x", "m_z"))
        axes[0].plot(x, m_x, ".", ms=3, color=colour, label=one.junction)
        axes[1].plot(x, m_z, ".", ms=3, color=colour)
        axes[2].plot(x, m_z**2, ".", ms=3, color=colour)
        if "slope" in curves:
            half = len(x) // 2
            axes[2].plot(x[:half], curves["slope"][:half], "-", lw=1, color=colour)
    x = np.linspace(-4, 4, 401)
    axes[0].plot(x, np.tanh(x), color="black", lw=1, label="tanh")
    axes[1].plot(x, 1 / np.cosh(x), color="black", lw=1, label="sech")
    axes[2].plot(x, 1 / np.cosh(x) ** 2, color="black", lw=1, ls="--", label="sech²")
    axes[2].plot([], [], ".", color="#555555", label="m_z², measured")
    axes[2].plot([], [], "-", color="#555555", label="slope of m_x")
    for axis, title, label in zip(
        axes, ("activation", "square root of the gradient", "gradient"),
        ("m_x", "m_z", "∂m_x/∂x"), strict=True,
    ):  # fmt: skip
        axis.set(title=title, xlabel="(I − I_off) / I₀", ylabel=label, xlim=(-4, 4))
        axis.legend(fontsize=8, ncols=1 if label == "∂m_x/∂x" else 2, markerscale=2)
    return figure


def _noise(pyplot: Any, usable: list[Character]) -> Any:
    """Noise against integration time, and the Allan deviation."""
    from matplotlib import ticker

    figure, axes = pyplot.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
    for one, colour in zip(usable, _colours(pyplot, len(usable)), strict=True):
        curves = _curves(one, "noise")
        if "nplc" not in curves:
            continue
        nplc = curves["nplc"]
        axes[0].loglog(nplc, curves["sigma_x"], "o-", ms=4, color=colour, label=one.junction)
        axes[0].loglog(nplc, curves["sigma_z"], "s--", ms=3, lw=0.8, color=colour)
        if "allan_x" in curves:
            axes[1].loglog(curves["tau_s"], curves["allan_x"], "-", color=colour)
            axes[1].loglog(curves["tau_s"], curves["allan_z"], "--", lw=0.8, color=colour)
    low, high = axes[0].get_xlim()
    top = axes[0].get_ylim()[1]
    axes[0].loglog((low, high), (top, top * np.sqrt(low / high)), ":", color="black", lw=1,
                   label="∝ 1/√NPLC")  # fmt: skip
    axes[0].set(title="noise of one reading", xlabel="integration time (NPLC)",
                ylabel="σ of m_x (line), m_z (dashed)")  # fmt: skip
    axes[0].legend(fontsize=8, ncols=2)
    for axis in axes:
        axis.xaxis.set_minor_formatter(ticker.NullFormatter())
    axes[1].set(title="Allan deviation", xlabel="averaging time τ (s)",
                ylabel="σ of m_x (line), m_z (dashed)")  # fmt: skip
    return figure


def _drift(pyplot: Any, usable: list[Character]) -> Any:
    """Change of the reference levels over time."""
    figure, axes = pyplot.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
    for one, colour in zip(usable, _colours(pyplot, len(usable)), strict=True):
        curves = _curves(one, "drift")
        for axis, side in zip(axes, "xz", strict=True):
            if "drift_time_s" in curves:
                axis.plot(
                    curves["drift_time_s"] / 60, curves[f"drift_{side}"], "o-", ms=3,
                    color=colour, label=one.junction,
                )  # fmt: skip
    for axis, side in zip(axes, "xz", strict=True):
        axis.set(title=f"drift of m_{side}", xlabel="time (min)",
                 ylabel="change, mean of the reference levels")  # fmt: skip
    axes[0].legend(fontsize=8, ncols=2)
    return figure


def _array(pyplot: Any, usable: list[Character]) -> Any:
    """Every junction's numbers, those of bad ones crossed."""
    figure, axes = pyplot.subplots(2, 3, figsize=(11, 6), layout="constrained")
    place = np.arange(len(usable))
    good = np.array([one.verdict != "bad" for one in usable])
    for axis, (name, factor, label) in zip(axes.flat, _SHOWN, strict=True):
        values = factor * np.array([one.numbers.get(name, np.nan) for one in usable])
        axis.plot(place[good], values[good], "o", ms=5, color="#0b6e99")
        axis.plot(place[~good], values[~good], "x", ms=6, color="#c1272d")
        if good.any():
            axis.axhline(np.nanmedian(values[good]) if np.isfinite(values[good]).any() else 0,
                         color="#999999", lw=1, ls="--")  # fmt: skip
        axis.set(title=label)
        if len(usable) <= 12:
            axis.set_xticks(place, [one.junction for one in usable], fontsize=8)
        else:
            axis.set(xlabel="junction")
    return figure
