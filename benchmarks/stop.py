"""From Stop to outputs off, over HiSLIP at real time: in a sweep, and while a read hangs.

python benchmarks/stop.py [--trials 30]
"""

from __future__ import annotations

import argparse
import contextlib
import os
import tempfile
import threading
import time
from importlib.resources import files
from pathlib import Path

import numpy as np

from db import Message
from instruments import Bench, BenchError
from sim_backend.bench import SimBench
from sim_backend.faults_kinds import Timeout
from sim_backend.server import running
from sim_backend.truth import load_truth


def one(bench: Bench, sim: SimBench, *, hangs: bool) -> float:
    """Stop a bench in the middle; wall seconds until every output is off."""
    begun = threading.Event()

    def run() -> None:
        with contextlib.suppress(BenchError):
            if hangs:
                bench.arm()
                begun.set()
                bench.transport.links["x"].query("*OPC?", timeout_s=10.0)
            else:
                bench.sweep("J1", np.linspace(-0.03, 0.03, 200), list_points=100,
                            on_list=lambda _: begun.set())  # fmt: skip

    if hangs:
        sim.faults.add(Timeout(instrument="x", header="*OPC?"))
    thread = threading.Thread(target=run)
    thread.start()
    begun.wait()
    time.sleep(0.3 * np.random.default_rng().random() + 0.1)
    off: list[float] = []
    sent, start = bench.recorder.message, time.perf_counter()

    def note(message: Message) -> None:
        if message.sent == ":OUTP OFF":
            off.append(time.perf_counter() - start)

    bench.recorder.message = note  # type: ignore[method-assign]
    problems = bench.stop()
    bench.recorder.message = sent  # type: ignore[method-assign]
    sources = [sim.source, *sim.meters.values()]
    assert not problems and not any(source.state["output"] for source in sources)
    thread.join()
    bench.reset()
    return max(off)


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--trials", type=int, default=30)
    trials = options.parse_args().trials
    sim = SimBench(load_truth(None))
    text = files("instruments").joinpath("demo_bench.yaml").read_text(encoding="utf-8")
    text = text.replace("backend: sim ", "visa: '@py'\nbackend: real ")
    with (
        tempfile.TemporaryDirectory() as folder,
        running(sim, port=0, hislip_port=0, realtime=1.0) as server,
    ):
        os.environ["SPINLOOP_STATE"] = folder
        for old, new in zip(("12", "24", "25", "7"), server.served, strict=True):
            text = text.replace(f"GPIB0::{old}::INSTR", new.hislip)
        path = Path(folder, "bench.yaml")
        path.write_text(text, encoding="utf-8")
        print(f"from Stop until the last output has been told off, ms, of {trials} trials")
        with Bench.open(path, dummies=True, guardian=False) as bench:
            for name, hangs in (("in a sweep", False), ("while a read hangs for 10 s", True)):
                ms = 1e3 * np.array([one(bench, sim, hangs=hangs) for _ in range(trials)])
                share = np.percentile(ms, 95)
                print(
                    f"  {name:28} median {np.median(ms):6.1f}  95 % {share:6.1f}"
                    f"  most {ms.max():6.1f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
