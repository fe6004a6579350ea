"""What makes a perturbation of an image in one pass: a network of the image, or one for all images."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from saddlepoint.errors import InputError
from saddlepoint.option_values import Count, check_value
from saddlepoint.zoo.shapes import Size, check_counts, sides

_GAIN = 30
# Adam moves a number by its rate at each step: at the rate of networks, 1e-3, tanh would be reached late.
SMALLEST = 8
"""The least side of images that a `Perturber` halves twice."""


class Perturber(nn.Module):
    """An encoder and a decoder of convolutions, from an image to δ/eps in [−1, 1]: G of AdvGAN.

    Two strides halve the image, residual blocks follow, and the decoder doubles it back to the size
    of each stage, whose output is added; so any size fits. The last layer is tanh: |δ| ≤ eps, exactly.
    The budget is the threat model's, not the network's. Norms are of groups, so that an image's
    perturbation does not depend on its batch.

    Args:
        channels, size: of the images; `size` is a side or (H, W), of 8 at least.
        width: channels of the first layer, which the strides double.
        blocks: residual blocks in the middle.

    Raises `InputError` for smaller images.

    Reference: Xiao et al. 2018, arXiv:1801.02610.

    >>> net = Perturber(1, (9, 13))
    >>> made = net(torch.rand(2, 1, 9, 13))
    >>> made.shape, bool((made.abs() <= 1).all())
    (torch.Size([2, 1, 9, 13]), True)
    """

    def __init__(
        self, channels: int = 1, size: Size = 28, *, width: Count = 16, blocks: Count = 2
    ) -> None:
        super().__init__()
        check_counts(2, channels)
        check_value("perturber: width", width, Count)
        check_value("perturber: blocks", blocks, Count)
        self.shape = (channels, *sides(size))
        self.options: dict[str, Any] = {"width": width, "blocks": blocks}
        if min(self.shape[1:]) < SMALLEST:
            raise InputError(
                f"a perturber halves images twice, and these have {self.shape[1]}×{self.shape[2]};"
                f" take constant-perturber, or images of {SMALLEST}×{SMALLEST} at least"
            )
        self.first = _layer(channels, width)
        self.halve1, self.halve2 = _layer(width, 2 * width, 2), _layer(2 * width, 4 * width, 2)
        self.middle = nn.ModuleList(_layer(4 * width, 4 * width) for _ in range(blocks))
        self.double2, self.double1 = _layer(4 * width, 2 * width), _layer(2 * width, width)
        self.last = nn.Conv2d(width, channels, 3, padding=1)

    def forward(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Return δ/eps of images in [0, 1]."""
        _check(self.shape, images)
        whole: Tensor = self.first(images * 2 - 1)
        half: Tensor = self.halve1(whole)
        x: Tensor = self.halve2(half)
        for block in self.middle:
            x = x + block(x)
        x = half + self.double2(functional.interpolate(x, half.shape[2:]))
        x = whole + self.double1(functional.interpolate(x, whole.shape[2:]))
        return torch.tanh(self.last(x))


class ConstantPerturber(nn.Module):
    """The same δ/eps = tanh(30 v) for every image: a universal perturbation, of any shape.

    Reference: Moosavi-Dezfooli et al. 2017, arXiv:1610.08401.

    >>> net = ConstantPerturber(1, 2)
    >>> net(torch.rand(3, 1, 2, 2)).shape, sum(each.numel() for each in net.parameters())
    (torch.Size([3, 1, 2, 2]), 4)
    """

    def __init__(self, channels: int = 1, size: Size = 28) -> None:
        super().__init__()
        check_counts(2, channels)
        self.shape = (channels, *sides(size))
        self.options: dict[str, Any] = {}
        self.v = nn.Parameter(torch.randn(self.shape) / 1000)

    def forward(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Return δ/eps, as often as there are images."""
        _check(self.shape, images)
        return (_GAIN * self.v).tanh().to(images.dtype).expand(images.shape)


PERTURBERS: dict[str, type[Perturber] | type[ConstantPerturber]] = {
    "perturber": Perturber,
    "constant-perturber": ConstantPerturber,
}
"""By their names in the zoo and in files."""


def _layer(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1),
        nn.GroupNorm(1, outputs),
        nn.ReLU(),
    )


def _check(shape: tuple[int, ...], images: Tensor) -> None:
    if tuple(images.shape[1:]) != shape:
        raise InputError(
            f"images have shape {tuple(images.shape[1:])} but the perturber was built for {shape}"
        )
