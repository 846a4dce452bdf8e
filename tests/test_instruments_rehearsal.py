"""A rehearsal passes on a bench that protects, and fails on each one that does not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from instruments import Bench, LimitError, State, load_bench_file
from instruments.rehearsal import Dummies, Step, rehearse
from instruments.rehearsal_guardian import rehearse_guardian
from tests.instrument_bench import Log
from tests.resistor_bench import OHM, is_safe, served, write_files

DUMMIES = Dummies(OHM, None, 0.05)
STEPS = [
    "arm", "resistors at D1", "resistors at D2", "values above the limits", "fuses of the meters",
    "trip of the meters", "fuse of the field source", "stop during a sweep",
]  # fmt: skip
BIAS = {"driver": "yokogawags200", "address": "GPIB0::2::INSTR"}


class Events(Log):
    """Keeps events as well."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[tuple[str, str]] = []

    def event(self, kind: str, text: str) -> None:
        self.events.append((kind, text))


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Any]:
    benches: list[Bench] = []

    def make(**changes: Any) -> Bench:
        benches.append(Bench.open(write_files(tmp_path, **changes), recorder=Events()))
        return benches[-1]

    yield make
    for bench in benches:
        bench.close()


def _sim(bench: Bench) -> Any:
    return bench._keep.visalib.bench


def _failed(steps: list[Step], name: str) -> str:
    """What the last step says, which has failed while all before it passed."""
    assert [one.outcome for one in steps[:-1]] == ["passed"] * (len(steps) - 1)
    assert (steps[-1].name, steps[-1].outcome) == (name, "failed")
    return steps[-1].text


def test_a_bench_that_protects_passes_every_step(opened: Any) -> None:
    bench = opened(
        instruments={"bias": BIAS}, limits={"bias": {"level": "50 mA", "compliance": "10 V"}}
    )
    seen: list[tuple[str, int]] = []
    steps = rehearse(bench, DUMMIES, lambda step, total: seen.append((step.name, total)))
    assert [one.name for one in steps] == STEPS
    assert [one for one in steps if one.outcome != "passed"] == []
    assert seen == [(name, len(STEPS)) for name in STEPS]
    assert "x 9.99" in steps[1].text or "x 10.0" in steps[1].text
    assert is_safe(_sim(bench)) and bench.file.limits.field_line.resistance == 50.0
    events = [text for kind, text in bench.recorder.events if kind == "rehearsal"]
    assert [text.split(":")[0] for text in events] == STEPS


def test_no_limit_is_crossed_on_the_way(opened: Any) -> None:
    bench = opened()
    rehearse(bench, DUMMIES)
    assert all("CURR 0.042" not in message.sent for message in bench.recorder.messages
               if message.error is None)  # fmt: skip
    refused = [one for one in bench.recorder.messages if (one.error or "").startswith("LimitError")]
    assert len(refused) >= 6


def test_another_resistor_fails_and_leaves_the_bench_off(opened: Any) -> None:
    bench = opened()
    steps = rehearse(bench, Dummies(OHM | {"D2": 10e3}, None, 0.05))
    text = _failed(steps, "resistors at D2")
    assert "not 10 kohm within 0.05: look at the relays" in text
    assert bench.state is State.TRIPPED and is_safe(_sim(bench))


def test_a_short_fails(opened: Any) -> None:
    bench = opened(readout={"lowest_resistance": "30 kohm"})
    text = _failed(rehearse(bench, DUMMIES), "resistors at D1")
    assert "was in compliance" in text and is_safe(_sim(bench))


@pytest.mark.parametrize(
    ("attribute", "what"),
    [
        ("bench.source.set_current", "a field beyond its limit was not refused"),
        ("bench.z.set_voltage", "a voltage beyond z's limit was not refused"),
        ("bench.switch.open_all", "relays that open while x is live was not refused"),
    ],
)
def test_a_limit_that_lets_through_fails(
    opened: Any, monkeypatch: pytest.MonkeyPatch, attribute: str, what: str
) -> None:
    bench = opened()
    _, role, method = attribute.split(".")
    driver = getattr(bench, role)
    plain = getattr(driver, method)

    def lets_through(*values: Any) -> None:
        try:
            plain(*values)
        except LimitError:
            return

    monkeypatch.setattr(driver, method, lets_through)
    assert what in _failed(rehearse(bench, DUMMIES), "values above the limits")


def test_a_meter_whose_fuse_does_not_act_fails(
    opened: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = opened()
    prepare = bench.x.prepare

    def with_another_fuse(*, compliance_a: float, **others: Any) -> None:
        prepare(compliance_a=max(compliance_a, 6e-6), **others)

    monkeypatch.setattr(bench.x, "prepare", with_another_fuse)
    text = _failed(rehearse(bench, DUMMIES), "fuses of the meters")
    assert "let 2" in text and "through, with a compliance of 1 µA" in text


def test_a_field_source_whose_fuse_does_not_act_fails(
    opened: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = opened()
    prepare = bench.source.prepare

    def with_another_fuse(*, compliance_v: float, **others: Any) -> None:
        prepare(compliance_v=2.5, **others)

    monkeypatch.setattr(bench.source, "prepare", with_another_fuse)
    text = _failed(rehearse(bench, DUMMIES), "fuse of the field source")
    assert "did not reach a compliance of 800 mV" in text


def test_a_line_that_drops_too_little_says_so_and_another_resistor_shows_it(opened: Any) -> None:
    small = {"current": "2 mA", "step": "1 mA", "resistance": "50 ohm"}
    bench = opened(limits={"field_line": small}, calibration={"range": "2 mA", "points": 41})
    by_name = {one.name: one for one in rehearse(bench, DUMMIES)}
    assert by_name["fuse of the field source"].outcome == "not tried"
    assert "--line-ohm" in by_name["fuse of the field source"].text
    assert by_name["stop during a sweep"].outcome == "passed"


def test_nothing_trips_where_nothing_is_to(opened: Any) -> None:
    bench = opened(readout={"trip_share": 1.0})
    by_name = {one.name: one for one in rehearse(bench, DUMMIES)}
    assert by_name["trip of the meters"].outcome == "not tried"


def test_a_stop_that_leaves_something_on_fails(
    opened: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = opened()
    steps: list[Step] = []

    def on_step(step: Step, total: int) -> None:
        steps.append(step)
        if step.name == "fuse of the field source":
            wire: Any = bench.transport.links["z"]._wire
            write = wire.write

            def deaf(message: str) -> None:
                if "OUTP OFF" not in message:
                    write(message)

            monkeypatch.setattr(wire, "write", deaf)

    rehearse(bench, DUMMIES, on_step)
    assert "z" in _failed(steps, "stop during a sweep")
    monkeypatch.undo()
    bench.reset()


# -- the guardian ---------------------------------------------------------------------------------


@pytest.fixture
def real(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, Any]]:
    monkeypatch.setenv("SPINLOOP_STATE", str(tmp_path / "state"))
    with served(tmp_path) as both:
        yield both


def test_a_program_that_cannot_begin_says_why(real: tuple[Path, Any], tmp_path: Path) -> None:
    path, _ = real
    file, _ = load_bench_file(path)
    step = rehearse_guardian(tmp_path / "nowhere.yaml", file, tmp_path / "lab.sqlite", 1.0)
    assert step.outcome == "failed" and "nowhere.yaml: cannot be read" in step.text
