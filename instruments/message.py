"""Messages as the limits read them: cut into units, every header in its short form.

This reading is our own and strict; it knows nothing of how an instrument (or its simulation) reads.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Unit:
    """One command or query: ``:SOUR:VOLT`` with its parameter text."""

    header: str
    is_query: bool
    text: str


def _short(node: str) -> str:
    """SCPI's short form: four letters, or three if the fourth is a vowel (SCPI-1999, 6.2.1)."""
    word = node.rstrip("0123456789")
    if len(word) <= 4:
        return word + node[len(word) :]
    return (word[:3] if word[3] in "AEIOU" else word[:4]) + node[len(word) :]


_short_headers: dict[str, str] = {}


def short_header(header: str) -> str:
    """``SOURCE1:VOLTAGE`` becomes ``:SOUR:VOLT``: short forms, leading colon, no suffix 1."""
    known = _short_headers.get(header)
    if known is None:
        upper = header.upper()
        if upper.startswith("*"):
            known = upper
        else:
            nodes = [_short(node).removesuffix("1") for node in upper.lstrip(":").split(":")]
            known = ":" + ":".join(nodes)
        _short_headers[header] = known
    return known


def units(message: str) -> list[Unit]:
    """The units of a message, with SCPI's path rule: a header without a leading colon goes on
    where the one before it left off."""
    found: list[Unit] = []
    path = ""
    for part in message.split(";"):
        text = part.strip()
        if not text:
            continue
        header, _, parameter = text.partition(" ")
        is_query = header.endswith("?")
        header = header.rstrip("?")
        if not header.startswith(("*", ":")) and path:
            header = f"{path}:{header}"
        if not header.startswith("*"):
            path = header.rpartition(":")[0]
        found.append(Unit(short_header(header), is_query, parameter.strip()))
    return found


def number(text: str) -> float | None:
    """The number in a parameter or reply, None if there is none."""
    try:
        return float(text)
    except ValueError:
        return None
