"""Preprocessed: a network that resizes and cuts its images itself, by layers that are differentiated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from saddlepoint.errors import InputError
from saddlepoint.model.normalised import Normalised
from saddlepoint.threat import Statistics

INTERPOLATIONS = ("bilinear", "bicubic")


@dataclass(frozen=True)
class Preprocessing:
    """How images are made the size that a network takes: resized, then cut out of the middle.

    Attributes:
        resize: the shorter side in pixels, which keeps the ratio of the sides, or (height, width);
            None leaves the size.
        crop: (height, width) in pixels; None cuts nothing. What is missing of it is black.
        interpolation: bilinear or bicubic, both with antialiasing.

    >>> Preprocessing(resize=256, crop=(224, 224)).size(300, 400)
    (224, 224)
    """

    resize: int | tuple[int, int] | None = None
    crop: tuple[int, int] | None = None
    interpolation: str = "bilinear"

    def __post_init__(self) -> None:
        sides = (self.resize,) if isinstance(self.resize, int) else (self.resize or ())
        if any(side < 1 for side in (*sides, *(self.crop or ()))):
            raise InputError(
                f"images cannot be resized to {self.resize} and cut to {self.crop}; give sides of 1"
                " or more"
            )
        if self.interpolation not in INTERPOLATIONS:
            raise InputError(
                f"interpolation is {self.interpolation!r}; give {' or '.join(INTERPOLATIONS)}"
            )

    def resized(self, height: int, width: int) -> tuple[int, int]:
        """Return height and width, in pixels, before the cut."""
        if self.resize is None:
            return height, width
        if not isinstance(self.resize, int):
            return self.resize
        longer = int(self.resize * max(height, width) / min(height, width))
        return (self.resize, longer) if height <= width else (longer, self.resize)

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Return height and width, in pixels, of what the network gets of such images."""
        return self.crop or self.resized(height, width)

    def json(self) -> dict[str, Any]:
        """Return the values for a record."""
        return {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in asdict(self).items()
        }

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Preprocessing:
        """Return what a record says; raises `InputError` where it is no preprocessing.

        >>> Preprocessing.of(Preprocessing(crop=(8, 8)).json())
        Preprocessing(resize=None, crop=(8, 8), interpolation='bilinear')
        """
        try:
            values: dict[str, Any] = {
                k: tuple(v) if isinstance(v, list) else v for k, v in record.items()
            }
            return cls(**values)
        except (TypeError, AttributeError) as error:
            raise InputError(f"{dict(record)} is no preprocessing: {error}") from error

    def __str__(self) -> str:
        said = []
        if isinstance(self.resize, int):
            said.append(f"shorter side to {self.resize}")
        elif self.resize is not None:
            said.append(f"to {self.resize[0]}×{self.resize[1]}")
        if said:
            said[0] = f"resized ({self.interpolation}) {said[0]}"
        if self.crop is not None:
            said.append(f"the middle {self.crop[0]}×{self.crop[1]} cut out")
        return ", ".join(said) or "as they are"


class Preprocessed(nn.Module):
    """A network that resizes and cuts its images itself, before all else: before a normalisation
    inside of it, too.

    Bicubic values are clipped to [0, 1], as those of a picture of 8 bits are; they are not rounded,
    since nothing could be attacked through that.

    >>> import torch
    >>> model = Preprocessed(nn.Flatten(), Preprocessing(resize=(1, 1)))
    >>> model(torch.tensor([[[[0.0, 1.0]]]]))
    tensor([[0.5000]])
    """

    def __init__(self, net: nn.Module, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.net = net
        self.preprocessing = preprocessing

    def forward(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k"]:
        """Return the logits of images in [0, 1] of any size."""
        if images.ndim != 4:
            raise InputError(
                f"images have shape {tuple(images.shape)}; the model takes (n, c, height, width)"
            )
        logits: Tensor = self.net(_cut(_resized(images, self.preprocessing), self.preprocessing))
        return logits


def _resized(images: Tensor, by: Preprocessing) -> Tensor:
    size = by.resized(*images.shape[-2:])
    if size == tuple(images.shape[-2:]):
        return images
    found = functional.interpolate(images, size, mode=by.interpolation, antialias=True)
    return found.clamp(0, 1) if by.interpolation == "bicubic" else found


def _cut(images: Tensor, by: Preprocessing) -> Tensor:
    if by.crop is None:
        return images
    (height, width), (high, wide) = images.shape[-2:], by.crop
    missing = max(high - height, 0), max(wide - width, 0)
    if any(missing):
        rows, columns = missing
        sides = (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2)
        images = functional.pad(images, sides)
        height, width = images.shape[-2:]
    top, left = (height - high) // 2, (width - wide) // 2
    return images[..., top : top + high, left : left + wide]


def preprocessed(
    net: nn.Module, preprocessing: Preprocessing | None, statistics: Statistics | None
) -> nn.Module:
    """Return the network behind the layers of its preprocessing: resized and cut, then normalised.

    Args:
        net: from normalised images to logits.
        preprocessing: None leaves the size of images.
        statistics: mean and standard deviation of each channel of images in [0, 1]; None for none.

    >>> preprocessed(nn.Flatten(), None, None)
    Flatten(start_dim=1, end_dim=-1)
    """
    if statistics is not None:
        net = Normalised(net, *statistics)
    return net if preprocessing is None else Preprocessed(net, preprocessing)
