"""A bench file to begin with, from answers to a few questions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from instruments.bench_file import parse_bench_file
from instruments.bench_file_rules import canonical
from instruments.drivers import DRIVERS, roles_of
from instruments.errors import BenchFileError
from instruments.units import to_si


@dataclass(frozen=True)
class Question:
    """One thing to ask.

    Attributes:
        key: of the answer.
        text: what is asked.
        default: a careful answer.
        unit: the answer is a quantity in this SI unit; "": a word or a number.
    """

    key: str
    text: str
    default: str
    unit: str = ""


#: the roles that every bench has, with the address that an instrument of this kind comes with
ADDRESSES = (
    Question("field", "address of the current source on the field line", "GPIB0::12::INSTR"),
    Question("x", "address of the source-meter on the x-reference layer", "GPIB0::24::INSTR"),
    Question("z", "address of the source-meter on the z-reference layer", "GPIB0::25::INSTR"),
    Question("switch", "address of the switch", "GPIB0::7::INSTR"),
)
QUESTIONS = (
    Question("name", "name of the bench", "my bench"),
    Question("current", "largest current that the field line stands", "2 mA", "A"),
    Question("step", "largest step of that current", "0.5 mA", "A"),
    Question("resistance", "resistance of the field line, as measured", "50 ohm", "ohm"),
    Question("voltage", "largest voltage that a junction stands", "20 mV", "V"),
    Question("junction_current", "largest current that a junction stands", "10 uA", "A"),
    Question("read_voltage", "voltage with which junctions are read", "10 mV", "V"),
    Question("lowest", "lowest resistance of a junction that is expected", "5 kohm", "ohm"),
    Question("common", "resistance from the junctions' common electrode to low", "6 ohm", "ohm"),
    Question("mains", "mains frequency", "50 Hz", "Hz"),
    Question("settle", "time from a new field to the reading", "2 ms", "s"),
    Question("relay_settle", "time after relays have moved", "20 ms", "s"),
    Question("trigger", "trigger link, ring or fork", "ring"),
    Question("range", "largest current of a calibration", "2 mA", "A"),
    Question("junctions", "number of junctions", "1"),
    Question("channels", "relays of the first junction (x, z, low)", "1!1, 1!11, 1!21"),
)

_TEXT = """\
# Begun by 'spinloop bench new'. Every key: docs/reference/bench-file.md.
name: {name}
backend: real                      # real | sim
{visa}
instruments:
  field:  {{driver: {field_driver}, address: "{field}"}}
  x:      {{driver: {x_driver}, address: "{x}"}}
  z:      {{driver: {z_driver}, address: "{z}"}}
  switch: {{driver: {switch_driver}, address: "{switch}"}}

limits:                            # refused above, never clipped
  field_line: {{current: {current}, step: {step}, resistance: {resistance}}}
  junction:   {{voltage: {voltage}, current: {junction_current}}}

readout:
  voltage: {read_voltage}
  lowest_resistance: {lowest}
  common_resistance: {common}
  fetch: compared                  # GPIB has no checksum

timing:
  nplc: 1
  line_frequency: {mains}
  settle: {settle}
  relay_settle: {relay_settle}
  trigger: {trigger}

calibration: {{range: {range}, points: 41}}

junctions:
{junction_lines}
"""


def wrong(question: Question, answer: str) -> str:
    """What is wrong with an answer, in a sentence; "" if nothing is."""
    try:
        if question.unit:
            to_si(answer, question.unit)
        elif question in ADDRESSES:
            canonical(answer)
        elif question.key == "junctions":
            if not answer.isdecimal() or not 1 <= int(answer) <= 100:
                return f"{answer!r} is no number from 1 to 100"
        elif question.key == "channels":
            _channels(answer, 1)
        elif question.key == "trigger" and answer not in ("ring", "fork"):
            return f"{answer!r} is neither ring nor fork"
        elif question.key == "name" and (not answer.strip() or not answer.isprintable()):
            return "a name is needed"
    except ValueError as error:
        return str(error)
    return ""


def drivers_for(role: str) -> list[str]:
    """The drivers that can fill a role."""
    return [name for name in DRIVERS if role in roles_of(name)]


def _channels(first: str, count: int) -> list[str]:
    """Relays of so many junctions: each one's next to the one's before, on the same card."""
    relays = []
    for part in first.split(","):
        slot, mark, channel = part.strip().partition("!")
        if not (mark and slot.isdecimal() and channel.isdecimal()):
            raise ValueError(f"{part.strip()!r} is no relay, such as 1!11 (slot 1, channel 11)")
        relays.append((slot, int(channel)))
    return [
        ", ".join(f"{slot}!{channel + more}" for slot, channel in relays) for more in range(count)
    ]


def bench_text(answers: Mapping[str, str], name: str = "bench.yaml") -> str:
    """The text of a bench file; it has passed the parser.

    Args:
        answers: by key of :data:`QUESTIONS` and :data:`ADDRESSES`; ``visa``, and the driver of
            each role as ``field_driver`` and so on, where they are not the usual ones.
        name: of the file, for what is wrong.

    Raises:
        BenchFileError: the answers do not go together.
    """
    usual = {f"{one.key}_driver": drivers_for(one.key)[0] for one in ADDRESSES}
    values = usual | {one.key: one.default for one in (*ADDRESSES, *QUESTIONS)} | dict(answers)
    for one in (*ADDRESSES, *QUESTIONS):
        if wrong(one, values[one.key]):
            raise BenchFileError(f"{name}: {one.text}: {wrong(one, values[one.key])}")
    lines = [
        f"  J{number}: {{channels: [{relays}]}}"
        for number, relays in enumerate(_channels(values["channels"], int(values["junctions"])), 1)
    ]
    visa = values.get("visa", "")
    values |= {
        "junction_lines": "\n".join(lines),
        "name": _quoted(values["name"]),
        "visa": f"visa: {_quoted(visa)}\n" if visa else "",
    }
    text = _TEXT.format(**values)
    parse_bench_file(text, name)
    return text


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def write_new(path: Path, text: str) -> None:
    """Write a file that was not there before.

    Raises:
        BenchFileError: it is there, or cannot be written.
    """
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise BenchFileError(f"{path} is there already and is not overwritten") from None
    except OSError as error:
        raise BenchFileError(f"{path} cannot be written ({error.strerror})") from None
