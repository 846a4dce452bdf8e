"""Program data: the elements of a parameter, and numbers as text.

Source: IEEE 488.2-1992 section 7.7; SCPI-1999 volume 1, chapter 7.  Text is what came as bytes, one
character a byte (latin-1).
"""

from __future__ import annotations

import re

from sim_backend.scpi_errors import ScpiError

#: white space: every control character and the blank (IEEE 488.2 section 7.4.1.2; a newline that
#: has not ended the message is one too)
WHITE = "".join(map(chr, range(0x21)))
_W = r"[\x00-\x20]*"
_MOST_DIGITS, _MOST_EXPONENT, _MOST_LETTERS = 255, 32000, 12  # 7.7.2.4.1, 7.7.1.4, 7.7.3.4
_DECIMAL = re.compile(
    rf"([+-]?)([0-9]*)(?:\.([0-9]*))?(?:{_W}[eE]{_W}([+-]?[0-9]+))?{_W}(/?[A-Za-z][A-Za-z0-9./-]*)?"
)
#: most numbers: nothing that a longer look would refuse
_PLAIN = re.compile(r"[+-]?(?:[0-9]{1,40}\.?[0-9]{0,40}|\.[0-9]{1,40})(?:[eE][+-]?[0-9]{1,3})?")
_RADIX = {"H": (16, "0-9A-F"), "Q": (8, "0-7"), "B": (2, "01")}
#: powers of ten by multiplier (IEEE 488.2 table 7-2)
_POWERS = {"": 0, "EX": 18, "PE": 15, "T": 12, "G": 9, "MA": 6, "K": 3, "M": -3, "U": -6, "N": -9,
           "P": -12, "F": -15, "A": -18}  # fmt: skip
_SPECIAL = re.compile(r"""["'#(),;]""")
_OPENS = re.compile(r"""["'#(]""")


def _string_end(text: str, start: int) -> int:
    """Where a string ends: a doubled quote is a character of it.

    Raises:
        ScpiError: -151, it does not end.
    """
    quote, at = text[start], start + 1
    while (at := text.find(quote, at)) >= 0:
        if text[at + 1 : at + 2] != quote:
            return at + 1
        at += 2
    raise ScpiError(-151)


def _hash_end(text: str, start: int) -> int:
    """Where a block ends; of a number in another base, the end of its ``#``.

    Raises:
        ScpiError: -161, fewer bytes than its head says.
    """
    head = text[start + 1 : start + 2]
    if not ("0" <= head <= "9"):
        return start + 1
    if head == "0":  # indefinite: to the end of the message
        return len(text)
    body = start + 2 + int(head)
    count = text[start + 2 : body]
    if len(count) < int(head) or not re.fullmatch("[0-9]+", count):
        raise ScpiError(-161)
    if body + int(count) > len(text):
        raise ScpiError(-161)
    return body + int(count)


def cut(text: str, at: str) -> tuple[list[str], ScpiError | None]:
    """Cut at a character outside of strings, blocks and parentheses.

    Returns:
        The pieces, and what is wrong with the last one: it goes to the end of the text.
    """
    if _OPENS.search(text) is None:
        return text.split(at), None
    pieces: list[str] = []
    start = look = depth = 0
    try:
        while (found := _SPECIAL.search(text, look)) is not None:
            place = found.start()
            look = place + 1
            match text[place]:
                case '"' | "'":
                    look = _string_end(text, place)
                case "#":
                    # Only where a data element may begin: after white space, a comma, or nothing.
                    if place == 0 or text[place - 1] in WHITE or text[place - 1] == ",":
                        look = _hash_end(text, place)
                case "(":
                    depth += 1
                case ")":
                    depth -= 1
                case character:
                    if character == at and (depth <= 0 or at == ";"):
                        pieces.append(text[start:place])
                        start, depth = look, 0
    except ScpiError as error:
        return [*pieces, text[start:]], error
    return [*pieces, text[start:]], None


