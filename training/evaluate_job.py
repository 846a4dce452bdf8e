"""Stored weights on today's junctions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

import db
from db import JSON
from device import (
    CalibrationError,
    DeviceArray,
    Neuron,
    TableNeuron,
    TwoReferenceMTJ,
    calibrate,
    tabulate,
)  # fmt: skip
from instruments.session import Session
from training.activation import DeviceActivation
from training.arms import Network
from training.data_errors import DataError
from training.evaluation import right
from training.protocol import Score, pooled
from training.seeds import torch_generator
from training.statistics import POOLED_INTERVAL
from training.tasks import TASKS

NeuronKind = Literal["live", "table"]
#: values that the arguments of a session may hold; networks for these tasks have a few dozen
_MOST_VALUES = 10_000


class NotEvaluableError(Exception):
    """A run whose network cannot be made again here: one sentence."""


def stored_run(database: str | Path, number: int) -> dict[str, JSON]:
    """What a run needs to be evaluated, as arguments of the job: task, arm, seed, fold, junctions
    and the weights themselves, so that the record of the evaluation stands alone.

    Raises:
        DatabaseError: no such run, or one without weights.
        NotEvaluableError: not a run of these tasks, or one without junctions.
    """
    session, run = db.run(database, number)
    weights = db.weights(database, number)
    if run.name not in TASKS or "hidden.weight" not in weights:
        raise NotEvaluableError(
            f"run {number} is {run.name}, arm {run.arm}: only runs of {', '.join(TASKS)} with a "
            "hidden layer can be evaluated; export its weights with 'spinloop weights'"
        )
    if sum(one.size for one in weights.values()) > _MOST_VALUES:
        raise NotEvaluableError(f"run {number} has more than {_MOST_VALUES:,} weights")
    result = db.session(database, session).result or {}
    junctions: Any = result.get("junctions")
    hidden = len(weights["hidden.weight"])
    if not isinstance(junctions, list) or len(junctions) != hidden:
        raise NotEvaluableError(
            f"session {session} does not say which junctions the {hidden} hidden neurons of run "
            f"{number} were: it has to have come to its end"
        )
    return {
        "run": number,
        "trained_in": session,
        "task": run.name,
        "arm": run.arm,
        "seed": run.seed,
        "fold": run.fold,
        "junctions": junctions,
        "weights": {name: value.tolist() for name, value in weights.items()},
    }


def network(weights: Mapping[str, Any], neuron: Neuron | None) -> Network:
    """The stored network, its hidden layer at a neuron; None: software tanh.

    Raises:
        NotEvaluableError: the weights are not those of one hidden layer.
    """
    arrays = {name: np.array(value, dtype=np.float64) for name, value in weights.items()}
    try:
        hidden, inputs = arrays["hidden.weight"].shape
        outputs = len(arrays["output.weight"])
        activation = torch.nn.Tanh() if neuron is None else DeviceActivation(neuron)
        model = Network(inputs, hidden, outputs, activation, torch_generator(0))
        model.load_state_dict({name: torch.from_numpy(value) for name, value in arrays.items()})
    except (KeyError, ValueError, RuntimeError) as error:
        raise NotEvaluableError(f"the stored weights fit no network of a task: {error}") from None
    return model


def test_data(arguments: Mapping[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
    """The run's own test data, drawn again from its seed; or what ``x`` and ``y`` hold.

    Data that are given are scaled with the run's own training data, as its test data were.
    """
    task = TASKS[arguments["task"]]
    fold = next(one for one in task.folds(arguments["seed"]) if one.number == arguments["fold"])
    if arguments.get("x") is None:
        return fold.x_test, fold.y_test
    x, y = np.array(arguments["x"], dtype=np.float64), np.array(arguments["y"], dtype=np.int64)
    if x.ndim != 2 or x.shape[1] != task.inputs or (y >= task.outputs).any():
        raise DataError(
            f"data of the shape {list(x.shape)} with labels up to {y.max()} are not for "
            f"{task.name}: it takes {task.inputs} inputs and has {task.outputs} classes"
        )
    return fold.scaler(x), torch.from_numpy(y)


def evaluate(session: Session, watch: object = None) -> dict[str, JSON]:
    """Calibrate the run's junctions again and test its weights on them.

    Arguments as :func:`stored_run` gives them, and ``neuron``: "live" or "table" (a sweep of this
    session).

    Returns:
        accuracy and its interval on the junctions, accuracy in software (the same weights, tanh),
        reads, and the times.

    Raises:
        CalibrationError: a junction of the run cannot be used; none takes its place.
    """
    a: dict[str, Any] = dict(session.arguments)
    bench = session.bench
    junctions: Sequence[str] = a["junctions"]
    x, y = test_data(a)
    with bench.running():
        found = [calibrate(bench, junction) for junction in junctions]
        for one, _ in found:
            if one.verdict == "refused":
                raise CalibrationError(
                    f"{one.junction}: {one.reason}; the weights were trained with it, and no other "
                    "junction takes its place"
                )
        reads = sum(data.points for _, data in found)
        run = session.recorder.start_run(
            a["task"], "evaluated", seed=a["seed"], fold=a["fold"],
            settings={"evaluates": a["run"], "arm": a["arm"], "source": a["neuron"]},
        )  # fmt: skip
        if a["neuron"] == "live":
            live = DeviceArray([TwoReferenceMTJ(bench, one) for one, _ in found])
            model = network(a["weights"], live)
            with live.recording("evaluate", run):
                score = Score(right(model, x, y), len(y))
        else:
            model = network(a["weights"], TableNeuron([tabulate(d, one) for one, d in found]))
            score = Score(right(model, x, y), len(y))
    assert isinstance(model.activation, DeviceActivation)
    software = right(network(a["weights"], None), x, y) / len(y)
    return {
        **{name: a[name] for name in ("run", "trained_in", "task", "arm", "seed", "fold")},
        "neuron": a["neuron"],
        "junctions": list(junctions),
        "accuracy": pooled([score]),
        "interval": POOLED_INTERVAL,
        "software_accuracy": software,
        "reads": reads + model.activation.reads,
        "bench_seconds": bench.clock.time_s(),
    }
