"""The networks of the papers, and plain ones.

Each takes ``activation``: called with the name of every place that needs one ("af1",
"block1.layer3.af2", ...), it returns the module for it.  A hybrid network is
a function of the name:

    DenseNet(lambda site: Tanh() if site.startswith(("block1", "block2")) else ReLU())
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

Activation = Callable[[str], nn.Module]
FASHION_CNN_PARAMETERS = 421_642  # arXiv 2409.02528
DENSENET_PARAMETERS = 561_052  # arXiv 2409.02528


def relu(site: str) -> nn.Module:
    """ReLU at every place."""
    return nn.ReLU()


def tanh(site: str) -> nn.Module:
    """tanh at every place."""
    return nn.Tanh()


def parameters(model: nn.Module) -> int:
    """Number of trained values."""
    return sum(p.numel() for p in model.parameters())


def initialise(model: nn.Module, rng: torch.Generator) -> None:
    """Draw every weight and bias of linear and convolution layers from one stream: uniform within
    ±1/sqrt(inputs of the layer), torch's own distribution."""
    with torch.no_grad():
        for layer in model.modules():
            if isinstance(layer, (nn.Linear, nn.Conv2d)):
                bound = layer.weight[0].numel() ** -0.5
                layer.weight.uniform_(-bound, bound, generator=rng)
                if layer.bias is not None:
                    layer.bias.uniform_(-bound, bound, generator=rng)


