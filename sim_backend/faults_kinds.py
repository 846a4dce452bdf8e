"""What can go wrong at the bench: the entries of ``faults:`` in ``sim.yaml``, one class a kind."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, Field, TypeAdapter, ValidationError

from sim_backend.faults_when import (
    BaseFault,
    Begun,
    Count,
    FaultError,
    OfDevice,
    OfMessages,
    OfReadings,
    Rate,
    Seconds,
    Share,
    Times,
    number,
)
from sim_backend.llg.ranges import RANGES
from sim_backend.wording import why

# -- messages, replies, the link ------------------------------------------------------------------


class Timeout(OfMessages):
    """A reply that never comes, or comes late and is then found by the next read."""

    kind: Literal["timeout"] = "timeout"
    late_s: Annotated[float, number(0, 1e9, "s", True)] | None = Field(
        None, description="how late it comes, s; without it: never"
    )


class Truncated(OfMessages):
    """A reply that is cut off."""

    kind: Literal["truncated"] = "truncated"
    keep: Annotated[int, Field(ge=0, strict=True)] = Field(description="bytes that come")
    terminated: bool = Field(False, description="whether terminator and END follow them")


class Garbled(OfMessages):
    """Bits that flip on the way; the terminator is spared."""

    kind: Literal["garbled"] = "garbled"
    bits: Count = Field(1, description="how many flip")
    direction: Literal["reply", "message"] = Field(
        "reply", description="reply, or message: on its way to the instrument"
    )


class LostMessage(OfMessages):
    """A message that the instrument never gets."""

    kind: Literal["lost_message"] = "lost_message"


class LostTrigger(BaseFault):
    """A pulse on a trigger line that nobody notices."""

    kind: Literal["lost_trigger"] = "lost_trigger"
    line: Annotated[int, Field(ge=1, le=6, strict=True)] = Field(description="trigger line, 1 to 6")
    pulse: Count = Field(
        1, description="number of the first pulse lost on it, since the bench began"
    )
    times: Times = Field(1, description="so many pulses one after the other; always: all")


class LinkDown(Begun):
    """Every VISA call to the instrument fails; sessions from before stay dead."""

    kind: Literal["link_down"] = "link_down"
    instrument: str = Field(description="name of the instrument")
    for_s: Annotated[float, number(0, 1e9, "s", True)] | None = Field(
        None, description="how long, s; without it: for good"
    )
    error: Literal["conn_lost", "io"] = Field(
        "conn_lost", description="VI_ERROR_CONN_LOST or VI_ERROR_IO"
    )


class PowerCycle(Begun):
    """The instrument goes off and comes back as at power-on."""

    kind: Literal["power_cycle"] = "power_cycle"
    instrument: str = Field(description="name of the instrument")
    off_s: Seconds = Field(0.0, description="how long it is deaf and mute, s")


# -- readings -------------------------------------------------------------------------------------


class Overflow(OfReadings):
    """Readings outside the range."""

    kind: Literal["overflow"] = "overflow"


class NotANumber(OfReadings):
    """Readings that are no number."""

    kind: Literal["nan"] = "nan"


class Compliance(OfReadings):
    """Readings taken at the compliance."""

    kind: Literal["compliance"] = "compliance"


class Spike(OfReadings):
    """Readings with something added."""

    kind: Literal["spike"] = "spike"
    height: Annotated[float, number(-1e12, 1e12)] = Field(
        description="added, in the reading's SI unit"
    )
    probability: Share = Field(
        1.0, description="of each reading; below 1 and without last: from first on without end"
    )

    @property
    def until(self) -> int | None:
        return None if self.last is None and self.probability < 1 else super().until


class Drift(BaseFault):
    """A meter's readings, or a source's levels, that move away with time."""

    kind: Literal["drift"] = "drift"
    instrument: str = Field(description="name of the meter or source")
    of: Literal["readings", "output"] | None = Field(
        None, description="what drifts; without it: readings, or the output of what has none"
    )
    from_s: Seconds = Field(0.0, description="begins at this bench time, s")
    gain_per_s: Annotated[float, number(-1e3, 1e3, "1/s")] = Field(
        0.0, description="relative change per second, 1/s"
    )
    offset_per_s: Annotated[float, number(-1e12, 1e12)] = Field(
        0.0, description="change per second, SI unit/s"
    )


# -- devices --------------------------------------------------------------------------------------


def relay_name(value: Any) -> str:
    """The same; ValueError: the switch has no such relay."""
    if not isinstance(value, str) or not re.fullmatch(r"[12]!([1-9]|[123][0-9]|40)", value):
        raise ValueError(
            f"{value!r} is no relay; write slot!channel, such as '1!11', with slot 1 or 2 and "
            "channel 1 to 40"
        )
    return value


def _parameter(value: Any) -> str:
    part, _, last = str(value).rpartition(".")
    if part not in ("layer", "x", "z") or last not in RANGES:
        raise ValueError(
            f"{value!r} is no parameter of a junction; write one such as 'layer.k_t', 'layer.hz_t' "
            "or 'x.r_parallel_ohm'"
        )
    return str(value)


class Open(OfDevice):
    """A contact that does not touch."""

    kind: Literal["open"] = "open"
    terminal: str | None = Field(None, description="which; without it: all of the device")
    for_s: Seconds | None = Field(None, description="how long, s; without it: for good")


class Short(OfDevice):
    """A barrier, line or resistor that is bridged."""

    kind: Literal["short"] = "short"
    terminal: str | None = Field(None, description="whose barrier; without it: all of the device")
    for_s: Seconds | None = Field(None, description="how long, s; without it: for good")


class StuckRelay(Begun):
    """A relay that no longer moves."""

    kind: Literal["stuck_relay"] = "stuck_relay"
    instrument: str = Field(description="name of the switch; its messages are counted")
    relay: Annotated[str, BeforeValidator(relay_name)] = Field(description="slot!channel")
    closed: bool = Field(description="true: closed whatever it is told; false: open")
    for_s: Seconds | None = Field(None, description="how long, s; without it: for good")


class Switched(OfDevice):
    """A junction's free layer is thrown into a well."""

    kind: Literal["switched"] = "switched"
    to: Literal["other", "up", "down"] = Field("other", description="into which")


