"""Checkpoints: all that a run needs to go on as if it had never stopped.

A file of torch's own format, read with ``weights_only``: tensors, numbers, texts, lists, tuples
and dicts, and nothing that could be executed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
import torch

FORMAT = 1


class CheckpointError(Exception):
    """A checkpoint that cannot be written, read, or used here: one sentence."""


@runtime_checkable
class Stateful(Protocol):
    """Anything else that draws or counts: a pool of noise, a spread that ages."""

    def state_dict(self) -> dict[str, Any]:
        """Its state, of tensors and plain values."""

    def load_state_dict(self, state: dict[str, Any]) -> Any:
        """Take a state back."""


Kept: TypeAlias = "torch.Generator | np.random.Generator | Stateful"


def state_of(kept: Kept) -> Any:
    """The state of a generator or of a stateful thing."""
    if isinstance(kept, torch.Generator):
        return kept.get_state()
    if isinstance(kept, np.random.Generator):
        state: Any = kept.bit_generator.state
        # Integers of 128 bits: as text, which every format holds.
        return {**state, "state": {key: str(value) for key, value in state["state"].items()}}
    return kept.state_dict()


def put_state(kept: Kept, state: Any) -> None:
    """The reverse of :func:`state_of`."""
    if isinstance(kept, torch.Generator):
        kept.set_state(state)
    elif isinstance(kept, np.random.Generator):
        inner = {key: int(value) for key, value in state["state"].items()}
        kept.bit_generator.state = {**state, "state": inner}
    else:
        kept.load_state_dict(state)


def as_tensor(raw: bytes) -> torch.Tensor:
    """Bytes as a tensor: the format has no empty bytes, and long ones it writes as text."""
    return torch.from_numpy(np.frombuffer(raw, np.uint8).copy())


def as_bytes(tensor: torch.Tensor) -> bytes:
    """The reverse of :func:`as_tensor`."""
    return tensor.numpy().tobytes()


def save(path: str | Path, state: Mapping[str, Any]) -> None:
    """Write a checkpoint: after a crash at any moment the file is the old one or the new one.

    Raises:
        CheckpointError: it cannot be written.
    """
    path = Path(path)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        try:
            with part.open("wb") as file:
                torch.save({"format": FORMAT, **state}, file)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        if os.name == "posix":  # the name, too, has to be on the disk
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
    except OSError as error:
        raise CheckpointError(
            f"checkpoint {path} cannot be written ({error.strerror}); choose another folder or "
            "free some space"
        ) from None


def load(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint; nothing of it is executed.

    Raises:
        CheckpointError: missing, damaged, not a checkpoint, or of another format.
    """
    try:
        state = torch.load(Path(path), map_location="cpu", weights_only=True)
    except OSError as error:
        raise CheckpointError(f"checkpoint {path} cannot be read ({error.strerror})") from None
    except Exception as error:  # torch's reader fails in many ways on what it did not write
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(f"{path} is no checkpoint, or damaged ({first})") from None
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise CheckpointError(f"{path} is no checkpoint of this version (format {FORMAT})")
    return state


def check_same_run(path: str | Path, *parts: tuple[str, Any, Any]) -> None:
    """That a checkpoint is of this run: parts of it by name, as stored and as they are here.

    Raises:
        CheckpointError: one differs.
    """
    for name, found, wanted in parts:
        if found != wanted:
            raise CheckpointError(
                f"{path} is of another run: its {name} ({found}) is not that of this one "
                f"({wanted}); make the run as it was, or begin a new one"
            )
