"""The protocol: what knows the training part only, what is paired, what the intervals are."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from training.evaluation import mean_loss, right
from training.protocol import EQUIVALENCE, Plan, Scaler, Score, difference, hold_out, pooled
from training.statistics import equivalent, wilson95
from training.tasks import TASKS


def test_a_scaler_knows_what_it_was_fitted_on_and_nothing_else():
    rng = np.random.default_rng(0)
    x, other = rng.normal(3, 2, (40, 5)), rng.normal(-1, 9, (10, 5))
    scaler = Scaler.fit(x)
    assert scaler(x).mean(0).abs().max() < 1e-12
    assert torch.allclose(scaler(other), torch.from_numpy((other - x.mean(0)) / x.std(0)))


def test_images_are_scaled_by_channel_and_bytes_as_numbers():
    x = np.random.default_rng(1).integers(0, 256, (6, 3, 4, 5), dtype=np.uint8)
    x[:, 2] = 7  # never varies
    counted, computed = Scaler.fit(x), Scaler.fit(x.astype(np.float64))
    np.testing.assert_allclose(counted.mean, computed.mean, rtol=1e-12)
    np.testing.assert_allclose(counted.deviation, computed.deviation, rtol=1e-12)
    scaled = counted(x, torch.float32)
    assert scaled.dtype == torch.float32
    assert scaled[:, :2].mean((0, 2, 3)).abs().max() < 1e-5
    assert (scaled[:, 2] == 0).all()
    assert x[0, 2, 0, 0] == 7  # the data stay as they are


@settings(max_examples=40, deadline=None)
@given(
    labels=st.lists(st.integers(0, 3), min_size=1, max_size=6).map(lambda kinds: kinds * 5),
    share=st.floats(0.05, 0.9),
    seed=st.integers(0, 99),
)
def test_a_validation_part_is_drawn_from_every_class_and_shares_nothing(labels, share, seed):
    labels = np.array(labels)
    train, held = hold_out(labels, share, seed)
    assert sorted([*train, *held]) == list(range(len(labels)))
    for label in np.unique(labels):
        there = int((labels[held] == label).sum())
        assert 1 <= there < (labels == label).sum()
        assert abs(there - share * (labels == label).sum()) <= 1
    np.testing.assert_array_equal(hold_out(labels, share, seed)[1], held)


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1])
def test_no_validation_part_is_refused(share):
    with pytest.raises(ValueError, match="between 0 and 1"):
        hold_out(np.array([0, 0, 1, 1]), share, 0)
    with pytest.raises(ValueError, match="class 1 has one sample"):
        hold_out(np.array([0, 0, 1]), 0.5, 0)


def test_wilsons_interval_is_the_published_one():
    # Newcombe, Statistics in Medicine 17, 857 (1998), table I, method 3
    for counts, wanted in (
        ((81, 263), (0.2553, 0.3662)), ((15, 148), (0.0624, 0.1605)), ((0, 20), (0, 0.1611)),
        ((1, 29), (0.0061, 0.1718)),
    ):  # fmt: skip
        assert wilson95(*counts) == pytest.approx(wanted, abs=5e-5)
    assert wilson95(20, 20)[1] == 1.0
    with pytest.raises(ValueError, match="no such share"):
        wilson95(3, 2)


def plan(arms=("device", "tanh"), seeds=(3, 4), folds=2):
    return Plan(arms, seeds, lambda seed: range(folds), folds, lambda arm: f"from {arm}")


def test_arms_are_paired_seed_by_seed_and_fold_by_fold():
    asked = []

    def one(arm, seed, fold):
        asked.append((seed, fold, arm))
        return Score(8 + seed + (arm == "device"), 20)

    report = plan().report(plan().run(one))
    assert asked == [(s, f, a) for s in (3, 4) for f in (0, 1) for a in ("device", "tanh")]
    assert report["device"]["by_seed"] == [0.6, 0.65]
    assert report["tanh"]["source"] == "from tanh"
    assert report["device"]["pooled"]["tested"] == 80
    assert report["device_minus"]["tanh"]["mean"] == pytest.approx(0.05)
    # Seeds differ, pairs do not: the interval of the difference is narrow, those of the arms wide.
    low, high = report["device_minus"]["tanh"]["ci95"]
    assert high - low < 1e-9
    assert report["device"]["ci95"][1] - report["device"]["ci95"][0] > 0.5
    assert report["interval"] == "Student's t over seeds of the 2-fold mean"
    assert report["pooled_interval"] == "Wilson, over the pooled predictions"


def test_without_the_reference_there_is_no_difference():
    one = plan(("tanh", "linear"))
    assert "device_minus" not in one.report(one.run(lambda *_: Score(1, 2)))


def test_equivalence_is_claimed_only_if_the_whole_interval_is_inside():
    assert difference([0.9, 0.9, 0.9], [0.899, 0.9, 0.901])["equivalent"]
    wide = difference([0.9, 0.91, 0.92], [0.91, 0.90, 0.925])
    assert wide["ci95"][0] < 0 < wide["ci95"][1]  # shows no difference
    assert not wide["equivalent"]  # and no equality
    assert not difference([0.9], [0.9])["equivalent"]  # one seed shows nothing
    assert not equivalent((0.0, EQUIVALENCE * 1.01), EQUIVALENCE)


def test_pooled_predictions_are_counted_once_each():
    found = pooled([Score(1, 2), Score(30, 48)])
    assert found["share"] == pytest.approx(0.62)
    assert found["ci95"] == list(wilson95(31, 50))


def test_an_evaluation_leaves_the_model_as_it_was_and_in_one_batch_or_many():
    model = torch.nn.Sequential(torch.nn.BatchNorm1d(2), torch.nn.Dropout(), torch.nn.Linear(2, 2))
    model[1].eval()
    x = torch.randn(9, 2, generator=torch.Generator().manual_seed(0))
    y = (x[:, 0] > 0).long()
    before = {name: one.clone() for name, one in model.state_dict().items()}
    assert right(model, x, y) == right(model, x, y, 4)
    loss = torch.nn.functional.cross_entropy
    assert mean_loss(model, x, y, loss, 4) == pytest.approx(mean_loss(model, x, y, loss, 9))
    assert model.training
    assert all(torch.equal(one, before[name]) for name, one in model.state_dict().items())


def test_the_spirals_are_tested_on_fresh_points():
    (fold,) = TASKS["spirals"].folds(0)
    assert (len(fold.y_train), len(fold.y_test)) == (300, 1000)
    assert fold.x_train.mean(0).abs().max() < 1e-12
