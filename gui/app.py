"""Ways to open the window."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from pathlib import Path

from gui import look
from gui.qt import QtCore
from gui.runner import Ended, Who
from gui.window import Window
from instruments import BenchError, Cause, load_bench_file


def run(
    bench_file: Path | None,
    database: Path,
    *,
    seed: int | None = None,
    realtime: float | None = 1.0,
    operator: str = "",
    sample: str = "",
    note: str = "",
) -> int:
    """Open the window and stay until it is closed.

    Args:
        bench_file: path of the bench file; None is the demonstration bench.
        database: the record; it is made if it is not there.
        seed: of the simulated bench; None: what its file says.
        realtime: bench seconds per second on the simulated bench; None: as fast as it goes.
        operator, sample, note: kept with every session.

    Returns:
        The exit status of the program.
    """
    if _no_display():
        print(
            "There is no display to open the window on: set DISPLAY or WAYLAND_DISPLAY.",
            file=sys.stderr,
        )
        return 1
    app = look.application(sys.argv[:1])
    window = Window(
        bench_file, database, seed=seed, realtime=realtime, who=Who(operator, sample, note)
    )
    # Ctrl-C in the terminal is the same as closing the window: the bench goes first.
    ends = (signal.SIGINT, signal.SIGTERM)
    before = {end: signal.signal(end, lambda *_: window.close()) for end in ends}
    window.show()
    try:
        return int(app.exec())
    finally:
        window.runner.stop("the program ended", Cause.WINDOW)
        window.runner.join()
        for end, handler in before.items():
            signal.signal(end, handler)


def screenshot(path: Path, *, bench_file: Path | None = None) -> None:
    """Sweep a junction of the simulated bench and write a picture of the window, as PNG.

    Needs no display and keeps no record.

    Args:
        path: where the picture goes.
        bench_file: a bench file with ``backend: sim``; None is the demonstration bench.

    Raises:
        BenchError: another backend, or the sweep failed.
        OSError: the picture cannot be written.
    """
    file, _ = load_bench_file(bench_file)
    if file.backend != "sim":
        raise BenchError(
            f"a picture is taken of the simulated bench only; {bench_file} says "
            f"'backend: {file.backend}'"
        )
    if _no_display():
        os.environ["QT_QPA_PLATFORM"] = "offscreen"
    look.application(sys.argv[:1])
    with tempfile.TemporaryDirectory() as folder:
        window = Window(bench_file, Path(folder) / "lab.sqlite", realtime=None)
        window.show_database(Path("lab.sqlite"))
        ends: list[Ended] = []
        loop = QtCore.QEventLoop()
        window.runner.ended.connect(ends.append)
        window.runner.ended.connect(loop.quit)
        window.start_sweep()
        loop.exec()
        error = ends[0].error
        picture = window.grab()
        window.close()
    if error:
        raise BenchError(error)
    if not picture.save(str(path), "PNG"):
        raise OSError(f"{path}: the picture cannot be written")


def _no_display() -> bool:
    """Whether Qt would find no screen and end the program."""
    return sys.platform.startswith("linux") and not os.environ.keys() & {
        "DISPLAY",
        "WAYLAND_DISPLAY",
        "QT_QPA_PLATFORM",
    }
