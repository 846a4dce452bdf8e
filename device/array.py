"""Several junctions as the neurons of a layer."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import numpy as np

from device.mtj import TwoReferenceMTJ
from device.reading import Array, Mask, Reading, as_batch


class DeviceArray:
    """One junction per neuron, read one after another through the switch.

    Args:
        devices: one a neuron, all on one bench.
    """

    def __init__(self, devices: Sequence[TwoReferenceMTJ]) -> None:
        if not devices:
            raise ValueError("an array needs at least one junction")
        self.devices = tuple(devices)

    @property
    def neurons(self) -> int:
        """Number of neurons n."""
        return len(self.devices)

    @contextlib.contextmanager
    def recording(self, purpose: str, run: int | None = None) -> Iterator[None]:
        """Sweeps inside are recorded as made for ``purpose`` ("train", "evaluate") of ``run``."""
        before = [(device.purpose, device.run) for device in self.devices]
        for device in self.devices:
            device.purpose, device.run = purpose, run
        try:
            yield
        finally:
            for device, (old_purpose, old_run) in zip(self.devices, before, strict=True):
                device.purpose, device.run = old_purpose, old_run

    def read(self, x: Array, gradient: bool = False) -> Reading:
        """Measure a batch: one list sweep per junction.

        Args:
            x: pre-activations, dimensionless, shape [B, n].
            gradient: also return g.
        """
        x = as_batch(x, self.neurons)
        parts = [device.read(x[:, j : j + 1], gradient) for j, device in enumerate(self.devices)]
        return join(parts, x.shape)


def join(parts: Sequence[Reading], shape: tuple[int, ...]) -> Reading:
    """Readings of single neurons side by side."""

    def mask(name: str, missing: bool) -> Mask | None:
        columns = [getattr(part, name) for part in parts]
        if all(column is None for column in columns):
            return None
        filled = [np.full((shape[0], 1), missing) if c is None else c for c in columns]
        return np.concatenate(filled, axis=1)

    gradients = [part.g for part in parts if part.g is not None]
    return Reading(
        np.concatenate([part.y for part in parts], axis=1),
        np.concatenate(gradients, axis=1) if gradients else None,
        mask("valid", True),
        mask("clamped", False),
        sum(part.reads for part in parts),
        sum(part.bench_time_s for part in parts),
    )
