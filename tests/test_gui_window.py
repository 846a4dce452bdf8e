"""The window: a thin face of a recorded sweep, with Stop always at hand."""

import ast
import signal
import threading
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("PySide6")

import db
import gui
import gui.app
from gui.plot import ResistancePlots, legend
from gui.qt import QtCore, QtGui, QtWidgets
from gui.trace import Trace
from gui.window import Window
from instruments import Bench, BenchError, SweepData, load_bench_file
from instruments.link import Link
from instruments.safe_state import SafeState
from instruments.sweep import plan
from sim_backend.clock import Clock
from training import jobs
from training.session import live_session

BENCH = load_bench_file(None)[1]
WAIT_MS = 20_000


@pytest.fixture
def database(tmp_path):
    return tmp_path / "lab.sqlite"


@pytest.fixture
def open_window(qtbot, database):
    """Opens windows; none outlives its test with a bench."""
    opened = []

    def make(bench_file=None, *, show=True, **options):
        window = Window(bench_file, database, **{"realtime": None, **options})
        qtbot.addWidget(window, before_close_func=lambda one: one.runner.stop())
        opened.append(window)
        if show:
            window.show()
        return window

    yield make
    for window in opened:
        window.runner.stop()
        window.runner.join()


@pytest.fixture
def benches(monkeypatch):
    """The benches that were opened, first to last."""
    found = []
    real = Bench.open.__func__

    def spy(cls, *arguments, **options):
        found.append(real(cls, *arguments, **options))
        return found[-1]

    monkeypatch.setattr(Bench, "open", classmethod(spy))
    return found


@pytest.fixture
def crawling(monkeypatch):
    """Real-time mode with the first list of a sweep at once, and the others at a crawl: whoever
    stops a sweep after its first list finds it running."""
    never = threading.Event()
    monkeypatch.setattr(
        Clock, "wait_wall", lambda clock, seconds: clock.now_s > 1.0 and never.wait(0.02)
    )


def sweep(qtbot, window, **fields):
    """Press Sweep and wait for the end; what the runner says of it."""
    fill(window, **fields)
    with qtbot.waitSignal(window.runner.ended, timeout=WAIT_MS) as end:
        click(qtbot, window.sweep)
    qtbot.waitUntil(window.sweep.isEnabled, timeout=WAIT_MS)
    return end.args[0]


def fill(window, *, start=-10.0, stop=10.0, points=21, back=True, junction="J1"):
    window.start.setValue(start)
    window.stop_at.setValue(stop)
    window.points.setValue(points)
    window.back.setChecked(back)
    window.junction.setCurrentText(junction)


def click(qtbot, button):
    qtbot.mouseClick(button, QtCore.Qt.MouseButton.LeftButton)


def simulated(bench):
    """What the simulator knows of its instruments, whatever the drivers believe."""
    return bench._keep.visalib.bench


def is_off(bench):
    truth = simulated(bench)
    meters = truth.meters.values()
    return (
        not any(one.state["output"] for one in (truth.source, *meters))
        and truth.source.state["level"] == 0
        and all(meter.terminal_v == 0 for meter in meters)
        and truth.sweep is None
    )


def status(database, number):
    return db.session(database, number).info.status


# -- a sweep --------------------------------------------------------------------------------------


@pytest.mark.parametrize("realtime", [None, 1e6])
def test_the_same_seed_gives_the_same_bytes_with_and_without_a_window(
    qtbot, open_window, database, tmp_path, realtime
):
    window = open_window(seed=7, realtime=realtime)
    sweep(qtbot, window)
    other = tmp_path / "without.sqlite"
    with live_session(
        "sweep", window.arguments(), bench_file=None, database=other, sim={"seed": 7}
    ) as session:
        session.result = jobs.sweep(session, jobs.Watch())
    [ours], [theirs] = db.sweeps(database, 1), db.sweeps(other, 1)
    assert ours.sha256 == theirs.sha256
    messages = [
        [(m.seq, m.instrument, m.op, m.sent, m.reply) for m in db.transcript(path, 1, 0)]
        for path in (database, other)
    ]
    assert len(messages[0]) > 50
    assert messages[0] == messages[1]
    if realtime is None:  # then the clocks agree as well
        assert list(db.transcript(database, 1, 0)) == list(db.transcript(other, 1, 0))
        assert dict(db.session(database, 1).result) == dict(db.session(other, 1).result)


