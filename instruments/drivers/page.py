"""The page of the reference that tells each driver's allow-list, roles and ranges."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping

from instruments.drivers import DRIVERS, find_driver
from instruments.drivers._ranges import Ranges, Span
from instruments.limits_allowed import READING, WATCHED, Allowed, Effect
from instruments.units import show

_HEAD = """\
# Drivers

Which driver fills which role of a bench file, what it may say to its instrument, and what its
instrument can be set to. This page is made from the drivers; how to add one:
[Add a driver](../how-to/add-a-driver.md).

Whatever is sent to an instrument of the bench, by our drivers, by other people's or by hand, passes
its allow-list: a header that is not on it is refused. Headers stand in their short form; the long
form, another case and a suffix 1 are the same. The effects are those of
[Limits](python.md#limits).

What is left out, and why: whatever switches an output on by itself (`:MEAS…?`, `:CONF…`, waves,
delta mode), goes back to other settings (`*RST`, `*RCL`, `:SYST:PRES`), changes a range or a level
behind the limits (autorange of a source, programs, level with automatic range), sources another
quantity than the role is for, or has no use here. Commands that the simulated instrument knows and
the allow-list leaves out are listed under each driver.
"""
_ANSWERS = {
    WATCHED: "a set value",
    READING: "a reading, with the output as prepared",
    None: "what is measured, queued or identified",
    "closed": "the closed relays",
}


def covers(allowed: Allowed, header: str, *, is_query: bool) -> bool:
    """Whether an allow-list has a short header."""
    if is_query:
        return header in allowed.queries
    return header in allowed.commands or header in allowed.fixed


def _code(words: Iterable[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)


def _commands(allowed: Allowed) -> Iterator[str]:
    yield "| sent | effect |\n|---|---|"
    for effect in Effect:
        headers = sorted(one for one, does in allowed.commands.items() if does is effect)
        if headers:
            yield f"| {_code(headers)} | {effect.name}: {effect.value} |"
    for header, words in sorted(allowed.fixed.items()):
        yield f"| `{header}` | only {' or '.join(f'`{word}`' for word in sorted(words))} |"


def _questions(allowed: Allowed) -> Iterator[str]:
    yield "| asked | the answer says |\n|---|---|"
    by_kind: dict[str, list[str]] = {}
    for header, kind in sorted(allowed.queries.items()):
        words = _ANSWERS.get(kind, f"the {kind}")
        by_kind.setdefault(words, []).append(header)
    for words, headers in by_kind.items():
        yield f"| {_code(f'{header}?' for header in headers)} | {words} |"


def _ranges(driver: type) -> Iterator[str]:
    # Of a module with several drivers, each has its own ranges.
    found = vars(driver) if "ranges" in vars(driver) else vars(sys.modules[driver.__module__])
    for name, one in sorted(found.items()):
        if isinstance(one, Ranges):
            spans = ", ".join(show(span, one.unit) for span in one.spans)
            steps = f"; steps {', '.join(show(step, one.unit) for step in one.steps)}"
            top = f"; each goes to {one.headroom:g} times its name"
            top += "" if one.most == float("inf") else f", {show(one.most, one.unit)} at most"
            what = "source" if name == "ranges" else name.rsplit("_", 1)[0].lower()
            yield f"- {what}: {spans}{top}{steps if one.steps else ''} ({one.source})"
        elif isinstance(one, Span):
            step = f", in steps of {show(one.step, one.unit)}" if one.step else ""
            yield f"- {one.what}: {one}{step} ({one.source})"


def _driver(name: str, left_out: Iterable[str]) -> Iterator[str]:
    entry, driver = DRIVERS[name], find_driver(name)[0]
    zero, off, look = driver.stop_messages()
    sources = {"A": "a current", "V": "a voltage", "": "nothing"}[entry.unit]
    yield f"## {name}"
    yield f"Fills {_code(sorted(entry.roles))}; sources {sources}. `*IDN?` must contain " + (
        f"`{driver.model}`. To the safe state: {_code((*zero, *off))}, then `{look}`."
    )
    yield "\n".join(_commands(driver.allowed))
    yield "\n".join(_questions(driver.allowed))
    ranges = "\n".join(_ranges(driver))
    if ranges:
        yield f"Ranges, refused beyond:\n\n{ranges}"
    rest = _code(left_out)
    yield f"Legal and left out: {rest}." if rest else "Nothing that is legal is left out."


def page(left_out: Mapping[str, Iterable[str]]) -> str:
    """The page, as Markdown.

    Args:
        left_out: driver -> headers that its instrument knows and its allow-list does not have.
    """
    parts = [_HEAD.rstrip()]
    for name in DRIVERS:
        parts += _driver(name, left_out[name])
    return "\n\n".join(parts) + "\n"
