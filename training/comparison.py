"""A task in all its arms, paired by seed, as :mod:`training.protocol` has it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from db import JSON
from device import DeviceArray, TableNeuron
from instruments.session import Session
from training.activation import DeviceActivation
from training.arms import ARMS, SOURCE, Arm, Network, make_activation
from training.evaluation import right
from training.protocol import Plan, Score
from training.seeds import generator, torch_generator
from training.tasks import Fold, Task
from training.trainer import train

Array = NDArray[np.float64]
REACH = 3.0  # unit widths that the training data's inputs span at the start


@dataclass(frozen=True)
class Progress:
    """How far a job is; sent after each epoch.

    Attributes:
        label: what is being trained.
        done, total: epochs of live training.
        accuracy: of the epoch just over, on the training data.
        reads: junction points measured so far.
        bench_s: bench time so far, s.
    """

    label: str
    done: int
    total: int
    accuracy: float
    reads: int
    bench_s: float


@dataclass
class Tally:
    """What the live runs of a session have left behind, in order.

    Attributes:
        weights: final weights by run and name.
        x, g: inputs and measured gradients of each live run's last epoch, [B, n] each.
        reads: junction points measured.
        dropped: batches dropped.
        sources: where the activations of the tests came from, by task and arm.
    """

    weights: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    x: list[Array] = field(default_factory=list)
    g: list[Array] = field(default_factory=list)
    reads: int = 0
    dropped: int = 0
    epochs_done: int = 0
    curves: dict[str, list[list[float]]] = field(default_factory=dict)
    sources: dict[str, set[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Layer:
    """The hidden layer, live and, where an arm wants it, tabulated."""

    live: DeviceArray
    table: TableNeuron | None


OnProgress = Callable[[Progress], None]


def live_epochs(task: Task, seeds: Sequence[int]) -> int:
    """Epochs of live training that a comparison takes."""
    return task.schedule.epochs * len(seeds) * task.fold_count


def compare(
    session: Session,
    task: Task,
    layer: Layer,
    seeds: Sequence[int],
    tally: Tally,
    *,
    arms: Sequence[Arm] = ARMS,
    on_epoch: Callable[[str, float], None] | None = None,
) -> dict[str, JSON]:
    """Train and test every arm on every seed and fold.

    Args:
        session: open; its recorder gets every run.
        task: what is learned.
        layer: the hidden neurons.
        seeds: one paired repetition each.
        tally: is added to.
        arms: which arms.
        on_epoch: is called after every live epoch with a label and the training accuracy.

    Returns:
        What :meth:`training.protocol.Plan.report` says, the protocol and the schedule.
    """

    def source(arm: Arm) -> str:
        found = tally.sources[f"{task.name}/{arm}"]
        return next(iter(found)) if len(found) == 1 else "mixed"

    plan: Plan[Arm, Fold] = Plan(arms, seeds, task.folds, task.fold_count, source)
    scores = plan.run(
        lambda arm, seed, fold: _run(session, task, layer, seed, fold, arm, tally, on_epoch)
    )
    return plan.report(scores) | {
        "protocol": task.protocol,
        "schedule": asdict(task.schedule),
    }


def _run(
    session: Session,
    task: Task,
    layer: Layer,
    seed: int,
    fold: Fold,
    arm: Arm,
    tally: Tally,
    on_epoch: Callable[[str, float], None] | None,
) -> Score:
    """One arm on one fold."""
    names = (task.name, fold.number if fold.number is not None else "all")
    activation = make_activation(
        arm, layer.live, layer.table, generator(seed, "shuffled gradient", *names)
    )
    model = Network(
        task.inputs,
        layer.live.neurons,
        task.outputs,
        activation,
        torch_generator(seed, "initial weights", *names),
    )
    model.fit_range(fold.x_train, REACH)
    if arm == "frozen":
        model.hidden.requires_grad_(False)
    run = session.recorder.start_run(
        task.name,
        arm,
        seed=seed,
        fold=fold.number,
        settings={"schedule": asdict(task.schedule), "source": SOURCE[arm]},
    )
    label = f"{task.name}, seed {seed}" + (
        f", fold {fold.number + 1}" if fold.number is not None else ""
    )
    learned: list[float] = []

    def after_epoch(epoch: int, share: float, loss: float) -> None:
        learned.append(share)
        if isinstance(activation, DeviceActivation):
            tally.reads += activation.reads
            activation.reads = 0
        if arm == "device" and on_epoch is not None:
            tally.epochs_done += 1
            on_epoch(label, share)

    with _recorded(layer, arm, "train", run):
        tally.dropped += train(
            model, fold.x_train, fold.y_train, task.schedule,
            torch_generator(seed, "batch order", *names),
            recorder=session.recorder, run=run, on_epoch=after_epoch,
        )  # fmt: skip
    if arm == "device":
        assert isinstance(activation, DeviceActivation)
        assert activation.last_x is not None and activation.last is not None
        assert activation.last.g is not None
        tally.x.append(activation.last_x)
        tally.g.append(activation.last.g)
    with _recorded(layer, arm, "evaluate", run):
        score = Score(right(model, fold.x_test, fold.y_test), len(fold.y_test))
    source: str = SOURCE[arm]
    if isinstance(activation, DeviceActivation):
        assert activation.last is not None
        source = activation.last.source
    tally.sources.setdefault(f"{task.name}/{arm}", set()).add(source)
    weights = {name: value.detach().numpy().copy() for name, value in model.state_dict().items()}
    session.recorder.weights(run, weights)
    tally.curves.setdefault(f"{task.name}/{arm}", []).append(learned)
    if arm == "device":
        assert isinstance(activation, DeviceActivation)
        tally.reads += activation.reads
        where = f"{task.name}/{seed}/{fold.number}"
        tally.weights |= {f"{where}/{name}": value for name, value in weights.items()}
    return score


@contextlib.contextmanager
def _recorded(layer: Layer, arm: Arm, purpose: str, run: int) -> Iterator[None]:
    with layer.live.recording(purpose, run) if arm == "device" else contextlib.nullcontext():
        yield


def gradient_agreement(measured_g: Array, reference_g: Array) -> tuple[float, float]:
    """Cosine between two gradients over all points, and the ratio of their norms."""
    a, b = measured_g.ravel(), reference_g.ravel()
    norms = float(np.linalg.norm(a)), float(np.linalg.norm(b))
    return float(a @ b) / (norms[0] * norms[1]), norms[0] / norms[1]


def one_thread() -> None:
    """One torch thread: the same bits whatever the machine is doing, and faster on small nets."""
    torch.set_num_threads(1)