def test_the_session_keeps_what_was_asked_and_by_whom(qtbot, open_window, database):
    window = open_window(seed=3, who=gui.app.Who("Ada", "wafer 5", "a note"))
    end = sweep(qtbot, window, start=-8.0, stop=8.5, points=9, back=False, junction="J2")
    detail = db.session(database, end.number)
    assert (detail.info.operator, detail.info.sample, detail.info.note) == (
        "Ada", "wafer 5", "a note",
    )  # fmt: skip
    assert detail.info.kind == "sweep" and detail.info.status == "complete"
    assert detail.settings["arguments"] == {
        "junction": "J2", "start_a": -0.008, "stop_a": 0.0085, "points": 9, "back": False,
    }  # fmt: skip
    assert detail.settings["sim"] == {"seed": 3}


@pytest.mark.parametrize(("start", "stop"), [(-20.0, 20.0), (20.0, -20.0)])
def test_the_plots_show_what_the_record_holds(qtbot, open_window, database, start, stop):
    window = open_window()
    end = sweep(qtbot, window, start=start, stop=stop, points=31)
    result = db.session(database, end.number).result
    assert window.trace.done == window.trace.total == result["measured_points"]
    rising = np.arange(62) < 31 if start < stop else np.arange(62) >= 31
    for axes, key in ((window.plots.x, "r_x_ohm"), (window.plots.z, "r_z_ohm")):
        for branch, at in (("up", rising), ("down", ~rising)):
            level_ma, r_kohm = axes.curves[branch].getData()
            np.testing.assert_allclose(level_ma, np.array(result["level_a"])[at] * 1e3)
            np.testing.assert_allclose(r_kohm, np.array(result[key])[at] * 1e-3)
    assert "up" in window.legend.text() and "down" in window.legend.text()
    assert "invalid" not in window.legend.text()


def test_the_plots_grow_list_by_list(qtbot, open_window):
    window = open_window()
    shown = []
    window.runner.measured.connect(
        lambda data: shown.append((window.trace.done, len(window.plots.x.curves["up"].xData)))
    )
    sweep(qtbot, window, points=31)
    done, drawn = zip(*shown, strict=True)
    assert done[:3] == (15, 30, 45) and done[-1] == window.trace.total
    assert 0 < drawn[0] < drawn[1] < drawn[2] == drawn[-1] == 31


def test_the_time_left_is_shown_while_a_sweep_runs(qtbot, open_window, crawling):
    window = open_window(realtime=1.0)
    fill(window)
    with qtbot.waitSignal(window.runner.measured, timeout=WAIT_MS):
        click(qtbot, window.sweep)
    assert window.counted.text() == f"15 of {window.trace.total} points"
    assert "s left" in window.time.text()
    qtbot.waitUntil(lambda: "running" in window.state.text())
    with qtbot.waitSignal(window.runner.ended, timeout=WAIT_MS):
        click(qtbot, window.stop)
    assert "left" not in window.time.text()


def test_an_invalid_reading_is_marked_and_never_joined(qtbot):
    levels = np.linspace(-0.01, 0.01, 21)
    planned = plan(levels, step_a=6e-3, most_points=100, order="given", resolution_a=1e-5)
    current = np.full(planned.measured, 4e-6)
    valid = np.ones(planned.measured, dtype=bool)
    current[planned.index[[3, 10]]] = 9.9e37
    valid[planned.index[[3, 10]]] = False
    trace = Trace(planned, 21, True, 6.0)
    trace.add(
        SweepData("J1", planned.lists[0], current, current, valid, 0.02, planned.measured, 0.0, 1.0)
    )
    plots = ResistancePlots()
    qtbot.addWidget(plots)
    plots.draw(trace)
    assert not plots.grab().isNull()
    for axes in (plots.x, plots.z):
        level_ma, _ = axes.curves["up"].getData()
        np.testing.assert_allclose(level_ma, np.delete(levels, [3, 10]) * 1e3)
        # Points 2 and 4 have become neighbours in the list, and are not joined; so 9 and 11.
        joined = axes.curves["up"].opts["connect"]
        assert np.flatnonzero(joined == 0).tolist() == [2, 8, 18]
        marked, height = axes.invalid.getData()
        np.testing.assert_allclose(marked, levels[[3, 10]] * 1e3)
        low, high = axes.plot.viewRange()[1]
        assert (low < height).all() and (height < low + 0.1 * (high - low)).all()
        assert 0 < low < high < 10  # an overflow does not squeeze the others flat
    assert "invalid" in legend(trace)


