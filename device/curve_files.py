"""Response curves in files: our own (``.npz``), and readings as CSV with units in the header."""

from __future__ import annotations

import csv
import re
import zipfile
from dataclasses import fields
from pathlib import Path

import numpy as np

from device.curve import CurveError, ResponseCurve, make_curve
from instruments.units import to_si

_FORMAT = 1
_HEAD = re.compile(r"\s*(?P<name>[^()\[\]]*?)\s*(?:[(\[](?P<unit>[^)\]]*)[)\]])?\s*")
#: what a prefix may stand before; everything else counts as it is written
_UNITS = ("A", "V", "T", "ohm", "S", "A/m")


def save_curve(path: str | Path, curve: ResponseCurve) -> None:
    """Write a curve, readings and all, as ``.npz`` (NumPy's format, no pickle).

    Raises:
        OSError: the file cannot be written.
    """
    with Path(path).open("wb") as file:  # a name without .npz stays as it is
        np.savez(
            file, allow_pickle=False, format=np.array(_FORMAT),
            **{one.name: np.array(getattr(curve, one.name)) for one in fields(curve)},
        )  # fmt: skip


def load_curve(path: str | Path) -> ResponseCurve:
    """Read a curve that :func:`save_curve` wrote; nothing in the file is executed.

    Raises:
        CurveError: not such a file, or of a later format.
        OSError: no such file, or it cannot be read.
    """
    try:
        with Path(path).open("rb") as file, np.load(file, allow_pickle=False) as found:
            number = int(found["format"])
            if number != _FORMAT:
                raise CurveError(f"{path}: format {number} is not {_FORMAT}; update SpinLoop")
            values = {one.name: found[one.name] for one in fields(ResponseCurve)}
    except (KeyError, ValueError, TypeError, EOFError, zipfile.BadZipFile) as error:
        if isinstance(error, CurveError):
            raise
        raise CurveError(f"{path}: this is no curve that SpinLoop has saved") from None
    return ResponseCurve(
        **{name: value if value.ndim else value.item() for name, value in values.items()}
    )


def write_csv(path: str | Path, curve: ResponseCurve) -> None:
    """Write a curve's readings as CSV, one header line ``x (unit),y (unit)``.

    Raises:
        OSError: the file cannot be written.
    """
    with Path(path).open("w", encoding="utf-8", newline="") as file:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow((f"x ({curve.x_unit})", f"y ({curve.y_unit})"))
        lines.writerows((repr(float(x)), repr(float(y))) for x, y in _pairs(curve))


def _pairs(curve: ResponseCurve) -> zip[tuple[float, float]]:
    return zip(curve.raw_x, curve.raw_y, strict=True)


def read_csv(
    path: str | Path, x: str | None = None, y: str | None = None, noise_y: float | None = None
) -> ResponseCurve:
    """A curve from a CSV file, whoever wrote it.

    The first line names the columns, each with its unit in brackets: ``current (mA),R_x (kohm)``.
    Lines that begin with # are left out; the separator is a comma, a semicolon or a tab.  Values
    come out in SI units.

    Args:
        path: the file.
        x, y: names of the columns; None: the first and the second.
        noise_y: as for :func:`device.curve.make_curve`, in the SI unit.

    Raises:
        CurveError: one sentence with file, line or column.
        OSError: the file cannot be read.
    """
    text = Path(path).read_text(encoding="utf-8-sig")
    lines = [
        (number, line)
        for number, line in enumerate(text.splitlines(), 1)
        if line.strip() and not line.lstrip().startswith("#")
    ]
    if len(lines) < 2:
        raise CurveError(f"{path}: a header and readings are needed")
    head = lines[0][1]
    separator = next((one for one in ("\t", ";", ",") if one in head), ",")
    titles = [_title(path, one) for one in next(csv.reader([head], delimiter=separator))]
    columns = [_column(path, titles, name, place) for place, name in enumerate((x, y))]
    values: list[list[float]] = [[], []]
    for number, line in lines[1:]:
        cells = next(csv.reader([line], delimiter=separator))
        for into, column in zip(values, columns, strict=True):
            try:
                into.append(float(cells[column]))
            except (IndexError, ValueError):
                what = f"{cells[column]!r} is no number" if column < len(cells) else "it is short"
                raise CurveError(
                    f"{path}, line {number}, column {titles[column][0]!r}: {what}"
                ) from None
    (_, times_x, x_unit), (title, times_y, y_unit) = (titles[column] for column in columns)
    return make_curve(
        np.array(values[0]) * times_x, np.array(values[1]) * times_y, noise_y,
        x_unit=x_unit, y_unit=y_unit, source=f"{Path(path).name}, {title}",
    )  # fmt: skip


def _title(path: str | Path, cell: str) -> tuple[str, float, str]:
    """Name of a column, what its values are multiplied by, and the SI unit."""
    found = _HEAD.fullmatch(cell)
    if found is None or not found["name"]:
        raise CurveError(f"{path}: {cell!r} is no header; write one such as 'current (mA)'")
    unit = (found["unit"] or "1").strip()
    if unit in ("", "1", "-"):
        return found["name"], 1.0, "1"
    for si in _UNITS:
        try:
            return found["name"], to_si(f"1 {unit}", si), si
        except ValueError:
            continue
    raise CurveError(
        f"{path}: column {found['name']!r} has the unit {unit!r}; write one of A, V, T, ohm, S, "
        "A/m, with a prefix, or none"
    )


def _column(
    path: str | Path, titles: list[tuple[str, float, str]], name: str | None, place: int
) -> int:
    names = [title[0] for title in titles]
    if name is None:
        if place >= len(names):
            raise CurveError(f"{path}: there is one column, {names[0]!r}; two are needed")
        return place
    if name not in names:
        raise CurveError(f"{path}: no column {name!r}; there are {', '.join(names)}")
    return names.index(name)
