"""The steps of a rehearsal that try wiring, limits and stop."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from instruments.bench import Bench
from instruments.errors import InstrumentError, LimitError, StoppedError
from instruments.states import State
from instruments.units import show

_POINTS = 21  # of each junction's sweep, both signs
_BEYOND = 1.2  # times a limit: what has to be refused


@dataclass(frozen=True)
class Dummies:
    """The resistors in place of what can be hurt.

    Attributes:
        ohm: of both layers of each junction, ohm.
        line_ohm: in place of the field line, ohm; None: the line itself.
        tolerance: by how much a reading may differ, a share.
    """

    ohm: Mapping[str, float]
    line_ohm: float | None
    tolerance: float


class NotTriedError(Exception):
    """Why a step cannot be tried on this bench."""


class FailedError(Exception):
    """What a step has seen in place of what it should."""


Work = Callable[[Bench, Dummies], str]


def arm(bench: Bench, dummies: Dummies) -> str:
    bench.arm()
    return "ranges, compliances and triggers read back; outputs on at zero"


def sweep_of(name: str) -> Work:
    def work(bench: Bench, dummies: Dummies) -> str:
        range_a = bench.file.calibration.range
        data = bench.sweep(name, np.linspace(-range_a, range_a, _POINTS), purpose="check")
        wanted, found = dummies.ohm[name], []
        for layer, current_a in (("x", data.current_x_a), ("z", data.current_z_a)):
            if not data.valid.all():
                raise FailedError(
                    f"{int((~data.valid).sum())} of {_POINTS} readings are in compliance or above "
                    "the range: look for a short, or mend readout.lowest_resistance"
                )
            with np.errstate(divide="ignore"):
                ohm = data.voltage_v / current_a
            worst = float(ohm[np.argmax(np.abs(ohm - wanted))])
            if abs(worst - wanted) > dummies.tolerance * wanted:
                raise FailedError(
                    f"layer {layer} reads {show(worst, 'ohm')}, not {show(wanted, 'ohm')} within "
                    f"{dummies.tolerance:.2g}: look at the relays, the wiring, or give its --ohm"
                )
            found.append(f"{layer} {show(float(np.mean(ohm)), 'ohm')}")
        ends = f"{show(-range_a, 'A')} to {show(range_a, 'A')}"
        return f"{', '.join(found)}, from {ends}"

    return work


def refusals(bench: Bench, dummies: Dummies) -> str:
    """What is above a limit does not reach an instrument."""
    file = bench.file
    line, name = file.limits.field_line, next(iter(file.junctions))
    own, source, ring = file.junction_limits(name), bench.source, file.timing.trigger == "ring"
    bench.join(name)
    tries: list[tuple[str, Callable[[], object]]] = [
        ("a field beyond its limit", partial(source.set_current, _BEYOND * line.largest_a)),
        ("a sweep beyond it", partial(bench.plan, [_BEYOND * line.largest_a])),
    ]
    if _BEYOND * line.step <= line.largest_a:  # else every level is within one step
        tries.append(("a step that is too large", partial(source.set_current, _BEYOND * line.step)))
    meters = {"x": bench.x, "z": bench.z}
    for role, meter in meters.items():
        volt = _BEYOND * own.voltage
        tries.append((f"a voltage beyond {role}'s limit", partial(meter.set_voltage, volt)))
    if bench.bias is not None and file.limits.bias is not None:
        most = file.limits.bias
        bench.bias.prepare(largest=most.level.value, compliance=most.compliance.value)
        high = _BEYOND * most.level.value
        tries.append(("a bias beyond its limit", partial(bench.bias.set_level, high)))
    loose = partial(
        bench.x.prepare, compliance_a=_BEYOND * own.current, nplc=file.timing.nplc, trigger_in=1,
        trigger_out=2 if ring else None, delay_s=0.0,
    )  # fmt: skip
    tries.append(("a compliance beyond the junction's current", loose))
    for what, attempt in tries:
        _is_refused(what, attempt)
    for role, meter in meters.items():
        meter.set_voltage(file.readout.voltage)
        _is_refused(f"relays that open while {role} is live", bench.switch.open_all)
        meter.set_voltage(0.0)
        meter.read_level()
    bench.use(file)  # all settings anew: one was left half made
    return f"{len(tries) + len(meters)} values and acts, all refused"


def _is_refused(what: str, attempt: Callable[[], object]) -> None:
    try:
        attempt()
    except (LimitError, InstrumentError):  # by the limit, or by the instrument's range before it
        return
    raise FailedError(f"{what} was not refused")


def stop(bench: Bench, dummies: Dummies) -> str:
    """From another thread, in the middle of a sweep, with the field and both junctions on."""
    range_a, name = bench.file.calibration.range, next(iter(bench.file.junctions))
    problems: list[str] = []

    def from_elsewhere() -> None:
        problems.extend(bench.stop("the rehearsal's stop"))

    def on_list(data: Any) -> None:
        thread = threading.Thread(target=from_elsewhere, name="the rehearsal's stop")
        thread.start()
        thread.join()

    levels_a = np.linspace(-range_a, range_a, _POINTS)
    try:
        bench.sweep(name, levels_a, purpose="check", list_points=_POINTS // 3, on_list=on_list)
    except StoppedError:
        return is_off(bench, "every output at zero and off, in the middle of a sweep")
    raise FailedError("the sweep went on after the stop")


def is_off(bench: Bench, text: str) -> str:
    """After a trip: whether everything is off; then ready again."""
    if bench.state is not State.TRIPPED:
        raise FailedError(f"the bench is {bench.state.value}, not tripped ({text})")
    if bench.unsafe:
        raise FailedError("; ".join(bench.unsafe))
    bench.reset()
    return text