def test_a_sweep_without_one_valid_reading_can_be_drawn(qtbot):
    planned = plan([0.001, 0.002], step_a=6e-3, most_points=9, order="given", resolution_a=1e-5)
    nothing = np.zeros(planned.measured)
    trace = Trace(planned, 2, True, 6.0)
    trace.add(SweepData("J1", planned.lists[0], nothing, nothing, nothing > 0, 0.02, 2, 0.0, 1.0))
    plots = ResistancePlots()
    qtbot.addWidget(plots)
    plots.draw(trace)
    assert len(plots.x.invalid.getData()[0]) == 2
    assert not plots.grab().isNull()


def test_the_progress_counts_the_points_that_the_bench_measures(qtbot, open_window, database):
    window = open_window()
    end = sweep(qtbot, window, start=20.0, stop=30.0, points=5)  # fill points on either way
    [recorded] = db.sweeps(database, end.number)
    assert recorded.points > 10
    assert window.counted.text() == f"{recorded.points} of {recorded.points} points"
    assert window.message.text().startswith(f"Done: {recorded.points} points of J1")
    assert window.session.text() == str(end.number)


# -- stop -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["button", "escape"])
def test_stop_during_a_sweep_in_real_time_leaves_everything_at_zero_and_off(
    qtbot, open_window, database, benches, how
):
    window = open_window(realtime=1.0)
    fill(window, points=121)
    with qtbot.waitSignal(window.runner.measured, timeout=WAIT_MS):
        click(qtbot, window.sweep)
    assert simulated(benches[0]).source.state["output"]
    with qtbot.waitSignal(window.runner.ended, timeout=5000):
        if how == "button":
            # Pressing is enough: nobody has to let go first.
            qtbot.mousePress(window.stop, QtCore.Qt.MouseButton.LeftButton)
        else:
            qtbot.keyClick(window, QtCore.Qt.Key.Key_Escape)
    qtbot.waitUntil(window.sweep.isEnabled)
    assert is_off(benches[0])
    assert simulated(benches[0]).switch.closed == set()
    assert status(database, 1) == "interrupted"
    assert "tripped" in window.state.text()
    assert window.message.text().startswith("Stopped: every output is at zero and off")
    assert 0 < window.trace.done < window.trace.total


def test_stop_calls_the_bench_at_once_and_not_from_the_thread_that_sweeps(
    qtbot, open_window, crawling, monkeypatch
):
    callers = []
    real = Bench.stop

    def spy(bench, *reason):
        callers.append(threading.current_thread().name)
        return real(bench, *reason)

    monkeypatch.setattr(Bench, "stop", spy)
    window = open_window(realtime=1.0)
    fill(window)
    with qtbot.waitSignal(window.runner.measured, timeout=WAIT_MS):
        click(qtbot, window.sweep)
    with qtbot.waitSignal(window.runner.ended, timeout=WAIT_MS):
        click(qtbot, window.stop)
    assert callers == ["stop"]


def test_stop_while_the_bench_is_being_opened_lets_nothing_be_switched_on(
    qtbot, open_window, database, monkeypatch
):
    window = open_window()
    real = Bench.open.__func__
    on_its_way, go_on = threading.Event(), threading.Event()

    def wait(cls, *arguments, **options):
        on_its_way.set()
        assert go_on.wait(10)
        return real(cls, *arguments, **options)

    monkeypatch.setattr(Bench, "open", classmethod(wait))
    click(qtbot, window.sweep)
    assert on_its_way.wait(10)
    click(qtbot, window.stop)
    with qtbot.waitSignal(window.runner.ended, timeout=WAIT_MS):
        go_on.set()
    assert status(database, 1) == "interrupted"
    sent = [m.sent for m in db.transcript(database, 1)]
    assert not any("OUTP ON" in text or "ARM" in text for text in sent)
    qtbot.waitUntil(window.sweep.isEnabled)
    assert window.message.text().startswith("Stopped")


def test_after_a_stop_the_next_sweep_opens_the_bench_anew(
    qtbot, open_window, database, benches, crawling
):
    window = open_window(realtime=1.0)
    fill(window)
    with qtbot.waitSignal(window.runner.measured, timeout=WAIT_MS):
        click(qtbot, window.sweep)
    with qtbot.waitSignal(window.runner.ended, timeout=WAIT_MS):
        click(qtbot, window.stop)
    qtbot.waitUntil(window.sweep.isEnabled)
    end = sweep(qtbot, window, points=5, back=False)
    assert len(benches) == 2 and benches[0] is not benches[1]
    assert end.error == "" and is_off(benches[1])
    assert [one.status for one in db.sessions(database)] == ["interrupted", "complete"]
    assert "closed" in window.state.text()


