"""Quantities on the command line."""

from __future__ import annotations

import typer


def ampere(option: str, text: str) -> float:
    """A current such as ``20 mA`` (or ``-20mA``) given to an option, in A."""
    from instruments.units import to_si

    try:
        return to_si(text, "A")
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None
