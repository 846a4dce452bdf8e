"""A run that is stopped at any batch and goes on is the run that was not stopped, bit for bit."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
import pytest
import torch

import db
from device import InvalidReadingError, Reading, ResponseTable, TableNeuron
from training import checkpoint
from training.activation import DeviceActivation
from training.arms import Network, ShuffledGradient
from training.checkpoint import CheckpointError
from training.fast_table import TableActivation
from training.networks import MLP, initialise
from training.noise import LayerNoise, Noise, NoisePool
from training.noise_model import ModelNoise
from training.protocol import hold_out
from training.schedule import Limits, Schedule
from training.seeds import generator, torch_generator
from training.trainer import Trainer, TrainingStoppedError

SCHEDULE = Schedule(3, 0.05, batch_size=7)  # five batches an epoch, the last one short


class Tape(db.NullRecorder):
    """Keeps epochs and steps."""

    def __init__(self):
        super().__init__()
        self.epochs, self.steps_found = {}, {}

    def epoch(self, run, epoch, values):
        self.epochs[epoch] = dict(values)

    def steps(self, run, first, values):
        for name, column in values.items():
            for i, value in enumerate(column):
                self.steps_found[name, first + i] = float(value)


class Noisy(torch.nn.Module):
    """Noise on every read, from a stream of its own and from torch's."""

    def __init__(self, inner, rng):
        super().__init__()
        self.inner, self.rng = inner, rng

    def forward(self, x):
        noise = torch.randn(x.shape, generator=self.rng, dtype=x.dtype) + torch.randn_like(x)
        return self.inner(x) + 0.03 * noise


class Metered(TableNeuron):
    """Tables that count as measured."""

    def read(self, x, gradient=False):
        reading = super().read(x, gradient)
        return replace(reading, reads=x.size, bench_time_s=0.25)


def table():
    x = np.linspace(-2, 2, 33)
    one = ResponseTable(-2.0, 2.0, np.tanh(x), 1 - np.tanh(x) ** 2)
    return Metered([one] * 4)


def spots(n=33):
    x = torch.randn(n, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return x, (x[:, 0] * x[:, 1] > 0).long()


def make(tape, **how):
    """Everything new, as a new process has it."""
    noise, shuffle = torch_generator(0, "noise"), generator(0, "shuffle")
    order = torch_generator(0, "order")
    activation = Noisy(DeviceActivation(ShuffledGradient(table(), shuffle)), noise)
    model = Network(2, 4, 2, activation, torch_generator(0, "initial weights"))
    torch.manual_seed(5)
    return Trainer(
        model, *spots(), SCHEDULE, order, recorder=tape, run=1,
        keep={"noise": noise, "shuffle": shuffle}, **how,
    )  # fmt: skip


def bits(trainer):
    state = trainer.optimizer.state_dict()["state"]
    return [
        *(one.clone() for one in trainer.model.state_dict().values()),
        *(value.clone() for one in state.values() for value in one.values()),
    ]


def same(one, other):
    return len(one) == len(other) and all(
        torch.equal(a, b) for a, b in zip(one, other, strict=True)
    )


@pytest.fixture(scope="module")
def unstopped():
    tape = Tape()
    trainer = make(tape)
    assert trainer.run() == "done"
    return bits(trainer), tape, vars(trainer.now)


@pytest.mark.parametrize("stop", [0, 1, 4, 5, 6, 12, 14, 15])
def test_a_run_that_was_paused_at_any_batch_goes_on_bit_for_bit(tmp_path, unstopped, stop):
    tape, file = Tape(), tmp_path / "run.ckpt"
    first = make(tape, bench_state=lambda: b"drift clock: 12 s")
    ending = first.run(pause=lambda: first.now.step >= stop, save_to=file)
    assert ending == ("paused" if stop < 15 else "done")
    torch.rand(7)  # another process has drawn other numbers
    second = make(tape)
    torch.manual_seed(99)
    assert second.restore(file) == b"drift clock: 12 s"
    assert second.run() == "done"
    weights, whole, counters = unstopped
    assert same(bits(second), weights)
    assert (tape.epochs, tape.steps_found) == (whole.epochs, whole.steps_found)
    assert vars(second.now) == counters


@pytest.mark.parametrize("every", [1, 4])
def test_a_run_that_was_killed_goes_on_from_its_last_checkpoint(tmp_path, unstopped, every):
    file = tmp_path / "run.ckpt"

    def kill(done, total):
        assert total == 15
        if done == 8:
            raise KeyboardInterrupt

    tape = Tape()
    with pytest.raises(KeyboardInterrupt):
        make(tape).run(on_step=kill, save_to=file, save_every=every)
    second = make(tape)
    second.restore(file)
    assert second.now.step == {1: 7, 4: 5}[every]  # 5: the end of an epoch
    second.run()
    assert same(bits(second), unstopped[0])
    assert tape.steps_found == unstopped[1].steps_found


def test_without_its_generators_a_run_would_be_another(tmp_path, unstopped):
    file = tmp_path / "run.ckpt"
    first = make(Tape())
    first.run(pause=lambda: first.now.step >= 6, save_to=file)
    state = checkpoint.load(file)
    for name in ("noise", "batch order"):
        changed = state | {"keep": state["keep"] | {name: torch_generator(9).get_state()}}
        checkpoint.save(file, {key: one for key, one in changed.items() if key != "format"})
        second = make(Tape())
        second.restore(file)
        second.run()
        assert not same(bits(second), unstopped[0]), name


def test_a_checkpoint_of_another_run_is_refused_and_changes_nothing(tmp_path):
    file = tmp_path / "run.ckpt"
    make(Tape()).run(pause=lambda: True, save_to=file)
    for change, said in (
        ({"samples": 3}, "number of training samples"),
        ({"schedule": {"epochs": 4}}, "schedule"),
        ({"keep": {}}, "named generators"),
        ({"model": {}}, "names of the weights"),
    ):
        state = checkpoint.load(file) | change
        state.pop("format")
        checkpoint.save(tmp_path / "other.ckpt", state)
        trainer = make(Tape())
        before = bits(trainer)
        with pytest.raises(CheckpointError, match=said):
            trainer.restore(tmp_path / "other.ckpt")
        assert same(bits(trainer), before)


def test_a_write_that_fails_leaves_the_last_checkpoint(tmp_path, monkeypatch):
    file = tmp_path / "run.ckpt"
    checkpoint.save(file, {"value": 1})

    def full(state, target):
        target.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(CheckpointError, match=r"run\.ckpt cannot be written \(No space"):
        checkpoint.save(file, {"value": 2})
    assert checkpoint.load(file)["value"] == 1
    assert os.listdir(tmp_path) == ["run.ckpt"]


class Evil:
    def __reduce__(self):
        return os.mkdir, ("executed",)


def test_a_checkpoint_executes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"format": 1, "model": Evil()}, tmp_path / "evil.ckpt")
    with pytest.raises(CheckpointError, match="no checkpoint, or damaged"):
        checkpoint.load(tmp_path / "evil.ckpt")
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04 no archive"])
def test_what_is_no_checkpoint_is_named(tmp_path, content):
    (tmp_path / "a.ckpt").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"a\.ckpt is no checkpoint"):
        checkpoint.load(tmp_path / "a.ckpt")
    with pytest.raises(CheckpointError, match=r"b\.ckpt cannot be read"):
        checkpoint.load(tmp_path / "b.ckpt")


