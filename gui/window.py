"""The window: what is asked for on the left, what is measured on the right, Stop always at hand."""

from __future__ import annotations

from pathlib import Path

from db import JSON
from gui import look
from gui.plot import ResistancePlots, legend
from gui.qt import QtCore, QtGui, QtWidgets
from gui.runner import Ended, Opened, Runner, Who
from gui.trace import Trace
from instruments import BenchFile, BenchFileError, SweepData, load_bench_file
from instruments.states import Cause, State

_LOOK_MS = 100  # how often the bench's state and clock are looked at
_MOST_POINTS = 10_000


class Window(QtWidgets.QMainWindow):
    """The window of one bench.

    Args:
        bench_file: path of the bench file; None is the demonstration bench.
        database: the record.
        seed, realtime: of the simulated bench; None: what its file says, and no waiting.
        who: kept with every session.
    """

    def __init__(
        self,
        bench_file: Path | None,
        database: Path,
        *,
        seed: int | None = None,
        realtime: float | None = 1.0,
        who: Who | None = None,
    ) -> None:
        super().__init__()
        options = {"seed": seed, "realtime": realtime}
        sim = {name: value for name, value in options.items() if value is not None}
        self.runner = Runner(database, sim, who or Who())
        self.runner.opened.connect(self._on_opened)
        self.runner.measured.connect(self._on_measured)
        self.runner.ended.connect(self._on_ended)
        self.file: BenchFile | None = None
        self.trace: Trace | None = None
        self._path, self._text = bench_file, ""
        self._asked: dict[str, JSON] = {}
        self._bench_s = 0.0
        self._closing = False
        self._build(database)
        self._show_state(State.CLOSED)
        self._load()
        self._look = QtCore.QTimer(self)
        self._look.timeout.connect(self._look_at_bench)
        self._look.start(_LOOK_MS)

    # -- what is in it ----------------------------------------------------------------------------

    def _build(self, database: Path) -> None:
        page = QtWidgets.QWidget()
        page.setObjectName("page")
        self.setStyleSheet(look.STYLE)
        self.setCentralWidget(page)
        rows = QtWidgets.QVBoxLayout(page)
        rows.setContentsMargins(16, 16, 16, 12)
        rows.setSpacing(14)
        rows.addWidget(self._bench_bar(database))
        columns = QtWidgets.QHBoxLayout()
        columns.setSpacing(14)
        side = QtWidgets.QVBoxLayout()
        side.setSpacing(14)
        side.addWidget(self._form())
        side.addWidget(self._progress())
        side.addStretch(1)
        side.addWidget(self._stop_button())
        hint = look.label("Esc, too: every output to zero and off", "caption")
        hint.setAlignment(QtCore.Qt.AlignmentFlag.AlignHCenter)
        side.addWidget(hint)
        columns.addLayout(side)
        columns.addWidget(self._plots(), 1)
        rows.addLayout(columns, 1)
        rows.addWidget(self._message_line())
        self.resize(1240, 800)

    def _bench_bar(self, database: Path) -> QtWidgets.QFrame:
        row = QtWidgets.QHBoxLayout()
        row.setContentsMargins(20, 12, 20, 12)
        row.setSpacing(36)
        self.name = look.label(role="name")
        self.backend = look.label()
        self.backend.setObjectName("backend")
        self.state = look.label(role="value")
        self.state.setTextFormat(QtCore.Qt.TextFormat.RichText)
        self.session = look.label("none yet", "value")
        self.database = look.label(role="value")
        self.show_database(database)
        self.choose = QtWidgets.QPushButton("Bench file …")
        self.choose.setAutoDefault(False)
        self.choose.clicked.connect(self._choose_bench_file)
        for caption, widget in (
            ("Bench", self.name), ("Backend", self.backend), ("State", self.state),
            ("Session", self.session), ("Record", self.database),
        ):  # fmt: skip
            cell = QtWidgets.QVBoxLayout()
            cell.setSpacing(3)
            cell.addWidget(look.label(caption, "caption"))
            cell.addWidget(widget, 1)
            row.addLayout(cell)
        self.state.setMinimumWidth(90)
        row.addStretch(1)
        row.addWidget(self.choose)
        return look.card(row)

    def _form(self) -> QtWidgets.QFrame:
        self.junction = QtWidgets.QComboBox()
        self.start = self._current_box()
        self.stop_at = self._current_box()
        self.points = QtWidgets.QSpinBox()
        self.points.setRange(2, _MOST_POINTS)
        self.points.setAlignment(QtCore.Qt.AlignmentFlag.AlignRight)
        self.back = QtWidgets.QCheckBox("and back again")
        self.sweep = QtWidgets.QPushButton("Sweep")
        self.sweep.setObjectName("sweep")
        self.sweep.clicked.connect(self.start_sweep)
        form = QtWidgets.QFormLayout()
        form.setHorizontalSpacing(18)
        form.setVerticalSpacing(10)
        form.setFieldGrowthPolicy(form.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        for text, field in (
            ("Junction", self.junction), ("From", self.start), ("To", self.stop_at),
            ("Points", self.points), ("", self.back),
        ):  # fmt: skip
            field.setMinimumHeight(30)
            form.addRow(text, field)
        rows = QtWidgets.QVBoxLayout()
        rows.setContentsMargins(20, 16, 20, 20)
        rows.setSpacing(14)
        rows.addWidget(look.label("Sweep the field line", "title"))
        rows.addLayout(form)
        rows.addWidget(self.sweep)
        made = look.card(rows)
        made.setFixedWidth(290)
        return made

    def _current_box(self) -> QtWidgets.QDoubleSpinBox:
        box = QtWidgets.QDoubleSpinBox()
        box.setDecimals(3)
        box.setSuffix(" mA")
        box.setAlignment(QtCore.Qt.AlignmentFlag.AlignRight)
        return box

    def _progress(self) -> QtWidgets.QFrame:
        self.counted = look.label("no sweep yet", "value")
        self.bar = QtWidgets.QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setFixedHeight(8)
        self.bar.setRange(0, 1)
        self.bar.setValue(0)
        self.time = look.label(" ", "caption")
        rows = QtWidgets.QVBoxLayout()
        rows.setContentsMargins(20, 16, 20, 16)
        rows.setSpacing(8)
        for widget in (look.label("Progress", "title"), self.counted, self.bar, self.time):
            rows.addWidget(widget)
        made = look.card(rows)
        made.setFixedWidth(290)
        return made

    def _stop_button(self) -> QtWidgets.QPushButton:
        self.stop = QtWidgets.QPushButton("■  Stop")
        self.stop.setObjectName("stop")
        self.stop.setToolTip("Every output to zero and off, at once (Esc)")
        self.stop.setFixedWidth(290)
        self.stop.setFocusPolicy(QtCore.Qt.FocusPolicy.NoFocus)
        self.stop.pressed.connect(self.stop_now)  # pressed: not only when it is let go
        shortcut = QtGui.QShortcut(QtGui.QKeySequence(QtCore.Qt.Key.Key_Escape), self)
        shortcut.setAutoRepeat(False)
        shortcut.setContext(QtCore.Qt.ShortcutContext.ApplicationShortcut)
        shortcut.activated.connect(self.stop_now)
        return self.stop

    def _plots(self) -> QtWidgets.QFrame:
        self.title = look.label("Resistance against field-line current", "title")
        self.legend = QtWidgets.QLabel()
        heading = QtWidgets.QHBoxLayout()
        heading.addWidget(self.title)
        heading.addStretch(1)
        heading.addWidget(self.legend)
        heading.setContentsMargins(12, 0, 8, 0)
        self.plots = ResistancePlots()
        rows = QtWidgets.QVBoxLayout()
        rows.setContentsMargins(12, 16, 12, 10)
        rows.addLayout(heading)
        rows.addWidget(self.plots, 1)
        return look.card(rows)

    def _message_line(self) -> QtWidgets.QLabel:
        self.message = look.label()
        self.message.setObjectName("message")
        self.message.setTextFormat(QtCore.Qt.TextFormat.PlainText)
        self.message.setWordWrap(True)
        self.message.setMinimumHeight(26)
        self.message.setTextInteractionFlags(QtCore.Qt.TextInteractionFlag.TextSelectableByMouse)
        self.message.setFocusPolicy(QtCore.Qt.FocusPolicy.NoFocus)
        return self.message

    # -- the bench file ---------------------------------------------------------------------------

    def _load(self) -> bool:
        """Read the bench file; whether it is the one that is on show already."""
        try:
            file, text = load_bench_file(self._path)
        except BenchFileError as error:
            self.file, self._text = None, ""
            _elide(self.name, self._path.name if self._path else "", 340)
            self._show_backend("")
            self.say("Error", str(error))
            return False
        if self.file is not None and text == self._text:
            return True
        self.file, self._text = file, text
        self._show_bench(file)
        self.say("", "Choose a junction and a range, then press Sweep.")
        return False

    def _show_bench(self, file: BenchFile) -> None:
        _elide(self.name, file.name, 340)
        self._show_backend(file.backend)
        junction = self.junction.currentText()
        self.junction.clear()
        self.junction.addItems(list(file.junctions))
        self.junction.setCurrentIndex(max(0, self.junction.findText(junction)))
        limit_ma, range_ma = file.limits.field_line.current * 1e3, file.calibration.range * 1e3
        for box, value in ((self.start, -range_ma), (self.stop_at, range_ma)):
            box.setRange(-limit_ma, limit_ma)
            box.setToolTip(f"The bench file allows {limit_ma:g} mA either way")
            box.setValue(value)
        self.points.setValue(file.calibration.points)
        self.back.setChecked(True)
        self.plots.show_range(-range_ma, range_ma)

    def _show_backend(self, word: str) -> None:
        self.backend.setText(word.upper() or "–")
        self.backend.setStyleSheet(
            f"background: {look.BACKEND.get(word, look.SOFT)}; color: white;"
        )
        self.setWindowTitle(f"SpinLoop - {self.name.toolTip()}" + (f" ({word})" if word else ""))

    def _choose_bench_file(self) -> None:
        path, _ = QtWidgets.QFileDialog.getOpenFileName(
            self, "Bench file", str(self._path or ""), "Bench files (*.yaml *.yml)"
        )
        if path:
            self._path = Path(path)
            self._load()

    # -- a sweep ----------------------------------------------------------------------------------

    def arguments(self) -> dict[str, JSON]:
        """What the form asks for."""
        return {
            "junction": self.junction.currentText(),
            "start_a": self.start.value() / 1e3,
            "stop_a": self.stop_at.value() / 1e3,
            "points": self.points.value(),
            "back": self.back.isChecked(),
        }

    def start_sweep(self) -> None:
        """Start the sweep that the form asks for."""
        if self.runner.running:
            return
        if not self._load():
            # Nobody shall press Sweep for one bench and start another.
            if self.file is not None:
                self.say("", "The bench file was read anew: look through it, then press Sweep.")
            return
        self._enable(False)
        self.say("", "Opening the bench.")
        self._asked, self.trace, self._bench_s = self.arguments(), None, 0.0
        self.counted.setText("not begun yet")
        self.bar.reset()
        self.time.setText(" ")
        self.runner.start(self._path, self._asked)

    def stop_now(self) -> None:
        """Every output to zero and off, at once."""
        if self.runner.stop():
            self.say("Stopped", "waiting until every output is at zero and off.")
        else:
            self.say("", "No sweep is running; between sweeps this window holds no instrument.")

    def _on_opened(self, opened: Opened) -> None:
        self._show_backend(opened.file.backend)
        self.session.setText(str(opened.number))
        start, stop = self.start.value(), self.stop_at.value()
        self.trace = Trace(
            opened.plan, self.points.value(), stop >= start,
            opened.file.readout.common_resistance,
        )  # fmt: skip
        self.title.setText(f"Junction {self.junction.currentText()}")
        self.plots.show_range(start, stop)
        self._draw(self.trace)
        self.bar.setRange(0, self.trace.total)
        self._show_progress()
        self.say("", f"Sweeping {self.junction.currentText()}.")

    def _on_measured(self, data: SweepData) -> None:
        assert self.trace is not None
        self.trace.add(data)
        self._draw(self.trace)
        self._bench_s = data.bench_end_s
        self._show_progress()

    def _on_ended(self, ended: Ended) -> None:
        self.runner.join()
        self._bench_s = ended.bench_s
        self._show_state(ended.state)
        self._show_progress()
        self._enable(True)
        self._say_how_it_ended(ended)
        if self._closing:
            self.close()

    def _say_how_it_ended(self, ended: Ended) -> None:
        if ended.problems:
            what = "; ".join(ended.problems)
            first = f"{ended.error}. " if ended.error and not ended.stopped else ""
            self.say("Error", f"{first}The safe state is not confirmed, look at the bench: {what}")
        elif ended.stopped:
            self.say(
                "Stopped", "every output is at zero and off; the next sweep opens the bench anew."
            )
        elif ended.error:
            self.say("Error", ended.error)
        else:
            assert self.trace is not None
            doubtful = int(self.trace.invalid.sum())
            count = {0: "", 1: ", 1 reading invalid"}.get(
                doubtful, f", {doubtful} readings invalid"
            )
            self.say(
                "Done", f"{self.trace.total} points of {self._asked['junction']}{count}, in "
                f"{self._bench_s:.1f} s of bench time, recorded as session {ended.number}.",
            )  # fmt: skip

    # -- what is shown ----------------------------------------------------------------------------

    def say(self, kind: str, text: str) -> None:
        """Put a sentence into the message line; ``kind`` is "Done", "Stopped", "Error" or ""."""
        first, *more = text.splitlines() or [""]
        if more:
            first += f" (and {len(more)} more)"
        self.message.setText(f"{kind}: {first}" if kind else first)
        self.message.setToolTip(text if more else "")
        self.message.setStyleSheet(f"color: {look.MESSAGE[kind]};")

    def show_database(self, path: Path) -> None:
        """Show where sessions are recorded."""
        _elide(self.database, str(path), 260)
        self.database.setToolTip(str(path.absolute()))

    def _draw(self, trace: Trace) -> None:
        self.plots.draw(trace)
        self.legend.setText(legend(trace))

    def _enable(self, enabled: bool) -> None:
        for widget in (
            self.junction, self.start, self.stop_at, self.points, self.back, self.sweep,
            self.choose,
        ):  # fmt: skip
            widget.setEnabled(enabled)

    def _look_at_bench(self) -> None:
        """State and clock of the running bench; sends nothing."""
        bench = self.runner.bench
        if bench is not None:
            self._show_state(bench.state)
            self._bench_s = bench.clock.time_s()
            self._show_progress()

    def _show_state(self, state: State) -> None:
        self.state.setText(f'<span style="color:{look.STATE[state.value]}">●</span> {state.value}')

    def _show_progress(self) -> None:
        if self.trace is None:
            return
        done, total = self.trace.done, self.trace.total
        self.bar.setValue(done)
        self.counted.setText(f"{done} of {total} points")
        left = (
            f", about {self._bench_s * (total - done) / done:.0f} s left"
            if 0 < done < total and self.runner.running
            else ""
        )
        self.time.setText(f"bench time {self._bench_s:.1f} s{left}")

    # -- the end ----------------------------------------------------------------------------------

    def closeEvent(self, event: QtGui.QCloseEvent) -> None:
        """A running bench is stopped first; the window goes when everything is off."""
        if self.runner.running:
            self._closing = True
            self.runner.stop("the window was closed", Cause.WINDOW)
            self.say("Stopped", "the window closes when every output is at zero and off.")
            event.ignore()
        else:
            self._look.stop()
            event.accept()


def _elide(label: QtWidgets.QLabel, text: str, width: int) -> None:
    """Show a text, shortened in the middle to a width in pixels."""
    label.ensurePolished()  # the style sheet has its say on the font
    middle = QtCore.Qt.TextElideMode.ElideMiddle
    label.setText(label.fontMetrics().elidedText(text, middle, width))
    label.setToolTip(text)
