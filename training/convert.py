"""Existing torch models with devices in place of their activations."""

from __future__ import annotations

import copy
import fnmatch
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import torch

from device import Neuron, ResponseTable, TableNeuron
from training.activation import DeviceActivation, Per
from training.convert_calls import Left, left_in_calls, left_in_modules
from training.fast_table import TableActivation
from training.fast_table_layout import device_count
from training.noise import LayerNoise, Noise, NoisePool

#: what is replaced: element by element, without parameters
ACTIVATIONS: tuple[type[torch.nn.Module], ...] = (
    torch.nn.ReLU, torch.nn.ReLU6, torch.nn.LeakyReLU, torch.nn.ELU, torch.nn.SELU, torch.nn.CELU,
    torch.nn.GELU, torch.nn.SiLU, torch.nn.Mish, torch.nn.Tanh, torch.nn.Hardtanh,
    torch.nn.Sigmoid, torch.nn.Hardsigmoid, torch.nn.Hardswish, torch.nn.Softplus,
    torch.nn.Softsign,
)  # fmt: skip
_MAX_POOLS = (torch.nn.MaxPool1d, torch.nn.MaxPool2d, torch.nn.MaxPool3d)

#: what stands for an activation: a table that all devices share, a neuron, or a module of one's own
Made: TypeAlias = ResponseTable | Neuron | torch.nn.Module

#: a batch of inputs, or several that the model takes
Sample: TypeAlias = torch.Tensor | tuple[torch.Tensor, ...]


@dataclass(frozen=True)
class Site:
    """An activation that was replaced.

    Attributes:
        name: of the module.
        was: class that it had.
        shapes: of a sample, for each call of it in a forward pass.
        per: which elements are one device.
        neurons: devices that it takes.
        elements: readings of one sample's forward pass, if each element is read once.
        reads: junction points of one sample's training pass: elements times the points of the
            gradient rule; None: its neurons have no rule to ask, or several.
        shared: other names of the same module.
    """

    name: str
    was: str
    shapes: tuple[tuple[int, ...], ...]
    per: Per
    neurons: int
    elements: int
    reads: int | None = None
    shared: tuple[str, ...] = ()


@dataclass(frozen=True)
class Report:
    """What :func:`to_device` did.

    Attributes:
        converted: activations that are devices now.
        excluded: names of activations that were left by request.
        left: activations that could not be replaced, and why.
        swapped: names of activations that come after their pooling now.
    """

    converted: list[Site] = field(default_factory=list)
    excluded: list[str] = field(default_factory=list)
    left: list[Left] = field(default_factory=list)
    swapped: list[str] = field(default_factory=list)

    @property
    def devices(self) -> int:
        """Devices of all converted layers."""
        return sum(site.neurons for site in self.converted)

    @property
    def elements(self) -> int:
        """Readings of one sample's forward pass."""
        return sum(site.elements for site in self.converted)

    def __str__(self) -> str:
        lines = [
            f"{len(self.converted)} layers converted, {self.devices} devices, {self.elements} "
            "readings a sample"
        ]
        for site in self.converted:
            shapes = ", ".join("x".join(map(str, shape)) for shape in site.shapes)
            line = (
                f"  {site.name}: {site.was} of {shapes}, {site.neurons} devices "
                f"(per {site.per}), {site.elements} readings"
            )
            lines.append(line + (f", {site.reads} in training" if site.reads else ""))
        lines += [f"  {name}: left as it is, by request" for name in self.excluded]
        lines += [f"  {name}: comes after its pooling now" for name in self.swapped]
        lines += [f"  not converted: {one}" for one in self.left]
        return "\n".join(lines)


def to_device(
    model: torch.nn.Module,
    make_neuron: Callable[[str, int], Made],
    sample: Sample,
    *,
    layers: Iterable[str] | None = None,
    exclude: Iterable[str] = (),
    per: Per = "channel",
    pool_first: bool = False,
    noises: Sequence[Noise] | None = None,
    seed: int = 0,
) -> tuple[torch.nn.Module, Report]:
    """A copy of a model with devices in place of its activations.

    Its class and methods, its other layers and the keys of its state dict stay as they are.

    Args:
        model: is left as it is.
        make_neuron: is called with the layer's name and its number of devices; gives a table that
            they share, a neuron (tables of a ``TableNeuron`` are evaluated fast), or a module.
        sample: a batch of inputs, or a tuple of what the model takes; it runs once on that, in
            evaluation mode, for the shapes.
        layers: names of the activations to convert, with wildcards as in file names; None: all.
        exclude: names of those to leave: a hybrid network.
        per: which elements of a layer are one device.
        pool_first: within a ``Sequential``, put a converted activation after the ``MaxPool`` that
            follows it.  For a rising response without noise nothing changes but the number of
            readings, a quarter of it for 2x2; with noise on each reading the largest of four is
            biased upwards, and pooling first does away with that.
        noises: put on each layer; None: none.  All must be evaluated from tables: a neuron on a
            bench has noise of its own.
        seed: of what is drawn for them.

    Raises:
        ValueError: a name fits no activation, nothing is left to convert, or what was made does
            not fit the layer.
    """
    try:
        converted = copy.deepcopy(model)
    except RuntimeError as error:
        raise ValueError(
            f"{type(model).__name__} cannot be copied ({error}); convert it before it is used"
        ) from error
    names = _names(converted)
    flat = [name for group in names.values() for name in group]
    chosen = _chosen(flat, layers, exclude)
    report = Report()
    report.left.extend([*left_in_modules(converted), *left_in_calls(converted)])
    if pool_first:
        report.swapped.extend(_swap(converted, chosen))
        names = _names(converted)
    pool = NoisePool(seed) if noises else None
    shapes = _shapes(converted, list(names), sample)
    for module, group in names.items():
        if not chosen.intersection(group):
            report.excluded.append(group[0])
            continue
        if module not in shapes:
            report.left.append(Left(group[0], "it is not reached by the sample's forward pass"))
            continue
        made, site = _made(module, group, tuple(shapes[module]), per, make_neuron)
        if pool is not None:
            if not isinstance(made, TableActivation):
                raise ValueError(
                    f"{group[0]} is not evaluated from tables, and has noise of its own; give it "
                    "no noises"
                )
            made.noise = LayerNoise(noises or (), pool, group[0])
        made.train(module.training)
        for name in group:
            parent, _, child = name.rpartition(".")
            setattr(converted.get_submodule(parent), child, made)
        report.converted.append(site)
    if not report.converted:
        why = "; ".join(map(str, report.left)) or "it has no activation modules"
        raise ValueError(f"nothing of {type(model).__name__} was converted: {why}")
    return converted, report


