"""What device activations cost beside ``torch.tanh``: one network, one thread, in turn, in one run.

python benchmarks/training.py [--batch 128] [--rounds 20] [--nchw] [--json FILE]

The network is the convolutional one for Fashion-MNIST (421,642 parameters) on random images: what
they show does not change the time.  Times are of the process's own work, so that other programs on
the machine disturb less; two ratios of rounds taken in turn are printed, of the medians and, less
disturbed still, of the least times.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

# This file has the name of a package, which its own folder would hide.
sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import torch

from device import ResponseTable
from training.fast_table import TableActivation
from training.noise import LayerNoise, Noise, NoisePool

_PARAMETERS = 421_642


def table() -> ResponseTable:
    """Activation and gradient from two columns; their shape does not change the time."""
    x = np.linspace(-4.0, 4.0, 513)
    m_x = np.clip(x / 2, -1, 1)
    return ResponseTable(-4.0, 4.0, m_x, 0.5 * (1 - m_x**2))


def network(activation: Callable[[int], torch.nn.Module]) -> torch.nn.Module:
    """The network with these activations, by their place."""
    nn = torch.nn
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1), activation(0), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1), activation(1), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(3136, 128), activation(2), nn.Linear(128, 10),
    )  # fmt: skip
    assert sum(p.numel() for p in model.parameters()) == _PARAMETERS
    return model


def kinds() -> dict[str, Callable[[int], torch.nn.Module]]:
    """What is compared, tanh first."""
    pool = NoisePool(0)

    def noisy(noise: Noise) -> Callable[[int], torch.nn.Module]:
        return lambda k: TableActivation(table(), noise=LayerNoise([noise], pool, str(k)))

    return {
        "tanh": lambda k: torch.nn.Tanh(),
        "table": lambda k: TableActivation(table()),
        "table, additive noise per read": noisy(Noise("additive", 0.1)),
        "table, multiplicative noise per read": noisy(Noise("multiplicative", 0.1)),
        "table, input noise per read": noisy(Noise("input", 0.1)),
        "table a channel": lambda k: (
            TableActivation([table()] * (32, 64, 128)[k], per="channel")),
    }  # fmt: skip


def in_turn(jobs: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Times of each job, s; the first two rounds warm up."""
    times: dict[str, list[float]] = {name: [] for name in jobs}
    for turn in range(rounds + 2):
        for name, job in jobs.items():
            start = time.process_time()
            job()
            if turn >= 2:
                times[name].append(time.process_time() - start)
    return times


def activation_jobs(batch: int, layout: torch.memory_format) -> dict[str, Callable[[], object]]:
    """Forward and backward pass of the first activation alone."""
    x = torch.randn(batch, 32, 28, 28).to(memory_format=layout).requires_grad_()
    grad = torch.randn(batch, 32, 28, 28).to(memory_format=layout)

    def job(module: torch.nn.Module) -> Callable[[], object]:
        return lambda: torch.autograd.grad(module(x), x, grad)

    return {name: job(make(0)) for name, make in kinds().items()}


def step_jobs(batch: int, layout: torch.memory_format) -> dict[str, Callable[[], object]]:
    """A whole training step."""
    x = torch.randn(batch, 1, 28, 28).to(memory_format=layout)
    labels = torch.randint(0, 10, (batch,))

    def job(make: Callable[[int], torch.nn.Module]) -> Callable[[], object]:
        model = network(make).to(memory_format=layout)
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

        def step() -> None:
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(x), labels).backward()
            optimizer.step()

        return step

    return {name: job(make) for name, make in kinds().items()}


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--batch", type=int, default=128)
    options.add_argument("--rounds", type=int, default=20)
    options.add_argument("--nchw", action="store_true", help="instead of channels_last")
    options.add_argument("--json", type=Path, help="ratios go to this file as well")
    chosen = options.parse_args()
    torch.set_num_threads(1)
    layout = torch.contiguous_format if chosen.nchw else torch.channels_last
    found: dict[str, dict[str, dict[str, float]]] = {}
    print(f"batch {chosen.batch}, {layout}, one thread, {chosen.rounds} rounds in turn")
    for title, make in (("activation alone", activation_jobs), ("training step", step_jobs)):
        times = in_turn(make(chosen.batch, layout), chosen.rounds)
        print(f"{title}: tanh {statistics.median(times['tanh']) * 1e3:.1f} ms")
        found[title] = {}
        for name, mine in times.items():
            ratios = {
                "median": statistics.median(mine) / statistics.median(times["tanh"]),
                "least": min(mine) / min(times["tanh"]),
            }
            found[title][name] = ratios
            print(f"  {name:38} {ratios['median']:5.2f} x tanh  (least {ratios['least']:5.2f})")
    if chosen.json is not None:
        chosen.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
