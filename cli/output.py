"""What the commands print: results on standard output, everything else on standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

errors = Console(stderr=True, highlight=False)
results = Console(highlight=False)
if not results.is_terminal:  # a file or a pipe has no edge to wrap at
    results.width = 160


def print_json(value: Mapping[str, Any] | Sequence[Any]) -> None:
    """One JSON document."""
    sys.stdout.write(json.dumps(value, indent=2, sort_keys=False) + "\n")


def table(title: str, columns: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    """A table."""
    made = Table(title=escape(title), title_justify="left", title_style="bold")
    for column in columns:
        made.add_column(column, overflow="fold")
    for row in rows:
        # Text, not markup: what people write in a note may hold brackets.
        made.add_row(*(cell if isinstance(cell, Text) else Text(str(cell)) for cell in row))
    results.print(made)


def say(text: str, *, style: str = "", to: Console = results) -> None:
    """A line of plain text, brackets and all."""
    to.print(Text(text, style=style), soft_wrap=True)


def count(number: int, thing: str) -> str:
    """``1 sweep``, ``2 sweeps``."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    """A time as people say it: ``1 h 5 min``."""
    if seconds < 100:
        return f"{seconds:.3g} s"
    minutes = seconds / 60
    return (
        f"{minutes:.0f} min" if minutes < 100 else f"{minutes // 60:.0f} h {minutes % 60:.0f} min"
    )


def times(report: Mapping[str, Any]) -> str:
    """Bench time, what it went into with the largest part first, and wall time of a report.

    The parts are there only where the bench keeps account of them: on a simulated one.
    """
    spent: Mapping[str, float] = report.get("bench_spent_s", {})
    whole = sum(spent.values())
    largest = sorted(spent.items(), key=lambda part: -part[1])
    parts = ", ".join(f"{what} {_percent(s / whole)}" for what, s in largest if s > 0)
    text = f"bench time {duration(report['bench_seconds'])}"
    return f"{text}{': ' if parts else ''}{parts}; wall time {duration(report['wall_seconds'])}"


def _percent(part: float) -> str:
    return f"{part:.0%}".replace("%", " %") if part >= 0.005 else "< 1 %"


def progress_bar() -> Progress:
    """A bar with figures and time left; it leaves when it is done."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=10),
        TaskProgressColumn(),
        TextColumn("{task.fields[figures]}"),
        TimeRemainingColumn(compact=True),
        console=errors,
        transient=True,
    )


def follow(bar: Progress, task: TaskID) -> Callable[[Any], None]:
    """What moves the bar along with a training that is under way."""

    def on_progress(now: Any) -> None:
        bar.update(
            task,
            description=now.label,
            completed=now.done,
            total=now.total,
            figures=f"{now.accuracy:.2f} right, {now.reads / 1e6:.2f} M reads, "
            f"bench {duration(now.bench_s)}",
        )

    return on_progress


def _interval(values: Mapping[str, Any]) -> str:
    low, high = values["ci95"] or (None, None)
    return "one seed: none" if low is None else f"{low:.4f} … {high:.4f}"


def comparison_tables(report: Mapping[str, Any]) -> None:
    """A table for each task: accuracy by arm, and the device's lead over it, paired by seed."""
    from training.arms import ARMS
    from training.tasks import TASKS

    for name in TASKS:
        if name not in report:
            continue
        task = report[name]
        rows = []
        for arm in (arm for arm in ARMS if arm in task):
            values, lead = task[arm], task.get("device_minus", {}).get(arm)
            rows.append(
                (arm, values["source"], f"{values['mean']:.4f}", _interval(values),
                 "" if lead is None else f"{lead['mean']:+.4f}",
                 "" if lead is None else _interval(lead))
            )  # fmt: skip
        table(
            f"{name}: {task['protocol']}",
            ("arm", "from", "accuracy", "95 % interval", "device - arm", "95 % interval"),
            rows,
        )
        say(f"intervals: {task['interval']}, n = {len(task['seeds'])}; arms are paired by seed")
    if "gradient_cosine" in report:
        say(
            f"measured gradient against the slope of an independent sweep: cosine "
            f"{report['gradient_cosine']:.4f}, norm ratio {report['gradient_norm_ratio']:.4f}"
        )
    left_out(report)
    say(f"{count(report['reads'], 'read')}; {times(report)}")


def left_out(report: Mapping[str, Any]) -> None:
    """The junctions that could not be used."""
    for junction, reason in report.get("left_out", {}).items():
        say(f"left out: {junction}: {reason}", style="yellow")
