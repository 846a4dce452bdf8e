"""The plan: what it says before a run is what the run takes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import db
from device import calibrate
from device.characterise import characterise
from device.characterise_steps import schedule
from device.plan import (
    RULES,
    Costs,
    Network,
    Sweeps,
    calibrating,
    characterising,
    learn,
    lower_bound,
    predict,
    tabulated,
    training,
)
from device.plan_costs import _fit, _List
from instruments import load_bench_file
from instruments.bench_file import parse_bench_file
from instruments.session import live_session
from training.demo import run_comparison

FILE, TEXT = load_bench_file(None)


def bench_file(tmp_path, **changes) -> Path:
    text = TEXT
    for key, value in changes.items():
        old = next(line for line in text.splitlines() if line.strip().startswith(f"{key}:"))
        text = text.replace(old, f"  {key}: {value}")
    path = tmp_path / "bench.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def session(database, work, bench=None):
    """Bench time that some work takes in a session of its own, s."""
    with live_session("test", {}, bench_file=bench, database=database) as opened:
        work(opened)
        return opened.bench.clock.time_s()


def earlier(opened):
    """What the plan has to go by: two calibrations and a short sweep."""
    calibrate(opened.bench, "J1")
    calibrate(opened.bench, "J2")
    opened.bench.sweep("J2", np.linspace(-0.02, 0.02, 21))


@pytest.fixture(scope="module")
def costs(tmp_path_factory) -> Costs:
    database = tmp_path_factory.mktemp("record") / "record.sqlite"
    session(database, earlier)
    return learn(database, FILE)


def test_what_sweeps_cost_is_learned_from_the_record_alone(costs):
    assert costs.sweeps == 3
    assert costs.fetch.each == pytest.approx(2.4e-3, rel=0.1)  # of both meters
    assert costs.integration == 1.0


@pytest.mark.parametrize("points", [5, 60, 300])
def test_a_sweep_of_another_size_takes_what_was_said(costs, points, tmp_path):
    level = np.linspace(-0.02, 0.02, points)

    def work(opened):
        opened.bench.sweep("J3", level)

    taken = session(tmp_path / "other.sqlite", work)
    (one,) = db.sweeps(tmp_path / "other.sqlite", 1)
    said = predict([Sweeps(1, (one.points,), 1)], FILE, costs)
    assert said.seconds == pytest.approx(taken, rel=0.05)
    assert said.reads == one.points


@pytest.mark.parametrize("task, samples, test, folds", [("circles", 200, 1000, 1),
                                                        ("iris", 120, 30, 5)])  # fmt: skip
def test_a_live_training_takes_what_was_said(costs, task, samples, test, folds, tmp_path):
    said = predict(
        training(
            FILE, Network(samples=samples, test=test, epochs=1, neurons=8, junctions=8, runs=folds),
            costs,
        ), FILE, costs,
    )  # fmt: skip
    reads = []

    def work(opened):
        report, *_ = run_comparison(opened, tasks=[task], repetitions=1, epochs=1, arms=["device"])
        reads.append(report["reads"])

    taken = session(tmp_path / "train.sqlite", work)
    assert said.seconds == pytest.approx(taken, rel=0.05)
    assert said.reads == pytest.approx(reads[0], rel=0.05)
    ordered = [m for m in db.transcript(tmp_path / "train.sqlite", 1) if m.seq is not None]
    stored = sum(len(m.sent) + len(m.reply or b"") + 90 for m in ordered)
    assert said.stored == pytest.approx(stored, rel=0.3)


def test_a_characterisation_takes_what_was_said_settings_and_pauses_and_all(costs, tmp_path):
    names = ["J1", "J2"]
    said = predict(characterising(FILE, schedule(FILE, names, (), True)), FILE, costs)
    taken = session(
        tmp_path / "c.sqlite", lambda opened: characterise(opened.bench, names, quick=True)
    )
    assert said.seconds == pytest.approx(taken, rel=0.05)
    assert said.parts["pauses"] == 15.0


def test_another_integration_time_is_foreseen(costs, tmp_path):
    other = bench_file(tmp_path, nplc=0.1)
    file, _ = load_bench_file(other)
    taken = session(tmp_path / "o.sqlite", lambda opened: calibrate(opened.bench, "J1"), other)
    said = predict(calibrating(file, 1), file, costs)
    assert said.seconds == pytest.approx(taken, rel=0.05)


def test_integration_that_takes_longer_than_its_name_is_learned():
    lists = []
    for points in (20, 80, 200):
        for integration_s in (4e-3, 40e-3):  # at 0.1 and at 1 NPLC
            one = _List(points, points * 2e-3, points * integration_s)
            one.parts["measure"] = points * (2e-3 + 0.5e-3 + 3 * integration_s) + 1e-3
            lists.append(one)
    found = _fit(lists, Costs())
    assert found.integration == pytest.approx(3.0)
    assert found.measure == pytest.approx((1e-3, 0.5e-3))


def test_the_integration_of_a_record_with_several_times_is_what_it_is(tmp_path):
    database = tmp_path / "two.sqlite"
    session(database, earlier)
    session(database, lambda o: characterise(o.bench, ["J1"], only=["noise"], quick=True))
    assert learn(database, FILE).integration == pytest.approx(1.0, abs=0.01)


def test_without_a_record_it_is_a_lower_bound_and_says_so(costs, tmp_path):
    assert learn(tmp_path / "none.sqlite", FILE) == lower_bound(FILE)
    sweeps = calibrating(FILE, 8)
    bound, said = predict(sweeps, FILE, lower_bound(FILE)), predict(sweeps, FILE, costs)
    assert bound.lower_bound and not said.lower_bound
    assert bound.stored is None
    assert 0.8 * said.seconds < bound.seconds < said.seconds


def test_sweeps_of_another_bench_teach_nothing(tmp_path):
    database = tmp_path / "other.sqlite"
    session(database, earlier)
    other = parse_bench_file(TEXT.replace("GPIB0::24", "GPIB0::23"))
    assert learn(database, other).sweeps == 0


def test_one_size_on_record_is_remarked(tmp_path):
    database = tmp_path / "one.sqlite"
    session(database, lambda opened: calibrate(opened.bench, "J1"))
    found = learn(database, FILE)
    assert "all lists on record have" in found.remarks[0]
    said = predict(calibrating(FILE, 1), FILE, found)
    taken = session(tmp_path / "again.sqlite", lambda opened: calibrate(opened.bench, "J1"))
    assert said.seconds == pytest.approx(taken, rel=0.02)


@settings(max_examples=20, deadline=None)
@given(
    samples=st.integers(1, 500), batch=st.integers(1, 600), neurons=st.integers(1, 20),
    junctions=st.integers(1, 8),
)  # fmt: skip
def test_no_sample_and_no_neuron_is_lost(samples, batch, neurons, junctions):
    job = Network(samples=samples, batch=batch, epochs=1, neurons=neurons, junctions=junctions)
    assert sum(size * number for size, number in job.batches.items()) == samples
    assert sum(share * number for share, number in job.shares.items()) == neurons


def test_a_rule_with_more_points_takes_more_and_tables_take_less(costs):
    def seconds(rule, way=training):
        job = Network(samples=120, epochs=5, neurons=8, junctions=8, rule=rule)
        return predict(way(FILE, job, costs), FILE, costs).seconds

    live = {rule: seconds(rule) for rule in RULES}
    assert live["two-reference"] == live["calibrated"] < live["forward"] < live["central"]
    assert live["central"] < live["dither"]
    assert seconds("two-reference", tabulated) < live["two-reference"] / 2


@pytest.mark.parametrize(("every", "checks"), [(5, 4), (6, 4), (20, 1), (1000, 1)])
def test_spot_checks_are_counted_the_first_of_each_run_among_them(costs, every, checks):
    job = Network(
        samples=100, batch=10, epochs=2, neurons=4, junctions=4, runs=3, check_every=every
    )
    assert tabulated(FILE, job, costs)[-1].count == 3 * checks * 4


@pytest.mark.parametrize("wrong", [{"samples": 0}, {"batch": 0}, {"rule": "magic"}])
def test_a_network_that_cannot_be_is_refused(wrong):
    given_ = {"samples": 10, "epochs": 1, "neurons": 1, "junctions": 1} | wrong
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Network(**given_)