def test_numpys_generators_go_on_where_they_were(tmp_path):
    rng = generator(0, "any")
    rng.normal(size=3)
    checkpoint.save(tmp_path / "a", {"rng": checkpoint.state_of(rng)})
    wanted, other = rng.normal(size=4), generator(1)
    checkpoint.put_state(other, checkpoint.load(tmp_path / "a")["rng"])
    np.testing.assert_array_equal(other.normal(size=4), wanted)


# -- what ends a run ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limits", "ending", "step"),
    [
        (Limits(reads=4 * 14), "read budget", 2),
        (Limits(reads=4 * 14 + 1), "read budget", 3),
        (Limits(bench_s=1.0), "bench budget", 4),
        (Limits(wall_s=6.0), "time budget", 5),  # the clock ticks at each look
        (Limits(reads=0), "read budget", 0),
    ],
)
def test_a_budget_ends_a_run_before_the_next_batch(limits, ending, step):
    ticks = iter(range(1000))
    trainer = make(Tape(), limits=limits, clock=lambda: float(next(ticks)))
    assert trainer.run() == ending
    assert trainer.now.step == step


def test_a_budget_counts_what_was_spent_before_a_pause(tmp_path, unstopped):
    file = tmp_path / "run.ckpt"
    first = make(Tape())
    first.run(pause=lambda: first.now.step >= 6, save_to=file)
    second = make(Tape(), limits=Limits(reads=4 * 7 * 7))
    second.restore(file)
    assert second.run(save_to=file) == "read budget"
    assert second.now.step == 8  # the fifth batch of an epoch is short
    third = make(Tape())
    third.restore(file)
    assert third.run() == "done"
    assert same(bits(third), unstopped[0])


def stoppable(tape, file=None, pause_at=None):
    x, y = spots(60)
    train, held = (torch.from_numpy(one) for one in hold_out(y.numpy(), 0.4, 0))
    model = Network(2, 4, 2, torch.nn.Tanh(), torch_generator(0, "initial weights"))
    trainer = Trainer(
        model, x[train], y[train], Schedule(200, 0.5, batch_size=5), torch_generator(0, "order"),
        recorder=tape, run=1, validation=(x[held], y[held]), limits=Limits(patience=3),
    )  # fmt: skip
    if file is not None and file.exists():
        trainer.restore(file)
    stop = None if pause_at is None else (lambda: trainer.now.step >= pause_at)
    return trainer, trainer.run(pause=stop, save_to=file)