def test_stop_is_enabled_always(qtbot, open_window, crawling, tmp_path):
    wrong = open_window(tmp_path / "nowhere.yaml")
    assert wrong.stop.isEnabled()
    window = open_window(realtime=1.0)
    assert window.stop.isEnabled()
    click(qtbot, window.stop)
    assert "No sweep is running" in window.message.text()
    with qtbot.waitSignal(window.runner.measured, timeout=WAIT_MS):
        click(qtbot, window.sweep)
    assert window.stop.isEnabled() and not window.sweep.isEnabled()
    with qtbot.waitSignal(window.runner.ended, timeout=WAIT_MS):
        click(qtbot, window.stop)
    assert window.stop.isEnabled()


def test_an_unconfirmed_safe_state_is_said(qtbot, open_window, crawling, monkeypatch):
    real = SafeState._to_safe_state
    problem = "field: does not report its output off"
    monkeypatch.setattr(SafeState, "_to_safe_state", lambda bench: [*real(bench), problem])
    window = open_window(realtime=1.0)
    fill(window)
    with qtbot.waitSignal(window.runner.measured, timeout=WAIT_MS):
        click(qtbot, window.sweep)
    with qtbot.waitSignal(window.runner.ended, timeout=WAIT_MS):
        click(qtbot, window.stop)
    qtbot.waitUntil(window.sweep.isEnabled)
    assert "not confirmed" in window.message.text()
    assert problem in window.message.text()
    assert "every output is at zero" not in window.message.text()


def test_closing_the_window_stops_the_bench_first(qtbot, open_window, database, benches, crawling):
    window = open_window(realtime=1.0)
    fill(window, points=121)
    with qtbot.waitSignal(window.runner.measured, timeout=WAIT_MS):
        click(qtbot, window.sweep)
    with qtbot.waitSignal(window.runner.ended, timeout=WAIT_MS):
        assert not window.close()
        assert window.isVisible()
    qtbot.waitUntil(lambda: not window.isVisible())
    assert is_off(benches[0])
    assert status(database, 1) == "interrupted"


def test_ctrl_c_in_the_terminal_stops_the_bench_and_closes_the_window(
    qtbot, database, benches, crawling, monkeypatch
):
    class Sweeping(Window):
        def showEvent(self, event):
            self.runner.measured.connect(lambda _: signal.raise_signal(signal.SIGINT))
            self.start_sweep()

    monkeypatch.setattr(gui.app, "Window", Sweeping)
    before = signal.getsignal(signal.SIGINT)
    assert gui.run(None, database, realtime=1.0) == 0
    assert is_off(benches[0])
    assert status(database, 1) == "interrupted"
    assert signal.getsignal(signal.SIGINT) is before


# -- what can be wrong ----------------------------------------------------------------------------


def test_a_wrong_bench_file_is_one_sentence_and_the_window_stays_usable(
    qtbot, open_window, database, tmp_path
):
    file = tmp_path / "bench.yaml"
    file.write_text(BENCH.replace("current: 35 mA", "current: 35"), encoding="utf-8")
    window = open_window(file)
    assert "limits.field_line.current" in window.message.text()
    assert "line 13" in window.message.text()
    click(qtbot, window.sweep)
    assert window.message.text().startswith("Error: ")
    assert not database.exists()
    file.write_text(BENCH, encoding="utf-8")
    click(qtbot, window.sweep)
    assert "read anew" in window.message.text() and window.junction.count() == 8
    assert sweep(qtbot, window).error == ""


def test_another_bench_file_can_be_chosen(qtbot, open_window, tmp_path, monkeypatch):
    file = tmp_path / "bench.yaml"
    file.write_text(BENCH.replace("demonstration bench\n", "corner\n", 1), encoding="utf-8")
    window = open_window(tmp_path / "nowhere.yaml")
    monkeypatch.setattr(
        QtWidgets.QFileDialog, "getOpenFileName", lambda *arguments: (str(file), "")
    )
    click(qtbot, window.choose)
    assert window.name.text() == "corner" and window.junction.count() == 8


def test_a_bench_file_that_changed_is_shown_before_it_is_used(
    qtbot, open_window, database, tmp_path
):
    file = tmp_path / "bench.yaml"
    file.write_text(BENCH, encoding="utf-8")
    window = open_window(file)
    file.write_text(BENCH.replace("backend: sim ", "backend: real "), encoding="utf-8")
    click(qtbot, window.sweep)
    assert not window.runner.running and not database.exists()
    assert window.backend.text() == "REAL" and "read anew" in window.message.text()


