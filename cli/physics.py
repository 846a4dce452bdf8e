"""``spinloop physics``: what the simulated junctions are, and discs to make others from."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import options
from cli.output import print_json, say, table
from cli.whole_file import check_writable, write_whole

if TYPE_CHECKING:
    from sim_backend.llg.element import Element

app = typer.Typer(
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="The simulated junctions' physics: presets, and micromagnetic discs to make others from.",
)

_OPTIONS = {
    "shape": "--shape", "diameter_m": "--diameter", "across_m": "--across",
    "thickness_m": "--thickness", "ms_a_per_m": "--ms", "ku_j_per_m3": "--ku",
    "a_exchange_j_per_m": "--a-exchange", "cell_m": "--cell", "bias_t": "--bz",
}  # fmt: skip
_POWERS = {"": 1, "2": 2, "²": 2, "3": 3, "³": 3}
_UNIT_WIDTH_A = 9e-3  # about that of the demonstration bench
_HEAD = (
    "hz (mT)", "k (mT)", "k2 (mT)", "Δ", "unit width (mT)", "tanh (%)", "sech (%)", "slope (%)",
    "law (%)",
)  # fmt: skip


# -- quantities -----------------------------------------------------------------------------------


def _per_length(text: str, unit: str, power: int) -> float:
    """A quantity such as ``1 MA/m``, ``600 kJ/m^3`` or ``0.84 mJ/m²``, in unit/m^power."""
    from instruments.units import to_si

    whole = f"{unit}/m" + (f"^{power}" if power > 1 else "")
    top, slash, bottom = text.partition("/")
    found = re.fullmatch(r"\s*([a-zA-Zµ]+)\s*(?:\^|\*\*)?\s*([23²³]?)\s*", bottom)
    if not slash or not found or _POWERS[found[2]] != power:
        raise ValueError(f"{text!r} is not in {whole}; write it such as '1 {whole}'")
    return to_si(top, unit) / to_si(f"1 {found[1]}", "m") ** power


def _quantity(option: str, read: Callable[[], float]) -> float:
    try:
        return read()
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None


def _plain(option: str, text: str, unit: str) -> float:
    from instruments.units import to_si

    return _quantity(option, lambda: to_si(text, unit))


def _anisotropy(text: str, thickness_m: float) -> float:
    """J/m³, given per volume or, as an interface's, per area."""

    def read() -> float:
        if re.search(r"/.*[2²]\s*$", text):
            return _per_length(text, "J", 2) / thickness_m
        return _per_length(text, "J", 3)

    return _quantity("--ku", read)


# -- results --------------------------------------------------------------------------------------


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    fields = (f"{row[key] * 1e3:.3g}" for key in ("hz_t", "k_t", "k2_t"))
    far = (f"{row[key] * 100:.2g}" for key in ("tanh_rms", "sech_rms", "slope_rms", "law_rms"))
    return (*fields, f"{row['delta']:.3g}", f"{row['unit_width_t'] * 1e3:.3g}", *far)


def presets(as_json: options.Json = False) -> None:
    """List the presets: effective fields, stability, distance from tanh and sech.

    Distances are RMS over three unit widths to each side, at the preset's temperature; slope is
    m_z² against the curve's own slope, law the planar law's slope from m_x and m_z.

    \b
    Examples:
      spinloop physics presets
      spinloop physics presets --json
    """
    from sim_backend.llg.survey import preset_rows

    rows = preset_rows()
    if as_json:
        print_json({"presets": rows})
        return
    table("presets", ("preset", *_HEAD), [(row["name"], *_cells(row)) for row in rows])
    for row in rows:
        say(f"{row['name']}: {row['summary']}")


def compare(as_json: options.Json = False) -> None:
    """Print the distance of presets and discs from tanh and sech, as a Markdown table.

    Discs of 40 to 100 nm of one film, at a bias of 10 mT and at their best one; under a minute.

    \b
    Examples:
      spinloop physics compare
      spinloop physics compare --json
    """
    from sim_backend.llg.survey import disc_rows, preset_rows

    rows = preset_rows() + disc_rows()
    if as_json:
        print_json({"rows": rows})
        return
    lines = [("junction", *_HEAD), ("---",) * (len(_HEAD) + 1)]
    lines += [(row["name"], *_cells(row)) for row in rows]
    lines.append(("arXiv 2409.02528", *["unpublished"] * 5, *['"quasi-exact"'] * 3, "-"))
    for line in lines:
        typer.echo(f"| {' | '.join(line)} |")


