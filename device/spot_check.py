"""A few reference points, measured now and again on the bench, beside a table in use."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from device.devices import Device
from device.neurons import remeasured
from device.reading import InvalidReadingError
from device.table import ResponseTable
from device.watch import Correction, Tolerance, Watch

#: where the reference points lie, parts of the range; both halves, the middle and near the edges
_PLACES: dict[int, tuple[float, ...]] = {
    3: (0.25, 0.5, 0.75),
    4: (0.1, 0.4, 0.6, 0.9),
    5: (0.1, 0.3, 0.5, 0.7, 0.9),
}


class SpotCheck:
    """Compares one device with its table.

    Each check is against the table as it was measured, so corrections do not add up, and the limits
    are on all that has happened since.  A correction replaces the one in use when it differs by
    more than three standard errors, so that noise seldom changes anything.

    Args:
        device: the junction on the bench.
        table: its response as it was measured.
        points: number of reference points, 3 to 5.
        repeats: readings of each.
        tolerance: beyond it the device is refused.
        second: whether the table's g is from the device's second read-out, which is checked and
            corrected by itself then; else g follows the gain of y.
    """

    def __init__(
        self,
        device: Device,
        table: ResponseTable,
        *,
        points: int = 5,
        repeats: int = 2,
        tolerance: Tolerance | None = None,
        second: bool = True,
    ) -> None:
        if points not in _PLACES or repeats < 1:
            raise ValueError(
                f"points = {points}, repeats = {repeats}: a spot check has 3, 4 or 5 points, and "
                "reads each at least once"
            )
        self.device = device
        self.table = table
        self.watch = Watch(device, table, tolerance, second=second)
        low, high = (
            max(table.low, device.x_range[0]),
            min(table.high, device.x_range[1]),
        )
        #: the reference points, dimensionless
        self.x = np.tile(low + (high - low) * np.array(_PLACES[points]), repeats)
        #: corrections in use, of activation and gradient
        self.of_y, self.of_g = Correction(), Correction()

    def run(self) -> tuple[int, float]:
        """Measure, judge, and correct or leave it; the outcome is noted in the record.

        Returns:
            Points measured, and the bench time that it took, s.

        Raises:
            BadJunctionError: beyond the tolerance; nothing of this table is to be used any more.
            InvalidReadingError: all sweeps were void, or all readings in doubt: nothing is known.
            StoppedError, LimitError, InstrumentError: from the bench.
        """
        start_s = self.device.time_s()
        read = remeasured(self.device, self.x[:, None], self.watch)
        found = self.watch.judge(self.device.name, read)
        if not read.valid.any():
            raise InvalidReadingError(
                f"{self.device.name}: a spot check got no reading beyond doubt; its table is not "
                "used without one"
            )
        of_y = found[0]
        # With one read-out the gradient is the slope of y, and has its gain.
        of_g = found[1] if len(found) > 1 else replace(of_y, offset=0.0, offset_error=0.0)
        used = "as before"
        if of_y.differs(self.of_y) or of_g.differs(self.of_g):
            self.of_y, self.of_g, used = of_y, of_g, "corrected"
        self.device.note(
            "spot check", f"{self.device.name}: activation {of_y}; gradient {of_g}: {used}"
        )
        return read.reads, self.device.time_s() - start_s
