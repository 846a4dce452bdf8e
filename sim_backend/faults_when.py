"""When a fault strikes: what the kinds of faults have in common.

Numbers of messages, pulses and readings count from 1.  Times are bench time.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from sim_backend.llg.ranges import Range


class FaultError(ValueError):
    """A fault that cannot be used; one sentence with key and value."""


def number(low: float, high: float, unit: str = "", open_low: bool = False) -> BeforeValidator:
    return BeforeValidator(Range(low, high, unit, open_low).number)


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{value!r} is no number to count to; write 1 or more")
    return value


def _times(value: Any) -> int | None:
    if value in ("always", None):
        return None
    try:
        return _count(value)
    except ValueError:
        raise ValueError(f"{value!r} is no number of times; write 1 or more, or always") from None


def _header(value: Any) -> str:
    node = r"[A-Za-z]+[0-9]*"
    form = rf"(\*{node}|:?{node}(:{node})*)\??"
    if not isinstance(value, str) or not re.fullmatch(form, value):
        raise ValueError(
            f"{value!r} is no header; write one as manuals do, such as ':INITiate' or '*IDN?'"
        )
    return value


Count = Annotated[int, BeforeValidator(_count)]
Times = Annotated[int | None, BeforeValidator(_times)]
Header = Annotated[str, BeforeValidator(_header)]
Seconds = Annotated[float, number(0, 1e9, "s")]
Share = Annotated[float, number(0, 1)]
Rate = Annotated[float, number(1e-6, 1e3, "Hz")]


class BaseFault(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class OfMessages(BaseFault):
    """Strikes messages to an instrument, or the replies to them."""

    instrument: str = Field(description="name of the instrument")
    message: Count = Field(
        1, description="from this one on, counted among those that fit (reply kinds: replies)"
    )
    header: Header | None = Field(
        None, description="only messages with a unit of this header, in the manual's notation"
    )
    from_s: Seconds = Field(0.0, description="only from this bench time on, s")
    probability: Share = Field(1.0, description="of each message that fits, 0 to 1")
    times: Times = Field(1, description="strikes at most so often; always: without end")
    observations: bool = Field(False, description="observations count and are struck too")


class Begun(BaseFault):
    """Begins once: at a bench time, or with a message from then on."""

    probability: ClassVar[float] = 1.0
    times: ClassVar[int | None] = 1
    from_s: Seconds = Field(0.0, description="begins at this bench time, s")
    message: Count | None = Field(
        None, description="begins with this message, counted among those that fit, from from_s on"
    )
    header: Header | None = Field(
        None, description="counts only messages with a unit of this header"
    )
    observations: bool = Field(False, description="observations count too")

    @property
    def by_message(self) -> bool:
        """Whether it waits for a message."""
        return self.message is not None or self.header is not None


class OfDevice(Begun):
    """Befalls a device: at a time, with a message to an instrument, or with a meter's reading."""

    device: str = Field(description="name of the junction, line or other device")
    instrument: str | None = Field(None, description="whose message or reading it begins with")
    reading: Count | None = Field(
        None, description="begins as the instrument's reading of this number begins"
    )

    @model_validator(mode="after")
    def _one_beginning(self) -> OfDevice:
        if self.by_message and self.reading is not None:
            raise ValueError("it begins with a message or with a reading; leave one of them out")
        waits = self.by_message or self.reading is not None
        if waits and self.instrument is None:
            raise ValueError("a message or reading is counted at an instrument; name it")
        if self.instrument is not None and not waits:
            raise ValueError(
                f"instrument {self.instrument!r} is given without a message, header or reading; "
                "add one of them"
            )
        return self


class OfReadings(BaseFault):
    """Strikes an instrument's readings, by number."""

    instrument: str = Field(description="name of the meter")
    first: Count = Field(1, description="number of the first reading struck, since the bench began")
    last: Count | None = Field(None, description="of the last one; without it: first")

    @property
    def until(self) -> int | None:
        """The last reading's number; None: no end."""
        return self.first if self.last is None else self.last

    @model_validator(mode="after")
    def _in_order(self) -> OfReadings:
        if self.last is not None and self.last < self.first:
            raise ValueError(f"last is {self.last}; it must be at least first, {self.first}")
        return self
