"""Try other people's unmodified drivers on the simulated bench and say what passed.

    python3 tasks.py conformance [DRIVER...]

A DRIVER is a part of a name in the table, such as ``qcodes`` or ``2400``; without one all are
tried.
"""

from __future__ import annotations

import logging
import sys
import time
import warnings
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version

from conformance import guarded, places, pymeasure_drivers, qcodes_drivers
from conformance.trial import Ended, Station, Trial, at_most, table

#: by driver: its instrument in sim.yaml, its trial, and a second instrument that this needs
QCODES: dict[str, tuple[str, Callable[..., None], str]] = {
    "Keithley2400": ("x", qcodes_drivers.keithley_2400, ""),
    "Keithley2450": ("smu", qcodes_drivers.keithley_2450, ""),
    "YokogawaGS200": ("gs", qcodes_drivers.yokogawa_gs200, "nv"),
}
PYMEASURE: dict[str, tuple[str, Callable[..., None], str]] = {
    "Keithley2400": ("x", pymeasure_drivers.keithley_2400, ""),
    "Keithley2450": ("smu", pymeasure_drivers.keithley_2450, ""),
    "Keithley6221": ("field", pymeasure_drivers.keithley_6221, ""),
    "Keithley2182": ("nv", pymeasure_drivers.keithley_2182, "field"),
    "YokogawaGS200": ("gs", pymeasure_drivers.yokogawa_gs200, "nv"),
}
#: through the limits of bench.yaml
GUARDED: dict[str, tuple[str, Callable[..., None], str]] = {
    "QCoDeS Keithley2400": ("x", guarded.keithley_2400, ""),
    "QCoDeS YokogawaGS200": ("bias", guarded.yokogawa_gs200, ""),
}
MOST_S = 60  # for one driver; each takes a second or two
OVER_TCP = ("QCoDeS YokogawaGS200", "pymeasure Keithley2400")
IN_PROCESS, RAW, HISLIP, LIMITS = "in process", "raw socket", "HiSLIP", "through the limits"


@dataclass(frozen=True)
class Job:
    """One driver by one way.

    Attributes:
        station: of an instrument of the bench, by its name in ``sim.yaml``.
    """

    driver: str
    way: str
    at: str
    other: str
    attempt: Callable[..., None]
    station: Callable[[str], Station]

    def run(self) -> Trial:
        here = self.station(self.at)
        trial = Trial(self.driver, self.way, here)
        others = [self.station(self.other)] if self.other else []
        with suppress(Ended), at_most(MOST_S), trial.whole():
            self.attempt(trial, here, *others)
        return trial


def jobs(addresses: Callable[[], dict[str, tuple[str, str]]]) -> list[Job]:
    """All drivers in process, two of them over TCP, and two through the limits."""
    named = {f"QCoDeS {name}": row for name, row in QCODES.items()}
    named |= {f"pymeasure {name}": row for name, row in PYMEASURE.items()}
    found = [
        Job(driver, IN_PROCESS, at, other, attempt, partial(places.in_process, driver))
        for driver, (at, attempt, other) in named.items()
    ]
    found += [
        Job(driver, LIMITS, at, other, attempt, guarded.station)
        for driver, (at, attempt, other) in GUARDED.items()
    ]
    for way, which in ((RAW, 0), (HISLIP, 1)):

        def station(name: str, which: int = which) -> Station:
            return places.over_tcp(addresses()[name][which])

        for driver in OVER_TCP:
            at, attempt, other = named[driver]
            found.append(Job(driver, way, at, other, attempt, station))
    return found


def main(wanted: list[str]) -> int:
    """Try the drivers whose names hold one of the words; 0 if nothing failed."""
    warnings.simplefilter("ignore", FutureWarning)  # pymeasure's, of its deprecated properties
    logging.getLogger("qcodes").setLevel(logging.CRITICAL)  # what fails is in the report
    start = time.perf_counter()
    trials: list[Trial] = []
    with ExitStack() as stack:
        held: dict[str, dict[str, tuple[str, str]]] = {}

        def addresses() -> dict[str, tuple[str, str]]:
            if not held:
                held["tcp"] = stack.enter_context(places.served())
            return held["tcp"]

        for job in jobs(addresses):
            text = f"{job.driver} {job.way}".lower()
            if not wanted or any(word.lower() in text for word in wanted):
                trials.append(job.run())
    if not trials:
        print(f"No driver is called {' or '.join(wanted)}.")
        return 2
    print(table(trials))
    failed = sum(len(trial.failures) for trial in trials)
    tried_in_all = sum(step.tried for trial in trials for step in trial.steps.values())
    print(
        f"\n{tried_in_all - failed} of {tried_in_all} passed in {time.perf_counter() - start:.0f} s"
        f" (QCoDeS {version('qcodes')}, pymeasure {version('pymeasure')})"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