def elements(text: str) -> list[str]:
    """The elements of a parameter, white space around them taken off.

    Raises:
        ScpiError: -151 or -161, a string or block that does not end; -103, more behind one.
    """
    if _OPENS.search(text) is None:
        return [piece.strip(WHITE) for piece in text.split(",")]
    pieces, error = cut(text, ",")
    if error is not None:
        raise error
    return [_bare(piece.lstrip(WHITE)) for piece in pieces]


def _bare(piece: str) -> str:
    """An element without the white space behind it, which in a block is data."""
    end = 0
    if piece[:1] in ("'", '"'):
        end = _string_end(piece, 0)
    elif piece[:1] == "#" and piece[1:2] not in _RADIX:
        end = _hash_end(piece, 0)
    if end <= 1:
        return piece.rstrip(WHITE)
    if piece[end:].strip(WHITE):
        raise ScpiError(-103)
    return piece[:end]


def string(text: str) -> str:
    """What stands in a string, quotes off."""
    quote = text[0]
    return text[1:-1].replace(2 * quote, quote)


def block(text: str) -> bytes:
    """The bytes of a block, head off."""
    skip = 2 if text[1] == "0" else 2 + int(text[1])
    return text[skip:].encode("latin-1")


def is_number(text: str) -> bool:
    """Whether an element begins as a number does."""
    return text[:1] in "+-.0123456789" and bool(text)


def check_kind(text: str, *, number: bool = False, word: bool = False) -> None:
    """Refuse a kind of element that has no place here.

    Raises:
        ScpiError: -128, -158, -168 or -178: a number, string, block or expression.
    """
    first = text[:1]
    if first in ("'", '"') and not word:
        raise ScpiError(-158)
    if first == "#" and not (number and text[1:2].upper() in _RADIX):
        raise ScpiError(-168)
    if first == "(":
        raise ScpiError(-178)
    if is_number(text) and not number:
        raise ScpiError(-128)


def number(text: str, unit: str = "") -> float:
    """A number, with its unit or without, in the unit.

    Args:
        text: decimal (``1.5E-3``, ``100 mV``) or ``#H1F``, ``#Q17``, ``#B101``.
        unit: in capitals (``V``, ``A``, ``OHM``, ``HZ``, ``S``); "": none may be given.

    Raises:
        ScpiError: what is wrong with it.
    """
    if _PLAIN.fullmatch(text):
        return float(text)
    check_kind(text, number=True)
    if text[:1] == "#":
        base, digits = _RADIX[text[1].upper()]
        if not re.fullmatch(f"[{digits}]+", text[2:].upper()):
            raise ScpiError(-121)
        if len(text) > _MOST_DIGITS:
            raise ScpiError(-124)
        return float(int(text[2:], base)) if len(text) < 200 else float("inf")
    if not is_number(text):
        raise ScpiError(-104)
    found = _DECIMAL.fullmatch(text)
    if found is None:
        one = re.match(r"[+-]?[0-9.]+([eE][+-]?[0-9]+)?[\x00-\x20]+[+-]?[0-9.]", text)
        raise ScpiError(-103 if one else -121)
    sign, whole, part, exponent, suffix = found.groups(default="")
    if not whole and not part:
        raise ScpiError(-121)
    if len(whole.lstrip("0")) + len(part) > _MOST_DIGITS:
        raise ScpiError(-124)
    if len(exponent.lstrip("+-0")) > 5 or abs(int(exponent or 0)) > _MOST_EXPONENT:
        raise ScpiError(-123)
    power = _power(suffix, unit) if suffix else 0
    # One conversion, so that 100 mV is the same number as 0.1.
    return float(f"{sign}{whole or 0}.{part or 0}e{int(exponent or 0) + power}")


def _power(suffix: str, unit: str) -> int:
    """The power of ten of a suffix.  M is milli, but mega before HZ and OHM (SCPI-1999 volume 1,
    section 7.3)."""
    if not unit:
        raise ScpiError(-138)
    if len(suffix) > _MOST_LETTERS:
        raise ScpiError(-134)
    text = suffix.upper()
    multiplier = text.removesuffix(unit)
    if multiplier == text or multiplier not in _POWERS:
        raise ScpiError(-131)
    return 6 if multiplier == "M" and unit in ("HZ", "OHM") else _POWERS[multiplier]
