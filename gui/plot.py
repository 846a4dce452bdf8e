"""Resistance of both reference layers against field-line current."""

from __future__ import annotations

import numpy as np

from gui import look
from gui.qt import QtCore, pyqtgraph
from gui.trace import Array, Direction, Mask, Trace

_BRANCHES: tuple[Direction, ...] = ("up", "down")
_INVALID_AT = 0.03  # height of the marks of invalid readings, share of the plot

_SIGNS = (("up", "●", look.UP), ("down", "◇", look.DOWN), ("invalid", "✕", look.INVALID))


def legend(trace: Trace) -> str:
    """The signs that are on the plots, as rich text."""
    there = {
        "up": trace.branch("up").any(),
        "down": trace.branch("down").any(),
        "invalid": trace.invalid.any(),
    }
    return "&nbsp;&nbsp;&nbsp;&nbsp; ".join(
        f'<span style="color:{colour}">{sign}</span>&nbsp; {name}'
        for name, sign, colour in _SIGNS
        if there[name]
    )


class _Axes:
    """One plot: a curve for each direction, and marks where readings are invalid."""

    def __init__(self, plot: pyqtgraph.PlotItem, name: str) -> None:
        self.plot = plot
        plot.showGrid(x=True, y=True, alpha=0.15)
        for side in ("left", "bottom"):
            axis = plot.getAxis(side)
            axis.enableAutoSIPrefix(False)
            axis.setTickFont(look.font(10))
            axis.setTextPen(look.INK)
            axis.setPen("#8a949d")
        plot.setLabel("left", name, **{"font-size": "12pt", "color": look.INK})
        plot.getAxis("left").setWidth(82)
        # Filled dots over open diamonds: both are seen where the branches lie on each other.
        up, down = pyqtgraph.mkPen(look.UP, width=1), pyqtgraph.mkPen(look.DOWN, width=1)
        self.curves = {
            "down": plot.plot(
                pen=down, symbol="d", symbolSize=10, symbolPen=down, symbolBrush=None,
            ),
            "up": plot.plot(
                pen=up, symbol="o", symbolSize=5, symbolPen=None, symbolBrush=look.UP,
            ),
        }  # fmt: skip
        self.invalid = pyqtgraph.ScatterPlotItem(
            symbol="x", size=11, pen=pyqtgraph.mkPen(look.INVALID, width=1), brush=look.INVALID
        )
        plot.addItem(self.invalid, ignoreBounds=True)
        plot.getViewBox().setDefaultPadding(0.08)  # the marks' own room
        plot.getViewBox().sigYRangeChanged.connect(self._place_invalid)

    def draw(self, trace: Trace, resistance_kohm: Array) -> None:
        for branch in _BRANCHES:
            self._draw_branch(branch, trace, resistance_kohm, trace.branch(branch))
        self._draw_invalid(trace.level_ma[trace.invalid])

    def _draw_branch(self, branch: Direction, trace: Trace, r_kohm: Array, at: Mask) -> None:
        shown = np.flatnonzero(at & trace.valid)
        joined = np.append(np.diff(shown) == 1, False)  # only neighbours: never over a gap
        self.curves[branch].setData(
            trace.level_ma[shown], r_kohm[shown], connect=joined[: len(shown)].astype(np.int32)
        )

    def _draw_invalid(self, level_ma: Array) -> None:
        low, high = self.plot.viewRange()[1]
        height = low + _INVALID_AT * (high - low)
        self.invalid.setData(level_ma, np.full(len(level_ma), height))

    def _place_invalid(self) -> None:
        if len(self.invalid.data):
            self._draw_invalid(self.invalid.getData()[0])


class ResistancePlots(pyqtgraph.GraphicsLayoutWidget):
    """R_x above R_z, over the same currents."""

    def __init__(self) -> None:
        super().__init__()
        self.setBackground("w")
        self.setAntialiasing(True)
        self.ci.setSpacing(14)
        self.ci.setContentsMargins(4, 6, 12, 4)
        self.x = _Axes(self.addPlot(0, 0), "R<sub>x</sub> (kΩ)")
        self.z = _Axes(self.addPlot(1, 0), "R<sub>z</sub> (kΩ)")
        self.z.plot.setXLink(self.x.plot)
        self.z.plot.setLabel(
            "bottom", "Field-line current (mA)", **{"font-size": "12pt", "color": look.INK}
        )
        self.setSizePolicy(self.sizePolicy().Policy.Expanding, self.sizePolicy().Policy.Expanding)
        self.setFrameShape(self.Shape.NoFrame)
        self.setFocusPolicy(QtCore.Qt.FocusPolicy.NoFocus)

    def show_range(self, start_ma: float, stop_ma: float) -> None:
        """Currents from ``start_ma`` to ``stop_ma``."""
        low, high = sorted((start_ma, stop_ma))
        if low < high:
            self.x.plot.setXRange(low, high, padding=0.03)
        for axes in (self.x, self.z):
            axes.plot.enableAutoRange(axis="y")

    def draw(self, trace: Trace) -> None:
        """Everything measured by now."""
        self.x.draw(trace, trace.r_x_kohm)
        self.z.draw(trace, trace.r_z_kohm)
