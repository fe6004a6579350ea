"""Changes that are confined to some patches, and random ones of the same budget."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from saddlepoint.errors import InputError
from saddlepoint.streams import generator
from saddlepoint.threat import Patches


def random_patches(
    images: Float[Tensor, "n c h w"], side: int, count: int, seed: int
) -> Bool[Tensor, "n c h w"]:
    """Return masks of so many whole patches in each image, drawn from a seed.

    Raises `InputError` for more patches than there are, and for images that are no multiple of one.

    >>> random_patches(torch.zeros(2, 3, 8, 8), 4, 3, seed=0).sum((1, 2, 3))
    tensor([144, 144])
    """
    places = Patches(count, size=side)
    total = places.totals(images).shape[1]
    if count > total:
        raise InputError(f"patches is {count}, an image has {total}; give fewer")
    drawn = torch.rand(len(images), total, generator=generator(seed))
    chosen = torch.zeros(len(images), total, dtype=torch.bool)
    chosen.scatter_(1, drawn.argsort(1)[:, :count], True)
    return places.spread(chosen.to(images.device), images)


def random_corner(
    images: Float[Tensor, "n c h w"],
    eps: float,
    mask: Bool[Tensor, "n c h w"] | None,
    seed: int,
) -> Float[Tensor, "n c h w"]:
    """Return a random corner of each image's Linf ball, cut to [0, 1]: every pixel under the mask goes
    up or down by eps, or as far as there is room.

    >>> x = torch.tensor([[[[0.5, 0.5, 0.0, 0.5]]]])
    >>> (random_corner(x, 0.25, x > 0.1, seed=1) - x).abs()
    tensor([[[[0.2500, 0.2500, 0.0000, 0.2500]]]])
    """
    up = torch.rand(images.shape, generator=generator(seed)).to(images.device) < 0.5
    moved = (images + torch.where(up, eps, -eps)).clamp(0, 1)
    return moved if mask is None else torch.where(mask, moved, images)
