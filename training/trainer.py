"""The training loop: small enough to read."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from db import NullRecorder, Recorder
from device import InvalidReadingError
from training import checkpoint
from training.activation import DeviceActivation
from training.checkpoint import CheckpointError, Kept
from training.counters import Best, Counters, StepLog
from training.evaluation import Loss, mean_loss
from training.schedule import Ending, Limits, Schedule

OnEpoch = Callable[[int, float, float], None]
OnStep = Callable[[int, int], None]
_STEPS_AT_ONCE = 1000  # measures are recorded when an epoch ends with so many, or the run does


class TrainingStoppedError(Exception):
    """Too many batches had readings in doubt."""


class Trainer:
    """Trains with cross-entropy and Adam, and can stop and go on at any batch.

    Args:
        model: parameters with ``requires_grad`` off stay as they are.
        x: inputs [B, ...]; labels: class numbers [B].
        schedule: epochs, learning rate, batches.
        order: draws the order of the samples in each epoch (mini-batches only).
        recorder, run: where the figures of each step and epoch go.
        validation: inputs and labels to stop early by; a part of the training data, never test
            data (see :func:`training.protocol.hold_out`).
        limits: what else ends the run.
        loss: of logits and labels.
        keep: what else has a state, by name: generators and pools of noise; it goes into the
            checkpoint and is set back from it.
        bench_state: gives the state of the bench, as bytes that mean nothing here; who resumes
            finds them as ``bench`` in the checkpoint.
        clock: time in s.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        x: torch.Tensor,
        labels: torch.Tensor,
        schedule: Schedule,
        order: torch.Generator,
        *,
        recorder: Recorder | NullRecorder,
        run: int,
        validation: tuple[torch.Tensor, torch.Tensor] | None = None,
        limits: Limits | None = None,
        loss: Loss = torch.nn.functional.cross_entropy,
        keep: Mapping[str, Kept] | None = None,
        bench_state: Callable[[], bytes] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.model, self.x, self.labels, self.schedule = model, x, labels, schedule
        self.recorder, self.run_number = recorder, run
        self.validation, self.limits, self.loss = validation, limits or Limits(), loss
        if self.limits.patience is not None and validation is None:
            raise ValueError("patience needs a validation part: hold one out of the training data")
        trained = [p for p in model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.Adam(trained, lr=schedule.learning_rate)
        self.size = schedule.batch_size or len(x)
        self.batches = len(range(0, len(x), self.size))
        self.now = Counters()
        self.best = Best()
        self.steps = StepLog()
        self._order: torch.Tensor | None = None
        self._keep: dict[str, Kept] = {"batch order": order, **(keep or {})}
        self._generator = order
        self._bench_state, self._clock = bench_state, clock
        self._measured = [m for m in model.modules() if isinstance(m, DeviceActivation)]
        self._before_s = 0.0  # spent in earlier parts of the run

    @property
    def total_steps(self) -> int:
        """Batches of the whole schedule."""
        return self.schedule.epochs * self.batches

    def run(
        self,
        *,
        on_epoch: OnEpoch | None = None,
        on_step: OnStep | None = None,
        pause: Callable[[], bool] | None = None,
        save_to: str | Path | None = None,
        save_every: int | None = None,
    ) -> Ending:
        """Train to the end, or to where something else ends it.

        Args:
            on_epoch: is called with epoch (from 1), training accuracy and loss.
            on_step: is called with steps done and steps in all, after each batch.
            pause: is asked before each batch; True ends the run there.
            save_to: the checkpoint, written whenever the run ends but for an error, at the end of
                each epoch, and after every ``save_every`` steps.

        Returns:
            Why it ended.  After "done" and "early stop" the model has the weights to be used.

        Raises:
            TrainingStoppedError: too many batches dropped.
            CheckpointError: the checkpoint cannot be written.
        """
        started, before_s = self._clock(), self._before_s
        self.model.train()
        while True:
            self._before_s = before_s + self._clock() - started
            ending = self._ending(pause)
            if ending is not None:
                break
            self._step()
            finished = self.now.batch == self.batches
            if finished:
                self._end_epoch(on_epoch)
            if on_step is not None:
                on_step(self.now.step, self.total_steps)
            due = save_every is not None and self.now.step % save_every == 0
            if save_to is not None and (finished or due):
                self._before_s = before_s + self._clock() - started
                self.save(save_to)
        self.steps.flush(self.recorder, self.run_number)
        if save_to is not None:
            self.save(save_to)
        if ending in ("done", "early stop") and self.best.weights is not None:
            self.model.load_state_dict(self.best.weights)
        return ending

    def _ending(self, pause: Callable[[], bool] | None) -> Ending | None:
        limits = self.limits
        if self.now.epoch >= self.schedule.epochs:
            return "done"
        if limits.patience is not None and self.best.epochs_since >= limits.patience:
            return "early stop"
        if pause is not None and pause():
            return "paused"
        if limits.reads is not None and self._reads() >= limits.reads:
            return "read budget"
        if limits.bench_s is not None and self._bench_time_s() >= limits.bench_s:
            return "bench budget"
        if limits.wall_s is not None and self._before_s >= limits.wall_s:
            return "time budget"
        return None

    def _reads(self) -> int:
        return sum(m.reads for m in self._measured)

    def _bench_time_s(self) -> float:
        return sum(m.bench_time_s for m in self._measured)

    def _step(self) -> None:
        """One batch: forward, backward, step; or dropped."""
        now = self.now
        if now.batch == 0:
            small = self.size < len(self.x)
            self._order = torch.randperm(len(self.x), generator=self._generator) if small else None
        start = now.batch * self.size
        chosen = slice(start, start + self.size) if self._order is None else (
            self._order[start : start + self.size])  # fmt: skip
        now.batch += 1
        now.step += 1
        self.optimizer.zero_grad()
        try:
            logits = self.model(self.x[chosen])
        except InvalidReadingError as error:
            self.recorder.event("batch dropped", str(error))
            self.steps.add(now.step, float("nan"), float("nan"), self._reads(), float("nan"))
            self._dropped(error)
            return
        now.in_a_row = 0
        labels = self.labels[chosen]
        loss = self.loss(logits, labels)
        loss.backward()
        self.optimizer.step()
        value = float(loss.detach())
        correct = int((logits.argmax(1) == labels).sum())
        now.total += value * len(logits)
        now.right += correct
        now.seen += len(logits)
        if self._measured and self._measured[0].last:
            now.clamped_share = self._measured[0].last.clamped_share
        self.steps.add(now.step, value, correct / len(logits), self._reads(), now.clamped_share)

    def _dropped(self, error: InvalidReadingError) -> None:
        now, schedule = self.now, self.schedule
        now.dropped_now, now.in_a_row = now.dropped_now + 1, now.in_a_row + 1
        most = max(2, round(schedule.drops_per_epoch * self.batches))
        if now.in_a_row >= schedule.drops_in_a_row or now.dropped_now > most:
            self.steps.flush(self.recorder, self.run_number)
            raise TrainingStoppedError(
                f"epoch {now.epoch + 1}: {now.in_a_row} batches in a row and {now.dropped_now} of "
                f"{self.batches} in this epoch had readings in doubt; look at the junctions"
            ) from error

    def _end_epoch(self, on_epoch: OnEpoch | None) -> None:
        """Record the epoch, look at the validation part, and turn the counters on."""
        now = self.now
        # An epoch that has lost all its batches has no loss and no accuracy: none is made up.
        learned = {"loss": now.total / now.seen, "accuracy": now.right / now.seen} if (
            now.seen) else {}  # fmt: skip
        values = learned | {
            "reads": self._reads(),
            "bench_time_s": self._bench_time_s(),
            "clamped_share": now.clamped_share,
            "dropped_batches": now.dropped_now,
        }
        if self.validation is not None:
            values["validation_loss"] = held_out = mean_loss(
                self.model, *self.validation, self.loss, self.size
            )
            self.best.look(held_out, self.model if self.limits.patience is not None else None)
        self.recorder.epoch(self.run_number, now.epoch + 1, values)
        if len(self.steps) >= _STEPS_AT_ONCE:
            self.steps.flush(self.recorder, self.run_number)
        now.next_epoch()
        self._order = None
        if on_epoch is not None:
            nan = float("nan")
            on_epoch(now.epoch, learned.get("accuracy", nan), learned.get("loss", nan))

    # -- checkpoints ---------------------------------------------------------------------------

    def save(self, path: str | Path) -> None:
        """Write all that :meth:`restore` needs."""
        self.steps.flush(self.recorder, self.run_number)
        checkpoint.save(
            path,
            {
                "samples": len(self.x),
                "schedule": vars(self.schedule),
                "model": dict(self.model.state_dict()),
                "optimizer": self.optimizer.state_dict(),
                "counters": vars(self.now),
                "best": vars(self.best),
                "order": self._order,
                "keep": {name: checkpoint.state_of(one) for name, one in self._keep.items()},
                "torch": torch.get_rng_state(),
                "meters": [(m.reads, m.bench_time_s) for m in self._measured],
                "spent_s": self._before_s,
                "bench": None
                if self._bench_state is None
                else checkpoint.as_tensor(self._bench_state()),
            },
        )

    def restore(self, path: str | Path) -> bytes:
        """Go on from a checkpoint; returns the bench's state that was given to it.

        The trainer has to be made as it was then: network, data, schedule, and what it keeps.

        Raises:
            CheckpointError: no checkpoint, or of another run.
        """
        state: dict[str, Any] = checkpoint.load(path)
        checkpoint.check_same_run(
            path,
            ("number of training samples", state["samples"], len(self.x)),
            ("schedule", state["schedule"], vars(self.schedule)),
            ("named generators", sorted(state["keep"]), sorted(self._keep)),
            ("number of measured layers", len(state["meters"]), len(self._measured)),
            ("names of the weights", list(state["model"]), list(self.model.state_dict())),
        )
        try:
            self.model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
            for name, one in self._keep.items():
                checkpoint.put_state(one, state["keep"][name])
        except (RuntimeError, ValueError) as error:
            raise CheckpointError(f"{path} is of another network or noise ({error})") from None
        self.now = Counters(**state["counters"])
        self.best = Best(**state["best"])
        self._order = state["order"]
        torch.set_rng_state(state["torch"])
        for module, meters in zip(self._measured, state["meters"], strict=True):
            module.reads, module.bench_time_s = meters
        self._before_s = state["spent_s"]
        return b"" if state["bench"] is None else checkpoint.as_bytes(state["bench"])


def train(
    model: torch.nn.Module,
    x: torch.Tensor,
    labels: torch.Tensor,
    schedule: Schedule,
    order: torch.Generator,
    *,
    recorder: Recorder | NullRecorder,
    run: int,
    on_epoch: OnEpoch | None = None,
) -> int:
    """Train to the end of the schedule (see :class:`Trainer`).

    Returns:
        Batches dropped for doubtful readings.

    Raises:
        TrainingStoppedError: too many of them.
    """
    trainer = Trainer(model, x, labels, schedule, order, recorder=recorder, run=run)
    trainer.run(on_epoch=on_epoch)
    return trainer.now.dropped
