"""How images are resized and cut for the pretrained weights of timm and torchvision."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from saddlepoint.errors import InputError
from saddlepoint.model import Preprocessing
from saddlepoint.model.preprocessed import INTERPOLATIONS
from saddlepoint.zoo.library import timm_config, torchvision_models

_SHARE = 0.875  # of the resized image that timm keeps where a model does not say


def timm_preprocessing(name: str) -> Preprocessing | None:
    """Return how images are resized and cut for a timm model's pretrained weights, in pixels; None
    where it has none.

    Raises `InputError` for a model that wants what no layer does here.

    >>> print(timm_preprocessing("vit_tiny_patch16_224"))
    resized (bicubic) shorter side to 248, the middle 224×224 cut out
    """
    config = timm_config(name)
    if config is None:
        return None
    _, height, width = config.input_size
    share = config.crop_pct or _SHARE
    scaled = math.floor(height / share), math.floor(width / share)
    mode = config.crop_mode or "center"
    if mode == "squash":
        return _made(f"timm:{name}", scaled, (height, width), config.interpolation)
    if mode != "center" or height != width:
        raise InputError(
            f"timm:{name} is for images of {height}×{width}, cut by the mode {mode!r}, which no layer"
            " does here; give images of that size, and --preprocessing none"
        )
    return _made(f"timm:{name}", scaled[0], (height, width), config.interpolation)


def torchvision_preprocessing(name: str) -> Preprocessing | None:
    """Return how images are resized and cut for a torchvision model's pretrained weights, in pixels;
    None where it has none.

    >>> print(torchvision_preprocessing("resnet18"))
    resized (bilinear) shorter side to 256, the middle 224×224 cut out
    """
    offered: Any = torchvision_models().get_model_weights(name)
    if not len(offered):
        return None
    does = offered.DEFAULT.transforms()
    crop = _pair(does.crop_size)
    resize: int | tuple[int, int] = (
        int(does.resize_size[0]) if len(does.resize_size) == 1 else _pair(does.resize_size)
    )
    return _made(f"torchvision:{name}", resize, crop, str(does.interpolation.value))


def _pair(sides: Sequence[int]) -> tuple[int, int]:
    return int(sides[0]), int(sides[-1])


def _made(
    spec: str, resize: int | tuple[int, int], crop: tuple[int, int], interpolation: str
) -> Preprocessing:
    if interpolation not in INTERPOLATIONS:
        raise InputError(
            f"{spec} resizes by {interpolation}, which no layer does here; give images of"
            f" {crop[0]}×{crop[1]}, and --preprocessing none"
        )
    return Preprocessing(resize, crop, interpolation)
