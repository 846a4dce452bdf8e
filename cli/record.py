"""Commands that look at the record: sessions, show, replay."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from cli import options
from cli.output import (
    comparison_tables,
    count,
    errors,
    follow,
    print_json,
    progress_bar,
    say,
    table,
)  # fmt: skip


def sessions(db: options.Record = options.DATABASE, as_json: options.Json = False) -> None:
    """List the recorded sessions.

    \b
    Examples:
      spinloop sessions
      spinloop sessions --db lab.sqlite --json
    """
    from dataclasses import asdict

    from db import sessions as read_sessions

    say(f"record: {db.absolute()}", to=errors)
    found = read_sessions(db)
    if as_json:
        print_json([asdict(one) for one in found])
        return
    table(
        "sessions",
        ("session", "job", "status", "started (UTC)", "messages", "sweeps", "runs", "operator",
         "sample", "note"),
        [
            (s.id, s.kind, s.status, str(s.started)[:19], s.messages, s.sweeps, s.runs, s.operator,
             s.sample, s.note)
            for s in found
        ],
    )  # fmt: skip


def show(
    session: options.Number,
    db: options.Record = options.DATABASE,
    transcript: Annotated[
        bool, typer.Option("--transcript", help="Print every message that was sent.")
    ] = False,
    bench_file: Annotated[
        bool, typer.Option("--bench-file", help="Print the bench file of the session.")
    ] = False,
    check: Annotated[
        bool,
        typer.Option("--check", help="Derive every sweep from the transcript and compare hashes."),
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Show one recorded session.

    \b
    Examples:
      spinloop show 3
      spinloop show 3 --check
      spinloop show 3 --transcript
    """
    from db import session as read_session
    from db import transcript as read_transcript

    say(f"record: {db.absolute()}", to=errors)
    detail = read_session(db, session)
    if bench_file:
        typer.echo(detail.settings["bench_file"])
        return
    if transcript:
        for m in read_transcript(db, session):
            place = "" if m.seq is None else str(m.seq)
            reply = "" if m.reply is None else f" -> {m.reply[:60]!r}"
            error = "" if m.error is None else f" !! {m.error}"
            typer.echo(
                f"{place:>8} {m.bench_time_s:12.6f} s {m.instrument:7} {m.op:6} "
                f"{m.sent[:200]}{reply}{error}"
            )
        return
    report = _describe(detail)
    if check:
        report["sweeps_checked"], report["sweeps_differing"] = _check(db, session)
    if as_json:
        print_json(report)
    else:
        _print_session(report)
    if check and report["sweeps_differing"]:
        raise typer.Exit(1)


def _describe(detail: Any) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        **asdict(detail.info),
        "settings": {k: v for k, v in detail.settings.items() if k != "bench_file"},
        "versions": dict(detail.versions),
        "result": None if detail.result is None else dict(detail.result),
        "calibrations": {c.junction: dict(c.values) for c in detail.calibrations},
        "training": [
            {
                "run": run.id, "task": run.name, "arm": run.arm, "seed": run.seed,
                "fold": run.fold, "weights_sha256": run.weights_sha256,
                "last_accuracy": float(run.epochs["accuracy"][-1])
                if len(run.epochs.get("accuracy", ())) else None,
            }
            for run in detail.runs
        ],
        "events": [{"at": str(e.at), "kind": e.kind, "text": e.text} for e in detail.events],
    }  # fmt: skip


def _check(db: Any, session: int) -> tuple[int, list[str]]:
    """Number of sweeps derived from the transcript, and those whose hash differs."""
    from db import sweeps as read_sweeps
    from db import transcript as read_transcript
    from instruments.derive import derive_sweep
    from instruments.sweep import arrays_sha256

    found = read_sweeps(db, session)
    differing = []
    messages = [m for m in read_transcript(db, session) if m.seq is not None]
    place = {m.seq: index for index, m in enumerate(messages)}
    for number, one in enumerate(found, 1):
        name = f"sweep {number} ({one.junction}, {one.purpose})"
        if not all(seq in place for seq in range(one.first_seq, one.last_seq + 1)):
            differing.append(f"{name}: messages are missing")
            continue
        part = messages[place[one.first_seq] : place[one.last_seq] + 1]
        if arrays_sha256(*derive_sweep(part)) != one.sha256:
            differing.append(name)
    return len(found), differing


def _print_session(report: dict[str, Any]) -> None:
    settings, result = report["settings"], report["result"] or {}
    say(
        f"session {report['id']}: {report['kind']}, {report['status']}, on {settings['bench']} "
        f"(backend: {settings['backend']})",
        style="bold",
    )
    say(f"started {report['started']}, ended {report['ended'] or '-'}")
    for key in ("operator", "sample", "note"):
        if report[key]:
            say(f"{key}: {report[key]}")
    parts = (("messages", "message"), ("sweeps", "sweep"), ("runs", "run"))
    say(", ".join(count(report[key], thing) for key, thing in parts))
    if "wall_seconds" in result:
        comparison_tables(result)
    if report["calibrations"]:
        table(
            "calibrations",
            ("junction", "verdict", "I0 (mA)", "chi²/n"),
            [
                (name, c["verdict"], f"{c['unit_width_a'] * 1e3:.3f}", f"{c['chi2']:.2f}")
                for name, c in report["calibrations"].items()
            ],
        )
    if report["events"]:
        table(
            "events", ("at (UTC)", "kind", "what"),
            [(e["at"][:19], e["kind"], e["text"]) for e in report["events"][:50]],
        )  # fmt: skip
    if "sweeps_checked" in report:
        bad = report["sweeps_differing"]
        say(
            f"{count(report['sweeps_checked'], 'sweep')} derived from the transcript: "
            + ("all hashes agree" if not bad else f"these differ: {', '.join(bad)}"),
            style="red" if bad else "",
        )


def replay(
    session: options.Number,
    db: options.Record = options.DATABASE,
    as_json: options.Json = False,
) -> None:
    """Run a recorded session again from its record; no instrument is touched.

    On the versions and the kind of processor that it was recorded with, every message and every
    weight must be the same, bit for bit. Elsewhere currents may differ by one programming step and
    weights by 1e-6. The exit code is 1 if they differ by more.

    \b
    Examples:
      spinloop replay 1
      spinloop replay 1 --db lab.sqlite --json
    """
    from training.jobs import JOBS, Watch, check, judge_replay
    from training.session import RecordEndedError, replay_session

    say(f"record: {db.absolute()}", to=errors)
    try:
        with replay_session(db, session) as (opened, note), progress_bar() as bar:
            kind = note.detail.info.kind
            check(kind, opened.arguments, opened.bench.file)
            if not note.exact:
                say(
                    "not the versions or processor of the record "
                    f"({'; '.join(note.differences)}): running from the stored sweeps, within one "
                    "programming step",
                    style="yellow", to=errors,
                )  # fmt: skip
            task = bar.add_task(f"session {session}", total=None, figures="")
            watch = Watch(on_progress=follow(bar, task))
            report = JOBS[kind](opened, watch)
    except RecordEndedError as ended:
        if as_json:
            print_json({"session": session, "replay": {"same": True, "sentence": str(ended)}})
        else:
            say(str(ended))
        return
    judged = judge_replay(db, opened, note, report, watch)
    report = {"session": session, **report, "replay": judged}
    if as_json:
        print_json(report)
    else:
        if "wall_seconds" in report:
            comparison_tables(report)
        say(str(judged["sentence"]), style="green" if judged["same"] else "red")
    if not judged["same"]:
        raise typer.Exit(1)
