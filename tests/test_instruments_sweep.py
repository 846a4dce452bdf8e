"""A sweep as lists: every wanted level once, no step too large, nothing cut off."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instruments import Bench, BenchError, LimitError
from instruments.sweep import Order, Plan, arrays_sha256, plan, to_step

RESOLUTION = 1e-5
LEVELS = st.lists(st.floats(-0.035, 0.035), min_size=1, max_size=40)
STEPS = st.floats(2 * RESOLUTION, 0.08)


def _plan(levels: list[float], step: float, most: int = 2500, order: Order = "sorted") -> Plan:
    return plan(levels, step_a=step, most_points=most, order=order, resolution_a=RESOLUTION)


@settings(deadline=None)
@given(LEVELS, STEPS, st.integers(1, 60), st.sampled_from(["sorted", "given"]))
def test_every_level_is_measured_once_and_found_by_its_index(
    levels: list[float], step: float, most: int, order: Order
) -> None:
    planned = _plan(levels, step, most, order)
    joined = np.concatenate(planned.lists)
    assert len(set(planned.index)) == len(levels)
    assert planned.measured == len(joined)
    assert np.array_equal(joined[planned.index], [to_step(x, RESOLUTION) for x in levels])
    assert np.allclose(joined[planned.index], levels, rtol=0, atol=0.501 * RESOLUTION)


@settings(deadline=None)
@given(LEVELS, STEPS, st.integers(1, 60), st.sampled_from(["sorted", "given"]))
def test_no_step_is_larger_than_its_limit_from_home_to_home(
    levels: list[float], step: float, most: int, order: Order
) -> None:
    planned = _plan(levels, step, most, order)
    path = [0.0, *np.concatenate(planned.lists), 0.0]
    assert np.abs(np.diff(path)).max() <= step * (1 + 1e-9)
    # As they are written on the wire, too.
    assert np.array_equal(path, [float(f"{level:.7g}") for level in path])


@settings(deadline=None)
@given(LEVELS, STEPS, st.integers(1, 60))
def test_lists_are_as_long_as_they_may_be_and_no_longer(
    levels: list[float], step: float, most: int
) -> None:
    lengths = [len(one) for one in _plan(levels, step, most).lists]
    assert all(length == most for length in lengths[:-1])
    assert 1 <= lengths[-1] <= most


@settings(deadline=None)
@given(LEVELS, STEPS)
def test_points_are_measured_in_the_order_that_was_asked_for(
    levels: list[float], step: float
) -> None:
    assert np.all(np.diff(_plan(levels, step, order="given").index) > 0)
    by_place = np.argsort(_plan(levels, step, order="sorted").index)
    rounded = np.array([to_step(x, RESOLUTION) for x in levels])
    assert np.all(np.diff(rounded[by_place]) >= 0)


def test_nothing_is_filled_in_where_the_steps_are_small_enough() -> None:
    levels = [0.006, 0.012, 0.018, 0.012, 0.006]
    assert _plan(levels, 0.006, order="given").measured == 5
    assert _plan([0.0], 0.006).measured == 1
    assert _plan([0.003, 0.003, 0.003], 0.006).measured == 3


@settings(deadline=None)
@given(st.floats(-1, 1), st.sampled_from([1e-5, 1e-6, 1e-7, 1e-13]))
def test_a_level_on_the_grid_stays_where_it_is(level: float, resolution: float) -> None:
    once = to_step(level if resolution > 1e-9 else level * 2e-9, resolution)
    assert to_step(once, resolution) == once


def test_results_come_in_the_order_of_the_levels() -> None:
    levels = [0.02, -0.03, 0.02, 0.0, 0.011]
    with Bench.open(sim={"seed": 1}) as bench:
        shuffled = bench.sweep("J3", levels)
        given_order = bench.sweep("J3", levels, order="given")
        parts = bench.sweep("J3", levels, list_points=4)
    for data in (shuffled, given_order, parts):
        assert np.array_equal(data.level_a, levels)
        assert data.valid.all()
        assert np.allclose(data.current_x_a, shuffled.current_x_a, rtol=0, atol=3e-8)
        assert np.allclose(data.current_z_a, shuffled.current_z_a, rtol=0, atol=3e-8)
    assert np.ptp(shuffled.current_x_a) > 5e-7  # another order would be seen


def test_each_list_is_shown_as_soon_as_it_is_measured() -> None:
    seen = []
    with Bench.open() as bench:
        data = bench.sweep("J1", np.linspace(-0.03, 0.03, 41), list_points=10, on_list=seen.append)
    assert [part.points for part in seen] == [10] * (data.points // 10) + (
        [data.points % 10] if data.points % 10 else []
    )
    joined = np.concatenate([part.level_a for part in seen])
    assert set(data.level_a) <= set(joined)
    assert all(a.bench_end_s <= b.bench_start_s for a, b in pairwise(seen))


def test_a_sweep_longer_than_a_buffer_is_split_and_complete() -> None:
    levels = np.linspace(-0.03, 0.03, 2600)
    with Bench.open() as bench:
        data = bench.sweep("J1", levels)
        assert bench.source.read_level() == 0
    assert data.points > 2500 and data.valid.all() and len(data.current_z_a) == 2600


@pytest.mark.parametrize(
    "levels", [[], [[0.0, 0.01]], [0.0, float("nan")], [float("inf")], np.zeros((0,))]
)
def test_levels_that_are_no_row_of_numbers_are_refused(levels: list[float]) -> None:
    with Bench.open() as bench, pytest.raises(BenchError, match="at least one level"):
        bench.sweep("J1", levels)


def test_a_sweep_needs_a_junction_and_a_list_length_that_exist() -> None:
    with Bench.open() as bench:
        with pytest.raises(BenchError, match=r"no junction 'J9'.* J1, J2"):
            bench.sweep("J9", [0.0])
        with pytest.raises(BenchError, match="list_points"):
            bench.sweep("J1", [0.0], list_points=0)


def test_a_level_above_the_limit_stops_the_whole_sweep_before_its_first_message() -> None:
    with Bench.open() as bench:
        bench.sweep("J1", [0.0])
        before = bench.transport.position
        with pytest.raises(LimitError, match=r"the sweep goes to 36 mA, above the limit of 35 mA"):
            bench.sweep("J1", [*np.linspace(0, 0.03, 400), 0.036], list_points=50)
        assert bench.transport.position == before
        assert bench.sweep("J1", [0.035]).valid.all()


def test_the_hash_sees_every_bit() -> None:
    a, b, c = np.arange(3.0), np.arange(3.0) + 1, np.arange(3.0) + 2
    sure = np.array([True, True, True])
    whole = arrays_sha256(a, b, c, sure)
    assert whole == arrays_sha256(a.copy(), b.astype(">f8"), c, sure)
    assert whole != arrays_sha256(a, b, np.nextafter(c, 9), sure)
    assert whole != arrays_sha256(b, a, c, sure)
    assert whole != arrays_sha256(a, b, c, np.array([True, False, True]))


def test_a_fork_measures_what_a_ring_does_and_faster() -> None:
    from importlib.resources import files

    from instruments.bench_file import parse_bench_file

    text = files("instruments").joinpath("demo_bench.yaml").read_text(encoding="utf-8")
    levels = np.linspace(-0.03, 0.03, 61)
    found = {}
    for trigger in ("ring", "fork"):
        file = parse_bench_file(text.replace("trigger: ring", f"trigger: {trigger}"))
        with Bench.open(file) as bench:
            found[trigger] = bench.sweep("J4", levels)
    ring, fork = found["ring"], found["fork"]
    assert fork.valid.all() and fork.points == ring.points
    for name in ("current_x_a", "current_z_a"):
        # Each of both has a noise of 3 nA.
        assert np.abs(getattr(ring, name) - getattr(fork, name)).max() < 6 * 2**0.5 * 3e-9
    took = {k: data.bench_end_s - data.bench_start_s for k, data in found.items()}
    assert took["fork"] < 0.75 * took["ring"]
