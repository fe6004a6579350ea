"""The residual networks for ImageNet of He et al. (2016): 18, 34, 50, 101 and 152 layers, 11.7 to
60.2 M weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from jaxtyping import Float
from torch import Tensor, nn

from saddlepoint.errors import InputError
from saddlepoint.option_values import check_value
from saddlepoint.zoo.initialise import he_normal
from saddlepoint.zoo.residual_block import (
    BasicBlock,
    Block,
    Bottleneck,
    StrideOn,
    residual_stage,
)
from saddlepoint.zoo.shapes import check_counts
from saddlepoint.zoo.shortcuts import shortcut_of

RESNETS: Mapping[int, tuple[Block, tuple[int, int, int, int]]] = MappingProxyType(
    {
        18: (BasicBlock, (2, 2, 2, 2)),
        34: (BasicBlock, (3, 4, 6, 3)),
        50: (Bottleneck, (3, 4, 6, 3)),
        101: (Bottleneck, (3, 4, 23, 3)),
        152: (Bottleneck, (3, 8, 36, 3)),
    }
)
"""The block, and the number of blocks in each of the four stages, by the paper's depths. What is 34
better than is 18: a net of 28 layers, of which one reads, is not in the paper."""


class ResNet(nn.Module):
    """ResNet of 18 to 152 layers; any size, since it ends in a global average.

    He et al., Deep Residual Learning for Image Recognition, 2016, arXiv:1512.03385. The paper trains
    in batches of 256, sometimes quoted as 56.

    Args:
        depth: 18, 34, 50, 101 or 152; see `RESNETS`.
        shortcut: "A", "B" as in the paper, "C", or "none" for the plain net; see `SHORTCUTS`.
        small: a stem of 3×3 without stride and without pooling, for images of 32×32.
        stride_on: the convolution of a bottleneck that has the stride: "3x3", as torchvision and
            timm have it, or "1x1", as in the paper.

    Raises `InputError` for another depth, and for an unknown shortcut.

    >>> import torch
    >>> net = ResNet(18, classes=10, channels=1, small=True)
    >>> net(torch.rand(2, 1, 8, 8)).shape, net.stem(torch.rand(1, 1, 8, 8)).shape
    (torch.Size([2, 10]), torch.Size([1, 64, 8, 8]))
    """

    def __init__(
        self,
        depth: int,
        *,
        classes: int = 1000,
        channels: int = 3,
        shortcut: str = "B",
        small: bool = False,
        stride_on: StrideOn = "3x3",
    ) -> None:
        super().__init__()
        check_counts(classes, channels)
        check_value("small", small, bool)
        beside = shortcut_of(shortcut)
        if depth not in RESNETS:
            known = ", ".join(map(str, RESNETS))
            raise InputError(f"a ResNet of depth {depth}; give one of {known}, or use ResNetCifar")
        block, counts = RESNETS[depth]
        kernel, stride = (3, 1) if small else (7, 2)
        self.conv = nn.Conv2d(channels, 64, kernel, stride, kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(64)
        self.relu = nn.ReLU()
        self.maxpool = nn.Identity() if small else nn.MaxPool2d(3, 2, 1)

        def stage(count: int, inputs: int, width: int, stride: int) -> nn.Sequential:
            return residual_stage(
                block, count, inputs, width, stride, shortcut=beside, stride_on=stride_on
            )

        out = block.expansion
        self.stage1 = stage(counts[0], 64, 64, 1)
        self.stage2 = stage(counts[1], 64 * out, 128, 2)
        self.stage3 = stage(counts[2], 128 * out, 256, 2)
        self.stage4 = stage(counts[3], 256 * out, 512, 2)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.logits = nn.Linear(512 * out, classes)
        he_normal(self)

    def stem(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n 64 h2 w2"]:
        """Return what the first stage is given."""
        x: Tensor = self.maxpool(self.relu(self.norm(self.conv(images))))
        return x

    def forward(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k"]:
        """Return the logits."""
        x = self.stage2(self.stage1(self.stem(images)))
        x = self.stage4(self.stage3(x))
        logits: Tensor = self.logits(self.pool(x).flatten(1))
        return logits
