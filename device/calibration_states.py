"""Both states of the z layer, reached with a bias field: what makes a calibration direct."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from device.calibration_sweep import sure
from device.conductance import conductances
from device.reading import CalibrationError
from device.tuning import BIASED, Control, bias_control
from instruments import Bench, BenchError

#: Largest change of G_z from half the bias to all of it, as a share of what it turns: more is a
#: layer that has not been reached.
_MOST_LEFT = 0.05


@dataclass(frozen=True)
class States:
    """Both states of the z layer.

    Attributes:
        up_s, down_s: G_z with the free layer along +z and along -z, S.
        sigma_s: standard error of each, S.
        reads: junction points measured for them.
    """

    up_s: float
    down_s: float
    sigma_s: float
    reads: int = 0

    def __post_init__(self) -> None:
        if not abs(self.up_s - self.down_s) > 10 * self.sigma_s:
            raise CalibrationError(
                f"the two states of the z layer differ by {abs(self.up_s - self.down_s):.2g} S, "
                f"with an error of {self.sigma_s:.2g} S each: they are no two states"
            )


def reach_states(
    bench: Bench, junction: str, *, readings: int = 32, lead_ohm: float = 0.0
) -> States:
    """Drive the free layer along -z and +z with the bias magnet, at no field-line current.

    Heat shortens the mean vector by c/(bias + k); so what is left at the full bias is about what
    changes from half of it to all, and is added, with half of itself as its error.  It ends along
    +z, and with the magnet at zero.

    Args:
        bench: an open bench with a bias magnet; ``limits.bias.level`` is what is driven.
        junction: its name.
        readings: at each of four levels.
        lead_ohm: resistance of each meter's own lead, ohm.

    Raises:
        BenchError: the bench has no bias magnet, or its source is held back.
        CalibrationError: a reading is in doubt, or the magnet does not turn the layer.
    """
    ohms = bench.file.readout.common_resistance, lead_ohm
    ends: list[float] = []
    errors: list[float] = []
    with bench.running():
        limits = bench.file.limits.bias
        most = 1.0 if limits is None else limits.level.value  # without one the control refuses
        control = bias_control(bench, -most, most, most)
        # Relays move only while every source is at zero: join the junction before the magnet is on.
        joined = bench.sweep(junction, [0.0], purpose="calibrate")
        sure(joined)
        reads = joined.points
        try:
            for sign in (-1.0, 1.0):
                half, full = (
                    _read(bench, junction, readings, ohms, control, level)
                    for level in (sign * most / 2, sign * most)
                )
                left = full[0] - half[0]
                ends.append(full[0] + left)
                reads += half[2] + full[2]
                errors.append(float(np.sqrt(4 * full[1] ** 2 + half[1] ** 2 + left**2 / 4)))
        finally:
            control.value = 0.0
        if control.value != 0.0:  # read back: until then no relay moves
            raise BenchError(f"the bias magnet's source does not go to zero but {control.value:g}")
    down, up = ends
    found = States(up, down, max(errors), reads)
    if max(errors) > _MOST_LEFT / 2 * abs(up - down):
        raise CalibrationError(
            f"{junction}: the bias field does not reach both states of the z layer; calibrate it "
            "planar, or raise limits.bias.level if the magnet bears it"
        )
    return found


def _read(
    bench: Bench, junction: str, readings: int, ohms: tuple[float, float], bias: Control,
    level: float,
) -> tuple[float, float, int]:  # fmt: skip
    """G_z at a level of the bias, S, its standard error, and the points measured."""
    bias.value = level
    data = bench.sweep(junction, np.zeros(readings), purpose=BIASED, order="given")
    sure(data)
    g_z = conductances(data, *ohms)[1]
    return float(np.mean(g_z)), float(np.std(g_z, ddof=1) / np.sqrt(readings)), data.points
