"""Twin neurons: the planar law in place of a junction."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from device.array import join
from device.calibration import Calibration
from device.reading import Array, Reading, as_batch
from device.twin import PlanarTwin


class TwinNeuron:
    """Neurons that answer by their twins' law, without noise; the interface of live ones.

    g is the law's own slope, exact.

    Args:
        twins: one a neuron.
        calibrations: of the same junctions: x means what it means to live neurons with these, and
            the range is theirs; None: centre, unit width and range of the twins themselves.
        scale_a: field-line current per unit of x, A; None: the unit width.
    """

    def __init__(
        self,
        twins: Sequence[PlanarTwin],
        calibrations: Sequence[Calibration] | None = None,
        scale_a: float | None = None,
    ) -> None:
        self.twins = tuple(twins)
        self._inputs: tuple[PlanarTwin | Calibration, ...] = tuple(calibrations or twins)
        for twin, one in zip(self.twins, self._inputs, strict=True):
            if twin.junction != one.junction:
                raise ValueError(
                    f"the twin of {twin.junction} stands beside the calibration of {one.junction}"
                )
        self._scale_a = scale_a

    @property
    def neurons(self) -> int:
        """Number of neurons n."""
        return len(self.twins)

    def read(self, x: Array, gradient: bool = False) -> Reading:
        """Compute a batch, x of shape [B, n]; nothing is measured."""
        x = as_batch(x, self.neurons)
        parts = []
        for column, twin, one in zip(x.T, self.twins, self._inputs, strict=True):
            scale = one.unit_width_a if self._scale_a is None else self._scale_a
            wanted = one.center_a + scale * column
            current = np.clip(wanted, one.low_a, one.high_a)
            clamped = current != wanted
            y, _ = twin.magnetisation(current)
            parts.append(
                Reading(
                    y[:, None],
                    scale * twin.slope(current)[:, None] if gradient else None,
                    clamped=clamped[:, None] if clamped.any() else None,
                    source="twin",
                )
            )
        return join(parts, x.shape)