class Telegraph(OfDevice):
    """A barrier whose resistance hops up and down again."""

    kind: Literal["telegraph"] = "telegraph"
    terminal: Literal["x", "z"] = Field(description="whose barrier")
    step: Annotated[float, number(-0.99, 100)] = Field(
        description="relative change of the resistance while up (0.02: 2 %)"
    )
    up_hz: Rate = Field(description="rate at which it hops up, Hz")
    down_hz: Rate = Field(description="rate at which it hops down, Hz")


class JunctionDrift(OfDevice):
    """A junction's parameter that moves away, in steps."""

    kind: Literal["junction_drift"] = "junction_drift"
    parameter: Annotated[str, BeforeValidator(_parameter)] = Field(
        description="by its full name, such as layer.k_t or x.r_parallel_ohm"
    )
    per_hour: Annotated[float, number(-1e12, 1e12)] = Field(
        0.0, description="change per hour, in the parameter's unit"
    )
    relative_per_hour: Annotated[float, number(-1e3, 1e3, "1/h")] = Field(
        0.0, description="change per hour, as part of its value at the beginning"
    )
    step_s: Annotated[float, number(1e-3, 1e6, "s")] = Field(
        1.0, description="time between two steps, s"
    )


AnyFault = (
    Timeout | Truncated | Garbled | LostMessage | LostTrigger | LinkDown | PowerCycle | Overflow
    | NotANumber | Compliance | Spike | Drift | Open | Short | StuckRelay | Switched | Telegraph
    | JunctionDrift
)  # fmt: skip
KINDS: dict[str, type[AnyFault]] = {
    one.model_fields["kind"].default: one for one in get_args(AnyFault)
}


def _known(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value
    known = ", ".join(KINDS)
    if not isinstance(value, dict) or "kind" not in value:
        raise ValueError(f"a fault has a kind; write kind: and one of {known}")
    if not isinstance(value["kind"], str) or value["kind"] not in KINDS:
        raise ValueError(f"{value['kind']!r} is no kind of fault; there are {known}")
    return value


#: one entry of the list, for pydantic
Fault = Annotated[AnyFault, Field(discriminator="kind"), BeforeValidator(_known)]
_LIST: TypeAdapter[tuple[AnyFault, ...]] = TypeAdapter(tuple[Fault, ...])


def parse_faults(data: Any) -> tuple[AnyFault, ...]:
    """The list of ``faults:``.

    Raises:
        FaultError: the first mistake.
    """
    if not isinstance(data, list | tuple):
        raise FaultError(f"{data!r} is no list; write one entry a fault, each with its kind")
    try:
        return _LIST.validate_python(tuple(data))
    except ValidationError as error:
        first = error.errors()[0]
        at, *place = first["loc"]
        where = f"number {int(at) + 1}"
        if place:  # the kind, and the key
            own = KINDS[str(place[0])].model_fields
            where += f" ({place[0]})" + "".join(f": {key}" for key in place[1:])
            if first["type"] == "extra_forbidden":
                raise FaultError(f"{where}: no such key; there are {', '.join(own)}") from None
            if first["type"] == "missing":
                raise FaultError(
                    f"{where}: missing; give it ({own[str(place[1])].description})"
                ) from None
        raise FaultError(f"{where}: {why(first)}") from None


#: the whole list, for pydantic
Faults = Annotated[tuple[AnyFault, ...], BeforeValidator(parse_faults)]


def check_names(
    faults: Collection[AnyFault], instruments: Collection[str], devices: Collection[str]
) -> None:
    """Whether everything that is named is there.

    Raises:
        FaultError: the first name that is not.
    """
    for at, fault in enumerate(faults, 1):
        for key, known in (("instrument", instruments), ("device", devices)):
            name = getattr(fault, key, None)
            if name is not None and name not in known:
                raise FaultError(
                    f"number {at} ({fault.kind}): {key}: no {key} named {name!r}; there are "
                    f"{', '.join(known) or 'none'}"
                )
