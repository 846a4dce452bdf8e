"""The steps of a rehearsal that try the fuses in the instruments."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy as np

from instruments.bench import Bench
from instruments.errors import ComplianceError, SweepVoidError
from instruments.fetching import TRIP_POINTS
from instruments.rehearsal_steps import Dummies, FailedError, NotTriedError, is_off
from instruments.states import State
from instruments.units import show

_FUSE_SHARE = 0.5  # of what a dummy draws: a fuse that must act
_FUSE_TOLERANCE = 0.05
_LOWEST_COMPLIANCE_V = 0.1  # what a field source can be set to


def meter_fuses(bench: Bench, dummies: Dummies) -> str:
    """With a compliance below what the dummies draw, the meters hold the current there, say so,
    and the readings are not valid."""
    seen = []
    for name in bench.file.junctions:
        with _meters_held(bench, dummies.ohm[name]) as most_a:
            data = bench.sweep(name, np.zeros(3), purpose="check")
            if data.valid.any():
                raise FailedError(f"{name}: compliance was not reported")
            for layer, current_a in (("x", data.current_x_a), ("z", data.current_z_a)):
                largest_a = float(np.abs(current_a).max())
                if largest_a > most_a * (1 + _FUSE_TOLERANCE):
                    raise FailedError(
                        f"{name}: meter {layer} let {show(largest_a, 'A')} through, with a "
                        f"compliance of {show(most_a, 'A')}"
                    )
        seen.append(f"{name} held at {show(most_a, 'A')}")
    return ", ".join(seen)


def meter_trip(bench: Bench, dummies: Dummies) -> str:
    """A list that is in compliance for the most part trips the bench."""
    if bench.file.readout.trip_share >= 1:
        raise NotTriedError("readout.trip_share is 1: nothing trips")
    name = next(iter(bench.file.junctions))
    with _meters_held(bench, dummies.ohm[name]):
        try:
            bench.sweep(name, np.zeros(TRIP_POINTS), purpose="check")
        except ComplianceError as error:
            return is_off(bench, str(error))
    raise FailedError("a list in compliance did not trip the bench")


@contextlib.contextmanager
def _meters_held(bench: Bench, ohm: float) -> Iterator[float]:
    """The meters' compliance at a share of what a dummy draws, A."""
    file, readout = bench.file, bench.file.readout
    most_a = _FUSE_SHARE * readout.voltage / ohm
    lowest = 1.5 * readout.voltage / most_a  # as the file makes its compliance of it
    bench.use(
        file.model_copy(
            update={"readout": readout.model_copy(update={"lowest_resistance": lowest})}
        )
    )
    try:
        yield most_a
    finally:
        bench.use(file)


def field_fuse(bench: Bench, dummies: Dummies) -> str:
    """With a compliance below what the line drops, the field source says that it is held back."""
    file, line = bench.file, bench.file.limits.field_line
    ohm = line.resistance if dummies.line_ohm is None else dummies.line_ohm
    range_a = file.calibration.range
    held_v = _FUSE_SHARE * range_a * ohm
    if held_v < _LOWEST_COMPLIANCE_V:
        raise NotTriedError(
            f"the line drops {show(range_a * ohm, 'V')} at most, and the source's compliance "
            f"cannot be set to half of that (at least {show(_LOWEST_COMPLIANCE_V, 'V')}): it "
            "protects little; a larger resistor (--line-ohm) shows that it acts"
        )
    resistance = held_v / (1.5 * line.largest_a)  # as compliance_v is made of it
    limits = file.limits.model_copy(
        update={"field_line": line.model_copy(update={"resistance": resistance})}
    )
    bench.use(file.model_copy(update={"limits": limits}))
    text = f"held back at {show(held_v, 'V')} and reported"
    try:
        bench.sweep(next(iter(file.junctions)), [range_a], purpose="check")
        if not bench.source.in_compliance():
            raise FailedError(
                f"{show(range_a, 'A')} through {show(ohm, 'ohm')} did not reach a compliance of "
                f"{show(held_v, 'V')}: is it the resistor that you gave (--line-ohm)?"
            )
        return text
    except ComplianceError:  # it ended the list as well
        return is_off(bench, text)
    except SweepVoidError as error:
        if bench.state is State.TRIPPED:
            return is_off(bench, text)
        raise FailedError(str(error)) from None
    finally:
        bench.use(file)
