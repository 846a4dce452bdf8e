"""A YAML text as people get it wrong: where each key stands, and a line for each mistake."""

from __future__ import annotations

from typing import Any

import yaml
from pydantic import ValidationError

Path = tuple[str, ...]


class Mistake(ValueError):
    """One that leaves nothing to look at: where (", line 3") and what."""


def read(text: str) -> tuple[dict[Any, Any], dict[Path, int], list[tuple[Path, int, str]]]:
    """The data of a YAML text, the line of each key, and the keys that are given twice.

    Raises:
        Mistake: it is no YAML, or no table of keys.
    """
    twice: list[tuple[Path, int, str]] = []
    try:
        data = yaml.safe_load(text)
        lines = _lines(yaml.compose(text, Loader=yaml.SafeLoader), (), twice)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "not YAML"
        raise Mistake(f"{where}: {problem}") from None
    except RecursionError:
        raise Mistake(": refers to itself without end") from None
    except Exception as error:  # PyYAML's own, such as a date of the 30th of February
        raise Mistake(f": not YAML ({' '.join(str(error).split())})") from None
    if not isinstance(data, dict):
        raise Mistake(": expected keys such as 'backend' and 'instruments'")
    return data, lines, twice


def _lines(
    node: yaml.Node | None, path: Path, twice: list[tuple[Path, int, str]]
) -> dict[Path, int]:
    """Line number of each key path; the empty path is where the document begins.

    YAML takes the last of two equal keys and says nothing, so they are noted here.
    """
    found: dict[Path, int] = {}
    if node is not None and not path:
        found[path] = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            here = (*path, str(key.value))
            line = key.start_mark.line + 1
            if here in found:
                twice.append((here, line, f"is given twice, first in line {found[here]}"))
                continue
            found[here] = line
            found |= _lines(value, here, twice)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            here = (*path, str(index))
            found[here] = value.start_mark.line + 1
            found |= _lines(value, here, twice)
    return found


def told(error: ValidationError) -> list[tuple[Path, str]]:
    """Key and sentence of each mistake that the models found."""
    found = []
    for one in error.errors():
        path = tuple(str(part) for part in one["loc"])
        text = one["msg"].removeprefix("Value error, ")
        if one["type"] == "extra_forbidden":
            text = "no such key"
        elif one["type"] == "missing":
            text = "is missing"
        elif one["type"] in ("model_type", "dict_type", "model_attributes_type"):
            text = "expected keys below it"
        found.append((path, text))
    return found


def sentence(name: str, path: Path, text: str, lines: dict[Path, int]) -> str:
    """File, line, key and what is wrong: one line."""
    known = path
    while known not in lines and known:
        known = known[:-1]
    where = f", line {lines[known]}" if known in lines else ""
    key = " ".join(".".join(path).split())  # a key may hold a line end
    return f"{name}{where}: {key}: {' '.join(text.split())}"
