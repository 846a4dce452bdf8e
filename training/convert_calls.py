"""What of a model cannot be replaced as a module: found by reading it, not by running it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.fx

_NAMES = (
    "relu", "relu_", "relu6", "leaky_relu", "elu", "selu", "celu", "gelu", "silu", "mish", "tanh",
    "tanh_", "hardtanh", "sigmoid", "sigmoid_", "hardsigmoid", "hardswish", "softplus", "softsign",
    "prelu", "rrelu", "logsigmoid",
)  # fmt: skip
#: modules that have activations inside, which no module stands for
_INSIDE: tuple[type[torch.nn.Module], ...] = (
    torch.nn.RNNBase, torch.nn.RNNCellBase, torch.nn.TransformerEncoderLayer,
    torch.nn.TransformerDecoderLayer,
)  # fmt: skip


@dataclass(frozen=True)
class Left:
    """An activation that was not replaced.

    Attributes:
        what: name of the module, or of the function that is called.
        why: and what to do.
        where: file and line, if it is a call.
    """

    what: str
    why: str
    where: str = ""

    def __str__(self) -> str:
        return f"{self.what}{f' at {self.where}' if self.where else ''}: {self.why}"


def left_in_modules(model: torch.nn.Module) -> Iterator[Left]:
    """Modules that have an activation which cannot be taken out."""
    for name, module in model.named_modules():
        if isinstance(module, _INSIDE):
            yield Left(name, f"the activations are inside {type(module).__name__}")
        elif isinstance(module, torch.nn.PReLU):
            yield Left(name, "PReLU has weights of its own, which would be lost")
        elif isinstance(module, torch.jit.ScriptModule):
            yield Left(name, "it is compiled (TorchScript); convert the model before")


class _Tracer(torch.fx.Tracer):
    record_stack_traces = True


def left_in_calls(model: torch.nn.Module) -> Iterator[Left]:
    """Activations that are called as functions, with file and line."""
    try:
        graph = _Tracer().trace(model)
    except Exception as error:  # the model's own code runs here, on stand-ins: anything may happen
        yield Left(
            type(model).__name__,
            f"torch.fx cannot look through it ({type(error).__name__}: {_first(error)}), so "
            "activations that are called as functions would not be seen",
        )
        return
    for node in graph.nodes:
        if node.op == "call_function":
            name = getattr(node.target, "__name__", "")
        elif node.op == "call_method":
            name = str(node.target)
        else:
            continue
        if name in _NAMES:
            yield Left(
                f"{name}()",
                f"it is a call and no module; use torch.nn's module for {name.rstrip('_')} instead",
                _where(node.stack_trace),
            )


def _first(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0]


def _where(trace: str | None) -> str:
    """File and line of the innermost call in a stack trace that is not torch's own."""
    for line in reversed((trace or "").splitlines()):
        if line.strip().startswith('File "'):
            file, number = line.strip().removeprefix('File "').split('", line ')[:2]
            if not Path(file).is_relative_to(Path(torch.__file__).parent):
                return f"{file}:{number.split(',')[0]}"
    return ""
