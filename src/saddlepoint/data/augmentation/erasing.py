"""Random erasing: a rectangle of an image replaced by noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from saddlepoint.data.augmentation.draw import uniform
from saddlepoint.data.augmentation.rectangles import check_range, rectangles
from saddlepoint.option_values import Positive, Share, check_fields


@dataclass(frozen=True)
class RandomErasing:
    """A rectangle of some images, at a random place, replaced.

    Args:
        probability: of an image to lose one.
        area: the least and the largest share of the image; uniform between them.
        ratio: the least and the largest height over width; log-uniform between them.
        fill: "noise", uniform in [0, 1] for every pixel and channel, or "black".

    Reference: Zhong, Zheng, Kang, Li and Yang 2020, arXiv:1708.04896.

    >>> erase = RandomErasing(probability=1.0, fill="black")
    >>> erased = erase(torch.ones(50, 1, 32, 32), torch.Generator().manual_seed(0)) == 0
    >>> bool((erased.float().mean((1, 2, 3)) < 0.36).all()), bool(erased.any())
    (True, True)
    """

    probability: Share = 0.25
    area: tuple[Share, Share] = (0.02, 1 / 3)
    ratio: tuple[Positive, Positive] = (0.3, 3.3)
    fill: Literal["noise", "black"] = "noise"

    def __post_init__(self) -> None:
        check_fields(self, "random-erasing")
        check_range(self.area, "random-erasing: area")
        check_range(self.ratio, "random-erasing: ratio")

    def __call__(
        self, images: Float[Tensor, "n c h w"], generator: torch.Generator
    ) -> Float[Tensor, "n c h w"]:
        """Return the images, some of them with a rectangle replaced."""
        h, w = images.shape[2:]
        top, left, height, width = rectangles(images, generator, self.area, self.ratio)
        chosen = uniform(0, 1, images, generator) < self.probability
        rows, columns = (torch.arange(side, device=images.device) for side in (h, w))
        down = (rows >= top[:, None]) & (rows < (top + height)[:, None])
        across = (columns >= left[:, None]) & (columns < (left + width)[:, None])
        inside = (chosen[:, None, None] & down[:, :, None] & across[:, None, :])[:, None]
        if self.fill == "black":
            return images.masked_fill(inside, 0.0)
        return torch.where(inside, uniform(0, 1, images, generator, *images.shape[1:]), images)
