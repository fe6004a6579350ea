"""RandAugment: a few operations of fixed strength, drawn anew for every image."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor

from saddlepoint.data.augmentation.colour import brightness, contrast, saturation
from saddlepoint.data.augmentation.draw import integers
from saddlepoint.data.augmentation.tone import (
    autocontrast,
    equalise,
    posterise,
    sharpness,
    solarise,
)
from saddlepoint.data.augmentation.warp import rotated, sheared, translated
from saddlepoint.option_values import Count, Interval, check_fields

Operation = Callable[[Tensor, float, Tensor], Tensor]
"""From images (n, c, h, w), a strength in [0, 1] and signs (n,) to images."""
_STRONGEST = 30  # the largest magnitude


def _shift(images: Tensor, strength: float, sign: Tensor, axis: int) -> Tensor:
    pixels = int(strength * 150 / 331 * images.shape[3 - axis])
    return translated(images, pixels * sign, axis)


OPERATIONS: Mapping[str, Operation] = MappingProxyType(
    {
        "identity": lambda x, s, sign: x,
        "shear-x": lambda x, s, sign: sheared(x, 0.3 * s * sign, 0),
        "shear-y": lambda x, s, sign: sheared(x, 0.3 * s * sign, 1),
        "translate-x": lambda x, s, sign: _shift(x, s, sign, 0),
        "translate-y": lambda x, s, sign: _shift(x, s, sign, 1),
        "rotate": lambda x, s, sign: rotated(x, 30 * s * sign),
        "brightness": lambda x, s, sign: brightness(x, 1 + 0.9 * s * sign),
        "saturation": lambda x, s, sign: saturation(x, 1 + 0.9 * s * sign),
        "contrast": lambda x, s, sign: contrast(x, 1 + 0.9 * s * sign),
        "sharpness": lambda x, s, sign: sharpness(x, 1 + 0.9 * s * sign),
        "posterise": lambda x, s, sign: posterise(x, 8 - round(4 * s)),
        "solarise": lambda x, s, sign: solarise(x, 1 - s),
        "autocontrast": lambda x, s, sign: autocontrast(x),
        "equalise": lambda x, s, sign: equalise(x),
    }
)
"""The operations by name, in the scales of torchvision's."""


@dataclass(frozen=True)
class RandAugment:
    """So many operations one after the other, each drawn for every image from `OPERATIONS`.

    Their strength is the same for all; which way a shear, a shift, a turn or a change of colour goes
    is drawn. What leaves the image is black.

    Args:
        operations: N.
        magnitude: M, of 30.

    Reference: Cubuk, Zoph, Shlens and Le 2020, arXiv:1909.13719; the operations and their scales are
    torchvision's.

    >>> images = torch.rand(4, 3, 8, 8)
    >>> RandAugment()(images, torch.Generator().manual_seed(0)).shape
    torch.Size([4, 3, 8, 8])
    """

    operations: Count = 2
    magnitude: Annotated[float, Interval("[0, 30]")] = 9.0

    def __post_init__(self) -> None:
        check_fields(self, "rand-augment")

    def __call__(
        self, images: Float[Tensor, "n c h w"], generator: torch.Generator
    ) -> Float[Tensor, "n c h w"]:
        """Return the images after N operations each; on a device the host waits for the draws."""
        for _ in range(self.operations):
            chosen = integers(len(OPERATIONS), images, generator).tolist()
            sign = 2 * integers(2, images, generator).to(images.dtype) - 1
            result = images.clone()
            for number, operate in enumerate(OPERATIONS.values()):
                rows = [row for row, which in enumerate(chosen) if which == number]
                if rows:
                    index = torch.tensor(rows, device=images.device)
                    result[index] = operate(images[index], self.magnitude / _STRONGEST, sign[index])
            images = result
        return images
