"""``spinloop sim``: the simulated bench for other programs, and the language of its instruments."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.output import count, errors, say, table

if TYPE_CHECKING:
    from sim_backend.server import BenchServer

app = typer.Typer(
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="The simulated bench for other programs, and the language that its instruments speak.\n\n"
    "Examples:\n\n"
    "    spinloop sim serve\n\n"
    "    spinloop sim models\n\n"
    "    spinloop sim language keithley2400",
)


@app.command()
def serve(
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="SIM.YAML",
            help="File that describes the bench. Default: the demonstration bench.",
            show_default=False,
        ),
    ] = None,
    host: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS",
            help="Where to listen. With anything but 127.0.0.1 other machines get in: there is no "
            "password.",
        ),
    ] = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option(
            min=0,
            max=65535,
            metavar="N",
            help="Raw-socket port of the first instrument; the others follow. 0: any free ports.",
        ),
    ] = 5025,
    hislip_port: Annotated[
        int,
        typer.Option(
            min=0,
            max=65535,
            metavar="N",
            help="HiSLIP port of all instruments. 0: any free port.",
        ),
    ] = 4880,
    seed: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=2**31 - 1,
            metavar="N",
            help="Seed of junctions and noise. Default: what the file says.",
            show_default=False,
        ),
    ] = None,
    realtime: Annotated[float, typer.Option(metavar="X", help="Bench seconds per second.")] = 1.0,
    virtual: Annotated[
        bool,
        typer.Option(
            "--virtual",
            help="Waiting takes no time: whoever polls an instrument that is busy, or asks it, "
            "moves the bench's clock to the end of what runs.",
        ),
    ] = False,
) -> None:
    """Serve the simulated bench over TCP until Ctrl-C.

    Every instrument has a raw-socket port of its own; all have one HiSLIP port, which knows status
    byte, device clear, trigger and locks as well.

    Examples:

        spinloop sim serve

        spinloop sim serve sim.yaml --seed 3 --realtime 10

        spinloop sim serve --virtual --port 6000 --hislip-port 6100
    """  # fmt: skip
    from sim_backend.opening import bench_of
    from sim_backend.server import BenchServer, ServerError, is_loopback
    from sim_backend.truth import TruthError, truth_name

    if not 0 < realtime < float("inf"):
        raise typer.BadParameter(f"{realtime:g} has to be above 0", param_hint="--realtime")
    changes: dict[str, Any] = {} if seed is None else {"seed": seed}
    try:
        bench = bench_of(file, **changes)
        server = BenchServer(
            bench, host=host, port=port, hislip_port=hislip_port,
            realtime=None if virtual else realtime,
        )  # fmt: skip
        if not is_loopback(host):
            say(
                f"{host} is reached from other machines, and there is no password: whoever reaches "
                "it has the bench",
                style="yellow",
                to=errors,
            )
        pace = "virtual time" if virtual else f"{realtime:g} bench seconds per second"
        asyncio.run(_until_interrupted(server, f"{truth_name(file)}, {pace}"))
    except KeyboardInterrupt:
        say(
            f"ended after {count(server.served_clients, 'connection')}; "
            f"the bench stood at {bench.clock.now_s:.3f} s",
            to=errors,
        )
    except (TruthError, ServerError) as error:
        say(f"spinloop: {error}", style="red", to=errors)
        raise typer.Exit(2) from None


async def _until_interrupted(server: BenchServer, title: str) -> None:
    try:
        await server.start()
        table(
            title,
            ("instrument", "model", "raw socket (both terminations \\n)", "HiSLIP"),
            ((one.name, one.model, one.raw, one.hislip) for one in server.served),
        )
        say('open them with pyvisa.ResourceManager("@py"); Ctrl-C ends', to=errors)
        await asyncio.Event().wait()
    finally:
        await server.close()


@app.command()
def models() -> None:
    """List the instruments that can be simulated.

    Example:

        spinloop sim models
    """
    from sim_backend.models import MODELS

    table(
        "models",
        ("model in sim.yaml", "answers to *IDN?", "commands"),
        ((name, kind.identity, len(kind.table.rows)) for name, kind in sorted(MODELS.items())),
    )


@app.command()
def language(
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="MODEL", help="See 'spinloop sim models'. Default: all.", show_default=False
        ),
    ] = None,
    memory: Annotated[
        bool, typer.Option("--memory", help="Only the rows that are not checked.")
    ] = False,
) -> None:
    """Print a model's command table as Markdown, with the source of each row.

    "memory" as a source means: not checked against a manual.

    Examples:

        spinloop sim language keithley6221

        spinloop sim language keithley2400 > keithley2400.md

        spinloop sim language --memory
    """
    from sim_backend.models import MODELS

    if model is not None and model not in MODELS:
        known = ", ".join(sorted(MODELS))
        raise typer.BadParameter(f"no model {model!r}; there are {known}", param_hint="MODEL")
    names = sorted(MODELS) if model is None else [model]
    typer.echo("\n".join(_section(name, memory) for name in names), nl=False)


def _section(model: str, memory: bool) -> str:
    from sim_backend.models import MODELS
    from sim_backend.scpi import Table
    from sim_backend.scpi_language import language as tabulate
    from sim_backend.scpi_language import memory_rows

    kind = MODELS[model]
    if not memory:
        return f"# {kind.identity}\n\n{tabulate(kind.table)}"
    rows = memory_rows(kind.table)
    return (
        f"## {model}\n\n{len(rows)} of {count(len(kind.table.rows), 'row')}.\n\n"
        f"{tabulate(Table(rows))}"
    )
