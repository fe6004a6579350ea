"""Scale jitter: a part of an image, blown up to its size."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from saddlepoint.data.augmentation.draw import integers
from saddlepoint.data.augmentation.rectangles import check_range, rectangles
from saddlepoint.option_values import Positive, Share, check_fields


@dataclass(frozen=True)
class ResizedCrop:
    """A rectangle of every image, blown up to the whole of it between four pixels, and mirrored with
    probability ½.

    He et al. draw the short side from [256, 480] and cut out 224 pixels: that is a square of
    0.22 to 0.77 of the area.

    Args:
        area: the least and the largest share of the image; uniform between them.
        ratio: the least and the largest height over width; log-uniform between them. Where no
            rectangle in ten fits, the image is left whole.
        flip: whether images are mirrored.

    References: Szegedy et al. 2015, arXiv:1409.4842; He et al. 2016, arXiv:1512.03385.

    >>> same = ResizedCrop(area=(1.0, 1.0), ratio=(1.0, 1.0), flip=False)
    >>> images = torch.rand(2, 3, 8, 8)
    >>> bool(torch.allclose(same(images, torch.Generator()), images, atol=1e-6))
    True
    """

    area: tuple[Share, Share] = (0.08, 1.0)
    ratio: tuple[Positive, Positive] = (3 / 4, 4 / 3)
    flip: bool = True

    def __post_init__(self) -> None:
        check_fields(self, "resized-crop")
        check_range(self.area, "resized-crop: area")
        check_range(self.ratio, "resized-crop: ratio")

    def __call__(
        self, images: Float[Tensor, "n c h w"], generator: torch.Generator
    ) -> Float[Tensor, "n c h w"]:
        """Return a part of each image at its size."""
        h, w = images.shape[2:]
        top, left, height, width = rectangles(images, generator, self.area, self.ratio)
        whole = (height == 0) | (width == 0)
        y = _shown(torch.where(whole, 0, top), torch.where(whole, h, height), h, images)
        x = _shown(torch.where(whole, 0, left), torch.where(whole, w, width), w, images)
        if self.flip:
            mirrored = integers(2, images, generator).bool()
            x = torch.where(mirrored[:, None], x.flip(1), x)
        grid = torch.stack(
            [x[:, None, :].expand(-1, h, -1), y[:, :, None].expand(-1, -1, w)], dim=-1
        )
        return functional.grid_sample(images, grid, mode="bilinear", align_corners=False)


def _shown(start: Tensor, length: Tensor, side: int, images: Tensor) -> Float[Tensor, "n side"]:
    """Return where in the image each row or column of the result lies, in [−1, 1]; no pixel outside
    the part has a share in it.
    """
    steps = (torch.arange(side, dtype=images.dtype, device=images.device) + 0.5) / side
    seen = (steps * length[:, None] - 0.5).clamp_min(0).minimum((length - 1)[:, None])
    return (2 * (start[:, None] + seen) + 1) / side - 1
