"""Noise and spread of tabulated activations, drawn where physics draws them.

A device has an offset or a gain of its own; a reading has noise of its own; and a device wanders in
time.  Each is drawn there, and a table says which of them is active.  Normal numbers of readings
come from a drawn pool: each call takes a slice with a fresh offset, since drawing each number anew
would cost more than the activation.  Slices of one pool overlap, so draw a new pool now and then
(:meth:`NoisePool.renew`), each epoch for instance.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch

from training.fast_table_kernel import TILE, X_OF_BOTH, X_OF_G, X_OF_Y, G, Y
from training.seeds import stream_seed

Kind = Literal["additive", "multiplicative", "input"]
Drawn = Literal["device", "read", "time"]
On = Literal["activation", "gradient", "both"]
When = Literal["training", "evaluation", "both"]
State = dict[str, torch.Tensor]

_POOL = 1 << 22
_UNIT: dict[Kind, str] = {
    "additive": "of the layer's largest |y|, or |dy/dx|",
    "multiplicative": "of the value itself",
    "input": "units of x",
}
_X = {"activation": X_OF_Y, "gradient": X_OF_G, "both": X_OF_BOTH}


@dataclass(frozen=True)
class Noise:
    """One normal deviation, of mean 0.  No deviation is no Noise, not one of size 0.

    Args:
        kind: "additive": v + size·max|v|·ξ, the maximum over the layer's tables; "multiplicative":
            v·(1 + size·ξ); "input": the response at x + size·ξ.
        size: standard deviation; a share for the first two, units of x for "input".
        drawn: "device": ξ once for each device (spread); "read": anew for each element of each
            call; "time": for each device a stationary walk, ξ' = ρ·ξ + sqrt(1 - ρ²)·ξ0 from call
            to call, ρ = exp(-1/calls).
        on: "activation", "gradient" or "both".  On both, ξ is another for each of them (two
            meters), except at the input: that is one field for both.
        when: "training", "evaluation" or "both": the mode of the module.
        calls: after which a walk has lost all but 1/e of its memory; None where nothing walks.
    """

    kind: Kind
    size: float
    drawn: Drawn = "read"
    on: On = "both"
    when: When = "both"
    calls: float | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.size) and self.size > 0):
            raise ValueError(
                f"size = {self.size}: a noise has a size above 0; leave it out to switch it off"
            )
        if (self.drawn == "time") != (self.calls is not None and self.calls > 0):
            raise ValueError(
                f"drawn = {self.drawn!r} with calls = {self.calls}: what walks in time has a "
                "memory of so many calls, and nothing else has one"
            )
        for name, known in (("kind", Kind), ("drawn", Drawn), ("on", On), ("when", When)):
            if getattr(self, name) not in known.__args__:  # type: ignore[attr-defined]
                raise ValueError(
                    f"{name} = {getattr(self, name)!r}: one of {', '.join(known.__args__)}"  # type: ignore[attr-defined]
                )

    def active(self, training: bool) -> bool:
        """Whether it acts in this mode of the module."""
        return self.when == "both" or (self.when == "training") == training

    def row(self) -> dict[str, str | float | None]:
        """What is stored with a run."""
        return {
            "kind": self.kind, "size": self.size, "unit": _UNIT[self.kind], "drawn": self.drawn,
            "on": self.on, "when": self.when, "calls": self.calls,
        }  # fmt: skip


@dataclass(frozen=True)
class Effect:
    """A noise in one call, as the look-up applies it.

    Attributes:
        on: what it acts on, by the numbers of the kernel.
        multiply: whether it multiplies.
        amount: its standard deviation, in the unit of what it acts on.
        values: normal numbers of the devices, [D]; None: from the pool.
        start: where in the pool.
    """

    on: int
    multiply: bool
    amount: float
    values: torch.Tensor | None = None
    start: int = 0


class NoisePool:
    """Normal numbers and the generator that draws them; the layers of a model share one.

    Args:
        seed: of the pool, of its offsets and of all that is drawn for devices.
        size: number of numbers, more than a layer has elements in a batch: beyond that the noise
            of one call repeats itself.
    """

    def __init__(self, seed: int, size: int = _POOL) -> None:
        self.seed, self.size = seed, size
        self._rng = torch.Generator().manual_seed(stream_seed(seed, "noise pool"))
        self._values: dict[tuple[torch.device, torch.dtype], torch.Tensor] = {}
        self._before = self._rng.get_state()
        self.renew()

    def renew(self) -> None:
        """Draw a new pool."""
        self._before = self._rng.get_state()
        self._draw()

    def _draw(self) -> None:
        drawn = torch.randn(self.size, generator=self._rng)
        # It goes on periodically for a tile, so that a slice of a tile never ends.
        whole = drawn[torch.arange(self.size + TILE) % self.size]
        self._values = {(whole.device, whole.dtype): whole}

    def start(self) -> int:
        """A fresh offset."""
        return int(torch.randint(self.size, (), generator=self._rng))

    def values(self, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
        """The pool, [size + TILE]."""
        if (device, dtype) not in self._values:
            first = next(iter(self._values.values()))
            self._values[device, dtype] = first.to(device, dtype)
        return self._values[device, dtype]

    def state_dict(self) -> State:
        """Tensors from which :meth:`load_state_dict` goes on exactly."""
        return {"before": self._before, "now": self._rng.get_state()}

    def load_state_dict(self, state: State) -> None:
        """Go on from a state of a pool of the same seed and size."""
        if not torch.equal(self._before, state["before"]):
            self._before = state["before"].clone()
            self._rng.set_state(state["before"])
            self._draw()
        self._rng.set_state(state["now"])

    def __getstate__(self) -> dict[str, Any]:
        return {"seed": self.seed, "size": self.size, "state": self.state_dict()}

    def __setstate__(self, kept: dict[str, Any]) -> None:
        self.seed, self.size = kept["seed"], kept["size"]
        self._rng, self._before, self._values = torch.Generator(), torch.empty(0), {}
        self.load_state_dict(kept["state"])


class LayerNoise:
    """The noises of one layer.

    Args:
        noises: what is on.
        pool: shared with the other layers.
        name: of the layer; what its devices are like depends on the pool's seed and on this.
    """

    def __init__(self, noises: Sequence[Noise], pool: NoisePool, name: str) -> None:
        self.noises, self.pool, self.name = tuple(noises), pool, name
        self._drawn: dict[str, torch.Tensor] = {}  # of devices, and walks as they stand
        self._walk = torch.Generator().manual_seed(stream_seed(pool.seed, "walk", name))

    def effects(
        self, training: bool, devices: int, largest: tuple[float, float], gradient: bool
    ) -> list[Effect]:
        """The effects of one call.

        Args:
            training: mode of the module.
            devices: number of devices of the layer.
            largest: largest |y| and |dy/dx| of its tables.
            gradient: whether a gradient is wanted; what acts on it alone is not drawn otherwise.
        """
        found = []
        for number, noise in enumerate(self.noises):
            if not noise.active(training) or (noise.on == "gradient" and not gradient):
                continue
            for on, unit in self._channels(noise, largest, gradient):
                amount = noise.size * (unit if noise.kind == "additive" else 1.0)
                multiply = noise.kind == "multiplicative"
                if noise.drawn == "read":
                    found.append(Effect(on, multiply, amount, start=self.pool.start()))
                else:
                    values = self._of_devices(noise, f"{number}/{on}", devices)
                    found.append(Effect(on, multiply, amount, values))
        return found

    @staticmethod
    def _channels(
        noise: Noise, largest: tuple[float, float], gradient: bool
    ) -> Iterable[tuple[int, float]]:
        if noise.kind == "input":
            return [(_X[noise.on], 1.0)]
        channels = []
        if noise.on != "gradient":
            channels.append((Y, largest[0]))
        if noise.on != "activation" and gradient:
            channels.append((G, largest[1]))
        return channels

    def _of_devices(self, noise: Noise, key: str, devices: int) -> torch.Tensor:
        now = self._drawn.get(key)
        if now is None or len(now) != devices:
            seed = stream_seed(self.pool.seed, "devices", self.name, key)
            now = torch.randn(devices, generator=torch.Generator().manual_seed(seed))
        elif noise.calls is not None:
            rho = math.exp(-1 / noise.calls)
            fresh = torch.randn(devices, generator=self._walk)
            now = rho * now + math.sqrt(1 - rho * rho) * fresh
        self._drawn[key] = now
        return now

    def state_dict(self) -> State:
        """Tensors from which :meth:`load_state_dict` goes on exactly; without those of the pool."""
        return {"walk": self._walk.get_state()} | {
            f"devices/{key}": value.clone() for key, value in self._drawn.items()
        }

    def load_state_dict(self, state: State) -> None:
        """Go on from a state of a layer with the same noises."""
        self._walk.set_state(state["walk"])
        self._drawn = {
            key.removeprefix("devices/"): value.clone()
            for key, value in state.items()
            if key != "walk"
        }

    def __getstate__(self) -> dict[str, Any]:
        return {"noises": self.noises, "pool": self.pool, "name": self.name} | {
            "state": self.state_dict()
        }

    def __setstate__(self, kept: dict[str, Any]) -> None:
        self.noises, self.pool, self.name = kept["noises"], kept["pool"], kept["name"]
        self._walk = torch.Generator()
        self.load_state_dict(kept["state"])
