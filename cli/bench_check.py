"""``spinloop bench check``, ``scan`` and ``new``: looking, and a bench file to begin with."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import options
from cli.bench_session import bench_file
from cli.output import count, errors, print_json, progress_bar, say, table

if TYPE_CHECKING:
    from instruments.checking import Seen
    from instruments.new_file import Question
    from instruments.scanning import Answer

Visa = Annotated[
    str,
    typer.Option(
        metavar="LIBRARY",
        help="VISA library: @py, @spinloop, a file. Default: the installed one.",
        show_default=False,
    ),
]
Serial = Annotated[bool, typer.Option("--serial", help="Ask at serial ports as well.")]
_WORDS = {True: "on", False: "off", None: "-"}


def seen_table(title: str, seen: Iterable[Seen]) -> None:
    """What each instrument says, and what it is allowed."""
    from instruments.units import show

    def amount(value: float | None, unit: str) -> str:
        return "-" if value is None else show(value, unit)

    def row(one: Seen) -> tuple[str, ...]:
        fuse = "V" if one.unit == "A" else "A"
        identity = ",".join(one.identity.split(",")[:2])  # maker and model
        relays = "-" if one.closed is None else ", ".join(one.closed) or "all open"
        return (
            one.role, one.address, identity or "-", _WORDS[one.output] if one.unit else "-",
            amount(one.level, one.unit), amount(one.limit, one.unit), amount(one.range, one.unit),
            amount(one.fuse, fuse), amount(one.fuse_limit, fuse), relays,
        )  # fmt: skip

    table(
        title,
        ("role", "address", "answers", "output", "level", "limit", "range", "compliance",
         "its limit", "relays"),
        map(row, seen),
    )  # fmt: skip


def check(
    bench: options.Bench = None,
    no_guardian: options.NoGuardian = False,
    as_json: options.Json = False,
) -> None:
    """Ask every instrument who it is and how it is set, and say what would stop a run.

    Only questions are sent: nothing is set, reset, cleared or moved. If another program holds the
    bench, nobody is asked. The exit code is 1 if something would stop a run.

    \b
    Examples:
      spinloop bench check
      spinloop bench check --bench bench.yaml --json
    """
    from instruments import checking

    file, folder = bench_file(bench)
    found = checking.check(file, folder, guardian=not no_guardian)
    if as_json:
        print_json({**asdict(found), "passed": not found.problems})
    else:
        seen_table(f"{found.bench} (backend: {found.backend})", found.seen)
        say(f"guardian: {found.guardian}")
        say(f"rehearsal: {found.rehearsal}")
        for remark in found.remarks:
            say(remark, style="yellow")
        for problem in found.problems:
            say(problem, style="red")
        say(f"{count(len(found.problems), 'problem')} that would stop a run"
            if found.problems else "nothing would stop a run")  # fmt: skip
    if found.problems:
        raise typer.Exit(1)


def scan(
    address: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="ADDRESS",
            help="Ask at these; VISA does not find every network address. Default: all that VISA "
            "lists.",
            show_default=False,
        ),
    ] = None,
    visa: Visa = "",
    serial: Serial = False,
    timeout: Annotated[
        float, typer.Option(min=0.05, max=600, metavar="S", help="How long an answer may take, s.")
    ] = 2.0,
    as_json: options.Json = False,
) -> None:
    """List what VISA sees, who answers there, and which driver fits.

    *IDN? is asked, and nothing else is sent; an instrument that another program holds is not asked.

    \b
    Examples:
      spinloop bench scan
      spinloop bench scan --visa @py --serial
      spinloop bench scan TCPIP0::192.168.1.20::hislip0::INSTR --visa @py
    """
    found = _scan(visa, address or [], serial, timeout)
    if as_json:
        print_json([asdict(one) for one in found])
        return
    table(
        "what VISA sees",
        ("address", "answers", "driver", "remark"),
        [(one.address, one.identity or "-", ", ".join(one.drivers) or "-", one.remark or "-")
         for one in found],
    )  # fmt: skip


def _scan(visa: str, addresses: list[str], serial: bool, timeout_s: float) -> list[Answer]:
    from instruments import scanning

    with progress_bar() as bar:
        task = bar.add_task("asking", total=None, figures="")

        def on_each(one: Answer, total: int) -> None:
            bar.update(task, advance=1, total=total, figures=one.address)

        return scanning.scan(visa, addresses, serial=serial, timeout_s=timeout_s, on_each=on_each)


def new(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The bench file to write.")],
    visa: Visa = "",
    serial: Serial = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Take every default and ask nothing.")
    ] = False,
) -> None:
    """Write a bench file to begin with, by asking.

    What VISA sees is offered for each role; quantities want their units. The defaults are careful
    ones. A file that is there is not overwritten.

    \b
    Examples:
      spinloop bench new bench.yaml
      spinloop bench new bench.yaml --visa @py
      spinloop bench new bench.yaml --yes
    """
    from instruments import BenchFileError, new_file

    if file.exists():
        raise BenchFileError(f"{file} is there already and is not overwritten")
    answers = {"visa": visa}
    if not yes:
        found = [one for one in _scan(visa, [], serial, 2.0) if one.drivers]
        for question in new_file.ADDRESSES:
            answers |= _ask_address(question, found)
    while True:
        if not yes:
            answers |= {
                one.key: _ask(one, answers.get(one.key, one.default)) for one in new_file.QUESTIONS
            }
        try:
            text = new_file.bench_text(answers, str(file))
            break
        except BenchFileError as error:
            if yes:
                raise
            say(f"{error}\nonce more:", style="red", to=errors)
    new_file.write_new(file, text)
    say(f"{file} is written; look at it, then run\n  spinloop bench check --bench {file}")


def _ask(question: Question, default: str) -> str:
    from instruments import new_file

    while True:
        answer: str = typer.prompt(question.text, default=default, err=True)
        sentence = new_file.wrong(question, answer)
        if not sentence:
            return answer
        say(sentence, style="red", to=errors)


def _ask_address(question: Question, found: list[Any]) -> dict[str, str]:
    """An address, typed or by the number of one that answers, and its driver."""
    from instruments import new_file

    able = new_file.drivers_for(question.key)
    fitting = [one for one in found if set(one.drivers) & set(able)]
    for number, one in enumerate(fitting, 1):
        say(f"  {number}: {one.address}  {one.identity}", to=errors)
    while True:
        default = "1" if fitting else question.default
        answer: str = typer.prompt(question.text, default=default, err=True)
        if answer.isdecimal() and 1 <= int(answer) <= len(fitting):
            chosen = fitting.pop(int(answer) - 1)
            found.remove(chosen)
            driver = next(name for name in able if name in chosen.drivers)
            return {question.key: chosen.address, f"{question.key}_driver": driver}
        sentence = new_file.wrong(question, answer)
        if not sentence:
            return {question.key: answer}
        say(sentence, style="red", to=errors)
