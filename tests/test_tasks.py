"""The promises of tasks.py: it installs once, says what it does first, and fails in a sentence."""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import tasks
from conformance import trial
from tasks import CONFORMANCE, CORE, DEVELOPMENT, Place, Stop

SOURCE = Path(tasks.__file__).read_text(encoding="utf-8")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Return a source tree that nothing has been installed from."""
    (tmp_path / "pyproject.toml").write_text("[project]")
    (tmp_path / "constraints.txt").write_text("torch==2.13.0")
    (tmp_path / "conformance").mkdir()
    (tmp_path / "conformance/requirements.txt").write_text("qcodes==0.58.0")
    return Place(tmp_path)


class Installers:
    """Stand in for venv and pip; what they were asked to do is kept."""

    def __init__(self) -> None:
        self.commands: list[list[str]] = []
        self.before_pip: Callable[[], None] = lambda: None
        self.pip_fails_with: BaseException | None = None

    def __call__(self, command: list[str], cwd: Path) -> None:
        self.commands.append(command)
        if "venv" in command:
            python = Place(cwd, Path(command[-1]).name).tool("python")
            python.parent.mkdir(parents=True, exist_ok=True)
            python.touch()
            return
        self.before_pip()
        if self.pip_fails_with:
            raise self.pip_fails_with

    @property
    def made_venvs(self) -> list[list[str]]:
        return [command for command in self.commands if "venv" in command]

    @property
    def installs(self) -> list[list[str]]:
        return [command for command in self.commands if "install" in command]


@pytest.fixture
def installers(monkeypatch: pytest.MonkeyPatch) -> Installers:
    def version_in(place: Place) -> str | None:
        return "3 11" if place.tool("python").exists() else None

    installers = Installers()
    monkeypatch.setattr(tasks, "run_installer", installers)
    monkeypatch.setattr(tasks, "version_in", version_in)
    monkeypatch.setattr(tasks, "has_pip", lambda place: True)
    return installers


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch, installers: Installers) -> list[list[str]]:
    """Return the list of the jobs that tasks.py runs; none of them does anything."""
    jobs: list[list[str]] = []

    def run(command: list[str], cwd: Path) -> int:
        jobs.append([Path(command[0]).stem, *command[1:]])
        return 0

    monkeypatch.setattr(tasks, "run", run)
    monkeypatch.setattr(tasks, "missing_qt_libraries", list)
    return jobs


# --- before anything is there --------------------------------------------------------------------


def test_it_needs_the_standard_library_alone() -> None:
    imports = [node for node in ast.walk(ast.parse(SOURCE)) if isinstance(node, ast.Import)]
    froms = [node for node in ast.walk(ast.parse(SOURCE)) if isinstance(node, ast.ImportFrom)]
    names = {alias.name for node in imports for alias in node.names}
    names |= {node.module or "a relative import" for node in froms}
    assert {name.partition(".")[0] for name in names} <= sys.stdlib_module_names


def test_an_older_python_can_read_it_and_is_told_in_a_sentence() -> None:
    ast.parse(SOURCE, feature_version=(3, 8))
    assert tasks.python_is_too_old((3, 8, 20)) == (
        "SpinLoop needs Python 3.11 or newer, and this is Python 3.8."
    )
    assert tasks.python_is_too_old((3, 11, 0)) is None


def test_help_shows_examples(capsys: pytest.CaptureFixture[str], place: Place) -> None:
    with pytest.raises(SystemExit) as stopped:
        tasks.main(["--help"], place)
    assert stopped.value.code == 0
    assert "python3 tasks.py demo" in capsys.readouterr().out


# --- installing ----------------------------------------------------------------------------------


def test_nothing_is_installed_twice(place: Place, installers: Installers) -> None:
    tasks.install(place, CORE, None)
    tasks.install(place, CORE, None)
    assert len(installers.made_venvs) == len(installers.installs) == 1


def test_what_the_tests_need_covers_what_the_demo_needs(
    place: Place, installers: Installers
) -> None:
    tasks.install(place, DEVELOPMENT, None)
    tasks.install(place, CORE, None)
    assert len(installers.installs) == 1


def test_the_tests_add_their_extras_to_what_the_demo_installed(
    place: Place, installers: Installers
) -> None:
    tasks.install(place, CORE, None)
    tasks.install(place, DEVELOPMENT, None)
    assert [command[-1] for command in installers.installs] == [".", ".[gui,dev]"]
    assert len(installers.made_venvs) == 1


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt"])
def test_changed_requirements_are_installed_again(
    place: Place, installers: Installers, name: str
) -> None:
    tasks.install(place, CORE, None)
    (place.root / name).write_text("changed")
    tasks.install(place, CORE, None)
    assert len(installers.installs) == 2


def test_a_moved_tree_is_installed_again(place: Place, installers: Installers) -> None:
    tasks.install(place, CORE, None)
    moved = Place(place.root.rename(place.root.with_name("moved")))
    tasks.install(moved, CORE, None)
    assert len(installers.installs) == 2


def test_an_environment_of_a_python_too_old_is_made_anew(
    place: Place, installers: Installers, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks.install(place, CORE, None)
    monkeypatch.setattr(tasks, "version_in", lambda place: "3 9")
    tasks.install(place, CORE, None)
    assert len(installers.made_venvs) == 2


def test_an_interrupted_install_starts_over_in_a_new_environment(
    place: Place, installers: Installers, capsys: pytest.CaptureFixture[str]
) -> None:
    installers.pip_fails_with = KeyboardInterrupt()
    assert tasks.main(["demo"], place) == 130
    assert not tasks.is_installed(place, CORE)
    said = capsys.readouterr().err
    assert said.splitlines()[-1].startswith("Stopped by Ctrl-C")
    assert "Traceback" not in said

    installers.pip_fails_with = None
    tasks.install(place, CORE, None)
    assert tasks.is_installed(place, CORE)
    assert len(installers.made_venvs) == 2


def test_a_failed_install_is_tried_again_in_the_same_environment(
    place: Place, installers: Installers
) -> None:
    installers.pip_fails_with = Stop("no network")
    with pytest.raises(Stop):
        tasks.install(place, CORE, None)
    installers.pip_fails_with = None
    tasks.install(place, CORE, None)
    assert tasks.is_installed(place, CORE)
    assert len(installers.made_venvs) == 1


def test_the_versions_installed_are_the_pinned_ones(place: Place, installers: Installers) -> None:
    tasks.install(place, CORE, None)
    command = installers.installs[0]
    assert command[command.index("--constraint") + 1] == "constraints.txt"


def test_the_index_for_pytorch_reaches_pip_wherever_it_stands(
    place: Place, installers: Installers, jobs: list[list[str]]
) -> None:
    for argv in (["--torch-index", "URL", "demo", "-x"], ["demo", "-x", "--torch-index", "URL"]):
        tasks.main(argv, place)
        command = installers.installs[-1]
        assert command[command.index("--extra-index-url") + 1] == "URL"
        assert jobs[-1] == ["spinloop", "demo", "-x"]
        place.stamp.unlink()


@pytest.mark.parametrize("need", [CORE, DEVELOPMENT, CONFORMANCE])
def test_it_says_how_much_goes_where_before_it_downloads(
    place: Place, installers: Installers, capsys: pytest.CaptureFixture[str], need: tasks.Need
) -> None:
    said: list[str] = []
    installers.before_pip = lambda: said.append(capsys.readouterr().err)
    tasks.install(place, need, None)
    for fact in (f"{need.packages} packages", f"{need.download_mb} MB", str(place.venv)):
        assert fact in said[0]


def test_on_linux_it_warns_of_the_large_pytorch_unless_told_where_to_find_the_small(
    place: Place,
    installers: Installers,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    tasks.announce(place, CORE, None)
    assert f"--torch-index {tasks.TORCH_CPU_INDEX}" in capsys.readouterr().err
    tasks.announce(place, CORE, tasks.TORCH_CPU_INDEX)
    assert "CUDA" not in capsys.readouterr().err


@pytest.mark.parametrize("others_first", [False, True])
def test_other_peoples_drivers_get_an_environment_of_their_own(
    place: Place, installers: Installers, jobs: list[list[str]], others_first: bool
) -> None:
    for task in ("conformance", "demo") if others_first else ("demo", "conformance"):
        assert tasks.main([task], place) == 0
    ours, others = place.venv, place.root / ".venv-conformance"
    assert {command[-1] for command in installers.made_venvs} == {str(ours), str(others)}
    told = {command[0]: command[-2:] for command in installers.installs}
    assert told[str(place.tool("python"))] == ["--editable", "."]
    assert told[str(place.peers.tool("python"))] == [
        "--requirement", "conformance/requirements.txt",
    ]  # fmt: skip


def test_the_drivers_environment_is_made_once_and_again_when_its_list_changes(
    place: Place, installers: Installers, jobs: list[list[str]]
) -> None:
    tasks.main(["conformance"], place)
    (place.root / "pyproject.toml").write_text("changed")  # SpinLoop is not installed there
    tasks.main(["conformance"], place)
    assert len(installers.installs) == 1
    (place.root / CONFORMANCE.arguments[-1]).write_text("changed")
    tasks.main(["conformance"], place)
    assert len(installers.installs) == 2
    assert len(installers.made_venvs) == 1


def test_the_drivers_environment_has_no_pytorch_to_warn_of(
    place: Place,
    installers: Installers,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    tasks.install(place.peers, CONFORMANCE, None)
    said = capsys.readouterr().err
    assert str(place.root / ".venv-conformance") in said
    assert "CUDA" not in said


def test_the_list_for_other_peoples_drivers_is_in_the_tree() -> None:
    listed = (Path(tasks.__file__).parent / CONFORMANCE.arguments[-1]).read_text(encoding="utf-8")
    names = [line for line in listed.splitlines() if line and not line.startswith("#")]
    assert "qcodes==0.58.0" in names
    assert "torch" not in names


# --- what is missing -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("output", "sentence"),
    [
        ("ERROR: [Errno 28] No space left on device", "The disk is full"),
        ("OSError: [WinError 112] There is not enough space", "The disk is full"),
        (
            "WARNING: Retrying after connection broken by 'NewConnectionError(...)': /simple/x/\n"
            "ERROR: No matching distribution found for setuptools>=77",
            "check the network",
        ),
        ("ERROR: No matching distribution found for torch>=2.6", "has no torch>=2.6"),
        ("ERROR: something new", "ERROR: something new"),
    ],
)
def test_a_failed_install_says_what_is_missing(tmp_path: Path, output: str, sentence: str) -> None:
    failing = [sys.executable, "-c", f"import sys; print({output!r}); sys.exit(1)"]
    with pytest.raises(Stop, match=sentence):
        tasks.run_installer(failing, tmp_path)


def test_a_full_disk_is_no_traceback(
    place: Place, installers: Installers, capsys: pytest.CaptureFixture[str]
) -> None:
    installers.pip_fails_with = OSError(28, "No space left on device")
    assert tasks.main(["demo"], place) == 1
    said = capsys.readouterr().err
    assert said.splitlines()[-1].startswith("The disk is full")
    assert "Traceback" not in said


def test_a_missing_venv_module_is_named_with_its_debian_package(
    place: Place, installers: Installers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(Stop, match=r"lacks its module venv.*python3-venv"):
        tasks.install(place, CORE, None)
    assert not installers.commands


def test_missing_qt_libraries_are_named_with_their_debian_packages_before_any_download(
    place: Place,
    installers: Installers,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(
        tasks, "loads", lambda library: library not in {"libEGL.so.1", "libGL.so.1"}
    )
    assert tasks.main(["test"], place) == 1
    sentence = capsys.readouterr().err
    assert "libEGL.so.1, libGL.so.1" in sentence
    assert "apt-get install libegl1 libgl1`" in sentence
    assert not installers.commands


def test_qt_libraries_are_a_question_for_linux_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "loads", lambda library: False)
    monkeypatch.setattr(sys, "platform", "win32")
    assert tasks.missing_qt_libraries() == []


# --- the jobs ------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [[], ["--help"], ["--epochs", "3", "--", "-x"]])
def test_the_demo_gets_its_arguments_unchanged(
    place: Place, jobs: list[list[str]], arguments: list[str]
) -> None:
    assert tasks.main(["demo", *arguments], place) == 0
    assert jobs == [["spinloop", "demo", *arguments]]


def test_what_a_driver_leaves_in_the_error_queue_is_a_failure_that_the_report_names() -> None:
    queue = ['-113,"Undefined header"']

    def errors() -> list[str]:
        return [queue.pop() for _ in range(len(queue))]

    tried = trial.Trial("driver", "way", trial.Station("library", "address", errors))
    with tried.step("sweep", "volts"):
        pass
    with tried.step("sweep"):
        trial.ohms_law([0, 1], [0, 1e-3], 1000)
    with tried.step("ramp"):
        trial.ohms_law([0, 1], [0, 1.1e-3], 1000)
    report = trial.table([tried])
    assert "1 of 2" in report
    assert '  sweep: volts: -113,"Undefined header"' in report.splitlines()
    assert "  ramp: 0.0011 A at 1 V through 1000 ohm" in report.splitlines()


def test_a_setting_without_values_to_try_is_a_failure() -> None:
    tried = trial.Trial("driver", "way", trial.Station("library", "address", list))
    tried.complete({"new": trial.Setting(print, int)}, {"gone": 1})
    assert tried.failures == ["settings: new has no values to try; the driver has no gone"]


@pytest.mark.parametrize(
    ("value", "got", "same"),
    [
        ("NORMAL", "NORM", True), ("VOLT:DC", '"CURR:DC","VOLT:DC"', True), ("REP", "MOV", False),
        ("REP", "", False), (True, True, True), (True, False, False), (1e-3, 1.0000001e-3, True),
        (1e-3, 1.1e-3, False), (0.01, "+1.000000E-02", True),
    ],
)  # fmt: skip
def test_what_is_read_back_is_what_was_set(value: object, got: object, same: bool) -> None:
    assert trial.same(value, got, 1e-5) is same


@pytest.mark.parametrize("code", [0, 1])
def test_conformance_runs_in_its_environment_and_gives_its_code(
    place: Place, installers: Installers, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    ran: list[list[str]] = []

    def run(command: list[str], cwd: Path) -> int:
        assert cwd == place.root
        ran.append(command)
        return code

    monkeypatch.setattr(tasks, "run", run)
    assert tasks.main(["conformance", "qcodes"], place) == code
    assert ran == [[str(place.peers.tool("python")), "-m", "conformance", "qcodes"]]


def test_the_tests_run_after_every_check(place: Place, jobs: list[list[str]]) -> None:
    assert tasks.main(["test", "tests/test_tasks.py", "-k", "demo or help"], place) == 0
    assert [job[0] for job in jobs] == ["ruff", "ruff", "mypy", "lint-imports", "python"]
    assert jobs[-1][:4] == ["python", "-m", "pytest", "-n"]
    assert jobs[-1][-3:] == ["tests/test_tasks.py", "-k", "demo or help"]


def test_one_failed_check_hides_no_other_but_stops_the_tests(
    place: Place,
    installers: Installers,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def run(command: list[str], cwd: Path) -> int:
        return {"mypy": 2, "lint-imports": 1}.get(Path(command[0]).stem, 0)

    monkeypatch.setattr(tasks, "run", run)
    monkeypatch.setattr(tasks, "missing_qt_libraries", list)
    assert tasks.main(["test"], place) == 2
    assert capsys.readouterr().err.endswith("Not in order: mypy, lint-imports --no-logo.\n")


def test_the_exit_code_is_that_of_the_job(tmp_path: Path) -> None:
    assert tasks.run([sys.executable, "-c", "raise SystemExit(7)"], tmp_path) == 7


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
def test_a_job_that_a_signal_ended_gives_the_code_that_a_shell_gives(tmp_path: Path) -> None:
    suicide = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    assert tasks.run([sys.executable, "-c", suicide], tmp_path) == 128 + 9


@pytest.mark.skipif(os.name == "nt", reason="Windows cannot send Ctrl-C to one group alone")
def test_ctrl_c_waits_for_the_job_to_end_well_and_gives_one_sentence() -> None:
    job = (
        "try: print('running', flush=True); input()\n"
        "except KeyboardInterrupt: print('at rest', flush=True)"
    )
    program = (
        "import sys, tasks\n"
        "from pathlib import Path\n"
        f"job = [sys.executable, '-c', {job!r}]\n"
        "tasks.TASKS['demo'] = lambda *_: tasks.run(job, Path.cwd())\n"
        "sys.exit(tasks.main(['demo'], tasks.Place(Path.cwd())))\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=Path(tasks.__file__).parent,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # a group of its own, as a terminal would make one
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "running\n"
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate()
    assert out == "at rest\n"
    assert err == "Stopped by Ctrl-C; run the same command to start again.\n"
    assert process.returncode == 130
