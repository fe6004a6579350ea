"""PreActResNet-18, the usual network of adversarial training on CIFAR: 11.17 M weights."""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from saddlepoint.zoo.initialise import he_normal
from saddlepoint.zoo.preact_block import stage
from saddlepoint.zoo.shapes import check_counts


class PreActResNet(nn.Module):
    """Residual network with pre-activation for small images; any size, by a global average.

    `blocks` holds the blocks of the four stages, 64 to 512 channels wide; (2, 2, 2, 2) is
    PreActResNet-18. He et al., Identity Mappings in Deep Residual Networks, 2016,
    arXiv:1603.05027.

    >>> import torch
    >>> PreActResNet((1, 1, 1, 1), classes=10, channels=1)(torch.rand(2, 1, 8, 8)).shape
    torch.Size([2, 10])
    """

    def __init__(
        self, blocks: Sequence[int] = (2, 2, 2, 2), *, classes: int = 10, channels: int = 3
    ) -> None:
        super().__init__()
        check_counts(classes, channels)
        first, second, third, fourth = blocks
        self.conv = nn.Conv2d(channels, 64, 3, 1, 1, bias=False)
        self.stage1 = stage(first, 64, 64, stride=1)
        self.stage2 = stage(second, 64, 128, stride=2)
        self.stage3 = stage(third, 128, 256, stride=2)
        self.stage4 = stage(fourth, 256, 512, stride=2)
        self.norm = nn.BatchNorm2d(512)
        self.relu = nn.ReLU()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.logits = nn.Linear(512, classes)
        he_normal(self)

    def forward(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k"]:
        """Return the logits."""
        x = self.stage2(self.stage1(self.conv(images)))
        x = self.relu(self.norm(self.stage4(self.stage3(x))))
        logits: Tensor = self.logits(self.pool(x).flatten(1))
        return logits