# -- one disc -------------------------------------------------------------------------------------


def _preset_text(layer: Mapping[str, Any], said: Sequence[str]) -> str:
    import yaml

    values = {
        key: float(f"{value:.6g}") if isinstance(value, float) else value
        for key, value in layer.items()
    }
    head = "".join(f"# {line}\n" for line in ("junctions.layer of a sim.yaml", *said))
    return head + yaml.safe_dump(values, sort_keys=False)


def disc(
    diameter: Annotated[str, typer.Option(help="Extent along x, the field's direction.")],
    thickness: Annotated[str, typer.Option(help="Thickness.")] = "1.4 nm",
    ms: Annotated[str, typer.Option(help="Saturation magnetisation.")] = "1 MA/m",
    ku: Annotated[
        str, typer.Option(help="Perpendicular anisotropy, per volume or (J/m^2) per interface.")
    ] = "600 kJ/m^3",
    a_exchange: Annotated[str, typer.Option(help="Exchange stiffness.")] = "15 pJ/m",
    bz: Annotated[str, typer.Option(help="Bias field along z.")] = "10 mT",
    shape: Annotated[str, typer.Option(help="disc, ellipse or square.")] = "disc",
    across: Annotated[
        str | None, typer.Option(help="Extent of an ellipse along y.", show_default=False)
    ] = None,
    cell: Annotated[
        str | None,
        typer.Option(help="Largest cell edge. Default: about 700 cells.", show_default=False),
    ] = None,
    points: Annotated[int, typer.Option(help="Points of the curve, 21 to 2001.")] = 81,
    field_constant: Annotated[
        str | None,
        typer.Option(
            metavar="FIELD/A",
            help="Field per ampere, for the preset, such as '0.6 T/A'. Default: a unit width of "
            "9 mA.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Write the preset (YAML) there.",
            show_default=False,
        ),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Draw the curve there (PNG, SVG or PDF).", show_default=False
        ),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Solve a disc's micromagnetics: its curve, effective fields and distance from tanh.

    \b
    Examples:
      spinloop physics disc --diameter 60nm
      spinloop physics disc --diameter 60nm --bz '20 mT' -o preset.yaml --plot curve.png
      spinloop physics disc --diameter 80nm --shape ellipse --across 50nm --ku '0.85 mJ/m^2' --json
    """
    from sim_backend.llg.disc import Magnet, NotAtRestError
    from sim_backend.llg.disc_response import curve as solve
    from sim_backend.llg.disc_response import free_layer
    from sim_backend.llg.element import DiscError
    from sim_backend.llg.figures import draw_disc
    from sim_backend.llg.ranges import RANGES
    from sim_backend.llg.response import ResponseError, distance, fit_planar, stability
    from sim_backend.llg.survey import row

    if not 21 <= points <= 2001:
        raise typer.BadParameter(f"{points} is not between 21 and 2001", param_hint="--points")
    constant = None
    if field_constant is not None:
        top, _, per = field_constant.partition("/")
        if per.strip() not in ("A", "mA"):
            raise typer.BadParameter(
                f"{field_constant!r} is not in T/A; write it such as '0.6 T/A' or '8 mT/mA'",
                param_hint="--field-constant",
            )
        constant = _plain("--field-constant", top, "T") * (1e3 if per.strip() == "mA" else 1)
        most = RANGES["field_constant_t_per_a"].high
        if not 0 < constant <= most:
            raise typer.BadParameter(
                f"{field_constant} is not above 0 T/A and at most {most:g} T/A",
                param_hint="--field-constant",
            )
    check_writable("--output", output)
    check_writable("--plot", plot)
    try:
        element = _element(shape, diameter, across, thickness, ms, ku, a_exchange, cell)
        bias_t = _plain("--bz", bz, "T")
        magnet = Magnet(element)
        found = solve(magnet, bias_t, points)
        fit = fit_planar(found)
        far = distance(found, fit)
        layer = free_layer(element, fit, constant or far.unit_width_t / _UNIT_WIDTH_A,
                           max(0.0, magnet.uniform_ky_t))  # fmt: skip
    except DiscError as error:
        raise typer.BadParameter(error.says, param_hint=_OPTIONS[error.field]) from None
    except (ResponseError, NotAtRestError) as error:
        raise typer.BadParameter(str(error), param_hint="--diameter") from None

    delta = stability(layer)
    shaped = f"{shape} of {diameter}" + (f" x {across}" if across else "")
    film = f"{thickness}, Ms {ms}, Ku {ku}, A {a_exchange}, bias {bz}"
    files = {}
    if output is not None:
        text = _preset_text(
            layer.model_dump(),
            (f"{shaped}, {film}",
             f"planar law: RMS {fit.rms_x:.2%} in m_x, {fit.rms_z:.2%} in m_z (T = 0)"),
        )  # fmt: skip
        files["preset"] = write_whole("--output", output, lambda p: p.write_text(text, "utf-8"))
    if plot is not None:
        files["plot"] = write_whole("--plot", plot, lambda p: draw_disc(p, found, fit, far))
    if as_json:
        print_json(
            {
                "element": asdict(element), "cells": magnet.cells, "side_m": element.side_m,
                "bias_t": bias_t, "uniform_k_t": magnet.uniform_k_t, "fit": asdict(fit),
                "distance": asdict(far), "delta": delta, "layer": layer.model_dump(),
                "h_t": found.h_t.tolist(), "m_x": found.m_x.tolist(), "m_z": found.m_z.tolist(),
                "files": files,
            }
        )  # fmt: skip
        return
    table(
        f"{shaped}, {film}: {magnet.cells} cells of {element.side_m * 1e9:.3g} nm",
        _HEAD, [_cells(row("", fit.k_t, fit.k2_t, fit.hz_t, delta, far))],
    )  # fmt: skip
    say(f"planar law: RMS {fit.rms_x:.2%} in m_x, {fit.rms_z:.2%} in m_z")
    for kind, path in files.items():
        say(f"{kind}: {path}")


def _element(
    shape: str, diameter: str, across: str | None, thickness: str, ms: str, ku: str,
    a_exchange: str, cell: str | None,
) -> Element:  # fmt: skip
    from sim_backend.llg.element import RANGES, Element, in_range

    thickness_m = _plain("--thickness", thickness, "m")
    in_range("thickness_m", thickness_m, *RANGES["thickness_m"])  # Ku may be divided by it
    return Element(
        shape=shape,  # type: ignore[arg-type]  # Element tells a wrong one
        diameter_m=_plain("--diameter", diameter, "m"),
        across_m=None if across is None else _plain("--across", across, "m"),
        thickness_m=thickness_m,
        ms_a_per_m=_quantity("--ms", lambda: _per_length(ms, "A", 1)),
        ku_j_per_m3=_anisotropy(ku, thickness_m),
        a_exchange_j_per_m=_quantity("--a-exchange", lambda: _per_length(a_exchange, "J", 1)),
        cell_m=None if cell is None else _plain("--cell", cell, "m"),
    )


def figures(
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FOLDER", help="Folder for the pictures.")
    ] = Path("figures"),
    as_json: options.Json = False,
) -> None:
    """Draw the figures of the page on the junction's physics.

    Response and gradient of the presets, hysteresis, wells, noise; about half a minute.

    \b
    Examples:
      spinloop physics figures
      spinloop physics figures -o docs/images
    """
    from sim_backend.llg.figures import FIGURES

    files = []
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise typer.BadParameter(
            f"{output} cannot be made ({error.strerror})", param_hint="--output"
        ) from None
    for name, draw in FIGURES.items():
        files.append(write_whole("--output", output / name, draw))
        if not as_json:
            say(files[-1])
    if as_json:
        print_json({"files": files})


for command in (disc, presets, compare, figures):
    app.command()(command)
