"""Changes of the tones of images in [0, 1], pixel by pixel or by their histogram."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from saddlepoint.data.augmentation.colour import blended

_LEVELS = 256


def autocontrast(images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
    """Return every channel stretched to [0, 1]; a constant one stays.

    >>> autocontrast(torch.tensor([[[[0.25, 0.5, 0.75]]]]))
    tensor([[[[0.0000, 0.5000, 1.0000]]]])
    """
    low, high = images.amin((2, 3), keepdim=True), images.amax((2, 3), keepdim=True)
    flat = high == low
    stretched = (images - low) / torch.where(flat, 1.0, high - low)
    return torch.where(flat, images, stretched).clamp(0, 1)


def equalise(images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
    """Return every channel with as even a histogram as 256 levels allow; one level alone stays.

    >>> dark = torch.linspace(0.1, 0.3, 1024).reshape(1, 1, 32, 32)
    >>> equalise(dark).min(), equalise(dark).max()
    (tensor(0.), tensor(1.))
    """
    n, c, h, w = images.shape
    levels = (images * (_LEVELS - 1e-3)).long().clamp(0, _LEVELS - 1).reshape(n * c, h * w)
    counts = torch.zeros(n * c, _LEVELS, dtype=torch.int64, device=images.device)
    counts.scatter_add_(1, levels, torch.ones_like(levels))
    # The brightest level is left out of the step, so that it comes to the top.
    last = counts.gather(1, levels.amax(1, keepdim=True))
    step = (h * w - last) // (_LEVELS - 1)
    whole = step.clamp_min(1)
    table = (counts.cumsum(1) + whole // 2) // whole
    table = functional.pad(table, (1, -1)).clamp(0, _LEVELS - 1)
    moved = torch.where(step == 0, levels, table.gather(1, levels))
    equal = (moved.to(images.dtype) / (_LEVELS - 1)).reshape(images.shape)
    return torch.where((step == 0).reshape(n, c, 1, 1), images, equal)


def posterise(images: Float[Tensor, "n c h w"], bits: int) -> Float[Tensor, "n c h w"]:
    """Return the images on 2^bits levels, rounded down.

    >>> posterise(torch.tensor([[[[0.3, 0.8, 1.0]]]]), 1)
    tensor([[[[0.0000, 0.5000, 0.5000]]]])
    """
    levels = 2**bits
    lowered: Tensor = (images * levels).floor().clamp(0, levels - 1) / levels
    return lowered


def solarise(images: Float[Tensor, "n c h w"], threshold: float) -> Float[Tensor, "n c h w"]:
    """Return the images with every pixel of at least the threshold inverted.

    >>> solarise(torch.tensor([[[[0.25, 0.75]]]]), 0.5)
    tensor([[[[0.2500, 0.2500]]]])
    """
    return torch.where(images >= threshold, 1 - images, images)


def sharpness(
    images: Float[Tensor, "n c h w"], factor: Float[Tensor, " n"]
) -> Float[Tensor, "n c h w"]:
    """Return the images further from their 3×3 blur by a factor, clipped; 0 is the blur. The border
    stays, and so do images of fewer than three rows or columns.

    >>> image = torch.zeros(1, 1, 3, 3)
    >>> image[0, 0, 1, 1] = 0.5
    >>> sharpness(image, torch.tensor([0.0]))[0, 0, 1, 1] * 13 / 5
    tensor(0.5000)
    """
    n, c, h, w = images.shape
    if min(h, w) < 3:
        return images
    kernel = torch.ones(1, 1, 3, 3, dtype=images.dtype, device=images.device)
    kernel[..., 1, 1] = 5
    inside = functional.conv2d(images.reshape(n * c, 1, h, w), kernel / 13)
    blur = images.clone()
    blur[:, :, 1:-1, 1:-1] = inside.reshape(n, c, h - 2, w - 2)
    return blended(images, blur, factor)
