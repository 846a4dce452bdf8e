"""Colours, fonts and the style of the widgets.  Colour is never the only sign of anything."""

from __future__ import annotations

from gui.qt import QtCore, QtGui, QtWidgets

INK, SOFT, LINE, PAGE, CARD = "#1f2933", "#5b6770", "#d5dae0", "#f3f5f7", "#ffffff"
UP, DOWN, INVALID = "#0b62a8", "#c2570c", "#b3261e"

#: background of the word that names the backend
BACKEND = {"real": "#b3261e", "sim": "#0b62a8", "replay": "#616b75"}
#: dot before the bench's state
STATE = {
    "idle": "#7a8691", "armed": "#b7791f", "running": "#1b7f4b", "tripped": "#b3261e",
    "closed": "#aab3bb",
}  # fmt: skip
#: word that begins a message, and its colour
MESSAGE = {"Done": "#1b7f4b", "Stopped": "#a15c00", "Error": "#b3261e", "": SOFT}

STYLE = f"""
QWidget#page {{ background: {PAGE}; }}
QLabel {{ color: {INK}; }}
QFrame#card {{ background: {CARD}; border: 1px solid {LINE}; border-radius: 8px; }}
QLabel[role="caption"] {{ color: {SOFT}; font-size: 9pt; }}
QLabel[role="value"] {{ font-size: 12pt; }}
QLabel[role="name"] {{ font-size: 15pt; font-weight: 600; }}
QLabel[role="title"] {{ font-size: 12pt; font-weight: 600; }}
QLabel#backend {{ color: white; font-size: 12pt; font-weight: 700; border-radius: 5px;
    padding: 3px 14px; }}
QLabel#message {{ font-size: 11pt; padding-left: 4px; }}
QPushButton#sweep {{ background: {INK}; color: white; border: none; border-radius: 6px;
    font-size: 13pt; font-weight: 600; padding: 11px; }}
QPushButton#sweep:hover {{ background: #364554; }}
QPushButton#sweep:focus {{ border: 2px solid #7fa6cc; padding: 9px; }}
QPushButton#sweep:disabled {{ background: #d9dee3; color: #8a949d; }}
QPushButton#stop {{ background: #c9211e; color: white; border: none; border-radius: 8px;
    font-size: 22pt; font-weight: 700; padding: 20px; }}
QPushButton#stop:hover {{ background: #b01815; }}
QPushButton#stop:pressed {{ background: #8e100e; }}
QProgressBar {{ background: #e6eaee; border: none; border-radius: 4px; }}
QProgressBar::chunk {{ background: #1b7f4b; border-radius: 4px; }}
"""


def application(arguments: list[str]) -> QtWidgets.QApplication:
    """The one application of this process, with the look of the window."""
    app = QtWidgets.QApplication.instance()
    if not isinstance(app, QtWidgets.QApplication):
        app = QtWidgets.QApplication(arguments)
        app.setApplicationName("SpinLoop")
        app.setStyle("Fusion")
        app.styleHints().setColorScheme(QtCore.Qt.ColorScheme.Light)
        font = app.font()
        font.setPointSizeF(max(10.5, font.pointSizeF()))
        app.setFont(font)
    return app


def label(text: str = "", role: str = "") -> QtWidgets.QLabel:
    """A label; its role gives it its look."""
    made = QtWidgets.QLabel(text)
    made.setProperty("role", role)
    made.setTextFormat(QtCore.Qt.TextFormat.PlainText)
    return made


def card(layout: QtWidgets.QLayout) -> QtWidgets.QFrame:
    """A white field with a thin edge."""
    frame = QtWidgets.QFrame()
    frame.setObjectName("card")
    frame.setLayout(layout)
    return frame


def font(size: float, bold: bool = False) -> QtGui.QFont:
    """The application's font in another size, pt."""
    made = QtWidgets.QApplication.font()
    made.setPointSizeF(size)
    made.setBold(bold)
    return made
