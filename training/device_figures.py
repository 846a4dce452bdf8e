"""Pictures of the jobs on single junctions: gradient rules, planar twins."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from device import conductances
from device.rules_comparison import RuleResult
from training.device_jobs import TwinFit

_STYLE = {
    "font.size": 10, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True,
    "grid.color": "#e6e6e6", "axes.axisbelow": True, "legend.frameon": False,
}  # fmt: skip


def _pyplot() -> Any:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot


def draw_gradients(path: Path, results: Sequence[RuleResult]) -> None:
    """A panel a rule: its gradients and the reference, against x."""
    pyplot = _pyplot()
    columns = min(4, len(results))
    rows = -(-len(results) // columns)
    with pyplot.rc_context(_STYLE):
        figure, axes = pyplot.subplots(
            rows, columns, figsize=(3.1 * columns, 2.7 * rows), squeeze=False, sharex=True,
            sharey=True, layout="constrained",
        )  # fmt: skip
        for axis, one in zip(axes.flat, results, strict=False):
            axis.plot(one.x, one.reference, ".", ms=2, color="black", label="slope of sweeps")
            axis.plot(one.x, one.g, ".", ms=2.5, color="#c1272d", alpha=0.6, label="rule")
            axis.set_title(f"{one.rule}\ncosine {one.agreement.cosine:.4f}", fontsize=9)
        for axis in axes.flat[len(results) :]:
            axis.set_axis_off()
        for axis in axes[-1]:
            axis.set_xlabel("pre-activation x")
        for row in axes:
            row[0].set_ylabel("g = ∂y/∂x")
        axes[0, 0].legend(fontsize=7, markerscale=3)
        figure.savefig(path, dpi=120)
        pyplot.close(figure)


def draw_twins(path: Path, found: Sequence[TwinFit]) -> None:
    """Measured m_x and m_z with the twins' curves above, what is left below."""
    pyplot = _pyplot()
    with pyplot.rc_context(_STYLE):
        figure, axes = pyplot.subplots(
            2, 2, figsize=(10, 6), sharex=True, layout="constrained", height_ratios=(2, 1)
        )
        colours = pyplot.get_cmap("viridis")(np.linspace(0.05, 0.9, len(found)))
        for one, colour in zip(found, colours, strict=True):
            twin, data = one.twin, one.sweeps[0]
            g_x, g_z = conductances(data, twin.common_ohm)
            measured = (g_x - twin.a_x_s) / twin.b_x_s, (g_z - twin.a_z_s) / twin.b_z_s
            law = twin.magnetisation(data.level_a)
            line_a = np.linspace(data.level_a.min(), data.level_a.max(), 301)
            for column, smooth in enumerate(twin.magnetisation(line_a)):
                ma = data.level_a * 1e3
                axes[0, column].plot(ma, measured[column], ".", ms=3, color=colour)
                axes[0, column].plot(line_a * 1e3, smooth, lw=1, color=colour, label=twin.junction)
                axes[1, column].plot(ma, measured[column] - law[column], ".", ms=3, color=colour)
        for column, name in enumerate(("m_x", "m_z")):
            axes[0, column].set(title=f"{name}: measured (points) and twin (lines)", ylabel=name)
            axes[1, column].set(ylabel="measured − twin", xlabel="field-line current (mA)")
        axes[0, 0].legend(fontsize=8, ncols=2)
        figure.savefig(path, dpi=120)
        pyplot.close(figure)
