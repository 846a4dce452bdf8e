"""Whatever goes wrong in the middle of a sweep: no wrong number is stored as a good one."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import pytest

from instruments import Bench, BenchError, SweepData, SweepVoidError
from instruments.bench_file import load_bench_file
from sim_backend.faults_kinds import KINDS, AnyFault, parse_faults
from tests.killing import Peaks, problems

_DEMO, _ = load_bench_file(None)
#: a bit that flips inside a binary number leaves another number, and no bus says so
FILE = _DEMO.model_copy(update={"readout": _DEMO.readout.model_copy(update={"fetch": "compared"})})
FILLED = 3  # points on the way to the first level
LEVELS = np.linspace(-0.02, 0.02, 24)
MESSAGES = (1, 2, 3, 5, 8, 12, 15, 18, 21, 24)
READINGS = (1, 9, 24)


def _cases() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every kind, at several places."""
    for name in ("field", "x", "z", "switch"):
        for n in MESSAGES:
            at = {"instrument": name, "message": n}
            for observed in (False, True):
                more = at | {"observations": observed}
                yield "lost_message", more
                yield "garbled", more | {"direction": "message"}
                yield "garbled", more | {"bits": 3}
                yield "timeout", more
                yield "timeout", more | {"late_s": 0.3}
                yield "truncated", more | {"keep": 3}
                yield "truncated", more | {"keep": 10, "terminated": True}
            yield "power_cycle", at
            yield "power_cycle", at | {"off_s": 0.2}
            yield "link_down", at | {"for_s": 0.5}
            yield "link_down", at | {"error": "io"}
    for name in ("x", "z"):
        for n in READINGS:
            for kind in ("overflow", "nan", "compliance"):
                yield kind, {"instrument": name, "first": n, "last": n + 1}
            yield "spike", {"instrument": name, "first": n, "height": 1e-6}
            for device in ("open", "short", "switched"):
                yield device, {"device": "J1", "instrument": name, "reading": n}
            yield "telegraph", {"device": "J1", "instrument": name, "reading": n, "terminal": name,
                                "step": 0.1, "up_hz": 5.0, "down_hz": 5.0}  # fmt: skip
            yield "junction_drift", {"device": "J1", "instrument": name, "reading": n,
                                     "parameter": "layer.k_t", "per_hour": 1.0,
                                     "step_s": 0.01}  # fmt: skip
    for line in (1, 2, 3):
        for pulse in READINGS:
            yield "lost_trigger", {"line": line, "pulse": pulse}
    for name in ("x", "z", "field"):
        yield "drift", {"instrument": name, "from_s": 0.3, "gain_per_s": 1e-3}
    for closed in (True, False):
        yield "stuck_relay", {"instrument": "switch", "relay": "1!1", "closed": closed,
                              "from_s": 0.2}  # fmt: skip


CASES = list(_cases())
#: what is measured has really happened, to a device or in the meter: no program can tell
REAL = {"spike", "drift", "open", "short", "stuck_relay", "switched", "telegraph",
        "junction_drift"}  # fmt: skip


def _sweep(fault: AnyFault | None) -> tuple[SweepData | BenchError, list[str]]:
    """A sweep with a fault in it, and what is wrong with the bench afterwards."""
    result: SweepData | BenchError
    bench = Bench.open(FILE)
    sim = bench._keep.visalib.bench
    peaks = Peaks(sim)
    try:
        with bench:
            if fault is not None:
                sim.faults.add(fault)
            result = bench.sweep("J1", LEVELS, list_points=12)
    except BenchError as error:
        result = error
    return result, problems(sim, peaks)


@cache
def _clean() -> SweepData:
    result, wrong = _sweep(None)
    assert isinstance(result, SweepData) and not wrong
    return result