def _names(model: torch.nn.Module) -> dict[torch.nn.Module, list[str]]:
    """Activation modules with all their names; one that is used twice has two."""
    found: dict[torch.nn.Module, list[str]] = {}
    for name, module in model.named_modules(remove_duplicate=False):
        if type(module) in ACTIVATIONS and name:
            found.setdefault(module, []).append(name)
    return found


def _chosen(names: list[str], layers: Iterable[str] | None, exclude: Iterable[str]) -> set[str]:
    def fitting(patterns: Iterable[str]) -> Iterator[str]:
        for pattern in patterns:
            fit = fnmatch.filter(names, pattern)
            if not fit:
                raise ValueError(
                    f"{pattern!r} fits no activation module; there are {', '.join(names) or 'none'}"
                )
            yield from fit

    wanted = set(names) if layers is None else set(fitting(layers))
    return wanted - set(fitting(exclude))


def _shapes(
    model: torch.nn.Module, modules: list[torch.nn.Module], sample: Sample
) -> dict[torch.nn.Module, list[tuple[int, ...]]]:
    """Shapes of a sample at each call of each module."""
    found: dict[torch.nn.Module, list[tuple[int, ...]]] = {}

    def look(
        module: torch.nn.Module, inputs: tuple[torch.Tensor, ...], named: dict[str, torch.Tensor]
    ) -> None:
        x = inputs[0] if inputs else named["input"]
        found.setdefault(module, []).append(tuple(x.shape[1:]))

    hooks = [module.register_forward_pre_hook(look, with_kwargs=True) for module in modules]
    modes = [(module, module.training) for module in model.modules()]
    try:
        with torch.no_grad():
            model.eval()(*(sample if isinstance(sample, tuple) else (sample,)))
    finally:
        for module, training in modes:
            module.training = training
        for hook in hooks:
            hook.remove()
    return found


def _made(
    module: torch.nn.Module,
    names: list[str],
    shapes: tuple[tuple[int, ...], ...],
    per: Per,
    make_neuron: Callable[[str, int], Made],
) -> tuple[torch.nn.Module, Site]:
    counts = {device_count(shape, per) for shape in shapes}
    if len(counts) > 1:
        raise ValueError(
            f"{names[0]} is used with {' and '.join(map(str, sorted(counts)))} devices in one "
            "pass; give each place a module of its own, or per = 'layer'"
        )
    neurons = counts.pop()
    made = make_neuron(names[0], neurons)
    if isinstance(made, torch.nn.Module):
        layer = made
    elif isinstance(made, ResponseTable):
        layer = TableActivation(made, per)
    elif made.neurons != neurons:
        raise ValueError(
            f"{names[0]} takes {neurons} devices (per = {per!r}), and make_neuron gave "
            f"{made.neurons} neurons"
        )
    else:
        layer = (
            TableActivation(made.tables, per)
            if isinstance(made, TableNeuron)
            else DeviceActivation(made, per)
        )
    elements = sum(map(math.prod, shapes))
    points = _points(made)
    reads = None if points is None else elements * points
    site = Site(
        names[0], type(module).__name__, shapes, per, neurons, elements, reads, tuple(names[1:])
    )
    return layer, site


def _points(made: Made) -> int | None:
    """Points of one element's gradient, if all neurons have a rule that takes as many."""
    rules = [getattr(one, "rule", None) for one in getattr(made, "devices", [made])]
    points = {None if rule is None else int(rule.reads) for rule in rules}
    return points.pop() if len(points) == 1 else None


def _swap(model: torch.nn.Module, chosen: set[str]) -> Iterator[str]:
    """Exchange chosen activations with the pooling that follows them in a Sequential."""
    for name, module in model.named_modules():
        if not isinstance(module, torch.nn.Sequential):
            continue
        children = [key for key, _ in module.named_children()]
        for one, two in itertools.pairwise(children):
            full, moved = (f"{name}.{key}" if name else key for key in (one, two))
            first, second = getattr(module, one), getattr(module, two)
            if full in chosen and type(first) in ACTIVATIONS and isinstance(second, _MAX_POOLS):
                setattr(module, one, second)
                setattr(module, two, first)
                chosen.remove(full)
                chosen.add(moved)
                yield moved
