"""From an image to patches: cut and projected, or the features of a small residual network."""

from __future__ import annotations

from collections import OrderedDict
from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn

from saddlepoint.errors import InputError
from saddlepoint.zoo.preact_block import stage


class PatchStem(nn.Module):
    """A linear map of each p×p patch, as the convolution with kernel and stride p.

    >>> import torch
    >>> PatchStem(3, 96, patch=4)(torch.rand(2, 3, 32, 32)).shape
    torch.Size([2, 96, 8, 8])
    """

    def __init__(self, channels: int, d: int, patch: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, d, patch, patch)

    def forward(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d i j"]:
        """Return the features of each patch."""
        features: Tensor = self.conv(images)
        return features


class HybridStem(nn.Module):
    """A residual network as stem, whose last features are the patches: p = 2ᵏ by k strides of 2.

    A 3×3 convolution, k pre-activation blocks of 32, 64, … channels and a 1×1 convolution. After
    the hybrid of Dosovitskiy et al., 2021, arXiv:2010.11929, which has a ResNet-50 there.
    Raises `InputError` for a patch that is no power of two.

    >>> import torch
    >>> HybridStem(3, 96, patch=4)(torch.rand(2, 3, 32, 32)).shape
    torch.Size([2, 96, 8, 8])
    """

    def __init__(self, channels: int, d: int, patch: int) -> None:
        super().__init__()
        if patch < 1 or patch & (patch - 1):
            raise InputError(f"a hybrid stem with patch {patch}; give 2, 4, 8 or 16")
        widths = [32 << i for i in range(patch.bit_length())]
        self.first = nn.Conv2d(channels, widths[0], 3, 1, 1, bias=False)
        self.stages = nn.Sequential(*(stage(1, a, b, stride=2) for a, b in pairwise(widths)))
        self.last = nn.Sequential(
            OrderedDict[str, nn.Module](
                norm=nn.BatchNorm2d(widths[-1]), relu=nn.ReLU(), conv=nn.Conv2d(widths[-1], d, 1)
            )
        )

    def forward(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d i j"]:
        """Return the features of each patch."""
        features: Tensor = self.last(self.stages(self.first(images)))
        return features


STEMS = {"patch": PatchStem, "hybrid": HybridStem}
"""The kinds by name."""
