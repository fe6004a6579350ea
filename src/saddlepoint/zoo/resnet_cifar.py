"""The residual networks for CIFAR of He et al. (2016): 20, 32, 56 … layers, 0.27 to 1.7 M
weights, and the plain nets beside them.
"""

from __future__ import annotations

from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

from saddlepoint.errors import InputError
from saddlepoint.zoo.initialise import he_normal
from saddlepoint.zoo.residual_block import StrideOn, block_of, residual_stage
from saddlepoint.zoo.shapes import check_counts
from saddlepoint.zoo.shortcuts import shortcut_of


class ResNetCifar(nn.Module):
    """ResNet of 6n + 2 layers for small images; any size, since it ends in a global average.

    He et al., Deep Residual Learning for Image Recognition, 2016, arXiv:1512.03385.

    Args:
        depth: layers with weights, 6n + 2 of basic blocks and 9n + 2 of bottlenecks.
        shortcut: "A", "B", "C", or "none" for the plain net, which has exactly A's parameters; see
            `SHORTCUTS`.
        block: "basic" or "bottleneck".
        stride_on: the convolution of a bottleneck that has the stride, "3x3" or "1x1".

    Raises `InputError` for a depth that is not of that form, and for an unknown shortcut or block.

    >>> import torch
    >>> ResNetCifar(20, classes=10, channels=1)(torch.rand(2, 1, 28, 28)).shape
    torch.Size([2, 10])
    >>> ResNetCifar(20, shortcut="none").stage1[0].shortcut is None
    True
    """

    def __init__(
        self,
        depth: int,
        *,
        classes: int = 10,
        channels: int = 3,
        shortcut: str = "A",
        block: Literal["basic", "bottleneck"] = "basic",
        stride_on: StrideOn = "3x3",
    ) -> None:
        super().__init__()
        check_counts(classes, channels)
        kind, beside = block_of(block), shortcut_of(shortcut)
        layers, known = (6, "20, 32 or 56") if kind.expansion == 1 else (9, "29, 110 or 164")
        if depth < layers + 2 or (depth - 2) % layers:
            raise InputError(
                f"a ResNet of depth {depth}; give {layers}n + 2, for instance {known}, for {block}"
                " blocks"
            )
        self.depth = depth
        count, out = (depth - 2) // layers, kind.expansion
        self.conv = nn.Conv2d(channels, 16, 3, 1, 1, bias=False)
        self.norm = nn.BatchNorm2d(16)
        self.relu = nn.ReLU()

        def stage(inputs: int, width: int, stride: int) -> nn.Sequential:
            return residual_stage(
                kind, count, inputs, width, stride, shortcut=beside, stride_on=stride_on
            )

        self.stage1 = stage(16, 16, 1)
        self.stage2 = stage(16 * out, 32, 2)
        self.stage3 = stage(32 * out, 64, 2)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.logits = nn.Linear(64 * out, classes)
        he_normal(self)

    def forward(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k"]:
        """Return the logits."""
        x = self.relu(self.norm(self.conv(images)))
        x = self.stage3(self.stage2(self.stage1(x)))
        logits: Tensor = self.logits(self.pool(x).flatten(1))
        return logits
