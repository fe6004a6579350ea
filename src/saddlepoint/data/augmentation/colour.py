"""Changes of the colours of images in [0, 1], by a factor for each image; and the augmentation that
draws the factors.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from saddlepoint.data.augmentation.draw import uniform
from saddlepoint.option_values import NonNegative, check_fields

_LUMA = (0.2989, 0.587, 0.114)


def grey(images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n 1 h w"]:
    """Return the luma of images with three channels (ITU-R BT.601), of others the channels' mean.

    >>> grey(torch.ones(1, 3, 1, 1)).round(decimals=3)
    tensor([[[[1.]]]])
    """
    if images.shape[1] != len(_LUMA):
        return images.mean(1, keepdim=True)
    weights = torch.tensor(_LUMA, dtype=images.dtype).to(images.device, non_blocking=True)
    return (images * weights[:, None, None]).sum(1, keepdim=True)


def blended(
    images: Float[Tensor, "n c h w"], other: Float[Tensor, ...], factor: Float[Tensor, " n"]
) -> Float[Tensor, "n c h w"]:
    """Return factor·images + (1 − factor)·other, clipped to [0, 1]; a factor above 1 leads away from
    the other.

    >>> blended(torch.full((1, 1, 1, 1), 0.5), torch.zeros(1), torch.tensor([1.5]))
    tensor([[[[0.7500]]]])
    """
    factor = factor[:, None, None, None].to(images.dtype)
    return (factor * images + (1 - factor) * other).clamp(0, 1)


def brightness(
    images: Float[Tensor, "n c h w"], factor: Float[Tensor, " n"]
) -> Float[Tensor, "n c h w"]:
    """Return the images brighter by a factor, clipped; 0 is black.

    >>> brightness(torch.full((1, 1, 1, 1), 0.5), torch.tensor([0.5]))
    tensor([[[[0.2500]]]])
    """
    return blended(images, torch.zeros_like(images), factor)


def contrast(
    images: Float[Tensor, "n c h w"], factor: Float[Tensor, " n"]
) -> Float[Tensor, "n c h w"]:
    """Return the images further from their mean grey by a factor, clipped; 0 is that grey.

    >>> contrast(torch.tensor([[[[0.25, 0.75]]]]), torch.tensor([0.0]))
    tensor([[[[0.5000, 0.5000]]]])
    """
    return blended(images, grey(images).mean((1, 2, 3), keepdim=True), factor)


def saturation(
    images: Float[Tensor, "n c h w"], factor: Float[Tensor, " n"]
) -> Float[Tensor, "n c h w"]:
    """Return the images further from grey by a factor, clipped; 0 is grey. One channel stays.

    >>> saturation(torch.tensor([[[[0.25, 0.75]]]]), torch.tensor([0.0]))
    tensor([[[[0.2500, 0.7500]]]])
    """
    return images if images.shape[1] == 1 else blended(images, grey(images), factor)


@dataclass(frozen=True)
class ColourJitter:
    """Brightness, contrast and saturation, in this order, each by a factor uniform in 1 ± its field,
    drawn for every image. The hue stays.

    >>> jitter = ColourJitter(brightness=0.2, contrast=0.0, saturation=0.0)
    >>> found = jitter(torch.full((100, 1, 1, 1), 0.5), torch.Generator().manual_seed(0))
    >>> bool(found.min() >= 0.4), bool(found.max() <= 0.6)
    (True, True)
    """

    brightness: NonNegative = 0.4
    contrast: NonNegative = 0.4
    saturation: NonNegative = 0.4

    def __post_init__(self) -> None:
        check_fields(self, "colour-jitter")

    def __call__(
        self, images: Float[Tensor, "n c h w"], generator: torch.Generator
    ) -> Float[Tensor, "n c h w"]:
        """Return the images with other colours."""
        for change, most in (
            (brightness, self.brightness),
            (contrast, self.contrast),
            (saturation, self.saturation),
        ):
            if most > 0:
                factor = uniform(max(0.0, 1 - most), 1 + most, images, generator)
                images = change(images, factor)
        return images
