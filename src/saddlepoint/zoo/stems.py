"""From an image to patches: cut and projected, or the features of a small residual network."""

from __future__ import annotations

from collections import OrderedDict
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from saddlepoint.errors import InputError
from saddlepoint.zoo.preact_block import stage


class PatchMap(nn.Conv2d):
    """A convolution of patches that do not overlap, whose kernel can be had from that of others.

    >>> import torch
    >>> PatchMap(3, 96, 8, 8).refitted("weight", torch.rand(96, 3, 4, 4)).shape
    torch.Size([96, 3, 8, 8])
    """

    def refitted(self, name: str, table: Tensor) -> Tensor | None:
        """Return a kernel of another patch in the size of the own one; None of what is no kernel."""
        if name != "weight" or table.ndim != 4 or table.shape[:2] != self.weight.shape[:2]:
            return None
        return resized_kernel(table, self.kernel_size[0])


def resized_kernel(kernel: Float[Tensor, "d c p p"], side: int) -> Float[Tensor, "d c q q"]:
    """Return the linear map that makes of a resized patch what `kernel` makes of the patch, the nearest
    to it where patches become smaller.

    Resized bilinearly; Beyer et al., FlexiViT, 2023, arXiv:2212.08013, section 3.4.

    >>> import torch
    >>> bool((resized_kernel(torch.ones(1, 1, 2, 2), 4).sum() - 4).abs() < 1e-6)
    True
    """
    patch = kernel.shape[-1]
    if patch == side:
        return kernel
    pixels = torch.eye(patch**2, dtype=torch.float64).reshape(-1, 1, patch, patch)
    resize = functional.interpolate(pixels, (side, side), mode="bilinear", align_corners=False)
    inverse = torch.linalg.pinv(resize.flatten(1)).T.to(kernel.device)
    fitted: Tensor = kernel.flatten(2).double() @ inverse
    return fitted.reshape(*kernel.shape[:2], side, side).to(kernel.dtype)


class PatchStem(nn.Module):
    """A linear map of each p×p patch, as the convolution with kernel and stride p.

    >>> import torch
    >>> PatchStem(3, 96, patch=4)(torch.rand(2, 3, 32, 32)).shape
    torch.Size([2, 96, 8, 8])
    """

    def __init__(self, channels: int, d: int, patch: int) -> None:
        super().__init__()
        self.conv = PatchMap(channels, d, patch, patch)

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
