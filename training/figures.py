"""Figures of a comparison, as PNG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from db import JSON
from device import Calibration
from instruments import SweepData
from training.arms import ARMS
from training.comparison import Tally
from training.tasks import TASKS

_COLOURS = {
    "device": "#c1272d",
    "tanh": "#0b6e99",
    "linear": "#6b6b6b",
    "shuffled": "#e08e0b",
    "constant": "#7a5195",
    "frozen": "#2f9e69",
}


def draw(
    report: Mapping[str, JSON],
    tally: Tally,
    calibrations: Sequence[Calibration],
    sweeps: Sequence[SweepData],
    folder: Path,
) -> list[Path]:
    """Draw learning curves with accuracies, and transfer curves.

    Args:
        report, tally, calibrations, sweeps: as ``training.demo.run_comparison`` returns them.
        folder: where the PNG files go; it is made if it is not there.

    Returns:
        The files.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    folder.mkdir(parents=True, exist_ok=True)
    files = []
    with pyplot.rc_context(
        {"font.size": 10, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True,
         "grid.color": "#e6e6e6", "axes.axisbelow": True, "legend.frameon": False}
    ):  # fmt: skip
        for name, figure in (
            ("learning.png", _learning(pyplot, report, tally)),
            ("transfer.png", _transfer(pyplot, calibrations, sweeps)),
        ):
            files.append(folder / name)
            figure.savefig(files[-1], dpi=130)
            pyplot.close(figure)
    return files


def _learning(pyplot: Any, report: Mapping[str, JSON], tally: Tally) -> Any:
    """A row a task: training accuracy by epoch, and test accuracy by arm."""
    tasks = list(dict.fromkeys(key.partition("/")[0] for key in tally.curves))
    figure, axes = pyplot.subplots(
        len(tasks), 2, figsize=(10, 3.7 * len(tasks)), squeeze=False, layout="constrained"
    )
    for row, task in zip(axes, tasks, strict=True):
        arms = [arm for arm in ARMS if f"{task}/{arm}" in tally.curves]
        for arm in arms:
            curves = np.array(tally.curves[f"{task}/{arm}"])
            epochs = np.arange(1, curves.shape[1] + 1)
            width = 2.2 if arm == "device" else 1.4
            row[0].plot(epochs, curves.mean(0), color=_COLOURS[arm], lw=width, label=arm)
            if arm == "device":
                low, high = np.quantile(curves, (0.1, 0.9), axis=0)
                row[0].fill_between(epochs, low, high, color=_COLOURS[arm], alpha=0.15, lw=0)
        row[0].set(
            title=f"{task}: training (mean of {len(curves)} runs)",
            xlabel="epoch",
            ylabel="training accuracy",
            ylim=(0, 1.02),
        )
        chance = 1 / TASKS[task].outputs
        for axis, line in ((row[0], row[0].axhline), (row[1], row[1].axvline)):
            line(chance, color="#999999", lw=1, ls="--")
            axis.margins(x=0.02)
        row[0].legend(ncols=2, fontsize=9, loc="lower right")
        results: Any = report[task]
        for place, arm in enumerate(arms):
            mean = results[arm]["mean"]
            low, high = results[arm]["ci95"] or (mean, mean)
            row[1].errorbar(
                mean, place, xerr=[[mean - low], [high - mean]], fmt="o", ms=7, capsize=4,
                color=_COLOURS[arm],
            )  # fmt: skip
            row[1].annotate(f"{mean:.3f}", (mean, place), (0, 7), textcoords="offset points",
                            ha="center", fontsize=9)  # fmt: skip
        row[1].set_yticks(range(len(arms)), [f"{arm} ({results[arm]['source']})" for arm in arms])
        row[1].invert_yaxis()
        row[1].margins(y=0.15)
        row[1].set(
            title=f"{task}: test, mean and 95 % interval",
            xlabel="test accuracy (dashed: chance)",
            xlim=(0.3, 1.02),  # the same for all tasks, so that a point looks like a point
        )
    return figure


def _transfer(pyplot: Any, calibrations: Sequence[Calibration], sweeps: Sequence[SweepData]) -> Any:
    """Every junction's m_x and m_z beside tanh and sech."""
    figure, axes = pyplot.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
    colours = pyplot.get_cmap("viridis")(np.linspace(0.05, 0.9, len(calibrations)))
    for one, data, colour in zip(calibrations, sweeps, colours, strict=True):
        m_x, m_z = one.magnetisation(data)
        x = (data.level_a - one.center_a) / one.unit_width_a
        for axis, m in zip(axes, (m_x, m_z), strict=True):
            axis.plot(x, m, ".", ms=3, color=colour, label=one.junction)
    x = np.linspace(-4, 4, 401)
    axes[0].plot(x, np.tanh(x), color="black", lw=1, label="tanh")
    axes[1].plot(x, 1 / np.cosh(x), color="black", lw=1, label="sech")
    label = "(field-line current − I_off) / unit width I₀"
    axes[0].set(title="activation: x-reference layer", xlabel=label, ylabel="m_x", xlim=(-4, 4))
    axes[1].set(title="square root of the gradient: z-reference layer", xlabel=label,
                ylabel="m_z", xlim=(-4, 4))  # fmt: skip
    for axis in axes:
        axis.legend(fontsize=8, ncols=2, markerscale=2)
    return figure
