"""A model's language as a whole: what its table claims, whether it can be right, how it reads."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator
from typing import Any

from sim_backend.scpi import Row, ScpiError, Table, short
from sim_backend.scpi_numbers import Number, Numbers


def memory_rows(table: Table) -> list[Row]:
    """The rows that nobody has checked against a manual or an instrument."""
    return [row for row in table.rows if "memory" in row.source]


def language(table: Table) -> str:
    """The table in Markdown: header, kind, parameter, value after ``*RST``, source."""
    lines = ["| header | kind | parameter | after `*RST` | source |", "|---|---|---|---|---|"]
    for row in table.rows:
        argument = row.argument
        parameter = argument.describe() if argument is not None else ""
        value = argument.show(row.reset) if argument is not None and row.kind == "setting" else ""
        header = row.header + ("?" if row.kind == "query" else "")
        cells = (f"`{header}`", row.kind, parameter, f"`{value}`" if value else "", row.source)
        lines.append("| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def forms(header: str) -> Iterator[str]:
    """Full headers in capitals: with and without each part that may be left out, all short and all
    long."""
    for text in _choices(header):
        words = re.findall(r"[A-Za-z]+|[^A-Za-z]+", text)
        yield "".join(short(word) if word.isalpha() else word for word in words)
        yield text.upper()


def _choices(header: str) -> Iterator[str]:
    """The header with each bracket left out or not, the outer ones first."""
    start = header.find("[")
    if start < 0:
        yield header
        return
    depth = 0
    for end in range(start, len(header)):
        depth += {"[": 1, "]": -1}.get(header[end], 0)
        if depth == 0:
            break
    inner = _choices(header[start + 1 : end])
    insides = ["", *inner]
    for inside, rest in itertools.product(insides, list(_choices(header[end + 1 :]))):
        yield header[:start] + inside + rest


def problems(table: Table) -> list[str]:
    """What cannot be right about a table, a sentence each."""
    return [sentence for row in table.rows for sentence in _of_row(table, row)]


def _of_row(table: Table, row: Row) -> Iterator[str]:
    if not row.source:
        yield f"{row.header}: no source; name the manual's page, the driver, or memory"
    asked = {"command": (False,), "query": (True,), "setting": (False, True)}[row.kind]
    for form, is_query in itertools.product(forms(row.header), asked):
        try:
            found = table.find(form, is_query)
        except ScpiError as error:
            yield f"{row.header}: {form} is not found ({error})"
            break
        if found is not row:
            yield f"{row.header}: {form} is also {found.header}; one row must claim it"
            break
    argument = row.argument
    if isinstance(argument, Number | Numbers) and not argument.low <= argument.high:
        yield f"{row.header}: lowest {argument.low:g} is above highest {argument.high:g}"
    elif isinstance(argument, Number) and argument.default is not None:
        try:
            argument.within(argument.default)
        except ScpiError:
            if argument.show(argument.default) != argument.show(row.reset) or not argument.special:
                yield f"{row.header}: default {argument.default:g} is not in its range"
    if row.kind == "setting":
        if not row.name or argument is None:
            yield f"{row.header}: a setting has a name and an argument"
        else:
            yield from _of_reset(row, argument.show(row.reset))
    elif not row.do:
        yield f"{row.header}: a {row.kind} names the method that acts"


def _of_reset(row: Row, shown: str) -> Iterator[str]:
    assert row.argument is not None
    try:
        again = row.argument.parse(shown)
    except ScpiError as error:
        if not (isinstance(row.reset, float) and not math.isfinite(row.reset)):
            yield f"{row.header}: reset value {shown} is refused ({error})"
        return
    if not _same(again, row.reset):
        yield f"{row.header}: reset value {row.reset!r} is not one that can be set"


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, float) and isinstance(b, int | float):
        return math.isclose(a, b, rel_tol=1e-6)
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(_same(x, y) for x, y in zip(a, b, strict=True))
    return bool(a == b)
