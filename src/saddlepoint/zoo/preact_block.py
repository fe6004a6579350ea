"""The residual block with pre-activation, shared by PreActResNet and the wide networks."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn


class PreActBlock(nn.Module):
    """BN-ReLU-Conv twice, added to the input; a 1×1 convolution where the shape changes.

    A block that changes the shape reads its shortcut after the first activation.
    He et al., Identity Mappings in Deep Residual Networks, 2016, arXiv:1603.05027.

    >>> import torch
    >>> PreActBlock(16, 32, stride=2)(torch.rand(1, 16, 8, 8)).shape
    torch.Size([1, 32, 4, 4])
    """

    def __init__(self, inputs: int, outputs: int, stride: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(inputs)
        self.relu1 = nn.ReLU()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.relu2 = nn.ReLU()
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        same = stride == 1 and inputs == outputs
        self.shortcut = None if same else nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d h2 w2"]:
        """Return f(x) + shortcut."""
        active = self.relu1(self.norm1(x))
        y = self.relu2(self.norm2(self.conv1(active)))
        y = self.conv2(self.dropout(y))
        out: Tensor = y + (x if self.shortcut is None else self.shortcut(active))
        return out


def stage(
    blocks: int, inputs: int, outputs: int, stride: int, dropout: float = 0.0
) -> nn.Sequential:
    """Return `blocks` blocks, the first of which changes channels and stride.

    >>> len(stage(2, 16, 32, stride=2))
    2
    """
    rest = [PreActBlock(outputs, outputs, 1, dropout) for _ in range(blocks - 1)]
    return nn.Sequential(PreActBlock(inputs, outputs, stride, dropout), *rest)
