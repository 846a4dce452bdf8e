"""What every driver keeps, on the simulated bench.  The same file tries one on hardware, with
nothing connected to it: ``--driver keithley2400 --address GPIB0::24::INSTR``, and ``--visa=@py``
where another VISA library than the installed one is meant."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest

from instruments import InstrumentError, StoppedError
from instruments.drivers import DRIVERS
from instruments.message import units
from tests.instrument_bench import OneInstrument


class Case(NamedTuple):
    """How a driver is tried.

    Attributes:
        prepare: arguments of ``prepare`` that are safe with nothing connected.
        beyond: each alone makes ``prepare`` refuse.
        set: the method that sets its level; "": it has none.
        small, large: a level on the prepared range, and one beyond it, A or V.
        also: further methods with arguments, safe with nothing connected.
    """

    prepare: Mapping[str, Any] = MappingProxyType({})
    beyond: tuple[dict[str, Any], ...] = ()
    set: str = ""
    small: float = 0.0
    large: float = 0.0
    also: tuple[tuple[str, tuple[Any, ...]], ...] = ()


CASES = {
    "keithley2182a": Case(
        prepare={"range_v": 0.1, "nplc": 1},
        beyond=({"range_v": 121.0}, {"nplc": 0.001}, {"nplc": 100}),
        also=(("read", (1,)), ("read", (5,)), ("abort", ())),
    ),
    "keithley2400": Case(
        prepare={
            "compliance_a": 6e-6, "nplc": 1, "trigger_in": 1, "trigger_out": 2, "delay_s": 0.0
        },
        beyond=(
            {"compliance_a": 1.2}, {"compliance_a": 1e-10}, {"nplc": 20}, {"nplc": 0.001},
            {"delay_s": 1000.0}, {"delay_s": -1.0},
        ),
        set="set_voltage", small=0.02, large=0.22,
        also=(("arm", (3,)), ("abort", ()), ("sweep", ([0.0, 0.01, 0.0], 10.0))),
    ),
    "keithley2450": Case(
        prepare={"largest": 1.0, "compliance": 1e-2},
        beyond=({"largest": 211.0}, {"compliance": 1.2}, {"compliance": 1e-10}, {"nplc": 20}),
        set="set_level", small=0.1, large=2.2,
        also=(("read", (1,)), ("read", (5,)), ("limited", ()), ("abort", ()),
              ("sweep", ([0.0, 0.1, 0.0],))),
    ),
    "keithley6221": Case(
        prepare={
            "largest_a": 1e-3, "compliance_v": 0.5, "delay_s": 2e-3, "pulse_after_delay": True,
            "trigger_in": 3, "trigger_out": 1,
        },
        beyond=(
            {"largest_a": 0.2}, {"compliance_v": 106.0}, {"compliance_v": 0.05},
            {"delay_s": 1e-4},
        ),
        set="set_current", small=1e-4, large=2.2e-3,
        also=(("load", ([0.0, 1e-4, 0.0],)), ("abort", ())),
    ),
    "keithley7001": Case(
        also=(("open_all", ()), ("close_relays", (["1!1", "1!11"],)), ("open_all", ())),
    ),
    "yokogawags200": Case(
        prepare={"largest": 0.01, "compliance": 2.5},
        beyond=({"largest": 0.21}, {"compliance": 0.9}, {"compliance": 31.0}),
        set="set_level", small=1e-3, large=0.0121,
        also=(("limited", ()), ("abort", ())),
    ),
    "yokogawags200_volt": Case(
        prepare={"largest": 1.0, "compliance": 0.01},
        beyond=({"largest": 33.0}, {"compliance": 1e-4}, {"compliance": 0.3}),
        set="set_level", small=0.1, large=1.21,
        also=(("limited", ()), ("abort", ())),
    ),
}  # fmt: skip
SOURCES = [name for name, case in CASES.items() if case.set]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every driver on the simulated bench; or the one that the command line names."""
    if "device" not in metafunc.fixturenames:
        return
    chosen = metafunc.config.getoption("--driver")
    names = [chosen] if chosen else list(CASES)
    only = metafunc.definition.get_closest_marker("parametrize")
    assert only is None
    if "source" in metafunc.fixturenames:
        names = [name for name in names if name in SOURCES]
    metafunc.parametrize("name", names)


@pytest.fixture
def device(name: str, tmp_path: Path, pytestconfig: pytest.Config) -> Iterator[OneInstrument]:
    """One driver with its instrument."""
    if pytestconfig.getoption("--driver"):
        one = OneInstrument(
            name, pytestconfig.getoption("--visa"), pytestconfig.getoption("--address")
        )
    else:
        one = OneInstrument.simulated(name, tmp_path)
    yield one
    one.close()


@pytest.fixture
def source(device: OneInstrument) -> OneInstrument:
    """One that sources, prepared."""
    device.driver.prepare(**CASES[device.name].prepare)
    return device


def test_every_driver_of_the_registry_is_tried() -> None:
    assert CASES.keys() == DRIVERS.keys()


def test_it_is_the_instrument_that_its_name_says(device: OneInstrument) -> None:
    assert device.driver.model in device.ask("*IDN?").upper()


