"""What the commands print: results on standard output, everything else on standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

errors = Console(stderr=True, highlight=False)
results = Console(highlight=False)
if not results.is_terminal:  # a file or a pipe has no edge to wrap at
    results.width = 160


def print_json(value: Mapping[str, Any] | Sequence[Any]) -> None:
    """One JSON document."""
    sys.stdout.write(json.dumps(value, indent=2, sort_keys=False) + "\n")


def table(title: str, columns: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    """A table."""
    made = Table(title=title, title_justify="left", title_style="bold")
    for column in columns:
        made.add_column(column, overflow="fold")
    for row in rows:
        made.add_row(*(str(cell) for cell in row))
    results.print(made)


def duration(seconds: float) -> str:
    """A time as people say it: ``1 h 5 min``."""
    if seconds < 100:
        return f"{seconds:.3g} s"
    minutes = seconds / 60
    return (
        f"{minutes:.0f} min" if minutes < 100 else f"{minutes // 60:.0f} h {minutes % 60:.0f} min"
    )


def progress_bar() -> Progress:
    """A bar with figures and time left."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TaskProgressColumn(),
        TextColumn("{task.fields[figures]}"),
        TimeRemainingColumn(compact=True, elapsed_when_finished=True),
        console=errors,
    )


def _interval(values: Mapping[str, Any]) -> str:
    if len(values["by_seed"]) < 2:
        return "one seed: no interval"
    return f"{values['ci95'][0]:.4f} … {values['ci95'][1]:.4f}"


def comparison_tables(report: Mapping[str, Any]) -> None:
    """A table for each task: accuracy by arm."""
    for name in ("circles", "iris"):
        if name not in report:
            continue
        task = report[name]
        rows = [
            (arm, values["source"], f"{values['mean']:.4f}",
             _interval(values))
            for arm, values in task.items()
            if isinstance(values, dict) and "mean" in values
        ]  # fmt: skip
        table(
            f"{name}: {task['protocol']}",
            (
                "arm",
                "activations",
                "accuracy",
                f"95 % ({task['interval']}, n = {len(task['seeds'])})",
            ),
            rows,
        )
    if "gradient_cosine" in report:
        results.print(
            f"measured gradient against the slope of an independent sweep: cosine "
            f"{report['gradient_cosine']:.4f}, norm ratio {report['gradient_norm_ratio']:.4f}"
        )
    for junction, reason in report.get("left_out", {}).items():
        results.print(f"[yellow]left out:[/] {junction}: {reason}")
    results.print(
        f"{report['reads']:,} reads, bench time {duration(report['bench_seconds'])}, "
        f"wall time {duration(report['wall_seconds'])}"
    )