def test_an_early_stop_takes_the_weights_of_the_best_epoch(tmp_path):
    tape = Tape()
    trainer, ending = stoppable(tape)
    losses = [tape.epochs[i]["validation_loss"] for i in sorted(tape.epochs)]
    assert ending == "early stop"
    assert len(losses) < 200
    assert int(np.argmin(losses)) == len(losses) - 1 - 3
    found = trainer.model(trainer.validation[0])
    loss = torch.nn.functional.cross_entropy(found, trainer.validation[1])
    assert float(loss.detach()) == pytest.approx(min(losses), rel=1e-12)
    file, again = tmp_path / "run.ckpt", Tape()
    stoppable(again, file, pause_at=trainer.now.step - 8)
    resumed, ending = stoppable(again, file)
    assert ending == "early stop"
    assert same(bits(resumed), bits(trainer))
    assert again.epochs == tape.epochs


def test_patience_without_a_validation_part_is_refused():
    with pytest.raises(ValueError, match="hold one out"):
        make(Tape(), limits=Limits(patience=1))


class Doubting:
    """Is in doubt from the second reading on."""

    neurons = 4

    def __init__(self):
        self.calls = 0

    def read(self, x, gradient=False):
        self.calls += 1
        valid = None if self.calls == 1 else np.zeros(x.shape, bool)
        return Reading(np.tanh(x), 1 - np.tanh(x) ** 2, valid, None, x.size)


def test_dropped_batches_are_counted_across_a_pause(tmp_path):
    neuron, tape, file = Doubting(), Tape(), tmp_path / "run.ckpt"

    def fresh():
        model = Network(2, 4, 2, DeviceActivation(neuron), torch_generator(0))
        return Trainer(
            model, *spots(), replace(SCHEDULE, drops_in_a_row=3), torch_generator(1),
            recorder=tape, run=1,
        )  # fmt: skip

    first = fresh()
    first.run(pause=lambda: first.now.step >= 3, save_to=file)
    second = fresh()
    second.restore(file)
    with pytest.raises(TrainingStoppedError, match="3 batches in a row") as error:
        second.run()
    assert isinstance(error.value.__cause__, InvalidReadingError)
    losses = [tape.steps_found["loss", step] for step in (1, 2, 3, 4)]
    assert np.isnan(losses).tolist() == [False, True, True, True]


def test_measures_of_steps_are_in_the_record(tmp_path):
    with db.Recorder.open(tmp_path / "a.sqlite") as recorder:
        recorder.start_session("train", {})
        run = recorder.start_run("spots", "table", seed=0, fold=None, settings={})
        trainer = make(recorder)
        trainer.run_number = run
        trainer.run()
        recorder.end_session("complete")
    found = db.steps(tmp_path / "a.sqlite", run)
    assert found["step"].tolist() == list(range(1, 16))
    sizes = np.array([7, 7, 7, 7, 5] * 3)
    np.testing.assert_array_equal(found["reads"], np.cumsum(4 * sizes))
    ((session, stored),) = [db.run(tmp_path / "a.sqlite", run)]
    assert session == 1
    by_epoch = (found["loss"] * sizes).reshape(3, 5).sum(1) / 33
    np.testing.assert_allclose(by_epoch, stored.epochs["loss"], rtol=1e-12)


def noisy(tape):
    """A network with tables and every way in which noise is drawn, a new pool each epoch."""
    kinds = (
        Noise("additive", 0.05), Noise("multiplicative", 0.1, drawn="device"),
        Noise("input", 0.1, drawn="time", calls=5),
    )  # fmt: skip
    pool = NoisePool(3, size=4096)
    one = table().tables[0]
    model = MLP(
        [2, 4, 4, 2], lambda site: TableActivation(one, "last", LayerNoise(kinds, pool, site))
    )
    initialise(model, torch_generator(0, "initial weights"))
    noise = ModelNoise(model)
    trainer = Trainer(
        model, *spots(), SCHEDULE, torch_generator(0, "order"), recorder=tape, run=1,
        keep={"noise": noise},
    )  # fmt: skip
    return trainer, lambda *_: noise.renew()


@pytest.mark.parametrize("stop", [2, 5, 11])
def test_noise_pools_spread_and_walks_go_on_where_they_were(tmp_path, stop):
    whole, renew = noisy(Tape())
    whole.run(on_epoch=renew)
    first, renew = noisy(Tape())
    first.run(on_epoch=renew, pause=lambda: first.now.step >= stop, save_to=tmp_path / "a")
    second, renew = noisy(Tape())
    second.restore(tmp_path / "a")
    second.run(on_epoch=renew)
    assert same(bits(second), bits(whole))
    quiet = MLP([2, 4, 4, 2], lambda site: TableActivation(table().tables[0], "last"))
    other = Trainer(
        quiet, *spots(), SCHEDULE, torch_generator(0), recorder=Tape(), run=1,
        keep={"noise": ModelNoise(quiet)},
    )  # fmt: skip
    with pytest.raises(CheckpointError, match="another network or noise"):
        other.restore(tmp_path / "a")
