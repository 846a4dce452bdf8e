"""``spinloop bench``: look at a bench, set it by hand, rehearse, switch off; and the selftest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import bench_check, bench_manual, bench_off, bench_rehearse, options
from cli.output import count, errors, print_json, progress_bar, say, table

if TYPE_CHECKING:
    from sim_backend.models.electrical import ElectricalInstrument
    from sim_backend.scpi import Row
    from sim_backend.selftest import Trial

app = typer.Typer(
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Look at a bench, set it by hand, rehearse on resistors, switch off.\n\n"
    "Examples:\n\n"
    "    spinloop bench check --bench bench.yaml\n\n"
    "    spinloop bench set field 2 mA --bench bench.yaml\n\n"
    "    spinloop bench off --bench bench.yaml\n\n"
    "    spinloop bench selftest GPIB0::24::INSTR --model keithley2400",
)
for command in (
    bench_check.check, bench_check.scan, bench_check.new, bench_rehearse.rehearse,
    bench_manual.read, bench_manual.monitor, bench_off.off, bench_off.reset,
):  # fmt: skip
    app.command()(command)
app.command("set", context_settings={"ignore_unknown_options": True})(bench_manual.set_level)
_STYLES = {"understood": "green", "not tried": "dim"}


class VisaLine:
    """A VISA resource as the selftest needs it.

    Args:
        resource: an open message-based PyVISA resource.
        timeout_s: how long a reply may take, s.
    """

    def __init__(self, resource: Any, timeout_s: float) -> None:
        self._resource = resource
        resource.timeout = timeout_s * 1e3
        resource.write_termination = "\n"
        if resource.resource_name.startswith("ASRL") or resource.resource_name.endswith("SOCKET"):
            resource.read_termination = "\n"  # nothing else ends a reply there

    def write(self, message: str) -> None:
        self._resource.write(message)

    def read(self) -> str | None:
        from pyvisa.constants import StatusCode
        from pyvisa.errors import VisaIOError

        try:
            reply: bytes = self._resource.read_raw()
        except VisaIOError as error:
            if error.error_code != StatusCode.error_timeout:
                raise
            return None
        return reply.decode("latin-1").rstrip("\r\n")


def _kind(model: str) -> type[ElectricalInstrument]:
    from sim_backend.models import MODELS

    if model not in MODELS:
        known = ", ".join(sorted(MODELS))
        raise typer.BadParameter(f"no model {model!r}; there are {known}", param_hint="--model")
    return MODELS[model]


@app.command()
def selftest(
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="VISA address.")],
    model: Annotated[
        str, typer.Option(metavar="MODEL", help="Its model; see 'spinloop sim models'.")
    ],
    visa: Annotated[
        str,
        typer.Option(
            metavar="LIBRARY",
            help="VISA library: @py, @spinloop, sim.yaml@spinloop, a file. Default: the installed "
            "one.",
            show_default=False,
        ),
    ] = "",
    every: Annotated[
        bool, typer.Option("--all", help="Try rows with a checked source as well.")
    ] = False,
    commands: Annotated[
        bool,
        typer.Option(
            "--act",
            help="Send the commands that have no effect while everything is off, and put back what "
            "they change. Outputs have to be off and at zero, relays open.",
        ),
    ] = False,
    timeout: Annotated[
        float, typer.Option(min=0.05, max=600, metavar="S", help="How long a reply may take, s.")
    ] = 2.0,
    as_json: options.Json = False,
) -> None:
    """Check the rows whose source is "memory" on a real instrument, without changing anything.

    Only questions are sent: nothing is set, reset or cleared. Errors that are in the queue before
    are read and reported. With --act commands are sent too, those that are named before. The exit
    code is 1 if a row that was tried is not understood, or a change could not be put back.

    Examples:

        spinloop bench selftest GPIB0::24::INSTR --model keithley2400

        spinloop bench selftest GPIB0::12::INSTR --model keithley6221 --visa @py --all --json

        spinloop bench selftest GPIB0::12::INSTR --model keithley6221 --act

        spinloop bench selftest GPIB0::24::INSTR --model keithley2400 --visa @spinloop
    """
    kind = _kind(model)
    from pyvisa import Error, ResourceManager

    from sim_backend.selftest import SelftestError

    try:
        manager = ResourceManager(visa)
        resource = manager.open_resource(address)
        try:
            report = _report(VisaLine(resource, timeout), model, kind, every, commands)
        finally:
            resource.close()
    except (SelftestError, Error, OSError, ValueError) as error:
        say(f"spinloop: {address}: {error}", style="red", to=errors)
        raise typer.Exit(2) from None
    report = {"address": address, "model": model, **report}
    if as_json:
        print_json(report)
    else:
        _show(report)
    if not report["passed"]:
        raise typer.Exit(1)


def _report(
    line: VisaLine, model: str, kind: type[ElectricalInstrument], every: bool, commands: bool
) -> dict[str, Any]:
    """All that the selftest finds out; warnings are said at once."""
    from sim_backend.scpi_language import memory_rows
    from sim_backend.selftest import SelftestError, drain_errors, same_model
    from sim_backend.selftest_acts import acts

    before = drain_errors(line)  # first: they are somebody else's
    line.write("*IDN?")
    identity = line.read()
    if identity is None:
        raise SelftestError("*IDN? is not answered")
    if before:
        say(f"errors found in the queue, now read away: {'; '.join(before)}", to=errors)
    fits = same_model(identity, kind.identity)
    if not fits:
        say(
            f"{identity!r} answers, not {','.join(kind.identity.split(',')[:2])!r}",
            style="yellow", to=errors,
        )  # fmt: skip
    rows = list(kind.table.rows) if every else memory_rows(kind.table)
    known = acts(model, rows)
    if commands and not fits:
        raise SelftestError("commands are sent only to the model that they are for; none was sent")
    trials = _trials(line, model, kind, rows, known if commands else {})
    counts = Counter(trial.outcome for trial in trials)
    left = [sentence for trial in trials for sentence in trial.left]
    silent = [
        row for row, trial in zip(rows, trials, strict=True)
        if row.kind == "command" and trial.outcome == "not tried"
    ]  # fmt: skip
    return {
        "identity": identity,
        "identity_fits": fits,
        "errors_before": before,
        "passed": set(counts) <= {"understood", "not tried"} and not left,
        "counts": dict(counts),
        "commands_not_sent": len(silent),
        "commands_for_act": len([row for row in silent if row.header in known]),
        "not_put_back": left,
        "rows": [asdict(trial) for trial in trials],
    }


def _trials(
    line: VisaLine,
    model: str,
    kind: type[ElectricalInstrument],
    rows: Sequence[Row],
    known: Mapping[str, tuple[str, ...]],
) -> list[Trial]:
    """Each row's trial, in order.

    Args:
        known: commands to send, by header.
    """
    from sim_backend.selftest import try_row
    from sim_backend.selftest_acts import Settings, act, check_quiet, why_not_sent

    settings: Settings | None = None
    if known:
        check_quiet(line, model)
        settings = Settings(line, kind.table.rows)
        sent = "; ".join(message for both in known.values() for message in both)
        say(f"sends, with everything off: {sent}", to=errors)
    trials: list[Trial] = []
    with progress_bar() as bar:
        task = bar.add_task("asking", total=len(rows), figures="")
        for row in rows:
            if settings is not None and row.kind == "command" and row.header in known:
                check_quiet(line, model)
                trial = act(line, row, known[row.header], settings)
            else:
                trial = try_row(line, row)
                if row.kind == "command" and (reason := why_not_sent(model, row)):
                    trial = replace(trial, remark=reason)
            trials.append(trial)
            bar.update(task, advance=1, figures=row.header)
    return trials


def _show(report: dict[str, Any]) -> None:
    from rich.text import Text

    fits = {True: "yes", False: "no", None: "-"}
    table(
        f"{report['address']}: {report['identity']}",
        ("header", "source", "outcome", "reply", "in range", "remark"),
        [
            (row["header"], row["source"],
             Text(row["outcome"], style=_STYLES.get(row["outcome"], "red")), row["reply"] or "-",
             fits[row["fits"]], row["remark"] or "-")
            for row in report["rows"]
        ],
    )  # fmt: skip
    counts = ", ".join(f"{number} {outcome}" for outcome, number in report["counts"].items())
    say(f"{count(len(report['rows']), 'row')}: {counts or 'nothing to check'}")
    if report["commands_not_sent"]:
        number = report["commands_for_act"]
        say(
            f"{count(report['commands_not_sent'], 'command')} not sent"
            + (f"; --act sends {number} of them, with everything off" if number else "")
        )
    for sentence in report["not_put_back"]:
        say(f"not put back: {sentence}", style="red", to=errors)
