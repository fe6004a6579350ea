"""A random rectangle in each image of a batch."""

from __future__ import annotations

import math

import torch
from jaxtyping import Int64
from torch import Tensor

from saddlepoint.data.augmentation.draw import uniform
from saddlepoint.errors import InputError

_TRIES = 10


def rectangles(
    images: Tensor,
    generator: torch.Generator,
    area: tuple[float, float],
    ratio: tuple[float, float],
) -> tuple[Int64[Tensor, " n"], Int64[Tensor, " n"], Int64[Tensor, " n"], Int64[Tensor, " n"]]:
    """Return top, left, height and width of a rectangle in each image: the first of ten that fits,
    0 high and wide where none does.

    Args:
        images: (n, c, h, w), on whose device it is drawn.
        area: the least and the largest share of the image.
        ratio: the least and the largest height over width.

    >>> draw = torch.Generator().manual_seed(0)
    >>> [int(each) for each in rectangles(torch.ones(1, 1, 8, 8), draw, (0.25, 0.25), (1.0, 1.0))[2:]]
    [4, 4]
    """
    h, w = images.shape[2:]
    share = uniform(*area, images, generator, _TRIES)
    steep = uniform(math.log(ratio[0]), math.log(ratio[1]), images, generator, _TRIES).exp()
    heights = (share * h * w * steep).sqrt().round().long()
    widths = (share * h * w / steep).sqrt().round().long()
    fits = (heights <= h) & (widths <= w)
    first = fits.long().argmax(1, keepdim=True)
    fitted = fits.any(1)
    height = heights.gather(1, first)[:, 0] * fitted
    width = widths.gather(1, first)[:, 0] * fitted
    place = uniform(0, 1, images, generator, 2)
    top = (place[:, 0] * (h - height + 1)).long().clamp(max=h - 1)
    left = (place[:, 1] * (w - width + 1)).long().clamp(max=w - 1)
    return top, left, height, width


def check_range(ends: tuple[float, float], name: str) -> None:
    """Raise `InputError` unless the ends are two numbers, the smaller one first.

    >>> check_range((2.0, 1.0), "crop: ratio")
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: crop: ratio is (2.0, 1.0); give two numbers, the smaller one first
    """
    if len(ends) != 2 or not ends[0] <= ends[1] < math.inf:
        raise InputError(f"{name} is {tuple(ends)}; give two numbers, the smaller one first")
