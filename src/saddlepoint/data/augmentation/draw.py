"""Draws for the images of a batch, from an explicit generator."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor


def integers(high: int, images: Tensor, generator: torch.Generator) -> Int64[Tensor, " n"]:
    """Return a whole number below `high` for each image, on its device.

    >>> int(integers(1, torch.zeros(1, 3), torch.Generator()))
    0
    """
    drawn = torch.randint(high, (len(images),), generator=generator, device=generator.device)
    return drawn.to(images.device, non_blocking=True)


def uniform(
    low: float, high: float, images: Tensor, generator: torch.Generator, *shape: int
) -> Float[Tensor, "n ..."]:
    """Return numbers uniform in [low, high), of shape (n, *shape), on the device of the images.

    >>> uniform(0.5, 1.0, torch.zeros(2, 3), torch.Generator(), 4).shape
    torch.Size([2, 4])
    """
    size = (len(images), *shape)
    drawn = torch.rand(size, generator=generator, device=generator.device, dtype=images.dtype)
    return (low + (high - low) * drawn).to(images.device, non_blocking=True)
