"""What sweeps have cost on this bench, learned from its record.

The transcript has the bench clock after every message, so each second of a recorded sweep belongs
to something: relays, upload of the list, arming, measuring, fetching.  Each of them is a straight
line in the points of a list.  Nothing is taken from a simulator; without a record there are only
the times that the bench file asks for, and they are a lower bound.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np

from db import JSON, DatabaseError, Message, SessionDetail, Sweep, sessions, sweeps, transcript
from db import session as read_session
from instruments import BenchError, BenchFile
from instruments.bench_file import parse_bench_file

#: sweeps of one kind that are looked at, and sweeps in all
_ALIKE, _MOST = 4, 160
#: bytes that a message takes beside its texts: its row, its place in the index, and the
#: observations that come with it (measured on files of the demonstration)
_ROW_BYTES = 90


class Line(NamedTuple):
    """A cost that grows with the points of a list: seconds (or bytes) = base + each·points."""

    base: float = 0.0
    each: float = 0.0

    def of(self, points: float) -> float:
        """For a list of so many points."""
        return self.base + self.each * points


FREE = Line()


@dataclass(frozen=True)
class Costs:
    """What a sweep costs.

    Attributes:
        upload, fetch: of a list, s.
        measure: of a list beside settling and integration, s: trigger latencies, start and end.
        integration: seconds measured per second that the file's integration times come to; 2 or 3
            where the meters insert readings of their own (autozero).
        arm_s: arming and starting a list, s.
        select_s: from one junction to another, s.
        change_s: new settings, s.
        start_s: from opening the bench to the first sweep, s.
        gap_s: between two sweeps, s.
        stored: of a list, bytes of the transcript.
        sweeps: how many the figures come from; 0: a lower bound from the bench file alone.
        reach_a: how far the calibrated ranges on record reach (median), A; None: none there.
        remarks: what the figures do not cover.
    """

    upload: Line = FREE
    fetch: Line = FREE
    measure: Line = FREE
    integration: float = 1.0
    arm_s: float = 0.0
    select_s: float = 0.0
    change_s: float = 0.0
    start_s: float = 0.0
    gap_s: float = 0.0
    stored: Line = FREE
    sweeps: int = 0
    reach_a: float | None = None
    remarks: tuple[str, ...] = ()


@dataclass
class _List:
    """One list of a recorded sweep."""

    points: int
    settle_s: float
    integration_s: float
    parts: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    stored: int = 0


def readings_per_point(file: BenchFile) -> int:
    """Integration times that follow one another at a point: two in a ring, one in a fork."""
    return 2 if file.timing.trigger == "ring" else 1


def lower_bound(file: BenchFile) -> Costs:
    """The times that the bench file asks for, and nothing else."""
    return Costs(select_s=2 * file.timing.relay_settle)


def learn(path: Path, file: BenchFile) -> Costs:
    """Costs from the newest sweeps of this bench in a record; the lower bound if there are none.

    The bench is the same if instruments, trigger topology and mains frequency are.
    """
    lists: list[_List] = []
    selects: list[float] = []
    gaps: list[float] = []
    changes: list[float] = []
    starts: list[float] = []
    reach: list[float] = []
    count = 0
    seen: dict[tuple[JSON, ...], int] = defaultdict(int)
    for detail, its in _sessions(path, file):
        there = parse_bench_file(str(detail.settings["bench_file"]))
        for one in detail.calibrations:
            reach += [abs(float(str(one.values[k]))) for k in ("low_a", "high_a")
                      if k in one.values]  # fmt: skip
        starts.append(its[0].bench_start_s)
        for before, after in pairwise(its):
            same = _settings(before) == _settings(after)
            (gaps if same else changes).append(after.bench_start_s - before.bench_end_s)
        last = ""
        for sweep in its:
            nplc = float(str(sweep.settings.get("nplc", there.timing.nplc)))
            kind = (*_lists(sweep), nplc, sweep.junction == last)
            last = sweep.junction
            if seen[kind] >= _ALIKE or count >= _MOST:
                continue
            seen[kind] += 1
            count += 1
            messages = transcript(path, detail.info.id, sweep.first_seq, sweep.last_seq)
            relays_s, found = _take_apart(sweep, messages, there, nplc)
            lists += found
            if relays_s > 0:
                selects.append(relays_s)
    if not lists:
        return lower_bound(file)
    return _fit(
        lists,
        Costs(
            select_s=median(selects) if selects else 2 * file.timing.relay_settle,
            gap_s=median(gaps) if gaps else 0.0,
            change_s=median(changes) if changes else median(starts),
            start_s=median(starts),
            sweeps=count,
            reach_a=median(reach) if reach else None,
        ),
    )


def _sessions(path: Path, file: BenchFile) -> Iterator[tuple[SessionDetail, list[Sweep]]]:
    """Sessions of this bench with sweeps, the newest first."""
    if not path.exists():
        return
    try:
        infos = sessions(path)
    except DatabaseError:  # a record of another kind: the command that writes it says so
        return
    same = cache(lambda text: _same_bench(text, file))
    for info in reversed(infos):
        if not info.sweeps:
            continue
        detail = read_session(path, info.id)
        if detail.settings.get("backend") == file.backend and same(
            str(detail.settings.get("bench_file", ""))
        ):
            yield detail, sweeps(path, info.id)


def _same_bench(text: str, file: BenchFile) -> bool:
    try:
        other = parse_bench_file(text)
    except BenchError:
        return False
    return (
        other.instruments == file.instruments
        and other.timing.trigger == file.timing.trigger
        and other.timing.line_frequency == file.timing.line_frequency
    )


def _settings(sweep: Sweep) -> tuple[JSON, JSON]:
    return sweep.settings.get("nplc"), sweep.settings.get("voltage_v")


def _lists(sweep: Sweep) -> list[int]:
    found = sweep.settings.get("lists")
    return [int(str(n)) for n in found] if isinstance(found, Sequence) else [sweep.points]


def _take_apart(
    sweep: Sweep, messages: Iterator[Message], file: BenchFile, nplc: float
) -> tuple[float, list[_List]]:
    """Seconds before the first list, and those of each list by what they went into."""
    reading_s = readings_per_point(file) * nplc / file.timing.line_frequency
    lists = [_List(n, n * file.timing.settle, n * reading_s) for n in _lists(sweep)]
    at, last_s, relays_s, fetching = -1, sweep.bench_start_s, 0.0, True
    for m in messages:
        took_s, last_s = m.bench_time_s - last_s, m.bench_time_s
        what = _what(m)
        if what == "upload" and fetching:
            at, fetching = at + 1, False
        elif what == "fetch":
            fetching = True
        if at < 0:
            relays_s += took_s
        elif at < len(lists):
            lists[at].parts[what] += took_s
            lists[at].stored += len(m.sent) + len(m.reply or b"") + _ROW_BYTES
    return relays_s, lists


def _what(m: Message) -> str:
    if m.op == "wait":
        return "measure"
    if m.op == "query" and m.instrument in ("x", "z"):
        return "fetch"
    if m.instrument == "field" and ":LIST:" in m.sent.upper():
        return "upload"
    return "arm"


def _fit(lists: Sequence[_List], rest: Costs) -> Costs:
    """Least squares, each list weighed by its own size, so that errors are in parts of it."""
    points = np.array([one.points for one in lists], dtype=np.float64)
    one_size = bool(np.ptp(points) == 0)

    def line(values: np.ndarray) -> Line:
        if one_size:
            return Line(0.0, float(np.mean(values)) / points[0])
        weight = 1 / np.maximum(values, values.max() * 1e-3 + 1e-12)
        found = np.linalg.lstsq(
            np.stack((np.ones_like(points), points), axis=1) * weight[:, None],
            values * weight, rcond=None,
        )[0]  # fmt: skip
        return Line(float(found[0]), float(found[1]))

    def part(name: str) -> np.ndarray:
        return np.array([one.parts.get(name, 0.0) for one in lists])

    integration_s = np.array([one.integration_s for one in lists])
    left_s = part("measure") - np.array([one.settle_s for one in lists])
    each_s = integration_s / points
    factor = 1.0
    if np.ptp(each_s) > 0.1 * each_s.max():  # several integration times: their share can be told
        columns = np.stack((np.ones_like(points), points, integration_s), axis=1)
        weight = 1 / np.maximum(left_s, 1e-6)
        factor = float(
            np.linalg.lstsq(columns * weight[:, None], left_s * weight, rcond=None)[0][2]
        )
    remarks = []
    if one_size:
        remarks.append(
            f"all lists on record have {int(points[0])} points: other sizes are told less well, "
            "until a sweep of another size is there (spinloop sweep)"
        )
    return Costs(
        upload=line(part("upload")),
        fetch=line(part("fetch")),
        measure=line(left_s - factor * integration_s),
        integration=factor,
        arm_s=float(np.mean(part("arm"))),
        select_s=rest.select_s,
        change_s=rest.change_s,
        start_s=rest.start_s,
        gap_s=rest.gap_s,
        stored=line(np.array([float(one.stored) for one in lists])),
        sweeps=rest.sweeps,
        reach_a=rest.reach_a,
        remarks=tuple(remarks),
    )


def record(costs: Costs) -> Mapping[str, JSON]:
    """As ``--json`` gives it."""
    return {
        "from": f"{costs.sweeps} recorded sweeps" if costs.sweeps else "bench file, lower bound",
        "upload_s": list(costs.upload), "fetch_s": list(costs.fetch),
        "trigger_s": list(costs.measure), "integration_factor": costs.integration,
        "arm_s": costs.arm_s, "select_s": costs.select_s, "change_s": costs.change_s,
        "start_s": costs.start_s, "gap_s": costs.gap_s, "stored_bytes": list(costs.stored),
    }  # fmt: skip
