"""Wide residual networks: WRN-34-10, 46.16 M weights, is that of most published defences."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from saddlepoint.errors import InputError
from saddlepoint.zoo.initialise import he_normal
from saddlepoint.zoo.preact_block import stage
from saddlepoint.zoo.shapes import check_counts


class WideResNet(nn.Module):
    """WRN-depth-width for small images; any size, since it ends in a global average.

    Zagoruyko & Komodakis, Wide Residual Networks, 2016, arXiv:1605.07146.
    Raises `InputError` for a depth that is not 6n + 4.

    >>> import torch
    >>> WideResNet(10, 1, classes=10, channels=1)(torch.rand(2, 1, 28, 28)).shape
    torch.Size([2, 10])
    """

    def __init__(
        self,
        depth: int = 34,
        width: int = 10,
        *,
        classes: int = 10,
        channels: int = 3,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_counts(classes, channels)
        if depth < 10 or (depth - 4) % 6:
            raise InputError(f"a WRN of depth {depth}; give 6n + 4, for instance 28 or 34")
        if width < 1:
            raise InputError(f"a WRN of width {width}; give 1 or more")
        blocks = (depth - 4) // 6
        self.conv = nn.Conv2d(channels, 16, 3, 1, 1, bias=False)
        self.stage1 = stage(blocks, 16, 16 * width, 1, dropout)
        self.stage2 = stage(blocks, 16 * width, 32 * width, 2, dropout)
        self.stage3 = stage(blocks, 32 * width, 64 * width, 2, dropout)
        self.norm = nn.BatchNorm2d(64 * width)
        self.relu = nn.ReLU()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.logits = nn.Linear(64 * width, classes)
        he_normal(self)

    def forward(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k"]:
        """Return the logits."""
        x = self.stage3(self.stage2(self.stage1(self.conv(images))))
        x = self.relu(self.norm(x))
        logits: Tensor = self.logits(self.pool(x).flatten(1))
        return logits
