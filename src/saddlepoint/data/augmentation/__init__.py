"""Augmentation of whole batches on their device, from an explicit generator."""

from __future__ import annotations

from saddlepoint.data.augmentation.colour import ColourJitter
from saddlepoint.data.augmentation.erasing import RandomErasing
from saddlepoint.data.augmentation.mixing import Pairs, mix
from saddlepoint.data.augmentation.names import (
    AUGMENTATIONS,
    Augmentation,
    Unchanged,
    build_augmentation,
    one_after_the_other,
)
from saddlepoint.data.augmentation.rand_augment import OPERATIONS, RandAugment
from saddlepoint.data.augmentation.resized_crop import ResizedCrop
from saddlepoint.data.augmentation.shift import Crop, CropFlip, crop, crop_flip

__all__ = [
    "AUGMENTATIONS",
    "OPERATIONS",
    "Augmentation",
    "ColourJitter",
    "Crop",
    "CropFlip",
    "Pairs",
    "RandAugment",
    "RandomErasing",
    "ResizedCrop",
    "Unchanged",
    "build_augmentation",
    "crop",
    "crop_flip",
    "mix",
    "one_after_the_other",
]
