"""Junctions as the neurons of a layer."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from device.devices import JunctionDevice
from device.reading import Array, BadJunctionError, Mask, Reading, Source, as_batch
from device.roll import Policy, Roll

#: with a policy, a junction of whose readings more than this share stays in doubt is bad
_DOUBTFUL = 0.25


class Member(Protocol):
    """One neuron on one device: a LiveNeuron, or a TwoReferenceMTJ by itself."""

    @property
    def junctions(self) -> tuple[JunctionDevice, ...]: ...

    @property
    def x_range(self) -> tuple[float, float]: ...

    def note(self, kind: str, text: str) -> None: ...

    def read(self, x: Array, gradient: bool = False) -> Reading: ...


@dataclass(frozen=True)
class InputRange:
    """How a neuron's pre-activation becomes a device's: scale · (x - offset)."""

    scale: float = 1.0
    offset: float = 0.0

    @classmethod
    def of(cls, x: Array, low: float, high: float, share: float = 0.99) -> InputRange:
        """From the pre-activations of training data, once, as a converter's range is set.

        The middle ``share`` of them fits into [low, high]: moved no further than it must be, and
        made smaller if it is too wide; never larger.

        Args:
            x: pre-activations of all neurons that share the device, any shape.
            low, high: the device's range.
            share: of the pre-activations, above 0 and at most 1; the rest is clamped.
        """
        first, last = np.quantile(x, [(1 - share) / 2, (1 + share) / 2])
        width = float(last - first)
        scale = min(1.0, (high - low) / width) if width > 0 else 1.0
        # scale·(first - offset) >= low and scale·(last - offset) <= high
        offset = min(max(0.0, float(last) - high / scale), float(first) - low / scale)
        return cls(scale, offset)


class DeviceArray:
    """Junctions read one after another through the switch, one list each.

    Args:
        devices: the junctions, all on one bench.
        assign: which of them each neuron is, [n]; None: one neuron each, in order.  Neurons that
            share a junction are read in one list.
        inputs: of each junction; None: x as it is, or what :meth:`fit_inputs` finds.
        policy: what to do about a junction that is bad or stays in doubt; None: doubtful readings
            are marked as invalid, and a junction that its watch finds bad raises.
    """

    def __init__(
        self,
        devices: Sequence[Member],
        assign: Sequence[int] | None = None,
        *,
        inputs: Sequence[InputRange] | None = None,
        policy: Policy | None = None,
    ) -> None:
        if not devices:
            raise ValueError("an array needs at least one junction")
        self.devices = tuple(devices)
        self.assign = np.arange(len(devices)) if assign is None else np.asarray(assign, np.intp)
        if not len(self.assign) or not np.isin(self.assign, np.arange(len(devices))).all():
            raise ValueError(
                f"assign = {self.assign.tolist()}: give each neuron a device, 0 to "
                f"{len(devices) - 1}"
            )
        self._fitted = inputs is not None
        self.inputs = (InputRange(),) * len(devices) if inputs is None else tuple(inputs)
        if len(self.inputs) != len(devices):
            raise ValueError(f"{len(self.inputs)} inputs for {len(devices)} devices: one each")
        self.policy = policy
        self.roll = Roll(len(self.assign), Policy() if policy is None else policy)

    @property
    def neurons(self) -> int:
        """Number of neurons n, those left out among them."""
        return len(self.assign)

    @property
    def neurons_left(self) -> int:
        """Number of neurons that are left."""
        return self.roll.left

    def fit_inputs(self, x: Array, share: float = 0.99) -> None:
        """Set each junction's input range from training data, once (see :meth:`InputRange.of`).

        Args:
            x: pre-activations of the training data with the initial weights, [B, n].
            share: of those of each junction that are to fit.

        Raises:
            ValueError: the ranges stand already; another would change what the weights mean.
        """
        if self._fitted:
            raise ValueError("the input ranges stand already: they are set once, before training")
        x = as_batch(x, self.neurons)
        self.inputs = tuple(
            InputRange.of(x[:, self.assign == at], *device.x_range, share)
            if (self.assign == at).any()
            else InputRange()
            for at, device in enumerate(self.devices)
        )
        self._fitted = True

    @contextlib.contextmanager
    def recording(self, purpose: str, run: int | None = None) -> Iterator[None]:
        """Sweeps inside are recorded as made for ``purpose`` ("train", "evaluate") of ``run``."""
        parts = dict.fromkeys(part for device in self.devices for part in device.junctions)
        before = [(part.purpose, part.run) for part in parts]
        for part in parts:
            part.purpose, part.run = purpose, run
        try:
            yield
        finally:
            for part, (old_purpose, old_run) in zip(parts, before, strict=True):
                part.purpose, part.run = old_purpose, old_run

    def read(self, x: Array, gradient: bool = False) -> Reading:
        """Measure a batch: one list sweep per junction.

        Args:
            x: pre-activations, dimensionless, shape [B, n].
            gradient: also return g.

        Raises:
            BadJunctionError: a junction is bad and the policy is to stop, or there is none.
        """
        x = as_batch(x, self.neurons)
        columns: list[Reading] = [_out(len(x), gradient)] * self.neurons
        for at, device in enumerate(self.devices):
            mine = np.flatnonzero(self.assign == at).tolist()
            if not mine or mine[0] in self.roll.left_out:
                continue
            try:
                part = self._read(at, x[:, mine], gradient)
            except BadJunctionError as error:
                if self.policy is None:
                    raise
                self.roll.bad(mine, error, device.note)
            else:
                for j, column in zip(mine, part, strict=True):
                    columns[j] = column
        return self.roll.blank(join(columns, x.shape))

    def _read(self, at: int, x: Array, gradient: bool) -> list[Reading]:
        """The columns of the neurons on one junction, x of shape [B, m]."""
        device, given = self.devices[at], self.inputs[at]
        shape = x.shape
        found = device.read((given.scale * (x - given.offset)).reshape(-1, 1), gradient)
        if self.policy is not None and found.valid is not None and found.reads:
            doubtful = 1 - float(found.valid.mean())
            if doubtful > _DOUBTFUL:
                names = " and ".join(part.name for part in device.junctions)
                raise BadJunctionError(
                    f"{names}: {doubtful:.0%} of its readings stay in doubt; it is not used any "
                    "more"
                )

        y, g = found.y.reshape(shape), None
        if found.g is not None:
            g = given.scale * found.g.reshape(shape)
        valid, clamped = (
            None if one is None else one.reshape(shape) for one in (found.valid, found.clamped)
        )
        # What the list took is told once, with the first of its neurons.
        return [
            Reading(
                y[:, j : j + 1],
                None if g is None else g[:, j : j + 1],
                None if valid is None else valid[:, j : j + 1],
                None if clamped is None else clamped[:, j : j + 1],
                0 if j else found.reads,
                0.0 if j else found.bench_time_s,
                found.source,
            )
            for j in range(shape[1])
        ]


def _out(batch: int, gradient: bool) -> Reading:
    """The column of a neuron that is left out."""
    zero = np.zeros((batch, 1))
    return Reading(zero, zero if gradient else None)


def join(parts: Sequence[Reading], shape: tuple[int, ...]) -> Reading:
    """Readings of single neurons side by side."""

    def mask(name: str, missing: bool) -> Mask | None:
        columns = [getattr(part, name) for part in parts]
        if all(column is None for column in columns):
            return None
        filled = [np.full((shape[0], 1), missing) if c is None else c for c in columns]
        return np.concatenate(filled, axis=1)

    gradients = [part.g for part in parts if part.g is not None]
    sources: list[Source] = [part.source for part in parts if part.source != "unknown"]
    return Reading(
        np.concatenate([part.y for part in parts], axis=1),
        np.concatenate(gradients, axis=1) if gradients else None,
        mask("valid", True),
        mask("clamped", False),
        sum(part.reads for part in parts),
        sum(part.bench_time_s for part in parts),
        "mixed" if len(set(sources)) > 1 else sources[0] if sources else "unknown",
    )
