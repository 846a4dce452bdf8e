"""``spinloop bench off`` and ``reset``: the safe state from anywhere, and the way out of a trip."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from cli import options
from cli.bench_session import bench_file
from cli.output import errors, print_json, say

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Anyway = Annotated[
    bool, typer.Option("--anyway", help="Although the instruments do not report all off.")
]


def off(bench: options.Bench = None, as_json: options.Json = False) -> None:
    """Bring everything to zero and off, at once.

    A program on this computer that holds the bench is asked to end, which switches off; then, and
    also if it does not end within 5 s, the same is sent from here, and every source is asked
    whether it is off. Relays open last. Nothing is asked before. The exit code is 1 if something
    did not work: look at the instruments then.

    \b
    Example:
      spinloop bench off --bench bench.yaml
    """
    from instruments.off import switch_off

    file, _ = bench_file(bench)
    found = switch_off(file)
    if as_json:
        print_json({**asdict(found), "off": not found.problems})
    else:
        for sentence in found.said:
            say(sentence)
        if not found.problems and file.backend == "real":
            say("every output is at zero and off, every relay is open")
        for problem in found.problems:
            say(f"NOT confirmed: {problem}", style="red")
    if found.problems:
        raise typer.Exit(1)


def reset(bench: options.Bench = None, yes: Yes = False, anyway: Anyway = False) -> None:
    """Say why the bench tripped, and let it be used again.

    Look at the instruments before. Where the safe state was not confirmed they are asked as well,
    and an output that is on, or does not say, is in the way. The exit code is 1 if nothing was
    reset.

    \b
    Examples:
      spinloop bench reset --bench bench.yaml
      spinloop bench reset --bench bench.yaml --yes
    """
    from instruments.checking import held_to_look, not_off
    from instruments.state_folder import addresses, clear_latch, find_latch

    file, _ = bench_file(bench)
    own = addresses(file)
    with held_to_look(file):
        latch = find_latch(own) if file.backend == "real" else None
        if latch is None:
            say(f"{file.name} has not tripped")
            return
        say(str(latch).partition("; look at the instruments")[0])
        problems = not_off(file) if latch.problems and not anyway else ()
        if problems:
            say("; ".join(problems), style="red", to=errors)
            say("bring it to zero and off ('spinloop bench off'), or give --anyway", to=errors)
            raise typer.Exit(1)
        if not yes and not typer.confirm("have you looked at the instruments?", err=True):
            raise typer.Exit(1)
        clear_latch(own)
    say(f"{file.name} may be used again")
