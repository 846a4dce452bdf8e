"""``spinloop bench set``, ``read`` and ``monitor``: a bench by hand."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import options
from cli.bench_check import seen_table
from cli.bench_session import (
    bench_file,
    by_hand,
    quantity,
    until_the_operator_ends,
)
from cli.output import duration, errors, print_json, progress_bar, say

if TYPE_CHECKING:
    from instruments.manual import Reading

Junction = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Junction of the bench file that the meters are joined to.",
        show_default=False,
    ),
]
_HOUR_S = 3600


def set_level(
    role: Annotated[str, typer.Argument(metavar="ROLE", help="field, x, z or bias.")],
    value: Annotated[
        list[str], typer.Argument(metavar="VALUE", help="The level with its unit, such as 2 mA.")
    ],
    junction: Junction = None,
    seconds: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="S",
            help="Hold it for so long, bench seconds. Default: until Enter or Ctrl-C.",
            show_default=False,
        ),
    ] = None,
    bench: options.Bench = None,
    db: options.Database = options.DATABASE,
    realtime: options.Realtime = None,
    no_guardian: options.NoGuardian = False,
    operator: options.Operator = "",
    sample: options.Sample = "",
    note: options.Note = "",
    as_json: options.Json = False,
) -> None:
    """Set one level, hold it, and bring it back.

    It goes there in steps within the limit, is looked at every second, and at the end goes back to
    zero the same way; then everything is off. No output stays on without this program.

    \b
    Examples:
      spinloop bench set field 2 mA
      spinloop bench set field -2 mA --seconds 10
      spinloop bench set x 20 mV --junction J1 --bench bench.yaml
    """
    from instruments.manual import Hand
    from instruments.units import show

    file, _ = bench_file(bench)
    unit = "V" if role in ("x", "z") else "A"
    if role == "bias" and file.limits.bias is not None:
        unit = file.limits.bias.level.unit
    text = " ".join(value)
    level = quantity(text, unit, "VALUE")
    arguments = {"role": role, "level": level, "unit": unit, "junction": junction,
                 "seconds": seconds}  # fmt: skip
    with by_hand(
        "set", arguments, bench=bench, db=db, sim={"realtime": realtime},
        guardian=not no_guardian, operator=operator, sample=sample, note=note,
    ) as session, progress_bar() as bar:  # fmt: skip
        hand = Hand(session.bench, role, junction)
        task = bar.add_task(f"{role} to {show(level, unit)}", total=None, figures="")

        def on_step(now: float, total: int) -> None:
            bar.update(task, advance=1, total=total, figures=show(now, unit))

        reached = hand.set(level, on_step)
        bar.update(task, visible=False)
        session.result["reached"] = reached
        say(f"{role} is at {show(reached, unit)}", to=errors)
        whole = math.inf if seconds is None else seconds
        with until_the_operator_ends(enter=seconds is None) as end:
            if seconds is None:
                say("Enter or Ctrl-C brings it back to zero and off", to=errors)
            hand.hold(end, whole)
            hand.home()
        number = session.number
    report = {"session": number, "role": role, "level": level, "unit": unit, "reached": reached,
              "database": str(db.absolute())}  # fmt: skip
    if as_json:
        print_json(report)
    else:
        say(f"{role} was at {show(reached, unit)}; everything is at zero and off")
        say(f"session {number} in {report['database']}")


def read(
    role: Annotated[
        str | None,
        typer.Argument(
            metavar="[ROLE]", help="One role of the bench file. Default: all.", show_default=False
        ),
    ] = None,
    junction: Junction = None,
    field: Annotated[
        str, typer.Option(metavar="CURRENT", help="Field-line current of a junction's reading.")
    ] = "0 A",
    bench: options.Bench = None,
    db: options.Database = options.DATABASE,
    no_guardian: options.NoGuardian = False,
    as_json: options.Json = False,
) -> None:
    """Read how instruments are set, or measure.

    Without a junction only questions are sent, as in 'check'. The thermometer is read. With a
    junction the bench is armed, both layers are read once, and everything is off again; what is
    measured is recorded.

    \b
    Examples:
      spinloop bench read
      spinloop bench read field --bench bench.yaml
      spinloop bench read x --junction J1 --field 1mA
      spinloop bench read thermometer --json
    """
    from instruments import BenchError

    file, folder = bench_file(bench)
    roles = [name for name, _ in file.connections()]
    if role is not None and role not in roles:
        raise BenchError(f"the bench file has no role {role!r}; there are {', '.join(roles)}")
    if junction is not None:
        level_a = quantity(field, "A", "--field")
        _read_junction(junction, level_a, bench, db, no_guardian, as_json)
        return
    if role == "thermometer":
        _read_thermometer(bench, db, no_guardian, as_json)
        return
    from instruments.checking import look

    seen, problems = look(file, folder)
    shown = [one for one in seen if role in (None, one.role)]
    if as_json:
        print_json({"seen": [asdict(one) for one in shown], "problems": list(problems)})
    else:
        seen_table(file.name, shown)
    for problem in problems:
        say(problem, style="red", to=errors)
    if problems:
        raise typer.Exit(1)


def _read_junction(
    junction: str, level_a: float, bench: Any, db: Any, no_guardian: bool, as_json: bool
) -> None:
    from instruments.manual import read_junction

    arguments = {"junction": junction, "level_a": level_a}
    with by_hand("read", arguments, bench=bench, db=db, guardian=not no_guardian) as session:
        found = read_junction(session.bench, junction, level_a)
        session.result = {"readings": [asdict(found)]}
        number = session.number
    if as_json:
        print_json({"session": number, "junction": junction, **asdict(found)})
    else:
        say(f"{junction}: {_line(found)}")


def _read_thermometer(bench: Any, db: Any, no_guardian: bool, as_json: bool) -> None:
    with by_hand("read", {}, bench=bench, db=db, guardian=not no_guardian) as session:
        assert session.bench.thermometer is not None
        kelvin = session.bench.thermometer.temperature_k()
        session.result = {"temperature_k": kelvin}
        number = session.number
    if as_json:
        print_json({"session": number, "temperature_k": kelvin})
    else:
        say(f"{kelvin:.2f} K")


def _line(one: Reading) -> str:
    def ohm(value: float | None) -> str:
        return "no current" if value is None else f"{value / 1e3:.4f} kohm"

    doubt = "" if one.valid else "  in compliance or above the range"
    return (
        f"{one.at_s:10.3f} s  {one.level_a * 1e3:8.3f} mA  x {ohm(one.r_x_ohm)}  "
        f"z {ohm(one.r_z_ohm)}{doubt}"
    )


def monitor(
    junction: Annotated[str, typer.Argument(help="Junction of the bench file.")],
    field: Annotated[
        str, typer.Option(metavar="CURRENT", help="Field-line current, held all the while.")
    ] = "0 A",
    rate: Annotated[
        float,
        typer.Option(min=0.1, max=1000, metavar="HZ", help="Readings a second of bench time."),
    ] = 1.0,
    number: Annotated[
        int | None,
        typer.Option(
            "--count", min=1, max=10000, metavar="N",
            help="So many readings. Default: those of an hour.", show_default=False,
        ),
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option(
            min=0, metavar="S", help="For so long, in place of a count.", show_default=False
        ),
    ] = None,
    bench: options.Bench = None,
    db: options.Database = options.DATABASE,
    seed: options.Seed = None,
    realtime: options.Realtime = None,
    no_guardian: options.NoGuardian = False,
    operator: options.Operator = "",
    sample: options.Sample = "",
    note: options.Note = "",
    as_json: options.Json = False,
) -> None:  # fmt: skip
    """Read both layers of a junction again and again, at one field-line current.

    This arms the bench. The field stays where it is between readings; at the end, and at the first
    Ctrl-C, it goes back to zero within the step limit and everything is off. All is recorded.

    \b
    Examples:
      spinloop bench monitor J1 --count 10
      spinloop bench monitor J1 --field 2mA --rate 5 --seconds 60 --bench bench.yaml
    """
    from instruments.manual import monitor as run_monitor

    level_a = quantity(field, "A", "--field")
    if number is not None and seconds is not None:
        raise typer.BadParameter("give a count or seconds, not both", param_hint="--seconds")
    wanted = number or max(1, min(10000, round((_HOUR_S if seconds is None else seconds) * rate)))
    arguments = {"junction": junction, "level_a": level_a, "count": wanted, "rate_hz": rate}
    with by_hand(
        "monitor", arguments, bench=bench, db=db, sim={"seed": seed, "realtime": realtime},
        guardian=not no_guardian, operator=operator, sample=sample, note=note,
    ) as session, progress_bar() as bar:  # fmt: skip
        task = bar.add_task(junction, total=wanted, figures="")

        def on_reading(one: Reading) -> None:
            bar.update(task, advance=1, figures=f"bench {duration(one.at_s)}")
            if not as_json:
                say(_line(one))

        with until_the_operator_ends(enter=False) as end:
            found = run_monitor(
                session.bench, junction, level_a, count=wanted, rate_hz=rate,
                on_reading=on_reading, end=end,
            )  # fmt: skip
        session.result = {"readings": [asdict(one) for one in found]}
        number = session.number
    if as_json:
        print_json({
            "session": number, "junction": junction, "database": str(db.absolute()),
            "readings": [asdict(one) for one in found],
        })  # fmt: skip
    else:
        say(f"session {number} in {db.absolute()}")
