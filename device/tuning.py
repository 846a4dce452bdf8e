"""Controls that tune a response, and families of responses over one (as in arXiv 2603.03947)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np

from device.reading import Array, Reading, as_batch
from instruments import Bench, BenchError
from instruments.sweep import fill

#: purpose of recorded sweeps that a bias field changes: the record of a sweep has no bias in it
BIASED = "bias"


class Control:
    """A second quantity that tunes a response: a bias field, a shift, a read voltage.

    Args:
        name: with its unit, for the record.
        get, set: its value now, and another.  A value on the bench is set between sweeps.
        low, high: its range.
        step: for the gradient by difference.
    """

    def __init__(
        self,
        name: str,
        get: Callable[[], float],
        set: Callable[[float], None],
        low: float,
        high: float,
        step: float,
    ) -> None:
        if not (low < high and 0 < step <= (high - low) / 2):
            raise ValueError(f"{name}: range {low:g} to {high:g} with a step of {step:g}")
        self.name, self.low, self.high, self.step = name, low, high, step
        self._get, self._set = get, set

    @property
    def value(self) -> float:
        """Its value now."""
        return self._get()

    @value.setter
    def value(self, wanted: float) -> None:
        if not self.low <= wanted <= self.high:
            raise ValueError(
                f"{self.name}: {wanted:g} is outside its range, {self.low:g} to {self.high:g}"
            )
        self._set(wanted)

    def gradient(self, read: Callable[[Array], Reading], x: Array) -> tuple[Array, Reading]:
        """∂y/∂control at x by difference; near the ends of the range one-sided.

        Args:
            read: measures y, such as ``neuron.read``; it is asked twice.
            x: pre-activations, [B, n].

        Returns:
            ∂y/∂control, [B, n], NaN where a reading stayed in doubt, and the second reading.
        """
        before = self.value
        low, high = max(before - self.step, self.low), min(before + self.step, self.high)
        try:
            self.value = low
            first = read(x)
            self.value = high
            second = read(x)
        finally:
            self.value = before
        reads = first.reads + second.reads
        time_s = first.bench_time_s + second.bench_time_s
        return (second.y - first.y) / (high - low), replace(
            second, reads=reads, bench_time_s=time_s
        )

    def move(self, by: float) -> float:
        """Change it, no further than its range; the value then."""
        self.value = min(max(self.value + by, self.low), self.high)
        return self.value


class Family:
    """Responses measured at several values of a control, as one function of x and control.

    Args:
        values: of the control, rising, [C], C >= 2.
        x: where each response was measured, rising, [N].
        y: responses, [C, N].
    """

    def __init__(self, values: Array, x: Array, y: Array) -> None:
        values, x, y = (np.asarray(one, np.float64) for one in (values, x, y))
        if len(values) < 2 or (np.diff(values) <= 0).any() or y.shape != (len(values), len(x)):
            raise ValueError(
                f"{len(values)} rising values and {len(x)} points need responses of shape "
                f"[{len(values)}, {len(x)}], at least two; got {list(y.shape)}"
            )
        self.values, self.x, self.y = values, x, y

    @classmethod
    def measured(
        cls, control: Control, values: Array, read: Callable[[Array], Reading], x: Array
    ) -> Family:
        """Measure one; the control has its value of before afterwards.

        Raises:
            ValueError: a reading stayed in doubt.
        """
        before, found = control.value, []
        try:
            for value in np.asarray(values, np.float64).tolist():
                control.value = value
                found.append(read(as_batch(np.asarray(x)[:, None], 1)).y[:, 0])
        finally:
            control.value = before
        if not np.isfinite(found).all():
            raise ValueError(f"{control.name}: a reading of the family stayed in doubt")
        return cls(np.asarray(values), x, np.stack(found))

    def response(self, value: float) -> Array:
        """y at the points x for a value between those measured, [N]."""
        if not self.values[0] <= value <= self.values[-1]:
            raise ValueError(
                f"{value:g} lies outside the values that were measured, {self.values[0]:g} to "
                f"{self.values[-1]:g}"
            )
        at = int(np.clip(np.searchsorted(self.values, value) - 1, 0, len(self.values) - 2))
        share = (value - self.values[at]) / (self.values[at + 1] - self.values[at])
        result: Array = (1 - share) * self.y[at] + share * self.y[at + 1]
        return result

    def width(self, value: float) -> float:
        """Width of the response: half its span over its steepest slope, units of x.

        1 for a tanh of unit width; the slope is over a tenth of the points, so that noise of one
        reading is not taken for it.
        """
        y, span = self.response(value), max(len(self.x) // 10, 1)
        slope = (y[span:] - y[:-span]) / (self.x[span:] - self.x[:-span])
        return float(np.ptp(y) / (2 * np.abs(slope).max()))

    def value_for(self, width: float) -> float:
        """The control's value that gives a width, by interpolation between those measured.

        Raises:
            ValueError: no two neighbouring values have it between them.
        """
        widths = np.array([self.width(value) for value in self.values])
        for (a, b), (first, last) in zip(pairwise(widths), pairwise(self.values), strict=True):
            if a != b and min(a, b) <= width <= max(a, b):
                return float(first + (last - first) * (width - a) / (b - a))
        raise ValueError(
            f"no value from {self.values[0]:g} to {self.values[-1]:g} gives the width {width:g}; "
            f"they give {widths.min():.3g} to {widths.max():.3g}"
        )


def bias_control(bench: Bench, low: float, high: float, step: float) -> Control:
    """The bias magnet's level as a control, in the unit of ``limits.bias.level``, A or V.

    It is ramped within ``limits.bias.step`` and settles for ``timing.settle`` after each step; the
    bench has to be armed, and brings it to zero with everything else at the end.

    Args:
        bench: an open bench with a bias magnet.
        low, high: range.
        step: for the gradient.

    Raises:
        BenchError: the bench has no bias magnet.
    """
    bias, limits = bench.bias, bench.file.limits.bias
    if bias is None or limits is None:
        raise BenchError(
            "the bench file has no instruments.bias: a bias field cannot be set; add it with "
            "limits.bias"
        )
    most = max(abs(low), abs(high))
    prepared = False

    def set_level(wanted: float) -> None:
        nonlocal prepared
        if not prepared:
            bias.prepare(largest=most, compliance=limits.compliance.value)
            prepared = True
        largest = 2 * most if limits.step is None else limits.step.value
        between = fill(bias.read_level(), wanted, largest - bias.programming_step(most))
        for level in [*between, wanted]:
            bias.set_level(level)
            bench.transport.pause(bench.file.timing.settle)
        if bias.limited():
            raise BenchError(
                f"the bias magnet's source is held back by its compliance at {wanted:g} "
                f"{bias.unit}: look at the magnet, or mend limits.bias.compliance"
            )
        bench.recorder.event("bias", f"{wanted:g} {bias.unit}")

    def level() -> float:
        return bias.read_level() if prepared else 0.0

    return Control(f"bias ({bias.unit})", level, set_level, low, high, step)