def test_connecting_and_looking_only_ask(device: OneInstrument) -> None:
    before = device.state()
    device.driver.look()
    assert device.log.sent and all(message.op == "query" for message in device.log.messages)
    assert all(unit.is_query for sent in device.log.sent for unit in units(sent))
    assert device.state() == before
    assert device.no_error()


def test_looking_tells_the_limits_all_that_they_need(device: OneInstrument) -> None:
    """What is sourced, and the second fuse; of a switch the relays."""
    device.driver.look()
    needed = {"level", "range", "compliance", "output"} if DRIVERS[device.name].unit else set()
    needed |= {"closed"} if device.role == "switch" else set()
    assert needed <= device.shadow.confirmed


def test_prepare_is_read_back_and_ends_on_at_zero(source: OneInstrument) -> None:
    shadow = source.shadow
    assert {"level", "range", "compliance", "output"} <= shadow.confirmed
    assert shadow.level == 0 and shadow.output is True
    given = CASES[source.name].prepare
    fuse = next(value for key, value in given.items() if key.startswith("compliance"))
    assert 0.5 * fuse < shadow.compliance <= fuse * (1 + 1e-6)  # never looser
    assert source.no_error()


def test_prepare_refuses_what_is_beyond_the_instrument(device: OneInstrument) -> None:
    case = CASES[device.name]
    before = device.state()
    for wrong in case.beyond:
        with pytest.raises(InstrumentError, match="range"):
            device.driver.prepare(**{**case.prepare, **wrong})
    assert device.log.sent == []
    assert device.state() == before


def test_a_level_beyond_the_range_is_refused_and_the_instrument_keeps_its_state(
    source: OneInstrument,
) -> None:
    case, driver = CASES[source.name], source.driver
    getattr(driver, case.set)(case.small)
    before, sent = source.state(), len(source.log.sent)
    for level in (case.large, -case.large, float("nan"), float("inf")):
        with pytest.raises(InstrumentError, match=r"beyond the .* range"):
            getattr(driver, case.set)(level)
    assert len(source.log.sent) == sent and source.state() == before
    assert driver.read_level() == pytest.approx(case.small, rel=1e-6)


def test_a_level_has_all_the_digits_of_its_programming_step(source: OneInstrument) -> None:
    """Seven digits where the instrument has them: pymeasure sends six."""
    case, driver = CASES[source.name], source.driver
    largest = case.prepare.get("largest", case.prepare.get("largest_a"))
    step = getattr(driver, "programming_step", None) or getattr(driver, "programming_step_a", None)
    fine = 5e-6 if step is None else step(largest)  # a 2400 has one range
    level = case.small + fine
    getattr(driver, case.set)(level)
    assert driver.read_level() == pytest.approx(level, abs=0.51 * fine)


def test_the_error_queue_is_empty_after_each_method(device: OneInstrument) -> None:
    case, driver = CASES[device.name], device.driver
    methods = [*case.also]
    if case.set:
        methods = [(case.set, (case.small,)), (case.set, (0.0,)), *methods]
    driver.look()
    if case.prepare:
        driver.prepare(**case.prepare)
    for method, arguments in methods:
        getattr(driver, method)(*arguments)
        assert device.no_error(), method


def test_an_error_of_the_instrument_is_raised_with_the_message_that_made_it(
    source: OneInstrument,
) -> None:
    with pytest.raises(InstrumentError, match="the instrument reports"):
        source.link.write("*SRE 70000")
    assert source.no_error()


def test_stop_messages_bring_it_to_zero_and_off(source: OneInstrument) -> None:
    case = CASES[source.name]
    getattr(source.driver, case.set)(case.small)
    assert source.stop() == []
    assert source.shadow.output is False and source.shadow.level == 0
    assert {"output", "level"} <= source.shadow.confirmed
    if source.sim is not None:
        assert source.model.state["output"] is False
    with pytest.raises(StoppedError):
        getattr(source.driver, case.set)(case.small)


def test_stop_messages_need_no_session_and_pass_the_limits_whatever_is_not_known(
    device: OneInstrument,
) -> None:
    zero, off, look = type(device.driver).stop_messages()
    device.guard.lost(device.role)
    for message in (*zero, *off):
        device.link.write(message)
    device.ask(look)
    assert device.no_error()


def test_a_question_is_one_job(device: OneInstrument) -> None:
    """Two threads, each with its own question: no answer goes to the other."""
    rounds = 100 if device.sim is not None else 20
    identity = device.driver.ask("*IDN?")
    wrong: list[str] = []

    def ask(question: str, expected: str) -> None:
        for _ in range(rounds):
            answer = device.driver.ask(question)
            if answer != expected:
                wrong.append(answer)

    look = type(device.driver).stop_messages()[2]
    questions = [("*IDN?", identity), (look, device.driver.ask(look))]
    threads = [threading.Thread(target=ask, args=each) for each in questions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_bare_read_is_refused(device: OneInstrument) -> None:
    """pymeasure asks with a write and a read, between which another may come."""
    with pytest.raises(InstrumentError, match="not one job"):
        device.driver.adapter.read()
