"""Small pictures of filters, maps and images."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from jaxtyping import Float
from torch import Tensor

from saddlepoint.reports.changes import ChangeScale, as_array
from saddlepoint.reports.page.parts import THUMBNAIL, Picture, thumbnail

SHOWN = 8
"""Images that a page shows, at most; its figures and numbers are of all."""


def image_picture(image: Float[Tensor, "c h w"], alternative: str, caption: str = "") -> Picture:
    """Return an image, grey or RGB; of other numbers of channels their mean.

    >>> import torch
    >>> image_picture(torch.zeros(2, 4, 4), "an image").source[:14]
    'data:image/png'
    """
    return Picture(thumbnail(as_array(_drawable(image))), alternative, caption)


def filter_picture(weights: Float[Tensor, "c h w"], alternative: str, caption: str = "") -> Picture:
    """Return a filter, grey where it is 0, black or white where it is largest.

    >>> import torch
    >>> filter_picture(torch.zeros(1, 3, 3), "filter 1").caption
    ''
    """
    shown = _drawable(weights)
    return Picture(
        thumbnail(ChangeScale.of([shown]).picture(shown), exact=True), alternative, caption
    )


def change_picture(
    change: Float[Tensor, "h w"], scale: ChangeScale, alternative: str, caption: str = ""
) -> Picture:
    """Return how a map changed: grey where it did not.

    >>> import torch
    >>> change_picture(torch.zeros(2, 2), ChangeScale(1.0), "change").alternative
    'change'
    """
    return Picture(thumbnail(scale.picture(change[None]), exact=True), alternative, caption)


def map_picture(
    values: Float[Tensor, "h w"],
    alternative: str,
    caption: str = "",
    ends: tuple[float, float] | None = None,
) -> Picture:
    """Return a map from dark blue, the least, to yellow, the most; `ends` are those of a scale that it
    shares with others, or its own.

    >>> import torch
    >>> map_picture(torch.rand(8, 8), "attention").source[:14]
    'data:image/png'
    """
    return Picture(thumbnail(_coloured(values, ends), exact=True), alternative, caption)


def place_mosaic(cosines: Float[Tensor, "h w h2 w2"], alternative: str) -> Picture:
    """Return the maps of evenly spaced places, each at its place; as many as are no wider than 96.

    >>> import torch
    >>> place_mosaic(torch.zeros(14, 14, 14, 14), "places").caption
    '6×6 of 14×14 places'
    """
    height, width = cosines.shape[:2]
    rows, columns = (_spaced(side, THUMBNAIL // (side + 1)) for side in (height, width))
    gap = np.ones((len(rows) * (height + 1) - 1, len(columns) * (width + 1) - 1, 3))
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            top, left = i * (height + 1), j * (width + 1)
            tile = _coloured(cosines[row, column], (-1.0, 1.0))
            gap[top : top + height, left : left + width] = tile
    count = f"{len(rows)}×{len(columns)} of {height}×{width} places"
    return Picture(thumbnail(gap, exact=True), f"{alternative}: {count}", count)


def _spaced(side: int, most: int) -> list[int]:
    count = max(1, min(side, most))
    return [round(i * (side - 1) / max(count - 1, 1)) for i in range(count)]


def _drawable(image: Float[Tensor, "c h w"]) -> Float[Tensor, "c2 h w"]:
    return image if len(image) in (1, 3) else image.mean(0, keepdim=True)


def _coloured(
    values: Float[Tensor, "h w"], ends: tuple[float, float] | None
) -> Float[np.ndarray, "h w 3"]:
    low, high = ends if ends is not None else (float(values.min()), float(values.max()))
    relative = (values.double() - low) / ((high - low) or 1.0)
    colours: Float[np.ndarray, "h w 4"] = mpl.colormaps["cividis"](relative.clamp(0, 1).numpy())
    return colours[:, :, :3]


def ends_of(maps: Sequence[Tensor]) -> tuple[float, float]:
    """Return the least and the largest value of several maps.

    >>> import torch
    >>> ends_of([torch.tensor([1.0]), torch.tensor([3.0])])
    (1.0, 3.0)
    """
    return min(float(each.min()) for each in maps), max(float(each.max()) for each in maps)
