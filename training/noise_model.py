"""The noise of a whole model: what is on, and its state for a checkpoint."""

from __future__ import annotations

import torch

from training.noise import LayerNoise, State


class ModelNoise:
    """The noises of all layers of a model.

    Args:
        model: with :class:`~training.noise.LayerNoise` in some of its modules, or in none.

    Attributes:
        layers: they, by the names of the modules.
    """

    def __init__(self, model: torch.nn.Module) -> None:
        self.layers = {
            name: module.noise
            for name, module in model.named_modules()
            if isinstance(getattr(module, "noise", None), LayerNoise)
        }
        self._pools = list(dict.fromkeys(layer.pool for layer in self.layers.values()))

    def renew(self) -> None:
        """Draw new pools: once an epoch is often enough."""
        for pool in self._pools:
            pool.renew()

    def state_dict(self) -> State:
        """All generators and draws, as tensors under names, for a checkpoint."""
        parts = {f"pool {k}": pool.state_dict() for k, pool in enumerate(self._pools)}
        parts |= {f"layer {name}": layer.state_dict() for name, layer in self.layers.items()}
        return {
            f"{part}/{key}": value for part, state in parts.items() for key, value in state.items()
        }

    def load_state_dict(self, state: State) -> None:
        """Go on from the state of a model with the same noises.

        Raises:
            ValueError: the state is of a model with other noisy layers.
        """
        theirs = sorted(key.removesuffix("/walk") for key in state if key.endswith("/walk"))
        mine = sorted(f"layer {name}" for name in self.layers)
        if mine != theirs:
            raise ValueError(
                f"the state is of a model with noise in {', '.join(theirs) or 'no layer'}, and "
                f"this one has it in {', '.join(mine) or 'no layer'}; set up the same noises first"
            )

        def part(prefix: str) -> State:
            return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}

        for k, pool in enumerate(self._pools):
            pool.load_state_dict(part(f"pool {k}/"))
        for name, layer in self.layers.items():
            layer.load_state_dict(part(f"layer {name}/"))

    def rows(self) -> list[dict[str, str | float | None]]:
        """What is on, a row for each noise of each layer; to be stored with a run."""
        return [
            {"layer": name, **noise.row()}
            for name, layer in self.layers.items()
            for noise in layer.noises
        ]

    def __str__(self) -> str:
        """The same in words, for a screen."""
        rows = self.rows()
        if not rows:
            return "noise: none"
        lines = [
            f"  {row['layer']}: {row['kind']} {row['size']:g} {row['unit']}, drawn per "
            f"{row['drawn']}"
            + (f" (memory {row['calls']:g} calls)" if row["calls"] else "")
            + f", on {row['on']}, in {row['when']}"
            for row in rows
        ]
        return "\n".join(["noise:", *lines])
