"""Types of parameters: each turns text into a value, or raises, and shows a value as a reply does.

``describe`` is what stands in the table of a model's language.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Protocol

from sim_backend import scpi_data
from sim_backend.scpi_data import WHITE, elements
from sim_backend.scpi_errors import ScpiError


class Argument(Protocol):
    """What a row takes."""

    def parse(self, text: str) -> Any:
        """The value; raises ScpiError."""

    def show(self, value: Any) -> str:
        """The value as a reply has it."""

    def describe(self) -> str:
        """What may be given, in words."""


def short(word: str) -> str:
    """The short form: ``VOLT`` of ``VOLTage``."""
    return "".join(c for c in word if c.isupper() or not c.isalpha())


def is_word(text: str, word: str) -> bool:
    """Whether a text is a word in its long or short form."""
    return text.upper() in (word.upper(), short(word))


def one(text: str) -> str:
    """The only element of a parameter.

    Raises:
        ScpiError: -108, there are more.
    """
    found = elements(text)
    if len(found) > 1:
        raise ScpiError(-108)
    return found[0]


@dataclass(frozen=True)
class Boolean:
    """ON, OFF, 1, 0, and the words in ``extra`` (such as ONCE) that leave the state as it is."""

    extra: tuple[str, ...] = ()

    def parse(self, text: str) -> bool | str:
        word = one(text).upper()
        if word in self.extra:
            return word
        if word in ("ON", "1"):
            return True
        if word in ("OFF", "0"):
            return False
        scpi_data.check_kind(word, number=True)
        raise ScpiError(-140)

    def show(self, value: Any) -> str:
        return "1" if value else "0"

    def describe(self) -> str:
        return ", ".join(("ON", "OFF", *self.extra))


@dataclass(frozen=True)
class Choice:
    """One of several words, each in its long or short form; the value is the short form."""

    words: tuple[str, ...]

    def parse(self, text: str) -> str:
        found = elements(text)
        if len(found) > 1 + max(word.count(",") for word in self.words):
            raise ScpiError(-108)
        given = ",".join(found)
        if given[:1] in ("'", '"'):
            given = scpi_data.string(given)
        for known in self.words:
            if is_word(given, known):
                return short(known)
        numbers = any(scpi_data.is_number(word) for word in self.words)
        scpi_data.check_kind(given, number=numbers)
        raise ScpiError(-224)

    def show(self, value: Any) -> str:
        return str(value)

    def describe(self) -> str:
        return " or ".join(self.words)


@dataclass(frozen=True)
class Words:
    """Several words of a set, comma-separated."""

    words: tuple[str, ...]

    def parse(self, text: str) -> tuple[str, ...]:
        choice = Choice(self.words)
        return tuple(choice.parse(part) for part in elements(text))

    def show(self, value: Any) -> str:
        return ",".join(value)

    def describe(self) -> str:
        return "some of " + ", ".join(self.words)


@dataclass(frozen=True)
class Channels:
    """A channel list, ``(@1!2, 1!12)``, or ALL (None); the value is a list of ``slot!channel``."""

    allow_all: bool = False

    def parse(self, text: str) -> list[str] | None:
        text = text.strip(WHITE)
        if self.allow_all and text.upper() == "ALL":
            return None
        one_channel = r"\s*[0-9]{1,4}!\s*[0-9]{1,4}\s*"
        if re.fullmatch(rf"\(@(?:{one_channel}(?:,{one_channel})*|\s*)\)", text) is None:
            raise ScpiError(-102)
        return [f"{int(a)}!{int(b)}" for a, b in re.findall(r"([0-9]+)!\s*([0-9]+)", text)]

    def show(self, value: Any) -> str:
        return f"(@{','.join(value)})"

    def describe(self) -> str:
        return "(@slot!channel, …)" + (" or ALL" if self.allow_all else "")


@dataclass(frozen=True)
class Text:
    """Whatever stands there, as it stands."""

    def parse(self, text: str) -> str:
        elements(text)  # strings and blocks have their ends
        return text.rstrip(WHITE)

    def show(self, value: Any) -> str:
        return str(value)

    def describe(self) -> str:
        return "text"


@dataclass(frozen=True)
class String:
    """A quoted string of at most ``most`` characters; the value is what stands between."""

    most: int = 255

    def parse(self, text: str) -> str:
        text = one(text)
        if text[:1] not in ("'", '"'):
            scpi_data.check_kind(text)
            raise ScpiError(-148 if text[:1].isalpha() else -104)
        value = scpi_data.string(text)
        if len(value) > self.most:
            raise ScpiError(-223)
        return value

    def show(self, value: Any) -> str:
        return '"' + str(value).replace('"', '""') + '"'

    def describe(self) -> str:
        return f"string of up to {self.most} characters"


@dataclass(frozen=True)
class Block:
    """An arbitrary block, definite (``#15hello``) or to the end of the message (``#0hello``)."""

    most: int

    def parse(self, text: str) -> bytes:
        text = one(text)
        if text[:1] != "#" or not text[1:2].isdigit():
            raise ScpiError(-104)
        value = scpi_data.block(text)
        if len(value) > self.most:
            raise ScpiError(-223)
        return value

    def show(self, value: Any) -> str:
        count = str(len(value))
        return f"#{len(count)}{count}{value.decode('latin-1')}"

    def describe(self) -> str:
        return f"block of up to {self.most} bytes"


@dataclass(frozen=True)
class Several:
    """Several parameters, the last ``optional`` of which may be left out (None in the value).

    ``empty``: a last one without text counts as left out (memory: a driver sends such messages).
    """

    parts: tuple[Argument, ...]
    optional: int = 0
    empty: bool = False

    def parse(self, text: str) -> tuple[Any, ...]:
        found = elements(text)
        if self.empty and len(found) > len(self.parts) - self.optional and not found[-1]:
            found = found[:-1]
        if len(found) > len(self.parts):
            raise ScpiError(-108)
        if len(found) < len(self.parts) - self.optional or not all(found):
            raise ScpiError(-109)
        values = [part.parse(given) for part, given in zip(self.parts, found, strict=False)]
        return (*values, *[None] * (len(self.parts) - len(found)))

    def show(self, value: Any) -> str:
        shown = zip(self.parts, value, strict=False)
        return ",".join(part.show(one_value) for part, one_value in shown if one_value is not None)

    def describe(self) -> str:
        sure = len(self.parts) - self.optional
        words = [part.describe() for part in self.parts]
        return "; ".join(word if i < sure else f"[{word}]" for i, word in enumerate(words))
