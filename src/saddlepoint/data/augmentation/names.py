"""Augmentations by name, built with their options, and several as one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from saddlepoint.data.augmentation.colour import ColourJitter
from saddlepoint.data.augmentation.erasing import RandomErasing
from saddlepoint.data.augmentation.rand_augment import RandAugment
from saddlepoint.data.augmentation.resized_crop import ResizedCrop
from saddlepoint.data.augmentation.shift import Crop, CropFlip
from saddlepoint.errors import InputError, unknown
from saddlepoint.option_values import parse_options
from saddlepoint.plugins import parameter_types


class Augmentation(Protocol):
    """A change of a whole batch on its device, all of whose draws are the generator's.

    >>> augment: Augmentation = Unchanged()
    """

    def __call__(
        self, images: Float[Tensor, "n c h w"], generator: torch.Generator
    ) -> Float[Tensor, "n c h w"]:
        """Return the changed images, in [0, 1] and of the same shape."""
        ...


@dataclass(frozen=True)
class Unchanged:
    """The images as they are; nothing is drawn.

    >>> images = torch.rand(2, 3, 8, 8)
    >>> Unchanged()(images, torch.Generator()) is images
    True
    """

    def __call__(
        self, images: Float[Tensor, "n c h w"], generator: torch.Generator
    ) -> Float[Tensor, "n c h w"]:
        """Return the images."""
        return images


AUGMENTATIONS: Mapping[str, Callable[..., Augmentation]] = MappingProxyType(
    {
        "none": Unchanged,
        "crop": Crop,
        "crop-flip": CropFlip,
        "resized-crop": ResizedCrop,
        "colour-jitter": ColourJitter,
        "rand-augment": RandAugment,
        "random-erasing": RandomErasing,
    }
)
"""The classes of augmentations; their fields are options."""


def build_augmentation(name: str, options: Mapping[str, Any] | None = None) -> Augmentation:
    """Return the augmentation of that name with its options.

    Raises `InputError` for an unknown name or option, or a value that may not be.

    >>> build_augmentation("random-erasing", {"probability": 0.5}).probability
    0.5
    >>> build_augmentation("crop-flop")
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: unknown augmentation 'crop-flop'; did you mean 'crop-flip'? (known: ...)
    """
    if name not in AUGMENTATIONS:
        raise unknown("augmentation", name, AUGMENTATIONS)
    kind = AUGMENTATIONS[name]
    return kind(**parse_options(name, options or {}, parameter_types(kind)))


def one_after_the_other(given: str | Sequence[str | Augmentation]) -> Augmentation:
    """Return one augmentation for a name, or for several names and augmentations, in their order.

    >>> one_after_the_other("crop"), one_after_the_other(("none",))
    (Crop(padding=4), Unchanged())
    """
    if isinstance(given, str):
        return build_augmentation(given)
    parts = [build_augmentation(each) if isinstance(each, str) else each for each in given]
    for part in parts:
        if not callable(part) or isinstance(part, type):
            raise InputError(
                f"an augmentation is {part!r:.60}; give a name, or what takes images and a generator"
            )
    if len(parts) == 1:
        return parts[0]

    def augment(images: Tensor, generator: torch.Generator) -> Tensor:
        for part in parts:
            images = part(images, generator)
        return images

    return augment