def test_a_level_above_its_limit_is_one_sentence(qtbot, open_window, database):
    window = open_window()
    window.stop_at.setRange(-100, 100)
    end = sweep(qtbot, window, stop=40.0)
    assert window.message.text() == f"Error: {end.error}"
    assert "above the limit of 35 mA" in end.error and "\n" not in end.error
    assert status(database, end.number) == "failed"


def test_a_record_that_cannot_be_opened_is_one_sentence(qtbot, open_window, database):
    database.write_text("not a database, but long enough to be looked at" * 10)
    window = open_window()
    end = sweep(qtbot, window)
    assert end.number == 0 and "not a SQLite database" in window.message.text()
    database.unlink()
    assert sweep(qtbot, window).error == ""


def test_an_error_nobody_thought_of_is_shown_and_logged(qtbot, open_window, monkeypatch, caplog):
    def broken(session, watch):
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(jobs, "sweep", broken)
    window = open_window()
    sweep(qtbot, window)
    assert window.message.text() == "Error: ZeroDivisionError: division by zero"
    assert "a sweep failed" in caplog.text


# -- what is shown --------------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["real", "sim", "replay"])
def test_the_backend_is_a_word_with_a_colour_of_its_own(open_window, tmp_path, word):
    file = tmp_path / "bench.yaml"
    file.write_text(BENCH.replace("backend: sim ", f"backend: {word} "), encoding="utf-8")
    window = open_window(file)
    assert window.backend.text() == word.upper()
    colour = window.backend.grab().toImage().pixelColor(4, window.backend.height() // 2)
    hue = {"real": colour.red(), "sim": colour.blue(), "replay": 0}[word]
    assert colour.saturation() < 60 if word == "replay" else hue > 150
    assert f"({word})" in window.windowTitle()


def test_the_currents_are_in_ma_and_within_the_bench_files_limit(open_window):
    window = open_window()
    for box in (window.start, window.stop_at):
        assert box.suffix() == " mA"
        assert (box.minimum(), box.maximum()) == (-35.0, 35.0)
    assert [window.junction.itemText(i) for i in range(window.junction.count())] == [
        f"J{n}" for n in range(1, 9)
    ]


def test_looking_at_a_running_bench_sends_nothing(qtbot, open_window, monkeypatch):
    senders = set()

    def spied(real):
        def spy(*arguments, **options):
            senders.add(threading.current_thread().name)
            return real(*arguments, **options)

        return spy

    for name in ("write", "query", "wait", "poll"):
        monkeypatch.setattr(Link, name, spied(getattr(Link, name)))
    window = open_window()
    window.runner.measured.connect(lambda _: window._look_at_bench())
    sweep(qtbot, window)
    assert senders == {"sweep"}
    assert window.time.text() == f"bench time {window._bench_s:.1f} s"


def test_the_window_only_takes_qt_from_one_place():
    folder = Path(gui.__file__).parent
    for path in folder.glob("*.py"):
        names = {
            name.split(".")[0]
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.Import | ast.ImportFrom)
            for name in (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
            )
        }
        if path.name != "qt.py":
            assert not names & {"PySide6", "qtpy", "pyqtgraph"}, path


# -- the picture ----------------------------------------------------------------------------------


def test_a_picture_of_a_whole_sweep_is_taken_without_a_display(qtbot, tmp_path):
    path = tmp_path / "window.png"
    gui.screenshot(path)
    picture = QtGui.QImage(str(path))
    assert picture.width() >= 1000 and picture.height() >= 600
    colours = {
        picture.pixelColor(x, y).name()
        for x in range(320, picture.width(), 3)
        for y in range(100, picture.height(), 3)
    }
    assert {"#ffffff", "#0b62a8"} <= colours  # a white background, and points on it
    assert list(tmp_path.iterdir()) == [path]  # no record is kept


def test_a_picture_is_never_taken_of_a_real_bench(tmp_path, benches):
    file = tmp_path / "bench.yaml"
    file.write_text(BENCH.replace("backend: sim ", "backend: real "), encoding="utf-8")
    with pytest.raises(BenchError, match="simulated bench only"):
        gui.screenshot(tmp_path / "window.png", bench_file=file)
    assert not benches


def test_without_a_display_the_window_says_so_in_a_sentence(monkeypatch, capsys, database):
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(gui.app.sys, "platform", "linux")
    assert gui.run(None, database) == 1
    assert "no display" in capsys.readouterr().err
