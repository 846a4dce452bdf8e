"""The text of a ``sim.yaml`` as plain data, refused where YAML takes what nobody means."""

from __future__ import annotations

from typing import Any

import yaml

_LONGEST = 200  # characters of a text: no name or address is longer
_LARGEST = 1e300  # of a number: what is larger is no float


class _Loader(yaml.SafeLoader):
    """Refuses a key that is given twice: YAML itself lets the last one win, silently."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in seen:
                    line = key.start_mark.line + 1
                    raise ValueError(f"{key.value}: is given twice, again in line {line}; drop one")
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def read_yaml(text: str) -> Any:
    """The data in a YAML text.

    Raises:
        ValueError: it is not YAML, or has something that no value of a bench can be; one sentence.
    """
    try:
        data = yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        raise ValueError(f"not a YAML file ({' '.join(str(error).split())})") from None
    except RecursionError:
        raise ValueError("not a YAML file (it is nested too deep)") from None
    _check(data, "", ())
    return data


def _check(node: Any, place: str, above: tuple[int, ...]) -> None:
    """Refuse what is too long, too large or endless, with its place."""
    where = place.lstrip(".") or "the file"
    if id(node) in above:
        raise ValueError(f"{where}: it is a part of itself; write it out")
    if isinstance(node, dict):
        for key, value in node.items():
            if not isinstance(key, str):
                raise ValueError(f"{where}: {key!r:.40} is no key; write a name, quoted if need be")
            _check(key, place, above)
            _check(value, f"{place}.{key}", (*above, id(node)))
    elif isinstance(node, list):
        for at, value in enumerate(node):
            _check(value, f"{place}.{at}", (*above, id(node)))
    elif isinstance(node, str) and len(node) > _LONGEST:
        raise ValueError(f"{where}: {node[:20]!r}... has {len(node)} characters; write fewer")
    elif isinstance(node, int) and abs(node) > _LARGEST:
        raise ValueError(f"{where}: a whole number so large cannot be used; write a smaller one")