class InputRange(nn.Module):
    """One factor for each neuron's input, set once (see :func:`fit_ranges`) and never trained."""

    factor: Tensor

    def __init__(self, neurons: int) -> None:
        super().__init__()
        self.register_buffer("factor", torch.ones(neurons, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        """x [B, neurons], scaled."""
        return x * self.factor


@torch.no_grad()
def fit_ranges(model: nn.Sequential, x: Tensor, reach: float) -> None:
    """Scale the inputs of each activation so that 99 % of the training data stay within ±reach.

    Layer by layer, from the training data alone and with the initial weights; never enlarged.  An
    activation that is measured is measured for this, unless it is the last.

    Args:
        model: layers in their order; only :class:`InputRange` are set.
        x: training inputs [N, ...].
        reach: in units of the activation's input.
    """
    layers = list(model)
    last = max((i for i, one in enumerate(layers) if isinstance(one, InputRange)), default=-1)
    for layer in layers[: last + 1]:
        if isinstance(layer, InputRange):
            largest = x.abs().quantile(0.99, dim=0)
            layer.factor.copy_((reach / largest).clamp(max=1.0))
        x = layer(x)


class MLP(nn.Sequential):
    """Linear layers with an activation between each two, in double precision.

    Args:
        widths: inputs, hidden layers, outputs.
        activation: of "af1", "af2", ...
        ranged: an :class:`InputRange` before each activation.
    """

    def __init__(
        self, widths: Sequence[int], activation: Activation = tanh, *, ranged: bool = False
    ) -> None:
        super().__init__()
        last = len(widths) - 1
        for i in range(1, len(widths)):
            self.add_module(f"linear{i}", nn.Linear(widths[i - 1], widths[i], dtype=torch.float64))
            if i < last and ranged:
                self.add_module(f"range{i}", InputRange(widths[i]))
            if i < last:
                self.add_module(f"af{i}", activation(f"af{i}"))


def _stage(place: str, inputs: int, outputs: int, activation: Activation, pool_first: bool) -> (
    list[tuple[str, nn.Module]]
):  # fmt: skip
    """Convolution, activation, pooling; or the last two in the other order."""
    both: list[tuple[str, nn.Module]] = [
        (f"af{place}", activation(f"af{place}")), (f"pool{place}", nn.MaxPool2d(2)),
    ]  # fmt: skip
    conv = (f"conv{place}", nn.Conv2d(inputs, outputs, 3, padding=1))
    return [conv, *(both[::-1] if pool_first else both)]


class FashionCNN(nn.Sequential):
    """Fashion-MNIST, images [B, 1, 28, 28]: conv 32, conv 64, linear 128, linear 10.

    Args:
        activation: of "af1", "af2", "af3".
        pool_first: pool before the activation.  Without noise and for a monotone activation this
            is the same function with a quarter of the activations; with noise in each reading it
            is not (the largest of four noisy readings is biased upward).
    """

    def __init__(self, activation: Activation = tanh, *, pool_first: bool = False) -> None:
        super().__init__()
        for name, layer in (
            *_stage("1", 1, 32, activation, pool_first),
            *_stage("2", 32, 64, activation, pool_first),
            ("flatten", nn.Flatten()),
            ("linear1", nn.Linear(64 * 7 * 7, 128)),
            ("af3", activation("af3")),
            ("linear2", nn.Linear(128, 10)),
        ):
            self.add_module(name, layer)


class Student(nn.Sequential):
    """The student of distillation, CIFAR-10, images [B, 3, 32, 32]: three stages of convolution,
    activation and pooling, and one linear layer.

    Args:
        activation: of "af1", "af2", "af3".
        widths: channels of the stages.  The paper does not give them; 32, 64, 128 are ours.
        pool_first: as in :class:`FashionCNN`.
    """

    def __init__(
        self,
        activation: Activation = relu,
        *,
        widths: tuple[int, int, int] = (32, 64, 128),
        classes: int = 10,
        pool_first: bool = False,
    ) -> None:
        super().__init__()
        inputs = 3
        for i, width in enumerate(widths, 1):
            for name, layer in _stage(str(i), inputs, width, activation, pool_first):
                self.add_module(name, layer)
            inputs = width
        self.add_module("flatten", nn.Flatten())
        self.add_module("linear", nn.Linear(inputs * 4 * 4, classes))


class _DenseLayer(nn.Module):
    """Normalisation, activation, 1×1, normalisation, activation, 3×3; its output is joined on."""

    def __init__(self, inputs: int, growth: int, site: str, activation: Activation) -> None:
        super().__init__()
        self.norm1, self.af1 = nn.BatchNorm2d(inputs), activation(f"{site}.af1")
        self.conv1 = nn.Conv2d(inputs, 4 * growth, 1, bias=False)
        self.norm2, self.af2 = nn.BatchNorm2d(4 * growth), activation(f"{site}.af2")
        self.conv2 = nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, inputs, H, W] with ``growth`` channels more."""
        new = self.conv1(self.af1(self.norm1(x)))
        return torch.cat((x, self.conv2(self.af2(self.norm2(new)))), 1)


class DenseNet(nn.Sequential):
    """CIFAR-100, images [B, 3, 32, 32]: growth 12, three blocks of 16 layers.

    The transitions go back to 24 channels (arXiv 2409.02528, counted from its number of
    parameters; not the half that DenseNet-BC takes), and pool by the mean of 2×2 as DenseNet does
    (arXiv 1608.06993); the last pooling is the mean over the image.

    Args:
        activation: of "block1.layer1.af1" … "block3.layer16.af2", "transition1.af",
            "transition2.af" and "af": 99 places.
    """

    def __init__(self, activation: Activation = relu, *, classes: int = 100) -> None:
        super().__init__()
        growth, layers, stem = 12, 16, 24
        self.add_module("stem", nn.Conv2d(3, stem, 3, padding=1, bias=False))
        channels = stem
        for b in (1, 2, 3):
            block = nn.Sequential()
            for i in range(1, layers + 1):
                block.add_module(
                    f"layer{i}", _DenseLayer(channels, growth, f"block{b}.layer{i}", activation)
                )
                channels += growth
            self.add_module(f"block{b}", block)
            if b < 3:
                transition = nn.Sequential()
                transition.add_module("norm", nn.BatchNorm2d(channels))
                transition.add_module("af", activation(f"transition{b}.af"))
                transition.add_module("conv", nn.Conv2d(channels, stem, 1, bias=False))
                transition.add_module("pool", nn.AvgPool2d(2))
                self.add_module(f"transition{b}", transition)
                channels = stem
        self.add_module("norm", nn.BatchNorm2d(channels))
        self.add_module("af", activation("af"))
        self.add_module("pool", nn.AdaptiveAvgPool2d(1))
        self.add_module("flatten", nn.Flatten())
        self.add_module("linear", nn.Linear(channels, classes))
