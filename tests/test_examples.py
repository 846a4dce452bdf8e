"""Every example runs, in a folder of its own, and leaves nothing there that it does not name."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
PRINTS = {  # what the last lines say
    "first_sweep.py": r"20\.000 +\d+\.\d{3} +\d+\.\d{3}\nbench time \d\.\d\d s\n$",
    "foreign_driver.py": r"10\.0 mA: \d+\.\d\d kohm at the x-reference layer\n$",
    "guarded_driver.py": r"105 mA is above the limit of .*\nthe source is at 0 A\n$",
    "live_neurons.py": r"accuracy (0\.9\d|1\.00) on the training points; \d+ points measured",
}


def run(code: list[str], folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", *code],
        cwd=folder, capture_output=True, text=True, timeout=100, encoding="utf-8",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_example_is_known_here() -> None:
    assert [path.name for path in EXAMPLES] == sorted(PRINTS)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_an_example_is_short_runs_and_leaves_no_file(example: Path, tmp_path: Path) -> None:
    assert len(example.read_text(encoding="utf-8").splitlines()) < 40
    assert re.search(PRINTS[example.name], run([str(example)], tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_the_page_on_python_runs_from_top_to_bottom(tmp_path: Path) -> None:
    page = (ROOT / "docs/how-to/use-from-python.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 5
    output = run(["-c", "\n".join(blocks)], tmp_path)
    assert "readings" in output
    assert "my network complete" in output
    # With write-ahead logging SQLite may leave two more beside it.
    assert {path.name.partition("-")[0] for path in tmp_path.iterdir()} == {"lab.sqlite"}


def test_the_careful_bench_file_of_the_guide_opens_and_sweeps(tmp_path: Path) -> None:
    page = (ROOT / "docs/how-to/real-bench.md").read_text(encoding="utf-8")
    text = re.search(r"^```yaml\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL)
    assert text is not None
    (tmp_path / "bench.yaml").write_text(text[1].replace("backend: real", "backend: sim"))
    code = (
        "from instruments import Bench\n"
        "with Bench.open('bench.yaml') as bench:\n"
        "    data = bench.sweep('J1', [-1e-3, 0.0, 1e-3])\n"
        "print(data.valid.all())"
    )
    assert run(["-c", code], tmp_path) == "True\n"
