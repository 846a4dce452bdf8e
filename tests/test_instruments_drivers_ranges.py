"""The drivers' ranges, which stand on their own, against those that the simulated instruments have
from their manuals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from instruments import InstrumentError
from instruments.drivers import (
    DRIVERS,
    find_driver,
    keithley2182a,
    keithley2400,
    keithley2450,
    keithley6221,
    yokogawags200,
)
from instruments.drivers._ranges import Ranges, Span
from tests.instrument_bench import MODELS, OneInstrument


class Hand:
    """A simulated instrument as its own commands show it, past limits and drivers."""

    def __init__(self, name: str, folder: Path) -> None:
        self.one = OneInstrument.simulated(name, folder)

    def write(self, *messages: str) -> None:
        for message in messages:
            self.one.sim.write(self.one.model, message)

    def ask(self, question: str) -> str:
        self.write(question)
        reply: bytes = self.one.sim.take(self.one.model, 10_000)[0]
        return reply.decode().strip()

    def takes(self, message: str) -> bool:
        """Whether it obeys without an error."""
        self.write("*CLS", message)
        return self.ask(":SYST:ERR?").startswith(("0,", "+0,"))


# driver, what has to be set first, header of the range, header of the level
SOURCED = [
    ("keithley2400", ":SENS:CURR:PROT 1E-6", ":SOUR:VOLT", keithley2400.SOURCE_V),
    ("keithley2450", ":SOUR:VOLT:ILIM 1E-6", ":SOUR:VOLT", keithley2450.SOURCE_V),
    ("keithley6221", "*CLS", ":SOUR:CURR", keithley6221.SOURCE_A),
    ("yokogawags200", ":SOUR:FUNC CURR", ":SOUR", yokogawags200.SOURCE_A),
    ("yokogawags200_volt", ":SOUR:FUNC VOLT", ":SOUR", yokogawags200.SOURCE_V),
]
MEASURED = [
    ("keithley2400", ":SENS:CURR:PROT 1", ":SENS:CURR", keithley2400.MEASURE_A),
    ("keithley2450", ":SOUR:VOLT:ILIM 1", ":SENS:CURR", keithley2450.MEASURE_A),
    ("keithley2182a", "*CLS", ":SENS:VOLT", keithley2182a.RANGES_V),
]
SPANS = [
    ("keithley2400", ":SENS:CURR:RANG {}", ":SENS:CURR:PROT", keithley2400.COMPLIANCE_A),
    ("keithley2400", "*CLS", ":SENS:CURR:NPLC", keithley2400.NPLC),
    ("keithley2400", "*CLS", ":TRIG:DEL", keithley2400.DELAY_S),
    ("keithley2400", "*CLS", ":TRAC:POIN", keithley2400.POINTS),
    ("keithley2450", "*CLS", ":SOUR:VOLT:ILIM", keithley2450.COMPLIANCE_A),
    ("keithley2450", "*CLS", ":SENS:CURR:NPLC", keithley2450.NPLC),
    ("keithley6221", "*CLS", ":SOUR:CURR:COMP", keithley6221.COMPLIANCE_V),
    ("keithley6221", "*CLS", ":SOUR:LIST:DEL", keithley6221.DELAY_S),
    ("keithley2182a", "*CLS", ":SAMP:COUN", keithley2182a.POINTS),
    ("yokogawags200", "*CLS", ":SOUR:PROT:VOLT", yokogawags200.LIMITER_V),
    ("yokogawags200_volt", "*CLS", ":SOUR:PROT:CURR", yokogawags200.LIMITER_A),
]


@pytest.mark.parametrize(
    ("name", "first", "head", "ranges"), [*SOURCED, *MEASURED], ids=lambda x: x if x else None
)
def test_every_range_of_a_driver_is_one_of_the_instrument(
    name: str, first: str, head: str, ranges: Ranges, tmp_path: Path
) -> None:
    hand = Hand(name, tmp_path)
    hand.write("*RST", first)
    for span in ranges.spans:
        assert hand.takes(f"{head}:RANG {span:.9g}")
        told = float(hand.ask(f"{head}:RANG?"))
        assert span * (1 - 1e-6) <= told <= 1.051 * span  # some tell its end


@pytest.mark.parametrize(("name", "first", "head", "ranges"), SOURCED)
def test_a_range_goes_as_far_as_its_driver_says_and_no_further(
    name: str, first: str, head: str, ranges: Ranges, tmp_path: Path
) -> None:
    hand = Hand(name, tmp_path)
    level = f"{head}:LEV"
    hand.write("*RST", first)
    for span in ranges.spans:
        hand.write(f"{level} 0", f"{head}:RANG {span:.9g}")
        top = ranges.top(span)
        assert hand.takes(f"{level} {top:.9g}"), span
        assert not hand.takes(f"{level} {1.01 * top:.9g}"), span
        assert float(hand.ask(f"{level}?")) == pytest.approx(top, rel=1e-6)


@pytest.mark.parametrize(("name", "first", "head", "ranges"), SOURCED)
def test_a_programming_step_is_one_of_the_instrument(
    name: str, first: str, head: str, ranges: Ranges, tmp_path: Path
) -> None:
    """A level that is a multiple of the step reads back as it is; its replies have seven digits."""
    hand = Hand(name, tmp_path)
    hand.write("*RST", first)
    for span, step in zip(ranges.spans, ranges.steps, strict=True):
        level = round(0.7 * span / step) * step
        hand.write(f"{head}:LEV 0", f"{head}:RANG {span:.9g}", f"{head}:LEV {level:.9g}")
        assert float(hand.ask(f"{head}:LEV?")) == pytest.approx(level, abs=0.51 * step)


@pytest.mark.parametrize(("name", "first", "head", "span"), SPANS)
def test_a_setting_goes_from_end_to_end_and_no_further(
    name: str, first: str, head: str, span: Span, tmp_path: Path
) -> None:
    hand = Hand(name, tmp_path)
    hand.write("*RST")
    for value, beyond in ((span.low, 0.9 * span.low - 0.6), (span.high, 1.1 * span.high + 1)):
        # A compliance must fit the measurement range.
        hand.write(first.format("1E-6"))
        assert hand.takes(f"{head} {value:.9g}"), value
        assert not hand.takes(f"{head} {beyond:.9g}"), beyond


@pytest.mark.parametrize("name", DRIVERS)
def test_every_header_of_an_allow_list_is_one_of_the_instrument(name: str) -> None:
    from sim_backend.models import MODELS as SIMULATED
    from sim_backend.scpi import ScpiError

    table = SIMULATED[MODELS[name][0]].table
    allowed = find_driver(name)[0].allowed
    unknown = []
    asked = [(header, True) for header in allowed.queries]
    for header, is_query in [(h, False) for h in (*allowed.commands, *allowed.fixed)] + asked:
        try:  # the limits leave out a suffix 1
            table.find(header.replace(":CHAN:", ":CHAN1:"), is_query)
        except ScpiError:
            unknown.append(header + "?" * is_query)
    assert unknown == []


def test_ranges_refuse_in_one_sentence_that_names_value_and_range() -> None:
    ranges = Ranges((0.1, 1.0), "V", "here")
    assert ranges.holding(-0.104, "x") == 0.1 and ranges.holding(0.2, "x") == 1.0
    with pytest.raises(InstrumentError, match=r"^x: 1.06 V is above the instrument's largest ran"):
        ranges.holding(1.06, "x")
    with pytest.raises(InstrumentError, match=r"^x: -106 mV is beyond the 100 mV range"):
        ranges.check(-0.106, 0.1, "x")


def test_a_fuse_is_set_to_the_step_below() -> None:
    span = Span("compliance", 1e-3, 0.2, "A", "here", step=1e-3)
    assert [span.below(value, "x") for value in (1e-3, 2.9e-3, 3e-3, 0.2)] == [
        1e-3, 2e-3, 3e-3, 0.2,
    ]  # fmt: skip
    whole: Any = Span("compliance", 1, 30, "V", "here", step=1.0)
    assert whole.below(2.5, "x") == 2.0
