"""The one place that chooses the Qt binding.  All of ``gui`` takes its Qt from here."""

import os

# PySide6 (LGPL), whatever else is installed or asked for.
os.environ["QT_API"] = "pyside6"
os.environ["PYQTGRAPH_QT_LIB"] = "PySide6"

import pyqtgraph
from qtpy import QtCore, QtGui, QtWidgets

__all__ = ["QtCore", "QtGui", "QtWidgets", "pyqtgraph"]
