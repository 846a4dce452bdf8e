"""Whether a message has a certain header."""

from __future__ import annotations


def names(header: str, message: str) -> bool:
    """Whether a unit of a message has this header.

    Args:
        header: as manuals write it, capitals being the short form.  It is a part of the message's
            header: from its start if it begins with a colon, otherwise anywhere.  With a question
            mark only questions fit.
        message: units joined by semicolons, by the path rule of SCPI-1999 volume 1, section 6.2.4.
    """
    wanted = header.removesuffix("?").split(":")
    anchored = header.startswith((":", "*"))
    nodes = [node for node in wanted if node]
    path: list[str] = []
    for unit in _units(message):
        text = unit.split(None, 1)[0].upper()
        asks = text.endswith("?")
        found = [node for node in text.rstrip("?").split(":") if node]
        if not text.startswith("*"):
            if not text.startswith(":"):
                found = path + found
            path = found[:-1]
        if header.endswith("?") and not asks:
            continue
        starts = range(1 if anchored else len(found) - len(nodes) + 1)
        if any(_fits(nodes, found[at : at + len(nodes)]) for at in starts):
            return True
    return False


def _units(message: str) -> list[str]:
    """Cut at semicolons outside quotes; blank ones left out."""
    units, quote = [""], ""
    for character in message:
        if character == ";" and not quote:
            units.append("")
            continue
        if character in "'\"" and quote in ("", character):
            quote = "" if quote else character
        units[-1] += character
    return [unit for unit in units if unit.strip()]


def _fits(wanted: list[str], found: list[str]) -> bool:
    return len(wanted) == len(found) and all(
        _node(w) & _node(f.upper(), whole=True) for w, f in zip(wanted, found, strict=True)
    )


def _node(word: str, whole: bool = False) -> set[str]:
    """The spellings of a node, in capitals; the suffix 1 may be left out (section 6.2.5.2)."""
    short = "".join(c for c in word if not c.islower())
    return {one.upper().removesuffix("1") for one in ([word] if whole else [word, short])}
