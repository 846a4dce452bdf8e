"""Two threads that hammer one instrument: the share of answers that are the other thread's.

python benchmarks/threads.py [--reads 10000]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pyvisa
from pymeasure.instruments.keithley import Keithley2400

from instruments import Bench

QUESTIONS = (":SENS:CURR:PROT?", ":SOUR:VOLT:RANG?")


def wrong(ask: Callable[[str], object], reads: int) -> int:
    """Answers that are not their question's, or none, of so many reads by two threads."""
    right = {question: ask(question) for question in QUESTIONS}

    def hammer(question: str) -> int:
        bad = 0
        for _ in range(reads // 2):
            try:
                bad += ask(question) != right[question]
            except pyvisa.VisaIOError:  # the other has taken the answer away
                bad += 1
        return bad

    with ThreadPoolExecutor(2) as threads:
        return sum(threads.map(hammer, QUESTIONS))


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--reads", type=int, default=10_000)
    reads = options.parse_args().reads
    with Bench.open() as bench:
        ours = wrong(bench.transport.links["x"].query, reads)
    manager = pyvisa.ResourceManager("?instance=threads@spinloop")
    bare = Keithley2400("GPIB0::24::INSTR", visa_library=manager.visalib)
    theirs = wrong(bare.ask, reads)
    print(f"two threads, {reads} reads of one instrument: wrong or lost answers")
    print(f"  through the transport  {ours:6}  {ours / reads:8.2%}")
    print(f"  bare pymeasure         {theirs:6}  {theirs / reads:8.2%}")


if __name__ == "__main__":
    main()
