"""Crops of a widened image, and mirror images."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from saddlepoint.data.augmentation.draw import integers
from saddlepoint.errors import InputError
from saddlepoint.option_values import Natural, check_fields


def crop(
    images: Float[Tensor, "n c h w"], generator: torch.Generator, padding: int = 4
) -> Float[Tensor, "n c h w"]:
    """Return images shifted by up to `padding` pixels each way, the border filled by reflection.

    A side no longer than `padding` is shifted by its length less one, all that reflection allows.

    >>> crop(torch.rand(2, 3, 8, 8), torch.Generator().manual_seed(0)).shape
    torch.Size([2, 3, 8, 8])
    """
    rows = _shifted(images, 2, generator, padding)
    columns = _shifted(images, 3, generator, padding)
    return _gather(images, rows, columns)


def crop_flip(
    images: Float[Tensor, "n c h w"], generator: torch.Generator, padding: int = 4
) -> Float[Tensor, "n c h w"]:
    """Return images cropped as by `crop`, each then mirrored left to right with probability ½.

    He et al., Deep Residual Learning, 2016, arXiv:1512.03385 (there with a border of zeros).

    >>> crop_flip(torch.rand(2, 3, 8, 8), torch.Generator().manual_seed(0)).shape
    torch.Size([2, 3, 8, 8])
    """
    rows = _shifted(images, 2, generator, padding)
    columns = _shifted(images, 3, generator, padding)
    mirrored = integers(2, images, generator).bool()
    columns = torch.where(mirrored[:, None], columns.flip(1), columns)
    return _gather(images, rows, columns)


@dataclass(frozen=True)
class Crop:
    """Shifts by up to `padding` pixels each way; see `crop`.

    >>> Crop(padding=0)(torch.ones(1, 1, 2, 2), torch.Generator()).sum()
    tensor(4.)
    """

    padding: Natural = 4

    def __post_init__(self) -> None:
        check_fields(self, "crop")

    def __call__(
        self, images: Float[Tensor, "n c h w"], generator: torch.Generator
    ) -> Float[Tensor, "n c h w"]:
        """Return the images shifted."""
        return crop(images, generator, self.padding)


@dataclass(frozen=True)
class CropFlip:
    """Shifts by up to `padding` pixels each way, and every second image mirrored; see `crop_flip`.

    >>> CropFlip(padding=2)(torch.ones(1, 1, 4, 4), torch.Generator()).sum()
    tensor(16.)
    """

    padding: Natural = 4

    def __post_init__(self) -> None:
        check_fields(self, "crop-flip")

    def __call__(
        self, images: Float[Tensor, "n c h w"], generator: torch.Generator
    ) -> Float[Tensor, "n c h w"]:
        """Return the images shifted, each mirrored or not."""
        return crop_flip(images, generator, self.padding)


def _shifted(
    images: Tensor, axis: int, generator: torch.Generator, padding: int
) -> Int64[Tensor, "n side"]:
    """Return, for each image, which of its rows or columns each output row or column shows."""
    if padding < 0:
        raise InputError(f"padding is {padding}; give 0 or more pixels")
    side = images.shape[axis]
    reach = min(padding, side - 1)
    offsets = integers(2 * reach + 1, images, generator) - reach
    place = (torch.arange(side, device=images.device) + offsets[:, None]).abs()
    return torch.minimum(place, 2 * (side - 1) - place)  # reflection at the far border


def _gather(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    sample = torch.arange(len(images), device=images.device)[:, None, None, None]
    channel = torch.arange(images.shape[1], device=images.device)[None, :, None, None]
    return images[sample, channel, rows[:, None, :, None], columns[:, None, None, :]]