def wrong_numbers(kind: str, keys: dict[str, Any]) -> str:
    """What is wrong after a sweep with this fault; "" if nothing is."""
    (fault,) = parse_faults([{"kind": kind, **keys}])
    result, _ = _sweep(fault)
    if isinstance(result, BenchError) or kind in REAL:
        return ""
    clean, good = _clean(), result.valid
    for name in ("level_a", "current_x_a", "current_z_a"):
        off = getattr(result, name)[good] != getattr(clean, name)[good]
        if off.any():
            return f"{kind} {keys}: {int(off.sum())} wrong values in {name} are said to be valid"
    return ""


#: these have been stored as good, or were no error of the bench, before levels and lists were read
#: back and answers were checked to be numbers
ONCE_WRONG: list[tuple[str, dict[str, Any]]] = [
    ("lost_message", {"instrument": "field", "message": 18, "observations": True}),
    ("lost_message", {"instrument": "x", "message": 15}),
    ("lost_message", {"instrument": "z", "message": 15}),
    ("garbled", {"instrument": "x", "message": 2, "observations": True, "bits": 3}),
    ("garbled", {"instrument": "field", "message": 2, "observations": True, "bits": 3}),
    ("truncated", {"instrument": "z", "message": 5, "observations": True, "keep": 10,
                   "terminated": True}),
]  # fmt: skip
FEW = 12  # of one kind; `python -m tests.test_faults_in_a_sweep` takes them all


def of_kind(kind: str, most: int) -> list[dict[str, Any]]:
    """Places of a kind, spread over all there are."""
    keys = [one for name, one in CASES if name == kind]
    return keys[:: max(1, len(keys) // most)]


@pytest.mark.parametrize("kind", KINDS)
def test_no_wrong_number_of_a_sweep_with_a_fault_is_said_to_be_good(kind: str) -> None:
    tried = of_kind(kind, FEW)
    assert tried
    assert not [told for told in (wrong_numbers(kind, keys) for keys in tried) if told]


@pytest.mark.parametrize(("kind", "keys"), ONCE_WRONG)
def test_a_setting_that_did_not_arrive_and_an_answer_that_is_no_number_end_the_sweep(
    kind: str, keys: dict[str, Any]
) -> None:
    assert not wrong_numbers(kind, keys)


@pytest.mark.parametrize("kind", ["overflow", "nan", "compliance"])
def test_readings_that_say_so_themselves_are_no_valid_points(kind: str) -> None:
    (fault,) = parse_faults([{"kind": kind, "instrument": "x", "first": 9, "last": 10}])
    result, wrong = _sweep(fault)
    assert isinstance(result, SweepData) and not wrong
    assert np.flatnonzero(~result.valid).tolist() == [8 - FILLED, 9 - FILLED]


def test_a_fetch_that_was_garbled_once_is_fetched_until_two_are_alike() -> None:
    results = []
    for n in (1, 2, 3, 4):
        (fault,) = parse_faults(
            [{"kind": "garbled", "instrument": "x", "header": ":TRAC:DATA?", "message": n}]
        )
        results.append(_sweep(fault)[0])
    whole = [one for one in results if isinstance(one, SweepData)]
    for one in whole:
        assert np.array_equal(one.current_x_a, _clean().current_x_a) and one.valid.all()
    # Where the flipped bit is one of the block's beginning, it is no block any more.
    assert len(whole) >= 2
    assert all(isinstance(one, SweepData | SweepVoidError) for one in results)


def test_fetches_that_are_never_alike_make_a_sweep_void() -> None:
    (fault,) = parse_faults(
        [{"kind": "garbled", "instrument": "z", "header": ":TRAC:DATA?", "times": "always"}]
    )
    result, wrong = _sweep(fault)
    assert isinstance(result, SweepVoidError) and "other readings each time" in str(result)
    assert not wrong


if __name__ == "__main__":
    found = [told for kind, keys in CASES if (told := wrong_numbers(kind, keys))]
    print(*found, f"{len(CASES)} sweeps, {len(found)} with wrong numbers said to be good", sep="\n")
