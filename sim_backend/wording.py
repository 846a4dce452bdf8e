"""Pydantic's mistakes in the words of a person who reads a file of the bench."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

#: what to say in place of pydantic's words, by the type of its error
_WORDS = {
    "extra_forbidden": "there is no such key",
    "missing": "is missing; it is required",
    "model_attributes_type": "{input} is not a group of keys",
    "model_type": "{input} is not a group of keys",
    "dict_type": "{input} is not a group of keys",
    "list_type": "{input} is not a list",
    "literal_error": "{input} is not one of {expected}",
    "union_tag_invalid": "kind {tag} is not one of {expected_tags}",
    "union_tag_not_found": "kind is missing; it is required",
    "int_parsing": "{input} is not a whole number",
    "int_type": "{input} is not a whole number",
    "float_parsing": "{input} is not a number; write it in SI units, without the unit",
    "float_type": "{input} is not a number; write it in SI units, without the unit",
    "greater_than": "{input} is out of range; it must be above {gt}",
    "greater_than_equal": "{input} is out of range; it must be at least {ge}",
    "less_than_equal": "{input} is out of range; it must be at most {le}",
    "finite_number": "{input} is not a finite number",
    "string_type": "{input} is not a name or a text",
    "tuple_type": "{input} is not a pair of terminals, such as [gs.hi, coil.a]",
    "too_long": "{input} has too many entries; write {max_length}",
    "bool_type": "{input} is neither true nor false",
    "bool_parsing": "{input} is neither true nor false",
}
_LONGEST = 60  # characters of a value


def why(mistake: ErrorDetails) -> str:
    """What is wrong with a value, without its key."""
    words = _WORDS.get(mistake["type"])
    if words is None:
        return mistake["msg"].removeprefix("Value error, ")
    given = repr(mistake["input"])
    given = given if len(given) <= _LONGEST else f"{given[: _LONGEST - 3]}..."
    return words.format(input=given, **mistake.get("ctx", {}))
