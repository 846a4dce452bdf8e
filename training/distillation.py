"""Distillation: the teacher, and the loss that teaches."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.networks import Activation, relu


class _Residual(nn.Module):
    """Two 3×3 convolutions beside a shortcut (He et al., arXiv 1512.03385, figure 2)."""

    def __init__(
        self, inputs: int, outputs: int, stride: int, site: str, activation: Activation
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm1, self.af1 = nn.BatchNorm2d(outputs), activation(f"{site}.af1")
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm2, self.af2 = nn.BatchNorm2d(outputs), activation(f"{site}.af2")
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.shortcut.append(nn.Conv2d(inputs, outputs, 1, stride, bias=False))
            self.shortcut.append(nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """[B, outputs, H/stride, W/stride]."""
        new = self.norm2(self.conv2(self.af1(self.norm1(self.conv1(x)))))
        result: Tensor = self.af2(new + self.shortcut(x))
        return result


class ResNet18(nn.Sequential):
    """The teacher, for images [B, 3, 32, 32]: the stem is a 3×3 convolution without pooling, as
    is usual for CIFAR (arXiv 1512.03385 has 7×7 with pooling, for larger images)."""

    def __init__(self, activation: Activation = relu, *, classes: int = 10) -> None:
        super().__init__()
        self.add_module("stem", nn.Conv2d(3, 64, 3, 1, 1, bias=False))
        self.add_module("norm", nn.BatchNorm2d(64))
        self.add_module("af", activation("af"))
        inputs = 64
        for s, width in enumerate((64, 128, 256, 512), 1):
            for b in (1, 2):
                stride = 2 if s > 1 and b == 1 else 1
                site = f"stage{s}block{b}"
                self.add_module(site, _Residual(inputs, width, stride, site, activation))
                inputs = width
        self.add_module("pool", nn.AdaptiveAvgPool2d(1))
        self.add_module("flatten", nn.Flatten())
        self.add_module("linear", nn.Linear(inputs, classes))


def distillation_loss(
    student: Tensor, teacher: Tensor, labels: Tensor, *, weight: float, temperature: float
) -> Tensor:
    """(1 - w) CE(student, labels) + w T² KL(teacher at T ‖ student at T), mean over the batch.

    Hinton, Vinyals and Dean, arXiv 1503.02531.  w and T are not published for the paper that is
    followed here: a report has to say which were used.

    Args:
        student, teacher: logits [B, classes]; the teacher's are not trained.
        labels: classes [B].
        weight: w, 0 to 1.
        temperature: T, above 0.
    """
    soft = functional.kl_div(
        functional.log_softmax(student / temperature, 1),
        functional.log_softmax(teacher.detach() / temperature, 1),
        reduction="batchmean",
        log_target=True,
    )
    hard = functional.cross_entropy(student, labels)
    return torch.add((1 - weight) * hard, soft, alpha=weight * temperature**2)
