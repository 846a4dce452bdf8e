"""``spinloop weights`` and ``spinloop evaluate``: stored weights, out of the record and on today's
junctions."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from typer.testing import CliRunner

import db
from cli.main import app
from training.data_small import circles
from training.evaluate_job import NotEvaluableError, network, stored_run
from training.weights_file import read_safetensors, write_safetensors

runner = CliRunner()


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    """A record whose run 1 is circles with junctions, two epochs."""
    folder = tmp_path_factory.mktemp("record")
    path = folder / "a.sqlite"
    result = runner.invoke(
        app, ["train", "circles", "--epochs", "2", "--arm", "device", "--arm", "linear", "--db",
              str(path), "--json"],
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    return path


def call(*words):
    result = runner.invoke(app, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_weights_of_a_run_come_out_as_they_were_stored(record, tmp_path):
    file = tmp_path / "w.safetensors"
    assert "5 arrays with 50 values of run 1" in call("weights", 1, "-o", file, "--db", record)
    arrays, notes = read_safetensors(file)
    stored = db.weights(record, 1)
    assert arrays.keys() == stored.keys()
    for name, one in stored.items():
        np.testing.assert_array_equal(arrays[name], one)
        assert arrays[name].dtype == one.dtype
    assert (notes["task"], notes["arm"], notes["seed"], notes["session"]) == (
        "circles", "device", "0", "1",
    )  # fmt: skip
    assert notes["weights_sha256"] == db.weights_sha256(stored)


def test_live_and_tabulated_evaluations_agree_and_are_recorded(record):
    before = db.session(record, 1).result["circles"]["device"]["mean"]
    table = json.loads(call("evaluate", 1, "--neuron", "table", "--db", record, "--json"))
    live = json.loads(call("evaluate", 1, "--db", record, "--json"))
    for found in (table, live):
        assert found["accuracy"]["tested"] == 1000
        assert found["accuracy"]["share"] == pytest.approx(before, abs=0.02)
        low, high = found["accuracy"]["ci95"]
        assert low < found["accuracy"]["share"] < high
    assert live["reads"] >= table["reads"] + 8 * 1000
    detail = db.session(record, live["session"])
    (run,) = detail.runs
    assert (run.arm, run.settings["evaluates"], run.settings["source"]) == ("evaluated", 1, "live")
    assert {one.purpose for one in db.sweeps(record, live["session"]) if one.run == run.id} == {
        "evaluate"
    }
    assert "the same bit for bit" in call("replay", live["session"], "--db", record)


def test_own_data_are_scaled_as_the_runs_test_data_were(record, tmp_path):
    x, y = circles(0, "fresh", 1000)
    for name, one in {"x_train": x, "y_train": y, "x_test": x, "y_test": y}.items():
        np.save(tmp_path / f"{name}.npy", one)
    words = ("--neuron", "table", "--db", record, "--json")
    own = json.loads(call("evaluate", 1, *words))
    given = json.loads(call("evaluate", 1, "--data", tmp_path, *words))
    assert given["accuracy"] == own["accuracy"]
    np.save(tmp_path / "x_test.npy", np.zeros((1000, 3)))
    np.save(tmp_path / "x_train.npy", np.zeros((1000, 3)))
    result = runner.invoke(app, ["evaluate", "1", "--data", str(tmp_path), "--db", str(record)])
    assert "are not for circles: it takes 2 inputs" in str(result.exception)


@pytest.mark.parametrize(
    ("run", "said"),
    [(2, "arm linear: only runs of circles, spirals, iris with a hidden layer"), (99, "no run 99")],
)
def test_a_run_that_cannot_be_evaluated_is_named(record, run, said):
    with pytest.raises((NotEvaluableError, db.DatabaseError), match=said):
        stored_run(record, run)


def test_weights_that_fit_no_network_are_refused():
    with pytest.raises(NotEvaluableError, match="fit no network"):
        network({"hidden.weight": [[1.0, 2.0]], "output.weight": [[1.0]]}, None)


@settings(max_examples=30, deadline=None)
@given(
    arrays=st.dictionaries(
        st.text(min_size=1, max_size=6).filter(lambda name: name != "__metadata__"),
        st.sampled_from(["f8", "f4", "i8", "u1", "b1"]).flatmap(
            lambda kind: npst.arrays(kind, npst.array_shapes(min_dims=0, min_side=0, max_side=3))
        ),
        max_size=4,
    ),
    cut=st.floats(0, 1, exclude_max=True),
)
def test_a_safetensors_file_comes_back_and_a_cut_one_is_refused(tmp_path_factory, arrays, cut):
    path = tmp_path_factory.mktemp("weights") / "a.safetensors"
    write_safetensors(path, arrays, {"from": "run 3"})
    raw = path.read_bytes()
    found, notes = read_safetensors(path)
    assert notes == {"from": "run 3"}
    assert found.keys() == arrays.keys()
    for name, one in arrays.items():
        np.testing.assert_array_equal(found[name], one)
        assert found[name].dtype == one.dtype
    size = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + size])
    for name, one in arrays.items():  # places that a reader can map
        assert header[name]["data_offsets"][0] % one.dtype.itemsize == 0
    assert (8 + size) % 8 == 0
    path.write_bytes(raw[: int(cut * len(raw))])
    try:
        read_safetensors(path)
    except ValueError as error:
        assert "a.safetensors: no safetensors file" in str(error)
    else:
        raise AssertionError("a cut file was read")
